"""What goes on beside the chain of a run's values: what it shows, records, masks and warns of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self, TypeVar

from rich.console import Console

from harness.core.event_log import records
from harness.core.events import Doing, WarningEvent
from harness.core.model import RunWarning
from harness.recipes.git_access import passwords
from harness.report.leaks import Guard
from harness.report.terminal import View
from harness.run.asked import Asked

Value = TypeVar("Value", bound=Asked)


@dataclass(kw_only=True)
class Journal:
    """The journal of one run.

    Args:
        view: shows and records it.
        guard: masks its secrets in every text that is published.
        last: the last value that was finished.
        warned: the warnings so far, in order, each once.
    """

    view: View
    guard: Guard
    last: Asked
    warned: dict[RunWarning, None] = field(default_factory=dict)

    @classmethod
    def of(cls, asked: Asked, console: Console) -> Self:
        """Return the journal of a run that begins."""
        brought = (*passwords(asked.settings.src), *passwords(asked.entry.source))
        guard = Guard(generated=dict, brought=brought)
        view = View(
            console=console, log=asked.directory / "run.log",
            records=records(asked.directory, asked.environ),
            scrub=lambda text: guard.mask(text, "run.log"),
        )  # fmt: skip
        return cls(view=view, guard=guard, last=asked)

    def finished(self, value: Value) -> Value:
        """Keep a value of the chain that was finished, and return it."""
        self.last = value
        return value

    def say(self, text: str) -> None:
        """Show a line."""
        self.view.say(text)

    def step(self, doing: Doing) -> None:
        """Show and record what begins."""
        self.view.show(doing)

    def warn(self, warning: RunWarning) -> None:
        """Record a warning, and show it at once."""
        if warning not in self.warned:
            self.warned[warning] = None
            self.view.show(WarningEvent.of(warning))
