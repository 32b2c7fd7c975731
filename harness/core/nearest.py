"""What a mistyped word was probably meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(
    word: str, known: Iterable[str], *, otherwise: str = "", most: int = 3, cutoff: float = 0.6
) -> str:
    """Return a hint that names the known words closest to a mistyped one.

    Args:
        word: what was typed.
        known: the words that it may be.
        otherwise: the hint if none is close; by default, all that are known.
        most: how many words it names.
        cutoff: how close they have to be, from 0 to 1.
    """
    close = difflib.get_close_matches(word, known := [*known], n=most, cutoff=cutoff)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return otherwise or f"known are {', '.join(known)}"
