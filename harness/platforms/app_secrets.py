"""The external secrets of an app, made to the modifiers in its `.env.sample`, once for each run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import docker
from docker.errors import APIError

from harness.core.errors import EngineError, InvalidRecipeError
from harness.core.model import Adaptation
from harness.platforms.base import Target
from harness.platforms.environment import ENV_SAMPLE
from harness.platforms.override import own_labels
from harness.recipes import secrets
from harness.recipes.compose import Compose
from harness.swarm.states import NAMESPACE_LABEL


@dataclass(kw_only=True)
class AppSecrets:
    """Makes the secrets of one run's app, and keeps their values for whoever has to mask them.

    They carry the run's labels from their first moment, so that whoever is killed right after
    leaves none that the next run does not find.
    """

    client: docker.DockerClient
    target: Target
    _values: dict[str, str] = field(default_factory=dict)
    _removed: dict[str, str] = field(default_factory=dict)  # of an app that was taken down

    @property
    def values(self) -> tuple[str, ...]:
        """Every value."""
        return (*self._removed.values(), *self._values.values())

    def start_over(self) -> None:
        """Make every secret anew from now on; the values of those before stay known."""
        self._removed |= {f"{name} (removed)": value for name, value in self._values.items()}
        self._values = {}

    @property
    def named(self) -> dict[str, str]:
        """The same by name, as the compose file has it: without the stack and the version."""
        stack = self.target.stack
        made = {_short(name, stack): value for name, value in self._values.items()}
        return {**self._removed, **made}

    def create(self, compose: Compose, specs: Sequence[secrets.SecretSpec]) -> list[Adaptation]:
        """Create the external secrets that the recipe names and that this run has not made yet.

        Raises:
            InvalidRecipeError: nothing says how to make one of them.
            EngineError: the engine refuses one.
        """
        stack = self.target.stack
        known = {spec.full_name(stack): spec for spec in specs}
        notes = []
        for resource in compose.secrets.values():
            name = resource.full_name(stack)
            # Another stack's, which the policy has let it have, is there already.
            own = resource.external and name.startswith(f"{stack}_")
            if not own or name in self._values:
                continue
            if name not in known:
                raise InvalidRecipeError(
                    f"the secret {name} is external, and {ENV_SAMPLE} does not say how to make it",
                    hint=f"add SECRET_{resource.key.upper()}_VERSION=v1 to {ENV_SAMPLE}",
                )
            self._values[name] = secrets.generate(known[name])
            self._create(name, self._values[name])
            if not known[name].generate:
                notes.append(
                    Adaptation(
                        kind="secret",
                        subject=name,
                        detail="random, although the recipe says that an operator brings the value",
                    )
                )
        return notes

    def _create(self, name: str, value: str) -> None:
        labels = {**own_labels(self.target), NAMESPACE_LABEL: self.target.stack}
        try:
            self.client.api.create_secret(name, value.encode(), labels)
        except APIError as error:
            raise EngineError(
                f"the secret {name} could not be created: {error.explanation}"
            ) from error


def names_in(compose: Compose, stack: str) -> set[str]:
    """Return the external secrets of compose files, by the names that reports use."""
    every = compose.secrets.values()
    return {_short(one.full_name(stack), stack) for one in every if one.external}


def _short(name: str, stack: str) -> str:
    return name.removeprefix(f"{stack}_").rpartition("_")[0] or name
