"""A Swarm of three real nodes: a recipe's services land on the workers, and all stages reach them.

The nodes are engines in network namespaces, joined by a bridge. Once no registry is in reach: then
stand-ins are built on the manager, and the harness copies them to the workers. Once there is one
that all nodes reach.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.events import Doing, ImageEvent, LockEvent, LockState, Provided
from harness.images import images
from harness.run.reaper import stack_lock
from tests.integration.own_registry import OwnRegistry, own_registry
from tests.integration.own_sshd import own_sshd
from tests.integration.own_swarm import REGISTRY, SUBNET, OwnSwarm, own_swarm
from tests.integration.support import (
    DEPLOYING,
    UPGRADE_ASSERTIONS,
    Call,
    RecipeRepo,
    meanwhile,
    reached,
    recipe_files,
)

pytestmark = [pytest.mark.xdist_group("engine-nodes"), pytest.mark.timeout(600)]

IMAGE = "nginx:1.27.4"
WORKERS = ("worker1", "worker-2")
SIDE = """\
  side:
    image: nginx:1.27.4
    networks: [proxy]
    volumes: ["notes:/notes"]
    healthcheck:
      test: ["CMD", "curl", "-fsS", "-o", "/dev/null", "http://127.0.0.1/"]
      interval: 1s
    deploy:
      placement: {constraints: [node.hostname == worker-2]}
      labels: ["backupbot.backup=true"]
networks:
  proxy: {external: true}
"""
PINNED = {
    "    deploy:\n": "    deploy:\n      placement: {constraints: [node.hostname == worker1]}\n",
    "networks:\n  proxy: {external: true}\n": SIDE,
    "  content:\n": "  content:\n  notes:\n",
}
SEED = """\
def pre_upgrade(ctx):
    for service, path in (("app", "/usr/share/nginx/html/index.html"), ("side", "/notes/a")):
        ctx.app.exec_in_app(service, ["sh", "-c", f"echo kept on {service} > {path}"], timeout=20)


def pre_restore(ctx):
    ctx.app.exec_in_app("side", ["rm", "/notes/a"], timeout=20)
"""
CUSTOM = """\
def test_each_service_runs_on_a_node_of_its_own(app):
    names = {
        service: app.exec_in_app(service, ["cat", "/etc/hostname"], timeout=20).container
        for service in ("app", "side")
    }
    look = app.snapshot()
    nodes = {task.container_id: task.node_id for task in look.tasks}
    assert len({nodes[container] for container in names.values()}) == 2
    assert look.node_id not in {nodes[container] for container in names.values()}


def test_data_live_on_both_nodes(app):
    assert app.read_file("/usr/share/nginx/html/index.html") == b"kept on app\\n"
    assert app.read_file("/notes/a", service="side") == b"kept on side\\n"
    assert app.http_get("/index.html").text == "kept on app\\n"
"""


@pytest.fixture(scope="module", name="swarm")
def swarm_fixture(layers: Path) -> Iterator[OwnSwarm]:
    """A manager and two workers, with the images of the shared cache at hand."""
    with own_swarm(layers, *WORKERS) as swarm:
        yield swarm


@pytest.fixture(name="recipe")
def recipe_fixture(tmp_path: Path) -> str:
    """The path of a recipe with a release and a head, with a service on each worker."""
    repo = RecipeRepo.make(tmp_path / "made")
    repo.commit(recipe_files("1.0.0+1", **PINNED), tag="1.0.0+1")
    repo.commit(recipe_files("1.1.0+1", **PINNED))
    return str(repo.path)


def overlays(tmp_path: Path, **files: str) -> tuple[str, str]:
    """Return the option for a directory of overlays with these files."""
    folder = tmp_path / "overlays" / "made"
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return "--overlays", str(folder.parent)


def run(swarm: OwnSwarm, tmp_path: Path, *words: str, **environ: str) -> Call:
    """Run the harness beside the manager, with the endpoints of the workers."""
    given = {**swarm.endpoints, **environ}
    return swarm.manager.run(tmp_path / "runs", *words, **given)


def test_all_stages_reach_the_nodes_that_run_the_tasks(
    swarm: OwnSwarm, recipe: str, tmp_path: Path
) -> None:
    """Commands, pages, volumes and backup; afterwards nothing is left on any node."""
    files = overlays(tmp_path, ops=SEED, test_nodes=CUSTOM)
    call = run(swarm, tmp_path, recipe, *files)
    assert call.code == 0, call.text
    assert set(call.outcomes.values()) == {"passed"}
    copied = [one for one in call.events if isinstance(one, ImageEvent) and one.node]
    assert any(one.image.startswith("localhost/cc-ci/") for one in copied)
    assert swarm.left(call.results["run"]) == []


@pytest.mark.nightly
def test_all_stages_reach_a_node_over_ssh(swarm: OwnSwarm, recipe: str, tmp_path: Path) -> None:
    """By the user's own ssh program, and over one connection."""
    worker = swarm.workers["worker1"]
    with own_sshd(worker.spaces, f"{SUBNET}11") as server:
        host = f"ssh://root@{server.address}{worker.paths.socket}"
        files = overlays(tmp_path, ops=SEED, test_nodes=CUSTOM)
        call = run(swarm, tmp_path, recipe, *files, CCCI_NODE_worker1=host, PATH=server.path)
        assert call.code == 0, call.text
        assert set(call.outcomes.values()) == {"passed"}
        assert f"node worker1 is reached at {host}" in call.text
        assert server.logins() == 1
    assert swarm.left(call.results["run"]) == []


def test_a_node_that_ssh_does_not_reach_is_an_error(
    swarm: OwnSwarm, recipe: str, tmp_path: Path
) -> None:
    """With what ssh said, and the command to try."""
    call = run(swarm, tmp_path, recipe, CCCI_NODE_worker1=f"ssh://root@{SUBNET}11")
    assert call.code == 3, call.text
    assert "Connection refused" in call.text
    assert f"DOCKER_HOST=ssh://root@{SUBNET}11 docker info" in call.text


@pytest.mark.nightly
def test_a_manager_over_ssh(swarm: OwnSwarm, recipe: str, tmp_path: Path) -> None:
    """From a host that is none, which takes the lock that all hosts of the Swarm see."""
    manager, host = swarm.manager, swarm.workers["worker1"]
    with own_sshd(manager.spaces, f"{SUBNET}1") as server:
        engine = f"ssh://root@{server.address}{manager.paths.socket}"
        call = host.run(
            tmp_path / "runs", recipe, "--stages", "install,upgrade",
            **swarm.endpoints, CCCI_ENGINE="external", DOCKER_HOST=engine,
            CCCI_CACHE=str(manager.cache), PATH=server.path,
        )  # fmt: skip
    assert call.code == 0, call.text
    assert set(call.outcomes.values()) == {"passed"}
    lock = stack_lock(call.results["stack"])
    assert LockEvent(lock=lock, state=LockState.HELD, swarm=True) in call.events
    assert call.results["engine"]["host"] == engine
    assert swarm.left(call.results["run"]) == []


def test_a_node_without_an_endpoint_is_named(swarm: OwnSwarm, recipe: str, tmp_path: Path) -> None:
    """Before anything is deployed, with what to type."""
    call = run(swarm, tmp_path, recipe, CCCI_NODE_worker1="")
    assert call.code == 3, call.text
    assert "no engine is known for the Swarm's node(s) worker1" in call.text
    assert "CCCI_NODE_worker1=ssh://worker1" in call.text
    assert call.results["stages"] == []


def test_an_endpoint_of_another_node_is_refused(
    swarm: OwnSwarm, recipe: str, tmp_path: Path
) -> None:
    """It would show the containers of the wrong node, or none."""
    wrong = swarm.workers["worker-2"].paths.engine.host
    call = run(swarm, tmp_path, recipe, CCCI_NODE_worker1=wrong)
    assert call.code == 3, call.text
    assert "is not the engine of the node worker1" in call.text


def test_an_unknown_node_is_refused(swarm: OwnSwarm, recipe: str, tmp_path: Path) -> None:
    """A typing error must not pass for a node that is reached."""
    call = run(swarm, tmp_path, recipe, CCCI_NODE_worker9="ssh://worker9")
    assert call.code == 2, call.text
    assert "its nodes are: manager, worker-2, worker1" in call.text


@pytest.mark.parametrize(
    "moment", [pytest.param(DEPLOYING, marks=pytest.mark.nightly), UPGRADE_ASSERTIONS], ids=str
)
def test_a_worker_that_dies_in_mid_run_is_an_error(
    swarm: OwnSwarm, recipe: str, tmp_path: Path, moment: Doing
) -> None:
    """It says nothing of the recipe; what it had is found once it is back."""
    worker, output = swarm.workers["worker-2"], tmp_path / "runs"
    try:
        call = meanwhile(
            lambda: run(swarm, tmp_path, recipe, "--stages", "install,upgrade"),
            reached(output, moment),
            worker.kill,
        )
        assert call.code == 3, call.text
        assert call.results["verdict"]["outcome"] == "error"
        assert "failed" not in call.outcomes.values()
        assert "worker-2" in call.results["verdict"]["cause"]
        dead = call.results["run"]
        assert "what is on node worker-2" in call.results["teardown"]["reason"]
    finally:
        worker.start()
    swarm.await_ready()
    begun = moment == UPGRADE_ASSERTIONS  # before that it may have had nothing yet
    assert swarm.left(dead) or not begun, "its volume is there still"
    call = run(swarm, tmp_path, recipe, "--stages", "install")
    assert call.code == 0, call.text
    assert f"left over  {dead}: removed" in call.text or not begun
    assert swarm.left(dead) == []


@pytest.fixture(name="registry")
def registry_fixture(swarm: OwnSwarm) -> Iterator[OwnRegistry]:
    """A registry in reach of all nodes, with an nginx that no node has any more."""
    manager = swarm.manager
    with own_registry(manager.spaces, REGISTRY) as registry:
        client = manager.client()
        stand_in = images.ensure(client, IMAGE, cache=manager.cache, lock_timeout=60, say=print)
        client.images.get(stand_in.reference).tag(f"{REGISTRY}/nginx", "1.27.4")
        said = client.api.push(f"{REGISTRY}/nginx", tag="1.27.4", stream=True, decode=True)
        assert [event["error"] for event in said if "error" in event] == []
        client.close()
        for own in (manager, *swarm.workers.values()):
            own.forget_images("nginx")
        yield registry


@pytest.mark.nightly
def test_images_come_from_a_registry_that_all_nodes_reach(
    swarm: OwnSwarm, registry: OwnRegistry, tmp_path: Path
) -> None:
    """The image itself is deployed, and each node that runs it has asked the registry."""
    image = f"{registry.address}/nginx:1.27.4"
    changes = {**PINNED, "image: nginx:1.27.4": f"image: {image}"}
    repo = RecipeRepo.make(tmp_path / "made")
    repo.commit(recipe_files("1.0.0+1", **changes), tag="1.0.0+1")
    repo.commit(recipe_files("1.1.0+1", **changes))
    files = overlays(tmp_path, ops=SEED, test_nodes=CUSTOM)
    call = run(swarm, tmp_path, str(repo.path), *files)
    assert call.code == 0, call.text
    assert set(call.outcomes.values()) == {"passed"}
    assert ImageEvent(image=image, how=Provided.PULLED) in call.events
    assert "stand-in" not in {one["kind"] for one in call.results["adaptations"]}
    assert "localhost/cc-ci/nginx" not in call.text
    assert registry.reads() == {(f"{SUBNET}{host}", "nginx") for host in (1, 11, 12)}
    assert swarm.left(call.results["run"]) == []
