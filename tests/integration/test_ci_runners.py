"""The files for CIs, executed by CIs' own local runners: skipped where there is no such runner.

One honest recipe and one that lies, so that one run shows a green cell, a red one, and a last job
that tells them apart.
"""

import json
import re
import shutil
from pathlib import Path

import pytest

from harness.core import proc
from harness.images import samples
from harness.run.testbed import TestBed
from tests.integration.support import ROOT, environment

pytestmark = pytest.mark.timeout(2400)

SECONDS = 1500.0
HONEST, LIAR = "custom-html", "drops-a-volume"


def git(folder: Path, *words: str) -> str:
    """Run git in a folder."""
    who = ["-c", "user.name=cc-ci", "-c", "user.email=tests@cc-ci.invalid"]
    return proc.run(["git", *who, *words], timeout=60, cwd=folder).stdout


@pytest.fixture(name="project")
def project_fixture(tmp_path: Path) -> Path:
    """A clone of this project as it lies here, whose recipes.txt has just those two recipes."""
    project = tmp_path / "project"
    for name in git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split(
        "\0"
    ):
        if name and (ROOT / name).exists():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, project / name, follow_symlinks=False)
    liar = tmp_path / f"{LIAR}.git"
    samples.build(ROOT / "tests" / "lying" / "recipes" / LIAR, liar)
    (project / "recipes.txt").write_text(f"{HONEST} sample:{HONEST}\n{LIAR} {liar}\n")
    git(project, "init", "--quiet", "--initial-branch=main")
    return project


def needs(program: str) -> pytest.MarkDecorator:
    """Skip a test where that runner is not on PATH, before anything is made for it."""
    reason = f"{program} is not on PATH; docs/ci/README.md says what it showed"
    return pytest.mark.skipif(shutil.which(program) is None, reason=reason)


def make(project: Path, form: str, place: str) -> None:
    """Have the project make its file, and commit everything."""
    argv = [str(project / "bin" / "nox"), "-s", "matrix", "--", "--format", form, "--out", place]
    proc.run(argv, timeout=600, cwd=project, env=environment())
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "two recipes")


def execute(project: Path, bed: TestBed, *argv: str) -> str:
    """Run the runner, look at what the last job says, and return all that was said.

    The engine is named, since a runner's jobs have a home of their own, and no engine in it.
    """
    env = environment(DOCKER_HOST=bed.engine.host)
    done = proc.run(list(argv), timeout=SECONDS, cwd=project, env=env, check=False)
    said = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
    assert re.search(rf"passed +{HONEST} \(cell {HONEST}, ", said), said
    assert re.search(rf"failed +{LIAR} \(cell {LIAR}, ", said), said
    assert "2 planned, 2 reported, 0 wrong" in said, said
    assert done.code, said
    return said


@needs("woodpecker-cli")
def test_woodpecker_executes_its_file(project: Path, bed: TestBed) -> None:
    """A step that fails stops no other one, and the workflow is red."""
    make(project, "woodpecker", ".woodpecker/recipes.yml")
    head = git(project, "rev-parse", "HEAD").strip()
    execute(
        project,
        bed,
        *("woodpecker-cli", "exec", "--backend-engine", "local", "--repo-path", str(project)),
        *("--pipeline-event", "manual", "--commit-sha", head, "--commit-branch", "main"),
        ".woodpecker/recipes.yml",
    )


@needs("gitlab-ci-local")
def test_gitlabs_runner_executes_the_pipeline_that_is_made(project: Path, bed: TestBed) -> None:
    """Just the lying recipe's job and the last one fail."""
    make(project, "gitlab", ".gitlab-ci.yml")
    git(project, "remote", "add", "origin", "https://example.org/owner/recipes.git")
    said = execute(
        project,
        bed,
        "gitlab-ci-local",
        "--shell-isolation",
        "--force-shell-executor",
        "--no-artifacts-to-source",
    )
    failed = set(re.findall(r"(?m)^ *FAIL +(.*?) *$", said))
    assert failed == {f"cell {LIAR}", "verify-matrix"}, said


@needs("gitlab-ci-local")
def test_gitlabs_runner_executes_a_part_of_the_night(project: Path) -> None:
    """The job of one part, scaled down: its tests ran, and the record is an artifact."""
    shutil.copy2(ROOT / "docs" / "ci" / "nightly" / "gitlab.yml", project / ".gitlab-ci.yml")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "nightly")
    git(project, "remote", "add", "origin", "https://example.org/owner/recipes.git")
    argv = [
        *("gitlab-ci-local", "--shell-isolation", "--force-shell-executor"),
        *("--variable", "CI_PIPELINE_SOURCE=schedule", "--variable", "WORDS=--scale 0.1"),
        *("--ignore-predefined-vars", "CI_PIPELINE_SOURCE"),
        "nightly: [locks]",
    ]
    done = proc.run(argv, timeout=SECONDS, cwd=project, env=environment(), check=False)
    assert done.code == 0, done.stdout + done.stderr
    (record,) = {path.read_text() for path in project.rglob("runs/nightly/*.json")}  # and its copy
    (part,) = json.loads(record)["parts"]
    assert (part["name"], part["result"]) == ("locks", "passed")
    assert "CC_CI_LOCK_ROUNDS=20" in part["command"]
