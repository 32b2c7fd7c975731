"""The project's own sample recipes, made into real git repositories with annotated releases.

`samples/<name>/history.toml` lists the commits in order; each names the folder beside it with the
files that the commit adds or changes, or a list of folders, where a later one's file goes before an
earlier one's of the same name. Author, dates and file modes are fixed, so the hashes are the same
everywhere and a report can quote them. A name that begins with `dot-` stands for one that begins
with a dot: `dot-env.sample` becomes `.env.sample`, since packaging leaves hidden files out.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from harness.core.errors import UnknownNameError
from harness.core.nearest import nearest
from harness.core.settings import Settings
from harness.locks import file_lock as locks
from harness.recipes import git
from harness.recipes.catalogue import Entry

SAMPLES = Path(__file__).with_name("samples")
HISTORY = "history.toml"
BRANCH = "main"
AUTHOR = "cc-ci samples <samples@cc-ci.invalid>"
_KEY_LENGTH = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One commit of a sample's history.

    Attributes:
        folders: where the files lie that it adds or changes, the last one's word counts.
        message: its message.
        date: when it was made, with a time zone.
        tag: the release it is, or empty.
        tag_message: the message of that annotated tag.
        remove: the paths it takes away.
    """

    folders: tuple[Path, ...]
    message: str
    date: datetime
    tag: str = ""
    tag_message: str = ""
    remove: tuple[str, ...] = ()

    @classmethod
    def parse(cls, raw: dict[str, object], sample: Path) -> Commit:
        """Read one `[[commit]]` of the history of the sample in that directory."""
        known = {key.replace("-", "_"): value for key, value in raw.items()}
        named, remove = known.pop("folder"), known.pop("remove", [])
        names = named if isinstance(named, list) else [named]
        folders = tuple(sample / str(name) for name in names)
        return cls(folders=folders, remove=tuple(remove), **known)  # type: ignore[arg-type]


def sample_names(samples: Path = SAMPLES) -> tuple[str, ...]:
    """Return the names of the samples."""
    return tuple(sorted(path.parent.name for path in samples.glob(f"*/{HISTORY}")))


def read_history(sample: Path) -> tuple[Commit, ...]:
    """Return the commits of the sample in that directory, in order."""
    history = tomllib.loads((sample / HISTORY).read_text(encoding="utf-8"))
    return tuple(Commit.parse(raw, sample) for raw in history["commit"])


def materialise(
    name: str,
    *,
    cache: Path,
    lock_timeout: float,
    say: Callable[[str], None],
    samples: Path = SAMPLES,
) -> Path:
    """Return a bare git repository of the sample, made on first use.

    Args:
        name: the sample's name.
        cache: the user's cache directory; the repository lies in `samples/` under it, and its name
            holds a key of its content, so a changed sample never meets an old repository.
        lock_timeout: seconds to wait for another process that makes it.
        say: is told when it is made, and who else is at it.
        samples: where the samples lie.

    Raises:
        UnknownNameError: there is no such sample.
        LockTimeoutError: another process was at it for too long.
        TestBedError: the cache cannot be written, or there is no git.
        DiskFullError: there is no room for it.
    """
    _refuse_unknown(name, samples)
    stream = b"".join(_stream(samples / name))
    key = hashlib.sha256(stream).hexdigest()[:_KEY_LENGTH]
    destination = cache / "samples" / f"{name}-{key}.git"
    if destination.is_dir():
        return destination
    lock = f"sample-{name}"
    purpose = f"making the sample recipe {name}"
    with locks.hold(cache / "locks", lock, purpose=purpose, timeout=lock_timeout, say=say):
        if not destination.is_dir():
            say(f"making the sample recipe {name} in {destination}")
            _make(destination, stream)
    return destination


def source_of(
    entry: Entry, settings: Settings, *, named: str = "", say: Callable[[str], None]
) -> str:
    """Return what a recipe is cloned from; a sample is made first.

    Args:
        entry: the recipe's line in the catalogue.
        settings: what was asked for.
        named: the repository that the address of a pull request names, or empty.
        say: is told of what takes time.
    """
    source = settings.src or named or entry.source
    if source != entry.source or not entry.sample:
        return source
    timeout = settings.lock_timeout
    return str(materialise(entry.sample, cache=settings.cache, lock_timeout=timeout, say=say))


def build(sample: Path, destination: Path) -> None:
    """Make the sample in a directory into a bare git repository; its folder must not be there yet.

    Raises:
        TestBedError: there is no git.
        DiskFullError: there is no room for it.
    """
    git.import_history(destination, b"".join(_stream(sample)), branch=BRANCH)


def _make(destination: Path, stream: bytes) -> None:
    # What another process left half made is never the destination: that appears by one rename.
    unfinished = destination.with_suffix(".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    git.import_history(unfinished, stream, branch=BRANCH)
    unfinished.rename(destination)


def _refuse_unknown(name: str, samples: Path) -> None:
    known = sample_names(samples)
    if name not in known:
        raise UnknownNameError(
            f"there is no sample recipe '{name}'",
            hint=nearest(name, known, most=1),
        )


def _stream(sample: Path) -> Iterator[bytes]:
    """Yield the sample's history in the language of `git fast-import`."""
    for number, commit in enumerate(read_history(sample), start=1):
        who = f"{AUTHOR} {int(commit.date.timestamp())} +0000\n"
        yield f"commit refs/heads/{BRANCH}\nmark :{number}\n".encode()
        yield f"author {who}committer {who}".encode() + _data(commit.message)
        if number > 1:
            yield f"from :{number - 1}\n".encode()
        yield from _changes(commit)
        if commit.tag:
            yield f"tag {commit.tag}\nfrom :{number}\ntagger {who}".encode()
            yield _data(commit.tag_message)


def _changes(commit: Commit) -> Iterator[bytes]:
    for name in commit.remove:
        yield f"D {name}\n".encode()
    files: dict[str, Path] = {}
    for folder in commit.folders:
        found = (path for path in sorted(folder.rglob("*")) if path.is_file())
        files.update({_repository_path(path.relative_to(folder)): path for path in found})
    for name, path in files.items():
        # By name, not by the file's mode: a packaged copy of this project loses modes.
        mode = "100755" if path.suffix == ".sh" else "100644"
        yield f"M {mode} inline {name}\n".encode()
        yield _data(path.read_bytes())


def _repository_path(path: Path) -> str:
    return "/".join(re.sub(r"^dot-", ".", part) for part in path.parts)


def _data(content: str | bytes) -> bytes:
    raw = f"{content}\n".encode() if isinstance(content, str) else content
    return f"data {len(raw)}\n".encode() + raw + b"\n"
