"""What a platform has to do, whatever program does it underneath."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from harness.core.model import Adaptation
from harness.recipes.doors import Door
from harness.recipes.files import Files


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A commit of a recipe, and how it is to be deployed.

    A release is deployed pinned; a head is deployed as *chaos*: whatever is checked out, marked
    with the first eight digits of its commit.
    """

    files: Files
    commit: str
    chaos: bool
    tag: str = ""  # of a release that is deployed pinned
    source: Path = Path()  # the run's clone, for a platform that makes a checkout of its own

    @property
    def chaos_version(self) -> str:
        """The value of the chaos-version label: eight digits."""
        return self.commit[:8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a recipe is deployed: the names that this run has for itself alone."""

    recipe: str
    run: str
    scope: str
    domain: str

    @property
    def random(self) -> bool:
        """Whether the stack's name was made for this run alone, and will never be used again."""
        token = self.run.rpartition("-")[2]
        return f"-{token}." in self.domain

    @property
    def stack(self) -> str:
        """The stack's name: the domain with its dots turned to underscores."""
        return self.domain.replace(".", "_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """What a deploy did. `version` is what the compose file declares, or empty; timeout in s.

    `ignored` are the options of each service that the Swarm does not know.
    """

    version: str
    services: tuple[str, ...]
    doors: tuple[Door, ...]  # to the app's page, the best first; none where it has no page
    timeout: float
    adaptations: tuple[Adaptation, ...] = ()
    ignored: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Images(Protocol):
    """Whoever makes sure that an image is there."""

    def __call__(self, image: str, /) -> tuple[str, Adaptation | None]:
        """Return the reference to deploy for an image, and how it differs from what was asked.

        Raises:
            ImageError: it can be neither pulled nor built.
        """


class Platform(Protocol):
    """Deploys a recipe for one run. It does not wait until what it deployed has settled."""

    name: str

    @property
    def secret_values(self) -> tuple[str, ...]:
        """Every secret made for this run, to be masked wherever it may turn up."""

    @property
    def named_secrets(self) -> Mapping[str, str]:
        """The same by name, as the compose file has it: without the stack and the version."""

    def deploy(self, revision: Revision) -> Deployed:
        """Deploy that revision, over whatever this run deployed before.

        Raises:
            RecipeError: the recipe cannot be deployed.
            TestBedError: the machine cannot deploy it.
        """

    def start_over(self) -> None:
        """Take the app down and forget its settings and secrets: the next deploy is a fresh one.

        The values of its secrets are still known, to be masked.

        Raises:
            HarnessError: as `undeploy`.
        """

    def undeploy(self) -> None:
        """Take the app down the platform's own way, before whatever is left of it is removed.

        Raises:
            HarnessError: that did not work; the removal of what is left goes on all the same.
        """
