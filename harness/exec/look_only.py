"""A client of the engine that looks, and runs commands in containers, and can do nothing else.

Assertion files get it with the handle of their app, so that a test which deploys, scales, restarts
or removes something ends in an error that says so, before a byte of it is sent. It guards against
mistakes: code that opens a connection of its own to the engine is not held back by it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn
from urllib.parse import urlsplit

import docker
from docker.utils import kwargs_from_env
from requests import PreparedRequest, Response

from harness.core.errors import LookOnlyError
from harness.swarm.nodes import Endpoint, Nodes

LOOKS = frozenset({"GET", "HEAD"})
# Names have no "/" or "%", so nothing that an engine would take for another path fits in here.
NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
EXEC = re.compile(rf"(/v[0-9.]+)?(/containers/{NAME}/exec|/exec/{NAME}/(start|resize))")


class LookOnlyAPI(docker.APIClient):
    """The SDK's low-level client. All its calls are requests of one session, which `send` sends."""

    def send(self, request: PreparedRequest, **options: Any) -> Response:  # noqa: ANN401  as above
        """Send a request that changes no deployment.

        Raises:
            LookOnlyError: it might; it was not sent.
        """
        method, path = (request.method or "").upper(), urlsplit(request.url or "").path
        if method not in LOOKS and not (method == "POST" and EXEC.fullmatch(path)):
            _refuse(f"{method} {path}")
        return super().send(request, **options)

    def _create_websocket_connection(self, url: str) -> NoReturn:
        """Refuse what goes past the session: a web socket writes to a container's main process."""
        _refuse(f"websocket {urlsplit(url).path}")


class LookOnlyClient(docker.DockerClient):
    """The SDK's client, over that low-level one."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401  the SDK's own affair
        self.api = LookOnlyAPI(**options)


def connect(environment: Mapping[str, str]) -> LookOnlyClient:
    """Return a client of the engine that those variables lead to.

    Raises:
        DockerException: it does not answer.
    """
    return LookOnlyClient(**kwargs_from_env(environment=dict(environment)))


def look_only_nodes(environment: Mapping[str, str], own: str, others: Sequence[Endpoint]) -> Nodes:
    """Return the engines of a Swarm's nodes, of which none does more than look.

    Args:
        environment: the variables that lead to the manager's engine.
        own: the Swarm id of that engine's node.
        others: the endpoints of the other nodes.

    Raises:
        DockerException: the manager's engine does not answer.
    """
    client = connect(environment)
    return Nodes(client=client, own=own, others=tuple(others), connect=connect)


def _refuse(what: str) -> NoReturn:
    raise LookOnlyError(
        f"an assertion tried to change the deployment: {what}",
        cause="test files get an app that is up, and a client that only looks and runs commands",
        hint="assertions only look; ops.py seeds data",
    )
