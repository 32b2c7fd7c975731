"""A small forge over real HTTP: the part of three APIs that the harness speaks, and git's files.

It is on loopback, keeps everything in memory, hands out two comments at a time, and writes down
each request.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

PAGE = 2
TOKEN = "loopback-s3cret"  # noqa: S105  of this server only
SIGNED = {
    "v1": ("Authorization", f"token {TOKEN}"),
    "v3": ("Authorization", f"Bearer {TOKEN}"),
    "v4": ("PRIVATE-TOKEN", TOKEN),
}
# What each API calls its things, as patterns of a path below the repository.
PULLS = {"v1": r"/pulls/7", "v3": r"/pulls/7", "v4": r"/merge_requests/7"}
LISTS = {
    "v1": r"/issues/7/comments",
    "v3": r"/issues/7/comments",
    "v4": r"/merge_requests/7/notes",
}
ITEMS = {"v1": r"/issues/comments", "v3": r"/issues/comments", "v4": r"/merge_requests/7/notes"}
STATES = {
    "v1": {"pending", "success", "error", "failure", "warning"},
    "v3": {"pending", "success", "error", "failure"},
    "v4": {"pending", "running", "success", "failed", "canceled"},
}


@dataclass(kw_only=True)
class OwnForge:
    """What the server holds. `troubles` are codes that it answers first, one for each request."""

    git: Path
    head: str
    base: str
    port: int = 0
    comments: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    troubles: list[int] = field(default_factory=list)
    send_on: str = ""  # redirect every request of the API there

    def url(self, version: str) -> str:
        """Return the address of the pull request's page."""
        pages = {"v1": "pulls", "v3": "pull", "v4": "-/merge_requests"}
        return f"http://127.0.0.1:{self.port}/coop/made/{pages[version]}/7"

    def pull_request(self, version: str) -> dict[str, Any]:
        """Return the pull request; it is a fork's."""
        if version == "v4":
            return {
                "iid": 7, "sha": self.head, "diff_refs": {"base_sha": self.base},
                "target_branch": "main", "source_project_id": 9, "target_project_id": 4,
            }  # fmt: skip
        return {
            "number": 7,
            "head": {"sha": self.head, "repo": {"full_name": "stranger/made"}},
            "base": {"sha": self.base, "ref": "main", "repo": {"full_name": "coop/made"}},
        }

    def say(self, author: str, body: str) -> dict[str, Any]:
        """Add a comment, in the words of all three."""
        self.comments.append(
            {
                "id": len(self.comments) + 1, "body": body, "system": False,
                "user": {"login": author}, "author": {"username": author},
            }
        )  # fmt: skip
        return self.comments[-1]


class _Handler(BaseHTTPRequestHandler):
    forge: OwnForge
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._handle()

    do_POST = do_PATCH = do_PUT = do_GET  # noqa: N815  the library's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
        """Keep the tests' output clean."""

    def _handle(self) -> None:
        length = int(self.headers.get("content-length", 0))
        body = json.loads(self.rfile.read(length)) if length else {}
        parts = urlsplit(self.path)
        found = re.fullmatch(r"/api/(v\d)(/.*)", parts.path)
        if not found:
            self._file(unquote(parts.path))
            return
        version, rest = found.groups()
        self.forge.asked.append(f"{self.command} {self.path}")
        if self.forge.send_on:
            self._send(302, "", location=self.forge.send_on + self.path)
        elif self.forge.troubles:
            self._send(self.forge.troubles.pop(0), {"message": "trouble"})
        elif self.headers.get(SIGNED[version][0]) != SIGNED[version][1]:
            self._send(401, {"message": "who are you?"})
        else:
            page = int(parse_qs(parts.query).get("page", ["1"])[0])
            self._api(version, rest, body, page)

    def _api(self, version: str, rest: str, body: dict[str, Any], page: int) -> None:
        if rest == "/user":
            self._send(200, {"username" if version == "v4" else "login": "bot"})
            return
        root = r"/projects/coop%2Fmade" if version == "v4" else r"/repos/coop/made"
        if not rest.startswith(root):
            self._send(404, {"message": "not found"})
            return
        path = rest.removeprefix(root)
        change = "PUT" if version == "v4" else "PATCH"
        if self.command == "GET" and path == PULLS[version]:
            self._send(200, self.forge.pull_request(version))
        elif self.command == "GET" and path == LISTS[version]:
            self._list(version, page)
        elif self.command == "POST" and path == LISTS[version]:
            self._send(201, self.forge.say("bot", body["body"]))
        elif self.command == "POST" and (sha := re.fullmatch(r"/statuses/([0-9a-f]{40})", path)):
            self._status(version, sha[1], body)
        elif self.command == change and (one := re.fullmatch(ITEMS[version] + r"/(\d+)", path)):
            self.forge.comments[int(one[1]) - 1]["body"] = body["body"]
            self._send(200, {})
        else:
            self._send(404, {"message": "not found"})

    def _status(self, version: str, sha: str, body: dict[str, Any]) -> None:
        if body["state"] not in STATES[version] or sha not in (self.forge.head, self.forge.base):
            self._send(422, {"message": "no such state or commit"})
            return
        self.forge.statuses.append((sha, body))
        self._send(201, {})

    def _list(self, version: str, page: int) -> None:
        begin = (page - 1) * PAGE
        more = len(self.forge.comments) > begin + PAGE
        headers = {}
        if version == "v3" and more:
            headers["link"] = f'<http://127.0.0.1/x?page={page + 1}>; rel="next"'
        if version == "v4":
            headers["x-next-page"] = str(page + 1) if more else ""
        self._send(200, self.forge.comments[begin : begin + PAGE], **headers)

    def _file(self, path: str) -> None:
        """Send a file of the repository, as git asks for where no git runs."""
        inside = path.removeprefix("/coop/made.git/")
        file = (self.forge.git / inside).resolve()
        if inside == path or not file.is_relative_to(self.forge.git) or not file.is_file():
            self._send(404, "no")
        else:
            self._send(200, file.read_bytes())

    def _send(self, code: int, content: object, **headers: str) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        for name, value in {**headers, "content-length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serve(forge: OwnForge) -> Iterator[OwnForge]:
    """Serve it on a free port of loopback, until the block ends."""
    handler = type("Handler", (_Handler,), {"forge": forge})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    forge.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield forge
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
