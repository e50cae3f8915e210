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
from gai_rx.events import Finish, StreamEvent, ToolCallDelta
from gai_rx.result import Result
from gai_rx.result_builder import ResultBuilder


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
        ("m", "ask", {"q": 1}, True),
        ("f", "file_search", {}, True),
        ("i", "image_generation", {"prompt": "cat", "output_format": "webp"}, True),
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
        record("refusal.delta", output_index=0, content_index=0, delta=""),
        record("refusal.delta", output_index=0, content_index=0, delta="I can"),
        record("refusal.done", output_index=0, content_index=0, refusal="I cannot."),
        message({"type": "refusal", "refusal": "I cannot."}, {"type": "hologram"}),
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
        system("And kind."),
        user("Hi"),
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


@pytest.mark.parametrize("setting", [{"stop": ("a",)}, {"seed": 1}, {"top_k": 3}])
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
        "strict": False,
    }
    closed = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    made = body(response_schema={"type": "object", "properties": {}})["text"]["format"]
    assert (made["schema"], made["strict"]) == (closed, True)
    assert body(tool_choice="required")["tool_choice"] == "required"


def test_a_conversation_goes_back_item_by_item() -> None:
    made = body(
        assistant(
            ReasoningPart(text="Hm", encrypted="ENC", id="rs"),
            TextPart(text="Let me "),
            TextPart(text="see."),
            ToolCallPart(id="c1", name="now", arguments={"x": 1}),
        ),
        assistant(ReasoningPart(), RefusalPart(text="No.")),
        tool_result("c1", {"t": 1}),
    )
    assert made["input"] == [
        {
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "Hm"}],
            "encrypted_content": "ENC",
        },
        {"role": "assistant", "content": "Let me see."},
        {"type": "function_call", "call_id": "c1", "name": "now", "arguments": '{"x": 1}'},
        {"role": "assistant", "content": "No."},
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


# Numbers of events.


def numbered(*pieces: bytes, first: int = 0) -> list[bytes]:
    """The same events, numbered as OpenAI numbers them."""
    made = []
    for number, piece in enumerate(pieces, first):
        told = json.loads(piece.partition(b"data: ")[2])
        made.append(b"data: " + json.dumps({**told, "sequence_number": number}).encode() + b"\n\n")
    return made


HELLO = numbered(CREATED, response("in_progress"), text("Hel"), text("lo"), COMPLETED)


def test_events_that_are_sent_again_count_once() -> None:
    created, progress, one, two, end = HELLO
    assert result(created, progress, one, one, two, progress, one, two, end).text == "Hello"
    assert result(*numbered(CREATED, text("a"), text("b"), COMPLETED, first=7)).text == "ab"


def test_a_lost_event_is_noticed_before_anything_after_it_is_told() -> None:
    created, progress, one, two, end = HELLO
    decoder = ResponsesDecoder()
    events = decoder.feed(created + progress + one + end)
    assert [e.type for e in events] == ["start", "text_delta"]  # type: ignore[attr-defined]
    assert decoder.fault is not None
    assert (decoder.fault.kind, decoder.fault.message) == (
        "protocol",
        "events were lost: after number 2 came 4",
    )
    assert failure(created, progress, two).kind == "protocol"


@pytest.mark.parametrize("numbers", [[0] * 6, [-1] * 6, [0, 1, 0, 0, 0, 0], [4, 9, 2, None, 7, 1]])
def test_a_server_that_does_not_count_is_not_held_to_its_numbers(numbers: list[Any]) -> None:
    pieces = [CREATED, item("added", "message"), text("a"), text("b"), text("c"), COMPLETED]
    given = [
        numbered(piece, first=number)[0] if number is not None else piece
        for piece, number in zip(pieces, numbers, strict=True)
    ]
    assert result(*given).text == "abc"


def test_keep_alives_count_or_do_not_count() -> None:
    alive = b'data: {"type": "keepalive", "sequence_number": %d}\n\n'
    created, progress, one, two, end = HELLO
    assert result(created, progress, alive % 0, one, two, alive % 99, end).text == "Hello"
    last = numbered(COMPLETED, first=5)[0]
    assert result(created, progress, one, two, alive % 4, last).text == "Hello"


def test_the_last_event_counts_whatever_its_number() -> None:
    created, progress, one, two, _ = HELLO
    end = numbered(COMPLETED, first=1)[0]
    assert result(created, progress, one, two, end).text == "Hello"


# Text that is compared.


@pytest.mark.parametrize("told", ["Hello", "HelloHello", "Help"])
def test_deltas_that_are_not_the_whole_text_fail(told: str) -> None:
    done = record("output_text.done", output_index=0, content_index=0, text=told)
    assert failure(CREATED, text("Hel"), text("o"), done).kind == "protocol"
    assert failure(CREATED, text("Hel"), text("o"), message(said(told)), COMPLETED)


def test_space_that_is_cut_off_at_the_end_is_no_difference() -> None:
    done = record("output_text.done", output_index=0, content_index=0, text="a b")
    assert result(CREATED, text("\na  b "), done, COMPLETED).text == "\na  b "
    untold = record("output_text.done", output_index=0, content_index=0)
    assert result(CREATED, text("ab"), untold, COMPLETED).text == "ab"


def test_a_character_that_was_cut_in_two_is_compared_whole() -> None:
    half = b'data: {"type": "response.output_text.delta", "output_index": 0, "delta": "\\u%s"}\n\n'
    done = record("output_text.done", output_index=0, content_index=0, text="\U0001f600")
    made = result(CREATED, half % b"d83d", half % b"de00", done, COMPLETED)
    assert made.text == "\U0001f600"


def test_log_probabilities_are_kept_beside_their_text() -> None:
    probable = [{"token": "a", "logprob": -0.1}]
    pieces = numbered(CREATED, text("a"), text("b", logprobs=probable), text("c"), COMPLETED)
    told = [e.metadata for e in decode(*pieces)[1:-1]]
    assert told == [{}, {"logprobs": probable}, {}]


@pytest.mark.parametrize(
    "broken",
    [
        text(1),  # type: ignore[arg-type]  # what a broken server sends
        record("output_text.done", output_index=0, text=5),
        record("refusal.delta", output_index=0, delta=[]),
        record("reasoning_text.delta", output_index=0, delta={}),
        record("reasoning_text.done", output_index=0, text=5),
        arguments("delta", delta="{}"),
        record("audio.delta", delta="a"),
        item("done", "image_generation_call", id="i", result="a"),
        item("done", "compaction"),
        record("output_item.done", item=None),
        b'data: {"type": "response.output_item.done"}\n\n',
    ],
)
def test_an_event_of_another_form_is_a_protocol_error(broken: bytes) -> None:
    assert failure(CREATED, broken, COMPLETED).kind == "protocol"


def test_an_answer_that_is_told_only_as_a_whole_is_read() -> None:
    call_item = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
    output = [{"type": "message", "content": [said("Hi")]}, call_item]
    made = result(CREATED, response("completed", output=output))
    assert (made.text, [c.id for c in made.tool_calls]) == ("Hi", ["c1"])
    streamed = result(CREATED, text("Hi"), response("completed", output=output))
    assert (streamed.text, [c.id for c in streamed.tool_calls]) == ("Hi", ["c1"])


def test_arguments_that_only_the_whole_response_tells_are_taken() -> None:
    output = [{"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"x": 1}'}]
    last = response("completed", output=output)
    made = result(CREATED, call("added"), arguments("delta", delta='{"x"'), last)
    assert [c.arguments for c in made.tool_calls] == [{"x": 1}]
    ended = result(CREATED, call("added"), call("done", arguments='{"x": 1}'), last)
    assert len(ended.tool_calls) == 1


def test_a_call_that_is_done_twice_counts_once() -> None:
    done = call("done", arguments="{}")
    assert len(result(CREATED, done, done, COMPLETED).tool_calls) == 1
    late = arguments("done", arguments='{"x": 1}')
    assert result(CREATED, done, late, COMPLETED).tool_calls[0].arguments == {}


def test_calls_that_share_a_place_get_their_own_arguments() -> None:
    made = result(
        CREATED,
        call("added", 0, "a"),
        call("added", 0, "b"),
        call("done", 0, "a", arguments='{"x": 1}'),
        call("done", 0, "b", arguments='{"y": 2}'),
        COMPLETED,
    )
    assert [(c.id, c.arguments) for c in made.tool_calls] == [("a", {"x": 1}), ("b", {"y": 2})]


def test_a_call_that_the_provider_marks_incomplete_does_not_run() -> None:
    cut = call("done", 0, "a", arguments="{}", status="incomplete")
    made = result(CREATED, cut, call("done", 1, "b", arguments="{}"), COMPLETED)
    assert [c.invalid is None for c in made.tool_calls] == [False, True]


# Tools that the provider runs.


def events_of(kind: str, *pieces: bytes) -> list[Any]:
    return [e for e in decode(*pieces) if e.type == kind]  # type: ignore[attr-defined]


def test_code_and_arguments_of_the_providers_tools_are_told_as_they_are_written() -> None:
    pieces = [
        CREATED,
        item("added", "code_interpreter_call", 0, id="ci", code=""),
        record("code_interpreter_call_code.delta", output_index=0, delta="1+"),
        record("code_interpreter_call_code.delta", output_index=0, delta="1"),
        record("code_interpreter_call_code.done", output_index=0, code="1+1"),
        item("done", "code_interpreter_call", 0, id="ci", code="1+1", container_id="cn"),
        item("added", "mcp_call", 1, id="mc", name="ask"),
        record("mcp_call_arguments.done", output_index=1, arguments="[1]"),
        item("done", "mcp_call", 1, id="mc", name="ask", arguments="[1]", output="42"),
        item("done", "mcp_call", 2, id="md", name="ask", arguments="{", error={"message": "no"}),
        COMPLETED,
    ]
    told = [
        (e.id, e.name, e.arguments, e.index) for e in decode(*pieces) if type(e) is ToolCallDelta
    ]
    assert told == [
        ("ci", "code_interpreter", "1+", 0),
        ("ci", "code_interpreter", "1", 0),
        ("mc", "ask", "[1]", 1),
    ]
    calls = [(c.arguments, c.arguments_text) for c in events_of("tool_call", *pieces)]
    assert calls == [({"code": "1+1", "container_id": "cn"}, "1+1"), ({}, "[1]"), ({}, "{")]
    results = [(r.result, r.error) for r in events_of("tool_result", *pieces)]
    assert results == [(None, None), ("42", None), (None, "no")]
    assert decode(*pieces)[-1] == Finish(reason="stop", raw_reason="completed")


def test_a_search_for_tools_is_answered_by_its_own_item() -> None:
    pieces = [
        CREATED,
        item("added", "tool_search_call", 0, id="ts", call_id=None, execution="server"),
        item("done", "tool_search_call", 0, id="ts", execution="server", arguments={"q": "x"}),
        item("done", "tool_search_output", 1, id="to", call_id=None, tools=[{"name": "f"}]),
        item("done", "shell_call", 2, id="sh", call_id="s1", action={"commands": ["ls"]},
             environment={"type": "container_reference"}),
        item("done", "shell_call_output", 3, id="so", call_id="s1", output=[{"stdout": "."}]),
        COMPLETED,
    ]  # fmt: skip
    assert [(c.id, c.name, c.arguments) for c in events_of("tool_call", *pieces)] == [
        ("ts", "tool_search", {"q": "x"}),
        ("s1", "shell", {"commands": ["ls"]}),
    ]
    assert [(r.id, r.name, r.result) for r in events_of("tool_result", *pieces)] == [
        ("ts", "tool_search", [{"name": "f"}]),
        ("s1", "shell", [{"stdout": "."}]),
    ]


@pytest.mark.parametrize(
    ("tools", "provider"),
    [
        ([{"type": "x_search"}], True),
        ([{"type": "x_search"}, {"type": "custom", "name": "sql"}], True),
        ([{"type": "custom", "name": "look"}], False),
        ([{"type": "namespace", "tools": []}], False),
        ([], False),
        (None, False),
    ],
)
def test_a_call_of_a_tool_that_no_one_offered_is_the_providers_own(
    tools: Any, provider: bool
) -> None:
    told = {"id": "ctc", "call_id": "c1", "name": "look", "input": '{"q": 1}'}
    pieces = [
        response("created", tools=tools),
        item("added", "custom_tool_call", 0, **{**told, "input": ""}),
        record("custom_tool_call_input.delta", output_index=0, delta='{"q": 1}'),
        item("done", "custom_tool_call", 0, **told),
        item("added", "message", 1),
        text("Found.", output_index=1),
        COMPLETED,
    ]
    made = result(*pieces)
    assert [c.provider_executed for c in made.tool_calls] == [provider]
    assert made.finish_reason == ("stop" if provider else "tool_calls")


def test_tools_that_the_caller_must_run_in_openais_own_form_are_kept_whole() -> None:
    for kind in ("local_shell_call", "apply_patch_call", "computer_call", "mcp_approval_request"):
        pieces = [CREATED, item("added", kind), item("done", kind, id="x"), COMPLETED]
        assert types(*pieces) == ["start", "raw", "finish"]
    here = item("done", "shell_call", id="x", environment={"type": "local"})
    assert types(CREATED, here, COMPLETED) == ["start", "raw", "finish"]


def test_a_tool_list_that_can_not_be_had_is_an_error_that_ends_nothing() -> None:
    listed = item("done", "mcp_list_tools", id="l", tools=[])
    failed = item("done", "mcp_list_tools", id="l", server_label="docs", error="no answer")
    [error] = events_of("error", CREATED, listed, failed, COMPLETED)
    assert (error.kind, error.message, error.details) == (
        "tool",
        "no answer",
        {"server_label": "docs"},
    )


def test_pictures_come_by_their_bytes_or_address() -> None:
    data = base64.b64encode(b"png").decode()
    partial = record(
        "image_generation_call.partial_image",
        output_index=0,
        partial_image_index=1,
        partial_image_b64=data,
    )
    outputs = [
        {"type": "logs", "logs": ""},
        {"type": "image", "url": f"data:image/gif;base64,{data}"},
    ]
    files = events_of(
        "file",
        CREATED,
        partial,
        item("done", "image_generation_call", 0, id="i", result="https://x/y.png"),
        item("done", "code_interpreter_call", 1, id="c", code="plot", outputs=outputs),
        COMPLETED,
    )
    assert [(f.data, f.url, f.mime, dict(f.metadata)) for f in files] == [
        (b"png", None, "image/png", {"partial_image_index": 1}),
        (None, "https://x/y.png", "", {}),
        (b"png", None, "image/gif", {}),
    ]


def test_a_transcript_is_text() -> None:
    pieces = [record("audio.transcript.delta", delta=d) for d in ("Hi", "", "!")]
    assert result(CREATED, *pieces, record("audio.transcript.done"), COMPLETED).text == "Hi!"


def test_what_moderation_and_filters_find_is_told() -> None:
    found = {"categories": {"hate": True, "sexual": False}, "category_scores": {"hate": 0.9}}
    filters = [
        {
            "source_type": "completion",
            "content_filter_results": {
                "violence": {"filtered": True},
                "jailbreak": {"filtered": False, "detected": True},
                "hate": {"filtered": False},
            },
        },
        {"source_type": "prompt", "content_filter_results": None},
    ]
    checked = {"input": found, "output": {"type": "error", "code": "x", "message": "y"}}
    last = response("completed", moderation=checked, content_filters=filters)
    told = [(s.category, s.action, s.score, s.note) for s in events_of("safety", CREATED, last)]
    assert told == [
        ("hate", "detected", 0.9, "input"),
        ("violence", "blocked", None, "completion"),
        ("jailbreak", "detected", None, "completion"),
    ]


def test_ids_of_cited_files_are_kept() -> None:
    note = {"type": "container_file_citation", "file_id": "f", "container_id": "cn"}
    [cited] = events_of("citations", CREATED, message(said("a", annotations=[note])), COMPLETED)
    assert cited.metadata == {"annotations": [note]}


def test_only_the_form_of_thinking_that_was_begun_is_made_whole() -> None:
    """Some servers stream the thoughts and repeat them as a summary."""
    delta = record("reasoning_text.delta", output_index=0, content_index=0, delta="Hm")
    done = item("done", "reasoning", id="rs", summary=[{"text": "Hm"}], content=[{"text": "Hm."}])
    assert result(CREATED, delta, done, COMPLETED).reasoning == "Hm."
    assert result(CREATED, done, COMPLETED).reasoning == "Hm"


# Ends.


@pytest.mark.parametrize(
    ("last", "reason", "raw"),
    [
        (record("completed"), "stop", "completed"),
        (record("completed", response={"status": "in_progress"}), "stop", "completed"),
        (record("done", response={"status": "completed"}), "stop", "completed"),
        (
            record(
                "completed",
                response={"status": "incomplete", "incomplete_details": {"reason": "max_tokens"}},
            ),
            "length",
            "max_tokens",
        ),
    ],
)
def test_the_status_wins_over_the_name_of_the_last_event(
    last: bytes, reason: str, raw: str
) -> None:
    made = result(CREATED, text("a"), last)
    assert (made.finish_reason, made.raw_reason) == (reason, raw)


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_failed_response_is_none_that_completed(status: str) -> None:
    assert failure(CREATED, record("completed", response={"status": status})).kind == "server"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("invalid_prompt", "bad_request"),
        ("invalid_image_url", "bad_request"),
        ("image_too_large", "bad_request"),
        ("data_residency_mismatch", "bad_request"),
        ("image_content_policy_violation", "content_filter"),
        ("bio_policy", "content_filter"),
        ("vector_store_timeout", "timeout"),
        ("context_length_exceeded", "context_length"),
        ("insufficient_quota", "quota"),
        (None, "server"),
    ],
)
def test_a_failed_response_is_classified_by_its_code(code: str | None, kind: str) -> None:
    told = {"code": code, "message": "x"}
    assert failure(response("failed", error=told)).kind == kind
    assert failure(record("error", **told)).kind == kind
    assert failure(record("error", error=told)).kind == kind


@pytest.mark.parametrize(
    "told", [b'{"error": "x"}', b'{"type": "error", "error": "x"}', b'{"message": "x"}']
)
def test_an_error_may_be_plain_text(told: bytes) -> None:
    assert "x" in failure(b"data: " + told + b"\n\n").message


def test_the_name_of_the_event_stands_in_for_its_type() -> None:
    untyped = b'event: response.output_text.delta\ndata: {"output_index": 0, "delta": "a"}\n\n'
    assert result(CREATED, untyped, COMPLETED).text == "a"
    assert types(CREATED, b'data: {"a": 1}\n\n', COMPLETED) == ["start", "raw", "finish"]


# History.


def answered(*pieces: bytes) -> list[dict[str, Any]]:
    """The items that an answer becomes in the next request."""
    made = body(*result(CREATED, *pieces, COMPLETED).messages)["input"]
    assert isinstance(made, list)
    return made


def test_thinking_goes_back_as_it_came_but_for_its_id() -> None:
    parts = [{"type": "summary_text", "text": "Hm"}]
    thought = item("done", "reasoning", 0, id="rs", summary=parts, encrypted_content="ENC")
    again = item("done", "reasoning", 1, id="rt", summary=[], encrypted_content="END")
    unsigned = item("done", "reasoning", 2, id="ru", summary=parts)
    assert answered(thought, again, unsigned, message(said("Hi"), index=3)) == [
        {"type": "reasoning", "summary": parts, "encrypted_content": "ENC"},
        {"type": "reasoning", "summary": [], "encrypted_content": "END"},
        {"role": "assistant", "content": "Hi"},
    ]


@pytest.mark.parametrize("id", ["cmp_1", "1"])
def test_a_shortened_history_goes_back(id: str) -> None:
    assert answered(item("done", "compaction", id=id, encrypted_content="ENC")) == [
        {"type": "compaction", "id": "cmp_1", "encrypted_content": "ENC"}
    ]


def test_phases_of_messages_go_back() -> None:
    assert answered(
        item("added", "message", 0, phase="commentary"),
        text("Let me "),
        text("see."),
        item("done", "message", 0, phase="commentary", content=[said("Let me see.")]),
        item("done", "message", 1, phase="final_answer", content=[said("Done.")]),
    ) == [
        {"role": "assistant", "phase": "commentary", "content": "Let me see."},
        {"role": "assistant", "phase": "final_answer", "content": "Done."},
    ]


def test_calls_go_back_with_what_they_had() -> None:
    caller = {"type": "program", "caller_id": "p1"}
    custom = item("done", "custom_tool_call", 1, call_id="c2", name="sql", input="SELECT 1")
    history = result(
        CREATED, call("done", arguments="{}", namespace="ns", caller=caller), custom, COMPLETED
    ).messages
    made = body(*history, tool_result("c1", "one"), tool_result("c2", "two"))["input"]
    assert made == [
        {
            "type": "function_call",
            "call_id": "c1",
            "name": "f",
            "namespace": "ns",
            "caller": caller,
            "arguments": "{}",
        },
        {"type": "custom_tool_call", "call_id": "c2", "name": "sql", "input": "SELECT 1"},
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "two"},
    ]


@pytest.mark.parametrize("signature", ["CkYB/+8=", "{", "{not json", "[1]", '{"x": 1}'])
def test_signatures_of_other_providers_are_left_out(signature: str) -> None:
    made = body(
        assistant(
            TextPart(text="a", signature=signature),
            ToolCallPart(id="c1", name="f", signature=signature),
        )
    )["input"]
    assert made == [
        {"role": "assistant", "content": "a"},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
    ]


def test_what_the_system_says_later_stays_in_its_place() -> None:
    made = body(system("Be brief."), user("Hi"), system("Now in French."))
    assert made["instructions"] == "Be brief."
    assert [turn["role"] for turn in made["input"]] == ["user", "system"]


@pytest.mark.parametrize(
    ("settings", "include"),
    [
        ({}, None),
        ({"provider_options": {"store": True}}, None),
        ({"provider_options": {"store": False}}, ["reasoning.encrypted_content"]),
        (
            {"provider_options": {"store": False, "include": ["x"]}},
            ["x", "reasoning.encrypted_content"],
        ),
        (
            {"provider_options": {"store": False, "include": ["reasoning.encrypted_content"]}},
            ["reasoning.encrypted_content"],
        ),
        ({"reasoning_effort": "low"}, ["reasoning.encrypted_content"]),
    ],
)
def test_encrypted_thinking_is_asked_for_where_nothing_is_stored(
    settings: dict[str, Any], include: Any
) -> None:
    made = body(**settings)
    assert made.get("include") == include
    assert made.get("store") == settings.get("provider_options", {}).get("store")


def test_hosts_without_schemas_or_effort_are_asked_without() -> None:
    plain = Request.of("Hi", response_schema={"type": "object"}, reasoning_effort="low")
    made = encode(plain, "m", Quirks(json_schema=False, effort=None)).body
    assert made["text"] == {"format": {"type": "json_object"}}
    assert "reasoning" not in made


def test_parts_in_the_wrong_turn_are_refused() -> None:
    with pytest.raises(GaiError, match="can not carry image by url"):
        body(assistant(ImagePart(url="https://x/y.png")))
    with pytest.raises(GaiError, match="tool results only"):
        body(Message(role="tool", parts=(TextPart(text="a"),)))


def test_no_beginning_of_an_answer_is_complete() -> None:
    whole = b"".join(
        numbered(
            CREATED,
            item("added", "message"),
            text("Hi"),
            message(said("Hi")),
            call("added", 1),
            arguments("delta", 1, delta="{}"),
            call("done", 1, arguments="{}"),
            response("completed", usage=USAGE),
        )
    )
    for cut in range(len(whole) - 2):
        decoder = ResponsesDecoder()
        events = decoder.feed(whole[:cut]) + decoder.close()
        if decoder.done:  # only the line's end is missing, and the record was whole
            assert cut >= len(whole.rstrip())
            continue
        assert decoder.fault is not None
        assert decoder.fault.kind == "truncated"
        assert not any(e.type in ("tool_call", "finish") for e in events)  # type: ignore[attr-defined]


def test_thoughts_of_another_provider_do_not_go_back() -> None:
    foreign = Message(role="assistant", parts=(ReasoningPart(text="Hm", encrypted="x"),))
    said = Message(role="assistant", parts=(TextPart(text="Hello"),))
    made = encode(Request.of([user("Hi"), foreign, said, user("Go on")]), "m", Quirks()).body
    assert [item.get("type") or item["role"] for item in made["input"]] == [
        "user",
        "assistant",
        "user",
    ]
