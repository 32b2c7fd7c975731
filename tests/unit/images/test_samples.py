"""The sample recipes: real repositories with stable hashes, and recipes that hold together."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.core.errors import LockTimeoutError, TestBedError, UnknownNameError
from harness.images import samples
from harness.locks import file_lock as locks
from harness.recipes import compose, envfile, secrets
from harness.recipes.catalogue import Catalogue
from harness.recipes.cloning import clone
from harness.recipes.compose import Compose
from harness.recipes.repo import Repo
from harness.recipes.versions import Version

ROOT = Path(__file__).parents[3]
STACK = "custom-html-0a1b2c"
NAMES = samples.sample_names()


def make(name: str, cache: Path, said: list[str] | None = None, **more: Path) -> Path:
    say = (said if said is not None else []).append
    return samples.materialise(name, cache=cache, lock_timeout=5, say=say, **more)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in which each sample is made once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def cloned(cache: Path, tmp_path: Path) -> Callable[[str], Repo]:
    """A function that clones a sample."""
    return lambda name: clone(str(make(name, cache)), tmp_path / name, timeout=20)


def every_state(ours: Repo) -> list[tuple[str, str]]:
    """Return (version label expected, or empty at head; commit) from the oldest to head."""
    states = [(release.tag, release.commit) for release in ours.releases()]
    return [*states, ("", ours.default_branch_commit())]


def read(ours: Repo, commit: str) -> Compose:
    """Read a commit's compose files as a deployment does."""
    files = ours.files(commit)
    env = envfile.as_dict(envfile.read(files, ".env.sample"))
    env |= envfile.abra_exports(files.text("abra.sh"))
    env |= {"STACK_NAME": STACK, "DOMAIN": "custom-html.0a1b2c.test"}
    return compose.load(files, env["COMPOSE_FILE"], env)


def label(stack: Compose, name: str) -> str:
    return stack.services["app"].labels[f"coop-cloud.{STACK}.{name}"]


def test_the_list_of_recipes_knows_every_sample() -> None:
    """Each sample is in recipes.txt, and recipes.txt names no sample that is not there."""
    listed = [entry.sample for entry in Catalogue.load(ROOT / "recipes.txt").entries]
    assert sorted(filter(None, listed)) == list(NAMES) == ["custom-html", "radicale"]


@pytest.mark.parametrize("name", NAMES)
def test_releases_are_annotated_and_head_lies_beyond(
    cloned: Callable[[str], Repo], name: str
) -> None:
    """A sample has two releases or more and a head that is none: an upgrade has both its ends."""
    ours = cloned(name)
    releases = ours.releases()
    assert len(releases) >= 2
    assert all(release.annotated for release in releases)
    commits = [commit for _, commit in every_state(ours)]
    assert len(set(commits)) == len(commits)
    assert ours.releases_before(commits[-1]) == releases
    assert ours.other_tags == ()


@pytest.mark.parametrize("name", NAMES)
def test_hashes_are_the_same_everywhere(
    cloned: Callable[[str], Repo], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time zone, time and user of whoever makes a sample are not in its hashes."""
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    monkeypatch.setenv("GIT_COMMITTER_NAME", "somebody")
    monkeypatch.setenv("GIT_COMMITTER_DATE", "1 +0000")
    elsewhere = make(name, tmp_path / "elsewhere")
    again = clone(str(elsewhere), tmp_path / "again", timeout=20)
    assert every_state(again) == every_state(cloned(name))


@pytest.mark.parametrize("name", NAMES)
def test_every_state_can_be_deployed(cloned: Callable[[str], Repo], name: str) -> None:
    """At each commit the files agree: version label, timeout, config files, lengths, variables."""
    ours = cloned(name)
    for tag, commit in every_state(ours):
        stack = read(ours, commit)
        assert not tag or label(stack, "version") == tag
        assert label(stack, "timeout") == "120"
        assert stack.services["app"].labels["backupbot.backup"] == "true"
        assert stack.services["app"].healthcheck
        assert stack.networks["proxy"].external
        assert stack.bad_files() == ()
        assert stack.names_too_long(STACK) == ()
        assert stack.unset <= {"EXTRA_DOMAINS"}


@pytest.mark.parametrize("name", NAMES)
def test_head_names_the_next_version(cloned: Callable[[str], Repo], name: str) -> None:
    """Head's version label is one that comes after the last release and has no tag yet."""
    ours = cloned(name)
    version = Version.parse(label(read(ours, ours.default_branch_commit()), "version"))
    assert version
    assert version > ours.releases()[-1].version


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_config_has_a_new_name(cloned: Callable[[str], Repo], name: str) -> None:
    """Swarm never changes a config in place: where the file differs, the name must differ too."""
    ours = cloned(name)
    content: dict[str, str] = {}
    for _, commit in every_state(ours):
        for config in read(ours, commit).configs.values():
            text = ours.files(commit).text(config.file)
            assert content.setdefault(config.full_name(STACK), text) == text
    assert len(content) > len(read(ours, ours.default_branch_commit()).configs)


@pytest.mark.parametrize("name", NAMES)
def test_states_really_differ(cloned: Callable[[str], Repo], name: str) -> None:
    """Each state has another image and other files, and keeps the volumes of the one before."""
    ours = cloned(name)
    stacks = [read(ours, commit) for _, commit in every_state(ours)]
    assert len({stack.images() for stack in stacks}) == len(stacks)
    for before, after in itertools.pairwise(stacks):
        assert before.volumes.keys() <= after.volumes.keys()
    assert stacks[0].volumes != stacks[-1].volumes


def test_custom_html_says_which_config_serves(cloned: Callable[[str], Repo]) -> None:
    """Each state answers with a header of its own, and only head answers /recipe.txt itself."""
    ours = cloned("custom-html")
    texts = []
    for _, commit in every_state(ours):
        ours.checkout(commit)
        texts.append((ours.path / "nginx.conf.tmpl").read_text())
    for number, text in enumerate(texts, start=1):
        assert "add_header X-Served-By custom-html always;" in text
        assert f"add_header X-Recipe-Config v{number} always;" in text
    assert [("/recipe.txt" in text) for text in texts] == [False, False, False, True]


def test_custom_html_optional_file_is_switched_off(cloned: Callable[[str], Repo]) -> None:
    """The commented line adds a service that fits in when it is switched on."""
    ours = cloned("custom-html")
    assert list(read(ours, ours.default_branch_commit()).services) == ["app"]
    files = ours.files(ours.default_branch_commit())
    text = files.text(".env.sample").replace("#COMPOSE_FILE", "COMPOSE_FILE")
    env = envfile.as_dict(envfile.parse(text, name=".env.sample"))
    stack = compose.load(files, env["COMPOSE_FILE"], env)
    assert list(stack.services) == ["app", "git-pull"]


def test_radicale_asks_for_its_secret(cloned: Callable[[str], Repo]) -> None:
    """The secret of the env file is the one that the compose file mounts, under its full name."""
    ours = cloned("radicale")
    stack = read(ours, ours.default_branch_commit())
    files = ours.files(ours.default_branch_commit())
    (spec,) = secrets.specs(envfile.read(files, ".env.sample"), file=".env.sample")
    assert (spec.name, spec.length) == ("admin_password", 24)
    assert stack.secrets[spec.name].external
    assert stack.secrets[spec.name].full_name(STACK) == spec.full_name(STACK)
    hooks = [key for key in stack.services["app"].labels if key.endswith("-hook")]
    assert len(hooks) == 3


def test_a_sample_is_made_once(cache: Path) -> None:
    """The second time nothing is made, said or locked."""
    first = make("radicale", cache)
    said: list[str] = []
    with locks.hold(cache / "locks", "sample-radicale", purpose="x", timeout=1, say=said.append):
        assert make("radicale", cache, said) == first
    assert said == []


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A directory with one small sample of this test's own."""
    one = tmp_path / "own/one/first"
    one.mkdir(parents=True)
    (one / "run.sh").write_text("x")
    (one / "gone").write_text("")
    (one / "dot-hidden").write_text("h")
    (tmp_path / "own/one/second/sub").mkdir(parents=True)
    (tmp_path / "own/one/second/sub/é").write_text("no newline at the end")
    (tmp_path / "own/one/history.toml").write_text(
        '[[commit]]\nfolder="first"\ndate=2024-01-01T00:00:00Z\nmessage="a"\n'
        'tag="1.0.0+1"\ntag-message="t"\n'
        '[[commit]]\nfolder="second"\ndate=2024-01-02T00:00:00Z\nmessage="b"\nremove=["gone"]\n'
    )
    return tmp_path / "own"


def test_files_come_modes_and_go(own: Path, tmp_path: Path) -> None:
    """A commit adds its folder's files over those before, takes away what it says, sets modes."""
    ours = clone(str(make("one", tmp_path / "c", samples=own)), tmp_path / "clone", timeout=20)
    ours.checkout(ours.releases()[0].commit)
    assert (ours.path / "run.sh").stat().st_mode & 0o111
    assert (ours.path / ".hidden").read_text() == "h"
    assert (ours.path / "gone").read_bytes() == b""
    ours.checkout(ours.default_branch_commit())
    assert (ours.path / "sub/é").read_text() == "no newline at the end"
    assert (ours.path / "run.sh").exists()
    assert not (ours.path / "gone").exists()


def test_a_changed_sample_is_another_repository(own: Path, tmp_path: Path) -> None:
    """The repository's name holds a key of its content, so an old one is never taken for it."""
    before = make("one", tmp_path / "c", samples=own)
    (own / "one/first/run.sh").write_text("y")
    after = make("one", tmp_path / "c", samples=own)
    assert before != after
    assert before.is_dir()
    assert after.is_dir()


def test_what_was_left_half_made_is_made_anew(own: Path, tmp_path: Path) -> None:
    """A process that died while making a sample leaves nothing that is taken for one."""
    made = make("one", tmp_path / "c", samples=own)
    made.rename(made.with_suffix(".new"))
    (made.with_suffix(".new") / "HEAD").write_text("broken")
    said: list[str] = []
    assert make("one", tmp_path / "c", said, samples=own) == made
    assert "making the sample recipe one" in said[0]
    assert not made.with_suffix(".new").exists()
    assert clone(str(made), tmp_path / "clone", timeout=20).releases()


def test_a_failure_leaves_no_repository(own: Path, tmp_path: Path) -> None:
    """When git cannot build it, there is nothing that the next run would take for a sample."""
    (own / "one/history.toml").write_text(
        '[[commit]]\nfolder="first"\ndate=2024-01-01T00:00:00Z\nmessage="a"\ntag="bad tag:"\n'
    )
    with pytest.raises(TestBedError, match="git could not build"):
        make("one", tmp_path / "c", samples=own)
    assert list((tmp_path / "c/samples").glob("*.git")) == []


def test_two_at_once_wait_for_each_other(own: Path, tmp_path: Path) -> None:
    """Whoever comes second waits for the first, for as long as it was told."""
    with (
        locks.hold(tmp_path / "c/locks", "sample-one", purpose="x", timeout=1, say=print),
        pytest.raises(LockTimeoutError),
    ):
        samples.materialise(
            "one", cache=tmp_path / "c", lock_timeout=0, say=lambda _: None, samples=own
        )


def test_an_unknown_sample(tmp_path: Path) -> None:
    """A sample that is not there comes with the nearest, or with all of them."""
    with pytest.raises(UnknownNameError) as caught:
        make("radical", tmp_path)
    assert caught.value.hint == "did you mean radicale?"
    with pytest.raises(UnknownNameError) as caught:
        make("zzz", tmp_path)
    assert "custom-html, radicale" in caught.value.hint
    with pytest.raises(UnknownNameError):
        make("../samples/radicale", tmp_path)


def test_no_file_of_a_sample_is_hidden() -> None:
    """Packaging leaves hidden files out, so an installed copy would make other repositories."""
    hidden = [path for path in samples.SAMPLES.rglob("*") if path.name.startswith(".")]
    assert hidden == []


@pytest.mark.parametrize("name", NAMES)
def test_every_date_has_a_time_zone(name: str) -> None:
    """A date without one would give other hashes in another place."""
    history = tomllib.loads((samples.SAMPLES / name / samples.HISTORY).read_text())
    assert all(commit["date"].tzinfo for commit in history["commit"])
