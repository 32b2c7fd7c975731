"""The runs that are there, in SQLite: a results.json is read once, and again when it changed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

import msgspec

from harness.core.model import Outcome
from harness.report.answer import limits, place
from harness.report.results import LOGS, RESULTS_FILE, RunResult, read, unfinished

VERSION = 4  # of the table; an index of another version is made anew
# Settings that change where and how fast a run goes, and not what it comes to.
INDIFFERENT = {
    *("output", "jobs", "cache", "keep", "lock", "lock_timeout", "run_timeout", "domain"),
    *("timeout_factor", "ref", "src", "pr", "version"),  # the commits are compared themselves
}
TABLE = """CREATE TABLE IF NOT EXISTS runs
 (path TEXT PRIMARY KEY, changed INTEGER, run TEXT, started TEXT, indexed TEXT)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTime:
    """One stage of a run: its word, and what its op and its assertions took, in seconds."""

    stage: str
    outcome: Outcome
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexed:
    """One run, as the page needs it.

    Attributes:
        directory: where it is.
        same: what has to be equal for two runs to be expected to end alike; empty when the run
            did not get so far that its commit was known.
        asked: the stages that were asked for, whether it got to them or not.
        limits: what it was about, where that is not everything; empty where it is.
        warnings: where each warning was seen, its text, and why it is accepted (or empty).
        images: the digest of each image that was deployed, by release, service and name.
        kind: the kind of error that ended it, or empty.
    """

    directory: Path
    run: str
    recipe: str
    started: str
    seconds: float
    outcome: Outcome
    stage: str
    cause: str
    kind: str
    head: str
    same: str
    stages: tuple[StageTime, ...]
    asked: tuple[str, ...]
    limits: str = ""
    warnings: tuple[tuple[str, str, str], ...] = ()
    images: Mapping[str, str] = field(default_factory=dict)

    @property
    def open_warnings(self) -> int:
        """How many warnings the recipe does not accept."""
        return sum(not accepted for _, _, accepted in self.warnings)


def refresh(file: Path, roots: Iterable[Path]) -> tuple[list[Indexed], list[str]]:
    """Bring the index up to date, and return all runs, oldest first, and what could not be read.

    Args:
        file: the index; made when it is not there, and at any time safe to delete.
        roots: directories below which runs are looked for.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    roots = list(roots)
    found = {path.resolve() for root in roots for path in root.rglob(RESULTS_FILE)}
    begun = {path.parent.resolve() for root in roots for path in root.rglob(LOGS)}
    unread = [
        f"{path}: no {RESULTS_FILE}: the run did not finish, or is still going on"
        for path in sorted(begun)
        if unfinished(path)
    ]
    with closing(sqlite3.connect(file)) as database, database:
        if database.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            database.execute("DROP TABLE IF EXISTS runs")
            database.execute(f"PRAGMA user_version = {VERSION}")
        database.execute(TABLE)
        known = dict(database.execute("SELECT path, changed FROM runs").fetchall())
        gone = [(path,) for path in known if Path(path) not in found]
        database.executemany("DELETE FROM runs WHERE path = ?", gone)
        for path in sorted(found):
            changed = path.stat().st_mtime_ns
            if known.get(str(path)) == changed:
                continue
            try:
                result = read(path.parent)
            except (OSError, ValueError) as error:
                unread.append(f"{path}: {error}")
                continue
            if result is not None:
                text = json.dumps(asdict(_indexed(path.parent, result)), default=str)
                row = (str(path), changed, result.run, result.started, text)
                database.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?)", row)
        # A run that was copied is there twice, and counts once.
        rows = database.execute("SELECT indexed FROM runs GROUP BY run ORDER BY started, run")
        texts = [json.loads(text) for (text,) in rows]
        return msgspec.convert(texts, list[Indexed], dec_hook=_path), unread


def _path(kind: type[Path], text: str) -> Path:
    return kind(text)


def _indexed(directory: Path, result: RunResult) -> Indexed:
    verdict = result.verdict
    return Indexed(
        directory=directory, run=result.run, recipe=result.recipe, started=result.started,
        seconds=result.seconds, outcome=verdict.outcome, stage=verdict.stage, cause=verdict.cause,
        kind=verdict.kind, head=result.head.commit if result.head else "", same=same(result),
        asked=result.asked, limits=limits(result),
        stages=tuple(
            StageTime(stage=one.stage, outcome=one.outcome,
                      seconds=one.op_seconds + one.assert_seconds)
            for one in result.stages
        ),
        warnings=tuple((place(one), one.text, one.accepted) for one in result.warnings),
        images={f"{one.release} {one.service} {one.image}": one.digest for one in result.images},
    )  # fmt: skip


def _value(setting: str) -> str:
    """Return a setting without its origin, which stands behind it in brackets."""
    return setting.rpartition(" (")[0]


def same(result: RunResult) -> str:
    """Return what has to be equal for two runs to be expected to end alike."""
    if result.head is None:
        return ""
    settings = {
        name: _value(value) for name, value in result.settings.items() if name not in INDIFFERENT
    }
    base = result.base.commit if result.base else ""
    what = [result.recipe, result.head.commit, base, result.platform, result.harness]
    return json.dumps([*what, settings])
