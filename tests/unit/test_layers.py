"""Imports point one way: leaves <- recipes, docker <- plan, platforms, backups <- the rest."""

import ast
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "harness"
LEAVES = {
    *(
        "errors",
        "model",
        "measured",
        "settings",
        "proc",
        "waiting",
        "memory",
        "with_parent",
        "scratch",
        "core",
    ),
}
ALLOWED = {
    **dict.fromkeys(LEAVES, LEAVES),
    "locks": LEAVES,
    "ledger": LEAVES,
    "signals": LEAVES,
    "swarm_lock": LEAVES | {"locks", "docker"},
    "sessions": LEAVES | {"locks", "recipes", "sessions"},
    "recipes": LEAVES | {"recipes"},
    "docker": LEAVES | {"docker"},
    "embedded": LEAVES | {"locks", "docker", "recipes", "embedded"},
    "forge": LEAVES | {"forge"},
    "pull_request": LEAVES | {"recipes", "forge"},
    "post": LEAVES | {"forge", "report"},
    "plan": LEAVES | {"recipes", "plan"},
    "policy": LEAVES | {"recipes", "policy"},
    "platforms": LEAVES | {"recipes", "policy", "docker", "abra", "platforms", "signals"},
    "backups": LEAVES | {"docker", "embedded", "backups"},
    "volumes": LEAVES | {"docker", "backups", "volumes"},
    "assertions": LEAVES | {"ledger", "recipes", "docker", "backups", "assertions"},
    "verdict": LEAVES | {"verdict"},
    "report": LEAVES | {"report", "verdict"},
    "abra": LEAVES | {"abra"},
    "lint": LEAVES | {"recipes", "platforms", "backups", "lint"},
    "site": LEAVES | {"report", "site", "verdict"},
    "matrix": LEAVES | {"recipes", "plan", "report", "matrix"},
    "tools": LEAVES | {"docker", "backups"},
    "seeding": LEAVES | {"assertions"},
    "reaper": LEAVES | {"locks", "swarm_lock", "docker", "platforms"},
    "requirements": LEAVES,
    "repeat": LEAVES | {"recipes"},
    "own_revision": LEAVES | {"__version__"},
    "host": LEAVES | {"embedded"},
    "install_steps": LEAVES | {"platforms"},
    "resources": LEAVES | {"report", "verdict"},
    "inventory": LEAVES | {"docker", "backups", "assertions"},
    "screenshot": LEAVES | {"docker", "assertions", "page_proxy"},
    "page_proxy": LEAVES | {"docker"},
    "handover": LEAVES | {"docker"},
    "context": LEAVES
    | {"ledger", "recipes", "docker", "plan", "platforms", "backups", "seeding", "install_steps"},
    "backup_bots": LEAVES | {"docker", "embedded", "platforms", "backups"},
    "backup_operations": LEAVES | {"ledger", "docker", "backups", "volumes", "context"},
}
TOP = {
    *(
        "teardown",
        "linting",
        "execute",
        "operations",
        "pages",
        "subject",
        "testbed",
        "run",
        "fleet",
    ),
    *("observer", "publish", "stack_locks", "platform_choice", "backup_choice"),
    *("__main__", "follower", "__init__"),
}


def _unit(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def _nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(path.read_text())))


def _imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in _nodes(path):
        if isinstance(node, ast.ImportFrom) and node.module == "harness":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("harness."):
            found.add((node.module or "").split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("harness.")}
    return found


IMAGES = PACKAGE / "images" / "stand_ins"  # what is in there is run elsewhere, by itself
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if not path.is_relative_to(IMAGES))


def test_a_module_imports_only_what_lies_below_it() -> None:
    """So that a part can be understood, tested and replaced without what is built on it."""
    wrong = {
        str(path.relative_to(PACKAGE)): _imported(path) - ALLOWED[_unit(path)]
        for path in MODULES
        if _unit(path) not in TOP
    }
    assert len(wrong) > 100
    assert {path: imports for path, imports in wrong.items() if imports} == {}


@pytest.mark.parametrize(
    ("module", "owner"), [("subprocess", {"proc"}), ("argparse", {"settings"})]
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
        str(path.relative_to(PACKAGE))
        for path in MODULES
        for node in _nodes(path)
        if isinstance(node, ast.Attribute)
        and node.attr == "sleep"
        and isinstance(node.value, ast.Name)
        and node.value.id == "time"
    }
    assert users == {"waiting.py"}
