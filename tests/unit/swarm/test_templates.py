"""Configs that Swarm fills in, and the variables that they lack."""

import base64
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import NotFound

from harness.core.model import WarningCode
from harness.swarm.states import ServiceState
from harness.swarm.templates import missing, printed
from tests.unit.fake_stack import service


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('server {{ env "STACK_NAME" }}_app;', ("STACK_NAME",)),
        ('{{- env `A` -}} {{env "B"}} {{ (env "C") }}', ("A", "B", "C")),
        ('{{ env "A" }}{{ env "A" }}', ("A",)),
        ('{{ if env "A" }}{{ env "A" }}{{ end }}', ()),
        ('{{ if eq (env "A") "1" }}x{{ end }}{{ env "B" }}', ("B",)),
        ('{{ or (env "A") "x" }}', ()),
        ('{{ secret "password" }} {{ .Service.Name }} env "A"', ()),
    ],
)  # fmt: skip
def test_variables_that_are_printed_and_never_tested(text: str, names: tuple[str, ...]) -> None:
    """A template that tests a variable can do without it."""
    assert printed(text) == names


def found(configs: Mapping[str, Any], app: ServiceState) -> list[str]:
    """Return the warnings' texts."""

    def inspect(identity: str) -> dict[str, Any]:
        if identity not in configs:
            raise NotFound(identity)
        return {"Spec": configs[identity]}

    client: Any = SimpleNamespace(api=SimpleNamespace(inspect_config=inspect))
    warnings = list(missing(client, (app,)))
    assert all(one.code is WarningCode.TEMPLATE_VARIABLE_MISSING for one in warnings)
    return [one.text for one in warnings]


def using(*, env: list[str] | None) -> ServiceState:
    """Return a service with one config."""
    app = service()
    app.template["ContainerSpec"].update(
        Env=env,
        Configs=[{"ConfigID": "c1", "ConfigName": "s_conf_v1", "File": {"Name": "/etc/x.conf"}}],
    )
    return app


def config(**changes: object) -> dict[str, object]:
    """Return a config that prints two variables."""
    data = base64.b64encode(b'{{ env "A" }} {{ env "B" }}').decode()
    return {"Data": data, "Templating": {"Name": "golang"}, **changes}


@pytest.mark.parametrize(
    ("env", "lacking"), [(["A=1"], "B"), (["A=", "B=2"], ""), (None, "A, B"), ([], "A, B")]
)
def test_a_variable_that_the_service_lacks_is_told(env: list[str] | None, lacking: str) -> None:
    """One that is set to nothing is set."""
    texts = found({"c1": config()}, using(env=env))
    assert len(texts) == bool(lacking)
    assert all(f"/etc/x.conf of service app prints {lacking}, which" in text for text in texts)


def test_a_config_that_swarm_does_not_fill_in_may_hold_anything() -> None:
    """The program in the container reads it as it is."""
    assert found({"c1": config(Templating=None)}, using(env=None)) == []
    assert found({}, using(env=None)) == []
