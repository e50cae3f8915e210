import asyncio
from datetime import timedelta
from typing import Any

import pytest
import reactivex as rx
from reactivex import abc
from reactivex import operators as ops
from reactivex.subject import Subject
from reactivex.testing import TestScheduler

from gai_rx import (
    BackpressureError,
    Finish,
    ReasoningDelta,
    Start,
    TextDelta,
    ToolCall,
)
from gai_rx.flow import Buffer
from gai_rx.operators import map_async
from gai_rx.operators.smoothing import By, smooth
from tests.operators.marbles import EVENTS, check, diagram
from tests.operators.sources import Source, Timers, settle

ERROR = ZeroDivisionError("mine")
END = object()


def said(text: str, **fields: Any) -> TextDelta:
    return TextDelta(text=text, **fields)


def texts(*given: str) -> dict[str, str]:
    """The texts under the letters A, B, C …"""
    return dict(zip("ABCDEFGHIJ", given, strict=False))


def sent(by: By, *items: Any) -> list[Any]:
    """What comes of items that come at once, followed by the end."""
    *made, end = timed(smooth(by, 1.0), *((1, item) for item in items), (1, END))
    assert end[1] is END
    return [item for _, item in made]


def timed(operator: Any, *given: tuple[float, Any]) -> list[tuple[float, Any]]:
    """What comes when of items, an error or END that come at a time."""
    scheduler, seen = TestScheduler(), list[tuple[float, Any]]()
    subject = Subject[Any]()

    def see(item: Any) -> None:
        seen.append((scheduler.to_seconds(scheduler.now), item))

    subject.pipe(operator).subscribe(see, see, lambda: see(END), scheduler=scheduler)
    for time, item in given:
        scheduler.advance_to(time)
        if item is END:
            subject.on_completed()
        elif isinstance(item, Exception):
            subject.on_error(item)
        else:
            subject.on_next(item)
    scheduler.advance_to(1000)
    return seen


# The pace.


def test_a_burst_goes_on_at_an_even_pace() -> None:
    check(
        smooth("character", 2),
        *diagram(smooth),
        values={"a": "abc", "b": "de"},
        into=texts("a", "b", "c", "d", "e"),
    )


def test_a_source_slower_than_the_pace_is_not_touched() -> None:
    check(smooth("word", 2), "-a--b-c---d|", "-a--b-c---d|")
    check(smooth("character", 2), "-a--b-c---d|", "-a--b-c---d|")
    given = {"a": "Hel", "b": "lo the", "c": "re "}
    into = texts("Hel", "lo ", "the", "re ")
    check(smooth("word", 2), "-a----b-----c-|", "-A----B-C---D-|", values=given, into=into)


def test_what_comes_too_soon_waits_for_its_turn_only() -> None:
    check(smooth("word", 4), "-a-b-------c-|", "-a---b-----c-|")
    check(smooth("word", 4), "-ab-c------|", "-A---B-----|", into=texts("ab", "c"))


def test_the_pace_goes_on_where_it_was_when_text_comes_late() -> None:
    given = {"a": "a b ", "b": "c "}
    check(
        smooth("word", 2),
        "-a------b---|",
        "-A-B----C---|",
        values=given,
        into=texts("a ", "b ", "c "),
    )


def test_words_cut_while_they_wait_are_whole_again() -> None:
    items = ["One ", "tw", "o th", "re", "e"]
    assert sent("word", *items) == ["One ", "two ", "three"]


def test_the_end_waits_for_the_text() -> None:
    given = {"a": "a b c"}
    check(smooth("word", 3), "-a-|", "-A--B--(C|)", values=given, into=texts("a ", "b ", "c"))


def test_an_error_waits_for_the_text() -> None:
    given = {"a": "a b c"}
    check(
        smooth("word", 3),
        "-a-#",
        "-A--B--(C#)",
        values=given,
        into=texts("a ", "b ", "c"),
        error=ERROR,
    )
    check(smooth("word", 3), "-#", "-#", error=ERROR)


class Late(TestScheduler):
    """A clock whose timers fire late, as a busy loop's do."""

    late = 0.005

    def schedule_relative(self, duetime: Any, *rest: Any, **options: Any) -> abc.DisposableBase:
        return super().schedule_relative(duetime + self.late, *rest, **options)


def test_timers_that_fire_late_do_not_slow_the_pace() -> None:
    scheduler, seen, subject = Late(), list[str](), Subject[str]()
    subject.pipe(smooth("word", 0.01)).subscribe(seen.append, scheduler=scheduler)
    subject.on_next("x " * 1000)
    scheduler.advance_to(0.5)
    assert 48 <= len(seen) <= 51
    scheduler.late = 5.0
    scheduler.advance_to(6.0)  # a stall of seconds is not made up for in one burst
    assert 52 <= len(seen) <= 65


class Creeping(TestScheduler):
    """A clock that goes on between two looks at it, as real ones do."""

    def __init__(self, step: float) -> None:
        super().__init__()
        self.step, self.crept = step, 0.0

    @property
    def now(self) -> Any:
        self.crept += self.step
        return super().now + timedelta(seconds=self.crept)


@pytest.mark.parametrize("step", [0.1, 0.23, 0.41, 0.57, 0.83])
def test_time_that_goes_on_meanwhile_loses_nothing(step: float) -> None:
    scheduler, seen, subject = Creeping(step), list[Any](), Subject[str]()
    operator = smooth("word", 1)
    subject.pipe(operator).subscribe(
        seen.append, None, lambda: seen.append(END), scheduler=scheduler
    )
    subject.on_next("a b c d e f g h")
    subject.on_completed()
    scheduler.advance_to(100)
    assert seen == ["a ", "b ", "c ", "d ", "e ", "f ", "g ", "h", END]


# What goes on in one piece.


@pytest.mark.parametrize(
    ("by", "units"),
    [
        ("word", ["Once ", "upon  ", "a\n\n", "time"]),
        ("word", ["你", "好。", "世", "界 ", "ok"]),
        ("line", ["one\n", "\n", "two"]),
        (
            "character",
            [
                "a",
                " ",
                "你",
                "e\u0301",
                "👨\u200d👩\u200d👧",
                "🇩🇪",
                "🇫🇷",
                "👍🏽",
                "\r\n",
                "か\u3099",
            ],
        ),
    ],
)
def test_pieces_are_whole(by: By, units: list[str]) -> None:
    assert sent(by, "".join(units)) == units
    assert sent(by, "", *units) == ["", *units]


def test_a_line_waits_for_its_end() -> None:
    given = {"a": "one", "b": " line\ntwo"}
    check(
        smooth("line", 1),
        "-a---b---|",
        "-----A---(B|)",
        values=given,
        into=texts("one line\n", "two"),
    )


def test_a_line_without_an_end_does_not_wait_for_ever() -> None:
    made = sent("line", *["x" * 1000] * 20)
    assert [len(piece) for piece in made] == [9000, 9000, 2000]


# Events.


def test_text_and_reasoning_are_cut_anew_and_stay_what_they_are() -> None:
    given = ReasoningDelta(text="Hm, so.", block=2, id="i", stream_id="s", metadata={"k": "v"})
    assert sent("word", given, said("a b", choice=1, attempt=2)) == [
        given.model_copy(update={"text": "Hm, "}),
        given.model_copy(update={"text": "so."}),
        said("a ", choice=1, attempt=2),
        said("b", choice=1, attempt=2),
    ]


def test_a_delta_that_is_one_piece_is_the_same_object() -> None:
    first, second = said("one "), said("two ")
    made = sent("word", first, second)
    assert made[0] is first
    assert made[1] is second


def test_deltas_of_different_blocks_are_not_joined() -> None:
    items = [said("a"), said("b", block=1), said("c", stream_id="2"), ReasoningDelta(text="d")]
    assert sent("word", *items) == items


def test_a_signature_stays_at_the_end_of_its_delta() -> None:
    assert sent("word", said("a"), said("b c d", signature="s"), said("e")) == [
        said("a"),  # at once
        said("b "),
        said("c "),
        said("d", signature="s"),
        said("e"),
    ]
    assert sent("line", said("a"), said("b", signature="s"), said("c")) == [
        said("ab", signature="s"),
        said("c"),
    ]
    proof = ReasoningDelta(text="", signature="t")
    assert sent("word", ReasoningDelta(text="f g", encrypted="x"), proof) == [
        ReasoningDelta(text="f "),
        ReasoningDelta(text="g", encrypted="x"),
        proof,
    ]


def test_other_events_keep_their_place_and_wait_for_the_text_before_them() -> None:
    start, call, finish = Start(), ToolCall(id="1", name="f"), Finish(reason="stop")
    came = [(1.0, start), (3.0, said("a b")), (3.0, call), (3.0, said("c")), (3.0, finish)]
    assert timed(smooth("word", 4), *came, (4.0, END)) == [
        (1, start),
        (3, said("a ")),
        (7, said("b")),
        (7, call),
        (11, said("c")),
        (11, finish),
        (11, END),
    ]


def test_an_event_sends_on_the_line_before_it() -> None:
    came = [(1.0, said("a")), (2.0, said("b")), (3.0, EVENTS["C"]), (4.0, said("c\n")), (9.0, END)]
    assert timed(smooth("line", 1), *came) == [
        (3, said("ab")),
        (3, EVENTS["C"]),
        (4, said("c\n")),
        (9, END),
    ]


def test_a_stream_of_events_stays_one() -> None:
    assert Source(of_events=True).stream.pipe(smooth()).of_events


def test_what_waits_of_an_answer_that_begins_anew_is_dropped() -> None:
    again = Start(attempt=2, step=1)
    other = said("x", stream_id="2")
    came = [
        (1.0, said("a b")),
        (1.0, said("void void ", step=1)),
        (1.0, other),
        (1.0, said("void ", step=1)),
        (2.0, again),
        (2.0, said("new", step=1)),
    ]
    assert timed(smooth("word", 3), *came, (2.0, END)) == [
        (1, said("a ")),
        (4, said("b")),
        (7, other),
        (7, again),
        (10, said("new", step=1)),
        (10, END),
    ]


def test_what_is_being_cut_is_dropped_too() -> None:
    again = Start(attempt=2)
    came = [(1.0, said("a\n b")), (2.0, again), (2.0, said("c")), (2.0, END)]
    rest = [(2, again), (4, said("c")), (4, END)]
    assert timed(smooth("word", 3), *came) == [(1, said("a\n ")), *rest]
    assert timed(smooth("line", 3), *came) == [(1, said("a\n")), *rest]


def test_a_line_that_is_held_is_dropped_too() -> None:
    came = [(1.0, said("void")), (2.0, Start(attempt=2)), (3.0, said("c\n")), (4.0, END)]
    assert timed(smooth("line", 1), *came) == [(2, Start(attempt=2)), (3, said("c\n")), (4, END)]


# Bounds, ends and errors.


async def test_a_source_faster_than_the_pace_is_held() -> None:
    source, seen, scheduler = Source(endless=True), list[str](), TestScheduler()
    operator = smooth("word", 1, scheduler=scheduler)
    subscription = source.stream.pipe(ops.map(lambda n: f"{n} "), operator).subscribe(seen.append)
    await settle(300)
    assert (seen, source.pulled) == (["1 "], 65)
    scheduler.advance_to(40)
    await settle(300)
    assert seen == [f"{n} " for n in range(1, 42)]
    assert source.pulled == 41 + 65
    subscription.dispose()


async def test_a_full_buffer_below_holds_the_pace() -> None:
    source, scheduler, buffer = Source(["a b c d e f "]), TestScheduler(), Buffer[Any](2, "below")
    operator = smooth("word", 1, scheduler=scheduler)
    subscription = source.stream.pipe(operator).subscribe(buffer.push)
    await settle()
    scheduler.advance_to(100)
    assert list(buffer.items) == ["a ", "b "]
    buffer.pop()
    assert list(buffer.items) == ["b ", "c "]  # it was long due
    buffer.pop()
    scheduler.advance_to(101)
    assert len(buffer.items) == 2
    subscription.dispose()


async def test_what_is_long_due_does_not_overrun_what_is_below() -> None:
    source, scheduler, buffer = Source(["a b c d e f "]), TestScheduler(), Buffer[Any](1, "below")
    operator = smooth("word", 0.001, scheduler=scheduler)
    subscription = source.stream.pipe(operator).subscribe(buffer.push)
    await settle()
    scheduler.advance_to(100)
    buffer.pop()
    assert list(buffer.items) == ["b "]
    subscription.dispose()


async def test_a_slow_consumer_gets_everything() -> None:
    async def slow(item: str) -> str:
        await asyncio.sleep(0)
        return item

    text = " ".join(map(str, range(200))) + " "
    made = await Source([text, "end"]).stream.pipe(smooth("word", 1e-4), map_async(slow)).to_list()
    assert "".join(made) == f"{text}end"
    assert len(made) == 201


def test_a_source_that_can_not_be_held_overruns_loudly() -> None:
    came = timed(smooth("word", 1), *((1.0, "x ") for _ in range(400)))
    assert came[0] == (1, "x ")
    assert isinstance(came[-1][1], BackpressureError)
    assert "smooth('word', delay=1)" in str(came[-1][1])


async def test_disposed_its_timer_is_gone_and_nothing_more_comes() -> None:
    timers, seen, source = Timers(), list[str](), Source(["a b c"], endless=True)
    subscription = source.stream.pipe(smooth("word", 1, scheduler=timers)).subscribe(seen.append)
    await settle(5)
    assert (seen, timers.pending) == (["a "], 1)
    subscription.dispose()
    await settle()
    assert (timers.pending, source.closed) == (0, 1)
    timers.advance_to(100)
    assert seen == ["a "]


def test_a_subscriber_may_have_enough() -> None:
    came = timed(rx.compose(smooth("word", 1), ops.take(2)), (1.0, "a b c d"), (2.0, END))
    assert came == [(1, "a "), (2, "b "), (2, END)]


@pytest.mark.parametrize("at", [1, 2])
async def test_a_subscriber_that_raises_gets_its_own_error(at: int) -> None:
    scheduler, source, seen = TestScheduler(), Source(["a b c d", "e"]), list[Any]()

    def on_next(item: Any) -> None:
        seen.append(item)
        if len(seen) == at:
            raise ERROR

    stream = source.stream.pipe(smooth("word", 1, scheduler=scheduler))
    stream.subscribe(on_next, seen.append)
    await settle()
    scheduler.advance_to(100)
    await settle()
    assert seen == [*["a ", "b "][:at], ERROR]
    assert source.closed == 1


def test_a_subscriber_that_raises_at_the_end_gets_no_second_end() -> None:
    scheduler, subject, errors = TestScheduler(), Subject[str](), list[Exception]()

    def on_completed() -> None:
        raise ERROR

    stream = subject.pipe(smooth("word", 1))
    stream.subscribe(None, errors.append, on_completed, scheduler=scheduler)
    subject.on_next("a b")
    subject.on_completed()
    with pytest.raises(ZeroDivisionError):
        scheduler.advance_to(5)
    assert not errors


def test_the_end_may_come_while_a_piece_is_sent_on() -> None:
    subject, seen = Subject[str](), list[Any]()

    def on_next(piece: str) -> None:
        seen.append(piece)
        subject.on_completed()

    stream = subject.pipe(smooth("word", 1))
    stream.subscribe(on_next, None, lambda: seen.append(END), scheduler=TestScheduler())
    subject.on_next("a")
    assert seen == ["a", END]


async def test_two_subscriptions_share_no_text() -> None:
    stream = Source(["a b", " c", " d "]).stream.pipe(smooth(delay=0.001))
    first, second = await asyncio.gather(stream.to_list(), stream.to_list())
    assert "".join(first) == "".join(second) == "a b c d "


@pytest.mark.parametrize("delay", [0, -1, float("nan"), "1", None])
def test_a_delay_that_is_none_is_refused_at_once(delay: Any) -> None:
    with pytest.raises(ValueError, match="delay"):
        smooth("word", delay)


def test_an_unknown_unit_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="word, line, character; got 'page'"):
        smooth("page")  # type: ignore[arg-type]  # that is the point


def test_smooth_shows_its_settings() -> None:
    stream = Source().stream.pipe(smooth("line", 0.05))
    assert repr(stream) == "Stream(source | smooth('line', delay=0.05))"
