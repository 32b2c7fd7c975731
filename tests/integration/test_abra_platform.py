"""`--platform abra`, through all of a run: with a stand-in, and with the real abra where it is.

The stand-in shows that our side is right; only the real one can show that what is told of it is.
"""

import json
import re
from pathlib import Path

import docker
import pytest

from harness.core import proc
from harness.run.testbed import TestBed
from harness.swarm.states import NAMESPACE_LABEL
from harness.swarm.sweep import RUN_LABEL, find
from tests.integration.conftest import Harness
from tests.integration.programs import PROGRAMS, abra_on_path
from tests.integration.support import ROOT, RecipeRepo, command, environment, recipe_files

# Abra calls the engine's only bot, for which other suites may wait, too.
pytestmark = [pytest.mark.xdist_group("backup-bot"), pytest.mark.timeout(900)]

ALL = ("install", "upgrade", "backup", "restore", "custom")


@pytest.fixture(name="path", params=PROGRAMS)
def path_fixture(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A PATH with an abra on it."""
    return abra_on_path(request.param, tmp_path / "bin")


def test_every_stage_is_green_and_abra_did_it(harness: Harness, path: str) -> None:
    """The base pinned, the head as chaos; everything but the deploy is as on our own platform."""
    call = harness("custom-html", "--platform", "abra", PATH=path)
    assert call.code == 0, call.text
    assert call.outcomes == dict.fromkeys(ALL, "passed")
    assert call.results["platform"] == "abra"
    assert call.directory
    log = (call.directory / "logs" / "abra.calls.log").read_text()
    asked = [line.partition(" ")[2] for line in log.splitlines() if "Z $ abra " in line]
    verbs = ["new", "deploy", "deploy", "backup create", "restore", "undeploy", "remove"]
    assert [line.partition(" --")[0] for line in asked] == [f"$ abra app {v}" for v in verbs]
    base = call.results["base"]["ref"]
    assert [line.endswith(f" {base}") for line in asked] == [True, True, *[False] * 5]
    snapshot = call.stage("backup")["facts"]["snapshot"]
    assert f" --snapshot {snapshot} " in asked[4]
    assert "--chaos" not in asked[1]
    assert "--chaos" in asked[2]
    assert "--platform abra" in call.results["repeat"]
    report = (call.directory / "report.html").read_text()
    assert all(line in report for line in asked)


def test_a_base_with_a_lightweight_tag_is_unusable_as_for_every_operator(
    harness: Harness, path: str, tmp_path: Path
) -> None:
    """No operator can deploy such a release: the head is installed alone, and the run says so."""
    repo = RecipeRepo.make(tmp_path / "made-to-order")
    repo.commit(recipe_files("1.0.0+1.27.4"), tag="1.0.0+1.27.4", annotated=False)
    repo.commit(recipe_files("1.1.0+1.27.4"))
    call = harness(str(repo.path), "--stages", "upgrade", "--platform", "abra", PATH=path)
    assert call.code == 4, call.text
    assert call.results["verdict"]["outcome"] == "skipped"
    assert "base unusable" in call.results["verdict"]["cause"]
    assert "lightweight tag" in call.results["verdict"]["cause"]
    codes = {warning["code"] for warning in call.results["warnings"]}
    assert codes == {"base-unusable", "lightweight-tag"}


def test_what_is_deployed_by_abra_carries_the_runs_label(
    harness: Harness, path: str, client: docker.DockerClient
) -> None:
    """Clean-up finds things by it alone, abra or not: nothing of the stack may lack it."""
    call = harness("radicale", "--stages", "install", "--platform", "abra", "--keep", PATH=path)
    assert call.code == 0, call.text
    stack, run = call.results["stack"], call.results["run"]
    ours = {str(item) for item in find(client, f"{RUN_LABEL}={run}")}
    stacks = {str(item) for item in find(client, f"{NAMESPACE_LABEL}={stack}")}
    try:
        assert stacks
        assert stacks <= ours
        named = [secret["Spec"]["Name"] for secret in client.api.secrets()]
        assert {f"secret {name}" for name in named if name.startswith(stack)} <= ours
    finally:
        reap(run)
    assert not find(client, f"{NAMESPACE_LABEL}={stack}")


def reap(run: str) -> None:
    """Remove a run that was kept, as its user would."""
    done = proc.run(command("reap", run), timeout=120, cwd=ROOT, env=environment(), check=False)
    assert done.code == 0, done.stdout + done.stderr


def test_an_app_that_is_there_already_is_never_touched(
    harness: Harness, path: str, bed: TestBed
) -> None:
    """Somebody's own, under the domain that was asked for: abra is not even called."""
    service = bed.client.services.create(  # type: ignore[no-untyped-call]  # the stubs lack it
        bed.toolbox, name="somebodys_test_app", labels={NAMESPACE_LABEL: "somebodys_test"}
    )
    try:
        call = harness("custom-html", "--platform", "abra", "--domain", "somebodys.test", PATH=path)
        before = service.attrs["Version"]
        service.reload()
        assert service.attrs["Version"] == before
    finally:
        service.remove()
    assert call.code == 2, call.text
    assert "there is already a stack somebodys_test" in call.text
    assert not call.directory


def test_an_abra_that_is_missing_is_said_before_anything_is_touched(harness: Harness) -> None:
    """It was asked for by name."""
    call = harness("custom-html", "--platform", "abra", PATH="/usr/sbin:/usr/bin:/sbin:/bin")
    if "there is no abra" not in call.text:
        pytest.skip("there is an abra on this machine")
    assert call.code == 3
    assert re.search(r"nox -s abra-install", call.text)
    assert json.dumps(call.results.get("stages", [])) == "[]"
