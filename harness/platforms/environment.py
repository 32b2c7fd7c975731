"""The environment that a recipe's compose files are filled in from, as `abra` puts it together.

`.env.sample` gives the app's settings when it is made, and they stay those of the first deploy
through every upgrade, as an operator's do; `abra.sh` exports are those of the commit deployed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from harness.core.errors import InvalidRecipeError
from harness.core.model import Adaptation
from harness.platforms.base import Deployed, Target
from harness.recipes import envfile, secrets
from harness.recipes.compose import Compose, load
from harness.recipes.doors import Door, find
from harness.recipes.files import Files
from harness.recipes.ignored import ignored
from harness.recipes.versions import Version

ENV_SAMPLE = ".env.sample"
COMPOSE_FILE = "compose.yml"
ABRA_SH = "abra.sh"
DEFAULT_TIMEOUT = 300.0  # seconds; abra's own
LONGEST_TIMEOUT = 3600.0  # seconds; a recipe cannot make a run wait for ever
LONGEST_LABEL = 100  # characters of such a label
DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?:in)?)?(?:(\d+)s(?:ec)?)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class AppEnvironment:
    """The settings of one app, as they were when it was made."""

    values: Mapping[str, str]
    secrets: tuple[secrets.SecretSpec, ...] = field(default=())

    @classmethod
    def of(
        cls, files: Files, target: Target, extra: Mapping[str, str] | None = None
    ) -> AppEnvironment:
        """Make an app's settings from a recipe's files.

        Args:
            files: the recipe's files.
            target: where the app will be.
            extra: variables that go over the recipe's own.

        Raises:
            InvalidRecipeError: there is no compose file or no `.env.sample`, or it cannot be read.
        """
        files.fetch([COMPOSE_FILE, ENV_SAMPLE, ABRA_SH])
        if files.read(COMPOSE_FILE) is None:
            raise InvalidRecipeError(
                f"the recipe has no {COMPOSE_FILE}",
                cause="the repository is not a Co-op Cloud recipe, or the ref is a wrong one",
                hint="check the source and the ref; a recipe's compose.yml lies at its top",
            )
        if files.read(ENV_SAMPLE) is None:
            raise InvalidRecipeError(
                f"the recipe has no {ENV_SAMPLE}",
                cause="an app's settings are made from it, so nobody could deploy this recipe",
                hint=f"add {ENV_SAMPLE} with at least TYPE, DOMAIN and LETS_ENCRYPT_ENV",
            )
        given = {"DOMAIN": target.domain, "STACK_NAME": target.stack}
        entries = envfile.read(files, ENV_SAMPLE, base=given)
        values = envfile.as_dict(entries)
        sample = values.get("DOMAIN", "")
        if "." in sample:  # abra replaces it wherever it stands: `www.$DOMAIN` has to follow
            values = {key: value.replace(sample, target.domain) for key, value in values.items()}
        return cls(
            values={**values, **given, **(extra or {})},
            secrets=secrets.specs(entries, file=ENV_SAMPLE),
        )

    def with_new_secrets(self, later: AppEnvironment) -> AppEnvironment:
        """Return these settings with the secrets that a later version asks for besides.

        An operator who upgrades reads of a new secret in the release notes, and makes it.
        """
        have = {spec.name for spec in self.secrets}
        new = tuple(spec for spec in later.secrets if spec.name not in have)
        versions = {f"SECRET_{spec.name.upper()}_VERSION": spec.version for spec in new}
        return replace(self, values={**self.values, **versions}, secrets=(*self.secrets, *new))

    def at(self, files: Files) -> dict[str, str]:
        """Return the environment for deploying that commit of the recipe."""
        return {**self.values, **envfile.abra_exports(files.text(ABRA_SH))}

    def compose(self, files: Files) -> Compose:
        """Return the compose files of that commit, filled in.

        Raises:
            InvalidRecipeError: they cannot be read, or make no sense.
        """
        env = self.at(files)
        return load(files, env.get("COMPOSE_FILE", ""), env)


def label(compose: Compose, name: str) -> str:
    """Return the value of a deploy label on whatever service has it, or empty."""
    values = (service.labels.get(name, "") for service in compose.services.values())
    return next((value for value in values if value), "")


def version_label(compose: Compose, stack: str) -> str:
    """Return the version that the compose files declare, or empty."""
    return label(compose, f"coop-cloud.{stack}.version")


def declared_version(compose: Compose, stack: str) -> Version | None:
    """Return the declared version as one that can be compared, or None."""
    return Version.parse(version_label(compose, stack))


def timeout_label(compose: Compose, stack: str) -> float:
    """Return how long the recipe may take to settle, in seconds.

    Its label holds a number of seconds. A duration as compose files have it (`10m`, `1h30m`) is
    read as well: the recipe asks for that time, and waiting less would blame it for nothing.
    """
    written = label(compose, f"coop-cloud.{stack}.timeout")[:LONGEST_LABEL]
    written = written.replace(" ", "").lower()
    try:
        seconds = float(written)
    except ValueError:
        parts = DURATION.fullmatch(written)
        numbers = (int(part or 0) for part in parts.groups()) if parts else ()
        seconds = sum(number * unit for number, unit in zip(numbers, (3600, 60, 1), strict=False))
    return min(seconds, LONGEST_TIMEOUT) if seconds > 0 else DEFAULT_TIMEOUT


def doors(compose: Compose, target: Target) -> tuple[Door, ...]:
    """Return the ways to the app's page, the best first."""
    sample = envfile.as_dict(envfile.read(compose.source, ENV_SAMPLE))
    return find(compose, domain=target.domain, stack=target.stack, asked_for="DOMAIN" in sample)


def deployed(
    compose: Compose, target: Target, adaptations: Iterable[Adaptation], *, said: str = ""
) -> Deployed:
    """Return what a deploy of these compose files comes to; `said` is what docker printed."""
    return Deployed(
        version=version_label(compose, target.stack),
        services=tuple(compose.services),
        doors=doors(compose, target),
        timeout=timeout_label(compose, target.stack),
        adaptations=tuple(adaptations),
        ignored=ignored(compose.options, said),
    )
