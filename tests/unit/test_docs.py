"""The documentation tells the truth: what it names is there, and what is there it names."""

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from harness.core import errors
from harness.core.events import KINDS, VERSION, EventKind, LockState, Provided, Step
from harness.core.model import Origin, Outcome, Stage, WarningCode
from harness.core.options import OPTIONS
from harness.core.settings import NODE, SKIP_GENERIC
from harness.recipes.meta import RecipeMeta
from harness.report.results import SCHEMA, RunResult
from tests.hostile.table import attempts
from tests.truth.cases import RECIPES

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *(
        ROOT / f"{page}.md"
        for page in ("README", "ARCHITECTURE", "CHANGELOG", "CONTRIBUTING", "SECURITY")
    ),
    *sorted((ROOT / "docs").rglob("*.md")),
]
SOURCES = sorted((ROOT / "harness").rglob("*.py"))
EVENTS = ("docs/results.md", "## events.jsonl")
SETTINGS = ("docs/testing.md", "## Settings")
LINK = re.compile(r"\]\(([^)\s]+)\)")
NOX = re.compile(r"nox -s \"?(\w[\w-]*)")
PATH = re.compile(r"\b((?:docs/decisions|docs|harness)/[\w./-]+\.(?:md|py))\b")


def name(path: Path) -> str:
    """Return a file's name as a person knows it."""
    return str(path.relative_to(ROOT))


def rows(page: str, heading: str, *, table: int = 0) -> Iterator[list[str]]:
    """Return the cells of each row of a table below that heading, by default the first one.

    Its head is left out.
    """
    text = "\n" + (ROOT / page).read_text()
    assert text.count(f"\n{heading}") == 1, f"{page} has no '{heading}', or several"
    section = text.partition(f"\n{heading}")[2].partition("\n## ")[0]
    tables = re.findall(r"(?m)(?:^\|.*\n)+", section + "\n")
    assert len(tables) > table, f"{page}: there are {len(tables)} tables below '{heading}'"
    for line in tables[table].splitlines()[2:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def quoted(cell: str) -> list[str]:
    """Return what stands in back quotes."""
    return re.findall(r"`([^`]+)`", cell)


def anchors(page: Path) -> set[str]:
    """Return what a link into a page may name: its headings, as they are shown on a forge."""
    headings = re.findall(r"(?m)^#+ (.+)$", page.read_text())
    return {re.sub(r"[^\w\- ]", "", text).strip().lower().replace(" ", "-") for text in headings}


def dead(page: Path, link: str) -> str:
    """Return what is wrong with a link of a page, if anything is."""
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists():
        return f"{name(page)}: {link} leads nowhere"
    if not target.is_relative_to(ROOT):
        return f"{name(page)}: {link} leads out of the project"
    if anchor and anchor not in anchors(target):
        return f"{name(page)}: {link} names a heading that does not exist"
    return ""


def test_every_link_leads_somewhere() -> None:
    """Each link leads to a file of the project, and to a heading in it."""
    links = [
        (page, link)
        for page in PAGES
        for link in LINK.findall(page.read_text())
        if not re.match(r"[a-z]+:", link)
    ]
    assert len(links) > 30
    assert [problem for page, link in links if (problem := dead(page, link))] == []


def test_every_file_and_session_that_is_named_exists() -> None:
    """A hint is the next command to type: one that does not exist is worse than none."""
    known, files, commands = sessions(), 0, 0
    for path in (*PAGES, *SOURCES):
        text = path.read_text()
        named, typed = PATH.findall(text), set(NOX.findall(text))
        missing = [one for one in named if not (ROOT / one).exists()] + sorted(typed - known)
        assert missing == [], f"{name(path)} names what does not exist"
        files, commands = files + len(named), commands + len(typed)
    assert (files > 20, commands > 20) == (True, True)


def sessions() -> set[str]:
    """Return the sessions that the noxfile defines."""
    tree = ast.parse((ROOT / "noxfile.py").read_text())
    found = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            for mark in node.decorator_list:
                called = mark.func if isinstance(mark, ast.Call) else mark
                if ast.unparse(called) == "nox.session":
                    words = mark.keywords if isinstance(mark, ast.Call) else []
                    given = [ast.literal_eval(w.value) for w in words if w.arg == "name"]
                    found |= set(given or [node.name])
    return found


def test_every_row_of_the_table_of_trust_names_what_shows_it() -> None:
    """A test, a row of the truth table, or one of the hostile table; each of them exists."""
    hostile = {row.name for row in attempts()}
    table = list(rows("docs/security.md", "## Who can do what"))
    assert len(table) > 15
    for *_, shown in table:
        named = re.findall(r"`(\w+[.]py)::(\w+)`", shown)
        told = re.findall(r"(truth|hostile) `([\w-]+)`", shown)
        assert named or told, shown
        for file, test in named:
            modules = (ROOT / "tests").rglob(file)
            assert any(f"def {test}(" in module.read_text() for module in modules), shown
        for kind, row in told:
            assert row in hostile if kind == "hostile" else (RECIPES / row).is_dir(), shown


def test_the_main_sessions_are_documented() -> None:
    """Whoever reads README.md knows what there is to type."""
    assert {"e2e", "stage", "tests", "engine", "reap"} <= sessions()
    assert {"e2e", "stage", "tests", "engine", "reap"} <= set(NOX.findall(PAGES[0].read_text()))


def test_the_table_of_settings_is_the_list_of_options() -> None:
    """Every option with its variable, in the order of `--help`, and nothing else."""
    found = [tuple(quoted(option) + quoted(env)) for option, env, _ in rows(*SETTINGS)]
    assert [row for row in found if row[0].startswith("--")] == [
        (option.flag, option.env) for option in OPTIONS
    ]
    rest = [row for row in found if not row[0].startswith("--")]
    assert rest == [
        ("RECIPE",),
        (f"{SKIP_GENERIC}=1",),
        (f"{SKIP_GENERIC}_<STAGE>=1",),
        (f"{NODE}<NAME>",),
    ]


def test_the_choices_of_an_option_are_the_documented_ones() -> None:
    """Each word in back quotes is one that the option takes."""
    options = {option.flag: option for option in OPTIONS}
    for flag, _, about in rows(*SETTINGS):
        if flag in ("`--engine`", "`--endpoint-mode`"):
            assert len(quoted(about)) == 3
            for word in quoted(about):
                assert options[flag.strip("`")].parse(word) == word


def test_the_table_of_exit_codes_is_complete() -> None:
    """A CI decides by them."""
    codes = {value for key, value in vars(errors).items() if key.startswith("EXIT_")}
    found = [int(code) for code, _ in rows("docs/testing.md", "## Exit codes")]
    assert found == sorted(codes)


def test_the_table_of_warnings_is_complete() -> None:
    """ACCEPT_WARNINGS takes these codes and no others."""
    found = [code for cell, _ in rows("docs/testing.md", "## Warnings") for code in quoted(cell)]
    assert sorted(found) == sorted(WarningCode)


def test_the_decisions_are_numbered() -> None:
    """By the name of the file and by its heading."""
    for page in (ROOT / "docs" / "decisions").glob("[0-9]*.md"):
        number, _, name = page.name.partition("-")
        assert page.read_text().startswith(f"# {int(number)}. "), name


def test_the_words_the_stages_and_the_origins_are_the_documented_ones() -> None:
    """All of them are closed sets."""
    words = [word for word, _ in rows("docs/testing.md", "## The words of a result")]
    assert words == [str(outcome) for outcome in Outcome]
    stages = [stage for stage, *_ in rows("docs/testing.md", "# How a run works")]
    assert stages == [str(stage) for stage in Stage]
    origins = [origin for origin, *_ in rows("docs/testing.md", "# How a run works", table=1)]
    assert origins == [str(origin) for origin in Origin]


def test_the_table_of_a_recipes_meta_is_the_list_of_its_fields() -> None:
    """Every field, with its real default, and nothing that is refused."""
    found = list(rows("docs/enroll-recipe.md", "## 2."))
    assert sorted(quoted(field)[0] for field, _, _ in found) == sorted(
        field.name for field in fields(RecipeMeta)
    )
    for field, kind, _ in found:
        said = ast.literal_eval(quoted(kind)[0]) if quoted(kind) else None
        assert said == getattr(RecipeMeta(), quoted(field)[0]), f"{field}: {kind}"


def test_every_field_of_results_json_is_described() -> None:
    """And no field that is not in it; the schema's name is the real one."""
    named = [row[0] for row in rows("docs/results.md", "# results.json")]
    found = {word for cell in named for word in quoted(cell) if "[" not in word}
    assert found == {field.name for field in fields(RunResult)}
    assert f"`{SCHEMA}`" in (ROOT / "docs/results.md").read_text()


def test_the_kinds_of_events_are_the_documented_ones() -> None:
    """Each with its fields, in their order; the version is the real one."""
    table = list(rows(*EVENTS))
    named = [(quoted(kind)[0], quoted(its)) for kind, its, _ in table]
    assert named == [(kind, [one.name for one in fields(KINDS[kind])]) for kind in EventKind]
    assert quoted(table[0][2]) == [VERSION]


def test_the_words_of_events_are_the_documented_ones() -> None:
    """Of each field whose values are told nowhere else, all of them in their order."""
    found = {quoted(field)[0]: quoted(all_) for field, all_ in rows(*EVENTS, table=1)}
    assert found == {"step": list(Step), "state": list(LockState), "how": list(Provided)}


def test_the_map_shows_every_package() -> None:
    """A newcomer looks there first, and nowhere else for long."""
    shown = {one for row in rows("ARCHITECTURE.md", "# Architecture") for one in quoted(row[0])}
    there = {path.parent.name for path in (ROOT / "harness").glob("*/__init__.py")}
    assert shown == there | {"__main__", "api"}


def test_the_map_leads_to_files_that_are_there() -> None:
    """Each place to open, and each test of it."""
    table = list(rows("ARCHITECTURE.md", "## To change X, open Y"))
    assert len(table) >= 15
    for _, opened, tests in table:
        for one in quoted(opened) + quoted(tests):
            places = (ROOT, ROOT / "harness", ROOT / "tests")
            file = one.replace("<stage>", "install")
            assert "/" not in one or any((place / file).exists() for place in places), one


def test_every_decision_is_in_the_list() -> None:
    """So that a reader finds it by what it is about."""
    index = ROOT / "docs" / "decisions" / "README.md"
    there = {path.name for path in index.parent.glob("[0-9]*.md")}
    assert there == set(re.findall(r"\((\d{4}-[\w-]+\.md)\)", index.read_text()))
