"""An upgrade that changes nothing but the version label."""

from dataclasses import replace
from typing import Any

import pytest

from harness.core.model import WarningCode
from harness.swarm.changes import only_label
from harness.swarm.states import ServiceState
from tests.unit.fake_stack import STACK, service

LABEL = f"coop-cloud.{STACK}.version"


def release(
    version: str,
    *,
    mode: str = "vip",
    rule: str = "",
    **spec: Any,  # noqa: ANN401  any field
) -> ServiceState:
    """Return a service of a release."""
    told = {f"coop-cloud.{STACK}.chaos-version": version[:1], "rule": rule, "of": version}
    made = service(labels={LABEL: version, **told})
    made.template["ContainerSpec"].update(Env=[f"RELEASE={version}"], Labels={"v": version}, **spec)
    definition = {"Labels": dict(made.labels), "EndpointSpec": {"Mode": mode}}
    return replace(made, definition={**definition, "TaskTemplate": {"not": "compared"}})


BASE = (release("1.0.0+1"),)


def test_a_head_with_another_version_label_alone_is_told() -> None:
    """Values in which the version stands change with it."""
    warning = only_label(BASE, (release("1.1.0+1"),), STACK)
    assert warning is not None
    assert warning.code is WarningCode.ONLY_LABEL_CHANGED
    assert "1.0.0+1 to 1.1.0+1" in warning.text
    head = release("1.1.0+1")
    head.definition["Labels"][f"coop-cloud.{STACK}.timeout"] = "90"
    assert only_label(BASE, (head,), STACK) == warning, "abra waits longer, and the app is the same"


@pytest.mark.parametrize(
    "head",
    [
        (release("1.1.0+1", Image="nginx:2"),),
        (release("1.1.0+1", Configs=[{"ConfigName": "c_v2"}]),),
        (release("1.1.0+1", mode="dnsrr"),),
        (release("1.1.0+1", rule="Host(`other`)"),),
        (release("1.1.0+1"), service("more")),
        (release("1.0.0+1"),),
        (service(),),
    ],
)
def test_a_head_that_changes_anything_else_is_not(head: tuple[ServiceState, ...]) -> None:
    """An image, a config, a mode or another service; and a head of the same version."""
    assert only_label(BASE, head, STACK) is None
