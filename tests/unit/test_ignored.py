"""Options that `docker stack deploy` ignores, by service."""

from pathlib import Path

from harness.model import WarningCode
from harness.recipes.compose import load
from harness.recipes.ignored import ignored, warnings
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
