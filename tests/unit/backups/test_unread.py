"""What restic says of files that it could not read: which had vanished, and why the others."""

import json
from typing import Any

import pytest

from harness.backups.unread import Unread

GONE = "no such file or directory"


def said(*errors: Any) -> str:  # noqa: ANN401  whatever JSON holds
    """Return restic's standard error with an error of each of these kinds, about the file /x."""
    lines = [json.dumps({"message_type": "error", "error": e, "item": "/x"}) for e in errors]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("error", "reason", "vanished"),
    [
        ({"message": f"lstat /x: {GONE}"}, f"lstat /x: {GONE}", True),
        ({"message": "open /x: permission denied"}, "open /x: permission denied", False),
        ({"Op": "lstat", "Path": "/x", "Err": 2}, "lstat: ENOENT", True),
        ({"Op": "open", "Path": "/x", "Err": 20}, "open: ENOTDIR", True),
        ({"Op": "open", "Path": "/x", "Err": 13}, "open: EACCES", False),
        ({"Op": "open", "Path": "/x", "Err": 99_999}, "open: 99999", False),
        ({"Syscall": "read", "Err": 5}, "read: EIO", False),
        ({"Err": 5}, "reading: EIO", False),
        ({"message": "try again", "Op": "read", "Err": 2}, "try again", True),
    ],
)
def test_an_error_of_each_version_of_restic(
    error: dict[str, Any], reason: str, *, vanished: bool
) -> None:
    """Newer versions say it in words, older ones as Go's error; both name the file."""
    assert Unread.parse(said(error)) == (Unread(path="/x", reason=reason, vanished=vanished),)


def test_an_error_without_any_reason_has_not_vanished() -> None:
    """What restic does not say must not excuse a file that is missing in the backup."""
    (found,) = Unread.parse(said(None))
    assert (found.path, found.vanished) == ("/x", False)


def test_each_error_is_told_and_nothing_else() -> None:
    """Blank lines, the summary of the warnings and other messages are not files."""
    text = "\n".join(
        [
            "",
            "  ",
            "Warning: at least one source file could not be read",
            json.dumps({"message_type": "status", "percent_done": 1}),
            said({"message": f"lstat /x: {GONE}"}),
            f"  error: open /y: {GONE}  ",
            "Fatal: unable to open repository",
            "[]",
        ]
    )
    assert Unread.parse(text) == (
        Unread(path="/x", reason=f"lstat /x: {GONE}", vanished=True),
        Unread(path="", reason=f"error: open /y: {GONE}", vanished=True),
        Unread(path="", reason="Fatal: unable to open repository", vanished=False),
        Unread(path="", reason="[]", vanished=False),
    )
