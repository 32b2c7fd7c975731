"""Whose fault a refused deploy is, by the Swarm's words; most were seen on Engine 20.10."""

import pytest

from harness.core.errors import DiskFullError, EngineError, TestBedError
from harness.platforms.base import Target
from harness.platforms.deploy_faults import REFUSALS, fault_of_machine, fault_of_recipe, refusal_in

TARGET = Target(recipe="made", run="run1", scope="scope1", domain="made-1.test")
UPDATE = "failed to update service made-1_test_app: Error response from daemon: rpc error: code = "
CREATE = "failed to create config made-1_test_geo_v1: Error response from daemon: rpc error: code ="
RECIPES = (
    ("InvalidArgument desc = only updates to Labels are allowed", "changed, but its name did not"),
    ("Unimplemented desc = service mode change is not allowed", "changed its mode"),
    ("Unknown desc = service mode change is not allowed", "changed its mode"),  # docker 1.13
    ("InvalidArgument desc = config data must be larger than 0 and less than 1", "too large"),
    ("InvalidArgument desc = secret data must be larger than 0 and less than 5", "too large"),
    ("ResourceExhausted desc = grpc: received message larger than max (5000290 vs. 4194304)",
     "more than a message"),
    (("InvalidArgument desc = EndpointSpec: port published with ingress mode can't be used with "
     "dnsrr mode"), "publishes a port"),
    ("InvalidArgument desc = EndpointSpec: duplicate published ports provided", "publishes a port"),
    ("Unimplemented desc = networks must be migrated to TaskSpec before being changed", "networks"),
    ('InvalidArgument desc = Service cannot be explicitly attached to the ingress network "i"',
     "networks"),
    ("InvalidArgument desc = config references 'a' and 'b' have a conflicting target: 'c'",
     "same target"),
    ("InvalidArgument desc = invalid memory value 1048576: Must be at least 4MiB", "definition"),
    ("InvalidArgument desc = invalid cpu value 0.0001: Must be at least 0.001", "definition"),
    ("InvalidArgument desc = TaskSpec: restart-delay cannot be negative", "definition"),
    ("InvalidArgument desc = ContainerSpec: duplicate mount point: /x", "definition"),
    ("InvalidArgument desc = expanding hostname failed: template: can't evaluate", "definition"),
    ("Unimplemented desc = RuntimeSpec: unimplemented runtime in service spec", "definition"),
    ("Unimplemented desc = renaming services is not supported", "definition"),
    ("Unknown desc = constraint expected one operator from ==, !=", "definition"),
    ("Unknown desc = key 'node labels' is invalid", "definition"),
    ("OutOfRange desc = value too large", "definition"),
)  # fmt: skip
MACHINES = (
    "Unavailable desc = transport is closing",
    "DeadlineExceeded desc = context deadline exceeded",
    "Unknown desc = The swarm does not have a leader",
    "Unknown desc = update out of sequence",
    "Internal desc = raft: stopped",
    "Aborted desc = the node is shutting down",
    "ResourceExhausted desc = trying to send message larger than max",
    "FailedPrecondition desc = service needs ingress network, but no ingress network is present",
)


@pytest.mark.parametrize(("said", "words"), RECIPES)
def test_words_that_only_a_recipe_causes_are_the_recipes_fault(said: str, words: str) -> None:
    """Whatever the gRPC code: the same codes stand for faults of managers as well."""
    assert fault_of_machine(UPDATE + said, TARGET) is None
    error = fault_of_recipe(UPDATE + said, TARGET)
    assert error is not None
    assert words in error.what
    assert error.cause
    assert error.hint


def test_every_entry_of_the_table_has_words_that_were_seen() -> None:
    """An entry that is never reached would be dead, or hidden by one before it."""
    seen = [UPDATE + said for said, _ in RECIPES]
    assert {id(refusal_in(said)) for said in seen} == {id(refusal) for refusal in REFUSALS}


def test_a_config_that_no_message_holds_is_the_recipes_fault() -> None:
    """moby/moby#37941: from 4 MiB on, the limit of a message is hit before that of a config."""
    said = f"{CREATE} ResourceExhausted desc = grpc: received message larger than max (5 vs. 4)"
    assert fault_of_machine(said, TARGET) is None
    error = fault_of_recipe(said, TARGET)
    assert error is not None
    assert "1000 KB" in error.cause


@pytest.mark.parametrize("said", MACHINES)
def test_words_that_only_managers_cause_are_the_machines_fault(said: str) -> None:
    """A list of 200 services that no message holds (moby/moby#37997) is not the recipe's either."""
    whole = f"Error response from daemon: rpc error: code = {said}"
    assert isinstance(fault_of_machine(whole, TARGET), EngineError)
    assert fault_of_recipe(whole, TARGET) is None


def test_a_port_is_blamed_on_the_stack_whose_service_has_it() -> None:
    """Two services of one recipe are the recipe's fault, another stack's service is not."""
    taken = (
        UPDATE + "InvalidArgument desc = port '80' is already in use by service '{}' (i) as an i"
    )
    own, other = taken.format("made-1_test_web"), taken.format("other_test_web")
    assert fault_of_machine(own, TARGET) is None
    error = fault_of_recipe(own, TARGET)
    assert error is not None
    assert "web" in error.cause
    assert isinstance(fault_of_machine(other, TARGET), EngineError)


def test_a_full_disk_goes_before_unknown_words() -> None:
    """It is named, also behind a gRPC code."""
    error = fault_of_machine("rpc error: code = Unknown desc = No space left on device", TARGET)
    assert isinstance(error, DiskFullError)
    assert isinstance(error, TestBedError)
