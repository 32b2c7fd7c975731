"""Configs that Swarm fills in (`template_driver: golang`), and variables that they lack.

Swarm knows the variables of the service, not those of its image, and prints nothing for a missing
one: `upstream {{ env "STACK_NAME" }}_app` becomes `_app`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any

import docker
from docker.errors import NotFound

from harness.core.model import RunWarning, WarningCode
from harness.swarm.states import ServiceState

ACTION = re.compile(r"\{\{-?(.*?)-?\}\}", re.DOTALL)
PRINTED = re.compile(r"""^\s*\(?\s*env\s+["`]([^"`]+)["`]\s*\)?\s*$""")
NAMED = re.compile(r"""\benv\s+["`]([^"`]+)["`]""")


def printed(text: str) -> tuple[str, ...]:
    """Return the variables that a template prints as they are, in order.

    One that the template tests as well (`if`, `with`, `or`, `eq`) may be missing on purpose.
    """
    shown: dict[str, None] = {}
    tested: set[str] = set()
    for action in ACTION.findall(text):
        if found := PRINTED.match(action):
            shown[found.group(1)] = None
        else:
            tested.update(NAMED.findall(action))
    return tuple(name for name in shown if name not in tested)


def missing(
    client: docker.DockerClient, services: tuple[ServiceState, ...]
) -> Iterator[RunWarning]:
    """Yield a warning for each config that prints a variable which its service does not have."""
    for service in services:
        spec = service.template["ContainerSpec"]
        has = {entry.partition("=")[0] for entry in spec.get("Env") or ()}
        for config in spec.get("Configs") or ():
            text = config_text(client, config["ConfigID"], driver="golang")
            if lacking := [name for name in printed(text) if name not in has]:
                target = (config.get("File") or {}).get("Name") or config["ConfigName"]
                yield RunWarning(
                    code=WarningCode.TEMPLATE_VARIABLE_MISSING,
                    text=f"the config {target} of service {service.name} prints "
                    f"{', '.join(lacking)}, which the service's environment does not have",
                    next=f"add it under `environment` of service {service.name}: Swarm prints "
                    "nothing for a variable that is missing",
                )


def config_text(client: docker.DockerClient, identity: str, *, driver: str = "") -> str:
    """Return the text of a config; nothing where it is gone, or has another template driver."""
    try:
        spec: dict[str, Any] = client.api.inspect_config(identity)["Spec"]  # type: ignore[no-untyped-call]  # stubs lack it
    except NotFound:
        return ""
    if driver and (spec.get("Templating") or {}).get("Name") != driver:
        return ""
    return base64.b64decode(spec["Data"]).decode(errors="replace")
