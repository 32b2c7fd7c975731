"""Which limits of a container are the recipe's own, and which ones the harness laid over it.

An app that meets a limit of its recipe is at fault; one that meets ours has met a small machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LABEL = "ccci.limits"  # on containers: the names of limits that are the harness's, by commas
MEMORY, PIDS = "memory", "pids"
_KEYS = {MEMORY: "MemoryBytes", PIDS: "Pids"}


def laid_over(labels: Mapping[str, str] | None) -> frozenset[str]:
    """Return the names of the limits that the harness laid over a container with these labels."""
    return frozenset((labels or {}).get(LABEL, "").split(","))


def of_recipe(template: Mapping[str, Any]) -> Mapping[str, int]:
    """Return the limits that the recipe sets in a task's template, by name: bytes, processes."""
    limits = (template.get("Resources") or {}).get("Limits") or {}
    ours = laid_over(template["ContainerSpec"].get("Labels"))
    return {
        name: limits[key] for name, key in _KEYS.items() if limits.get(key) and name not in ours
    }
