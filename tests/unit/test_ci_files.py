"""The ready files for CIs: whole, pinned, without rights or secrets, and true to the code."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.matrix import formats
from harness.matrix.__main__ import main as matrix
from harness.matrix.formats import MINUTES

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "ci"
FILES = sorted(FOLDER.glob("*.yml"))
PINNED = re.compile(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}")


def jobs(name: str) -> Mapping[str, Any]:
    """Return the jobs of an Actions file."""
    found: Mapping[str, Any] = yaml.safe_load((FOLDER / name).read_text())["jobs"]
    return found


def steps(name: str) -> Iterator[Mapping[str, Any]]:
    """Return every step of an Actions file."""
    for job in jobs(name).values():
        yield from job["steps"]


def test_there_is_a_file_for_each_that_the_page_names() -> None:
    """A file that no page names is not found, and a link to none is worse."""
    linked = set(re.findall(r"\]\((\w+\.yml)\)", (FOLDER / "README.md").read_text()))
    assert linked == {path.name for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_command_is_one_of_ours(path: Path) -> None:
    """The sessions exist, and so do the options of those that plan and check."""
    text = (ROOT / "noxfile.py").read_text()
    known = set(re.findall(r"(?m)^def (\w+)", text)) | set(re.findall(r'name="([\w-]+)"', text))
    called = re.findall(r"bin/nox -s ([\w-]+) -- (.*)", path.read_text())
    assert called
    for session, words in called:
        assert session in known
        flags = set(re.findall(r"--[a-z][a-z-]+", words))
        assert flags <= {"--format", "--plan", "--out", "--allow-empty", "--changed"}
        for form in re.findall(r"--format (\w+)", words):
            assert form in formats.FORMATS


def test_every_action_is_pinned_to_a_commit() -> None:
    """A tag is moved by whoever owns the action, or its account."""
    used = [step["uses"] for step in steps("github.yml") if "uses" in step]
    assert used
    assert [one for one in used if not PINNED.fullmatch(one)] == []


def test_contributors_code_meets_no_rights_and_no_secrets() -> None:
    """The whole workflow may read, and leaves no credentials in the clone."""
    text = (FOLDER / "github.yml").read_text()
    whole = yaml.safe_load(text)
    assert whole["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in whole["jobs"].values())
    assert "secrets." not in text
    assert "pull_request_target" not in text
    clones = [step["with"] for step in steps("github.yml") if "checkout@" in step.get("uses", "")]
    assert len(clones) == len(whole["jobs"])
    assert all(one["persist-credentials"] is False for one in clones)
    assert all(one["ref"] == "${{ env.TESTED }}" for one in clones)


def test_nothing_from_outside_is_filled_into_a_script() -> None:
    """A name with a quote in it would be a program; variables of the environment are not."""
    assert [step for step in steps("github.yml") if "${{" in step.get("run", "")] == []


def test_every_job_ends() -> None:
    """And a cell has time to end by itself, and to clean up."""
    assert all(job["timeout-minutes"] for job in jobs("github.yml").values())
    assert jobs("github.yml")["cell"]["timeout-minutes"] == MINUTES
    gitlab = yaml.safe_load((FOLDER / "gitlab.yml").read_text())
    assert gitlab["plan"]["timeout"]


def test_the_last_job_runs_always_and_after_all() -> None:
    """A required check that is skipped counts as passed."""
    verify = jobs("github.yml")["verify"]
    assert verify["if"] == "always()"
    assert set(verify["needs"]) == set(jobs("github.yml")) - {"verify"}
    cell = jobs("github.yml")["cell"]
    assert cell["strategy"]["fail-fast"] is False
    (kept,) = [step for step in cell["steps"] if "upload-artifact@" in step.get("uses", "")]
    assert kept["if"] == "always()"


def test_an_empty_plan_is_what_the_file_compares_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """GitHub refuses an empty matrix, so the job must not be there then."""
    (tmp_path / "recipes.txt").write_text("")
    assert matrix(["--format", "github", "--allow-empty"], {"HOME": str(tmp_path)}, tmp_path) == 0
    said = capsys.readouterr().out.strip()
    assert jobs("github.yml")["cell"]["if"] == f"needs.plan.outputs.matrix != '{said}'"


def test_what_a_cell_is_given_is_what_the_matrix_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The names within the matrix are used, each of them."""
    (tmp_path / "recipes.txt").write_text("one https://example.com/one.git\n")
    assert matrix(["--format", "github"], {"HOME": str(tmp_path)}, tmp_path) == 0
    (cell,) = yaml.safe_load(capsys.readouterr().out)["include"]
    text = (FOLDER / "github.yml").read_text()
    assert set(re.findall(r"\$\{\{ matrix\.(\w+) \}\}", text)) == set(cell)


def test_gitlabs_second_pipeline_is_the_one_that_was_made() -> None:
    """And the first is as red as the second."""
    whole = yaml.safe_load((FOLDER / "gitlab.yml").read_text())
    made = re.search(r"--out (\S+)", "\n".join(whole["plan"]["script"]))
    assert made
    assert whole["plan"]["artifacts"]["paths"] == [made[1]]
    trigger = whole["cells"]["trigger"]
    assert trigger["include"] == [{"artifact": made[1], "job": "plan"}]
    assert trigger["strategy"] == "depend"
