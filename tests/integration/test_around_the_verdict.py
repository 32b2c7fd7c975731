"""Exit code, results.json and every page say the same word, whatever disks and streams do."""

import json
import subprocess
from pathlib import Path

import docker
import pytest

from harness.core import proc
from harness.core.model import Stage
from harness.swarm.sweep import RUN_LABEL, find
from tests.integration.conftest import Harness, Usual
from tests.integration.support import ROOT, RUN_SECONDS, command, environment

OPTED_OUT = "generic-left-out"


def test_a_reader_that_leaves_stops_the_run(client: docker.DockerClient, tmp_path: Path) -> None:
    """`harness run ... | head -3`: aborted and cleaned up, and never code 1, which is a verdict."""
    output = tmp_path / "runs"
    words = command("run", "custom-html", "--output", str(output))
    shell = '"$@" | head -3; exit ${PIPESTATUS[0]}'
    done = subprocess.run(  # noqa: S603  a pipe of the harness
        ["bash", "-c", shell, "bash", *words],  # noqa: S607  the shell is what is tested
        cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=RUN_SECONDS,
        check=False,
    )  # fmt: skip
    assert done.returncode == 130, done.stderr
    assert len(done.stdout.splitlines()) == 3
    (directory,) = output.iterdir()
    verdict = json.loads((directory / "results.json").read_text())["verdict"]
    assert (verdict["outcome"], verdict["exit_code"]) == ("aborted", 130)
    assert "the reader of its output left" in verdict["cause"]
    assert "**aborted**" in (directory / "summary.md").read_text()
    assert find(client, f"{RUN_LABEL}={directory.name}") == ()


def test_a_full_disk_below_runs_leaves_no_pass(harness: Harness, tmp_path: Path) -> None:
    """The app was fine, and its results have no room: an error, in exit code and file alike."""
    small = tmp_path / "runs"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(small)]
    if proc.run(mount, timeout=10, check=False).code != 0:
        pytest.skip("mounting is not allowed here")
    try:
        call = harness("custom-html", "--stages", "install")
        assert call.code == 3, call.text
        assert "the results could not be written" in call.text
        assert call.directory is not None
        if call.results:
            assert call.results["verdict"]["outcome"] == "error"
        for name in ("summary.md", "report.html", "junit.xml"):
            assert not (call.directory / name).exists()
    finally:
        proc.run(["umount", str(small)], timeout=10)


def test_one_overlay_that_asserts_nothing_is_not_a_pass_to_merge_on(
    harness: Harness, tmp_path: Path
) -> None:
    """With the generic assertions left out, visibly: warned of, listed, and failed by --strict."""
    folder = tmp_path / "overlays" / "custom-html"
    folder.mkdir(parents=True)
    (folder / "test_install.py").write_text("def test_it():\n    assert True\n")
    words = ("custom-html", "--overlays", str(folder.parent), "--stages")
    call = harness(*words, "install,upgrade", CCCI_SKIP_GENERIC="1")
    assert call.code == 0, call.text
    origins = {a["origin"] for stage in call.results["stages"] for a in stage["assertions"]}
    assert origins == {"overlay"}
    left_out = call.results["left_out"]
    assert left_out == [
        f"generic assertions of {', '.join(s for s in Stage if s is not Stage.CUSTOM)}"
    ]
    assert left_out[0] in call.text.partition("teardown  ")[2]  # after the last table, too
    assert "not on this alone" in call.text
    assert "you may merge" not in call.text.lower()
    missing = [one["stage"] for one in call.results["verdict"]["not_shown"]]
    assert missing == ["install", "upgrade", "backup", "restore", "custom"]
    assert [one["code"] for one in call.results["warnings"]] == [OPTED_OUT]
    assert call.directory is not None
    for name in ("summary.md", "report.html", "junit.xml"):
        text = (call.directory / name).read_text()
        assert OPTED_OUT in text
        assert "you may merge" not in text.lower()
    strict = harness(*words, "install", "--strict", CCCI_SKIP_GENERIC="1")
    assert strict.code == 1, strict.text
    assert OPTED_OUT in strict.results["verdict"]["cause"]
    (folder / "recipe_meta.py").write_text(f"ACCEPT_WARNINGS = {{'{OPTED_OUT}': 'a trial'}}\n")
    accepted = harness(*words, "install", "--strict", CCCI_SKIP_GENERIC="1")
    assert accepted.code == 0, accepted.text
    assert accepted.results["warnings"][0]["accepted"] == "a trial"
    assert "not on this alone" in accepted.text


def test_the_digests_of_what_was_deployed_are_in_the_results(usual: Usual) -> None:
    """Of each service, of the base and of the head."""
    call = usual("custom-html")
    assert call.code == 0, call.text
    found = {(one["service"], one["release"]): one["digest"] for one in call.results["images"]}
    assert set(found) == {("app", "base"), ("app", "head")}
    assert all(digest.startswith("sha256:") for digest in found.values())
