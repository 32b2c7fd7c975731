"""Settings as typed fields, each with its origin: command line > environment > file > default.

Only the standard library is imported here, because `nox -l` reads this module too. The environment
is always a parameter. Unknown keys are refused, with the nearest known one named.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.core import command_line
from harness.core.errors import UnknownNameError, UsageError
from harness.core.model import Stage
from harness.core.nearest import nearest
from harness.core.options import OPTIONS, Option, parse_yes
from harness.core.project import home

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
        """Read the settings of a run from its command line, without the command; see `read`."""
        return cls.read(command_line.parse(["run", *argv]), environ, directory=directory)

    @classmethod
    def read(
        cls, given: Mapping[str, Any], environ: Mapping[str, str], *, directory: Path | None = None
    ) -> Settings:
        """Read the settings; RECIPE names the recipes of a run if its command line names none.

        Args:
            given: what a command line says, as `command_line.parse` returns it.
            environ: the environment.
            directory: where cc-ci.toml may lie; None means the project's, beside recipes.txt.

        Raises:
            UsageError: an unknown key, or a value that cannot be read.
        """
        _refuse_unknown_variables(environ)
        selectors = tuple(given.get("selectors", ()))
        if not selectors and given["command"] in ("run", "plan"):
            selectors = _recipes(environ)
        path = (directory or home()) / SETTINGS_FILE
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
        values.setdefault("output", home() / "runs")
        skip = _skip_generic(environ)
        return cls(
            selectors=selectors, skip_generic=skip, nodes=_nodes(environ), origins=origins, **values
        )

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


def default_cache(environ: Mapping[str, str]) -> Path:
    """Return the cache directory of the user that this environment belongs to."""
    base = environ.get("XDG_CACHE_HOME") or str(Path(environ.get("HOME", "/root")) / ".cache")
    return Path(base) / "cc-ci"


def _find(
    option: Option,
    given: Mapping[str, Any],
    environ: Mapping[str, str],
    from_file: Mapping[str, str],
    path: Path,
) -> tuple[str | None, str]:
    on_line = given.get(option.name)
    if on_line is not None:
        return on_line, option.flag
    if environ.get(option.env):
        return environ[option.env], f"{option.env} in the environment"
    return from_file.get(option.name), str(path)


def _parse(option: Option, text: str, origin: str) -> object:
    try:
        return option.read(text)
    except ValueError as error:
        raise UsageError(
            f"invalid value '{text}' for {option.name}, from {origin}: {error}",
            hint=f"{option.flag}: {option.help}",
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
            raise UsageError(f"invalid value '{environ[name]}' for {name}: {error}") from error

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
