"""What volumes hold: how it is counted, and which losses fail a stage or are worth a warning."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.backups.witness import NAME
from harness.core.errors import ExecFailedError, ExecTimeoutError, TestBedError
from harness.core.model import Stage, WarningCode
from harness.volumes.census import FEW, MOST, Census, Held, Link, losses, parse, take
from tests.unit.fake_vault import FakeVault

STACK = "log-1a2b_test"  # the word "log" in it must not make every volume disposable
DATA = f"{STACK}_data"


@pytest.fixture
def vault(tmp_path: Path) -> FakeVault:
    """A vault with one volume; the script runs for real, over a directory of this machine."""
    made = FakeVault(tmp_path)
    made.volume(DATA)
    return made


def fill(vault: FakeVault, folder: str, count: int = 1, *, size: int = 1, end: str = "") -> None:
    """Write so many files of that size below the volume."""
    place = vault.volume(DATA) / folder
    place.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (place / f"f{number}{end}").write_bytes(b"x" * size)


def counted(vault: FakeVault, *wanted: str) -> Census:
    """Count the volume."""
    return take(vault.target, [DATA], stack=STACK, wanted=wanted)


# Counting


def test_files_and_bytes_are_counted_with_all_that_lies_below(vault: FakeVault) -> None:
    """In the volume, and in each folder that holds some."""
    fill(vault, ".", 2, size=10)
    fill(vault, "a/b", FEW, size=3)
    held = counted(vault).held
    assert held == {
        DATA: Held(files=2 + FEW, bytes=20 + 3 * FEW),
        f"{DATA}/a": Held(files=FEW, bytes=3 * FEW),
        f"{DATA}/a/b": Held(files=FEW, bytes=3 * FEW),
    }


def test_a_small_folder_is_counted_only_if_an_earlier_census_saw_it(vault: FakeVault) -> None:
    """Then it is counted exactly, also when it is gone."""
    fill(vault, "a", FEW - 1)
    assert counted(vault).held.keys() == {DATA}
    held = counted(vault, f"{DATA}/a", f"{DATA}/gone", DATA).held
    assert held[f"{DATA}/a"].files == FEW - 1
    assert held[f"{DATA}/gone"] == Held()


def test_an_empty_volume_holds_nothing(vault: FakeVault) -> None:
    """The witness is a file of the harness."""
    (vault.volume(DATA) / NAME).write_text("x")
    assert counted(vault).held == {DATA: Held()}


@pytest.mark.parametrize(
    "folder",
    [
        "cache", "Cache", "app/cache/x", "tmp", "var/log", "http-cache", "pg_wal", "sessions",
        "web/node_modules/left-pad", "x/__pycache__", "a.git/objects/ab", "a.git/objects/pack",
    ],
)  # fmt: skip
def test_what_programs_discard_by_themselves_is_not_counted(vault: FakeVault, folder: str) -> None:
    """An upgrade may empty it."""
    fill(vault, folder, 30)
    assert counted(vault).held == {DATA: Held()}


@pytest.mark.parametrize("folder", ["catalog", "cachet", "templates", "blog", "running"])
def test_a_name_that_only_contains_such_letters_is_counted(vault: FakeVault, folder: str) -> None:
    """Whole words count."""
    fill(vault, folder, 30)
    assert counted(vault).of(f"{DATA}/{folder}").files == 30


@pytest.mark.parametrize("end", ["-wal", ".sqlite-shm", ".pid", ".lock", ".LOG"])
def test_journals_and_locks_are_not_counted(vault: FakeVault, end: str) -> None:
    """A database merges its journal into the data when it starts."""
    fill(vault, ".", 30, end=end)
    assert counted(vault).held == {DATA: Held()}


def test_odd_names_neither_break_the_count_nor_add_to_it(vault: FakeVault) -> None:
    """Blanks, tabs, line breaks, glob characters and quotes."""
    for name in ("a b", "a\tb", "a\nb", "[a]*", "'\"\\", "ü"):
        (vault.volume(DATA) / name).write_text("x")
    assert counted(vault).held == {DATA: Held(files=6, bytes=6)}


def test_links_that_may_leave_the_volume_are_listed(vault: FakeVault) -> None:
    """A link to a file beside it is of no interest."""
    volume = vault.volume(DATA)
    (volume / "in").symlink_to("f0")
    (volume / "out").symlink_to("/srv/data")
    (volume / "up").symlink_to("../../x")
    assert sorted(counted(vault).links, key=lambda link: link.path) == [
        Link(volume=DATA, path="out", target="/srv/data"),
        Link(volume=DATA, path="up", target="../../x"),
    ]


def test_a_volume_that_takes_too_long_is_unknown(vault: FakeVault) -> None:
    """Nothing is said of it; the run goes on."""
    vault.broken = ExecTimeoutError("too long")
    assert counted(vault) == Census(unknown=frozenset({DATA}))


def test_a_vault_that_cannot_count_says_nothing_of_the_recipe(vault: FakeVault) -> None:
    """It is our own container."""
    vault.broken = ExecFailedError("no mawk")
    with pytest.raises(TestBedError, match="cannot be counted"):
        counted(vault)


def test_the_largest_folders_are_remembered_up_to_a_limit() -> None:
    """The script prints them in order."""
    lines = "".join(f"D\t{5000 - n}\t1\t0\tv/{n}\n" for n in range(MOST + 10))
    assert len(parse(lines).held) == MOST


# Losses


def compared(
    before: Mapping[str, tuple[int, int]],
    after: Mapping[str, tuple[int, int]],
    most: Mapping[str, float] | None = None,
) -> list[tuple[str, bool]]:
    """Return what was lost, by the name that a recipe's meta has for it, and whether it fails."""

    def census(held: Mapping[str, tuple[int, int]]) -> Census:
        return Census(
            held={f"{STACK}_{key}": Held(files=f, bytes=b) for key, (f, b) in held.items()}
        )

    found = losses(census(before), census(after), stack=STACK, most=most or {})
    return [(loss.key.removeprefix(f"{STACK}_"), loss.fails) for loss in found]


@pytest.mark.parametrize(
    ("before", "after", "came"),
    [
        (20, 0, True),
        (20, 1, True),
        (20, 2, False),
        (500, 25, True),
        (500, 26, False),
        (19, 0, False),
        (100, 49, False),
        (5, 2, False),
        (1, 0, False),
    ],
)
def test_a_volume_that_loses_most_of_its_files(before: int, after: int, *, came: bool) -> None:
    """Nearly all of many fail; more than half are a warning."""
    assert compared({"data": (before, before)}, {"data": (after, after)}) == [("data", came)]


@pytest.mark.parametrize(("before", "after"), [(100, 50), (5, 3), (4, 1), (0, 9), (3, 900)])
def test_what_stays_or_says_too_little_is_not_told(before: int, after: int) -> None:
    """Half of the files, or a few, come and go."""
    assert compared({"data": (before, before)}, {"data": (after, after)}) == []


@pytest.mark.parametrize(
    ("before", "after", "came"),
    [
        ((1, 2 << 20), (1, 1000), [("data", False)]),
        ((1, 2 << 20), (1, 300_000), []),
        ((1, 20_000), (1, 1000), [("data", False)]),
        ((1, 10_000), (1, 100), []),
    ],
)
def test_a_file_that_shrinks_is_a_warning_at_most(
    before: tuple[int, int], after: tuple[int, int], came: list[tuple[str, bool]]
) -> None:
    """A database was created anew, or compacted."""
    assert compared({"data": before}, {"data": after}) == came


def test_a_loss_is_told_once_of_the_folder_that_explains_it() -> None:
    """Neither of what lies above it nor of what lies below."""
    before = {
        f"data{at}": (n, n) for at, n in {"": 502, "/a": 501, "/a/b": 500, "/a/b/c": 250}.items()
    }
    after = {f"data{at}": (n, n) for at, n in {"": 2, "/a": 1, "/a/b": 0, "/a/b/c": 0}.items()}
    assert compared(before, after) == [("data/a/b", True)]


def test_a_folder_that_fails_is_not_hidden_by_a_volume_that_only_warns() -> None:
    """600 of 1000 files are gone, and they are all of one folder."""
    before = {"data": (1000, 1000), "data/keep": (400, 400), "data/lost": (600, 600)}
    after = {"data": (400, 400), "data/keep": (400, 400), "data/lost": (0, 0)}
    assert compared(before, after) == [("data/lost", True)]


def test_files_that_moved_within_their_volume_are_not_lost() -> None:
    """A migration that renames a folder is a warning."""
    before = {"data": (500, 9), "data/uploads": (500, 9)}
    after = {"data": (500, 9), "data/uploads": (0, 0)}
    assert compared(before, after) == [("data/uploads", False)]


@pytest.mark.parametrize(
    ("before", "after", "came"),
    [((30, 30), (0, 30), True), ((30, 30), (2, 28), False), ((3, 3), (0, 3), False)],
)
def test_files_that_are_empty_now_are_lost(
    before: tuple[int, int], after: tuple[int, int], *, came: bool
) -> None:
    """They are counted by their content: here so many with one byte, of so many files."""
    old = Census(held={DATA: Held(files=before[1], bytes=before[0])})
    new = Census(held={DATA: Held(files=before[1], bytes=after[0], empty=after[1])})
    (loss,) = losses(old, new, stack=STACK, most={})
    assert loss.fails is came
    assert "the others are empty" in loss.sentence(STACK)


def test_files_that_were_empty_before_are_no_loss() -> None:
    """Markers and placeholders hold nothing that could be lost."""
    held = Census(held={DATA: Held(files=30, empty=30)})
    assert losses(held, held, stack=STACK, most={}) == ()


def test_an_empty_file_is_counted_as_one(vault: FakeVault) -> None:
    """Beside those with content."""
    fill(vault, ".", 2, size=3)
    fill(vault, "a", 3, size=0)
    assert counted(vault).of(DATA) == Held(files=5, bytes=6, empty=3)


@pytest.mark.parametrize(("size", "came"), [(8192, False), (30, False), (5, True)])
def test_files_that_one_archive_or_database_replaced_are_a_warning(
    size: int, *, came: bool
) -> None:
    """As in a migration to SQLite; one that holds next to nothing has not taken them over."""
    assert compared({"data": (30, 60)}, {"data": (1, size)}) == [("data", came)]
    before = {"data": (31, 70), "data/posts": (30, 60)}
    after = {"data": (2, 10 + size), "data/posts": (0, 0)}
    assert compared(before, after) == [("data/posts", came)]


def test_files_that_moved_to_another_volume_are_a_warning() -> None:
    """All of them: a neighbour's database that grows a little proves nothing."""
    before = {"data": (31, 31), "data/uploads": (30, 30)}
    after = {"data": (1, 1), "data/uploads": (0, 0)}
    assert compared(before, {**after, "new": (30, 30)}) == [("data/uploads", False)]
    assert compared(before, {**after, "new": (20, 20)}) == [("data/uploads", True)]


@pytest.mark.parametrize(
    ("most", "came"),
    [
        ({"data": 1}, []),
        ({"data/uploads": 1}, []),
        ({"data": 0.1, "data/uploads": 1}, []),
        ({"data": 0.1}, [("data/uploads", True)]),
        ({"other": 1}, [("data/uploads", True)]),
    ],
)
def test_a_recipes_meta_changes_the_rule(
    most: Mapping[str, float], came: list[tuple[str, bool]]
) -> None:
    """For a volume and all in it, or for a folder; the innermost one counts."""
    before = {"data": (1000, 1000), "data/uploads": (600, 600)}
    after = {"data": (400, 400), "data/uploads": (0, 0)}
    assert compared(before, after, most) == came


def test_a_strict_rule_counts_few_files_too() -> None:
    """The author of the meta knows the volume."""
    assert compared({"data": (2, 9)}, {"data": (1, 9)}, {"data": 0}) == [("data", True)]


def test_a_volume_that_could_not_be_counted_has_lost_nothing() -> None:
    """In either look."""
    full, none = Census(held={DATA: Held(files=99)}), Census(unknown=frozenset({DATA}))
    assert losses(full, none, stack=STACK, most={}) == ()
    assert losses(none, full, stack=STACK, most={}) == ()


def test_a_volume_that_was_not_looked_at_again_has_lost_nothing() -> None:
    """It is gone, which is told of its mount."""
    assert losses(Census(held={DATA: Held(files=99)}), Census(), stack=STACK, most={}) == ()


def test_a_loss_says_where_and_how_much() -> None:
    """In files, or in bytes where the files are there still; with what to set in the meta."""
    before = Census(held={DATA: Held(files=9, bytes=9), f"{DATA}/a": Held(files=9, bytes=9)})
    after = Census(held={DATA: Held(), f"{DATA}/a": Held()})
    (loss,) = losses(before, after, stack=STACK, most={})
    assert loss.sentence(STACK) == "a/ in volume data held 9 files, and holds 0 now"
    warning = loss.warning(STACK, Stage.UPGRADE)
    assert (warning.code, warning.stage) == (WarningCode.VOLUME_SHRANK, Stage.UPGRADE)
    assert "MAX_LOSS = {'data/a': 1}" in warning.next
    big = Census(held={DATA: Held(files=1, bytes=5 << 20)})
    (loss,) = losses(big, Census(held={DATA: Held(files=1)}), stack=STACK, most={})
    assert loss.sentence(STACK) == "volume data held 5242880 bytes, and holds 0 now"


def test_what_an_image_put_into_an_anonymous_volume_is_not_counted(vault: FakeVault) -> None:
    """Nor an empty file, on which a config is mounted; what the app wrote since it started is."""
    name = "0a" * 32
    volume = vault.volume(name)
    for file, content, age in (
        ("shipped", "x", 50.0),
        ("mounted", "", 150.0),
        ("data", "x", 150.0),
    ):
        (volume / file).write_text(content)
        os.utime(volume / file, (age, age))
    found = take(vault.target, [name], stack=STACK, fresh=100.0)
    assert found.held == {name: Held(files=1, bytes=1)}
