"""What is tested, from a real repository: head, base, images, health, and the plan for them."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.ci.under_test import asked_commit
from harness.core.errors import InvalidRecipeError, SourceError, TestBedError, UsageError
from harness.core.model import Origin, Stage, WarningCode
from harness.core.settings import Settings
from harness.platforms.base import Target
from harness.recipes.catalogue import Entry
from harness.recipes.cloning import clone
from harness.recipes.git import import_history
from harness.recipes.meta import RecipeMeta
from harness.recipes.repo import Repo
from harness.run.own_tests import Places
from harness.run.subject import Subject, study

TARGET = Target(recipe="made", run="run1", scope="s", domain="made-1.test")
APP = """
services:
  app:
    image: "nginx:${TAG:-0}"
    deploy: {labels: ["coop-cloud.${STACK_NAME}.version=VERSION", "greeting=${GREETING:-}"]}
"""
DB = '  db: {image: "redis:${REDIS:-7}", deploy: {labels: {"backupbot.backup": "true"}}}\n'


def files(version: str, *, db: bool = True) -> dict[str, str]:
    """Return the files of a recipe of that version, with its upstream part as the image's tag."""
    app = APP.replace("VERSION", version)
    return {
        "compose.yml": app + (DB if db else ""),
        ".env.sample": "TYPE=made\nDOMAIN=made.example.com\n",
        "abra.sh": f"export TAG={version.partition('+')[2]}\n",
    }


def commit(ref: str, mark: int, tree: Mapping[str, str], *, parent: int = 0) -> str:
    """Return a commit as `git fast-import` reads it."""
    who = "a <a@cc-ci.invalid> 1700000000 +0000"
    changes = "".join(
        f"M 100644 inline {name}\ndata {len(text)}\n{text}\n" for name, text in tree.items()
    )
    origin = f"from :{parent}\n" if parent else ""
    return f"commit {ref}\nmark :{mark}\ncommitter {who}\ndata 1\nm\n{origin}deleteall\n{changes}\n"


def release(name: str, mark: int) -> str:
    """Return an annotated tag as `git fast-import` reads it."""
    return f"tag {name}\nfrom :{mark}\ntagger a <a@cc-ci.invalid> 1700000000 +0000\ndata 1\nm\n"


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Repo:
    """A clone of a recipe with two releases, a head after them, branches, and a pull request."""
    place = tmp_path_factory.mktemp("subject")
    stream = [
        commit("refs/heads/main", 1, files("1.0.0+1", db=False)),
        release("1.0.0+1", 1),
        commit("refs/heads/main", 2, files("1.1.0+2"), parent=1),
        release("1.1.0+2", 2),
        commit("refs/heads/main", 3, files("1.1.0+3"), parent=2),
        commit("refs/heads/alone", 4, files("0.1.0+9", db=False)),
        commit("refs/heads/empty", 5, {"README.md": "x"}),
        commit("refs/heads/lost", 6, files("1.1.0+6", db=False), parent=3),
        commit("refs/pull/7/head", 7, files("1.1.0+7"), parent=3),
    ]
    import_history(place / "origin.git", "".join(stream).encode(), branch="main")
    return clone(str(place / "origin.git"), place / "clone", timeout=60)


@pytest.fixture
def tests(tmp_path: Path) -> Path:
    """The project's `tests`, with generic assertions and nothing of the recipe's."""
    generic = tmp_path / "_generic"
    generic.mkdir()
    for stage in ("install", "upgrade", "backup", "restore"):
        (generic / f"test_{stage}.py").write_text("")
    (tmp_path / "made").mkdir()
    return tmp_path


class Studies:
    """Studies the recipe, with whatever a test changes of what was asked for."""

    def __init__(self, repo: Repo, tests: Path) -> None:
        self.repo, self.tests = repo, tests

    def __call__(
        self,
        entry: Mapping[str, Any] | None = None,
        **settings: Any,  # noqa: ANN401  any setting
    ) -> Subject:
        """Study it."""
        asked = Entry(**{"name": "made", "source": "/src", **(entry or {})})
        work = self.tests / "work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        places = Places(tests=self.tests, overlays=self.tests, work=work)
        wanted = Settings(**settings)
        commit = asked_commit(asked, self.repo, wanted)
        return study(asked, self.repo, commit, wanted, TARGET, places=places)

    def write(self, name: str, text: str) -> None:
        """Write a file of the recipe's folder below `tests`."""
        (self.tests / "made" / name).write_text(text)


@pytest.fixture
def studied(repo: Repo, tests: Path) -> Studies:
    """A function that studies the recipe."""
    return Studies(repo, tests)


def test_the_head_is_the_default_branch_and_the_base_its_newest_release(
    studied: Studies, repo: Repo
) -> None:
    """And both are read as they are deployed: with abra.sh, and with this run's stack in labels."""
    subject = studied()
    plan = subject.plan
    assert (plan.recipe, plan.head.ref) == ("made", "default branch")
    assert plan.head.commit == repo.default_branch_commit()
    assert str(plan.head.version) == "1.1.0+3"
    assert plan.base is not None
    assert plan.base.tag == "1.1.0+2"
    assert (subject.images, subject.base_images) == (("nginx:3", "redis:7"), ("nginx:2",))


def test_only_what_is_deployed_needs_its_image(studied: Studies) -> None:
    """Without an upgrade the base's image is not pulled."""
    stages = (Stage.INSTALL,)
    subject = studied(stages=stages, origins={"stages": "--stages"})
    assert subject.images == ("nginx:3", "redis:7")


@pytest.mark.parametrize(
    ("entry", "settings", "version"),
    [
        ({"ref": "alone"}, {}, "0.1.0+9"),
        ({"ref": "alone", "line": 3}, {"ref": "1.0.0+1"}, "1.0.0+1"),
        ({"ref": "alone"}, {"pr": "7"}, "1.1.0+7"),
    ],
    ids=["the line's", "the setting's", "the pull request's"],
)
def test_which_head_is_tested(
    studied: Studies, entry: Mapping[str, str], settings: Mapping[str, str], version: str
) -> None:
    """What was asked for goes before what recipes.txt says."""
    assert str(studied(entry, **settings).plan.head.version) == version


def test_two_refs_on_one_command_line_are_one_too_many(studied: Studies) -> None:
    """`path#this --ref that`: whichever was taken, the verdict would be on the other one's name."""
    with pytest.raises(UsageError, match="two refs were asked for: 'alone' and 'main'"):
        studied({"ref": "alone"}, ref="main")


def test_a_ref_and_a_pull_request_are_one_too_many(studied: Studies) -> None:
    """Whichever was taken, somebody would read the verdict as one on the other."""
    with pytest.raises(UsageError, match="both a ref and a pull request"):
        studied(ref="main", pr="7")


def test_what_is_not_there_is_an_error_of_the_source(studied: Studies) -> None:
    """A head, or a release to upgrade from."""
    with pytest.raises(SourceError):
        studied(ref="no-such-branch")
    with pytest.raises(SourceError):
        studied(version="9.9.9+9")


def test_the_base_is_the_one_asked_for_or_the_metas(studied: Studies) -> None:
    """The command line goes before the recipe's meta."""
    studied.write("recipe_meta.py", 'UPGRADE_BASE = "1.0.0+1"\n')
    base = studied().plan.base
    assert base is not None
    assert base.tag == "1.0.0+1"
    base = studied(version="1.1.0+2").plan.base
    assert base is not None
    assert base.tag == "1.1.0+2"


@pytest.mark.parametrize(
    ("ref", "text", "expected"),
    [
        ("", "", True),
        ("alone", "", False),
        ("lost", "", True),
        ("1.1.0+2", "", True),
        ("", "BACKUP_CAPABLE = False\n", False),
        ("alone", "BACKUP_CAPABLE = True\n", True),
    ],
)
def test_a_backup_is_planned_where_the_labels_ask_for_one(
    studied: Studies, ref: str, text: str, *, expected: bool
) -> None:
    """Also a head that lost its base's label, which fails there; the meta has the last word."""
    studied.write("recipe_meta.py", text)
    assert studied(ref=ref).plan.runs(Stage.BACKUP) is expected


def test_the_stages_of_the_line_hold_unless_others_are_asked_for(studied: Studies) -> None:
    """A setting that merely has its default was not asked for."""
    entry = {"stages": (Stage.BACKUP,)}

    def asked(**settings: Any) -> list[Stage]:  # noqa: ANN401  any setting
        return [
            planned.stage for planned in studied(entry, **settings).plan.stages if planned.asked
        ]

    assert asked() == [Stage.BACKUP]
    assert asked(stages=(Stage.UPGRADE,), origins={"stages": "--stages"}) == [Stage.UPGRADE]
    assert [p.stage for p in studied().plan.stages if p.asked] == list(Stage)


def test_leaving_generic_assertions_out_leaves_the_ops_as_they_are(studied: Studies) -> None:
    """What the environment and the meta leave out is added up, and said; overlays stay."""
    studied.write("test_backup.py", "")
    studied.write("recipe_meta.py", 'SKIP_GENERIC = ["backup"]\n')
    full, less = studied(), studied(skip_generic=frozenset({Stage.RESTORE}))
    found = {planned.stage: [origin for _, origin in planned.files] for planned in less.plan.stages}
    assert found == {
        Stage.INSTALL: [Origin.GENERIC],
        Stage.UPGRADE: [Origin.GENERIC],
        Stage.BACKUP: [Origin.OVERLAY],
        Stage.RESTORE: [],
        Stage.CUSTOM: [],
    }
    assert [p.runs for p in less.plan.stages] == [p.runs for p in full.plan.stages]
    assert "generic assertions of backup, restore" in less.plan.left_out
    assert "left out generic assertions of backup" in full.plan.lines()
    assert "recipe_meta.py sets SKIP_GENERIC = ('backup',)" in full.plan.notes


def test_the_meta_is_handed_on(studied: Studies) -> None:
    """As it is, for whoever deploys the recipe and asks it for a page."""
    assert studied().meta == RecipeMeta()
    studied.write("recipe_meta.py", 'HEALTH_PORT = 81\nMARKER = "it"\n')
    assert studied().meta == RecipeMeta(HEALTH_PORT=81, MARKER="it")


def test_a_mistake_in_the_meta_is_found_before_anything_is_deployed(studied: Studies) -> None:
    """It is a mistake of the call, not of the recipe."""
    studied.write("recipe_meta.py", 'HEALTH_PATHS = "/"\n')
    with pytest.raises(UsageError, match="HEALTH_PATHS"):
        studied()


def test_the_metas_variables_are_there_when_the_compose_files_are_read(studied: Studies) -> None:
    """An image may depend on them."""
    studied.write("recipe_meta.py", 'EXTRA_ENV = {"REDIS": "x", "TAG": "y"}\n')
    subject = studied()
    assert subject.images == ("nginx:3", "redis:x"), "what abra.sh exports goes over it"
    assert subject.base_images == ("nginx:2",)


def test_a_head_that_is_no_recipe_has_failed(studied: Studies) -> None:
    """Before anything is deployed."""
    with pytest.raises(InvalidRecipeError, match=r"no compose\.yml"):
        studied(ref="empty")


def test_seed_hooks_are_read_before_anything_is_deployed(studied: Studies) -> None:
    """A typing error in them is found at once, and is not the recipe's fault."""
    assert studied().seeds.modules == ()
    studied.write("ops.py", "def pre_upgrade(ctx): pass\n")
    assert studied().seeds.has(Stage.UPGRADE)
    studied.write("ops.py", "def pre_upgrade(ctx) pass\n")
    with pytest.raises(TestBedError, match=r"ops\.py"):
        studied()


def test_a_volume_without_a_witness_is_one_of_the_recipes_and_is_told(studied: Studies) -> None:
    """A misspelt name would leave the witness in, and hurt the app that it was to spare."""
    for text in ("NO_WITNESS = {'datta': 'it is emptied'}\n", "MAX_LOSS = {'datta/x': 1}\n"):
        studied.write("recipe_meta.py", text)
        with pytest.raises(UsageError, match="datta") as caught:
            studied()
        assert "its volumes are none" in caught.value.hint


def test_a_leak_that_is_known_is_of_a_secret_of_the_recipe(studied: Studies) -> None:
    """A misspelt name would excuse nothing, and be found out after a whole run."""
    studied.write("recipe_meta.py", "KNOWN_LEAKS = {'admin_passwort': 'for the first login'}\n")
    with pytest.raises(UsageError, match=r"KNOWN_LEAKS .* names no secret .*: admin_passwort"):
        studied()


SHIPPED = {"tests/test_upgrade.py": "", "tests/test_more.py": "", "tests/ops.py": "1 / 0\n"}


def shipping(place: Path, **changes: str) -> Repo:
    """Return a clone of a recipe that ships test code; its pull request 8 changes nothing."""
    tree = {**files("1.0.0+1"), **SHIPPED, **changes}
    text = commit("refs/heads/main", 1, tree) + "reset refs/pull/8/head\nfrom :1\n\n"
    import_history(place / "origin.git", text.encode(), branch="main")
    return clone(str(place / "origin.git"), place / "clone", timeout=60)


def test_code_that_the_recipe_ships_is_not_run_unless_it_is_approved(
    tests: Path, tmp_path: Path
) -> None:
    """Its `ops.py` would raise on import; the plan says why it is left out, and what to add."""
    studied = Studies(shipping(tmp_path / "shipping"), tests)
    plan = studied().plan
    assert plan.stages[1].denied == ("test_upgrade.py",)
    assert [p.reason for p in plan.stages if p.stage is Stage.CUSTOM] == [
        "the tests that the recipe ships are not approved"
    ]
    assert [path for p in plan.stages for path, kind in p.files if kind is Origin.REPO_LOCAL] == []
    (told,) = plan.left_out
    assert "nobody has approved the 3 file(s)" in told
    line = told.rpartition("txt: ")[2]
    (tests / "repo-local-approved.txt").write_text(line + "\n")
    with pytest.raises(TestBedError, match="ZeroDivisionError"):
        studied()  # now it is read


def test_approved_code_takes_part_after_our_own(tests: Path, tmp_path: Path) -> None:
    """From a copy of the run's own, and a weak approval is told as such."""
    repo = shipping(tmp_path / "shipping", **{"tests/ops.py": ""})
    studied = Studies(repo, tests)
    (tests / "repo-local-approved.txt").write_text("made\n")
    subject = studied({"source": repo.source, "line": 1})
    custom = next(p for p in subject.plan.stages if p.stage is Stage.CUSTOM)
    ((path, origin),) = custom.files
    assert (path.name, origin) == ("test_more.py", Origin.REPO_LOCAL)
    assert path.is_relative_to(tests / "work")
    assert [note for note in subject.plan.notes if "WEAK" in note]
    assert subject.plan.left_out == ()


def test_a_weak_approval_does_not_speak_for_a_pull_request(tests: Path, tmp_path: Path) -> None:
    """That may be anybody's; the line that is told, with the hash, opens the gate for it."""
    repo = shipping(tmp_path / "shipping", **{"tests/ops.py": ""})
    studied = Studies(repo, tests)
    approvals = tests / "repo-local-approved.txt"
    approvals.write_text("made\n")
    enrolled = {"source": repo.source, "line": 1}
    plan = studied(enrolled, pr="8").plan
    assert plan.head.commit == repo.resolve("main"), "it is the very code that is approved so"
    assert not [path for p in plan.stages for path, kind in p.files if kind is Origin.REPO_LOCAL]
    (told,) = plan.left_out
    assert "is weak" in told
    approvals.write_text(f"made\n{told.rpartition('txt: ')[2]}\n")
    assert studied(enrolled, pr="8").plan.left_out == ()


LABELS = """
services:
  app:
    image: nginx:1
    volumes: ["data:/d"]
    deploy:
      labels:
        - "coop-cloud.${STACK_NAME}.version=0.9.0+1"
        - "backupbot.backup=true"
        - "backupbot.backup.volumes.data.path=a"
        - "backupbot.backup.prehook=dump"
volumes: {data: {}}
"""


def test_what_a_backup_is_not_held_to_is_said(tests: Path, tmp_path: Path) -> None:
    """Paths get no witness, a misspelt hook is never run, and versions should not go backwards."""
    head = {"compose.yml": LABELS, ".env.sample": ""}
    stream = [
        commit("refs/heads/main", 1, files("1.0.0+1")),
        release("1.0.0+1", 1),
        commit("refs/heads/main", 2, head, parent=1),
    ]
    import_history(tmp_path / "o.git", "".join(stream).encode(), branch="main")
    plan = Studies(clone(str(tmp_path / "o.git"), tmp_path / "c", timeout=60), tests)().plan
    misspelt, meant = "backupbot.backup.prehook", "backupbot.backup.pre-hook"
    assert plan.left_out == ("a witness in volume data: only paths of it are backed up",)
    (warning,) = plan.warnings
    assert warning.text == f"service app: unknown label {misspelt}"
    assert warning.next == f"did you mean {meant}?"
    assert [note for note in plan.notes if "0.9.0+1, which is older than" in note]


def test_a_head_that_is_a_release_has_the_version_of_its_tag(studied: Studies) -> None:
    """Whatever its label says: the upgrade stage compares the two."""
    assert studied(ref="1.1.0+2").plan.head.release == "1.1.0+2"
    assert studied().plan.head.release == ""


def made_of(place: Path, stream: list[str]) -> Repo:
    """Return a clone of a recipe with that history."""
    import_history(place / "other.git", "".join(stream).encode(), branch="main")
    return clone(str(place / "other.git"), place / "other", timeout=60)


def test_tags_that_an_operator_would_regret_are_told(tests: Path) -> None:
    """A lightweight release, and a tag after the base that looks like a release and is none."""
    main = "refs/heads/main"
    stream = [
        commit(main, 1, files("0.9.0+1")), release("v0.9.0", 1),
        commit(main, 2, files("1.0.0+1"), parent=1), "reset refs/tags/1.0.0+1\nfrom :2\n\n",
        commit(main, 3, files("1.0.1+1"), parent=2), release("v1.0.1", 3), release("latest", 3),
        commit(main, 4, files("1.0.2+2"), parent=3),
    ]  # fmt: skip
    studied = Studies(made_of(tests, stream), tests)
    codes = [one.code for one in studied().plan.warnings]
    assert codes == [WarningCode.LIGHTWEIGHT_TAG, WarningCode.NOT_A_RELEASE]
    assert "v1.0.1 is not a release" in studied().plan.warnings[1].text
    asked = studied(version="v1.0.1")
    assert asked.plan.base
    assert (asked.plan.base.tag, str(asked.plan.base.version)) == ("v1.0.1", "1.0.1+1")
    assert [one.code for one in asked.plan.warnings] == [WarningCode.LIGHTWEIGHT_TAG]
    only_install = studied(stages=(Stage.INSTALL,))
    assert [one.code for one in only_install.plan.warnings] == [WarningCode.LIGHTWEIGHT_TAG]


def test_a_base_whose_files_cannot_be_read_is_no_fault_of_the_heads(tests: Path) -> None:
    """Its install says so; then the head is installed alone."""
    broken = {**files("1.0.0+1"), "compose.yml": "services: ["}
    stream = [
        commit("refs/heads/main", 1, broken), release("1.0.0+1", 1),
        commit("refs/heads/main", 2, files("1.1.0+2"), parent=1),
    ]  # fmt: skip
    subject = Studies(made_of(tests, stream), tests)()
    assert subject.plan.base
    assert (subject.base_images, subject.images) == ((), ("nginx:2", "redis:7"))


def test_an_image_of_the_base_alone_that_its_registry_has_no_more_ends_no_run(
    studied: Studies,
) -> None:
    """The install tells it; an image of the head's is another matter, and so is the machine."""

    def fetch(error: Exception, gone: str) -> list[str]:
        asked: list[str] = []

        def image(name: str) -> tuple[str, None]:
            asked.append(name)
            if name == gone:
                raise error
            return name, None

        studied().fetch(image, step=lambda _: None)
        return asked

    missing = InvalidRecipeError("the registry has no image")
    assert fetch(missing, "nginx:2") == ["nginx:3", "redis:7", "nginx:2"]
    with pytest.raises(InvalidRecipeError):
        fetch(missing, "nginx:3")
    with pytest.raises(TestBedError):
        fetch(TestBedError("no registry answers"), "nginx:2")
