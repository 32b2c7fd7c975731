"""Programs: checked codes, time-outs that kill the whole group, secrets that do not leak."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.core import proc
from harness.core.errors import PrintedTooMuchError, ProcessError, ProcessNotStartedError
from harness.core.proc import without_passwords
from harness.core.waiting import Deadline, wait_for
from harness.core.with_parent import with_parent
from harness.engine import processes


def test_a_code_other_than_0_raises_with_the_words_of_the_program() -> None:
    """A failure is never returned as data unless that was asked for."""
    with pytest.raises(ProcessError) as caught:
        proc.run(["sh", "-c", "echo why >&2; exit 7"], timeout=10)
    assert caught.value.code == 7
    assert "why" in str(caught.value)
    assert proc.run(["sh", "-c", "exit 7"], timeout=10, check=False).code == 7


def test_a_program_that_is_not_there_is_a_process_error() -> None:
    """No traceback for a missing program."""
    with pytest.raises(ProcessNotStartedError, match="could not be started"):
        proc.run(["/no/such/program"], timeout=10)


def test_a_time_out_kills_the_grandchildren_too(tmp_path: Path) -> None:
    """A grandchild that holds the pipe open would otherwise be waited for until it ends."""
    note = tmp_path / "pid"
    script = f"sleep 60 & echo $! > {note}; wait"
    with pytest.raises(ProcessError, match="still running after"):
        proc.run(["sh", "-c", script], timeout=0.3)
    with pytest.raises(ProcessLookupError):
        _wait_for_death(int(note.read_text()))


def _wait_for_death(pid: int) -> None:
    for _ in range(1000):
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat")
        if state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            raise ProcessLookupError  # dead, and not collected yet by its new parent
    raise AssertionError(f"process {pid} still runs")


def test_secrets_are_masked_in_streams_and_messages() -> None:
    """Neither what is returned nor what is raised holds a secret."""
    done = proc.run(["echo", "the hunter2 word"], timeout=10, secrets=["hunter2"])
    assert done.stdout == "the **** word\n"
    with pytest.raises(ProcessError) as caught:
        proc.run(["sh", "-c", "echo hunter2 >&2; exit 1"], timeout=10, secrets=["hunter2"])
    assert "hunter2" not in str(caught.value)


def test_standard_output_is_there_as_it_came_too() -> None:
    """A file of a repository need not be UTF-8, and its digest is that of its bytes."""
    done = proc.run(["cat"], timeout=10, stdin=b"\xffhunter2\r\n", secrets=["hunter2"])
    assert (done.raw, done.stdout) == (b"\xffhunter2\r\n", "\ufffd****\r\n")
    assert "hunter2" not in repr(done), "it must not get into a report by accident"


def test_a_short_secret_masks_nothing_and_a_long_one_goes_first() -> None:
    """Masking "a" would mask half of any text; a secret within a secret must leave no rest."""
    assert proc.scrub("banana", ["a"]) == "banana"
    assert proc.scrub("abcd-efgh", ["abcd", "abcd-efgh"]) == "****"


def test_standard_input_is_empty_unless_given() -> None:
    """A program that asks a question gets an end, not the terminal."""
    assert proc.run(["cat"], timeout=10).stdout == ""
    assert proc.run(["cat"], timeout=10, stdin=b"x").stdout == "x"


ECHO = "import sys\nfor line in sys.stdin: print(line.upper(), end='', flush=True)"


def asked(tmp_path: Path, script: str) -> proc.Worker:
    """Return a worker that runs a script and answers."""
    argv = [sys.executable, "-c", script]
    return proc.Worker(argv, log=tmp_path / "log", env=os.environ, answers=True)


def test_a_worker_answers_line_by_line(tmp_path: Path) -> None:
    """Also long lines; what it says beside goes to the log."""
    worker = asked(tmp_path, f"import sys\nprint('note', file=sys.stderr)\n{ECHO}")
    assert worker.ask(b"order", timeout=30) == b"ORDER\n"
    assert worker.ask(b"x" * 200_000, timeout=30) == b"X" * 200_000 + b"\n"
    worker.close()
    assert (tmp_path / "log").read_text() == "note\n"


def test_a_worker_that_ends_without_an_answer(tmp_path: Path) -> None:
    """Half a line is none; asked again it does not answer either."""
    worker = asked(tmp_path, "import sys; sys.stdin.readline(); print('half', end=''); sys.exit(5)")
    assert worker.ask(b"order", timeout=30) == b""
    assert worker.poll() == 5


def test_a_worker_that_is_not_needed_is_ended(tmp_path: Path) -> None:
    """Closing twice is fine."""
    worker = proc.Worker(["sleep", "60"], log=tmp_path / "log", env=os.environ)
    worker.close()
    worker.close()


def test_a_worker_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    """Assertions that hang do not hang the run."""
    worker = asked(tmp_path, "import time; print('half', end='', flush=True); time.sleep(60)")
    with pytest.raises(ProcessError, match=r"no answer after 0\.2 s"):
        worker.ask(b"", timeout=0.2)
    assert worker.poll() == -signal.SIGKILL


def test_a_worker_can_be_watched_and_told_to_stop(tmp_path: Path) -> None:
    """The signal that ended it is its code, as a negative number; one that has ended is let be."""
    worker = proc.Worker(["sleep", "60"], log=tmp_path / "log", env=os.environ)
    assert worker.poll() is None
    worker.send(signal.SIGTERM)
    wait_for(
        worker.poll, what="its end", deadline=Deadline.after(30), ready=lambda c: c is not None
    )
    assert worker.poll() == -signal.SIGTERM
    worker.send(signal.SIGTERM)
    worker.close()


def test_a_program_may_die_with_the_run(tmp_path: Path) -> None:
    """However the run dies; else it would go on beside the next one."""
    script = "from pathlib import Path; from harness.core import proc; proc.run(['sh', '-c', "
    script += f"'echo $$ > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; exec sleep 60'], "
    script += "timeout=60, dies_too=True)"
    run = subprocess.Popen([sys.executable, "-c", script])  # noqa: S603  argv list, no shell
    _await_file(tmp_path / "pid")
    run.kill()
    run.wait()
    _await_end(int((tmp_path / "pid").read_text()))


def test_the_child_that_asserts_dies_with_the_run() -> None:
    """Also while its standard input is open: it waits for its order here."""
    script = "import os, subprocess, sys; "
    script += "child = [sys.executable, '-m', 'harness.assertions.child', str(os.getpid())]; "
    script += "print(subprocess.Popen(child).pid, flush=True); input()"
    with subprocess.Popen(  # noqa: S603  argv list, no shell
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout
        child = int(run.stdout.readline())
        wait_for(
            lambda: "pipe_read" in Path(f"/proc/{child}/wchan").read_text(),
            what="a child that reads", deadline=Deadline.after(20),
        )  # fmt: skip
        run.kill()
        _await_end(child)


def test_a_program_whose_parent_died_before_does_not_begin() -> None:
    """The kernel only tells what comes after it was asked to."""
    argv = with_parent(["echo", "begun"])
    argv[4] = "1"  # not ours
    assert proc.run(argv, timeout=10, check=False).stdout == ""
    assert proc.run(with_parent(["echo", "begun"]), timeout=10).stdout == "begun\n"


def _await_file(path: Path) -> None:
    wait_for(path.exists, what="a file", deadline=Deadline.after(20))


def _await_end(pid: int) -> None:
    wait_for(lambda: not processes.is_running(pid), what="the end", deadline=Deadline.after(20))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("'https://bot:ghp_x@forge.test/o.git' no", "'https://****@forge.test/o.git' no"),
        ("https://ghp_x@a/b HTTP://c:d@e@f/g", "https://****@a/b HTTP://****@f/g"),
        ("ssh://git@host/x git+ssh://git@h/y", "ssh://git@host/x git+ssh://git@h/y"),
        ("ssh://git:word@host/x", "ssh://****@host/x"),
        ("https://h/@team/x me@example.test", "https://h/@team/x me@example.test"),
    ],
)
def test_no_password_of_a_url_is_shown(text: str, shown: str) -> None:
    """A token may stand where the user's name does; over ssh that is only ever a name."""
    assert without_passwords(text) == shown


@pytest.mark.parametrize("stream", [1, 2])
def test_a_program_that_prints_without_end_is_killed(stream: int, tmp_path: Path) -> None:
    """Its words were kept in memory, however many they were."""
    note = tmp_path / "pid"
    script = f"echo $$ > {note}; exec yes >&{stream}"
    with pytest.raises(PrintedTooMuchError, match="printed more than 1000000 bytes") as caught:
        proc.run(["sh", "-c", script], timeout=60, most=1_000_000)
    assert caught.value.code is None
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


def test_what_a_program_may_print_is_taken_whole() -> None:
    """Both streams count, and the limit itself is allowed."""
    done = proc.run(["sh", "-c", "printf 12345; printf 67890 >&2"], timeout=60, most=10)
    assert (done.stdout, done.stderr) == ("12345", "67890")
    raw = proc.run(["printf", r"\377"], timeout=60, binary=True)
    assert (raw.stdout, raw.raw) == ("", b"\xff")


def test_large_input_and_output_go_at_once() -> None:
    """Whoever sends all of it first waits for ever for a program that writes as it reads."""
    data = bytes(range(256)) * 8192
    assert proc.run(["cat"], stdin=data, timeout=60, binary=True).raw == data
    assert proc.run(["true"], stdin=data, timeout=60).code == 0


def test_a_daemon_that_keeps_the_pipes_is_not_waited_for(tmp_path: Path) -> None:
    """One in another group survives the kill, and holds the pipes open."""
    note = tmp_path / "pid"
    with pytest.raises(ProcessError, match="still running after"):
        proc.run(["sh", "-c", f"setsid sh -c 'echo $$ > {note}; exec sleep 60' & wait"], timeout=1)
    os.kill(int(note.read_text()), signal.SIGKILL)  # it is still there
