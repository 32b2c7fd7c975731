"""A run's private clone of a recipe: its releases, its refs, its files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

from harness.core.errors import InvalidRecipeError, SourceError
from harness.core.nearest import nearest
from harness.recipes import checkout_size
from harness.recipes.files import Files
from harness.recipes.git import Git
from harness.recipes.git_access import Access, passwords
from harness.recipes.git_words import explain
from harness.recipes.releases import Candidates, Release
from harness.recipes.versions import Version

_BRANCHES, _TAGS = "refs/remotes/origin/", "refs/tags/"
MOST_OBJECTS = 64 << 20  # bytes that are read out of git at once
_COMMIT = re.compile(r"[0-9a-f]{4,64}")
_CHANGE = re.compile(r"(?:#|!|pull/|merge-requests/)?(?P<number>[1-9]\d{0,5})(?:/head)?")
_CHANGE_REFS = ("refs/pull/{}/head", "refs/merge-requests/{}/head")
_NO_SUCH_REF = re.compile(r"couldn't find remote ref|not our ref|no such remote ref", re.IGNORECASE)
_REF_FORMAT = "%00".join(
    f"%({name})" for name in ("refname", "objecttype", "objectname", "*objecttype", "*objectname")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ref:
    """What a branch or a tag names."""

    commit: str
    annotated: bool


@dataclass(slots=True, kw_only=True)
class Repo:
    """A private clone, as its refs stood when it was made.

    Attributes:
        path: the clone's working tree, empty until the first `checkout`: only abra needs one.
        source: where it was cloned from, with passwords masked.
        notice: something the user should be told about the source, or empty.
        other_tags: the tags that are not releases.
        shallow: whether its history is cut off.
        upstream: the address that a path's repository was itself cloned from, or empty; None for a
            source that is an origin itself.
    """

    path: Path
    source: str
    notice: str
    other_tags: tuple[str, ...]
    shallow: bool = False
    upstream: str | None = None
    _head: str
    _branches: Mapping[str, Ref] = field(repr=False)
    _tags: Mapping[str, Ref] = field(repr=False)
    _git: Git = field(repr=False)
    _files: dict[str, Files] = field(default_factory=dict, repr=False)

    def releases(self) -> tuple[Release, ...]:
        """Return the releases, the oldest version first.

        Two tags are never the same version: versions are equal only when their texts are.
        """
        found = [
            Release(tag=tag, version=version, commit=ref.commit, annotated=ref.annotated)
            for tag, ref in self._tags.items()
            if (version := Version.parse(tag))
        ]
        return tuple(sorted(found, key=lambda release: release.version))

    def tags(self) -> tuple[str, ...]:
        """Return every tag, releases or not."""
        return tuple(self._tags)

    def lightweight_tags(self) -> tuple[str, ...]:
        """Return the tags that are not annotated, releases or not, in the order of their names."""
        return tuple(sorted(tag for tag, ref in self._tags.items() if not ref.annotated))

    def releases_before(self, commit: str) -> tuple[Release, ...]:
        """Return the releases that a commit descends from, the oldest version first.

        The commit itself is not among them. When it is a release, neither is any that is not
        strictly older than it: a head is never upgraded from something as new as itself.
        """
        return self.candidates(commit).older

    def candidates(self, commit: str) -> Candidates:
        """Return what a commit can be upgraded from, and why not from the other tags."""
        behind = self._tags_behind(commit)
        releases = {release.tag: release for release in self.releases()}
        own = [one.version for one in releases.values() if one.commit == commit]
        refused: dict[str, str] = {}
        others = []
        for tag, ref in self._tags.items():
            release = releases.get(tag)
            if ref.commit == commit:
                refused[tag] = "it is the head itself"
            elif tag not in behind:
                cut = ", as far as this shallow clone shows" if self.shallow else ""
                refused[tag] = f"the head does not descend from it{cut}"
            elif release and own and release.version >= max(own):
                refused[tag] = f"it is not older than {max(own)}, which the head is"
            elif not release and not ref.annotated:
                refused[tag] = "it is neither a release nor an annotated tag (git tag -a)"
            elif not release:
                version = Version.loose(tag)
                one = Release(tag=tag, version=version, commit=ref.commit, annotated=True)
                others.append(one)
        older = tuple(one for tag, one in releases.items() if tag not in refused)
        return Candidates(older=older, others=tuple(others), refused=refused)

    def _tags_behind(self, commit: str, *, without: str = "") -> frozenset[str]:
        """Return the tags that a commit descends from, without those that another one does."""
        less = ("--no-merged", without) if without else ()
        shown = self._git.local(
            "for-each-ref", "--merged", commit, *less, "--format=%(refname:strip=2)", _TAGS,
            cwd=self.path,
        )  # fmt: skip
        return frozenset(shown.splitlines())

    def tags_between(self, base: str, head: str) -> frozenset[str]:
        """Return the tags that head descends from and base does not; an empty base is none."""
        return self._tags_behind(head, without=base)

    def upstream_tags(self, *, timeout: float) -> Mapping[str, str] | None:
        """Return the tags of the repository that a path was cloned from, and their commits.

        None means that it cannot be asked.
        """
        listed = self._ask_upstream("ls-remote", "--tags", timeout=timeout)
        if listed is None:
            return None
        found: dict[str, str] = {}
        for line in listed.splitlines():
            commit, _, name = line.partition("\t")
            found[name.removeprefix(_TAGS).removesuffix("^{}")] = commit  # the peeled one is last
        return found

    def _ask_upstream(self, command: str, *words: str, timeout: float) -> str | None:
        """Return what a git command prints of the repository that a path was cloned from.

        Words that begin with a dash go before its address. None means that it cannot be asked.
        """
        if not self.upstream:
            return None
        access = Access.of(self.upstream)  # CIs leave a login in the clone that they make
        asked = replace(
            self._git, timeout=timeout, options=access.options,
            env={**self._git.env, **access.login}, secrets=passwords(self.upstream),
        )  # fmt: skip
        options = [word for word in words if word.startswith("-")]
        refs = [word for word in words if not word.startswith("-")]
        try:
            done = asked.run(command, *options, "--", access.address, *refs, cwd=self.path)
        except (SourceError, InvalidRecipeError):
            return None
        return done.stdout if done.code == 0 else None

    def annotated(self, *, timeout: float) -> Repo:
        """Return the clone with each release as it is tagged where a path was cloned from.

        A CI may leave the tag that started it lightweight, whatever it is (actions/checkout,
        issue 882). Where that repository cannot be asked, the clone stays as it is.
        """
        light = {one.tag: one.commit for one in self.releases() if not one.annotated}
        listed = light and self._ask_upstream("ls-remote", "--tags", timeout=timeout)
        for line in (listed or "").splitlines():
            commit, _, name = line.partition("\t")
            tag = name.removesuffix("^{}")
            if tag != name and light.get(tag.removeprefix(_TAGS)) == commit:  # annotated there
                self._ask_upstream(
                    "fetch", "--quiet", "--no-tags", f"+{tag}:{tag}", timeout=timeout
                )
        if not listed:
            return self
        return read(
            self._git, self.path, source=self.source, notice=self.notice, upstream=self.upstream
        )

    def descends(self, head: str, commit: str) -> bool:
        """Whether a head descends from a commit; one that is missing here is not an ancestor."""
        done = self._git.run("merge-base", "--is-ancestor", commit, head, cwd=self.path)
        return done.code == 0

    def default_branch_commit(self) -> str:
        """Return the commit that the source itself has checked out: 40 hex digits.

        Raises:
            SourceError: the source's HEAD names a branch that does not exist.
        """
        if not self._head:
            raise SourceError(
                f"{self.source} has no default branch: its HEAD names a branch that is not there",
                hint=f"name a ref: {_listed(self._branches) or 'it has no branches'}",
            )
        return self._head

    def resolve(self, ref: str) -> str:
        """Return the commit that a ref names: 40 hex digits.

        Args:
            ref: a tag, a branch, a commit (4 digits or more), `refs/...`, or the number of a pull
                or merge request (`7`, `#7`, `!7`, `pull/7`), which is fetched. A tag goes before a
                branch of that name, and a number of six digits or fewer is a request before it is
                a commit. Empty or `HEAD` is what the source has checked out.

        Raises:
            SourceError: there is no such ref, or it cannot be fetched.
        """
        if ref in ("", "HEAD"):
            return self.default_branch_commit()
        if ref.startswith("-") or re.search(r"[\s~^:?*\[\\\x00-\x1f]|\.\.|@\{", ref):
            raise SourceError(
                f"'{ref}' can be no ref of {self.source}",
                hint="name a branch, a tag, a commit or a pull request's number",
            )
        known = self._tags.get(ref.removeprefix("refs/tags/"))
        if known is None or ref.startswith("refs/heads/"):
            known = self._branches.get(ref.removeprefix("refs/heads/"))
        return known.commit if known else self._resolve_unlisted(ref)

    def checkout(self, commit: str) -> None:
        """Make the working tree exactly that commit's: detached, nothing left of before.

        Raises:
            InvalidRecipeError: it has more or larger files than a checkout may have.
            SourceError: the clone has no such commit.
        """
        if not _COMMIT.fullmatch(commit):
            raise SourceError(f"'{commit}' is not a commit of {self.source}")
        listing = self._objects("ls-tree", "-r", "-z", "-l", commit, most=checkout_size.MOST_LISTED)
        checkout_size.require_small(f"{commit[:12]} of {self.source}", listing)
        done = self._git.run("checkout", "--quiet", "--force", "--detach", commit, cwd=self.path)
        if done.code != 0:
            explain(f"{commit[:12]} of {self.source} cannot be checked out", done.stderr)
        self._git.local("clean", "-ffdxq", cwd=self.path)

    def files(self, commit: str) -> Files:
        """Return the files of a commit, which are read as they are asked for.

        Raises:
            SourceError: that is not a commit's name.
        """
        if not _COMMIT.fullmatch(commit):
            raise SourceError(f"'{commit}' is not a commit of {self.source}")

        def objects(arguments: Sequence[str], stdin: bytes) -> bytes:
            return self._objects(*arguments, stdin=stdin)

        return self._files.setdefault(commit, Files(commit=commit, objects=objects))

    def tree(self, commit: str, name: str) -> bytes:
        """Return what `git ls-tree -r -z -l` lists of a file or folder at the top of that commit.

        Raises:
            SourceError: the clone has no such commit.
        """
        if not _COMMIT.fullmatch(commit):
            raise SourceError(f"'{commit}' is not a commit of {self.source}")
        return self._objects("ls-tree", "-r", "-z", "-l", "--full-tree", commit, name)

    def blobs(self, ids: Iterable[str]) -> bytes:
        """Return what `git cat-file --batch` says of objects: each one's bytes, as committed."""
        asked = "".join(f"{one}\n" for one in ids)
        return self._objects("cat-file", "--batch", stdin=asked.encode())

    def _objects(
        self, *arguments: str, stdin: bytes | None = None, most: int = MOST_OBJECTS
    ) -> bytes:
        done = self._git.run(*arguments, cwd=self.path, stdin=stdin, binary=True, most=most)
        if done.code != 0:
            explain(f"objects of {self.source} cannot be read", done.stderr)
        return done.raw

    def _resolve_unlisted(self, ref: str) -> str:
        if change := _CHANGE.fullmatch(ref):
            found = self._fetch([form.format(change["number"]) for form in _CHANGE_REFS])
        else:
            found = self._fetch([ref]) if ref.startswith("refs/") else ""
        if not found and _COMMIT.fullmatch(ref):
            found = self._find_commit(ref)
        return found or self._no_such_ref(ref)

    def _find_commit(self, digits: str) -> str:
        name = f"{digits}^{{commit}}"
        done = self._git.run("rev-parse", "--verify", "--quiet", name, cwd=self.path)
        if done.code == 0:
            return done.stdout.strip()
        # A forge hands out a commit that no branch holds, if it is asked for in full.
        return self._fetch([digits]) if len(digits) >= 40 else ""  # noqa: PLR2004  a whole SHA-1

    def _fetch(self, refs: Sequence[str]) -> str:
        for ref in refs:
            done = self._git.run(
                "fetch",
                "--quiet",
                "--no-tags",
                "--no-write-fetch-head",
                *self._git.trust,
                "--end-of-options",
                "origin",
                f"+{ref}:refs/cc-ci/asked",
                cwd=self.path,
            )
            if done.code == 0:
                name = "refs/cc-ci/asked^{commit}"
                return self._git.local("rev-parse", "--verify", name, cwd=self.path).strip()
            if not _NO_SUCH_REF.search(done.stderr):
                explain(f"the ref '{ref}' of {self.source} cannot be fetched", done.stderr)
        return ""

    def _no_such_ref(self, ref: str) -> NoReturn:
        known, has = [*self._branches, *self._tags], f"it has {_listed(self._branches)}"
        raise SourceError(
            f"{self.source} has no ref '{ref}'",
            cause="it is not pushed yet, was deleted, or is spelled differently",
            hint=nearest(ref, known, otherwise=has, cutoff=0.5),
        )


def read(git: Git, path: Path, *, source: str, notice: str, upstream: str | None) -> Repo:
    """Return a clone as its refs stand now; see `Repo`.

    Raises:
        SourceError: it has no commits.
    """
    head = git.run("rev-parse", "--verify", "--quiet", "HEAD^{commit}", cwd=path).stdout.strip()
    listing = git.local("for-each-ref", f"--format={_REF_FORMAT}", _BRANCHES, _TAGS, cwd=path)
    branches: dict[str, Ref] = {}
    tags: dict[str, Ref] = {}
    for line in listing.splitlines():
        name, kind, thing, peeled_kind, peeled = line.split("\0")
        if peeled_kind == "tag":  # a tag of a tag; git peels only once here
            peeled = git.local("rev-parse", f"{name}^{{}}", cwd=path).strip()
        elif "commit" not in (kind, peeled_kind):
            continue  # a tag may name a mere file
        ref = Ref(commit=peeled or thing, annotated=kind == "tag")
        if name.startswith(_TAGS):
            tags[name.removeprefix(_TAGS)] = ref
        elif name != f"{_BRANCHES}HEAD":
            branches[name.removeprefix(_BRANCHES)] = ref
    if not branches and not tags and not head:
        raise SourceError(f"{source} has no commits", hint="commit and push something to it first")
    others = tuple(tag for tag in tags if Version.parse(tag) is None)
    cut = git.local("rev-parse", "--is-shallow-repository", cwd=path).strip() == "true"
    return Repo(
        path=path,
        source=source,
        notice=notice,
        other_tags=others,
        shallow=cut,
        upstream=upstream,
        _head=head,
        _branches=branches,
        _tags=tags,
        _git=git,
    )


def _listed(branches: Mapping[str, Ref]) -> str:
    names = sorted(branches)
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""  # noqa: PLR2004  fills a line
    return f"the branches {', '.join(names[:5])}{more}" if names else ""
