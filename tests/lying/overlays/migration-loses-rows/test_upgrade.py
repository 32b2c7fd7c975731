"""What an upgrade must not lose."""

from collections.abc import Mapping

from harness.api import App


def test_every_row_survived(app: App, state: Mapping[str, str]) -> None:
    """Not most of them: every one."""
    assert app.read_file("/usr/share/nginx/html/table.csv").decode() == state["rows"]
