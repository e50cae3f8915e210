r"""Characters beyond the basic plane that a provider cut in two: `"\ud83d"`, then `"\ude00"`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gai_rx.events import (
    Finish,
    Raw,
    ReasoningDelta,
    RefusalDelta,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
)

__all__ = ["Mender", "whole_text"]

_TEXT_FIELD: dict[type[StreamEvent], str] = {
    TextDelta: "text",
    ReasoningDelta: "text",
    RefusalDelta: "text",
    ToolCallDelta: "arguments",
}


def whole_text(text: str) -> str:
    r"""The text with halves joined where both are there, and U+FFFD for any other half.

    Example:
        >>> whole_text("\ud83d" + "\ude00" + "\ud83d") == "\U0001f600\ufffd"
        True
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _is_high(text: str) -> bool:
    return bool(text) and "\ud800" <= text[-1] <= "\udbff"


def _is_low(text: str) -> bool:
    return bool(text) and "\udc00" <= text[0] <= "\udfff"


def _whole_record(value: Any) -> Any:
    if isinstance(value, str):
        return whole_text(value)
    if isinstance(value, list):
        return [_whole_record(item) for item in value]
    if isinstance(value, dict):
        return {key: _whole_record(item) for key, item in value.items()}
    return value


class Mender:
    """Joins halves over the borders of deltas; a half without its other becomes U+FFFD.

    A delta that ends in a high half gives it to the next delta of the same block. Only an answer
    in which a half has been seen pays for this.
    """

    def __init__(self) -> None:
        self._held: dict[tuple[object, ...], tuple[str, StreamEvent]] = {}

    def mend(self, events: Iterable[StreamEvent], *, last: bool) -> list[StreamEvent]:
        """The events with whole characters; with `last`, nothing is held back any more."""
        mended: list[StreamEvent] = []
        for event in events:
            name = _TEXT_FIELD.get(type(event))
            if isinstance(event, Raw):  # the record that the next delta is made of
                mended.append(event.model_copy(update={"record": _whole_record(event.record)}))
            elif name is None:
                mended += self._release()
                mended.append(event)
            elif (whole := self._whole(event, name)) is not None:
                mended.append(whole)
        if last:
            end = len(mended) - 1 if mended and isinstance(mended[-1], Finish) else len(mended)
            mended[end:end] = self._release()
        return mended

    def _whole(self, event: StreamEvent, name: str) -> StreamEvent | None:
        key = (type(event), *(getattr(event, f, None) for f in ("choice", "block", "index")))
        text: str = getattr(event, name)
        half, _ = self._held.pop(key, ("", event))
        if half:
            text = half + text if _is_low(text) else "\ufffd" + text
        if _is_high(text):
            self._held[key] = (text[-1], event)
            text = text[:-1]
        joined = whole_text(text)
        if joined == getattr(event, name):
            return event
        changed = event.model_copy(update={name: joined})
        carries_more = getattr(event, "signature", None) or getattr(event, "encrypted", None)
        return changed if joined or carries_more else None

    def _release(self) -> list[StreamEvent]:
        held = [
            e.model_copy(update={_TEXT_FIELD[type(e)]: "\ufffd"}) for _, e in self._held.values()
        ]
        self._held.clear()
        return held
