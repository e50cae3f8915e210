"""Framing of an answer: server-sent events, or bare JSON where an error comes instead."""

from __future__ import annotations

import re

from gai_rx.wire.sse import SSEDecoder, SSERecord

__all__ = ["GeminiFramer"]

_FIELD_LINE = re.compile(rb"(?:data|event|id|retry)?(?::|\Z)|\Z")


class GeminiFramer(SSEDecoder):
    """Server-sent events, and JSON that stands between or instead of them.

    Google reports some errors as bare JSON in the middle of a stream, and without `alt=sse` (which
    proxies lose) the body is one JSON array; by the standard both are fields without a meaning.
    """

    __slots__ = ()

    def _event(self, block: bytes) -> SSERecord | None:
        record = super()._event(block)
        lines = [line for line in block.split(b"\n") if not _FIELD_LINE.match(line)]
        bare = b"\n".join(lines).strip()
        if not bare.startswith((b"{", b"[")):
            return record
        texts = [record.data] if record is not None else []
        texts += re.split(rb"\n(?=\{)", bare) if bare.startswith(b"{") else [bare]
        data = texts[0] if len(texts) == 1 else b"[" + b",".join(texts) + b"]"
        return SSERecord("message", data)
