"""radicale after its upgrade."""

from collections.abc import Callable, Mapping

from harness.api import App, Response


def test_the_event_survived(ask: Callable[..., Response], state: Mapping[str, str]) -> None:
    """A calendar program still finds it."""
    answer = ask("GET", "/admin/work/seeded.ics")
    assert answer.status == 200
    assert state["summary"] in answer.text


def test_the_new_configuration_is_served(app: App) -> None:
    """What answers is the head's configuration."""
    assert app.http_get().headers["x-recipe-config"] == "v2"
