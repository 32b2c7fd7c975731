"""Bringing an image to the other nodes of a Swarm.

A node pulls what it lacks by itself, where a registry has it; a stand-in, the tool image and an
image that was loaded by hand are on no registry. So whatever the manager's engine has is copied,
and every node runs the very same image.
"""

from __future__ import annotations

from collections.abc import Callable

import docker
from docker.errors import APIError, ImageNotFound

from harness.core.errors import ImageError
from harness.core.events import EventLine, ImageEvent, Provided
from harness.swarm.faults import NO_ROOM
from harness.swarm.nodes import Nodes


def spread(nodes: Nodes, image: str, *, say: Callable[[str], None]) -> None:
    """Copy an image to each other node that lacks it.

    Raises:
        EngineError: a node does not answer.
        DiskFullError: there is no room for it on a node.
        ImageError: a node refuses it.
    """
    for other, engine in nodes.each_other():
        if not _has(engine, image):
            say(EventLine(ImageEvent(image=image, how=Provided.COPYING, node=other.name)))
            _copy(nodes.client, engine, image, other.name)


def _has(engine: docker.DockerClient, image: str) -> bool:
    try:
        engine.images.get(image)
    except ImageNotFound:
        return False
    return True


def _copy(source: docker.DockerClient, to: docker.DockerClient, image: str, name: str) -> None:
    try:
        image_data = source.api.get_image(image)
        for answer in to.api.load_image(image_data):  # type: ignore[no-untyped-call]  # stubs lack it
            if "error" in answer:
                raise APIError(answer["error"])  # noqa: TRY301  the same as one before it began
    except APIError as error:
        said = str(error.explanation or error)
        if NO_ROOM.words.search(said):
            raise NO_ROOM.error(f"{image} does not fit on node {name}", detail=said) from error
        raise ImageError(
            f"the image {image} cannot be copied to node {name}",
            cause=said,
            hint="docker pull or docker load it there",
        ) from error
