import asyncio
import gc
import weakref
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import pytest
import reactivex as rx
from reactivex import Observable, abc
from reactivex import operators as ops
from reactivex.disposable import SerialDisposable
from reactivex.subject import Subject

from gai_rx import BackpressureError, Finish, RateLimitError, Start, Stream, TextDelta, rate_limit
from gai_rx.flow import Buffer, current, produce
from gai_rx.operators import batch, map_async, retry_on, text_only
from gai_rx.operators.fan_out import BranchFailed, Dropped, Tagged, branch, fan_out
from tests.operators.marbles import diagram
from tests.operators.sources import Source, Timers, settle

ERROR = ZeroDivisionError("mine")
ANSWER = [Start(), TextDelta(text="a"), TextDelta(text="b"), Finish(reason="stop")]


def watched(stream: Stream[Any]) -> tuple[list[Any], Any]:
    """What a subscriber gets, and its subscription."""
    seen: list[Any] = []
    subscription = stream.subscribe(seen.append, seen.append, lambda: seen.append("end"))
    return seen, subscription


def of(seen: list[Any], name: str) -> list[Any]:
    """What one branch made."""
    return [item.value for item in seen if isinstance(item, Tagged) and item.branch == name]


def numbered(n: int) -> Callable[[Observable[Any]], Observable[Any]]:
    return ops.map(lambda item: (n, item))


def fail_at(bad: Any) -> Callable[[Observable[Any]], Observable[Any]]:
    def check(item: Any) -> Any:
        if item == bad:
            raise ERROR
        return item

    return ops.map(check)


def raising(bad: Any) -> Callable[[Observable[Any]], Observable[Any]]:
    """An operator that raises into whoever emits, as a careless one does."""

    def operator(source: Observable[Any]) -> Observable[Any]:
        def subscribe(
            observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            def on_next(item: Any) -> None:
                if item == bad:
                    raise ERROR
                observer.on_next(item)

            return source.subscribe(
                on_next, observer.on_error, observer.on_completed, scheduler=scheduler
            )

        return Observable(subscribe)

    return operator


class Stuck:
    """An operator whose reader takes nothing until it is let go."""

    def __init__(self) -> None:
        self.buffer: Buffer[Any] = Buffer(1, "stuck")
        self.seen: list[Any] = []

    def __call__(self, source: Observable[Any]) -> Observable[Any]:
        return source.pipe(
            ops.do_action(lambda item: self.buffer.push(item)), ops.filter(lambda _: False)
        )

    def let_go(self) -> None:
        self.buffer = Buffer(1000, "free")


def held_by() -> tuple[list[str], Stream[int]]:
    """An endless source, and the gates that hold it."""
    gates: list[str] = []

    async def make() -> AsyncGenerator[Sequence[int], None]:
        pressure = current.get()
        assert pressure is not None
        for n in range(1000):
            asyncio.get_running_loop().call_soon(
                lambda: gates.__setitem__(slice(None), [gate.name for gate in pressure.gates])
            )
            yield [n]
            await asyncio.sleep(0)

    return gates, Stream(produce(make, "source"))


# One request, many readers


@pytest.mark.parametrize("branches", [1, 2, 7])
async def test_every_branch_gets_every_item_of_one_subscription(branches: int) -> None:
    source = Source(range(200))
    many = {f"b{n}": numbered(n) for n in range(branches)}
    seen = await source.stream.pipe(fan_out(many, queue=3)).to_list()
    for n in range(branches):
        assert of(seen, f"b{n}") == [(n, item) for item in range(200)]
    assert len(seen) == 200 * branches
    assert (source.asked, source.pulled, source.closed) == (1, 200, 1)


async def test_nothing_is_asked_before_a_subscription() -> None:
    source = Source([1])
    source.stream.pipe(fan_out(x=ops.map(str)))
    await settle()
    assert source.asked == 0


async def test_a_branch_is_an_operator_or_several_or_a_branch_with_options() -> None:
    stream = Source(["a", "b", "c"]).stream.pipe(
        fan_out(
            one=ops.map(str.upper),
            two=(ops.map(str.upper), batch(2)),
            three=[batch(2), ops.map(len)],
            four=branch(batch(3), queue=2),
            none=(),
        )
    )
    seen = await stream.to_list()
    assert of(seen, "one") == ["A", "B", "C"]
    assert of(seen, "two") == [["A", "B"], ["C"]]
    assert of(seen, "three") == [2, 1]
    assert of(seen, "four") == [["a", "b", "c"]]
    assert of(seen, "none") == ["a", "b", "c"]


async def test_two_subscriptions_share_nothing() -> None:
    def total(a: int, b: int) -> int:
        return a + b

    source = Source(range(5))
    stream = source.stream.pipe(fan_out(x=ops.scan(total, 0), y=batch(2)))
    first, second = await asyncio.gather(stream.to_list(), stream.to_list())
    assert first == second == await stream.to_list()
    assert source.asked == 3


async def test_a_stream_of_events_stays_one_in_each_branch_only() -> None:
    streams: list[Any] = []

    def look(source: Observable[Any]) -> Observable[Any]:
        streams.append(source)
        return source

    stream = Source(ANSWER, of_events=True).stream.pipe(fan_out(x=look, y=(text_only(), look)))
    assert not stream.of_events
    await stream.to_list()
    assert [one.of_events for one in streams] == [True, False]
    assert repr(stream) == "Stream(source | fan_out(x, y))"
    assert repr(streams[1]) == "Stream(source | fan_out branch 'y' | text_only())"


async def test_the_subscribers_clock_reaches_every_branch() -> None:
    clock = Timers()
    subject: Subject[str] = Subject()
    seen: list[Any] = []
    stream = Stream.of(subject).pipe(fan_out(x=batch(seconds=5)))
    subscription = stream.subscribe(seen.append, scheduler=clock)
    subject.on_next("a")
    await settle()
    clock.advance_by(4)
    assert seen == []
    clock.advance_by(1)
    assert seen == [Tagged("x", ["a"])]
    subscription.dispose()
    assert clock.pending == 0


async def test_the_diagram_tells_what_happens() -> None:
    given, then = diagram(fan_out)
    letters = given.strip("-|").split("-")
    seen = await Stream.of(rx.from_(letters)).pipe(fan_out(x=ops.map(str.upper))).to_list()
    assert of(seen, "x") == then.strip("-|").split("-")


async def test_a_burst_costs_a_branch_one_turn_of_the_loop() -> None:
    subject: Subject[int] = Subject()
    seen, subscription = watched(Stream.of(subject).pipe(fan_out(x=(), y=())))
    await settle()
    for n in range(60):
        subject.on_next(n)
    assert seen == []
    await settle(2)
    assert of(seen, "x") == of(seen, "y") == list(range(60))
    subscription.dispose()


# Failures


@pytest.mark.parametrize("bad", [fail_at(2), raising(2)])
async def test_a_failing_branch_ends_alone(bad: Any) -> None:
    source = Source(range(100))
    seen, _ = watched(source.stream.pipe(fan_out(queue=3, good=(), bad=bad)))
    await settle(300)
    assert of(seen, "good") == list(range(100))
    assert of(seen, "bad") == [0, 1]
    assert seen.count(BranchFailed("bad", ERROR)) == 1
    assert next(item for item in seen if isinstance(item, BranchFailed)).error is ERROR
    assert seen[-1] == "end"


@pytest.mark.parametrize("bad", [fail_at(0), raising(0)])
async def test_a_failing_branch_does_not_reach_the_producer(bad: Any) -> None:
    subject: Subject[int] = Subject()
    stream = Stream.of(subject).pipe(
        fan_out(bad=branch(bad, overflow="caller_runs", queue=1), good=())
    )
    seen, _ = watched(stream)
    for n in range(20):
        subject.on_next(n)
    await settle()
    assert BranchFailed("bad", ERROR) in seen
    assert of(seen, "good") == list(range(20))


async def test_if_every_branch_has_failed_the_whole_fails_with_the_last_error() -> None:
    source = Source(endless=True)
    last = ValueError("last")

    def check(n: int) -> None:
        if n == 4:
            raise last

    stream = source.stream.pipe(fan_out(a=fail_at(2), b=ops.do_action(check)))
    seen, _ = watched(stream)
    await settle(50)
    assert seen[-3:] == [Tagged("b", 3), BranchFailed("b", last), last]
    assert BranchFailed("a", ERROR) in seen
    assert source.closed == 1


async def test_if_one_branch_has_got_through_the_whole_completes() -> None:
    seen, _ = watched(Source([1, 2]).stream.pipe(fan_out(a=fail_at(2), b=ops.take(1))))
    await settle()
    assert seen[-1] == "end"


async def test_an_error_of_the_source_ends_all_branches_and_then_the_whole() -> None:
    told: dict[str, Any] = {}
    stream = Source(["a", "b", "c"], error=ERROR).stream.pipe(
        fan_out(
            x=ops.do_action(on_error=lambda error: told.setdefault("x", error)),
            y=(batch(2), ops.do_action(on_error=lambda error: told.setdefault("y", error))),
        )
    )
    seen, _ = watched(stream)
    await settle()
    assert of(seen, "x") == ["a", "b", "c"]
    assert of(seen, "y") == [["a", "b"], ["c"]]
    assert seen[-1] is ERROR
    assert told["x"] is told["y"] is ERROR
    assert not any(isinstance(item, BranchFailed) for item in seen)


async def test_an_error_of_the_source_is_not_lost_when_a_branch_recovers_from_it() -> None:
    stream = Source([1], error=ERROR).stream.pipe(fan_out(x=ops.catch(rx.of(2)), y=()))
    seen, _ = watched(stream)
    await settle()
    assert of(seen, "x") == [1, 2]
    assert seen[-1] is ERROR


async def test_an_operator_that_can_not_be_built_fails_its_branch_alone() -> None:
    def broken(source: Observable[Any]) -> Observable[Any]:
        raise ERROR

    seen, _ = watched(Source([1]).stream.pipe(fan_out(bad=broken, good=())))
    await settle()
    assert seen == [BranchFailed("bad", ERROR), Tagged("good", 1), "end"]


async def test_no_request_is_made_when_no_branch_can_be_built() -> None:
    def broken(source: Observable[Any]) -> Observable[Any]:
        raise ERROR

    asked = 0

    def ask(scheduler: object) -> Observable[Any]:
        nonlocal asked
        asked += 1
        return rx.never()

    seen, _ = watched(Stream.of(rx.defer(ask)).pipe(fan_out(bad=broken)))
    assert (seen, asked) == ([BranchFailed("bad", ERROR), ERROR], 0)


@pytest.mark.parametrize("overflow", ["block", "caller_runs"])
async def test_a_subscriber_that_raises_gets_its_own_error(overflow: Any) -> None:
    source = Source(range(100))
    ends: list[Any] = []

    def refuse(item: Any) -> None:
        if item.value == 3:
            raise ERROR

    source.stream.pipe(fan_out(queue=2, overflow=overflow, x=(), y=())).subscribe(
        refuse, ends.append
    )
    await settle(50)
    assert ends == [ERROR]
    assert source.closed == 1
    assert len(asyncio.all_tasks()) == 1


# The end


async def test_each_branch_empties_its_queue_before_the_end() -> None:
    async def slowly(n: int) -> int:
        await settle(10)
        return n

    source = Source(range(20))
    seen, _ = watched(source.stream.pipe(fan_out(slow=map_async(slowly), fast=())))
    await settle(30)
    assert source.closed == 1
    assert of(seen, "fast") == list(range(20))
    assert len(of(seen, "slow")) < 5
    await settle(500)
    assert of(seen, "slow") == list(range(20))
    assert seen[-1] == "end"
    assert seen.count("end") == 1


async def test_a_branch_that_has_enough_holds_nobody() -> None:
    source = Source(range(100))
    seen, _ = watched(source.stream.pipe(fan_out(queue=2, one=ops.take(1), all=())))
    await settle(200)
    assert of(seen, "one") == [0]
    assert of(seen, "all") == list(range(100))
    assert seen[-1] == "end"


async def test_the_source_is_disposed_as_soon_as_no_branch_reads_on() -> None:
    source = Source(endless=True)
    seen, _ = watched(source.stream.pipe(fan_out(x=ops.take(1), y=ops.take(3))))
    await settle(30)
    assert source.closed == 1
    assert (of(seen, "x"), of(seen, "y"), seen[-1]) == ([1], [1, 2, 3], "end")


async def test_a_branch_may_go_on_after_it_has_enough() -> None:
    source = Source(endless=True)
    tail: Subject[str] = Subject()
    seen, _ = watched(source.stream.pipe(fan_out(x=(ops.take(1), ops.concat(tail)))))
    await settle(30)
    assert source.closed == 1
    assert seen == [Tagged("x", 1)]
    tail.on_next("more")
    tail.on_completed()
    await settle()
    assert seen == [Tagged("x", 1), Tagged("x", "more"), "end"]


async def test_dispose_ends_the_source_and_every_branch_at_once() -> None:
    running = 0

    async def for_ever(_: Any) -> None:
        nonlocal running
        running += 1
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            running -= 1

    source = Source(endless=True)
    seen, subscription = watched(
        source.stream.pipe(fan_out(queue=2, x=map_async(for_ever), y=(), z=Stuck()))
    )
    await settle(50)
    assert running == 1
    subscription.dispose()
    subscription.dispose()
    count = len(seen)
    await settle()
    assert len(seen) == count
    assert (running, source.closed) == (0, 1)
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("at", range(8))
async def test_dispose_within_on_next_stops_every_branch(at: int) -> None:
    source = Source(endless=True)
    seen: list[Any] = []
    subscription = SerialDisposable()

    def on_next(item: Any) -> None:
        seen.append(item)
        if len(seen) == at + 1:
            subscription.dispose()

    subscription.disposable = source.stream.pipe(fan_out(x=(), y=())).subscribe(on_next)
    await settle(50)
    assert len(seen) == at + 1
    assert source.closed == 1


async def test_nothing_is_kept_after_the_end(collected: None) -> None:
    class Item:
        pass

    items = [Item()]
    gone = weakref.ref(items[0])
    subscription = Source(items).stream.pipe(fan_out(x=(), y=())).subscribe()
    await settle()
    items.clear()
    subscription.dispose()
    gc.collect()
    assert gone() is None


# Pace


async def test_a_full_branch_that_blocks_holds_the_source_and_names_itself() -> None:
    gates, source = held_by()
    stream = source.pipe(
        fan_out(fast=(), summary=branch(Stuck(), queue=20), slow=branch(Stuck(), queue=5))
    )
    seen, subscription = watched(stream)
    await settle(500)
    # Each has taken one item out that waits in its reader.
    assert len(of(seen, "fast")) == 6
    assert gates == ["fan_out branch 'slow' (queue 5)"]
    subscription.dispose()


async def test_the_slowest_branch_sets_the_pace() -> None:
    stuck = Stuck()
    source = Source(range(100))
    seen, _ = watched(source.stream.pipe(fan_out(queue=4, fast=(), slow=stuck)))
    await settle(100)
    held_at = source.pulled
    assert held_at <= 4 + 3
    stuck.buffer.pop()
    stuck.let_go()
    await settle(100)
    assert source.pulled == 100
    assert of(seen, "fast") == list(range(100))


async def test_a_slow_subscriber_of_the_whole_holds_the_source() -> None:
    source = Source(endless=True)

    async def for_ever(_: Any) -> None:
        await asyncio.get_running_loop().create_future()

    stream = source.stream.pipe(fan_out(queue=4, x=(), y=()), map_async(for_ever, queue=1))
    _, subscription = watched(stream)
    await settle(100)
    assert source.pulled <= 4 + 3
    subscription.dispose()


@pytest.mark.parametrize("overflow", ["drop_newest", "drop_oldest", "latest", "error"])
async def test_a_policy_of_one_branch_leaves_the_others_whole(overflow: Any) -> None:
    seen, subscription = watched(
        Source(range(200)).stream.pipe(
            fan_out(queue=8, slow=branch(Stuck(), overflow=overflow), fast=())
        )
    )
    await settle(500)
    assert of(seen, "fast") == list(range(200))
    subscription.dispose()


async def test_a_branch_that_may_not_be_full_fails_alone() -> None:
    stuck = Stuck()
    seen, _ = watched(
        Source(range(200)).stream.pipe(
            fan_out(queue=8, strict=branch(stuck, overflow="error"), fast=())
        )
    )
    await settle(100)
    stuck.buffer.pop()
    await settle(500)
    assert of(seen, "fast") == list(range(200))
    (failed,) = [item for item in seen if isinstance(item, BranchFailed)]
    assert isinstance(failed.error, BackpressureError)
    assert "branch 'strict' (queue 8)" in str(failed.error)
    assert seen[-1] == "end"


async def test_a_source_that_can_not_be_held_fails_the_full_branch_alone() -> None:
    subject: Subject[int] = Subject()
    seen, subscription = watched(
        Stream.of(subject).pipe(fan_out(queue=2, stuck=Stuck(), fast=branch(queue=1000)))
    )
    for n in range(500):
        subject.on_next(n)
    await settle()
    assert of(seen, "fast") == list(range(500))
    subscription.dispose()


# Drops


@pytest.mark.parametrize(
    ("overflow", "expected"),
    [
        ("drop_newest", [0, Dropped("x", 7, 7), 1, 2]),
        ("drop_oldest", [0, Dropped("x", 7, 7), 8, 9]),
    ],
)
async def test_drops_are_told_in_front_of_what_follows(overflow: Any, expected: Any) -> None:
    subject: Subject[int] = Subject()
    stream = Stream.of(subject).pipe(fan_out(queue=2, overflow=overflow, report_drops=True, x=()))
    seen, _ = watched(stream)
    subject.on_next(0)
    await settle()
    for n in range(1, 10):
        subject.on_next(n)
    subject.on_completed()
    await settle()
    plain = [item.value if isinstance(item, Tagged) else item for item in seen]
    assert plain == [*expected, "end"]


async def test_drops_add_up() -> None:
    subject: Subject[int] = Subject()
    stream = Stream.of(subject).pipe(
        fan_out(report_drops=True, x=branch(overflow="latest"), whole=())
    )
    seen, _ = watched(stream)
    for _ in range(5):
        for n in range(10):
            subject.on_next(n)
        await settle()
    told = [item for item in seen if isinstance(item, Dropped)]
    assert told == [Dropped("x", 9, 9 * n) for n in range(1, 6)]
    assert len(of(seen, "x")) + told[-1].total == len(of(seen, "whole")) == 50


async def test_drops_are_told_before_the_end_of_a_branch_too() -> None:
    subject: Subject[int] = Subject()
    stop: Subject[None] = Subject()
    stream = Stream.of(subject).pipe(
        fan_out(
            queue=2, overflow="drop_newest", report_drops=True, x=(Stuck(), ops.take_until(stop))
        )
    )
    seen, _ = watched(stream)
    for n in range(10):
        subject.on_next(n)
    await settle()
    assert seen == [Dropped("x", 8, 8)]
    for n in range(10, 15):
        subject.on_next(n)
    stop.on_next(None)
    assert seen == [Dropped("x", 8, 8), Dropped("x", 4, 12), "end"]


async def test_drops_are_not_told_unless_asked_for() -> None:
    stream = Source(range(10)).stream.pipe(fan_out(overflow="latest", x=()))
    assert await stream.to_list() == [Tagged("x", 9)]


# Who is late


async def test_a_branch_may_read_itself_twice_from_the_start() -> None:
    def both(source: Observable[Any]) -> Observable[Any]:
        return rx.merge(source.pipe(ops.map(str)), source.pipe(ops.count()))

    seen = await Source([1, 2]).stream.pipe(fan_out(x=both)).to_list()
    assert of(seen, "x") == ["1", "2", 2]


async def test_who_subscribes_after_the_first_item_is_refused() -> None:
    seen, _ = watched(Source([1, 2]).stream.pipe(fan_out(x=(fail_at(2), ops.retry(3)), y=())))
    await settle()
    (failed,) = [item for item in seen if isinstance(item, BranchFailed)]
    assert isinstance(failed.error, RuntimeError)
    assert "branch 'x'" in str(failed.error)
    assert "retry above fan_out" in str(failed.error)
    assert (of(seen, "x"), of(seen, "y")) == ([1], [1, 2])
    assert seen[-1] == "end"


async def test_who_subscribes_after_the_source_has_failed_gets_its_error() -> None:
    clock = Timers()
    limited = RateLimitError("no")
    seen: list[Any] = []
    source = Source([Start()], error=limited, of_events=True)
    source.stream.pipe(fan_out(x=retry_on(rate_limit, attempts=2))).subscribe(
        seen.append, seen.append, scheduler=clock
    )
    await settle()
    clock.advance_by(2)
    assert [item.value.type for item in seen[:-1]] == ["start", "retry"]
    assert seen[-1] is limited
    assert source.asked == 1


async def test_a_branch_that_subscribes_later_holds_the_source_until_then() -> None:
    source = Source(range(10))
    clock = Timers()
    later = ops.delay_subscription(5.0, scheduler=clock)
    seen, _ = watched(source.stream.pipe(fan_out(queue=2, overflow="caller_runs", x=later)))
    await settle()
    assert source.pulled <= 3
    clock.advance_by(5)
    await settle(50)
    assert of(seen, "x") == list(range(10))


# Order


async def test_what_a_subscriber_brings_about_comes_after_the_item_it_got() -> None:
    subject: Subject[int] = Subject()
    seen: list[Any] = []
    inside = 0

    def feed(item: Any) -> None:
        nonlocal inside
        inside += 1
        assert inside == 1
        seen.append(item)
        if item.branch == "a" and item.value < 30:
            subject.on_next(item.value + 1)
        inside -= 1

    stream = Stream.of(subject).pipe(
        fan_out(a=branch(queue=4), b=branch(queue=1, overflow="caller_runs"))
    )
    stream.subscribe(feed, on_completed=lambda: seen.append("end"))
    subject.on_next(0)
    await settle(200)
    subject.on_completed()
    await settle()
    assert of(seen, "a") == of(seen, "b") == list(range(31))
    assert seen[-1] == "end"


async def test_the_end_that_a_subscriber_brings_about_comes_after_the_item_it_got() -> None:
    stop: Subject[None] = Subject()
    seen: list[Any] = []
    inside = False

    def feed(item: Any) -> None:
        nonlocal inside
        inside = True
        stop.on_next(None)
        seen.append(item.value)
        inside = False

    def ended() -> None:
        assert not inside
        seen.append("end")

    source = Source(endless=True)
    source.stream.pipe(fan_out(a=ops.take_until(stop))).subscribe(feed, on_completed=ended)
    await settle()
    assert (seen, source.closed) == ([1, "end"], 1)


# What the toolkit's plan for such a pipeline shows: four analyses beside each other, queue 20


async def test_four_analyses_run_beside_one_stream_and_all_are_waited_for() -> None:
    busy: set[str] = set()
    together = 0

    def analyse(name: str, turns: int) -> Callable[[Observable[Any]], Stream[str]]:
        async def work(text: str) -> str:
            nonlocal together
            busy.add(name)
            together = max(together, len(busy))
            await settle(turns)
            busy.discard(name)
            return f"{name}:{text}"

        return map_async(work)

    words = [f"w{n}" for n in range(50)]
    source = Source([Start(), *(TextDelta(text=word) for word in words), Finish(reason="stop")])
    four = {"sentiment": 1, "keywords": 2, "language": 3, "summary": 9}
    stream = source.stream.pipe(
        text_only(),
        fan_out({name: analyse(name, turns) for name, turns in four.items()}, queue=20),
    )
    seen = await stream.to_list()
    for name in four:
        assert of(seen, name) == [f"{name}:{word}" for word in words]
    assert together == 4
    assert source.asked == 1


# Arguments


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: fan_out(), "at least one branch"),
        (lambda: fan_out({}), "at least one branch"),
        (lambda: fan_out({"": ()}), "not empty"),
        (lambda: fan_out({"x": ()}, x=()), "two branches of the name 'x'"),
        (lambda: fan_out(x=(), queue=0), "at least one item, got 0"),
        (lambda: fan_out(x=(), overflow="spill"), "caller_runs; got 'spill'"),  # type: ignore[call-overload]
        (lambda: branch(queue=-1), "got -1"),
        (lambda: branch(overflow="spill"), "got 'spill'"),  # type: ignore[call-overload]
    ],
)
def test_options_that_make_no_sense_are_refused_at_once(make: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make()


@pytest.mark.parametrize("given", [3, "text", None, {}, (3,), [None]])
def test_what_is_no_branch_is_refused_at_once(given: Any) -> None:
    with pytest.raises(TypeError, match="got"):
        fan_out(x=given)


@pytest.mark.parametrize("named", [{1: ()}, batch(2), "x", [("x", ())]])
def test_branches_without_names_are_refused_at_once(named: Any) -> None:
    with pytest.raises(TypeError, match="name"):
        fan_out(named)


def test_many_branches_show_their_number() -> None:
    many = {str(n): numbered(n) for n in range(5)}
    assert repr(Source().stream.pipe(fan_out(many))) == "Stream(source | fan_out(5 branches))"


async def test_a_branch_may_have_the_name_of_an_option() -> None:
    seen = await Source([1]).stream.pipe(fan_out({"queue": ()}, x=ops.map(str))).to_list()
    assert (of(seen, "queue"), of(seen, "x")) == ([1], ["1"])


def test_results_can_be_matched() -> None:
    def shown(item: Tagged[int] | BranchFailed | Dropped) -> str:
        match item:
            case Tagged(name, value):
                return f"{name}={value}"
            case BranchFailed(name, error):
                return f"{name}!{error}"
            case Dropped(name, count, total):
                return f"{name}-{count}/{total}"

    told: list[Tagged[int] | BranchFailed | Dropped]
    told = [Tagged("a", 1), BranchFailed("b", ERROR), Dropped("c", 1, 2)]
    assert list(map(shown, told)) == ["a=1", "b!mine", "c-1/2"]
