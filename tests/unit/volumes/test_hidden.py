"""Files of the head's image that a volume hides, because it still has those of the base's."""

import hashlib
import io
import tarfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from docker.errors import ImageNotFound, NotFound

from harness.core.model import WarningCode
from harness.swarm.nodes import Nodes
from harness.swarm.states import StackSnapshot
from harness.volumes import hidden
from harness.volumes.hidden import Hidden, contents
from tests.unit.fake_stack import NODE, STACK, look, service

LABELS = {"ccci.run": "run1"}


def total(text: str) -> str:
    """Return the checksum of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class Engine:
    """An engine with images, each with files in the folder /srv."""

    images: dict[str, dict[str, str]]
    made: list[str] = field(default_factory=list)
    piece: int = 7

    @property
    def api(self) -> "Engine":
        """The low-level client."""
        return self

    def create_container(
        self, image: str, command: list[str], *, labels: dict[str, str]
    ) -> dict[str, str]:
        """Make a container that is never started."""
        if image not in self.images:
            raise ImageNotFound(image)
        assert (command, labels) == (["true"], LABELS)
        self.made.append(image)
        return {"Id": image}

    def remove_container(self, identity: str, *, v: bool, force: bool) -> None:
        """Remove it, with the volumes that its image declares."""
        assert v
        assert force
        self.made.remove(identity)

    def get_archive(
        self, identity: str, place: str, *, chunk_size: int
    ) -> tuple[Iterator[bytes], dict[str, Any]]:
        """Return a tar of a folder, in pieces."""
        assert chunk_size
        if place != "/srv":
            raise NotFound(place)
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as archive:
            folder = tarfile.TarInfo("srv")
            folder.type = tarfile.DIRTYPE
            archive.addfile(folder)
            for path, text in self.images[identity].items():
                member = tarfile.TarInfo(f"srv/{path}")
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text.encode()))
        data = file.getvalue()
        return (data[n : n + self.piece] for n in range(0, len(data), self.piece)), {}


def upgraded(
    there: dict[str, str],
    base: dict[str, str],
    head: dict[str, str],
    before: StackSnapshot | None = None,
) -> list[str]:
    """Return what is told of an upgrade after which a volume holds these files."""
    engine = Engine({"app:1": base, "app:2": head})
    client: Any = engine

    def sums(volume: str, node: str, paths: Collection[str]) -> dict[str, str]:
        assert (volume, node) == (f"{STACK}_data", NODE)
        assert paths
        return {path: total(text) for path, text in there.items() if path in paths}

    seen = Hidden(nodes=Nodes(client=client, own=NODE), labels=LABELS, sums=sums, stack=STACK)
    old = look(service(image="app:1", volumes={"data": "/srv"}))
    new = look(service(image="app:2", volumes={"data": "/srv"}))
    warnings = list(seen.warnings(before or old, new))
    assert engine.made == []
    assert all(one.code is WarningCode.VOLUME_HIDES_IMAGE for one in warnings)
    return [one.text for one in warnings]


def test_files_of_the_base_that_the_head_has_in_another_version_are_told() -> None:
    """Each by its path in the volume, up to a few."""
    (text,) = upgraded({"js/a.js": "1", "b": "1"}, {"js/a.js": "1", "b": "1"}, {"js/a.js": "2"})
    assert text.startswith("volume data of service app hides files of the head's image at /srv")
    assert text.endswith("(js/a.js)")
    many = {f"f{n}": "1" for n in range(7)}
    (text,) = upgraded(many, many, dict.fromkeys(many, "2"))
    assert text.endswith("(f0, f1, f2, f3, f4 and 2 more)")


@pytest.mark.parametrize(
    ("there", "head"),
    [
        ({"a": "2"}, {"a": "2"}),  # the app itself brought it up to date
        ({"a": "3"}, {"a": "2"}),  # its owner changed it
        ({}, {"a": "2"}),  # it is gone
        ({"a": "1"}, {"a": "1"}),  # the image has the same
        ({"a": "1"}, {"b": "2"}),  # the image has none
        ({"a": "1"}, {}),
    ],
)
def test_what_is_as_the_head_has_it_or_somebody_elses_is_not_told(
    there: dict[str, str], head: dict[str, str]
) -> None:
    """No image holds the app's data."""
    assert upgraded(there, {"a": "1"}, head) == []


def test_only_a_volume_of_the_same_service_at_the_same_place_is_compared() -> None:
    """And only under another image."""
    files = ({"a": "1"}, {"a": "1"}, {"a": "2"})
    for other in (
        look(service("other", image="app:1", volumes={"data": "/srv"})),
        look(service(image="app:2", volumes={"data": "/srv"})),
        look(service(image="app:1", volumes={"data": "/other"})),
        look(service(image="app:1", volumes={"others": "/srv"})),
    ):
        assert upgraded(*files, before=other) == []
    app = service(image="app:1", volumes={"data": "/srv"})
    app.template["ContainerSpec"]["Mounts"][0]["VolumeOptions"]["Subpath"] = "a"
    assert upgraded(*files, before=look(app)) == []
    app = service(image="app:1", volumes={"data": "/srv"})
    app.template["ContainerSpec"]["Mounts"][0]["VolumeOptions"] = {"DriverConfig": {"Name": "nfs"}}
    assert upgraded(*files, before=look(app)) == [], "it leads to another machine"
    assert len(upgraded(*files)) == 1


def test_a_service_that_does_not_run_is_not_compared() -> None:
    """Its image may be on no node."""
    app = service(image="app:2", volumes={"data": "/srv"})
    before = look(replace(app, image="app:1"))
    client: Any = None
    nothing: Any = None
    seen = Hidden(nodes=Nodes(client=client, own=NODE), labels=LABELS, sums=nothing, stack=STACK)
    assert list(seen.warnings(before, look(app, tasks=()))) == []


def test_what_cannot_be_read_holds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image that is gone, a folder that it does not have, one that is too large; no journals."""
    engine = Engine({"app:1": {"a": "12345", "x.log": "1"}})
    client: Any = engine
    assert contents(client, "app:1", "/srv", LABELS) == {"a": total("12345")}
    assert contents(client, "app:9", "/srv", LABELS) == {}
    assert contents(client, "app:1", "/none", LABELS) == {}
    headers = 3 * hidden.HEAD  # of the folder and of both files
    monkeypatch.setattr(hidden, "LARGEST", headers + 6)
    assert contents(client, "app:1", "/srv", LABELS)
    monkeypatch.setattr(hidden, "LARGEST", headers + 5)
    assert contents(client, "app:1", "/srv", LABELS) == {}
    assert engine.made == []
