"""The suite's own parts: what runs beside pytest, and what runs each night."""

import json
import os
import shlex
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from harness.recipes.catalogue import RESERVED_NAMES
from tests.suite import checks, nightly
from tests.suite.__main__ import needs_engine
from tests.suite.nightly import Job, jobs, perform
from tests.suite.parts import Part, Result, failed, table, timed, write
from tests.suite.plugin import NIGHTLY, encodable
from tests.suite.running import run

ROOT = Path(__file__).resolve().parents[3]
JUNIT = '<testsuites><testsuite tests="{tests}" skipped="{skipped}"/></testsuites>'


def test_a_part_is_what_its_exit_code_says() -> None:
    """Any code but 0 is a failure."""
    assert timed("x", lambda: 0).result is Result.PASSED
    assert timed("x", lambda: 3).result is Result.FAILED


def test_the_table_shows_each_part_and_how_to_run_a_failed_one_again() -> None:
    """In the order in which they ran."""
    parts = [
        Part(name="a", result=Result.PASSED, seconds=1.26, command="nox -s a"),
        Part(name="longer", result=Result.FAILED, seconds=100, command="nox -s longer"),
        Part(name="c", result=Result.SKIPPED, seconds=0, note="0 tests, 2 skipped"),
    ]
    assert table(parts).splitlines() == [
        "part    result   seconds",
        "a       passed       1.3",
        "longer  failed     100.0",
        "c       skipped      0.0  0 tests, 2 skipped",
        "longer failed; next: nox -s longer",
    ]
    assert failed(parts)
    assert not failed([parts[0], parts[2]])


def test_a_failure_that_shows_raw_bytes_reaches_the_suite() -> None:
    """The worker would die of it, and the whole suite with the worker."""
    report = {"longrepr": [("v/bad\udcff", 1, None)], "v/\udcff": {"ok": "\u20ac"}}
    got = encodable(report)
    assert got == {"longrepr": [("v/bad\\udcff", 1, None)], "v/\\udcff": {"ok": "\u20ac"}}
    assert json.dumps(got, ensure_ascii=False).encode()


def test_the_record_has_every_part(tmp_path: Path) -> None:
    """For a program that watches the nights."""
    path = tmp_path / "new" / "record.json"
    write(path, [Part(name="a", result=Result.PASSED, seconds=1.5, command="x")], revision="abc")
    record = json.loads(path.read_text())
    assert record.pop("written")
    assert record == {
        "schema": "cc-ci/parts/1", "revision": "abc", "result": "passed",
        "parts": [
            {"name": "a", "result": "passed", "seconds": 1.5, "note": "", "command": "x"},
        ],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("code", "tests", "skipped", "result"),
    [
        (0, 5, 2, Result.PASSED),
        (0, 2, 2, Result.SKIPPED),
        (1, 5, 2, Result.FAILED),
        (5, 0, 0, Result.FAILED),
    ],
)
def test_a_part_whose_tests_were_all_skipped_has_not_passed(
    code: int, tests: int, skipped: int, result: Result
) -> None:
    """No runner of a CI, nothing shown."""

    def call(argv: Sequence[str], environ: Mapping[str, str]) -> int:
        assert environ == {"X": "1"}
        (junit,) = (word.partition("=")[2] for word in argv if word.startswith("--junitxml="))
        Path(junit).write_text(JUNIT.format(tests=tests, skipped=skipped))
        return code

    job = Job(name="a", about="b", pytest=("tests/unit/test_x.py",), environ={"X": "1"})
    part = perform(job, call=call)
    assert part.result is result
    assert part.note == f"{tests - skipped} tests, {skipped} skipped"
    assert part.command == "X=1 .nox/dev/bin/python -m pytest tests/unit/test_x.py"


def test_a_nights_counts_are_the_promised_ones() -> None:
    """And they can be scaled down, to try the night out; never to nothing."""
    commands = "\n".join(job.command for job in jobs())
    for words in ("--kills 60", "--perturb 60", "--reproduce 50", "CC_CI_LOCK_ROUNDS=200"):
        assert words in commands
    little = "\n".join(job.command for job in jobs(0.001))
    for words in ("--kills 1", "--perturb 1", "--reproduce 1", "CC_CI_LOCK_ROUNDS=1 "):
        assert words in little


def test_what_a_night_calls_is_there() -> None:
    """Sessions in the noxfile, files in the tests, variables in the tests that read them."""
    noxfile = (ROOT / "noxfile.py").read_text()
    for job in jobs():
        if job.nox:
            assert f"\ndef {job.nox[1]}(" in noxfile
        if job.python:
            assert (ROOT / job.python[1].replace(".", "/") / "__main__.py").exists()
        for path in job.pytest:
            if path == NIGHTLY:
                continue
            assert (ROOT / path).exists()
            assert all(f'"{variable}"' in (ROOT / path).read_text() for variable in job.environ)


def test_a_failing_part_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of them run, the record grows with each, and the exit code is that of all."""
    codes = iter((0, 1, 0))
    monkeypatch.setattr(nightly, "RECORDS", tmp_path)
    monkeypatch.setattr(nightly, "perform", lambda job: timed(job.name, lambda: next(codes)))
    assert nightly.main(["locks", "runners", "bench"]) == 1
    (record,) = tmp_path.iterdir()
    ended = json.loads(record.read_text())
    assert ended["result"] == "failed"
    assert [part["result"] for part in ended["parts"]] == ["passed", "failed", "passed"]
    assert "=== 3 of 3: bench" in capsys.readouterr().out


def test_a_night_that_is_stopped_keeps_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what had ended until then; nothing more is begun."""

    def performed(job: Job) -> Part:
        if job.name == "runners":
            raise KeyboardInterrupt
        assert job.name == "locks"
        return timed(job.name, lambda: 0)

    monkeypatch.setattr(nightly, "RECORDS", tmp_path)
    monkeypatch.setattr(nightly, "perform", performed)
    assert nightly.main(["locks", "runners", "bench"]) == 130
    (record,) = tmp_path.iterdir()
    assert [part["name"] for part in json.loads(record.read_text())["parts"]] == ["locks"]


def test_parts_are_chosen_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    """A mistyped one is a usage error: a night of no parts would be green."""
    assert nightly.main(["--list", "locks", "crash", "--without", "crash"]) == 0
    said = capsys.readouterr().out
    assert "locks" in said
    assert "crash" not in said
    assert nightly.main(["lock"]) == 2
    assert "locks" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        ((), True),
        (("-k", "green"), True),
        (("tests/unit",), False),
        (("tests/unit/suite/test_suite.py::test_x", "-x"), False),
        (("tests/unit", "tests/integration/test_green.py"), True),
        (("tests",), True),
    ],
)
def test_the_engine_is_made_ready_only_for_tests_that_use_it(
    words: tuple[str, ...], *, needed: bool
) -> None:
    """A check of unit tests starts no daemon."""
    assert needs_engine(words) is needed


def test_every_folder_of_recipes_files_has_a_link_that_is_a_package(tmp_path: Path) -> None:
    """So that one mypy sees them all; links of folders that are gone are removed."""
    links = tmp_path / "overlays"
    links.mkdir()
    (links / "gone").symlink_to(tmp_path / "nothing")
    laid_out = dict(checks.lay_out(links))
    assert {link.name for link in laid_out} == {path.name for path in links.iterdir()}
    assert all(link.name.isidentifier() for link in laid_out)
    seen = {path.resolve() for link in laid_out for path in link.glob("*.py")}
    own = [ROOT / name for name in checks.MYPY["files"]]
    assert seen == {
        path
        for path in (ROOT / "tests").rglob("*.py")
        if not any(path.is_relative_to(package) for package in own)
    }
    assert dict(checks.lay_out(links)) == laid_out


def test_a_folder_of_the_harnesss_own_tests_is_not_a_recipes() -> None:
    """A recipe of that name would run them as its overlay."""
    folders = {name.partition("/")[2] for name in checks.MYPY["files"] if "/" in name}
    assert folders <= RESERVED_NAMES, "add it to RESERVED_NAMES"


@pytest.fixture(name="handlers")
def handlers_fixture() -> Iterator[None]:
    """Check that no handler of a signal is left behind."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.usefixtures("handlers")
def test_a_program_gets_the_signal_that_stops_the_suite_and_may_end_in_peace(
    tmp_path: Path,
) -> None:
    """A run of the harness removes its stack then."""
    done = tmp_path / "done"
    code = (
        "import os, pathlib, signal, sys\n"
        "def stop(*_):\n"
        f"    pathlib.Path({str(done)!r}).touch()\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "os.kill(int(sys.argv[1]), signal.SIGTERM)\n"
        "signal.pause()\n"
    )
    with pytest.raises(KeyboardInterrupt):
        run([sys.executable, "-c", code, str(os.getpid())])
    assert done.exists()


@pytest.mark.usefixtures("handlers")
def test_a_program_runs_in_the_project_with_what_is_added_to_its_environment() -> None:
    """And its exit code is returned."""
    code = f"import os, sys; sys.exit(7 if os.getcwd() == {str(ROOT)!r} else 1)"
    assert run([sys.executable, "-c", code]) == 7
    assert run(shlex.split("sh -c 'exit $ADDED'"), {"ADDED": "5"}) == 5
