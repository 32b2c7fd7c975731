"""An engine of the tests' own, in namespaces of its own: it may be killed, filled up and starved.

A process that sleeps keeps a network and a mount namespace open. What is run in them sees its own
links and mounts, so an engine there neither meets the machine's own nor leaves anything behind: a
mount goes with the last process that could see it, and a loop device with its mount.
"""

import errno
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from harness.core import proc
from harness.core.errors import HarnessError, ProcessError
from harness.core.waiting import Deadline, wait_for
from harness.engine import layout, processes
from harness.engine.endpoint import probe
from harness.swarm.sweep import RUN_LABEL, find
from tests.integration.support import ROOT, Call, environment, run_harness

PROGRAMS = ("dockerd", "hostname", "ip", "mount", "nsenter", "unshare")
# `ip netns exec` would hide the mounts of the control groups, and dockerd would refuse to start. A
# machine's own engine must not answer here by the default socket: its links are not here.
ENTER = """\
mkdir -p /run/docker && mount -t tmpfs tmpfs /run/docker && ip link set lo up || exit
[ ! -S /run/docker.sock ] || mount --bind /dev/null /run/docker.sock || exit
exec "$@"
"""
NAMED = 'hostname "$1" && shift || exit\n'  # of a host name of its own
SLEEP = ("sleep", "3600")  # should nobody end it, it ends by itself
DISK_BYTES = 4 << 30  # a run wants 2 GiB to begin with; the file has holes and takes far less
POOL = "10.213.77.0/24"  # of four networks of 64 addresses: `ingress`, these two, and a run's own
NETWORKS = ("proxy", "spare")
SUBNET_BITS = 26


@dataclass(frozen=True)
class Namespaces:
    """A network, a mount and a host name namespace, kept open by the process `holder`."""

    holder: int

    def prefix(self, *, own_mounts: bool = False) -> list[str]:
        """Return what a command in them begins with; `own_mounts` gives it a mount namespace."""
        words = ["nsenter", f"--target={self.holder}", "--net", "--mount", "--uts", f"--wd={ROOT}"]
        return [*words, *(["unshare", "--mount", "sh", "-c", ENTER, "sh"] if own_mounts else [])]

    def run(self, *argv: str, timeout: float, own_mounts: bool = False) -> proc.Completed:
        """Run a program in them, without an engine or a proxy in its environment."""
        env = {
            key: value
            for key, value in environment().items()
            if not key.startswith(("DOCKER_", "CCCI_")) and not key.lower().endswith("_proxy")
        }
        prefix = self.prefix(own_mounts=own_mounts)
        return proc.run([*prefix, *argv], timeout=timeout, env={**env, "PYTHONPATH": str(ROOT)})

    def path(self, path: Path) -> Path:
        """Return how a path in them is named outside of them."""
        return Path(f"/proc/{self.holder}/root{path}")


@contextmanager
def namespaces(hostname: str = "") -> Iterator[Namespaces]:
    """Give fresh namespaces, or skip where none may be made.

    Args:
        hostname: the host's name in them; empty means that of this machine.
    """
    if os.geteuid() != 0:
        pytest.skip("namespaces for an engine need root")
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        pytest.skip(f"not installed here: {', '.join(missing)}")
    with tempfile.TemporaryDirectory(prefix="ccci-") as folder:
        log = Path(folder) / "log"
        script, name = (NAMED + ENTER, [hostname]) if hostname else (ENTER, [])
        argv = ["unshare", "--net", "--mount", "--uts", "sh", "-c", script, "sh", *name, *SLEEP]
        holder = proc.start_daemon(argv, log=log)
        try:
            _await_holder(holder, log)
            yield Namespaces(holder)
        finally:
            end(holder)


def _await_holder(holder: int, log: Path) -> None:
    """Wait until the holder sleeps; skip where it may not make namespaces, or not enter them."""

    def ended(_: list[str]) -> HarnessError | None:
        return None if processes.is_running(holder) else HarnessError(log.read_text())

    try:
        wait_for(
            lambda: Path(f"/proc/{holder}/cmdline").read_text().split("\0")[:-1],
            what="the namespaces",
            deadline=Deadline.after(60),
            ready=lambda argv: argv == list(SLEEP),
            failed=ended,
        )
        Namespaces(holder).run("true", timeout=60)
    except (HarnessError, OSError) as error:
        pytest.skip(f"no namespaces for an engine can be made here: {error}")


def end(pid: int) -> None:
    """Kill a process, and wait until it has ended."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    wait_for(
        lambda: not processes.is_running(pid),
        what=f"the end of process {pid}",
        deadline=Deadline.after(60),
    )


@dataclass(frozen=True)
class OwnEngine:
    """A private engine in namespaces of its own, as the harness itself starts it there.

    Args:
        spaces: the namespaces.
        cache: its cache directory; short, for the sake of sockets.
        no_disk: why its data does not lie on a small disk of its own; empty when it does.
    """

    spaces: Namespaces
    cache: Path
    no_disk: str = ""

    @property
    def paths(self) -> layout.Paths:
        """Where it lies."""
        return layout.Paths.of(self.cache)

    def harness(self, *words: str) -> None:
        """Call `python -m harness WORDS...` beside it."""
        argv = [sys.executable, "-m", "harness", *words, "--cache", str(self.cache)]
        self.spaces.run(*argv, timeout=120)

    def client(self) -> docker.DockerClient:
        """Return a client of it; who asks for one closes it."""
        return self.paths.engine.client()

    def start(self) -> None:
        """Start it unless it runs."""
        if probe(self.paths.engine):
            self.harness("engine", "start")

    def make_swarm(self) -> None:
        """Make it a Swarm that has the addresses of one more network, for a run at a time."""
        client = self.client()
        client.swarm.init(
            advertise_addr="127.0.0.1", default_addr_pool=[POOL], subnet_size=SUBNET_BITS
        )
        for name in NETWORKS:
            client.networks.create(name, driver="overlay", attachable=True)
        client.close()

    def kill(self) -> None:
        """Kill its dockerd, and nothing else."""
        pid = self.paths.dockerd()
        assert pid is not None
        end(pid)

    def fill_disk(self) -> None:
        """Leave not a byte on the disk that its data lies on."""
        if self.no_disk:
            pytest.skip(self.no_disk)
        with self._filler.open("wb") as stream:
            size, end = DISK_BYTES, 0
            while size >= 512:
                try:
                    os.posix_fallocate(stream.fileno(), end, size)
                    end += size
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    size //= 2

    def make_room(self) -> None:
        """Undo `fill_disk`."""
        self._filler.unlink(missing_ok=True)

    @property
    def _filler(self) -> Path:
        return self.spaces.path(self.paths.data / "filler")

    def forget_images(self, name: str = "") -> None:
        """Remove the images with that in a name of theirs, so that they have to be loaded again."""
        client = self.client()
        for image in client.api.images():
            if any(name in tag for tag in image["RepoTags"]):
                client.api.remove_image(image["Id"], force=True)
        client.close()

    def left(self, run: str) -> list[str]:
        """Return what there is of a run; the engine is started if need be."""
        self.start()
        client = self.client()
        try:
            return [str(item) for item in find(client, f"{RUN_LABEL}={run}")]
        finally:
            client.close()

    def run(self, output: Path, *words: str, **environ: str) -> Call:
        """Run `python -m harness run WORDS...` beside it."""
        call = run_harness(
            output, *words, prefix=self.spaces.prefix(),
            **{"CCCI_ENGINE": "private", "CCCI_CACHE": str(self.cache), **environ},
        )  # fmt: skip
        assert "Traceback" not in call.text, call.text
        return call


@contextmanager
def own_engine(layers: Path) -> Iterator[OwnEngine]:
    """Start an engine on a small disk, with the images that are kept in `layers` at hand.

    Args:
        layers: the directory of a cache that holds the stand-in images.
    """
    # Not below pytest's own directory: its long names leave no room for those of sockets.
    folder = Path(tempfile.mkdtemp(prefix="ccci-"))
    try:
        with namespaces() as spaces:
            cache = folder / "c"
            own = OwnEngine(spaces, cache, _mount_disk(spaces, folder / "disk", cache))
            try:
                share(layers, cache / "images")
                own.start()
                own.make_swarm()
                yield own
            finally:
                try:
                    own.harness("engine", "purge")
                finally:
                    end_all(own.paths)
    finally:
        shutil.rmtree(folder)


def end_all(paths: layout.Paths) -> None:
    """End what is left of an engine that could not be removed in a friendly way."""
    left = {process.pid for process in processes.belonging_to(paths.owned)}
    for pid in left | processes.descendants(left):
        end(pid)


def _mount_disk(spaces: Namespaces, disk: Path, cache: Path) -> str:
    """Mount a small disk where the engine's data is going to lie; return why that cannot be."""
    data = layout.Paths.of(cache).data
    data.mkdir(parents=True)
    with disk.open("wb") as stream:
        stream.truncate(DISK_BYTES)
    try:
        spaces.run("mkfs.ext4", "-q", "-m", "0", str(disk), timeout=30)
        spaces.run("mount", "-o", "loop", str(disk), str(data), timeout=30)
    except ProcessError as error:
        return f"no small disk can be made here: {error}"
    return ""


def share(layers: Path, images: Path) -> None:
    """Put the images that are kept in `layers` at hand of another cache."""
    images.mkdir(parents=True)
    for file in layers.iterdir():
        if file.suffix in {".json", ".tar"}:
            try:
                (images / file.name).hardlink_to(file)
            except OSError:  # on another disk
                shutil.copy2(file, images)
