"""OpenAI's responses, as the simulator speaks it.

Source: https://platform.openai.com/docs/api-reference/responses-streaming.

A response asked for with `background` is kept: a GET gives it again, or, with `starting_after`, its
events from the one after that number on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gai_rx.events import Citation, FinishReason
from gai_rx.simulator.asking import Asked, Conversation, OfferedTool, Said, texts
from gai_rx.simulator.faults import Failure
from gai_rx.simulator.language import CREATED, Language, Record, Turn, sse
from gai_rx.simulator.openai_chat import refuse
from gai_rx.simulator.script import arguments_of, cut_up, fragments

__all__ = ["OPENAI_RESPONSES", "is_kept", "name_of"]

_INCOMPLETE: Mapping[FinishReason, str] = {
    "length": "max_output_tokens",
    "content_filter": "content_filter",
    "other": "other",
}


def read(body: Mapping[str, Any], url: Mapping[str, str]) -> Asked:
    """The request of a response."""
    told = body.get("input")
    items = [{"role": "user", "content": told}] if isinstance(told, str) else told or ()
    heard = Conversation.of(
        [Said("system", texts(body.get("instructions"))), *(_said(item) for item in items)]
    )
    form = (body.get("text") or {}).get("format") or {}
    json_object: dict[str, Any] | None = {} if form.get("type") == "json_object" else None
    return Asked(
        dialect="openai_responses",
        model=str(body.get("model") or ""),
        prompt=heard.prompt,
        text=heard.text,
        stream=bool(body.get("stream")),
        tools=tuple(
            OfferedTool(str(tool.get("name")), tool.get("parameters") or {})
            for tool in body.get("tools") or ()
            if tool.get("type") == "function"
        ),
        tool_results=heard.tool_results,
        schema=form.get("schema") if form.get("type") == "json_schema" else json_object,
        body=body,
    )


def _said(item: Mapping[str, Any]) -> Said:
    if item.get("type") == "function_call_output":
        return Said("tool", "", (texts(item.get("output")),))
    return Said(str(item.get("role")), texts(item.get("content")))


class _Writer:
    """The events of one answer; they are numbered, and the items they build are kept."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._sequence = 0
        self._output: list[dict[str, Any]] = []

    def records(self) -> Iterator[Record]:
        """The events, from the first to the terminal one."""
        for kind in ("response.created", "response.in_progress"):
            yield self._event(kind, response=self.response("in_progress"))
        answer = self._turn.answer
        if answer.reasoning:
            yield from self._reasoning()
        if answer.refusal:
            yield from self._refusal()
        elif answer.endless or answer.pieces():
            yield from self._message()
        for index in range(len(answer.tool_calls)):
            yield from self._call(index)
        status = self.status()
        yield self._event(f"response.{status}", response=self.response(status))

    def response(self, status: str) -> dict[str, Any]:
        """The response object as it stands."""
        turn, asked = self._turn, self._turn.asked.body
        reason = turn.answer.raw_reason or _INCOMPLETE.get(turn.answer.reason)
        failed = {"code": "server_error", "message": "The model failed. (simulated)"}
        return {
            "id": name_of(turn),
            "object": "response",
            "created_at": CREATED,
            "status": status,
            "background": bool(asked.get("background")),
            "error": failed if status == "failed" else None,
            "incomplete_details": {"reason": reason} if status == "incomplete" else None,
            "instructions": asked.get("instructions"),
            "max_output_tokens": asked.get("max_output_tokens"),
            "model": turn.asked.model,
            "output": list(self._output),
            "parallel_tool_calls": True,
            "previous_response_id": asked.get("previous_response_id"),
            "reasoning": {"effort": None, "summary": None},
            "service_tier": "default",
            "store": bool(asked.get("store", True)),
            "temperature": asked.get("temperature", 1.0),
            "text": asked.get("text") or {"format": {"type": "text"}},
            "tool_choice": asked.get("tool_choice", "auto"),
            "tools": asked.get("tools") or [],
            "top_p": asked.get("top_p", 1.0),
            "truncation": "disabled",
            "usage": None if status == "in_progress" else _usage(turn),
            "user": None,
            "metadata": asked.get("metadata") or {},
        }

    def status(self) -> str:
        """How the response ends: completed, incomplete or failed."""
        reason = self._turn.answer.reason
        if reason == "error":
            return "failed"
        return "incomplete" if reason in _INCOMPLETE else "completed"

    def _event(self, kind: str, *, paced: bool = False, **told: Any) -> Record:
        record = {"type": kind, "sequence_number": self._sequence, **told}
        self._sequence += 1
        return Record(sse(record, kind), paced)

    def _item(self, kind: str, item: dict[str, Any]) -> Record:
        """An item begins, or is done."""
        index = len(self._output)
        if kind == "done":
            self._output.append(item)
        return self._event(f"response.output_item.{kind}", output_index=index, item=item)

    def _reasoning(self) -> Iterator[Record]:
        text, id = self._turn.answer.reasoning, self._turn.id("rs_", size=48)
        item: dict[str, Any] = {"id": id, "type": "reasoning", "summary": []}
        place: dict[str, Any] = {
            "item_id": id,
            "output_index": len(self._output),
            "summary_index": 0,
        }
        part = {"type": "summary_text", "text": ""}
        yield self._item("added", item)
        yield self._event("response.reasoning_summary_part.added", **place, part=part)
        for piece in cut_up(text):
            kind = "response.reasoning_summary_text.delta"
            yield self._event(kind, paced=True, **place, delta=piece)
        part = {**part, "text": text}
        yield self._event("response.reasoning_summary_text.done", **place, text=text)
        yield self._event("response.reasoning_summary_part.done", **place, part=part)
        yield self._item("done", {**item, "summary": [part]})

    def _message(self) -> Iterator[Record]:
        answer, (item, place) = self._turn.answer, self._open_message()
        part: dict[str, Any] = {"type": "output_text", "annotations": [], "text": ""}
        part["logprobs"] = []
        yield self._item("added", item)
        yield self._event("response.content_part.added", **place, part=part)
        for piece in answer.text_deltas():
            kind = "response.output_text.delta"
            yield self._event(kind, paced=True, **place, delta=piece, logprobs=[])
        notes = [_annotation(c) for c in answer.citations]
        for number, note in enumerate(notes):
            kind = "response.output_text.annotation.added"
            yield self._event(kind, **place, annotation_index=number, annotation=note)
        part = {**part, "annotations": notes, "text": answer.said}
        yield self._event("response.output_text.done", **place, text=answer.said, logprobs=[])
        yield from self._close_message(item, place, part)

    def _refusal(self) -> Iterator[Record]:
        text, (item, place) = self._turn.answer.refusal, self._open_message()
        part = {"type": "refusal", "refusal": ""}
        yield self._item("added", item)
        yield self._event("response.content_part.added", **place, part=part)
        for piece in cut_up(text):
            yield self._event("response.refusal.delta", paced=True, **place, delta=piece)
        yield self._event("response.refusal.done", **place, refusal=text)
        yield from self._close_message(item, place, {**part, "refusal": text})

    def _open_message(self) -> tuple[dict[str, Any], dict[str, Any]]:
        id = self._turn.id("msg_", size=48)
        item: dict[str, Any] = {"id": id, "type": "message", "status": "in_progress"}
        place: dict[str, Any] = {"item_id": id, "content_index": 0}
        place["output_index"] = len(self._output)
        return {**item, "content": [], "role": "assistant"}, place

    def _close_message(
        self, item: dict[str, Any], place: dict[str, Any], part: dict[str, Any]
    ) -> Iterator[Record]:
        yield self._event("response.content_part.done", **place, part=part)
        status = "incomplete" if self.status() == "incomplete" else "completed"
        yield self._item("done", {**item, "status": status, "content": [part]})

    def _call(self, number: int) -> Iterator[Record]:
        call, turn = self._turn.answer.tool_calls[number], self._turn
        text, id = arguments_of(call), turn.id("fc_", number, size=48)
        item: dict[str, Any] = {
            "id": id,
            "type": "function_call",
            "status": "in_progress",
            "arguments": "",
        }
        item |= {"call_id": turn.call_id(number), "name": call.name}
        place: dict[str, Any] = {"item_id": id, "output_index": len(self._output)}
        yield self._item("added", item)
        kind = "response.function_call_arguments"
        for piece in fragments(text):
            yield self._event(f"{kind}.delta", paced=True, **place, delta=piece)
        yield self._event(f"{kind}.done", **place, name=call.name, arguments=text)
        yield self._item("done", {**item, "status": "completed", "arguments": text})


def name_of(turn: Turn) -> str:
    """The id of the response."""
    return turn.id("resp_", size=48)


def is_kept(turn: Turn) -> bool:
    """Whether the response is written on without its reader, who may come back for the rest."""
    asked = turn.asked.body
    kept = asked.get("background") is True and asked.get("store") is not False
    return kept and turn.answer.body is None  # a recorded body has names of its own


def records(turn: Turn) -> Iterator[Record]:
    """The events of a streamed answer, from `response.created` to its terminal event."""
    return _Writer(turn).records()


def whole(turn: Turn) -> dict[str, Any]:
    """The answer in one piece: what the stream adds up to."""
    writer = _Writer(turn)
    for _ in writer.records():
        pass
    return writer.response(writer.status())


def _annotation(citation: Citation) -> dict[str, Any]:
    return {
        "type": "url_citation",
        "url": citation.uri,
        "title": citation.title,
        "start_index": citation.start or 0,
        "end_index": citation.end or 0,
    }


def _usage(turn: Turn) -> dict[str, Any]:
    usage = turn.usage
    cached, written = usage.cached_input_tokens or 0, usage.cache_write_tokens or 0
    return {
        "input_tokens": usage.input_tokens or 0,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "output_tokens": usage.output_tokens or 0,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        "total_tokens": usage.total_tokens or 0,
    }


def error(failure: Failure, position: int) -> bytes:
    """A failure inside a stream."""
    told = refuse(failure)[1]["error"]
    return sse({"type": "error", "sequence_number": position, "error": told}, "error")


OPENAI_RESPONSES = Language("openai_responses", read, records, whole, refuse, error)
