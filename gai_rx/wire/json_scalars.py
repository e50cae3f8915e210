"""Strings, numbers and literals of a JSON text that comes in pieces, cut anywhere."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, cast

from gai_rx.errors import ObjectInvalidError
from gai_rx.wire.json_path import JsonPath, Place, shown_path
from gai_rx.wire.json_value import GrowingValue

__all__ = ["LITERALS", "ScalarReader"]

# Characters: where Python's own int() gives up, so that a number costs no square of its length.
_LONGEST_NUMBER = min(4300, sys.get_int_max_str_digits() or 4300)
_MANY = 1000  # pieces of a string: joined then, for a short string costs ten times its characters
_Matcher = Callable[[str, int], re.Match[str]]
_SPECIAL = re.compile('["\\\\\x00-\x1f\ud800-\udfff]').search
_ESCAPE = re.compile(r'\\(?:(["\\/bfnrt])|u([0-9a-fA-F]{4}))').match
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?").match
# These match in any case, at the least the empty text.
_NUMERIC = cast(_Matcher, re.compile(r"[-+.0-9eE]*").match)
_NUMBER_BEGUN = cast(  # as much of a text as some number begins with
    _Matcher,
    re.compile(
        r"-?(?:(?:0|[1-9][0-9]*)(?:\.(?:[0-9]+(?:[eE][-+]?[0-9]*)?)?|[eE][-+]?[0-9]*)?)?"
    ).match,
)
_ESCAPE_BEGUN = cast(_Matcher, re.compile(r"(?:\\(?:u[0-9a-fA-F]{0,3})?)?").match)
_ESCAPES = dict(zip('"\\/bfnrt', '"\\/\b\f\n\r\t', strict=True))
LITERALS: dict[str, tuple[str, Any]] = {
    "t": ("true", True),
    "f": ("false", False),
    "n": ("null", None),
}


class ScalarReader(GrowingValue):
    """Reads what stands between the brackets of a JSON text, and says what is wrong with it.

    The methods that read take a piece of the text and an offset in it, and return the offset after
    what they have read. `_run` is the one that goes on where the last piece ended; None when no
    string, number or literal is open.

    Args:
        watch: The places to report.
        watch_open: Report them also while they are open.
        keep: Keep what is closed.
        open_scalars: Show numbers and literals while they are open.
        tables: What may come next: first, after a key, after the document.
    """

    __slots__ = (
        "_after_key", "_begun", "_chunks", "_halves", "_in_key", "_literal", "_offset",
        "_open_scalars", "_parts", "_rest", "_run", "_shown", "_table",
    )  # fmt: skip

    def __init__(
        self,
        watch: Sequence[JsonPath],
        *,
        watch_open: bool,
        keep: bool,
        open_scalars: bool,
        tables: tuple[Any, Any, Any],
    ) -> None:
        self._table, self._after_key, end = tables
        super().__init__(watch, watch_open=watch_open, keep=keep, end=end)
        self._open_scalars = open_scalars
        self._offset = 0  # characters of the pieces before this one
        self._run: Callable[[Any, str, int], int] | None = None
        self._chunks: list[str] = []  # what has come of the open string or key
        self._parts: list[str] = []  # what came before, joined
        self._begun = ""  # the beginning of an escape or number that was cut
        self._literal: tuple[str, Any] = ("", None)
        self._rest = ""  # what is still to come of it
        self._in_key = False  # what is open is a key
        self._halves = False  # there are halves of surrogate pairs among the chunks
        self._shown = False  # what is open is a number or literal, and stands in its container

    @property
    def place(self) -> Place:
        """Where the innermost value that is open stands; empty for the root."""
        return self._around() if self._run is None or self._in_key else self._here()

    def _settle(self) -> None:
        """Bring the open string, number or literal up to date where it stands."""
        run = self._run
        if run is _read_text or run is _read_escape:
            if self._chunks and not self._in_key:
                self._grow(self._joined(last=False))
        elif self._open_scalars and (run is _read_number or run is _read_literal):
            self._show()

    def _in_text(self) -> bool:
        return self._run is _read_text or self._run is _read_escape

    # Strings and keys.

    def _begin_key(self, text: str, at: int) -> int:
        at += 1
        found = _SPECIAL(text, at)
        if found is not None and text[stop := found.start()] == '"':
            self._key = text[at:stop]
            self._table = self._after_key
            return stop + 1
        self._in_key = True
        self._run = _read_text
        self._halves = False
        return self._read_text(text, at)

    def _begin_string(self, text: str, at: int) -> int:
        at += 1
        found = _SPECIAL(text, at)
        if found is not None and text[stop := found.start()] == '"':
            self._table = self._after
            self._put(text[at:stop])
            return stop + 1
        self._begin_growing()
        self._run = _read_text
        self._halves = False
        return self._read_text(text, at)

    def _read_text(self, text: str, at: int) -> int:
        """Read on in a string or key."""
        chunks = self._chunks
        while (found := _SPECIAL(text, at)) is not None:
            stop = found.start()
            if stop > at:
                chunks.append(text[at:stop])
            char = text[stop]
            if char == '"':
                self._end_text()
                return stop + 1
            at = self._read_special(char, text, stop)
        size = len(text)
        if at < size:
            chunks.append(text[at:])
            if len(chunks) > _MANY:
                self._parts.append("".join(chunks))
                chunks[:] = [""]  # there is something to join
        return size

    def _read_special(self, char: str, text: str, at: int) -> int:
        if char == "\\":
            plain = _ESCAPES.get(text[at + 1 : at + 2])
            if plain is not None:
                self._chunks.append(plain)
                return at + 2
            if (used := self._unescaped(text, at)) is not None:
                return used
            begun = _ESCAPE_BEGUN(text, at).end()
            if begun < len(text):
                raise self._failure(text, begun, "an escape such as \\n or \\u00e9")
            self._begun = text[at:]
            self._run = _read_escape
            return begun
        if char < " ":
            raise self._failure(text, at, "an escape in place of a control character")
        self._halves = True
        self._chunks.append(char)
        return at + 1

    def _unescaped(self, text: str, at: int) -> int | None:
        """Take the escape that stands there; None if it is not whole."""
        found = _ESCAPE(text, at)
        if found is None:
            return None
        letter, code = found.groups()
        char = _ESCAPES[letter] if letter else chr(int(code, 16))
        self._halves = self._halves or "\ud800" <= char <= "\udfff"
        self._chunks.append(char)
        return found.end()

    def _read_escape(self, text: str, at: int) -> int:
        """Read on in an escape that was cut."""
        begun = self._begun
        whole = begun + text[at : at + 6 - len(begun)]
        used = self._unescaped(whole, 0)
        if used is not None:
            self._run = _read_text
            return self._read_text(text, at + used - len(begun))
        good = _ESCAPE_BEGUN(whole, 0).end()
        if good < len(whole):
            at += good - len(begun)
            raise self._failure(text, at, "an escape such as \\n or \\u00e9")
        self._begun = whole
        return len(text)

    def _joined(self, *, last: bool) -> str:
        """The chunks as one text; half a pair at its end waits, unless it is the last."""
        chunks = self._chunks
        if len(chunks) == 1 and not self._parts and not self._halves:
            return chunks.pop()
        if self._parts:
            chunks[:0] = self._parts
            self._parts.clear()
        text = "".join(chunks)
        chunks.clear()
        if self._halves:
            if not last and "\ud800" <= text[-1:] <= "\udbff":
                chunks.append(text[-1])
                text = text[:-1]
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return text

    def _end_text(self) -> None:
        self._run = None
        text = self._joined(last=True)
        if self._in_key:
            self._in_key = False
            self._key = text
            self._table = self._after_key
            return
        self._grow(text)
        self._table = self._after
        self._end_growing()

    # Numbers and literals.

    def _begin_number(self, text: str, at: int) -> int:
        self._run = _read_number
        self._begun = ""
        return self._read_number(text, at)

    def _read_number(self, text: str, at: int) -> int:
        stop = _NUMERIC(text, at).end()
        self._begun += text[at:stop]
        if stop < len(text) or len(self._begun) > _LONGEST_NUMBER:
            return self._end_number(text, stop)
        return stop

    def _end_number(self, text: str, stop: int) -> int:
        number = self._begun
        found = _NUMBER(number)
        if found is None or found.end() < len(number) or len(number) > _LONGEST_NUMBER:
            return self._refuse_number(number, text, stop)
        self._run = None
        self._unshow()
        self._table = self._after
        self._put(_number_of(number))
        return stop

    def _end_root_number(self) -> None:
        """Close a number that nothing but the end of the text can close."""
        if self._run is _read_number:
            self._end_number("", 0)

    def _begin_literal(self, text: str, at: int) -> int:
        self._literal = LITERALS[text[at]]
        self._rest = self._literal[0]
        self._run = _read_literal
        return self._read_literal(text, at)

    def _read_literal(self, text: str, at: int) -> int:
        rest = self._rest
        if text.startswith(rest, at):
            self._run = None
            self._unshow()
            self._table = self._after
            self._put(self._literal[1])
            return at + len(rest)
        for char in text[at:]:
            if char != rest[0]:
                return self._refuse(text, at)
            rest = rest[1:]
            at += 1
        self._rest = rest
        return at

    def _show(self) -> None:
        """Show the open number or literal, as far as it is one."""
        if self._run is _read_literal:
            value = self._literal[1]
        elif (found := _NUMBER(self._begun)) is not None:
            value = _number_of(found[0])
        else:
            return
        if self._shown and self._at[self._slot()] == value:
            return
        self._unshow()
        self._changed = True
        self._shown = True
        if type(self._at) is dict:
            self._at[self._key] = value
        else:
            self._at.append(value)

    def _unshow(self) -> None:
        if self._shown:
            self._shown = False
            del self._at[self._slot()]

    def _refuse_number(self, number: str, text: str, stop: int) -> int:
        if (passed := self._tolerated(text, stop)) is not None:
            return passed
        good = _NUMBER_BEGUN(number, 0).end()
        begin = stop - len(number)
        if good > _LONGEST_NUMBER:
            most = f"a number of at most {_LONGEST_NUMBER:,} characters"
            raise self._failure(number, _LONGEST_NUMBER, most, begin)
        whole = _NUMBER(number)
        ended = whole is not None and whole.end() == good
        expected = self._said(self._after) if ended else "a digit"
        raise self._failure(number + text[stop : stop + 1], good, expected, begin)

    def _refuse(self, text: str, at: int) -> int:
        """Meet what can not stand here."""
        if not isinstance(text, str):
            raise TypeError(f"expected a piece of text as a str, got {type(text).__name__}")
        passed = self._tolerated(text, at)
        if passed is None:
            raise self._failure(text, at)
        return passed

    def _tolerated(self, text: str, at: int) -> int | None:
        """Where to read on when this fits no JSON; None if it is an error."""
        raise NotImplementedError

    def _said(self, table: Any) -> str:
        """What may come next, in words."""
        raise NotImplementedError

    def _failure(
        self, text: str, at: int, expected: str = "", begin: int = 0
    ) -> ObjectInvalidError:
        """The error: at an offset of `text`, which begins at an offset of the piece."""
        came = repr(text[at]) if at < len(text) else "its end"
        where = shown_path(self.place)
        if len(where) > 160:
            where = f"{where[:80]}…{where[-80:]}"
        return ObjectInvalidError(
            f"expected {expected or self._expected()} at offset {self._offset + begin + at:,} "
            f"of the JSON, in {where}, got {came}",
            phase="decode",
        )

    def _expected(self) -> str:
        run = self._run
        if self._in_text():
            return "the rest of a key" if self._in_key else "the rest of a string"
        if run is _read_literal:
            return f"the rest of {self._literal[0]}"
        return "the rest of a number" if run is _read_number else self._said(self._table)


def _number_of(text: str) -> int | float:
    return int(text) if text.lstrip("-").isdecimal() else float(text)


_read_text = ScalarReader._read_text
_read_escape = ScalarReader._read_escape
_read_number = ScalarReader._read_number
_read_literal = ScalarReader._read_literal
