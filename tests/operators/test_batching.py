import asyncio
from typing import Any

import pytest
from reactivex import operators as ops
from reactivex.testing import TestScheduler

from gai_rx import Finish, Start, StepFinish, TextDelta
from gai_rx.flow import Buffer
from gai_rx.operators import batch, map_async, text_only
from gai_rx.operators.batching import batch_text
from tests.operators.marbles import EVENTS, check, diagram
from tests.operators.sources import Source, Timers, settle

ERROR = ZeroDivisionError("mine")


def lists(*names: str) -> dict[str, Any]:
    """`lists("ab", "c")` is {"ab": ["a", "b"], "c": ["c"]}."""
    return {name: list(name) for name in names}


def test_batch_gathers_a_count() -> None:
    check(batch(2), *diagram(batch), into=lists("ab", "cd", "e"))


def test_a_list_that_is_not_full_goes_on_before_an_error() -> None:
    check(batch(2), "-a-b-c-#", "---ab--(x#)", into={**lists("ab"), "x": ["c"]}, error=ERROR)


def test_nothing_gathered_sends_nothing() -> None:
    check(batch(2), "---|", "---|")
    check(batch(2), "-a-b-|", "---ab|", into=lists("ab"))


def test_a_list_goes_on_after_its_time() -> None:
    check(batch(seconds=3), "-a-b-----c-|", "----ab-----(c|)", into=lists("ab", "c"))


def test_the_first_limit_wins_and_starts_the_time_anew() -> None:
    check(batch(2, seconds=4), "-a-b-c-----|", "---ab----c-|", into=lists("ab", "c"))


def test_characters_fill_a_list() -> None:
    check(
        batch(chars=3),
        "-ab-c-defgh-i-|",
        "----x-y-------(z|)",
        into={"x": ["ab", "c"], "y": ["defgh"], "z": ["i"]},
    )


def test_bytes_of_utf8_fill_a_list() -> None:
    given = {"a": "a", "g": "ä", "d": "🦆", "s": "\ud83e"}
    check(
        batch(size_bytes=4),
        "-a-g-a-d-s-a-|",
        "-----x-y---z-|",
        values=given,
        into={"x": ["a", "ä", "a"], "y": ["🦆"], "z": ["\ud83e", "a"]},
    )


def test_events_weigh_what_their_text_weighs() -> None:
    a, call, b = EVENTS["a"], EVENTS["C"], EVENTS["b"]
    check(batch(chars=2), "-a-C-b-|", "-----x-|", values=EVENTS, into={"x": [a, call, b]})


def test_characters_or_bytes_whichever_comes_first() -> None:
    check(
        batch(chars=3, size_bytes=4),
        "-a-b-c-d-d-|",
        "-----x-y-z-|",
        values={"a": "a", "b": "b", "c": "c", "d": "🦆"},
        into={"x": ["a", "b", "c"], "y": ["🦆"], "z": ["🦆"]},
    )


def test_no_list_mixes_an_answer_with_the_one_it_replaces() -> None:
    values = {"S": Start(), "T": Start(attempt=2), "a": EVENTS["a"], "b": EVENTS["b"]}
    check(
        batch(3),
        "-S-a-T-b-|",
        "-----x---(y|)",
        values=values,
        into={"x": [values["S"], values["a"]], "y": [values["T"], values["b"]]},
    )


def test_the_time_is_kept_by_the_scheduler_that_was_given_to_it() -> None:
    own, seen = TestScheduler(), list[Any]()
    check(
        lambda source: source.pipe(batch(seconds=3, scheduler=own), ops.do_action(seen.append)),
        "-a------|",
        "--------(x|)",
        into={"x": ["a"]},
    )
    assert seen == [["a"]]


async def test_without_a_scheduler_time_is_the_loops() -> None:
    source, seen = Source([1, 2], endless=False), list[Any]()
    never = source.stream.pipe(ops.concat(Source(endless=True).stream.pipe(ops.ignore_elements())))
    subscription = never.pipe(batch(10, seconds=0.01)).subscribe(seen.append)
    await asyncio.sleep(0.005)
    assert not seen
    await asyncio.sleep(0.02)
    assert seen == [[1, 2]]
    subscription.dispose()


async def test_disposed_its_timer_is_gone() -> None:
    timers, seen = Timers(), list[Any]()
    operator = batch(10_000, seconds=1, scheduler=timers)
    subscription = Source(endless=True).stream.pipe(operator).subscribe(seen.append)
    await settle()
    assert (len(timers.made), timers.pending) == (1, 1)
    subscription.dispose()
    assert timers.pending == 0
    timers.advance_to(100)
    assert not seen


async def test_a_full_buffer_below_a_timer_holds_the_source_at_its_next_item() -> None:
    scheduler, source, buffer = TestScheduler(), Source(endless=True), Buffer[Any](1, "below")
    stream = source.stream.pipe(batch(10_000, seconds=1, scheduler=scheduler))
    subscription = stream.subscribe(buffer.push)
    await settle(50)
    free = source.pulled
    assert free > 10
    scheduler.advance_to(2)
    assert len(buffer.items) == 1
    await settle(50)
    assert source.pulled <= free + 1
    buffer.pop()
    await settle(50)
    assert source.pulled > free + 10
    subscription.dispose()


async def test_a_slow_consumer_of_lists_holds_the_source() -> None:
    source, open_gate = Source(endless=True), asyncio.Event()

    async def slow(_: list[int]) -> None:
        await open_gate.wait()

    subscription = source.stream.pipe(batch(10), map_async(slow, queue=1)).subscribe()
    await settle(200)
    assert source.pulled <= 30
    subscription.dispose()


async def test_a_subscriber_that_raises_at_a_timer_gets_its_own_error() -> None:
    scheduler, source, seen = TestScheduler(), Source(endless=True), list[Any]()

    def on_next(_: Any) -> None:
        raise ERROR

    stream = source.stream.pipe(batch(10_000, seconds=1, scheduler=scheduler))
    stream.subscribe(on_next, seen.append)
    await settle()
    scheduler.advance_to(2)
    await settle()
    assert seen == [ERROR]
    assert source.closed == 1


async def test_two_subscriptions_share_no_list() -> None:
    stream = Source([1, 2, 3]).stream.pipe(batch(2))
    first, second = await asyncio.gather(stream.to_list(), stream.to_list())
    assert first == second == [[1, 2], [3]]


@pytest.mark.parametrize("limits", [{"count": 0}, {"seconds": 0}, {"chars": -1}, {"size_bytes": 0}])
def test_a_limit_below_one_is_refused_at_once(limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(limits))):
        batch(**limits)


def test_no_limit_at_all_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="needs a limit"):
        batch()


@pytest.mark.parametrize("limits", [{"count": 2.5}, {"chars": True}, {"seconds": "1"}])
def test_a_limit_that_is_no_number_is_refused_at_once(limits: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=next(iter(limits))):
        batch(**limits)


def test_batch_shows_its_limits() -> None:
    stream = Source().stream.pipe(text_only(), batch(10, seconds=0.5, chars=80))
    assert repr(stream) == "Stream(source | text_only() | batch(10, seconds=0.5, chars=80))"


async def test_lists_of_strings_and_events_hold_the_items_themselves() -> None:
    delta = TextDelta(text="a")
    assert (await Source([delta]).stream.pipe(batch(2)))[0] is delta


# Texts.


async def texts(*items: Any, chars: int = 100) -> list[str]:
    return await Source(items).stream.pipe(batch_text(chars)).to_list()


def said(text: str, **fields: Any) -> TextDelta:
    return TextDelta(text=text, **fields)


def test_batch_text_joins_pieces_until_they_are_long_enough() -> None:
    check(batch_text(2), *diagram(batch_text), into={"A": "ab", "B": "cd", "e": "e"})


def test_a_piece_longer_than_the_limit_is_not_cut() -> None:
    check(batch_text(3), "-ab-cdef-|", "----X----|", into={"X": "abcdef"})


def test_a_text_goes_on_after_its_time() -> None:
    check(batch_text(seconds=3), "-a-b-----c-|", "----X------(c|)", into={"X": "ab", "c": "c"})


def test_the_first_limit_of_a_text_wins_and_starts_the_time_anew() -> None:
    check(
        batch_text(2, seconds=4),
        "-a-b-c-----|",
        "---X-----c-|",
        into={"X": "ab", "c": "c"},
    )


def test_a_text_goes_on_before_an_error() -> None:
    check(batch_text(9), "-a-b-#", "-----(X#)", into={"X": "ab"}, error=ERROR)


async def test_texts_are_made_of_the_first_choices_text() -> None:
    items = [Start(), said("a"), EVENTS["r"], said("x", choice=1), EVENTS["U"], said("b")]
    assert await texts(*items) == ["ab"]


async def test_the_texts_of_streams_are_not_joined() -> None:
    items = [said("a", stream_id="1"), said("x", stream_id="2"), said("b", stream_id="1")]
    assert await texts(*items, chars=2) == ["ab", "x"]


async def test_each_streams_text_has_a_time_of_its_own() -> None:
    values = {"a": said("a", stream_id="1"), "x": said("x", stream_id="2")}
    into = {"A": "aa", "X": "x"}
    check(batch_text(seconds=4), "-a-x-a-----|", "-----A-X---|", values=values, into=into)


async def test_a_finish_sends_its_streams_text_on() -> None:
    values = {
        "a": said("a", stream_id="1"),
        "x": said("x", stream_id="2"),
        "F": Finish(reason="stop", stream_id="1"),
        "s": StepFinish(number=0, stream_id="1"),
    }
    check(batch_text(9), "-a-x-s-F-|", "-------a-(x|)", values=values, into={"a": "a", "x": "x"})


async def test_what_an_answer_had_said_is_dropped_when_it_begins_anew() -> None:
    items = [
        said("kept "),
        said("void", step=1),
        said("other", stream_id="2"),
        Start(attempt=2, step=1),
        said("new", step=1),
    ]
    assert await texts(*items) == ["kept new", "other"]
    assert await texts(said("void"), Start(attempt=2), said("new")) == ["new"]
    assert await texts(said("a"), Start(), said("b")) == ["ab"]


async def test_what_is_left_of_an_answer_that_begins_anew_counts_and_keeps_its_time() -> None:
    values = {
        "a": said("a"),
        "v": said("void", step=1),
        "S": Start(attempt=2, step=1),
        "b": said("bcd", step=1),
    }
    operator = batch_text(6, seconds=8)
    check(operator, "-a-v-S-b---|", "---------X-|", values=values, into={"X": "abcd"})


async def test_a_full_buffer_below_a_texts_timer_holds_the_source_at_its_next_piece() -> None:
    scheduler, source, buffer = TestScheduler(), Source(endless=True), Buffer[Any](1, "below")
    operator = batch_text(seconds=1, scheduler=scheduler)
    subscription = source.stream.pipe(ops.map(str), operator).subscribe(buffer.push)
    await settle(50)
    free = source.pulled
    assert free > 10
    scheduler.advance_to(2)
    assert buffer.items[0].startswith("12345")
    await settle(50)
    assert source.pulled <= free + 1
    buffer.pop()
    await settle(50)
    assert source.pulled > free + 10
    subscription.dispose()


async def test_a_subscriber_that_raises_at_a_texts_timer_gets_its_own_error() -> None:
    scheduler, source, seen = TestScheduler(), Source(endless=True), list[Any]()

    def on_next(_: Any) -> None:
        raise ERROR

    operator = batch_text(seconds=1, scheduler=scheduler)
    source.stream.pipe(ops.map(str), operator).subscribe(on_next, seen.append)
    await settle()
    scheduler.advance_to(2)
    await settle()
    assert seen == [ERROR]
    assert source.closed == 1


async def test_disposed_the_timers_of_texts_are_gone() -> None:
    timers, seen = Timers(), list[Any]()
    items = [said("a", stream_id="1"), said("x", stream_id="2"), said("b", stream_id="1")]
    never = Source(items, endless=True).stream
    subscription = never.pipe(batch_text(seconds=1, scheduler=timers)).subscribe(seen.append)
    await settle()
    assert (len(timers.made), timers.pending) == (2, 2)
    subscription.dispose()
    assert timers.pending == 0


def test_batch_text_shows_and_checks_its_limits() -> None:
    stream = Source().stream.pipe(batch_text(80, seconds=0.5))
    assert repr(stream) == "Stream(source | batch_text(80, seconds=0.5))"
    with pytest.raises(ValueError, match="chars or seconds"):
        batch_text()
    with pytest.raises(ValueError, match=r"chars=…\) must be above 0, got 0"):
        batch_text(0)


@pytest.mark.parametrize("operator", [batch, batch_text])
async def test_two_subscriptions_share_nothing(operator: Any) -> None:
    stream = Source(["a", "b", "c"]).stream.pipe(operator(2))
    first, second = await asyncio.gather(stream.to_list(), stream.to_list())
    assert first == second
    assert len(first) == 2


async def test_a_kilobyte_of_text_or_ten_events() -> None:
    events = [said("x" * 100, block=n) for n in range(25)]
    lists = await Source(events).stream.pipe(batch(10)).to_list()
    assert [len(found) for found in lists] == [10, 10, 5]
    lists = await Source(events).stream.pipe(batch(size_bytes=1024)).to_list()
    assert [len(found) for found in lists] == [11, 11, 3]


@pytest.mark.parametrize("operator", [batch(10), batch_text(10)])
async def test_a_subscriber_that_raises_at_the_last_list_gets_its_own_error(operator: Any) -> None:
    told: list[Exception] = []

    def on_next(_: Any) -> None:
        raise ERROR

    source = Source(["a", "b"])
    source.stream.pipe(operator).subscribe(on_next, told.append, lambda: told.append(KeyError()))
    await settle()
    assert told == [ERROR]
