"""Settings as typed fields, each with its origin: command line > environment > file > default.

Only the standard library is imported here, because `nox -l` reads this module too. The environment
is always a parameter. Unknown keys are refused, with the nearest known one named.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from harness.core.errors import UnknownNameError, UsageError
from harness.core.model import Stage
from harness.core.nearest import nearest
from harness.core.options import (
    OPTIONS,
    TIMEOUT_FACTOR,
    Option,
    parse_factor,
    parse_yes,
)

PROJECT = Path(__file__).resolve().parents[2]
SETTINGS_FILE = "cc-ci.toml"
PREFIX = "CCCI_"
SKIP_GENERIC = "CCCI_SKIP_GENERIC"
NODE = "CCCI_NODE_"  # and the name of a Swarm's node: how its engine is reached
NODE_SCHEMES = ("ssh://", "unix://", "tcp://")
# What decides whose code is run, or where a token is sent, is said for each run.
NOT_IN_A_FILE = frozenset({"trust", "overlays", "forge", "forge_api", "token_file"})


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
    trust: bool = False
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

    def shown(self) -> dict[str, str]:
        """Return what was set, as it is typed, each with its origin."""
        values = {name: getattr(self, name) for name in self.origins}
        typed = {n: ",".join(v) if isinstance(v, tuple) else str(v) for n, v in values.items()}
        return {name: f"{typed[name]} ({origin})" for name, origin in self.origins.items()} | {
            variable.removesuffix("=1"): "1 (environment)"
            for variable in skip_variables(self.skip_generic)
        }


def _recipes(environ: Mapping[str, str]) -> tuple[str, ...]:
    names = environ.get("RECIPE", "")
    if names and not names.strip():  # two variables that are not set: all recipes were not meant
        raise UsageError(
            "RECIPE in the environment is set and names no recipe",
            hint="unset it to test every recipe of recipes.txt, or name one",
        )
    return tuple(names.split())


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
        return parse_factor(text) if text else 1.0
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
                hint=nearest(word, [flag for flag in self._option_string_actions if flag != "-h"]),
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
                hint=nearest(name, known),
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
                f"there is no setting '{key}', which {path} sets", hint=nearest(key, known)
            )
    paths = {option.name for option in OPTIONS if option.is_path}
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
            return parse_yes(environ.get(name, ""))
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
