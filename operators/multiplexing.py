"""Multiplexing: several streams in one, side by side."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import SingleAssignmentDisposable

from gai_rx.errors import GaiError
from gai_rx.events import Event, Raw, Retry, Start, Usage
from gai_rx.flow import Buffer
from gai_rx.operators._multiplex import Multiplexing
from gai_rx.stream import Stream, clock

__all__ = ["OnError", "multiplex", "race"]

T = TypeVar("T")

OnError: TypeAlias = Literal["isolate", "fail_fast"]
"""What the failure of one stream means to the others."""


def multiplex(
    *streams: Observable[Any] | Mapping[str, Observable[Any]],
    on_error: OnError = "isolate",
    block_for: float | None = None,
    queue: int = 16,
    scheduler: abc.SchedulerBase | None = None,
) -> Stream[Event]:
    """Read several streams at once; each event's `stream_id` says which one it came from.

        one                   -a---b---|
        two                   ---c---d---|
        multiplex(one, two)   -a-c-b-d---|

    The order within each stream is kept. A slow subscriber holds them all, and then each has its
    turn: a stream that talks much does not keep the others waiting. An event that has a `stream_id`
    already, of a multiplex above, keeps it behind the new one: `outer/inner`.

    Args:
        streams: Streams of events, known by their position ("0", "1", …); or one mapping of names
            to streams.
        on_error: With `isolate` the failure of a stream becomes an `Error` event and the others go
            on; if all of them fail the last error ends the whole. With `fail_fast` the first error
            ends it: the other requests close at once, and what had been received is delivered.
        block_for: Seconds after which a delta that a slow subscriber holds up is dropped; an
            `Error` event of kind `dropped` tells how many, before what follows of that stream. Only
            deltas without a signature, `ToolProgress` and `Raw` are ever dropped. None: all wait as
            long as it takes.
        queue: Events of one stream that may wait before it is held.
        scheduler: The clock of `block_for`; the subscriber's when None.

    Raises:
        TypeError: At once, if something else than streams is given; through on_error, if a stream
            has an item that is no event.
        ValueError: At once, for an empty name, for two of which one begins the other at a `/`
            ("a" and "a/b"), an unknown `on_error`, a `queue` below 1, or a `block_for` that is
            not above 0.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream, TextDelta
        >>> hello, salut = (Stream.of(rx.of(TextDelta(text=t))) for t in ("hello", "salut"))
        >>> for event in multiplex({"english": hello, "french": salut}):
        ...     print(event.stream_id, event.text)
        english hello
        french salut
    """
    named = _named(streams)
    if on_error not in ("isolate", "fail_fast"):
        raise ValueError(f"on_error is 'isolate' or 'fail_fast', got {on_error!r}")
    if block_for is not None and not block_for > 0:
        raise ValueError(f"multiplex(block_for=…) is in seconds and above 0, got {block_for}")
    Buffer[Any](queue, "multiplex")  # a bad size fails here, not at the first subscription

    def subscribe(
        observer: abc.ObserverBase[Event], given: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        one = Multiplexing(
            observer,
            clock(scheduler, given),
            isolate=on_error == "isolate",
            block_for=block_for,
            queue=queue,
        )
        return one.start(named, given)

    shown = ", ".join(named) if len(named) <= 4 else f"{len(named)} streams"
    return Stream(subscribe, stages=(f"multiplex({shown})",), of_events=True)


def _named(streams: tuple[Any, ...]) -> dict[str, Observable[Any]]:
    """The streams by their ids."""
    if len(streams) == 1 and isinstance(streams[0], Mapping):
        named = dict(streams[0])
    else:
        named = {str(position): stream for position, stream in enumerate(streams)}
    for name, stream in named.items():
        if not isinstance(name, str):
            raise TypeError(f"multiplex() takes names that are strings, got {name!r}")
        if not name:
            raise ValueError("multiplex() takes names that are not empty")
        if not isinstance(stream, Observable):
            raise TypeError(
                "multiplex() takes streams, or one mapping of names to streams; "
                f"{name!r} is of type {type(stream).__name__}"
            )
    _check_apart(named)
    return named


def _check_apart(names: Collection[str]) -> None:
    """Refuse names of which one begins another at a `/`, as the ids of a multiplex above do."""
    for name in names:
        for end, sign in enumerate(name):
            if sign == "/" and name[:end] in names:
                raise ValueError(
                    f"multiplex() can not take both {name[:end]!r} and {name!r} as names: `/` "
                    "joins the name of a stream to that of one within it: they could be mixed up"
                )


_HELD_BACK = 64
"""Items without content that a racer may have before its first content."""


def race(*streams: Observable[T]) -> Stream[T]:
    """Ask several streams the same; the first with content wins, the others' requests close.

        slow                -S--------c-|
        quick               --T--a------b|
        race(slow, quick)   -----(T,a)--b|

    Content is every item except `Start`, `Usage`, `Raw` and `Retry`; the winner's own of these come
    right before its first content. A stream that fails, or completes, without content is out. If
    all fail the last error ends the race, with the others in its `attempts`; if none has content
    but some complete, the first of them is what the race amounts to.

    Args:
        streams: At least one; each costs a request, and what the losers' had begun is paid for.

    Raises:
        TypeError: At once, if something else than a stream is given.
        ValueError: At once, without a stream.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream
        >>> race(Stream.of(rx.never()), Stream.of(rx.of("a", "b"))).to_list().run()
        ['a', 'b']
    """
    if not streams:
        raise ValueError("race() takes at least one stream")
    for stream in streams:
        if not isinstance(stream, Observable):
            raise TypeError(f"race() takes streams, got one of type {type(stream).__name__}")

    def subscribe(
        observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        return _Race(observer).start(streams, scheduler)

    events = all(isinstance(stream, Stream) and stream.of_events for stream in streams)
    return Stream(subscribe, stages=(f"race({len(streams)} streams)",), of_events=events)


class _Racer(Generic[T]):
    """One stream of a race."""

    def __init__(self, race: _Race[T]) -> None:
        self.race = race
        self.subscription = SingleAssignmentDisposable()
        self.held_back: deque[T] = deque()

    def on_next(self, item: T) -> None:
        race = self.race
        if race.winner is self:
            race.observer.on_next(item)
        elif not isinstance(item, Start | Usage | Raw | Retry):
            race.won(self, item)
        else:
            self._hold_back(item)

    def on_error(self, error: Exception) -> None:
        self.race.out(self, error)

    def on_completed(self) -> None:
        self.race.out(self, None)

    def _hold_back(self, item: T) -> None:
        """Keep an item for the case that this one wins; of too many the oldest but `Start` goes."""
        held_back = self.held_back
        held_back.append(item)
        if len(held_back) > _HELD_BACK:
            del held_back[1 if isinstance(held_back[0], Start) else 0]


class _Race(abc.DisposableBase, Generic[T]):
    """One subscription: the streams that may still win."""

    def __init__(self, observer: abc.ObserverBase[T]) -> None:
        self.observer = observer
        self.winner: _Racer[T] | None = None
        self._running: list[_Racer[T]] = []
        self._empty: _Racer[T] | None = None
        self._errors: list[Exception] = []

    def start(
        self, streams: tuple[Observable[T], ...], scheduler: abc.SchedulerBase | None
    ) -> abc.DisposableBase:
        self._running = [_Racer(self) for _ in streams]
        for racer, stream in zip(list(self._running), streams, strict=True):
            if self.winner is not None:
                break
            racer.subscription.disposable = stream.subscribe(
                racer.on_next, racer.on_error, racer.on_completed, scheduler=scheduler
            )
        return self

    def dispose(self) -> None:
        running, self._running = self._running, []
        for racer in running:
            racer.subscription.dispose()

    def won(self, winner: _Racer[T], item: T) -> None:
        """A stream has content: the others are disposed before anything is passed on."""
        self.winner = winner
        losers, self._running = self._running, [winner]
        for racer in losers:
            if racer is not winner:
                racer.subscription.dispose()
        self._pass_on(winner)
        self.observer.on_next(item)

    def out(self, racer: _Racer[T], error: Exception | None) -> None:
        """A stream has ended: the winner, or one more that can not win."""
        if self.winner is racer:
            self._end(error)
            return
        if racer not in self._running:
            return
        self._running.remove(racer)
        if error is not None:
            self._errors.append(error)
        elif self._empty is None:
            self._empty = racer
        if self._running:
            return
        if self._empty is not None:
            self._pass_on(self._empty)
            self._end(None)
        else:
            self._end(self._last_error())

    def _pass_on(self, racer: _Racer[T]) -> None:
        while racer.held_back:
            self.observer.on_next(racer.held_back.popleft())

    def _last_error(self) -> Exception:
        *earlier, last = self._errors
        if isinstance(last, GaiError):  # each error once: it must not hold itself
            others = {id(e): e for e in (*earlier, *last.attempts) if e is not last}
            last.attempts = tuple(others.values())
        return last

    def _end(self, error: Exception | None) -> None:
        if error is not None:
            self.observer.on_error(error)
        else:
            self.observer.on_completed()
