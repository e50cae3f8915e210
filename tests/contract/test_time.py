"""R23: an operator that keeps time keeps it by the scheduler it is given, and by no other."""

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from reactivex import abc
from reactivex.disposable import CompositeDisposable
from reactivex.scheduler import ImmediateScheduler
from reactivex.testing import TestScheduler

from gai_rx import RateLimitError, Stream
from gai_rx.stream import loop_scheduler
from tests.contract.probe import EVENTS, Probe
from tests.contract.registry import Entry, over
from tests.contract.virtual_loop import run

PAUSES = (0.3, 1.7, 0.1, 0.1, 4.0, 0.1, 0.1, 0.1, 9.0, 0.2, 0.2)
"""Seconds before each event."""
AFTER = 100.0


class Clocked:
    """A source that keeps its times by a scheduler, whichever it is."""

    def __init__(self, scheduler: abc.SchedulerBase, error: Exception | None) -> None:
        self._scheduler, self._error = scheduler, error
        self.stream: Stream[Any] = Stream(self._subscribe, of_events=True)

    def _subscribe(
        self, observer: abc.ObserverBase[Any], _: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        timers, due = CompositeDisposable(), 0.0

        def at(seconds: float, go: Callable[[], object]) -> None:
            timers.add(self._scheduler.schedule_relative(seconds, lambda *_: _ran(go)))

        for pause, event in zip(PAUSES, EVENTS, strict=True):
            due += pause
            at(due, lambda event=event: observer.on_next(event))  # type: ignore[misc]
        if self._error is not None:
            at(due + 0.5, lambda: observer.on_error(self._error))  # type: ignore[arg-type]
        else:
            at(due + 0.5, observer.on_completed)
        return timers


def _ran(go: Callable[[], object]) -> None:
    go()


def outcome(entry: Entry, probe: Probe) -> list[tuple[float, str]]:
    """What came, and when, of the source; not what a second stream has to say."""
    told: list[tuple[float, str]] = []
    for when, item in zip(probe.times, probe.items, strict=False):
        told += [(round(when, 3), repr(what)) for what in entry.of_source([item])]
    return [*told, (round(probe.times[-1], 3), repr(probe.error))]


def in_the_loop(entry: Entry, error: Exception | None) -> list[tuple[float, str]]:
    """The run by the loop's own clock, in virtual time."""

    async def main() -> list[tuple[float, str]]:
        source = Clocked(loop_scheduler(), error)
        assert entry.timed is not None
        probe = await Probe(entry.timed(None)(source.stream)).end()
        return outcome(entry, probe)

    return run(main)


class Untimed(ImmediateScheduler):
    """The scheduler of a subscriber, which is not the one to keep time by."""

    def schedule_relative(self, duetime: Any, action: Any, state: Any = None) -> Any:
        raise AssertionError("the explicit scheduler is the one to keep time by")

    def schedule_absolute(self, duetime: Any, action: Any, state: Any = None) -> Any:
        raise AssertionError("the explicit scheduler is the one to keep time by")


@pytest.fixture
def no_other_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("it used another clock than its scheduler")

    for name in ("call_later", "call_at", "call_soon", "time"):
        monkeypatch.setattr(asyncio.BaseEventLoop, name, fail)
    monkeypatch.setattr(time, "sleep", fail)
    monkeypatch.setattr(threading.Thread, "start", fail)


def driven(scheduler: TestScheduler, stream: Stream[Any], given: abc.SchedulerBase) -> Probe:
    """Subscribe, and let the virtual clock run."""
    begun = scheduler.clock
    probe = Probe(stream, scheduler=given)
    scheduler.advance_to(begun + timedelta(seconds=AFTER).total_seconds())
    probe.check()
    assert probe.ended
    return probe


def errors(entry: Entry) -> list[Exception | None]:
    limited = RateLimitError("busy") if entry.calls == "error" else None
    return [limited, ZeroDivisionError("of the source")]


@over("R23", having=lambda e: e.timed)
@pytest.mark.parametrize("explicit", [True, False], ids=["explicit", "given at subscribe"])
def test_r23_time_is_kept_by_the_given_scheduler_only(
    entry: Entry, explicit: bool, request: pytest.FixtureRequest
) -> None:
    assert entry.timed is not None
    wanted = [in_the_loop(entry, error) for error in errors(entry)]
    request.getfixturevalue("no_other_clock")
    for error, want in zip(errors(entry), wanted, strict=True):
        scheduler = TestScheduler()
        source = Clocked(scheduler, error).stream
        if explicit:
            probe = driven(scheduler, entry.timed(scheduler)(source), Untimed())
        else:
            probe = driven(scheduler, entry.timed(None)(source), scheduler)
        came = outcome(entry, probe)
        assert [what for _, what in came] == [what for _, what in want]
        if not explicit:
            assert came == want
