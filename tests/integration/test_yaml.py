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

from harness.errors import HarnessError
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
