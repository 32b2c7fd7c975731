"""What integration tests share: calling the harness as a user does, recipes made to order."""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

from harness.core import event_log, proc
from harness.core.events import Doing, RunEvent, Step
from harness.core.ledger import Op
from harness.core.model import Stage
from harness.core.waiting import Deadline, wait_for

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "docs" / "results.schema.json"
RUN_SECONDS = 900.0  # of one run on a loaded machine; a test has a time-out of its own

# Moments of a run at which tests act.
DEPLOYING = Doing(step=Step.WAIT, about=Op.DEPLOY)
REDEPLOYING = Doing(step=Step.WAIT, about=Op.REDEPLOY)
INSTALLING = Doing(step=Step.OP, stage=Stage.INSTALL)
INSTALL_ASSERTIONS = Doing(step=Step.ASSERTIONS, stage=Stage.INSTALL)
UPGRADE_ASSERTIONS = Doing(step=Step.ASSERTIONS, stage=Stage.UPGRADE)
TEARDOWN = Doing(step=Step.TEARDOWN)

COMPOSE = """\
version: "3.8"
services:
  app:
    image: nginx:1.27.4
    networks: [proxy]
    volumes: ["content:/usr/share/nginx/html"]
    healthcheck:
      test: ["CMD", "curl", "-fsS", "-o", "/dev/null", "http://127.0.0.1/"]
      interval: 1s
      retries: 3
    deploy:
      update_config: {failure_action: rollback, order: start-first, monitor: 1s}
      labels:
        - "coop-cloud.${STACK_NAME}.version=VERSION"
        - "coop-cloud.${STACK_NAME}.timeout=60"
        - "backupbot.backup=true"
networks:
  proxy: {external: true}
volumes:
  content:
"""
ENV_SAMPLE = "TYPE=made-to-order\nDOMAIN=made.example.com\nLETS_ENCRYPT_ENV=production\n"


def recipe_files(version: str, **changes: str) -> dict[str, str]:
    """Return the files of a small recipe; `changes` are replacements within its compose file."""
    compose = COMPOSE.replace("VERSION", version)
    for old, new in changes.items():
        assert old in compose, old
        compose = compose.replace(old, new)
    return {"compose.yml": compose, ".env.sample": ENV_SAMPLE}


@dataclass(frozen=True)
class RecipeRepo:
    """A recipe's git repository, made to order."""

    path: Path

    @classmethod
    def make(cls, path: Path) -> "RecipeRepo":
        """Make an empty repository."""
        path.mkdir(parents=True)
        repo = cls(path)
        repo.git("init", "--quiet", "--initial-branch=main")
        return repo

    def git(self, *words: str) -> str:
        """Run git in it."""
        who = ["-c", "user.name=cc-ci", "-c", "user.email=tests@cc-ci.invalid"]
        return proc.run(["git", *who, *words], timeout=30, cwd=self.path).stdout.strip()

    def commit(self, files: Mapping[str, str], *, tag: str = "", annotated: bool = True) -> str:
        """Commit exactly these files, tag the commit, and return its hash."""
        for old in self.path.iterdir():
            if old.is_file():
                old.unlink()
        for name, content in files.items():
            (self.path / name).write_text(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", tag or "head")
        if tag:
            self.git("tag", *(["--annotate", "--message", tag] if annotated else []), tag)
        return self.git("rev-parse", "HEAD")


@dataclass(frozen=True)
class Call:
    """One call of the harness: its exit code, what it printed, and its results, if it wrote any."""

    code: int
    text: str
    results: Mapping[str, Any]
    directory: Path | None

    def stage(self, name: str) -> Mapping[str, Any]:
        """Return a stage's result."""
        return next(stage for stage in self.results["stages"] if stage["stage"] == name)

    @property
    def events(self) -> tuple[RunEvent, ...]:
        """What the run recorded while it went on."""
        return event_log.read(self.directory / event_log.FILE) if self.directory else ()

    @property
    def outcomes(self) -> Mapping[str, str]:
        """Each stage's word."""
        return {stage["stage"]: stage["outcome"] for stage in self.results["stages"]}


def environment(**changes: str) -> dict[str, str]:
    """Return this process's environment with the changes, without what steers a run otherwise.

    Runs take no pictures unless told to: some machines have a browser and some have none.
    """
    dropped = {"RECIPE", "REF", "SRC", "PR", "VERSION", "STAGES", "CC_CI_NOX"}
    kept = {key: value for key, value in os.environ.items() if key not in dropped}
    return {"CCCI_SCREENSHOTS": "off", **kept, **changes}


def command(*words: str) -> list[str]:
    """Return the argv of a call of the harness."""
    return [sys.executable, "-m", "harness", *words]


def run_harness(output: Path, *words: str, prefix: Sequence[str] = (), **environ: str) -> Call:
    """Call `python -m harness run` with its run directories below `output`.

    `prefix` are words before that command, such as those that enter a namespace.
    """
    done = proc.run(
        [*prefix, *command("run", *words, "--output", str(output))],
        timeout=RUN_SECONDS,
        cwd=ROOT,
        env=environment(**environ),
        check=False,
    )
    directories = sorted(output.iterdir()) if output.exists() else []
    newest = max(directories, key=lambda path: path.stat().st_mtime) if directories else None
    written = newest / "results.json" if newest else None
    results = json.loads(written.read_text()) if written and written.exists() else {}
    if results:
        jsonschema.validate(results, json.loads(SCHEMA.read_text()))  # whatever the run came to
    return Call(code=done.code, text=done.stdout + done.stderr, results=results, directory=newest)


def meanwhile(run: Callable[[], Call], when: Callable[[], bool], act: Callable[[], object]) -> Call:
    """Do something in the middle of a run, and return what came of the run.

    Args:
        run: calls the harness.
        when: whether the moment has come; asked again and again.
        act: what is to be done then.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        running = pool.submit(run)
        wait_for(
            lambda: running.done() or when(),
            what="the moment",
            deadline=Deadline.after(RUN_SECONDS),
            interval=0.02,
        )
        assert not running.done(), running.result().text
        act()
        return running.result()


def recorded(output: Path) -> dict[str, tuple[RunEvent, ...]]:
    """Return what the runs below a directory have recorded so far, by run."""
    files = output.glob(f"*/{event_log.FILE}")
    return {file.parent.name: event_log.read(file) for file in files}


def reached(output: Path, doing: Doing) -> Callable[[], bool]:
    """Return what tells whether a run below a directory has begun this step."""
    return lambda: any(doing in events for events in recorded(output).values())
