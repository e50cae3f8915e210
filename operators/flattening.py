"""Flattening: a stream for each item, and all of their items in one stream."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import SingleAssignmentDisposable

from gai_rx.errors import BackpressureError
from gai_rx.flow import Buffer, TimerPressure, current
from gai_rx.stream import Operator, clock, lift
from gai_rx.threads import handed_over

__all__ = ["flat_map"]

B = TypeVar("B")


# Any: in a pipe no type checker tells a lambda what it is given.
def flat_map(
    function: Callable[[Any], Observable[B]], concurrency: int = 8, *, queue: int | None = None
) -> Operator[object, B]:
    """Subscribe to a stream for each item, some at a time; pass on what they emit as it comes.

        source            -a-----b-----|
        flat_map(twice)   -A-A---B-B---|

    While `concurrency` streams run and `queue` items wait, the source is held; a slow subscriber
    holds each of the inner streams. The first error, of the source, of an inner stream or of the
    function, ends everything; give an inner stream `retry_on` or `recover` to keep the others.

    What the streams emit is mixed as it comes. Of answers make one item each,
    `flat_map(lambda question: model.stream_text(question).pipe(collect()))`, or read their events
    with `multiplex`, which says whose each one is.

    Args:
        function: Makes the stream for an item, for instance the answer to a prompt.
        concurrency: Most inner streams at once.
        queue: Items that may wait for one of them to end; `concurrency` when None.

    Raises:
        ValueError: At once, if `concurrency` or `queue` is below 1.
        TypeError: Through on_error, if the function returns no Observable.
        BackpressureError: Through on_error, if a source that can not be held overruns the queue.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream
        >>> answers = Stream.of(rx.of("a", "b")).pipe(flat_map(lambda q: rx.of(q, q.upper())))
        >>> sorted(answers.to_list().run())
        ['A', 'B', 'a', 'b']
    """
    if concurrency < 1:
        raise ValueError(f"flat_map(concurrency=…) is at least 1, got {concurrency}")
    room = concurrency if queue is None else queue
    name = getattr(function, "__name__", type(function).__name__)
    Buffer[Any](room, "flat_map")  # a bad size fails here, not at the first subscription

    def subscribe(
        source: Observable[object],
        observer: abc.ObserverBase[B],
        scheduler: abc.SchedulerBase | None,
    ) -> abc.DisposableBase:
        waiting: Buffer[Any] = Buffer(room, f"flat_map({name})")
        return _Flattening(observer, function, concurrency, waiting, scheduler).start(source)

    return lift(f"flat_map({name})", subscribe)


class _Flattening(abc.DisposableBase, Generic[B]):
    """One subscription: its inner streams, and the items that wait for one to end."""

    def __init__(
        self,
        observer: abc.ObserverBase[B],
        function: Callable[[Any], Observable[B]],
        concurrency: int,
        waiting: Buffer[Any],
        scheduler: abc.SchedulerBase | None,
    ) -> None:
        self._observer = observer
        self._function = function
        self._concurrency = concurrency
        self._waiting = waiting
        self._scheduler = scheduler
        self._context = contextvars.copy_context()
        self._pressure = TimerPressure()
        self._held = self._beginning = self._ended = self._over = False
        self._upstream = SingleAssignmentDisposable()
        self._inner: dict[SingleAssignmentDisposable, None] = {}  # a set, in order

    def start(self, source: Observable[object]) -> abc.DisposableBase:
        self._upstream.disposable = source.subscribe(
            self._on_next, self._fail, self._on_completed, scheduler=self._scheduler
        )
        return self

    def dispose(self) -> None:
        self._over = True
        self._pressure.stop()
        self._waiting.release()
        self._upstream.dispose()
        inner, self._inner = self._inner, {}
        for subscription in inner:
            subscription.dispose()

    def _on_next(self, item: Any) -> None:
        self._waiting.check_thread()
        if self._over:
            return
        if not self._waiting.items and self._is_free():
            self._begin(item)
            self._begin_waiting()  # what came in while it began
            return
        try:
            self._waiting.push(item)
        except BackpressureError as error:
            self._fail(error)
        if self._waiting.gate in self._pressure.gates:
            self._pressure.gates.remove(self._waiting.gate)  # it came from below, by way of us

    def _emit(self, item: B) -> None:
        """Pass on an inner stream's item; what that brings about above can not wait for it."""
        waiting = self._waiting
        before, waiting.reader = waiting.reader, current.get()
        try:
            self._observer.on_next(item)
        finally:
            waiting.reader = before

    def _on_completed(self) -> None:
        self._ended = True
        self._complete_if_done()

    def _fail(self, error: Exception) -> None:
        if not self._over:
            self.dispose()
            self._observer.on_error(error)

    def _complete_if_done(self) -> None:
        if self._ended and not (self._over or self._inner or self._waiting.items):
            self._over = True
            self._observer.on_completed()

    def _is_free(self) -> bool:
        """Whether one more inner stream may begin now."""
        if self._pressure.gates and not self._held:
            # An inner stream that emits while it is subscribed has no task of its own to hold.
            self._held = True
            self._pressure.then(self._go_on)
        return not self._held and not self._beginning and len(self._inner) < self._concurrency

    def _go_on(self) -> None:
        """Begin again, in a turn of its own: this is called from within the subscriber's."""

        def go(*_: Any) -> None:
            self._held = False
            self._begin_waiting()

        clock(None, self._scheduler).schedule(go)

    def _begin_waiting(self) -> None:
        while self._waiting.items and not self._over and self._is_free():
            self._begin(self._waiting.pop())
        self._complete_if_done()

    def _begin(self, item: Any) -> None:
        """Subscribe to the item's stream in the context of our own subscriber.

        Not in that of whoever ended just now: its context variables are its own.
        """
        subscription = SingleAssignmentDisposable()
        self._inner[subscription] = None

        def ended(error: Exception | None = None, /) -> None:
            if error is not None:
                self._fail(error)
                return
            self._inner.pop(subscription, None)
            self._begin_waiting()

        def subscribe() -> None:
            made = self._function(item)
            if not isinstance(made, Observable):
                raise TypeError(
                    f"{self._waiting.gate.name}: the function must return a Stream or another "
                    f"Observable, got {type(made).__name__}; an async function goes into map_async"
                )
            end = handed_over(ended)
            subscription.disposable = made.subscribe(
                self._emit, end, end, scheduler=self._scheduler
            )

        self._beginning = True
        try:
            self._context.copy().run(self._pressure.emit, subscribe)
        except Exception as error:
            self._fail(error)
        finally:
            self._beginning = False
