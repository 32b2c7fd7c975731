"""The plain values of compose files, and the shapes that the harness reads out of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.core.errors import InvalidRecipeError
from harness.core.nearest import nearest
from harness.recipes.plain import number_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """Something mounted in a service's containers.

    Attributes:
        kind: `volume`, `bind` or `tmpfs`.
        source: the volume's name in the compose file or the host's path; empty for an anonymous
            volume and for a tmpfs.
        target: the absolute path in the container.
        read_only: whether the container may not write to it.
    """

    kind: str
    source: str
    target: str
    read_only: bool = False

    @classmethod
    def parse(cls, raw: Mapping[str, Any], service: str) -> Mount:
        """Read it as a service's long form has it."""
        return cls(
            kind=text(raw.get("type")) or "volume",
            source=text(raw.get("source")),
            target=text(raw["target"]),
            read_only=truth(raw.get("read_only"), f"services.{service}.volumes.read_only"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port that a service publishes. `published` is empty when the engine is to choose one."""

    target: str
    published: str = ""
    protocol: str = "tcp"
    mode: str = "ingress"

    @classmethod
    def parse(cls, raw: Mapping[str, object]) -> Port:
        """Read it as a service's long form has it."""
        published = text(raw.get("published"))
        return cls(
            target=text(raw["target"]),
            published="" if published == "0" else published,
            protocol=text(raw.get("protocol")) or "tcp",
            mode=text(raw.get("mode")) or "ingress",
        )


def text(value: object) -> str:
    """Return a plain value as the text Docker makes of it: `true`, `8`, `1.5`, nothing for null."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return number_text(value) if isinstance(value, float) else str(value)


def truth(value: object, where: str) -> bool:
    """Return a truth value, which a variable may have filled in as a text.

    Raises:
        InvalidRecipeError: it is none.
    """
    word = text(value).lower()
    if word in ("true", "y", "yes", "on"):
        return True
    if word in ("", "false", "n", "no", "off"):
        return False
    raise InvalidRecipeError(f"{where} is '{word}'", hint="write true or false")


def mapping(raw: object, where: str) -> dict[str, object]:
    """Return a mapping with its keys as texts; nothing at all is an empty one.

    Raises:
        InvalidRecipeError: it is something else.
    """
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise InvalidRecipeError(
            f"{where} is {_kind(raw)}, not a mapping", hint="write 'key: value' lines under it"
        )
    return {text(key): value for key, value in raw.items()}


def sequence(raw: object, where: str) -> list[Any]:
    """Return a list; nothing at all is an empty one.

    Raises:
        InvalidRecipeError: it is something else.
    """
    if raw is None:
        return []
    if not isinstance(raw, list):
        raise InvalidRecipeError(
            f"{where} is {_kind(raw)}, not a list", hint="write '- item' lines under it"
        )
    return raw


def pairs(raw: object, where: str) -> dict[str, Any]:
    """Return what is a mapping, or a list of `KEY=VALUE`, as a mapping; None without a `=`.

    Raises:
        InvalidRecipeError: it is neither.
    """
    if not isinstance(raw, list):
        return mapping(raw, where)
    for item in raw:
        if not isinstance(item, str) or raw.count(item) > 1:
            raise InvalidRecipeError(
                f"{where} has {_kind(item)} in it, which is not a text, or is there twice",
                hint="write each as KEY=VALUE, once",
            )
    split = (item.partition("=") for item in raw)
    return {key: value if equals else None for key, equals, value in split}


def texts(raw: object, where: str) -> list[Any]:
    """Return a list, or a single text as a list of one.

    Raises:
        InvalidRecipeError: it is something else.
    """
    return [raw] if isinstance(raw, str) else sequence(raw, where)


def required(item: Mapping[str, object], key: str, where: str) -> str:
    """Return the text of a key that has to be there.

    Raises:
        InvalidRecipeError: it is not, or is empty.
    """
    if not text(item.get(key)):
        raise InvalidRecipeError(f"an item of {where} has no '{key}'", hint=f"add '{key}: ...'")
    return text(item[key])


def known(item: object, keys: frozenset[str], where: str) -> dict[str, Any]:
    """Return a mapping that has no other keys than these; `x-...` is left out.

    Raises:
        InvalidRecipeError: it has, or is something else.
    """
    found = {key: value for key, value in mapping(item, where).items() if key[:2] != "x-"}
    if unknown := sorted(found.keys() - keys):
        raise InvalidRecipeError(
            f"{where} has the option '{unknown[0]}', which `docker stack deploy` does not know",
            hint=nearest(unknown[0], sorted(keys), most=1),
        )
    return found


def _kind(raw: object) -> str:
    if isinstance(raw, dict):
        return "a mapping"
    return "a list" if isinstance(raw, list) else f"'{text(raw)}'"
