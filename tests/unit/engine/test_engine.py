"""Which engine is used: no engine, no real socket, no real program."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.core import proc
from harness.core.errors import EngineError, ProcessError, UsageError
from harness.engine import install
from harness.engine.endpoint import Engine
from harness.engine.engine import Machine, resolve, start
from harness.engine.layout import Paths

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
