"""The rules that need no network, checked on a commit's files. Nothing of the recipe is run.

Each check returns what breaks its rule, or nothing. A recipe may be broken in many ways at once, so
a rule whose files cannot be read is *not checked*, and the one that they are missing from says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.backups.advice import advise
from harness.backups.labels import VolumeLabels, short_name
from harness.core.errors import BackupError, InvalidRecipeError, RefusedError
from harness.core.image_names import parsed
from harness.core.model import Outcome, RuleResult
from harness.lint.rules import BACKUP, RULES, Rule
from harness.platforms.environment import ABRA_SH, COMPOSE_FILE, ENV_SAMPLE
from harness.recipes import compose, envfile, yamlfile
from harness.recipes.compose import Compose
from harness.recipes.files import Files

FORMAT = "3.8"
LONGEST_SECRET = 12  # characters
STACK, DOMAIN = "stack", "app.example.com"  # a lint has no deployment: any name will do
# The dots, a suffix and the leading `v` are those of real images: 1.27, v2.1.0, 15-alpine.
VERSION_TAG = re.compile(r"v?\d+(\.\d+)*([-+._][\w.+-]*)?", re.IGNORECASE)
METADATA = re.compile(r"<!--[ \t]*metadata[ \t]*-->")
END = re.compile(r"<!--[ \t]*endmetadata[ \t]*-->")
FIELD = re.compile(r"^[ \t]*\*[ \t]+\*\*(?P<name>[^*:]+)\*\*:(?P<value>.*)$", re.MULTILINE)
CATEGORY = "category"  # the one field that nothing can be said about when it is empty
VERSION_VARIABLE = re.compile(r"\w+_VERSION")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A recipe as the rules see it: what could be read of it, and why the rest could not.

    Attributes:
        source: the recipe's files.
        lightweight: the tags that are not annotated.
        settings: what .env.sample sets, or None when there is none that can be read.
        compose: the compose files, or None.
        problem: why there are none.
    """

    source: Files
    lightweight: tuple[str, ...]
    settings: Mapping[str, str] | None
    compose: Compose | None
    problem: str

    @classmethod
    def read(cls, source: Files, lightweight: Sequence[str]) -> Recipe:
        """Read a recipe; whatever is wrong with it is left to the rules."""
        settings, read, problem = None, None, ""
        given = {"STACK_NAME": STACK, "DOMAIN": DOMAIN}
        try:
            if source.read(ENV_SAMPLE) is not None:
                settings = envfile.as_dict(envfile.read(source, ENV_SAMPLE, base=given))
            exports = envfile.abra_exports(source.text(ABRA_SH))
            env = {**(settings or {}), **given, **exports}
            read = compose.load(source, env.get("COMPOSE_FILE", ""), env)
        except (InvalidRecipeError, RefusedError) as error:
            problem = error.what
        return cls(
            source=source,
            lightweight=tuple(lightweight),
            settings=settings,
            compose=read,
            problem=problem,
        )

    @property
    def files(self) -> Compose:
        """The compose files.

        Raises:
            InvalidRecipeError: they cannot be read.
        """
        if self.compose is None:
            raise InvalidRecipeError(self.problem)
        return self.compose


def check(recipe: Recipe) -> tuple[RuleResult, ...]:
    """Check every rule that needs no network; the others are said to be *not checked*."""
    return tuple(_result(rule, recipe) for rule in RULES)


def backup_labels(recipe: Recipe) -> RuleResult:
    """Check the rule that is not one of abra's: what the backup labels would do."""
    return _result(BACKUP, recipe)


def _result(rule: Rule, recipe: Recipe) -> RuleResult:
    outcome, reason = Outcome.PASSED, ""
    if rule.needs:
        outcome, reason = Outcome.SKIPPED, f"not checked: it would have to ask {rule.needs}"
    else:
        try:
            reason = "; ".join(CHECKS[rule.number](recipe))
            outcome = Outcome.FAILED if reason else Outcome.PASSED
        except _NotApplicableError as error:
            outcome, reason = Outcome.SKIPPED, str(error)
        except (InvalidRecipeError, RefusedError) as error:
            outcome, reason = Outcome.SKIPPED, f"not checked: {error.what}"
    return RuleResult(
        rule=rule.number, level=rule.level, about=rule.about, outcome=outcome, reason=reason
    )


class _NotApplicableError(Exception):
    """A rule that says nothing about this recipe."""


def _format(recipe: Recipe) -> Iterator[str]:
    raw = yamlfile.load(recipe.source, COMPOSE_FILE)
    version = raw.get("version") if isinstance(raw, dict) else None
    if str(version or "") != FORMAT:
        yield f"{COMPOSE_FILE} says {f'version {version}' if version else 'no version'}"


def _health_checks(recipe: Recipe) -> Iterator[str]:
    for service in recipe.files.services.values():
        if not service.healthcheck:
            yield f"service {service.name} has none"


def _tagged(recipe: Recipe) -> Iterator[str]:
    yield from (f"{image} has none" for image in recipe.files.images() if not parsed(image).tag)


def _stable(recipe: Recipe) -> Iterator[str]:
    yield from (image for image in recipe.files.images() if parsed(image).tag == "latest")


def _version_like(recipe: Recipe) -> Iterator[str]:
    for image in recipe.files.images():
        tag = parsed(image).tag
        if tag and not VERSION_TAG.fullmatch(tag):
            yield f"{image} does not"


def _metadata(recipe: Recipe) -> Iterator[str]:
    readme = recipe.source.text("README.md")
    begin = METADATA.search(readme)
    end = END.search(readme, begin.end()) if begin else None
    if not begin or not end:
        yield "README.md has no metadata"
        return
    fields = FIELD.finditer(readme, begin.end(), end.start())
    values = {field["name"].strip().lower(): field["value"].strip() for field in fields}
    if not values.get(CATEGORY):
        yield "the category is empty"


def _env_sample(recipe: Recipe) -> Iterator[str]:
    if recipe.source.read(ENV_SAMPLE) is None:
        yield "there is none"


def _app(recipe: Recipe) -> Iterator[str]:
    services = recipe.files.services
    if "app" not in services:
        yield f"its services are {', '.join(services)}"


def _routed(recipe: Recipe) -> Iterator[str]:
    if not (recipe.settings or {}).get("DOMAIN"):
        raise _NotApplicableError(f"{ENV_SAMPLE} has no DOMAIN, so there is nothing to route")
    services = recipe.files.services.values()
    if not any(service.labels.get("traefik.enable") == "true" for service in services):
        yield "no service has the label traefik.enable=true under deploy"


def _images(recipe: Recipe) -> Iterator[str]:
    if recipe.compose is not None:  # it could not have been read without
        return
    raw = yamlfile.load(recipe.source, COMPOSE_FILE)
    services = raw.get("services") if isinstance(raw, dict) else None
    for name, service in (services if isinstance(services, dict) else {}).items():
        if not (isinstance(service, dict) and service.get("image")):
            yield f"service {name} has none"


def _config_versions(recipe: Recipe) -> Iterator[str]:
    """Each `..._VERSION` in a config's name has to be exported by abra.sh."""
    exports = envfile.abra_exports(recipe.source.text(ABRA_SH))
    for file in recipe.files.files:
        raw = yamlfile.load(recipe.source, file)
        configs = raw.get("configs") if isinstance(raw, dict) else None
        for key, config in (configs if isinstance(configs, dict) else {}).items():
            name = str(config.get("name", "")) if isinstance(config, dict) else ""
            for variable in VERSION_VARIABLE.findall(name):
                if variable not in exports:
                    yield f"config {key} wants {variable}"


def _annotated(recipe: Recipe) -> Iterator[str]:
    yield from (f"{tag} is a lightweight one" for tag in recipe.lightweight)


def _secret_names(recipe: Recipe) -> Iterator[str]:
    for name in recipe.files.secrets:
        if len(name) > LONGEST_SECRET:
            yield f"{name} has {len(name)}"


def _backup_labels(recipe: Recipe) -> Iterator[str]:
    services = recipe.files.services.values()
    labels = {service.name: service.labels for service in services}
    yield from (
        warning.text
        for warning in advise(labels, {one.name: one.container_labels for one in services})
    )
    try:
        VolumeLabels.of(labels, [short_name(one, STACK) for one in recipe.files.mounted(STACK)])
    except BackupError as error:
        yield error.what


CHECKS: Mapping[str, Callable[[Recipe], Iterator[str]]] = {
    "R001": _format,
    "R002": _health_checks,
    "R003": _tagged,
    "R004": _stable,
    "R005": _version_like,
    "R007": _metadata,
    "R008": _env_sample,
    "R009": _app,
    "R010": _routed,
    "R011": _images,
    "R012": _config_versions,
    "R014": _annotated,
    "R015": _secret_names,
    BACKUP.number: _backup_labels,
}
