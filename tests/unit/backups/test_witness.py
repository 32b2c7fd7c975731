"""Witness files: which volumes get one, what is written, and what counts as a problem with one."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.assertions.protocol import Facts, Health
from harness.assertions.witnesses import Witnesses
from harness.backups.labels import BackupSpec, VolumePart
from harness.backups.witness import NAME, WitnessFiles, path_in_vault, problem, volumes_for
from harness.core.errors import (
    EngineError,
    ExecFailedError,
    ExecNotStartedError,
    ExecTimeoutError,
    HarnessError,
    TestBedError,
)
from harness.core.model import Outcome, Stage
from tests.unit.fake_vault import FakeVault

STACK = "s_test"
VOLUME = f"{STACK}_data"


@pytest.fixture
def vault(tmp_path: Path) -> FakeVault:
    """A vault with one volume."""
    made = FakeVault(tmp_path)
    made.volume(VOLUME)
    return made


def spec(**volumes: tuple[str, ...]) -> BackupSpec:
    """Return a spec of these volumes, by short name, each with the paths that are backed up."""
    parts = tuple(
        VolumePart(volume=f"s_test_{name}", service="app", target=f"/{name}", paths=paths)
        for name, paths in volumes.items()
    )
    return BackupSpec(parts=parts, excluded=("s_test_left_out",), hooks=())


def test_every_volume_that_is_backed_up_whole_gets_one() -> None:
    """Sorted and once each, however many services mount it; not one of which a part is saved."""
    wanted = spec(more=(), data=(), part=("a/b",))
    twice = BackupSpec(parts=wanted.parts * 2, excluded=wanted.excluded, hooks=())
    assert volumes_for(twice, "s_test", {}) == ("s_test_data", "s_test_more")
    assert volumes_for(spec(), STACK, {}) == ()


def test_a_volume_that_the_meta_names_gets_none() -> None:
    """By the name that it has in the compose file; the full one would change with every run."""
    wanted = spec(data=(), more=())
    assert volumes_for(wanted, "s_test", {"data": "it counts files"}) == ("s_test_more",)
    assert volumes_for(wanted, "s_test", {"s_test_data": "no"}) == ("s_test_data", "s_test_more")


def test_a_witness_is_where_the_snapshot_has_it_too() -> None:
    """And not hidden, so that whoever empties a volume with `rm -rf /data/*` is caught."""
    assert path_in_vault(VOLUME) == f"/volumes/{VOLUME}/{NAME}"
    assert not NAME.startswith(".")


def test_what_is_written_names_the_volume_and_cannot_be_guessed(vault: FakeVault) -> None:
    """Each time anew, over what was there: a later one never passes for an earlier one."""
    vault.volume("s_test_more")
    names = (VOLUME, "s_test_more")
    first, second = (WitnessFiles(vault=vault.target, stack=STACK).write(names) for _ in range(2))
    assert list(second) == list(names)
    assert len({*first.values(), *second.values()}) == 4
    for volume, text in second.items():
        assert (vault.volume(volume) / NAME).read_text() == text
        assert text.startswith(volume)
        assert len(text) > len(volume) + 16
    assert WitnessFiles(vault=vault.target, stack=STACK).write(()) == {}


def test_a_volume_that_cannot_be_written_is_the_test_beds_affair(vault: FakeVault) -> None:
    """The message says what to do about it, and has the shell's own words."""
    with pytest.raises(TestBedError) as caught:
        WitnessFiles(vault=vault.target, stack=STACK).write(("s_test_none",))
    assert "s_test_none" in caught.value.what
    assert "NO_WITNESS = {'none': 'why'}" in caught.value.hint
    assert "none" in caught.value.detail


def test_a_witness_is_read_as_it_is(vault: FakeVault) -> None:
    """None when it is gone; reading changes nothing, so it may be tried again."""
    witnesses = WitnessFiles(vault=vault.target, stack=STACK)
    assert witnesses.read(VOLUME) is None
    (vault.volume(VOLUME) / NAME).write_text("two\nlines \u20ac")
    assert witnesses.read(VOLUME) == "two\nlines \u20ac"
    assert vault.repeatable == [True, True]


def test_a_witness_that_cannot_be_read_is_the_test_beds_affair(vault: FakeVault) -> None:
    """It is there, so "gone" would be a lie about the recipe."""
    (vault.volume(VOLUME) / NAME).mkdir()
    with pytest.raises(TestBedError, match="cannot be read") as caught:
        WitnessFiles(vault=vault.target, stack=STACK).read(VOLUME)
    assert NAME in caught.value.detail


@pytest.mark.parametrize(
    ("there", "later", "said"),
    [
        ("mine", "newer", ""),
        ("mine", "", ""),
        (None, "newer", "is gone from the volume s_test_data"),
        ("newer", "newer", "still holds what was written after the backup"),
        ("newer", "", "holds something else: 'newer'"),
        ("other", "newer", "holds something else: 'other'"),
        ("", "", "holds something else: ''"),
        ("mine and more", "", "holds something else: 'mine and more'"),
        ("x" * 500, "", f"holds something else: '{'x' * 100}'"),
    ],
)
def test_anything_but_the_text_that_was_written_is_a_problem(
    there: str | None, later: str, said: str
) -> None:
    """Gone, another text, or that of after the backup: each in its own words, with the volume."""
    found = problem(VOLUME, there, expected="mine", later=later)
    assert said in found
    assert bool(found) == (VOLUME in found) == bool(said)


@pytest.mark.parametrize("call", ["write", "read"])
@pytest.mark.parametrize(
    "kind", [ExecFailedError, ExecTimeoutError, ExecNotStartedError, EngineError]
)
def test_a_vault_that_does_not_work_says_nothing_of_the_recipe(
    vault: FakeVault, kind: type[HarnessError], call: str
) -> None:
    """It is our own container: the same error in the app's would be the recipe's fault."""
    vault.broken = kind("it hangs")
    witnesses = WitnessFiles(vault=vault.target, stack=STACK)
    with pytest.raises(TestBedError) as caught:
        _ = witnesses.write((VOLUME,)) if call == "write" else witnesses.read(VOLUME)
    assert caught.value.outcome is Outcome.ERROR


# As assertions see them


def view(seen: Mapping[str, Mapping[str, object]]) -> Witnesses:
    """Return the view of a restore's assertions."""
    facts = Facts(
        run="r", recipe="made", stack="s_test", domain="s.test", stage=Stage.RESTORE, deployed="",
        deployed_version="", chaos=False, base_commit="", base_version="", head_commit="",
        head_version="", services=("app",), ledger="", health=Health(), seen=seen,
    )  # fmt: skip
    return Witnesses(facts=facts)


def test_assertions_look_for_the_witnesses_of_their_own_stage() -> None:
    """Those of the upgrade were overwritten by the backup long ago."""
    seen = {
        "upgrade": {"witnesses": {VOLUME: "of the upgrade"}, "witness_problems": ["it is gone"]},
        "restore": {"witnesses": {VOLUME: "of the backup"}, "witness_problems": ["another one"]},
    }
    assert view(seen).expected() == {VOLUME: "of the backup"}
    assert view(seen).problems() == ["another one"]


def test_a_stage_that_has_no_witness_has_nothing_to_complain_of() -> None:
    """The custom stage, or a recipe that backs nothing up."""
    assert view({"restore": {}}).expected() == {}
    assert view({"restore": {"witnesses": {}}}).problems() == []
