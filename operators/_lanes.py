"""What `multiplex` knows of one stream: what waits of it, and how its events are marked."""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

from reactivex.disposable import SingleAssignmentDisposable

from gai_rx.flow import Buffer
from gai_rx.overflow import may_drop
from gai_rx.unvalidated import trusted

__all__ = ["Gap", "Lane", "stamped"]


class Gap:
    """Where events of a stream were dropped, and how many."""

    __slots__ = ("dropped",)

    def __init__(self) -> None:
        self.dropped = 0


class Junction(Protocol):
    """Where the lanes meet."""

    def take(self, lane: Lane, item: Any) -> None:
        """A stream has an item."""

    def failed(self, lane: Lane, error: Exception) -> None:
        """A stream has failed."""

    def completed(self, lane: Lane) -> None:
        """A stream has completed."""


class Lane:
    """One stream: its subscription, and what waits of it."""

    __slots__ = (
        "dropped",
        "ended",
        "has_turn",
        "junction",
        "kept",
        "name",
        "subscription",
        "waiting",
        "watched",
    )

    def __init__(self, junction: Junction, name: str) -> None:
        self.junction = junction
        self.name = name
        self.subscription = SingleAssignmentDisposable()
        self.waiting: Buffer[tuple[float, Any]] | None = None  # most streams never need one
        self.kept: deque[Gap | Any] | None = None
        self.dropped = 0
        self.ended = self.has_turn = self.watched = False

    def on_next(self, item: Any) -> None:
        self.junction.take(self, item)

    def on_error(self, error: Exception) -> None:
        self.junction.failed(self, error)

    def on_completed(self) -> None:
        self.junction.completed(self)

    def has_waiting(self) -> bool:
        return bool(self.kept) or (self.waiting is not None and bool(self.waiting.items))

    def next_waiting(self) -> Any:
        """The event, or the gap, whose turn it is."""
        if self.kept:
            return self.kept.popleft()
        waiting = self.waiting
        assert waiting is not None
        event = waiting.pop()[1]
        if not waiting.items:
            self.waiting = None  # an empty one takes a kilobyte, and most are empty
        return event

    def oldest(self) -> float | None:
        """Since when the oldest event waits that may still be dropped."""
        return self.waiting.items[0][0] if self.waiting and self.waiting.items else None

    def drop(self, since: float) -> None:
        """Drop the deltas that came until `since`; what may not be dropped is set apart, in order.

        It is bounded as well: at as many as may wait the rest stays, and holds the stream.
        """
        waiting = self.waiting
        if waiting is None:
            return
        if self.kept is None:
            self.kept = deque()
        while waiting.items and waiting.items[0][0] <= since:
            event = waiting.items[0][1]
            if not may_drop(event):
                if len(self.kept) >= waiting.size:
                    return
                self.kept.append(event)
            else:
                if not self.kept or not isinstance(self.kept[-1], Gap):
                    self.kept.append(Gap())
                self.kept[-1].dropped += 1
            waiting.pop()

    def release(self) -> None:
        """End the request and forget what waits."""
        if self.waiting is not None:
            self.waiting.release()
        self.kept = None
        self.subscription.dispose()


def stamped(event: Any, name: str) -> Any:
    """The event with its stream's name; a copy without validation, for every event comes by."""
    values = event.__dict__.copy()
    inner = values["stream_id"]
    values["stream_id"] = f"{name}/{inner}" if inner else name
    return trusted(event.__class__, values, {*event.__pydantic_fields_set__, "stream_id"})
