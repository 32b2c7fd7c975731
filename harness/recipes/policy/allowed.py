"""What the owner of the machine allows a recipe, line by line, each with a reason; else nothing.

The lines are HOST_ACCESS in `tests/<recipe>/recipe_meta.py`, beside the harness; nothing in the
recipe's own repository counts.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from harness.core.errors import RefusedError, UsageError
from harness.core.model import RunWarning, WarningCode
from harness.recipes.policy.asked import KINDS, Ask

DEFAULT = "by default a recipe has no access to the host"
NAMED = 10  # things in the first line of a refusal; the lines below it have all


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What one recipe is allowed.

    Attributes:
        recipe: its name.
        lines: the items that are allowed, each with the reason.
        trusted: whether everything is, on a machine of the user's own.
        overlays: the directory in which its overlay lies, for messages.
    """

    recipe: str = ""
    lines: Mapping[str, str] = field(default_factory=dict)
    trusted: bool = False
    overlays: str = "tests"

    @classmethod
    def of(
        cls, recipe: str, lines: Mapping[str, str], *, trusted: bool, overlays: str = "tests"
    ) -> Policy:
        """Return the policy of a recipe's meta.

        Raises:
            UsageError: a line allows nothing that there is.
        """
        for item in lines:
            if wrong := problem(item):
                raise UsageError(f"HOST_ACCESS in recipe_meta.py: {wrong}")
        return cls(recipe=recipe, lines=lines, trusted=trusted, overlays=overlays)

    def require(self, asks: Iterable[Ask], *, by: str = DEFAULT) -> None:
        """Let a recipe be deployed that asks for nothing but what is allowed.

        Args:
            asks: what it asks for.
            by: why that is refused.

        Raises:
            RefusedError: it asks for more; every such thing is named, with the line for it.
        """
        asks = tuple(asks)
        missing = tuple(dict.fromkeys(ask for ask in asks if not self._allows(ask)))
        if missing:
            raise self._refused(missing, self._unused(asks), cause=by)

    def stale(self, asks: Iterable[Ask]) -> Iterator[RunWarning]:
        """Yield a warning for each line that allows what the recipe does not ask for."""
        for item in self._unused(asks):
            yield RunWarning(
                code=WarningCode.STALE_HOST_ACCESS,
                text=f"HOST_ACCESS allows {item}, but the recipe does not ask for it",
                next="remove it from recipe_meta.py",
            )

    def notes(self, asks: Iterable[Ask]) -> tuple[str, ...]:
        """Return what the plan says of what is allowed without a line."""
        more = dict.fromkeys(ask.item for ask in asks if ask.item not in self.lines)
        if not self.trusted:
            return ()
        return (f"--trust allows what HOST_ACCESS does not: {', '.join(more) or 'nothing'}",)

    def _allows(self, ask: Ask) -> bool:
        return not ask.never and (self.trusted or ask.item in self.lines)

    def _unused(self, asks: Iterable[Ask]) -> list[str]:
        used = {ask.item for ask in asks}
        return [item for item in self.lines if item not in used]

    def _refused(
        self, missing: Sequence[Ask], unused: Sequence[str], *, cause: str
    ) -> RefusedError:
        them = "1 thing" if len(missing) == 1 else f"{len(missing)} things"
        named = ", ".join(f"{ask.item} ({ask.who})" for ask in missing[:NAMED])
        named += f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        lines = [
            f'    {_quoted(ask.item)}: "",  # why does {_quoted(ask.who)[1:-1]} need it?'
            for ask in missing
            if not ask.never
        ]
        detail = [
            f"{ask.item} ({ask.who}): no line allows it: {ask.never}"
            for ask in missing
            if ask.never
        ]
        detail += [
            f"{ask.item} is not {near[0]}, which a line allows"
            for ask in missing
            if (near := difflib.get_close_matches(ask.item, unused, n=1, cutoff=0.8))
        ]
        detail += ["HOST_ACCESS = {", *lines, "}"] if lines else []
        return RefusedError(
            f"{self.recipe} asks for {them} of this machine that HOST_ACCESS does not allow: "
            f"{named}",
            cause=cause,
            hint="read the compose file; add those of the lines below that you agree with to "
            f"HOST_ACCESS in {self.overlays}/{self.recipe}/recipe_meta.py, each with a reason; "
            "--trust allows them on a machine of your own"
            if lines
            else "remove it from the recipe",
            detail="\n".join(detail),
        )


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def problem(item: object) -> str:
    """Return what is wrong with an item of HOST_ACCESS, or empty."""
    kind, colon, value = str(item).partition(":")
    if colon and kind in KINDS and value:
        return ""
    near = difflib.get_close_matches(kind, KINDS, n=1)
    meant = f"did you mean '{near[0]}:{value}'?" if near else f"kinds are {', '.join(KINDS)}"
    return f"'{item}' is not something that a recipe can ask for: {meant}"
