"""The order of recipe versions."""

from __future__ import annotations

import itertools
import random

import pytest

from harness.recipes.versions import Version

# From the oldest to the newest; one after the other, each pair says something about the rule.
SORTED = (
    "0.1.0+2023.12",
    "0.1.0+2024.01",
    "0.9.0+1.0.0",
    "0.10.0+1.0.0",
    "1.0.0-alpha+1.9.9",
    "1.0.0-alpha.1+1.9.9",
    "1.0.0-alpha.beta+1.9.9",
    "1.0.0-beta+1.9.9",
    "1.0.0-beta.2+1.9.9",
    "1.0.0-beta.11+1.9.9",
    "1.0.0-rc.1+1.9.9",
    "1.0.0+1.0.0-alpha",
    "1.0.0+1.0.0-rc1",
    "1.0.0+1.0.0-rc2",
    "1.0.0+1.0.0-rc10",
    "1.0.0+1.0.0",
    "1.0.0+1.0.0-alpine",
    "1.0.0+1.0.0-rootless",
    "1.0.0+1.0.1",
    "1.0.0+1.9.0",
    "1.0.0+1.31.1",
    "1.0.0+v2.3-rootless",
    "1.0.0+2.4",
    "1.0.0+v2.5",
    "1.13.0+1.31.1",
    "2.0.1+1.0.6-social-amd64",
    "2.0.1+1.0.6-social-arm64",
    "2.0.2+0.0.1",
    "10.0.0+0.0.1",
)
VERSIONS = tuple(version for text in SORTED if (version := Version.parse(text)))
# Equal by every rule but the last one, which looks at the characters.
TWINS = tuple(
    version
    for text in ("1.0.0+1.0", "1.0.0+1_0", "1.0.0+01.0", "1.0.0+v1.0", "1.0.0+V1.0")
    if (version := Version.parse(text))
)


def test_the_table_is_sorted() -> None:
    """However they are shuffled, versions sort into the order that the rule gives them."""
    assert len(VERSIONS) == len(SORTED)
    for seed in range(20):
        shuffled = list(VERSIONS)
        random.Random(seed).shuffle(shuffled)  # noqa: S311  a shuffle keeps no secret
        assert [str(version) for version in sorted(shuffled)] == list(SORTED)


def test_the_order_is_total_and_antisymmetric() -> None:
    """Of two versions exactly one of <, == and > holds, and == only for the same text."""
    for one, other in itertools.product(VERSIONS + TWINS, repeat=2):
        assert (one < other) + (one == other) + (one > other) == 1
        assert (one == other) == (one.text == other.text)
        assert (one < other) == (other > one)
        assert (one <= other) == (one < other or one == other)


def test_the_order_is_transitive() -> None:
    """Over all triples: a < b and b < c make a < c."""
    for one, two, three in itertools.product(VERSIONS + TWINS, repeat=3):
        if one < two < three:
            assert one < three


def test_equal_versions_hash_alike() -> None:
    """A version read twice is one version, in a set as well."""
    assert {Version.parse(text) for text in SORTED} == set(VERSIONS)
    assert Version.parse("1.0.0+1") != "1.0.0+1"


def test_the_parts() -> None:
    """The recipe part ends at the first plus sign; what follows is the upstream's."""
    version = Version.parse("1.2.3-rc.1+v2.0+build")
    assert version
    assert (version.recipe, version.upstream) == ("1.2.3-rc.1", "v2.0+build")
    assert str(version) == "1.2.3-rc.1+v2.0+build"


@pytest.mark.parametrize(
    "tag",
    [
        "v1",
        "latest",
        "1.0.0",
        "1.0+1.31.1",
        "v1.0.0+1.31.1",
        "1.0.0+",
        "01.0.0+1",
        "1.0.0-+1",
        "1.0.0-01+1",
        "1.0.0 +1",
        "1.0.0+1 2",
        "",
        "+",
        "release-1.0.0+1",
        "9" * 5000 + ".0.0+1",
    ],
)
def test_other_tags_are_no_releases(tag: str) -> None:
    """A tag that is not X.Y.Z+upstream is no release, and that is not an error."""
    assert Version.parse(tag) is None
