"""How much a checkout may be: a few objects of git can be a million files of any size."""

from __future__ import annotations

import re

from harness.core.errors import InvalidRecipeError

MOST_FILES, MOST_BYTES = 20_000, 256 << 20
MOST_LISTED = 8 << 20  # bytes of the list of files
_SIZE = re.compile(rb"\d+ \w+ [0-9a-f]+ +(\d+|-)\t")


def require_small(what: str, listing: bytes) -> None:
    """Refuse a commit that has more or larger files than a checkout may have.

    Args:
        what: the commit and its source, for the message.
        listing: what `git ls-tree -r -z -l` prints of it.

    Raises:
        InvalidRecipeError: it has.
    """
    sizes = [found[1] for one in listing.split(b"\0") if (found := _SIZE.match(one))]
    total = sum(int(size) for size in sizes if size != b"-")
    if len(sizes) > MOST_FILES or total > MOST_BYTES:
        raise InvalidRecipeError(
            f"{what} cannot be checked out: it has {len(sizes)} files and {total} bytes, and the "
            f"limits are {MOST_FILES} and {MOST_BYTES}",
            cause="the recipe's repository holds what is no part of a recipe",
            hint="keep it elsewhere",
        )
