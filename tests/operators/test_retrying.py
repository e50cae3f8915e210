import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest
import reactivex as rx
from reactivex import Observable
from reactivex.scheduler import ImmediateScheduler
from reactivex.testing import TestScheduler

from gai_rx import (
    BackpressureError,
    ConnectionFailedError,
    Finish,
    GaiError,
    OverloadedError,
    QuotaError,
    RateLimitError,
    Raw,
    Retry,
    ServerError,
    Start,
    StreamEvent,
    TextDelta,
    TimedOutError,
    TruncatedError,
    Usage,
    connection,
    events,
    overloaded,
    quota,
    rate_limit,
    server,
    timeout,
    transient,
    truncated,
)
from gai_rx.operators import (
    batch,
    errors_as_events,
    fallback_to,
    recover,
    retry_on,
    text_only,
)
from tests.operators.marbles import EVENTS, Cold, check_sources, diagram
from tests.operators.sources import Source, Timers, fails, in_turn, settle
from tests.wire_server import WireServer, answer, chat, refuse

BUSY = RateLimitError("busy")


def again(event: StreamEvent, attempt: int = 2) -> StreamEvent:
    return event.model_copy(update={"attempt": attempt})


def told(error: Exception, delay: float, attempt: int = 2) -> Retry:
    kind = error.kind if isinstance(error, GaiError) else type(error).__name__
    return Retry(attempt=attempt, delay=delay, error=str(error), kind=kind)


class Run:
    """A subscription under virtual time: what came, at which second, and how it ended."""

    def __init__(self, stream: Observable[Any]) -> None:
        self.items: list[Any] = []
        self.times: list[float] = []
        self.error: Exception | None = None
        self.completed = False
        scheduler = TestScheduler()

        def on_next(item: Any) -> None:
            self.items.append(item)
            self.times.append(scheduler.clock)

        def on_error(error: Exception) -> None:
            self.error = error
            self.times.append(scheduler.clock)

        def on_completed() -> None:
            self.completed = True

        stream.subscribe(on_next, on_error, on_completed, scheduler=scheduler)
        scheduler.start()


# in virtual time


def test_a_failed_request_is_asked_again_after_its_delay() -> None:
    given, then = diagram(retry_on)
    first, second = given.split()
    # In the second answer the same letters stand for events of the second attempt.
    then = then[:8] + then[8:].translate(str.maketrans("SabF", "TxyG"))
    busy = RateLimitError("busy", retry_after=4.0)
    check_sources(
        lambda cold: in_turn(cold(first), cold(second)).pipe(retry_on(rate_limit)),
        then,
        values=EVENTS,
        into={
            "S": EVENTS["S"],
            "R": told(busy, 4.0),
            "T": again(EVENTS["S"]),
            "x": again(EVENTS["a"]),
            "y": again(EVENTS["b"]),
            "G": again(EVENTS["F"]),
        },
        error=busy,
    )


@pytest.mark.parametrize(
    "operators",
    [
        (text_only(), batch(2), retry_on(rate_limit)),
        (text_only(), retry_on(rate_limit), batch(2)),
        (retry_on(rate_limit), text_only(), batch(2)),
    ],
    ids=["last", "between", "first"],
)
def test_retry_on_works_before_and_after_batch(operators: Any) -> None:
    def make(cold: Cold) -> Observable[Any]:
        source: Any = in_turn(cold("-S-#"), cold("-S-a-b-c-F|"))
        return source.pipe(*operators)  # type: ignore[no-any-return]

    # 3 s until the failure, 2 s of back-off, then a at 3 s, b at 5 s, the end at 10 s.
    check_sources(
        make,
        "----------x----(y|)",
        values=EVENTS,
        into={"x": ["a", "b"], "y": ["c"]},
        error=BUSY,
    )


@pytest.mark.parametrize(
    ("matcher", "error", "delays"),
    [
        (rate_limit, RateLimitError("e"), [2, 4, 8]),
        (overloaded, OverloadedError("e"), [2, 4, 8]),
        (server, ServerError("e"), [2, 4, 8]),
        (timeout, TimedOutError("e"), [0.5, 0.5, 0.5]),
        (truncated, TruncatedError("e"), [0.5, 0.5, 0.5]),
        (connection, ConnectionFailedError("e"), [1, 2, 3]),
        (transient, ConnectionFailedError("e"), [1, 2, 3]),
        (rate_limit | timeout, TimedOutError("e"), [0.5, 0.5, 0.5]),
        (rate_limit | timeout, RateLimitError("e"), [2, 4, 8]),
        (OSError, OSError("e"), [1, 2, 3]),
        (lambda error: "e" in str(error), ValueError("e"), [1, 2, 3]),
    ],
)
def test_each_kind_has_its_own_back_off(matcher: Any, error: Exception, delays: list[Any]) -> None:
    run = Run(in_turn(rx.throw(error)).pipe(retry_on(matcher, attempts=4)))
    assert [item.delay for item in run.items] == delays
    assert run.times[-1] == pytest.approx(sum(delays))
    assert run.error is error


def test_what_does_not_match_passes_as_the_same_object() -> None:
    error = QuotaError("no money")
    run = Run(in_turn(rx.throw(error)).pipe(retry_on(transient, OSError, lambda e: False)))
    assert run.error is error
    assert not run.items
    assert not error.attempts


def test_the_last_error_itself_arrives_with_the_earlier_ones() -> None:
    errors = [RateLimitError("first"), OverloadedError("second"), RateLimitError("third")]
    run = Run(in_turn(*map(rx.throw, errors)).pipe(retry_on(rate_limit | overloaded)))
    assert run.error is errors[2]
    assert errors[2].attempts == (errors[0], errors[1])
    assert errors[2].__notes__ == ["gai_rx asked 3 times; earlier: second"]


def test_attempts_counts_requests() -> None:
    once = Run(in_turn(rx.throw(BUSY)).pipe(retry_on(rate_limit, attempts=1)))
    assert (once.error, once.items) == (BUSY, [])
    five = Run(in_turn(rx.throw(BUSY)).pipe(retry_on(rate_limit, attempts=5)))
    assert len(five.items) == 4


def test_retry_after_wins_over_the_back_off_and_has_no_jitter() -> None:
    busy = RateLimitError("busy", retry_after=7.5)
    stream = in_turn(rx.throw(busy), rx.empty())
    run = Run(stream.pipe(retry_on(rate_limit, jitter=lambda delay: 99.0)))
    assert [item.delay for item in run.items] == [7.5]


def test_a_provider_that_asks_for_longer_than_max_delay_fails_at_once() -> None:
    busy = RateLimitError("busy", retry_after=121.0)
    run = Run(in_turn(rx.throw(busy)).pipe(retry_on(rate_limit)))
    assert (run.error, run.items, run.times) == (busy, [], [0.0])
    longer = Run(in_turn(rx.throw(busy), rx.empty()).pipe(retry_on(rate_limit, max_delay=121)))
    assert longer.completed


def test_a_computed_delay_is_cut_to_max_delay() -> None:
    run = Run(in_turn(rx.throw(BUSY)).pipe(retry_on(rate_limit, attempts=4, max_delay=3)))
    assert [item.delay for item in run.items] == [2, 3, 3]


def test_a_share_as_jitter_takes_some_of_the_delay_away() -> None:
    delays: list[float] = []
    for _ in range(20):
        stream = in_turn(rx.throw(BUSY), rx.empty())
        delays += [item.delay for item in Run(stream.pipe(retry_on(rate_limit, jitter=0.5))).items]
    assert all(1 <= delay <= 2 for delay in delays)
    assert len(set(delays)) > 1


@pytest.mark.parametrize(("jittered", "delay"), [(1e9, 120.0), (-1.0, 0.0), (math.nan, 0.0)])
def test_jitter_can_not_leave_the_limits(jittered: float, delay: float) -> None:
    stream = in_turn(rx.throw(BUSY), rx.empty())
    run = Run(stream.pipe(retry_on(rate_limit, jitter=lambda _: jittered)))
    assert [item.delay for item in run.items] == [delay]


def test_very_many_attempts_do_not_overflow_the_back_off() -> None:
    run = Run(in_turn(rx.throw(BUSY)).pipe(retry_on(rate_limit, attempts=1100, max_delay=0.01)))
    assert run.error is BUSY


def test_a_matcher_respects_an_error_that_says_that_asking_again_is_useless() -> None:
    error = ConnectionFailedError("no certificate that this machine trusts", retryable=False)
    run = Run(in_turn(rx.throw(error)).pipe(retry_on(transient | connection)))
    assert (run.error, run.items) == (error, [])
    own_word = Run(in_turn(rx.throw(error)).pipe(retry_on(ConnectionFailedError)))
    assert len(own_word.items) == 2


def test_a_matcher_takes_a_kind_that_is_never_worth_it_by_itself() -> None:
    run = Run(in_turn(rx.throw(QuotaError("no money")), rx.empty()).pipe(retry_on(quota)))
    assert run.completed


def test_the_clock_may_call_back_at_once() -> None:
    now = retry_on(rate_limit, jitter=lambda _: 0.0, scheduler=ImmediateScheduler())
    run = Run(in_turn(rx.throw(BUSY), rx.of(1, 2), of_events=False).pipe(now))
    assert (run.items, run.completed) == ([1, 2], True)


def test_errors_above_and_below_are_told_once_each() -> None:
    first, second = RateLimitError("first"), RateLimitError("second")
    stream = in_turn(rx.throw(first), rx.throw(second))
    run = Run(stream.pipe(retry_on(rate_limit, attempts=2), retry_on(rate_limit, attempts=3)))
    assert run.error is second
    assert second.attempts == (first,)


def test_jitter_changes_a_computed_delay() -> None:
    stream = in_turn(rx.throw(BUSY), rx.empty())
    run = Run(stream.pipe(retry_on(rate_limit, jitter=lambda delay: delay / 4)))
    assert [item.delay for item in run.items] == [0.5]


async def test_the_clock_may_be_the_operators_own() -> None:
    own, source = TestScheduler(), Source(error=BUSY)
    subscription = source.stream.pipe(retry_on(rate_limit, scheduler=own)).subscribe()
    await settle()
    own.advance_to(1.9)
    await settle()
    assert source.asked == 1
    own.advance_to(2.1)
    await settle()
    assert source.asked == 2
    subscription.dispose()


def test_the_hook_learns_the_next_attempt_the_error_and_the_delay() -> None:
    calls: list[Any] = []
    stream = in_turn(rx.throw(BUSY), rx.throw(BUSY), rx.of(1), of_events=False)
    run = Run(stream.pipe(retry_on(rate_limit, on_retry=lambda *told: calls.append(told))))
    assert calls == [(2, BUSY, 2.0), (3, BUSY, 4.0)]
    assert run.items == [1]


# what counts as output, and what is done after it


@pytest.mark.parametrize("item", [Start(), Usage(), Raw(), Retry(delay=1)])
def test_what_is_no_output_does_not_hinder_a_retry(item: StreamEvent) -> None:
    run = Run(in_turn(fails(BUSY, item), rx.of(Finish(reason="stop"))).pipe(retry_on(rate_limit)))
    assert run.completed
    assert run.items == [item, told(BUSY, 2), again(Finish(reason="stop"))]


@pytest.mark.parametrize("item", [TextDelta(text="a"), Finish(reason="stop"), EVENTS["C"]])
def test_after_output_a_failure_is_a_failure(item: StreamEvent) -> None:
    run = Run(in_turn(fails(BUSY, item), rx.of(1)).pipe(retry_on(rate_limit)))
    assert (run.items, run.error) == ([item], BUSY)


def test_restart_asks_again_after_output_and_says_so() -> None:
    stream = in_turn(
        fails(BUSY, Start(), EVENTS["a"]),
        fails(BUSY, Start(), EVENTS["b"]),
        rx.of(Start(), EVENTS["c"], EVENTS["F"]),
    )
    run = Run(stream.pipe(retry_on(rate_limit, after_output="restart")))
    assert run.items == [
        Start(),
        EVENTS["a"],
        told(BUSY, 2),
        Start(attempt=2),
        again(EVENTS["b"]),
        told(BUSY, 4, attempt=3),
        Start(attempt=3),
        again(EVENTS["c"], 3),
        again(EVENTS["F"], 3),
    ]


def test_restart_begins_anew_by_itself_where_no_start_comes() -> None:
    stream = in_turn(fails(BUSY, EVENTS["a"]), rx.of(Usage(), EVENTS["b"], EVENTS["c"]))
    run = Run(stream.pipe(retry_on(rate_limit, after_output="restart")))
    assert run.items[2:] == [
        again(Usage()),
        Start(attempt=2),
        again(EVENTS["b"]),
        again(EVENTS["c"]),
    ]


def test_restart_takes_back_what_an_empty_answer_does_not_repeat() -> None:
    stream = in_turn(fails(BUSY, EVENTS["a"]), rx.empty())
    run = Run(stream.pipe(retry_on(rate_limit, after_output="restart")))
    assert run.items[2:] == [Start(attempt=2)]
    assert run.completed


def test_restart_begins_every_one_of_several_streams_anew() -> None:
    def of(stream_id: str, event: StreamEvent) -> StreamEvent:
        return event.model_copy(update={"stream_id": stream_id})

    a, b, c = EVENTS["a"], EVENTS["b"], EVENTS["c"]
    stream = in_turn(
        fails(BUSY, of("x", Start()), of("x", a), of("y", b), of("z", c)),
        rx.of(of("y", b), of("x", Start()), of("x", a)),
    )
    run = Run(stream.pipe(retry_on(rate_limit, after_output="restart")))
    assert run.items[5:] == [
        of("y", Start(attempt=2)),
        again(of("y", b)),
        of("x", Start(attempt=2)),
        again(of("x", a)),
        of("z", Start(attempt=2)),
    ]


def test_attempts_count_on_over_two_retries() -> None:
    stream = in_turn(
        rx.throw(BUSY),
        fails(TruncatedError("cut"), Start(), EVENTS["a"]),
        rx.of(Start(), EVENTS["b"]),
    )
    once, restart = retry_on(rate_limit), retry_on(truncated, after_output="restart")
    run = Run(stream.pipe(once, restart))
    numbers = [item.attempt for item in run.items]
    assert numbers == [2, 2, 2, 3, 3, 3]
    assert run.items[-2:] == [Start(attempt=3), again(EVENTS["b"], 3)]


def test_a_start_of_a_later_step_leaves_the_steps_before_it_output() -> None:
    anew = Start(attempt=2, step=1)
    stream = in_turn(fails(BUSY, Start(), EVENTS["a"], anew), rx.empty())
    assert Run(stream.pipe(retry_on(rate_limit))).error is BUSY


def test_an_answer_that_was_taken_back_above_is_no_output() -> None:
    stream = in_turn(
        fails(BUSY, Start(), EVENTS["a"], Start(attempt=2)), rx.of(Start(), EVENTS["b"])
    )
    run = Run(stream.pipe(retry_on(rate_limit)))
    assert run.items[-2:] == [Start(attempt=3), again(EVENTS["b"], 3)]


@pytest.mark.parametrize("kind", ["ToolProgress", "ToolResult"])
def test_restart_never_runs_a_tool_again(kind: str) -> None:
    event = getattr(events, kind)(id="1")
    stream = in_turn(fails(BUSY, Start(), event), rx.empty())
    run = Run(stream.pipe(retry_on(rate_limit, after_output="restart")))
    assert run.error is BUSY


def test_restart_of_a_stream_that_is_not_of_events_warns_and_fails() -> None:
    texts = in_turn(fails(BUSY, "a"), rx.of("b"), of_events=False)
    with pytest.warns(UserWarning, match="before text_only") as caught:
        stream = texts.pipe(retry_on(rate_limit, after_output="restart"))
    assert caught[0].filename == __file__
    run = Run(stream)
    assert (run.items, run.error) == (["a"], BUSY)


def test_plain_items_are_retried_before_output_without_events() -> None:
    run = Run(in_turn(rx.throw(BUSY), rx.of("a"), of_events=False).pipe(retry_on(rate_limit)))
    assert run.items == ["a"]


def test_resume_goes_on_where_the_provider_can() -> None:
    rest = rx.of(Start(), EVENTS["b"], EVENTS["F"])
    error = TruncatedError("cut", resume=lambda: rest)
    stream = in_turn(fails(error, Start(), EVENTS["a"]), rx.throw(ValueError("asked anew")))
    run = Run(stream.pipe(retry_on(truncated, after_output="resume")))
    assert run.items == [Start(), EVENTS["a"], told(error, 0.5), EVENTS["b"], EVENTS["F"]]


def test_resume_fails_where_the_provider_can_not_and_says_so() -> None:
    error = RateLimitError("busy", provider="groq")
    stream = in_turn(fails(error, EVENTS["a"]), rx.empty())
    run = Run(stream.pipe(retry_on(rate_limit, after_output="resume")))
    assert run.error is error
    assert "groq does not continue this answer" in error.__notes__[0]


def test_resume_asks_anew_where_nothing_has_come_and_nothing_can_go_on() -> None:
    stream = in_turn(rx.throw(BUSY), rx.of(Start(), EVENTS["a"]))
    run = Run(stream.pipe(retry_on(rate_limit, after_output="resume")))
    assert run.items[-2:] == [Start(attempt=2), again(EVENTS["a"])]


def test_resume_goes_on_before_the_first_output_too_for_the_answer_is_being_written() -> None:
    error = TruncatedError("cut", resume=lambda: rx.of(Start(), EVENTS["a"]))
    stream = in_turn(fails(error, Start()), rx.throw(ValueError("asked anew")))
    run = Run(stream.pipe(retry_on(truncated, after_output="resume")))
    assert run.items == [Start(), told(error, 0.5), EVENTS["a"]]


def test_what_is_resumed_belongs_to_the_attempt_that_it_continues() -> None:
    error = TruncatedError("cut", resume=lambda: rx.of(Start(), EVENTS["b"]))
    stream = in_turn(rx.throw(BUSY), fails(error, Start(), EVENTS["a"]))
    run = Run(stream.pipe(retry_on(transient, after_output="resume")))
    assert run.items == [
        told(BUSY, 2),
        Start(attempt=2),
        again(EVENTS["a"]),
        told(error, 0.5, attempt=3),
        again(EVENTS["b"]),
    ]
    assert run.completed


def test_an_answer_is_resumed_as_often_as_attempts_allow() -> None:
    errors = [TruncatedError("first"), TruncatedError("second"), TruncatedError("third")]
    parts = [fails(error, Start(), EVENTS[text]) for error, text in zip(errors, "abc", strict=True)]
    for error, part in zip(errors, parts[1:], strict=False):
        error.resume = lambda part=part: part
    run = Run(in_turn(parts[0]).pipe(retry_on(truncated, after_output="resume")))
    assert [e.text for e in run.items if isinstance(e, TextDelta)] == ["a", "b", "c"]
    assert run.error is errors[2]
    assert errors[2].attempts == (errors[0], errors[1])


# never retried


def test_backpressure_is_never_retried() -> None:
    error = BackpressureError("full")
    run = Run(in_turn(rx.throw(error)).pipe(retry_on(GaiError, lambda _: True)))
    assert (run.error, run.items) == (error, [])


@pytest.mark.parametrize("place", ["above", "below"])
async def test_a_subscriber_that_raises_is_never_retried(place: str) -> None:
    source, seen = Source([EVENTS["a"], EVENTS["b"]], of_events=True), list[Any]()

    def on_next(_: Any) -> None:
        raise BUSY

    operators: list[Any] = [text_only(), retry_on(lambda _: True)]
    if place == "above":
        operators.reverse()
    source.stream.pipe(*operators).subscribe(on_next, seen.append)
    await asyncio.sleep(0.01)
    assert seen == [BUSY]
    assert (source.asked, source.closed) == (1, 1)


@pytest.mark.parametrize("event", [Start(), EVENTS["a"]])
async def test_a_subscribers_error_is_not_retried_where_a_providers_would_be(event: Any) -> None:
    source, seen = Source([event], of_events=True), list[Any]()

    def on_next(item: Any) -> None:
        if item == event:
            raise BUSY

    restart = retry_on(rate_limit, after_output="restart", jitter=lambda _: 0.0)
    source.stream.pipe(restart).subscribe(on_next, seen.append)
    await asyncio.sleep(0.01)
    assert seen == [BUSY]
    assert source.asked == 1


async def test_a_subscriber_that_raises_at_a_retry_event_gets_its_own_error() -> None:
    source, seen = Source(error=BUSY, of_events=True), list[Any]()
    mine = ZeroDivisionError("mine")

    def on_next(_: Any) -> None:
        raise mine

    source.stream.pipe(retry_on(rate_limit)).subscribe(on_next, seen.append)
    await settle()
    assert seen == [mine]
    assert source.asked == 1


@pytest.mark.parametrize("part", ["predicate", "jitter", "on_retry", "resume"])
def test_an_error_of_the_users_own_function_arrives_as_itself(part: str) -> None:
    mine = ZeroDivisionError("mine")

    def bad(*_: Any) -> Any:
        raise mine

    error = RateLimitError("busy", resume=bad)
    options: dict[str, dict[str, Any]] = {
        "predicate": {},
        "jitter": {"jitter": bad},
        "on_retry": {"on_retry": bad},
        "resume": {"after_output": "resume"},
    }
    when: Callable[[Exception], bool] = bad if part == "predicate" else rate_limit
    run = Run(
        in_turn(fails(error, EVENTS["a"]) if part == "resume" else rx.throw(error)).pipe(
            retry_on(when, **options[part])
        )
    )
    assert run.error is mine


class _Odd(BaseException):
    """An exception that is no `Exception`, as some frameworks have."""


def _asking(when: Callable[[Exception], bool]) -> dict[str, Any]:
    """The operators that ask a user's function what to do about an error."""
    return {
        "retry_on": retry_on(when),
        "recover": recover(when, with_=["instead"]),
        "recover, with_": recover(Exception, with_=when),  # type: ignore[arg-type]
        "errors_as_events": errors_as_events(when),
        "fallback_to": fallback_to(Source(["another"]).stream, on=when),
    }


@pytest.mark.parametrize("name", _asking(callable))
@pytest.mark.parametrize("kind", [asyncio.CancelledError, _Odd])
async def test_an_exception_of_any_kind_of_a_predicate_ends_the_stream_rather_than_nothing(
    name: str, kind: type[BaseException]
) -> None:
    mine = kind()

    def bad(_: Exception) -> bool:
        raise mine

    told: list[BaseException] = []
    source = Source(error=BUSY)
    source.stream.pipe(_asking(bad)[name]).subscribe(on_error=told.append)
    await settle()
    assert told == [mine]
    assert (source.asked, source.closed) == (1, 1)
    with pytest.raises(kind):
        async with asyncio.timeout(5):
            await source.stream.pipe(_asking(bad)[name])


def test_without_a_loop_a_predicate_that_raises_cancelled_error_ends_the_stream_too() -> None:
    def bad(_: Exception) -> bool:
        raise asyncio.CancelledError

    assert isinstance(Run(rx.throw(BUSY).pipe(retry_on(bad))).error, asyncio.CancelledError)


@pytest.mark.parametrize("name", _asking(callable))
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_passes_through_a_predicate(
    name: str, kind: type[BaseException]
) -> None:
    def leave(_: Exception) -> bool:
        raise kind

    with pytest.raises(kind):
        Run(rx.throw(BUSY).pipe(_asking(leave)[name]))
    with pytest.raises(kind):
        Source(error=BUSY).stream.pipe(_asking(leave)[name]).run()


async def test_a_task_that_is_cancelled_by_a_predicate_is_cancelled() -> None:
    told: list[BaseException] = []

    def leave(_: Exception) -> bool:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        raise asyncio.CancelledError

    source = Source(error=BUSY)
    source.stream.pipe(retry_on(leave)).subscribe(on_error=told.append)
    await settle()
    assert (told, source.closed) == ([], 1)


async def test_disposed_while_it_waits_it_never_asks_again() -> None:
    source, timers = Source(error=BUSY, of_events=True), Timers()
    subscription = source.stream.pipe(retry_on(rate_limit, scheduler=timers)).subscribe()
    await settle()
    assert (len(timers.made), timers.pending) == (1, 1)
    subscription.dispose()
    assert timers.pending == 0
    timers.advance_to(100)
    await settle()
    assert source.asked == 1


async def test_each_subscription_has_its_own_attempts() -> None:
    source = Source(error=BUSY, of_events=False)
    stream = source.stream.pipe(retry_on(rate_limit, attempts=2, jitter=lambda _: 0.0))
    for _ in range(2):
        with pytest.raises(RateLimitError):
            await stream
    assert source.asked == 4


# what can not be


@pytest.mark.parametrize(
    ("when", "options", "kind", "match"),
    [
        ((), {}, TypeError, "needs a matcher"),
        ((3,), {}, TypeError, "can not match with 3"),
        ((int,), {}, TypeError, "can not match"),
        ((KeyboardInterrupt,), {}, TypeError, "can not match"),
        ((rate_limit,), {"attempts": 0}, ValueError, "at least 1"),
        ((rate_limit,), {"attempts": 2.5}, ValueError, "at least 1"),
        ((rate_limit,), {"after_output": "go on"}, ValueError, "go on"),
        ((rate_limit,), {"max_delay": -1}, ValueError, "at least 0"),
        ((rate_limit,), {"max_delay": math.nan}, ValueError, "at least 0"),
        ((rate_limit,), {"jitter": 1.5}, ValueError, "from 0 to 1"),
    ],
)
def test_what_can_not_be_is_refused_at_once(
    when: Any, options: Any, kind: type[Exception], match: str
) -> None:
    with pytest.raises(kind, match=match):
        retry_on(*when, **options)


def test_retry_on_shows_what_it_retries() -> None:
    stream = Source().stream.pipe(retry_on(rate_limit | timeout, OSError))
    assert repr(stream) == "Stream(source | retry_on(rate_limit | timeout, OSError))"


# on the wire


@pytest.mark.parametrize(
    "operators",
    [
        (text_only(), batch(10), retry_on(rate_limit)),
        (text_only(), retry_on(rate_limit), batch(10)),
        (retry_on(rate_limit), text_only(), batch(10)),
    ],
    ids=["last", "between", "first"],
)
async def test_a_429_and_then_an_answer(operators: Any) -> None:
    words = [f"w{n} " for n in range(25)]
    async with WireServer(refuse(429, retry_after="0"), answer(*chat(*words))) as wire:
        lists = await wire.provider.stream_text("Tell me").pipe(*operators).to_list()
    assert lists == [words[:10], words[10:20], words[20:]]
    assert len(wire.exchanges) == 2
    assert wire.exchanges[0].body == wire.exchanges[1].body


async def test_a_429_is_waited_for_as_long_as_the_provider_asks() -> None:
    loop = asyncio.get_running_loop()
    async with WireServer(refuse(429, retry_after="0.2"), answer(*chat("a"))) as wire:
        begin = loop.time()
        events = await wire.provider.stream_text("Hi").pipe(retry_on(rate_limit)).to_list()
    assert 0.2 <= loop.time() - begin < 0.6
    assert [e.type for e in events] == ["retry", "start", "text_delta", "finish"]
    assert {e.attempt for e in events} == {2}


async def test_a_subscribers_own_error_ends_the_request_and_is_not_asked_again() -> None:
    seen, mine = list[Any](), RateLimitError("mine")
    async with WireServer(answer(*chat("a")[:1], then="stall")) as wire:

        def on_next(_: str) -> None:
            raise mine

        stream = wire.provider.stream_text("Hi").pipe(text_only(), retry_on(rate_limit))
        stream.subscribe(on_next, seen.append)
        while not wire.exchanges:
            await asyncio.sleep(0.001)
        await asyncio.wait_for(wire.exchanges[0].closed.wait(), 1)
        assert seen == [mine]
        assert len(wire.exchanges) == 1


async def test_what_had_arrived_before_a_failure_is_in_the_error() -> None:
    async with WireServer(answer(*chat("Hel", "lo")[:2])) as wire:
        with pytest.raises(TruncatedError) as caught:
            await wire.provider.stream_text("Hi").pipe(retry_on(transient))
    assert caught.value.partial is not None
    assert caught.value.partial.text == "Hello"
    assert len(wire.exchanges) == 1


async def test_restart_on_the_wire_ends_as_an_unbroken_run() -> None:
    async with WireServer(
        answer(*chat("Hel")[:1], then="reset"), answer(*chat("Hel", "lo"))
    ) as wire:
        restart = retry_on(transient, after_output="restart", jitter=lambda _: 0.0)
        events = await wire.provider.stream_text("Hi").pipe(restart).to_list()
    begin = max(n for n, event in enumerate(events) if isinstance(event, Start))
    assert events[begin].attempt == 2
    assert "".join(e.text for e in events[begin:] if isinstance(e, TextDelta)) == "Hello"
