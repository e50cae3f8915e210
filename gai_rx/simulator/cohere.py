"""Cohere's chat, version 2, as the simulator speaks it.

Source: https://docs.cohere.com/v2/reference/chat-stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gai_rx.events import Citation, FinishReason
from gai_rx.simulator.asking import Asked, Conversation, OfferedTool, Said, texts
from gai_rx.simulator.faults import Failure
from gai_rx.simulator.language import Language, Record, Turn, encode, sse
from gai_rx.simulator.script import arguments_of, cut_up, fragments

__all__ = ["COHERE"]

_REASONS: Mapping[FinishReason, str] = {
    "stop": "COMPLETE",
    "length": "MAX_TOKENS",
    "tool_calls": "TOOL_CALL",
    "content_filter": "ERROR_TOXIC",
    "refusal": "COMPLETE",
    "error": "ERROR",
    "other": "ERROR",
}
_STATUS: Mapping[str, int] = {
    "rate_limit": 429,
    "overloaded": 503,
    "server": 500,
    "authentication": 401,
    "permission": 403,
    "not_found": 404,
    "quota": 402,
}


def read(body: Mapping[str, Any], url: Mapping[str, str]) -> Asked:
    """The request of a chat."""
    heard = Conversation.of(_said(message) for message in body.get("messages") or ())
    form = body.get("response_format") or {}
    json_form = form.get("json_schema") or form.get("schema") or {}
    return Asked(
        dialect="cohere",
        model=str(body.get("model") or ""),
        prompt=heard.prompt,
        text=heard.text,
        stream=bool(body.get("stream")),
        tools=tuple(
            OfferedTool(str(f.get("name")), f.get("parameters") or {})
            for tool in body.get("tools") or ()
            if (f := tool.get("function"))
        ),
        tool_results=heard.tool_results,
        schema=json_form if form.get("type") == "json_object" else None,
        body=body,
    )


def _said(message: Mapping[str, Any]) -> Said:
    content = message.get("content")
    if message.get("role") != "tool":
        return Said(str(message.get("role")), texts(content))
    parts = content if isinstance(content, list) else [content]
    return Said("tool", "", tuple(_result(part) for part in parts))


def _result(part: Any) -> str:
    if isinstance(part, Mapping) and isinstance(part.get("document"), Mapping):
        data = part["document"].get("data")
        return data if isinstance(data, str) else encode(data).decode()
    return texts(part)


def records(turn: Turn) -> Iterator[Record]:
    """The events of a streamed answer, from `message-start` to `[DONE]`."""
    answer = turn.answer
    opening = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": []}
    start = {"id": turn.id("", "message", 32), "type": "message-start"}
    yield Record(sse({**start, "delta": {"message": {**opening, "citations": []}}}, start["type"]))
    index = 0
    if answer.reasoning:
        yield from _content(index, "thinking", cut_up(answer.reasoning))
        index += 1
    if answer.refusal:
        yield from _content(index, "text", cut_up(answer.refusal))
    elif answer.endless or answer.pieces():
        yield from _content(index, "text", answer.text_deltas())
    for number, citation in enumerate(answer.citations):
        yield _event("citation-start", number, {"citations": _citation(citation, number)})
        yield _event("citation-end", number)
    for number in range(len(answer.tool_calls)):
        yield from _call(turn, number)
    end = {"finish_reason": turn.reason(_REASONS), "usage": _usage(turn)}
    yield Record(sse({"type": "message-end", "delta": end}, "message-end"))
    yield Record(b"data: [DONE]\n\n")


def _event(kind: str, index: int, message: Any = None, *, paced: bool = False) -> Record:
    told: dict[str, Any] = {"type": kind, "index": index}
    if message is not None:
        told["delta"] = {"message": message}
    return Record(sse(told, kind), paced)


def _content(index: int, kind: str, pieces: Iterable[str]) -> Iterator[Record]:
    yield _event("content-start", index, {"content": {"type": kind, kind: ""}})
    for piece in pieces:
        yield _event("content-delta", index, {"content": {kind: piece}}, paced=True)
    yield _event("content-end", index)


def _call(turn: Turn, number: int) -> Iterator[Record]:
    call = turn.answer.tool_calls[number]
    function = {"name": call.name, "arguments": ""}
    opening = {"id": turn.call_id(number), "type": "function", "function": function}
    yield _event("tool-call-start", number, {"tool_calls": opening})
    for piece in fragments(arguments_of(call)):
        told = {"tool_calls": {"function": {"arguments": piece}}}
        yield _event("tool-call-delta", number, told, paced=True)
    yield _event("tool-call-end", number)


def _citation(citation: Citation, number: int) -> dict[str, Any]:
    document = {"id": f"doc:{number}", "title": citation.title, "url": citation.uri}
    return {
        "start": citation.start or 0,
        "end": citation.end or 0,
        "text": citation.text,
        "sources": [{"type": "document", "id": f"doc:{number}", "document": document}],
        "type": "TEXT_CONTENT",
    }


def _usage(turn: Turn) -> dict[str, Any]:
    usage = turn.usage
    counted = {"input_tokens": usage.input_tokens or 0, "output_tokens": usage.output_tokens or 0}
    told: dict[str, Any] = {"billed_units": counted, "tokens": counted}
    if usage.cached_input_tokens is not None:
        told["cached_tokens"] = usage.cached_input_tokens
    return told


def whole(turn: Turn) -> dict[str, Any]:
    """The answer in one piece."""
    answer, content = turn.answer, list[dict[str, Any]]()
    if answer.reasoning:
        content.append({"type": "thinking", "thinking": answer.reasoning})
    if answer.refusal or answer.said:
        content.append({"type": "text", "text": answer.refusal or answer.said})
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if answer.tool_calls:
        message["tool_calls"] = [
            {
                "id": turn.call_id(index),
                "type": "function",
                "function": {"name": call.name, "arguments": arguments_of(call)},
            }
            for index, call in enumerate(answer.tool_calls)
        ]
    if answer.citations:
        message["citations"] = [_citation(c, n) for n, c in enumerate(answer.citations)]
    head = {"id": turn.id("", "message", 32), "finish_reason": turn.reason(_REASONS)}
    return {**head, "message": message, "usage": _usage(turn)}


def refuse(failure: Failure) -> tuple[int, Any]:
    """A failure in Cohere's words."""
    return failure.status or _STATUS.get(failure.kind, 400), {"message": failure.message}


def error(failure: Failure, position: int) -> bytes:
    """A failure inside a stream: the answer ends for that reason."""
    told = {"finish_reason": "ERROR", "error": failure.message}
    return sse({"type": "message-end", "delta": told}, "message-end")


COHERE = Language("cohere", read, records, whole, refuse, error)
