"""Each dialect: exactly what is sent, and how the answers are read."""

from collections.abc import Callable

import pytest

from harness.ci.forge.address import parse
from harness.ci.forge.base import Comment, Forge, PullRequest, State, Status
from harness.ci.forge.dialects import open_forge
from harness.ci.forge.token import Token
from harness.core.errors import ForgeError
from tests.unit.fake_clock import FakeClock
from tests.unit.fake_forge import FakeForge

HEAD, BASE = "1" * 40, "2" * 40
SECRET = "s3cret-token"  # noqa: S105  of no real forge
URLS = {
    "gitea": "https://git.example.org/sub/coop/app/pulls/7",
    "github": "https://github.com/coop/app/pull/7",
    "gitlab": "https://lab.example.org/group/deep/app/-/merge_requests/7",
}
STATUS = Status(state=State.FAILURE, context="cc-ci/app", description="no", details="https://x.y/z")
Make = Callable[[str], Forge]


@pytest.fixture
def wire() -> FakeForge:
    return FakeForge()


@pytest.fixture
def make(wire: FakeForge) -> Make:
    def made(kind: str) -> Forge:
        return open_forge(
            parse(URLS[kind]), Token(value=SECRET), say=lambda _: None, session=wire.session(),
            clock=FakeClock(),
        )  # fmt: skip

    return made


GITHUB = {
    "number": 7,
    "head": {"sha": HEAD, "repo": {"full_name": "stranger/app"}},
    "base": {"sha": BASE, "ref": "main", "repo": {"full_name": "coop/app"}},
}
GITLAB = {
    "iid": 7,
    "sha": HEAD,
    "diff_refs": {"base_sha": BASE, "head_sha": HEAD},
    "target_branch": "main",
    "source_project_id": 5,
    "target_project_id": 4,
}
ROOTS = {
    "gitea": "https://git.example.org/sub/api/v1/repos/coop/app",
    "github": "https://api.github.com/repos/coop/app",
    "gitlab": "https://lab.example.org/api/v4/projects/group%2Fdeep%2Fapp",
}
SIGNED = {
    "gitea": ("Authorization", f"token {SECRET}"),
    "github": ("Authorization", f"Bearer {SECRET}"),
    "gitlab": ("PRIVATE-TOKEN", SECRET),
}


@pytest.mark.parametrize(
    ("kind", "path", "content", "source"),
    [
        ("gitea", "/pulls/7", GITHUB, "stranger/app"),
        ("github", "/pulls/7", GITHUB, "stranger/app"),
        ("gitlab", "/merge_requests/7", GITLAB, "project 5"),
    ],
)
def test_a_pull_request_from_a_fork(
    wire: FakeForge, make: Make, *, kind: str, path: str, content: object, source: str
) -> None:
    """Head and base are what the forge says, and where the head comes from is told."""
    wire.answer(content)
    assert make(kind).pull_request() == PullRequest(
        number=7, head=HEAD, base=BASE, base_ref="main", head_repository=source, fork=True
    )
    assert wire.lines == [f"GET {ROOTS[kind]}{path}"]
    name, value = SIGNED[kind]
    assert wire.sent[0].headers[name] == value


def test_github_is_told_which_version_of_its_api(wire: FakeForge, make: Make) -> None:
    """Without it, GitHub picks one."""
    wire.answer(GITHUB)
    make("github").pull_request()
    assert wire.sent[0].headers["X-GitHub-Api-Version"] == "2022-11-28"
    assert wire.sent[0].headers["Accept"] == "application/vnd.github+json"


@pytest.mark.parametrize("kind", ["gitea", "github"])
def test_a_fork_that_was_deleted_is_still_a_fork(wire: FakeForge, make: Make, kind: str) -> None:
    """Its repository is null then."""
    wire.answer({**GITHUB, "head": {"sha": HEAD, "repo": None}})
    found = make(kind).pull_request()
    assert (found.fork, found.head_repository) == (True, "")


def test_a_merge_request_whose_base_is_not_known_yet(wire: FakeForge, make: Make) -> None:
    """GitLab computes it after the push."""
    wire.answer({**GITLAB, "diff_refs": None, "source_project_id": 4})
    found = make("gitlab").pull_request()
    assert (found.base, found.fork, found.head_repository) == ("", False, "group/deep/app")


@pytest.mark.parametrize("head", ["main", "--upload-pack=x", "", None, 7, HEAD[:39]])
def test_a_head_that_is_no_commit_is_refused(wire: FakeForge, make: Make, head: object) -> None:
    """It ends up in git's arguments."""
    wire.answer({**GITHUB, "head": {"sha": head}})
    with pytest.raises(ForgeError, match=r"head\.sha"):
        make("gitea").pull_request()


@pytest.mark.parametrize(
    ("kind", "state", "word"),
    [
        *(("gitea", state, word) for state, word in zip(
            State, ("success", "failure", "error", "error"), strict=True)),
        *(("github", state, word) for state, word in zip(
            State, ("success", "failure", "error", "error"), strict=True)),
        *(("gitlab", state, word) for state, word in zip(
            State, ("success", "failed", "failed", "canceled"), strict=True)),
    ],
)  # fmt: skip
def test_a_status(wire: FakeForge, make: Make, *, kind: str, state: State, word: str) -> None:
    """Every forge has its own words; only a success is one."""
    wire.answer({}, 201)
    make(kind).set_status(
        HEAD, Status(state=state, context="cc-ci/app", description="d", details="https://x.y/z")
    )
    assert wire.lines == [f"POST {ROOTS[kind]}/statuses/{HEAD}"]
    name = "name" if kind == "gitlab" else "context"
    assert wire.sent[0].body == {
        "state": word, name: "cc-ci/app", "description": "d", "target_url": "https://x.y/z",
    }  # fmt: skip


def test_gitlab_may_have_that_status_already(wire: FakeForge, make: Make) -> None:
    """It answers 400 to the same status twice; to any other change that it refuses, too."""
    wire.answer(
        {"message": 'Cannot transition status via :drop from :failed (Reason(s): "x")'}, 400
    )
    make("gitlab").set_status(HEAD, STATUS)
    wire.answer({"message": "Cannot transition status via :drop from :success"}, 400)
    with pytest.raises(ForgeError):
        make("gitlab").set_status(HEAD, STATUS)


def said(number: int, *, author: str = "bot", system: bool = False) -> dict[str, object]:
    """Return a comment as any of them shows it."""
    return {
        "id": number, "body": f"b{number}", "system": system,
        "user": {"login": author}, "author": {"username": author},
    }  # fmt: skip


def test_github_says_when_there_is_no_further_page(wire: FakeForge, make: Make) -> None:
    """By a link; a full page is not asked for a further one without it."""
    wire.answer([said(1)], link='<https://api.github.com/x?page=2>; rel="next"')
    wire.answer([said(2)], link='<https://api.github.com/x?page=1>; rel="prev"')
    assert [one.id for one in make("github").comments()] == [1, 2]
    comments = f"GET {ROOTS['github']}/issues/7/comments?per_page=100&page="
    assert wire.lines == [f"{comments}1", f"{comments}2"]


def test_gitlab_says_when_there_is_no_further_page(wire: FakeForge, make: Make) -> None:
    """And mixes what was done with what was said."""
    wire.answer([said(1, system=True), said(2)], x_next_page="2")
    wire.answer([said(3)], x_next_page="")
    assert [one.id for one in make("gitlab").comments()] == [2, 3]
    notes = f"GET {ROOTS['gitlab']}/merge_requests/7/notes?per_page=100&page="
    assert wire.lines == [f"{notes}1", f"{notes}2"]


def test_gitea_may_cap_a_page_or_ignore_its_number(wire: FakeForge, make: Make) -> None:
    """A short page is not the last one, and the same page twice is."""
    for page in ([said(1)], [said(2)], [said(2)]):
        wire.answer(page)
    assert [one.id for one in make("gitea").comments()] == [1, 2]
    comments = f"GET {ROOTS['gitea']}/issues/7/comments?limit=100&page="
    assert wire.lines == [f"{comments}{page}" for page in (1, 2, 3)]


@pytest.mark.parametrize(
    ("kind", "create", "update"),
    [
        ("gitea", "POST {}/issues/7/comments", "PATCH {}/issues/comments/9"),
        ("github", "POST {}/issues/7/comments", "PATCH {}/issues/comments/9"),
        ("gitlab", "POST {}/merge_requests/7/notes", "PUT {}/merge_requests/7/notes/9"),
    ],
)
def test_comments_are_written(
    wire: FakeForge, make: Make, *, kind: str, create: str, update: str
) -> None:
    """Made, or changed where it is."""
    wire.answer({}, 201)
    wire.answer({})
    forge = make(kind)
    forge.create_comment("one")
    forge.update_comment(Comment(id=9, author="bot", body="one"), "two")
    assert wire.lines == [text.format(ROOTS[kind]) for text in (create, update)]
    assert [one.body for one in wire.sent] == [{"body": "one"}, {"body": "two"}]


@pytest.mark.parametrize(
    ("kind", "key"), [("gitea", "login"), ("github", "login"), ("gitlab", "username")]
)
def test_the_tokens_owner(wire: FakeForge, make: Make, kind: str, key: str) -> None:
    """Whose comments are ours."""
    wire.answer({key: "bot"})
    assert make(kind).login() == "bot"
    assert wire.lines == [
        f"GET {ROOTS[kind].partition('/repos')[0].partition('/projects')[0]}/user"
    ]


def test_a_workflows_own_token_is_known(wire: FakeForge, make: Make) -> None:
    """It may not ask who it is."""
    wire.answer({"message": "Resource not accessible by integration"}, 403)
    assert make("github").login() == "github-actions[bot]"
    wire.answer({"message": "Bad credentials"}, 401)
    with pytest.raises(ForgeError):
        make("github").login()
