import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
import reactivex as rx
from reactivex import Observable
from reactivex import operators as ops
from reactivex.subject import Subject
from reactivex.testing import TestScheduler

from gai_rx import Error, RateLimitError, Start, Stream, TextDelta
from gai_rx.flow import Buffer
from gai_rx.health import StreamHealth, StreamMonitor
from gai_rx.operators import relay, text_only
from gai_rx.operators.fan_out import branch, fan_out
from gai_rx.operators.monitoring import health, log_health, monitor, progress
from gai_rx.progress import Progress
from tests.operators.marbles import EVENTS, check, diagram
from tests.operators.sources import Source, Timers, settle

ERROR = ZeroDivisionError("mine")
A = EVENTS["a"]

Apply = Callable[[Observable[Any]], Observable[Any]]
TICKING: list[Apply] = [health(every=3), progress(every=3), log_health(every=3)]
TELLING: list[Apply] = [health(every=3), progress(every=3)]


def names(name: str, operator: Apply) -> Apply:
    """The operator with each of its snapshots replaced by a letter."""
    return lambda source: source.pipe(operator, ops.map(lambda _: name))


def told(operator: Apply, clock: TestScheduler, subject: Subject[Any]) -> list[Any]:
    """What the operator says of a subject."""
    seen: list[Any] = []
    Stream.of(subject).pipe(operator).subscribe(
        seen.append, seen.append, lambda: seen.append("end"), scheduler=clock
    )
    return seen


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[tuple[str, str]]]:
    """What was logged, as levels and lines."""
    caplog.set_level(logging.INFO, logger="gai_rx.health")
    return lambda: [(record.levelname, record.getMessage()) for record in caplog.records]


def test_health_comes_on_the_clock_whether_anything_comes_or_not() -> None:
    check(names("h", health(every=3)), *diagram(health), into={"h": "h"})


def test_progress_comes_on_the_clock_whether_anything_comes_or_not() -> None:
    check(names("p", progress(every=3)), *diagram(progress), into={"p": "p"})


@pytest.mark.parametrize("operator", [monitor(StreamMonitor()), log_health(every=1)])
def test_events_go_on_unchanged(operator: Apply) -> None:
    check(operator, *diagram(monitor), values=EVENTS)
    check(operator, "-S-a-r-#", "-S-a-r-#", values=EVENTS, error=ERROR)


def test_progress_counts_what_has_been_said() -> None:
    clock, subject = TestScheduler(), Subject[Any]()
    seen = told(progress(every=1), clock, subject)
    clock.advance_by(0.5)
    subject.on_next(TextDelta(text="Grü"))
    clock.advance_by(1)
    subject.on_next("ße euch")
    clock.advance_by(1.5)
    subject.on_completed()
    assert [(p.characters, p.words, p.bytes, p.elapsed, p.done) for p in seen[:-1]] == [
        (3, 1, 4, 1.0, False),
        (10, 2, 12, 2.0, False),
        (10, 2, 12, 3.0, False),
        (10, 2, 12, 3.0, True),
    ]
    assert seen[1].rate == seen[1].average_rate == 5.0
    assert seen[-1] == "end"


def test_progress_of_a_retried_stream_is_that_of_an_unbroken_one() -> None:
    again = Start(attempt=2)
    broken = rx.of(TextDelta(text="one tw"), again, TextDelta(text="one two three"))
    last: Progress = Stream.of(broken).pipe(progress()).run()
    assert (last.characters, last.words) == (13, 3)


def test_health_measures_the_stream() -> None:
    clock, subject = TestScheduler(), Subject[Any]()
    seen = told(health(), clock, subject)
    clock.advance_by(1)
    for item in (Start(), A, Error(kind="x", message="m"), A):
        subject.on_next(item)
    clock.advance_by(36)
    subject.on_completed()
    first, last = seen[0], seen[-2]
    assert (first.events, first.errors, first.error_rate, first.elapsed) == (4, 1, 0.25, 5.0)
    assert (first.events_per_second, first.time_to_first_token) == (0.8, 1.0)
    assert [h.stalled for h in seen[:-1]] == [False] * 6 + [True, False]
    assert (last.done, last.elapsed) == (True, 37.0)


def test_before_the_first_event_nothing_is_stalled_at_once() -> None:
    clock, subject = TestScheduler(), Subject[Any]()
    seen = told(health(every=1, stall_after=2), clock, subject)
    clock.advance_by(3)
    assert [(h.stalled, h.error_rate, h.since_last_event) for h in seen] == [
        (False, 0.0, 1.0),
        (False, 0.0, 2.0),
        (True, 0.0, 3.0),
    ]


@pytest.mark.parametrize("operator", TELLING)
def test_the_last_one_comes_before_an_error_too(operator: Apply) -> None:
    clock, subject = TestScheduler(), Subject[Any]()
    seen = told(operator, clock, subject)
    subject.on_next("a")
    subject.on_error(ERROR)
    last, error = seen
    assert (last.done, error) == (True, ERROR)
    if isinstance(last, StreamHealth):
        assert (last.errors, last.error_rate) == (1, 0.5)


@pytest.mark.parametrize("operator", TICKING)
def test_there_is_one_timer_at_a_time_and_none_after_the_end(operator: Apply) -> None:
    for how in ("complete", "fail", "dispose"):
        timers, subject = Timers(), Subject[Any]()
        subscription = (
            Stream.of(subject)
            .pipe(operator)
            .subscribe(lambda _: None, lambda _: None, scheduler=timers)
        )
        for _ in range(100):
            subject.on_next("a")
        assert (len(timers.made), timers.pending) == (1, 1)
        timers.advance_by(7)
        made = len(timers.made)
        assert made == 3
        if how == "complete":
            subject.on_completed()
        elif how == "fail":
            subject.on_error(ERROR)
        else:
            subscription.dispose()
            subscription.dispose()
        timers.advance_by(100)
        assert (len(timers.made), subject.observers) == (made, [])


@pytest.mark.parametrize("operator", TELLING)
def test_a_busy_subscriber_gets_the_newest_when_it_is_free_and_none_in_between(
    operator: Apply,
) -> None:
    timers, subject, below = Timers(), Subject[Any](), Buffer[Any](1, "below")
    Stream.of(subject).pipe(operator).subscribe(below.push, scheduler=timers)
    timers.advance_by(3)
    assert (len(below.items), len(timers.made)) == (1, 1)
    subject.on_next("a")
    timers.advance_by(100)
    assert (len(below.items), len(timers.made)) == (1, 1)
    below.pop()
    timers.advance_by(0.001)
    newest = below.items[0]
    assert newest.elapsed == 103.0
    below.pop()
    timers.advance_by(2.9)
    assert not below.items
    timers.advance_by(0.1)
    assert len(below.items) == 1


async def test_a_busy_subscriber_of_ticks_does_not_hold_the_source() -> None:
    timers, below = TestScheduler(), Buffer[Any](1, "below")
    source = Source(endless=True)
    stream = source.stream.pipe(health(every=1, scheduler=timers))
    subscription = stream.subscribe(below.push)
    await settle()
    timers.advance_by(1)
    before = source.pulled
    await settle(50)
    assert source.pulled >= before + 40
    subscription.dispose()
    await settle()
    assert source.closed == 1


@pytest.mark.parametrize("operator", TELLING)
def test_a_subscriber_that_raises_at_a_tick_gets_its_own_error(operator: Apply) -> None:
    clock, subject, errors = TestScheduler(), Subject[Any](), list[Exception]()

    def fails(_: Any) -> None:
        raise ERROR

    Stream.of(subject).pipe(operator).subscribe(fails, errors.append, scheduler=clock)
    clock.advance_by(10)
    assert (errors, subject.observers) == ([ERROR], [])


@pytest.mark.parametrize("operator", TELLING)
def test_a_subscriber_that_raises_at_the_last_one_gets_its_own_error(operator: Apply) -> None:
    subject, errors = Subject[Any](), list[Exception]()

    def fails(_: Any) -> None:
        raise ERROR

    Stream.of(subject).pipe(operator).subscribe(fails, errors.append, scheduler=TestScheduler())
    subject.on_completed()
    assert errors == [ERROR]


@pytest.mark.parametrize("operator", TICKING)
def test_dispose_from_within_a_tick_stops_the_clock(operator: Apply) -> None:
    timers, subject = Timers(), Subject[Any]()
    stream = Stream.of(subject).pipe(operator, ops.take(1))
    Stream.of(stream).subscribe(scheduler=timers)
    subject.on_next("a")
    timers.advance_by(100)
    assert (timers.pending, subject.observers) == (0, [])


def test_two_subscriptions_count_apart() -> None:
    subject = Subject[Any]()
    stream = Stream.of(subject).pipe(health())
    one, two = list[StreamHealth](), list[StreamHealth]()
    clock = TestScheduler()
    stream.subscribe(one.append, scheduler=clock)
    subject.on_next("a")
    stream.subscribe(two.append, scheduler=clock)
    subject.on_next("a")
    subject.on_completed()
    assert (one[0].events, two[0].events) == (2, 1)


def test_the_clock_is_the_one_that_was_given() -> None:
    for operator in (health, progress):
        own, seen = TestScheduler(), list[Any]()
        stream = Stream.of(Subject[Any]()).pipe(operator(every=2, scheduler=own))
        stream.subscribe(seen.append, scheduler=TestScheduler())
        own.advance_by(2)
        assert [item.elapsed for item in seen] == [2.0]


async def test_without_a_scheduler_the_loop_keeps_the_time() -> None:
    seen: list[StreamHealth] = []
    subscription = Stream.of(rx.never()).pipe(health(every=0.02)).subscribe(seen.append)
    await asyncio.sleep(0.13)
    subscription.dispose()
    assert 2 <= len(seen) <= 6
    assert seen[-1].elapsed >= 0.04


def test_a_monitor_tells_of_a_stream_at_any_moment() -> None:
    clock, subject, watched = TestScheduler(), Subject[Any](), StreamMonitor()
    told(monitor(watched, "chat"), clock, subject)
    subject.on_next(A)
    clock.advance_by(4)
    state = watched.health("chat")
    assert (state.events, state.since_last_event, state.done) == (1, 4.0, False)
    subject.on_completed()
    assert watched.health("chat").done


def test_one_monitor_watches_several_streams() -> None:
    clock, watched, one, two = TestScheduler(), StreamMonitor(), Subject[Any](), Subject[Any]()
    told(monitor(watched, "one"), clock, one)
    told(monitor(watched, "two"), clock, two)
    one.on_next(A)
    two.on_next(A)
    two.on_error(RateLimitError("slow down"))
    assert watched.names == ("one", "two")
    assert (watched.health().events, watched.health().errors) == (2, 1)
    assert (watched.health("one").errors, watched.health("two").errors) == (0, 1)


def test_a_disposed_stream_is_done_and_no_failure() -> None:
    watched = StreamMonitor()
    stream = Stream.of(Subject[Any]()).pipe(monitor(watched))
    stream.subscribe(scheduler=TestScheduler()).dispose()
    assert (watched.health().done, watched.health().errors) == (True, 0)


async def test_what_holds_the_source_is_named() -> None:
    watched, below = StreamMonitor(), Buffer[Any](2, "relay(2)")
    stream = Source(endless=True).stream.pipe(monitor(watched))
    subscription = stream.subscribe(below.push)
    await settle()
    assert watched.health().held_by == ("relay(2)",)
    assert str(watched.health()).endswith("held by relay(2)")
    below.release()
    assert watched.health().held_by == ()
    subscription.dispose()


async def test_drops_are_counted_by_whoever_drops() -> None:
    watched = StreamMonitor()
    dropping = relay(2, overflow="drop_newest", on_drop=watched.dropped)
    await Stream.of(rx.of(*"abcdefgh")).pipe(monitor(watched), dropping)
    assert (watched.health().events, watched.health().drops) == (8, 6)


async def test_drops_of_a_branch_are_counted_where_they_are_told() -> None:
    watched = StreamMonitor()
    fanned = fan_out(slow=branch(ops.map(str), overflow="drop_newest", queue=2), report_drops=True)
    await Stream.of(rx.of(*range(8))).pipe(fanned, monitor(watched))
    assert watched.health().drops == 6


def test_log_health_logs_a_line_at_each_tick_and_at_the_end(
    lines: Callable[[], list[tuple[str, str]]],
) -> None:
    clock, subject = TestScheduler(), Subject[Any]()
    told(log_health(stall_after=8), clock, subject)
    subject.on_next(A)
    clock.advance_by(10)
    subject.on_completed()
    assert lines() == [
        ("INFO", "health: 0.2 events/s, 0.0 KiB/s, 0.0% errors, 1 event in 5.0 s"),
        ("WARNING", "health: stalled: no content for 10.0 s, 1 event in 10.0 s"),
        ("INFO", "health: done: 0.1 events/s, 0.0 KiB/s, 0.0% errors, 1 event in 10.0 s"),
    ]


def test_log_health_warns_of_a_failure_and_keeps_its_text_to_itself(
    lines: Callable[[], list[tuple[str, str]]],
) -> None:
    clock, subject = TestScheduler(), Subject[Any]()
    told(log_health(), clock, subject)
    subject.on_error(RateLimitError("what the provider said"))
    ((level, line),) = lines()
    assert level == "WARNING"
    assert line.startswith("health: RateLimitError, done: ")
    assert "provider" not in line


async def test_a_log_line_is_one_line_without_control_characters(
    lines: Callable[[], list[tuple[str, str]]],
) -> None:
    clock, below = TestScheduler(), Buffer[Any](1, "branch 'a\n\x1b[2Jb\u202e'")
    stream = Source(endless=True).stream.pipe(log_health(scheduler=clock))
    subscription = stream.subscribe(below.push)
    await settle()
    clock.advance_by(5)
    subscription.dispose()
    assert lines()[0][1].endswith(r"held by branch 'a\n\x1b[2Jb\u202e'")


def test_log_health_takes_a_logger(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="mine")
    Stream.of(rx.of("a")).pipe(log_health(logging.getLogger("mine"), 1.0)).run()
    assert [record.name for record in caplog.records] == ["mine"]


def test_a_logger_that_raises_ends_the_stream_with_its_error() -> None:
    class Broken(logging.Logger):
        def log(self, *_: Any, **__: Any) -> None:
            raise ERROR

    clock, subject = TestScheduler(), Subject[Any]()
    seen = told(log_health(Broken("broken")), clock, subject)
    clock.advance_by(5)
    assert (seen, subject.observers) == ([ERROR], [])


def test_streams_of_events_stay_so_where_items_pass() -> None:
    source = Source(of_events=True).stream
    assert source.pipe(monitor(StreamMonitor()), log_health()).of_events
    assert not source.pipe(health()).of_events
    assert not source.pipe(progress()).of_events
    stream = source.pipe(monitor(StreamMonitor(), "a"), log_health(), text_only(), progress())
    assert repr(stream) == (
        "Stream(source | monitor('a') | log_health(every=5) | text_only() | progress(every=1))"
    )


@pytest.mark.parametrize("given", [0, -1, float("nan"), float("inf")])
def test_no_time_at_all_is_refused_at_once(given: float) -> None:
    for operator in (health, log_health, progress):
        with pytest.raises(ValueError, match=rf"{operator.__name__}\(every=…\) is in seconds"):
            operator(every=given)
    for operator in (health, log_health):
        with pytest.raises(ValueError, match=r"\(stall_after=…\) is in seconds"):
            operator(stall_after=given)


def test_something_else_than_a_monitor_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="takes a StreamMonitor, got 'chat'"):
        monitor("chat")  # type: ignore[arg-type]
