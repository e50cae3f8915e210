"""The marble diagrams of operators that cross a task, or have several sources, in virtual time.

The other operators' diagrams run in `tests/operators`, under RxPY's own virtual clock.
"""

import asyncio
import inspect
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest
from reactivex import Observable
from reactivex import operators as ops
from reactivex.observable.marbles import parse

from gai_rx import Start, Stream, StreamEvent, TextDelta
from gai_rx.flow import Gate, current, produce
from gai_rx.operators import log_health, map_async, multiplex, race, relay, stage
from tests.contract.virtual_loop import run, virtual_loop
from tests.operators.marbles import EVENTS, check, diagram

Seen = dict[int, list[Any]]


def drawn(operator: Callable[..., Any]) -> list[str]:
    """The diagrams in an operator's docstring, one a line."""
    lines = re.findall(r"^    \S.*?  +([-(].*)$", inspect.getdoc(operator) or "", re.MULTILINE)
    return [re.split(r"  +", line.strip())[0] for line in lines]


def emitted(line: str, values: dict[str, Any] | None = None) -> Seen:
    """What a diagram shows, by its second."""
    grouped = re.sub(r"\((\w*[|#]?)\)", lambda m: f"({','.join(m[1])})", line)
    letters: dict[str | float, Any] = dict((values or {}).items())
    seen: Seen = {}
    time: Any
    for time, what in parse(grouped, lookup=letters):
        seen.setdefault(int(time), []).append("|" if what.kind == "C" else what.value)
    return seen


def played(line: str, values: dict[str, Any] | None = None) -> Stream[Any]:
    """A source that does what a diagram shows, in its own task, as a provider's does."""

    async def make() -> AsyncGenerator[list[Any], None]:
        begun = asyncio.get_running_loop().time()
        for second, items in emitted(line, values).items():
            await asyncio.sleep(begun + second - asyncio.get_running_loop().time())
            for item in items:
                if item != "|":
                    yield [item]

    return Stream(produce(make, "played"), of_events=values is not None)


def recorded(stream: Observable[Any], show: Callable[[Any], Any] = lambda item: item) -> Seen:
    """What a stream does, by its second."""

    async def main() -> Seen:
        seen: Seen = {}
        loop, done = virtual_loop(), asyncio.Event()
        begun = loop.time()

        def note(item: Any) -> None:
            seen.setdefault(round(loop.time() - begun), []).append(item)

        def completed() -> None:
            note("|")
            done.set()

        stream.subscribe(lambda item: note(show(item)), None, completed)
        await done.wait()
        return seen

    return run(main)


def taking(seconds: float) -> Callable[[str], Awaitable[str]]:
    async def f(item: str) -> str:
        await asyncio.sleep(seconds)
        return item.upper()

    return f


@pytest.mark.parametrize("operator", [map_async, stage])
def test_a_function_that_takes_a_second_gives_its_results_a_second_later(operator: Any) -> None:
    given, then = drawn(operator)
    assert recorded(played(given).pipe(operator(taking(1)))) == emitted(then)


@pytest.mark.parametrize(
    ("number", "overflow"), [(1, "block"), (2, "drop_newest"), (3, "conflate")]
)
def test_a_slow_subscriber_of_a_relay(number: int, overflow: Any) -> None:
    given, *then = drawn(relay)
    slowly = 5
    taken: Seen = {}

    async def main() -> None:
        loop, busy = virtual_loop(), Gate("a slow subscriber")
        begun = loop.time()

        def take(item: str) -> None:
            taken.setdefault(round(loop.time() - begun), []).append(item)
            busy.close()
            loop.call_later(slowly, busy.open)
            pressure = current.get()
            assert pressure is not None
            pressure.hold(busy)

        await played(given).pipe(relay(1, overflow=overflow), ops.do_action(take))

    run(main)
    assert emitted(then[number - 1].replace("|", "")) == taken


def test_multiplexed_streams() -> None:
    one, two, then = drawn(multiplex)
    values: dict[str, Any] = {x: TextDelta(text=x) for x in "abcd"}
    stream = multiplex(played(one, values), played(two, values))
    shown = recorded(stream, lambda event: event.text)
    assert shown == emitted(then)


def test_a_race() -> None:
    slow, quick, then = drawn(race)
    values: dict[str, StreamEvent] = {**EVENTS, "T": Start(model="quick")}
    stream = race(played(slow, values), played(quick, values))
    assert recorded(stream) == emitted(then, values)


def test_a_log_lets_everything_pass() -> None:
    check(log_health(), *diagram(log_health), values=EVENTS)
