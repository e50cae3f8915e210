"""The JSON of an object among the text of an answer: where it is, and what it says so far."""

from __future__ import annotations

import re
from typing import Any

from gai_rx.errors import ObjectInvalidError
from gai_rx.schemas import Target
from gai_rx.views import ListView, ObjectView, view
from gai_rx.wire.partial_json import PartialJson

__all__ = ["ObjectReader"]

_WRAPPED = ("value",)
_SCALAR = "a number or literal, which nothing closes"
_CLOSED_BY = {"{": "}", "[": "]", '"': '"'}
_AFTER_SCALAR = re.compile(r"[\s,}]").search


class ObjectReader:
    """Reads the text of one answer.

    What stands before and after the object, prose and code fences, is passed over. Where the value
    that was asked for is wrapped in an object, that is taken off: the characters of the value are
    handed out, and those alone.

    Args:
        target: What the object shall be.

    Example:
        >>> reader = ObjectReader(Target(list[int]))
        >>> [reader.feed(text) for text in ('Here: {"val', 'ue": [1, ', '2]}', ' Done.')]
        ['', '[1, ', '2]', '']
        >>> reader.value, reader.finish()
        ([1, 2], [1, 2])
    """

    def __init__(self, target: Target[Any]) -> None:
        self._target = target
        self._wrapped = target.wrapped
        watch = ["$.value"] if target.wrapped else ()
        self._json = PartialJson(watch=watch, tolerant=True, root=dict)
        self._said: list[str] = []
        self._head = ""  # may be the beginning of the object, or of an idle bracket
        self._root: Any = None
        self._close = ""  # what closes the value; empty while it has not begun
        self._ended = False
        self._view: Any = None

    @property
    def text(self) -> str:
        """All that was fed."""
        return "".join(self._said)

    @property
    def value(self) -> Any:
        """The value so far: a live view; None while it has not begun."""
        if self._view is None:
            shown = view(self._json, self._target.unwrap(self._json.value))
            if not isinstance(shown, ObjectView | ListView):
                return shown
            self._view = shown
        return self._view

    def feed(self, text: str) -> str:
        """Read on.

        Returns:
            The characters of the value among the new ones.

        Raises:
            ObjectInvalidError: If this is no JSON.
        """
        self._said.append(text)
        if self._ended:
            self._feed_rest(text)
            return ""
        if self._close:
            return self._read_value(text, 0)
        for at, char in enumerate(text):
            self._json.feed(char)
            if self._begins(char):
                return self._begin(text, at)
        return ""

    def finish(self) -> Any:
        """The answer has ended: the value as its type.

        Raises:
            ObjectInvalidError: If it is not complete, or does not fit.
        """
        try:
            self._json.close()
        except ObjectInvalidError as error:
            error.text = self.text
            raise
        return self._target.validate(self._json.value, self.text)

    def _begins(self, char: str) -> bool:
        """Whether this character is the first of which it is certain that the value has begun."""
        root = self._json.value
        if self._wrapped:
            return root is not None and self._json.place[:1] == _WRAPPED
        if root is None:
            self._head = ""
            return False
        self._head = self._head + char if root is self._root else char
        self._root = root
        return bool(root) or self._json.complete

    def _begin(self, text: str, at: int) -> str:
        if not self._wrapped:
            begun, self._close = self._head, "}"
            self._ended = self._json.complete
            if self._ended:
                self._feed_rest(text[at + 1 :])
                return begun
            return begun + self._read_value(text, at + 1)
        self._close = _CLOSED_BY.get(text[at], _SCALAR)
        return text[at] + self._read_value(text, at + 1)

    def _read_value(self, text: str, begin: int) -> str:
        """Read on in the value; it may end with any of the characters that can close it."""
        at = begin
        while (stop := self._possible_end(text, at)) >= 0:
            found = self._json.feed(text[at:stop])
            at = stop
            if found or self._json.complete or self._close is _SCALAR:
                self._ended = True
                self._feed_rest(text[stop:])
                return text[begin:stop]
        self._json.feed(text[at:])
        return text[begin:]

    def _possible_end(self, text: str, at: int) -> int:
        """Behind the next character that may close the value; -1 if there is none."""
        if self._close is _SCALAR:
            ended = _AFTER_SCALAR(text, at)
            return ended.start() if ended is not None else -1
        return text.find(self._close, at) + 1 or -1

    def _feed_rest(self, text: str) -> None:
        if not self._json.complete:
            self._json.feed(text)
