"""Ctrl-C and SIGTERM, sent for real: once to stop and clean up, twice to leave at once."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.core import signals
from harness.core.errors import AbortedError, InvalidRecipeError, RunTimeoutError
from harness.core.signals import SIGNALS, Stopper, reading, stop_on_signals

ROOT = Path(__file__).resolve().parents[3]
CHILD = """
import signal
from harness.core.errors import AbortedError
from harness.core.signals import stop_on_signals

def say(text):
    print(text, flush=True)

with stop_on_signals(say):
    try:
        say("up")
        while True:
            signal.pause()
    except AbortedError as error:
        say(f"cleaning up: {error.what}")
        signal.pause()
"""


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_lets_the_run_clean_up_and_the_second_does_not(
    first: signal.Signals,
) -> None:
    """The clean-up hangs here; whoever asks twice gets out, with the code of a run that stopped."""
    child = subprocess.Popen(  # noqa: S603  our own words
        [sys.executable, "-c", CHILD], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        child.send_signal(first)
        assert child.stdout.readline().startswith(f"{first.name}: stopping")
        assert child.stdout.readline() == f"cleaning up: the run was stopped by {first.name}\n"
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=30)
    finally:
        child.kill()
        child.communicate()
    assert child.returncode == 130
    assert "nox -s reap" in said
    assert "Traceback" not in said


def test_the_handlers_from_before_are_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the block, however it ended, Ctrl-C is the interpreter's own again."""
    before = [signal.getsignal(number) for number in SIGNALS]
    said: list[str] = []
    with stop_on_signals(said.append):
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before
    monkeypatch.setattr("os._exit", lambda code: pytest.fail(f"left with {code}"))
    for _ in range(2):  # each block counts for itself: the second run's first signal is a first one
        with pytest.raises(AbortedError), stop_on_signals(said.append):
            signal.raise_signal(signal.SIGTERM)
    assert [signal.getsignal(number) for number in SIGNALS] == before
    assert len(said) == 2


@pytest.mark.parametrize("error", [OSError(28, "No space left"), RuntimeError("reentrant call")])
def test_a_stop_that_cannot_be_said_is_a_stop(error: Exception) -> None:
    """The disk is full, or the signal came in the middle of a write to the same stream."""

    def say(_text: str) -> None:
        raise error

    with pytest.raises(AbortedError, match="SIGINT"), stop_on_signals(say):
        signal.raise_signal(signal.SIGINT)


def test_a_clean_up_is_not_interrupted() -> None:
    """A signal that comes in it is remembered: the app is removed first, and then it is a stop."""
    said: list[str] = []
    with stop_on_signals(said.append) as stopper:
        stopper.hold()
        signal.raise_signal(signal.SIGTERM)
        assert len(said) == 1
        with pytest.raises(AbortedError, match="SIGTERM"):
            stopper.release()


def test_a_clean_up_that_nobody_interrupted_is_no_stop() -> None:
    """And after it, the next signal stops at once again."""
    with stop_on_signals(lambda _text: None) as stopper:
        stopper.hold()
        stopper.release()
        with pytest.raises(AbortedError):
            signal.raise_signal(signal.SIGINT)


def test_a_second_signal_leaves_a_clean_up_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may hang."""
    left: list[int] = []
    monkeypatch.setattr("os._exit", left.append)
    with stop_on_signals(lambda _text: None) as stopper:
        stopper.hold()
        signal.raise_signal(signal.SIGINT)
        assert left == []
        signal.raise_signal(signal.SIGINT)
        assert left == [130]


def _hang(seconds: float) -> None:
    with stop_on_signals(lambda _text: None) as stopper:
        stopper.allow(seconds)
        while True:
            signal.pause()


def test_a_run_whose_time_is_over_stops_as_an_error() -> None:
    """Whatever it hangs in; nobody told it to stop, and nothing can be said of the recipe."""
    with pytest.raises(RunTimeoutError, match=r"exceeded its time limit of 0\.01 s") as caught:
        _hang(0.01)
    assert (caught.value.exit_code, caught.value.outcome) == (3, "error")
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_the_time_of_a_run_does_not_stop_its_clean_up() -> None:
    """A removal has its own time."""
    with stop_on_signals(lambda _text: None) as stopper:
        stopper.allow(60)
        stopper.hold()
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
        signal.raise_signal(signal.SIGALRM)  # it was on its way already
        stopper.release()


def test_a_run_without_a_limit_is_never_out_of_time() -> None:
    """0 sets no timer at all."""
    with stop_on_signals(lambda _text: None) as stopper:
        stopper.allow(0)
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_closed_terminal_is_never_the_second_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    """It follows Ctrl-C by itself, and the app has to be removed all the same."""
    monkeypatch.setattr("os._exit", lambda code: pytest.fail(f"left with {code}"))
    with stop_on_signals(lambda _: None) as stopper:
        stopper.hold()
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGHUP)
        with pytest.raises(AbortedError, match="SIGINT"):
            stopper.release()


def test_signals_that_count_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first and the second, before the process leaves."""
    passed: list[int] = []
    monkeypatch.setattr("os._exit", lambda _code: passed.append(0))
    stopper = Stopper(say=lambda _: None, pass_on=passed.append)
    stopper.hold()
    with stop_on_signals(stopper.say, stopper=stopper) as same:
        assert same.stopped_by == ""
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.raise_signal(number)
    assert passed == [signal.SIGTERM, signal.SIGINT, 0]
    assert stopper.stopped_by == "SIGTERM"


FOLLOWER = """
import signal, sys
from harness.core.errors import AbortedError
from harness.core.signals import follow, stop_on_signals

signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
follow(0)
assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
with stop_on_signals(lambda text: None) as stopper:
    try:
        print("up", flush=True)
        while True:
            signal.pause()
    except AbortedError as error:
        print(error.what)
        sys.exit(9)
"""


def test_a_run_stops_when_whoever_started_it_is_gone() -> None:
    """However they died, the kernel closes the other end of the pipe."""
    child = subprocess.Popen(  # noqa: S603  our own words
        [sys.executable, "-c", FOLLOWER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        said, _ = child.communicate(timeout=30)  # which closes its standard input
    finally:
        child.kill()
        child.communicate()
    assert (child.returncode, said) == (9, "the run was stopped by SIGHUP\n")


def test_a_recipe_that_is_slow_to_read_is_the_recipes_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever it is at, also in the middle of one call of a library, and again if it is caught."""
    monkeypatch.setattr(signals, "READING_SECONDS", 0.2)
    slow = re.compile("(?:a|a)*b")
    caught = []

    def read() -> None:
        with reading():
            try:
                slow.search("a" * 60)
            except InvalidRecipeError as error:
                caught.append(error)
            slow.search("a" * 60)

    with pytest.raises(InvalidRecipeError, match=r"took more than 0\.2 s of the processor"):
        read()
    assert len(caught) == 1
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


def test_time_in_which_others_have_the_processor_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A slow machine is not the recipe's fault."""
    monkeypatch.setattr(signals, "READING_SECONDS", 0.2)
    with reading():
        time.sleep(0.5)  # as a program does that waits for its turn
