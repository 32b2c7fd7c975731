"""Attempts by what a forge answers, and by run directories that `post` reads."""

import json
import os
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest

from harness.ci.forge import api, comment
from harness.ci.forge.address import parse
from harness.ci.forge.base import Forge
from harness.ci.forge.dialects import open_forge
from harness.ci.forge.token import Token
from harness.core.errors import ForgeError, HarnessError, UsageError
from harness.core.model import Outcome
from harness.report import results
from harness.verdict.decide import Verdict
from tests.hostile.table import attempt
from tests.unit.ci.test_forge_dialects import GITHUB, GITLAB, SECRET, URLS
from tests.unit.ci.test_post import HEAD, OTHER, Kept, posted, run
from tests.unit.fake_clock import FakeClock
from tests.unit.fake_forge import FakeForge

ANSWER = "what a forge answers is data: it names a commit, or the answer is refused"
TOKEN = "the token goes to the forge that --pr names, and nowhere else"  # noqa: S105  a sentence
DIRECTORY = "a run's directory from another job is data, and decides only what its words say"
ANSWERS: Mapping[str, object] = {"gitea": GITHUB, "github": GITHUB, "gitlab": GITLAB}


def opened(kind: str, wire: FakeForge) -> Forge:
    """Return a forge of that kind behind no network."""
    return open_forge(
        parse(URLS[kind]), Token(value=SECRET), say=lambda _: None, session=wire.session(),
        clock=FakeClock(),
    )  # fmt: skip


def _refused(answer: Callable[[object], object], _place: Path) -> str:
    said = set()
    for kind, sound in ANSWERS.items():
        wire = FakeForge()
        wire.answer(sound)
        assert opened(kind, wire).pull_request().head == HEAD, "a sound answer is refused"
        wire.answer(answer(json.loads(json.dumps(sound))))
        with pytest.raises(ForgeError) as caught:
            opened(kind, wire).pull_request()
        assert SECRET not in str(caught.value)
        said.add(str(caught.value).partition("\n")[0])
    return min(said)[:100]


def _with_head(head: object) -> Callable[[object], object]:
    def change(sound: object) -> object:
        assert isinstance(sound, dict)
        if "sha" in sound:
            sound["sha"] = head
        else:
            sound["head"]["sha"] = head
        return sound

    return change


for _name, _what, _answer in (
    ("head-that-is-an-option", "the head is --upload-pack=touch x", _with_head("--upload-pack=x")),
    ("head-that-is-a-command", "the head is $(touch x)", _with_head("$(touch x)")),
    ("head-that-is-a-ref", "the head is a branch", _with_head("refs/heads/main")),
    (
        "head-with-a-line-break",
        "the head is a commit, a line break and a command",
        _with_head(HEAD + "\n::set-output name=a::b"),
    ),
    ("head-that-is-a-list", "the head is a list", _with_head([HEAD])),
    ("head-that-is-nothing", "the head is missing", _with_head(None)),
    ("answer-that-is-a-list", "the answer is a list of requests", lambda sound: [sound]),
    ("answer-that-is-a-page", "the answer is HTML", lambda _: "<html>::error::x</html>"),
    ("answer-nested-without-end", "the answer is nested 100 000 deep", lambda _: "[" * 100_000),
    (
        "answer-without-end",
        "the answer has 17 MB",
        lambda sound: " " * (17 << 20) + json.dumps(sound),
    ),
):
    attempt(promised=ANSWER, name=_name, what=_what)(partial(_refused, _answer))


@attempt(promised=TOKEN, known="curl CVE-2022-27774")
def token_taken_by_a_redirect(_place: Path) -> str:
    """A forge redirects its API to other hosts, schemes and ports."""
    for target in (
        "https://evil.example.net/api", "http://git.example.org/sub/api", "//evil.example.net/x",
        "https://git.example.org:8443/x", "https://git.example.org@evil.example.net/x",
        "https://git.example.org.evil.example.net/x", "file:///etc/passwd",
    ):  # fmt: skip
        wire = FakeForge()
        wire.answer({}, 302, Location=target)
        with pytest.raises(ForgeError) as caught:
            opened("gitea", wire).pull_request()
        assert len(wire.sent) == 1, target
        assert SECRET not in str(caught.value)
    return "seven such are not followed"


@attempt(promised=TOKEN)
def token_taken_by_the_next_page(_place: Path) -> str:
    """A forge names a next page of comments on another host, and then pages without end."""
    wire = FakeForge()
    for page in range(api.PAGES + 5):
        wire.answer([{"id": 100 * page + number, "body": "x", "author": {"username": "a"},
                      "user": {"login": "a", "username": "a"}} for number in range(100)],
                    Link='<https://evil.example.net/next>; rel="next"')  # fmt: skip
    found = list(opened("github", wire).comments())
    assert found
    hosts = {re.sub(r"^(https://[^/]+)/.*", r"\1", one.url) for one in wire.sent}
    assert hosts == {"https://api.github.com"}
    assert len(wire.sent) <= api.PAGES
    return f"{len(wire.sent)} pages of its own, none of the other host"


@attempt(promised=DIRECTORY)
def run_of_another_commit(place: Path) -> str:
    """A results.json claims to have tested another commit than the CI's event names."""
    forge = Kept()
    with pytest.raises(UsageError, match="has tested"):
        posted(forge, run(place / "a"), "--sha", OTHER)
    assert (forge.statuses, forge.kept) == ([], [])
    return "nothing is posted"


@attempt(promised=DIRECTORY)
def run_of_no_commit(place: Path) -> str:
    """A results.json names an option, a path or a command as the commit that was tested."""
    for number, commit in enumerate(("--x", "../../x", "$(touch x)", "", "HEAD", HEAD + "\n")):
        forge = Kept()
        directory = run(place / str(number))
        whole = json.loads((directory / results.RESULTS_FILE).read_text())
        whole["head"]["commit"] = commit
        (directory / results.RESULTS_FILE).write_text(json.dumps(whole))
        with pytest.raises(UsageError, match="no commit"):
            posted(forge, directory)
        assert (forge.statuses, forge.kept) == ([], [])
    return "nothing is posted"


@attempt(promised=DIRECTORY)
def run_with_another_name(place: Path) -> str:
    """A recipe's name would set another check's status, and call people in the comment."""
    forge = Kept()
    name = "x](https://evil.example)\n/merge\n@everyone <img> ../../ci/required"
    posted(forge, run(place / "a", recipe=name))
    ((_, status),) = forge.statuses
    assert re.fullmatch(r"cc-ci/[a-z0-9._-]+", status.context), status.context
    (kept,) = forge.kept
    assert "@everyone" not in kept.body
    assert not re.search(r"^/merge", kept.body, re.MULTILINE)
    assert "<img>" not in re.sub(r"`[^`]*`", "", kept.body), "it is outside of a code span"
    return status.context


@attempt(promised=DIRECTORY)
def comment_of_somebody_else(place: Path) -> str:
    """Somebody else's comment begins with the hidden line of ours."""
    forge = Kept()
    forge.create_comment("x")
    forge.kept[0] = type(forge.kept[0])(id=0, author="stranger", body=comment.marker("cc-ci"))
    posted(forge, run(place / "a"))
    assert forge.kept[0].body == comment.marker("cc-ci")
    assert len(forge.kept) == 2
    return "it is left alone, and another one is written"


@attempt(promised=DIRECTORY)
def run_that_says_two_things(place: Path) -> str:
    """A results.json says passed with a failed stage, or a word that there is not."""
    for number, changes in enumerate((
        {"outcome": "PASSED!"}, {"outcome": "passed", "exit_code": 1}, {"outcome": True},
    )):  # fmt: skip
        forge = Kept()
        directory = run(place / str(number), Outcome.FAILED)
        whole = json.loads((directory / results.RESULTS_FILE).read_text())
        whole["verdict"].update(changes)
        (directory / results.RESULTS_FILE).write_text(json.dumps(whole))
        try:
            posted(forge, directory)
        except HarnessError:
            assert forge.statuses == []
            continue
        ((_, status),) = forge.statuses
        assert str(status.state) != "success", changes
    return "none is a success"


@attempt(promised=DIRECTORY)
def files_of_a_run_that_lead_elsewhere(place: Path) -> str:
    """Each file of a run's directory is a link to a secret of the job that posts, or a pipe."""
    (place / "secret").write_text("SECRET of the job")
    for make in (lambda path: path.symlink_to(place / "secret"), os.mkfifo):
        forge = Kept()
        directory = run(place / f"a{make.__name__}")
        for name in ("summary.md", "junit.xml", "report.html"):
            (directory / name).unlink(missing_ok=True)
            make(directory / name)
        posted(forge, directory)
        (kept,) = forge.kept
        assert "SECRET" not in kept.body
    return "none of them is read"


@attempt(promised=DIRECTORY)
def comment_without_end(place: Path) -> str:
    """A cause of a megabyte would fill the pull request, or be cut where it does harm."""
    forge = Kept()
    cause = "```\n" + "<!-- " * 100_000 + "x" * 500_000
    verdict = Verdict(outcome=Outcome.FAILED, exit_code=1, stage="install", cause=cause)
    posted(forge, run(place / "a", Outcome.FAILED, verdict=verdict))
    (kept,) = forge.kept
    assert len(kept.body) <= Kept.comment_limit
    assert "<!-- <!--" not in kept.body
    return f"{len(kept.body)} characters"
