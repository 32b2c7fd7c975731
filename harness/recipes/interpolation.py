"""Variables in compose files, filled in as `docker stack deploy` fills them in.

Measured against Docker CLI 28: values only, never keys; `$$` is a dollar sign; a default ends at
the first `}`; there is no `${NAME:+...}`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from harness.errors import InvalidRecipeError

MOST_VALUES = 100_000
DEEPEST = 60

_VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)"
    r"|(?P<named>[_a-z][_a-z0-9]*)"
    r"|\{(?P<braced>[_a-z][_a-z0-9]*)(?:(?P<how>:?[-?])(?P<rest>[^}]*))?\}"
    r"|(?P<invalid>))",
    re.IGNORECASE | re.ASCII,
)


@dataclass(slots=True, kw_only=True)
class Interpolator:
    """Fills the variables of one file in.

    Attributes:
        path: the file, for messages.
        env: the variables and their values.
        unset: gathers the names that had neither a value nor a default; they became nothing.
    """

    path: Path
    env: Mapping[str, str]
    unset: set[str] = field(default_factory=set)
    _values: int = 0

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
        self._values += 1
        if self._values > MOST_VALUES or depth > DEEPEST:
            self._refuse()
        if isinstance(value, str):
            return self.fill(value, where)
        if isinstance(value, dict):
            items = value.items()
            return {key: self.walk(item, f"{where}.{key}", depth + 1) for key, item in items}
        if isinstance(value, list):
            return [self.walk(item, f"{where}[]", depth + 1) for item in value]
        return value

    def fill(self, text: str, where: str) -> str:
        """Return the text filled in.

        Raises:
            InvalidRecipeError: as `walk`.
        """
        return _VARIABLE.sub(self._filler(text, where), text) if "$" in text else text

    def _filler(self, text: str, where: str) -> Callable[[re.Match[str]], str]:
        def value_of(match: re.Match[str]) -> str:
            if match["escaped"]:
                return "$"
            if match["invalid"] is not None:
                raise InvalidRecipeError(
                    f"{self.path}: in {where}, a '$' stands before what is no variable",
                    hint="write $NAME, ${NAME}, ${NAME:-default} or ${NAME:?message};"
                    " a dollar sign itself is $$",
                    detail=text,
                )
            return self._lookup(match, where)

        return value_of

    def _lookup(self, match: re.Match[str], where: str) -> str:
        name = match["named"] or match["braced"]
        how, rest = match["how"] or "", match["rest"] or ""
        value = self.env.get(name)
        if value is not None and (value or not how.startswith(":")):
            return value
        if how.endswith("?"):
            raise InvalidRecipeError(
                f"{self.path}: in {where}, the variable {name} is required and has no value",
                cause=rest,
                hint=f"give {name} a value in .env.sample, or in EXTRA_ENV of the recipe's meta",
            )
        if not how:
            self.unset.add(name)
        return rest

    def _refuse(self) -> NoReturn:
        raise InvalidRecipeError(
            f"{self.path} holds too many values, or is nested too deeply",
            cause="its YAML aliases unfold into each other",
            hint="write them out",
        )
