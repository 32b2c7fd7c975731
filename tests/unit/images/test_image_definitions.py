"""Definitions of stand-in images: which image has which, what may be in one, what its key is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from harness.core.errors import ImageError
from harness.images import image_layers, images, rootfs
from harness.images.image_definitions import Definition, inside, shipped

HOST = rootfs.Host(suite="bookworm", architecture="amd64", slim=True)


@pytest.fixture(autouse=True)
def _this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "host", lambda: HOST)


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("nginx", "nginx"),
        ("nginx:1.27.0", "nginx"),
        ("library/nginx:1.27.0", "nginx"),
        ("docker.io/library/nginx", "nginx"),
        ("docker.io/nginx:stable-alpine", "nginx"),
        ("nginx@sha256:abc", "nginx"),
        ("docker.io/library/nginx:1.27@sha256:abc", "nginx"),
        ("tomsquest/docker-radicale:3.1.9.1", "radicale"),
        ("docker.io/tomsquest/docker-radicale", "radicale"),
        ("registry.example:5000/nginx:1", None),
        ("quay.example/library/nginx", None),
        ("somebody/nginx", None),
        ("nginxx", None),
        ("toolbox", None),
        ("localhost/cc-ci/nginx:1", None),
        ("", None),
    ],
)
def test_a_stand_in_is_found_by_the_repository_alone(image: str, name: str | None) -> None:
    """However a recipe writes it, the same image has the same stand-in, and no other has it."""
    assert images.find(image) == name


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        ("nginx:1.27.0", "localhost/cc-ci/nginx:1.27.0"),
        ("docker.io/library/nginx", "localhost/cc-ci/nginx:latest"),
        ("nginx:1.27@sha256:0123456789abcdef", "localhost/cc-ci/nginx:1.27"),
        ("nginx@sha256:0123456789abcdef", "localhost/cc-ci/nginx:sha256-0123456789ab"),
    ],
)
def test_the_reference_keeps_the_tag_and_shadows_nothing(image: str, reference: str) -> None:
    """The name is one that no registry can be asked for."""
    assert images.reference_of(shipped()["nginx"], image) == reference


@pytest.mark.parametrize("name", ["nginx", "radicale", "toolbox"])
def test_the_shipped_definitions_can_be_assembled(name: str) -> None:
    """A note or variable that names a version names a package of that definition."""
    definition = shipped()[name]
    versions = dict.fromkeys(definition.packages, "1:2.3-4")
    base = image_layers.RootFs(
        diff_id="a" * 64, size=1, packages=versions, passwd="", group="", directories={}
    )
    images.assemble(definition, base)
    assert "2.3" in image_layers.with_versions(definition.note, versions)


def test_no_two_definitions_stand_in_for_the_same_image() -> None:
    """Which one is taken must not depend on the order of folders."""
    repositories = [r for definition in shipped().values() for r in definition.repositories]
    assert len(repositories) == len(set(repositories))


def defined(folder: Path, text: str, files: dict[str, str] | None = None) -> Definition:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "image.toml").write_text(text)
    for name, content in (files or {}).items():
        path = folder / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return Definition.read(folder)


GOOD = 'note = "x"\npackages = ["a"]\n'


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("packages = [", "image 'it' cannot be used"),
        ('packages = ["a"]', "note"),
        (GOOD + 'entry_point = ["x"]', "unknown field `entry_point`"),
        (GOOD + 'cmd = "sleep 1"', "Expected `array`, got `str` - at `$.cmd`"),
        (GOOD + "exposed = [80]", "got `int` - at `$.exposed[0]`"),
        (GOOD + "user = 101", "Expected `str`, got `int` - at `$.user`"),
        (GOOD + "[env]\nA = 1", "got `int` - at `$.env[...]`"),
        (GOOD + '[[users]]\nname = "u"', "uid"),
        (GOOD + '[[users]]\nname = "u"\nuid = 1\ngid = 1\nshel = "x"', "unknown field `shel`"),
        (GOOD + '[[directories]]\npath = "/d"\nmode = "rwx"', "`$.directories[0].mode`"),
        (GOOD + '[[directories]]\npath = "d"', "not an absolute path"),
        (GOOD + 'removed = ["/etc/../x"]', "no path in an image"),
        (GOOD + '[links]\n"/bin/x" = "y"', "leads through the link /bin"),
        (GOOD + '[links]\n"/var/run/x" = "y"', "leads through the link /var/run"),
    ],
)
def test_a_definition_that_is_wrong_says_where(tmp_path: Path, text: str, cause: str) -> None:
    """The name of the definition, the file, and the key that is wrong are in the message."""
    with pytest.raises(ImageError) as caught:
        defined(tmp_path / "it", text)
    assert cause in caught.value.what
    assert str(tmp_path / "it" / "image.toml") in caught.value.hint


def test_a_file_cannot_hide_a_directory_of_the_merged_usr(tmp_path: Path) -> None:
    """A directory /bin in a layer would take the place of the link, and every program be gone."""
    with pytest.raises(ImageError, match="leads through the link /bin"):
        defined(tmp_path / "it", GOOD, {"bin/tool": "x"})
    assert inside("/binary/x") == "binary/x"


def test_the_digest_is_of_the_content(tmp_path: Path) -> None:
    """A checkout with other dates or modes has the same key; a changed or moved byte has not."""
    one = defined(tmp_path / "1" / "it", GOOD, {"a": "x", "b": ""})
    same = defined(tmp_path / "2" / "it", GOOD, {"b": "", "a": "x"})
    (same.folder / "files" / "a").chmod(0o777)
    assert Definition.read(same.folder).digest == one.digest
    digests = {
        defined(tmp_path / str(number) / "it", text, files).digest
        for number, (text, files) in enumerate(
            [
                (GOOD, {"a": "y", "b": ""}),
                (GOOD, {"a": "", "b": "x"}),
                (GOOD, {"ax": "", "b": ""}),
                (GOOD + "# c\n", {"a": "x", "b": ""}),
            ],
            start=3,
        )
    }
    assert len(digests - {one.digest}) == 4


def test_the_key_depends_on_all_that_decides_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another release, architecture, definition or name is another image."""
    nginx = shipped()["nginx"]
    keys = {
        images.key_of(d)
        for d in (nginx, structs.replace(nginx, digest="x"), structs.replace(nginx, name="x"))
    }
    for other in (replace(HOST, suite="trixie"), replace(HOST, architecture="arm64")):
        monkeypatch.setattr(images, "host", lambda other=other: other)
        keys.add(images.key_of(nginx))
    assert len(keys) == 5
