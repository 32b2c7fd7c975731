"""What an upgrade does to the mounts of volumes, and when data are lost by it."""

from typing import Any

import pytest

from harness.core.model import WarningCode
from harness.swarm.states import ServiceState
from harness.volumes.census import Census, Held
from harness.volumes.mounts import Upgrade
from tests.unit.fake_stack import STACK, service

FULL = {"data": 9}
ORPHANED, MOVED = WarningCode.VOLUME_ORPHANED, WarningCode.VOLUME_MOVED


def census(**files: int) -> Census:
    """Return what volumes hold; `__` in a name stands for the slash before a folder."""
    return Census(
        held={f"{STACK}_{n.replace('__', '/')}": Held(files=f, bytes=f) for n, f in files.items()}
    )


def mounting(name: str = "app", *extra: dict[str, str], **volumes: str) -> ServiceState:
    """Return a service that mounts volumes, and whatever else is given as the engine has it."""
    made = service(name, volumes=volumes)
    made.template["ContainerSpec"]["Mounts"].extend(extra)
    return made


def came(
    before: tuple[ServiceState, ...],
    after: tuple[ServiceState, ...],
    **changes: Any,  # noqa: ANN401
) -> list[tuple[WarningCode, bool]]:
    """Return the codes of what changed, and whether each fails."""
    return [(change.code, change.fails) for change in upgrade(before, after, **changes).changes()]


def upgrade(
    before: tuple[ServiceState, ...],
    after: tuple[ServiceState, ...],
    **changes: Any,  # noqa: ANN401
) -> Upgrade:
    """Return an upgrade of a base whose volume `data` holds files, unless said otherwise."""
    given: dict[str, Any] = {
        "held": census(**FULL), "holds": census(**FULL), "backed_up": (), "exempt": (),
        "declared": {}, **changes,
    }  # fmt: skip
    return Upgrade(stack=STACK, before=before, after=after, **given)


BASE = (mounting(data="/srv"),)


def test_the_same_mounts_are_no_change() -> None:
    """Nor are new ones, nor another order, nor a slash at the end."""
    assert came(BASE, (mounting(more="/more", data="/srv/"),)) == []


@pytest.mark.parametrize(
    ("changes", "fails"),
    [
        ({}, True),
        ({"held": census(data=0)}, False),
        ({"held": census(data=0), "backed_up": (f"{STACK}_data",)}, True),
    ],
)
def test_a_volume_that_the_head_does_not_mount_is_lost(changes: Any, *, fails: bool) -> None:  # noqa: ANN401
    """If it holds files, or is backed up; an empty one is a warning."""
    assert came(BASE, (mounting(),), **changes) == [(ORPHANED, fails)]


@pytest.mark.parametrize(
    ("instead", "called"),
    [
        ({"Type": "volume", "Source": f"{STACK}_new", "Target": "/srv"}, "volume new"),
        ({"Type": "volume", "Target": "/srv"}, "an anonymous volume"),
        ({"Type": "tmpfs", "Target": "/srv"}, "tmpfs"),
        ({"Type": "bind", "Source": "/opt/x", "Target": "/srv"}, "bind /opt/x"),
    ],
)
def test_what_is_mounted_in_its_place_is_named(instead: dict[str, str], called: str) -> None:
    """A renamed volume is the usual case."""
    (change,) = upgrade(BASE, (mounting("app", instead),)).changes()
    assert change.fails
    assert change.sentence == (
        "the head does not mount volume data, which the base mounts at /srv of service app: it "
        f"holds 9 files with 9 bytes; the head mounts {called} in its place"
    )
    assert change.failure().endswith("name the volume in NO_WITNESS in recipe_meta.py")


def test_a_volume_that_the_meta_gives_up_may_go() -> None:
    """By its short name."""
    assert came(BASE, (mounting(),), exempt=("data",)) == []


def test_a_dropped_service_takes_its_volume_with_it() -> None:
    """A service that was renamed does not."""
    assert came((*BASE, mounting("db", db="/db")), BASE, held=census(db=3)) == [(ORPHANED, True)]
    assert came(BASE, (mounting("web", data="/srv"),)) == []


@pytest.mark.parametrize(
    ("declared", "fails"),
    [({}, True), ({"app": ("/new",)}, False), ({"app": ("/new/data",)}, False),
     ({"app": ("/srv",)}, True), ({"db": ("/new",)}, True)],
)  # fmt: skip
def test_a_volume_at_another_place_is_lost_unless_the_image_expects_it_there(
    declared: dict[str, tuple[str, ...]], *, fails: bool
) -> None:
    """As postgres 18 does, whose image declares the folder above."""
    assert came(BASE, (mounting(data="/new"),), declared=declared) == [(MOVED, fails)]


def test_a_volume_that_another_one_replaced_was_taken_over_if_that_holds_as_much() -> None:
    """The head mounts both, so it could copy; an empty one shows that it did not."""
    both = (mounting(data="/old", new="/srv"),)
    assert came(BASE, both, holds=census(data=9, new=9)) == [(MOVED, False)]
    assert came(BASE, both, holds=census(data=9, new=8)) == [(MOVED, True)]


def test_a_volume_that_only_a_neighbour_mounts_is_lost_if_another_took_its_place() -> None:
    """Else the service just does not need it any more."""
    side = mounting("side", data="/srv")
    before = (*BASE, side)
    assert came(before, (mounting(new="/srv"), side)) == [(MOVED, True)]
    assert came(before, (mounting(), side)) == [(MOVED, False)]
    assert came(before, (mounting(new="/srv"), side), held=census()) == [(MOVED, False)]


@pytest.mark.parametrize("kind", ["volume", "tmpfs", "bind"])
def test_a_mount_over_a_folder_with_files_hides_them(kind: str) -> None:
    """Whatever is mounted there."""
    over = {"Type": kind, "Target": "/srv/uploads"}
    held = census(data=9, data__uploads=5)
    assert came(BASE, (mounting("app", over, data="/srv"),), held=held) == [(MOVED, True)]


def test_a_mount_over_nothing_or_as_in_the_base_hides_nothing() -> None:
    """An empty folder, a folder beside it, or one that was never seen."""
    over = {"Type": "tmpfs", "Target": "/srv/uploads"}
    head = (mounting("app", over, data="/srv"),)
    assert came(BASE, head, held=census(data=9)) == []
    assert came(head, head, held=census(data=9, data__uploads=5)) == []


def test_a_volume_that_was_not_counted_is_not_called_empty() -> None:
    """It only fails when it is backed up."""
    unknown = Census(unknown=frozenset({f"{STACK}_data"}))
    (change,) = upgrade(BASE, (mounting(),), held=unknown).changes()
    assert "its files could not be counted" in change.sentence
    assert change.warning().code is ORPHANED


def test_volumes_that_swap_their_places_are_lost() -> None:
    """Neither took the other's files over, however many it held before."""
    base, head = (mounting(data="/srv", other="/old"),), (mounting(data="/old", other="/srv"),)
    held = census(data=9, other=9)
    assert came(base, head, held=held, holds=held) == [(MOVED, True), (MOVED, True)]


def test_a_volume_of_a_renamed_service_at_another_place_is_a_warning() -> None:
    """Its program may look for it there; at a place that a neighbour knew, nothing has changed."""
    assert came(BASE, (mounting("web", data="/new"),)) == [(MOVED, False)]
    side = mounting("side", data="/new")
    assert came((*BASE, side), (side,)) == []
    assert came(BASE, (mounting("web", data="/new"),), held=census()) == []


def test_a_volume_that_is_mounted_twice_may_lose_one_of_its_places() -> None:
    """The program finds it at the other one; a warning says so."""
    twice = {"Type": "volume", "Source": f"{STACK}_data", "Target": "/more"}
    assert came((mounting("app", twice, data="/srv"),), BASE) == [(MOVED, False)]


def test_driver_options_that_change_are_ignored_by_docker() -> None:
    """The volume is there already: docker/cli#1279."""

    def declared(**options: str) -> tuple[ServiceState, ...]:
        driver = {"Name": "local", "Options": options}
        volume = {"Type": "volume", "Source": f"{STACK}_data", "Target": "/srv"}
        return (mounting("app", {**volume, "VolumeOptions": {"DriverConfig": driver}}),)  # type: ignore[dict-item]

    assert came(declared(o="ro"), declared(o="rw")) == [(WarningCode.OPTION_IGNORED, False)]
    assert came(declared(o="ro"), declared(o="ro")) == []


def test_another_folder_of_the_same_volume_hides_the_data() -> None:
    """The mount is at the same place, and what it shows is not."""
    volume = {"Type": "volume", "Source": f"{STACK}_data", "Target": "/srv"}
    head = (mounting("app", {**volume, "VolumeOptions": {"Subpath": "new"}}),)  # type: ignore[dict-item]
    assert came(BASE, head) == [(MOVED, True)]
    assert came(head, head) == []
