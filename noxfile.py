"""The sessions: `nox -l` lists them, `nox -s e2e -- custom-html` is the main one.

Sessions only: what they do lives in the packages `harness` and `tests`. Words after `--` go to the
session. Relative paths are as seen from the directory in which nox was called.
"""

import logging
import os
import sys
import time
from contextlib import nullcontext
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036  nox may be another Python's
    sys.stderr.write(
        f"cc-ci: needs Python 3.11 or newer, but nox runs on {sys.version.split()[0]}\n"
    )
    sys.exit(3)

import nox
from nox._options import options as nox_options  # its public part tells nothing of the call
from nox.command import CommandFailed

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from harness.core.errors import HarnessError  # noqa: E402  the path has to be set first
from harness.core.proc import without_passwords  # noqa: E402  the same
from harness.fleet import listing  # noqa: E402  the same
from harness.fleet.asked import Asked, Recipes, stages  # noqa: E402  the same
from harness.fleet.listing import Group  # noqa: E402  the same
from harness.report.output import complain  # noqa: E402  the same

nox.needs_version = ">=2026.8.10"  # the first one that knows `allow_parallel`
nox.options.default_venv_backend = "none"

CLEAN_UP_SECONDS = 300.0  # what a run may take to clean up after Ctrl-C before nox ends it
# What nox says although it does not matter here: -j is not ignored, it becomes --jobs.
NOISE = ("uv binary not found", "No selected session allows parallel execution")
TEST, SERVE, DEVELOP = ([str(group)] for group in Group)
ASKED = Asked.of(nox_options.parse_args())


def _leave(error: HarnessError) -> None:
    sys.exit(complain(error))


def _shown(record: logging.LogRecord) -> bool:
    """Mask passwords in what nox logs, such as a command that failed, and drop its noise."""
    record.msg, record.args = without_passwords(record.getMessage()), ()
    return not record.msg.startswith(NOISE)


def _prepare() -> Recipes:
    """Quieten nox, make its `-j N` the harness's `--jobs N`, and return the recipes."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(_shown)
    if ASKED.all_of_e2e and ASKED.jobs:
        os.environ["CCCI_JOBS"] = ASKED.jobs
    try:
        return ASKED.recipes(HERE, os.environ)
    except HarnessError as error:
        _leave(error)
        raise


RECIPES = _prepare()
TOGETHER = [" ".join(RECIPES.names)] if RECIPES.together else RECIPES.names
# Stages are sessions of the recipes that are named, not of all.
STAGES = stages(RECIPES.names) if ASKED.after or RECIPES.by_stage else []


def _run(session: nox.Session, *words: str, purpose: str = "dev") -> None:
    """Run Python in an environment of ours, with time to clean up after Ctrl-C."""
    from harness.fleet import environment  # noqa: PLC0415  a fast `nox -l`

    chosen = environment.Purpose(purpose)
    session.run(
        environment.python(HERE, chosen, say=session.log), *words,
        external=True, log=False,
        interrupt_timeout=CLEAN_UP_SECONDS, terminate_timeout=CLEAN_UP_SECONDS,
    )  # fmt: skip


def _called(session: nox.Session, *words: str, alone: bool = True) -> None:
    """Run a command of the harness where nox was called, so that relative paths are right.

    nox only knows 0 and 1, so the exit code of a lone call is handed on here.
    """
    called = Path(session.invoked_from)
    # That directory may be a recipe's: nothing in it may be imported by its name.
    session.env["PYTHONSAFEPATH"] = "1"
    try:
        with session.chdir(called) if Path.cwd() != called else nullcontext():
            _run(session, "-m", "harness", *words, purpose="run")
    except CommandFailed as error:
        if alone:
            sys.exit(error.return_code)
        raise


def _recipe(session: nox.Session, *recipes: str, only: tuple[str, ...] = ()) -> None:
    from harness.core.command_line import split  # noqa: PLC0415  a fast `nox -l`

    options = split(session.posargs)[1]
    _called(session, "run", *recipes, *options, *only, alone=RECIPES.alone)


@nox.session(default=False, allow_parallel=False, tags=TEST)
@nox.parametrize("recipe", [nox.param(recipe, id=without_passwords(recipe)) for recipe in TOGETHER])
def e2e(session: nox.Session, recipe: str) -> None:
    """Test each recipe, all stages on one real deployment: -- NAME|PATH|URL[#REF] [--option]."""
    _recipe(session, *(RECIPES.names if RECIPES.together else (recipe,)))


@nox.session(default=False, allow_parallel=True, tags=TEST)
@nox.parametrize(("recipe", "stage"), [nox.param(*pair, id=", ".join(pair)) for pair in STAGES])
def stage(session: nox.Session, recipe: str, stage: str) -> None:
    """Test one stage of a recipe, with the stages that it needs before it."""
    _recipe(session, recipe, only=("--stages", stage))


@nox.session(tags=TEST)
def tests(session: nox.Session) -> None:
    """Test the harness: lint and types beside unit and real-engine tests: -- [for pytest]."""
    _suite(session, "dev")


@nox.session(default=False, tags=SERVE)
def post(session: nox.Session) -> None:
    """Write results to a pull request: -- RUN... --pr URL --token-file FILE."""
    _called(session, "post", *session.posargs)


@nox.session(name="recipe-lint", default=False, tags=SERVE)
def recipe_lint(session: nox.Session) -> None:
    """Check recipes by the rules of `abra recipe lint`, without an engine: -- RECIPE..."""
    _called(session, "lint", *session.posargs)


@nox.session(default=False, tags=SERVE)
def engine(session: nox.Session) -> None:
    """Manage the private engine: -- start|status|stop|purge."""
    _called(session, "engine", *session.posargs)


@nox.session(default=False, tags=SERVE)
def reap(session: nox.Session) -> None:
    """Remove what dead runs left behind: -- [--dry-run] [RUN...]."""
    _called(session, "reap", *session.posargs)


@nox.session(default=False, tags=SERVE)
def site(session: nox.Session) -> None:
    """Write one page for all recipes from their runs: -- [RUNS...] [--out DIR]."""
    _called(session, "site", *session.posargs)


@nox.session(default=False, tags=SERVE)
def matrix(session: nox.Session) -> None:
    """Write a CI's jobs: -- --format NAME [--changed BASE...HEAD] [--shards N] [--plan FILE]."""
    _called(session, "matrix", *session.posargs)


@nox.session(name="verify-matrix", default=False, tags=SERVE)
def verify_matrix(session: nox.Session) -> None:
    """Check that each planned recipe was reported exactly once: -- --plan FILE RUNS..."""
    _called(session, "verify-matrix", *session.posargs)


@nox.session(name="abra-install", default=False, tags=SERVE)
def abra_install(session: nox.Session) -> None:
    """Build a fixed revision of abra with Go, into the cache: -- [REVISION]."""
    _called(session, "abra", "install", *session.posargs)


def _suite(session: nox.Session, purpose: str) -> None:
    """Run the whole suite in an environment, and say what is installed there."""
    from harness.fleet import environment  # noqa: PLC0415  a fast `nox -l`

    began = time.monotonic()
    chosen = environment.Purpose(purpose)
    environment.python(HERE, chosen, say=session.log)
    session.log(f"installed: {', '.join(environment.installed(HERE, chosen))}")
    taken = f"{time.monotonic() - began:.1f}"
    _run(session, "-m", "tests.suite", taken, *session.posargs, purpose=purpose)


@nox.session(default=False, tags=DEVELOP)
def unit(session: nox.Session) -> None:
    """Run only the tests that need no engine, in seconds: -- [for pytest]."""
    _run(session, "-m", "pytest", "tests/unit", *session.posargs)


@nox.session(allow_parallel=True, default=False, tags=DEVELOP)
def lint(session: nox.Session) -> None:
    """Check style and formatting with Ruff."""
    _run(session, "-m", "tests.suite.checks", "lint")


@nox.session(allow_parallel=True, default=False, tags=DEVELOP)
def typecheck(session: nox.Session) -> None:
    """Check types with mypy, strict, tests and this file included."""
    _run(session, "-m", "tests.suite.checks", "types")


@nox.session(allow_parallel=True, default=False, tags=DEVELOP)
def docs(session: nox.Session) -> None:
    """Check that the documentation agrees with the code: links, settings, exit codes."""
    _run(session, "-m", "pytest", "-q", "tests/unit/test_docs.py")


@nox.session(default=False, tags=DEVELOP)
def truth(session: nox.Session) -> None:
    """Run broken recipes and compare each verdict with the one it must get: -- [NAME...]."""
    _run(session, "-m", "tests.truth", *session.posargs)


@nox.session(default=False, tags=DEVELOP)
def conformance(session: nox.Session) -> None:
    """Run all broken recipes by abra and by backup bots: the verdicts must be the same."""
    session.env["CONFORMANCE"] = "all"
    _run(session, "-m", "pytest", "-q", "tests/integration/conformance", *session.posargs)


@nox.session(default=False, tags=DEVELOP)
def crash(session: nox.Session) -> None:
    """Kill runs at every step and check what they leave: -- [--kills N] [--seed S]."""
    _run(session, "-m", "tests.crash", *session.posargs)


@nox.session(default=False, tags=DEVELOP)
def hostile(session: nox.Session) -> None:
    """Try what a stranger's change may try, and print what came of it: -- [NAME...]."""
    _run(session, "-m", "tests.hostile", *session.posargs)


@nox.session(default=False, tags=DEVELOP)
def bench(session: nox.Session) -> None:
    """Compare a whole run with its bare operations: -- [PAIRS]; or many at once: -- scale."""
    scale = session.posargs == ["scale"]
    _run(session, *(["-m", "benchmarks.scale"] if scale else ["benchmarks/overhead.py"]),
         *([] if scale else session.posargs))  # fmt: skip


@nox.session(default=False, tags=DEVELOP)
def nightly(session: nox.Session) -> None:
    """Run what a change does not need each time, part by part: -- [PART...] [--list]."""
    _run(session, "-m", "tests.suite.nightly", *session.posargs)


@nox.session(default=False, tags=DEVELOP)
def newest(session: nox.Session) -> None:
    """Run the whole suite with the newest versions of all dependencies: -- [for pytest]."""
    _suite(session, "newest")


@nox.session(venv_backend="virtualenv", default=False, tags=DEVELOP)
def lock(session: nox.Session) -> None:
    """Renew the exact versions and hashes of all dependencies, in `locks`."""
    session.install("uv")
    compiled = ("uv", "pip", "compile", "--quiet", "--native-tls", "--universal", "--upgrade",
                "--generate-hashes", "--python-version", "3.11",
                "--custom-compile-command", "nox -s lock")  # fmt: skip
    for name, *words in (
        ("run", "pyproject.toml"),
        ("dev", "pyproject.toml", "--extra", "dev", "--constraint", "locks/run.txt"),
        ("nox", "--group", "nox", "--constraint", "locks/dev.txt"),
    ):
        session.run(*compiled, "--output-file", f"locks/{name}.txt", *words)


try:
    listing.finish(ASKED, HERE, RECIPES.names, STAGES, nox.registry.get())
except HarnessError as error:
    _leave(error)
