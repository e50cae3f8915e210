"""Signals from other threads than the loop's: items are refused, ends and disposal handed over."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
import reactivex as rx
from reactivex import Observable
from reactivex import operators as ops
from reactivex.scheduler import ThreadPoolScheduler, TimeoutScheduler
from reactivex.subject import Subject

from gai_rx import Stream
from gai_rx.operators.batching import batch
from gai_rx.operators.fan_out import fan_out
from gai_rx.operators.flattening import flat_map
from gai_rx.operators.flowing import map_async, relay
from gai_rx.operators.pacing import limit_rate
from gai_rx.threads import handed_over
from tests.operators.sources import settle

T = TypeVar("T")

ERROR = ZeroDivisionError("mine")
PATIENCE = 5.0  # seconds


def in_a_thread(act: Callable[[], object]) -> None:
    """Run it to its end in a plain thread, while the loop of this one stands still."""
    thread = threading.Thread(target=act)
    thread.start()
    thread.join()


def while_the_loop_sleeps(act: Callable[[], object]) -> None:
    """Run it in a plain thread a moment later."""
    threading.Timer(0.02, act).start()


async def woken(reading: Awaitable[T]) -> T:
    """What is read, if something woke the loop for it before a timer of the loop's did."""
    clock = asyncio.get_running_loop().time
    began = clock()
    try:
        return await asyncio.wait_for(reading, PATIENCE)
    finally:
        assert clock() - began < 0.9 * PATIENCE, "nothing woke the loop"


async def read_all(stream: Stream[Any]) -> list[Any]:
    return [item async for item in stream]


async def awaited(stream: Stream[Any]) -> list[Any]:
    return [await stream]


def nothing(source: Observable[Any]) -> Observable[Any]:
    return source


async def same(item: Any) -> Any:
    return item


OPERATORS: dict[str, Callable[[Observable[Any]], Observable[Any]]] = {
    "async for": nothing,
    "relay": relay(4),
    "map_async": map_async(same),
    "workers": map_async(same, concurrency=3),
    "fan_out": fan_out(one=nothing, two=batch(2)),
    "limit_rate": limit_rate(1000),
    "batch": batch(10),
}
over_operators = pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)


@over_operators
@pytest.mark.parametrize("read", [read_all, awaited])
async def test_an_error_from_another_thread_wakes_who_reads(operator: Any, read: Any) -> None:
    subject: Subject[Any] = Subject()
    while_the_loop_sleeps(lambda: subject.on_error(ERROR))
    with pytest.raises(ZeroDivisionError) as caught:
        await woken(read(Stream.of(subject).pipe(operator)))
    assert caught.value is ERROR


@over_operators
async def test_an_end_from_another_thread_comes_after_the_items(operator: Any) -> None:
    subject: Subject[Any] = Subject()
    reading = asyncio.create_task(read_all(Stream.of(subject).pipe(operator)))
    await settle()
    for n in range(3):
        subject.on_next(n)
    in_a_thread(subject.on_completed)  # before the loop has had a turn for the items
    made = await woken(reading)
    if operator is OPERATORS["fan_out"]:
        assert [item.value for item in made if item.branch == "two"] == [[0, 1], [2]]
        made = [item.value for item in made if item.branch == "one"]
    assert made == ([[0, 1, 2]] if operator is OPERATORS["batch"] else [0, 1, 2])


@pytest.mark.parametrize("error", [None, ERROR])
async def test_an_inner_stream_may_end_on_another_thread(error: Exception | None) -> None:
    subject: Subject[Any] = Subject()
    while_the_loop_sleeps(lambda: subject.on_error(error) if error else subject.on_completed())
    reading = woken(read_all(Stream.from_iterable([1]).pipe(flat_map(lambda _: subject))))
    if error is None:
        assert await reading == []
    else:
        with pytest.raises(ZeroDivisionError):
            await reading


@over_operators
async def test_a_stock_operator_on_a_thread_of_its_own_ends_the_stream(operator: Any) -> None:
    elsewhere = TimeoutScheduler.singleton()
    silent: Stream[Any] = Stream.of(rx.never().pipe(ops.timeout(0.02, scheduler=elsewhere)))
    with pytest.raises(Exception, match="Timeout"):
        await woken(read_all(silent.pipe(operator)))
    empty = Stream.of(rx.timer(0.02, scheduler=elsewhere)).pipe(ops.ignore_elements())
    assert await woken(read_all(empty.pipe(operator))) == []


@pytest.mark.parametrize("name", ["relay", "map_async", "workers", "fan_out", "limit_rate"])
@pytest.mark.parametrize("error", [None, ERROR])
async def test_what_an_operator_tells_of_an_end_elsewhere_it_tells_on_the_loop(
    name: str, error: Exception | None
) -> None:
    subject, told = Subject[Any](), list[tuple[Any, int]]()

    def ended(error: Exception | None = None) -> None:
        told.append((error, threading.get_ident()))

    Stream.of(subject).pipe(OPERATORS[name]).subscribe(on_error=ended, on_completed=ended)
    in_a_thread(lambda: subject.on_error(error) if error else subject.on_completed())
    assert told == []
    await settle()
    assert told == [(error, threading.get_ident())]


async def test_a_stock_source_that_emits_on_a_thread_ends_with_the_refusal() -> None:
    numbers = Stream.of(rx.from_iterable([1, 2, 3], scheduler=ThreadPoolScheduler(1)))
    operators: list[Any] = [nothing, relay(4), limit_rate(1000), fan_out(one=nothing)]
    for operator in operators:
        with pytest.raises(RuntimeError, match="another thread"):
            await woken(read_all(numbers.pipe(operator)))


async def test_async_for_ends_with_the_refusal_of_what_another_thread_had_to_say_last() -> None:
    subject: Subject[Any] = Subject()

    def complete() -> None:
        with pytest.raises(RuntimeError):
            subject.on_completed()

    while_the_loop_sleeps(complete)
    with pytest.raises(RuntimeError, match="async for: an item came from another thread"):
        await woken(read_all(Stream.of(subject).to_list()))


async def test_await_takes_items_from_any_thread() -> None:
    numbers = Stream.of(rx.from_iterable([1, 2, 3], scheduler=ThreadPoolScheduler(1)))
    assert await woken(awaited(numbers)) == [3]


async def test_what_ends_on_the_loop_ends_at_once_and_what_ends_elsewhere_on_the_loop() -> None:
    ends: list[Any] = []

    def end(error: Exception | None = None) -> None:
        ends.append((error, threading.get_ident()))

    end_here, here = handed_over(end), threading.get_ident()
    end_here()
    end_here(ERROR)
    assert ends == [(None, here), (ERROR, here)]
    in_a_thread(end_here)
    in_a_thread(lambda: end_here(ERROR))
    assert len(ends) == 2
    await settle()
    assert ends[2:] == ends[:2]


def test_without_a_loop_an_end_is_not_handed_to_anybody() -> None:
    ends: list[Any] = []
    in_a_thread(lambda: handed_over(lambda error=None: ends.append(error))())
    assert ends == [None]


def test_an_end_from_a_thread_that_outlives_the_loop_goes_nowhere() -> None:
    async def main() -> Any:
        return handed_over(lambda _=None: pytest.fail("nobody reads any more"))

    in_a_thread(asyncio.run(main()))


@over_operators
async def test_an_end_that_is_on_its_way_when_the_subscriber_leaves_is_not_told(
    operator: Any,
) -> None:
    subject, told = Subject[Any](), list[Any]()
    stream = Stream.of(subject).pipe(operator, relay(4))
    subscription = stream.subscribe(told.append, told.append, lambda: told.append("end"))
    await settle()
    in_a_thread(subject.on_completed)
    subscription.dispose()
    await settle()
    assert told == []
