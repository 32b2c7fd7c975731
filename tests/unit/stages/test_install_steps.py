"""A recipe's install steps: what a script is handed, and whose fault it is when one fails.

A real bash runs them.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from docker.errors import DockerException

from harness.core import proc
from harness.core.errors import ProcessError, RecipeError, TestBedError
from harness.platforms.base import Target
from harness.stages.install_steps import InstallSteps
from tests.unit.fake_engine import FakeEngine

TARGET = Target(recipe="made", run="run1", scope="s", domain="made.test")
AT_ONCE = 1e-5  # of the time that a script has: nothing that sleeps has ended by then
ENGINE = {
    "DOCKER_HOST": "unix:///engine",
    "DOCKER_TLS": "1",
    "DOCKER_TLS_VERIFY": "1",
    "DOCKER_CERT_PATH": "/certs",
    "DOCKER_CONFIG": "/config",
}
ENVIRON = {
    "PATH": os.environ["PATH"],
    "HOME": "/home/somebody",
    "LANG": "C",
    "TZ": "UTC",
    **ENGINE,
    "DOCKER_AUTH_CONFIG": "hush",
    "DOCKER_PASSWORD": "hush",
    "DOCKER_CONTENT_TRUST": "1",
    "CCCI_TIMEOUT_FACTOR": "2",
    "GITEA_TOKEN": "hush",
    "STACK_NAME": "of somebody else",
    "BASH_ENV": "/evil",
}


def run(
    scripts: Sequence[Path],
    *,
    engine: FakeEngine | None = None,
    secrets: Sequence[str] = (),
    factor: float = 1.0,
) -> list[dict[str, str]]:
    """Run scripts, and return what each printed."""
    client = (engine or FakeEngine()).client
    steps = InstallSteps(scripts=tuple(scripts), environ=ENVIRON, factor=factor)
    return steps.run(TARGET, client, secrets=secrets)


def script(place: Path, text: str, name: str = "install_steps.sh") -> Path:
    """Return a script of that text, which need not be executable."""
    path = place / name
    path.write_text(text)
    return path


def test_a_script_is_handed_its_names_and_the_engine_and_little_else(tmp_path: Path) -> None:
    """No setting of the harness, no login of whoever called it, nothing that steers bash."""
    (done,) = run([script(tmp_path, "env -0 | sort -z | tr '\\0' '\\n'\n")])
    found = dict(line.split("=", 1) for line in done["output"].splitlines())
    own = {"PWD", "OLDPWD", "SHLVL", "_"}  # bash's own
    assert {name: value for name, value in found.items() if name not in own} == {
        **{name: ENVIRON[name] for name in ("PATH", "HOME", "LANG", "TZ")},
        **ENGINE,
        "STACK_NAME": "made_test",
        "DOMAIN": "made.test",
        "RECIPE": "made",
    }


def test_every_script_runs_in_its_order_beside_its_files(tmp_path: Path) -> None:
    """This project's, then the recipe's own; each finds what lies beside it."""
    scripts = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "data").write_text(f"of the {name}")
        scripts.append(script(tmp_path / name, "cat data; cat >&2 data"))
    engine = FakeEngine()
    assert run(scripts, engine=engine) == [
        {"script": "install_steps.sh", "output": f"of the {name}" * 2}
        for name in ("first", "second")
    ]
    assert engine.pings == 0, "an engine is only asked when something went wrong"
    assert run([]) == []


def test_of_what_a_script_prints_the_end_is_kept(tmp_path: Path) -> None:
    """The report must stay readable."""
    (done,) = run([script(tmp_path, "printf 'a%.0s' {1..3000}; echo end")])
    assert len(done["output"]) == 2000
    assert done["output"].endswith("aend\n")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("echo first; echo why >&2; exit 3; echo never", 3),
        ("echo why >&2; false; exit 0", 1),
        ("echo why >&2; false | true; exit 0", 1),
        ("echo why >&2; echo $NO_SUCH_VARIABLE; exit 0", 1),
    ],
    ids=["exit", "errexit", "pipefail", "nounset"],
)
def test_a_script_that_fails_is_the_recipes_fault(tmp_path: Path, text: str, code: int) -> None:
    """A failure cannot hide in the middle of it; its standard error is in the report."""
    second = script(tmp_path, "touch ran", "second.sh")
    with pytest.raises(RecipeError) as caught:
        run([script(tmp_path, text), second])
    assert f"install_steps.sh ended with code {code}" in caught.value.what
    assert "why" in caught.value.detail
    assert str(tmp_path / "install_steps.sh") in caught.value.hint
    assert not (tmp_path / "ran").exists()


def test_a_script_that_does_not_end_says_nothing_of_the_recipe(tmp_path: Path) -> None:
    """It may wait for a slow host; the message says what allows more, and what it said so far."""
    with pytest.raises(TestBedError, match="timed out") as caught:
        run([script(tmp_path, "echo waiting >&2; exec sleep 60")], factor=AT_ONCE)
    assert "was still running after" in caught.value.what
    assert "CCCI_TIMEOUT_FACTOR" in caught.value.cause


def test_a_script_that_could_not_be_started_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More time would not help; that is the machine's fault too."""
    found = SimpleNamespace(which=lambda _name: str(tmp_path / "no-bash"))
    monkeypatch.setattr("harness.stages.install_steps.shutil", found)
    with pytest.raises(TestBedError, match="could not be started") as caught:
        run([script(tmp_path, "")])
    assert "still running" not in caught.value.what


def test_a_slow_host_has_more_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time-out is multiplied, and what the script printed by then is shown."""
    asked: list[float] = []

    def slow(*_: object, timeout: float, **__: object) -> None:
        asked.append(timeout)
        raise ProcessError("too slow", code=None, stderr="waiting")

    monkeypatch.setattr(proc, "run", slow)
    with pytest.raises(TestBedError) as caught:
        run([script(tmp_path, "")], factor=2.0)
    assert asked == [1200.0]
    assert caught.value.detail == "waiting"


@pytest.mark.parametrize(("text", "factor"), [("exit 1", 1.0), ("exec sleep 60", AT_ONCE)])
def test_an_engine_that_is_gone_is_told_before_anything_else(
    tmp_path: Path, text: str, factor: float
) -> None:
    """A script that finds no engine fails too, and that is not the recipe's doing."""
    gone = DockerException("no engine")
    with pytest.raises(DockerException) as caught:
        run([script(tmp_path, text)], engine=FakeEngine(gone=gone), factor=factor)
    assert caught.value is gone


def test_secrets_of_the_app_are_masked_in_what_it_prints(tmp_path: Path) -> None:
    """Whether it ends well or not."""
    said = script(tmp_path, "echo hunter22; echo hunter22 >&2; exit ${1:-0}")
    (done,) = run([said], secrets=("hunter22",))
    assert done["output"] == "****\n****\n"
    said.write_text(said.read_text().replace("${1:-0}", "4"))
    with pytest.raises(RecipeError) as caught:
        run([said], secrets=("hunter22",))
    assert caught.value.detail == "****\n****\n"
    assert "hunter22" not in str(caught.value)


def test_without_bash_there_are_no_install_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine lacks it; the message says what to install."""
    monkeypatch.setattr(
        "harness.stages.install_steps.shutil", SimpleNamespace(which=lambda _name: None)
    )
    with pytest.raises(TestBedError, match="no bash") as caught:
        run([script(tmp_path, "")])
    assert caught.value.hint == "install bash"
