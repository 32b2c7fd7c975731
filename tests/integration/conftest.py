"""A real engine for the integration tests: the one that a run would use, found or started once."""

import os
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from harness import testbed
from harness.docker.sweep import RUN_LABEL, find
from harness.screenshot import Browser
from harness.settings import Settings
from harness.testbed import TestBed
from tests.integration.support import Call, run_harness


@pytest.fixture(scope="session", name="settings")
def settings_fixture() -> Settings:
    """The settings of a user who set nothing."""
    return Settings.load([], os.environ)


@pytest.fixture(scope="session", name="cache_dir")
def cache_dir_fixture(settings: Settings) -> Path:
    """The user's cache: what was built there once is not built again."""
    return settings.cache


@pytest.fixture(scope="session", name="bed")
def bed_fixture(settings: Settings) -> Iterator[TestBed]:
    """A test bed; an engine that has to be started for it is left running, as after a run."""
    bed = testbed.prepare(settings, os.environ, say=print)
    yield bed
    bed.client.close()


@pytest.fixture(scope="session", name="client")
def client_fixture(bed: TestBed) -> docker.DockerClient:
    """A client of the engine."""
    return bed.client


class Harness:
    """Calls the harness, and looks after each call that nothing of it is left in the engine."""

    def __init__(self, client: docker.DockerClient, output: Path) -> None:
        self.client = client
        self.output = output

    def __call__(self, *words: str, **environ: str) -> Call:
        """Run `python -m harness run WORDS...`."""
        call = run_harness(self.output, *words, **environ)
        assert "Traceback" not in call.text, call.text
        if call.results and "--keep" not in words:
            assert self.left(call) == []
        return call

    def left(self, call: Call) -> list[str]:
        """Return what there still is of a call's run."""
        return [str(item) for item in find(self.client, f"{RUN_LABEL}={call.results['run']}")]


@pytest.fixture(scope="session", name="browser")
def browser_fixture() -> Browser:
    """The browser of this machine; without one the test is skipped, and says why."""
    found = Browser.find()
    if isinstance(found, str):
        pytest.skip(found)
    return found


@pytest.fixture(name="harness")
def harness_fixture(client: docker.DockerClient, tmp_path: Path) -> Harness:
    """Calls the harness as a user does, in a process of its own."""
    return Harness(client, tmp_path / "runs")
