"""Stand-in images: what an app's image offers, made of the distribution's packages.

The engine knows them under `localhost/cc-ci/`, so that nothing of the user's is shadowed and no
registry is ever asked for them. What is in one is told by its labels, and through `StandIn` by
every report.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException, ImageNotFound
from requests.exceptions import RequestException

from harness.core.errors import DiskFullError, EngineError, ImageError
from harness.core.events import EventLine, ImageEvent, Provided
from harness.core.image_names import parsed
from harness.images import image_cache, image_layers, rootfs
from harness.images.image_definitions import Definition, find, shipped
from harness.locks import file_lock as locks

__all__ = ["StandIn", "ensure", "ensure_own", "find", "provide", "purge"]

PREFIX = "localhost/cc-ci"
LABEL_NAME = "ccci.stand-in"
LABEL_KEY = "ccci.key"
LABEL_PACKAGES = "ccci.packages"
TOOLBOX = "toolbox"
BACKUPBOT = "backupbot"
_FORMAT = 1  # raise it when the same definition is to become another image
_NO_ROOM = "no space left on device"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """An image that stands in for another one.

    Attributes:
        image: the image that was asked for.
        reference: what the engine knows the stand-in by.
        name: the name of its definition.
        key: SHA-256 over all that it was made from but the packages' versions, in hexadecimal.
        note: what it is, for reports.
        packages: the distribution's packages that the definition names, with their versions.
    """

    image: str
    reference: str
    name: str
    key: str
    note: str
    packages: Mapping[str, str]


def ensure(
    client: docker.DockerClient, image: str, *, cache: Path, lock_timeout: float, say: Say
) -> StandIn:
    """Make sure that the engine has the stand-in for an image, and return it.

    When the engine has it, that is one look. Else it is loaded from the cache directory, and built
    there first if need be.

    Args:
        client: a client of the engine.
        image: the image that was asked for, as a recipe names it.
        cache: the cache directory.
        lock_timeout: seconds to wait for another run that builds the same image.
        say: is told before anything that takes a while.

    Raises:
        ImageError: there is no stand-in for that image, or it cannot be built.
        DiskFullError: there is no room for it here or at the engine.
        EngineError: the engine does not answer, or refuses the image.
        LockTimeoutError: another run is still building it.
    """
    name = find(image)
    if name is None:
        known = sorted(r for d in shipped().values() for r in d.repositories)
        raise ImageError(
            f"there is no stand-in for the image {image}",
            cause=f"only these images have one: {', '.join(known)}",
            hint="give the engine a registry in reach, or load the image: docker load",
        )
    definition = shipped()[name]
    return provide(client, definition, image, cache=cache, lock_timeout=lock_timeout, say=say)


def ensure_own(
    client: docker.DockerClient, name: str, *, cache: Path, lock_timeout: float, say: Say
) -> StandIn:
    """Make sure that the engine has an image of the harness's own, and return it.

    The reference is another one for each definition, so two checkouts never swap each other's.

    Args:
        client: a client of the engine.
        name: `TOOLBOX` (restic, curl) or `BACKUPBOT`.
        cache: the cache directory.
        lock_timeout: seconds to wait for another run that builds the same image.
        say: is told before anything that takes a while.

    Raises:
        Whatever `ensure` raises.
    """
    definition = shipped()[name]
    image = f"{name}:{key_of(definition)[:12]}"
    return provide(client, definition, image, cache=cache, lock_timeout=lock_timeout, say=say)


def provide(
    client: docker.DockerClient,
    definition: Definition,
    image: str,
    *,
    cache: Path,
    lock_timeout: float,
    say: Say,
) -> StandIn:
    """Make sure that the engine has the image of a definition, under the tag of another image.

    See `ensure`; this is it for a definition at hand.
    """
    key = key_of(definition)
    reference = reference_of(definition, image)
    labels = _present(client, reference, key)
    if labels is None:
        purpose = f"building a stand-in for {image}"
        name = image_cache.lock_name(key)
        with locks.hold(cache / "locks", name, purpose=purpose, timeout=lock_timeout, say=say):
            labels = _present(client, reference, key) or _tagged(client, reference, key)
            if labels is None:
                say(f"{image}: making a stand-in from the distribution's packages")
                begun = time.monotonic()
                labels = _make(
                    client, definition, reference, cache=cache, lock_timeout=lock_timeout, say=say
                )
                seconds = time.monotonic() - begun
                say(EventLine(ImageEvent(image=image, how=Provided.BUILT, seconds=seconds)))
    packages = json.loads(labels[LABEL_PACKAGES])
    return StandIn(
        image=image,
        reference=reference,
        name=definition.name,
        key=key,
        note=image_layers.with_versions(definition.note, packages),
        packages=packages,
    )


def purge(cache: Path) -> None:
    """Remove what is kept in the cache directory; what the engine has stays there."""
    image_cache.purge(cache)


def reference_of(definition: Definition, image: str) -> str:
    """Return what the engine knows a stand-in by: its definition's name, and the image's tag."""
    _, tag, digest = parsed(image)
    return f"{PREFIX}/{definition.name}:{tag or digest.replace(':', '-')[:19] or 'latest'}"


def key_of(definition: Definition) -> str:
    """Return the key of a definition's image on this machine.

    Raises:
        ImageError: images cannot be built on this machine.
    """
    return _digest(_rootfs_key(definition), definition.name, definition.digest)


def _rootfs_key(definition: Definition) -> str:
    here = host()
    rules = [_FORMAT, rootfs.EPOCH, image_layers.EMPTIED, image_layers.LEFT_OUT.pattern]
    packages = sorted(definition.packages)
    return _digest(*rules, here.suite, here.architecture, here.slim, packages)


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@functools.cache
def host() -> rootfs.Host:
    """Return what this machine's packages are for, looked up once.

    Raises:
        ImageError: images cannot be built on this machine.
    """
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    return rootfs.Host.of(release, platform.machine())


def _present(client: docker.DockerClient, reference: str, key: str) -> Mapping[str, str] | None:
    """Return the labels of that image, or None unless the engine has the one with that key."""
    with _asking(f"whether it has {reference}"):
        try:
            found: Mapping[str, Any] = client.api.inspect_image(reference)  # type: ignore[no-untyped-call]  # not in the stubs
        except ImageNotFound:
            return None
    labels: Mapping[str, str] = (found.get("Config") or {}).get("Labels") or {}
    return labels if labels.get(LABEL_KEY) == key else None


def _tagged(client: docker.DockerClient, reference: str, key: str) -> Mapping[str, str] | None:
    """Give an image of that key that the engine has under another tag this one as well."""
    repository, tag, _ = parsed(reference)
    with _asking(f"to tag {reference}"):
        # Anybody's image may have that label; no recipe may name one of this repository.
        found = [
            one
            for one in client.api.images(filters={"label": f"{LABEL_KEY}={key}"})
            if any(name.startswith(f"{repository}:") for name in one["RepoTags"] or ())
        ]
        if not found:
            return None
        client.api.tag(found[0]["Id"], repository, tag=tag)
    return _present(client, reference, key)


def _make(
    client: docker.DockerClient,
    definition: Definition,
    reference: str,
    *,
    cache: Path,
    lock_timeout: float,
    say: Say,
) -> Mapping[str, str]:
    """Load the image into the engine, build it first if need be, and return its labels."""
    _require_architecture(client)
    base_key, key = _rootfs_key(definition), key_of(definition)

    def build(work: Path) -> Path:
        return rootfs.build(
            definition.packages,
            host(),
            work=work,
            lock=cache / "locks",
            lock_timeout=lock_timeout,
            say=say,
        )

    with _writing(cache):
        base = image_cache.read(cache, base_key)
        if base is None:
            base = image_cache.write(cache, base_key, build, owner=key)
    config, top = assemble(definition, base)
    layers: list[Path | bytes] = [image_cache.layer_path(cache, base_key), top]
    _load(client, image_layers.archive(config, layers, reference), reference)
    labels = _present(client, reference, key)
    if labels is None:
        raise EngineError(
            f"the image {reference} was loaded, but the engine does not list it",
            cause="another run replaced it at the same moment, or the engine removes images",
            hint="try again",
        )
    return labels


def assemble(definition: Definition, base: image_layers.RootFs) -> tuple[bytes, bytes]:
    """Return an image's config and its upper layer, over a root file system.

    Raises:
        ImageError: a package that the definition names is not in it, or a user's number is taken.
    """
    missing = [name for name in definition.packages if name not in base.packages]
    if missing:
        raise ImageError(
            f"the stand-in image '{definition.name}' lacks the package {missing[0]}",
            cause="it is a virtual package, or another one was installed in its place",
            hint=f"name the real package in {definition.folder / 'image.toml'}",
        )
    top = image_layers.overlay(definition, base)
    named = {name: base.packages[name] for name in sorted(definition.packages)}
    labels = {
        LABEL_NAME: definition.name,
        LABEL_KEY: key_of(definition),
        LABEL_PACKAGES: json.dumps(named),
    }
    config = image_layers.config(
        definition,
        architecture=host().architecture,
        diff_ids=[base.diff_id, hashlib.sha256(top).hexdigest()],
        packages=base.packages,
        labels=labels,
    )
    return config, top


def _require_architecture(client: docker.DockerClient) -> None:
    with _asking("for its architecture"):
        theirs = client.version()["Arch"]
    if theirs != host().architecture:
        raise ImageError(
            f"stand-in images of this machine do not run on the engine ({theirs})",
            cause=f"the packages of this machine are for {host().architecture}",
            hint="use an engine on this machine, or give that one a registry in reach",
        )


def _load(client: docker.DockerClient, archive: Iterator[bytes], reference: str) -> None:
    with _asking(f"to load {reference}"):
        for event in client.api.load_image(archive):  # type: ignore[no-untyped-call]  # the same
            if "error" in event:
                raise APIError(event["error"])


@contextmanager
def _asking(what: str) -> Iterator[None]:
    try:
        yield
    except (DockerException, RequestException) as error:
        said = str(getattr(error, "explanation", None) or error)
        if _NO_ROOM in said.lower():
            raise DiskFullError(
                f"the engine has no room: it was asked {what}",
                hint="docker system df; then remove what is not needed, or enlarge its disk",
                detail=said,
            ) from error
        raise EngineError(
            f"the engine failed: it was asked {what}",
            cause="it went away, or it does not take such an image",
            hint="docker version, and the engine's own log",
            detail=said,
        ) from error


@contextmanager
def _writing(cache: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskFullError(
                f"no room is left for stand-in images in {cache}",
                cause="each takes about 100 MB there, and more while it is built",
                hint="make room, or set CCCI_CACHE to a directory on a larger disk",
            ) from error
        raise ImageError(
            f"the directory for stand-in images, {image_cache.directory(cache)}, cannot be used: "
            f"{error.strerror}",
            cause="it belongs to another user, or is read-only",
            hint="set CCCI_CACHE to a directory of your own",
        ) from error
