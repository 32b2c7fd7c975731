"""Putting a snapshot back over live files, and comparing them with it, in the real tool image."""

import secrets
import time
from collections.abc import Iterator
from dataclasses import replace
from shlex import quote

import pytest

from harness.backups.put_back import COMPARE, PutBack
from harness.core.errors import TestBedError
from harness.exec.exec import ExecTarget
from harness.run.testbed import TestBed
from harness.swarm.sweep import RUN_LABEL, sweep

SNAPSHOT = r"""
mkdir -p 'v/album [2024]' v/a/b v/empty v/file-to-be v/real
printf one > 'v/album [2024]/one?.txt'; printf dash > v/-rf
printf nl > "$(printf 'v/new\nline')"; printf b > "$(printf 'v/bad\xff')"
printf u > 'v/ümlaut ☃'; printf s > 'v/ blank '; printf q > 'v/q*\x'; printf e > 'v/unit\x2done'
printf f > v/folder-to-be; printf in > v/file-to-be/in; printf r > v/real/keep
ln -s nowhere v/dangling; ln -s a/b v/link-to-be; ln -s real v/link
printf h > v/one; ln v/one v/two
truncate -s 50M v/sparse; printf x >> v/sparse
chown 33:33 v/a/b; chmod 2750 v/a; chmod 4755 v/one; touch -d 2001-02-03 v/a/b
"""
# What may have become of it since.
MESS = r"""
rm -r v/folder-to-be v/file-to-be v/link-to-be v/two 'v/ blank ' v/real/keep v/a/b
mkdir v/folder-to-be v/link-to-be v/later; printf z > v/folder-to-be/z; printf x > v/file-to-be
printf t > v/link-to-be/t; printf c > 'v/album [2024]/one?.txt'; chmod 777 v/a; rm v/link
mkdir v/link; printf l > v/link/l; ln -s ../outside v/out; ln -s /outside v/later/out
printf n > "$(printf 'v/later/surplus\n[x] *')"; printf m > v/--later; printf same > v/-rf
"""
# Every path with its kind, mode, owner, links, size, time and content.
LIST = r"""
cd "$1" && find v ! -type s ! -type p -printf '%p|%y|%m|%U|%G|%l|%s|%T@\n' | sort
find v -type f -exec sha256sum {} + | sort
"""


class Place:
    """A container with an unpacked snapshot at /from, and live files at /to."""

    def __init__(self, bed: TestBed) -> None:
        self.run_name = f"put-back-test-{secrets.token_hex(4)}"
        container = bed.client.containers.run(
            bed.toolbox, ["sleep", "600"], detach=True, init=True, labels={RUN_LABEL: self.run_name}
        )
        self.target = ExecTarget(client=bed.client, name="box", resolve=lambda: container.id)
        self.run("mkdir /from /to /outside; echo o > /outside/o; cp -a /outside /to/outside")

    def run(self, script: str, *words: str) -> str:
        """Run a script, and return what it prints."""
        argv = ["bash", "-ec", script, "test", *words]
        return self.target.exec(argv, timeout=60).stdout.decode(errors="surrogateescape")

    def put_back(self, *names: str) -> PutBack:
        """Return what puts these names back."""
        return PutBack(
            target=self.target, source="/from", live="/to", names=names or ("v",), mark="/mark",
            timeout=60,
        )  # fmt: skip

    def saved(self) -> None:
        """Make the snapshot, and live files that are the same."""
        self.run(f"cd /from; {SNAPSHOT} cp -a /from/v /to/")


@pytest.fixture(name="place")
def place_fixture(bed: TestBed) -> Iterator[Place]:
    """A container of the tool image with a snapshot."""
    place = Place(bed)
    place.saved()
    yield place
    assert sweep(bed.client, place.run_name, timeout=60).left == ()


def test_live_files_are_again_what_the_snapshot_holds(place: Place) -> None:
    """Whatever their names, and whatever took their places; nothing that a link leads to."""
    before = place.run(LIST, "/from")
    place.run(f"cd /to; {MESS}")
    began = time.time()
    place.put_back().run()
    assert place.run(LIST, "/to") == before
    assert place.run("du -k /to/v/sparse; test /to/v/one -ef /to/v/two").startswith("4\t")
    assert place.run("cat /outside/o /to/outside/o") == "o\no\n"
    assert place.put_back().not_put_back(since=began, whole=True) == ()


def test_equal_files_are_not_touched(place: Place) -> None:
    """Not for a moment: a program may have one open, or a health check may look for it."""
    before = place.run("stat -c %i:%z /to/v/-rf /to/v/sparse")
    place.put_back().run()
    assert place.run("stat -c %i:%z /to/v/-rf /to/v/sparse") == before


def test_only_what_is_named_is_put_back(place: Place) -> None:
    """As names, not as patterns; what lies beside it stays as it is."""
    place.run("cd /to/v; rm -r album*; echo x > -rf; echo later > a/later; echo y > one")
    place.put_back("v/album [2024]", "v/a").run()
    assert place.run("cd /to/v; cat 'album [2024]/one?.txt' ./-rf one; ls a") == "onex\ny\nb\n"


def test_folders_above_a_named_path_are_as_they_were(place: Place) -> None:
    """duplicati/duplicati, issue 6863: they were removed, and belonged to root afterwards."""
    place.run("chown 33:33 /from/v/a; mkdir /from/v/a/b/c; rm -r /to/v/a")
    place.put_back("v/a/b/c").run()
    shown = "stat -c '%n %u:%g %a' v/a v/a/b v/a/b/c"
    assert place.run(f"cd /to; {shown}") == place.run(f"cd /from; {shown}")


def test_sockets_and_pipes_stay(place: Place) -> None:
    """They belong to programs that are running; no backup can bring them back."""
    place.run("mkfifo /to/v/pipe; mknod /to/v/x p")
    place.put_back().run()
    assert place.run("ls -d /to/v/pipe /to/v/x") == "/to/v/pipe\n/to/v/x\n"


def test_files_that_come_and_go_meanwhile_are_no_error(place: Place) -> None:
    """And those that came after the restore began are not deleted."""
    churn = (
        "cd /to/v; n=1000; until test -e /stop; do n=$((n+1)); mkdir -p idx/$n; "
        "echo $n > idx/$n/a; echo $n > idx/$n/b; "
        "rm -rf idx/$((n-1)) 'album [2024]' 2>/dev/null; done"
    )
    place.run("mkdir /from/v/idx; for n in $(seq 500); do echo $n > /from/v/idx/$n; done")
    place.run(f"nohup bash -c {quote(churn)} >/dev/null 2>&1 </dev/null &")
    began = time.time()
    for _ in range(5):
        place.put_back().run()
    assert place.put_back().not_put_back(since=began, whole=False) == ()
    place.run("touch /stop; test $(ls /to/v/idx | sort -n | tail -1) -gt 1010")  # it ran meanwhile


def test_what_the_app_removes_under_a_restore_is_no_fault_of_the_restore(place: Place) -> None:
    """Its folder gets no older time afterwards: that shows that it was the app."""
    place.run("mkdir /from/v/idx; for n in $(seq 3000); do echo $n > /from/v/idx/$n; done")
    place.run("touch -d 2001-02-03 /from/v/idx; rm -rf /to/v/idx")
    sweeper = "until test -e /to/v/idx/1; do :; done; rm /to/v/idx/1; touch /swept"
    place.run(f"nohup bash -c {quote(sweeper)} >/dev/null 2>&1 </dev/null &")
    began = time.time()
    place.put_back().run()
    assert place.run("ls /swept") == "/swept\n"
    assert place.put_back().not_put_back(since=began, whole=False) == ()
    assert place.run("stat -c %Y /to/v/a/b") == place.run("stat -c %Y /from/v/a/b")


@pytest.mark.parametrize(
    ("broken", "name", "said"),
    [
        ("true", "w", "the snapshot lacks w"),
        ("rm -r /to", "v", "there is no directory /to"),
    ],
)
def test_a_restore_that_cannot_begin_changes_nothing(
    place: Place, broken: str, name: str, said: str
) -> None:
    """A name that the snapshot lacks would have everything deleted."""
    place.run(broken)
    with pytest.raises(TestBedError, match=said) as caught:
        place.put_back(name).run()
    assert "it broke off after 0 file(s) were written; nothing was deleted" in caught.value.what


def test_a_restore_that_breaks_off_says_what_it_left(place: Place) -> None:
    """The file system is full after the first files; nothing that was there is deleted."""
    place.run("mkdir /from/w; for n in 1 2 3; do head -c 100000 /dev/urandom > /from/w/$n; done")
    full = replace(place.put_back("w"), live="/dev/shm")  # noqa: S108  in a container
    place.run(
        "mkdir /dev/shm/w; echo kept > /dev/shm/w/later; "
        "head -c $(($(stat -f -c '%a * %S' /dev/shm) - 150000)) /dev/zero > /dev/shm/fill"
    )
    with pytest.raises(TestBedError, match="No space left") as caught:
        full.run()
    assert caught.value.what == (
        "the restore failed: it broke off after 1 file(s) were written, the last one w/1, "
        "2 were not; nothing was deleted"
    )
    assert place.run("cat /dev/shm/w/later") == "kept\n"


@pytest.mark.parametrize(
    ("left", "lacking"),
    [
        ("echo old > one", ["v/one", "v/two"]),
        ("rm -r real; mkdir real; touch -r /from/v/real real", ["v/real/keep"]),
        ("rm link; ln -s a link; touch -h -r /from/v/link link", ["v/link"]),
        ("rm one; echo y > one; touch -r /from/v/one one", ["v/one"]),
        (r"echo old > 'unit\x2done'; echo old > $'new\nline'", ["v/new\nline", r"v/unit\x2done"]),
        ("rm real/keep; mkdir -p real/keep/it", ["v/real/keep"]),
    ],
)
def test_what_a_restore_left_as_it_was_is_named(
    place: Place, left: str, lacking: list[str]
) -> None:
    """By its time: nothing has touched it since the restore began, or it has the snapshot's."""
    place.run(f"cd /to/v; {left}")
    assert sorted(place.put_back().not_put_back(since=time.time() + 1, whole=False)) == lacking


@pytest.mark.parametrize(
    "change",
    [
        "echo new > one",
        "rm -r real/keep",
        "rm link; ln -s a link",
        r"echo new > 'unit\x2done'",  # RsyncProject/rsync, issue 571
        r"echo new > $'new\nline'; echo new > $'bad\xff'",
    ],
)
def test_what_the_app_has_changed_since_is_no_fault_of_the_restore(
    place: Place, change: str
) -> None:
    """It goes on working while it is restored."""
    began = time.time()
    place.run(f"sleep 0.05; cd /to/v; {change}")
    assert place.put_back().not_put_back(since=began, whole=True) == ()


def test_a_file_that_goes_while_it_is_looked_at_was_changed_by_the_app(place: Place) -> None:
    """As a log does that is rotated: it is there at first, and gone when its time is read."""
    began = time.time()
    place.run("sleep 0.05; echo new > '/to/v/new'; echo old > /from/v/new")
    rotated = 'find() { rm -f /to/v/new; command find "$@"; }\n'
    argv = [
        "bash",
        "-c",
        rotated + COMPARE,
        "ccci-compare",
        "/from",
        "/to",
        "/mark",
        f"{began:.6f}",
    ]
    assert place.target.exec([*argv, "", "v"], timeout=60).stdout == b""


def test_a_name_of_which_nothing_is_back_counts_in_any_case(place: Place) -> None:
    """Even where the folder is newer: it was emptied, and never written again."""
    began = time.time()
    place.run("sleep 0.05; rm '/to/v/album [2024]/one?.txt'")
    put_back = place.put_back("v/album [2024]", "v/a")
    assert put_back.not_put_back(since=began, whole=True) == ("v/album [2024]",)
    assert put_back.not_put_back(since=began, whole=False) == ()
