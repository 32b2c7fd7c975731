"""radicale after its restore."""

from collections.abc import Callable, Mapping

from harness.api import Response


def test_the_deleted_event_is_back(ask: Callable[..., Response], state: Mapping[str, str]) -> None:
    """A calendar program finds it again."""
    answer = ask("GET", "/admin/work/seeded.ics")
    assert answer.status == 200
    assert state["summary"] in answer.text


def test_the_later_event_is_gone(ask: Callable[..., Response]) -> None:
    """A restore that only adds would leave it there."""
    assert ask("GET", "/admin/work/later.ics").status == 404
