"""What the command line of nox asks for, and the list that it prints for people."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from nox._options import options

from harness.core.errors import UnknownNameError, UsageError
from harness.core.model import Stage
from harness.fleet import listing
from harness.fleet.asked import Asked, Recipes, stages
from harness.fleet.listing import Group

RECIPES = "a sample:custom-html\nb https://example.org/b.git\n"


@pytest.fixture(name="project")
def project_fixture(tmp_path: Path) -> Path:
    """A project with two recipes."""
    (tmp_path / "recipes.txt").write_text(RECIPES)
    return tmp_path


def recipes(project: Path, *argv: str, **environ: str) -> Recipes:
    """Return the recipes of a command line."""
    return asked_by(*argv).recipes(project, {"HOME": str(project), **environ})


def asked_by(*argv: str) -> Asked:
    """Return what a command line of nox asks for, as nox reads it."""
    return Asked.of(options.parse_args(list(argv)))


@pytest.mark.parametrize(
    ("argv", "sessions", "after", "jobs"),
    [
        (("-s", "e2e", "--", "a", "-s", "b"), ("e2e",), ("a", "-s", "b"), ""),
        (("-j", "4", "-s", "e2e", "unit"), ("e2e", "unit"), (), "4"),
        (("-s", "e2e", "-j4", "-r"), ("e2e",), (), "4"),
        (("--sessions=e2e", "--parallel", "3"), ("e2e",), (), "3"),
        (("-e", "e2e", "--parallel=2"), ("e2e",), (), "2"),
        ((), (), (), ""),
    ],
)  # fmt: skip
def test_the_command_line_is_read_as_nox_reads_it(
    argv: tuple[str, ...], sessions: tuple[str, ...], after: tuple[str, ...], jobs: str
) -> None:
    """By nox itself; what follows `--` is the session's."""
    asked = asked_by(*argv)
    assert (asked.sessions, asked.after, asked.jobs) == (sessions, after, jobs)


def test_sessions_and_jobs_can_stand_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As nox takes them; the command line goes first."""
    monkeypatch.setenv("NOXSESSION", "e2e,unit")
    monkeypatch.setenv("NOX_PARALLEL", "3")
    asked = asked_by()
    assert (asked.sessions, asked.jobs) == (("e2e", "unit"), "3")
    asked = asked_by("-s", "lint", "-j", "2")
    assert (asked.sessions, asked.jobs) == (("lint",), "2")


@pytest.mark.parametrize(
    ("argv", "names"),
    [
        (("-s", "e2e"), ("a", "b")),
        (("-s", "e2e", "--", "b", "--keep"), ("b",)),
        (("-s", "e2e", "--", "/srv/x#main"), ("/srv/x#main",)),
        (("-s", "e2e(b)"), ("b",)),
        (("-s", "e2e(b)", "--", "--keep"), ("b",)),
        (("-s", "stage(a, restore)", "stage(b,install)"), ("a", "b")),
        (("-s", "stage", "--", "b"), ("b",)),
        (("-l",), ("a", "b")),
        (("-l", "--", "b", "--keep"), ("b",)),
        (("-s", "lint"), ("a", "b")),
    ],
)  # fmt: skip
def test_recipes_come_from_the_session_then_the_words_then_the_file(
    project: Path, argv: tuple[str, ...], names: tuple[str, ...]
) -> None:
    """Each is a session, so the noxfile has to know them first."""
    assert recipes(project, *argv).names == names


def test_the_variable_matters_to_sessions_that_test_recipes_only(project: Path) -> None:
    """Others would take it for a revision, or for a run."""
    assert recipes(project, "-s", "e2e", RECIPE="b").names == ("b",)
    assert recipes(project, "-s", "e2e", "--", "a", RECIPE="b").names == ("a",)
    assert recipes(project, "-s", "abra-install", RECIPE="b").names == ("a", "b")
    assert recipes(project, "-l", RECIPE="b").names == ("a", "b")


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n"])
def test_no_recipe_at_all_is_an_error_of_e2e_only(project: Path, text: str) -> None:
    """Nothing tested must not be green; named recipes and other sessions need no list."""
    (project / "recipes.txt").write_text(text)
    with pytest.raises(UsageError, match="lists no recipe") as caught:
        recipes(project, "-s", "e2e")
    assert caught.value.exit_code == 2
    assert recipes(project, "-s", "e2e", "--", "./mine").names == ("./mine",)
    assert recipes(project, "-s", "tests").names == ()
    assert recipes(project, "-l").names == ()


def test_a_broken_recipes_txt_stops_what_reads_it(project: Path) -> None:
    """The list and `e2e`, but not the tests of the harness."""
    (project / "recipes.txt").write_text("Bad Name\n")
    for argv in (("-l",), ("-s", "e2e")):
        with pytest.raises(UsageError, match="line 1"):
            recipes(project, *argv)
    assert recipes(project, "-s", "tests").names == ()


def test_stages_need_a_recipe(project: Path) -> None:
    """All stages of all recipes is `e2e`, at a fifth of the price."""
    with pytest.raises(UsageError, match="no recipe is named"):
        recipes(project, "-s", "stage")
    assert stages(["a"]) == [("a", str(stage)) for stage in Stage]


@pytest.mark.parametrize(
    ("argv", "alone"),
    [
        (("-s", "e2e", "--", "a"), True),
        (("-s", "e2e(a)"), True),
        (("-s", "stage(a, install)"), True),
        (("-s", "e2e", "--", "a", "b", "--jobs", "2"), True),
        (("-s", "e2e"), False),
        (("-s", "e2e", "unit", "--", "a"), False),
        (("-s", "stage", "--", "a"), False),
    ],
)
def test_the_exit_code_is_handed_on_if_one_session_is_all(
    project: Path, argv: tuple[str, ...], *, alone: bool
) -> None:
    """With more, nox says 0 or 1 for all of them."""
    assert recipes(project, *argv).alone is alone


def test_several_recipes_at_a_time_are_one_session(project: Path) -> None:
    """The harness runs them; nox would hide what they print."""
    assert recipes(project, "-s", "e2e", CCCI_JOBS="2").together
    assert not recipes(project, "-s", "e2e").together
    assert not recipes(project, "-s", "e2e", "--", "a", "--jobs", "2").together
    assert not recipes(project, "-s", "e2e(a)", "e2e(b)", CCCI_JOBS="2").together


def test_a_mistyped_session_is_a_usage_error_that_names_the_right_one() -> None:
    """Nox itself would end with 3, which says here that the machine is wrong."""
    known = ["e2e", "e2e(a)", "stage(a, restore)", "tests"]
    for right in ("e2e(a)", "stage(a,restore)", "tests"):
        Asked(sessions=(right,)).check(known)
    with pytest.raises(UnknownNameError) as caught:
        Asked(sessions=("tests", "test")).check(known)
    assert caught.value.exit_code == 2
    assert "tests" in caught.value.hint


@pytest.mark.parametrize(
    ("argv", "listing"),
    [
        (("-l",), True),
        (("--list", "--", "a"), True),
        (("-l", "-s", "e2e"), False),
        (("-l", "--json"), False),
        (("-l", "-k", "e2e"), False),
        (("-s", "e2e", "--", "-l"), False),
    ],
)
def test_the_list_for_people_is_for_all_sessions(argv: tuple[str, ...], *, listing: bool) -> None:
    """With a filter or a format, nox prints its own."""
    assert asked_by(*argv).listing is listing


def listed(project: Path, capsys: pytest.CaptureFixture[str], *argv: str) -> list[str]:
    """Return the lines that are printed for a noxfile of few sessions."""
    registered = {
        name: SimpleNamespace(__doc__=about, tags=[str(group)], default=name == "tests")
        for name, about, group in (
            ("e2e", "Test each recipe.\n\nMore.", Group.TEST),
            ("stage", "Test a stage.", Group.TEST),
            ("tests", "Test the harness.", Group.TEST),
            ("unit", "Run unit tests.", Group.DEVELOP),
            ("post", "Write results.", Group.SERVE),
        )
    }
    asked = asked_by(*argv)
    names = asked.recipes(project, {}).names
    given = stages(names) if asked.after else []
    with pytest.raises(SystemExit) as left:
        listing.finish(asked, project, names, given, registered)
    assert left.value.code == 0
    return capsys.readouterr().out.splitlines()


def test_the_list_begins_with_what_one_types_first_and_ends_with_developers_sessions(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Then a line for each recipe, with where it comes from."""
    lines = listed(project, capsys, "-l")
    assert lines[1:5] == [
        "- e2e -> Test each recipe.",
        "* tests -> Test the harness.",
        "- e2e(a) -> sample:custom-html",
        "- e2e(b) -> https://example.org/b.git",
    ]
    order = [lines.index(line) for line in lines if line in listing.HEADINGS.values()]
    assert order == sorted(order)
    assert len(order) == len(Group)
    assert lines.index("- unit -> Run unit tests.") > lines.index(listing.HEADINGS[Group.DEVELOP])
    assert lines.index("- post -> Write results.") < lines.index(listing.HEADINGS[Group.DEVELOP])
    assert not any("stage(" in line for line in lines)


def test_the_list_has_the_stages_of_a_recipe_that_is_named(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only its own, and no other recipe."""
    lines = listed(project, capsys, "-l", "--", "b")
    assert [line.partition(" -> ")[0] for line in lines if "(b" in line] == [
        "- e2e(b)", *(f"- stage(b, {stage})" for stage in Stage),
    ]  # fmt: skip
    assert not any("(a" in line for line in lines)
