r"""JSON that is still being written: what it says so far, at the cost of the new characters alone.

No character is read twice, whatever the pieces: a string that is open waits as pieces until
somebody reads the value, lists and objects grow in place. Halves of surrogate pairs (`"\ud83d"`)
are joined where both are there; a lone one becomes U+FFFD, as everywhere in this library.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from gai_rx.errors import ObjectInvalidError
from gai_rx.wire import RECORD_LIMIT
from gai_rx.wire.json_path import JsonPath, parse_path
from gai_rx.wire.json_scalars import LITERALS, ScalarReader
from gai_rx.wire.json_value import Found

__all__ = ["Found", "JsonPath", "PartialJson", "parse_path"]

_BLANKS = cast(  # matches in any case, at the least the empty text
    Callable[[str, int], re.Match[str]], re.compile(r"[ \t\n\r]*").match
)
_BRACKETS: dict[Any, Callable[[str, int], re.Match[str] | None]] = {
    None: re.compile(r"[\[{]").search,
    dict: re.compile(r"{").search,
    list: re.compile(r"\[").search,
}

_Action = Callable[["PartialJson", str, int], int]
"""Reads on in a piece, from an offset; returns the offset after what it has read."""
_Table = dict[str, _Action]
"""What may come next: by its first character, how to read it."""


class PartialJson(ScalarReader):
    """Reads one JSON document in pieces; `value` is what it says so far.

    Strings show from their opening quote and grow; numbers and literals show when they are
    closed; a key shows with its value. Lists and objects stay the same Python objects: read them,
    change nothing in them. The complete value is that of `json.loads`.

    Args:
        watch: Paths whose values `feed` reports: as text for `parse_path`, or parsed.
        watch_open: Report watched values also while they are open, after each piece that changed
            them.
        keep: Keep what is closed in `value`. With False a closed value is let go of when it has
            been reported, so that a list of any length is read in constant memory.
        open_scalars: Show numbers and literals while they are open: `12` of `12.5`.
        tolerant: Pass over what stands before the first bracket that begins JSON, and after the
            end: prose, code fences.
        root: What the document must be, `dict` or `list`; None for any value.
        depth: Most containers that may be open at once.
        limit: Most characters of the whole text.

    Example:
        >>> parser = PartialJson(watch=["$.items[*]"])
        >>> parser.feed('{"items": [{"n": 1}, {"na')
        [Found(watch=..., place=('items', 0), value={'n': 1}, closed=True)]
        >>> parser.feed('me": "Hel')
        ()
        >>> parser.value, parser.place
        ({'items': [{'n': 1}, {'name': 'Hel'}]}, ('items', 1, 'name'))
        >>> parser.close()
        Traceback (most recent call last):
        ...
        gai_rx.errors.ObjectInvalidError: expected the rest of a string at offset 34 of the JSON,
        in $.items[1].name, got its end
    """

    __slots__ = ("_depth", "_error", "_limit", "_root_type", "_tolerant")

    def __init__(
        self,
        *,
        watch: Iterable[str | JsonPath] = (),
        watch_open: bool = False,
        keep: bool = True,
        open_scalars: bool = False,
        tolerant: bool = False,
        root: type[dict[Any, Any]] | type[list[Any]] | None = None,
        depth: int = 128,
        limit: int = RECORD_LIMIT,
    ) -> None:
        _check(watch, root, depth, limit)
        super().__init__(
            [path if isinstance(path, JsonPath) else parse_path(path) for path in watch],
            watch_open=watch_open,
            keep=keep,
            open_scalars=open_scalars,
            tables=(_ROOTS[root], _COLON, _END),
        )
        self._tolerant = tolerant
        self._root_type = root
        self._depth = depth
        self._limit = limit
        self._error: ObjectInvalidError | None = None
        if tolerant:
            self._run = _read_prose

    @property
    def value(self) -> Any:
        """What the document says so far; None while it says nothing.

        To read it costs what has come since it was read last, not the size of the value.
        """
        if self._run is not None:
            self._settle()
        root = self._root
        return root[0] if root else None

    @property
    def complete(self) -> bool:
        """Whether the document is closed; a number at its root is when `close` has been called."""
        return self._table is _END

    def feed(self, text: str) -> Sequence[Found]:
        """Read on.

        Returns:
            What is watched and has closed in this piece, in order; then what is open, if asked for.

        Raises:
            ObjectInvalidError: If this is no JSON; the message says where, what was expected and
                what came. If the same piece closed watched values before, they are returned and
                the next call raises. After that the parser is of no more use.
        """
        if self._error is not None:
            raise self._error
        size = len(text)
        if self._offset + size > self._limit:
            return self._feed_last(text)
        try:
            at = 0 if self._run is None else self._run(self, text, 0)
            while at < size:
                at = self._table.get(text[at], _refuse)(self, text, at)
        except ObjectInvalidError as error:
            self._error = error
            if not self._found:
                raise
        self._offset += size
        return self._told() if self._found or self._watch_open else ()

    def close(self) -> Sequence[Found]:
        """Say that the text has ended.

        Returns:
            What this has closed, if it is watched: a number at the root.

        Raises:
            ObjectInvalidError: If the document is not complete, or was no JSON.
        """
        if self._error is not None:
            raise self._error
        try:
            if not self._stack:
                self._end_root_number()
            if not self.complete:
                raise self._failure("", 0)
        except ObjectInvalidError as error:
            self._error = error
            raise
        return self._told()

    def _feed_last(self, text: str) -> Sequence[Found]:
        """Read up to the limit, so that what comes before it does not depend on the pieces."""
        room = self._limit - self._offset
        found = self.feed(text[:room])
        if self._error is None:
            most = f"at most {self._limit:,} characters in all"
            self._error = self._failure(text[room:], 0, most)
            if not any(each.closed for each in found):
                raise self._error
        return found

    def _told(self) -> Sequence[Found]:
        if self._run is None or not self._watch_open or self._error is not None:
            return self._report(scalar=False)
        self._settle()
        return self._report(scalar=self._shown or (not self._in_key and self._in_text()))

    # Structure.

    def _skip_blanks(self, text: str, at: int) -> int:
        return _BLANKS(text, at).end()

    def _open_object(self, text: str, at: int) -> int:
        self._check_depth(text, at)
        self._enter({}, _AFTER_MEMBER)
        self._table = _FIRST_KEY
        return at + 1

    def _open_list(self, text: str, at: int) -> int:
        self._check_depth(text, at)
        self._enter([], _AFTER_ELEMENT)
        self._table = _FIRST_ELEMENT
        return at + 1

    def _close_container(self, text: str, at: int) -> int:
        self._leave()
        self._table = self._after
        return at + 1

    def _expect_key(self, text: str, at: int) -> int:
        self._table = _KEY
        return at + 2 if text.startswith(" ", at + 1) else at + 1

    def _expect_element(self, text: str, at: int) -> int:
        self._key += 1
        self._table = _VALUE
        return at + 2 if text.startswith(" ", at + 1) else at + 1

    def _expect_member(self, text: str, at: int) -> int:
        self._table = _VALUE
        return at + 2 if text.startswith(" ", at + 1) else at + 1

    # What can not be read.

    def _read_prose(self, text: str, at: int) -> int:
        """Pass over what stands before the document."""
        bracket = _BRACKETS[self._root_type](text, at)
        if bracket is None:
            return len(text)
        self._run = None
        return bracket.start()

    def _tolerated(self, text: str, at: int) -> int | None:
        if self._tolerant:
            if self.complete:
                return len(text)
            if self._is_hardly_begun():
                return self._back_to_prose(text, at)
        return None

    def _said(self, table: Any) -> str:
        return next(said for each, said in _SAID if each is table)

    def _is_hardly_begun(self) -> bool:
        """Whether nothing has come of the document but its bracket, and what fits no JSON."""
        one = len(self._stack) == 1 and len(self._at) == self._shown
        return one and not self._let_go

    def _back_to_prose(self, text: str, at: int) -> int:
        """Take the bracket that seemed to begin the document for a part of the prose."""
        self._unshow()
        self._opened.clear()
        self._scalar = None
        self._at, self._key, self._node, self._after = self._stack.pop()
        self._root.clear()
        self._table = _ROOTS[self._root_type]
        self._run = _read_prose
        return self._read_prose(text, at)

    def _check_depth(self, text: str, at: int) -> None:
        if len(self._stack) >= self._depth:
            raise self._failure(text, at, f"at most {self._depth} containers in one another")


def _check(watch: object, root: object, depth: object, limit: object) -> None:
    if isinstance(watch, str):
        raise TypeError(f"expected the paths to watch in a list, got the str {watch!r}")
    if root is not None and root is not dict and root is not list:
        raise ValueError(f"expected dict, list or None as root, got {root!r}")
    for name, number in (("depth", depth), ("limit", limit)):
        if not isinstance(number, int) or number < 1:
            raise ValueError(f"expected {name} to be a positive int, got {number!r}")


_read_prose = PartialJson._read_prose
_refuse = PartialJson._refuse

_BLANK: _Table = dict.fromkeys(" \t\n\r", PartialJson._skip_blanks)
_OBJECT: _Table = _BLANK | {"{": PartialJson._open_object}
_LIST: _Table = _BLANK | {"[": PartialJson._open_list}
_VALUE: _Table = (
    _OBJECT
    | _LIST
    | {'"': PartialJson._begin_string}
    | dict.fromkeys("-0123456789", PartialJson._begin_number)
    | dict.fromkeys(LITERALS, PartialJson._begin_literal)
)
_FIRST_ELEMENT: _Table = _VALUE | {"]": PartialJson._close_container}
_AFTER_ELEMENT: _Table = _BLANK | {
    ",": PartialJson._expect_element,
    "]": PartialJson._close_container,
}
_KEY: _Table = _BLANK | {'"': PartialJson._begin_key}
_FIRST_KEY: _Table = _KEY | {"}": PartialJson._close_container}
_COLON: _Table = _BLANK | {":": PartialJson._expect_member}
_AFTER_MEMBER: _Table = _BLANK | {
    ",": PartialJson._expect_key,
    "}": PartialJson._close_container,
}
_END: _Table = _BLANK | {}
_ROOTS: dict[Any, _Table] = {None: _VALUE, dict: _OBJECT, list: _LIST}
_SAID: list[tuple[_Table, str]] = [
    (_VALUE, "a value"),
    (_OBJECT, "an object"),
    (_LIST, "a list"),
    (_FIRST_ELEMENT, "a value or ']'"),
    (_AFTER_ELEMENT, "',' or ']'"),
    (_KEY, "a key in double quotes"),
    (_FIRST_KEY, "a key in double quotes or '}'"),
    (_COLON, "':'"),
    (_AFTER_MEMBER, "',' or '}'"),
    (_END, "nothing more"),
]
