"""What befalls a run without killing it: the engine, its disk, its stack, its lock."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from harness.core.errors import EXIT_ERROR, HarnessError
from harness.core.events import Doing, Step
from harness.core.ledger import Op
from harness.core.model import Stage
from harness.swarm.sweep import RUN_LABEL
from tests.crash.killing import Scope, started
from tests.crash.matrix import Bed, Came, Dead, await_end, complete, follow


@dataclass(frozen=True, kw_only=True)
class Accident:
    """One thing that happens to a run, at the beginning of a step, until the run has ended.

    The run has to end in *error*: none of this says anything about the recipe.
    """

    kind: str
    step: Doing
    happen: Callable[[Bed, Scope, str], Iterator[None]]


def _engine_restarts(bed: Bed, _scope: Scope, _run: str) -> Iterator[None]:
    bed.own.kill()
    bed.own.start()
    yield


def _disk_fills(bed: Bed, _scope: Scope, _run: str) -> Iterator[None]:
    bed.own.fill_disk()
    try:
        yield
    finally:
        bed.own.make_room()


def _stack_goes(bed: Bed, _scope: Scope, run: str) -> Iterator[None]:
    api = bed.client.api
    for service in api.services(filters={"label": f"{RUN_LABEL}={run}"}):  # type: ignore[no-untyped-call]  # stubs lack it
        api.remove_service(service["ID"])  # type: ignore[no-untyped-call]  # the same
    yield


def _lock_is_stolen(_bed: Bed, scope: Scope, run: str) -> Iterator[None]:
    token = run.rpartition("-")[2]
    (path,) = (scope.cache / "locks").glob(f"stack-*-{token}_test.lock")
    path.unlink()
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
        if not path.exists():
            raise HarnessError("the run deleted the lock of somebody else")
    finally:
        os.close(file)


ACCIDENTS = (
    Accident(
        kind="stack removed", step=Doing(step=Step.WAIT, about=Op.REDEPLOY), happen=_stack_goes
    ),
    Accident(
        kind="stack removed",
        step=Doing(step=Step.ASSERTIONS, stage=Stage.BACKUP),
        happen=_stack_goes,
    ),
    Accident(
        kind="lock stolen",
        step=Doing(step=Step.ASSERTIONS, stage=Stage.INSTALL),
        happen=_lock_is_stolen,
    ),
    Accident(
        kind="lock stolen",
        step=Doing(step=Step.ASSERTIONS, stage=Stage.UPGRADE),
        happen=_lock_is_stolen,
    ),
    Accident(kind="disk filled", step=Doing(step=Step.OP, stage=Stage.UPGRADE), happen=_disk_fills),
    Accident(kind="disk filled", step=Doing(step=Step.OP, stage=Stage.BACKUP), happen=_disk_fills),
    Accident(
        kind="engine restarted",
        step=Doing(step=Step.ASSERTIONS, stage=Stage.INSTALL),
        happen=_engine_restarts,
    ),
    Accident(
        kind="engine restarted",
        step=Doing(step=Step.WAIT, about=Op.REDEPLOY),
        happen=_engine_restarts,
    ),
)


def befall(bed: Bed, accidents: tuple[Accident, ...], say: Callable[[str], None]) -> list[Came]:
    """Let each of these befall a run of its own, and return what came."""
    scope = bed.scope("accidents")
    complete(scope, scope.folder / "warm", "--stages", "install")
    before = scope.files()
    came = []
    for number, accident in enumerate(accidents):
        place = scope.folder / f"a{number}"
        with started(scope, place / "hit") as going:
            if not going.await_step(accident.step):
                raise HarnessError(f"the run never came to '{accident.step}'", detail=going.text)
            run, family = going.run, going.family()
            with contextmanager(accident.happen)(bed, scope, run):
                await_end(going)
            code = going.process.returncode
        dead = Dead(where=str(accident.step), kind=accident.kind, run=run, family=family)
        rows = follow(bed, scope, [dead], place / "next", before, "--stages", "install")
        if code != EXIT_ERROR:
            rows.append(
                Came(
                    where=str(accident.step), kind=accident.kind, run=run,
                    left=(f"the run itself ended with {code}",), following="passed",
                )
            )  # fmt: skip
        say(f"{'ok   ' if all(r.ok for r in rows) else 'WRONG'}  {accident.kind}  {accident.step}")
        came += rows
    return came
