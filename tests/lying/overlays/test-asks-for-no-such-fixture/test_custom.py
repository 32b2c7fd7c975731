"""An overlay with a slip of the pen."""

from harness.api import App


def test_it(app: App, databse: str) -> None:
    assert app.http_get().status == len(databse)
