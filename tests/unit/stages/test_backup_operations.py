"""Backup, restore and the witnesses around them: what is done, in which order, and what is told."""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from harness.backups.content import Entry
from harness.core.errors import (
    BackupError,
    ConvergenceError,
    ExecFailedError,
    LockLostError,
    TestBedError,
)
from harness.core.ledger import Op
from harness.core.model import Origin, Stage, WarningCode
from harness.recipes.meta import RecipeMeta
from harness.stages.planner import PlannedStage
from harness.swarm.readiness import Before
from tests.unit.fake_run import LABELS, Bench, full, previous, set_up
from tests.unit.fake_stack import STACK
from tests.unit.swarm.test_programs import container

DATA = f"{STACK}_data"
PART = {**LABELS, "backupbot.backup.volumes.data.path": "sub"}
MORE: Mapping[str, str] = {"data": "/data", "cache": "/cache", "more": "/more"}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A bench on which everything goes well."""
    return set_up(tmp_path, monkeypatch)


def witnesses(bench: Bench) -> list[str]:
    """Return the volumes that a witness was written to, in order."""
    return [event.split()[1] for event in bench.events if event.startswith("witness")]


# Witnesses and the upgrade


def test_a_witness_is_put_in_before_the_upgrade(bench: Bench) -> None:
    """After the seed hook, before anything is deployed; the facts have what it must hold after."""
    facts = bench.until(Stage.INSTALL).perform(Stage.UPGRADE)
    assert bench.events[1:6] == [
        "seed upgrade", "vault data", "witness data", "begin redeploy",
        "deploy a chaos",
    ]  # fmt: skip
    assert facts["witnesses"] == {DATA: bench.written[-1].decode()}
    assert facts["backed_up_before"] == {DATA: []}


def test_a_volume_that_is_backed_up_in_part_may_not_be_dropped_either(bench: Bench) -> None:
    """It gets no witness, which would not be in the snapshot; its data are data all the same."""
    bench.labels = PART
    facts = bench.until(Stage.INSTALL).perform(Stage.UPGRADE)
    assert (facts["witnesses"], facts["backed_up_before"]) == ({}, {DATA: ["sub"]})
    assert not witnesses(bench)


def test_volumes_that_the_meta_names_get_no_witness_and_may_be_dropped(bench: Bench) -> None:
    """In neither stage; the others do as before."""
    bench.volumes = MORE
    bench.meta = RecipeMeta(NO_WITNESS={"cache": "the app counts files", "gone": "there is none"})
    operations = bench.until(Stage.INSTALL)
    facts = operations.perform(Stage.UPGRADE)
    kept = [DATA, f"{STACK}_more"]
    assert (sorted(facts["witnesses"]), list(facts["backed_up_before"])) == (kept, kept)
    facts = operations.perform(Stage.BACKUP)
    assert sorted(facts["witnesses"]) == kept
    assert facts["volumes"] == sorted(f"{STACK}_{name}" for name in MORE)
    assert witnesses(bench) == ["data", "more"] * 2
    assert "backup data cache more, 2 own" in bench.events


def test_labels_of_the_base_that_make_no_sense_are_not_the_heads_fault(bench: Bench) -> None:
    """The upgrade goes on, without a witness; the backup judges the head's labels by themselves."""
    bench.labels = {**LABELS, "backupbot.backup.volumes.dta": "false"}
    operations = bench.until(Stage.INSTALL)
    bench.labels = LABELS
    facts = operations.perform(Stage.UPGRADE)
    assert (facts["witnesses"], facts["backed_up_before"]) == ({}, {})
    assert operations.perform(Stage.BACKUP)["volumes"] == [DATA]


def test_labels_of_the_head_that_make_no_sense_fail_the_backup(bench: Bench) -> None:
    """Before anything is written or recorded."""
    bench.labels = {**LABELS, "backupbot.backup.volumes.dta": "false"}
    operations = bench.until(Stage.UPGRADE)
    with pytest.raises(BackupError, match="names no volume"):
        operations.perform(Stage.BACKUP)
    assert bench.events == ["settle", "seed backup"]


def test_a_volume_that_no_container_has_mounted_is_left_alone(bench: Bench) -> None:
    """It is docker's to make and to fill, when a service that is scaled to nothing comes up."""
    bench.volumes = {"data": "/data", "later": "/later"}
    bench.unmade = {"later"}
    made = bench.until(Stage.INSTALL)
    made.perform(Stage.UPGRADE)
    assert {event for event in bench.events if event.startswith(("vault", "witness"))} == {
        "vault data", "witness data",
    }  # fmt: skip
    assert list(bench.witnesses) == [f"{STACK}_data"]
    facts = made.known.facts(Stage.UPGRADE).seen["upgrade"]
    assert list(facts["witnesses"]) == list(facts["backed_up_before"]) == [f"{STACK}_data"]
    assert facts["witness_problems"] == facts["mounts_lost"] == []
    bench.unmade = set()  # its service is up
    made.perform(Stage.BACKUP)
    assert list(made.known.facts(Stage.BACKUP).seen["backup"]["witnesses"]) == [
        f"{STACK}_data", f"{STACK}_later",
    ]  # fmt: skip


def test_a_volume_that_is_gone_after_the_upgrade_is_not_made_anew(bench: Bench) -> None:
    """Looking for its witness would create it, and find it empty."""
    made = bench.until(Stage.INSTALL)
    bench.then["deploy a chaos"] = lambda: bench.unmade.add("data")
    made.perform(Stage.UPGRADE)
    assert bench.events.count("vault data") == 1
    (problem,) = made.known.facts(Stage.UPGRADE).seen["upgrade"]["witness_problems"]
    assert "the witness file is gone from the volume" in problem


def test_a_base_that_backs_nothing_up_has_nothing_to_lose(bench: Bench) -> None:
    """Its volumes are counted, and nothing is written into them."""
    bench.labels = {}
    facts = bench.until(Stage.INSTALL).perform(Stage.UPGRADE)
    assert (facts["witnesses"], facts["backed_up_before"]) == ({}, {})
    assert "vault data" in bench.events
    assert not witnesses(bench)


HOST = {"type": "none", "o": "bind", "device": "/srv/data"}


@pytest.mark.parametrize("said", [{"more": HOST}, {}])
def test_a_volume_that_leads_to_the_host_is_neither_read_nor_written(
    bench: Bench, said: Mapping[str, Mapping[str, str]]
) -> None:
    """No witness, census, backup or restore of it; also where its options are the base's alone."""
    bench.volumes = {"data": "/data", "more": "/more"}
    bench.options, bench.made_with = said, {"more": HOST}
    if not said:
        bench.labels = {**LABELS, "backupbot.backup.volumes.more": "false"}
    operations = bench.until(Stage.INSTALL)
    operations.perform(Stage.UPGRADE)
    made = operations.perform(Stage.BACKUP)
    operations.perform(Stage.RESTORE)
    assert {event for event in bench.events if event.startswith(("vault", "witness"))} == {
        "vault data", "witness data",
    }  # fmt: skip
    assert made["volumes"] == [DATA]
    assert made["excluded"] == [f"{STACK}_more"]
    assert set(bench.witnesses) == {DATA}


def test_a_recipe_that_backs_up_the_hosts_data_alone_has_no_backup(bench: Bench) -> None:
    """A restore of it would empty a folder of the host."""
    bench.options = bench.made_with = {"data": HOST}
    operations = bench.until(Stage.UPGRADE)
    with pytest.raises(BackupError, match="leads to data that the run did not make"):
        operations.perform(Stage.BACKUP)
    assert not witnesses(bench)


def test_a_volume_that_cannot_be_written_says_nothing_of_the_recipe(bench: Bench) -> None:
    """Nothing is deployed over it, or backed up, without a witness."""
    operations = bench.until(Stage.INSTALL)
    bench.failing = {"witness data": ExecFailedError("read-only file system")}
    with pytest.raises(TestBedError):
        operations.perform(Stage.UPGRADE)
    assert bench.events[-1] == "vault data"


def test_what_to_write_into_the_meta_is_the_name_of_the_compose_file(bench: Bench) -> None:
    """Whoever types the hint as it stands has left the right volume out."""
    bench.volumes = {"my_data": "/data"}
    operations = bench.until(Stage.INSTALL)
    bench.failing = {"witness my_data": ExecFailedError("read-only file system")}
    with pytest.raises(TestBedError) as caught:
        operations.perform(Stage.UPGRADE)
    assert "NO_WITNESS = {'my_data': 'why'}" in caught.value.hint


# Volumes


def test_every_volume_is_counted_before_and_after_an_upgrade(bench: Bench) -> None:
    """Labelled or not; a loss that the rule does not allow is a fact for the assertions."""
    bench.labels, bench.held = {}, {"data": 502, "data/uploads": 500}
    operations = bench.until(Stage.INSTALL)
    bench.then["end redeploy"] = lambda: setattr(bench, "held", {"data": 2})
    facts = operations.perform(Stage.UPGRADE)
    assert facts["files_lost"] == ["uploads/ in volume data held 500 files, and holds 0 now"]
    assert facts["mounts_lost"] == []
    assert bench.warned == []


def test_a_smaller_loss_is_a_warning(bench: Bench) -> None:
    """So that a recipe's meta can accept it."""
    bench.held = {"data": 100}
    operations = bench.until(Stage.INSTALL)
    bench.then["end redeploy"] = lambda: setattr(bench, "held", {"data": 40})
    assert operations.perform(Stage.UPGRADE)["files_lost"] == []
    assert [one.code for one in bench.warned] == [WarningCode.VOLUME_SHRANK]


def test_the_meta_says_what_may_be_lost(bench: Bench) -> None:
    """By the volume's short name."""
    bench.held, bench.meta = {"data": 500}, RecipeMeta(MAX_LOSS={"data": 1})
    operations = bench.until(Stage.INSTALL)
    bench.then["end redeploy"] = lambda: setattr(bench, "held", {"data": 0})
    assert operations.perform(Stage.UPGRADE)["files_lost"] == []
    assert bench.warned == []


def test_a_volume_that_the_head_does_not_mount_is_a_fact(bench: Bench) -> None:
    """Its data are lost to the app; an empty one is a warning."""
    bench.labels, bench.held = {}, {"data": 3}
    operations = bench.until(Stage.INSTALL)
    bench.volumes = {"new": "/data"}
    (lost,) = operations.perform(Stage.UPGRADE)["mounts_lost"]
    assert "the head does not mount volume data" in lost
    assert "the head mounts volume new in its place" in lost
    bench.held, bench.volumes = {}, {"data": "/data"}
    operations = bench.until(Stage.INSTALL)
    bench.volumes = {}
    assert operations.perform(Stage.UPGRADE)["mounts_lost"] == []
    assert [one.code for one in bench.warned] == [WarningCode.VOLUME_ORPHANED]


def test_a_volume_may_move_to_where_the_heads_image_declares_one(bench: Bench) -> None:
    """That is a warning only."""
    bench.held = {"data": 3}
    operations = bench.until(Stage.INSTALL)
    bench.volumes, bench.declared = {"data": "/new"}, {"nginx:a": ["/new"]}
    assert operations.perform(Stage.UPGRADE)["mounts_lost"] == []
    assert [one.code for one in bench.warned] == [WarningCode.VOLUME_MOVED]


def test_a_witness_that_is_gone_alone_names_what_spares_the_volume(bench: Bench) -> None:
    """The app's own files are there still: it may remove files that it does not know."""
    bench.held = {"data": 7}
    operations = bench.until(Stage.INSTALL)
    bench.then["end redeploy"] = bench.witnesses.clear
    (said,) = operations.perform(Stage.UPGRADE)["witness_problems"]
    assert "the app's own files are still there (7, and 7 before)" in said
    assert "NO_WITNESS = {'data': 'why'}" in said


@pytest.mark.parametrize(("before", "after", "said"), [(7, 3, "of 7 files"), (0, 0, f"{DATA}")])
def test_a_witness_that_is_gone_with_other_files_says_so(
    bench: Bench, before: int, after: int, said: str
) -> None:
    """An empty volume had nothing to compare."""
    bench.held = {"data": before}
    operations = bench.until(Stage.INSTALL)
    bench.then["deploy a chaos"] = bench.witnesses.clear
    bench.then["end redeploy"] = lambda: setattr(bench, "held", {"data": after})
    (problem,) = operations.perform(Stage.UPGRADE)["witness_problems"]
    assert said in problem
    assert "NO_WITNESS" not in problem


@pytest.mark.parametrize(
    ("stage", "event"), [(Stage.BACKUP, "hook tidy"), (Stage.RESTORE, "hook load")]
)
def test_what_a_backup_or_a_restore_loses_is_a_fact(bench: Bench, stage: Stage, event: str) -> None:
    """Compared with what was there before the backup."""
    bench.held = {"data": 100}
    operations = bench.until(previous(stage))
    bench.then[event] = lambda: setattr(bench, "held", {"data": 1})
    assert len(operations.perform(stage)["files_lost"]) == 1


def test_what_lies_outside_the_volumes_is_a_warning(bench: Bench) -> None:
    """Once for all stages."""
    bench.changed = ["/srv/db"]
    operations = bench.until(Stage.UPGRADE)
    operations.perform(Stage.BACKUP)
    operations.look_outside()
    assert [one.code for one in bench.warned] == [WarningCode.DATA_IN_LAYER]


def test_a_run_without_an_upgrade_or_a_backup_looks_outside_at_its_end(bench: Bench) -> None:
    """Else nothing would have looked."""
    bench.changed = ["/srv/db"]
    operations = bench.until(Stage.INSTALL)
    assert bench.warned == []
    operations.look_outside()
    assert [one.code for one in bench.warned] == [WarningCode.DATA_IN_LAYER]


def test_a_program_that_ended_is_seen_at_the_end_of_a_run(bench: Bench) -> None:
    """When everything else was looked at; not in a container that does not answer."""
    bench.processes = tuple(container("nginx", "worker"))
    operations = bench.until(Stage.UPGRADE)
    bench.processes = tuple(container("nginx"))
    up = bench.stack
    starting = {one: replace(state, health="starting") for one, state in up.containers.items()}
    bench.stack = replace(up, containers=starting)
    operations.look_outside()
    assert bench.warned == []
    bench.stack = up
    operations.look_outside()
    assert [one.code for one in bench.warned] == [WarningCode.PROGRAM_ENDED]


# Backup


def test_what_the_restart_had_to_kill_is_a_warning(bench: Bench) -> None:
    """Also if the app does not come up again: that may be why."""
    operations = bench.until(Stage.UPGRADE)
    (running,) = (one for one in bench.stack.tasks if one.desired == "running")
    for action, signal in (("kill", "15"), ("kill", "9"), ("die", "")):
        event = {"id": running.container_id, "Action": action}
        operations.context.nodes.events.add({**event, "Actor": {"Attributes": {"signal": signal}}})
    crashes = ConvergenceError("it crashes")
    bench.then["restart"] = lambda: bench.failing.update(settle=crashes)
    with pytest.raises(ConvergenceError):
        operations.perform(Stage.BACKUP)
    assert [one.code for one in bench.warned] == [WarningCode.KILLED_AT_STOP]


def test_a_backup_runs_between_its_hooks_over_a_fresh_witness(bench: Bench) -> None:
    """The witness is in before all services are restarted; the stack settles after the hooks, too.

    No volume is mounted while the services are restarted.
    """
    operations = bench.until(Stage.UPGRADE)
    upgraded = bench.written[-1]
    facts = operations.perform(Stage.BACKUP)
    assert bench.events == [
        "settle", "seed backup", "vault data", "witness data", "begin restart", "restart", "settle",
        "end restart", "vault data", "begin backup", "hook dump", "vault data",
        "backup data, 1 own", "hook tidy", "end backup", "settle", "vault data", "answer",
    ]  # fmt: skip
    assert facts["witnesses"] == {DATA: bench.written[-1].decode()}
    assert bench.written[-1] != upgraded
    assert (facts["snapshot"], facts["files"], facts["bytes"]) == ("0a1b", 2, 30)
    ended = bench.ledger.entries()[-1]
    assert (ended["op"], ended["snapshot"]) == (Op.BACKUP, "0a1b")


def test_what_the_second_start_loses_is_told_apart_from_what_the_backup_loses(bench: Bench) -> None:
    """cisagov/Malcolm#45: a variable of the first start wipes the database at each reboot."""
    bench.held = {"data": 100}
    operations = bench.until(Stage.UPGRADE)
    bench.then["restart"] = lambda: setattr(bench, "held", {"data": 1})
    facts = operations.perform(Stage.BACKUP)
    assert facts["restarted"] == ["app"]
    assert facts["lost_in_restart"] == ["volume data held 100 files, and holds 1 now"]
    assert facts["files_lost"] == []
    assert operations.perform(Stage.RESTORE)["files_lost"] == []


def test_a_witness_that_the_second_start_removes_is_told(bench: Bench) -> None:
    """A volume of few files may lose them all without a loss that fails."""
    operations = bench.until(Stage.UPGRADE)
    bench.then["restart"] = bench.witnesses.clear
    (lost,) = operations.perform(Stage.BACKUP)["lost_in_restart"]
    assert "the witness file is gone from the volume" in lost


def test_an_app_that_does_not_come_up_again_fails_before_the_backup(bench: Bench) -> None:
    """hexparrot/mineos-docker#1, osixia/container-openldap#19: it starts once, and never again."""
    operations = bench.until(Stage.UPGRADE)
    error = ConvergenceError("the app did not come up: app: it crashed 4 times in a row")
    bench.then["restart"] = lambda: bench.failing.update(settle=error)
    with pytest.raises(ConvergenceError) as caught:
        operations.perform(Stage.BACKUP)
    assert caught.value.what == (
        "after all services were restarted, the app did not come up: app: it crashed 4 times in a "
        "row"
    )
    assert bench.events[-1] == "restart"


def test_a_run_whose_lock_was_lost_restarts_nothing(bench: Bench) -> None:
    """Another run may have the stack by now."""
    operations = bench.until(Stage.UPGRADE)
    fences = iter((None, None, LockLostError("taken over")))

    def fence() -> None:
        if error := next(fences):
            raise error

    operations.context = replace(operations.context, fence=fence)
    operations._backups.context = operations.context  # noqa: SLF001  made before the fence
    with pytest.raises(LockLostError):
        operations.perform(Stage.BACKUP)
    assert bench.events[-1] == "witness data"


def test_the_harness_own_files_are_not_counted_as_data(bench: Bench) -> None:
    """The repository is told how many there are: a backup of nothing else is empty."""
    bench.volumes = MORE
    operations = bench.until(Stage.UPGRADE)
    operations.perform(Stage.BACKUP)
    assert "backup data cache more, 3 own" in bench.events
    bench.meta = RecipeMeta(NO_WITNESS=dict.fromkeys(MORE, "it would hurt"))
    bench.until(Stage.UPGRADE).perform(Stage.BACKUP)
    assert "backup data cache more, 0 own" in bench.events


def test_a_backup_reports_what_it_covered(bench: Bench) -> None:
    """Each volume once, in order, and those that the labels leave out on purpose."""
    bench.volumes = MORE
    bench.labels = {**LABELS, "backupbot.backup.volumes.cache": "false"}
    facts = bench.until(Stage.UPGRADE).perform(Stage.BACKUP)
    assert facts["volumes"] == [DATA, f"{STACK}_more"]
    assert facts["excluded"] == [f"{STACK}_cache"]


@pytest.mark.parametrize("labels", [{}, {**LABELS, "backupbot.backup.volumes.data": "false"}])
def test_a_backup_of_nothing_has_failed(bench: Bench, labels: Mapping[str, str]) -> None:
    """An exit code of 0 and a snapshot without data would be a lie."""
    bench.labels = labels
    operations = bench.until(Stage.UPGRADE)
    with pytest.raises(BackupError, match="no volume is backed up"):
        operations.perform(Stage.BACKUP)
    assert bench.events == ["settle", "seed backup"]


@pytest.mark.parametrize(
    ("stage", "command", "last"),
    [
        (Stage.BACKUP, "dump", "begin backup"),
        (Stage.BACKUP, "tidy", "backup data, 1 own"),
        (Stage.RESTORE, "stop", "begin restore"),
        (Stage.RESTORE, "load", "restore 0a1b data"),
    ],
)
def test_a_hook_that_fails_ends_the_op(bench: Bench, stage: Stage, command: str, last: str) -> None:
    """A dump that was not made is not in the snapshot, whatever restic says."""
    operations = bench.until(Stage.BACKUP if stage is Stage.RESTORE else Stage.UPGRADE)
    bench.failing = {f"hook {command}": BackupError("the hook failed")}
    with pytest.raises(BackupError, match="the hook failed"):
        operations.perform(stage)
    assert bench.events[-1] == last


@pytest.mark.parametrize("stage", [Stage.BACKUP, Stage.RESTORE])
def test_hooks_of_a_service_that_has_finished_fail_before_anything_is_done(
    bench: Bench, stage: Stage
) -> None:
    """Nothing can run them: that is known at once, and is the recipe's fault."""
    operations = bench.until(previous(stage))

    def finish() -> None:
        tasks = (replace(t, desired="shutdown", state="complete") for t in bench.stack.tasks)
        bench.stack = replace(bench.stack, tasks=tuple(tasks))

    bench.then[f"seed {stage}"] = finish
    with pytest.raises(BackupError, match=f"the {stage} hooks of service app cannot run"):
        operations.perform(stage)
    assert not any(event.startswith(("vault", "begin", "hook")) for event in bench.events)


def test_what_hooks_print_is_kept_up_to_a_limit(bench: Bench) -> None:
    """In the report, by service and label, in the order in which they ran."""
    operations = bench.until(Stage.UPGRADE)
    for stage in (Stage.BACKUP, Stage.RESTORE):
        assert operations.perform(stage)["hooks"] == [
            {"service": "app", "label": f"{stage}.{when}-hook", "output": "x" * 2000}
            for when in ("pre", "post")
        ]


def test_hooks_have_more_time_on_slow_hosts(bench: Bench) -> None:
    """Their time-out is multiplied as every other one is."""
    operations = bench.operations(factor=2.0)
    for stage in Stage:
        operations.perform(stage)
    hooks = [f"{op}.{when}-hook" for op in ("backup", "restore") for when in ("pre", "post")]
    assert bench.timeouts == dict.fromkeys(hooks, 1200.0)


@pytest.mark.parametrize(
    ("stage", "event"), [(Stage.BACKUP, "hook tidy"), (Stage.RESTORE, "hook load")]
)
def test_an_app_that_its_hooks_restart_settles_again(
    bench: Bench, stage: Stage, event: str
) -> None:
    """The wait knows the tasks of before the op, so that those of after it are told apart."""
    operations = bench.until(previous(stage))
    bench.then[event] = bench.replace_task
    operations.perform(stage)
    assert bench.befores[-1] == Before(
        update_started={"app": "nginx:a"},
        templates={"app": bench.stack.services[0].template},
        task_ids=frozenset({"task-app-2"}),
    )
    assert bench.events[-3:] == ["settle", "vault data", "answer"]


def test_files_that_vanished_are_warned_of(bench: Bench) -> None:
    """The backup is one all the same; the operator may not want them in it."""
    bench.vanished = tuple(f"/volumes/v/{number}" for number in range(7))
    facts = bench.until(Stage.UPGRADE).perform(Stage.BACKUP)
    (warning,) = bench.warned
    assert (warning.code, warning.stage) == (WarningCode.FILES_VANISHED, Stage.BACKUP)
    assert warning.text.startswith("7 file(s) vanished while they were backed up: /volumes/v/0, ")
    assert warning.text.endswith("/volumes/v/4 ...")
    assert facts["vanished"] == list(bench.vanished[:5])


def test_a_path_that_is_empty_in_the_snapshot_fails_the_backup(bench: Bench) -> None:
    """Whatever restic and the hooks said; the op has been recorded, since it was done."""
    bench.labels, bench.entries_held = PART, {f"{DATA}/sub": Entry(kind="f")}
    operations = bench.until(Stage.UPGRADE)
    with pytest.raises(BackupError, match="sub is 0 bytes long in the snapshot"):
        operations.perform(Stage.BACKUP)
    assert bench.events[-2:] == ["end backup", "vault data"]


def test_a_dump_that_is_not_whole_fails_the_backup(bench: Bench) -> None:
    """If a hook wrote it during this backup, and labels name it."""
    bench.labels, name = PART, f"{DATA}/sub"
    bench.broken = {name: "holds nothing once it is unpacked"}
    bench.entries_held = {name: Entry(kind="f", size=20, changed=1.0)}
    bench.until(Stage.UPGRADE).perform(Stage.BACKUP)
    bench.entries_held = {name: Entry(kind="f", size=20, changed=time.time() + 60)}
    with pytest.raises(BackupError, match="sub holds nothing once it is unpacked"):
        bench.until(Stage.UPGRADE).perform(Stage.BACKUP)


def test_an_empty_folder_beside_data_is_warned_of(bench: Bench) -> None:
    """Nothing shows that its files would be backed up."""
    bench.labels = {**LABELS, "backupbot.backup.volumes.data.path": "sub,up"}
    bench.entries_held = {f"{DATA}/sub": Entry(kind="f", size=1), f"{DATA}/up": Entry(kind="d")}
    bench.until(Stage.UPGRADE).perform(Stage.BACKUP)
    assert [warning.code for warning in bench.warned] == [WarningCode.RESTORE_NOT_SHOWN]
    assert bench.warned[0].text.startswith("up of volume data is an empty folder in the backup")


# Restore


def test_a_restore_that_lacks_something_is_the_drivers_fault(bench: Bench) -> None:
    """It is asked as soon as the driver is done, before anything else is waited for."""
    operations = bench.until(Stage.BACKUP)
    bench.lacking = tuple(f"v/{number}" for number in range(7))
    with pytest.raises(TestBedError, match=r"7 of the snapshot's files: v/0, v/1, v/2, v/3, v/4"):
        operations.perform(Stage.RESTORE)
    assert "end restore" not in bench.events


@pytest.mark.parametrize("origin", Origin)
def test_what_a_restore_has_not_shown_is_warned_of(bench: Bench, origin: Origin) -> None:
    """Unless a test of the recipe's own looks at the restored data."""
    tests = PlannedStage(
        stage=Stage.RESTORE, runs=True, asked=True, files=((Path("test_restore.py"), origin),)
    )
    bench.until(Stage.BACKUP, full(restore=tests)).perform(Stage.RESTORE)
    warned = [warning.code for warning in bench.warned]
    assert warned == ([WarningCode.RESTORE_NOT_SHOWN] if origin is Origin.GENERIC else [])


def test_witnesses_are_changed_before_the_restore_begins(bench: Bench) -> None:
    """Else "still there" would prove nothing; pre-hook, data and post-hook follow, in order."""
    operations = bench.until(Stage.BACKUP)
    operations.perform(Stage.RESTORE)
    assert bench.events == [
        "settle", "seed restore", "vault data", "witness data", "begin restore", "hook stop",
        "vault data", "restore 0a1b data", "hook load", "vault data", "end restore", "settle",
        "vault data", "answer",
    ]  # fmt: skip


def test_a_restore_reports_what_has_to_be_back_and_what_has_to_be_gone(bench: Bench) -> None:
    """The witnesses of the backup, and those that were written over them since."""
    bench.volumes = {"data": "/data", "more": "/more"}
    operations = bench.until(Stage.UPGRADE)
    backup = operations.perform(Stage.BACKUP)
    restore = operations.perform(Stage.RESTORE)
    assert restore["snapshot"] == backup["snapshot"] == "0a1b"
    assert restore["witnesses"] == backup["witnesses"]
    assert sorted(restore["changed_witnesses"]) == [DATA, f"{STACK}_more"]
    texts = [text.decode() for text in bench.written[-2:]]
    assert list(restore["changed_witnesses"].values()) == texts
    assert not set(texts) & set(backup["witnesses"].values())
    begun = [entry for entry in bench.ledger.entries() if entry.get("op") == Op.RESTORE]
    assert [entry["snapshot"] for entry in begun] == ["0a1b", "0a1b"]


def test_a_restore_changes_no_witness_that_the_backup_did_not_have(bench: Bench) -> None:
    """A volume that gets none is not written to here either."""
    bench.meta = RecipeMeta(NO_WITNESS={"data": "it would hurt"})
    facts = bench.until(Stage.BACKUP).perform(Stage.RESTORE)
    assert (facts["witnesses"], facts["changed_witnesses"]) == ({}, {})
    assert not witnesses(bench)
