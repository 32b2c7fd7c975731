"""A badge per recipe: an SVG picture, and JSON for services that draw badges themselves."""

from __future__ import annotations

import json
from html import escape

from harness.core.model import Outcome
from harness.core.untrusted import visible

# Of white text on them, the contrast is 4.5 or more.
COLOURS = {
    Outcome.PASSED: "#1a7f37",
    Outcome.FAILED: "#b42318",
    Outcome.ERROR: "#8a5a00",
    Outcome.REFUSED: "#8a5a00",
    Outcome.SKIPPED: "#57606a",
    Outcome.ABORTED: "#57606a",
}
LETTER = 6.6  # pixels, the width of a letter at 11 pixels in a wide font


def badge_json(recipe: str, outcome: Outcome, limits: str = "") -> str:
    """Return the JSON of a badge: label, message and colour.

    Args:
        recipe: its name.
        outcome: the last run's word.
        limits: what this run was about, where that is not everything: it does not pass the recipe.
    """
    message, colour = _shown(outcome, limits)
    badge = {"schemaVersion": 1, "label": recipe, "message": message}
    return json.dumps({**badge, "color": colour}) + "\n"


def badge_svg(recipe: str, outcome: Outcome, limits: str = "") -> str:
    """Return the picture of a badge; its arguments are those of `badge_json`."""
    message, colour = _shown(outcome, limits)
    recipe = " ".join(visible(recipe).split())
    left, right = (round(len(text) * LETTER) + 12 for text in (recipe, message))
    said = escape(f"{recipe}: {message}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f'aria-label="{said}"><title>{said}</title>'
        f'<rect width="{left + right}" height="20" rx="3" fill="#444c56"/>'
        f'<rect x="{left}" width="{right}" height="20" rx="3" fill="{colour}"/>'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" '
        f'text-anchor="middle"><text x="{left / 2}" y="14">{escape(recipe)}</text>'
        f'<text x="{left + right / 2}" y="14">{message}</text></g></svg>\n'
    )


def _shown(outcome: Outcome, limits: str) -> tuple[str, str]:
    """Return a badge's message and colour; a pass of some stages alone is not green."""
    if not limits:
        return str(outcome), COLOURS[outcome]
    passed = outcome is Outcome.PASSED
    return f"{outcome}: {limits}", COLOURS[Outcome.SKIPPED if passed else outcome]
