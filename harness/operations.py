"""The ops: the one mutating act of each stage, with the wait that belongs to it.

Every op is recorded in the ledger as it begins and as it ends, returns when the app has settled,
and reports facts (JSON values) that assertions and reports compare the deployment with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import docker

from harness.assertions.app import App
from harness.assertions.protocol import Facts, Health
from harness.backups.labels import BackupSpec
from harness.backups.restic import Repository, run_hook
from harness.docker.readiness import Before
from harness.docker.settle import settle
from harness.docker.snapshot import StackSnapshot, read_stack
from harness.errors import BackupError, InvalidRecipeError, RecipeError, WaitTimeoutError
from harness.ledger import Ledger, Op
from harness.model import Adaptation, Stage
from harness.plan.planner import Plan
from harness.platforms.base import Deployed, Platform, Revision, Target
from harness.recipes.meta import RecipeMeta
from harness.recipes.repo import Repo
from harness.seeding import SeedContext, SeedHooks
from harness.waiting import Deadline, wait_for

HOOK_SECONDS = 600.0
ANSWER_SECONDS = 60.0
NOT_YET = (0, 502, 503, 504)  # no answer, or that of a server whose other half is not there yet
SETTLE_AGAIN_SECONDS = 300.0  # after a backup or a restore, which cycle containers at most


class Tools(Protocol):
    """The harness's own containers beside the app."""

    def start_reader(self) -> str:
        """Start the container that asks apps for pages, make the repository, return its id."""

    def vault(self, volumes: tuple[str, ...]) -> Repository:
        """Return the repository as seen from a container that has those volumes mounted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Everything that a run's ops work with.

    Args:
        factor: multiplies every time-out.
    """

    client: docker.DockerClient
    plan: Plan
    target: Target
    platform: Platform
    repo: Repo
    tools: Tools
    seeds: SeedHooks
    ledger: Ledger
    meta: RecipeMeta
    node_id: str
    factor: float = 1.0
    step: Callable[[str], None] = field(default=lambda _: None)


@dataclass(kw_only=True)
class Operations:
    """Performs the ops of one run; `adaptations` grows while it goes on."""

    context: Context
    adaptations: dict[Adaptation, None] = field(default_factory=dict)
    reader: str = ""
    _seen: dict[str, dict[str, Any]] = field(default_factory=dict)
    _state: dict[str, Any] = field(default_factory=dict)
    _vault: Repository | None = None
    _revision: Revision | None = None
    _deployed: Deployed | None = None
    _broken: frozenset[str] = frozenset()  # the tasks that had broken when the op had settled

    def perform(self, stage: Stage) -> Mapping[str, Any]:
        """Run the stage's seed hook and its op, wait until the app has settled, return the facts.

        Raises:
            HarnessError: what kept it from settling, or from being done at all.
        """
        ops: Mapping[Stage, Callable[[], dict[str, Any]]] = {
            Stage.INSTALL: self._install,
            Stage.UPGRADE: self._upgrade,
            Stage.BACKUP: self._backup,
            Stage.RESTORE: self._restore,
            Stage.CUSTOM: dict,
        }
        if stage is not Stage.INSTALL:
            if self.context.seeds.has(stage):
                self.context.step(f"{stage}: seed hook")
            self.context.seeds.run(stage, SeedContext(app=self.app(stage), state=self._state))
        if stage is not Stage.CUSTOM:
            self.context.step(f"{stage}: op")
        self._seen[stage] = ops[stage]()
        if stage is not Stage.CUSTOM:
            self._await_answer(stage)
        self._broken = frozenset(task.id for task in self._look().tasks if task.broken)
        return self._seen[stage]

    def broken_since(self, stage: Stage) -> str:
        """Return which task broke after the stage's op had settled, in a sentence; empty if none.

        A service that crashes every few seconds looks fine in between.
        """
        look = self._look()
        names = {service.id: service.name for service in look.services}
        return "; ".join(
            f"{names.get(task.service_id, '?')} broke after the {stage} had settled: "
            f"{task.error or f'exit code {task.exit_code}'}"
            for task in look.tasks
            if task.broken and task.id not in self._broken
        )

    def _await_answer(self, stage: Stage) -> None:
        """Wait, within bounds, until the app answers at all.

        A container without a health check counts as up before its program listens. What the answer
        is, and that there is one, is for the assertions to judge: nothing is raised here.
        """
        app = self.app(stage)
        with suppress(WaitTimeoutError, RecipeError):
            wait_for(
                lambda: app.http_get().status,
                what="an answer of the app",
                deadline=Deadline.after(ANSWER_SECONDS * self.context.factor),
                ready=lambda status: status not in NOT_YET,
                interval=0.2,
            )

    def _install(self) -> dict[str, Any]:
        plan = self.context.plan
        commit = plan.base.commit if plan.base else plan.head.commit
        with ThreadPoolExecutor(max_workers=1) as pool:
            reader: Future[str] = pool.submit(self.context.tools.start_reader)
            facts = self._deploy(Op.DEPLOY, commit, chaos=plan.base is None, before=Before())
            self.reader = reader.result()
        return facts

    def _upgrade(self) -> dict[str, Any]:
        before = self._look()
        facts = self._deploy(
            Op.REDEPLOY, self.context.plan.head.commit, chaos=True, before=Before.of(before)
        )
        old = {service.name: service for service in before.services}
        after = self._look()
        facts["update_started_before"] = {s.name: s.update_started for s in before.services}
        facts["changed_services"] = [
            service.name
            for service in after.services
            if service.name in old and service.template != old[service.name].template
        ]
        facts["labels_before"] = {s.name: dict(s.labels) for s in before.services}
        facts["labels_after"] = {s.name: dict(s.labels) for s in after.services}
        facts["images_before"] = {s.name: s.image for s in before.services}
        return facts

    def _deploy(self, op: Op, commit: str, *, chaos: bool, before: Before) -> dict[str, Any]:
        context = self.context
        context.repo.checkout(commit)
        revision = Revision(
            directory=context.repo.path, commit=commit, chaos=chaos, dirty=context.repo.dirty()
        )
        context.ledger.begin(op, commit=commit, chaos=chaos)
        deployed: Deployed = context.platform.deploy(revision)
        self.adaptations.update(dict.fromkeys(deployed.adaptations))
        self._revision, self._deployed = revision, deployed
        timeout = (context.meta.DEPLOY_TIMEOUT or deployed.timeout) * context.factor
        context.step(f"{op}: waiting until settled")
        settled = settle(
            context.client, context.target.stack, node_id=context.node_id, before=before,
            timeout=timeout,
        )  # fmt: skip
        images = {service.name: service.image for service in settled.services}
        context.ledger.end(op, commit=commit, images=images)
        return {"commit": commit, "version": deployed.version, "images": images}

    def _backup(self) -> dict[str, Any]:
        look = self._look()
        spec = BackupSpec.of(look.services, self.context.target.stack)
        if not spec.parts:
            raise BackupError(
                "no volume is backed up",
                cause="no service has the label backupbot.backup=true, or all volumes are left out",
                hint="correct the labels, or set BACKUP_CAPABLE = False in recipe_meta.py",
            )
        self._vault = self.context.tools.vault(tuple(sorted({part.volume for part in spec.parts})))
        self.context.ledger.begin(Op.BACKUP)
        hooks = self._hooks(spec, "backup.pre-hook")
        snapshot = self._vault.backup(spec.parts, host=self.context.target.stack)
        hooks += self._hooks(spec, "backup.post-hook")
        self.context.ledger.end(Op.BACKUP, snapshot=snapshot.id)
        self._settle_again(look)
        return {
            "snapshot": snapshot.id,
            "files": snapshot.files,
            "bytes": snapshot.size,
            "volumes": [part.volume for part in spec.parts],
            "excluded": list(spec.excluded),
            "hooks": hooks,
        }

    def _restore(self) -> dict[str, Any]:
        look = self._look()
        spec = BackupSpec.of(look.services, self.context.target.stack)
        snapshot = str(self._seen[Stage.BACKUP]["snapshot"])
        vault = self._vault
        assert vault is not None  # noqa: S101  the plan never restores without a backup before
        self.context.ledger.begin(Op.RESTORE, snapshot=snapshot)
        hooks = self._hooks(spec, "restore.pre-hook")
        vault.restore(snapshot, spec.parts)
        hooks += self._hooks(spec, "restore.post-hook")
        self.context.ledger.end(Op.RESTORE, snapshot=snapshot)
        self._settle_again(look)
        return {"snapshot": snapshot, "hooks": hooks}

    def _hooks(self, spec: BackupSpec, label: str) -> list[dict[str, str]]:
        """Run every service's hook of that label, and return what each printed."""
        app = self.app(Stage.BACKUP)
        done = []
        for hooks in spec.hooks:
            command = hooks.command(label)
            if command:
                said = run_hook(
                    app.target(hooks.service), command, label=label,
                    timeout=HOOK_SECONDS * self.context.factor,
                )  # fmt: skip
                done.append({"service": hooks.service, "label": label, "output": said[-2000:]})
        return done

    def _settle_again(self, before: StackSnapshot) -> None:
        context = self.context
        timeout = (context.meta.DEPLOY_TIMEOUT or SETTLE_AGAIN_SECONDS) * context.factor
        settle(
            context.client, context.target.stack, node_id=context.node_id,
            before=Before.of(before), timeout=timeout,
        )  # fmt: skip

    def _look(self) -> StackSnapshot:
        context = self.context
        return read_stack(context.client, context.target.stack, node_id=context.node_id)

    def facts(self, stage: Stage) -> Facts:
        """Return what the run knows about itself in that stage."""
        plan, revision, deployed = self.context.plan, self._revision, self._deployed
        assert revision is not None  # noqa: S101  every stage follows an install
        assert deployed is not None  # noqa: S101  the same
        return Facts(
            run=self.context.target.run,
            recipe=plan.recipe,
            stack=self.context.target.stack,
            domain=self.context.target.domain,
            stage=stage,
            deployed=revision.commit,
            deployed_version=deployed.version,
            services=deployed.services,
            chaos=revision.chaos,
            base_commit=plan.base.commit if plan.base else "",
            base_version=str(plan.base.version) if plan.base else "",
            head_commit=plan.head.commit,
            head_version=str(plan.head.version or ""),
            ledger=str(self.context.ledger.path),
            health=self._health(deployed),
            seen=self._seen,
            state=self._state,
        )

    def _health(self, deployed: Deployed) -> Health:
        """Return how what is deployed now is asked whether it works: a head may listen elsewhere.

        Raises:
            InvalidRecipeError: the service that the meta names is not there.
        """
        meta, services = self.context.meta, deployed.services
        if meta.HEALTH_SERVICE and meta.HEALTH_SERVICE not in services:
            raise InvalidRecipeError(
                f"the recipe has no service '{meta.HEALTH_SERVICE}' to be asked for a page",
                hint=f"set HEALTH_SERVICE in recipe_meta.py to one of {', '.join(services)}",
            )
        likely = [name for name in ("app", *deployed.ports) if name in services]
        service = meta.HEALTH_SERVICE or next(iter(likely), services[0])
        return Health(
            service=service,
            port=meta.HEALTH_PORT or deployed.ports.get(service, 80),
            path=meta.HEALTH_PATH,
            status=meta.HEALTH_STATUS,
            marker=meta.MARKER,
        )

    def app(self, stage: Stage) -> App:
        """Return the handle to the app that is up."""
        return App(
            client=self.context.client,
            facts=self.facts(stage),
            node_id=self.context.node_id,
            reader=self.reader,
            factor=self.context.factor,
            note=self.context.ledger.note,
        )
