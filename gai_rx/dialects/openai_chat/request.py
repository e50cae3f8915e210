"""`Request` → the body of a chat completion."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any

from gai_rx.dialects.contract import Call, Quirks, merge
from gai_rx.dialects.parts import data_url, readable_by, told_result, unsupported
from gai_rx.errors import BadRequestError
from gai_rx.request import (
    AudioPart,
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
from gai_rx.schemas import closed

__all__ = ["encode"]


def encode(request: Request, model: str, quirks: Quirks) -> Call:
    """The request in OpenAI's chat form, with the host's accent."""
    messages = readable_by("openai_chat", request.messages)
    body: dict[str, Any] = {
        "model": model,
        "messages": [m for message in messages for m in _messages(message, quirks)],
        "stream": True,
    }
    if quirks.stream_usage:
        body["stream_options"] = {"include_usage": True}
    settings = {
        "temperature": request.temperature,
        quirks.max_tokens_field: request.max_tokens,
        "top_p": request.top_p,
        "top_k": request.top_k,
        "stop": list(request.stop) or None,
        quirks.seed_field: request.seed,
    }
    body.update((name, value) for name, value in settings.items() if value is not None)
    _ask_for_effort(body, request, quirks)
    if request.tools:
        body["tools"] = [{"type": "function", "function": t.declaration()} for t in request.tools]
    if request.tool_choice is not None:
        body["tool_choice"] = _choice(request.tool_choice, quirks)
    if request.response_schema is not None:
        body["response_format"] = _format(request, quirks)
    return Call("/chat/completions", merge(body, request.provider_options))


def _ask_for_effort(body: dict[str, Any], request: Request, quirks: Quirks) -> None:
    effort = request.reasoning_effort
    if effort is None or quirks.effort is None:
        return
    if quirks.effort == "reasoning":
        body["reasoning"] = {"effort": effort}
    elif quirks.effort == "enable_thinking":
        body["enable_thinking"] = effort != "none"
    else:
        body["reasoning_effort"] = effort


def _choice(choice: str, quirks: Quirks) -> Any:
    if choice in ("auto", "none"):
        return choice
    if choice == "required":
        return quirks.required_choice
    return {"type": "function", "function": {"name": choice}}


def _format(request: Request, quirks: Quirks) -> dict[str, Any]:
    if not quirks.json_schema:
        return {"type": "json_object"}
    schema = request.response_schema or {}
    strict = closed(schema)
    return {
        "type": "json_schema",
        "json_schema": {
            "name": request.response_name,
            "schema": dict(schema) if strict is None else strict,
            "strict": strict is not None,
        },
    }


def _messages(message: Message, quirks: Quirks) -> Iterable[dict[str, Any]]:
    """A tool turn becomes one message a result, any other turn one message."""
    if message.role == "tool":
        for part in message.parts:
            if not isinstance(part, ToolResultPart):
                raise BadRequestError(f"a tool message holds tool results only, got {part.type}")
            yield {"role": "tool", "tool_call_id": part.id, "content": told_result(part)}
        return
    role = quirks.system_role if message.role == "system" else message.role
    made: dict[str, Any] = {"role": role}
    if message.name:
        made["name"] = message.name
    if message.role == "assistant":
        said = _assistant(message.parts, quirks)
        if said != {"content": None}:  # an answer of nothing but thinking would be refused
            yield {**made, **said}
        return
    if all(isinstance(p, TextPart) for p in message.parts):
        made["content"] = message.text
    else:
        made["content"] = [_content(p) for p in message.parts]
    yield made


def _assistant(parts: Iterable[Part], quirks: Quirks) -> dict[str, Any]:
    made: dict[str, Any] = {
        "content": "".join(p.text for p in parts if isinstance(p, TextPart)) or None
    }
    refusal = "".join(p.text for p in parts if isinstance(p, RefusalPart))
    if refusal:
        made["refusal"] = refusal
    thought = "".join(p.text for p in parts if isinstance(p, ReasoningPart))
    if thought and quirks.reasoning_field:
        made[quirks.reasoning_field] = thought
    calls = [
        {
            "id": p.id,
            "type": "function",
            "function": {
                "name": p.name,
                "arguments": json.dumps(dict(p.arguments), ensure_ascii=False),
            },
        }
        for p in parts
        if isinstance(p, ToolCallPart)
    ]
    if calls:
        made["tool_calls"] = calls
    return made


def _content(part: Part) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if isinstance(part, ImagePart) and part.file_id is None:
        image = {"url": part.url or data_url(part.data or b"", part.mime)}
        if part.detail is not None:
            image["detail"] = part.detail
        return {"type": "image_url", "image_url": image}
    if isinstance(part, AudioPart) and part.data is not None:
        sound = base64.b64encode(part.data).decode()
        form = {"audio/mpeg": "mp3", "audio/mp3": "mp3"}.get(part.mime, "wav")
        return {"type": "input_audio", "input_audio": {"data": sound, "format": form}}
    if isinstance(part, FilePart) and part.file_id is not None:
        return {"type": "file", "file": {"file_id": part.file_id}}
    if isinstance(part, FilePart) and part.data is not None:
        data = data_url(part.data, part.mime)
        return {"type": "file", "file": {"filename": part.name or "file", "file_data": data}}
    raise unsupported(part, "chat completions")
