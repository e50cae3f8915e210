"""Several items for one: sent on as far as there is room for them below."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from reactivex import abc

from gai_rx.errors import BackpressureError
from gai_rx.flow import Buffer, TimerPressure

__all__ = ["Outlet"]

T = TypeVar("T")


class Outlet(abc.DisposableBase, Generic[T]):
    """Sends on what one item came to; the producer waits while a buffer below has no room for it.

    A producer waits between its items, so many items for one would overrun every buffer below. A
    producer that can not be held gets the room of 68 items, then `BackpressureError`.

    Args:
        observer: Where everything goes.
        name: The operator, for messages.
    """

    def __init__(self, observer: abc.ObserverBase[T], name: str) -> None:
        self._observer = observer
        self._rest: Buffer[deque[T]] = Buffer(1, name)
        self._pressure = TimerPressure()
        self._busy = self._broken = False
        self._finish: Callable[[], None] | None = None

    def send(self, items: Sequence[T]) -> None:
        """Send items on, after those that wait; in the producer's turn.

        Raises:
            Exception: What the subscriber raised; it gets nothing more but its own error.
        """
        if not items or self._broken:
            return
        if self._busy:
            self._keep(items)
            return
        if self._pressure.gates:
            self._pressure.hand_over()
        if len(items) == 1:
            try:
                self._observer.on_next(items[0])
            except BaseException:
                self._broken = True
                raise
            return
        self._keep(items)
        self._drain()
        if not self._busy:
            self._pressure.hand_over()
            self._finish_if_done()

    def end(self, finish: Callable[[], None]) -> None:
        """Call `finish` once everything is sent on."""
        if self._busy:
            self._finish = finish
        else:
            finish()

    def dispose(self) -> None:
        """Forget what waits."""
        self._pressure.stop()
        self._rest.release()

    def _keep(self, items: Sequence[T]) -> None:
        try:
            self._rest.push(deque(items))
        except BackpressureError as error:
            self._observer.on_error(error)

    def _drain(self) -> None:
        self._busy = True
        try:
            self._pressure.emit(self._send_what_fits)
        except BaseException:
            self._broken = True
            self._busy = False
            self._rest.release()
            raise
        if self._rest.items:
            self._pressure.then(self._go_on)
            return
        self._busy = False

    def _finish_if_done(self) -> None:
        if self._finish is not None and not self._busy:
            self._finish()

    def _send_what_fits(self) -> None:
        waiting, gates, on_next = self._rest.items, self._pressure.gates, self._observer.on_next
        while waiting:
            if gates:
                gates[:] = [gate for gate in gates if gate.closed]
                if gates:
                    return
            front = waiting[0]
            item = front.popleft()
            if not front:
                self._rest.pop()
            on_next(item)

    def _go_on(self) -> None:
        """There is room again: called by the consumer below, who has no part in our errors.

        Nor must it wait for the gates that are met now, which are its own: the producer gets them.
        """
        try:
            self._drain()
        except Exception as error:  # the subscriber's; a producer would hand it back too
            self._observer.on_error(error)
            return
        self._finish_if_done()
