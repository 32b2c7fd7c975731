"""custom-html as its visitors use it."""

from harness.api import App, Request


def test_a_missing_page_is_404(app: App) -> None:
    """And it is this app that says so."""
    answer = app.http_get("/no-such-page")
    assert answer.status == 404
    assert answer.headers["x-served-by"] == "custom-html"


def test_text_is_compressed_for_those_who_ask(app: App) -> None:
    """HTML is compressed when the visitor accepts it."""
    request = Request(path="/index.html", headers={"Accept-Encoding": "gzip"})
    assert app.http(request).headers.get("content-encoding") == "gzip"
