"""Rows as a user would have them."""

from harness.api import SeedContext

ROWS = "1,published\n2,draft\n3,published\n"


def pre_upgrade(ctx: SeedContext) -> None:
    """Write the table."""
    ctx.state["rows"] = ROWS
    ctx.app.exec_in_app(
        "app",
        ["sh", "-c", "cat > /usr/share/nginx/html/table.csv"],
        timeout=30,
        stdin=ROWS.encode(),
    )
