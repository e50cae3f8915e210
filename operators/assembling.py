"""Assembling: from deltas to the text and the result that they add up to."""

from __future__ import annotations

from typing import Any

from reactivex import Observable, abc

from gai_rx.events import Start, TextDelta
from gai_rx.result import Result, ResultBuilder
from gai_rx.stream import Operator, lift

__all__ = ["accumulate_text", "collect"]


def accumulate_text() -> Operator[object, str]:
    """Emit the text so far with each piece of it.

        source             -a-b-c-|
        accumulate_text()  -A-B-C-|      A = a, B = ab, C = abc

    Takes events or plain strings. Texts are kept apart by stream and choice; a retried stream that
    begins anew begins anew here, from the step that was asked again on. Each item costs the whole
    text's length: to have the text once, at the end, use `collect()`.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream, TextDelta
        >>> deltas = Stream.of(rx.of(TextDelta(text="Hel"), TextDelta(text="lo")))
        >>> deltas.pipe(accumulate_text()).to_list().run()
        ['Hel', 'Hello']
    """

    def subscribe(
        source: Observable[Any],
        observer: abc.ObserverBase[str],
        scheduler: abc.SchedulerBase | None,
    ) -> abc.DisposableBase:
        texts: dict[tuple[str, int], _Text] = {}

        def on_next(item: Any) -> None:
            if isinstance(item, TextDelta):
                key, piece, step = (item.stream_id, item.choice), item.text, item.step
            elif isinstance(item, str):
                key, piece, step = ("", 0), item, 0
            else:
                if isinstance(item, Start) and item.attempt > 1:
                    for (stream_id, _), text in texts.items():
                        if stream_id == item.stream_id:
                            text.rewind(item.step)
                return
            observer.on_next(texts.setdefault(key, _Text()).add(piece, step))

        return source.subscribe(
            on_next, observer.on_error, observer.on_completed, scheduler=scheduler
        )

    return lift("accumulate_text()", subscribe)


class _Text:
    """The text of one stream and choice, and where each of its steps begins."""

    __slots__ = ("_begins", "_text")

    def __init__(self) -> None:
        self._text = ""
        self._begins: list[tuple[int, int]] = []

    def add(self, piece: str, step: int) -> str:
        if not self._begins or self._begins[-1][0] != step:
            self._begins.append((step, len(self._text)))
        self._text += piece
        return self._text

    def rewind(self, step: int) -> None:
        """Forget what was said in this step and after it."""
        while self._begins and self._begins[-1][0] >= step:
            self._text = self._text[: self._begins.pop()[1]]


def collect() -> Operator[object, Result]:
    """Emit one `Result` at the end: text, tool calls, usage, history to go on with.

        source     -S-a-b-F|
        collect()  --------(R|)

    A stream that fails fails here too; what had arrived is in `error.partial`.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Finish, Stream, TextDelta
        >>> events = Stream.of(rx.of(TextDelta(text="Hi"), Finish(reason="stop")))
        >>> result = events.pipe(collect()).run()
        >>> result.text, result.complete
        ('Hi', True)
    """

    def subscribe(
        source: Observable[Any],
        observer: abc.ObserverBase[Result],
        scheduler: abc.SchedulerBase | None,
    ) -> abc.DisposableBase:
        builder = ResultBuilder()

        def on_completed() -> None:
            observer.on_next(builder.result())
            observer.on_completed()

        return source.subscribe(builder.add, observer.on_error, on_completed, scheduler=scheduler)

    return lift("collect()", subscribe)
