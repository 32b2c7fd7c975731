"""A run's pull request: what the forge says it is at, pinned to that commit; git's word else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.ci.forge import address, token
from harness.ci.forge.address import Address
from harness.ci.forge.base import Forge, PullRequest
from harness.ci.forge.dialects import open_forge
from harness.core import proc
from harness.core.errors import ForgeError, SourceError, UsageError
from harness.core.settings import Settings
from harness.recipes.catalogue import Catalogue, Entry, select
from harness.recipes.git_access import passwords
from harness.recipes.repo import Repo

Open = Callable[[Address, token.Token | None], Forge]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A pull request that a run is to test.

    Attributes:
        number: as it was asked for, or as its address says.
        source: the repository that its address names, or empty when only a number was given.
        pinned: what the forge's API said, or None when it was not asked or did not say.
        why: why there is nothing pinned, or empty where no API is known.
    """

    number: str
    source: str = ""
    pinned: PullRequest | None = None
    why: str = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the plan says of it."""
        if self.pinned is None:
            said = f"git's word counts for pull request {self.number}: {self.why}"
            return (said,) if self.why else ()
        found = self.pinned
        base = f", base {found.base[:12]}" if found.base else ""
        source = found.head_repository or "a repository that was deleted"
        fork = f" from the fork {source}" if found.fork else ""
        into = found.base_ref or "its base"
        what = f"pull request {found.number}{fork} into {into}"
        return (f"{what}: pinned to {found.head[:12]}{base}",)

    def resolve(self, repo: Repo) -> str:
        """Return the commit to test: the pinned one, though the head may have moved since.

        Raises:
            SourceError: it cannot be had.
        """
        if self.pinned is None:
            return repo.resolve(f"pull/{self.number}")
        try:
            if repo.resolve(f"pull/{self.number}") == self.pinned.head:
                return self.pinned.head
        except SourceError:
            pass  # the forge may hand out the commit, and no ref for it
        try:
            return repo.resolve(self.pinned.head)
        except SourceError as error:
            raise SourceError(
                f"commit {self.pinned.head[:12]} of pull request {self.number} cannot be fetched",
                cause="it was replaced by a forced push since the forge was asked",
                hint="run it again, for the head that it has now",
            ) from error


def number(text: str) -> str:
    """Return the number of a pull request that was given by its address, or by its number."""
    return str(address.parse(text).number) if address.is_url(text) else text.lstrip("#!")


def ask(
    entry: Entry,
    settings: Settings,
    *,
    say: Callable[[str], None],
    forge: Open | None = None,
) -> Change | None:
    """Ask the forge about the pull request, and return what to test; None where none was asked for.

    A forge that does not answer, or says no, leaves it to git, which may have other ways in.

    Raises:
        UsageError: the address, or the token's file, is wrong.
    """
    if not settings.pr:
        return None
    found = locate(settings.src or entry.source, settings)
    if found is None:
        return Change(number=number(settings.pr))
    source = found.clone_url
    if source and not settings.src:
        _check_recipe(entry, found)
    try:
        pinned = _open(settings, say, forge)(found).pull_request()
    except ForgeError as error:
        first = str(error).splitlines()[0]
        say(f"pull request {found}: {first}; asking git")
        return Change(number=str(found.number), source=source, why=first)
    return Change(number=str(found.number), source=source, pinned=pinned)


def _check_recipe(entry: Entry, found: Address) -> None:
    """Raise when one recipe would be tested under the name of another."""
    own = entry.source.rstrip("/").rpartition("/")[2].removesuffix(".git")
    if found.project.rpartition("/")[2].lower() not in (entry.name, own.lower()):
        raise UsageError(
            f"the pull request {found} is not one of the recipe {entry.name}",
            cause="an address names a repository, and this one has another name",
            hint=f"name the recipe by its address: {found.clone_url}",
        )


def locate(source: str, settings: Settings) -> Address | None:
    """Return where the pull request is, or None for a number on a forge that nothing is known of.

    Raises:
        UsageError: it is no address of one.
    """
    if address.is_url(settings.pr):
        return address.parse(settings.pr, forge=settings.forge, api=settings.forge_api)
    digits = settings.pr.lstrip("#!")
    if not digits.isdecimal():
        return None  # git's own check has the better message
    return address.of_source(source, int(digits), forge=settings.forge, api=settings.forge_api)


def _open(
    settings: Settings, say: Callable[[str], None], forge: Open | None
) -> Callable[[Address], Forge]:
    secret = token.load(settings.token_file, say) if settings.token_file else None
    if forge:
        return lambda found: forge(found, secret)
    return lambda found: open_forge(found, secret, say=say)


def describe(settings: Settings, *, recipes: Path, say: Callable[[str], None]) -> str:
    """Return what the forge says of a pull request, as JSON, for a CI to pin a run by.

    Args:
        settings: the address of one, or its number and a recipe.
        recipes: recipes.txt.
        say: is told of tries and warnings.

    Raises:
        ForgeError: the forge says no. git is not asked: without an answer there is nothing to pin.
        UsageError: there is no forge to ask.
    """
    entries = select(Catalogue.load(recipes), settings.selectors)
    source = settings.src or (entries[0].source if entries else "")
    found = locate(source, settings) if settings.pr else None
    if found is None:
        raise UsageError(
            "there is no forge to ask",
            cause="no --pr was given, or only a number, and nothing is known of the source's host",
            hint=f"python -m harness pr --pr {address.EXAMPLE}, or --forge KIND",
        )
    pinned = _open(settings, say, None)(found).pull_request()
    return json.dumps({"source": found.clone_url or _public(source), **asdict(pinned)})


def _public(source: str) -> str:
    return proc.scrub(source, passwords(source))
