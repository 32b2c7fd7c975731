"""Looking into the app's volumes: witnesses and a census, in containers that exist for the look."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from docker.errors import NotFound

from harness.backups.labels import short_name
from harness.backups.placing import located
from harness.backups.restic import VOLUMES, Repository
from harness.backups.witness import WitnessFiles, problem
from harness.core.driver_options import own_data
from harness.core.errors import ExecTimeoutError
from harness.core.waiting import stretched
from harness.swarm.nodes import Nodes
from harness.swarm.states import StackSnapshot
from harness.volumes.census import Census, take

# Links and pipes are not read, even where a file used to be.
SUMS = (
    'cd "$1" && xargs -0 sh -c \'for f; do '
    '[ -L "$f" ] || [ ! -f "$f" ] || printf "%s\\0" "$f"; done\' files'
    " | xargs -0 -r sha256sum -z -- 2> /dev/null"
)
SUM_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What one look into the volumes saw, and did.

    Args:
        census: what they hold.
        found: the texts of the witnesses that were read, by volume; None where one is gone.
        written: the texts of those that were written then.
        in_memory: the short names of volumes on a tmpfs that hold files.
    """

    census: Census = field(default_factory=Census)
    found: Mapping[str, str | None] = field(default_factory=dict)
    written: Mapping[str, str] = field(default_factory=dict)
    in_memory: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeWatch:
    """Visits the volumes of one run's app.

    Args:
        nodes: the engines of the Swarm's nodes.
        vault: gives a container that has volumes of a node mounted, for the length of a block.
        stack: the stack's name.
    """

    nodes: Nodes
    vault: Callable[..., AbstractContextManager[Repository]]
    stack: str

    def visit(
        self,
        look: StackSnapshot,
        *,
        places: Mapping[str, str] | None = None,
        read: Collection[str] = (),
        write: Collection[str] = (),
        since: Census | None = None,
        fresh: float = 0.0,
    ) -> Visit:
        """Count what every volume of the stack holds, and read and write witnesses.

        Args:
            look: the stack as it is.
            places: the nodes of volumes that are known already, whether or not one mounts them.
            read: the volumes whose witnesses are read.
            write: those that get a new one, after the rest was done.
            since: an earlier census; what it saw is counted however little it holds now.
            fresh: when the first container was started, in seconds since 1970: older files in
                anonymous volumes came with an image.
        """
        where = {**located(look), **(places or {})}
        options = {volume: self._options(volume, node) for volume, node in where.items()}
        # Whatever its service says, a volume keeps the options that it was made with.
        where = {
            volume: node
            for volume, node in where.items()
            if (made_with := options[volume]) is not None and own_data(made_with)
        }
        visit = Visit(found=dict.fromkeys(set(read) - where.keys()))
        for node in dict.fromkeys(where.values()):
            here = tuple(sorted(volume for volume, place in where.items() if place == node))
            with self.vault(here, node="" if node == self.nodes.own else node) as repository:
                one = self._look(repository, here, read=read, write=write, since=since, fresh=fresh)
            visit = Visit(
                census=visit.census.together(one.census),
                found={**visit.found, **one.found},
                written={**visit.written, **one.written},
            )
        in_memory = [
            short_name(volume, self.stack)
            for volume in sorted(where)
            if (options[volume] or {}).get("type") == "tmpfs" and visit.census.of(volume).files
        ]
        return replace(visit, in_memory=tuple(in_memory))

    def _look(
        self,
        repository: Repository,
        here: tuple[str, ...],
        *,
        read: Collection[str],
        write: Collection[str],
        since: Census | None,
        fresh: float,
    ) -> Visit:
        witnesses = WitnessFiles(vault=repository.target, stack=self.stack)
        wanted = [key for key in (since.held if since else ()) if key.partition("/")[0] in here]
        return Visit(
            census=take(
                repository.target,
                here,
                stack=self.stack,
                wanted=wanted,
                fresh=fresh,
            ),
            found={volume: witnesses.read(volume) for volume in here if volume in read},
            written=witnesses.write([volume for volume in here if volume in write]),
        )

    def missing(self, look: StackSnapshot) -> frozenset[str]:
        """Return the volumes that services of the stack mount, and that no container has mounted.

        Docker makes a volume when its first container starts, and fills it with what the image has
        at that place if it is empty. A file of ours in it, or an `initdb` that finds one, would be
        the end of an app that starts only later, such as one that is scaled to nothing.
        """
        where = located(look).items()
        return frozenset(volume for volume, node in where if self._options(volume, node) is None)

    def sums(self, volume: str, node: str, paths: Collection[str]) -> dict[str, str]:
        """Return the checksums of files of a volume, by their path in it, of those that are there.

        Args:
            volume: its full name; nothing of one that is not there, leads to the host, or takes
                too long to read.
            node: the id of the node that it lies on.
            paths: the files.
        """
        made_with = self._options(volume, node)
        if made_with is None or not own_data(made_with):
            return {}
        with self.vault((volume,), node="" if node == self.nodes.own else node) as repository:
            try:
                done = repository.target.exec(
                    ["sh", "-c", SUMS, "ccci", f"{VOLUMES}/{volume}"],
                    timeout=stretched(SUM_SECONDS),
                    stdin="".join(f"{path}\0" for path in paths).encode(errors="surrogateescape"),
                    check=False,
                )
            except ExecTimeoutError:
                return {}
        lines = done.stdout.decode(errors="surrogateescape").split("\0")
        return {path: total for total, _, path in (one.partition("  ") for one in lines) if path}

    def _options(self, volume: str, node: str) -> Mapping[str, str] | None:
        """Return the options of a volume's driver; None if the node has no such volume.

        Mounting one that the node lacks would create it.
        """
        try:
            found = self.nodes.client_of(node).api.inspect_volume(volume)
        except NotFound:
            return None
        return found.get("Options") or {}


def witness_problems(
    visit: Visit,
    before: Census,
    expected: Mapping[str, str],
    *,
    stack: str,
    later: Mapping[str, str] | None = None,
) -> list[str]:
    """Return what is wrong with which witness, a sentence each.

    Args:
        visit: the look that read them.
        before: what the volumes held before.
        expected: what each has to hold.
        stack: the stack's name.
        later: what was written after a backup, which a restore has to undo.
    """
    sentences = []
    for volume, text in expected.items():
        found = visit.found.get(volume)
        said = problem(volume, found, expected=text, later=(later or {}).get(volume, ""))
        if said and found is None:
            said += _beside(volume, before, visit.census, short_name(volume, stack))
        sentences.append(said)
    return [said for said in sentences if said]


def _beside(volume: str, before: Census, after: Census, name: str) -> str:
    """Return what became of the app's own files in a volume whose witness is gone."""
    old, new = before.of(volume).files, after.of(volume).files
    if not old or volume in before.unknown | after.unknown:
        return ""
    if new < old:
        return f"; of {old} files of the app itself, {new} are there"
    return (
        f"; the app's own files are still there ({new}, and {old} before): if the app removes "
        f"files that it does not know, set NO_WITNESS = {{'{name}': 'why'}} in recipe_meta.py"
    )
