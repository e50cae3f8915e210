"""Ollama, both ways: lines to events, a request to its body."""

import base64
import json
from typing import Any

import pytest

from gai_rx.dialects import Quirks
from gai_rx.dialects.ollama import OLLAMA, OllamaDecoder, encode
from gai_rx.errors import (
    BadRequestError,
    ContextLengthError,
    GaiError,
    RateLimitError,
    ServerError,
)
from gai_rx.events import File, Finish, Raw, ReasoningDelta, StreamEvent, TextDelta, ToolCall, Usage
from gai_rx.request import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    ReasoningPart,
    RefusalPart,
    Request,
    ToolCallPart,
    ToolResultPart,
    assistant,
    system,
    tool_result,
    user,
)
from gai_rx.result_builder import ResultBuilder
from gai_rx.tools import Tool


def said(content: Any = "", /, **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, **more}
    return {"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": message, "done": False}


def done(reason: str | None = "stop", /, **more: Any) -> dict[str, Any]:
    told = {} if reason is None else {"done_reason": reason}
    return {**said(), "done": True, **told, **more}


def body(*records: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(r).encode() + b"\n" for r in records)


def decode(data: bytes, **options: Any) -> tuple[list[StreamEvent], GaiError | None]:
    decoder = OllamaDecoder(Quirks(provider="ollama"), **options)
    events = decoder.feed(data)
    return events + decoder.close(), decoder.fault


def events_of(*records: dict[str, Any], **options: Any) -> list[StreamEvent]:
    events, fault = decode(body(*records), **options)
    assert fault is None
    return events


def told(events: list[StreamEvent]) -> list[Any]:
    """The events without those that every answer has."""
    return events[1:-1]


CALL = {"function": {"name": "weather", "arguments": {"city": "Paris"}}}
WHOLE = body(
    said("", thinking="Hm."),
    said("It "),
    said("is\u2028sunny \U0001f600"),
    said("", tool_calls=[CALL]),
    done(prompt_eval_count=7, eval_count=3),
)


# Lines to events.


def test_text_comes_between_start_and_finish() -> None:
    start, *deltas, finish = events_of(said("Hel"), said("lo"), done())
    assert start.model_dump(include={"type", "provider", "model", "response_id"}) == {
        "type": "start",
        "provider": "ollama",
        "model": "m",
        "response_id": "",
    }
    assert deltas == [TextDelta(text="Hel"), TextDelta(text="lo")]
    assert finish == Finish(reason="stop", raw_reason="stop")


@pytest.mark.parametrize("content", ["", None])
def test_empty_text_is_no_event(content: Any) -> None:
    assert told(events_of(said(content), done())) == []


def test_text_beside_the_end_is_told() -> None:
    last = {**done(), "message": {"role": "assistant", "content": "!"}}
    assert told(events_of(last)) == [TextDelta(text="!")]
    bare = {"model": "m", "created_at": "", "message": last["message"], "done": True}
    assert told(events_of(bare)) == [TextDelta(text="!")]


def test_answers_of_generate_are_read_too() -> None:
    line = {"model": "m", "created_at": "", "done": False}
    events = events_of(
        {**line, "response": "", "thinking": "Hm."},
        {**line, "response": "Hi"},
        {**line, "response": "", "image": base64.b64encode(b"png").decode()},
        {**line, "response": "", "tool_calls": [CALL]},
        {**line, "response": "", "done": True, "done_reason": "stop", "context": [1, 2]},
    )
    kinds = [ReasoningDelta, TextDelta, File, "delta", ToolCall]
    assert len(told(events)) == len(kinds)
    assert events[1:4] == [
        ReasoningDelta(text="Hm."),
        TextDelta(text="Hi"),
        File(data=b"png", mime="image/png"),
    ]
    assert events[-1] == Finish(reason="tool_calls", raw_reason="stop")


def test_thinking_comes_before_the_text_of_its_line() -> None:
    assert told(events_of(said("Hi", thinking="Hm."), done())) == [
        ReasoningDelta(text="Hm."),
        TextDelta(text="Hi"),
    ]


def test_log_probabilities_are_metadata_of_their_text() -> None:
    logprobs = [{"token": "Hi", "logprob": -0.1}]
    (delta,) = told(events_of({**said("Hi"), "logprobs": logprobs}, done()))
    assert delta == TextDelta(text="Hi", metadata={"logprobs": logprobs})


def test_a_short_message_without_a_role_loses_nothing() -> None:
    line = {"model": "m", "created_at": "", "done": False}
    message = {"content": "Hi", "thinking": "Hm."}
    assert len(told(events_of({**line, "message": message}, done()))) == 2


def test_images_that_the_model_makes_are_files() -> None:
    image = base64.b64encode(b"png").decode()
    line = {"model": "m", "created_at": ""}
    file = File(data=b"png", mime="image/png")
    assert told(events_of(said("", images=[image]), done())) == [file]
    progress = {**line, "completed": 1, "total": 4, "done": False}
    events = events_of(progress, {**line, "image": image, "done": True, "done_reason": "stop"})
    assert events[1].model_dump()["record"] == progress
    assert events[2] == file


@pytest.mark.parametrize("record", [{"status": "pulling"}, {"message": "hi", "done": False}])
def test_a_line_that_is_not_known_is_raw(record: dict[str, Any]) -> None:
    assert told(events_of(record, done())) == [Raw(record=record)]


def test_unknown_fields_change_nothing() -> None:
    plain = events_of(said("Hi"), done())
    more = {"remote_model": "x", "remote_host": "y", "new": {"a": 1}}
    assert events_of({**said("Hi", new=1), **more}, done(**more)) == plain


def test_a_load_without_a_message_is_an_answer_without_text() -> None:
    assert events_of({"model": "m", "done": True, "done_reason": "load"})[-1] == Finish(
        reason="other", raw_reason="load"
    )


# Tool calls.


def test_a_call_is_told_as_it_comes_and_closed_at_the_end() -> None:
    delta, call, *_ = told(events_of(said("", tool_calls=[CALL]), done()))
    assert delta.model_dump(include={"type", "id", "name", "arguments", "index"}) == {
        "type": "tool_call_delta",
        "id": "call_0",
        "name": "weather",
        "arguments": '{"city": "Paris"}',
        "index": 0,
    }
    assert call == ToolCall(
        id="call_0",
        name="weather",
        arguments={"city": "Paris"},
        arguments_text='{"city": "Paris"}',
    )


def calls_of(*records: dict[str, Any], **options: Any) -> list[ToolCall]:
    return [e for e in events_of(*records, **options) if isinstance(e, ToolCall)]


def test_parallel_calls_of_one_name_and_one_index_are_two_calls() -> None:
    first = {"function": {"index": 0, "name": "f", "arguments": {"a": 1}}}
    second = {"function": {"index": 0, "name": "f", "arguments": {"a": 2}}}
    third = {"function": {"index": 0, "name": "f", "arguments": {"a": 3}}}
    calls = calls_of(said("", tool_calls=[first, second]), said("", tool_calls=[third]), done())
    assert [(c.id, c.arguments["a"]) for c in calls] == [
        ("call_0", 1),
        ("call_1", 2),
        ("call_2", 3),
    ]


def test_ids_of_the_server_are_kept_and_a_call_that_is_told_again_is_one_call() -> None:
    first, second = {"id": "x", **CALL}, {"id": "y", **CALL}
    calls = calls_of(said("", tool_calls=[first, second]), said("", tool_calls=[first]), done())
    assert [c.id for c in calls] == ["x", "y"]


def test_ids_that_are_made_here_are_unique_in_the_conversation() -> None:
    assert calls_of(said("", tool_calls=[CALL]), done(), call_prefix="r2_")[0].id == "r2_call_0"


@pytest.mark.parametrize(
    ("arguments", "invalid"),
    [({}, False), (None, False), ("", False), ('{"a": 1}', False), ("{", True), ([1], True)],
)
def test_arguments_in_any_form_never_raise(arguments: Any, invalid: bool) -> None:
    call = {"function": {"name": "f", "arguments": arguments}}
    (closed,) = calls_of(said("", tool_calls=[call]), done())
    assert (closed.invalid is not None) is invalid


def test_a_call_without_a_function_is_invalid() -> None:
    (closed,) = calls_of(said("", tool_calls=[{"id": "x"}]), done())
    assert closed.invalid == "the call names no tool"


@pytest.mark.parametrize("reason", ["length", "unload", "new_reason"])
def test_calls_of_an_answer_that_was_cut_may_not_run(reason: str) -> None:
    (closed,) = calls_of(said("", tool_calls=[CALL]), done(reason))
    assert closed.invalid is not None
    assert closed.arguments == {}


# The end.


@pytest.mark.parametrize(
    ("told_reason", "reason"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "tool_calls"),
        ("load", "other"),
        ("unload", "other"),
        ("new", "other"),
        (None, "stop"),
        ("", "stop"),
    ],
)
def test_the_reason_is_mapped_and_kept(told_reason: str | None, reason: str) -> None:
    finish = events_of(said("Hi"), done(told_reason))[-1]
    assert isinstance(finish, Finish)
    assert (finish.reason, finish.raw_reason) == (reason, told_reason)


def test_usage_comes_once_before_finish_with_the_durations_beside_it() -> None:
    events = events_of(
        said("Hi"),
        done(
            prompt_eval_count=7,
            eval_count=3,
            prompt_eval_cached_count=5,
            total_duration=9,
            eval_duration=4,
        ),
    )
    usage = Usage(
        input_tokens=7,
        output_tokens=3,
        cached_input_tokens=5,
        metadata={"total_duration": 9, "eval_duration": 4},
    )
    assert events[-2:] == [usage, Finish(reason="stop", raw_reason="stop", usage=usage)]


def test_counts_that_are_left_out_are_not_known() -> None:
    (usage,) = told(events_of(done(eval_count=3)))
    assert usage == Usage(output_tokens=3)
    (usage,) = told(events_of(done(prompt_eval_count=3)))
    assert usage == Usage(input_tokens=3)
    assert told(events_of(done())) == []


def test_what_follows_the_end_is_ignored() -> None:
    events, fault = decode(body(said("Hi"), done(), said("more")) + b"junk\n")
    assert fault is None
    assert events[-2:] == [TextDelta(text="Hi"), Finish(reason="stop", raw_reason="stop")]


def test_blank_lines_crlf_and_a_missing_last_line_end_do_no_harm() -> None:
    data = b"\r\n\n" + body(said("Hi"), done()).replace(b"\n", b"\r\n\r\n")
    assert decode(data) == decode(body(said("Hi"), done()).rstrip())


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_any_cut_gives_the_same_events(size: int) -> None:
    decoder = OllamaDecoder(Quirks(provider="ollama"))
    events = [e for at in range(0, len(WHOLE), size) for e in decoder.feed(WHOLE[at : at + size])]
    assert events + decoder.close() == decode(WHOLE)[0]


def test_no_prefix_counts_as_complete_and_none_lets_a_tool_run() -> None:
    last = WHOLE.rstrip()
    whole, _ = decode(WHOLE)
    for end in range(len(last)):
        events, fault = decode(last[:end])
        assert fault is not None
        assert fault.kind == "truncated"
        assert not any(isinstance(e, Finish | ToolCall) for e in events)
        assert events == whole[: len(events)]
    assert decode(last) == decode(WHOLE)


# Errors.


def test_an_error_line_ends_the_answer_after_its_text() -> None:
    events, fault = decode(body(said("Hi"), {"error": "the model has crashed"}))
    assert told([*events, *events[-1:]]) == [TextDelta(text="Hi")]
    assert fault is not None
    assert (fault.kind, fault.retryable) == ("server", True)
    assert "the model has crashed" in fault.message


def test_an_error_as_the_first_line_comes_without_events() -> None:
    events, fault = decode(body({"error": "no"}))
    assert events == []
    assert fault is not None
    assert fault.kind == "server"


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        ({"error": "slow down", "status": 429}, RateLimitError),
        ({"error": "input exceeds the context window"}, ContextLengthError),
        ({**said("Hi"), "error": "x", "status": 400}, BadRequestError),
        ({"message": {"role": "a", "content": ""}, "error": "x", "a": 0, "b": 0}, ServerError),
    ],
)
def test_an_error_is_of_the_kind_that_it_tells(record: dict[str, Any], kind: type) -> None:
    _, fault = decode(body(said("Hi"), record))
    assert isinstance(fault, kind)


def test_no_error_is_no_error() -> None:
    assert told(events_of({**said("Hi"), "error": None}, done(error=""))) == [TextDelta(text="Hi")]


@pytest.mark.parametrize(
    "line",
    [
        b"<html>",
        b"5",
        b'{"message": {"role": "assistant", "content": 5}}',
        b'{"message": {"role": "assistant", "thinking": ["x"]}}',
        b'{"message": {"tool_calls": [5]}}',
        b'{"response": 5}',
        b'{"done": true, "done_reason": ["x"]}',
    ],
)
def test_what_is_not_of_the_documented_form_is_a_protocol_error(line: bytes) -> None:
    events, fault = decode(body(said("Hi")) + line + b"\n")
    assert fault is not None
    assert fault.kind == "protocol"
    assert TextDelta(text="Hi") in events


# A request to its body.


def encoded(*messages: Message, quirks: Quirks | None = None, **settings: Any) -> dict[str, Any]:
    call = encode(Request(messages=messages, **settings), "m", quirks or Quirks())
    assert call.path == "/api/chat"
    json.dumps(call.body)
    return call.body


def test_a_plain_question_is_asked_plainly() -> None:
    assert encoded(system("Be brief."), user("Hi")) == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
        ],
        "stream": True,
    }


def test_sampling_settings_are_options() -> None:
    settings: dict[str, Any] = {
        "max_tokens": 5,
        "temperature": 0.0,
        "top_p": 0.5,
        "top_k": 4,
        "stop": ("a", "b"),
        "seed": 7,
    }
    assert encoded(user("Hi"), **settings)["options"] == {
        "num_predict": 5,
        "temperature": 0.0,
        "top_p": 0.5,
        "top_k": 4,
        "stop": ["a", "b"],
        "seed": 7,
    }


def test_the_callers_options_are_laid_over_ours() -> None:
    options = {"options": {"num_ctx": 9, "seed": 1}, "keep_alive": "5m"}
    body = encoded(user("Hi"), seed=7, top_k=2, provider_options=options)
    assert body["options"] == {"seed": 1, "top_k": 2, "num_ctx": 9}
    assert body["keep_alive"] == "5m"


@pytest.mark.parametrize(
    ("effort", "think"),
    [
        ("none", False),
        ("minimal", "low"),
        ("low", "low"),
        ("medium", "medium"),
        ("high", "high"),
        ("max", "high"),
    ],
)
def test_effort_is_how_much_to_think(effort: str, think: Any) -> None:
    assert encoded(user("Hi"), reasoning_effort=effort)["think"] == think


def test_images_go_as_bytes_beside_the_text() -> None:
    asked = user("What ", ImagePart(data=b"png", mime="image/png"), "is this?")
    assert encoded(asked)["messages"] == [
        {
            "role": "user",
            "content": "What is this?",
            "images": [base64.b64encode(b"png").decode()],
        }
    ]


@pytest.mark.parametrize(
    "message",
    [
        user(ImagePart(url="https://example.org/a.png")),
        user(ImagePart(file_id="f")),
        user(AudioPart(data=b"x", mime="audio/wav")),
        user(FilePart(data=b"x", mime="application/pdf")),
        assistant(ImagePart(data=b"x", mime="image/png")),
        Message(role="tool", parts=(ReasoningPart(text="x"),)),
    ],
)
def test_a_part_that_can_not_be_carried_is_refused(message: Message) -> None:
    with pytest.raises(BadRequestError):
        encoded(message)


WEATHER = Tool("weather", "The weather.", {"type": "object", "properties": {"city": {}}})


def test_tools_are_functions_with_their_schema() -> None:
    tools = [
        {
            "type": "function",
            "function": {
                "name": "weather",
                "description": "The weather.",
                "parameters": {"type": "object", "properties": {"city": {}}},
            },
        }
    ]
    assert encoded(user("Hi"), tools=(WEATHER,))["tools"] == tools
    assert encoded(user("Hi"), tools=(WEATHER,), tool_choice="auto")["tools"] == tools


def test_no_tool_is_offered_when_none_shall_be_called() -> None:
    assert "tools" not in encoded(user("Hi"), tools=(WEATHER,), tool_choice="none")


@pytest.mark.parametrize("choice", ["required", "weather"])
def test_a_call_can_not_be_demanded(choice: str) -> None:
    with pytest.raises(BadRequestError, match=choice):
        encoded(user("Hi"), tools=(WEATHER,), tool_choice=choice)


def test_a_schema_is_the_format() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    assert encoded(user("Hi"), response_schema=schema)["format"] == schema
    plain = Quirks(json_schema=False)
    assert encoded(user("Hi"), response_schema=schema, quirks=plain)["format"] == "json"


def test_earlier_turns_go_back_with_thinking_calls_and_results() -> None:
    messages = encoded(
        user("Weather?"),
        assistant(
            ReasoningPart(text="Hm, "),
            ReasoningPart(text="look."),
            "Wait.",
            RefusalPart(text=" No."),
            ToolCallPart(id="x", name="weather", arguments={"city": "Paris"}),
            ToolCallPart(id="y", name="weather"),
        ),
        tool_result("x", {"sun": True}),
        tool_result("y", None, name="named", error="down"),
        tool_result("z", "text"),
    )["messages"]
    assert messages[1:] == [
        {
            "role": "assistant",
            "content": "Wait. No.",
            "thinking": "Hm, look.",
            "tool_calls": [
                {"id": "x", "function": {"name": "weather", "arguments": {"city": "Paris"}}},
                {"id": "y", "function": {"name": "weather", "arguments": {}}},
            ],
        },
        {
            "role": "tool",
            "content": '{"sun": true}',
            "tool_call_id": "x",
            "tool_name": "weather",
        },
        {
            "role": "tool",
            "content": '{"error": "down"}',
            "tool_call_id": "y",
            "tool_name": "named",
        },
        {"role": "tool", "content": "text", "tool_call_id": "z"},
    ]


def test_an_answer_goes_back_as_it_came() -> None:
    builder = ResultBuilder()
    for event in decode(WHOLE)[0]:
        builder.add(event)
    (turn,) = encoded(*builder.result().messages)["messages"]
    assert turn == {
        "role": "assistant",
        "content": "It is\u2028sunny \U0001f600",
        "thinking": "Hm.",
        "tool_calls": [
            {"id": "call_0", "function": {"name": "weather", "arguments": {"city": "Paris"}}}
        ],
    }


def test_several_results_of_one_turn_are_several_messages() -> None:
    turn = Message(
        role="tool", parts=(ToolResultPart(id="a", result=1), ToolResultPart(id="b", result=2))
    )
    assert [m["content"] for m in encoded(turn)["messages"]] == ["1", "2"]


def test_the_dialect_is_named_and_framed() -> None:
    assert (OLLAMA.name, OLLAMA.decoder.framing, OLLAMA.key_header) == (
        "ollama",
        "ndjson",
        "authorization",
    )
