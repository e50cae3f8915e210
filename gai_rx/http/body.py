"""The bytes of an answer as they arrive."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp

from gai_rx.http.failures import while_reading
from gai_rx.http.timeouts import Watchdog

__all__ = ["Body"]


class Body:
    """The bytes of an answer as they arrive, under all time limits."""

    __slots__ = ("_kept", "_peeked", "_response", "_watchdog", "progressed")

    def __init__(self, response: aiohttp.ClientResponse, watchdog: Watchdog) -> None:
        self._response = response
        self._watchdog = watchdog
        self._peeked: bytes | None = None
        self._kept: bytearray | None = None
        self.progressed = watchdog.progressed
        """To be called when a read completed a record, for `Timeouts.progress`."""
        watchdog.start(response)

    @property
    def headers(self) -> Mapping[str, str]:
        """The answer's headers, their names in lower case."""
        return {name.lower(): value for name, value in self._response.headers.items()}

    @property
    def content_type(self) -> str:
        """What the server says that this is."""
        return self._response.content_type

    def close(self) -> None:
        """Let go of the connection; one that has been read to its end can be used again."""
        self._watchdog.stop()
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()

    async def peek(self) -> bytes:
        """The first bytes, which the next `read` will give again."""
        self._peeked = await self.read()
        return self._peeked

    def keep(self) -> bytearray:
        """All bytes of the body, as they come, what was peeked at included."""
        self._kept = bytearray(self._peeked or b"")
        return self._kept

    async def read(self) -> bytes:
        """The bytes that came since the last read, at least one; empty at the end.

        Raises:
            GaiError: connection, protocol or timeout.
        """
        if self._peeked is not None:
            data, self._peeked = self._peeked, None
            return data
        watchdog = self._watchdog
        watchdog.waits()
        read: bytes | Exception
        try:
            read = await self._response.content.readany()
        except Exception as error:
            read = watchdog.expired or while_reading(error)
        if isinstance(read, Exception):  # not from the handler: aiohttp's errors hold all headers
            raise read
        watchdog.reads()
        if self._kept is not None:
            self._kept += read
        return read
