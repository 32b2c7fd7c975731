"""`nox -s post`: what runs came to, as statuses of commits and one comment at a pull request.

A run's directory may come from a job in which anybody's code ran. So nothing in it chooses where
the token goes, and its texts are made harmless. `--sha` says which commit may get a status.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.ci.forge import address, comment, token
from harness.ci.forge.base import Forge, PullRequest, State, Status
from harness.ci.forge.dialects import open_forge
from harness.core import proc
from harness.core.errors import ForgeError, UsageError
from harness.core.model import Outcome
from harness.core.settings import Settings
from harness.report import results, summary
from harness.report.answer import counted, limits
from harness.report.results import RunResult

SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
STATES = {
    Outcome.PASSED: State.SUCCESS,
    Outcome.FAILED: State.FAILURE,
    Outcome.ERROR: State.ERROR,
    Outcome.REFUSED: State.ERROR,
    Outcome.SKIPPED: State.ERROR,
    Outcome.ABORTED: State.ABORTED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One call.

    Attributes:
        runs: directories of runs.
        sha: the commit that every run has to have tested, or empty.
        on: the commit that gets the statuses whatever was tested, or empty.
        context: what statuses' names and the comment's hidden line begin with.
        details: a URL behind the statuses, or empty.
        login: who the token's owner is, or empty: the forge is asked.
        settings: the options that a run has, too.
    """

    runs: tuple[Path, ...]
    sha: str
    on: str
    context: str
    details: str
    login: str
    settings: Settings

    @classmethod
    def of(cls, given: Mapping[str, Any], settings: Settings) -> Asked:
        """Read what a command line says.

        Raises:
            UsageError: something is missing, or no value.
        """
        runs, sha, on, details = (given[name] for name in ("runs", "sha", "on", "details"))
        if not runs:
            raise UsageError("no run is named", hint=f"post runs/NAME --pr {address.EXAMPLE}")
        if not address.is_url(settings.pr):
            raise UsageError(
                "posting needs the pull request's address, not only its number",
                cause="what a run's directory says of its source must not choose the token's host",
                hint=f"--pr {address.EXAMPLE}",
            )
        for name, commit in (("sha", sha), ("on", on)):
            if commit and not SHA.fullmatch(commit):
                raise UsageError(f"'{commit}' is no commit's full name, for --{name}")
        if details and not re.match(r"https?://", details):
            raise UsageError(f"'{details}' is no web address, for --details")
        return cls(
            runs=tuple(map(Path, runs)), sha=sha, on=on, context=given["context"],
            details=details, login=given["login"], settings=settings,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """One run, and the commit that it was about."""

    result: RunResult
    commit: str

    @property
    def state(self) -> State:
        """What its status is set to; no word but *passed*, with exit code 0, is a success."""
        found = STATES[self.result.verdict.outcome]
        if found is State.SUCCESS and self.result.verdict.exit_code != 0:
            return State.ERROR
        return found


def main(asked: Asked, *, say: Callable[[str], None]) -> None:
    """Read the token and the runs, and post.

    Raises:
        UsageError: the call, or what is in a directory, is wrong; nothing was posted.
        ForgeError: the forge refused; `what` says how far it came.
    """
    where = address.parse(
        asked.settings.pr, forge=asked.settings.forge, api=asked.settings.forge_api
    )
    if asked.settings.token_file is None:
        raise UsageError(
            "posting needs a token",
            hint="put it into a file that is yours alone: --token-file FILE (or CCCI_TOKEN_FILE)",
        )
    secret = token.load(asked.settings.token_file, say)
    tested = [load(directory, asked) for directory in asked.runs]
    post(open_forge(where, secret, say=say), tested, asked, secrets=(secret.value,), say=say)


def load(directory: Path, asked: Asked) -> Tested:
    """Return the run that wrote into a directory.

    Raises:
        UsageError: there is no result, it cannot be read, or it is about another commit.
    """
    try:
        result = results.read(directory)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the result of the run in {directory} cannot be read: {type(error).__name__}"
        ) from error
    if result is None:
        raise UsageError(
            f"there is no result in {directory}",
            cause="the run did not end, or that is no run's directory",
        )
    commit = result.head.commit if result.head else ""
    if asked.sha and commit != asked.sha:
        raise UsageError(
            f"the run in {directory} has tested {commit[:12] or 'no commit'},"
            f" and not {asked.sha[:12]}",
            hint="give the directory of the run for that commit",
        )
    if not SHA.fullmatch(asked.on or commit):
        raise UsageError(
            f"cannot set a status: the run in {directory} has no commit",
            hint="name the commit: --on SHA",
        )
    return Tested(result=result, commit=commit)


def post(
    forge: Forge,
    tested: Sequence[Tested],
    asked: Asked,
    *,
    secrets: Sequence[str],
    say: Callable[[str], None],
) -> None:
    """Set a status for each run, then write the comment; the statuses decide, so they go first.

    Raises:
        ForgeError: the forge refused.
        UsageError: two runs are about the same recipe, or the context is no name.
    """
    first = comment.marker(asked.context)
    names = [run.result.recipe for run in tested]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(
            f"several runs are about {', '.join(twice)}",
            cause="a commit has one status for each recipe, so the last one would hide the others",
            hint="name one run for each recipe, or post with --context NAME for each of them",
        )
    now = forge.pull_request()
    for run in tested:
        commit, status = asked.on or run.commit, _status(run, asked, forge.description_limit)
        forge.set_status(commit, status)
        say(f"status  {status.context} of {commit[:12]}: {status.state}")
    body = comment.fitted(
        proc.scrub(_body(first, tested, asked, now), secrets), forge.comment_limit
    )
    try:
        login = asked.login or forge.login()
        done = comment.put(forge, first_line=first, login=login, body=body)
    except ForgeError as error:
        error.what = f"the statuses are set, but not the comment: {error.what}"
        if error.status in (401, 403) and not asked.login:
            error.hint = "let the token read who its owner is, or say so: --login NAME"
        raise
    say(f"comment  {done}, for pull request {now.number} as {login}")


def _status(run: Tested, asked: Asked, limit: int) -> Status:
    verdict, result = run.result.verdict, run.result
    passed = run.state is State.SUCCESS
    where = f" at {verdict.stage}" if verdict.stage and not passed else ""
    alone = limits(result) if passed else ""
    parts = [f"{verdict.outcome}{where} after {result.seconds:.0f} s"]
    parts += ["not on this alone"] if alone else []
    parts += [counted(result)] if counted(result) else []
    stages = ", ".join(one.stage for one in result.stages)
    text = f"{', '.join(parts)}: {(alone or stages) if passed else verdict.cause}"
    line = " ".join(comment.harmless(text).split())
    return Status(
        state=run.state,
        context=f"{asked.context}/{_word(result.recipe)}",
        description=summary.cut(line, limit),
        details=asked.details,
    )


def _body(first: str, tested: Sequence[Tested], asked: Asked, now: PullRequest) -> str:
    commits = {run.commit for run in tested}
    named = sorted(f"`{one}`" if SHA.fullmatch(one) else "no commit" for one in commits)
    lines = [first, "", f"**{asked.context}**: tested at {', '.join(named)}", ""]
    if not asked.on and now.head not in commits:
        moved = f"its head is `{now.head}` now, and that was not tested here."
        lines += [f"**The pull request has moved since**: {moved}", ""]
    if asked.details:
        lines += [f"[The whole report]({asked.details})", ""]
    return (
        "\n".join(lines)
        + "\n"
        + "\n\n".join(comment.harmless(summary.render(one.result)) for one in tested)
    )


def _word(text: str) -> str:
    """Return a recipe's name with nothing in it that Markdown or a forge reads otherwise."""
    return re.sub(r"[^a-z0-9._-]", "-", text.lower())[:64]
