"""How the project's own tests run: on several workers, each test with a time-out."""

import json
import os
import sys
from collections import defaultdict
from collections.abc import Generator, Iterator, Sequence

import pytest
from xdist.remote import Producer

from tests.suite import scheduling
from tests.suite.leftovers import Suite

WORKERS = 6  # for tests with an engine, which mostly wait
RECORD = "--record-durations"
NIGHTLY = "--nightly"
WORTH_RECORDING = 0.5  # seconds of a unit test

# Without its compiled files Python compiles the harness anew at each of its many starts.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Without a template `git init` writes no sample hooks: a third of all files of the unit tests.
os.environ["GIT_TEMPLATE_DIR"] = ""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options: what to record, and what to run."""
    where = scheduling.DURATIONS.relative_to(scheduling.DURATIONS.parents[2])
    parser.addoption(RECORD, action="store_true", help=f"write what tests take to {where}")
    parser.addoption(NIGHTLY, action="store_true", help="run only the tests marked nightly")


SUITE = pytest.StashKey[Suite]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give the suite a directory; workers have that of the process that started them."""
    config.addinivalue_line("markers", "nightly: left to the night, as another shows the same")
    if not hasattr(config, "workerinput"):
        suite = Suite(watched=not only_units(config.args))
        config.stash[SUITE] = suite
        config.option.basetemp = config.option.basetemp or suite.directory / "t"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that the night has, because another one shows the same; or all others."""
    wanted = bool(config.getoption(NIGHTLY))
    others = [item for item in items if (item.get_closest_marker("nightly") is not None) != wanted]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove everything that tests have left; after a failure the files stay until next time."""
    suite = config.stash.get(SUITE, None)
    if suite is not None:
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        failed = bool(reporter and {"failed", "error"} & set(reporter.stats))
        suite.end(keep=failed)
        if failed:
            print(f"kept until the next suite: {suite.directory}")  # noqa: T201  for people


def only_units(arguments: Sequence[str]) -> bool:
    """Whether the arguments name nothing but unit tests."""
    return all("tests/unit" in one for one in arguments)


def workers(arguments: Sequence[str], cores: int) -> int:
    """Return how many workers the tests that are named need; 0 means none beside this process."""
    paths = [one.partition("::")[0] for one in arguments]
    if paths and all(path.endswith(".py") for path in paths):
        return 0
    return cores if only_units(paths) else WORKERS


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many workers `-n auto` starts."""
    return workers(config.args, os.cpu_count() or 1)


def pytest_xdist_make_scheduler(
    config: pytest.Config, log: Producer
) -> scheduling.LongestFirst | None:
    """Send the longest tests first."""
    return scheduling.LongestFirst(config, log) if config.option.dist == "loadgroup" else None


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, object, object]:
    """Escape what is not UTF-8: workers cannot send it, and the whole suite would end with them."""
    return encodable((yield))


def encodable(value: object) -> object:
    """Return a report's data with every lone surrogate, such as a byte of a file name, escaped."""
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {encodable(name): encodable(one) for name, one in value.items()}
    if isinstance(value, tuple):
        return tuple(encodable(one) for one in value)
    if isinstance(value, list):
        return [encodable(one) for one in value]
    return value


@pytest.hookimpl(wrapper=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Iterator[None]:
    """Write the durations down if that was asked for."""
    yield
    if not config.getoption(RECORD):
        return
    took: dict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                nodeid = report.nodeid.removesuffix(f"@{scheduling.scope_of(report.nodeid)}")
                took[nodeid] += report.duration
    known = {**scheduling.load(), **took}
    kept = {
        one: round(seconds, 1)
        for one, seconds in sorted(known.items())
        if seconds >= WORTH_RECORDING or not one.startswith(scheduling.UNIT)
    }
    scheduling.DURATIONS.write_text(json.dumps(kept, indent=0) + "\n", encoding="utf-8")
