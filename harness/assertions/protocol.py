"""What the orchestrator tells the child that runs a stage's assertions, and what comes back.

Both directions are JSON: one line on the child's standard input, one line per result in a file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from harness.assertions.look import Page
from harness.core.model import AssertionResult, Origin, Stage
from harness.recipes.doors import Door
from harness.swarm.nodes import Endpoint

END = {"event": "end"}
BEGIN = "begin"  # the event of a test, or of the reading of a file, that begins


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the app itself is asked whether it works, from the recipe's meta and its own files."""

    service: str = "app"  # empty: the app has no page
    port: int = 80
    path: str = "/"
    status: int | None = None  # None means any below 400
    marker: str = ""  # text that the body must hold; empty means none is known
    scheme: str = "http"
    check: str = ""  # the path that its health check asks on that port, or empty
    certain: bool = True  # whether something says that there is a page
    answered: str = ""  # the stage after which the page was there, or empty
    earlier: Page | None = None  # that page
    doors: tuple[Door, ...] = ()  # every way to a page, for redirects that lead to another service

    def accepts(self, status: int) -> bool:
        """Whether that status is the one of a page, or leads to one."""
        if self.status is not None:
            return status == self.status
        return 200 <= status < 400  # noqa: PLR2004  as HTTP has it


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a run knows about itself, for assertions to compare the deployment with.

    Commits are full hashes of 40 hex digits. `base_*` are empty when nothing is upgraded.
    `seen` is what each op reported, by stage; `state` is what the seed hooks remembered.
    """

    run: str
    recipe: str
    stack: str
    domain: str
    stage: Stage
    deployed: str  # the commit that is deployed now
    deployed_version: str  # the version that its compose file declares, or empty
    services: tuple[str, ...]  # of the compose files that were deployed last
    chaos: bool
    base_commit: str
    base_version: str
    head_commit: str
    head_version: str
    ledger: str  # a path
    health: Health
    deploys: int = 1  # fresh ones: two where a base that cannot be installed was removed
    head_release: str = ""  # the version that the head's tag says, when it is a release itself
    handed_over: tuple[str, ...] = ()  # ids of the containers that ran when the op had settled
    seen: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One stage's assertions: which files, about what, over which engine, with results to where."""

    facts: Facts
    files: tuple[tuple[str, Origin], ...]
    root: str
    results: str
    log: str  # where the process that runs them prints
    engine: Mapping[str, str]  # the environment variables that lead to the engine
    node_id: str
    reader: str  # the tool container that asks apps for pages and reads the backup repository
    readers: Mapping[str, str]  # the tool containers with a repository, by their node's id
    patience: float  # seconds to wait for a container
    timeout_factor: float
    others: tuple[Endpoint, ...] = ()  # how the engines of other nodes are reached
    killed: tuple[str, ...] = ()  # ids of containers that were ended from outside until now


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Test files that are read before anything is deployed, with what is wrong with them to where.

    Reading runs what stands at the top of a file and of its `conftest.py`, and no test.
    """

    files: tuple[tuple[str, Origin], ...]
    root: str
    results: str
    log: str  # where the process that reads them prints


def dump(order: Order | Reading) -> bytes:
    """Return an order as one line."""
    return json.dumps(asdict(order)).encode()


def load(line: str) -> Order | Reading:
    """Read what `dump` wrote."""
    raw = json.loads(line)
    kind: type[Order | Reading] = Order if "facts" in raw else Reading
    return msgspec.convert(raw, kind)


def append(path: Path, entry: Mapping[str, object]) -> None:
    """Append one entry to the results file."""
    with path.open("a") as stream:
        stream.write(json.dumps(entry) + "\n")


def read_results(path: Path) -> tuple[tuple[AssertionResult, ...], bool]:
    """Return the results, and whether the child wrote them to the end.

    A torn line, of a child that was killed or had no room, is left out: then it was not the end.
    """
    lines, entries = _entries(path)
    whole = bool(lines) and len(entries) == lines and entries[-1] == END
    results = [entry for entry in entries if "event" not in entry]
    return msgspec.convert(results, tuple[AssertionResult, ...]), whole


def unfinished(path: Path) -> str:
    """Return the test, or the file, with which the child began last; empty if it was done."""
    _, entries = _entries(path)
    begun = [entry["nodeid"] for entry in entries if entry.get("event") == BEGIN]
    return "" if not begun or entries[-1] == END else begun[-1]


def _entries(path: Path) -> tuple[int, list[dict[str, Any]]]:
    """Return how many lines there are, and those that can be read."""
    lines = path.read_text().splitlines() if path.exists() else []
    entries: list[dict[str, Any]] = []
    for line in lines:
        with suppress(ValueError):
            entries.append(json.loads(line))
    return len(lines), entries
