"""Making sure that an image is there: the engine's own, else a registry's, else a stand-in."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import docker
from docker.errors import APIError, DockerException, ImageNotFound
from requests.exceptions import RequestException

from harness.embedded import images
from harness.errors import DiskFullError, EngineError, ImageError, InvalidRecipeError
from harness.model import Adaptation

SILENCE = re.compile(
    r"no such host|connection refused|i/o timeout|timed? ?out|network is unreachable"
    r"|no route to host|name resolution|server misbehaving|connection reset|\bEOF\b|dial tcp",
    re.IGNORECASE,
)
NOT_THERE = re.compile(
    r"manifest unknown|manifest for .* not found|repository .* not found"
    r"|repository does not exist|name unknown",
    re.IGNORECASE,
)
NO_ROOM = re.compile(r"no space left on device", re.IGNORECASE)


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
    """

    client: docker.DockerClient
    cache: Path
    lock_timeout: float
    say: Callable[[str], None]
    _known: dict[str, tuple[str, Adaptation | None]] = field(default_factory=dict)

    def __call__(self, image: str) -> tuple[str, Adaptation | None]:
        """Return the reference to deploy for an image, and how it differs from what was asked.

        Raises:
            InvalidRecipeError: a registry says that there is no such image.
            ImageError: no registry can be reached, and there is no stand-in.
            DiskFullError: there is no room for it.
        """
        if image not in self._known:
            self._known[image] = self._find(image)
        return self._known[image]

    def _find(self, image: str) -> tuple[str, Adaptation | None]:
        try:
            if self._has(image):
                return image, None
            refusal = self._pull(image)
        except (DockerException, RequestException) as error:
            raise EngineError(f"the engine did not answer about {image}: {error}") from error
        if not refusal:
            return image, None
        if not SILENCE.search(refusal):
            raise ImageError(
                f"the registry does not hand the image {image} out",
                cause="it wants a login, or has had too many requests from here",
                hint="docker login, or wait, or load the image: docker load",
                detail=refusal,
            )
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
        name, tag = _split(image)
        try:
            # The SDK's own `images.pull` drops the errors that come after the answer has begun.
            for event in self.client.api.pull(name, tag=tag, stream=True, decode=True):
                if "error" in event:
                    raise APIError(event["error"])  # noqa: TRY301  the same as one before it began
        except (APIError, RequestException) as error:
            said = str(getattr(error, "explanation", None) or error)
            if NO_ROOM.search(said):
                raise DiskFullError(
                    f"no room is left for the image {image}", detail=said
                ) from error
            if NOT_THERE.search(said):
                raise InvalidRecipeError(
                    f"the registry has no image {image}",
                    hint="correct the image or its tag in compose.yml",
                    detail=said,
                ) from error
            return said
        self.say(f"pulled {image}")
        return ""


def _split(image: str) -> tuple[str, str]:
    """Return the repository, and the tag or digest; without either, `latest`, never all tags."""
    if "@" in image:
        return image, ""
    head, colon, tag = image.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (image, "latest")
