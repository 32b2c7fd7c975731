"""What a whole run leaves behind of the login of its source: nothing, wherever one looks."""

from pathlib import Path

from tests.hostile.git_server import git_server
from tests.hostile.with_logins import LOGIN, TOKEN, files_with_login, git, traces, watched
from tests.integration.conftest import Harness


def test_a_run_leaves_no_trace_of_the_login(apart: Harness, tmp_path: Path) -> None:
    """In its cache (the checkout is below it), its directory, its output and all processes."""
    cache = Path(apart.environ["CCCI_CACHE"])
    (sample,) = (cache / "samples").glob("custom-html*")
    git("clone", "-q", "--bare", str(sample), "served/made.git", cwd=tmp_path)
    with git_server(tmp_path / "served", login=LOGIN) as server, watched() as seen:
        source = f"{server.with_login(LOGIN)}/made.git"
        call = apart("custom-html", "--stages", "install", SRC=source)
    assert server.logins, call.text
    assert call.code == 0, call.text
    assert call.directory is not None
    assert not traces(call.text.encode())
    for place in (cache, call.directory):
        assert any(place.iterdir())
        assert files_with_login(place) == []
    assert [one for one in seen | server.processes if traces(one)] == []
    assert "****" in call.results["source"]
    assert TOKEN not in str(call.results)
