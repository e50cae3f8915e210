"""What a provider has answered goes back to it in the form that it takes: history of real answers.

Each recorded answer with calls or JSON is read, its calls are answered, and the request of the next
turn is held against the types of the provider's own SDK, and against rules that types do not say.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib import import_module
from typing import Any

import pytest
from pydantic import TypeAdapter

from gai_rx.dialects import DIALECTS, Quirks
from gai_rx.events import ToolCall
from gai_rx.hosts import HOSTS
from gai_rx.request import Message, Request, ToolResultPart, user
from gai_rx.result import Result
from gai_rx.result_builder import ResultBuilder
from gai_rx.tools import Tool
from tests import corpus
from tests.request_types import mismatches

ENTRIES = corpus.streams(cautioned=True)
pytestmark = pytest.mark.skipif(not ENTRIES, reason="the recorded answers are not here")

NO_TEXT = re.compile(r"\s*")
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}


# No answer of Ollama with calls is among the recorded ones.
MADE = {
    "id": "made",
    "api": "ollama",
    "provider": "ollama",
    "made": b"""
{"model": "m", "message": {"role": "assistant", "content": "", "thinking": "Hm", "tool_calls": [
 {"id": "c1", "function": {"index": 0, "name": "weather", "arguments": {"city": "Oslo"}}},
 {"function": {"index": 1, "name": "now", "arguments": {}}}]}, "done": false}
""".replace(b"\n", b"")
    + b'\n{"model": "m", "message": {"role": "assistant", "content": ""}, "done": true}\n',
}


class Trip:
    """A recorded answer, and the request that goes on from it."""

    def __init__(self, entry: dict[str, Any]) -> None:
        self.entry = entry
        self.dialect = corpus.DIALECT_OF[entry["api"]]
        host = HOSTS.get(entry["provider"])
        told = host if host is not None and host.dialect == self.dialect else None
        self.quirks = told.quirks if told is not None else Quirks()
        dialect = DIALECTS[self.dialect]
        decoder = dialect.decoder(self.quirks)
        builder = ResultBuilder()
        builder.extend(decoder.feed(entry.get("made") or corpus.body(entry)))
        builder.extend(decoder.close())
        self.whole = decoder.fault is None
        self.result: Result = builder.result()
        self.calls = _waiting(self.result.tool_calls)
        ended = {r.id for r in self.result.tool_results}
        runs = {c.id for c in self.result.tool_calls if c.provider_executed}
        # Anthropic goes on by itself with what it runs, once the other calls are answered.
        self.paused = self.dialect == "anthropic_messages" and (
            self.result.raw_reason == "pause_turn" or bool(runs - ended)
        )
        call = dialect.encode(self.request(), "m", self.quirks)
        self.body: dict[str, Any] = json.loads(json.dumps(call.body))

    @property
    def counts(self) -> bool:
        """Whether the answer has calls, or text that is JSON."""
        result = self.result
        has_calls = bool(result.tool_calls or result.tool_results)
        return self.whole and (has_calls or _is_json(result.text))

    def request(self) -> Request:
        """The next turn: each call answered by a message of its own, then a word of the user."""
        answers = [
            Message(role="tool", parts=(ToolResultPart(id=c.id, name=c.name, result={"n": n}),))
            for n, c in enumerate(self.calls)
        ]
        names = dict.fromkeys(c.name for c in self.calls)
        history = (user("Begin."), *self.result.messages, *answers)
        return Request(
            messages=history if self.paused else (*history, user("Go on.")),
            tools=tuple(Tool(name=n, description="A tool.", parameters=PARAMETERS) for n in names),
        )


def _waiting(calls: Iterable[ToolCall]) -> tuple[ToolCall, ...]:
    """The calls that the caller is to answer: of several with one id the first."""
    mine: dict[str, ToolCall] = {}
    for call in calls:
        if not call.provider_executed and call.invalid is None:
            mine.setdefault(call.id, call)
    return tuple(mine.values())


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


@cache
def trips(dialect: str) -> tuple[Trip, ...]:
    """The recorded answers of a dialect that have calls, or JSON for their text."""
    of_dialect = [e for e in (*ENTRIES, MADE) if corpus.DIALECT_OF[e["api"]] == dialect]
    return tuple(trip for trip in map(Trip, of_dialect) if trip.counts)


def report(dialect: str, find: Callable[[Trip], Iterable[str]]) -> None:
    """Fail with the first faults that are found in the requests of a dialect."""
    assert trips(dialect), "no recorded answer is of use here"
    found = [f"{trip.entry['id']}: {fault}" for trip in trips(dialect) for fault in find(trip)]
    shown = "\n".join(found[:12])
    assert not found, f"{len(found)} faults, the first of them:\n{shown}"


# The types of the official SDKs.


def test_chat_histories_are_of_the_sdks_types() -> None:
    pytest.importorskip("openai")
    module = import_module("openai.types.chat.completion_create_params")

    def find(trip: Trip) -> Iterable[str]:
        extra = trip.quirks.reasoning_field  # known to some hosts only
        kept = [{k: v for k, v in m.items() if k != extra} for m in trip.body["messages"]]
        told = {**trip.body, "messages": kept}
        return mismatches(told, module.CompletionCreateParamsStreaming)

    report("openai_chat", find)


def test_responses_histories_are_of_the_sdks_types() -> None:
    pytest.importorskip("openai")
    module = import_module("openai.types.responses.response_create_params")

    def find(trip: Trip) -> Iterable[str]:
        # Thinking goes back without its id, which the types want: see `_thought` of the encoder.
        items = trip.body["input"]
        told = [{"id": "rs_1", **i} if i.get("type") == "reasoning" else i for i in items]
        return mismatches({**trip.body, "input": told}, module.ResponseCreateParamsStreaming)

    report("openai_responses", find)


def test_messages_histories_are_of_the_sdks_types() -> None:
    pytest.importorskip("anthropic")
    stable = import_module("anthropic.types.message_create_params").MessageCreateParamsStreaming
    module = import_module("anthropic.types.beta.message_create_params")
    beta = module.MessageCreateParamsStreaming  # its answers can hold more kinds of blocks

    def find(trip: Trip) -> Iterable[str]:
        told = _without_nulls(trip.body)  # some have no type, and say nothing
        return mismatches(told, stable) and mismatches(told, beta)

    report("anthropic_messages", find)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


def test_gemini_histories_are_of_the_sdks_types() -> None:
    types = pytest.importorskip("google.genai").types

    def find(trip: Trip) -> Iterable[str]:
        for name, kind in (("contents", types.Content), ("tools", types.Tool)):
            for told in trip.body.get(name, ()):
                yield from _refusals(told, kind)

    report("gemini", find)


def test_ollama_histories_are_of_the_sdks_types() -> None:
    pytest.importorskip("ollama")
    types = import_module("ollama._types")

    def find(trip: Trip) -> Iterable[str]:
        yield from _refusals(trip.body, types.ChatRequest)
        for message in trip.body["messages"]:
            told = _without_ids(message)
            if "tool_calls" in told:
                told["tool_calls"] = [_without_ids(call) for call in told["tool_calls"]]
            yield from _refusals(told, types.Message)

    report("ollama", find)


def _without_ids(told: dict[str, Any]) -> dict[str, Any]:
    """Without what Ollama's server takes, and its SDK does not have."""
    return {key: value for key, value in told.items() if key not in ("id", "tool_call_id")}


def test_cohere_histories_are_of_the_sdks_types() -> None:
    pytest.importorskip("cohere")
    types = import_module("cohere.types")

    def find(trip: Trip) -> Iterable[str]:
        for message in trip.body["messages"]:
            yield from _refusals(message, types.ChatMessageV2)
        for tool in trip.body.get("tools", ()):
            yield from _refusals(tool, types.ToolV2)

    report("cohere", find)


def _refusals(told: Any, kind: Any) -> list[str]:
    """What the model of an SDK has against some JSON; keys that it does not know count too."""
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    try:
        adapter.validate_json(json.dumps(told), extra="forbid")
    except ValueError as error:
        return [str(error)]
    return []


# What the types do not say.


def _paired(asked: Sequence[Any], answered: Sequence[Any]) -> Iterable[str]:
    """Each call has one answer, of its id, and no answer is without a call."""
    if len(set(asked)) != len(asked):
        yield f"one id for several calls: {asked}"
    if list(asked) != list(answered):
        yield f"the calls {asked} are answered by {answered}"


def _same_calls(trip: Trip, found: Sequence[tuple[str, Any]]) -> Iterable[str]:
    """The calls that went back are those that came, with the same arguments."""
    if [(c.name, c.arguments) for c in trip.calls] != list(found):
        yield f"other calls than came: {found}"


def _same_text(trip: Trip, found: str) -> Iterable[str]:
    if found != trip.result.text:
        yield f"other text than came: {found[:60]!r}"


def test_a_chat_turn_with_calls_is_followed_by_their_results() -> None:
    def find(trip: Trip) -> Iterable[str]:
        turns = trip.body["messages"][1:-1]
        said = [m for m in turns if m["role"] == "assistant"]
        calls = [call for m in said for call in m.get("tool_calls", ())]
        functions = [call["function"] for call in calls]
        yield from _paired([c["id"] for c in calls], [m["tool_call_id"] for m in turns[1:]])
        yield from _same_calls(trip, [(f["name"], json.loads(f["arguments"])) for f in functions])
        yield from _same_text(trip, "".join(m["content"] or "" for m in said))
        if not all(m["content"] or m.get("tool_calls") or m.get("refusal") for m in said):
            yield "a turn that says nothing"
        field = trip.quirks.reasoning_field
        if field and "".join(m.get(field, "") for m in said) != trip.result.reasoning:
            yield "other thinking than came"

    report("openai_chat", find)


def test_items_of_a_response_go_back_in_their_order_and_with_their_outputs() -> None:
    def find(trip: Trip) -> Iterable[str]:
        items = trip.body["input"][1:-1]
        asked = [i for i in items if i.get("type") in ("function_call", "custom_tool_call")]
        made = [i for i in items if i.get("type") in _OUTPUTS]
        yield from _paired([i["call_id"] for i in asked], [i["call_id"] for i in made])
        for call, output in zip(asked, made, strict=False):
            late = items.index(call) < items.index(output)
            if output["type"] != f"{call['type']}_output" or not late:
                yield f"{output['type']} for {call['type']}"
        called = [(i["name"], json.loads(i.get("arguments") or "{}")) for i in asked]
        yield from _same_calls(trip, called)
        said = [i["content"] for i in items if i.get("role") == "assistant"]
        yield from _same_text(trip, "".join(said))
        kept = [i for i in items if i.get("type") not in _OUTPUTS]
        got, expected = _kinds(kept), _kinds(_sent_back(trip))
        if got != expected:
            yield f"{got} instead of {expected}"

    report("openai_responses", find)


_OUTPUTS = ("function_call_output", "custom_tool_call_output")
_LEFT_OUT = (  # what came of them is in the answer's text, and their ids are those of a store
    "web_search_call",
    "file_search_call",
    "code_interpreter_call",
    "image_generation_call",
    "mcp_call",
    "mcp_list_tools",
    "mcp_approval_request",
    "apply_patch_call",
    "local_shell_call",
)


def _output(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """The items of a recorded response, as they were complete."""
    items = [r["item"] for r in _records(entry) if r.get("type") == "response.output_item.done"]
    return items or _records(entry)[-1]["response"]["output"]


def _sent_back(trip: Trip) -> list[dict[str, Any]]:
    """The items that have to go back: all but those of tools that leave nothing to refer to."""
    mine = {call.id for call in trip.calls}
    return [
        item
        for item in _output(trip.entry)
        if item["type"] not in _LEFT_OUT
        and (item["type"] != "custom_tool_call" or item["call_id"] in mine)
        and (item["type"] != "reasoning" or item.get("encrypted_content"))
        and (item["type"] != "message" or any(c.get("text") for c in item["content"]))
    ]


def _kinds(items: Iterable[dict[str, Any]]) -> list[tuple[str, int, Any]]:
    """What must not change: the order of the kinds, opaque data, and the ids that others name."""
    told = [
        (i.get("type", "message"), hash(i.get("encrypted_content")), i.get("call_id"))
        for i in items
    ]
    return [t for n, t in enumerate(told) if t[0] != "message" or told[n - 1 : n] != [t]]


_ENDS = ("message_stop", "response.completed", "response.incomplete")


def _records(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """The records of an answer, read without any of our code."""
    lines = corpus.body(entry).decode().replace("\r\n", "\n").split("\n")
    data = [line[5:].strip() for line in lines if line.startswith("data:")]
    records = [json.loads(line) for line in data if line and line != "[DONE]"]
    ends = (n for n, record in enumerate(records, 1) if record.get("type") in _ENDS)
    return records[: next(ends, None)]  # some bodies are several answers in a row


def test_messages_go_back_block_by_block_as_they_came() -> None:
    def find(trip: Trip) -> Iterable[str]:
        turns = trip.body["messages"]
        roles = [turn["role"] for turn in turns]
        if roles != [("user", "assistant")[n % 2] for n in range(len(roles))]:
            yield f"roles that do not take turns: {roles}"
        blocks = [block for turn in turns for block in turn["content"]]
        if any(b["type"] == "text" and NO_TEXT.fullmatch(b["text"]) for b in blocks):
            yield "a text without a word"
        said = turns[1]["content"]
        asked = [b["id"] for b in said if b["type"] == "tool_use"]
        after = turns[2]["content"] if turns[2:] else []
        answered = [b["tool_use_id"] for b in after if b["type"] == "tool_result"]
        yield from _paired(asked, answered)
        words = ["text"] * (not trip.paused)
        if [b["type"] for b in after] != ["tool_result"] * len(answered) + words:
            yield "results that are not the first of their turn"
        expected = _came(trip.entry)
        for got, came in zip(map(_plain, said), expected, strict=False):
            if got != came:
                yield f"{str(got)[:90]} instead of {str(came)[:90]}"
                break
        if len(said) != len(expected):
            yield f"{len(said)} blocks instead of {len(expected)}"

    report("anthropic_messages", find)


def _came(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """The blocks of a recorded message as they go back; the caller's calls come last."""
    blocks: dict[int, dict[str, Any]] = {}
    inputs: dict[int, str] = {}
    for record in _records(entry):
        if record["type"] == "message_start":
            blocks.update(enumerate(record["message"]["content"]))
        elif record["type"] == "content_block_start":
            blocks[record["index"]] = dict(record["content_block"])
        elif record["type"] == "content_block_delta":
            block, delta = blocks[record["index"]], record["delta"]
            for key in ("text", "thinking", "signature"):
                if key in delta:
                    block[key] = (block.get(key) or "") + delta[key]
            if "partial_json" in delta:
                inputs[record["index"]] = inputs.get(record["index"], "") + delta["partial_json"]
    for index, text in inputs.items():
        blocks[index]["input"] = json.loads(text or "{}")
    kept = [_plain(b) for b in blocks.values() if b["type"] not in ("compaction", "fallback")]
    kept = [b for b in kept if not NO_TEXT.fullmatch(b.get("text", "."))]
    return sorted(kept, key=lambda b: b["type"] == "tool_use")


def _plain(block: dict[str, Any]) -> dict[str, Any]:
    """Without what says nothing, and without the citations of a text."""
    nothing = (None, {"type": "direct"})
    return {k: v for k, v in block.items() if k != "citations" and v not in nothing}


def test_gemini_takes_back_the_parts_and_signatures_that_came() -> None:
    def find(trip: Trip) -> Iterable[str]:
        contents = trip.body["contents"]
        said = contents[1]["parts"] if contents[1]["role"] == "model" else []
        asked = [p["functionCall"] for p in said if "functionCall" in p]
        yield from _same_calls(trip, [(c["name"], c["args"]) for c in asked])
        texts = [p for p in said if "text" in p and not p.get("thought")]
        yield from _same_text(trip, "".join(p["text"] for p in texts))
        after = contents[2]["parts"] if asked else []
        given = [p["functionResponse"] for p in after if "functionResponse" in p]
        yield from _paired(
            [(c["id"], c["name"]) for c in asked], [(r["id"], r["name"]) for r in given]
        )
        if len(given) != len(after):
            yield "results beside other parts"
        expected, got = _marked(_parts(trip.entry)), _marked(said)
        if got != expected:
            yield f"{str(got)[:200]} instead of {str(expected)[:200]}"

    report("gemini", find)


def _parts(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts of the first candidate of a recorded answer."""
    candidates = [c for r in _records(entry) for c in r.get("candidates") or ()]
    return [
        part
        for candidate in candidates
        if not candidate.get("index")
        for part in (candidate.get("content") or {}).get("parts") or ()
    ]


def _marked(parts: Iterable[dict[str, Any]]) -> list[tuple[str, Any, Any]]:
    """What must not change: signatures with the text that they sign, and the runs of Google."""
    runs = ("executableCode", "codeExecutionResult", "toolCall", "toolResponse")
    marked = []
    for part in parts:
        kind = next((k for k in (*runs, "functionCall", "text") if k in part), "")
        if kind in runs or part.get("thoughtSignature"):
            told = part[kind] if kind in (*runs, "text") else None
            marked.append((kind, told, part.get("thoughtSignature")))
    return marked


def test_ollama_and_cohere_are_given_each_result_after_its_call() -> None:
    def find(trip: Trip) -> Iterable[str]:
        turns = trip.body["messages"][1:-1]
        calls = [c for m in turns if m["role"] == "assistant" for c in m.get("tool_calls", ())]
        results = [m for m in turns if m["role"] == "tool"]
        yield from _paired([c["id"] for c in calls], [m["tool_call_id"] for m in results])
        if [m["role"] for m in turns] != ["assistant"] + ["tool"] * len(results):
            yield f"turns in another order: {[m['role'] for m in turns]}"
        yield from _same_calls(trip, [_called(c["function"]) for c in calls])
        said = turns[0].get("content") or ""
        parts = [{"type": "text", "text": said}] if isinstance(said, str) else said
        yield from _same_text(trip, "".join(p["text"] for p in parts if p["type"] == "text"))
        if not (said or calls):
            yield "a turn that says nothing"

    report("ollama", find)
    report("cohere", find)


def _called(function: dict[str, Any]) -> tuple[str, Any]:
    told = function["arguments"]  # text for Cohere, an object for Ollama
    return function["name"], json.loads(told) if isinstance(told, str) else told
