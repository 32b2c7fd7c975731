"""Root file systems from the distribution's packages, by mmdebstrap.

The result depends on the packages and on nothing else of the machine: the same packages give the
same bytes, whoever builds. What the host's apt needs to reach its mirrors is handed to the build
and left out of the result (see `image_layers.trim`).
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core import capacity, proc
from harness.core.errors import DiskFullError, ImageError, ProcessError
from harness.core.waiting import stretched
from harness.engine import install
from harness.images import apt_config
from harness.locks import file_lock as locks

# Every file that the build writes gets this date (2024-01-01), every older one keeps its own.
EPOCH = 1704067200
BUILD_SECONDS = 1800.0
_APT_SECONDS = 900.0
_ROOM = 1 << 30  # bytes; the largest image so far takes 600 MB while it is built
MEMORY_DISK = Path("/dev/shm")  # noqa: S108  a directory of our own is made in it, mode 0711
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_LAST_LINES = 20
# A builder that is killed leaves mounts of the host's /dev behind, which nobody can safely delete,
# and children that go on writing. In namespaces of its own, nothing of it outlives this process.
ALONE = (
    *("setpriv", "--pdeathsig", "KILL", "--"),
    *("unshare", "--mount", "--mount-proc", "--pid", "--fork", "--kill-child", "--"),
)
_PROBE_SECONDS = 10.0

Say = Callable[[str], None]
Run = Callable[..., proc.Completed]


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What decides which packages a name means: release code name and architecture.

    `slim` says that the release can do without the package usrmerge, which brings 60 MB of Perl.
    """

    suite: str
    architecture: str
    slim: bool = False

    @classmethod
    def of(cls, release: Mapping[str, str], machine: str) -> Host:
        """Return the host that an os-release(5) and a machine name (`uname -m`) speak of.

        Raises:
            ImageError: it is not Debian, nor made from it, or no architecture we know.
        """
        family = {release.get("ID", ""), *release.get("ID_LIKE", "").split()}
        suite = release.get("VERSION_CODENAME", "")
        if not suite or not family & {"debian", "ubuntu"}:
            raise ImageError(
                f"stand-in images cannot be built on {release.get('PRETTY_NAME', 'this system')}",
                cause="they are made from the packages of Debian or Ubuntu",
                hint="give the engine a registry in reach, or run this on Debian or Ubuntu",
            )
        if machine not in _ARCHITECTURES:
            raise ImageError(
                f"stand-in images cannot be built for {machine}",
                cause=f"only {', '.join(_ARCHITECTURES)} are known",
                hint="give the engine a registry in reach",
            )
        return cls(
            suite=suite, architecture=_ARCHITECTURES[machine], slim=_knows_usr_is_merged(release)
        )


def _knows_usr_is_merged(release: Mapping[str, str]) -> bool:
    # The package usr-is-merged came with Debian 12, and is in every Ubuntu from 24.04 on.
    since = {"debian": 12.0, "ubuntu": 24.04}.get(release.get("ID", ""))
    version = re.fullmatch(r"\d+(\.\d+)?", release.get("VERSION_ID", ""))
    return since is not None and version is not None and float(version[0]) >= since


def build(
    packages: Sequence[str], host: Host, *, work: Path, lock: Path, lock_timeout: float, say: Say
) -> Path:
    """Build a root file system in the directory `work`, and return its tar file.

    Args:
        packages: what to install beside the essential packages, with their dependencies.
        host: the release and the architecture.
        work: an empty directory; nothing in it is worth keeping but the result.
        lock: where the locks lie, for the one around apt-get when mmdebstrap is missing.
        lock_timeout: seconds to wait for that lock.
        say: is told when something is installed on this machine.

    Raises:
        ImageError: there is no builder, or it failed; its last lines are in `detail`.
        DiskFullError: there was no room for it.
        LockTimeoutError: somebody else kept installing packages.
    """
    environment = {
        **os.environ,
        "PATH": install.search_path(os.environ),
        "LC_ALL": "C.UTF-8",
        "SOURCE_DATE_EPOCH": str(EPOCH),
        "TMPDIR": str(work),
    }
    _require_builder(environment, lock=lock, lock_timeout=lock_timeout, say=say)
    try:
        mirrors, hooks = apt_config.hand_over(work, host.suite, environment=environment)
        wrapper = _alone(environment)
        argv = [*wrapper, *command(packages, host, hooks=hooks, mirrors=mirrors)]
        proc.run(argv, timeout=stretched(BUILD_SECONDS), cwd=work, env=environment)
    except ProcessError as error:
        raise failure(error, packages) from error
    return work / "root.tar"


def command(
    packages: Sequence[str],
    host: Host,
    *,
    hooks: Sequence[str],
    mirrors: Sequence[str],
) -> list[str]:
    """Return the builder's command line, to be run in the directory that the hooks speak of."""
    hooks = [*hooks, *(_slim_hooks(host) if host.slim else ())]
    return [
        "mmdebstrap",
        "--mode=auto",  # as root: root; else what this user may do, with the same result
        "--variant=essential",
        "--format=tar",
        f"--include={','.join(packages)}",
        *(f"--setup-hook={hook}" for hook in hooks),
        host.suite,
        "root.tar",
        *mirrors,
    ]


def _slim_hooks(host: Host) -> list[str]:
    # usrmerge only moves directories at its installation, with all of Perl. Where they are in
    # place from the start, the empty package usr-is-merged satisfies the same dependency.
    links = ["bin", "sbin", "lib", *(["lib64"] if host.architecture == "amd64" else [])]
    return [
        f"upload {apt_config.NO_USRMERGE} /etc/apt/preferences.d/no-usrmerge",
        f'for d in {" ".join(links)}; do mkdir -p "$1/usr/$d" && ln -s "usr/$d" "$1/$d"; done',
    ]


def _alone(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the wrapper in which a builder, and its mounts, die with us; empty if it may not be.

    What is built is the same with and without it.
    """
    probe = proc.run(
        [*ALONE, "true"], timeout=stretched(_PROBE_SECONDS), env=environment, check=False
    )
    return ALONE if probe.code == 0 else ()


def _require_builder(
    environment: Mapping[str, str], *, lock: Path, lock_timeout: float, say: Say
) -> None:
    if _has_builder(environment):
        return
    if os.geteuid() != 0 or shutil.which("apt-get", path=environment["PATH"]) is None:
        raise ImageError(
            "the program mmdebstrap, which builds stand-in images, is not installed",
            cause="installing it takes root",
            hint="sudo apt-get install mmdebstrap uidmap",
        )
    purpose = "installing mmdebstrap"
    with locks.hold(lock, "apt-get", purpose=purpose, timeout=lock_timeout, say=say):
        if not _has_builder(environment):
            install_builder(environment, say=say)


def _has_builder(environment: Mapping[str, str]) -> bool:
    return shutil.which("mmdebstrap", path=environment["PATH"]) is not None


def install_builder(environment: Mapping[str, str], *, say: Say, run: Run = proc.run) -> None:
    """Install mmdebstrap on this machine by apt, and say so.

    Raises:
        ImageError: apt could not do it; its last words are in `detail`.
    """
    quiet = {**environment, "DEBIAN_FRONTEND": "noninteractive", "TMPDIR": tempfile.gettempdir()}
    say("stand-in images are built by mmdebstrap: installing that package with apt-get")
    argv = ["apt-get", "install", "-y", "--no-install-recommends"]
    argv += ["-o", "DPkg::Lock::Timeout=120", "mmdebstrap"]
    try:
        # One broken source of many fails an update; the installation says whether that mattered.
        run(["apt-get", "update"], timeout=stretched(_APT_SECONDS), env=quiet, check=False)
        run(argv, timeout=stretched(_APT_SECONDS), env=quiet)
    except ProcessError as error:
        raise ImageError(
            "the package mmdebstrap, which builds stand-in images, could not be installed",
            cause="the package sources of this machine do not serve it, or cannot be reached",
            hint="apt-get update && apt-get install mmdebstrap",
            detail=_last_lines(error.stderr or error.what),
        ) from error


# What the builder's words mean: pattern, likely cause, what to do. The first that fits counts.
_MEANINGS = (
    (
        r"Unable to locate package|has no installation candidate|Couldn't find these packages",
        "this release of the distribution has no such package",
        "correct `packages` in the image's definition",
    ),
    (
        r"Failed to fetch|Could not resolve|Unable to connect|Could not connect|NO_PUBKEY|40[347] ",
        "a package source of this machine cannot be reached, or is not signed by a known key",
        "make `apt-get update` succeed on this machine, then try again",
    ),
    (
        r"pick chroot mode|subuid|newuidmap|fakechroot|[Oo]peration not permitted|unshare",
        "this user may not make a root file system",
        "run it as root, or: apt-get install uidmap, and give the user a range in /etc/subuid",
    ),
)


def failure(error: ProcessError, packages: Sequence[str]) -> ImageError | DiskFullError:
    """Return what a builder's failure means, with its last lines in `detail`."""
    said = error.stderr or error.what
    detail = _last_lines(said)
    if re.search(r"No space left on device|enough free space", said):
        return DiskFullError(
            "the disk filled up while a stand-in image was built",
            cause="it takes up to 1 GB while it is built, and about 100 MB afterwards",
            hint="make room, or set CCCI_CACHE to a directory on a larger disk",
            detail=detail,
        )
    unknown = ("", "the builder's own words below say why")
    meanings = ((cause, hint) for pattern, cause, hint in _MEANINGS if re.search(pattern, said))
    cause, hint = next(meanings, unknown)
    return ImageError(
        f"a root file system with {', '.join(packages)} could not be built",
        cause=cause,
        hint=hint,
        detail=detail,
    )


def _last_lines(text: str) -> str:
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", text) if line.strip()]
    return "\n".join(lines[-_LAST_LINES:])


def scratch_root(cache: Path) -> Path:
    """Return where to build: in memory where there is room (twice as fast), else on a disk.

    A user other than root builds with ids that cannot look into that user's own directories.
    """
    if _fits_in_memory():
        return MEMORY_DISK
    return cache if os.geteuid() == 0 else Path(tempfile.gettempdir())


def scratch_roots(cache: Path) -> list[Path]:
    """Return every place where a build of this cache may have left something."""
    return [cache, MEMORY_DISK, Path(tempfile.gettempdir())]


def _fits_in_memory() -> bool:
    try:
        disk = os.statvfs(MEMORY_DISK)
    except OSError:
        return False
    runs_programs = not disk.f_flag & os.ST_NOEXEC  # those of the new root are run there
    roomy = (capacity.free_bytes(MEMORY_DISK) or 0) >= _ROOM
    return runs_programs and roomy and (capacity.free_memory() or 0) >= 2 * _ROOM
