"""All that a run's verdict depends on, collected when the run is over: pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from harness.core.model import RunWarning, Stage, TeardownResult
from harness.core.settings import Settings
from harness.recipes.meta import RecipeMeta
from harness.run.observer import Seen
from harness.run.resources import growth
from harness.verdict import warnings
from harness.verdict.decide import decide
from harness.verdict.facts import EndedBy, RunFacts, StageFacts

CUSTOM = Stage.CUSTOM


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What is left of a run that is over."""

    settings: Settings
    meta: RecipeMeta  # the default one where the run did not get so far
    asked: tuple[Stage, ...]
    stages: tuple[StageFacts, ...]
    stopped: EndedBy | None
    teardown: TeardownResult | None
    seen: Seen
    warned: Iterable[RunWarning]

    def facts(self) -> RunFacts:
        """Return the facts, with all warnings."""
        opted_out = self.settings.skip_generic | self.meta.skip_generic()
        facts = RunFacts(
            stages=self.stages,
            asked=frozenset(self.asked),
            expected_skips=self.meta.expected_skips(),
            opted_out=opted_out - {CUSTOM},  # it has no generic assertions
            stopped=self.stopped,
            teardown=self.teardown,
            growth=growth(self.seen.resources),
            strict=self.settings.strict,
        )
        return replace(facts, warnings=self._warnings(facts, opted_out))

    def _warnings(self, facts: RunFacts, opted_out: frozenset[Stage]) -> tuple[RunWarning, ...]:
        """Return the warnings of the whole run, those that the recipe accepts marked as such."""
        done = [one.stage for one in self.stages if not one.left_out and one.stage is not CUSTOM]
        told = (
            *self.warned,
            *warnings.left_out([stage for stage in done if stage in opted_out]),
            *warnings.stale_skips(self.stages, self.meta.EXPECTED_SKIPS),
        )
        complete = decide(facts).may_merge
        return warnings.settled(told, self.meta.ACCEPT_WARNINGS, complete=complete)
