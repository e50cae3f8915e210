"""Several items for one: made and sent on as far as there is room for them below."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Generic, TypeVar

from reactivex import abc

from gai_rx.errors import BackpressureError, StalledError
from gai_rx.flow import Buffer, TimerPressure

__all__ = ["Outlet", "finish"]

T = TypeVar("T")

_NONE: Any = object()


class Outlet(abc.DisposableBase, Generic[T]):
    """Sends on what one item came to; the producer waits while a buffer below has no room for it.

    A producer waits between its items, so many items for one would overrun every buffer below. A
    producer that can not be held gets the room of 68 items, then `BackpressureError`.

    Items are taken out of their iterable one by one, each when there is room for the one before it.
    What taking one out raises ends the stream with it. Who raises on taking one in gets nothing
    more but an error: his own, as the producer hands it back.

    Args:
        observer: Where everything goes.
        name: The operator, for messages.

    Attributes:
        busy: Something waits; what is sent now waits behind it.
        gates: What the last items met that no producer waits for: `hold_producer` when there are.
    """

    def __init__(self, observer: abc.ObserverBase[T], name: str) -> None:
        self._observer = observer
        self._rest: Buffer[Iterator[T]] = Buffer(1, name)
        self._pressure = self._rest.reader = TimerPressure()
        self._ahead: Any = _NONE  # taken out, and found no room
        self.gates = self._pressure.gates
        self.busy = False
        self._closed = self._over = self._ends = False
        self._error: Exception | None = None
        self._raised: BaseException | None = None  # by the subscriber
        self._wrong: Exception | None = None  # by what makes the items

    def hold_producer(self) -> None:
        """Let whoever emits right now wait for what waits here, and for what a timer filled."""
        if self.busy:
            self._rest.hold_producer()
        else:
            self._pressure.hand_over()

    def send_one(self, item: T) -> None:
        """Send one item on, after those that wait; in the producer's turn.

        Raises:
            Exception: What the subscriber raised.
        """
        if (self.busy or self.gates or self._closed) and self._is_taken((item,)):
            return
        try:
            self._observer.on_next(item)
        except BaseException as error:
            self._break(error)
            raise

    def send(self, items: Iterable[T]) -> None:
        """Send items on, after those that wait; in the producer's turn.

        Raises:
            Exception: What the subscriber raised.
        """
        if (self.busy or self.gates or self._closed) and self._is_taken(items):
            return
        made = iter(items)
        first = self._next(made)
        second = _NONE if first is _NONE else self._next(made)
        if second is not _NONE:
            self._rest.items.append(chain((first, second), made))
            self._drain()
            self.hold_producer()
        elif first is not _NONE:
            self.send_one(first)
        if self._wrong is not None or self._ends:
            self._end_if_done()

    def send_due(self, items: Iterable[T], room: int = 1) -> None:
        """Send items on in a timer's turn, after those that wait: nobody can be held for it.

        Args:
            items: What is due.
            room: How many timers there are: that often this may be called while others wait.
        """
        if self._closed:
            return
        if len(self._rest.items) > 4 * room + 64:
            self._fail(
                BackpressureError(
                    f"{self._rest.gate.name}: {len(self._rest.items)} items wait; the producer "
                    "above can not be slowed down"
                )
            )
            return
        self._rest.items.append(iter(items))
        if not self.busy:
            self._go_on()

    def end(self, last: Iterable[T] = (), error: Exception | None = None) -> None:
        """Send the last items on, then end, with the error if there is one.

        Who raises on taking in one of them gets that error: above, all have said their last.
        """
        if self._over or self._ends:
            return
        self._ends, self._error = True, error
        if self._raised is not None:
            self._fail(error or self._raised)
        elif self.busy and isinstance(error, StalledError):
            self._fail(error)  # behind what waits nobody would hear that it is what holds all
        else:
            self._rest.items.append(iter(last))
            if not self.busy:
                self._go_on()

    def dispose(self) -> None:
        """Forget what waits."""
        self._closed = self._over = True
        self._pressure.stop()
        self._forget()

    def _is_taken(self, items: Iterable[T]) -> bool:
        """Whether items need not be sent now: they wait, or nobody would get them."""
        if self._closed:
            return True
        if not self.busy:
            self._pressure.hand_over()
            return False
        try:
            self._rest.push(iter(items))
        except BackpressureError as error:
            self._fail(error)
        return True

    def _forget(self) -> None:
        self._ahead = _NONE
        self._rest.release()

    def _break(self, error: BaseException) -> None:
        """Remember what the subscriber raised: the producer has it, and will hand it back."""
        self._closed, self._raised = True, error
        self._forget()

    def _fail(self, error: BaseException) -> None:
        if self._over:
            return
        self._closed = self._over = True
        self._forget()
        self._observer.on_error(error)  # type: ignore[arg-type]  # what a producer hands back

    def _drain(self) -> None:
        self.busy = True
        try:
            self._pressure.emit(self._send_what_fits)
        except BaseException as error:
            self.busy = False
            self._break(error)
            raise
        if self._ahead is not _NONE:
            self._pressure.then(self._go_on)
            return
        self.busy = False

    def _send_what_fits(self) -> None:
        gates, on_next = self.gates, self._observer.on_next
        while (item := self._take()) is not _NONE:
            if gates:
                gates[:] = [gate for gate in gates if gate.closed]
                if gates:
                    self._ahead = item
                    return
            on_next(item)

    def _take(self) -> Any:
        """Take the next item out; `_NONE` if there is none, or none any more."""
        if self._ahead is not _NONE:
            item, self._ahead = self._ahead, _NONE
            return item
        waiting = self._rest.items
        while waiting:
            item = self._next(waiting[0])
            if item is not _NONE or self._wrong is not None or not waiting:
                return item
            self._rest.pop()
        return _NONE

    def _next(self, made: Iterator[T]) -> Any:
        """The next item of those of one; `_NONE` if there is none, or what makes it has raised."""
        try:
            return next(made, _NONE)
        except Exception as error:  # of a document, or of a function of the user
            self._wrong = error
            return _NONE

    def _go_on(self) -> None:
        """There is room again: called by the consumer below, who has no part in our errors.

        Nor must it wait for the gates that are met now, which are its own: the producer gets them.
        """
        try:
            self._drain()
        except Exception as error:  # the subscriber's; a producer would hand it back too
            self._fail(error)
            return
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._wrong is not None:
            self._fail(self._wrong)
        if not self._ends or self.busy or self._over:
            return
        self._over = True
        if self._error is not None:
            self._observer.on_error(self._error)
        else:
            self._observer.on_completed()


def finish(
    observer: abc.ObserverBase[T], last: Iterable[T], error: Exception | None = None
) -> None:
    """Emit what comes with the end, then end; as `Outlet.end`."""
    Outlet(observer, "finish").end(last, error)
