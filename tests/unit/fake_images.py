"""The image store of a fake engine: inspect, list, tag, pull and load, each call recorded."""

import io
import json
import tarfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from docker.errors import ImageNotFound


@dataclass(kw_only=True)
class FakeImages:
    """The images of an engine; hand `client` to the code under test.

    Args:
        there: the labels of each image that the engine has, by reference.
        on_inspect: called at each inspection, with its number from 1.
        refusal: raised before a pull's answer begins, or None.
        events: a pull's answer; an error in it is raised when its turn comes.
        stuck: if set, a pull waits for it after its last event.
        load_events: the answer to a load; if there are any, nothing was loaded.
    """

    there: dict[str, Mapping[str, str] | None] = field(default_factory=dict)
    on_inspect: Callable[[int], None] = lambda _count: None
    refusal: Exception | None = None
    events: list[dict[str, Any] | Exception] = field(default_factory=list)
    stuck: threading.Event | None = None
    load_events: list[dict[str, str]] = field(default_factory=list)
    architecture: str = "amd64"
    calls: list[str] = field(default_factory=list)

    @property
    def client(self) -> Any:  # noqa: ANN401  stands in for a docker client
        """The engine's client."""
        return SimpleNamespace(
            api=self, images=SimpleNamespace(get=self.inspect_image), version=self.version
        )

    def inspect_image(self, reference: str) -> dict[str, Any]:
        """Return the image, or raise if the engine does not have it."""
        self.calls.append(f"inspect {reference}")
        self.on_inspect(self.count("inspect"))
        if reference not in self.there:
            raise ImageNotFound(f"No such image: {reference}")
        return {"Config": {"Labels": self.there[reference]}}

    def images(self, *, filters: dict[str, str]) -> list[dict[str, Any]]:
        """Return the images that have a label."""
        self.calls.append(f"list {filters['label']}")
        name, _, value = filters["label"].partition("=")
        return [
            {"Id": ref, "RepoTags": [ref]}
            for ref, labels in self.there.items()
            if (labels or {}).get(name) == value
        ]

    def tag(self, image: str, repository: str, *, tag: str) -> None:
        """Give an image another name."""
        self.calls.append(f"tag {repository}:{tag}")
        self.there[f"{repository}:{tag}"] = self.there[image]

    def version(self) -> dict[str, str]:
        """Return what the engine runs on."""
        return {"Arch": self.architecture}

    def pull(self, name: str, *, tag: str, stream: bool, decode: bool) -> Iterator[dict[str, Any]]:
        """Pull, as the SDK's low-level call does."""
        assert stream
        assert decode
        self.calls.append(f"pull {name} {tag}")
        if self.refusal is not None:
            raise self.refusal
        return self._answer()

    def load_image(self, archive: Iterable[bytes]) -> list[dict[str, str]]:
        """Take an archive as an engine does: the config's labels under the manifest's tag."""
        self.calls.append("load")
        with tarfile.open(fileobj=io.BytesIO(b"".join(archive))) as tar:
            manifest = _json(tar, "manifest.json")[0]
            labels = _json(tar, manifest["Config"])["config"]["Labels"]
        if not self.load_events:
            self.there[manifest["RepoTags"][0]] = labels
        return self.load_events

    def count(self, verb: str) -> int:
        """Return how many calls of a kind there were."""
        return sum(call.split()[0] == verb for call in self.calls)

    def _answer(self) -> Iterator[dict[str, Any]]:
        for event in self.events:
            if isinstance(event, Exception):
                raise event
            yield event
        if self.stuck is not None:
            self.stuck.wait()


def _json(tar: tarfile.TarFile, name: str) -> Any:  # noqa: ANN401  whatever JSON holds
    stream = tar.extractfile(name)
    assert stream is not None
    return json.load(stream)
