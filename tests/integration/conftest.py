"""A real engine for the integration tests: the one that a run would use, found or started once."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import docker
import pytest
from filelock import FileLock

from harness.core.settings import Settings
from harness.run import reaper, testbed
from harness.run.screenshot import Browser
from harness.run.testbed import TestBed
from harness.swarm.sweep import RUN_LABEL, find
from tests.integration.own_engine import share
from tests.integration.support import Call, run_harness
from tests.suite import leftovers

IMAGE = "nginx:1.27.4"


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
    (leftovers.directory() / leftovers.ENGINE).write_text(bed.engine.host)
    yield bed
    bed.client.close()


@pytest.fixture(scope="session", name="client")
def client_fixture(bed: TestBed) -> docker.DockerClient:
    """A client of the engine."""
    return bed.client


@pytest.fixture(scope="session", name="layers")
def layers_fixture(bed: TestBed, cache_dir: Path) -> Path:
    """The directory of the cache with the stand-in images, for engines and caches of tests' own."""
    assert bed.toolbox
    assert bed.images(IMAGE)
    layers = cache_dir / "images"
    if len(list(layers.glob("*.tar"))) < 2:  # the engine may have them, too
        pytest.skip(f"the stand-in images are not kept in {layers}")
    return layers


class Harness:
    """Calls the harness, and looks after each call that nothing of it is left in the engine."""

    def __init__(
        self, client: docker.DockerClient, output: Path, environ: Mapping[str, str] | None = None
    ) -> None:
        self.client = client
        self.output = output
        self.environ = environ or {}

    def __call__(self, *words: str, **environ: str) -> Call:
        """Run `python -m harness run WORDS...`."""
        call = run_harness(self.output, *words, **{**self.environ, **environ})
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


@pytest.fixture(name="apart")
def apart_fixture(bed: TestBed, layers: Path, tmp_path: Path) -> Iterator[Harness]:
    """Calls the harness with a cache of the test's own.

    Runs of other tests then neither meet this test's dead runs nor remove them.
    """
    cache = leftovers.own_cache()
    share(layers, cache / "images")
    shutil.copytree(layers.parent / "samples", cache / "samples")
    environ = {"CCCI_CACHE": str(cache), "DOCKER_HOST": bed.engine.host}
    yield Harness(bed.client, tmp_path / "runs", environ)
    reaper.reap(bed.client, cache=cache, say=print)
    shutil.rmtree(cache)


class Usual:
    """Runs of the samples as a user calls them first: one for each, whichever worker needs it."""

    def __init__(self, client: docker.DockerClient, folder: Path) -> None:
        self.client = client
        self.folder = folder

    def __call__(self, sample: str) -> Call:
        """Return the run of a sample; the first call makes it, and others wait for that."""
        self.folder.mkdir(exist_ok=True)
        kept = self.folder / f"{sample}.json"
        with FileLock(kept.with_suffix(".lock")):
            if not kept.exists():
                call = Harness(self.client, self.folder / sample)(sample)
                kept.write_text(json.dumps(asdict(call), default=str))
        found = json.loads(kept.read_text())
        return Call(**{**found, "directory": Path(found["directory"])})


@pytest.fixture(scope="session", name="usual")
def usual_fixture(client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Usual:
    """The samples' usual runs, shared by all workers."""
    own = tmp_path_factory.getbasetemp()
    beside_workers = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    return Usual(client, beside_workers / "usual")
