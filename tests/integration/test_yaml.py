"""What docker reads is read, and the same comes of it: compared with `docker stack config` here.

The client alone is asked, no engine. What it makes of a recipe's files has to be what it makes of
the one file that the harness writes. Files that docker refuses are refused at the deploy in
docker's own words, so a reader that is more lenient does no harm; one that is stricter, or that
reads something else, fails a recipe for a false reason or looks for its data in the wrong place.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import HarnessError
from harness.platforms import stackfile
from harness.platforms.base import Revision, Target
from harness.platforms.override import Machine, build
from harness.recipes import formats
from harness.recipes.compose import Compose, load
from tests.integration.rendering import as_docker_reads, rendered, without_ignored
from tests.unit.committed import committed

pytestmark = pytest.mark.timeout(300)

FORMS = Path(__file__).with_name("yaml_forms.txt")
APP = "version: '3.8'\nservices:\n  app:\n    image: nginx:1\n"
ANCHORED = (
    "x-c: &c {image: 'nginx:1', labels: {a: b}}\nx-d: &d {image: z, hostname: h}\nservices:\n"
)
DECLARED = (
    "volumes: {data: }\nnetworks: {proxy: {external: true}}\n"
    "secrets: {s: {external: true}}\nconfigs: {c: {external: true}}\n"
)
WHOLE = {
    "crlf": APP.replace("\n", "\r\n"),
    "bom": "\ufeff" + APP,
    "two documents": APP + "---\nservices: {b: {image: x}}\n",
    "an end and more": APP + "...\njunk: [\n",
    "starts": "---\n" + APP,
    "1.1": "%YAML 1.1\n---\n" + APP,
    "json": '{"services": {"app": {"image": "x"}}}',
    "empty": "",
    "a service twice": "services: {app: {image: x}, app: {image: y}}\n",
    "no version": "services: {app: {image: x}}\n",
    "version 3.14": "version: '3.14'\nservices: {app: {image: x}}\n",
    "merge": ANCHORED + "  app:\n    <<: *c\n    image: y\n",
    "merge behind": ANCHORED + "  app:\n    image: y\n    <<: *c\n",
    "merge of two": ANCHORED + "  app:\n    <<: [*c, *d]\n",
    "merge of itself": "x-a: &a\n  <<: *a\n  b: c\n" + APP,
    "a chain": "x-a: &a {image: i}\nx-b: &b {<<: *a, hostname: h}\nservices: {app: *b}\n",
    "an alias": "services:\n  app: &a {image: i}\n  b: *a\n",
    "an anchor twice": "x-a: &a {image: i}\nx-b: &a {image: j}\nservices: {app: *a}\n",
    "an alias of a list": "x-l: &l ['80:80']\nservices: {app: {image: i, ports: *l}}\n",
    "an anchor in itself": "x-a: &a {b: *a}\n" + APP,
}
# What the forms `later` come after: a file with a check, a port, a volume and a label.
FIRST = (
    APP + "    healthcheck: {test: [CMD, x]}\n    ports: ['80:80']\n    volumes: ['data:/d']\n"
    "    deploy: {labels: {a: 1}}\n" + DECLARED
)


def files() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the name and the files of each case."""
    for line in FORMS.read_text().splitlines():
        kind, _, form = line.partition(" ")
        if kind == "value":
            yield line, (f"{APP}    deploy:\n      labels:\n        a: {form}\n",)
            yield f"item {form}", (f"{APP}    deploy:\n      labels:\n        - a={form}\n",)
        elif kind == "service":
            yield line, (f"{APP}    {form}\n{DECLARED}",)
        elif kind == "top":
            yield line, (f"{APP}{form}\n",)
        elif kind == "later":
            yield line, (FIRST, f"version: '3.8'\nservices: {{app: {form}}}\n{DECLARED}")
    for name, text in WHOLE.items():
        yield name, (text,)


def shown(services: Mapping[str, Any], sections: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of docker's answer that the harness reads, too."""
    found: dict[str, Any] = {}
    for name, one in services.items():
        deploy, check = one.get("deploy") or {}, one.get("healthcheck") or {}
        mounts = one.get("volumes") or []
        off = check.get("disable") == "true" or check.get("test") == ["NONE"]
        found[name] = {
            "image": one["image"],
            "labels": deploy.get("labels") or {},
            "container labels": one.get("labels") or {},
            "mode": deploy.get("endpoint_mode", "vip"),
            "check": () if off else tuple(check.get("test") or ()),
            "networks": sorted(one.get("networks") or ["default"]),
            "secrets": sorted(item["source"] for item in one.get("secrets") or []),
            "configs": sorted(item["source"] for item in one.get("configs") or []),
            "mounts": sorted(
                (m["type"], "" if m["type"] == "bind" else m.get("source", ""), m["target"],
                 m.get("read_only", "false")) for m in mounts
            ),
            "ports": sorted(
                (p.get("target", ""), p.get("published", ""), p.get("protocol", "tcp"),
                 p.get("mode", "ingress")) for p in one.get("ports") or []
            ),
        }  # fmt: skip
    for section, resources in sections.items():
        for key, raw in (resources or {}).items():
            external = (raw or {}).get("external") == "true"
            name = (raw or {}).get("name", "")
            found[f"{section} {key}"] = ("" if external and name == key else name, external)
    found.pop("networks default", None)
    return found


def as_we_read(compose: Compose) -> dict[str, Any]:
    """Return the same of what the harness reads."""
    found: dict[str, Any] = {}
    for name, one in compose.services.items():
        found[name] = {
            "image": one.image,
            "labels": dict(one.labels),
            "container labels": dict(one.container_labels),
            "mode": one.endpoint_mode,
            "check": () if one.check == ("NONE",) else one.check,
            "networks": sorted(one.networks),
            "secrets": sorted(one.secrets),
            "configs": sorted(one.configs),
            "mounts": sorted(
                (m.kind, "" if m.kind == "bind" else m.source, m.target, str(m.read_only).lower())
                for m in one.mounts
            ),
            "ports": sorted((p.target, p.published, p.protocol, p.mode) for p in one.ports),
        }
    for section in ("volumes", "networks", "secrets", "configs"):
        for key, one in getattr(compose, section).items():
            name = "" if one.external and one.name == key else one.name
            found[f"{section} {key}"] = (name, one.external)
    return found


def difference(place: Path, texts: tuple[str, ...]) -> str:
    """Return how docker and the harness differ about files; empty where they agree."""
    place.mkdir()
    (place / "x.env").write_text("A=1\n")
    (place / "x").write_text("x")
    names = tuple(f"{number}.yml" for number in range(len(texts)))
    for name, text in zip(names, texts, strict=True):
        (place / name).write_bytes(text.encode())
    docker = as_docker_reads(place, names)
    if docker is None:
        return ""
    try:
        compose = load(committed(place), ":".join(names), {})
    except HarnessError as error:
        return f"docker reads it, and we refuse it: {error.what}"
    ours = as_we_read(compose)
    sections = {name: docker.get(name) for name in ("volumes", "networks", "secrets", "configs")}
    theirs = shown(docker["services"], sections)
    if ours != theirs:
        return f"docker: {theirs}\n  ours:   {ours}"
    deployed = as_docker_reads(place, (rendered(compose, place),))
    wanted = without_ignored(docker)
    return "" if deployed == wanted else f"docker: {wanted}\n  ours:   {deployed}"


def test_what_docker_reads_is_read_in_the_same_way(tmp_path: Path) -> None:
    """Over some 280 files, each with one form that recipes use or could use."""
    cases = dict(files())
    assert len(cases) > 250

    def one(item: tuple[int, tuple[str, ...]]) -> str:
        return difference(tmp_path / str(item[0]), item[1])

    with ThreadPoolExecutor(max_workers=4) as pool:
        found = dict(zip(cases, pool.map(one, enumerate(cases.values())), strict=True))
    wrong = {name: how for name, how in found.items() if how}
    assert not wrong, "\n".join(f"{name}: {how}" for name, how in wrong.items())


# One use of each key that came with a later format than the first.
KEYS = {
    "services.a.secrets": ("secrets: [s]", "secrets: {s: {external: true}}"),
    "services.a.deploy.endpoint_mode": ("deploy: {endpoint_mode: vip}", ""),
    "services.a.configs": ("configs: [c]", "configs: {c: {external: true}}"),
    "services.a.credential_spec": ("credential_spec: {file: x}", ""),
    "services.a.deploy.placement.preferences": (
        "deploy: {placement: {preferences: [{spread: node.id}]}}", ""),
    "services.a.deploy.update_config.order": ("deploy: {update_config: {order: start-first}}", ""),
    "services.a.healthcheck.start_period": ("healthcheck: {start_period: 1s}", ""),
    "services.a.deploy.resources.reservations.generic_resources": (
        "deploy: {resources: {reservations: {generic_resources: []}}}", ""),
    "services.a.isolation": ("isolation: default", ""),
    "services.a.deploy.rollback_config": ("deploy: {rollback_config: {parallelism: 1}}", ""),
    "services.a.init": ("init: true", ""),
    "services.a.credential_spec.config": (
        "credential_spec: {config: c}", "configs: {c: {external: true}}"),
    "services.a.deploy.placement.max_replicas_per_node": (
        "deploy: {placement: {max_replicas_per_node: 1}}", ""),
    "services.a.deploy.resources.limits.pids": ("deploy: {resources: {limits: {pids: 1}}}", ""),
    "networks.n.attachable": ("networks: [n]", "networks: {n: {attachable: true}}"),
    "configs.c.template_driver": (
        "configs: [c]", "configs: {c: {file: ./x, template_driver: golang}}"),
    "secrets.s.template_driver": (
        "secrets: [s]", "secrets: {s: {file: ./x, template_driver: golang}}"),
    "secrets.s.driver": ("secrets: [s]", "secrets: {s: {driver: d}}"),
    "volumes.v.name": ("volumes: ['v:/v']", "volumes: {v: {name: w}}"),
    "networks.n.name": ("networks: [n]", "networks: {n: {name: w}}"),
    "configs.c.name": ("configs: [c]", "configs: {c: {file: ./x, name: w}}"),
    "secrets.s.name": ("secrets: [s]", "secrets: {s: {file: ./x, name: w}}"),
}  # fmt: skip


@pytest.mark.parametrize("version", sorted(formats.OLDER))
def test_keys_that_a_format_does_not_know_are_told_as_docker_does(
    tmp_path: Path, version: str
) -> None:
    """The harness writes older formats as a newer one, in which docker would take them."""
    assert {key.replace(".a.", ".").split(".", 1)[-1] for key in KEYS} >= {*formats.SERVICES}
    (tmp_path / "x").write_text("x")
    for key, (service, rest) in KEYS.items():
        text = f"version: '{version}'\nservices: {{a: {{image: i, {service}}}}}\n{rest}\n"
        (tmp_path / "compose.yml").write_text(text)
        told = dict(formats.too_new(load(committed(tmp_path), "compose.yml", {})))
        docker = as_docker_reads(tmp_path, ("compose.yml",))
        assert (docker is None) == bool(told), (version, key, told)
        assert not told or key in told


def test_short_ports_and_mounts_are_read_in_the_first_format(tmp_path: Path) -> None:
    """They are written in their long forms, which docker knows from 3.2 on."""
    (tmp_path / "compose.yml").write_text(
        "version: '3.0'\nservices: {a: {image: i, ports: ['80:80'], volumes: ['data:/v']}}\n"
        "volumes: {data: }\n"
    )
    compose = load(committed(tmp_path), "compose.yml", {})
    target = Target(recipe="r", run="run1", scope="s", domain="r-1.test")
    revision = Revision(files=compose.source, commit="0" * 40, chaos=False)
    override, _ = build(compose, target, revision, Machine(dnsrr=False))
    path = stackfile.write(compose, override, tmp_path / "stack")
    found = as_docker_reads(path.parent, (path.name,))
    assert [port["target"] for port in found["services"]["a"]["ports"]] == ["80"]
    assert [mount["source"] for mount in found["services"]["a"]["volumes"]] == ["data"]
