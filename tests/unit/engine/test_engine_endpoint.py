"""How an engine is spoken to, and where our own one lies: no engine, no real socket."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from unittest.mock import MagicMock

import docker
import pytest

from harness.core.errors import EngineError
from harness.engine import endpoint
from harness.engine.endpoint import Engine
from harness.engine.layout import SOCKET_PATH_BYTES, Paths

DEFAULT = "unix:///var/run/docker.sock"
REMOTE = "tcp://192.0.2.1:2375"


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


def noting(made: list[dict[str, object]]) -> Callable[..., MagicMock]:
    """Return what makes a client of the SDK, noting down with which arguments."""

    def make(**how: object) -> MagicMock:
        made.append(how)
        return MagicMock()

    return make


def test_a_client_gets_a_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call is bounded."""
    made: list[dict[str, object]] = []
    monkeypatch.setattr(docker, "DockerClient", noting(made))
    Engine(host=DEFAULT, origin="x").client(2.5)
    assert made == [{"base_url": DEFAULT, "timeout": 3}]


def test_an_engine_behind_ssh_is_reached_by_a_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs get the tunnel's socket; people read the address, which is not of this machine."""
    monkeypatch.setattr(endpoint, "reach", {"ssh://box": "unix:///tunnel"}.__getitem__)
    engine = Engine(host="ssh://box", origin="x")
    assert engine.environ({"DOCKER_HOST": "y"}) == {"DOCKER_HOST": "unix:///tunnel"}
    assert (engine.host, engine.local) == ("ssh://box", False)


def test_a_client_uses_the_tls_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (tmp_path / name).touch()
    made: list[dict[str, object]] = []
    monkeypatch.setattr(docker, "DockerClient", noting(made))
    for verify in (True, False):
        Engine(host=REMOTE, origin="x", cert_path=str(tmp_path), tls_verify=verify).client()
    given = [one["tls"] for one in made]
    tls = [one for one in given if isinstance(one, docker.tls.TLSConfig)]
    assert [one.verify for one in tls] == [True, False]
    assert {one.ca_cert for one in tls} == {str(tmp_path / "ca.pem")}


@pytest.mark.parametrize(("host", "looks"), [(DEFAULT, False), (REMOTE, True)])
def test_a_proxy_is_looked_for_where_one_may_be(
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    looks: bool,  # noqa: FBT001  a result
) -> None:
    """None leads to a socket, and to look for it costs a part of each request."""
    monkeypatch.setattr(docker, "DockerClient", MagicMock())
    assert Engine(host=host, origin="x").client().api.trust_env is looks


def test_an_engine_that_went_away_is_an_engine_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The innermost reason is shown, not the layers of libraries around it."""

    def refuse(**_: object) -> None:
        layers = OSError("Connection aborted.", ConnectionRefusedError(111, "Connection refused"))
        raise docker.errors.DockerException(f"Error while fetching: {layers}") from layers

    monkeypatch.setattr(docker, "DockerClient", refuse)
    with pytest.raises(EngineError) as caught:
        Engine(host=DEFAULT, origin="x").client()
    assert caught.value.what.endswith("went away: Connection refused")


def test_an_ssh_engine_is_probed_through_its_tunnel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What ssh said is told apart from an engine that does not answer behind it."""
    engine = Engine(host="ssh://box", origin="x")

    def refuse(_: str) -> str:
        raise EngineError("not reached", cause="ssh: no route to host")

    monkeypatch.setattr(endpoint, "reach", refuse)
    assert endpoint.probe(engine) == "ssh: no route to host"
    monkeypatch.setattr(endpoint, "reach", lambda _: "unix:///tunnel")
    monkeypatch.setattr(endpoint, "_ping_socket", lambda path, _: f"{path}: reset")
    reason = "ssh gets through, and not to an engine's socket there: /tunnel: reset"
    assert endpoint.probe(engine) == reason


# --- where our own engine lies ---


def test_sockets_move_to_a_short_directory_when_their_names_are_too_long() -> None:
    """In the cache directory while the longest name fits, and not one byte beyond."""
    assert SOCKET_PATH_BYTES == 104  # containerd's limit, not the kernel's 107
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
