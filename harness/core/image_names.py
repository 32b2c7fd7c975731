"""The names of images: `[REGISTRY/]REPOSITORY[:TAG][@DIGEST]`."""

from __future__ import annotations

from typing import NamedTuple


class ImageName(NamedTuple):
    """An image's name in parts; the tag and the digest are empty where it has none."""

    repository: str
    tag: str
    digest: str


def parsed(image: str) -> ImageName:
    """Return an image's name in parts. The port of a registry is not a tag."""
    name, _, digest = image.partition("@")
    head, slash, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    return ImageName(f"{head}{slash}{last}", tag, digest)
