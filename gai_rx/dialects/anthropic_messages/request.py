"""`Request` → the body of a message request."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from gai_rx.dialects.anthropic_messages.hosted import HostedRuns, call_notes
from gai_rx.dialects.contract import Call, ObjectMode, Quirks, merge
from gai_rx.dialects.parts import readable_by, told_result, unsupported
from gai_rx.errors import BadRequestError
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
from gai_rx.schemas import names_all_keys

__all__ = ["encode", "forces_tools", "object_mode"]

_API = "Anthropic Messages"
_MAX_TOKENS = 4096  # the API wants a limit; this is a long answer
_LEAST_BUDGET = 1024  # tokens of thinking; the API refuses fewer
_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "max": 24576}
_GENERATION = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?!\d)(?:[-.](\d{1,2})(?!\d))?")
_NO_ID = re.compile(r"[^a-zA-Z0-9_-]")
_CARRIED: dict[str, tuple[type[Part], ...]] = {
    "system": (TextPart,),
    "user": (TextPart, ImagePart, FilePart, ToolResultPart),
    "tool": (ToolResultPart,),
    "assistant": (TextPart, RefusalPart, ReasoningPart, ToolCallPart, ProviderPart),
}


def encode(request: Request, model: str, quirks: Quirks) -> Call:
    """The request in Anthropic's form; thinking has its own room beside the default `max_tokens`.

    Raises:
        BadRequestError: For a seed, which the API does not have, for a part that it can not carry
            in its place, and for reasoning that `max_tokens` leaves no room for.
    """
    if request.seed is not None:
        raise BadRequestError(f"{_API} has no 'seed'; ask without it")
    messages = tuple(readable_by("anthropic_messages", request.messages))
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": _MAX_TOKENS if request.max_tokens is None else request.max_tokens,
        "messages": list(_turns(messages, HostedRuns(messages))),
        "stream": True,
    }
    settings = {
        "system": [b for m in messages if m.role == "system" for b in _blocks(m)] or None,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": request.top_k,
        "stop_sequences": list(request.stop) or None,
        "tools": [_tool(t.declaration()) for t in request.tools] or None,
        "tool_choice": _choice(request.tool_choice),
    }
    body.update((name, value) for name, value in settings.items() if value is not None)
    if request.reasoning_effort is not None:
        _ask_for_effort(body, request.reasoning_effort, request.max_tokens)
    if request.response_schema is not None and quirks.json_schema:
        schema = {"type": "json_schema", "schema": _fitted(request.response_schema)}
        body.setdefault("output_config", {})["format"] = schema
    return Call("/v1/messages", merge(body, request.provider_options))


def _ask_for_effort(body: dict[str, Any], effort: str, limit: int | None) -> None:
    """Models up to 4.5 are given a budget of thinking tokens; later ones budget for themselves."""
    if effort == "none":
        body["thinking"] = {"type": "disabled"}
        return
    budget = _BUDGETS[effort]
    if limit is None:
        body["max_tokens"] += budget  # which counts thinking too
    if not _is_budgeted(body["model"]):
        body["thinking"] = {"type": "adaptive"}
        body["output_config"] = {"effort": "low" if effort == "minimal" else effort}
        return
    if limit is not None and limit <= _LEAST_BUDGET:
        raise BadRequestError(
            f"{body['model']} thinks with {_LEAST_BUDGET} tokens at least, and max_tokens={limit} "
            "counts thinking too; raise max_tokens, or leave out reasoning_effort"
        )
    if limit is not None:
        budget = max(_LEAST_BUDGET, min(budget, limit // 2))
    body["thinking"] = {"type": "enabled", "budget_tokens": budget}


def _is_budgeted(model: str) -> bool:
    found = _GENERATION.search(model)
    return found is not None and (int(found[1]), int(found[2] or 0)) <= (4, 5)


def object_mode(schema: Mapping[str, Any], model: str, quirks: Quirks) -> ObjectMode:
    """With its schema, where the model takes one and it can be said in this API's terms.

    Before Claude 4.5 only Opus 4.1 takes a schema; and a schema has to name all keys, without end.
    There is no way to ask for any JSON but a tool.
    """
    found = _GENERATION.search(model)
    major, minor = (int(found[1]), int(found[2] or 0)) if found else (9, 0)
    takes = (major, minor) >= (4, 5) or ((major, minor) == (4, 1) and "opus" in model)
    return "native" if quirks.json_schema and takes and names_all_keys(schema) else "tool"


def forces_tools(request: Request) -> bool:
    """Whether a call can be forced: not while the model is to think."""
    return request.reasoning_effort in (None, "none")


def _tool(declared: Mapping[str, Any]) -> dict[str, Any]:
    made = {"name": declared["name"], "input_schema": declared["parameters"]}
    if declared["description"]:
        made["description"] = declared["description"]
    return made


def _choice(choice: str | None) -> dict[str, Any] | None:
    if choice is None:
        return None
    if choice in ("auto", "none"):
        return {"type": choice}
    return {"type": "any"} if choice == "required" else {"type": "tool", "name": choice}


def _turns(messages: Iterable[Message], hosted: HostedRuns) -> Iterable[dict[str, Any]]:
    """User and assistant in turn: neighbours of one role, tool results too, become one message."""
    last: dict[str, Any] | None = None
    for message in messages:
        content = [] if message.role == "system" else [*hosted.kept(_blocks(message))]
        if not content:
            continue  # the API refuses an empty turn
        role = "assistant" if message.role == "assistant" else "user"
        if last is not None and last["role"] == role:
            last["content"] += content
            continue
        if last is not None:
            yield last
        last = {"role": role, "content": content}
    if last is not None:
        yield last


def _blocks(message: Message) -> Iterable[dict[str, Any]]:
    for part in message.parts:
        if not isinstance(part, _CARRIED[message.role]):
            raise unsupported(part, _API)
        block = _content(part)
        if block is not None:
            yield block


def _content(part: Part) -> dict[str, Any] | None:
    if isinstance(part, TextPart | RefusalPart):
        return {"type": "text", "text": part.text} if part.text.strip() else None
    if isinstance(part, ToolResultPart):
        told: dict[str, Any] = {"type": "tool_result", "tool_use_id": _NO_ID.sub("_", part.id)}
        if part.error is not None:
            return {**told, "content": part.error, "is_error": True}
        return {**told, "content": told_result(part)}
    if isinstance(part, ToolCallPart):
        id = _NO_ID.sub("_", part.id)  # other providers' ids have more characters
        call = {"type": "tool_use", "id": id, "name": part.name, "input": dict(part.arguments)}
        return {**call, **call_notes(part)}
    if isinstance(part, ProviderPart):
        return dict(part.block)
    if isinstance(part, ReasoningPart):
        return _thinking(part)
    if isinstance(part, ImagePart):
        return {"type": "image", "source": _given(part) or _base64(part)}
    assert isinstance(part, FilePart)
    made: dict[str, Any] = {"type": "document", "source": _given(part) or _document(part)}
    return {**made, "title": part.name} if part.name else made


def _thinking(part: ReasoningPart) -> dict[str, Any] | None:
    """Thinking goes back as it came; unsigned, or with an id of another provider, it may not."""
    if part.id is not None:
        return None
    if part.encrypted is not None:
        return {"type": "redacted_thinking", "data": part.encrypted}
    if part.signature is not None:
        return {"type": "thinking", "thinking": part.text, "signature": part.signature}
    return None


def _given(part: ImagePart | FilePart) -> dict[str, Any] | None:
    if part.url is not None:
        return {"type": "url", "url": part.url}
    return {"type": "file", "file_id": part.file_id} if part.file_id is not None else None


def _base64(part: ImagePart | FilePart) -> dict[str, Any]:
    data = base64.b64encode(part.data or b"").decode()
    return {"type": "base64", "media_type": part.mime, "data": data}


def _document(part: FilePart) -> dict[str, Any]:
    """PDF as it is, and every kind of text as plain text: the API takes no other document."""
    if part.mime == "application/pdf":
        return _base64(part)
    if not part.mime.startswith("text/") and part.mime != "application/json":
        raise BadRequestError(
            f"{_API} takes documents of PDF or text, got {part.mime!r}; convert it, or upload it "
            "and give its file_id"
        )
    data = (part.data or b"").decode("utf-8", "replace")
    return {"type": "text", "media_type": "text/plain", "data": data}


# https://docs.anthropic.com/en/docs/build-with-claude/structured-outputs: a keyword that is not
# listed there is refused.
_KEYWORDS = frozenset(
    ("type", "enum", "const", "$ref", "required", "default", "title", "description")
)
_NAMED_SCHEMAS = ("properties", "$defs", "definitions")
_VARIANTS = {"anyOf": "anyOf", "oneOf": "anyOf", "allOf": "allOf"}
_FORMATS = frozenset(
    ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid")
)
_MEANINGLESS = frozenset(("additionalProperties", "discriminator", "$schema", "$id"))


def _fitted(schema: Any) -> Any:
    """The schema in the keywords that the API takes; other constraints are told in words."""
    if not isinstance(schema, Mapping):
        return schema
    made: dict[str, Any] = {}
    words: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _NAMED_SCHEMAS:
            made[key] = {name: _fitted(inner) for name, inner in value.items()}
        elif key in _VARIANTS:
            made[_VARIANTS[key]] = [_fitted(inner) for inner in value]
        elif key == "items":
            made[key] = _fitted(value)
        elif _is_taken(key, value):
            made[key] = value
        elif key not in _MEANINGLESS:
            words[key] = value
    if made.get("type") == "object":
        made["additionalProperties"] = False
    if words:
        told = f"It must fit {json.dumps(words, ensure_ascii=False, default=str)}."
        made["description"] = "\n\n".join(filter(None, (made.get("description"), told)))
    return made


def _is_taken(key: str, value: Any) -> bool:
    if key == "format":
        return value in _FORMATS
    return key in _KEYWORDS or (key == "minItems" and value in (0, 1))
