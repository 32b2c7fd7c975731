"""How much memory programs can still get: the least of what the machine and its groups give."""

from pathlib import Path

import pytest

from harness.core.capacity import free_memory

MIB = 1024**2


def machine(place: Path, text: str, groups: str = "") -> Path:
    """Write what the kernel says of the machine and of the groups of a process."""
    (place / "self").mkdir()
    (place / "meminfo").write_text(text)
    (place / "self/cgroup").write_text(groups)
    return place


def group(place: Path, limit: str, used: int, droppable: int, *, v1: bool = False) -> None:
    """Write what the kernel says of one group; sizes in bytes."""
    place.mkdir(parents=True, exist_ok=True)
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    names = names if v1 else ("memory.max", "memory.current", "inactive_file")
    (place / names[0]).write_text(f"{limit}\n")
    (place / names[1]).write_text(f"{used}\n")
    (place / "memory.stat").write_text(f"anon 7\n{names[2]} {droppable}\nfile 9\n")


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [
        ("MemTotal: 9 kB\nMemFree: 7 kB\nMemAvailable: 3072 kB\n", 3 * MIB),
        ("MemAvailable:\n", None),
        ("", None),
    ],
)
def test_memory_that_the_kernel_would_give_back_counts_as_free(
    tmp_path: Path, text: str, bytes_: int | None
) -> None:
    """MemAvailable, not MemFree; a kernel that does not say is unknown."""
    assert free_memory(machine(tmp_path, text), tmp_path) == bytes_
    assert free_memory(tmp_path / "none", tmp_path) is None


@pytest.mark.parametrize("v1", [False, True])
def test_a_group_may_give_less_than_the_machine(tmp_path: Path, *, v1: bool) -> None:
    """The innermost or one around it; files that can be read again count as free."""
    named = "4:cpu,memory:/a/b\n" if v1 else "0::/a/b\n"
    proc = machine(tmp_path, f"MemAvailable: {900 * 1024} kB\n", f"1:pids:/x\n{named}")
    cgroup = tmp_path / "cgroup"
    base = cgroup / "memory" if v1 else cgroup
    none = str(2**63 - 4096) if v1 else "max"
    group(base / "a/b", none, 5 * MIB, 0, v1=v1)
    assert free_memory(proc, cgroup) == 900 * MIB
    group(base / "a", str(500 * MIB), 450 * MIB, 100 * MIB, v1=v1)
    assert free_memory(proc, cgroup) == 150 * MIB
    group(base / "a/b", str(60 * MIB), 50 * MIB, 0, v1=v1)
    assert free_memory(proc, cgroup) == 10 * MIB
    group(base / "a/b", str(60 * MIB), 70 * MIB, 0, v1=v1)
    assert free_memory(proc, cgroup) == 0


def test_in_a_container_the_group_is_at_the_root(tmp_path: Path) -> None:
    """The path may be the one outside, where nothing is to be seen from here."""
    proc = machine(tmp_path, f"MemAvailable: {900 * 1024} kB\n", "0::/docker/0a1b\n")
    group(tmp_path / "cgroup", str(200 * MIB), 0, 0)
    assert free_memory(proc, tmp_path / "cgroup") == 200 * MIB
