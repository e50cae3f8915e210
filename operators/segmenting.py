"""Segmenting: a text in its words, sentences or lines, however it was cut on the way.

Each operator takes events, of which it reads the first choice's text as `text_only()` does, or
plain strings. What it emits, put together, is the text: a unit takes with it what follows it up to
the next one. Where units end does not depend on where the deltas were cut.

The unit that is going on is held back. It goes on at the end and before an error, and as soon as
its answer says something else: a tool call, the end of a step, `Finish`. Streams that were joined
have a text each. When one begins anew (`Start(attempt=2)`), what is held back of it is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable

from gai_rx.events import Finish, Start, StepFinish, TextDelta, ToolCall, ToolCallDelta
from gai_rx.operators._outlet import Outlet
from gai_rx.operators._units import ABBREVIATIONS, Cutter, Lines, Sentences, Words
from gai_rx.stream import Operator, lift

__all__ = ["ABBREVIATIONS", "lines", "sentences", "words"]


def words() -> Operator[object, str]:
    """Emit the text word by word, each with the whitespace that follows it.

        source    -a-b-c-d-|
        words()   ---A---B-(C|)      of "On", "ce up", "on ", "a"

    A word is held back until the next one begins. Chinese and Japanese are written without spaces:
    each character goes on alone, with the punctuation that belongs to it.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream
        >>> Stream.of(rx.of("On", "ce up", "on ", "a")).pipe(words()).to_list().run()
        ['Once ', 'upon ', 'a']
    """
    return _segmenting("words()", Words)


def sentences(
    *, abbreviations: Iterable[str] = ABBREVIATIONS, min_chars: int = 1
) -> Operator[object, str]:
    """Emit the text sentence by sentence, each as early as one can know where it ends.

        source        -a-b-c-d-|
        sentences()   -----A---(B|)      of "Hello", " there.", " How", " are you?"

    A sentence is held back until the first character after it, and the whitespace that it takes
    with it: that character tells "3.14" and "Dr. Who" from an end. After a Chinese or Japanese full
    stop no whitespace is needed. Closing quotes, brackets and emphasis stay with their sentence; a
    line break ends one, with or without a full stop. In doubt a sentence goes on: a speech engine
    had better speak two at once than half of one.

    Args:
        abbreviations: Words whose full stop ends no sentence, without that stop, in any case. They
            replace the usual ones; to add to those, `{*ABBREVIATIONS, "bros"}`.
        min_chars: A sentence shorter than this, in characters with its whitespace, goes on together
            with the next one: "Hi. How are you?" is better spoken at once.

    Raises:
        ValueError: At once, if `min_chars` is below 1.
        TypeError: At once, if `abbreviations` is one text, or has something else than texts.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream
        >>> text = Stream.of(rx.of("Dr. Who paid 3", ".50 for it. He lef", "t."))
        >>> text.pipe(sentences()).to_list().run()
        ['Dr. Who paid 3.50 for it. ', 'He left.']
    """
    if isinstance(abbreviations, str):
        raise TypeError(f"sentences(abbreviations=…) takes several words, got {abbreviations!r}")
    given = list(abbreviations)
    for word in given:
        if not isinstance(word, str):
            raise TypeError(f"sentences(abbreviations=…) takes words, got {word!r}")
    known = frozenset(word.lower().removesuffix(".") for word in given)
    if not min_chars >= 1:
        raise ValueError(f"sentences(min_chars=…) is at least 1, got {min_chars!r}")
    shown = "" if min_chars == 1 else f"min_chars={min_chars}"
    return _segmenting(f"sentences({shown})", lambda: Sentences(known, min_chars))


def lines(*, keep_ends: bool = True) -> Operator[object, str]:
    r"""Emit the text line by line, at once with the end of each.

        source    -a-b-c-|
        lines()   -A-B---(C|)      of "one\ntw", "o\n", "three"

    Lines end with `\n`, alone or as `\r\n`, and with nothing else.

    Args:
        keep_ends: Whether a line has its end; without ends an empty line is an empty text.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream
        >>> Stream.of(rx.of("one\ntw", "o\n", "three")).pipe(lines()).to_list().run()
        ['one\n', 'two\n', 'three']
    """
    if keep_ends:
        return _segmenting("lines()", Lines)
    return _segmenting("lines(keep_ends=False)", Lines, _without_end)


def _without_end(line: str) -> str:
    return line[:-1].removesuffix("\r") if line.endswith("\n") else line


def _segmenting(
    stage: str, make_cutter: Callable[[], Cutter], form: Callable[[str], str] | None = None
) -> Operator[object, str]:
    def subscribe(
        source: Observable[Any], observer: abc.ObserverBase[str], given: abc.SchedulerBase | None
    ) -> abc.DisposableBase:
        return _Segmenting(observer, stage, make_cutter, form).subscribe(source, given)

    return lift(stage, subscribe)


class _Text:
    """One text: the unit that is going on, and where in the answer it belongs."""

    __slots__ = ("_cutter", "_held", "step")

    def __init__(self, cutter: Cutter, step: int) -> None:
        self.step = step
        self._cutter = cutter
        self._held: list[str] = []

    def add(self, piece: str) -> list[str]:
        """The units that a piece of text ends."""
        units: list[str] = []
        at = 0
        while at < len(piece):
            end = self._cutter.end(piece, at)
            if end < 0:
                self._held.append(piece[at:])
                break
            self._held.append(piece[at:end])
            units += self.rest()
            at = end
        return units

    def rest(self) -> list[str]:
        """The unit that is going on, if there is one."""
        unit = "".join(self._held)
        self._held.clear()
        return [unit] if unit else []


_TURNS = frozenset({ToolCallDelta, ToolCall, StepFinish, Finish})
"""What comes after a text: it will not go on, or only after something else was said."""


class _Segmenting:
    """One subscription: a text for each stream."""

    def __init__(
        self,
        observer: abc.ObserverBase[str],
        name: str,
        make_cutter: Callable[[], Cutter],
        form: Callable[[str], str] | None,
    ) -> None:
        self._outlet: Outlet[str] = Outlet(observer, name)
        self._make_cutter = make_cutter
        self._form = form
        self._texts: dict[str, _Text] = {}

    def subscribe(
        self, source: Observable[Any], given: abc.SchedulerBase | None
    ) -> abc.DisposableBase:
        upstream = source.subscribe(self._on_next, self._end, self._end, scheduler=given)
        return CompositeDisposable(upstream, self._outlet)

    def _on_next(self, item: Any) -> None:
        kind = type(item)
        if kind is TextDelta:
            if not item.choice:
                self._add(item.text, item.stream_id, item.step)
        elif isinstance(item, str):
            self._add(item, "", 0)
        elif kind in _TURNS:
            self._end_text(item.stream_id)
        elif kind is Start and item.attempt > 1:
            text = self._texts.get(item.stream_id)
            if text is not None and text.step >= item.step:
                del self._texts[item.stream_id]

    def _add(self, piece: str, stream_id: str, step: int) -> None:
        text = self._texts.get(stream_id)
        if text is None or text.step != step:
            self._end_text(stream_id)
            text = self._texts[stream_id] = _Text(self._make_cutter(), step)
        units = text.add(piece)
        if units:
            self._send(units)

    def _end_text(self, stream_id: str) -> None:
        text = self._texts.pop(stream_id, None)
        if text is not None:
            self._send(text.rest())

    def _send(self, units: list[str]) -> None:
        if self._form:
            units = [self._form(unit) for unit in units]
        if len(units) == 1:
            self._outlet.send_one(units[0])
        elif units:
            self._outlet.send(units)

    def _rest(self) -> Iterator[str]:
        """The units that are going on, at the end."""
        for text in self._texts.values():
            for unit in text.rest():
                yield self._form(unit) if self._form else unit

    def _end(self, error: Exception | None = None) -> None:
        self._outlet.end(self._rest(), error)
