"""Enter something that the app encrypts; the key itself stands for that."""

from harness.api import SeedContext

ENTER = "cp /srv/key /usr/share/nginx/html/encrypted"


def pre_backup(ctx: SeedContext) -> None:
    """Enter it."""
    ctx.app.exec_in_app("app", ["sh", "-c", ENTER], timeout=30)
