"""Bad input: one clear message, the exit code of its kind, no traceback, nothing left behind."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.ci import post
from harness.core import proc
from harness.core.settings import Settings
from harness.report import summary
from harness.run.testbed import TestBed
from tests.integration.conftest import Harness
from tests.integration.support import ROOT, Call, RecipeRepo, command, environment, recipe_files


def made(tmp_path: Path, files: Mapping[str, str]) -> RecipeRepo:
    """Return a recipe of one untagged commit."""
    repo = RecipeRepo.make(tmp_path / "made")
    repo.commit(files)
    return repo


def without(name: str) -> dict[str, str]:
    """Return a recipe's files without one of them."""
    files = recipe_files("1.0.0+1")
    del files[name]
    return {**files, "README.md": "x"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["custom-htm"], ["custom-htm", "custom-html"]),
        (["custom-html", "--stages", "instal"], ["instal", "install"]),
        (["custom-html", "--kep"], ["--kep", "--keep"]),
        (["custom-html", "--domain", "a b"], ["a b", "--domain"]),
        (["custom-html", "--pr", "1", "--ref", "x"], ["--ref", "--pr"]),
        (["custom-html", "--overlays", "/nowhere"], ["/nowhere is not a directory"]),
        (["https://bot:ghp_SECRET@forge.invalid/Org/.git"], ["https://****@forge.invalid/Org"]),
        ([], ["no recipe is named", "custom-html"]),
    ],
)
def test_a_wrong_call_is_refused_before_anything_is_touched(
    words: list[str], said: list[str], harness: Harness
) -> None:
    """Exit code 2, what was meant, and no run directory."""
    call = harness(*words)
    assert call.code == 2, call.text
    assert call.directory is None
    for word in said:
        assert word in call.text
    assert "SECRET" not in call.text


def test_an_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """In one line: it is not a fault of the harness."""
    file = tmp_path / "file"
    file.touch()
    words = command("run", "custom-html", "--output", str(file))
    done = proc.run(words, timeout=60, cwd=ROOT, env=environment(), check=False)
    assert done.code == 2
    assert done.stderr.startswith("cc-ci: cannot write to --output: ")
    assert "Traceback" not in done.stderr


def test_a_credential_store_that_is_missing_is_named(harness: Harness, tmp_path: Path) -> None:
    """It keeps every image from being looked for in a registry."""
    (tmp_path / "config.json").write_text('{"credsStore": "nowhere"}')
    repo = made(tmp_path, recipe_files("1.0.0+1", **{"nginx:1.27.4": "nowhere.invalid/x:1"}))
    call = harness(str(repo.path), DOCKER_CONFIG=str(tmp_path))
    check(call, 3, "error", "docker-credential-nowhere")
    assert "credsStore" in call.text


def check(call: Call, code: int, outcome: str, *said: str) -> None:
    """Check a call that got as far as a run: its code, its word, what it says, what it wrote."""
    assert call.code == code, call.text
    assert call.results["verdict"]["outcome"] == outcome
    assert call.results["verdict"]["exit_code"] == code
    for words in said:
        assert words in call.text
        assert words in call.results["verdict"]["cause"]


def test_a_source_that_cannot_be_cloned(harness: Harness, tmp_path: Path) -> None:
    """It says which, and why."""
    check(harness("custom-html", SRC=str(tmp_path / "none")), 6, "error", str(tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    check(harness(str(tmp_path / "empty")), 6, "error", "cannot be cloned")


def test_a_ref_that_does_not_exist(harness: Harness) -> None:
    """It says which there are."""
    check(harness("custom-html", REF="1.2.0+1.27.5"), 6, "error", "1.2.0+1.27.5", "1.2.0+1.27.4")
    check(harness("custom-html", PR="7"), 6, "error", "7")


def test_a_base_that_does_not_exist(harness: Harness) -> None:
    """It says which there are."""
    check(harness("custom-html", VERSION="0.1.0+1"), 6, "error", "0.1.0+1", "1.2.0+1.27.4")


@pytest.mark.parametrize("name", ["compose.yml", ".env.sample"])
def test_a_recipe_without_a_file_that_it_needs(name: str, harness: Harness, tmp_path: Path) -> None:
    """The recipe is wrong: nobody could deploy it."""
    check(harness(str(made(tmp_path, without(name)).path)), 1, "failed", f"has no {name}")


def test_yaml_that_does_not_parse(harness: Harness, tmp_path: Path) -> None:
    """With its line."""
    files = recipe_files("1.0.0+1", **{"    networks: [proxy]\n": "    networks: [proxy\n"})
    call = harness(str(made(tmp_path, files).path))
    check(call, 1, "failed", "compose.yml", "line")


def test_an_image_that_can_be_neither_pulled_nor_built(harness: Harness, tmp_path: Path) -> None:
    """The test bed is wrong, or cannot know better: an error, never a failure of the recipe."""
    files = recipe_files("1.0.0+1", **{"nginx:1.27.4": "localhost:1/no/such:1"})
    call = harness(str(made(tmp_path, files).path))
    check(call, 3, "error", "localhost:1/no/such:1", "neither pulled nor built")
    assert call.results["stages"] == []


def test_a_recipe_without_tags_is_installed_and_not_upgraded(
    harness: Harness, tmp_path: Path
) -> None:
    """Skipped, with the reason; the rest is tested."""
    repo = made(tmp_path, recipe_files("1.0.0+1"))
    call = harness(str(repo.path), "--stages", "install,upgrade")
    assert call.code == 0, call.text
    assert call.stage("upgrade")["outcome"] == "skipped"
    assert "no older release" in call.stage("upgrade")["reason"]
    only = harness(str(repo.path), "--stages", "upgrade")
    assert only.code == 4, only.text
    assert only.results["verdict"]["outcome"] == "skipped"


def test_a_full_disk_is_an_error_of_the_test_bed(
    harness: Harness, tmp_path: Path, bed: TestBed
) -> None:
    """Found before anything is deployed, on a file system that really has no room."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(small)]
    if proc.run(mount, timeout=60, check=False).code != 0:
        pytest.skip("mounting is not allowed here")
    try:
        call = harness("custom-html", CCCI_CACHE=str(small), DOCKER_HOST=bed.engine.host)
    finally:
        proc.run(["umount", str(small)], timeout=60)
    check(call, 3, "error", "disk of the cache")
    assert call.results["stages"] == []


def test_no_engine_and_none_may_be_started(harness: Harness, tmp_path: Path) -> None:
    """It says both ways out."""
    nowhere = f"unix://{tmp_path}/no.sock"
    check(harness("custom-html", DOCKER_HOST=nowhere), 3, "error", "does not answer")


def test_a_bad_line_of_recipes_txt_is_named_by_its_number(tmp_path: Path) -> None:
    """For `nox -l`, too: the file is read before anything else."""
    for name in ("harness", "noxfile.py"):
        proc.run(["cp", "-r", str(ROOT / name), str(tmp_path)], timeout=30)
    (tmp_path / "recipes.txt").write_text("good sample:custom-html\nBad Name here\n")
    done = proc.run(
        command("run", "good"), timeout=30, cwd=tmp_path, env=environment(), check=False
    )
    assert done.code == 2
    assert "recipes.txt" in done.stderr
    assert "line 2" in done.stderr


HOST_PATH = recipe_files("1.0.0+1", **{"content:/usr": "/srv/content:/usr"})


@pytest.mark.parametrize(
    ("files", "code", "failures"), [(without("compose.yml"), 1, 1), (HOST_PATH, 8, 0)]
)
def test_a_recipe_that_is_not_deployed_has_results_for_its_commit(
    harness: Harness, tmp_path: Path, files: dict[str, str], code: int, failures: int
) -> None:
    """A CI reads files, not terminals, and a pull request has to be told of it, too."""
    repo = made(tmp_path, files)
    call = harness(str(repo.path))
    assert call.code == code, call.text
    assert call.directory is not None
    on_disk = json.loads((call.directory / "results.json").read_text())
    assert on_disk["verdict"]["cause"]
    assert f'failures="{failures}"' in (call.directory / "junit.xml").read_text()
    commit = repo.git("rev-parse", "HEAD")
    asked = post.Asked(
        runs=(call.directory,), sha=commit, on="", context="cc-ci", details="", login="",
        settings=Settings(),
    )  # fmt: skip
    told = post.load(call.directory, asked)
    assert told.commit == commit
    assert on_disk["verdict"]["outcome"] in summary.render(told.result)
