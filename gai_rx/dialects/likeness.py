"""Records that are the one before but for their text: cut out, not decoded.

Most of an answer is one record over and over: `{"choices": [{"delta": {"content": "…"}}], …}`.
Where a record has, byte for byte, the beginning and the end of one that was decoded, and between
them the body of a JSON string without escapes, decoding it could only give the same record with
another text. Cutting the text out saves the chat dialect a third of its decoding; in dialects whose
records are short, or never repeat (a number, a time), looking for it costs more than it saves.
"""

from __future__ import annotations

from gai_rx.events import StreamEvent, TextDelta

__all__ = ["Likeness"]

_TRIES = 8  # records learnt from in vain, before an answer counts as one that never repeats itself


class Likeness:
    """What the last plain text delta of an answer looked like.

    Only for a dialect in which a text delta changes nothing but the events that come of it. Any
    other record in between ends the likeness, since it may change what a text delta means.
    """

    __slots__ = ("_after", "_before", "_end", "_start", "_tries", "block", "choice")

    def __init__(self) -> None:
        self.choice = 0
        self.block = 0
        self._before: bytes | None = None
        self._after = b""
        self._start = self._end = 0
        self._tries = _TRIES

    def text(self, data: bytes) -> str | None:
        """The text of a record that is like the last one; None if it must be decoded."""
        before = self._before
        if before is None or not (data.startswith(before) and data.endswith(self._after)):
            return None
        body = data[self._start : self._end]
        if b'"' in body or b"\\" in body:
            return None
        try:
            text = body.decode()
        except UnicodeDecodeError:
            return None
        if not text.isprintable():  # a raw control character is no JSON
            return None
        self._tries = _TRIES
        return text or None

    def learn(self, data: bytes, events: list[StreamEvent]) -> None:
        """Take in a record that was decoded, and the events that came of it."""
        event = events[0] if len(events) == 1 else None
        if not isinstance(event, TextDelta) or event.signature is not None:
            self._before = None
            return
        same_place = event.choice == self.choice and event.block == self.block
        if not same_place:
            self._before = None
        word = event.text.strip(" ")
        # Letters and digits alone can stand in quotes only as a string; without any escape in the
        # record a string stands there as it is. So one place in quotes is the place of the text.
        if not self._tries or not word.isalnum() or b"\\" in data:
            return
        quoted = b'"' + event.text.encode() + b'"'
        if data.count(quoted) != 1:
            return
        self._tries -= 1
        self._start = data.index(quoted) + 1
        self._before, self._after = data[: self._start], data[self._start + len(quoted) - 2 :]
        self._end = -len(self._after)
        self.choice, self.block = event.choice, event.block
