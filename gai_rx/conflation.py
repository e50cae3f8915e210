"""Conflation: neighbouring pieces of one text become one piece, and nothing is lost.

Two pieces are joined if one reader of both could not tell: same kind, stream, step, attempt and
place in the answer, same metadata, and no signature, which belongs where it stands.
"""

from __future__ import annotations

from collections import deque
from io import BytesIO, StringIO
from typing import Any

from gai_rx.events import (
    AudioDelta,
    ObjectDelta,
    ReasoningDelta,
    RefusalDelta,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
)
from gai_rx.unvalidated import trusted

__all__ = ["PENDING", "Joined", "join", "size_of"]

PENDING = 32 * 1024 * 1024
"""Bytes of text, as UTF-8, that may wait in one queue."""

# The field that grows, by kind, and the fields that say to what it belongs.
_GROWS: dict[type[StreamEvent], tuple[str, tuple[str, ...]]] = {
    TextDelta: ("text", ("choice", "block")),
    ReasoningDelta: ("text", ("choice", "block", "id")),
    RefusalDelta: ("text", ()),
    ObjectDelta: ("text", ()),
    ToolCallDelta: ("arguments", ("id", "index")),
    AudioDelta: ("data", ("mime",)),
}
_OF_ALL = ("stream_id", "step", "attempt", "metadata")


class Joined:
    """What has been joined to one piece so far; a piece is copied twice at most, whatever comes."""

    __slots__ = ("first", "last", "pieces")

    def __init__(self, first: Any) -> None:
        self.first = self.last = first
        self.pieces: StringIO | BytesIO = BytesIO() if type(first) is AudioDelta else StringIO()
        self.pieces.write(_piece(first))

    def add(self, item: Any) -> None:
        """Append what follows."""
        if isinstance(item, Joined):
            self.last = item.last
            self.pieces.write(item.pieces.getvalue())  # type: ignore[arg-type]  # of one kind
        else:
            self.last = item
            self.pieces.write(_piece(item))

    def result(self) -> Any:
        """The one piece."""
        text, first, last = self.pieces.getvalue(), self.first, self.last
        if isinstance(first, str):
            return text
        kind = type(first)
        values = first.__dict__ | {_GROWS[kind][0]: text}
        if kind is ObjectDelta:
            # The object so far: the last one has it all.
            values["value"], values["object"] = last.value, last.object
        fields = first.__pydantic_fields_set__ | last.__pydantic_fields_set__
        return trusted(kind, values, fields)


def join(items: deque[Any], item: Any) -> bool:
    """Join an item to the last of `items`, if the two belong together; whether they did."""
    if not items:
        return False
    last = items[-1]
    before = last.first if isinstance(last, Joined) else last
    after = item.first if isinstance(item, Joined) else item
    if not _belong_together(before, after):
        return False
    if not isinstance(last, Joined):
        items[-1] = last = Joined(last)
    last.add(item)
    return True


def size_of(item: Any) -> int:
    """Bytes of text of an item, 0 of what has none that grows."""
    if type(item) is not str and type(item) not in _GROWS:
        return 0
    piece: str | bytes = _piece(item)
    if isinstance(piece, bytes) or piece.isascii():
        return len(piece)
    return len(piece.encode("utf-8", "surrogatepass"))


def _piece(item: Any) -> Any:
    return item if isinstance(item, str) else getattr(item, _GROWS[type(item)][0])


def _belong_together(before: Any, after: Any) -> bool:
    kind = type(before)
    if kind is not type(after):
        return False
    if kind is str:
        return True
    known = _GROWS.get(kind)
    if known is None:
        return False
    one, other = before.__dict__, after.__dict__
    for field in (*_OF_ALL, *known[1]):
        if one[field] != other[field]:
            return False
    return not (_is_signed(one) or _is_signed(other)) and _same_name(one, other)


def _is_signed(values: dict[str, Any]) -> bool:
    """Whether it has opaque data, which is not text and has its place."""
    return values.get("signature") is not None or values.get("encrypted") is not None


def _same_name(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether they do not name different tools; only the first piece of a call must name one."""
    return other.get("name", "") in ("", one.get("name", ""))
