"""Jobs for a CI: the same plan gives the same bytes, no recipe is lost, and no gap looks green."""

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import yaml

from harness.__main__ import main
from harness.ci.matrix import formats, selection, verify
from harness.ci.matrix.selection import Cell
from harness.core import errors
from harness.core.errors import UsageError
from harness.core.model import Outcome
from harness.recipes.catalogue import Catalogue
from harness.report.results import RunResult

LINES = "one sample:custom-html\ntwo sample:radicale\n"


def git(root: Path, *words: str) -> str:
    """Run git with no configuration of anybody's, and return what it said."""
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    argv = ("git", "-C", str(root), *who, *words)
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603  fixed words


def commit(root: Path, files: dict[str, str]) -> str:
    """Write files, commit them, and return the commit."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    git(root, "add", "-A")
    git(root, "commit", "-qm", "x")
    return git(root, "rev-parse", "HEAD")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a clone of a project with two recipes."""
    git(tmp_path, "init", "-q")
    commit(tmp_path, {"recipes.txt": LINES, "docs/x.md": "x", "harness/x.py": ""})
    return tmp_path


def matrix(root: Path, *words: str) -> int:
    """Call the program in that project."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.core.project.PROJECT", root)
        return main(["matrix", *words], {"HOME": str(root)})


def call(root: Path, *words: str) -> int:
    """Call it where no other runs are in reach."""
    return matrix(root, *words, "--times", str(root))


def run(recipe: str, code: int = 0, name: str = "run-1") -> RunResult:
    """Return a result with just what the comparison reads."""
    outcome = Outcome.FAILED if code else Outcome.PASSED
    verdict = SimpleNamespace(exit_code=code, outcome=outcome)
    return cast("RunResult", SimpleNamespace(recipe=recipe, run=name, verdict=verdict))


def test_one_cell_a_recipe_sorted() -> None:
    """Whatever order recipes.txt has, so that a matrix only changes with its recipes."""
    found = selection.cells(["b", "a"], {})
    assert [(cell.name, cell.recipes) for cell in found] == [("a", ("a",)), ("b", ("b",))]


@pytest.mark.parametrize("count", [1, 255, 256, 257, 1000])
def test_no_recipe_is_lost_above_a_limit(count: int) -> None:
    """Above 256 jobs recipes share cells, and each is still there exactly once."""
    names = [f"r{number}" for number in range(count)]
    found = selection.cells(names, {}, most=256)
    assert len(found) == min(count, 256)
    assert sorted(name for cell in found for name in cell.recipes) == sorted(names)
    assert [cell.name for cell in found] == sorted(cell.name for cell in found)


def test_shards_are_balanced_by_time() -> None:
    """The longest one is alone."""
    found = selection.cells(["a", "b", "c"], {"a": 9.0, "b": 4.0, "c": 4.0}, shards=2)
    assert [cell.recipes for cell in found] == [("a",), ("b", "c")]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"docs/x.md": "y"}, ()),
        ({"docs/two/x.md": "y", "CHANGELOG.md": "y", "two": "y"}, ()),
        ({".woodpecker/two/x.yml": "y", "benchmarks/two/x.py": "y"}, ()),
        ({"tests/two/test_install.py": ""}, ("two",)),
        ({"tests/unit/test_x.py": "", "tests/integration/two/x.py": ""}, ()),
        ({"tests/lying/recipes/two/head/compose.yml": "", "tests/truth/two.py": ""}, ()),
        ({"tests/three/test_install.py": ""}, ()),
        ({"recipes.txt": "# said\n" + LINES}, ()),
        ({"recipes.txt": LINES.replace("html", "html ref=main")}, ("one",)),
        ({"recipes.txt": LINES + "three sample:radicale\n"}, ("three",)),
        ({"harness/x.py": "x = 1"}, ("one", "two")),
        ({"tests/_generic/test_install.py": ""}, ("one", "two")),
        ({"tests/repo-local-approved.txt": ""}, ("one", "two")),
        ({"harness/images/samples/two/compose.yml": ""}, ("one", "two")),
        ({"pyproject.toml": ""}, ("one", "two")),
        ({"noxfile.py": ""}, ("one", "two")),
        ({"bin/nox": ""}, ("one", "two")),
        ({"locks/run.txt": ""}, ("one", "two")),
    ],
)
def test_only_what_a_change_touches(
    project: Path, files: dict[str, str], expected: tuple[str, ...]
) -> None:
    """A recipe's overlay, its line's meaning, or what all of them rest on."""
    base = git(project, "rev-parse", "HEAD")
    head = commit(project, files)
    catalogue = Catalogue.load(project / "recipes.txt")
    assert selection.changed(project, catalogue, f"{base}...{head}") == expected


def test_what_the_base_changed_is_not_the_heads(project: Path) -> None:
    """Three dots: from where they parted."""
    fork = git(project, "rev-parse", "HEAD")
    base = commit(project, {"tests/two/test_install.py": ""})
    git(project, "checkout", "-q", fork)
    head = commit(project, {"tests/one/test_install.py": ""})
    catalogue = Catalogue.load(project / "recipes.txt")
    assert selection.changed(project, catalogue, f"{base}...{head}") == ("one",)


@pytest.mark.parametrize(
    "base",
    ["HEAD~1", "HEAD^", "@~1^{commit}", "old", "refs/tags/old", "HEAD@{1}", "HEAD^{/touch two}"],
)
def test_a_range_has_any_revisions_that_git_takes(project: Path, base: str) -> None:
    """Relative ones, tags, the reflog, a message."""
    commit(project, {"tests/two/test_install.py": ""})
    git(project, "commit", "--amend", "--quiet", "--message", "touch two")
    git(project, "tag", "-am", "old", "old")
    commit(project, {"tests/one/test_install.py": ""})
    catalogue = Catalogue.load(project / "recipes.txt")
    assert selection.changed(project, catalogue, f"{base}...HEAD") == ("one",)


@pytest.mark.parametrize("asked", ["HEAD", "--all...HEAD", "HEAD...", "nothing...HEAD", "..."])
def test_what_is_not_a_range_is_refused(project: Path, asked: str) -> None:
    """A shallow clone must not look like "nothing changed"."""
    with pytest.raises(UsageError):
        selection.changed(project, Catalogue.load(project / "recipes.txt"), asked)


def test_an_empty_selection_has_its_own_code(project: Path) -> None:
    """Unless it is allowed."""
    words = ("--changed", "HEAD...HEAD", "--format", "github")
    assert call(project, *words) == errors.EXIT_NOTHING_SELECTED
    assert call(project, *words, "--allow-empty") == errors.EXIT_PASSED


@pytest.mark.parametrize("form", ["github", "forgejo", "json"])
def test_one_line_of_json_and_nothing_else(
    project: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second line would be lost in a job's output."""
    assert call(project, "--format", form) == errors.EXIT_PASSED
    text = capsys.readouterr().out
    assert text.count("\n") == 1
    assert json.loads(text)


def test_github_is_given_as_many_jobs_as_it_takes_and_every_recipe(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It refuses a matrix of more than 256 jobs."""
    lines = (f"r{n} https://example.com/r{n}.git\n" for n in range(300))
    (project / "recipes.txt").write_text("".join(lines))
    assert call(project, "--format", "github") == errors.EXIT_PASSED
    cells = json.loads(capsys.readouterr().out)["include"]
    assert len(cells) == 256
    named = [name for cell in cells for name in cell["recipes"].split()]
    assert sorted(named) == sorted(f"r{n}" for n in range(300))


def test_a_pipeline_without_recipes_is_green_when_it_may_be_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its last job checks a plan of nothing, which was allowed when it was made."""
    last = yaml.safe_load(formats.FORMATS["gitlab"]([]))["verify-matrix"]["script"][-1]
    plan = tmp_path / "plan.json"
    plan.write_text(selection.to_json([]))
    words = last.partition(" -- ")[2].replace("plan.json", str(plan)).replace("runs", str(tmp_path))
    assert main(["verify-matrix", *words.split()], {}) == errors.EXIT_PASSED
    words = f"verify-matrix --plan {plan} {tmp_path}"
    assert main(words.split(), {}) == errors.EXIT_NOTHING_SELECTED
    capsys.readouterr()


def test_the_plan_is_read_as_it_was_written(project: Path) -> None:
    """verify-matrix compares with what was planned, and not with a plan of its own."""
    plan = project / "plan.json"
    call(project, "--format", "github", "--plan", str(plan))
    assert [c.name for c in selection.from_json(plan.read_text(), "it")] == ["one", "two"]
    with pytest.raises(UsageError):
        selection.from_json("{}", "it")


def test_gitlabs_pipeline_runs_every_recipe_once() -> None:
    """It parses, and every recipe is named by exactly one job."""
    cells = [Cell(name=f"r{n}", recipes=(f"r{n}",)) for n in range(100)]
    found = yaml.safe_load(formats.FORMATS["gitlab"](cells))
    jobs = [job for name, job in found.items() if name.startswith("cell ")]
    assert [job["script"][0].split()[-1] for job in jobs] == [f"r{n}" for n in range(100)]


def test_names_are_one_line_for_a_shell(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A cell of a file that is kept asks its run's plan what of it is to be tested."""
    plan = project / "plan.json"
    call(project, "--out", str(plan), "two")
    words = ("--format", "names", "--within", str(plan))
    assert call(project, *words) == errors.EXIT_PASSED
    assert call(project, *words, "one", "--allow-empty") == errors.EXIT_PASSED
    assert capsys.readouterr().out == "two\n\n"
    assert call(project, *words, "one") == errors.EXIT_NOTHING_SELECTED


@pytest.mark.parametrize("text", [None, "", "[]"])
def test_a_plan_that_is_none_selects_nothing_and_is_refused(
    project: Path, text: str | None
) -> None:
    """Else a cell whose plan was lost would be green."""
    plan = project / "plan.json"
    if text is not None:
        plan.write_text(text)
    assert call(project, "--format", "names", "--within", str(plan)) == errors.EXIT_USAGE


@pytest.mark.parametrize("words", [("--changed", "HEAD...HEAD"), ("--times", "runs")])
@pytest.mark.parametrize("form", ["gitea", "woodpecker", "drone"])
def test_a_kept_file_holds_nothing_of_one_run(
    project: Path, form: str, words: tuple[str, str]
) -> None:
    """It would leave recipes out for ever, or differ between machines."""
    assert matrix(project, "--format", form, *words) == errors.EXIT_USAGE


@pytest.mark.parametrize("form", [*formats.FORMATS, "gitea", "woodpecker", "drone"])
def test_the_same_recipes_give_the_same_bytes(
    tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In whatever order recipes.txt or the command line has them."""
    said = []
    for lines, asked in (("one two", ("one", "two")), ("two one", ("two", "one"))):
        text = "".join(f"{name} sample:radicale\n" for name in lines.split())
        (tmp_path / "recipes.txt").write_text(text)
        for words in (asked, ()):
            assert matrix(tmp_path, "--format", form, "--shards", "5", *words) == 0
            said.append(capsys.readouterr().out)
    assert said[0::2] == [said[0]] * 2
    assert said[1::2] == [said[1]] * 2


PLAN = (Cell(name="a", recipes=("a",)), Cell(name="rest", recipes=("b", "c")))
ALL = [run("a"), run("b"), run("c")]


@pytest.mark.parametrize(
    ("results", "code", "said"),
    [
        (ALL, errors.EXIT_PASSED, "3 planned, 3 reported, 0 wrong"),
        (ALL[:2], errors.EXIT_ERROR, "not run      c (cell rest)"),
        ([], errors.EXIT_ERROR, "not run      a (cell a)"),
        (
            [*ALL, run("a", name="run-2")],
            errors.EXIT_ERROR,
            "2 times      a (cell a): run-1, run-2",
        ),
        ([*ALL, run("d")], errors.EXIT_ERROR, "not planned  d (run-1)"),
        (
            [run("a"), run("b", 1), run("c")],
            errors.EXIT_FAILED,
            "failed       b (cell rest, run-1)",
        ),
    ],
)
def test_every_cell_is_reported_exactly_once(
    results: list[RunResult], code: int, said: str
) -> None:
    """Anything else is red, and says which."""
    lines, found = verify.judge(PLAN, results)
    assert found == code
    assert said in lines


def test_what_cannot_be_read_is_red() -> None:
    """Half a file may have been any verdict."""
    assert verify.judge(PLAN, ALL, ["x/results.json: cut off"])[1] == errors.EXIT_ERROR
