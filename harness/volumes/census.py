"""How many files and bytes each volume and folder holds, and which of them collapsed.

The rule, which docs/testing.md states and `MAX_LOSS` in a recipe's meta changes: a folder that held
many files and keeps almost none has lost its data; a folder that lost most of its files or bytes is
worth a warning. Files that programs throw away by themselves (caches, logs, sessions, journals) are
not counted, and files that only moved within their volume are not lost. A file that is empty now is
lost as one that is gone; files that one archive or database replaced are a warning.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from harness.backups.restic import OF_OUR_OWN, VOLUMES
from harness.backups.witness import NAME
from harness.core.errors import ExecTimeoutError, TestBedError
from harness.core.model import RunWarning, Stage, WarningCode
from harness.core.waiting import stretched
from harness.exec.exec import ExecTarget

MANY = 20  # files in a folder, whose loss is not a coincidence
FEW = 5  # fewer say nothing
FAILS = 0.95  # the share of a folder's files whose loss fails the upgrade or restore
WARNS = 0.5  # the share whose loss is worth a warning
LARGE = 1 << 14  # bytes
WARNS_BYTES = 0.9
CARRIED = 0.25  # of a folder's bytes, which an archive or a database in the volume may have taken
DEPTH = 5  # of the folders that are counted by themselves, below the volume's own
MOST = 2000  # folders of a first census, the largest ones
SECONDS = 120.0

# Matched against the folders of a path in lower case, the volume's short name among them.
DISPOSABLE = (
    r"(^|[/._-])(cache|caches|tmp|temp|log|logs|session|sessions|wal|journal|thumbnails|thumbs|"
    r"preview|previews|node_modules|vendor|site-packages|__pycache__|run|lost[+]found)([/._-]|$)"
    r"|/objects/([0-9a-f][0-9a-f]|pack)(/|$)"
)
# Matched against a file's own name in lower case.
JOURNALS = (
    r"(-wal|-shm|-journal|[.](log|lock|pid|sock|tmp|swp|pyc))$"
    r"|^(ib_logfile|ib_redo|ibtmp|wiredtigerlog|binlog[.]|mysql-bin[.])"
)
# Standard input names the folders that are counted whatever they hold, each with a NUL at its end.
SCRIPT = r"""
wanted=$(mktemp)
cat > "$wanted"
find "$1" -mindepth 2 \( -type f -o -type l \) -printf '%y\t%s\t%T@\t%P\t%l\0' |
LC_ALL=C mawk -v RS='\0' -v FS='\t' -v stack="$2" -v own="$3" -v disposable="$4" \
    -v journals="$5" -v depth="$6" -v few="$7" -v list="$wanted" -v fresh="$8" '
$1 == "l" {
    if ($5 ~ /^\// || $5 ~ /(^|\/)[.][.](\/|$)/) print "L\t0\t0\t" $4 "\t" $5
    next
}
NF < 4 { next }
{
    n = split($4, part, "/")
    if (n == 2 && part[2] == own) next
    anonymous = length(part[1]) == 64 && part[1] !~ /[^0-9a-f]/
    if (anonymous && ($3 < fresh || !$2)) next  # of the image, or a mount point
    folder = tolower(substr($4, 1, length($4) - length(part[n]) - 1))
    if (index(folder, tolower(stack)) == 1) folder = substr(folder, length(stack) + 1)
    if (folder ~ disposable || tolower(part[n]) ~ journals) next
    key = part[1]
    for (i = 1; ; i++) {
        files[key]++
        bytes[key] += $2
        empty[key] += !$2
        if (i >= n - 1 || i > depth) break
        key = key "/" part[i + 1]
    }
}
END {
    while ((getline key < list) > 0) wanted[key] = 1
    for (key in wanted) printf "W\t%d\t%.0f\t%d\t%s\n", files[key], bytes[key], empty[key], key
    for (key in files)
        if (!(key in wanted) && (files[key] >= few || key !~ /\//))
            printf "D\t%d\t%.0f\t%d\t%s\n", files[key], bytes[key], empty[key], key
}' | sort -s -t '	' -k1,1r -k2,2nr
rm "$wanted"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a volume or a folder holds, with all below it; `empty` of its files have no content."""

    files: int = 0
    bytes: int = 0
    empty: int = 0

    @property
    def filled(self) -> int:
        """How many of its files have content."""
        return self.files - self.empty


NOTHING = Held()


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A symbolic link in a volume whose target is not simply beside it."""

    volume: str
    path: str  # relative to the volume
    target: str  # as it is written in the link


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """What volumes hold: by the volume's full name, and by `VOLUME/FOLDER` for their folders.

    `unknown` are volumes that could not be counted in time.
    """

    held: Mapping[str, Held] = field(default_factory=dict)
    links: tuple[Link, ...] = ()
    unknown: frozenset[str] = frozenset()

    def of(self, key: str) -> Held:
        """Return what a volume or folder holds; nothing if it was not seen."""
        return self.held.get(key, NOTHING)

    def together(self, other: Census) -> Census:
        """Return this census and that of another node as one."""
        return Census(
            held={**self.held, **other.held},
            links=(*self.links, *other.links),
            unknown=self.unknown | other.unknown,
        )


def take(
    vault: ExecTarget,
    volumes: Collection[str],
    *,
    stack: str,
    wanted: Collection[str] = (),
    fresh: float = 0.0,
) -> Census:
    """Count what volumes hold.

    Args:
        vault: a container that has them mounted.
        volumes: their full names.
        stack: the stack's name, with which their names begin.
        wanted: keys of an earlier census, which are counted however little they hold.
        fresh: seconds since 1970; older files in anonymous volumes came with an image.

    Raises:
        TestBedError: they cannot be counted.
    """
    words = (VOLUMES, f"{stack}_", NAME, DISPOSABLE, JOURNALS, str(DEPTH), str(FEW), f"{fresh:.3f}")
    try:
        done = vault.exec(
            ["sh", "-ec", SCRIPT, "ccci", *(word.replace("\\", "\\\\") for word in words)],
            timeout=stretched(SECONDS),
            stdin="".join(f"{key}\0" for key in wanted).encode(errors="surrogateescape"),
        )
    except ExecTimeoutError:
        return Census(unknown=frozenset(volumes))
    except OF_OUR_OWN as error:
        raise TestBedError("the app's volumes cannot be counted", detail=error.what) from error
    found = parse(done.stdout.decode(errors="surrogateescape"))
    held = {**dict.fromkeys(volumes, NOTHING), **found.held}
    return Census(held=held, links=found.links)


def parse(text: str) -> Census:
    """Read what `SCRIPT` prints; a name with a line break in it makes a line that says nothing."""
    held: dict[str, Held] = {}
    links: list[Link] = []
    for line in text.split("\n"):
        kind, *rest = line.split("\t")
        if len(rest) != 4:  # noqa: PLR2004  as the script prints them
            continue
        if kind == "W" or (kind == "D" and len(held) < MOST):
            files, size, empty = map(int, rest[:3])
            held[rest[3]] = Held(files=files, bytes=size, empty=empty)
        elif kind == "L":
            volume, _, path = rest[2].partition("/")
            links.append(Link(volume=volume, path=path, target=rest[3]))
    return Census(held=held, links=tuple(links))


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A volume or folder that lost most of what it held; `fails` when that is beyond the rule."""

    key: str
    before: Held
    after: Held
    fails: bool

    def sentence(self, stack: str) -> str:
        """Return what was lost, in a sentence."""
        volume, _, folder = self.key.partition("/")
        name = volume.removeprefix(f"{stack}_")
        where = f"{folder}/ in volume {name}" if folder else f"volume {name}"
        if self.before.files - self.after.files > 0:
            return f"{where} held {self.before.files} files, and holds {self.after.files} now"
        if self.before.filled - self.after.filled > 0:
            return (
                f"{where} held {self.before.filled} files with content, and holds "
                f"{self.after.filled} now: the others are empty"
            )
        return f"{where} held {self.before.bytes} bytes, and holds {self.after.bytes} now"

    def warning(self, stack: str, stage: Stage) -> RunWarning:
        """Return it as a warning of that stage."""
        name = self.key.removeprefix(f"{stack}_")
        return RunWarning(
            code=WarningCode.VOLUME_SHRANK,
            text=f"{self.sentence(stack)} ({stage})",
            next="check what removes the files; if that is meant to be, set "
            f"MAX_LOSS = {{'{name}': 1}} in recipe_meta.py",
            stage=stage,
        )


def losses(
    before: Census, after: Census, *, stack: str, most: Mapping[str, float]
) -> tuple[Loss, ...]:
    """Return the volumes and folders that collapsed between two looks, each loss once.

    A loss is told of the folder that explains it: not again of what lies above or below.

    Args:
        before: the earlier look.
        after: the later one, in which every key of the earlier one was counted.
        stack: the stack's name.
        most: the recipe's `MAX_LOSS`: by a volume's short name or `VOLUME/FOLDER`, the share of
            its files that may go. It holds for what lies below, too.
    """
    unknown = before.unknown | after.unknown
    found: dict[str, Loss] = {}
    for key in sorted(before.held):
        volume = key.partition("/")[0]
        if volume in unknown or volume not in after.held:
            continue
        if loss := _loss(key, before, after, stack=stack, most=most):
            found[key] = loss
    told: list[Loss] = []
    for loss in sorted(found.values(), key=lambda one: (not one.fails, one.key)):
        if not any(_related(loss.key, other.key) for other in told):
            told.append(_innermost(loss, found))
    return tuple(told)


def _related(one: str, other: str) -> bool:
    """Whether one of two folders lies in the other, or both are the same."""
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def _innermost(loss: Loss, found: Mapping[str, Loss]) -> Loss:
    """Return the loss of the folder below that lost nearly all of it by itself."""
    gone = loss.before.filled - loss.after.filled or loss.before.files - loss.after.files
    below = [
        one
        for key, one in found.items()
        if key.startswith(f"{loss.key}/")
        and one.fails >= loss.fails
        and max(one.before.files - one.after.files, one.before.filled - one.after.filled)
        >= FAILS * gone
        > 0
    ]
    return max(below, key=lambda one: one.key.count("/"), default=loss)


def _allowed(key: str, stack: str, most: Mapping[str, float]) -> float | None:
    """Return the share that the recipe's meta allows for a key or for what it lies in."""
    name = key.removeprefix(f"{stack}_")
    while name:
        if name in most:
            return most[name]
        name = name.rpartition("/")[0]
    return None


def _loss(
    key: str, before: Census, after: Census, *, stack: str, most: Mapping[str, float]
) -> Loss | None:
    old, new, allowed = before.of(key), after.of(key), _allowed(key, stack, most)
    freed = [f"{stack}_{name}" for name in most if f"{stack}_{name}".startswith(f"{key}/")]
    counts = [_Count.of(key, what, before, after, freed) for what in ("files", "filled", "bytes")]
    of_files, size = counts[:2], counts[2]
    if allowed is not None:
        beyond = any(one.gone > allowed * one.held for one in of_files)
        return Loss(key=key, before=old, after=new, fails=True) if beyond else None
    if total := [one for one in of_files if one.held >= MANY and one.lost(FAILS)]:
        fails = any(not one.moved for one in total) and not size.carried
        return Loss(key=key, before=old, after=new, fails=fails)
    much = any(
        one.held >= FEW and one.gone > WARNS * one.held and not one.moved for one in of_files
    )
    emptied = "/" not in key and 0 < of_files[1].held == of_files[1].gone
    shrank = size.held >= LARGE and size.gone > WARNS_BYTES * size.held and not of_files[0].moved
    if much or emptied or shrank:
        return Loss(key=key, before=old, after=new, fails=False)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Count:
    """A figure of a folder: what it was, and how much of that is gone.

    `outside` is how much the rest of its volume grew, `elsewhere` how much all other volumes did.
    """

    held: int
    gone: int
    outside: int
    elsewhere: int

    @classmethod
    def of(
        cls, key: str, what: str, before: Census, after: Census, freed: Collection[str]
    ) -> _Count:
        """Count files, those with content, or bytes; what lies in freed folders may go."""

        def shrank(one: str) -> int:
            return int(getattr(before.of(one), what)) - int(getattr(after.of(one), what))

        volume, gone = key.partition("/")[0], shrank(key)
        volumes = {one for one in (*before.held, *after.held) if "/" not in one}
        return cls(
            held=int(getattr(before.of(key), what)),
            gone=gone - sum(max(0, shrank(one)) for one in freed),
            outside=gone - shrank(volume),
            elsewhere=-sum(shrank(one) for one in volumes - {volume}),
        )

    def lost(self, share: float) -> bool:
        """Whether at least that share is gone."""
        return self.gone >= share * self.held

    @property
    def moved(self) -> bool:
        """Whether most of it is in another folder of the volume, or all in other volumes."""
        elsewhere = 0 < FAILS * self.gone <= self.elsewhere
        return self.outside > self.gone / 2 or elsewhere

    @property
    def carried(self) -> bool:
        """Whether other files of the volume have taken over the content, as far as bytes show."""
        return self.held > 0 and self.held - self.gone + self.outside >= CARRIED * self.held
