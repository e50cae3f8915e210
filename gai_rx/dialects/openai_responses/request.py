"""`Request` → the body of a response."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from gai_rx.dialects.contract import Call, Quirks, merge
from gai_rx.dialects.parts import data_url, readable_by, told_result, unsupported
from gai_rx.errors import BadRequestError, ProtocolError
from gai_rx.request import (
    FilePart,
    ImagePart,
    Message,
    Part,
    ProviderPart,
    ReasoningPart,
    RefusalPart,
    Request,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from gai_rx.schemas import closed
from gai_rx.wire.json_text import decode_json

__all__ = ["encode"]

_ENCRYPTED = "reasoning.encrypted_content"


def encode(request: Request, model: str, quirks: Quirks) -> Call:
    """The request in the form of the Responses API.

    Raises:
        BadRequestError: For settings and parts that this API does not have.
    """
    for name in ("stop", "seed", "top_k"):
        if getattr(request, name) not in (None, ()):
            raise BadRequestError(
                f"the Responses API has no {name!r}; ask without it, or use a host of the chat API "
                "('openai-chat')"
            )
    instructions, input_items = _turns(readable_by("openai_responses", request.messages))
    body: dict[str, Any] = {"model": model, "input": input_items, "stream": True}
    settings = {
        "instructions": instructions or None,
        "temperature": request.temperature,
        "max_output_tokens": request.max_tokens,
        "top_p": request.top_p,
        "tool_choice": _choice(request.tool_choice),
    }
    body.update((name, value) for name, value in settings.items() if value is not None)
    if request.reasoning_effort is not None and quirks.effort is not None:
        body["reasoning"] = {"effort": request.reasoning_effort}
    if request.tools:
        body["tools"] = [
            {"type": "function", **t.declaration(), "strict": False} for t in request.tools
        ]
    if request.response_schema is not None:
        body["text"] = {"format": _format(request, quirks)}
    merge(body, request.provider_options)
    wants = request.reasoning_effort is not None or body.get("store") is False
    if wants and _ENCRYPTED not in (body.get("include") or ()):
        body["include"] = [*(body.get("include") or ()), _ENCRYPTED]
    # In the background the provider writes on without us, into its store.
    resumable = body.get("background") is True and body.get("store") is not False
    return Call("/responses", body, resumable=resumable)


def _choice(choice: str | None) -> Any:
    if choice is None or choice in ("auto", "none", "required"):
        return choice
    return {"type": "function", "name": choice}


def _format(request: Request, quirks: Quirks) -> dict[str, Any]:
    if not quirks.json_schema:
        return {"type": "json_object"}
    schema = request.response_schema or {}
    strict = closed(schema)
    return {
        "type": "json_schema",
        "name": request.response_name,
        "schema": dict(schema) if strict is None else strict,
        "strict": strict is not None,
    }


def _turns(messages: Iterable[Message]) -> tuple[str, list[dict[str, Any]]]:
    """The instructions, which are what the system says first, and the items of all other turns."""
    said: list[str] = []
    items: list[dict[str, Any]] = []
    free_text: set[str] = set()
    for message in messages:
        if message.role == "system":
            plain = not items and all(isinstance(p, TextPart) for p in message.parts)
            if plain:
                said.append(message.text)
            else:
                items.append(_asked(message))
        elif message.role == "user":
            items.append(_asked(message))
        elif message.role == "assistant":
            items += _answered(message.parts)
            free_text |= {i["call_id"] for i in items if i.get("type") == "custom_tool_call"}
        else:
            items += (_result(part, free_text) for part in message.parts)
    return "\n\n".join(said), items


def _asked(message: Message) -> dict[str, Any]:
    return {"role": message.role, "content": [_content(p) for p in message.parts]}


def _content(part: Part) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "input_text", "text": part.text}
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


def _answered(parts: Iterable[Part]) -> Iterable[dict[str, Any]]:
    """Text becomes messages; calls and thinking become items of their own.

    A message is plain text, a refusal too: in parts it would have to have the id and the state
    that its provider gave it.
    """
    message: dict[str, Any] | None = None
    for part in parts:
        if isinstance(part, TextPart | RefusalPart):
            kept = _kept(part.signature) if isinstance(part, TextPart) else {}
            if message is None or kept:
                message = {"role": "assistant", "content": ""}
                if "phase" in kept:
                    message["phase"] = kept["phase"]
                yield message
            message["content"] += part.text
            continue
        message = None
        if isinstance(part, ToolCallPart):
            yield _call(part)
        elif isinstance(part, ProviderPart):
            yield dict(part.block)
        elif not isinstance(part, ReasoningPart):
            raise unsupported(part, "the Responses API")
        elif part.encrypted is not None and part.id is not None:  # others' thoughts have no id
            yield _thought(part)


def _thought(part: ReasoningPart) -> dict[str, Any]:
    """Thinking goes back encrypted, and without its id.

    With the id the provider wants the item that followed it under its id too, and looks for both
    in its store, where they may not be.
    """
    if part.id is not None and part.id.startswith("cmp_"):
        return {"type": "compaction", "id": part.id, "encrypted_content": part.encrypted}
    summary = [{"type": "summary_text", "text": part.text}] if part.text else []
    return {"type": "reasoning", "summary": summary, "encrypted_content": part.encrypted}


def _call(part: ToolCallPart) -> dict[str, Any]:
    kept = _kept(part.signature)
    extra = {name: kept[name] for name in ("namespace", "caller") if name in kept}
    told = {"call_id": part.id, "name": part.name, **extra}
    if kept.get("type") == "custom_tool_call":
        return {"type": "custom_tool_call", **told, "input": kept.get("input") or ""}
    arguments = json.dumps(dict(part.arguments), ensure_ascii=False)
    return {"type": "function_call", **told, "arguments": arguments}


def _result(part: Part, free_text: set[str]) -> dict[str, Any]:
    if not isinstance(part, ToolResultPart):
        raise BadRequestError(f"a tool message holds tool results only, got {part.type}")
    kind = "custom_tool_call_output" if part.id in free_text else "function_call_output"
    return {"type": kind, "call_id": part.id, "output": told_result(part)}


def _kept(signature: str | None) -> Mapping[str, Any]:
    """What the decoder has kept of an item; nothing, for a signature of another provider."""
    if not signature or not signature.startswith("{"):
        return {}
    try:
        value, _ = decode_json(signature.encode())
    except ProtocolError:
        return {}
    return value if isinstance(value, dict) else {}
