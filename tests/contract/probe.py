"""What watches a stream under test from both sides: a `Feed` above it, a `Probe` below it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from itertools import cycle, islice
from threading import get_ident
from typing import Any

from reactivex import Observable, abc
from reactivex.disposable import Disposable, SerialDisposable

from gai_rx import (
    Finish,
    ReasoningDelta,
    Start,
    Stream,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from gai_rx.flow import produce

__all__ = ["EVENTS", "Feed", "Probe", "Timetable", "differ", "numbered", "numbers", "text"]

EVENTS: tuple[Any, ...] = (
    Start(provider="p", model="m"),
    TextDelta(text="Hello "),
    ReasoningDelta(text="hm"),
    TextDelta(text="there. "),
    TextDelta(text="All\nis "),
    TextDelta(text="well. "),
    ToolCallDelta(id="1", name="f", arguments='{"a"'),
    ToolCallDelta(id="1", arguments=": 1}"),
    ToolCall(id="1", name="f", arguments={"a": 1}, arguments_text='{"a": 1}'),
    Usage(input_tokens=3, output_tokens=4),
    Finish(reason="tool_calls"),
)
"""A short answer with an event of every kind that operators treat in their own way."""


class Feed:
    """A cold source that emits `items`, then fails with `error`, goes on for ever, or completes.

    Args:
        items: What it emits.
        error: How it ends; completes when None.
        endless: Begin again after the last item.
        pause: Seconds between two items; at 0 one turn of the loop, None for nothing at all.
        of_events: Whether the items are events.

    Attributes:
        asked: Subscriptions that began to produce.
        pulled: Items that were handed out, over all subscriptions.
        closed: Subscriptions that have ended, however.
    """

    def __init__(
        self,
        items: Sequence[Any] = EVENTS,
        *,
        error: BaseException | None = None,
        endless: bool = False,
        pause: float | None = 0,
        of_events: bool = True,
    ) -> None:
        self.asked = self.pulled = self.closed = 0
        self._items, self._error, self._endless, self._pause = items, error, endless, pause
        self.stream: Stream[Any] = Stream(
            produce(self._make, "feed"), stages=("feed",), of_events=of_events
        )

    @property
    def open(self) -> int:
        """Subscriptions that are not released."""
        return self.asked - self.closed

    async def _make(self) -> AsyncGenerator[Sequence[Any], None]:
        self.asked += 1
        try:
            for item in cycle(self._items) if self._endless else self._items:
                if self._pause is not None:
                    await asyncio.sleep(self._pause)
                self.pulled += 1
                yield (item,)
            if self._error is not None:
                raise self._error
        finally:
            self.closed += 1


class Timetable:
    """A cold source without a task: each of its signals at its second, by the loop's own timers.

    Args:
        signals: Seconds after the subscription, and what is done then with the observer; those of
            one instant in the order in which they are given.
        late: Set a timer only when the one before it has fired, so that its signals come after the
            timers which the operator has set for the same instant.
    """

    def __init__(
        self,
        *signals: tuple[float, Callable[[abc.ObserverBase[Any]], None]],
        late: bool = False,
    ) -> None:
        self.asked = self.closed = 0
        self._late = late
        self._instants: dict[float, list[Callable[[abc.ObserverBase[Any]], None]]] = {}
        for second, signal in signals:
            self._instants.setdefault(second, []).append(signal)
        self.stream: Stream[Any] = Stream(self._subscribe, of_events=True)

    def _subscribe(
        self, observer: abc.ObserverBase[Any], _: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        self.asked += 1
        loop = asyncio.get_running_loop()
        begun, timers, left = loop.time(), list[asyncio.TimerHandle](), list(self._instants.items())

        def set_timer() -> None:
            if left:
                second, signals = left.pop(0)
                timers.append(loop.call_at(begun + second, send, signals))

        def send(signals: list[Callable[[abc.ObserverBase[Any]], None]]) -> None:
            for signal in signals:
                signal(observer)
            if self._late:
                set_timer()

        for _once in range(1 if self._late else len(left)):
            set_timer()

        def dispose() -> None:
            self.closed += 1
            for timer in timers:
                timer.cancel()

        return Disposable(dispose)


class Probe:
    """Watches one subscription; asserts its grammar, and that signals come one at a time.

    It looks above RxPY's own guard, which every `subscribe` puts below an operator and which would
    hide what comes too much: `raw` has every signal the operator gave, as letters `n`, `E` and `C`.
    What a subscriber gets is in `items`, `error` and `completed`.

    Args:
        stream: What is watched.
        on_next: Called with each item, after it has been recorded.
        on_end: Called at the end, after it has been recorded.
        scheduler: Given at subscribe.
        nests: Whether the test itself emits from within `on_next`.
    """

    def __init__(
        self,
        stream: Observable[Any],
        on_next: Callable[[Any], object] = id,
        on_end: Callable[[], object] = lambda: None,
        *,
        scheduler: abc.SchedulerBase | None = None,
        nests: bool = False,
    ) -> None:
        self.items: list[Any] = []
        self.error: BaseException | None = None
        self.completed = False
        self.times: list[float] = []
        self.inside = False
        self._raw: list[str] = []
        self.late = ""
        """What the operator gave after `dispose`."""
        self.problems: list[str] = []
        self.subscription = SerialDisposable()
        self._then, self._at_end, self._nests = on_next, on_end, nests
        self._disposed = False
        self._thread = get_ident()
        self._clock: Callable[[], float] = _clock(scheduler)
        self.subscription.disposable = self._tapped(stream).subscribe(
            self._on_next, self._on_error, self._on_completed, scheduler=scheduler
        )

    @property
    def raw(self) -> str:
        return "".join(self._raw)

    @property
    def ended(self) -> bool:
        return self.completed or self.error is not None

    def dispose(self) -> None:
        self.subscription.dispose()
        self._disposed = True

    def check(self) -> None:
        """Assert R1 and R2, and what else was seen on the way."""
        assert not self.problems, self.problems
        assert re.fullmatch("n*[EC]?", self.raw), self.raw

    async def end(self) -> Probe:
        """Wait for the end, in virtual time."""
        waiter = asyncio.get_running_loop().create_future()
        at_end = self._at_end

        def ended() -> None:
            if not waiter.done():
                waiter.set_result(None)
            at_end()

        self._at_end = ended
        if not self.ended:
            await waiter
        self.check()
        return self

    def _tapped(self, stream: Observable[Any]) -> Stream[Any]:
        def subscribe(
            observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            return stream._subscribe_core(_Tap(self, observer), scheduler)

        return Stream(subscribe)

    def begin(self, letter: str) -> bool:
        """A signal of the operator, on its way to RxPY's guard; whether one is on its way."""
        if self._disposed:
            self.late += letter
        else:
            self._raw.append(letter)
        if get_ident() != self._thread:
            self.problems.append(f"{letter} from another thread")
        inside, self.inside = self.inside, True
        if inside and not self._nests:
            self.problems.append(f"{letter} within a signal, after {self.raw!r}")
        return inside

    def _on_next(self, item: Any) -> None:
        if self._disposed:
            self.problems.append(f"{item!r} came after dispose")
        self.items.append(item)
        self.times.append(self._clock())
        self._then(item)

    def _on_error(self, error: BaseException) -> None:
        if self._disposed:
            self.problems.append(f"{error!r} came after dispose")
        self.error = error
        self.times.append(self._clock())
        self._at_end()

    def _on_completed(self) -> None:
        if self._disposed:
            self.problems.append("the end came after dispose")
        self.completed = True
        self.times.append(self._clock())
        self._at_end()


class _Tap(abc.ObserverBase[Any]):
    """Stands between an operator and RxPY's guard."""

    def __init__(self, probe: Probe, observer: abc.ObserverBase[Any]) -> None:
        self._probe, self._observer = probe, observer

    def on_next(self, value: Any) -> None:
        inside = self._probe.begin("n")
        try:
            self._observer.on_next(value)
        finally:
            self._probe.inside = inside

    def on_error(self, error: Exception) -> None:
        inside = self._probe.begin("E")
        try:
            self._observer.on_error(error)
        finally:
            self._probe.inside = inside

    def on_completed(self) -> None:
        inside = self._probe.begin("C")
        try:
            self._observer.on_completed()
        finally:
            self._probe.inside = inside


def _clock(scheduler: abc.SchedulerBase | None) -> Callable[[], float]:
    if scheduler is not None:
        return lambda: scheduler.to_seconds(scheduler.now)
    return asyncio.get_running_loop().time


def text(items: Iterable[Any]) -> str:
    """All text among items of any kind, in order."""
    flat = (part for item in items for part in (item if isinstance(item, list) else [item]))
    return "".join(part if isinstance(part, str) else getattr(part, "text", "") for part in flat)


def numbered(count: int) -> Iterator[TextDelta]:
    """Text deltas that say their number; `numbers` reads them again."""
    return (TextDelta(text=f"{n} ") for n in range(count))


def numbers(items: Iterable[Any]) -> list[int]:
    """The numbers of all pieces of text, in order."""
    return [int(word) for word in text(items).split()]


def differ(seen: Sequence[Any], wanted: Sequence[Any]) -> str:
    """Where two long sequences differ first; empty when they do not."""
    for place, (one, other) in enumerate(zip(seen, wanted, strict=False)):
        if one != other:
            near = [*islice(seen, max(0, place - 2), place + 3)]
            return f"at {place}: {one!r} instead of {other!r}, near {near!r}"
    return "" if len(seen) == len(wanted) else f"{len(seen)} instead of {len(wanted)} items"
