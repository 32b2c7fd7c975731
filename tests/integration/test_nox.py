"""The sessions as they are typed."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core import proc
from harness.images import samples
from tests.integration.support import ROOT, environment


def nox(*words: str, **environ: str) -> proc.Completed:
    """Call nox in the project's directory."""
    argv = [sys.executable, "-m", "nox", *words]
    return proc.run(argv, timeout=600, cwd=ROOT, env=environment(**environ), check=False)


def said(done: proc.Completed) -> str:
    """Return all that it printed."""
    return done.stdout + done.stderr


def test_the_list_is_short_and_has_no_stray_line() -> None:
    """What one types first, recipes by name, everything else in groups; the stages when asked."""
    done = nox("-l")
    assert (done.code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) < 45
    names = [line[2:].partition(" -> ")[0] for line in lines if " -> " in line]
    assert names[:4] == ["e2e", "tests", "e2e(custom-html)", "e2e(radicale)"]
    assert names.index("post") < names.index("unit") < names.index("nightly")
    assert not any(name.startswith("stage") for name in names)
    assert "- stage(radicale, restore) -> " in nox("-l", "--", "radicale").stdout


def test_a_mistyped_session_is_a_usage_error() -> None:
    """Code 3, as of nox itself, would mean that the machine is wrong."""
    done = nox("-s", "e2")
    assert done.code == 2
    assert "did you mean e2e" in done.stderr


def test_only_the_named_recipes_are_sessions() -> None:
    """No page of skipped ones."""
    listed = nox("-l", "-s", "e2e", "--", "custom-html", "/srv/x#main", "--keep").stdout
    sessions = [line for line in listed.splitlines() if "e2e(" in line]
    assert len(sessions) == 2
    assert "custom-html" in sessions[0]
    assert "/srv/x#main" in sessions[1]
    from_environment = nox("-l", "-s", "e2e", RECIPE="radicale").stdout
    assert from_environment.count("e2e(") == 1


def test_an_unknown_recipe_ends_with_the_code_of_its_kind_and_a_suggestion() -> None:
    """A lone recipe's exit code is that of nox."""
    done = nox("-s", "e2e", "--", "custom-htm")
    assert done.code == 2
    assert "custom-html" in said(done)
    assert "Traceback" not in said(done)


def test_an_unknown_option_is_refused_before_any_session_runs() -> None:
    """With the one that was meant."""
    done = nox("-s", "e2e", "--", "custom-html", "--stage", "install")
    assert done.code == 2
    assert "--stages" in said(done)


def test_a_stage_session_runs_that_stage() -> None:
    """And ends well."""
    done = nox("-s", "stage(custom-html, install)")
    assert done.code == 0, said(done)
    assert "install: passed" in said(done)
    table = said(done).partition("stage     result")[2].partition("teardown")[0]
    assert [line.split()[0] for line in table.splitlines()[1:]] == ["install"]


SHADOWS = ("argparse", "docker", "ensurepip", "nox", "venv", "virtualenv", "yaml")


@pytest.fixture(name="launcher", scope="module")
def launcher_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A checkout of what lies here, without any environment."""
    checkout = tmp_path_factory.mktemp("launcher") / "cc-ci"
    listed = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in proc.run(listed, timeout=60, cwd=ROOT).stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, checkout / name, follow_symlinks=False)
    yield checkout
    shutil.rmtree(checkout, ignore_errors=True)


def launched(checkout: Path, cwd: Path, *words: str, **environ: str) -> proc.Completed:
    """Call `bin/nox` of a checkout from a directory."""
    argv = [str(checkout / "bin" / "nox"), *words]
    return proc.run(argv, timeout=600, cwd=cwd, env=environment(**environ), check=False)


def test_an_old_python_is_named_before_anything_is_installed(
    launcher: Path, tmp_path: Path
) -> None:
    """The machine is wrong, and not the recipe."""
    old = tmp_path / "python3"
    old.write_text(
        "#!/bin/sh\nshift\n"
        f'exec {sys.executable} -I -c "import sys; sys.version_info = (3, 10, 13); $2"\n'
    )
    old.chmod(0o755)
    done = launched(launcher, tmp_path, "-l", PATH=f"{tmp_path}:/usr/bin:/bin")
    assert done.code == 3
    assert done.stderr == f"cc-ci: needs Python 3.11 or newer, but {old} is 3.10.13\n"
    assert not (launcher / ".venv").exists()


@pytest.mark.timeout(900)
def test_a_recipes_directory_is_tested_from_within_and_never_imported_from(
    launcher: Path, tmp_path: Path
) -> None:
    """The whole of a first use, after which the checkout is moved and used again."""
    samples.build(ROOT / "harness" / "images" / "samples" / "custom-html", tmp_path / "bare.git")
    recipe = tmp_path / "my-recipe"
    proc.run(("git", "clone", "--quiet", str(tmp_path / "bare.git"), str(recipe)), timeout=60)
    for module in SHADOWS:
        (recipe / f"{module}.py").write_text("raise SystemExit('imported from the recipe')\n")
    words = ("-s", "e2e", "--", ".", "--stages", "install", "--output", "../out")
    done = launched(launcher, recipe, *words)
    assert done.code == 0, said(done)
    assert "my-recipe: passed" in done.stdout
    (run,) = (tmp_path / "out").iterdir()
    assert run.name.startswith("my-recipe-")
    moved = launcher.parent / "moved"
    shutil.copytree(launcher, moved, symlinks=True)
    done = launched(moved, recipe, "-l")
    assert done.code == 0, said(done)
    assert f"installing nox into {moved}/.venv" in done.stderr
    assert launched(moved, recipe, "-l").stderr == ""


def test_an_empty_recipes_txt_is_never_green(launcher: Path, tmp_path: Path) -> None:
    """Nothing was tested; the one line says what to do."""
    recipes = launcher / "recipes.txt"
    before = recipes.read_text()
    recipes.write_text("# none\n")
    try:
        argv = [sys.executable, "-m", "nox", "--noxfile", str(launcher / "noxfile.py")]
        env = environment()
        done = proc.run([*argv, "-s", "e2e"], timeout=60, cwd=tmp_path, env=env, check=False)
    finally:
        recipes.write_text(before)
    assert done.code == 2
    assert done.stderr.startswith(f"cc-ci: {recipes} lists no recipe\n")
