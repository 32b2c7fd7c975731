"""What a recipe needs of the machine: each need met and unmet, and what is not known."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.errors import TestBedError
from harness.recipes import meta
from harness.run.requirements import GIB, require, unmet


@pytest.fixture
def info(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Any]:
    """The answer of an engine on a machine of 4 GiB, 2 processors, and 10 GiB free."""

    def usage(path: Path) -> Any:  # noqa: ANN401  as the standard library says it
        assert path == tmp_path
        return SimpleNamespace(total=90 * GIB, used=80 * GIB, free=10 * GIB)

    monkeypatch.setattr("shutil.disk_usage", usage)
    return {
        "MemTotal": int(3.83 * GIB),
        "NCPU": 2,
        "ServerVersion": "20.10.24+dfsg1",
        "Architecture": "x86_64",
        "DockerRootDir": str(tmp_path),
    }


def test_a_recipe_that_needs_nothing_lacks_nothing(info: Mapping[str, Any]) -> None:
    """And it may be run anywhere."""
    assert unmet({}, info, ipvs=None, local=True) == ""
    require("made", {}, info, ipvs=False, local=True)


@pytest.mark.parametrize(
    ("name", "enough", "too_much", "said"),
    [
        ("memory_gib", 3, 6, "memory_gib 3.8 instead of 6"),
        ("memory_gib", 2.5, 4.1, "memory_gib 3.8 instead of 4.1"),
        ("disk_gib", 10, 11, "disk_gib 10.0 instead of 11"),
        ("processors", 2, 3, "processors 2 instead of 3"),
        ("engine", "20.10.24", "20.10.25", "engine 20.10.24+dfsg1 instead of 20.10.25"),
        ("engine", "9", "23", "engine 20.10.24+dfsg1 instead of 23"),
        ("architecture", "x86_64", "aarch64", "architecture x86_64 instead of aarch64"),
    ],
)
def test_each_need_is_compared_with_what_is_there(
    info: Mapping[str, Any], name: str, enough: object, too_much: object, said: str
) -> None:
    """At least so much, or just that; a version is compared number by number, not as a text."""
    assert unmet({name: enough}, info, ipvs=True, local=True) == ""
    assert unmet({name: too_much}, info, ipvs=True, local=True) == said


def test_a_kernel_without_ipvs_is_not_enough_for_who_needs_it(info: Mapping[str, Any]) -> None:
    """It is a matter of yes and no."""
    assert unmet({"ipvs": True}, info, ipvs=True, local=True) == ""
    assert unmet({"ipvs": True}, info, ipvs=False, local=True) == "ipvs False instead of True"


def test_a_machine_may_say_a_little_less_than_it_was_sold_as(info: Mapping[str, Any]) -> None:
    """One of 4 GiB says 3.8; one of 3 is another matter."""
    assert unmet({"memory_gib": 4}, info, ipvs=None, local=True) == ""
    assert unmet({"memory_gib": 4}, {**info, "MemTotal": 3 * GIB}, ipvs=None, local=True)


def test_what_is_not_known_keeps_nothing_from_being_run(info: Mapping[str, Any]) -> None:
    """An engine that does not say where its disk is, or what its kernel has: nobody guesses."""
    for root in ("", "/no/such/directory"):
        there = {**info, "DockerRootDir": root}
        assert unmet({"disk_gib": 10_000, "ipvs": True}, there, ipvs=None, local=True) == ""
    silent = {name: value for name, value in info.items() if name != "DockerRootDir"}
    assert unmet({"disk_gib": 10_000}, silent, ipvs=None, local=True) == ""


def test_only_what_is_measured_in_gib_may_be_a_little_less(info: Mapping[str, Any]) -> None:
    """A disk is sold as memory is; a processor is there or it is not."""
    assert unmet({"disk_gib": 10.5}, info, ipvs=None, local=True) == ""
    many = {**info, "NCPU": 20}
    said = unmet({"processors": 21}, many, ipvs=None, local=True)
    assert said == "processors 20 instead of 21"


def test_the_disk_of_a_remote_engine_is_not_measured(info: Mapping[str, Any]) -> None:
    """A directory of the same name on this machine is another one's disk; the rest is compared."""
    wanted = {"disk_gib": 10_000, "processors": 3}
    assert unmet(wanted, info, ipvs=None, local=False) == "processors 2 instead of 3"
    require("made", {"disk_gib": 10_000}, info, ipvs=None, local=False)
    with pytest.raises(TestBedError):
        require("made", {"disk_gib": 10_000}, info, ipvs=None, local=True)


def test_a_machine_that_is_too_small_is_an_error_of_the_test_bed(info: Mapping[str, Any]) -> None:
    """Everything that it lacks is said at once, with the recipe and what to do."""
    wanted = {"processors": 8, "memory_gib": 2, "ipvs": True}
    with pytest.raises(TestBedError) as caught:
        require("made", wanted, info, ipvs=False, local=True)
    assert caught.value.what == (
        "this machine does not meet the requirements of made: processors 2 instead of 8, "
        "ipvs False instead of True"
    )
    assert "REQUIREMENTS" in caught.value.cause
    assert caught.value.hint


def test_every_requirement_that_a_meta_may_name_is_compared(info: Mapping[str, Any]) -> None:
    """One that is accepted and never looked at would be a promise that nobody keeps."""
    unmeetable = {"engine": "999", "architecture": "~", "ipvs": True}
    for name in meta.REQUIREMENTS:
        wanted = unmeetable.get(name, 10**9)
        assert name in unmet({name: wanted}, info, ipvs=False, local=True), name
