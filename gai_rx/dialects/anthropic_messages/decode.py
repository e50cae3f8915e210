"""Events of a message → events."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gai_rx.dialects.contract import Decoder, cut_reason, whole
from gai_rx.dialects.parts import provider_block
from gai_rx.dialects.tool_calls import OpenCall
from gai_rx.errors import ProtocolError
from gai_rx.events import Citation, Citations, FinishReason, ToolCall, ToolResult, Usage
from gai_rx.refusals import stream_error
from gai_rx.unvalidated import reasoning_delta, text_delta

__all__ = ["MessagesDecoder"]

_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
}
_READ_COUNTS = frozenset(
    (
        "input_tokens",
        "output_tokens",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
        "output_tokens_details",
    )
)
_READ_ENDING = frozenset(("type", "delta", "usage", "stop_reason"))
_CALL_NOTES = ("server_name", "toolset_name", "caller")


class MessagesDecoder(Decoder):
    """The state of one message."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._started = False
        self._id: str | None = None
        self._reason: str | None = None
        self._ending: dict[str, Any] = {}  # what is told of the end beside its reason
        self._counts: dict[str, Any] = {}
        self._open: set[int] = set()  # blocks by their index
        self._strange: set[int] = set()  # open too, but of a kind that no rule knows
        self._ended: set[int] = set()
        self._calls: list[OpenCall] = []
        self._open_calls: dict[int, tuple[OpenCall, Any]] = {}  # with what the start told as input
        self._call_notes: dict[int, dict[str, Any]] = {}

    def on_record(self, record: dict[str, Any], name: bytes) -> None:
        """Take one event; the first branch is the hot path, a piece of text."""
        kind = record.get("type") or name.decode("utf-8", "replace")
        if kind == "content_block_delta":
            delta, index = record["delta"], record["index"]
            if index in self._open and delta["type"] == "text_delta":
                text = delta["text"]
                if text.__class__ is not str:
                    raise TypeError("text that is none")
                if text:
                    self.out.append(text_delta(text, 0, index))
            else:
                self._on_delta(record, delta, index)
        elif kind == "error" or name == b"error" or ("type" not in record and record.get("error")):
            self.raise_error(record)
        elif (take := self._rules.get(kind)) is not None:
            if not self._started and kind != "message_start":
                raise ProtocolError(f"{kind} came before message_start")
            take(self, record)
        elif kind != "ping":
            self.begin()
            self.unknown(record)

    def raise_error(self, told: Any) -> None:
        """An error inside the answer; it names the request."""
        error = stream_error(told)
        if isinstance(told, dict) and isinstance(told.get("request_id"), str):
            error.request_id = told["request_id"][:200]
        raise error

    def _on_message(self, record: dict[str, Any]) -> None:
        message = record["message"]
        id = message.get("id")
        if self._started:
            if id is not None and id == self._id:
                return  # a proxy sent it twice
            raise ProtocolError(f"a second message begins inside the first ({self._id}, then {id})")
        self._started, self._id = True, id
        self.begin(message.get("model"), id)
        self._reason = message.get("stop_reason")
        self._count(message.get("usage"))
        # A turn that a container's program asked for comes whole at once.
        for index, block in enumerate(message.get("content") or ()):
            told = {"type": "content_block_start", "index": index, "content_block": block}
            self._on_block(told)
            self._on_block_end(told)
            self._ended.discard(index)

    def _on_block(self, record: dict[str, Any]) -> None:
        block, index = record["content_block"], record["index"]
        if index.__class__ is not int:
            raise TypeError("an index that is no number")
        if index in self._open or index in self._strange or index in self._ended:
            raise ProtocolError(f"block {index} begins a second time")
        self._open.add(index)
        kind: str = block["type"]
        if kind == "text":
            self._on_text(block, index)
        elif kind == "thinking":
            self._think(block.get("thinking"), block.get("signature"), index)
        elif kind == "redacted_thinking":
            self.out.append(reasoning_delta("", 0, index, None, _text(block["data"])))
        elif kind.endswith("tool_use"):
            self._on_call(block, index)
        elif kind.endswith("tool_result"):
            self._on_result(block)
        else:
            self._open.remove(index)
            self._strange.add(index)
            self.unknown(record)

    def _on_text(self, block: dict[str, Any], index: int) -> None:
        if block.get("text"):
            self.out.append(text_delta(_text(block["text"]), 0, index))
        if block.get("citations"):
            self._cite(block["citations"])

    def _think(self, thinking: Any, signature: Any, index: int) -> None:
        if thinking or signature:
            text, proof = _text(thinking or ""), _text(signature or "") or None
            self.out.append(reasoning_delta(text, 0, index, proof))

    def _on_call(self, block: dict[str, Any], index: int) -> None:
        call = self.open_call(len(self._calls), block.get("id"), block.get("name"))
        call.provider_executed = block["type"] != "tool_use"
        self._calls.append(call)
        self._open_calls[index] = (call, block.get("input"))
        notes = {name: block[name] for name in _CALL_NOTES if block.get(name)}
        if notes.get("caller") == {"type": "direct"}:  # by the model itself: nothing to note
            del notes["caller"]
        self._call_notes[call.index] = notes
        if call.provider_executed:
            told = {"type": block["type"], "id": call.ensure_id(), "name": call.name, **notes}
            notes.update(provider_block("anthropic_messages", {**told, "input": {}}, "input"))
        elif notes:
            call.signature = json.dumps({block["type"]: notes}, ensure_ascii=False)

    def _add(self, call: OpenCall, fragment: Any) -> None:
        delta = call.add(fragment)
        if delta is not None and not call.provider_executed:
            self.out.append(delta)

    def _on_result(self, block: dict[str, Any]) -> None:
        """A tool that the provider ran itself: its result comes whole."""
        content, id = block.get("content"), block.get("tool_use_id") or ""
        name = next((c.name for c in self._calls if c.told_id == id), "")
        kept = {key: value for key, value in block.items() if value is not None}
        told_error = isinstance(content, dict) and str(content.get("type")).endswith("_error")
        self.out.append(
            ToolResult(
                id=id,
                name=name or block["type"].removesuffix("_tool_result"),
                result=content,
                error=_error_in(content) if told_error or block.get("is_error") else None,
                provider_executed=True,
                metadata=provider_block("anthropic_messages", kept, "content"),
            )
        )

    def _on_delta(self, record: dict[str, Any], delta: dict[str, Any], index: int) -> None:
        """Any delta that is no text of a block that may have some."""
        kind = delta["type"]
        if index not in self._open:
            if index not in self._strange:
                state = "has ended" if index in self._ended else "has not begun"
                raise ProtocolError(f"a delta for block {index}, which {state}")
            self.unknown(record)
        elif kind == "input_json_delta":
            if index in self._open_calls:
                self._add(self._open_calls[index][0], delta["partial_json"])
        elif kind == "thinking_delta":
            self._think(delta["thinking"], None, index)
        elif kind == "signature_delta":
            self._think(None, delta["signature"], index)
        elif kind == "citations_delta":
            self._cite([delta["citation"]])
        else:
            self.unknown(record)

    def _on_block_end(self, record: dict[str, Any]) -> None:
        index = record["index"]
        if index in self._ended:
            return  # told twice
        if index not in self._open and index not in self._strange:
            raise ProtocolError(f"block {index} ends without having begun")
        self._open.discard(index)
        self._strange.discard(index)
        self._ended.add(index)
        self._end_call(index)

    def _end_call(self, index: int) -> None:
        call, given = self._open_calls.pop(index, (None, None))
        if call is None:
            return
        if given and not call.text:  # whole at the start, instead of in deltas
            self._add(call, given)
        if call.provider_executed:
            self.out.append(self._closed(call, None))

    def _closed(self, call: OpenCall, cut: str | None) -> ToolCall:
        made, notes = call.close(cut), self._call_notes[call.index]
        return made.model_copy(update={"metadata": notes}) if notes else made

    def _on_message_delta(self, record: dict[str, Any]) -> None:
        delta = record.get("delta") or {}
        self._reason = delta.get("stop_reason") or self._reason
        for key, value in {**record, **delta}.items():
            if value is not None and key not in _READ_ENDING:
                self._ending[key] = value
        self._count(record.get("usage"))

    def _on_stop(self, record: dict[str, Any]) -> None:
        for index in list(self._open_calls):
            self._end_call(index)
        reason = _REASONS.get(self._reason or "", "other")
        cut = cut_reason(reason)
        mine = [self._closed(c, cut) for c in self._calls if not c.provider_executed]
        self.out += mine
        if mine and reason == "stop":
            reason = "tool_calls"
        self.finish(reason, self._reason)
        if self._ending:  # why it refused, which text stopped it, which container it used, ...
            self.out[-1] = self.out[-1].model_copy(update={"metadata": self._ending})

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
        counts = self._counts
        counts.update((k, v) for k, v in (told or {}).items() if v is not None)
        if not counts:
            return
        details = counts.get("output_tokens_details") or {}
        self.usage = Usage(
            input_tokens=whole(counts.get("input_tokens")),
            output_tokens=whole(counts.get("output_tokens")),
            cached_input_tokens=whole(counts.get("cache_read_input_tokens")),
            cache_write_tokens=whole(counts.get("cache_creation_input_tokens")),
            reasoning_tokens=whole(details.get("thinking_tokens", details.get("reasoning_tokens"))),
            metadata={k: v for k, v in counts.items() if k not in _READ_COUNTS},
        )


def _text(told: Any) -> str:
    if not isinstance(told, str):
        raise TypeError(f"expected text, got {type(told).__name__}")
    return told


def _error_in(content: Any) -> str:
    """What a failed tool of the provider tells: a code, or text as tools of MCP do."""
    if isinstance(content, dict):
        return str(content.get("error_code") or content.get("error_message") or "failed")
    parts = [content] if isinstance(content, str) else content or ()
    said = [p if isinstance(p, str) else str(p.get("text") or "") for p in parts]
    return "\n".join(s for s in said if s) or "failed"


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
