# PYTHON_ARGCOMPLETE_OK
"""`python -m harness COMMAND`: the command line; the only place where errors become exit codes.

What needs libraries, or takes long to import, is imported by the command that needs it: `--help` is
fast, and works without them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from harness.core import command_line, commands, project
from harness.core.errors import (
    EXIT_ABORTED,
    EXIT_ERROR,
    EXIT_PASSED,
    HarnessError,
    InternalError,
    UsageError,
)
from harness.core.settings import Settings
from harness.core.signals import FOLLOW, follow
from harness.core.untrusted import visible
from harness.core.waiting import Stretch
from harness.report.output import complain, program

if TYPE_CHECKING:
    from rich.console import Console

    from harness.recipes.catalogue import Entry

LOG_WIDTH = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a command: its words, what they say, the settings, and where it prints."""

    words: Sequence[str]
    given: Mapping[str, Any]
    settings: Settings
    environ: Mapping[str, str]
    console: Console

    def say(self, text: str) -> None:
        """Print a line."""
        from harness.report.terminal import plain  # noqa: PLC0415  a fast `--help`

        self.console.print(plain(text), soft_wrap=True)

    def recipes(self, *, each: bool = False) -> Sequence[Entry]:
        """Return the recipes that are named; with `each`, as often as they are.

        Raises:
            UsageError: none is named, or one is not known.
        """
        from harness.recipes.catalogue import Catalogue, select  # noqa: PLC0415  a fast `--help`

        catalogue = Catalogue.load(project.PROJECT / "recipes.txt")
        if not self.settings.selectors:
            raise UsageError("no recipe is named", hint=f"known are: {', '.join(catalogue.names)}")
        return select(catalogue, self.settings.selectors, each=each)


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Run one command and return its exit code; see `harness.core.errors` for what each means.

    Raises:
        SystemExit: help or the version was asked for, and printed.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == [FOLLOW]:
        follow(sys.stdin.fileno())
        del words[0]
    given = os.environ if environ is None else environ
    try:
        return _call(words, given)
    except ImportError as missing:
        sys.stderr.write(
            f"cc-ci: this Python ({sys.executable}) cannot run the harness: {missing}\n"
            "  next: bin/nox makes an environment with everything that it needs\n"
        )
        return EXIT_ERROR
    except Exception as raised:  # noqa: BLE001  code 1 means that a recipe is wrong, and no less
        return _failed(raised, given)
    except KeyboardInterrupt:
        return EXIT_ABORTED


def script() -> NoReturn:
    """Run the program `cc-ci`."""
    program(main)


def _call(words: Sequence[str], environ: Mapping[str, str]) -> int:
    if "_ARGCOMPLETE" in environ:
        _complete()
    if not words:
        command_line.parsers()[0].print_help()
        return UsageError.exit_code
    given = command_line.parse(words)
    takes_settings = commands.COMMANDS[given["command"]].options
    read = Settings.read(given, environ) if takes_settings else Settings()
    from rich.console import Console  # noqa: PLC0415  a fast `--help`

    console = Console(highlight=False, emoji=False, markup=False)
    if not console.is_terminal:
        console.width = LOG_WIDTH  # a log has no edge to fold at
    with Stretch(read.timeout_factor):
        return COMMANDS[given["command"]](
            Call(words=words[1:], given=given, settings=read, environ=environ, console=console)
        )


def _complete() -> None:
    """Answer a shell that completes a command line, and leave; without argcomplete, do nothing."""

    def recipes(**_: object) -> Iterable[str]:
        from harness.recipes.catalogue import Catalogue  # noqa: PLC0415  a fast `--help`

        return Catalogue.load(project.PROJECT / "recipes.txt").names

    with suppress(ImportError):
        import argcomplete  # noqa: PLC0415  it need not be there

        argcomplete.autocomplete(command_line.parsers(recipes)[0])


def _failed(raised: Exception, environ: Mapping[str, str]) -> int:
    """Say and record what went wrong, and return its exit code."""
    error = raised
    with suppress(ImportError):  # a wrong call can be told without any library
        if not isinstance(error, HarnessError):
            from harness.swarm.faults import as_harness_error  # noqa: PLC0415  a fast `--help`

            error = as_harness_error(error)
        from harness.core.event_log import record_error  # noqa: PLC0415  the same

        record_error(error, environ)
    return complain(error if isinstance(error, HarnessError) else InternalError(repr(error)))


def _run(call: Call) -> int:
    """Test the recipes; the exit code is that of the first one that did not pass, as named.

    One after another, each once; with `--jobs N`, N at a time, and each as often as it is named.
    """
    from harness.run.one import run_one  # noqa: PLC0415  a fast `--help`

    if call.settings.jobs > 1 and len(call.settings.selectors) > 1:
        from harness.fleet import fleet  # noqa: PLC0415  the same

        return fleet.run(
            call.recipes(each=True), call.words, call.settings, call.environ, call.console
        )
    worst = EXIT_PASSED
    for entry in call.recipes():
        code = run_one(entry, call.settings, call.environ, call.console).verdict.exit_code
        worst = worst or code
        if code == EXIT_ABORTED:  # whoever stops one run does not want the next one
            return code
    return worst


def _plan(call: Call) -> int:
    from harness.run.planned import plan  # noqa: PLC0415  a fast `--help`

    for entry in call.recipes():
        plan(entry, call.settings, say=call.say)
    return EXIT_PASSED


def _lint(call: Call) -> int:
    from harness.lint import linting  # noqa: PLC0415  a fast `--help`

    return linting.command(call.recipes(), call.settings, call.environ, call.console)


def _abra(call: Call) -> int:
    from harness.platforms.abra.install import install  # noqa: PLC0415  a fast `--help`
    from harness.platforms.abra.program import RANGE, detect  # noqa: PLC0415  the same

    revision, cache = call.given["revision"], call.settings.cache
    if call.given["action"] == "install":
        found = install(revision, cache=cache, environ=call.environ, say=call.say)
    elif revision:
        raise UsageError("abra status takes no revision", hint=f"abra install {revision}")
    else:
        found = detect(call.environ, cache)
    call.say(f"abra  {found.version} at {found.path} (supported is {RANGE})")
    return EXIT_PASSED


def _engine(call: Call) -> int:
    from harness.engine import engine  # noqa: PLC0415  a fast `--help`
    from harness.images import images  # noqa: PLC0415  the same
    from harness.run import reaper  # noqa: PLC0415  the same

    action, cache = call.given["action"], call.settings.cache
    if action in {"stop", "purge"} and (busy := reaper.running(cache)):
        raise UsageError(
            f"the engine is in use by {len(busy)} run(s): {', '.join(busy)}",
            hint="wait for them to end, or stop them with Ctrl-C",
        )
    if action == "start":
        engine.start(cache, environment=call.environ, say=call.say)
    elif action == "stop":
        engine.stop(cache, say=call.say)
    elif action == "purge":
        engine.purge(cache, say=call.say)
        images.purge(cache)
    else:
        call.say(str(engine.status(cache)))
    return EXIT_PASSED


def _pr(call: Call) -> int:
    from harness.ci import pull_request  # noqa: PLC0415  a fast `--help`

    def say(line: str) -> None:
        sys.stderr.write(visible(line) + "\n")

    found = pull_request.describe(call.settings, recipes=project.PROJECT / "recipes.txt", say=say)
    sys.stdout.write(found + "\n")
    return EXIT_PASSED


def _post(call: Call) -> int:
    from harness.ci import post  # noqa: PLC0415  a fast `--help`

    post.main(post.Asked.of(call.given, call.settings), say=call.say)
    return EXIT_PASSED


def _reap(call: Call) -> int:
    from harness.engine import engine  # noqa: PLC0415  a fast `--help`
    from harness.engine.node_endpoints import Finder  # noqa: PLC0415  the same
    from harness.run import reaper  # noqa: PLC0415  the same

    say, environ, cache = call.say, call.environ, call.settings.cache
    found = engine.resolve(mode=call.settings.engine, cache=cache, environment=environ, say=say)
    client = found.client()
    nodes = Finder(
        client=client, engine=found, given=call.settings.nodes, environment=environ
    ).reachable(say)
    reaped = reaper.reap(
        client,
        cache=cache,
        shared=reaper.Shared.of(client, cache, patient=True),
        nodes=nodes,
        dry_run=call.given["dry_run"],
        kept_too=frozenset(call.given["runs"]),
        say=say,
    )
    if not reaped:
        say("nothing is left over")
    left = [item for one in reaped if one.swept for item in one.swept.left]
    return HarnessError.exit_code if left else EXIT_PASSED


def _matrix(call: Call) -> int:
    from harness.ci.matrix import command  # noqa: PLC0415  a fast `--help`

    return command.write(call.given, project.PROJECT, call.settings.output)


def _verify_matrix(call: Call) -> int:
    from harness.ci.matrix.verify import verify  # noqa: PLC0415  a fast `--help`

    given = call.given
    return verify(given["plan"], given["runs"], allow_empty=given["allow_empty"])


def _site(call: Call) -> int:
    from harness.report.site import command  # noqa: PLC0415  a fast `--help`

    roots = call.given["roots"] or [call.settings.output]
    sys.stdout.write(command.write(roots, call.given["out"]) + "\n")
    return EXIT_PASSED


def _summary(call: Call) -> int:
    from harness.report import summary  # noqa: PLC0415  a fast `--help`

    text, complete = summary.of(call.given["runs"])
    sys.stdout.write(text)
    return EXIT_PASSED if complete else EXIT_ERROR


def _schema(_call: Call) -> int:
    from harness.report import schema  # noqa: PLC0415  a fast `--help`

    sys.stdout.write(schema.text())
    return EXIT_PASSED


COMMANDS: Mapping[str, Callable[[Call], int]] = {
    "run": _run, "plan": _plan, "lint": _lint, "abra": _abra, "engine": _engine, "pr": _pr,
    "post": _post, "reap": _reap, "matrix": _matrix, "verify-matrix": _verify_matrix, "site": _site,
    "summary": _summary, "schema": _schema,
}  # fmt: skip

if __name__ == "__main__":
    script()
