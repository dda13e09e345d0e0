"""A relay on loopback that makes the server seem far away: what either side sends arrives half a delay later."""

import asyncio
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

import servers

SECONDS = 0.005
"""Added to each round trip."""


class Delay:
    """The relay, in a thread of its own. `round_trips` counts how often the direction turned from client to server.

    `awaited`: those whose message holds these bytes are counted in `looks`, too.
    """

    def __init__(self, server: servers.Server, awaited: bytes = b"") -> None:
        self.port = 0
        self.round_trips = self.looks = 0
        self._awaited = awaited
        self._server = server
        self._listening: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._listening = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._relay, "127.0.0.1", 0), self._loop
        ).result()
        self.port = self._listening.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if self._listening:
            self._listening.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._server.host, self._server.port)
        asked = [False]
        try:
            await asyncio.gather(self._pass(reader, back, asked, asking=True), self._pass(there, writer, asked))
        finally:
            back.close()
            writer.close()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: list[bool], *, asking: bool = False
    ) -> None:
        """Deliver each piece half a delay after it came; pieces overtake nothing, and don't add their delays up."""
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        delivery = asyncio.create_task(_deliver(pieces, writer))
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                self.round_trips += asking and not asked[0]
                self.looks += asking and bool(self._awaited) and self._awaited in data
                asked[0] = asking
                pieces.put_nowait((time.monotonic() + SECONDS / 2, data))
        pieces.put_nowait((0, b""))
        await delivery


async def _deliver(pieces: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while True:
            due, data = await pieces.get()
            if not data:
                break
            await asyncio.sleep(max(0, due - time.monotonic()))
            writer.write(data)
        writer.close()
