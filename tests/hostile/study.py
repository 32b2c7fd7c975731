"""`python -m tests.hostile.study SOURCE`: read a recipe as a run does before it deploys anything.

Prints what came of it as JSON: the word, the message, the seconds, and the most memory that the
process took. It is a process of its own because memory that was taken once is counted for ever.
"""

import json
import re
import resource
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from docker.errors import NotFound

from harness.ci.under_test import asked_commit
from harness.core import signals
from harness.core.settings import Settings
from harness.core.signals import reading
from harness.lint import linting
from harness.platforms.base import Revision, Target
from harness.platforms.environment import AppEnvironment
from harness.platforms.override import Machine, build
from harness.platforms.refusals import refuse
from harness.platforms.stackfile import write
from harness.recipes.catalogue import Entry
from harness.recipes.cloning import clone
from harness.run.own_tests import Places
from harness.run.subject import study
from harness.swarm.faults import as_harness_error

SECONDS = 12.0  # of the processor, in the place of what a run has
ROOM = 2 << 30  # bytes of address space: more would hurt whoever runs this


def read(source: str, work: Path) -> str:
    """Clone a recipe, lint it and plan its run; return what is deployed."""
    entry = Entry(name="made", source=source)
    target = Target(recipe="made", run="r", scope="s", domain="made.test")
    settings = Settings.load([], {})
    repo = clone(source, work / "recipe", timeout=300)
    places = Places(tests=work, overlays=work, work=work)
    with reading():
        linting.lint(entry, repo, settings, {}, work=work)
        commit = asked_commit(entry, repo, settings)
        subject = study(entry, repo, commit, settings, target, places=places)
    files = repo.files(subject.plan.head.commit)
    compose = AppEnvironment.of(files, target).compose(files)
    refuse(_empty_engine(), compose, target)
    revision = Revision(files=files, commit=files.commit, chaos=False)
    override, _ = build(compose, target, revision, Machine(dnsrr=True))
    write(compose, override, work / "stack")
    return ", ".join(compose.services)


def _empty_engine() -> Any:  # noqa: ANN401  stands in for a client of an engine without anything
    def missing(name: str) -> None:
        raise NotFound(f"no such volume: {name}")

    return SimpleNamespace(
        api=SimpleNamespace(inspect_volume=missing, configs=list, secrets=list, networks=list)
    )


def peak() -> int:
    """Return the most memory that this process has taken, in bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


def main(source: str) -> None:
    """Read a recipe and print what came of it."""
    signals.READING_SECONDS = SECONDS
    resource.setrlimit(resource.RLIMIT_AS, (ROOM, ROOM))
    began, spent = time.monotonic(), time.process_time()
    word, said = "read", ""
    with tempfile.TemporaryDirectory() as work:
        try:
            said = read(source, Path(work))
        except Exception as error:  # noqa: BLE001  as a run does
            found = as_harness_error(error)
            word, said = str(found.outcome), str(found)
    print(json.dumps({  # noqa: T201  it is a program
        "word": word, "said": said, "peak": peak(), "seconds": time.monotonic() - began,
        "spent": time.process_time() - spent,
    }))  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1])
