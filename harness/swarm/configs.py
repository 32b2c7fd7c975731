"""Swarm configs as small records that change by compare-and-swap.

Every change of a config has a version from the managers' Raft log; an update names the version that
it changes, and is refused when somebody was faster. All calls are answered by the leader.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import docker
import requests
from docker.errors import APIError, create_api_error_from_http_exception

from harness.core.waiting import stretched

CALL_SECONDS = 10.0
_CONFLICT = 409
_NOT_FOUND = 404
_STALE = "out of sequence"
_DATA = base64.b64encode(b"cc-ci\n").decode()  # a config must hold something


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One look at a config; `version` grows with each change, `id` is never given again."""

    id: str
    name: str
    version: int
    labels: Mapping[str, str]

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Config:
        """Read what the engine says of a config."""
        spec = raw["Spec"]
        return cls(
            id=str(raw["ID"]),
            name=str(spec["Name"]),
            version=int(raw["Version"]["Index"]),
            labels=dict(spec.get("Labels") or {}),
        )


class Configs(Protocol):
    """The configs of a Swarm. Whatever the engine refuses for another reason is an `APIError`."""

    def find(self, key: str) -> Config | None:
        """Return the config of that id or name, or None."""

    def with_label(self, label: str) -> tuple[Config, ...]:
        """Return every config with that label."""

    def create(self, name: str, labels: Mapping[str, str]) -> str:
        """Make a config and return its id, or "" when there is one of that name."""

    def update(self, config: Config, labels: Mapping[str, str]) -> bool:
        """Replace the labels; False when it was changed since that look, or is gone."""

    def remove(self, identity: str) -> bool:
        """Remove the config of that id; False when there is none."""


@dataclass(frozen=True, slots=True)
class EngineConfigs:
    """The configs of a real Swarm.

    Args:
        client: a client of a manager's engine.
        timeout: seconds after which a call that is not answered is given up.
    """

    client: docker.DockerClient
    timeout: float = CALL_SECONDS

    def find(self, key: str) -> Config | None:
        """Return the config of that id or name, or None."""
        raw = self._call("GET", f"/{key}", pass_over=_NOT_FOUND)
        config = Config.parse(raw) if raw is not None else None
        return config if config and key in (config.id, config.name) else None

    def with_label(self, label: str) -> tuple[Config, ...]:
        """Return every config with that label."""
        found = self.client.api.configs(filters={"label": label})  # type: ignore[no-untyped-call]  # stubs lack it
        return tuple(Config.parse(raw) for raw in found)

    def create(self, name: str, labels: Mapping[str, str]) -> str:
        """Make a config and return its id, or "" when there is one of that name."""
        spec = {"Name": name, "Labels": dict(labels), "Data": _DATA}
        raw = self._call("POST", "/create", spec=spec, pass_over=_CONFLICT)
        return str(raw["ID"]) if raw is not None else ""

    def update(self, config: Config, labels: Mapping[str, str]) -> bool:
        """Replace the labels; False when it was changed since that look, or is gone."""
        spec = {"Name": config.name, "Labels": dict(labels), "Data": _DATA}
        path = f"/{config.id}/update?version={config.version}"
        try:
            return self._call("POST", path, spec=spec, pass_over=_NOT_FOUND) is not None
        except APIError as error:
            if _STALE in str(error.explanation or error):
                return False
            raise

    def remove(self, identity: str) -> bool:
        """Remove the config of that id; False when there is none."""
        return self._call("DELETE", f"/{identity}", pass_over=_NOT_FOUND) is not None

    def _call(
        self, method: str, path: str, *, spec: object = None, pass_over: int
    ) -> Mapping[str, Any] | None:
        # By hand, because the SDK has no update of configs, and its time-out is that of a deploy.
        api = self.client.api
        url = f"{api.base_url}/v{api.api_version}/configs{path}"
        answer = api.request(method, url, json=spec, timeout=stretched(self.timeout))
        if answer.status_code == pass_over:
            return None
        try:
            answer.raise_for_status()
        except requests.HTTPError as error:
            create_api_error_from_http_exception(error)
        return answer.json() if answer.content else {}
