"""A report of a real run in a real browser: what it shows, and what it lets nobody do."""

import base64
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.core import proc
from harness.core.model import Outcome
from harness.report import html
from harness.report.results import RunResult, read
from harness.run.screenshot import PNG, Browser
from harness.verdict.decide import Verdict
from tests.integration.conftest import Harness
from tests.integration.support import RecipeRepo, recipe_files

OVERLAY = """\
def test_it_says_what_it_likes():
    print("</pre></details><script>document.title='owned'</script><b id=owned>")
    raise AssertionError("<img src=x onerror=document.title='owned'>")
"""


def dom(browser: Browser, page: str) -> str:
    """Return a page's elements as they are once a browser has read it."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        (home / "report.html").write_text(page)
        if os.geteuid() == 0:
            shutil.chown(home, "nobody")
        argv = [*browser.argv, "--headless=new", "--disable-gpu", f"--user-data-dir={home}/p",
                "--dump-dom", f"file://{home}/report.html"]  # fmt: skip
        env = {"PATH": os.environ["PATH"], "HOME": name}
        return proc.run(argv, timeout=60, cwd=home, env=env).stdout


def failed_run(harness: Harness, tmp_path: Path) -> tuple[Path, RunResult, Mapping[str, Any]]:
    """Run the install of a recipe whose overlay fails with markup on its lips."""
    repo = RecipeRepo.make(tmp_path / "shown")
    repo.commit(recipe_files("1.0.0+1"))
    overlay = tmp_path / "overlays" / "shown"
    overlay.mkdir(parents=True)
    (overlay / "test_install.py").write_text(OVERLAY)
    words = ("--stages", "install", "--screenshots", "auto", "--overlays", str(overlay.parent))
    call = harness(str(repo.path), *words)
    assert call.code == 1, call.text
    assert call.directory is not None
    result = read(call.directory)
    assert result is not None
    return call.directory, result, call.results


def test_a_browser_sees_all_of_it_and_runs_none_of_it(
    harness: Harness, browser: Browser, tmp_path: Path
) -> None:
    """Every assertion, the picture of the app's page, the moment; and hostile output is text."""
    directory, result, results = failed_run(harness, tmp_path)
    page = (directory / html.HTML_FILE).read_text()
    seen = dom(browser, page)
    assert "<title>failed: shown</title>" in seen
    assert "<b id=" not in seen
    assert "&lt;script&gt;document.title='owned'&lt;/script&gt;" in seen
    (stage,) = result.stages
    assert len(stage.assertions) > 5
    assert seen.count('data-nodeid="') == len(stage.assertions)
    assert len(re.findall('<details class="assertion"[^>]* open=""', seen)) == 1
    assert 'class="moment"' in seen
    (picture,) = re.findall(r'src="data:image/png;base64,([^"]+)"', seen)
    assert base64.b64decode(picture).startswith(PNG)
    (shown,) = results["screenshots"]
    assert (shown["file"], shown["status"]) == ("screenshots/install.png", 200)
    (taken,) = results["resources"]["stages"]
    assert taken["memory"]["app"] > 1 << 20
    assert taken["healthy_seconds"] > 0


SHOWS_IT = """\
    secrets: [admin_password]
    command:
      - sh
      - -ec
      - |
        secret=$$(cat /run/secrets/admin_password)
        page=/usr/share/nginx/html/index.html
        echo "<title>page</title><p id=p></p>" > $$page
        printf '<script>p.innerHTML = "%s".replace(/./g, "<b>$$&</b>")</script>' $$secret >> $$page
        exec nginx -g 'daemon off;'
    healthcheck:"""
SECRETS = """
secrets:
  admin_password:
    external: true
    name: ${STACK_NAME}_admin_password_${SECRET_ADMIN_PASSWORD_VERSION}
volumes:
  content:
"""


@pytest.mark.usefixtures("browser")
def test_a_picture_that_shows_a_secret_is_not_kept(harness: Harness, tmp_path: Path) -> None:
    """The app's page shows its password, put together by a script: *failed*, and no picture."""
    repo = RecipeRepo.make(tmp_path / "shown")
    files = recipe_files(
        "1.0.0+1", **{"    healthcheck:": SHOWS_IT, "\nvolumes:\n  content:\n": SECRETS}
    )
    files[".env.sample"] += "SECRET_ADMIN_PASSWORD_VERSION=v1  # length=24\n"
    repo.commit(files)
    call = harness(str(repo.path), "--stages", "install", "--screenshots", "auto")
    assert (call.code, call.results["verdict"]["outcome"]) == (1, "failed"), call.text
    cause = call.results["verdict"]["cause"]
    assert "admin_password in screenshots/install.png (plain)" in cause
    (shown,) = call.results["screenshots"]
    assert (shown["file"], shown["status"]) == ("", 200)
    assert "shows a secret" in shown["said"]
    assert call.directory is not None
    assert not list(call.directory.rglob("*.png"))
    assert "data:image" not in (call.directory / html.HTML_FILE).read_text()


def test_should_an_escape_fail_the_policy_still_holds(browser: Browser) -> None:
    """A script in the middle of the page does not run; without the policy it would."""
    script = "<script>document.title='owned'</script>"
    page = html.render(_nothing(), {}).replace("</main>", f"{script}</main>")
    policy = re.compile(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>")
    assert "<title>owned</title>" not in dom(browser, page)
    assert "<title>owned</title>" in dom(browser, policy.sub("", page)), "the test can fail"


def _nothing() -> RunResult:
    """Return a run that came to nothing."""
    return RunResult(
        run="r", recipe="shown", source="s", platform="swarm", seconds=1.0, repeat="again",
        started="2026-01-01T12:00:00+00:00", verdict=Verdict(outcome=Outcome.ERROR, exit_code=2),
    )  # fmt: skip
