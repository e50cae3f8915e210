"""Progress: how much of an answer has been said, and how fast it comes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gai_rx.events import (
    Finish,
    ObjectDelta,
    RefusalDelta,
    Start,
    StepFinish,
    StreamEvent,
    TextDelta,
    Usage,
)
from gai_rx.measures import RateWindow

__all__ = ["Progress", "ProgressCounter"]

_TEXTS = frozenset({TextDelta, ObjectDelta, RefusalDelta})
"""What says something to the reader; thinking and tool arguments do not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an answer has come.

    Attributes:
        characters: Unicode code points of text so far.
        words: Words so far: what white space parts, wherever the pieces were cut.
        bytes: The text's length as UTF-8.
        rate: Characters a second over the last seconds; what a retry made void counts too.
        average_rate: Characters a second since the subscription.
        elapsed: Seconds since the subscription.
        usage: Tokens, as far as the provider has told; of several steps or streams their sum.
        done: Whether the stream has ended.
    """

    characters: int = 0
    words: int = 0
    bytes: int = 0
    rate: float = 0.0
    average_rate: float = 0.0
    elapsed: float = 0.0
    usage: Usage | None = None
    done: bool = False

    def __str__(self) -> str:
        """One line for people."""
        rate = self.average_rate if self.done else self.rate
        return (
            f"{self.characters:,} characters, {self.words:,} words, "
            f"{rate:.1f} characters/s, {self.elapsed:.1f} s{', done' if self.done else ''}"
        )


class ProgressCounter:
    """Counts the text of events or strings; each costs its own length.

    Texts are kept apart by stream and choice. A `Start` with `attempt > 1` begins its stream anew,
    from its step on.

    Args:
        start: The time at which it begins, in seconds.
        window: Seconds over which the rate is taken.

    Example:
        >>> counter = ProgressCounter(start=0.0)
        >>> counter.add(TextDelta(text="Hello wor"), now=1.0)
        >>> counter.add(TextDelta(text="ld"), now=2.0)
        >>> print(counter.progress(now=2.0))
        11 characters, 2 words, 5.5 characters/s, 2.0 s
    """

    def __init__(self, start: float, window: float = 5.0) -> None:
        self._start = start
        self._texts: dict[tuple[str, int], _Text] = {}
        self._usages: dict[str, dict[int, Usage]] = {}
        self._told: dict[str, Usage] = {}
        self._received = 0
        self._window = RateWindow(start, window, counts=1)

    def add(self, item: Any, now: float) -> None:
        """Take in an item."""
        kind = item.__class__
        if kind is TextDelta:
            values = item.__dict__
            key, piece, step = (values["stream_id"], values["choice"]), values["text"], item.step
        elif kind in _TEXTS:
            key, piece, step = (item.stream_id, 0), item.text, item.step
        elif isinstance(item, str):
            key, piece, step = ("", 0), item, 0
        else:
            if isinstance(item, StreamEvent):
                self._other(item)
            return
        if now >= self._window.ends:
            self._window.roll(now, (self._received,))
        self._received += len(piece)
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = _Text()
        text.add(piece, step)

    def progress(self, now: float, done: bool = False) -> Progress:
        """How far it has come."""
        texts = self._texts.values()
        characters = sum(text.characters for text in texts)
        elapsed = now - self._start
        return Progress(
            characters=characters,
            words=sum(text.words for text in texts),
            bytes=sum(text.bytes for text in texts),
            rate=self._window.rates(now, (self._received,))[0],
            average_rate=characters / elapsed if elapsed > 0 else 0.0,
            elapsed=elapsed,
            usage=self._usage(),
            done=done,
        )

    def _other(self, event: StreamEvent) -> None:
        stream_id = event.stream_id
        if isinstance(event, Start) and event.attempt > 1:
            for (of_stream, _), text in self._texts.items():
                if of_stream == stream_id:
                    text.rewind(event.step)
            usages = self._usages.get(stream_id, {})
            self._usages[stream_id] = {s: u for s, u in usages.items() if s < event.step}
            self._told.pop(stream_id, None)
        elif isinstance(event, Usage):
            self._usages.setdefault(stream_id, {})[event.step] = event
        elif isinstance(event, StepFinish) and event.usage is not None:
            self._usages.setdefault(stream_id, {})[event.step] = event.usage
        elif isinstance(event, Finish) and event.usage is not None:
            self._told[stream_id] = event.usage  # the whole answer's

    def _usage(self) -> Usage | None:
        running = (steps for name, steps in self._usages.items() if name not in self._told)
        return Usage.added_up(
            [*self._told.values(), *(u for steps in running for u in steps.values())]
        )


class _Text:
    """What was counted of one stream and choice, and where each of its steps began."""

    __slots__ = ("_before", "bytes", "characters", "in_word", "words")

    def __init__(self) -> None:
        self.characters = self.words = self.bytes = 0
        self.in_word = False
        self._before: list[tuple[int, tuple[int, int, int, bool]]] = []

    def add(self, piece: str, step: int) -> None:
        """Count one more piece."""
        if not self._before or self._before[-1][0] != step:
            counts = (self.characters, self.words, self.bytes, self.in_word)
            self._before.append((step, counts))
        if not piece:
            return
        self.characters += len(piece)
        self.words += len(piece.split())
        if self.in_word and not piece[0].isspace():
            self.words -= 1  # its first word was begun by the piece before
        self.in_word = not piece[-1].isspace()
        self.bytes += len(piece) if piece.isascii() else len(piece.encode("utf-8", "surrogatepass"))

    def rewind(self, step: int) -> None:
        """Forget what was said in this step and after it."""
        while self._before and self._before[-1][0] >= step:
            _, counts = self._before.pop()
            self.characters, self.words, self.bytes, self.in_word = counts
