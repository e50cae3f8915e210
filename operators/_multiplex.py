"""The machinery of `multiplex`: a lane for each stream, and whose turn it is.

While nobody below is busy an event goes straight down, in its producer's own call. When a gate
below closes, events wait in the lane of their stream, which holds its producer once it is full;
when the gate opens the lanes are emptied in turn, one event of each.
"""

from __future__ import annotations

import contextvars
from collections import deque
from heapq import heappop, heappush
from itertools import count
from typing import Any

from reactivex import Observable, abc
from reactivex.disposable import SerialDisposable

from gai_rx.errors import BackpressureError
from gai_rx.events import Error, StreamEvent
from gai_rx.flow import Buffer, TimerPressure, current
from gai_rx.operators._lanes import Gap, Lane, stamped
from gai_rx.operators.recovering import as_event
from gai_rx.stream import seconds

__all__ = ["Multiplexing"]

_AT_ONCE = 256
"""Events that are delivered in one turn of the loop, after a busy subscriber lets go."""
_SAME_TIME = 1e-6
"""Seconds within which a deadline counts as reached: clocks round."""


class Multiplexing(abc.DisposableBase):
    """One subscription to all the streams."""

    def __init__(
        self,
        observer: abc.ObserverBase[Any],
        scheduler: abc.SchedulerBase,
        *,
        isolate: bool,
        block_for: float | None,
        queue: int,
    ) -> None:
        self._observer = observer
        self._scheduler = scheduler
        self._isolate = isolate
        self._block_for = block_for
        self._queue = queue
        self._check_thread = Buffer[Any](queue, "multiplex").check_thread
        self._context = contextvars.copy_context()
        self._pressure = TimerPressure()
        self._lanes: set[Lane] = set()
        self._turns: deque[Lane] = deque()  # the lanes in which something waits
        self._held = self._over = False
        self._succeeded = False
        self._error: Exception | None = None
        self._last_error: Exception | None = None
        self._thrown_below: Exception | None = None
        self._deadlines: list[tuple[float, int, Lane]] = []  # a heap, one entry for a lane
        self._number = count()
        self._timer = SerialDisposable()
        self._timer_is_set = False

    def start(
        self, streams: dict[str, Observable[Any]], given: abc.SchedulerBase | None
    ) -> abc.DisposableBase:
        """Subscribe to all streams."""
        lanes = [Lane(self, name) for name in streams]
        self._lanes.update(lanes)
        for lane, stream in zip(lanes, streams.values(), strict=True):
            if self._over or self._error is not None:
                break
            lane.subscription.disposable = stream.subscribe(
                lane.on_next, lane.on_error, lane.on_completed, scheduler=given
            )
        if not streams:
            self._observer.on_completed()
        return self

    def dispose(self) -> None:
        """End all requests."""
        self._over = True
        self._pressure.stop()
        self._timer.dispose()
        self._turns.clear()
        self._deadlines.clear()
        lanes, self._lanes = self._lanes, set()
        for lane in lanes:
            lane.release()

    # What the lanes tell.

    def take(self, lane: Lane, item: Any) -> None:
        """An item of a stream: straight down, or into its lane while somebody below is busy."""
        self._check_thread()
        if self._over or lane.ended:
            return
        if not isinstance(item, StreamEvent):
            self._fail(
                TypeError(
                    f"multiplex() takes streams of events, and {lane.name!r} has an item of type "
                    f"{type(item).__name__}: put text_only() and the like below multiplex()"
                )
            )
            return
        event = stamped(item, lane.name)
        if self._held:
            self._put(lane, event)
            return
        self._send(event)

    def failed(self, lane: Lane, error: Exception) -> None:
        """A stream has failed; or the subscriber, whose error came back through its producer."""
        if error is self._thrown_below:
            self._fail(error)
            return
        if self._over or lane.ended:
            return
        if self._isolate:
            self._last_error = error
            self._tell_failure(lane, error)
            self._end(lane)
        else:
            self._error = error
            for other in list(self._lanes):
                other.subscription.dispose()
            self._end_if_done()

    def completed(self, lane: Lane) -> None:
        """A stream has completed."""
        if not lane.ended:
            self._succeeded = True
            self._end(lane)

    # What goes down.

    def _send(self, event: Any) -> None:
        """Hand an event down; the gates that it meets hold all lanes until they are open."""
        token = current.set(self._pressure)
        try:
            self._observer.on_next(event)
        except Exception as error:
            self._thrown_below = error  # the subscriber's bug, no failure of a stream
            raise
        finally:
            current.reset(token)
        if self._pressure.gates and not self._held:
            self._held = True
            self._pressure.then(self._go_on)

    def _tell_failure(self, lane: Lane, error: Exception) -> None:
        event = as_event(error, stream_id=lane.name)
        if self._held:
            self._put(lane, event, last=True)
            return
        try:
            self._send(event)
        except Exception as raised:  # the stream has ended: it can not hand this back
            self._fail(raised)

    def _put(self, lane: Lane, event: Any, *, last: bool = False) -> None:
        """Let an event wait for its turn; a lane that is full holds its producer."""
        waiting = lane.waiting
        if waiting is None:
            waiting = lane.waiting = Buffer(self._queue, f"multiplex({lane.name})")
        since = 0.0 if self._block_for is None else seconds(self._scheduler)
        self._give_turn(lane)
        if last:
            waiting.items.append((since, event))
            return
        try:
            waiting.push((since, event))
        except BackpressureError as error:
            lane.subscription.dispose()
            self.failed(lane, error)
            return
        finally:
            if waiting.gate in self._pressure.gates:
                self._pressure.gates.remove(waiting.gate)  # it came from below, by way of us
        if self._block_for is not None and not lane.watched:
            self._watch(lane, since)

    def _give_turn(self, lane: Lane) -> None:
        if not lane.has_turn:
            lane.has_turn = True
            self._turns.append(lane)

    def _go_on(self) -> None:
        """Deliver in a turn of its own: this is called from within the busy subscriber's."""
        self._scheduler.schedule(
            lambda *_: self._context.copy().run(self._deliver)  # its context, no producer's
        )

    def _deliver(self) -> None:
        """Empty the lanes, one event of each in turn, until somebody below is busy again."""
        for _ in range(_AT_ONCE):
            if not self._turns:
                self._held = False
                self._end_if_done()
                return
            try:
                self._deliver_next(self._turns.popleft())
            except Exception as error:  # the subscriber's; a producer would hand it back too
                self._fail(error)
                return
            if self._pressure.gates:
                self._pressure.then(self._go_on)
                return
        self._go_on()

    def _deliver_next(self, lane: Lane) -> None:
        lane.has_turn = False
        if lane.has_waiting():
            event = lane.next_waiting()
            if lane.has_waiting():
                self._give_turn(lane)
            self._send(self._told(lane, event) if isinstance(event, Gap) else event)

    def _told(self, lane: Lane, gap: Gap) -> Error:
        lane.dropped += gap.dropped
        return Error(
            stream_id=lane.name,
            kind="dropped",
            message=f"{gap.dropped} deltas were dropped here, {lane.dropped} in all: "
            f"each had waited {self._block_for} s for a busy subscriber",
            details={"dropped": gap.dropped, "total": lane.dropped},
        )

    # How it ends.

    def _end(self, lane: Lane) -> None:
        """A stream is over; what waits of it has its turn still."""
        lane.ended = True
        self._lanes.discard(lane)
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._over or self._turns or (self._lanes and self._error is None):
            return
        self._over = True
        error = self._error
        if error is None and not self._succeeded:
            error = self._last_error
        if error is not None:
            self._observer.on_error(error)
        else:
            self._observer.on_completed()

    def _fail(self, error: Exception) -> None:
        if not self._over:
            self.dispose()
            self._observer.on_error(error)

    # What is dropped.

    def _watch(self, lane: Lane, since: float) -> None:
        """Look after a lane's oldest delta when its time is up; one timer serves all lanes."""
        lane.watched = True
        heappush(self._deadlines, (since, next(self._number), lane))
        if not self._timer_is_set:
            self._set_timer()

    def _set_timer(self) -> None:
        assert self._block_for is not None
        self._timer_is_set = True
        wait = self._deadlines[0][0] + self._block_for - seconds(self._scheduler)
        self._timer.disposable = self._scheduler.schedule_relative(max(0.0, wait), self._on_timer)

    def _on_timer(self, *_: Any) -> None:
        if self._over or self._block_for is None:
            return
        now, deadlines = seconds(self._scheduler), self._deadlines
        since = now - self._block_for + _SAME_TIME
        while deadlines and deadlines[0][0] <= since:
            lane = heappop(deadlines)[2]
            lane.drop(since)
            lane.watched = False
            oldest = lane.oldest()
            if oldest is not None:
                # What is still too old may not be dropped, and is looked at again later.
                self._watch(lane, oldest if oldest > since else now)
        self._timer_is_set = bool(deadlines)
        if deadlines:
            self._set_timer()
