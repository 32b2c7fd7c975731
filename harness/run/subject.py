"""What is tested: the recipe's private clone, its head and releases, and the plan for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.assertions.health import router_warnings, said_of
from harness.backups.advice import advise
from harness.backups.labels import VOLUME, is_enabled, short_name
from harness.ci.pull_request import Change
from harness.ci.under_test import DEFAULT_REF, asked_ref
from harness.core.errors import RecipeError, UsageError
from harness.core.events import Doing, Step
from harness.core.model import RunWarning, Stage
from harness.core.settings import Settings
from harness.core.waiting import stretched
from harness.platforms.app_secrets import names_in
from harness.platforms.base import Images, Target
from harness.platforms.environment import (
    AppEnvironment,
    declared_version,
    doors,
    version_label,
)
from harness.recipes import meta
from harness.recipes.catalogue import Entry
from harness.recipes.completeness import ASK_SECONDS, require_releases, warnings_of_tags
from harness.recipes.compose import Compose
from harness.recipes.discovery import Discovery
from harness.recipes.ignored import not_replaced
from harness.recipes.policy.allowed import Policy
from harness.recipes.policy.asked import asks_of, left_alone
from harness.recipes.releases import Candidates, Release
from harness.recipes.repo import Repo
from harness.recipes.versions import Version
from harness.run.own_tests import OwnTests, Places, own_tests
from harness.stages.planner import Head, Plan, make, newest
from harness.stages.seeding import SeedHooks


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One recipe, ready to be run."""

    repo: Repo
    plan: Plan
    meta: meta.RecipeMeta
    seeds: SeedHooks
    steps: tuple[Path, ...]  # scripts that belong to the install
    policy: Policy  # what it may ask of the host
    images: tuple[str, ...]  # of the head
    base_images: tuple[str, ...] = ()  # of the base, which the head does not use

    def fetch(self, images: Images, *, step: Callable[[Doing], None]) -> None:
        """Make sure that every image is there before anything is deployed.

        One of the base's that its registry has no more is told by the install, which does without
        that base then.

        Raises:
            RecipeError: the registry has no such image of the head's.
            TestBedError: one can be neither pulled nor built.
        """
        for image in (*self.images, *self.base_images):
            step(Doing(step=Step.IMAGE, about=image))
            with suppress(*([] if image in self.images else [RecipeError])):
                images(image)


def study(
    entry: Entry,
    repo: Repo,
    commit: str,
    settings: Settings,
    target: Target,
    *,
    places: Places,
    change: Change | None = None,
) -> Subject:
    """Read a cloned recipe, and plan its run.

    Args:
        entry: the recipe's line in the catalogue.
        repo: its private clone.
        commit: the commit under test.
        settings: what was asked for.
        target: where it will be deployed.
        places: where the files around it lie.
        change: the pull request, as the forge told of it; None where none was asked for.

    Raises:
        SourceError: a ref or a release that was asked for is not there.
        RecipeError: the head cannot be deployed at all.
        UsageError: the recipe's meta, or the list of approvals, is wrong.
    """
    about = meta.load(
        Discovery.of(entry.name, tests=places.tests, overlays=places.overlays).meta_file()
    )
    local = own_tests(entry, repo, commit, settings, places=places, change=change)
    skip = settings.skip_generic | about.skip_generic()
    files = Discovery.of(
        entry.name, tests=places.tests, overlays=places.overlays,
        skip_generic=skip, shipped=local.laid_out, denied=local.denied,
    )  # fmt: skip
    seeds = SeedHooks.load(files.seed_hooks())
    revisions = _Revisions(repo=repo, target=target, about=about)
    compose, candidates = revisions.compose(commit), repo.candidates(commit)
    older, version = candidates.older, settings.version or about.UPGRADE_BASE
    asked = asked_stages(settings, entry)
    policy = Policy.of(
        entry.name, about.HOST_ACCESS, trusted=settings.trust, overlays=str(places.overlays)
    )
    warnings = list(_unsure(repo, commit, candidates, asked) if not version else ())
    if about.NO_WITNESS or about.MAX_LOSS or about.KNOWN_LEAKS:
        _check_meta(about, (compose, revisions.newest_of(older)), target.stack)
    declared = declared_version(compose, target.stack)
    plan = make(
        recipe=entry.name,
        head=Head(
            commit=commit,
            ref=asked_ref(settings, entry) or DEFAULT_REF,
            version=declared,
            has_backup=revisions.has_backup(compose, older),
            release=_release_of(repo, commit),
        ),
        candidates=candidates,
        version=version,
        asked=asked,
        files={stage: files.resolve_op(stage) for stage in Stage},
        denied={stage: files.denied_in(stage) for stage in Stage},
        notes=[
            *_notes(repo, about, local, change),
            *_older(declared, newest(older)),
            said_of(doors(compose, target), about, (*compose.services,)),
        ],
        left_out=[
            *_left_out(about, skip, local),
            *_left_out_of_backup(compose),
            *left_alone(compose),
        ],
        repo_local=local.why,
        warnings=[
            *advise(_labels(compose), _container_labels(compose)),
            *router_warnings(compose),
            *not_replaced(compose.kept),
            *warnings,
        ],
    )
    tags = warnings_of_tags(repo, commit, candidates, plan.base or newest(older), asked)
    base = revisions.readable(plan.base.commit) if plan.base else None
    upgraded = revisions.upgraded(plan.base.commit, commit) if base and plan.base else None
    asks = [
        ask
        for one in (compose, base, upgraded)
        if one
        for ask in asks_of(one, target.stack, target.domain)
    ]
    policy.require(asks)
    plan = replace(
        plan,
        notes=(*plan.notes, *policy.notes(asks)),
        warnings=(*plan.warnings, *tags, *policy.stale(asks)),
    )
    if base and plan.base in candidates.others:
        plan = replace(plan, base=replace(plan.base, version=_loosely(base, target.stack)))
    return Subject(
        repo=repo,
        plan=plan,
        meta=about,
        seeds=seeds,
        steps=files.install_steps(),
        policy=policy,
        images=tuple(sorted(compose.images())),
        base_images=tuple(sorted({*(base.images() if base else ())} - {*compose.images()})),
    )


def _loosely(base: Compose, stack: str) -> Version:
    """Return the version that a base declares whose tag is not a release."""
    return declared_version(base, stack) or Version.loose(version_label(base, stack))


def _unsure(
    repo: Repo, commit: str, candidates: Candidates, asked: Sequence[Stage]
) -> Iterator[RunWarning]:
    """Make sure that a head without an older release has none, where an upgrade was asked for."""
    if Stage.UPGRADE in asked:
        timeout = stretched(ASK_SECONDS)
        if open_question := require_releases(repo, commit, candidates, timeout=timeout):
            yield open_question


@dataclass(slots=True, kw_only=True)
class _Revisions:
    """Commits of the recipe, as compose files; each is read once."""

    repo: Repo
    target: Target
    about: meta.RecipeMeta
    _read: dict[str, Compose] = field(default_factory=dict)

    def compose(self, commit: str) -> Compose:
        if commit not in self._read:
            files = self.repo.files(commit)
            environment = AppEnvironment.of(files, self.target, self.about.EXTRA_ENV)
            self._read[commit] = environment.compose(files)
        return self._read[commit]

    def upgraded(self, base: str, head: str) -> Compose | None:
        """Return the head's compose files as an upgrade fills them in: from the base's settings."""
        extra = self.about.EXTRA_ENV
        try:
            files = self.repo.files(head)
            later = AppEnvironment.of(files, self.target, extra)
            app = AppEnvironment.of(self.repo.files(base), self.target, extra)
            return app.with_new_secrets(later).compose(files)
        except RecipeError:
            return None

    def readable(self, commit: str) -> Compose | None:
        """Return those of a base, or None where they cannot be read: no fault of the head's."""
        try:
            return self.compose(commit)
        except RecipeError:
            return None

    def newest_of(self, releases: tuple[Release, ...]) -> Compose | None:
        found = newest(releases)
        return self.readable(found.commit) if found else None

    def has_backup(self, head: Compose, older: tuple[Release, ...]) -> bool:
        """Whether there is something to back up, unless the meta decides that.

        A head that lost its backup label must not get away with having nothing to back up.
        """
        if self.about.BACKUP_CAPABLE is not None:
            return self.about.BACKUP_CAPABLE
        base = None if _is_backed_up(head) else self.newest_of(older)
        return _is_backed_up(head) or (base is not None and _is_backed_up(base))


def _release_of(repo: Repo, commit: str) -> str:
    """Return the version of the release that the commit is, or empty."""
    found = newest([release for release in repo.releases() if release.commit == commit])
    return str(found.version) if found else ""


def _check_meta(about: meta.RecipeMeta, read: Iterable[Compose | None], stack: str) -> None:
    """Refuse names of volumes and secrets in the meta that neither head nor base has.

    Raises:
        UsageError: one would excuse nothing.
    """
    both = tuple(filter(None, read))
    volumes = {short_name(v.full_name(stack), stack) for one in both for v in one.volumes.values()}
    secrets = {name for one in both for name in names_in(one, stack)}
    _check_names("NO_WITNESS", about.NO_WITNESS, "volume", volumes)
    _check_names("MAX_LOSS", {n.partition("/")[0] for n in about.MAX_LOSS}, "volume", volumes)
    _check_names("KNOWN_LEAKS", about.KNOWN_LEAKS, "secret", secrets)


def _check_names(field: str, given: Iterable[str], kind: str, known: set[str]) -> None:
    unknown = sorted(set(given) - known)
    if unknown:
        raise UsageError(
            f"{field} in recipe_meta.py names no {kind} of the recipe: {', '.join(unknown)}",
            hint=f"its {kind}s are {', '.join(sorted(known)) or 'none'}",
        )


def asked_stages(settings: Settings, entry: Entry) -> tuple[Stage, ...]:
    """Return the stages that were asked for: by this call, else by the recipe's line, else all."""
    return settings.stages if "stages" in settings.origins else entry.stages or settings.stages


def _is_backed_up(compose: Compose) -> bool:
    return any(is_enabled(service.labels) for service in compose.services.values())


def _notes(repo: Repo, about: meta.RecipeMeta, local: OwnTests, change: Change | None) -> list[str]:
    notes = [repo.notice, *(change.notes if change else ()), local.note]
    notes += [f"recipe_meta.py sets {name} = {value!r}" for name, value in about.changed().items()]
    return [note for note in notes if note]


def _older(head: Version | None, release: Release | None) -> list[str]:
    if head is None or release is None or head >= release.version:
        return []
    return [f"the head declares version {head}, which is older than its last release {release.tag}"]


def _left_out(about: meta.RecipeMeta, skip: frozenset[Stage], local: OwnTests) -> list[str]:
    """Return what the verdict will not rest on, for whoever reads it."""
    found = []
    if skip:
        stages = ", ".join(s for s in Stage if s in skip and s is not Stage.CUSTOM)
        found.append(f"generic assertions of {stages}")
    found += [
        f"the witness in volume {volume}: {reason}" for volume, reason in about.NO_WITNESS.items()
    ]
    return [*found, local.why] if local.why else found


def _labels(head: Compose) -> dict[str, Mapping[str, str]]:
    return {name: service.labels for name, service in head.services.items()}


def _container_labels(head: Compose) -> dict[str, Mapping[str, str]]:
    return {name: service.container_labels for name, service in head.services.items()}


def _left_out_of_backup(head: Compose) -> list[str]:
    """Return the volumes of which the head's labels back up paths only: they get no witness."""
    if not _is_backed_up(head):
        return []
    named = (label for labels in _labels(head).values() for label in labels)
    return [
        f"a witness in volume {label.removeprefix(VOLUME).removesuffix('.path')}: "
        "only paths of it are backed up"
        for label in dict.fromkeys(named)
        if label.startswith(VOLUME) and label.endswith(".path")
    ]
