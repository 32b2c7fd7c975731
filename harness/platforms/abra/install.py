"""abra built from its own source by Go, as a test dependency: a fixed version, into the cache."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from harness.core import proc, scratch
from harness.core.errors import AbraError, ProcessError
from harness.core.waiting import stretched
from harness.platforms.abra.program import MARK, RANGE, Abra, inspect, installed_in

MODULE = "coopcloud.tech/abra/cmd/abra"
# A revision, because abra's own tags (such as 0.10.0-beta) have no `v` and so are no versions to
# Go. This one is what the public package documentation shows; nobody here has built it.
REVISION = "7a079b7"
BUILD_SECONDS = 1800.0
REPLACES = re.compile(r"contains\s+one\s+or\s+more\s+(?:replace|exclude)\s+directives")
REFUSED = re.compile(
    r"403 Forbidden|\b4(?:04|10) (?:Not Found|Gone)|host .* not .*allow", re.IGNORECASE
)
NO_NETWORK = re.compile(
    r"dial tcp|no such host|i/o timeout|network is unreachable|TLS handshake|connection refused"
    r"|could not resolve",
    re.IGNORECASE,
)
NO_REVISION = re.compile(r"unknown revision|invalid version|no matching versions", re.IGNORECASE)
OLD_GO = re.compile(r"requires go >= ([\d.]+)|go\.mod requires go", re.IGNORECASE)


def install(
    revision: str, *, cache: Path, environ: Mapping[str, str], say: Callable[[str], None]
) -> Abra:
    """Build that revision of abra into the cache, unless it is there, and return it.

    Raises:
        AbraError: there is no Go, the source cannot be had, or what was built is of no use.
    """
    revision = revision or REVISION
    target = installed_in(cache)
    mark, built = target / MARK, target / "abra"
    if mark.is_file() and mark.read_text().strip() == revision and built.is_file():
        say(f"abra  {revision} is in {target} already")
        return inspect(built, environ)
    go = shutil.which("go", path=environ.get("PATH", ""))
    if go is None:
        raise AbraError(
            "abra cannot be built: there is no Go on this machine",
            cause="abra is written in Go, and is built from its source",
            hint="install Go (its program `go` has to be on PATH), or put an abra on PATH",
        )
    target.mkdir(parents=True, exist_ok=True)
    mark.unlink(missing_ok=True)  # a build that fails half-way must not pass for a whole one
    say(f"abra  building {MODULE}@{revision} into {target}")
    try:
        _build(go, revision, built, {**environ, "GOBIN": str(target)})
    except ProcessError as error:
        raise _explained(revision, error) from error
    mark.write_text(f"{revision}\n")
    return inspect(built, environ)


def _build(go: str, revision: str, built: Path, env: Mapping[str, str]) -> None:
    """Build it by name; or for a module that requires it, and is thrown away.

    `go install` refuses a module that replaces others. Whoever requires it is not bound by that.

    Raises:
        ProcessError: Go failed.
    """
    named = f"{MODULE}@{revision}"
    try:
        proc.run(
            [go, "install", named], timeout=stretched(BUILD_SECONDS), cwd=built.parent, env=env
        )
    except ProcessError as error:
        if not REPLACES.search(error.stderr):
            raise
    else:
        return
    with scratch.directory("cc-ci-abra-") as place:
        for words in (
            ["mod", "init", "cc-ci.invalid/abra"],
            ["get", named],
            ["build", "-o", str(built), MODULE],
        ):
            proc.run([go, *words], timeout=stretched(BUILD_SECONDS), cwd=place, env=env)


def _explained(revision: str, error: ProcessError) -> AbraError:
    what = f"abra {revision} cannot be built"
    said = error.stderr
    for pattern, cause, hint in (
        (REFUSED, "the Go module proxy refuses the module, or does not have it",
         "let GOPROXY name a proxy that has it, or put an abra on PATH"),
        (NO_REVISION, "there is no such revision of the module",
         "name one: nox -s abra-install -- REVISION"),
        (NO_NETWORK, "the Go module proxy cannot be reached",
         "check the network and GOPROXY (`go env GOPROXY`), or put an abra on PATH"),
        (OLD_GO, "this Go is too old for it", "install a newer Go"),
    ):  # fmt: skip
        if pattern.search(said):
            return AbraError(what, cause=cause, hint=hint, detail=said)
    return AbraError(
        what, cause="the build failed; the lines below are Go's own",
        hint=f"put an abra on PATH; supported is {RANGE}", detail=said or error.what,
    )  # fmt: skip
