"""Whether the dumps that hooks have written are whole, by what their own formats say.

A hook may end well although its dump did not: in a script of the recipe, `pg_dump | gzip` has the
exit code of gzip, and what is left of a failure is an archive of nothing, or a text that stops.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from harness.backups.content import Entry
from harness.backups.labels import short_name
from harness.core.errors import BackupError

MOST = 100  # files that are looked at
LARGEST = 1 << 30  # bytes of one
DUMP = ("dump", "sql")  # one of these is in a dump's name, if it is in a folder that is named
# Prints each dump that is not whole, and why. Formats that are not known are taken for whole.
BROKEN = r"""
set -uo pipefail
export LC_ALL=C
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ends='-- PostgreSQL database dump|-- PostgreSQL database dump complete
-- PostgreSQL database cluster dump|-- PostgreSQL database cluster dump complete
-- MySQL dump|-- Dump completed
-- MariaDB dump|-- Dump completed
PRAGMA foreign_keys=OFF;|COMMIT;'
tell() { printf '%s\0%s\0' "$path" "$1"; }
for path; do
    nothing=0  # bytes that a packer makes of nothing: not each is in every image
    case $(head -c 6 -- "$path" | od -An -v -tx1 | tr -d ' \n') in
        1f8b*) open='gzip -dc' ;;
        fd377a585a00) open='xz -dc' nothing=32 ;;
        425a68*) open='bzip2 -dc' nothing=14 ;;
        28b52ffd*) open='zstd -dc' nothing=13 ;;
        *) open=cat ;;
    esac
    if ! command -v "${open%% *}" >/dev/null; then
        (($(stat -c %s -- "$path") > nothing)) || tell 'holds nothing once it is unpacked'
        continue
    fi
    $open <"$path" 2>"$work/said" | { head -c 300 >"$work/start"; tail -c 8192 >"$work/end"; }
    code=${PIPESTATUS[0]}
    if [[ $code != 0 && $open$code != 'gzip -dc2' ]]; then  # which is only a warning of gzip's
        tell "cannot be unpacked: $(grep -m 1 . "$work/said")"
    elif [[ ! -s $work/start ]]; then
        tell 'holds nothing once it is unpacked'
    fi
    while IFS='|' read -r first last; do
        if grep -qaF -e "$first" "$work/start" && ! grep -qaF -e "$last" "$work/start" "$work/end"
        then
            tell "begins with '$first' and stops before '$last'"
        fi
    done <<<"$ends"
done
"""


def written(
    by_volume: Mapping[str, Sequence[str]], entries: Mapping[str, Entry], *, since: float
) -> list[str]:
    """Return the dumps that were written during a backup, below `/volumes`.

    Args:
        by_volume: which paths of each volume are backed up.
        entries: what the snapshot holds below its `/volumes`.
        since: when the backup began, in seconds since 1970.
    """
    named = [f"{volume}/{path}" for volume, paths in by_volume.items() for path in paths]
    return [
        name
        for name, entry in entries.items()
        if entry.kind == "f" and entry.changed >= since and 0 < entry.size <= LARGEST
        if name in named or (_is_below(name, named) and _sounds_like_a_dump(name))
    ][:MOST]


def _is_below(name: str, folders: Sequence[str]) -> bool:
    return any(name.startswith(f"{folder}/") for folder in folders)


def _sounds_like_a_dump(name: str) -> bool:
    return any(word in name.rpartition("/")[2].lower() for word in DUMP)


def require_whole(broken: Iterator[tuple[str, str]], *, stack: str) -> None:
    """Refuse a dump that is empty or was broken off.

    Args:
        broken: the files that are, below `/volumes`, each with the reason.
        stack: the stack's name.

    Raises:
        BackupError: there is one.
    """
    for name, why in broken:
        volume, _, path = name.partition("/")
        raise BackupError(
            f"the backup of volume {short_name(volume, stack)} is useless: {path} {why}",
            cause="the program that wrote the dump failed, and the hook ended well all the same, "
            "as the end of a pipe does in a script without pipefail",
            hint="begin the hook's script with `set -eo pipefail`, or write the dump to a file "
            "first and pack it then",
        )
