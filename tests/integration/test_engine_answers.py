"""An engine in reach that answers slowly, or stops answering in the middle of a run."""

from pathlib import Path

import pytest

from harness.core.events import Doing, Step
from harness.core.model import Stage
from harness.run.testbed import TestBed
from tests.integration.conftest import Harness
from tests.integration.engine_proxy import EngineProxy
from tests.integration.running import left, reaches, run_of, running


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


@pytest.mark.nightly  # an answer has a minute, whatever the time-out factor
@pytest.mark.timeout(600)
def test_an_engine_that_falls_silent_is_an_error(
    apart: Harness, engine_socket: Path, tmp_path: Path
) -> None:
    """The run ends by itself, blames the engine, and the next run removes what it left."""
    output = tmp_path / "silent"
    with EngineProxy(tmp_path / "s", engine_socket).running() as proxy:
        through = {"DOCKER_HOST": proxy.host}
        with running(output, "custom-html", environ={**apart.environ, **through}) as process:
            reaches(output, Doing(step=Step.OP, stage=Stage.UPGRADE), process)
            proxy.fall_silent()
            code = process.wait(400)
    text = (output / "printed.txt").read_text()
    assert code == 3, text
    assert "custom-html: error in upgrade" in text
    assert "the engine does not answer" in text
    assert "Traceback" not in text
    assert left(apart.client, run_of(output))
    call = apart("custom-html", "--stages", "install")
    assert call.code == 0, call.text
    assert left(apart.client, run_of(output)) == []
