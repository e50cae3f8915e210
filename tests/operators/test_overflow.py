"""The policies of every bounded queue, seen through `relay` and a branch of `fan_out`."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from reactivex import Observable
from reactivex import operators as ops
from reactivex.disposable import SerialDisposable
from reactivex.subject import Subject
from reactivex.testing import TestScheduler

from gai_rx import BackpressureError, Stream
from gai_rx.boundary import Inbox
from gai_rx.conflation import Joined, join
from gai_rx.events import (
    AudioDelta,
    Error,
    Finish,
    ObjectDelta,
    ReasoningDelta,
    RefusalDelta,
    Start,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    Usage,
    parse_event,
)
from gai_rx.flow import Buffer, Pressure, current
from gai_rx.operators.fan_out import Tagged, branch, fan_out
from gai_rx.operators.flowing import relay
from gai_rx.operators.pacing import limit_rate
from gai_rx.overflow import make_policy
from tests.operators.sources import Source, settle

ERROR = ZeroDivisionError("mine")
POLICIES: list[Any] = [
    "block",
    "drop_newest",
    "drop_oldest",
    "latest",
    "conflate",
    "error",
    "caller_runs",
]
DROPPING: list[Any] = ["drop_newest", "drop_oldest", "latest"]


def relayed(size: int, overflow: Any) -> Callable[[Observable[Any]], Stream[Any]]:
    return relay(size, overflow=overflow)


def branched(size: int, overflow: Any) -> Callable[[Observable[Any]], Stream[Any]]:
    """The same queue, as the only branch of a fan-out."""

    def value(tagged: Any) -> Any:
        return tagged.value

    def operator(source: Observable[Any]) -> Stream[Any]:
        tagged = Stream.of(source).pipe(fan_out(x=branch(queue=size, overflow=overflow)))
        return Stream.of(tagged.pipe(ops.filter(lambda t: isinstance(t, Tagged)), ops.map(value)))

    return operator


both = pytest.mark.parametrize("boundary", [relayed, branched])


class Reader:
    """Reads one item at a time, when it is told to."""

    def __init__(self, stream: Observable[Any]) -> None:
        self.seen: list[Any] = []
        self.end: Any = None
        self._buffer: Buffer[Any] = Buffer(1, "reader")
        self.subscription = stream.subscribe(self._buffer.push, self._end, lambda: self._end("end"))

    def _end(self, how: Any) -> None:
        self.end = how

    async def read(self, most: int = 10_000) -> list[Any]:
        """Read all that comes, up to so many items; all that was read."""
        await settle()
        for _ in range(most):
            if not self._buffer.items:
                break
            self.seen.append(self._buffer.pop())
            await settle(3)
        return self.seen


# What each policy lets through


@both
@pytest.mark.parametrize(
    ("overflow", "through"),
    [
        ("block", range(10)),
        ("drop_newest", [0, 1, 2]),
        ("drop_oldest", [7, 8, 9]),
        ("latest", [9]),
        ("conflate", range(10)),  # numbers do not join
        ("error", []),
        ("caller_runs", range(10)),
    ],
)
async def test_a_policy_decides_what_of_a_burst_goes_through(
    boundary: Any, overflow: Any, through: Any
) -> None:
    reader = Reader(Source(range(10)).stream.pipe(boundary(3, overflow)))
    assert await reader.read() == list(through)
    if overflow == "error":
        assert isinstance(reader.end, BackpressureError)
    else:
        assert reader.end == "end"


@pytest.mark.parametrize("overflow", POLICIES)
async def test_nothing_is_lost_while_there_is_room(overflow: Any) -> None:
    size = 1 if overflow == "latest" else 5
    subject: Subject[str] = Subject()
    seen: list[str] = []
    subscription = Stream.of(subject).pipe(relay(size, overflow=overflow)).subscribe(seen.append)
    for letter in "abcdefg":
        subject.on_next(letter)
        await settle(3)
    assert seen == list("abcdefg")
    subscription.dispose()


@both
@pytest.mark.parametrize("overflow", ["block", "conflate", "caller_runs"])
async def test_a_policy_that_loses_nothing_holds_the_source(boundary: Any, overflow: Any) -> None:
    source = Source(endless=True)
    reader = Reader(source.stream.pipe(boundary(4, overflow)))
    await settle(100)
    held_at = source.pulled
    assert held_at <= 4 + 3
    await reader.read(20)
    assert held_at < source.pulled <= held_at + 21
    assert reader.seen == list(range(1, 21))
    reader.subscription.dispose()


@pytest.mark.parametrize("overflow", POLICIES)
async def test_a_foreign_thread_is_refused_whatever_the_policy(overflow: Any) -> None:
    subject: Subject[int] = Subject()
    seen: list[Any] = []
    caught: list[Any] = []
    stream = Stream.of(subject).pipe(relay(1, overflow=overflow))
    subscription = stream.subscribe(seen.append, seen.append)

    def emit() -> None:
        try:
            subject.on_next(1)
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=emit)
    thread.start()
    thread.join()
    await settle()
    assert "call_soon_threadsafe" in str(caught[0])
    assert seen == []
    subscription.dispose()


# Dropping


LETTERS = [TextDelta(text=letter) for letter in "abcdefgh"]
KEPT = [
    Start(),
    ToolCall(id="1", name="f"),
    ToolResult(id="1"),
    Error(kind="k", message="m"),
    Finish(reason="stop"),
]


@both
@pytest.mark.parametrize("overflow", DROPPING)
async def test_of_events_only_deltas_are_dropped(boundary: Any, overflow: Any) -> None:
    answer = [KEPT[0], *LETTERS, KEPT[1], KEPT[2], *LETTERS, KEPT[3], *LETTERS, KEPT[4]]
    reader = Reader(Source(answer).stream.pipe(boundary(5, overflow)))
    await reader.read()
    assert [event for event in reader.seen if event in KEPT] == KEPT
    assert len(reader.seen) < len(answer)
    assert reader.end == "end"


@pytest.mark.parametrize("overflow", DROPPING)
async def test_what_may_not_be_dropped_holds_the_source(overflow: Any) -> None:
    source = Source([ToolCall(id=str(n), name="f") for n in range(20)])
    reader = Reader(source.stream.pipe(relay(4, overflow=overflow)))
    await settle(50)
    assert source.pulled <= 4 + 3
    assert [call.id for call in await reader.read()] == [str(n) for n in range(20)]


@pytest.mark.parametrize("overflow", DROPPING)
async def test_a_delta_with_a_signature_is_not_dropped(overflow: Any) -> None:
    signed = [TextDelta(text="x", signature="s"), ReasoningDelta(encrypted="e")]
    reader = Reader(Source([*LETTERS, *signed, *LETTERS]).stream.pipe(relay(3, overflow=overflow)))
    seen = await reader.read()
    assert [event for event in seen if event in signed] == signed


async def test_latest_keeps_one_piece_and_all_that_may_not_be_dropped() -> None:
    answer = [LETTERS[0], KEPT[1], LETTERS[1], KEPT[2], LETTERS[2], LETTERS[3]]
    reader = Reader(Source(answer).stream.pipe(relay(8, overflow="latest")))
    assert await reader.read() == [KEPT[1], KEPT[2], LETTERS[3]]


@pytest.mark.parametrize(
    ("overflow", "lost"), [("drop_newest", "cd"), ("drop_oldest", "ab"), ("latest", "abc")]
)
async def test_each_dropped_item_is_told(overflow: Any, lost: str) -> None:
    dropped: list[str] = []
    stream = Source("abcd").stream.pipe(relay(2, overflow=overflow, on_drop=dropped.append))
    await Reader(stream).read()
    assert "".join(dropped) == lost


async def test_an_error_of_on_drop_ends_the_stream() -> None:
    def refuse(item: object) -> None:
        raise ERROR

    source = Source(endless=True)
    reader = Reader(source.stream.pipe(relay(2, overflow="drop_newest", on_drop=refuse)))
    await reader.read()
    assert reader.end is ERROR
    assert source.closed == 1


# Conflating


def conflated(*items: Any) -> list[Any]:
    """The items after all neighbours have been joined that can be."""
    waiting: deque[Any] = deque()
    for item in items:
        if not join(waiting, item):
            waiting.append(item)
    return [item.result() if isinstance(item, Joined) else item for item in waiting]


@pytest.mark.parametrize(
    ("pieces", "whole"),
    [
        ("abc", "abc"),
        (["a\r", "\nb\r\n", "\ud83d"], "a\r\nb\r\n\ud83d"),
        (
            [TextDelta(text="a", choice=1, block=2), TextDelta(text="b", choice=1, block=2)],
            TextDelta(text="ab", choice=1, block=2),
        ),
        (
            [ReasoningDelta(text="a", id="r"), ReasoningDelta(text="b", id="r")],
            ReasoningDelta(text="ab", id="r"),
        ),
        ([RefusalDelta(text="a"), RefusalDelta(text="b")], RefusalDelta(text="ab")),
        (
            [
                ToolCallDelta(id="1", name="f", arguments='{"a'),
                ToolCallDelta(id="1", arguments='": '),
                ToolCallDelta(id="1", name="f", arguments="1}"),
            ],
            ToolCallDelta(id="1", name="f", arguments='{"a": 1}'),
        ),
        (
            [AudioDelta(data=b"\x00\xff", mime="m"), AudioDelta(data=b"\x01", mime="m")],
            AudioDelta(data=b"\x00\xff\x01", mime="m"),
        ),
        (
            [ObjectDelta(value={}, text="{"), ObjectDelta(value={"a": 1}, text='"a": 1')],
            ObjectDelta(value={"a": 1}, text='{"a": 1'),
        ),
    ],
)
def test_pieces_of_one_text_become_one(pieces: Any, whole: Any) -> None:
    assert conflated(*pieces) == [whole]


def test_a_joined_event_survives_json() -> None:
    (whole,) = conflated(TextDelta(text="a", block=1), TextDelta(text="b", block=1, step=0))
    assert parse_event(whole.model_dump_json()) == whole
    assert whole.model_dump(exclude_unset=True) == {"text": "ab", "block": 1, "step": 0}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (TextDelta(text="a"), TextDelta(text="b", choice=1)),
        (TextDelta(text="a"), TextDelta(text="b", block=1)),
        (TextDelta(text="a"), TextDelta(text="b", step=1)),
        (TextDelta(text="a"), TextDelta(text="b", attempt=2)),
        (TextDelta(text="a"), TextDelta(text="b", stream_id="s")),
        (TextDelta(text="a"), TextDelta(text="b", metadata={"logprob": -1})),
        (TextDelta(text="a"), TextDelta(text="b", signature="s")),
        (TextDelta(text="a", signature="s"), TextDelta(text="b")),
        (TextDelta(text="a"), ReasoningDelta(text="b")),
        (TextDelta(text="a"), "b"),
        (ReasoningDelta(text="a"), ReasoningDelta(encrypted="b")),
        (ReasoningDelta(text="a", id="1"), ReasoningDelta(text="b", id="2")),
        (ToolCallDelta(id="1", arguments="a"), ToolCallDelta(id="2", arguments="b")),
        (ToolCallDelta(id="1", arguments="a"), ToolCallDelta(id="1", arguments="b", index=1)),
        (ToolCallDelta(id="1", name="f"), ToolCallDelta(id="1", name="g")),
        (AudioDelta(data=b"a", mime="m"), AudioDelta(data=b"b", mime="n")),
        (Usage(input_tokens=1), Usage(input_tokens=1)),
        (1, 2),
        (b"a", b"b"),
    ],
)
def test_what_does_not_belong_together_stays_apart(one: Any, other: Any) -> None:
    assert conflated(one, other) == [one, other]


@both
async def test_conflating_keeps_the_text_whole_and_everything_in_order(boundary: Any) -> None:
    source = Source([KEPT[0], *LETTERS, *KEPT[1:3], *LETTERS, KEPT[4]])
    reader = Reader(source.stream.pipe(boundary(6, "conflate")))
    await settle(50)
    assert source.closed == 1, "joining has made room for all"
    assert await reader.read() == [
        KEPT[0],
        TextDelta(text="abcdefgh"),
        *KEPT[1:3],
        TextDelta(text="abcdefgh"),
        KEPT[4],
    ]


async def test_what_has_been_joined_already_is_joined_again() -> None:
    objects = [ObjectDelta(value=n, text=f"{n} ") for n in range(5)]
    reader = Reader(Source([*objects, KEPT[4]]).stream.pipe(relay(2, overflow="conflate")))
    assert await reader.read() == [ObjectDelta(value=4, text="0 1 2 3 4 "), KEPT[4]]
    assert reader.seen[0].value == 4


async def test_pieces_go_on_as_they_are_while_there_is_room() -> None:
    reader = Reader(Source("abcd").stream.pipe(relay(4, overflow="conflate")))
    assert await reader.read() == list("abcd")


async def test_100_000_deltas_stay_whole_and_few_for_a_reader_of_ten_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    most = 0
    put = Inbox.put

    def watched(inbox: Inbox[Any], item: Any) -> None:
        nonlocal most
        put(inbox, item)
        most = max(most, len(inbox.buffer.items))

    monkeypatch.setattr(Inbox, "put", watched)
    clock = TestScheduler()
    subject: Subject[TextDelta] = Subject()
    seen: list[TextDelta] = []
    Stream.of(subject).pipe(
        relay(16, overflow="conflate"), limit_rate(10, queue=1, scheduler=clock)
    ).subscribe(seen.append)
    for start in range(0, 100_000, 1000):
        for n in range(start, start + 1000):
            subject.on_next(TextDelta(text=f"{n} "))
        clock.advance_by(0.1)
        await settle(5)
    subject.on_completed()
    for _ in range(40):
        clock.advance_by(0.1)
        await settle(5)
    assert "".join(event.text for event in seen) == "".join(f"{n} " for n in range(100_000))
    assert most == 16
    assert len(seen) < 150


async def test_pending_text_is_bounded_in_bytes_and_holds_the_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gai_rx.overflow.PENDING", 100)
    source = Source(["ä" * 5] * 50)
    reader = Reader(source.stream.pipe(relay(3, overflow="conflate")))
    await settle(100)
    assert source.pulled == 10, "ten bytes each"
    assert "".join(await reader.read()) == "ä" * 250
    assert reader.end == "end"


def test_pending_text_never_holds_the_task_that_empties_the_queue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gai_rx.overflow.PENDING", 100)
    buffer = Buffer[str](3, "conflate")
    policy = make_policy("conflate", buffer)
    buffer.reader, producer = Pressure(), Pressure()
    for pressure in (buffer.reader, producer):
        token = current.set(pressure)
        policy.put("a" * 100)
        current.reset(token)
    assert buffer.reader.gates == [], "it would wait for itself"
    assert producer.gates == [buffer.gate]


async def test_too_much_pending_text_of_a_source_that_can_not_be_held_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gai_rx.overflow.PENDING", 1 << 20)
    subject: Subject[str] = Subject()
    reader = Reader(Stream.of(subject).pipe(relay(3, overflow="conflate")))
    for _ in range(4):
        subject.on_next("x" * (1 << 20))
    await reader.read()
    assert isinstance(reader.end, BackpressureError)
    assert "3 MiB of text wait where 1 may" in str(reader.end)


# The caller runs


async def test_who_finds_no_room_delivers_the_oldest_in_his_own_turn() -> None:
    subject: Subject[int] = Subject()
    seen: list[int] = []
    Stream.of(subject).pipe(relay(3, overflow="caller_runs")).subscribe(seen.append)
    for n in range(10_000):
        subject.on_next(n)
    assert seen == list(range(10_000 - 3)), "no turn of the loop has passed"
    subject.on_completed()
    await settle()
    assert seen == list(range(10_000))


async def test_what_is_full_below_holds_the_caller() -> None:
    source = Source(endless=True)
    reader = Reader(source.stream.pipe(relay(2, overflow="caller_runs"), relay(2)))
    await settle(50)
    assert source.pulled <= 2 + 2 + 4
    await reader.read(10)
    assert reader.seen == list(range(1, 11))
    reader.subscription.dispose()


async def test_an_item_brought_about_by_a_delivery_comes_after_it() -> None:
    subject: Subject[int] = Subject()
    inside = 0
    seen: list[int] = []

    def feed(n: int) -> None:
        nonlocal inside
        inside += 1
        assert inside == 1
        seen.append(n)
        if n < 50:
            subject.on_next(n + 1)
        inside -= 1

    Stream.of(subject).pipe(relay(1, overflow="caller_runs")).subscribe(feed)
    subject.on_next(0)
    subject.on_next(100)
    await settle(300)
    assert seen == [0, 100, *range(1, 51)]


async def test_a_subscriber_that_raises_in_the_callers_turn_gets_its_own_error() -> None:
    subject: Subject[int] = Subject()
    ends: list[Any] = []

    def refuse(_: int) -> None:
        raise ERROR

    Stream.of(subject).pipe(relay(1, overflow="caller_runs")).subscribe(refuse, ends.append)
    for n in range(5):
        subject.on_next(n)
    await settle()
    assert ends == [ERROR]
    assert not subject.observers


@both
async def test_dispose_in_the_callers_turn_stops_at_once(boundary: Any) -> None:
    subject: Subject[int] = Subject()
    seen: list[int] = []
    subscription = SerialDisposable()

    def dispose_at_two(n: int) -> None:
        seen.append(n)
        if n == 2:
            subscription.dispose()

    subscription.disposable = (
        Stream.of(subject).pipe(boundary(1, "caller_runs")).subscribe(dispose_at_two)
    )
    for n in range(10):
        subject.on_next(n)
    await settle()
    assert seen == [0, 1, 2]
    assert not subject.observers
    assert len(asyncio.all_tasks()) == 1


# Options


def test_relay_shows_its_policy() -> None:
    assert repr(Source().stream.pipe(relay(4, overflow="conflate"))) == (
        "Stream(source | relay(4, overflow='conflate'))"
    )
