"""A loopback server for tests that need a say over every byte, and see what the client does.

The n-th connection is answered by the n-th script; the last script serves all later ones too.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any

from gai_rx import Provider, connect

__all__ = [
    "Exchange",
    "Script",
    "WireServer",
    "answer",
    "chat",
    "endless",
    "refuse",
    "text_record",
]


class Exchange:
    """One connection, as the server saw it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.head = ""
        self.body = b""
        self.written = 0
        """Bytes of body that were handed to the transport."""
        self.closed_at: float | None = None
        """Loop time at which the client was seen to have let go."""
        self.closed = asyncio.Event()
        self.finished = asyncio.Event()
        """Set when nothing of this connection is left here."""
        self._loop = asyncio.get_running_loop()
        self._reader = reader
        self._writer = writer
        self._draining_since: float | None = None

    @property
    def blocked_for(self) -> float:
        """Seconds since the write that a connected client does not take; 0 when it takes all."""
        if self._draining_since is None or self.closed.is_set():
            return 0.0
        return self._loop.time() - self._draining_since

    async def receive(self) -> None:
        """Read the request."""
        self.head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        for line in self.head.split("\r\n"):
            if line.lower().startswith("content-length:"):
                self.body = await self._reader.readexactly(int(line.split(":")[1]))

    async def begin(self, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Send the status line and headers of a chunked body."""
        told = {
            "content-type": "text/event-stream",
            "transfer-encoding": "chunked",
            "connection": "close",
            **(headers or {}),
        }
        lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in told.items())]
        await self._send("\r\n".join([*lines, "", ""]).encode("latin-1"))

    async def piece(self, data: bytes) -> None:
        """Send one HTTP chunk, and wait until the client has room for more."""
        self.written += len(data)
        await self._send(b"%x\r\n%s\r\n" % (len(data), data))

    async def end(self) -> None:
        """Send the chunk that ends the body."""
        await self._send(b"0\r\n\r\n")

    def reset(self) -> None:
        """Break the connection with a TCP reset."""
        if self._writer.transport.is_closing():
            return
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def _send(self, data: bytes) -> None:
        self._writer.write(data)
        self._draining_since = self._loop.time()
        await self._writer.drain()
        self._draining_since = None

    async def watch(self) -> None:
        """Return when the client has closed or reset the connection."""
        try:
            while await self._reader.read(1024):
                pass
        except ConnectionError:
            pass
        self.let_go()

    def let_go(self) -> None:
        """Note that the client has closed the connection."""
        self.closed_at = self._loop.time()
        self.closed.set()

    def say_no_more(self) -> None:
        """Close this side, so that the client sees the end."""
        if not self._writer.transport.is_closing():
            with suppress(OSError):  # the client has gone already
                self._writer.write_eof()


Script = Callable[[Exchange], Awaitable[None]]


class WireServer:
    """Listens on loopback while its `async with` block runs."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = scripts
        self._server: asyncio.Server
        self._handlers: set[asyncio.Task[None]] = set()
        self.exchanges: list[Exchange] = []

    async def __aenter__(self) -> WireServer:
        listener = socket.socket()
        # Accepted sockets inherit it: a server is blocked after little, not after megabytes.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
        listener.bind(("127.0.0.1", 0))
        self._server = await asyncio.start_server(self._accept, sock=listener, backlog=1024)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        for handler in list(self._handlers):
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    @property
    def base_url(self) -> str:
        """Where it listens, as `connect` takes it."""
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    @property
    def provider(self) -> Provider:
        """A model at this server."""
        return connect("openai_chat:m", base_url=self.base_url)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = asyncio.current_task()
        assert handler is not None
        self._handlers.add(handler)
        script = self._scripts[min(len(self.exchanges), len(self._scripts) - 1)]
        exchange = Exchange(reader, writer)
        self.exchanges.append(exchange)
        try:
            await self._serve(exchange, script)
        except asyncio.CancelledError:
            pass  # the server is being closed; asyncio would report a cancelled handler
        finally:
            writer.transport.abort()
            exchange.finished.set()
            self._handlers.discard(handler)

    async def _serve(self, exchange: Exchange, script: Script) -> None:
        try:
            await exchange.receive()
        except (asyncio.IncompleteReadError, ConnectionError):
            exchange.let_go()
            return
        work = asyncio.ensure_future(script(exchange))
        watch = asyncio.ensure_future(exchange.watch())
        try:
            await asyncio.wait((work, watch), return_when=asyncio.FIRST_COMPLETED)
            if work.done() and isinstance(work.exception(), ConnectionError):
                exchange.let_go()
            elif work.done():
                work.result()
                exchange.say_no_more()
                await watch
        finally:
            work.cancel()
            watch.cancel()
            await asyncio.gather(work, watch, return_exceptions=True)


def text_record(text: str) -> bytes:
    """One record of a chat stream."""
    chunk: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "model": "m-1",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}],
    }
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def chat(*texts: str) -> tuple[bytes, ...]:
    """A whole chat stream that says these texts, one piece a text, and its end."""
    last = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "model": "m-1",
        "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
    }
    end = b"data: " + json.dumps(last).encode() + b"\n\ndata: [DONE]\n\n"
    return (*map(text_record, texts), end)


def answer(*pieces: bytes, then: str = "end", pause: float = 0.0) -> Script:
    """Send the pieces, `pause` seconds apart, one HTTP chunk each; then end, stall, cut or reset.

    `cut` ends the connection as if the body were whole, but without its last chunk.
    """

    async def script(exchange: Exchange) -> None:
        await exchange.begin()
        for piece in pieces:
            await exchange.piece(piece)
            if pause:
                await asyncio.sleep(pause)
        if then == "end":
            await exchange.end()
        elif then == "stall":
            await asyncio.Event().wait()
        elif then == "reset":
            exchange.reset()

    return script


def refuse(status: int, message: str = "told", **headers: str) -> Script:
    """Answer with an error; `retry_after="0"` sends `retry-after: 0`."""

    async def script(exchange: Exchange) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        await exchange.begin(status, {"content-type": "application/json", **named})
        await exchange.piece(json.dumps({"error": {"message": message}}).encode())
        await exchange.end()

    return script


def endless(text: str = "word ", records: int = 64) -> Script:
    """Write records without end, as fast as the client takes them, `records` in a chunk."""

    async def script(exchange: Exchange) -> None:
        block = text_record(text) * records
        await exchange.begin()
        while True:
            await exchange.piece(block)
            await asyncio.sleep(0)  # a drain that has room gives nobody else a turn

    return script
