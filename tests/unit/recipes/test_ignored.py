"""Options that `docker stack deploy` ignores, by service."""

from pathlib import Path

import pytest

from harness.core.model import WarningCode
from harness.recipes.compose import load
from harness.recipes.ignored import ignored, not_replaced, warnings
from tests.unit.committed import committed

FIRST = """
services:
  app:
    image: nginx:1
    restart: always
    privileged: true
    tmpfs: [/x]
    container_name: fixed
    expose: ["80"]
    depends_on: [db]
    sysctls: {a: 1}
  db: {image: "postgres:15", volumes: [{type: tmpfs, target: /x}]}
"""
SECOND = """
services:
  app: {devices: [/dev/x]}
volumes: {restart: null}
"""


def test_options_are_found_in_every_file_by_service(tmp_path: Path) -> None:
    """What is obeyed, or changes nothing in a Swarm, is not told; docker is given none of it."""
    (tmp_path / "a.yml").write_text(FIRST)
    (tmp_path / "b.yml").write_text(SECOND)
    compose = load(committed(tmp_path), "a.yml:b.yml", {})
    assert ignored(compose.options) == {
        "app": ("container_name", "devices", "privileged", "restart", "tmpfs")
    }
    # docker says that it ignores `restart`, and obeys it
    assert compose.services["app"].raw.keys() == {"image", "restart", "depends_on", "sysctls"}


def test_what_docker_itself_names_counts_too() -> None:
    """A later version of docker may ignore more."""
    options = {"app": frozenset({"image", "devices", "new_option"}), "db": frozenset({"image"})}
    said = "Creating network x\nIgnoring unsupported options: devices, new_option\n\nmore, words\n"
    assert ignored(options, said) == {"app": ("devices", "new_option")}


def test_a_warning_names_the_service_and_what_to_use_instead() -> None:
    """One for each service."""
    (warning,) = warnings({"app": ("ipc", "restart")})
    assert warning.code is WarningCode.OPTION_IGNORED
    assert warning.text == "docker stack deploy ignores ipc, restart of service app"
    assert warning.next == "remove it; restart: use deploy.restart_policy"


BASE = """
services:
  app:
    image: nginx:1
    environment: {MODE: public, SIZE: "1"}
    healthcheck: {test: [CMD, "true"], interval: 5s, retries: 3}
    stop_grace_period: 2s
    init: true
    cap_add: [NET_ADMIN]
    deploy: {replicas: 2, labels: {a: "1"}, placement: {constraints: [node.role == manager]}}
  db: {image: "postgres:15"}
"""


@pytest.mark.parametrize(
    ("later", "said"),
    [
        ("healthcheck: {test: [CMD, curl, localhost]}", "healthcheck.test are added to"),
        ("healthcheck: {test: exit 0}", "healthcheck.test are added to"),
        ("healthcheck: {test: [NONE]}", "healthcheck.test are added to"),
        ('environment: {MODE: ""}', "environment.MODE replaces nothing"),
        ("environment: [MODE=]", "environment.MODE replaces nothing"),
        ("init: false", "init replaces nothing"),
        ("stop_grace_period: 0s", "stop_grace_period replaces nothing"),
        ("healthcheck: {interval: 0s}", "healthcheck.interval replaces nothing"),
        ("healthcheck: {interval: 1s, retries: 0}", ""),
        ("environment: {MODE: private, NEW: ''}", ""),
        ("deploy: {replicas: 0, labels: {a: ''}}", ""),
        ("deploy: {placement: {constraints: [node.labels.x == 1]}}", ""),
        ("cap_add: [SYS_TIME]", ""),
        ("image: nginx:2", ""),
        ("command: ''", ""),
        ("{}", ""),
    ],
)
def test_what_a_later_file_does_not_replace_is_a_warning(
    tmp_path: Path, later: str, said: str
) -> None:
    """Docker joins the words of health checks, and keeps a value that is to become empty."""
    (tmp_path / "a.yml").write_text(BASE)
    (tmp_path / "b.yml").write_text(f"services:\n  app:\n    {later}\n  db: {{init: true}}\n")
    compose = load(committed(tmp_path), "a.yml:b.yml", {})
    assert not load(committed(tmp_path), "a.yml", {}).kept
    found = not_replaced(compose.kept)
    assert [one.code for one in found] == ([WarningCode.NOT_REPLACED] if said else [])
    assert all(one.text.startswith("service app: in b.yml, ") and said in one.text for one in found)
