"""What only one module may do. Which package may import which: see pyproject.toml."""

import ast
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "harness"


def _unit(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@cache
def _nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(path.read_text())))


IMAGES = PACKAGE / "images" / "stand_ins"  # what is in there is run elsewhere, by itself
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if not path.is_relative_to(IMAGES))


@pytest.mark.parametrize(
    ("module", "owner"), [("subprocess", {"core/proc.py"}), ("argparse", {"core/command_line.py"})]
)
def test_a_dangerous_module_has_one_owner(module: str, owner: set[str]) -> None:
    """One place starts programs, so one place has to be right about groups and time-outs."""
    users = {
        _unit(path)
        for path in MODULES
        for node in _nodes(path)
        if (isinstance(node, ast.Import) and module in {a.name for a in node.names})
        or (isinstance(node, ast.ImportFrom) and node.module == module)
    }
    assert users == owner


def test_only_one_module_sleeps() -> None:
    """A sleep anywhere else would hide a race."""
    users = {
        _unit(path)
        for path in MODULES
        for node in _nodes(path)
        if isinstance(node, ast.Attribute)
        and node.attr == "sleep"
        and isinstance(node.value, ast.Name)
        and node.value.id == "time"
    }
    assert users == {"core/waiting.py"}
