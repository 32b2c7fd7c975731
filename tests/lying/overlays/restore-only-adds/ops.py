"""Adds a page after the backup, which a restore has to take away."""

from harness.api import SeedContext


def pre_restore(ctx: SeedContext) -> None:
    """Make the page."""
    ctx.app.exec_in_app("app", ["touch", "/usr/share/nginx/html/later.html"], timeout=30)
