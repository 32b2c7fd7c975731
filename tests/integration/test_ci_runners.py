"""The files for CIs, executed by CIs' own local runners: skipped where there is no such runner.

One honest recipe and one that lies, so that one run shows a green cell, a red one, and a last job
that tells them apart.
"""

import os
import re
import shutil
from pathlib import Path

import pytest

from harness import proc
from harness.embedded import samples
from tests.integration.support import ROOT, environment

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


def runner(name: str) -> str:
    """Return that program; the test is skipped where there is none."""
    found = shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not on PATH; docs/ci/README.md says what it showed")
    return found


def make(project: Path, form: str, place: str) -> None:
    """Have the project make its file, and commit everything."""
    argv = [str(project / "bin" / "nox"), "-s", "matrix", "--", "--format", form, "--out", place]
    proc.run(argv, timeout=600, cwd=project, env=environment())
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "two recipes")


def execute(project: Path, *argv: str) -> proc.Completed:
    """Run the runner, and look at what the last job says."""
    done = proc.run(list(argv), timeout=SECONDS, cwd=project, env=environment(), check=False)
    said = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
    assert re.search(rf"passed +{HONEST} \(cell {HONEST}, ", said), said
    assert re.search(rf"failed +{LIAR} \(cell {LIAR}, ", said), said
    assert "2 planned, 2 reported, 0 wrong" in said, said
    assert done.code, said
    return proc.Completed(argv=done.argv, code=done.code, stdout=said, stderr="")


@pytest.mark.usefixtures("bed")
def test_woodpecker_executes_its_file(project: Path) -> None:
    """A step that fails stops no other one, and the workflow is red."""
    program = runner("woodpecker-cli")
    make(project, "woodpecker", ".woodpecker/recipes.yml")
    head = git(project, "rev-parse", "HEAD").strip()
    execute(
        project,
        *(program, "exec", "--backend-engine", "local", "--repo-path", str(project)),
        *("--pipeline-event", "manual", "--commit-sha", head, "--commit-branch", "main"),
        ".woodpecker/recipes.yml",
    )


@pytest.mark.usefixtures("bed")
def test_gitlabs_runner_executes_the_pipeline_that_is_made(project: Path) -> None:
    """Just the lying recipe's job and the last one fail."""
    program = runner("gitlab-ci-local")
    make(project, "gitlab", ".gitlab-ci.yml")
    git(project, "remote", "add", "origin", "https://example.org/owner/recipes.git")
    said = execute(
        project, program, "--shell-isolation", "--force-shell-executor", "--no-artifacts-to-source"
    ).stdout
    failed = set(re.findall(r"(?m)^ *FAIL +(.*?) *$", said))
    assert failed == {f"cell {LIAR}", "verify-matrix"}, os.linesep + said
