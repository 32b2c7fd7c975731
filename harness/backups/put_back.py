"""Writing an unpacked snapshot over live files, and comparing them with it afterwards.

The script writes first and deletes what came later afterwards, by names; the harness's own backup
bot has the same one in its image. See docs/decisions/0033-restore.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from harness.backups.unread import SHOWN_FILES
from harness.core.errors import (
    ExecFailedError,
    ExecNotStartedError,
    ExecTimeoutError,
    HarnessError,
    TestBedError,
)
from harness.core.waiting import stretched
from harness.exec.exec import ExecTarget
from harness.images.image_definitions import FOLDER

SCRIPT = FOLDER / "backupbot" / "files" / "usr" / "lib" / "backup_bot" / "put_back.sh"
LOG = "/tmp/ccci-put-back.log"  # noqa: S108  in a container of the harness
LOOK_SECONDS = 60.0
DELETED = re.compile(r"^(?:removed|deleting) ", re.MULTILINE)
WRITTEN = re.compile(r"^written (.*[^/\n])$", re.MULTILINE)
LACKS = re.compile(r"^lacks (.*[^/\n])$", re.MULTILINE)
# Prints each name that the snapshot has, that differs, and that was not touched since the mark:
#     FROM TO MARK SINCE WHOLE NAME...
# MARK is a file that is dated SINCE, in seconds since 1970: when the restore began.
# A name that lacks counts by its folder: one that the app has emptied since is newer than the mark.
# With WHOLE, a name of which not one file is there counts in any case.
COMPARE = r"""
set -u
export LC_ALL=C
from=$1 to=$2 mark=$3 since=$4 whole=$5
shift 5
touch -d "@$since" "$mark" || exit 1
# Nothing is found where the app has just removed the file: that is a touch as well.
older() { [ -n "$(find "$1" -maxdepth 0 ! "-newer$2m" "$mark" 2>/dev/null)" ]; }
has_files() { [ -n "$(find "$1" ! -type d ! -type s ! -type p -print -quit 2>/dev/null)" ]; }
untouched() {
    local live=$to/$1 saved=$from/$1
    if [[ -e $live || -L $live ]]; then
        older "$live" c || { [[ ! -L $live && ! $live -nt $saved && ! $live -ot $saved ]]; }
    else
        until [[ -d ${live%/*} ]]; do live=${live%/*}; done
        older "${live%/*}" m
    fi
}
for name; do
    if [[ $whole ]] && has_files "$from/$name" && ! has_files "$to/$name"; then
        printf '%s\0' "$name"
    fi
done
cd "$from" || exit 1
rsync -rlcn --force --relative --out-format='%i %n' -- "$@" "$to/" >"$mark.told" 2>"$mark.said"
code=$?
[[ $code = 0 || $code = 23 ]] || { cat "$mark.said" >&2; exit "$code"; }
# rsync writes `\#012` for a line end, and other backslashes as they are.
sed -E 's/\\/\\\\/g; s/\\\\#([0-7]{3})/\\0\1/g' "$mark.told" >"$mark.differs"
while IFS= read -r line; do
    case ${line%% *} in
        [\<\>ch]f+* | [\<\>ch]fc* | cL* | cd+*) ;;
        *) continue ;;
    esac
    name=${line#* }
    printf -v name %b "$name"
    name=${name%/}
    ! untouched "$name" || printf '%s\0' "$name"
done <"$mark.differs"
"""


@cache
def script() -> bytes:
    """Return the script that puts files back."""
    return SCRIPT.read_bytes()


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBack:
    """Puts an unpacked snapshot back over live files.

    Args:
        target: the container that has both.
        source: where the snapshot was unpacked.
        live: where the live files are.
        names: what is put back, each a path in both.
        mark: a file of the harness's own in the container, to date the restore by.
        timeout: seconds for all of it, before it is stretched.
    """

    target: ExecTarget
    source: str
    live: str
    names: Sequence[str]
    mark: str
    timeout: float

    def run(self) -> None:
        """Write it all, then delete what came later.

        Raises:
            TestBedError: it failed half way; the message says what it left.
        """
        argv = ["bash", "-s", "--", self.source, self.live, LOG, *self.names]
        try:
            done = self.target.exec(
                argv, timeout=stretched(self.timeout), stdin=script(), check=False
            )
        except (ExecNotStartedError, ExecTimeoutError) as error:
            raise self._broken(error.what, error.detail) from error
        if done.code != 0:
            said = done.stderr.decode(errors="replace").strip()
            raise self._broken("the restore failed", said)

    def not_put_back(self, *, since: float, whole: bool) -> tuple[str, ...]:
        """Return what the snapshot has and the restore did not bring back, by name.

        What the app itself has changed or removed since then is not among it.

        Args:
            since: when the restore began, in seconds since 1970.
            whole: whether a name of which no file is there counts in any case. A hook that loads a
                dump may remove it afterwards.
        """
        known = [self.source, self.live, self.mark, f"{since:.6f}", "yes" if whole else ""]
        told = self._look(["bash", "-c", COMPARE, "ccci-compare", *known, *self.names])
        names = told.decode(errors="surrogateescape").split("\0")
        return tuple(dict.fromkeys(name for name in names if name))

    def _look(self, argv: Sequence[str]) -> bytes:
        try:
            return self.target.exec(argv, timeout=stretched(self.timeout)).stdout
        except (ExecFailedError, ExecNotStartedError, ExecTimeoutError) as error:
            raise TestBedError(
                f"cannot compare the volumes with the snapshot: {error.what}", detail=error.detail
            ) from error

    def _broken(self, what: str, detail: str) -> TestBedError:
        left = "how far it got is not known"
        with suppress(HarnessError):
            left = left_by(self.target.exec(["cat", LOG], timeout=stretched(LOOK_SECONDS)).text)
        return TestBedError(f"{what}: {left}", cause=detail.partition("\n")[0], detail=detail)


def require_none(lacking: Sequence[str], *, driver: str) -> None:
    """Refuse a restore after which something is missing that the snapshot holds.

    Args:
        lacking: its names.
        driver: what restored.

    Raises:
        TestBedError: there is something.
    """
    if lacking:
        raise TestBedError(
            f"the restore did not bring back {len(lacking)} of the snapshot's files: "
            f"{', '.join(lacking[:SHOWN_FILES])}",
            cause=f"the backup driver {driver} left them as they were",
            hint="restore that snapshot by hand and look; `--backup-driver restic` restores "
            "without a bot",
        )


def left_by(log: str) -> str:
    """Return what a restore that broke off has left, from the script's log."""
    lacks, deleted = LACKS.findall(log), len(DELETED.findall(log))
    written = [name for name in WRITTEN.findall(log) if name not in set(lacks)]
    last = f", the last one {written[-1]}" if written else ""
    missing = f", {len(lacks)} were not" if lacks else ""
    surplus = f"{deleted} were deleted" if deleted else "nothing was deleted"
    return f"it broke off after {len(written)} file(s) were written{last}{missing}; {surplus}"
