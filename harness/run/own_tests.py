"""The tests that a recipe's own repository ships: whether they run, and where they are laid out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.ci.pull_request import Change
from harness.core.settings import Settings
from harness.recipes import approval
from harness.recipes.approval import Approvals, Gate
from harness.recipes.catalogue import Entry
from harness.recipes.repo import Repo
from harness.recipes.shipped import LaidOut, Shipped


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where the files around a recipe lie.

    Args:
        tests: the project's `tests` directory, with the generic assertions in it.
        overlays: where recipes' overlays and the list of approvals lie.
        work: a directory of the run's own.
    """

    tests: Path
    overlays: Path
    work: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTests:
    """The tests that a recipe's head ships, and what was decided about them."""

    shipped: Shipped
    gate: Gate
    laid_out: LaidOut | None
    approvals: Path

    @property
    def denied(self) -> tuple[str, ...]:
        """The files that are not run."""
        return () if self.laid_out else self.shipped.paths

    @property
    def why(self) -> str:
        """Why it is not run, with what to do about it; empty when it is run, or is none."""
        if self.laid_out or not self.shipped.found:
            return ""
        todo = f"; after reading it, add to {self.approvals}: {self.gate.line}"
        return f"the tests that the recipe ships: {self.gate.reason}" + (
            todo if self.gate.line else ""
        )

    @property
    def note(self) -> str:
        """What the plan says of code that is run."""
        if self.laid_out is None:
            return ""
        if self.gate.weak:
            return (
                "WEAK approval: whatever the recipe ships is run, since only its name is in "
                f"{self.approvals}; for just this code: {self.gate.line}"
            )
        return f"the recipe's own tests are run, as approved: {self.gate.digest}"


def own_tests(
    entry: Entry,
    repo: Repo,
    commit: str,
    settings: Settings,
    *,
    places: Places,
    change: Change | None,
) -> OwnTests:
    """Decide about the code that the head ships, and lay it out when it may run."""
    approvals = Approvals.load(places.overlays / approval.FILE)
    shipped = Shipped.read(repo, commit)
    gate = approval.decide(
        approvals,
        recipe=entry.name,
        source=settings.src or (change.source if change else "") or entry.source,
        # A pull request may be anybody's: a recipe's bare name does not speak for it.
        enrolled_source=entry.source if entry.line and not settings.pr else "",
        shipped=shipped,
    )
    laid_out = gate.admit(shipped, repo, places.work / "repo-local")
    return OwnTests(shipped=shipped, gate=gate, laid_out=laid_out, approvals=approvals.path)
