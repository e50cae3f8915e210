"""Server-sent events, by the rules of the WHATWG HTML standard, section 9.2.

Two things are left to the caller: `data` is the bytes (the standard decodes them as UTF-8), and an
event that the end of the body cut off is offered by `remainder()` where the standard drops it.
"""

import re
from collections.abc import Iterable
from itertools import chain, repeat
from typing import NamedTuple

from gai_rx.errors import ProtocolError
from gai_rx.wire import RECORD_LIMIT

__all__ = ["SSEDecoder", "SSERecord"]

_BOM = b"\xef\xbb\xbf"
_NAMED = re.compile(rb"(?:(?<=\n\n)|\A)event: ([^\n]+)\ndata: ([^\n]*)(?:\n\n|\Z)")
_RETRY_DIGITS = 18  # more would overflow every clock


class SSERecord(NamedTuple):
    """One dispatched event."""

    event: str
    """Its type; `message` when the stream names none."""
    data: bytes
    """The data lines, joined by LF; UTF-8 as it came."""
    id: str = ""
    """The last event id of the stream by then."""
    retry: int | None = None
    """The reconnection time in milliseconds that the stream has set by then."""


class SSEDecoder:
    r"""Cuts a `text/event-stream` body into events; fed in any pieces, in linear time.

    Args:
        limit: Most bytes one event may have; a larger one is a `ProtocolError`.

    Example:
        >>> decoder = SSEDecoder()
        >>> decoder.feed(b"data: one\n\nda")
        [SSERecord(event='message', data=b'one', id='', retry=None)]
        >>> decoder.feed(b"ta: two\n\n")
        [SSERecord(event='message', data=b'two', id='', retry=None)]
    """

    __slots__ = ("_after_cr", "_head", "_limit", "_pending", "_size", "last_event_id", "retry")

    def __init__(self, *, limit: int = RECORD_LIMIT) -> None:
        self.last_event_id = ""
        self.retry: int | None = None
        self._limit = limit
        self._pending: list[bytes] = []  # what came since the last blank line
        self._size = 0
        self._after_cr = False  # the last byte was CR: a LF that follows belongs to it
        self._head: bytes | None = b""  # the first bytes, until they can not be a BOM any more

    def feed(self, chunk: bytes) -> list[SSERecord]:
        """Take the next bytes of the body.

        Returns:
            The events that they complete.

        Raises:
            ProtocolError: If an event has grown past the limit, after all events before it.
        """
        return self._events(self._complete(chunk))

    def feed_pairs(self, chunk: bytes) -> Iterable[tuple[bytes, bytes]]:
        """Like `feed`, but only each event's type and data: what the hot path needs.

        The two forms that providers send, `data:` alone and `event:` before `data:`, are cut in C.

        Raises:
            ProtocolError: If an event grows past the limit.
        """
        if b"\r" in chunk and self._size + len(chunk) <= self._limit:
            first, last = chunk.find(b"\r\n\r\n"), chunk.rfind(b"\r\n\r\n")
            data = _crlf_data(chunk[first + 4 : last]) if first < last else None
            if data is not None:
                begun = self._pairs(chunk[: first + 4])
                rest = self._pairs(chunk[last + 4 :])
                return chain(begun, zip(repeat(b"message"), data), rest)
        return self._pairs(chunk)

    def _pairs(self, chunk: bytes) -> Iterable[tuple[bytes, bytes]]:
        complete = self._complete(chunk)
        if len(complete) <= self._limit:
            if complete.startswith(b"data: "):
                data = complete[6:].split(b"\n\ndata: ")
                if complete.count(b"\n") == 2 * (len(data) - 1):  # no line but these
                    return zip(repeat(b"message"), data)
            elif complete.startswith(b"event: "):
                named = _of_one_name(complete)
                if named is not None:
                    return named
                pairs: list[tuple[bytes, bytes]] = _NAMED.findall(complete)
                if len(pairs) == complete.count(b"\n\n") + 1:
                    return pairs
        return [(r.event.encode(), r.data) for r in self._events(complete)]

    def _complete(self, chunk: bytes) -> bytes:
        """The blocks up to the last blank line, with LF line ends; the rest is held back."""
        self._raise_if_too_large()
        if self._head is not None:
            chunk = self._without_bom(chunk)
        if self._after_cr or b"\r" in chunk:
            chunk = self._with_lf_only(chunk)
        if not chunk:
            return b""
        pending = self._pending
        straddles = chunk[0] == 10 and pending and pending[-1][-1] == 10
        if not straddles and b"\n\n" not in chunk:
            self._hold(chunk)
            return b""
        if pending:
            pending.append(chunk)
            chunk = b"".join(pending)
            pending.clear()
        complete, _, rest = chunk.rpartition(b"\n\n")
        self._size = 0
        if rest:
            self._hold(rest)
        return complete

    def remainder(self) -> SSERecord | None:
        """At the end of the body: the event that lacks its blank line, if there is one.

        The standard discards it. Providers and proxies do forget the blank line after their last
        event, so a dialect may take it when its data proves to be whole.
        """
        rest = b"".join(self._pending)
        self._pending.clear()
        self._raise_if_too_large()
        dispatched, retry = self.last_event_id, self.retry
        record = self._event(rest) if rest else None
        self.retry = retry
        self._event(rest[: rest.rfind(b"\n") + 1])  # a line without its end sets nothing
        self.last_event_id = dispatched  # an id counts only when its event is dispatched
        return record

    def _without_bom(self, chunk: bytes) -> bytes:
        head = (self._head or b"") + chunk
        if len(head) < 3 and _BOM.startswith(head):
            self._head = head
            return b""
        self._head = None
        return head[3:] if head.startswith(_BOM) else head

    def _with_lf_only(self, chunk: bytes) -> bytes:
        if not chunk:
            return chunk
        if self._after_cr and chunk[0] == 10:
            chunk = chunk[1:]
            self._after_cr = False
            if not chunk:
                return chunk
        self._after_cr = chunk[-1] == 13
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _hold(self, piece: bytes) -> None:
        self._pending.append(piece)
        self._size += len(piece)

    def _raise_if_too_large(self) -> None:
        """Raise one call late: what was complete before the large event must get out first."""
        if self._size > self._limit:
            self._pending.clear()
            raise ProtocolError(
                f"a server-sent event grew past the limit of {self._limit:,} bytes; "
                "the server sends no blank lines, or the limit is too low"
            )

    def _events(self, complete: bytes) -> list[SSERecord]:
        records = []
        for block in complete.split(b"\n\n"):
            if len(block) > self._limit:
                self._size = len(block)
                break
            if (record := self._event(block)) is not None:
                records.append(record)
        return records

    def _event(self, block: bytes) -> SSERecord | None:
        """Interpret the lines of one block, field by field."""
        event, data = "", []
        for line in block.split(b"\n"):
            name, _, value = line.partition(b":")
            if value.startswith(b" "):
                value = value[1:]
            if name == b"data":
                data.append(value)
            elif name == b"event":
                event = value.decode("utf-8", "replace")
            elif name == b"id":
                if b"\0" not in value:
                    self.last_event_id = value.decode("utf-8", "replace")
            elif name == b"retry" and value.isdigit() and len(value) <= _RETRY_DIGITS:
                self.retry = int(value)
        if not data:
            return None
        joined = data[0] if len(data) == 1 else b"\n".join(data)
        return SSERecord(event or "message", joined, self.last_event_id, self.retry)


def _of_one_name(complete: bytes) -> Iterable[tuple[bytes, bytes]] | None:
    """Events that all have the same type, as most of an answer has; None for any other form."""
    end = complete.find(b"\ndata: ")
    head = complete[: end + 7]
    data = complete[end + 7 :].split(b"\n\n" + head)
    if end < 0 or complete.count(b"\n") != 3 * len(data) - 2:
        return None
    return zip(repeat(head[7:end]), data)


def _crlf_data(blocks: bytes) -> list[bytes] | None:
    """The data of whole events with CRLF line ends, one line each; None for any other form.

    Google sends these. To turn the line ends into LF first would take three times as long.
    """
    if not blocks.startswith(b"data: "):
        return None
    data = blocks[6:].split(b"\r\n\r\ndata: ")
    lines = 2 * (len(data) - 1)
    return data if blocks.count(b"\n") == lines == blocks.count(b"\r") else None
