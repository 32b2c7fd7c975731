"""Recipes that must go red, for the right reason: a check that cannot fail checks nothing."""

from pathlib import Path

import pytest

from tests.integration.conftest import Harness
from tests.integration.support import RecipeRepo, recipe_files

CRASH = {"    networks: [proxy]\n": '    command: ["sh", "-c", "echo going down; exit 3"]\n'
         "    networks: [proxy]\n"}  # fmt: skip


def repo_with(tmp_path: Path, base: dict[str, str], head: dict[str, str]) -> Path:
    """Return a recipe with one release and a head, from changes to the compose file."""
    repo = RecipeRepo.make(tmp_path / "made")
    repo.commit(recipe_files("1.0.0+1", **base), tag="1.0.0+1")
    repo.commit(recipe_files("1.1.0+1", **head))
    return repo.path


def test_a_crash_loop_fails_long_before_its_time_out(harness: Harness, tmp_path: Path) -> None:
    """With the exit code, the app's last words, and the command that repeats it."""
    restart = {"    deploy:\n": "    deploy:\n      restart_policy: {delay: 0s}\n", **CRASH}
    call = harness(str(repo_with(tmp_path, restart, restart)), "--stages", "install")
    assert call.code == 1, call.text
    reason = call.stage("install")["reason"]
    assert "crashed 4 times in a row" in reason
    assert "non-zero exit (3)" in reason
    assert "going down" in call.text
    assert f"again    nox -s e2e -- {tmp_path}/made --stages install --keep" in call.text


def test_an_app_that_is_not_started_again_fails_at_once(harness: Harness, tmp_path: Path) -> None:
    """A restart policy of none: there is nothing to wait for."""
    once = {"    deploy:\n": "    deploy:\n      restart_policy: {condition: none}\n", **CRASH}
    call = harness(str(repo_with(tmp_path, once, once)), "--stages", "install")
    assert call.code == 1, call.text
    assert "is not started again" in call.stage("install")["reason"]


def test_a_release_that_declares_no_version_fails_the_install(
    harness: Harness, tmp_path: Path
) -> None:
    """The label tells operators and tools what runs."""
    repo = RecipeRepo.make(tmp_path / "made")
    repo.commit(recipe_files(""), tag="1.0.0+1")
    repo.commit(recipe_files("1.1.0+1"))
    call = harness(str(repo.path), "--stages", "upgrade")
    assert call.code == 1, call.text
    assert "test_the_version_label" in call.stage("install")["reason"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({'"backupbot.backup=true"': '"backupbot.backup=true"\n        - '
          '"backupbot.backup.volumes.contend=false"'}, "names no volume"),
        ({'"backupbot.backup=true"': '"backupbot.backup=true"\n        - '
          '"backupbot.backup.volumes.content.path=nothing-here"'}, "does not exist"),
    ],
    ids=["volume-misspelt", "path-missing"],
)  # fmt: skip
def test_a_backup_that_would_save_nothing_fails(
    change: dict[str, str], said: str, harness: Harness, tmp_path: Path
) -> None:
    """Each of these exits 0 with a naive tool."""
    repo = RecipeRepo.make(tmp_path / "made")
    repo.commit(recipe_files("1.0.0+1", **change))
    call = harness(str(repo.path), "--stages", "backup")
    assert call.code == 1, call.text
    assert call.outcomes["install"] == "passed"
    assert said in call.stage("backup")["reason"]


def test_docker_refuses_what_it_does_not_know(harness: Harness, tmp_path: Path) -> None:
    """Its own words are shown; the recipe has failed."""
    repo = RecipeRepo.make(tmp_path / "made")
    repo.commit(recipe_files("1.0.0+1", **{"    networks: [proxy]\n": "    networks: [proxy]\n"
                                           "    no_such_key: 1\n"}))  # fmt: skip
    call = harness(str(repo.path), "--stages", "install")
    assert call.code == 1, call.text
    assert "no_such_key" in call.text
