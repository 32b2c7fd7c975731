"""Whether the paths that labels name hold anything in a snapshot: pure, from a list of its files.

A dump that a hook writes in the background, or to another place, is missing from the snapshot or
empty in it, whatever the exit codes say.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.backups.labels import short_name
from harness.core.errors import BackupError
from harness.core.model import RunWarning, Stage, WarningCode

FORMAT = r"%y %s %T@ %l\0%P\0"  # of `find -printf`


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file, folder, link or something else in a snapshot.

    Attributes:
        kind: the letter that `find` has for it: `f`, `d`, `l` and so on.
        size: bytes, of a regular file.
        changed: when its content was changed, in seconds since 1970.
        leads_to: where a link leads.
    """

    kind: str
    size: int = 0
    changed: float = 0.0
    leads_to: str = ""

    @classmethod
    def parse(cls, listing: str) -> dict[str, Entry]:
        """Read what `find -printf` printed with `FORMAT`, by path."""
        words = listing.split("\0")
        found = {}
        for about, path in zip(words[0:-1:2], words[1::2], strict=True):
            kind, size, changed, leads_to = about.split(" ", 3)
            found[path] = cls(kind=kind, size=int(size), changed=float(changed), leads_to=leads_to)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What the labels name of one volume, and what a snapshot holds of it.

    Args:
        volume: the volume's short name.
        paths: what is named, relative to the volume.
        entries: all that the snapshot holds of the volume, by path.
        since: when the backup began, in seconds since 1970.
    """

    volume: str
    paths: Sequence[str]
    entries: Mapping[str, Entry]
    since: float

    def require(self) -> Iterator[str]:
        """Refuse a path that holds nothing, and return the folders that are empty rightly.

        An empty folder that no hook has touched, beside another path with data in it, is one that
        the app has put nothing in yet.

        Raises:
            BackupError: a path is missing, leads elsewhere, or has not one byte in it.
        """
        held = {path: self._bytes(path) for path in self.paths}
        for path in self.paths:
            entry = self.entries.get(path)
            if entry is None:
                raise self._refused(f"{path} is not in the snapshot", "it was removed meanwhile")
            if held[path]:
                continue
            if entry.kind == "l":
                raise self._refused(
                    f"the snapshot holds {path} as a link to {entry.leads_to}, and not the file",
                    "a backup keeps links as links",
                )
            if entry.kind != "d" or not any(held.values()) or self._touched(path):
                what = "is empty" if entry.kind == "d" else "is 0 bytes long"
                raise self._refused(
                    f"{path} {what} in the snapshot",
                    "the backup hook wrote nothing to it, or returned before the dump was written",
                )
            yield path

    def _bytes(self, path: str) -> int:
        """Return how many bytes there are at a path and below; those of a link are its target's."""
        entry = self.entries.get(path)
        if entry is not None and entry.kind == "l":
            target = posixpath.normpath(posixpath.join(posixpath.dirname(path), entry.leads_to))
            found = self.entries.get(target)
            return self._bytes(target) if found is not None and found.kind != "l" else 0
        return sum(one.size for one in self._below(path) if one.kind == "f")

    def _below(self, path: str) -> Iterator[Entry]:
        start = f"{path}/"
        return (one for name, one in self.entries.items() if name == path or name.startswith(start))

    def _touched(self, path: str) -> bool:
        return any(entry.changed >= self.since for entry in self._below(path))

    def _refused(self, what: str, cause: str) -> BackupError:
        return BackupError(
            f"the backup of volume {self.volume} is useless: {what}",
            cause=cause,
            hint="let backupbot.backup.pre-hook wait for what it starts and write to the path that "
            f"backupbot.backup.volumes.{self.volume}.path names; an app without data yet gets "
            "some from a seed hook, see docs/enroll-recipe.md",
        )


def require_named(
    by_volume: Mapping[str, Sequence[str]],
    entries: Mapping[str, Entry],
    *,
    stack: str,
    since: float,
) -> list[RunWarning]:
    """Refuse named paths that hold nothing, and return a warning for each empty folder.

    Args:
        by_volume: which paths of each volume are backed up; none means all of it.
        entries: what the snapshot holds below its `/volumes`.
        stack: the stack's name.
        since: when the backup began.

    Raises:
        BackupError: a path is missing, leads elsewhere, or has not one byte in it.
    """
    found = []
    for volume, paths in by_volume.items():
        start = f"{volume}/"
        inside = {p.removeprefix(start): e for p, e in entries.items() if p.startswith(start)}
        named = Named(volume=short_name(volume, stack), paths=paths, entries=inside, since=since)
        found += [_empty(path, named.volume) for path in named.require()]
    return found


def _empty(path: str, volume: str) -> RunWarning:
    return RunWarning(
        code=WarningCode.RESTORE_NOT_SHOWN,
        text=f"{path} of volume {volume} is an empty folder in the backup: "
        "nothing shows that its files are backed up",
        next="put a file there in a seed hook, see docs/enroll-recipe.md",
        stage=Stage.BACKUP,
    )
