"""A real child runs little test files: each end of a test has its word, and nothing else gets in.

Children are prepared side by side, as a run does, since most of their time is Python's start.
"""

import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import chdir
from datetime import datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer

import pytest

from harness.assertions.protocol import Facts, Health, Order
from harness.assertions.runner import Asserted, Workers
from harness.core.event_log import COPY
from harness.core.model import AssertionResult, Origin, Outcome, Stage
from harness.swarm.faults import LOG
from harness.verdict.decide import Word, of_stage
from harness.verdict.facts import StageFacts

ENDS = """
import docker, pytest, requests
from harness.core import errors
from harness.assertions import protocol

def test_passes(): print("printed")
def test_asserts_everywhere():
    import sys
    if sys.flags.optimize: pytest.fail("a helper's assertions would be left out")
def test_fails(): assert 1 == 2, "why"
def test_breaks(): {}["x"]
def test_misspells(): nothing()
def test_wants_a_number(): int("the page")
def test_finds_a_fault_of_ours(): protocol.append(None, {})
def test_skips(): pytest.skip("not here")
@pytest.mark.skip(reason="not now")
def test_marked(): assert False
@pytest.mark.xfail(reason="known: #7")
def test_xfails(): assert False
@pytest.mark.xfail(reason="was known", strict=True)
def test_xpasses(): pass

def test_recipe(): raise errors.ExecFailedError("`x` failed", hint="look")
def test_bed(): raise errors.ContainerUnavailableError("gone")
def test_docker(): raise docker.errors.DockerException("500")
def test_request(): raise requests.ConnectionError("refused")
def test_changes(app): app.client.api.restart("c")

@pytest.fixture
def asserts(): assert not "up", "it is not up"
@pytest.fixture
def no_engine(): raise errors.EngineError("no engine")
@pytest.fixture
def untidy():
    yield
    raise errors.EngineError("it went away")
def test_setup(asserts): pass
def test_setup_bed(no_engine): pass
def test_teardown(untidy): pass
def test_no_such_fixture(nope): pass

@pytest.fixture
def once(): return 1
@pytest.fixture(scope="session")
def longer(once): return once
def test_has_no_file(): open("no-such-file")
def test_leaves(): raise SystemExit(0)
async def test_awaits(): pass
def test_calls_a_fixture(): once()
def test_scopes(longer): pass
def test_gives_up(): pytest.fail("the page is empty")
def test_expects():
    with pytest.raises(OSError): pass

@pytest.mark.parametrize("path", ["/a b", "x::y"])
def test_each(path): assert path == "/a b"
"""
CHANGED = (
    "an assertion tried to change the deployment: POST /v1.41/containers/c/restart\n"
    "  likely cause: test files get an app that is up, and a client that only looks and runs "
    "commands\n  next: assertions only look; ops.py seeds data"
)
NO = (
    "docker.errors.DockerException: 500\n"
    f"  likely cause: it was stopped or restarted, it is overloaded, or it refuses\n  next: {LOG}"
)
SILENT = (
    "requests.exceptions.ConnectionError: refused\n"
    f"  likely cause: it was stopped, killed or restarted, or it is overloaded\n  next: {LOG}"
)
HANDLES = """
def test_handles(app, facts, state, ledger, backup, witnesses, own):
    assert (app.domain, facts.recipe, own) == ("d.test", "made", "from the conftest below")
    assert state == {"note": 1}
    assert [entry["text"] for entry in ledger.entries()] == ["noted"]
    assert backup.app is app
    assert facts.health.port == 8080
    assert facts.handed_over == ("c1",)
    assert witnesses.expected() == {"s_data": "a text"}
    assert app.repository_on("n").target.resolve() == "c"
"""
NO_FILE = "FileNotFoundError: [Errno 2] No such file or directory: 'no-such-file'"
SKIPPED = 'import pytest\npytest.skip("no module", allow_module_level=True)\n'
STRAYS = ("docker.py", "pytest.py", "json.py", "conftest.py", "sitecustomize.py")
STRAY = 'raise RuntimeError("a stranger\'s file was read")\n'
SETTINGS = "[pytest]\naddopts = --no-such-option\npython_functions = nothing\n"


class VersionOnly(BaseHTTPRequestHandler):
    """Says its version, as the SDK asks at once, and has nothing else."""

    def do_GET(self) -> None:
        """Answer."""
        known = self.path.endswith("/version")
        body = json.dumps({"ApiVersion": "1.41"} if known else {"message": "no"}).encode()
        self.send_response(200 if known else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an engine that only knows its version."""
    path = tmp_path_factory.mktemp("e") / "s"
    with UnixStreamServer(str(path), VersionOnly) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"unix://{path}"
        server.shutdown()
        thread.join()


def order(place: Path, engine: str, files: Mapping[str, Origin]) -> Order:
    """Return an order for these files of a place's `tests`."""
    ledger = place / "ledger"
    ledger.write_text('{"event": "note", "text": "noted"}\n')
    facts = Facts(
        run="r", recipe="made", stack="s", domain="d.test", stage=Stage.INSTALL, deployed="",
        deployed_version="", chaos=False, base_commit="", base_version="", head_commit="",
        head_version="", services=("app",), ledger=str(ledger), health=Health(port=8080),
        handed_over=("c1",), seen={"install": {"witnesses": {"s_data": "a text"}}},
        state={"note": 1},
    )  # fmt: skip
    return Order(
        facts=facts, files=tuple((str(place / name), files[name]) for name in files),
        root=str(place / "tests"), results=str(place / "results"), log=str(place / "log"),
        engine={"DOCKER_HOST": engine}, node_id="n", reader="c", readers={"n": "v1"}, patience=1,
        timeout_factor=1,
    )  # fmt: skip


def write(place: Path, texts: Mapping[str, str]) -> None:
    """Write files below a place."""
    for name, text in texts.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


OVERLAY = "tests/made/test_install.py"
THEIRS = "checkout/tests/test_install.py"  # outside of the project's tests
PLACES: Mapping[Stage, tuple[Mapping[str, str], Mapping[str, Origin]]] = {
    Stage.INSTALL: (
        {
            "tests/_generic/test_install.py": ENDS,
            OVERLAY: HANDLES,
            "tests/made/test_skipped.py": SKIPPED,
            "tests/made/conftest.py": "import pytest\n@pytest.fixture\n"
            "def own(): return 'from the conftest below'\n",
            THEIRS: "def test_theirs(): pass\n",
            "conftest.py": STRAY,
            "pytest.ini": SETTINGS,
            "tests/pytest.ini": SETTINGS,
            "pyproject.toml": "[tool.pytest.ini_options]\naddopts = '--no-such-option'\n",
        },
        {
            "tests/_generic/test_install.py": Origin.GENERIC,
            OVERLAY: Origin.OVERLAY,
            "tests/made/test_skipped.py": Origin.OVERLAY,
            THEIRS: Origin.REPO_LOCAL,
        },
    ),
    Stage.UPGRADE: (
        {
            "tests/a/test_a.py": "def test_a(): pass\n",
            OVERLAY: "import no_such_module\n",
            THEIRS: "import no_such_module_of_theirs\n",
        },
        {
            "tests/a/test_a.py": Origin.GENERIC,
            OVERLAY: Origin.OVERLAY,
            THEIRS: Origin.REPO_LOCAL,
        },
    ),
    Stage.BACKUP: (
        {OVERLAY: "import os\ndef test_a(): pass\ndef test_b(): os._exit(0)\n"},
        {OVERLAY: Origin.OVERLAY},
    ),
    Stage.RESTORE: (
        {OVERLAY: "import pytest\ndef test_a(): pass\ndef test_b(): pytest.exit('enough', 0)\n"},
        {OVERLAY: Origin.OVERLAY},
    ),
    Stage.CUSTOM: (
        {OVERLAY: "def test_a(): pass\n", "tests/made/conftest.py": "1 / 0\n"},
        {OVERLAY: Origin.OVERLAY},
    ),
}


@pytest.fixture(scope="module")
def asserted(
    engine: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[Stage, Asserted]]:
    """What came of each place.

    The environment holds options that a user has for tests of their own, and the working directory
    files that have the names of modules.
    """
    base = tmp_path_factory.mktemp("places")
    environ = {
        "PATH": os.environ["PATH"], "PYTEST_ADDOPTS": "-k nothing", "PYTEST_PLUGINS": "no_x",
        "PYTHONOPTIMIZE": "1",
        "PYTHONWARNINGS": "error",
        "PYTHONINSPECT": "1",
    }  # fmt: skip
    elsewhere = base / "where the user called it"
    write(elsewhere, dict.fromkeys(STRAYS, STRAY))
    for stage, (texts, _) in PLACES.items():
        write(base / stage, texts)
    with chdir(elsewhere), Workers(base, environ) as workers:
        yield {
            stage: workers.run(order(base / stage, engine, files), timeout=60)
            for stage, (_, files) in PLACES.items()
        }


def word(got: Asserted) -> Word:
    """Return the word of a stage of which that was asserted."""
    facts = StageFacts(stage=Stage.BACKUP, assertions=got.results, unfinished=got.unfinished)
    return of_stage(facts)


def test_tests_are_not_told_where_a_fleet_reads_events(engine: str, tmp_path: Path) -> None:
    """Else one could tell the fleet how its run ended."""
    text = f"import os\ndef test_it(): assert {COPY!r} not in os.environ\n"
    write(tmp_path, {OVERLAY: text})
    with Workers(tmp_path, {"PATH": os.environ["PATH"], COPY: "/events"}) as workers:
        got = workers.run(order(tmp_path, engine, {OVERLAY: Origin.OVERLAY}), timeout=60)
    assert [one.outcome for one in got.results] == [Outcome.PASSED]


def test_a_file_without_tests_is_told_from_one_that_is_not_there(
    engine: str, tmp_path: Path
) -> None:
    """The first asserts nothing, which is no pass; the second is the harness's own fault."""
    with Workers(tmp_path, {"PATH": os.environ["PATH"]}) as workers:
        got = []
        for stage, name in ((Stage.BACKUP, OVERLAY), (Stage.CUSTOM, "tests/none.py")):
            place = tmp_path / stage
            write(place, {OVERLAY: "def helper(): pass\n"})
            files = order(place, engine, {name: Origin.OVERLAY})
            got.append(workers.run(files, timeout=60))
    assert [one.results for one in got] == [(), ()]
    assert (word(got[0]).outcome, word(got[0]).reason) == (Outcome.SKIPPED, "nothing asserted")
    assert word(got[1]).outcome is Outcome.ERROR


def test_the_first_bad_test_decides(asserted: Mapping[Stage, Asserted]) -> None:
    """The child came to its end, so its tests are believed; errors that came later are echoes."""
    got = word(asserted[Stage.INSTALL])
    assert got.outcome is Outcome.FAILED
    assert got.reason.startswith("_generic/test_install.py::test_fails: AssertionError: why (and ")


@pytest.fixture(scope="module")
def ends(asserted: Mapping[Stage, Asserted]) -> Mapping[str, list[AssertionResult]]:
    """The results of the first place by the test's name; one test may have several."""
    found: dict[str, list[AssertionResult]] = {}
    for result in asserted[Stage.INSTALL].results:
        found.setdefault(result.nodeid.partition("::")[2] or result.nodeid, []).append(result)
    return found


@pytest.mark.parametrize(
    ("name", "outcome", "message"),
    [
        ("test_passes", Outcome.PASSED, ""),
        ("test_asserts_everywhere", Outcome.PASSED, ""),
        ("test_fails", Outcome.FAILED, "AssertionError: why\nassert 1 == 2"),
        ("test_breaks", Outcome.ERROR, "your test code is broken: KeyError: 'x'"),
        (
            "test_has_no_file",
            Outcome.ERROR,
            f"your test code is broken: {NO_FILE}",
        ),
        ("test_leaves", Outcome.ERROR, "your test code is broken: SystemExit: 0"),
        ("test_gives_up", Outcome.FAILED, "Failed: the page is empty"),
        ("test_expects", Outcome.FAILED, "Failed: DID NOT RAISE OSError"),
        (
            "test_misspells",
            Outcome.ERROR,
            "your test code is broken: NameError: name 'nothing' is not defined",
        ),
        (
            "test_wants_a_number",
            Outcome.FAILED,
            "ValueError: invalid literal for int() with base 10: 'the page'",
        ),
        (
            "test_finds_a_fault_of_ours",
            Outcome.ERROR,
            "the harness itself failed: AttributeError: 'NoneType' object has no attribute 'open'",
        ),
        ("test_skips", Outcome.SKIPPED, "not here"),
        ("test_marked", Outcome.SKIPPED, "not now"),
        ("test_xfails", Outcome.SKIPPED, "known: #7"),
        ("test_xpasses", Outcome.FAILED, "[XPASS(strict)] was known"),
        ("test_recipe", Outcome.FAILED, "`x` failed\n  next: look"),
        ("test_bed", Outcome.ERROR, "gone"),
        ("test_docker", Outcome.ERROR, f"the engine did not do what it was asked: {NO}"),
        ("test_request", Outcome.ERROR, f"the engine does not answer: {SILENT}"),
        ("test_changes", Outcome.ERROR, CHANGED),
        ("test_setup", Outcome.FAILED, "AssertionError: it is not up\nassert not 'up'"),
        ("test_setup_bed", Outcome.ERROR, "no engine"),
        ("test_each[/a b]", Outcome.PASSED, ""),
    ],
)
def test_each_end_of_a_test_has_its_word(
    ends: Mapping[str, list[AssertionResult]], name: str, outcome: Outcome, message: str
) -> None:
    """The recipe's fault, the machine's, or a skip with its reason; each is said once."""
    (result,) = ends[name]
    assert (result.outcome, result.message) == (outcome, message)


def test_a_fixture_that_does_not_exist_is_the_test_files_fault(
    ends: Mapping[str, list[AssertionResult]],
) -> None:
    """*error*: a mistyped name says nothing of the recipe."""
    (result,) = ends["test_no_such_fixture"]
    assert result.outcome is Outcome.ERROR
    assert "nope" in result.message


def test_what_goes_wrong_after_a_test_counts_too(
    ends: Mapping[str, list[AssertionResult]],
) -> None:
    """The test passed, and then its clean-up found the engine gone."""
    assert [result.outcome for result in ends["test_teardown"]] == [Outcome.PASSED, Outcome.ERROR]


def test_each_set_of_parameters_is_a_test(ends: Mapping[str, list[AssertionResult]]) -> None:
    """One bad value does not hide the others."""
    (bad,) = ends["test_each[x::y]"]
    assert bad.outcome is Outcome.FAILED


def test_fixtures_hand_over_what_the_run_knows(ends: Mapping[str, list[AssertionResult]]) -> None:
    """App, facts, state, ledger, backup, witnesses; and a recipe's own conftest counts."""
    (result,) = ends["test_handles"]
    assert (result.outcome, result.message) == (Outcome.PASSED, "")


def test_a_file_that_skips_itself_is_in_the_report(
    ends: Mapping[str, list[AssertionResult]],
) -> None:
    """With its reason: else nobody would miss it."""
    (result,) = ends["made/test_skipped.py"]
    assert (result.outcome, result.message) == (Outcome.SKIPPED, "no module")


def test_what_was_printed_is_kept(ends: Mapping[str, list[AssertionResult]]) -> None:
    """With a failure, its traceback too."""
    assert "printed" in ends["test_passes"][0].output
    assert "assert 1 == 2" in ends["test_fails"][0].output


def test_a_result_has_its_tests_own_text_and_its_time(
    ends: Mapping[str, list[AssertionResult]],
) -> None:
    """Whoever reads a report has no checkout at hand; a file that skips itself has no text."""
    (passed,) = ends["test_passes"]
    assert passed.source == 'def test_passes(): print("printed")\n'
    assert passed.line == ENDS[: ENDS.index("def test_passes")].count("\n") + 1
    assert datetime.fromisoformat(passed.at).tzinfo is not None
    (skipped,) = ends["made/test_skipped.py"]
    assert (skipped.source, skipped.line) == ("", 0)


def test_the_origin_is_that_of_the_file(asserted: Mapping[Stage, Asserted]) -> None:
    """Three files of one name in three places, the last one outside of the project's tests.

    In the place of the way to that one stands whose it is; without, nobody could tell it from
    another file's test of the same name.
    """
    results = asserted[Stage.INSTALL].results
    origins = {result.nodeid.partition("/")[0]: result.origin for result in results}
    assert origins == {
        "_generic": Origin.GENERIC,
        "made": Origin.OVERLAY,
        "repo-local": Origin.REPO_LOCAL,
    }
    assert "repo-local/test_install.py::test_theirs" in {result.nodeid for result in results}


def test_a_file_that_cannot_be_imported_is_an_error(asserted: Mapping[Stage, Asserted]) -> None:
    """The test bed is wrong; the reason names the file, the output has the traceback."""
    got = word(asserted[Stage.UPGRADE])
    assert got.outcome is Outcome.ERROR
    assert got.reason == (
        "your test code is broken: made/test_install.py: ModuleNotFoundError: No module named "
        "'no_such_module' (and 1 more)"
    )
    assert got.kind == "TestCodeError"
    result = asserted[Stage.UPGRADE].results[0]
    assert result.origin is Origin.OVERLAY
    assert "no_such_module" in result.output


def test_a_file_of_the_recipes_own_that_cannot_be_imported_is_told_from_ours(
    asserted: Mapping[Stage, Asserted],
) -> None:
    """It has a name and an origin, though it lies outside of the project's tests."""
    _, result = asserted[Stage.UPGRADE].results
    assert "no_such_module_of_theirs" in result.output
    assert result.outcome is Outcome.ERROR
    assert (result.nodeid, result.origin) == ("repo-local/test_install.py", Origin.REPO_LOCAL)


@pytest.mark.parametrize("stage", [Stage.BACKUP, Stage.RESTORE])
def test_a_child_that_was_ended_by_a_test_is_an_error(
    asserted: Mapping[Stage, Asserted], stage: Stage
) -> None:
    """The tests before it passed; those after it never ran. However it was ended, with code 0."""
    got = asserted[stage]
    assert [result.outcome for result in got.results] == [Outcome.PASSED]
    assert word(got).outcome is Outcome.ERROR
    assert word(got).reason.endswith("before it was done, at made/test_install.py::test_b")


@pytest.mark.parametrize("name", ["test_awaits", "test_calls_a_fixture", "test_scopes"])
def test_what_pytest_itself_refuses_is_a_mistake_of_the_test(
    ends: Mapping[str, list[AssertionResult]], name: str
) -> None:
    """It says so with the same exception as `pytest.fail`, which accuses the app."""
    (result,) = ends[name]
    assert result.outcome is Outcome.ERROR
    assert result.message.startswith("your test code is broken: Failed: ")


def test_a_broken_conftest_is_an_error(asserted: Mapping[Stage, Asserted]) -> None:
    """Not "nothing asserted"."""
    got = asserted[Stage.CUSTOM]
    assert (word(got).outcome, got.results) == (Outcome.ERROR, ())
