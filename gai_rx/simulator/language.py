"""What a wire dialect has to tell the server, and the framings that dialects share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from gai_rx.events import FinishReason, Usage
from gai_rx.simulator.asking import Asked
from gai_rx.simulator.faults import Failure
from gai_rx.simulator.script import Answer, cut_up

__all__ = ["CREATED", "EVENT_STREAM", "NDJSON", "Language", "Record", "Turn", "encode", "sse"]

CREATED = 1_767_225_600
"""When every answer says it was made, in seconds since 1970: answers are the same each time."""
EVENT_STREAM = "text/event-stream; charset=utf-8"
NDJSON = "application/x-ndjson"


class Record(NamedTuple):
    """One framed record; a `delta` is paced, and counted by the faults."""

    data: bytes
    delta: bool = False


@dataclass(frozen=True)
class Turn:
    """One answer about to be given: what was asked, what is said, and the names in it."""

    asked: Asked
    answer: Answer
    number: int = 1
    seed: int = 0

    def id(self, prefix: str, part: object = "", size: int = 24) -> str:
        """A name that looks like the provider's, the same for the same seed."""
        text = f"{self.seed}/{self.number}/{prefix}/{part}"
        return prefix + hashlib.sha256(text.encode()).hexdigest()[:size]

    def call_id(self, index: int, prefix: str = "call_") -> str:
        """The id of a call: the script's, or one made up."""
        return self.answer.tool_calls[index].id or self.id(prefix, index)

    @cached_property
    def usage(self) -> Usage:
        """The tokens, by the script or counted by the word."""
        told = self.answer.usage
        if told is None:
            thought = len(cut_up(self.answer.reasoning))
            told = Usage(
                input_tokens=max(1, len(self.asked.text.split())),
                output_tokens=thought + self._output_tokens(),
                reasoning_tokens=thought,
            )
        if told.total_tokens is None:
            total = (told.input_tokens or 0) + (told.output_tokens or 0)
            told = told.model_copy(update={"total_tokens": total})
        return told

    def _output_tokens(self) -> int:
        answer = self.answer
        calls = sum(1 + len(call.arguments) for call in answer.tool_calls)
        return max(1, len(answer.pieces()) + len(cut_up(answer.refusal)) + calls)

    def reason(self, words: Mapping[FinishReason, str]) -> str:
        """Why it ends, in the dialect's words."""
        return self.answer.raw_reason or words.get(self.answer.reason, self.answer.reason)


@dataclass(frozen=True)
class Language:
    """How one wire dialect is spoken.

    Args:
        name: As `gai_rx.dialects` names it.
        read: A request's JSON, and what its URL says, as `Asked`.
        records: A turn as its framed records.
        whole: A turn as the one JSON body of an answer that is not streamed.
        refusal: A failure as an HTTP status and a JSON body.
        error: A failure as a record inside a stream, given how many records came before it.
        content_type: Of the streamed body.
        comment: What keeps the connection alive and means nothing.
        broken: A record that is no JSON.
        request_id_header: Where the dialect puts the name of the request.
    """

    name: str
    read: Callable[[Mapping[str, Any], Mapping[str, str]], Asked]
    records: Callable[[Turn], Iterator[Record]]
    whole: Callable[[Turn], Any]
    refusal: Callable[[Failure], tuple[int, Any]]
    error: Callable[[Failure, int], bytes]
    content_type: str = EVENT_STREAM
    comment: bytes = b": keep-alive\n\n"
    broken: bytes = b'data: {"broken": \n\n'
    request_id_header: str = "x-request-id"


def encode(value: Any) -> bytes:
    """A value as compact JSON."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # a lone surrogate travels as an escape only
        return json.dumps(value, separators=(",", ":")).encode()


def sse(value: Any, event: str | None = None, end: bytes = b"\n") -> bytes:
    """A value as one server-sent event."""
    name = f"event: {event}".encode() + end if event else b""
    return name + b"data: " + encode(value) + end + end
