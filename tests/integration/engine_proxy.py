"""A socket in front of an engine's: its answers come late, or not at all any more."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

PIECE = 65536


@dataclass
class EngineProxy:
    """Hands bytes on between a socket of its own and an engine's.

    Args:
        here: where it listens.
        engine: the engine's socket.
        delay: seconds that each piece of an answer is held back.
    """

    here: Path
    engine: Path
    delay: float = 0.0
    _silent: threading.Event = field(default_factory=threading.Event)

    @property
    def host(self) -> str:
        """What DOCKER_HOST has to say."""
        return f"unix://{self.here}"

    def fall_silent(self) -> None:
        """Let no answer through any more; connections stay open, and new ones are taken."""
        self._silent.set()

    @contextmanager
    def running(self) -> Iterator["EngineProxy"]:
        """Serve for the length of the block."""
        loop, up = asyncio.new_event_loop(), threading.Event()
        over = asyncio.Event()
        thread = threading.Thread(target=lambda: loop.run_until_complete(self._serve(up, over)))
        thread.start()
        try:
            assert up.wait(10)
            yield self
        finally:
            loop.call_soon_threadsafe(over.set)
            thread.join()
            loop.close()

    async def _serve(self, up: threading.Event, over: asyncio.Event) -> None:
        pairs: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            pairs.add(asyncio.ensure_future(self._hand_on(reader, writer)))

        async with await asyncio.start_unix_server(connected, self.here):
            up.set()
            await over.wait()
        for pair in pairs:
            pair.cancel()
        await asyncio.gather(*pairs, return_exceptions=True)

    async def _hand_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, engine = await asyncio.open_unix_connection(self.engine)
        try:
            await asyncio.gather(
                self._pump(reader, engine, late=False), self._pump(answers, writer, late=True)
            )
        finally:
            for end in (writer, engine):
                end.close()
                with suppress(OSError):
                    await end.wait_closed()

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, late: bool
    ) -> None:
        with suppress(OSError):
            while data := await source.read(PIECE):
                if late and self._silent.is_set():
                    await asyncio.Event().wait()  # until it is cancelled
                if late and self.delay:
                    await asyncio.sleep(self.delay)
                sink.write(data)
                await sink.drain()
            sink.write_eof()
