"""What a build is told of the host, and what a failed one tells the user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.core import proc
from harness.core.errors import DiskFullError, ImageError, ProcessError
from harness.images import apt_config, rootfs

DEBIAN = {"ID": "debian", "VERSION_ID": "12", "VERSION_CODENAME": "bookworm"}
MINT = {
    "ID": "linuxmint",
    "ID_LIKE": "ubuntu debian",
    "VERSION_ID": "22",
    "VERSION_CODENAME": "noble",
}


@pytest.mark.parametrize(
    ("release", "machine", "expected"),
    [
        (DEBIAN, "x86_64", rootfs.Host(suite="bookworm", architecture="amd64", slim=True)),
        (DEBIAN, "aarch64", rootfs.Host(suite="bookworm", architecture="arm64", slim=True)),
        (
            {**DEBIAN, "VERSION_ID": "11", "VERSION_CODENAME": "bullseye"},
            "x86_64",
            rootfs.Host(suite="bullseye", architecture="amd64", slim=False),
        ),
        (
            {"ID": "ubuntu", "VERSION_ID": "24.04", "VERSION_CODENAME": "noble"},
            "x86_64",
            rootfs.Host(suite="noble", architecture="amd64", slim=True),
        ),
        (
            {"ID": "ubuntu", "VERSION_ID": "22.04", "VERSION_CODENAME": "jammy"},
            "x86_64",
            rootfs.Host(suite="jammy", architecture="amd64", slim=False),
        ),
        (MINT, "x86_64", rootfs.Host(suite="noble", architecture="amd64", slim=False)),
        (
            {"ID": "debian", "VERSION_CODENAME": "forky"},
            "x86_64",
            rootfs.Host(suite="forky", architecture="amd64", slim=False),
        ),
    ],
)
def test_the_release_decides_what_is_built(
    release: Mapping[str, str], machine: str, expected: rootfs.Host
) -> None:
    """The code name, the architecture, and whether Perl can be left out, by known releases only."""
    assert rootfs.Host.of(release, machine) == expected


@pytest.mark.parametrize(
    ("release", "machine"),
    [
        ({"ID": "fedora", "VERSION_ID": "41", "VERSION_CODENAME": "x"}, "x86_64"),
        ({"ID": "debian"}, "x86_64"),
        ({}, "x86_64"),
        (DEBIAN, "riscv64"),
    ],
)
def test_a_host_without_such_packages_is_told_so(release: Mapping[str, str], machine: str) -> None:
    """No build is tried where it cannot end well, and the way out is named."""
    with pytest.raises(ImageError, match="stand-in images cannot be built") as caught:
        rootfs.Host.of(release, machine)
    assert "registry" in caught.value.hint


def test_a_slim_build_never_meets_usrmerge() -> None:
    """The links are there before any package, and the package that would make them is barred."""
    host = rootfs.Host(suite="bookworm", architecture="amd64", slim=True)
    argv = rootfs.command(["nginx", "curl"], host, hooks=["h"], mirrors=["./0.list"])
    assert argv[0] == "mmdebstrap"
    assert "--include=nginx,curl" in argv
    hooks = [word for word in argv if word.startswith("--setup-hook=")]
    assert hooks[0] == "--setup-hook=h"
    assert "preferences.d" in hooks[1]
    assert "for d in bin sbin lib lib64;" in hooks[2]
    assert argv[-3:] == ["bookworm", "root.tar", "./0.list"]


def test_other_builds_are_left_to_the_distribution() -> None:
    """Without the package usr-is-merged, usrmerge is needed; and lib64 is of amd64 only."""
    plain = rootfs.Host(suite="bullseye", architecture="amd64")
    argv = rootfs.command(["x"], plain, hooks=[], mirrors=[])
    assert not any("setup-hook" in word for word in argv)
    arm = rootfs.Host(suite="bookworm", architecture="arm64", slim=True)
    assert "lib64" not in " ".join(rootfs.command(["x"], arm, hooks=[], mirrors=[]))


@pytest.mark.parametrize(
    ("stderr", "cause"),
    [
        ("E: Unable to locate package nginx", "no such package"),
        ("E: Package 'x' has no installation candidate", "no such package"),
        ("E: Failed to fetch a  Could not resolve 'b'", "cannot be reached"),
        ("E: cannot unshare: Operation not permitted", "may not make a root file system"),
        ("E: need working fakechroot binary", "may not make a root file system"),
        ("E: unable to pick chroot mode automatically", "may not make a root file system"),
        ("E: something else", ""),
    ],
)
def test_a_failed_build_says_why_in_our_words_and_in_its_own(stderr: str, cause: str) -> None:
    """The user reads the likely cause, what to do, and the builder's last lines."""
    what = "`unshare mmdebstrap ...` failed"  # the command line is no part of its own explanation
    error = rootfs.failure(ProcessError(what, code=1, stderr=f"I: a\r\n{stderr}\n"), ["nginx"])
    assert isinstance(error, ImageError)
    assert "nginx" in error.what
    assert cause in error.cause
    assert bool(error.cause) == bool(cause)
    assert error.hint
    assert error.detail.splitlines() == ["I: a", stderr]


@pytest.mark.parametrize(
    "stderr",
    [
        "tar: root.tar: Cannot write: No space left on device",
        "E: You don't have enough free space in /var/cache/apt/archives/.",
        "E: Failed to fetch x  Error writing to file - write (28: No space left on device)",
    ],
)
def test_a_full_disk_is_told_from_every_other_failure(stderr: str) -> None:
    """A full disk is no fault of the image, and the remedy is another one."""
    error = rootfs.failure(ProcessError("x failed", code=1, stderr=stderr), ["nginx"])
    assert isinstance(error, DiskFullError)


def test_only_the_builders_last_lines_are_shown() -> None:
    """A screenful is read; a thousand lines of unpacking are not."""
    stderr = "\n".join(f"line {number}" for number in range(100))
    error = rootfs.failure(ProcessError("x failed", code=1, stderr=stderr), ["nginx"])
    assert error.detail.splitlines()[-1] == "line 99"
    assert len(error.detail.splitlines()) == 20


class Apt:
    """A strict stand-in for running apt-get: knows two command lines, in that order."""

    def __init__(self, *, install_fails: bool = False) -> None:
        self.calls: list[list[str]] = []
        self._install_fails = install_fails

    def __call__(self, argv: Sequence[str], **options: Any) -> proc.Completed:  # noqa: ANN401  as proc.run
        """Record the call, and fail like apt-get where it was told to."""
        self.calls.append(list(argv))
        assert options["env"]["DEBIAN_FRONTEND"] == "noninteractive"
        assert options["timeout"] > 0
        fails = self._install_fails and argv[1] == "install"
        if fails and options.get("check", True):
            raise ProcessError("apt-get failed", code=100, stderr="E: no such thing")
        return proc.Completed(argv=tuple(argv), code=0, stdout="", stderr="")


def test_the_builder_is_installed_aloud() -> None:
    """Nothing is put on a user's machine without a word, and nothing more than is needed."""
    apt, heard = Apt(), list[str]()
    rootfs.install_builder({"PATH": "/bin"}, say=heard.append, run=apt)
    assert [call[:2] for call in apt.calls] == [["apt-get", "update"], ["apt-get", "install"]]
    assert apt.calls[1][-1] == "mmdebstrap"
    assert "--no-install-recommends" in apt.calls[1]
    assert len(heard) == 1
    assert "mmdebstrap" in heard[0]


def test_a_builder_that_cannot_be_installed_is_an_error_of_the_test_bed() -> None:
    """The user reads apt's own words and the command to try."""
    with pytest.raises(ImageError) as caught:
        rootfs.install_builder({"PATH": "/bin"}, say=print, run=Apt(install_fails=True))
    assert caught.value.detail == "E: no such thing"
    assert "apt-get install mmdebstrap" in caught.value.hint


LIST = """\
# a comment
deb cdrom:[Debian 12]/ bookworm main
deb [arch=amd64 signed-by=/k.gpg] http://a.example/debian bookworm main contrib
deb-src http://a.example/debian bookworm main
deb http://a.example/debian bookworm-updates main  # recent
deb http://other.example/tool nodistro main
"""
SOURCES = """\
# ours
Types: deb deb-src
URIs: http://a.example/debian
Suites:
 bookworm
 bookworm-updates
Components: main
# Suites: nodistro
Signed-By:
 -----BEGIN-----
 .
 -----END-----

Types: deb
URIs: http://off.example/
Suites: bookworm
Enabled: no

Types: deb-src
URIs: http://src.example/
Suites: bookworm
"""


def test_only_binary_packages_of_the_release_are_asked_for() -> None:
    """Other projects' sources, source packages and CDs make a build slow, or fail it."""
    found = apt_config.for_suite({Path("a.list"): LIST, Path("b.sources"): SOURCES}, "bookworm")
    assert [line for line in found[Path("a.list")].splitlines() if line] == [
        "deb [arch=amd64 signed-by=/k.gpg] http://a.example/debian bookworm main contrib",
        "deb http://a.example/debian bookworm-updates main  # recent",
    ]
    assert found[Path("b.sources")].splitlines() == [
        "Types: deb",
        "URIs: http://a.example/debian",
        "Suites:",
        " bookworm",
        " bookworm-updates",
        "Components: main",
        "Signed-By:",
        " -----BEGIN-----",
        " .",
        " -----END-----",
        "",
    ]


@pytest.mark.parametrize("suite", ["bookworm", "trixie"])
def test_a_file_that_serves_nothing_of_the_release_is_left_out(suite: str) -> None:
    """What other files serve decides: one mention of the release is enough to leave others out."""
    texts = {Path("a.list"): f"deb http://a/ {suite} main\n", Path("b.list"): "deb http://b/ x y\n"}
    assert list(apt_config.for_suite(texts, suite)) == [Path("a.list")]


def test_a_release_by_another_name_is_asked_for_whole() -> None:
    """`stable` may well be this release: nothing is guessed, all of it is used."""
    text = "deb http://a/ stable main\ndeb-src http://a/ stable main\n"
    found = apt_config.for_suite({Path("a.list"): text, Path("empty.list"): "# no\n"}, "bookworm")
    assert {path: text.split() for path, text in found.items()} == {
        Path("a.list"): ["deb", "http://a/", "stable", "main"]
    }


def test_the_hosts_own_way_to_its_mirrors_is_handed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proxies, passwords and preferences reach the build by files that only their owner reads."""
    etc, work = tmp_path / "apt etc", tmp_path / "work"
    work.mkdir()
    for name, text in {
        "sources.list": "deb http://a.example/ bookworm main\n",
        "auth.conf.d/a b": "machine a.example password s\n",
        "preferences": "Package: x\n",
    }.items():
        (etc / name).parent.mkdir(parents=True, exist_ok=True)
        (etc / name).write_text(text)
    said = {
        "shell": f"sourcelist='{etc}/sources.list'\nnetrcparts='{etc}/auth.conf.d/'\n"
        f"preferences='{etc}/preferences'\n",
        "dump": 'APT "";\nAcquire::http::Proxy "http://p.example";\nAcquire::Languages "none";\n',
    }

    def run(argv: Sequence[str], **_options: object) -> proc.Completed:
        return proc.Completed(argv=tuple(argv), code=0, stdout=said[argv[1]], stderr="")

    monkeypatch.setattr(proc, "run", run)
    mirrors, hooks = apt_config.hand_over(work, "bookworm", environment={})
    assert mirrors == ["./000.list"]
    assert (work / "000.list").read_text().split() == [
        "deb",
        "http://a.example/",
        "bookworm",
        "main",
    ]
    assert (work / "apt.conf").read_text() == 'Acquire::http::Proxy "http://p.example";\n'
    assert {path.stat().st_mode & 0o777 for path in work.iterdir()} == {0o600}
    assert hooks[1:] == [
        "upload apt.conf /etc/apt/apt.conf.d/50host",
        f"upload '{etc}/auth.conf.d/a b' /etc/apt/auth.conf.d/'a b'",
        f"upload '{etc}/preferences' /etc/apt/preferences",
    ]


def test_an_apt_without_sources_is_said_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a source the builder would fall back to one of its own, which nobody chose."""

    def run(argv: Sequence[str], **_options: object) -> proc.Completed:
        return proc.Completed(argv=tuple(argv), code=0, stdout="", stderr="")

    monkeypatch.setattr(proc, "run", run)
    with pytest.raises(ImageError, match="no package source"):
        apt_config.hand_over(tmp_path, "bookworm", environment={})
