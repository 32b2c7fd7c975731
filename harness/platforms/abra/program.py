"""The program abra on this machine: which one, of which version, and calls of it.

abra is called on a pseudo-terminal of its own and with an `ABRA_DIR` of the caller's own, since two
calls in one directory change each other's checkouts. What it can answer badly has one message each:
it is missing, of a wrong version, crashes, asks a question, or hangs. The authors have never met
the program: docs/abra.md says what is known from where.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core import proc
from harness.core.errors import AbraError, ProcessError, ProcessNotStartedError
from harness.core.waiting import stretched

OLDEST, TOO_NEW = (0, 9, 0), (1, 0, 0)  # this one and later, but none from that one on
RANGE = "0.9.0 or later, before 1.0.0"
VERSION_SECONDS = 20.0
VERSION = re.compile(r"\b(\d+)\.(\d+)\.(\d+)(?:[-+][\w.+-]*)?")
PANIC = re.compile(r"^panic: |^goroutine \d+ \[|^fatal error: .*", re.MULTILINE)
QUESTION = re.compile(r"(\?|\[[yY]/[nN]\]|\([yY](es)?/[nN]o?\)|\w:)\s*(\u203a|>|\u276f)?\s*$")
# What steers abra or the Docker client; the rest of a user's environment is not its business.
HANDED_DOWN = ("PATH", "HOME", "SSH_AUTH_SOCK", "TMPDIR", "XDG_CACHE_HOME")
# Its help and its tables are translated, and the harness reads them in English.
LOCALE = {"LANG": "C", "LC_ALL": "C"}
MARK = "version.txt"  # beside a program that `abra install` has built: what was asked for
INSTALL = "nox -s abra-install"


@dataclass(frozen=True, slots=True, kw_only=True)
class Abra:
    """An abra that is there and of a version that is supported. `version` is as it says it."""

    path: Path
    version: str

    def __str__(self) -> str:
        """Return what a report calls it."""
        return f"abra {self.version}"

    def run(
        self,
        *words: str,
        directory: Path,
        environ: Mapping[str, str],
        timeout: float,
        secrets: Sequence[str] = (),
    ) -> proc.Completed:
        """Call abra and return what it said; its exit code is for the caller to judge.

        Args:
            words: the words after the program's name.
            directory: its `ABRA_DIR`.
            environ: the environment to take from: a few names, and those of the Docker client.
            timeout: seconds that it may take.
            secrets: values that are masked in what it said.

        Raises:
            AbraError: it could not be started, crashed, asked a question, or hung.
        """
        return _call(
            [str(self.path), *words],
            environ={**_environment(environ), "ABRA_DIR": str(directory)},
            timeout=timeout,
            secrets=secrets,
        )


def installed_in(cache: Path) -> Path:
    """Return the directory that `abra install` builds the program in."""
    return cache / "abra"


def find(environ: Mapping[str, str], cache: Path) -> Path | None:
    """Return where abra is: the first on PATH, else the one that was installed into the cache."""
    on_path = shutil.which("abra", path=environ.get("PATH", ""))
    if on_path:
        return Path(on_path)
    own = installed_in(cache) / "abra"
    return own if own.is_file() else None


def detect(environ: Mapping[str, str], cache: Path, *, timeout: float = VERSION_SECONDS) -> Abra:
    """Return the abra of this machine, after it has said its version.

    Raises:
        AbraError: it is missing, of an unknown or unsupported version, or did not answer.
    """
    path = find(environ, cache)
    if path is None:
        raise AbraError(
            "there is no abra on this machine",
            cause="it is neither on PATH nor in the cache of this project",
            hint=f"{INSTALL}, or put it on PATH; --platform swarm needs none",
        )
    return inspect(path, environ, timeout=timeout)


def inspect(path: Path, environ: Mapping[str, str], *, timeout: float = VERSION_SECONDS) -> Abra:
    """Return the abra at that path, after it has said its version.

    Raises:
        AbraError: it is of an unknown or unsupported version, or did not answer.
    """
    said = _call(
        [str(path), "--version"], environ=_environment(environ), timeout=stretched(timeout)
    )
    if said.code != 0:
        raise AbraError(
            f"`{path} --version` ended with code {said.code}", cause="it is no abra, or a broken "
            "one", hint=f"`{path} --version` shows it; {INSTALL} builds one", detail=said.stdout,
        )  # fmt: skip
    return Abra(path=path, version=_supported(path, said.stdout))


def _supported(path: Path, said: str) -> str:
    """Return the version that a program says, or that it was built from.

    Raises:
        AbraError: it says none, or one that is not supported.
    """
    found = VERSION.search(said)
    if found is None:
        mark = path.with_name(MARK)
        if mark.is_file():  # a plain `go install` leaves the version out of the program
            return mark.read_text().strip()
        raise AbraError(
            f"{path} does not say which version it is",
            cause="it is another program of that name, or was built without a version",
            hint=f"supported is {RANGE}; {INSTALL} builds a fixed one",
            detail=said,
        )
    version = (int(found[1]), int(found[2]), int(found[3]))
    if not OLDEST <= version < TOO_NEW:
        age = "old" if version < OLDEST else "new"
        raise AbraError(
            f"abra {found[0]} is too {age}: supported is {RANGE}",
            cause=f"{path} takes other options or prints another output than what is known",
            hint=f"put one of a supported version before it on PATH; {INSTALL} builds one",
        )
    return found[0]


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    kept = {key: environ[key] for key in HANDED_DOWN if key in environ}
    docker = {key: value for key, value in environ.items() if key.startswith("DOCKER_")}
    return {**kept, **docker, **LOCALE, "TERM": "dumb", "NO_COLOR": "1"}


def _call(
    argv: Sequence[str],
    *,
    environ: Mapping[str, str],
    timeout: float,
    secrets: Sequence[str] = (),
) -> proc.Completed:
    shown = proc.scrub(" ".join(["abra", *argv[1:]]), secrets)
    try:
        done = proc.run_on_terminal(argv, timeout=timeout, env=environ, secrets=secrets)
    except ProcessError as error:
        raise _did_not_end(shown, error, timeout) from error
    if PANIC.search(done.stdout):
        raise AbraError(
            f"`{shown}` crashed",
            cause="a fault of abra: the lines below are its own",
            hint="type it by hand with `--debug`, and report it to abra's maintainers",
            detail=done.stdout[-4000:],
        )
    return done


def _did_not_end(shown: str, error: ProcessError, timeout: float) -> AbraError:
    last = (error.stderr.strip().splitlines() or [""])[-1].strip()
    if isinstance(error, ProcessNotStartedError):
        return AbraError(
            error.what,
            cause="the file is no program for this machine, or may not be executed",
            hint=f"{INSTALL} builds one that can be",
        )
    if QUESTION.search(last):
        return AbraError(
            f"`{shown}` asks a question, and nobody is there to answer: {last}",
            cause="this version asks for something that others take from the command line",
            hint="type it by hand to see what it wants to know; supported is " + RANGE,
            detail=error.stderr,
        )
    return AbraError(
        f"`{shown}` did not end in {timeout:g} s and was stopped",
        cause="it waits for a network or a server that does not answer",
        hint="type it by hand with `--debug` to see where it stands",
        detail=error.stderr,
    )
