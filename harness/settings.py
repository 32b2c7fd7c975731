"""Settings as typed fields, each with its origin: command line > environment > file > default.

Only the standard library is imported here, because `nox -l` reads this module too. The environment
is always a parameter. Unknown keys are refused, with the nearest known one named.
"""

from __future__ import annotations

import argparse
import difflib
import math
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from harness.errors import UnknownNameError, UsageError
from harness.model import Stage

PROJECT = Path(__file__).resolve().parent.parent
SETTINGS_FILE = "cc-ci.toml"
PREFIX = "CCCI_"
SKIP_GENERIC = "CCCI_SKIP_GENERIC"
NODE = "CCCI_NODE_"  # and the name of a Swarm's node: how its engine is reached
NODE_SCHEMES = ("ssh://", "unix://", "tcp://")
# What decides whose code is run, or where a token is sent, is said for each run.
NOT_IN_A_FILE = frozenset({"overlays", "forge", "forge_api", "token_file"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One setting: its field, its variable in the environment, how its text is read."""

    name: str
    env: str
    parse: Callable[[str], object]
    default: object
    help: str
    metavar: str = ""  # empty for an option that takes no value

    @property
    def flag(self) -> str:
        """The option on the command line."""
        return "--" + self.name.replace("_", "-")


def _text(value: str) -> str:
    return value


def _number(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError("a number is expected")
    return number


def _seconds(value: str) -> float:
    number = _number(value)
    if number < 0:
        raise ValueError("a number of seconds is not negative")
    return number


def _factor(value: str) -> float:
    number = _number(value)
    if not 0.1 <= number <= 100:  # noqa: PLR2004  outside it is a typing error, not a slow host
        raise ValueError("a factor lies between 0.1 and 100")
    return number


def _count(value: str) -> int:
    number = int(value) if value.isascii() and value.isdigit() else 0
    if not 1 <= number <= 1000:  # noqa: PLR2004  outside it is a typing error
        raise ValueError("a whole number from 1 to 1000 is expected")
    return number


def _yes(value: str) -> bool:
    if value.lower() in ("1", "true", "yes", "on"):
        return True
    if value.lower() in ("", "0", "false", "no", "off"):
        return False
    raise ValueError("1 or 0 is expected")


def _path(value: str) -> Path:
    return Path(os.path.abspath(Path(value).expanduser()))  # noqa: PTH100  it also takes `..` out


def _source(value: str) -> str:
    """Return a path as an absolute one, and a URL or `sample:NAME` as it is."""
    is_path = value and ":" not in value.partition("/")[0]
    return str(_path(value)) if is_path else value


def _directory(value: str) -> Path:
    path = _path(value)
    if not path.is_dir():  # with a typing error in it, fewer tests would look like a pass
        raise ValueError(f"{path} is not a directory")
    return path


def _choice(*choices: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in choices:
            raise ValueError(f"one of {', '.join(choices)} is expected")
        return value

    return parse


def parse_stages(value: str) -> tuple[Stage, ...]:
    """Read a comma list of stages, and return them in the order in which they run.

    Raises:
        UnknownNameError: one of them is no stage.
    """
    asked = [word.strip() for word in value.split(",") if word.strip()]
    for word in asked:
        if word not in list(Stage):
            raise UnknownNameError(
                f"there is no stage '{word}'", hint=_nearest(word, [str(stage) for stage in Stage])
            )
    return tuple(stage for stage in Stage if stage in asked) or tuple(Stage)


OPTIONS = (
    Option(name="ref", env="REF", parse=_text, default="", metavar="REF",
           help="the commit, branch or tag under test (default: the default branch)"),
    Option(name="src", env="SRC", parse=_source, default="", metavar="URL|PATH",
           help="take the recipe from there instead of the source in recipes.txt"),
    Option(name="pr", env="PR", parse=_text, default="", metavar="URL|N",
           help="test the head of that pull request: its address, or its number on the source's "
           "forge"),
    Option(name="forge", env="CCCI_FORGE",
           parse=_choice("auto", "gitea", "forgejo", "github", "gitlab"), default="auto",
           metavar="KIND", help="whose API to speak (auto: by the pull request's address, or by "
           "the source's host)"),
    Option(name="forge_api", env="CCCI_FORGE_API", parse=_text, default="", metavar="URL",
           help="where that API is (default: where that kind of forge has it)"),
    Option(name="token_file", env="CCCI_TOKEN_FILE", parse=_path, default=None, metavar="FILE",
           help="the forge's token, or a host, a blank and its token; a run needs it only for "
           "private repositories"),
    Option(name="version", env="VERSION", parse=_text, default="", metavar="TAG",
           help="the release to upgrade from (default: the newest one older than the head)"),
    Option(name="stages", env="STAGES", parse=parse_stages, default=tuple(Stage), metavar="A,B",
           help="run only these stages, and the ones that they need"),
    Option(name="domain", env="CCCI_DOMAIN", parse=_text, default="", metavar="DOMAIN",
           help="deploy under this domain (default: a short random one for each run)"),
    Option(name="keep", env="CCCI_KEEP", parse=_yes, default=False,
           help="leave the app running after the run, and say how to remove it"),
    Option(name="jobs", env="CCCI_JOBS", parse=_count, default=1, metavar="N",
           help="how many recipes to test at a time, each in a process of its own (default: 1)"),
    Option(name="output", env="CCCI_OUTPUT", parse=_path, default=Path("runs"), metavar="DIR",
           help="where each run makes its directory (default: runs, beside recipes.txt)"),
    Option(name="platform", env="CCCI_PLATFORM", parse=_choice("auto", "swarm", "abra"),
           default="auto", metavar="NAME",
           help="swarm: deploy natively; abra: have abra deploy; auto: abra where it and a server "
           "of its own are there, else swarm"),
    Option(name="backup_driver", env="CCCI_BACKUP_DRIVER",
           parse=_choice("auto", "restic", "backupbot"), default="auto", metavar="NAME",
           help="restic: back up natively; backupbot: have a backup bot do so, through abra where "
           "it deploys; auto: backupbot where abra deploys, else restic"),
    Option(name="engine", env="CCCI_ENGINE", parse=_choice("auto", "external", "private"),
           default="auto", metavar="MODE",
           help="auto: one in reach, else a private one; external: never start or install one"),
    Option(name="cache", env="CCCI_CACHE", parse=_path, default=None, metavar="DIR",
           help="engine, images, samples and locks (default: cc-ci in the user's cache directory)"),
    Option(name="overlays", env="CCCI_OVERLAYS", parse=_directory, default=None, metavar="DIR",
           help="where recipes' overlays and approvals lie (default: tests, beside the harness)"),
    Option(name="lock", env="CCCI_LOCK", parse=_choice("auto", "local", "swarm"),
           default="auto", metavar="MODE",
           help="auto: swarm where other hosts can deploy to the same Swarm, else local"),
    Option(name="lock_timeout", env="CCCI_LOCK_TIMEOUT", parse=_seconds, default=900.0,
           metavar="SECONDS", help="how long to wait for a lock that another run holds"),
    Option(name="run_timeout", env="CCCI_RUN_TIMEOUT", parse=_seconds, default=3600.0,
           metavar="SECONDS", help="how long a run may take, without waiting for its lock and "
           "being removed; 0 for no limit"),
    Option(name="timeout_factor", env="CCCI_TIMEOUT_FACTOR", parse=_factor, default=1.0,
           metavar="FACTOR", help="multiplies every time-out, for slow hosts"),
    Option(name="endpoint_mode", env="CCCI_ENDPOINT_MODE", parse=_choice("auto", "vip", "dnsrr"),
           default="auto", metavar="MODE",
           help="auto: dnsrr where the kernel has no IPVS, said in the report"),
    Option(name="screenshots", env="CCCI_SCREENSHOTS", parse=_choice("auto", "off"), default="auto",
           metavar="MODE", help="auto: pictures of the app's page where there is a Chromium"),
    Option(name="lint", env="CCCI_LINT", parse=_choice("report", "gate", "off"),
           default="report", metavar="MODE",
           help="report: say which of the rules of `abra recipe lint` are broken; gate: a broken "
           "one of level error fails the run before anything is deployed"),
    Option(name="strict", env="CCCI_STRICT", parse=_yes, default=False,
           help="fail a run with a warning that the recipe's ACCEPT_WARNINGS does not accept"),
)  # fmt: skip


TIMEOUT_FACTOR = next(option for option in OPTIONS if option.name == "timeout_factor")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one call of the harness was asked to do. Times are in seconds."""

    selectors: tuple[str, ...] = ()
    ref: str = ""
    src: str = ""
    pr: str = ""
    forge: str = "auto"
    forge_api: str = ""
    token_file: Path | None = None
    version: str = ""
    stages: tuple[Stage, ...] = tuple(Stage)
    domain: str = ""
    keep: bool = False
    jobs: int = 1
    output: Path = Path("runs")
    platform: str = "auto"
    backup_driver: str = "auto"
    engine: str = "auto"
    cache: Path = Path("cc-ci")
    overlays: Path | None = None  # None means the project's own `tests`
    lock: str = "auto"
    lock_timeout: float = 900.0
    run_timeout: float = 3600.0
    timeout_factor: float = 1.0
    endpoint_mode: str = "auto"
    screenshots: str = "auto"
    lint: str = "report"
    strict: bool = False
    skip_generic: frozenset[Stage] = frozenset()
    nodes: Mapping[str, str] = field(default_factory=dict)  # by NAME: what CCCI_NODE_<NAME> says
    origins: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def load(
        cls, argv: Sequence[str], environ: Mapping[str, str], *, directory: Path | None = None
    ) -> Settings:
        """Read the settings.

        Args:
            argv: the command line after the program's (and the sub-command's) name.
            environ: the environment.
            directory: where cc-ci.toml may lie; None means the project's, beside recipes.txt.

        Raises:
            UsageError: an unknown key, or a value that cannot be read.
        """
        _refuse_unknown_variables(environ)
        given = vars(build_parser().parse_intermixed_args(list(argv)))
        selectors = tuple(given.pop("selectors"))
        path = (directory or PROJECT) / SETTINGS_FILE
        from_file = _read_file(path)
        values: dict[str, Any] = {}
        origins: dict[str, str] = {}
        for option in OPTIONS:
            text, origin = _find(option, given, environ, from_file, path)
            if text is None:
                continue
            values[option.name] = _parse(option, text, origin)
            origins[option.name] = origin
        values.setdefault("cache", default_cache(environ))
        values.setdefault("output", PROJECT / "runs")
        skip = _skip_generic(environ)
        return cls(
            selectors=selectors, skip_generic=skip, nodes=_nodes(environ), origins=origins, **values
        )

    @classmethod
    def of_run(
        cls, argv: Sequence[str], environ: Mapping[str, str], *, directory: Path | None = None
    ) -> Settings:
        """Read the settings as `load` does; RECIPE names the recipes if the command line does not.

        Raises:
            UsageError: an unknown key, or a value that cannot be read.
        """
        loaded = cls.load(argv, environ, directory=directory)
        return loaded if loaded.selectors else replace(loaded, selectors=_recipes(environ))


def _recipes(environ: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(environ.get("RECIPE", "").split())


def timeout_factor(
    words: Sequence[str], environ: Mapping[str, str], *, directory: Path | None = None
) -> float:
    """Return the factor of all time-outs of a command, whatever else it is given.

    A value that cannot be read is 1 here: the command itself refuses it.
    """
    parser = CommandParser(add_help=False, allow_abbrev=False)
    parser.add_argument(TIMEOUT_FACTOR.flag)
    with suppress(UsageError, ValueError):
        given, _ = parser.parse_known_args(list(words))
        text = given.timeout_factor or environ.get(TIMEOUT_FACTOR.env)
        text = text or _read_file((directory or Path.cwd()) / SETTINGS_FILE).get("timeout_factor")
        return _factor(text) if text else 1.0
    return 1.0


def default_cache(environ: Mapping[str, str]) -> Path:
    """Return the cache directory of the user that this environment belongs to."""
    base = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME", "/root")) / ".cache")
    return Path(base) / "cc-ci"


class CommandParser(argparse.ArgumentParser):
    """Raises instead of leaving, and names the option that was meant."""

    def error(self, message: str) -> NoReturn:
        """Raise a `UsageError`."""
        prefix = "unrecognized arguments: "
        if message.startswith(prefix):
            word = message.removeprefix(prefix).split()[0].split("=")[0]
            raise UnknownNameError(
                f"there is no option '{word}'",
                hint=_nearest(word, [flag for flag in self._option_string_actions if flag != "-h"]),
            )
        raise UsageError(message, hint=f"{self.prog} --help shows every option")


def build_parser(prog: str = "nox -s e2e --") -> argparse.ArgumentParser:
    """Return the parser of a run's command line; every value is left as the text it was."""
    parser = CommandParser(
        prog=prog,
        description="Test recipes on a real Swarm: install, upgrade, backup, restore, custom.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "selectors",
        nargs="*",
        metavar="RECIPE",
        help="a name from recipes.txt, a path or a git URL, each with an optional #REF",
    )
    for option in OPTIONS:
        about = f"{option.help} [{option.env}]"
        if option.metavar:
            parser.add_argument(option.flag, metavar=option.metavar, help=about)
        else:
            parser.add_argument(option.flag, action="store_const", const="1", help=about)
    return parser


def command_parser(prog: str, description: str) -> CommandParser:
    """Return the parser of another command, without any option; it raises as a run's does."""
    return CommandParser(prog=prog, description=description, allow_abbrev=False)


def option_named(name: str) -> Option:
    """Return one of a run's options, for a command that has it, too."""
    return next(option for option in OPTIONS if option.name == name)


def split(argv: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what a command line selects, and the options in it, each in a form to be passed on.

    Raises:
        UsageError: an unknown option, or a value that is missing.
    """
    given = vars(build_parser().parse_intermixed_args(list(argv)))
    selectors = tuple(given.pop("selectors"))
    options: list[str] = []
    for option in OPTIONS:
        value = given[option.name]
        if value is not None:
            options += [option.flag, value] if option.metavar else [option.flag]
    return selectors, tuple(options)


def _nearest(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(close)}?" if close else f"known are: {', '.join(known)}"


def _find(
    option: Option,
    given: Mapping[str, str | None],
    environ: Mapping[str, str],
    from_file: Mapping[str, str],
    path: Path,
) -> tuple[str | None, str]:
    on_line = given[option.name]
    if on_line is not None:
        return on_line, option.flag
    if environ.get(option.env):
        return environ[option.env], f"{option.env} in the environment"
    return from_file.get(option.name), str(path)


def _parse(option: Option, text: str, origin: str) -> object:
    try:
        return option.parse(text)
    except ValueError as error:
        raise UsageError(
            f"'{text}' is no value for {option.name}, from {origin}: {error}",
            hint=f"{option.flag} {option.metavar}: {option.help}",
        ) from error


def _refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    known = [option.env for option in OPTIONS if option.env.startswith(PREFIX)]
    known += [SKIP_GENERIC, *(f"{SKIP_GENERIC}_{stage.upper()}" for stage in Stage)]
    for name in environ:
        if name.startswith(PREFIX) and name not in known and not name.startswith(NODE):
            raise UnknownNameError(
                f"there is no setting '{name}', which the environment sets",
                hint=_nearest(name, known),
            )


def _read_file(path: Path) -> Mapping[str, str]:
    if not path.exists():
        return {}
    try:
        content = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    known = [option.name for option in OPTIONS if option.name not in NOT_IN_A_FILE]
    for key in content:
        if key not in known:
            raise UnknownNameError(
                f"there is no setting '{key}', which {path} sets", hint=_nearest(key, known)
            )
    paths = {option.name for option in OPTIONS if option.parse in (_path, _source)}
    return {
        key: _from(path.parent, _as_text(value)) if key in paths else _as_text(value)
        for key, value in content.items()
    }


def _from(directory: Path, value: str) -> str:
    """Return a relative path of a file as seen from that file's directory."""
    if not value or value.startswith("~") or ":" in value.partition("/")[0]:
        return value
    return str(directory / value)


def _as_text(value: object) -> str:
    if isinstance(value, list):
        return ",".join(str(item) for item in value)
    return str(value)


def _skip_generic(environ: Mapping[str, str]) -> frozenset[Stage]:
    def asked(name: str) -> bool:
        try:
            return _yes(environ.get(name, ""))
        except ValueError as error:
            raise UsageError(f"'{environ[name]}' is no value for {name}: {error}") from error

    if asked(SKIP_GENERIC):
        return frozenset(Stage)
    return frozenset(stage for stage in Stage if asked(f"{SKIP_GENERIC}_{stage.upper()}"))


def _nodes(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the endpoint that each `CCCI_NODE_<NAME>` names, by NAME; an empty one is unset."""
    found = {
        key.removeprefix(NODE): value
        for key, value in environ.items()
        if key.startswith(NODE) and value
    }
    for name, value in found.items():
        if not name or not value.startswith(NODE_SCHEMES):
            raise UsageError(
                f"'{value}' is no endpoint for a node, from {NODE}{name} in the environment",
                cause=f"it has to begin with {', '.join(NODE_SCHEMES)}, after a node's name",
                hint=f"{NODE}worker1=ssh://worker1",
            )
    return found


def skip_variables(skipped: frozenset[Stage]) -> tuple[str, ...]:
    """Return what stands before a command that leaves these stages' generic tests out."""
    if skipped == frozenset(Stage):
        return (f"{SKIP_GENERIC}=1",)
    return tuple(f"{SKIP_GENERIC}_{stage.upper()}=1" for stage in Stage if stage in skipped)
