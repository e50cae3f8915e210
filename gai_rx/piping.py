"""Piping: operators one after the other, with their types, and with names to show."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from reactivex import Observable, abc

__all__ = ["Piped", "Subscribe"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")
G = TypeVar("G")
H = TypeVar("H")
J = TypeVar("J")
K = TypeVar("K")
L = TypeVar("L")
M = TypeVar("M")

Subscribe = Callable[[abc.ObserverBase[T], abc.SchedulerBase | None], abc.DisposableBase]

# Stock operators after which a stream of events is still one.
_KEEP_EVENTS = frozenset(
    [
        "distinct",
        "distinct_until_changed",
        "do_action",
        "filter",
        "skip",
        "skip_while",
        "start_with",
        "take",
        "take_last",
        "take_until",
        "take_while",
        "finally_action",
        "share",
    ]
)


class Piped(Observable[T_co]):
    """An `Observable` that knows the stages of its pipe, and keeps its class in it.

    Args:
        subscribe: As RxPY's `Observable` takes it.
        stages: What the stream is made of, source first, for `repr`.
        of_events: Whether its items are `gai_rx` events.
    """

    def __init__(
        self,
        subscribe: Subscribe[T_co] | None = None,
        *,
        stages: tuple[str, ...] = ("stream",),
        of_events: bool = False,
    ) -> None:
        super().__init__(subscribe)
        self.stages = stages
        self.of_events = of_events

    if TYPE_CHECKING:

        @overload
        def pipe(self, a: Callable[[Observable[T_co]], A], /) -> A: ...
        @overload
        def pipe(self, a: Callable[[Observable[T_co]], A], b: Callable[[A], B], /) -> B: ...
        @overload
        def pipe(
            self,
            a: Callable[[Observable[T_co]], A],
            b: Callable[[A], B],
            c: Callable[[B], C],
            /,
        ) -> C: ...
        @overload
        def pipe(
            self,
            a: Callable[[Observable[T_co]], A],
            b: Callable[[A], B],
            c: Callable[[B], C],
            d: Callable[[C], D],
            /,
        ) -> D: ...
        @overload
        def pipe(
            self,
            a: Callable[[Observable[T_co]], A],
            b: Callable[[A], B],
            c: Callable[[B], C],
            d: Callable[[C], D],
            e: Callable[[D], E],
            /,
        ) -> E: ...
        @overload
        def pipe(
            self,
            a: Callable[[Observable[T_co]], A],
            b: Callable[[A], B],
            c: Callable[[B], C],
            d: Callable[[C], D],
            e: Callable[[D], E],
            f: Callable[[E], F],
            /,
        ) -> F: ...
        @overload
        def pipe(
            self,
            a: Callable[[Observable[T_co]], A],
            b: Callable[[A], B],
            c: Callable[[B], C],
            d: Callable[[C], D],
            e: Callable[[D], E],
            f: Callable[[E], F],
            g: Callable[[F], G],
            /,
        ) -> G: ...
        @overload
        def pipe(
            self,
            a: Callable[[Observable[T_co]], A],
            b: Callable[[A], B],
            c: Callable[[B], C],
            d: Callable[[C], D],
            e: Callable[[D], E],
            f: Callable[[E], F],
            g: Callable[[F], G],
            h: Callable[[G], H],
            /,
        ) -> H: ...
        @overload
        def pipe(
            self,
            a: Callable[[Observable[T_co]], A],
            b: Callable[[A], B],
            c: Callable[[B], C],
            d: Callable[[C], D],
            e: Callable[[D], E],
            f: Callable[[E], F],
            g: Callable[[F], G],
            h: Callable[[G], H],
            j: Callable[[H], J],
            /,
        ) -> J: ...
        @overload
        def pipe(
            self,
            a: Callable[[Observable[T_co]], A],
            b: Callable[[A], B],
            c: Callable[[B], C],
            d: Callable[[C], D],
            e: Callable[[D], E],
            f: Callable[[E], F],
            g: Callable[[F], G],
            h: Callable[[G], H],
            j: Callable[[H], J],
            k: Callable[[J], K],
            /,
        ) -> K: ...
        @overload
        def pipe(
            self,
            a: Callable[[Observable[T_co]], A],
            b: Callable[[A], B],
            c: Callable[[B], C],
            d: Callable[[C], D],
            e: Callable[[D], E],
            f: Callable[[E], F],
            g: Callable[[F], G],
            h: Callable[[G], H],
            j: Callable[[H], J],
            k: Callable[[J], K],
            l_: Callable[[K], L],
            /,
        ) -> L: ...
        @overload
        def pipe(
            self,
            a: Callable[[Observable[T_co]], A],
            b: Callable[[A], B],
            c: Callable[[B], C],
            d: Callable[[C], D],
            e: Callable[[D], E],
            f: Callable[[E], F],
            g: Callable[[F], G],
            h: Callable[[G], H],
            j: Callable[[H], J],
            k: Callable[[J], K],
            l_: Callable[[K], L],
            m: Callable[[L], M],
            /,
        ) -> M: ...
        @overload
        def pipe(self, *operators: Callable[[Any], Any]) -> Any: ...
        def pipe(self, *operators: Callable[[Any], Any]) -> Any:
            """Apply operators, ours and RxPY's, one after the other."""
    else:

        def pipe(self, *operators):
            """Apply operators, ours and RxPY's, one after the other."""
            result = self
            for operator in operators:
                made = operator(result)
                stock = _stock_name(operator)
                # RxPY composes some of its operators by `pipe`, so that it is piped already.
                if type(made) is Observable or (stock and isinstance(made, Piped)):
                    made = self._named(made, result, stock or _own_name(operator))
                result = made
            return result

    def _named(self, made: Observable[Any], source: object, stage: str) -> Piped[Any]:
        """What another's operator made, under its name, at no cost per item."""
        stages = source.stages if isinstance(source, Piped) else ()
        keeps = isinstance(source, Piped) and source.of_events and stage in _KEEP_EVENTS
        return self._like_this(made._subscribe, (*stages, stage), keeps)

    def _like_this(
        self, subscribe: Subscribe[Any] | None, stages: tuple[str, ...], of_events: bool
    ) -> Piped[Any]:
        return Piped(subscribe, stages=stages, of_events=of_events)


def _stock_name(operator: Callable[[Any], Any]) -> str | None:
    """A stock operator's name; None for everybody else's operators."""
    module = getattr(operator, "__module__", None) or ""
    if module == "reactivex.internal.curry":  # the operator is in the closure
        for cell in operator.__closure__ or ():
            name = getattr(cell.cell_contents, "__name__", None)
            if name is not None:
                return str(name).rstrip("_")
    if module.startswith("reactivex.operators."):
        return operator.__qualname__.partition(".<locals>")[0].rstrip("_")
    return None


def _own_name(operator: Callable[[Any], Any]) -> str:
    name = str(getattr(operator, "__qualname__", type(operator).__name__))
    return name.partition(".<locals>")[0]
