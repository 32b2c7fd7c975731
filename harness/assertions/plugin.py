"""The pytest plugins of the child: fixtures for assertions, and a result line for each of them."""

from __future__ import annotations

import inspect
import re
import textwrap
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from _pytest import fixtures, outcomes, python
from docker.errors import DockerException
from requests.exceptions import RequestException

from harness.assertions.app import App, BackupView
from harness.assertions.protocol import BEGIN, Facts, Order, Reading, append
from harness.assertions.witnesses import Witnesses
from harness.core.errors import HarnessError, InternalError, TestCodeError
from harness.core.ledger import Ledger
from harness.core.model import BROKEN_TEST_CODE, AssertionResult, Origin, Outcome
from harness.swarm.faults import as_harness_error
from harness.swarm.nodes import Nodes

ENGINE = (DockerException, RequestException)
# Mistakes in the code that raised them; an app's fault is told by an assertion.
MISTAKES = (
    *(NameError, TypeError, AttributeError, ImportError, SyntaxError, LookupError),
    *(ArithmeticError, NotImplementedError, RecursionError, pytest.FixtureLookupError),
    *(FileNotFoundError, IsADirectoryError, NotADirectoryError, re.error, SystemExit),
)
# Where pytest itself fails a test for how it is written: a fixture called like a function or with
# the wrong scope, a test with `async` and no plugin for that. A `pytest.fail` of a test's own and
# the one of `pytest.raises` come from elsewhere.
RULES_OF_PYTEST = (fixtures.__file__, python.__file__)
HARNESS = str(Path(__file__).resolve().parents[1])
FIXTURES = ("app", "facts", "state", "ledger", "backup", "witnesses")  # those of `StagePlugin`
OUTPUT_LIMIT = 20_000  # characters of one assertion's output that are kept
SOURCE_LIMIT = 4_000  # and of its own text


class ResultsPlugin:
    """Writes down what comes of test files; `unreadable` says whether one could not be read.

    Args:
        results: the file that results go to.
        files: the test files, each with where it comes from.
    """

    unreadable = False

    def __init__(self, results: str, files: Sequence[tuple[str, Origin]]) -> None:
        self._results = Path(results)
        self._origins = {str(Path(path).resolve()): origin for path, origin in files}

    def pytest_collectstart(self, collector: pytest.Collector) -> None:
        """Write down which file is read: one that never ends has to be named."""
        if isinstance(collector, pytest.Module):
            self._begin(collector.nodeid, collector.path)

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self,
        collector: pytest.Collector,
    ) -> Any:  # noqa: ANN401  the type of a hook wrapper is pytest's own affair
        """Write down a test file that could not be read, or that skips itself as a whole.

        The first means that the test code is wrong, not the app.
        """
        report: pytest.CollectReport = yield
        self.unreadable = self.unreadable or report.failed
        if not report.passed:
            self._write(
                nodeid=report.nodeid,
                path=collector.path,
                outcome=Outcome.ERROR if report.failed else Outcome.SKIPPED,
                seconds=0.0,
                message=_unreadable(report) if report.failed else _reason(report),
                output=report.longreprtext if report.failed else "",
                kind=TestCodeError.__name__ if report.failed else "",
            )
        return report

    def _begin(self, nodeid: str, path: Path) -> None:
        origin = self._origins.get(str(path.resolve()), Origin.OVERLAY)
        append(self._results, {"event": BEGIN, "nodeid": _shown(nodeid, path, origin)})

    def _write(
        self,
        *,
        nodeid: str,
        path: Path,
        message: str,
        output: str,
        **more: Any,  # noqa: ANN401  fields of AssertionResult
    ) -> None:
        origin = self._origins.get(str(path.resolve()), Origin.OVERLAY)
        result = AssertionResult(
            nodeid=_shown(nodeid, path, origin), origin=origin, message=message[:OUTPUT_LIMIT],
            output=output[-OUTPUT_LIMIT:], at=datetime.now(UTC).isoformat(), **more,
        )  # fmt: skip
        append(self._results, asdict(result))


class ReadingPlugin(ResultsPlugin):
    """Finds what is wrong with test files while nothing is deployed yet.

    Args:
        reading: what to read.
    """

    def __init__(self, reading: Reading) -> None:
        super().__init__(reading.results, reading.files)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Write down tests that ask for fixtures which do not exist."""
        for item in session.items:
            info = getattr(item, "_fixtureinfo", None)
            known = {*(info.name2fixturedefs if info else ()), *FIXTURES, "request"}
            unknown = [name for name in (info.names_closure if info else ()) if name not in known]
            if unknown:
                self._write(
                    nodeid=item.nodeid,
                    path=item.path,
                    outcome=Outcome.ERROR,
                    seconds=0.0,
                    message=f"{BROKEN_TEST_CODE}: fixture '{unknown[0]}' not found",
                    output="",
                    kind=TestCodeError.__name__,
                    **_origin_of(item),
                )


class StagePlugin(ResultsPlugin):
    """Hands the app to the assertions, and writes down what comes of each.

    Where a file could not be read, pytest runs no test. `left` is how many tests have not ended.

    Args:
        order: what to assert about.
        nodes: the engines of the Swarm's nodes.
    """

    left = -1  # not known until the files are read

    def __init__(self, order: Order, nodes: Nodes) -> None:
        super().__init__(order.results, order.files)
        self._order = order
        self._ledger = Ledger(Path(order.facts.ledger))
        self._app = App(
            nodes=nodes,
            facts=order.facts,
            reader=order.reader,
            readers=order.readers,
            patience=order.patience,
            factor=order.timeout_factor,
            note=self._ledger.note,
        )

    @pytest.fixture(scope="session", name="app")
    def app_fixture(self) -> App:
        """The app that is up."""
        return self._app

    @pytest.fixture(scope="session", name="facts")
    def facts_fixture(self) -> Facts:
        """What the run knows about itself: commits, versions, what each op reported."""
        return self._order.facts

    @pytest.fixture(scope="session", name="state")
    def state_fixture(self) -> Mapping[str, Any]:
        """What the seed hooks remembered."""
        return self._order.facts.state

    @pytest.fixture(scope="session", name="ledger")
    def ledger_fixture(self) -> Ledger:
        """The record of every op of this run."""
        return self._ledger

    @pytest.fixture(scope="session", name="backup")
    def backup_fixture(self) -> BackupView:
        """The snapshot that the backup stage made, read back out of restic."""
        return self._app.backup

    @pytest.fixture(scope="session", name="witnesses")
    def witnesses_fixture(self) -> Witnesses:
        """The harness's own witness files in the app's volumes."""
        return Witnesses(facts=self._order.facts)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Remember how many tests there are."""
        self.left = len(session.items)

    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        """Write down which test begins: one that never ends has to be named."""
        self._begin(item.nodeid, item.path)

    def pytest_runtest_logfinish(self) -> None:
        """Count a test that came to its end."""
        self.left -= 1

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self,
        item: pytest.Item,
        call: pytest.CallInfo[None],
    ) -> Any:  # noqa: ANN401  the type of a hook wrapper is pytest's own affair
        """Write the result of a test down: its call, or whatever went wrong around it."""
        report: pytest.TestReport = yield
        if report.when == "call" or report.outcome != "passed":
            error = call.excinfo.value if call.excinfo else None
            message, kind = _told(report, error)
            self._write(
                nodeid=item.nodeid,
                path=item.path,
                outcome=_outcome(report, error),
                seconds=report.duration,
                message=message,
                output=_output(report),
                kind=kind,
                **_origin_of(item),
            )
        return report


def _origin_of(item: pytest.Item) -> dict[str, Any]:
    """Return the text of a test and the line at which it begins, where they are to be had."""
    function = getattr(item, "function", None)
    try:
        lines, line = inspect.getsourcelines(function)  # type: ignore[arg-type]  # TypeError on None
    except (OSError, TypeError):
        return {}
    return {"line": line, "source": textwrap.dedent("".join(lines))[:SOURCE_LIMIT]}


def _outcome(report: pytest.TestReport, error: BaseException | None) -> Outcome:
    if report.skipped:
        return Outcome.SKIPPED
    if report.passed:
        return Outcome.PASSED
    if isinstance(error, HarnessError):
        return error.outcome
    return Outcome.ERROR if isinstance(error, ENGINE) or _mistake(error) else Outcome.FAILED


def _mistake(error: BaseException | None) -> bool:
    """Whether the test code is wrong, and not the app that it tests."""
    if not isinstance(error, pytest.fail.Exception):
        return isinstance(error, MISTAKES)
    files = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
    callers = [file for file in files if file != outcomes.__file__]
    return bool(callers) and callers[-1] in RULES_OF_PYTEST


def _told(report: pytest.TestReport, error: BaseException | None) -> tuple[str, str]:
    """Return why, in one line or a few, and the kind of error; empty for a plain assertion."""
    if report.skipped:
        return _reason(report), ""
    if error is None:  # it passed, or it passed and should not have
        return report.longreprtext, ""
    if isinstance(error, ENGINE):
        error = as_harness_error(error)
    if isinstance(error, HarnessError):
        return str(error), type(error).__name__
    said = "".join(traceback.format_exception_only(error)).strip()
    if not _mistake(error):
        return said, ""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if frames and frames[-1].f_code.co_filename.startswith(HARNESS):
        return f"the harness itself failed: {said}", InternalError.__name__
    return f"{BROKEN_TEST_CODE}: {said}", TestCodeError.__name__


def _unreadable(report: pytest.CollectReport) -> str:
    """Return that a file cannot be read, and the last line of why."""
    lines = [line.removeprefix("E").strip() for line in report.longreprtext.split("\n")]
    last = next((line for line in reversed(lines) if line), "it cannot be imported")
    return f"{BROKEN_TEST_CODE}: {last}"


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return why a test, or a whole file of them, was left out."""
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    return str(getattr(report, "wasxfail", ""))


def _output(report: pytest.TestReport) -> str:
    parts = [report.longreprtext] if report.failed else []
    parts += [f"{title}\n{text}" for title, text in report.sections]
    return "\n".join(parts)


def _shown(nodeid: str, path: Path, origin: Origin) -> str:
    """Return a test's name; that of a file outside of the project's tests lacks the file's own."""
    return nodeid if nodeid.partition("::")[0] else f"{origin}/{path.name}{nodeid}"
