"""Everything below the recipe, found or made: the engine, its swarm, its nodes, the images."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import docker

from harness.core.settings import Settings
from harness.engine import engine as engines
from harness.engine import preflight, swarm
from harness.engine.endpoint import Engine
from harness.engine.node_endpoints import Finder
from harness.images import images
from harness.images.node_images import spread
from harness.images.provider import ImageProvider
from harness.platforms.limits import Limits
from harness.swarm.nodes import Nodes

Made = TypeVar("Made")
ANSWER_SECONDS = 60.0  # an engine that is silent for longer has gone away
DETACH_SINCE = 26  # the major version of the docker command that knows `stack deploy --detach`


@dataclass(frozen=True, slots=True, kw_only=True)
class TestBed:
    """A manager's engine that is ready for stacks.

    The tool image is built beside the images of the recipe. `dnsrr` says whether services need
    `endpoint_mode: dnsrr` here; `deploy_flags` are more options for `docker stack deploy`.
    """

    __test__ = False  # the name starts with "Test"; pytest must not take it for a test class

    engine: Engine
    client: docker.DockerClient
    preflight: preflight.Preflight
    nodes: Nodes
    images: ImageProvider
    toolbox_built: Future[str]
    dnsrr: bool
    deploy_flags: tuple[str, ...]

    @property
    def toolbox(self) -> str:
        """The reference of the harness's own tool image, once it is there.

        Raises:
            ImageError: it cannot be built.
        """
        return self.toolbox_built.result()

    def limits(self, raised: Mapping[str, float]) -> Limits:
        """Return what each container of a recipe may take, so that the smallest node survives it.

        Args:
            raised: what the recipe's meta says in `LIMITS`.
        """
        nodes = self.client.nodes.list()
        driver = self.client.info().get("LoggingDriver", "")
        memory = min(one.attrs["Description"]["Resources"]["MemoryBytes"] for one in nodes)
        return Limits.of(raised, memory=memory, log_driver=driver)

    def facts(self) -> Mapping[str, str]:
        """Return what a report says of the test bed."""
        rows = {row.name: row.value for row in self.preflight.rows}
        return {"host": self.engine.host, "origin": self.engine.origin, **rows}


def prepare(
    settings: Settings, environ: Mapping[str, str], *, say: Callable[[str], None]
) -> TestBed:
    """Find or make the test bed.

    Args:
        settings: which engine, which cache.
        environ: the user's environment.
        say: is told of everything that is started, installed or built, and what was found.

    Raises:
        TestBedError: this machine will not do; the message says what is missing.
    """
    cache = settings.cache
    cache.mkdir(parents=True, exist_ok=True)
    engine = engines.resolve(mode=settings.engine, cache=cache, environment=environ, say=say)
    client = engine.client(timeout=ANSWER_SECONDS)
    checked = preflight.check(client, engine, cache=cache, environment=environ)
    checked.require()
    swarm.ensure_swarm(client, engine=engine, cache=cache, say=say)
    nodes = Finder(client=client, engine=engine, given=settings.nodes, environment=environ).nodes()
    for other in nodes.others:
        say(f"node {other.name} is reached at {other.address}")
    nodes.watch()
    provider = ImageProvider(
        client=client,
        cache=cache,
        lock_timeout=settings.lock_timeout,
        say=say,
        factor=settings.timeout_factor,
        nodes=nodes,
    )
    return TestBed(
        engine=engine,
        client=client,
        preflight=checked,
        nodes=nodes,
        images=provider,
        toolbox_built=in_background(
            lambda: _toolbox(client, nodes, cache=cache, settings=settings, say=say)
        ),
        dnsrr=needs_dnsrr(settings.endpoint_mode, ipvs=checked.ipvs),
        deploy_flags=_deploy_flags(checked),
    )


def _toolbox(
    client: docker.DockerClient,
    nodes: Nodes,
    *,
    cache: Path,
    settings: Settings,
    say: Callable[[str], None],
) -> str:
    """Make sure of the tool image on every node, and return its reference."""
    tools = images.ensure_own(
        client, images.TOOLBOX, cache=cache, lock_timeout=settings.lock_timeout, say=say
    )
    spread(nodes, tools.reference, say=say)
    return tools.reference


def in_background(call: Callable[[], Made]) -> Future[Made]:
    """Let a call run beside the rest; a run that is stopped meanwhile does not wait for it."""
    future: Future[Made] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except Exception as error:  # noqa: BLE001  it is raised where the result is wanted
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return future


def needs_dnsrr(mode: str, *, ipvs: bool | None) -> bool:
    """Return whether virtual addresses are dead here; an unknown kernel is taken for a good one."""
    return mode == "dnsrr" or (mode == "auto" and ipvs is False)


def _deploy_flags(checked: preflight.Preflight) -> tuple[str, ...]:
    """Ask newer docker commands not to wait: our own wait fails early, theirs does not."""
    version = next((row.value for row in checked.rows if row.name == "docker"), "")
    with suppress(ValueError):
        if int(version.split(".")[0]) >= DETACH_SINCE:
            return ("--detach=true",)
    return ()
