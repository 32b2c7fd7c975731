"""How the private engine ends: what it left behind when it died, a stop, a removal of everything.

Nothing is signalled that does not name our directories on its own command line, or runs below
what does: a pid file is not proof.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from harness.core import proc
from harness.core.errors import EngineError, ProcessError, WaitTimeoutError
from harness.core.waiting import Deadline, stretched, wait_for
from harness.engine import processes
from harness.engine.endpoint import probe
from harness.engine.layout import COMMAND, DEFAULT_ENGINE, Paths, link_exists, locked

STOP_SECONDS = 45.0  # dockerd gives its containers 15 s, then its containerd another 15 s
KILL_SECONDS = 10.0
BRIDGES = ("docker0", "docker_gwbridge")
VETH = re.compile(r"veth[0-9a-f]{7}\Z")  # what libnetwork calls the ends of a pair

Say = Callable[[str], None]


def stop(cache: Path, *, say: Say, timeout: float = STOP_SECONDS) -> bool:
    """Stop the private engine with all it runs; return whether there was anything to stop.

    Raises:
        EngineError: it belongs to another user, runs out of our sight, or would not end.
    """
    paths = Paths.of(cache)
    with locked(cache, "stopping the private engine", say):
        stopped = _stop(paths, timeout)
    say("the private engine was stopped" if stopped else "the private engine was not running")
    return stopped


def purge(cache: Path, *, say: Say, timeout: float = STOP_SECONDS) -> tuple[str, ...]:
    """Stop the private engine and remove all that it kept; return what was removed, in words.

    Its firewall chains stay until the machine's next start: whose they are cannot be told.

    Raises:
        EngineError: it could not be stopped, or what it kept could not be removed.
    """
    paths = Paths.of(cache)
    with locked(cache, "removing the private engine", say):
        removed = ["the running engine"] if _stop(paths, timeout) else []
        removed += _unmount(paths)
        existed = [one for one in dict.fromkeys((paths.runtime, paths.root)) if one.exists()]
        for directory in existed:
            _remove_tree(directory)
            removed.append(str(directory))
        if existed:
            removed += _remove_links(paths)
    say(f"removed {', '.join(removed)}" if removed else "there is no private engine to remove")
    return tuple(removed)


def sweep(paths: Paths) -> None:
    """Remove what a dead engine left and a new one would stumble over.

    A containerd that outlived its dockerd is ended: whether it is about to die, too, cannot be
    known, and its successor finds the running containers again. A pid file whose number is now
    that of another program, or of a zombie, makes dockerd refuse, or wait for containerd in vain.
    """
    survivors = [p for p in processes.belonging_to(paths.owned) if p.program == "containerd"]
    if survivors:
        _signal(survivors, signal.SIGTERM)
        if not _await_end(survivors, KILL_SECONDS):
            _kill(survivors)
    # The names of network namespaces: a new dockerd only looks for those that its store knows.
    spaces = paths.exec / "netns"
    _unmount_below((spaces,))
    containerd_pid = paths.exec / "containerd" / "containerd.pid"
    for left in (paths.pidfile, paths.socket, containerd_pid, *spaces.glob("*")):
        try:
            left.unlink(missing_ok=True)
        except OSError as error:
            raise _not_removed(left, error) from error


def _stop(paths: Paths, timeout: float) -> bool:
    members = processes.belonging_to(paths.owned)
    if not members:
        if not probe(paths.engine):
            raise EngineError(
                f"the private engine at {paths.engine.host} answers, but not from a process that "
                "can be seen here",
                cause="it was started from another container that shares this cache directory",
                hint=f"{COMMAND} stop, typed there",
            )
        sweep(paths)
        return False
    for program, patience in (("dockerd", timeout), ("containerd", KILL_SECONDS)):
        # A dockerd that ends takes its containerd and all containers along; an orphan is told.
        daemons = [one for one in processes.belonging_to(paths.owned) if one.program == program]
        _signal(daemons, signal.SIGTERM)
        _await_end(daemons, patience)
    left = processes.belonging_to(paths.owned)
    if left:
        _kill(left)
    sweep(paths)
    return True


def _kill(members: Iterable[processes.Process]) -> None:
    """Kill these and whatever runs below them: the processes of their containers."""
    targets = list(members)
    below = processes.descendants(process.pid for process in targets)
    targets += [processes.Process(pid=pid, argv=("",)) for pid in below]
    _signal(targets, signal.SIGKILL)
    if not _await_end(targets, KILL_SECONDS):
        pids = ", ".join(str(p.pid) for p in targets if processes.is_running(p.pid))
        raise EngineError(
            f"processes of the private engine could not be ended: {pids}",
            cause="they hang in the kernel, most often on a disk or a network file system",
            hint=f"restart the machine, then {COMMAND} purge",
        )


def _signal(targets: Iterable[processes.Process], number: signal.Signals) -> None:
    for target in targets:
        try:
            os.kill(target.pid, number)
        except ProcessLookupError:
            continue
        except PermissionError as error:
            raise EngineError(
                f"the private engine belongs to another user (process {target.pid})",
                hint="run the same command as the user who started it, most often root",
            ) from error


def _await_end(targets: Iterable[processes.Process], timeout: float) -> bool:
    pids = [target.pid for target in targets]
    try:
        wait_for(
            lambda: [pid for pid in pids if processes.is_running(pid)],
            what="the end of the private engine",
            deadline=Deadline.after(stretched(timeout)),
            ready=lambda left: not left,
        )
    except WaitTimeoutError:
        return False
    return True


def _unmount(paths: Paths) -> list[str]:
    directories = dict.fromkeys((paths.runtime, paths.root))
    return ["leftover mounts"] if _unmount_below(directories) else []


def _unmount_below(directories: Iterable[Path]) -> bool:
    """Unmount everything below these, and return whether there was anything."""
    points = processes.mounts_below(directories)
    for point in points:
        try:
            proc.run(["umount", point], timeout=stretched(20.0))
        except ProcessError:
            proc.run(["umount", "--lazy", point], timeout=stretched(20.0))
    return bool(points)


def _remove_tree(directory: Path) -> None:
    try:
        shutil.rmtree(directory)
    except OSError as error:
        raise _not_removed(directory, error) from error


def _not_removed(path: Path, error: OSError) -> EngineError:
    return EngineError(
        f"{error.filename or path} cannot be removed: {error.strerror}",
        cause="it is in use, or belongs to another user",
        hint="run the same command again, as root",
    )


def _remove_links(paths: Paths) -> list[str]:
    # Only when no other engine is here: its links have names of the same kind.
    if processes.rivals(paths.owned) or not probe(DEFAULT_ENGINE):
        return []
    links = {f"the bridge {name}": name for name in BRIDGES if link_exists(name)}
    links |= {f"the link {name}": name for name in _unmoved()}
    removed = []
    for what, name in links.items():
        with suppress(ProcessError):  # without rights or `ip` they stay, and do no harm
            proc.run(["ip", "link", "delete", name], timeout=stretched(10.0))
            removed.append(what)
    return removed


def _unmoved() -> list[str]:
    """Return one end of each pair of links whose ends are both here, as dockerd names them.

    Dockerd makes both ends here and then moves one into a container's namespace. If it is killed in
    between, the pair belongs to no namespace that ends, so that no kernel removes it.
    """
    try:
        shown = proc.run(
            ["ip", "-json", "link", "show", "type", "veth"], timeout=stretched(10.0)
        ).stdout
    except ProcessError:
        return []
    found = [one for one in json.loads(shown or "[]") if one]  # old versions list empty objects
    pairs = {
        (min(one["ifname"], one["link"]), max(one["ifname"], one["link"]))
        for one in found
        if "link" in one and one.get("master") in (None, *BRIDGES)
    }
    return sorted(first for first, second in pairs if VETH.match(first) and VETH.match(second))
