"""radicale after its install."""

from collections.abc import Callable

from harness.api import App, Response


def test_the_generated_password_opens_the_door(ask: Callable[..., Response]) -> None:
    """The secret reached the app."""
    assert ask("PROPFIND", "/admin/").status == 207


def test_without_a_password_it_stays_shut(app: App) -> None:
    """An app that lets everybody in would pass the test above, too."""
    assert app.http_get("/admin/").status == 401
