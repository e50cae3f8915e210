"""R1 to R4: what a subscriber is told, in which grammar, one signal at a time."""

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import reactivex as rx
from reactivex import abc
from reactivex.disposable import Disposable
from reactivex.scheduler import ImmediateScheduler
from reactivex.subject import Subject

from gai_rx import Stream
from gai_rx.operators.flowing import map_async, relay
from tests.contract.probe import EVENTS, Feed, Probe, Timetable
from tests.contract.registry import Entry, over
from tests.contract.virtual_loop import run, settle

ERROR = ZeroDivisionError("mine")
Signal = Callable[[abc.ObserverBase[Any]], None]


@over("R1")
def test_r1_items_then_one_end(entry: Entry) -> None:
    async def main() -> None:
        for items, error, pause in product((EVENTS, EVENTS[:1], ()), (None, ERROR), (None, 0, 0.3)):
            feed = Feed(items, error=error, pause=pause)
            probe = await Probe(entry.apply(feed.stream)).end()
            assert probe.raw[-1] in "EC"

    run(main)


@over("R1")
def test_r1_items_then_one_end_of_a_synchronous_source(entry: Entry) -> None:
    async def main() -> None:
        for scheduler in (ImmediateScheduler(), None):  # within subscribe, or in one turn
            items = rx.from_iterable(EVENTS, scheduler=scheduler)
            probe = await Probe(entry.apply(Stream.of(items, of_events=True))).end()
            assert probe.raw[-1] in "EC"

    run(main)


@over("R2")
def test_r2_signals_come_one_at_a_time_while_the_subscriber_is_slow(entry: Entry) -> None:
    async def main() -> None:
        for seconds, pause in product((0.0, 0.4, 0.7), (0, 0.3)):
            upper = Upper(entry.apply(Feed(EVENTS * 2, pause=pause).stream))
            await Probe(upper.stream.pipe(relay(1), map_async(slowly(seconds), queue=1))).end()
            upper.probe.check()

    run(main)


def slowly(seconds: float) -> Callable[[Any], Any]:
    async def same(item: Any) -> Any:
        await asyncio.sleep(seconds)
        return item

    return same


class Upper:
    """Puts a probe between an operator and what is below it."""

    def __init__(self, stream: Stream[Any]) -> None:
        self.stream: Stream[Any] = Stream(self._subscribe)
        self._upper = stream
        self.probe: Probe

    def _subscribe(
        self, observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        def ended() -> None:
            if self.probe.error is not None:
                observer.on_error(self.probe.error)  # type: ignore[arg-type]
            else:
                observer.on_completed()

        self.probe = Probe(self._upper, observer.on_next, ended)
        return Disposable(self.probe.dispose)


@over("R2", having=lambda e: e.boundary)
def test_r2_a_boundary_refuses_signals_of_another_thread(entry: Entry) -> None:
    async def main() -> None:
        subject, refused = Subject[Any](), list[BaseException]()
        probe = Probe(entry.apply(Stream.of(subject)))

        def push() -> None:
            try:
                subject.on_next(EVENTS[1])
            except RuntimeError as error:
                refused.append(error)

        thread = threading.Thread(target=push)
        thread.start()
        thread.join()
        await settle()
        assert "call_soon_threadsafe" in str(refused[0])
        assert not probe.items
        probe.check()
        probe.dispose()

    run(main)


class Rogue:
    """Ends, and goes on as if it had not: at once, in a later turn, and seconds later."""

    def __init__(self, end: Signal) -> None:
        self._end = end
        self.stream: Stream[Any] = Stream(self._subscribe, of_events=True)

    def _subscribe(
        self, observer: abc.ObserverBase[Any], _: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        loop = asyncio.get_running_loop()

        def go_on() -> None:
            observer.on_next(EVENTS[1])
            observer.on_error(ERROR)
            observer.on_completed()
            observer.on_next(EVENTS[1])

        def begin() -> None:
            for event in EVENTS:
                observer.on_next(event)
            self._end(observer)
            go_on()
            loop.call_soon(go_on)
            loop.call_later(0.5, go_on)
            loop.call_later(1.0, go_on)

        loop.call_soon(begin)
        return Disposable()


def _emits(item: Any, observer: abc.ObserverBase[Any]) -> None:
    observer.on_next(item)


def _completes(observer: abc.ObserverBase[Any]) -> None:
    observer.on_completed()


def _fails(observer: abc.ObserverBase[Any]) -> None:
    observer.on_error(ZeroDivisionError("first"))


@over("R3")
def test_r3_nothing_follows_the_end_even_if_the_source_goes_on(entry: Entry) -> None:
    async def main() -> None:
        for end in (_completes, _fails):
            probe = await Probe(entry.apply(Rogue(end).stream)).end()
            raw = probe.raw
            await asyncio.sleep(60)
            probe.check()
            assert probe.raw == raw
            assert probe.error is not ERROR

    run(main)


@over("R4")
def test_r4_of_two_ends_at_one_instant_the_first_is_told(entry: Entry) -> None:
    async def one(ends: tuple[Signal, Signal], late: bool, second: float) -> Probe:
        items = [(0.0, partial(_emits, event)) for event in EVENTS[:2]]
        table = Timetable(*items, *((second, end) for end in ends), late=late)
        probe = await Probe(entry.apply(table.stream)).end()
        await asyncio.sleep(60)
        probe.check()
        assert table.asked == table.closed
        return probe

    async def main() -> None:
        # 0.5 and 1 are instants at which timers of the registry's operators are due too.
        for late, second in product((False, True), (0.0, 0.5, 1.0, 5.0)):
            completed = await one((_completes, _fails), late, second)
            failed = await one((_fails, _completes), late, second)
            if "R11" not in entry.exempt:
                assert completed.completed, (late, second)
                assert str(failed.error) == "first", (late, second)

    run(main)
