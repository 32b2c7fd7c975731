"""Seed hooks: found by name, run once and in order, and whose fault it is when one fails."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import (
    AbortedError,
    EngineError,
    ExecFailedError,
    HarnessError,
    RecipeError,
    TestCodeError,
)
from harness.core.model import Stage
from harness.stages.seeding import SeedContext, SeedHooks

ROOT = Path(__file__).resolve().parents[3]


def hooks(tmp_path: Path, text: str) -> SeedHooks:
    """Return the hooks of an `ops.py` with that text."""
    path = tmp_path / "ops.py"
    path.write_text(text)
    return SeedHooks.load([path])


def context() -> SeedContext:
    """Return a context without an app: these hooks use none."""
    app: Any = None
    return SeedContext(app=app)


def raising(tmp_path: Path, statement: str) -> HarnessError:
    """Return what comes of a hook that does that."""
    made = hooks(
        tmp_path, f"from harness.core import errors\ndef pre_backup(ctx):\n    {statement}\n"
    )
    with pytest.raises(HarnessError) as caught:
        made.run(Stage.BACKUP, context())
    return caught.value


def test_a_hook_is_found_by_its_stage(tmp_path: Path) -> None:
    """Only that stage's, once, with the context; what it remembers is there for the next one."""
    made = hooks(
        tmp_path,
        "def pre_upgrade(ctx): ctx.state.setdefault('ran', []).append('upgrade')\n"
        "def pre_restore(ctx): ctx.state['ran'].append('restore')\n"
        "def post_backup(ctx): raise KeyError\n",
    )
    given = context()
    for stage in Stage:
        made.run(stage, given)
    assert given.state == {"ran": ["upgrade", "restore"]}
    assert [str(stage) for stage in Stage if made.has(stage)] == ["upgrade", "restore"]


def test_a_recipe_without_hooks_has_none() -> None:
    """No `ops.py` is not an error."""
    made = SeedHooks.load([])
    for stage in Stage:
        made.run(stage, context())
        assert not made.has(stage)


def files(tmp_path: Path, *texts: str) -> SeedHooks:
    """Return the hooks of several files called `ops.py`, in that order."""
    paths = []
    for number, text in enumerate(texts):
        paths.append(tmp_path / str(number) / "ops.py")
        paths[-1].parent.mkdir(parents=True)
        paths[-1].write_text(text)
    return SeedHooks.load(paths)


def test_the_hooks_of_several_files_run_in_their_order(tmp_path: Path) -> None:
    """This project's first, then the recipe's own; one of them may have no such hook."""
    text = "def pre_backup(ctx): ctx.state['ran'] = ctx.state.get('ran', '') + {!r}\n"
    made = files(tmp_path, text.format("a"), "def pre_upgrade(ctx): pass\n", text.format("b"))
    given = context()
    made.run(Stage.BACKUP, given)
    assert given.state == {"ran": "ab"}
    assert [str(stage) for stage in Stage if made.has(stage)] == ["upgrade", "backup"]


def test_after_a_hook_that_failed_no_other_one_runs(tmp_path: Path) -> None:
    """The message names the file: all of them are called alike."""
    made = files(tmp_path, "def pre_backup(ctx): {}['x']\n", "def pre_backup(ctx): 1 / 0\n")
    with pytest.raises(TestCodeError, match=r"/0/ops\.py failed: KeyError"):
        made.run(Stage.BACKUP, context())
    made = files(tmp_path / "more", "", "def pre_backup(ctx): assert False\n")
    with pytest.raises(RecipeError) as caught:
        made.run(Stage.BACKUP, context())
    assert str(tmp_path / "more/1/ops.py") in caught.value.hint


def test_two_recipes_hooks_do_not_meet(tmp_path: Path) -> None:
    """Both files are called ops.py; a name of one must not be seen in the other."""
    made = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        text = f"NAME = {name!r}\ndef pre_backup(ctx): ctx.state['name'] = NAME\n"
        made.append(hooks(tmp_path / name, text))
    given = [context(), context()]
    for one, ctx in zip(made, given, strict=True):
        one.run(Stage.BACKUP, ctx)
    assert [ctx.state["name"] for ctx in given] == ["a", "b"]


def test_an_assertion_in_a_hook_is_about_the_recipe(tmp_path: Path) -> None:
    """The app does not do what it should: *failed*, with the assertion's own words."""
    error = raising(tmp_path, "assert 1 == 2, 'the page is not there'")
    assert type(error) is RecipeError
    assert "pre_backup" in error.what
    assert "the page is not there" in error.what
    assert "ops.py" in error.hint


def test_an_assertion_in_a_hook_is_made_under_python_o(tmp_path: Path) -> None:
    """`python -O` leaves out what it compiles; a hook without its `assert` would pass anything."""
    path = tmp_path / "ops.py"
    path.write_text("def pre_backup(ctx):\n    assert False, 'is made'\n")
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from harness.stages.seeding import SeedHooks, SeedContext\n"
        "from harness.core.model import Stage\n"
        "hooks = SeedHooks.load([Path(sys.argv[1])])\n"
        "hooks.run(Stage.BACKUP, SeedContext(app=None))\n"
    )
    found = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-O", "-c", program, str(path)], cwd=ROOT, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert found.returncode == 1
    assert "assertion failed in the seed hook pre_backup: is made" in found.stderr


def test_an_assertion_without_a_message_shows_its_line(tmp_path: Path) -> None:
    """Else the cause would end in nothing."""
    error = raising(tmp_path, "assert 1 == 2")
    assert error.what == "assertion failed in the seed hook pre_backup: assert 1 == 2"


def test_a_hook_that_is_broken_itself_says_nothing_of_the_recipe(tmp_path: Path) -> None:
    """*error*, with the line at which it broke."""
    error = raising(tmp_path, "{}['no such key']")
    assert type(error) is TestCodeError
    assert "KeyError: 'no such key'" in error.what
    assert "line 3" in error.detail


@pytest.mark.parametrize("kind", [ExecFailedError, EngineError, AbortedError])
def test_what_the_harness_itself_raises_keeps_its_word(
    tmp_path: Path, kind: type[HarnessError]
) -> None:
    """A failed exec is the recipe's, a dead engine the machine's, Ctrl-C nobody's."""
    error = raising(tmp_path, f"raise errors.{kind.__name__}('said', hint='do')")
    assert type(error) is kind
    assert error.what.endswith("said")
    assert error.hint == "do"
    assert ("in the seed hook pre_" in error.what) == (kind is not AbortedError)


ENDS = ("import sys; sys.exit(0)", "import pytest; pytest.skip('no', allow_module_level=True)")


@pytest.mark.parametrize("statement", ENDS)
def test_a_hook_cannot_end_or_skip_the_run(tmp_path: Path, statement: str) -> None:
    """Either would pass every `except Exception`, and the stage would be forgotten: *error*."""
    error = raising(tmp_path, statement)
    assert type(error) is TestCodeError
    assert "the seed hook pre_backup" in error.what
    assert error.what.endswith(("SystemExit: 0", "Skipped: no"))


@pytest.mark.parametrize("text", ENDS)
def test_a_file_cannot_end_or_skip_the_run_when_it_is_read(tmp_path: Path, text: str) -> None:
    """Before anything is deployed."""
    with pytest.raises(TestCodeError, match=r"ops\.py cannot be imported: .*(Exit|Skipped)"):
        hooks(tmp_path, text)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, MemoryError])
def test_what_is_not_the_hooks_own_is_not_taken_for_it(
    tmp_path: Path, kind: type[BaseException]
) -> None:
    """Ctrl-C, or a machine without memory, may come at any moment, and in the import too."""
    text = f"raise {kind.__name__}\n"
    with pytest.raises(kind):
        hooks(tmp_path, text)
    made = hooks(tmp_path, f"def pre_backup(ctx): {text}")
    with pytest.raises(kind):
        made.run(Stage.BACKUP, context())


@pytest.mark.parametrize("text", ["def pre_backup(ctx:\n", "import no_such_module\n", "1 / 0\n"])
def test_a_file_that_cannot_be_imported_is_named(tmp_path: Path, text: str) -> None:
    """Before anything is deployed."""
    with pytest.raises(TestCodeError, match=r"ops\.py cannot be imported: \w+Error"):
        hooks(tmp_path, text)


def test_a_stop_during_the_import_is_a_stop(tmp_path: Path) -> None:
    """Ctrl-C is raised wherever the program is, which may be there."""
    with pytest.raises(AbortedError):
        hooks(tmp_path, "from harness.core import errors\nraise errors.AbortedError('SIGINT')\n")


@pytest.mark.parametrize("value", ["b'bytes'", "{1, 2}", "object()"])
def test_what_cannot_be_handed_on_is_the_hooks_fault(tmp_path: Path, value: str) -> None:
    """Assertions get the state as JSON; found out later, it would look like the harness's fault."""
    error = raising(tmp_path, f"ctx.state['note'] = {value}")
    assert type(error) is TestCodeError
    assert "pre_backup" in error.what
    assert "JSON" in error.what
