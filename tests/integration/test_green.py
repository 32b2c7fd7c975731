"""Recipes that are fine and awkward: none of them may ever go red."""

from pathlib import Path

import pytest

from tests.integration.conftest import Harness
from tests.integration.support import RecipeRepo, recipe_files

HEALTH = (
    "    healthcheck:\n"
    '      test: ["CMD", "curl", "-fsS", "-o", "/dev/null", "http://127.0.0.1/"]\n'
    "      interval: 1s\n      retries: 3\n"
)
SITE = "/usr/share/nginx/html"
NETWORKED = "    networks: [proxy]\n"
NGINX = "exec nginx -g 'daemon off;'"


def command(script: str) -> str:
    """Return the lines of a service that runs a script, without a health check."""
    return f'    command: ["sh", "-c", "{script}"]\n'


AWKWARD = {
    "crashes-once-at-first": {
        HEALTH: command(f"cd {SITE}; test -e x || {{ touch x; exit 1; }}; {NGINX}")
    },
    "listens-late-without-a-health-check": {HEALTH: command(f"sleep 8; {NGINX}")},
    "asks-for-a-login": {
        HEALTH: command(
            "printf 'server { listen 80; location / { return 401; } }'"
            f" > /etc/nginx/conf.d/default.conf; {NGINX}"
        )
    },
    "publishes-a-port": {NETWORKED: f'{NETWORKED}    ports: ["22222:80"]\n'},
    "has-a-second-empty-volume": {
        '["content:/usr/share/nginx/html"]': '["content:/usr/share/nginx/html", "more:/srv/more"]',
        "volumes:\n  content:\n": "volumes:\n  content:\n  more:\n",
    },
    "has-an-anonymous-volume": {
        '["content:/usr/share/nginx/html"]': '["content:/usr/share/nginx/html", "/srv/scratch"]'
    },
    "has-a-one-shot-service": {
        "networks:\n  proxy: {external: true}\n": "  once:\n    image: nginx:1.27.4\n"
        '    command: ["sh", "-c", "exit 0"]\n    networks: [proxy]\n'
        "    deploy: {restart_policy: {condition: none}}\n"
        "networks:\n  proxy: {external: true}\n"
    },
    "has-a-service-scaled-to-nothing": {
        "networks:\n  proxy: {external: true}\n": "  cron:\n    image: nginx:1.27.4\n"
        "    networks: [proxy]\n    deploy: {replicas: 0}\n"
        "networks:\n  proxy: {external: true}\n"
    },
}  # fmt: skip


BACKED_UP = ("has-a-second-empty-volume", "has-an-anonymous-volume")
# The truth table has a row that is close to each of these.
NIGHTLY = (
    "crashes-once-at-first", "has-a-one-shot-service", "has-a-second-empty-volume",
    "has-a-service-scaled-to-nothing",
)  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.nightly] if name in NIGHTLY else [])
        for name in AWKWARD
    ],
)
def test_an_awkward_recipe_passes(name: str, harness: Harness, tmp_path: Path) -> None:
    """Upgraded to a head that differs in every service, and restored if it has more volumes."""
    repo = RecipeRepo.make(tmp_path / "made")
    changes = AWKWARD[name]
    repo.commit(recipe_files("1.0.0+1", **changes), tag="1.0.0+1")
    head = recipe_files("1.1.0+1", **changes)
    head["compose.yml"] = head["compose.yml"].replace(
        "    image: nginx:1.27.4\n", '    image: nginx:1.27.4\n    environment: ["CHANGED=1"]\n'
    )
    repo.commit(head)
    stages = "upgrade,restore" if name in BACKED_UP else "upgrade"
    call = harness(str(repo.path), "--stages", stages, "--trust")  # one publishes a port
    assert call.code == 0, call.text
    assert set(call.outcomes.values()) == {"passed"}


def test_a_head_may_add_a_secret_and_drop_a_service(harness: Harness, tmp_path: Path) -> None:
    """The secret is made as the release notes tell; the service runs on, as with abra."""
    repo = RecipeRepo.make(tmp_path / "made")
    old = "  old:\n    image: nginx:1.27.4\n    networks: [proxy]\n"
    networks = "networks:\n  proxy: {external: true}\n"
    repo.commit(recipe_files("1.0.0+1", **{networks: old + networks}), tag="1.0.0+1")
    wanted = "secrets:\n  key: {external: true, name: '${STACK_NAME}_key_${SECRET_KEY_VERSION}'}\n"
    head = recipe_files(
        "1.1.0+1",
        **{
            networks: networks + wanted,
            NETWORKED: f"{NETWORKED}    secrets: [key]\n",
        },
    )
    repo.commit(
        {**head, ".env.sample": head[".env.sample"] + "SECRET_KEY_VERSION=v1 # length=12\n"}
    )
    call = harness(str(repo.path), "--stages", "upgrade")
    assert call.code == 0, call.text
