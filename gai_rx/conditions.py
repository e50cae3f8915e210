"""Conditions: what a run has come to, and how what is said of it combines."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from gai_rx.events import Usage
from gai_rx.request import Message
from gai_rx.result import Step

__all__ = ["RunState", "Stop", "StopCondition", "all_of", "answered", "any_of", "as_condition"]


@dataclass(frozen=True)
class RunState:
    """What a run has come to so far.

    Attributes:
        steps: Its steps, oldest first; those of the run that it resumes too.
        elapsed: Seconds since it was subscribed to.
        usage: Tokens of all steps, added up.
        messages: The history that the next step is asked with.
    """

    steps: tuple[Step, ...] = ()
    elapsed: float = 0.0
    usage: Usage | None = None
    messages: tuple[Message, ...] = ()

    @property
    def last(self) -> Step | None:
        """The latest step; None before the first."""
        return self.steps[-1] if self.steps else None

    @property
    def next_number(self) -> int:
        """The number of the step that comes next, from 0."""
        return self.steps[-1].number + 1 if self.steps else 0


class StopCondition:
    """Says whether a run has done enough; made by the functions of `gai_rx.stopping`.

    Example:
        >>> from gai_rx.stopping import max_steps, until_tool_seen
        >>> either = max_steps(15) | until_tool_seen("send_email")
        >>> either
        max_steps(15) | until_tool_seen('send_email')
        >>> either(RunState(steps=(Step(number=0),)))
        False
    """

    __slots__ = ("_name", "_test", "_word")

    def __init__(self, name: str, test: Callable[[RunState], bool], word: str = "") -> None:
        """Name a test of the run so far; `word` is what joins it, if it is a combination."""
        self._name = name
        self._test = test
        self._word = word

    def __call__(self, run: RunState) -> bool:
        """Whether the run has done enough.

        Raises:
            TypeError: If the test is an async function.
        """
        return bool(answered(self._test(run), f"the stop condition {self._name}"))

    def __or__(self, other: Stop) -> StopCondition:
        return any_of(self, other)

    def __ror__(self, other: Stop) -> StopCondition:
        return any_of(other, self)

    def __and__(self, other: Stop) -> StopCondition:
        return all_of(self, other)

    def __rand__(self, other: Stop) -> StopCondition:
        return all_of(other, self)

    def __invert__(self) -> StopCondition:
        name = f"({self})" if self._word else repr(self)
        return StopCondition(f"~{name}", lambda run: not self(run))

    def __repr__(self) -> str:
        return self._name


Stop: TypeAlias = StopCondition | Callable[[RunState], bool]
"""A condition, or a plain function that is one."""


def answered(answer: Any, who: str) -> Any:
    """What a caller's function has answered.

    Raises:
        TypeError: If it is async: nobody waits for it here.
    """
    if inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise TypeError(f"{who} is async; it must answer at once")
    return answer


def as_condition(stop: Any) -> StopCondition:
    """A condition from what is one.

    Raises:
        TypeError: If it can not be called.
    """
    if isinstance(stop, StopCondition):
        return stop
    if not callable(stop):
        raise TypeError(f"a stop condition is a function of a RunState, got {stop!r}")
    test: Any = stop
    return StopCondition(getattr(stop, "__name__", type(stop).__name__), test)


def any_of(*stops: Stop) -> StopCondition:
    """Enough when one of the conditions says so; the same as `|`.

    Raises:
        TypeError: At once, if there is none, or one that is no condition.
    """
    conditions = _several("any_of", stops)
    name = " | ".join(map(repr, conditions))
    return StopCondition(name, lambda run: any(c(run) for c in conditions), "|")


def all_of(*stops: Stop) -> StopCondition:
    """Enough when all of the conditions say so; the same as `&`.

    Raises:
        TypeError: At once, if there is none, or one that is no condition.
    """
    conditions = _several("all_of", stops)
    name = " & ".join(f"({c})" if c._word == "|" else repr(c) for c in conditions)
    return StopCondition(name, lambda run: all(c(run) for c in conditions), "&")


def _several(name: str, stops: tuple[Stop, ...]) -> list[StopCondition]:
    if not stops:
        raise TypeError(f"{name}() needs a condition")
    return [as_condition(stop) for stop in stops]
