"""Operators that make many items of one, or at the end: nothing below is overrun by them."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import reactivex as rx
from reactivex import Observable
from reactivex import operators as ops
from reactivex.disposable import CompositeDisposable
from reactivex.subject import Subject
from reactivex.testing import TestScheduler

from gai_rx import (
    BackpressureError,
    Error,
    Finish,
    ObjectInvalidError,
    OverloadedError,
    StalledError,
    Stream,
    TextDelta,
)
from gai_rx.flow import Buffer
from gai_rx.operators import (
    batch,
    collect,
    elements,
    field,
    lines,
    map_async,
    merge_fields,
    objects,
    on_field,
    relay,
    sentences,
    smooth,
    stage,
    words,
)
from gai_rx.operators._outlet import Outlet
from gai_rx.operators.batching import batch_text
from gai_rx.operators.recovering import errors_as_events, recover
from gai_rx.operators.tooling import tool_order, workflow_progress
from gai_rx.stream import lift
from tests.operators.sources import Source, settle

ERROR = ZeroDivisionError("mine")
Apply = Callable[[Observable[Any]], Stream[Any]]

MANY = 400
ITEMS = json.dumps({"items": [{"n": n} for n in range(MANY)]})
FIELDS = json.dumps({f"field {n}": n for n in range(MANY)})
LARGE: dict[str, tuple[Apply, str]] = {
    "elements": (elements("$.items[*]"), ITEMS),
    "field": (field("items[*].n"), ITEMS),
    "merge_fields": (merge_fields(), FIELDS),
    "words": (words(), "word " * MANY),
    "sentences": (sentences(), "A sentence. " * MANY),
    "lines": (lines(), "line\n" * MANY),
    "smooth": (smooth(delay=1e-9), "word " * MANY),
}


async def slowly(item: Any) -> Any:
    await asyncio.sleep(0)
    return item


@pytest.fixture
def peaks(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The most items that have waited in each buffer."""
    found: dict[str, int] = {}
    push = Buffer.push

    def counting(self: Buffer[Any], item: Any) -> None:
        push(self, item)
        name = self.gate.name
        found[name] = max(found.get(name, 0), len(self.items))

    monkeypatch.setattr(Buffer, "push", counting)
    return found


@pytest.mark.parametrize("name", LARGE)
@pytest.mark.parametrize(
    ("below", "buffer"),
    [
        (map_async(slowly, queue=2), "map_async(slowly)"),
        (stage(slowly, queue=2), "stage(slowly, queue=2)"),
        (lambda source: source.pipe(relay(2), map_async(slowly, queue=1)), "relay(2)"),
    ],
)
async def test_one_large_delta_fills_no_buffer_beyond_its_size(
    name: str, below: Apply, buffer: str, peaks: dict[str, int]
) -> None:
    operator, text = LARGE[name]
    seen = await Source([TextDelta(text=text)]).stream.pipe(operator, below).to_list()
    assert (len(seen), peaks[buffer]) == (MANY, 2)


@pytest.mark.parametrize("name", LARGE)
async def test_one_large_delta_fills_no_loop_beyond_its_room(
    name: str, peaks: dict[str, int]
) -> None:
    operator, text = LARGE[name]
    seen = 0
    async for _ in Source([TextDelta(text=text)]).stream.pipe(operator):
        seen += 1
        await asyncio.sleep(0)
    assert (seen, peaks["async for"]) == (MANY, 64)


@pytest.mark.parametrize("name", LARGE)
async def test_the_source_is_held_behind_a_large_delta(name: str) -> None:
    operator, text = LARGE[name]
    source, below = Source([text, *["\n"] * 500]), Buffer[Any](2, "below")
    subscription = source.stream.pipe(operator).subscribe(below.push)
    await settle(50)
    assert (len(below.items), source.pulled) == (2, 65 if name == "smooth" else 1)
    subscription.dispose()


# What waits is made when there is room for it.


async def test_a_document_is_read_no_further_than_there_is_room() -> None:
    source, below, ends = Source(["[1, 2, 3,", " oops"]), Buffer[Any](1, "below"), list[Any]()
    source.stream.pipe(elements()).subscribe(below.push, ends.append)
    await settle()
    assert source.pulled == 1
    assert below.pop() == 1
    await settle()
    assert (source.pulled, ends) == (1, [])
    assert below.pop() == 2
    await settle()
    assert (list(below.items), source.closed) == ([3], 1)
    assert isinstance(ends[0], ObjectInvalidError)


def test_items_wait_for_what_was_made_of_the_items_before_them() -> None:
    called, below = list[Any](), Buffer[Any](1, "below")
    source = Subject[Any]()
    source.pipe(on_field({"a": called.append}), words()).subscribe(
        below.push, scheduler=TestScheduler()
    )
    source.on_next('{"b": 1, "c": 2, ')
    source.on_next('"a": 3} ')
    source.on_completed()
    seen = []
    while below.items:
        seen.append(below.pop())
    assert ("".join(seen), called) == ('{"b": 1, "c": 2, "a": 3} ', [3])


def test_an_answer_that_comes_while_the_one_before_it_waits_has_a_document_of_its_own() -> None:
    source, below = Subject[Any](), Buffer[Any](1, "below")
    source.pipe(elements()).subscribe(below.push, scheduler=TestScheduler())
    for event in (TextDelta(text="[1, 2, 3]"), Finish(reason="stop"), TextDelta(text="[4]")):
        source.on_next(event)
    source.on_completed()
    assert [below.pop() for _ in range(4)] == [1, 2, 3, 4]


@pytest.mark.parametrize("size", [1, 9])
def test_what_makes_an_item_may_dispose(size: int) -> None:
    source, below = Subject[Any](), Buffer[Any](size, "below")
    stream = source.pipe(_made_by(lambda: subscription.dispose()))
    subscription = stream.subscribe(below.push, scheduler=TestScheduler())
    source.on_next("begin")
    while below.items:
        below.pop()
    assert not source.observers


def _made_by(dispose: Callable[[], None]) -> Apply:
    """An operator that makes two items of each, then disposes instead of a third."""

    def subscribe(source: Observable[Any], observer: Any, _: Any) -> Any:
        outlet: Outlet[Any] = Outlet(observer, "made")

        def made() -> Iterator[int]:
            yield 1
            yield 2
            dispose()

        return CompositeDisposable(source.subscribe(lambda _: outlet.send(made())), outlet)

    return lift("made", subscribe)


def test_disposed_while_elements_wait_no_more_are_made() -> None:
    source, below = Subject[Any](), Buffer[Any](1, "below")
    subscription = source.pipe(elements()).subscribe(below.push, scheduler=TestScheduler())
    source.on_next("[1, 2, 3]")
    subscription.dispose()
    assert below.pop() == 1
    assert not below.items


def test_an_error_in_a_document_comes_behind_the_elements_that_wait() -> None:
    source, below, ends = Subject[Any](), Buffer[Any](1, "below"), list[Any]()
    source.pipe(elements("$[*]", int)).subscribe(below.push, ends.append, scheduler=TestScheduler())
    source.on_next('[1, 2, "x", 4]')
    assert (list(below.items), ends) == ([1], [])
    below.pop()
    assert (list(below.items), len(ends)) == ([2], 1)
    below.pop()
    source.on_next("[5]")
    assert not below.items


def test_a_stalled_stream_fails_at_once_whatever_waits() -> None:
    """Behind what waits nobody would ever hear of it."""
    source, below, ends = Subject[Any](), Buffer[Any](1, "below"), list[Any]()
    stalled = StalledError("a subscriber takes nothing")
    source.pipe(words()).subscribe(below.push, ends.append, scheduler=TestScheduler())
    source.on_next("a b c ")
    source.on_error(stalled)
    assert ends == [stalled]


# Timers.


def streams(count: int) -> list[TextDelta]:
    return [TextDelta(text=f"{n}", stream_id=f"{n}") for n in range(count)]


async def test_texts_of_many_streams_that_are_due_at_once_wait_for_room() -> None:
    scheduler, below = TestScheduler(), Buffer[Any](2, "below")
    source = Source(streams(300), endless=True)
    source.stream.pipe(batch_text(seconds=1, scheduler=scheduler)).subscribe(below.push)
    await settle(400)
    scheduler.advance_to(2)
    assert len(below.items) == 2
    pulled = source.pulled
    await settle(50)
    assert source.pulled <= pulled + 1
    seen = []
    while below.items:
        seen.append(below.pop())
        assert len(below.items) <= 3
    assert seen == [f"{n}" for n in range(300)]
    await settle(50)
    assert source.pulled > pulled + 10


def test_lists_whose_time_is_up_one_after_the_other_wait_for_room() -> None:
    scheduler, below, source = TestScheduler(), Buffer[Any](1, "below"), Subject[int]()
    source.pipe(batch(seconds=1, scheduler=scheduler)).subscribe(below.push, scheduler=scheduler)
    for n in range(5):
        source.on_next(n)
        scheduler.advance_by(2)
    assert len(below.items) == 1
    assert [below.pop() for _ in range(5)] == [[0], [1], [2], [3], [4]]


def test_a_full_list_comes_behind_those_that_were_due_before_it() -> None:
    scheduler, below, source = TestScheduler(), Buffer[Any](1, "below"), Subject[int]()
    source.pipe(batch(2, seconds=1)).subscribe(below.push, scheduler=scheduler)
    source.on_next(0)
    scheduler.advance_by(2)
    source.on_next(1)
    scheduler.advance_by(2)
    for n in range(2, 7):
        source.on_next(n)
    scheduler.advance_by(2)
    source.on_completed()
    assert [below.pop() for _ in range(5)] == [[0], [1], [2, 3], [4, 5], [6]]


async def test_many_streams_that_are_due_at_once_reach_a_slow_consumer(
    peaks: dict[str, int],
) -> None:
    def emit(observer: Any, _: Any) -> Any:
        for delta in streams(300):
            observer.on_next(delta)
        return rx.never().subscribe()

    seen = list[str]()

    async def slow(text: str) -> None:
        await asyncio.sleep(0)
        seen.append(text)

    stream = Stream(emit).pipe(batch_text(seconds=0.001), map_async(slow, queue=2))
    errors = list[Exception]()
    subscription = stream.subscribe(None, errors.append)
    async with asyncio.timeout(10):
        while len(seen) < 300 and not errors:
            await asyncio.sleep(0.01)
    assert (errors, peaks["map_async(slow)"]) == ([], 2)
    subscription.dispose()


def test_timers_of_a_source_that_can_not_be_held_overrun_loudly() -> None:
    scheduler, below, source = TestScheduler(), Buffer[Any](1, "below"), Subject[int]()
    errors = list[Exception]()
    stream = source.pipe(batch(seconds=1, scheduler=scheduler))
    stream.subscribe(below.push, errors.append, scheduler=scheduler)
    for n in range(100):
        source.on_next(n)
        scheduler.advance_by(2)
    assert isinstance(errors[0], BackpressureError)
    assert str(errors[0]).startswith("batch(seconds=1): ")
    assert (len(errors), len(below.items)) == (1, 1)


# Ends.

ENDS: dict[str, tuple[Apply, list[Any]]] = {
    "batch": (batch(10), ["a", "b"]),
    "batch_text": (batch_text(10), ["a", "b"]),
    "words": (words(), ["a", "b"]),
    "sentences": (sentences(), ["a", "b"]),
    "lines": (lines(), ["a", "b"]),
    "objects": (objects(int), ["1", "2"]),
    "collect": (collect(), [TextDelta(text="a")]),
    "tool_order": (tool_order(), [TextDelta(text="a")]),
    "workflow_progress": (workflow_progress(), []),
}
AT_ERRORS = ["batch", "batch_text", "words", "sentences", "lines", "workflow_progress"]


@pytest.mark.parametrize(
    ("name", "error"),
    [(name, None) for name in ENDS] + [(name, OSError("gone")) for name in AT_ERRORS],
)
async def test_a_subscriber_that_raises_at_the_last_item_gets_its_own_error(
    name: str, error: Exception | None
) -> None:
    operator, items = ENDS[name]
    told: list[Any] = []

    def on_next(_: Any) -> None:
        raise ERROR

    source = Source(items, error=error)
    source.stream.pipe(operator).subscribe(on_next, told.append, lambda: told.append("completed"))
    await settle()
    assert (told, source.closed) == ([ERROR], 1)


@pytest.mark.parametrize("error", [None, OSError("gone")])
async def test_who_awaits_the_last_item_gets_the_error_of_an_operator_below(
    error: Exception | None,
) -> None:
    def fail(_: Any) -> Any:
        raise ERROR

    with pytest.raises(ZeroDivisionError):
        async with asyncio.timeout(5):
            await Source(["a"], error=error).stream.pipe(batch(10), ops.map(fail))


@pytest.mark.parametrize("name", ["batch", "words"])
async def test_a_subscriber_that_raised_gets_nothing_more_but_its_error(name: str) -> None:
    seen, told = list[Any](), list[Any]()
    operator: Apply = batch_text(2) if name == "batch" else words()

    def on_next(item: Any) -> None:
        seen.append(item)
        raise ERROR

    source = Source([TextDelta(text="x", stream_id="1"), TextDelta(text="aa bb ", stream_id="2")])
    source.stream.pipe(operator).subscribe(on_next, told.append)
    await settle()
    assert (len(seen), told, source.closed) == (1, [ERROR], 1)


@pytest.mark.parametrize("end", [None, OSError("gone")])
def test_a_subscriber_that_raised_is_told_how_it_ended(end: Exception | None) -> None:
    """By another error than its own only if the producer has one: of items it got none since."""
    source, told = Subject[str](), list[Any]()

    def on_next(_: str) -> None:
        raise ERROR

    source.pipe(words()).subscribe(on_next, told.append, scheduler=TestScheduler())
    with pytest.raises(ZeroDivisionError):
        source.on_next("a b c ")
    source.on_next("d e ")
    if end is None:
        source.on_completed()
    else:
        source.on_error(end)
    assert told == [end or ERROR]


@pytest.mark.parametrize("error", [None, ERROR])
@pytest.mark.parametrize("operator", [batch_text(10), words()])
async def test_the_last_texts_of_many_streams_wait_for_room_before_the_end(
    operator: Apply, error: Exception | None, peaks: dict[str, int]
) -> None:
    seen = list[Any]()
    done = asyncio.Event()

    def on_error(raised: Exception) -> None:
        seen.append(raised)
        done.set()

    source = Source(streams(300), error=error)
    source.stream.pipe(operator, map_async(slowly, queue=2)).subscribe(
        seen.append, on_error, done.set
    )
    async with asyncio.timeout(10):
        await done.wait()
    assert seen == [*(f"{n}" for n in range(300)), *([error] if error else [])]
    assert peaks["map_async(slowly)"] == 2


@pytest.mark.parametrize(
    "operator",
    [recover(OverloadedError, with_=["a", "b"]), errors_as_events()],
    ids=["recover", "errors_as_events"],
)
async def test_a_subscriber_that_raises_at_what_comes_instead_gets_its_own_error(
    operator: Apply,
) -> None:
    seen, told = list[Any](), list[Any]()

    def on_next(item: Any) -> None:
        seen.append(item)
        raise ERROR

    source = Source([], error=OverloadedError("busy"))
    source.stream.pipe(operator).subscribe(on_next, told.append, lambda: told.append("completed"))
    await settle()
    assert (len(seen), told) == (1, [ERROR])


def test_what_comes_instead_waits_for_room_without_a_loop() -> None:
    source, below, ends = Subject[int](), Buffer[Any](2, "below"), list[bool]()
    stream = source.pipe(recover(OverloadedError, with_=list(range(60))))
    stream.subscribe(below.push, None, lambda: ends.append(True), scheduler=TestScheduler())
    source.on_error(OverloadedError("busy"))
    assert (len(below.items), ends) == (2, [])
    assert [below.pop() for _ in range(60)] == list(range(60))
    assert ends == [True]


async def test_an_error_as_an_event_is_the_last_item() -> None:
    seen = await Source(["a"], error=OverloadedError("busy")).stream.pipe(errors_as_events())
    assert isinstance(seen, Error)


# Feedback: what lies below emits into what lies above.


async def test_words_that_are_fed_back_to_their_own_reader_do_not_hold_it() -> None:
    """The reader would wait for the room that only it can make."""
    source, seen = Subject[str](), list[str]()
    fed = source.pipe(words(), map_async(slowly, queue=2))

    def on_next(word: str) -> None:
        seen.append(word)
        if len(seen) == 1:
            source.on_next("one two three four five six ")

    errors = list[Exception]()
    subscription = fed.subscribe(on_next, errors.append)
    source.on_next("begin ")
    source.on_next("x ")
    await settle(100)
    source.on_completed()
    await settle(100)
    assert not errors
    assert "".join(seen) == "begin x one two three four five six "
    subscription.dispose()


def test_what_is_fed_back_to_smooth_does_not_hold_its_own_timer() -> None:
    scheduler, source, seen = TestScheduler(), Subject[str](), list[str]()

    def on_next(word: str) -> None:
        seen.append(word)
        if len(seen) == 1:
            for n in range(100):
                source.on_next(f"{n} ")

    source.pipe(smooth(delay=1)).subscribe(on_next, scheduler=scheduler)
    source.on_next("begin ")
    scheduler.advance_to(200)
    assert seen == ["begin ", *(f"{n} " for n in range(100))]
