"""What recipes' tests may import."""

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import api
from harness.assertions.former_names import FORMER
from harness.core import proc

ROOT = Path(__file__).resolve().parents[2]
OVERLAYS = (ROOT / "tests" / "custom-html", ROOT / "tests" / "radicale", ROOT / "tests" / "lying")
KEPT = ROOT / "tests" / "lying" / "recipes" / "approved-test-code"  # written before harness.api was


def imported(text: str) -> set[str]:
    """Return the modules of the harness that a text imports."""
    return set(re.findall(r"^\s*(?:from|import) (harness[\w.]*)", text, re.MULTILINE))


def files() -> Iterator[Path]:
    """Yield the files of overlays and the pages of the documentation for users."""
    for folder in OVERLAYS:
        yield from (path for path in folder.rglob("*.py") if not path.is_relative_to(KEPT))
    yield from (ROOT / "docs").glob("*.md")
    yield ROOT / "README.md"


def test_overlays_and_docs_import_nothing_else() -> None:
    """So that any other module may be moved."""
    found = {str(path.relative_to(ROOT)): imported(path.read_text()) for path in files()}
    assert len([modules for modules in found.values() if modules]) > 10
    assert {path: modules for path, modules in found.items() if modules - {"harness.api"}} == {}


@pytest.mark.parametrize("name", api.__all__)
def test_every_name_is_documented(name: str) -> None:
    """A promise has to say what it promises, for each method as well."""
    one = getattr(api, name)
    assert inspect.getdoc(one)
    if inspect.isclass(one):
        fields = getattr(one, "__dataclass_fields__", ())
        own = {k: v for k, v in vars(one).items() if not k.startswith("_") and k not in fields}
        methods = {key for key, value in own.items() if inspect.isfunction(value)}
        assert {key for key in methods if not inspect.getdoc(own[key])} == set()


def test_its_example_is_python() -> None:
    """A reader who copies it gets names that exist."""
    text = inspect.getdoc(api) or ""
    code = "\n".join(line[4:] for line in text.splitlines() if line.startswith("    "))
    tree = ast.parse(code)
    named = {a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names}
    assert named
    assert named <= set(api.__all__)


def test_former_names_are_kept(tmp_path: Path) -> None:
    """Approved tests of recipes import them, and their hashes must not change with our modules."""
    lines = [f"import {old}; from {old} import *" for old in FORMER]
    program = tmp_path / "own.py"
    program.write_text(
        "from harness.assertions import former_names\nformer_names.keep()\n"
        + "\n".join(lines)
        + "\nfrom harness.docker.http import Request\nfrom harness.api import Request as now\n"
        "assert Request is now\nfrom harness.ledger import Op\n"
        "from harness.docker.snapshot import ServiceState, StackSnapshot\n"
        "from harness.assertions.witnesses import WitnessView\n"
    )
    proc.run([sys.executable, str(program)], timeout=60, env={"PYTHONPATH": str(ROOT)})


def test_former_names_are_not_taken_again() -> None:
    """A module with such a name would hide what recipes' tests mean by it."""
    taken = {old for old in FORMER if [*ROOT.glob(f"{old.replace('.', '/')}*")]}
    assert taken == set()
