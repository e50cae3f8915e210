from typing import Any, cast, get_args

import pytest
import reactivex as rx
from reactivex.subject import Subject

from gai_rx import EventType, Finish, Stream, StreamEvent, TextDelta, ToolCall
from gai_rx.events import Event
from gai_rx.operators.handling import Handlers, on
from tests.operators.marbles import EVENTS, check, diagram
from tests.operators.sources import Source, settle
from tests.operators.test_flowing import watched

ERROR = ZeroDivisionError("mine")
ALL = list(EVENTS.values())
CLASSES: dict[str, type[StreamEvent]] = {
    cls.model_fields["type"].default: cls for cls in get_args(get_args(Event)[0])
}


def nothing(_: Any) -> None:
    pass


def test_everything_goes_on_unchanged() -> None:
    check(on(text=nothing, finish=nothing), *diagram(on), values=EVENTS)


def test_each_function_gets_the_events_of_its_kind() -> None:
    texts, calls, ends = list[TextDelta](), list[ToolCall](), list[Finish]()
    stream = Stream.of(rx.from_iterable(ALL))
    seen = stream.pipe(on(text=texts.append, tool_call=calls.append, finish=ends.append))
    assert seen.to_list().run() == ALL
    assert texts == [EVENTS["a"], EVENTS["b"], EVENTS["c"]]
    assert (calls, ends) == ([EVENTS["C"]], [EVENTS["F"]])
    assert texts[0] is EVENTS["a"]


def test_a_function_is_called_before_its_event_goes_on() -> None:
    order: list[str] = []
    stream = Stream.of(rx.of(EVENTS["a"])).pipe(on(text=lambda e: order.append(f"on {e.text}")))
    stream.subscribe(lambda e: order.append(f"below {e}"[:5]))
    stream.run()
    assert order[:2] == ["on a", "below"]


@pytest.mark.parametrize("kind", EventType)
def test_every_kind_of_event_has_a_name(kind: str) -> None:
    assert kind in Handlers.__annotations__
    event, seen = CLASSES[kind].model_construct(), list[Any]()
    handlers: Any = {str(kind): seen.append}
    Stream.of(rx.of(event)).pipe(on(**handlers)).run()
    assert seen == [event]


@pytest.mark.parametrize("short", ["text", "reasoning", "refusal", "audio", "object"])
def test_a_delta_has_a_short_name(short: str) -> None:
    event, seen = CLASSES[f"{short}_delta"].model_construct(), list[Any]()
    handlers: Any = {short: seen.append}
    Stream.of(rx.of(event)).pipe(on(**handlers)).run()
    assert seen == [event]


class Lookalike:
    type = "finish"


def test_what_is_no_event_goes_on_untouched() -> None:
    items, seen = ["text", None, Finish, Lookalike()], list[Any]()
    stream: Stream[Any] = Stream.of(rx.from_iterable(items))
    assert stream.pipe(on(finish=seen.append)).to_list().run() == items
    assert seen == []


async def test_an_error_of_a_function_ends_the_stream_before_its_event() -> None:
    def fails(_: Any) -> None:
        raise ERROR

    source = Source([EVENTS["S"], EVENTS["a"], EVENTS["b"]])
    seen, _ = watched(source.stream.pipe(on(text=fails)))
    await settle()
    assert seen == [EVENTS["S"], ERROR]
    assert seen[1] is ERROR
    assert source.closed == 1


def test_what_is_no_error_of_a_program_passes_through() -> None:
    def interrupted(_: Any) -> None:
        raise KeyboardInterrupt

    subject = Subject[Any]()
    Stream.of(subject).pipe(on(text=interrupted)).subscribe(on_error=print)
    with pytest.raises(KeyboardInterrupt):
        subject.on_next(EVENTS["a"])


def test_an_unknown_name_is_refused_at_once_and_the_known_ones_are_told() -> None:
    handlers: Any = {"txt": nothing}
    with pytest.raises(TypeError, match=r"on\(txt=…\).*text, text_delta, tool_call"):
        on(**handlers)


def test_two_names_of_the_same_events_are_refused_at_once() -> None:
    with pytest.raises(TypeError, match="same events"):
        on(text=nothing, text_delta=nothing)


def test_no_function_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="at least one"):
        on()
    with pytest.raises(TypeError, match="takes a function, got 'print'"):
        on(text=cast(Any, "print"))


class AsyncCallable:
    async def __call__(self, event: Any) -> None:
        raise AssertionError


async def async_function(event: Any) -> None:
    raise AssertionError


@pytest.mark.parametrize("handler", [async_function, AsyncCallable()])
def test_an_async_function_is_refused_at_once(handler: Any) -> None:
    with pytest.raises(TypeError, match="map_async"):
        on(text=handler)


async def test_a_hidden_async_function_ends_the_stream_instead_of_never_running() -> None:
    source = Source([EVENTS["a"]])
    seen, _ = watched(source.stream.pipe(on(text=lambda e: async_function(e))))
    await settle()
    assert [type(error) for error in seen] == [TypeError]
    assert "map_async" in str(seen[0])


def test_a_stream_of_events_stays_one_and_shows_the_names() -> None:
    stream = Source(of_events=True).stream.pipe(on(text=nothing, usage=nothing))
    assert stream.of_events
    assert repr(stream) == "Stream(source | on(text, usage))"
