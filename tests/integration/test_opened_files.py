"""Which files a run opens, watched from outside: with every program that it starts, by strace."""

import re
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from tests.integration.conftest import Harness
from tests.integration.support import ENV_SAMPLE, ROOT, RecipeRepo, recipe_files, run_harness

OPENED = re.compile(r" = \d+<(/[^>]*)>$", re.MULTILINE)
ASKED = re.compile(r'\bopen(?:at2?)?\([^"]*"([^"]*)"')
TRACED = ("-f", "-qq", "-y", "-s", "4096", "--seccomp-bpf", "-e", "trace=open,openat,openat2",
          "-e", "signal=none")  # fmt: skip
OF_THE_SYSTEM = ("/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sys", "/usr", "/var/run")
STEERED = (
    "HOME={0}\nDOCKER_CONFIG={0}\nCOMPOSE_ENV_FILES={0}/bait\nGIT_DIR={0}\nBASH_ENV={0}/bait\n"
)


def test_a_run_opens_no_file_that_is_neither_the_recipes_nor_its_own(
    harness: Harness, cache_dir: Path, tmp_path: Path
) -> None:
    """A recipe steers by links, variables, attributes and its repository's own configuration."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    outside, log = tmp_path / "outside", tmp_path / "opened"
    outside.mkdir()
    (outside / "bait").write_text("BAIT=1\n")
    repo = _recipe(tmp_path / "recipe", outside)
    call = run_harness(
        harness.output, str(repo.path), STAGES="install",
        prefix=[strace, *TRACED, "-o", str(log)],
    )  # fmt: skip
    assert call.code == 0, call.text
    assert harness.left(call) == []

    words = log.read_text(errors="replace")
    assert [path for path in ASKED.findall(words) if path.endswith("bait")] == []
    opened = {Path(path) for path in OPENED.findall(words)}
    homes = [Path.home() / name for name in (".docker", ".gitconfig", ".config/git")]
    of_python = (sys.prefix, sys.base_prefix, *sys.path)
    own = [ROOT, cache_dir, harness.output, repo.path, Path(tempfile.gettempdir()), *homes,
           *map(Path, (*of_python, *OF_THE_SYSTEM))]  # fmt: skip
    assert len(opened) > 500, "strace saw the run"
    assert any(path.name == "stack.yml" for path in opened), "and docker, which the run started"
    strangers = {path for path in opened if not any(path.is_relative_to(one) for one in own)}
    assert strangers == set()
    assert {path for path in opened if path.is_relative_to(outside)} == set()
    assert Path("/etc/shadow") not in opened


def _recipe(path: Path, outside: Path) -> RecipeRepo:
    """Return a healthy recipe whose repository would lead a careless reader outside."""
    repo = RecipeRepo.make(path)
    repo.commit({
        **recipe_files("1.0.0+1", healthcheck="env_file: [app.env]\n    healthcheck"),
        ".env.sample": ENV_SAMPLE + STEERED.format(outside),
        "app.env": "GREETING=hello\n",
    })  # fmt: skip
    (path / ".gitattributes").write_text("* filter=bait\n")
    (path / "link").symlink_to(outside / "bait")
    (path / "shadow").symlink_to("/etc/shadow")
    repo.git("add", "--all")
    repo.git("commit", "--quiet", "--message", "links")
    repo.git("config", "filter.bait.clean", f"cat {outside}/bait")
    repo.git("config", "filter.bait.smudge", f"cat {outside}/bait")
    repo.git("config", "core.hooksPath", str(outside))
    return repo
