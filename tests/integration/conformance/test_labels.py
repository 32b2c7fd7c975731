"""Labels by abra, read by us: the same recipe, commit and tree, deployed by abra and by ourselves.

A stand-in writes what is told of abra; only the real one can show that it is so.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.core.settings import Settings
from harness.images import samples
from harness.platforms.abra.platform import AbraPlatform
from harness.platforms.abra.program import detect
from harness.platforms.base import Revision, Target
from harness.platforms.swarm import SwarmPlatform
from harness.recipes.cloning import clone
from harness.recipes.repo import Repo
from harness.run import reaper
from harness.run.testbed import TestBed
from harness.swarm.states import NAMESPACE_LABEL
from harness.swarm.sweep import sweep
from tests.integration.programs import PROGRAMS, abra_on_path
from tests.suite import leftovers

RUN = "labels-test-1"


@dataclass(frozen=True)
class Both:
    """A recipe at one commit, and the two platforms."""

    bed: TestBed
    recipe: Repo
    abra: AbraPlatform
    swarm: SwarmPlatform

    def revision(self, commit: str, *, tag: str = "") -> Revision:
        """Return a commit, to be deployed pinned if it is that tag's, else as chaos."""
        return Revision(
            files=self.recipe.files(commit), commit=commit, chaos=not tag, tag=tag,
            source=self.recipe.path,
        )  # fmt: skip

    def labels(self, target: Target) -> Mapping[str, Mapping[str, str]]:
        """Return the labels below `coop-cloud.` of a stack's services, without the stack's name."""
        wanted = {"label": f"{NAMESPACE_LABEL}={target.stack}"}
        found = self.bed.client.api.services(filters=wanted)  # type: ignore[no-untyped-call]  # the stubs lack it
        return {
            raw["Spec"]["Name"].removeprefix(f"{target.stack}_"): {
                key.replace(target.stack, "STACK"): value
                for key, value in sorted(raw["Spec"]["Labels"].items())
                if key.startswith("coop-cloud.")
            }
            for raw in found
        }


def target_of(name: str, scope: str) -> Target:
    """Return where one platform deploys."""
    return Target(recipe="custom-html", run=RUN, scope=scope, domain=f"labels-{name}.test")


@pytest.fixture(name="both", params=PROGRAMS)
def both_fixture(
    request: pytest.FixtureRequest, bed: TestBed, settings: Settings, tmp_path: Path
) -> Iterator[Both]:
    """A sample's head, to be deployed by both; all of it is removed afterwards."""
    environ = {"PATH": abra_on_path(request.param, tmp_path / "bin"), "HOME": str(tmp_path)}
    source = samples.materialise(
        "custom-html", cache=settings.cache, lock_timeout=60, say=lambda _: None
    )
    recipe = clone(str(source), tmp_path / "recipe", timeout=60)
    scope = reaper.scope(leftovers.own_cache())
    works = {name: tmp_path / name for name in ("abra", "swarm")}
    for work in works.values():
        work.mkdir()
    abra = AbraPlatform(
        abra=detect(environ, settings.cache), client=bed.client,
        environ=bed.engine.environ(environ), target=target_of("abra", scope), work=works["abra"],
        log=tmp_path / "abra.log", dnsrr=bed.dnsrr, images=bed.images,
    )  # fmt: skip
    swarm = SwarmPlatform(
        client=bed.client, environ=bed.engine.environ({}), target=target_of("swarm", scope),
        work=works["swarm"], dnsrr=bed.dnsrr, images=bed.images, deploy_flags=bed.deploy_flags,
    )  # fmt: skip
    try:
        yield Both(bed, recipe, abra, swarm)
    finally:
        swept = sweep(bed.client, RUN, timeout=60)
    assert swept.left == ()


def test_a_chaos_deploy_has_the_labels_that_abra_writes(both: Both) -> None:
    """Those of a clean tree: what is deployed is always a commit."""
    commit = both.recipe.default_branch_commit()
    head = both.revision(commit)
    both.abra.deploy(head)
    both.swarm.deploy(head)
    ours, theirs = both.labels(both.swarm.target), both.labels(both.abra.target)
    assert ours == theirs
    assert ours["app"]["coop-cloud.STACK.chaos-version"] == commit[:8]
    print(ours)  # noqa: T201  the comparison, to be read with -s


def test_a_pinned_release_has_the_labels_that_abra_writes(both: Both) -> None:
    """No chaos, and no chaos-version."""
    tag = both.recipe.releases()[-1].tag
    commit = both.recipe.resolve(tag)
    release = both.revision(commit, tag=tag)
    both.abra.deploy(release)
    both.swarm.deploy(release)
    ours = both.labels(both.swarm.target)
    assert ours == both.labels(both.abra.target)
    assert ours["app"]["coop-cloud.STACK.chaos"] == "false"
    assert ours["app"]["coop-cloud.STACK.version"] == tag
    assert "coop-cloud.STACK.chaos-version" not in ours["app"]
    print("release", ours)  # noqa: T201  the same
