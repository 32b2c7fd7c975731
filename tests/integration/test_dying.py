"""Runs that are stopped, killed or blocked: nothing stays that the next run does not remove."""

import os
import signal
import subprocess
from pathlib import Path

import docker
import pytest

from harness.docker.sweep import STACK_LABEL, find
from tests.integration.conftest import Harness
from tests.integration.running import left, reaches, run_of, running
from tests.integration.support import ROOT, command, environment


def test_a_run_killed_in_mid_upgrade_is_cleaned_up_by_the_next(
    apart: Harness, tmp_path: Path
) -> None:
    """SIGKILL: nothing of the dead run could clean up, so the next one has to, and is green."""
    output = tmp_path / "killed"
    with running(output, "custom-html", environ=apart.environ) as process:
        reaches(output, "redeploy: waiting until settled", process)
        process.kill()
    dead, work = run_of(output), Path(apart.environ["CCCI_CACHE"]) / "work"
    assert left(apart.client, dead)
    assert (work / dead).exists()
    call = apart("custom-html", "--stages", "install")
    assert call.code == 0, call.text
    assert f"left over  {dead}: removed" in call.text
    assert left(apart.client, dead) == []
    assert not (work / dead).exists()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGTERM, "deploy: waiting until settled"),
        (signal.SIGINT, "install: assertions"),
        (signal.SIGTERM, "custom-html: teardown"),
    ],
)
def test_a_run_that_is_told_to_stop_cleans_up(
    number: signal.Signals, words: str, client: docker.DockerClient, tmp_path: Path
) -> None:
    """It is *aborted*, with its own exit code, and removes what it made."""
    with running(tmp_path, "custom-html", "--stages", "install") as process:
        reaches(tmp_path, words, process)
        process.send_signal(number)
        assert process.wait(120) == 130
    text = (tmp_path / "printed.txt").read_text()
    assert "Traceback" not in text
    assert "custom-html: aborted" in text
    assert left(client, run_of(tmp_path)) == []


def test_a_run_that_takes_too_long_is_an_error_and_is_removed(
    harness: Harness, client: docker.DockerClient
) -> None:
    """Its own deadline stops it in the middle of a stage, and says how to allow more."""
    call = harness("custom-html", "--run-timeout", "6")
    assert call.code == 3, call.text
    assert "custom-html: error" in call.text
    assert "the run was not over after 6 s" in call.text
    assert "--run-timeout SECONDS" in call.text
    assert left(client, call.results["run"]) == []


def test_a_second_run_of_a_stack_waits_and_gives_up(harness: Harness, tmp_path: Path) -> None:
    """It shows who holds the lock, and has its own exit code."""
    output = tmp_path / "first"
    with running(output, "custom-html", "--domain", "locked.test") as process:
        reaches(output, "install: op", process)
        call = harness("custom-html", "--domain", "locked.test", "--lock-timeout", "1")
        process.send_signal(signal.SIGTERM)
        process.wait(120)
    assert call.code == 5, call.text
    assert f"process {process.pid} on {os.uname().nodename}" in call.text
    assert "waiting for the lock 'stack-locked_test'" in call.text


def test_two_runs_of_a_recipe_at_once_do_not_meet(harness: Harness, tmp_path: Path) -> None:
    """Each has its own domain, stack, checkout and snapshot."""
    output = tmp_path / "other"
    with running(output, "custom-html") as process:
        call = harness("custom-html")
        assert process.wait(120) == 0, (output / "printed.txt").read_text()
    assert call.code == 0, call.text


def test_a_kept_app_stays_until_it_is_told_to_go(
    harness: Harness, client: docker.DockerClient
) -> None:
    """`--keep` says how; a run in between leaves it alone, and nobody deploys over it."""
    call = harness("custom-html", "--stages", "install", "--keep", "--domain", "kept.test")
    assert call.code == 0, call.text
    run = call.results["run"]
    try:
        assert f"nox -s reap -- {run}" in call.text
        assert harness("custom-html", "--stages", "install").code == 0
        assert find(client, f"{STACK_LABEL}=kept_test")
        over = harness("custom-html", "--stages", "install", "--domain", "kept.test")
        assert over.code == 2
        assert "there is already a stack kept_test" in over.text
    finally:
        reap = subprocess.run(  # noqa: S603  the harness itself
            command("reap", run), cwd=ROOT, env=environment(), capture_output=True, check=False
        )
    assert reap.returncode == 0
    assert left(client, run) == []


def test_a_foreign_stack_is_never_touched(harness: Harness, client: docker.DockerClient) -> None:
    """Not by a sweep, and not when its name is asked for."""
    label = {"com.docker.stack.namespace": "foreign_test"}
    client.volumes.create("foreign_test_data", labels=label)
    try:
        call = harness("custom-html", "--stages", "install", "--domain", "foreign.test")
        assert harness("custom-html", "--stages", "install").code == 0
    finally:
        client.volumes.get("foreign_test_data").remove()  # raises when it is gone
    assert call.code == 2, call.text
    assert "foreign_test" in call.text
