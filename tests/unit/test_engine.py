"""Which engine is used, and how it is spoken to: no engine, no real socket, no real program."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import docker
import pytest

from harness import proc
from harness.embedded import endpoint, install
from harness.embedded.endpoint import Engine
from harness.embedded.engine import Machine, resolve, start
from harness.embedded.layout import SOCKET_PATH_BYTES, Paths
from harness.errors import EngineError, ProcessError, UsageError

DEFAULT = "unix:///var/run/docker.sock"
REMOTE = "tcp://192.0.2.1:2375"
NOT_THERE = "no such file"


@dataclass
class FakeMachine:
    """A machine on which only the engines in `alive` answer; all that is done is written down."""

    cache: Path
    alive: set[str] = field(default_factory=set)
    root: bool = True
    programs: set[str] = field(default_factory=lambda: {"dockerd", "apt-get"})
    debian: bool = True
    rival: bool = False
    contexts: dict[str, object] = field(default_factory=dict)
    installed_engine_answers: bool = False
    done: list[str] = field(default_factory=list)
    probed: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    @property
    def ours(self) -> str:
        """Return the address of the cache's private engine."""
        return Paths.of(self.cache).engine.host

    def probe(self, engine: Engine) -> str:
        """Answer for the engines that are alive."""
        self.probed.append(engine.host)
        return "" if engine.host in self.alive else f"{engine.host}: {NOT_THERE}"

    def run(self, argv: list[str], *, timeout: float, env: Mapping[str, str]) -> proc.Completed:
        """Answer `docker context inspect NAME`, and nothing else."""
        assert timeout <= 10
        assert env.get("HOME")
        assert argv[:3] == ["docker", "context", "inspect"]
        (name,) = argv[3:]
        if name not in self.contexts:
            raise ProcessError("`docker` failed", code=1, stderr=f'context "{name}" not found')
        out = json.dumps([self.contexts[name]])
        return proc.Completed(argv=tuple(argv), code=0, stdout=out, stderr="")

    def install(self, *, environment: Mapping[str, str], say: object, find: install.Find) -> None:
        """Install dockerd; under systemd its engine is started by that."""
        assert environment.get("HOME")
        assert callable(say)
        assert find("dockerd") is None
        self.done.append("install")
        self.programs.add("dockerd")
        if self.installed_engine_answers:
            self.alive.add(DEFAULT)
            self.rival = True

    def start(self, cache: Path, *, environment: Mapping[str, str], say: object) -> Engine:
        """Start the private engine."""
        assert "dockerd" in self.programs
        assert environment.get("HOME")
        assert callable(say)
        self.done.append("start")
        return Paths.of(cache).engine

    def refuse_rivals(self, cache: Path) -> None:
        """Refuse when there is a rival."""
        assert cache == self.cache
        if self.rival:
            raise EngineError("a rival")

    def find(self, name: str) -> str | None:
        """Return where a program lies."""
        return f"/bin/{name}" if name in self.programs else None

    def resolve(self, mode: str = "auto", **environment: str) -> Engine:
        """Ask which engine is used."""
        return resolve(
            mode=mode,
            cache=self.cache,
            environment={"HOME": str(self.cache / "home"), **environment},
            say=self.said.append,
            machine=self.machine(),
        )

    def machine(self) -> Machine:
        """Return this machine as `resolve` sees it."""
        return Machine(
            probe=self.probe,
            run=self.run,
            is_root=lambda: self.root,
            finder=lambda _: self.find,
            distribution=lambda: "debian" if self.debian else "",
            install=self.install,
            start=self.start,
            refuse_rivals=self.refuse_rivals,
            has_rivals=lambda: self.rival,
        )


@pytest.fixture
def fake(tmp_path: Path) -> FakeMachine:
    return FakeMachine(cache=tmp_path / "cache")


def choose_context(fake: FakeMachine, text: str) -> None:
    config = fake.cache / "home" / ".docker"
    config.mkdir(parents=True)
    (config / "config.json").write_text(text)


def context(host: str, **more: object) -> dict[str, object]:
    return {"Endpoints": {"docker": {"Host": host}}, **more}


# --- an engine in reach ---


def test_docker_host_comes_first(fake: FakeMachine) -> None:
    """DOCKER_HOST is used before any context and any socket, and nothing else is asked."""
    choose_context(fake, '{"currentContext": "other"}')
    fake.alive = {REMOTE, DEFAULT}
    engine = fake.resolve(DOCKER_HOST=REMOTE, DOCKER_CONTEXT="another")
    assert engine == Engine(host=REMOTE, origin="DOCKER_HOST")
    assert not engine.local
    assert fake.probed == [REMOTE]
    assert fake.done == []


@pytest.mark.parametrize("mode", ["auto", "external"])
def test_a_dead_docker_host_is_never_replaced(fake: FakeMachine, mode: str) -> None:
    """A DOCKER_HOST that does not answer is an error, though other engines would answer."""
    fake.alive = {DEFAULT, fake.ours}
    with pytest.raises(EngineError) as caught:
        fake.resolve(mode, DOCKER_HOST=REMOTE)
    assert caught.value.what == f"the Docker engine at {REMOTE} (DOCKER_HOST) does not answer"
    assert NOT_THERE in caught.value.cause
    assert "unset DOCKER_HOST" in caught.value.hint
    assert fake.probed == [REMOTE]
    assert fake.done == []


def test_a_dead_docker_host_that_was_ours_is_started_by_hand(fake: FakeMachine) -> None:
    """An exported address of our own stopped engine leads to the command that starts it."""
    with pytest.raises(EngineError) as caught:
        fake.resolve(DOCKER_HOST=fake.ours)
    assert caught.value.hint == "python -m harness engine start"


def test_an_empty_docker_host_is_an_unset_one(fake: FakeMachine) -> None:
    fake.alive = {DEFAULT}
    assert fake.resolve(DOCKER_HOST="", DOCKER_CONTEXT="").origin == "default socket"


def test_docker_host_may_name_our_own_engine(fake: FakeMachine) -> None:
    """Whoever exports the address that `engine status` shows still uses an engine of our own."""
    fake.alive = {fake.ours}
    assert fake.resolve(DOCKER_HOST=fake.ours).private


def test_the_context_in_the_environment_beats_the_one_in_the_file(fake: FakeMachine) -> None:
    choose_context(fake, '{"currentContext": "file"}')
    fake.contexts = {"env": context(REMOTE), "file": context(DEFAULT)}
    fake.alive = {REMOTE, DEFAULT}
    assert fake.resolve(DOCKER_CONTEXT="env").origin == "context env"
    assert fake.resolve().origin == "context file"


@pytest.mark.parametrize("text", ['{"currentContext": "default"}', "{}", "[]", "not json", ""])
def test_the_default_context_is_the_default_socket(fake: FakeMachine, text: str) -> None:
    """No context chosen, or a config.json that cannot be read, means the default socket."""
    choose_context(fake, text)
    fake.alive = {DEFAULT}
    assert fake.resolve() == Engine(host=DEFAULT, origin="default socket")


def test_docker_config_names_the_directory_of_the_file(fake: FakeMachine, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"currentContext": "mine"}')
    fake.contexts = {"mine": context("ssh://box")}
    fake.alive = {"ssh://box"}
    assert fake.resolve(DOCKER_CONFIG=str(tmp_path)).host == "ssh://box"


def test_a_context_brings_its_tls_files(fake: FakeMachine) -> None:
    """Where a context has TLS files, their directory and whether to verify come along."""
    tls = {"TLSMaterial": {"docker": ["ca.pem"]}, "Storage": {"TLSPath": "/t"}}
    lax = {"docker": {"Host": REMOTE, "SkipTLSVerify": True}}
    fake.contexts = {"strict": context(REMOTE, **tls), "lax": {"Endpoints": lax, **tls}}
    fake.alive = {REMOTE}
    strict = fake.resolve(DOCKER_CONTEXT="strict")
    assert (strict.cert_path, strict.tls_verify) == ("/t/docker", True)
    assert fake.resolve(DOCKER_CONTEXT="lax").tls_verify is False


def test_an_unknown_context_is_an_error(fake: FakeMachine) -> None:
    fake.alive = {DEFAULT}
    with pytest.raises(EngineError, match="docker context 'gone' cannot be used") as caught:
        fake.resolve(DOCKER_CONTEXT="gone")
    assert 'context "gone" not found' in caught.value.cause


def test_a_dead_context_is_never_replaced(fake: FakeMachine) -> None:
    fake.contexts = {"mine": context(REMOTE)}
    fake.alive = {DEFAULT, fake.ours}
    with pytest.raises(EngineError, match=r"\(context mine\) does not answer") as caught:
        fake.resolve(DOCKER_CONTEXT="mine")
    assert "docker context use default" in caught.value.hint


# --- our own engine ---


def test_a_running_private_engine_is_used_without_root(fake: FakeMachine) -> None:
    """What runs already needs neither root nor dockerd."""
    fake.alive, fake.root, fake.programs = {fake.ours}, False, set()
    engine = fake.resolve()
    assert engine == Engine(host=fake.ours, origin="private", private=True)
    assert engine.local
    assert fake.done == []


def test_the_default_socket_comes_before_the_private_engine(fake: FakeMachine) -> None:
    fake.alive = {DEFAULT, fake.ours}
    assert fake.resolve().origin == "default socket"
    assert fake.probed == [DEFAULT]


def test_a_private_engine_is_started_when_nothing_answers(fake: FakeMachine) -> None:
    assert fake.resolve().private
    assert fake.done == ["start"]


def test_without_dockerd_an_engine_is_installed_and_then_started(fake: FakeMachine) -> None:
    fake.programs = {"apt-get"}
    assert fake.resolve().private
    assert fake.done == ["install", "start"]


def test_an_engine_that_the_package_started_is_used(fake: FakeMachine) -> None:
    """Under systemd the package starts an engine; a second one beside it would break both."""
    fake.programs = {"apt-get"}
    fake.installed_engine_answers = True
    assert fake.resolve().origin == "default socket"
    assert fake.done == ["install"]


def test_external_never_starts_nor_installs(fake: FakeMachine) -> None:
    fake.programs = {"apt-get"}
    with pytest.raises(EngineError, match="CCCI_ENGINE=external") as caught:
        fake.resolve("external")
    assert NOT_THERE in caught.value.cause
    assert fake.done == []


def test_external_does_not_even_use_a_running_private_engine(fake: FakeMachine) -> None:
    fake.alive = {fake.ours}
    with pytest.raises(EngineError):
        fake.resolve("external")


def test_private_looks_at_nobody_elses_engine(fake: FakeMachine) -> None:
    """Mode private ignores DOCKER_HOST, contexts and the default socket."""
    fake.alive = {REMOTE, DEFAULT}
    engine = fake.resolve("private", DOCKER_HOST=REMOTE, DOCKER_CONTEXT="mine")
    assert engine.private
    assert fake.done == ["start"]


@pytest.mark.parametrize("running", [True, False])
def test_private_is_refused_beside_a_rival(fake: FakeMachine, *, running: bool) -> None:
    """Two engines in one network namespace: said so, even when ours runs already."""
    fake.rival = True
    fake.alive = {fake.ours} if running else set()
    with pytest.raises(EngineError, match="a rival"):
        fake.resolve("private")
    assert fake.done == []


def test_without_root_both_ways_out_are_named(fake: FakeMachine) -> None:
    fake.root = False
    with pytest.raises(EngineError) as caught:
        fake.resolve()
    assert "only root can start one" in caught.value.what
    assert NOT_THERE in caught.value.cause
    assert "DOCKER_HOST" in caught.value.hint
    assert "as root" in caught.value.hint
    assert fake.done == []


@pytest.mark.parametrize("lacking", ["debian", "apt-get"])
def test_elsewhere_than_on_debian_nothing_is_installed(fake: FakeMachine, lacking: str) -> None:
    fake.programs = {"apt-get"} - {lacking}
    fake.debian = lacking != "debian"
    with pytest.raises(EngineError, match="no program dockerd"):
        fake.resolve()
    assert fake.done == []


def test_an_unknown_mode_is_a_usage_error(fake: FakeMachine) -> None:
    with pytest.raises(UsageError, match="'own'") as caught:
        fake.resolve("own")
    assert caught.value.hint == "CCCI_ENGINE is one of auto, external, private"


def test_start_says_where_the_engine_runs(fake: FakeMachine) -> None:
    start(fake.cache, environment={"HOME": "/h"}, say=fake.said.append, machine=fake.machine())
    assert fake.done == ["start"]
    assert fake.said == [f"the private engine runs at {fake.ours}"]


# --- how an engine is spoken to ---


def test_environ_leaves_no_other_word_about_an_engine() -> None:
    """A program that gets this environment reaches this engine, whatever was set before."""
    base = {
        "PATH": "/bin",
        "DOCKER_HOST": "tcp://other",
        "DOCKER_CONTEXT": "other",
        "DOCKER_TLS": "1",
        "DOCKER_TLS_VERIFY": "1",
        "DOCKER_CERT_PATH": "/c",
        "DOCKER_CONFIG": "/kept",
    }
    kept = {"PATH": "/bin", "DOCKER_CONFIG": "/kept", "DOCKER_HOST": DEFAULT}
    assert Engine(host=DEFAULT, origin="x").environ(base) == kept
    assert base["DOCKER_CONTEXT"] == "other"


@pytest.mark.parametrize(
    ("set_", "cert_path", "verify"),
    [
        ({"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/c"}, "/c", True),
        ({"DOCKER_TLS": "1", "DOCKER_CERT_PATH": "/c"}, "/c", False),
        ({"DOCKER_TLS_VERIFY": "1"}, "/h/.docker", True),
        ({"DOCKER_TLS_VERIFY": "1", "DOCKER_CONFIG": "/d"}, "/d", True),
        ({"DOCKER_CERT_PATH": "/c"}, "", False),  # as the docker command line has it
        ({"DOCKER_TLS_VERIFY": "", "DOCKER_CERT_PATH": "/c"}, "", False),
    ],
)
def test_tls_settings_come_from_the_environment(
    set_: dict[str, str], cert_path: str, *, verify: bool
) -> None:
    engine = endpoint.from_host({"HOME": "/h", "DOCKER_HOST": REMOTE, **set_})
    assert engine is not None
    assert (engine.cert_path, engine.tls_verify) == (cert_path, verify)
    handed_on = engine.environ({})
    again = endpoint.from_host({"HOME": "/h", **handed_on})
    assert again == engine


@pytest.mark.parametrize(("host", "by_program"), [("ssh://box", True), (DEFAULT, False)])
def test_a_client_gets_a_time_out_and_the_ssh_program(
    monkeypatch: pytest.MonkeyPatch, host: str, *, by_program: bool
) -> None:
    """Each call is bounded, and ssh goes by the program that knows the user's keys."""
    made: list[dict[str, object]] = []
    monkeypatch.setattr(docker, "DockerClient", lambda **how: made.append(how))
    Engine(host=host, origin="x").client(2.5)
    assert made == [{"base_url": host, "timeout": 3, "use_ssh_client": by_program}]


def test_a_client_uses_the_tls_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (tmp_path / name).touch()
    made: list[docker.tls.TLSConfig] = []
    monkeypatch.setattr(docker, "DockerClient", lambda *, tls, **_: made.append(tls))
    for verify in (True, False):
        Engine(host=REMOTE, origin="x", cert_path=str(tmp_path), tls_verify=verify).client()
    assert [tls.verify for tls in made] == [True, False]
    assert {tls.ca_cert for tls in made} == {str(tmp_path / "ca.pem")}


def test_an_engine_that_went_away_is_an_engine_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The innermost reason is shown, not the layers of libraries around it."""

    def refuse(**_: object) -> None:
        layers = OSError("Connection aborted.", ConnectionRefusedError(111, "Connection refused"))
        raise docker.errors.DockerException(f"Error while fetching: {layers}") from layers

    monkeypatch.setattr(docker, "DockerClient", refuse)
    with pytest.raises(EngineError) as caught:
        Engine(host=DEFAULT, origin="x").client()
    assert caught.value.what.endswith("went away: Connection refused")


def test_an_ssh_engine_is_probed_by_a_program_that_can_be_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[list[str], float]] = []

    def run(argv: list[str], *, timeout: float) -> None:
        asked.append((argv, timeout))
        words = "error during connect: exit status 255: stderr=ssh: no route to host\n"
        raise ProcessError("`docker` failed", code=1, stderr=words)

    monkeypatch.setattr(proc, "run", run)
    assert endpoint.probe(Engine(host="ssh://box", origin="x")) == "ssh: no route to host"
    expected = ["docker", "--host", "ssh://box", "version", "--format", "{{.Server.Version}}"]
    assert asked == [(expected, endpoint.REMOTE_PROBE_SECONDS)]


# --- where our own engine lies ---


def test_sockets_move_to_a_short_directory_when_their_names_are_too_long() -> None:
    """In the cache directory while the longest name fits, and not one byte beyond."""
    longest = "/engine/exec/containerd/containerd.sock.ttrpc"
    fits = Path("/" + "d" * (SOCKET_PATH_BYTES - len(longest) - 1))
    paths = Paths.of(fits)
    assert len(str(paths.exec / "containerd" / "containerd.sock.ttrpc")) == SOCKET_PATH_BYTES
    assert paths.runtime == paths.root == fits / "engine"

    deep = Path(f"{fits}d")
    paths = Paths.of(deep, run=Path("/r"))
    assert paths.root == deep / "engine"
    assert paths.runtime.parent == Path("/r")
    assert paths.data.is_relative_to(deep)
    assert paths.socket.parent == paths.pidfile.parent == paths.exec.parent == paths.runtime
    assert Paths.of(deep, run=Path("/r")) == paths
    assert Paths.of(Path(f"{deep}d"), run=Path("/r")).runtime != paths.runtime


def test_length_is_counted_in_bytes() -> None:
    letters = (SOCKET_PATH_BYTES - 45) // 2 + 1
    assert Paths.of(Path("/" + "é" * letters)).runtime.parent == Path("/run")


def test_one_directory_has_one_engine_however_it_is_named(tmp_path: Path) -> None:
    """Through a link, the same engine is found: else a second one would be started on its data."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert Paths.of(tmp_path / "link") == Paths.of(tmp_path / "real")


# --- the installation ---


class FakeApt:
    """Runs apt-get, strictly: what it is asked for becomes a program, or it fails."""

    def __init__(self, brings: Mapping[str, set[str]], *, fails: str = "") -> None:
        self.brings = brings
        self.fails = fails
        self.asked: list[list[str]] = []
        self.programs: set[str] = set()

    def run(self, argv: list[str], *, timeout: float, env: Mapping[str, str]) -> proc.Completed:
        """Take one command."""
        assert timeout > 0
        assert env["DEBIAN_FRONTEND"] == "noninteractive"
        assert "/usr/sbin" in env["PATH"].split(":")
        self.asked.append(argv)
        if argv[1] == self.fails:
            raise ProcessError("`apt-get` failed", code=100, stderr="W: one\nE: no route")
        if argv[1] == "install":
            for package in argv[6:]:
                self.programs |= self.brings[package]
        return proc.Completed(argv=tuple(argv), code=0, stdout="", stderr="")

    def find(self, name: str) -> str | None:
        """Return where a program lies."""
        return f"/bin/{name}" if name in self.programs else None

    def install(self, tmp_path: Path, *, apparmor: str = "N") -> list[str]:
        """Install, and return what was said."""
        said: list[str] = []
        switch = tmp_path / "enabled"
        switch.write_text(f"{apparmor}\n")
        install.install(
            environment={"PATH": "/bin"},
            say=said.append,
            run=self.run,
            find=self.find,
            apparmor=switch,
        )
        return said


APT = ["apt-get", "install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"]


def test_the_engine_is_installed_by_apt_and_said_aloud_first(tmp_path: Path) -> None:
    apt = FakeApt({"docker.io": {"dockerd", "docker", "iptables"}})
    said = apt.install(tmp_path, apparmor="N")
    assert apt.asked == [["apt-get", "update"], [*APT, "docker.io"]]
    assert said == ["no Docker engine here: installing the package docker.io with apt-get"]


def test_what_the_package_does_not_bring_is_installed_too(tmp_path: Path) -> None:
    """The command line, iptables, and AppArmor's parser where the kernel has it switched on."""
    names = ["docker-cli", "iptables", "apparmor"]
    apt = FakeApt({"docker.io": {"dockerd"}, **{name: {name} for name in names}})
    said = apt.install(tmp_path, apparmor="Y")
    assert apt.asked[2:] == [[*APT, *names]]
    assert said[1:] == [f"installing what docker.io did not bring along: {', '.join(names)}"]


def test_a_failed_update_does_not_stop_the_installation(tmp_path: Path) -> None:
    apt = FakeApt({"docker.io": {"dockerd", "docker", "iptables"}}, fails="update")
    said = apt.install(tmp_path)
    assert apt.programs
    assert said[1] == "apt-get update failed (E: no route); trying with the package lists at hand"


def test_a_failed_installation_is_an_engine_error_with_apts_words(tmp_path: Path) -> None:
    apt = FakeApt({}, fails="install")
    with pytest.raises(EngineError, match=r"could not install docker\.io") as caught:
        apt.install(tmp_path)
    assert "E: no route" in caught.value.detail


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ID=debian\n", "debian"),
        ('ID="ubuntu"\nID_LIKE=debian\n', "ubuntu"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', "ubuntu"),
        ("ID=fedora\n", ""),
        ("ID=notdebian\n", ""),
        ("", ""),
    ],
)
def test_the_distribution_is_read_from_os_release(tmp_path: Path, text: str, name: str) -> None:
    (tmp_path / "os-release").write_text(text)
    assert install.distribution(tmp_path / "os-release") == name
    assert install.distribution(tmp_path / "none") == ""


def test_programs_are_found_in_the_systems_own_folders() -> None:
    """`su` leaves a PATH without /usr/sbin, where dockerd and iptables lie."""
    assert install.search_path({"PATH": "/mine"}).split(":")[0] == "/mine"
    assert "/usr/sbin" in install.search_path({}).split(":")
