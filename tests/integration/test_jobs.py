"""Many runs at once: green together, red apart, stopped together, and never unseen."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import pytest

from harness.core.errors import HarnessError
from harness.core.event_log import FILE, entries
from harness.core.events import EventKind, Stopping
from harness.core.waiting import Deadline, wait_for
from harness.swarm.sweep import RUN_LABEL, find
from tests.integration.conftest import Harness
from tests.integration.running import PRINTED, running
from tests.integration.support import (
    DEPLOYING,
    ROOT,
    RecipeRepo,
    command,
    environment,
    recipe_files,
    recorded,
)

pytestmark = pytest.mark.timeout(600)  # several runs beside each other


def until(process: subprocess.Popen[bytes], what: str, so: Callable[[], bool]) -> None:
    """Wait until something is so while the fleet still runs."""

    def ended(_so: bool) -> HarnessError | None:  # noqa: FBT001  one argument: the look
        return HarnessError("the fleet ended first") if process.poll() is not None else None

    wait_for(so, what=what, deadline=Deadline.after(120), failed=ended)


def runs(output: Path) -> list[Path]:
    """Return the directories of the runs."""
    return [path for path in output.iterdir() if path.is_dir() and "jobs-" not in path.name]


def result(run: Path) -> dict[str, Any]:
    """Return what a run wrote down."""
    found: dict[str, Any] = json.loads((run / "results.json").read_text())
    return found


def left(client: docker.DockerClient, output: Path) -> list[str]:
    """Return what there still is of the runs."""
    return [str(item) for run in runs(output) for item in find(client, f"{RUN_LABEL}={run.name}")]


def deploying(output: Path) -> int:
    """Return how many runs are in the middle of their first deployment, or beyond it."""
    return sum(DEPLOYING in events for events in recorded(output).values())


def stopping(output: Path) -> int:
    """Return how many runs have been told to stop."""
    events = recorded(output).values()
    return sum(any(isinstance(one, Stopping) for one in of_run) for of_run in events)


def times(run: Path, kind: EventKind) -> list[str]:
    """Return when a run recorded events of that kind."""
    return [str(one["at"]) for one in entries(run / FILE) if one["event"] == kind]


def processes(output: Path) -> list[int]:
    """Return the processes that write below a directory, by their command lines."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(output) in path.read_bytes().decode(errors="replace"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_four_runs_of_two_recipes_are_green_and_shown_in_order(
    client: docker.DockerClient, tmp_path: Path
) -> None:
    """Each is a run of its own: stack, domain, directory, snapshot."""
    names = ("custom-html", "radicale", "custom-html", "radicale")
    with running(tmp_path, *names, "--jobs", "4", "--stages", "backup") as process:
        code = process.wait(300)
    text = (tmp_path / PRINTED).read_text()
    assert code == 0, text
    assert "Traceback" not in text
    assert tuple(re.findall(r"^([\w-]+): passed after", text, re.MULTILINE)) == names
    table = text[text.rindex("recipe  ") :].splitlines()
    assert [line.split("  ")[0] for line in table[1:5]] == [
        "custom-html (1)", "radicale (1)", "custom-html (2)", "radicale (2)",
    ]  # fmt: skip
    assert table[5] == "4 passed"
    results = [result(run) for run in runs(tmp_path)]
    assert len({one["stack"] for one in results}) == len({one["domain"] for one in results}) == 4
    snapshots = {
        str(stage["facts"]["snapshot"]) for one in results for stage in one["stages"]
        if stage["stage"] == "backup"
    }  # fmt: skip
    assert len(snapshots) == 4
    began = [time for run in runs(tmp_path) for time in times(run, EventKind.BEGIN)]
    over = [time for run in runs(tmp_path) for time in times(run, EventKind.STAGE)]
    assert len(began) == 4
    assert max(began) < min(over), "they did not run at once"
    assert left(client, tmp_path) == []


def test_one_that_fails_decides_and_hurts_no_other(
    client: docker.DockerClient, tmp_path: Path
) -> None:
    """Its word, cause and code beside the other's pass."""
    broken = RecipeRepo.make(tmp_path / "broken")
    changes = {"http://127.0.0.1/": "http://127.0.0.1:1/", "timeout=60": "timeout=8"}
    broken.commit(recipe_files("1.0.0+1", **changes))
    output = tmp_path / "runs"
    words = ("custom-html", str(broken.path), "--jobs", "2", "--stages", "install")
    with running(output, *words) as process:
        code = process.wait(300)
    text = (output / PRINTED).read_text()
    assert code == 1, text
    rows = text[text.rindex("recipe  ") :].splitlines()
    assert rows[1].split()[:2] == ["custom-html", "passed"]
    assert rows[2].split()[:2] == ["broken", "failed"]
    assert "the app had not settled after 8 s" in rows[2]
    assert "1 passed, 1 failed" in rows
    assert "again    nox -s e2e" in text
    assert "--jobs" not in text.partition("again    ")[2].partition("\n")[0]
    assert left(client, output) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_fleet_that_is_told_to_stop_removes_all_its_apps(
    number: signal.Signals, client: docker.DockerClient, tmp_path: Path
) -> None:
    """Those that run are aborted, the one that waits is not started."""
    names = ("custom-html", "radicale", "custom-html")
    with running(tmp_path, *names, "--jobs", "2") as process:
        until(process, "two deployments", lambda: deploying(tmp_path) == 2)
        process.send_signal(number)
        assert process.wait(120) == 130
    text = (tmp_path / PRINTED).read_text()
    assert "Traceback" not in text
    assert text.rstrip().endswith("3 aborted")
    assert len(runs(tmp_path)) == 2
    assert [result(run)["verdict"]["outcome"] for run in runs(tmp_path)] == ["aborted"] * 2
    assert left(client, tmp_path) == []
    assert processes(tmp_path) == []


def test_two_signals_leave_at_once_and_the_next_run_cleans_up(
    apart: Harness, tmp_path: Path
) -> None:
    """Nothing runs on, and what is left is found by label."""
    output, words = tmp_path / "left", ("custom-html", "radicale", "--jobs", "2")
    with running(output, *words, environ=apart.environ) as process:
        until(process, "two deployments", lambda: deploying(output) == 2)
        process.send_signal(signal.SIGINT)
        until(process, "the notices", lambda: stopping(output) == 2)
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130
    assert "leaving at once; `nox -s reap` removes what is left" in (output / PRINTED).read_text()
    wait_for(
        lambda: processes(output), what="no process", deadline=Deadline.after(60),
        ready=lambda found: not found,
    )  # fmt: skip
    assert apart("custom-html", "--stages", "install").code == 0
    assert left(apart.client, output) == []


def test_runs_notice_that_their_fleet_was_killed(
    client: docker.DockerClient, tmp_path: Path
) -> None:
    """They stop by themselves and clean up, so that nothing runs on unseen."""
    with running(tmp_path, "custom-html", "radicale", "--jobs", "2") as process:
        until(process, "two deployments", lambda: deploying(tmp_path) == 2)
        process.kill()
        process.wait(30)
    wait_for(
        lambda: processes(tmp_path), what="no process", deadline=Deadline.after(60),
        ready=lambda found: not found,
    )  # fmt: skip
    assert [result(run)["verdict"]["outcome"] for run in runs(tmp_path)] == ["aborted"] * 2
    assert left(client, tmp_path) == []


def test_a_run_that_is_killed_is_an_error_beside_one_that_passes(
    apart: Harness, tmp_path: Path
) -> None:
    """What is known of it is shown, with how to clean up."""
    output = tmp_path / "killed"
    words = ("custom-html", "radicale", "--jobs", "2", "--stages", "install")
    with running(output, *words, environ=apart.environ) as process:
        until(process, "two deployments", lambda: deploying(output) == 2)
        (victim,) = [
            pid for pid in processes(output)
            if "\0custom-html\0" in Path(f"/proc/{pid}/cmdline").read_text()
            and "\0harness\0follow\0" in Path(f"/proc/{pid}/cmdline").read_text()
        ]  # fmt: skip
        os.kill(victim, signal.SIGKILL)
        code = process.wait(120)
    text = (output / PRINTED).read_text()
    assert code == 3, text
    assert "custom-html: error\ncause    its process was killed by SIGKILL at 'deploy: wa" in text
    assert "next     nox -s reap removes what it left" in text
    assert "radicale: passed after" in text
    assert apart("custom-html", "--stages", "install").code == 0
    assert left(apart.client, output) == []


def test_one_domain_for_many_is_refused(harness: Harness) -> None:
    """Nothing is started."""
    call = harness("custom-html", "radicale", "--jobs", "2", "--domain", "one.test")
    assert call.code == 2
    assert "2 runs cannot share the domain one.test" in call.text
    assert call.directory is None


def test_nox_hands_its_own_parallel_option_on(tmp_path: Path) -> None:
    """One session, one table, and the exit code of the harness; no word of -j being ignored."""
    done = subprocess.run(  # noqa: S603  the harness itself
        [
            *(command()[0], "-m", "nox", "-j", "2", "-s", "e2e", "--", "custom-html", "radicale"),
            *("--stages", "install", "--output", str(tmp_path)),
        ],
        cwd=ROOT, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    assert "\n2 passed" in text
    assert "ignoring --parallel" not in text
    assert len(runs(tmp_path)) == 2
