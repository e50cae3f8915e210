"""Filtering: which events go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from reactivex import Observable, abc

from gai_rx.events import Event, StreamEvent, TextDelta
from gai_rx.stream import Operator, lift

__all__ = ["text_only"]

E = TypeVar("E", bound=StreamEvent)
T = TypeVar("T")


def text_only() -> Operator[Event, str]:
    """The text of the answer and nothing else: each text delta's text.

        source       -S-a-r-b-F|
        text_only()  ---a---b--|

    With several choices it is the first one's.

    Example:
        >>> import reactivex as rx
        >>> rx.of(TextDelta(text="Hel"), TextDelta(text="lo")).pipe(text_only()).to_list().run()
        ['Hel', 'lo']
    """

    def subscribe(
        source: Observable[Event],
        observer: abc.ObserverBase[str],
        scheduler: abc.SchedulerBase | None,
    ) -> abc.DisposableBase:
        emit = observer.on_next

        def on_next(event: Event) -> None:
            if event.__class__ is TextDelta and not event.choice:
                emit(event.text)

        return source.subscribe(on_next, observer.on_error, observer.on_completed, scheduler=scheduler)

    return lift("text_only()", subscribe)
