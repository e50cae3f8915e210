"""Ollama's own API: one JSON object a line, from `/api/chat` and `/api/generate`.

Source: https://docs.ollama.com/api and the server's `api/types.go`. Tool calls come whole, with
their arguments as an object, and from older servers without an id.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

from gai_rx.dialects.contract import Call, Decoder, Dialect, Quirks, cut_reason, merge, whole
from gai_rx.dialects.parts import readable_by, told_result, unsupported
from gai_rx.dialects.tool_calls import OpenCall
from gai_rx.errors import BadRequestError
from gai_rx.events import File, FinishReason, StreamEvent, Usage
from gai_rx.request import (
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
from gai_rx.unvalidated import reasoning_delta, text_delta

__all__ = ["OLLAMA", "OllamaDecoder", "encode"]

_REASONS: dict[str, FinishReason] = {
    "": "stop",  # servers before 0.1.38 tell none
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
}
_EFFORT: dict[str, bool | str] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "max": "high",
}
_DURATIONS = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")
_PLAIN_RECORD = 4  # model, created_at, message or response, done
_PLAIN_MESSAGE = 2  # role, content


class OllamaDecoder(Decoder):
    """The state of one answer of `/api/chat` or `/api/generate`."""

    framing: ClassVar[Literal["sse", "ndjson"]] = "ndjson"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._calls: list[OpenCall] = []

    def on_record(self, record: dict[str, Any], name: bytes) -> None:
        """Take one line; the first branch is the hot path, a piece of text."""
        if not self._begun:
            self._on_first(record)
        message = record.get("message")
        if (
            message
            and len(record) == _PLAIN_RECORD
            and "error" not in record
            and len(message) == _PLAIN_MESSAGE
            and "role" in message
            and (text := message.get("content")).__class__ is str
        ):
            if text:
                self.out.append(text_delta(text))
        elif record.get("error"):  # it has no `done`, and the status stays 200
            self.raise_error(record)
        elif isinstance(message, dict):
            self._on_message(message, record)
        elif "response" in record:
            self._on_generated(record)
        elif record.get("image") or not record.get("done"):
            self._on_other(record)
        if record.get("done"):
            self._complete(record)

    def _on_first(self, record: dict[str, Any]) -> None:
        if record.get("error"):
            self.raise_error(record)
        self.begin(record.get("model"))

    def _on_message(self, message: dict[str, Any], record: dict[str, Any]) -> None:
        self._on_thinking(message.get("thinking"))
        self._on_text(message.get("content"), record.get("logprobs"))
        for image in message.get("images") or ():
            self._on_image(image)
        for told in message.get("tool_calls") or ():
            self._on_call(told)

    def _on_generated(self, record: dict[str, Any]) -> None:
        self._on_thinking(record.get("thinking"))
        self._on_text(record["response"], record.get("logprobs"))
        if record.get("image"):
            self._on_image(record["image"])
        for told in record.get("tool_calls") or ():
            self._on_call(told)

    def _on_other(self, record: dict[str, Any]) -> None:
        """A line without any answer: an image, the progress of one, or what is not known."""
        if record.get("image"):
            self._on_image(record["image"])
        else:
            self.unknown(record)

    def _on_thinking(self, thinking: Any) -> None:
        if thinking:
            self.out.append(reasoning_delta(_text(thinking)))

    def _on_text(self, text: Any, logprobs: Any) -> None:
        if text:
            event: StreamEvent = text_delta(_text(text))
            if logprobs:
                event = event.model_copy(update={"metadata": {"logprobs": logprobs}})
            self.out.append(event)

    def _on_image(self, image: str) -> None:
        self.out.append(File(data=base64.b64decode(image), mime="image/png"))

    def _on_call(self, told: dict[str, Any]) -> None:
        """A whole call; its `index` is not used, since some servers number all of them 0."""
        id, function = told.get("id"), told.get("function") or {}
        if id and any(call.id == id for call in self._calls):
            return  # told again
        call = self.open_call(len(self._calls), id or None, function.get("name"))
        self._calls.append(call)
        delta = call.add(function.get("arguments"))
        if delta is not None:
            self.out.append(delta)

    def _complete(self, record: dict[str, Any]) -> None:
        self.usage = _usage(record)
        raw_reason = record.get("done_reason")
        reason = _REASONS.get(raw_reason or "", "other")
        if self.close_calls(self._calls, cut_reason(reason)) and reason == "stop":
            reason = "tool_calls"
        self.finish(reason, raw_reason)


def _text(told: Any) -> str:
    if not isinstance(told, str):
        raise TypeError(f"expected text, got {type(told).__name__}")
    return told


def _usage(record: dict[str, Any]) -> Usage | None:
    """The counts of the last line; what its cache served is left out by some versions."""
    usage = Usage(
        input_tokens=whole(record.get("prompt_eval_count")),
        output_tokens=whole(record.get("eval_count")),
        cached_input_tokens=whole(record.get("prompt_eval_cached_count")),
        metadata={name: record[name] for name in _DURATIONS if name in record},  # nanoseconds
    )
    told = usage.metadata or usage.input_tokens is not None or usage.output_tokens is not None
    return usage if told else None


# Request → HTTP parts.


def encode(request: Request, model: str, quirks: Quirks) -> Call:
    """The request in Ollama's form; sampling settings go into `options`.

    Raises:
        BadRequestError: If a part can not be carried, or a tool call is demanded.
    """
    names = {p.id: p.name for m in request.messages for p in m.parts if isinstance(p, ToolCallPart)}
    messages = readable_by("ollama", request.messages)
    body: dict[str, Any] = {
        "model": model,
        "messages": [m for message in messages for m in _messages(message, names)],
        "stream": True,
    }
    options = {
        "num_predict": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": request.top_k,
        "stop": list(request.stop) or None,
        "seed": request.seed,
    }
    given = {name: value for name, value in options.items() if value is not None}
    if given:
        body["options"] = given
    if request.reasoning_effort is not None:
        body["think"] = _EFFORT[request.reasoning_effort]
    tools = _tools(request)
    if tools:
        body["tools"] = tools
    if request.response_schema is not None:
        body["format"] = dict(request.response_schema) if quirks.json_schema else "json"
    return Call("/api/chat", merge(body, request.provider_options))


def _tools(request: Request) -> list[dict[str, Any]]:
    if request.tool_choice == "none":
        return []
    if request.tool_choice not in (None, "auto"):
        raise BadRequestError(
            f"Ollama can not be made to call a tool, tool_choice was {request.tool_choice!r}; "
            "leave it out, or ask for the call in the prompt"
        )
    return [
        {
            "type": "function",
            "function": {
                "name": t.name,
                "description": t.description,
                "parameters": t.parameters,
            },
        }
        for t in request.tools
    ]


def _messages(message: Message, names: Mapping[str, str]) -> Iterable[dict[str, Any]]:
    """A tool turn becomes one message a result, any other turn one message."""
    if message.role == "tool":
        for part in message.parts:
            if not isinstance(part, ToolResultPart):
                raise BadRequestError(f"a tool message holds tool results only, got {part.type}")
            yield _result(part, names)
    elif message.role == "assistant":
        yield _assistant(message.parts)
    else:
        yield _asked(message)


def _result(part: ToolResultPart, names: Mapping[str, str]) -> dict[str, Any]:
    made = {"role": "tool", "content": told_result(part), "tool_call_id": part.id}
    name = part.name or names.get(part.id)
    if name:
        made["tool_name"] = name
    return made


def _asked(message: Message) -> dict[str, Any]:
    made: dict[str, Any] = {"role": message.role, "content": message.text}
    images = []
    for part in message.parts:
        if isinstance(part, ImagePart) and part.data is not None:
            images.append(base64.b64encode(part.data).decode())
        elif not isinstance(part, TextPart):
            raise unsupported(part, "Ollama")
    if images:
        made["images"] = images
    return made


def _assistant(parts: Iterable[Part]) -> dict[str, Any]:
    made: dict[str, Any] = {"role": "assistant", "content": ""}
    for part in parts:
        if isinstance(part, TextPart | RefusalPart):
            made["content"] += part.text
        elif isinstance(part, ReasoningPart):
            made["thinking"] = made.get("thinking", "") + part.text
        elif isinstance(part, ToolCallPart):
            function = {"name": part.name, "arguments": dict(part.arguments)}
            made.setdefault("tool_calls", []).append({"id": part.id, "function": function})
        else:
            raise unsupported(part, "Ollama")
    return made


OLLAMA = Dialect("ollama", encode, OllamaDecoder, forces_tools=lambda _: False)
