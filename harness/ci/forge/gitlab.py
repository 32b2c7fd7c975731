"""GitLab's dialect: `/api/v4`, projects by their quoted path, `PRIVATE-TOKEN`, notes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import quote

from harness.ci.forge.address import Address
from harness.ci.forge.api import Api, Reply
from harness.ci.forge.base import Answer, Comment, PullRequest, State, Status
from harness.core.errors import ForgeError

_STATES = {
    State.SUCCESS: "success",
    State.FAILURE: "failed",
    State.ERROR: "failed",  # it has no word for a test bed that is wrong
    State.ABORTED: "canceled",
}


def sign(token: str) -> Mapping[str, str]:
    """Return the header that carries a token; a job's own token is none that may comment."""
    return {"PRIVATE-TOKEN": token}


def _is_last(reply: Reply) -> bool:
    return reply.headers.get("x-next-page") == ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GitLab:
    """A merge request of GitLab. Its notes hold a million characters, its descriptions 255."""

    description_limit: ClassVar[int] = 255
    comment_limit: ClassVar[int] = 1_000_000

    api: Api
    address: Address

    @property
    def _project(self) -> str:
        return f"/projects/{quote(self.address.project, safe='')}"

    @property
    def _request(self) -> str:
        return f"{self._project}/merge_requests/{self.address.number}"

    def pull_request(self) -> PullRequest:
        """Return the merge request as it stands now; it names other projects by number only."""
        found = Answer(self.api.get(self._request).content, str(self.address))
        source = found.part("source_project_id").content
        fork = source != found.part("target_project_id").content
        other = f"project {source}" if source else ""
        return PullRequest(
            number=found.number("iid"),
            head=found.sha("sha"),
            base=found.sha("diff_refs", "base_sha", needed=False),  # null until it is computed
            base_ref=found.text("target_branch"),
            head_repository=other if fork else self.address.project,
            fork=fork,
        )

    def login(self) -> str:
        """Return the name of the token's owner; a project's token has a user of its own."""
        return Answer(self.api.get("/user").content, "the token's owner").name("username")

    def comments(self) -> Iterator[Comment]:
        """Return all notes that somebody wrote, not those that say what was done."""
        path = f"{self._request}/notes"
        for item in self.api.pages(path, size="per_page", last=_is_last):
            found = Answer(item, "a note")
            if found.part("system").content is not True:
                yield Comment(
                    id=found.number("id"),
                    author=found.text("author", "username"),
                    body=found.text("body"),
                )

    def create_comment(self, body: str) -> None:
        """Add a note."""
        self.api.send("POST", f"{self._request}/notes", body={"body": body}, once=True)

    def update_comment(self, comment: Comment, body: str) -> None:
        """Replace a note's text."""
        self.api.send("PUT", f"{self._request}/notes/{comment.id}", body={"body": body})

    def set_status(self, commit: str, status: Status) -> None:
        """Set a commit's status. GitLab refuses to set what is so already: that is no error."""
        state = _STATES[status.state]
        body = {"state": state, "name": status.context, "description": status.description} | (
            {"target_url": status.details} if status.details else {}
        )
        try:
            self.api.send("POST", f"{self._project}/statuses/{commit}", body=body)
        except ForgeError as error:
            said = error.detail
            if "Cannot transition status" not in said or f"from :{state}" not in said:
                raise
