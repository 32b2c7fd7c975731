"""Looks at what is up between the stages: memory, pictures, what the snapshot holds, sizes.

Nothing of it is part of a verdict while the run goes on, and nothing that goes wrong in it ends a
run: what could not be seen is said in the report.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.backups.labels import short_name
from harness.core.errors import AbortedError
from harness.core.events import Doing, Step
from harness.core.ledger import Ledger
from harness.core.measured import Resources, Retry, Screenshot, StageResources, VolumeContent
from harness.core.model import DeployedImage, Outcome, Stage, StageResult
from harness.run import screenshot
from harness.run.inventory import contents, files_in
from harness.run.resources import compared, last_green
from harness.stages.operations import Operations
from harness.swarm import stats
from harness.swarm.faults import as_harness_error

SHOWN = (Stage.INSTALL, Stage.RESTORE)  # after which the app's page is photographed


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a run's result holds beside its verdict; nothing of a run that deployed nothing."""

    resources: Resources | None = None
    snapshot: tuple[VolumeContent, ...] = ()
    screenshots: tuple[Screenshot, ...] = ()
    retries: tuple[Retry, ...] = ()
    images: tuple[DeployedImage, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What lies on the disk after a stage: images by service, volumes by short name, in bytes."""

    images: Mapping[str, int] = field(default_factory=dict)
    volumes: Mapping[str, int] = field(default_factory=dict)


@dataclass(kw_only=True)
class Observer:
    """What was seen of one run; it grows while the run goes on.

    Args:
        operations: of the run.
        directory: the run's directory.
        local: whether the engine runs on this machine.
        pictures: whether pictures of the app's page are wanted.
        mask: takes the run's secrets out of a text, and notes down that they were at a place.
    """

    operations: Operations
    directory: Path
    local: bool
    mask: Callable[[str, str], str]
    pictures: bool = True
    screenshots: list[Screenshot] = field(default_factory=list)
    snapshot: tuple[VolumeContent, ...] = ()
    deployed: list[DeployedImage] = field(default_factory=list)
    _memory: dict[Stage, dict[str, stats.Memory]] = field(default_factory=dict)
    _images: dict[str, int] = field(default_factory=dict)
    _sizes: dict[Stage, Sizes] = field(default_factory=dict)
    _notes: list[str] = field(default_factory=list)

    def stage(self, result: StageResult) -> None:
        """Look at the app after a stage, unless the machine is broken or nothing is up."""
        if result.outcome is Outcome.ERROR or not self.operations.known.reader:
            return
        self._try(f"memory in {result.stage}", lambda: self._measure(result.stage))
        self._try(f"sizes in {result.stage}", lambda: self._weigh(result.stage))
        if "commit" in result.facts:  # its op was a deployment, and it settled
            self._try(f"image digests in {result.stage}", lambda: self._identify(result))
        if result.stage is Stage.BACKUP and result.facts:
            self._try("what the snapshot holds", self._look_into_snapshot)
        if result.stage in SHOWN and self.pictures:
            self._try(f"a picture after {result.stage}", lambda: self._shoot(result.stage))

    def finish(self, results: tuple[StageResult, ...]) -> None:
        """Look at what was deployed for the last time: images, data outside volumes, ends."""
        if any(one.outcome is Outcome.ERROR for one in results):
            return
        if self.operations.known.reader:
            self._try("sizes of images", lambda: self._weigh_images(results))
            self._try("what lies outside volumes", self.operations.look_outside)
        context = self.operations.context
        if any(one.get("commit") == context.plan.head.commit for one in context.ledger.entries()):
            self._try("how services ended", context.warn_of_ends)

    def findings(self, results: tuple[StageResult, ...]) -> Resources:
        """Return what the run took."""
        stages = []
        for one in results:
            found, sizes = self._memory.get(one.stage, {}), self._sizes.get(one.stage, Sizes())
            settled = one.stage is not Stage.CUSTOM and _settled(one)
            if not found and not settled:
                continue
            stages.append(
                StageResources(
                    stage=str(one.stage),
                    healthy_seconds=round(one.wait_seconds, 3) if settled else None,
                    memory={name: each.bytes for name, each in found.items()},
                    exact=all(each.exact for each in found.values()),
                    images=sizes.images,
                    volumes=sizes.volumes,
                )
            )
        last = list(self._sizes.values())[-1:] or [Sizes()]
        return Resources(
            stages=tuple(stages), images=self._images, volumes=last[0].volumes,
            notes=tuple(self._notes),
        )  # fmt: skip

    def seen(self, results: tuple[StageResult, ...], output: Path) -> Seen:
        """Return all of it, beside what the recipe's last green run below `output` took."""
        context = self.operations.context
        before = last_green(output, context.target.recipe, before=context.target.run)
        most = context.meta.MAX_GROWTH
        return Seen(
            resources=compared(self.findings(results), before, most=most),
            snapshot=self.snapshot,
            screenshots=tuple(self.screenshots),
            retries=retries(self.directory / "ledger.jsonl"),
            images=tuple(self.deployed),
        )

    def _try(self, what: str, look: Callable[[], None]) -> None:
        try:
            look()
        except AbortedError:
            raise
        except Exception as error:  # noqa: BLE001  a look decides nothing
            self._notes.append(f"{what}: {as_harness_error(error).what}")

    def _measure(self, stage: Stage) -> None:
        context = self.operations.context
        self._memory[stage] = dict(stats.memory(context.nodes, context.look(), local=self.local))

    def _look_into_snapshot(self) -> None:
        context = self.operations.context
        view = self.operations.known.app(Stage.BACKUP).backup
        services, stack = context.look().services, context.target.stack
        self.snapshot = contents(services, view.spec, files_in(view), stack=stack)

    def _shoot(self, stage: Stage) -> None:
        context = self.operations.context
        context.step(Doing(step=Step.PICTURE, stage=stage))
        context.tools.join()  # after an op that failed, nothing has joined yet
        app = self.operations.known.app(stage)
        self.screenshots.append(
            screenshot.take(app, self.directory, mask=self.mask, factor=context.factor)
        )

    def _weigh(self, stage: Stage) -> None:
        context = self.operations.context
        stack = context.target.stack
        images = {one.name: one.image for one in context.look().services}
        sizes = stats.image_sizes(context.client, images.values())
        volumes = stats.volume_sizes(context.nodes, stack)
        self._sizes[stage] = Sizes(
            images={name: sizes[image] for name, image in images.items() if image in sizes},
            volumes={short_name(name, stack): size for name, size in volumes.items()},
        )

    def _identify(self, result: StageResult) -> None:
        """Note which images an op deployed: a tag may lead to another one tomorrow."""
        found = result.facts.get("images")
        images: Mapping[str, str] = found if isinstance(found, dict) else {}
        based = result.stage is Stage.INSTALL and self.operations.context.plan.base is not None
        digests = stats.image_digests(self.operations.context.client, images.values())
        self.deployed += [
            DeployedImage(
                service=service, release="base" if based else "head", image=image,
                digest=digests[image],
            )
            for service, image in images.items()
            if image in digests
        ]  # fmt: skip

    def _weigh_images(self, results: tuple[StageResult, ...]) -> None:
        images = [str(image) for one in results for image in _images(one.facts.get("images"))]
        self._images = dict(stats.image_sizes(self.operations.context.client, images))


def _images(images: Any) -> list[Any]:  # noqa: ANN401  a fact is any JSON value
    return list(images.values()) if isinstance(images, dict) else []


def _settled(result: StageResult) -> bool:
    """Whether the app got healthy in that stage: its op was done, whatever was asserted then."""
    return bool(result.started) and (bool(result.assertions) or result.outcome is Outcome.PASSED)


def retries(ledger: Path) -> tuple[Retry, ...]:
    """Return what was noted down as tried again; a torn line says nothing."""
    with suppress(OSError, json.JSONDecodeError):
        return tuple(
            Retry(at=str(entry["at"]), text=str(entry["text"]))
            for entry in Ledger(ledger).entries()
            if entry.get("event") == "note"
        )
    return ()
