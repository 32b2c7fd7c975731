"""Stand-in images on a real engine: made of real packages, with the interface that apps rely on."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container
from msgspec.structs import replace

from harness.core import proc
from harness.core.errors import ImageError
from harness.core.events import EventLine, ImageEvent, Provided
from harness.core.waiting import Deadline, wait_for
from harness.images import image_cache, image_layers, images, rootfs
from harness.images.image_definitions import Definition, shipped

pytestmark = pytest.mark.timeout(600)  # an image may have to be built first

NGINX = "nginx:1.27.4"
RADICALE = "tomsquest/docker-radicale:3.1.9.1"
SECONDS = 120.0
LOCK_SECONDS = 300.0


def make(client: docker.DockerClient, image: str, cache: Path) -> images.StandIn:
    return images.ensure(client, image, cache=cache, lock_timeout=LOCK_SECONDS, say=print)


@pytest.fixture
def nginx(client: docker.DockerClient, cache_dir: Path) -> str:
    return make(client, NGINX, cache_dir).reference


@pytest.fixture
def toolbox(client: docker.DockerClient, cache_dir: Path) -> str:
    own = images.ensure_own(
        client, images.TOOLBOX, cache=cache_dir, lock_timeout=LOCK_SECONDS, say=print
    )
    return own.reference


@pytest.fixture
def radicale(client: docker.DockerClient, cache_dir: Path) -> str:
    return make(client, RADICALE, cache_dir).reference


@contextmanager
def running(
    client: docker.DockerClient,
    reference: str,
    *command: str,
    files: Mapping[str, tuple[int, str]] | None = None,
    **options: Any,  # noqa: ANN401  what the engine's client takes
) -> Iterator[Container]:
    """Run a container, with files (path to mode and text) put into it before it starts."""
    container = client.containers.create(reference, list(command) or None, **options)
    try:
        if files:
            container.put_archive("/", packed(files))
        container.start()
        yield container
    finally:
        container.remove(force=True, v=True)


def idle(client: docker.DockerClient, reference: str) -> AbstractContextManager[Container]:
    """Run a container that only waits for commands."""
    return running(client, reference, "infinity", entrypoint=["sleep"])


def packed(files: Mapping[str, tuple[int, str]]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, (mode, text) in files.items():
            info = tarfile.TarInfo(name)
            info.mode, info.size = mode, len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return stream.getvalue()


def said(container: Container, *command: str) -> str:
    """Return what a command in the container said, which must not fail."""
    code, output = run(container, *command)
    assert code == 0, f"{command} failed with {code}: {output}"
    return output


def run(container: Container, *command: str) -> tuple[int, str]:
    code, output = container.exec_run(list(command))
    assert isinstance(code, int)
    assert isinstance(output, bytes)
    return code, output.decode()


def logs(container: Container, *, stdout: bool = True, stderr: bool = True) -> str:
    found = container.logs(stdout=stdout, stderr=stderr)
    assert isinstance(found, bytes)
    return found.decode()


def answer(container: Container, url: str, *more: str) -> str:
    """Return the body of a URL, asked from inside, as soon as the server listens."""
    command = ["curl", "--silent", "--show-error", *(more or ["--fail"]), url]
    code, output = wait_for(
        lambda: run(container, *command),
        what=f"{url} in {container.name}",
        deadline=Deadline.after(SECONDS),
        ready=lambda look: look[0] != 7,  # curl could not connect: not listening yet
    )
    assert code == 0, f"curl failed with {code}: {output}"
    return output


def stopped(container: Container) -> int:
    """Stop a container by its own stop signal and return its exit code; killed, it is 137."""
    container.stop(timeout=int(SECONDS))
    container.reload()
    return int(container.attrs["State"]["ExitCode"])


@pytest.fixture
def volume(client: docker.DockerClient) -> Iterator[str]:
    made = client.volumes.create()
    yield made.name
    made.remove(force=True)


def test_a_second_look_does_nothing_at_all(
    client: docker.DockerClient, nginx: str, tmp_path: Path
) -> None:
    """What the engine has is neither built nor loaded: no lock, no cache, not a word."""
    nowhere = tmp_path / "a file"
    nowhere.touch()
    heard: list[str] = []
    again = images.ensure(client, NGINX, cache=nowhere, lock_timeout=0, say=heard.append)
    assert again.reference == nginx == "localhost/cc-ci/nginx:1.27.4"
    assert heard == []


def test_another_tag_of_the_same_image_is_only_a_name(
    client: docker.DockerClient, nginx: str, tmp_path: Path
) -> None:
    """One build serves every tag, and the one under another tag is the very same image."""
    other = make(client, "docker.io/library/nginx:ccci-test", tmp_path)
    try:
        assert client.images.get(other.reference).id == client.images.get(nginx).id
        assert not image_cache.directory(tmp_path).exists()
    finally:
        client.images.remove(other.reference)


@pytest.mark.skipif("CC_CI_REBUILD" not in os.environ, reason="nox -s nightly -- images does it")
def test_the_same_packages_are_the_same_image(
    client: docker.DockerClient, nginx: str, cache_dir: Path, tmp_path: Path
) -> None:
    """Built anew from an empty directory, on a disk or in memory, it has the same id."""
    loaded = client.images.get(nginx)
    definition = shipped()["nginx"]
    work = tmp_path / "work"
    work.mkdir()
    built = rootfs.build(
        definition.packages,
        images.host(),
        work=work,
        lock=cache_dir / "locks",
        lock_timeout=LOCK_SECONDS,
        say=print,
    )
    base = image_layers.trim(built, tmp_path / "layer.tar")
    config, top = images.assemble(definition, base)
    assert json.loads(config)["rootfs"]["diff_ids"] == loaded.attrs["RootFS"]["Layers"]

    layers: list[Path | bytes] = [tmp_path / "layer.tar", top]
    tag = "localhost/cc-ci/nginx:ccci-again"
    archive = b"".join(image_layers.archive(config, layers, tag))
    client.images.load(archive)  # the engine has every layer of it, and the image itself
    again = client.images.get(tag)
    client.images.remove(tag)
    assert again.id == loaded.id


def test_nothing_of_this_machine_is_in_an_image(client: docker.DockerClient, nginx: str) -> None:
    """Neither its package mirrors, nor its name, nor its resolver gets into an image."""
    with idle(client, nginx) as container:
        assert said(container, "find", "/etc/apt", "/var/lib/apt", "-type", "f") == ""
    container = client.containers.create(nginx)
    try:
        exported: Any = container.export()  # the stubs call its pieces text
        stream = io.BytesIO(b"".join(exported))
    finally:
        container.remove()
    with tarfile.open(fileobj=stream) as archive:
        sizes = {m.name: m.size for m in archive if m.name in {"etc/hostname", "etc/resolv.conf"}}
    assert not any(sizes.values())  # the engine itself leaves empty files there to mount over


def test_nginx_serves_a_volume_that_starts_with_the_images_pages(
    client: docker.DockerClient, nginx: str, volume: str
) -> None:
    """A fresh volume gets the image's pages; what is put there is served, and logged."""
    mount = {volume: {"bind": "/usr/share/nginx/html", "mode": "rw"}}
    with running(client, nginx, volumes=mount) as container:
        assert "nginx answers" in answer(container, "http://127.0.0.1/")
        said(container, "sh", "-c", "echo a marker > /usr/share/nginx/html/marker.txt")
        assert answer(container, "http://127.0.0.1/marker.txt") == "a marker\n"
        assert "GET /marker.txt" in logs(container, stderr=False)
        container.exec_run(["curl", "--silent", "http://127.0.0.1/missing.txt"])
        assert "missing.txt" in logs(container, stdout=False)
        assert stopped(container) == 0


def test_nginx_has_the_official_images_interface(client: docker.DockerClient, nginx: str) -> None:
    """User, ports, signal, entrypoint and version are where a recipe looks for them."""
    settings = client.images.get(nginx).attrs["Config"]
    assert settings["StopSignal"] == "SIGQUIT"
    assert settings["Entrypoint"] == ["/docker-entrypoint.sh"]
    assert settings["Cmd"] == ["nginx", "-g", "daemon off;"]
    assert list(settings["ExposedPorts"]) == ["80/tcp"]
    with running(client, nginx) as container:
        answer(container, "http://127.0.0.1/")
        assert said(container, "id", "nginx").startswith("uid=101(nginx) gid=101(nginx)")
        workers = "grep -l 'worker process' /proc/[0-9]*/cmdline | cut -d/ -f3 | head -n1"
        status = said(container, "sh", "-c", f"cat /proc/$({workers})/status")
        assert "Uid:\t101\t" in status
        version = said(container, "sh", "-c", 'nginx -v 2>&1; echo "nginx/$NGINX_VERSION"')
        first, second = version.splitlines()
        assert first.endswith(second)


def test_nginx_takes_its_steps_before_it_starts(client: docker.DockerClient, nginx: str) -> None:
    """Sourced files set variables, scripts run, templates are filled in, in that order."""
    template = "# ${UNSET}\nserver { listen 81; return 200 '$host ${SAID} ${MORE}'; }\n"
    files = {
        "docker-entrypoint.d/05-set.envsh": (0o755, "export SAID=hello\n"),
        "docker-entrypoint.d/10 run.sh": (0o755, "#!/bin/sh\necho ran-with-$SAID\n"),
        "docker-entrypoint.d/30-not.sh": (0o644, "#!/bin/sh\necho never\n"),
        "etc/nginx/templates/extra.conf.template": (0o644, template),
    }
    environment = {"MORE": "world", "LINES": "two\nhost=not a variable"}
    with running(client, nginx, files=files, environment=environment) as container:
        conf = "/etc/nginx/conf.d/extra.conf"
        wait_for(
            lambda: run(container, "test", "-s", conf)[0],
            what=conf,
            deadline=Deadline.after(SECONDS),
            ready=lambda code: code == 0,
        )
        assert said(container, "cat", conf) == template.replace("${SAID}", "hello").replace(
            "${MORE}", "world"
        )
        lines = logs(container).splitlines()
        assert "ran-with-hello" in lines
        assert "never" not in lines


def test_a_step_that_fails_ends_the_container(client: docker.DockerClient, nginx: str) -> None:
    """A container whose preparation failed must not serve anything."""
    files = {"docker-entrypoint.d/10-fail.sh": (0o755, "#!/bin/sh\nexit 9\n")}
    with running(client, nginx, files=files) as container:
        assert container.wait(timeout=SECONDS)["StatusCode"] == 9


def test_any_other_command_is_simply_run(client: docker.DockerClient, nginx: str) -> None:
    """Only nginx is prepared for: another command is run as it is, and its code is returned."""
    with running(client, nginx, "sh", "-c", "exit $CODE", environment={"CODE": "7"}) as container:
        assert container.wait(timeout=SECONDS)["StatusCode"] == 7
        assert logs(container) == ""


def test_the_toolbox_has_its_tools_and_ends_at_once(
    client: docker.DockerClient, toolbox: str
) -> None:
    """Restic and curl run, certificates are there, and idling ends by a signal, not by a kill."""
    with running(client, toolbox) as container:
        assert said(container, "restic", "version").startswith("restic ")
        assert said(container, "curl", "--version").startswith("curl ")
        said(container, "test", "-s", "/etc/ssl/certs/ca-certificates.crt")
        assert stopped(container) == 0


def test_restic_keeps_a_volume_and_gives_it_back(
    client: docker.DockerClient, toolbox: str, volume: str
) -> None:
    """What the toolbox is for: a snapshot of a volume, and its content again."""
    mount = {volume: {"bind": "/data", "mode": "rw"}}
    environment = {"RESTIC_PASSWORD": "only-a-test", "RESTIC_REPOSITORY": "/root/repository"}
    script = (
        "echo kept > /data/file && restic init && restic backup /data && rm /data/file"
        " && restic restore latest --target / && cat /data/file"
    )
    with running(client, toolbox, volumes=mount, environment=environment) as container:
        assert said(container, "sh", "-ec", script).splitlines()[-1] == "kept"


def test_radicale_serves_collections_as_its_own_user(
    client: docker.DockerClient, radicale: str, volume: str
) -> None:
    """The server writes below /data as user 2999, as which it runs, and ends by its signal."""
    mount = {volume: {"bind": "/data", "mode": "rw"}}
    calendar = "http://127.0.0.1:5232/someone/calendar/"
    with running(client, radicale, volumes=mount) as container:
        answer(container, "http://127.0.0.1:5232/.web/")
        answer(container, calendar, "--user", "someone:", "--request", "MKCALENDAR")
        where = "/data/collections/collection-root/someone"
        assert said(container, "stat", "-c", "%u:%g", where) == "2999:2999\n"
        assert "Uid:\t2999\t" in said(container, "cat", "/proc/1/status")
        said(container, "sh", "-c", "test -x /venv/bin/radicale")
        assert stopped(container) == 0


def test_radicale_reads_the_passwords_that_recipes_write(
    client: docker.DockerClient, radicale: str
) -> None:
    """The packages for bcrypt are there: the documented way to keep users works."""
    config = (
        "[server]\nhosts = 0.0.0.0:5232\n[auth]\ntype = htpasswd\ndelay = 0\n"
        "htpasswd_filename = /config/users\nhtpasswd_encryption = bcrypt\n"
        "[storage]\nfilesystem_folder = /data/collections\n"
    )
    entry = "import bcrypt; print('someone:' + bcrypt.hashpw(b'right', bcrypt.gensalt(4)).decode())"
    with idle(client, radicale) as container:
        users = said(container, "python3", "-c", entry)
    files = {"config/config": (0o644, config), "config/users": (0o644, users)}
    with running(client, radicale, files=files) as container:
        url = "http://127.0.0.1:5232/someone/"
        code = ("--request", "PROPFIND", "--output", "/dev/null", "--write-out", "%{http_code}")
        answer(container, "http://127.0.0.1:5232/.web/")
        assert answer(container, url, *code, "--user", "someone:wrong") == "401"
        assert answer(container, url, *code, "--user", "someone:right") == "207"


def test_an_image_without_a_stand_in_says_which_ones_have_one(
    client: docker.DockerClient, cache_dir: Path
) -> None:
    """The user reads what there is instead, and how to get the real image."""
    with pytest.raises(ImageError, match="no stand-in for the image nobody/knows:1") as caught:
        make(client, "nobody/knows:1", cache_dir)
    assert "nginx" in caught.value.cause
    assert "docker load" in caught.value.hint


def broken(tmp_path: Path, packages: str) -> Definition:
    folder = tmp_path / "definitions" / "ccci-broken"
    folder.mkdir(parents=True)
    (folder / "image.toml").write_text(f'note = "broken"\npackages = {packages}\n')
    return Definition.read(folder)


def test_a_definition_that_cannot_be_built_leaves_nothing_behind(
    client: docker.DockerClient, tmp_path: Path
) -> None:
    """The builder's own words are shown, and no half-made file or directory stays."""
    definition = broken(tmp_path, '["ccci-there-is-no-such-package"]')
    cache = tmp_path / "cache"
    with pytest.raises(ImageError) as caught:
        images.provide(client, definition, "broken:1", cache=cache, lock_timeout=0, say=print)
    assert "no such package" in caught.value.cause
    assert "ccci-there-is-no-such-package" in caught.value.detail
    assert list(image_cache.directory(cache).iterdir()) == []
    for root in rootfs.scratch_roots(image_cache.directory(cache)):
        assert list(root.glob(f"{image_cache.prefix(cache)}-*")) == []
    assert client.images.list("localhost/cc-ci/ccci-broken") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root builds in a mount namespace of its own")
def test_a_build_that_is_killed_leaves_no_mounts_and_is_swept_up(
    client: docker.DockerClient, tmp_path: Path
) -> None:
    """A killed builder leaves no mount of the host's /dev, and the next build removes its files."""
    definition = replace(shipped()["toolbox"], name="ccci-killed", digest="killed")
    cache = tmp_path / "cache"
    failure: list[ImageError] = []

    def build() -> None:
        try:
            images.provide(client, definition, "k:1", cache=cache, lock_timeout=0, say=print)
        except ImageError as error:
            failure.append(error)

    builder = threading.Thread(target=build)
    builder.start()
    mark = image_cache.prefix(cache)
    mounted = wait_for(
        lambda: builders(mark),
        what="a builder with its mounts",
        deadline=Deadline.after(SECONDS),
        ready=lambda found: any(mark in mounts for mounts in found.values()),
    )
    for pid in mounted:
        proc.run(["kill", "-KILL", pid], timeout=60, check=False)
    builder.join(timeout=SECONDS)
    assert len(failure) == 1
    assert mark not in Path("/proc/self/mountinfo").read_text()
    assert list(image_cache.directory(cache).iterdir()) == []


def builders(mark: str) -> dict[str, str]:
    """Return each process that works in a directory with that mark: its pid to its mounts."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/mountinfo"):
        try:
            if mark in (path.parent / "environ").read_text(errors="replace"):
                found[path.parent.name] = path.read_text(errors="replace")
        except OSError:
            continue  # it ended between the two looks
    return found


def test_racing_runs_build_once(
    client: docker.DockerClient, cache_dir: Path, tmp_path: Path
) -> None:
    """Two runs that need the same image at once: one builds, the other waits and then has it."""
    cache = tmp_path / "cache"
    shutil.copytree(image_cache.directory(cache_dir), image_cache.directory(cache))
    definition = replace(shipped()["toolbox"], name="ccci-race", digest="race")
    heard: list[str] = []
    found: list[images.StandIn] = []

    def run() -> None:
        found.append(
            images.provide(
                client, definition, "r:1", cache=cache, lock_timeout=SECONDS, say=heard.append
            )
        )

    racers = [threading.Thread(target=run) for _ in range(4)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    client.images.remove("localhost/cc-ci/ccci-race:1")
    assert len(found) == len(racers)
    made = [line.event for line in heard if isinstance(line, EventLine)]
    assert [one.how for one in made if isinstance(one, ImageEvent)] == [Provided.BUILT]


@pytest.mark.parametrize("name", sorted(shipped()))
def test_the_record_says_what_is_in_the_image(
    client: docker.DockerClient, cache_dir: Path, name: str
) -> None:
    """The versions that a report shows are those of the packages in the image."""
    definition = shipped()[name]
    images.provide(
        client, definition, f"{name}:ccci-record", cache=cache_dir, lock_timeout=60, say=print
    )
    reference = f"{images.PREFIX}/{name}:ccci-record"
    try:
        labels = client.images.get(reference).labels
        recorded = json.loads(labels[images.LABEL_PACKAGES])
        assert set(recorded) == set(definition.packages)
        with idle(client, reference) as container:
            shown = said(container, "dpkg-query", "-W", "-f", "${Package} ${Version}\n", *recorded)
        assert recorded == dict(line.split() for line in shown.splitlines())
    finally:
        client.images.remove(reference)
