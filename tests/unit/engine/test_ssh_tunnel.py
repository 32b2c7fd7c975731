"""The way to an engine behind ssh: the command, and what it leaves."""

from pathlib import Path

import pytest

from harness.core.errors import EngineError
from harness.engine.ssh_tunnel import SOCKET, Tunnels, command


@pytest.mark.parametrize(
    ("host", "words", "remote", "name"),
    [
        ("ssh://box", [], SOCKET, "box"),
        ("ssh://box/", [], SOCKET, "box"),
        ("ssh://ops@box:2222", ["-l", "ops", "-p", "2222"], SOCKET, "box"),
        ("ssh://box/run/user/7/docker.sock", [], "/run/user/7/docker.sock", "box"),
        ("ssh://root@[fd00::1]", ["-l", "root"], SOCKET, "fd00::1"),
    ],
)
def test_the_command_forwards_a_socket(host: str, words: list[str], remote: str, name: str) -> None:
    """A name that looks like an option is none, and nothing is ever asked."""
    argv = command(host, Path("/t/0.sock"))
    assert argv[:2] == ["ssh", "-nNT"]
    assert "BatchMode=yes" in argv
    assert argv[-len(words) - 4 :] == [*words, "-L", f"/t/0.sock:{remote}", "--", name]


@pytest.mark.parametrize(
    "host", ["ssh://", "ssh://:22", "ssh://a:x", "ssh://a?b", "ssh://u:word@a"]
)
def test_an_address_that_is_none(host: str) -> None:
    """A password would stand in the process list, so none is taken, and none is shown."""
    with pytest.raises(EngineError, match="is no address of an engine") as caught:
        command(host, Path("/t"))
    assert "word" not in caught.value.what


def test_other_addresses_stay_as_they_are() -> None:
    """Without a process, too."""
    assert Tunnels().reach("unix:///s", {}) == "unix:///s"
