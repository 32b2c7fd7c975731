"""What is refused before anything is created: sizes, ports and subnets that Swarm does not take."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.errors import InvalidRecipeError, TestBedError
from harness.platforms.base import Target
from harness.platforms.refusals import LARGEST_CONFIG, LARGEST_SECRET, refuse
from harness.recipes.compose import load
from harness.swarm.nodes import Endpoint, Nodes
from harness.swarm.sweep import RUN_LABEL
from tests.unit.committed import committed
from tests.unit.fake_engine import FakeEngine, Thing

TARGET = Target(recipe="made", run="run1", scope="scope1", domain="made-1.test")
BASE = 'version: "3.8"\nservices:\n  app: {image: nginx:1, %s}\n  web: {image: nginx:1, %s}\n%s\n'


def refused(
    directory: Path, *, app: str = "", web: str = "", rest: str = "", others: int = 0
) -> None:
    """Refuse a recipe of two services with these keys, on a Swarm with that many more nodes."""
    (directory / "compose.yml").write_text(BASE % (app, web, rest))
    client: Any = FakeEngine().client
    more = tuple(Endpoint(id=f"n{i}", name=f"n{i}", environ={}) for i in range(others))
    other: Any = SimpleNamespace(api=SimpleNamespace(send=None))
    nodes = Nodes(client=client, own="n", others=more, connect=lambda _: other)
    refuse(client, load(committed(directory), "compose.yml", {}), TARGET, nodes)


@pytest.mark.parametrize(("kind", "largest"), [("config", LARGEST_CONFIG),
                                               ("secret", LARGEST_SECRET)])  # fmt: skip
def test_sizes_that_swarm_refuses_are_told_in_advance(
    tmp_path: Path, kind: str, largest: int
) -> None:
    """Swarm's limits are met to the byte, and nothing is created for a file beyond them."""
    app, rest = f"{kind}s: [geo]", f"{kind}s: {{geo: {{file: geo.db}}}}"
    for size in (1, largest):
        (tmp_path / "geo.db").write_bytes(b"x" * size)
        refused(tmp_path, app=app, rest=rest)
    for size in (0, largest + 1):
        (tmp_path / "geo.db").write_bytes(b"x" * size)
        with pytest.raises(InvalidRecipeError, match=f"{kind} geo: {size} bytes"):
            refused(tmp_path, app=app, rest=rest)


@pytest.mark.parametrize(
    ("app", "web"),
    [
        ("['8080:80']", "['8080:8080']"),
        ("['8080:80', '8080:81']", "[]"),
        ("['8080-8082:80-82']", "[{target: 80, published: 8081}]"),
        ("[{target: 80, published: 8080, mode: host}]", "['8080:8080']"),
    ],
)
@pytest.mark.parametrize("others", [0, 1])
def test_a_port_that_is_published_twice_is_told_in_advance(
    tmp_path: Path, app: str, web: str, others: int
) -> None:
    """Swarm would make half of the stack, then refuse the rest."""
    with pytest.raises(InvalidRecipeError, match="/tcp is published twice: by app and by"):
        refused(tmp_path, app=f"ports: {app}", web=f"ports: {web}", others=others)


def test_ports_that_do_not_clash_are_left_alone(tmp_path: Path) -> None:
    """Another protocol, no number, or (docker/cli#6604) one port of each of several nodes."""
    refused(tmp_path, app="ports: ['53:53/tcp', '80']", web="ports: ['53:53/udp', '80']")
    host = "ports: [{target: 80, published: 9090, mode: host}]"
    refused(tmp_path, app=host, web=host, others=1)
    with pytest.raises(InvalidRecipeError, match="9090/tcp is published twice: by app and by web"):
        refused(tmp_path, app=host, web=host)


def test_subnets_that_overlap_are_told_in_advance(tmp_path: Path) -> None:
    """The engine makes both networks, and refuses the containers, with words of the machine's."""
    networks = "networks: {n: {ipam: {config: [{subnet: 10.9.0.0/24}]}}, m: {ipam: {config: [%s]}}}"
    for subnet in ("{subnet: 10.9.1.0/24}", "{subnet: 'fd00::/64'}", "{}"):
        refused(tmp_path, rest=networks % subnet)
    with pytest.raises(InvalidRecipeError, match="the networks n and m overlap"):
        refused(tmp_path, rest=networks % "{subnet: 10.9.0.128/25}")


def test_subnets_that_leave_none_for_others_are_told_in_advance(tmp_path: Path) -> None:
    """Networks with a /16 each are usual, and a /8 is all that a Swarm has by default."""
    networks = (
        "networks: {n: {ipam: {config: [{subnet: 172.28.0.0/16}]}}, m: {ipam: {config: [%s]}}}"
    )
    refused(tmp_path, rest=networks % "{subnet: 172.29.0.0/16}")
    with pytest.raises(InvalidRecipeError, match="the networks' subnets have 16842752 addresses"):
        refused(tmp_path, rest=networks % "{subnet: 10.0.0.0/8}")


@pytest.mark.parametrize(
    ("name", "labels", "word"),
    [
        ("shared", {}, "network shared"),
        ("shared", {RUN_LABEL: "run2"}, "network shared"),
        ("shared", {RUN_LABEL: "run1"}, ""),
        ("other", {}, ""),
        ("proxy", {}, ""),  # docker refuses it, and that is the recipe's fault on any machine
    ],
)
def test_a_network_of_a_fixed_name_may_be_somebody_elses(
    tmp_path: Path, name: str, labels: dict[str, str], word: str
) -> None:
    """Docker would refuse a second one, but only this machine has the first."""
    wanted = "proxy" if name == "proxy" else "shared"
    (tmp_path / "compose.yml").write_text(
        BASE % ("", "", f"networks: {{inner: {{name: {wanted}}}}}")
    )
    engine = FakeEngine(things=[Thing(kind="network", name=name, labels=labels)])
    compose = load(committed(tmp_path), "compose.yml", {})
    if word:
        with pytest.raises(TestBedError, match=word):
            refuse(engine.client, compose, TARGET)
    else:
        refuse(engine.client, compose, TARGET)


def test_keys_of_a_later_file_format_are_told_with_that_format(tmp_path: Path) -> None:
    """The harness writes 3.9, in which docker would take them."""
    (tmp_path / "compose.yml").write_text(
        'version: "3.3"\nservices: {app: {image: i, init: true}}\nvolumes: {data: {name: d}}\n'
    )
    client: Any = FakeEngine().client
    with pytest.raises(InvalidRecipeError, match="does not know these keys") as caught:
        refuse(client, load(committed(tmp_path), "compose.yml", {}), TARGET)
    assert "services.app.init (since 3.7), volumes.data.name (since 3.4)" in caught.value.what
