"""The package as it is installed: it works without a checkout."""

import shutil
import sys
import sysconfig
from pathlib import Path

from harness.core import proc
from tests.integration.support import ROOT


def test_an_installed_package_has_all_that_a_run_needs(tmp_path: Path) -> None:
    """The recipes that it knows, the samples, and the generic assertions."""
    project = tmp_path / "project"  # a build leaves files where it is made
    ignored = shutil.ignore_patterns(".*", "__pycache__", "build", "runs", "*.egg-info")
    shutil.copytree(ROOT, project, ignore=ignored, symlinks=True)
    python = tmp_path / "env" / "bin" / "python"
    proc.run([sys.executable, "-m", "venv", str(tmp_path / "env")], timeout=120)
    proc.run([str(python), "-m", "pip", "install", "--no-deps", str(project)], timeout=240)
    (libraries,) = (tmp_path / "env").glob("lib/python*/site-packages")
    (libraries / "here.pth").write_text(sysconfig.get_path("purelib"))  # what it depends on
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    words = [str(python.with_name("cc-ci")), "lint", "custom-html", "--cache", str(tmp_path / "c")]
    done = proc.run(words, timeout=60, cwd=elsewhere)
    assert "custom-html: by cc-ci: 14 rules hold" in done.stdout
    shared = tmp_path / "env" / "share" / "cc-ci" / "tests"
    for folder in ("_generic", "custom-html", "radicale"):
        names = {path.name for path in (ROOT / "tests" / folder).glob("*.py")}
        assert {path.name for path in (shared / folder).glob("*.py")} == names != set()
    installed = {path.parent.name for path in (libraries / "harness").glob("*/__init__.py")}
    there = {path.parent.name for path in (ROOT / "harness").glob("*/__init__.py")}
    assert installed == there
