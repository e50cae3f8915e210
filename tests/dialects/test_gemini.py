"""Gemini, both ways: records to events, a request to its body."""

import base64
import json
import random
from typing import Any

import pytest

from gai_rx.dialects import DIALECTS, Quirks
from gai_rx.dialects.gemini import GEMINI, GeminiDecoder, encode
from gai_rx.errors import BadRequestError, ConnectionFailedError, GaiError, ProtocolError
from gai_rx.events import (
    AudioDelta,
    Citation,
    Citations,
    File,
    Finish,
    FinishReason,
    Raw,
    ReasoningDelta,
    Safety,
    Start,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    Usage,
)
from gai_rx.request import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    Request,
    SafetySetting,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    VideoPart,
    assistant,
    system,
    tool_result,
    user,
)
from gai_rx.result import Result
from gai_rx.result_builder import ResultBuilder
from gai_rx.tools import Tool

Record = dict[str, Any]


def record(*parts: Any, finish: Any = None, **more: Any) -> Record:
    candidate: Record = {"content": {"parts": list(parts), "role": "model"}, "index": 0, **more}
    if finish is not None:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "gemini-9", "responseId": "r1"}


def text(said: Any, **more: Any) -> Record:
    return {"text": said, **more}


def call(name: str | None = None, **more: Any) -> Record:
    return {"functionCall": more if name is None else {"name": name, **more}}


def value(path: str, **more: Any) -> Record:
    """A streamed argument of a call that goes on."""
    return call(partialArgs=[{"jsonPath": path, **more}], willContinue=True)


STOP = record(finish="STOP")


def body(*records: Any, end: str = "\r\n") -> bytes:
    return "".join(f"data: {json.dumps(r, ensure_ascii=False)}{end}{end}" for r in records).encode()


def decode(
    data: bytes, quirks: Quirks | None = None, **options: Any
) -> tuple[list[StreamEvent], GaiError | None]:
    decoder = GeminiDecoder(quirks or Quirks(provider="gemini"), **options)
    events = decoder.feed(data)
    events += decoder.close()
    assert decoder.done != (decoder.fault is not None)
    return events, decoder.fault


def answer(*records: Any, **options: Any) -> list[StreamEvent]:
    """The events of an answer between its Start and Finish."""
    events, fault = decode(body(*records, STOP), **options)
    assert fault is None
    assert isinstance(events[0], Start)
    assert isinstance(events[-1], Finish)
    return events[1:-1]


def told(*parts: Any, **more: Any) -> list[StreamEvent]:
    return answer(record(*parts, **more))


def calls(*parts: Any, finish: Any = "STOP") -> list[ToolCall]:
    events, _ = decode(body(*(record(p) for p in parts), record(finish=finish)))
    return [e for e in events if isinstance(e, ToolCall)]


def failure(data: bytes) -> GaiError:
    _, fault = decode(data)
    assert fault is not None
    return fault


def result(*records: Any) -> Result:
    builder = ResultBuilder()
    builder.extend(decode(body(*records))[0])
    return builder.result()


USAGE = {"promptTokenCount": 5, "candidatesTokenCount": 2, "totalTokenCount": 9}
WHOLE = body(
    record(text("Hm.", thought=True)),
    record(text("It is ")),
    {**record(text("sunny \U0001f600", thoughtSignature="s1")), "usageMetadata": USAGE},
    record({**call("weather", args={"city": "Paris"}), "thoughtSignature": "s2"}, call("now")),
    record(call("find", willContinue=True)),
    record(value("$.at[0].x", stringValue="a", willContinue=True)),
    record(value("$.at[0].x", stringValue="b")),
    record(call()),
    {
        **record(text("", thoughtSignature="s3"), finish="STOP"),
        "usageMetadata": {**USAGE, "thoughtsTokenCount": 2},
    },
)


# Records to events.


def test_text_comes_between_start_and_finish() -> None:
    events, fault = decode(body(record(text("Hel")), record(text("lo"), finish="STOP")))
    assert fault is None
    assert events == [
        Start(provider="gemini", model="gemini-9", response_id="r1"),
        TextDelta(text="Hel"),
        TextDelta(text="lo"),
        Finish(reason="stop", raw_reason="STOP"),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_is_read(end: str) -> None:
    assert decode(body(record(text("Hi")), STOP, end=end)) == decode(body(record(text("Hi")), STOP))


def test_candidates_are_choices() -> None:
    second = {"content": {"parts": [text("B")]}, "index": 1, "finishReason": "MAX_TOKENS"}
    one = record(text("A"))
    one["candidates"].append(second)
    assert answer(one) == [TextDelta(text="A"), TextDelta(text="B", choice=1)]


def test_of_further_candidates_only_text_and_thinking_are_told() -> None:
    parts = [text("B", thought=True), call("f"), {"inlineData": {"data": "", "mimeType": "a/b"}}]
    one = record(text("A"))
    one["candidates"].append({"content": {"parts": parts}, "index": 1})
    assert answer(one) == [TextDelta(text="A"), ReasoningDelta(text="B", choice=1)]


def test_thoughts_are_reasoning() -> None:
    assert told(text("Hm.", thought=True), text("Hi")) == [
        ReasoningDelta(text="Hm."),
        TextDelta(text="Hi"),
    ]


def test_a_signed_part_is_a_block_of_its_own() -> None:
    assert told(text("a"), text("b", thoughtSignature="s"), text("c")) == [
        TextDelta(text="a"),
        TextDelta(text="b", block=1, signature="s"),
        TextDelta(text="c", block=2),
    ]
    signed = text("Hm.", thought=True, thoughtSignature="s")
    assert told(signed) == [ReasoningDelta(text="Hm.", block=1, signature="s")]


@pytest.mark.parametrize("part", [text("", thoughtSignature="s"), {"thoughtSignature": "s"}])
def test_a_signature_without_text_is_kept(part: Record) -> None:
    assert told(text("Hi"), part)[1:] == [ReasoningDelta(block=1, signature="s")]


@pytest.mark.parametrize(
    "empty",
    [
        {"candidates": []},
        {"candidates": None},
        {"candidates": [{"index": 0}]},
        {"candidates": [{"content": None}]},
        {"candidates": [{"content": {"role": "model"}}]},
        {"candidates": [{"content": {"parts": None}}]},
        {"modelVersion": "gemini-9"},
        {"usageMetadata": {"trafficType": "ON_DEMAND"}, "error": None},
        {"promptFeedback": {"safetyRatings": [{"category": "A", "probability": "HIGH"}]}},
        {"promptFeedback": {"blockReason": "BLOCKED_REASON_UNSPECIFIED"}},
        record(text("")),
        record(text(None)),
        record({}),
        record(text("", thought=True)),
        record(text("", thoughtSignature=None)),
        record(text("", thoughtSignature=7)),
        record(text("", videoMetadata={})),
        record(call()),
        record(finish="FINISH_REASON_UNSPECIFIED"),
        record(safetyRatings=[{"category": "A", "probability": "NEGLIGIBLE"}]),
        record(groundingMetadata={}, citationMetadata={}, urlContextMetadata={}),
    ],
)
def test_what_holds_nothing_is_no_event(empty: Record) -> None:
    assert answer(empty) == []


def test_a_record_without_a_rule_is_raw() -> None:
    assert answer({"weather": "sunny"}) == [Raw(record={"weather": "sunny"})]
    assert told({"hologram": {}}) == [Raw(record={"hologram": {}})]


def test_unknown_fields_change_nothing() -> None:
    plain, more = record(text("Hi")), record(text("Hi", tone="warm"), mood="good")
    assert answer({**more, "weather": "sunny"}) == answer(plain)


def test_with_raw_every_record_is_told_before_its_events() -> None:
    assert answer(record(text("Hi")), raw=True)[:2] == [
        Raw(record=record(text("Hi"))),
        TextDelta(text="Hi"),
    ]


def test_halves_of_characters_are_joined_in_text_and_replaced_elsewhere() -> None:
    segment = {"groundingSupports": [{"segment": {"text": "\ud83d"}, "groundingChunkIndices": [0]}]}
    halves = [
        record(text("a\ud83d"), text("\ude00b")),
        record({"toolCall": {"args": {"text": "\ud83d"}}}, {"hologram": {"text": "\ud83d"}}),
        record(groundingMetadata={"groundingChunks": [{"web": {"uri": "u"}}], **segment}),
        {"weather": {"text": "\ud83d"}},
        record(call("f", args={"text": "\ud83d"}), finish="STOP"),
    ]
    data = b"".join(b"data: " + json.dumps(r).encode() + b"\n\n" for r in halves)
    events, fault = decode(data)
    assert fault is None
    for event in events:
        event.model_dump_json()
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "a\U0001f600b"
    found = [e.arguments for e in events if isinstance(e, ToolCall)]
    assert found == [{"text": "\ufffd"}, {"text": "\ufffd"}]


# Calls.


def test_a_call_is_told_as_it_comes_and_closed_at_the_end() -> None:
    arguments = {"city": "Paris", "hours": [1, 2]}
    part = {**call("weather", args=arguments, id="c1"), "thoughtSignature": "s"}
    events, _ = decode(body(record(part), record(text("."), finish="STOP")))
    written = json.dumps(arguments)
    assert events[1:] == [
        ToolCallDelta(id="c1", name="weather", arguments=written, index=0),
        TextDelta(text="."),
        ToolCall(
            id="c1", name="weather", arguments=arguments, arguments_text=written, signature="s"
        ),
        Finish(reason="tool_calls", raw_reason="STOP"),
    ]


def test_calls_without_ids_get_distinct_ones_even_of_one_name() -> None:
    events, _ = decode(body(record(call("now"), call("now")), STOP), call_prefix="x_")
    assert [e.id for e in events if isinstance(e, ToolCall)] == ["x_call_0", "x_call_1"]


@pytest.mark.parametrize("more", [{}, {"args": None}, {"args": {}}])
def test_a_call_without_arguments_has_none(more: Record) -> None:
    assert [(c.arguments, c.invalid) for c in calls(call("now", **more))] == [({}, None)]


def test_arguments_that_are_no_object_make_an_invalid_call() -> None:
    (found,) = calls(call("now", args=[1]))
    assert found.invalid == "the arguments are no JSON object but list"


def test_a_call_without_a_name_is_invalid() -> None:
    (found,) = calls(call(args={"a": 1}))
    assert found.invalid == "the call names no tool"


@pytest.mark.parametrize("reason", ["MAX_TOKENS", "SAFETY", "MALFORMED_FUNCTION_CALL", "NEW"])
def test_calls_of_an_answer_that_was_cut_may_not_run(reason: str) -> None:
    (found,) = calls(call("now", args={"a": 1}), finish=reason)
    assert found.invalid is not None
    assert found.arguments == {}


def test_streamed_arguments_are_written_as_json() -> None:
    events = told(
        {**call("cook", willContinue=True), "thoughtSignature": "s"},
        value("$.dish.name", stringValue="Las", willContinue=True),
        value("$.dish.name", stringValue='agne "x"', willContinue=True),
        value("$.dish.name", stringValue=""),
        value("$.dish.items[0].n", numberValue=0.5),
        call(willContinue=True),
        value("$.dish.items[0].fresh", boolValue=True),
        value("$.dish.items[1].n", nullValue=None, stringValue=None),
        value("$.dish.tags[0][0]", stringValue="a", willContinue=True),
        value("$.dish.tags[0][1]", stringValue="b"),
        value("$['the end']", stringValue="z"),
        call(),
    )
    assert [e.arguments for e in events if isinstance(e, ToolCallDelta)] == [
        '{"dish":{"name":"Las',
        'agne \\"x\\"',
        '"',
        ',"items":[{"n":0.5',
        ',"fresh":true',
        '},{"n":null',
        '}],"tags":[["a',
        '","b"',
        ']]},"the end":"z"',
        "}",
    ]
    (found,) = [e for e in events if isinstance(e, ToolCall)]
    assert (found.invalid, found.signature) == (None, "s")
    assert found.arguments == {
        "dish": {
            "name": 'Lasagne "x"',
            "items": [{"n": 0.5, "fresh": True}, {"n": None}],
            "tags": [["a", "b"]],
        },
        "the end": "z",
    }


def test_a_named_part_begins_another_call() -> None:
    found = calls(
        call("f", willContinue=True),
        value("$.a", numberValue=1),
        call("f", willContinue=True),
        value("$.a", numberValue=2),
        call(),
        call("g"),
    )
    assert [(c.name, c.arguments) for c in found] == [("f", {"a": 1}), ("f", {"a": 2}), ("g", {})]


def test_a_part_that_repeats_name_and_id_goes_on_with_its_call() -> None:
    first = call("f", id="c1", willContinue=True)
    again = call("f", id="c1", partialArgs=[{"jsonPath": "$.a", "numberValue": 1}])
    other = call("f", id="c2")
    found = calls(first, again, other)
    assert [(c.id, c.arguments) for c in found] == [("c1", {"a": 1}), ("c2", {})]


def test_an_id_may_come_late() -> None:
    (found,) = calls(call("f", willContinue=True), call(id="c1"))
    assert found.id == "c1"


def test_a_call_that_nothing_closes_is_closed_by_the_end_of_the_answer() -> None:
    (found,) = calls(call("f", willContinue=True), value("$.a", numberValue=1))
    assert (found.arguments, found.invalid) == ({"a": 1}, None)


@pytest.mark.parametrize(
    ("before", "written"),
    [([], '{"a":"rm -rf /tm'), ([value("$.b[1]", numberValue=1)], "{")],
)
def test_a_string_that_nothing_closes_makes_an_invalid_call(
    before: list[Record], written: str
) -> None:
    half = value("$.a", stringValue="rm -rf /tm", willContinue=True)
    (found,) = calls(call("f", willContinue=True), *before, half, call())
    assert found.invalid is not None
    assert (found.arguments, found.arguments_text) == ({}, written)


@pytest.mark.parametrize(
    ("paths", "arguments"),
    [
        (["$.a.x", "$.b", "$.a.y"], {"a": {"x": 0, "y": 2}, "b": 1}),
        (["$.a[1]", "$.a[0]"], {"a": [1, 0]}),
        (["$.a[0]", "$.a[2]"], {"a": [0, 1]}),
        (["$.a[0]", "$.a[2]", "$.a[1]"], {"a": [0, 2, 1]}),
        (["$.a[0]", "$.b", "$.a[1]"], {"a": [0, 2], "b": 1}),
        (["$.a", "$.b", "$.a"], {"a": 2, "b": 1}),
        (["$.a", "$.a"], {"a": 1}),
        (["$.b", "$.a.x", "$.b", "$.a.y"], {"b": 2, "a": {"x": 1, "y": 3}}),
    ],
)
def test_values_in_another_order_still_make_the_arguments(
    paths: list[str], arguments: Record
) -> None:
    pieces = [value(path, numberValue=n) for n, path in enumerate(paths)]
    (found,) = calls(call("f", willContinue=True), *pieces, call())
    assert (found.arguments, found.invalid) == (arguments, None)


def test_a_string_out_of_order_is_put_together_too() -> None:
    pieces = [
        value("$.a[1]", stringValue="b", willContinue=True),
        value("$.a[1]", stringValue="c"),
        value("$.a[0]", stringValue="a"),
    ]
    (found,) = calls(call("f", willContinue=True), *pieces, call())
    assert found.arguments == {"a": ["a", "bc"]}


@pytest.mark.parametrize(
    "paths",
    [["$.a", "$.a.b"], ["$.a.b", "$.a"], ["$.a[0]", "$.a.b", "$.a"], ["$.a[1]", "$.a"]],
)
def test_values_that_contradict_each_other_make_an_invalid_call(paths: list[str]) -> None:
    pieces = [value(path, numberValue=n) for n, path in enumerate(paths)]
    (found,) = calls(call("f", willContinue=True), *pieces, call())
    assert found.invalid is not None


def test_whole_arguments_win_over_streamed_ones() -> None:
    streamed = [call("f", willContinue=True), value("$.a", numberValue=1)]
    (found,) = calls(*streamed, call(args={"a": 2}))
    assert found.arguments == {"a": 2}
    (found,) = calls(*streamed, call(args={}))
    assert found.arguments == {"a": 1}


def test_a_piece_that_names_no_value_adds_none() -> None:
    (found,) = calls(
        call("f", willContinue=True), value("$.a"), value("$.b", numberValue=1), call()
    )
    assert found.arguments == {"b": 1}


def test_a_value_of_an_unknown_kind_is_a_protocol_error() -> None:
    wrong = body(record(call("f", willContinue=True), value("$.a", dateValue="1999")))
    assert failure(wrong).kind == "protocol"


@pytest.mark.parametrize(
    "path", ["", "a", "$", "$.", "$..a", "$[0]", "$.a[x]", "$.a[*]", "$.a[-1]", "$" + ".a" * 65]
)
def test_what_is_no_path_is_a_protocol_error(path: str) -> None:
    wrong = body(record(call("f", willContinue=True), value(path, numberValue=1)))
    assert failure(wrong).kind == "protocol"


def _leaves(node: Any, path: str = "$") -> Any:
    if isinstance(node, dict):
        for key, inner in node.items():
            quoted = key.replace("\\", "\\\\").replace("'", "\\'")
            yield from _leaves(inner, f"{path}.{key}" if key.isalnum() else f"{path}['{quoted}']")
    elif isinstance(node, list):
        for index, inner in enumerate(node):
            yield from _leaves(inner, f"{path}[{index}]")
    else:
        yield path, node


def _node(rng: random.Random, depth: int) -> Any:
    kind = rng.randrange(3 if depth else 1)
    if kind == 1:
        keys = rng.sample(["a", "b2", "it's", "c d", "e.f", "[g]", "\\", "é"], rng.randint(1, 3))
        return {key: _node(rng, depth - 1) for key in keys}
    if kind == 2:
        return [_node(rng, depth - 1) for _ in range(rng.randint(1, 3))]
    return rng.choice(["", "text", 'quo"te', 1, 2.5, True, None])


def _piece(path: str, leaf: Any) -> list[Record]:
    if isinstance(leaf, str):
        first = value(path, stringValue=leaf[:2], willContinue=True)
        return [first, value(path, stringValue=leaf[2:])]
    if leaf is None:
        return [value(path, nullValue="NULL_VALUE")]
    return [value(path, **{"boolValue" if isinstance(leaf, bool) else "numberValue": leaf})]


@pytest.mark.parametrize("seed", range(60))
def test_any_object_survives_being_streamed_in_any_order(seed: int) -> None:
    rng = random.Random(seed)
    wanted = {"root": _node(rng, 4), "more": _node(rng, 2)}
    pieces = [_piece(path, leaf) for path, leaf in _leaves(wanted)]
    for shuffled in (False, True):
        if shuffled:
            rng.shuffle(pieces)
        flat = [piece for group in pieces for piece in group]
        events = told(call("f", willContinue=True), *flat, call())
        (found,) = [e for e in events if isinstance(e, ToolCall)]
        assert (found.arguments, found.invalid) == (wanted, None)
        written = "".join(e.arguments for e in events if isinstance(e, ToolCallDelta))
        assert shuffled or written == found.arguments_text


# Tools that Google runs.


def test_code_that_google_runs_is_no_call_for_the_caller() -> None:
    code = {"executableCode": {"language": "PYTHON", "code": "1"}, "thoughtSignature": "s"}
    done = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1\n"}}
    events, _ = decode(body(record(code, done, finish="STOP")), call_prefix="x_")
    assert [e.model_copy(update={"metadata": {}}) for e in events[1:]] == [
        ToolCall(
            id="x_run_0",
            name="code_execution",
            arguments={"language": "PYTHON", "code": "1"},
            arguments_text='{"language": "PYTHON", "code": "1"}',
            provider_executed=True,
            signature="s",
        ),
        ToolResult(
            id="x_run_0",
            name="code_execution",
            result={"outcome": "OUTCOME_OK", "output": "1\n"},
            provider_executed=True,
        ),
        Finish(reason="stop", raw_reason="STOP"),
    ]


def test_code_that_failed_has_an_error() -> None:
    run = {"executableCode": {"id": "e1", "code": "x"}}
    failed = {"codeExecutionResult": {"id": "e1", "outcome": "OUTCOME_FAILED", "output": "boom"}}
    late = {"codeExecutionResult": {"outcome": "OUTCOME_DEADLINE_EXCEEDED"}}
    events = told(run, failed, late)
    assert [(e.id, e.error) for e in events if isinstance(e, ToolResult)] == [
        ("e1", "boom"),
        ("run_0", "OUTCOME_DEADLINE_EXCEEDED"),
    ]
    assert [(e.id, e.arguments) for e in events if isinstance(e, ToolCall)] == [
        ("e1", {"code": "x"})
    ]


def test_other_tools_of_google_are_named_by_their_type() -> None:
    asked = {"toolType": "GOOGLE_SEARCH_WEB", "id": "t1", "args": {"queries": ["q"], "id": 1}}
    found = {"toolType": "GOOGLE_SEARCH_WEB", "id": "t1", "response": {"hits": 1}}
    first, second, third = told({"toolCall": asked}, {"toolResponse": found}, {"toolCall": {}})
    assert isinstance(first, ToolCall)
    assert (first.id, first.name, first.arguments) == (
        "t1",
        "GOOGLE_SEARCH_WEB",
        {"queries": ["q"], "id": 1},
    )
    assert isinstance(second, ToolResult)
    assert (second.id, second.name, second.result) == ("t1", "GOOGLE_SEARCH_WEB", {"hits": 1})
    assert second.provider_executed
    assert isinstance(third, ToolCall)
    assert (third.id, third.name) == ("run_1", "")


# Files, sources, verdicts.


def test_data_is_a_file_or_sound() -> None:
    data = base64.b64encode(b"\xfb\xff\xfe").decode()
    image = {"inlineData": {"mimeType": "image/png", "data": data}, "thoughtSignature": "s"}
    sketch = {"inlineData": {"mimeType": "image/png"}, "thought": True}
    sound = {"inlineData": {"mimeType": "audio/L16;rate=24000", "data": data}}
    assert told(image, sketch, sound) == [
        File(data=b"\xfb\xff\xfe", mime="image/png", metadata={"thoughtSignature": "s"}),
        File(data=b"", mime="image/png", metadata={"thought": True}),
        AudioDelta(data=b"\xfb\xff\xfe", mime="audio/L16;rate=24000"),
    ]


@pytest.mark.parametrize("data", ["-__-", "+//+", "-__-AA"])
def test_both_alphabets_of_base64_are_read(data: str) -> None:
    (file,) = told({"inlineData": {"data": data}})
    assert isinstance(file, File)
    assert file.data is not None
    assert file.data.startswith(b"\xfb\xff\xfe")


def test_data_that_is_no_base64_is_a_protocol_error() -> None:
    assert failure(body(record({"inlineData": {"data": "A"}}))).kind == "protocol"


def test_a_file_by_address_is_a_file() -> None:
    part = {"fileData": {"fileUri": "gs://b/o", "mimeType": "video/mp4"}}
    assert told(part, {"fileData": {"fileUri": "gs://b/p"}}) == [
        File(url="gs://b/o", mime="video/mp4"),
        File(url="gs://b/p"),
    ]


def test_sources_of_a_search_are_told_once_each_with_their_passages() -> None:
    grounding = {
        "groundingChunks": [
            {"web": {"uri": "u0", "title": "T0"}},
            {"retrievedContext": {"documentName": "d1", "text": "quote"}},
            {"maps": {"uri": "u2", "domain": "m"}},
            {"unknown": None},
        ],
        "groundingSupports": [
            {"segment": {"endIndex": 7, "text": "passage"}, "groundingChunkIndices": [0, 1, 9]},
            {"segment": {"startIndex": 8, "endIndex": 12}, "groundingChunkIndices": [1, -1]},
            {"segment": {"startIndex": 20}},
        ],
    }
    supports = {"groundingSupports": [{"groundingChunkIndices": [2]}]}
    events = answer(
        record(groundingMetadata=grounding),
        record(groundingMetadata=grounding),
        record(groundingMetadata=supports),
    )
    assert events == [
        Citations(
            items=(
                Citation(uri="u2", title="m"),
                Citation(),
                Citation(uri="u0", title="T0", text="passage", start=0, end=7),
                Citation(uri="d1", text="passage", start=0, end=7),
                Citation(uri="d1", text="quote", start=8, end=12),
            ),
            metadata={"groundingMetadata": grounding},
        )
    ]


def test_a_search_without_sources_is_raw() -> None:
    entry = {"searchEntryPoint": {"renderedContent": "<b>"}}
    assert told(groundingMetadata=entry) == [Raw(record={"groundingMetadata": entry})]


@pytest.mark.parametrize("name", ["citations", "citationSources"])
def test_recited_sources_are_citations(name: str) -> None:
    sources = [{"uri": "u", "endIndex": 9}, {"title": "T", "startIndex": 3, "endIndex": 9}, {}]
    told_sources = {name: sources}
    events = answer(record(citationMetadata=told_sources), record(citationMetadata=told_sources))
    assert events == [
        Citations(
            items=(
                Citation(uri="u", start=0, end=9),
                Citation(title="T", start=3, end=9),
                Citation(),
            )
        )
    ]


def test_pages_that_were_fetched_are_citations() -> None:
    pages = [
        {"retrievedUrl": "u", "urlRetrievalStatus": "URL_RETRIEVAL_STATUS_SUCCESS"},
        {"retrievedUrl": "v", "urlRetrievalStatus": "URL_RETRIEVAL_STATUS_ERROR"},
    ]
    assert told(urlContextMetadata={"urlMetadata": pages}) == [
        Citations(items=(Citation(uri="u"),))
    ]


def test_a_category_that_blocks_is_told_once() -> None:
    blocked = {"category": "HARM", "probability": "HIGH", "probabilityScore": 0.9, "blocked": True}
    ratings = [blocked, {"category": "B", "probability": "LOW"}, {"blocked": True}]
    assert answer(record(safetyRatings=ratings), record(safetyRatings=ratings)) == [
        Safety(category="HARM", action="blocked", score=0.9, note="HIGH"),
        Safety(category="", action="blocked"),
    ]


# The end.


@pytest.mark.parametrize(
    ("raw_reason", "reason"),
    [
        ("STOP", "stop"),
        ("stop", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("IMAGE_SAFETY", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "error"),
        ("UNEXPECTED_TOOL_CALL", "error"),
        ("OTHER", "other"),
        ("A_NEW_REASON", "other"),
    ],
)
def test_the_reason_is_mapped_and_kept(raw_reason: str, reason: FinishReason) -> None:
    events, fault = decode(body({"candidates": [{"finishReason": raw_reason}]}))
    assert fault is None
    assert events[-1] == Finish(reason=reason, raw_reason=raw_reason)


def test_the_last_reason_holds_and_text_may_follow_the_first() -> None:
    first = record(text("a"), finish="STOP")
    events, _ = decode(body(first, record(text("b"), finish="SAFETY"), record(text("c"))))
    assert [e.text for e in events if isinstance(e, TextDelta)] == ["a", "b", "c"]
    assert events[-1] == Finish(reason="content_filter", raw_reason="SAFETY")


def test_what_google_says_of_the_end_is_metadata_of_it() -> None:
    malformed = record(finish="MALFORMED_FUNCTION_CALL", finishMessage="print(f(")
    (*_, finish), _ = decode(body(malformed))
    assert finish == Finish(
        reason="error",
        raw_reason="MALFORMED_FUNCTION_CALL",
        metadata={"finishMessage": "print(f("},
    )


def test_usage_is_told_once_as_it_was_last() -> None:
    last = {
        **USAGE,
        "candidatesTokenCount": 7,
        "thoughtsTokenCount": 4,
        "cachedContentTokenCount": 3,
        "toolUsePromptTokenCount": 11,
    }
    first = {**record(text("Hi")), "usageMetadata": {**USAGE, "thoughtsTokenCount": 99}}
    usage = Usage(
        input_tokens=5,
        output_tokens=7,
        total_tokens=9,
        cached_input_tokens=3,
        reasoning_tokens=4,
        metadata={"toolUsePromptTokenCount": 11},
    )
    for trailer in ({**STOP, "usageMetadata": last}, {"usageMetadata": last, "candidates": []}):
        assert decode(body(first, STOP, trailer))[0][-2:] == [
            usage,
            Finish(reason="stop", raw_reason="STOP", usage=usage),
        ]


def test_usage_that_tells_no_prompt_adds_to_what_was_told() -> None:
    traffic = {"usageMetadata": {"trafficType": "ON_DEMAND", "candidatesTokenCount": 3}}
    (usage,) = answer(traffic, {"usageMetadata": USAGE}, traffic)
    assert usage == Usage(input_tokens=5, output_tokens=3, total_tokens=9)
    assert answer({"usageMetadata": {"trafficType": "ON_DEMAND"}}) == []


def test_done_of_a_gateway_ends_the_answer() -> None:
    data = body(record(text("Hi")), STOP)
    done = data + b"data: [DONE]\n\n"
    assert decode(done + body(record(text("junk")))) == decode(data)
    decoder = GeminiDecoder()
    decoder.feed(done)
    assert decoder.done


def test_an_answer_without_a_reason_is_truncated() -> None:
    events, fault = decode(body({**record(text("Hi")), "usageMetadata": USAGE}))
    usage = Usage(input_tokens=5, output_tokens=2, total_tokens=9)
    assert events[1:] == [TextDelta(text="Hi"), usage]
    assert fault is not None
    assert fault.kind == "truncated"
    assert failure(b"").kind == "truncated"
    assert failure(body(record(finish="FINISH_REASON_UNSPECIFIED"))).kind == "truncated"
    assert failure(body(record(text("Hi"))) + b"data: [DONE]\n\n").kind == "truncated"


def test_a_host_may_leave_out_the_reason() -> None:
    lenient = Quirks(finish_optional=True)
    events, fault = decode(body(record(text("Hi"))), lenient)
    assert fault is None
    assert events[-1] == Finish(reason="other")
    decoder = GeminiDecoder(lenient)
    decoder.feed(body(record(text("Hi"))))
    broken = ConnectionFailedError("reset")
    assert decoder.close(broken) == []
    assert decoder.fault is broken
    _, fault = decode(b"", lenient)
    assert fault is not None


def test_a_connection_that_breaks_after_the_reason_breaks_nothing() -> None:
    decoder = GeminiDecoder()
    decoder.feed(body(record(text("Hi"), finish="STOP")))
    assert decoder.close(ConnectionFailedError("reset"))[-1] == Finish(
        reason="stop", raw_reason="STOP"
    )


def test_a_last_record_may_lack_its_blank_line() -> None:
    data = body(record(text("Hi")), STOP)
    assert decode(data.rstrip()) == decode(data)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_any_cut_gives_the_same_events(size: int) -> None:
    decoder = GeminiDecoder(Quirks(provider="gemini"))
    events = [e for at in range(0, len(WHOLE), size) for e in decoder.feed(WHOLE[at : at + size])]
    assert events + decoder.close() == decode(WHOLE)[0]


def test_no_prefix_counts_as_complete_and_none_lets_a_tool_run() -> None:
    last = WHOLE.rstrip()
    whole = decode(WHOLE)[0]
    for length in range(len(last)):
        events, fault = decode(last[:length])
        assert fault is not None
        assert fault.kind == "truncated"
        told_so_far = [e for e in events if not isinstance(e, Usage)]
        assert not any(isinstance(e, Finish | ToolCall) for e in events)
        assert told_so_far == whole[: len(told_so_far)]
    assert decode(last) == decode(WHOLE)


# Errors.

OVERLOADED = {"error": {"code": 503, "message": "The model is full.", "status": "UNAVAILABLE"}}


@pytest.mark.parametrize(
    "tail",
    [
        body(OVERLOADED),
        body([OVERLOADED]),
        b"event: error\ndata: {}\n\n",
        json.dumps(OVERLOADED).encode(),
        json.dumps(OVERLOADED, indent=2).encode() + b"\n\n",
        json.dumps([OVERLOADED], indent=2).replace("\n", "\r\n").encode(),
        json.dumps(OVERLOADED).encode() + b"\n" + body(record(text("more"))),
        b": ping\n" + json.dumps(OVERLOADED).encode() + b"\n: ping\n\n",
        body(record(finish="STOP"), OVERLOADED),
        body(record()).rstrip() + b"\n" + json.dumps(OVERLOADED).encode() + b"\n",
        body({**record(), **OVERLOADED}),
    ],
)
def test_an_error_ends_the_answer_however_it_is_framed(tail: bytes) -> None:
    before = body({**record(text("Hi")), "usageMetadata": USAGE})
    events, fault = decode(before + tail)
    assert fault is not None
    assert fault.kind in ("overloaded", "server")
    usage = Usage(input_tokens=5, output_tokens=2, total_tokens=9)
    assert [e for e in events if e != TextDelta(text="more")] == [
        Start(provider="gemini", model="gemini-9", response_id="r1"),
        TextDelta(text="Hi"),
        usage,
    ]
    decoder = GeminiDecoder(Quirks(provider="gemini"))
    data = before + tail
    again = [e for at in range(len(data)) for e in decoder.feed(data[at : at + 1])]
    assert again + decoder.close() == events


@pytest.mark.parametrize("data", [body(OVERLOADED), json.dumps([OVERLOADED]).encode()])
def test_an_error_may_be_all_there_is(data: bytes) -> None:
    events, fault = decode(data)
    assert events == []
    assert fault is not None
    assert (fault.kind, fault.status, fault.retryable) == ("overloaded", 503, True)
    assert "The model is full." in fault.message


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        (429, "RESOURCE_EXHAUSTED", "rate_limit"),
        (400, "INVALID_ARGUMENT", "bad_request"),
        (403, "PERMISSION_DENIED", "permission"),
        (499, "CANCELLED", "server"),
        (500, "INTERNAL", "server"),
        (504, "DEADLINE_EXCEEDED", "timeout"),
    ],
)
def test_the_code_of_an_error_gives_its_kind(code: int, status: str, kind: str) -> None:
    error = {"error": {"code": code, "message": "No.", "status": status}}
    assert failure(body(record(text("Hi")), error)).kind == kind


def test_a_blocked_prompt_is_an_error() -> None:
    ratings = [
        {"category": "HARM_A", "probability": "HIGH"},
        {"category": "HARM_B", "probability": "LOW"},
        {"category": "HARM_C", "blocked": True},
    ]
    feedback = {
        "blockReason": "SAFETY",
        "blockReasonMessage": "Not this.",
        "safetyRatings": ratings,
    }
    events, fault = decode(body({"promptFeedback": feedback, "usageMetadata": USAGE}))
    assert fault is not None
    assert (fault.kind, fault.retryable) == ("content_filter", False)
    assert "blocked: SAFETY; Not this.; HARM_A HIGH; HARM_C" in fault.message
    usage = Usage(input_tokens=5, output_tokens=2, total_tokens=9)
    assert events == [Start(provider="gemini"), usage]


@pytest.mark.parametrize(
    "wrong",
    [
        record(text(7)),
        record(text(7, thought=True)),
        record("Hi"),
        record(call("f", willContinue=True), call(partialArgs=[{"numberValue": 1}])),
        record(text("Hi"), index="0"),
        {"candidates": ["Hi"]},
        {"candidates": [{"content": "Hi"}]},
        record({"executableCode": {"id": 7, "code": ""}}),
        record(citationMetadata={"citations": [7]}),
        [],
        "text",
        7,
    ],
)
def test_what_is_not_of_the_documented_form_is_a_protocol_error(wrong: Any) -> None:
    assert failure(body(wrong, STOP)).kind == "protocol"


def test_json_that_does_not_parse_is_a_protocol_error() -> None:
    assert failure(body(record(text("Hi"))) + b'data: {"candidates": [}\n\n').kind == "protocol"
    assert failure(body(record(text("Hi"))) + b'{"error": }\n\n').kind == "protocol"


# Bodies that are no server-sent events.


@pytest.mark.parametrize("indent", [None, 2])
def test_a_body_that_is_one_array_is_read_at_its_end(indent: int | None) -> None:
    records = [record(text("Hel")), record(text('lo}]"[{')), STOP]
    data = json.dumps(records, indent=indent).encode()
    assert decode(data) == decode(body(*records))
    for length in (1, 40, len(data) // 2, len(data) - 1):
        assert failure(data[:length]).kind == "truncated"


def test_a_body_with_a_record_a_line_is_read_too() -> None:
    records = [record(text("Hel")), record(text("lo")), STOP]
    lines = b"\n".join(json.dumps(r).encode() for r in records)
    assert decode(lines) == decode(lines + b"\n\n") == decode(body(*records))


def test_a_whole_answer_of_a_server_that_does_not_stream_is_one_record() -> None:
    one = record(text("Hi"), finish="STOP")
    assert decode(json.dumps(one, indent=2).encode()) == decode(body(one))


@pytest.mark.parametrize("noise", [b"what: is this\n\n", b"<html>\n\n", b"data\n\n", b": hi\n\n"])
def test_lines_without_a_meaning_have_none(noise: bytes) -> None:
    data = body(record(text("Hi")))
    assert decode(noise + data + noise + body(STOP)) == decode(data + body(STOP))


# Request to body.


def asked(prompt: Any, /, model: str = "gemini-2.5-flash", **settings: Any) -> Record:
    quirks = settings.pop("quirks", Quirks())
    return encode(Request.of(prompt, **settings), model, quirks).body


def test_a_plain_question_is_asked_plainly() -> None:
    asking = encode(Request.of("Hi"), "gemini-2.5-flash", Quirks())
    assert asking.path == "/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
    assert asking.body == {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-x", "/models/gemini-x"),
        ("models/gemini-x", "/models/gemini-x"),
        ("tunedModels/mine-1", "/tunedModels/mine-1"),
        ("publishers/google/models/gemini-x", "/publishers/google/models/gemini-x"),
        ("a/b?key=1#c:d %", "/models/a%2Fb%3Fkey%3D1%23c%3Ad%20%25"),
        ("models/a?b", "/models/a%3Fb"),
        ("../files", "/models/..%2Ffiles"),
    ],
)
def test_a_models_name_can_not_leave_its_place_in_the_path(model: str, path: str) -> None:
    made = encode(Request.of("Hi"), model, Quirks()).path
    assert made == f"{path}:streamGenerateContent?alt=sse"


@pytest.mark.parametrize("model", ["models/../files", "models//x", "models/", "models/./x"])
def test_a_model_that_is_no_path_is_refused(model: str) -> None:
    with pytest.raises(BadRequestError, match="no path to a model"):
        encode(Request.of("Hi"), model, Quirks())


def test_settings_have_geminis_names() -> None:
    made = asked(
        [system("Be brief."), user("Hi"), system("And kind.")],
        temperature=0.0,
        max_tokens=10,
        top_p=0.9,
        top_k=5,
        stop=("END",),
        seed=7,
        safety=(
            SafetySetting(category="harassment", threshold="none"),
            SafetySetting(category="hate", threshold="few"),
            SafetySetting(category="sexual", threshold="some"),
            SafetySetting(category="dangerous", threshold="most"),
            SafetySetting(category="harassment", threshold="off"),
            SafetySetting(category="HARM_CATEGORY_X", threshold="BLOCK_X"),
        ),
        provider_options={"generationConfig": {"topK": 6, "candidateCount": 2}, "labels": {"a": 1}},
    )
    assert made == {
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        "systemInstruction": {"parts": [{"text": "Be brief."}, {"text": "And kind."}]},
        "generationConfig": {
            "temperature": 0.0,
            "maxOutputTokens": 10,
            "topP": 0.9,
            "topK": 6,
            "stopSequences": ["END"],
            "seed": 7,
            "candidateCount": 2,
        },
        "safetySettings": [
            {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"},
            {"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "BLOCK_ONLY_HIGH"},
            {"category": "HARM_CATEGORY_SEXUALLY_EXPLICIT", "threshold": "BLOCK_MEDIUM_AND_ABOVE"},
            {"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "threshold": "BLOCK_LOW_AND_ABOVE"},
            {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"},
            {"category": "HARM_CATEGORY_X", "threshold": "BLOCK_X"},
        ],
        "labels": {"a": 1},
    }


@pytest.mark.parametrize(
    ("model", "effort", "thinking"),
    [
        ("gemini-2.5-flash", "none", {"includeThoughts": False, "thinkingBudget": 0}),
        ("gemini-2.5-pro", "none", {"includeThoughts": False, "thinkingBudget": 128}),
        ("gemini-2.5-flash", "low", {"includeThoughts": True, "thinkingBudget": 1024}),
        ("models/gemini-2.5-pro", "max", {"includeThoughts": True, "thinkingBudget": 24576}),
        ("gemini-flash-latest", "high", {"includeThoughts": True, "thinkingBudget": 24576}),
        ("gemini-3-flash-preview", "none", {"includeThoughts": False, "thinkingLevel": "minimal"}),
        ("gemini-3-pro-preview", "minimal", {"includeThoughts": True, "thinkingLevel": "low"}),
        ("gemini-3.1-pro", "medium", {"includeThoughts": True, "thinkingLevel": "medium"}),
        ("gemini-3", "max", {"includeThoughts": True, "thinkingLevel": "high"}),
        ("gemini-10-flash", "high", {"includeThoughts": True, "thinkingLevel": "high"}),
        ("gemini-2.0-flash", "high", None),
        ("gemini-1.5-pro-002", "high", None),
    ],
)
def test_effort_is_a_level_or_a_budget(model: str, effort: str, thinking: Record | None) -> None:
    made = asked("Hi", model, reasoning_effort=effort)
    assert made.get("generationConfig", {}).get("thinkingConfig") == thinking


def test_a_schema_makes_the_answer_json() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    assert asked("Hi", response_schema=schema)["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": schema,
    }
    plain = asked("Hi", response_schema=schema, quirks=Quirks(json_schema=False))
    assert plain["generationConfig"] == {"responseMimeType": "application/json"}


def test_tools_are_declared_with_their_schema() -> None:
    tools = (Tool("now", "The time."), Tool("f", "", {"type": "object"}))
    assert asked("Hi", tools=tools) == {
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        "tools": [
            {
                "functionDeclarations": [
                    {
                        "name": "now",
                        "description": "The time.",
                        "parametersJsonSchema": {"type": "object", "properties": {}},
                    },
                    {"name": "f", "description": "", "parametersJsonSchema": {"type": "object"}},
                ]
            }
        ],
    }


@pytest.mark.parametrize(
    ("choice", "calling"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        ("now", {"mode": "ANY", "allowedFunctionNames": ["now"]}),
    ],
)
def test_a_choice_is_a_mode(choice: str, calling: Record) -> None:
    assert asked("Hi", tool_choice=choice)["toolConfig"] == {"functionCallingConfig": calling}


@pytest.mark.parametrize(
    ("part", "sent"),
    [
        (
            ImagePart(data=b"\xff", mime="image/png"),
            {"inlineData": {"mimeType": "image/png", "data": "/w=="}},
        ),
        (
            AudioPart(url="gs://b/a.mp3", mime="audio/mp3"),
            {"fileData": {"mimeType": "audio/mp3", "fileUri": "gs://b/a.mp3"}},
        ),
        (VideoPart(url="https://youtu.be/x"), {"fileData": {"fileUri": "https://youtu.be/x"}}),
        (
            FilePart(file_id="files/abc", mime="text/plain"),
            {
                "fileData": {
                    "mimeType": "text/plain",
                    "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc",
                }
            },
        ),
        (
            FilePart(file_id="abc"),
            {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc"}},
        ),
        (FilePart(file_id="https://x/files/abc"), {"fileData": {"fileUri": "https://x/files/abc"}}),
    ],
)
def test_media_go_as_data_or_by_address(part: Part, sent: Record) -> None:
    assert asked([user("See:", part)])["contents"] == [
        {"role": "user", "parts": [{"text": "See:"}, sent]}
    ]
    assert asked([assistant(part)])["contents"] == [{"role": "model", "parts": [sent]}]


@pytest.mark.parametrize(
    "message",
    [
        Message(role="system", parts=(ImagePart(url="https://x/y.png"),)),
        user(ToolCallPart(id="c", name="f")),
        user(ReasoningPart(text="Hm.")),
        user(RefusalPart(text="No.")),
        user(ToolResultPart(id="c", name="f")),
        assistant(ToolResultPart(id="c", name="f")),
        Message(role="tool", parts=(TextPart(text="text"),)),
        tool_result("unknown", 1),
    ],
)
def test_a_part_in_a_place_where_it_can_not_be_carried_is_refused(message: Message) -> None:
    with pytest.raises(BadRequestError):
        asked([message])


def test_earlier_turns_go_back_with_signatures_calls_and_results() -> None:
    made = asked(
        [
            user("Weather?"),
            assistant(
                ReasoningPart(text="Hm.", signature="s0"),
                ReasoningPart(text="Well."),
                ReasoningPart(text=""),
                ReasoningPart(text="other", encrypted="x"),
                TextPart(text="I look.", signature="s1"),
                RefusalPart(text="Not that."),
                ToolCallPart(id="c1", name="f", arguments={"a": 1}, signature="s2"),
                ToolCallPart(id="c2", name="g"),
                ToolCallPart(id="c3", name="g"),
                ReasoningPart(signature="s3"),
            ),
            tool_result("c1", {"sun": True}),
            tool_result("c2", [1, {2, 3} and "x"], name="named"),
            tool_result("c3", None, error="no network"),
            user("And?"),
            assistant(ReasoningPart(text="", encrypted="x")),
            tool_result("c1", b"bytes"),
        ]
    )
    assert made["contents"] == [
        {"role": "user", "parts": [{"text": "Weather?"}]},
        {
            "role": "model",
            "parts": [
                {"text": "Hm.", "thought": True, "thoughtSignature": "s0"},
                {"text": "Well.", "thought": True},
                {"text": "I look.", "thoughtSignature": "s1"},
                {"text": "Not that."},
                {
                    "functionCall": {"id": "c1", "name": "f", "args": {"a": 1}},
                    "thoughtSignature": "s2",
                },
                {"functionCall": {"id": "c2", "name": "g", "args": {}}},
                {"functionCall": {"id": "c3", "name": "g", "args": {}}},
                {"text": "", "thoughtSignature": "s3"},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "c1", "name": "f", "response": {"sun": True}}},
                {
                    "functionResponse": {
                        "id": "c2",
                        "name": "named",
                        "response": {"result": [1, "x"]},
                    }
                },
                {
                    "functionResponse": {
                        "id": "c3",
                        "name": "g",
                        "response": {"error": "no network"},
                    }
                },
            ],
        },
        {"role": "user", "parts": [{"text": "And?"}]},
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "c1", "name": "f", "response": {"result": "b'bytes'"}}}
            ],
        },
    ]


def test_an_answer_goes_back_as_it_came() -> None:
    signed_call = {
        "functionCall": {"id": "c1", "name": "f", "args": {"a": 1}},
        "thoughtSignature": "s2",
    }
    parts = [
        text("Hm.", thought=True),
        text("Hi "),
        text("you", thoughtSignature="s1"),
        text("!"),
        text("", thoughtSignature="s3"),
    ]
    answered = result(record(*parts), record(signed_call), STOP)
    sent = asked([user("Hi"), *answered.messages])["contents"]
    assert sent[1] == {"role": "model", "parts": [*parts, signed_call]}


def test_the_dialect_is_named_and_carries_its_key_in_a_header() -> None:
    assert DIALECTS["gemini"] is GEMINI
    assert (GEMINI.name, GEMINI.key_header) == ("gemini", "x-goog-api-key")


def test_a_signature_of_another_provider_does_not_go_back() -> None:
    said = Message(role="assistant", parts=(TextPart(text="a", signature='{"phase": "x"}'),))
    made = encode(Request.of([user("Hi"), said]), "m", Quirks()).body
    assert made["contents"][1]["parts"] == [{"text": "a"}]


def counting(count: int, words: list[str]) -> list[Record]:
    """An answer as Google sends it: the counts grow with each record."""
    return [
        {**record(text(w)), "usageMetadata": {**USAGE, "candidatesTokenCount": count + n}}
        for n, w in enumerate(words)
    ]


def test_the_counts_of_records_that_were_cut_out_are_told_at_the_end() -> None:
    class Plain(GeminiDecoder):
        text_changes_nothing = False

    words = ["one", "two", " three", "four \u4f60", "five", "{}", "six"]
    for ending in ([], [STOP], [{**STOP, "usageMetadata": {"trafficType": "ON_DEMAND"}}]):
        records = body(*counting(95, words), *ending)
        cut, plain = GeminiDecoder(), Plain()
        events = cut.feed(records) + cut.close()
        assert events == plain.feed(records) + plain.close()
        assert [e.output_tokens for e in events if isinstance(e, Usage)] == [101]


def test_records_without_counts_may_be_cut_out_too() -> None:
    events = answer(*(record(text(word)) for word in ("one", "two", "three")), STOP)
    assert [e.text for e in events if isinstance(e, TextDelta)] == ["one", "two", "three"]
    assert not any(isinstance(e, Usage) for e in events)


def test_counts_that_are_no_json_are_an_error_even_where_only_the_text_was_read() -> None:
    records = body(*counting(10, ["one", "two", "three"]))
    broken = records.replace(b'"candidatesTokenCount": 12', b'"candidatesTokenCount": 02')
    assert broken != records
    _, fault = decode(broken)
    assert isinstance(fault, GaiError)
    events, fault = decode(broken + body(STOP))
    assert isinstance(fault, ProtocolError)
    assert not any(isinstance(e, Finish) for e in events)
