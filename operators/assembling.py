"""Assembling: from deltas to the text and the result that they add up to."""

from __future__ import annotations

from io import StringIO
from typing import Any

from reactivex import Observable, abc

from gai_rx.events import ReasoningDelta, Start, StreamEvent, TextDelta
from gai_rx.operators._outlet import finish
from gai_rx.result import Result
from gai_rx.result_builder import ResultBuilder
from gai_rx.stream import Operator, lift

__all__ = ["Snapshot", "accumulate_text", "collect", "snapshots"]


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

    A stream that fails fails here too; what had arrived is in `error.partial`. Streams that were
    joined are kept apart by their `stream_id`, as `ResultBuilder` says.

    Raises:
        TypeError: Through on_error, if an item is no event: text has no end that one could trust.

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
        add = builder.add

        def on_next(event: Any) -> None:
            try:
                add(event)
            except TypeError as error:
                observer.on_error(error)

        def on_completed() -> None:
            # Made while it is taken: an error in making it ends the stream with that error.
            finish(observer, (one.result() for one in (builder,)))

        return source.subscribe(on_next, observer.on_error, on_completed, scheduler=scheduler)

    return lift("collect()", subscribe)


def snapshots() -> Operator[object, Snapshot]:
    """Emit each event together with the `Result` so far.

        source       -S-a-b-F|
        snapshots()  -S-A-B-F|      B.event is b, B.result.text is "ab"

    The result is exact for its event, whenever one looks, and made when one does: an event costs
    its own length, a look the length of the answer until then. So look at those that are shown
    (behind `ops.sample`, for instance), not at all of them.

    Raises:
        TypeError: Through on_error, if an item is no event.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream, TextDelta
        >>> deltas = Stream.of(rx.of(TextDelta(text="Hel"), TextDelta(text="lo")))
        >>> [s.result.text for s in deltas.pipe(snapshots()).to_list().run()]
        ['Hel', 'Hello']
    """

    def subscribe(
        source: Observable[Any],
        observer: abc.ObserverBase[Snapshot],
        scheduler: abc.SchedulerBase | None,
    ) -> abc.DisposableBase:
        journal = _Journal()

        def on_next(event: Any) -> None:
            try:
                journal.add(event)
            except TypeError as error:
                observer.on_error(error)
                return
            observer.on_next(Snapshot(event, journal))

        return source.subscribe(
            on_next, observer.on_error, observer.on_completed, scheduler=scheduler
        )

    return lift("snapshots()", subscribe)


class Snapshot:
    """An event, and what the answer had come to with it."""

    __match_args__ = ("event", "result")
    __slots__ = ("_event", "_journal", "_length", "_place", "_result")

    def __init__(self, event: StreamEvent, journal: _Journal) -> None:
        self._event = event
        self._journal: _Journal | None = journal
        self._place, self._length = journal.mark()
        self._result: Result | None = None

    @property
    def event(self) -> StreamEvent:
        """The event itself."""
        return self._event

    @property
    def result(self) -> Result:
        """The answer so far; made at the first look, and kept."""
        if self._result is None:
            assert self._journal is not None
            self._result = self._journal.result(self._place, self._length)
            self._journal = None
        return self._result

    def __repr__(self) -> str:
        return f"Snapshot(event={self.event!r}, result={self.result!r})"


class _Journal:
    """What has come, in order, such that every moment of it can be gone back to.

    Adjacent deltas of one block that have nothing but text are one entry, of which a moment is a
    length.
    """

    def __init__(self) -> None:
        self._entries: list[StreamEvent | _Run] = []
        self._open: _Run | None = None

    def add(self, event: StreamEvent) -> None:
        """Append an event.

        Raises:
            TypeError: If it is none.
        """
        kind = type(event)
        if kind is TextDelta or kind is ReasoningDelta:
            values = event.__dict__
            if values["signature"] is None and values.get("encrypted") is None:
                place = values["stream_id"], values["step"], values["choice"], values["block"]
                self._add_text(event, (kind, *place, values.get("id")), values["text"])
                return
        if not isinstance(event, StreamEvent):
            raise TypeError(
                f"snapshots() takes events, and this is of type {kind.__name__}: put text_only() "
                "and the like below it, or use accumulate_text()"
            )
        self._open = None
        self._entries.append(event)

    def _add_text(self, event: StreamEvent, key: tuple[Any, ...], text: str) -> None:
        run = self._open
        if run is None or run.key != key:
            run = self._open = _Run(event, key)
            self._entries.append(run)
        run.write(text)
        run.length += len(text)

    def mark(self) -> tuple[int, int]:
        """This moment: how many entries, and how much of the last one's text."""
        return len(self._entries), self._open.length if self._open is not None else 0

    def result(self, place: int, length: int) -> Result:
        """What everything up to a moment adds up to."""
        builder = ResultBuilder()
        for entry in self._entries[: place - 1]:
            builder.add(entry.event() if isinstance(entry, _Run) else entry)
        last = self._entries[place - 1]
        builder.add(last.event(length) if isinstance(last, _Run) else last)
        return builder.result()


class _Run:
    """Deltas of one block, as one that grows."""

    __slots__ = ("_event", "_text", "key", "length", "write")

    def __init__(self, event: StreamEvent, key: tuple[Any, ...]) -> None:
        self._event = event
        self._text = StringIO()
        self.write = self._text.write
        self.key = key
        self.length = 0

    def event(self, length: int | None = None) -> StreamEvent:
        """One delta of all of them, or of their first `length` characters."""
        return self._event.model_copy(update={"text": self._text.getvalue()[:length]})
