"""results.json: everything that is known of a run, whole or not at all."""

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from harness.core.model import (
    Adaptation,
    AssertionResult,
    Origin,
    Outcome,
    RunWarning,
    Stage,
    StageResult,
    TeardownResult,
    WarningCode,
)
from harness.report.results import SCHEMA, Revision, RunResult
from harness.report.results import read as read_run
from harness.verdict.decide import Verdict

ASSERTION = AssertionResult(
    nodeid="t.py::t", origin=Origin.GENERIC, outcome=Outcome.FAILED, seconds=0.5,
    message="\udc80 \u20ac", output="\x1b[31m",
)  # fmt: skip
STAGE = StageResult(
    stage=Stage.BACKUP, outcome=Outcome.FAILED, reason="two\nlines", op_seconds=1.0,
    assertions=(ASSERTION,), facts={"volumes": ["a"], "where": Path("there")},
)  # fmt: skip
RUN = RunResult(
    run="run1", recipe="made", source="https://x.test/made.git", platform="swarm",
    started="2026-01-01T12:00:00+00:00", seconds=12.5, repeat="nox -s e2e -- made",
    verdict=Verdict(outcome=Outcome.FAILED, exit_code=1, stage="backup", cause="why"),
    head=Revision(commit="f" * 40, ref="main"), settings={"keep": "True (--keep)"},
    plan=("head ffffffff",), stages=(STAGE,), diagnosis=("task",),
    adaptations=(Adaptation(kind="stand-in", subject="nginx:1", detail="built"),),
    teardown=TeardownResult(outcome=Outcome.PASSED, seconds=2.0, removed={"volume": 2}),
)  # fmt: skip


def read(text: str) -> dict[str, Any]:
    """Return the file's content, as strictly as JSON itself is."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    found: dict[str, Any] = json.loads(text, parse_constant=refuse)
    return found


def test_every_field_of_a_run_is_in_the_file() -> None:
    """The schema's name first, so that a reader knows what it reads."""
    content = read(RUN.to_json())
    assert list(content) == ["schema", *(field.name for field in fields(RunResult))]
    assert content["schema"] == SCHEMA == "cc-ci/results/1"


def test_what_was_written_is_what_is_read() -> None:
    """Words as the words they are, at every depth; what nobody could print too."""
    content = read(RUN.to_json())
    assert content["verdict"] == {
        "outcome": "failed", "exit_code": 1, "stage": "backup", "cause": "why",
        "kind": "", "not_shown": [],
    }  # fmt: skip
    (stage,) = content["stages"]
    assert (stage["stage"], stage["outcome"], stage["reason"]) == ("backup", "failed", "two\nlines")
    assert stage["facts"] == {"volumes": ["a"], "where": "there"}
    assert stage["assertions"] == [
        {
            "nodeid": "t.py::t", "origin": "generic", "outcome": "failed", "seconds": 0.5,
            "message": "\udc80 \u20ac", "output": "\x1b[31m", "at": "", "line": 0, "source": "",
            "kind": "",
        }
    ]  # fmt: skip
    assert content["head"] == {"commit": "f" * 40, "ref": "main", "version": ""}
    assert content["base"] is None
    assert content["adaptations"][0]["subject"] == "nginx:1"
    assert content["teardown"]["removed"] == {"volume": 2}
    assert (content["seconds"], content["plan"]) == (12.5, ["head ffffffff"])


def test_the_file_lies_in_the_runs_directory(tmp_path: Path) -> None:
    """Alone: the half-written one is gone."""
    path = RUN.write(tmp_path)
    assert path == tmp_path / "results.json"
    assert read(path.read_text()) == read(RUN.to_json())
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_no_half_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever finds results.json finds all of it; the one from before stays as it was."""
    path = RUN.write(tmp_path)
    before = path.read_text()
    write = Path.write_text

    def full(self: Path, text: str) -> None:
        write(self, text[:20])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        RUN.write(tmp_path)
    assert path.read_text() == before


def test_scrubbing_reaches_every_text_and_changes_nothing_else() -> None:
    """Hooks and assertions print anything; words and numbers stay what they are."""
    same = RUN.scrubbed(lambda text: text.replace("s3cret", "****"))
    assert same == RUN
    assert isinstance(same.stages[0].stage, Stage)
    secret = RunResult(
        run="s3cret", recipe="s3cret", source="s3cret", platform="p", started="s3cret", seconds=1,
        verdict=Verdict(outcome=Outcome.FAILED, exit_code=1, stage="s3cret", cause="a s3cret"),
        repeat="s3cret", head=Revision(commit="s3cret", ref="s3cret"), engine={"s3cret": "s3cret"},
        plan=("s3cret",), diagnosis=("s3cret",),
        stages=(
            StageResult(
                stage=Stage.BACKUP, outcome=Outcome.FAILED, reason="s3cret",
                assertions=(
                    AssertionResult(
                        nodeid="s3cret", origin=Origin.GENERIC, outcome=Outcome.FAILED, seconds=1,
                        message="s3cret", output="s3cret",
                    ),
                ),
                facts={"hooks": [{"output": "s3cret", "deep": ("s3cret", 7)}]},
            ),
        ),
        teardown=TeardownResult(outcome=Outcome.ERROR, left=("s3cret",)),
        adaptations=(Adaptation(kind="k", subject="s3cret", detail="s3cret"),),
    )  # fmt: skip
    got = secret.scrubbed(lambda text: text.replace("s3cret", "****"))
    assert "s3cret" not in got.to_json()
    assert got.to_json().count("****") == secret.to_json().count("s3cret")


def test_a_run_that_was_written_is_read_as_it_was(tmp_path: Path) -> None:
    """Whoever started the run shows it as the run itself would have."""
    facts = replace(STAGE, facts={"volumes": ["a"]})  # JSON knows no paths
    run = replace(RUN, stages=(facts,), base=Revision(commit="0" * 40, ref="1.0.0+1"))
    run.write(tmp_path)
    assert read_run(tmp_path) == run
    early = replace(run, head=None, base=None, stages=(), teardown=None)
    early.write(tmp_path)
    assert read_run(tmp_path) == early
    assert read_run(tmp_path / "none") is None
    (tmp_path / "results.json").write_text(early.to_json().replace(SCHEMA, "cc-ci/results/9"))
    with pytest.raises(ValueError, match="not of the schema"):
        read_run(tmp_path)


def test_a_warning_is_written_and_read_with_its_code_and_stage(tmp_path: Path) -> None:
    """The plan's warnings have no stage."""
    seen = RunWarning(
        code=WarningCode.NO_PAGE, text="no page was asked for", next="set HEALTH_SERVICE"
    )
    late = RunWarning(code=WarningCode.DATA_IN_LAYER, text="/srv/x", stage=Stage.UPGRADE)
    replace(RUN, warnings=(seen, late)).write(tmp_path)
    found = read_run(tmp_path)
    assert found is not None
    assert found.warnings == (seen, late)


def test_a_run_of_another_harness_is_read(tmp_path: Path) -> None:
    """An older one lacks fields, a newer one has more; a stage that it lacks was not asked for."""
    content = json.loads(RUN.to_json())
    for name in ("asked", "images", "lint", "warnings"):
        del content[name]
    del content["verdict"]["not_shown"]
    del content["left_out"]
    content["plan"] += ["left out a witness in data", "note     left out "]
    content["new"] = content["stages"][0]["new"] = {"deep": [1]}
    (tmp_path / "results.json").write_text(json.dumps(content))
    found = read_run(tmp_path)
    assert found is not None
    assert found.asked == ("backup",)
    assert found.left_out == ("a witness in data",)
    assert [one.stage for one in found.verdict.not_shown] == [
        stage for stage in Stage if stage is not Stage.BACKUP
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"head ffffffff"', "1", r"Expected `str`, got `int` - at `\$\.plan\[0\]`"),
        ('"commit"', '"hash"', r"missing required field `commit` - at `\$\.head`"),
        ('"generic"', '"theirs"', r"'theirs' - at `\$\.stages\[0\]\.assertions\[0\]\.origin`"),
        ('"stage": "backup",\n    "cause"', '"stage": "x",\n    "cause"', "'x' is not a stage"),
        ('"schema"', '"scheme"', "not of the schema"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    """The message names the field."""
    text = RUN.to_json()
    assert old in text
    (tmp_path / "results.json").write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=said):
        read_run(tmp_path)
