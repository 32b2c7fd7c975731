"""Secrets in what is published: found in every common form, masked, judged, and never by chance."""

import base64
import json
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from harness.core.model import AssertionResult, Leak, Origin, Outcome, Stage, StageResult
from harness.report.leaks import Guard, forms, sure, told
from harness.report.results import RunResult
from harness.run.publish import publish
from harness.verdict.decide import Verdict
from harness.verdict.facts import RunFacts, StageFacts

VALUE = "kD9!s&2mQx7^Lw@4"
RUN = RunResult(
    run="r", recipe="made", source="s", platform="swarm", started="2026-01-01T12:00:00+00:00",
    seconds=1.0, repeat="again", verdict=Verdict(outcome=Outcome.PASSED, exit_code=0),
)  # fmt: skip


PASSED = AssertionResult(nodeid="t", origin=Origin.GENERIC, outcome=Outcome.PASSED, seconds=0.0)
FACTS = RunFacts(stages=(StageFacts(stage=Stage.INSTALL, assertions=(PASSED,)),))


def guard(value: str = VALUE) -> Guard:
    """Return a guard of one secret."""
    return Guard(generated=lambda: {"db_password": value}, brought=("friend",))


def encoded(value: str) -> dict[str, str]:
    """Return the value as others write it; each is made by another way than the guard's."""
    raw = value.encode()
    found = {
        "plain": value,
        "reversed": value[::-1],
        "hex": "".join(f"{byte:02x}" for byte in raw),
        "hex upper": "".join(f"{byte:02X}" for byte in raw),
        "url": quote(value, safe=""),
        "url lower": "".join(c if c.isalnum() else f"%{ord(c):02x}" for c in value),
        "html": value.replace("&", "&amp;"),
    }
    for count in range(3):
        whole = b"u" * count + raw + b" and more"
        found[f"base64 {count}"] = base64.b64encode(whole).decode()
        found[f"base64url {count}"] = base64.urlsafe_b64encode(whole).decode()
    return found


@pytest.mark.parametrize("name", encoded(VALUE))
def test_each_form_is_found_and_masked(name: str) -> None:
    """With anything around it; its place and its form are noted down, its value is not."""
    made = guard()
    text = f"x {encoded(VALUE)[name]} y"
    masked = made.mask(text, "logs/app.log")
    assert "****" in masked
    (leak,) = made.leaks
    assert (leak.secret, leak.place, leak.count) == ("db_password", "logs/app.log", 1)
    assert name.startswith(leak.encoding) or leak.encoding == "base64"
    assert guard().mask(masked, "") == masked


def test_a_value_with_quotes_is_found_in_json() -> None:
    """A log in JSON lines is what most apps write."""
    value = 'kD9"s\\2mQx7^Lw@4'
    made = guard(value)
    assert made.mask(json.dumps({"a": value}), "x") == '{"a": "****"}'
    assert [leak.encoding for leak in made.leaks] == ["json"]


@pytest.mark.parametrize("value", ["v1", "", "admin", "20260101", "a" * 64, "12345678901"])
def test_a_value_that_may_occur_by_chance_fails_nothing(value: str) -> None:
    """A healthy recipe never goes red because its secret is a short number."""
    made = guard(value)
    made.mask(f"at v1 admin 20260101 12345678901 {'a' * 64}", "run.log")
    assert (made.leaks, forms(value)) == ((), ())


@pytest.mark.parametrize("value", ["0123456789ab", "aB3dE6gH9", "k3#mQ9!x"])
def test_a_random_value_of_40_bits_is_sure(value: str) -> None:
    """Twelve hex digits, nine letters and digits, eight with symbols among them."""
    assert sure(value)


def test_what_the_caller_brought_is_masked_and_fails_nothing() -> None:
    """A password in a URL may be a common word."""
    made = guard()
    assert made.mask("my friend", "run.log") == "my ****"
    assert made.leaks == ()


def test_the_place_in_the_result_is_named() -> None:
    """Whoever reads the cause finds it without a search."""
    made = guard()
    stage = StageResult(stage=Stage.BACKUP, outcome=Outcome.PASSED, facts={"hooks": [VALUE]})
    made.look_at(replace(RUN, stages=(stage,)))
    (leak,) = made.leaks
    assert leak.place.endswith("stages[backup].facts.hooks[0]")


LEAK = Leak(secret="db_password", encoding="plain", place="logs/app.log", count=2)  # noqa: S106


def test_a_known_leak_is_listed_with_its_reason() -> None:
    """Only that secret: another one that leaks beside it is not excused."""
    other = replace(LEAK, secret="key")  # noqa: S106
    got = told([LEAK, other], {"db_password": "shown once"})
    assert [leak.known for leak in got] == ["shown once", ""]


def test_every_file_of_a_run_is_masked_before_it_is_published(tmp_path: Path) -> None:
    """Whoever wrote it and wherever; bytes that are no text stay, and so do pictures."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/app.log").write_bytes(VALUE.encode() + b" \xff\r\n")
    (tmp_path / "page.png").write_bytes(VALUE.encode())
    got, _ = publish(RUN, FACTS, tmp_path, guard(), {})
    assert (tmp_path / "logs/app.log").read_bytes() == b"**** \xff\r\n"
    assert (tmp_path / "page.png").read_bytes() == VALUE.encode()
    assert got.verdict.outcome is Outcome.FAILED
    for name in ("results.json", "junit.xml", "summary.md"):
        assert "logs/app.log" in (tmp_path / name).read_text(), name


def test_a_file_that_cannot_be_masked_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk must not publish a secret; the others are masked all the same."""
    for name in ("a.log", "b.log"):
        (tmp_path / name).write_text(VALUE)
    write = Path.write_bytes

    def full(self: Path, content: bytes) -> int:
        if self.name == "a.log":
            raise OSError(28, "No space left on device")
        return write(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        guard().files(tmp_path)
    assert not (tmp_path / "a.log").exists()
    assert (tmp_path / "b.log").read_text() == "****"


def test_what_a_renderer_adds_is_found_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that reads a secret from elsewhere, or encodes it: the run is judged once more."""
    monkeypatch.setattr("harness.report.summary.render", lambda _: VALUE.encode().hex())
    got, _ = publish(RUN, FACTS, tmp_path, guard(), {})
    assert (got.verdict.outcome, got.leaks[0].place) == (Outcome.FAILED, "summary.md")
    assert (tmp_path / "summary.md").read_text() == "****"
    assert json.loads((tmp_path / "results.json").read_text())["verdict"]["outcome"] == "failed"
