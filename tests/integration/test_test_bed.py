"""Faults of the test bed, brought about for real: each is an *error*, and never a verdict.

The engine of the tests' own is killed and filled up; it has the addresses that its Swarm needs, and
not one more. Where the fault is not the engine's, the shared one will do.
"""

import re
import socketserver
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest

from harness.core.events import Doing, Step
from harness.core.waiting import Deadline, wait_for
from harness.run.testbed import TestBed
from harness.swarm.sweep import RUN_LABEL
from tests.integration.conftest import Harness
from tests.integration.own_engine import OwnEngine, own_engine
from tests.integration.support import (
    DEPLOYING,
    INSTALL_ASSERTIONS,
    INSTALLING,
    Call,
    RecipeRepo,
    meanwhile,
    reached,
    recipe_files,
)

harmed = pytest.mark.xdist_group("engine-harmed")

IMAGE = "nginx:1.27.4"
AT_ONCE = {"    deploy:\n": "    deploy:\n      restart_policy: {delay: 0s}\n"}
PATIENT = "DEPLOY_TIMEOUT = 600\n"  # for runs whose time-outs are cut to a tenth
IMPATIENT = {"CCCI_TIMEOUT_FACTOR": "0.1"}
SOON = {"timeout=60": "timeout=40"}  # for those that wait for it


@pytest.fixture(scope="module", name="own")
def own_fixture(layers: Path) -> Iterator[OwnEngine]:
    """An engine that may be harmed, with the images of the shared cache at hand."""
    with own_engine(layers) as own:
        yield own


@pytest.fixture
def disk(own: OwnEngine) -> Iterator[OwnEngine]:
    """The same engine, on a disk that a test may fill up; it is emptied afterwards."""
    if own.no_disk:
        pytest.skip(own.no_disk)
    yield own
    own.make_room()


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """An empty directory for runs."""
    return tmp_path / "runs"


def recipe(tmp_path: Path, **changes: str) -> str:
    """Return the path of a recipe with a release and a head, from changes to its compose file."""
    repo = RecipeRepo.make(tmp_path / "made")
    repo.commit(recipe_files("1.0.0+1", **changes), tag="1.0.0+1")
    repo.commit(recipe_files("1.1.0+1", **changes))
    return str(repo.path)


def overlay(tmp_path: Path, body: str, meta: str = "") -> tuple[tuple[str, str], Path]:
    """Return options for an overlay of the install stage, and the file that it makes at first."""
    folder, begun = tmp_path / "overlays" / "made", tmp_path / "begun"
    folder.mkdir(parents=True)
    (folder / "test_install.py").write_text(
        f"from pathlib import Path\n\n\ndef test_it(app):\n    Path({str(begun)!r}).touch()\n"
        f"    {body}\n"
    )
    (folder / "recipe_meta.py").write_text(meta)
    return ("--overlays", str(folder.parent)), begun


def require_error(call: Call, words: str) -> str:
    """Require a run that ended in *error* for that reason, with advice; return the reason."""
    assert call.code == 3, call.text
    verdict = call.results["verdict"]
    assert (verdict["outcome"], verdict["exit_code"]) == ("error", 3)
    assert "failed" not in call.outcomes.values()
    cause: str = verdict["cause"]
    assert re.search(words, cause), cause
    found = [result for stage in call.results["stages"] for result in stage["assertions"]]
    messages = [result["message"] for result in found if result["outcome"] == "error"]
    # A stage's reason is the first line of what its assertion said; the rest stands there.
    assert any("next: " in text or "likely cause: " in text for text in [cause, *messages])
    return cause


def require_clean(own: OwnEngine, call: Call) -> None:
    """Require that the run took everything away that it had made."""
    teardown = call.results["teardown"]
    assert teardown is None or teardown["outcome"] == "passed"
    assert own.left(call.results["run"]) == []


# --- the engine's disk is full ---


@harmed
def test_no_room_to_begin_with(disk: OwnEngine, output: Path, tmp_path: Path) -> None:
    """Nothing is begun, and what is needed is said."""
    disk.fill_disk()
    call = disk.run(output, recipe(tmp_path), "--stages", "install")
    cause = require_error(call, "not fit for a run: disk of the engine")
    assert "2 GiB are needed" in cause


@harmed
def test_no_room_for_an_image(disk: OwnEngine, output: Path, tmp_path: Path) -> None:
    """The disk fills up after the look at it; the image does not fit any more."""
    disk.forget_images()
    source = recipe(tmp_path)
    call = meanwhile(
        lambda: disk.run(output, source, "--stages", "install"),
        reached(output, Doing(step=Step.LINT)),
        disk.fill_disk,
    )
    require_error(call, "no room")
    require_clean(disk, call)


@harmed
def test_no_room_for_a_container(disk: OwnEngine, output: Path, tmp_path: Path) -> None:
    """The images are there, and the engine cannot write a container's own files."""
    source = recipe(tmp_path)
    call = meanwhile(
        lambda: disk.run(output, source, "--stages", "install"),
        reached(output, INSTALLING),
        disk.fill_disk,
    )
    # The engine says so of a task; or its agent cannot even write down that it has one.
    require_error(call, "no room is left on a disk|the engine's disk is full")
    assert call.outcomes == {"install": "error"}
    require_clean(disk, call)


@harmed
def test_no_room_for_a_backup(disk: OwnEngine, output: Path, tmp_path: Path) -> None:
    """The disk fills up while the app runs, and the backup is what needs more of it."""
    source = recipe(tmp_path)
    call = meanwhile(
        lambda: disk.run(output, source, "--stages", "backup"),
        reached(output, INSTALL_ASSERTIONS),
        disk.fill_disk,
    )
    require_error(call, "no room")
    assert call.outcomes == {"install": "passed", "backup": "error"}
    require_clean(disk, call)


@harmed
def test_no_room_for_the_app(disk: OwnEngine, output: Path, tmp_path: Path) -> None:
    """The app fails in words of its own: an assertion is right, and still no verdict."""
    script = "while head -c 1M /dev/zero > /usr/share/nginx/html/data; do sleep 0.1; done; exit 9"
    body = f"app.exec_in_app('app', ['sh', '-c', {script!r}], timeout=60)"
    options, begun = overlay(tmp_path, body)
    source = recipe(tmp_path)
    call = meanwhile(
        lambda: disk.run(output, source, "--stages", "install", *options),
        begun.exists,
        disk.fill_disk,
    )
    cause = require_error(call, "the engine's disk is full")
    assert "ended with code 9" in cause
    require_clean(disk, call)


# --- the engine goes away ---


@harmed
def test_the_engine_dies_in_an_op(own: OwnEngine, output: Path, tmp_path: Path) -> None:
    """The run ends at once; what it could not remove is removed by the next one, or by hand."""
    source = recipe(tmp_path)
    call = meanwhile(
        lambda: own.run(output, source, "--stages", "install"),
        reached(output, DEPLOYING),
        own.kill,
    )
    require_error(call, "the engine does not answer")
    assert call.outcomes == {"install": "error"}
    assert call.results["teardown"]["outcome"] == "error"
    assert own.left(call.results["run"])
    own.harness("reap")
    assert own.left(call.results["run"]) == []


@harmed
def test_the_engine_dies_under_the_assertions(own: OwnEngine, output: Path, tmp_path: Path) -> None:
    """A command that was cut off is not one that failed."""
    options, begun = overlay(tmp_path, "app.exec_in_app('app', ['sleep', '50'], timeout=60)")
    source = recipe(tmp_path)
    call = meanwhile(
        lambda: own.run(output, source, "--stages", "install", *options), begun.exists, own.kill
    )
    require_error(call, "the engine (does not answer|did not answer|failed)")
    assert call.outcomes == {"install": "error"}


# --- addresses ---


@harmed
def test_no_addresses_are_left(own: OwnEngine, output: Path, tmp_path: Path) -> None:
    """The tasks stay `new`, and Swarm says nothing: the network without addresses is named."""
    changes = SOON | {
        "    networks: [proxy]\n": "    networks: [proxy, inner]\n",
        "networks:\n  proxy: {external: true}\n": "networks:\n  proxy: {external: true}\n"
        "  inner: {}\n",
    }
    call = own.run(output, recipe(tmp_path, **changes), "--stages", "install", **IMPATIENT)
    cause = require_error(call, "no addresses left for networks: ")
    assert f"{call.results['stack']}_inner got none" in cause
    assert "app (new)" in cause
    require_clean(own, call)


# --- images ---


@harmed
def test_an_image_that_vanishes(own: OwnEngine, output: Path, tmp_path: Path) -> None:
    """Something else on the machine removes it between the look for it and the deploy."""
    own.start()
    source = recipe(tmp_path, **AT_ONCE)
    call = meanwhile(
        lambda: own.run(output, source, "--stages", "install"),
        reached(output, INSTALLING),
        lambda: own.forget_images("nginx"),
    )
    require_error(call, "an image is gone that was there before the deploy: .*No such image")
    require_clean(own, call)


def test_an_image_that_is_not_to_be_had(harness: Harness, tmp_path: Path) -> None:
    """Nobody listens where its registry should be, and there is no stand-in."""
    source = recipe(tmp_path, **{IMAGE: "127.0.0.1:9/none/app:1"})
    call = harness(source, "--stages", "install")
    cause = require_error(call, "127.0.0.1:9/none/app:1 can be neither pulled nor built")
    assert "connection refused" in cause
    assert call.results["teardown"] is None


class Registry(socketserver.ThreadingTCPServer):
    """Takes requests and answers none, or only the first one: whether it is a registry."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, *, greets: bool) -> None:
        self.greets = greets
        super().__init__(("127.0.0.1", 0), Silence)

    @property
    def image(self) -> str:
        """The name of an image that it might have."""
        return f"127.0.0.1:{self.server_address[1]}/slow/app:1"


class Silence(socketserver.BaseRequestHandler):
    """One connection."""

    server: Registry

    def handle(self) -> None:
        """Read on until the other side hangs up."""
        while data := self.request.recv(65536):
            if not self.server.greets:
                continue
            if not data.startswith((b"GET", b"HEAD")):
                return  # TLS; docker tries without it at once
            if b" /v2/ " in data:
                self.request.sendall(
                    b"HTTP/1.1 200 OK\r\nDocker-Distribution-API-Version: registry/2.0\r\n"
                    b"Content-Length: 0\r\n\r\n"
                )


@contextmanager
def registry(*, greets: bool) -> Iterator[Registry]:
    """Run a registry like that beside the block."""
    with Registry(greets=greets) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_a_registry_that_takes_its_time(client: docker.DockerClient, tmp_path: Path) -> None:
    """Nothing comes, or only a greeting, after which an engine waits for ever. A run does not."""

    def call(*, greets: bool) -> None:
        place = tmp_path / str(greets)
        with registry(greets=greets) as slow:
            source = recipe(place, **{IMAGE: slow.image})
            ended = Harness(client, place / "runs")(source, "--stages", "install", **IMPATIENT)
        cause = require_error(ended, f"{slow.image} can be neither pulled nor built")
        assert "the registry said nothing for 6 s" in cause
        assert ended.results["teardown"] is None

    with ThreadPoolExecutor(max_workers=2) as pool:  # both at once: they only wait
        silent, greeting = (pool.submit(call, greets=greets) for greets in (False, True))
        silent.result()
        greeting.result()


def test_a_registry_that_holds_up_the_swarm(
    harness: Harness, bed: TestBed, client: docker.DockerClient, tmp_path: Path
) -> None:
    """Swarm asks it for a newer image although there is one: the app was not even started."""
    with registry(greets=True) as slow:
        reference, _ = bed.images(IMAGE)
        client.images.get(reference).tag(slow.image)
        try:
            source = recipe(tmp_path, **{IMAGE: slow.image}, **SOON)
            call = harness(source, "--stages", "install", **IMPATIENT)
        finally:
            client.images.remove(slow.image)
    cause = require_error(call, r"the app was not even started in time: app \(preparing\)")
    assert "a registry or a file server may be slow" in cause


# --- containers ---


def test_a_container_that_never_comes_to_rest(
    harness: Harness, client: docker.DockerClient, tmp_path: Path
) -> None:
    """Somebody kills it again and again: the command has no container to run in."""
    body = "app.exec_in_app('app', ['sleep', '50'], timeout=600, repeatable=True)"
    options, begun = overlay(tmp_path, body, PATIENT)
    source = recipe(tmp_path, **AT_ONCE)
    with killing(client, harness.output, begun):
        call = harness(source, "--stages", "install", *options, **IMPATIENT)
    require_error(call, "no usable container of app came up within 60 s")
    assert call.outcomes == {"install": "error"}


@contextmanager
def killing(client: docker.DockerClient, output: Path, begun: Path) -> Iterator[None]:
    """Kill each container of the app of the only run in `output`, once a file is there."""
    stop = threading.Event()

    def kill_all() -> None:
        wait_for(lambda: begun.exists() or stop.is_set(), what="", deadline=Deadline.after(200))
        while not stop.wait(0.05):
            (run,) = (path.name for path in output.iterdir())
            for found in client.api.containers(filters={"label": f"{RUN_LABEL}={run}"}):
                if "ccci.role" not in found["Labels"]:  # those are the harness's own
                    try:
                        client.api.kill(found["Id"])
                    except docker.errors.APIError:  # it ended by itself
                        continue

    killer = threading.Thread(target=kill_all)
    killer.start()
    try:
        yield
    finally:
        stop.set()
        killer.join()
