"""radicale as calendar programs use it."""

from collections.abc import Callable

from harness.api import Response


def test_the_calendar_is_found(ask: Callable[..., Response]) -> None:
    """A program that looks for calendars gets an answer for every collection (RFC 4918, 207)."""
    answer = ask("PROPFIND", "/admin/work/")
    assert answer.status == 207
    assert "calendar" in answer.text


def test_a_stranger_cannot_read_it(ask: Callable[..., Response]) -> None:
    """Another user's collections are not for the admin to see."""
    assert ask("PROPFIND", "/somebody-else/").status in {403, 404}
