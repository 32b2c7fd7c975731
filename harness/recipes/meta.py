"""What the harness has to know of one recipe: `tests/<recipe>/recipe_meta.py`, typed and checked.

The file is this project's own code, so it is run. It sets capital names and nothing else counts.
"""

from __future__ import annotations

import difflib
import runpy
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from harness.core.errors import UsageError
from harness.core.measured import Measure
from harness.core.model import Stage, WarningCode

LIMITS: Mapping[str, type | tuple[type, ...]] = {
    "memory_gib": (int, float),
    "pids": int,
    "log_mib": int,
}
REQUIREMENTS: Mapping[str, type | tuple[type, ...]] = {
    "memory_gib": (int, float),
    "disk_gib": (int, float),
    "processors": int,
    "engine": str,
    "architecture": str,
    "ipvs": bool,
}


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    expected: str
    fits: Callable[[object], bool]
    wrong: Callable[[object], str] = lambda _: ""  # what exactly is wrong, if that can be said


def _is_stages(value: object) -> bool:
    return isinstance(value, list | tuple) and all(item in list(Stage) for item in value)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_env(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(item, str) for pair in value.items() for item in pair
    )


def _is_reasons(value: object) -> bool:
    return _is_env(value) and all(reason.strip() for reason in value.values())  # type: ignore[attr-defined]  # it is a Mapping then


def _is_skips(value: object) -> bool:
    return _is_reasons(value) and all(name in list(Stage) for name in value)  # type: ignore[attr-defined]  # as above


def _is_warnings(value: object) -> bool:
    return _is_reasons(value) and all(code in list(WarningCode) for code in value)  # type: ignore[attr-defined]  # as above


def _why_no_warnings(value: object) -> str:
    """Return what is wrong with a dict of warnings: a code that is unknown, or a missing reason."""
    for code, reason in value.items() if isinstance(value, Mapping) else ():
        if code not in list(WarningCode):
            near = difflib.get_close_matches(str(code), list(WarningCode), n=1)
            meant = f"did you mean {near[0]}?" if near else f"known are {', '.join(WarningCode)}"
            return f"unknown warning code '{code}': {meant}"
        if not isinstance(reason, str) or not reason.strip():
            return f"say why {code} is accepted: {{'{code}': 'the reason'}}"
    return ""


def _why_no_access(value: object) -> str:
    """Return which item of HOST_ACCESS has no reason."""
    for item, reason in value.items() if isinstance(value, Mapping) else ():
        if not isinstance(reason, str) or not reason.strip():
            return f"say why {item} is allowed: {{'{item}': 'the reason'}}"
    return ""


def _is_growth(pair: tuple[object, object]) -> bool:
    name, factor = pair
    known = name in list(Measure)
    return known and isinstance(factor, int | float) and not isinstance(factor, bool) and factor > 1


def _is_share(pair: tuple[object, object]) -> bool:
    name, share = pair
    number = isinstance(share, int | float) and not isinstance(share, bool)
    return isinstance(name, str) and number and 0 <= share <= 1  # type: ignore[operator]  # a number


def _is_requirements(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        name in REQUIREMENTS
        and isinstance(wanted, REQUIREMENTS[name])
        and isinstance(wanted, bool) == (REQUIREMENTS[name] is bool)
        and wanted is not False
        and (name != "engine" or any(letter.isdigit() for letter in str(wanted)))
        for name, wanted in value.items()
    )


def _is_limit(pair: tuple[object, object]) -> bool:
    name, most = pair
    number = name in LIMITS and isinstance(most, LIMITS[name]) and not isinstance(most, bool)  # type: ignore[index]  # a key of it
    return number and most > 0  # type: ignore[operator]  # a number


_STAGE_NAMES = ", ".join(Stage)
_TEXT = _Kind(expected="a text", fits=lambda value: isinstance(value, str))
_NUMBER = _Kind(expected="a number above 0", fits=_is_number)
_NUMBER_OR_NONE = _Kind(
    expected="a number above 0, or None", fits=lambda value: value is None or _is_number(value)
)
_KINDS = {
    "SKIP_GENERIC": _Kind(
        expected=f"True, False or a list of stages ({_STAGE_NAMES})",
        fits=lambda value: isinstance(value, bool) or _is_stages(value),
    ),
    "HEALTH_PATH": _Kind(
        expected="a path that begins with '/'",
        fits=lambda value: isinstance(value, str) and value.startswith("/"),
    ),
    "HEALTH_STATUS": _NUMBER_OR_NONE,
    "HEALTH_SERVICE": _Kind(
        expected="a text, or None for an app without a page",
        fits=lambda value: value is None or isinstance(value, str),
    ),
    "HEALTH_PORT": _NUMBER_OR_NONE,
    "MARKER": _TEXT,
    "DEPLOY_TIMEOUT": _NUMBER_OR_NONE,
    "EXTRA_ENV": _Kind(expected="a dict of texts to texts", fits=_is_env),
    "UPGRADE_BASE": _TEXT,
    "BACKUP_CAPABLE": _Kind(
        expected="True, False or None", fits=lambda value: value is None or isinstance(value, bool)
    ),
    "NO_WITNESS": _Kind(expected="a dict of volumes to reasons", fits=_is_reasons),
    "MAX_LOSS": _Kind(
        expected="a dict of volumes, or VOLUME/FOLDER, to shares from 0 to 1",
        fits=lambda value: isinstance(value, Mapping) and all(map(_is_share, value.items())),
    ),
    "KNOWN_LEAKS": _Kind(expected="a dict of secrets to reasons", fits=_is_reasons),
    "HOST_ACCESS": _Kind(
        expected="a dict of what the recipe may ask of the host to reasons",
        fits=_is_reasons,
        wrong=_why_no_access,
    ),
    "ACCEPT_WARNINGS": _Kind(
        expected="a dict of warning codes to reasons", fits=_is_warnings, wrong=_why_no_warnings
    ),
    "EXPECTED_SKIPS": _Kind(
        expected=f"None, or a dict of stages ({_STAGE_NAMES}) to reasons",
        fits=lambda value: value is None or _is_skips(value),
    ),
    "MAX_GROWTH": _Kind(
        expected=f"a dict of {', '.join(Measure)} to factors above 1",
        fits=lambda value: isinstance(value, Mapping) and all(map(_is_growth, value.items())),
    ),
    "LIMITS": _Kind(
        expected=f"a dict of {', '.join(LIMITS)} to numbers above 0",
        fits=lambda value: isinstance(value, Mapping) and all(map(_is_limit, value.items())),
    ),
    "REQUIREMENTS": _Kind(expected=f"a dict with {', '.join(REQUIREMENTS)}", fits=_is_requirements),
}


def _checked(path: Path, name: str, value: object) -> Any:  # noqa: ANN401  its kind says which
    kind = _KINDS.get(name)
    if kind is None:
        near = difflib.get_close_matches(name, _KINDS, n=1)
        raise UsageError(
            f"{path} sets {name}, which is no field of a recipe's meta",
            hint=f"did you mean {near[0]}?" if near else f"the fields are {', '.join(_KINDS)}",
        )
    if not kind.fits(value):
        raise UsageError(
            f"{path} sets {name} = {value!r}",
            hint=kind.wrong(value) or f"it must be {kind.expected}",
        )
    if isinstance(value, list):
        return tuple(value)
    return dict(value) if isinstance(value, Mapping) else value
