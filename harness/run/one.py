"""The course of a run, from the lock to the last table: the place where all the parts meet."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from harness.backups.tools import ToolContainers
from harness.ci.pull_request import Change, ask
from harness.ci.under_test import DEFAULT_REF, asked_commit, asked_ref
from harness.core import events
from harness.core.errors import HarnessError, UsageError
from harness.core.events import Doing, Events, Step
from harness.core.ledger import Ledger
from harness.core.model import LintReport, RunWarning, Stage, TeardownResult
from harness.core.own_revision import own_revision
from harness.core.settings import PROJECT, Settings
from harness.core.signals import Stopper, reading, stop_on_signals
from harness.core.waiting import stretched
from harness.images import samples
from harness.lint import linting
from harness.platforms.abra.program import Abra
from harness.platforms.base import Platform, Target
from harness.platforms.override import own_labels
from harness.recipes.catalogue import Entry
from harness.recipes.git_access import passwords
from harness.recipes.meta import RecipeMeta
from harness.recipes.repo import clone
from harness.report.leaks import Guard
from harness.report.results import Revision, RunResult
from harness.report.terminal import RUN_LINE, View, plain, show_result
from harness.run import reaper, requirements, stack_locks, testbed
from harness.run.backup_choice import driver_for
from harness.run.facts import Ended
from harness.run.names import target_for
from harness.run.observer import Observer, Seen
from harness.run.platform_choice import abra_for, platform_for
from harness.run.publish import publish
from harness.run.repeat import exact_command, needed_for, repeat_command
from harness.run.stack_locks import StackLocks
from harness.run.subject import Places, Subject, asked_stages, study
from harness.run.teardown import Teardown
from harness.run.testbed import TestBed
from harness.stages.context import Context
from harness.stages.execute import Execution
from harness.stages.install_steps import InstallSteps
from harness.stages.operations import Operations
from harness.swarm.faults import as_harness_error
from harness.swarm.own_networks import own_name
from harness.swarm.sweep import RUN_LABEL
from harness.verdict.decide import BAD, decide
from harness.verdict.facts import EndedBy, RunFacts

CLONE_SECONDS = 300.0
LAUNCHER = "CC_CI_NOX"  # how nox was called, set by bin/nox
REAP_SECONDS = 15.0  # for each dead run: what cannot be removed must not hold up the living


def tests_directory() -> Path:
    """Return the project's `tests` directory, beside the package."""
    return PROJECT / "tests"


def run_one(
    entry: Entry, settings: Settings, environ: Mapping[str, str], console: Console
) -> RunResult:
    """Run one recipe to its verdict, show it, and write it down.

    Whatever goes wrong ends up in the result; only what is wrong with the call itself is raised.

    Raises:
        UsageError: the call is wrong; nothing was touched.
    """
    target = target_for(entry, settings, token=secrets.token_hex(4), now=datetime.now(UTC))
    directory = settings.output / target.run
    requirements.make_output(directory / "logs")
    view = View(console=console, log=directory / "run.log")
    run = Run(
        entry=entry, settings=settings, environ=environ, target=target, directory=directory,
        view=view,
    )  # fmt: skip
    view.scrub = run.scrub
    try:
        with view:
            view.say(f"{RUN_LINE}{directory}")
            result, facts = run.to_the_end()
    except UsageError:
        shutil.rmtree(directory)
        raise
    stopper = Stopper(say=view.say, doing="the results are being written")
    stopper.hold()  # else the exit code could say aborted, and results.json passed
    with stop_on_signals(view.say, stopper=stopper):
        result, problem = publish(result, facts, directory, run.guard, run.known_leaks)
        if problem:
            console.print(plain(f"report   {problem}"), soft_wrap=True)
        show_result(console, result, directory)
    return result


@dataclass(kw_only=True)
class Run:
    """The state of one run while it goes on."""

    entry: Entry
    settings: Settings
    environ: Mapping[str, str]
    target: Target
    directory: Path
    view: View
    _bed: TestBed | None = None
    _change: Change | None = None
    _named: Revision | None = None  # the head, before its files were read
    _subject: Subject | None = None
    _lint: LintReport | None = None
    _abra: Abra | None = None
    _platform: Platform | None = None
    _driver: str = ""
    _execution: Execution | None = None
    _observer: Observer | None = None
    _teardown: TeardownResult | None = None
    _locks: StackLocks | None = None
    _diagnosis: tuple[str, ...] = ()
    _warnings: dict[RunWarning, None] = field(default_factory=dict)  # in order, each once
    _harness: str = field(default_factory=lambda: own_revision(tests_directory().parent))
    _began: float = field(default_factory=time.monotonic)
    _started: datetime = field(default_factory=lambda: datetime.now(UTC))
    guard: Guard = field(init=False)
    _events: Events = field(init=False)

    def __post_init__(self) -> None:
        """Make the guard, to which every published text goes, and the record of events."""
        self._events = Events(self.directory / events.FILE)
        self.guard = Guard(
            generated=lambda: self._platform.named_secrets if self._platform else {},
            brought=(*passwords(self.settings.src), *passwords(self.entry.source)),
        )

    @property
    def known_leaks(self) -> Mapping[str, str]:
        """The secrets that the recipe shows on purpose, with the reasons."""
        return self._subject.meta.KNOWN_LEAKS if self._subject else {}

    def scrub(self, text: str) -> str:
        """Return a line of the terminal without the run's secrets, which are noted down."""
        return self.guard.mask(text, "run.log")

    def to_the_end(self) -> tuple[RunResult, RunFacts]:
        """Perform the run, tear it down, and return what came of it and what that rests on."""
        stopped: HarnessError | None = None
        try:
            with stop_on_signals(self.view.say) as stopper:
                with ExitStack() as stack:
                    self._perform(stack, stopper)
                stopper.release()
        except UsageError:
            raise
        except Exception as error:  # noqa: BLE001  every end of a run has its word
            stopped = as_harness_error(error)
        return self._result(EndedBy.of(stopped) if stopped else None)

    def _perform(self, stack: ExitStack, stopper: Stopper) -> None:
        settings, target, say = self.settings, self.target, self.view.say
        self._abra = abra_for(settings, self.environ, say=say)
        if self._abra:
            say(f"platform  {self._abra} deploys")
        self._step(Doing(step=Step.ENGINE))
        bed = self._bed = testbed.prepare(settings, self.environ, say=say)
        rows = [f"{row.name} {row.value}" for row in bed.preflight.rows]
        say(f"preflight  all well: {'; '.join(rows)}")
        held = self._locks = stack_locks.hold(stack, bed, settings, target, say=say)
        target = self.target = held.target
        stopper.allow(settings.run_timeout * settings.timeout_factor)
        reaper.reap(
            bed.client, cache=settings.cache, held=target.stack, shared=held.shared,
            nodes=bed.nodes, timeout=REAP_SECONDS, say=lambda line: say(f"left over  {line}"),
        )  # fmt: skip
        stack_locks.refuse_foreign_stack(bed, target)
        work = reaper.make_work(settings.cache, target)
        stack.callback(shutil.rmtree, work, ignore_errors=True)
        subject = self._subject = self._study(work)
        for line in subject.plan.lines():
            say(f"plan  {line}")
        for warning in subject.plan.warnings:
            self._warn(warning)
        requirements.require(
            target.recipe,
            subject.meta.REQUIREMENTS,
            bed.client.info(),
            ipvs=bed.preflight.ipvs,
            local=bed.engine.host.startswith("unix://"),
        )
        subject.fetch(bed.images, step=self._step)
        stack.callback(self._tear_down, bed)
        stack.callback(stopper.hold)  # the first to be called: a clean-up is not interrupted
        self._execute(bed, subject, work, held)

    def _step(self, doing: Doing) -> None:
        self._events.begin(replace(doing, about=self.scrub(doing.about)))
        self.view.step(f"{self.target.recipe}: {doing}")

    def _source(self) -> str:
        """Return what is cloned: a pull request's address names a repository, too."""
        named = self._change.source if self._change else ""
        return self.settings.src or named or self.entry.source

    def _study(self, work: Path) -> Subject:
        self._change = ask(self.entry, self.settings, say=self.view.say)
        source = self._source()
        if source == self.entry.source and self.entry.sample:
            source = str(
                samples.materialise(
                    self.entry.sample,
                    cache=self.settings.cache,
                    lock_timeout=self.settings.lock_timeout,
                    say=self.view.say,
                )
            )
        self._step(Doing(step=Step.CLONE, about=source))
        repo = clone(source, work / "recipe", timeout=stretched(CLONE_SECONDS))
        with reading():
            # Known from here on, so that a recipe that cannot be read is told of to its forge, too.
            commit = asked_commit(self.entry, repo, self.settings, self._change)
            ref = asked_ref(self.settings, self.entry) or DEFAULT_REF
            self._named = Revision(commit=commit, ref=ref, version="")
            self._step(Doing(step=Step.LINT))
            self._lint = linting.lint(
                self.entry, repo, self.settings, self.environ, work=work, change=self._change
            )
            if self._lint:
                linting.require(self._lint, self.target.recipe)
            tests = tests_directory()
            places = Places(tests=tests, overlays=self.settings.overlays or tests, work=work)
            return study(
                self.entry, repo, commit, self.settings, self.target, places=places,
                change=self._change,
            )  # fmt: skip

    def _execute(self, bed: TestBed, subject: Subject, work: Path, held: StackLocks) -> None:
        settings, engine = self.settings, bed.engine.environ({})
        operations = Operations(context=self._context(bed, subject, work, held))
        self._observer = Observer(
            operations=operations, directory=self.directory, local=bed.engine.local,
            mask=self.guard.mask, pictures=settings.screenshots != "off",
        )  # fmt: skip
        self._execution = Execution(
            plan=subject.plan,
            operations=operations,
            directory=self.directory,
            tests=tests_directory(),
            environ={**self.environ, **engine},
            engine=engine,
            factor=settings.timeout_factor,
            step=self._step,
            finished=self.view.finished,
            observe=self._observer.stage,
        )
        self._execution.run()
        self._observer.finish(tuple(self._execution.results))

    def _context(self, bed: TestBed, subject: Subject, work: Path, held: StackLocks) -> Context:
        """Choose the platform and the backup driver, and return what all ops of the run share."""
        factor = self.settings.timeout_factor
        ledger = Ledger(self.directory / "ledger.jsonl")
        self._platform = platform_for(
            self._abra, bed=bed, target=self.target, work=work, directory=self.directory,
            environ=self.environ, meta=subject.meta, factor=factor, policy=subject.policy,
        )  # fmt: skip
        tools = ToolContainers(
            client=bed.client, image=bed.toolbox, stack=self.target.stack,
            labels=own_labels(self.target), note=ledger.note, nodes=bed.nodes,
            network=own_name(self.target.stack),
        )  # fmt: skip
        driver = driver_for(
            self.settings, self._platform, bed=bed, held=held, tools=tools, work=work,
            say=self.view.say,
        )  # fmt: skip
        self._driver = driver.name
        environ = bed.engine.environ(self.environ)
        steps = InstallSteps(scripts=subject.steps, environ=environ, factor=factor)
        return Context(
            nodes=bed.nodes, plan=subject.plan, target=self.target, platform=self._platform,
            repo=subject.repo, tools=tools, seeds=subject.seeds, steps=steps, ledger=ledger,
            meta=subject.meta, factor=factor, step=self._step, fence=held.check, backups=driver,
            warn=self._warn,
        )  # fmt: skip

    def _warn(self, warning: RunWarning) -> None:
        """Record a warning, and say it at once."""
        if warning not in self._warnings:
            self._warnings[warning] = None
            self.view.say(f"warning  {warning.text}")

    def _tear_down(self, bed: TestBed) -> None:
        teardown = Teardown(
            bed=bed, target=self.target, settings=self.settings, directory=self.directory,
            shared=bool(self._locks and self._locks.lease),
        )  # fmt: skip
        self._step(Doing(step=Step.LOGS))
        self._diagnosis = teardown.diagnose(scrub=self.guard.mask)
        self._step(Doing(step=Step.KEEP if self.settings.keep else Step.TEARDOWN))
        if not self.settings.keep:
            self._undeploy()
        self._teardown = teardown.keep() if self.settings.keep else teardown.remove()
        if self.settings.keep:
            nox = self.environ.get(LAUNCHER, "nox")
            self.view.say(f"kept  export DOCKER_HOST={bed.engine.host}")
            self.view.say(f"kept  docker ps --filter label={RUN_LABEL}={self.target.run}")
            self.view.say(f"kept  {nox} -s reap -- {self.target.run}")

    def _undeploy(self) -> None:
        """Have the platform take the app down; what it leaves is found by its labels afterwards."""
        try:
            if self._platform:
                self._platform.undeploy()
        except Exception as error:  # noqa: BLE001  nothing may keep the removal from happening
            self.view.say(f"teardown  {as_harness_error(error).what}")

    def _facts(self, stopped: EndedBy | None, seen: Seen) -> RunFacts:
        """Return all that the verdict depends on."""
        return Ended(
            settings=self.settings,
            meta=self._subject.meta if self._subject else RecipeMeta(),
            asked=self._asked,
            stages=tuple(self._execution.facts) if self._execution else (),
            stopped=stopped,
            teardown=self._teardown,
            seen=seen,
            warned=tuple(self._warnings),
        ).facts()

    @property
    def _asked(self) -> tuple[Stage, ...]:
        """The stages that were asked for."""
        if self._subject is None:
            return asked_stages(self.settings, self.entry)
        return tuple(one.stage for one in self._subject.plan.stages if one.asked)

    def _result(self, stopped: EndedBy | None) -> tuple[RunResult, RunFacts]:
        execution, bed = self._execution, self._bed
        stages = tuple(execution.results) if execution else ()
        plan = self._subject.plan if self._subject else None
        seen = self._observer.seen(stages, self.settings.output) if self._observer else Seen()
        facts = self._facts(stopped, seen)
        verdict = decide(facts)
        head, base = self._head, self._base
        again = needed_for(verdict.stage, stages, upgrades=bool(base))
        nox = self.environ.get(LAUNCHER, "nox")
        result = RunResult(
            run=self.target.run,
            recipe=self.target.recipe,
            source=self._source(),
            platform="abra" if self._abra or self.settings.platform == "abra" else "swarm",
            backup_driver=self._driver,
            started=self._started.isoformat(),
            seconds=time.monotonic() - self._began,
            verdict=verdict,
            repeat=repeat_command(self.entry, self.settings, again, nox=nox),
            repeat_exactly=exact_command(
                self.entry, self.settings, again, commit=head.commit if head else "", nox=nox
            ),
            head=head,
            base=base,
            stack=self.target.stack,
            domain=self.target.domain,
            engine=bed.facts() if bed else {},
            settings=self.settings.shown(),
            plan=plan.lines() if plan else (),
            adaptations=tuple(execution.operations.adaptations) if execution else (),
            lint=self._lint,
            stages=stages,
            teardown=self._teardown,
            diagnosis=self._diagnosis if verdict.outcome in BAD else (),
            resources=seen.resources,
            snapshot=seen.snapshot,
            screenshots=seen.screenshots,
            retries=seen.retries,
            warnings=facts.warnings,
            asked=tuple(str(stage) for stage in self._asked),
            images=seen.images,
            harness=self._harness,
        )
        return result, facts

    @property
    def _head(self) -> Revision | None:
        """The head, without its version where it was not read; None if it was not resolved."""
        if self._subject is None:
            return self._named
        head = self._subject.plan.head
        return Revision(commit=head.commit, ref=head.ref, version=str(head.version or ""))

    @property
    def _base(self) -> Revision | None:
        """The release that was upgraded from; None if there is none, or it was given up."""
        base = self._subject.plan.base if self._subject else None
        given_up = self._execution.operations.base_unusable if self._execution else ""
        if base is None or given_up:
            return None
        return Revision(commit=base.commit, ref=base.tag, version=str(base.version))
