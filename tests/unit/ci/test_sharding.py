"""Sharing recipes out: every one once, balanced, and the same each time."""

import random

import pytest

from harness.ci.matrix.sharding import lower_bound, share

FLEETS = [
    {f"recipe-{n}": chance.expovariate(0.01) for n in range(chance.randint(1, 40))}
    for chance in map(random.Random, range(50))  # seeded: the same fleets each time
]
SHARDS = (1, 2, 3, 7, 50)


@pytest.mark.parametrize("shards", SHARDS)
def test_every_recipe_is_in_one_shard_and_none_is_empty(shards: int) -> None:
    """A missing cell is a missing verdict."""
    for times in FLEETS:
        parts = share(times, times, shards)
        assert sorted(name for part in parts for name in part) == sorted(times)
        assert all(parts)
        assert len(parts) == min(shards, len(times))


@pytest.mark.parametrize("shards", SHARDS)
def test_no_shard_takes_longer_than_the_known_bound(shards: int) -> None:
    """A list schedule ends before the mean load and the longest recipe, added up."""
    for times in FLEETS:
        slowest = max(sum(times[name] for name in part) for part in share(times, times, shards))
        assert slowest <= sum(times.values()) / shards + max(times.values())


def test_the_longest_go_first() -> None:
    """Two long ones never meet in a shard while another one idles."""
    times = {"a": 10.0, "b": 10.0, "c": 5.0, "d": 5.0}
    assert share(times, times, 2) == (("a", "c"), ("b", "d"))


def test_the_order_of_the_names_does_not_matter() -> None:
    """A matrix that is made twice is the same matrix."""
    times = {"c": 1.0, "a": 1.0, "b": 1.0}
    assert share(["c", "a", "b"], times, 2) == share(
        ["a", "b", "c"], dict(sorted(times.items())), 2
    )


def test_a_recipe_that_was_never_timed_counts_as_a_typical_one() -> None:
    """Not as nothing: all the new ones would go to one shard."""
    times = {"a": 8.0, "b": 8.0, "c": 8.0}
    assert [len(part) for part in share([*times, "new1", "new2", "new3"], times, 3)] == [2, 2, 2]
    assert [len(part) for part in share(["x", "y"], {}, 2)] == [1, 1]


@pytest.mark.parametrize(("shards", "seconds"), [(1, 9.0), (2, 5.0), (9, 5.0)])
def test_the_lower_bound_is_the_mean_load_or_the_longest(shards: int, seconds: float) -> None:
    """Nothing is faster than the longest recipe."""
    assert lower_bound([5.0, 2.0, 2.0], shards) == seconds
