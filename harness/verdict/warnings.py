"""Warnings, as they stand beside the verdict: which the recipe accepts, and which are stale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.core.model import RunWarning, Stage, WarningCode
from harness.verdict.facts import StageFacts


def settled(
    warnings: Sequence[RunWarning], accepted: Mapping[str, str], *, complete: bool
) -> tuple[RunWarning, ...]:
    """Return the warnings with the reasons of those that are accepted, and one for each stale code.

    Args:
        warnings: what was seen, in order.
        accepted: the codes that the recipe's meta accepts, with the reasons.
        complete: whether every stage of the full plan passed; otherwise a warning that did not
            come may only have had no occasion.
    """
    told = [replace(one, accepted=accepted.get(one.code, "")) for one in warnings]
    seen = {one.code for one in warnings}
    stale = sorted(set(accepted) - seen) if complete else []
    for code in stale:
        found = RunWarning(
            code=WarningCode.STALE_ACCEPTANCE,
            text=f"ACCEPT_WARNINGS accepts {code}, but the run gave no such warning",
            next=f"remove {code} from ACCEPT_WARNINGS in recipe_meta.py",
        )
        told.append(replace(found, accepted=accepted.get(found.code, "")))
    return tuple(told)


def left_out(stages: Sequence[Stage]) -> tuple[RunWarning, ...]:
    """Return the warning for stages whose generic assertions were left out on request."""
    if not stages:
        return ()
    names = ", ".join(stages)
    return (
        RunWarning(
            code=WarningCode.GENERIC_LEFT_OUT,
            text=f"the generic assertions of {names} were left out on request",
            next="run it without CCCI_SKIP_GENERIC or SKIP_GENERIC before you merge",
        ),
    )


def base_unusable(tag: str, why: str) -> RunWarning:
    """Return the warning for a base that was given up, so that the head was installed alone."""
    return RunWarning(
        code=WarningCode.BASE_UNUSABLE,
        text=f"the upgrade was not tested: {tag} cannot be installed any more: {why}",
        next="--version TAG upgrades from another release",
        stage=Stage.INSTALL,
    )


def stale_skips(
    stages: Sequence[StageFacts], expected: Mapping[str, str] | None
) -> tuple[RunWarning, ...]:
    """Return a warning for each stage that the meta expects to be skipped and that was run."""
    return tuple(
        RunWarning(
            code=WarningCode.STALE_EXPECTED_SKIP,
            text=f"EXPECTED_SKIPS expects {one.stage} to be skipped, but it was run",
            next=f"remove {one.stage} from EXPECTED_SKIPS in recipe_meta.py",
            stage=one.stage,
        )
        for one in stages
        if one.stage in (expected or {}) and not one.left_out and one.blocked_by is None
    )
