"""Filtering: which events go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from reactivex import Observable, abc

from gai_rx.events import StreamEvent, TextDelta
from gai_rx.stream import Operator, Stream, lift

__all__ = ["only", "text_only", "where", "without"]

E = TypeVar("E", bound=StreamEvent)
T = TypeVar("T")


def text_only() -> Operator[object, str]:
    """Pass on the answer's text, and nothing else: each text delta becomes a `str`.

        source       -S-a-r-b-F|
        text_only()  ---a---b--|

    With several choices it is the first one's text.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream, TextDelta
        >>> deltas = Stream.of(rx.of(TextDelta(text="Hel"), TextDelta(text="lo")))
        >>> deltas.pipe(text_only()).to_list().run()
        ['Hel', 'lo']
    """

    def subscribe(
        source: Observable[Any],
        observer: abc.ObserverBase[str],
        scheduler: abc.SchedulerBase | None,
    ) -> abc.DisposableBase:
        emit = observer.on_next

        def on_next(event: Any) -> None:
            if event.__class__ is TextDelta and not event.choice:
                emit(event.text)

        return source.subscribe(
            on_next, observer.on_error, observer.on_completed, scheduler=scheduler
        )

    return lift("text_only()", subscribe)


def only(*types: type[E]) -> Operator[object, E]:
    """Pass on events of these kinds.

        source          -S-a-C-b-F|
        only(ToolCall)  -----C----|

    Args:
        types: Event classes, for instance `TextDelta, ToolCall`.

    Raises:
        TypeError: At once, if something else than an event class is given.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Finish, Stream, TextDelta
        >>> events = Stream.of(rx.of(TextDelta(text="a"), Finish(reason="stop")))
        >>> events.pipe(only(Finish)).run().reason
        'stop'
    """
    _check_types("only", types)
    names = ", ".join(t.__name__ for t in types)
    return _keeping(f"only({names})", lambda event: isinstance(event, types))


def without(*types: type[StreamEvent]) -> Callable[[Observable[T]], Stream[T]]:
    """Pass on everything but events of these kinds.

        source            -S-a-r-b-F|
        without(Start)    ---a-r-b-F|

    Args:
        types: Event classes, for instance `Usage, Raw`.

    Raises:
        TypeError: At once, if something else than an event class is given.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Start, Stream, TextDelta
        >>> events = Stream.of(rx.of(Start(), TextDelta(text="a")))
        >>> [e.type for e in events.pipe(without(Start)).to_list().run()]
        ['text_delta']
    """
    _check_types("without", types)
    names = ", ".join(t.__name__ for t in types)
    return _keeping(f"without({names})", lambda event: not isinstance(event, types))


def where(*predicates: Callable[[T], bool]) -> Operator[T, T]:
    """Pass on the items for which all predicates hold, tried in order until one does not.

        source                 -1-2-3-4-|
        where(odd, below(3))   -1-------|

    Args:
        predicates: At least one; an exception of one of them ends the stream with it.

    Raises:
        TypeError: At once, without a predicate.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream
        >>> numbers = Stream.of(rx.of(1, 2, 3, 4))
        >>> numbers.pipe(where(lambda n: n % 2 == 1, lambda n: n < 3)).to_list().run()
        [1]
    """
    if not predicates:
        raise TypeError("where() needs at least one predicate")
    names = ", ".join(getattr(p, "__name__", type(p).__name__) for p in predicates)
    if len(predicates) == 1:
        return _keeping(f"where({names})", predicates[0])
    return _keeping(f"where({names})", lambda item: all(holds(item) for holds in predicates))


def _check_types(operator: str, types: tuple[Any, ...]) -> None:
    if not types:
        raise TypeError(f"{operator}() needs at least one event class")
    for given in types:
        if not (isinstance(given, type) and issubclass(given, StreamEvent)):
            raise TypeError(f"{operator}() takes event classes like TextDelta, got {given!r}")


def _keeping(stage: str, keep: Callable[[Any], bool]) -> Operator[Any, Any]:
    def subscribe(
        source: Observable[Any],
        observer: abc.ObserverBase[Any],
        scheduler: abc.SchedulerBase | None,
    ) -> abc.DisposableBase:
        emit = observer.on_next

        def on_next(item: Any) -> None:
            try:
                keeps = keep(item)
            except Exception as error:
                observer.on_error(error)
                return
            if keeps:
                emit(item)

        return source.subscribe(
            on_next, observer.on_error, observer.on_completed, scheduler=scheduler
        )

    return lift(stage, subscribe, keeps_events=True)
