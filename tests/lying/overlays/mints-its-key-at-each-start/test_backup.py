"""What must survive a restart of the server."""

from harness.api import App


def test_what_was_encrypted_can_be_read(app: App) -> None:
    """The app still has the key with which it was encrypted."""
    assert app.read_file("/srv/key") == app.read_file("/usr/share/nginx/html/encrypted")
