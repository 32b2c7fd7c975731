"""Whatever was raised has its word: the machine's fault, the harness's, or what it was before."""

import errno

import pytest
from docker.errors import APIError, DockerException, NotFound
from requests.exceptions import ConnectionError as RequestsConnectionError
from requests.exceptions import ReadTimeout

from harness.docker.faults import as_harness_error
from harness.errors import (
    AbortedError,
    BackupError,
    DiskFullError,
    EngineError,
    HarnessError,
    InternalError,
)
from harness.model import Outcome


@pytest.mark.parametrize("error", [BackupError("b"), AbortedError("a"), EngineError("e")])
def test_our_own_errors_are_left_alone(error: HarnessError) -> None:
    """The very same object: its cause and hint belong to it."""
    assert as_harness_error(error) is error


@pytest.mark.parametrize(
    "error",
    [
        APIError("500 Server Error"),
        NotFound("404"),
        DockerException("while fetching server API version"),
        RequestsConnectionError("refused"),
        ReadTimeout("timed out"),
    ],
)
def test_an_engine_that_does_not_answer_is_the_machines_fault(error: Exception) -> None:
    """An app's verdict must not hang on it."""
    got = as_harness_error(error)
    assert type(got) is EngineError
    assert str(error) in got.what
    assert got.hint


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.ENOSPC, "translated words"),
        APIError("500", explanation="write /var/lib/x: no space left on device"),
        RuntimeError("No Space Left On Device"),
    ],
)
def test_a_full_disk_is_told_from_all_else(error: Exception) -> None:
    """Whoever reports it: the remedy is to make room, and the message says so."""
    got = as_harness_error(error)
    assert type(got) is DiskFullError
    assert "reap" in got.hint


@pytest.mark.parametrize("error", [KeyError("x"), OSError(errno.EACCES, "no"), AssertionError()])
def test_what_nobody_foresaw_is_never_a_verdict(error: Exception) -> None:
    """A fault of the harness is an *error*, and its traceback is kept for whoever mends it."""
    try:
        raise error
    except type(error) as raised:
        got = as_harness_error(raised)
    assert type(got) is InternalError
    assert got.outcome is Outcome.ERROR
    assert type(error).__name__ in got.what
    assert "test_faults.py" in got.detail
