"""Finding the engines of a Swarm's nodes: what is named, what is found, what is refused."""

import json
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core import proc
from harness.core.errors import EngineError, ProcessError, UnknownNameError, UsageError
from harness.core.settings import Settings
from harness.engine import endpoint
from harness.engine.endpoint import Engine
from harness.engine.node_endpoints import Finder, fold
from harness.swarm.nodes import Nodes


def node(identity: str, name: str, state: str = "ready", availability: str = "active") -> Any:  # noqa: ANN401  as the API has it
    """Return a node as a manager lists it."""
    return {
        "ID": identity,
        "Description": {"Hostname": name},
        "Status": {"State": state},
        "Spec": {"Availability": availability},
    }


@pytest.fixture(autouse=True)
def no_tunnels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every address as it is."""
    monkeypatch.setattr(endpoint, "reach", lambda host: host)


MANAGER, WORKER = node("n1", "manager"), node("n2", "Worker-1.lan")
HOST = "ssh://w"


def finder(
    nodes: Sequence[Any],
    given: Mapping[str, str] | None = None,
    *,
    contexts: Mapping[str, str] | None = None,
    says: Mapping[str, str] | None = None,
    dead: str = "",
    engine: Engine | None = None,
) -> Finder:
    """Return a finder in a Swarm of these nodes.

    Args:
        nodes: the nodes; the engine that is asked is that of the first one.
        given: what the variables say.
        contexts: the docker contexts, with their hosts.
        says: which node's engine answers at which host.
        dead: why no other engine answers.
        engine: the manager's engine.
    """

    def run(argv: Sequence[str], **_: object) -> proc.Completed:
        assert argv[:3] == ["docker", "context", "inspect"]
        if argv[3] not in (contexts or {}):
            raise ProcessError("no such context", code=1)
        found = {"Endpoints": {"docker": {"Host": (contexts or {})[argv[3]]}}}
        return proc.Completed(argv=tuple(argv), code=0, stdout=json.dumps([found]), stderr="")

    def client_for(engine: Engine) -> Any:  # noqa: ANN401  stands in for a client
        swarm = {"NodeID": (says or {HOST: "n2"})[engine.host]}
        return SimpleNamespace(info=lambda: {"Swarm": swarm}, close=lambda: None)

    info = {
        "Name": nodes[0]["Description"]["Hostname"],
        "Swarm": {"NodeID": nodes[0]["ID"], "Nodes": len(nodes)},
    }
    client: Any = SimpleNamespace(info=lambda: info, api=SimpleNamespace(nodes=lambda: list(nodes)))
    return Finder(
        client=client, engine=engine or Engine(host="unix:///s", origin="test"),
        given=given or {}, environment={}, run=run, probe=lambda _: dead, client_for=client_for,
    )  # fmt: skip


def ids(nodes: Nodes) -> dict[str, str]:
    """Return the hosts of the other nodes, by id."""
    return {other.id: other.environ["DOCKER_HOST"] for other in nodes.others}


def test_a_swarm_of_one_node_needs_nothing() -> None:
    """Its own node is reached by the engine that is there anyway."""
    found = finder([MANAGER]).nodes()
    assert (found.own, found.others) == ("n1", ())


@pytest.mark.parametrize("name", ["worker_1_lan", "WORKER-1.LAN", "Worker-1.lan", "n2", "N2"])
def test_a_variable_names_a_node_by_its_name_or_its_id(name: str) -> None:
    """Without case, and with `_` for what cannot stand in a variable's name."""
    assert ids(finder([MANAGER, WORKER], {name: HOST}).nodes()) == {"n2": HOST}


def test_a_context_of_the_nodes_name_is_found() -> None:
    """Nothing has to be set where docker knows the way; a variable goes before it."""
    contexts = {"Worker-1.lan": "ssh://c"}
    says = {"ssh://c": "n2", HOST: "n2"}
    both = [MANAGER, WORKER]
    assert ids(finder(both, contexts=contexts, says=says).nodes()) == {"n2": "ssh://c"}
    given = {"worker-1.lan": HOST}
    assert ids(finder(both, given, contexts=contexts, says=says).nodes()) == {"n2": HOST}


def test_a_node_without_an_endpoint_is_named_with_what_to_type() -> None:
    """Before anything is deployed: its containers could not be shown."""
    with pytest.raises(EngineError) as caught:
        finder([MANAGER, WORKER, node("n3", "w3")]).nodes()
    assert "Worker-1.lan, w3" in caught.value.what
    hint = "CCCI_NODE_worker_1_lan=ssh://Worker-1.lan CCCI_NODE_w3=ssh://w3"
    assert caught.value.hint.startswith(hint)


@pytest.mark.parametrize("how", [("down", "active"), ("ready", "drain"), ("ready", "pause")])
def test_a_node_that_takes_no_task_needs_no_endpoint(how: tuple[str, str]) -> None:
    """Nothing of the app will ever run there."""
    assert finder([MANAGER, node("n2", "w", *how)]).nodes().others == ()


@pytest.mark.parametrize("nodes", [[MANAGER], [MANAGER, WORKER]])
def test_a_variable_that_names_no_node_is_refused(nodes: list[Any]) -> None:
    """A typing error must not pass for a node that is reached."""
    with pytest.raises(UnknownNameError) as caught:
        finder(nodes, {"worker9": HOST}).nodes()
    assert "CCCI_NODE_worker9" in caught.value.what
    assert "manager" in caught.value.hint


def test_two_nodes_of_one_name_are_named_by_their_ids() -> None:
    """The name would lead to either of them."""
    twins = [MANAGER, node("n2", "w"), node("n3", "w")]
    with pytest.raises(UnknownNameError, match="CCCI_NODE_w names no node"):
        finder(twins, {"w": HOST}).nodes()
    says = {"ssh://a": "n2", "ssh://b": "n3"}
    found = finder(twins, {"n2": "ssh://a", "n3": "ssh://b"}, says=says).nodes()
    assert ids(found) == {"n2": "ssh://a", "n3": "ssh://b"}


@pytest.mark.parametrize(
    ("said", "words"), [("n9", "says that it is the node n9"), ("", "is in no Swarm")]
)
def test_an_endpoint_has_to_lead_to_the_very_node(said: str, words: str) -> None:
    """Else another node's containers would be shown, or none."""
    with pytest.raises(EngineError, match="is not the engine of the node") as caught:
        finder([MANAGER, WORKER], {"n2": HOST}, says={HOST: said}).nodes()
    assert words in caught.value.cause


def test_an_endpoint_that_does_not_answer_says_why() -> None:
    """With the command that asks it by hand."""
    with pytest.raises(EngineError, match="does not answer") as caught:
        finder([MANAGER, WORKER], {"n2": HOST}, dead="refused").nodes()
    assert caught.value.cause == "refused"
    assert f"DOCKER_HOST={HOST}" in caught.value.hint


def test_tcp_uses_the_files_that_lead_to_the_manager() -> None:
    """They are of one authority as a rule; ssh and sockets need none."""
    tls = Engine(host="tcp://m", origin="DOCKER_HOST", cert_path="/tls", tls_verify=True)
    says = {"tcp://w": "n2", HOST: "n2"}
    both = [MANAGER, WORKER]
    (other,) = finder(both, {"n2": "tcp://w"}, says=says, engine=tls).nodes().others
    assert (other.environ["DOCKER_CERT_PATH"], other.environ["DOCKER_TLS_VERIFY"]) == ("/tls", "1")
    (other,) = finder(both, {"n2": HOST}, says=says, engine=tls).nodes().others
    assert other.environ == {"DOCKER_HOST": HOST}


def test_a_clean_up_goes_on_without_the_nodes_that_it_cannot_reach() -> None:
    """And says which these are: what is there stays."""
    said: list[str] = []
    assert finder([MANAGER, WORKER]).reachable(said.append).others == ()
    assert finder([MANAGER, WORKER], {"n2": HOST}, dead="no").reachable(said.append).others == ()
    assert ids(finder([MANAGER, WORKER], {"n2": HOST}).reachable(said.append)) == {"n2": HOST}
    assert [line.partition(",")[0].partition(" at ")[0] for line in said] == [
        "node Worker-1.lan has no endpoint", "the engine of the node Worker-1.lan",
    ]  # fmt: skip


def test_names_fold_to_what_a_variable_can_be_called() -> None:
    """A shell takes no `-` or `.` in one."""
    assert fold("Web-01.Example.org") == "web_01_example_org"


# The setting


def test_endpoints_are_settings() -> None:
    """A family of variables; an empty one is an unset one."""
    environ = {"CCCI_NODE_worker1": "ssh://w", "CCCI_NODE_b": "", "CCCI_NODE_c": "unix:///s"}
    assert Settings.load([], environ).nodes == {"worker1": "ssh://w", "c": "unix:///s"}


@pytest.mark.parametrize(
    ("name", "value"), [("worker1", "worker1"), ("worker1", "http://w"), ("", "ssh://w")]
)
def test_what_is_no_endpoint_is_refused(name: str, value: str) -> None:
    """With what one looks like."""
    with pytest.raises(UsageError, match="is no endpoint for a node") as caught:
        Settings.load([], {f"CCCI_NODE_{name}": value})
    assert caught.value.hint == "CCCI_NODE_worker1=ssh://worker1"
