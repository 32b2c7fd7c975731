"""A pull request's address: forge, repository, number, and where the API is."""

import pytest

from harness.ci.forge.address import Kind, of_source, parse
from harness.core.errors import UsageError
from harness.core.options import OPTIONS


@pytest.mark.parametrize(
    ("url", "kind", "api", "project"),
    [
        ("https://github.com/o/r/pull/7", "github", "https://api.github.com", "o/r"),
        ("https://github.com/o/r/pull/7/files#diff-1", "github", "https://api.github.com", "o/r"),
        ("https://gh.example.org/o/r/pull/7", "github", "https://gh.example.org/api/v3", "o/r"),
        ("https://g.example.org/o/r/pulls/7", "gitea", "https://g.example.org/api/v1", "o/r"),
        ("https://g.example.org/o/r/pulls/7/", "gitea", "https://g.example.org/api/v1", "o/r"),
        ("https://h.org/git/o/r/pulls/7/files", "gitea", "https://h.org/git/api/v1", "o/r"),
        ("http://127.0.0.1:3000/o/r/pulls/7?x=1", "gitea", "http://127.0.0.1:3000/api/v1", "o/r"),
        ("http://[::1]:3000/o/r/pulls/7", "gitea", "http://[::1]:3000/api/v1", "o/r"),
        ("https://gitlab.com/g/s/r/-/merge_requests/7", "gitlab", "https://gitlab.com/api/v4",
         "g/s/r"),
        ("https://gitlab.com/g/r/merge_requests/7/diffs", "gitlab", "https://gitlab.com/api/v4",
         "g/r"),
    ],
)  # fmt: skip
def test_a_pages_address(url: str, kind: str, api: str, project: str) -> None:
    """The words in its path tell whose it is."""
    found = parse(url)
    assert (found.kind, found.api, found.project, found.number) == (kind, api, project, 7)


def test_what_is_said_goes_before_what_is_guessed() -> None:
    """A GitLab below a path cannot be told from a group, but by its API's address."""
    found = parse("https://h.org/lab/g/r/-/merge_requests/7", api="https://h.org/lab/api/v4/")
    assert (found.api, found.project) == ("https://h.org/lab/api/v4", "g/r")
    assert found.clone_url == "https://h.org/lab/g/r.git"
    assert parse("https://h.org/o/r/pull/7", forge="forgejo").kind is Kind.GITEA


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/o/r", "https://github.com/o/pull/7", "https://github.com/o/r/pull/x",
        "https://github.com/o/r/issues/7", "https://github.com/../r/pull/7",
        "https://github.com/o/r%2f..%2fx/pull/7", "ssh://git@h.org/o/r/pulls/7", "file:///o/r/pulls/7",
        "https://h.org:port/o/r/pulls/7", "https://github.com/o/r/pull/0",
    ],
)  # fmt: skip
def test_another_address_is_refused(url: str) -> None:
    """With an example."""
    with pytest.raises(UsageError, match="no address of a pull request"):
        parse(url)


def test_a_login_in_an_address_is_refused_and_not_shown() -> None:
    """It would be in the process list and in the command to repeat."""
    for url in ("https://me:s3cret@h.org/o/r/pulls/7", "ssh://me:s3cret@h.org/o"):
        with pytest.raises(UsageError) as raised:
            parse(url)
        assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    ("source", "api", "project"),
    [
        ("https://git.coopcloud.tech/coop-cloud/gitea.git",
         "https://git.coopcloud.tech/api/v1", "coop-cloud/gitea"),
        ("git@codeberg.org:o/r.git", "https://codeberg.org/api/v1", "o/r"),
        ("ssh://git@gitlab.com:2222/g/s/r.git", "https://gitlab.com/api/v4", "g/s/r"),
        ("https://user:pw@github.com/o/r", "https://api.github.com", "o/r"),
    ],
)  # fmt: skip
def test_a_number_on_a_known_host(source: str, api: str, project: str) -> None:
    """A login in the source is git's, and not in the API's address."""
    found = of_source(source, 7)
    assert found is not None
    assert (found.api, found.project, found.number) == (api, project, 7)


@pytest.mark.parametrize(
    "source", ["/path/to/recipe", "sample:radicale", "https://h.org/o/r", "file:///o/r",
               "https://github.com/r", "https://[bad/o/r", "git://github.com/o/r"],
)  # fmt: skip
def test_no_api_is_guessed(source: str) -> None:
    """Then git is asked for the number, as before."""
    assert of_source(source, 7) is None


def test_an_api_can_be_named_for_any_host() -> None:
    """For a forge of one's own."""
    found = of_source("https://h.org/o/r.git", 7, forge="gitlab")
    assert found is not None
    assert found.api == "https://h.org/api/v4"


def test_each_kind_can_be_asked_for() -> None:
    """A forge that is added has its name among the choices of --forge."""
    (option,) = (one for one in OPTIONS if one.name == "forge")
    choices = {*option.choices} - {"auto"}
    assert {Kind.named(name) for name in choices} == set(Kind)
