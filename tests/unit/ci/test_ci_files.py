"""The files for CIs, ready and made: whole, pinned, without rights or secrets, true to the code."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.ci.matrix import files, formats
from harness.ci.matrix.files import MINUTES
from harness.ci.matrix.selection import Cell
from harness.core.errors import EXIT_PASSED
from tests.suite.nightly import jobs as nightly_jobs
from tests.unit.ci.test_matrix import matrix

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "docs" / "ci"
FILES = sorted(FOLDER.glob("*.yml"))
SAMPLES = ("custom-html", "radicale")
PINNED = re.compile(r"[\w.-]+/[\w.-]+(/[\w.-]+)?@[0-9a-f]{40}")
ACTIONS = ("forgejo.yml", "gitea.yml", "github.yml")
DYNAMIC = ("forgejo.yml", "github.yml")  # whose matrix is evaluated when the plan is there
ONE_WORKSPACE = ("drone.yml", "woodpecker.yml")
# Where the files that are kept in the repository have to lie, as each CI wants it.
KEPT = {
    "drone.yml": ".drone.yml",
    "gitea.yml": ".gitea/workflows/recipes.yml",
    "woodpecker.yml": ".woodpecker/recipes.yml",
}


def whole(name: str) -> Mapping[str, Any]:
    """Return a file, parsed. Parsing it shows that it is YAML, and one document."""
    found: Mapping[str, Any] = yaml.safe_load((FOLDER / name).read_text())
    return found


def jobs(name: str) -> Mapping[str, Any]:
    """Return the jobs of an Actions file."""
    found: Mapping[str, Any] = whole(name)["jobs"]
    return found


def cells(name: str) -> list[Mapping[str, Any]]:
    """Return those jobs of an Actions file that test recipes."""
    return [job for key, job in jobs(name).items() if key.startswith("cell")]


def steps(name: str) -> Iterator[Mapping[str, Any]]:
    """Return every step of an Actions file, or of one with one workspace."""
    if name in ONE_WORKSPACE:
        yield from whole(name)["steps"]
        return
    for job in jobs(name).values():
        yield from job["steps"]


def made(form: str, *words: str, root: Path = ROOT) -> str:
    """Return what `nox -s matrix` writes in that format."""
    out = root / "made"
    assert matrix(root, "--format", form, "--out", str(out), *words) == 0
    return out.read_text()


def test_there_is_a_file_for_each_that_the_page_names() -> None:
    """A file that no page names is not found, and a link to none is worse."""
    linked = set(re.findall(r"\]\((\w+\.yml)\)", (FOLDER / "README.md").read_text()))
    assert linked == {path.name for path in FILES}
    assert linked == {*ACTIONS, *ONE_WORKSPACE, "gitlab.yml"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_command_is_one_of_ours(path: Path) -> None:
    """The sessions exist, and so do the options of those that plan and check."""
    text = (ROOT / "noxfile.py").read_text()
    known = set(re.findall(r"(?m)^def (\w+)", text)) | set(re.findall(r'name="([\w-]+)"', text))
    called = re.findall(r"bin/nox -s ([\w-]+) -- (.*)", path.read_text())
    assert called
    options = {"--format", "--plan", "--out", "--allow-empty", "--changed", "--within"}
    for session, words in called:
        assert session in known
        assert set(re.findall(r"--[a-z][a-z-]+", words)) <= options
        for form in re.findall(r"--format (\w+)", words):
            assert form in {*formats.FORMATS, *files.FILES}


@pytest.mark.parametrize("name", KEPT)
def test_a_kept_file_is_what_is_made_for_the_samples(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Make it again: nox -s matrix -- --format NAME --out docs/ci/NAME.yml custom-html radicale."""
    (tmp_path / "recipes.txt").write_text("".join(f"{n} sample:{n}\n" for n in SAMPLES))
    text = made(name.removesuffix(".yml"), *SAMPLES, root=tmp_path)
    assert text == (FOLDER / name).read_text()
    capsys.readouterr()


@pytest.mark.parametrize("name", KEPT)
def test_a_kept_file_says_by_itself_that_it_is_outdated(name: str, tmp_path: Path) -> None:
    """Its plan makes it again, with the very words with which it was made, and compares."""
    form = name.removesuffix(".yml")
    (tmp_path / "recipes.txt").write_text("a sample:radicale\nb sample:radicale\n")
    for words in ((), ("--shards", "1", "b", "a"), ("b",)):
        text = made(form, *words, root=tmp_path)
        (again, place) = re.findall(
            rf"nox -s matrix -- --format {form}(.*) \| diff -u (\S+) -", text
        )[0]
        assert place == KEPT[name]
        assert f"--format {form}{again} --out {place}" in text.partition("\nname")[0]
        assert made(form, *again.split(), root=tmp_path) == text


@pytest.mark.parametrize("name", KEPT)
def test_a_kept_file_tests_every_recipe_in_one_cell(name: str, tmp_path: Path) -> None:
    """Each asks its run's plan, and names its recipes once; a hundred of them, too."""
    names = [f"r{n}" for n in range(100)] + ["1.x_y"]
    (tmp_path / "recipes.txt").write_text("".join(f"{n} sample:radicale\n" for n in names))
    for shards, count in (("0", 101), ("7", 7)):
        text = made(name.removesuffix(".yml"), "--shards", shards, root=tmp_path)
        asked = re.findall(r"--format names (?:--allow-empty )?--within plan\.json (.*)\)", text)
        assert len(asked) == count
        assert sorted(" ".join(asked).split()) == sorted(names)
        assert len(re.findall(r"name: cell ", text)) == count
        yaml.safe_load(text)


@pytest.mark.parametrize("name", [*ACTIONS])
def test_every_action_is_pinned_to_a_commit(name: str) -> None:
    """A tag is moved by whoever owns the action, or its account."""
    used = [step["uses"] for step in steps(name) if "uses" in step]
    assert used
    assert [one for one in used if not PINNED.fullmatch(one)] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_file_has_a_secret(path: Path) -> None:
    """Contributors' code is run there."""
    text = path.read_text()
    for word in ("secrets.", "from_secret", "pull_request_target", "id_tokens", "privileged"):
        assert word not in text
    assert "token" not in text.lower()


@pytest.mark.parametrize("name", ACTIONS)
def test_contributors_code_meets_no_rights(name: str) -> None:
    """The whole workflow may read, and leaves no credentials in the clone."""
    assert whole(name)["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in jobs(name).values())
    clones = [step["with"] for step in steps(name) if "checkout@" in step.get("uses", "")]
    assert len(clones) == len(jobs(name))
    assert all(one["persist-credentials"] is False for one in clones)


@pytest.mark.parametrize("name", ACTIONS)
def test_what_is_tested_is_a_commit(name: str) -> None:
    """The head of a pull request, in every job."""
    head = "${{ github.event.pull_request.head.sha || github.sha }}"
    assert whole(name)["env"]["TESTED"] == head
    clones = [step["with"] for step in steps(name) if "checkout@" in step.get("uses", "")]
    assert all(one["ref"] == "${{ env.TESTED }}" for one in clones)


def test_what_is_tested_is_a_commit_where_the_ci_clones() -> None:
    """Drone's clone of a pull request is a merge; Woodpecker's is looked at."""
    assert whole("drone.yml")["steps"][0]["commands"][0].endswith('--detach "$DRONE_COMMIT_SHA"')
    first = whole("woodpecker.yml")["steps"][0]["commands"][0]
    assert first == 'test "$(git rev-parse HEAD)" = "$CI_COMMIT_SHA"'
    (clone,) = whole("woodpecker.yml")["clone"]
    assert re.fullmatch(r"[\w/-]+:\d+\.\d+\.\d+", clone["image"])
    assert clone["settings"] == {"partial": False, "depth": 0}


@pytest.mark.parametrize("name", ACTIONS)
def test_nothing_from_outside_is_filled_into_a_script(name: str) -> None:
    """A name with a quote in it would be a program; variables of the environment are not."""
    assert [step for step in steps(name) if "${{" in step.get("run", "")] == []


@pytest.mark.parametrize("name", ONE_WORKSPACE)
def test_nothing_from_outside_is_filled_in_before_the_shell(name: str) -> None:
    """These CIs replace `${...}` in the text of the file, by what a contributor has named so."""
    assert "${" not in (FOLDER / name).read_text()
    assert "${" not in made_from_all(name)


def made_from_all(name: str) -> str:
    """Return that file for a recipe with every kind of letter that a name may have."""
    cell = Cell(name="a.b_c-1", recipes=("a.b_c-1",))
    return files.FILES[name.removesuffix(".yml")]([cell], [], 0)


@pytest.mark.parametrize("name", ACTIONS)
def test_every_job_ends(name: str) -> None:
    """And a cell has time to end by itself, and to clean up."""
    assert all(job["timeout-minutes"] for job in jobs(name).values())
    assert {job["timeout-minutes"] for job in cells(name)} == {MINUTES}


@pytest.mark.parametrize("name", ["forgejo.yml", "gitea.yml"])
def test_every_command_ends_where_jobs_have_no_limit(name: str) -> None:
    """The runners of Forgejo and Gitea take a job's limit from their own settings."""
    assert all(step["timeout-minutes"] for step in steps(name) if "run" in step)


@pytest.mark.parametrize("name", ONE_WORKSPACE)
def test_every_step_ends_where_steps_have_no_limit(name: str) -> None:
    """The last command of each is under `timeout`; a test has time to clean up before it dies."""
    lasts = [step["commands"][-1].strip().splitlines()[-1] for step in steps(name)]
    assert all(re.search(r"\btimeout (-k 5m )?\d+m bin/nox ", last) for last in lasts)
    tests = [last for last in lasts if "-s e2e" in last]
    assert len(tests) == len(SAMPLES)
    assert all(f"timeout -k 5m {MINUTES}m " in last for last in tests)


def test_gitlabs_jobs_end() -> None:
    """Those of the file, and those of the pipeline that it makes."""
    assert whole("gitlab.yml")["plan"]["timeout"]
    child = yaml.safe_load(formats.FORMATS["gitlab"]([Cell(name="a", recipes=("a",))]))
    assert child["cell a"]["timeout"] == f"{MINUTES} minutes"
    assert child["verify-matrix"]["timeout"]


@pytest.mark.parametrize("name", ACTIONS)
def test_the_last_job_runs_always_and_after_all(name: str) -> None:
    """A required check that is skipped counts as passed."""
    verify = jobs(name)["verify"]
    assert verify["if"] == "always()"
    assert set(verify["needs"]) == set(jobs(name)) - {"verify"}
    assert list(jobs(name))[-1] == "verify"
    assert "verify-matrix" in verify["steps"][-1]["run"]
    assert not {"continue-on-error", "if"} & set(verify["steps"][-1])
    for cell in cells(name):
        assert cell.get("strategy", {}).get("fail-fast", False) is False
        (kept,) = [step for step in cell["steps"] if "upload-artifact@" in step.get("uses", "")]
        assert kept["if"] == "always()"


@pytest.mark.parametrize("name", ONE_WORKSPACE)
def test_the_last_step_runs_whatever_came_before(name: str) -> None:
    """And so does each cell; no failure is ignored on the way."""
    found = list(steps(name))
    assert [step["name"] for step in found] == ["plan", *(f"cell {n}" for n in SAMPLES), "verify"]
    always = {"status": ["success", "failure"]}
    for step in found[1:]:
        assert step["when"] == ([always] if name == "woodpecker.yml" else always)
    assert not any({"failure", "detach", "depends_on"} & set(step) for step in found)
    assert "verify-matrix" in found[-1]["commands"][-1]


def test_gitlabs_last_job_runs_always_and_after_all() -> None:
    """Its stage is the last one, and without `needs` it has every job's artifacts."""
    listed = [Cell(name=name, recipes=(name,)) for name in "ab"]
    child = yaml.safe_load(formats.FORMATS["gitlab"](listed))
    assert child["stages"][-1] == child["verify-matrix"]["stage"] == "verify"
    assert child["verify-matrix"]["when"] == "always"
    assert "needs" not in child["verify-matrix"]
    assert child["workflow"] == {"rules": [{"when": "always"}]}
    assert all(child[f"cell {name}"]["artifacts"]["when"] == "always" for name in "ab")
    assert not any("allow_failure" in job for job in child.values())


@pytest.mark.parametrize("name", ["forgejo.yml", "gitea.yml"])
def test_a_pull_request_leaves_no_images_to_others(name: str) -> None:
    """Where a cache is not the pull request's own, what was put in there would be run by others."""
    used = [step for step in steps(name) if "actions/cache" in step.get("uses", "")]
    assert {step["uses"].partition("@")[0] for step in used} == {
        "actions/cache/restore", "actions/cache/save",
    }  # fmt: skip
    saves = [step for step in used if "/save@" in step["uses"]]
    assert all(step["if"] == "github.event_name != 'pull_request'" for step in saves)
    assert len({str(step["with"]) for step in used}) == 1


@pytest.mark.parametrize("name", DYNAMIC)
def test_an_empty_plan_is_what_the_file_compares_with(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """GitHub refuses an empty matrix, so the job must not be there then."""
    (tmp_path / "recipes.txt").write_text("")
    asked = ("--format", name.removesuffix(".yml"), "--allow-empty")
    assert matrix(tmp_path, *asked) == EXIT_PASSED
    said = capsys.readouterr().out.strip()
    assert jobs(name)["cell"]["if"] == f"needs.plan.outputs.matrix != '{said}'"


@pytest.mark.parametrize("name", DYNAMIC)
def test_what_a_cell_is_given_is_what_the_matrix_says(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The names within the matrix are used, each of them."""
    (tmp_path / "recipes.txt").write_text("one https://example.com/one.git\n")
    assert matrix(tmp_path, "--format", name.removesuffix(".yml")) == EXIT_PASSED
    (cell,) = yaml.safe_load(capsys.readouterr().out)["include"]
    text = (FOLDER / name).read_text()
    assert set(re.findall(r"\$\{\{ matrix\.(\w+) \}\}", text)) == set(cell)


def test_giteas_cells_are_skipped_by_the_plan_alone(tmp_path: Path) -> None:
    """What a job looks for in the plan stands there when one of its recipes is to be tested."""
    (tmp_path / "recipes.txt").write_text("a sample:radicale\naa sample:radicale\n")
    plan = made("json", "aa", root=tmp_path).strip()
    found = yaml.safe_load(made("gitea", root=tmp_path))["jobs"]
    for key, starts in (("cell-a", False), ("cell-aa", True)):
        (looked,) = re.findall(
            r"contains\(needs\.plan\.outputs\.plan, '([^']+)'\)", found[key]["if"]
        )
        assert (looked in plan) is starts
    both = yaml.safe_load(made("gitea", "--shards", "1", root=tmp_path))["jobs"]["cell-shard-1"]
    assert both["if"].count("contains(") == both["if"].count("||") + 1 == 2


def test_gitlabs_second_pipeline_is_the_one_that_was_made() -> None:
    """And the first is as red as the second."""
    found = whole("gitlab.yml")
    out = re.search(r"--out (\S+)", "\n".join(found["plan"]["script"]))
    assert out
    assert found["plan"]["artifacts"]["paths"] == [out[1]]
    trigger = found["cells"]["trigger"]
    assert trigger["include"] == [{"artifact": out[1], "job": "plan"}]
    assert trigger["strategy"] == "depend"


def scripts() -> Iterator[tuple[str, str]]:
    """Return every script of the files, with the file's name."""
    for name in (*ACTIONS, *ONE_WORKSPACE):
        for step in steps(name):
            for script in (step.get("run"), *step.get("commands", ())):
                if script:
                    yield name, script
    for job in whole("gitlab.yml").values():
        if isinstance(job, Mapping):
            yield from (("gitlab.yml", script) for script in job.get("script", ()))


def test_every_script_is_one_for_a_plain_shell() -> None:
    """It is read, and not run: a quote that is missing is seen when it is too late."""
    shell = shutil.which("sh")
    assert shell
    for name, script in scripts():
        done = subprocess.run(  # noqa: S603  it only reads
            [shell, "-n", "-c", script], capture_output=True, text=True, check=False
        )
        assert (name, done.stderr) == (name, "")


NIGHTLY = sorted((FOLDER / "nightly").glob("*.yml"))
BY_PART = ("forgejo.yml", "github.yml", "gitlab.yml")


def night(name: str) -> Mapping[str, Any]:
    """Return the only job of a file for the night."""
    found: Any = yaml.safe_load((FOLDER / "nightly" / name).read_text())
    if name == "gitlab.yml":
        return found["nightly"]  # type: ignore[no-any-return]
    if name in ONE_WORKSPACE:
        (step,) = found["steps"]
        return step  # type: ignore[no-any-return]
    assert found["permissions"] == {"contents": "read"}
    assert "schedule" in found[True]  # YAML 1.1 reads `on` as a boolean
    return found["jobs"]["part"]  # type: ignore[no-any-return]


def test_each_ci_has_a_file_for_the_night() -> None:
    """Gitea takes that of Forgejo; the page names them all."""
    names = {path.name for path in NIGHTLY}
    assert names == {path.name for path in FILES} - {"gitea.yml"}
    page = (FOLDER / "README.md").read_text()
    assert set(re.findall(r"\]\(nightly/(\w+\.yml)\)", page)) == names


@pytest.mark.parametrize("name", BY_PART)
def test_a_night_has_every_part_and_keeps_its_record(name: str) -> None:
    """In the order of `nox -s nightly -- --list`; one that fails stops no other."""
    job = night(name)
    parts = [part.name for part in nightly_jobs()]
    if name == "gitlab.yml":
        assert job["parallel"]["matrix"] == [{"PART": parts}]
        assert job["artifacts"]["when"] == "always"
        assert job["artifacts"]["paths"] == ["runs/nightly"]
        return
    assert job["strategy"] == {"fail-fast": False, "matrix": {"part": parts}}
    last = job["steps"][-1]
    assert (last["if"], last["with"]["path"]) == ("always()", "runs/nightly")
    assert all(PINNED.fullmatch(step["uses"]) for step in job["steps"] if "uses" in step)
    assert job["steps"][0]["with"]["persist-credentials"] is False
    assert not any("${{" in step.get("run", "") for step in job["steps"])


@pytest.mark.parametrize("path", NIGHTLY, ids=lambda path: path.name)
def test_a_night_calls_the_session_and_ends(path: Path) -> None:
    """Each file has a limit, no secret, and a script that a shell can read."""
    text = path.read_text()
    (command,) = re.findall(r"(?m)^ *(?:- |run: )(.*bin/nox .*)$", text)
    assert "bin/nox -s nightly -- " in command
    assert command.endswith("$WORDS")
    assert re.search(r"timeout-minutes: 350|timeout: 6 hours|timeout -k 5m 700m", text)
    assert not any(word in text.lower() for word in ("secrets.", "from_secret", "token"))
    shell = shutil.which("sh")
    assert shell
    done = subprocess.run(  # noqa: S603  it only reads
        [shell, "-n", "-c", command], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""


def test_what_ci_runs_is_the_readmes_command() -> None:
    """With the slowest tests besides; its exit code is that of the tests."""
    script = (ROOT / ".ci" / "run").read_text()
    section = (ROOT / "README.md").read_text().partition("## The tests\n\n")[2]
    command = section.partition("\n\n")[0].strip()
    assert command == "bin/nox -s tests"
    assert f"\n{command} -- --durations=30 " in script
    assert script.endswith('exit "$code"\n')
