"""Backup and restore with restic, run for real against the app's volumes.

Two containers of the harness's own tool image share one repository, which is a volume of this run:
the *reader* only reads the repository, the *vault* has the app's volumes mounted below `/volumes`.
A repository serves one run, so no run can ever meet another one's snapshot; still, snapshots are
always named by id and never as "latest".
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from harness.backups.content import FORMAT, Entry
from harness.backups.dumps import BROKEN
from harness.backups.labels import BackupSpec, VolumePart
from harness.backups.put_back import PutBack
from harness.backups.unread import INCOMPLETE, SHOWN_FILES, Unread
from harness.core.errors import (
    BackupError,
    ExecFailedError,
    ExecNotStartedError,
    ExecOutputError,
    ExecTimeoutError,
    TestBedError,
)
from harness.core.waiting import stretched
from harness.exec.exec import ExecResult, ExecTarget
from harness.exec.exec_stream import EXCERPT, MOST_OUTPUT

VOLUMES = "/volumes"
STORE = "/store"  # a volume of the run: what all tool containers of a node share
REPOSITORY = f"{STORE}/repository"
EXTRACTED = f"{STORE}/extracted"
RESTORE_BEGAN = f"{STORE}/restore-began"
BY_HAND = "run it by hand: docker exec CONTAINER bash -o pipefail -c 'HOOK', or sh without pipefail"
# Prints `link` or `none` and the path, for each path that cannot be backed up as it is named.
FOUND = r"""
for path; do
    [[ -e $path || -L $path ]] || { printf 'none\0%s\0' "$path"; continue; }
    folder=${path%/*}
    [[ $(cd -P -- "$folder" && pwd) == "$folder" ]] || printf 'link\0%s\0' "$path"
done
"""
# The tool container is ours: what fails in it says nothing about the recipe.
OF_OUR_OWN = (ExecFailedError, ExecNotStartedError, ExecTimeoutError)
# What `restic init` made, once: it picks a key that takes a second of a processor to open. The
# password protects nothing: a repository lives with the run, beside the volumes that it holds.
EMPTY = Path(__file__).with_name("repository")
FOLDERS = ("", "/data", "/index", "/keys", "/locks", "/snapshots")
ENVIRONMENT = {
    "RESTIC_REPOSITORY": REPOSITORY,
    "RESTIC_PASSWORD": "cc-ci",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A snapshot as restic reported it: its id (in hex), files and bytes it looked at."""

    id: str
    files: int
    size: int  # bytes
    vanished: tuple[str, ...] = ()  # files that were gone before they could be read

    @classmethod
    def parse(cls, output: str) -> Snapshot:
        """Read the last message of `restic backup --json`.

        Raises:
            BackupError: there is no summary in it.
        """
        for line in reversed(output.splitlines()):
            message = json.loads(line) if line.startswith("{") else {}
            if message.get("message_type") == "summary":
                return cls(
                    id=message["snapshot_id"],
                    files=int(message["total_files_processed"]),
                    size=int(message["total_bytes_processed"]),
                )
        raise BackupError("restic reported no snapshot", detail=output[-2000:])


def empty_repository() -> bytes:
    """Return a tar of an empty repository, to be unpacked at /."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for folder in FOLDERS:
            entry = tarfile.TarInfo(f"{REPOSITORY}{folder}".lstrip("/"))
            entry.type, entry.mode = tarfile.DIRTYPE, 0o700
            archive.addfile(entry)
        for path in sorted(EMPTY.rglob("*")):
            if path.is_file():
                entry = tarfile.TarInfo(f"{REPOSITORY}/{path.relative_to(EMPTY)}".lstrip("/"))
                entry.size, entry.mode = path.stat().st_size, 0o400
                archive.addfile(entry, io.BytesIO(path.read_bytes()))
    return buffer.getvalue()


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A restic repository, seen from a container that has it mounted.

    Args:
        target: the container; its environment and password file are already in place.
        timeout: seconds for one restic call.
    """

    target: ExecTarget
    timeout: float = 300.0

    def backup(
        self, parts: Sequence[VolumePart], *, host: str, own_files: int | None = 0
    ) -> Snapshot:
        """Back the parts up into one snapshot.

        Args:
            parts: what to back up.
            host: the name that the snapshot gets.
            own_files: how many of the files are the harness's own, and no data of the app; None
                where the snapshot may be empty, because there are others.

        Raises:
            BackupError: a declared path does not exist, or not a single file of the app was found.
        """
        self.require(parts)
        argv = ["restic", "--quiet", "backup", "--json", "--host", host, *_all_paths(parts)]
        done = self._run(argv, check=False)
        vanished = self._vanished(done)
        snapshot = self._named_in_full(Snapshot.parse(done.text))
        if own_files is not None:
            require_data(snapshot.files - own_files, parts)
        return replace(snapshot, vanished=vanished)

    def _vanished(self, done: ExecResult) -> tuple[str, ...]:
        """Return the files that vanished while they were backed up.

        Raises:
            TestBedError: restic failed, or could not read a file that is still there.
        """
        said = done.stderr.decode(errors="replace")
        unread = Unread.parse(said)
        wrong = [one for one in unread if not one.vanished and self._is_there(one.path)]
        if done.code not in (0, INCOMPLETE) or (done.code == INCOMPLETE and wrong):
            which = "; ".join(f"{one.path}: {one.reason}" for one in wrong[:SHOWN_FILES])
            raise TestBedError(
                f"restic could not back up the volumes (exit code {done.code})",
                cause=which or said.strip().partition("\n")[0],
                detail=said[-2000:],
            )
        return tuple(dict.fromkeys(one.path for one in unread if one.path))

    def _is_there(self, path: str) -> bool:
        return not path or self._run(["test", "-e", path, "-o", "-L", path], check=False).code == 0

    def put_back(self, snapshot_id: str, parts: Sequence[VolumePart]) -> PutBack:
        """Return what writes a snapshot's parts over the live ones, and compares them."""
        return PutBack(
            target=self.target,
            source=f"{EXTRACTED}/{snapshot_id}{VOLUMES}",
            live=VOLUMES,
            names=[path.removeprefix(f"{VOLUMES}/") for path in _all_paths(parts)],
            mark=RESTORE_BEGAN,
            timeout=self.timeout,
        )

    def restore(self, snapshot_id: str, parts: Sequence[VolumePart]) -> None:
        """Bring the parts back to what the snapshot holds: what came later is removed.

        Raises:
            TestBedError: it failed; the message says what it left.
        """
        self.extract(snapshot_id)
        self.put_back(snapshot_id, parts).run()

    def extract(self, snapshot_id: str) -> str:
        """Unpack a snapshot into this container, unless it is there, and return the directory.

        One call of restic instead of one for each file that is looked at: each costs most of a
        second, spent on making its key. What another driver has backed up was put there by it.
        """
        directory = f"{EXTRACTED}/{snapshot_id}"
        if not self.holds("", directory):
            self._run(["rm", "-rf", f"{directory}.part"])
            self._restic(["restore", snapshot_id, "--target", f"{directory}.part"])
            self._run(["mv", f"{directory}.part", directory])
        return directory

    def files(self, directory: str) -> Mapping[str, int]:
        """Return every regular file of an unpacked snapshot, by path, with its size in bytes."""
        listing = ["find", directory, "-type", "f", "-printf", r"%s %P\0"]
        entries = self._run(listing).stdout.decode(errors="surrogateescape").split("\0")
        sizes = (entry.partition(" ") for entry in entries if entry)
        return {f"/{path}": int(size) for size, _, path in sizes}

    def entries(self, directory: str) -> Mapping[str, Entry]:
        """Return all that an unpacked snapshot holds of the volumes, by path below `/volumes`."""
        listing = ["find", f"{directory}{VOLUMES}", "-mindepth", "1", "-printf", FORMAT]
        return Entry.parse(self._run(listing).stdout.decode(errors="surrogateescape"))

    def broken_dumps(self, directory: str, names: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Return which of these dumps, below `/volumes`, are not whole, each with why."""
        start = f"{directory}{VOLUMES}/"
        argv = ["bash", "-c", BROKEN, "ccci-dumps", *(f"{start}{name}" for name in names)]
        told = self._run(argv).stdout.decode(errors="surrogateescape") if names else ""
        return ((path.removeprefix(start), why) for path, why in _pairs(told.split("\0")))

    def holds(self, directory: str, path: str) -> bool:
        """Whether an unpacked snapshot has that path: a file, or a directory, be it empty."""
        argv = ["test", "-e", f"{directory}/{path.lstrip('/')}"]
        return self._run(argv, check=False).code == 0

    def read(self, directory: str, path: str) -> bytes:
        """Return the bytes of one file of an unpacked snapshot.

        Raises:
            BackupError: the snapshot does not hold it.
        """
        if not self.holds(directory, path):
            raise BackupError(f"the snapshot does not hold {path}")
        return self._run(["cat", f"{directory}/{path.lstrip('/')}"]).stdout

    def _named_in_full(self, snapshot: Snapshot) -> Snapshot:
        """Return the snapshot with its whole id, of which older versions of restic report 8 digits.

        The repository has a file of that name for each (restic, "Repository Layout"); asking restic
        would cost another second.
        """
        names = self._run(["ls", f"{REPOSITORY}/snapshots"]).text.split()
        full = [name for name in names if name.startswith(snapshot.id)]
        if len(full) != 1:
            raise TestBedError(f"the repository holds {len(full)} snapshots {snapshot.id}")
        return replace(snapshot, id=full[0])

    def require(self, parts: Sequence[VolumePart]) -> None:
        """Refuse to back up what does not exist, or lies behind a link.

        Raises:
            BackupError: a path that the labels name does not exist, or leads through a link.
        """
        told = self._run(["bash", "-c", FOUND, "ccci", *_all_paths(parts)]).stdout
        for word, path in _pairs(told.decode(errors="surrogateescape").split("\0")):
            if word == "link":
                raise BackupError(
                    f"the labels name {path}, which leads through a link",
                    cause="a backup keeps links as links, and not what they lead to",
                    hint="name the folder that the link leads to, if it is on the volume",
                )
            raise BackupError(
                f"the labels name what does not exist: {path}",
                hint="correct the paths in backupbot.backup.volumes.*.path",
            )

    def _restic(self, arguments: Sequence[str]) -> ExecResult:
        return self._run(["restic", "--quiet", *arguments])

    def _run(self, argv: Sequence[str], *, check: bool = True) -> ExecResult:
        try:
            return self.target.exec(argv, timeout=stretched(self.timeout), check=check)
        except OF_OUR_OWN as error:
            raise TestBedError(error.what, cause=error.cause, detail=error.detail) from error


def require_data(files: int, parts: Sequence[VolumePart]) -> None:
    """Refuse a backup that holds no file of the app.

    Raises:
        BackupError: it holds none.
    """
    if files <= 0:
        raise BackupError(
            f"the backup is empty: no file below {', '.join(_all_paths(parts))}",
            cause="the labels name the wrong volume, or the app keeps its data elsewhere",
            hint="look at backupbot.backup.volumes.* in compose.yml",
        )


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    return zip(words[0:-1:2], words[1::2], strict=True)


def paths_of(part: VolumePart) -> list[str]:
    """Return where the part lies in the vault: the volume, or the paths named within it."""
    root = f"{VOLUMES}/{part.volume}"
    return [root] if part.whole else [f"{root}/{path}" for path in part.paths]


def _all_paths(parts: Sequence[VolumePart]) -> list[str]:
    """Return every path once, in order."""
    return list(dict.fromkeys(path for part in parts for path in paths_of(part)))


def snapshot_path(spec: BackupSpec, service: str, path: str) -> str:
    """Return where the snapshot holds what a service sees at that absolute path.

    Raises:
        BackupError: the path is on no volume that is backed up.
    """
    place = PurePosixPath(path)
    on = [p for p in spec.parts if p.service == service and place.is_relative_to(p.target)]
    if on:  # of mounts within each other, the innermost has it
        part = max(on, key=lambda part: len(PurePosixPath(part.target).parts))
        inside = PurePosixPath(part.subpath) / place.relative_to(part.target)
        return str(PurePosixPath(VOLUMES) / part.volume / inside)
    raise BackupError(
        f"{path} of service {service} is on no volume that is backed up",
        hint="look at the backupbot labels in compose.yml",
    )


def run_hook(target: ExecTarget, command: str, *, label: str, timeout: float) -> str:
    """Run a hook in its service's container, and return what it printed.

    A shell with `pipefail` runs it where there is one, so that a dump whose first half fails cannot
    pass for a dump.

    Raises:
        BackupError: it failed, could not be started, or printed more than it may.
    """
    script = (
        'if command -v bash >/dev/null 2>&1; then exec bash -o pipefail -c "$1"; fi; '
        'if (set -o pipefail) 2>/dev/null; then exec sh -o pipefail -c "$1"; fi; '
        'exec sh -c "$1"'
    )
    argv = ["sh", "-c", script, "ccci-hook", command]
    try:
        done = target.exec(argv, timeout=timeout, check=False)
    except ExecOutputError as error:
        raise BackupError(
            f"the {label} of service {target.name} wrote more than {MOST_OUTPUT} bytes, the limit "
            "of what a hook may print",
            cause="the recipe: its hook prints without end, or prints its dump",
            hint="write to a file: backupbot.backup.volumes.NAME.path names what is kept",
            detail=error.detail[-EXCERPT:],
        ) from error
    if done.code != 0:
        raise BackupError(
            f"the {label} of service {target.name} failed: `{command}` in {target.name} "
            f"ended with code {done.code}",
            hint=BY_HAND,
            detail="\n".join(filter(None, (done.text, done.stderr.decode(errors="replace")))),
        )
    return done.text
