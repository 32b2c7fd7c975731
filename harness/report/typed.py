"""Whether what was read from a file is of the types that its dataclasses name."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints


def misfits(value: object, hint: Any, at: str = "") -> Iterator[str]:  # noqa: ANN401  any annotation
    """Yield where a value is of another type than its annotation says.

    Args:
        value: the value; a dataclass is looked through.
        hint: the annotation.
        at: how the value is called.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if all(any(True for _ in misfits(value, one, at)) for one in arguments):
            yield at
    elif origin is tuple and isinstance(value, tuple):
        for number, item in enumerate(value):
            yield from misfits(item, arguments[0], f"{at}[{number}]")
    elif origin is not None and isinstance(value, Mapping):
        for key, item in value.items():
            yield from misfits(key, arguments[0], at)
            yield from misfits(item, arguments[1], f"{at}.{key}")
    elif is_dataclass(hint) and isinstance(hint, type) and isinstance(value, hint):
        hints = get_type_hints(hint)
        for one in fields(hint):
            yield from misfits(getattr(value, one.name), hints[one.name], f"{at}.{one.name}")
    elif not _is(value, origin or hint):
        yield at


def _is(value: object, kind: Any) -> bool:  # noqa: ANN401  any annotation
    if kind in (Any, object):
        return True
    if kind in (int, float):  # a whole number of seconds is written without a point
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    return isinstance(kind, type) and isinstance(value, kind)
