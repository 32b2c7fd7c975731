"""Text that others wrote, made safe to show: logs, hooks, health checks, pages, forges' answers.

It ends up in terminals, CI logs, Markdown, XML and HTML. `visible` is for every such text, wherever
it goes; `quoted` also marks each line, where text of others stands as lines of its own. Neither
escapes what Markdown, XML or HTML take for markup: their renderers do. Both leave their own result
as it is.

What CIs look for in a job's output:

- GitHub's runner takes a line for a command that begins with two colons, after blanks, and the
  older `##[` anywhere in a line (actions/runner, src/Runner.Common/ActionCommand.cs). act and the
  runners of Gitea and Forgejo take both at the beginning.
- Azure's agent takes `##vso[` anywhere in a line, TeamCity `##teamcity[`.
- GitLab and Jenkins take a path after `[[ATTACHMENT|` in JUnit XML for a file to attach.
- All but the first need a line's own end to be a line feed: a carriage return, a next-line or a
  line separator would begin another one.
"""

from __future__ import annotations

import re
import unicodedata

MARK = "| "  # before each line that others wrote

_UNUSUAL = re.compile(r"[^\t\n\x20-\x7e]+")
# `(?<!\S)`: where a line begins, and where one may begin once the text is folded at blanks.
_COMMAND = re.compile(r"(?<!\S)::|##(?=[\w.-]*\[)|\[(?=\[ATTACHMENT\|)")


def visible(text: str) -> str:
    r"""Return a text with control characters as `\r` or `\u202e`, and without a CI's commands.

    A command is broken up by a backslash behind its first character. Lines end with a line feed; a
    carriage return before it is dropped.
    """
    shown = _UNUSUAL.sub(lambda found: _spelt(found[0]), text.replace("\r\n", "\n"))
    return _COMMAND.sub(lambda found: f"{found[0][0]}\\{found[0][1:]}", shown)


def quoted(text: str, *, indent: str = "") -> list[str]:
    """Return the lines of a text, visible and each behind the mark; none of an empty text."""
    body = visible(text).rstrip()
    return [f"{indent}{MARK}{line}" for line in body.split("\n")] if body else []


def visible_value(value: object) -> object:
    """Return what a template of HTML shows of a value: its `finalize`. Markup stays as it is."""
    return visible(value) if type(value) is str else value


def _spelt(run: str) -> str:
    if run.isprintable():
        return run
    return "".join(one if _shows(one) else ascii(one)[1:-1] for one in run)


def _shows(character: str) -> bool:
    """Whether a character can be seen, or is a blank of some width."""
    return character.isprintable() or unicodedata.category(character) == "Zs"
