"""A Swarm of the tests' own: engines in network namespaces, on one bridge."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.core.waiting import Deadline, wait_for
from harness.swarm.nodes import Endpoint, Nodes
from harness.swarm.sweep import RUN_LABEL, find
from tests.integration.own_engine import Namespaces, OwnEngine, end_all, namespaces, share

SUBNET = "10.213.78."  # of a Swarm's nodes, on a bridge in the manager's namespace
REGISTRY = f"{SUBNET}1:5000"  # where its engines take a registry that speaks plain HTTP
HOST_CONFIG = Path("/etc/docker")


@dataclass(frozen=True)
class OwnSwarm:
    """A Swarm of a manager and workers, each an engine in namespaces of its own."""

    manager: OwnEngine
    workers: Mapping[str, OwnEngine]  # by the node's name

    @property
    def endpoints(self) -> dict[str, str]:
        """The variables that lead to the workers' engines."""
        return {f"CCCI_NODE_{name}": own.paths.engine.host for name, own in self.workers.items()}

    def await_ready(self) -> None:
        """Wait until every node takes part again."""
        client = self.manager.client()
        try:
            wait_for(
                lambda: [node["Status"]["State"] for node in client.api.nodes()],
                what="the nodes",
                deadline=Deadline.after(60),
                ready=lambda states: set(states) == {"ready"},
                interval=0.5,
            )
        finally:
            client.close()

    def left(self, run: str) -> list[str]:
        """Return what there is of a run on any node."""
        others = tuple(
            Endpoint(id=name, name=name, environ=own.paths.engine.environ({}))
            for name, own in self.workers.items()
        )
        nodes = Nodes(client=self.manager.client(), own="manager", others=others)
        try:
            found = find(nodes.client, f"{RUN_LABEL}={run}", nodes=nodes)
            return [f"{item} {item.node}".strip() for item in found]
        finally:
            nodes.close()
            nodes.client.close()


@contextmanager
def own_swarm(layers: Path, *names: str) -> Iterator[OwnSwarm]:
    """Start a Swarm: a manager named `manager`, and a worker of each name, on a bridge of theirs.

    No registry is in reach, unless a test starts one at `REGISTRY`.

    Args:
        layers: the directory of a cache that holds the stand-in images.
        names: the workers' host names.
    """
    folder = Path(tempfile.mkdtemp(prefix="ccci-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        manager = stack.enter_context(_member(folder / "0", "manager"))
        share(layers, manager.cache / "images")
        for words in (
            "link add ccci0 type bridge",
            f"addr add {SUBNET}1/24 dev ccci0",
            "link set ccci0 up",
        ):
            manager.spaces.run("ip", *words.split(), timeout=60)
        client = manager.client()
        stack.callback(client.close)
        client.swarm.init(
            advertise_addr=f"{SUBNET}1", default_addr_pool=["10.214.0.0/16"], subnet_size=24
        )
        token = client.swarm.attrs["JoinTokens"]["Worker"]
        workers = {}
        for number, name in enumerate(names, 1):
            own = stack.enter_context(_member(folder / str(number), name))
            _join(manager, own, number, token)
            workers[name] = own
        yield OwnSwarm(manager, workers)


@contextmanager
def _member(cache: Path, name: str) -> Iterator[OwnEngine]:
    """Start an engine on a host of that name."""
    with namespaces(name) as spaces:
        own = OwnEngine(spaces, cache)
        try:
            _trust_registry(spaces, cache.with_name(f"{cache.name}-etc"))
            own.start()
            yield own
        finally:
            try:
                own.harness("engine", "purge")
            finally:
                end_all(own.paths)


def _trust_registry(spaces: Namespaces, folder: Path) -> None:
    """Let engines there find this machine's settings, with `REGISTRY` as an insecure registry."""
    HOST_CONFIG.mkdir(exist_ok=True)  # as dockerd does
    folder.mkdir(parents=True)
    own = HOST_CONFIG / "daemon.json"
    settings = json.loads(own.read_text()) if own.exists() else {}
    named = [*settings.get("insecure-registries", []), REGISTRY]
    (folder / own.name).write_text(json.dumps({**settings, "insecure-registries": named}))
    spaces.run("mount", "--bind", str(folder), str(HOST_CONFIG), timeout=60)


def _join(manager: OwnEngine, own: OwnEngine, number: int, token: str) -> None:
    """Plug a worker into the manager's bridge, and let it join the Swarm."""
    link, address = f"w{number}", f"{SUBNET}{number + 10}"
    for engine, words in (
        (manager, f"link add {link} type veth peer name up0 netns {own.spaces.holder}"),
        (manager, f"link set {link} master ccci0 up"),
        (own, f"addr add {address}/24 dev up0"),
        (own, "link set up0 up"),
    ):
        engine.spaces.run("ip", *words.split(), timeout=60)
    client = own.client()
    client.swarm.join(remote_addrs=[f"{SUBNET}1:2377"], join_token=token, advertise_addr=address)
    client.close()
