"""The files of a directory as a recipe's: put into git's objects, and read from there alone."""

from collections.abc import Sequence
from pathlib import Path

from harness.core import proc
from harness.recipes.files import Files
from harness.recipes.git import Git

ENV = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}


def committed(directory: Path) -> Files:
    """Return what is in a directory at this moment."""
    git = Git(env=ENV, timeout=20)
    if not (directory / ".git").exists():
        git.run("init", "--quiet", "--template=", str(directory))
    for words in (("add", "--all", "--force"), ("write-tree",)):
        done = git.run(*words, cwd=directory)
        assert done.code == 0, done.stderr

    def objects(arguments: Sequence[str], stdin: bytes) -> bytes:
        said: proc.Completed = git.run(*arguments, cwd=directory, stdin=stdin)
        assert said.code == 0, said.stderr
        return said.raw

    return Files(commit=done.stdout.strip(), objects=objects)
