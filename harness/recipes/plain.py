"""Plain YAML values, told apart and written out as Docker's parser and its templates do (Go).

Which text is a number, a truth value or a date is that of go-yaml; how a number becomes the text of
a label is that of Go's `fmt` verb `%v`: `1e+06`, `1.5`, `-0`.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

RESOLVED = (
    ("bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), "tTfF"),
    ("null", re.compile(r"^(?:~|null|Null|NULL)$"), "~nN"),
    (
        "int",
        re.compile(
            r"^[-+]?(?:0b[01_]*[01]_*|0o[0-7_]*[0-7]_*|0[0-7_]*|0x[0-9a-fA-F_]*[0-9a-fA-F]_*|[1-9][0-9_]*)$"
        ),
        "-+0123456789",
    ),
    (
        "float",
        re.compile(
            r"^[-+]?(?:\.[0-9][0-9_]*|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?$"
            r"|^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$"
        ),
        "-+.0123456789",
    ),
    (
        "timestamp",
        re.compile(
            r"^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
            r"(?:(?:[Tt]|[ ]+)[0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(?:\.[0-9]+)?"
            r"(?:Z|[-+][0-9]{2}:[0-9]{2})?)?$"
        ),
        "0123456789",
    ),
    ("merge", re.compile(r"^<<$"), "<"),
)
NOTHING = re.compile(r"^$")
MOST_UNSIGNED, LEAST_SIGNED = 2**64 - 1, -(2**63)
SHORTEST, LONGEST = -4, 6  # exponents between which Go writes a number without one

_MOMENT = re.compile(
    r"(?P<date>\d+-\d+-\d+)(?:[Tt ]+(?P<time>\d+:\d+:\d+)(?:\.(?P<part>\d+))?(?P<zone>.*))?"
)


def value(kind: str, text: str) -> object:
    """Return the value of a plain text of that kind.

    Raises:
        ValueError: a tag says a kind that the text is not of.
    """
    read = _READERS.get(kind)
    return read(text) if read else text


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _nothing(text: str) -> None:
    if text.lower() not in ("", "~", "null"):
        raise ValueError(text)


def _binary(text: str) -> str:
    return base64.b64decode(text).decode(errors="replace")


def _integer(text: str) -> int | float | str:
    digits = text.replace("_", "")
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    octal = digits.startswith("0") and digits.isdigit() and len(digits) > 1
    number = sign * (int(digits, 8) if octal else int(digits, 0))
    try:
        return number if LEAST_SIGNED <= number <= MOST_UNSIGNED else float(number)
    except OverflowError:
        return text


def _float(text: str) -> float | str:
    plain = text.replace("_", "").lower()
    number = float(plain.replace(".inf", "inf").replace(".nan", "nan"))
    # One that is too large for a float stays a text.
    return text if math.isinf(number) and "inf" not in plain else number


def _moment(text: str) -> str:
    """Return a date as Go writes a moment: `2001-12-15 02:59:43.1 +0000 UTC`."""
    match = _MOMENT.fullmatch(text)
    if match is None:
        raise ValueError(text)
    try:
        found = datetime.strptime(
            f"{match['date']} {match['time'] or '0:0:0'}", "%Y-%m-%d %H:%M:%S"
        ).replace(tzinfo=UTC)
    except ValueError:
        return text  # the 30th of February is a text
    part = (match["part"] or "").rstrip("0")
    zone = "+0000 UTC"
    if (match["zone"] or "Z") != "Z":
        hours, minutes = match["zone"][1:].split(":")
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        found = found.replace(tzinfo=timezone(offset))
        name = match["zone"].replace(":", "")
        zone = f"{name} {name}"
    return f"{found:%Y-%m-%d %H:%M:%S}{'.' + part if part else ''} {zone}"


_READERS: Mapping[str, Callable[[str], object]] = {
    "bool": _truth,
    "null": _nothing,
    "int": _integer,
    "float": _float,
    "timestamp": _moment,
    "binary": _binary,
}


def number_text(number: float) -> str:
    """Return a number as Go's `%v` writes it."""
    if math.isnan(number) or math.isinf(number):
        return "NaN" if math.isnan(number) else f"{'+' if number > 0 else '-'}Inf"
    if number == 0:
        return "-0" if math.copysign(1.0, number) < 0 else "0"
    sign, digits, _ = Decimal(repr(number)).normalize().as_tuple()
    shown = "".join(map(str, digits))
    exponent = Decimal(repr(number)).adjusted()
    if SHORTEST <= exponent < LONGEST:
        return f"{Decimal(repr(number)).normalize():f}"
    rest = f".{shown[1:]}" if len(shown) > 1 else ""
    return (
        f"{'-' if sign else ''}{shown[0]}{rest}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
    )
