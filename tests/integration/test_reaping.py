"""The reaper beside stacks that are not ours: it removes every kind of thing of the dead alone."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import docker
from docker.errors import NotFound

from harness.platforms.base import Target
from harness.run.reaper import Keep, make_work, reap, scope
from harness.run.testbed import TestBed
from harness.swarm.states import NAMESPACE_LABEL
from harness.swarm.sweep import RUN_LABEL, SCOPE_LABEL, STACK_LABEL, find

KINDS = {"service", "container", "network", "volume", "secret", "config"}
RUN = "reaped-20260101T000000-0a1b2c3d"
STACK = "reaped-0a1b2c3d_test"


@contextmanager
def made(
    client: docker.DockerClient, image: str, prefix: str, labels: dict[str, str]
) -> Iterator[None]:
    """Make one thing of each kind with these labels; what is still there at the end is removed."""
    api = client.api
    with ExitStack() as stack:

        def later(remove: object, identity: str, **options: object) -> None:
            stack.callback(_if_there, remove, identity, **options)

        later(
            api.remove_secret,
            client.secrets.create(name=f"{prefix}_s", data=b"x", labels=labels).id or "",
        )
        later(
            api.remove_config,
            client.configs.create(name=f"{prefix}_c", data=b"x", labels=labels).id or "",
        )
        client.volumes.create(f"{prefix}_v", labels=labels)
        later(api.remove_volume, f"{prefix}_v")
        network = client.networks.create(f"{prefix}_n", driver="bridge", labels=labels)
        later(api.remove_network, str(network.id))
        mounts = [docker.types.Mount("/v", f"{prefix}_v", type="volume")]
        container = client.containers.create(
            image, ["true"], name=f"{prefix}_k", labels=labels, mounts=mounts, network=network.name
        )
        later(api.remove_container, str(container.id), force=True)
        service = client.services.create(  # type: ignore[no-untyped-call]  # stubs lack it
            image, command=["sleep", "600"], name=f"{prefix}_app", labels=labels
        )
        later(api.remove_service, service.id)
        yield


def _if_there(remove: object, identity: str, **options: object) -> None:
    assert callable(remove)
    with suppress(NotFound):
        remove(identity, **options)


def kinds(client: docker.DockerClient, label: str) -> set[str]:
    """Return the kinds of things with that label."""
    return {item.kind for item in find(client, label)}


FOREIGN = {
    # The very name, by a deploy of somebody else.
    "the same namespace": ({NAMESPACE_LABEL: STACK}, NAMESPACE_LABEL, STACK),
    "another scope": (
        {RUN_LABEL: f"{RUN}x", STACK_LABEL: STACK, SCOPE_LABEL: "0123456789ab"},
        RUN_LABEL, f"{RUN}x",
    ),
    "no scope": ({RUN_LABEL: f"{RUN}y", STACK_LABEL: STACK}, RUN_LABEL, f"{RUN}y"),
    "no stack": ({RUN_LABEL: f"{RUN}z", SCOPE_LABEL: "mine"}, RUN_LABEL, f"{RUN}z"),
    "similar labels": ({"ccci.runs": RUN, "ccci": STACK}, "ccci.runs", RUN),
}  # fmt: skip


def test_the_dead_go_and_foreign_stacks_stay(
    bed: TestBed, client: docker.DockerClient, tmp_path: Path
) -> None:
    """Of every kind; after a dry run that removes nothing; and its time to be kept is over."""
    mine = {
        RUN_LABEL: RUN,
        STACK_LABEL: STACK,
        SCOPE_LABEL: scope(tmp_path),
        NAMESPACE_LABEL: STACK,
    }
    work = make_work(tmp_path, Target(recipe="r", run=RUN, scope="", domain="reaped-0a1b2c3d.test"))
    Keep(run=RUN, until=1.0).write(tmp_path)
    with ExitStack() as stack:
        stack.enter_context(made(client, bed.toolbox, "reaped-ours", mine))
        for number, (labels, _, _) in enumerate(FOREIGN.values()):
            own = {k: scope(tmp_path) if v == "mine" else v for k, v in labels.items()}
            stack.enter_context(made(client, bed.toolbox, f"reaped-foreign{number}", own))
        dry = reap(client, cache=tmp_path, dry_run=True, say=print)
        assert {item.kind for item in dry[0].found} == KINDS | {"checkout"}
        assert kinds(client, f"{RUN_LABEL}={RUN}") == KINDS
        (reaped,) = reap(client, cache=tmp_path, say=print)
        assert reaped.swept is not None
        assert set(reaped.swept.removed) == KINDS
        assert reaped.swept.left == ()
        assert find(client, f"{RUN_LABEL}={RUN}") == ()
        assert not work.exists()
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
        for why, (_, label, value) in FOREIGN.items():
            assert kinds(client, f"{label}={value}") >= KINDS, why


def test_a_run_whose_time_is_not_over_stays(
    bed: TestBed, client: docker.DockerClient, tmp_path: Path
) -> None:
    """`--keep` holds until it expires, and not after it."""
    run, stack_name = f"{RUN}k", "reaped-kept_test"
    mine = {RUN_LABEL: run, STACK_LABEL: stack_name, SCOPE_LABEL: scope(tmp_path)}
    with made(client, bed.toolbox, "reaped-kept", mine):
        Keep(run=run, until=4e9).write(tmp_path)
        assert reap(client, cache=tmp_path, say=print) == ()
        assert kinds(client, f"{RUN_LABEL}={run}") == KINDS
        Keep(run=run, until=1.0).write(tmp_path)
        assert len(reap(client, cache=tmp_path, say=print)) == 1
        assert find(client, f"{RUN_LABEL}={run}") == ()
