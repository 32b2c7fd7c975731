"""The client that assertions get: it looks and runs commands, and nothing else leaves it."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import docker
import pytest
from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter

from harness.core.errors import EXIT_ERROR, LookOnlyError
from harness.core.model import Outcome
from harness.exec import look_only
from harness.exec.look_only import LookOnlyAPI, LookOnlyClient

HOST = {"base_url": "tcp://127.0.0.1:1", "version": "1.41"}


class FakeAdapter(BaseAdapter):
    """Where requests leave: it keeps them, and answers what every reader can read."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []

    def send(self, request: PreparedRequest, **_: Any) -> Response:  # type: ignore[override]  # noqa: ANN401  takes whatever it gets
        """Keep it, and answer."""
        self.sent.append(f"{request.method} {request.path_url.partition('?')[0]}")
        response = Response()
        response.status_code = 200
        response.request = request
        response._content = json.dumps({"Id": "x", "Spec": {}, "Config": {}}).encode()  # noqa: SLF001  how requests stores it
        return response

    def close(self) -> None:
        """Have nothing to close."""


@pytest.fixture(name="adapter")
def adapter_fixture() -> FakeAdapter:
    """Where the requests of this test leave."""
    return FakeAdapter()


@pytest.fixture(name="client")
def client_fixture(adapter: FakeAdapter) -> LookOnlyClient:
    """A client over it."""
    client = LookOnlyClient(**HOST)
    client.api.mount("http://", adapter)
    return client


def container(client: Any) -> Any:  # noqa: ANN401  the stubs know only half of it
    """Return a container without asking for it."""
    return client.containers.prepare_model({"Id": "c1"})


def service(client: Any) -> Any:  # noqa: ANN401  the same
    """Return a service without asking for it."""
    spec = {
        "Name": "s",
        "Mode": {"Replicated": {"Replicas": 1}},
        "TaskTemplate": {"ContainerSpec": {"Image": "i"}},
    }
    return client.services.prepare_model({"ID": "s1", "Version": {"Index": 1}, "Spec": spec})


CHANGES: dict[str, Callable[[Any], object]] = {
    "POST /v1.41/services/create": lambda it: it.services.create("i", name="s"),
    "POST /v1.41/services/s1/update": lambda it: service(it).update(image="other"),
    "POST /v1.41/services/s1/update (scale)": lambda it: service(it).scale(0),
    "POST /v1.41/services/s1/update (force)": lambda it: service(it).force_update(),
    "DELETE /v1.41/services/s1": lambda it: service(it).remove(),
    "POST /v1.41/containers/create": lambda it: it.containers.run("i", "true"),
    "POST /v1.41/containers/c1/kill": lambda it: container(it).kill(),
    "POST /v1.41/containers/c1/stop": lambda it: container(it).stop(),
    "POST /v1.41/containers/c1/start": lambda it: container(it).start(),
    "POST /v1.41/containers/c1/restart": lambda it: container(it).restart(),
    "POST /v1.41/containers/c1/pause": lambda it: container(it).pause(),
    "POST /v1.41/containers/c1/update": lambda it: container(it).update(mem_limit="9m"),
    "POST /v1.41/containers/c1/attach": lambda it: it.api.attach_socket("c1"),
    "DELETE /v1.41/containers/c1": lambda it: container(it).remove(force=True),
    "PUT /v1.41/containers/c1/archive": lambda it: container(it).put_archive("/", b""),
    "POST /v1.41/containers/prune": lambda it: it.containers.prune(),
    "POST /v1.41/volumes/create": lambda it: it.volumes.create("v"),
    "DELETE /v1.41/volumes/v": lambda it: it.volumes.prepare_model({"Name": "v"}).remove(),
    "POST /v1.41/volumes/prune": lambda it: it.volumes.prune(),
    "POST /v1.41/networks/create": lambda it: it.networks.create("n"),
    "POST /v1.41/networks/n/disconnect": lambda it: it.networks.prepare_model(
        {"Id": "n"}
    ).disconnect("c1"),
    "POST /v1.41/networks/prune": lambda it: it.networks.prune(),
    "POST /v1.41/secrets/create": lambda it: it.secrets.create(name="s", data=b""),
    "POST /v1.41/configs/create": lambda it: it.configs.create(name="c", data=b""),
    "POST /v1.41/swarm/leave": lambda it: it.swarm.leave(force=True),
    "POST /v1.41/images/prune": lambda it: it.images.prune(),
    "POST /v1.41/images/create": lambda it: it.images.pull("i", tag="1"),
    "DELETE /v1.41/images/i": lambda it: it.images.remove("i"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_refused_before_anything_is_sent(
    change: str, client: LookOnlyClient, adapter: FakeAdapter
) -> None:
    """It is an error of the test file, said as such: never a verdict on the recipe."""
    with pytest.raises(LookOnlyError) as caught:
        CHANGES[change](client)
    request = change.partition(" (")[0]
    assert caught.value.what == f"an assertion tried to change the deployment: {request}"
    assert caught.value.hint == "assertions only look; ops.py seeds data"
    assert (caught.value.outcome, caught.value.exit_code) == (Outcome.ERROR, EXIT_ERROR)
    assert [sent for sent in adapter.sent if not sent.startswith("GET ")] == []


def test_the_same_calls_do_leave_a_plain_client(adapter: FakeAdapter) -> None:
    """So that the test above does not pass because the calls do nothing."""
    for change, call in CHANGES.items():
        plain = docker.DockerClient(**HOST)  # type: ignore[arg-type]  # both are text
        plain.api.mount("http://", adapter)
        adapter.sent.clear()
        with suppress(Exception):  # what it makes of the answer does not matter
            call(plain)
        assert change.partition(" (")[0] in adapter.sent


def test_looks_and_commands_pass(client: LookOnlyClient, adapter: FakeAdapter) -> None:
    """Whatever the handle of an app needs, and no more."""
    client.api.inspect_container("c1")
    client.api.services(filters={"label": "x"})  # type: ignore[no-untyped-call]  # stubs lack it
    client.api.head("http://127.0.0.1:1/_ping")
    client.api.exec_create("c1", ["true"])
    client.api.exec_start("e1", detach=True)
    client.api.exec_resize("e1", 1, 1)
    client.api.exec_inspect("e1")
    assert adapter.sent == [
        "GET /v1.41/containers/c1/json",
        "GET /v1.41/services",
        "HEAD /_ping",
        "POST /v1.41/containers/c1/exec",
        "POST /v1.41/exec/e1/start",
        "POST /v1.41/exec/e1/resize",
        "GET /v1.41/exec/e1/json",
    ]


@pytest.mark.parametrize(
    "path",
    [
        "/v1.41/containers/c1/exec/../stop",
        "/v1.41/containers/c1/exec/start",
        "/v1.41/containers/a%2F..%2F..%2Fservices%2Fcreate%3F/exec",
        "/v1.41/containers/../exec",
        "/v1.41/containers//exec",
        "/v1.41/exec/e1/start/x",
        "/v1.41/exec/e1/kill",
        "/v1.41/x/containers/c1/exec",
        "/v1.41/services/create?/containers/c1/exec",
        "/v1.41/services/create#/containers/c1/exec",
    ],
)
def test_nothing_that_only_looks_like_a_command_passes(
    path: str, client: LookOnlyClient, adapter: FakeAdapter
) -> None:
    """The whole path counts, and names have no slashes in them, however they are written."""
    with pytest.raises(LookOnlyError):
        client.api.post(f"http://127.0.0.1:1{path}")
    assert adapter.sent == []


@pytest.mark.parametrize("method", ["POST", "post", "PUT", "PATCH", "DELETE", "CONNECT", "X"])
def test_only_two_methods_look(method: str, client: LookOnlyClient, adapter: FakeAdapter) -> None:
    """Also in what the SDK does not know yet."""
    with pytest.raises(LookOnlyError):
        client.api.request(method, "http://127.0.0.1:1/v1.41/new/thing")
    assert adapter.sent == []


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_command_is_started_by_one_method(
    method: str, client: LookOnlyClient, adapter: FakeAdapter
) -> None:
    """Whatever else these paths may come to mean."""
    with pytest.raises(LookOnlyError):
        client.api.request(method, "http://127.0.0.1:1/v1.41/exec/e1/start")
    assert adapter.sent == []


def test_a_web_socket_is_refused(client: LookOnlyClient, adapter: FakeAdapter) -> None:
    """It goes past the session, and writes to a container's main process."""
    with pytest.raises(LookOnlyError, match="attach"):
        client.api.attach_socket("c1", ws=True)
    assert adapter.sent == []


def test_it_is_made_of_what_leads_to_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the run's variables, not of the user's."""
    given: list[dict[str, Any]] = []
    monkeypatch.setattr(LookOnlyAPI, "__init__", lambda _self, **options: given.append(options))
    monkeypatch.setenv("DOCKER_HOST", "unix:///elsewhere")
    assert isinstance(look_only.connect({"DOCKER_HOST": "unix:///s"}).api, LookOnlyAPI)
    assert given == [{"base_url": "unix:///s"}]
