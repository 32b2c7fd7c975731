"""What is tested: the recipe's private clone, its head and releases, and the plan for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.backups.labels import is_enabled
from harness.errors import UsageError
from harness.model import Stage
from harness.plan.planner import Head, Plan, make, newest
from harness.platforms.base import Target
from harness.platforms.environment import AppEnvironment, declared_version
from harness.recipes import discovery, meta
from harness.recipes.catalogue import Entry
from harness.recipes.compose import Compose
from harness.recipes.repo import Repo
from harness.seeding import SeedHooks
from harness.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One recipe, ready to be run."""

    repo: Repo
    plan: Plan
    meta: meta.RecipeMeta
    seeds: SeedHooks
    images: tuple[str, ...]  # of every revision that the plan deploys


def study(entry: Entry, repo: Repo, settings: Settings, target: Target, *, tests: Path) -> Subject:
    """Read a cloned recipe, and plan its run.

    Args:
        entry: the recipe's line in the catalogue.
        repo: its private clone.
        settings: what was asked for.
        target: where it will be deployed.
        tests: the project's `tests` directory.

    Raises:
        SourceError: a ref or a release that was asked for is not there.
        RecipeError: the head cannot be deployed at all.
        UsageError: the recipe's meta is wrong.
    """
    about = meta.load(discovery.meta_file(tests, entry.name))
    ref = _ref(settings, entry)
    commit = repo.resolve(ref)
    compose = _compose(repo, commit, target, about.EXTRA_ENV)
    older, version = repo.releases_before(commit), settings.version or about.UPGRADE_BASE
    base = newest(older)
    # A head that lost its backup label must not get away with having nothing to back up.
    labelled = _is_backed_up(compose) or (
        base is not None and _is_backed_up(_compose(repo, base.commit, target, about.EXTRA_ENV))
    )
    head = Head(
        commit=commit,
        ref=ref or "default branch",
        version=declared_version(compose, target.stack),
        has_backup=labelled if about.BACKUP_CAPABLE is None else about.BACKUP_CAPABLE,
    )
    skip = settings.skip_generic | about.skip_generic()
    plan = make(
        recipe=entry.name,
        head=head,
        older=older,
        version=version,
        asked=_stages(settings, entry),
        files={
            stage: discovery.files_for(stage, tests=tests, recipe=entry.name, skip_generic=skip)
            for stage in Stage
        },
        notes=_notes(repo, about, skip),
    )
    images = set(compose.images())
    if plan.base is not None:
        images.update(_compose(repo, plan.base.commit, target, about.EXTRA_ENV).images())
    return Subject(
        repo=repo,
        plan=plan,
        meta=about,
        seeds=SeedHooks.load(discovery.seed_hooks(tests, entry.name)),
        images=tuple(sorted(images)),
    )


def _ref(settings: Settings, entry: Entry) -> str:
    if settings.pr and settings.ref:
        raise UsageError(
            "both a ref and a pull request were asked for",
            hint="give one of --ref and --pr (or REF and PR in the environment)",
        )
    if settings.ref and entry.ref and not entry.line:
        raise UsageError(
            f"two refs were asked for: '{entry.ref}' and '{settings.ref}'",
            hint="give one of #REF and --ref (or REF in the environment)",
        )
    return f"pull/{settings.pr}" if settings.pr else settings.ref or entry.ref


def _stages(settings: Settings, entry: Entry) -> tuple[Stage, ...]:
    return settings.stages if "stages" in settings.origins else entry.stages or settings.stages


def _compose(repo: Repo, commit: str, target: Target, extra: Mapping[str, str]) -> Compose:
    repo.checkout(commit)
    return AppEnvironment.of(repo.path, target, extra).compose(repo.path)


def _is_backed_up(compose: Compose) -> bool:
    return any(is_enabled(service.labels) for service in compose.services.values())


def _notes(repo: Repo, about: meta.RecipeMeta, skip: frozenset[Stage]) -> list[str]:
    notes = [repo.notice] if repo.notice else []
    notes += [f"recipe_meta.py sets {name} = {value!r}" for name, value in about.changed().items()]
    if skip:
        left_out = ", ".join(stage for stage in Stage if stage in skip)
        notes.append(f"generic assertions are left out of: {left_out}")
    return notes
