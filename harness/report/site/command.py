"""`python -m harness site`: write the page, its badges and its index.

Without --out, the page goes to the folder `site` in the first directory of runs, and its links to
the runs beside it stay right when both move.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from harness.core.errors import UsageError
from harness.report.site import badges, index, page

INDEX = "runs.sqlite"


def write(roots: Sequence[Path], out: Path | None = None) -> str:
    """Write the site and return what to tell.

    Raises:
        UsageError: a directory is not there.
    """
    for root in roots:
        if not root.is_dir():
            raise UsageError(f"{root} is no directory", hint="name a directory that runs are in")
    out = out or roots[0] / "site"
    (out / "badges").mkdir(parents=True, exist_ok=True)
    runs, unread = index.refresh(out / INDEX, roots)
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    (out / "index.html").write_text(page.render(runs, out, made=made), errors="replace")
    found = page.rows(runs, out)
    data = {"made": made, "recipes": page.data(found)}
    (out / "recipes.json").write_text(json.dumps(data, indent=2) + "\n")
    for row in found:
        file, word, only = out / "badges" / row.badge, row.last.outcome, row.last.limits
        file.with_name(f"{row.badge}.json").write_text(badges.badge_json(row.recipe, word, only))
        file.with_name(f"{row.badge}.svg").write_text(badges.badge_svg(row.recipe, word, only))
    left_out = [f"left out  {line}" for line in unread]
    return "\n".join([*left_out, f"{len(runs)} run(s): {out / 'index.html'}"])
