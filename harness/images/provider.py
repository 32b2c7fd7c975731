"""Making sure that an image is there: the engine's own, else a registry's, else a stand-in."""

from __future__ import annotations

import queue
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, ImageNotFound

from harness.core.errors import EngineError, ImageError, InvalidRecipeError
from harness.core.events import EventLine, ImageEvent, Provided
from harness.core.image_names import parsed
from harness.core.model import Adaptation
from harness.core.waiting import Deadline
from harness.images import images
from harness.images.node_images import spread
from harness.swarm.faults import ENGINE_ERRORS, NO_CREDENTIALS, NO_ROOM
from harness.swarm.nodes import Nodes

PULL_SILENCE_SECONDS = 60.0  # without a word of progress; the engine itself may wait for ever
PULL_SECONDS = 1800.0  # for one image, however slowly it comes
SILENCE = re.compile(
    r"no such host|connection refused|i/o timeout|timed? ?out|network is unreachable"
    r"|no route to host|name resolution|server misbehaving|connection reset|\bEOF\b|dial tcp"
    r"|deadline exceeded|request canceled",
    re.IGNORECASE,
)
NOT_THERE = re.compile(
    r"manifest unknown|manifest for .* not found|repository .* not found"
    r"|repository does not exist|name unknown",
    re.IGNORECASE,
)
# Why a registry that answers does not hand an image out, and what helps; the first that fits.
REFUSALS = (
    (
        r"toomanyrequests|too many requests|rate limit|\b429\b",
        "it has had too many requests from here",
        "docker login raises its limit; or wait an hour, or load the image: docker load",
    ),
    (
        r"x509|certificate|tls: |http response to https client",
        "the engine does not trust its certificate, or it speaks plain HTTP",
        "put its certificate into /etc/docker/certs.d, or name it in insecure-registries",
    ),
    (
        r"unauthorized|authentication required|forbidden|denied|\b40[13]\b",
        "it wants a login",
        "docker login, or load the image: docker load",
    ),
    (
        r"no matching manifest|does not match the specified platform",
        "the image is not made for the engine's kind of processor",
        "use an engine on a machine that the image is made for",
    ),
    (
        r"\b5\d\d\b|internal server error|bad gateway|unavailable",
        "it is broken or overloaded",
        "try again later, or load the image: docker load",
    ),
)
UNKNOWN_REFUSAL = ("its answer was not understood", "docker pull it by hand, or docker load it")


@dataclass(kw_only=True)
class ImageProvider:
    """Answers, for each image of a recipe, what is deployed in its place.

    An image that the engine has is used as it is. Else it is pulled. Only where no registry can be
    reached is a stand-in built from the distribution's packages, under a name of its own, so that
    nobody's real image is ever shadowed; and a report always says so. A registry that answers that
    there is no such image has the last word: the recipe is wrong.

    Args:
        client: a client of the engine.
        cache: the cache directory.
        lock_timeout: seconds to wait for another run that builds the same image.
        say: is told of every pull and build.
        factor: multiplies the time-outs of a pull.
        nodes: where there are other nodes, to which images are copied too.
    """

    client: docker.DockerClient
    cache: Path
    lock_timeout: float
    say: Callable[[str], None]
    factor: float = 1.0
    nodes: Nodes | None = None
    _known: dict[str, tuple[str, Adaptation | None]] = field(default_factory=dict)

    def __call__(self, image: str) -> tuple[str, Adaptation | None]:
        """Return the reference to deploy for an image, and how it differs from what was asked.

        Raises:
            InvalidRecipeError: a registry says that there is no such image.
            ImageError: no registry can be reached, and there is no stand-in; or it refuses.
            DiskFullError: there is no room for it.
            EngineError: the engine does not answer.
        """
        if image not in self._known:
            found = self._find(image)
            if self.nodes is not None:
                spread(self.nodes, found[0], say=self.say)
            self._known[image] = found
        return self._known[image]

    def _find(self, image: str) -> tuple[str, Adaptation | None]:
        try:
            if self._has(image):
                return image, None
            refusal = self._pull(image)
        except ENGINE_ERRORS as error:
            if NO_CREDENTIALS.words.search(str(error)):
                raise NO_CREDENTIALS.error(f"image {image}: {error}") from error
            raise EngineError(
                f"the engine did not answer about {image}: {error}",
                cause="it was stopped, killed or restarted, or it is overloaded",
                hint="nox -s engine -- status; its log has the last word",
            ) from error
        if not refusal:
            return image, None
        if not SILENCE.search(refusal):
            raise _refused(image, refusal)
        if images.find(image) is None:
            raise ImageError(
                f"the image {image} can be neither pulled nor built",
                cause=f"no registry answers ({refusal}), and there is no stand-in for it",
                hint="give the engine a registry in reach, or load the image: docker load",
            )
        stand_in = images.ensure(
            self.client, image, cache=self.cache, lock_timeout=self.lock_timeout, say=self.say
        )
        detail = f"{stand_in.reference}: {stand_in.note}"
        return stand_in.reference, Adaptation(kind="stand-in", subject=image, detail=detail)

    def _has(self, image: str) -> bool:
        try:
            self.client.images.get(image)
        except ImageNotFound:
            return False
        return True

    def _pull(self, image: str) -> str:
        """Pull the image, and return why no registry could be asked; empty when it was pulled."""
        try:
            for event in self._events(image):
                if "error" in event:
                    raise APIError(event["error"])  # noqa: TRY301  the same as one before it began
        except APIError as error:
            said = str(error.explanation or error)
            if NO_ROOM.words.search(said):
                raise NO_ROOM.error(f"the image {image} does not fit", detail=said) from error
            if NOT_THERE.search(said):
                raise InvalidRecipeError(
                    f"the registry has no image {image}",
                    hint="correct the image or its tag in compose.yml",
                    detail=said,
                ) from error
            return said
        except queue.Empty:
            return f"timed out: the registry said nothing for {self._silence:g} s"
        self.say(EventLine(ImageEvent(image=image, how=Provided.PULLED)))
        return ""

    @property
    def _silence(self) -> float:
        return PULL_SILENCE_SECONDS * self.factor

    def _events(self, image: str) -> Iterator[Mapping[str, Any]]:
        """Yield what the engine says of its pull.

        The SDK's own `images.pull` drops the errors that come after the answer has begun, and its
        pull has no time-out. So it is read by a thread, which is left behind when the time is up;
        it ends with the process, and the engine gives the pull up with it.

        Raises:
            queue.Empty: nothing was said for too long.
            ImageError: it went on for too long.
        """
        said: queue.SimpleQueue[Mapping[str, Any] | Exception | None] = queue.SimpleQueue()
        repository, tag, digest = parsed(image)
        # Without a tag the engine would pull all of them.
        name, tag = (image, "") if digest else (repository, tag or "latest")

        def read() -> None:
            try:
                for event in self.client.api.pull(name, tag=tag, stream=True, decode=True):
                    said.put(event)
                said.put(None)
            except Exception as error:  # noqa: BLE001  it is raised where it is waited for
                said.put(error)

        threading.Thread(target=read, daemon=True).start()
        deadline = Deadline.after(PULL_SECONDS * self.factor)
        while (event := said.get(timeout=self._silence)) is not None:
            if isinstance(event, Exception):
                raise event
            if deadline.passed():
                raise ImageError(
                    f"the image {image} had not come after {PULL_SECONDS * self.factor:g} s",
                    cause="the registry, or the network to it, is too slow",
                    hint="docker pull it before the run; CCCI_TIMEOUT_FACTOR=2 allows more time",
                )
            yield event


def _refused(image: str, refusal: str) -> ImageError:
    cause, hint = next(
        ((why, then) for words, why, then in REFUSALS if re.search(words, refusal, re.IGNORECASE)),
        UNKNOWN_REFUSAL,
    )
    return ImageError(
        f"the registry refused to serve the image {image}",
        cause=cause,
        hint=hint,
        detail=refusal,
    )
