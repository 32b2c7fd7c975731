"""The harness beside a test, which waits for a moment of it and then does something to it."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import docker

from harness.core.errors import HarnessError
from harness.core.events import Doing
from harness.core.waiting import Deadline, wait_for
from harness.swarm.sweep import RUN_LABEL, find
from tests.integration.support import ROOT, RUN_SECONDS, command, environment, reached

PRINTED = "printed.txt"  # below a run's output: all that it printed


@contextmanager
def running(
    output: Path, *words: str, environ: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the harness beside the test; it is ended with the block if it still runs."""
    output.mkdir(parents=True, exist_ok=True)
    with (output / PRINTED).open("wb") as printed:
        process = subprocess.Popen(  # noqa: S603  the harness itself
            command("run", *words, "--output", str(output)),
            cwd=ROOT, env=environment(**(environ or {})), stdout=printed, stderr=printed,
        )  # fmt: skip
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def reaches(output: Path, doing: Doing, process: subprocess.Popen[bytes]) -> None:
    """Wait until the run has begun this step."""

    def ended(_reached: bool) -> HarnessError | None:  # noqa: FBT001  one argument: the look
        return HarnessError("the run ended first") if process.poll() is not None else None

    wait_for(
        reached(output, doing), what=f"'{doing}'", deadline=Deadline.after(RUN_SECONDS),
        failed=ended, interval=0.02,
    )  # fmt: skip


def run_of(output: Path) -> str:
    """Return the id of the only run below a directory."""
    (directory,) = (path for path in output.iterdir() if path.is_dir())
    return directory.name


def left(client: docker.DockerClient, run: str) -> list[str]:
    """Return what there is of a run."""
    return [str(item) for item in find(client, f"{RUN_LABEL}={run}")]
