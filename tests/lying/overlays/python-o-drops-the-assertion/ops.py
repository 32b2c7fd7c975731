"""A seed hook that expects something of the page; `python -O` would leave that out."""

from harness.api import SeedContext


def pre_backup(ctx: SeedContext) -> None:
    """Look for a text that is not there."""
    index = ["cat", "/usr/share/nginx/html/index.html"]
    page = ctx.app.exec_in_app("app", index, timeout=30, repeatable=True)
    assert b"a text that is not there" in page.stdout, "the page has no such text"
