"""Dumps that are empty or broken off, although the hook that wrote them ended well."""

import bz2
import gzip
import lzma
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.backups.content import Entry
from harness.backups.dumps import BROKEN, require_whole, written
from harness.core import proc
from harness.core.errors import BackupError

ROWS = "".join(f"COPY t ({number});\n" for number in range(2000))
POSTGRES = f"--\n-- PostgreSQL database dump\n--\n\n{ROWS}"
WHOLE_POSTGRES = f"{POSTGRES}--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict x\n"
MARIADB = f"/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19\n{ROWS}"
SQLITE = "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n"


def wrong(tmp_path: Path, held: bytes, before: str = "") -> str:
    """Return what is wrong with a dump that holds this, or empty."""
    path = tmp_path / "a dump"
    path.write_bytes(held)
    done = proc.run(["bash", "-c", f"{before}\n{BROKEN}", "test", str(path)], timeout=20)
    names, why = done.stdout.split("\0")[0:-1:2], done.stdout.split("\0")[1::2]
    assert set(names) <= {str(path)}
    return "; ".join(why)


@pytest.mark.parametrize(
    "held",
    [
        WHOLE_POSTGRES,
        f"{MARIADB}-- Dump completed on 2026-01-02\n",
        f"{SQLITE}COMMIT;\n",
        "-- PostgreSQL database dump\n-- PostgreSQL database dump complete\n",
        ROWS,
        "x",
    ],
)
def test_a_whole_dump_is_well(tmp_path: Path, held: str) -> None:
    """Packed or not; and what is of no known format."""
    assert wrong(tmp_path, held.encode()) == ""
    assert wrong(tmp_path, gzip.compress(held.encode())) == ""


def test_a_packed_nothing_is_no_dump(tmp_path: Path) -> None:
    """distillium/remnawave-backup-restore, pull request 39: 20 bytes that gzip makes of nothing."""
    assert wrong(tmp_path, gzip.compress(b"")) == "holds nothing once it is unpacked"


@pytest.mark.parametrize("there", ["", "command() { [[ $2 = cat ]]; }"])
@pytest.mark.parametrize(
    ("nothing", "something"),
    [
        (lzma.compress(b""), lzma.compress(b"x")),
        (bz2.compress(b""), bz2.compress(b"x")),
        (bytes.fromhex("28b52ffd240001000099e9d851"), bytes.fromhex("28b52ffd") + ROWS.encode()),
    ],
    ids=["xz", "bzip2", "zstd"],
)
def test_other_packers_make_as_little_of_nothing(
    tmp_path: Path, nothing: bytes, something: bytes, there: str
) -> None:
    """k0lter/autopostgresqlbackup, issue 14; they need not be installed where it is looked at."""
    assert wrong(tmp_path, nothing, there) == "holds nothing once it is unpacked"
    assert "holds nothing" not in wrong(tmp_path, something, there)


@pytest.mark.parametrize(
    ("held", "why"),
    [
        (POSTGRES, "and stops before '-- PostgreSQL database dump complete'"),
        (MARIADB, "begins with '-- MariaDB dump' and stops before '-- Dump completed'"),
        (f"{SQLITE}ROLLBACK; -- due to errors\n", "stops before 'COMMIT;'"),
    ],
)
def test_a_dump_that_stops_is_told(tmp_path: Path, held: str, why: str) -> None:
    """nfrastack/db-backup, issue 398, and k0lter/autopostgresqlbackup, issue 2."""
    assert why in wrong(tmp_path, held.encode())
    assert why in wrong(tmp_path, gzip.compress(held.encode()))


def test_an_archive_that_stops_is_told(tmp_path: Path) -> None:
    """The disk was full, or the hook did not wait."""
    whole = gzip.compress(WHOLE_POSTGRES.encode())
    assert "cannot be unpacked: " in wrong(tmp_path, whole[: len(whole) // 2])
    assert wrong(tmp_path, whole + b"more") == ""  # gzip only warns of what follows


@pytest.mark.parametrize("packer", ["xz", "bzip2", "zstd"])
def test_an_archive_of_another_packer_that_stops_is_told(tmp_path: Path, packer: str) -> None:
    """bzip2 calls that 2, which is only a warning of gzip's."""
    if not shutil.which(packer):
        pytest.skip(f"{packer} is not installed here")
    whole = subprocess.run([packer, "-c"], input=POSTGRES.encode(), capture_output=True, check=True)  # noqa: S603
    stopped = whole.stdout[: len(whole.stdout) // 2]
    assert "cannot be unpacked: " in wrong(tmp_path, stopped)


def test_only_what_the_hooks_wrote_is_looked_at() -> None:
    """A file that is named, and in a named folder one whose name sounds like a dump's."""
    new, old = (Entry(kind="f", size=3, changed=changed) for changed in (101.0, 99.0))
    entries = {
        "s_v/db.gz": new, "s_v/old.gz": old, "s_v/b/app.SQL.gz": new, "s_v/b/log.gz": new,
        "s_v/b": Entry(kind="d", changed=101.0), "s_w/dump.sql": new, "s_v/other.sql": new,
    }  # fmt: skip
    named = {"s_v": ["db.gz", "old.gz", "b"]}
    assert written(named, entries, since=100.0) == ["s_v/db.gz", "s_v/b/app.SQL.gz"]


def test_the_message_names_the_volume_and_the_file() -> None:
    """And what to write into the hook's script."""
    require_whole(iter(()), stack="s")
    with pytest.raises(BackupError, match=r"volume v is useless: b/db\.gz is none") as caught:
        require_whole(iter([("s_v/b/db.gz", "is none")]), stack="s")
    assert "set -eo pipefail" in caught.value.hint
