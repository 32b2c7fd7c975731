"""A tool container made of a directory: its commands run on this machine, below that directory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.backups.put_back import LOG, SCRIPT
from harness.core import proc
from harness.core.errors import ExecFailedError
from harness.exec.exec import ExecResult

PLACES = ("/volumes", "/store")
MADE = ("volumes", "store/repository", "store/extracted")


def nothing(_argv: Sequence[str]) -> str:
    """Say nothing, as restic."""
    return ""


@dataclass
class FakeVault:
    """Stands in for an `ExecTarget`; hand `target` to the code under test.

    Args:
        root: where the container's directories lie.
        restic: is given restic's arguments and returns what it prints.
        broken: what is raised instead of running anything, once it is there.
    """

    root: Path
    restic: Callable[[Sequence[str]], str] = nothing
    broken: Exception | None = None
    said: str = ""  # on restic's standard error
    code: int = 0  # that restic ends with
    put_back: tuple[int, str] = (0, "")  # the code of the script that does it, and its log
    handed: list[Sequence[str]] = field(default_factory=list)  # what that script was to put back
    name: str = "vault"
    repeatable: list[bool] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the directories that every tool container has."""
        for place in MADE:
            (self.root / place).mkdir(parents=True, exist_ok=True)

    @property
    def target(self) -> Any:  # noqa: ANN401  stands in for an exec target
        """This vault, as the code under test knows it."""
        return self

    def volume(self, name: str) -> Path:
        """Return a volume's directory, which is made if need be."""
        path = self.root / "volumes" / name
        path.mkdir(exist_ok=True)
        return path

    def exec(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        check: bool = True,
        stdin: bytes | None = None,
        repeatable: bool = False,
    ) -> ExecResult:
        """Run a command; restic only says what it was told to say."""
        self.repeatable.append(repeatable)
        if self.broken:
            raise self.broken
        if argv[0] == "restic":
            done = proc.Completed(
                argv=tuple(argv), code=self.code, stdout=self.restic(argv), stderr=self.said
            )
        elif argv[:2] == ["bash", "-s"]:
            assert stdin == SCRIPT.read_bytes()
            self.handed.append(argv[3:])
            code, said = self.put_back[0], "rsync: no room\nmore"
            done = proc.Completed(argv=tuple(argv), code=code, stdout="", stderr=said)
        elif argv[:2] == ["cat", LOG]:
            done = proc.Completed(argv=tuple(argv), code=0, stdout=self.put_back[1], stderr="")
        else:
            here = [f"{self.root}{word}" if word.startswith(PLACES) else word for word in argv]
            done = proc.run(here, timeout=timeout, stdin=stdin, check=False)
        if check and done.code:
            raise ExecFailedError(f"it ended with code {done.code}", detail=done.stderr)
        out = done.stdout.replace(str(self.root), "")
        return ExecResult(
            argv=tuple(argv), stdout=out.encode(), stderr=done.stderr.encode(), code=done.code,
            container="vault1",
        )  # fmt: skip
