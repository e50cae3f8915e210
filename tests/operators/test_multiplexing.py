import asyncio
import contextvars
from collections.abc import Callable
from typing import Any

import pytest
import reactivex as rx
from reactivex import operators as ops
from reactivex.disposable import Disposable
from reactivex.subject import Subject

from gai_rx import (
    BackpressureError,
    Error,
    ReasoningDelta,
    Retry,
    ServerError,
    Start,
    Stream,
    StreamEvent,
    TextDelta,
    TimedOutError,
    ToolCall,
    Usage,
)
from gai_rx.events import Raw
from gai_rx.flow import Buffer
from gai_rx.operators import map_async
from gai_rx.operators.multiplexing import multiplex, race
from tests.operators.marbles import EVENTS, check_sources
from tests.operators.sources import Source, Timers, settle
from tests.operators.test_flowing import Slow, watched

ERROR = ZeroDivisionError("mine")
OTHER = ZeroDivisionError("other")


def text(n: object) -> TextDelta:
    return TextDelta(text=str(n))


def of(name: str, *letters: str) -> list[StreamEvent]:
    """Events of a stream, by their letters."""
    return [EVENTS[letter].model_copy(update={"stream_id": name}) for letter in letters]


class Lines:
    """Streams that the test speaks for, multiplexed over a subscriber that is busy at will."""

    def __init__(self, room: int = 10_000, scheduler: Any = None, **options: Any) -> None:
        self.one, self.two = Subject[Any](), Subject[Any]()
        self.below = Buffer[Any](room, "below")
        self.ends: list[Any] = []
        stream = multiplex({"one": self.one, "two": self.two}, scheduler=scheduler, **options)
        self.subscription = stream.subscribe(
            self.below.push, self.ends.append, lambda: self.ends.append("completed")
        )

    async def taken(self, items: int = 1000) -> list[Any]:
        """Let the subscriber take items; where they came from and what they say."""
        got: list[Any] = []
        while self.below.items and len(got) < items:
            got.append(self.below.pop())
            await settle(3)
        return [(e.stream_id, getattr(e, "text", None) or e.type) for e in got]


# multiplex


def test_each_event_says_by_position_which_stream_it_came_from() -> None:
    one, two = Source().stream, rx.from_iterable([EVENTS["a"]])
    stream = multiplex(one, Stream.of(two))
    assert stream.to_list().run() == of("1", "a")


def test_streams_take_turns_as_they_come() -> None:
    into = {x: of("0", x)[0] for x in "aF"} | dict(zip("bG", of("1", "b", "F"), strict=True))
    check_sources(
        lambda cold: multiplex(cold("-a---F|"), cold("---b---F|")),
        "-a-b-F-G|",
        values=EVENTS,
        into=into,
    )


async def test_each_event_says_by_name_which_stream_it_came_from() -> None:
    stream = multiplex({"x": Source(of("", *"SabF")).stream, "y": Source(of("", *"SrF")).stream})
    seen = await stream.to_list()
    assert [e for e in seen if e.stream_id == "x"] == of("x", *"SabF")
    assert [e for e in seen if e.stream_id == "y"] == of("y", *"SrF")
    assert len(seen) == 7


async def test_the_streams_own_events_stay_as_they_were() -> None:
    event = TextDelta(text="a", metadata={"k": 1}, choice=2)
    seen = await multiplex({"x": Source([event]).stream}).to_list()
    assert event.stream_id == ""
    assert seen == [event.model_copy(update={"stream_id": "x"})]
    assert seen[0].model_fields_set == {"text", "metadata", "choice", "stream_id"}


async def test_a_multiplex_of_multiplexes_names_both() -> None:
    inner = multiplex({"b": Source([EVENTS["a"]]).stream})
    outer = multiplex({"a": inner, "c": Source([EVENTS["a"]]).stream})
    assert sorted([e.stream_id for e in await outer.to_list()]) == ["a/b", "c"]


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b/c", "a/b"), ("a//b", "a/")])
async def test_no_name_begins_another_where_a_multiplex_above_would_join_them(
    names: tuple[str, str],
) -> None:
    with pytest.raises(ValueError, match="can not take both"):
        multiplex({name: Source([EVENTS["a"]]).stream for name in names})


async def test_names_may_have_a_slash() -> None:
    both = multiplex({name: Source([EVENTS["a"]]).stream for name in ("meta/llama", "meta/lla")})
    assert sorted([e.stream_id for e in await both.to_list()]) == ["meta/lla", "meta/llama"]


async def test_it_completes_when_all_streams_have() -> None:
    lines = Lines()
    lines.one.on_completed()
    assert lines.ends == []
    lines.two.on_completed()
    assert lines.ends == ["completed"]


async def test_no_stream_at_all_completes() -> None:
    assert await multiplex().to_list() == []
    assert await multiplex({}).to_list() == []


async def test_the_failure_of_one_stream_is_an_event_to_the_others() -> None:
    lines = Lines()
    lines.one.on_error(ServerError("down", status=503, provider="p", request_id="r"))
    lines.two.on_next(EVENTS["a"])
    lines.two.on_completed()
    failure = Error(
        stream_id="one",
        kind="server",
        message="down",
        details={"provider": "p", "status": 503, "request_id": "r", "retryable": True},
    )
    assert list(lines.below.items) == [failure, *of("two", "a")]
    assert lines.ends == ["completed"]


async def test_if_all_streams_fail_the_last_error_ends_the_whole() -> None:
    lines = Lines()
    lines.one.on_error(OTHER)
    assert lines.ends == []
    lines.two.on_error(ERROR)
    assert await lines.taken() == [("one", "error"), ("two", "error")]
    assert lines.ends == [ERROR]
    assert lines.ends[0] is ERROR


async def test_if_one_stream_completes_the_failures_of_the_others_end_nothing() -> None:
    lines = Lines()
    lines.one.on_completed()
    lines.two.on_error(ERROR)
    assert lines.ends == ["completed"]


async def test_fail_fast_ends_the_other_requests_at_once() -> None:
    source = Source(endless=True)
    bad = Subject[Any]()
    stream = multiplex(bad, source.stream.pipe(ops.map(text)), on_error="fail_fast")
    seen, _ = watched(stream)
    await settle()
    bad.on_error(ERROR)
    came = len(seen)
    await settle()
    assert (seen[-1], len(seen), source.closed) == (ERROR, came, 1)


async def test_fail_fast_still_delivers_what_had_been_received() -> None:
    lines = Lines(1, on_error="fail_fast")
    for n in range(3):
        lines.one.on_next(text(n))
        lines.two.on_next(text(n))
    lines.two.on_error(ERROR)
    lines.one.on_next(text("late"))
    assert not lines.one.observers
    assert lines.ends == []
    assert await lines.taken() == [
        ("one", "0"),
        ("two", "0"),
        ("one", "1"),
        ("two", "1"),
        ("one", "2"),
        ("two", "2"),
    ]
    assert lines.ends == [ERROR]


def at_once(*items: Any, error: Exception | None = None) -> Stream[Any]:
    """Emits while it is subscribed to."""

    def subscribe(observer: Any, scheduler: Any = None) -> Any:
        for item in items:
            observer.on_next(item)
        if error is None:
            observer.on_completed()
        else:
            observer.on_error(error)
        return Disposable()

    return Stream(subscribe)


class Asked(Stream[Any]):
    """Counts its subscriptions."""

    def __init__(self) -> None:
        self.asked = 0
        super().__init__(self._count)

    def _count(self, observer: Any, scheduler: Any = None) -> Any:
        self.asked += 1
        return Disposable()


async def test_fail_fast_while_subscribing_asks_no_further_stream() -> None:
    other = Asked()
    seen, _ = watched(multiplex(at_once(error=ERROR), other, on_error="fail_fast"))
    assert (seen, other.asked) == ([ERROR], 0)


async def test_streams_that_fail_all_at_once_do_not_overrun_a_busy_subscriber() -> None:
    below, ends = Buffer[Any](1, "below"), list[Any]()
    streams = [Source(error=ERROR).stream for _ in range(500)]
    multiplex(*streams).subscribe(below.push, ends.append)
    await settle()
    assert len(below.items) == 1
    seen: list[Any] = []
    while below.items:
        seen.append(below.pop().stream_id)
        await settle(3)
    assert seen == [str(position) for position in range(500)]
    assert ends == [ERROR]


async def test_a_stream_that_overruns_while_it_is_subscribed_to_fails_once() -> None:
    below = Buffer[Any](1, "below")
    multiplex(at_once(*(text(n) for n in range(1000))), rx.never(), queue=1).subscribe(below.push)
    seen: list[Any] = []
    while below.items:
        seen.append(below.pop().type)
        await settle(3)
    assert seen == ["text_delta", "error"]


async def test_an_item_from_another_thread_is_refused() -> None:
    one, seen, caught = Subject[Any](), list[Any](), list[Exception]()
    subscription = multiplex(one).subscribe(seen.append)

    def push() -> None:
        try:
            one.on_next(text("a"))
        except RuntimeError as error:
            caught.append(error)

    await asyncio.to_thread(push)
    assert "call_soon_threadsafe" in str(caught[0])
    assert seen == []
    subscription.dispose()


async def test_disposing_lets_a_shared_source_go_on_for_others() -> None:
    source, slow, seen = Source(endless=True), Slow(), list[Any]()
    shared = source.stream.pipe(ops.map(text), ops.share())
    other = shared.subscribe(seen.append)
    stream = multiplex(shared, queue=1).pipe(ops.map(id), map_async(slow, queue=1))
    _, subscription = watched(stream)
    await settle()
    came = len(seen)
    await settle()
    assert len(seen) == came
    subscription.dispose()
    await settle()
    assert len(seen) > came
    other.dispose()


async def test_a_stream_that_talks_much_does_not_keep_another_waiting() -> None:
    lines = Lines(1)
    for n in range(10):
        lines.one.on_next(text(n))
    lines.two.on_next(text("quiet"))
    taken = await lines.taken(4)
    assert ("two", "quiet") in taken[:3]


async def test_the_order_within_each_stream_is_kept_and_nothing_is_lost() -> None:
    async def same(event: Any) -> Any:
        await settle(int(event.text) % 3)
        return event

    streams = {
        name: Source([text(n) for n in range(100)]).stream.pipe(map_async(same, 1 + i))
        for i, name in enumerate("abcd")
    }
    seen = await multiplex(streams, queue=3).pipe(map_async(same, queue=2)).to_list()
    for name in streams:
        assert [int(e.text) for e in seen if e.stream_id == name] == list(range(100))


async def test_a_busy_subscriber_holds_every_stream() -> None:
    slow, sources = Slow(), [Source(endless=True) for _ in range(3)]
    streams = [source.stream.pipe(ops.map(text)) for source in sources]
    stream = multiplex(*streams, queue=4)
    _, subscription = watched(stream.pipe(ops.map(id), map_async(slow, queue=1)))
    await settle(200)
    assert all(4 <= source.pulled <= 6 for source in sources)
    subscription.dispose()
    await settle()
    assert [source.closed for source in sources] == [1, 1, 1]


async def test_streams_go_on_evenly_when_the_subscriber_does() -> None:
    sources = [Source(endless=True) for _ in range(5)]
    taken: list[str] = []

    async def take(event: Any) -> None:
        taken.append(event.stream_id)
        await settle(2)

    stream = multiplex(*(source.stream.pipe(ops.map(text)) for source in sources))
    subscription = stream.pipe(map_async(take, queue=1)).subscribe()
    while len(taken) < 500:
        await settle()
    subscription.dispose()
    counts = [taken.count(str(position)) for position in range(5)]
    assert max(counts) - min(counts) <= 20


async def test_thousands_of_streams_fit_over_a_slow_subscriber() -> None:
    async def take(event: Any) -> str:
        return str(event.stream_id)

    streams = [Source([text("a"), text("b")]).stream for _ in range(5000)]
    seen = await multiplex(*streams).pipe(map_async(take, queue=1)).to_list()
    assert len(seen) == 10_000
    assert len(set(seen)) == 5000


async def test_what_waits_is_delivered_in_parts_when_the_subscriber_lets_go_for_good() -> None:
    lines = Lines(1000, queue=1000)
    lines.below.size = 1
    for n in range(700):
        lines.one.on_next(text(n))
    lines.below.size = 10_000
    lines.below.release()
    await settle(1)
    assert 1 < len(lines.below.items) < 500
    await settle()
    assert [int(e.text) for e in lines.below.items] == list(range(1, 700))


async def test_a_stream_that_can_not_be_held_fails_alone() -> None:
    lines = Lines(1, queue=2)
    lines.two.on_next(text("b"))
    for n in range(4 * 2 + 64 + 1):
        lines.one.on_next(text(n))
    assert not lines.one.observers
    taken = await lines.taken()
    assert taken == [("two", "b"), ("one", "error")]
    lines.two.on_next(text("c"))
    lines.two.on_completed()
    assert await lines.taken() == [("two", "c")]
    assert lines.ends == ["completed"]


async def test_with_fail_fast_a_stream_that_can_not_be_held_fails_all() -> None:
    lines = Lines(1, queue=2, on_error="fail_fast")
    lines.two.on_next(text("b"))
    lines.two.on_next(text("c"))
    for n in range(4 * 2 + 64 + 1):
        lines.one.on_next(text(n))
    assert await lines.taken() == [("two", "b"), ("two", "c")]
    assert [type(end) for end in lines.ends] == [BackpressureError]


async def test_a_failure_comes_after_what_waits_of_its_stream() -> None:
    lines = Lines(1)
    for n in range(3):
        lines.one.on_next(text(n))
    lines.one.on_error(ERROR)
    lines.two.on_completed()
    assert lines.ends == []
    assert await lines.taken() == [("one", "0"), ("one", "1"), ("one", "2"), ("one", "error")]
    assert lines.ends == ["completed"]


async def test_an_item_that_is_no_event_is_told_so() -> None:
    source = Source(endless=True)
    seen, _ = watched(multiplex({"good": Source().stream, "bad": source.stream}))
    await settle()
    assert [type(item) for item in seen] == [TypeError]
    assert "'bad' has an item of type int" in str(seen[0])
    assert source.closed == 1


async def test_a_subscriber_that_raises_gets_its_own_error_and_no_stream_is_blamed() -> None:
    sources = [Source(of("", *"SabF")), Source(of("", *"SabF"))]
    seen: list[Any] = []

    def second_fails(event: Any) -> None:
        seen.append(event)
        if len(seen) == 2:
            raise ERROR

    multiplex(*(s.stream for s in sources)).subscribe(second_fails, seen.append)
    await settle()
    assert seen[2:] == [ERROR]
    assert sources[0].closed == 1
    assert sources[1].asked == sources[1].closed


async def test_a_subscriber_that_raises_at_what_had_waited_gets_its_own_error() -> None:
    gate, seen, one = Buffer[Any](1, "below"), list[Any](), Subject[Any]()

    def busy_then_fails(event: Any) -> None:
        if gate.items or seen:
            raise ERROR
        gate.push(event)

    multiplex(one).subscribe(busy_then_fails, seen.append)
    one.on_next(text("a"))
    one.on_next(text("b"))
    assert seen == []
    seen.append(gate.pop())
    await settle()
    assert seen[1:] == [ERROR]
    assert not one.observers


async def test_an_error_event_at_which_the_subscriber_raises_ends_it_with_that() -> None:
    seen: list[Any] = []

    def raises(_: Any) -> None:
        raise ERROR

    multiplex(Source(error=OTHER).stream, rx.never()).subscribe(raises, seen.append)
    await settle()
    assert seen == [ERROR]


async def test_dispose_ends_every_request() -> None:
    before = asyncio.all_tasks()
    sources = [Source(endless=True) for _ in range(10)]
    seen, subscription = watched(multiplex(*(s.stream.pipe(ops.map(text)) for s in sources)))
    await settle()
    subscription.dispose()
    subscription.dispose()
    seen.clear()
    await settle()
    assert seen == []
    assert [s.closed for s in sources] == [1] * 10
    assert asyncio.all_tasks() == before


async def test_dispose_while_the_subscriber_is_busy_ends_every_request() -> None:
    slow, sources, before = Slow(), [Source(endless=True) for _ in range(3)], asyncio.all_tasks()
    stream = multiplex(*(s.stream.pipe(ops.map(text)) for s in sources), queue=2, block_for=9.0)
    _, subscription = watched(stream.pipe(ops.map(id), map_async(slow, queue=1)))
    await settle()
    subscription.dispose()
    await settle()
    assert [s.closed for s in sources] == [1, 1, 1]
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("room", [1, 1000])
async def test_take_ends_every_request_from_within(room: int) -> None:
    sources = [Source(endless=True) for _ in range(3)]
    taken = Subject[Any]()
    stream = multiplex(*(s.stream.pipe(ops.map(text)) for s in sources), queue=room)
    items = await stream.pipe(ops.take(5), map_async(lambda e: asyncio.sleep(0, e))).to_list()
    await settle()
    assert len(items) == 5
    assert [s.closed for s in sources] == [1, 1, 1]
    taken.dispose()


async def test_an_event_that_comes_from_within_goes_straight_down() -> None:
    lines = Lines()
    stream, seen = multiplex(lines.one, lines.two), list[str]()

    def answer(event: Any) -> None:
        seen.append(event.stream_id)
        if event.stream_id == "0":
            lines.two.on_next(text("b"))

    stream.subscribe(answer)
    lines.one.on_next(text("a"))
    assert seen == ["0", "1"]


async def test_an_event_that_comes_from_within_does_not_wait_for_itself() -> None:
    one, two, below, seen = Subject[Any](), Subject[Any](), Buffer[Any](1, "below"), list[str]()

    def answer(event: Any) -> None:
        below.push(event)
        if event.stream_id == "0" and below.gate.closed:
            two.on_next(text("b"))

    multiplex(one, two, queue=1).subscribe(answer)
    for n in range(3):
        one.on_next(text(n))
    while below.items:
        seen.append(below.pop().stream_id)
        await settle()
    assert sorted(seen) == ["0", "0", "0", "1", "1", "1"]


async def test_two_subscriptions_share_nothing() -> None:
    stream = multiplex(Source(of("", *"SabF")).stream, Source(of("", *"SF")).stream)
    first, second = await asyncio.gather(stream.to_list(), stream.to_list())
    assert first == second
    assert len(first) == 6


async def test_what_had_waited_goes_down_in_the_subscribers_context() -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody")
    name.set("subscriber")
    lines, found = Lines(1), list[str]()
    stream = multiplex(lines.one).pipe(ops.do_action(lambda _: found.append(name.get())))
    gate = Buffer[Any](1, "gate")
    stream.subscribe(gate.push)
    lines.one.on_next(text("a"))
    lines.one.on_next(text("b"))

    async def consumer() -> None:
        name.set("consumer")
        gate.pop()

    await asyncio.create_task(consumer())
    await settle()
    assert found == ["subscriber"] * 2


# multiplex(block_for=…)


class Clocked(Lines):
    """Lines over a busy subscriber, with a virtual clock."""

    def __init__(self, room: int = 1, **options: Any) -> None:
        self.clock = Timers()
        super().__init__(room, self.clock, block_for=5.0, **options)

    async def delivered(self) -> list[Any]:
        """What the subscriber gets once it goes on; nobody is held for any time."""
        got: list[Any] = []
        while self.below.items:
            event = self.below.pop()
            got.append((event.stream_id, getattr(event, "text", None) or event.type))
            if isinstance(event, Error):
                got[-1] = (event.stream_id, event.kind, event.details)
            self.clock.advance_by(0)
            await settle(1)
            self.clock.advance_by(0.001)
        return got


async def test_a_delta_that_was_blocked_too_long_is_dropped_and_counted() -> None:
    lines = Clocked()
    for n in range(4):
        lines.one.on_next(text(n))
    lines.clock.advance_by(4.9)
    lines.one.on_next(text("late"))
    lines.clock.advance_by(0.1)
    gap = ("one", "dropped", {"dropped": 3, "total": 3})
    assert await lines.delivered() == [("one", "0"), gap, ("one", "late")]


async def test_nothing_is_dropped_before_its_time() -> None:
    lines = Clocked()
    for n in range(4):
        lines.one.on_next(text(n))
    lines.clock.advance_by(4.9)
    assert await lines.delivered() == [("one", str(n)) for n in range(4)]


async def test_each_gap_is_told_once_where_it_is() -> None:
    lines = Clocked()
    lines.one.on_next(text("first"))
    for event in (text(1), text(2), EVENTS["C"], text(3), EVENTS["U"], EVENTS["F"]):
        lines.one.on_next(event)
    lines.clock.advance_by(20)
    lines.one.on_completed()
    lines.two.on_completed()
    assert await lines.delivered() == [
        ("one", "first"),
        ("one", "dropped", {"dropped": 2, "total": 2}),
        ("one", "tool_call"),
        ("one", "dropped", {"dropped": 1, "total": 3}),
        ("one", "usage"),
        ("one", "finish"),
    ]
    assert lines.ends == ["completed"]


async def test_only_deltas_are_ever_dropped() -> None:
    signed = ReasoningDelta(text="r", signature="s")
    kept = [EVENTS[x] for x in "SCUF"] + [Retry(delay=1.0), Error(kind="k", message="m")]
    lines = Clocked()
    lines.two.on_next(text("first"))
    for event in [*kept, signed]:
        lines.one.on_next(event)
    lines.clock.advance_by(100)
    types = [told[1] for told in (await lines.delivered())[1:]]
    assert types == ["start", "tool_call", "usage", "finish", "retry", "k", "r"]


async def test_what_may_not_be_dropped_is_bounded_too() -> None:
    lines = Clocked(queue=2)
    source = Source([ToolCall(id=str(n), name="f") for n in range(100)])
    stream = multiplex(source.stream, block_for=5.0, queue=2, scheduler=lines.clock)
    below = Buffer[Any](1, "below")
    stream.subscribe(below.push)
    for _ in range(20):
        await settle()
        lines.clock.advance_by(5)
    assert source.pulled <= 8
    seen: list[str] = []
    while below.items:
        seen.append(below.pop().id)
        lines.clock.advance_by(0.001)
        await settle(5)
    assert seen == [str(n) for n in range(100)]


async def test_a_stream_goes_on_reading_while_its_deltas_are_dropped() -> None:
    clock, source, below = Timers(), Source(endless=True), Buffer[Any](1, "below")
    stream = source.stream.pipe(ops.map(text))
    subscription = multiplex(stream, block_for=5.0, queue=4, scheduler=clock).subscribe(below.push)
    await settle(100)
    pulled = source.pulled
    clock.advance_by(5)
    await settle(100)
    assert source.pulled == pulled + 4
    subscription.dispose()


async def test_after_a_gap_deltas_are_dropped_in_their_time_again() -> None:
    lines = Clocked()
    lines.two.on_next(text("first"))
    for total in (1, 2, 3):
        lines.one.on_next(text(total))
        lines.clock.advance_by(4.9)
        assert len(lines.clock.made) == total
        lines.clock.advance_by(50)
    gap = ("one", "dropped", {"dropped": 3, "total": 3})
    assert await lines.delivered() == [("two", "first"), gap]


async def test_one_deadline_serves_all_streams() -> None:
    lines = Clocked()
    for n in range(10):
        lines.one.on_next(text(n))
        lines.two.on_next(text(n))
        lines.clock.advance_by(0.1)
    assert len(lines.clock.made) == 1
    lines.clock.advance_by(20)
    assert len(lines.clock.made) <= 21
    made = len(lines.clock.made)
    lines.clock.advance_by(100)
    assert len(lines.clock.made) == made
    assert sorted([told[2]["dropped"] for told in (await lines.delivered())[1:]]) == [9, 10]


async def test_no_deadline_is_set_while_nobody_is_busy() -> None:
    lines = Clocked(room=100)
    for n in range(10):
        lines.one.on_next(text(n))
    assert lines.clock.made == []


async def test_dispose_ends_the_deadline() -> None:
    lines = Clocked()
    lines.one.on_next(text("a"))
    lines.one.on_next(text("b"))
    lines.subscription.dispose()
    assert lines.clock.pending == 0


# What multiplex refuses, and shows.


@pytest.mark.parametrize(
    "make",
    [
        lambda: multiplex("text"),  # type: ignore[arg-type]
        lambda: multiplex([Source().stream]),  # type: ignore[arg-type]
        lambda: multiplex(Source().stream, {"x": Source().stream}),
        lambda: multiplex({1: Source().stream}),  # type: ignore[dict-item]
    ],
)
def test_what_is_no_stream_is_refused_at_once(make: Callable[[], Any]) -> None:
    with pytest.raises(TypeError, match=r"multiplex\(\) takes"):
        make()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"on_error": "ignore"}, "isolate"),
        ({"block_for": 0.0}, "block_for"),
        ({"queue": 0}, "at least one"),
    ],
)
def test_bad_options_are_refused_at_once(options: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        multiplex(Source().stream, **options)


def test_an_empty_name_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="not empty"):
        multiplex({"": Source().stream})


def test_it_is_a_stream_of_events_and_shows_its_names() -> None:
    stream = multiplex({"x": Source().stream, "y": Source().stream})
    assert stream.of_events
    assert repr(stream) == "Stream(multiplex(x, y))"
    assert repr(multiplex(*[Source().stream] * 9)) == "Stream(multiplex(9 streams))"


# race


def test_the_first_with_content_wins_and_its_earlier_events_come_first() -> None:
    values: dict[str, Any] = {**EVENTS, "T": Start(model="quick")}
    check_sources(
        lambda cold: race(cold("-S--------c-|"), cold("--T--a------b|")),
        "-----(T,a)--b|",
        values=values,
    )


async def test_the_losers_requests_close_at_once() -> None:
    slow, winner = Source(endless=True), Subject[Any]()
    thinking = slow.stream.pipe(ops.map(lambda n: Raw(record=n)))
    seen, _ = watched(race(thinking, winner))
    await settle()
    assert (slow.asked, slow.closed) == (1, 0)
    winner.on_next(EVENTS["a"])
    await settle()
    assert (seen, slow.closed) == ([EVENTS["a"]], 1)


class Racers:
    """A race of two streams that the test speaks for."""

    def __init__(self) -> None:
        self.one, self.two = Subject[Any](), Subject[Any]()
        self.seen, self.subscription = watched(race(self.one, self.two))


@pytest.mark.parametrize(
    "event", [Start(), Usage(), Raw(record={}), Retry(delay=1.0)], ids=lambda e: e.type
)
def test_what_is_no_content_does_not_win(event: StreamEvent) -> None:
    racers = Racers()
    racers.one.on_next(event)
    assert racers.two.observers
    racers.two.on_next("b")
    assert not racers.one.observers
    racers.one.on_next("late")
    racers.two.on_next("c")
    racers.two.on_completed()
    assert racers.seen == ["b", "c", "end"]


@pytest.mark.parametrize("event", [EVENTS["r"], EVENTS["C"], EVENTS["F"]], ids=lambda e: e.type)
def test_everything_else_wins(event: StreamEvent) -> None:
    racers = Racers()
    racers.one.on_next(EVENTS["S"])
    racers.one.on_next(event)
    assert not racers.two.observers
    assert racers.seen == [EVENTS["S"], event]


def test_all_of_the_winners_events_come_in_order() -> None:
    racers, events = Racers(), [EVENTS[letter] for letter in "SUaUbFU"]
    for event in events:
        racers.one.on_next(event)
    assert racers.seen == events


def test_the_others_are_disposed_before_anything_is_passed_on() -> None:
    two, found = Subject[Any](), list[int]()
    one = Subject[Any]()
    race(one, two).subscribe(lambda _: found.append(len(two.observers)))
    one.on_next(EVENTS["S"])
    one.on_next(EVENTS["a"])
    assert found == [0, 0]


def test_a_stream_that_fails_without_content_is_out() -> None:
    racers = Racers()
    racers.one.on_next(EVENTS["S"])
    racers.one.on_error(OTHER)
    racers.two.on_next("b")
    racers.two.on_error(ERROR)
    assert racers.seen == ["b", ERROR]


def test_if_all_fail_the_last_error_arrives_with_the_others_in_it() -> None:
    racers, first, last = Racers(), ServerError("down"), TimedOutError("slow")
    last.attempts = (OTHER,)
    racers.two.on_error(first)
    racers.one.on_error(last)
    assert racers.seen == [last]
    assert list(last.attempts) == [first, OTHER]


def test_an_error_that_several_streams_share_does_not_hold_itself() -> None:
    racers, same = Racers(), ServerError("down")
    racers.one.on_error(same)
    racers.two.on_error(same)
    assert racers.seen == [same]
    assert same.attempts == ()


def test_a_stream_that_completes_without_content_is_out() -> None:
    racers = Racers()
    racers.one.on_completed()
    racers.two.on_next("b")
    assert racers.seen == ["b"]


@pytest.mark.parametrize("completes_first", [True, False])
def test_if_none_has_content_the_first_that_completed_is_the_answer(completes_first: bool) -> None:
    racers = Racers()
    racers.one.on_next(EVENTS["S"])
    racers.two.on_next(EVENTS["U"])
    if completes_first:
        racers.one.on_completed()
        racers.two.on_completed()
    else:
        racers.two.on_error(ERROR)
        racers.one.on_completed()
    assert racers.seen == [EVENTS["S"], "end"]


def test_what_is_held_back_is_bounded_and_keeps_the_start() -> None:
    racers = Racers()
    for event in [EVENTS["S"], *(Raw(record=n) for n in range(1000))]:
        racers.one.on_next(event)
    racers.one.on_next("a")
    assert len(racers.seen) == 65
    assert racers.seen[0] == EVENTS["S"]
    assert racers.seen[-2:] == [Raw(record=999), "a"]


async def test_a_winner_while_subscribing_saves_the_other_requests() -> None:
    other = Asked()
    seen, _ = watched(race(at_once("a"), other))
    assert (seen, other.asked) == (["a", "end"], 0)


async def test_disposing_a_race_ends_every_request() -> None:
    sources = [Source([EVENTS["S"], EVENTS["U"]], endless=True) for _ in range(3)]
    streams = [s.stream.pipe(ops.filter(lambda e: isinstance(e, Start))) for s in sources]
    seen, subscription = watched(race(*streams))
    await settle()
    subscription.dispose()
    subscription.dispose()
    await settle()
    assert seen == []
    assert [s.closed for s in sources] == [1, 1, 1]


async def test_a_winner_is_held_by_a_busy_subscriber() -> None:
    slow, source = Slow(), Source(endless=True)
    _, subscription = watched(race(source.stream, rx.never()).pipe(map_async(slow, queue=4)))
    await settle(100)
    assert source.pulled <= 6
    subscription.dispose()


async def test_a_subscriber_of_a_race_that_raises_gets_its_own_error() -> None:
    source, seen = Source(endless=True), list[Any]()

    def raises(_: Any) -> None:
        raise ERROR

    race(source.stream, rx.never()).subscribe(raises, seen.append)
    await settle()
    assert (seen, source.closed) == ([ERROR], 1)


def test_a_race_refuses_no_streams_and_what_is_none_at_once() -> None:
    with pytest.raises(ValueError, match="at least one"):
        race()
    with pytest.raises(TypeError, match="got one of type list"):
        race([Source().stream])  # type: ignore[arg-type]


def test_a_race_of_streams_of_events_is_one() -> None:
    events, other = Source(of_events=True).stream, Source().stream
    assert race(events, events).of_events
    assert not race(events, other).of_events
    assert repr(race(events, other)) == "Stream(race(2 streams))"
