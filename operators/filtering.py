"""Filtering: which events go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from reactivex import Observable, abc

from gai_rx.events import ReasoningDelta, StreamEvent, TextDelta
from gai_rx.stream import Operator, Stream, lift
from gai_rx.unvalidated import trusted

__all__ = ["choice", "only", "reasoning_only", "text_only", "where", "without"]

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
    return _filter("text_only()", _texts)


def reasoning_only() -> Operator[object, str]:
    """Pass on the text of the model's thinking, and nothing else: each delta becomes a `str`.

        source            -S-r-a-F|
        reasoning_only()  ---r----|

    With several choices it is the first one's. Thinking that the provider keeps to itself has no
    text, and is passed over.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import ReasoningDelta, Stream, TextDelta
        >>> events = Stream.of(rx.of(ReasoningDelta(text="Hm."), TextDelta(text="Hello")))
        >>> events.pipe(reasoning_only()).to_list().run()
        ['Hm.']
    """
    return _filter("reasoning_only()", _thoughts)


def choice(n: int) -> Callable[[Observable[T]], Stream[T]]:
    """Of several parallel answers pass on one, as if it were the only one.

        source       -S-a-x-b-F|
        choice(0)    -S-a---b-F|      x is of choice 1

    The deltas of choice `n` become those of choice 0, which is what everything below reads: after
    `choice(1)` come `text_only()`, `collect()` and the others to the text of choice 1. What belongs
    to no choice (`Start`, `Usage`, `Finish`, tool calls) passes.

    Args:
        n: Which choice, from 0.

    Raises:
        ValueError: At once, if `n` is no whole number from 0 on.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream, TextDelta
        >>> both = Stream.of(rx.of(TextDelta(text="Hi"), TextDelta(text="Hello", choice=1)))
        >>> both.pipe(choice(1), text_only()).to_list().run()
        ['Hello']
    """
    if not isinstance(n, int) or isinstance(n, bool) or n < 0:
        raise ValueError(f"choice(n) counts from 0, got {n!r}")

    def make_on_next(observer: abc.ObserverBase[Any]) -> Callable[[Any], None]:
        emit = observer.on_next

        def on_next(event: Any) -> None:
            kind = type(event)
            if kind is TextDelta or kind is ReasoningDelta:
                values = event.__dict__
                if values["choice"] != n:
                    return
                if n:
                    values = values.copy()
                    values["choice"] = 0
                    event = trusted(kind, values, event.__pydantic_fields_set__)
            emit(event)

        return on_next

    return _filter(f"choice({n})", make_on_next, keeps_events=True)


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
    return _of_kinds(f"only({names})", types, keeps=True)


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
    return _of_kinds(f"without({names})", types, keeps=False)


# Any: in a pipe no type checker tells a lambda what it is given.
def where(*predicates: Callable[[Any], bool]) -> Callable[[Observable[T]], Stream[T]]:
    """Pass on the items for which all predicates hold, tried in order until one does not.

        source                 -1-2-3-4-|
        where(odd, below(3))   -1-------|

    Args:
        predicates: At least one; an exception of one of them ends the stream with it.

    Raises:
        TypeError: At once, without a predicate, or with something that can not be called.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream
        >>> numbers = Stream.of(rx.of(1, 2, 3, 4))
        >>> numbers.pipe(where(lambda n: n % 2 == 1, lambda n: n < 3)).to_list().run()
        [1]
    """
    if not predicates:
        raise TypeError("where() needs at least one predicate")
    for given in predicates:
        if not callable(given):
            raise TypeError(f"where() takes functions of an item, got {given!r}")
    names = ", ".join(getattr(p, "__name__", type(p).__name__) for p in predicates)
    return _keeping(f"where({names})", predicates)


def _check_types(operator: str, types: tuple[Any, ...]) -> None:
    if not types:
        raise TypeError(f"{operator}() needs at least one event class")
    for given in types:
        if not (isinstance(given, type) and issubclass(given, StreamEvent)):
            raise TypeError(f"{operator}() takes event classes like TextDelta, got {given!r}")


_MakeOnNext: TypeAlias = Callable[[abc.ObserverBase[Any]], Callable[[Any], None]]
"""Makes what takes in the items of one subscription: one call per item, no more."""


def _filter(
    stage: str, make_on_next: _MakeOnNext, *, keeps_events: bool = False
) -> Operator[Any, Any]:
    def subscribe(
        source: Observable[Any],
        observer: abc.ObserverBase[Any],
        scheduler: abc.SchedulerBase | None,
    ) -> abc.DisposableBase:
        on_next = make_on_next(observer)
        return source.subscribe(
            on_next, observer.on_error, observer.on_completed, scheduler=scheduler
        )

    return lift(stage, subscribe, keeps_events=keeps_events)


def _texts(observer: abc.ObserverBase[Any]) -> Callable[[Any], None]:
    emit = observer.on_next

    def on_next(event: Any) -> None:
        if type(event) is TextDelta:
            values = event.__dict__
            if not values["choice"]:
                emit(values["text"])

    return on_next


def _thoughts(observer: abc.ObserverBase[Any]) -> Callable[[Any], None]:
    emit = observer.on_next

    def on_next(event: Any) -> None:
        if type(event) is ReasoningDelta and event.text and not event.choice:
            emit(event.text)

    return on_next


class _Kept(dict[type, bool]):
    """Whether items of a class are kept: told once per class, `isinstance` costs ten times that."""

    def __init__(self, types: tuple[type, ...], keeps: bool) -> None:
        super().__init__()
        self._types, self._keeps = types, keeps

    def __missing__(self, kind: type) -> bool:
        kept = self[kind] = issubclass(kind, self._types) is self._keeps
        return kept


def _of_kinds(stage: str, types: tuple[type, ...], *, keeps: bool) -> Operator[Any, Any]:
    def make_on_next(observer: abc.ObserverBase[Any]) -> Callable[[Any], None]:
        emit = observer.on_next
        kept = _Kept(types, keeps)

        def on_next(item: Any) -> None:
            if kept[type(item)]:
                emit(item)

        return on_next

    return _filter(stage, make_on_next, keeps_events=True)


def _keeping(stage: str, predicates: tuple[Callable[[Any], bool], ...]) -> Operator[Any, Any]:
    first, *others = predicates

    def make_on_next(observer: abc.ObserverBase[Any]) -> Callable[[Any], None]:
        emit = observer.on_next

        def on_next(item: Any) -> None:
            try:
                if not first(item):
                    return
                for holds in others:
                    if not holds(item):
                        return
            except Exception as error:
                observer.on_error(error)
                return
            emit(item)

        return on_next

    return _filter(stage, make_on_next, keeps_events=True)
