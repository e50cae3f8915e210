"""The ground: events, requests, results and tools."""

import json
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from gai_rx import (
    AudioDelta,
    Citation,
    Citations,
    Error,
    EventType,
    File,
    Finish,
    ImagePart,
    Message,
    ObjectDelta,
    Raw,
    ReasoningDelta,
    ReasoningPart,
    RefusalDelta,
    RefusalPart,
    Request,
    Result,
    ResultBuilder,
    Retry,
    Safety,
    Start,
    StepFinish,
    StreamEvent,
    TextDelta,
    TextPart,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolCallPart,
    ToolError,
    ToolResult,
    ToolResultPart,
    Usage,
    assistant,
    parse_event,
    system,
    tool,
    tool_result,
    user,
)
from gai_rx.errors import Matcher, QuotaError, RateLimitError, TimedOutError, rate_limit, timeout
from gai_rx.events import Event, ToolProgress
from gai_rx.unvalidated import reasoning_delta, text_delta, tool_call_delta

ALL: list[StreamEvent] = [
    Start(provider="openai", model="m", response_id="r", attempt=2),
    TextDelta(text="é🦆", choice=1, block=2, signature="s"),
    ReasoningDelta(text="Hm", signature="s", encrypted="e", id="i"),
    RefusalDelta(text="no"),
    AudioDelta(data=b"\x00\xff", mime="audio/wav"),
    File(data=b"png", mime="image/png"),
    ObjectDelta(text="{"),
    ToolCallDelta(id="a", name="f", arguments="{", index=1),
    ToolCall(id="a", name="f", arguments={"x": [1]}, arguments_text='{"x": [1]}'),
    ToolProgress(id="a", name="f", value=[0.5]),
    ToolResult(id="a", name="f", result={"y": 2}, duration=0.5),
    Citations(items=(Citation(uri="u", title="t", start=0, end=1),)),
    Safety(category="hate", action="blocked", score=0.5),
    Usage(input_tokens=1, output_tokens=2),
    StepFinish(number=0, usage=Usage(total_tokens=3)),
    Retry(delay=1.5, error="late", kind="timeout"),
    Error(kind="server", message="broke", details={"code": 5}),
    Finish(reason="stop", raw_reason="end", usage=Usage(total_tokens=3)),
    Raw(record={"odd": None}, metadata={"k": "v"}, stream_id="s", step=3),
]


def test_the_list_above_has_every_kind() -> None:
    kinds = {get_args(t.model_fields["type"].annotation)[0] for t in {type(e) for e in ALL}}
    assert kinds == set(EventType)
    assert len(get_args(get_args(Event)[0])) == len(ALL)


@pytest.mark.parametrize("event", ALL, ids=lambda e: type(e).__name__)
def test_an_event_survives_json_and_plain_data(event: StreamEvent) -> None:
    assert parse_event(event.model_dump_json()) == event
    assert parse_event(event.model_dump()) == event


@pytest.mark.parametrize("event", ALL, ids=lambda e: type(e).__name__)
def test_an_event_can_not_be_changed(event: StreamEvent) -> None:
    with pytest.raises(ValidationError):
        event.step = 7


def test_a_live_object_is_left_out_of_json() -> None:
    assert "value" not in json.loads(ObjectDelta(value={"a": 1}, text="{").model_dump_json())


@pytest.mark.parametrize(
    ("quick", "checked"),
    [
        (text_delta("a", 1, 2, "s"), TextDelta(text="a", choice=1, block=2, signature="s")),
        (
            reasoning_delta("a", 1, 2, "s", "e", "i"),
            ReasoningDelta(text="a", choice=1, block=2, signature="s", encrypted="e", id="i"),
        ),
        (
            tool_call_delta("a", "f", "{", 1),
            ToolCallDelta(id="a", name="f", arguments="{", index=1),
        ),
    ],
)
def test_an_event_built_the_quick_way_is_like_any_other(
    quick: StreamEvent, checked: StreamEvent
) -> None:
    assert quick == checked
    assert list(vars(quick)) == list(vars(checked))
    assert quick.model_copy(update={"step": 1}) == checked.model_copy(update={"step": 1})
    assert repr(quick) == repr(checked)
    assert vars(text_delta("a"))["metadata"] is not vars(text_delta("a"))["metadata"]


def test_an_unknown_field_or_kind_is_refused() -> None:
    for data in ({"type": "text_delta", "text": "a", "odd": 1}, {"type": "odd"}, "[]"):
        with pytest.raises(ValidationError):
            parse_event(data)


# Results.


def built(*events: StreamEvent) -> Result:
    builder = ResultBuilder()
    builder.extend(events)
    return builder.result()


def test_events_add_up() -> None:
    cited = Citation(uri="u")
    made = built(
        Start(),
        ReasoningDelta(text="H", signature="s1"),
        ReasoningDelta(text="m", encrypted="e", id="i"),
        ReasoningDelta(text="other", choice=1),
        TextDelta(text="a"),
        TextDelta(text="b", signature="s2"),
        TextDelta(text="x", choice=1),
        TextDelta(text="c", block=1),
        RefusalDelta(text="N"),
        RefusalDelta(text="o"),
        Citations(items=(cited,)),
        ObjectDelta(value={"o": 1}, text="{"),
        ToolCall(id="1", name="f", arguments={"x": 1}),
        ToolCall(id="2", name="g", invalid="cut"),
        ToolCall(id="3", name="h", provider_executed=True),
        ToolResult(id="1", name="f", result=5),
        ToolResult(id="3", name="h", result=6, provider_executed=True),
        Raw(record=1),
        Usage(total_tokens=1),
        Finish(reason="tool_calls", raw_reason="t", usage=Usage(total_tokens=2)),
    )
    assert (made.text, made.reasoning, made.refusal) == ("abc", "Hm", "No")
    assert (made.object, made.citations, made.complete) == ({"o": 1}, (cited,), True)
    assert (made.finish_reason, made.raw_reason) == ("tool_calls", "t")
    assert made.usage == Usage(total_tokens=2)
    assert made.steps[0].usage == Usage(total_tokens=1)
    assert made.messages == (
        Message(
            role="assistant",
            parts=(
                ReasoningPart(text="Hm", signature="s1", encrypted="e", id="i"),
                TextPart(text="ab", signature="s2"),
                TextPart(text="c"),
                RefusalPart(text="No"),
                TextPart(text="{"),
                ToolCallPart(id="1", name="f", arguments={"x": 1}),
            ),
        ),
        Message(role="tool", parts=(ToolResultPart(id="1", name="f", result=5),)),
    )


def test_an_unfinished_answer_is_not_complete() -> None:
    made = built(Start(), TextDelta(text="a"), Usage(total_tokens=1))
    assert (made.complete, made.finish_reason, made.usage) == (False, None, Usage(total_tokens=1))
    assert built() == Result()


def test_a_new_attempt_begins_anew_from_its_step_on() -> None:
    first, second = Citation(uri="1"), Citation(uri="2")
    made = built(
        Start(),
        TextDelta(text="one"),
        Citations(items=(first,)),
        StepFinish(number=0, reason="tool_calls", usage=Usage(total_tokens=1)),
        TextDelta(text="void", step=1),
        Citations(items=(second,), step=1),
        Start(attempt=2, step=1),
        TextDelta(text="two", step=1),
        Finish(reason="stop", step=1),
    )
    assert (made.text, made.citations) == ("onetwo", (first,))
    assert [(s.text, s.finish_reason) for s in made.steps] == [
        ("one", "tool_calls"),
        ("two", "stop"),
    ]
    assert made.steps[0].usage == Usage(total_tokens=1)


def test_a_result_may_be_looked_at_on_the_way() -> None:
    builder = ResultBuilder()
    builder.add(TextDelta(text="a"))
    assert builder.result().text == "a"
    builder.extend([TextDelta(text="b"), TextDelta(text="c")])
    assert builder.result().text == "abc"


def of_two(*events: StreamEvent) -> Result:
    """The result of streams "one" and "two", after each of which has begun."""
    return built(Start(stream_id="one"), Start(stream_id="two"), *events)


def test_streams_that_were_joined_do_not_mix() -> None:
    made = of_two(
        TextDelta(text="a", stream_id="two"),
        TextDelta(text="1", stream_id="one"),
        ReasoningDelta(text="H", stream_id="one"),
        ReasoningDelta(text="h", stream_id="two", signature="s"),
        ReasoningDelta(text="m", stream_id="one"),
        TextDelta(text="2", stream_id="one"),
        TextDelta(text="b", stream_id="two"),
    )
    assert (made.text, made.reasoning) == ("12ab", "Hmh")
    assert [s.text for s in made.steps] == ["12", "ab"]
    assert [m.parts for m in made.messages] == [
        (TextPart(text="1"), ReasoningPart(text="Hm"), TextPart(text="2")),
        (TextPart(text="a"), ReasoningPart(text="h", signature="s"), TextPart(text="b")),
    ]


def test_a_text_goes_on_in_its_block_after_another_streams() -> None:
    made = of_two(
        TextDelta(text="a", stream_id="one"),
        TextDelta(text="x", stream_id="two"),
        Usage(stream_id="two", total_tokens=1),
        TextDelta(text="b", stream_id="one"),
    )
    assert made.messages[0].parts == (TextPart(text="ab"),)


def test_the_streams_come_in_the_order_in_which_they_began() -> None:
    made = of_two(TextDelta(text="a", stream_id="two"), TextDelta(text="1", stream_id="one"))
    assert made.text == "1a"


def test_one_stream_that_begins_anew_takes_nothing_from_the_others() -> None:
    made = of_two(
        TextDelta(text="void", stream_id="one"),
        TextDelta(text="a", stream_id="two"),
        ObjectDelta(value=1, stream_id="two"),
        Finish(reason="stop", stream_id="two"),
        Start(stream_id="one", attempt=2),
        TextDelta(text="1", stream_id="one"),
        Finish(reason="length", stream_id="one"),
    )
    assert (made.text, made.object, made.complete) == ("1a", 1, True)
    assert of_two(ObjectDelta(value=1, stream_id="one")).object == 1


def test_several_streams_are_complete_when_each_has_finished() -> None:
    finish = Finish(reason="stop", stream_id="one", usage=Usage(input_tokens=1, total_tokens=3))
    assert not of_two(finish).complete
    failed = Error(stream_id="two", kind="server", message="broke")
    assert not built(Start(stream_id="one"), finish, failed).complete
    second = Finish(reason="length", stream_id="two", usage=Usage(total_tokens=4))
    made = of_two(second, finish)
    assert (made.complete, made.finish_reason) == (True, "length")
    assert made.usage == Usage(input_tokens=1, total_tokens=7)


# Requests.


def test_a_request_is_made_of_what_is_at_hand() -> None:
    assert Request.of("Hi") == Request(messages=(user("Hi"),))
    assert Request.of([system("Be brief."), user("Hi")]).messages[0].text == "Be brief."
    request = Request.of("Hi", temperature=0.5)
    assert Request.of(request) is request
    changed = Request.of(request, max_tokens=3)
    assert (changed.temperature, changed.max_tokens) == (0.5, 3)


def test_messages_take_text_and_parts() -> None:
    image = ImagePart(url="https://x/y.png")
    assert user("a", image, "b").parts == (TextPart(text="a"), image, TextPart(text="b"))
    assert Message(role="user", parts="a") == user("a")  # type: ignore[arg-type]  # text becomes a part
    assert assistant(ReasoningPart(text="Hm"), "a").text == "a"
    assert tool_result("1", {"x": 1}, name="f").role == "tool"
    assert Message.model_validate_json(user("a", image).model_dump_json()) == user("a", image)


@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": ()},
        {"messages": (), "odd": 1},
        {"messages": ({"role": "nobody", "parts": "a"},)},
        {"messages": ({"role": "user"},)},
    ],
)
def test_a_request_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Request.model_validate(wrong)


@pytest.mark.parametrize(
    "wrong",
    [{}, {"url": "u", "data": b"x", "mime": "m"}, {"data": b"x"}, {"file_id": "f", "url": "u"}],
)
def test_a_file_has_one_source_and_bytes_have_a_type(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"exactly one|mime type"):
        ImagePart(**wrong)


# Tools.


def test_a_tool_is_made_from_a_function() -> None:
    @tool(name="look_up", timeout=3.0, eager=True)
    def look(city: str, days: int = 1) -> str:
        """The weather of a city."""
        return city * days

    assert repr(look) == "Tool('look_up')"
    assert look.declaration()["description"] == "The weather of a city."
    assert look.parameters["required"] == ["city"]
    assert (look.timeout, look.eager) == (3.0, True)
    assert look.validate({"city": "Oslo", "days": "2"}) == {"city": "Oslo", "days": 2}


@pytest.mark.parametrize("wrong", [{}, {"city": 1}, {"city": "a", "__class__": 1}])
def test_arguments_that_do_not_fit_say_where(wrong: dict[str, Any]) -> None:
    @tool
    def look(city: str) -> str:
        return city

    with pytest.raises(ToolError, match="'look' do not fit: "):
        look.validate(wrong)


def test_a_tool_without_a_function_takes_what_comes() -> None:
    assert Tool("f").validate({"x": 1}) == {"x": 1}
    assert Tool("f").parameters == {"type": "object", "properties": {}}


def test_a_tool_without_a_name_or_types_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a name"):
        Tool("")
    with pytest.raises(TypeError, match="needs a type"):
        tool(lambda x: x)
    with pytest.raises(TypeError, match="name every argument"):
        Tool.of(print)


def test_a_request_with_tools_can_be_dumped() -> None:
    request = Request.of("Hi", tools=(Tool("f", "does f"),))
    assert json.loads(request.model_dump_json())["tools"][0]["name"] == "f"
    assert Request.model_json_schema()


# Matchers.


def test_matchers_combine_and_keep_their_delays() -> None:
    both = rate_limit | timeout
    assert repr(both) == "rate_limit | timeout"
    assert both.kinds == ("rate_limit", "timeout")
    assert [both.delay(RateLimitError("x"), n) for n in (1, 2, 3)] == [2.0, 4.0, 8.0]
    assert both.delay(TimedOutError("x"), 3) == 0.5
    assert not both(QuotaError("x"))
    assert not both(ValueError())
    assert isinstance(both, Matcher)
