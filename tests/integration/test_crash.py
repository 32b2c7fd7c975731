"""A small share of the crash matrix: `nox -s crash` makes all of it."""

from pathlib import Path

import pytest

from tests.crash import accidents
from tests.crash.__main__ import crash

pytestmark = [pytest.mark.xdist_group("engine-crash"), pytest.mark.timeout(1200)]

KILLS = 2


def test_killed_runs_leave_nothing(layers: Path) -> None:
    """The next run is green, and nothing of the dead one is left."""
    came = crash(
        layers, kills=KILLS, seed=1, jobs=4,
        happen=[one for one in accidents.ACCIDENTS if one.kind == "lock stolen"][:1], say=print,
    )  # fmt: skip
    assert sum(bool(one.run) for one in came) >= KILLS // 2
    assert [str(one) for one in came if not one.ok] == []
