"""Anthropic's Messages.

Source: https://docs.anthropic.com/en/docs/build-with-claude/streaming. Only `message_stop` proves
that an answer is complete. New events, deltas and blocks are promised to come: they become `Raw`.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from gai_rx.dialects.contract import Call, Decoder, Dialect, Quirks, cut_reason, merge, whole
from gai_rx.dialects.parts import told_result, unsupported
from gai_rx.dialects.tool_calls import OpenCall
from gai_rx.errors import ProtocolError
from gai_rx.events import (
    Citation,
    Citations,
    FinishReason,
    ToolResult,
    Usage,
    reasoning_delta,
    text_delta,
)
from gai_rx.request import (
    FilePart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    Request,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

__all__ = ["ANTHROPIC_MESSAGES", "MessagesDecoder", "encode"]

_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
}


class MessagesDecoder(Decoder):
    """The state of one message."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._id: str | None = None
        self._reason: str | None = None
        self._counts: dict[str, Any] = {}
        self._blocks: dict[int, dict[str, Any]] = {}
        self._open: dict[int, OpenCall] = {}
        self._calls: list[OpenCall] = []
        self._closed: set[int] = set()

    def on_record(self, record: dict[str, Any], name: bytes) -> None:
        """Take one event; the first branch is the hot path, a piece of text."""
        kind = record.get("type")
        if kind == "content_block_delta":
            delta, index = record["delta"], record["index"]
            if index not in self._blocks:
                raise ProtocolError(f"a delta for block {index}, which is not open")
            if delta["type"] == "text_delta":
                if delta["text"]:
                    self.out.append(text_delta(delta["text"], 0, index))
            else:
                self._on_delta(delta, index)
        elif kind == "error" or (kind is None and record.get("error")):
            self.raise_error(record)
        elif (take := self._rules.get(kind or "")) is not None:
            take(self, record)
        elif kind != "ping":
            self.unknown(record)

    def _on_message(self, record: dict[str, Any]) -> None:
        message = record["message"]
        if self.begun:
            if message.get("id") == self._id:
                return  # a proxy sent it twice
            raise ProtocolError(
                f"a second message begins inside the first ({self._id}, then {message.get('id')})"
            )
        self._id = message.get("id")
        self.begin(message.get("model"), self._id)
        self._count(message.get("usage"))

    def _on_block(self, record: dict[str, Any]) -> None:
        block, index = record["content_block"], record["index"]
        self.begin()
        self._blocks[index] = block
        kind = block["type"]
        if kind == "text":
            if block.get("text"):
                self.out.append(text_delta(block["text"], 0, index))
            if block.get("citations"):
                self._cite(block["citations"])
        elif kind == "thinking":
            if block.get("thinking") or block.get("signature"):
                self.out.append(
                    reasoning_delta(
                        block.get("thinking") or "", 0, index, block.get("signature") or None
                    )
                )
        elif kind == "redacted_thinking":
            self.out.append(reasoning_delta("", 0, index, None, block["data"]))
        elif kind.endswith("tool_use"):
            self._on_call(block, index)
        elif kind.endswith("tool_result"):
            self._on_result(block)
        else:
            self.unknown(record)

    def _on_call(self, block: dict[str, Any], index: int) -> None:
        call = self.open_call(len(self._calls), block.get("id"), block.get("name"))
        call.provider_executed = block["type"] != "tool_use"
        self._calls.append(call)
        self._open[index] = call
        if block.get("input"):  # sent whole at once by some proxies
            self._add(call, block["input"])

    def _add(self, call: OpenCall, fragment: Any) -> None:
        delta = call.add(fragment)
        if delta is not None and not call.provider_executed:
            self.out.append(delta)

    def _on_result(self, block: dict[str, Any]) -> None:
        """A tool that the provider ran itself: its result comes whole."""
        content = block.get("content")
        failed = block.get("is_error") or (
            isinstance(content, dict) and str(content.get("type", "")).endswith("_error")
        )
        told = content.get("error_code") if isinstance(content, dict) else None
        self.out.append(
            ToolResult(
                id=block.get("tool_use_id") or "",
                name=block["type"].removesuffix("_tool_result"),
                result=content,
                error=str(told or "failed") if failed else None,
                provider_executed=True,
            )
        )

    def _on_delta(self, delta: dict[str, Any], index: int) -> None:
        kind = delta["type"]
        if kind == "input_json_delta":
            if index in self._open:
                self._add(self._open[index], delta["partial_json"])
        elif kind == "thinking_delta":
            if delta["thinking"]:
                self.out.append(reasoning_delta(delta["thinking"], 0, index))
        elif kind == "signature_delta":
            self.out.append(reasoning_delta("", 0, index, delta["signature"]))
        elif kind == "citations_delta":
            self._cite([delta["citation"]])
        else:
            self.unknown(delta)

    def _on_block_end(self, record: dict[str, Any]) -> None:
        index = record["index"]
        if self._blocks.pop(index, None) is None and index not in self._closed:
            raise ProtocolError(f"block {index} ends without having begun")
        self._closed.add(index)
        call = self._open.pop(index, None)
        if call is not None and call.provider_executed:
            self.out.append(call.close())

    def _on_message_delta(self, record: dict[str, Any]) -> None:
        self._reason = record["delta"].get("stop_reason") or self._reason
        self._count(record.get("usage"))

    def _on_stop(self, record: dict[str, Any]) -> None:
        reason = _REASONS.get(self._reason or "", "other")
        self._read_usage()
        mine = [c for c in self._calls if not c.provider_executed]
        self.close_calls(mine, cut_reason(reason))
        self.finish(reason, self._reason)

    _rules = {  # noqa: RUF012 - filled once, read only
        "message_start": _on_message,
        "content_block_start": _on_block,
        "content_block_stop": _on_block_end,
        "message_delta": _on_message_delta,
        "message_stop": _on_stop,
    }

    def _cite(self, told: list[dict[str, Any]]) -> None:
        self.out.append(Citations(items=tuple(_citation(c) for c in told)))

    def _count(self, told: Mapping[str, Any] | None) -> None:
        """Counts are cumulative: a later one replaces; one that is left out stays."""
        for key, value in (told or {}).items():
            if value is not None:
                self._counts[key] = value
        self._read_usage()

    def _read_usage(self) -> None:
        told = self._counts
        if not told:
            return
        details = told.get("output_tokens_details") or {}
        self.usage = Usage(
            reasoning_tokens=whole(details.get("thinking_tokens", details.get("reasoning_tokens"))),
            input_tokens=whole(told.get("input_tokens")),
            output_tokens=whole(told.get("output_tokens")),
            cached_input_tokens=whole(told.get("cache_read_input_tokens")),
            cache_write_tokens=whole(told.get("cache_creation_input_tokens")),
        )


def _citation(told: dict[str, Any]) -> Citation:
    first = ("start_char_index", "start_page_number", "start_block_index")
    last = ("end_char_index", "end_page_number", "end_block_index")
    return Citation(
        uri=told.get("url") or told.get("source") or "",
        title=told.get("title") or told.get("document_title") or "",
        text=told.get("cited_text") or "",
        start=next((n for k in first if (n := whole(told.get(k))) is not None), None),
        end=next((n for k in last if (n := whole(told.get(k))) is not None), None),
    )


# Request → HTTP parts.

_MAX_TOKENS = 4096  # the API wants a limit; this is a long answer


def encode(request: Request, model: str, quirks: Quirks) -> Call:
    """The request in Anthropic's form."""
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": request.max_tokens or _MAX_TOKENS,
        "messages": list(_turns(request.messages)),
        "stream": True,
    }
    system = [p for m in request.messages if m.role == "system" for p in m.parts]
    if system:
        body["system"] = [_content(p, "system") for p in system]
    settings = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": request.top_k,
        "stop_sequences": list(request.stop) or None,
        "tool_choice": _choice(request.tool_choice),
    }
    body.update((name, value) for name, value in settings.items() if value is not None)
    if request.tools:
        body["tools"] = [
            {"name": t.name, "description": t.description, "input_schema": t.parameters}
            for t in request.tools
        ]
    _ask_for_effort(body, request)
    if request.response_schema is not None:
        schema = {"type": "json_schema", "schema": dict(request.response_schema)}
        body.setdefault("output_config", {})["format"] = schema
    return Call("/v1/messages", merge(body, request.provider_options))


def _ask_for_effort(body: dict[str, Any], request: Request) -> None:
    effort = request.reasoning_effort
    if effort == "none":
        body["thinking"] = {"type": "disabled"}
    elif effort is not None:
        body["thinking"] = {"type": "adaptive"}
        body["output_config"] = {"effort": "low" if effort == "minimal" else effort}


def _choice(choice: str | None) -> dict[str, Any] | None:
    if choice is None:
        return None
    if choice in ("auto", "none"):
        return {"type": choice}
    return {"type": "any"} if choice == "required" else {"type": "tool", "name": choice}


def _turns(messages: Iterable[Message]) -> Iterable[dict[str, Any]]:
    """User and assistant in turn: neighbours of one role, tool results too, become one message."""
    last: dict[str, Any] | None = None
    for message in messages:
        if message.role == "system":
            continue
        role = "assistant" if message.role == "assistant" else "user"
        content = [block for p in message.parts if (block := _content(p, role)) is not None]
        if last is not None and last["role"] == role:
            last["content"] += content
            continue
        if last is not None:
            yield last
        last = {"role": role, "content": content}
    if last is not None:
        yield last


def _content(part: Part, role: str) -> dict[str, Any] | None:
    if isinstance(part, TextPart | RefusalPart):
        return {"type": "text", "text": part.text} if part.text else None
    if isinstance(part, ToolResultPart):
        told: dict[str, Any] = {"type": "tool_result", "tool_use_id": part.id}
        if part.error is not None:
            return {**told, "content": part.error, "is_error": True}
        return {**told, "content": told_result(part)}
    if isinstance(part, ToolCallPart):
        return {"type": "tool_use", "id": part.id, "name": part.name, "input": dict(part.arguments)}
    if isinstance(part, ReasoningPart):
        return _thinking(part)
    if isinstance(part, ImagePart):
        return {"type": "image", "source": _source(part)}
    if isinstance(part, FilePart):
        made: dict[str, Any] = {"type": "document", "source": _source(part)}
        return {**made, "title": part.name} if part.name else made
    raise unsupported(part, "Anthropic Messages")


def _thinking(part: ReasoningPart) -> dict[str, Any] | None:
    """Thinking goes back exactly as it came; without its signature it may not."""
    if part.encrypted is not None:
        return {"type": "redacted_thinking", "data": part.encrypted}
    if part.signature is not None:
        return {"type": "thinking", "thinking": part.text, "signature": part.signature}
    return None


def _source(part: ImagePart | FilePart) -> dict[str, Any]:
    if part.url is not None:
        return {"type": "url", "url": part.url}
    if part.file_id is not None:
        return {"type": "file", "file_id": part.file_id}
    data = part.data or b""
    if part.mime == "text/plain":
        return {"type": "text", "media_type": "text/plain", "data": data.decode("utf-8", "replace")}
    return {"type": "base64", "media_type": part.mime, "data": base64.b64encode(data).decode()}


ANTHROPIC_MESSAGES = Dialect(
    "anthropic_messages",
    encode,
    MessagesDecoder,
    key_header="x-api-key",
    headers={"anthropic-version": "2023-06-01"},
)
