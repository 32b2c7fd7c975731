"""Whether the paths that labels name hold anything in a snapshot."""

from collections.abc import Mapping

import pytest

from harness.backups.content import FORMAT, Entry, require_named
from harness.core.errors import BackupError

BEGAN = 100.0
DATA = Entry(kind="f", size=3, changed=1.0)
EMPTY = Entry(kind="f", size=0, changed=1.0)
FOLDER = Entry(kind="d", changed=1.0)


def link(to: str) -> Entry:
    """Return a link to that place."""
    return Entry(kind="l", leads_to=to)


def named(*paths: str, **held: Entry) -> list[str]:
    """Judge these paths of one volume; `__` in a keyword is a slash, and `_` a dot."""
    entries = {f"s_v/{k.replace('__', '/').replace('_', '.')}": e for k, e in held.items()}
    found = require_named({"s_v": list(paths)}, {"s_v": FOLDER, **entries}, stack="s", since=BEGAN)
    return [warning.text for warning in found]


def test_paths_with_data_are_well() -> None:
    """A file, a folder with one at any depth, and a link to either."""
    held: Mapping[str, Entry] = {"dump_sql": DATA, "d": FOLDER, "d__e": FOLDER, "d__e__f": DATA}
    assert named("dump.sql", "d", "l", **held, l=link("d/../dump.sql")) == []


@pytest.mark.parametrize(
    ("held", "text"),
    [
        ({}, "dump is not in the snapshot"),
        ({"dump": EMPTY}, "dump is 0 bytes long in the snapshot"),
        ({"dump": FOLDER}, "dump is empty in the snapshot"),
        ({"dump": FOLDER, "dump__a": EMPTY}, "dump is empty in the snapshot"),
        ({"dump": FOLDER, "dump__a": FOLDER, "dumpling": DATA}, "dump is empty in the snapshot"),
        ({"dump": link("/data/a"), "a": DATA}, "the snapshot holds dump as a link to /data/a"),
        ({"dump": link("a"), "a": EMPTY}, "the snapshot holds dump as a link to a"),
        ({"dump": link("dump2"), "dump2": link("dump")}, "as a link to dump2"),
    ],
)
def test_a_path_that_holds_nothing_is_refused(held: Mapping[str, Entry], text: str) -> None:
    """Whatever the exit codes said: no data can be restored from it."""
    with pytest.raises(BackupError, match="of volume v is useless") as caught:
        named("dump", **held)
    assert text in caught.value.what


def test_an_empty_file_is_refused_beside_any_other_data() -> None:
    """A dump that is named and empty is none."""
    with pytest.raises(BackupError, match="dump is 0 bytes long"):
        named("dump", "other", dump=EMPTY, other=DATA)


def test_an_empty_folder_beside_data_is_one_that_has_not_been_used_yet() -> None:
    """It is returned, so that a warning can say so."""
    (text,) = named("uploads", "dump", uploads=FOLDER, dump=DATA)
    assert text.startswith("uploads of volume v is an empty folder in the backup: nothing shows")


@pytest.mark.parametrize("touched", ["uploads", "uploads__a"])
def test_an_empty_folder_that_a_hook_has_touched_is_refused(touched: str) -> None:
    """That is what its dump should be in."""
    held = {"uploads": FOLDER, "dump": DATA, touched: Entry(kind="d", changed=BEGAN + 1)}
    with pytest.raises(BackupError, match="uploads is empty in the snapshot"):
        named("uploads", "dump", **held)


def test_a_listing_is_read_whatever_the_names_are() -> None:
    """Names and what links lead to may hold blanks, line ends and brackets."""
    assert FORMAT.count(r"\0") == 2
    listing = "f 3 1.5 \0v/a b\n[x]\0l 0 2.0 c d\0v/l\0"
    assert Entry.parse(listing) == {
        "v/a b\n[x]": Entry(kind="f", size=3, changed=1.5),
        "v/l": Entry(kind="l", size=0, changed=2.0, leads_to="c d"),
    }
