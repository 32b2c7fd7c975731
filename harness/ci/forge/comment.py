"""The one comment: found again by a hidden line and its author, made harmless, cut to size.

What it says comes from runs of code that anybody may have written.
"""

from __future__ import annotations

import re

from harness.ci.forge.base import Comment, Forge
from harness.core.errors import ForgeBusyError, UsageError
from harness.core.untrusted import visible
from harness.core.waiting import SYSTEM_CLOCK, Clock, Deadline, retry, stretched

CUT = "\n\n*The rest was left out: the forge takes no longer comment. See the run's own report.*\n"
FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})", re.MULTILINE)
ZERO_WIDTH_SPACE = "\u200b"

_MENTION = re.compile(r"(?<![\w.])@(?=[A-Za-z0-9])")
_COMMAND = re.compile(r"^([ \t]*)/(?=[A-Za-z])", re.MULTILINE)
_CONTEXT = re.compile(r"[A-Za-z0-9][\w./ -]{0,99}")


def marker(context: str) -> str:
    """Return the line that our comment begins with; nobody sees it on the page.

    Raises:
        UsageError: the name could end that line early.
    """
    if not _CONTEXT.fullmatch(context) or "--" in context:
        raise UsageError(
            f"'{context}' is no name for a status", hint="use letters, digits and . / _ -"
        )
    return f"<!-- cc-ci comment: {context} -->"


def harmless(text: str) -> str:
    """Return a text in which nothing calls anybody and nothing is a command to the forge.

    GitLab carries out lines such as `/merge` and `/approve` in a comment, as the token's owner.
    """
    # A comment of HTML could hide all that follows.
    text = visible(text).replace("<!--", f"<!{ZERO_WIDTH_SPACE}--")
    return _COMMAND.sub(r"\1\\/", _MENTION.sub("@" + ZERO_WIDTH_SPACE, text))


def fitted(body: str, limit: int) -> str:
    """Return the body, cut at a line's end with a note when it has more bytes than the limit."""
    if len(body.encode()) <= limit:
        return body
    room = limit - len(CUT.encode()) - 16  # for a fence that has to be closed
    kept = body.encode()[:room].decode(errors="ignore")
    kept = kept[: kept.rfind("\n") + 1] or kept
    return kept.rstrip("\n") + _closing(kept) + CUT


def _closing(text: str) -> str:
    """Return what ends a block of code that the cut left open."""
    fence = ""
    for found in FENCE.finditer(text):
        if not fence:
            fence = found[1]
        elif found[1].startswith(fence):
            fence = ""
    return f"\n{fence[:10]}" if fence else ""


def put(
    forge: Forge, *, first_line: str, login: str, body: str, clock: Clock = SYSTEM_CLOCK
) -> str:
    """Write the comment: over the one that is there, else a new one. Return which was done.

    When making one fails midway, it is looked for again before another one is made.

    Raises:
        ForgeError: the forge refused, or does not answer.
    """

    def call(_attempt: int) -> str:
        own = find(forge, first_line=first_line, login=login)
        if own is None:
            forge.create_comment(body)
            return "made"
        if own.body.strip() == body.strip():
            return "left as it is"
        forge.update_comment(own, body)
        return "updated"

    return retry(
        call,
        on=ForgeBusyError,
        attempts=2,
        deadline=Deadline.after(stretched(60.0), clock),
        pause=2.0,
    )


def find(forge: Forge, *, first_line: str, login: str) -> Comment | None:
    """Return the comment that is ours: the hidden line is its first, and its author is us."""
    for comment in forge.comments():
        lines = comment.body.lstrip().splitlines()
        if lines and lines[0].strip() == first_line and comment.author.lower() == login.lower():
            return comment
    return None
