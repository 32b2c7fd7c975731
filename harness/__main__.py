"""`python -m harness COMMAND`: the command line; the only place where errors become exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence

try:
    from rich.console import Console
    from rich.text import Text

    from harness.core.errors import EXIT_ABORTED, EXIT_PASSED, HarnessError, UsageError
    from harness.core.event_log import record_error
    from harness.core.signals import FOLLOW, follow
    from harness.core.waiting import Stretch
    from harness.report.output import complain, program
    from harness.report.terminal import plain
except ImportError as missing:  # Python's own code for it, 1, would mean that a recipe is wrong
    sys.stderr.write(
        f"cc-ci: this Python ({sys.executable}) cannot run the harness: {missing}\n"
        "  next: bin/nox makes an environment with everything that it needs\n"
    )
    raise SystemExit(3) from missing

LOG_WIDTH = 160
USAGE = """usage: python -m harness COMMAND

  run RECIPE...    test recipes on a real Swarm (run --help shows the options)
  lint RECIPE...   check recipes' files by the rules of `abra recipe lint`, without an engine
  abra ACTION      the program abra: status, or install [REVISION]
  engine ACTION    the private engine: start, status, stop or purge
  pr RECIPE        what a pull request is at now, as JSON (--pr URL|N)
  post RUN...      a status and one comment at a pull request (--pr URL)
  reap [RUN...]    remove what dead runs left behind (--dry-run only shows it), and these kept runs
"""


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Run one command and return its exit code; see `harness.core.errors` for what each means."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == [FOLLOW]:
        follow(sys.stdin.fileno())
        del words[0]
    console = Console(highlight=False, emoji=False, markup=False)
    if not console.is_terminal:
        console.width = LOG_WIDTH  # a log has no edge to fold at
    commands: Mapping[str, Callable[..., int]] = {
        "run": _run, "engine": _engine, "pr": _pr, "post": _post, "reap": _reap,
        "lint": _lint, "abra": _abra,
    }  # fmt: skip
    if not words or words[0] not in commands:
        console.print(USAGE)
        return EXIT_PASSED if words in (["-h"], ["--help"]) else UsageError.exit_code
    given = os.environ if environ is None else environ
    try:
        with Stretch(_timeout_factor(words[1:], given)):
            return commands[words[0]](words[1:], given, console)
    except Exception as raised:  # noqa: BLE001  code 1 means that a recipe is wrong, and no less
        error = _as_harness_error(raised)
        record_error(error, given)
        return complain(error)
    except KeyboardInterrupt:
        return EXIT_ABORTED


def _timeout_factor(words: Sequence[str], environ: Mapping[str, str]) -> float:
    from harness.core.settings import timeout_factor  # noqa: PLC0415  a fast `--help`

    return timeout_factor(words, environ)


def _as_harness_error(error: Exception) -> HarnessError:
    if isinstance(error, HarnessError):
        return error
    from harness.swarm.faults import as_harness_error  # noqa: PLC0415  a fast `--help`

    return as_harness_error(error)


def _run(argv: Sequence[str], environ: Mapping[str, str], console: Console) -> int:
    """Test the recipes; the exit code is that of the first one that did not pass, as named.

    One after another, each once; with `--jobs N`, N at a time, and each as often as it is named.
    """
    from harness.core.settings import PROJECT, Settings  # noqa: PLC0415  the same
    from harness.recipes.catalogue import Catalogue, select  # noqa: PLC0415  a fast `--help`
    from harness.run.one import run_one  # noqa: PLC0415  the same

    settings = Settings.of_run(argv, environ)
    catalogue = Catalogue.load(PROJECT / "recipes.txt")
    if not settings.selectors:
        raise UsageError("no recipe is named", hint=f"known are: {', '.join(catalogue.names)}")
    if settings.jobs > 1 and len(settings.selectors) > 1:
        from harness.fleet import fleet  # noqa: PLC0415  the same

        entries = select(catalogue, settings.selectors, each=True)
        return fleet.run(entries, argv, settings, environ, console)
    worst = EXIT_PASSED
    for entry in select(catalogue, settings.selectors):
        code = run_one(entry, settings, environ, console).verdict.exit_code
        worst = worst or code
        if code == EXIT_ABORTED:  # whoever stops one run does not want the next one
            return code
    return worst


def _lint(argv: Sequence[str], environ: Mapping[str, str], console: Console) -> int:
    from harness.lint import linting  # noqa: PLC0415  a fast `--help`

    return linting.command(argv, environ, console)


def _abra(argv: Sequence[str], environ: Mapping[str, str], console: Console) -> int:
    from harness.platforms.abra import command  # noqa: PLC0415  a fast `--help`

    return command.command(argv, environ, lambda text: console.print(plain(text), soft_wrap=True))


def _engine(argv: Sequence[str], environ: Mapping[str, str], console: Console) -> int:
    from harness.core.settings import Settings  # noqa: PLC0415  the same
    from harness.engine import engine  # noqa: PLC0415  the same
    from harness.images import images  # noqa: PLC0415  the same
    from harness.run import reaper  # noqa: PLC0415  a fast `--help`

    action = argv[0] if argv else "status"
    cache = Settings.load(argv[1:], environ).cache

    def say(text: str) -> None:
        console.print(plain(text), soft_wrap=True)

    if action in {"stop", "purge"} and (busy := reaper.running(cache)):
        raise UsageError(
            f"the engine is in use by {len(busy)} run(s): {', '.join(busy)}",
            hint="wait for them to end, or stop them with Ctrl-C",
        )
    if action == "start":
        engine.start(cache, environment=environ, say=say)
    elif action == "stop":
        engine.stop(cache, say=say)
    elif action == "purge":
        engine.purge(cache, say=say)
        images.purge(cache)
    elif action == "status":
        say(str(engine.status(cache)))
    else:
        raise UsageError(f"there is no action '{action}'", hint="start, status, stop or purge")
    return EXIT_PASSED


def _pr(argv: Sequence[str], environ: Mapping[str, str], console: Console) -> int:
    from harness.ci import pull_request  # noqa: PLC0415  a fast `--help`
    from harness.core.settings import PROJECT  # noqa: PLC0415  the same

    stderr = Console(stderr=True, highlight=False)
    found = pull_request.describe(
        argv,
        environ,
        recipes=PROJECT / "recipes.txt",
        say=lambda line: stderr.print(plain(line), soft_wrap=True),
    )  # fmt: skip
    console.print(Text(found), soft_wrap=True)
    return EXIT_PASSED


def _post(argv: Sequence[str], environ: Mapping[str, str], console: Console) -> int:
    from harness.ci import post  # noqa: PLC0415  a fast `--help`

    post.main(argv, environ, say=lambda line: console.print(plain(line), soft_wrap=True))
    return EXIT_PASSED


def _reap(argv: Sequence[str], environ: Mapping[str, str], console: Console) -> int:
    from harness.core.settings import Settings  # noqa: PLC0415  the same
    from harness.engine import engine  # noqa: PLC0415  the same
    from harness.engine.node_endpoints import Finder  # noqa: PLC0415  the same
    from harness.run import reaper  # noqa: PLC0415  a fast `--help`

    dry_run = "--dry-run" in argv
    settings = Settings.load([word for word in argv if word != "--dry-run"], environ)

    def say(text: str) -> None:
        console.print(plain(text), soft_wrap=True)

    found = engine.resolve(mode=settings.engine, cache=settings.cache, environment=environ, say=say)
    client = found.client()
    nodes = Finder(
        client=client, engine=found, given=settings.nodes, environment=environ
    ).reachable(say)
    reaped = reaper.reap(
        client,
        cache=settings.cache,
        shared=reaper.Shared.of(client, settings.cache, patient=True),
        nodes=nodes,
        dry_run=dry_run,
        kept_too=frozenset(settings.selectors),
        say=say,
    )
    if not reaped:
        say("nothing is left over")
    left = [item for one in reaped if one.swept for item in one.swept.left]
    return HarnessError.exit_code if left else EXIT_PASSED


if __name__ == "__main__":
    program(main)
