"""`Request` → the parts of a generateContent request."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from gai_rx.dialects.contract import Call, Quirks, merge
from gai_rx.dialects.parts import readable_by, unsupported
from gai_rx.errors import BadRequestError
from gai_rx.request import (
    AudioPart,
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
    VideoPart,
)

__all__ = ["encode"]

_OWN_PATHS = ("models/", "tunedModels/", "publishers/", "projects/", "endpoints/")
_FILES = "https://generativelanguage.googleapis.com/v1beta/"
_CATEGORIES = {
    "harassment": "HARM_CATEGORY_HARASSMENT",
    "hate": "HARM_CATEGORY_HATE_SPEECH",
    "sexual": "HARM_CATEGORY_SEXUALLY_EXPLICIT",
    "dangerous": "HARM_CATEGORY_DANGEROUS_CONTENT",
}
_THRESHOLDS = {
    "none": "BLOCK_NONE",
    "few": "BLOCK_ONLY_HIGH",
    "some": "BLOCK_MEDIUM_AND_ABOVE",
    "most": "BLOCK_LOW_AND_ABOVE",
    "off": "OFF",
}
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
# What Google's own OpenAI-compatible endpoint makes of an effort.
_BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "max": 24576}
_LEAST_BUDGET_OF_PRO = 128  # it can not be kept from thinking


def encode(request: Request, model: str, quirks: Quirks) -> Call:
    """The request in Gemini's form.

    Raises:
        BadRequestError: If a part can not be carried, a tool result names neither its tool nor
            a call of the history, or the model's name is no path.
    """
    messages = tuple(readable_by("gemini", request.messages))
    names = {
        part.id: part.name
        for message in messages
        for part in message.parts
        if isinstance(part, ToolCallPart)
    }
    body: dict[str, Any] = {"contents": _contents(messages, names)}
    instruction = [
        _part(part, "system", names)
        for message in messages
        if message.role == "system"
        for part in message.parts
    ]
    if instruction:
        body["systemInstruction"] = {"parts": instruction}
    config = _generation_config(request, model, quirks)
    if config:
        body["generationConfig"] = config
    _offer_tools(body, request)
    if request.safety:
        body["safetySettings"] = [
            {
                "category": _CATEGORIES.get(s.category, s.category),
                "threshold": _THRESHOLDS.get(s.threshold, s.threshold),
            }
            for s in request.safety
        ]
    path = f"/{_model_path(model)}:streamGenerateContent?alt=sse"
    return Call(path, merge(body, request.provider_options))


def _model_path(model: str) -> str:
    if not model.startswith(_OWN_PATHS):
        return f"models/{quote(model, safe='')}"
    if any(step in ("", ".", "..") for step in model.split("/")):
        raise BadRequestError(f"the model {model!r} is no path to a model")
    return quote(model)


def _generation_config(request: Request, model: str, quirks: Quirks) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "temperature": request.temperature,
        "maxOutputTokens": request.max_tokens,
        "topP": request.top_p,
        "topK": request.top_k,
        "stopSequences": list(request.stop) or None,
        "seed": request.seed,
        "thinkingConfig": _thinking(request.reasoning_effort, model),
    }
    config = {name: value for name, value in settings.items() if value is not None}
    if request.response_schema is not None:
        config["responseMimeType"] = "application/json"
        if quirks.json_schema:
            config["responseJsonSchema"] = dict(request.response_schema)
    return config


def _thinking(effort: str | None, model: str) -> dict[str, Any] | None:
    """Gemini 3 takes a level, Gemini 2.5 and models of unknown age a budget, older ones neither."""
    if effort is None:
        return None
    found = re.search(r"gemini-(\d{1,3})(?:\.(\d))?", model)
    version = float(f"{found[1]}.{found[2] or 0}") if found else 2.5
    if version < 2.5:
        return None
    thinking: dict[str, Any] = {"includeThoughts": effort != "none"}
    is_pro = "pro" in re.split(r"[-/]", model)
    if version >= 3:
        least = "low" if is_pro else "minimal"
        levels = {"none": least, "minimal": least, "max": "high"}
        return {**thinking, "thinkingLevel": levels.get(effort, effort)}
    least_budget = _LEAST_BUDGET_OF_PRO if is_pro else 0
    return {**thinking, "thinkingBudget": max(_BUDGETS[effort], least_budget)}


def _offer_tools(body: dict[str, Any], request: Request) -> None:
    if request.tools:
        declarations = [
            {
                "name": t.name,
                "description": t.description,
                "parametersJsonSchema": t.parameters,
            }
            for t in request.tools
        ]
        body["tools"] = [{"functionDeclarations": declarations}]
    choice = request.tool_choice
    if choice is not None:
        calling: dict[str, Any] = {"mode": _MODES.get(choice, "ANY")}
        if choice not in _MODES:
            calling["allowedFunctionNames"] = [choice]
        body["toolConfig"] = {"functionCallingConfig": calling}


def _contents(messages: Iterable[Message], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """The turns but the system's; the results of one turn's calls must come in one turn."""
    contents: list[dict[str, Any]] = []
    before = ""
    for message in messages:
        if message.role == "system":
            continue
        sent = [p for p in message.parts if _goes_back(p)]
        parts = [_part(p, message.role, names) for p in sent]
        if message.role == before == "tool":
            contents[-1]["parts"] += parts
        elif parts:
            role = "model" if message.role == "assistant" else "user"
            contents.append({"role": role, "parts": parts})
            before = message.role
    return contents


def _goes_back(part: Part) -> bool:
    """Thinking that is empty, or encrypted by another provider, means nothing to Gemini."""
    if isinstance(part, ReasoningPart):
        return part.encrypted is None and bool(part.text or part.signature)
    return True


def _part(part: Part, role: str, names: Mapping[str, str]) -> dict[str, Any]:
    """One part; those of the model keep their signatures."""
    if isinstance(part, ToolResultPart) != (role == "tool"):
        raise BadRequestError(f"a {role} message can not hold a {part.type} part for Gemini")
    if isinstance(part, ToolResultPart):
        return {"functionResponse": _response(part, names)}
    if isinstance(part, TextPart):
        return _signed({"text": part.text}, part.signature)
    if role == "assistant":
        if isinstance(part, RefusalPart):
            return {"text": part.text}
        if isinstance(part, ReasoningPart):
            thought = {"text": part.text, "thought": True} if part.text else {"text": ""}
            return _signed(thought, part.signature)
        if isinstance(part, ToolCallPart):
            call = {"id": part.id, "name": part.name, "args": dict(part.arguments)}
            return _signed({"functionCall": call}, part.signature)
        if isinstance(part, ProviderPart):
            return dict(part.block)
    if isinstance(part, ImagePart | AudioPart | VideoPart | FilePart) and role != "system":
        return _media(part)
    raise unsupported(part, "Gemini")


def _signed(part: dict[str, Any], signature: str | None) -> dict[str, Any]:
    # One that is a JSON object is another provider's, from an answer given before a change of host.
    if signature is None or signature.startswith("{"):
        return part
    return {**part, "thoughtSignature": signature}


def _response(part: ToolResultPart, names: Mapping[str, str]) -> dict[str, Any]:
    name = part.name or names.get(part.id)
    if not name:
        raise BadRequestError(
            f"the result of call {part.id!r} needs the tool's name, or the call in the history"
        )
    result = {"error": part.error} if part.error is not None else part.result
    plain = json.loads(json.dumps(result, default=str))
    return {
        "id": part.id,
        "name": name,
        "response": plain if isinstance(plain, dict) else {"result": plain},
    }


def _media(part: ImagePart | AudioPart | VideoPart | FilePart) -> dict[str, Any]:
    mime = {"mimeType": part.mime} if part.mime else {}
    if part.data is not None:
        return {"inlineData": {**mime, "data": base64.b64encode(part.data).decode()}}
    uri = part.url or part.file_id or ""
    if part.file_id is not None and ":" not in uri:  # the API wants the address, not the name
        uri = _FILES + (uri if uri.startswith("files/") else f"files/{uri}")
    return {"fileData": {**mime, "fileUri": uri}}
