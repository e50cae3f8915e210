"""Anthropic's messages, as the simulator speaks it.

Source: https://docs.anthropic.com/en/docs/build-with-claude/streaming.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gai_rx.events import Citation, FinishReason
from gai_rx.simulator.asking import Asked, Conversation, OfferedTool, Said, texts
from gai_rx.simulator.faults import Failure
from gai_rx.simulator.language import Language, Record, Turn, sse
from gai_rx.simulator.script import arguments_of, cut_up, fragments

__all__ = ["ANTHROPIC_MESSAGES"]

_REASONS: Mapping[FinishReason, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
_REFUSALS: Mapping[str, tuple[int, str]] = {
    "rate_limit": (429, "rate_limit_error"),
    "overloaded": (529, "overloaded_error"),
    "server": (500, "api_error"),
    "authentication": (401, "authentication_error"),
    "permission": (403, "permission_error"),
    "not_found": (404, "not_found_error"),
    "quota": (402, "billing_error"),
    "timeout": (504, "timeout_error"),
}


def read(body: Mapping[str, Any], url: Mapping[str, str]) -> Asked:
    """The request of a message."""
    heard = Conversation.of(
        [Said("system", texts(body.get("system"))), *map(_said, body.get("messages") or ())]
    )
    form = (body.get("output_config") or {}).get("format") or body.get("output_format") or {}
    return Asked(
        dialect="anthropic_messages",
        model=str(body.get("model") or ""),
        prompt=heard.prompt,
        text=heard.text,
        stream=bool(body.get("stream")),
        tools=tuple(
            OfferedTool(str(tool.get("name")), tool.get("input_schema") or {})
            for tool in body.get("tools") or ()
            if "input_schema" in tool
        ),
        tool_results=heard.tool_results,
        schema=form.get("schema"),
        body=body,
    )


def _said(message: Mapping[str, Any]) -> Said:
    content = message.get("content")
    blocks = content if isinstance(content, list) else []
    results = (texts(b.get("content")) for b in blocks if b.get("type") == "tool_result")
    return Said(str(message.get("role")), texts(content), tuple(results))


def records(turn: Turn) -> Iterator[Record]:
    """The events of a streamed answer, from `message_start` to `message_stop`."""
    yield _event("message_start", message=_message(turn, [], None, 1))
    yield _event("ping")
    index = -1
    for index, (opening, deltas) in enumerate(_blocks(turn)):
        yield _event("content_block_start", index=index, content_block=opening)
        for delta, paced in deltas:
            yield _event("content_block_delta", paced=paced, index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    ending = {"stop_reason": turn.reason(_REASONS), "stop_sequence": None}
    yield _event("message_delta", delta=ending, usage={"output_tokens": turn.usage.output_tokens})
    yield _event("message_stop")


def _event(kind: str, *, paced: bool = False, **told: Any) -> Record:
    return Record(sse({"type": kind, **told}, kind), paced)


_Deltas = Iterable[tuple[dict[str, Any], bool]]


def _blocks(turn: Turn) -> Iterator[tuple[dict[str, Any], _Deltas]]:
    """The content blocks: how each opens, and its deltas, paced or not."""
    answer = turn.answer
    if answer.reasoning:
        yield {"type": "thinking", "thinking": "", "signature": ""}, _thinking(turn)
    if answer.refusal:
        said: Iterable[str] = cut_up(answer.refusal)
        yield {"type": "text", "text": ""}, (_text(piece) for piece in said)
    elif answer.endless or answer.pieces():
        yield {"type": "text", "text": ""}, _cited(turn)
    for index, call in enumerate(answer.tool_calls):
        opening = {"type": "tool_use", "id": turn.call_id(index, "toolu_"), "name": call.name}
        pieces = ["", *fragments(arguments_of(call))]
        deltas = [({"type": "input_json_delta", "partial_json": p}, bool(p)) for p in pieces]
        yield {**opening, "input": {}}, deltas


def _text(piece: str) -> tuple[dict[str, Any], bool]:
    return {"type": "text_delta", "text": piece}, True


def _thinking(turn: Turn) -> _Deltas:
    for piece in cut_up(turn.answer.reasoning):
        yield {"type": "thinking_delta", "thinking": piece}, True
    yield {"type": "signature_delta", "signature": turn.id("sig", size=64)}, False


def _cited(turn: Turn) -> _Deltas:
    for piece in turn.answer.text_deltas():
        yield _text(piece)
    for citation in turn.answer.citations:
        yield {"type": "citations_delta", "citation": _citation(citation)}, False


def _citation(citation: Citation) -> dict[str, Any]:
    return {
        "type": "web_search_result_location",
        "cited_text": citation.text,
        "url": citation.uri,
        "title": citation.title or None,
        "encrypted_index": "simulated",
    }


def _message(
    turn: Turn, content: list[dict[str, Any]], reason: str | None, output_tokens: int | None
) -> dict[str, Any]:
    usage = turn.usage
    return {
        "id": turn.id("msg_"),
        "type": "message",
        "role": "assistant",
        "model": turn.asked.model,
        "content": content,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": {
            "input_tokens": usage.input_tokens or 0,
            "cache_creation_input_tokens": usage.cache_write_tokens or 0,
            "cache_read_input_tokens": usage.cached_input_tokens or 0,
            "output_tokens": output_tokens or 0,
            "service_tier": "standard",
        },
    }


def whole(turn: Turn) -> dict[str, Any]:
    """The answer in one piece."""
    answer, content = turn.answer, list[dict[str, Any]]()
    if answer.reasoning:
        signature = turn.id("sig", size=64)
        content.append({"type": "thinking", "thinking": answer.reasoning, "signature": signature})
    if answer.refusal or answer.said:
        text: dict[str, Any] = {"type": "text", "text": answer.refusal or answer.said}
        if answer.citations:
            text["citations"] = [_citation(c) for c in answer.citations]
        content.append(text)
    for index, call in enumerate(answer.tool_calls):
        made = {"type": "tool_use", "id": turn.call_id(index, "toolu_"), "name": call.name}
        content.append({**made, "input": call.arguments})
    return _message(turn, content, turn.reason(_REASONS), turn.usage.output_tokens)


def refuse(failure: Failure) -> tuple[int, Any]:
    """A failure in Anthropic's words."""
    status, kind = _REFUSALS.get(failure.kind, (400, "invalid_request_error"))
    told = {"type": "error", "error": {"type": kind, "message": failure.message}}
    return failure.status or status, told


def error(failure: Failure, position: int) -> bytes:
    """A failure inside a stream."""
    return sse(refuse(failure)[1], "error")


ANTHROPIC_MESSAGES = Language(
    "anthropic_messages",
    read,
    records,
    whole,
    refuse,
    error,
    comment=sse({"type": "ping"}, "ping"),
    request_id_header="request-id",
)
