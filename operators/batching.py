"""Batching: fewer, larger items."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import Any, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable, SerialDisposable

from gai_rx.events import Start
from gai_rx.flow import Pressure, current
from gai_rx.stream import Stream, clock, lift

__all__ = ["batch"]

T = TypeVar("T")


def batch(
    count: int | None = None,
    *,
    seconds: float | None = None,
    chars: int | None = None,
    size_bytes: int | None = None,
    scheduler: abc.SchedulerBase | None = None,
) -> Callable[[Observable[T]], Stream[list[T]]]:
    """Gather items into lists; the first limit that is reached sends the list on.

        source            -a-b-c-d-e-|
        batch(2)          ---ab--cd--(e|)

    What has been gathered goes on at the end, and before an error too. A `Start` with
    `attempt > 1` begins a new list, so that no list mixes an answer with the one it replaces.

    Args:
        count: Most items of a list.
        seconds: Longest time an item waits.
        chars: Characters of text (of strings, and of events that have a text) that fill a list.
        size_bytes: The same in bytes of UTF-8.
        scheduler: The clock of `seconds`; the subscriber's when None.

    Raises:
        ValueError: At once, without a limit, or with one below 1 (above 0 for `seconds`).

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream
        >>> Stream.of(rx.of("a", "b", "c")).pipe(batch(2)).to_list().run()
        [['a', 'b'], ['c']]
    """
    limits = _Limits(count, seconds, chars, size_bytes)

    def subscribe(
        source: Observable[T],
        observer: abc.ObserverBase[list[T]],
        given: abc.SchedulerBase | None,
    ) -> abc.DisposableBase:
        return _Batching(observer, limits, scheduler, given).subscribe(source)

    return lift(f"batch({limits})", subscribe)


class _Limits:
    """When a list is full."""

    def __init__(
        self, count: int | None, seconds: float | None, chars: int | None, size_bytes: int | None
    ) -> None:
        self.count, self.seconds, self.chars, self.size_bytes = count, seconds, chars, size_bytes
        given = {name: limit for name, limit in vars(self).items() if limit is not None}
        if not given:
            raise ValueError("batch() needs a limit: count, seconds, chars or size_bytes")
        for name, limit in given.items():
            if limit <= 0:
                raise ValueError(f"batch({name}=…) must be above 0, got {limit}")
        self._shown = ", ".join(str(v) if n == "count" else f"{n}={v}" for n, v in given.items())

    def __str__(self) -> str:
        return self._shown


class _Batching:
    """One subscription: the list being filled and its timer."""

    def __init__(
        self,
        observer: abc.ObserverBase[list[Any]],
        limits: _Limits,
        own: abc.SchedulerBase | None,
        given: abc.SchedulerBase | None,
    ) -> None:
        self._observer = observer
        self._limits = limits
        self._own, self._given = own, given
        self._items: list[Any] = []
        self._weighs = limits.chars is not None or limits.size_bytes is not None
        self._chars = self._bytes = 0
        self._timer = SerialDisposable()
        self._pressure = Pressure()

    def subscribe(self, source: Observable[Any]) -> abc.DisposableBase:
        upstream = source.subscribe(
            self._on_next, self._on_error, self._on_completed, scheduler=self._given
        )
        return CompositeDisposable(upstream, self._timer)

    def _on_next(self, item: Any) -> None:
        if self._pressure.gates:
            self._hand_over()
        if isinstance(item, Start) and item.attempt > 1:
            self._flush()
        self._items.append(item)
        if len(self._items) == self._limits.count or (self._weighs and self._is_heavy(item)):
            self._flush()
        elif len(self._items) == 1 and self._limits.seconds is not None:
            self._timer.disposable = clock(self._own, self._given).schedule_relative(
                self._limits.seconds, self._on_timer
            )

    def _on_error(self, error: Exception) -> None:
        self._flush()
        self._observer.on_error(error)

    def _on_completed(self) -> None:
        self._flush()
        self._observer.on_completed()

    def _is_heavy(self, item: Any) -> bool:
        """Weigh an item's text; whether the list is full by it."""
        text = item if isinstance(item, str) else getattr(item, "text", None)
        if not isinstance(text, str):
            return False
        chars, size_bytes = self._limits.chars, self._limits.size_bytes
        self._chars += len(text)
        if size_bytes is not None:
            self._bytes += len(text.encode("utf-8", "surrogatepass"))
            if self._bytes >= size_bytes:
                return True
        return chars is not None and self._chars >= chars

    def _flush(self) -> None:
        """Send the list on, if anything is in it."""
        if self._items:
            if self._limits.seconds is not None:
                self._timer.disposable = Disposable()
            full, self._items = self._items, []
            self._chars = self._bytes = 0
            self._observer.on_next(full)

    def _on_timer(self, *_: Any) -> None:
        """A timer is no producer: the gates it meets are kept for the next one that comes by."""

        def go() -> None:
            current.set(self._pressure)
            try:
                self._flush()
            except Exception as error:  # the subscriber's; a producer would hand it back too
                self._observer.on_error(error)

        contextvars.copy_context().run(go)

    def _hand_over(self) -> None:
        pressure = current.get()
        if pressure is not None:
            for gate in self._pressure.gates:
                pressure.hold(gate)
            self._pressure.gates.clear()
