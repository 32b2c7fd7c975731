"""What the harness has to know of one recipe: `tests/<recipe>/recipe_meta.py`, typed and checked.

The file is this project's own code, so it is run. It sets capital names and nothing else counts.
"""

from __future__ import annotations

import runpy
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from harness.core.errors import UsageError
from harness.core.measured import Measure
from harness.core.model import Stage, WarningCode
from harness.core.nearest import nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeMeta:
    """The fields a `recipe_meta.py` may set. They are named as in the file.

    Attributes:
        SKIP_GENERIC: True, or the names of the stages whose generic assertions are left out.
        HEALTH_PATH: the path that is asked for over HTTP; empty means the one that its router
            names, else `/`, and where that has no page, the one that its health check asks.
        HEALTH_STATUS: the status it has to answer with, before any redirect is followed; None means
            any below 400 in the end, or a login.
        HEALTH_SERVICE: the service that answers, as named in the compose file; empty means the one
            that an HTTP router of Traefik leads to, else one whose health check asks by HTTP. None
            says that the app has no page.
        HEALTH_PORT: its port in the container; None means the one that its router leads to.
        MARKER: a text that the body must hold, which proves that it is this app that answers.
        DEPLOY_TIMEOUT: seconds to wait for a deployment; None means what the recipe's label says.
        EXTRA_ENV: variables that go over the recipe's `.env.sample`.
        UPGRADE_BASE: the tag to upgrade from; empty means the newest release before head.
        BACKUP_CAPABLE: whether it can be backed up; None means what its labels say. True without
            such a label fails the backup; False skips it.
        NO_WITNESS: volumes, by short name, in which no witness file is put and which the head may
            drop or leave out of the backup, each with the reason.
        MAX_LOSS: volumes by short name, or folders in them as `VOLUME/FOLDER`, each with the share
            (0 to 1) of their files that an upgrade or a restore may lose; 1 turns the check off.
        KNOWN_LEAKS: secrets, by the compose file's name, that the app shows on purpose, each with
            the reason: they are masked and listed, and do not fail the run.
        HOST_ACCESS: what the recipe may ask of the host, such as `bind:/var/run/docker.sock` or
            `port:25`, each with the reason; whatever else it asks for is refused.
        ACCEPT_WARNINGS: warnings of a run, by code, that the recipe accepts, each with the reason:
            they are shown as accepted, and `--strict` does not fail on them.
        EXPECTED_SKIPS: stages that cannot run for this recipe, each with the reason. None means
            that any stage may be skipped; a dict means that a skip which is not in it is no pass.
        REQUIREMENTS: what the machine must have: `memory_gib`, `disk_gib`, `processors` (numbers),
            `engine` (a version), `architecture` (as `docker info` says it), `ipvs` (True).
        LIMITS: what each container may take, where the usual is too little: `memory_gib`, `pids`,
            `log_mib` (numbers).
        MAX_GROWTH: the factor by which `memory`, `image`, `volume` or `healthy` (the time until the
            app is healthy) may be above that of the last green run; past it, the run has failed.
    """

    SKIP_GENERIC: bool | tuple[str, ...] = False
    HEALTH_PATH: str = ""
    HEALTH_STATUS: int | None = None
    HEALTH_SERVICE: str | None = ""
    HEALTH_PORT: int | None = None
    MARKER: str = ""
    DEPLOY_TIMEOUT: int | None = None
    EXTRA_ENV: Mapping[str, str] = field(default_factory=dict)
    UPGRADE_BASE: str = ""
    BACKUP_CAPABLE: bool | None = None
    NO_WITNESS: Mapping[str, str] = field(default_factory=dict)
    MAX_LOSS: Mapping[str, float] = field(default_factory=dict)
    KNOWN_LEAKS: Mapping[str, str] = field(default_factory=dict)
    HOST_ACCESS: Mapping[str, str] = field(default_factory=dict)
    ACCEPT_WARNINGS: Mapping[str, str] = field(default_factory=dict)
    EXPECTED_SKIPS: Mapping[str, str] | None = None
    REQUIREMENTS: Mapping[str, Any] = field(default_factory=dict)
    LIMITS: Mapping[str, float] = field(default_factory=dict)
    MAX_GROWTH: Mapping[str, float] = field(default_factory=dict)

    def changed(self) -> dict[str, object]:
        """Return the fields that differ from their defaults."""
        default = RecipeMeta()
        return {
            one.name: value
            for one in fields(self)
            if (value := getattr(self, one.name)) != getattr(default, one.name)
        }

    def asks_for_a_page(self) -> bool:
        """Whether the file says something of a page that the app must have."""
        page = (self.HEALTH_SERVICE, self.HEALTH_PORT, self.HEALTH_PATH, self.HEALTH_STATUS)
        return any(page) or bool(self.MARKER)

    def skip_generic(self) -> frozenset[Stage]:
        """Return the stages whose generic assertions are left out."""
        if isinstance(self.SKIP_GENERIC, bool):
            return frozenset(Stage) if self.SKIP_GENERIC else frozenset()
        return frozenset(Stage(name) for name in self.SKIP_GENERIC)

    def expected_skips(self) -> frozenset[Stage] | None:
        """Return the stages that are expected to be skipped; None means that it is not said."""
        if self.EXPECTED_SKIPS is None:
            return None
        return frozenset(Stage(name) for name in self.EXPECTED_SKIPS)


def load(path: Path | None) -> RecipeMeta:
    """Return what the file sets, over the defaults; no file (None) means the defaults.

    Raises:
        UsageError: the file fails, or sets an unknown name or a value of the wrong type.
    """
    if path is None:
        return RecipeMeta()
    found = _run(path)
    for name in found:
        if name.upper() in _KINDS and not name.isupper():
            raise UsageError(
                f"{path} sets {name}, and only capital names count", hint=f"write {name.upper()}"
            )
    names = {name: value for name, value in found.items() if name.isupper()}
    values = {name: _checked(path, name, value) for name, value in names.items() if name[0] != "_"}
    return RecipeMeta(**values)


def _run(path: Path) -> dict[str, object]:
    # run_path compiles in memory: an import would leave a __pycache__ in the recipe's folder, and
    # take the name recipe_meta for the first recipe's file.
    try:
        return runpy.run_path(str(path))
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        inside = [frame.lineno for frame in frames if frame.filename == str(path)]
        number = error.lineno if isinstance(error, SyntaxError) else (inside or [None])[-1]
        where = f"{path}, line {number}" if number else str(path)
        raise UsageError(
            f"{where}: {type(error).__name__}: {error}",
            hint="it is run before anything is deployed, and may only set capital names",
        ) from error


_Number = Annotated[int, Meta(gt=0)]
_Reason = Annotated[str, Meta(pattern=r"\S")]


class _Limits(Struct, kw_only=True, forbid_unknown_fields=True):
    memory_gib: Annotated[float, Meta(gt=0)] = 1
    pids: _Number = 1
    log_mib: _Number = 1


class _Requirements(Struct, kw_only=True, forbid_unknown_fields=True):
    memory_gib: float = 0
    disk_gib: float = 0
    processors: int = 0
    engine: Annotated[str, Meta(pattern=r"\d")] = "0"
    architecture: str = ""
    ipvs: bool = True

    def __post_init__(self) -> None:
        if not self.ipvs:
            raise ValueError("ipvs can only be True")


LIMITS, REQUIREMENTS = _Limits.__struct_fields__, _Requirements.__struct_fields__
_STAGES = ", ".join(Stage)
# What each field holds: its type for msgspec, and the same in words.
_KINDS: Mapping[str, tuple[object, str]] = {
    "SKIP_GENERIC": (bool | tuple[Stage, ...], f"True, False or a list of stages ({_STAGES})"),
    "HEALTH_PATH": (Annotated[str, Meta(pattern="^/")], "a path that begins with '/'"),
    "HEALTH_STATUS": (_Number | None, "a number above 0, or None"),
    "HEALTH_SERVICE": (str | None, "a text, or None for an app without a page"),
    "HEALTH_PORT": (_Number | None, "a number above 0, or None"),
    "MARKER": (str, "a text"),
    "DEPLOY_TIMEOUT": (_Number | None, "a number above 0, or None"),
    "EXTRA_ENV": (dict[str, str], "a dict of texts to texts"),
    "UPGRADE_BASE": (str, "a text"),
    "BACKUP_CAPABLE": (bool | None, "True, False or None"),
    "NO_WITNESS": (dict[str, _Reason], "a dict of volumes to reasons"),
    "MAX_LOSS": (
        dict[str, Annotated[float, Meta(ge=0, le=1)]],
        "a dict of volumes, or VOLUME/FOLDER, to shares from 0 to 1",
    ),
    "KNOWN_LEAKS": (dict[str, _Reason], "a dict of secrets to reasons"),
    "HOST_ACCESS": (
        dict[str, _Reason],
        "a dict of what the recipe may ask of the host to reasons",
    ),
    "ACCEPT_WARNINGS": (dict[WarningCode, _Reason], "a dict of warning codes to reasons"),
    "EXPECTED_SKIPS": (
        dict[Stage, _Reason] | None,
        f"None, or a dict of stages ({_STAGES}) to reasons",
    ),
    "MAX_GROWTH": (
        dict[Measure, Annotated[float, Meta(gt=1)]],
        f"a dict of {', '.join(Measure)} to factors above 1",
    ),
    "LIMITS": (_Limits, f"a dict of {', '.join(LIMITS)} to numbers above 0"),
    "REQUIREMENTS": (_Requirements, f"a dict with {', '.join(REQUIREMENTS)}"),
}


def _checked(path: Path, name: str, value: object) -> Any:  # noqa: ANN401  its kind says which
    if name not in _KINDS:
        raise UsageError(
            f"{path} sets {name}, which is no field of a recipe's meta",
            hint=nearest(name, _KINDS, most=1),
        )
    kind, expected = _KINDS[name]
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"{path} sets {name} = {value!r}",
            hint=_wrong_reason(name, value) or f"it must be {expected}",
        ) from error
    if isinstance(value, list):
        return tuple(value)
    return dict(value) if isinstance(value, Mapping) else value


def _wrong_reason(name: str, value: object) -> str:
    """Return which item of ACCEPT_WARNINGS or HOST_ACCESS is unknown or has no reason, or empty."""
    done = {"ACCEPT_WARNINGS": "accepted", "HOST_ACCESS": "allowed"}.get(name)
    for item, reason in value.items() if done and isinstance(value, Mapping) else ():
        if name == "ACCEPT_WARNINGS" and item not in list(WarningCode):
            return f"unknown warning code '{item}': {nearest(str(item), WarningCode, most=1)}"
        if not isinstance(reason, str) or not reason.strip():
            return f"say why {item} is {done}: {{'{item}': 'the reason'}}"
    return ""
