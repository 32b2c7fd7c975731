"""Unit tests reach no engine and no network: whoever tries is told so."""

import socket
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NoReturn

import pytest

from tests.suite.leftovers import directory, in_memory


@pytest.fixture(autouse=True)
def _no_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_self: socket.socket, address: Any) -> NoReturn:  # noqa: ANN401  any address
        raise AssertionError(f"a unit test tried to reach {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.delenv("DOCKER_HOST", raising=False)


@pytest.fixture
def tmp_path() -> Path:
    """Make a directory in memory, which the suite removes: most tests make repositories there."""
    return Path(mkdtemp(dir=in_memory(directory())))
