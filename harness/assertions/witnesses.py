"""The harness's own witness files, as assertions see them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from harness.assertions.protocol import Facts
from harness.backups.witness import Witnesses
from harness.docker.exec import ExecTarget


@dataclass(frozen=True, kw_only=True)
class WitnessView:
    """The witnesses of one run.

    Args:
        vaults: returns the container that has the app's volumes of a node mounted.
        facts: what the run knows about itself.
    """

    vaults: Callable[[str], ExecTarget]
    facts: Facts

    def expected(self) -> Mapping[str, str]:
        """Return what each witness has to hold now, by the volume's full name."""
        return dict(self.facts.seen[self.facts.stage].get("witnesses", {}))

    def problems(self) -> list[str]:
        """Return what is wrong with which witness, a sentence each; empty when all are intact."""
        later = self.facts.seen[self.facts.stage].get("changed_witnesses", {})
        places = self.facts.seen[self.facts.stage].get("places", {})
        found = (
            Witnesses(vault=self.vaults(places.get(volume, "")), stack=self.facts.stack).problem(
                volume, expected=text, later=str(later.get(volume, ""))
            )
            for volume, text in self.expected().items()
        )
        return [problem for problem in found if problem]
