"""What argparse makes of the commands: one parser for each, its `--help`, and errors that help.

Every value of an option is left as the text it was: `harness.core.settings` reads it, wherever it
comes from. Only the standard library is imported here, because `nox -l` reads this module too.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from harness import __version__
from harness.core.commands import COMMANDS, USUAL_EXITS, Command
from harness.core.errors import UnknownNameError, UsageError
from harness.core.nearest import nearest
from harness.core.options import GROUPS, OPTIONS
from harness.core.project import PROGRAM

CHOICE = re.compile(r"argument ([^:]+): invalid choice: (.+) \(choose from (.+)\)")
MISSING = re.compile(
    r"the following arguments are required: (.+)|argument (.+): expected one argument"
)
UNKNOWN = "unrecognized arguments: "
ABOUT = """
`COMMAND --help` shows what a command takes, examples and its exit codes. An
option whose help ends in [NAME] can also be set by that environment variable.

Sessions of nox make the environment that most commands need, and call them:
  run            bin/nox -s e2e -- RECIPE... [options]
  lint           bin/nox -s recipe-lint -- RECIPE... [options]
  abra install   bin/nox -s abra-install -- [REVISION]
engine, post, reap, matrix, verify-matrix and site have a session of their name,
such as bin/nox -s reap -- --dry-run. For the others, call that environment's
Python: .nox/run/bin/python -m harness COMMAND.

Completion by a shell that has argcomplete, if the script cc-ci is installed:
  eval "$(register-python-argcomplete cc-ci)"
"""


class CommandParser(argparse.ArgumentParser):
    """Raises instead of leaving, and names the option that was meant."""

    def error(self, message: str) -> NoReturn:
        """Raise a `UsageError`."""
        usage = f"{self.prog} --help"
        if found := CHOICE.fullmatch(message):
            name, word, known = found[1], found[2].strip("'"), found[3].replace("'", "")
            what = "there is no command" if name == "COMMAND" else f"invalid value for {name}:"
            raise UnknownNameError(f"{what} '{word}'", hint=nearest(word, known.split(", ")))
        if found := MISSING.fullmatch(message):
            raise UsageError(f"missing: {found[1] or f'a value for {found[2]}'}", hint=usage)
        if not message.startswith(UNKNOWN):
            raise UsageError(message, hint=usage)
        word = message.removeprefix(UNKNOWN).split()[0].split("=")[0]
        if not word.startswith("-"):
            raise UsageError(f"too many arguments: '{word}'", hint=usage)
        known = [flag for flag in self._option_string_actions if flag not in ("-h", "--help")]
        elsewhere = word in {option.flag for option in OPTIONS}
        hint = (
            f"other commands take it: {PROGRAM} run --help" if elsewhere else nearest(word, known)
        )
        raise UnknownNameError(f"{self.prog} has no option '{word}'", hint=hint)


class _Version(argparse.Action):
    """Prints the version, and the commit where this is a clone, and leaves."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from harness.core.own_revision import own_revision  # noqa: PLC0415  a fast `nox -l`

        revision = own_revision(Path(__file__).resolve().parents[2])
        sys.stdout.write(f"cc-ci {__version__} ({revision})\n")
        parser.exit()


def parse(argv: Sequence[str]) -> Mapping[str, Any]:
    """Return what a command line says: `command` is its name, an option not given is None.

    Raises:
        UsageError: no command is named, or it is not called as it has to be.
        SystemExit: help or the version was asked for, and printed.
    """
    whole, commands = parsers()
    if argv and argv[0] in commands:
        return vars(commands[argv[0]].parse_intermixed_args(list(argv[1:])))
    return vars(whole.parse_args(list(argv[:1])))  # which leaves


def parsers(
    recipes: Callable[..., Iterable[str]] = tuple,
) -> tuple[CommandParser, Mapping[str, CommandParser]]:
    """Return the parser of the whole command line, and each command's own.

    Args:
        recipes: returns the names that a shell may complete RECIPE with.
    """
    whole = CommandParser(
        prog=PROGRAM, description="Test Co-op Cloud recipes on a real Swarm.", epilog=ABOUT,
        allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    whole.add_argument("--version", action=_Version, nargs=0, help="print the version and revision")
    below = whole.add_subparsers(dest="command", metavar="COMMAND", title="commands", prog=PROGRAM)
    found = {}
    for name, command in COMMANDS.items():
        found[name] = below.add_parser(
            name, help=command.does, usage=f"%(prog)s {command.usage}".strip(), allow_abbrev=False,
            description=textwrap.fill(f"{command.does[0].upper()}{command.does[1:]}.", _width()),
            epilog=_epilog(command), formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        _fill(found[name], command, recipes)
        found[name].set_defaults(command=name)
    return whole, found


def _fill(parser: CommandParser, command: Command, recipes: Callable[..., Iterable[str]]) -> None:
    for argument, how in command.arguments:
        action = parser.add_argument(argument, **how)
        if action.metavar == "RECIPE":
            action.completer = recipes  # type: ignore[attr-defined]  # argcomplete's
    for title, options in GROUPS.items():
        taken = [option for option in options if option.name in command.options]
        group = parser.add_argument_group(title) if taken else parser
        for option in taken:
            how = {"action": "store_const", "const": "1"} if option.is_switch else {
                "metavar": option.metavar or None, "choices": option.choices or None,
            }  # fmt: skip
            group.add_argument(option.flag, help=option.about, **how)


def _epilog(command: Command) -> str:
    exits = sorted({**USUAL_EXITS, **command.exits}.items())
    codes = [_hanging(f"{code:<5}{meaning}") for code, meaning in exits]
    examples = [
        " \\\n".join(
            textwrap.wrap(
                f"{PROGRAM} {example}", _width() - 2, initial_indent="  ", subsequent_indent="    ",
                break_long_words=False, break_on_hyphens=False,
            )
        )
        for example in command.examples
    ]  # fmt: skip
    return "\n".join(["examples:", *examples, "", "exit codes:", *codes])


def _hanging(text: str) -> str:
    return textwrap.fill(
        text, _width(), initial_indent="  ", subsequent_indent=" " * 7, break_on_hyphens=False
    )


def _width() -> int:
    return max(40, shutil.get_terminal_size().columns - 2)


def split(argv: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what a run's command line selects, and its options, in a form to be passed on.

    Raises:
        UsageError: an unknown option, or a value that is missing.
    """
    given = parse(["run", *argv])
    options: list[str] = []
    for option in OPTIONS:
        value = given[option.name]
        if value is not None:
            options += [option.flag] if option.is_switch else [option.flag, value]
    return tuple(given["selectors"]), tuple(options)
