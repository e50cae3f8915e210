import asyncio
import contextvars
import time
from typing import Any, assert_type

import pytest
import reactivex as rx
from reactivex import operators as ops
from reactivex.disposable import Disposable
from reactivex.subject import Subject

from gai_rx import BackpressureError, Stream
from gai_rx.flow import Buffer
from gai_rx.operators import map_async
from gai_rx.operators.flattening import flat_map
from tests.operators.marbles import check, check_sources, diagram
from tests.operators.sources import Source, settle
from tests.operators.test_flowing import Slow, watched

ERROR = ZeroDivisionError("mine")


class Inner:
    """Makes a subject for each item, and counts."""

    def __init__(self) -> None:
        self.made: dict[Any, Subject[Any]] = {}
        self.disposed: list[Any] = []

    def __call__(self, item: Any) -> Stream[Any]:
        subject = self.made[item] = Subject[Any]()
        return Stream.of(subject.pipe(ops.finally_action(lambda: self.disposed.append(item))))

    async def end(self, item: Any) -> None:
        self.made[item].on_completed()
        await settle()


def test_each_item_becomes_what_its_stream_emits() -> None:
    given, then = diagram(flat_map)
    check_sources(
        lambda cold: cold(given).pipe(flat_map(lambda x: cold("A-A|" if x == "a" else "B-B|"))),
        then,
    )


def test_the_source_may_end_before_its_streams() -> None:
    check_sources(lambda cold: cold("-a|").pipe(flat_map(lambda _: cold("-b-c|"))), "--b-c|")


def test_a_source_without_items_completes() -> None:
    check(flat_map(rx.just), "--|", "--|")


def test_an_item_waits_for_a_stream_to_end() -> None:
    check_sources(
        lambda cold: cold("-a-b----------|").pipe(flat_map(lambda x: cold(f"-{x}--{x}-|"), 1)),
        "--a--a--b--b--|",
    )


async def test_streams_run_beside_each_other() -> None:
    inner = Inner()
    seen, _ = watched(Source("ab").stream.pipe(flat_map(inner)))
    await settle()
    inner.made["b"].on_next(1)
    inner.made["a"].on_next(2)
    assert seen == [1, 2]
    await inner.end("a")
    await inner.end("b")
    assert seen == [1, 2, "end"]


@pytest.mark.parametrize(("concurrency", "queue"), [(1, None), (3, None), (1, 5), (4, 1)])
async def test_the_source_is_held_while_enough_streams_run(
    concurrency: int, queue: int | None
) -> None:
    inner, source = Inner(), Source(endless=True)
    operator = flat_map(inner, concurrency, queue=queue)
    seen, subscription = watched(source.stream.pipe(operator))
    await settle(100)
    assert len(inner.made) == concurrency
    assert source.pulled == concurrency + (queue or concurrency)
    for item in range(1, 6):
        await inner.end(item)
        assert list(inner.made) == list(range(1, item + concurrency + 1))
    assert source.pulled <= 5 + concurrency + (queue or concurrency)
    subscription.dispose()
    assert seen == []


async def test_never_more_streams_run_than_were_allowed() -> None:
    running, most = 0, 0

    async def count(n: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await settle(n % 3 + 1)
        running -= 1
        return n

    stream = Source(range(200)).stream.pipe(
        flat_map(lambda n: Source([n]).stream.pipe(map_async(count)), 4)
    )
    assert sorted(await stream.to_list()) == list(range(200))
    assert most == 4


async def test_a_slow_subscriber_holds_every_inner_stream() -> None:
    slow, sources = Slow(), [Source(endless=True) for _ in range(3)]
    streams = [source.stream for source in sources]
    stream = Source(streams).stream.pipe(flat_map(same), map_async(slow, queue=4))
    _, subscription = watched(stream)
    await settle(200)
    assert sum(source.pulled for source in sources) <= 8
    subscription.dispose()
    await settle()
    assert [source.closed for source in sources] == [1, 1, 1]


async def test_a_busy_subscriber_holds_the_source_of_streams_that_end_at_once() -> None:
    slow, source = Slow(), Source(endless=True)
    stream = source.stream.pipe(flat_map(Immediate, 2), map_async(slow, queue=4))
    _, subscription = watched(stream)
    await settle(100)
    pulled = source.pulled
    assert pulled <= 10
    for item in range(1, 30):
        await slow.end(item)
    assert pulled < source.pulled <= pulled + 30
    subscription.dispose()


def same(stream: Stream[Any]) -> Stream[Any]:
    return stream


class Immediate(Stream[Any]):
    """Emits its item while it is subscribed to."""

    def __init__(self, item: Any) -> None:
        def subscribe(observer: Any, scheduler: Any = None) -> Any:
            observer.on_next(item)
            observer.on_completed()
            return Disposable()

        super().__init__(subscribe)


async def test_a_subscriber_that_takes_an_item_is_not_interrupted_by_the_next_stream() -> None:
    subject, below, asked = Subject[int](), Buffer[Any](1, "below"), list[int]()

    def make(n: int) -> Stream[Any]:
        asked.append(n)
        return Immediate(n)

    Stream.of(subject).pipe(flat_map(make)).subscribe(below.push)
    subject.on_next(1)
    subject.on_next(2)
    below.pop()
    assert asked == [1]
    await settle()
    assert asked == [1, 2]


async def test_what_waits_for_a_busy_subscriber_is_not_lost_at_the_end() -> None:
    subject, below, ends = Subject[int](), Buffer[Any](1, "below"), list[str]()
    stream = Stream.of(subject).pipe(flat_map(Immediate))
    stream.subscribe(below.push, None, lambda: ends.append("end"))
    subject.on_next(1)
    subject.on_next(2)
    subject.on_completed()
    await settle()
    assert (below.pop(), ends) == (1, [])
    await settle()
    assert (below.pop(), ends) == (2, ["end"])


async def test_an_item_from_another_thread_is_refused() -> None:
    subject, caught, seen = Subject[int](), list[Exception](), list[Any]()
    Stream.of(subject).pipe(flat_map(Immediate)).subscribe(seen.append)

    def push() -> None:
        try:
            subject.on_next(1)
        except RuntimeError as error:
            caught.append(error)

    await asyncio.to_thread(push)
    assert "call_soon_threadsafe" in str(caught[0])
    assert seen == []


async def test_disposing_lets_a_shared_source_go_on_for_others() -> None:
    source, seen = Source(endless=True), list[Any]()
    shared = source.stream.pipe(ops.share())
    other = shared.subscribe(seen.append)
    held = shared.pipe(flat_map(lambda _: rx.never(), 1)).subscribe()
    await settle()
    came = len(seen)
    await settle()
    assert len(seen) == came
    held.dispose()
    await settle()
    assert len(seen) > came
    other.dispose()


async def test_many_streams_that_end_at_once_do_not_pile_up_on_the_stack() -> None:
    subject, inner = Subject[int](), Subject[Any]()
    operator = flat_map(lambda n: Immediate(n) if n else Stream.of(inner), 1, queue=5000)
    seen, _ = watched(Stream.of(subject).pipe(operator))
    for n in range(5000):
        subject.on_next(n)
    inner.on_completed()
    await settle()
    assert len(seen) == 4999
    assert seen == sorted(seen)


async def test_an_item_that_comes_from_within_waits_for_its_turn() -> None:
    subject, seen = Subject[int](), list[int]()

    def feed(n: int) -> None:
        seen.append(n)
        if n < 3000:
            subject.on_next(n + 1)

    Stream.of(subject).pipe(flat_map(Immediate, 1)).subscribe(feed)
    subject.on_next(0)
    await settle()
    assert seen == list(range(3001))


async def test_an_error_of_an_inner_stream_ends_everything() -> None:
    inner, source = Inner(), Source(endless=True)
    seen, _ = watched(source.stream.pipe(flat_map(inner, 3)))
    await settle()
    inner.made[2].on_error(ERROR)
    inner.made[3].on_next("late")
    await settle()
    assert seen == [ERROR]
    assert seen[0] is ERROR
    assert (sorted(inner.disposed), source.closed) == ([1, 2, 3], 1)


async def test_an_error_of_the_source_ends_the_inner_streams() -> None:
    inner = Inner()
    seen, _ = watched(Source("ab", error=ERROR).stream.pipe(flat_map(inner)))
    await settle()
    assert (seen, sorted(inner.disposed)) == ([ERROR], ["a", "b"])


async def test_an_error_of_the_function_ends_everything() -> None:
    inner, source = Inner(), Source(endless=True)

    def third_fails(n: int) -> Stream[Any]:
        if n == 3:
            raise ERROR
        return inner(n)

    seen, _ = watched(source.stream.pipe(flat_map(third_fails)))
    await settle()
    assert (seen, inner.disposed, source.closed) == ([ERROR], [1, 2], 1)


async def test_what_is_no_error_of_a_program_passes_through_the_function() -> None:
    def interrupted(_: int) -> Stream[Any]:
        raise KeyboardInterrupt

    subject, seen = Subject[int](), list[Any]()
    Stream.of(subject).pipe(flat_map(interrupted)).subscribe(seen.append, seen.append)
    with pytest.raises(KeyboardInterrupt):
        subject.on_next(1)
    assert seen == []


async def test_a_function_that_returns_no_stream_is_told_so() -> None:
    async def forgot(_: int) -> Stream[Any]:
        raise AssertionError

    made: list[Any] = []

    def call(n: int) -> Any:
        made.append(forgot(n))
        return made[-1]

    seen, _ = watched(Source([1]).stream.pipe(flat_map(call)))
    await settle()
    assert [type(error) for error in seen] == [TypeError]
    assert "got coroutine" in str(seen[0])
    made[0].close()


async def test_a_source_that_can_not_be_held_overruns_loudly() -> None:
    subject: Subject[int] = Subject()
    seen, _ = watched(Stream.of(subject).pipe(flat_map(lambda _: rx.never(), 2)))
    for n in range(2 + 4 * 2 + 64):
        subject.on_next(n)
    assert seen == []
    subject.on_next(0)
    assert [type(error) for error in seen] == [BackpressureError]
    assert not subject.observers


async def test_dispose_ends_the_source_and_every_inner_stream() -> None:
    before = asyncio.all_tasks()
    source, sources = Source(endless=True), list[Source]()

    def make(_: int) -> Stream[Any]:
        sources.append(Source(endless=True))
        return sources[-1].stream

    seen, subscription = watched(source.stream.pipe(flat_map(make, 3)))
    await settle()
    subscription.dispose()
    subscription.dispose()
    seen.clear()
    await settle()
    assert seen == []
    assert source.closed == 1
    assert [s.closed for s in sources] == [1, 1, 1]
    assert asyncio.all_tasks() == before


async def test_take_ends_everything_from_within() -> None:
    source, sources = Source(endless=True), list[Source]()

    def make(_: int) -> Stream[Any]:
        sources.append(Source(endless=True))
        return sources[-1].stream

    assert len(await source.stream.pipe(flat_map(make, 3), ops.take(5)).to_list()) == 5
    await settle()
    assert source.closed == 1
    assert all(s.asked == s.closed for s in sources)


async def test_two_subscriptions_share_nothing() -> None:
    def both(n: int) -> Stream[Any]:
        return Source([n, -n]).stream

    stream = Source(range(9)).stream.pipe(flat_map(both, 2))
    first, second = await asyncio.gather(stream.to_list(), stream.to_list())
    assert sorted(first) == sorted(second) == sorted([*range(9), *range(0, -9, -1)])


async def test_an_inner_stream_begins_in_its_subscribers_context_not_in_anothers() -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody")
    name.set("subscriber")
    found: list[str] = []

    def make(n: int) -> Stream[Any]:
        found.append(name.get())

        async def call(item: int) -> int:
            name.set(f"inner {n}")
            return item

        return Source([n]).stream.pipe(map_async(call))

    await Source(range(4)).stream.pipe(flat_map(make, 1)).to_list()
    assert found == ["subscriber"] * 4


@pytest.mark.parametrize(("concurrency", "queue"), [(0, None), (1, 0)])
def test_no_stream_and_no_room_are_refused_at_once(concurrency: int, queue: int | None) -> None:
    with pytest.raises(ValueError, match="at least"):
        flat_map(rx.just, concurrency, queue=queue)


def test_it_shows_its_function() -> None:
    assert repr(Source().stream.pipe(flat_map(Immediate))) == "Stream(source | flat_map(Immediate))"


async def test_a_lambda_needs_no_types_to_have_the_inner_streams() -> None:
    lengths = Stream.from_iterable(["a", "bc"]).pipe(flat_map(lambda text: rx.of(len(text))))
    assert_type(lengths, Stream[int])
    assert await lengths.to_list() == [1, 2]


async def test_each_of_very_many_streams_may_have_an_item_for_a_slow_reader() -> None:
    many = Stream.from_iterable(range(1000)).pipe(
        flat_map(lambda n: Stream.from_iterable([n] * 3), concurrency=1000)
    )
    seen = [item async for item in many]
    assert sorted(seen) == sorted([*range(1000)] * 3)
    merged = Stream.of(rx.merge(*(Stream.from_iterable([n] * 3) for n in range(1000))))
    assert sorted([item async for item in merged.pipe(map_async(_later, queue=2))]) == sorted(seen)


def test_each_of_very_many_streams_may_have_an_item_for_a_plain_loop() -> None:
    many = Stream.from_iterable(range(1000)).pipe(
        flat_map(lambda n: Stream.from_iterable([n] * 3), concurrency=1000)
    )
    seen = list[int]()
    for item in many:
        seen.append(item)
        if not len(seen) % 100:
            time.sleep(0.001)
    assert sorted(seen) == sorted([*range(1000)] * 3)


async def _later(item: int) -> int:
    await asyncio.sleep(0)
    return item
