"""OpenAI's chat completions, as the simulator speaks it.

Source: https://platform.openai.com/docs/api-reference/chat-streaming; thinking goes into
`reasoning_content`, as DeepSeek and vLLM send it, since OpenAI itself shows none here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gai_rx.events import Citation, FinishReason
from gai_rx.simulator.asking import Asked, Conversation, OfferedTool, Said, texts
from gai_rx.simulator.faults import Failure
from gai_rx.simulator.language import CREATED, Language, Record, Turn, sse
from gai_rx.simulator.script import arguments_of, cut_up, fragments

__all__ = ["OPENAI_CHAT", "refuse"]

_REASONS: Mapping[FinishReason, str] = {"refusal": "stop"}
_REFUSALS: Mapping[str, tuple[int, str, str | None]] = {
    "rate_limit": (429, "requests", "rate_limit_exceeded"),
    "overloaded": (503, "server_error", "overloaded"),
    "server": (500, "server_error", None),
    "authentication": (401, "invalid_request_error", "invalid_api_key"),
    "permission": (403, "invalid_request_error", "permission_denied"),
    "not_found": (404, "invalid_request_error", "model_not_found"),
    "quota": (429, "insufficient_quota", "insufficient_quota"),
    "context_length": (400, "invalid_request_error", "context_length_exceeded"),
    "content_filter": (400, "invalid_request_error", "content_filter"),
}


def read(body: Mapping[str, Any], url: Mapping[str, str]) -> Asked:
    """The request of a chat completion."""
    heard = Conversation.of(
        Said("tool", "", (said,)) if m.get("role") == "tool" else Said(str(m.get("role")), said)
        for m in body.get("messages") or ()
        for said in [texts(m.get("content"))]
    )
    return Asked(
        dialect="openai_chat",
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
        schema=_schema(body.get("response_format") or {}),
        with_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        body=body,
    )


def _schema(wanted: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if wanted.get("type") == "json_schema":
        return (wanted.get("json_schema") or {}).get("schema") or {}
    return {} if wanted.get("type") == "json_object" else None


def records(turn: Turn) -> Iterator[Record]:
    """The chunks of a streamed answer, from the role to `[DONE]`."""

    def chunk(delta: dict[str, Any], reason: str | None = None, *, paced: bool = False) -> Record:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return Record(sse(_head(turn, [choice])), paced)

    content = "" if turn.answer.endless or (turn.answer.said and not turn.answer.refusal) else None
    yield chunk({"role": "assistant", "content": content, "refusal": None})
    for delta in _deltas(turn):
        yield chunk(delta, paced=True)
    yield chunk({}, turn.reason(_REASONS))
    if turn.asked.with_usage:
        yield Record(sse({**_head(turn, []), "usage": _usage(turn)}))
    yield Record(b"data: [DONE]\n\n")


def _deltas(turn: Turn) -> Iterator[dict[str, Any]]:
    answer = turn.answer
    for piece in cut_up(answer.reasoning):
        yield {"reasoning_content": piece}
    for piece in cut_up(answer.refusal):
        yield {"refusal": piece}
    for piece in () if answer.refusal else answer.text_deltas():
        yield {"content": piece}
    if answer.citations:
        yield {"annotations": [_annotation(c) for c in answer.citations]}
    for index, call in enumerate(answer.tool_calls):
        function = {"name": call.name, "arguments": ""}
        opening = {"index": index, "id": turn.call_id(index), "type": "function"}
        yield {"tool_calls": [{**opening, "function": function}]}
        for piece in fragments(arguments_of(call)):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _head(turn: Turn, choices: list[dict[str, Any]]) -> dict[str, Any]:
    head: dict[str, Any] = {
        "id": turn.id("chatcmpl-"),
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": turn.asked.model,
        "service_tier": "default",
        "system_fingerprint": "fp_simulator",
        "choices": choices,
    }
    if turn.asked.with_usage:
        head["usage"] = None
    return head


def _annotation(citation: Citation) -> dict[str, Any]:
    told = {
        "url": citation.uri,
        "title": citation.title,
        "start_index": citation.start or 0,
        "end_index": citation.end or 0,
    }
    return {"type": "url_citation", "url_citation": told}


def _usage(turn: Turn) -> dict[str, Any]:
    usage = turn.usage
    return {
        "prompt_tokens": usage.input_tokens or 0,
        "completion_tokens": usage.output_tokens or 0,
        "total_tokens": usage.total_tokens or 0,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens or 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
    }


def whole(turn: Turn) -> dict[str, Any]:
    """The answer in one piece."""
    answer = turn.answer
    said = None if answer.refusal else answer.said or None
    message: dict[str, Any] = {"role": "assistant", "content": said}
    message["refusal"] = answer.refusal or None
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if answer.citations:
        message["annotations"] = [_annotation(c) for c in answer.citations]
    if answer.tool_calls:
        message["tool_calls"] = [
            {
                "id": turn.call_id(index),
                "type": "function",
                "function": {"name": call.name, "arguments": arguments_of(call)},
            }
            for index, call in enumerate(answer.tool_calls)
        ]
    choice = {"index": 0, "message": message, "logprobs": None}
    choice["finish_reason"] = turn.reason(_REASONS)
    return {**_head(turn, [choice]), "object": "chat.completion", "usage": _usage(turn)}


def refuse(failure: Failure) -> tuple[int, Any]:
    """A failure in OpenAI's words, as both of its dialects use them."""
    usual = (400, "invalid_request_error", None)
    status, kind, code = _REFUSALS.get(failure.kind, usual)
    told = {"message": failure.message, "type": kind, "param": None, "code": code}
    return failure.status or status, {"error": told}


def error(failure: Failure, position: int) -> bytes:
    """A failure inside a stream."""
    return sse(refuse(failure)[1])


OPENAI_CHAT = Language("openai_chat", read, records, whole, refuse, error)
