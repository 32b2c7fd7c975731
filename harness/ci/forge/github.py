"""GitHub's dialect: `api.github.com`, or `/api/v3` on a host of one's own; a bearer token.

Gitea's API was made after it, so that one says most of this one as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from harness.ci.forge.api import Reply
from harness.ci.forge.gitea import Gitea
from harness.core.errors import ForgeError

HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
WORKFLOW = "github-actions[bot]"  # who a workflow's own token comments as


def sign(token: str) -> Mapping[str, str]:
    """Return the header that carries a token."""
    return {"Authorization": f"Bearer {token}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHub(Gitea):
    """A pull request of GitHub. Its comments hold 65536 characters, its descriptions 140."""

    description_limit: ClassVar[int] = 140
    page_size: ClassVar[str] = "per_page"

    def login(self) -> str:
        """Return the name of the token's owner.

        A workflow's own token is nobody's, and may not ask who it is.
        """
        try:
            return Gitea.login(self)
        except ForgeError as error:
            if error.status == 403:  # noqa: PLR2004  "Resource not accessible by integration"
                return WORKFLOW
            raise

    @staticmethod
    def is_last(reply: Reply) -> bool:
        """Whether a page says that it is the last."""
        return 'rel="next"' not in reply.headers.get("link", "")
