"""Accounts: what is kept of a stream's items while they pass, and told on the clock."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from reactivex import Observable, abc
from reactivex.disposable import SerialDisposable, SingleAssignmentDisposable

from gai_rx.flow import Pressure, TimerPressure, current
from gai_rx.health import StreamMonitor
from gai_rx.operators.fan_out import Dropped
from gai_rx.progress import Progress, ProgressCounter
from gai_rx.stream import seconds

__all__ = ["Account", "Counted", "Passing", "Ticking", "Watched"]


class Account:
    """What one subscription keeps of its items."""

    def record(self, item: Any) -> None:
        """Count an item."""
        raise NotImplementedError

    def ended(self, error: Exception | None = None) -> None:
        """The stream has ended, or was disposed."""


class Watched(Account):
    """A stream and its watch in a monitor; full buffers are those that hold who emitted last."""

    def __init__(self, monitor: StreamMonitor, name: str, scheduler: abc.SchedulerBase) -> None:
        self._monitor = monitor
        self._watch = monitor.watch(name, partial(seconds, scheduler))
        self._watch.held_by = self._held_by
        self._record = self._watch.record
        self._producer: Pressure | None = None
        self.failed = ""

    def record(self, item: Any) -> None:
        self._producer = current.get()
        self._record(item)
        if isinstance(item, Dropped):
            self._monitor.lost(item.count)

    def ended(self, error: Exception | None = None) -> None:
        if error is None:
            self._watch.ended()
        else:
            self.failed = f"{type(error).__name__}, "
            self._watch.failed()

    def _held_by(self) -> tuple[str, ...]:
        gates = self._producer.gates.copy() if self._producer is not None else []
        return tuple(gate.name or "a consumer" for gate in gates if gate.closed)


class Counted(Account):
    """What a stream has said."""

    def __init__(self, scheduler: abc.SchedulerBase) -> None:
        self._now = partial(seconds, scheduler)
        self._counter = ProgressCounter(start=self._now())
        self._done = False

    def record(self, item: Any) -> None:
        self._counter.add(item, self._now())

    def ended(self, error: Exception | None = None) -> None:
        self._done = True

    def progress(self) -> Progress:
        """How much so far."""
        return self._counter.progress(self._now(), self._done)


class Passing(abc.DisposableBase):
    """One subscription: items are accounted for and go on."""

    def __init__(self, observer: abc.ObserverBase[Any], account: Account) -> None:
        self._observer = observer
        self._emit = observer.on_next
        self._account = account
        self._record = account.record
        self._upstream = SingleAssignmentDisposable()

    def start(self, source: Observable[Any], given: abc.SchedulerBase | None) -> abc.DisposableBase:
        """Subscribe."""
        self._upstream.disposable = source.subscribe(
            self._on_next, self._on_error, self._on_completed, scheduler=given
        )
        return self

    def dispose(self) -> None:
        self._upstream.dispose()
        self._account.ended()

    def _on_next(self, item: Any) -> None:
        self._record(item)
        self._emit(item)

    def _on_error(self, error: Exception) -> None:
        self._account.ended(error)
        self._observer.on_error(error)

    def _on_completed(self) -> None:
        self._account.ended()
        self._observer.on_completed()


class Ticking(Passing):
    """... and something is done on each tick of the clock, and a last time at the end.

    While something below holds what the tick emits, the clock stands: nothing piles up.
    """

    def __init__(
        self,
        observer: abc.ObserverBase[Any],
        account: Account,
        tick: Callable[[], None],
        every: float,
        scheduler: abc.SchedulerBase,
        *,
        emit: Callable[[Any], None] | None = None,
    ) -> None:
        super().__init__(observer, account)
        self._passes = emit
        self._tick = tick
        self._every = every
        self._scheduler = scheduler
        self._due = seconds(scheduler) + every
        self._timer = SerialDisposable()
        self._pressure = TimerPressure()

    def start(self, source: Observable[Any], given: abc.SchedulerBase | None) -> abc.DisposableBase:
        self._set_timer()
        return super().start(source, given)

    def dispose(self) -> None:
        self._stop()
        super().dispose()

    def _on_next(self, item: Any) -> None:
        self._record(item)
        if self._passes is not None:
            self._passes(item)

    def _on_error(self, error: Exception) -> None:
        self._account.ended(error)
        if self._tick_last():
            self._observer.on_error(error)

    def _on_completed(self) -> None:
        self._account.ended()
        if self._tick_last():
            self._observer.on_completed()

    def _tick_last(self) -> bool:
        """Whether it went well; else the observer has been told."""
        self._stop()
        try:
            self._tick()
        except Exception as error:
            self._observer.on_error(error)
            return False
        return True

    def _stop(self) -> None:
        self._pressure.stop()
        self._timer.dispose()

    def _set_timer(self) -> None:
        wait = max(0.0, self._due - seconds(self._scheduler))
        self._timer.disposable = self._scheduler.schedule_relative(wait, self._on_timer)

    def _on_timer(self, *_: Any) -> None:
        now = seconds(self._scheduler)
        self._due += self._every
        if self._due <= now:  # ticks were missed: they are not made up for
            self._due = now + self._every
        try:
            self._pressure.emit(self._tick)
        except Exception as error:  # the subscriber's; a producer would hand it back too
            self.dispose()
            self._observer.on_error(error)
            return
        self._pressure.then(self._set_timer)
