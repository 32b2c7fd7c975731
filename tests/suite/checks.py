"""`python -m tests.suite.checks lint|types`: what is checked without running any test."""

import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.core import proc

ROOT = Path(__file__).resolve().parents[2]
CHECKED = ("harness", "tests", "benchmarks", *(path.name for path in ROOT.glob("*.py")))
SECONDS = 600.0
MYPY = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
OVERLAYS = ROOT / ".nox" / "overlays"  # also in mypy's path


def lint() -> tuple[int, str]:
    """Return what Ruff says, of rules and formatting, and import-linter, with their exit code."""
    ruff, imports = program("ruff"), program("lint-imports")
    return _run(
        [
            (ruff, "check", *CHECKED),
            (ruff, "format", "--check", *CHECKED),
            (imports, "--no-cache", "--no-logo"),
        ]
    )


def types() -> tuple[int, str]:
    """Return mypy's exit code and what it says, of all files at once."""
    links = dict(lay_out())
    code, said = _run([(program("mypy"), *MYPY["files"], *map(str, links))])
    for link, folder in links.items():
        said = said.replace(f"{link.relative_to(ROOT)}/", f"{folder.relative_to(ROOT)}/")
    return code, said


def lay_out(overlays: Path = OVERLAYS) -> Iterator[tuple[Path, Path]]:
    """Link every folder of recipes' files under a name that a Python package can have.

    `recipe_meta.py` is in many of them, and `custom-html` cannot be a package, so mypy would need a
    process for each folder.

    Yields:
        Each link, with the folder that it leads to.
    """
    own = [ROOT / name for name in MYPY["files"]]
    folders = {path.parent for path in (ROOT / "tests").rglob("*.py")}
    wanted = {
        overlays / re.sub(r"\W", "_", str(folder.relative_to(ROOT / "tests"))): folder
        for folder in folders
        if not any(folder.is_relative_to(package) for package in own)
    }
    overlays.mkdir(parents=True, exist_ok=True)
    for old in set(overlays.iterdir()) - set(wanted):
        old.unlink()
    for link, folder in sorted(wanted.items()):
        if not link.is_symlink():
            link.symlink_to(folder)
        yield link, folder


def program(name: str) -> str:
    """Return the path of a program of this environment."""
    return str(Path(sys.executable).with_name(name))


def _run(commands: Sequence[Sequence[str]]) -> tuple[int, str]:
    worst, said = 0, ""
    for command in commands:
        done = proc.run(command, timeout=SECONDS, cwd=ROOT, check=False, dies_too=True)
        worst = worst or done.code
        said += done.stdout + done.stderr
    return worst, said


CHECKS = {"lint": lint, "types": types}

if __name__ == "__main__":
    code, text = CHECKS[sys.argv[1]]()
    sys.stdout.write(text)
    sys.exit(code)
