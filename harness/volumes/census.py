"""How many files and bytes each volume and folder holds, and which of them collapsed.

The rule, which docs/testing.md states and `MAX_LOSS` in a recipe's meta changes: a folder that held
many files and keeps almost none has lost its data; a folder that lost most of its files or bytes is
worth a warning. Files that programs throw away by themselves (caches, logs, sessions, journals) are
not counted, and files that only moved within their volume are not lost.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from harness.backups.restic import OF_OUR_OWN, VOLUMES
from harness.backups.witness import NAME
from harness.docker.exec import ExecTarget
from harness.errors import ExecTimeoutError, TestBedError
from harness.model import RunWarning, Stage, WarningCode

MANY = 20  # files in a folder, of which a loss is no coincidence
FEW = 5  # fewer say nothing
FAILS = 0.95  # the share of a folder's files whose loss fails the upgrade or restore
WARNS = 0.5  # the share whose loss is worth a warning
LARGE = 1 << 20  # bytes
WARNS_BYTES = 0.9
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
        if (i >= n - 1 || i > depth) break
        key = key "/" part[i + 1]
    }
}
END {
    while ((getline key < list) > 0) wanted[key] = 1
    for (key in wanted) printf "W\t%d\t%.0f\t%s\n", files[key], bytes[key], key
    for (key in files)
        if (!(key in wanted) && (files[key] >= few || key !~ /\//))
            printf "D\t%d\t%.0f\t%s\n", files[key], bytes[key], key
}' | sort -s -t '	' -k1,1r -k2,2nr
rm "$wanted"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a volume or a folder holds, with all below it."""

    files: int = 0
    bytes: int = 0


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
    factor: float = 1.0,
) -> Census:
    """Count what volumes hold.

    Args:
        vault: a container that has them mounted.
        volumes: their full names.
        stack: the stack's name, with which their names begin.
        wanted: keys of an earlier census, which are counted however little they hold.
        fresh: seconds since 1970; older files in anonymous volumes came with an image.
        factor: multiplies the time-out.

    Raises:
        TestBedError: they cannot be counted.
    """
    words = (VOLUMES, f"{stack}_", NAME, DISPOSABLE, JOURNALS, str(DEPTH), str(FEW), f"{fresh:.3f}")
    try:
        done = vault.exec(
            ["sh", "-ec", SCRIPT, "ccci", *(word.replace("\\", "\\\\") for word in words)],
            timeout=SECONDS * factor,
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
        if kind in ("D", "W") and len(rest) == 3 and (kind == "W" or len(held) < MOST):  # noqa: PLR2004
            held[rest[2]] = Held(files=int(rest[0]), bytes=int(rest[1]))
        elif kind == "L" and len(rest) == 4:  # noqa: PLR2004  as the script prints them
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
    gone = loss.before.files - loss.after.files
    below = [
        one
        for key, one in found.items()
        if key.startswith(f"{loss.key}/")
        and one.fails >= loss.fails
        and one.before.files - one.after.files >= FAILS * gone > 0
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
    gone, shrank = old.files - new.files, old.bytes - new.bytes
    for name in most:  # what a folder below may lose, this one may
        if (below := f"{stack}_{name}").startswith(f"{key}/"):
            gone -= max(0, before.of(below).files - after.of(below).files)
            shrank -= max(0, before.of(below).bytes - after.of(below).bytes)
    if allowed is not None:
        beyond = gone > allowed * old.files
        return Loss(key=key, before=old, after=new, fails=True) if beyond else None
    volume = key.partition("/")[0]
    moved = before.of(volume).files - after.of(volume).files < gone / 2
    total = old.files >= MANY and gone >= FAILS * old.files
    much = old.files >= FEW and gone > WARNS * old.files
    if total or (much and not moved):
        return Loss(key=key, before=old, after=new, fails=total and not moved)
    if old.bytes >= LARGE and shrank > WARNS_BYTES * old.bytes and not moved:
        return Loss(key=key, before=old, after=new, fails=False)
    return None
