"""Every exception of the harness, and the exit code of each kind.

The tree::

    HarnessError
    ├── UsageError            2    the command line, a setting or recipes.txt is wrong
    │   └── UnknownNameError  2    a name that is not known, with a suggestion
    ├── SourceError           6    the recipe's repository or ref cannot be had
    ├── ForgeError            6    a forge's API refused, or answered something else
    │   └── ForgeBusyError    6    it was not reached, is overloaded, or failed by itself
    ├── RecipeError           1    the recipe is wrong: the verdict is *failed*
    │   ├── InvalidRecipeError     its files cannot be deployed at all
    │   ├── ConvergenceError       it was deployed and did not settle
    │   └── BackupError            a hook, a backup or a restore of it went wrong
    ├── RefusedError          8    it asks for something of the host that is not allowed: *refused*
    ├── TestBedError          3    the machine is wrong: the verdict is *error*
    │   ├── EngineError            no usable engine, or it went away
    │   ├── ImageError             an image can be neither pulled nor built
    │   ├── AbraError              abra is not there, is of a wrong version, or does not do its job
    │   ├── DiskFullError          no room left
    │   └── TestCodeError          a test, a fixture or a seed hook is wrong, not what it tests
    ├── LockTimeoutError      5    somebody else held the lock for too long
    ├── LockLostError         3    somebody else took the lock over while the run stood still
    ├── ExecError                  see `harness.exec.exec`
    │   ├── ContainerUnavailableError  3  no container came up in time
    │   ├── ExecNotStartedError    1  the command could not be started in the container
    │   ├── ExecFailedError        1  it ran and returned a code other than 0
    │   ├── ExecOutputError        1  it wrote more than it may
    │   └── ExecTimeoutError       1  it did not end in time
    ├── LookOnlyError         3    an assertion tried to change the deployment
    ├── ProcessError          3    a program on this host failed or took too long
    │   ├── ProcessNotStartedError  3  it is not there, or may not be executed
    │   └── PrintedTooMuchError 3  it printed more than it may
    ├── InternalError         3    the harness itself is wrong
    ├── WaitTimeoutError      3    a condition did not come true in time
    └── AbortedError          130  the run was told to stop
        └── RunTimeoutError   3    it was not over in the time that a run has

A run that ends with nothing asserted raises nothing: its exit code is `EXIT_NOTHING_ASSERTED`.
"""

from __future__ import annotations

from typing import ClassVar

from harness.core.model import Outcome
from harness.core.untrusted import quoted, visible

EXIT_PASSED = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_ERROR = 3
EXIT_NOTHING_ASSERTED = 4
EXIT_LOCKED = 5
EXIT_SOURCE = 6
EXIT_NOTHING_SELECTED = 7
EXIT_REFUSED = 8
EXIT_ABORTED = 130


LONGEST_TEXT, LONGEST_DETAIL = 4_000, 20_000  # characters: a thought, and the end of a detail


class HarnessError(Exception):
    """Something a user has to read about: what happened, why it may be so, what to do next.

    Args:
        what: one sentence that says what happened, and to what.
        cause: the likely cause, or empty.
        hint: the next command to type or thing to change, or empty.
        detail: output worth seeing in full (several lines), or empty.
    """

    exit_code: ClassVar[int] = EXIT_ERROR
    outcome: ClassVar[Outcome] = Outcome.ERROR

    def __init__(self, what: str, *, cause: str = "", hint: str = "", detail: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.cause = cause
        self.hint = hint
        self.detail = detail

    def __str__(self) -> str:
        """Return the message as the terminal shows it, one thought per line."""
        lines = []
        for before, text in (
            ("", self.what), ("  likely cause: ", self.cause), ("  next: ", self.hint)
        ):  # fmt: skip
            first, _, more = text[:LONGEST_TEXT].partition("\n")
            lines += [before + visible(first)] if text else []
            lines += quoted(more, indent="  ")
        left_out = len(self.detail) - LONGEST_DETAIL
        lines += [f"  ({left_out} characters before that are left out)"] if left_out > 0 else []
        return "\n".join([*lines, *quoted(self.detail[-LONGEST_DETAIL:], indent="  ")])

    def __reduce__(self) -> tuple[type[HarnessError], tuple[str], dict[str, object]]:
        """Keep the keyword fields when the error crosses a process boundary."""
        return type(self), (self.what,), self.__dict__


class UsageError(HarnessError):
    """The command line, a setting or recipes.txt is wrong; nothing was touched."""

    exit_code = EXIT_USAGE


class UnknownNameError(UsageError):
    """A name that is not known; the hint carries the nearest known ones."""


class SourceError(HarnessError):
    """The recipe's repository, or the ref asked for, cannot be had."""

    exit_code = EXIT_SOURCE


class ForgeError(HarnessError):
    """A forge's API refused. `status` is the HTTP code, or 0 when there was none."""

    exit_code = EXIT_SOURCE

    def __init__(
        self, what: str, *, cause: str = "", hint: str = "", detail: str = "", status: int = 0
    ) -> None:
        super().__init__(what, cause=cause, hint=hint, detail=detail)
        self.status = status


class ForgeBusyError(ForgeError):
    """A forge was not reached, is overloaded, or failed by itself: worth another try.

    `after` is how many seconds it asked to wait; `undone` says that it has surely done nothing.
    """

    def __init__(
        self, what: str, *, cause: str = "", hint: str = "", detail: str = "", status: int = 0,
        after: float = 0.0, undone: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(what, cause=cause, hint=hint, detail=detail, status=status)
        self.after = after
        self.undone = undone


class RecipeError(HarnessError):
    """The recipe is wrong: the verdict is *failed*."""

    exit_code = EXIT_FAILED
    outcome = Outcome.FAILED


class InvalidRecipeError(RecipeError):
    """The recipe's files cannot be deployed at all."""


class ConvergenceError(RecipeError):
    """The recipe was deployed and did not settle."""


class BackupError(RecipeError):
    """A hook, a backup or a restore of the recipe went wrong."""


class RefusedError(HarnessError):
    """The recipe asks for something of the host that its owner has not allowed."""

    exit_code = EXIT_REFUSED
    outcome = Outcome.REFUSED


class TestBedError(HarnessError):
    """The machine is wrong, so nothing can be said of the recipe: the verdict is *error*."""

    __test__ = False  # the name starts with "Test"; pytest must not take it for a test class


class EngineError(TestBedError):
    """There is no usable engine, or it went away."""


class ImageError(TestBedError):
    """An image can be neither pulled nor built."""


class AbraError(TestBedError):
    """The program abra is not there, is of a wrong version, or does not do its job."""


class DiskFullError(TestBedError):
    """There is no room left on a disk that the run needs."""


class TestCodeError(TestBedError):
    """Test code is broken: it cannot be read, or ran into a mistake of its own."""

    __test__ = False  # as above


class LockTimeoutError(HarnessError):
    """Somebody else held a lock for longer than we were told to wait."""

    exit_code = EXIT_LOCKED


class LockLostError(HarnessError):
    """A lock was taken over, or could not be renewed for so long that it may have been."""


class ExecError(HarnessError):
    """A command in an app's container did not do what was asked."""


class ContainerUnavailableError(ExecError):
    """No container of the service came up, or stayed up, for long enough."""


class ExecNotStartedError(ExecError):
    """The runtime could not start the command; `detail` holds the runtime's own words."""

    exit_code = EXIT_FAILED
    outcome = Outcome.FAILED


class ExecFailedError(ExecError):
    """The command ran and returned a code other than 0; `detail` holds both streams."""

    exit_code = EXIT_FAILED
    outcome = Outcome.FAILED


class ExecOutputError(ExecError):
    """The command wrote more than it may; `detail` holds the end of what was taken."""

    exit_code = EXIT_FAILED
    outcome = Outcome.FAILED


class ExecTimeoutError(ExecError):
    """The command was started and did not end in time."""

    exit_code = EXIT_FAILED
    outcome = Outcome.FAILED


class LookOnlyError(HarnessError):
    """An assertion tried to change the deployment; nothing was sent to the engine."""


class ProcessError(HarnessError):
    """A program on this host failed, could not be started, or took too long.

    `code` is its exit code, or None when it never ended by itself; `stderr` is its standard error.
    """

    def __init__(
        self, what: str, *, code: int | None, stderr: str = "", cause: str = "", hint: str = ""
    ) -> None:
        super().__init__(what, cause=cause, hint=hint, detail=stderr[-4000:])
        self.code = code
        self.stderr = stderr


class ProcessNotStartedError(ProcessError):
    """A program on this host is not there, or may not be executed."""


class PrintedTooMuchError(ProcessError):
    """A program on this host printed more than it may, and was killed."""


class InternalError(HarnessError):
    """Something that nobody foresaw: a fault of the harness, never a verdict on a recipe."""


class WaitTimeoutError(HarnessError):
    """A condition did not come true in time; `detail` is the last thing that was seen."""


class AbortedError(HarnessError):
    """The run was told to stop by a signal."""

    exit_code = EXIT_ABORTED
    outcome = Outcome.ABORTED


class RunTimeoutError(AbortedError):
    """The run was not over in its time. It is stopped like any other, and proves nothing."""

    exit_code = EXIT_ERROR
    outcome = Outcome.ERROR
