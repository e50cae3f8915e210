"""Gates, pressure, buffers, and the producer task under every cold source."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from reactivex import Observable
from reactivex.disposable import SerialDisposable
from reactivex.subject import Subject
from reactivex.testing import TestScheduler
from reactivex.testing.coldobservable import ColdObservable

from gai_rx import BackpressureError, Stream
from gai_rx.flow import Buffer, Gate, Pressure, Stopped, current, produce
from gai_rx.operators import fan_out, map_async, relay, where
from gai_rx.stream import loop_scheduler
from tests.operators.sources import Source, settle


async def test_an_open_gate_holds_nobody() -> None:
    await asyncio.wait_for(Gate().wait(), 1)


async def test_a_gate_lets_all_through_that_wait_when_it_opens() -> None:
    gate = Gate()
    gate.close()
    waiters = [asyncio.create_task(gate.wait()) for _ in range(3)]
    waiters[1].cancel()
    await settle()
    assert [w.done() for w in waiters] == [False, True, False]
    gate.open()
    await asyncio.gather(waiters[0], waiters[2])


async def test_who_wakes_at_a_gate_that_closed_again_waits_on() -> None:
    gate = Gate()
    gate.close()
    waiter = asyncio.create_task(gate.wait())
    await settle()
    gate.open()
    gate.close()
    await settle()
    assert not waiter.done()
    gate.open()
    await waiter


async def test_pressure_waits_for_each_gate_that_hangs_on_it() -> None:
    pressure, gates = Pressure(), [Gate(), Gate()]
    for gate in gates:
        gate.close()
        pressure.hold(gate)
        pressure.hold(gate)
    assert len(pressure.gates) == 2
    waiter = asyncio.create_task(pressure.relieve())
    for gate in gates:
        await settle()
        assert not waiter.done()
        gate.open()
    await waiter
    assert not pressure.gates


async def test_a_gate_hung_while_the_producer_waits_holds_it_too() -> None:
    pressure, first, second = Pressure(), Gate(), Gate()
    first.close()
    second.close()
    pressure.hold(first)
    waiter = asyncio.create_task(pressure.relieve())
    await settle()
    pressure.hold(second)  # by a timer that was set while the producer was emitting
    first.open()
    await settle()
    assert not waiter.done()
    second.open()
    await waiter


def test_a_gate_never_holds_who_must_open_it() -> None:
    reader, other, gate = Pressure(), Pressure(), Gate()
    gate.close()
    gate.reader = reader
    reader.hold(gate)
    other.hold(gate)
    assert (reader.gates, other.gates) == ([], [gate])


def test_a_gate_never_holds_whom_it_waits_for_by_way_of_others() -> None:
    pressures, gates = [Pressure() for _ in range(3)], [Gate() for _ in range(3)]
    for gate, pressure in zip(gates, pressures, strict=True):
        gate.close()
        gate.reader = pressure
    pressures[0].hold(gates[1])
    pressures[1].hold(gates[2])
    pressures[2].hold(gates[0])
    assert [p.gates for p in pressures] == [[gates[1]], [gates[2]], []]
    gates[1].open()
    pressures[2].hold(gates[0])
    assert pressures[2].gates == [gates[0]]


async def test_two_buffers_that_feed_each_other_do_not_hold_each_other_for_ever() -> None:
    start, seen = Subject[int](), list[int]()

    async def same(n: int) -> int:
        await asyncio.sleep(0)
        return n

    def feed(n: int) -> None:
        seen.append(n)
        if n < 40:
            start.on_next(n + 10)
            start.on_next(n + 10)

    stream = Stream.of(start).pipe(map_async(same, queue=1), map_async(same, queue=1))
    subscription = stream.subscribe(feed)
    start.on_next(10)
    await settle(300)
    assert sorted(seen) == [10] + [20] * 2 + [30] * 4 + [40] * 8
    subscription.dispose()


async def test_a_stopped_producer_ends_at_its_next_step() -> None:
    pressure = Pressure()
    pressure.stop()
    with pytest.raises(Stopped):
        await pressure.relieve()


def test_a_buffer_of_no_size_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Buffer[int](0, "here")


async def test_a_full_buffer_holds_its_producer_until_half_of_it_is_free() -> None:
    pressure, buffer = Pressure(), Buffer[int](4, "here")
    current.set(pressure)
    for n in range(4):
        assert not buffer.gate.closed
        buffer.push(n)
    assert buffer.gate.closed
    assert pressure.gates == [buffer.gate]
    assert (buffer.pop(), buffer.gate.closed) == (0, True)
    assert (buffer.pop(), buffer.gate.closed) == (1, False)


async def test_a_released_buffer_forgets_its_items_and_holds_nobody() -> None:
    buffer = Buffer[int](1, "here")
    buffer.push(1)
    buffer.release()
    assert (len(buffer.items), buffer.gate.closed) == (0, False)


def test_a_producer_that_can_not_be_held_overruns_loudly() -> None:
    buffer = Buffer[int](2, "here")
    for pushed in range(4 * 2 + 64):
        buffer.push(pushed)
    with pytest.raises(BackpressureError, match=r"here: 73 items wait where 2 may"):
        buffer.push(1)
    assert not buffer.items


def test_an_item_from_another_thread_is_refused() -> None:
    buffer, caught = Buffer[int](2, "here"), list[BaseException]()

    def push() -> None:
        try:
            buffer.push(1)
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=push)
    thread.start()
    thread.join()
    assert "call_soon_threadsafe" in str(caught[0])
    assert not buffer.items


async def test_nothing_is_asked_before_and_one_request_is_made_for_each_subscription() -> None:
    source = Source([1, 2, 3])
    stream = source.stream
    await settle()
    assert source.asked == 0
    first, second = await asyncio.gather(stream.to_list(), stream.to_list())
    assert first == second == [1, 2, 3]
    assert (source.asked, source.closed) == (2, 2)


async def test_an_error_comes_after_all_items_and_is_the_same_object() -> None:
    error, seen = ZeroDivisionError("mine"), list[Any]()
    done = asyncio.Event()

    def failed(raised: Exception) -> None:
        seen.append(raised)
        done.set()

    Source([1, 2], error=error).stream.subscribe(seen.append, failed)
    await done.wait()
    assert seen == [1, 2, error]
    assert seen[2] is error


async def test_disposed_before_it_began_it_never_begins() -> None:
    source = Source([1])
    source.stream.subscribe().dispose()
    await settle()
    assert source.asked == 0


@pytest.mark.parametrize("after", [1, 2, 5])
async def test_nothing_is_emitted_after_dispose_in_the_middle_of_a_batch(after: int) -> None:
    seen, closed = list[int](), asyncio.Event()

    async def make() -> AsyncGenerator[Sequence[int], None]:
        try:
            while True:
                yield range(1000)
        finally:
            closed.set()

    subscription = SerialDisposable()

    def on_next(item: int) -> None:
        seen.append(item)
        if len(seen) == after:
            subscription.dispose()

    ended = list[Any]()
    subscription.disposable = Stream(produce(make, "source")).subscribe(
        on_next, ended.append, lambda: ended.append("completed")
    )
    await asyncio.wait_for(closed.wait(), 1)
    await settle()
    assert seen == list(range(after))
    assert not ended


async def test_disposing_twice_and_after_the_end_does_nothing() -> None:
    source = Source([1])
    subscription = source.stream.subscribe()
    await settle()
    subscription.dispose()
    subscription.dispose()
    assert (source.asked, source.closed) == (1, 1)


@pytest.mark.parametrize("explicit", [False, True])
async def test_dispose_from_another_thread_ends_the_producer(explicit: bool) -> None:
    closed = asyncio.Event()

    async def make() -> AsyncGenerator[Sequence[int], None]:
        try:
            yield [1]
            await asyncio.Event().wait()
        finally:
            closed.set()

    stream = Stream(produce(make, "source"))
    subscription = stream.subscribe(scheduler=loop_scheduler() if explicit else None)
    await settle()
    await asyncio.to_thread(subscription.dispose)
    await asyncio.wait_for(closed.wait(), 1)


async def test_a_producer_is_held_by_a_buffer_below_stock_operators() -> None:
    source, buffer = Source(endless=True), Buffer[Any](8, "below")
    subscription = source.stream.map(str).filter(bool).subscribe(buffer.push)
    await settle(200)
    assert source.pulled == 8
    for _ in range(4):
        buffer.pop()
    await settle(200)
    assert source.pulled == 12
    subscription.dispose()
    await settle()
    assert source.closed == 1


async def test_a_subscriber_that_raises_gets_its_own_error_and_the_source_is_closed() -> None:
    source, error, seen = Source([1, 2, 3]), ZeroDivisionError("mine"), list[Any]()

    def on_next(item: int) -> None:
        if item == 2:
            raise error
        seen.append(item)

    source.stream.subscribe(on_next, seen.append)
    await settle()
    assert seen == [1, error]
    assert seen[1] is error
    assert (source.asked, source.closed) == (1, 1)


def reported(loop: asyncio.AbstractEventLoop) -> list[dict[str, Any]]:
    """What the loop's exception handler is called with from now on."""
    calls: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: calls.append(context))
    return calls


async def test_an_error_that_no_subscriber_takes_goes_to_the_loops_handler_at_once() -> None:
    error, calls = ZeroDivisionError("mine"), reported(asyncio.get_running_loop())
    Source([1], error=error).stream.subscribe()
    await settle()
    assert [call["exception"] for call in calls] == [error]
    assert "source" in calls[0]["message"]


async def test_a_subscriber_that_raises_without_on_error_is_reported_too() -> None:
    error, calls = ZeroDivisionError("mine"), reported(asyncio.get_running_loop())

    def on_next(_: int) -> None:
        raise error

    source = Source([1, 2])
    source.stream.subscribe(on_next)
    await settle()
    assert [call["exception"] for call in calls] == [error]
    assert source.closed == 1


async def test_a_cancelled_producer_is_not_reported() -> None:
    calls = reported(asyncio.get_running_loop())
    subscription = Source(endless=True).stream.subscribe()
    await settle()
    subscription.dispose()
    await settle()
    assert not calls


async def test_no_task_is_left_behind() -> None:
    before = asyncio.all_tasks()
    stream: Observable[Any] = Source([1, 2]).stream
    assert await stream == 2
    held = Source(endless=True).stream.subscribe()
    await settle()
    held.dispose()
    await settle()
    assert asyncio.all_tasks() == before


async def test_a_source_that_is_cancelled_from_within_does_not_hang_the_stream() -> None:
    source = Source(error=asyncio.CancelledError())  # type: ignore[arg-type]
    seen: list[Any] = []
    source.stream.subscribe(seen.append, seen.append)
    await settle()
    assert [type(item) for item in seen] == [asyncio.CancelledError]


class _Odd(BaseException):
    """An exception that is no `Exception`, as some frameworks have."""


async def test_an_exception_of_any_kind_ends_the_stream_rather_than_nothing() -> None:
    async def odd(_: Any) -> None:
        raise _Odd

    async def source() -> AsyncGenerator[list[int], None]:
        yield [1]
        raise _Odd

    for stream in (Stream(produce(source, "odd")), Source([1]).stream.pipe(map_async(odd))):
        with pytest.raises(_Odd):
            async with asyncio.timeout(5):
                await stream


def test_a_scheduler_without_a_loop_is_an_error_that_teaches() -> None:
    with pytest.raises(RuntimeError, match="needs a running event loop"):
        Source([1]).stream.subscribe(print, scheduler=TestScheduler())


@pytest.mark.parametrize(
    ("operator", "name"),
    [
        (relay(4), r"relay\(4\)"),
        (map_async(asyncio.sleep), "map_async"),
        (map_async(asyncio.sleep, 3), "map_async"),
        (fan_out(one=where(bool)), "fan_out"),
    ],
)
def test_a_boundary_without_a_loop_is_an_error_that_teaches(operator: Any, name: str) -> None:
    scheduler = TestScheduler()
    source: ColdObservable[Any] = scheduler.create_cold_observable()
    with pytest.raises(RuntimeError, match=f"{name}.* needs a running event loop"):
        Stream.of(source).pipe(operator).subscribe(print, scheduler=scheduler)
    assert not source.subscriptions
