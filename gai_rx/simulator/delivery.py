"""Delivery: records onto the connection, at the pace of the script, with its faults."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Iterable

from aiohttp import web

from gai_rx.simulator.asking import SeenRequest
from gai_rx.simulator.faults import Fault
from gai_rx.simulator.language import Language, Record

__all__ = ["Delivery"]

_BREAKS = ("cut", "hang_up", "reset")
_DRIP = 16  # bytes
_DRIP_PAUSE = 0.002  # seconds
_LINGER = 1  # on, for 0 seconds: closing sends a reset


class _BrokenOffError(Exception):
    """The fault has struck: nothing more is sent."""


class Delivery:
    """Writes one streamed body; each write waits until the client takes it.

    Args:
        request: The connection's request.
        response: The prepared response.
        seen: Where the bytes are counted.
        fault: What goes wrong, if anything.
        language: How the fault says it.
    """

    def __init__(
        self,
        request: web.Request,
        response: web.StreamResponse,
        seen: SeenRequest,
        fault: Fault | None,
        language: Language,
    ) -> None:
        self._request = request
        self._response = response
        self._seen = seen
        self._fault = fault
        self._language = language
        self._name = fault.name if fault is not None else ""
        self._limit = fault.byte if fault is not None and self._name in _BREAKS else None

    async def send(self, records: Iterable[Record], delay: float, first: int = 0) -> None:
        """Write the records, `delay` seconds before each delta, until they or the fault end.

        `first` is the position of the first record in its answer.
        """
        deltas = 0
        try:
            for position, record in enumerate(records, first):
                if record.delta:
                    await asyncio.sleep(delay)
                    if self._fault is not None:
                        await self._strike(self._fault, deltas, position, record)
                    deltas += 1
                await self._write(record.data)
            if self._limit is not None:
                await self._break_off()  # the body was shorter than the fault's byte
        except _BrokenOffError:
            return

    async def _strike(self, fault: Fault, deltas: int, records: int, record: Record) -> None:
        """What the fault does after so many deltas and records, before this record."""
        if self._name == "keepalives":
            await self._write(self._language.comment * (fault.size or 1))
        if deltas != fault.delta:
            return
        if self._name == "stall":
            await asyncio.sleep(fault.seconds if fault.seconds is not None else 1e9)
        elif self._name == "malformed":
            await self._write(self._language.broken)
        elif self._name == "error_in_stream":
            await self._write(self._language.error(fault.error_inside, records))
            raise _BrokenOffError
        elif self._name in _BREAKS and self._limit is None:
            await self._put(record.data[: len(record.data) // 2])
            await self._break_off()

    async def _write(self, data: bytes) -> None:
        if self._limit is not None and self._seen.bytes_sent + len(data) >= self._limit:
            await self._put(data[: self._limit - self._seen.bytes_sent])
            await self._break_off()
        elif self._name == "split":
            for index in range(len(data)):
                await self._put(data[index : index + 1])
                await asyncio.sleep(0)
        elif self._name == "slow_drip":
            await self._drip(data)
        else:
            await self._put(data)

    async def _drip(self, data: bytes) -> None:
        assert self._fault is not None
        size = self._fault.size or _DRIP
        pause = self._fault.seconds if self._fault.seconds is not None else _DRIP_PAUSE
        for start in range(0, len(data), size):
            await self._put(data[start : start + size])
            await asyncio.sleep(pause)

    async def _put(self, data: bytes) -> None:
        if data:
            await self._response.write(data)
            self._seen.bytes_sent += len(data)

    async def _break_off(self) -> None:
        transport = self._request.transport
        if self._name != "cut" and transport is not None:
            self._seen.end(finished=True)  # before the closing looks like the client's
            if self._name == "reset":
                form = "hh" if sys.platform == "win32" else "ii"
                linger = struct.pack(form, _LINGER, 0)
                sock = transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                transport.abort()
            else:
                transport.close()
        raise _BrokenOffError
