"""Ollama's chat and generate, as the simulator speaks it.

Source: https://docs.ollama.com/api. One JSON object a line; tool calls come whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gai_rx.events import FinishReason
from gai_rx.simulator.asking import Asked, Conversation, OfferedTool, Said, texts
from gai_rx.simulator.faults import Failure
from gai_rx.simulator.language import NDJSON, Language, Record, Turn, encode
from gai_rx.simulator.script import cut_up

__all__ = ["OLLAMA"]

_CREATED = "2026-01-01T00:00:00.000000Z"
_TOKEN_TIME = 20_000_000  # nanoseconds
_REASONS: Mapping[FinishReason, str] = {"tool_calls": "stop", "refusal": "stop"}
_STATUS: Mapping[str, int] = {
    "rate_limit": 429,
    "overloaded": 503,
    "server": 500,
    "authentication": 401,
    "permission": 403,
    "not_found": 404,
}


def read(body: Mapping[str, Any], url: Mapping[str, str]) -> Asked:
    """The request of `/api/chat`, or of `/api/generate`, which has a prompt."""
    messages = body.get("messages") or (
        {"role": "system", "content": body.get("system")},
        {"role": "user", "content": body.get("prompt")},
    )
    heard = Conversation.of(
        Said("tool", "", (said,)) if m.get("role") == "tool" else Said(str(m.get("role")), said)
        for m in messages
        for said in [texts(m.get("content"))]
    )
    form = body.get("format")
    return Asked(
        dialect="ollama",
        model=str(body.get("model") or ""),
        prompt=heard.prompt,
        text=heard.text,
        stream=bool(body.get("stream", True)),
        tools=tuple(
            OfferedTool(str(f.get("name")), f.get("parameters") or {})
            for tool in body.get("tools") or ()
            if (f := tool.get("function"))
        ),
        tool_results=heard.tool_results,
        schema=form if isinstance(form, Mapping) else ({} if form == "json" else None),
        body=body,
    )


def records(turn: Turn) -> Iterator[Record]:
    """The lines of a streamed answer, from the first word to `"done": true`."""
    for told in _deltas(turn):
        yield Record(encode(_line(turn, **told)) + b"\n", delta=True)
    yield Record(encode(_done(turn, content="")) + b"\n")


def _deltas(turn: Turn) -> Iterator[dict[str, Any]]:
    answer = turn.answer
    for piece in cut_up(answer.reasoning):
        yield {"content": "", "thinking": piece}
    for piece in cut_up(answer.refusal) if answer.refusal else answer.text_deltas():
        yield {"content": piece}
    for call in _calls(turn):
        yield {"content": "", "tool_calls": [call]}


def _calls(turn: Turn) -> list[dict[str, Any]]:
    return [
        {
            "id": turn.call_id(index),
            "function": {"index": index, "name": call.name, "arguments": call.arguments},
        }
        for index, call in enumerate(turn.answer.tool_calls)
    ]


def _line(turn: Turn, *, done: bool = False, content: str, **told: Any) -> dict[str, Any]:
    head = {"model": turn.asked.model, "created_at": _CREATED}
    if "messages" in turn.asked.body:
        message = {"role": "assistant", "content": content, **told}
        return {**head, "message": message, "done": done}
    return {**head, "response": content, **told, "done": done}


def _done(turn: Turn, **told: Any) -> dict[str, Any]:
    read, written = turn.usage.input_tokens or 0, turn.usage.output_tokens or 0
    return {
        **_line(turn, done=True, **told),
        "done_reason": turn.reason(_REASONS),
        "total_duration": (read + written) * _TOKEN_TIME,
        "load_duration": _TOKEN_TIME,
        "prompt_eval_count": read,
        "prompt_eval_duration": read * _TOKEN_TIME,
        "eval_count": written,
        "eval_duration": written * _TOKEN_TIME,
    }


def whole(turn: Turn) -> dict[str, Any]:
    """The answer in one piece."""
    answer = turn.answer
    told: dict[str, Any] = {"content": answer.refusal or answer.said}
    if answer.reasoning:
        told["thinking"] = answer.reasoning
    if answer.tool_calls:
        told["tool_calls"] = _calls(turn)
    return _done(turn, **told)


def refuse(failure: Failure) -> tuple[int, Any]:
    """A failure in Ollama's words, which are one text."""
    return failure.status or _STATUS.get(failure.kind, 400), {"error": failure.message}


def error(failure: Failure, position: int) -> bytes:
    """A failure inside a stream."""
    return encode(refuse(failure)[1]) + b"\n"


OLLAMA = Language(
    "ollama",
    read,
    records,
    whole,
    refuse,
    error,
    content_type=NDJSON,
    comment=b"\n",
    broken=b'{"broken": \n',
)
