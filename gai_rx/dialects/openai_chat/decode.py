"""Chat completion chunks → events."""

from __future__ import annotations

import base64
import json
from typing import Any

from gai_rx.dialects.contract import Decoder, cut_reason, whole
from gai_rx.dialects.tool_calls import OpenCall
from gai_rx.events import (
    AudioDelta,
    Citation,
    Citations,
    File,
    FinishReason,
    RefusalDelta,
    Safety,
    Usage,
)
from gai_rx.unvalidated import reasoning_delta, text_delta

__all__ = ["ChatDecoder"]

_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "stop_sequence": "stop",
    "end_turn": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "refusal": "refusal",
    "error": "error",
    "insufficient_system_resource": "error",
}
# What only some hosts send, beside the text: the quick way past all the accents.
_RARE = frozenset({"error", "x_groq", "citations", "search_results", "prompt_filter_results"})
_RARE_IN_CHOICE = frozenset({"message", "usage", "error", "content_filter_results"})
_KNOWN_OBJECTS = {"chat.completion.chunk", "chat.completion", "", None}


class ChatDecoder(Decoder):
    """The state of one chat completion."""

    text_changes_nothing = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._reason: str | None = None
        self._usage: Any = None  # the last usage object; read at the end, since some send many
        self._calls: list[OpenCall] = []
        self._by_index: dict[Any, OpenCall] = {}
        self._cited: set[str] = set()
        self._images = 0

    def on_record(self, record: dict[str, Any], name: bytes) -> None:
        """Take one chunk; the first branch is the hot path, a piece of text."""
        if not self._begun:
            if record.get("error"):
                self.raise_error(record)
            self.begin(record.get("model"), record.get("id"))
        choices = record.get("choices")
        for choice in choices or ():
            delta = choice.get("delta")
            if (
                delta
                and len(delta) == 1
                and (text := delta.get("content")).__class__ is str
                and not choice.get("finish_reason")
                and _RARE_IN_CHOICE.isdisjoint(choice)
            ):
                if text:
                    self.out.append(text_delta(text, choice.get("index") or 0))
            else:
                self._on_choice(choice)
        if record.get("usage"):
            self._usage = record["usage"]
        if not choices or not _RARE.isdisjoint(record) or name == b"error":
            self._on_extras(record, name)

    def _on_choice(self, choice: dict[str, Any]) -> None:
        index = choice.get("index") or 0
        # `message` is the whole answer, of a server that ignored `stream`.
        delta = choice.get("delta") or choice.get("message")
        if delta:
            self._on_delta(delta, index)
        if choice.get("finish_reason") and index == 0:
            self._reason = str(choice["finish_reason"])
        if choice.get("usage"):  # Moonshot
            self._usage = choice["usage"]
        if choice.get("error"):  # OpenRouter
            self.raise_error(choice)
        if choice.get("content_filter_results"):
            self._on_filter(choice["content_filter_results"])

    def _on_extras(self, record: dict[str, Any], name: bytes) -> None:
        """What only some hosts send beside the choices."""
        if record.get("error") or name == b"error":  # Groq marks errors by the event's type too
            self.raise_error(record)
        groq = record.get("x_groq")
        if groq:
            if groq.get("error"):
                self.raise_error(groq)
            self._usage = groq.get("usage") or self._usage
        if record.get("citations") or record.get("search_results"):
            self._cite(record)
        filtered = record.get("prompt_filter_results")
        for result in filtered if isinstance(filtered, list) else ():
            self._on_filter(result.get("content_filter_results"))
        if not record.get("choices") and record.get("object") not in _KNOWN_OBJECTS:
            self.unknown(record)

    def _on_delta(self, delta: dict[str, Any], index: int) -> None:
        content = delta.get("content")
        if content:
            if isinstance(content, str):
                self.out.append(text_delta(content, index))
            else:
                self._on_parts(content, index)
        self._on_rare(delta, index)

    def _on_rare(self, delta: dict[str, Any], index: int) -> None:
        """All that a delta may hold besides text."""
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        details = delta.get("reasoning_details")
        if thought or details:
            self._on_reasoning(thought, details, index)
        if delta.get("refusal") and index == 0:
            self.out.append(RefusalDelta(text=delta["refusal"]))
        for call in delta.get("tool_calls") or ():
            if index == 0:
                self._on_call(call)
        if delta.get("function_call") and index == 0:  # before `tool_calls` there was this
            self._on_call({"index": 0, "function": delta["function_call"]})
        annotations = delta.get("annotations")
        if annotations:
            self._annotate(annotations)
        audio = delta.get("audio")
        if audio and audio.get("data"):
            self.out.append(AudioDelta(data=base64.b64decode(audio["data"]), mime="audio/pcm16"))
        if audio and audio.get("transcript"):
            self.out.append(text_delta(audio["transcript"], index))
        for image in delta.get("images") or ():
            self.out.append(_file(image["image_url"]["url"]))

    def _on_parts(self, parts: Any, index: int) -> None:
        """Content as a list of parts, as Mistral sends it."""
        listed: list[Any] = [parts] if isinstance(parts, dict) else parts
        for part in listed:
            kind = part.get("type") if isinstance(part, dict) else "text"
            if kind == "text":
                text = part["text"] if isinstance(part, dict) else part
                if text:
                    self.out.append(text_delta(text, index))
            elif kind == "thinking":
                thinking = part.get("thinking")
                inner = thinking if isinstance(thinking, list) else [{"text": thinking}]
                text = "".join(t.get("text") or "" for t in inner)
                if text:
                    self.out.append(reasoning_delta(text, index))
            else:  # references and what else will come
                self.unknown(part)

    def _on_reasoning(self, thought: Any, details: Any, index: int) -> None:
        """Thinking; OpenRouter tells the same text twice, and signs it in the details."""
        for detail in details or ():
            text = detail.get("text") or detail.get("summary") or ""
            signature, encrypted = detail.get("signature"), detail.get("data")
            if thought and not (signature or encrypted):
                continue
            self.out.append(
                reasoning_delta(
                    "" if thought else text,
                    index,
                    signature=signature,
                    encrypted=encrypted,
                    id=detail.get("id"),
                )
            )
        if thought:
            text = thought if isinstance(thought, str) else json.dumps(thought)
            self.out.append(reasoning_delta(text, index))

    def _on_call(self, told: dict[str, Any]) -> None:
        function = told.get("function") or {}
        call = self._call_for(told)
        call.identify(told.get("id"), function.get("name"))
        delta = call.add(function.get("arguments"))
        if delta is not None:
            self.out.append(delta)

    def _call_for(self, told: dict[str, Any]) -> OpenCall:
        """The call that a fragment belongs to: by its id, then its index, then the latest.

        Hosts leave out the index (Gemini's compatible endpoint), reuse it for every call (Ollama),
        or repeat the id with each fragment (Fireworks).
        """
        id, index = told.get("id") or None, told.get("index")
        if id is not None:
            for call in self._calls:
                if call.told_id == id:
                    return call
            known = self._by_index.get(index) if index is not None else None
            if known is not None and not known.told_id:
                return known
        elif index is not None and index in self._by_index:
            return self._by_index[index]
        elif self._calls:
            named = bool((told.get("function") or {}).get("name"))
            if not named or (index is None and not self._calls[-1].name):
                return self._calls[-1]
        call = self.open_call(len(self._calls))
        self._calls.append(call)
        if index is not None:
            self._by_index[index] = call
        return call

    def _cite(self, record: dict[str, Any]) -> None:
        """Perplexity and xAI list their sources again with every chunk: each is told once."""
        found = record.get("search_results") or record.get("citations")
        items = []
        for source in found if isinstance(found, list) else ():
            told = source if isinstance(source, dict) else {"url": source}
            uri = told.get("url") or ""
            if uri and uri not in self._cited:
                self._cited.add(uri)
                items.append(Citation(uri=uri, title=told.get("title") or ""))
        if items:
            self.out.append(Citations(items=tuple(items)))

    def _annotate(self, annotations: list[dict[str, Any]]) -> None:
        items = []
        for annotation in annotations:
            told = annotation.get("url_citation") or {}
            items.append(
                Citation(
                    uri=told.get("url") or "",
                    title=told.get("title") or "",
                    text=told.get("content") or "",
                    start=whole(told.get("start_index")),
                    end=whole(told.get("end_index")),
                )
            )
        self.out.append(Citations(items=tuple(items)))

    def _on_filter(self, results: Any) -> None:
        """Azure's verdicts; only those that found something are told."""
        for category, verdict in results.items() if isinstance(results, dict) else ():
            if isinstance(verdict, dict) and (verdict.get("filtered") or verdict.get("detected")):
                action = "blocked" if verdict.get("filtered") else "detected"
                note = str(verdict.get("severity") or "")
                self.out.append(Safety(category=category, action=action, note=note))

    def on_sentinel(self) -> None:
        """`[DONE]`: complete if a finish reason came."""
        if self._reason is None and not (self.quirks.finish_optional and self.begun):
            self._read_usage()
            raise self._truncated()
        self._complete()

    def on_end(self) -> None:
        """Some hosts leave out `[DONE]`: a finish reason is proof enough."""
        self._read_usage()
        if self._reason is not None:
            self._complete()

    def _complete(self) -> None:
        self._read_usage()
        reason = _REASONS.get((self._reason or "").lower(), "other")
        if self.close_calls(self._calls, cut_reason(reason)) and reason == "stop":
            reason = "tool_calls"
        self.finish(reason, self._reason)

    def _read_usage(self) -> None:
        if isinstance(self._usage, dict):
            self.usage = _usage(self._usage)


def _usage(told: dict[str, Any]) -> Usage:
    prompt = told.get("prompt_tokens_details") or {}
    completion = told.get("completion_tokens_details") or {}
    cached = prompt.get("cached_tokens")
    if cached is None:
        cached = told.get("prompt_cache_hit_tokens", told.get("cached_tokens"))
    return Usage(
        input_tokens=whole(told.get("prompt_tokens")),
        output_tokens=whole(told.get("completion_tokens")),
        total_tokens=whole(told.get("total_tokens")),
        cached_input_tokens=whole(cached),
        cache_write_tokens=whole(prompt.get("cache_write_tokens")),
        reasoning_tokens=whole(completion.get("reasoning_tokens")),
    )


def _file(url: str) -> File:
    head, comma, data = url.partition(",")
    if comma and head.startswith("data:") and head.endswith(";base64"):
        return File(data=base64.b64decode(data), mime=head[5:-7])
    return File(url=url)
