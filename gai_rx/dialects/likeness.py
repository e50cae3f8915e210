"""Records that are the one before but for their text: cut out, not decoded.

Most of an answer is one record over and over: `{"choices": [{"delta": {"content": "…"}}], …}`.
Where a record has, byte for byte, the beginning and the end of one that was decoded, and between
them the body of a JSON string without escapes, decoding it could only give the same record with
another text. Cutting the text out saves the chat dialect a third of its decoding, and as much in
Gemini, whose records count tokens behind the text; in dialects whose records are short, or number
themselves before the text, looking for it costs more than it saves.
"""

from __future__ import annotations

from gai_rx.events import StreamEvent, TextDelta

__all__ = ["Likeness"]

_ANY_NUMBER = bytes.maketrans(b"123456789", b"000000000")
_TRIES = 8  # records learnt from in vain, before an answer counts as one that never repeats itself


class Likeness:
    """What the last plain text delta of an answer looked like.

    Only for a dialect in which a text delta changes nothing but the events that come of it, and
    counts. Any other record in between ends the likeness, since it may change what a text delta
    means.

    Args:
        counts: The key behind the text from which on records may differ in their digits.

    Attributes:
        last: The last record that was cut, whose counts nobody has read.
    """

    __slots__ = (
        "_after", "_before", "_counted", "_counts", "_fixed", "_start", "_tries",
        "block", "choice", "last",
    )  # fmt: skip

    def __init__(self, counts: bytes | None = None) -> None:
        self.choice = 0
        self.block = 0
        self.last: bytes | None = None
        self._counts = counts
        self._before: bytes | None = None
        self._after = b""
        self._counted = self._fixed = b""
        self._start = 0
        self._tries = _TRIES

    def text(self, data: bytes) -> str | None:
        """The text of a record that is like the last one; None if it must be decoded."""
        before = self._before
        if before is None or not data.startswith(before):
            return None
        end = data.find(b'"', self._start)
        rest = data[end:]
        if rest != self._after and (
            rest.translate(_ANY_NUMBER) != self._counted or not rest.startswith(self._fixed)
        ):
            return None
        body = data[self._start : end]
        if b"\\" in body:
            return None
        try:
            text = body.decode()
        except UnicodeDecodeError:
            return None
        if not text or not text.isprintable():  # a raw control character is no JSON
            return None
        self._tries = _TRIES
        self.last = data
        return text

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
        if self._counts is not None:
            self._fixed, key, _ = self._after.partition(self._counts)
            self._counted = self._after.translate(_ANY_NUMBER) if key else b""
        self.choice, self.block = event.choice, event.block
