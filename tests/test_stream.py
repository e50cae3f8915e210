"""`Stream`: every way to read one, from a coroutine, a plain script and another thread."""

import asyncio
import gc
import signal
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any, assert_type

import pytest
import reactivex as rx
from reactivex import Observable
from reactivex import operators as ops
from reactivex.internal import SequenceContainsNoElementsError
from reactivex.subject import Subject
from reactivex.testing import TestScheduler

from gai_rx import BackpressureError, Event, Stream, TextDelta
from gai_rx.operators import batch, map_async, only, relay, text_only, where
from gai_rx.stream import clock, loop_scheduler
from tests.operators.sources import Source, settle
from tests.wire_server import WireServer, answer, chat, endless

ERROR = ZeroDivisionError("mine")


def until(holds: Callable[[], bool], seconds: float = 2.0) -> bool:
    """Wait, in a plain thread, for another thread to get there."""
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.002)
    return holds()


# async for, await


async def test_async_for_yields_each_item_and_ends() -> None:
    source = Source(range(200))
    assert [n async for n in source.stream] == list(range(200))
    assert source.closed == 1


async def test_async_for_raises_the_error_itself_after_the_items() -> None:
    items = aiter(Source([1, 2], error=ERROR).stream)
    assert [await anext(items), await anext(items)] == [1, 2]
    with pytest.raises(ZeroDivisionError) as caught:
        await anext(items)
    assert caught.value is ERROR


async def test_leaving_async_for_closes_the_source() -> None:
    source = Source(endless=True)
    async for _ in source.stream:
        break
    await settle()
    assert source.closed == 1


async def test_leaving_async_for_lets_go_before_the_next_line() -> None:
    gone = list[bool]()
    endless = Stream.of(
        rx.of(1).pipe(ops.concat(rx.never()), ops.finally_action(lambda: gone.append(True)))
    )
    async for _ in endless:
        break
    assert gone == [True]


async def test_an_iteration_is_an_async_generator() -> None:
    items = aiter(Source(endless=True).stream)
    assert await items.asend(None) == 1
    with pytest.raises(ZeroDivisionError):
        await items.athrow(ERROR)
    assert [item async for item in items] == []
    await items.aclose()


async def test_leaving_async_for_closes_the_request() -> None:
    async with WireServer(answer(*chat("a", "b")[:2], then="stall")) as server:
        async for event in server.provider.stream_text("Hi"):
            if isinstance(event, TextDelta):
                break
        await asyncio.wait_for(server.exchanges[0].closed.wait(), 1)


async def test_async_for_holds_a_source_that_is_faster() -> None:
    source, lead = Source(endless=True), list[int]()
    async for n in source.stream:
        await settle(3)
        lead.append(source.pulled - n)
        if n == 500:
            break
    assert max(lead) <= 65


async def test_async_for_fails_when_a_subject_overruns_it() -> None:
    subject: Subject[int] = Subject()
    items = aiter(Stream.of(subject))
    first = asyncio.ensure_future(anext(items))
    await settle()
    subject.on_next(0)
    assert await first == 0
    for n in range(1000):
        subject.on_next(n)
    with pytest.raises(BackpressureError, match="async for"):
        await anext(items)
    assert not subject.observers


async def test_await_gives_the_last_item() -> None:
    assert await Source([1, 2, 3]).stream == 3


async def test_await_raises_the_error_itself() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        await Source([1], error=ERROR).stream
    assert caught.value is ERROR


async def test_await_of_an_empty_stream_says_so() -> None:
    with pytest.raises(SequenceContainsNoElementsError):
        await Source().stream


async def test_await_of_a_stream_that_raises_stop_iteration_tells_so_rather_than_hang() -> None:
    def next_of_nothing(_: int) -> Any:
        return next(iter(()))

    stream = Source([1]).stream.pipe(ops.map(next_of_nothing))
    with pytest.raises(RuntimeError, match="StopIteration") as caught:
        await asyncio.wait_for(asyncio.ensure_future(stream), 5)
    assert isinstance(caught.value.__cause__, StopIteration)


async def test_an_awaiting_coroutine_that_is_closed_leaves_the_stream() -> None:
    source = Source(endless=True)

    async def wait() -> Any:
        return await source.stream

    waiting = wait()
    waiting.send(None)
    await settle()
    waiting.close()
    await settle()
    assert source.closed == 1


async def test_cancelling_who_awaits_closes_the_source() -> None:
    source = Source(endless=True)

    async def wait() -> Any:
        return await source.stream

    task = asyncio.create_task(wait())
    await settle()
    task.cancel()
    await asyncio.wait((task,))
    await settle()
    assert task.cancelled()
    assert source.closed == 1


async def test_to_list_awaits_all_items() -> None:
    assert await Source([1, 2, 3]).stream.to_list() == [1, 2, 3]


# run and for, without a loop


def test_run_gives_the_last_item() -> None:
    assert Source([1, 2, 3]).stream.run() == 3


def test_run_raises_the_error_itself() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        Source([1], error=ERROR).stream.run()
    assert caught.value is ERROR


def test_run_of_an_empty_stream_is_a_lookup_error() -> None:
    with pytest.raises(LookupError, match="without an item"):
        Source().stream.run()


def test_run_of_a_stream_whose_function_leaves_with_sys_exit_leaves_too() -> None:
    def leave(_: int) -> int:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        Source([1]).stream.pipe(ops.map(leave)).run()
    assert Source([1]).stream.run() == 1


def test_for_over_a_stream_whose_function_leaves_with_sys_exit_leaves_too() -> None:
    def leave(_: int) -> bool:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        list(Source([1]).stream.pipe(where(leave)))
    assert Source([1]).stream.run() == 1


@pytest.mark.parametrize("read", [lambda s: s.run(), lambda s: next(iter(s))])
def test_ctrl_c_ends_the_request(read: Callable[[Stream[Any]], Any]) -> None:
    source, main = Source(endless=True), threading.main_thread().ident
    assert main is not None

    def press() -> None:
        until(lambda: source.pulled > 0)
        signal.pthread_kill(main, signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    with pytest.raises(KeyboardInterrupt):
        read(source.stream.pipe(where(lambda _: False)))
    presser.join()
    gc.collect()
    assert until(lambda: source.closed == 1)


async def test_run_and_for_refuse_to_block_a_running_loop() -> None:
    source = Source([1])
    with pytest.raises(RuntimeError, match=r"run\(\) would block .*'await stream'"):
        source.stream.run()
    with pytest.raises(RuntimeError, match=r"for .* would block .*'async for'"):
        iter(source.stream)
    assert source.asked == 0


def test_for_yields_each_item_and_ends() -> None:
    source = Source(range(1000))
    assert list(source.stream) == list(range(1000))
    assert source.closed == 1


def test_for_raises_the_error_itself_after_the_items() -> None:
    items = iter(Source([1], error=ERROR).stream)
    assert next(items) == 1
    with pytest.raises(ZeroDivisionError) as caught:
        next(items)
    assert caught.value is ERROR


def test_leaving_for_closes_the_source() -> None:
    source = Source(endless=True)
    for _ in source.stream:
        break
    gc.collect()
    assert until(lambda: source.closed == 1)


async def test_leaving_for_closes_the_request() -> None:
    async with WireServer(endless()) as server:
        stream = server.provider.stream_text("Hi")

        def read() -> None:
            for event in stream:
                if isinstance(event, TextDelta):
                    break

        await asyncio.to_thread(read)
        await asyncio.wait_for(server.exchanges[0].closed.wait(), 1)


def test_for_holds_a_source_that_is_faster() -> None:
    source, lead = Source(endless=True), list[int]()
    for n in source.stream:
        if n % 50 == 0:
            time.sleep(0.002)
        lead.append(source.pulled - n)
        if n == 500:
            break
    assert max(lead) <= 65


def test_for_fails_when_a_subject_overruns_it() -> None:
    subject: Subject[int] = Subject()
    items = iter(Stream.of(subject))
    feeder = threading.Thread(target=lambda: until(lambda: bool(subject.observers)))
    feeder.start()

    def feed() -> None:
        feeder.join()
        for n in range(1000):
            subject.on_next(n)

    overrun = threading.Thread(target=feed)
    overrun.start()
    with pytest.raises(BackpressureError, match="for"):
        list(items)
    overrun.join()


# subscribe, run by RxPY, dispose


def test_subscribing_without_a_loop_calls_back_on_the_portals_thread() -> None:
    names: list[str] = []
    done = threading.Event()
    Source([1, 2]).stream.subscribe(
        lambda _: names.append(threading.current_thread().name), on_completed=done.set
    )
    assert done.wait(2)
    assert names == ["gai_rx-portal"] * 2


def test_a_subscription_made_without_a_loop_can_be_disposed() -> None:
    source = Source(endless=True)
    subscription = source.stream.subscribe()
    assert until(lambda: source.pulled > 3)
    subscription.dispose()
    assert until(lambda: source.closed == 1)


def test_merged_streams_run_by_rxpy_itself() -> None:
    one, two = Source([1, 2]), Source([3, 4])
    merged = rx.merge(one.stream, two.stream)
    assert merged.pipe(ops.to_list()).run() in ([1, 3, 2, 4], [1, 2, 3, 4])
    assert (one.closed, two.closed) == (1, 1)


async def test_merged_streams_run_by_rxpy_inside_a_coroutine_too() -> None:
    merged = rx.merge(Source([1, 2]).stream, Source([3, 4]).stream)
    assert sum(merged.pipe(ops.to_list()).run()) == 10


@pytest.mark.parametrize(
    "operator",
    [
        relay(4),
        map_async(lambda n: asyncio.sleep(0.001, n)),
        map_async(lambda n: asyncio.sleep(0.001, n), concurrency=3),
        batch(10_000, seconds=0.001),
        ops.delay(0.001),
    ],
    ids=["relay", "map_async", "workers", "batch", "delay"],
)
async def test_dispose_from_another_thread_is_handed_to_the_loop(operator: Any) -> None:
    loop = asyncio.get_running_loop()
    loop.set_debug(True)  # refuses calls that are not thread-safe
    source, seen = Source(endless=True), list[Any]()
    subscription = source.stream.pipe(operator).subscribe(seen.append)
    await asyncio.sleep(0.01)
    await asyncio.to_thread(subscription.dispose)
    await settle()
    assert source.closed == 1
    count = len(seen)
    await asyncio.sleep(0.005)
    assert len(seen) == count
    loop.set_debug(False)


def test_dispose_after_the_loop_has_closed_does_nothing() -> None:
    async def main() -> Any:
        subscription = Source(endless=True).stream.subscribe()
        await settle()
        return subscription

    asyncio.run(main()).dispose()


# clocks


async def test_stock_timed_operators_keep_time_on_the_running_loop() -> None:
    threads: set[int] = set()
    stream: Any = Source([1, 2]).stream.pipe(ops.delay(0.001), ops.timeout(5.0))
    await stream.pipe(ops.do_action(lambda _: threads.add(threading.get_ident())))
    assert threads == {threading.get_ident()}


async def test_the_clock_is_the_operators_own_else_the_subscribers_else_the_loops() -> None:
    own, given = TestScheduler(), TestScheduler()
    assert clock(own, given) is own
    assert clock(None, given) is given
    assert clock(None, None) is loop_scheduler() is loop_scheduler()


def test_a_scheduler_given_at_subscribe_rules() -> None:
    scheduler, seen = TestScheduler(), list[int]()
    Stream.of(rx.timer(30.0)).pipe(ops.delay(20.0)).subscribe(seen.append, scheduler=scheduler)
    scheduler.advance_to(49.0)
    assert not seen
    scheduler.advance_to(51.0)
    assert seen == [0]


# pipe, repr


def test_a_stream_shows_its_pipe() -> None:
    stream = Source(of_events=True).stream.pipe(
        only(TextDelta), ops.map(repr), ops.filter(bool), batch(10, seconds=0.5), relay(4)
    )
    assert repr(stream) == (
        "Stream(source | only(TextDelta) | map | filter | batch(10, seconds=0.5) | relay(4))"
    )


def doubled(source: Observable[int]) -> Observable[int]:
    return Observable(source.map(lambda n: 2 * n)._subscribe)


def test_a_custom_operator_shows_by_its_name() -> None:
    stream: Observable[int] = Source([1]).stream.pipe(doubled)
    assert repr(stream) == "Stream(source | doubled)"
    assert stream.run() == 2


def test_operators_composed_beforehand_can_be_piped() -> None:
    prepared: Any = rx.compose(ops.map(str), batch(2))
    assert Source([1]).stream.pipe(prepared).run() == ["1"]


def test_an_observable_becomes_a_stream_and_a_stream_stays_itself() -> None:
    stream = Stream.of(rx.of(1, 2))
    assert repr(stream) == "Stream(Observable)"
    assert Stream.of(stream) is stream
    assert stream.run() == 2


@pytest.mark.parametrize(
    ("operator", "keeps"),
    [
        (ops.filter(bool), True),
        (ops.take(1), True),
        (ops.share(), True),
        (ops.do_action(print), True),
        (ops.map(str), False),
        (ops.to_list(), False),
        (where(bool), True),
        (relay(4), True),
        (text_only(), False),
        (batch(2), False),
        (map_async(asyncio.sleep), False),
    ],
)
def test_a_stream_knows_whether_its_items_are_events(operator: Any, keeps: bool) -> None:
    assert Source(of_events=True).stream.pipe(operator).of_events is keeps
    assert not Source().stream.pipe(operator).of_events


def test_pipe_takes_any_number_of_operators() -> None:
    stream = Source([1]).stream
    assert stream.pipe() is stream
    assert stream.pipe(*[doubled for _ in range(15)]).run() == 2**15


def test_pipe_keeps_the_types() -> None:
    stream: Stream[Event] = Source(of_events=True).stream
    piped = stream.pipe(text_only(), batch(10), relay(2))
    assert_type(piped, Stream[list[str]])
    items: Iterator[list[str]] = iter(piped)
    assert list(items) == []


def test_fluent_operators_of_rxpy_keep_working() -> None:
    assert Source([1, 2, 3]).stream.map(str).filter(lambda s: s != "2").to_list().run() == [
        "1",
        "3",
    ]


async def test_an_iterable_is_held_by_a_slow_subscriber_as_a_provider_is() -> None:
    taken = 0

    def numbers() -> Iterator[int]:
        nonlocal taken
        for n in range(1, 1001):
            taken = n
            yield n

    async def slow(n: int) -> int:
        assert taken - n < 8
        await asyncio.sleep(0)
        return n

    stream = Stream.from_iterable(numbers()).pipe(map_async(slow, queue=2), ops.to_list())
    assert await stream == list(range(1, 1001))


async def test_an_asynchronous_iterable_is_closed_when_its_stream_is_left() -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncGenerator[int, None]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    assert await Stream.from_iterable(endless()).pipe(ops.take(3), ops.to_list()) == [1, 1, 1]
    await asyncio.wait_for(closed.wait(), 5)


async def test_an_iterable_is_iterated_anew_by_each_subscriber_and_lets_others_run() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.ensure_future(other())
    stream = Stream.from_iterable(range(2000))
    assert await stream == await stream == 1999
    assert turns > 10
    task.cancel()


def test_an_error_of_an_iterable_ends_the_stream() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Stream.from_iterable(broken()).run()
