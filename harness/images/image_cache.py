"""Root file systems kept between runs: whole or not at all, each under the key of its making.

A layer is written under a temporary name, renamed, and only then described by a record; without a
record that fits it byte for byte it does not count. What a killed build leaves behind is removed
by the next one, unless somebody still holds that build's lock.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.engine.processes import mounts_below
from harness.images import rootfs
from harness.images.image_layers import RootFs, trim
from harness.locks import file_lock as locks

_LOCK = "image-"
_MARK = re.compile(r"-build-([0-9a-f]{12})-")


def lock_name(key: str) -> str:
    """Return the name of the lock that is held while an image of that key is built."""
    return f"{_LOCK}{key[:12]}"


def directory(cache: Path) -> Path:
    """Return where the layers lie."""
    return cache / "images"


def layer_path(cache: Path, key: str) -> Path:
    """Return where the root file system of that key lies, or would lie."""
    return directory(cache) / f"{key}.tar"


def record_path(cache: Path, key: str) -> Path:
    """Return where the record of that root file system lies, or would lie."""
    return directory(cache) / f"{key}.json"


def read(cache: Path, key: str) -> RootFs | None:
    """Return the record of a root file system, or None unless it is there and whole."""
    try:
        record = RootFs.from_json(record_path(cache, key).read_text())
        with layer_path(cache, key).open("rb") as stream:
            diff_id = hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, ValueError):
        return None
    return record if diff_id == record.diff_id else None


def write(cache: Path, key: str, build: Callable[[Path], Path], *, owner: str) -> RootFs:
    """Build a root file system, keep it, and return its record.

    Args:
        cache: the cache directory.
        key: the root file system's key.
        build: is given an empty directory, and returns the tar file that it made in it.
        owner: the key whose lock the caller holds.

    Raises:
        ImageError: what was built is no root file system; and whatever `build` raises.
        OSError: a directory cannot be written.
    """
    directory(cache).mkdir(parents=True, exist_ok=True)
    sweep(cache, owner)
    with _scratch(cache, owner) as work, _scratch(cache, owner, near=True) as near:
        record = trim(build(work), near / "layer.tar")
        (near / "record.json").write_text(record.to_json())
        record_path(cache, key).unlink(missing_ok=True)
        (near / "layer.tar").replace(layer_path(cache, key))
        (near / "record.json").replace(record_path(cache, key))
    return record


def purge(cache: Path) -> None:
    """Remove every root file system that is kept, and what killed builds left behind."""
    for pattern in ("*.json", "*.tar"):
        for path in directory(cache).glob(pattern):
            path.unlink(missing_ok=True)
    sweep(cache, "")
    with suppress(OSError):
        directory(cache).rmdir()


@contextmanager
def _scratch(cache: Path, owner: str, *, near: bool = False) -> Iterator[Path]:
    """Make an empty directory for the length of the block: where it is fast, or near the layers."""
    root = directory(cache) if near else rootfs.scratch_root(directory(cache))
    work = Path(tempfile.mkdtemp(prefix=f"{prefix(cache)}-build-{owner[:12]}-", dir=root))
    work.chmod(0o711)  # an unprivileged builder's ids must get through it, and may not list it
    try:
        yield work
    finally:
        _remove(work)


def prefix(cache: Path) -> str:
    """Return what the names of a cache's scratch directories begin with, wherever they lie."""
    # Other caches use the same memory disk, and their locks are not ours to see.
    return "ccci-" + hashlib.sha256(os.fsencode(cache.resolve())).hexdigest()[:8]


def sweep(cache: Path, owner: str) -> None:
    """Remove what killed builds of this cache left behind: the owner's, and whose lock is free."""
    for root in {*rootfs.scratch_roots(directory(cache))}:
        for path in root.glob(f"{prefix(cache)}-build-*"):
            mark = _MARK.search(path.name)
            if mark and (mark[1] == owner[:12] or _is_left_over(cache, mark[1])):
                _remove(path)


def _is_left_over(cache: Path, key: str) -> bool:
    return locks.is_free(cache / "locks", lock_name(key))


def _remove(path: Path) -> None:
    # A mount below it would be the host's own /dev or /sys: nothing there may be deleted.
    if not mounts_below([path.resolve()]):
        shutil.rmtree(path, ignore_errors=True)
