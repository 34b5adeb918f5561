"""A broken network: a TCP proxy on loopback that a test makes slow, silent, broken or absent."""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Self

_CHUNK = 65_536
_LINGER_NOT = struct.pack("ii", 1, 0)  # a close is a reset


class FaultProxy:
    """Before a server, as an async context manager. What it does is changed for all connections,
    also for those that are open. `connections` counts those that were accepted."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._upstream = (host, port)
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.connections = 0
        self._server: asyncio.Server | None = None
        self._clients: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._answered: set[asyncio.Event] = set()
        self._flows = asyncio.Event()
        self._resets = False
        self._latency_s = 0.0
        self._cut_after: int | None = None
        self._drip_s: float | None = None

    async def __aenter__(self) -> Self:
        await self.heal()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self._socket.close()
        tasks = list(self._clients)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def heal(self) -> None:
        """Pass everything on from now on, also what a blackhole has swallowed."""
        self._resets, self._latency_s, self._cut_after, self._drip_s = False, 0.0, None, None
        self._flows.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, sock=self._socket)

    async def settled(self) -> None:
        """Wait until all that clients have sent is answered, whether they still wait or not."""
        for answered in list(self._answered):
            await answered.wait()

    def latency(self, seconds: float) -> None:
        """Every piece that is sent, either way, arrives that much later."""
        self._latency_s = seconds

    def blackhole(self) -> None:
        """Accept everything and answer nothing. `heal` delivers it, whoever sent it still waits
        or not."""
        self._flows.clear()

    def reset(self) -> None:
        """Reset the connections that are open, and each new one."""
        self._resets = True
        for writer in self._clients.values():
            _reset(writer)

    def refuse(self) -> None:
        """Nobody listens; the port stays ours."""
        assert self._server is not None
        self._server.close()
        self._server = None
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", self.port))
        for writer in self._clients.values():
            _reset(writer)

    def cut(self, after_bytes: int) -> None:
        """Close each connection after so many bytes of the answers."""
        self._cut_after = after_bytes

    def drip(self, seconds: float) -> None:
        """Give out one byte of an answer at a time, so far apart."""
        self._drip_s = seconds

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._clients[task] = writer
        try:
            with suppress(OSError):
                await self._join(reader, writer)
        except asyncio.CancelledError:
            pass  # the end of the test; asyncio's own callback would raise it again
        finally:
            del self._clients[task]
            _reset(writer) if self._resets else writer.close()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._resets:
            return
        server_reader, server_writer = await asyncio.open_connection(*self._upstream)
        self._answered.add(answered := asyncio.Event())
        answered.set()
        answers = asyncio.create_task(self._answers(server_reader, writer, answered))
        try:
            while piece := await reader.read(_CHUNK):
                if answers.done():
                    return  # the server has left: nobody will answer
                answered.clear()
                await self._hold()
                server_writer.write(piece)
            await answered.wait()  # what was passed on is heard to its end
        finally:
            self._answered.remove(answered)
            answered.set()
            server_writer.close()
            answers.cancel()
            await asyncio.gather(answers, return_exceptions=True)

    async def _answers(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answered: asyncio.Event
    ) -> None:
        sent = 0
        try:
            while piece := await reader.read(_CHUNK):
                await self._hold()
                rest = None if self._cut_after is None else max(0, self._cut_after - sent)
                await self._write(writer, piece[:rest])
                sent += len(piece)
                answered.set()
                if rest is not None and len(piece) >= rest:
                    break
        finally:
            answered.set()
            writer.close()

    async def _write(self, writer: asyncio.StreamWriter, piece: bytes) -> None:
        for at in range(len(piece)):
            if self._drip_s is None:
                writer.write(piece[at:])
                return
            writer.write(piece[at : at + 1])
            await asyncio.sleep(self._drip_s)

    async def _hold(self) -> None:
        await asyncio.sleep(self._latency_s)
        await self._flows.wait()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    with suppress(OSError):  # it is closed already
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
    writer.transport.abort()
