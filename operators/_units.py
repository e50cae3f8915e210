"""Units of text: where words, sentences, lines and characters end, when a text comes in pieces.

Every unit takes with it what follows up to the next one, so that the units of a text, put together,
are the text; and they are the same wherever the pieces were cut. Each character is looked at a
fixed number of times, however long a unit grows: model text is hostile.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Set
from typing import Protocol

__all__ = ["ABBREVIATIONS", "Characters", "Cutter", "Lines", "Sentences", "Words"]

_NO_BREAK = "\u00a0\u2007\u202f"
_SPACE = rf"[^\S{_NO_BREAK}]"
_SOLID = rf"[\S{_NO_BREAK}]"
# Han, kana, bopomofo: written without spaces, each character stands for itself. The marks that
# lengthen or voice the one before them (30FC, FF70, FF9E, FF9F) are not among them.
_ALONE = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3041-\u3096\u309d-\u309f\u30a1-\u30fa"
    "\u30fd-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\uff66-\uff6f\uff71-\uff9d\U00020000-\U0003fffd"
)
_MARKS = "\u30fc\uff70\uff9e\uff9f"
_WIDE_OPEN = "「『【（《〈〔｛［“‘"  # noqa: RUF001 - these are meant
_WIDE_CLOSE = "」』】）》〉〕｝］”’、。，．！？：；…"  # noqa: RUF001 - these are meant
_OPEN = rf"{_WIDE_OPEN}(\[{{\"'"

_WORD = re.compile(
    rf"(?<={_SPACE}){_SOLID}"
    rf"|(?<![{_OPEN}])[{_ALONE}]"
    rf"|(?<=[{_ALONE}{_MARKS}{_WIDE_CLOSE}])(?:[{_OPEN}]|(?![{_MARKS}])\w)"
)
"""The character with which a word begins, after what is no longer part of it."""
_FIRST = re.compile(_SOLID)


class Cutter(Protocol):
    """Finds the ends of the units of one text, piece by piece."""

    def end(self, text: str, at: int) -> int:
        """Where the unit that is going on ends, -1 if not within `text`.

        Args:
            text: A piece, not empty; it follows the piece of the last call that returned -1.
            at: Where in it to go on, before its end: 0 in a new piece, then what was last returned.
        """
        ...


class Words:
    """A word ends where the next one begins, behind the whitespace between them."""

    __slots__ = ("_before", "_blank")

    def __init__(self) -> None:
        self._before = ""
        self._blank = True  # whitespace before the first word goes with it

    def end(self, text: str, at: int) -> int:
        """As `Cutter.end`."""
        if self._blank:
            first = _FIRST.search(text, at)
            if first is None:
                return -1
            self._blank, at = False, first.start()
        elif self._before:
            before, self._before = self._before, ""
            if _WORD.match(before + text[at], 1):
                self._blank = True
                return at
        found = _WORD.search(text, at + 1)
        if found is None:
            self._before = text[-1]
            return -1
        self._blank = True
        return found.start()


class Lines:
    r"""A line ends with its `\n`, and only there: other "line ends" of Unicode are text."""

    __slots__ = ()

    def end(self, text: str, at: int) -> int:
        """As `Cutter.end`."""
        return text.find("\n", at) + 1 or -1


class Characters:
    """A character ends before one that a reader takes for the next: accents and joins belong."""

    __slots__ = ("_before", "_flags")

    def __init__(self) -> None:
        self._before = ""
        self._flags = 0

    def end(self, text: str, at: int) -> int:
        """As `Cutter.end`."""
        before = self._before
        for place in range(at, len(text)):
            char = text[place]
            if before and not self._joins(before, char):
                self._before, self._flags = "", 0
                return place
            self._flags += "\U0001f1e6" <= char <= "\U0001f1ff"
            before = char
        self._before = before
        return -1

    def _joins(self, before: str, char: str) -> bool:
        if char < "\u0300":
            return before == "\r" and char == "\n"
        if "\U0001f1e6" <= char <= "\U0001f1ff":  # two of them are a flag
            return self._flags == 1
        return (
            before == "\u200d"
            or char == "\u200d"
            or "\U0001f3fb" <= char <= "\U0001f3ff"
            or char in "\uff9e\uff9f"
            or unicodedata.category(char)[0] == "M"
            or "\U000e0020" <= char <= "\U000e007f"
        )


_KNOWN = """
mr mrs ms dr prof st rev fr hon gen col maj capt lt sgt gov sen rep pres messrs mme mlle sra dra
e.g i.e cf vs viz al approx fig figs eq eqs ref refs vol ed eds dept est
bzw ca d.h evtl ggf inkl sog u.a u.u vgl z.b z.t p.ej
"""
_NUMBERED = "no nos nr p pp art ch sec jan feb apr jun jul aug sep sept oct nov dec"

ABBREVIATIONS: frozenset[str] = frozenset(_KNOWN.split())
"""Words whose full stop ends no sentence, in lower case and without that stop."""

_BEFORE_NUMBERS = frozenset(_NUMBERED.split())
_STOP_MARKS = ".!?\u2026\u061f\u06d4\u203c-\u203d\u2047-\u2049"
_WIDE_STOPS = "。！？｡।॥።។"  # noqa: RUF001 - these are meant
_CLOSERS = "\"')\\]}”’»›」』】）》〉〕＂＇*_~`"  # noqa: RUF001 - these are meant
_STOP = re.compile(rf"[{_STOP_MARKS}{_WIDE_STOPS}\n\r\u2028\u2029]")
_WIDE = re.compile(rf"[{_WIDE_STOPS}]")
_LOUD = re.compile("[!?\u061f\u203c-\u203d\u2047-\u2049]")
_BREAK = re.compile("[\n\r\u2028\u2029]")
_CLOSER = re.compile(f"[{_CLOSERS}“‘«‹]")  # noqa: RUF001 - these are meant
_RUN = re.compile(rf"[{_STOP_MARKS}{_CLOSERS}“‘«‹]*")  # noqa: RUF001 - these are meant
_WIDE_RUN = re.compile(rf"[{_STOP_MARKS}{_WIDE_STOPS}{_CLOSERS}]*")
_SPACES = re.compile(rf"{_SPACE}*")
_SCRIPT = re.compile(rf"[{_ALONE}{_WIDE_OPEN}]")
_LEAD = "\"'([{*_`#>-“‘«„ \t\r\n"  # noqa: RUF001 - these are meant
_TAIL = 24


class Sentences:
    """A sentence ends before the first character that can not belong to it any more.

    Args:
        abbreviations: Words whose full stop ends no sentence, in lower case, without that stop.
        min_chars: What is shorter goes with the next one.
    """

    __slots__ = (
        "_abbreviations",
        "_before",
        "_closed",
        "_length",
        "_line",
        "_loud",
        "_marks",
        "_min",
        "_single",
        "_spaced",
        "_stopped",
        "_tail",
        "_wide",
    )

    def __init__(self, abbreviations: Set[str] = ABBREVIATIONS, min_chars: int = 1) -> None:
        self._abbreviations = abbreviations
        self._min = min_chars
        self._begin()

    def _begin(self) -> None:
        self._stopped = False
        self._tail = ""  # the last characters so far, as many as it takes to know a word
        self._length = 0

    def end(self, text: str, at: int) -> int:
        """As `Cutter.end`."""
        while at < len(text):
            if not self._stopped:
                stop = _STOP.search(text, at)
                place = len(text) if stop is None else stop.start()
                self._pass(text, at, place)
                if stop is not None:
                    self._stop(stop.group())
                at = place
                continue
            at = self._after_stop(text, at)
            if at < len(text):
                self._stopped = False
                if self._length >= self._min and self._ends_before(text[at]):
                    self._begin()
                    return at
        return -1

    def _pass(self, text: str, at: int, place: int) -> None:
        """Take in what is looked at."""
        self._length += place - at
        self._tail = (self._tail + text[max(at, place - _TAIL) : place])[-_TAIL:]

    def _stop(self, mark: str) -> None:
        """A sentence may end here; what follows the mark tells."""
        self._stopped = True
        self._before = self._tail
        self._wide = _WIDE.match(mark) is not None
        self._single = mark == "."
        self._marks = 0
        self._spaced = self._line = self._closed = self._loud = False

    def _after_stop(self, text: str, at: int) -> int:
        """Pass over marks, closing quotes and brackets, then whitespace."""
        if not self._spaced and not self._wide:
            at = self._run(_RUN, text, at)
            self._wide = _WIDE.match(text, at) is not None
        if not self._spaced and self._wide:
            at = self._run(_WIDE_RUN, text, at)
        if at < len(text):
            place = _SPACES.match(text, at).end()  # type: ignore[union-attr]  # it always matches
            self._spaced = self._spaced or place > at
            self._line = self._line or _BREAK.search(text, at, place) is not None
            self._pass(text, at, place)
            at = place
        return at

    def _run(self, pattern: re.Pattern[str], text: str, at: int) -> int:
        place = pattern.match(text, at).end()  # type: ignore[union-attr]  # it always matches
        run = text[at:place]
        self._marks += len(_STOP.findall(run))
        self._loud = self._loud or _LOUD.search(run) is not None
        self._closed = self._closed or _CLOSER.search(run) is not None
        self._pass(text, at, place)
        return place

    def _ends_before(self, char: str) -> bool:
        """Whether the sentence ends, now that the first character after it is known."""
        if self._line or self._wide:
            return True
        if not self._spaced:
            return _SCRIPT.match(char) is not None
        if char in ",;:":
            return False
        if char.islower():
            return self._loud and not self._closed
        return not (self._single and self._marks == 1 and self._goes_on(char))

    def _goes_on(self, char: str) -> bool:
        """Whether the full stop belongs to the word before it."""
        before = self._before
        word = "" if before[-1:].isspace() else (before.split() or [""])[-1].lstrip(_LEAD)
        small = word.lower()
        if small in self._abbreviations or (char.isdecimal() and small in _BEFORE_NUMBERS):
            return True
        letters = word.split(".")
        if word != "I" and all(len(c) == 1 and c.isupper() for c in letters):
            return True  # initials
        whole = len(before) < _TAIL and before.lstrip(_LEAD) == word
        return whole and (len(word) == 1 or all(c.isdecimal() for c in letters))  # "1. First"
