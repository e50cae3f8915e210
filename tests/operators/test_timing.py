import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import reactivex as rx
from reactivex import Observable
from reactivex import operators as ops
from reactivex.scheduler import ImmediateScheduler
from reactivex.subject import Subject
from reactivex.testing import TestScheduler

from gai_rx import (
    Raw,
    Retry,
    StalledError,
    Start,
    Stream,
    TextDelta,
    TimedOutError,
    Usage,
    timeout,
)
from gai_rx.flow import Buffer, Pressure, TimerPressure, current
from gai_rx.operators import branch, fan_out, map_async, relay, retry_on
from gai_rx.operators.timing import deadline, timeouts
from tests.operators.marbles import EVENTS, check, diagram
from tests.operators.sources import Source, Timers, in_turn, settle

ERROR = ZeroDivisionError("mine")
AGAIN = Start(provider="p", attempt=2)
SILENT = {
    **EVENTS,
    "R": Raw(),
    "t": Retry(delay=1.0),
    "2": AGAIN,
}

Apply = Callable[[Observable[Any]], Observable[Any]]


def fails(operator: Apply) -> Apply:
    """The operator with its error replaced by one that `check` knows."""
    return lambda source: source.pipe(operator, ops.catch(lambda e, _: rx.throw(ERROR)))


def failure(operator: Apply, *items: Any, scheduler: TestScheduler | None = None) -> Any:
    """What the operator says of a source that emits these items at once, then nothing."""
    errors: list[Exception] = []
    subject, scheduler = Subject[Any](), scheduler or TestScheduler()
    Stream.of(subject).pipe(operator).subscribe(on_error=errors.append, scheduler=scheduler)
    for item in items:
        subject.on_next(item)
    scheduler.start()
    assert not subject.observers
    (error,) = errors
    return error


def test_silence_that_lasts_too_long_ends_the_stream() -> None:
    given, then = diagram(timeouts)
    check(fails(timeouts(idle=4)), given, then, error=ERROR)


def test_a_stream_that_takes_too_long_in_all_ends() -> None:
    given, then = diagram(deadline)
    check(fails(deadline(6)), given, then, error=ERROR)
    check(fails(timeouts(total=6)), given, then, error=ERROR)


@pytest.mark.parametrize(
    ("operator", "given", "then"),
    [
        (timeouts(first=5), "----a---------b-|", "----a---------b-|"),
        (timeouts(first=5), "------a-|", "-----#"),
        (timeouts(first=8, idle=3), "------a--b-----|", "------a--b--#"),
        (timeouts(first=20, idle=3), "-a----------b-|", "-a--#"),
        (timeouts(first=3, idle=9), "--a-------b-|", "--a-------b-|"),
        (timeouts(idle=3), "----a-|", "---#"),
        (timeouts(idle=3), "-a-b--c-----|", "-a-b--c--#"),
        (timeouts(idle=4, total=6), "-a-b-c-d-|", "-a-b-c#"),
        (timeouts(idle=4, total=70), "-a-b-c-----|", "-a-b-c---#"),
        (timeouts(first=1, idle=1, total=1), "|", "|"),
        (deadline(5), "-a-b|", "-a-b|"),
    ],
)
def test_each_limit_has_its_own_time(operator: Apply, given: str, then: str) -> None:
    check(fails(operator), given, then, error=ERROR)


def test_what_is_no_content_resets_nothing() -> None:
    idle, first = fails(timeouts(idle=8)), fails(timeouts(first=8))
    check(idle, "S-a-R-U-t--R---U-|", "S-a-R-U-t-#", values=SILENT, error=ERROR)
    check(first, "S-R-U-t---R-a-|", "S-R-U-t-#", values=SILENT, error=ERROR)


def test_content_is_everything_else() -> None:
    given = "-a--r--C--F--|"
    check(timeouts(idle=3.5), given, given, values=EVENTS)


def test_the_sources_own_error_passes_and_stops_the_clock() -> None:
    check(timeouts(first=3, idle=3, total=30), "-a-b#", "-a-b#", error=ERROR)


def test_a_retried_answer_waits_for_its_first_content_anew() -> None:
    values = {"a": EVENTS["a"], "2": AGAIN, "b": EVENTS["b"]}
    given = "-a-2------b-|"
    check(timeouts(first=8, idle=3), given, given, values=values)
    check(
        fails(timeouts(first=8, idle=3)),
        "-a-2---------b|",
        "-a-2-------#",
        values=values,
        error=ERROR,
    )
    given, then = "-a-2------b----|", "-a-2------b--#"
    check(fails(timeouts(first=8, idle=3)), given, then, values=values, error=ERROR)


def test_a_first_start_is_no_new_beginning() -> None:
    check(fails(timeouts(first=5)), "---S------a|", "---S-#", values=EVENTS, error=ERROR)


def test_the_error_of_silence_tells_what_came_before() -> None:
    begun = Start(provider="groq", model="m")
    error = failure(timeouts(idle=5), begun, *[EVENTS["a"]] * 12)
    assert type(error) is StalledError
    assert error.message == "no content for 5 s after 13 items (timeouts(idle=5))"
    assert (error.kind, error.retryable, error.phase) == ("timeout", True, "stream")
    assert (error.provider, error.model) == ("groq", "m")
    assert "after 1 item (" in failure(timeouts(idle=5, total=9), "a").message


def test_the_error_of_a_late_beginning_tells_how_far_it_came() -> None:
    error = failure(timeouts(first=0.5, total=2))
    assert type(error) is TimedOutError
    assert error.message == "no content within 0.5 s (timeouts(first=0.5))"
    assert (error.phase, error.provider) == ("headers", None)
    error = failure(timeouts(first=0.5), Start(), Usage())
    assert (
        error.message == "no content within 0.5 s, only 2 items without any (timeouts(first=0.5))"
    )
    assert error.phase == "stream"


def test_the_error_of_a_deadline_names_it() -> None:
    assert failure(deadline(300)).message == "not complete within 300 s (deadline(300))"
    error = failure(timeouts(idle=6, total=5), "a", "b")
    assert type(error) is TimedOutError
    assert error.message == "not complete within 5 s after 2 items (timeouts(total=5))"


def test_the_source_is_disposed_before_the_error_is_told() -> None:
    subject, scheduler, left = Subject[Any](), TestScheduler(), list[int]()
    stream = Stream.of(subject).pipe(timeouts(idle=5))
    stream.subscribe(on_error=lambda _: left.append(len(subject.observers)), scheduler=scheduler)
    scheduler.start()
    assert left == [0]


def test_a_thousand_items_set_a_handful_of_timers() -> None:
    timers, subject = Timers(), Subject[int]()
    stream = Stream.of(subject).pipe(timeouts(first=60, idle=5, total=100))
    stream.subscribe(scheduler=timers)
    for n in range(1000):
        timers.advance_by(0.01)
        subject.on_next(n)
    assert len(timers.made) <= 5
    subject.on_completed()
    assert timers.pending == 0


@pytest.mark.parametrize("how", ["complete", "fail", "dispose"])
def test_no_timer_outlives_the_stream(how: str) -> None:
    timers, subject, seen = Timers(), Subject[str](), list[Any]()
    stream = Stream.of(subject).pipe(timeouts(first=60, idle=5, total=100))
    subscription = stream.subscribe(seen.append, seen.append, scheduler=timers)
    subject.on_next("a")
    if how == "complete":
        subject.on_completed()
    elif how == "fail":
        subject.on_error(ERROR)
    else:
        subscription.dispose()
        subscription.dispose()
    timers.start()
    assert (seen, timers.pending) == (["a", ERROR] if how == "fail" else ["a"], 0)
    assert not subject.observers


def test_a_source_that_ends_while_it_is_subscribed_to_leaves_no_timer() -> None:
    timers, seen = Timers(), list[str]()
    source = rx.from_iterable("ab", scheduler=ImmediateScheduler())
    Stream.of(source).pipe(timeouts(idle=5)).subscribe(seen.append, scheduler=timers)
    assert (seen, timers.pending) == (["a", "b"], 0)


def test_the_time_is_kept_by_the_scheduler_that_was_given_to_it() -> None:
    own, errors = TestScheduler(), list[Exception]()
    stream = Stream.of(rx.never()).pipe(timeouts(idle=5, scheduler=own))
    stream.subscribe(on_error=errors.append, scheduler=TestScheduler())
    own.advance_by(4.9)
    assert not errors
    own.advance_by(0.2)
    assert [type(error) for error in errors] == [StalledError]


async def test_without_a_scheduler_the_loop_keeps_the_time() -> None:
    source = Source(["a"], endless=False)
    hangs = rx.concat(source.stream, rx.never())
    with pytest.raises(StalledError, match="after 1 item"):
        await Stream.of(hangs).pipe(timeouts(idle=0.02))


def test_two_subscriptions_keep_their_own_time() -> None:
    scheduler, subject, errors = TestScheduler(), Subject[str](), list[float]()
    stream = Stream.of(subject).pipe(timeouts(idle=5))
    for _ in range(2):
        stream.subscribe(on_error=lambda _: errors.append(scheduler.clock), scheduler=scheduler)
        scheduler.advance_by(2)
    scheduler.start()
    assert errors == [5.0, 7.0]


def test_a_loop_that_was_held_up_is_given_time_to_read_what_came() -> None:
    scheduler, subject, seen = TestScheduler(), Subject[str](), list[Any]()
    stream = Stream.of(subject).pipe(timeouts(idle=5))
    stream.subscribe(seen.append, seen.append, scheduler=scheduler)
    subject.on_next("a")
    scheduler.sleep(20)  # a subscriber that blocks: the timer comes late
    scheduler.advance_by(0.001)
    subject.on_next("b")
    scheduler.advance_by(4.9)
    assert seen == ["a", "b"]
    scheduler.sleep(20)
    scheduler.advance_by(100)
    assert [type(item) for item in seen] == [str, str, StalledError]


def test_a_loop_that_is_always_late_does_not_excuse_silence_for_ever() -> None:
    scheduler, subject, errors = TestScheduler(), Subject[str](), list[Exception]()
    stream = Stream.of(subject).pipe(timeouts(idle=5))
    stream.subscribe(on_error=errors.append, scheduler=scheduler)
    for _ in range(3):
        scheduler.sleep(6)
        scheduler.advance_by(0.001)
    assert len(errors) == 1


async def test_the_error_names_what_is_full_and_holds_the_source() -> None:
    scheduler, source, errors = TestScheduler(), Source(endless=True), list[Any]()
    below = Buffer[Any](2, "relay(2)")
    stream = source.stream.pipe(timeouts(idle=5, scheduler=scheduler))
    stream.subscribe(below.push, errors.append)
    await settle()
    scheduler.advance_by(5)
    await settle()
    assert errors[0].message.startswith(
        "no content for 5 s after 2 items; the source is held by relay(2), which is full"
    )
    assert source.closed == 1


async def test_a_branch_that_waits_for_the_end_is_named() -> None:
    scheduler, source, errors = TestScheduler(), Source(endless=True), list[Any]()
    given_up = asyncio.Event()

    async def waits(_: Any) -> None:
        await given_up.wait()

    stream = source.stream.pipe(
        timeouts(idle=5, scheduler=scheduler), fan_out(summary=map_async(waits), queue=20)
    )
    stream.subscribe(on_error=errors.append)
    await settle(100)
    scheduler.advance_by(5)
    await settle(100)
    assert source.closed == 1
    given_up.set()  # the error comes after what waits in the branch
    await settle(100)
    (error,) = errors
    assert "held by fan_out branch 'summary' (queue 20), which is full" in str(error)


async def test_a_gate_that_has_opened_again_holds_nobody() -> None:
    scheduler, errors = TestScheduler(), list[Any]()
    below = Buffer[Any](2, "relay(2)")
    source = Source([1, 2])
    stream = Stream.of(rx.concat(source.stream, rx.never()))
    stream.pipe(timeouts(idle=5, scheduler=scheduler)).subscribe(below.push, errors.append)
    await settle()
    below.release()
    scheduler.advance_by(5)
    assert errors[0].message == "no content for 5 s after 2 items (timeouts(idle=5))"


async def test_the_error_is_not_told_in_the_name_of_the_producer_that_is_gone() -> None:
    found = list[Pressure | None]()
    stream = Stream.of(rx.concat(Source([1]).stream, rx.never())).pipe(timeouts(idle=0.01))
    stream.subscribe(on_error=lambda _: found.append(current.get()))
    await asyncio.sleep(0.05)
    assert [type(pressure) for pressure in found] == [TimerPressure]


async def test_each_attempt_has_its_own_time_below_a_retry() -> None:
    stalls, works = Source(["a"]), Source(["b"])
    requests = in_turn(rx.concat(stalls.stream, rx.never()), works.stream, of_events=False)
    stream = requests.pipe(timeouts(first=0.02, idle=0.02), ops.skip(1), retry_on(timeout))
    assert await asyncio.wait_for(stream.to_list(), 5) == []
    assert (stalls.asked, works.asked) == (1, 1)


async def test_nothing_is_lost_and_the_source_is_held_through_it() -> None:
    items = list(range(100))
    stream = Source(items).stream.pipe(timeouts(first=5, idle=5, total=5), relay(3), deadline(5))
    assert await stream.to_list() == items


def test_a_stream_of_events_stays_one_and_shows_its_limits() -> None:
    stream = Source(of_events=True).stream.pipe(timeouts(first=60, idle=0.5), deadline(300))
    assert stream.of_events
    assert repr(stream) == "Stream(source | timeouts(first=60, idle=0.5) | deadline(300))"


@pytest.mark.parametrize("limit", [0, -1, float("nan"), float("inf")])
def test_a_limit_that_is_none_is_refused_at_once(limit: float) -> None:
    with pytest.raises(ValueError, match=r"timeouts\(first=…\) is in seconds and above 0"):
        timeouts(first=limit)
    with pytest.raises(ValueError, match="idle"):
        timeouts(idle=limit)
    with pytest.raises(ValueError, match="total"):
        timeouts(idle=1, total=limit)
    with pytest.raises(ValueError, match="deadline"):
        deadline(limit)


def test_no_limit_and_something_else_than_seconds_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="needs a limit"):
        timeouts()
    with pytest.raises(TypeError, match="is in seconds, got '5'"):
        timeouts(idle="5")  # type: ignore[arg-type]


async def test_a_branch_that_is_stuck_is_named_and_the_error_does_not_wait_for_it() -> None:
    async def for_ever(_: Any) -> None:
        await asyncio.Event().wait()

    source = Source([TextDelta(text="a")] * 100, of_events=True)
    stream = source.stream.pipe(
        timeouts(idle=0.05),
        fan_out(quick=(), summary=branch(map_async(for_ever, queue=1), queue=2)),
        ops.filter(lambda item: True),
    )
    with pytest.raises(StalledError, match=r"held by fan_out branch 'summary' \(queue 2\)"):
        async with asyncio.timeout(5):
            await stream
    await settle()
    assert source.closed == 1


@pytest.mark.parametrize("limit", [timeouts(idle=0.05), timeouts(total=0.05)])
async def test_a_function_that_never_returns_is_named(limit: Any) -> None:
    async def never(_: Any) -> None:
        await asyncio.Event().wait()

    source = Source(range(100))
    stream = source.stream.pipe(limit, map_async(never, queue=1))
    with pytest.raises(StalledError, match=r"held by map_async\(never\)"):
        async with asyncio.timeout(5):
            await stream
