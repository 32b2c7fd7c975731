"""The dialect of Gitea and Forgejo: `/api/v1`, `Authorization: token ...`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import quote

from harness.ci.forge.address import Address
from harness.ci.forge.api import Api, Reply
from harness.ci.forge.base import Answer, Comment, PullRequest, State, Status

# Also has `warning`. Whether one keeps a change from being merged differs between versions, so
# nothing is ever told by it.
_STATES = {
    State.SUCCESS: "success",
    State.FAILURE: "failure",
    State.ERROR: "error",
    State.ABORTED: "error",
}


def sign(token: str) -> Mapping[str, str]:
    """Return the header that carries a token."""
    return {"Authorization": f"token {token}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gitea:
    """A pull request of Gitea or Forgejo. Neither documents a limit for texts: these are ours."""

    description_limit: ClassVar[int] = 255
    comment_limit: ClassVar[int] = 65_000
    page_size: ClassVar[str] = "limit"  # what the parameter for it is called

    api: Api
    address: Address

    @property
    def _repository(self) -> str:
        return f"/repos/{quote(self.address.project)}"

    def pull_request(self) -> PullRequest:
        """Return the pull request as it stands now."""
        path = f"{self._repository}/pulls/{self.address.number}"
        found = Answer(self.api.get(path).content, str(self.address))
        source = found.text("head", "repo", "full_name")
        return PullRequest(
            number=found.number("number"),
            head=found.sha("head", "sha"),
            base=found.sha("base", "sha", needed=False),
            base_ref=found.text("base", "ref"),
            head_repository=source,
            fork=source != found.text("base", "repo", "full_name"),
        )

    def login(self) -> str:
        """Return the name of the token's owner; the token has to be allowed to read that."""
        return Answer(self.api.get("/user").content, "the token's owner").name("login")

    def comments(self) -> Iterator[Comment]:
        """Return all comments; some versions ignore `page` here and send all at once."""
        path = f"{self._repository}/issues/{self.address.number}/comments"
        for item in self.api.pages(path, size=self.page_size, last=self.is_last):
            found = Answer(item, "a comment")
            yield Comment(
                id=found.number("id"), author=found.text("user", "login"), body=found.text("body")
            )

    @staticmethod
    def is_last(_: Reply) -> bool:
        """Whether a page says that it is the last; shorter than asked for says nothing here."""
        return False

    def create_comment(self, body: str) -> None:
        """Add a comment."""
        path = f"{self._repository}/issues/{self.address.number}/comments"
        self.api.send("POST", path, body={"body": body}, once=True)

    def update_comment(self, comment: Comment, body: str) -> None:
        """Replace a comment's text."""
        path = f"{self._repository}/issues/comments/{comment.id}"
        self.api.send("PATCH", path, body={"body": body})

    def set_status(self, commit: str, status: Status) -> None:
        """Set a commit's status; the newest one of a context counts, so twice is no harm."""
        body = {
            "state": _STATES[status.state],
            "context": status.context,
            "description": status.description,
        } | ({"target_url": status.details} if status.details else {})
        self.api.send("POST", f"{self._repository}/statuses/{commit}", body=body)
