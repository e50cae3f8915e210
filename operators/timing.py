"""Timing: how long a stream may take, and how long it may be silent."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import SerialDisposable, SingleAssignmentDisposable

from gai_rx.errors import StalledError, TimedOutError
from gai_rx.events import Start
from gai_rx.flow import Pressure, TimerPressure, current
from gai_rx.stream import Stream, clock, lift, seconds
from gai_rx.watches import NO_CONTENT

__all__ = ["deadline", "timeouts"]

T = TypeVar("T")

_RESOLUTION = 1e-6
"""Seconds by which a timer may come early: virtual clocks count microseconds."""

_LATE = 0.05
"""Seconds after which a timer that comes late tells that the loop was held up."""


def timeouts(
    *,
    first: float | None = None,
    idle: float | None = None,
    total: float | None = None,
    scheduler: abc.SchedulerBase | None = None,
) -> Callable[[Observable[T]], Stream[T]]:
    """Fail a stream that says nothing for too long, or takes too long in all.

        source              -a-b-----------|
        timeouts(idle=4)    -a-b---#

    What counts is content: every item but `Start`, `Usage`, `Raw` and `Retry`. Keep-alives of a
    provider reset nothing. When a limit runs out the source is disposed at once.

    Before the first content `first` holds, and `idle` if no `first` is given. A retried answer
    (`Start` with `attempt > 1`) waits for its first content anew; the pause before a retry above
    is silence, so to limit each attempt by itself these limits belong above `retry_on`. If the
    stream is silent because something below is full and holds the source, the error names it.

    Args:
        first: Seconds from the subscription to the first content.
        idle: Seconds between two pieces of content, and from the last one to the end.
        total: Seconds from the subscription to the end.
        scheduler: The clock; the subscriber's when None.

    Raises:
        ValueError: At once, without a limit, or with one that is not above 0.
        TimedOutError: Through on_error, when `first` or `total` runs out.
        StalledError: Through on_error, when `idle` runs out, or another limit while the source is
            held; it says by what, and overtakes what waits there.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream
        >>> Stream.of(rx.of("a", "b")).pipe(timeouts(first=60, idle=10)).to_list().run()
        ['a', 'b']
    """
    return _timed(_Limits("timeouts", first=first, idle=idle, total=total), scheduler)


def deadline(
    seconds: float, *, scheduler: abc.SchedulerBase | None = None
) -> Callable[[Observable[T]], Stream[T]]:
    """Fail a stream that is not complete in time, whatever it has said.

        source         -a-b-c-d-e-|
        deadline(6)    -a-b-c#

    Args:
        seconds: Seconds from the subscription to the end.
        scheduler: The clock; the subscriber's when None.

    Raises:
        ValueError: At once, if `seconds` is not above 0.
        TimedOutError: Through on_error, when the time is up; the source is disposed.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream
        >>> Stream.of(rx.of("a", "b")).pipe(deadline(300)).to_list().run()
        ['a', 'b']
    """
    return _timed(_Limits("deadline", total=seconds), scheduler)


def _timed(
    limits: _Limits, scheduler: abc.SchedulerBase | None
) -> Callable[[Observable[T]], Stream[T]]:
    def subscribe(
        source: Observable[T], observer: abc.ObserverBase[T], given: abc.SchedulerBase | None
    ) -> abc.DisposableBase:
        return _Timing(observer, limits, clock(scheduler, given)).start(source, given)

    return lift(str(limits), subscribe, keeps_events=True)


class _Limits:
    """The limits of one operator, and how they show."""

    def __init__(
        self,
        operator: str,
        *,
        first: float | None = None,
        idle: float | None = None,
        total: float | None = None,
    ) -> None:
        self.first, self.idle, self.total = first, idle, total
        given = {"first": first, "idle": idle, "total": total}
        limits = {name: limit for name, limit in given.items() if limit is not None}
        if not limits:
            raise ValueError(f"{operator}() needs a limit: first, idle or total, in seconds")
        for name, limit in limits.items():
            if not isinstance(limit, int | float):
                raise TypeError(f"{operator}({name}=…) is in seconds, got {limit!r}")
            if not 0 < limit < float("inf"):
                raise ValueError(f"{operator}({name}=…) is in seconds and above 0, got {limit}")
        self._operator = operator
        self._shown = {
            name: f"{limit:g}" if operator == "deadline" else f"{name}={limit:g}"
            for name, limit in limits.items()
        }

    def shown(self, name: str) -> str:
        """One limit, as it was given."""
        return f"{self._operator}({self._shown[name]})"

    def __str__(self) -> str:
        return f"{self._operator}({', '.join(self._shown.values())})"


class _Timing(abc.DisposableBase, Generic[T]):
    """One subscription: when content last came, and the one timer that looks at it.

    An item costs a look at the clock and no timer: the timer looks when silence began, and sets
    itself anew until it has lasted too long.
    """

    def __init__(
        self, observer: abc.ObserverBase[T], limits: _Limits, scheduler: abc.SchedulerBase
    ) -> None:
        self._observer = observer
        self._emit = observer.on_next
        self._limits = limits
        self._scheduler = scheduler
        self._now = partial(seconds, scheduler)
        self._start = self._last = self._now()
        self._waits_for_first = True
        self._items = 0
        self._begun: Start | None = None
        self._producer: Pressure | None = None
        self._excused = float("-inf")
        self._due = float("inf")
        self._timer = SerialDisposable()
        self._upstream = SingleAssignmentDisposable()

    def start(self, source: Observable[T], given: abc.SchedulerBase | None) -> abc.DisposableBase:
        """Subscribe; the clock has begun."""
        self._set_timer()
        listens = self._limits.first is not None or self._limits.idle is not None
        self._upstream.disposable = source.subscribe(
            self._on_next if listens else self._pass_on,
            self._observer.on_error,  # who ends the stream disposes, and so stops the timer
            self._observer.on_completed,
            scheduler=given,
        )
        return self

    def dispose(self) -> None:
        self._timer.dispose()
        self._upstream.dispose()

    def _on_next(self, item: T) -> None:
        self._items += 1
        self._producer = current.get()
        if item.__class__ not in NO_CONTENT:
            self._last = self._now()
            if self._waits_for_first:
                self._waits_for_first = False
                self._set_timer()
        elif isinstance(item, Start):
            self._begin(item)
        self._emit(item)

    def _pass_on(self, item: T) -> None:
        """All that `total` needs: whom to ask, in the end, what holds it."""
        self._items += 1
        self._producer = current.get()
        self._emit(item)

    def _begin(self, event: Start) -> None:
        self._begun = event
        if event.attempt > 1:
            self._last, self._waits_for_first = self._now(), True
            self._set_timer()

    def _next(self) -> tuple[float, str]:
        """When the next limit runs out, and its name."""
        limits, due = self._limits, list[tuple[float, str]]()
        if limits.total is not None:
            due.append((self._start + limits.total, "total"))
        if self._waits_for_first and limits.first is not None:
            due.append((self._last + limits.first, "first"))
        elif limits.idle is not None:
            due.append((self._last + limits.idle, "idle"))
        return min(due, default=(float("inf"), ""))

    def _set_timer(self) -> None:
        """Set the timer to the next limit, unless it comes before that anyway."""
        due, _ = self._next()
        if due < self._due:
            self._due = due
            self._timer.disposable = self._scheduler.schedule_relative(
                max(0.0, due - self._now()), self._on_timer
            )

    def _on_timer(self, *_: Any) -> None:
        now, planned = self._now(), self._due
        self._due = float("inf")
        due, name = self._next()
        if now < due - _RESOLUTION or (name != "total" and self._excuse(now - planned)):
            self._set_timer()
            return
        error = self._expired(name)
        self._upstream.dispose()
        # Not in the context of the producer that ran when the timer was set: it is no more.
        TimerPressure().emit(lambda: self._observer.on_error(error))

    def _excuse(self, late: float) -> bool:
        """Once in a silence: a loop that was held up gets as long again, to read what has come."""
        if late < _LATE or self._excused == self._last:
            return False
        self._last += 2 * late
        self._excused = self._last
        return True

    def _expired(self, name: str) -> TimedOutError:
        limits, shown, held = self._limits, self._limits.shown(name), self._held()
        kind: type[TimedOutError] = StalledError if held or name == "idle" else TimedOutError
        count = f"{self._items} item{'' if self._items == 1 else 's'}"
        if name == "idle":
            message = f"no content for {limits.idle:g} s after {count}{held} ({shown})"
        elif name == "first":
            only = f", only {count} without any" if self._items else ""
            message = f"no content within {limits.first:g} s{only}{held} ({shown})"
        else:
            so_far = f" after {count}" if self._items else ""
            message = f"not complete within {limits.total:g} s{so_far}{held} ({shown})"
        return kind(
            message,
            phase="stream" if self._items else "headers",
            provider=(self._begun.provider or None) if self._begun else None,
            model=(self._begun.model or None) if self._begun else None,
        )

    def _held(self) -> str:
        """What holds the producer that emitted last: then it is not its fault that nothing came."""
        gates = self._producer.gates if self._producer is not None else []
        full = [gate.name or "a consumer" for gate in gates if gate.closed]
        if not full:
            return ""
        return (
            f"; the source is held by {' and '.join(full)}, which is full: if what reads from it "
            "waits for the end of the stream, it waits for itself; give it a larger queue or "
            "another overflow policy, or read faster"
        )
