"""The pipes of a program: its input goes in while its output comes out, as much as it may be."""

from __future__ import annotations

import os
import selectors
import time
from dataclasses import dataclass, field
from typing import IO

PIECE = 65536  # bytes that are moved at once


class TooMuchError(Exception):
    """A program has written more than it may."""


@dataclass(slots=True)
class Pipes:
    """The pipes of one program, and what has come out of them so far.

    Args:
        streams: its standard output and standard error.
        stdin: its standard input, or None.
        most: bytes that it may write, of both streams.
    """

    streams: tuple[IO[bytes], IO[bytes]]
    stdin: IO[bytes] | None
    most: int
    out: bytearray = field(default_factory=bytearray)
    err: bytearray = field(default_factory=bytearray)

    def exchange(self, data: bytes, *, until: float) -> None:
        """Send the input, and take in both streams until they end.

        Args:
            data: what goes to its standard input.
            until: when to give up, on the monotonic clock.

        Raises:
            TimeoutError: that moment has come.
            TooMuchError: it wrote more than it may; what it may was taken in.
        """
        left = memoryview(data)
        kept = dict(zip(self.streams, (self.out, self.err), strict=True))
        with selectors.DefaultSelector() as selector:
            for stream in self.streams:
                selector.register(stream, selectors.EVENT_READ)
            if self.stdin is not None:
                os.set_blocking(self.stdin.fileno(), False)
                selector.register(self.stdin, selectors.EVENT_WRITE)
            while selector.get_map():
                wait = until - time.monotonic()
                if wait <= 0:
                    raise TimeoutError
                for key, _ in selector.select(wait):
                    if key.fileobj is self.stdin:
                        left = left[_sent(key.fd, left) :]
                        done = not left
                    else:
                        done = not self._take(key.fd, kept[key.fileobj])  # type: ignore[index]
                    if done:
                        selector.unregister(key.fileobj)
                        key.fileobj.close()  # type: ignore[union-attr]  # all are files

    def close(self) -> None:
        """Leave the program alone with its pipes."""
        for stream in (*self.streams, self.stdin):
            if stream is not None:
                stream.close()

    def _take(self, descriptor: int, kept: bytearray) -> int:
        """Return how many bytes came; 0 at the end."""
        piece = os.read(descriptor, PIECE)
        room = self.most - len(self.out) - len(self.err)
        kept += piece[:room]
        if len(piece) > room:
            raise TooMuchError
        return len(piece)


def _sent(descriptor: int, left: memoryview) -> int:
    """Send what can be sent now; a program that has closed its input wants nothing of it."""
    try:
        return os.write(descriptor, left[:PIECE])
    except BlockingIOError:
        return 0
    except BrokenPipeError:
        return len(left)
