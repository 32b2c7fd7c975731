"""The guard: one more run waits while the machine is short, and never when no other goes on."""

from pathlib import Path

import pytest

from harness.core.settings import Settings
from harness.engine import engine
from harness.fleet.host import (
    MIB,
    RUN_DISK,
    RUN_MEMORY,
    START_DISK,
    Host,
    Room,
    look,
    shortage,
)


def room(free: int | None, wanted: int = 700) -> Room:
    """Return room for memory, in MiB."""
    return Room(what="memory", free=None if free is None else free * MIB, wanted=wanted * MIB)


@pytest.mark.parametrize(
    ("free", "running", "why"),
    [
        (700, 1, ""),
        (699, 1, "699 MiB of memory free, 700 MiB wanted"),
        (0, 7, "0 MiB of memory free, 700 MiB wanted"),
        (0, 0, ""),
        (None, 3, ""),
    ],
)
def test_a_start_waits_only_for_what_is_known_to_be_short(
    free: int | None, running: int, why: str
) -> None:
    """The only run always starts, so that nothing waits for ever; what is unknown holds nobody."""
    assert shortage([room(free)], running=running) == why


def test_all_that_is_short_is_named() -> None:
    """Whoever frees one of two things would wait in vain."""
    disk = Room(what="disk of the cache", free=MIB, wanted=2 * MIB)
    said = shortage([room(10), disk, room(900)], running=1)
    assert said == (
        "10 MiB of memory free, 700 MiB wanted; 1 MiB of disk of the cache free, 2 MiB wanted"
    )


def host(tmp_path: Path, *, memory: int, disk: int | None) -> Host:
    """Return a host with so many bytes free."""
    disks = {"disk of the cache": tmp_path}
    return Host(memory=lambda: memory, disks=disks, free_bytes=lambda _path: disk)


def test_a_run_that_has_just_started_has_its_share_kept_for_it(tmp_path: Path) -> None:
    """It has not taken it yet: eight starts in one second would each see the same free memory."""
    enough = host(tmp_path, memory=2 * RUN_MEMORY, disk=START_DISK + RUN_DISK)
    assert shortage(enough.rooms(young=0), running=1) == ""
    assert shortage(enough.rooms(young=1), running=1) == ""
    assert "memory" in shortage(enough.rooms(young=2), running=2)
    assert "disk of the cache" in shortage(enough.rooms(young=2), running=2)


def test_the_disk_that_a_preflight_asks_for_has_to_be_there(tmp_path: Path) -> None:
    """Otherwise the run would start only to be an error."""
    short = host(tmp_path, memory=9 * RUN_MEMORY, disk=START_DISK - 1)
    assert "disk of the cache" in shortage(short.rooms(young=0), running=1)
    unknown = host(tmp_path, memory=9 * RUN_MEMORY, disk=None)
    assert shortage(unknown.rooms(young=0), running=1) == ""


def test_an_engine_that_is_not_up_yet_is_a_private_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking starts nothing; the private engine's data will lie below the cache."""
    monkeypatch.setattr(engine, "resolve", lambda **_: pytest.fail("asked"))
    found = look(Settings(cache=tmp_path, engine="private"), {})
    assert found.disks == {
        "disk of the cache": tmp_path, "disk of the engine": tmp_path / "engine" / "data",
    }  # fmt: skip
    assert found.run_memory == RUN_MEMORY
