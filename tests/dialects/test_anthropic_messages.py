"""Anthropic's Messages: events of a message, and what is asked."""

import json
from typing import Any

import pytest

from gai_rx import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    ReasoningPart,
    RefusalPart,
    Request,
    TextPart,
    Tool,
    ToolCallPart,
    assistant,
    system,
    tool,
    tool_result,
    user,
)
from gai_rx.dialects import Quirks
from gai_rx.dialects.anthropic_messages import ANTHROPIC_MESSAGES, MessagesDecoder, encode
from gai_rx.errors import GaiError
from gai_rx.events import (
    Finish,
    Raw,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    Usage,
)
from gai_rx.result import Result
from gai_rx.result_builder import ResultBuilder


def record(kind: str, **rest: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **rest})}\n\n".encode()


def start(id: str = "m1", **usage: Any) -> bytes:
    message = {
        "id": id,
        "model": "claude",
        "usage": {"input_tokens": 9, "output_tokens": 1} | usage,
    }
    return record("message_start", message=message)


def block(index: int, kind: str, **rest: Any) -> bytes:
    return record("content_block_start", index=index, content_block={"type": kind, **rest})


def delta(index: int, kind: str, **rest: Any) -> bytes:
    return record("content_block_delta", index=index, delta={"type": kind, **rest})


def end(index: int) -> bytes:
    return record("content_block_stop", index=index)


def stop(reason: str | None = "end_turn", **usage: Any) -> bytes:
    told = record("message_delta", delta={"stop_reason": reason}, usage=usage)
    return told + record("message_stop")


def text(index: int = 0, said: str = "Hi") -> bytes:
    return block(index, "text", text="") + delta(index, "text_delta", text=said) + end(index)


def decode(*pieces: bytes) -> list[StreamEvent]:
    decoder = MessagesDecoder()
    events = decoder.feed(b"".join(pieces))
    events += decoder.close()
    if decoder.fault is not None:
        raise decoder.fault
    return events


def result(*pieces: bytes) -> Result:
    builder = ResultBuilder()
    builder.extend(decode(*pieces))
    return builder.result()


def types(*pieces: bytes) -> list[str]:
    return [e.type for e in decode(*pieces)]  # type: ignore[attr-defined]  # every kind has one


def failure(*pieces: bytes) -> GaiError:
    with pytest.raises(GaiError) as caught:
        decode(*pieces)
    return caught.value


def test_text_with_pings_is_an_answer() -> None:
    events = types(start(), record("ping"), text(), record("ping"), stop(output_tokens=3))
    assert events == ["start", "text_delta", "usage", "finish"]


def test_later_counts_replace_earlier_ones_and_missing_ones_stay() -> None:
    made = result(
        start(cache_read_input_tokens=4, cache_creation_input_tokens=2),
        text(),
        record("message_delta", delta={}, usage={"output_tokens": 5, "input_tokens": None}),
        stop(output_tokens=7, input_tokens=11, output_tokens_details={"thinking_tokens": 3}),
    )
    assert made.usage is not None
    assert made.usage.model_dump(exclude_defaults=True, exclude={"type"}) == {
        "input_tokens": 11,
        "output_tokens": 7,
        "cached_input_tokens": 4,
        "cache_write_tokens": 2,
        "reasoning_tokens": 3,
    }


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "refusal"),
        ("pause_turn", "other"),
        (None, "other"),
    ],
)
def test_a_reason_to_stop_is_mapped_and_kept(told: str | None, reason: str) -> None:
    made = result(start(), stop(told))
    assert (made.finish_reason, made.raw_reason) == (reason, told)


def test_the_blocks_own_text_counts() -> None:
    citation = {"type": "char_location", "cited_text": "c", "document_title": "d"}
    first = block(0, "text", text="Hi", citations=[citation | {"start_char_index": 1}])
    made = result(start(), first, delta(0, "text_delta", text=""), end(0), stop())
    assert made.text == "Hi"
    assert [(c.title, c.text, c.start, c.end) for c in made.citations] == [("d", "c", 1, None)]


def test_thinking_is_kept_with_its_proof() -> None:
    made = result(
        start(),
        block(0, "thinking", thinking="", signature=""),
        delta(0, "thinking_delta", thinking="Hm"),
        delta(0, "thinking_delta", thinking=""),
        delta(0, "signature_delta", signature="sig"),
        end(0),
        block(1, "redacted_thinking", data="secret"),
        end(1),
        block(2, "thinking", thinking="So", signature="s2"),
        end(2),
        text(3),
        stop(),
    )
    [message] = made.messages
    assert message.parts == (
        ReasoningPart(text="Hm", signature="sig"),
        ReasoningPart(encrypted="secret"),
        ReasoningPart(text="So", signature="s2"),
        TextPart(text="Hi"),
    )


@pytest.mark.parametrize("fragments", [['{"a"', ": 1}"], ["", '{"a": 1}'], ['{"a": 1}', ""]])
def test_fragments_of_a_call_are_joined(fragments: list[str]) -> None:
    pieces = [delta(0, "input_json_delta", partial_json=f) for f in fragments]
    made = result(
        start(), block(0, "tool_use", id="t", name="f", input={}), *pieces, end(0), stop("tool_use")
    )
    assert [(c.id, c.name, c.arguments) for c in made.tool_calls] == [("t", "f", {"a": 1})]
    assert made.finish_reason == "tool_calls"


def test_a_call_without_fragments_has_no_arguments() -> None:
    made = result(
        start(), block(0, "tool_use", id="t", name="now", input={}), end(0), stop("tool_use")
    )
    assert [(c.arguments, c.invalid) for c in made.tool_calls] == [({}, None)]


def test_a_call_that_came_whole_is_read() -> None:
    whole = block(0, "tool_use", id="t", name="f", input={"a": 1})
    assert result(start(), whole, end(0), stop("tool_use")).tool_calls[0].arguments == {"a": 1}


def test_a_call_that_was_cut_must_not_run() -> None:
    made = result(
        start(),
        block(0, "tool_use", id="t", name="f", input={}),
        delta(0, "input_json_delta", partial_json="{}"),
        end(0),
        stop("max_tokens"),
    )
    assert made.tool_calls[0].invalid is not None


def test_fragments_outside_a_call_say_nothing() -> None:
    odd = block(0, "text", text="") + delta(0, "input_json_delta", partial_json="{}")
    assert types(start(), odd, end(0), stop()) == ["start", "usage", "finish"]


def test_tools_of_the_provider_are_told_with_their_results() -> None:
    events = decode(
        start(),
        block(0, "server_tool_use", id="s", name="web_search", input={}),
        delta(0, "input_json_delta", partial_json='{"query": "x"}'),
        end(0),
        block(1, "web_search_tool_result", tool_use_id="s", content=[{"url": "u"}]),
        end(1),
        block(
            2,
            "web_search_tool_result",
            tool_use_id="s",
            content={"type": "web_search_tool_result_error", "error_code": "too_many"},
        ),
        end(2),
        block(3, "mcp_tool_result", tool_use_id="m", is_error=True, content="no"),
        end(3),
        stop(),
    )
    call, *results = events[1:-2]
    assert (call.provider_executed, call.arguments) == (True, {"query": "x"})  # type: ignore[attr-defined]
    assert [(r.name, r.error) for r in results] == [  # type: ignore[attr-defined]
        ("web_search", None),
        ("web_search", "too_many"),
        ("mcp", "no"),
    ]


def test_citations_come_with_their_place() -> None:
    web = {"type": "web_search_result_location", "url": "u", "title": None, "cited_text": "c"}
    page = {
        "type": "page_location",
        "document_title": "d",
        "start_page_number": 1,
        "end_page_number": 2,
    }
    made = result(
        start(),
        block(0, "text", text=""),
        delta(0, "citations_delta", citation=web),
        delta(0, "citations_delta", citation=page),
        end(0),
        stop(),
    )
    assert [(c.uri, c.title, c.text, c.start, c.end) for c in made.citations] == [
        ("u", "", "c", None, None),
        ("", "d", "", 1, 2),
    ]


def test_what_is_not_known_is_kept_whole() -> None:
    events = types(
        start(),
        record("message_note", note=1),
        block(0, "hologram", data=1),
        delta(0, "hologram_delta", data=2),
        end(0),
        stop(),
    )
    assert events == ["start", "raw", "raw", "raw", "usage", "finish"]


def test_a_message_that_a_proxy_began_twice_is_one() -> None:
    assert types(start(), start(), text(), stop()) == ["start", "text_delta", "usage", "finish"]


@pytest.mark.parametrize(
    "pieces",
    [
        [start(), text(), start("m2")],
        [start(), delta(0, "text_delta", text="a")],
        [start(), text(), delta(0, "text_delta", text="a")],
        [start(), end(4)],
        [start(), record("content_block_delta", index=0)],
    ],
)
def test_events_out_of_place_are_a_protocol_error(pieces: list[bytes]) -> None:
    assert failure(*pieces, stop()).kind == "protocol"


def test_a_block_that_ends_twice_ends_once() -> None:
    assert result(start(), text(), end(0), stop()).text == "Hi"


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        (
            {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
            "overloaded",
        ),
        ({"type": "error", "error": {"type": "rate_limit_error"}}, "rate_limit"),
        (
            {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}},
            "bad_request",
        ),
        ({"error": {"message": "no type"}}, "server"),
    ],
)
def test_an_error_event_ends_the_answer(told: dict[str, Any], kind: str) -> None:
    line = f"event: error\ndata: {json.dumps(told)}\n\n".encode()
    assert failure(line).kind == kind
    assert failure(start(), text(), line).kind == kind


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [start()],
        [start(), text()],
        [start(), text(), record("message_delta", delta={"stop_reason": "end_turn"})],
    ],
)
def test_without_message_stop_the_answer_is_truncated(pieces: list[bytes]) -> None:
    assert failure(*pieces).kind == "truncated"


def test_counts_of_another_form_are_not_told() -> None:
    assert result(record("message_start", message={"id": "m"}), text(), stop()).usage is None


# Request → body.


def body(*messages: Message, **settings: Any) -> dict[str, Any]:
    made = encode(Request.of(messages or "Hi", **settings), "m", Quirks()).body
    assert json.loads(json.dumps(made)) == made
    return made


def test_a_plain_request() -> None:
    assert body() == {
        "model": "m",
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        "stream": True,
    }
    assert encode(Request.of("Hi"), "m", Quirks()).path == "/v1/messages"
    assert ANTHROPIC_MESSAGES.key_header == "x-api-key"
    assert ANTHROPIC_MESSAGES.headers == {"anthropic-version": "2023-06-01"}


def test_settings_go_in_under_their_names() -> None:
    made = body(
        system("Be brief."),
        user("Hi"),
        max_tokens=5,
        temperature=0.1,
        top_p=0.2,
        top_k=3,
        stop=("a",),
        provider_options={"metadata": {"user_id": "u"}},
    )
    made.pop("messages")
    assert made == {
        "model": "m",
        "stream": True,
        "max_tokens": 5,
        "temperature": 0.1,
        "top_p": 0.2,
        "top_k": 3,
        "stop_sequences": ["a"],
        "system": [{"type": "text", "text": "Be brief."}],
        "metadata": {"user_id": "u"},
    }


@pytest.mark.parametrize(
    ("effort", "told"),
    [
        ("none", {"thinking": {"type": "disabled"}}),
        ("minimal", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
        ("high", {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
    ],
)
def test_effort_is_asked_for(effort: str, told: dict[str, Any]) -> None:
    made = body(reasoning_effort=effort)
    assert {k: made[k] for k in ("thinking", "output_config") if k in made} == told


def test_a_schema_is_asked_for_beside_the_effort() -> None:
    made = body(reasoning_effort="low", response_schema={"type": "object"})
    strict = {"type": "object", "additionalProperties": False}
    schema = {"type": "json_schema", "schema": strict}
    assert made["output_config"] == {"effort": "low", "format": schema}


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ("now", {"type": "tool", "name": "now"}),
    ],
)
def test_tools_and_their_choice(choice: str, told: dict[str, Any]) -> None:
    @tool
    def now() -> str:
        """The time."""
        return ""

    made = body(tools=(now,), tool_choice=choice)
    assert made["tool_choice"] == told
    assert made["tools"] == [
        {"name": "now", "description": "The time.", "input_schema": now.parameters}
    ]


def test_a_conversation_goes_back_turn_by_turn() -> None:
    made = body(
        user("Hi"),
        user("there"),
        assistant(
            ReasoningPart(text="Hm", signature="sig"),
            ReasoningPart(encrypted="secret"),
            ReasoningPart(text="not signed"),
            TextPart(text=""),
            ToolCallPart(id="a", name="now", arguments={"x": 1}),
        ),
        tool_result("a", {"t": 1}),
        tool_result("b", None, error="late"),
        user("Well?"),
    )
    assert [m["role"] for m in made["messages"]] == ["user", "assistant", "user"]
    assert made["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "Hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "secret"},
        {"type": "tool_use", "id": "a", "name": "now", "input": {"x": 1}},
    ]
    assert made["messages"][2]["content"] == [
        {"type": "tool_result", "tool_use_id": "a", "content": '{"t": 1}'},
        {"type": "tool_result", "tool_use_id": "b", "content": "late", "is_error": True},
        {"type": "text", "text": "Well?"},
    ]


def test_a_request_of_system_messages_alone_has_no_turns() -> None:
    assert body(system("Be brief."))["messages"] == []


def test_pictures_and_documents() -> None:
    [message] = body(
        user(
            ImagePart(url="https://x/y.png"),
            ImagePart(data=b"png", mime="image/png"),
            FilePart(file_id="f1"),
            FilePart(data=b"text", mime="text/plain", name="a.txt"),
        )
    )["messages"]
    assert message["content"] == [
        {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "cG5n"}},
        {"type": "document", "source": {"type": "file", "file_id": "f1"}},
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "text"},
            "title": "a.txt",
        },
    ]


def test_a_part_that_can_not_be_carried_is_refused() -> None:
    with pytest.raises(GaiError, match="can not carry audio by url"):
        body(user(AudioPart(url="https://x/y.mp3")))


# What real servers and proxies do beside the documents.


WHOLE = b"".join(
    (
        start(),
        block(0, "thinking", thinking="", signature=""),
        delta(0, "thinking_delta", thinking="Hm"),
        delta(0, "signature_delta", signature="c2ln"),
        end(0),
        block(1, "redacted_thinking", data="b3BhcXVl"),
        end(1),
        text(2, "So \u2028 it is \U0001f600"),
        block(3, "tool_use", id="toolu_1", name="weather", input={}),
        delta(3, "input_json_delta", partial_json=""),
        delta(3, "input_json_delta", partial_json='{"city": "Par'),
        delta(3, "input_json_delta", partial_json='is"}'),
        end(3),
        stop("tool_use", output_tokens=9),
    )
)


def unnamed(**told: Any) -> bytes:
    return f"data: {json.dumps(told)}\n\n".encode()


def call_of(*pieces: bytes) -> ToolCall:
    [call] = [e for e in decode(*pieces) if isinstance(e, ToolCall)]
    return call


def test_every_cut_of_a_body_says_the_same() -> None:
    expected = decode(WHOLE)
    for at in range(len(WHOLE)):
        decoder = MessagesDecoder()
        assert decoder.feed(WHOLE[:at]) + decoder.feed(WHOLE[at:]) == expected


def test_no_prefix_of_a_body_looks_complete() -> None:
    proof = WHOLE.rindex(b'"message_stop"}') + len(b'"message_stop"}')
    for at in range(proof):
        decoder = MessagesDecoder()
        events = decoder.feed(WHOLE[:at]) + decoder.close()
        assert decoder.fault is not None, at
        assert decoder.fault.kind == "truncated"
        assert not any(isinstance(e, Finish | ToolCall) for e in events)


def test_the_blank_line_after_the_last_event_may_be_missing() -> None:
    assert decode(WHOLE.rstrip()) == decode(WHOLE)


def test_what_follows_the_end_is_ignored() -> None:
    assert decode(WHOLE, record("error", error={"type": "api_error"})) == decode(WHOLE)


def test_records_of_their_own_are_told_before_their_events_when_asked_for() -> None:
    decoder = MessagesDecoder(raw=True)
    events = decoder.feed(WHOLE)
    plain = [e for e in events if not isinstance(e, Raw)]
    assert [type(e) for e in plain] == [type(e) for e in decode(WHOLE)]
    assert sum(isinstance(e, Raw) for e in events) == WHOLE.count(b"data: ")
    assert plain[1:] == decode(WHOLE)[1:]


def test_the_events_name_stands_in_for_a_missing_type() -> None:
    bare = WHOLE
    for kind in (b"message_start", b"content_block_start", b"content_block_delta"):
        bare = bare.replace(b'data: {"type": "' + kind + b'", ', b"data: {")
    assert bare != WHOLE
    assert decode(bare) == decode(WHOLE)


def test_types_alone_do_without_the_events_names() -> None:
    lines = [line for line in WHOLE.split(b"\n") if not line.startswith(b"event:")]
    assert decode(b"\n".join(lines)) == decode(WHOLE)


def test_a_ping_without_data_of_its_own_says_nothing() -> None:
    assert decode(b"event: ping\ndata: {}\n\n", WHOLE) == decode(WHOLE)


@pytest.mark.parametrize(
    "line",
    [
        b'event: error\ndata: {"error": {"type": "overloaded_error", "message": "m"}}\n\n',
        b'event: error\ndata: {"type": "overloaded_error", "message": "m"}\n\n',
        b'data: {"error": {"type": "overloaded_error", "message": "m"}}\n\n',
        b'data: {"type": "error", "error": {"type": "overloaded_error", "message": "m"}}\n\n',
    ],
)
def test_an_error_is_known_by_any_of_its_marks(line: bytes) -> None:
    error = failure(start(), text(), line)
    assert (error.kind, error.retryable) == ("overloaded", True)


def test_an_error_names_its_request() -> None:
    told: dict[str, Any] = {"error": {"type": "api_error", "message": "m"}}
    assert failure(record("error", **told, request_id="req_1")).request_id == "req_1"
    assert failure(record("error", **told, request_id=5)).request_id is None


def test_an_error_that_is_text_alone_is_told() -> None:
    decoder = MessagesDecoder()
    with pytest.raises(GaiError, match="out of order"):
        decoder.raise_error("out of order")


@pytest.mark.parametrize(
    "early",
    [
        block(0, "text", text="a"),
        delta(0, "text_delta", text="a"),
        end(0),
        record("message_delta", delta={"stop_reason": "end_turn"}),
        record("message_stop"),
    ],
)
def test_nothing_may_come_before_the_message_begins(early: bytes) -> None:
    error = failure(early, start(), stop())
    assert error.kind == "protocol"


def test_what_is_not_known_may_come_before_the_message_begins() -> None:
    assert types(record("weather", sun=True), start(), stop())[:3] == ["start", "raw", "usage"]


@pytest.mark.parametrize(
    "pieces",
    [
        [record("message_start", message={"model": "a"})] * 2,
        [start(), text(0), text(0)],
        [start(), block(0, "text", text=""), block(0, "text", text="")],
        [start(), block(0, "hologram"), block(0, "hologram")],
        [start(), block(0, "hologram"), end(0), delta(0, "hologram_delta", data=1)],
        [start(), unnamed(type="content_block_start", index="0", content_block={"type": "text"})],
        [start(), block(0, "text", text=5)],
        [start(), block(0, "text"), delta(0, "text_delta", text=5)],
        [start(), block(0, "thinking"), delta(0, "thinking_delta", thinking=5)],
        [start(), block(0, "redacted_thinking", data=None)],
        [start(), block(0, "text"), delta(0, "citations_delta", citation=None)],
        [start(), record("message_delta", delta={}, usage=[1])],
        [start(), record("content_block_start", index=0, content_block=None)],
    ],
)
def test_records_of_another_form_are_a_protocol_error(pieces: list[bytes]) -> None:
    assert failure(*pieces, stop()).kind == "protocol"


def test_a_message_that_comes_whole_at_its_start_is_read() -> None:
    caller = {"type": "code_execution_20250825", "tool_id": "srv_1"}
    call = {"type": "tool_use", "id": "t", "name": "roll", "input": {"n": 6}, "caller": caller}
    message = {
        "id": "m1",
        "content": [{"type": "text", "text": "Rolling."}, call],
        "stop_reason": "tool_use",
    }
    events = decode(record("message_start", message=message), record("message_stop"))
    assert events[1:] == [
        TextDelta(text="Rolling."),
        ToolCallDelta(id="t", name="roll", arguments='{"n": 6}'),
        ToolCall(
            id="t",
            name="roll",
            arguments={"n": 6},
            arguments_text='{"n": 6}',
            metadata={"caller": caller},
            signature=json.dumps({"tool_use": {"caller": caller}}),
        ),
        Finish(reason="tool_calls", raw_reason="tool_use"),
    ]


def test_blocks_may_follow_those_that_came_with_the_start() -> None:
    message = {"id": "m1", "content": [{"type": "text", "text": "A"}]}
    made = result(record("message_start", message=message), text(0, "B"), stop())
    assert made.text == "AB"


def test_parallel_calls_are_told_apart_by_their_blocks() -> None:
    made = result(
        start(),
        block(1, "tool_use", id="a", name="f", input={}),
        block(2, "tool_use", id="b", name="f", input={}),
        delta(2, "input_json_delta", partial_json='{"x": 2'),
        delta(1, "input_json_delta", partial_json='{"x": 1}'),
        delta(2, "input_json_delta", partial_json="}"),
        end(2),
        end(1),
        stop("tool_use"),
    )
    assert [(c.id, c.arguments) for c in made.tool_calls] == [("a", {"x": 1}), ("b", {"x": 2})]


def test_a_call_is_told_once_after_all_its_pieces() -> None:
    kinds = types(WHOLE)
    assert kinds[-5:] == ["tool_call_delta", "tool_call_delta", "tool_call", "usage", "finish"]
    assert kinds.count("tool_call") == 1


def test_fragments_win_over_the_input_of_the_start() -> None:
    begun = block(0, "tool_use", id="t", name="f", input={"a": 1})
    more = delta(0, "input_json_delta", partial_json='{"a": 2}')
    assert call_of(start(), begun, more, end(0), stop("tool_use")).arguments == {"a": 2}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [('{"a": ', "no JSON"), ("[1]", "no JSON object"), ('{"a": 1}{"a": 1}', "sent twice")],
)
def test_arguments_that_can_not_be_read_make_an_invalid_call(arguments: str, why: str) -> None:
    begun = block(0, "tool_use", id="t", name="f", input={})
    more = delta(0, "input_json_delta", partial_json=arguments)
    call = call_of(start(), begun, more, end(0), stop("tool_use"))
    assert (call.arguments, call.arguments_text) == ({}, arguments)
    assert why in (call.invalid or "")


@pytest.mark.parametrize("reason", ["max_tokens", "refusal", "pause_turn", "brand_new", None])
def test_no_call_runs_from_an_answer_that_ended_badly(reason: str | None) -> None:
    begun = block(0, "tool_use", id="t", name="f", input={})
    more = delta(0, "input_json_delta", partial_json='{"all": "there"}')
    call = call_of(start(), begun, more, end(0), stop(reason))
    assert call.invalid is not None
    assert call.arguments == {}


def test_a_call_in_an_answer_that_says_it_ended_its_turn_still_counts() -> None:
    begun = block(0, "tool_use", id="t", name="f", input={})
    made = result(start(), begun, end(0), stop("end_turn"))
    assert (made.finish_reason, made.raw_reason) == ("tool_calls", "end_turn")
    assert made.tool_calls[0].invalid is None


@pytest.mark.parametrize("kind", ["tool_use", "server_tool_use"])
def test_a_call_whose_block_never_ends_is_closed_by_the_message(kind: str) -> None:
    begun = block(0, kind, id="t", name="f", input={"a": 1})
    call = call_of(start(), begun, stop("tool_use"))
    assert (call.arguments, call.provider_executed) == ({"a": 1}, kind != "tool_use")


def test_a_call_without_id_gets_one() -> None:
    begun = block(0, "tool_use", name="f", input={})
    assert call_of(start(), begun, end(0), stop("tool_use")).id == "call_0"


def test_tools_of_mcp_keep_their_server_and_their_name() -> None:
    events = decode(
        start(),
        block(0, "mcp_tool_use", id="m", name="ask", server_name="wiki", input={}),
        delta(0, "input_json_delta", partial_json='{"q": 1}'),
        end(0),
        block(
            1,
            "mcp_tool_result",
            tool_use_id="m",
            is_error=True,
            content=[{"type": "text", "text": "no such"}, {"type": "text", "text": "page"}],
        ),
        end(1),
        stop(),
    )
    call, answer = events[1:3]
    assert isinstance(call, ToolCall)
    assert (call.id, call.name, call.arguments) == ("m", "ask", {"q": 1})
    assert (call.provider_executed, call.metadata["server_name"]) == (True, "wiki")
    assert isinstance(answer, ToolResult)
    assert (answer.name, answer.error) == ("ask", "no such\npage")
    assert isinstance(events[-1], Finish)
    assert events[-1].reason == "stop"  # nothing is left for the caller to run


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ({"type": "code_execution_tool_result_error", "error_code": "unavailable"}, "unavailable"),
        ({"type": "some_tool_result_error"}, "failed"),
        ({"type": "code_execution_result", "return_code": 1}, None),
        ([], None),
        (None, None),
    ],
)
def test_a_result_tells_whether_the_tool_failed(content: Any, error: str | None) -> None:
    events = decode(
        start(), block(0, "code_execution_tool_result", tool_use_id="x", content=content), stop()
    )
    answer = events[1].model_copy(update={"metadata": {}})
    assert answer == ToolResult(
        id="x", name="code_execution", result=content, error=error, provider_executed=True
    )


def test_a_failure_that_says_nothing_is_told_as_one() -> None:
    events = decode(start(), block(0, "mcp_tool_result", tool_use_id="x", is_error=True), stop())
    assert isinstance(events[1], ToolResult)
    assert events[1].error == "failed"


def test_a_call_by_the_model_itself_has_no_caller_noted() -> None:
    begun = block(0, "tool_use", id="t", name="f", input={}, caller={"type": "direct"})
    assert call_of(start(), begun, end(0), stop("tool_use")).metadata == {}


def test_the_end_tells_why_the_model_refused() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "No."}
    told = {"stop_reason": "refusal", "stop_sequence": None, "stop_details": details}
    finish = decode(
        start(),
        record("message_delta", delta=told, usage={}, context_management={"applied_edits": []}),
        record("message_stop"),
    )[-1]
    assert isinstance(finish, Finish)
    assert finish.reason == "refusal"
    assert finish.metadata == {
        "stop_details": details,
        "context_management": {"applied_edits": []},
    }


def test_counts_that_only_anthropic_has_are_metadata_of_the_usage() -> None:
    made = result(start(service_tier="standard"), stop(server_tool_use={"web_search_requests": 2}))
    assert made.usage is not None
    assert made.usage.metadata == {
        "service_tier": "standard",
        "server_tool_use": {"web_search_requests": 2},
    }


def test_a_count_that_is_null_does_not_replace() -> None:
    made = result(start(), stop(input_tokens=None, output_tokens=0))
    assert made.usage is not None
    assert (made.usage.input_tokens, made.usage.output_tokens) == (9, 0)


def test_a_broken_answer_still_tells_its_usage() -> None:
    decoder = MessagesDecoder()
    events = decoder.feed(start() + text()) + decoder.close()
    assert isinstance(events[-1], Usage)
    assert events[-1].input_tokens == 9


def test_what_is_not_known_inside_a_known_block_is_kept_whole() -> None:
    note = delta(0, "footnote_delta", note="n")
    events = decode(start(), block(0, "text", text=""), note, end(0), stop())
    assert events[1] == Raw(record=json.loads(note.split(b"data: ")[1]))


def test_text_of_a_block_that_is_not_known_is_no_text_of_the_answer() -> None:
    events = decode(
        start(),
        block(0, "compaction", content=None),
        delta(0, "text_delta", text="summary"),
        delta(0, "compaction_delta", content="summary"),
        end(0),
        text(1),
        stop(),
    )
    assert [e.record["type"] for e in events if isinstance(e, Raw)] == [
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
    ]
    assert [e.text for e in events if isinstance(e, TextDelta)] == ["Hi"]


def test_pieces_of_thinking_are_not_signed_until_their_proof_comes() -> None:
    thoughts = [e for e in decode(WHOLE) if isinstance(e, ReasoningDelta)]
    assert [(e.text, e.signature, e.encrypted) for e in thoughts] == [
        ("Hm", None, None),
        ("", "c2ln", None),
        ("", None, "b3BhcXVl"),
    ]


def test_empty_text_is_no_event() -> None:
    assert types(start(), text(0, ""), stop()) == ["start", "usage", "finish"]


def test_a_reason_to_stop_is_kept_when_more_counts_follow() -> None:
    ended = record("message_delta", delta={"stop_reason": "max_tokens"}, usage={})
    assert result(start(), text(), ended, stop(None, output_tokens=3)).raw_reason == "max_tokens"


def test_an_empty_signature_is_no_event() -> None:
    signed = block(0, "thinking", thinking="") + delta(0, "signature_delta", signature="")
    assert types(start(), signed, end(0), stop()) == ["start", "usage", "finish"]


def test_halves_of_a_character_are_joined_over_deltas() -> None:
    halves = [
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        b'"delta":{"type":"text_delta","text":"\\u' + half + b'"}}\n\n'
        for half in (b"d83d", b"de00")
    ]
    assert result(start(), block(0, "text", text=""), *halves, end(0), stop()).text == "\U0001f600"


# What the API refuses, and what models differ in.


def told_to(model: str, **settings: Any) -> dict[str, Any]:
    return encode(Request.of("Hi", **settings), model, Quirks()).body


@pytest.mark.parametrize(
    "model",
    [
        "claude-3-7-sonnet-20250219",
        "claude-sonnet-4-20250514",
        "claude-opus-4-1-20250805",
        "claude-sonnet-4-5",
        "anthropic/claude-haiku-4.5",
        "us.anthropic.claude-opus-4-5-20251101-v1:0",
    ],
)
def test_models_up_to_4_5_are_given_a_budget_beside_the_answer(model: str) -> None:
    made = told_to(model, reasoning_effort="low")
    assert made["thinking"] == {"type": "enabled", "budget_tokens": 2048}
    assert made["max_tokens"] == 4096 + 2048
    assert "output_config" not in made


@pytest.mark.parametrize("model", ["claude-opus-4-6", "claude-sonnet-5", "claude-opus-4.10", "m"])
def test_later_models_budget_for_themselves(model: str) -> None:
    made = told_to(model, reasoning_effort="max", max_tokens=100)
    assert made["thinking"] == {"type": "adaptive"}
    assert made["output_config"] == {"effort": "max"}
    assert made["max_tokens"] == 100


@pytest.mark.parametrize(("limit", "budget"), [(1025, 1024), (4000, 2000), (90_000, 16_384)])
def test_a_budget_stays_below_the_limit_that_was_asked_for(limit: int, budget: int) -> None:
    made = told_to("claude-sonnet-4-5", reasoning_effort="high", max_tokens=limit)
    assert made["thinking"]["budget_tokens"] == budget
    assert made["max_tokens"] == limit


def test_a_limit_without_room_for_thinking_is_refused() -> None:
    with pytest.raises(GaiError, match="max_tokens=1024 counts thinking too"):
        told_to("claude-sonnet-4-5", reasoning_effort="low", max_tokens=1024)


def test_a_limit_of_nothing_is_sent_as_it_is() -> None:
    assert body(max_tokens=0)["max_tokens"] == 0


def test_a_seed_is_refused() -> None:
    with pytest.raises(GaiError, match="no 'seed'") as caught:
        body(seed=0)
    assert caught.value.kind == "bad_request"


def test_options_of_the_provider_go_over_everything() -> None:
    made = body(
        reasoning_effort="low",
        provider_options={"output_config": {"effort": "xhigh"}, "max_tokens": 1, "speed": "fast"},
    )
    assert (made["output_config"], made["max_tokens"]) == ({"effort": "xhigh"}, 1)
    assert made["speed"] == "fast"


def test_a_tool_without_description_has_none() -> None:
    assert body(tools=(Tool("f"),))["tools"] == [
        {"name": "f", "input_schema": {"type": "object", "properties": {}}}
    ]


@pytest.mark.parametrize(
    "message",
    [
        system(ImagePart(url="https://x/y.png")),
        assistant(ImagePart(url="https://x/y.png")),
        user(ToolCallPart(id="a", name="f")),
        user(ReasoningPart(text="Hm")),
        Message(role="tool", parts=(TextPart(text="done"),)),
    ],
)
def test_a_part_in_the_wrong_place_is_refused(message: Message) -> None:
    with pytest.raises(GaiError, match="can not carry") as caught:
        body(user("Hi"), message)
    assert caught.value.kind == "bad_request"


def test_empty_turns_are_left_out() -> None:
    made = body(system(""), user("a"), assistant(ReasoningPart(text="unsigned")), user("b"))
    assert "system" not in made
    assert made["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
    ]


def test_a_refusal_goes_back_as_text() -> None:
    made = body(user("a"), assistant(RefusalPart(text="No.")))
    assert made["messages"][1]["content"] == [{"type": "text", "text": "No."}]


def test_ids_of_other_providers_are_made_fit_on_both_sides() -> None:
    made = body(
        user("a"),
        assistant(ToolCallPart(id="functions.f:0", name="f")),
        tool_result("functions.f:0", 1),
    )
    assert made["messages"][1]["content"][0]["id"] == "functions_f_0"
    assert made["messages"][2]["content"][0]["tool_use_id"] == "functions_f_0"


def test_thinking_of_another_provider_stays_out() -> None:
    foreign = ReasoningPart(text="Hm", encrypted="x", signature="y", id="rs_1")
    made = body(user("a"), assistant(foreign, "b"))
    assert made["messages"][1]["content"] == [{"type": "text", "text": "b"}]


def test_documents_are_pdf_or_text() -> None:
    made = body(
        user(
            FilePart(data=b"%PDF", mime="application/pdf"),
            FilePart(data=b"# A", mime="text/markdown"),
            FilePart(data=b"{}", mime="application/json"),
            FilePart(url="https://x/y.pdf"),
        )
    )
    assert [b["source"] for b in made["messages"][0]["content"]] == [
        {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
        {"type": "text", "media_type": "text/plain", "data": "# A"},
        {"type": "text", "media_type": "text/plain", "data": "{}"},
        {"type": "url", "url": "https://x/y.pdf"},
    ]
    with pytest.raises(GaiError, match="PDF or text, got 'application/zip'"):
        body(user(FilePart(data=b"PK", mime="application/zip")))


def test_a_schema_keeps_what_the_api_takes_and_tells_the_rest() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "title": "T",
        "$defs": {"E": {"enum": ["a", "b"]}},
        "properties": {
            "e": {"$ref": "#/$defs/E"},
            "n": {"type": "integer", "description": "A number.", "minimum": 1},
            "s": {"type": "string", "format": "date"},
            "o": {"type": "string", "format": "odd"},
            "l": {"type": "array", "items": {"type": "object"}, "minItems": 1},
            "m": {"type": "array", "items": {"type": "string"}, "minItems": 2},
            "v": {"oneOf": [{"type": "null"}, {"type": "object", "additionalProperties": True}]},
            "w": {"allOf": [True]},
        },
        "required": ["e"],
    }
    given = json.dumps(schema)
    made = body(response_schema=schema)["output_config"]["format"]["schema"]
    assert json.dumps(schema) == given
    closed = {"type": "object", "additionalProperties": False}
    assert made == {
        "type": "object",
        "title": "T",
        "$defs": {"E": {"enum": ["a", "b"]}},
        "properties": {
            "e": {"$ref": "#/$defs/E"},
            "n": {"type": "integer", "description": 'A number.\n\nIt must fit {"minimum": 1}.'},
            "s": {"type": "string", "format": "date"},
            "o": {"type": "string", "description": 'It must fit {"format": "odd"}.'},
            "l": {"type": "array", "items": closed, "minItems": 1},
            "m": {
                "type": "array",
                "items": {"type": "string"},
                "description": 'It must fit {"minItems": 2}.',
            },
            "v": {"anyOf": [{"type": "null"}, closed]},
            "w": {"allOf": [True]},
        },
        "required": ["e"],
        "additionalProperties": False,
    }


def test_an_answer_goes_back_as_it_came() -> None:
    made = result(WHOLE)
    sent = body(user("Hi"), *made.messages, tool_result("toolu_1", "sun"))
    assert sent["messages"][1] == {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Hm", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "b3BhcXVl"},
            {"type": "text", "text": "So \u2028 it is \U0001f600"},
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Paris"}},
        ],
    }
    assert sent["messages"][2]["content"] == [
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": "sun"}
    ]
