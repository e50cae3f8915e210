import asyncio
from typing import Any

import pytest
import reactivex as rx

from gai_rx import (
    BackpressureError,
    ConnectionFailedError,
    OverloadedError,
    QuotaError,
    RateLimitError,
    ResultBuilder,
    Retry,
    Start,
    StreamEvent,
    TextDelta,
    ToolResult,
    TruncatedError,
    connect,
    overloaded,
    quota,
    rate_limit,
    transient,
)
from gai_rx.operators import accumulate_text, retry_on, text_only
from gai_rx.operators.falling_back import fallback_to
from gai_rx.simulator import Answer, Simulator
from tests.operators.marbles import EVENTS, check_sources, diagram
from tests.operators.sources import Source, fails, in_turn, settle
from tests.operators.test_retrying import Run, again

BUSY = OverloadedError("busy")
CUT = TruncatedError("cut")


def told(error: Exception, attempt: int = 2) -> Retry:
    return Retry(attempt=attempt, delay=0.0, error=str(error), kind=getattr(error, "kind", ""))


def events(*items: StreamEvent) -> Any:
    return in_turn(rx.of(*items))


def test_another_stream_answers_before_any_output() -> None:
    given, then = diagram(fallback_to)
    assert (given, then) == ("-S-#", "-S-R-S-a-F|")
    check_sources(
        lambda cold: in_turn(cold(given)).pipe(fallback_to(in_turn(cold("--S-a-F|")))),
        "-S-R-T-x-G|",
        values=EVENTS,
        into={
            "S": EVENTS["S"],
            "R": told(BUSY),
            "T": again(EVENTS["S"]),
            "x": again(EVENTS["a"]),
            "G": again(EVENTS["F"]),
        },
        error=BUSY,
    )


def test_nobody_else_is_asked_while_the_first_answers() -> None:
    second = Source([EVENTS["b"]])
    run = Run(events(Start(), EVENTS["a"]).pipe(fallback_to(second.stream)))
    assert run.items == [Start(), EVENTS["a"]]
    assert second.asked == 0


def test_what_does_not_match_passes_as_the_same_object() -> None:
    error = QuotaError("no money")
    run = Run(in_turn(rx.throw(error)).pipe(fallback_to(events(EVENTS["a"]))))
    assert (run.error, run.items) == (error, [])


@pytest.mark.parametrize("on", [transient | quota, (overloaded, QuotaError), lambda e: True])
def test_what_matches_is_chosen(on: Any) -> None:
    run = Run(
        in_turn(rx.throw(QuotaError("no money"))).pipe(fallback_to(events(EVENTS["a"]), on=on))
    )
    assert run.items[-1] == again(EVENTS["a"])


def test_who_can_not_be_asked_again_can_be_replaced() -> None:
    error = ConnectionFailedError("no certificate that this machine trusts", retryable=False)
    run = Run(in_turn(rx.throw(error)).pipe(fallback_to(events(EVENTS["a"]))))
    assert run.completed


def test_after_output_a_failure_is_a_failure() -> None:
    run = Run(in_turn(fails(BUSY, EVENTS["a"])).pipe(fallback_to(events(EVENTS["b"]))))
    assert (run.items, run.error) == ([EVENTS["a"]], BUSY)


def test_restart_takes_back_what_the_first_has_said() -> None:
    first = in_turn(fails(BUSY, Start(), EVENTS["a"]))
    second = events(Start(), EVENTS["b"])
    stream = first.pipe(fallback_to(second, after_output="restart"))
    assert Run(stream).items == [
        Start(),
        EVENTS["a"],
        told(BUSY),
        Start(attempt=2),
        again(EVENTS["b"]),
    ]
    assert Run(stream.pipe(accumulate_text())).items == ["a", "b"]


def test_restart_begins_anew_by_itself_where_no_start_comes() -> None:
    first = in_turn(fails(BUSY, EVENTS["a"]))
    run = Run(first.pipe(fallback_to(events(EVENTS["b"]), after_output="restart")))
    assert run.items[-2:] == [Start(attempt=2), again(EVENTS["b"])]


def test_restart_never_runs_a_tool_again() -> None:
    first = in_turn(fails(BUSY, Start(), ToolResult(id="1")))
    run = Run(first.pipe(fallback_to(events(EVENTS["b"]), after_output="restart")))
    assert run.error is BUSY


@pytest.mark.parametrize("which", ["first", "second"])
def test_restart_between_streams_that_are_not_of_events_warns_and_fails(which: str) -> None:
    first = in_turn(fails(BUSY, "a"), of_events=which != "first")
    second = in_turn(rx.of("b"), of_events=which != "second")
    with pytest.warns(UserWarning, match="needs two streams of events") as caught:
        stream = first.pipe(fallback_to(second, after_output="restart"))
    assert caught[0].filename == __file__
    run = Run(stream)
    assert (run.items, run.error) == (["a"], BUSY)


def test_plain_items_fall_back_before_output_without_events() -> None:
    first = in_turn(rx.throw(BUSY), of_events=False)
    assert Run(first.pipe(fallback_to(rx.of("a")))).items == ["a"]


def test_several_fallbacks_count_on() -> None:
    first = in_turn(fails(BUSY, Start(), EVENTS["a"]))
    second = in_turn(fails(CUT, Start(), EVENTS["b"]))
    third = events(Start(), EVENTS["c"])
    run = Run(
        first.pipe(
            fallback_to(second, after_output="restart"), fallback_to(third, after_output="restart")
        )
    )
    assert run.items == [
        Start(),
        EVENTS["a"],
        told(BUSY),
        Start(attempt=2),
        again(EVENTS["b"]),
        told(CUT, 3),
        Start(attempt=3),
        again(EVENTS["c"], 3),
    ]


def test_attempts_of_retries_count_on_on_both_sides() -> None:
    first = in_turn(rx.throw(RateLimitError("1")), rx.throw(RateLimitError("2")))
    second = in_turn(rx.throw(RateLimitError("3")), rx.of(Start(), EVENTS["a"]))
    run = Run(
        first.pipe(
            retry_on(rate_limit, attempts=2),
            fallback_to(second.pipe(retry_on(rate_limit, attempts=2))),
        )
    )
    assert [(item.type, item.attempt) for item in run.items] == [
        ("retry", 2),
        ("retry", 3),
        ("retry", 4),
        ("start", 4),
        ("text_delta", 4),
    ]


def test_the_last_error_arrives_with_all_earlier_ones() -> None:
    errors = [OverloadedError("first"), RateLimitError("second"), TruncatedError("third")]
    first, second, third = (in_turn(rx.throw(error)) for error in errors)
    run = Run(first.pipe(fallback_to(second), fallback_to(third)))
    assert run.error is errors[2]
    assert errors[2].attempts == (errors[0], errors[1])


def test_one_fallback_is_asked_once() -> None:
    run = Run(in_turn(rx.throw(BUSY)).pipe(fallback_to(in_turn(rx.throw(BUSY), events()))))
    assert run.error is BUSY
    assert run.items == [told(BUSY)]


def test_backpressure_is_never_answered_with_another_request() -> None:
    error = BackpressureError("full")
    stream = in_turn(rx.throw(error)).pipe(fallback_to(events(EVENTS["a"]), on=Exception))
    assert Run(stream).error is error


async def test_a_subscribers_own_error_asks_nobody() -> None:
    first, second, seen = Source([EVENTS["a"]], of_events=True), Source(), list[Any]()

    def on_next(_: Any) -> None:
        raise BUSY

    first.stream.pipe(fallback_to(second.stream)).subscribe(on_next, seen.append)
    await settle()
    assert (seen, second.asked, first.closed) == ([BUSY], 0, 1)


async def test_disposing_ends_the_second_stream() -> None:
    first, second = Source(error=BUSY, of_events=True), Source([EVENTS["a"]], endless=True)
    subscription = first.stream.pipe(fallback_to(second.stream)).subscribe()
    await settle()
    assert (first.closed, second.asked, second.closed) == (1, 1, 0)
    subscription.dispose()
    await asyncio.sleep(0.01)
    assert second.closed == 1


def test_an_error_of_the_predicate_arrives_as_itself() -> None:
    mine = ZeroDivisionError("mine")

    def bad(_: Exception) -> bool:
        raise mine

    assert Run(in_turn(rx.throw(BUSY)).pipe(fallback_to(events(), on=bad))).error is mine


@pytest.mark.parametrize(
    ("stream", "options", "kind", "match"),
    [
        ("openai", {}, TypeError, "takes a stream, got 'openai'"),
        (rx.empty(), {"on": ()}, TypeError, "needs a matcher"),
        (rx.empty(), {"on": 3}, TypeError, "can not match with 3"),
        (rx.empty(), {"after_output": "resume"}, ValueError, "got 'resume'"),
    ],
)
def test_what_can_not_be_is_refused_at_once(
    stream: Any, options: Any, kind: type[Exception], match: str
) -> None:
    with pytest.raises(kind, match=match):
        fallback_to(stream, **options)


def test_it_shows_whom_it_asks() -> None:
    stream = Source().stream.pipe(fallback_to(Source().stream.pipe(text_only())))
    assert repr(stream) == "Stream(source | fallback_to(source | text_only()))"


async def test_on_the_wire_the_second_model_answers_from_the_beginning() -> None:
    first, second = Answer("one two three four", fault="reset"), Answer("One, two, three.")
    async with Simulator([first, second]) as simulator:
        one = connect("openai_chat:one", base_url=simulator.url + "/v1")
        two = connect("anthropic_messages:two", base_url=simulator.url, api_key="k")
        stream = one.stream_text("Hi").pipe(
            fallback_to(two.stream_text("Hi"), after_output="restart")
        )
        all_events = await stream.to_list()
    starts = [e for e in all_events if isinstance(e, Start)]
    assert [(s.provider, s.attempt) for s in starts] == [
        ("openai_chat", 1),
        ("anthropic_messages", 2),
    ]
    texts = [e.text for e in all_events if isinstance(e, TextDelta) and e.attempt == 2]
    builder = ResultBuilder()
    builder.extend(all_events)
    assert "".join(texts) == builder.result().text == "One, two, three."
