"""Batching: fewer, larger items."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable, SerialDisposable

from gai_rx.events import Finish, Start, TextDelta
from gai_rx.operators._outlet import Outlet
from gai_rx.stream import Operator, Stream, clock, lift
from gai_rx.threads import handed_over

__all__ = ["batch", "batch_text"]

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
        TypeError: At once, if a limit is no number, or no whole one where things are counted.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream
        >>> Stream.of(rx.of("a", "b", "c")).pipe(batch(2)).to_list().run()
        [['a', 'b'], ['c']]
    """
    limits = _Limits("batch", count=count, seconds=seconds, chars=chars, size_bytes=size_bytes)
    shown = f"batch({limits})"

    def subscribe(
        source: Observable[T],
        observer: abc.ObserverBase[list[T]],
        given: abc.SchedulerBase | None,
    ) -> abc.DisposableBase:
        outlet = Outlet(observer, shown)
        return _Lists(_Emitter(outlet, limits, scheduler, given, list)).subscribe(source, given)

    return lift(shown, subscribe)


def batch_text(
    chars: int | None = None,
    *,
    seconds: float | None = None,
    scheduler: abc.SchedulerBase | None = None,
) -> Operator[object, str]:
    """Join pieces of text into larger ones; the first limit that is reached sends one on.

        source               -a-b-c-d-e-|
        batch_text(2)        ---A---B---(e|)      A = ab, B = cd

    Takes events, of which it reads the first choice's text as `text_only()` does, or plain strings.
    Pieces are joined, never cut: what comes out, put together, is the text that came in. What has
    been gathered goes on at the end and before an error, and with the `Finish` of its answer.
    Streams that were joined have a text each; of one that begins anew, what is still gathered is
    dropped, from the step that was asked again on.

    Args:
        chars: Characters from which on a text goes on.
        seconds: Longest time a piece waits.
        scheduler: The clock of `seconds`; the subscriber's when None.

    Raises:
        ValueError: At once, without a limit, or with one below 1 (above 0 for `seconds`).
        TypeError: At once, if a limit is no number, or `chars` no whole one.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream
        >>> pieces = Stream.of(rx.of("Once ", "upon ", "a ", "time"))
        >>> pieces.pipe(batch_text(8)).to_list().run()
        ['Once upon ', 'a time']
    """
    limits = _Limits("batch_text", chars=chars, seconds=seconds)
    shown = f"batch_text({limits})"

    def subscribe(
        source: Observable[Any], observer: abc.ObserverBase[str], given: abc.SchedulerBase | None
    ) -> abc.DisposableBase:
        outlet = Outlet(observer, shown)
        return _Texts(_Emitter(outlet, limits, scheduler, given, _joined)).subscribe(source, given)

    return lift(shown, subscribe)


class _Limits:
    """When a list is full."""

    def __init__(
        self,
        operator: str,
        *,
        count: int | None = None,
        seconds: float | None = None,
        chars: int | None = None,
        size_bytes: int | None = None,
    ) -> None:
        self.count, self.seconds, self.chars, self.size_bytes = count, seconds, chars, size_bytes
        self.weighs = chars is not None or size_bytes is not None
        limits = {"count": count, "seconds": seconds, "chars": chars, "size_bytes": size_bytes}
        given = {name: limit for name, limit in limits.items() if limit is not None}
        if not given:
            known = (
                "count, seconds, chars or size_bytes" if operator == "batch" else "chars or seconds"
            )
            raise ValueError(f"{operator}() needs a limit: {known}")
        for name, limit in given.items():
            _check(f"{operator}({name}=…)", limit, int if name != "seconds" else int | float)
        first = "count" if operator == "batch" else "chars"
        shown = [f"{n}={v}" for n, v in given.items() if n != first]
        self._shown = ", ".join([str(given[first]), *shown] if first in given else shown)

    def __str__(self) -> str:
        return self._shown


def _check(what: str, limit: Any, number: Any) -> None:
    if not isinstance(limit, number) or isinstance(limit, bool):
        wanted = "a whole number" if number is int else "a number"
        raise TypeError(f"{what} must be {wanted}, got {limit!r}")
    if not limit > 0:
        raise ValueError(f"{what} must be above 0, got {limit}")


def _joined(pieces: list[Any]) -> str:
    return "".join(piece if isinstance(piece, str) else piece.text for piece in pieces)


class _Emitter:
    """What the lists of one subscription have in common: where they go, and by which clock."""

    def __init__(
        self,
        outlet: Outlet[Any],
        limits: _Limits,
        own: abc.SchedulerBase | None,
        given: abc.SchedulerBase | None,
        make: Callable[[list[Any]], Any],
    ) -> None:
        self.outlet = outlet
        self.limits = limits
        self.timers = CompositeDisposable()
        self.make = make
        self._own, self._given = own, given

    def emit(self, items: list[Any]) -> None:
        self.outlet.send_one(self.make(items))

    def emit_later(self, take: Callable[[], list[Any]]) -> abc.DisposableBase:
        """Emit what a list has when its time is up."""

        def on_timer(*_: Any) -> None:
            full = take()
            if full:
                self.outlet.send_due([self.make(full)], self.timers.length)

        assert self.limits.seconds is not None
        return clock(self._own, self._given).schedule_relative(self.limits.seconds, on_timer)


class _List:
    """A list that is being filled, and its timer."""

    def __init__(self, emitter: _Emitter) -> None:
        self._emitter = emitter
        self._limits = emitter.limits
        self._items: list[Any] = []
        self._chars = self._bytes = 0
        self._timer = SerialDisposable()
        emitter.timers.add(self._timer)

    def add(self, item: Any) -> None:
        """Add an item; send the list on if that fills it."""
        limits, items = self._limits, self._items
        items.append(item)
        if len(items) == limits.count or (limits.weighs and self._is_heavy(item)):
            self.flush()
        elif len(items) == 1 and limits.seconds is not None:
            self._timer.disposable = self._emitter.emit_later(self.take)

    def flush(self) -> None:
        """Send the list on, if anything is in it."""
        full = self.take()
        if full:
            self._emitter.emit(full)

    def drop(self, step: int) -> None:
        """Forget the items of this step and of those after it."""
        kept = [i for i in self._items if isinstance(i, str) or i.step < step]
        if kept:
            self._items, self._chars = kept, len(_joined(kept))
        else:
            self.take()

    def close(self) -> None:
        """Send on what there is; nothing more will come."""
        self.flush()
        self._emitter.timers.remove(self._timer)

    def take(self) -> list[Any]:
        """Take all out, and stop the time."""
        if self._items and self._limits.seconds is not None:
            self._timer.disposable = Disposable()
        full, self._items = self._items, []
        self._chars = self._bytes = 0
        return full

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


class _Batching:
    """One subscription."""

    def __init__(self, emitter: _Emitter) -> None:
        self._emitter = emitter
        self._outlet = emitter.outlet

    def subscribe(
        self, source: Observable[Any], given: abc.SchedulerBase | None
    ) -> abc.DisposableBase:
        end = handed_over(self._end)
        upstream = source.subscribe(self._on_next, end, end, scheduler=given)
        return CompositeDisposable(upstream, self._outlet, self._emitter.timers)

    def _on_next(self, item: Any) -> None:
        raise NotImplementedError

    def _lists(self) -> Iterable[_List]:
        raise NotImplementedError

    def _end(self, error: Exception | None = None) -> None:
        self._outlet.end(self._last(), error)

    def _last(self) -> Iterator[Any]:
        """The last batches: of many streams there may be as many."""
        for gathered in self._lists():
            full = gathered.take()
            if full:
                yield self._emitter.make(full)


class _Lists(_Batching):
    """Of items, whatever they are: one list."""

    def __init__(self, emitter: _Emitter) -> None:
        super().__init__(emitter)
        self._list = _List(emitter)

    def _on_next(self, item: Any) -> None:
        outlet = self._outlet
        if outlet.busy or outlet.gates:
            outlet.hold_producer()
        if isinstance(item, Start) and item.attempt > 1:
            self._list.flush()
        self._list.add(item)

    def _lists(self) -> Iterable[_List]:
        return (self._list,)


class _Texts(_Batching):
    """Of text: a list for each stream."""

    def __init__(self, emitter: _Emitter) -> None:
        super().__init__(emitter)
        self._by_stream: dict[str, _List] = {}

    def _on_next(self, item: Any) -> None:
        outlet = self._outlet
        if outlet.busy or outlet.gates:
            outlet.hold_producer()
        if isinstance(item, str):
            self._of("").add(item)
        elif isinstance(item, TextDelta):
            if not item.choice:
                self._of(item.stream_id).add(item)
        elif isinstance(item, Finish):
            self._of(item.stream_id).close()
            del self._by_stream[item.stream_id]
        elif isinstance(item, Start) and item.attempt > 1:
            self._of(item.stream_id).drop(item.step)

    def _of(self, stream_id: str) -> _List:
        found = self._by_stream.get(stream_id)
        if found is None:
            found = self._by_stream[stream_id] = _List(self._emitter)
        return found

    def _lists(self) -> Iterable[_List]:
        return self._by_stream.values()
