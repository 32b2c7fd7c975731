"""Make an account, as somebody does who sets the app up."""

from harness.api import SeedContext


def pre_upgrade(ctx: SeedContext) -> None:
    """Make it."""
    ctx.app.exec_in_app("app", ["touch", "/usr/share/nginx/html/account"], timeout=30)
