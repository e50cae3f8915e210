"""Iterating: `async for` in a coroutine and `for` without one, which hold a faster producer."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Coroutine, Iterator
from contextlib import suppress
from typing import Any, TypeVar

from reactivex import Observable
from reactivex.disposable import CompositeDisposable, Disposable, SerialDisposable

from gai_rx.errors import BackpressureError
from gai_rx.flow import Buffer, Gate, current
from gai_rx.portal import Portal
from gai_rx.threads import handed_over

__all__ = ["iterate", "iterate_async"]

T = TypeVar("T")

_AHEAD = 64
"""Items that are taken in before the producer is held: one loop turn for many."""


def iterate_async(source: Observable[T]) -> AsyncGenerator[T, None]:
    """Each item; to leave it ends the stream."""
    return _Iteration(source)


class _Iteration(AsyncGenerator[T, None]):
    """An async generator that lets go at once where it is left: `break` drops the last of it.

    A plain one is closed by the loop, in a later turn; whoever asks for something else right after
    the `break` would find the stream still open.
    """

    def __init__(self, source: Observable[T]) -> None:
        self._subscription = SerialDisposable()
        self._items = _items(source, self._subscription)

    def __anext__(self) -> Coroutine[Any, Any, T]:
        return self._items.__anext__()

    def asend(self, value: None) -> Coroutine[Any, Any, T]:
        return self._items.asend(value)

    def athrow(self, *error: Any) -> Coroutine[Any, Any, T]:
        return self._items.athrow(*error)

    def aclose(self) -> Coroutine[Any, Any, None]:
        return self._items.aclose()

    def __del__(self) -> None:
        self._subscription.dispose()


async def _items(source: Observable[T], subscription: SerialDisposable) -> AsyncGenerator[T, None]:
    buffer: Buffer[T] = Buffer(_AHEAD, "async for")
    wake = asyncio.Event()
    ends: list[Exception | None] = []

    def on_next(item: T) -> None:
        if ends:
            return
        try:
            buffer.push(item)
        except BackpressureError as error:
            ends.append(error)
        except RuntimeError as refused:  # of another thread, which may never come to its end now
            end(refused)
            raise
        wake.set()

    def ended(error: Exception | None = None, /) -> None:
        ends.append(error)
        wake.set()

    end = handed_over(ended)
    subscription.disposable = source.subscribe(on_next, end, end)
    try:
        while True:
            while buffer.items:
                yield buffer.pop()
            if ends:
                if ends[0] is not None:
                    raise ends[0]
                return
            wake.clear()
            await wake.wait()
    finally:
        buffer.release()
        subscription.dispose()


class _ThreadBuffer:
    """The buffer between the portal's thread and a `for` loop in another."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._items: deque[tuple[str, Any]] = deque()
        self._changed = threading.Condition()
        self.gate = Gate("for")
        self._ended = False

    def put(self, kind: str, item: Any = None) -> None:
        """On the portal's thread: add an item, and hold the producer when there are many."""
        with self._changed:
            if self._ended:
                return
            self._items.append((kind, item))
            self._ended = kind != "next"
            waiting = len(self._items)
            self._changed.notify()
        if kind == "next" and waiting >= _AHEAD:
            self.gate.close()
            pressure = current.get()
            is_last = pressure is not None and pressure.hold(self.gate)  # as in `Buffer`
            if waiting > 4 * _AHEAD + 64 and not is_last:
                overrun = BackpressureError(
                    f"for: {waiting} items wait where {_AHEAD} may; "
                    "the producer above can not be slowed down"
                )
                self.put("error", overrun)

    def get(self) -> tuple[str, Any]:
        """In the thread of the `for`: the next item; waits for it."""
        self._portal.check_fork()
        with self._changed:
            while not self._items:
                self._changed.wait()
            taken = self._items.popleft()
            low = len(self._items) == _AHEAD // 2
        if low:
            with suppress(RuntimeError):  # the portal was closed; what had come by then is left
                self._portal.loop.call_soon_threadsafe(self.gate.open)
        return taken


def iterate(source: Observable[T]) -> Iterator[T]:
    """Each item, while the portal's thread runs the stream; to leave it ends the stream."""
    portal = Portal.get()
    buffer = _ThreadBuffer(portal)

    def failed(error: BaseException) -> None:
        buffer.put("error", error)

    subscription = SerialDisposable()

    def subscribe() -> None:
        subscription.disposable = source.subscribe(
            lambda item: buffer.put("next", item), failed, lambda: buffer.put("completed")
        )

    with portal.waiting(failed):
        try:
            portal.call(subscribe)
            while True:
                kind, item = buffer.get()
                if kind == "completed":
                    return
                if kind == "error":
                    raise item
                yield item
        finally:
            portal.dispose(CompositeDisposable(Disposable(buffer.gate.open), subscription))
