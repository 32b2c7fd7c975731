"""The environment of an app: from the sample file when it is made, from abra.sh at each deploy."""

from pathlib import Path

import pytest

from harness.core.errors import InvalidRecipeError, RefusedError
from harness.platforms.base import Target
from harness.platforms.environment import (
    AppEnvironment,
    declared_version,
    label,
    timeout_label,
    version_label,
)
from harness.recipes.compose import load
from tests.unit.committed import committed

TARGET = Target(recipe="r", run="run1", scope="s", domain="made-1.a.test")
SAMPLE = """
TYPE=made
DOMAIN=made.example.com
GREETING="hello from $DOMAIN"
STACK_NAME=elsewhere
COMPOSE_FILE="compose.yml"
COMPOSE_FILE="$COMPOSE_FILE:compose.extra.yml"
#COMPOSE_FILE="$COMPOSE_FILE:compose.off.yml"
SECRET_DB_PASSWORD_VERSION=v1 # length=16
"""
COMPOSE = """
version: "3.8"
services:
  app:
    image: "app:${APP_TAG:-none}"
    deploy:
      labels:
        - "coop-cloud.${STACK_NAME}.version=1.2.0+3.4"
        - "greeting=${GREETING}"
"""
EXTRA = """
version: "3.8"
services:
  db:
    image: "db:1"
    deploy: {labels: {"only.here": "yes", "empty": ""}}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A checkout of a recipe."""
    files = {".env.sample": SAMPLE, "compose.yml": COMPOSE, "compose.extra.yml": EXTRA}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_domain_and_the_stack_are_the_runs_own(recipe: Path) -> None:
    """Whatever the sample says."""
    values = AppEnvironment.of(committed(recipe), TARGET).values
    assert (values["DOMAIN"], values["STACK_NAME"]) == ("made-1.a.test", "made-1_a_test")
    assert values["TYPE"] == "made"


def test_the_samples_domain_is_replaced_wherever_it_stands(recipe: Path) -> None:
    """Or an app would send its visitors to example.com; what is no domain is left alone."""
    text = SAMPLE + "OTHER=www.made.example.com\nMAIL=me@example.com\n"
    (recipe / ".env.sample").write_text(text)
    values = AppEnvironment.of(committed(recipe), TARGET).values
    assert values["GREETING"] == "hello from made-1.a.test"
    assert (values["OTHER"], values["MAIL"]) == ("www.made-1.a.test", "me@example.com")
    (recipe / ".env.sample").write_text("DOMAIN=e\nTYPE=made\n")
    assert AppEnvironment.of(committed(recipe), TARGET).values["TYPE"] == "made"


def test_what_the_recipes_meta_sets_goes_over_the_sample(recipe: Path) -> None:
    """And may add to it."""
    made = AppEnvironment.of(committed(recipe), TARGET, {"TYPE": "other", "NEW": "1"})
    assert (made.values["TYPE"], made.values["NEW"]) == ("other", "1")


def test_the_secrets_are_those_of_the_sample(recipe: Path) -> None:
    """With their modifiers."""
    (spec,) = AppEnvironment.of(committed(recipe), TARGET).secrets
    assert (spec.name, spec.version, spec.length) == ("db_password", "v1", 16)


def test_exports_are_those_of_the_commit_that_is_deployed(recipe: Path, tmp_path: Path) -> None:
    """The settings stay those of the first deploy, as an operator's file does."""
    made = AppEnvironment.of(committed(recipe), TARGET)
    assert "APP_TAG" not in made.at(committed(recipe))
    later = tmp_path / "later"
    later.mkdir()
    (later / "abra.sh").write_text("export APP_TAG=v2\nexport TYPE=set\nf() {\n export NO=1\n}\n")
    (later / ".env.sample").write_text("TYPE=later\nNEW=1\n")
    env = made.at(committed(later))
    assert (env["APP_TAG"], env["TYPE"]) == ("v2", "set")
    assert "NEW" not in env
    assert "NO" not in env
    assert made.values["TYPE"] == "made"


def test_the_compose_files_are_those_that_the_settings_name(recipe: Path) -> None:
    """An option that extends COMPOSE_FILE counts, one that is commented out does not."""
    (recipe / "abra.sh").write_text("export APP_TAG=v3\n")
    made = AppEnvironment.of(committed(recipe), TARGET)
    compose = made.compose(committed(recipe))
    assert compose.files == ("compose.yml", "compose.extra.yml")
    assert compose.services["app"].image == "app:v3"
    only = AppEnvironment.of(committed(recipe), TARGET, {"COMPOSE_FILE": ""}).compose(
        committed(recipe)
    )
    assert only.files == ("compose.yml",)


def test_a_label_is_found_on_whatever_service_has_it(recipe: Path) -> None:
    """Recipes put them on one service of several, not always on the first."""
    compose = AppEnvironment.of(committed(recipe), TARGET).compose(committed(recipe))
    assert label(compose, "only.here") == "yes"
    assert label(compose, "empty") == ""
    assert label(compose, "nowhere") == ""


def test_the_version_is_that_of_this_stack(recipe: Path) -> None:
    """A label with another stack's name in it declares nothing for this one."""
    compose = AppEnvironment.of(committed(recipe), TARGET).compose(committed(recipe))
    assert version_label(compose, TARGET.stack) == "1.2.0+3.4"
    assert str(declared_version(compose, TARGET.stack)) == "1.2.0+3.4"
    assert version_label(compose, "other") == ""
    assert declared_version(compose, "other") is None


@pytest.mark.parametrize("missing", ["compose.yml", ".env.sample"])
def test_what_no_recipe_can_do_without_is_named(recipe: Path, missing: str) -> None:
    """*failed*, with what to add; not a traceback about a file."""
    (recipe / missing).unlink()
    with pytest.raises(InvalidRecipeError, match=f"has no {missing}") as caught:
        AppEnvironment.of(committed(recipe), TARGET)
    assert missing in caught.value.hint


def test_a_secret_that_a_later_version_asks_for_is_made_besides(
    recipe: Path, tmp_path: Path
) -> None:
    """Its release notes tell an operator to; the secrets and settings of before stay."""
    made = AppEnvironment.of(committed(recipe), TARGET)
    later = tmp_path / "later"
    later.mkdir()
    (later / "compose.yml").write_text(COMPOSE)
    (later / ".env.sample").write_text(
        "TYPE=later\nSECRET_DB_PASSWORD_VERSION=v2\nSECRET_NEW_KEY_VERSION=v3 # length=5\n"
    )
    both = made.with_new_secrets(AppEnvironment.of(committed(later), TARGET))
    assert [spec.full_name("s") for spec in both.secrets] == ["s_db_password_v1", "s_new_key_v3"]
    assert both.values == {**made.values, "SECRET_NEW_KEY_VERSION": "v3"}
    assert both.with_new_secrets(AppEnvironment.of(committed(later), TARGET)) == both


@pytest.mark.parametrize("name", [".env.sample", "abra.sh"])
def test_a_link_that_leads_out_of_the_recipe_is_refused(
    recipe: Path, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    """What it names would end up in logs; one that stays inside is a file like others."""
    outside = tmp_path_factory.mktemp("outside") / "secret"
    outside.write_text("TYPE=stolen\n")
    path = recipe / name
    for target, fine in ((Path("inside"), True), (outside, False)):
        (recipe / "inside").write_text("TYPE=made\n")
        path.unlink(missing_ok=True)
        path.symlink_to(target)
        if fine:
            AppEnvironment.of(committed(recipe), TARGET).at(committed(recipe))
            continue
        with pytest.raises(RefusedError, match=f"{name} of the recipe leads out"):
            AppEnvironment.of(committed(recipe), TARGET).at(committed(recipe))


def test_abra_sh_in_another_encoding_is_read_as_far_as_it_goes(recipe: Path) -> None:
    """A comment in Latin-1 is no reason to fail a recipe."""
    (recipe / "abra.sh").write_bytes(b"# caf\xe9\nexport APP_TAG=v2\n")
    assert AppEnvironment.of(committed(recipe), TARGET).at(committed(recipe))["APP_TAG"] == "v2"


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("90", 90), ("90.5", 90.5), (" 600 ", 600), ("600s", 600), ("10m", 600), ("10 min", 600),
        ("1h", 3600), ("0h20m5s", 1205),
        # no run waits for longer
        ("7200", 3600), ("2h", 3600), ("9" * 5000 + "h", 3600), ("inf", 3600),
        ("", 300), ("0", 300), ("-5", 300), ("nan", 300), ("long", 300), ("10x", 300),
    ],
)  # fmt: skip
def test_how_long_a_recipe_may_take(tmp_path: Path, written: str, seconds: float) -> None:
    """What asks for more than the longest wait gets that, not the default, which is shorter."""
    (tmp_path / "compose.yml").write_text(
        "services:\n  app:\n    image: app:1\n    deploy:\n      labels:\n"
        f"        coop-cloud.made.timeout: '{written}'\n"
    )
    assert timeout_label(load(committed(tmp_path), "compose.yml", {}), "made") == seconds
