"""What a run took, beside the last green run: news is told from noise, and only asked for fails."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import EXIT_FAILED, UsageError
from harness.core.measured import Jump, Measure, Resources, StageResources
from harness.core.model import Outcome
from harness.recipes import meta
from harness.report.results import RunResult
from harness.run.resources import compared, growth, last_green
from harness.verdict.decide import Verdict
from harness.verdict.facts import Growth
from tests.unit.report.test_junit import result

MIB = 1 << 20


def taken(memory: int = 100, *, healthy: float | None = 20.0, **changes: Any) -> Resources:  # noqa: ANN401
    """Return what a run took; memory in MiB."""
    stage = StageResources(stage="install", healthy_seconds=healthy, memory={"app": memory * MIB})
    fields = {"images": {"nginx:1": 200 * MIB}, "volumes": {"data": 20 * MIB}}
    return Resources(stages=(stage,), **{**fields, **changes})


def green(resources: Resources | None) -> RunResult:
    """Return a green run that took that."""
    return result(run="made-20260101T000000-aa", resources=resources)


def jumps(now: Resources, then: Resources, **most: float) -> list[tuple[str, str, bool]]:
    """Return what has jumped: measure, subject, and whether that fails."""
    found = compared(now, green(then), most=most)
    assert found.compared_with == "made-20260101T000000-aa"
    return [(str(one.measure), one.subject, one.fails) for one in found.jumps]


def grown(*volumes: int) -> Resources:
    """Return what a run took whose volume was that large after each stage, in MiB."""
    names = ("install", "upgrade", "backup")
    stages = (
        StageResources(stage=stage, volumes={"data": size * MIB})
        for stage, size in zip(names, volumes, strict=False)
    )
    return Resources(stages=tuple(stages), volumes={"data": volumes[-1] * MIB})


def test_a_volume_is_compared_stage_by_stage() -> None:
    """What the upgrade blew up is told of it; the end is for runs that do not know their stages."""
    found = compared(grown(20, 90, 20), green(grown(20, 20, 20)), most={})
    assert [(one.stage, one.subject) for one in found.jumps] == [("upgrade", "data")]
    grew = compared(grown(20, 90), green(grown(20, 20)), most={})
    assert [one.stage for one in grew.jumps] == ["upgrade"], "and not in the end once more"
    older = green(replace(grown(20), stages=()))
    assert [one.stage for one in compared(grown(20, 90), older, most={}).jumps] == [""]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (taken(), []),
        (taken(150), []),
        (taken(151), [("memory", "app", False)]),
        (taken(healthy=40.0), []),
        (taken(healthy=40.1), [("healthy", "", False)]),
        (taken(healthy=None), []),
        (taken(images={"nginx:2": 260 * MIB}), [("image", "nginx", False)]),
        (taken(images={"nginx:2@sha256:ab": 250 * MIB}), []),
        (taken(images={"localhost:5000/nginx": 999 * MIB}), []),
        (taken(volumes={"data": 41 * MIB, "new": 900 * MIB}), [("volume", "data", False)]),
        (taken(1), []),
    ],
)
def test_something_has_jumped_when_it_is_past_its_limit(
    now: Resources, expected: list[tuple[str, str, bool]]
) -> None:
    """By its factor; an image is the same one under its next tag; what is new has not grown."""
    assert jumps(now, taken()) == expected


def test_small_things_may_grow_by_any_factor() -> None:
    """Three times next to nothing is noise."""
    now = taken(30, healthy=9.0, images={"a": 40 * MIB}, volumes={"data": 9 * MIB})
    then = taken(1, healthy=0.1, images={"a": 1 * MIB}, volumes={"data": 0})
    assert jumps(now, then) == []
    assert jumps(now, then, memory=1.1, healthy=1.1, image=1.1, volume=1.1) == []


def test_a_moment_is_not_compared_with_a_peak() -> None:
    """What was in use when the harness looked says nothing about the most that ever was."""
    moment = replace(taken(900).stages[0], exact=False)
    assert jumps(replace(taken(), stages=(moment,)), taken()) == []


def test_only_what_the_meta_asks_for_fails() -> None:
    """Past its factor; below the usual limit, too, when it asks for less."""
    assert jumps(taken(160), taken(), memory=1.7) == [("memory", "app", False)]
    assert jumps(taken(175), taken(), memory=1.7) == [("memory", "app", True)]
    assert jumps(taken(140), taken(), memory=1.3) == [("memory", "app", True)]
    assert jumps(taken(175), taken(), healthy=1.1) == [("memory", "app", False)]


def test_without_a_green_run_nothing_is_compared() -> None:
    """The first run of a recipe, and results from before there were such notes."""
    assert compared(taken(), None, most={}) == taken()
    assert compared(taken(), green(None), most={}) == taken()


def test_the_last_green_run_is_found(tmp_path: Path) -> None:
    """Not a later one, not a red one, not another recipe's, not one without notes or a torn one."""

    def write(name: str, **changes: Any) -> None:  # noqa: ANN401  any field
        (tmp_path / name).mkdir()
        result(**{"run": name, "resources": taken(), **changes}).write(tmp_path / name)

    assert last_green(tmp_path / "absent", "made", before="made-9") is None
    write("made-20260101T000000-old")
    write("made-20260102T000000-good")
    write("made-20260103T000000-none", resources=None)
    bad = Verdict(outcome=Outcome.FAILED, exit_code=EXIT_FAILED)
    write("made-20260104T000000-red", verdict=bad)
    write("made-20260105-20260105T000000-x", recipe="made-20260105")
    write("made-20260108T000000-later")
    (tmp_path / "made-20260106T000000-torn").mkdir()
    (tmp_path / "made-20260106T000000-torn/results.json").write_text("{")
    (tmp_path / "made-20260106T000001-running").mkdir()
    found = last_green(tmp_path, "made", before="made-20260107T000000-me")
    assert found is not None
    assert found.run == "made-20260102T000000-good"
    assert found.resources == taken(), "read back as it was written"


def test_only_what_fails_is_a_fact_of_the_verdict() -> None:
    """A jump that the recipe's meta says nothing of is only reported."""
    jump = Jump(measure=Measure.MEMORY, subject="app", stage="install", before=MIB, now=3 * MIB)
    hard = replace(taken(), compared_with="run0", jumps=(replace(jump, fails=True), jump))
    said = "peak memory of app in install: 3.0 MiB, was 1.0 MiB (3.0 times)"
    assert growth(hard) == Growth(jumps=(said,), compared_with="run0")
    assert growth(replace(hard, jumps=(jump,))) is None
    assert growth(None) is None


@pytest.mark.parametrize(
    "wrong", ["{'memory': 1}", "{'memory': True}", "{'cpu': 2}", "3", "{1: 2}"]
)
def test_a_meta_that_asks_for_nonsense_is_refused(wrong: str, tmp_path: Path) -> None:
    """Unknown measures, and factors that every run would break."""
    path = tmp_path / "recipe_meta.py"
    path.write_text("MAX_GROWTH = {'memory': 1.5, 'healthy': 3}\n")
    assert meta.load(path).MAX_GROWTH == {"memory": 1.5, "healthy": 3}
    path.write_text(f"MAX_GROWTH = {wrong}\n")
    with pytest.raises(UsageError, match="MAX_GROWTH"):
        meta.load(path)
