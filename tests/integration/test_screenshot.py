"""What a hostile page gets from the browser that takes its picture: nothing."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from harness.exec.http import Request, Response
from harness.run.page_proxy import LOOPBACK, PageProxy
from harness.run.screenshot import PNG, Browser

PAGE = """<!DOCTYPE html><title>hostile</title><h1>page</h1>
<img src="http://127.0.0.1:PORT/img"><img src="http://localhost:PORT/img"><img src="/own.png">
<script>
fetch("http://127.0.0.1:PORT/fetch", {mode: "no-cors"});
fetch("http://127.0.0.1:PORT/post", {mode: "no-cors", method: "POST", body: "x"});
new WebSocket("ws://127.0.0.1:PORT/socket");
fetch("/change", {method: "POST", body: "x"});
fetch("file:///etc/passwd").then(r => r.text()).then(t => fetch("/leak?" + t));
</script>"""


def test_a_page_reaches_its_own_app_to_read_and_nothing_else(
    browser: Browser, tmp_path: Path
) -> None:
    """Not what listens on this host, not its files, not by another scheme."""
    hits: list[str] = []

    class Bystander(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hits.append(self.path)
            self.send_error(404)

        def do_POST(self) -> None:
            self.do_GET()

    server = ThreadingHTTPServer((LOOPBACK, 0), Bystander)
    threading.Thread(target=server.serve_forever).start()
    asked: list[str] = []
    page = PAGE.replace("PORT", str(server.server_address[1])).encode()

    def fetch(request: Request) -> Response:
        asked.append(f"{request.method} {request.path}")
        found = request.path == "/"
        return Response(
            url="u", status=200 if found else 404, headers={"content-type": "text/html"},
            body=page if found else b"", container="c",
        )  # fmt: skip

    proxy = PageProxy(host="made.test", fetch=fetch)
    try:
        with proxy.serving():
            target = tmp_path / "p.png"
            seen = browser.shoot("http://made.test/", target, port=proxy.port, timeout=60)
    finally:
        server.shutdown()
        server.server_close()
    assert hits == []
    assert target.read_bytes().startswith(PNG)
    assert "<title>hostile</title>" in seen, "what the picture shows is told, too"
    assert {"GET /", "GET /own.png"} <= set(asked) <= {"GET /", "GET /own.png", "GET /favicon.ico"}
    assert proxy.refused == {"127.0.0.1", "localhost"}
