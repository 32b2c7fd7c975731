"""A git server on this machine's loopback that wants a login, and looks at who is running."""

import base64
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from harness.core import proc


@dataclass(kw_only=True)
class GitServer:
    """What it serves, what it wants, and what it saw.

    Attributes:
        root: a directory of repositories.
        login: `user:password` that it wants; empty for none.
        redirect: where it sends everybody, or empty.
        url: where it is.
        logins: the logins that came in, one for each request that had one.
        processes: the arguments of every process of this machine, seen during a request.
    """

    root: Path
    login: str = ""
    redirect: str = ""
    url: str = ""
    logins: list[str] = field(default_factory=list)
    processes: set[bytes] = field(default_factory=set)

    def with_login(self, login: str) -> str:
        """Return its address with a login in it."""
        return self.url.replace("://", f"://{login}@")


def processes() -> set[bytes]:
    """Return the arguments of every process of this machine."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            found.add(path.read_bytes())
    return found


class _Handler(BaseHTTPRequestHandler):
    """Answers as git's own program does; the server is one of `_Http`."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer."""
        self._answer(b"")

    def do_POST(self) -> None:
        """Answer."""
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _answer(self, body: bytes) -> None:
        assert isinstance(self.server, _Http)
        served = self.server.served
        served.processes.update(processes())
        given = self.headers.get("Authorization", "").removeprefix("Basic ")
        if given:
            served.logins.append(base64.b64decode(given).decode())
        if served.redirect:
            self._say(302, {"Location": served.redirect + self.path})
        elif served.login and (not given or served.logins[-1] != served.login):
            self._say(401, {"WWW-Authenticate": 'Basic realm="here"'})
        else:
            self._git(served.root, body)

    def _git(self, root: Path, body: bytes) -> None:
        path, _, query = self.path.partition("?")
        environ = {
            **os.environ, "GIT_PROJECT_ROOT": str(root), "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "GIT_CONFIG_GLOBAL": os.devnull,
        }  # fmt: skip
        said = proc.run(["git", "http-backend"], env=environ, stdin=body, timeout=60).raw
        head, _, rest = said.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self._say(int(fields.pop("Status", "200")[:3]), fields, rest)

    def _say(self, status: int, fields: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {**fields, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class _Http(ThreadingHTTPServer):
    def __init__(self, served: GitServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.served = served
        served.url = f"http://127.0.0.1:{self.server_port}"


@contextmanager
def git_server(root: Path, *, login: str = "", redirect: str = "") -> Iterator[GitServer]:
    """Serve the repositories of a directory by http, which are to be this user's."""
    served = GitServer(root=root, login=login, redirect=redirect)
    with _Http(served) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        try:
            yield served
        finally:
            http.shutdown()
            thread.join()
