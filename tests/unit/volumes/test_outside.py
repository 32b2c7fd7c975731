"""What an app keeps outside its volumes: what is data, what is not, and how it is told."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import NotFound

from harness.core.errors import ExecNotStartedError
from harness.core.model import RunWarning, Stage, WarningCode
from harness.exec.exec import ExecTarget
from harness.swarm.nodes import Nodes
from harness.swarm.states import ServiceState
from harness.volumes.census import Census, Held, Link
from harness.volumes.outside import Outside
from tests.unit.fake_stack import NODE, STACK, look, service

STARTED, START = "2026-01-01T00:00:00.123456789Z", 1767225600.0
AT_START, LATER = "2026-01-01T00:00:02Z", "2026-01-01T00:00:09.5Z"
TEMPORARY, SHARED = "/tmp", "/dev/shm"  # noqa: S108  in a container that does not exist
DIRECTORY, LINK = 1 << 31, 1 << 27
ANONYMOUS = "0a" * 32
VOLUME = f"{STACK}_data"


@dataclass
class Engine:
    """An engine with one container of the app.

    Args:
        changes: what was changed in its layer: kind, mode, size and time by path.
        mounts: what is mounted in it.
        gone: whether it has just gone.
    """

    changes: Mapping[str, tuple[int, int, int, str]] = field(default_factory=dict)
    mounts: tuple[Mapping[str, Any], ...] = ()
    gone: bool = False
    user: str = ""
    base_url: str = "http+docker://localhost"
    api_version: str = "1.41"
    asked: list[str] = field(default_factory=list)

    @property
    def api(self) -> "Engine":
        """The low-level client."""
        return self

    def inspect_container(self, identity: str) -> dict[str, Any]:
        """Return the container."""
        if self.gone:
            raise NotFound(identity)
        state = {"StartedAt": STARTED, "Running": True, "Status": "running", "ExitCode": 0}
        config = {"User": self.user}
        return {"Id": identity, "State": state, "Mounts": list(self.mounts), "Config": config}

    def diff(self, _identity: str) -> list[dict[str, Any]] | None:
        """Return the changes; an engine says null for none."""
        return [{"Path": p, "Kind": one[0]} for p, one in self.changes.items()] or None

    def head(self, url: str, *, params: dict[str, str], timeout: float) -> Any:  # noqa: ANN401  a response
        """Return what the engine says of a file."""
        assert url == "http+docker://localhost/v1.41/containers/c-app-1/archive"
        assert timeout
        self.asked.append(params["path"])
        _, mode, size, time = self.changes[params["path"]]
        stat = json.dumps({"mode": mode, "size": size, "mtime": time}).encode()
        return SimpleNamespace(
            headers={"X-Docker-Container-Path-Stat": base64.b64encode(stat).decode()}
        )


@pytest.fixture(autouse=True)
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """No container here can list its processes: they are tested by themselves."""
    monkeypatch.setattr("harness.volumes.running.Running._processes", lambda *_: ())


def found(
    engine: Engine, app: ServiceState | None = None, census: Census | None = None
) -> list[RunWarning]:
    """Return what one look finds."""
    client: Any = engine
    outside = Outside(nodes=Nodes(client=client, own=NODE))
    containers = outside.containers(look(app or service()))
    return list(outside.warnings(containers, census or Census(), Stage.UPGRADE))


def added(*paths: str, mode: int = 0, size: int = 1, time: str = AT_START) -> Engine:
    """Return an engine whose container wrote files."""
    return Engine(changes=dict.fromkeys(paths, (1, mode, size, time)))


# The container's own layer


def test_a_file_outside_every_volume_is_told_with_its_path() -> None:
    """The folders above it were changed as well, and are not told."""
    engine = added("/var/lib/app/db")
    engine.changes = {
        "/var": (0, DIRECTORY, 9, AT_START), "/var/lib/app": (1, DIRECTORY, 9, AT_START),
        **engine.changes,
    }  # fmt: skip
    (warning,) = found(engine)
    assert warning.code is WarningCode.DATA_IN_LAYER
    assert warning.text.endswith("which are lost with its container: /var/lib/app/db")
    assert engine.asked == ["/var/lib/app/db"]


@pytest.mark.parametrize(
    "path",
    [
        f"{TEMPORARY}/x", "/run/app.pid", "/var/run/x", "/var/cache/x", "/var/log/app/x",
        f"/var{TEMPORARY}/x",
        "/app/tmp/x", "/app/log/x", "/root/.cache/x", "/home/app/.npm/x", "/app/a.pyc",
        "/app/__pycache__/x", "/root/.bash_history", "/srv/db.sqlite-wal", "/app/server.pid",
    ],
)  # fmt: skip
def test_what_programs_can_do_without_is_not_told(path: str) -> None:
    """Neither the usual places nor the usual names."""
    assert found(added(path)) == []


@pytest.mark.parametrize(("mode", "size"), [(DIRECTORY, 9), (LINK, 9), (0, 0)])
def test_only_files_with_content_are_data(mode: int, size: int) -> None:
    """An empty folder, a link or a marker is not."""
    assert found(added("/srv/x", mode=mode, size=size)) == []


@pytest.mark.parametrize(
    ("path", "kind", "time", "told"),
    [
        ("/etc/app.conf", 1, AT_START, 0),
        ("/etc/app/app.db", 1, LATER, 1),
        ("/app/settings.js", 0, AT_START, 0),
        ("/app/shipped.db", 0, LATER, 1),
        ("/app/new.db", 1, AT_START, 1),
        ("/srv/deleted", 2, LATER, 0),
    ],
)
def test_configuration_that_is_filled_in_at_the_start_is_not_data(
    path: str, kind: int, time: str, told: int
) -> None:
    """It is filled in anew by the next container. What is written later is not."""
    assert len(found(Engine(changes={path: (kind, 0, 1, time)}))) == told


def test_what_is_mounted_is_not_in_the_layer() -> None:
    """Volumes, binds, configs and secrets leave empty files and folders there."""
    app = service(volumes={"data": "/srv"})
    spec = app.template["ContainerSpec"]
    spec["Configs"] = [{"File": {"Name": "/app/config.json"}}]
    spec["Secrets"] = [{"File": {"Name": "password"}}, {"File": {"Name": "/opt/key"}}]
    engine = added("/srv/x", "/app/config.json", "/run/secrets/password", "/opt/key", "/opt/data")
    engine.mounts = ({"Type": "volume", "Name": VOLUME, "Destination": "/srv"},)
    (warning,) = found(engine, app)
    assert warning.text.endswith(": /opt/data")


def test_many_files_are_told_in_short() -> None:
    """With their number."""
    (warning,) = found(added(*(f"/srv/{n}" for n in range(9))))
    assert warning.text.endswith("/srv/0, /srv/1, /srv/2, /srv/3, /srv/4 and 4 more")


def test_a_finding_is_told_once() -> None:
    """A later look tells only what is new."""
    engine = added("/srv/a")
    client: Any = engine
    outside = Outside(nodes=Nodes(client=client, own=NODE))

    def once() -> list[str]:
        containers = outside.containers(look(service()))
        warnings = outside.warnings(containers, Census(), Stage.UPGRADE, in_memory=["data"])
        return [one.text.rpartition(" ")[2] for one in warnings]

    assert once() == ["/srv/a", "ends"]
    engine.changes = {**engine.changes, "/srv/b": (1, 0, 1, LATER)}
    assert once() == ["/srv/b"]


def test_a_container_that_is_gone_is_passed_over() -> None:
    """It was replaced a moment ago."""
    assert found(Engine(gone=True)) == []


# Anonymous volumes


def anonymous(place: str = "/srv/uploads") -> Engine:
    """Return an engine whose container has an anonymous volume."""
    return Engine(mounts=({"Type": "volume", "Name": ANONYMOUS, "Destination": place},))


def test_an_anonymous_volume_that_the_compose_file_asks_for_is_always_told() -> None:
    """Its author believes in it."""
    app = service()
    app.template["ContainerSpec"]["Mounts"].append({"Type": "volume", "Target": "/srv/uploads"})
    (warning,) = found(anonymous(), app)
    assert warning.code is WarningCode.ANONYMOUS_VOLUME
    assert "which its compose file declares (0 files)" in warning.text


def test_an_anonymous_volume_of_an_image_is_told_if_it_holds_files() -> None:
    """Images declare many that a recipe never uses."""
    assert found(anonymous()) == []
    (warning,) = found(anonymous(), census=Census(held={ANONYMOUS: Held(files=3)}))
    assert "which its image declares (3 files)" in warning.text
    assert found(anonymous("/var/cache/x"), census=Census(held={ANONYMOUS: Held(files=3)})) == []


def test_anonymous_volumes_are_named_so_that_they_can_be_counted() -> None:
    """With the node that they are on."""
    client: Any = anonymous()
    outside = Outside(nodes=Nodes(client=client, own=NODE))
    assert outside.anonymous(outside.containers(look(service()))) == {ANONYMOUS: NODE}


# Memory


@pytest.mark.parametrize(
    ("place", "lines", "said"),
    [
        ("/data", "/data/a\n/data/b\n", "2 files"),
        ("/data", "/data/a.pid\n", ""),
        ("/data", "", ""),
        (TEMPORARY, f"{TEMPORARY}/a\n", ""),
        ("/data", None, "files that cannot be counted"),
    ],
)
def test_files_on_a_tmpfs_are_told_as_far_as_they_can_be_seen(
    monkeypatch: pytest.MonkeyPatch, place: str, lines: str | None, said: str
) -> None:
    """An image without `find` cannot be asked."""

    def execute(_target: ExecTarget, argv: list[str], **_: object) -> Any:  # noqa: ANN401  a result
        assert argv == ["find", place, "-type", "f"]
        if lines is None:
            raise ExecNotStartedError("no find")
        return SimpleNamespace(text=lines)

    monkeypatch.setattr(ExecTarget, "exec", execute)
    warnings = found(Engine(mounts=({"Type": "tmpfs", "Destination": place},)))
    assert [one.code for one in warnings] == [WarningCode.DATA_ON_TMPFS] * bool(said)
    assert all(f"keeps {said} in {place}" in one.text for one in warnings)


# Access


def looks(
    monkeypatch: pytest.MonkeyPatch, *users: str, may: Mapping[str, int], writable: bool = True
) -> list[str]:
    """Look at a service once as each user, and return what is told; `may` are codes of `test`."""
    engine = Engine(
        mounts=({"Type": "volume", "Name": VOLUME, "Destination": "/srv", "RW": writable},)
    )
    asked: list[str] = []

    def execute(_target: ExecTarget, argv: list[str], **_: object) -> Any:  # noqa: ANN401  a result
        assert argv == ["test", "-w", "/srv"]
        asked.append(engine.user)
        if engine.user not in may:
            raise ExecNotStartedError("no test")
        return SimpleNamespace(code=may[engine.user])

    monkeypatch.setattr(ExecTarget, "exec", execute)
    client: Any = engine
    outside = Outside(nodes=Nodes(client=client, own=NODE))
    told = []
    for user in users:
        engine.user = user
        containers = outside.containers(look(service()))
        told += list(outside.warnings(containers, Census(), Stage.UPGRADE))
    assert all(one.code is WarningCode.VOLUME_NOT_WRITABLE for one in told)
    assert not {"", "0:0", "root"} & set(asked)
    return [one.text for one in told]


@pytest.mark.parametrize("before", ["", "0:0", "root", "app"])
def test_a_volume_that_a_new_user_cannot_write_to_is_told_once(
    monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    """As of vastsa/FileCodeBox#500: the files are root's, and the head runs as another user."""
    (text,) = looks(monkeypatch, before, "1000", "1000", may={"app": 0, "1000": 1})
    assert text.startswith("service app runs as user 1000, who cannot write to /srv")


def test_access_that_did_not_change_or_is_not_known_is_not_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A service may read only; an image may lack `test`, or a mount be read-only."""
    assert looks(monkeypatch, "1000", "1000", may={"1000": 1}) == []
    assert looks(monkeypatch, "", "1000", may={"1000": 0}) == []
    assert looks(monkeypatch, "", "1000", may={}) == []
    assert looks(monkeypatch, "", "1000", may={"1000": 126}) == []
    assert looks(monkeypatch, "", "1000", may={"1000": 1}, writable=False) == []


# Links


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("/opt/data", 1),
        ("../../opt/data", 1),
        ("/opt/other", 0),
        ("/opt", 1),
        ("/etc", 0),
        (f"{TEMPORARY}/x", 1),
        ("/srv/data/x", 0),
        ("../x", 0),
        (f"{SHARED}/x", 1),
        ("/memory/x", 1),
        ("/more/x", 0),
    ],
)
def test_a_link_out_of_a_volume_is_told_if_data_lie_at_its_end(
    monkeypatch: pytest.MonkeyPatch, target: str, told: int
) -> None:
    """What comes with the image, or lies on another volume, is not lost."""
    engine = added("/opt/data", "/opt/data/db", "/etc/conf", f"{TEMPORARY}/x/y")
    engine.mounts = (
        {"Type": "volume", "Name": VOLUME, "Destination": "/srv/data"},
        {"Type": "volume", "Name": f"{STACK}_more", "Destination": "/more"},
        {"Type": "tmpfs", "Destination": "/memory"},
    )
    engine.changes = {**engine.changes, "/memory": (1, DIRECTORY, 0, AT_START)}
    links = (Link(volume=VOLUME, path="a", target=target),)
    monkeypatch.setattr(ExecTarget, "exec", lambda *_, **__: SimpleNamespace(text=""))
    warnings = [
        one
        for one in found(engine, census=Census(links=links))
        if one.code is WarningCode.LINK_LEAVES_VOLUME
    ]
    assert len(warnings) == told
    assert all("/srv/data/a of service app points to" in one.text for one in warnings)
