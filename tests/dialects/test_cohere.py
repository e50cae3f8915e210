"""Cohere, both ways: server-sent events to events, a request to its body."""

import base64
import json
from typing import Any

import pytest

from gai_rx.dialects import Quirks
from gai_rx.dialects.cohere import COHERE, CohereDecoder, encode
from gai_rx.errors import BadRequestError, GaiError
from gai_rx.events import (
    Citation,
    Citations,
    Finish,
    Raw,
    ReasoningDelta,
    Start,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from gai_rx.request import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    ReasoningPart,
    RefusalPart,
    Request,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    assistant,
    system,
    tool_result,
    user,
)
from gai_rx.result_builder import ResultBuilder
from gai_rx.tools import Tool

Record = dict[str, Any]


def part(kind: str, message: Any = None, index: int | None = 0, /, **more: Any) -> Record:
    placed = {} if index is None else {"index": index}
    told = {} if message is None else {"delta": {"message": message}}
    return {"type": kind, **placed, **told, **more}


START: Record = {
    "id": "r1",
    "type": "message-start",
    "delta": {"message": {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": []}},
}


def text(said: Any, index: int = 0, /, **more: Any) -> Record:
    return part("content-delta", {"content": {"text": said}}, index, **more)


def end(reason: Any = "COMPLETE", /, **more: Any) -> Record:
    return {"type": "message-end", "delta": {"finish_reason": reason, **more}}


def opened(id: str, name: str, index: int = 0, arguments: Any = "") -> Record:
    function = {"name": name, "arguments": arguments}
    call = {"id": id, "type": "function", "function": function}
    return part("tool-call-start", {"tool_calls": call}, index)


def arguments(fragment: Any, index: int = 0) -> Record:
    return part("tool-call-delta", {"tool_calls": {"function": {"arguments": fragment}}}, index)


def body(*records: Record, named: bool = True) -> bytes:
    lines = []
    for record in records:
        if named and "type" in record:
            lines.append(f"event: {record['type']}\n")
        lines.append(f"data: {json.dumps(record, ensure_ascii=False)}\n\n")
    return "".join(lines).encode()


def decode(data: bytes, **options: Any) -> tuple[list[StreamEvent], GaiError | None]:
    decoder = CohereDecoder(Quirks(provider="cohere"), **options)
    events = decoder.feed(data)
    return events + decoder.close(), decoder.fault


def told(*records: Record, **options: Any) -> list[StreamEvent]:
    """The events of an answer without its Start and Finish."""
    events, fault = decode(body(START, *records, end()), **options)
    assert fault is None
    return events[1:-1]


USAGE = {
    "billed_units": {"input_tokens": 5, "output_tokens": 4},
    "tokens": {"input_tokens": 50.0, "output_tokens": 40, "reasoning_tokens": 3},
    "cached_tokens": 48,
}
WHOLE = body(
    START,
    part("content-start", {"content": {"type": "thinking", "thinking": ""}}),
    part("content-delta", {"content": {"thinking": "Hm."}}),
    part("content-end"),
    part("content-start", {"content": {"type": "text", "text": ""}}, 1),
    text("It is ", 1),
    text("sunny \U0001f600", 1),
    part("content-end", None, 1),
    opened("c1", "weather", 0),
    arguments('{"city": '),
    arguments('"Paris"}'),
    part("tool-call-end"),
    opened("c2", "now", 1),
    part("tool-call-end", None, 1),
    end("TOOL_CALL", usage=USAGE),
)


# Server-sent events to events.


def test_text_comes_between_start_and_finish() -> None:
    events, _ = decode(body(START, text("Hel"), text("lo"), end()) + b"data: [DONE]\n\n")
    assert events == [
        Start(provider="cohere", response_id="r1"),
        TextDelta(text="Hel"),
        TextDelta(text="lo"),
        Finish(reason="stop", raw_reason="COMPLETE"),
    ]


def test_the_index_is_the_block() -> None:
    assert told(text("Hi", 2)) == [TextDelta(text="Hi", block=2)]


def test_events_without_a_name_are_told_by_their_type() -> None:
    assert decode(body(START, text("Hi"), end(), named=False)) == decode(
        body(START, text("Hi"), end())
    )


def test_records_without_a_type_are_told_by_the_name_of_their_event() -> None:
    data = body(START, text("Hi"), end())
    assert decode(data.replace(b'"type": "content-delta", ', b"")) == decode(data)


def test_an_answer_that_lacks_its_beginning_still_has_a_start() -> None:
    events, fault = decode(body(text("Hi"), end()))
    assert fault is None
    assert [e.model_dump()["type"] for e in events] == ["start", "text_delta", "finish"]


def test_text_and_thinking_of_a_block_may_come_with_its_beginning() -> None:
    assert told(
        part("content-start", {"content": {"type": "thinking", "thinking": "Hm"}}),
        part("content-start", {"content": {"type": "text", "text": "Hi"}}, 1),
    ) == [ReasoningDelta(text="Hm"), TextDelta(text="Hi", block=1)]


@pytest.mark.parametrize(
    "record",
    [
        text(""),
        text(None),
        part("content-delta", {"content": {}}),
        part("content-delta", {"content": None}),
        part("content-delta", {}),
        {"type": "content-delta", "index": 0, "delta": None},
        {"type": "content-delta"},
        part("content-start", {"content": None}),
        part("content-end"),
        part("citation-end"),
        START,
    ],
)
def test_what_holds_nothing_is_no_event(record: Record) -> None:
    assert told(record) == []


def test_log_probabilities_are_metadata_of_their_text() -> None:
    logprobs = {"text": "Hi", "token_ids": [1], "logprobs": [-0.1]}
    delta = TextDelta(text="Hi", metadata={"logprobs": logprobs})
    assert told(text("Hi", logprobs=logprobs)) == [delta]
    assert told(text("Hi", logprobs=None)) == [TextDelta(text="Hi")]


@pytest.mark.parametrize(
    "record",
    [
        {"type": "debug", "prompt": "<START>"},
        {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "I will"}}},
        {"type": "new-event", "delta": {"message": {"content": {"text": "x"}}}},
    ],
)
def test_an_event_without_a_rule_is_raw(record: Record) -> None:
    assert told(record) == [Raw(record=record)]


def test_unknown_fields_change_nothing() -> None:
    assert told(text("Hi", new={"a": 1})) == told(text("Hi"))
    content = {"text": "Hi", "new": 1}
    assert told(part("content-delta", {"content": content})) == told(text("Hi"))


def test_a_citation_names_each_of_its_sources() -> None:
    cited = {
        "start": 3,
        "end": 7,
        "text": "Ruby",
        "sources": [
            {
                "type": "document",
                "id": "doc:0",
                "document": {"id": "doc:0", "title": "facts", "url": "https://example.org"},
            },
            {"type": "document", "id": "doc:1", "document": {"text": "..."}},
            {"type": "tool", "id": "c1:0", "tool_output": {"content": "Ruby"}},
        ],
        "type": "TEXT_CONTENT",
        "content_index": 1,
    }
    assert told(part("citation-start", {"citations": cited})) == [
        Citations(
            items=(
                Citation(uri="https://example.org", title="facts", text="Ruby", start=3, end=7),
                Citation(uri="doc:1", text="Ruby", start=3, end=7),
                Citation(uri="c1:0", text="Ruby", start=3, end=7),
            ),
            metadata={"citation": cited},
        )
    ]


def test_a_citation_without_sources_is_still_told() -> None:
    (cited,) = told(part("citation-start", {"citations": {"text": "Ruby"}}))
    assert isinstance(cited, Citations)
    assert cited.items == (Citation(text="Ruby"),)


# Tool calls.


def test_calls_are_told_as_they_come_and_closed_at_the_end() -> None:
    events, _ = decode(WHOLE)
    assert events[4:] == [
        ToolCallDelta(id="c1", name="weather", arguments='{"city": '),
        ToolCallDelta(id="c1", name="weather", arguments='"Paris"}'),
        ToolCall(
            id="c1",
            name="weather",
            arguments={"city": "Paris"},
            arguments_text='{"city": "Paris"}',
        ),
        ToolCall(id="c2", name="now"),
        (usage := _usage()),
        Finish(reason="tool_calls", raw_reason="TOOL_CALL", usage=usage),
    ]


def _usage() -> Usage:
    return Usage(
        input_tokens=50,
        output_tokens=40,
        cached_input_tokens=48,
        reasoning_tokens=3,
        metadata={"billed_units": {"input_tokens": 5, "output_tokens": 4}},
    )


def calls_of(*records: Record, **options: Any) -> list[ToolCall]:
    events, fault = decode(body(START, *records), **options)
    assert fault is None
    return [e for e in events if isinstance(e, ToolCall)]


def test_interleaved_calls_are_told_apart_by_their_index() -> None:
    calls = calls_of(
        opened("a", "f", 0),
        opened("b", "g", 1),
        arguments('{"n": ', 0),
        arguments('{"n": ', 1),
        arguments("2}", 1),
        arguments("1}", 0),
        end("TOOL_CALL"),
    )
    assert [(c.id, c.arguments) for c in calls] == [("a", {"n": 1}), ("b", {"n": 2})]


def test_an_index_that_is_used_again_opens_another_call() -> None:
    calls = calls_of(
        opened("a", "f"),
        arguments('{"n": 1}'),
        part("tool-call-end"),
        opened("b", "f"),
        arguments('{"n": 2}'),
        end("TOOL_CALL"),
    )
    assert [(c.id, c.arguments) for c in calls] == [("a", {"n": 1}), ("b", {"n": 2})]


def test_arguments_may_come_with_the_beginning_of_the_call() -> None:
    (call,) = calls_of(opened("a", "f", 0, '{"n": 1}'), arguments(None), end("TOOL_CALL"))
    assert call.arguments == {"n": 1}


def test_a_call_without_an_id_or_function_gets_an_id_and_is_invalid() -> None:
    start = part("tool-call-start", {"tool_calls": {"type": "function"}})
    (call,) = calls_of(start, part("tool-call-delta"), end("TOOL_CALL"), call_prefix="r2_")
    assert (call.id, call.invalid) == ("r2_call_0", "the call names no tool")


def test_arguments_that_do_not_parse_make_an_invalid_call() -> None:
    (call,) = calls_of(opened("a", "f"), arguments('{"n": '), end("TOOL_CALL"))
    assert call.invalid is not None


def test_calls_of_an_answer_that_says_complete_are_calls() -> None:
    events, _ = decode(body(START, opened("a", "f"), end("COMPLETE")))
    assert events[-1] == Finish(reason="tool_calls", raw_reason="COMPLETE")


@pytest.mark.parametrize("reason", ["MAX_TOKENS", "ERROR", "ERROR_TOXIC", "TIMEOUT", "NEW", None])
def test_calls_of_an_answer_that_was_cut_may_not_run(reason: str | None) -> None:
    (call,) = calls_of(opened("a", "f"), arguments('{"n": 1}'), end(reason))
    assert call.invalid is not None
    assert call.arguments == {}


@pytest.mark.parametrize("closed", [True, False])
def test_arguments_for_a_call_that_is_not_open_are_a_protocol_error(closed: bool) -> None:
    before = [opened("a", "f"), part("tool-call-end")] if closed else []
    events, fault = decode(body(START, *before, arguments("{}"), end("TOOL_CALL")))
    assert fault is not None
    assert fault.kind == "protocol"
    assert not any(isinstance(e, ToolCall) for e in events)


# The end.


@pytest.mark.parametrize(
    ("told_reason", "reason"),
    [
        ("COMPLETE", "stop"),
        ("complete", "stop"),
        ("STOP_SEQUENCE", "stop"),
        ("MAX_TOKENS", "length"),
        ("ERROR_LIMIT", "length"),
        ("TOOL_CALL", "tool_calls"),
        ("ERROR_TOXIC", "content_filter"),
        ("ERROR", "error"),
        ("TIMEOUT", "error"),
        ("USER_CANCEL", "other"),
        ("NEW", "other"),
        (None, "other"),
    ],
)
def test_the_reason_is_mapped_and_kept(told_reason: str | None, reason: str) -> None:
    events, fault = decode(body(START, text("Hi"), end(told_reason)))
    assert fault is None
    finish = events[-1]
    assert isinstance(finish, Finish)
    assert (finish.reason, finish.raw_reason) == (reason, told_reason)


def test_usage_that_tells_billed_tokens_only_is_taken_from_them() -> None:
    events, _ = decode(body(START, end(usage={"billed_units": {"input_tokens": 5.0}})))
    assert events[1] == Usage(input_tokens=5, metadata={"billed_units": {"input_tokens": 5.0}})
    events, _ = decode(body(START, end(usage={"tokens": {"output_tokens": 5}})))
    assert events[1] == Usage(output_tokens=5)


@pytest.mark.parametrize("usage", [None, {}, {"tokens": None}])
def test_usage_that_tells_nothing_is_no_event(usage: Any) -> None:
    assert len(decode(body(START, end(usage=usage)))[0]) == 2


def test_an_end_without_a_delta_is_an_end_for_another_reason() -> None:
    events, fault = decode(body(START, {"type": "message-end"}))
    assert fault is None
    assert events[-1] == Finish(reason="other")


def test_what_follows_the_end_is_ignored() -> None:
    data = body(START, text("Hi"), end())
    assert decode(data + body(text("more")) + b"data: junk\n\n") == decode(data)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_any_cut_gives_the_same_events(size: int) -> None:
    decoder = CohereDecoder(Quirks(provider="cohere"))
    events = [e for at in range(0, len(WHOLE), size) for e in decoder.feed(WHOLE[at : at + size])]
    assert events + decoder.close() == decode(WHOLE)[0]


def test_no_prefix_counts_as_complete_and_none_lets_a_tool_run() -> None:
    last = WHOLE.rstrip()
    whole, _ = decode(WHOLE)
    for length in range(len(last)):
        events, fault = decode(last[:length])
        assert fault is not None
        assert fault.kind == "truncated"
        assert not any(isinstance(e, Finish | ToolCall) for e in events)
        assert events == whole[: len(events)]
    assert decode(last) == decode(WHOLE)


def test_done_without_a_message_end_is_a_truncated_answer() -> None:
    events, fault = decode(body(START, text("Hi")) + b"data: [DONE]\n\n")
    assert fault is not None
    assert fault.kind == "truncated"
    assert events[-1] == TextDelta(text="Hi")


# Errors.


@pytest.mark.parametrize(
    ("reason", "kind", "retryable"),
    [
        ("ERROR", "server", True),
        ("TIMEOUT", "timeout", True),
        ("ERROR_TOXIC", "content_filter", False),
        (None, "server", True),
    ],
)
def test_an_end_with_an_error_ends_the_answer_with_it(
    reason: str | None, kind: str, retryable: bool
) -> None:
    data = body(START, text("Hi"), end(reason, error="it broke", usage=USAGE))
    events, fault = decode(data)
    assert events[1:] == [TextDelta(text="Hi"), _usage()]
    assert fault is not None
    assert (fault.kind, fault.retryable) == (kind, retryable)
    assert "it broke" in fault.message


@pytest.mark.parametrize(
    "record",
    [
        {"message": "internal error"},
        {"id": "x", "message": "internal error"},
        {"type": "error", "message": "internal error"},
        {"error": {"message": "internal error"}},
        {**text("Hi"), "type": "new", "error": "internal error"},
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_an_error_record_ends_the_answer(record: Record, first: bool) -> None:
    events, fault = decode(body(*([] if first else [START]), record))
    assert len(events) == (0 if first else 1)
    assert fault is not None
    assert fault.kind == "server"
    assert "internal error" in fault.message


def test_an_event_that_is_named_error_is_one() -> None:
    _, fault = decode(b'event: error\ndata: {"code": "429"}\n\n')
    assert fault is not None
    assert fault.kind == "rate_limit"


@pytest.mark.parametrize(
    "record",
    [
        part("content-delta", {"content": {"text": 5}}),
        part("content-delta", {"content": {"thinking": ["x"]}}),
        part("content-delta", {"content": ["x"]}),
        part("tool-call-start", {}),
        part("citation-start", {"citations": ["x"]}),
        end(["x"]),
    ],
)
def test_what_is_not_of_the_documented_form_is_a_protocol_error(record: Record) -> None:
    events, fault = decode(body(START, text("Hi"), record))
    assert fault is not None
    assert fault.kind == "protocol"
    assert events[-1] == TextDelta(text="Hi")


# A request to its body.


def encoded(*messages: Message, quirks: Quirks | None = None, **settings: Any) -> dict[str, Any]:
    call = encode(Request(messages=messages, **settings), "m", quirks or Quirks())
    assert call.path == "/chat"
    json.dumps(call.body)
    return call.body


def test_a_plain_question_is_asked_plainly() -> None:
    assert encoded(system("Be brief."), user("Hi"), temperature=0.75) == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
        ],
        "stream": True,
        "temperature": 0.75,
    }


def test_settings_have_coheres_names() -> None:
    settings: dict[str, Any] = {
        "max_tokens": 5,
        "top_p": 0.5,
        "top_k": 4,
        "stop": ("a", "b"),
        "seed": 7,
    }
    body = encoded(user("Hi"), **settings, provider_options={"safety_mode": "OFF", "seed": 8})
    assert {k: v for k, v in body.items() if k not in ("model", "messages", "stream")} == {
        "max_tokens": 5,
        "p": 0.5,
        "k": 4,
        "stop_sequences": ["a", "b"],
        "seed": 8,
        "safety_mode": "OFF",
    }


@pytest.mark.parametrize(
    ("effort", "thinking"), [("none", "disabled"), ("low", "enabled"), ("max", "enabled")]
)
def test_effort_turns_thinking_on_or_off(effort: str, thinking: str) -> None:
    body = encoded(user("Hi"), reasoning_effort=effort)
    assert body["thinking"] == {"type": thinking}


def test_images_go_by_address_or_as_data() -> None:
    asked = user(
        "What is this?",
        ImagePart(data=b"png", mime="image/png"),
        ImagePart(url="https://example.org/a.png", detail="low"),
    )
    data = "data:image/png;base64," + base64.b64encode(b"png").decode()
    assert encoded(asked)["messages"][0]["content"] == [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": data}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}},
    ]


def test_files_of_text_are_documents() -> None:
    body = encoded(
        user(
            "Who?",
            FilePart(data=b"Ruby \xff", mime="text/plain", name="facts.txt"),
            FilePart(data=b"{}", mime="application/json"),
        )
    )
    assert body["documents"] == [
        {"data": {"text": "Ruby \ufffd", "title": "facts.txt"}},
        {"data": {"text": "{}"}},
    ]
    assert body["messages"] == [{"role": "user", "content": "Who?"}]


@pytest.mark.parametrize(
    "message",
    [
        user(ImagePart(file_id="f")),
        user(AudioPart(data=b"x", mime="audio/wav")),
        user(FilePart(data=b"x", mime="application/pdf")),
        user(FilePart(url="https://example.org/a.txt", mime="text/plain")),
        assistant(ImagePart(data=b"x", mime="image/png")),
        Message(role="tool", parts=(TextPart(text="x"),)),
    ],
)
def test_a_part_that_can_not_be_carried_is_refused(message: Message) -> None:
    with pytest.raises(BadRequestError):
        encoded(message)


WEATHER = Tool("weather", "The weather.", {"type": "object", "properties": {"city": {}}})
NOW = Tool("now")


def offered(choice: str | None) -> tuple[list[str], Any]:
    body = encoded(user("Hi"), tools=(WEATHER, NOW), tool_choice=choice)
    return [t["function"]["name"] for t in body["tools"]], body.get("tool_choice")


def test_tools_are_functions_with_their_schema() -> None:
    assert encoded(user("Hi"), tools=(WEATHER,))["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "weather",
                "description": "The weather.",
                "parameters": {"type": "object", "properties": {"city": {}}},
            },
        }
    ]


@pytest.mark.parametrize(
    ("choice", "names", "word"),
    [
        (None, ["weather", "now"], None),
        ("auto", ["weather", "now"], None),
        ("none", ["weather", "now"], "NONE"),
        ("required", ["weather", "now"], "REQUIRED"),
        ("now", ["now"], "REQUIRED"),
    ],
)
def test_a_choice_is_forced_by_offering_nothing_else(
    choice: str | None, names: list[str], word: str | None
) -> None:
    assert offered(choice) == (names, word)


def test_a_choice_that_is_no_tool_is_refused() -> None:
    with pytest.raises(BadRequestError, match="'other'"):
        offered("other")


def test_a_schema_is_the_response_format() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    form = encoded(user("Hi"), response_schema=schema)["response_format"]
    assert form == {"type": "json_object", "json_schema": schema}
    plain = Quirks(json_schema=False)
    form = encoded(user("Hi"), response_schema=schema, quirks=plain)["response_format"]
    assert form == {"type": "json_object"}


def test_earlier_turns_go_back_with_thinking_calls_and_results() -> None:
    messages = encoded(
        assistant(
            ReasoningPart(text="Hm."),
            "Wait.",
            RefusalPart(text="No."),
            ToolCallPart(id="x", name="weather", arguments={"city": "Zürich"}),
        ),
        tool_result("x", {"sun": True}),
        Message(role="tool", parts=(ToolResultPart(id="y", error="down"),)),
        assistant(ToolCallPart(id="z", name="now")),
    )["messages"]
    called = {"name": "weather", "arguments": '{"city": "Zürich"}'}
    assert messages == [
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm."},
                {"type": "text", "text": "Wait."},
                {"type": "text", "text": "No."},
            ],
            "tool_calls": [{"id": "x", "type": "function", "function": called}],
        },
        {"role": "tool", "tool_call_id": "x", "content": '{"sun": true}'},
        {"role": "tool", "tool_call_id": "y", "content": '{"error": "down"}'},
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "z", "type": "function", "function": {"name": "now", "arguments": "{}"}}
            ],
        },
    ]


def test_an_answer_goes_back_as_it_came() -> None:
    builder = ResultBuilder()
    for event in decode(WHOLE)[0]:
        builder.add(event)
    (turn,) = encoded(*builder.result().messages)["messages"]
    assert turn["content"] == [
        {"type": "thinking", "thinking": "Hm."},
        {"type": "text", "text": "It is sunny \U0001f600"},
    ]
    assert [c["id"] for c in turn["tool_calls"]] == ["c1", "c2"]


def test_the_dialect_is_named_and_framed() -> None:
    assert (COHERE.name, COHERE.decoder.framing, COHERE.key_header) == (
        "cohere",
        "sse",
        "authorization",
    )
