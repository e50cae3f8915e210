"""Stopping: when a run of several steps has done enough.

A condition is asked at the end of each step, when the step's tools have ended. Conditions combine
with `|`, `&` and `~`; a plain function of a `RunState` is one too. A run ends in any case where an
answer asks for no tool, since there is nothing to tell the model, and after 100 steps.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from gai_rx.events import Usage
from gai_rx.request import Message
from gai_rx.result import Step

__all__ = [
    "RunState",
    "Stop",
    "StopCondition",
    "all_of",
    "any_of",
    "max_steps",
    "no_more_tools",
    "tokens_of",
    "until_elapsed",
    "until_text",
    "until_tokens",
    "until_tool_seen",
]


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


class Searches(Protocol):
    """A compiled pattern, of `re` or of a library without backtracking."""

    @property
    def pattern(self) -> Any:
        """What it was compiled from."""
        ...

    def search(self, text: Any, /) -> Any:
        """A match somewhere in the text, or None."""
        ...


class StopCondition:
    """Says whether a run has done enough; made by the functions below.

    Example:
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
        met = self._test(run)
        if inspect.isawaitable(met):
            if inspect.iscoroutine(met):
                met.close()
            raise TypeError(f"the stop condition {self._name} is async; it must answer at once")
        return bool(met)

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


def max_steps(count: int) -> StopCondition:
    """Enough after so many steps: model calls, each with the tools that it asked for.

    Raises:
        ValueError: At once, if `count` is below 1.
    """
    if count < 1:
        raise ValueError(f"max_steps() counts model calls and is at least 1, got {count}")
    return StopCondition(f"max_steps({count})", lambda run: run.next_number >= count)


def until_tool_seen(name: str) -> StopCondition:
    """Enough when the model has called this tool, whatever came of the call.

    Raises:
        ValueError: At once, if the name is empty.
    """
    if not name:
        raise ValueError("until_tool_seen() needs the tool's name")

    def test(run: RunState) -> bool:
        return any(call.name == name for step in run.steps for call in step.tool_calls)

    return StopCondition(f"until_tool_seen({name!r})", test)


def no_more_tools() -> StopCondition:
    """Enough when an answer asks for no tool of ours: what a run does unless told otherwise."""

    def test(run: RunState) -> bool:
        calls = run.steps[-1].tool_calls if run.steps else ()
        return bool(run.steps) and all(call.provider_executed for call in calls)

    return StopCondition("no_more_tools()", test)


def until_text(pattern: str | Searches) -> StopCondition:
    r"""Enough when the text of a step has a match of a regular expression.

    The text is the model's, so it may be hostile: a pattern with nested repeats, `(a+)+$`, can
    search for hours in a few dozen characters of it, and the loop stands still meanwhile. Keep to
    plain words and single repeats, or pass the compiled pattern of a library that does not
    backtrack, google-re2 for instance.

    Args:
        pattern: Source of the pattern, or a compiled one.

    Raises:
        re.error: At once, if the source is no pattern.
        TypeError: At once, if it is neither.

    Example:
        >>> until_text(r"\bDONE\b")(RunState(steps=(Step(text="It is DONE."),)))
        True
    """
    search = getattr(re.compile(pattern) if isinstance(pattern, str) else pattern, "search", None)
    if search is None:
        raise TypeError(f"until_text() needs a pattern, got {type(pattern).__name__}")
    source = pattern if isinstance(pattern, str) else getattr(pattern, "pattern", pattern)

    def test(run: RunState) -> bool:
        return bool(run.steps) and bool(search(run.steps[-1].text))

    return StopCondition(f"until_text({source!r})", test)


def until_elapsed(seconds: float) -> StopCondition:
    """Enough so many seconds after the run began; a step that runs is not cut off.

    Raises:
        ValueError: At once, if it is not above 0.
    """
    if not seconds > 0:
        raise ValueError(f"until_elapsed() is in seconds above 0, got {seconds}")
    return StopCondition(f"until_elapsed({seconds:g})", lambda run: run.elapsed >= seconds)


def until_tokens(count: int) -> StopCondition:
    """Enough when all steps together took so many tokens, read and written.

    Steps whose usage the provider does not tell count nothing; a step that runs is not cut off.

    Raises:
        ValueError: At once, if `count` is below 1.
    """
    if count < 1:
        raise ValueError(f"until_tokens() counts tokens and is at least 1, got {count}")

    def test(run: RunState) -> bool:
        return sum(tokens_of(step.usage) for step in run.steps) >= count

    return StopCondition(f"until_tokens({count})", test)


def tokens_of(usage: Usage | None) -> int:
    """The tokens of one answer: the total where it is told, else those read and written."""
    if usage is None:
        return 0
    if usage.total_tokens is not None:
        return usage.total_tokens
    return (usage.input_tokens or 0) + (usage.output_tokens or 0)
