"""What must be gone after a restore."""

from harness.api import App


def test_what_came_after_the_backup_is_gone(app: App) -> None:
    """A restore brings a state back, and that page is no part of it."""
    assert app.http_get("/later.html").status == 404
