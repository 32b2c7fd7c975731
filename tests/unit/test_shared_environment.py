"""The shared environment: made once, renewed when it has to be, and never used half-made."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness import locks, proc, shared_environment
from harness.errors import ProcessError


@dataclass
class EnvironmentBench:
    """A project, and the programs that would be run for it."""

    project: Path
    argvs: list[list[str]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    failing: str = ""

    @property
    def environment(self) -> Path:
        """Where the environment lies."""
        return self.project / ".nox" / "env"

    def run(self, argv: Sequence[str], *, timeout: float) -> None:
        """Stand in for `proc.run`: make what the program would make, or fail."""
        assert timeout >= 60
        self.argvs.append(list(argv))
        program = argv[2]
        if program == "virtualenv":
            assert "--clear" in argv
            shutil.rmtree(self.environment, ignore_errors=True)
            (self.environment / "bin").mkdir(parents=True)
        if program == self.failing:
            raise ProcessError("it failed", code=1)

    def python(self) -> str:
        """Ask for the interpreter."""
        return shared_environment.python(self.project, say=self.said.append)

    def programs(self) -> list[str]:
        """Return which programs ran, and forget them."""
        ran = [argv[2] for argv in self.argvs]
        self.argvs.clear()
        return ran


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EnvironmentBench:
    """A project that has no environment yet."""
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    made = EnvironmentBench(tmp_path)
    monkeypatch.setattr(proc, "run", made.run)
    return made


def test_it_is_made_on_first_use_and_then_used(bench: EnvironmentBench) -> None:
    """Virtualenv, then pip with the development extras; said once, and free afterwards."""
    interpreter = f"{bench.environment}/bin/python"
    assert bench.python() == interpreter
    assert bench.argvs == [
        [sys.executable, "-m", "virtualenv", "--quiet", "--clear", str(bench.environment)],
        [
            interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
            "--editable", f"{bench.project}[dev]",
        ],
    ]  # fmt: skip
    assert len(bench.said) == 1
    bench.argvs.clear()
    assert bench.python() == interpreter
    assert (bench.argvs, len(bench.said)) == ([], 1)


def test_one_that_is_made_is_waited_for_by_nobody(
    bench: EnvironmentBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sessions beside each other do not queue for a look at a stamp."""
    bench.python()
    monkeypatch.setattr(shared_environment, "INSTALL_SECONDS", 0)
    with locks.hold(bench.project / ".nox", "env", purpose="p", timeout=0, say=print):
        bench.python()


def test_it_is_renewed_when_what_it_is_made_from_changes(
    bench: EnvironmentBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another dependency, or another Python: an old environment would run with the wrong one."""
    bench.python()
    bench.programs()
    (bench.project / "pyproject.toml").write_text("[project]\nname = 'x'\n")
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
    changed, text = bench.project / "pyproject.toml", "[project]\nname = 'x'\n"
    for step in range(2):
        changed.write_text(text if step else "[project]\n")
        bench.failing = failing
        with pytest.raises(ProcessError):
            bench.python()
        bench.programs()
        bench.failing = ""
        bench.python()
        assert bench.programs() == ["virtualenv", "pip"]
    bench.failing = "pip"
    changed.write_text("[project]\nname = 'y'\n")
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
    (moved / "pyproject.toml").write_text("[project]\n")
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
    assert len(bench.said) == 1
