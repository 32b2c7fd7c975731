"""JUnit XML of a run: a suite for each stage, a case for each assertion and for each op.

There is no standard, so this is what both of its readers take. It keeps to junit-10.xsd of Jenkins'
xUnit plugin, which refuses attributes that it does not know. Jenkins sorts cases by their class,
and takes what stands before its last dot for the package. GitLab calls the class a suite, shows the
text of a failure and not its `message`, and drops all but the first of equal names in a class
(docs.gitlab.com/ci/testing/unit_test_reports). So the class is recipe and stage, and names say
where a test comes from.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

from harness.core.model import AssertionResult, LintReport, Outcome, StageResult
from harness.core.untrusted import visible
from harness.report.results import RunResult
from harness.verdict.decide import BAD

JUNIT_FILE = "junit.xml"
ELEMENTS = {
    Outcome.FAILED: "failure",
    Outcome.ERROR: "error",
    Outcome.REFUSED: "skipped",
    Outcome.SKIPPED: "skipped",
    Outcome.ABORTED: "skipped",
}


def render(result: RunResult) -> str:
    """Return the run as JUnit XML."""
    root = ET.Element("testsuites", name=result.recipe, time=f"{result.seconds:.3f}")
    if result.lint is not None:
        root.append(_lint(result, result.lint))
    for stage in result.stages:
        root.append(_suite(result, stage))
    if result.teardown is not None:
        down = result.teardown
        suite = _begun(result, "teardown", seconds=down.seconds)
        root.append(suite)
        case = _case(suite, "teardown", down.outcome, down.seconds)
        _explain(case, down.outcome, down.reason, "\n".join(down.left))
        _count(suite)
    if _unsaid(result, root):
        suite = _begun(result, "run", seconds=result.seconds)
        root.append(suite)
        # Jenkins goes by this file: no word but *passed* may look green in it.
        word = result.verdict.outcome if result.verdict.outcome in BAD else Outcome.ERROR
        case = _case(suite, "run", word, result.seconds)
        _explain(case, word, f"{result.verdict.outcome}: {result.verdict.cause}")
        _count(suite)
    _warn(result, root)
    for name in ("tests", "failures", "errors"):  # of all suites the schema has no "skipped"
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    for element in root.iter():  # XML knows no control characters at all
        element.text = visible(element.text or "")
        for name, value in element.items():
            element.set(name, visible(value))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _warn(result: RunResult, root: ET.Element) -> None:
    """Add the warnings as properties: of the suite of the stage that saw it, else of the first."""
    suites = {suite.get("name", ""): suite for suite in root}
    for one in result.warnings:
        suite = suites.get(f"{result.recipe}.{one.stage}", next(iter(root)))
        properties = suite.find("properties")
        if properties is None:
            properties = ET.Element("properties")
            suite.insert(0, properties)
        said = {"next": one.next, "accepted": one.accepted}
        value = "; ".join([one.text, *(f"{name}: {text}" for name, text in said.items() if text)])
        ET.SubElement(properties, "property", name=f"warning.{one.code}", value=value)


def _unsaid(result: RunResult, root: ET.Element) -> bool:
    """Whether the run is no pass for a reason that is none of its stages' or its teardown's."""
    if result.verdict.outcome is Outcome.PASSED:
        return False
    red = {"failure", "error"} & {element.tag for element in root.iter()}
    return not result.verdict.stage or not red


def _lint(result: RunResult, lint: LintReport) -> ET.Element:
    """Return a case for each rule. A broken one that is no gate must not make a CI red."""
    suite = _begun(result, "lint", seconds=lint.seconds)
    for rule in lint.rules:
        gates = lint.gate and rule.level == "error"
        broken = rule.outcome is Outcome.FAILED
        word = Outcome.SKIPPED if broken and not gates else rule.outcome
        case = _case(suite, f"{rule.rule} {rule.about}", word, 0.0)
        reason = f"broken, and no gate: {rule.reason}" if broken and not gates else rule.reason
        _explain(case, word, f"{lint.program}: {reason}")
    _count(suite)
    return suite


def _suite(result: RunResult, stage: StageResult) -> ET.Element:
    taken = stage.op_seconds + stage.assert_seconds
    suite = _begun(result, stage.stage, seconds=taken, started=stage.started)
    asserted = any(a.outcome in (Outcome.FAILED, Outcome.ERROR) for a in stage.assertions)
    # An assertion that failed speaks for itself; else the stage's own word is a case of its own.
    own = Outcome.PASSED if asserted else stage.outcome
    _explain(_case(suite, f"{stage.stage} op", own, stage.op_seconds), own, stage.reason)
    for assertion in stage.assertions:
        _assertion(suite, assertion)
    _count(suite)
    return suite


def _begun(result: RunResult, name: str, *, seconds: float, started: str = "") -> ET.Element:
    """Return a suite without cases; `started` is the run's where nothing else is known."""
    at = datetime.fromisoformat(started or result.started).astimezone(UTC)
    return ET.Element(
        "testsuite", name=f"{result.recipe}.{name}", time=f"{seconds:.3f}",
        timestamp=at.strftime("%Y-%m-%dT%H:%M:%S"),
    )  # fmt: skip


def _assertion(suite: ET.Element, assertion: AssertionResult) -> None:
    path, _, name = assertion.nodeid.partition("::")
    said = f"{name or 'all of it'} ({assertion.origin}, {Path(path).name})"
    case = _case(suite, said, assertion.outcome, assertion.seconds)
    if assertion.outcome in ELEMENTS:
        _explain(case, assertion.outcome, assertion.message, assertion.output)
    elif assertion.output:
        ET.SubElement(case, "system-out").text = assertion.output


def _case(suite: ET.Element, name: str, outcome: Outcome, seconds: float) -> ET.Element:
    case = ET.SubElement(suite, "testcase", name=name, time=f"{seconds:.3f}")
    case.set("classname", suite.get("name", ""))
    if outcome in ELEMENTS:
        ET.SubElement(case, ELEMENTS[outcome])
    return case


def _explain(case: ET.Element, outcome: Outcome, message: str, output: str = "") -> None:
    """Give a case that did not pass its message and its output."""
    if outcome in ELEMENTS:
        detail = case[0]
        detail.set("message", message)
        said = output if message in output else f"{message}\n\n{output}"
        detail.text = said.strip()  # some CIs show the text alone


def _count(suite: ET.Element) -> None:
    suite.set("tests", str(len(suite.findall("testcase"))))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("errors", str(len(suite.findall("testcase/error"))))
    suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
