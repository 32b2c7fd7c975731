"""What each container may take: laid over the recipe, lower limits of its own left alone."""

from pathlib import Path
from typing import Any

import pytest

from harness.platforms.base import Revision, Target
from harness.platforms.limits import Limits
from harness.platforms.override import Machine, build
from harness.platforms.stackfile import complete
from harness.recipes.compose import load
from harness.swarm import own_limits
from tests.unit.committed import committed

GIB, MIB = 1024**3, 1024**2
TARGET = Target(recipe="r", run="run1", scope="scope1", domain="a-b.c.test")
LIMITS = Limits(memory=4 * GIB, pids=100, log=10 * MIB)


def stack(
    tmp_path: Path,
    service: str,
    *,
    version: str = "3.8",
    limits: Limits = LIMITS,
    abra: bool = False,
) -> dict[str, Any]:
    """Return the whole stack of a recipe of one service."""
    first = f"version: '{version}'\n" if version else ""
    (tmp_path / "compose.yml").write_text(f"{first}services:\n  app: {{image: n{service}}}\n")
    compose = load(committed(tmp_path), "", {})
    revision = Revision(files=committed(tmp_path), commit="0" * 40, chaos=False)
    machine = Machine(dnsrr=False, limits=limits)
    override, notes = build(compose, TARGET, None if abra else revision, machine)
    assert [note.kind for note in notes] == ["limits"]
    return complete(compose, override, {})


def limits_of(made: dict[str, Any]) -> dict[str, Any]:
    """Return the limits of its only service."""
    found: dict[str, Any] = made["services"]["app"]["deploy"].get("resources", {}).get("limits", {})
    return found


def test_a_service_without_limits_gets_all_of_them(tmp_path: Path) -> None:
    """And a label that says whose they are."""
    made = stack(tmp_path, "")
    assert limits_of(made) == {"memory": str(4 * GIB), "pids": 100}
    app = made["services"]["app"]
    assert app["labels"][own_limits.LABEL] == "memory,pids"
    assert app["logging"] == {"options": {"max-size": str(5 * MIB), "max-file": "2"}}


@pytest.mark.parametrize(
    ("own", "memory", "ours"),
    [
        ("limits: {memory: 512M}", "512M", "pids"),
        ("limits: {memory: 4g}", "4g", "pids"),
        ("limits: {memory: 5g}", str(4 * GIB), "memory,pids"),
        ("limits: {memory: '0'}", str(4 * GIB), "memory,pids"),
        ("limits: {memory: nonsense}", str(4 * GIB), "memory,pids"),
        ("limits: {cpus: '1'}", str(4 * GIB), "memory,pids"),
        ("reservations: {memory: 1g}", str(4 * GIB), "memory,pids"),
    ],
)
def test_a_lower_limit_of_the_recipe_stays(
    tmp_path: Path, own: str, memory: str, ours: str
) -> None:
    """The label names the others alone, and what else the recipe says of resources is kept."""
    made = stack(tmp_path, f", deploy: {{resources: {{{own}}}}}")
    assert limits_of(made)["memory"] == memory
    assert made["services"]["app"]["labels"][own_limits.LABEL] == ours
    if "cpus" in own:
        assert limits_of(made)["cpus"] == "1"
    if "reservations" in own:
        assert made["services"]["app"]["deploy"]["resources"]["reservations"] == {"memory": "1g"}


def test_no_limit_is_below_what_the_recipe_reserves(tmp_path: Path) -> None:
    """Docker would refuse it; and without any, one container could take all memory."""
    made = stack(tmp_path, ", deploy: {resources: {reservations: {memory: 5g}}}")
    assert limits_of(made)["memory"] == str(5 * GIB)


@pytest.mark.parametrize(
    ("own", "kept"),
    [
        ("", {"options": {"max-size": str(5 * MIB), "max-file": "2"}}),
        ("driver: syslog", {"driver": "syslog"}),
        ("driver: json-file, options: {max-size: 1m}", {"max-size": "1m"}),
        ("driver: json-file, options: {max-size: 1g, tag: x}", {"max-file": "2", "tag": "x"}),
        ("driver: local, options: {max-size: 9m, max-file: '9'}", {"max-file": "2"}),
        ("driver: '', options: {max-size: 9g}", {"max-size": str(5 * MIB)}),
        ("driver: json-file, options: {max-size: 9m, max-file: '+9'}", {"max-file": "2"}),
        ("driver: json-file, options: {max-size: '1', max-file: '900000'}", {"max-file": "2"}),
    ],
)
def test_logs_are_rotated_where_the_driver_can(
    tmp_path: Path, own: str, kept: dict[str, Any]
) -> None:
    """A recipe that keeps less keeps it, and one that keeps more does not."""
    made = stack(tmp_path, f", logging: {{{own}}}" if own else "")
    logging = made["services"]["app"]["logging"]
    assert kept.items() <= {**logging, **logging.get("options", {})}.items()


@pytest.mark.parametrize(
    ("version", "written"),
    [
        ("3.8", "3.9"), ("3.9", "3.9"), ("3.13", "3.13"), ("", ""), ("3", "3"),
        ("3.7", "3.9"), ("3.0", "3.9"),
        # docker refuses these, and has to go on doing so
        ("3.14", "3.14"), ("2.4", "2.4"),
    ],
)  # fmt: skip
def test_older_file_formats_are_written_as_one_that_has_a_limit_of_processes(
    tmp_path: Path, version: str, written: str
) -> None:
    """A recipe chooses its format, and must not choose to have no limit."""
    made = stack(tmp_path, "", version=version)
    assert made.get("version", "") == written
    assert ("pids" in limits_of(made)) == (written != "2.4")


def test_a_file_that_is_merged_by_docker_keeps_its_format(tmp_path: Path) -> None:
    """With abra, docker refuses files of two formats."""
    made = stack(tmp_path, "", abra=True)
    assert made["version"] == "3.8"
    assert limits_of(made) == {"memory": str(4 * GIB)}


def test_the_usual_limits_leave_the_machine_a_quarter_of_its_memory() -> None:
    """LIMITS changes each by itself; a log driver that knows no size gets none."""
    usual = Limits.of({}, memory=8 * GIB, log_driver="json-file")
    assert usual == Limits(memory=6 * GIB, pids=4096, log=100 * MIB)
    raised = Limits.of({"memory_gib": 20, "log_mib": 1}, memory=8 * GIB, log_driver="local")
    assert raised == Limits(memory=20 * GIB, pids=4096, log=MIB)
    assert Limits.of({}, memory=8 * GIB, log_driver="journald").log == 0


def test_limits_of_the_recipe_are_told_from_ours() -> None:
    """By the label of the container."""
    spec = {"Labels": {own_limits.LABEL: "memory"}}
    template = {"ContainerSpec": spec, "Resources": {"Limits": {"MemoryBytes": 5, "Pids": 7}}}
    assert own_limits.of_recipe(template) == {"pids": 7}
    assert own_limits.of_recipe({"ContainerSpec": {}, "Resources": template["Resources"]}) == {
        "memory": 5, "pids": 7,
    }  # fmt: skip
    assert own_limits.of_recipe({"ContainerSpec": {}}) == {}
