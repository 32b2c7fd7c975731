"""The names of a run: short, and not to be guessed unless a domain was asked for."""

from __future__ import annotations

import re
from datetime import datetime

from harness.core.errors import UsageError
from harness.core.settings import Settings
from harness.platforms.base import Target
from harness.recipes.catalogue import Entry
from harness.run import reaper

SLUG_LENGTH = 10  # of the recipe's name in a domain: full names may have 64 characters at most


def target_for(entry: Entry, settings: Settings, *, token: str, now: datetime) -> Target:
    """Return the names of a run.

    Raises:
        UsageError: the domain that was asked for cannot be used.
    """
    slug = re.sub(r"[^a-z0-9-]", "-", entry.name)[:SLUG_LENGTH].strip("-")
    domain = settings.domain or f"{slug}-{token}.test"
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,40}[a-z0-9])?", domain):
        raise UsageError(
            f"invalid test domain '{domain}'",
            cause="it needs 1 to 42 of a-z, 0-9, '-' and '.', so that names made of it stay short",
            hint="leave --domain out for a random one",
        )
    stamp = now.strftime("%Y%m%dT%H%M%S")
    run = f"{entry.name}-{stamp}-{token}"
    return Target(recipe=entry.name, run=run, scope=reaper.scope(settings.cache), domain=domain)
