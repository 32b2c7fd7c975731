"""Turning whatever was raised into one of our own errors: every end has its word and code."""

from __future__ import annotations

import errno
import traceback

from docker.errors import DockerException
from requests.exceptions import RequestException

from harness.errors import DiskFullError, EngineError, HarnessError, InternalError


def as_harness_error(error: Exception) -> HarnessError:
    """Return the error itself when it is ours, else the one of ours that says what it means.

    An engine that does not answer, or a full disk, is the test bed's fault and says nothing about
    the recipe. Anything unforeseen is a fault of the harness, and is never taken for a verdict.
    """
    if isinstance(error, HarnessError):
        return error
    said = "".join(traceback.format_exception_only(error)).strip()
    if "no space left on device" in said.lower() or getattr(error, "errno", None) == errno.ENOSPC:
        return DiskFullError(
            f"no room is left on a disk: {said}",
            hint="make room, or remove what old runs left: nox -s reap",
        )
    if isinstance(error, DockerException | RequestException):
        return EngineError(
            f"the engine did not do what it was asked: {said}",
            cause="it was stopped or restarted, it is overloaded, or it refuses",
            hint="nox -s engine -- status; its log has the last word",
        )
    return InternalError(
        f"the harness itself failed: {said}",
        cause="a fault in cc-ci, not in the recipe",
        hint="please report it, with the lines below",
        detail="".join(traceback.format_exception(error)),
    )
