"""The harness's own witness files, as assertions see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.assertions.protocol import Facts


@dataclass(frozen=True, kw_only=True)
class Witnesses:
    """The witnesses of one run, as they were when the stage's op had settled.

    Args:
        facts: what the run knows about itself.
    """

    facts: Facts

    def expected(self) -> Mapping[str, str]:
        """Return what each witness has to hold now, by the volume's full name."""
        return dict(self.facts.seen[self.facts.stage].get("witnesses", {}))

    def problems(self) -> list[str]:
        """Return what is wrong with which witness, a sentence each; empty when all are intact."""
        return list(self.facts.seen[self.facts.stage].get("witness_problems", ()))


WitnessView = Witnesses  # its former name, for as long as those of `former_names`
