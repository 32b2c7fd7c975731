"""The command line: each command's help, what it takes, and what a wrong call is told."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness import __main__ as program
from harness import __version__
from harness.__main__ import main
from harness.ci.matrix import files, formats
from harness.core.command_line import parse
from harness.core.commands import COMMANDS, FORMATS
from harness.core.errors import UsageError
from harness.core.options import GROUPS, OPTIONS
from harness.core.own_revision import own_revision
from harness.core.project import PROGRAM, PROJECT
from harness.core.settings import Settings


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return what a call prints that ends well and at once."""
    with pytest.raises(SystemExit) as left:
        main(words, {})
    assert left.value.code == 0
    return capsys.readouterr().out


def test_the_help_names_every_command_and_no_hidden_one(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a command it is shown as well, with code 2."""
    said = shown(capsys, "--help")
    assert re.findall(r"(?m)^    ([a-z-]+)\b", said) == [*COMMANDS] == [*program.COMMANDS]
    assert shown(capsys, "-h") == said
    assert main([], {}) == UsageError.exit_code
    assert capsys.readouterr().out == said
    assert "follow" not in said


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_shows_what_it_takes_and_nothing_else(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each option with its variable and default, below its heading; examples and exit codes."""
    monkeypatch.setenv("COLUMNS", "80")
    said, command = shown(capsys, name, "--help"), COMMANDS[name]
    own = [argument for argument, _ in command.arguments if argument.startswith("-")]
    shared = [option for option in OPTIONS if option.name in command.options]
    assert len(shared) == len(command.options), "an option of a run that does not exist"
    named = re.findall(r"(?m)^  (?:-h, )?(--[a-z-]+)", said)
    assert named == ["--help", *own, *(option.flag for option in shared)]
    text = " ".join(said.split())
    for option in shared:
        assert f"[{option.env}]" in text
        assert not option.default or f"(default: {option.default})" in text
    for title, options in GROUPS.items():
        assert (f"\n{title}:\n" in said) is any(option in shared for option in options)
    assert set(re.findall(r"(?m)^  (\d+) ", said)) >= {"0", "2", "3"}
    assert f" {PROGRAM} {command.examples[-1]} " in text.replace("\\ ", "")
    assert max(map(len, said.splitlines())) <= 80


@pytest.mark.parametrize(
    ("name", "example"), [(n, e) for n, c in COMMANDS.items() for e in c.examples]
)
def test_an_example_is_a_call_that_is_understood(name: str, example: str, tmp_path: Path) -> None:
    """A hint that does not work is worse than none."""
    given = parse(example.partition(" >")[0].split())
    assert given["command"] == name
    Settings.read(given, {"HOME": str(tmp_path)}, directory=tmp_path)


def test_a_default_that_is_shown_is_the_real_one() -> None:
    """It is a text there, and a value in the settings."""
    for option in OPTIONS:
        if option.default:
            assert option.read(option.default) == getattr(Settings(), option.name), option.name


def test_the_formats_of_a_matrix_are_those_that_can_be_written() -> None:
    """They are named where nothing is imported."""
    assert sorted({*formats.FORMATS, *files.FILES}) == [*FORMATS]


@pytest.mark.parametrize(
    ("line", "what", "hint"),
    [
        ("rnu x", "there is no command 'rnu'", "did you mean run"),
        ("reap --dry", "no option '--dry'", "did you mean --dry-run"),
        ("abra instal", "invalid value for ACTION: 'instal'", "did you mean install"),
        ("engine sotp", "invalid value for ACTION: 'sotp'", "did you mean stop"),
        ("engine status --stages install", "no option '--stages'", "other commands take it"),
        ("lint x --keep", "lint has no option '--keep'", f"{PROGRAM} run --help"),
        ("matrix --format githbu", "invalid value for --format: 'githbu'", "did you mean github"),
        ("run x --engine mine", "invalid value for --engine: 'mine'", "external"),
        ("run x --ref", "missing: a value for --ref", f"{PROGRAM} run --help"),
        ("schema x", "too many arguments: 'x'", f"{PROGRAM} schema --help"),
        ("verify-matrix runs", "missing: --plan", f"{PROGRAM} verify-matrix --help"),
        ("--verison", "no option '--verison'", "--version"),
        ("--cache x engine", "no option '--cache'", "other commands take it"),
    ],
)
def test_a_wrong_call_is_told_what_was_meant(
    line: str, what: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In two lines: what is wrong, and what to type next."""
    assert main(line.split(), {}) == UsageError.exit_code
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("cc-ci: ")
    assert what in first
    assert second.startswith("  next: ")
    assert hint in second


@pytest.mark.parametrize("words", [("schema",), ("summary",)])
def test_a_command_without_settings_reads_none(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    """A CI prints a summary at its end, whatever was wrong with its settings."""
    assert main(words, {"CCCI_NO_SUCH": "1", "STAGES": "no-stage"}) == 0
    assert capsys.readouterr().out


def test_the_version_is_told_with_the_revision(capsys: pytest.CaptureFixture[str]) -> None:
    """A report of a fault needs both."""
    assert shown(capsys, "--version") == f"cc-ci {__version__} ({own_revision(PROJECT)})\n"


def test_help_needs_no_library() -> None:
    """It is there before an environment is made, and fast."""
    words = [sys.executable, "-S", "-X", "importtime", "-m", "harness", "run", "--help"]
    done = subprocess.run(  # noqa: S603  our own program
        words, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--timeout-factor" in done.stdout
    imported = set(re.findall(r"\| +(harness\.\w+)", done.stderr))
    assert imported == {"harness.core", "harness.report"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("cc-ci reap --dr", {"--dry-run"}),
        ("cc-ci eng", {"engine"}),
        ("cc-ci run --engine ", {"auto", "external", "private"}),
        ("cc-ci run radi", {"radicale"}),
        ("cc-ci engine p", {"purge"}),
    ],
)
def test_a_shell_can_complete_it(line: str, expected: set[str], tmp_path: Path) -> None:
    """As argcomplete asks for it; where that is not installed, nothing is answered."""
    answer = tmp_path / "answer"
    environ = {
        **os.environ, "_ARGCOMPLETE": "1", "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "_ARGCOMPLETE_IFS": "\n", "COMP_LINE": line, "COMP_POINT": str(len(line)),
    }  # fmt: skip
    words = [sys.executable, "-m", "harness"]
    subprocess.run(words, cwd=PROJECT, env=environ, timeout=60, check=False)  # noqa: S603  our own
    assert {word.strip() for word in answer.read_text().split("\n")} == expected
