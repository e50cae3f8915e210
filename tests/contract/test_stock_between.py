"""Stock RxPY operators between a source and a slow subscriber: the source is held all the same."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import reactivex as rx
from reactivex import Observable, abc
from reactivex import operators as ops
from reactivex.disposable import CompositeDisposable, Disposable, SingleAssignmentDisposable

from gai_rx import BackpressureError, Stream
from gai_rx.operators.flowing import map_async
from gai_rx.stream import loop_scheduler
from tests.contract.probe import Feed, Probe
from tests.contract.virtual_loop import run

COUNT = 400
QUEUE = 8
BOUND = 40
"""Most items between source and subscriber: some queues of 8, and what operators gather."""

Pipe = Callable[["Slow", Feed], Observable[Any]]


class Slow:
    """A subscriber behind a queue, who takes 10 ms an item; knows how far the source is ahead."""

    def __init__(self, feed: Feed) -> None:
        self.taken: list[Any] = []
        self.lead = 0
        self._feed = feed

    async def _take(self, item: Any) -> Any:
        await asyncio.sleep(0.01)
        self.taken += item if isinstance(item, list | tuple) else [item]
        self.lead = max(self.lead, self._feed.pulled - len(self.taken))
        return item

    def boundary(self) -> Callable[[Observable[Any]], Stream[Any]]:
        return map_async(self._take, queue=QUEUE)


def stock(*operators: Any) -> Pipe:
    """These operators between the source and the boundary."""
    return lambda slow, feed: feed.stream.pipe(*operators, slow.boundary())


def above(make: Callable[[Stream[Any]], Observable[Any]]) -> Pipe:
    """What is made of the source, and the boundary below it."""
    return lambda slow, feed: make(feed.stream).pipe(slow.boundary())


def quick() -> Any:
    return ops.filter(lambda _: False)


def shared(*orders: str) -> Pipe:
    """Branches of one `share`, in the order in which they are subscribed."""

    def pipe(slow: Slow, feed: Feed) -> Observable[Any]:
        one = feed.stream.pipe(ops.share())
        made: dict[str, Callable[[], Observable[Any]]] = {
            "slow": lambda: one.pipe(slow.boundary()),
            "quick": lambda: one.pipe(quick()),
            "slow too": lambda: one.pipe(map_async(_nap, queue=QUEUE), quick()),
        }
        return rx.merge(*(made[order]() for order in orders))

    return pipe


async def _nap(item: Any) -> Any:
    await asyncio.sleep(0.004)
    return item


def by(count: int) -> Any:
    """In so many groups."""

    def key(number: int) -> int:
        return number % count

    return ops.group_by(key)


def zipped_share(slow: Slow, feed: Feed) -> Observable[Any]:
    one = feed.stream.pipe(ops.share())
    return one.pipe(ops.zip(one.pipe(ops.map(str))), first(), slow.boundary())


def first() -> Any:
    """Of each pair the first."""

    def take(pair: tuple[Any, Any]) -> Any:
        return pair[0]

    return ops.map(take)


def boundary_in_a_group(slow: Slow, feed: Feed) -> Observable[Any]:
    grouped: Observable[Any] = feed.stream.pipe(by(2))

    def bounded(group: Observable[Any]) -> Observable[Any]:
        return group.pipe(slow.boundary())

    return grouped.pipe(ops.flat_map(bounded))


def ignores_the_scheduler(source: Observable[Any]) -> Observable[Any]:
    """As many operators of other people do."""

    def subscribe(
        observer: abc.ObserverBase[Any], _: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        return source.subscribe(observer.on_next, observer.on_error, observer.on_completed)

    return Observable(subscribe)


def subscribes_later(source: Observable[Any]) -> Observable[Any]:
    """In a turn of the loop of its own."""

    def subscribe(
        observer: abc.ObserverBase[Any], _: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        inner = SingleAssignmentDisposable()

        def go() -> None:
            inner.disposable = source.subscribe(
                observer.on_next, observer.on_error, observer.on_completed
            )

        asyncio.get_running_loop().call_soon(go)
        return inner

    return Observable(subscribe)


def own_queue(source: Observable[Any]) -> Observable[Any]:
    """A queue and a task of its own, and no word to the source."""

    def subscribe(
        observer: abc.ObserverBase[Any], _: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        queue = asyncio.Queue[Any]()

        async def work() -> None:
            while (item := await queue.get()) is not None:
                observer.on_next(item)
            observer.on_completed()

        task = asyncio.get_running_loop().create_task(work())
        upstream = source.subscribe(
            queue.put_nowait, observer.on_error, lambda: queue.put_nowait(None)
        )

        def dispose() -> None:
            task.cancel()

        return CompositeDisposable(upstream, Disposable(dispose))

    return Observable(subscribe)


BOUNDED: dict[str, Pipe] = {
    "direct": stock(),
    "buffer_with_count": stock(ops.buffer_with_count(4)),
    "share, slow branch first": shared("slow", "quick"),
    "share, slow branch second": shared("quick", "slow"),
    "share, two slow branches": shared("slow", "slow too"),
    "share and zip": zipped_share,
    "group_by, then flat": stock(by(3), ops.merge_all()),
    "boundary in a group": boundary_in_a_group,
    "publish with a mapper": stock(ops.publish(lambda one: one.pipe(ops.map(lambda n: n)))),
    "map": stock(ops.map(lambda n: n)),
    "filter": stock(ops.filter(lambda _: True)),
    "scan": stock(ops.scan(lambda _, n: n, 0)),
    "distinct": stock(ops.distinct()),
    "window_with_count": stock(ops.window_with_count(5), ops.merge_all()),
    "take_until": stock(ops.take_until(rx.never())),
    "with_latest_from": stock(ops.with_latest_from(rx.of(1)), first()),
    "timeout": stock(ops.timeout(60.0)),
    "observe_on the loop": above(lambda s: s.pipe(ops.observe_on(loop_scheduler()))),
    "defer": above(lambda s: rx.defer(lambda _: s)),
    "using": above(lambda s: rx.using(lambda: Disposable(), lambda _: s)),
    "catch": stock(ops.catch(rx.empty())),
    "merge": above(lambda s: rx.merge(s, s)),
    "flat_map": above(lambda s: rx.of(1).pipe(ops.flat_map(lambda _: s))),
    "concat": above(lambda s: rx.concat(rx.empty(), s)),
    "start_with": stock(ops.start_with(-1)),
    "retry": stock(ops.retry(3)),
    "repeat": stock(ops.repeat(1)),
    "switch_latest": above(lambda s: rx.of(s).pipe(ops.switch_latest())),
    "somebody's, ignores the scheduler": stock(ignores_the_scheduler),
    "somebody's, subscribes later": stock(subscribes_later),
    "two boundaries": stock(map_async(_nap, queue=QUEUE)),
}
"""The pipelines that hold the source."""


@pytest.mark.parametrize("name", BOUNDED)
def test_a_slow_subscriber_holds_the_source_through_stock_operators(name: str) -> None:
    async def main() -> None:
        # observe_on lets go of the producer's call: it must be given a turn of its own to be heard.
        pause = 0 if "observe_on" in name else None
        feed = Feed(range(COUNT), pause=pause, of_events=False)
        slow = Slow(feed)
        probe = await Probe(Stream.of(BOUNDED[name](slow, feed))).end()
        assert probe.completed, probe.error
        taken = [n for n in slow.taken if n >= 0]
        assert sorted(taken) == sorted([*range(COUNT)] * feed.asked)
        assert slow.lead <= BOUND * feed.asked
        assert feed.open == 0

    run(main)


def test_as_many_pipelines_are_bounded_as_were_measured() -> None:
    assert len(BOUNDED) >= 28


def test_of_two_zipped_sources_the_one_that_is_not_held_waits_in_rxpy() -> None:
    async def main() -> None:
        feeds = [Feed(range(COUNT), pause=0, of_events=False) for _ in range(2)]
        slow = Slow(feeds[0])
        both = feeds[0].stream.pipe(ops.zip(feeds[1].stream), slow.boundary())
        probe = await Probe(both).end()
        assert probe.completed
        assert slow.taken == [n for n in range(COUNT) for _ in range(2)]
        assert feeds[0].open == feeds[1].open == 0

    run(main)


OVERRUNNING: dict[str, Callable[[], Any]] = {
    "own queue": lambda: own_queue,
    "delay": lambda: ops.delay(0.01),
    "observe_on, after one large read": lambda: ops.observe_on(loop_scheduler()),
}


@pytest.mark.parametrize("name", OVERRUNNING)
def test_what_keeps_items_by_itself_overruns_the_queue_below_it_loudly(name: str) -> None:
    async def main() -> None:
        feed = Feed(range(COUNT), pause=None, of_events=False)
        slow = Slow(feed)
        probe = await Probe(feed.stream.pipe(OVERRUNNING[name](), slow.boundary())).end()
        assert isinstance(probe.error, BackpressureError)
        assert feed.open == 0

    run(main)
