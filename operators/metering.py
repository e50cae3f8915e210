"""Metering: what each operator of a pipe takes in, gives out, and costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Generic, TypeVar, overload

from reactivex import Observable, abc

from gai_rx.operators._probes import Nested, Probe, Stage
from gai_rx.stream import Stream

__all__ = ["Meter", "StageReport", "meter"]

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")
G = TypeVar("G")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageReport:
    """What one operator of a metered pipe has done so far.

    Attributes:
        name: The operator, as it shows in a stream's `repr`.
        items_in: Items it got.
        items_out: Items it gave.
        errors: Failures that began here, a function's that it calls for instance.
        handled: Failures from above that ended here: asked again, replaced or made into items.
        busy: Seconds that calls into it took, without what lies below it. What it does in a task of
            its own, an async function for instance, is latency and not in here.
        latency: Mean seconds from an item's coming in to its going out. None where one can not
            tell: before the first item, and if not as many come out as went in.
        waiting: Items that came in and are not out yet. None for operators that may give other
            numbers than they take; `relay`, `map_async`, `stage` and `limit_rate` do not.
    """

    name: str
    items_in: int
    items_out: int
    errors: int
    handled: int
    busy: float
    latency: float | None
    waiting: int | None

    @property
    def busy_per_item(self) -> float:
        """Seconds spent for each item that came in."""
        return self.busy / self.items_in if self.items_in else 0.0


class Meter(Generic[A, B]):
    """Several operators as one, which keeps count of each; `meter` makes it.

    It counts all its subscriptions together, which belong to one event loop. Printed it is a table.
    """

    def __init__(self, operators: tuple[Callable[[Any], Any], ...]) -> None:
        self._operators = operators
        self._stages: tuple[Stage, ...] = tuple(Stage(_name_of(o)) for o in operators)
        self._nested = Nested()

    def __call__(self, source: Observable[A]) -> Stream[B]:
        """Apply the operators, with a probe at each border."""
        made: Any = self._probed(Stream.of(source), None, self._stages[0])
        for operator, stage, below in zip(
            self._operators, self._stages, (*self._stages[1:], None), strict=True
        ):
            length = len(made.stages)
            made = Stream.of(made.pipe(operator))
            stage.name = " | ".join(made.stages[length:]) or stage.name
            made = self._probed(made, stage, below)
        result: Stream[B] = made
        return result

    @property
    def stages(self) -> tuple[StageReport, ...]:
        """A report for each operator, from the top down."""
        now = perf_counter()
        return tuple(_report(stage, now) for stage in self._stages)

    def reset(self) -> None:
        """Begin to count anew."""
        for stage in self._stages:
            stage.reset()

    def __str__(self) -> str:
        """The table: an operator in each row."""
        heads = ("", "in", "out", "errors", "busy", "per item", "latency", "waiting")
        rows = [heads, *(_row(report) for report in self.stages)]
        widths = [max(len(row[n]) for row in rows) for n in range(len(heads))]
        lines = (
            "  ".join(
                cell.rjust(width) if n else cell.ljust(width)
                for n, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        )
        return "\n".join(line.rstrip() for line in lines)

    def __repr__(self) -> str:
        return f"meter({', '.join(stage.name for stage in self._stages)})"

    def _probed(self, source: Stream[Any], above: Stage | None, below: Stage | None) -> Any:
        """The stream as it is, with someone at the border between two operators."""

        def subscribe(
            observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            probe = Probe(observer, self._nested, above, below)
            return source.subscribe(
                probe.on_next, probe.on_error, probe.on_completed, scheduler=scheduler
            )

        return Stream(subscribe, stages=source.stages, of_events=source.of_events)


@overload
def meter(a: Callable[[Observable[A]], Observable[B]], /) -> Meter[A, B]: ...
@overload
def meter(a: Callable[[Observable[A]], B], b: Callable[[B], Observable[C]], /) -> Meter[A, C]: ...
@overload
def meter(
    a: Callable[[Observable[A]], B],
    b: Callable[[B], C],
    c: Callable[[C], Observable[D]],
    /,
) -> Meter[A, D]: ...
@overload
def meter(
    a: Callable[[Observable[A]], B],
    b: Callable[[B], C],
    c: Callable[[C], D],
    d: Callable[[D], Observable[E]],
    /,
) -> Meter[A, E]: ...
@overload
def meter(
    a: Callable[[Observable[A]], B],
    b: Callable[[B], C],
    c: Callable[[C], D],
    d: Callable[[D], E],
    e: Callable[[E], Observable[F]],
    /,
) -> Meter[A, F]: ...
@overload
def meter(
    a: Callable[[Observable[A]], B],
    b: Callable[[B], C],
    c: Callable[[C], D],
    d: Callable[[D], E],
    e: Callable[[E], F],
    f: Callable[[F], Observable[G]],
    /,
) -> Meter[A, G]: ...
@overload
def meter(*operators: Callable[[Any], Any]) -> Meter[Any, Any]: ...
def meter(*operators: Callable[[Any], Any]) -> Meter[Any, Any]:
    """Apply several operators, and keep count of what each takes, gives and costs.

        source                   -a-b-c-d-|
        meter(ops.skip(1), …)    ---b-c-d-|      print(metered) shows a row for each

    The result is an operator like any other, and the report: `print` it, or read its `stages`, at
    any time. Time is that of the machine, whatever clock the stream has: it is cost, not waiting.
    `latency` is waiting as well.

    Args:
        operators: Ours, RxPY's and your own, in the order of the pipe.

    Raises:
        TypeError: At once, without an operator, or with something that is none.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream, TextDelta
        >>> from gai_rx.operators import batch, text_only
        >>> metered = meter(text_only(), batch(2))
        >>> Stream.of(rx.of(*(TextDelta(text=c) for c in "abcd"))).pipe(metered).run()
        ['c', 'd']
        >>> [(stage.name, stage.items_in, stage.items_out) for stage in metered.stages]
        [('text_only()', 4, 4), ('batch(2)', 4, 2)]
    """
    if not operators:
        raise TypeError("meter() needs at least one operator")
    for operator in operators:
        if not callable(operator):
            raise TypeError(f"meter() takes operators, got {operator!r}")
    return Meter(operators)


_ONE_FOR_ONE = frozenset({"limit_rate", "map_async", "relay", "stage"})
"""Operators that queue, and give one item for each that they take."""


def _report(stage: Stage, now: float) -> StageReport:
    """What has been done so far."""
    inside = stage.items_in - stage.items_out
    one_for_one = stage.name.partition("(")[0] in _ONE_FOR_ONE and "overflow=" not in stage.name
    latency = None
    if stage.items_in and (one_for_one or not inside):
        # Waits add up to what the sums differ by, in whichever order the items come out.
        latency = (stage.times_out - stage.times_in + inside * now) / stage.items_in
    return StageReport(
        name=stage.name,
        items_in=stage.items_in,
        items_out=stage.items_out,
        errors=stage.errors_out - stage.errors_passed,
        handled=stage.errors_in - stage.errors_passed,
        busy=stage.busy,
        latency=latency,
        waiting=inside if one_for_one else None,
    )


def _name_of(operator: Callable[[Any], Any]) -> str:
    name = str(getattr(operator, "__qualname__", type(operator).__name__))
    return name.partition(".<locals>")[0]


def _row(report: StageReport) -> tuple[str, ...]:
    handled = f" ({report.handled} handled)" if report.handled else ""
    return (
        report.name,
        f"{report.items_in:,}",
        f"{report.items_out:,}",
        f"{report.errors}{handled}",
        _duration(report.busy),
        _duration(report.busy_per_item),
        "-" if report.latency is None else _duration(report.latency),
        "-" if report.waiting is None else f"{report.waiting:,}",
    )


def _duration(seconds: float) -> str:
    for limit, unit in ((1e-3, "µs"), (1.0, "ms")):
        if seconds < limit:
            return f"{seconds / limit * 1000:.1f} {unit}"
    return f"{seconds:.2f} s"
