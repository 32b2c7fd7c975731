"""Runs that are stopped, killed or blocked: nothing stays that the next run does not remove."""

import os
import secrets
import signal
import subprocess
from pathlib import Path

import docker
import pytest

from harness.core.events import Doing, LockEvent, RunEnded
from harness.core.model import Outcome
from harness.run.reaper import stack_lock
from harness.swarm.sweep import STACK_LABEL, find
from tests.integration.conftest import Harness
from tests.integration.running import left, reaches, run_of, running
from tests.integration.support import (
    DEPLOYING,
    INSTALL_ASSERTIONS,
    INSTALLING,
    REDEPLOYING,
    ROOT,
    TEARDOWN,
    command,
    environment,
    recorded,
)


def test_a_run_killed_in_mid_upgrade_is_cleaned_up_by_the_next(
    apart: Harness, tmp_path: Path
) -> None:
    """SIGKILL: nothing of the dead run could clean up, so the next one has to, and is green."""
    output = tmp_path / "killed"
    with running(output, "custom-html", environ=apart.environ) as process:
        reaches(output, REDEPLOYING, process)
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
    ("number", "moment"),
    [
        (signal.SIGTERM, DEPLOYING),
        (signal.SIGINT, INSTALL_ASSERTIONS),
        (signal.SIGTERM, TEARDOWN),
    ],
)
def test_a_run_that_is_told_to_stop_cleans_up(
    number: signal.Signals, moment: Doing, client: docker.DockerClient, tmp_path: Path
) -> None:
    """It is *aborted*, with its own exit code, and removes what it made."""
    with running(tmp_path, "custom-html", "--stages", "install") as process:
        reaches(tmp_path, moment, process)
        process.send_signal(number)
        assert process.wait(120) == 130
    text = (tmp_path / "printed.txt").read_text()
    assert "Traceback" not in text
    assert "custom-html: aborted" in text
    ended = recorded(tmp_path)[run_of(tmp_path)][-1]
    assert isinstance(ended, RunEnded)
    assert (ended.outcome, ended.exit_code) == (Outcome.ABORTED, 130)
    assert left(client, run_of(tmp_path)) == []


def test_a_run_that_takes_too_long_is_an_error_and_is_removed(
    harness: Harness, client: docker.DockerClient
) -> None:
    """Its own deadline stops it in the middle of a stage, and says how to allow more."""
    call = harness("custom-html", "--run-timeout", "6")
    assert call.code == 3, call.text
    assert "custom-html: error" in call.text
    assert "the run exceeded its time limit of 6 s" in call.text
    assert "--run-timeout SECONDS" in call.text
    assert left(client, call.results["run"]) == []


def test_a_second_run_of_a_stack_waits_and_gives_up(apart: Harness, tmp_path: Path) -> None:
    """It shows who holds the lock, and has its own exit code."""
    output, domain = tmp_path / "first", f"locked-{secrets.token_hex(4)}.test"
    words = ("custom-html", "--stages", "install", "--domain", domain)
    with running(output, *words, environ=apart.environ) as process:
        reaches(output, INSTALLING, process)
        process.send_signal(signal.SIGSTOP)  # so that it holds the lock for as long as it takes
        call = apart(*words, "--lock-timeout", "1")
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGTERM)
        process.wait(120)
    assert call.code == 5, call.text
    assert f"process {process.pid} on {os.uname().nodename}" in call.text
    waits = {one.lock for one in call.events if isinstance(one, LockEvent)}
    assert stack_lock(domain.replace(".", "_")) in waits


def test_a_kept_app_stays_until_it_is_told_to_go(apart: Harness, tmp_path: Path) -> None:
    """`--keep` says how; a run in between leaves it alone, and no other deploys over it."""
    domain = f"kept-{secrets.token_hex(4)}.test"
    call = apart("custom-html", "--stages", "install", "--keep", "--domain", domain)
    assert call.code == 0, call.text
    run, stack = call.results["run"], call.results["stack"]
    assert f"nox -s reap -- {run}" in call.text
    again = Harness(apart.client, tmp_path / "again", apart.environ)
    over = again("custom-html", "--stages", "install", "--domain", domain)
    assert over.code == 2
    assert f"there is already a stack {stack}" in over.text
    assert find(apart.client, f"{STACK_LABEL}={stack}")
    reap = subprocess.run(  # noqa: S603  the harness itself
        command("reap", run), cwd=ROOT, env=environment(**apart.environ), capture_output=True,
        check=False,
    )  # fmt: skip
    assert reap.returncode == 0
    assert left(apart.client, run) == []


def test_a_foreign_stack_is_never_touched(apart: Harness) -> None:
    """Not by a sweep, and not when its name is asked for."""
    domain = f"foreign-{secrets.token_hex(4)}.test"
    stack = domain.replace(".", "_")
    label = {"com.docker.stack.namespace": stack}
    apart.client.volumes.create(f"{stack}_data", labels=label)
    try:
        call = apart("custom-html", "--stages", "install", "--domain", domain)
    finally:
        apart.client.volumes.get(f"{stack}_data").remove()  # raises when it is gone
    assert call.code == 2, call.text
    assert stack in call.text
