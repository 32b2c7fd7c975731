"""The files of a recipe at one commit, read out of git's objects and nowhere else.

There is no work tree: no filter, attribute, hook, submodule or `.git` of a clone is in reach of a
path that a recipe names, and no file of this machine is. Symlinks are followed by git itself, and
only inside the commit (`git cat-file --follow-symlinks`).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from harness.core.errors import InvalidRecipeError, RefusedError, TestBedError

LARGEST_BYTES = 2_000_000  # of a file that is read as text
MOST_BYTES = 32 << 20  # of all files of a commit that are read
GIT_FOLDER = ".git"
_BLOB = re.compile(rb"(?P<id>[0-9a-f]{40,64}) blob (?P<size>\d+)\n")
# What git says of a link: how long the next line is, which names where it leads.
_LINK = re.compile(rb"(?P<kind>symlink|dangling|loop|notdir) (?P<size>\d+)\n")

Objects = Callable[[Sequence[str], bytes], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """What there is at a path of the recipe.

    Attributes:
        path: as it was asked for.
        object_id: of the blob; empty when there is no file.
        size: its bytes.
        outside: where the path leads when that is outside of the recipe: an absolute path, or one
            that begins with `..` or `.git`; empty when it does not.
    """

    path: str
    object_id: str = ""
    size: int = 0
    outside: str = ""

    @property
    def is_there(self) -> bool:
        """Whether the recipe has that file."""
        return bool(self.object_id)


@dataclass(kw_only=True)
class Files:
    """The files of one commit.

    Args:
        commit: the commit: 40 hex digits.
        objects: calls git with arguments and standard input, and returns what it prints.
    """

    commit: str
    objects: Objects = field(repr=False)
    _known: dict[str, File] = field(default_factory=dict, repr=False)
    _contents: dict[str, bytes] = field(default_factory=dict, repr=False)

    def look(self, path: str) -> File:
        """Return what there is at a path."""
        self._look_at([path])
        return self._known[path]

    def fetch(self, paths: Iterable[str], *, largest: int = LARGEST_BYTES) -> None:
        """Read several files at once, as far as they are there and not too large.

        Raises:
            InvalidRecipeError: together with what was read before, they are too much.
        """
        wanted = list(dict.fromkeys(paths))
        self._look_at(wanted)
        found = (self._known[path] for path in wanted)
        ids = [one.object_id for one in found if one.is_there and one.size <= largest]
        self._read([one for one in dict.fromkeys(ids) if one not in self._contents])

    def read(self, path: str, *, largest: int = LARGEST_BYTES) -> bytes | None:
        """Return a file's bytes; None when the recipe has no such file.

        Raises:
            RefusedError: the path leads out of the recipe.
            InvalidRecipeError: the file is too large, alone or together with those that were read
                before.
        """
        file = self.look(path)
        if file.outside:
            raise RefusedError(
                f"{path} of the recipe leads out of the recipe, to {file.outside}",
                hint="put the file itself into the recipe",
            )
        if not file.is_there:
            return None
        if file.size > largest:
            raise InvalidRecipeError(
                f"{path} of the recipe has {file.size} bytes, more than the limit of {largest}",
                hint="make it smaller",
            )
        if file.object_id not in self._contents:
            self._read([file.object_id])
        return self._contents[file.object_id]

    def text(self, path: str) -> str:
        """Return a file's text, bytes that are no UTF-8 replaced; empty when there is none.

        Raises:
            InvalidRecipeError: as `read`.
        """
        return (self.read(path) or b"").decode(errors="replace")

    def _look_at(self, paths: Sequence[str]) -> None:
        asked: dict[str, str] = {}
        for path in paths:
            if path not in self._known:
                inside, outside = _placed(path)
                self._known[path] = File(path=path, outside=outside)
                if inside:
                    asked[path] = inside
        if not asked:
            return
        lines = "".join(f"{self.commit}:{inside}\n" for inside in asked.values())
        said = self.objects(("cat-file", "--batch-check", "--follow-symlinks"), lines.encode())
        position = 0
        for path in asked:
            self._known[path], position = _answer(path, said, position)

    def _read(self, ids: Sequence[str]) -> None:
        if not ids:
            return
        sizes = {one.object_id: one.size for one in self._known.values()}
        total = sum(map(len, self._contents.values())) + sum(sizes[one] for one in ids)
        if total > MOST_BYTES:
            raise InvalidRecipeError(
                f"the recipe's files come to {total} bytes, more than the limit of {MOST_BYTES}",
                cause="compose files, configs and secrets are read, and no recipe has so much text",
                hint="put large files into the image, or into a volume",
            )
        said = self.objects(("cat-file", "--batch"), "".join(f"{one}\n" for one in ids).encode())
        position = 0
        for one in ids:
            header = _BLOB.match(said, position)
            if header is None or header["id"].decode() != one:
                shown = said[position : position + 200]
                raise TestBedError(f"git did not hand out the object {one}: {shown!r}")
            end = header.end() + int(header["size"])
            self._contents[one] = said[header.end() : end]
            position = end + 1  # the line feed after the content


def _placed(path: str) -> tuple[str, str]:
    """Return a path inside the commit, or where it leads outside; both empty for no path at all.

    Two names are put together as `docker stack deploy` does it, by the letters of the path.
    """
    if not path or not path.isprintable():
        return "", ""
    clean = posixpath.normpath(path)
    parts = clean.split("/")
    if clean.startswith("/"):
        return "", posixpath.normpath("/" + clean.lstrip("/"))
    if parts[0] == ".." or GIT_FOLDER in (part.lower() for part in parts):
        return "", clean
    return ("" if clean == "." else clean), ""


def _answer(path: str, said: bytes, position: int) -> tuple[File, int]:
    """Return what git said of a path, and where its next answer begins."""
    if blob := _BLOB.match(said, position):
        found = File(path=path, object_id=blob["id"].decode(), size=int(blob["size"]))
        return found, blob.end()
    if link := _LINK.match(said, position):
        end = link.end() + int(link["size"])
        leads = said[link.end() : end].decode(errors="replace")
        outside = leads if link["kind"] == b"symlink" else ""
        return File(path=path, outside=outside), end + 1
    return File(path=path), said.find(b"\n", position) + 1
