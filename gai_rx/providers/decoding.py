"""From the bytes of an answer to its events."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace

from gai_rx.dialects import Decoder
from gai_rx.errors import GaiError, ProtocolError, TruncatedError
from gai_rx.events import StreamEvent
from gai_rx.http import Body
from gai_rx.refusals import refusal

__all__ = ["Taken", "decoded"]

_PIECE = 16 * 1024
"""Bytes decoded at a time. A read holds up to 256 KiB, a thousand events; decoded at once they
would leave the processor's cache before they are emitted, which costs a third more time."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What has come of an answer, body by body.

    To go on behind it, a fresh decoder takes it all again: no state is shared by two subscriptions.
    """

    call_prefix: str = field(default_factory=lambda: f"{secrets.token_hex(4)}_")
    bodies: tuple[bytes, ...] = ()

    def and_then(self, body: bytes) -> Taken:
        """With one more body."""
        return replace(self, bodies=(*self.bodies, body)) if body else self

    def replay(self, decoder: Decoder) -> list[StreamEvent]:
        """The events so far, from a decoder that is then ready to go on."""
        events: list[StreamEvent] = []
        for body in self.bodies:
            events += decoder.feed(body)
            events += decoder.close()
            decoder.go_on()
        return events


async def decoded(body: Body, decoder: Decoder) -> AsyncGenerator[list[StreamEvent], None]:
    """The events of a body, one list a read.

    Raises:
        GaiError: What ended the answer, after all events before it.
    """
    broken: GaiError | None = None
    whole = body.content_type == "application/json" and decoder.framing == "sse"
    if whole and (await body.peek()).lstrip()[:1] in (b"{", b"["):
        yield await _unstreamed(body, decoder)
    else:
        try:
            while not decoder.done and decoder.fault is None and (chunk := await body.read()):
                for start in range(0, len(chunk), _PIECE):
                    events = decoder.feed(chunk[start : start + _PIECE])
                    if events:
                        body.progressed()
                        yield events
                    del events
                    if decoder.done or decoder.fault is not None:
                        break
        except GaiError as error:
            broken = error
    if not decoder.done and decoder.fault is None:
        yield decoder.close(broken)
    if decoder.fault is not None:
        raise decoder.fault


async def _unstreamed(body: Body, decoder: Decoder) -> list[StreamEvent]:
    """A server that ignored `stream`: one JSON body, an answer or an error."""
    data = bytearray()
    while chunk := await body.read():
        data += chunk
        if len(data) > 32 * 1024 * 1024:
            raise ProtocolError("expected a stream, got one JSON body of over 32 MiB")
    try:
        told = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise TruncatedError("expected a stream, got a JSON body that is cut off") from error
    records = told if isinstance(told, list) else [told]
    if len(records) == 1 and isinstance(records[0], dict) and records[0].get("error"):
        raise refusal(200, body.headers, records[0])
    framed = b"".join(b"data: %s\n\n" % json.dumps(r).encode() for r in records)
    return decoder.feed(framed)
