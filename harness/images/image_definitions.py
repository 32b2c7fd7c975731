"""What a stand-in image is made of: one folder each below `images/`, read into a `Definition`.

A folder holds `image.toml`, and `files/`, a tree that is laid over the root of the file system.
Everything that decides what the image becomes is in that folder, so that its bytes are its key.
"""

from __future__ import annotations

import functools
import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from harness.core import image_names
from harness.core.errors import ImageError

FOLDER = Path(__file__).with_name("stand_ins")
# In a merged /usr these are links: a directory of that name in a layer would hide the real one.
_LINKED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "var/run", "var/lock")


class User(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A user and the group of the same name, as the image that is stood in for has them."""

    name: str
    uid: int
    gid: int
    home: str = "/nonexistent"
    shell: str = "/usr/sbin/nologin"


class Directory(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A directory with its owner. `mode` is an octal number in quotes, as in "0755"."""

    path: str
    uid: int = 0
    gid: int = 0
    mode: Annotated[str, Meta(pattern="^[0-7]+$")] = "0755"


class Healthcheck(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The image's own health check; times are in seconds."""

    test: tuple[str, ...]
    interval: int = 30
    timeout: int = 30
    retries: int = 3


class Definition(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One stand-in image.

    Attributes:
        name: the folder's name.
        folder: the folder.
        note: what it is, for reports; `{version:PACKAGE}` is the upstream version of a package.
        packages: the distribution's packages in it, beside the essential ones.
        repositories: the repositories it stands in for, without registry, `library/` or tag.
        env: variables; `{version:PACKAGE}` is replaced in them as well.
        entrypoint, cmd, user, workdir, exposed, volumes, stop_signal: as in an image's config.
        healthcheck: the image's own health check, or None.
        users: who is in /etc/passwd, in place of anyone of that name.
        directories: directories that no package brings, or whose owner differs.
        links: symbolic links, path to target.
        removed: paths of the packages that the image does not have.
        files: the content of `files/`, path to bytes. A file that starts with `#!` is executable,
            so that no checkout, archive or wheel can lose that.
        digest: SHA-256 over all of the folder, in hexadecimal.
    """

    name: str
    folder: Path
    note: str
    packages: tuple[str, ...]
    repositories: tuple[str, ...] = ()
    env: Mapping[str, str] = {}
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    user: str = ""
    workdir: str = ""
    exposed: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    stop_signal: str = ""
    healthcheck: Healthcheck | None = None
    users: tuple[User, ...] = ()
    directories: tuple[Directory, ...] = ()
    links: Mapping[str, str] = {}
    removed: tuple[str, ...] = ()
    files: Mapping[str, bytes] = {}
    digest: str = ""

    @classmethod
    def read(cls, folder: Path) -> Definition:
        """Return the definition in a folder.

        Raises:
            ImageError: `image.toml` is missing, is not TOML, or says something unknown or wrong.
        """
        source = folder / "image.toml"
        try:
            raw = source.read_bytes()
            files = _files(folder / "files")
            digest = _digest({"image.toml": raw, **{f"files/{k}": v for k, v in files.items()}})
            own = {"name": folder.name, "folder": folder, "files": files, "digest": digest}
            found = msgspec.convert({**tomllib.loads(raw.decode()), **own}, cls)
            _check_paths(found)
        except (OSError, ValueError) as error:
            raise ImageError(
                f"the definition of the stand-in image '{folder.name}' cannot be used: {error}",
                cause="a key of image.toml is missing, unknown, or not of the kind it should be",
                hint=f"correct {source}",
            ) from error
        return found


def _check_paths(definition: Definition) -> None:
    directories = [directory.path for directory in definition.directories]
    for path in (*directories, *definition.links, *definition.removed):
        if not path.startswith("/") or path != "/" + inside(path):
            raise ValueError(f"{path!r} is not an absolute path in its shortest form")


def inside(path: str) -> str:
    """Return a path of the image as a layer names it: relative to the root, with no dots in it.

    Raises:
        ValueError: it leads upwards, or through one of the links of a merged /usr.
    """
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if not parts or ".." in parts:
        raise ValueError(f"{path!r} is no path in an image")
    short = "/".join(parts)
    for linked in _LINKED:
        if short == linked or short.startswith(f"{linked}/"):
            raise ValueError(f"{path!r} leads through the link /{linked}; name its target")
    return short


def _files(folder: Path) -> dict[str, bytes]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found[inside(path.relative_to(folder).as_posix())] = path.read_bytes()
    return found


def _digest(content: Mapping[str, bytes]) -> str:
    # Each part goes in by its own digest, so that no two different trees can run together.
    total = hashlib.sha256()
    for name, data in content.items():
        total.update(hashlib.sha256(name.encode()).digest() + hashlib.sha256(data).digest())
    return total.hexdigest()


def read_all(folder: Path = FOLDER) -> dict[str, Definition]:
    """Return every definition below a folder, by name.

    Raises:
        ImageError: one of them cannot be used.
    """
    return {
        path.parent.name: Definition.read(path.parent)
        for path in sorted(folder.glob("*/image.toml"))
    }


@functools.cache
def shipped() -> Mapping[str, Definition]:
    """Return the definitions that come with the harness, read once."""
    return read_all()


def find(image: str) -> str | None:
    """Return the name of the definition that stands in for an image, or None."""
    repository = image_names.parsed(image).repository
    for prefix in ("index.docker.io/", "docker.io/", "library/"):
        repository = repository.removeprefix(prefix)
    for definition in shipped().values():
        if repository in definition.repositories:
            return definition.name
    return None
