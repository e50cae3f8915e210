"""Events of a response → events."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from io import StringIO
from typing import Any, ClassVar

from gai_rx.dialects.contract import Decoder, cut_reason
from gai_rx.dialects.openai_responses.calls import ASKED, Calls
from gai_rx.dialects.openai_responses.items import (
    cite,
    decoded,
    error_of,
    picture,
    unsaid,
    usage,
    verdicts,
)
from gai_rx.errors import ProtocolError
from gai_rx.events import AudioDelta, Error, FinishReason, RefusalDelta
from gai_rx.unvalidated import reasoning_delta, text_delta

__all__ = ["ResponsesDecoder"]

_INCOMPLETE: dict[str, FinishReason] = {
    "max_output_tokens": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
}
_FRAME = ("response.created", "response.queued", "response.in_progress")
_ENDS = ("response.completed", "response.incomplete", "response.done")
# What these tell is told again, and better, by the item that they belong to.
_PHASES = {
    "audio": ("done",),
    "audio.transcript": ("done",),
    "code_interpreter_call": ("in_progress", "interpreting", "completed"),
    "compaction": ("compacting",),
    "content_part": ("added", "done"),
    "file_search_call": ("in_progress", "searching", "completed"),
    "image_generation_call": ("in_progress", "generating", "completed"),
    "mcp_call": ("in_progress", "completed", "failed"),
    "mcp_list_tools": ("in_progress", "completed", "failed"),
    "reasoning_part": ("added", "done"),
    "reasoning_summary_part": ("added", "done"),
    "web_search_call": ("in_progress", "searching", "completed"),
}
_NO_NEWS = {f"response.{of}.{phase}" for of, phases in _PHASES.items() for phase in phases}
_NO_NEWS |= {"keepalive", "ping"}
_NOWHERE = -1
_COUNTED = 2  # numbers in a row, after which a server is believed to count its events
_ID = re.compile(r"[\w-]{1,200}", re.ASCII)  # what may stand in a URL as it came


class ResponsesDecoder(Decoder):
    """The state of one response; its items are told apart by `output_index`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._next: int | None = 0  # number of the next event; None where they have none
        self._first = 0
        self._last: dict[str, Any] = {}
        self._id: str | None = None  # of a response that the server keeps
        # The message that text comes for now: its index, its block, what it has said.
        self._at: Any = _NOWHERE
        self._block = 0
        self._write: Callable[[str], Any] = StringIO().write
        self._said: dict[Any, StringIO] = {}
        self._ended: dict[Any, int] = {}  # how many parts of a message are complete
        self._cited: dict[Any, int] = {}
        self._signatures: dict[Any, str] = {}
        self._thought: dict[tuple[Any, str, int], int] = {}  # characters of each part of thinking
        self._encrypted: dict[Any, Any] = {}
        self._calls = Calls(self.open_call)
        self._refused = self._spoke = self._streamed = False

    def on_record(self, record: dict[str, Any], name: bytes) -> None:
        """Take one event; the first branch is the hot path, a piece of text that goes on."""
        kind = record.get("type")
        if (
            kind == "response.output_text.delta"
            and record.get("output_index") == self._at
            and record.get("sequence_number") == self._next
            and (text := record.get("delta")).__class__ is str
            and text
            and not record.get("logprobs")
        ):
            if self._next is not None:
                self._next += 1
            self._write(text)
            self.out.append(text_delta(text, 0, self._block))
        else:
            self._on_rare(kind, record, name)

    def _on_rare(self, kind: Any, record: dict[str, Any], name: bytes) -> None:
        """All other events; an error may be the first one."""
        if kind is None:
            kind = name.decode("utf-8", "replace")
            if record.get("error") or (kind == "message" and record.get("message")):
                kind = "error"
        if kind == "error":
            self.raise_error(error_of(record))
        if not self._is_new(kind, record):
            return
        if kind not in _FRAME:
            self.begin()
            self._streamed = self._streamed or kind not in _ENDS
        rule = self._rules.get(kind)
        if rule is not None:
            rule(self, record)
        elif kind not in _NO_NEWS:
            self.unknown(record)

    def _is_new(self, kind: str, record: dict[str, Any]) -> bool:
        """Whether an event has not come before, as its number tells.

        A server is held to its numbers once it has counted: some give all or a few events 0.
        """
        number: Any = record.get("sequence_number")
        due = self._next
        if due is None:
            again = number is not None and record == self._last
            self._last = record
            return not again
        if kind == "keepalive" and number != due:
            return True
        if number.__class__ is not int:
            self._next = None
        elif number == due:
            self._next = due + 1
        elif due - self._first < _COUNTED:
            self._first, self._next = number, number + 1
        elif number > due:
            raise ProtocolError(
                f"events were lost: after number {due - 1} came {number}", phase="decode"
            )
        else:
            return number == 0 or kind in _ENDS
        return True

    def _on_frame(self, record: dict[str, Any]) -> None:
        response = record.get("response") or {}
        self.begin(response.get("model"), response.get("id"))
        self._calls.offer(response.get("tools"))
        id = _name(response.get("id")) or ""
        self._id = id if response.get("background") is True and _ID.fullmatch(id) else None

    def rest_path(self) -> str | None:
        """Where the events after the last one are: with a server that counts and keeps them."""
        if self._id is None or self._next is None or self._next - self._first < _COUNTED:
            return None
        return f"/responses/{self._id}?stream=true&starting_after={self._next - 1}"

    # Messages.

    def _on_text(self, record: dict[str, Any]) -> None:
        text, index = _text(record["delta"]), record.get("output_index")
        if text:
            self._tell(index, text, record.get("logprobs"))
            self._at, self._block = index, _block(index)
            self._write = self._said.setdefault(index, StringIO()).write
            self._write(text)

    def _tell(self, index: Any, text: str, logprobs: Any = None) -> None:
        self._spoke = True
        event = text_delta(text, 0, _block(index), self._signatures.pop(index, None))
        if logprobs:
            event = event.model_copy(update={"metadata": {"logprobs": logprobs}})
        self.out.append(event)

    def _on_refusal(self, record: dict[str, Any]) -> None:
        text, index = _text(record["delta"]), record.get("output_index")
        if text:
            self._said.setdefault(index, StringIO()).write(text)
            self._refuse(index, text)

    def _refuse(self, _index: Any, text: str) -> None:
        self._refused = True
        self.out.append(RefusalDelta(text=text))

    def _on_text_done(self, record: dict[str, Any]) -> None:
        self._end_part(record.get("output_index"), _part(record), record.get("text"), self._tell)

    def _on_refusal_done(self, record: dict[str, Any]) -> None:
        index, told = record.get("output_index"), record.get("refusal")
        self._end_part(index, _part(record), told, self._refuse)

    def _end_part(self, index: Any, part: int, told: Any, tell: Callable[[Any, str], None]) -> None:
        """A part's whole text, which comes up to three times: what no delta told is told now."""
        if part < self._ended.get(index, 0):
            return
        self._ended[index] = part + 1
        said = self._said.pop(index, None)
        rest = unsaid(said.getvalue() if said is not None else "", _text(told or ""))
        if rest:
            tell(index, rest)
        self._at = _NOWHERE

    def _on_annotation(self, record: dict[str, Any]) -> None:
        index = record.get("output_index")
        self._cited[index] = self._cited.get(index, 0) + 1
        self.out.append(cite([record["annotation"]]))

    def _begin_message(self, item: dict[str, Any], index: Any) -> None:
        self._ended.pop(index, None)  # some servers give every item the same index
        self._cited.pop(index, None)
        self._at = _NOWHERE
        if item.get("phase"):
            self._signatures[index] = json.dumps({"phase": item["phase"]})

    def _end_message(self, item: dict[str, Any], index: Any) -> None:
        if index not in self._ended and index not in self._said:
            self._begin_message(item, index)
        cited: list[dict[str, Any]] = []
        for part, told in enumerate(item.get("content") or ()):
            if told.get("type") == "refusal":
                self._end_part(index, part, told.get("refusal"), self._refuse)
            elif told.get("type") == "output_text":
                self._end_part(index, part, told.get("text"), self._tell)
                cited += told.get("annotations") or ()
        missed = cited[self._cited.get(index, 0) :]
        if missed:
            self.out.append(cite(missed))
            self._cited[index] = len(cited)

    # Thinking.

    def _on_thought(self, record: dict[str, Any]) -> None:
        text = _text(record["delta"])
        if text:
            place = _place(record)
            self._thought[place] = self._thought.get(place, 0) + len(text)
            self._think(place[0], text, record.get("item_id"))

    def _think(self, index: Any, text: str, id: Any) -> None:
        self.out.append(reasoning_delta(text, 0, _block(index), id=_name(id)))

    def _on_thought_done(self, record: dict[str, Any]) -> None:
        self._end_thought(_place(record), record.get("text"), record.get("item_id"))

    def _end_thought(self, place: tuple[Any, str, int], told: Any, id: Any) -> None:
        rest = _text(told or "")[self._thought.get(place, 0) :]
        if rest:
            self._thought[place] = len(told)
            self._think(place[0], rest, id)

    def _end_reasoning(self, item: dict[str, Any], index: Any) -> None:
        """A summary and the thoughts themselves: the form that was begun is told to its end."""
        begun = {form for at, form, _ in self._thought if at == index}
        forms = [form for form in ("summary", "content") if item.get(form)]
        for form in [form for form in forms if form in begun] or forms[: not begun]:
            for part, told in enumerate(item[form]):
                self._end_thought((index, form, part), told.get("text"), item.get("id"))
        first = self._encrypted.pop(index, None)
        if item.get("encrypted_content") or first:
            self._keep(index, item.get("encrypted_content") or first, item.get("id"))

    def _end_compaction(self, item: dict[str, Any], index: Any) -> None:
        """The history, shortened to what only the provider can read; it goes back like thinking."""
        id = _name(item.get("id")) or ""
        known = id if id.startswith("cmp_") else f"cmp_{id}"
        self._keep(index, item["encrypted_content"], known)

    def _keep(self, index: Any, encrypted: Any, id: Any) -> None:
        self.out.append(
            reasoning_delta("", 0, _block(index), encrypted=_text(encrypted), id=_name(id))
        )

    # Calls and other items.

    def _on_arguments(self, record: dict[str, Any]) -> None:
        self.out += self._calls.add(record.get("output_index"), _text(record["delta"]))

    def _on_arguments_done(self, record: dict[str, Any]) -> None:
        told = record.get("arguments") or record.get("input") or record.get("code")
        self.out += self._calls.settle(record.get("output_index"), told)

    def _end_tool_list(self, item: dict[str, Any], _index: Any) -> None:
        if item.get("error"):
            details = {"server_label": item.get("server_label")}
            self.out.append(Error(kind="tool", message=str(item["error"]), details=details))

    def _end_output(self, item: dict[str, Any], _index: Any) -> None:
        self.out.append(self._calls.result(item))

    def _on_item(self, record: dict[str, Any]) -> None:
        item, index = record.get("item") or {}, record.get("output_index")
        if item.get("type") == "message":
            self._begin_message(item, index)
        elif item.get("type") == "reasoning":
            self._thought = {at: n for at, n in self._thought.items() if at[0] != index}
            self._encrypted[index] = item.get("encrypted_content")
        elif self._calls.is_call(item):
            self._calls.begin(item, index)

    def _on_item_done(self, record: dict[str, Any]) -> None:
        item, index = record["item"], record.get("output_index")
        if self._calls.is_call(item):
            self.out += self._calls.end(item, index)
        elif (end := self._item_ends.get(item.get("type"))) is not None:
            end(self, item, index)
        else:
            self.unknown(record)

    def _on_partial_image(self, record: dict[str, Any]) -> None:
        image = picture(record["partial_image_b64"], record.get("output_format"))
        partial = {"partial_image_index": record.get("partial_image_index")}
        self.out.append(image.model_copy(update={"metadata": partial}))

    def _on_audio(self, record: dict[str, Any]) -> None:
        self.out.append(AudioDelta(data=decoded(_text(record["delta"])), mime="audio/pcm16"))

    def _on_transcript(self, record: dict[str, Any]) -> None:
        if record["delta"]:
            self._tell(None, _text(record["delta"]))

    # Ends.

    def _on_end_event(self, record: dict[str, Any]) -> None:
        response = record.get("response") or {}
        status = response.get("status")
        if status in ("failed", "cancelled"):
            self._on_failed(record)
        self.usage = usage(response.get("usage"))
        self._fill(response.get("output") or ())
        self.out += verdicts(response)
        reason: FinishReason
        if status == "incomplete" or record.get("type") == "response.incomplete":
            raw = (response.get("incomplete_details") or {}).get("reason") or "incomplete"
            reason = _INCOMPLETE.get(raw, "other")
        else:
            raw = "completed" if status in (None, "in_progress", "queued") else status
            refused = self._refused and not self._spoke
            reason = "tool_calls" if self._calls else "refusal" if refused else "stop"
        self.out += self._calls.close(cut_reason(reason))
        self.finish(reason, raw)

    def _fill(self, output: Any) -> None:
        """What the whole response alone tells: all, where nothing was streamed, or calls."""
        for number, item in enumerate(output):
            if not self._streamed:
                self._on_item_done({"output_index": number, "item": item})
            elif item.get("type") in ASKED:
                self.out += self._calls.fill(item, number)

    def _on_failed(self, record: dict[str, Any]) -> None:
        response = record.get("response") or {}
        self.usage = usage(response.get("usage"))
        status = response.get("status") or "failed"
        told = response.get("error")
        self.raise_error(error_of(response) if told else f"the response is {status}")

    _item_ends: ClassVar[dict[Any, Callable[..., None]]] = {
        "message": _end_message,
        "reasoning": _end_reasoning,
        "compaction": _end_compaction,
        "mcp_list_tools": _end_tool_list,
        "tool_search_output": _end_output,
        "program_output": _end_output,
        "shell_call_output": _end_output,
    }
    _rules: ClassVar[dict[Any, Callable[..., None]]] = {
        **dict.fromkeys(_FRAME, _on_frame),
        **dict.fromkeys(_ENDS, _on_end_event),
        "response.failed": _on_failed,
        "response.cancelled": _on_failed,
        "response.output_text.delta": _on_text,
        "response.output_text.done": _on_text_done,
        "response.output_text.annotation.added": _on_annotation,
        "response.refusal.delta": _on_refusal,
        "response.refusal.done": _on_refusal_done,
        "response.reasoning_summary_text.delta": _on_thought,
        "response.reasoning_summary_text.done": _on_thought_done,
        "response.reasoning_text.delta": _on_thought,
        "response.reasoning_text.done": _on_thought_done,
        "response.function_call_arguments.delta": _on_arguments,
        "response.function_call_arguments.done": _on_arguments_done,
        "response.custom_tool_call_input.delta": _on_arguments,
        "response.custom_tool_call_input.done": _on_arguments_done,
        "response.mcp_call_arguments.delta": _on_arguments,
        "response.mcp_call_arguments.done": _on_arguments_done,
        "response.code_interpreter_call_code.delta": _on_arguments,
        "response.code_interpreter_call_code.done": _on_arguments_done,
        "response.image_generation_call.partial_image": _on_partial_image,
        "response.output_item.added": _on_item,
        "response.output_item.done": _on_item_done,
        "response.audio.delta": _on_audio,
        "response.audio.transcript.delta": _on_transcript,
    }


def _text(told: Any) -> str:
    if not isinstance(told, str):
        raise TypeError(f"expected text, got {type(told).__name__}")
    return told


def _name(told: Any) -> str | None:
    return told if isinstance(told, str) else None


def _part(record: dict[str, Any]) -> int:
    return record.get("content_index") or 0


def _place(record: dict[str, Any]) -> tuple[Any, str, int]:
    """The item, the form and the part of some thinking."""
    summary = record.get("summary_index")
    if summary is not None:
        return record.get("output_index"), "summary", summary
    return record.get("output_index"), "content", _part(record)


def _block(index: Any) -> int:
    return index if index.__class__ is int else 0
