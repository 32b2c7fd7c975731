"""The warnings that backup labels cause, and what a restore is said not to have shown."""

from collections.abc import Mapping

import pytest

from harness.backups.advice import advise
from harness.backups.labels import BackupSpec, Hooks, VolumePart
from harness.backups.shown import not_shown
from harness.core.model import Stage, WarningCode

ON = {"backupbot.backup": "true"}
PRE, POST = "backupbot.backup.pre-hook", "backupbot.restore.post-hook"


def codes(**services: Mapping[str, str]) -> list[WarningCode]:
    """Return the codes of what is warned of."""
    return [warning.code for warning in advise(services, {})]


def test_labels_as_the_specification_has_them_cause_no_warning() -> None:
    """One switch, volumes and paths on any service, hooks in pairs; nor do labels of others."""
    db = {PRE: "dump", POST: "load", "backupbot.backup.volumes.db.path": "dump.sql"}
    app = {**ON, "backupbot.backup.volumes.cache": "false", "traefik.enable": "yes"}
    assert codes(app=app, db=db) == codes(app={"backupbot.backup": "false", PRE: "x"}) == []


def test_two_switches_are_one_too_many() -> None:
    """The specification asks for one; recipes in the wild have two, and work."""
    (warning,) = advise({"app": ON, "web": {}, "db": {"backupbot.backup": "True"}}, {})
    assert warning.code is WarningCode.BACKUP_LABEL_TWICE
    assert "app, db" in warning.text


def test_a_switch_that_says_false_leaves_no_service_out() -> None:
    """One that says true turns the whole stack on; without one, `false` is a decision."""
    (warning,) = advise({"app": ON, "cache": {"backupbot.backup": "false"}}, {})
    assert warning.code is WarningCode.BACKUP_LABEL_TWICE
    assert warning.text.startswith("service cache: backupbot.backup=false leaves nothing out")
    assert advise({"app": {}, "cache": {"backupbot.backup": "false"}}, {}) == ()


@pytest.mark.parametrize("value", ["yes", "1", "on", ""])
def test_a_value_that_is_neither_true_nor_false_is_named(value: str) -> None:
    """Somebody believes in a backup, or in an exception, that there is none of."""
    (warning,) = advise({"app": {"backupbot.backup": value}}, {})
    assert warning.code is WarningCode.BACKUP_VALUE_UNKNOWN
    assert f"backupbot.backup={value or '(empty)'}" in warning.text
    volume = {"backupbot.backup.volumes.db": value, "backupbot.backup.volumes.db.path": "x"}
    (warning,) = advise({"app": {**ON, **volume}}, {})
    assert warning.text.endswith("the volume is backed up")


@pytest.mark.parametrize("label", ["volumes.db.path", "path"])
@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("", "all of the volume is backed up"),
        (" , ", "all of the volume is backed up"),
        ("a,", "it names nothing"),
        ("a,,b", "it names nothing"),
        ("a, b", ""),
        (".", ""),
    ],
)
def test_a_list_of_paths_with_an_empty_item_is_named(label: str, value: str, says: str) -> None:
    """A variable that is not set widens the backup, or narrows it, and nothing says so."""
    found = advise({"app": {**ON, f"backupbot.backup.{label}": value}}, {})
    wanted = [WarningCode.BACKUP_VALUE_UNKNOWN] if says else []
    assert [warning.code for warning in found] == wanted
    assert all(warning.text.endswith(says) for warning in found)


def test_an_unknown_label_is_named_with_the_one_that_was_meant() -> None:
    """A hook that is misspelt is never run, and nothing fails."""
    (warning,) = advise({"app": {**ON, "backupbot.backup.prehook": "x"}}, {})
    assert warning.code is WarningCode.BACKUP_LABEL_UNKNOWN
    assert warning.next == f"did you mean {PRE}?"
    (warning,) = advise({"app": {**ON, "backupbot.zzz": "x"}}, {})
    assert "docs/enroll-recipe.md" in warning.next


def test_labels_without_the_switch_are_named() -> None:
    """They do nothing: no volume is backed up, no hook is run."""
    assert codes(app={}, db={PRE: "dump", POST: "load"}) == [WarningCode.BACKUP_NOT_ENABLED]


def test_labels_outside_deploy_are_named() -> None:
    """They are a container's, and back up nothing: a recipe lost its database that way."""
    (warning,) = advise({"app": ON}, {"app": {"traefik.enable": "x"}, "db": {PRE: "dump"}})
    assert warning.code is WarningCode.BACKUP_NOT_ENABLED
    assert warning.text.startswith(f"service db: {PRE} outside deploy")


def test_a_volume_that_is_left_out_and_named_is_a_contradiction() -> None:
    """On whichever services the two labels are."""
    out = {"backupbot.backup.volumes.db": "false"}
    named = {"backupbot.backup.volumes.db.path": "x"}
    for services in ({"app": {**ON, **out}, "db": named}, {"app": {**ON, **out, **named}}):
        assert codes(**services) == [WarningCode.BACKUP_LABEL_TWICE]


def test_a_backup_hook_without_a_restore_hook_is_named() -> None:
    """By service: one that loads another service's dump loads not this one's."""
    services = {"app": {**ON, PRE: "dump", POST: "load"}, "db": {PRE: "dump"}}
    (warning,) = advise(services, {})
    assert warning.code is WarningCode.NO_RESTORE_HOOK
    assert warning.text.startswith("service db has a backup hook and no restore hook")


def part(volume: str, *paths: str) -> VolumePart:
    """Return what is backed up of a volume."""
    return VolumePart(volume=f"s_{volume}", service="app", target="/d", paths=paths)


def hooks(service: str, *labels: str) -> Hooks:
    """Return a service's hooks."""
    return Hooks(service=service, commands=dict.fromkeys(labels, "x"))


@pytest.mark.parametrize(
    ("parts", "found", "text"),
    [
        ([part("a", "x", "y")], [], "only x, y of volume a is backed up"),
        ([part("b")], [], "volume b has no witness"),
        (
            [part("w")],
            [hooks("db", "backup.pre-hook", "restore.post-hook")],
            "no test looks at what the restore hook of service db loaded",
        ),
        (
            [part("w")],
            [hooks("db", "backup.pre-hook")],
            "service db has a backup hook and no restore hook",
        ),
    ],
)
def test_what_a_restore_has_not_shown_is_said(
    parts: list[VolumePart], found: list[Hooks], text: str
) -> None:
    """In one warning of the restore."""
    spec = BackupSpec(parts=tuple(parts), excluded=(), hooks=tuple(found))
    (warning,) = not_shown(spec, stack="s", witnessed=["s_w"])
    assert (warning.code, warning.stage) == (WarningCode.RESTORE_NOT_SHOWN, Stage.RESTORE)
    assert warning.text.endswith(f": {text}")


def test_a_volume_with_a_witness_is_shown_to_be_restored() -> None:
    """Hooks around the restore alone, which stop and start something, change nothing of that."""
    spec = BackupSpec(parts=(part("w"),), excluded=(), hooks=(hooks("app", "restore.pre-hook"),))
    assert not_shown(spec, stack="s", witnessed=["s_w"]) == ()
