"""An engine by apt, with a strict fake of apt-get."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.core import proc
from harness.core.errors import EngineError, ProcessError
from harness.engine import install


class FakeApt:
    """Runs apt-get, strictly: what it is asked for becomes a program, or it fails."""

    def __init__(self, brings: Mapping[str, set[str]], *, fails: str = "") -> None:
        self.brings = brings
        self.fails = fails
        self.asked: list[list[str]] = []
        self.programs: set[str] = set()

    def run(self, argv: list[str], *, timeout: float, env: Mapping[str, str]) -> proc.Completed:
        """Take one command."""
        assert timeout > 0
        assert env["DEBIAN_FRONTEND"] == "noninteractive"
        assert "/usr/sbin" in env["PATH"].split(":")
        self.asked.append(argv)
        if argv[1] == self.fails:
            raise ProcessError("`apt-get` failed", code=100, stderr="W: one\nE: no route")
        if argv[1] == "install":
            for package in argv[6:]:
                self.programs |= self.brings[package]
        return proc.Completed(argv=tuple(argv), code=0, stdout="", stderr="")

    def find(self, name: str) -> str | None:
        """Return where a program lies."""
        return f"/bin/{name}" if name in self.programs else None

    def install(self, tmp_path: Path, *, apparmor: str = "N") -> list[str]:
        """Install, and return what was said."""
        said: list[str] = []
        switch = tmp_path / "enabled"
        switch.write_text(f"{apparmor}\n")
        install.install(
            environment={"PATH": "/bin"},
            say=said.append,
            run=self.run,
            find=self.find,
            apparmor=switch,
        )
        return said


APT = ["apt-get", "install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"]


def test_the_engine_is_installed_by_apt_and_said_aloud_first(tmp_path: Path) -> None:
    apt = FakeApt({"docker.io": {"dockerd", "docker", "iptables"}})
    said = apt.install(tmp_path, apparmor="N")
    assert apt.asked == [["apt-get", "update"], [*APT, "docker.io"]]
    assert said == ["no Docker engine here: installing the package docker.io with apt-get"]


def test_what_the_package_does_not_bring_is_installed_too(tmp_path: Path) -> None:
    """The command line, iptables, and AppArmor's parser where the kernel has it switched on."""
    names = ["docker-cli", "iptables", "apparmor"]
    apt = FakeApt({"docker.io": {"dockerd"}, **{name: {name} for name in names}})
    said = apt.install(tmp_path, apparmor="Y")
    assert apt.asked[2:] == [[*APT, *names]]
    assert said[1:] == [f"installing what docker.io did not bring along: {', '.join(names)}"]


def test_a_failed_update_does_not_stop_the_installation(tmp_path: Path) -> None:
    apt = FakeApt({"docker.io": {"dockerd", "docker", "iptables"}}, fails="update")
    said = apt.install(tmp_path)
    assert apt.programs
    assert said[1] == "apt-get update failed (E: no route); trying with the package lists at hand"


def test_a_failed_installation_is_an_engine_error_with_apts_words(tmp_path: Path) -> None:
    apt = FakeApt({}, fails="install")
    with pytest.raises(EngineError, match=r"could not install docker\.io") as caught:
        apt.install(tmp_path)
    assert "E: no route" in caught.value.detail


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ID=debian\n", "debian"),
        ('ID="ubuntu"\nID_LIKE=debian\n', "ubuntu"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', "ubuntu"),
        ("ID=fedora\n", ""),
        ("ID=notdebian\n", ""),
        ("", ""),
    ],
)
def test_the_distribution_is_read_from_os_release(tmp_path: Path, text: str, name: str) -> None:
    (tmp_path / "os-release").write_text(text)
    assert install.distribution(tmp_path / "os-release") == name
    assert install.distribution(tmp_path / "none") == ""


def test_programs_are_found_in_the_systems_own_folders() -> None:
    """`su` leaves a PATH without /usr/sbin, where dockerd and iptables lie."""
    assert install.search_path({"PATH": "/mine"}).split(":")[0] == "/mine"
    assert "/usr/sbin" in install.search_path({}).split(":")
