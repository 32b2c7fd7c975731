"""The test code that a recipe's own repository ships in `tests/`: read, hashed, laid out.

It is other people's code, so it is read as git objects and never from a work tree: no filter, no
attribute and no line ending of this machine has a say in it, and until it is approved there is no
file of it that Python could come across. `harness.recipes.approval` decides about it.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.core.errors import InternalError, TestBedError
from harness.recipes.repo import Repo

FOLDER = "tests"
MOST_FILES = 2000
MOST_BYTES = 50_000_000
LONGEST_NAME = 255  # bytes of one part of a path, as Linux has it
LONGEST_PATH = 1024  # bytes; the rest of what Linux allows is left for the run's own directory

EXECUTABLE = "100755"
SYMLINK = "120000"
SUBMODULE = "160000"
MODES = ("100644", EXECUTABLE, SYMLINK)
# Python takes these in the place of the source beside them, whatever a reviewer read there.
COMPILED = (".pyc", ".pyo", ".pyd", ".so")

_FORMAT = (
    b"cc-ci shipped tests 1\0"  # a hash of another encoding can never be taken for one of this
)
_LISTED = re.compile(
    rb"(?P<mode>\d{6}) \w+ (?P<id>[0-9a-f]{40,64}) +(?P<size>\d+|-)\t(?P<path>.+)", re.DOTALL
)
_HEADER = re.compile(rb"(?P<id>[0-9a-f]{40,64}) blob (?P<size>\d+)\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippedEntry:
    """One thing in the folder: a file, a symlink or a submodule.

    Attributes:
        path: relative to `tests/`; bytes that are no UTF-8 are lone surrogates.
        mode: git's, six octal digits.
        object_id: of the blob, or the submodule's commit.
        size: bytes of the blob; 0 for a submodule.
        content: SHA-256 in hex of the file's bytes, of the symlink's target, or of the submodule's
            commit in hex. Empty when there was too much to read.
    """

    path: str
    mode: str
    object_id: str
    size: int
    content: str = ""

    @property
    def raw_path(self) -> bytes:
        """The path as git has it."""
        return self.path.encode("utf-8", "surrogateescape")

    @property
    def shown_path(self) -> str:
        """The path for a terminal or a report: whatever cannot be printed is escaped."""
        return self.path if self.path.isprintable() else ascii(self.path)[1:-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """All that a commit has below `tests/`, sorted by path.

    Attributes:
        entries: every file, symlink and submodule.
        problems: why it can never be approved; empty when it can.
    """

    entries: tuple[ShippedEntry, ...] = ()
    problems: tuple[str, ...] = ()

    @classmethod
    def read(cls, repo: Repo, commit: str) -> Shipped:
        """Read what a commit of a clone ships; nothing of it is written or run.

        A missing or an empty folder ships nothing, and neither does a file of that name.

        Raises:
            SourceError: the clone has no such commit.
            TestBedError: git's answer cannot be read.
        """
        listed = [_listed(one) for one in repo.tree(commit, FOLDER).split(b"\0") if one]
        if any(entry.path == FOLDER and entry.mode in (SYMLINK, SUBMODULE) for entry in listed):
            return cls(problems=(f"'{FOLDER}' is a symlink or a submodule, not a folder",))
        inside = [
            replace(entry, path=entry.path.removeprefix(f"{FOLDER}/"))
            for entry in listed
            if entry.path != FOLDER
        ]
        entries = tuple(sorted(inside, key=lambda entry: (entry.raw_path, entry.mode)))
        if problems := tuple(_too_much(entries)):
            return cls(entries=entries, problems=problems)
        contents = _contents(repo, entries)
        hashed = tuple(replace(entry, content=_hash(entry, contents)) for entry in entries)
        return cls(entries=hashed, problems=tuple(_problems(hashed, contents)))

    @property
    def found(self) -> bool:
        """Whether the repository ships anything that has to be decided about."""
        return bool(self.entries or self.problems)

    @property
    def digest(self) -> str:
        """The hash of all entries, `sha256:` and 64 hex digits; empty when nothing was hashed.

        For each entry, sorted by the bytes of its path: the mode, a blank, the content's hash, a
        blank, the path, a NUL. The first two have fixed lengths and no path of git's has a NUL, so
        two different trees never give the same bytes.
        """
        if not self.entries or not all(entry.content for entry in self.entries):
            return ""
        total = hashlib.sha256(_FORMAT)
        for entry in sorted(self.entries, key=lambda entry: (entry.raw_path, entry.mode)):
            total.update(f"{entry.mode} {entry.content} ".encode() + entry.raw_path + b"\0")
        return f"sha256:{total.hexdigest()}"

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths relative to `tests/`, fit to be shown."""
        return tuple(entry.shown_path for entry in self.entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaidOut:
    """An approved folder on this disk: made by `lay_out` only, and taken by discovery."""

    path: Path
    digest: str


def lay_out(shipped: Shipped, repo: Repo, destination: Path) -> LaidOut:
    """Write what was read into a directory of the run's own, from git's objects.

    Only a gate that is open may call this: `harness.recipes.approval.Gate.admit`.

    Args:
        shipped: what was read, and approved.
        repo: the clone that it was read from.
        destination: where to; must not exist yet. Its parent must, and lies outside the clone:
            pytest takes the `conftest.py` of every directory above a test file.

    Raises:
        InternalError: it can never be approved, would leave the destination, or lie in the clone.
        TestBedError: git's objects are no longer what was hashed.
        OSError: it cannot be written.
    """
    if shipped.problems or not shipped.digest:
        raise InternalError(
            f"code that can never be approved was to be laid out: {'; '.join(shipped.problems)}"
        )
    if destination.resolve().is_relative_to(repo.path.resolve()):
        raise InternalError(f"approved code was to be laid out inside the clone, at {destination}")
    contents = _contents(repo, shipped.entries)
    for entry in shipped.entries:
        if _hash(entry, contents) != entry.content:
            raise TestBedError(
                f"{FOLDER}/{entry.shown_path} of {repo.source} is not what was hashed before",
                cause="the run's clone was changed while the run went on",
                hint="run it again",
            )
    destination.mkdir(mode=0o700)
    # Symlinks last: while files are written there is none that a path could lead through.
    for entry in sorted(shipped.entries, key=lambda entry: entry.mode == SYMLINK):
        _write(entry, contents[entry.object_id], destination)
    return LaidOut(path=destination, digest=shipped.digest)


def _write(entry: ShippedEntry, content: bytes, destination: Path) -> None:
    path = destination / entry.path
    if ".." in path.parts or not path.parent.resolve().is_relative_to(destination.resolve()):
        raise InternalError(f"{entry.shown_path} would be written outside of {destination}")
    path.parent.mkdir(parents=True, exist_ok=True)
    if entry.mode == SYMLINK:
        path.symlink_to(content.decode())
        return
    with path.open("xb") as stream:  # never over, nor through, something that is there
        stream.write(content)
    path.chmod(0o755 if entry.mode == EXECUTABLE else 0o644)


def _listed(record: bytes) -> ShippedEntry:
    match = _LISTED.fullmatch(record)
    if match is None:
        raise TestBedError(f"git listed what cannot be read: {record[:200]!r}")
    return ShippedEntry(
        path=match["path"].decode("utf-8", "surrogateescape"),
        mode=match["mode"].decode(),
        object_id=match["id"].decode(),
        size=0 if match["size"] == b"-" else int(match["size"]),
    )


def _contents(repo: Repo, entries: Iterable[ShippedEntry]) -> Mapping[str, bytes]:
    """Return the bytes of every blob by its id; submodules have none.

    Raises:
        TestBedError: one is missing.
    """
    wanted = list(dict.fromkeys(one.object_id for one in entries if one.mode != SUBMODULE))
    answer = repo.blobs(wanted) if wanted else b""
    found: dict[str, bytes] = {}
    position = 0
    for object_id in wanted:
        header = _HEADER.match(answer, position)
        if header is None or header["id"].decode() != object_id:
            said = answer[position : position + 200]
            raise TestBedError(f"git did not hand out the object {object_id}: {said!r}")
        end = header.end() + int(header["size"])
        found[object_id] = answer[header.end() : end]
        position = end + 1  # the line feed after the content
    return found


def _hash(entry: ShippedEntry, contents: Mapping[str, bytes]) -> str:
    content = contents.get(entry.object_id, entry.object_id.encode())
    return hashlib.sha256(content).hexdigest()


def _too_much(entries: Sequence[ShippedEntry]) -> Iterator[str]:
    if len(entries) > MOST_FILES:
        yield f"'{FOLDER}' holds {len(entries)} files, more than {MOST_FILES}"
    total = sum(entry.size for entry in entries)
    if total > MOST_BYTES:
        yield f"'{FOLDER}' holds {total} bytes, more than {MOST_BYTES}"


def _problems(entries: Sequence[ShippedEntry], contents: Mapping[str, bytes]) -> Iterator[str]:
    taken: set[str] = set()
    for entry in entries:
        problem = (
            _path_problem(entry.path)
            or _kind_problem(entry, contents)
            or ("is there twice" if entry.path in taken else "")
        )
        if problem:
            yield f"'{FOLDER}/{entry.shown_path}' {problem}"
        taken.add(entry.path)
    for entry in entries:
        above = {str(parent) for parent in Path(entry.path).parents} & taken
        if above:
            yield f"'{FOLDER}/{entry.shown_path}' lies below what is not a folder"


def _path_problem(path: str) -> str:
    parts = path.split("/")
    if not path.isprintable():
        return "has characters in its name that cannot be shown"
    if any(part in ("", ".", "..") or part.lower() == ".git" for part in parts):
        return "has a name that no folder of a repository can have"
    if _too_long(path):
        return "has a name that is too long"
    if "__pycache__" in parts or path.lower().endswith(COMPILED):
        return "is compiled code, which nobody can read before approving it"
    return ""


def _kind_problem(entry: ShippedEntry, contents: Mapping[str, bytes]) -> str:
    if entry.mode == SUBMODULE:
        return "is a submodule: its code lies in another repository"
    if entry.mode not in MODES:
        return f"is of a kind (mode {entry.mode}) that is not known"
    if entry.mode == SYMLINK:
        return _target_problem(entry.path, contents[entry.object_id])
    return ""


def _target_problem(path: str, raw: bytes) -> str:
    """Return what is wrong with a symlink's target, or empty.

    `..` is taken at the beginning only. There it climbs folders that are no symlinks, since nothing
    lies below a symlink; after a name, it could climb out of wherever that name leads.
    """
    target = raw.decode("utf-8", "surrogateescape")
    if not target or not target.isprintable() or _too_long(target):
        return "is a symlink to a name that is empty, too long or cannot be shown"
    climbed = re.sub(r"^(?:\.\.?(?:/+|$))+", "", target)
    inside = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    if target.startswith("/") or inside.split("/")[0] == "..":
        return f"is a symlink that leaves the folder: '{target}'"
    if ".." in climbed.split("/"):
        return f"is a symlink with '..' after a name: '{target}'"
    return ""


def _too_long(path: str) -> bool:
    def size(text: str) -> int:
        return len(text.encode("utf-8", "surrogateescape"))

    return size(path) > LONGEST_PATH or any(size(part) > LONGEST_NAME for part in path.split("/"))
