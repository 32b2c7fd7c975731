"""JUnit XML: what a CI counts has to be what the run said."""

import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from harness.core.errors import EXIT_ERROR
from harness.core.model import (
    AssertionResult,
    LintReport,
    Origin,
    Outcome,
    RuleResult,
    RunWarning,
    Stage,
    StageResult,
    TeardownResult,
    WarningCode,
)
from harness.report import junit
from harness.report.results import RunResult
from harness.verdict.decide import Verdict

COUNTS = ("tests", "failures", "errors", "skipped")
# What junit-10.xsd of Jenkins' xUnit plugin says of the elements that are used: which attributes
# there have to be, which there may be, and which elements may stand inside.
ELEMENTS: dict[str, tuple[set[str], set[str], set[str]]] = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors"},
        {"time", "skipped", "timestamp", "hostname", "id", "package"},
        {"properties", "testcase", "system-out", "system-err"},
    ),
    "testcase": (
        {"name"},
        {"classname", "time", "group"},
        {"skipped", "error", "failure", "system-out", "system-err"},
    ),
    **{name: (set(), {"type", "message"}, set()) for name in ("skipped", "error", "failure")},
    "system-out": (set(), set(), set()),
}
PATTERNS = {
    "time": r"\d+\.\d{3}",
    "timestamp": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d",
    **dict.fromkeys(("tests", "failures", "errors"), r"\d+"),
}


def assertion(outcome: Outcome, **changes: Any) -> AssertionResult:  # noqa: ANN401  any field
    """Return an assertion's result."""
    fields = {"nodeid": "r/test_x.py::test_it", "origin": Origin.OVERLAY, "seconds": 0.25}
    return AssertionResult(**{**fields, "outcome": outcome, **changes})


def stage(outcome: Outcome, *assertions: AssertionResult, reason: str = "") -> StageResult:
    """Return the result of an upgrade."""
    return StageResult(
        stage=Stage.UPGRADE, outcome=outcome, reason=reason, op_seconds=2.0, assert_seconds=1.5,
        assertions=assertions, started="2026-01-01T13:00:02.25+01:00",
    )  # fmt: skip


def result(*stages: StageResult, **changes: Any) -> RunResult:  # noqa: ANN401  any field
    """Return a run with these stages."""
    fields: dict[str, Any] = {
        "run": "run1", "recipe": "made", "source": "s", "platform": "swarm",
        "started": "2026-01-01T12:00:00+00:00", "seconds": 12.5, "repeat": "again",
        "verdict": Verdict(outcome=Outcome.PASSED, exit_code=0), "stages": stages,
    }  # fmt: skip
    return RunResult(**{**fields, **changes})


def stopped(cause: str) -> Verdict:
    """Return the verdict of a run that was ended by something outside its stages."""
    return Verdict(outcome=Outcome.ERROR, exit_code=EXIT_ERROR, cause=cause)


def read(run: RunResult) -> ET.Element:
    """Return the document's root, as a CI reads it."""
    return ET.fromstring(junit.render(run).encode())  # noqa: S314  written by us


def counts(element: ET.Element) -> tuple[int, ...]:
    """Return tests, failures, errors and skipped; of all suites, skipped are not counted."""
    return tuple(int(element.get(name, "-1")) for name in COUNTS if name in element.attrib)


def against_schema(element: ET.Element) -> list[str]:
    """Return what an element and those in it have that Jenkins' schema does not allow."""
    needed, more, inside = ELEMENTS[element.tag]
    found = [f"{element.tag} without {name}" for name in needed - {*element.attrib}]
    found += [f"{element.tag} has {name}" for name in {*element.attrib} - needed - more]
    found += [
        f"{element.tag} has {name}={value}"
        for name, value in element.items()
        if name in PATTERNS and not re.fullmatch(PATTERNS[name], value)
    ]
    found += [f"{child.tag} in {element.tag}" for child in element if child.tag not in inside]
    return [*found, *(line for child in element for line in against_schema(child))]


def everything() -> RunResult:
    """Return a run with everything that makes an element, in every word that there is."""
    words = [assertion(word, nodeid=f"t.py::{word}", output="x") for word in Outcome]
    stages = [stage(word, *words, reason="why") for word in Outcome]
    down = TeardownResult(outcome=Outcome.ERROR, reason="left", left=("network x",))
    rules = tuple(
        RuleResult(rule="R001", level="error", about="x", outcome=word) for word in Outcome
    )
    lint = LintReport(program="cc-ci", gate=True, rules=rules)
    return result(*stages, teardown=down, lint=lint, verdict=stopped("no engine"))


@pytest.mark.parametrize("run", [everything(), result(), result(verdict=stopped("no engine"))])
def test_jenkins_schema_allows_all_of_it(run: RunResult) -> None:
    """Its xUnit plugin refuses a file with an attribute that it does not know."""
    assert against_schema(read(run)) == []


def test_stages_are_suites_to_jenkins_and_to_gitlab() -> None:
    """The class is the stage's, also of a file that nobody read, and no two names are equal."""
    overlay = assertion(Outcome.PASSED, nodeid="made/test_y.py::test_it")
    unread = assertion(Outcome.SKIPPED, nodeid="repo-local/test_y.py", origin=Origin.REPO_LOCAL)
    generic = assertion(Outcome.PASSED, nodeid="g/test_x.py::test_it", origin=Origin.GENERIC)
    asserted = (overlay, generic, unread, assertion(Outcome.PASSED))
    root = read(result(stage(Outcome.PASSED, *asserted)))
    cases = [(str(case.get("classname")), case.get("name")) for case in root.iter("testcase")]
    assert {name for name, _ in cases} == {"made.upgrade"}
    assert len(set(cases)) == len(cases) == 5


def test_the_text_of_a_failure_is_whole() -> None:
    """GitLab shows the text and no message; what a passing test printed is kept apart."""
    cases = [
        assertion(Outcome.FAILED, message="assert 1 == 2", output="printed"),
        assertion(Outcome.FAILED, message="assert 1", output="E  assert 1\nprinted"),
        assertion(Outcome.PASSED, output="printed"),
    ]
    (suite,) = read(result(stage(Outcome.FAILED, *cases)))
    assert [(case[0].tag, case[0].text) for case in suite[1:]] == [
        ("failure", "assert 1 == 2\n\nprinted"),
        ("failure", "E  assert 1\nprinted"),
        ("system-out", "printed"),
    ]


@pytest.mark.parametrize("word", [Outcome.SKIPPED, Outcome.ABORTED])
@pytest.mark.parametrize("at", ["", "upgrade"])
def test_what_is_no_pass_is_not_green(word: Outcome, at: str) -> None:
    """Jenkins goes by the file, and skipped cases alone would make it a success."""
    verdict = Verdict(outcome=word, exit_code=4, stage=at, cause="why")
    root = read(result(stage(word, reason="why"), verdict=verdict))
    assert (root.get("failures"), root.get("errors")) == ("0", "1")
    assert root[-1][0][0].get("message") == f"{word}: why"


def test_each_assertion_and_each_op_is_a_case() -> None:
    """A suite for each stage; a case's name says where it comes from."""
    generic = assertion(Outcome.PASSED, nodeid="_generic/t.py::test_a[b::c]", origin=Origin.GENERIC)
    root = read(result(stage(Outcome.PASSED, generic, assertion(Outcome.PASSED))))
    (suite,) = root
    assert (root.tag, suite.tag, suite.get("name")) == ("testsuites", "testsuite", "made.upgrade")
    assert [(case.get("classname"), case.get("name"), case.get("time")) for case in suite] == [
        ("made.upgrade", "upgrade op", "2.000"),
        ("made.upgrade", "test_a[b::c] (generic, t.py)", "0.250"),
        ("made.upgrade", "test_it (overlay, test_x.py)", "0.250"),
    ]
    assert (suite.get("time"), suite.get("timestamp")) == ("3.500", "2026-01-01T12:00:02")
    assert (counts(suite), root.get("time")) == ((3, 0, 0, 0), "12.500")


def test_the_counts_are_those_of_the_cases() -> None:
    """Per suite and in all; an aborted one counts as skipped, since the format has no word."""
    run = result(
        stage(Outcome.FAILED, *(assertion(outcome) for outcome in Outcome)),
        stage(Outcome.ABORTED, reason="upgrade did not pass"),
        teardown=TeardownResult(outcome=Outcome.ERROR, reason="left", left=("network x",)),
    )
    root = read(run)
    assert [counts(suite) for suite in root] == [(7, 1, 1, 3), (1, 0, 0, 1), (1, 0, 1, 0)]
    assert counts(root) == (9, 1, 2)


def test_an_assertion_that_failed_is_counted_once() -> None:
    """It speaks for itself: the op beside it went well."""
    failed = assertion(Outcome.FAILED, message="assert 1 == 2", output="lines\nof it")
    verdict = Verdict(outcome=Outcome.FAILED, exit_code=1, stage="upgrade", cause="assert")
    (suite,) = read(result(stage(Outcome.FAILED, failed, reason="assert"), verdict=verdict))
    assert counts(suite) == (2, 1, 0, 0)
    assert list(suite[0]) == []
    (failure,) = suite[1]
    assert (failure.tag, failure.get("message"), failure.text) == (
        "failure",
        "assert 1 == 2",
        "assert 1 == 2\n\nlines\nof it",
    )


@pytest.mark.parametrize(
    ("outcome", "tag"),
    [
        (Outcome.FAILED, "failure"),
        (Outcome.ERROR, "error"),
        (Outcome.SKIPPED, "skipped"),
        (Outcome.ABORTED, "skipped"),
    ],
)
def test_an_op_that_went_wrong_is_a_case_with_its_reason(outcome: Outcome, tag: str) -> None:
    """No assertion ran, or all of them passed before the child died: the op's case says so."""
    for passed in ((), (assertion(Outcome.PASSED),)):
        (suite,) = read(result(stage(outcome, *passed, reason="why")))
        (said,) = suite[0]
        assert (said.tag, said.get("message"), said.text) == (tag, "why", "why")


def test_a_teardown_that_left_something_names_it() -> None:
    """The machine is not clean: an error, with what is left as its text."""
    down = TeardownResult(
        outcome=Outcome.ERROR, reason="could not", seconds=3.0, left=("network a", "volume b")
    )
    suite = read(result(stage(Outcome.PASSED), teardown=down))[1]
    (error,) = suite[0]
    assert (suite.get("name"), suite[0].get("time")) == ("made.teardown", "3.000")
    assert (error.tag, error.text) == ("error", "could not\n\nnetwork a\nvolume b")


def test_a_run_without_stages_is_not_an_empty_document() -> None:
    """No engine: a CI that counts failures must not see a green file with nothing in it."""
    root = read(result(verdict=stopped("no engine")))
    assert counts(root) == (1, 0, 1)
    assert root[0][0][0].get("message") == "error: no engine"


def test_a_run_that_was_ended_between_two_stages_is_not_green() -> None:
    """The stages passed, and the harness then failed: the file says what the verdict says."""
    root = read(result(stage(Outcome.PASSED), verdict=stopped("the harness itself failed")))
    assert counts(root) == (2, 0, 1)
    assert [suite.get("name") for suite in root] == ["made.upgrade", "made.run"]


@pytest.mark.parametrize("bad", ["\x00", "\x1b[31m", "\x08", "\udc80", "\ufffe", "\uffff"])
def test_characters_that_xml_forbids_are_spelt_out(bad: str) -> None:
    """Apps print anything; a file that no CI can read would hide the failure it reports."""
    failed = assertion(
        Outcome.FAILED, nodeid=f"t.py::t[{bad}]", message=f"a{bad}b", output=f"c{bad}d\te\n\u20ac"
    )
    run = result(stage(Outcome.FAILED, failed), verdict=stopped(bad))
    root = read(run)
    (failure,) = root[0][1]
    spelt = ascii(bad)[1:-1]
    assert failure.get("message") == f"a{spelt}b"
    assert f"\n\nc{spelt}d" in str(failure.text)
    assert str(failure.text).endswith("d\te\n\u20ac")


def test_markup_in_what_an_app_says_stays_text() -> None:
    """Neither `<` nor `]]>` nor `&` may end an element early."""
    said = "</failure><testcase/>]]>&amp; \"'"
    (suite,) = read(result(stage(Outcome.FAILED, assertion(Outcome.FAILED, message=said))))
    assert suite[1][0].get("message") == said
    assert counts(suite) == (2, 1, 0, 0)


def test_its_first_line_declares_the_encoding_in_which_it_is_written() -> None:
    """Whatever is in it: publishing writes UTF-8."""
    text = junit.render(result(stage(Outcome.SKIPPED, reason="\u20ac")))
    assert text.startswith("<?xml version='1.0' encoding='utf-8'?>")
    assert "\u20ac" in text


def test_warnings_are_properties_of_the_suite_that_saw_them() -> None:
    """One of the plan stands in the first; a green suite stays green."""
    seen = RunWarning(
        code=WarningCode.VOLUME_ORPHANED, text="data <b>", next="n", stage=Stage.UPGRADE
    )
    early = RunWarning(code=WarningCode.NO_PAGE, text="none", accepted="an API")
    root = read(result(stage(Outcome.PASSED), warnings=(seen, early)))
    found = {one.get("name"): one.get("value") for one in root[0].iter("property")}
    assert found == {
        "warning.volume-orphaned": "data <b>; next: n",
        "warning.no-page": "none; accepted: an API",
    }
    assert root[0][0].tag == "properties"
    assert counts(root) == (1, 0, 0)
