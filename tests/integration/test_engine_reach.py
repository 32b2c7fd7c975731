"""Real sockets, dead and alive, and the real kernel: what a probe makes of them."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from harness.engine import preflight
from harness.engine.endpoint import Engine, probe


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\nOK", ""),
        (b"HTTP/1.0 503 Service Unavailable\r\n\r\n", "which no engine says"),
        (b"220 mail ready\r\n", "which no engine says"),
        (b"", "which no engine says"),
    ],
)
def test_only_an_engine_answers_as_one(tmp_path: Path, answer: bytes, reason: str) -> None:
    """A socket counts as an engine only if the answer to a ping is 200."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            stream, _ = server.accept()
            with stream:
                stream.recv(1024)
                stream.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        said = probe(Engine(host=f"unix://{path}", origin="test"))
        thread.join()
    assert reason in said
    assert bool(said) == bool(reason)


def test_a_dead_endpoint_says_why(tmp_path: Path) -> None:
    """The reason is the system's own word, not a stack of wrapped errors."""
    left = tmp_path / "left"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(left))
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    expected = {
        f"unix://{tmp_path}/none": f"{tmp_path}/none: No such file or directory",
        f"unix://{left}": f"{left}: Connection refused",
        f"unix:///{'x' * 200}": f"/{'x' * 200}: AF_UNIX path too long",
        f"tcp://127.0.0.1:{port}": "Connection refused",
        "nonsense": "Invalid bind address format: port is required: nonsense",
    }
    assert {host: probe(Engine(host=host, origin="test")) for host in expected} == expected


def test_the_kernel_is_asked_for_netlink_families() -> None:
    """The family of families is always there, and one of no such name never."""
    assert preflight.has_netlink_family("nlctrl")
    assert not preflight.has_netlink_family("NOSUCHFAMILY")
