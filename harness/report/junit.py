"""JUnit XML of a run: a suite for each stage, a case for each assertion and for each op.

Source of the format: the schema that Jenkins and GitLab read (testsuites/testsuite/testcase with
failure, error or skipped).
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from harness.model import AssertionResult, LintReport, Outcome, StageResult
from harness.report.results import RunResult

JUNIT_FILE = "junit.xml"
ELEMENTS = {
    Outcome.FAILED: "failure",
    Outcome.ERROR: "error",
    Outcome.SKIPPED: "skipped",
    Outcome.ABORTED: "skipped",
}
FORBIDDEN = dict.fromkeys([*range(32), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF], "?")  # in XML
FORBIDDEN.update({ord(character): character for character in "\t\n\r"})


def render(result: RunResult) -> str:
    """Return the run as JUnit XML."""
    root = ET.Element("testsuites", name=result.recipe, time=f"{result.seconds:.3f}")
    if result.lint is not None:
        root.append(_lint(result, result.lint))
    for stage in result.stages:
        root.append(_suite(result, stage))
    if result.teardown is not None:
        suite = ET.SubElement(root, "testsuite", name=f"{result.recipe}.teardown")
        down = result.teardown
        case = _case(suite, "teardown", down.outcome, down.seconds)
        _explain(case, down.outcome, down.reason, "\n".join(down.left))
        _count(suite)
    if result.verdict.outcome is not Outcome.PASSED and not result.verdict.stage:
        suite = ET.SubElement(root, "testsuite", name=f"{result.recipe}.run")
        case = _case(suite, "run", result.verdict.outcome, result.seconds)
        _explain(case, result.verdict.outcome, result.verdict.cause)
        _count(suite)
    for name in ("tests", "failures", "errors", "skipped"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"
    return text.translate(FORBIDDEN)


def write(result: RunResult, directory: Path) -> Path:
    """Write junit.xml and return its path."""
    path = directory / JUNIT_FILE
    path.write_text(render(result), encoding="utf-8")
    return path


def _lint(result: RunResult, lint: LintReport) -> ET.Element:
    """Return a case for each rule. A broken one that is no gate must not make a CI red."""
    suite = ET.Element(
        "testsuite", name=f"{result.recipe}.lint", time=f"{lint.seconds:.3f}",
        timestamp=result.started,
    )  # fmt: skip
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
    suite = ET.Element(
        "testsuite",
        name=f"{result.recipe}.{stage.stage}",
        time=f"{stage.op_seconds + stage.assert_seconds:.3f}",
        timestamp=result.started,
    )
    asserted = any(a.outcome in (Outcome.FAILED, Outcome.ERROR) for a in stage.assertions)
    # An assertion that failed speaks for itself; else the stage's own word is a case of its own.
    own = Outcome.PASSED if asserted else stage.outcome
    _explain(_case(suite, f"{stage.stage} op", own, stage.op_seconds), own, stage.reason)
    for assertion in stage.assertions:
        _assertion(suite, assertion)
    _count(suite)
    return suite


def _assertion(suite: ET.Element, assertion: AssertionResult) -> None:
    path, _, name = assertion.nodeid.partition("::")
    case = _case(suite, name or path, assertion.outcome, assertion.seconds)
    _explain(case, assertion.outcome, assertion.message, assertion.output)
    case.set("classname", f"{assertion.origin}.{path}")


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
        detail.text = output or message  # some CIs show the text alone


def _count(suite: ET.Element) -> None:
    suite.set("tests", str(len(suite.findall("testcase"))))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("errors", str(len(suite.findall("testcase/error"))))
    suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
