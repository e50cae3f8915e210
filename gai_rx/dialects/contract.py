"""What a dialect is: `Request` → HTTP parts one way, records → events the other; no I/O in either.

A dialect module offers `encode` (a pure function) and a `Decoder` subclass (the state of one
answer); `gai_rx.dialects.DIALECTS` lists them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, ClassVar, Literal

from pydantic_core import from_json

from gai_rx.dialects.likeness import Likeness
from gai_rx.dialects.surrogates import Mender
from gai_rx.dialects.tool_calls import OpenCall
from gai_rx.errors import GaiError, ProtocolError, TruncatedError
from gai_rx.events import Finish, FinishReason, Raw, Start, StreamEvent, Usage
from gai_rx.refusals import stream_error
from gai_rx.request import Request
from gai_rx.unvalidated import text_delta
from gai_rx.wire.json_text import decode_json
from gai_rx.wire.ndjson import NDJSONDecoder
from gai_rx.wire.sse import SSEDecoder

__all__ = ["Call", "Decoder", "Dialect", "ObjectMode", "Quirks", "object_mode"]

STREAM_LIMIT = 1024**3  # bytes of one answer; a million times a long one


@dataclass(frozen=True)
class Call:
    """The HTTP request for one answer; the key is added by who sends it."""

    path: str
    """Behind the base URL, with its query."""
    body: dict[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)
    resumable: bool = False
    """Whether the rest can be asked for, should the answer break off: see `Decoder.rest_path`."""


@dataclass(frozen=True)
class Quirks:
    """How a host differs from the dialect's author, as data."""

    provider: str = ""
    """Name of the host, for `Start.provider`."""
    max_tokens_field: str = "max_tokens"
    """Chat dialect: the field for the most tokens of the answer."""
    stream_usage: bool = True
    """Chat dialect: ask for usage with `stream_options`."""
    system_role: str = "system"
    """Chat dialect: the role of system messages."""
    effort: Literal["reasoning_effort", "reasoning", "enable_thinking"] | None = "reasoning_effort"
    """Chat dialect: how reasoning effort is asked for."""
    reasoning_field: str | None = None
    """Chat dialect: where thinking of earlier turns goes in the history; None = left out."""
    seed_field: str = "seed"
    """Chat dialect: the field for the seed."""
    required_choice: str = "required"
    """Chat dialect: the word that forces some tool call."""
    json_schema: bool = True
    """Whether the host takes a JSON schema; else it is asked for a JSON object."""
    without_schema: Literal["tool", "json"] = "json"
    """How a host that takes none is asked for an object: made to call a tool, or for any JSON."""
    finish_optional: bool = False
    """Take an answer that ends properly but names no finish reason as complete."""


class Decoder(ABC):
    """The state of one answer: bytes in, events out, the same however the bytes are cut.

    Subclasses implement `on_record` and, where the end of the body can prove completeness,
    `on_end`; they append events to `self.out` and call `begin` and `finish`.

    Attributes:
        done: The provider has said that the answer is complete; what follows is ignored.
        fault: What ended the answer early. It is raised once the events before it are out.
    """

    framing: ClassVar[Literal["sse", "ndjson"]] = "sse"
    text_changes_nothing: ClassVar[bool] = False
    """A text delta leaves the decoder as it was, but for counts: see `Likeness`."""
    counts_key: ClassVar[bytes | None] = None
    """The key of the counts that a record with a text ends in, if they come with each."""

    def __init__(
        self, quirks: Quirks | None = None, *, raw: bool = False, call_prefix: str = ""
    ) -> None:
        """Decode one answer.

        Args:
            quirks: How the host differs.
            raw: Emit each record as a `Raw` event too, before its own events.
            call_prefix: Makes the ids of calls unique, where the provider sends none.
        """
        self.quirks = quirks or Quirks()
        self.done = False
        self.fault: GaiError | None = None
        self.out: list[StreamEvent] = []
        self.usage: Usage | None = None
        self._raw = raw
        self._call_prefix = call_prefix
        self._likeness = (
            Likeness(self.counts_key) if self.text_changes_nothing and not raw else None
        )
        self._begun = False
        self._mender: Mender | None = None
        self._bytes = 0
        self._new_body()

    def _new_body(self) -> None:
        self._sse: SSEDecoder | None = None
        self._framer: Callable[[bytes], Iterable[tuple[bytes, bytes]]]
        if self.framing == "sse":
            self._sse = SSEDecoder()
            self._framer = self._sse.feed_pairs
        else:
            self._lines = NDJSONDecoder()
            self._framer = self._line_pairs

    def feed(self, chunk: bytes) -> list[StreamEvent]:
        """Take the next bytes of the body; returns the events that they complete."""
        self.out = []
        try:
            self._bytes += len(chunk)
            if self._bytes > STREAM_LIMIT:
                raise ProtocolError(f"the answer grew past the limit of {STREAM_LIMIT:,} bytes")
            self._take_all(self._framer(chunk))
        except GaiError as error:
            self._fail(error)
        return self._handed_over()

    def _take_all(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:  # noqa: C901 - hot, so whole
        """The hot loop: every record is decoded here, once, in C."""
        on_record, raw, likeness = self.on_record, self._raw, self._likeness
        data = b""
        try:
            for name, data in pairs:
                if likeness is not None and (text := likeness.text(data)) is not None:
                    self.out.append(text_delta(text, likeness.choice, likeness.block))
                    continue
                before = len(self.out)
                try:
                    record = from_json(data)
                except ValueError:
                    record = self._decoded_slowly(data)
                    if record is None:
                        if self.done:
                            return
                        continue
                if raw:
                    self._on_raw(record, name)
                    if self.done:
                        return
                    continue
                if record.__class__ is not dict:
                    record = self.unwrap(record)
                on_record(record, name)
                if self.done:
                    return
                if likeness is not None:
                    likeness.learn(data, self.out[before:])
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
            shown = data[:200].decode("utf-8", "replace")
            raise ProtocolError(
                f"a record is not of the form that the provider documents: {shown!r}",
                phase="decode",
            ) from error

    def _on_raw(self, record: Any, name: bytes) -> None:
        """Take a record and keep it whole: behind `Start`, before its own events."""
        before = len(self.out)
        try:
            self.on_record(record if isinstance(record, dict) else self.unwrap(record), name)
        finally:
            if not self._begun:
                self.begin()
            place = before + any(isinstance(e, Start) for e in self.out[before : before + 1])
            self.out.insert(place, Raw(record=record))

    def _line_pairs(self, chunk: bytes) -> Iterable[tuple[bytes, bytes]]:
        return zip(repeat(b""), self._lines.feed(chunk))

    def _decoded_slowly(self, data: bytes) -> Any:
        """What the C decoder refused: `[DONE]`, nothing, or JSON with half characters."""
        data = data.strip()
        if not data:
            return None
        if data.startswith(b"[DONE]"):
            self.on_sentinel()
            return None
        record, split = decode_json(data)
        if split and self._mender is None:
            self._mender = Mender()
        return record

    def close(self, broken: GaiError | None = None) -> list[StreamEvent]:
        """The body has ended, or broke with an error of the transport.

        Returns:
            The last events. Afterwards either `done` or `fault` is set.
        """
        self.out = []
        if self.done or self.fault:
            return []
        try:
            self._take_remainder()
            if not self.done:
                self.on_end()
        except GaiError as error:
            self._fail(error)
        if not self.done and self.fault is None:
            self._fail(broken or self._truncated())
        return self._handed_over()

    def go_on(self) -> None:
        """Take the rest of a broken answer from another body: a record that was cut comes again."""
        self.fault = None
        self._new_body()

    # What subclasses implement and use.

    @abstractmethod
    def on_record(self, record: dict[str, Any], name: bytes) -> None:
        """Take one JSON record; `name` is the server-sent event's type, `message` when unnamed."""

    def on_sentinel(self) -> None:  # noqa: B027 - a hook
        """Take `[DONE]`; most dialects do not have it and ignore it."""

    def on_end(self) -> None:  # noqa: B027 - a hook
        """The body ended: call `finish` if what came proves that the answer is complete."""

    def rest_path(self) -> str | None:
        """Where the rest of a broken answer is to be had by GET, behind the base URL, if it is."""
        return None

    def begin(self, model: Any = None, response_id: Any = None) -> None:
        """Emit `Start`, if it is not out yet."""
        if not self._begun:
            self._begun = True
            self.out.append(
                Start(
                    provider=self.quirks.provider,
                    model=model if isinstance(model, str) else "",
                    response_id=response_id if isinstance(response_id, str) else "",
                )
            )

    @property
    def begun(self) -> bool:
        """Whether `Start` is out."""
        return self._begun

    def finish(self, reason: FinishReason, raw_reason: str | None = None) -> None:
        """Emit usage and `Finish`: the provider has said that the answer is complete."""
        self.begin()
        if self.usage is not None:
            self.out.append(self.usage)
        self.out.append(Finish(reason=reason, raw_reason=raw_reason, usage=self.usage))
        self.done = True

    def open_call(self, index: int, id: Any = None, name: Any = None) -> OpenCall:
        """A call begins; without an id it gets one that is unique in the conversation."""
        return OpenCall(index, id, name, f"{self._call_prefix}call_{index}")

    def close_calls(self, calls: Iterable[OpenCall], cut: str | None) -> bool:
        """Emit a `ToolCall` for each call; `cut` says why none of them may run, if so.

        Returns:
            Whether there was any.
        """
        closed = [call.close(cut) for call in calls]
        self.out += closed
        return bool(closed)

    def unknown(self, record: Any) -> None:
        """Keep a record, or a part of one, that no rule knows; `raw=True` has kept it already."""
        if not self._raw:
            self.out.append(Raw(record=record))

    def raise_error(self, told: Any) -> None:
        """An error record inside the answer.

        Raises:
            GaiError: Always, of the kind that fits.
        """
        raise stream_error(told)

    # The common part.

    def unwrap(self, record: Any) -> dict[str, Any]:
        """A record that is no object: an error where it is a list or text that tells one."""
        if isinstance(record, list) and record and isinstance(record[0], dict):
            return record[0]
        raise ProtocolError(f"expected a JSON object, got {str(record)[:120]!r}", phase="decode")

    def _take_remainder(self) -> None:
        if self._sse is None:
            name, data = b"", self._lines.remainder() or b""
        else:
            record = self._sse.remainder()
            name, data = (record.event.encode(), record.data) if record else (b"", b"")
        try:
            if data and not data.startswith(b"[DONE]"):
                decode_json(data)
        except ProtocolError:
            return  # cut in the middle: that the answer is truncated is the better message
        self._take_all([(name, data)] if data else [])

    def _fail(self, error: GaiError) -> None:
        if self.usage is not None and self._begun:
            self.out.append(self.usage)
        self.fault = error

    def _truncated(self) -> TruncatedError:
        got = f"{self._bytes:,} bytes" if self._bytes else "an empty body"
        return TruncatedError(
            f"the answer ended after {got} without the provider's word that it is complete; "
            "what came so far is in error.partial",
            phase="stream",
        )

    def _handed_over(self) -> list[StreamEvent]:
        """The events since the last time; none is kept, for the next ones may be long in coming."""
        out, self.out = self.out, []
        if self._mender is None:
            return out
        return self._mender.mend(out, last=self.done or self.fault is not None)


ObjectMode = Literal["native", "tool", "json"]
"""How an object is asked for: with its schema, as a call of a tool, or as any JSON."""


def object_mode(schema: Mapping[str, Any], model: str, quirks: Quirks) -> ObjectMode:
    """With its schema, where the host takes one, whatever the schema and the model are."""
    return "native" if quirks.json_schema else quirks.without_schema


@dataclass(frozen=True)
class Dialect:
    """One wire dialect, both ways."""

    name: str
    encode: Callable[[Request, str, Quirks], Call]
    decoder: type[Decoder]
    key_header: str = "authorization"
    """The header that carries the key; `authorization` carries it as a bearer token."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers that every request has."""
    object_mode: Callable[[Mapping[str, Any], str, Quirks], ObjectMode] = object_mode
    """How to ask for an object of a schema, given the model."""
    forces_tools: Callable[[Request], bool] = lambda _: True
    """Whether the model can be made to call a tool, in this request."""


def cut_reason(reason: FinishReason) -> str | None:
    """Why no tool may run from an answer that ended so, or None when they may."""
    if reason in ("stop", "tool_calls"):
        return None
    return f"the answer ended with {reason!r}: its calls may be cut off and must not run"


def merge(body: dict[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Lay the caller's provider options over a request body, objects key by key."""
    for key, value in options.items():
        if isinstance(value, Mapping) and isinstance(body.get(key), dict):
            merge(body[key], value)
        else:
            body[key] = value
    return body


def whole(value: Any) -> int | None:
    """A count as it should be; None for what is no count."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return int(value) if value >= 0 else None
