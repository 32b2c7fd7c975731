"""Attempts to take the harness's memory and time: recipes that are small to send."""

import json
import sys
from functools import partial
from pathlib import Path

from harness.core import proc
from tests.hostile.bombs import BOMBS, SLOW, Files
from tests.hostile.table import attempt

ROOT = Path(__file__).resolve().parents[2]
MOST_MEMORY = 300 << 20  # bytes
PROMISE = "reading it takes less than 300 MiB, and ends in a word that names the limit"


def made(place: Path, files: Files) -> Path:
    """Make a repository of one commit."""
    repo = place / "recipe"
    for name, content in files.items():
        path = repo / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for words in (("init", "-q", "-b", "main"), ("add", "-A", "-f"), (*who, "commit", "-qm", "x")):
        proc.run(["git", *words], cwd=repo, timeout=120)
    return repo


def _explode(name: str, place: Path) -> str:
    limit, make = BOMBS[name]
    repo = made(place, make())
    argv = [sys.executable, "-m", "tests.hostile.study", str(repo)]
    came = json.loads(proc.run(argv, cwd=ROOT, timeout=600).stdout)
    told = f"{came['word']}, {came['peak'] >> 20} MiB, {came['spent']:.1f} s"
    assert came["peak"] < MOST_MEMORY, told
    assert came["word"] == ("failed" if limit else "read"), f"{told}: {came['said'][:500]}"
    assert limit in came["said"], came["said"][:500]
    return told


assert set(BOMBS) >= SLOW, "a slow bomb is not there"
for _name in BOMBS:
    attempt(
        promised=PROMISE, name=_name, what=_name.replace("-", " "), nightly=_name in SLOW
    )(partial(_explode, _name))  # fmt: skip
