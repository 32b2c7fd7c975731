"""What a recipe's tests, seed hooks and install steps may import; everything else is internal.

The promise: a name in this module keeps its meaning. One that has to go is announced in the
changelog, and still works for one release. Attributes and methods are part of the promise where
they have a docstring and no leading underscore.

A seed hook, in `tests/<recipe>/ops.py`:

    from harness.api import SeedContext

    def pre_upgrade(ctx: SeedContext) -> None:
        ctx.state["note"] = "something that nobody could guess"
        ctx.app.exec_in_app(
            "app", ["sh", "-c", "cat > /data/note"], timeout=30,
            stdin=ctx.state["note"].encode(), repeatable=True,
        )

Assertions, in `tests/<recipe>/test_<stage>.py`; pytest fills in the arguments by their names:

    from harness.api import App, BackupView, Facts, Ledger, Op, Request, Witnesses

    def test_the_note_is_still_there(app: App, state: dict[str, str]) -> None:
        assert app.read_file("/data/note").decode() == state["note"]

    def test_a_page_behind_the_login(app: App) -> None:
        answer = app.http(Request(path="/admin", auth="admin:secret"))
        assert answer.status == 200, answer.error

    def test_the_note_is_in_the_backup(backup: BackupView, state: dict[str, str]) -> None:
        assert backup.read("/data/note").decode() == state["note"]

    def test_the_upgrade_was_one(facts: Facts, ledger: Ledger, witnesses: Witnesses) -> None:
        assert facts.deployed == facts.head_commit
        assert ledger.count(Op.REDEPLOY) == 1
        assert witnesses.problems() == []
"""

from harness.assertions.app import App, BackupView
from harness.assertions.protocol import Facts, Health
from harness.assertions.witnesses import Witnesses
from harness.core.errors import (
    ContainerUnavailableError,
    ExecError,
    ExecFailedError,
    ExecNotStartedError,
    ExecTimeoutError,
    HarnessError,
    UnknownNameError,
    WaitTimeoutError,
)
from harness.core.ledger import Ledger, Op
from harness.core.model import Stage
from harness.core.waiting import Deadline, wait_for
from harness.exec.exec import ExecResult
from harness.exec.http import Request, Response
from harness.stages.seeding import SeedContext
from harness.swarm.states import ServiceState, StackSnapshot

__all__ = [
    "App",
    "BackupView",
    "ContainerUnavailableError",
    "Deadline",
    "ExecError",
    "ExecFailedError",
    "ExecNotStartedError",
    "ExecResult",
    "ExecTimeoutError",
    "Facts",
    "HarnessError",
    "Health",
    "Ledger",
    "Op",
    "Request",
    "Response",
    "SeedContext",
    "ServiceState",
    "StackSnapshot",
    "Stage",
    "UnknownNameError",
    "WaitTimeoutError",
    "Witnesses",
    "wait_for",
]
