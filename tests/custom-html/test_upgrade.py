"""custom-html after its upgrade."""

from collections.abc import Mapping

from harness.api import App


def test_the_seeded_page_survived(app: App, state: Mapping[str, str]) -> None:
    """The site is what its owner put in: on the volume, and as it is served."""
    assert app.read_file("/usr/share/nginx/html/seeded.html").decode() == state["page"]
    assert app.http_get("/seeded.html").text == state["page"]


def test_the_new_configuration_is_served(app: App) -> None:
    """What answers is the head, in its configuration as in its program."""
    assert app.http_get().headers["x-recipe-config"] == "v4"
    assert app.http_get("/recipe.txt").text.startswith("custom-html 1.3.0")
