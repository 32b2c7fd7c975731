"""What `recipe_meta.py` may say, and how it is checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.core.model import Stage
from harness.recipes import meta
from harness.recipes.meta import RecipeMeta

Load = Callable[[str], RecipeMeta]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """A function that loads a meta file of the given text."""

    def write_and_load(text: str) -> RecipeMeta:
        path = tmp_path / "recipe_meta.py"
        path.write_text(text)
        return meta.load(path)

    return write_and_load


def test_no_file_means_the_defaults() -> None:
    """A recipe without a meta file is tested with the defaults, and nothing has changed."""
    assert meta.load(None) == RecipeMeta()
    assert RecipeMeta().changed() == {}
    assert RecipeMeta().skip_generic() == frozenset()


def test_capital_names_are_fields_and_the_rest_is_the_files_own(load: Load) -> None:
    """Lowercase and private names, functions and imports are the file's own business."""
    loaded = load(
        "import os\nfrom pathlib import Path\n_PRIVATE = 1\nhelper = 2\ndef f(): pass\n"
        "SKIP_GENERIC = ['backup']\nHEALTH_PATH = '/login'\nHEALTH_STATUS = 302\n"
        "HEALTH_SERVICE = 'web'\nHEALTH_PORT = 3000\nMARKER = 'Gitea'\nDEPLOY_TIMEOUT = 600\n"
        "EXTRA_ENV = {'A': 'b'}\nUPGRADE_BASE = '1.0.0+1'\nBACKUP_CAPABLE = False\n"
        "NO_WITNESS = {'cache': 'it counts files'}\nEXPECTED_SKIPS = {'upgrade': 'one release'}\n"
        "REQUIREMENTS = {'memory_gib': 2.5, 'ipvs': True}\n"
        "MAX_GROWTH = {'memory': 1.5, 'healthy': 3}\n"
        "LIMITS = {'memory_gib': 0.5, 'pids': 20}\n"
        "KNOWN_LEAKS = {'admin_password': 'shown once'}\n"
        "MAX_LOSS = {'content/drafts': 1, 'content': 0.5}\n"
        "HOST_ACCESS = {'port:25': 'mail'}\n"
        "ACCEPT_WARNINGS = {'no-page': 'an API only'}\n"
    )
    assert loaded.changed() == {
        "SKIP_GENERIC": ("backup",),
        "HEALTH_PATH": "/login",
        "HEALTH_STATUS": 302,
        "HEALTH_SERVICE": "web",
        "HEALTH_PORT": 3000,
        "MARKER": "Gitea",
        "DEPLOY_TIMEOUT": 600,
        "EXTRA_ENV": {"A": "b"},
        "UPGRADE_BASE": "1.0.0+1",
        "BACKUP_CAPABLE": False,
        "NO_WITNESS": {"cache": "it counts files"},
        "EXPECTED_SKIPS": {"upgrade": "one release"},
        "REQUIREMENTS": {"memory_gib": 2.5, "ipvs": True},
        "MAX_GROWTH": {"memory": 1.5, "healthy": 3},
        "LIMITS": {"memory_gib": 0.5, "pids": 20},
        "MAX_LOSS": {"content/drafts": 1, "content": 0.5},
        "KNOWN_LEAKS": {"admin_password": "shown once"},
        "HOST_ACCESS": {"port:25": "mail"},
        "ACCEPT_WARNINGS": {"no-page": "an API only"},
    }
    assert set(loaded.changed()) == {one.name for one in fields(RecipeMeta)}
    assert loaded.skip_generic() == {Stage.BACKUP}


def test_setting_a_default_changes_nothing(load: Load) -> None:
    """Only what differs is shown as changed."""
    assert load("HEALTH_SERVICE = ''\nHEALTH_PORT = None\nMARKER = 'x'\n").changed() == {
        "MARKER": "x"
    }


def test_skip_generic_may_mean_every_stage(load: Load) -> None:
    """True leaves the generic assertions of every stage out, False those of none."""
    assert load("SKIP_GENERIC = True").skip_generic() == set(Stage)
    assert load("SKIP_GENERIC = False").skip_generic() == frozenset()


def test_expected_skips_tell_none_from_nothing_said(load: Load) -> None:
    """An empty dict expects every stage to run, and is shown as changed; None expects nothing."""
    assert RecipeMeta().expected_skips() is None
    assert load("EXPECTED_SKIPS = None").changed() == {}
    assert load("EXPECTED_SKIPS = {}").expected_skips() == frozenset()
    assert load("EXPECTED_SKIPS = {}").changed() == {"EXPECTED_SKIPS": {}}
    found = load("EXPECTED_SKIPS = {'upgrade': 'why', 'backup': 'why'}").expected_skips()
    assert found == frozenset({Stage.UPGRADE, Stage.BACKUP})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, value) for name in ("memory_gib", "disk_gib") for value in ("2", "0.5")),
        ("processors", "4"),
        ("engine", "'24.0'"),
        ("architecture", "'x86_64'"),
        ("ipvs", "True"),
    ],
)
def test_each_requirement_has_its_type(load: Load, name: str, value: str) -> None:
    """Numbers, texts, and one that is yes or no."""
    found = load(f"REQUIREMENTS = {{{name!r}: {value}}}").REQUIREMENTS
    assert repr(found[name]) == value


def test_no_requirement_goes_untested() -> None:
    """A new one has to be added above, and with what is refused of it below."""
    names = {"memory_gib", "disk_gib", "processors", "engine", "architecture", "ipvs"}
    assert set(meta.REQUIREMENTS) == names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(
            (text, "a dict of volumes to reasons")
            for text in (
                "NO_WITNESS = ['data']",
                "NO_WITNESS = {'data': ''}",
                "NO_WITNESS = {'data': '  '}",
                "NO_WITNESS = {'data': True}",
                "NO_WITNESS = {1: 'why'}",
                "NO_WITNESS = None",
            )
        ),
        *(
            (text, "None, or a dict of stages (install, upgrade,")
            for text in (
                "EXPECTED_SKIPS = ['upgrade']",
                "EXPECTED_SKIPS = {'upgarde': 'why'}",
                "EXPECTED_SKIPS = {'upgrade': ''}",
                "EXPECTED_SKIPS = {'upgrade': None}",
                "EXPECTED_SKIPS = False",
            )
        ),
        *(
            (text, "a dict with memory_gib, disk_gib, processors,")
            for text in (
                "REQUIREMENTS = ['ipvs']",
                "REQUIREMENTS = None",
                "REQUIREMENTS = {'memory': 2}",
                "REQUIREMENTS = {'memory_gib': '2'}",
                "REQUIREMENTS = {'memory_gib': True}",
                "REQUIREMENTS = {'disk_gib': None}",
                "REQUIREMENTS = {'processors': 1.5}",
                "REQUIREMENTS = {'processors': True}",
                "REQUIREMENTS = {'engine': 24}",
                "REQUIREMENTS = {'architecture': True}",
                "REQUIREMENTS = {'ipvs': 1}",
                "REQUIREMENTS = {'ipvs': False}",
                "REQUIREMENTS = {'ipvs': 'yes'}",
            )
        ),
        ("SKIP_GENERIC = 1", "True, False or a list of stages"),
        ("SKIP_GENERIC = ['bakcup']", "True, False or a list of stages"),
        ("SKIP_GENERIC = 'backup'", "True, False or a list of stages"),
        ("HEALTH_PATH = 'login'", "begins with '/'"),
        ("HEALTH_PATH = None", "begins with '/'"),
        ("HEALTH_STATUS = True", "a number above 0"),
        ("HEALTH_STATUS = '200'", "a number above 0"),
        ("HEALTH_SERVICE = 1", "a text, or None"),
        ("HEALTH_PORT = 0", "a number above 0, or None"),
        ("MARKER = b'x'", "a text"),
        ("DEPLOY_TIMEOUT = 1.5", "a number above 0, or None"),
        ("EXTRA_ENV = {'A': 1}", "a dict of texts to texts"),
        ("EXTRA_ENV = ['A']", "a dict of texts to texts"),
        ("UPGRADE_BASE = None", "a text"),
        ("BACKUP_CAPABLE = 'no'", "True, False or None"),
    ],
)
def test_a_value_of_the_wrong_type(load: Load, text: str, expected: str) -> None:
    """The message shows the value and says what was expected."""
    with pytest.raises(UsageError) as caught:
        load(text)
    name, _, value = text.partition(" = ")
    assert f"sets {name} = {value}" in caught.value.what
    assert expected in caught.value.hint


def test_an_unknown_name_comes_with_the_nearest(load: Load) -> None:
    """A misspelled field is refused: silently ignored it would change what is tested."""
    with pytest.raises(UsageError, match="sets HEALTH_PAHT") as caught:
        load("HEALTH_PAHT = '/'")
    assert caught.value.hint == "did you mean HEALTH_PATH?"
    with pytest.raises(UsageError) as caught:
        load("ZZZ = 1")
    assert "SKIP_GENERIC" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("MARKER = 'a'\nMARKER = = 'b'\n", "line 2: SyntaxError"),
        ("\n\nMARKER = nope\n", "line 3: NameError: name 'nope'"),
        ("def f():\n    raise ValueError('x')\n\nMARKER = f()\n", "line 2: ValueError: x"),
        ("import nothing_like_that\n", "line 1: ModuleNotFoundError"),
    ],
)
def test_a_file_that_fails(load: Load, text: str, said: str) -> None:
    """A file that cannot be run is a usage error with its line."""
    with pytest.raises(UsageError) as caught:
        load(text)
    assert said in caught.value.what


def test_loading_leaves_nothing_behind(load: Load, tmp_path: Path) -> None:
    """No bytecode is left, and a second file of the same name is a file of its own."""
    assert load("MARKER = 'a'").MARKER == "a"
    assert load("HEALTH_PORT = 1").MARKER == ""
    assert [path.name for path in tmp_path.iterdir()] == ["recipe_meta.py"]


def test_a_field_in_small_letters_is_refused(load: Load) -> None:
    """It would count for nothing, and nobody would be told."""
    with pytest.raises(UsageError, match="only capital names count") as caught:
        load("Marker = 'x'")
    assert caught.value.hint == "write MARKER"


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("{'volume-orphand': 'why'}", "did you mean volume-orphaned?"),
        ("{'xyz': 'why'}", "unknown warning code 'xyz': known are volume-orphaned, "),
        ("{'no-page': ''}", "say why no-page is accepted"),
        ("{'no-page': None}", "say why no-page is accepted"),
        ("['no-page']", "a dict of warning codes to reasons"),
    ],
)
def test_a_warning_is_accepted_by_its_code_and_with_a_reason(
    load: Load, value: str, hint: str
) -> None:
    """A typing error must not look like a warning that was accepted."""
    with pytest.raises(UsageError) as caught:
        load(f"ACCEPT_WARNINGS = {value}")
    assert hint in caught.value.hint
