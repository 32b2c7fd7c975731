"""Witness files: data of the harness's own, in each volume that is backed up whole.

What a recipe's overlay seeds shows that the app's own data live on. A witness shows the same of a
volume as a whole, for every recipe, with nothing written for it: it has to outlive an upgrade, to
be in the snapshot, and to be back, as it was, after a restore. See docs/decisions/0012-witness.md.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.backups.labels import BackupSpec, short_name
from harness.backups.restic import OF_OUR_OWN, VOLUMES
from harness.core.errors import TestBedError
from harness.core.waiting import stretched
from harness.exec.exec import ExecTarget

# Not hidden: a migration that empties a volume with `rm -rf /data/*` has to be caught as well.
NAME = "ccci-witness.txt"
SECONDS = 60.0  # for one command in the vault


def path_in_vault(volume: str) -> str:
    """Return where the vault, and so the snapshot, has a volume's witness."""
    return f"{VOLUMES}/{volume}/{NAME}"


def volumes_for(spec: BackupSpec, stack: str, left_out: Mapping[str, str]) -> tuple[str, ...]:
    """Return the full names of the volumes that get a witness, sorted.

    Args:
        spec: what the labels ask for; volumes of which only some paths are backed up get none.
        stack: the stack's name, which stands before a volume's own.
        left_out: the volumes, by short name, in which a witness could hurt the app.
    """
    whole = {part.volume for part in spec.parts if part.whole}
    return tuple(sorted(v for v in whole if short_name(v, stack) not in left_out))


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessFiles:
    """The witness files, as seen from a container that has the volumes mounted.

    Args:
        vault: that container.
        stack: the stack's name.
    """

    vault: ExecTarget
    stack: str

    def write(self, volumes: Sequence[str]) -> Mapping[str, str]:
        """Write each volume's witness anew, and return by volume what nobody could guess.

        Raises:
            TestBedError: a volume cannot be written.
        """
        texts = {volume: f"{volume} {secrets.token_hex(16)}" for volume in volumes}
        for volume, text in texts.items():
            argv = ["sh", "-ec", 'cat > "$1"', "ccci", path_in_vault(volume)]
            name = short_name(volume, self.stack)
            try:
                self.vault.exec(argv, timeout=stretched(SECONDS), stdin=text.encode())
            except OF_OUR_OWN as error:
                raise TestBedError(
                    f"no witness file can be put into the volume {volume}",
                    cause="the volume is read-only, or full",
                    hint=f"leave it out: NO_WITNESS = {{'{name}': 'why'}} in recipe_meta.py",
                    detail=error.detail or error.what,
                ) from error
        return texts

    def read(self, volume: str) -> str | None:
        """Return what the volume's witness holds, or None when there is none."""
        argv = [
            "sh",
            "-c",
            'test -e "$1" || exit 100; exec cat "$1"',
            "ccci",
            path_in_vault(volume),
        ]
        try:
            found = self.vault.exec(argv, timeout=stretched(SECONDS), check=False, repeatable=True)
        except OF_OUR_OWN as error:
            raise TestBedError(
                f"the witness in the volume {volume} cannot be read", detail=error.what
            ) from error
        if found.code == 100:  # noqa: PLR2004  the script above says so
            return None
        if found.code != 0:
            raise TestBedError(
                f"the witness in the volume {volume} cannot be read",
                detail=found.stderr.decode(errors="replace"),
            )
        return found.text


def problem(volume: str, found: str | None, *, expected: str, later: str = "") -> str:
    """Return what is wrong with a volume's witness, in a sentence; empty when it is intact.

    Args:
        volume: the volume's full name.
        found: what it holds; None when there is none.
        expected: what it has to hold.
        later: what was written after the backup, which a restore has to undo.
    """
    if found == expected:
        return ""
    if found is None:
        return f"the witness file is gone from the volume {volume}"
    if later and found == later:
        return (
            f"the witness file in the volume {volume} still holds what was written after the "
            "backup: nothing was restored, or something put the newer data back"
        )
    return f"the witness file in the volume {volume} holds something else: {found[:100]!r}"
