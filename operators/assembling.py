"""Assembling: from deltas to the text and the result that they add up to."""

from __future__ import annotations

from typing import Any

from reactivex import Observable, abc

from gai_rx.events import Start, TextDelta
from gai_rx.result import Result, ResultBuilder
from gai_rx.stream import Operator, lift

__all__ = ["accumulate_text", "collect"]


def accumulate_text() -> Operator[Any, str]:
    """Emit the text so far with each piece of it.

        source             -a-b-c-|
        accumulate_text()  -a-ab-abc-|

    Takes events or plain strings. Texts are kept apart by stream and choice; a retried stream that
    begins anew begins anew here. Each item costs the whole text's length: to have the text once, at
    the end, use `collect()`.

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
        texts: dict[tuple[str, int], str] = {}

        def on_next(item: Any) -> None:
            if isinstance(item, TextDelta):
                key, piece = (item.stream_id, item.choice), item.text
            elif isinstance(item, str):
                key, piece = ("", 0), item
            else:
                if isinstance(item, Start) and item.attempt > 1:
                    for old in [k for k in texts if k[0] == item.stream_id]:
                        del texts[old]
                return
            text = texts[key] = texts.get(key, "") + piece
            observer.on_next(text)

        return source.subscribe(
            on_next, observer.on_error, observer.on_completed, scheduler=scheduler
        )

    return lift("accumulate_text()", subscribe)


def collect() -> Operator[Any, Result]:
    """Emit one `Result` at the end: text, tool calls, usage, history to go on with.

        source     -S-a-b-F|
        collect()  --------R|

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
