"""What runs in a container beside its first process: how that is read, and what of it is missed."""

from harness.swarm.programs import Process, Programs, processes


def stat(pid: int, parent: int, name: str, began: int, state: str = "S") -> str:
    """Return a line of /proc/PID/stat; `began` is in ticks."""
    return f"{pid} ({name}) {state} {parent} " + "0 " * 17 + f"{began} 0 0\n"


def status(pid: int, user: int, group: int) -> str:
    """Return lines of /proc/PID/status."""
    return f"Name:\tx\nPid:\t{pid}\nUid:\t0\t{user}\t0\t0\nGid:\t0\t{group}\t0\t0\n"


def process(pid: int, name: str, age: float = 60.0, *, parent: int = 1) -> Process:
    """Return a process that runs as root."""
    return Process(pid=pid, parent=parent, name=name, ended=False, age=age, user="0:0")


def container(*names: str, age: float = 60.0) -> list[Process]:
    """Return a supervisor, and programs that it started at once."""
    first = process(1, "supervisord", age, parent=0)
    return [first, *(process(n + 2, name, age) for n, name in enumerate(names))]


def gone(*looks: list[Process]) -> list[str]:
    """Return what the last of several looks misses."""
    programs = Programs()
    return [programs.gone("app", seen) for seen in looks][-1]


def test_processes_are_those_below_the_first_one() -> None:
    """What is executed in the container beside it, such as a health check, is not among them."""
    text = (
        stat(1, 0, "a (b) c", 1000) + stat(7, 1, "nginx", 1500) + stat(9, 7, "nginx", 1600, "Z")
        + stat(20, 0, "sh", 4000) + stat(21, 20, "cat", 4100)
        + status(1, 0, 0) + status(7, 33, 34)
    )  # fmt: skip
    assert processes(text) == (
        Process(pid=1, parent=0, name="a (b) c", ended=False, age=31.0, user="0:0"),
        Process(pid=7, parent=1, name="nginx", ended=False, age=26.0, user="33:34"),
        Process(pid=9, parent=7, name="nginx", ended=True, age=25.0, user=""),
    )
    assert processes("") == processes("cat: not found") == ()


def test_a_program_that_passes_for_cat_does_no_harm() -> None:
    """It may print anything; thousands of processes, each started by the one before, are fine."""
    for printed in (
        "1 (a) S 0 1\n", "1 (a) S 0 " + "x " * 40, "Pid:\tx\nUid:\t1\nGid:\t\n",
        stat(1, 0, "a", 10**17).replace(" 0 0\n", "9" * 99), ") S 1 0 0" * 500_000,
    ):  # fmt: skip
        assert processes(printed) == ()
    assert processes(stat(1, 0, "a", 9) + "Pid:\t1\nUid:\t5\nGid:\t6\n")[0].user == ":"
    chain = "".join(stat(pid, pid - 1, "fork", 1) for pid in range(1, 20_000))
    assert len(processes(chain)) == 19_999


def test_a_program_that_ended_is_told() -> None:
    """In the next container, or in the same one; what is started again all the time is missed."""
    both = container("nginx", "worker")
    assert gone(both, both) == []
    assert gone(both, container("nginx")) == ["worker"]
    young = [*container("nginx"), process(9, "worker", 2.0)]
    assert gone(both, young) == ["worker"]
    again = [*container("nginx"), process(9, "worker", 6.0)]
    assert gone(both, again) == []
    assert gone(container("worker", "worker"), container("worker")) == ["worker"]


def test_what_was_replaced_or_does_nothing_is_not_told() -> None:
    """A release may use another server; scripts and pauses come and go, and so do a pool's own."""
    assert gone(container("gunicorn", "cron"), container("uvicorn", "cron")) == []
    assert gone(container("sleep", "sh", "tail"), container()) == []
    pool = [*container("nginx"), process(9, "nginx", parent=2)]
    assert gone(pool, container("nginx")) == []
    assert gone(container("nginx"), container("nginx", "worker")) == []


def test_a_container_that_has_just_begun_says_nothing() -> None:
    """Its programs may come yet; those of the one before are kept in mind."""
    both = container("nginx", "worker")
    assert gone(both, container(age=9.0)) == []
    assert gone(both, container(age=9.0), container("nginx")) == ["worker"]
    assert gone(container("job", age=2.0), container()) == []
    short = [*container("nginx"), process(9, "job", 20.0)]
    assert gone(short, container("nginx")) == [], "it had not run for long"
    assert gone(both, []) == [], "a container that has no program to list them"
