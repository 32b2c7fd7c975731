"""What a stranger's change may try, row by row: `python -m tests.hostile` prints the same table."""

from pathlib import Path

import pytest

from tests.hostile.readers import commands
from tests.hostile.table import Attempt, attempts

SLOW = (pytest.mark.nightly, pytest.mark.timeout(900))


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, id=row.name, marks=SLOW if row.nightly else ()) for row in attempts()],
)
def test_the_promise_is_kept(row: Attempt, tmp_path: Path) -> None:
    """Whatever is tried; the row says what happened."""
    assert row.act(tmp_path)


def test_the_readers_take_real_commands() -> None:
    """Else no attempt could fail: each is what such a CI documents."""
    for said, reader in (
        (" ::set-output name=a::b", "GitHub"), ("a\r::error file=x::b", "GitHub"),
        ("a ##[add-mask]b", "GitHub"), ("a\u2028::add-path::/x", "act"),
        ("a ##vso[task.complete result=Succeeded;]b", "Azure"),
        ("##teamcity[buildNumber '1']", "TeamCity"), ("section_end:1:x\r\x1b[0K", "GitLab"),
        ("[[ATTACHMENT|/etc/x]]", "JUnit"),
    ):  # fmt: skip
        assert any(found.startswith(reader) for found in commands(said)), said
    assert commands("r/t.py::test_a: [1] # 2\n| ::error::x") == []
