"""The git program, called the same way everywhere: the only module that starts it.

It takes nothing from the user's or the machine's git configuration and runs no hook, no submodule
and no filter, so the same source gives the same checkout everywhere. What git needs to reach a
remote still comes from the environment: proxies, certificates, ssh keys, `~/.netrc`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.core import proc
from harness.core.errors import (
    InvalidRecipeError,
    PrintedTooMuchError,
    ProcessError,
    SourceError,
    TestBedError,
)
from harness.core.waiting import stretched
from harness.recipes.git_access import environment
from harness.recipes.git_words import refuse_full_disk

LOCAL_SECONDS = 60.0  # for calls that touch this disk only
LARGEST_FILE = 512 << 20  # bytes of a file that git may write, such as the pack of a clone
MOST_MEMORY = 2 << 30  # bytes of address space, as a server may send refs without end
MOST_LISTED = 16 << 20  # bytes that git may print, such as the list of all refs
# ulimit counts blocks of 512 bytes and KiB; a limit that is lower already stays. Without the signal
# git says itself that a file is too large.
_LIMITED = 'trap "" XFSZ; ulimit -f {} 2>/dev/null; ulimit -v {} 2>/dev/null; exec git "$@"'
NOT_FOUND = 127  # what a shell says of a program that is not there

_CONFIG = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.autocrlf=false",
    "submodule.recurse=false",
    "core.bigFileThreshold=32m",  # a larger file is never in memory as a whole
    "core.packedGitWindowSize=32m",  # of a pack, so much is mapped at once, and in all
    "core.packedGitLimit=256m",
    "pack.threads=4",  # each takes address space
    "gc.auto=0",
    "maintenance.auto=false",
    "advice.detachedHead=false",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Git:
    """How git is called.

    Attributes:
        env: its whole environment.
        timeout: seconds for each call.
        secrets: what its output must not show.
        options: words before its command, such as those that let it ask for a login.
        trust: options of `clone` and `fetch` that let it read a path of another user's.
    """

    env: Mapping[str, str]
    timeout: float
    secrets: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    trust: tuple[str, ...] = ()

    def run(
        self, *arguments: str, cwd: Path | None = None, stdin: bytes | None = None,
        binary: bool = False, most: int | None = None,
    ) -> proc.Completed:  # fmt: skip
        """Run git to its end, whatever its exit code; see `proc.run` for the rest.

        Raises:
            InvalidRecipeError: it printed more than it may.
            SourceError: it did not end in time.
            TestBedError: there is no git.
        """
        settings = [word for setting in _CONFIG for word in ("-c", setting)]
        most = MOST_LISTED if most is None else most
        limited = _LIMITED.format(LARGEST_FILE // 512, MOST_MEMORY // 1024)
        try:
            done = proc.run(
                ["sh", "-c", limited, "git", *settings, *self.options, *arguments],
                timeout=self.timeout, cwd=cwd, env=self.env, stdin=stdin, check=False,
                secrets=self.secrets, binary=binary, most=most,
            )  # fmt: skip
        except PrintedTooMuchError as error:
            raise InvalidRecipeError(
                f"the recipe's repository is too large: `git {arguments[0]}` printed more than "
                f"{most} bytes, the limit of it",
                cause="it has too many files, refs or objects for a recipe",
                hint="keep what is no part of the recipe elsewhere",
            ) from error
        except ProcessError as error:
            self._require_git()
            raise SourceError(
                f"`git {arguments[0]}` did not end within {self.timeout:g} s",
                cause="the network or the host it talks to is too slow, or waits for an answer",
                hint="try that git command by hand",
                detail=error.stderr,
            ) from error
        if done.code == NOT_FOUND:
            self._require_git()
        return done

    def _require_git(self) -> None:
        if shutil.which("git", path=self.env.get("PATH")) is None:
            raise TestBedError("git is not installed here", hint="install it: apt-get install git")

    def local(self, *arguments: str, cwd: Path) -> str:
        """Run a git command that fails only when something is wrong with this machine."""
        done = self.run(*arguments, cwd=cwd)
        if done.code != 0:
            refuse_full_disk(done.stderr)
            raise TestBedError(f"`git {' '.join(arguments)}` failed in {cwd}", detail=done.stderr)
        return done.stdout


def import_history(destination: Path, stream: bytes, *, branch: str) -> None:
    """Make a bare repository of a `git fast-import` stream.

    Args:
        destination: where to; made.
        stream: the whole history, commits and tags.
        branch: what its HEAD names.

    Raises:
        TestBedError: there is no git here, or it failed.
        DiskFullError: there is no room for it.
    """
    git = Git(env=environment(os.environ), timeout=stretched(LOCAL_SECONDS))
    made = git.run(
        "init", "--quiet", "--bare", "--template=", f"--initial-branch={branch}", str(destination)
    )
    if made.code == 0:
        made = git.run("fast-import", "--quiet", cwd=destination, stdin=stream)
    if made.code != 0:
        refuse_full_disk(made.stderr)
        raise TestBedError(f"git could not build {destination}", detail=made.stderr)
