import asyncio
from typing import Any

import pytest
from reactivex import operators as ops
from reactivex.subject import Subject
from reactivex.testing import TestScheduler

from gai_rx import BackpressureError, Start, Stream
from gai_rx.flow import Buffer
from gai_rx.operators import map_async
from gai_rx.operators.pacing import limit_rate
from tests.operators.marbles import EVENTS, check, diagram
from tests.operators.sources import Source, Timers, settle
from tests.operators.test_flowing import Slow, watched

ERROR = ZeroDivisionError("mine")


def test_items_are_spaced_and_the_last_is_waited_for() -> None:
    check(limit_rate(1, per=3), *diagram(limit_rate))


def test_the_end_waits_for_what_waits() -> None:
    check(limit_rate(1, per=3), "-a-b-c-|", "-a--b--(c|)")


def test_an_error_comes_after_what_waits() -> None:
    check(limit_rate(1, per=4), "-a-b-#", "-a---(b#)", error=ERROR)
    check(limit_rate(1, per=3), "-a--#", "-a--#", error=ERROR)


def test_a_source_without_items_completes_at_once() -> None:
    check(limit_rate(1, per=3), "-|", "-|")


def test_slow_items_are_not_delayed() -> None:
    check(limit_rate(2, per=4), "-a--b-c--d|", "-a--b-c--d|")


@pytest.mark.parametrize(("count", "per"), [(1, 1.0), (10, 1.0), (3, 2.0), (7, 60.0)])
def test_no_window_has_more_than_was_allowed(count: int, per: float) -> None:
    times: list[float] = []
    scheduler, subject = TestScheduler(), Subject[int]()
    stream = Stream.of(subject).pipe(limit_rate(count, per, queue=100))
    stream.subscribe(lambda _: times.append(scheduler.clock), scheduler=scheduler)
    for n in range(40):
        subject.on_next(n)
    scheduler.advance_by(1.7 * per)
    for n in range(40):
        subject.on_next(n)
    scheduler.start()
    assert len(times) == 80
    for first, after in zip(times, times[count:], strict=False):
        assert after - first >= per - 1e-6
    assert times[-1] - times[0] == pytest.approx(79 * per / count, abs=1e-3)


def test_one_timer_is_set_only_while_something_waits() -> None:
    timers, subject = Timers(), Subject[str]()
    Stream.of(subject).pipe(limit_rate(1, per=3)).subscribe(scheduler=timers)
    subject.on_next("a")
    assert timers.made == []
    subject.on_next("b")
    subject.on_next("c")
    assert (len(timers.made), timers.pending) == (1, 1)
    timers.advance_by(3)
    assert (len(timers.made), timers.pending) == (2, 1)
    timers.start()
    assert len(timers.made) == 2


def test_the_time_is_kept_by_the_scheduler_that_was_given_to_it() -> None:
    own, subject, seen = TestScheduler(), Subject[str](), list[str]()
    stream = Stream.of(subject).pipe(limit_rate(1, per=3, scheduler=own))
    stream.subscribe(seen.append, scheduler=TestScheduler())
    subject.on_next("a")
    subject.on_next("b")
    assert seen == ["a"]
    own.advance_by(3)
    assert seen == ["a", "b"]


def test_dispose_stops_the_timer_and_the_source() -> None:
    timers, subject, seen = Timers(), Subject[str](), list[Any]()
    stream = Stream.of(subject).pipe(limit_rate(1, per=3))
    subscription = stream.subscribe(seen.append, scheduler=timers)
    subject.on_next("a")
    subject.on_next("b")
    subscription.dispose()
    subscription.dispose()
    timers.start()
    assert (seen, timers.pending, subject.observers) == (["a"], 0, [])


def test_two_subscriptions_keep_their_own_time() -> None:
    scheduler = TestScheduler()
    stream = Stream.of(Subject[str]()).pipe(limit_rate(1, per=3))
    one, two = list[str](), list[str]()
    stream.subscribe(one.append, scheduler=scheduler)
    stream.subscribe(two.append, scheduler=scheduler)
    subject = Subject[str]()
    stream = Stream.of(subject).pipe(limit_rate(1, per=3))
    for seen in (one, two):
        stream.subscribe(seen.append, scheduler=scheduler)
    subject.on_next("a")
    assert (one, two) == (["a"], ["a"])


async def test_the_source_is_held_while_enough_waits() -> None:
    scheduler, source = TestScheduler(), Source(endless=True)
    stream = source.stream.pipe(limit_rate(1, queue=4, scheduler=scheduler))
    seen, subscription = watched(stream)
    await settle(100)
    assert (seen, source.pulled) == ([1], 5)
    scheduler.advance_by(1)
    await settle(100)
    assert (seen, source.pulled) == ([1, 2], 5)
    scheduler.advance_by(1)
    await settle(100)
    assert (seen, source.pulled) == ([1, 2, 3], 7)
    subscription.dispose()
    await settle()
    assert source.closed == 1


async def test_a_busy_subscriber_stops_the_timer_until_it_lets_go() -> None:
    timers, source, below = Timers(), Source(endless=True), Buffer[Any](2, "below")
    stream = source.stream.pipe(limit_rate(1, queue=4, scheduler=timers))
    subscription = stream.subscribe(below.push)
    await settle(100)
    timers.advance_by(1)
    assert list(below.items) == [1, 2]
    made = len(timers.made)
    timers.advance_by(100)
    assert (list(below.items), len(timers.made)) == ([1, 2], made)
    below.pop()
    timers.start()
    assert list(below.items) == [2, 3]
    subscription.dispose()


async def test_nothing_is_lost_between_a_fast_source_and_a_slow_subscriber() -> None:
    slow = Slow()
    stream = Source(range(1, 30)).stream.pipe(limit_rate(10_000, queue=3), map_async(slow))
    seen, _ = watched(stream)
    for n in range(1, 30):
        while n not in slow.begun:
            await asyncio.sleep(0.001)
        await slow.end(n)
    await settle()
    assert seen == [*range(-1, -30, -1), "end"]


def test_a_source_that_can_not_be_held_overruns_loudly() -> None:
    subject: Subject[int] = Subject()
    seen, scheduler = list[Any](), TestScheduler()
    Stream.of(subject).pipe(limit_rate(1, queue=2)).subscribe(
        seen.append, seen.append, scheduler=scheduler
    )
    for n in range(1 + 4 * 2 + 64):
        subject.on_next(n)
    assert seen == [0]
    subject.on_next(0)
    assert [type(item) for item in seen] == [int, BackpressureError]
    assert not subject.observers


def test_a_subscriber_that_raises_at_the_timer_gets_its_own_error() -> None:
    scheduler, subject, errors = TestScheduler(), Subject[int](), list[Exception]()

    def second_fails(n: int) -> None:
        if n == 2:
            raise ERROR

    stream = Stream.of(subject).pipe(limit_rate(1, per=3))
    stream.subscribe(second_fails, errors.append, scheduler=scheduler)
    for n in (1, 2, 3):
        subject.on_next(n)
    scheduler.start()
    assert errors == [ERROR]
    assert not subject.observers


async def test_take_ends_it_from_within_the_timer() -> None:
    source, scheduler = Source(endless=True), TestScheduler()
    limited = source.stream.pipe(limit_rate(1, scheduler=scheduler), ops.take(3))
    seen, _ = watched(Stream.of(limited))
    await settle(100)
    scheduler.start()
    await settle()
    assert (seen, source.closed) == ([1, 2, 3, "end"], 1)


async def test_an_item_that_comes_from_within_waits_without_holding_anybody() -> None:
    scheduler, subject, seen = TestScheduler(), Subject[int](), list[int]()

    def feed(n: int) -> None:
        seen.append(n)
        if n < 50:
            subject.on_next(n + 1)

    Stream.of(subject).pipe(limit_rate(1, queue=1)).subscribe(feed, scheduler=scheduler)
    subject.on_next(0)
    scheduler.start()
    assert seen == list(range(51))


async def test_disposing_lets_a_shared_source_go_on_for_others() -> None:
    source, seen = Source(endless=True), list[Any]()
    shared = source.stream.pipe(ops.share())
    other = shared.subscribe(seen.append)
    held = shared.pipe(limit_rate(1, queue=1, scheduler=TestScheduler())).subscribe()
    await settle()
    came = len(seen)
    await settle()
    assert len(seen) == came
    held.dispose()
    await settle()
    assert len(seen) > came
    other.dispose()


def test_a_stream_of_events_stays_one() -> None:
    source = Source([Start(), EVENTS["a"]], of_events=True)
    assert source.stream.pipe(limit_rate(10)).of_events
    assert not Source().stream.pipe(limit_rate(10)).of_events


@pytest.mark.parametrize(
    ("count", "per", "queue", "match"),
    [(0, 1.0, 1, "count"), (1, 0.0, 1, "per"), (1, float("nan"), 1, "per"), (1, 1.0, 0, "buffer")],
)
def test_no_rate_is_refused_at_once(count: int, per: float, queue: int, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        limit_rate(count, per, queue=queue)


def test_it_shows_its_rate() -> None:
    stream = Source().stream.pipe(limit_rate(10), limit_rate(100, per=60.0))
    assert repr(stream) == "Stream(source | limit_rate(10) | limit_rate(100, per=60.0))"
