"""Which engine a run uses: one in reach, else a private one, else one that is installed first.

What a user names is used or is an error: a DOCKER_HOST or a docker context that does not answer is
never replaced by another engine behind the user's back.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from harness.core import proc
from harness.core.errors import EngineError, UsageError, WaitTimeoutError
from harness.core.waiting import Deadline, stretched, wait_for
from harness.engine import endpoint, install, layout, private, processes
from harness.engine.ending import purge, stop
from harness.engine.endpoint import Engine
from harness.engine.private import State, Status, status

__all__ = ["Engine", "Machine", "Mode", "State", "Status"]
__all__ += ["purge", "resolve", "start", "status", "stop"]

Say = Callable[[str], None]

INSTALLED_START_SECONDS = 30.0


class Mode(StrEnum):
    """Which engines may be used: CCCI_ENGINE."""

    AUTO = "auto"  # one in reach, else a private one, installed if need be
    EXTERNAL = "external"  # only one in reach: nothing is started, nothing installed
    PRIVATE = "private"  # only our own


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What `resolve` asks of this machine, and has done on it; tests hand in another."""

    probe: Callable[[Engine], str] = endpoint.probe
    run: Callable[..., proc.Completed] = proc.run
    is_root: Callable[[], bool] = lambda: os.geteuid() == 0
    finder: Callable[[Mapping[str, str]], install.Find] = install.finder
    distribution: Callable[[], str] = install.distribution
    install: Callable[..., None] = install.install
    start: Callable[..., Engine] = private.start
    refuse_rivals: Callable[[Path], None] = private.refuse_rivals
    has_rivals: Callable[[], bool] = lambda: bool(processes.rivals(()))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """One call of `resolve`, with all that was handed in."""

    mode: Mode
    cache: Path
    environment: Mapping[str, str]
    say: Say
    machine: Machine

    @property
    def ours(self) -> Engine:
        return layout.Paths.of(self.cache).engine


def resolve(
    *,
    mode: str,
    cache: Path,
    environment: Mapping[str, str],
    say: Say,
    machine: Machine | None = None,
) -> Engine:
    """Return an engine that answers, after starting or installing one where the mode allows it.

    Args:
        mode: "auto", "external" or "private".
        cache: the directory below which a private engine lives.
        environment: the user's environment variables.
        say: is told before anything is started or installed.
        machine: what is asked and done; None means this one.

    Raises:
        UsageError: there is no such mode.
        EngineError: what the user named does not answer, or none may or can be started.
        LockTimeoutError: another run held the start for too long.
    """
    place = machine or Machine()
    question = _Question(
        mode=_mode(mode), cache=cache, environment=environment, say=say, machine=place
    )
    if question.mode is Mode.PRIVATE:
        return _own(question)
    found = _in_reach(question)
    if found is not None:
        return found
    if question.mode is Mode.EXTERNAL:
        raise EngineError(
            "no Docker engine is in reach, and CCCI_ENGINE=external forbids to start one",
            cause=_why_not_in_reach(question),
            hint="set DOCKER_HOST to an engine, or CCCI_ENGINE=auto for a private one",
        )
    return _own(question)


def start(
    cache: Path, *, environment: Mapping[str, str], say: Say, machine: Machine | None = None
) -> Engine:
    """Start the private engine unless it runs, say which, and return it.

    Raises:
        EngineError: it cannot be started here.
    """
    engine = resolve(
        mode=Mode.PRIVATE, cache=cache, environment=environment, say=say, machine=machine
    )
    say(f"the private engine runs at {engine.host}")
    return engine


def _mode(text: str) -> Mode:
    try:
        return Mode(text)
    except ValueError as error:
        raise UsageError(
            f"there is no engine mode '{text}'", hint=f"CCCI_ENGINE is one of {', '.join(Mode)}"
        ) from error


def _in_reach(question: _Question) -> Engine | None:
    environment, machine = question.environment, question.machine
    named = endpoint.from_host(environment) or endpoint.from_context(environment, run=machine.run)
    if named is None:
        return None if machine.probe(layout.DEFAULT_ENGINE) else layout.DEFAULT_ENGINE
    reason = machine.probe(named)
    if reason:
        raise _dead(named, reason, question)
    if named.host == question.ours.host:
        return Engine(host=named.host, origin=named.origin, private=True)
    return named


def _dead(engine: Engine, reason: str, question: _Question) -> EngineError:
    if engine.host == question.ours.host:
        hint = f"{layout.COMMAND} start"
    elif engine.origin == "DOCKER_HOST":
        hint = "start that engine, or unset DOCKER_HOST to have another one used"
    else:
        hint = "start that engine, or choose another one: docker context use default"
    return EngineError(
        f"the Docker engine at {engine.host} ({engine.origin}) does not answer",
        cause=reason,
        hint=hint,
    )


def _own(question: _Question) -> Engine:
    machine = question.machine
    if question.mode is Mode.PRIVATE:
        machine.refuse_rivals(question.cache)
    if not machine.probe(question.ours):
        return question.ours
    if not machine.is_root():
        raise EngineError(
            "no Docker engine is in reach, and only root can start one",
            cause=_why_not_in_reach(question),
            hint="set DOCKER_HOST to an engine that you may use (for /var/run/docker.sock, join "
            "the group docker), or run the same command as root for a private one",
        )
    if machine.finder(question.environment)("dockerd") is None:
        installed = _install(question)
        if installed is not None:
            return installed
    return machine.start(question.cache, environment=question.environment, say=question.say)


def _install(question: _Question) -> Engine | None:
    """Install an engine; return it if the installation started it, as it does under systemd."""
    machine = question.machine
    find = machine.finder(question.environment)
    with layout.locked(question.cache, "installing an engine", question.say):
        if find("dockerd") is None:  # another run may have been quicker
            _require_apt(question, find)
            machine.install(environment=question.environment, say=question.say, find=find)
    if question.mode is Mode.PRIVATE or not machine.has_rivals():
        return None
    try:
        return wait_for(
            lambda: _in_reach(question),
            what="the engine that the package started",
            deadline=Deadline.after(stretched(INSTALLED_START_SECONDS)),
            ready=lambda engine: engine is not None,
        )
    except WaitTimeoutError as error:
        raise EngineError(
            "docker.io was installed and its engine started, but it does not answer",
            cause=_why_not_in_reach(question),
            hint="journalctl -u docker; or stop it, and a private engine will be started",
        ) from error


def _require_apt(question: _Question, find: install.Find) -> None:
    if question.machine.distribution() and find("apt-get") is not None:
        return
    raise EngineError(
        "no Docker engine is in reach, and there is no program dockerd to start one",
        cause=_why_not_in_reach(question),
        hint="install an engine (it is done for you on Debian and Ubuntu only), or set DOCKER_HOST",
    )


def _why_not_in_reach(question: _Question) -> str:
    reason = question.machine.probe(layout.DEFAULT_ENGINE) or "it answers now"
    if question.mode is Mode.PRIVATE:
        return "CCCI_ENGINE=private asks for one of our own, and it is not running"
    return f"DOCKER_HOST is not set, no docker context is chosen, and {reason}"
