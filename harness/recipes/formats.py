"""Versions of the compose file format, and the keys that came with each.

From docker's own schemas (docker/cli, `cli/compose/schema/data`), without what `docker stack
deploy` ignores. The harness writes older formats as `WRITTEN`, so it has to refuse what docker
would refuse in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from harness.recipes.compose import Compose

WRITTEN = "3.9"  # the first format with a limit of processes, which is laid over each service
OLDER = frozenset(f"3.{minor}" for minor in range(9))  # docker takes "3" for the newest
# By the minor version. The long forms of ports and mounts (3.2) are not told: all are read as such.
SERVICES: Mapping[str, int] = {
    "secrets": 1,
    "deploy.endpoint_mode": 2,
    "configs": 3,
    "credential_spec": 3,
    "deploy.placement.preferences": 3,
    "deploy.update_config.order": 4,
    "healthcheck.start_period": 4,
    "deploy.resources.reservations.generic_resources": 5,
    "isolation": 5,
    "deploy.rollback_config": 7,
    "init": 7,
    "credential_spec.config": 8,
    "deploy.placement.max_replicas_per_node": 8,
    "deploy.resources.limits.pids": 9,
}
RESOURCES: Mapping[str, int] = {
    "secrets": 1,
    "networks.attachable": 2,
    "configs": 3,
    "configs.template_driver": 8,
    "secrets.template_driver": 8,
    "secrets.driver": 8,
}
NAMES: Mapping[str, int] = {"volumes": 4, "networks": 5, "configs": 5, "secrets": 5}


def written(version: str) -> str:
    """Return the format in which a recipe's files of that format are written."""
    return WRITTEN if version in OLDER else version


def too_new(compose: Compose) -> Iterator[tuple[str, str]]:
    """Yield each key that the format of its file does not know, and the format that does."""
    if compose.version not in OLDER:
        return
    minor = int(compose.version.removeprefix("3."))
    for where, since in _used(compose):
        if since > minor:
            yield where, f"3.{since}"


def _used(compose: Compose) -> Iterator[tuple[str, int]]:
    for name, service in compose.services.items():
        for path, since in SERVICES.items():
            if _has(service.raw, path):
                yield f"services.{name}.{path}", since
    for path, since in RESOURCES.items():
        section, _, key = path.partition(".")
        for name, one in getattr(compose, section).items():
            if not key or key in one.definition:
                yield f"{section}.{name}{f'.{key}' if key else ''}", since
    for section, since in NAMES.items():
        for name, one in getattr(compose, section).items():
            if one.name and not one.external:  # the older syntax has the name within `external`
                yield f"{section}.{name}.name", since


def _has(raw: object, path: str) -> bool:
    for key in path.split("."):
        if not isinstance(raw, Mapping) or key not in raw:
            return False
        raw = raw[key]
    return True
