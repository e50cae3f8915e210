import asyncio
import threading
from typing import Any

import pytest
import reactivex as rx
from reactivex import operators as ops
from reactivex.subject import Subject

from gai_rx import BackpressureError, Stream
from gai_rx.operators import map_async, relay
from gai_rx.operators.flowing import stage
from tests.operators.sources import Source, settle

ERROR = ZeroDivisionError("mine")
POLICIES = ["block", "drop_newest", "drop_oldest", "latest", "error"]


class Slow:
    """An async function whose calls end when the test says so."""

    def __init__(self) -> None:
        self.begun: list[Any] = []
        self.cancelled: list[Any] = []
        self._open: dict[Any, asyncio.Future[None]] = {}

    async def __call__(self, item: Any) -> Any:
        self.begun.append(item)
        self._open[item] = asyncio.get_running_loop().create_future()
        try:
            await self._open[item]
        except asyncio.CancelledError:
            self.cancelled.append(item)
            raise
        return -item

    async def end(self, item: Any, error: Exception | None = None) -> None:
        future = self._open.pop(item)
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
        await settle()


def watched(stream: Stream[Any]) -> tuple[list[Any], Any]:
    """What a subscriber gets, and its subscription."""
    seen: list[Any] = []
    subscription = stream.subscribe(seen.append, seen.append, lambda: seen.append("end"))
    return seen, subscription


# map_async


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_results_come_in_the_items_order(concurrency: int) -> None:
    async def backwards(n: int) -> int:
        await asyncio.sleep(0.001 * (5 - n))
        return n * 10

    stream = Source(range(5)).stream.pipe(map_async(backwards, concurrency))
    assert await stream.to_list() == [0, 10, 20, 30, 40]


async def test_a_result_waits_for_the_results_before_it() -> None:
    slow = Slow()
    seen, _ = watched(Source([1, 2, 3]).stream.pipe(map_async(slow, 2)))
    await settle()
    assert slow.begun == [1, 2]
    await slow.end(2)
    assert (seen, slow.begun) == ([], [1, 2])
    await slow.end(1)
    assert (seen, slow.begun) == ([-1, -2], [1, 2, 3])
    await slow.end(3)
    assert seen == [-1, -2, -3, "end"]


@pytest.mark.parametrize("concurrency", [1, 2, 5])
async def test_no_more_calls_run_than_were_allowed(concurrency: int) -> None:
    running, most = 0, 0

    async def count(n: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await settle(n % 3 + 1)
        running -= 1
        return n

    stream = Source(range(50)).stream.pipe(map_async(count, concurrency))
    assert await stream.to_list() == list(range(50))
    assert most == concurrency


@pytest.mark.parametrize(("concurrency", "queue"), [(1, 1), (1, 8), (4, 1), (4, 16)])
async def test_a_slow_function_holds_the_source(concurrency: int, queue: int) -> None:
    slow, source = Slow(), Source(endless=True)
    seen, subscription = watched(source.stream.pipe(map_async(slow, concurrency, queue=queue)))
    await settle(100)
    assert len(slow.begun) == concurrency
    assert concurrency < source.pulled <= concurrency + queue + 1
    pulled = source.pulled
    for item in range(1, 9):
        await slow.end(item)
    assert seen == [-n for n in range(1, 9)]
    assert pulled < source.pulled <= pulled + 9
    subscription.dispose()


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_an_error_of_the_function_comes_after_the_results_before_it(concurrency: int) -> None:
    async def fails_at_three(n: int) -> int:
        if n == 3:
            raise ERROR
        await settle(5)
        return n

    source = Source(endless=True)
    seen, _ = watched(source.stream.pipe(map_async(fails_at_three, concurrency)))
    await settle(50)
    assert seen == [1, 2, ERROR]
    assert seen[2] is ERROR
    assert source.closed == 1


async def test_an_error_of_the_function_cancels_the_calls_after_it() -> None:
    slow = Slow()
    seen, _ = watched(Source(endless=True).stream.pipe(map_async(slow, 3)))
    await settle()
    await slow.end(2, ERROR)
    assert (seen, slow.cancelled) == ([], [])
    await slow.end(1)
    assert seen == [-1, ERROR]
    assert 3 in slow.cancelled


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_an_error_of_the_source_comes_after_all_results(concurrency: int) -> None:
    async def same(n: int) -> int:
        await settle(3)
        return n

    stream = Source([1, 2, 3], error=ERROR).stream.pipe(map_async(same, concurrency))
    seen, _ = watched(stream)
    await settle(50)
    assert seen == [1, 2, 3, ERROR]


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_dispose_cancels_the_calls_and_closes_the_source(concurrency: int) -> None:
    before = asyncio.all_tasks()
    slow, source = Slow(), Source(endless=True)
    seen, subscription = watched(source.stream.pipe(map_async(slow, concurrency)))
    await settle()
    subscription.dispose()
    await settle()
    assert slow.cancelled == slow.begun == list(range(1, concurrency + 1))
    assert (seen, source.closed) == ([], 1)
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_take_ends_everything_at_once(concurrency: int) -> None:
    before = asyncio.all_tasks()
    source = Source(endless=True)
    stream = source.stream.pipe(map_async(lambda n: asyncio.sleep(0, n), concurrency), ops.take(3))
    assert await stream.to_list() == [1, 2, 3]
    await settle()
    assert source.closed == 1
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_a_call_that_is_cancelled_from_within_does_not_hang_the_stream(
    concurrency: int,
) -> None:
    async def cancelled(n: int) -> int:
        raise asyncio.CancelledError

    seen, _ = watched(Source([1, 2]).stream.pipe(map_async(cancelled, concurrency)))
    await settle(50)
    assert len(seen) == 1
    assert isinstance(seen[0], asyncio.CancelledError)


async def test_a_subscriber_that_raises_gets_its_own_error() -> None:
    source, errors = Source(endless=True), list[Exception]()

    def on_next(_: Any) -> None:
        raise ERROR

    stream = source.stream.pipe(map_async(lambda n: asyncio.sleep(0, n)))
    stream.subscribe(on_next, errors.append)
    await settle()
    assert errors == [ERROR]
    assert source.closed == 1


@pytest.mark.parametrize("arguments", [(0,), (1, 0)])
async def test_map_async_refuses_no_calls_and_no_room_at_once(arguments: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least"):
        map_async(asyncio.sleep, arguments[0], queue=(arguments[1:] or (None,))[0])


async def test_two_boundaries_hold_the_source_hop_by_hop() -> None:
    slow, source = Slow(), Source(endless=True)
    quick = map_async(lambda n: asyncio.sleep(0, n), queue=1)
    stream = source.stream.pipe(quick, relay(4), map_async(slow, queue=1))
    _, subscription = watched(stream)
    await settle(200)
    assert source.pulled <= 12
    subscription.dispose()


async def test_only_the_merged_source_that_fills_the_buffer_waits() -> None:
    slow, one, two = Slow(), Source(endless=True), Source(endless=True)
    merged = Stream.of(rx.merge(one.stream, two.stream.map(lambda n: -n)))
    _, subscription = watched(merged.pipe(map_async(slow, queue=4)))
    await settle(200)
    assert one.pulled + two.pulled <= 8
    subscription.dispose()
    await settle()
    assert (one.closed, two.closed) == (1, 1)


# relay


async def test_relay_passes_everything_in_order() -> None:
    assert await Source(range(100)).stream.pipe(relay(3)).to_list() == list(range(100))


async def test_an_error_comes_after_what_waits() -> None:
    seen, _ = watched(Source([1, 2], error=ERROR).stream.pipe(relay(8)))
    await settle()
    assert seen == [1, 2, ERROR]


async def relayed(overflow: Any, size: int = 2, items: int = 6) -> tuple[list[Any], Subject[int]]:
    """What comes through a relay whose source emits `items` before the relay has its turn."""
    subject: Subject[int] = Subject()
    seen, _ = watched(Stream.of(subject).pipe(relay(size, overflow=overflow)))
    await settle()
    for n in range(items):
        subject.on_next(n)
    await settle()
    return seen, subject


@pytest.mark.parametrize(
    ("overflow", "kept"),
    [("drop_newest", [0, 1]), ("drop_oldest", [4, 5]), ("latest", [5]), ("block", [*range(6)])],
)
async def test_a_policy_says_what_a_full_relay_keeps(overflow: Any, kept: list[int]) -> None:
    seen, subject = await relayed(overflow)
    assert seen == kept
    subject.on_next(6)
    subject.on_completed()
    await settle()
    assert seen == [*kept, 6, "end"]


async def test_a_full_relay_fails_where_it_was_told_to() -> None:
    seen, subject = await relayed("error")
    assert [type(item) for item in seen] == [BackpressureError]
    assert "relay(2): no room" in str(seen[0])
    assert not subject.observers


async def test_a_subject_that_overruns_a_blocking_relay_fails_loudly() -> None:
    seen, subject = await relayed("block", items=4 * 2 + 64 + 1)
    assert [type(item) for item in seen] == [BackpressureError]
    assert "can not be slowed down" in str(seen[0])
    assert not subject.observers


async def test_a_relay_lets_a_held_source_run_ahead_by_its_size() -> None:
    slow, source = Slow(), Source(endless=True)
    _, subscription = watched(source.stream.pipe(relay(16), map_async(slow, queue=1)))
    await settle(200)
    assert 16 <= source.pulled <= 20
    subscription.dispose()
    await settle()
    assert source.closed == 1


@pytest.mark.parametrize("overflow", POLICIES)
async def test_an_item_from_another_thread_is_refused(overflow: Any) -> None:
    subject: Subject[int] = Subject()
    seen, subscription = watched(Stream.of(subject).pipe(relay(2, overflow=overflow)))
    caught: list[Exception] = []

    def push() -> None:
        try:
            subject.on_next(1)
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=push)
    thread.start()
    thread.join()
    await settle()
    assert "call_soon_threadsafe" in str(caught[0])
    assert seen == []
    subscription.dispose()


@pytest.mark.parametrize(
    ("size", "overflow", "match"), [(0, "block", "at least one"), (2, "spill", "spill")]
)
def test_relay_refuses_no_room_and_an_unknown_policy_at_once(
    size: int, overflow: Any, match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        relay(size, overflow=overflow)


# stage


def negative(n: int) -> int:
    return -n


@pytest.mark.parametrize("workers", [1, 3])
async def test_a_stage_calls_plain_and_async_functions_in_order(workers: int) -> None:
    async def backwards(n: int) -> int:
        await settle(5 + n)
        return 10 * n

    stream = Source(range(5)).stream.pipe(stage(negative, 2, workers), stage(backwards, 2, workers))
    assert await stream.to_list() == [0, -10, -20, -30, -40]


async def test_every_stage_of_a_pipeline_empties_its_queue_before_it_completes() -> None:
    slow, source = Slow(), Source(range(1, 201))
    done: dict[str, int] = {"read": 0, "parsed": 0}

    def count(what: str) -> Any:
        def call(n: int) -> int:
            done[what] += 1
            return n

        return call

    stream = source.stream.pipe(
        stage(count("read"), queue=50), stage(count("parsed"), queue=20), stage(slow, queue=10)
    )
    seen, _ = watched(stream)
    await settle(100)
    assert (seen, source.closed) == ([], 0)
    assert 10 <= done["parsed"] <= 13
    assert done["parsed"] + 19 <= done["read"] <= done["parsed"] + 23
    assert done["read"] + 49 <= source.pulled <= done["read"] + 53
    for n in range(1, 201):
        assert "end" not in seen
        await slow.end(n)
    assert seen == [*range(-1, -201, -1), "end"]


async def test_an_error_of_a_stage_ends_all_stages() -> None:
    before, source, last = asyncio.all_tasks(), Source(endless=True), list[int]()

    def third_fails(n: int) -> int:
        if n == 3:
            raise ERROR
        return n

    def keep(n: int) -> int:
        last.append(n)
        return n

    stream = source.stream.pipe(stage(negative), stage(negative), stage(third_fails), stage(keep))
    seen, _ = watched(stream)
    await settle(50)
    assert (seen, last, source.closed) == ([1, 2, ERROR], [1, 2], 1)
    assert asyncio.all_tasks() == before


async def test_dispose_ends_all_stages() -> None:
    before, slow, source = asyncio.all_tasks(), Slow(), Source(endless=True)
    _, subscription = watched(source.stream.pipe(stage(negative), stage(slow, workers=2)))
    await settle()
    subscription.dispose()
    await settle()
    assert (slow.cancelled, source.closed) == ([-1, -2], 1)
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize(("queue", "workers"), [(0, 1), (1, 0)])
def test_a_stage_refuses_no_room_and_no_workers_at_once(queue: int, workers: int) -> None:
    with pytest.raises(ValueError, match="at least"):
        stage(negative, queue, workers)


def test_a_stage_shows_its_function_and_its_queue() -> None:
    assert repr(Source().stream.pipe(stage(negative, 20))) == (
        "Stream(source | stage(negative, queue=20))"
    )


def test_boundaries_show_their_size_and_policy() -> None:
    stream = Source().stream.pipe(relay(4), relay(2, overflow="latest"), map_async(asyncio.sleep))
    assert repr(stream) == (
        "Stream(source | relay(4) | relay(2, overflow='latest') | map_async(sleep))"
    )
