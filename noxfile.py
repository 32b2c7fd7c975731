"""The sessions: `nox -l` lists them, `nox -s e2e -- custom-html` is the main one.

Sessions only: what they do lives in the package `harness`. All of them share one environment, which
is made on first use. Everything after `--` goes to the harness (or to pytest, for `tests`).
"""

import logging
import os
import re
import sys
from pathlib import Path

import nox
from nox.command import CommandFailed

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from harness import settings, shared_environment  # noqa: E402  the path has to be set first
from harness.errors import HarnessError  # noqa: E402  the same
from harness.model import Stage  # noqa: E402  the same
from harness.recipes.catalogue import Catalogue  # noqa: E402  the same

nox.needs_version = ">=2026.8.10"  # the first one that knows `allow_parallel`
nox.options.default_venv_backend = "none"

CLEAN_UP_SECONDS = 300.0  # what a run may take to clean up after Ctrl-C before nox ends it
CHECKED = ("harness", "tests", "benchmarks", "conftest.py", "noxfile.py")


def _line() -> tuple[list[str], list[str]]:
    """Return nox's own words on the command line, and those after `--`."""
    line = [*sys.argv[1:], "--"]
    return line[: line.index("--")], line[line.index("--") + 1 : -1]


def _recipes() -> tuple[tuple[str, ...], int]:
    """Return the recipes to parametrize over, and how many of them to test at a time.

    Those named after `--`, else those in RECIPE, else all of recipes.txt.
    """
    before, after = _line()
    try:
        if any(word.startswith(("e2e", "stage")) for word in before):
            asked = settings.Settings.load(after, os.environ, directory=HERE)
            if asked.selectors:
                return asked.selectors, asked.jobs
            return Catalogue.load(HERE / "recipes.txt").names, asked.jobs
        return Catalogue.load(HERE / "recipes.txt").names, 1
    except HarnessError as error:
        sys.stderr.write(f"cc-ci: {error}\n")
        sys.exit(error.exit_code)


def _hand_on_parallel() -> None:
    """Make nox's own `-j N` the harness's `--jobs N`.

    nox would start a process for each session, each with a hidden output and without a guard on
    memory, and on Ctrl-C it would kill them after two seconds, in the middle of their clean-up.
    """
    words = _line()[0]
    found = re.search(r"(?:^|\s)(?:-j\s*|--parallel[ =])(\d+|auto)(?=\s|$)", " ".join(words))
    jobs = found[1] if found else os.environ.get("NOX_PARALLEL", "")
    if ALL_OF_E2E and jobs:
        os.environ["CCCI_JOBS"] = str(os.cpu_count() or 1) if jobs == "auto" else jobs
        # It says that -j is ignored for e2e. It is not, and the harness says what it does.
        ignored = "No selected session allows parallel execution"
        for handler in logging.getLogger().handlers:
            handler.addFilter(lambda record: not record.getMessage().startswith(ignored))


ALL_OF_E2E = "e2e" in _line()[0]  # and not one of its sessions, by its parameter
_hand_on_parallel()
RECIPES, JOBS = _recipes()
TOGETHER = ALL_OF_E2E and JOBS > 1 and len(RECIPES) > 1


def _run(session: nox.Session, *words: str) -> None:
    """Run a command in the shared environment, with time to clean up after Ctrl-C."""
    session.run(
        shared_environment.python(HERE, say=session.log), *words,
        external=True, log=False,
        interrupt_timeout=CLEAN_UP_SECONDS, terminate_timeout=CLEAN_UP_SECONDS,
    )  # fmt: skip


def _harness(session: nox.Session, *words: str, alone: bool = False) -> None:
    """Run the harness. nox only knows 0 and 1, so a lone call's exit code is handed on here."""
    try:
        _run(session, "-m", "harness", *words)
    except CommandFailed as error:
        if alone or len(RECIPES) == 1 or TOGETHER:
            sys.exit(error.return_code)
        raise


def _options(session: nox.Session) -> tuple[str, ...]:
    return settings.split(session.posargs)[1]


@nox.session(default=False, allow_parallel=True)
@nox.parametrize("stage", [str(stage) for stage in Stage])
@nox.parametrize("recipe", RECIPES)
def stage(session: nox.Session, recipe: str, stage: str) -> None:
    """Test one stage of a recipe, with the stages that it needs before it."""
    _harness(session, "run", recipe, *_options(session), "--stages", stage)


@nox.session(default=False, allow_parallel=False)
@nox.parametrize("recipe", [" ".join(RECIPES)] if TOGETHER else RECIPES)
def e2e(session: nox.Session, recipe: str) -> None:
    """Test a recipe, all stages on one real deployment: -- NAME|PATH|URL[#REF] [--option]."""
    recipes = RECIPES if TOGETHER else (recipe,)
    _harness(session, "run", *recipes, *_options(session))


@nox.session
def tests(session: nox.Session) -> None:
    """Everything that has to be green: lint, types, unit and real-engine tests (-- for pytest)."""
    lint(session)
    typecheck(session)
    _run(session, "-m", "pytest", *session.posargs)


@nox.session(default=False)
def unit(session: nox.Session) -> None:
    """Only the tests that need no engine; they take seconds (-- for pytest)."""
    _run(session, "-m", "pytest", "tests/unit", *session.posargs)


@nox.session(default=False, allow_parallel=True)
def lint(session: nox.Session) -> None:
    """Ruff: every rule that is not switched off with a reason, and the formatting."""
    _run(session, "-m", "ruff", "check", *CHECKED)
    _run(session, "-m", "ruff", "format", "--check", *CHECKED)


@nox.session(default=False, allow_parallel=True)
def typecheck(session: nox.Session) -> None:
    """Mypy, strict, over harness, tests and this file."""
    _run(session, "-m", "mypy")
    # Recipes' folders are no packages, and their files have the same names: each is a world apart.
    alone = ("--no-explicit-package-bases", "--no-namespace-packages")
    tests = HERE / "tests"
    packages = {tests / name for name in ("unit", "integration", "truth", "crash", "suite")}
    packages.add(tests / "integration" / "conformance")
    for folder in sorted({path.parent for path in tests.rglob("*.py")} - packages):
        files = [str(path) for path in sorted(folder.glob("*.py"))]
        _run(session, "-m", "mypy", *alone, *files)


@nox.session(default=False, allow_parallel=True)
def docs(session: nox.Session) -> None:
    """Check that the documentation tells the truth: links, settings, exit codes, sessions."""
    _run(session, "-m", "pytest", "-q", "tests/unit/test_docs.py")


@nox.session(default=False)
def truth(session: nox.Session) -> None:
    """Recipes that lie, each in its own way, and the verdicts that they get: -- [NAME...]."""
    _run(session, "-m", "tests.truth", *session.posargs)


@nox.session(default=False)
def conformance(session: nox.Session) -> None:
    """The samples and all recipes that lie, by abra and by bots: the same verdicts, or red."""
    session.env["CONFORMANCE"] = "all"
    _run(session, "-m", "pytest", "-q", "tests/integration/conformance", *session.posargs)


@nox.session(default=False)
def crash(session: nox.Session) -> None:
    """Kill runs at every step and in between, and look what is left: -- [--kills N] [--seed S]."""
    _run(session, "-m", "tests.crash", *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """A whole run beside its bare operations, as a ratio: -- [PAIRS]; or many at once: -- scale."""
    if session.posargs == ["scale"]:
        _run(session, "-m", "benchmarks.scale")
    else:
        _run(session, "benchmarks/overhead.py", *session.posargs)


@nox.session(default=False)
def engine(session: nox.Session) -> None:
    """The private engine: -- start|status|stop|purge."""
    _harness(session, "engine", *session.posargs)


@nox.session(default=False)
def post(session: nox.Session) -> None:
    """Write runs' results to a pull request: -- RUN... --pr URL --token-file FILE."""
    _harness(session, "post", *session.posargs)


@nox.session(default=False)
def reap(session: nox.Session) -> None:
    """Remove what dead runs left behind: -- [--dry-run] [RUN...]."""
    _harness(session, "reap", *session.posargs)


@nox.session(name="recipe-lint", default=False)
def recipe_lint(session: nox.Session) -> None:
    """Check recipes' files by the rules of `abra recipe lint`, no engine: -- RECIPE...."""
    _harness(session, "lint", *session.posargs, alone=True)


@nox.session(name="abra-install", default=False)
def abra_install(session: nox.Session) -> None:
    """Build abra from its source by Go, a fixed revision, into the cache: -- [REVISION]."""
    _harness(session, "abra", "install", *session.posargs, alone=True)


@nox.session(default=False)
def site(session: nox.Session) -> None:
    """One page for all recipes, of the runs that are there: -- [RUNS...] [--out DIR]."""
    _run(session, "-m", "harness.site", *session.posargs)


def _code(session: nox.Session, *words: str) -> None:
    """Run a program whose exit codes say more than 0 and 1."""
    try:
        _run(session, *words)
    except CommandFailed as error:
        sys.exit(error.return_code)


@nox.session(default=False)
def matrix(session: nox.Session) -> None:
    """A CI's jobs: -- --format NAME [--changed BASE...HEAD] [--shards N] [--plan FILE]."""
    _code(session, "-m", "harness.matrix", *session.posargs)


@nox.session(name="verify-matrix", default=False)
def verify_matrix(session: nox.Session) -> None:
    """Every planned recipe was reported, exactly once: -- --plan FILE RUNS...."""
    _code(session, "-m", "harness.matrix.verify", *session.posargs)
