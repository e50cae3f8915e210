"""The Responses API: everything is told twice, and said once; and what is asked."""

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
    assistant,
    system,
    tool,
    tool_result,
    user,
)
from gai_rx.dialects import Quirks
from gai_rx.dialects.openai_responses import ResponsesDecoder, encode
from gai_rx.errors import GaiError
from gai_rx.events import StreamEvent
from gai_rx.result import Result, ResultBuilder


def record(kind: str, **rest: Any) -> bytes:
    body = {"type": f"response.{kind}" if kind != "error" else kind, **rest}
    return f"event: {body['type']}\ndata: {json.dumps(body)}\n\n".encode()


def response(kind: str, **rest: Any) -> bytes:
    return record(kind, response={"id": "r1", "model": "gpt", "status": kind, **rest})


USAGE = {
    "input_tokens": 9,
    "output_tokens": 7,
    "total_tokens": 16,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens_details": {"reasoning_tokens": 5},
}
CREATED = response("created")
COMPLETED = response("completed")


def item(kind: str, type: str, index: int = 0, **rest: Any) -> bytes:
    return record(f"output_item.{kind}", output_index=index, item={"type": type, **rest})


def text(said: str, **rest: Any) -> bytes:
    place = {"output_index": 0, "content_index": 0} | rest
    return record("output_text.delta", delta=said, **place)


def message(*parts: dict[str, Any], index: int = 0) -> bytes:
    return item("done", "message", index, content=list(parts))


def said(text: str, **rest: Any) -> dict[str, Any]:
    return {"type": "output_text", "text": text, **rest}


def decode(*pieces: bytes) -> list[StreamEvent]:
    decoder = ResponsesDecoder()
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


def test_text_is_said_once_though_it_is_told_four_times() -> None:
    made = result(
        CREATED,
        response("in_progress"),
        item("added", "message"),
        record("content_part.added", output_index=0, content_index=0, part=said("")),
        text("Hel"),
        text(""),
        text("lo"),
        record("output_text.done", output_index=0, content_index=0, text="Hello"),
        record("content_part.done", output_index=0, content_index=0, part=said("Hello")),
        message(said("Hello")),
        response("completed", usage=USAGE),
    )
    assert (made.text, made.finish_reason, made.raw_reason) == ("Hello", "stop", "completed")
    assert made.usage is not None
    assert made.usage.model_dump(exclude_defaults=True, exclude={"type"}) == {
        "input_tokens": 9,
        "output_tokens": 7,
        "total_tokens": 16,
        "cached_input_tokens": 4,
        "reasoning_tokens": 5,
    }


def test_what_the_deltas_left_out_is_made_good() -> None:
    done = record("output_text.done", output_index=0, content_index=0, text="Hello")
    assert result(CREATED, text("Hel"), done, COMPLETED).text == "Hello"
    assert result(CREATED, text("Hel"), message(said("Hello")), COMPLETED).text == "Hello"
    assert result(CREATED, message(said("Hel"), said("lo")), COMPLETED).text == "Hello"
    assert result(CREATED, message({"type": "output_text"}), COMPLETED).text == ""


def test_parts_that_are_numbered_otherwise_at_the_end_are_not_repeated() -> None:
    assert (
        result(CREATED, text("Hello", content_index=1), message(said("Hello")), COMPLETED).text
        == "Hello"
    )


def test_items_that_share_a_number_are_kept_apart() -> None:
    thought = record(
        "reasoning_summary_text.delta", output_index=0, summary_index=0, delta="Hmm, long"
    )
    done = item("done", "reasoning", id="rs", summary=[{"text": "Hmm, long"}])
    first = message(said("one"))
    made = result(
        CREATED, thought, done, item("added", "message"), text("one"), first,
        item("added", "message"), message(said("two")), COMPLETED,
    )  # fmt: skip
    assert (made.reasoning, made.text) == ("Hmm, long", "onetwo")


def test_an_event_that_is_sent_twice_counts_once() -> None:
    once = text("a", sequence_number=3)
    assert result(CREATED, once, once, text("a", sequence_number=4), COMPLETED).text == "aa"
    assert result(CREATED, text("a"), text("a"), COMPLETED).text == "aa"


def test_thinking_is_kept_with_the_last_opaque_data() -> None:
    events = decode(
        CREATED,
        item("added", "reasoning", id="rs", encrypted_content="ENC"),
        record(
            "reasoning_summary_text.delta",
            item_id="rs",
            output_index=0,
            summary_index=0,
            delta="Hm",
        ),
        record(
            "reasoning_summary_text.delta", item_id="rs", output_index=0, summary_index=0, delta=""
        ),
        record(
            "reasoning_summary_text.done", item_id="rs", output_index=0, summary_index=0, text="Hm?"
        ),
        record(
            "reasoning_summary_text.done", item_id="rs", output_index=0, summary_index=0, text="Hm?"
        ),
        record("reasoning_text.delta", item_id="rs", output_index=0, delta="So"),
        item(
            "done",
            "reasoning",
            id="rs",
            encrypted_content="ENC2",
            summary=[{"text": "Hm?"}, {"text": "And"}],
            content=[{"text": "So"}],
        ),
        COMPLETED,
    )
    builder = ResultBuilder()
    builder.extend(events)
    made = builder.result()
    assert made.reasoning == "Hm?SoAnd"
    [turn] = made.messages
    assert turn.parts == (ReasoningPart(text="Hm?SoAnd", encrypted="ENC2", id="rs"),)


def test_opaque_data_that_came_only_first_is_kept() -> None:
    made = result(
        CREATED,
        item("added", "reasoning", id="rs", encrypted_content="ENC"),
        item("done", "reasoning", id="rs"),
        item("added", "reasoning", 1),
        item("done", "reasoning", 1),
        COMPLETED,
    )
    assert [p.encrypted for p in made.messages[0].parts] == ["ENC"]  # type: ignore[union-attr]


def call(kind: str, index: int = 0, call_id: str | None = "c1", **rest: Any) -> bytes:
    told = {"call_id": call_id} if call_id else {}
    return item(kind, "function_call", index, id=f"fc_{kind}", name="f", **told, **rest)


def arguments(kind: str, index: int = 0, **rest: Any) -> bytes:
    return record(f"function_call_arguments.{kind}", output_index=index, **rest)


@pytest.mark.parametrize(
    "pieces",
    [
        [
            call("added"),
            arguments("delta", delta='{"x"'),
            arguments("delta", delta=": 1}"),
            call("done", arguments='{"x": 1}'),
        ],
        [call("added"), arguments("delta", delta=""), arguments("done", arguments='{"x": 1}')],
        [call("done", arguments='{"x": 1}')],
        [call("added", arguments='{"x": 1}')],
        [call("added"), arguments("delta", delta='{"x"'), call("done", arguments='{"x": 1}')],
        [call("added"), arguments("delta", delta='{"x": 1}'), call("done", arguments="")],
    ],
)
def test_a_call_is_told_once_under_its_call_id(pieces: list[bytes]) -> None:
    made = result(CREATED, *pieces, COMPLETED)
    assert [(c.id, c.name, c.arguments) for c in made.tool_calls] == [("c1", "f", {"x": 1})]
    assert made.finish_reason == "tool_calls"


def test_parallel_calls_keep_their_order() -> None:
    made = result(
        CREATED,
        call("added", 0, "a"),
        call("added", 1, "b"),
        arguments("delta", 1, delta='{"y": 2}'),
        arguments("delta", 0, delta='{"x": 1}'),
        COMPLETED,
    )
    assert [(c.id, c.arguments) for c in made.tool_calls] == [("a", {"x": 1}), ("b", {"y": 2})]


def test_a_call_without_a_call_id_takes_the_items() -> None:
    made = result(CREATED, call("added", call_id=None), arguments("delta", delta="{}"), COMPLETED)
    assert [c.id for c in made.tool_calls] == ["fc_added"]


def test_a_call_that_is_only_done_keeps_no_others_arguments() -> None:
    made = result(
        CREATED,
        call("done", 0, "a", arguments='{"x": 1}'),
        call("done", 0, "b", arguments="{}"),
        COMPLETED,
    )
    assert [(c.id, c.arguments) for c in made.tool_calls] == [("a", {"x": 1}), ("b", {})]


def test_arguments_that_are_an_object_are_taken() -> None:
    made = result(
        CREATED, call("added", arguments={"x": 1}), call("done", arguments={"x": 1}), COMPLETED
    )
    assert made.tool_calls[0].arguments == {"x": 1}


def test_a_tool_of_free_text_gets_it_as_it_is() -> None:
    made = result(
        CREATED,
        item("added", "custom_tool_call", id="ctc", call_id="c1", name="sql", input=""),
        record("custom_tool_call_input.delta", output_index=0, delta="SELECT 1"),
        record("custom_tool_call_input.done", output_index=0, input="SELECT 1"),
        item("done", "custom_tool_call", id="ctc", call_id="c1", name="sql", input="SELECT 1"),
        COMPLETED,
    )
    [one] = made.tool_calls
    assert (one.arguments, one.arguments_text, one.invalid) == ({}, "SELECT 1", None)


def test_tools_of_the_provider_are_told_with_their_results() -> None:
    picture = base64.b64encode(b"png").decode()
    events = decode(
        CREATED,
        record("web_search_call.searching", output_index=0),
        item("done", "web_search_call", id="w", action={"query": "x"}, status="completed"),
        item("done", "code_interpreter_call", id="c", code="1+1", outputs=[{"logs": "2"}]),
        item("done", "mcp_call", id="m", name="ask", arguments='{"q": 1}', error={"code": 3}),
        item("done", "file_search_call", id="f", status="failed"),
        item(
            "done",
            "image_generation_call",
            id="i",
            prompt="cat",
            result=picture,
            output_format="webp",
        ),
        COMPLETED,
    )
    calls = [e for e in events if e.type == "tool_call"]  # type: ignore[attr-defined]
    results = [e for e in events if e.type == "tool_result"]  # type: ignore[attr-defined]
    files = [e for e in events if e.type == "file"]  # type: ignore[attr-defined]
    assert [(c.id, c.name, c.arguments, c.provider_executed) for c in calls] == [  # type: ignore[attr-defined]
        ("w", "web_search", {"query": "x"}, True),
        ("c", "code_interpreter", {"code": "1+1"}, True),
        ("m", "ask", {"arguments": '{"q": 1}'}, True),
        ("f", "file_search", {}, True),
        ("i", "image_generation", {"prompt": "cat"}, True),
    ]
    assert [(r.result, r.error) for r in results] == [  # type: ignore[attr-defined]
        (None, None),
        ([{"logs": "2"}], None),
        (None, '{"code": 3}'),
        (None, "failed"),
        (None, None),
    ]
    assert [(f.data, f.mime) for f in files] == [(b"png", "image/webp")]  # type: ignore[attr-defined]


def test_annotations_are_told_once() -> None:
    web = {"type": "url_citation", "url": "u", "title": "t", "start_index": 1, "end_index": 2}
    file = {"type": "file_citation", "file_id": "f", "filename": "n"}
    nested = {"type": "url_citation", "url_citation": {"url": "v"}}
    added = record("output_text.annotation.added", output_index=0, content_index=0, annotation=web)
    made = result(
        CREATED, text("a"), added, message(said("a", annotations=[web, file, nested])), COMPLETED
    )
    assert [(c.uri, c.title, c.start, c.end) for c in made.citations] == [
        ("u", "t", 1, 2),
        ("f", "n", None, None),
        ("v", "", None, None),
    ]


def test_a_refusal_is_no_text() -> None:
    made = result(
        CREATED,
        record("refusal.delta", output_index=0, content_index=0, delta="I can"),
        record("refusal.done", output_index=0, content_index=0, refusal="I cannot."),
        message({"type": "refusal", "refusal": "I cannot."}),
        COMPLETED,
    )
    assert (made.text, made.refusal, made.finish_reason) == ("", "I cannot.", "refusal")


def test_sound_is_told() -> None:
    sound = record("audio.delta", delta=base64.b64encode(b"ab").decode())
    assert decode(CREATED, sound, COMPLETED)[1].data == b"ab"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("details", "reason", "raw"),
    [
        ({"reason": "max_output_tokens"}, "length", "max_output_tokens"),
        ({"reason": "content_filter"}, "content_filter", "content_filter"),
        ({"reason": "new"}, "other", "new"),
        (None, "other", "incomplete"),
    ],
)
def test_an_incomplete_answer_says_why_and_runs_nothing(
    details: Any, reason: str, raw: str
) -> None:
    last = response("incomplete", incomplete_details=details)
    made = result(CREATED, text("a"), call("done", 1, arguments="{}"), last)
    assert (made.text, made.finish_reason, made.raw_reason) == ("a", reason, raw)
    assert made.tool_calls[0].invalid is not None


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        (response("failed", error={"code": "server_error", "message": "x"}), "server"),
        (response("failed", error={"code": "rate_limit_exceeded"}, usage=USAGE), "rate_limit"),
        (response("failed"), "server"),
        (record("cancelled"), "server"),
        (record("error", code="server_error", message="x"), "server"),
        (record("error", error={"type": "invalid_request_error"}), "bad_request"),
        (b'data: {"error": {"code": 429}}\n\n', "rate_limit"),
    ],
)
def test_a_failure_inside_the_answer_is_classified(last: bytes, kind: str) -> None:
    assert failure(last).kind == kind
    assert failure(CREATED, text("a"), last).kind == kind


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [CREATED],
        [CREATED, text("a")],
        [CREATED, message(said("a"))],
        [CREATED, b"data: [DONE]\n\n"],
    ],
)
def test_without_its_last_event_the_answer_is_truncated(pieces: list[bytes]) -> None:
    assert failure(*pieces).kind == "truncated"


def test_done_after_the_end_is_ignored() -> None:
    assert result(CREATED, text("a"), COMPLETED, b"data: [DONE]\n\n").complete


def test_what_is_not_known_is_kept_whole_and_progress_is_not() -> None:
    events = types(
        CREATED,
        record("hologram.delta", delta="x"),
        b'data: {"type": "keepalive"}\n\n',
        record("mcp_list_tools.in_progress"),
        item("added", "hologram"),
        item("done", "hologram"),
        COMPLETED,
    )
    assert events == ["start", "raw", "raw", "finish"]


def test_an_answer_may_begin_with_an_item() -> None:
    assert types(message(said("a")), COMPLETED) == ["start", "text_delta", "finish"]


def test_usage_of_another_form_is_not_told() -> None:
    assert result(CREATED, response("completed", usage=[1])).usage is None


# Request → body.


def body(*messages: Message, **settings: Any) -> dict[str, Any]:
    made = encode(Request.of(messages or "Hi", **settings), "m", Quirks()).body
    assert json.loads(json.dumps(made)) == made
    return made


def test_a_plain_request() -> None:
    assert body() == {
        "model": "m",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
        "stream": True,
    }
    assert encode(Request.of("Hi"), "m", Quirks()).path == "/responses"


def test_settings_go_in_under_their_names() -> None:
    made = body(
        system("Be brief."),
        user("Hi"),
        system("And kind."),
        max_tokens=5,
        temperature=0.1,
        top_p=0.2,
        reasoning_effort="low",
        provider_options={"store": False, "reasoning": {"summary": "auto"}},
    )
    made.pop("input")
    assert made == {
        "model": "m",
        "stream": True,
        "instructions": "Be brief.\n\nAnd kind.",
        "max_output_tokens": 5,
        "temperature": 0.1,
        "top_p": 0.2,
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "store": False,
    }


@pytest.mark.parametrize("setting", [{"stop": ("a",)}, {"seed": 0}, {"top_k": 3}])
def test_settings_that_the_api_lacks_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(GaiError, match="Responses API has no") as caught:
        body(**setting)
    assert caught.value.kind == "bad_request"


def test_tools_their_choice_and_a_schema() -> None:
    @tool
    def now() -> str:
        """The time."""
        return ""

    made = body(tools=(now,), tool_choice="now", response_schema={"type": "object"})
    assert made["tools"] == [{"type": "function", **now.declaration(), "strict": False}]
    assert made["tool_choice"] == {"type": "function", "name": "now"}
    assert made["text"]["format"] == {
        "type": "json_schema",
        "name": "answer",
        "schema": {"type": "object"},
        "strict": True,
    }
    assert body(tool_choice="required")["tool_choice"] == "required"


def test_a_conversation_goes_back_item_by_item() -> None:
    made = body(
        assistant(
            ReasoningPart(text="Hm", encrypted="ENC", id="rs"),
            TextPart(text="Let me see."),
            ToolCallPart(id="c1", name="now", arguments={"x": 1}),
        ),
        assistant(ReasoningPart(), RefusalPart(text="No.")),
        tool_result("c1", {"t": 1}),
    )
    assert made["input"] == [
        {
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "Hm"}],
            "id": "rs",
            "encrypted_content": "ENC",
        },
        {"role": "assistant", "content": [{"type": "output_text", "text": "Let me see."}]},
        {"type": "function_call", "call_id": "c1", "name": "now", "arguments": '{"x": 1}'},
        {"type": "reasoning", "summary": []},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"type": "function_call_output", "call_id": "c1", "output": '{"t": 1}'},
    ]


def test_pictures_and_files() -> None:
    [turn] = body(
        user(
            ImagePart(url="https://x/y.png", detail="low"),
            ImagePart(data=b"png", mime="image/png"),
            ImagePart(file_id="i1"),
            FilePart(file_id="f1"),
            FilePart(url="https://x/y.pdf"),
            FilePart(data=b"pdf", mime="application/pdf", name="a.pdf"),
        )
    )["input"]
    assert turn["content"] == [
        {"type": "input_image", "detail": "low", "image_url": "https://x/y.png"},
        {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,cG5n"},
        {"type": "input_image", "detail": "auto", "file_id": "i1"},
        {"type": "input_file", "file_id": "f1"},
        {"type": "input_file", "file_url": "https://x/y.pdf"},
        {
            "type": "input_file",
            "filename": "a.pdf",
            "file_data": "data:application/pdf;base64,cGRm",
        },
    ]


def test_a_part_that_can_not_be_carried_is_refused() -> None:
    with pytest.raises(GaiError, match="can not carry audio by url"):
        body(user(AudioPart(url="https://x/y.mp3")))
