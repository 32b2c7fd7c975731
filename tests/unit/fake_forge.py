"""A forge behind no network: what it answers, in order, and exactly what it was asked."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import requests
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One request, as it left."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: object = None


@dataclass(kw_only=True)
class FakeForge(BaseAdapter):
    """Answers each request with the next of its answers, and fails when there is none left."""

    answers: list[tuple[int, object, Mapping[str, str]] | Exception] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def answer(self, content: object = None, code: int = 200, **headers: str) -> None:
        """Answer so."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append((code, content, named))

    def fail(self, error: Exception) -> None:
        """Fail so."""
        self.answers.append(error)

    def session(self) -> requests.Session:
        """Return what sends to this forge."""
        session = requests.Session()
        session.mount("https://", self)
        session.mount("http://", self)
        return session

    @property
    def lines(self) -> list[str]:
        """What was asked, in short."""
        return [f"{one.method} {one.url}" for one in self.sent]

    def send(self, request: requests.PreparedRequest, **options: object) -> requests.Response:  # type: ignore[override]  # an adapter's arguments are all by name
        """Answer a request."""
        assert options["verify"] is not False, "TLS is always verified"
        body = json.loads(request.body) if request.body else None
        self.sent.append(
            Sent(
                method=str(request.method), url=str(request.url), headers=request.headers, body=body
            )
        )
        assert self.answers, f"nothing was expected to be asked: {request.method} {request.url}"
        found = self.answers.pop(0)
        if isinstance(found, Exception):
            raise found
        code, content, headers = found
        raw = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        response = requests.Response()
        response.status_code = code
        response.url = str(request.url)
        response.headers.update(headers)
        response.request = request
        response.raw = HTTPResponse(io.BytesIO(raw), preload_content=False)
        return response

    def close(self) -> None:
        """Nothing is open."""
