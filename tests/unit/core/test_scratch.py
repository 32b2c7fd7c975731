"""Directories for a while: whose they are, and who removes those of the dead."""

import fcntl
import os
import stat
import tempfile
from pathlib import Path

import pytest

from harness.core.scratch import directory, sweep

PREFIX = "ccci-try-"


def test_what_is_held_stays_and_what_is_left_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And neither a file, nor a link, nor what has another name, nor another user's."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("ccci-try-left", "ccci-try-theirs", "other", "ccci-tryleft"):
        (tmp_path / name / "inner").mkdir(parents=True)
    (tmp_path / "ccci-try-file").touch()
    (tmp_path / "ccci-try-link").symlink_to(tmp_path / "other")
    kept = {"ccci-try-theirs", "other", "ccci-tryleft", "ccci-try-file", "ccci-try-link"}
    if os.geteuid() == 0:
        os.chown(tmp_path / "ccci-try-theirs", 65534, 65534)
    else:
        kept.discard("ccci-try-theirs")
    with directory(PREFIX) as path:
        assert stat.S_IMODE(path.stat().st_mode) == stat.S_IRWXU
        sweep(PREFIX)
        assert {one.name for one in tmp_path.iterdir()} == kept | {path.name}
    assert {one.name for one in tmp_path.iterdir()} == kept


def test_a_directory_that_is_swept_when_it_is_born(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its birth and its lock anybody may take it for a dead one's."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    lock = fcntl.flock
    swept: list[Path] = []

    def flock(handle: int, how: int) -> None:
        if not swept:
            swept.extend(tmp_path.glob(f"{PREFIX}*"))
            swept[0].rmdir()
        lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with directory(PREFIX) as path:
        assert path.is_dir()
        assert path != swept[0]
    assert not path.exists()
