import asyncio
from typing import Any

import pytest
import reactivex as rx

from gai_rx import (
    BackpressureError,
    Error,
    GaiError,
    OverloadedError,
    RateLimitError,
    ServerError,
    Start,
    Stream,
    TruncatedError,
    connect,
    overloaded,
    parse_event,
    rate_limit,
    transient,
)
from gai_rx.operators import accumulate_text, map_async, text_only
from gai_rx.operators.recovering import as_event, errors_as_events, recover
from gai_rx.simulator import Answer, Simulator
from tests.operators.marbles import EVENTS, check, check_sources, diagram
from tests.operators.sources import Source, fails
from tests.wire_server import WireServer, answer, chat, refuse

BUSY = OverloadedError("busy", provider="groq", status=503, retry_after=2.0, phase="headers")
OTHER = RateLimitError("too many")


# recover


def test_items_come_instead_of_the_error_and_what_came_before_stays() -> None:
    check(recover(overloaded, with_=["c"]), *diagram(recover), error=BUSY)


def test_a_stream_comes_instead() -> None:
    check_sources(
        lambda cold: cold("-a-#").pipe(recover(overloaded, with_=cold("-b-c|"))),
        "-a--b-c|",
        error=BUSY,
    )


@pytest.mark.parametrize("made", [["b"], ("b",), rx.of("b")])
def test_a_function_makes_either_from_the_error(made: Any) -> None:
    seen: list[Exception] = []

    def instead(error: Exception) -> Any:
        seen.append(error)
        return made

    stream = Stream.of(fails(BUSY, "a")).pipe(recover(overloaded, with_=instead))
    assert stream.to_list().run() == ["a", "b"]
    assert seen == [BUSY]


def test_nothing_may_come_instead() -> None:
    check(recover(overloaded, with_=[]), "-a-#", "-a-|", error=BUSY)


@pytest.mark.parametrize("operator", [recover(rate_limit, with_=["c"]), errors_as_events(OSError)])
def test_what_does_not_match_passes_as_the_same_object(operator: Any) -> None:
    check(operator, "-a-#", "-a-#", error=BUSY)


def test_an_error_of_what_comes_instead_passes() -> None:
    check_sources(
        lambda cold: rx.throw(OTHER).pipe(recover(transient, with_=cold("-b-#"))),
        "-b-#",
        error=BUSY,
    )


def test_an_error_of_the_function_itself_arrives_as_itself() -> None:
    mine = ZeroDivisionError("mine")

    def bad(_: Exception) -> Any:
        raise mine

    for operator in (recover(bad, with_=[1]), recover(overloaded, with_=bad)):
        with pytest.raises(ZeroDivisionError) as caught:
            Stream.of(rx.throw(BUSY)).pipe(operator).run()
        assert caught.value is mine


def test_a_function_that_makes_a_text_is_told_so() -> None:
    stream = Stream.of(rx.throw(BUSY)).pipe(recover(overloaded, with_=lambda _: "sorry"))
    with pytest.raises(TypeError, match=r"write with_=\['sorry'\]"):
        stream.run()


def test_a_second_subscription_recovers_as_the_first() -> None:
    stream = Stream.of(rx.throw(BUSY)).pipe(recover(overloaded, with_=["a", "b"]))
    assert stream.to_list().run() == stream.to_list().run() == ["a", "b"]


@pytest.mark.parametrize("operator", [recover(Exception, with_=[1]), errors_as_events(Exception)])
async def test_a_subscribers_own_error_is_not_recovered_from(operator: Any) -> None:
    source, seen, asked = Source([EVENTS["a"]], of_events=True), list[Any](), list[Any]()

    def on_next(item: Any) -> None:
        asked.append(item)
        raise BUSY

    source.stream.pipe(operator).subscribe(on_next, seen.append)
    await asyncio.sleep(0.01)
    assert (asked, seen) == ([EVENTS["a"]], [BUSY])
    assert source.closed == 1


async def test_disposing_ends_what_came_instead() -> None:
    first, second = Source(error=BUSY), Source(endless=True)
    stream = first.stream.pipe(recover(overloaded, with_=second.stream))
    async for _ in stream:
        break
    await asyncio.sleep(0.01)
    assert (first.closed, second.closed) == (1, 1)


@pytest.mark.parametrize(
    ("when", "with_", "match"),
    [
        ((), ["a"], "needs a matcher"),
        ((3,), ["a"], "can not match with 3"),
        ((transient,), "sorry", "write with_="),
        ((transient,), b"sorry", "write with_="),
        ((transient,), 3, "a stream, a list of items or a function"),
        ((transient,), EVENTS["a"], "a stream, a list of items or a function"),
        ((transient,), iter("ab"), "not an iterator"),
    ],
)
def test_what_can_not_be_is_refused_at_once(when: Any, with_: Any, match: str) -> None:
    with pytest.raises(TypeError, match=match):
        recover(*when, with_=with_)


def test_they_show_what_they_recover_from() -> None:
    source = Source().stream
    assert repr(source.pipe(recover(rate_limit, with_=[1]))) == (
        "Stream(source | recover(rate_limit))"
    )
    assert repr(source.pipe(errors_as_events())) == "Stream(source | errors_as_events())"


def test_a_stream_of_events_stays_one() -> None:
    source = Source(of_events=True).stream
    assert source.pipe(recover(rate_limit, with_=[EVENTS["a"]])).of_events
    assert source.pipe(errors_as_events()).of_events


async def test_another_model_takes_over_and_what_was_said_stays() -> None:
    cut, rest = Answer("one two three four five", fault="cut"), Answer(" and more")
    async with Simulator([cut, rest]) as simulator:
        model = connect("openai_chat:m", base_url=simulator.url + "/v1")
        first, second = model.stream_text("Hi"), model.stream_text("Go on")
        text = await first.pipe(recover(transient, with_=second), accumulate_text())
    assert text == "one two three and more"


# errors_as_events


def test_an_error_becomes_an_event_and_a_regular_end() -> None:
    given, then = diagram(errors_as_events)
    values = {**EVENTS, "E": as_event(BUSY)}
    check(errors_as_events(), given, then, values=values, error=BUSY)


def test_errors_of_ones_own_functions_are_turned_if_they_are_named() -> None:
    mine = ZeroDivisionError("mine")
    check(errors_as_events(), "-a-#", "-a-#", error=mine)
    values = {"E": Error(kind="ZeroDivisionError", message="mine")}
    check(errors_as_events(ArithmeticError), "-#", "-(E|)", values=values, error=mine)


def test_an_event_tells_what_the_error_knows_and_survives_json() -> None:
    error = TruncatedError("cut", provider="groq", model="m", request_id="r", phase="stream")
    error.attempts = (BUSY, OSError("reset"))
    event = as_event(error, stream_id="s")
    assert event == Error(
        stream_id="s",
        kind="truncated",
        message="cut",
        details={
            "provider": "groq",
            "model": "m",
            "request_id": "r",
            "retryable": True,
            "phase": "stream",
            "attempts": ["overloaded: busy", "OSError: reset"],
        },
    )
    assert parse_event(event.model_dump_json()) == event


@pytest.mark.parametrize("kind", [BackpressureError, GaiError, ServerError])
def test_every_error_of_the_toolkit_is_turned(kind: type[GaiError]) -> None:
    stream = Stream.of(rx.throw(kind("told"))).pipe(errors_as_events())
    assert stream.run() == as_event(kind("told"))


async def test_no_key_is_in_the_event() -> None:
    key = "sk-very-secret-0123456789"
    async with WireServer(refuse(401, f"Incorrect API key provided: {key}")) as wire:
        model = connect("openai_chat:m", base_url=wire.base_url, api_key=key)
        event: Any = await model.stream_text("Hi").pipe(errors_as_events())
    assert (event.kind, event.details["status"]) == ("authentication", 401)
    assert key not in event.model_dump_json()


async def test_what_came_before_stays_and_no_finish_follows() -> None:
    async with WireServer(answer(*chat("Hel", "lo")[:2])) as wire:
        events = await wire.provider.stream_text("Hi").pipe(errors_as_events()).to_list()
        texts = (
            await wire.provider.stream_text("Hi").pipe(errors_as_events(), text_only()).to_list()
        )
    assert [e.type for e in events] == ["start", "text_delta", "text_delta", "error"]
    assert texts == ["Hel", "lo"]


def test_a_start_that_came_is_not_taken_back() -> None:
    stream = Stream.of(fails(BUSY, Start()), of_events=True).pipe(errors_as_events())
    assert [type(item) for item in stream.to_list().run()] == [Start, Error]


@pytest.mark.parametrize("instead", [list(range(1000)), lambda _: (n for n in range(1000))])
async def test_much_comes_instead_at_the_pace_of_a_slow_subscriber(instead: Any) -> None:
    async def slowly(item: int) -> int:
        await asyncio.sleep(0)
        return item

    stream = Stream.of(rx.throw(BUSY)).pipe(recover(overloaded, with_=instead), map_async(slowly))
    assert await stream.to_list() == list(range(1000))
