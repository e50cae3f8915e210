"""Watches: what is counted of a stream while it runs, item by item."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gai_rx.events import (
    AudioDelta,
    Error,
    ObjectDelta,
    Raw,
    ReasoningDelta,
    RefusalDelta,
    Retry,
    Start,
    StepFinish,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from gai_rx.measures import Histogram, RateWindow

__all__ = ["NO_CONTENT", "Named", "Watch"]

NO_CONTENT: frozenset[type] = frozenset({Start, Usage, Raw, Retry})
"""Events that are no content: an answer may send them for ever without saying anything."""

# What a model writes piece by piece, and the field that has the piece.
_PIECES: dict[type, str] = {
    TextDelta: "text",
    ReasoningDelta: "text",
    RefusalDelta: "text",
    ObjectDelta: "text",
    ToolCallDelta: "arguments",
    AudioDelta: "data",
}


class Named:
    """What all streams of one name add up to.

    Args:
        now: The time, in seconds from any zero.
        window: Seconds over which rates are taken.
        on_idle: Called when the last stream that ran has ended.
    """

    __slots__ = (
        "active",
        "bytes",
        "characters",
        "content_events",
        "ended",
        "errors",
        "events",
        "failures",
        "gaps",
        "now",
        "on_idle",
        "retries",
        "start",
        "window",
    )

    def __init__(
        self, now: Callable[[], float], window: float, on_idle: Callable[[], None] | None = None
    ) -> None:
        self.now = now
        self.start = now()
        self.events = self.content_events = self.errors = self.failures = self.retries = 0
        self.bytes = self.characters = 0
        self.window = RateWindow(self.start, window, counts=3)
        self.gaps = Histogram()
        self.active: dict[Watch, None] = {}  # in the order in which they began
        self.ended: Watch | None = None
        self.on_idle = on_idle

    def counts(self) -> tuple[int, int, int]:
        """What rates are taken of."""
        return self.events, self.bytes, self.characters

    def growth(self) -> tuple[float, tuple[int, ...]]:
        """The last seconds, and by how much the counts have grown in them."""
        return self.window.growth(self.now(), self.counts())

    def shown(self) -> tuple[Watch, ...]:
        """The streams that waits are told of: those that run, else the last one."""
        return tuple(self.active.copy()) or ((self.ended,) if self.ended else ())

    def ends(self, watch: Watch) -> None:
        """One of its streams has ended."""
        self.ended = watch  # first: another thread may ask at any moment
        self.active.pop(watch, None)
        if not self.active and self.on_idle is not None:
            self.on_idle()

    def absorb(self, other: Named) -> None:
        """Take in the counts of another, of which nothing is counted any more."""
        self.now = other.now
        self.window.absorb(other.window, other.counts())
        self.gaps.merge(other.gaps)
        self.events += other.events
        self.content_events += other.content_events
        self.errors += other.errors
        self.failures += other.failures
        self.retries += other.retries
        self.bytes += other.bytes
        self.characters += other.characters


class Watch:
    """One subscription that is watched; used by one event loop only.

    Attributes:
        held_by: Says which full buffers hold the source right now.
    """

    __slots__ = (
        "_last_piece",
        "_named",
        "_now",
        "end",
        "first_event",
        "first_piece",
        "held_by",
        "last_content",
        "last_event",
        "start",
    )

    def __init__(self, named: Named, now: Callable[[], float]) -> None:
        self._named = named
        self._now = named.now = now
        self.start = self.last_event = self.last_content = now()
        self.first_event: float | None = None
        self.first_piece: float | None = None
        self.end: float | None = None
        self.held_by: Callable[[], tuple[str, ...]] = tuple
        self._last_piece: float | None = None
        named.active[self] = None

    def record(self, item: Any) -> None:
        """Count an item."""
        named, now, kind = self._named, self._now(), item.__class__
        if now >= named.window.ends:
            named.window.roll(now, named.counts())
        named.events += 1
        self.last_event = now
        if self.first_event is None:
            self.first_event = now
        field = _PIECES.get(kind)
        if field is not None:
            self._piece(item.__dict__[field], now)
        elif isinstance(item, str | bytes):
            self._piece(item, now)
        elif isinstance(item, StreamEvent):
            self._other(item, now)
        else:
            named.content_events += 1
            self.last_content = now

    def _piece(self, piece: str | bytes, now: float) -> None:
        named, size = self._named, len(piece)
        named.content_events += 1
        self.last_content = now
        if isinstance(piece, str):
            named.characters += size
            if not piece.isascii():
                size = len(piece.encode("utf-8", "surrogatepass"))
        named.bytes += size
        last, self._last_piece = self._last_piece, now
        if last is not None:
            named.gaps.add(now - last)
        elif self.first_piece is None:
            self.first_piece = now

    def _other(self, event: StreamEvent, now: float) -> None:
        """An event that is no piece; between answers nobody waits for the next token."""
        kind = event.__class__
        if kind is Error:
            self._named.errors += 1
        elif kind is Retry:
            self._named.retries += 1
        if kind is Start or kind is Retry or kind is StepFinish:
            self._last_piece = None
        if kind not in NO_CONTENT:
            self._named.content_events += 1
            self.last_content = now

    def failed(self) -> None:
        """The stream has ended with an error."""
        if self.end is None:
            self._named.errors += 1
            self._named.failures += 1
        self.ended()

    def ended(self) -> None:
        """The stream has ended, or was disposed; said twice it changes nothing."""
        if self.end is None:
            self.end = self._now()
            self.held_by = tuple  # it leads to the source, which is done with
            self._named.ends(self)

    def since(self, stamp: float) -> float:
        """Seconds from a time on to now, or to the end."""
        return (self._now() if self.end is None else self.end) - stamp
