"""Pacing: no more than so many items in so much time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import SerialDisposable, SingleAssignmentDisposable

from gai_rx.errors import BackpressureError
from gai_rx.flow import Buffer, TimerPressure
from gai_rx.stream import Stream, clock, lift, seconds
from gai_rx.threads import handed_over

__all__ = ["limit_rate"]

T = TypeVar("T")


def limit_rate(
    count: int, per: float = 1.0, *, queue: int = 64, scheduler: abc.SchedulerBase | None = None
) -> Callable[[Observable[T]], Stream[T]]:
    """Space items evenly, at most `count` in any `per` seconds; none is lost.

        source                 -a--------b-c-d----|
        limit_rate(1, per=3)   -a--------b--c--d--|

    Ten a second means one each 100 ms, not ten at once: an item goes on at once if the one before
    it is long enough ago, and waits for its turn otherwise. While `queue` items wait the source is
    held. What waits goes on before the end, and before an error too.

    Args:
        count: Most items in `per` seconds.
        per: Seconds.
        queue: Items that may wait before the source is held.
        scheduler: The clock; the subscriber's when None.

    Raises:
        ValueError: At once, if `count` or `queue` is below 1, or `per` is not above 0.
        BackpressureError: Through on_error, if a source that can not be held overruns the queue.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream
        >>> Stream.of(rx.of("a", "b", "c")).pipe(limit_rate(500)).to_list().run()
        ['a', 'b', 'c']
    """
    if count < 1:
        raise ValueError(f"limit_rate(count=…) is at least 1, got {count}")
    if not per > 0:
        raise ValueError(f"limit_rate(per=…) is in seconds and above 0, got {per}")
    shown = f"limit_rate({count})" if per == 1.0 else f"limit_rate({count}, per={per})"
    Buffer[Any](queue, "limit_rate")  # a bad size fails here, not at the first subscription

    def subscribe(
        source: Observable[T], observer: abc.ObserverBase[T], given: abc.SchedulerBase | None
    ) -> abc.DisposableBase:
        timekeeper = clock(scheduler, given)
        waiting: Buffer[T] = Buffer(queue, shown)
        return _Pacing(observer, waiting, per / count, timekeeper).start(source, given)

    return lift(shown, subscribe, keeps_events=True)


class _Pacing(abc.DisposableBase, Generic[T]):
    """One subscription: the items that wait, and the one timer that is set while any do."""

    def __init__(
        self,
        observer: abc.ObserverBase[T],
        waiting: Buffer[T],
        gap: float,
        scheduler: abc.SchedulerBase,
    ) -> None:
        self._observer = observer
        self._waiting = waiting
        self._gap = gap
        self._scheduler = scheduler
        self._next = float("-inf")
        self._waits = self._ended = self._over = False
        self._error: Exception | None = None
        self._pressure = waiting.reader = TimerPressure()
        self._timer = SerialDisposable()
        self._upstream = SingleAssignmentDisposable()

    def start(self, source: Observable[T], given: abc.SchedulerBase | None) -> abc.DisposableBase:
        end = handed_over(self._end)
        self._upstream.disposable = source.subscribe(self._on_next, end, end, scheduler=given)
        return self

    def dispose(self) -> None:
        self._over = True
        self._pressure.stop()
        self._timer.dispose()
        self._waiting.release()
        self._upstream.dispose()

    def _on_next(self, item: T) -> None:
        self._waiting.check_thread()
        if self._ended or self._over:
            return
        if not self._waits:
            now = seconds(self._scheduler)
            if now >= self._next:
                self._next = now + self._gap
                self._observer.on_next(item)  # in the producer's own turn: it feels the gates
                return
        try:
            self._waiting.push(item)
        except BackpressureError as error:
            self._end(error)
        self._wait()

    def _end(self, error: Exception | None = None) -> None:
        if not self._ended:
            self._ended, self._error = True, error
            self._end_if_done()

    def _end_if_done(self) -> None:
        if not self._ended or self._waiting.items or self._over:
            return
        self._over = True
        if self._error is not None:
            self._observer.on_error(self._error)
        else:
            self._observer.on_completed()

    def _wait(self, *_: Any) -> None:
        """Set the timer for the item whose turn is next, unless it is set."""
        if not self._waits and self._waiting.items:
            self._waits = True
            self._set_timer()

    def _set_timer(self) -> None:
        wait = max(0.0, self._next - seconds(self._scheduler))
        self._timer.disposable = self._scheduler.schedule_relative(wait, self._on_timer)

    def _on_timer(self, *_: Any) -> None:
        if self._over:
            return
        self._next = seconds(self._scheduler) + self._gap
        item = self._waiting.pop()
        try:
            self._pressure.emit(lambda: self._observer.on_next(item))
        except Exception as error:  # the subscriber's; a producer would hand it back too
            self.dispose()
            self._observer.on_error(error)
            return
        self._waits = False
        self._end_if_done()
        if self._waiting.items:
            self._waits = True
            self._pressure.then(self._set_timer)
