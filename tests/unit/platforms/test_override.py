"""What is laid over a recipe: labels, and what this machine forces; nothing else."""

from pathlib import Path

import pytest

from harness.core.model import Adaptation
from harness.platforms.base import Revision, Target
from harness.platforms.override import Machine, build, machine_for
from harness.recipes.compose import Compose, load
from tests.unit.committed import committed

COMPOSE = """
version: "3.8"
services:
  app:
    image: nginx:1.27
    networks: [proxy, internal]
    volumes: ["data:/data"]
    configs: [conf]
  db:
    image: postgres:15
    deploy: {endpoint_mode: dnsrr}
networks:
  proxy: {external: true}
  internal: {driver: overlay}
volumes:
  data: {labels: {mine: "yes"}}
  shared: {external: true}
configs:
  conf: {name: "${STACK_NAME}_conf_v1", file: ./conf, template_driver: golang}
"""
TARGET = Target(recipe="r", run="run1", scope="scope1", domain="a-b.c.test")
OWN = {"ccci.run": "run1", "ccci.scope": "scope1", "ccci.stack": "a-b_c_test"}


def compose(tmp_path: Path) -> Compose:
    """Return the compose file as data."""
    (tmp_path / "compose.yml").write_text(COMPOSE)
    (tmp_path / "conf").write_text("x")
    return load(committed(tmp_path), "", {"STACK_NAME": TARGET.stack})


def revision(tmp_path: Path, *, chaos: bool) -> Revision:
    """Return a revision."""
    return Revision(files=committed(tmp_path), commit="0123456789" * 4, chaos=chaos)


def test_the_stack_is_the_domain_with_its_dots_turned() -> None:
    """Hyphens stay."""
    assert TARGET.stack == "a-b_c_test"


def test_a_release_is_marked_pinned_and_a_head_by_its_commit(tmp_path: Path) -> None:
    """By eight digits of it."""
    files = compose(tmp_path)
    machine = Machine(dnsrr=False)
    pinned, _ = build(files, TARGET, revision(tmp_path, chaos=False), machine)
    labels = pinned["services"]["app"]["deploy"]["labels"]
    assert labels["coop-cloud.a-b_c_test.recipe"] == "r"
    assert labels["coop-cloud.a-b_c_test.chaos"] == "false"
    assert "coop-cloud.a-b_c_test.chaos-version" not in labels
    made, _ = build(files, TARGET, revision(tmp_path, chaos=True), machine)
    labels = made["services"]["app"]["deploy"]["labels"]
    assert labels["coop-cloud.a-b_c_test.chaos"] == "true"
    assert labels["coop-cloud.a-b_c_test.chaos-version"] == "01234567"


def test_everything_that_is_made_carries_the_runs_labels(tmp_path: Path) -> None:
    """Services and their containers, networks, volumes, configs; nothing that was there before."""
    made, _ = build(
        compose(tmp_path), TARGET, revision(tmp_path, chaos=False), Machine(dnsrr=False)
    )
    for service in made["services"].values():
        assert service["labels"] == OWN
        assert OWN.items() <= service["deploy"]["labels"].items()
    assert made["networks"] == {
        "default": {"labels": OWN},
        "internal": {"driver": "overlay", "labels": OWN},
        "proxy": {"external": True, "name": f"{TARGET.stack}_ccci-proxy"},
    }
    assert made["volumes"] == {"data": {"labels": {"mine": "yes", **OWN}}}


def test_a_resource_keeps_its_whole_definition(tmp_path: Path) -> None:
    """A later compose file replaces a resource as a whole: without its file, it would be gone."""
    made, _ = build(
        compose(tmp_path), TARGET, revision(tmp_path, chaos=False), Machine(dnsrr=False)
    )
    assert made["configs"]["conf"] == {
        "name": "a-b_c_test_conf_v1", "file": "./conf", "template_driver": "golang", "labels": OWN,
    }  # fmt: skip


def test_nothing_is_adapted_on_a_machine_that_needs_nothing(tmp_path: Path) -> None:
    """Labels are not an adaptation; an image or an endpoint would be."""
    made, notes = build(
        compose(tmp_path), TARGET, revision(tmp_path, chaos=False), Machine(dnsrr=False)
    )
    assert notes == ()
    for service in made["services"].values():
        assert set(service) == {"labels", "deploy"}
        assert set(service["deploy"]) == {"labels"}


def test_what_this_machine_forces_is_laid_over_and_said(tmp_path: Path) -> None:
    """Only where the recipe does not have it so already."""
    machine = Machine(dnsrr=True, images={"nginx:1.27": "localhost/cc-ci/nginx:1.27"})
    made, notes = build(compose(tmp_path), TARGET, revision(tmp_path, chaos=False), machine)
    assert made["services"]["app"]["image"] == "localhost/cc-ci/nginx:1.27"
    assert made["services"]["app"]["deploy"]["endpoint_mode"] == "dnsrr"
    assert "image" not in made["services"]["db"]
    assert "endpoint_mode" not in made["services"]["db"]["deploy"]
    assert [(note.kind, note.subject) for note in notes] == [("endpoint-mode", "app")]
    assert all(isinstance(note, Adaptation) for note in notes)


def test_services_whose_endpoint_mode_was_changed_say_so(tmp_path: Path) -> None:
    """What fails for it later is then not blamed on the recipe."""
    made, _ = build(compose(tmp_path), TARGET, None, Machine(dnsrr=True))
    labels = {name: one["deploy"]["labels"] for name, one in made["services"].items()}
    assert labels["app"]["ccci.endpoint-mode"] == "dnsrr"
    assert "ccci.endpoint-mode" not in labels["db"], "the recipe itself asks for it"


@pytest.mark.parametrize(
    ("host", "socket"),
    [
        ("unix:///cache/docker.sock", "/cache/docker.sock"),
        ("unix:///var/run/docker.sock", ""),
        ("tcp://10.0.0.1:2376", ""),
        ("", ""),
    ],
)
def test_a_recipe_that_mounts_the_engines_socket_gets_that_of_the_engine_in_use(
    tmp_path: Path, host: str, socket: str
) -> None:
    """A private engine's is elsewhere: the usual path is missing there, or another engine's."""
    usual = "/var/run/docker.sock:/run/docker.sock:ro"
    (tmp_path / "compose.yml").write_text(
        f"services: {{app: {{image: n, volumes: ['{usual}', '/etc/hosts:/x']}}, b: {{image: n}}}}"
    )
    files = load(committed(tmp_path), "", {})
    machine, _ = machine_for(
        files, lambda image: (image, None), dnsrr=False, environ={"DOCKER_HOST": host}
    )
    assert machine.socket == socket
    made, adapted = build(files, TARGET, None, machine)
    mount = {"type": "bind", "source": socket, "target": "/run/docker.sock", "read_only": True}
    assert made["services"]["app"].get("volumes", []) == ([mount] if socket else [])
    assert [(one.kind, one.subject) for one in adapted] == [("engine-socket", "app")] * bool(socket)
