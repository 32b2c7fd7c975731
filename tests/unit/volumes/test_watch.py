"""Checksums of a volume's files: of regular files alone, and none where that takes too long."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from harness.core.errors import ExecTimeoutError
from harness.swarm.nodes import Nodes
from harness.volumes.watch import SUMS, VolumeWatch


def sums(execute: Any, options: dict[str, str] | None = None) -> dict[str, str]:  # noqa: ANN401  stands for an exec
    """Return the checksums of two files of a volume, by what is executed for them."""

    @contextmanager
    def vault(volumes: tuple[str, ...], *, node: str) -> Iterator[Any]:
        assert (volumes, node) == (("data",), "")
        yield SimpleNamespace(target=SimpleNamespace(exec=execute))

    found = SimpleNamespace(api=SimpleNamespace(inspect_volume=lambda _: {"Options": options}))
    client: Any = found
    watch = VolumeWatch(nodes=Nodes(client=client, own="n"), vault=vault, stack="s")
    return watch.sums("data", "n", ["a", "b"])


def test_checksums_are_those_of_the_files_that_are_there() -> None:
    done = SimpleNamespace(stdout=b"123  a\x00456  b c\x00")
    assert sums(lambda *_, **__: done) == {"a": "123", "b c": "456"}


def test_a_volume_that_is_slow_or_not_the_apps_has_none() -> None:
    """A file of any size may lie there; a folder of the host is not read."""

    def slow(*_: object, **__: object) -> Any:  # noqa: ANN401  never returns
        raise ExecTimeoutError("it did not end in time")

    assert sums(slow) == {}
    assert sums(None, {"type": "none", "o": "bind", "device": "/srv"}) == {}


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    """Neither a link out of the volume nor a pipe, on which a reader would wait for ever."""
    (tmp_path / "a b").write_text("x\n")
    (tmp_path / "link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe")
    names = b"a b\0link\0pipe\0none\0"
    argv = ["sh", "-c", SUMS, "ccci", str(tmp_path)]
    done = subprocess.run(argv, input=names, capture_output=True, timeout=60, check=True)  # noqa: S603  ours
    assert [line.partition(b"  ")[2] for line in done.stdout.split(b"\0") if line] == [b"a b"]
