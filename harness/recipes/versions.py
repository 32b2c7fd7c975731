"""Recipe versions, `X.Y.Z+upstream`, and their one total order.

The rule. The recipe part (before the first `+`) goes first and is compared as semantic versions
are: numbers as numbers, and `1.0.0-rc.1` before `1.0.0`. Only when it is the same is the upstream
part looked at. That part follows no convention, so it is cut into runs of digits and runs of
letters, and the runs are compared from the left:

- two numbers as numbers (`1.9` before `1.31`), two texts as texts, without regard to case;
- a pre-release word (`alpha`, `beta`, `dev`, `pre`, `preview`, `rc`) before the end of the version,
  the end before any other text, and text before a number (`2.0-rc1`, `2.0`, `2.0-social`, `2.0.1`);
- a `v` in front of a number (`v2.3`) counts for nothing.

What is still the same then (`1.0` and `1_0`, say) is ordered by its characters, so two versions are
equal only when their texts are, and two tags of one repository are never the same version.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import total_ordering

LONGEST = 1000  # characters; Python reads no number of more than 4300 digits
PRE_RELEASE_WORDS = frozenset({"alpha", "beta", "dev", "pre", "preview", "rc"})

_NUMBER = r"(?:0|[1-9]\d*)"
_IDENTIFIER = r"(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)"
_VERSION = re.compile(
    rf"(?P<major>{_NUMBER})\.(?P<minor>{_NUMBER})\.(?P<patch>{_NUMBER})"
    rf"(?:-(?P<pre>{_IDENTIFIER}(?:\.{_IDENTIFIER})*))?"
    r"\+(?P<upstream>\S+)",
    re.ASCII,
)
_PIECE = re.compile(r"\d+|[^\W\d_]+")
_V_BEFORE_NUMBER = re.compile(r"(?<![^\W\d_])v(?=\d)", re.IGNORECASE)

_Piece = tuple[int, int, str]
_BEFORE_END, _END, _TEXT, _DIGITS = range(4)
_Key = tuple[tuple[int, int, int], tuple[_Piece, ...], tuple[_Piece, ...], str]


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """One release's version. Equal when the text is equal, ordered by the rule of this module.

    Attributes:
        text: the whole of it, as the tag has it.
        recipe: the recipe part, `1.2.0` or `1.2.0-rc.1`.
        upstream: what follows the first `+`.
    """

    text: str
    recipe: str
    upstream: str
    _key: _Key = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Version | None:
        """Return the version, or None for a tag that is not a release (`v1`, `latest`, `1.0.0`)."""
        match = _VERSION.fullmatch(text)
        if match is None or len(text) > LONGEST:
            return None
        numbers = (int(match["major"]), int(match["minor"]), int(match["patch"]))
        key = (numbers, _pre_release_key(match["pre"]), _upstream_key(match["upstream"]), text)
        recipe, _, upstream = text.partition("+")
        return cls(text, recipe, upstream, key)

    @classmethod
    def loose(cls, text: str) -> Version:
        """Return the version of a tag that is not a release: older than every release."""
        return cls(text, text, "", ((-1, 0, 0), (), (), text))

    def __str__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return self.text == other.text if isinstance(other, Version) else NotImplemented

    def __lt__(self, other: object) -> bool:
        return self._key < other._key if isinstance(other, Version) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.text)


def _pre_release_key(pre: str | None) -> tuple[_Piece, ...]:
    if pre is None:
        return ((_DIGITS + 1, 0, ""),)  # a finished version comes after each of its pre-releases
    # In semantic versions a number goes before a text, and the shorter list first.
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in pre.split("."))


def _upstream_key(upstream: str) -> tuple[_Piece, ...]:
    pieces = _PIECE.findall(_V_BEFORE_NUMBER.sub("", upstream))
    return (*(_piece_key(piece) for piece in pieces), (_END, 0, ""))


def _piece_key(piece: str) -> _Piece:
    if piece.isdecimal():
        return (_DIGITS, int(piece), "")
    word = piece.casefold()
    return (_BEFORE_END if word in PRE_RELEASE_WORDS else _TEXT, 0, word)
