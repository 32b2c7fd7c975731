"""A small share of the crash matrix: `nox -s crash` makes all of it."""

from pathlib import Path

import pytest

from harness.testbed import TestBed
from tests.crash import accidents
from tests.crash.__main__ import crash

KILLS = 8
IMAGE = "nginx:1.27.4"


def test_killed_runs_leave_nothing(bed: TestBed, cache_dir: Path) -> None:
    """Whatever befalls a run: the next one is green, and nothing of the dead one is left."""
    assert bed.toolbox
    assert bed.images(IMAGE)
    if len(list((cache_dir / "images").glob("*.tar"))) < 2:  # the engine may have them, too
        pytest.skip(f"the stand-in images are not kept in {cache_dir}/images")
    came = crash(
        cache_dir / "images", kills=KILLS, seed=1, jobs=4,
        happen=[one for one in accidents.ACCIDENTS if one.kind == "lock stolen"][:1], say=print,
    )  # fmt: skip
    assert sum(bool(one.run) for one in came) >= KILLS // 2
    assert [str(one) for one in came if not one.ok] == []
