"""custom-html after its restore."""

from collections.abc import Mapping

from harness.api import App


def test_what_was_seeded_is_back(app: App, state: Mapping[str, str]) -> None:
    """The changed page and the deleted note are what they were at the backup."""
    assert app.http_get("/seeded.html").text == state["page"]
    assert app.http_get("/notes/note.txt").text == state["note"]


def test_what_came_after_the_backup_is_gone(app: App) -> None:
    """A restore that only adds would leave it there."""
    assert app.http_get("/later.html").status == 404
