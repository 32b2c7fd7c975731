"""The ops: the one mutating act of each stage, with the wait that belongs to it.

Every op is recorded in the ledger as it begins and as it ends, returns when the app has settled,
and reports facts (JSON values) that assertions and reports compare the deployment with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from docker.errors import DockerException
from requests.exceptions import RequestException

from harness.core.errors import HarnessError, TestBedError
from harness.core.events import Doing, Step
from harness.core.ledger import Op
from harness.core.model import Adaptation, Outcome, Stage
from harness.core.waiting import stretched
from harness.platforms.base import Deployed, Revision
from harness.platforms.override import own_labels
from harness.recipes import ignored
from harness.recipes.releases import Release
from harness.stages.backup_operations import BackupOperations
from harness.stages.context import Context
from harness.stages.handover import HandOvers
from harness.stages.known import Known
from harness.stages.seeding import SeedContext
from harness.swarm import changes, templates
from harness.swarm.faults import spoiled
from harness.swarm.neighbours import ambiguous
from harness.swarm.own_networks import own_name
from harness.swarm.readiness import Before
from harness.swarm.states import StackSnapshot
from harness.swarm.sweep import sweep_stack
from harness.swarm.templates import config_text
from harness.verdict import warnings
from harness.volumes.hidden import Hidden

REMOVE_SECONDS = 120.0


@dataclass(kw_only=True)
class Operations:
    """Performs the ops of one run.

    Args:
        context: what they share.
        adaptations: what stood in for what a server has; it grows.
        given: the hand-overs.
        known: what the run knows about itself.
    """

    context: Context
    adaptations: dict[Adaptation, None] = field(default_factory=dict)
    given: HandOvers = field(init=False)
    known: Known = field(init=False)
    _stage: Stage = Stage.INSTALL
    _backups: BackupOperations = field(init=False)

    def __post_init__(self) -> None:
        """Prepare what keeps the app's data; commands go to the app of the stage of the moment."""
        self.given = HandOvers(context=self.context)
        self.known = Known(context=self.context, given=self.given)
        self._backups = BackupOperations(
            context=self.context,
            target=lambda service: self.known.app(self._stage).target(service),
            adaptations=self.adaptations,
        )

    def perform(self, stage: Stage) -> Mapping[str, Any]:
        """Run the stage's seed hook and its op, wait until the app has settled, return the facts.

        Raises:
            HarnessError: what kept it from settling, or from being done at all.
        """
        ops: Mapping[Stage, Callable[[], dict[str, Any]]] = {
            Stage.INSTALL: self._install,
            Stage.UPGRADE: self._upgrade,
            Stage.BACKUP: self._backups.backup,
            Stage.RESTORE: self._backups.restore,
            Stage.CUSTOM: dict,
        }
        known, given = self.known, self.given
        if self._stage is Stage.INSTALL and stage is not Stage.INSTALL:
            given.pages.look_again(known.app(Stage.INSTALL), stage)
        self._stage = stage
        if stage is not Stage.INSTALL:
            self.context.tools.leave()
            if stage is Stage.UPGRADE:
                self.context.await_jobs()
            given.require_settled(known.app(stage), stage)
            self.context.fence()
            self._seed(stage)
        if stage is not Stage.CUSTOM:
            self.context.step(Doing(step=Step.OP, stage=stage))
            self.context.fence()
        facts = ops[stage]()
        given.make(known.app(stage), stage)
        known.seen[stage] = {**facts, **given.pages.facts(stage)}
        return known.seen[stage]

    def _seed(self, stage: Stage) -> None:
        """Run the stage's seed hooks, which may ask the app."""
        if self.context.seeds.has(stage):
            self.context.step(Doing(step=Step.SEED, stage=stage))
            with self.context.tools.asking():
                app = self.known.app(stage)
                self.context.seeds.run(stage, SeedContext(app=app, state=self.known.state))
                self.given.pages.look_again(app, stage)

    def _install(self) -> dict[str, Any]:
        """Deploy the base, or the head where there is none, or where the base cannot be installed.

        Raises:
            HarnessError: what is to be deployed at last did not settle.
        """
        plan = self.context.plan
        with ThreadPoolExecutor(max_workers=1) as pool:
            reader: Future[str] = pool.submit(self.context.tools.start_reader)
            if plan.base is None:
                return self._set_up(plan.head.commit, chaos=True, reader=reader)
            try:
                return self._set_up(plan.base.commit, chaos=False, reader=reader)
            except HarnessError as error:
                # One that the machine spoils stays as it is: it is judged where every end is.
                if error.outcome is not Outcome.FAILED or spoiled(self.context.nodes):
                    raise
                self._give_up_base(plan.base, error)
            return self._set_up(plan.head.commit, chaos=True, reader=reader)

    def _set_up(self, commit: str, *, chaos: bool, reader: Future[str]) -> dict[str, Any]:
        """Deploy where nothing is deployed, and do what an operator does by hand then."""
        facts = self._deploy(Op.DEPLOY, commit, chaos=chaos, before=Before())
        self.known.reader = reader.result()
        if self.context.steps.scripts:
            before = Before.of(self.context.look())
            self.context.step(Doing(step=Step.INSTALL_STEPS, stage=Stage.INSTALL))
            facts["install_steps"] = self.context.steps.run(
                self.context.target,
                self.context.client,
                secrets=(),  # masked with the result, by what notes leaks down
                seconds=self.context.app_seconds,
            )
            self.context.settle(before)
        return facts

    def _give_up_base(self, base: Release, error: HarnessError) -> None:
        """Remove a base that cannot be installed: its fault is not the head's.

        Raises:
            TestBedError: something of it cannot be removed, so the head would not be alone.
        """
        context = self.context
        self.known.base_unusable = f"base unusable: {base.tag} cannot be installed: {error.what}"
        context.warn(warnings.base_unusable(base.tag, error.what))
        context.step(Doing(step=Step.BASE_REMOVED, stage=Stage.INSTALL, about=base.tag))
        context.ledger.begin(Op.UNDEPLOY, commit=base.commit)
        context.platform.start_over()
        timeout = stretched(REMOVE_SECONDS)
        swept = sweep_stack(
            context.client, context.target.stack, timeout=timeout, nodes=context.nodes
        )
        if swept.left:
            raise TestBedError(
                f"could not remove {base.tag}, which cannot be installed: {', '.join(swept.left)}",
                hint="nox -s reap",
            ) from error
        context.ledger.end(Op.UNDEPLOY, commit=base.commit, removed=dict(swept.removed))

    def _upgrade(self) -> dict[str, Any]:
        before = self.context.look()
        self.context.remember_base(before)
        kept = self._backups.before_upgrade(before)
        try:
            facts = self._deploy(
                Op.REDEPLOY, self.context.plan.head.commit, chaos=True, before=Before.of(before)
            )
        except HarnessError:
            self.known.seen[Stage.UPGRADE] = changes.compared(before, self._last_look(before))
            raise
        after = self.context.look()
        self._backups.require_in_place(after)
        compared = changes.compared(before, after)
        stack = self.context.target.stack
        if warning := changes.only_label(before.services, after.services, stack):
            self.context.warn(warning)
        # A service that the head dropped runs on with its volumes, and counts no more.
        declares = self.known.deployed.services
        services = tuple(s for s in after.services if s.name in declares)
        declared = changes.declared_volumes(self.context.client, services)
        kept |= self._backups.after_upgrade(before, replace(after, services=services), declared)
        hidden = Hidden(
            nodes=self.context.nodes,
            labels=own_labels(self.context.target),
            sums=self._backups.watch.sums,
            stack=stack,
        )
        for warning in hidden.warnings(before, after):
            self.context.warn(warning)
        return {**facts, **kept, **compared}

    def look_outside(self) -> None:
        """Look at what the app keeps outside its volumes, in a run of no stage that does so."""
        self._backups.look_outside()

    def _last_look(self, before: StackSnapshot) -> StackSnapshot:
        """Return the stack as an op that went wrong left it; the one before, if that is unknown."""
        try:
            return self.context.look()
        except (HarnessError, DockerException, RequestException):
            return before

    def _deploy(self, op: Op, commit: str, *, chaos: bool, before: Before) -> dict[str, Any]:
        context = self.context
        revision = Revision(
            files=context.repo.files(commit),
            commit=commit,
            chaos=chaos,
            source=context.repo.path,
            tag=context.plan.base.tag if context.plan.base and not chaos else "",
        )
        context.ledger.begin(op, commit=commit, chaos=chaos)
        deployed: Deployed = context.platform.deploy(revision)
        self.adaptations.update(dict.fromkeys(deployed.adaptations))
        self.known.commit, self.known.chaos, self.known.deployed = commit, chaos, deployed
        if commit == context.plan.head.commit:
            self._warn_of_what_is_deployed(deployed)
        context.step(Doing(step=Step.WAIT, about=op))
        context.allowed = deployed.timeout
        settled = context.settle(before, timeout=deployed.timeout)
        images = {service.name: service.image for service in settled.services}
        context.ledger.end(op, commit=commit, images=images)
        return {"commit": commit, "version": deployed.version, "images": images}

    def _warn_of_what_is_deployed(self, deployed: Deployed) -> None:
        """Warn of what the Swarm ignores or leaves empty, also if the app never settles for it."""
        client, look = self.context.client, self.context.look()
        shared = client.api.networks(filters={"name": own_name(look.stack, "")})
        for warning in (
            *ignored.warnings(deployed.ignored),
            *templates.missing(client, look.services),
            *ambiguous(look, [one["Id"] for one in shared], partial(config_text, client)),
        ):
            self.context.warn(replace(warning, stage=self._stage))
