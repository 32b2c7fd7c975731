"""What is drawn again and again while something goes on, where the console is a terminal."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from types import TracebackType
from typing import ClassVar, Self

from rich.console import Console, Group
from rich.live import Live


@dataclass(kw_only=True)
class LiveView:
    """Draws its frame below the lines that stay; a context manager for as long as it does."""

    refresh_per_second: ClassVar[float] = 8

    console: Console
    _live: Live | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        """Begin to draw, on a terminal."""
        if self.console.is_terminal:
            self._live = Live(
                get_renderable=self._frame, console=self.console, transient=True,
                refresh_per_second=self.refresh_per_second,
            )  # fmt: skip
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop drawing."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    @abstractmethod
    def _frame(self) -> Group:
        """Return what to draw."""
