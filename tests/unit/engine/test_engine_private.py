"""How the private engine starts and ends, without any program being run or signalled."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.core import proc
from harness.core.errors import EngineError, ProcessError
from harness.core.proc import Completed
from harness.engine import ending, install, layout, private, processes
from harness.engine.layout import Paths
from harness.engine.processes import Process

NO_SUCH_PID = 2**22 + 1  # one more than the kernel ever gives


@pytest.fixture(autouse=True)
def _everything_in_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    # The names of pytest's directories are long, and these tests must not write to /run.
    monkeypatch.setattr(layout, "SOCKET_PATH_BYTES", 4096)


# --- the start ---


class FakeStart:
    """Stands for dockerd's start: writes its log, and gives a process that has ended already."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, log: str) -> None:
        self.log = log
        self.started: list[tuple[list[str], Mapping[str, str]]] = []
        self.answers = False
        monkeypatch.setattr(proc, "start_daemon", self.start)
        monkeypatch.setattr(private, "probe", lambda _: "" if self.answers else "no answer")
        monkeypatch.setattr(private, "refuse_rivals", lambda _: None)
        monkeypatch.setattr(install, "finder", lambda _: lambda name: f"/sbin/{name}")

    def start(self, argv: list[str], *, log: Path, env: Mapping[str, str]) -> int:
        """Take the place of proc.start_daemon."""
        log.write_text(self.log)
        self.started.append((argv, env))
        return NO_SUCH_PID


def test_dockerd_is_given_our_directories_and_no_foreign_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its data, socket and configuration are ours; its environment says nothing about engines."""
    fake = FakeStart(monkeypatch, "")
    monkeypatch.setattr(private, "_await_answer", lambda *_: None)
    said: list[str] = []
    environment = {"PATH": "/bin", "DOCKER_TLS_VERIFY": "1", "NOTIFY_SOCKET": "/n", "LANG": "C"}
    engine = private.start(tmp_path, environment=environment, say=said.append)
    root = tmp_path / "engine"
    ((argv, env),) = fake.started
    assert argv[:3] == ["env", "--chdir=/", "/sbin/dockerd"]
    assert dict(zip(argv[3::2], argv[4::2], strict=True)) == {
        "--config-file": f"{root}/daemon.json",
        "--data-root": f"{root}/data",
        "--exec-root": f"{root}/exec",
        "--pidfile": f"{root}/pid",
        "-H": f"unix://{root}/docker.sock",
    }
    assert engine.host == f"unix://{root}/docker.sock"
    assert sorted(env) == ["GOGC", "LANG", "PATH"]
    assert said == [f"starting a private engine in {root}"]
    assert root.stat().st_mode & 0o777 == 0o700


def test_an_engine_that_answers_is_not_started_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = FakeStart(monkeypatch, "")
    fake.answers = True
    assert private.start(tmp_path, environment={}, say=print).private
    assert fake.started == []
    assert list(tmp_path.iterdir()) == []  # not even the lock was taken


def test_whoever_waited_for_the_lock_looks_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The engine that another run started meanwhile is used; no second one is started."""
    fake = FakeStart(monkeypatch, "")
    looks = iter(["no answer", ""])
    monkeypatch.setattr(private, "probe", lambda _: next(looks))
    assert private.start(tmp_path, environment={}, say=print).private
    assert fake.started == []


@pytest.mark.parametrize(
    ("last", "remedy"),
    [
        ("/root/x/data/1.1 restricts access to the remapped root uid/gid", "CCCI_CACHE=/var/"),
        ("failed to start daemon: Devices cgroup isn't mounted", "cgroupfs-mount"),
        ("failed to start daemon: failed to create NAT chain: Iptables not found", "iptables"),
        ("failed to start daemon: operation not permitted", "--privileged"),
        ("failed to start daemon: something new", "point DOCKER_HOST at an engine"),
    ],
)
def test_a_dockerd_that_dies_is_reported_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, last: str, remedy: str
) -> None:
    """In its own words, with the end of its log and what to do about it."""
    many = [f'time="t" level=info msg="line {n}"' for n in range(40)]
    FakeStart(monkeypatch, "\n".join([*many, last]) + "\n")
    with pytest.raises(EngineError) as caught:
        private.start(tmp_path, environment={}, say=lambda _: None)
    error = caught.value
    assert error.what == "the private engine ended while it was starting"
    assert error.cause == last
    assert remedy in error.hint
    assert str(tmp_path / "engine" / "log") in error.hint
    assert error.detail.splitlines() == [*many[-14:], last]


def test_an_engine_that_never_answers_is_reported_in_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    FakeStart(monkeypatch, "")
    monkeypatch.setattr(processes, "is_running", lambda _: True)
    with pytest.raises(EngineError, match="did not answer within 0 s"):
        private.start(tmp_path, environment={}, say=lambda _: None, timeout=0)


def test_the_log_of_the_start_before_is_kept_apart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An old failure in the log must not be taken for the reason of a new one."""
    for log in ("failed to start daemon: old", 'time="t" level=info msg="new"'):
        FakeStart(monkeypatch, log)
        with pytest.raises(EngineError) as caught:
            private.start(tmp_path, environment={}, say=lambda _: None)
    assert "old" not in str(caught.value)
    assert "old" in (tmp_path / "engine" / "log.1").read_text()


def test_the_reason_in_a_log_is_the_last_bare_line_or_the_last_error() -> None:
    severe = 'time="t" level=error msg="it says \\"no\\"" error=x'
    info = 'time="t" level=info msg="fine"'
    assert private.failure_in([info, "failed to start: x", info]) == "failed to start: x"
    assert private.failure_in([severe, info]) == 'it says "no"'
    assert private.failure_in([info]) == ""
    assert private.failure_in([]) == ""


def test_without_dockerd_nothing_is_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = FakeStart(monkeypatch, "")
    monkeypatch.setattr(install, "finder", lambda _: lambda _name: None)
    with pytest.raises(EngineError, match="no program dockerd"):
        private.start(tmp_path, environment={}, say=lambda _: None)
    assert fake.started == []


def test_a_cache_that_cannot_hold_an_engine_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    FakeStart(monkeypatch, "")
    (tmp_path / "engine").write_text("a file")
    with pytest.raises(EngineError, match="cannot be made: File exists") as caught:
        private.start(tmp_path, environment={}, say=lambda _: None)
    assert "CCCI_CACHE" in caught.value.hint


def test_the_machines_own_word_on_registries_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Mirrors and proxies hold for our engine, too; where the other one lies does not."""
    host = tmp_path / "daemon.json"
    monkeypatch.setattr(private, "_HOST_CONFIG", host)
    FakeStart(monkeypatch, "")
    kept = {"registry-mirrors": ["http://m"], "mtu": 1400, "userns-remap": "default"}
    for text, expected in (
        (json.dumps({**kept, "data-root": "/x", "hosts": ["tcp://x"]}), kept),
        ("not json", {}),
        ("[]", {}),
    ):
        host.write_text(text)
        with pytest.raises(EngineError):
            private.start(tmp_path, environment={}, say=lambda _: None)
        found = json.loads((tmp_path / "engine" / "daemon.json").read_text())
        assert found.pop("log-driver") == "json-file"
        assert set(found.pop("log-opts")) == {"max-size", "max-file"}, "no log fills the disk"
        assert found == expected


def test_a_rival_is_refused_with_the_address_to_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rival = Process(pid=7, argv=("dockerd", "-H", "unix:///x.sock"))
    monkeypatch.setattr(processes, "rivals", lambda _: [rival])
    with pytest.raises(EngineError, match=r"another Docker engine .*\(process 7\)") as caught:
        private.refuse_rivals(tmp_path)
    assert "DOCKER_HOST=unix:///x.sock" in caught.value.hint
    assert caught.value.detail == "dockerd -H unix:///x.sock"


@pytest.mark.parametrize(("bridge", "answers"), [(True, True), (True, False), (False, True)])
def test_a_rival_out_of_sight_is_known_by_its_bridge(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, bridge: bool, answers: bool
) -> None:
    """An engine that answers beside a docker0 is here; either alone may be a leftover."""
    monkeypatch.setattr(processes, "rivals", lambda _: [])
    monkeypatch.setattr(private, "link_exists", lambda name: bridge and name == "docker0")
    monkeypatch.setattr(private, "probe", lambda _: "" if answers else "none")
    if bridge and answers:
        with pytest.raises(EngineError, match="docker0 exists"):
            private.refuse_rivals(tmp_path)
    else:
        private.refuse_rivals(tmp_path)


# --- status ---


@pytest.mark.parametrize(
    ("pid", "data", "text"),
    [
        (None, False, "private engine: never started"),
        (None, True, "private engine: stopped\n  directory: {root}"),
        (
            7,
            True,
            """private engine: running, but it does not answer, process 7
  directory: {root}
  its log: {root}/log""",
        ),
    ],
)
def test_status_says_what_to_look_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pid: int | None, text: str, *, data: bool
) -> None:
    monkeypatch.setattr(private, "probe", lambda _: "no answer")
    monkeypatch.setattr(Paths, "dockerd", lambda _: pid)
    if data:
        Paths.of(tmp_path).data.mkdir(parents=True)
    assert str(private.status(tmp_path)) == text.format(root=tmp_path / "engine")


# --- the end ---


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """Give the signals that were sent; none is."""
    sent: list[tuple[int, str]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number.name)))
    monkeypatch.setattr(ending, "probe", lambda _: "no answer")
    return sent


def test_a_pid_file_alone_gets_nobody_signalled(
    tmp_path: Path, signals: list[tuple[int, str]]
) -> None:
    """The number may be another program's by now; the file goes, the program stays."""
    paths = Paths.of(tmp_path)
    stale = (paths.pidfile, paths.socket, paths.exec / "containerd" / "containerd.pid")
    stale[-1].parent.mkdir(parents=True)
    for file in stale:
        file.write_text(str(os.getpid()))
    said: list[str] = []
    assert not ending.stop(tmp_path, say=said.append)
    assert signals == []
    assert [file.exists() for file in stale] == [False] * 3
    assert said == ["the private engine was not running"]


def test_a_stop_asks_dockerd_then_containerd_and_kills_what_is_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, signals: list[tuple[int, str]]
) -> None:
    """Killed are the orphaned shims and what runs below them, and only after the daemons ended."""
    daemon = Process(pid=20, argv=("dockerd",))
    helper = Process(pid=21, argv=("containerd",))
    shim = Process(pid=22, argv=("containerd-shim-runc-v2",))
    alive = {20: daemon, 21: helper, 22: shim, 23: Process(pid=23, argv=("sleep",))}

    def kill(pid: int, number: int) -> None:
        signals.append((pid, number.name if hasattr(number, "name") else str(number)))
        del alive[pid]

    monkeypatch.setattr(os, "kill", kill)
    monkeypatch.setattr(processes, "is_running", lambda pid: pid in alive)
    monkeypatch.setattr(
        processes, "belonging_to", lambda _: [p for p in alive.values() if p.pid != 23]
    )
    monkeypatch.setattr(processes, "descendants", lambda pids: {23} if 22 in set(pids) else set())
    said: list[str] = []
    assert ending.stop(tmp_path, say=said.append)
    assert signals == [(20, "SIGTERM"), (21, "SIGTERM"), (22, "SIGKILL"), (23, "SIGKILL")]
    assert said == ["the private engine was stopped"]


def test_an_engine_out_of_sight_is_not_pulled_from_under(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, signals: list[tuple[int, str]]
) -> None:
    """One that answers from another process namespace keeps its data."""
    paths = Paths.of(tmp_path)
    paths.data.mkdir(parents=True)
    monkeypatch.setattr(ending, "probe", lambda _: "")
    with pytest.raises(EngineError, match="not from a process that can be seen"):
        ending.purge(tmp_path, say=lambda _: None)
    assert paths.data.is_dir()
    assert signals == []


def test_another_users_engine_is_named_as_such(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, signals: list[tuple[int, str]]
) -> None:
    def refuse(_pid: int, _number: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "kill", refuse)
    members = [Process(pid=20, argv=("dockerd",))]
    monkeypatch.setattr(processes, "belonging_to", lambda _: members)
    with pytest.raises(EngineError, match="belongs to another user"):
        ending.stop(tmp_path, say=lambda _: None)
    assert signals == []


VETHS = "ip -json link show type veth"


class FakeRun:
    """Takes the place of proc.run, and fails for the commands that it is told to refuse.

    `links` is what `ip` lists.
    """

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *, refuses: tuple[str, ...] = (), links: str = ""
    ) -> None:
        self.refuses = refuses
        self.links = links
        self.asked: list[str] = []
        monkeypatch.setattr(proc, "run", self.run)

    def run(self, argv: list[str], *, timeout: float) -> Completed:
        """Take one command."""
        assert timeout <= 20
        self.asked.append(" ".join(argv))
        if self.asked[-1] in self.refuses:
            raise ProcessError("failed", code=32)
        said = self.links if self.asked[-1] == VETHS else ""
        return Completed(argv=tuple(argv), code=0, stdout=said, stderr="")


@pytest.mark.parametrize(
    ("links", "removed"),
    [
        ([{"ifname": "veth0a1b2c3", "link": "veth0a1b2c4"}, {"ifname": "veth0a1b2c4",
          "link": "veth0a1b2c3", "master": "docker_gwbridge"}], ["veth0a1b2c3"]),
        ([{"ifname": "veth0a1b2c3", "link_index": 7, "link_netnsid": 0}], []),
        ([{"ifname": "veth0a1b2c3", "link": "veth0a1b2c4", "master": "br0"}], []),
        ([{"ifname": "theirs0", "link": "theirs1"}, {"ifname": "theirs1", "link": "theirs0"}], []),
        ([{}], []),
    ],
    ids=["unmoved", "moved", "of-another-bridge", "of-others", "of-an-old-ip"],
)  # fmt: skip
def test_links_that_a_killed_dockerd_had_not_moved_are_removed(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    signals: list[tuple[int, str]],
    links: list[object],
    removed: list[str],
) -> None:
    """Both ends are here, and named as libnetwork names them; all others stay."""
    assert signals == []
    Paths.of(tmp_path).data.mkdir(parents=True)
    run = FakeRun(monkeypatch, links=json.dumps(links))
    monkeypatch.setattr(processes, "rivals", lambda _: [])
    monkeypatch.setattr(ending, "link_exists", lambda _: False)
    ending.purge(tmp_path, say=lambda _: None)
    assert run.asked == [VETHS, *(f"ip link delete {name}" for name in removed)]


@pytest.mark.parametrize("shared", ["", "rival", "default socket"])
def test_bridges_are_removed_only_where_no_other_engine_is(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    signals: list[tuple[int, str]],
    shared: str,
) -> None:
    """Another engine's bridges have the same names as ours."""
    assert signals == []
    Paths.of(tmp_path).data.mkdir(parents=True)
    run = FakeRun(monkeypatch)
    found = [Process(pid=9, argv=("dockerd",))] if shared == "rival" else []
    monkeypatch.setattr(processes, "rivals", lambda _: found)
    if shared == "default socket":
        host = "unix:///var/run/docker.sock"
        monkeypatch.setattr(ending, "probe", lambda one: "" if one.host == host else "none")
    monkeypatch.setattr(ending, "link_exists", lambda name: name == "docker0")
    removed = ending.purge(tmp_path, say=lambda _: None)
    bridge = [] if shared else ["the bridge docker0"]
    assert list(removed) == [str(tmp_path / "engine"), *bridge]
    assert run.asked == ([] if shared else [VETHS, "ip link delete docker0"])
    assert not (tmp_path / "engine").exists()


def test_leftover_mounts_go_before_the_directories(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, signals: list[tuple[int, str]]
) -> None:
    """A busy one is detached: to remove what is mounted below a directory would be worse."""
    assert signals == []
    root = Paths.of(tmp_path).root
    root.mkdir()
    points = ["/m/a/b", "/m/a"]
    monkeypatch.setattr(processes, "mounts_below", lambda below: points if root in below else [])
    monkeypatch.setattr(ending, "link_exists", lambda _: False)
    monkeypatch.setattr(processes, "rivals", lambda _: [1])  # so no link is looked for
    run = FakeRun(monkeypatch, refuses=("umount /m/a",))
    removed = ending.purge(tmp_path, say=lambda _: None)
    assert run.asked == ["umount /m/a/b", "umount /m/a", "umount --lazy /m/a"]
    assert removed == ("leftover mounts", str(tmp_path / "engine"))


def test_purging_nothing_says_so_and_touches_no_bridge(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, signals: list[tuple[int, str]]
) -> None:
    run = FakeRun(monkeypatch)
    monkeypatch.setattr(processes, "rivals", lambda _: [])
    monkeypatch.setattr(ending, "link_exists", lambda _: True)
    said: list[str] = []
    assert ending.purge(tmp_path, say=said.append) == ()
    assert said == ["there is no private engine to remove"]
    assert run.asked == []
    assert signals == []
