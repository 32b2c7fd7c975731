"""`python -m harness.report.site [RUNS...] [--out DIR]`: write the page, its badges and its index.

RUNS are directories of runs (default: the one that runs go to). Without --out, the page goes to the
folder `site` in the first of them, and its links to the runs beside it stay right when both move.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from harness.core.errors import EXIT_PASSED, HarnessError, UsageError
from harness.core.settings import Settings
from harness.report.output import complain, program
from harness.report.site import badges, index, page

INDEX = "runs.sqlite"


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Write the site and return the exit code."""
    try:
        sys.stdout.write(write(argv, environ) + "\n")
    except HarnessError as error:
        return complain(error)
    return EXIT_PASSED


def write(argv: Sequence[str], environ: Mapping[str, str]) -> str:
    """Write the site and return what to tell.

    Raises:
        UsageError: an option is unknown, or a directory is not there.
    """
    roots, out = _parsed(argv)
    roots = roots or [Settings.load([], environ).output]
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


def _parsed(argv: Sequence[str]) -> tuple[list[Path], Path | None]:
    words, roots, out = list(argv), [], None
    while words:
        word = words.pop(0)
        if word == "--out" and words:
            out = Path(words.pop(0))
        elif word.startswith("-"):
            raise UsageError(f"{word} is no option of the site", hint="[RUNS...] [--out DIR]")
        else:
            roots.append(Path(word))
    return roots, out


if __name__ == "__main__":
    program(lambda: main(sys.argv[1:], os.environ))
