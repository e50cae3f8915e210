"""How long to wait for an answer, and the one timer that sees to it."""

from __future__ import annotations

import asyncio

import aiohttp
from pydantic import BaseModel, ConfigDict, Field

from gai_rx.errors import Phase, TimedOutError

__all__ = ["Timeouts", "Watchdog", "timed_out"]

_LIMITS = {
    "connect": "no connection within {0:g} s (Timeouts.connect)",
    "first": "no byte of an answer within {0:g} s (Timeouts.first)",
    "idle": "no bytes for {0:g} s in the middle of the answer (Timeouts.idle)",
    "progress": "keep-alives but no record for {0:g} s (Timeouts.progress)",
    "total": "the answer took longer than {0:g} s in all (Timeouts.total)",
}


class Timeouts(BaseModel):
    """How long to wait, in seconds; None waits for ever.

    `idle` is between two reads of any bytes, so that comments and keep-alives count; `progress` is
    between two records, so that they do not. Time in which the consumer holds the stream counts for
    neither.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    connect: float | None = Field(default=10.0, gt=0, description="To the connection.")
    first: float | None = Field(
        default=600.0, gt=0, description="From the request to the first byte."
    )
    idle: float | None = Field(default=120.0, gt=0, description="Between two reads.")
    progress: float | None = Field(default=600.0, gt=0, description="Between two records.")
    total: float | None = Field(default=None, gt=0, description="In all.")


def timed_out(name: str, limit: float, phase: Phase) -> TimedOutError:
    """The error for a limit of `Timeouts` that ran out."""
    return TimedOutError(_LIMITS[name].format(limit), phase=phase)


class Watchdog:
    """All limits of one answer in one timer that re-arms itself: nothing is scheduled per read."""

    __slots__ = (
        "_first", "_held_since", "_loop", "_progress", "_response", "_start", "_timeouts", "_timer",
        "_waiting_since", "expired",
    )  # fmt: skip

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self._waiting_since: float | None = None
        self._held_since = self._start
        self._progress = self._start
        self._first = True
        self._timer: asyncio.TimerHandle | None = None
        self._response: aiohttp.ClientResponse | None = None
        self.expired: TimedOutError | None = None

    def first(self) -> float | None:
        """Seconds until the first byte must be there."""
        limits = [t for t in (self._timeouts.first, self._timeouts.total) if t is not None]
        return min(limits, default=None)

    def start(self, response: aiohttp.ClientResponse) -> None:
        """Watch a response: when a limit runs out it is closed, which wakes its reader."""
        self._response = response
        self._tick()

    def stop(self) -> None:
        """The answer is over."""
        if self._timer is not None:
            self._timer.cancel()
        self._response = None

    def waits(self) -> None:
        """The reader begins to wait for bytes; the time before was the consumer's."""
        now = self._loop.time()
        self._progress += now - self._held_since
        self._waiting_since = now

    def reads(self) -> None:
        """Bytes came; with the first of them other limits begin to count."""
        self._waiting_since = None
        self._held_since = self._loop.time()
        if self._first:
            self._first = False
            if self._timer is not None:
                self._timer.cancel()
            self._tick()

    def progressed(self) -> None:
        """A record came."""
        self._progress = self._held_since

    def _deadlines(self, now: float) -> list[tuple[float, str, float]]:
        limits = self._timeouts
        found: list[tuple[float, str, float]] = []
        if limits.total is not None:
            found.append((self._start + limits.total, "total", limits.total))
        since = self._waiting_since
        if self._first and limits.first is not None:
            found.append((self._start + limits.first, "first", limits.first))
        if limits.idle is not None and not self._first:
            found.append(((now if since is None else since) + limits.idle, "idle", limits.idle))
        if limits.progress is not None:
            base = now if since is None else self._progress
            found.append((base + limits.progress, "progress", limits.progress))
        return found

    def _tick(self) -> None:
        now = self._loop.time()
        self._timer = None
        deadlines = self._deadlines(now)
        if not deadlines:
            return
        due, name, limit = min(deadlines)
        if due <= now and self._response is not None:
            self.expired = timed_out(name, limit, "headers" if self._first else "stream")
            self._response.close()
            return
        # `idle` starts anew with each read: looking again after at most that long is soon enough.
        self._timer = self._loop.call_at(due, self._tick)
