"""The releases of a recipe, and what a commit of it can be upgraded from, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.recipes.versions import Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One release of a recipe. `annotated` is False for a lightweight tag, which abra refuses."""

    tag: str
    version: Version
    commit: str
    annotated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """What a head can be upgraded from.

    Attributes:
        older: the releases that it descends from, the oldest version first.
        others: other annotated tags that it descends from; a release goes before them.
        refused: every other tag, with the reason why the head cannot be upgraded from it.
    """

    older: tuple[Release, ...] = ()
    others: tuple[Release, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
