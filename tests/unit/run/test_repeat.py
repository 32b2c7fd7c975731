"""The command that repeats what went wrong in a run."""

import shlex
from collections.abc import Mapping

import pytest

from harness.core.model import Outcome, Stage, StageResult
from harness.core.settings import Settings
from harness.recipes.catalogue import Entry
from harness.run.repeat import exact_command, needed_for, repeat_command

MADE = Entry(name="made", source="/src/made", line=3)


@pytest.mark.parametrize(
    ("entry", "settings", "stages", "command"),
    [
        (MADE, {}, "", "nox -s e2e -- made"),
        (MADE, {}, "install upgrade", "nox -s e2e -- made --stages install,upgrade --keep"),
        (MADE, {}, "upgrade", "nox -s e2e -- made --stages upgrade --keep"),
        (MADE.at("dev"), {"pr": "7"}, "", "nox -s e2e -- made#dev --pr 7"),
        (Entry(name="x", source="../x"), {"ref": "a"}, "", "nox -s e2e -- ../x --ref a"),
        (MADE.at("dev"), {"ref": "a"}, "", "nox -s e2e -- made --ref a"),
        (Entry(name="x", source="/a b"), {}, "", "nox -s e2e -- '/a b'"),
        (
            MADE,
            {"endpoint_mode": "dnsrr", "timeout_factor": 3.0, "domain": "x.test"},
            "",
            "nox -s e2e -- made --endpoint-mode dnsrr --timeout-factor 3.0",
        ),
        (
            MADE,
            {"stages": (Stage.BACKUP, Stage.RESTORE)},
            "",
            "nox -s e2e -- made --stages backup,restore",
        ),
        (
            MADE,
            {"src": "https://x.test/r", "version": "1"},
            "backup",
            "nox -s e2e -- made --src https://x.test/r --version 1 --stages backup --keep",
        ),
        (MADE, {"ref": "x", "jobs": 4, "screenshots": "off"}, "", "nox -s e2e -- made --ref x"),
    ],
)
def test_the_command_that_repeats_a_run(
    entry: Entry, settings: Mapping[str, object], stages: str, command: str
) -> None:
    """The same source, head and base; of a failure the stage, with the app left up for a look."""
    origins = dict.fromkeys(settings, "the command line")
    asked = Settings(**settings, origins=origins)  # type: ignore[arg-type]  # all texts
    got = repeat_command(entry, asked, stages.split())
    assert got == command
    assert shlex.split(got) == shlex.split(command)


COMMIT = "c" * 40


@pytest.mark.parametrize(
    ("entry", "settings", "command"),
    [
        (MADE, {}, f"nox -s e2e -- made --ref {COMMIT} --stages install --keep"),
        (
            MADE.at("dev"),
            {"ref": "b"},
            f"nox -s e2e -- made --ref {COMMIT} --stages install --keep",
        ),
        (MADE.at(COMMIT), {}, ""),
        (MADE, {"ref": COMMIT}, ""),
        (MADE, {"pr": "7"}, ""),
    ],
)
def test_the_very_commit_can_be_tested_again(
    entry: Entry, settings: Mapping[str, object], command: str
) -> None:
    """Wherever its branch is by then; a pull request's number is asked again."""
    asked = Settings(**settings, origins=dict.fromkeys(settings, "x"))  # type: ignore[arg-type]
    assert exact_command(entry, asked, ["install"], commit=COMMIT) == command
    assert exact_command(entry, asked, ["install"], commit="") == ""


def test_an_option_without_a_value_is_repeated_without_one() -> None:
    """And not at all where the environment has switched it off."""
    strict = Settings(strict=True, origins={"strict": "--strict"})
    assert repeat_command(MADE, strict, []) == "nox -s e2e -- made --strict"
    lax = Settings(strict=False, origins={"strict": "CCCI_STRICT in the environment"})
    assert repeat_command(MADE, lax, []) == "nox -s e2e -- made"


def test_what_was_left_out_is_left_out_again() -> None:
    """Else the command would not show what this run has shown."""
    only = Settings(skip_generic=frozenset({Stage.BACKUP}))
    command = repeat_command(MADE, only, ["install"])
    assert command == "CCCI_SKIP_GENERIC_BACKUP=1 nox -s e2e -- made --stages install --keep"
    every = Settings(skip_generic=frozenset(Stage))
    assert repeat_command(MADE, every, []) == "CCCI_SKIP_GENERIC=1 nox -s e2e -- made"


@pytest.mark.parametrize(
    ("stage", "upgrades", "needed"),
    [
        ("backup", True, ("install", "upgrade", "backup")),
        ("install", True, ("install", "upgrade")),
        ("install", False, ("install",)),
        ("custom", True, ("install", "upgrade", "backup", "custom")),
        ("teardown", True, ()),
        ("", True, ()),
    ],
)
def test_a_failure_is_repeated_with_what_led_to_it(
    *, stage: str, upgrades: bool, needed: tuple[str, ...]
) -> None:
    """A backup of a head that was installed afresh is another one than after an upgrade."""
    results = [
        StageResult(stage=one, outcome=Outcome.ABORTED if one is Stage.RESTORE else Outcome.PASSED)
        for one in Stage
    ]
    assert needed_for(stage, results, upgrades=upgrades) == needed
