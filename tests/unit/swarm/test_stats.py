"""Memory and sizes: whose, how exact, and what is not there."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import NotFound

from harness.swarm import stats
from harness.swarm.nodes import Nodes
from harness.swarm.stats import Memory
from tests.unit.fake_stack import NODE, STACK, ended, look, service, task


def nodes(**calls: Any) -> Nodes:  # noqa: ANN401  answers of the engine
    """Return the only node, with an engine that answers these calls."""
    client: Any = SimpleNamespace(api=SimpleNamespace(**calls))
    return Nodes(client=client, own=NODE)


def answers(**by_container: Any) -> Any:  # noqa: ANN401  a call of the engine
    """Return a stats call that must not wait for a second sample."""

    def call(container: str, *, stream: bool, one_shot: bool) -> dict[str, Any]:
        assert (stream, one_shot) == (False, True)
        if container not in by_container:
            raise NotFound(container)
        return {"memory_stats": by_container[container]}

    return call


def test_a_services_peak_is_that_of_its_running_containers() -> None:
    """Two are added up; one that ended, or is gone by now, took nothing."""
    app = service()
    tasks = (task(app, 1), task(app, 2), ended(task(app, 3)), task(app, 4))
    ids = [one.container_id for one in tasks]
    call = answers(**dict(zip(ids[:3], ({"max_usage": 3}, {"max_usage": 4}, {"max_usage": 9}),
                              strict=True)))  # fmt: skip
    found = stats.memory(nodes(stats=call), look(app, tasks=tasks), local=False)
    assert found == {"app": Memory(bytes=7, exact=True)}


def test_without_a_peak_it_is_a_moment_and_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cgroup of this machine is asked only for a container of this machine's engine."""
    app = service()
    one = task(app)
    engine = nodes(
        stats=answers(**{one.container_id: {"usage": 5}}),
        inspect_container=lambda _: {"State": {"Pid": 42}},
    )
    monkeypatch.setattr(stats, "peak_of", {42: 8}.__getitem__)
    stack = look(app, tasks=(one,))
    assert stats.memory(engine, stack, local=True) == {"app": Memory(bytes=8, exact=True)}
    assert stats.memory(engine, stack, local=False) == {"app": Memory(bytes=5, exact=False)}


def test_what_says_nothing_is_left_out() -> None:
    """An engine without accounting of memory."""
    app = service()
    one = task(app)
    engine = nodes(stats=answers(**{one.container_id: {}}))
    assert stats.memory(engine, look(app, tasks=(one,)), local=False) == {}


def test_a_peak_is_read_from_the_processs_own_cgroup(tmp_path: Path) -> None:
    """Of version 2, by its line in /proc; 0 where anything of that is missing."""
    (tmp_path / "proc/7").mkdir(parents=True)
    (tmp_path / "proc/7/cgroup").write_text("5:memory:/x\n0::/docker/c1\n")
    (tmp_path / "fs/docker/c1").mkdir(parents=True)
    proc, cgroup = tmp_path / "proc", tmp_path / "fs"
    assert stats.peak_of(7, proc=proc, cgroup=cgroup) == 0
    (tmp_path / "fs/docker/c1/memory.peak").write_text("123\n")
    assert stats.peak_of(7, proc=proc, cgroup=cgroup) == 123
    assert stats.peak_of(8, proc=proc, cgroup=cgroup) == 0


def test_images_are_weighed_once_and_those_that_are_there() -> None:
    """One that another run removed meanwhile has no size."""
    asked = []

    def get(image: str) -> Any:  # noqa: ANN401  an image
        asked.append(image)
        if image == "gone":
            raise NotFound(image)
        return SimpleNamespace(attrs={"Size": 10})

    client: Any = SimpleNamespace(images=SimpleNamespace(get=get))
    assert stats.image_sizes(client, ["a", "gone", "a"]) == {"a": 10}
    assert asked == ["a", "gone"]


def test_only_the_stacks_own_volumes_are_weighed() -> None:
    """One whose driver does not know has the size 0; the tools' own has no namespace."""
    label = {"com.docker.stack.namespace": STACK}
    volumes = [
        {"Name": f"{STACK}_data", "Labels": label, "UsageData": {"Size": 7}},
        {"Name": f"{STACK}_far", "Labels": label, "UsageData": {"Size": -1}},
        {"Name": f"{STACK}_ccci-repository", "Labels": {"ccci.run": "r"}},
        {"Name": "other", "Labels": None, "UsageData": {"Size": 9}},
    ]
    engine = nodes(df=lambda: {"Volumes": volumes})
    assert stats.volume_sizes(engine, STACK) == {f"{STACK}_data": 7, f"{STACK}_far": 0}
