"""The secrets of a run in what it publishes: found in any common encoding, masked, and told.

Only values that were generated for the run can fail it. A password that came with the recipe's URL
is masked as well, but it is the caller's, and may be any word. A value that could turn up by chance
(`SURE_BITS`) is masked and proves nothing.
"""

from __future__ import annotations

import base64
import html
import json
import math
import re
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from harness.core.model import Leak
from harness.core.proc import MASK, scrub
from harness.report.results import RunResult

SURE_BITS = 40.0  # of a random value: by chance it is once in 100 000 runs in logs of 10 MB
PICTURES = (".png", ".jpg", ".webp")  # their text is scanned where it is taken from the page
_CLASSES = (string.digits, "abcdef", string.ascii_lowercase[6:], string.ascii_uppercase)
_SYMBOLS = 11  # how many the smallest charset with symbols has


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One way to write a value: what to look for, and what to mask when it is there."""

    encoding: str
    needle: str
    pattern: re.Pattern[str]


def bits(value: str) -> float:
    """Return how many bits of chance a random value holds, judged by the characters in it."""
    size = sum(len(one) for one in _CLASSES if any(letter in one for letter in value))
    size += _SYMBOLS if any(not letter.isalnum() for letter in value) else 0
    # A value of one repeated character is no random one, however long it is.
    return min(len(value), 4 * len(set(value))) * math.log2(max(size, 1)) if value else 0.0


def sure(value: str) -> bool:
    """Return whether that value in a text can only have come from the secret."""
    return bits(value) >= SURE_BITS


@lru_cache(maxsize=256)
def forms(value: str) -> tuple[Form, ...]:
    """Return the ways in which a value is looked for, each once; none for an unsure one."""
    if not sure(value):
        return ()
    found: dict[str, Form] = {}
    for encoding, needle, pattern in (*_written(value), *_base64(value)):
        if needle not in found:
            found[needle] = Form(encoding=encoding, needle=needle, pattern=re.compile(pattern))
    return tuple(found.values())


def _written(value: str) -> Iterator[tuple[str, str, str]]:
    raw = value.encode()
    kinds = {
        "plain": (value,),
        "reversed": (value[::-1],),
        "hex": (raw.hex(), raw.hex().upper()),
        "url": _percent(value),
        "json": (json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]),
        "html": (html.escape(value), html.escape(value, quote=False)),
    }
    for encoding, needles in kinds.items():
        for needle in needles:
            yield encoding, needle, re.escape(needle)


def _percent(value: str) -> tuple[str, ...]:
    spared = ("", "/", "!*'()", "!#$&'()*+,/:;=?@")  # as a component, a path, or a whole address
    upper = (*(quote(value, safe=one) for one in spared), quote_plus(value))
    return upper + tuple(re.sub("%..", lambda found: found[0].lower(), one) for one in upper)


def _base64(value: str) -> Iterator[tuple[str, str, str]]:
    """Yield the part of each alignment that does not depend on what stands beside the value."""
    raw = value.encode()
    for before in range(3):
        padded = bytes(before) + raw
        first, last = math.ceil(before * 8 / 6), len(padded) * 8 // 6
        for encoding, encode, alphabet in (
            ("base64", base64.b64encode, "A-Za-z0-9+/"),
            ("base64url", base64.urlsafe_b64encode, "A-Za-z0-9_-"),
        ):
            core = encode(padded).decode()[first:last]
            # The characters beside it hold some bits of the value, too.
            yield encoding, core, f"[{alphabet}]?{re.escape(core)}[{alphabet}]?=*"


@dataclass(kw_only=True, slots=True)
class Guard:
    """Masks a run's secrets wherever they turn up, and remembers where that was.

    Args:
        generated: the values that were made for the run so far, by name.
        brought: values that are masked and fail nothing.
    """

    generated: Callable[[], Mapping[str, str]]
    brought: Sequence[str] = ()
    _found: dict[tuple[str, str, str], int] = field(default_factory=dict)

    @property
    def leaks(self) -> tuple[Leak, ...]:
        """What was found so far, in the order in which it was."""
        return tuple(
            Leak(secret=secret, encoding=encoding, place=place, count=count)
            for (secret, encoding, place), count in self._found.items()
        )

    def mask(self, text: str, place: str) -> str:
        """Return the text without secrets; each one in it is noted down under that place."""
        values = self.generated()
        for name, value in sorted(values.items(), key=lambda item: len(item[1]), reverse=True):
            for form in forms(value):
                if form.needle in text:
                    text, count = form.pattern.subn(MASK, text)
                    key = (name, form.encoding, place)
                    self._found[key] = self._found.get(key, 0) + count
        return scrub(text, (*values.values(), *self.brought))

    def look(self, value: object, place: str) -> None:
        """Note down the secrets in every text of a nested value, each under where it stands."""
        if isinstance(value, str):
            self.mask(value, place)
        elif isinstance(value, Mapping):
            for key, item in value.items():
                self.mask(str(key), place)
                self.look(item, f"{place}.{key}" if place else str(key))
        elif isinstance(value, list | tuple):
            for index, item in enumerate(value):
                self.look(item, f"{place}[{_called(item, index)}]")

    def look_at(self, result: RunResult) -> None:
        """Note down where a run's result has secrets in it."""
        found: dict[str, Any] = asdict(result)
        self.look(found, "results.json ")

    def without(self, text: str) -> str:
        """Return the text without secrets, and note nothing down."""
        return Guard(generated=self.generated, brought=self.brought).mask(text, "")

    def files(self, directory: Path) -> None:
        """Mask the secrets in every file of a run, whichever program wrote it, but for pictures.

        Raises:
            OSError: a file cannot be masked; it is removed.
        """
        failed: OSError | None = None
        for path in sorted(directory.rglob("*")):
            if path.suffix in PICTURES or path.is_symlink() or not path.is_file():
                continue
            text = path.read_bytes().decode(errors="surrogateescape")
            masked = self.mask(text, str(path.relative_to(directory)))
            if masked == text:
                continue
            try:
                path.write_bytes(masked.encode(errors="surrogateescape"))
            except OSError as error:
                failed = failed or error
                path.unlink(missing_ok=True)
        if failed is not None:
            raise failed


def _called(item: object, index: int) -> str:
    if isinstance(item, Mapping):
        return str(item.get("stage") or item.get("nodeid") or index)
    return str(index)


def told(leaks: Sequence[Leak], known: Mapping[str, str]) -> tuple[Leak, ...]:
    """Return the leaks, each with the reason why the recipe's meta knows of it, or empty."""
    return tuple(replace(leak, known=known.get(leak.secret, "")) for leak in leaks)
