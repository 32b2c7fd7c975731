"""The backup driver `backupbot`: a backup bot in the Swarm does it, as at an operator's.

The bot backs up by the labels and runs the hooks itself; the harness only has it called, names the
snapshot that came of it, and reads that snapshot back out of the bot's repository. What a bot says
is taken for no proof: a backup is one whose snapshot holds every path that the labels declare.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from harness.backups.driver import HookRun, Job, Made
from harness.backups.restic import BY_HAND, OF_OUR_OWN, require_data
from harness.core.errors import BackupError, TestBedError
from harness.core.model import Adaptation
from harness.core.waiting import stretched
from harness.exec.exec import ExecResult, ExecTarget

VOLUMES = "/var/lib/docker/volumes"  # where bots have volumes, each with its data in `_data`
PROGRAM = "/usr/bin/backup"
CALL_SECONDS = 1800.0
RESTIC_SECONDS = 300.0
HOOK = re.compile(r"\b(pre|post)[- ]?hook\b", re.IGNORECASE)
FAULT = re.compile(r"error|fail|fatal", re.IGNORECASE)  # in a line that is for people
# What restic, or a bot in its place, says of a snapshot that lacks files which it could not read.
INCOMPLETE = re.compile(
    r"exit (?:code|status) 3\b|at least one source file could not be read", re.IGNORECASE
)
UNREAD = re.compile(r"\b(?:lstat|stat|open|read\w*) (/\S.*?): ([^\n\"\\]+)", re.IGNORECASE)
GONE = "no such file or directory"
SHOWN = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What came of one call of a bot: the exit code, and all that was printed."""

    code: int
    text: str

    def messages(self) -> list[dict[str, Any]]:
        """Return the lines that are JSON objects, as a bot writes them for programs."""
        found = []
        for line in self.text.splitlines():
            if line.strip().startswith("{"):
                try:
                    message = json.loads(line)
                except ValueError:
                    continue
                found.append(message)
        return found

    def hooks(self) -> tuple[HookRun, ...]:
        """Return the hooks that the bot says it ran; not every bot does."""
        return tuple(
            HookRun(service=m["service"], label=m["label"], output=str(m.get("output", "")))
            for m in self.messages()
            if {"service", "label"} <= m.keys()
        )

    def vanished(self) -> tuple[str, ...]:
        """Return the files that were gone before the bot could read them, if nothing else failed.

        The harness's own bot says so; of another one, it is read from restic's words.
        """
        found = (path for m in self.messages() for path in m.get("vanished") or ())
        return tuple(str(path) for path in found) or self._only_vanished()

    def _only_vanished(self) -> tuple[str, ...]:
        """Return the files that vanished, where that is all that a bot failed for; else nothing."""
        unread = UNREAD.findall(self.text)
        if not INCOMPLETE.search(self.text) or any(HOOK.search(what) for what in self._wrong()):
            return ()
        if not all(reason.strip().lower().startswith(GONE) for _, reason in unread):
            return ()
        return tuple(dict.fromkeys(path for path, _ in unread))

    def _faults(self) -> list[dict[str, Any]]:
        """Return the messages that are errors, or else the lines for people that sound like one."""
        shown = self.text[-SHOWN:].splitlines()
        return [m for m in self.messages() if m.get("level") == "ERROR"] or [
            {"message": one} for one in shown if FAULT.search(one)
        ]

    def _wrong(self) -> list[str]:
        return [str(fault.get("message")) for fault in self._faults()]

    def require(self, act: str, missing: Callable[[], None] = lambda: None) -> None:
        """Refuse a call that failed.

        Args:
            act: what the bot was to do with the app.
            missing: raises what is known of the cause, where the bot's words name no hook.

        Raises:
            BackupError: a hook of the recipe failed.
            TestBedError: anything else did.
        """
        faults = self._faults()
        if self.code == 0 and not any(fault.get("level") for fault in faults):
            return
        shown = self.text[-SHOWN:].strip()
        wrong = self._wrong()
        for fault, what in zip(faults, wrong, strict=True):
            if HOOK.search(what):
                raise BackupError(what, hint=BY_HAND, detail=str(fault.get("output", shown)))
        missing()
        raise TestBedError(
            f"the backup bot could not {act} the app (exit code {self.code})",
            cause=wrong[0] if wrong else "its own lines are below",
            hint="look at its repository and its log; --backup-driver restic needs no bot",
            detail=shown,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A snapshot in a bot's repository: its whole id, what it was tagged with, its paths."""

    id: str
    tags: frozenset[str]
    paths: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> tuple[Snapshot, ...]:
        """Read what `restic snapshots --json` prints."""
        return tuple(
            cls(
                id=one["id"],
                tags=frozenset(one.get("tags") or ()),
                paths=tuple(one.get("paths") or ()),
            )
            for one in json.loads(text or "null") or ()
        )

    def is_of(self, stack: str) -> bool:
        """Whether it is one of that stack: by its tag, or by the volumes in it."""
        return stack in self.tags or any(f"{VOLUMES}/{stack}_" in path for path in self.paths)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bot:
    """A bot that is up.

    Args:
        container: where it runs; restic there finds the bot's repository by itself.
        name: its service's name.
        note: what it is, where the harness started it for this run alone; empty for a server's.
    """

    container: ExecTarget
    name: str
    note: str = ""

    @property
    def own(self) -> bool:
        """Whether it stands in for a server's, and so has a repository of this run alone."""
        return bool(self.note)

    def snapshots(self) -> tuple[Snapshot, ...]:
        """Return every snapshot in its repository."""
        done = self._restic(["snapshots", "--json", "--no-lock"])
        return Snapshot.parse(done.text)

    def sizes(self, snapshot: str, scratch: Path) -> Sequence[int]:
        """Return the size in bytes of every regular file below the volumes of a snapshot.

        The list of an app with many files is too long for memory, so it goes to a file there.
        """
        with tempfile.TemporaryDirectory(dir=scratch) as directory:
            listed = Path(directory, "files.json")
            words = ["ls", "--json", "--no-lock", "--recursive", snapshot, VOLUMES]
            self._restic(words, to=listed)
            with listed.open("rb") as lines:
                nodes = map(json.loads, lines)
                return [int(node.get("size", 0)) for node in nodes if node.get("type") == "file"]

    def dump(self, snapshot: str, to: Path) -> None:
        """Write the volumes of a snapshot to a file, as a tar."""
        self._restic(["dump", "--no-lock", "--archive", "tar", snapshot, VOLUMES], to=to)

    def _restic(self, words: Sequence[str], *, to: Path | None = None) -> ExecResult:
        try:
            return self.container.exec(
                ["restic", "--quiet", *words],
                timeout=stretched(RESTIC_SECONDS),
                stdout_to=to,
                repeatable=True,
            )
        except OF_OUR_OWN as error:
            raise TestBedError(
                f"the repository of the backup bot {self.name} cannot be read: {error.what}",
                cause="its password or its place is not in the environment of its container",
                hint="--backup-driver restic needs no bot",
                detail=error.detail,
            ) from error


class Caller(Protocol):
    """Whoever has a bot called: abra, or the harness in its place."""

    def create(self, bot: Bot, domain: str) -> Said:
        """Have the app of that domain backed up."""

    def restore(self, bot: Bot, domain: str, snapshot: str) -> Said:
        """Have that snapshot brought back."""


@dataclass(frozen=True, slots=True)
class Direct:
    """Calls the bot's program in its container with the words and variables that abra uses."""

    factor: float = 1.0

    def create(self, bot: Bot, domain: str) -> Said:
        """See `Caller.create`."""
        return self._call(bot, "create", {"SERVICE": domain})

    def restore(self, bot: Bot, domain: str, snapshot: str) -> Said:
        """See `Caller.restore`."""
        return self._call(bot, "restore", {"SERVICE": domain, "SNAPSHOT": snapshot})

    def _call(self, bot: Bot, act: str, variables: Mapping[str, str]) -> Said:
        given = [f"{key}={value}" for key, value in variables.items()]
        argv = ["env", *given, "MACHINE_LOGS=true", PROGRAM, "--", act]
        try:
            done = bot.container.exec(argv, timeout=CALL_SECONDS * self.factor, check=False)
        except OF_OUR_OWN as error:
            raise TestBedError(
                f"the backup bot {bot.name} could not be called: {error.what}",
                cause="it has another program than the one that abra calls",
                detail=error.detail,
            ) from error
        return Said(code=done.code, text=f"{done.text}\n{done.stderr.decode(errors='replace')}")


@dataclass(frozen=True, kw_only=True)
class BotDriver:
    """Backs up through a bot.

    Args:
        serving: gives a bot for the length of a block, to this run alone.
        caller: whoever calls it.
        node: the id of the node that the bot is on.
        unpack: puts the tar of a snapshot's volumes where assertions look for that snapshot.
        scratch: a directory of this run's own.
    """

    serving: Callable[[], AbstractContextManager[Bot]]
    caller: Caller
    node: str
    unpack: Callable[[str, Path], None]
    scratch: Path
    name: str = field(default="backupbot", init=False)

    def back_up(self, job: Job) -> Made:
        """See `Driver.back_up`."""
        self._require_here(job)
        with self.serving() as bot:
            if bot.own:
                job.adapted(Adaptation(kind="backup-bot", subject=bot.name, detail=bot.note))
            before = _before(bot)
            said = self.caller.create(bot, job.domain)
            if not said.vanished():
                said.require("back up", lambda: _require_paths(job))
            snapshot = _made(bot, job.stack, before)
            sizes = bot.sizes(snapshot, self.scratch)
            with tempfile.NamedTemporaryFile(dir=self.scratch, suffix=".tar") as archive:
                bot.dump(snapshot, Path(archive.name))
                self.unpack(snapshot, Path(archive.name))
        require_data(len(sizes) - job.own_files, job.spec.parts)
        return Made(
            snapshots={self.node: snapshot},
            files=len(sizes),
            size=sum(sizes),
            hooks=said.hooks(),
            vanished=said.vanished(),
        )

    def restore(self, job: Job, snapshots: Mapping[str, str]) -> tuple[HookRun, ...]:
        """See `Driver.restore`."""
        self._require_here(job)
        with self.serving() as bot:
            said = self.caller.restore(bot, job.domain, snapshots[self.node])
            said.require("restore")
        return said.hooks()

    def _require_here(self, job: Job) -> None:
        """Refuse volumes that the bot does not see, and those that it must not write to.

        Raises:
            TestBedError: some lie on another node, or lead to the host.
        """
        if job.spec.foreign:
            raise TestBedError(
                f"the backup bot would restore {', '.join(job.spec.foreign)}, which leads to data "
                "that the run did not make",
                cause="a bot goes by the labels, and these do not leave that volume out",
                hint="--backup-driver restic leaves it out",
            )
        if elsewhere := [
            part.volume for n, ps in job.parts.items() if n != self.node for part in ps
        ]:
            raise TestBedError(
                f"the backup bot does not see {', '.join(sorted(set(elsewhere)))}",
                cause="a bot backs up the volumes of its own node, and these lie on another one",
                hint="--backup-driver restic, or pin the services to the bot's node",
            )


def _require_paths(job: Job) -> None:
    """Refuse labels that name what does not exist.

    Raises:
        BackupError: they do.
    """
    for node, parts in job.parts.items():
        with job.vault(node) as repository:
            repository.require(parts)


def _before(bot: Bot) -> set[str]:
    """Return the ids of the snapshots that there are; none where there is no repository yet.

    A repository that cannot be read for another reason is found out after the backup.
    """
    if bot.own:
        return set()
    try:
        return {one.id for one in bot.snapshots()}
    except TestBedError:
        return set()


def _made(bot: Bot, stack: str, before: set[str]) -> str:
    """Return the id of the one snapshot of a stack that was not there before.

    Raises:
        BackupError: there is none, whatever the bot says.
        TestBedError: there are several.
    """
    new = [one.id for one in bot.snapshots() if one.id not in before and one.is_of(stack)]
    if not new:
        raise BackupError(
            "the backup bot reported success but created no snapshot of the app",
            cause="it ignores this app's labels",
            hint="look at its log; the labels have to stand under `deploy`",
        )
    if len(new) > 1:
        raise TestBedError(
            f"{len(new)} snapshots of {stack} were made at once",
            cause="a scheduled backup ran at the same time",
            hint="run again",
        )
    return new[0]
