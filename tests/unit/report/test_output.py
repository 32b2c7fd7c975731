"""What a command prints: a lost reader or a full disk never changes its exit code."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import cast

import pytest

from harness.report.output import Output

ROOT = Path(__file__).resolve().parents[3]
ENVIRON = {**os.environ, "PYTHONPATH": str(ROOT)}
SECONDS = 60


@pytest.fixture
def printing(tmp_path: Path) -> list[str]:
    """Return the command of a program that prints a megabyte and ends with code 4."""
    (tmp_path / "printing.py").write_text(
        "import os, sys\nfrom harness.report.output import program\n"
        "def main():\n"
        "    for _ in range(1000):\n"
        "        print('x' * 1000, flush=True)\n"
        "    print(sys.flags.optimize, os.environ.get('PYTHONOPTIMIZE'), file=sys.stderr)\n"
        "    return 4\n"
        "program(main)\n"
    )
    return ["-m", "printing"]


def ended(tmp_path: Path, command: list[str], shell: str) -> tuple[int, str]:
    """Run a program as the shell's words say, and return its code and its standard error."""
    words = ["bash", "-c", f'"$@" {shell}', "bash", sys.executable, *command]
    found = subprocess.run(  # noqa: S603  our own program
        words, cwd=tmp_path, env=ENVIRON, capture_output=True, text=True, timeout=SECONDS,
        check=False,
    )  # fmt: skip
    return found.returncode, found.stderr


@pytest.mark.parametrize(
    "shell",
    [
        "| head -c 5 >/dev/null; exit ${PIPESTATUS[0]}",
        "2>&1 | head -c 5 >/dev/null; exit ${PIPESTATUS[0]}",
        ">/dev/full",
        ">&-",
        "2>&-",
        "2>/dev/full",
        ">&- 2>&- <&-",
    ],
)
def test_a_stream_that_is_lost_changes_no_exit_code(
    tmp_path: Path, printing: list[str], shell: str
) -> None:
    """Its own code would be 1 or 120, and 1 means that a recipe is wrong."""
    code, said = ended(tmp_path, printing, shell)
    assert code == 4
    assert "Traceback" not in said
    assert "Exception ignored" not in said


def test_a_full_disk_behind_a_stream_is_told_once(tmp_path: Path, printing: list[str]) -> None:
    """On the other stream."""
    _, said = ended(tmp_path, printing, ">/dev/full")
    assert said.count("cc-ci: cannot write to the standard output: No space left on device") == 1


@pytest.mark.parametrize(("option", "shell"), [(["-O"], ""), (["-OO"], ""), ([], "")])
def test_assertions_are_never_left_out(
    tmp_path: Path, printing: list[str], option: list[str], shell: str
) -> None:
    """Python is started again without the option and without the variable."""
    code, said = ended(tmp_path, [*option, *printing], f"{shell} >/dev/null")
    assert (code, said) == (4, "0 None\n")
    optimized = {**ENVIRON, "PYTHONOPTIMIZE": "1"}
    found = subprocess.run(  # noqa: S603  our own program
        [sys.executable, *option, *printing], cwd=tmp_path, env=optimized, capture_output=True,
        text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert (found.returncode, found.stderr) == (4, "0 None\n")


def test_an_error_that_was_not_foreseen_is_not_a_verdict(tmp_path: Path) -> None:
    """Python itself would end with 1."""
    (tmp_path / "breaking.py").write_text(
        "from harness.report.output import program\nprogram(lambda: 1 // 0)\n"
    )
    code, said = ended(tmp_path, ["-m", "breaking"], "")
    assert code == 3
    assert "ZeroDivisionError" in said


class Lost(StringIO):
    """A stream whose reader has left."""

    def write(self, _text: str) -> int:
        """Fail."""
        raise BrokenPipeError(32, "Broken pipe")


@contextmanager
def handled(signals: list[int]) -> Iterator[None]:
    """Handle a hang-up as a run does."""
    before = signal.signal(signal.SIGHUP, lambda number, _: signals.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_run_is_told_that_its_reader_has_left() -> None:
    """Once; also if that was before it handled signals."""
    seen: list[int] = []
    stream = Output(Lost())
    stream.write("early")
    assert seen == []
    with handled(seen):
        stream.write("later")
        stream.write("and more")
    assert seen == [signal.SIGHUP]


def test_a_stream_that_works_is_what_it_was() -> None:
    """Terminals ask for its attributes."""
    inner = StringIO()
    stream = Output(inner)
    assert stream.write("abc") == 3
    stream.flush()
    assert (inner.getvalue(), stream.isatty(), stream.closed) == ("abc", False, False)
    assert cast("object", stream.getvalue) == inner.getvalue


def test_a_python_without_the_libraries_is_not_a_wrong_recipe() -> None:
    """Python itself would end with 1, which means that a recipe is wrong."""
    bare = [sys.executable, "-S", "-m", "harness", "run", "custom-html"]
    found = subprocess.run(  # noqa: S603  our own program
        bare, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )  # fmt: skip
    assert found.returncode == 3
    assert "cannot run the harness: No module named" in found.stderr
    assert "Traceback" not in found.stderr.partition("next:")[0]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "é→😀"),
        ({"PYTHONIOENCODING": "ascii"}, "\\xe9\\u2192\\U0001f600"),
        ({"PYTHONIOENCODING": "latin-1"}, "\xe9\\u2192\\U0001f600"),
    ],
)
def test_what_a_locale_cannot_show_changes_no_exit_code(
    tmp_path: Path, given: dict[str, str], shown: str
) -> None:
    """Files are UTF-8 whatever the locale says; a recipe's text may hold any character."""
    (tmp_path / "showing.py").write_text(
        "import pathlib\nfrom harness.report.output import program\n"
        "def main():\n"
        "    text = '\\xe9\\u2192\\U0001f600'\n"
        "    pathlib.Path('written').write_text(text)\n"
        "    print(text)\n"
        "    return 4\n"
        "program(main)\n"
    )
    found = subprocess.run(
        [sys.executable, "-m", "showing"], cwd=tmp_path, env={**ENVIRON, **given},
        capture_output=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert found.returncode == 4
    assert (tmp_path / "written").read_bytes().decode() == "é→😀"
    encoding = given.get("PYTHONIOENCODING", "utf-8")
    assert found.stdout.decode("latin-1" if encoding == "latin-1" else "utf-8").strip() == shown
