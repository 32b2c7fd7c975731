"""The result of a run that is over, made from the last value that it finished."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

from harness.core.model import RunWarning, Stage
from harness.recipes.meta import RecipeMeta
from harness.report.results import Revision, RunResult
from harness.run.asked import Asked
from harness.run.performed import Ended, Performed
from harness.run.prepared import Chosen, Found
from harness.run.repeat import exact_command, needed_for, repeat_command
from harness.run.resources import growth
from harness.run.studied import Linted, Named, Sourced, Studied
from harness.run.subject import asked_stages
from harness.verdict import warnings
from harness.verdict.decide import BAD, decide
from harness.verdict.facts import EndedBy, RunFacts


def result_of(
    last: Asked, stopped: EndedBy | None, warned: Iterable[RunWarning]
) -> tuple[RunResult, RunFacts]:
    """Return the result and what its verdict rests on.

    Args:
        last: the last value that the run finished.
        stopped: the error that ended it outside any stage.
        warned: what it warned of.
    """
    facts = replace(_facts(last), stopped=stopped)
    facts = replace(facts, warnings=_warnings(facts, meta_of(last), warned))
    result = _so_far(last, facts)
    again = needed_for(result.verdict.stage, result.stages, upgrades=bool(result.base))
    commit = result.head.commit if result.head else ""
    entry, settings, nox = last.entry, last.settings, last.nox
    repeat = repeat_command(entry, settings, again, nox=nox)
    exactly = exact_command(entry, settings, again, commit=commit, nox=nox)
    return replace(result, repeat=repeat, repeat_exactly=exactly), facts


def meta_of(last: Asked) -> RecipeMeta:
    """Return the recipe's meta; the default one where the run did not get so far."""
    return last.subject.meta if isinstance(last, Studied) else RecipeMeta()


def _asked_stages(last: Asked) -> tuple[Stage, ...]:
    if isinstance(last, Studied):
        return tuple(one.stage for one in last.subject.plan.stages if one.asked)
    return asked_stages(last.settings, last.entry)


def _facts(last: Asked) -> RunFacts:
    """Return the facts, without the error that ended the run and without its warnings."""
    meta = meta_of(last)
    opted_out = last.settings.skip_generic | meta.skip_generic()
    return RunFacts(
        stages=last.stage_facts if isinstance(last, Performed) else (),
        asked=frozenset(_asked_stages(last)),
        expected_skips=meta.expected_skips(),
        opted_out=opted_out - {Stage.CUSTOM},  # it has no generic assertions
        teardown=last.teardown if isinstance(last, Ended) else None,
        growth=growth(last.seen.resources) if isinstance(last, Ended) else None,
        strict=last.settings.strict,
    )


def _warnings(
    facts: RunFacts, meta: RecipeMeta, warned: Iterable[RunWarning]
) -> tuple[RunWarning, ...]:
    """Return the warnings of the whole run, those that the recipe accepts marked as such."""
    done = [one.stage for one in facts.stages if not one.left_out]
    told = (
        *warned,
        *warnings.left_out([stage for stage in done if stage in facts.opted_out]),
        *warnings.stale_skips(facts.stages, meta.EXPECTED_SKIPS),
    )
    complete = decide(facts).may_merge
    return warnings.settled(told, meta.ACCEPT_WARNINGS, complete=complete)


def _so_far(last: Asked, facts: RunFacts) -> RunResult:
    """Return what each value adds to the result, without the commands that repeat the run."""
    settings, verdict = last.settings, decide(facts)
    result = RunResult(
        run=last.target.run, recipe=last.target.recipe, stack=last.target.stack,
        domain=last.target.domain, source=settings.src or last.entry.source,
        platform="abra" if settings.platform == "abra" else "swarm", settings=settings.shown(),
        started=last.started.isoformat(), seconds=time.monotonic() - last.began, verdict=verdict,
        repeat="", warnings=facts.warnings, harness=last.harness,
        asked=tuple(str(stage) for stage in _asked_stages(last)),
    )  # fmt: skip
    if isinstance(last, Chosen):
        result = replace(result, platform="abra" if last.abra else "swarm")
    if isinstance(last, Found):
        result = replace(result, engine=last.bed.facts())
    if isinstance(last, Sourced):
        result = replace(result, source=last.source)
    if isinstance(last, Named):
        result = replace(result, head=last.head)
    if isinstance(last, Linted):
        result = replace(result, lint=last.lint)
    if isinstance(last, Studied):
        plan = last.subject.plan
        head = replace(last.head, version=str(plan.head.version or ""))
        result = replace(result, head=head, plan=plan.lines(), left_out=plan.left_out)
        if base := plan.base:
            old = Revision(commit=base.commit, ref=base.tag, version=str(base.version))
            result = replace(result, base=old)
    if isinstance(last, Performed):
        result = replace(
            result, base=result.base if last.base_usable else None, backup_driver=last.driver,
            adaptations=last.adaptations, stages=last.stages,
        )  # fmt: skip
    if isinstance(last, Ended):
        diagnosis = last.diagnosis if verdict.outcome in BAD else ()
        seen = last.seen
        result = replace(
            result, teardown=last.teardown, diagnosis=diagnosis, resources=seen.resources,
            snapshot=seen.snapshot, screenshots=seen.screenshots, retries=seen.retries,
            images=seen.images,
        )  # fmt: skip
    return result
