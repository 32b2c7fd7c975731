"""recipes.txt and the selectors of the command line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.core import proc
from harness.core.errors import UnknownNameError, UsageError
from harness.core.model import Stage
from harness.recipes.catalogue import Catalogue, Entry, select

ROOT = Path(__file__).parents[3]
LIST = Path("/there/recipes.txt")


def parse(text: str) -> Catalogue:
    return Catalogue.parse(text, LIST)


def test_a_line_is_a_name_a_source_and_options() -> None:
    """Name, source and options are split at blanks; comments and empty lines say nothing."""
    catalogue = parse(
        "# first\n\ncustom-html sample:custom-html # a sample\n"
        "  gitea\thttps://git.example.com/a/gitea.git#frag  ref=main stages=upgrade,install \n"
    )
    assert catalogue.names == ("custom-html", "gitea")
    assert catalogue.get("custom-html").sample == "custom-html"
    assert catalogue.get("gitea") == Entry(
        name="gitea",
        source="https://git.example.com/a/gitea.git#frag",
        ref="main",
        stages=(Stage.INSTALL, Stage.UPGRADE),
        line=4,
    )


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n   # at all\n"])
def test_an_empty_list_is_allowed(text: str) -> None:
    """A list without recipes is a list."""
    assert parse(text).names == ()


@pytest.mark.parametrize(
    ("source", "meant"),
    [
        ("sample:x", "sample:x"),
        ("http://h/x", "http://h/x"),
        ("https://h/x.git", "https://h/x.git"),
        ("ssh://git@h:22/x.git", "ssh://git@h:22/x.git"),
        ("git://h/x", "git://h/x"),
        ("file:///srv/x", "file:///srv/x"),
        ("git@h.example:a/x.git", "git@h.example:a/x.git"),
        ("/srv/x", "/srv/x"),
        ("recipes/x", "/there/recipes/x"),
        ("../x", "/x"),
    ],
)
def test_every_kind_of_source(source: str, meant: str) -> None:
    """URLs, ssh addresses and samples stay as they are; a path is relative to the file's folder."""
    entry = parse(f"x {source}").get("x")
    assert entry.source == meant
    assert bool(entry.sample) == source.startswith("sample:")


@pytest.mark.parametrize(
    ("line", "problem", "hint"),
    [
        ("Gitea https://h/x", "invalid recipe name 'Gitea'", ""),
        ("-x https://h/x", "invalid recipe name '-x'", ""),
        ("a/b https://h/x", "invalid recipe name 'a/b'", ""),
        ("unit https://h/x", "tests/unit", ""),
        ("gitea", "the source of 'gitea' is missing", "NAME SOURCE"),
        ("gitea ref=main", "the source of 'gitea' is missing", ""),
        ("gitea https://h/x fast", "'fast' is no option", ""),
        ("gitea https://h/x reff=a", "there is no option 'reff'", "did you mean ref?"),
        ("gitea https://h/x stage=a", "there is no option 'stage'", "did you mean stages?"),
        ("gitea https://h/x zzz=a", "there is no option 'zzz'", "known are ref, stages"),
        ("gitea https://h/x ref=", "the option 'ref' has no value", ""),
        ("gitea https://h/x ref=a ref=b", "the option 'ref' is given twice", ""),
        ("gitea https://h/x ref=--upload-pack=x", "can be no ref", ""),
        ("gitea https://h/x stages=instal", "no stage 'instal'", "did you mean install?"),
        ("gitea https://h/x stages=qqq", "no stage 'qqq'", "install, upgrade"),
        ("gitea https://h/x stages=,", "a stage is missing between its commas", "stages=install"),
        ("gitea https://h/x stages=install,", "a stage is missing between", "stages=install"),
        ("gitea https://h/x stages=", "the option 'stages' has no value", ""),
        ("gitea --upload-pack=x", "begins with '-'", ""),
        ("gitea ext::sh", "of a kind that is not cloned here", ""),
        ("gitea ftp://h/x", "of a kind that is not cloned here", ""),
        ("gitea sample:", "names no sample", ""),
    ],
)
def test_a_bad_line_is_named_and_shown(line: str, problem: str, hint: str) -> None:
    """The complaint names the file, the line's number, the line and what is wrong with it."""
    with pytest.raises(UsageError) as caught:
        parse(f"# first\nfine https://h/fine\n{line} # remark\n")
    assert caught.value.what.startswith("/there/recipes.txt, line 3: ")
    assert problem in caught.value.what
    assert hint in caught.value.hint
    assert caught.value.hint
    assert caught.value.detail == f"{line} # remark"


def test_a_name_is_taken_once() -> None:
    """A second line of the same name is refused, and the first one is pointed at."""
    with pytest.raises(UsageError, match=r"line 3: the name 'a' is already taken by line 1"):
        parse("a sample:a\nb sample:b\na sample:c\n")


def test_an_unknown_name_comes_with_the_nearest_ones() -> None:
    """A slip of the keyboard is answered with what was meant."""
    catalogue = parse("custom-html sample:custom-html\nradicale sample:radicale")
    with pytest.raises(UnknownNameError, match="no recipe 'custom-htm'") as caught:
        select(catalogue, ["custom-htm"])
    assert "custom-html" in caught.value.hint
    with pytest.raises(UnknownNameError) as caught:
        select(catalogue, ["zzzz"])
    assert "./zzzz" in caught.value.hint


def test_selectors_name_recipes_refs_paths_and_urls(tmp_path: Path) -> None:
    """A name keeps what its line says, but for the ref; paths and URLs give a name of their own."""
    catalogue = parse("a sample:a ref=main stages=install\nb sample:b")
    chosen = select(
        catalogue,
        [
            "a",
            "a#17",
            "./My-Recipe",
            f"{tmp_path}/x.git#1.0.0+1.2",
            "https://git.example.com/org/gitea.git#feature/new#2",
            "git@h:org/ghost.git",
        ],
        cwd=tmp_path,
    )
    assert [(entry.name, entry.source, entry.ref) for entry in chosen] == [
        ("a", "sample:a", "main"),
        ("a", "sample:a", "17"),
        ("my-recipe", f"{tmp_path}/My-Recipe", ""),
        ("x", f"{tmp_path}/x.git", "1.0.0+1.2"),
        ("gitea", "https://git.example.com/org/gitea.git", "feature/new#2"),
        ("ghost", "git@h:org/ghost.git", ""),
    ]
    assert chosen[1].stages == (Stage.INSTALL,)
    assert [entry.line for entry in chosen] == [1, 1, 0, 0, 0, 0]


def test_the_same_selection_twice_is_one(tmp_path: Path) -> None:
    """Asking twice for the same thing runs it once; another ref of it is another thing."""
    catalogue = parse("a sample:a\nb sample:b")
    chosen = select(catalogue, ["b", "a", "b", "a#x", "./p", f"{tmp_path}/p"], cwd=tmp_path)
    assert [(entry.name, entry.ref) for entry in chosen] == [
        ("b", ""),
        ("a", ""),
        ("a", "x"),
        ("p", ""),
    ]
    assert select(catalogue, []) == ()


@pytest.mark.parametrize("selector", ["a#", "a#-x", "./unit", "./~", "./..", "ftp://h/x", "./-"])
def test_a_selector_that_cannot_be_one_is_refused(selector: str) -> None:
    """An empty ref, an option in disguise and a name of the harness' own folders are refused."""
    with pytest.raises(UsageError):
        select(parse("a sample:a"), [selector], cwd=Path("/"))


def test_an_unreadable_list_is_a_usage_error(tmp_path: Path) -> None:
    """A list that is not there, or is no text, is said so."""
    with pytest.raises(UsageError, match="cannot be read"):
        Catalogue.load(tmp_path / "recipes.txt")
    (tmp_path / "recipes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="cannot be read"):
        Catalogue.load(tmp_path / "recipes.txt")


def test_the_projects_own_list() -> None:
    """The list that is shipped can be read, and begins with the samples, which need no network."""
    catalogue = Catalogue.load(ROOT / "recipes.txt")
    assert catalogue.names[:2] == ("custom-html", "radicale")
    assert [bool(entry.sample) for entry in catalogue.entries[:3]] == [True, True, False]
    assert all(entry.source.startswith("https://") for entry in catalogue.entries[2:])


def test_reading_the_list_imports_little() -> None:
    """`nox -l` reads the list, so nothing beyond the standard library may be imported for it."""
    code = (
        "import sys, harness.recipes.catalogue\n"
        "print(*sorted(n for n in sys.modules if n.split('.')[0] in"
        " ('yaml', 'docker', 'filelock', 'msgspec', 'pytest', 'rich') or n.startswith('harness.')))"
    )
    done = proc.run([sys.executable, "-c", code], timeout=20, cwd=ROOT)
    assert done.stdout.split() == [
        "harness.core",
        "harness.core.errors",
        "harness.core.model",
        "harness.core.nearest",
        "harness.core.options",
        "harness.core.untrusted",
        "harness.recipes",
        "harness.recipes.catalogue",
    ]


def test_runs_at_once_are_as_many_as_were_named() -> None:
    """Two runs of one recipe are two: each has its own stack."""
    chosen = select(parse("a sample:a\nb sample:b"), ["b", "a", "b"], each=True)
    assert [entry.name for entry in chosen] == ["b", "a", "b"]
