"""The platform abra: the exact calls, what is laid beside the recipe, and what refusals mean."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from harness.core import proc
from harness.core.errors import (
    AbraError,
    EngineError,
    HarnessError,
    InvalidRecipeError,
    RefusedError,
)
from harness.core.model import Adaptation
from harness.core.settings import Settings
from harness.platforms.abra.platform import AbraPlatform
from harness.platforms.abra.program import detect
from harness.platforms.base import Revision, Target
from harness.platforms.override import own_labels
from harness.run.prepared import abra_for
from tests.unit.committed import committed
from tests.unit.fake_abra import VERSION, calls, environ_with, make_abra
from tests.unit.fake_engine import FakeEngine, Thing

TARGET = Target(recipe="made", run="run1", scope="scope1", domain="made-1.test")
STACK = "made-1_test"
SAMPLE = """
TYPE=made
DOMAIN=made.example.com
GREETING=hello
SECRET_DB_PASSWORD_VERSION=v1 # length=24
"""
COMPOSE = """
version: "3.8"
services:
  app:
    image: nginx:1
    secrets: [db_password]
    deploy: {labels: ["coop-cloud.${STACK_NAME}.version=1.0.0+1", "greeting=${GREETING}"]}
secrets:
  db_password: {external: true, name: "${STACK_NAME}_db_password_${SECRET_DB_PASSWORD_VERSION}"}
"""
QUIET = ["--no-input", "--offline"]
# What a recipe's app is made of is copied from its sample, as abra does.
NEW = """
[ "$1" = --version ] && echo '{version}' && exit
if [ "$2" = new ]; then
  sed 's/made.example.com/made-1.test/' $ABRA_DIR/recipes/made/.env.sample \\
    > $ABRA_DIR/servers/default/made-1.test.env
  exit
fi
{body}
"""


@dataclass
class AbraBench:
    """The platform over a shell script named abra, a real git repository and a pretended engine."""

    directory: Path
    recipe: Path
    commits: tuple[str, str]
    platform: AbraPlatform
    engine: FakeEngine

    def says(self, body: str) -> None:
        """Have abra do that, at anything but `--version` and `app new`."""
        make_abra(self.directory / "bin", NEW.format(version=VERSION, body=body))

    def calls(self) -> list[list[str]]:
        """Return the calls of abra, but for that which asks its version."""
        return [call for call in calls(self.directory / "bin") if call != ["--version"]]

    def base(self) -> Revision:
        """Return the release, to be deployed pinned."""
        return self.revision(self.commits[0], tag="1.0.0+1")

    def head(self) -> Revision:
        """Return the head."""
        return self.revision(self.commits[1])

    def revision(self, commit: str, *, tag: str = "") -> Revision:
        """Return a commit as the run's clone has it."""
        git(self.recipe, "checkout", "--quiet", commit)
        return Revision(
            files=committed(self.recipe), commit=commit, chaos=not tag, tag=tag, source=self.recipe
        )

    def settings(self) -> str:
        """Return abra's settings of the app."""
        return self.platform.settings.read_text()


def git(directory: Path, *words: str) -> str:
    """Run git."""
    who = ["-c", "user.name=cc-ci", "-c", "user.email=tests@cc-ci.invalid"]
    return proc.run(["git", *who, *words], timeout=30, cwd=directory).stdout.strip()


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[str, str]]:
    """A recipe with a release and a head, and their commits; each test has a copy."""
    recipe = tmp_path_factory.mktemp("recipe")
    git(recipe, "init", "--quiet", "--initial-branch=main")
    commits = []
    for greeting, tag in (("hello", "1.0.0+1"), ("changed", "")):
        (recipe / ".env.sample").write_text(SAMPLE.replace("hello", greeting))
        (recipe / "compose.yml").write_text(COMPOSE)
        git(recipe, "add", "--all")
        git(recipe, "commit", "--quiet", "--message", "x")
        if tag:
            git(recipe, "tag", "--annotate", "--message", tag, tag)
        commits.append(git(recipe, "rev-parse", "HEAD"))
    return recipe, (commits[0], commits[1])


@pytest.fixture
def bench(tmp_path: Path, history: tuple[Path, tuple[str, str]]) -> AbraBench:
    """A recipe with a release and a head, and an abra that does nothing."""
    recipe = shutil.copytree(history[0], tmp_path / "recipe")
    work, engine = tmp_path / "work", FakeEngine()
    work.mkdir()
    make_abra(tmp_path / "bin", NEW.format(version=VERSION, body=""))
    environ = environ_with(tmp_path / "bin", DOCKER_HOST="unix:///engine.sock")
    note = Adaptation(kind="stand-in", subject="nginx:1", detail="built")
    platform = AbraPlatform(
        abra=detect(environ, tmp_path),
        client=engine.client,
        environ=environ,
        target=TARGET,
        work=work,
        log=tmp_path / "abra.log",
        dnsrr=True,
        images=lambda _: ("localhost/nginx:1", note),
        extra_env={"QUOTED": "it's $HOME"},
        factor=1.0,
    )
    return AbraBench(tmp_path, recipe, history[1], platform, engine)


def test_a_release_is_deployed_pinned_and_the_head_as_chaos(bench: AbraBench) -> None:
    """Exactly these calls; a base that was deployed as chaos would have been the head all along."""
    bench.platform.deploy(bench.base())
    bench.platform.deploy(bench.head())
    bench.platform.undeploy()
    watch = ["--no-domain-checks", "--no-converge-checks"]
    new = ["app", "new", *QUIET, "--server", "default", "--domain", "made-1.test"]
    assert bench.calls() == [
        [*new, "made", "1.0.0+1"],
        ["app", "deploy", *QUIET, *watch, "made-1.test", "1.0.0+1"],
        ["app", "deploy", *QUIET, *watch, "--chaos", "made-1.test"],
        ["app", "undeploy", *QUIET, "made-1.test"],
        ["app", "remove", *QUIET, "--force", "made-1.test"],
    ]


def test_a_head_without_a_release_before_it_is_made_as_chaos_too(bench: AbraBench) -> None:
    """Else abra would look for a release to make the settings from."""
    bench.platform.deploy(bench.head())
    new, deploy = bench.calls()
    assert new[-2:] == ["--chaos", "made"]
    assert deploy[-2:] == ["--chaos", "made-1.test"]


def test_abras_clone_is_at_the_commit_with_a_clean_tree(bench: AbraBench) -> None:
    """Then chaos-version is the head's first eight digits, without a mark for a changed tree."""
    bench.says("cd $ABRA_DIR/recipes/made; git rev-parse HEAD; git status --short; echo end")
    bench.platform.deploy(bench.base())
    bench.platform.deploy(bench.head())
    log = bench.platform.log.read_text()
    for commit in bench.commits:
        assert f"\n{commit}\nend\n" in log


def test_what_is_ours_lies_beside_the_recipe_and_leaves_abras_labels_to_abra(
    bench: AbraBench,
) -> None:
    """The override is one more compose file; its path is seen from the recipe's directory."""
    deployed = bench.platform.deploy(bench.base())
    assert "COMPOSE_FILE='compose.yml:../../cc-ci.yml'\n" in bench.settings()
    recipe = bench.platform.directory / "recipes" / "made"
    override = json.loads((recipe / "../../cc-ci.yml").read_text())
    app = override["services"]["app"]
    assert app["image"] == "localhost/nginx:1"
    assert app["deploy"]["endpoint_mode"] == "dnsrr"
    assert app["deploy"]["labels"]["ccci.run"] == "run1"
    assert not [key for key in app["deploy"]["labels"] if key.startswith("coop-cloud.")]
    assert (deployed.version, deployed.services) == ("1.0.0+1", ("app",))
    assert {note.kind for note in deployed.adaptations} == {"stand-in", "endpoint-mode"}


def test_settings_stay_those_of_the_first_deploy_and_ours_come_last(bench: AbraBench) -> None:
    """As an operator's do; a value is never filled in by abra."""
    bench.platform.deploy(bench.base())
    bench.platform.deploy(bench.head())
    assert "GREETING=hello\n" in bench.settings()
    assert "changed" not in bench.settings()
    assert 'QUOTED="it\'s \\$HOME"\n' in bench.settings()


def test_a_recipe_that_calls_itself_by_another_name_is_found_and_said(bench: AbraBench) -> None:
    """Abra looks for a recipe by what its settings call it; a clone may be called anything."""
    bench.platform.target = replace(TARGET, recipe="renamed")
    bench.says("")
    script = bench.directory / "bin" / "abra"
    script.write_text(script.read_text().replace("recipes/made/", "recipes/renamed/"))
    deployed = bench.platform.deploy(bench.base())
    assert "TYPE='renamed'\n" in bench.settings()
    (note,) = [note for note in deployed.adaptations if note.kind == "type"]
    assert note.detail == "called renamed here, though its .env.sample says TYPE=made"


def test_secrets_are_made_once_with_the_runs_label_and_never_shown(bench: AbraBench) -> None:
    """Those that abra makes would carry no label, and a killed run would leave them."""
    bench.says("echo made by us: $(cat $ABRA_DIR/../secret)")
    secret = bench.platform.work / "secret"
    secret.write_text("")
    bench.platform.deploy(bench.base())
    ((name, value),) = bench.engine.secrets_made.items()
    assert bench.engine.labels("secret", name)["ccci.run"] == "run1"
    assert name == f"{STACK}_db_password_v1"
    assert len(value) == 24
    assert bench.platform.named_secrets == {"db_password": value.decode()}
    secret.write_bytes(value)
    bench.platform.deploy(bench.head())
    log = bench.platform.log.read_text()
    assert "made by us: ****" in log
    assert value.decode() not in log


def test_a_deploy_that_ends_badly_counts_when_abra_has_written_its_labels(bench: AbraBench) -> None:
    """A time-out of abra's own wait leaves the app deployed; ours goes on."""
    bench.platform.deploy(bench.base())
    bench.says("echo timed out; exit 1")
    prefix = f"coop-cloud.{STACK}"
    labels = {**own_labels(TARGET), f"{prefix}.recipe": "made", f"{prefix}.chaos": "true"}

    def deployed(name: str, commit: str) -> None:
        ours = {"com.docker.stack.namespace": STACK, f"{prefix}.chaos-version": commit[:8]}
        bench.engine.things.append(Thing(kind="service", name=name, labels={**labels, **ours}))

    deployed("app", bench.commits[1])
    bench.platform.deploy(bench.head())
    deployed("db", bench.commits[0])
    with pytest.raises(InvalidRecipeError, match="abra refused to deploy made"):
        bench.platform.deploy(bench.head())


@pytest.mark.parametrize(
    ("name", "container", "said"),
    [
        ("app", {}, ""),
        ("app", {"Mounts": [{"Type": "bind", "Source": "/etc", "Target": "/x"}]}, "bind:/etc"),
        ("thief", {}, "does not have to the harness: thief"),
    ],
)
def test_what_abra_made_is_compared_with_what_was_decided_on(
    bench: AbraBench, name: str, container: Mapping[str, Any], said: str
) -> None:
    """It reads the recipe by itself, and may read it otherwise."""
    labels = {"com.docker.stack.namespace": STACK, **(own_labels(TARGET) if name == "app" else {})}
    made = Thing(kind="service", name=name, labels=labels, container=container)
    bench.engine.things.append(made)
    if not said:
        bench.platform.deploy(bench.base())
        return
    with pytest.raises(RefusedError, match=said) as caught:
        bench.platform.deploy(bench.base())
    assert "abra deployed" in str(caught.value)


@pytest.mark.parametrize(
    ("said", "kind", "message"),
    [
        ("R014 only annotated tags used for recipe version", InvalidRecipeError, "lightweight tag"),
        ("no space left on device", EngineError.__mro__[1], "could not deploy"),
        ("server default does not exist", AbraError, "does not know the server"),
        ("unable to find made in the catalogue", AbraError, "does not know the recipe"),
        ("made-1.test is already deployed", AbraError, "it was not touched"),
        ("only updates to Labels are allowed", InvalidRecipeError, "its name did not"),
        ("services.app.image must be a string", InvalidRecipeError, "abra refused to deploy made"),
    ],
    ids=["lightweight", "disk", "server", "catalogue", "exists", "config", "recipe"],
)
def test_a_refusal_has_its_meaning(
    bench: AbraBench, said: str, kind: type[HarnessError], message: str
) -> None:
    """Whose fault it is decides the verdict; abra's own words come with it."""
    bench.says(f"echo '{said}'; exit 1")
    with pytest.raises(kind, match=message) as caught:
        bench.platform.deploy(bench.base())
    assert said in caught.value.detail
    assert caught.value.hint
    assert f"{said}\n\n= 1\n" in bench.platform.log.read_text()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("echo 'panic: nil map'; exit 2", "crashed"),
        ("printf 'which server? '; read answer", "asks a question"),
        ("exec sleep 60", "did not end"),
    ],
    ids=["panic", "question", "hang"],
)
def test_an_abra_of_no_use_is_no_fault_of_the_recipe(
    bench: AbraBench, body: str, message: str
) -> None:
    """And its log says what it was asked."""
    bench.says(body)
    bench.platform.factor = 0.002
    with pytest.raises(AbraError, match=message) as caught:
        bench.platform._call("app", "deploy", seconds=500)  # noqa: SLF001  the time-out is long
    assert caught.value.exit_code == 3
    assert "$ abra app deploy\n" in bench.platform.log.read_text()


def test_an_app_without_settings_is_an_abra_that_is_not_understood(bench: AbraBench) -> None:
    """It may end with 0 and keep them elsewhere."""
    make_abra(bench.directory / "bin", "exit 0")
    with pytest.raises(AbraError, match="abra made no app of made"):
        bench.platform.deploy(bench.base())


HELPS = """
case "$*" in
  *--help) echo 'Usage: {options}' ;;
  *) echo called; exit {code} ;;
esac
"""


@pytest.mark.parametrize(
    ("options", "chaos"), [("--snapshot string, --chaos", ["--chaos"]), ("--snapshot", [])]
)
def test_abra_has_the_bot_called_for_a_backup_and_for_a_named_restore(
    bench: AbraBench, options: str, chaos: list[str]
) -> None:
    """Exactly these calls, with what this version says it knows; code and words are handed on."""
    bench.says(HELPS.format(options=options, code=3))
    assert bench.platform.backup_create() == (3, "called\n")
    assert bench.platform.restore("0a1b") == (3, "called\n")
    assert bench.calls() == [
        ["app", "backup", "create", "--help"],
        ["app", "backup", "create", *QUIET, *chaos, "made-1.test"],
        ["app", "restore", "--help"],
        ["app", "restore", *QUIET, *chaos, "--snapshot", "0a1b", "made-1.test"],
    ]
    assert "--help" not in bench.platform.log.read_text()


def test_an_abra_that_restores_only_the_newest_snapshot_is_of_no_use(bench: AbraBench) -> None:
    """Somebody else's backup may be newer; nothing is restored then."""
    bench.says(HELPS.format(options="--target", code=0))
    with pytest.raises(AbraError, match="cannot be told which snapshot to restore"):
        bench.platform.restore("0a1b")
    assert bench.calls() == [["app", "restore", "--help"]]


def test_what_was_never_made_is_not_undeployed(bench: AbraBench) -> None:
    """A run that ended before its first deploy has nothing that abra knows of."""
    bench.platform.undeploy()
    assert bench.calls() == []


def test_abra_deploys_only_when_asked_or_when_it_has_a_server(tmp_path: Path) -> None:
    """What nobody asked for is no error when it is of no use."""
    make_abra(tmp_path / "bin")
    said: list[str] = []
    environ = environ_with(tmp_path / "bin", ABRA_DIR=str(tmp_path / "abra"))

    def chosen(platform: str, environ: dict[str, str] = environ) -> bool:
        settings = Settings(platform=platform, cache=tmp_path)
        return abra_for(settings, environ, say=said.append) is not None

    assert not chosen("swarm")
    assert chosen("abra")
    assert not chosen("auto")
    assert said == []
    (tmp_path / "abra/servers/default").mkdir(parents=True)
    assert chosen("auto")
    without = {**environ, "PATH": "/nowhere"}
    assert not chosen("auto", without)
    assert said[-1] == "platform  swarm: there is no abra on this machine"
    with pytest.raises(AbraError, match="there is no abra"):
        chosen("abra", without)
