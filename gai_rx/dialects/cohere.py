"""Cohere's chat, version 2: server-sent events from `message-start` to `message-end`.

Source: https://docs.cohere.com/v2/reference/chat-stream and the stream types of the official SDK.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from gai_rx.dialects.contract import Call, Decoder, Dialect, Quirks, cut_reason, merge, whole
from gai_rx.dialects.parts import data_url, readable_by, told_result, unsupported
from gai_rx.dialects.tool_calls import OpenCall
from gai_rx.errors import BadRequestError, ProtocolError
from gai_rx.events import Citation, Citations, FinishReason, StreamEvent, Usage
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
from gai_rx.tools import Tool
from gai_rx.unvalidated import reasoning_delta, text_delta

__all__ = ["COHERE", "CohereDecoder", "encode"]

_REASONS: dict[str, FinishReason] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "ERROR_LIMIT": "length",  # the context is full
    "TOOL_CALL": "tool_calls",
    "ERROR_TOXIC": "content_filter",
    "ERROR": "error",
    "TIMEOUT": "error",
}
# The words of `gai_rx.refusals` for the reasons that an error message may come with.
_ERROR_CODES = {"TIMEOUT": "timeout", "ERROR_TOXIC": "content_filter"}
_NOTHING: dict[str, Any] = {}
_PLAIN_RECORD = 3  # type, index, delta
_NO_NEWS = frozenset({"message-start", "content-end", "citation-end"})


class CohereDecoder(Decoder):
    """The state of one chat answer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._calls: list[OpenCall] = []
        self._open: dict[Any, OpenCall] = {}  # by index; a closed call takes no more arguments

    def on_record(self, record: dict[str, Any], name: bytes) -> None:
        """Take one event; the first branch is the hot path, a piece of text."""
        kind = record.get("type")
        if kind == "content-delta" and self._begun:
            message = (record.get("delta") or _NOTHING).get("message") or _NOTHING
            content = message.get("content") or _NOTHING
            if len(content) == 1 and (text := content.get("text")).__class__ is str and text:
                event: StreamEvent = text_delta(text, 0, record.get("index") or 0)
                if len(record) > _PLAIN_RECORD and record.get("logprobs"):
                    event = event.model_copy(update={"metadata": {"logprobs": record["logprobs"]}})
                self.out.append(event)
            else:
                self._on_content(content, record.get("index") or 0)
        else:
            self._on_rare(kind or name.decode("utf-8", "replace"), record)

    def _on_rare(self, kind: str, record: dict[str, Any]) -> None:
        """All events besides a piece of text; an error may be the first one."""
        if kind == "error" or record.get("error") or ("type" not in record and "message" in record):
            self.raise_error(record)
        self.begin(None, record.get("id"))
        delta = record.get("delta") or _NOTHING
        message = delta.get("message") or _NOTHING
        if kind == "message-end":
            self._on_message_end(delta)
        elif kind in ("content-start", "content-delta"):
            self._on_content(message.get("content") or _NOTHING, record.get("index") or 0)
        elif kind == "tool-call-start":
            self._on_call(message["tool_calls"], record.get("index"))
        elif kind == "tool-call-delta":
            self._on_arguments(message.get("tool_calls") or _NOTHING, record.get("index"))
        elif kind == "citation-start":
            self._on_citation(message["citations"])
        elif kind == "tool-call-end":
            self._open.pop(record.get("index"), None)
        elif kind not in _NO_NEWS:
            self.unknown(record)  # `debug`, and the plan of `tool-plan-delta`

    def _on_content(self, content: dict[str, Any], index: int) -> None:
        if content.get("thinking"):
            self.out.append(reasoning_delta(_text(content["thinking"]), 0, index))
        if content.get("text"):
            self.out.append(text_delta(_text(content["text"]), 0, index))

    def _on_call(self, told: dict[str, Any], index: Any) -> None:
        function = told.get("function") or _NOTHING
        call = self.open_call(len(self._calls), told.get("id") or None, function.get("name"))
        self._calls.append(call)
        self._open[index] = call
        self._add(call, function.get("arguments"))

    def _on_arguments(self, told: dict[str, Any], index: Any) -> None:
        call = self._open.get(index)
        if call is None:
            raise ProtocolError(
                f"arguments came for call {index!r}; open are {list(self._open)}",
                phase="decode",
            )
        self._add(call, (told.get("function") or _NOTHING).get("arguments"))

    def _add(self, call: OpenCall, fragment: Any) -> None:
        delta = call.add(fragment)
        if delta is not None:
            self.out.append(delta)

    def _on_citation(self, told: dict[str, Any]) -> None:
        """One citation names a passage of the answer and one or more sources for it."""
        items = [
            Citation(
                uri=document.get("url") or source.get("id") or "",
                title=document.get("title") or "",
                text=told.get("text") or "",
                start=whole(told.get("start")),
                end=whole(told.get("end")),
            )
            for source in told.get("sources") or [_NOTHING]
            for document in [source.get("document") or _NOTHING]
        ]
        self.out.append(Citations(items=tuple(items), metadata={"citation": told}))

    def _on_message_end(self, delta: dict[str, Any]) -> None:
        self.usage = _usage(delta.get("usage") or _NOTHING)
        raw_reason = delta.get("finish_reason")
        word = (raw_reason or "").upper()
        if delta.get("error"):
            self.raise_error({"message": delta["error"], "code": _ERROR_CODES.get(word)})
        reason = _REASONS.get(word, "other")
        if self.close_calls(self._calls, cut_reason(reason)) and reason == "stop":
            reason = "tool_calls"
        self.finish(reason, raw_reason)


def _text(told: Any) -> str:
    if not isinstance(told, str):
        raise TypeError(f"expected text, got {type(told).__name__}")
    return told


def _usage(told: dict[str, Any]) -> Usage | None:
    """The tokens that were read and written; the billed ones, which are fewer, go into metadata."""
    tokens = told.get("tokens") or told.get("billed_units")
    if not tokens:
        return None
    return Usage(
        input_tokens=whole(tokens.get("input_tokens")),
        output_tokens=whole(tokens.get("output_tokens")),
        cached_input_tokens=whole(told.get("cached_tokens")),
        reasoning_tokens=whole(tokens.get("reasoning_tokens")),
        metadata={"billed_units": told["billed_units"]} if told.get("billed_units") else {},
    )


# Request → HTTP parts.


def encode(request: Request, model: str, quirks: Quirks) -> Call:
    """The request in Cohere's form; files of text become its `documents`.

    Raises:
        BadRequestError: If a part can not be carried, or `tool_choice` names an unknown tool.
    """
    messages = readable_by("cohere", request.messages)
    body: dict[str, Any] = {
        "model": model,
        "messages": [m for message in messages for m in _messages(message)],
        "stream": True,
    }
    settings = {
        "temperature": request.temperature,
        "max_tokens": request.max_tokens,
        "p": request.top_p,
        "k": request.top_k,
        "stop_sequences": list(request.stop) or None,
        "seed": request.seed,
    }
    body.update((name, value) for name, value in settings.items() if value is not None)
    documents = [_document(p) for m in request.messages for p in m.parts if _is_document(p)]
    if documents:
        body["documents"] = documents
    _offer_tools(body, request)
    if request.reasoning_effort is not None:
        enabled = request.reasoning_effort != "none"
        body["thinking"] = {"type": "enabled" if enabled else "disabled"}
    if request.response_schema is not None:
        form: dict[str, Any] = {"type": "json_object"}
        if quirks.json_schema:
            form["json_schema"] = dict(request.response_schema)
        body["response_format"] = form
    return Call("/chat", merge(body, request.provider_options))


def _offer_tools(body: dict[str, Any], request: Request) -> None:
    """Cohere can force some call, not one tool: to force that, it is the only one offered."""
    tools, choice = request.tools, request.tool_choice
    if choice in ("none", "required"):
        body["tool_choice"] = choice.upper()
    elif choice not in (None, "auto"):
        tools = tuple(t for t in tools if t.name == choice)
        if not tools:
            raise BadRequestError(
                f"tool_choice is {choice!r}, which is none of the request's tools"
            )
        body["tool_choice"] = "REQUIRED"
    if tools:
        body["tools"] = [_tool(t) for t in tools]


def _tool(tool: Tool) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
    }
    return {"type": "function", "function": function}


def _messages(message: Message) -> Iterable[dict[str, Any]]:
    """A tool turn becomes one message a result, any other turn one message."""
    if message.role == "tool":
        for part in message.parts:
            if not isinstance(part, ToolResultPart):
                raise BadRequestError(f"a tool message holds tool results only, got {part.type}")
            yield {"role": "tool", "tool_call_id": part.id, "content": told_result(part)}
    elif message.role == "assistant":
        if message.parts:  # an answer of nothing would be refused
            yield _assistant(message.parts)
    else:
        content = [_content(p) for p in message.parts if not _is_document(p)]
        plain = all(c["type"] == "text" for c in content)
        yield {"role": message.role, "content": message.text if plain else content}


def _assistant(parts: Iterable[Part]) -> dict[str, Any]:
    made: dict[str, Any] = {"role": "assistant"}
    content: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, ReasoningPart):
            content.append({"type": "thinking", "thinking": part.text})
        elif isinstance(part, TextPart | RefusalPart):
            content.append({"type": "text", "text": part.text})
        elif isinstance(part, ToolCallPart):
            made.setdefault("tool_calls", []).append(_call(part))
        else:
            raise unsupported(part, "Cohere")
    if content:
        made["content"] = content
    return made


def _call(part: ToolCallPart) -> dict[str, Any]:
    arguments = json.dumps(dict(part.arguments), ensure_ascii=False)
    function = {"name": part.name, "arguments": arguments}
    return {"id": part.id, "type": "function", "function": function}


def _content(part: Part) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if isinstance(part, ImagePart) and part.file_id is None:
        image = {"url": part.url or data_url(part.data or b"", part.mime)}
        if part.detail is not None:
            image["detail"] = part.detail
        return {"type": "image_url", "image_url": image}
    raise unsupported(part, "Cohere")


def _is_document(part: Part) -> bool:
    """Whether it is a file of text by its bytes."""
    if not isinstance(part, FilePart) or part.data is None:
        return False
    return part.mime.startswith("text/") or part.mime == "application/json"


def _document(part: Part) -> dict[str, Any]:
    assert isinstance(part, FilePart)
    data = {"text": (part.data or b"").decode("utf-8", "replace")}
    if part.name:
        data["title"] = part.name
    return {"data": data}


COHERE = Dialect("cohere", encode, CohereDecoder)
