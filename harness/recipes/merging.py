"""One service out of several compose files, merged as `docker stack deploy` merges them. Pure.

Docker merges its own structs with a library (mergo), so what wins depends on a field's type in Go:
lists are joined, mappings merge key by key, and a later value that is "empty" (0, false, "") does
not override an earlier one. Source: cli/compose/loader/merge.go of docker/cli 28, compared with it
by tests/integration/test_rendering.py. Services have the one form that `normal` gives them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Service = Mapping[str, Any]
# The key of a list's items: a later item takes the place of an earlier one with that key.
KEYED = {"volumes": "target", "ports": "published", "secrets": "source", "configs": "source"}
REPLACED = frozenset({"command", "entrypoint"})  # as a whole, unless the later one is empty
# Mappings in which an empty later value overrides, too.
PLAIN_MAPPINGS = frozenset({"labels", "sysctls", "options", "driver_opts"})
# Fields that are pointers to numbers in Go, where 0 is a value like any other.
COUNTS = frozenset({"replicas", "retries", "parallelism", "max_attempts"})
# Docker joins these with what is there twice, and takes no file that has an item twice.
UNIQUE = frozenset({"cap_add", "cap_drop", "depends_on", "dns", "dns_search", "extra_hosts"})
DURATIONS = frozenset(
    {
        *("delay", "monitor", "interval", "timeout", "start_period", "start_interval"),
        *("stop_grace_period", "window", "memory"),
    }
)
_ZERO = re.compile(r"[-+]?(?:\.?0[a-zµμ]*)+")  # each part in one way only: it takes linear time


def merged(base: Service, later: Service) -> dict[str, Any]:
    """Return two definitions of one service as one."""
    rules: Mapping[str, Callable[[Any, Any], Any]] = {
        "environment": _environment,
        "networks": _networks,
        "logging": _logging,
        "ulimits": lambda mine, its: {**mine, **its},
    }
    found = dict(base)
    for key in KEYED.keys() & base.keys() - later.keys():
        later = {**later, key: []}  # docker sorts the earlier list all the same
    for key in base.keys() | later.keys():
        mine, its = base.get(key), later.get(key)
        if key not in base or its is None:
            found[key] = its if key in later else mine  # a null is for docker to refuse
        elif mine is None:
            continue
        elif key in KEYED:
            found[key] = _keyed(KEYED[key], mine, its)
        else:
            found[key] = rules[key](mine, its) if key in rules else _value(key, mine, its)
    return found


def kept(base: Service, later: Service, both: Service) -> Iterator[str]:
    """Yield what a later definition seems to replace and does not, without values.

    Args:
        base: a service as the files before define it.
        later: as one more file does.
        both: both, merged.
    """
    if all((one.get("healthcheck") or {}).get("test") for one in (base, later)):
        yield "the words of healthcheck.test are added to those of the test before"
    for path, value in _leaves(later):
        now = _at(both, path)
        if now != value and not isinstance(now, dict | list):
            yield f"{'.'.join(path)} replaces nothing: it is empty, and the value before is kept"


def _leaves(value: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:  # noqa: ANN401  any YAML value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, *path, key)
    elif value is not None and not isinstance(value, list):
        yield path, value


def _at(value: Any, path: tuple[str, ...]) -> Any:  # noqa: ANN401  as above
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _value(key: str, mine: Any, its: Any) -> Any:  # noqa: ANN401  any YAML value
    if key in REPLACED:
        return its if _words(its) else mine
    if isinstance(mine, dict) and isinstance(its, dict):
        if key in PLAIN_MAPPINGS:
            return {**mine, **its}
        shared = {one: _value(one, mine[one], its[one]) for one in mine.keys() & its.keys()}
        return {**mine, **its, **shared}
    if isinstance(mine, list) and isinstance(its, list):
        return [*dict.fromkeys((*mine, *its))] if key in UNIQUE else [*mine, *its]
    return mine if _is_empty(key, its) else its


def _is_empty(key: str, value: object) -> bool:
    if key in COUNTS:
        return value is None
    if key in DURATIONS and isinstance(value, str):
        return not value or bool(_ZERO.fullmatch(value))
    return not value


def _words(command: object) -> bool:
    """Whether a command has a word: docker takes it apart as a shell does, comments left out."""
    if isinstance(command, str):
        return bool(command.strip()) and not command.lstrip().startswith("#")
    return bool(command)


def _keyed(key: str, mine: list[Any], its: list[Any]) -> list[Any]:
    """Return both lists as one, sorted by the key, as docker sorts them."""
    joined = {_key(item, key): item for item in (*mine, *its)}
    return [joined[one] for one in sorted(joined, key=lambda one: (isinstance(one, str), one))]


def _key(item: Mapping[str, Any], key: str) -> Any:  # noqa: ANN401  a text or a number
    return item.get(key) or (0 if key == "published" else "")


def _environment(mine: dict[str, Any], its: dict[str, Any]) -> dict[str, Any]:
    """Return both as one: a later value that is empty, or missing, overrides only such a one."""
    kept = {key for key, value in its.items() if value in (None, "") and mine.get(key)}
    return {**mine, **{key: value for key, value in its.items() if key not in kept}}


def _networks(mine: dict[str, Any], its: dict[str, Any]) -> dict[str, Any]:
    found = {**mine, **its}
    for key in mine.keys() & its.keys():
        first, second = mine[key], its[key]
        if first is not None and second is None:
            found[key] = first
        elif first is not None:
            addresses = {k: v for k, v in second.items() if k.endswith("_address") and v}
            found[key] = {**first, "aliases": second.get("aliases") or [], **addresses}
    return found


def _logging(mine: dict[str, Any], its: dict[str, Any]) -> dict[str, Any]:
    """Return both as one if the driver is the same; else the later one."""
    first, second = mine.get("driver"), its.get("driver")
    if first and second and first != second:
        return its
    options = {**(mine.get("options") or {}), **(its.get("options") or {})}
    driver = {"driver": first or second} if first or second else {}
    return {**driver, **({"options": options} if options else {})}
