"""How much a whole run costs beside the bare operations that it consists of, as a ratio.

`nox -s bench -- [PAIRS]` runs both in turn: the five operations on custom-html as a shell script
would perform them (deploy, redeploy, restic backup, restic restore, remove, each with the wait that
it needs and nothing else), then `python -m harness run custom-html`, assertions included. Absolute
times belong to the machine; the ratio belongs to the harness.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from harness.core import proc
from harness.core.settings import Settings
from harness.core.waiting import Deadline, wait_for
from harness.images import samples
from harness.platforms import stackfile
from harness.platforms.base import Revision, Target
from harness.platforms.environment import AppEnvironment
from harness.platforms.override import Machine, build
from harness.recipes.cloning import clone
from harness.recipes.repo import Repo
from harness.run import reaper, testbed
from harness.run.testbed import TestBed
from harness.swarm.sweep import sweep

RECIPE = "custom-html"
STEP_SECONDS = 120.0


@dataclass(frozen=True)
class Bare:
    """The bare operations on one fresh stack."""

    bed: TestBed
    repo: Repo
    target: Target
    work: Path

    def whole_cycle(self) -> None:
        """Perform all five, and leave nothing behind."""
        older = self.repo.releases_before(self.repo.default_branch_commit())
        env = self._deploy(older[-1].commit, None)
        self._wait(self._healthy, "the app to be healthy")
        before = self._update_started()
        self._deploy(self.repo.default_branch_commit(), env)
        self._wait(lambda: self._updated(before), "the update to be over")
        self._backup_and_restore()
        self._remove()

    def _docker(self, *words: str) -> str:
        environ = {**os.environ, **self.bed.engine.environ({})}
        return proc.run(["docker", *words], timeout=STEP_SECONDS, env=environ).stdout

    def _deploy(self, commit: str, app: AppEnvironment | None) -> AppEnvironment:
        files = self.repo.files(commit)
        app = app or AppEnvironment.of(files, self.target)
        compose = app.compose(files)
        images = {image: self.bed.images(image)[0] for image in compose.images()}
        machine = Machine(dnsrr=self.bed.dnsrr, images=images)
        revision = Revision(files=files, commit=commit, chaos=True)
        override, _ = build(compose, self.target, revision, machine)
        path = stackfile.write(compose, override, self.work / commit)
        flags = ["--resolve-image", "never", *self.bed.deploy_flags]
        argv = ["docker", "stack", "deploy", "-c", str(path), *flags, self.target.stack]
        environ = {**os.environ, **self.bed.engine.environ({})}
        proc.run(argv, timeout=STEP_SECONDS, env=environ)
        return app

    def _wait(self, probe: Callable[[], bool], what: str) -> None:
        wait_for(probe, what=what, deadline=Deadline.after(STEP_SECONDS), interval=0.02)

    def _containers(self) -> list[str]:
        label = f"com.docker.swarm.service.name={self.target.stack}_app"
        return [str(c["Id"]) for c in self.bed.client.api.containers(filters={"label": label})]

    def _healthy(self) -> bool:
        states = [self.bed.client.api.inspect_container(c)["State"] for c in self._containers()]
        return any(state.get("Health", {}).get("Status") == "healthy" for state in states)

    def _update(self) -> dict[str, str]:
        found = self.bed.client.services.list(filters={"name": f"{self.target.stack}_app"})
        return dict(found[0].attrs.get("UpdateStatus") or {})

    def _update_started(self) -> str:
        return self._update().get("StartedAt", "")

    def _updated(self, before: str) -> bool:
        status = self._update()
        return status.get("State") == "completed" and status.get("StartedAt", "") != before

    def _backup_and_restore(self) -> None:
        volume, repository = f"{self.target.stack}_content", f"{self.target.stack}_bare"
        mounts = ["-v", f"{repository}:/repository", "-v", f"{volume}:/volumes/content"]
        setting = ["-e", "RESTIC_REPOSITORY=/repository", "-e", "RESTIC_PASSWORD=bare"]
        label = ["--label", f"ccci.run={self.target.run}"]
        self._docker("volume", "create", *label, repository)
        for words in (
            ["init"], ["backup", "/volumes/content"], ["restore", "latest", "--target", "/"],
        ):  # fmt: skip
            self._docker("run", "--rm", *label, *mounts, *setting, self.bed.toolbox, "restic",
                         "--quiet", *words)  # fmt: skip

    def _remove(self) -> None:
        self._docker("stack", "rm", self.target.stack)
        swept = sweep(self.bed.client, self.target.run, timeout=STEP_SECONDS)
        if swept.left:
            raise SystemExit(f"left behind: {', '.join(swept.left)}")


def harness_run(work: Path) -> None:
    """Perform a whole run in a process of its own, as a user does."""
    argv = [sys.executable, "-m", "harness", "run", RECIPE, "--output", str(work / "runs")]
    argv += ["--screenshots", "off"]  # some machines have no browser
    proc.run(argv, timeout=600, env=dict(os.environ))


def timed(act: Callable[[], None]) -> float:
    """Return how many seconds the act took."""
    began = time.monotonic()
    act()
    return time.monotonic() - began


def main() -> None:
    """Run the pairs and print the medians."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    settings = Settings.load([], os.environ)
    bed = testbed.prepare(settings, os.environ, say=print)
    source = samples.materialise(RECIPE, cache=settings.cache, lock_timeout=60, say=print)
    rows: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        repo = clone(str(source), work / "recipe", timeout=60)
        target = Target(
            recipe=RECIPE, run="", scope=reaper.scope(settings.cache), domain="bare.test"
        )
        for number in range(pairs):
            mine = replace(target, run=f"bare-{os.getpid()}-{number}", domain=f"bare-{number}.test")
            bare = timed(Bare(bed=bed, repo=repo, target=mine, work=work).whole_cycle)
            whole = timed(lambda: harness_run(work))
            rows.append((bare, whole))
            print(f"pair {number}: bare {bare:.1f} s, run {whole:.1f} s, ratio {whole / bare:.2f}")
    bare_median, run_median = (statistics.median(column) for column in zip(*rows, strict=True))
    ratio = statistics.median(whole / bare for bare, whole in rows)
    print(f"medians: bare {bare_median:.1f} s, run {run_median:.1f} s, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
