"""Variables in compose files, filled in as `docker stack deploy` fills them in.

Measured against Docker CLI 28: values only, never keys; `$$` is a dollar sign; a default ends at
the first `}`; there is no `${NAME:+...}`. A text in which something was filled in becomes the
number or the truth value that its place wants (cli/compose/loader/interpolate.go).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from harness.core.errors import InvalidRecipeError

MOST_VALUES = 100_000
MOST_CHARACTERS = 4_000_000  # of all values, with their variables filled in
DEEPEST = 60

# Docker knows the forms with a default without braces as well: `$TAG-alpine` is TAG, or `alpine`.
_NAME = r"[_a-z][_a-z0-9]*(?::?[-?][^}]*)?"
_VARIABLE = re.compile(
    rf"\$(?:(?P<escaped>\$)|(?P<named>{_NAME})|\{{(?P<braced>{_NAME})\}}|(?P<invalid>))",
    re.IGNORECASE | re.ASCII,
)
_WHOLE = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)
_TRUE, _FALSE = ("y", "yes", "true", "on"), ("n", "no", "false", "off")


def _number(text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise ValueError(text)
    return int(text)


def _decimal(text: str) -> float:
    if not _DECIMAL.fullmatch(text):
        raise ValueError(text)
    return float(text)


def _switch(text: str) -> bool:
    if text.lower() not in (*_TRUE, *_FALSE):
        raise ValueError(text)
    return text.lower() in _TRUE


# Places by their keys: `*` is any key, `[]` an item of a list.
_CASTS: Mapping[str, Callable[[str], int | float | bool]] = {
    **dict.fromkeys(
        (
            *(f"services.*.{kind}.[].mode" for kind in ("configs", "secrets")),
            *("services.*.healthcheck.retries", "services.*.oom_score_adj"),
            *("services.*.deploy.replicas", "services.*.deploy.restart_policy.max_attempts"),
            *(f"services.*.deploy.{kind}_config.parallelism" for kind in ("update", "rollback")),
            "services.*.deploy.placement.max_replicas_per_node",
            *(f"services.*.ports.[].{kind}" for kind in ("target", "published")),
            *(f"services.*.ulimits.*{kind}" for kind in ("", ".hard", ".soft")),
        ),
        _number,
    ),
    **{
        f"services.*.deploy.{kind}_config.max_failure_ratio": _decimal
        for kind in ("update", "rollback")
    },
    **dict.fromkeys(
        (
            "services.*.healthcheck.disable",
            *(f"services.*.{kind}" for kind in ("privileged", "read_only", "stdin_open", "tty")),
            *(f"services.*.volumes.[].{kind}" for kind in ("read_only", "volume.nocopy")),
            *(f"networks.*.{kind}" for kind in ("external", "internal", "attachable")),
            *(f"{kind}.*.external" for kind in ("volumes", "secrets", "configs")),
        ),
        _switch,
    ),
}
_BY_LENGTH: dict[int, list[tuple[list[str], Callable[[str], int | float | bool]]]] = {}
for _place, _cast in _CASTS.items():
    _BY_LENGTH.setdefault(_place.count("."), []).append((_place.split("."), _cast))


@dataclass(slots=True, kw_only=True)
class Interpolator:
    """Fills the variables of a recipe's files in, one after the other.

    Attributes:
        name: of the file that is being read, for messages.
        env: the variables and their values.
        unset: gathers the names that had neither a value nor a default; they became nothing.
    """

    env: Mapping[str, str]
    name: str = ""
    unset: set[str] = field(default_factory=set)
    _values: int = 0
    _characters: int = 0

    def walk(self, value: object, where: str, depth: int = 0) -> object:
        """Return the value with every text in it filled in.

        Args:
            value: what the YAML file holds.
            where: the keys that lead to it, with dots between them.
            depth: how many values it lies in.

        Raises:
            InvalidRecipeError: a `$` that means nothing, a variable that is required and not set,
                or a file whose aliases unfold without end.
        """
        if depth > DEEPEST:
            self._refuse()
        self.count(value if isinstance(value, str) else "")
        if isinstance(value, str):
            filled = self.fill(value, where)
            return value if filled == value else self._cast(filled, where)
        if isinstance(value, dict):
            found = {}
            for key, item in value.items():
                self._measure(str(key))
                found[key] = self.walk(item, f"{where}.{key}", depth + 1)
            return found
        if isinstance(value, list):
            return [self.walk(item, f"{where}.[]", depth + 1) for item in value]
        return value

    def fill(self, text: str, where: str) -> str:
        """Return the text filled in.

        Raises:
            InvalidRecipeError: as `walk`.
        """
        return _VARIABLE.sub(self._filler(text, where), text) if "$" in text else text

    def _cast(self, text: str, where: str) -> str | float:
        """Return a text that was filled in, as what its place wants.

        Raises:
            InvalidRecipeError: it cannot be that.
        """
        keys = where.split(".")
        for pattern, cast in _BY_LENGTH.get(len(keys) - 1, ()):
            if all(one in ("*", key) for one, key in zip(pattern, keys, strict=True)):
                try:
                    return cast(text)
                except ValueError as error:
                    wanted = "true or false" if cast is _switch else "a number"
                    raise InvalidRecipeError(
                        f"{self.name}: {_shown(where)} is '{text}' with its variables filled in",
                        hint=f"it must be {wanted}",
                    ) from error
        return text

    def _filler(self, text: str, where: str) -> Callable[[re.Match[str]], str]:
        def value_of(match: re.Match[str]) -> str:
            if match["escaped"]:
                return "$"
            if match["invalid"] is not None:
                raise InvalidRecipeError(
                    f"{self.name}: in {_shown(where)}, a '$' stands before what is no variable",
                    hint="write $NAME, ${NAME}, ${NAME:-default} or ${NAME:?message};"
                    " a dollar sign itself is $$",
                    detail=text,
                )
            found = self._lookup(match["named"] or match["braced"], where)
            self._measure(found)
            return found

        return value_of

    def _lookup(self, written: str, where: str) -> str:
        """Return the value of what stands behind a dollar sign.

        Docker looks for the separators one after the other, wherever they stand: `${A:?no-value}`
        is the variable `A:?no`, with the default `value`.
        """
        for separator in (":-", "-"):
            name, found, default = written.partition(separator)
            if found:
                value = self.env.get(name)
                return default if value is None or (not value and separator == ":-") else value
        name, required, why = written.partition(":?" if ":?" in written else "?")
        value = self.env.get(name)
        if required and (value is None or (not value and required == ":?")):
            raise InvalidRecipeError(
                f"{self.name}: in {_shown(where)}, the variable {name} is required and not set",
                cause=why,
                hint=f"give {name} a value in .env.sample, or in EXTRA_ENV of the recipe's meta",
            )
        if value is None:
            self.unset.add(name)
        return value or ""

    def count(self, text: str) -> None:
        """Count one more value, of whichever file.

        Raises:
            InvalidRecipeError: it is one too many, or it has a null character.
        """
        self._values += 1
        if self._values > MOST_VALUES:
            self._refuse()
        self._measure(text)

    def _measure(self, text: str) -> None:
        self._characters += len(text)
        if self._characters > MOST_CHARACTERS:
            raise InvalidRecipeError(
                f"{self.name} comes to more than the limit of {MOST_CHARACTERS} characters",
                cause="YAML aliases or variables multiply, there or in the files before",
                hint="write less",
            )
        if "\0" in text:
            raise InvalidRecipeError(f"{self.name} has a null character in it")

    def _refuse(self) -> NoReturn:
        raise InvalidRecipeError(
            f"{self.name} holds too many values, or is nested too deeply",
            cause="YAML aliases unfold into each other, or the files together are too large",
            hint=f"all of them may have {MOST_VALUES} values",
        )


def _shown(where: str) -> str:
    return where.replace(".[]", "[]")
