"""The main job: every stage of the sample recipes, on a real Swarm, to a verdict."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.integration.conftest import Harness, Usual
from tests.integration.support import RecipeRepo, recipe_files
from tests.unit.report.test_junit import against_schema


@pytest.mark.parametrize("recipe", ["custom-html", "radicale"])
def test_a_sample_recipe_passes_every_stage(recipe: str, usual: Usual) -> None:
    """Installed at its last release, upgraded to its head, backed up, restored; then removed."""
    call = usual(recipe)
    assert call.code == 0, call.text
    assert call.outcomes == dict.fromkeys(
        ["install", "upgrade", "backup", "restore", "custom"], "passed"
    )
    assert call.results["verdict"]["outcome"] == "passed"
    assert call.results["schema"] == "cc-ci/results/1"
    origins = {a["origin"] for stage in call.results["stages"] for a in stage["assertions"]}
    assert origins == {"generic", "overlay"}
    assert call.results["teardown"]["outcome"] == "passed"
    assert call.directory is not None
    _check_files(call.directory, recipe)


def _check_files(directory: Path, recipe: str) -> None:
    entries = [json.loads(line) for line in (directory / "ledger.jsonl").read_text().splitlines()]
    ops = [entry["op"] for entry in entries if entry["event"] == "begin"]
    assert ops == ["deploy", "redeploy", "restart", "backup", "restore", "undeploy"]
    suites = ET.parse(directory / "junit.xml").getroot()  # noqa: S314  written by us
    assert against_schema(suites) == []
    names = [suite.get("name") for suite in suites]
    assert names[:2] == [f"{recipe}.lint", f"{recipe}.install"]
    assert suites.get("failures") == suites.get("errors") == "0"
    assert int(suites.get("tests", "0")) >= 20
    assert (directory / "logs" / "app.log").stat().st_size > 0
    assert not (directory / "work").exists()


def test_what_this_machine_forces_is_in_the_results(harness: Harness) -> None:
    """A stand-in that is not called one would be a lie about what was tested."""
    call = harness("custom-html", "--stages", "install", "--endpoint-mode", "dnsrr")
    said = {(note["kind"], note["subject"]) for note in call.results["adaptations"]}
    images = call.stage("install")["facts"]["images"].values()
    stood_in = [image for image in images if image.startswith("localhost/cc-ci/")]
    assert ("endpoint-mode", "app") in said
    assert bool(stood_in) == any(kind == "stand-in" for kind, _ in said)


def test_one_stage_runs_with_what_it_needs(harness: Harness) -> None:
    """A restore without an upgrade: the head is installed, and nothing else happens."""
    call = harness("custom-html", STAGES="restore")
    assert call.code == 0, call.text
    assert list(call.outcomes) == ["install", "backup", "restore"]
    assert call.results["base"] is None
    assert call.stage("install")["facts"]["version"] == "1.3.0+1.28.0"


def test_a_named_base_and_head_are_what_is_deployed(harness: Harness) -> None:
    """VERSION is the release to upgrade from, REF the head."""
    call = harness("custom-html", STAGES="upgrade", REF="1.2.0+1.27.4", VERSION="1.0.0+1.25.5")
    assert call.stage("install")["facts"]["version"] == "1.0.0+1.25.5"
    assert call.results["head"]["version"] == "1.2.0+1.27.4"
    # The overlay is written for the newest head, and an older one does not have its new page.
    failed = [a["nodeid"] for a in call.stage("upgrade")["assertions"] if a["outcome"] == "failed"]
    assert failed == ["custom-html/test_upgrade.py::test_the_new_configuration_is_served"]
    assert call.code == 1


def test_a_path_with_a_ref_works_in_place_of_a_name(harness: Harness, tmp_path: Path) -> None:
    """A recipe that nobody enrolled gets the generic assertions; only annotated tags are needed."""
    repo = RecipeRepo.make(tmp_path / "made-to-order")
    repo.commit(recipe_files("1.0.0+1"), tag="1.0.0+1")
    repo.commit(recipe_files("1.1.0+1", retries="timeout: 4s\n      retries"), tag="1.1.0+1",
                annotated=False)  # fmt: skip
    repo.git("checkout", "--quiet", "-b", "change")
    head = repo.commit(recipe_files("1.2.0+1", **{"interval: 1s": "interval: 2s"}))
    repo.git("checkout", "--quiet", "main")
    call = harness(f"{repo.path}#change", STAGES="install,upgrade,custom")
    assert call.code == 0, call.text
    assert call.results["head"]["commit"] == head
    assert call.results["base"]["ref"] == "1.1.0+1"
    assert call.outcomes["upgrade"] == "passed"
    assert call.outcomes["custom"] == "skipped"
