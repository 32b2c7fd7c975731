"""Locks: one holder, a wait that ends, and the holder shown to whoever waits."""

import json
import time
from pathlib import Path

import pytest

from harness import locks
from harness.errors import LockTimeoutError, TestBedError


def test_a_second_holder_is_told_who_and_gives_up(tmp_path: Path) -> None:
    """The wait is finite, and its message names the process, its host and its purpose."""
    said: list[str] = []
    with (
        locks.hold(tmp_path, "x", purpose="testing", timeout=1, say=said.append),
        pytest.raises(LockTimeoutError) as caught,
        locks.hold(tmp_path, "x", purpose="too", timeout=0.2, say=said.append),
    ):
        pass
    assert "testing" in caught.value.cause
    assert len(said) == 1
    assert "testing" in said[0]
    assert caught.value.exit_code == 5


def test_a_lock_is_free_again_after_its_block_and_its_file_stays(tmp_path: Path) -> None:
    """Deleting the file would let two processes hold two different locks of one name."""
    for _ in range(2):
        with locks.hold(tmp_path, "x", purpose="p", timeout=0, say=print):
            assert not locks.is_free(tmp_path, "x")
        assert locks.is_free(tmp_path, "x")
    assert locks.lock_path(tmp_path, "x").exists()
    assert not locks.holder_path(tmp_path, "x").exists()


def test_an_error_in_the_block_frees_the_lock(tmp_path: Path) -> None:
    """However the block ends."""
    with pytest.raises(KeyError), locks.hold(tmp_path, "x", purpose="p", timeout=0, say=print):
        raise KeyError
    assert locks.is_free(tmp_path, "x")


def test_looking_at_a_lock_that_was_never_made_makes_nothing(tmp_path: Path) -> None:
    """A look leaves no trace."""
    assert locks.is_free(tmp_path / "none", "x")
    assert list(tmp_path.iterdir()) == []


def test_a_torn_note_about_the_holder_hides_nothing(tmp_path: Path) -> None:
    """The note is for people: a broken one must not break the wait."""
    with locks.hold(tmp_path, "x", purpose="p", timeout=0, say=print):
        locks.holder_path(tmp_path, "x").write_text("{")
        with (
            pytest.raises(LockTimeoutError, match="not free"),
            locks.hold(tmp_path, "x", purpose="q", timeout=0, say=print),
        ):
            pass


def test_a_directory_that_cannot_be_written_is_the_test_beds_fault(tmp_path: Path) -> None:
    """One clear message instead of an OSError."""
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(TestBedError, match="cannot be written"),
        locks.hold(tmp_path / "file" / "sub", "x", purpose="p", timeout=0, say=print),
    ):
        pass


def test_the_age_of_a_holder_is_shown(tmp_path: Path) -> None:
    """Whoever waits can tell a busy run from a stuck one."""
    note = tmp_path / "x.holder.json"
    note.write_text(
        json.dumps({"pid": 7, "host": "h", "purpose": "p", "since": time.time() - 61.5})
    )
    assert str(locks.Holder.read(note)) == "process 7 on h, for 61 s, p"
