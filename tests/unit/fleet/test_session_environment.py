"""The environments of the sessions: made once, renewed when needed, never used half-made."""

import re
import shutil
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from harness.core import proc
from harness.core.errors import ProcessError
from harness.fleet import environment
from harness.fleet.environment import Purpose
from harness.locks import file_lock as locks

PYPROJECT = """\
[project]
dependencies = ["a>=1"]
[project.optional-dependencies]
dev = ["b>=2"]
"""


@dataclass
class EnvironmentBench:
    """A project, and the programs that would be run for it."""

    project: Path
    argvs: list[list[str]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    failing: str = ""
    purpose: Purpose = Purpose.RUN

    @property
    def environment(self) -> Path:
        """Where the environment lies."""
        return self.project / ".nox" / self.purpose

    @property
    def packages(self) -> Path:
        """Where its packages lie."""
        return self.environment / "lib" / "python3.11" / "site-packages"

    def run(self, argv: Sequence[str], *, timeout: float, cwd: Path) -> None:
        """Stand in for `proc.run`: make what the program would make, or fail."""
        assert timeout >= 60
        assert cwd == self.project, "Python would import modules from another directory"
        self.argvs.append(list(argv))
        program = argv[2]
        if program == "virtualenv":
            assert "--clear" in argv
            shutil.rmtree(self.environment, ignore_errors=True)
            (self.environment / "bin").mkdir(parents=True)
            self.packages.mkdir(parents=True)
        if program == self.failing:
            raise ProcessError("it failed", code=1)

    def python(self) -> str:
        """Ask for the interpreter."""
        return environment.python(self.project, self.purpose, say=self.said.append)

    def programs(self) -> list[str]:
        """Return which programs ran, and forget them."""
        ran = [argv[2] for argv in self.argvs]
        self.argvs.clear()
        return ran


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EnvironmentBench:
    """A project that has no environment yet."""
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    (tmp_path / "locks").mkdir()
    for name in ("run", "dev"):
        (tmp_path / "locks" / f"{name}.txt").write_text(f"{name}==1\n")
    made = EnvironmentBench(tmp_path)
    monkeypatch.setattr(proc, "run", made.run)
    return made


def test_it_is_made_on_first_use_and_then_used(bench: EnvironmentBench) -> None:
    """Virtualenv, then pip with the versions and hashes of the lock file; later calls are free."""
    interpreter = f"{bench.environment}/bin/python"
    assert bench.python() == interpreter
    assert bench.argvs == [
        [sys.executable, "-m", "virtualenv", "--quiet", "--clear", str(bench.environment)],
        [
            interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
            "--require-hashes", "--requirement", f"{bench.project}/locks/run.txt",
        ],
    ]  # fmt: skip
    assert (bench.packages / "cc-ci.pth").read_text() == f"{bench.project}\n"
    assert len(bench.said) == 2
    bench.argvs.clear()
    assert bench.python() == interpreter
    assert (bench.argvs, len(bench.said)) == ([], 2)


def test_each_purpose_has_an_environment_of_its_own(bench: EnvironmentBench) -> None:
    """A first run of a recipe installs no linter; the newest versions come without a lock file."""
    bench.python()
    bench.programs()
    bench.purpose = Purpose.DEV
    bench.python()
    assert bench.argvs[-1][-1] == f"{bench.project}/locks/dev.txt"
    bench.purpose = Purpose.NEWEST
    bench.python()
    assert bench.argvs[-1][-2:] == ["a>=1", "b>=2"]
    bench.argvs.clear()
    for bench.purpose in Purpose:
        bench.python()
    assert bench.argvs == []


def test_what_is_installed_is_named_with_its_version(bench: EnvironmentBench) -> None:
    """For the log of a CI."""
    bench.python()
    for name in ("rich-15.0.0", "types_docker-7.2.0", "a-1"):
        (bench.packages / f"{name}.dist-info").mkdir()
    found = environment.installed(bench.project, bench.purpose)
    assert found == ("a 1", "rich 15.0.0", "types_docker 7.2.0")


def test_one_that_is_made_is_waited_for_by_nobody(
    bench: EnvironmentBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sessions beside each other do not queue for a look at a stamp."""
    bench.python()
    monkeypatch.setattr(environment, "INSTALL_SECONDS", 0)
    with locks.hold(bench.project / ".nox", "run", purpose="p", timeout=0, say=print):
        bench.python()


def test_it_is_renewed_when_what_it_is_made_from_changes(
    bench: EnvironmentBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another dependency, or another Python: an old environment would run with the wrong one."""
    bench.python()
    bench.programs()
    (bench.project / "locks" / "run.txt").write_text("run==2\n")
    bench.python()
    assert bench.programs() == ["virtualenv", "pip"]
    monkeypatch.setattr(sys, "version", "another one")
    bench.python()
    assert bench.programs() == ["virtualenv", "pip"]
    bench.python()
    assert bench.programs() == []


@pytest.mark.parametrize("failing", ["virtualenv", "pip"])
def test_a_half_made_one_never_counts(bench: EnvironmentBench, failing: str) -> None:
    """The next session makes it anew, also when it is a renewal that broke off."""
    changed, text = bench.project / "locks" / "run.txt", "run==2\n"
    for step in range(2):
        changed.write_text(text if step else "run==1\n")
        bench.failing = failing
        with pytest.raises(ProcessError):
            bench.python()
        bench.programs()
        bench.failing = ""
        bench.python()
        assert bench.programs() == ["virtualenv", "pip"]
    bench.failing = "pip"
    changed.write_text("run==3\n")
    with pytest.raises(ProcessError):
        bench.python()
    changed.write_text(text)
    bench.failing = ""
    bench.programs()
    bench.python()
    assert bench.programs() == ["virtualenv", "pip"], "the stamp of before is gone"


def test_an_environment_that_was_moved_is_made_anew(
    bench: EnvironmentBench, tmp_path: Path
) -> None:
    """Its scripts hold the path that it was made at."""
    bench.python()
    bench.programs()
    moved = tmp_path / "moved"
    moved.mkdir()
    shutil.copytree(bench.project / ".nox", moved / ".nox")
    shutil.copytree(bench.project / "locks", moved / "locks")
    bench.project = moved
    bench.python()
    assert bench.programs() == ["virtualenv", "pip"]


def test_whoever_waited_for_another_session_uses_what_it_made(
    bench: EnvironmentBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several sessions begin at once; one makes it, the others wait and look again."""
    hold = locks.hold

    @contextmanager
    def after_another(*words: Any, **options: Any) -> Iterator[None]:  # noqa: ANN401  as `hold`
        monkeypatch.setattr(locks, "hold", hold)
        bench.python()
        bench.programs()
        with hold(*words, **options):
            yield

    monkeypatch.setattr(locks, "hold", after_another)
    bench.python()
    assert bench.programs() == []
    assert len(bench.said) == 2


ROOT = Path(__file__).resolve().parents[3]
LOCKS = sorted((ROOT / "locks").glob("*.txt"))


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_a_lock_file_pins_and_hashes_everything_and_names_no_registry(path: Path) -> None:
    """A registry's name would tie every clone to one network."""
    text = re.sub(r"#.*", "", path.read_text())
    pinned = re.split(r"\n(?=\S)", text.strip())
    assert len(pinned) > 10
    for requirement in pinned:
        assert re.match(r"[\w.-]+==\S+", requirement), requirement
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", requirement), requirement
    assert "://" not in path.read_text()
    assert not re.search(r"(?m)^\s*--?(i|index|extra|find|trusted)\b", text)


@pytest.mark.parametrize("purpose", [Purpose.RUN, Purpose.DEV])
def test_a_lock_file_has_what_pyproject_asks_for(purpose: Purpose) -> None:
    """If not, renew it: nox -s lock."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = content["optional-dependencies"]["dev"] if purpose is Purpose.DEV else []
    lock = environment.lock_file(ROOT, purpose).read_text()
    pinned = dict(re.findall(r"(?m)^([\w.-]+)==([^ ;\\]+)", lock))
    for text in [*content["dependencies"], *extra]:
        asked = Requirement(text)
        version = pinned.get(canonicalize_name(asked.name))
        assert version, f"{asked.name} is not in locks/{purpose}.txt"
        assert asked.specifier.contains(version), f"{text}: {version} is locked"


def test_both_lock_files_have_the_same_versions() -> None:
    """What is tested is what recipes are tested with."""
    run, dev = (
        set(re.findall(r"(?m)^[\w.-]+==\S+", environment.lock_file(ROOT, purpose).read_text()))
        for purpose in (Purpose.RUN, Purpose.DEV)
    )
    assert run <= dev
