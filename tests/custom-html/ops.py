"""Seed hooks: pages that an upgrade and a restore must not lose, and what a restore must undo."""

import secrets

from harness.api import SeedContext

SITE = "/usr/share/nginx/html"


def _write(ctx: SeedContext, name: str, content: str) -> None:
    ctx.app.exec_in_app(
        "app",
        ["sh", "-c", 'cat > "$1"', "write", f"{SITE}/{name}"],
        timeout=30,
        stdin=content.encode(),
        repeatable=True,
    )


def _seed(ctx: SeedContext) -> None:
    """Put a page in that nobody could guess, once a run."""
    if "page" not in ctx.state:
        ctx.state["page"] = f"<p>seeded {secrets.token_hex(8)}</p>\n"
        _write(ctx, "seeded.html", ctx.state["page"])


def pre_upgrade(ctx: SeedContext) -> None:
    """Have something that the upgrade could lose."""
    _seed(ctx)


def pre_backup(ctx: SeedContext) -> None:
    """Have something in the backup, a file below a folder included."""
    _seed(ctx)
    ctx.state["note"] = f"note {secrets.token_hex(8)}\n"
    ctx.app.exec_in_app("app", ["mkdir", "-p", f"{SITE}/notes"], timeout=30, repeatable=True)
    _write(ctx, "notes/note.txt", ctx.state["note"])


def pre_restore(ctx: SeedContext) -> None:
    """Change, delete and add, so that a restore which does nothing cannot pass."""
    _write(ctx, "seeded.html", "<p>changed after the backup</p>\n")
    ctx.app.exec_in_app("app", ["rm", "-rf", f"{SITE}/notes"], timeout=30, repeatable=True)
    _write(ctx, "later.html", "<p>made after the backup</p>\n")
