"""Removing what carries a run's label: all of it, nothing else, and looked at again."""

from collections import Counter

import pytest
import requests

from harness.swarm.sweep import RUN_LABEL, Found, find, sweep
from tests.unit.fake_clock import stop_the_clock
from tests.unit.fake_engine import KINDS, FakeEngine, Thing, one_of_each

MINE = {RUN_LABEL: "run1", "com.example": "x"}
FOREVER = 10**9


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    stop_the_clock(monkeypatch)


def test_only_what_has_the_label_is_removed() -> None:
    """Another run's objects and a stranger's stay, whatever they are called."""
    others = [
        *one_of_each("run10", {RUN_LABEL: "run10"}),
        *one_of_each("run1", {}),
        *one_of_each("elsewhere", {"com.example": "run1"}),
    ]
    engine = FakeEngine(things=[*one_of_each("mine", MINE), *others])
    swept = sweep(engine.client, "run1", timeout=5)
    assert engine.things == others
    assert engine.removed == [f"mine-{kind}" for kind in KINDS]
    assert swept.removed == dict.fromkeys(KINDS, 1)
    assert swept.left == ()
    assert set(engine.asked) == {f"{RUN_LABEL}=run1"}


def test_a_container_that_has_the_label_of_its_image_is_not_a_runs() -> None:
    """Anybody can write that label into an image; a run's containers have the run's own over it."""
    theirs = Thing(kind="container", name="theirs", labels=MINE, image="evil")
    ours = Thing(kind="container", name="ours", labels=MINE, image="other")
    engine = FakeEngine(
        things=[theirs, ours], image_labels={"evil": MINE, "other": {RUN_LABEL: "run2"}}
    )
    sweep(engine.client, "run1", timeout=5)
    assert engine.things == [theirs]


def test_a_refusal_is_tried_again_until_nothing_is_found() -> None:
    """A network cannot go before its last task, a volume not before its last container."""
    engine = FakeEngine(
        things=one_of_each("mine", MINE),
        refusals=Counter({"mine-network": 3, "mine-volume": 1, "mine-secret": 2}),
    )
    swept = sweep(engine.client, "run1", timeout=5)
    assert engine.things == []
    assert swept.removed == dict.fromkeys(KINDS, 1)
    assert engine.removed[-2:] == ["mine-secret", "mine-network"]


def test_what_appears_while_it_is_swept_goes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that was about to start makes a container after the first look."""
    engine = FakeEngine(things=one_of_each("mine", MINE))
    late = Thing(kind="container", name="late", labels=MINE)
    remove = engine.remove_config

    def remove_and_start(identity: str) -> None:
        remove(identity)
        engine.things.append(late)

    monkeypatch.setattr(engine, "remove_config", remove_and_start)
    swept = sweep(engine.client, "run1", timeout=5)
    assert engine.removed[-1] == "late"
    assert swept.removed["container"] == 2


def test_what_cannot_be_removed_is_listed_and_not_counted() -> None:
    """It names what is left by kind and name, after its time and not for ever."""
    engine = FakeEngine(
        things=one_of_each("mine", MINE),
        refusals=Counter({"mine-network": FOREVER, "mine-volume": FOREVER}),
    )
    swept = sweep(engine.client, "run1", timeout=5)
    assert swept.left == ("network mine-network", "volume mine-volume")
    assert swept.removed == {"config": 1, "container": 1, "secret": 1, "service": 1}


def test_nothing_to_remove_is_fine() -> None:
    """A run that died before it made anything."""
    swept = sweep(FakeEngine().client, "run1", timeout=5)
    assert (swept.removed, swept.left) == ({}, ())


def test_an_engine_that_is_gone_is_not_taken_for_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only an engine's own "no" is waited out."""

    def dead(_identity: str) -> None:
        raise requests.ConnectionError

    engine = FakeEngine(things=one_of_each("mine", MINE))
    monkeypatch.setattr(engine, "remove_service", dead)
    with pytest.raises(requests.ConnectionError):
        sweep(engine.client, "run1", timeout=5)


def test_a_find_says_what_each_object_is() -> None:
    """By the name of a label alone, too; ids, names and labels are the engine's."""
    engine = FakeEngine(things=[*one_of_each("a", MINE), *one_of_each("b", {"other": "1"})])
    found = find(engine.client, RUN_LABEL)
    assert [(item.kind, item.name) for item in found] == [(kind, f"a-{kind}") for kind in KINDS]
    assert found[0] == Found(kind="service", id="id-of-a-service", name="a-service", labels=MINE)
    assert all(item.labels == MINE for item in found)
