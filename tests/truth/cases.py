"""The lying recipes as data: what each does, and the word and the reason it has to end in.

`tests/lying/recipes/<name>/truth.toml` says it, beside the recipe's `history.toml`. What belongs to
a recipe's overlay lies in `tests/lying/overlays/<name>/`.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import msgspec

from harness.core.errors import UnknownNameError, UsageError
from harness.core.model import Origin, Outcome, Stage, WarningCode
from harness.core.nearest import nearest

LYING = Path(__file__).resolve().parents[1] / "lying"
RECIPES = LYING / "recipes"
OVERLAYS = LYING / "overlays"
TRUTH = "truth.toml"
LIES = {
    0: "none of those below, or none at all",
    1: "after a rollback the old version answers",
    2: "the status that is read is that of an earlier update",
    3: "base and head are the same version",
    4: "the head was deployed in the base's place",
    5: "something answered, and it was not the app",
    6: "the backup is empty, or lacks a volume",
    7: "the restore did nothing, or half of it",
    8: "everything was skipped",
    9: "the recipe is blamed for the test bed",
    10: "something laid over the head hides it",
    11: "an update that is over is waited for",
    12: "a health check kills what only starts slowly",
    13: "a secret stands in what is published",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """One assertion's result that has to be there; all but the outcome are regular expressions."""

    stage: Stage
    nodeid: str
    outcome: Outcome
    origin: Origin = Origin.OVERLAY
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One recipe of which the verdict is known.

    Attributes:
        name: the recipe's name, which is its folder's.
        what: what it does, in one sentence.
        lie: the number of the way to lie in `LIES`.
        word: the run's word.
        exit_code: the run's exit code.
        stage: where it must be decided; empty means wherever.
        reason: a regular expression that must be found in the verdict's cause; in the file it may
            be a list, of which one has to be. For a pass, which has no cause, it is empty.
        options: what the harness is called with.
        environ: what is set in its environment.
        stages: the words of stages, for those that matter.
        assertions: results of single assertions that have to be there.
        warnings: the codes of warnings that have to be there; a healthy recipe that must not
            warn has an empty list, and without the key they are not looked at.
        canaries: the names of the files that the recipe's own code has left behind, all of them.
        nightly: whether only the nightly session runs it, because another case covers the same
            mechanism.
    """

    name: str
    what: str
    lie: int
    word: Outcome
    exit_code: int
    stage: str = ""
    reason: str = ""
    options: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    stages: Mapping[Stage, Outcome] = field(default_factory=dict)
    assertions: tuple[Expected, ...] = ()
    warnings: tuple[WarningCode, ...] | None = None
    canaries: tuple[str, ...] = ()
    nightly: bool = False

    @classmethod
    def load(cls, folder: Path) -> "Case":
        """Read the case in a recipe's folder.

        Raises:
            UsageError: its file cannot be read, or says something unknown or wrong.
        """
        path = folder / TRUTH
        try:
            return cls.parse(folder.name, tomllib.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, UsageError) as error:
            raise UsageError(f"{path} cannot be used: {error}") from error

    @classmethod
    def parse(cls, name: str, raw: Mapping[str, Any]) -> "Case":
        """Read the content of a `truth.toml`.

        Raises:
            UnknownNameError: a key is unknown.
            ValueError: a key is missing, or a value is none of those that are possible.
        """
        known = _known(cls, raw)
        reason = known.get("reason", "")
        known |= {
            "name": name,
            "reason": "|".join(reason) if isinstance(reason, list) else reason,
            "assertions": [_known(Expected, one) for one in known.get("assertions", ())],
        }
        case = msgspec.convert(known, cls)
        _check(case)
        return case

    @property
    def folder(self) -> Path:
        """Where its history lies."""
        return RECIPES / self.name


def _known(kind: type, raw: Mapping[str, Any]) -> dict[str, Any]:
    names = [one.name.replace("_", "-") for one in fields(kind) if one.name != "name"]
    for key in raw:
        if key not in names:
            raise UnknownNameError(f"there is no key '{key}'", hint=nearest(key, names, most=1))
    return {key.replace("-", "_"): value for key, value in raw.items()}


def _check(case: Case) -> None:
    if case.lie not in LIES:
        raise ValueError(f"there is no lie number {case.lie}")
    if case.stage not in ("", "teardown", *Stage):
        raise ValueError(f"there is no stage '{case.stage}'")
    for pattern in (case.reason, *(p for a in case.assertions for p in (a.nodeid, a.message))):
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{pattern} is no regular expression: {error}") from error
    passed = case.word is Outcome.PASSED
    if passed != (not case.reason) or (not passed and re.search(case.reason, "")):
        raise ValueError("a pass has no reason, and any other word has one that says something")


def names(recipes: Path = RECIPES) -> tuple[str, ...]:
    """Return the names of all cases."""
    return tuple(sorted(path.parent.name for path in recipes.glob(f"*/{TRUTH}")))


def load(named: Sequence[str] = (), *, recipes: Path = RECIPES) -> tuple[Case, ...]:
    """Return the cases of those names, or all of them, by name.

    Raises:
        UnknownNameError: there is no such case.
        UsageError: one of them cannot be used.
    """
    known = names(recipes)
    for name in named:
        if name not in known:
            hint = nearest(name, known)
            raise UnknownNameError(f"there is no lying recipe '{name}'", hint=hint)
    return tuple(Case.load(recipes / name) for name in known if not named or name in named)
