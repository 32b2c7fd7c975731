"""Programs on a pseudo-terminal: they see one, and cannot hold anybody up."""

from pathlib import Path

import pytest

from harness.core import proc
from harness.core.errors import ProcessError, ProcessNotStartedError
from harness.core.waiting import Deadline, wait_for


def test_a_program_finds_a_terminal_that_folds_nothing() -> None:
    """Tables are drawn as wide as the terminal is."""
    done = proc.run_on_terminal(["sh", "-c", "test -t 0 && test -t 1 && stty size"], timeout=10)
    assert (done.code, done.stdout) == (0, "200 400\n")


def test_colours_and_carriage_returns_are_taken_out_and_secrets_masked() -> None:
    """What is parsed and reported is text."""
    done = proc.run_on_terminal(
        ["printf", r"\033[1;31mred\033[0m \033]0;title\007hunter2\n"],
        timeout=10,
        secrets=["hunter2"],
    )
    assert done.stdout == "red ****\n"


def test_the_exit_code_is_data_and_all_of_the_output_is_there() -> None:
    """A program that ends at once must not lose its last words."""
    for _ in range(20):
        done = proc.run_on_terminal(["sh", "-c", "seq 2000; echo end; exit 7"], timeout=10)
        assert (done.code, done.stdout.splitlines()[-1]) == (7, "end")
        assert len(done.stdout.splitlines()) == 2001


def test_a_question_is_not_answered_and_its_words_are_kept() -> None:
    """Nobody types there."""
    with pytest.raises(ProcessError, match="still running after") as caught:
        proc.run_on_terminal(["sh", "-c", "printf 'sure? '; read answer"], timeout=0.3)
    assert caught.value.stderr == "sure? "
    assert caught.value.code is None


def test_a_child_that_keeps_the_terminal_open_is_not_waited_for() -> None:
    """The program's own end is what counts, and the child does not outlive it."""
    done = proc.run_on_terminal(["sh", "-c", "sleep 60 & echo $!"], timeout=10)
    state = Path(f"/proc/{int(done.stdout)}/stat")

    def runs() -> bool:
        return state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] not in "ZX"

    wait_for(runs, what="its end", deadline=Deadline.after(10), ready=lambda running: not running)


def test_a_program_that_is_not_there_is_a_process_error() -> None:
    """No traceback, and no terminal left open."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(ProcessNotStartedError, match="could not be started"):
        proc.run_on_terminal(["/no/such/program"], timeout=10)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
