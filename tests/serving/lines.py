"""A line to a server that can be slow, or break without a word to either end."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread


class Line:
    """A TCP proxy in a thread of its own."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._delay = 0.0
        self._is_broken = False
        self._breaks = 0
        self._carrying: set[asyncio.Task[None] | None] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="line", daemon=True)
        self._thread.start()
        self._listening = self._run(asyncio.start_server(self._carry, "127.0.0.1", 0))
        self.port: int = self._listening.sockets[0].getsockname()[1]

    def slow_down(self, seconds: float) -> None:
        """Answers come so much later."""
        self._delay = seconds

    def fall_silent(self) -> None:
        """From now on nothing arrives, though every byte is taken: connections there are stay so for good."""
        self._is_broken = True
        self._breaks += 1

    def mend(self) -> None:
        """New connections are as they should be."""
        self._delay, self._is_broken = 0.0, False

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._listening.close)
        self._run(self._cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _cancel_all(self) -> None:
        carrying = list(self._carrying)
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)

    def _run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._carrying.add(task)  # a loop itself does not keep its tasks from being collected
        try:
            with suppress(asyncio.CancelledError, OSError):
                await self._joined(reader, writer)
        finally:
            self._carrying.discard(task)
            await _closed(writer)

    async def _joined(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        born = self._breaks
        if self._is_broken:
            while await reader.read(65_536):
                """Taken, and gone."""
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._server_port)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(reader, back, born))
                both.create_task(self._pass(there, writer, born, is_answer=True))
        finally:
            await _closed(back)

    async def _pass(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, born: int, *, is_answer: bool = False
    ) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                if is_answer and self._delay:
                    await asyncio.sleep(self._delay)
                if born == self._breaks:
                    sink.write(data)
                    await sink.drain()
        if born == self._breaks:  # of a broken line nobody hears that the other end hung up
            sink.close()


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError, asyncio.CancelledError):
        await writer.wait_closed()


@contextmanager
def line_to(port: int) -> Iterator[Line]:
    line = Line(port)
    try:
        yield line
    finally:
        line.close()
