"""custom-html after its install."""

from harness.api import App, Facts

CONFIG_OF = {"1.0.0": "v1", "1.1.0": "v2", "1.2.0": "v3", "1.3.0": "v4"}


def test_the_configuration_is_that_of_the_deployed_release(app: App, facts: Facts) -> None:
    """A release deployed as something newer would serve the newer configuration."""
    release = facts.deployed_version.partition("+")[0]
    assert app.http_get().headers["x-recipe-config"] == CONFIG_OF[release]


def test_the_site_is_served(app: App) -> None:
    """A fresh volume is filled with the image's own page."""
    assert app.http_get("/index.html").status == 200
