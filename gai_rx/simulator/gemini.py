"""Google's Gemini, as the simulator speaks it.

Source: https://ai.google.dev/api/generate-content. Lines end in CRLF, nothing marks the end but
the finish reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from gai_rx.events import FinishReason
from gai_rx.simulator.asking import Asked, Conversation, OfferedTool, Said, texts
from gai_rx.simulator.faults import Failure
from gai_rx.simulator.language import Language, Record, Turn, sse
from gai_rx.simulator.script import cut_up

__all__ = ["GEMINI"]

_REASONS: Mapping[FinishReason, str] = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "tool_calls": "STOP",
    "content_filter": "SAFETY",
    "refusal": "STOP",
    "error": "OTHER",
    "other": "OTHER",
}
_REFUSALS: Mapping[str, tuple[int, str]] = {
    "rate_limit": (429, "RESOURCE_EXHAUSTED"),
    "quota": (429, "RESOURCE_EXHAUSTED"),
    "overloaded": (503, "UNAVAILABLE"),
    "server": (500, "INTERNAL"),
    "authentication": (401, "UNAUTHENTICATED"),
    "permission": (403, "PERMISSION_DENIED"),
    "not_found": (404, "NOT_FOUND"),
    "timeout": (504, "DEADLINE_EXCEEDED"),
}


def read(body: Mapping[str, Any], url: Mapping[str, str]) -> Asked:
    """The request to generate content; the URL names the model and the form of the answer."""
    if url.get("method") == "streamGenerateContent" and url.get("alt") != "sse":
        raise ValueError("without alt=sse Gemini sends one JSON array, which is not simulated")
    system = texts((body.get("systemInstruction") or {}).get("parts"))
    heard = Conversation.of([Said("system", system), *map(_said, body.get("contents") or ())])
    return Asked(
        dialect="gemini",
        model=url.get("model", ""),
        prompt=heard.prompt,
        text=heard.text,
        stream=url.get("method") == "streamGenerateContent",
        tools=tuple(_tools(body)),
        tool_results=heard.tool_results,
        schema=_schema(body.get("generationConfig") or {}),
        body=body,
    )


def _said(content: Mapping[str, Any]) -> Said:
    parts = content.get("parts") or ()
    told = [p["functionResponse"].get("response") for p in parts if "functionResponse" in p]
    results = tuple(json.dumps(r, ensure_ascii=False) for r in told)
    return Said(str(content.get("role") or "user"), texts(parts), results)


def _tools(body: Mapping[str, Any]) -> Iterator[OfferedTool]:
    for group in body.get("tools") or ():
        for tool in group.get("functionDeclarations") or ():
            parameters = tool.get("parametersJsonSchema") or tool.get("parameters") or {}
            yield OfferedTool(str(tool.get("name")), parameters)


def _schema(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    schema = config.get("responseJsonSchema") or config.get("responseSchema")
    if schema is None and config.get("responseMimeType") == "application/json":
        return {}
    return schema


def records(turn: Turn) -> Iterator[Record]:
    """The chunks of a streamed answer; the last one has the finish reason."""
    for part in _parts(turn):
        yield Record(sse(_chunk(turn, [part]), end=b"\r\n"), delta=True)
    yield Record(sse(_last(turn, [{"text": ""}]), end=b"\r\n"))


def _parts(turn: Turn) -> Iterator[dict[str, Any]]:
    answer = turn.answer
    for piece in cut_up(answer.reasoning):
        yield {"text": piece, "thought": True}
    for piece in cut_up(answer.refusal) if answer.refusal else answer.text_deltas():
        yield {"text": piece}
    yield from _calls(turn)


def _calls(turn: Turn) -> Iterator[dict[str, Any]]:
    for call in turn.answer.tool_calls:
        told = {"name": call.name, "args": call.arguments}
        yield {"functionCall": {"id": call.id, **told} if call.id else told}


def _chunk(turn: Turn, parts: list[dict[str, Any]]) -> dict[str, Any]:
    prompt = turn.usage.input_tokens or 0
    return {
        "candidates": [{"content": {"parts": parts, "role": "model"}, "index": 0}],
        "usageMetadata": {"promptTokenCount": prompt, "totalTokenCount": prompt},
        "modelVersion": turn.asked.model,
        "responseId": turn.id("", "response", 22),
    }


def _last(turn: Turn, parts: list[dict[str, Any]]) -> dict[str, Any]:
    chunk = _chunk(turn, parts)
    candidate = chunk["candidates"][0]
    candidate["finishReason"] = turn.reason(_REASONS)
    if turn.answer.citations:
        candidate["groundingMetadata"] = _grounding(turn)
    return {**chunk, "usageMetadata": _usage(turn)}


def _grounding(turn: Turn) -> dict[str, Any]:
    cited = turn.answer.citations
    supports = [
        {
            "segment": {
                "startIndex": c.start or 0,
                "endIndex": c.end or 0,
                "text": turn.answer.said[c.start or 0 : c.end or 0],
            },
            "groundingChunkIndices": [number],
        }
        for number, c in enumerate(cited)
    ]
    chunks = [{"web": {"uri": c.uri, "title": c.title}} for c in cited]
    return {"groundingChunks": chunks, "groundingSupports": supports}


def _usage(turn: Turn) -> dict[str, Any]:
    usage = turn.usage
    thought, written = usage.reasoning_tokens or 0, usage.output_tokens or 0
    told: dict[str, Any] = {
        "promptTokenCount": usage.input_tokens or 0,
        # Google counts thinking apart; a script says what Google would say.
        "candidatesTokenCount": written if turn.answer.usage else written - thought,
        "totalTokenCount": usage.total_tokens or 0,
    }
    if thought:
        told["thoughtsTokenCount"] = thought
    if usage.cached_input_tokens:
        told["cachedContentTokenCount"] = usage.cached_input_tokens
    return told


def whole(turn: Turn) -> dict[str, Any]:
    """The answer in one piece."""
    answer, parts = turn.answer, list[dict[str, Any]]()
    if answer.reasoning:
        parts.append({"text": answer.reasoning, "thought": True})
    if answer.refusal or answer.said:
        parts.append({"text": answer.refusal or answer.said})
    return _last(turn, [*parts, *_calls(turn)])


def refuse(failure: Failure) -> tuple[int, Any]:
    """A failure in Google's words; how long to wait is in the body too."""
    status, word = _REFUSALS.get(failure.kind, (400, "INVALID_ARGUMENT"))
    status = failure.status or status
    told: dict[str, Any] = {"code": status, "message": failure.message, "status": word}
    if failure.retry_after is not None:
        kind = "type.googleapis.com/google.rpc.RetryInfo"
        told["details"] = [{"@type": kind, "retryDelay": f"{failure.retry_after:g}s"}]
    return status, {"error": told}


def error(failure: Failure, position: int) -> bytes:
    """A failure inside a stream."""
    return sse(refuse(failure)[1], end=b"\r\n")


GEMINI = Language(
    "gemini",
    read,
    records,
    whole,
    refuse,
    error,
    comment=b": keep-alive\r\n\r\n",
    broken=b'data: {"broken": \r\n\r\n',
)
