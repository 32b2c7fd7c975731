"""An engine in reach that answers slowly, or stops answering in the middle of a run."""

from pathlib import Path

import docker
import pytest

from harness.testbed import TestBed
from tests.integration.conftest import Harness
from tests.integration.engine_proxy import EngineProxy
from tests.integration.running import left, reaches, run_of, running
from tests.integration.support import run_harness


@pytest.fixture(name="engine_socket")
def engine_socket_fixture(bed: TestBed) -> Path:
    """The socket of the engine that the tests use."""
    if not bed.engine.local:
        pytest.skip("the engine is not behind a socket of this machine")
    return Path(bed.engine.host.removeprefix("unix://"))


def test_a_slow_engine_makes_a_run_slow_and_not_red(
    harness: Harness, engine_socket: Path, tmp_path: Path
) -> None:
    """Every answer comes late; nothing of it is the recipe's fault, and no wait ends too early."""
    with EngineProxy(tmp_path / "s", engine_socket, delay=0.05).running() as proxy:
        call = harness("custom-html", "--stages", "install,backup", DOCKER_HOST=proxy.host)
    assert call.code == 0, call.text
    assert (call.outcomes["install"], call.outcomes["backup"]) == ("passed", "passed")


def test_an_engine_that_falls_silent_is_an_error(
    client: docker.DockerClient,
    engine_socket: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The run ends by itself, blames the engine, and what it left is removed by the next one."""
    output = tmp_path / "silent"
    with EngineProxy(tmp_path / "s", engine_socket).running() as proxy:
        monkeypatch.setenv("DOCKER_HOST", proxy.host)
        monkeypatch.setenv("CCCI_TIMEOUT_FACTOR", "0.1")  # it is waited for this long
        with running(output, "custom-html") as process:
            reaches(output, "upgrade: op", process)
            proxy.fall_silent()
            code = process.wait(120)
    text = (output / "printed.txt").read_text()
    assert code == 3, text
    assert "custom-html: error in upgrade" in text
    assert "the engine does not answer" in text
    assert "Traceback" not in text
    assert left(client, run_of(output))
    monkeypatch.undo()
    call = run_harness(tmp_path / "next", "custom-html", "--stages", "install")
    assert call.code == 0, call.text
    assert left(client, run_of(output)) == []
