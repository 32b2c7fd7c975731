"""Stand-in images: when one is made, loaded or merely looked at, and what may go wrong."""

from __future__ import annotations

import errno
import io
import shutil
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import requests
from docker.errors import APIError
from msgspec.structs import replace

from harness.core.errors import DiskFullError, EngineError, HarnessError, ImageError, TestBedError
from harness.images import image_cache, image_layers, images, rootfs
from harness.images.image_definitions import shipped
from harness.locks import file_lock as locks
from tests.unit.fake_images import FakeImages

HOST = rootfs.Host(suite="bookworm", architecture="amd64", slim=True)
MORE = ("rsync", "ca-certificates", "bzip2", "xz-utils", "zstd")
PACKAGES = {"nginx": "1.22.1-9", "curl": "7.88.1-10", "gettext-base": "0.21-12", "restic": "0.14-1"}
STATUS = "\n\n".join(
    f"Package: {name}\nStatus: install ok installed\nVersion: {version}"
    for name, version in {**PACKAGES, **dict.fromkeys(MORE, "3.2")}.items()
)


@pytest.fixture(autouse=True)
def _this_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(images, "host", lambda: HOST)
    (tmp_path / "memory").mkdir()
    monkeypatch.setattr(rootfs, "MEMORY_DISK", tmp_path / "memory")


def root_tar(path: Path) -> Path:
    """Write a root file system as small as can be."""
    with tarfile.open(path, "w") as archive:
        texts = {"etc/passwd": "root:*:0:0::/:/x\n", "etc/group": "root:*:0:\n"}
        for name, text in {**texts, "var/lib/dpkg/status": STATUS}.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return path


class BuildBench:
    """One engine, one cache, and a builder that counts."""

    def __init__(self, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.engine = FakeImages()
        self.cache = cache
        self.heard: list[str] = []
        self.builds = 0
        self.failure: Exception | None = None
        monkeypatch.setattr(rootfs, "build", self._build)

    def _build(self, packages: Iterable[str], host: rootfs.Host, *, work: Path, **_: Any) -> Path:  # noqa: ANN401  not looked at
        assert set(packages) <= {*PACKAGES, *MORE}
        assert host == HOST
        if self.failure:
            raise self.failure
        self.builds += 1
        return root_tar(work / "root.tar")

    def ensure(self, image: str = "nginx:1.27.0") -> images.StandIn:
        """Ask for an image with this engine and this cache."""
        return images.ensure(
            self.engine.client, image, cache=self.cache, lock_timeout=0, say=self.heard.append
        )


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuildBench:
    return BuildBench(tmp_path / "cache", monkeypatch)


def test_a_missing_image_is_built_loaded_and_described(bench: BuildBench) -> None:
    """The report can say which programs the stand-in really holds."""
    found = bench.ensure()
    assert found.image == "nginx:1.27.0"
    assert found.reference == "localhost/cc-ci/nginx:1.27.0"
    assert found.name == "nginx"
    assert found.packages == {k: v for k, v in PACKAGES.items() if k != "restic"}
    assert found.note.startswith("nginx 1.22.1 of the distribution")
    labels = bench.engine.there[found.reference]
    assert labels is not None
    assert (labels["ccci.stand-in"], labels["ccci.key"]) == ("nginx", found.key)
    assert bench.builds == 1
    assert "from the distribution's packages" in bench.heard[0]


def test_an_image_that_is_there_costs_one_look(bench: BuildBench) -> None:
    """The usual case: no lock, no file, no word."""
    first = bench.ensure()
    bench.engine.calls.clear()
    bench.heard.clear()
    shutil.rmtree(bench.cache)
    assert bench.ensure() == first
    assert bench.engine.calls == [f"inspect {first.reference}"]
    assert bench.heard == []
    assert not bench.cache.exists()


def test_another_tag_is_another_name_for_the_same_image(bench: BuildBench) -> None:
    """Two releases of a recipe name two tags; one build serves both."""
    bench.ensure()
    bench.engine.calls.clear()
    other = bench.ensure("docker.io/library/nginx:1.28")
    assert other.reference == "localhost/cc-ci/nginx:1.28"
    assert bench.builds == 1
    assert "load" not in bench.engine.calls


def test_an_image_of_anybody_with_our_label_is_not_ours(bench: BuildBench) -> None:
    """The key can be computed, so a recipe's image may have it; its name cannot be ours."""
    made = bench.ensure()
    labels = bench.engine.there.pop(made.reference)
    bench.engine.there["evil/nginx:1"] = labels
    assert bench.ensure().reference == made.reference
    assert bench.engine.count("tag") == 0
    assert bench.engine.count("load") == 2


def test_a_layer_that_is_kept_is_loaded_without_a_build(bench: BuildBench) -> None:
    """A new engine on a machine that has built the image before waits for no build."""
    bench.ensure()
    bench.engine.there.clear()
    bench.ensure()
    assert bench.builds == 1
    assert bench.engine.count("load") == 2


def test_an_image_of_another_key_is_replaced(bench: BuildBench) -> None:
    """An older definition's image under the same name is not what is asked for."""
    reference = "localhost/cc-ci/nginx:1.27.0"
    for labels in ({}, {"ccci.key": "older"}, None):
        bench.engine.there[reference] = labels
        key = bench.ensure().key
        assert (bench.engine.there[reference] or {})["ccci.key"] == key


def test_whoever_waited_looks_again(bench: BuildBench) -> None:
    """A run that got the lock after another one built does not build a second time."""
    bench.ensure()
    ready = dict(bench.engine.there)
    bench.engine.there.clear()

    def appear(count: int) -> None:
        if count == 2:
            bench.engine.there.update(ready)

    bench.engine.calls.clear()
    bench.engine.on_inspect = appear
    bench.heard.clear()
    bench.ensure()
    assert [call.split()[0] for call in bench.engine.calls] == ["inspect", "inspect"]
    assert bench.heard == []


def test_the_lock_is_held_while_it_is_built(
    bench: BuildBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Racing runs build one after another, so the second finds the first one's image."""
    lock = image_cache.lock_name(images.key_of(shipped()["nginx"]))
    states = []

    def build(_packages: object, _host: object, *, work: Path, **_: object) -> Path:
        states.append(locks.is_free(bench.cache / "locks", lock))
        return root_tar(work / "root.tar")

    monkeypatch.setattr(rootfs, "build", build)
    bench.ensure()
    assert states == [False]
    assert locks.is_free(bench.cache / "locks", lock)


def test_an_unknown_image_says_which_ones_are_known(bench: BuildBench) -> None:
    """No engine is asked; the message names what there is and how to get the real one."""
    with pytest.raises(ImageError, match="no stand-in for the image redis:7") as caught:
        bench.ensure("redis:7")
    assert "nginx" in caught.value.cause
    assert "tomsquest/docker-radicale" in caught.value.cause
    assert "registry" in caught.value.hint
    assert bench.engine.calls == []


def test_an_engine_of_another_architecture_is_refused_before_a_build(bench: BuildBench) -> None:
    """Programs that cannot run there would fail later, and look like the recipe's fault."""
    bench.engine.architecture = "arm64"
    with pytest.raises(ImageError, match="do not run on the engine"):
        bench.ensure()
    assert bench.builds == 0


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (ImageError("the builder failed"), ImageError),
        (DiskFullError("full"), DiskFullError),
        (OSError(errno.ENOSPC, "No space left on device"), DiskFullError),
        (PermissionError(errno.EACCES, "Permission denied"), ImageError),
    ],
)
def test_a_build_that_fails_is_an_error_of_the_test_bed(
    bench: BuildBench, failure: Exception, kind: type[HarnessError]
) -> None:
    """It says nothing of the recipe, leaves no image, and the next run may try again."""
    bench.failure = failure
    with pytest.raises(kind) as caught:
        bench.ensure()
    assert isinstance(caught.value, TestBedError)
    assert "load" not in bench.engine.calls
    bench.failure = None
    bench.ensure()
    assert bench.builds == 1


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("write /var/lib/x: no space left on device", DiskFullError),
        ("Error processing tar file(exit status 1): No space left on device", DiskFullError),
        ("invalid diffID for layer 0", EngineError),
    ],
)
def test_an_engine_that_refuses_the_image_is_told_from_a_full_one(
    bench: BuildBench, said: str, kind: type[HarnessError]
) -> None:
    """The remedy differs, so the error does."""
    bench.engine.load_events = [{"status": "Loading layer"}, {"error": said}]
    with pytest.raises(kind) as caught:
        bench.ensure()
    assert said in caught.value.detail


@pytest.mark.parametrize("error", [requests.ConnectionError("refused"), APIError("500 broken")])
def test_an_engine_that_does_not_answer_is_an_engine_error(
    bench: BuildBench, error: Exception
) -> None:
    """No traceback of a library ever reaches the user."""

    def fail(_count: int) -> None:
        raise error

    bench.engine.on_inspect = fail
    with pytest.raises(EngineError, match="the engine failed"):
        bench.ensure()


def test_an_engine_that_lost_the_image_is_an_engine_error(
    bench: BuildBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image that was taken and is not there must not be called a success."""
    monkeypatch.setattr(bench.engine, "load_image", lambda _archive: [])
    with pytest.raises(EngineError, match="does not list it"):
        bench.ensure()


def test_a_package_that_is_not_in_the_result_is_an_error(bench: BuildBench) -> None:
    """A virtual package would leave a report without the version that it promises."""
    definition = replace(shipped()["nginx"], packages=("nginx", "httpd"))
    base = image_layers.trim(root_tar(bench.cache.parent / "r"), bench.cache.parent / "l")
    with pytest.raises(ImageError, match="lacks the package httpd"):
        images.assemble(definition, base)


def test_the_toolbox_is_known_by_its_key(bench: BuildBench) -> None:
    """Two checkouts with different toolboxes must not swap each other's."""
    found = images.ensure_own(
        bench.engine.client, images.TOOLBOX, cache=bench.cache, lock_timeout=0, say=print
    ).reference
    key = images.key_of(shipped()["toolbox"])
    assert found == f"localhost/cc-ci/toolbox:{key[:12]}"
    assert (bench.engine.there[found] or {})["ccci.key"] == key
