"""What is done to the app, from its images to its removal, and what was seen meanwhile."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from harness.backups.tools import ToolContainers
from harness.core.events import Doing, Step
from harness.core.ledger import Ledger
from harness.core.model import Adaptation, StageResult, TeardownResult
from harness.core.signals import Stopper
from harness.platforms.abra.platform import AbraPlatform
from harness.platforms.base import Platform
from harness.platforms.override import own_labels
from harness.platforms.swarm import SwarmPlatform
from harness.run import requirements
from harness.run.backup_choice import driver_for
from harness.run.journal import Journal
from harness.run.observer import Observer, Seen
from harness.run.studied import TESTS, Studied
from harness.run.teardown import diagnose, tear_down
from harness.stages.context import Context
from harness.stages.execute import Execution
from harness.stages.install_steps import InstallSteps
from harness.stages.operations import Operations
from harness.swarm.own_networks import own_name
from harness.verdict.facts import StageFacts


@dataclass(frozen=True, kw_only=True)
class Performed(Studied):
    """And what came of the stages that the run got to."""

    stages: tuple[StageResult, ...]
    stage_facts: tuple[StageFacts, ...]
    adaptations: tuple[Adaptation, ...]
    base_usable: bool
    driver: str


@dataclass(frozen=True, kw_only=True)
class Ended(Performed):
    """And how its removal went, and what was seen of the app."""

    teardown: TeardownResult | None  # None where the app was to be kept, which went wrong
    diagnosis: tuple[str, ...]
    seen: Seen


def perform(studied: Studied, journal: Journal, stack: ExitStack, stopper: Stopper) -> None:
    """Deploy the app and perform all stages; the stack then removes it, whatever comes before.

    Raises:
        TestBedError: the machine is too small, or an image cannot be had.
        RecipeError: the registry has no such image.
        AbortedError: the run was told to stop.
    """
    bed, subject = studied.bed, studied.subject
    requirements.require(
        studied.target.recipe,
        subject.meta.REQUIREMENTS,
        bed.client.info(),
        ipvs=bed.preflight.ipvs,
        local=bed.engine.host.startswith("unix://"),
    )
    subject.fetch(bed.images, step=journal.step)
    operations = Operations(context=_context(studied, journal))
    observer = Observer(
        operations=operations, directory=studied.directory, local=bed.engine.local,
        mask=journal.guard.mask, pictures=studied.settings.screenshots != "off",
    )  # fmt: skip
    engine = bed.engine.environ({})
    execution = Execution(
        operations=operations,
        directory=studied.directory,
        tests=TESTS,
        environ={**studied.environ, **engine},
        engine=engine,
        finished=journal.view.finished,
        observe=observer.stage,
    )
    stack.callback(_end, studied, execution, observer, journal)
    stack.callback(stopper.hold)  # the first to be called: a clean-up is not interrupted
    execution.run()
    observer.finish(tuple(execution.results))


def _context(run: Studied, journal: Journal) -> Context:
    """Choose the platform and the backup driver, and return what all ops of the run share."""
    bed, subject, target = run.bed, run.subject, run.target
    factor, ledger = run.settings.timeout_factor, Ledger(run.directory / "ledger.jsonl")
    platform = _platform(run)
    journal.guard.generated = lambda: platform.named_secrets
    tools = ToolContainers(
        client=bed.client, image=bed.toolbox, stack=target.stack, labels=own_labels(target),
        note=ledger.note, nodes=bed.nodes, network=own_name(target.stack),
    )  # fmt: skip
    environ = bed.engine.environ(run.environ)
    return Context(
        nodes=bed.nodes, plan=subject.plan, target=target, platform=platform, repo=subject.repo,
        tools=tools, seeds=subject.seeds, ledger=ledger, meta=subject.meta, factor=factor,
        steps=InstallSteps(scripts=subject.steps, environ=environ, factor=factor),
        backups=driver_for(run, platform, tools, say=journal.say),
        step=journal.step, fence=run.locks.check, warn=journal.warn,
    )  # fmt: skip


def _platform(run: Studied) -> Platform:
    """Return what deploys for one run."""
    bed, meta, policy = run.bed, run.subject.meta, run.subject.policy
    limits, abra = bed.limits(meta.LIMITS), run.abra
    if abra is None:
        return SwarmPlatform(
            client=bed.client, environ=bed.engine.environ({}), target=run.target, work=run.work,
            dnsrr=bed.dnsrr, images=bed.images, extra_env=meta.EXTRA_ENV, limits=limits,
            deploy_flags=bed.deploy_flags, nodes=bed.nodes, policy=policy,
        )  # fmt: skip
    return AbraPlatform(
        abra=abra, client=bed.client, environ=bed.engine.environ(run.environ), target=run.target,
        work=run.work, log=run.directory / "logs" / "abra.calls.log", dnsrr=bed.dnsrr,
        images=bed.images, extra_env=meta.EXTRA_ENV, limits=limits, nodes=bed.nodes,
        factor=run.settings.timeout_factor, policy=policy,
    )  # fmt: skip


def _end(studied: Studied, execution: Execution, observer: Observer, journal: Journal) -> None:
    """Finish the chain: what came of the stages, the removal of the app, and what was seen."""
    operations, stages = execution.operations, tuple(execution.results)
    performed = journal.finished(
        Performed(
            **vars(studied),
            stages=stages,
            stage_facts=tuple(execution.facts),
            adaptations=tuple(operations.adaptations),
            base_usable=not operations.known.base_unusable,
            driver=operations.context.backups.name,
        )
    )
    journal.step(Doing(step=Step.LOGS))
    diagnosis = diagnose(studied, scrub=journal.guard.mask)
    down = None
    try:
        down = tear_down(studied, operations.context.platform, journal)
    finally:
        seen = observer.seen(stages, studied.settings.output)
        journal.finished(Ended(**vars(performed), teardown=down, diagnosis=diagnosis, seen=seen))
