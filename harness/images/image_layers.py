"""Layers, image configs and the archive that an engine loads, made byte for byte by ourselves.

An image's id is a digest over its config, which holds the digests of its layers. Nothing in here
depends on a clock, a file's date or an order that may change, so the same definition with the same
packages is the same image on every machine.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from harness.core.errors import ImageError
from harness.images.image_definitions import Definition, User, inside
from harness.images.rootfs import EPOCH

# Directories that stay, without what is in them: the builder's tools, the host's names, and texts.
EMPTIED = (
    *("dev", "proc", "run", "sys", "tmp", "etc/apt", "var/cache/apt", "var/lib/apt"),
    *("usr/share/bash-completion", "usr/share/doc-base", "usr/share/info", "usr/share/lintian"),
    *("usr/share/locale", "usr/share/man"),
)
LEFT_OUT = re.compile(
    r"etc/(hostname|resolv\.conf|\.pwd\.lock)|var/lib/dpkg/(.*-old|lock.*)"
    r"|var/cache/debconf/.*-old|var/log/.*[^/]"
)
CREATED = "2024-01-01T00:00:00Z"
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_VERSION = re.compile(r"\{version:([^}]*)\}")
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RootFs:
    """What has to be known of a root file system's layer to lay another one over it.

    Attributes:
        diff_id: SHA-256 over the layer's tar file, in hexadecimal.
        size: the length of that file in bytes.
        packages: the installed packages and their versions.
        passwd, group: the text of those two files.
        directories: each directory's owner, group and mode.
    """

    diff_id: str
    size: int
    packages: Mapping[str, str]
    passwd: str
    group: str
    directories: Mapping[str, tuple[int, int, int]]

    def to_json(self) -> str:
        """Return the record as JSON text."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> RootFs:
        """Return the record from JSON text.

        Raises:
            ValueError: it is not the JSON text of such a record.
        """
        try:
            values = json.loads(text)
            values["directories"] = {k: tuple(v) for k, v in values["directories"].items()}
            return cls(**values)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"not a record of a root file system: {error}") from error


def trim(source: Path, target: Path) -> RootFs:
    """Write the layer of a root file system that was just built, and return what to know of it.

    Raises:
        ImageError: the tar file is broken, or is no root file system.
        OSError: the layer cannot be written.
    """
    directories: dict[str, tuple[int, int, int]] = {}
    texts = {"var/lib/dpkg/status": "", "etc/passwd": "", "etc/group": ""}
    try:
        with tarfile.open(source) as old, tarfile.open(target, "w") as new:
            for member in old:
                name = member.name.removeprefix("./").strip("/")
                if not _stays(name, member):
                    continue
                if member.isdir():
                    directories[name] = (member.uid, member.gid, member.mode)
                data = old.extractfile(member) if member.isreg() else None
                if data is not None and name in texts:
                    content = data.read()
                    texts[name] = content.decode()
                    data = io.BytesIO(content)
                new.addfile(_clean(member, name), data)
    except tarfile.TarError as error:
        raise ImageError(f"the builder's root file system cannot be read: {error}") from error
    with target.open("rb") as stream:
        diff_id = hashlib.file_digest(stream, "sha256").hexdigest()
    if not all(texts.values()):
        raise ImageError("what the builder made is no root file system: it lacks " + _first(texts))
    return RootFs(
        diff_id=diff_id,
        size=target.stat().st_size,
        packages=installed(texts["var/lib/dpkg/status"]),
        passwd=texts["etc/passwd"],
        group=texts["etc/group"],
        directories=directories,
    )


def _first(texts: Mapping[str, str]) -> str:
    return next(f"/{name}" for name, text in texts.items() if not text)


def _stays(name: str, member: tarfile.TarInfo) -> bool:
    if name in {"", "."}:
        return False
    if any(name.startswith(f"{directory}/") for directory in EMPTIED):
        return False
    if name.startswith("usr/share/doc/") and not member.isdir():
        # Licences stay. A link there points to the copyright of another package.
        return name.endswith("/copyright") or member.issym()
    return member.isdir() or not LEFT_OUT.fullmatch(name)


def _clean(member: tarfile.TarInfo, name: str) -> tarfile.TarInfo:
    member.name = name
    if member.islnk():
        member.linkname = member.linkname.removeprefix("./")
    member.uname = member.gname = ""
    return member


def installed(status: str) -> dict[str, str]:
    """Return the packages that dpkg's status file calls installed, with their versions."""
    found = {}
    for stanza in status.split("\n\n"):
        pairs = (line.split(": ", 1) for line in stanza.splitlines() if ": " in line)
        values = {pair[0]: pair[1] for pair in pairs}
        if values.get("Status") == "install ok installed":
            found[values["Package"]] = values["Version"]
    return dict(sorted(found.items()))


def overlay(definition: Definition, rootfs: RootFs) -> bytes:
    """Return the layer, as a tar file, that makes the root file system the image.

    Raises:
        ImageError: a user or group id that it declares is somebody else's.
    """
    entries = _entries(definition, rootfs)
    for name in list(entries):
        for parent in PurePosixPath(name).parents:
            short = str(parent)
            if short != "." and short not in entries:
                # An engine would make the parents anew, and their modes would hide the real ones.
                uid, gid, mode = rootfs.directories.get(short, (0, 0, 0o755))
                entries[short] = (_directory(short, uid=uid, gid=gid, mode=mode), b"")
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as layer:
        for _, (info, data) in sorted(entries.items()):
            layer.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def _entries(definition: Definition, rootfs: RootFs) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    entries = {}
    for directory in definition.directories:
        name = inside(directory.path)
        mode = int(directory.mode, 8)
        info = _directory(name, uid=directory.uid, gid=directory.gid, mode=mode)
        entries[name] = (info, b"")
    files = {**_accounts(definition, rootfs), **definition.files}
    for name, data in files.items():
        info = _entry(name, tarfile.REGTYPE, mode=0o755 if data.startswith(b"#!") else 0o644)
        info.size = len(data)
        entries[name] = (info, data)
    for path, target in definition.links.items():
        info = _entry(inside(path), tarfile.SYMTYPE, mode=0o777)
        info.linkname = target
        entries[info.name] = (info, b"")
    for path in definition.removed:
        whole = PurePosixPath(inside(path))
        info = _entry(str(whole.with_name(f".wh.{whole.name}")), tarfile.REGTYPE, mode=0o644)
        entries[info.name] = (info, b"")
    return entries


def _entry(name: str, kind: bytes, *, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime = kind, mode, EPOCH
    return info


def _directory(name: str, *, uid: int, gid: int, mode: int) -> tarfile.TarInfo:
    info = _entry(name, tarfile.DIRTYPE, mode=mode)
    info.uid, info.gid = uid, gid
    return info


def _accounts(definition: Definition, rootfs: RootFs) -> dict[str, bytes]:
    if not definition.users:
        return {}
    passwd, group = rootfs.passwd, rootfs.group
    for user in definition.users:
        home = f"{user.name}:*:{user.uid}:{user.gid}::{user.home}:{user.shell}"
        passwd = _with_line(passwd, home, definition=definition, user=user)
        line = f"{user.name}:*:{user.gid}:"
        group = _with_line(group, line, definition=definition, user=user)
    return {"etc/passwd": passwd.encode(), "etc/group": group.encode()}


def _with_line(text: str, line: str, *, definition: Definition, user: User) -> str:
    name, _, number = line.split(":")[:3]
    others = [row for row in text.splitlines() if row.split(":")[0] != name]
    taken = [row.split(":")[0] for row in others if row.split(":")[2:3] == [number]]
    if taken:
        raise ImageError(
            f"the stand-in image '{definition.name}' cannot have the user '{user.name}'",
            cause=f"its number {number} is that of '{taken[0]}' in this release's packages",
            hint=f"choose another number in {definition.folder / 'image.toml'}",
        )
    return "\n".join([*others, line, ""])


def with_versions(text: str, packages: Mapping[str, str]) -> str:
    """Return the text with each `{version:PACKAGE}` replaced by that upstream version.

    Raises:
        ImageError: such a package is not installed.
    """

    def upstream(match: re.Match[str]) -> str:
        version = packages.get(match[1])
        if version is None:
            raise ImageError(
                f"'{match[0]}' in an image's definition names a package that is not in the image",
                hint="name one of its `packages`",
            )
        return version.partition(":")[2] or version  # without the epoch

    return _VERSION.sub(lambda match: re.sub(r"-[^-]*$", "", upstream(match)), text)


def config(
    definition: Definition,
    *,
    architecture: str,
    diff_ids: Sequence[str],
    packages: Mapping[str, str],
    labels: Mapping[str, str],
) -> bytes:
    """Return the image's config as the engine reads it; its SHA-256 is the image's id.

    Args:
        definition: what the image is.
        architecture: in Docker's words, such as `amd64`.
        diff_ids: the SHA-256 of each layer's tar file, from the lowest up.
        packages: the installed packages and their versions.
        labels: the image's labels.
    """
    env = [f"{k}={with_versions(v, packages)}" for k, v in definition.env.items()]
    settings = {
        "Env": [_PATH, *env],
        "Entrypoint": list(definition.entrypoint),
        "Cmd": list(definition.cmd),
        "User": definition.user,
        "WorkingDir": definition.workdir,
        "ExposedPorts": {port: {} for port in definition.exposed},
        "Volumes": {volume: {} for volume in definition.volumes},
        "StopSignal": definition.stop_signal,
        "Labels": dict(labels),
        **_healthcheck(definition),
    }
    whole = {
        "architecture": architecture,
        "os": "linux",
        "created": CREATED,
        "config": {key: value for key, value in settings.items() if value},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff_id}" for diff_id in diff_ids]},
        "history": [{"created": CREATED, "created_by": "cc-ci"} for _ in diff_ids],
    }
    return json.dumps(whole, sort_keys=True, separators=(",", ":")).encode()


def _healthcheck(definition: Definition) -> dict[str, Any]:
    check = definition.healthcheck
    if check is None:
        return {}
    second = 1_000_000_000  # the config counts in nanoseconds
    return {
        "Healthcheck": {
            "Test": list(check.test),
            "Interval": check.interval * second,
            "Timeout": check.timeout * second,
            "Retries": check.retries,
        }
    }


def archive(image_config: bytes, layers: Sequence[Path | bytes], tag: str) -> Iterator[bytes]:
    """Yield the archive that `docker load` reads, piece by piece: no second copy on any disk.

    Args:
        image_config: the image's config.
        layers: the layers' tar files from the lowest up, as files or as bytes.
        tag: the reference that the engine is to know the image by.
    """
    name = f"{hashlib.sha256(image_config).hexdigest()}.json"
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    manifest = json.dumps([{"Config": name, "RepoTags": [tag], "Layers": names}]).encode()
    for path, content in [(name, image_config), *zip(names, layers, strict=True)]:
        yield from _member(path, content)
    yield from _member("manifest.json", manifest)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _member(name: str, content: Path | bytes) -> Iterator[bytes]:
    info = _entry(name, tarfile.REGTYPE, mode=0o644)
    info.size = len(content) if isinstance(content, bytes) else content.stat().st_size
    yield info.tobuf(tarfile.USTAR_FORMAT)
    with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk
    yield bytes(-info.size % tarfile.BLOCKSIZE)
