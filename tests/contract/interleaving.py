"""Orders: what may happen at the same time, put into every order it can happen in.

Sources are scripts, written as marbles: `S` is a `Start`, a digit an item, `#` an error, `|` the
end. An order is a string of moves: a source's letter sends its next signal, `T` lets the time go on
to the next timer, `t` lets 0.6 seconds pass, `D` disposes, `.` gives the loop time to do what is
due. After the order the rest of the scripts is sent, so that every run comes to an end.

A run that breaks a law is printed as marbles, one line for each source:

    order    a.b.aT.D
    a        ---1------------2----------
    b        --------1------------------
    time     --------------------T------
    dispose  ----------------------D----
    seen     ---(a1)-(b1)----(a2)-------
"""

from __future__ import annotations

import asyncio
import contextvars
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from math import factorial, prod
from typing import Any

from reactivex import Observable, abc
from reactivex.disposable import Disposable

from gai_rx import Start, Stream, TextDelta
from gai_rx.flow import Pressure, current
from gai_rx.operators import Tagged
from tests.contract.probe import Probe
from tests.contract.virtual_loop import run, settle, virtual_loop

__all__ = ["MOST", "Case", "Manual", "Run", "explore", "labels"]

MOST = 2000
"""Orders that are tried; where there are more, as many are drawn by a seed."""
_MOST_STEPS = 500


class Failed(Exception):
    """The error of a scripted source."""


class Manual:
    """A source that sends the next signal of its script when it is told to.

    Args:
        name: One letter; its items are called `a1`, `a2`, …
        scripts: What each subscription sends, in turn; the last serves all later ones.
    """

    def __init__(self, name: str, *scripts: str) -> None:
        self.name = name
        self.error = Failed(name)
        self.sent: list[str] = []
        """Labels of the items that were sent."""
        self.asked = 0
        self._scripts = scripts
        self._observers: list[abc.ObserverBase[Any]] = []
        self._left: list[str] = []
        self._pressure = Pressure()
        self.stream: Stream[Any] = Stream(self._subscribe, of_events=True)

    @property
    def open(self) -> int:
        """Subscriptions that are not released."""
        return len(self._observers)

    @property
    def can_send(self) -> bool:
        """Whether it has a subscriber, has something left, and is not held."""
        self._pressure.gates[:] = [gate for gate in self._pressure.gates if gate.closed]
        return bool(self._observers and self._left and not self._pressure.gates)

    def send(self) -> str:
        """Send the next signal, as a producer with a pressure of its own; what it was."""
        signal = self._left.pop(0)
        contextvars.copy_context().run(self._send, signal, self._observers[-1])
        return signal

    def _send(self, signal: str, observer: abc.ObserverBase[Any]) -> None:
        current.set(self._pressure)
        if signal == "|":
            observer.on_completed()
        elif signal == "#":
            observer.on_error(self.error)
        elif signal == "S":
            observer.on_next(Start(provider=self.name))
        else:
            self.sent.append(f"{self.name}{signal}")
            observer.on_next(TextDelta(text=self.sent[-1]))

    def _subscribe(
        self, observer: abc.ObserverBase[Any], _: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        self._left = list(self._scripts[min(self.asked, len(self._scripts) - 1)])
        self.asked += 1
        self._observers.append(observer)
        return Disposable(lambda: self._observers.remove(observer))


def labels(items: list[Any], branch: str | None = None) -> list[str]:
    """The labels of all pieces of text, in lists and branches too."""
    found: list[str] = []
    for item in items:
        if isinstance(item, Tagged):
            found += labels([item.value]) if branch in (None, item.branch) else []
        elif isinstance(item, list):
            found += labels(item)
        elif isinstance(item, TextDelta):
            found.append(item.text)
    return found


@dataclass
class Run:
    """What happened in one order."""

    order: str
    sources: Mapping[str, Manual]
    probe: Probe
    begun: float
    """The time of the subscription."""
    steps: list[tuple[str, str, list[Any]]] = field(default_factory=list)
    """Each move, the signal it sent, and the items that were seen by then."""
    disposed: bool = False

    @property
    def seen(self) -> list[str]:
        return labels(self.probe.items)

    @property
    def sent(self) -> list[str]:
        return [label for source in self.sources.values() for label in source.sent]

    def marbles(self) -> str:
        """The order as marbles, a line for each source and one for what was seen."""
        rows = [*self.sources, "time", "dispose", "seen"]
        columns: list[dict[str, str]] = [{"seen": ""}]
        for move, signal, items in self.steps:
            row = {"T": "time", "t": "time", "D": "dispose"}.get(move, move)
            if move != ".":
                columns.append({row: signal if move in self.sources else move, "seen": ""})
            columns[-1]["seen"] += "".join(_shown(item) for item in items)
        lines = [f"{'order':<9}{self.order}"]
        for row in rows:
            cells = (c.get(row, "").ljust(max(map(len, (*c.values(), "-"))), "-") for c in columns)
            lines.append(f"{row:<9}-{'-'.join(cells)}")
        end = repr(self.probe.error) if self.probe.error else self.probe.completed
        return "\n".join([*lines, f"{'end':<9}{end}"])


def _shown(item: Any) -> str:
    found = labels([item])
    return f"({' '.join(found)})" if found else f"({type(item).__name__})"


@dataclass(frozen=True)
class Case:
    """Something with several sources, and what must hold for it in every order.

    Attributes:
        name: How the test calls it.
        make: Builds it from its sources.
        scripts: The sources' scripts, by their letters.
        check: Asserts what holds for a run beside what holds for all.
        also: Further moves that are put into every place: `T`, `t` and `D`. With `D` as many orders
            are tried without it.
        in_order: Whether the order within each source is kept.
    """

    name: str
    make: Callable[[Mapping[str, Manual]], Observable[Any]]
    scripts: Mapping[str, tuple[str, ...]]
    check: Callable[[Run], None]
    also: str = ""
    in_order: bool = True

    def orders(self) -> Iterator[str]:
        """All orders of the moves, or as many as are tried; with and without pauses between."""
        moves = "".join(name * len("".join(s)) for name, s in self.scripts.items()) + self.also
        stays = moves.replace("D", "")
        all_moves = [moves] if stays == moves else [stays, moves]
        if 2 * sum(map(_count, all_moves)) <= MOST:
            for some in all_moves:
                for order in _permutations(Counter(some)):
                    yield order
                    yield ".".join(order)
            return
        dice = random.Random(self.name)
        for n in range(MOST):
            some = all_moves[n % len(all_moves)]
            often = dice.choice((0.0, 0.3, 0.7, 1.0))
            drawn = dice.sample(some, len(some))
            yield "".join(move + "." * (dice.random() < often) for move in drawn)


def _count(moves: str) -> int:
    """In how many orders they can be put."""
    return factorial(len(moves)) // prod(map(factorial, Counter(moves).values()))


def _permutations(left: Counter[str]) -> Iterator[str]:
    if not +left:
        yield ""
    for move in sorted(+left):
        rest = left.copy()
        rest[move] -= 1
        for order in _permutations(rest):
            yield move + order


def explore(case: Case, most: int | None = None) -> int:
    """Run a case in its orders; how many there were.

    Raises:
        AssertionError: For the first order that breaks a law, printed as marbles.
    """

    async def main() -> int:
        count = 0
        for order in islice(case.orders(), most):
            await _explored(case, order)
            count += 1
        return count

    return run(main)


async def _explored(case: Case, order: str) -> None:
    sources = {name: Manual(name, *scripts) for name, scripts in case.scripts.items()}
    one = Run(order, sources, Probe(case.make(sources)), virtual_loop().time())
    try:
        for move in order:
            await _move(one, move)
        await _drain(one)
        await settle()
        _check(case, one)
    except Exception as error:
        raise AssertionError(f"{case.name}: {error}\n{one.marbles()}") from error


async def _move(one: Run, move: str) -> None:
    before, signal = len(one.probe.items), ""
    if move == ".":
        await settle(12)
    elif move == "T":
        await _pass_time()
    elif move == "t":
        await asyncio.sleep(0.6)
    elif move == "D":
        one.disposed = one.disposed or not one.probe.ended
        one.probe.dispose()
        await settle()
        assert not virtual_loop().left(), f"right after dispose: {virtual_loop().left()}"
    elif one.sources[move].can_send:
        signal = one.sources[move].send()
    one.steps.append((move, signal, one.probe.items[before:]))


async def _pass_time() -> None:
    timers = virtual_loop().timers()
    if timers:
        await asyncio.sleep(max(0.0, min(t.when() for t in timers) - virtual_loop().time()))


async def _drain(one: Run) -> None:
    """Send what is left of the scripts, and let the time pass, until nothing happens any more."""
    for _ in range(_MOST_STEPS):
        await _move(one, ".")
        ready = [name for name, source in one.sources.items() if source.can_send]
        if ready:
            await _move(one, ready[0])
        elif virtual_loop().timers():
            await _move(one, "T")
        else:
            return
    raise AssertionError(f"no end after {_MOST_STEPS} more steps")


def _check(case: Case, one: Run) -> None:
    """What holds for everything, in every order."""
    probe = one.probe
    probe.check()
    assert not probe.late, f"{probe.late} after dispose"
    assert probe.ended or one.disposed, "it does not end"
    still = [source.name for source in one.sources.values() if source.open]
    assert not still, f"still subscribed to {still}"
    assert not virtual_loop().left(), virtual_loop().left()
    assert not virtual_loop().reports, virtual_loop().reports
    branches: set[str | None] = {i.branch for i in probe.items if isinstance(i, Tagged)}
    for branch in branches or {None}:
        seen = labels(probe.items, branch)
        assert len(set(seen)) == len(seen), f"twice: {seen}"
        assert set(seen) <= set(one.sent), f"never sent: {seen}"
        for source in one.sources.values() if case.in_order else ():
            mine = [label for label in seen if label[0] == source.name]
            assert mine == sorted(mine, key=source.sent.index), f"out of order: {mine}"
    case.check(one)
