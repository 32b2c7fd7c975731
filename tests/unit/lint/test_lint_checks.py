"""The rules that are checked without abra: each one is broken by the recipe that breaks it."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from harness.backups.labels import BackupSpec
from harness.core.errors import BackupError
from harness.core.model import Outcome, RuleResult
from harness.lint.checks import CHECKS, Recipe, backup_labels, check
from harness.lint.rules import BACKUP, BY_NUMBER, RULES
from harness.swarm.states import ServiceState
from tests.unit.committed import committed

COMPOSE = """
version: "3.8"
services:
  app:
    image: nginx:1.28.0
    configs: [page]
    secrets: [password]
    healthcheck: {test: "true"}
    deploy: {labels: ["traefik.enable=true"]}
configs:
  page: {name: "${STACK_NAME}_page_${PAGE_VERSION}", file: page.html}
secrets:
  password: {external: true, name: "${STACK_NAME}_password_v1"}
"""
README = "# made\n<!-- metadata -->\n* **Category**: Apps\n* **Backups**:\n<!-- endmetadata -->\n"
GOOD = {
    "compose.yml": COMPOSE,
    ".env.sample": "TYPE=made\nDOMAIN=made.example.com\n",
    "abra.sh": "export PAGE_VERSION=v1\n",
    "README.md": README,
    "page.html": "<p>\n",
}


def checked(
    directory: Path, changes: dict[str, str | None], *lightweight: str
) -> dict[str, RuleResult]:
    """Return the rules' results, by number, for the good recipe with these files changed."""
    for name, text in {**GOOD, **changes}.items():
        if text is not None:
            (directory / name).write_text(text)
    return {rule.rule: rule for rule in check(Recipe.read(committed(directory), lightweight))}


def broken(results: dict[str, RuleResult]) -> dict[str, str]:
    """Return why rules are broken, by number."""
    return {n: rule.reason for n, rule in results.items() if rule.outcome is Outcome.FAILED}


def test_a_good_recipe_breaks_nothing_and_what_needs_a_network_is_not_checked(
    tmp_path: Path,
) -> None:
    """A rule that was not looked at must not count as one that holds."""
    found = checked(tmp_path, {})
    assert broken(found) == {}
    assert [n for n, rule in found.items() if rule.outcome is Outcome.SKIPPED] == ["R006", "R013"]
    assert found["R006"].reason == "not checked: it would have to ask the catalogue"


def test_every_rule_is_checked_or_says_what_it_needs() -> None:
    """A rule that is neither would fall out of the report unseen."""
    assert {rule.number for rule in RULES if not rule.needs} == set(CHECKS) - {BACKUP.number}
    assert list(BY_NUMBER) == [f"R{number:03}" for number in range(1, 16)]


@pytest.mark.parametrize(
    ("rule", "changes", "reason"),
    [
        ("R001", {"compose.yml": COMPOSE.replace('version: "3.8"', "")}, "no version"),
        ("R001", {"compose.yml": COMPOSE.replace("3.8", "3.7")}, "version 3.7"),
        (
            "R002",
            {"compose.yml": COMPOSE.replace('healthcheck: {test: "true"}', "")},
            "service app has none",
        ),
        ("R002", {"compose.yml": COMPOSE.replace('{test: "true"}', "{disable: true}")}, "app"),
        ("R003", {"compose.yml": COMPOSE.replace("nginx:1.28.0", "nginx")}, "nginx has none"),
        ("R003", {"compose.yml": COMPOSE.replace("nginx:1.28.0", "h.test:5000/nginx")}, "h.test"),
        (
            "R005",
            {"compose.yml": COMPOSE.replace("nginx:1.28.0", "nginx:stable")},
            "nginx:stable does not",
        ),
        ("R007", {"README.md": "# made\n"}, "no metadata"),
        ("R007", {"README.md": README.replace("Apps", "")}, "category is empty"),
        ("R007", {"README.md": None}, "no metadata"),
        ("R009", {"compose.yml": COMPOSE.replace("  app:", "  web:")}, "its services are web"),
        ("R010", {"compose.yml": COMPOSE.replace("enable=true", "enable=false")}, "traefik.enable"),
        ("R012", {"abra.sh": "export OTHER_VERSION=v1\n"}, "config page wants PAGE_VERSION"),
        ("R012", {"abra.sh": None}, "config page wants PAGE_VERSION"),
        (
            "R015",
            {"compose.yml": COMPOSE.replace("password", "long_password")},
            "long_password has 13",
        ),
    ],
)
def test_a_recipe_that_breaks_one_rule_breaks_that_one_alone(
    tmp_path: Path, rule: str, changes: dict[str, str | None], reason: str
) -> None:
    """The number is what a maintainer looks up: it has to be the right one."""
    found = broken(checked(tmp_path, changes))
    assert list(found) == [rule]
    assert reason in found[rule]


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ({"backupbot.backup": "yes"}, "neither true nor false"),
        ({"backupbot.backup": "true", "backupbot.backup.volumes.none": "false"}, "no volume of"),
        ({"backupbot.backup": "true", "backupbot.backup.volumes.d.path": "../x"}, "`..`"),
        ({"backupbot.backup.pre-hook": "dump"}, "no service has backupbot.backup=true"),
    ],
)
def test_backup_labels_that_would_do_something_else_are_a_broken_rule(
    tmp_path: Path, labels: dict[str, str], reason: str
) -> None:
    """A rule of our own, of the level that stops nothing: the backup stage judges what comes."""
    lines = "".join(f"\n        {name}: {value!r}" for name, value in labels.items())
    (tmp_path / "compose.yml").write_text(
        "services:\n  app:\n    image: i\n    volumes: [{type: volume, source: d, target: /d}]\n"
        f"    deploy:\n      labels:{lines}\nvolumes:\n  d:\n"
    )
    found = backup_labels(Recipe.read(committed(tmp_path), ()))
    assert (found.rule, found.level, found.outcome) == ("B001", "warn", Outcome.FAILED)
    assert reason in found.reason


@pytest.mark.parametrize(
    ("label", "well"),
    [
        ("volumes.shared", True),  # its name in the engine, which is all that a bot sees
        ("volumes.shared.path", True),
        ("volumes.data", False),  # its key
        ("volumes.own", True),
        ("volumes.stack_own", False),
        ("volumes.theirs", True),
        ("volumes.key", False),
        ("volumes.named", True),  # a name that is the usual one, written out
        ("volumes.unused", False),  # no service mounts it
    ],
)
def test_the_lint_and_the_backup_know_volumes_by_the_same_names(
    tmp_path: Path, label: str, *, well: bool
) -> None:
    """What the lint lets pass must not fail the backup, nor the other way round."""
    text = """services:
  app:
    image: i
    volumes: ['data:/d', 'own:/o', 'key:/k', 'named:/n', '/anonymous', '/etc:/host']
    deploy: {labels: {"backupbot.backup": "true", "backupbot.backup.%s": "false"}}
volumes:
  data: {name: shared}
  own:
  key: {external: true, name: theirs}
  named: {name: "${STACK_NAME}_named"}
  unused:
"""
    (tmp_path / "compose.yml").write_text(text % label)
    recipe = Recipe.read(committed(tmp_path), ())
    assert backup_labels(recipe).outcome is (Outcome.PASSED if well else Outcome.FAILED)
    deployed = {"shared": "/d", "stack_own": "/o", "theirs": "/k", "stack_named": "/n"}
    assert recipe.files.mounted("stack") == tuple(sorted(deployed))
    mounts = [{"Type": "volume", "Source": v, "Target": t} for v, t in deployed.items()]
    spec = {"Name": "stack_app", "Labels": dict(recipe.files.services["app"].labels)}
    spec |= {"TaskTemplate": {"ContainerSpec": {"Image": "i", "Mounts": mounts}}}
    service = ServiceState.parse({"ID": "1", "Spec": spec}, "stack")
    with nullcontext() if well else pytest.raises(BackupError, match="names no volume"):
        BackupSpec.of((service,), "stack")


def test_latest_is_no_version_either(tmp_path: Path) -> None:
    """An image of the tag `latest` breaks both rules about tags, and has one all the same."""
    found = broken(checked(tmp_path, {"compose.yml": COMPOSE.replace("1.28.0", "latest")}))
    assert list(found) == ["R004", "R005"]


@pytest.mark.parametrize(
    "image",
    [
        "nginx:1.27",
        "nginx:v2.1.0",
        "postgres:15-alpine",
        "r.test:5000/a/b:1.2.3_4",
        "x:1@sha256:ab",
    ],
)
def test_tags_of_real_images_look_like_versions(tmp_path: Path, image: str) -> None:
    """A rule that cries over every other image is switched off, and then says nothing."""
    assert broken(checked(tmp_path, {"compose.yml": COMPOSE.replace("nginx:1.28.0", image)})) == {}


def test_a_recipe_without_settings_is_told_so(tmp_path: Path) -> None:
    """And what is read from them is not checked, instead of found wrong or right."""
    found = checked(tmp_path, {".env.sample": None})
    assert list(broken(found)) == ["R008"]
    assert found["R010"].outcome is Outcome.SKIPPED


def test_a_recipe_without_a_domain_need_not_be_routed(tmp_path: Path) -> None:
    """Backup tools and the like have no page."""
    compose = COMPOSE.replace('deploy: {labels: ["traefik.enable=true"]}', "")
    found = checked(tmp_path, {"compose.yml": compose, ".env.sample": "TYPE=made\n"})
    assert broken(found) == {}
    assert found["R010"].outcome is Outcome.SKIPPED


def test_a_service_without_an_image_is_named_although_nothing_else_can_be_read(
    tmp_path: Path,
) -> None:
    """The compose files cannot be read then; the rest is *not checked*, with that reason."""
    found = checked(tmp_path, {"compose.yml": COMPOSE.replace("image: nginx:1.28.0", "")})
    assert broken(found) == {"R011": "service app has none"}
    assert found["R002"].outcome is Outcome.SKIPPED
    assert "has no image" in found["R002"].reason


def test_files_that_are_no_yaml_are_no_reason_to_pass(tmp_path: Path) -> None:
    """Nothing that reads them holds."""
    found = checked(tmp_path, {"compose.yml": "services: [\n"})
    assert broken(found) == {}
    passed = [number for number, rule in found.items() if rule.outcome is Outcome.PASSED]
    assert passed == ["R007", "R008", "R014"]


def test_each_lightweight_tag_is_named(tmp_path: Path) -> None:
    """A pinned deploy by abra refuses such a recipe."""
    found = broken(checked(tmp_path, {}, "1.0.0+1", "try"))
    assert found == {"R014": "1.0.0+1 is a lightweight one; try is a lightweight one"}


def test_a_link_out_of_the_recipe_is_not_followed(tmp_path: Path) -> None:
    """What it names is a file of this machine, and would end up in a report."""
    outside = tmp_path / "outside"
    outside.write_text(README)
    recipe = tmp_path / "recipe"
    recipe.mkdir()
    (recipe / "README.md").symlink_to(outside)
    found = checked(recipe, {"README.md": None})
    assert found["R007"].outcome is Outcome.SKIPPED
    assert "leads out of the recipe" in found["R007"].reason


def test_configs_of_overlays_are_looked_at_too(tmp_path: Path) -> None:
    """COMPOSE_FILE says which files a deploy takes."""
    sample = GOOD[".env.sample"] + 'COMPOSE_FILE="compose.yml:compose.more.yml"\n'
    more = 'version: "3.8"\nconfigs: {more: {name: "${STACK_NAME}_${MORE_VERSION}", file: a}}\n'
    found = broken(checked(tmp_path, {".env.sample": sample, "compose.more.yml": more}))
    assert found == {"R012": "config more wants MORE_VERSION"}
