"""Bringing images to other nodes: only where they lack, and with the engine's own words."""

from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import APIError, ImageNotFound

from harness.core.errors import DiskFullError, ImageError
from harness.images.node_images import spread
from harness.swarm.nodes import Endpoint, Nodes

WORKER = Endpoint(id="n2", name="worker1", environ={})


def swarm(has: set[str], loaded: list[object], said: object = "Loaded") -> Nodes:
    """Return a Swarm whose worker has these images, and answers a load like that."""

    def get(image: str) -> None:
        if image not in has:
            raise ImageNotFound(image)

    def load(data: object) -> Any:  # noqa: ANN401  what the engine says, piece by piece
        loaded.append(data)
        if isinstance(said, Exception):
            raise said
        return iter([{"stream": said}, *([{"error": said}] if "no space" in str(said) else [])])

    manager: Any = SimpleNamespace(api=SimpleNamespace(get_image=lambda image: f"tar of {image}"))
    api = SimpleNamespace(load_image=load, send=None)
    worker: Any = SimpleNamespace(images=SimpleNamespace(get=get), api=api)
    return Nodes(client=manager, own="n1", others=(WORKER,), connect=lambda _: worker)


def test_an_image_that_a_node_lacks_is_copied_to_it() -> None:
    """And said; one that is there is not sent again."""
    loaded: list[object] = []
    lines: list[str] = []
    nodes = swarm({"b:1"}, loaded)
    spread(nodes, "a:1", say=lines.append)
    spread(nodes, "b:1", say=lines.append)
    assert loaded == ["tar of a:1"]
    assert lines == ["copying a:1 to node worker1"]


def test_a_swarm_of_one_node_copies_nothing() -> None:
    """There is nowhere to."""
    client: Any = SimpleNamespace()
    spread(Nodes(client=client, own="n1"), "a:1", say=print)


@pytest.mark.parametrize(
    ("said", "kind"), [("no space left on device", DiskFullError), (APIError("no"), ImageError)]
)
def test_a_node_that_does_not_take_it_is_the_test_beds_fault(
    said: object, kind: type[Exception]
) -> None:
    """The node is named."""
    with pytest.raises(kind, match="node worker1"):
        spread(swarm(set(), [], said), "a:1", say=print)
