"""Smoothing: text at an even pace, from a source that sends it in bursts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Literal, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import Disposable, SerialDisposable, SingleAssignmentDisposable

from gai_rx.errors import BackpressureError
from gai_rx.events import ReasoningDelta, Start, TextDelta
from gai_rx.flow import Buffer, TimerPressure
from gai_rx.operators._units import Characters, Cutter, Lines, Words
from gai_rx.stream import Stream, clock, lift, seconds

__all__ = ["By", "smooth"]

T = TypeVar("T")

By = Literal["word", "line", "character"]
"""What goes on at once."""

_CUTTERS: dict[str, Callable[[], Cutter]] = {
    "word": Words,
    "line": Lines,
    "character": Characters,
}
_AHEAD = 64
"""Items that wait before the source is held."""
_CATCH_UP = 0.05
"""Seconds by which a pace may lag behind its clock before it gives up catching up."""
_EARLY = 1e-6
"""Seconds by which a timer may be early, as clocks are."""
_LONGEST = 8192
"""Characters of a line that wait for its end: the source is not held for it, so this is."""


def smooth(
    by: By = "word", delay: float = 0.01, *, scheduler: abc.SchedulerBase | None = None
) -> Callable[[Observable[T]], Stream[T]]:
    """Send text on at an even pace, word by word, line by line or character by character.

        source                        -a-----b------|
        smooth("character", delay=2)  -A-B-C-D-E----|      of "abc", "de"

    Takes events, whose text and reasoning deltas it cuts anew, or plain strings. Everything stays
    in order: other events wait for the text before them, and the end and an error wait for all of
    it. Nothing is lost, and nothing waits longer than the pace asks for: what comes when nothing
    waits and the last piece is at least `delay` ago goes on at once. So a source that is slower
    than the pace is not touched: words it cut stay cut. By lines, though, a line waits for its end
    (up to 8192 characters).

    Chinese and Japanese, written without spaces, go on character by character when smoothed by
    words; letters and their accents, and emoji of several parts, are not torn apart.

    When more than 64 items wait the source is held. What waits of an answer that begins anew
    (`Start(attempt=2)`) is dropped.

    Args:
        by: What goes on in one piece.
        delay: Seconds from one piece to the next.
        scheduler: The clock; the subscriber's when None.

    Raises:
        ValueError: At once, if `by` is something else, or `delay` is not above 0.
        BackpressureError: Through on_error, if a source that can not be held overruns the queue.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream
        >>> burst = Stream.of(rx.of("Once upon a ti", "me"))
        >>> burst.pipe(smooth(delay=0.001)).to_list().run()
        ['Once ', 'upon ', 'a ', 'time']
    """
    if by not in _CUTTERS:
        raise ValueError(f"smooth(by=…) is one of {', '.join(_CUTTERS)}; got {by!r}")
    if not isinstance(delay, int | float) or not delay > 0:
        raise ValueError(f"smooth(delay=…) is in seconds and above 0, got {delay!r}")
    shown = f"smooth({by!r}, delay={delay})"

    def subscribe(
        source: Observable[T], observer: abc.ObserverBase[T], given: abc.SchedulerBase | None
    ) -> abc.DisposableBase:
        pieces = _Pieces(Buffer(_AHEAD, shown), _CUTTERS[by], whole=by == "line")
        return _Smoothing(observer, pieces, delay, clock(scheduler, given)).start(source, given)

    return lift(shown, subscribe, keeps_events=True)


def _text_of(item: Any) -> str:
    """The text of a string or delta; that of everything else is empty."""
    if isinstance(item, str):
        return item
    return item.text if type(item) is TextDelta or type(item) is ReasoningDelta else ""


def _is_proof(item: Any) -> bool:
    """Whether a delta has more than text, which must stay at the end of the text before it."""
    if isinstance(item, str):
        return False
    values = item.__dict__  # pydantic is slow to say that it has no such field
    return values["signature"] is not None or values.get("encrypted") is not None


def _without_proof(delta: Any) -> dict[str, None]:
    return {name: None for name in ("signature", "encrypted") if name in delta.__dict__}


def _place(item: Any) -> Any:
    """What two deltas must have in common to be one."""
    if isinstance(item, str):
        return None
    return type(item), {**item.__dict__, **_without_proof(item), "text": ""}


class _Pieces:
    """The items that wait, and the pieces that they are cut into, one at a time."""

    def __init__(
        self, waiting: Buffer[Any], make_cutter: Callable[[], Cutter], *, whole: bool
    ) -> None:
        self.waiting = waiting
        self.ended = False
        self._make_cutter = make_cutter
        self._whole = whole
        self._item: Any = None  # the delta that is being cut, its text, and how far it is
        self._text = ""
        self._at = 0
        self._begin()

    def _begin(self) -> None:
        self._cutter = self._make_cutter()
        self._held: list[str] = []  # of the piece that is being made
        self._length = 0
        self._of: Any = None

    @property
    def comes_text(self) -> bool:
        """Whether what comes next is text."""
        if self._held or self._at < len(self._text):
            return True
        return bool(self.waiting.items) and _text_of(self.waiting.items[0]) != ""

    def take(self) -> Any:
        """What comes next; None if there is nothing, or only a part of a line."""
        while True:
            if self._at == len(self._text):
                items = self.waiting.items
                if not items:
                    return None if self._whole and not self.ended else self._piece()
                if self._held and not self._goes_on(items[0]):
                    return self._piece()
                item = self.waiting.pop()
                if not _text_of(item):
                    return item
                self._item, self._text, self._at = item, _text_of(item), 0
            if self._cut():
                return self._piece()

    def drop(self, start: Start) -> None:
        """Forget the text of an answer that begins anew."""

        def is_void(item: Any) -> bool:
            if isinstance(item, str) or not _text_of(item):
                return False
            return bool(item.stream_id == start.stream_id and item.step >= start.step)

        items = self.waiting.items
        kept = [item for item in items if not is_void(item)]
        items.clear()
        items.extend(kept)
        if is_void(self._item):
            self._text, self._at = "", 0
        if is_void(self._of):
            self._begin()

    def clear(self) -> None:
        """Forget everything that waits."""
        self.waiting.release()
        self._text, self._at = "", 0
        self._begin()

    def _cut(self) -> bool:
        """Take the current text up to the end of the piece; whether the piece has ended."""
        text, at = self._text, self._at
        end = self._cutter.end(text, at)
        ends = end >= 0
        if not ends:
            end = len(text)
        if end > at:
            self._held.append(text[at:end])
            self._length += end - at
            self._of = self._item
        self._at = end
        return ends or _is_proof(self._item) or self._length >= _LONGEST

    def _goes_on(self, item: Any) -> bool:
        """Whether an item is more of the text of which a piece is being made."""
        return _text_of(item) != "" and _place(item) == _place(self._of)

    def _piece(self) -> Any:
        """The piece that was made, as an event like those that it was made of."""
        if not self._held:
            return None
        text, of, last = "".join(self._held), self._of, self._item
        self._begin()
        if isinstance(of, str):
            return text
        if self._at == len(self._text) and _is_proof(last):
            of = last
        elif _is_proof(of):
            return of.model_copy(update={"text": text, **_without_proof(of)})
        return of if of.text == text else of.model_copy(update={"text": text})


class _Smoothing(abc.DisposableBase, Generic[T]):
    """One subscription: what waits, and the one timer that is set while anything does."""

    def __init__(
        self,
        observer: abc.ObserverBase[T],
        pieces: _Pieces,
        delay: float,
        scheduler: abc.SchedulerBase,
    ) -> None:
        self._observer = observer
        self._pieces = pieces
        self._delay = delay
        self._scheduler = scheduler
        self._next = float("-inf")  # the time of the next piece
        self._busy = self._early = self._timed = self._over = False
        self._error: Exception | None = None
        self._pressure = pieces.waiting.reader = TimerPressure()
        self._timer = SerialDisposable()
        self._upstream = SingleAssignmentDisposable()

    def start(self, source: Observable[T], given: abc.SchedulerBase | None) -> abc.DisposableBase:
        """Subscribe above."""
        self._upstream.disposable = source.subscribe(
            self._on_next, self._end, self._end, scheduler=given
        )
        return self

    def dispose(self) -> None:
        """Forget what waits, and end the source."""
        self._over = True
        self._pressure.stop()
        self._timer.dispose()
        self._pieces.waiting.release()
        self._upstream.dispose()

    def _on_next(self, item: T) -> None:
        if self._over or self._pieces.ended:
            return
        if isinstance(item, Start) and item.attempt > 1:
            self._pieces.drop(item)
            self._stop_timer()  # it may have been for what was dropped
        try:
            self._pieces.waiting.push(item)
        except BackpressureError as error:
            self._upstream.dispose()
            self._end(error)
            return
        if not self._busy:
            self._next = max(self._next, self._now())
            self._send()
            self._finish_if_done()  # the end may have come meanwhile, from below

    def _end(self, error: Exception | None = None) -> None:
        if not self._over and not self._pieces.ended:
            self._pieces.ended, self._error = True, error
            if not self._busy:
                self._send()
                self._finish_if_done()

    def _now(self) -> float:
        return seconds(self._scheduler)

    def _send(self) -> None:
        """Send on what is due, and come back for the rest."""
        self._busy = True
        try:
            self._pressure.emit(self._send_what_is_due)
        except BaseException:
            self._pieces.clear()
            self._busy = False
            raise
        if self._over:
            return
        if self._pressure.gates:
            self._pressure.then(self._on_turn)
        elif self._early:
            wait = max(0.0, self._next - self._now())
            self._timed = True
            self._timer.disposable = self._scheduler.schedule_relative(wait, self._on_turn)
        else:
            self._busy = False

    def _send_what_is_due(self) -> None:
        pieces, gates = self._pieces, self._pressure.gates
        self._early = False
        while not self._over:
            if gates:
                gates[:] = [gate for gate in gates if gate.closed]
                if gates:
                    return
            paced = pieces.comes_text
            if paced and self._next > self._now() + _EARLY:
                self._early = True
                return
            piece = pieces.take()
            if piece is None:
                return
            if paced:
                self._next += self._delay
            self._observer.on_next(piece)

    def _stop_timer(self) -> None:
        if self._timed:
            self._timed = self._busy = False
            self._timer.disposable = Disposable()

    def _on_turn(self, *_: Any) -> None:
        """It is time, or there is room again: called by nobody who has a part in our errors."""
        if self._over:
            return
        self._timed = False
        self._next = max(self._next, self._now() - _CATCH_UP)
        try:
            self._send()
        except Exception as error:  # the subscriber's; a producer would hand it back too
            self._observer.on_error(error)
            return
        self._finish_if_done()

    def _finish_if_done(self) -> None:
        if not self._pieces.ended or self._busy or self._over:
            return
        self._over = True
        if self._error is not None:
            self._observer.on_error(self._error)
        else:
            self._observer.on_completed()
