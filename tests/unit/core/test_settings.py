"""Settings: where each comes from, what is refused, and with which words."""

from pathlib import Path

import pytest

from harness.core.command_line import parse, split
from harness.core.errors import UnknownNameError, UsageError
from harness.core.model import Stage
from harness.core.options import OPTIONS
from harness.core.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
HOME = {"HOME": "/home/x"}


def load(*argv: str, directory: Path, **environ: str) -> Settings:
    """Read settings from a command line and an environment."""
    return Settings.load(argv, {**HOME, **environ}, directory=directory)


def test_the_command_line_goes_before_the_environment_before_the_file(tmp_path: Path) -> None:
    """And each value knows where it came from."""
    (tmp_path / "cc-ci.toml").write_text('ref = "file"\nversion = "file"\nsrc = "file"\n')
    got = load("--ref", "line", directory=tmp_path, REF="env", VERSION="env")
    assert (got.ref, got.version, got.src, got.pr) == ("line", "env", f"{tmp_path}/file", "")
    assert got.origins["ref"] == "--ref"
    assert got.origins["version"] == "VERSION in the environment"
    assert got.origins["src"].endswith("cc-ci.toml")


def test_recipes_come_from_the_line_or_from_RECIPE(tmp_path: Path) -> None:  # noqa: N802  its name
    """Options may stand between them."""
    assert load("a", "--keep", "b", directory=tmp_path).selectors == ("a", "b")
    assert load(directory=tmp_path, RECIPE="c d").selectors == ("c", "d")
    assert load("a", directory=tmp_path, RECIPE="c").selectors == ("a",)
    with pytest.raises(UsageError, match="names no recipe"):
        load(directory=tmp_path, RECIPE=" ")


def test_RECIPE_matters_to_runs_only(tmp_path: Path) -> None:  # noqa: N802  its name
    """`abra install` would take it as a revision, and `reap` as a kept run to remove."""
    for words in (["abra", "install"], ["reap"], ["lint"], ["pr"], ["post", "--pr", "x"]):
        given = parse(words)
        got = Settings.read(given, {**HOME, "RECIPE": "c"}, directory=tmp_path)
        assert (got.selectors, given.get("revision", ""), given.get("runs", [])) == ((), "", [])


def test_relative_paths_are_as_seen_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the settings file are as seen from that file; the default is beside recipes.txt."""
    here, project = tmp_path / "here", tmp_path / "project"
    here.mkdir()
    project.mkdir()
    monkeypatch.chdir(here)
    (here / "over").mkdir()
    got = load("--output", "out", "--src", "../mine", directory=project, CCCI_OVERLAYS="over")
    assert got.output == here / "out"
    assert Path(got.src).resolve() == tmp_path / "mine"
    assert got.overlays == here / "over"
    (project / "cc-ci.toml").write_text('output = "out"\nsrc = "../mine"\n')
    got = load(directory=project)
    assert got.output == project / "out"
    assert Path(got.src).resolve() == tmp_path / "mine"
    assert load(directory=here).output == ROOT / "runs"


@pytest.mark.parametrize(
    "source", ["https://example.org/x.git", "git@example.org:x/y.git", "sample:custom-html", "/x"]
)
def test_a_source_that_is_no_relative_path_is_left_alone(source: str, tmp_path: Path) -> None:
    """URLs, ssh addresses and samples, from the command line and from a file."""
    assert load("--src", source, directory=tmp_path).src == source
    (tmp_path / "cc-ci.toml").write_text(f'src = "{source}"\n')
    assert load(directory=tmp_path).src == source


def test_stages_are_put_in_their_order(tmp_path: Path) -> None:
    """However they were written."""
    assert load("--stages", "restore,install", directory=tmp_path).stages == (
        Stage.INSTALL,
        Stage.RESTORE,
    )
    assert load(directory=tmp_path, STAGES="backup").stages == (Stage.BACKUP,)
    assert load(directory=tmp_path).stages == tuple(Stage)


@pytest.mark.parametrize("value", ['","', '""', "[]", '["install", ""]', '" "'])
def test_an_empty_list_of_stages_never_means_all_of_them(value: str, tmp_path: Path) -> None:
    """Neither in the file nor in the environment; a variable that is set to nothing is unset."""
    (tmp_path / "cc-ci.toml").write_text(f"stages = {value}\n")
    with pytest.raises(UsageError, match=r"stages, from .*cc-ci\.toml"):
        load(directory=tmp_path)
    with pytest.raises(UsageError, match="stages, from STAGES in the environment"):
        load(directory=tmp_path / "none", STAGES=" , ")
    assert load(directory=tmp_path / "none", STAGES="").stages == tuple(Stage)


@pytest.mark.parametrize(
    ("argv", "environ", "words"),
    [
        (["--kep"], {}, "--keep"),
        (["--stages", "instal"], {}, "install"),
        ([], {"CCCI_TIMEOUT_FAKTOR": "2"}, "CCCI_TIMEOUT_FACTOR"),
        ([], {"CCCI_SKIP_GENERIC_BACKUPS": "1"}, "CCCI_SKIP_GENERIC_BACKUP"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_known_one(
    argv: list[str], environ: dict[str, str], words: str, tmp_path: Path
) -> None:
    """A setting that is misspelt and ignored would be a lie about what was tested."""
    with pytest.raises(UnknownNameError) as caught:
        load(*argv, directory=tmp_path, **environ)
    assert words in caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--timeout-factor", "fast"], "timeout_factor"),
        (["--timeout-factor", "0"], "between 0.1 and 100"),
        (["--jobs", "0"], "a whole number from 1 to 1000"),
        (["--jobs", "1.5"], "jobs, from --jobs: a whole number from 1 to 1000"),
        (["--jobs", "x"], "jobs, from --jobs: a whole number from 1 to 1000"),
        (["--run-timeout", "nan"], "run_timeout, from --run-timeout: a number is expected"),
        (["--timeout-factor", "inf"], "a number is expected"),
        (["--timeout-factor", "1,5"], "a number is expected"),
        (["--engine", "podman"], "auto, external, private"),
        (["--lock-timeout", "-3"], "not negative"),
        (["--stages", ","], "a stage is missing between its commas"),
        (["--stages", "install,"], "a stage is missing between its commas"),
        (["--stages", "install,,backup"], "a stage is missing between its commas"),
        (["--stages", ""], "it is empty"),
        (["--overlays", ""], "a path is expected"),
        (["--output", ""], "a path is expected"),
        (["--cache", ""], "a path is expected"),
        (["--token-file", ""], "a path is expected"),
    ],
)
def test_a_value_that_cannot_be_read_says_which_and_from_where(
    argv: list[str], words: str, tmp_path: Path
) -> None:
    """What, where, and what is expected."""
    with pytest.raises(UsageError) as caught:
        load(*argv, directory=tmp_path)
    assert words in str(caught.value)
    assert argv[0] in str(caught.value)


def test_an_unknown_key_in_the_file_is_refused(tmp_path: Path) -> None:
    """As on the command line."""
    (tmp_path / "cc-ci.toml").write_text("kep = true\n")
    with pytest.raises(UnknownNameError) as caught:
        load(directory=tmp_path)
    assert "keep" in caught.value.hint


def test_a_file_may_not_say_where_approvals_lie(tmp_path: Path) -> None:
    """It may lie in anybody's directory, and would say whose code is run; a user may say so."""
    (tmp_path / "cc-ci.toml").write_text('overlays = "/theirs"\n')
    with pytest.raises(UnknownNameError, match="no setting 'overlays'"):
        load(directory=tmp_path)
    (tmp_path / "cc-ci.toml").unlink()
    assert load("--overlays", "/usr", directory=tmp_path).overlays == Path("/usr")
    assert load(directory=tmp_path, CCCI_OVERLAYS="/usr").overlays == Path("/usr")


def test_overlays_that_do_not_exist_are_refused(tmp_path: Path) -> None:
    """With a typing error in the name, fewer tests would look like a pass."""
    (tmp_path / "file").touch()
    for name in ("nowhere", "file"):
        with pytest.raises(UsageError, match=f"{name} is not a directory"):
            load("--overlays", str(tmp_path / name), directory=tmp_path)


def test_every_other_option_may_be_set_in_a_file(tmp_path: Path) -> None:
    """What is kept out is kept out on purpose; whether the value fits is another matter."""
    refused = set()
    for option in OPTIONS:
        (tmp_path / "cc-ci.toml").write_text(f'{option.name} = "1"\n')
        try:
            load(directory=tmp_path)
        except UsageError as error:
            if "there is no setting" in error.what:
                refused.add(option.name)
    assert refused == {"trust", "overlays", "forge", "forge_api", "token_file"}


def test_generic_assertions_are_left_out_as_asked(tmp_path: Path) -> None:
    """All of them, or those of one stage; 0 means no."""
    assert load(directory=tmp_path, CCCI_SKIP_GENERIC="1").skip_generic == frozenset(Stage)
    assert load(directory=tmp_path, CCCI_SKIP_GENERIC_BACKUP="1").skip_generic == {Stage.BACKUP}
    assert load(directory=tmp_path, CCCI_SKIP_GENERIC="0").skip_generic == frozenset()
    with pytest.raises(UsageError):
        load(directory=tmp_path, CCCI_SKIP_GENERIC="maybe")


def test_the_cache_is_the_users_own(tmp_path: Path) -> None:
    """XDG_CACHE_HOME, else ~/.cache, unless it is set."""
    assert load(directory=tmp_path).cache == Path("/home/x/.cache/cc-ci")
    assert load(directory=tmp_path, XDG_CACHE_HOME="/c").cache == Path("/c/cc-ci")
    assert load(directory=tmp_path, CCCI_CACHE="/d").cache == Path("/d")


def test_a_line_is_split_into_what_it_selects_and_its_options() -> None:
    """A value that looks like a recipe stays with its option."""
    assert split(["a", "--ref", "b", "--keep", "c"]) == (("a", "c"), ("--ref", "b", "--keep"))


def test_every_option_is_a_field() -> None:
    """What can be set is what is used."""
    assert {option.name for option in OPTIONS} <= set(Settings.__dataclass_fields__)


@pytest.mark.parametrize(
    ("words", "environ", "expected"),
    [
        (["run"], {}, 1.0),
        (["run", "app", "--timeout-factor", "2"], {}, 2.0),
        (["reap", "--timeout-factor=2.5"], {"CCCI_TIMEOUT_FACTOR": "3"}, 2.5),
        (["engine", "status"], {"CCCI_TIMEOUT_FACTOR": "3"}, 3.0),
        (["matrix"], {"CCCI_TIMEOUT_FACTOR": "3"}, 3.0),
    ],
)
def test_every_command_has_the_factor_of_time_outs(
    words: list[str], environ: dict[str, str], expected: float, tmp_path: Path
) -> None:
    """Also one without that option: the environment and the file say it, too."""

    def factor() -> float:
        return Settings.read(parse(words), {**HOME, **environ}, directory=tmp_path).timeout_factor

    assert factor() == expected
    (tmp_path / "cc-ci.toml").write_text("timeout_factor = 4\n")
    assert factor() == (expected if environ or len(words) > 1 else 4.0)
