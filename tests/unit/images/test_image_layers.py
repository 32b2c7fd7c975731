"""Layers, configs and archives: the same bytes for the same content, and nothing of the machine."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace

from harness.core.errors import ImageError
from harness.images import image_layers
from harness.images.image_definitions import Definition, Directory, Healthcheck, User

STATUS = """\
Package: nginx
Status: install ok installed
Version: 1:1.22.1-9+deb12u1
Description: small
 Package: not one

Package: gone
Status: deinstall ok config-files
Version: 1
"""
ACCOUNTS = "root:*:0:0:root:/root:/bin/bash\nradicale:*:104:105::/var/lib/radicale:/bin/false\n"
GROUP = "root:*:0:\nusers:*:100:\nradicale:*:105:\n"
ROOT = {
    "./": "dir",
    "./usr/": "dir",
    "./usr/bin/": "dir",
    "./usr/bin/sh": "#!/bin/true\n",
    "./etc/passwd": ACCOUNTS,
    "./etc/group": GROUP,
    "./var/lib/dpkg/status": STATUS,
}
BASE = image_layers.RootFs(
    diff_id="a" * 64,
    size=1,
    packages={"nginx": "1:1.22.1-9+deb12u1"},
    passwd=ACCOUNTS,
    group=GROUP,
    directories={"etc": (0, 0, 0o755), "root": (0, 0, 0o700), "var": (0, 8, 0o2775)},
)
PLAIN = Definition(name="plain", folder=Path("plain"), note="", packages=("nginx",))


def packed(path: Path, entries: Mapping[str, str]) -> Path:
    """Write a tar file: a name that ends with a slash is a directory, `->` a link."""
    with tarfile.open(path, "w") as archive:
        for name, text in entries.items():
            info = tarfile.TarInfo(name)
            info.uname = "somebody"
            if name.endswith("/"):
                info.type, info.mode = tarfile.DIRTYPE, 0o750
            elif text.startswith("->"):
                info.type, info.linkname = tarfile.SYMTYPE, text[2:]
            elif text.startswith("=>"):
                info.type, info.linkname = tarfile.LNKTYPE, text[2:]
            else:
                info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    return path


def unpacked(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name: member for member in archive}


def text_in(data: bytes, name: str) -> str:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        stream = archive.extractfile(name)
        assert stream is not None
        return stream.read().decode()


def trimmed(tmp_path: Path, more: Mapping[str, str]) -> dict[str, tarfile.TarInfo]:
    source = packed(tmp_path / "root.tar", {**ROOT, **more})
    image_layers.trim(source, tmp_path / "layer.tar")
    return unpacked((tmp_path / "layer.tar").read_bytes())


@pytest.mark.parametrize(
    "name",
    [
        "./etc/apt/sources.list.d/0000host.sources",
        "./etc/apt/apt.conf.d/50host",
        "./etc/apt/auth.conf",
        "./etc/hostname",
        "./etc/resolv.conf",
        "./var/lib/apt/lists/mirror_Packages",
        "./var/cache/apt/pkgcache.bin",
        "./var/log/dpkg.log",
        "./var/lib/dpkg/status-old",
        "./var/cache/debconf/templates.dat-old",
        "./dev/null",
        "./run/lock/x",
        "./tmp/x",
        "./usr/share/man/man1/sh.1.gz",
        "./usr/share/doc/nginx/changelog.gz",
    ],
)
def test_the_machine_and_the_manuals_stay_out(tmp_path: Path, name: str) -> None:
    """An image holds no mirror, no password, no host name, no log and no manual."""
    assert name.removeprefix("./") not in trimmed(tmp_path, {name: "secret"})


@pytest.mark.parametrize(
    "name",
    [
        "./etc/hosts.allow",
        "./etc/nginx/nginx.conf",
        "./var/lib/dpkg/info/nginx.list",
        "./usr/share/doc/nginx/copyright",
        "./usr/share/nginx/html/index.html",
        "./usr/lib/devices",
    ],
)
def test_everything_else_stays_in(tmp_path: Path, name: str) -> None:
    """Licences stay with the programs, and a name that only looks alike is no reason to go."""
    assert name.removeprefix("./") in trimmed(tmp_path, {name: "text"})


def test_the_emptied_directories_stay_in_themselves(tmp_path: Path) -> None:
    """Programs rely on /tmp and /run being there, with their modes, and on log directories."""
    found = trimmed(tmp_path, {"./tmp/": "", "./run/": "", "./var/log/nginx/": ""})
    assert {"tmp", "run", "var/log/nginx"} <= set(found)
    assert found["tmp"].mode == 0o750


def test_links_point_to_where_their_targets_now_are(tmp_path: Path) -> None:
    """A hard link names its target as the layer does; a symbolic one is left alone."""
    more = {"./usr/bin/dash": "=>./usr/bin/sh", "./bin": "->usr/bin"}
    found = trimmed(tmp_path, {**more, "./usr/share/doc/libx/": "", "./usr/share/doc/liby": "->x"})
    assert found["usr/bin/dash"].linkname == "usr/bin/sh"
    assert found["bin"].linkname == "usr/bin"
    assert found["usr/share/doc/liby"].issym()
    assert {member.uname for member in found.values()} == {""}


def test_the_record_describes_the_layer(tmp_path: Path) -> None:
    """What a later run relies on without opening the layer is what is in it."""
    target = tmp_path / "layer.tar"
    record = image_layers.trim(packed(tmp_path / "root.tar", ROOT), target)
    assert record.diff_id == hashlib.sha256(target.read_bytes()).hexdigest()
    assert record.size == target.stat().st_size
    assert record.packages == {"nginx": "1:1.22.1-9+deb12u1"}
    assert (record.passwd, record.group) == (ACCOUNTS, GROUP)
    assert record.directories == {"usr": (0, 0, 0o750), "usr/bin": (0, 0, 0o750)}
    assert image_layers.RootFs.from_json(record.to_json()) == record


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"directories": 3}', '{"size": 1}'])
def test_a_broken_record_is_a_value_error(text: str) -> None:
    """Whatever half-written thing lies there, it is told from a record by one error."""
    with pytest.raises(ValueError, match=r"."):
        image_layers.RootFs.from_json(text)


def test_what_is_no_root_file_system_is_refused(tmp_path: Path) -> None:
    """A builder that made something else must not become an image."""
    source = packed(tmp_path / "root.tar", {**ROOT, "./var/lib/dpkg/status": ""})
    with pytest.raises(ImageError, match="lacks /var/lib/dpkg/status"):
        image_layers.trim(source, tmp_path / "layer.tar")
    source.write_bytes(b"cut off")
    with pytest.raises(ImageError, match="cannot be read"):
        image_layers.trim(source, tmp_path / "layer.tar")


def test_an_overlay_declares_modes_owners_links_and_removals() -> None:
    """A script is executable because it is one; directories and links are as declared."""
    definition = replace(
        PLAIN,
        files={"start.sh": b"#!/bin/sh\n", "etc/conf": b"x\n"},
        directories=(Directory(path="/data", uid=2999, gid=2998, mode="0750"),),
        links={"/var/log/x.log": "/dev/stdout"},
        removed=("/etc/old",),
    )
    found = unpacked(image_layers.overlay(definition, BASE))
    assert (found["start.sh"].mode, found["etc/conf"].mode) == (0o755, 0o644)
    data = found["data"]
    assert (data.isdir(), data.uid, data.gid, data.mode) == (True, 2999, 2998, 0o750)
    assert found["var/log/x.log"].linkname == "/dev/stdout"
    assert found["etc/.wh.old"].size == 0
    assert {member.mtime for member in found.values()} == {1704067200}


def test_an_overlay_repeats_the_parents_as_they_are() -> None:
    """A layer's directory replaces the lower one's owner and mode, so it must be the same."""
    definition = replace(PLAIN, files={"root/a/x": b"", "var/y": b""})
    found = unpacked(image_layers.overlay(definition, BASE))
    assert list(found) == ["root", "root/a", "root/a/x", "var", "var/y"]
    assert found["root"].mode == 0o700
    assert found["root/a"].mode == 0o755
    assert (found["var"].gid, found["var"].mode) == (8, 0o2775)


def test_an_overlay_is_the_same_whatever_the_order() -> None:
    """The order in which a directory lists its files is nobody's choice."""
    one = replace(PLAIN, files={"a/x": b"1", "b": b"2"}, links={"/c": "d", "/e": "f"})
    two = replace(PLAIN, files={"b": b"2", "a/x": b"1"}, links={"/e": "f", "/c": "d"})
    assert image_layers.overlay(one, BASE) == image_layers.overlay(two, BASE)


def test_a_declared_user_takes_the_place_of_the_packages_one() -> None:
    """Volumes hold numbers, so the number of the image that is stood in for counts."""
    user = User(name="radicale", uid=2999, gid=2998)
    layer = image_layers.overlay(replace(PLAIN, users=(user,)), BASE)
    passwd, group = text_in(layer, "etc/passwd"), text_in(layer, "etc/group")
    assert "radicale:*:2999:2998::/nonexistent:/usr/sbin/nologin\n" in passwd
    assert "radicale:*:2998:\n" in group
    assert "104" not in passwd
    assert passwd.startswith("root:*:0:0:")


@pytest.mark.parametrize("user", [User(name="x", uid=104, gid=500), User(name="x", uid=9, gid=100)])
def test_a_number_that_is_taken_is_refused(user: User) -> None:
    """Two names for one number would give an app somebody else's files."""
    with pytest.raises(ImageError, match="cannot have the user 'x'") as caught:
        image_layers.overlay(replace(PLAIN, users=(user,)), BASE)
    assert "is that of" in caught.value.cause


@pytest.mark.parametrize(
    ("version", "expected"),
    [("1:1.22.1-9+deb12u1", "1.22.1"), ("3.1.8-2", "3.1.8"), ("20230311", "20230311"),
     ("1.2-rc1-4", "1.2-rc1")],
)  # fmt: skip
def test_the_upstream_version_is_what_a_note_shows(version: str, expected: str) -> None:
    """The distribution's epoch and revision are not the program's."""
    assert image_layers.with_versions("x {version:p} y", {"p": version}) == f"x {expected} y"


def test_a_version_of_nothing_is_refused() -> None:
    """A report never shows a placeholder."""
    with pytest.raises(ImageError, match="a package that is not in the image"):
        image_layers.with_versions("{version:other}", {"p": "1"})


def config_of(definition: Definition) -> dict[str, object]:
    raw = image_layers.config(
        definition,
        architecture="arm64",
        diff_ids=["a", "b"],
        packages=BASE.packages,
        labels={"l": "1"},
    )
    found: dict[str, object] = json.loads(raw)
    return found


def test_a_config_says_what_the_definition_says() -> None:
    """The engine's own words: ports and volumes as keys, times in nanoseconds."""
    definition = replace(
        PLAIN,
        env={"V": "{version:nginx}"},
        entrypoint=("/e",),
        cmd=("c", "d"),
        user="u",
        workdir="/w",
        exposed=("80/tcp",),
        volumes=("/data",),
        stop_signal="SIGQUIT",
        healthcheck=Healthcheck(test=("CMD", "true"), interval=2, timeout=3, retries=4),
    )
    found = config_of(definition)
    assert found["architecture"] == "arm64"
    assert found["rootfs"] == {"type": "layers", "diff_ids": ["sha256:a", "sha256:b"]}
    assert isinstance(found["history"], list)
    assert len(found["history"]) == 2
    assert found["config"] == {
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "V=1.22.1"],
        "Entrypoint": ["/e"],
        "Cmd": ["c", "d"],
        "User": "u",
        "WorkingDir": "/w",
        "ExposedPorts": {"80/tcp": {}},
        "Volumes": {"/data": {}},
        "StopSignal": "SIGQUIT",
        "Labels": {"l": "1"},
        "Healthcheck": {
            "Test": ["CMD", "true"],
            "Interval": 2_000_000_000,
            "Timeout": 3_000_000_000,
            "Retries": 4,
        },
    }


def test_what_is_not_declared_is_not_in_the_config() -> None:
    """An empty entrypoint and no entrypoint are two things to an engine."""
    settings = config_of(PLAIN)["config"]
    assert isinstance(settings, dict)
    assert set(settings) == {"Env", "Labels"}


def test_an_archive_holds_the_config_by_its_digest_and_the_layers_in_order(tmp_path: Path) -> None:
    """The archive is a plain tar file whose parts are complete, whatever their sizes."""
    layer = tmp_path / "layer.tar"
    layer.write_bytes(b"z" * 3_000_001)
    parts = image_layers.archive(b'{"a":1}', [layer, b"upper"], "localhost/x:1")
    data = b"".join(parts)
    name = hashlib.sha256(b'{"a":1}').hexdigest() + ".json"
    assert set(unpacked(data)) == {name, "0/layer.tar", "1/layer.tar", "manifest.json"}
    assert json.loads(text_in(data, "manifest.json")) == [
        {"Config": name, "RepoTags": ["localhost/x:1"], "Layers": ["0/layer.tar", "1/layer.tar"]}
    ]
    assert text_in(data, name) == '{"a":1}'
    assert text_in(data, "0/layer.tar") == "z" * 3_000_001
    assert text_in(data, "1/layer.tar") == "upper"
