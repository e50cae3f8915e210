"""Events of a response → events."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
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
    ToolCall,
    ToolResult,
    Usage,
    reasoning_delta,
    text_delta,
)

__all__ = ["ResponsesDecoder"]

_INCOMPLETE: dict[str, FinishReason] = {
    "max_output_tokens": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
}
# Told as they happen, and said better by the item that they belong to.
_PROGRESS = (
    ".in_progress",
    ".searching",
    ".generating",
    ".interpreting",
    ".completed",
    ".queued",
    ".added",
    ".done",
)
# Items that the provider runs itself, and where each keeps its input and its output.
_RUN_BY_PROVIDER: Mapping[str, tuple[str, str]] = {
    "web_search_call": ("action", "results"),
    "file_search_call": ("queries", "results"),
    "code_interpreter_call": ("code", "outputs"),
    "mcp_call": ("arguments", "output"),
    "image_generation_call": ("prompt", "result"),
}


# Items that the caller is to run, and where each keeps its input.
_ASKED = {"function_call": "arguments", "custom_tool_call": "input"}


class ResponsesDecoder(Decoder):
    """The state of one response."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._told: dict[tuple[Any, ...], int] = {}  # characters told of each part
        self._calls: dict[str, OpenCall] = {}  # by what names them: see `_call_for`
        self._by_index: dict[int, OpenCall] = {}
        self._encrypted: dict[str, str] = {}
        self._last: dict[str, Any] = {}
        self._said = self._refused = False

    def on_record(self, record: dict[str, Any], name: bytes) -> None:
        """Take one event; the first branch is the hot path, a piece of text."""
        kind = record.get("type") or name.decode("utf-8", "replace")
        if self._is_repeated(record):
            return
        if kind == "response.output_text.delta":
            text = record["delta"]
            if text:
                index = record.get("output_index") or 0
                key = ("text", index, record.get("content_index") or 0)
                self._told[key] = self._told.get(key, 0) + len(text)
                self._said = True
                self.out.append(text_delta(text, 0, index))
        elif (take := self._rules.get(kind)) is not None:
            take(self, record)
        elif record.get("error") and "response" not in record:
            self.raise_error(record)
        elif not kind.endswith(_PROGRESS) and kind not in ("keepalive", "ping"):
            self.unknown(record)

    def _is_repeated(self, record: dict[str, Any]) -> bool:
        """Whether a proxy sent the same event again."""
        number = record.get("sequence_number")
        again = (
            number is not None
            and number == self._last.get("sequence_number")
            and record == self._last
        )
        self._last = record
        return again

    def _on_response(self, record: dict[str, Any]) -> None:
        response = record["response"]
        self.begin(response.get("model"), response.get("id"))

    # Parts that come in pieces.

    def _rest(self, key: tuple[Any, ...], text: Any) -> str:
        """What of a part's whole text has not been told yet."""
        told = self._told.get(key, 0)
        if not isinstance(text, str) or len(text) <= told:
            return ""
        self._told[key] = len(text)
        return text[told:]

    def _on_text_done(self, record: dict[str, Any]) -> None:
        index = record.get("output_index") or 0
        self._finish_text(index, record.get("content_index") or 0, record.get("text"))

    def _finish_text(self, index: int, part: int, text: Any) -> None:
        rest = self._rest(("text", index, part), text)
        if rest:
            self._said = True
            self.out.append(text_delta(rest, 0, index))

    def _on_refusal(self, record: dict[str, Any]) -> None:
        self._refuse(record, record["delta"], more=True)

    def _on_refusal_done(self, record: dict[str, Any]) -> None:
        self._refuse(record, record.get("refusal"), more=False)

    def _refuse(self, record: dict[str, Any], text: Any, *, more: bool) -> None:
        key = ("refusal", record.get("output_index") or 0, record.get("content_index") or 0)
        if more:
            self._told[key] = self._told.get(key, 0) + len(text)
        else:
            text = self._rest(key, text)
        if text:
            self._refused = True
            self.out.append(RefusalDelta(text=text))

    def _on_thought(self, record: dict[str, Any]) -> None:
        text = record["delta"]
        key = _thought_key(record)
        self._told[key] = self._told.get(key, 0) + len(text)
        if text:
            self._think(text, key[1], record.get("item_id"))

    def _on_thought_done(self, record: dict[str, Any]) -> None:
        key = _thought_key(record)
        rest = self._rest(key, record.get("text"))
        if rest:
            self._think(rest, key[1], record.get("item_id"))

    def _think(self, text: str, index: int, id: Any) -> None:
        self.out.append(reasoning_delta(text, 0, index, id=id if isinstance(id, str) else None))

    def _on_annotation(self, record: dict[str, Any]) -> None:
        key = ("cited", record.get("output_index") or 0, record.get("content_index") or 0)
        self._told[key] = self._told.get(key, 0) + 1
        self.out.append(Citations(items=(_citation(record["annotation"]),)))

    def _on_audio(self, record: dict[str, Any]) -> None:
        self.out.append(AudioDelta(data=base64.b64decode(record["delta"]), mime="audio/pcm16"))

    # Calls.

    def _call_for(self, index: Any, item: Mapping[str, Any] | None = None) -> OpenCall:
        """The call of an item: by its call id, then by its place, since item ids may change."""
        call_id = (item or {}).get("call_id")
        call = self._calls.get(call_id) if call_id else None
        if call is None and item is None:
            call = self._by_index.get(index)
        if call is None:
            call = self.open_call(len(self._calls))
            self._calls[call_id or f"at {index}"] = call
        if item is not None:
            call.identify(call_id or item.get("id"), item.get("name"))
        self._by_index[index] = call
        return call

    def _on_arguments(self, record: dict[str, Any]) -> None:
        self._add(self._call_for(record.get("output_index")), record["delta"])

    def _on_arguments_done(self, record: dict[str, Any]) -> None:
        arguments = record.get("arguments") or record.get("input")
        self._finish_arguments(self._call_for(record.get("output_index")), arguments)

    def _finish_arguments(self, call: OpenCall, arguments: Any) -> None:
        if not arguments:
            return
        if not call.text:
            self._add(call, arguments)
        elif isinstance(arguments, str):
            call.replace(arguments)

    def _add(self, call: OpenCall, fragment: Any) -> None:
        delta = call.add(fragment)
        if delta is not None:
            self.out.append(delta)

    # Items.

    def _on_item(self, record: dict[str, Any]) -> None:
        item, index = record["item"], record.get("output_index") or 0
        self.begin()
        kind = item.get("type")
        if kind in _ASKED:
            call = self._call_for(index, item)
            call.free_text = kind == "custom_tool_call"
            self._finish_arguments(call, item.get(_ASKED[kind]))
        elif kind == "reasoning" and item.get("encrypted_content"):
            self._encrypted[item.get("id") or f"at {index}"] = item["encrypted_content"]
        elif kind in ("message", "reasoning"):
            self._forget(index)  # some servers number every item 0

    def _forget(self, index: int) -> None:
        for key in [k for k in self._told if k[1] == index]:
            del self._told[key]

    def _on_item_done(self, record: dict[str, Any]) -> None:
        item, index = record["item"], record.get("output_index") or 0
        self.begin()
        kind = item.get("type")
        if kind == "message":
            self._finish_message(item, index)
        elif kind == "reasoning":
            self._finish_reasoning(item, index)
        elif kind in _ASKED:
            call = self._call_for(index, item)
            call.free_text = kind == "custom_tool_call"
            self._finish_arguments(call, item.get(_ASKED[kind]))
        elif kind in _RUN_BY_PROVIDER:
            self._finish_run(item, *_RUN_BY_PROVIDER[kind])
        else:
            self.unknown(item)

    def _finish_message(self, item: dict[str, Any], index: int) -> None:
        parts = item.get("content") or []
        # Some servers number the parts otherwise here: what counts is whether all was told.
        told_all = sum(n for k, n in self._told.items() if k[:2] == ("text", index))
        missing = told_all < sum(len(part.get("text") or "") for part in parts)
        for number, part in enumerate(parts):
            if part.get("type") == "refusal":
                place = {"output_index": index, "content_index": number}
                self._refuse(place, part.get("refusal"), more=False)
                continue
            if missing:
                self._finish_text(index, number, part.get("text"))
            cited = part.get("annotations") or []
            told = self._told.get(("cited", index, number), 0)
            if len(cited) > told:
                self.out.append(Citations(items=tuple(_citation(c) for c in cited[told:])))

    def _finish_reasoning(self, item: dict[str, Any], index: int) -> None:
        id = item.get("id")
        for name in ("summary", "content"):
            for number, part in enumerate(item.get(name) or ()):
                rest = self._rest((name, index, number), part.get("text"))
                if rest:
                    self._think(rest, index, id)
        encrypted = item.get("encrypted_content") or self._encrypted.get(id or f"at {index}")
        if encrypted or id:
            self.out.append(reasoning_delta("", 0, index, encrypted=encrypted or None, id=id))

    def _finish_run(self, item: dict[str, Any], asked: str, came: str) -> None:
        """A tool that the provider ran itself: its call and its result."""
        id, name = item.get("id") or "", item.get("name") or item["type"].removesuffix("_call")
        given, result = item.get(asked), item.get(came)
        if item["type"] == "image_generation_call" and result:
            mime = f"image/{item.get('output_format') or 'png'}"
            self.out.append(File(data=base64.b64decode(result), mime=mime))
            result = None
        self.out.append(
            ToolCall(
                id=id,
                name=name,
                arguments=given if isinstance(given, dict) else {asked: given} if given else {},
                arguments_text=given if isinstance(given, str) else json.dumps(given),
                provider_executed=True,
            )
        )
        failed = item.get("error") or (item.get("status") == "failed" and "failed") or None
        self.out.append(
            ToolResult(
                id=id,
                name=name,
                result=result,
                error=failed if isinstance(failed, str | None) else json.dumps(failed),
                provider_executed=True,
            )
        )

    # Ends.

    def _on_completed(self, record: dict[str, Any]) -> None:
        response = self._last_word(record)
        reason: FinishReason = "refusal" if self._refused and not self._said else "stop"
        if self.close_calls(self._calls.values(), cut_reason(reason)):
            reason = "tool_calls"
        self.finish(reason, response.get("status") or "completed")

    def _on_incomplete(self, record: dict[str, Any]) -> None:
        response = self._last_word(record)
        told = (response.get("incomplete_details") or {}).get("reason")
        reason = _INCOMPLETE.get(told or "", "other")
        self.close_calls(
            self._calls.values(), f"the answer is incomplete ({told}): it must not run"
        )
        self.finish(reason, told or response.get("status") or "incomplete")

    def _last_word(self, record: dict[str, Any]) -> dict[str, Any]:
        response: dict[str, Any] = record["response"]
        self.begin(response.get("model"), response.get("id"))
        self._read_usage(response.get("usage"))
        return response

    def _on_failed(self, record: dict[str, Any]) -> None:
        response = record.get("response") or {}
        self._read_usage(response.get("usage"))
        fallback = {"message": f"the response is {response.get('status') or 'failed'}"}
        self.raise_error(response.get("error") or fallback)

    def _on_error(self, record: dict[str, Any]) -> None:
        self.raise_error(record)

    def _read_usage(self, told: Any) -> None:
        if not isinstance(told, dict):
            return
        into = told.get("input_tokens_details") or {}
        out = told.get("output_tokens_details") or {}
        self.usage = Usage(
            input_tokens=whole(told.get("input_tokens")),
            output_tokens=whole(told.get("output_tokens")),
            total_tokens=whole(told.get("total_tokens")),
            cached_input_tokens=whole(into.get("cached_tokens")),
            cache_write_tokens=whole(into.get("cache_write_tokens")),
            reasoning_tokens=whole(out.get("reasoning_tokens")),
        )

    _rules = {  # noqa: RUF012 - filled once, read only
        "response.created": _on_response,
        "response.in_progress": _on_response,
        "response.queued": _on_response,
        "response.output_text.done": _on_text_done,
        "response.refusal.delta": _on_refusal,
        "response.refusal.done": _on_refusal_done,
        "response.reasoning_summary_text.delta": _on_thought,
        "response.reasoning_summary_text.done": _on_thought_done,
        "response.reasoning_text.delta": _on_thought,
        "response.reasoning_text.done": _on_thought_done,
        "response.output_text.annotation.added": _on_annotation,
        "response.audio.delta": _on_audio,
        "response.function_call_arguments.delta": _on_arguments,
        "response.function_call_arguments.done": _on_arguments_done,
        "response.custom_tool_call_input.delta": _on_arguments,
        "response.custom_tool_call_input.done": _on_arguments_done,
        "response.output_item.added": _on_item,
        "response.output_item.done": _on_item_done,
        "response.completed": _on_completed,
        "response.incomplete": _on_incomplete,
        "response.failed": _on_failed,
        "response.cancelled": _on_failed,
        "error": _on_error,
    }


def _thought_key(record: dict[str, Any]) -> tuple[str, int, int]:
    index = record.get("output_index") or 0
    if "summary_index" in record:
        return "summary", index, record["summary_index"] or 0
    return "content", index, record.get("content_index") or 0


def _citation(told: dict[str, Any]) -> Citation:
    nested = told.get("url_citation")
    told = {**told, **nested} if isinstance(nested, dict) else told
    return Citation(
        uri=told.get("url") or told.get("file_id") or "",
        title=told.get("title") or told.get("filename") or "",
        start=whole(told.get("start_index")),
        end=whole(told.get("end_index")),
    )
