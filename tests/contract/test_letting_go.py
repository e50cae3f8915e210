"""R5 to R10, and R14: who lets go is let go of, at once and for good, and nothing stays open."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import reactivex as rx
from reactivex import abc
from reactivex.disposable import Disposable

from gai_rx import Stream
from tests.contract.probe import EVENTS, Feed, Probe
from tests.contract.registry import Entry, over
from tests.contract.virtual_loop import run, settle, virtual_loop

ERROR = ZeroDivisionError("mine")
MANY = 10**6
THREADS, TIMES = 8, 125
"""A thousand calls of `dispose`, in all."""


class Counting(abc.DisposableBase):
    """Counts how often it is disposed; unlike RxPY's, it takes every call."""

    def __init__(self, inner: abc.DisposableBase) -> None:
        self.count = 0
        self._inner = inner

    def dispose(self) -> None:
        self.count += 1
        self._inner.dispose()


def counted(stream: Stream[Any], made: list[Counting]) -> Stream[Any]:
    """The stream, and the disposables of its subscriptions."""

    def subscribe(
        observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        made.append(Counting(stream.subscribe(observer, scheduler=scheduler)))
        return made[-1]

    return Stream(subscribe, of_events=True)


def in_threads(call: Callable[[], None]) -> list[BaseException]:
    """Call it a thousand times from eight threads at once; what it raised."""
    begin, raised = threading.Barrier(THREADS), list[BaseException]()

    def work() -> None:
        begin.wait()
        for _ in range(TIMES):
            try:
                call()
            except BaseException as error:
                raised.append(error)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


@over("R5")
def test_r5_dispose_a_thousand_times_from_eight_threads_releases_once(entry: Entry) -> None:
    async def main() -> None:
        made: list[Counting] = []
        feed = Feed(EVENTS, endless=True)
        probe = Probe(entry.apply(counted(feed.stream, made)))
        await settle(7)
        raised = in_threads(probe.subscription.dispose)
        await settle(7)
        for _ in range(TIMES):
            probe.subscription.dispose()
        await settle()
        assert not raised
        assert [disposable.count for disposable in made] == [1] * entry.requests
        assert feed.open == 0
        probe.check()

    run(main)


async def _disposed_at(entry: Entry, turn: int, error: Exception | None, pause: float) -> bool:
    """Dispose before a turn of the loop; False when the stream had ended by then."""
    feed, loop = Feed(EVENTS, error=error, pause=pause), virtual_loop()
    over = asyncio.Event()
    begun = loop.turns
    probe = Probe(entry.apply(feed.stream), on_end=over.set)

    def dispose(now: int) -> None:
        if now - begun >= turn:
            loop.before_turn = None
            probe.dispose()
            over.set()

    loop.before_turn = dispose
    if not turn:
        dispose(begun)
    await over.wait()
    loop.before_turn = None
    await settle()
    assert not probe.late, f"turn {turn}: {probe.late} after dispose"
    assert feed.open == 0
    assert not loop.left(), f"turn {turn}: {loop.left()}"
    probe.check()
    return not probe.ended


@over("R6")
def test_r6_r9_nothing_comes_after_dispose_in_any_turn_and_nothing_stays(entry: Entry) -> None:
    async def main() -> None:
        for error in (None, ERROR):
            for pause in (0, 0.3):
                turn = 0
                while await _disposed_at(entry, turn, error, pause):
                    turn += 1
                assert turn > 3

    run(main)


@over("R6")
def test_r6_r9_nothing_comes_after_dispose_in_any_on_next_and_nothing_stays(entry: Entry) -> None:
    async def main() -> None:
        count = len((await Probe(entry.apply(Feed().stream)).end()).items)
        for place in range(1, count + 1):
            await _disposed_in(entry, place, count)

    run(main)


async def _disposed_in(entry: Entry, place: int, count: int) -> None:
    """Dispose within the call of `on_next` with the item at this place."""
    feed = Feed()

    def on_next(_: Any) -> None:
        if len(probe.items) == place:
            probe.dispose()

    probe = Probe(entry.apply(feed.stream), on_next)
    await asyncio.sleep(count)
    assert len(probe.items) == place
    assert not probe.ended
    assert feed.open == 0
    assert not virtual_loop().left()
    probe.check()


@over("R7")
def test_r7_dispose_in_on_next_stops_a_synchronous_source_at_once(entry: Entry) -> None:
    pulled = 0

    def items() -> Iterator[Any]:
        nonlocal pulled
        for _ in range(MANY):
            pulled += 1
            assert pulled < 5000, "the source goes on and on"
            yield EVENTS[pulled % (len(EVENTS) - 1)]

    async def main() -> None:
        at_dispose = 0

        def on_next(_: Any) -> None:
            nonlocal at_dispose
            if len(probe.items) == 3:
                at_dispose = pulled
                probe.dispose()

        # Without a scheduler it emits within one turn of the loop, after subscribe has returned.
        stream = Stream.of(rx.from_iterable(items()), of_events=True)
        probe = Probe(entry.apply(stream), on_next)
        await asyncio.sleep(100)
        if entry.boundary or entry.delays or probe.error is not None:
            # It can not be held, so the queue overflows before anything is delivered.
            assert pulled <= 4 * 64 + 66
        else:
            assert len(probe.items) == 3
            assert pulled <= at_dispose + 1
        probe.check()

    run(main)


@over("R8")
def test_r8_dispose_before_subscribe_has_returned_is_honoured(entry: Entry) -> None:
    async def main() -> None:
        subscribed = released = 0

        def release() -> None:
            nonlocal released
            released += 1

        def subscribe(
            observer: abc.ObserverBase[Any], _: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            nonlocal subscribed
            subscribed += 1
            for event in EVENTS:
                observer.on_next(event)
            return Disposable(release)

        probe = Early(entry.apply(Stream(subscribe, of_events=True)))
        count = len(probe.items)
        await asyncio.sleep(100)
        if not probe.items:  # what emits at the end only has not let go yet
            probe.subscription.dispose()
        # RxPY can not stop a source whose subscribe has not returned; after it nothing comes.
        assert len(probe.items) == max(count, 1) or not probe.items
        assert 1 <= released == subscribed <= entry.requests
        probe.check()

    run(main)


class Early(Probe):
    """Lets go within its first item, even while it is still being subscribed."""

    def _on_next(self, item: Any) -> None:
        super()._on_next(item)
        self.subscription.dispose()


@over("R9")
def test_r9_r10_nothing_is_open_right_after_the_end(entry: Entry) -> None:
    async def main() -> None:
        for error in (None, ERROR):
            for pause in (None, 0, 0.3):
                feed = Feed(EVENTS, error=error, pause=pause)
                await Probe(entry.apply(feed.stream)).end()
                await settle()
                assert feed.open == 0
                assert not virtual_loop().left()

    run(main)


@over("R14")
def test_r14_a_subscriber_that_raises_at_the_end_releases_everything(entry: Entry) -> None:
    raised = ArithmeticError("of the subscriber")

    def fail() -> None:
        raise raised

    for error in (None, ERROR):
        feed, reports = Feed(EVENTS, error=error), list[Any]()

        async def main(feed: Feed = feed) -> None:
            probe = Probe(entry.apply(feed.stream), on_end=fail)
            await asyncio.sleep(100)
            assert probe.ended
            assert feed.open == 0
            assert not virtual_loop().left()
            probe.check()

        run(main, reports=reports)
        assert all(report is raised for report in reports), reports
