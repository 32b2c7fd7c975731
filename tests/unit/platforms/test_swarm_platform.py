"""The swarm platform: the exact docker command, who may steer it, and secrets that stay secret."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.core import proc
from harness.core.errors import (
    DiskFullError,
    EngineError,
    HarnessError,
    InvalidRecipeError,
    ProcessError,
    RefusedError,
    TestBedError,
)
from harness.core.model import Adaptation
from harness.platforms.base import Revision, Target
from harness.platforms.override import own_labels
from harness.platforms.swarm import SwarmPlatform
from harness.recipes.policy.allowed import Policy
from tests.unit.committed import committed
from tests.unit.fake_engine import FakeEngine

TARGET = Target(recipe="made", run="run1", scope="scope1", domain="made-1.test")
STACK = "made-1_test"
SAMPLE = """
TYPE=made
DOMAIN=made.example.com
COMPOSE_FILE="compose.yml:compose.extra.yml"
GREETING=hello
SECRET_DB_PASSWORD_VERSION=v1 # length=24
SECRET_API_KEY_VERSION=v2 # length=20 generate=false
"""
COMPOSE = """
version: "3.8"
services:
  app:
    image: "nginx:${TAG:-1}"
    secrets: [db_password, api_key]
    deploy: {labels: ["coop-cloud.${STACK_NAME}.version=1.0.0+1", "greeting=${GREETING}"]}
secrets:
  db_password: {external: true, name: "${STACK_NAME}_db_password_${SECRET_DB_PASSWORD_VERSION}"}
  api_key: {external: true, name: "${STACK_NAME}_api_key_${SECRET_API_KEY_VERSION}"}
  own: {file: ./own.txt}
"""
EXTRA = """
version: "3.8"
services:
  db: {image: "redis:7", deploy: {labels: {"coop-cloud.made-1_test.timeout": "90"}}}
"""
OWN = f"{STACK}_ccci-proxy"
TAKEN = "port '80' is already in use by service"
STAND_IN = Adaptation(kind="stand-in", subject="nginx:1", detail="built")


@dataclass
class SwarmBench:
    """A platform whose docker command is recorded instead of run, over an engine's secrets."""

    recipe: Path
    work: Path
    platform: SwarmPlatform
    runs: list[dict[str, Any]] = field(default_factory=list)
    engine: FakeEngine = field(default_factory=FakeEngine)
    failure: Exception | None = None
    said: str = ""  # by docker, on standard error
    real: Callable[..., proc.Completed] = field(default=proc.run)

    def run(self, argv: Sequence[str], **options: Any) -> proc.Completed:  # noqa: ANN401  as proc.run
        """Stand in for `proc.run`: docker does not run, git does."""
        if argv[0] != "docker":
            return self.real(argv, **options)
        self.runs.append({"argv": list(argv), **options})
        if self.failure is not None:
            raise self.failure
        return proc.Completed(argv=tuple(argv), code=0, stdout="", stderr=self.said)

    def revision(self, commit: str = "0123456789" * 4) -> Revision:
        """Return a revision of the recipe."""
        return Revision(files=committed(self.recipe), commit=commit, chaos=True)

    def deploy(self) -> tuple[str, ...]:
        """Deploy, and return the kinds of what was adapted."""
        return tuple(note.kind for note in self.platform.deploy(self.revision()).adaptations)

    def stack(self) -> Any:  # noqa: ANN401  any YAML
        """Return the file that the last docker command was given."""
        argv = self.runs[-1]["argv"]
        return yaml.safe_load(Path(argv[argv.index("-c") + 1]).read_text())

    def env(self) -> dict[str, str]:
        """Return the environment of the last docker command."""
        env: dict[str, str] = self.runs[-1]["env"]
        return env


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SwarmBench:
    """A recipe with two compose files and two external secrets, on a machine that has redis."""
    recipe, work = tmp_path / "recipe", tmp_path / "work"
    recipe.mkdir()
    work.mkdir()
    files = {
        ".env.sample": SAMPLE, "compose.yml": COMPOSE, "compose.extra.yml": EXTRA, "own.txt": "x",
    }  # fmt: skip
    for name, text in files.items():
        (recipe / name).write_text(text)

    def images(image: str) -> tuple[str, Adaptation | None]:
        return ("localhost/nginx:1", STAND_IN) if image == "nginx:1" else (image, None)

    engine = FakeEngine()
    platform = SwarmPlatform(
        client=engine.client,
        environ={"DOCKER_HOST": "unix:///engine.sock"},
        target=TARGET,
        work=work,
        dnsrr=False,
        images=images,
        deploy_flags=("--detach=true",),
    )
    made = SwarmBench(recipe, work, platform, engine=engine)
    monkeypatch.setattr(proc, "run", made.run)
    return made


def test_the_docker_command_is_exactly_this_one(bench: SwarmBench) -> None:
    """One file, ours, in a directory of its own; docker asks no registry behind our back."""
    deployed = bench.platform.deploy(bench.revision())
    (run,) = bench.runs
    assert run["argv"] == [
        "docker", "stack", "deploy", "-c", f"{bench.work}/stack-1/stack.yml",
        "--resolve-image", "never", "--detach=true", STACK,
    ]  # fmt: skip
    assert run["cwd"] == bench.work / "stack-1"
    assert (deployed.version, deployed.timeout) == ("1.0.0+1", 90.0)
    assert (deployed.services, deployed.doors) == (("app", "db"), ())


def test_the_recipe_is_not_edited_and_what_is_laid_over_is_said(bench: SwarmBench) -> None:
    """The file lies in the run's own directory; each adaptation is handed on."""
    before = {path.name: path.read_text() for path in bench.recipe.iterdir() if path.is_file()}
    deployed = bench.platform.deploy(bench.revision())
    after = {path.name: path.read_text() for path in bench.recipe.iterdir() if path.is_file()}
    assert after == before
    services = bench.stack()["services"]
    assert services["app"]["image"] == "localhost/nginx:1"
    assert services["db"]["image"] == "redis:7"
    assert services["db"]["deploy"]["labels"]["ccci.run"] == "run1"
    assert services["db"]["deploy"]["labels"]["coop-cloud.made-1_test.timeout"] == "90"
    assert STAND_IN in deployed.adaptations


def test_configs_and_secrets_are_bytes_of_the_recipe_in_the_runs_own_directory(
    bench: SwarmBench,
) -> None:
    """Docker is told of no path that a recipe has named."""
    (bench.recipe / "own.txt").unlink()
    (bench.recipe / "bytes").write_bytes(b"\xff\0$x")
    (bench.recipe / "own.txt").symlink_to("bytes")
    bench.deploy()
    path = Path(bench.stack()["secrets"]["own"]["file"])
    assert path.parent == bench.work / "stack-1"
    assert path.read_bytes() == b"\xff\0$x"
    assert not path.is_symlink()


@pytest.mark.parametrize("text", ["", "soon", "0", "-1", "nan"])
def test_a_timeout_that_makes_no_sense_is_the_usual_one(bench: SwarmBench, text: str) -> None:
    """A label that cannot be read must not decide how long is waited."""
    (bench.recipe / "compose.extra.yml").write_text(EXTRA.replace("90", text))
    assert bench.platform.deploy(bench.revision()).timeout == 300.0


def test_everything_is_filled_in_before_docker_sees_it(bench: SwarmBench) -> None:
    """With the app's settings and the stack's name; every dollar sign that is left is escaped."""
    (bench.recipe / "abra.sh").write_text("export TAG=2\nexport GREETING='a $HOME b'\n")
    bench.deploy()
    app = bench.stack()["services"]["app"]
    assert app["image"] == "nginx:2"
    assert app["deploy"]["labels"]["greeting"] == "a $$HOME b"
    assert app["deploy"]["labels"][f"coop-cloud.{STACK}.version"] == "1.0.0+1"


def test_an_upgrade_keeps_the_settings_of_the_first_deploy(bench: SwarmBench) -> None:
    """An operator who upgrades has the file that was made then, not the new sample."""
    bench.deploy()
    (bench.recipe / ".env.sample").write_text(SAMPLE.replace("hello", "changed"))
    (bench.recipe / "abra.sh").write_text("export TAG=3\n")
    bench.deploy()
    app = bench.stack()["services"]["app"]
    assert (app["deploy"]["labels"]["greeting"], app["image"]) == ("hello", "nginx:3")


@pytest.mark.parametrize("present", [True, False], ids=["set here", "not set here"])
def test_a_recipe_cannot_steer_the_docker_command(
    bench: SwarmBench, monkeypatch: pytest.MonkeyPatch, *, present: bool
) -> None:
    """Which program runs, what is loaded into it, which engine it reaches, as whom."""
    ours = {"PATH": "/usr/bin", "SSH_AUTH_SOCK": "/agent"}
    for name in (*ours, "HOME", "DOCKER_CONFIG", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**ours, "HOME": "/root"}.items() if present else ():
        monkeypatch.setenv(name, value)
    theirs = [
        "LD_PRELOAD", "LD_LIBRARY_PATH", "PATH", "HOME", "DOCKER_HOST", "DOCKER_CONTEXT",
        "DOCKER_CONFIG", "DOCKER_TLS_VERIFY", "DOCKER_STACK_ORCHESTRATOR", "SSH_AUTH_SOCK",
        "ANYTHING",
    ]  # fmt: skip
    text = "".join(f"{name}=/evil\n" for name in theirs)
    (bench.recipe / ".env.sample").write_text(SAMPLE + text)
    (bench.recipe / "abra.sh").write_text("".join(f"export {line}\n" for line in text.split()))
    bench.deploy()
    here = {**ours, "DOCKER_CONFIG": "/root/.docker"} if present else {}
    assert bench.env() == {"DOCKER_HOST": "unix:///engine.sock", **here}


@pytest.mark.parametrize("written", ["[DOCKER_HOST]", "{PATH: ''}"])
def test_no_variable_of_the_docker_command_reaches_a_container(
    bench: SwarmBench, written: str
) -> None:
    """Docker fills in a variable without a value with one of its own environment."""
    (bench.recipe / "compose.yml").write_text(
        COMPOSE.replace("secrets: [db", f"environment: {written}\n    secrets: [db")
    )
    with pytest.raises(InvalidRecipeError, match="without a value"):
        bench.deploy()
    assert bench.runs == []


def test_the_users_own_environment_is_not_handed_down(
    bench: SwarmBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compose file may ask for any variable; a CI's token is none of a recipe's business."""
    monkeypatch.setenv("CI_TOKEN", "t0ken")
    bench.deploy()
    assert "CI_TOKEN" not in bench.env()


def test_secrets_are_created_with_labels_and_never_shown(bench: SwarmBench) -> None:
    """By the engine's interface; not on the command line, not in docker's environment or file."""
    bench.deploy()
    assert list(bench.engine.secrets_made) == [f"{STACK}_db_password_v1", f"{STACK}_api_key_v2"]
    values = [data.decode() for data in bench.engine.secrets_made.values()]
    assert [len(value) for value in values] == [24, 20]
    for name in bench.engine.secrets_made:
        assert bench.engine.labels("secret", name) == {
            "ccci.run": "run1",
            "ccci.scope": "scope1",
            "ccci.stack": STACK,
            "com.docker.stack.namespace": STACK,
        }
    said = f"{bench.runs} {bench.stack()}"
    masked = bench.runs[0].pop("secrets")
    assert set(masked) == set(bench.platform.secret_values) == set(values)
    assert not any(value in f"{bench.runs}" for value in values)
    assert said.count(values[0]) == 1, "only in the list of what is masked"


def test_each_external_network_is_one_of_the_runs_own(bench: SwarmBench) -> None:
    """No other run is on it; pages are asked for on the first one."""
    lines = {"network:theirs": "why", "network:host": "why"}
    bench.platform.policy = Policy.of("made", lines, trusted=False)
    (bench.recipe / "compose.yml").write_text(
        f"{COMPOSE}networks: {{a: {{external: true, name: theirs}}, host: {{external: true}}}}\n"
    )
    bench.deploy()
    bench.deploy()
    networks = bench.stack()["networks"]
    assert networks["a"] == {"external": True, "name": f"{STACK}_ccci-theirs"}
    assert networks["host"] == {"external": True}
    made = [thing for thing in bench.engine.things if thing.kind == "network"]
    assert [thing.name for thing in made] == [f"{STACK}_ccci-proxy", f"{STACK}_ccci-theirs"]
    assert all(thing.labels == own_labels(TARGET) for thing in made)


def test_secrets_are_made_once_for_a_run(bench: SwarmBench) -> None:
    """An upgrade keeps the operator's passwords; a second `create` would be refused."""
    bench.deploy()
    first = dict(bench.engine.secrets_made)
    bench.platform.deploy(bench.revision("f" * 40))
    assert bench.engine.secrets_made == first
    assert len(bench.runs) == 2
    assert f"{bench.work}/stack-2/stack.yml" in bench.runs[1]["argv"]


def test_a_secret_that_the_head_asks_for_is_made_at_the_upgrade(bench: SwarmBench) -> None:
    """As its release notes tell an operator to; the ones of before stay as they are."""
    bench.deploy()
    first = dict(bench.engine.secrets_made)
    (bench.recipe / ".env.sample").write_text(f"{SAMPLE}SECRET_NEW_VERSION=v1 # length=9\n")
    (bench.recipe / "compose.yml").write_text(
        COMPOSE + '  new: {external: true, name: "${STACK_NAME}_new_${SECRET_NEW_VERSION}"}\n'
    )
    bench.deploy()
    assert list(bench.engine.secrets_made) == [*first, f"{STACK}_new_v1"]
    assert len(bench.engine.secrets_made[f"{STACK}_new_v1"]) == 9


def test_a_volume_that_is_not_the_runs_own_is_refused(bench: SwarmBench) -> None:
    """And no line allows it: a restore would write into somebody's data."""
    text = COMPOSE.replace("secrets: [db", "volumes: ['theirs:/data']\n    secrets: [db")
    volumes = "volumes: {theirs: {external: true}}\n"
    (bench.recipe / "compose.yml").write_text(text + volumes)
    with pytest.raises(RefusedError, match="volume:theirs"):
        bench.deploy()
    assert (bench.engine.secrets_made, bench.runs) == ({}, [])


def test_a_secret_that_an_operator_brings_is_random_and_said_to_be(bench: SwarmBench) -> None:
    """No test can have the real API key; the report says what stood in for it."""
    deployed = bench.platform.deploy(bench.revision())
    notes = [note for note in deployed.adaptations if note.kind == "secret"]
    assert [note.subject for note in notes] == [f"{STACK}_api_key_v2"]
    assert "random" in notes[0].detail


def test_an_external_secret_that_nobody_can_make_is_refused(bench: SwarmBench) -> None:
    """*failed*, with the line to add; docker is not even asked."""
    sample = SAMPLE.replace("SECRET_API_KEY_VERSION=v2", "#SECRET_API_KEY_VERSION=v2")
    (bench.recipe / ".env.sample").write_text(sample)
    with pytest.raises(InvalidRecipeError, match=r"\.env\.sample does not say") as caught:
        bench.deploy()
    assert "SECRET_API_KEY_VERSION=v1" in caught.value.hint
    assert bench.runs == []


def test_a_secret_that_the_engine_refuses_is_not_the_recipes_fault(bench: SwarmBench) -> None:
    """And its value is in no message."""
    bench.engine.create_secret(f"{STACK}_db_password_v1", b"", {"ccci.run": "run1"})
    with pytest.raises(EngineError, match="already exists") as caught:
        bench.deploy()
    assert not any(value in str(caught.value) for value in bench.platform.secret_values)


def test_names_that_swarm_would_refuse_are_refused_before_anything_is_made(
    bench: SwarmBench,
) -> None:
    """Swarm says so only after half of the stack is there."""
    name = "x" * (65 - len(STACK) - 1)
    text = COMPOSE.replace("own:", f"{name}:")
    (bench.recipe / "compose.yml").write_text(text)
    with pytest.raises(InvalidRecipeError, match="more than 64 characters") as caught:
        bench.deploy()
    assert f"{STACK}_{name}" in caught.value.what
    assert (bench.engine.secrets_made, bench.runs) == ({}, [])
    (bench.recipe / "compose.yml").write_text(text.replace(name, name[1:]))
    bench.deploy()


@pytest.mark.parametrize("file", ["./missing.txt", "/etc/passwd", "../work/x"])
def test_a_file_that_is_not_the_recipes_is_refused(bench: SwarmBench, file: str) -> None:
    """Docker would read any file of this machine into a config."""
    (bench.work / "x").write_text("")
    (bench.recipe / "compose.yml").write_text(COMPOSE.replace("./own.txt", file))
    kind = InvalidRecipeError if file == "./missing.txt" else RefusedError
    with pytest.raises(kind, match=r"not in the recipe|made of files of the recipe"):
        bench.deploy()
    assert bench.runs == []


@pytest.mark.parametrize(
    ("code", "said", "kind"),
    [
        (1, "Cannot connect to the Docker daemon at unix:///x. Is it running?", EngineError),
        (1, "error during connect: Get http://x: EOF", EngineError),
        (1, "dial tcp 127.0.0.1:2375: connect: connection refused", EngineError),
        (1, "rpc error: No space left on device", DiskFullError),
        (1, "fork/exec /usr/bin/docker: cannot allocate memory", TestBedError),
        (1, "could not find an available, non-overlapping IPv4 address pool", EngineError),
        (1, "Error response from daemon: This node is not a swarm manager.", EngineError),
        (None, "", EngineError),
        (-9, "", EngineError),
        (1, "Error response: rpc error: code = Unavailable desc = no leader", EngineError),
        (1, "rpc error: code = DeadlineExceeded desc = context deadline exceeded", EngineError),
        (1, "rpc error: code = Unknown desc = update out of sequence", EngineError),
        (1, "rpc error: code = Internal desc = raft: stopped", EngineError),
        (1, f"rpc error: code = InvalidArgument desc = {TAKEN} 'other_test_app' (i)", EngineError),
        (1, f'network "{OWN}" is declared as external, but could not be found', EngineError),
        (1, f"network {OWN} not found", EngineError),
        (1, f"{TAKEN} '{STACK}_web' (i) as an ingress port", InvalidRecipeError),
        (1, "rpc error: code = InvalidArgument desc = name too long", InvalidRecipeError),
        (1, "services.app Additional property nope is not allowed", InvalidRecipeError),
        (1, "network made declared as external, but could not be found", InvalidRecipeError),
        (1, 'network "proxy2" is declared as external, but could not be found', InvalidRecipeError),
        (1, "only updates to Labels are allowed", InvalidRecipeError),
    ],
)
def test_what_docker_says_decides_whose_fault_it_is(
    bench: SwarmBench, code: int | None, said: str, kind: type[HarnessError]
) -> None:
    """The machine's or the recipe's; its own words are kept either way, with advice."""
    bench.failure = ProcessError("`docker stack deploy`", code=code, stderr=said)
    with pytest.raises(kind) as caught:
        bench.deploy()
    assert type(caught.value) is kind
    assert caught.value.detail == said
    assert caught.value.cause
    assert caught.value.hint


def test_what_the_swarm_ignores_is_reported_by_service(bench: SwarmBench) -> None:
    """What docker is known to ignore, and what it names of the options in the recipe's files."""
    compose = bench.recipe / "compose.yml"
    compose.write_text(compose.read_text().replace("  app:\n", "  app:\n    privileged: true\n", 1))
    bench.said = "Ignoring unsupported options: image\n"
    found = bench.platform.deploy(bench.revision()).ignored
    assert found["app"] == ("image", "privileged")
