"""The sessions as they are typed."""

import sys

from harness import proc
from tests.integration.support import ROOT, environment


def nox(*words: str, **environ: str) -> proc.Completed:
    """Call nox in the project's directory."""
    argv = [sys.executable, "-m", "nox", *words]
    return proc.run(argv, timeout=600, cwd=ROOT, env=environment(**environ), check=False)


def said(done: proc.Completed) -> str:
    """Return all that it printed."""
    return done.stdout + done.stderr


def test_the_list_has_every_session_with_a_line_about_it() -> None:
    """Recipes by stages included."""
    listed = nox("-l").stdout
    for session in (
        "e2e(recipe='custom-html') -> ", "e2e(recipe='gitea') -> ",
        "stage(recipe='radicale', stage='restore') -> ", "tests -> ", "lint -> ",
        "typecheck -> ", "docs -> ", "engine -> ", "reap -> ",
    ):  # fmt: skip
        assert session in listed


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
    done = nox("-s", "stage(recipe='custom-html', stage='install')")
    assert done.code == 0, said(done)
    assert "install: passed" in said(done)
    assert "upgrade" not in said(done).partition("stage     result")[2]
