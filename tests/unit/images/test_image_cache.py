"""Root file systems that are kept: whole or not at all, and nothing left behind."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.core.errors import ImageError
from harness.images import image_cache, images, rootfs
from harness.locks import file_lock as locks

STATUS = "Package: nginx\nStatus: install ok installed\nVersion: 1.22.1-9\n"


@pytest.fixture(autouse=True)
def _memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    monkeypatch.setattr(rootfs, "MEMORY_DISK", tmp_path / "memory")


def root_tar(path: Path) -> Path:
    """Write a root file system as small as can be."""
    with tarfile.open(path, "w") as archive:
        texts = {"etc/passwd": "root:*:0:0::/:/x\n", "etc/group": "root:*:0:\n"}
        for name, text in {**texts, "var/lib/dpkg/status": STATUS}.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return path


def built(work: Path) -> Path:
    return root_tar(work / "root.tar")


KEY = "0123456789ab" + "0" * 52


def test_what_is_kept_is_what_was_built(tmp_path: Path) -> None:
    """A later run reads the same record that the build returned, and nothing else is left."""
    record = image_cache.write(tmp_path, KEY, built, owner=KEY)
    assert image_cache.read(tmp_path, KEY) == record
    left = {path.name for path in image_cache.directory(tmp_path).iterdir()}
    assert left == {f"{KEY}.tar", f"{KEY}.json"}
    assert list(rootfs.MEMORY_DISK.iterdir()) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda cache: image_cache.layer_path(cache, KEY).unlink(),
        lambda cache: image_cache.record_path(cache, KEY).unlink(),
        lambda cache: image_cache.record_path(cache, KEY).write_text('{"diff_id": "'),
        lambda cache: image_cache.layer_path(cache, KEY).write_bytes(b"short"),
        lambda cache: _flip_a_bit(image_cache.layer_path(cache, KEY)),
    ],
)
def test_what_is_broken_does_not_count(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """A file cut short by a crash or a full disk is built anew, not loaded."""
    image_cache.write(tmp_path, KEY, built, owner=KEY)
    damage(tmp_path)
    assert image_cache.read(tmp_path, KEY) is None


def _flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-600] ^= 1
    path.write_bytes(data)


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """Neither a layer nor a scratch directory stays of a build that did not end."""

    def fails(work: Path) -> Path:
        (work / "half").write_text("x")
        raise ImageError("no")

    with pytest.raises(ImageError):
        image_cache.write(tmp_path, KEY, fails, owner=KEY)
    assert list(image_cache.directory(tmp_path).iterdir()) == []
    assert list(rootfs.MEMORY_DISK.iterdir()) == []


def left_over(root: Path, cache: Path, key: str) -> Path:
    path = root / f"{image_cache.prefix(cache)}-build-{key}-x1y2"
    (path / "dev").mkdir(parents=True)
    return path


def test_what_killed_builds_left_is_swept_up(tmp_path: Path) -> None:
    """The next build removes it: its own, and that of any build whose lock nobody holds."""
    (tmp_path / "images").mkdir()
    ours = left_over(rootfs.MEMORY_DISK, tmp_path, KEY[:12])
    dead = left_over(tmp_path / "images", tmp_path, "d" * 12)
    alive = left_over(rootfs.MEMORY_DISK, tmp_path, "a" * 12)
    foreign = left_over(rootfs.MEMORY_DISK, tmp_path / "other", "d" * 12)
    folder, name = tmp_path / "locks", image_cache.lock_name("a" * 64)
    with (
        locks.hold(folder, image_cache.lock_name(KEY), purpose="", timeout=0, say=print),
        locks.hold(folder, name, purpose="", timeout=0, say=print),
    ):
        image_cache.sweep(tmp_path, KEY)
    assert [path.exists() for path in (ours, dead, alive, foreign)] == [False, False, True, True]


@pytest.mark.parametrize("name", ["memory", "a name"])
def test_nothing_is_deleted_through_a_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A builder that was killed may leave the host's own /dev mounted there."""
    memory = tmp_path / name
    memory.mkdir(exist_ok=True)
    monkeypatch.setattr(rootfs, "MEMORY_DISK", memory)
    path = left_over(memory, tmp_path, KEY[:12])
    table = tmp_path / "self/mountinfo"
    table.parent.mkdir()
    where = str(path / "dev").replace(" ", "\\040")
    table.write_text(f"1 1 0:1 / / rw - ext4 x rw\n2 1 0:5 / {where} rw - tmpfs dev rw\n")
    monkeypatch.setattr("psutil.PROCFS_PATH", str(tmp_path))
    image_cache.sweep(tmp_path, KEY)
    assert path.exists()
    table.write_text("1 1 0:1 / / rw - ext4 x rw\n")
    image_cache.sweep(tmp_path, KEY)
    assert not path.exists()


def test_a_purge_takes_everything_but_a_running_build(tmp_path: Path) -> None:
    """After a purge the next run builds anew; purging an empty cache is fine."""
    images.purge(tmp_path)
    image_cache.write(tmp_path, KEY, built, owner=KEY)
    dead = left_over(rootfs.MEMORY_DISK, tmp_path, "d" * 12)
    images.purge(tmp_path)
    assert not image_cache.directory(tmp_path).exists()
    assert not dead.exists()
