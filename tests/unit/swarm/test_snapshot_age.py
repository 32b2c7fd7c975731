"""How long a container has been running, when the host's clock is set meanwhile."""

from datetime import UTC, datetime, timedelta

import pytest

from harness.swarm import states
from harness.swarm.states import ContainerState

WALL = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Clocks:
    """Both clocks of a host: the one that can be set, and the one that cannot."""

    def __init__(self) -> None:
        self.wall = WALL
        self.ticks = 1000.0

    def now(self, _zone: object) -> datetime:
        """Return what the wall clock shows."""
        return self.wall

    def monotonic(self) -> float:
        """Return what the other one shows."""
        return self.ticks

    def go_on(self, seconds: float, *, jump: float = 0.0) -> None:
        """Let time pass, and set the wall clock by so much."""
        self.ticks += seconds
        self.wall += timedelta(seconds=seconds + jump)


@pytest.fixture(name="clocks")
def clocks_fixture(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    """Clocks that the code under test reads."""
    clocks = Clocks()

    class Fake(datetime):
        now = clocks.now  # type: ignore[assignment]  # only this one way of calling it is used

    monkeypatch.setattr(states, "datetime", Fake)
    monkeypatch.setattr("harness.swarm.states.time.monotonic", clocks.monotonic)
    states._began.cache_clear()  # noqa: SLF001  what was seen before is of real clocks
    return clocks


def age(started: timedelta, identity: str = "c1") -> float:
    """Return the age of a container that says it began then."""
    at = (WALL + started).strftime("%Y-%m-%dT%H:%M:%S.123456789Z")
    state = {"Running": True, "Status": "running", "ExitCode": 0, "StartedAt": at}
    return ContainerState.parse({"Id": identity, "State": state}).age


def test_a_container_that_began_before_we_looked_is_as_old_as_it_says(clocks: Clocks) -> None:
    """One of an app that has been up for a minute needs no further watching."""
    assert age(-timedelta(seconds=60)) == 60
    clocks.go_on(2)
    assert age(-timedelta(seconds=60)) == 62


@pytest.mark.parametrize("jump", [-7200.0, 7200.0])
def test_a_jump_after_the_first_look_changes_nothing(clocks: Clocks, jump: float) -> None:
    """Nothing counts as steady too early, and nothing waits for the clock to catch up."""
    assert age(timedelta()) == 0
    clocks.go_on(2, jump=jump)
    assert age(timedelta()) == 2


def test_a_container_from_the_future_is_young_and_grows_old(clocks: Clocks) -> None:
    """The clock was set back before the first look: its age is what we saw of it, never below 0."""
    assert age(timedelta(hours=2)) == 0
    clocks.go_on(6)
    assert age(timedelta(hours=2)) == 6


def test_a_restart_begins_anew(clocks: Clocks) -> None:
    """It is the same container, and another start."""
    age(-timedelta(seconds=60))
    clocks.go_on(1)
    assert age(timedelta(seconds=1)) == 0


def test_a_container_that_never_began_has_no_age(clocks: Clocks) -> None:
    """The engine writes nothing that is a moment."""
    clocks.go_on(1)
    state = {"Running": False, "Status": "created", "ExitCode": 0, "StartedAt": ""}
    assert ContainerState.parse({"Id": "c2", "State": state}).age == 0
