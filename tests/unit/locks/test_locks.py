"""Locks: one holder, a wait that ends, and the holder shown to whoever waits."""

import errno
import json
import os
import time
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from harness.core.errors import LockLostError, LockTimeoutError, TestBedError
from harness.core.events import EventLine, LockEvent, LockState
from harness.locks import file_lock as locks


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


def test_a_wait_and_its_end_are_events(tmp_path: Path) -> None:
    """Of a lock that is free at once, nothing is said."""
    said: list[str] = []
    with ExitStack() as first:
        first.enter_context(locks.hold(tmp_path, "x", purpose="p", timeout=0, say=said.append))
        assert said == []

        def say(line: str) -> None:
            said.append(line)
            first.close()

        with locks.hold(tmp_path, "x", purpose="q", timeout=30, say=say):
            pass
    events = [line.event for line in said if isinstance(line, EventLine)]
    assert [(one.lock, one.state) for one in events if isinstance(one, LockEvent)] == [
        ("x", LockState.WAITING), ("x", LockState.HELD),
    ]  # fmt: skip


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


def test_a_place_is_one_directory_of_one_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two containers with the same path and name, or a host that was restarted, are others."""
    here = locks.place_of(tmp_path / "a")
    assert here == locks.place_of(tmp_path / "a")
    assert here != locks.place_of(tmp_path / "b")
    boot = tmp_path / "boot"
    boot.write_text("another")
    monkeypatch.setattr(locks, "BOOT_ID", boot)
    assert here != locks.place_of(tmp_path / "a")
    (tmp_path / "file").touch()
    with pytest.raises(TestBedError, match="cannot be written"):
        locks.place_of(tmp_path / "file" / "sub")


def hold(directory: Path, *, forget: bool = False) -> AbstractContextManager[locks.Held]:
    """Hold the lock `x`, without any patience."""
    return locks.hold(directory, "x", purpose="p", timeout=0, say=print, forget=forget)


def test_a_lock_whose_file_is_replaced_is_lost(tmp_path: Path) -> None:
    """Others can hold the new file, so the holder of the old one must do nothing more."""
    with hold(tmp_path) as held:
        held.check()
        held.path.unlink()
        with hold(tmp_path) as thief:
            thief.check()
            with pytest.raises(LockLostError, match="lost the lock 'x'") as caught:
                held.check()
    assert caught.value.exit_code == 3
    assert "run again" in caught.value.hint


def test_a_lock_whose_file_is_gone_is_lost(tmp_path: Path) -> None:
    """The next one to come makes it anew, and nothing would stop that one."""
    with hold(tmp_path) as held:
        held.path.unlink()
        with pytest.raises(LockLostError):
            held.check()


def test_what_a_thief_has_is_not_removed(tmp_path: Path) -> None:
    """Neither its file, which would free it for a third, nor its note."""
    first = ExitStack()
    held = first.enter_context(hold(tmp_path, forget=True))
    held.path.unlink()
    with hold(tmp_path) as thief:
        first.close()
        assert thief.ours
        assert locks.holder_path(tmp_path, "x").exists()


def test_a_lock_that_is_to_be_forgotten_leaves_nothing(tmp_path: Path) -> None:
    """Its holder deletes it while nobody else can have it."""
    with hold(tmp_path, forget=True):
        assert locks.lock_path(tmp_path, "x").exists()
    assert list(tmp_path.iterdir()) == []


def test_what_killed_holders_left_is_removed(tmp_path: Path) -> None:
    """Notes always, files only of names that never come back, and nothing that is held."""
    for name in ("dead-1", "dead-stays", "alive-1", "other"):
        locks.lock_path(tmp_path, name).touch()
        locks.holder_path(tmp_path, name).write_text("{}")
    with locks.hold(tmp_path, "alive-1", purpose="p", timeout=0, say=print) as held:
        for pattern in ("dead-*", "alive-*"):
            locks.forget_dead(tmp_path, pattern, never_again=lambda name: name.endswith("1"))
        held.check()
        left = {path.name for path in tmp_path.iterdir()}
    assert left == {
        "dead-stays.lock", "alive-1.lock", "alive-1.holder.json", "other.lock", "other.holder.json",
    }  # fmt: skip


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A lock that holds nobody back is worse than none; a file's mere existence is no lock."""

    def flock(_file: int, _how: int) -> None:
        raise OSError(number, os.strerror(number))

    locks.lock_path(tmp_path, "x").touch()
    monkeypatch.setattr("fcntl.flock", flock)
    for look in (lambda: hold(tmp_path).__enter__(), lambda: locks.is_free(tmp_path, "x")):
        with pytest.raises(TestBedError, match="cannot be taken") as caught:
            look()
        assert (caught.value.exit_code, "no file locks" in caught.value.cause) == (3, True)
        assert "CCCI_CACHE" in caught.value.hint


def test_a_directory_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both for a lock that is to be taken and for one that is only looked at."""
    locks.lock_path(tmp_path, "x").touch()

    def refuse(*_words: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("harness.locks.file_lock.os.open", refuse)
    for look in (lambda: hold(tmp_path).__enter__(), lambda: locks.is_free(tmp_path, "x")):
        with pytest.raises(TestBedError, match=r"cannot be written: Permission denied") as caught:
            look()
        assert (caught.value.exit_code, "another user" in caught.value.cause) == (3, True)


def test_a_clock_that_was_set_back_shows_no_negative_age(tmp_path: Path) -> None:
    """The holder took it in what is the future by now."""
    note = tmp_path / "x.holder.json"
    note.write_text(
        json.dumps({"pid": 7, "host": "h", "purpose": "p", "since": time.time() + 3600})
    )
    assert str(locks.Holder.read(note)) == "process 7 on h, for 0 s, p"
