"""Marble tests: the diagram in an operator's docstring, checked under virtual time.

One character is one virtual second. Several letters in a row are one item, which takes as many
seconds as it has letters; `(a,b)` are two items at once.
"""

import inspect
import re
from collections.abc import Callable
from typing import Any

from reactivex import Observable
from reactivex.observable.marbles import parse
from reactivex.testing import Recorded, TestScheduler

from gai_rx import Finish, ReasoningDelta, Start, StreamEvent, TextDelta, ToolCall, Usage

__all__ = ["EVENTS", "Cold", "check", "check_sources", "diagram"]

SUBSCRIBED = 200.0

EVENTS: dict[str, StreamEvent] = {
    "S": Start(provider="p", model="m"),
    "a": TextDelta(text="a"),
    "b": TextDelta(text="b"),
    "c": TextDelta(text="c"),
    "r": ReasoningDelta(text="r"),
    "C": ToolCall(id="1", name="f"),
    "U": Usage(input_tokens=1),
    "F": Finish(reason="stop"),
}
"""The letters that stand for events in the operators' docstrings."""

Cold = Callable[[str], Observable[Any]]
"""Makes a cold observable from a diagram."""


def check(
    operator: Callable[[Observable[Any]], Observable[Any]],
    given: str,
    then: str,
    *,
    values: dict[str, Any] | None = None,
    into: dict[str, Any] | None = None,
    error: Exception | None = None,
) -> None:
    """Subscribe `operator` to a cold `given`; expect `then`, where `#` is `error` itself.

    Args:
        operator: What is tested.
        given: The source's diagram.
        then: What is expected.
        values: What the letters of `given` stand for.
        into: What the letters of `then` stand for; the same when None.
        error: What `#` stands for in both.
    """
    check_sources(
        lambda cold: cold(given).pipe(operator), then, values=values, into=into, error=error
    )


def check_sources(
    make: Callable[[Cold], Observable[Any]],
    then: str,
    *,
    values: dict[str, Any] | None = None,
    into: dict[str, Any] | None = None,
    error: Exception | None = None,
) -> None:
    """Build a stream from any number of cold sources; expect `then`."""
    scheduler = TestScheduler()
    letters: dict[str | float, Any] = {_key(k): v for k, v in (values or {}).items()}
    results = letters if into is None else {_key(k): v for k, v in into.items()}

    def cold(diagram: str) -> Observable[Any]:
        told = parse(_groups(diagram), lookup=letters, error=error)
        return scheduler.create_cold_observable([_recorded(t, what) for t, what in told])

    seen = scheduler.start(lambda: make(cold), subscribed=SUBSCRIBED).messages
    wanted = parse(_groups(then), time_shift=SUBSCRIBED, lookup=results, error=error)
    assert seen == [_recorded(t, what) for t, what in wanted]
    if "#" in then:  # RxPY compares errors by their message
        last: Any = seen[-1].value
        assert last.exception is error


def diagram(operator: Callable[..., Any]) -> tuple[str, str]:
    """The source's and the result's diagram in an operator's docstring."""
    lines = re.findall(r"^    \S.*?  +([-(].*)$", inspect.getdoc(operator) or "", re.MULTILINE)
    given, then = lines[:2]
    return given.strip(), re.split(r"  +", then)[0]


def _groups(diagram: str) -> str:
    """`(ab|)` as RxPY writes it, `(a,b,|)`."""
    return re.sub(r"\((\w*[|#]?)\)", lambda m: f"({','.join(m[1])})", diagram)


def _key(letter: str) -> str | float:
    return int(letter) if letter.isdigit() else letter


def _recorded(time: Any, what: Any) -> Recorded[Any]:
    return Recorded(time, what)
