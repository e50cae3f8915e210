"""Metering: what each operator of a pipe takes in, gives out, and costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Generic, TypeVar, overload

from reactivex import Observable, abc

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
        self._stages: tuple[_Stage, ...] = tuple(_Stage(_name_of(o)) for o in operators)
        self._nested = _Nested()

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
        return tuple(stage.report(now) for stage in self._stages)

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

    def _probed(self, source: Stream[Any], above: _Stage | None, below: _Stage | None) -> Any:
        """The stream as it is, with someone at the border between two operators."""

        def subscribe(
            observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            probe = _Probe(observer, self._nested, above, below)
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


class _Nested:
    """The time of the probes' calls within the call that is on its way."""

    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds = 0.0


class _Stage:
    """What one operator has done; the probes above and below it write here."""

    __slots__ = (
        "busy",
        "errors_in",
        "errors_out",
        "errors_passed",
        "items_in",
        "items_out",
        "last_error",
        "name",
        "times_in",
        "times_out",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.last_error = 0  # its identity: the error itself would hold what it came from
        self.reset()

    def reset(self) -> None:
        """Forget what was counted."""
        self.items_in = self.items_out = 0
        self.errors_in = self.errors_out = self.errors_passed = 0
        self.busy = 0.0
        self.times_in = self.times_out = 0.0  # sums of the moments at which items came and went

    def takes_error(self, error: Exception) -> None:
        """An error comes in from above."""
        self.errors_in += 1
        self.last_error = id(error)

    def gives_error(self, error: Exception) -> None:
        """An error goes out: its own, or the one that came in."""
        self.errors_out += 1
        if id(error) == self.last_error:
            self.errors_passed += 1
        self.last_error = 0

    def report(self, now: float) -> StageReport:
        """What has been done so far."""
        inside = self.items_in - self.items_out
        one_for_one = self.name.partition("(")[0] in _ONE_FOR_ONE and "overflow=" not in self.name
        latency = None
        if self.items_in and (one_for_one or not inside):
            # Waits add up to what the sums differ by, in whichever order the items come out.
            latency = (self.times_out - self.times_in + inside * now) / self.items_in
        return StageReport(
            name=self.name,
            items_in=self.items_in,
            items_out=self.items_out,
            errors=self.errors_out - self.errors_passed,
            handled=self.errors_in - self.errors_passed,
            busy=self.busy,
            latency=latency,
            waiting=inside if one_for_one else None,
        )


_ONE_FOR_ONE = frozenset({"limit_rate", "map_async", "relay", "stage"})
"""Operators that queue, and give one item for each that they take."""


class _Probe:
    """At the border between two operators, for one subscription."""

    __slots__ = ("_above", "_below", "_emit", "_nested", "_observer")

    def __init__(
        self,
        observer: abc.ObserverBase[Any],
        nested: _Nested,
        above: _Stage | None,
        below: _Stage | None,
    ) -> None:
        self._observer = observer
        self._emit = observer.on_next
        self._nested = nested
        self._above = above
        self._below = below

    def on_next(self, item: Any) -> None:
        """Count an item, and time what lies below."""
        nested, above, below = self._nested, self._above, self._below
        before, nested.seconds = nested.seconds, 0.0
        begun = perf_counter()
        if above is not None:
            above.items_out += 1
            above.times_out += begun
        if below is not None:
            below.items_in += 1
            below.times_in += begun
        try:
            self._emit(item)
        finally:
            taken = perf_counter() - begun
            if below is not None:
                below.busy += taken - nested.seconds
            nested.seconds = before + taken

    def on_error(self, error: Exception) -> None:
        """Count an error at whom it comes from and whom it goes to."""
        if self._above is not None:
            self._above.gives_error(error)
        if self._below is not None:
            self._below.takes_error(error)
        self._timed(lambda: self._observer.on_error(error))

    def on_completed(self) -> None:
        """Time what the end brings about."""
        self._timed(self._observer.on_completed)

    def _timed(self, go: Callable[[], None]) -> None:
        nested, below = self._nested, self._below
        before, nested.seconds = nested.seconds, 0.0
        begun = perf_counter()
        try:
            go()
        finally:
            taken = perf_counter() - begun
            if below is not None:
                below.busy += taken - nested.seconds
            nested.seconds = before + taken


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
