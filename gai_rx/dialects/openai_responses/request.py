"""`Request` → the body of a response."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from gai_rx.dialects.contract import Call, Quirks, merge
from gai_rx.dialects.parts import data_url, told_result, unsupported
from gai_rx.errors import BadRequestError
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

__all__ = ["encode"]


def encode(request: Request, model: str, quirks: Quirks) -> Call:
    """The request in the form of the Responses API.

    Raises:
        BadRequestError: For settings that this API does not have.
    """
    for name in ("stop", "seed", "top_k"):
        if getattr(request, name) not in (None, ()):
            raise BadRequestError(
                f"the Responses API has no {name!r}; ask without it, or use a host of the chat API "
                "('openai-chat')"
            )
    body: dict[str, Any] = {
        "model": model,
        "input": [item for m in request.messages for item in _items(m)],
        "stream": True,
    }
    instructions = "\n\n".join(m.text for m in request.messages if m.role == "system")
    settings = {
        "instructions": instructions or None,
        "temperature": request.temperature,
        "max_output_tokens": request.max_tokens,
        "top_p": request.top_p,
        "tool_choice": _choice(request.tool_choice),
    }
    body.update((name, value) for name, value in settings.items() if value is not None)
    if request.reasoning_effort is not None:
        body["reasoning"] = {"effort": request.reasoning_effort}
        body["include"] = ["reasoning.encrypted_content"]
    if request.tools:
        body["tools"] = [
            {"type": "function", **t.declaration(), "strict": False} for t in request.tools
        ]
    if request.response_schema is not None:
        body["text"] = {
            "format": {
                "type": "json_schema",
                "name": request.response_name,
                "schema": dict(request.response_schema),
                "strict": True,
            }
        }
    return Call("/responses", merge(body, request.provider_options))


def _choice(choice: str | None) -> Any:
    if choice is None or choice in ("auto", "none", "required"):
        return choice
    return {"type": "function", "name": choice}


def _items(message: Message) -> Iterable[dict[str, Any]]:
    """Text becomes one message; calls, results and thinking become items of their own."""
    if message.role == "system":
        return
    content: list[dict[str, Any]] = []
    for part in message.parts:
        item = _item(part)
        if item is None:
            content.append(_content(part, message.role))
            continue
        if content:
            yield {"role": message.role, "content": content}
            content = []
        yield item
    if content:
        yield {"role": message.role, "content": content}


def _item(part: Part) -> dict[str, Any] | None:
    """A part that is an item of its own, or None."""
    if isinstance(part, ToolCallPart):
        arguments = json.dumps(dict(part.arguments), ensure_ascii=False)
        return {
            "type": "function_call",
            "call_id": part.id,
            "name": part.name,
            "arguments": arguments,
        }
    if isinstance(part, ToolResultPart):
        return {"type": "function_call_output", "call_id": part.id, "output": told_result(part)}
    if isinstance(part, ReasoningPart):
        item: dict[str, Any] = {"type": "reasoning", "summary": []}
        if part.text:
            item["summary"] = [{"type": "summary_text", "text": part.text}]
        if part.id is not None:
            item["id"] = part.id
        if part.encrypted is not None:
            item["encrypted_content"] = part.encrypted
        return item
    return None


def _content(part: Part, role: str) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "output_text" if role == "assistant" else "input_text", "text": part.text}
    if isinstance(part, RefusalPart):
        return {"type": "refusal", "refusal": part.text}
    if isinstance(part, ImagePart):
        image: dict[str, Any] = {"type": "input_image", "detail": part.detail or "auto"}
        if part.file_id is not None:
            return {**image, "file_id": part.file_id}
        return {**image, "image_url": part.url or data_url(part.data or b"", part.mime)}
    if isinstance(part, FilePart):
        if part.file_id is not None:
            return {"type": "input_file", "file_id": part.file_id}
        if part.url is not None:
            return {"type": "input_file", "file_url": part.url}
        data = data_url(part.data or b"", part.mime)
        return {"type": "input_file", "filename": part.name or "file", "file_data": data}
    raise unsupported(part, "the Responses API")
