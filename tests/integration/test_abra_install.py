"""`abra install` by a real Go, from a module proxy of our own that serves a program of our own."""

import os
import shutil
import zipfile
from pathlib import Path

import pytest

from harness.core import proc
from harness.core.errors import AbraError
from harness.platforms.abra.install import install

pytestmark = pytest.mark.timeout(600)  # Go compiles its standard library first

REVISION, VERSION = "1a2b3c4", "v0.0.0-20260102030405-1a2b3c4d5e6f"
MODULE = "coopcloud.tech/abra"
PROGRAM = """package main

func main() { println("abra version 0.10.0-made") }
"""
REPLACES = "\nreplace example.invalid/other => example.invalid/another v1.0.0\n"


@pytest.fixture(name="environ")
def environ_fixture(tmp_path: Path) -> dict[str, str]:
    """An environment in which Go knows no proxy but ours, and keeps all it has below a directory.

    Skipped where there is no Go.
    """
    if shutil.which("go") is None:
        pytest.skip("there is no Go on this machine")
    built = proc.run(["go", "env", "GOCACHE"], timeout=60).stdout.strip()
    return {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "GOPROXY": (tmp_path / "proxy").as_uri(),
        "GOSUMDB": "off", "GOTOOLCHAIN": "local", "GOPATH": str(tmp_path / "go"),
        "GOFLAGS": "-modcacherw",
        "GOCACHE": built,
    }  # fmt: skip


def serve(proxy: Path, more: str = "") -> None:
    """Lay the module out as Go's proxies do."""
    mod = f"module {MODULE}\n\ngo 1.19\n{more}"
    place = proxy / MODULE / "@v"
    place.mkdir(parents=True)
    info = f'{{"Version": "{VERSION}", "Time": "2026-01-02T03:04:05Z"}}'
    for name in (REVISION, VERSION):
        (place / f"{name}.info").write_text(info)
    (place / "list").touch()  # abra's own tags are no versions to Go, so there are none
    (place.parent / "@latest").write_text(info)
    (place / f"{VERSION}.mod").write_text(mod)
    with zipfile.ZipFile(place / f"{VERSION}.zip", "w") as archive:
        archive.writestr(f"{MODULE}@{VERSION}/go.mod", mod)
        archive.writestr(f"{MODULE}@{VERSION}/cmd/abra/main.go", PROGRAM)


@pytest.mark.parametrize("more", ["", REPLACES], ids=["by-name", "that-replaces-others"])
def test_a_revision_is_built_into_the_cache(
    tmp_path: Path, environ: dict[str, str], more: str
) -> None:
    """By its name, or where Go refuses that, by a module that requires it."""
    serve(tmp_path / "proxy", more)
    found = install(REVISION, cache=tmp_path / "cache", environ=environ, say=print)
    assert (found.path, found.version) == (tmp_path / "cache/abra/abra", "0.10.0-made")


def test_a_proxy_that_does_not_have_it_is_named_as_the_cause(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    """In Go's real words, which the message has below it."""
    (tmp_path / "proxy").mkdir()
    with pytest.raises(AbraError, match="abra 1a2b3c4 cannot be built") as caught:
        install(REVISION, cache=tmp_path / "cache", environ=environ, say=print)
    assert caught.value.hint
    assert caught.value.detail
    print(caught.value)  # noqa: T201  to be read with -s
