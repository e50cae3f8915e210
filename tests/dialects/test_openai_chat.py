"""Chat completions: the accents of many hosts, and what is asked of them."""

import base64
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
    ToolCallPart,
    VideoPart,
    assistant,
    system,
    tool,
    tool_result,
    user,
)
from gai_rx.dialects import Quirks
from gai_rx.dialects.openai_chat import ChatDecoder, encode
from gai_rx.errors import GaiError
from gai_rx.events import StreamEvent
from gai_rx.result import Result
from gai_rx.result_builder import ResultBuilder


def chunk(delta: dict[str, Any] | None = None, reason: str | None = None, **rest: Any) -> bytes:
    choice = {"index": 0, "delta": {} if delta is None else delta, "finish_reason": reason}
    body = {
        "id": "c1",
        "object": "chat.completion.chunk",
        "model": "m",
        "choices": [choice],
        **rest,
    }
    return b"data: " + json.dumps(body).encode() + b"\n\n"


STOP = chunk(reason="stop") + b"data: [DONE]\n\n"
CALLS = chunk(reason="tool_calls") + b"data: [DONE]\n\n"


def decode(*pieces: bytes, quirks: Quirks | None = None, **options: Any) -> list[StreamEvent]:
    decoder = ChatDecoder(quirks, **options)
    events = decoder.feed(b"".join(pieces))
    events += decoder.close()
    if decoder.fault is not None:
        raise decoder.fault
    return events


def result(*pieces: bytes, **options: Any) -> Result:
    builder = ResultBuilder()
    builder.extend(decode(*pieces, **options))
    return builder.result()


def types(events: list[StreamEvent]) -> list[str]:
    return [e.type for e in events]  # type: ignore[attr-defined]  # every kind has one


def failure(*pieces: bytes) -> GaiError:
    with pytest.raises(GaiError) as caught:
        decode(*pieces)
    return caught.value


def call(index: int | None, id: str | None, name: str | None, arguments: Any) -> dict[str, Any]:
    told: dict[str, Any] = {"function": {"name": name, "arguments": arguments}}
    told |= {} if index is None else {"index": index}
    return {"tool_calls": [told | ({} if id is None else {"id": id})]}


def test_text_and_usage_make_an_answer() -> None:
    usage = {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "total_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    events = decode(
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "Hel"}),
        chunk({"content": "lo"}),
        chunk(reason="stop"),
        chunk(usage=usage, choices=[]),
        b"data: [DONE]\n\n",
    )
    assert types(events) == ["start", "text_delta", "text_delta", "usage", "finish"]
    builder = ResultBuilder()
    builder.extend(events)
    made = builder.result()
    assert (made.text, made.finish_reason, made.raw_reason) == ("Hello", "stop", "stop")
    assert made.usage is not None
    assert made.usage.model_dump(exclude_unset=True) == {
        "input_tokens": 3,
        "output_tokens": 2,
        "total_tokens": 5,
        "cached_input_tokens": 1,
        "cache_write_tokens": 4,
        "reasoning_tokens": 0,
    }


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ("stop", "stop"),
        ("eos", "stop"),
        ("length", "length"),
        ("model_length", "length"),
        ("content_filter", "content_filter"),
        ("insufficient_system_resource", "error"),
        ("error", "error"),
        ("something_new", "other"),
        ("STOP", "stop"),
    ],
)
def test_a_reason_to_end_is_mapped_and_kept(told: str, reason: str) -> None:
    made = result(chunk({"content": "a"}), chunk(reason=told), b"data: [DONE]\n\n")
    assert (made.finish_reason, made.raw_reason) == (reason, told)


def test_an_end_without_done_is_complete_after_a_reason() -> None:
    assert result(chunk({"content": "a"}, "stop")).complete


def test_text_in_and_after_the_last_chunk_is_kept() -> None:
    assert result(chunk({"content": "a"}, "stop"), chunk({"content": "b"}), STOP).text == "ab"


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [chunk({"content": "a"})],
        [chunk({"content": "a"}, "")],
        [chunk({"content": "a"}), b"data: [DONE]\n\n"],
        [b"data: [DONE]\n\n"],
        [chunk({"content": "a"}), b'data: {"choices": [{"finish_reason": "st'],
    ],
)
def test_an_end_without_a_reason_is_truncated(pieces: list[bytes]) -> None:
    assert failure(*pieces).kind == "truncated"


def test_a_lenient_host_may_leave_the_reason_out() -> None:
    lenient = Quirks(finish_optional=True)
    made = result(chunk({"content": "a"}), b"data: [DONE]\n\n", quirks=lenient)
    assert (made.text, made.finish_reason, made.raw_reason) == ("a", "other", None)


def test_usage_that_came_is_told_before_the_truncation() -> None:
    decoder = ChatDecoder()
    events = decoder.feed(chunk({"content": "a"}, usage={"prompt_tokens": 3}))
    assert types(events + decoder.close()) == ["start", "text_delta", "usage"]


def test_a_last_record_without_its_blank_line_counts() -> None:
    assert result(chunk({"content": "a"}, "stop").rstrip()).text == "a"
    assert result(chunk({"content": "a"}, "stop"), b"data: [DONE]").text == "a"


@pytest.mark.parametrize(
    "fragments",
    [
        [call(0, "a", "f", '{"x"'), call(0, None, None, ": 1}")],
        [call(None, "a", "f", '{"x"'), call(None, None, None, ": 1}")],
        [call(0, "a", "f", '{"x"'), call(0, "a", "f", ": 1}")],
        [call(0, "a", "f", '{"x"'), call(0, "", "", ": 1}")],
        [call(0, "a", None, '{"x"'), call(0, None, "f", ": 1}")],
        [call(0, "a", "f", '{"x"'), call(1, None, None, ": 1}")],
        [call(0, None, "f", '{"x"'), call(0, "a", None, ": 1}")],
        [call(0, "a", "f", {"x": 1})],
    ],
)
def test_fragments_of_one_call_are_joined(fragments: list[dict[str, Any]]) -> None:
    [made] = result(*map(chunk, fragments), CALLS).tool_calls
    assert (made.name, made.arguments, made.invalid) == ("f", {"x": 1}, None)
    assert made.id


def test_parallel_calls_are_kept_apart_in_their_order() -> None:
    made = result(
        chunk(call(0, "a", "f", '{"x"')),
        chunk(call(1, "b", "g", '{"y"')),
        chunk(call(0, None, None, ": 1}")),
        chunk(call(1, None, None, ": 2}")),
        chunk(call(0, "c", "f", "{}")),  # Ollama numbers every call 0
        CALLS,
    )
    assert [(c.id, c.name, c.arguments) for c in made.tool_calls] == [
        ("a", "f", {"x": 1}),
        ("b", "g", {"y": 2}),
        ("c", "f", {}),
    ]


@pytest.mark.parametrize("arguments", ["", None, "null", " ", "{}"])
def test_a_call_without_arguments_has_none(arguments: Any) -> None:
    [made] = result(chunk(call(0, "a", "now", arguments)), CALLS).tool_calls
    assert (made.arguments, made.invalid) == ({}, None)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ('{"x"', "no JSON"),
        ("[1]", "no JSON object"),
        ('{"x":1}{"x":1}', "twice"),
        ("{}", "no tool"),
    ],
)
def test_a_call_that_can_not_run_says_why(arguments: str, says: str) -> None:
    name = None if says == "no tool" else "f"
    [made] = result(chunk(call(0, "a", name, arguments)), CALLS).tool_calls
    assert made.invalid is not None
    assert says in made.invalid
    assert (made.arguments, made.arguments_text) == ({}, arguments)


@pytest.mark.parametrize("reason", ["length", "content_filter", "error"])
def test_calls_of_an_answer_that_ended_badly_must_not_run(reason: str) -> None:
    made = result(chunk(call(0, "a", "f", "{}")), chunk(reason=reason))
    assert [c.invalid is None for c in made.tool_calls] == [False]


def test_calls_after_stop_are_still_calls() -> None:
    made = result(chunk(call(0, "a", "f", "{}")), STOP)
    assert (made.finish_reason, made.raw_reason) == ("tool_calls", "stop")


def test_missing_ids_are_made_and_differ() -> None:
    made = result(
        chunk({"tool_calls": [{"function": {"name": "f"}}, {"function": {"name": "g"}}]}),
        CALLS,
        call_prefix="p_",
    )
    assert [c.id for c in made.tool_calls] == ["p_call_0", "p_call_1"]


def test_a_legacy_function_call_is_a_call() -> None:
    made = result(
        chunk({"function_call": {"name": "f", "arguments": '{"x"'}}),
        chunk({"function_call": {"arguments": ": 1}"}}),
        chunk(reason="function_call"),
    )
    assert [(c.name, c.arguments) for c in made.tool_calls] == [("f", {"x": 1})]


def test_reasoning_is_told_once_and_signed() -> None:
    detail = {"type": "reasoning.text", "text": "Hm", "signature": "sig", "id": "r1"}
    events = decode(
        chunk({"reasoning_content": "Deep"}),
        chunk({"reasoning": "Hm", "reasoning_details": [{"text": "Hm"}]}),
        chunk({"reasoning": "Hm", "reasoning_details": [detail]}),
        chunk({"reasoning_details": [{"summary": "So"}, {"data": "enc"}]}),
        chunk({"reasoning": ["odd"]}),
        STOP,
    )
    thoughts = [e for e in events if e.type == "reasoning_delta"]  # type: ignore[attr-defined]
    told = [(e.text, e.signature, e.encrypted) for e in thoughts]  # type: ignore[attr-defined]
    assert told == [
        ("Deep", None, None),
        ("Hm", None, None),
        ("", "sig", None),
        ("Hm", None, None),
        ("So", None, None),
        ("", None, "enc"),
        ('["odd"]', None, None),
    ]


def test_content_in_parts_is_text_and_thinking() -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]},
        {"type": "thinking", "thinking": "m"},
        {"type": "thinking", "thinking": None},
        {"type": "text", "text": "Hi"},
        {"type": "text", "text": ""},
        {"type": "reference", "reference_ids": [1]},
        "!",
    ]
    events = decode(chunk({"content": parts}), chunk({"content": parts[3]}), STOP)
    assert types(events)[1:-1] == [
        "reasoning_delta",
        "reasoning_delta",
        "text_delta",
        "raw",
        "text_delta",
        "text_delta",
    ]


def test_a_refusal_is_no_text() -> None:
    made = result(chunk({"refusal": "I can"}), chunk({"refusal": "not."}), STOP)
    assert (made.text, made.refusal) == ("", "I cannot.")


def test_choices_are_kept_apart() -> None:
    other = {"content": "b", "refusal": "no", **call(0, "x", "f", "{}")}
    second = {"index": 1, "delta": other, "finish_reason": "length"}
    events = decode(chunk({"content": "a"}), chunk(choices=[second]), STOP)
    told = [(e.text, e.choice) for e in events if e.type == "text_delta"]  # type: ignore[attr-defined]
    assert told == [("a", 0), ("b", 1)]
    assert events[-1].reason == "stop"  # type: ignore[attr-defined]


def test_sound_images_and_annotations_have_events_of_their_own() -> None:
    sound = base64.b64encode(b"ab").decode()
    citation = {"url": "u", "title": "t", "content": "c", "start_index": 1, "end_index": 2}
    data = f"data:image/png;base64,{base64.b64encode(b'png').decode()}"
    events = decode(
        chunk({"audio": {"data": sound}}),
        chunk({"audio": {"transcript": "hey"}}),
        chunk({"audio": {"id": "x"}}),
        chunk({"annotations": [{"url_citation": citation}]}),
        chunk({"images": [{"image_url": {"url": data}}, {"image_url": {"url": "https://x/y"}}]}),
        STOP,
    )
    assert types(events)[1:-1] == ["audio_delta", "text_delta", "citations", "file", "file"]
    dumped = [e.model_dump(exclude_unset=True) for e in events[1:-1]]
    assert dumped[0] == {"data": b"ab", "mime": "audio/pcm16"}
    assert dumped[2]["items"][0]["end"] == 2
    assert dumped[3:] == [{"data": b"png", "mime": "image/png"}, {"url": "https://x/y"}]


def test_sources_beside_the_answer_are_told_once() -> None:
    found = [{"url": "u", "title": "t"}, {"title": "no address"}]
    made = result(
        chunk({"content": "a"}, search_results=found, citations=["u", "v"]),
        chunk({"content": "b"}, search_results=found),
        chunk({"content": "c"}, citations=["u", "v"]),
        STOP,
    )
    assert [(c.uri, c.title) for c in made.citations] == [("u", "t"), ("v", "")]


def test_azures_verdicts_are_told_where_they_found_something() -> None:
    verdicts = {
        "hate": {"filtered": False, "severity": "safe"},
        "violence": {"filtered": True, "severity": "high"},
        "jailbreak": {"filtered": False, "detected": True},
        "odd": None,
    }
    prompt = [{"prompt_index": 0, "content_filter_results": verdicts}]
    choice = {"index": 0, "finish_reason": None, "content_filter_results": verdicts}
    events = decode(chunk(choices=[], prompt_filter_results=prompt), chunk(choices=[choice]), STOP)
    found = [(e.category, e.action, e.note) for e in events if e.type == "safety"]  # type: ignore[attr-defined]
    assert found == [("violence", "blocked", "high"), ("jailbreak", "detected", "")] * 2


@pytest.mark.parametrize(
    "odd",
    [
        chunk(choices=None),
        chunk(choices=[]),
        b'data: {"choices": [{"delta": null}]}\n\n',
        b'data: {"choices": [{"delta": {"content": null, "role": ""}}]}\n\n',
        chunk({"content": "", "tool_calls": None}),
        chunk({"content": ""}),
        b": OPENROUTER PROCESSING\n\n",
        b"data:\n\n",
        b"data\n\n",
    ],
)
def test_an_empty_chunk_says_nothing(odd: bytes) -> None:
    assert types(decode(chunk({"content": "a"}), odd, STOP)) == ["start", "text_delta", "finish"]


def test_an_unknown_record_is_kept_whole() -> None:
    record = {"object": "chat.completion.progress", "done": 3}
    events = decode(
        b"data: " + json.dumps(record).encode() + b"\n\n", chunk({"content": "a"}), STOP
    )
    assert events[1].record == record  # type: ignore[attr-defined]


def test_every_record_is_kept_when_asked() -> None:
    assert types(decode(chunk({"content": "a"}, "stop"), raw=True)) == [
        "start",
        "raw",
        "text_delta",
        "finish",
    ]


@pytest.mark.parametrize(
    "usage",
    [
        chunk(choices=[], x_groq={"usage": {"prompt_tokens": 7}}),
        chunk(choices=[], usage={"prompt_tokens": 7}),
        chunk(choices=[{"index": 0, "delta": {}, "usage": {"prompt_tokens": 7}}]),
    ],
)
def test_usage_is_found_where_hosts_put_it(usage: bytes) -> None:
    made = result(chunk({"content": "a"}, usage={"prompt_tokens": 1}), usage, STOP)
    assert made.usage is not None
    assert made.usage.input_tokens == 7


def test_deepseeks_cache_is_counted() -> None:
    made = result(chunk({"content": "a"}, usage={"prompt_cache_hit_tokens": 5}), STOP)
    assert made.usage is not None
    assert made.usage.cached_input_tokens == 5


def test_odd_numbers_of_tokens_are_not_told() -> None:
    odd = {"prompt_tokens": -1, "completion_tokens": "many", "total_tokens": True}
    made = result(chunk({"content": "a"}, usage=odd), STOP)
    assert made.usage is not None
    assert made.usage.model_dump(exclude_defaults=True) == {}


def test_usage_of_another_form_is_passed_over() -> None:
    assert result(chunk({"content": "a"}, usage=[1]), STOP).usage is None


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        ({"error": {"message": "no", "code": 429}}, "rate_limit"),
        ({"error": "broke"}, "server"),
        ({"choices": [], "error": {"type": "server_error"}}, "server"),
        ({"choices": [], "x_groq": {"error": "over_capacity"}}, "server"),
        ({"choices": [{"index": 0, "delta": {}, "error": {"code": 502}}]}, "server"),
    ],
)
def test_an_error_record_ends_the_answer(record: dict[str, Any], kind: str) -> None:
    line = b"data: " + json.dumps(record).encode() + b"\n\n"
    assert failure(line).kind == kind
    assert failure(chunk({"content": "a"}), line, STOP).kind == kind


def test_an_event_named_error_is_one() -> None:
    line = b'event: error\ndata: {"message": "over capacity", "code": 503}\n\n'
    assert failure(chunk({"content": "a"}), line).kind == "overloaded"


@pytest.mark.parametrize(
    "line", [b"data: {oops\n\n", b"data: 7\n\n", b"data: []\n\n", b'data: {"choices": 7}\n\n']
)
def test_what_is_no_record_is_a_protocol_error(line: bytes) -> None:
    assert failure(chunk({"content": "a"}), line, STOP).kind == "protocol"


def test_an_error_in_a_list_is_found() -> None:
    assert failure(b'data: [{"error": {"code": 429}}]\n\n').kind == "rate_limit"


def test_an_answer_that_was_not_streamed_is_read() -> None:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "Hi"},
        "finish_reason": "stop",
    }
    assert result(chunk(choices=[choice])).text == "Hi"


def test_nothing_after_done_counts() -> None:
    assert result(chunk({"content": "a"}), STOP, chunk({"content": "b"})).text == "a"


# Request → body.


def body(*messages: Message, quirks: Quirks | None = None, **settings: Any) -> dict[str, Any]:
    request = Request.of(messages or "Hi", **settings)
    made = encode(request, "m", quirks or Quirks()).body
    assert json.loads(json.dumps(made)) == made
    return made


def test_a_plain_request() -> None:
    assert body() == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert encode(Request.of("Hi"), "m", Quirks()).path == "/chat/completions"


def test_settings_go_in_under_the_hosts_names() -> None:
    quirks = Quirks(max_tokens_field="max_completion_tokens", seed_field="random_seed")
    made = body(
        quirks=quirks, temperature=0.0, max_tokens=5, top_p=0.5, top_k=3, stop=("a",), seed=7
    )
    told = {k: made[k] for k in made if k not in ("model", "messages", "stream", "stream_options")}
    assert told == {
        "temperature": 0.0,
        "max_completion_tokens": 5,
        "top_p": 0.5,
        "top_k": 3,
        "stop": ["a"],
        "random_seed": 7,
    }


@pytest.mark.parametrize(
    ("effort", "told"),
    [
        ("reasoning_effort", {"reasoning_effort": "low"}),
        ("reasoning", {"reasoning": {"effort": "low"}}),
        ("enable_thinking", {"enable_thinking": True}),
        (None, {}),
    ],
)
def test_effort_is_asked_for_as_the_host_wants(effort: Any, told: dict[str, Any]) -> None:
    made = body(quirks=Quirks(effort=effort, stream_usage=False), reasoning_effort="low")
    assert {k: v for k, v in made.items() if k not in ("model", "messages", "stream")} == told


def test_tools_and_their_choice() -> None:
    @tool
    def now() -> str:
        """The time."""
        return ""

    made = body(tools=(now,), tool_choice="required", quirks=Quirks(required_choice="any"))
    assert made["tools"] == [{"type": "function", "function": now.declaration()}]
    assert made["tool_choice"] == "any"
    assert body(tool_choice="none")["tool_choice"] == "none"
    named = body(tool_choice="now")["tool_choice"]
    assert named == {"type": "function", "function": {"name": "now"}}


def test_a_schema_is_asked_for_strictly_or_as_json() -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {"n": {"type": "integer"}}}
    strict = {**schema, "required": ["n"], "additionalProperties": False}
    for given, sent, is_strict in ((schema, strict, True), ({"type": "object"}, None, False)):
        assert body(response_schema=given, response_name="x")["response_format"] == {
            "type": "json_schema",
            "json_schema": {"name": "x", "schema": sent or given, "strict": is_strict},
        }
    loose = body(response_schema=schema, quirks=Quirks(json_schema=False))["response_format"]
    assert loose == {"type": "json_object"}


def test_provider_options_are_laid_over_the_body() -> None:
    made = body(provider_options={"stream_options": {"x": 1}, "n": 2})
    assert made["stream_options"] == {"include_usage": True, "x": 1}
    assert made["n"] == 2


def test_a_conversation_with_tools_goes_back() -> None:
    turn = assistant(
        ReasoningPart(text="Hm"),
        TextPart(text="Let me see."),
        ToolCallPart(id="a", name="now", arguments={"x": "é"}),
    )
    made = body(
        system("Be brief."),
        turn,
        tool_result("a", {"t": 1}),
        tool_result("b", None, error="late"),
        tool_result("c", "text"),
        assistant(RefusalPart(text="No.")),
        quirks=Quirks(system_role="developer", reasoning_field="reasoning_content"),
    )
    assert made["messages"] == [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "assistant",
            "content": "Let me see.",
            "reasoning_content": "Hm",
            "tool_calls": [
                {
                    "id": "a",
                    "type": "function",
                    "function": {"name": "now", "arguments": '{"x": "é"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": '{"t": 1}'},
        {"role": "tool", "tool_call_id": "b", "content": '{"error": "late"}'},
        {"role": "tool", "tool_call_id": "c", "content": "text"},
        {"role": "assistant", "content": None, "refusal": "No."},
    ]


def test_parts_of_a_message() -> None:
    made = body(
        Message(
            role="user",
            name="Ann",
            parts=(
                TextPart(text="Look"),
                ImagePart(url="https://x/y.png", detail="low"),
                ImagePart(data=b"png", mime="image/png"),
                AudioPart(data=b"mp3", mime="audio/mpeg"),
                FilePart(file_id="f1"),
                FilePart(data=b"pdf", mime="application/pdf", name="a.pdf"),
            ),
        )
    )
    [message] = made["messages"]
    assert message["name"] == "Ann"
    assert message["content"] == [
        {"type": "text", "text": "Look"},
        {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,cG5n"}},
        {"type": "input_audio", "input_audio": {"data": "bXAz", "format": "mp3"}},
        {"type": "file", "file": {"file_id": "f1"}},
        {
            "type": "file",
            "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,cGRm"},
        },
    ]


@pytest.mark.parametrize(
    "part",
    [
        VideoPart(url="https://x/y.mp4"),
        AudioPart(url="https://x/y.mp3"),
        ImagePart(file_id="f1"),
        FilePart(url="https://x/y.pdf"),
        ToolCallPart(id="a", name="f"),
    ],
)
def test_a_part_that_can_not_be_carried_is_refused(part: Any) -> None:
    with pytest.raises(GaiError, match=f"can not carry {part.type}") as caught:
        body(user("Look", part))
    assert caught.value.kind == "bad_request"


def test_a_tool_turn_holds_results_only() -> None:
    with pytest.raises(GaiError, match="tool results only"):
        body(Message(role="tool", parts="hm"))  # type: ignore[arg-type]  # text becomes a part


def test_a_kept_record_stands_behind_start_and_before_its_error() -> None:
    decoder = ChatDecoder(raw=True)
    events = decoder.feed(chunk({"content": "a"}) + b'data: {"error": "broke"}\n\n')
    assert types(events) == ["start", "raw", "text_delta", "raw"]
    assert events[0].model == "m"  # type: ignore[attr-defined]
    first = ChatDecoder(raw=True)
    assert types(first.feed(b'data: [{"error": "broke"}]\n\n')) == ["start", "raw"]
    assert first.fault is not None


def test_a_record_that_no_rule_knows_is_kept_once_when_all_are() -> None:
    odd = b'data: {"object": "chat.completion.progress"}\n\n'
    assert types(decode(odd, STOP, raw=True)) == ["start", "raw", "raw", "finish"]


def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gai_rx.dialects.contract.STREAM_LIMIT", 200)
    error = failure(*[chunk({"content": "a"})] * 3)
    assert (error.kind, "200 bytes" in str(error)) == ("protocol", True)


def test_a_filter_result_of_another_form_is_passed_over() -> None:
    odd = chunk(choices=[], prompt_filter_results=[{"content_filter_results": None}])
    assert types(decode(odd, chunk({"content": "a"}), STOP)) == ["start", "text_delta", "finish"]
