"""Which image is deployed: the engine's own, else a registry's, else a stand-in that says so."""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from docker.errors import APIError, DockerException, NotFound
from requests.exceptions import ConnectionError as RequestsConnectionError
from urllib3.exceptions import ProtocolError

from harness.core.errors import (
    DiskFullError,
    EngineError,
    HarnessError,
    ImageError,
    InvalidRecipeError,
)
from harness.core.model import Adaptation
from harness.images import images, provider
from harness.images.provider import ImageProvider
from tests.unit.fake_images import FakeImages

UNREACHABLE = "Get https://registry.test/v2/: dial tcp: i/o timeout"
NO_ROOM = "failed to register layer: write /usr/x: no space left on device"
NO_TAG = "manifest for nginx:9 not found: manifest unknown: manifest unknown"


@dataclass
class ProviderBench:
    """A provider over a fake engine; `built` are the images that a stand-in was asked for."""

    engine: FakeImages
    provider: ImageProvider
    built: list[str]
    heard: list[str]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProviderBench:
    """A bench whose only stand-in is one for nginx."""
    engine, built, heard = FakeImages(), list[str](), list[str]()
    client = engine.client
    given = ImageProvider(client=client, cache=tmp_path, lock_timeout=7.0, say=heard.append)

    def ensure(used: object, image: str, **options: object) -> images.StandIn:
        assert used is client
        assert options == {"cache": tmp_path, "lock_timeout": 7.0, "say": given.say}
        built.append(image)
        return images.StandIn(
            image=image, reference=f"localhost/cc-ci/{image}", name="nginx", key="k",
            note="nginx 1.22 of the distribution", packages={},
        )  # fmt: skip

    monkeypatch.setattr(images, "find", lambda image: object() if "nginx" in image else None)
    monkeypatch.setattr(images, "ensure", ensure)
    return ProviderBench(engine, given, built, heard)


def refused(said: str) -> APIError:
    """Return an engine's refusal in those words."""
    return APIError("500 Server Error", explanation=said)


def test_what_the_engine_has_is_used_as_it_is(bench: ProviderBench) -> None:
    """No registry is asked: it may hold another image by now, or be out of reach."""
    bench.engine.there["nginx:1"] = {}
    assert bench.provider("nginx:1") == ("nginx:1", None)
    assert bench.engine.calls == ["inspect nginx:1"]


def test_what_a_registry_has_is_pulled_and_said(bench: ProviderBench) -> None:
    """A stand-in exists too, and is not taken: the real image goes first."""
    bench.engine.events = [{"status": "Pulling"}, {"status": "Downloaded"}]
    assert bench.provider("nginx:1") == ("nginx:1", None)
    assert bench.engine.calls == ["inspect nginx:1", "pull nginx 1"]
    assert bench.heard == ["pulled nginx:1"]
    assert bench.built == []


@pytest.mark.parametrize(
    "said", [UNREACHABLE, "Get https://registry.test/v2/: context deadline exceeded", "dial tcp"]
)
def test_where_no_registry_answers_a_stand_in_is_taken(bench: ProviderBench, said: str) -> None:
    """Under its own name, and reported as what it is."""
    bench.engine.refusal = refused(said)
    reference, note = bench.provider("nginx:1")
    assert reference == "localhost/cc-ci/nginx:1"
    assert note == Adaptation(
        kind="stand-in",
        subject="nginx:1",
        detail="localhost/cc-ci/nginx:1: nginx 1.22 of the distribution",
    )
    assert bench.built == ["nginx:1"]


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("toomanyrequests: You have reached your pull rate limit.", "too many requests"),
        ("error parsing HTTP 429 response body: invalid character '<'", "too many requests"),
        ("unauthorized: authentication required", "login"),
        ("error parsing HTTP 403 response body: invalid character '<'", "login"),
        ("received unexpected HTTP status: 500 Internal Server Error", "broken or overloaded"),
        ("received unexpected HTTP status: 503 Service Unavailable", "broken or overloaded"),
        ("x509: certificate signed by unknown authority", "certificate"),
        ("http: server gave HTTP response to HTTPS client", "plain HTTP"),
        ("no matching manifest for linux/arm64/v8 in the manifest list entries", "processor"),
        ("error unmarshalling content: invalid character '<'", "not understood"),
    ],
)
def test_a_registry_that_answers_something_else_is_not_silence(
    bench: ProviderBench, said: str, cause: str
) -> None:
    """*error*: a stand-in would hide that the real image is there, and nobody could tell."""
    bench.engine.refusal = refused(said)
    with pytest.raises(ImageError, match="refused to serve the image nginx:1") as caught:
        bench.provider("nginx:1")
    assert cause in caught.value.cause
    assert caught.value.hint
    assert caught.value.detail == said
    assert bench.built == []


@pytest.mark.parametrize("events", [[], [{"status": "Downloading"}]], ids=["never", "any-more"])
def test_a_registry_that_says_nothing_is_given_up(
    bench: ProviderBench, monkeypatch: pytest.MonkeyPatch, events: list[dict[str, Any] | Exception]
) -> None:
    """The engine would wait for ever. Silence is silence: a stand-in is taken, or it is said."""
    monkeypatch.setattr(provider, "PULL_SILENCE_SECONDS", 0.02)
    bench.provider.factor = 0.5
    bench.engine.events, bench.engine.stuck = events, threading.Event()
    assert bench.provider("nginx:1")[1] is not None
    with pytest.raises(ImageError, match="redis:7 can be neither") as caught:
        bench.provider("redis:7")
    assert "the registry said nothing for 0.01 s" in caught.value.cause
    bench.engine.stuck.set()


def test_a_registry_that_is_too_slow_is_given_up(
    bench: ProviderBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """*error*, however much it says; it has the image, so no stand-in may take its place."""
    monkeypatch.setattr(provider, "PULL_SECONDS", 0.0)
    bench.engine.events = [{"status": "Downloading"}] * 3
    with pytest.raises(ImageError, match="nginx:1 had not come after 0 s") as caught:
        bench.provider("nginx:1")
    assert "CCCI_TIMEOUT_FACTOR" in caught.value.hint
    assert bench.built == []


def test_where_there_is_no_stand_in_either_the_machine_is_to_blame(bench: ProviderBench) -> None:
    """*error*: nothing can be said of the recipe. The registry's own words are shown."""
    bench.engine.refusal = refused(UNREACHABLE)
    with pytest.raises(ImageError, match="image redis:7 can be neither") as caught:
        bench.provider("redis:7")
    assert UNREACHABLE in caught.value.cause
    assert caught.value.hint


@pytest.mark.parametrize(
    "said",
    [
        NO_TAG,
        "manifest unknown",
        "Error: repository library/nginx not found: does not exist or no pull access",
        "pull access denied for nginx, repository does not exist or may require 'docker login'",
    ],
)
def test_a_registry_that_has_no_such_image_has_the_last_word(
    bench: ProviderBench, said: str
) -> None:
    """*failed*: the recipe names what does not exist, and no stand-in may hide that."""
    for error in (NotFound("404", explanation=said), refused(said)):
        bench.engine.refusal = error
        with pytest.raises(InvalidRecipeError, match="no image nginx:9") as caught:
            bench.provider("nginx:9")
        assert caught.value.detail == said
    assert bench.built == []


def test_a_full_disk_is_told_from_a_registry_out_of_reach(bench: ProviderBench) -> None:
    """A stand-in would not fit either."""
    bench.engine.refusal = refused(NO_ROOM)
    with pytest.raises(DiskFullError, match="nginx:1"):
        bench.provider("nginx:1")
    assert bench.built == []


@pytest.mark.parametrize(("said", "kind"), [(NO_ROOM, DiskFullError), (NO_TAG, InvalidRecipeError)])
def test_an_error_after_the_first_bytes_is_an_error(
    bench: ProviderBench, said: str, kind: type[HarnessError]
) -> None:
    """The engine has answered 200 by then: the error stands in the stream, and nowhere else."""
    bench.engine.events = [{"status": "Extracting"}, {"error": said, "errorDetail": {}}]
    with pytest.raises(kind):
        bench.provider("nginx:1")
    assert bench.heard == []


def test_a_download_that_breaks_off_is_not_a_pull(bench: ProviderBench) -> None:
    """Half of an image is none."""
    bench.engine.events = [{"status": "Downloading"}, {"error": "unexpected EOF"}]
    assert bench.provider("nginx:1")[1] is not None
    assert "pulled nginx:1" not in bench.heard


@pytest.mark.parametrize(
    ("image", "name", "tag"),
    [
        ("nginx", "nginx", "latest"),
        ("nginx:1.27", "nginx", "1.27"),
        ("docker.io/library/nginx:1", "docker.io/library/nginx", "1"),
        ("localhost:5000/nginx", "localhost:5000/nginx", "latest"),
        ("localhost:5000/nginx:1", "localhost:5000/nginx", "1"),
        ("nginx@sha256:ab", "nginx@sha256:ab", ""),
        ("host:5000/nginx:1@sha256:ab", "host:5000/nginx:1@sha256:ab", ""),
    ],
)
def test_an_image_is_pulled_by_its_own_tag(
    bench: ProviderBench, image: str, name: str, tag: str
) -> None:
    """Without a tag only `latest`, never all of them; a port is no tag, a digest stays whole."""
    bench.provider(image)
    assert bench.engine.calls[-1] == f"pull {name} {tag}"


def test_each_image_is_asked_for_once(bench: ProviderBench) -> None:
    """Base and head name the same image; the answer must not change between them."""
    bench.engine.refusal = refused(UNREACHABLE)
    first = bench.provider("nginx:1")
    bench.engine.there["nginx:1"] = {}
    assert bench.provider("nginx:1") is first
    assert bench.provider("nginx:2") != first
    assert bench.built == ["nginx:1", "nginx:2"]
    assert [call for call in bench.engine.calls if call.startswith("inspect")] == [
        "inspect nginx:1",
        "inspect nginx:2",
    ]


@pytest.mark.parametrize(
    ("refusal", "events"),
    [
        (RequestsConnectionError("Connection reset by peer"), []),
        (None, [{"status": "Downloading"}, ProtocolError("Connection broken: EOF")]),
    ],
    ids=["before", "in-the-middle"],
)
def test_an_engine_that_goes_away_is_no_silent_registry(
    bench: ProviderBench, refusal: Exception | None, events: list[dict[str, Any] | Exception]
) -> None:
    """The words are much the same, and what raises them is not."""
    bench.engine.refusal, bench.engine.events = refusal, events
    with pytest.raises(EngineError, match="nginx:1"):
        bench.provider("nginx:1")
    assert bench.built == []


@pytest.mark.parametrize("error", [DockerException("gone"), RequestsConnectionError("refused")])
def test_an_engine_that_does_not_answer_is_no_missing_image(
    bench: ProviderBench, error: Exception
) -> None:
    """Nothing is pulled or built with an engine that does not answer."""

    def gone(_count: int) -> None:
        raise error

    bench.engine.on_inspect = gone
    with pytest.raises(EngineError, match="nginx:1"):
        bench.provider("nginx:1")
    assert (bench.engine.calls, bench.built) == (["inspect nginx:1"], [])


def test_a_credential_store_that_is_missing_is_named(bench: ProviderBench) -> None:
    """It is neither the engine's silence nor the image's absence."""
    said = "Credentials store error: StoreError('docker-credential-nowhere not installed')"
    bench.engine.refusal = DockerException(said)
    with pytest.raises(ImageError, match="docker-credential-nowhere") as caught:
        bench.provider("other:1")
    assert "credsStore" in caught.value.cause
