"""Stopping: when a run of several steps has done enough.

A condition is asked at the end of each step, when the step's tools have ended. Conditions combine
with `|`, `&` and `~`; a plain function of a `RunState` is one too. A run ends in any case where an
answer asks for no tool, since there is nothing to tell the model, and after 100 steps.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, Protocol

from gai_rx.conditions import (
    RunState,
    Stop,
    StopCondition,
    all_of,
    answered,
    any_of,
    as_condition,
)
from gai_rx.events import Usage

__all__ = [
    "RunState",
    "Stop",
    "StopCondition",
    "all_of",
    "any_of",
    "as_condition",
    "max_steps",
    "no_more_tools",
    "tokens_of",
    "until_cost",
    "until_elapsed",
    "until_error_rate",
    "until_result",
    "until_text",
    "until_tokens",
    "until_tool_seen",
    "until_tools_in_order",
]


class Searches(Protocol):
    """A compiled pattern, of `re` or of a library without backtracking."""

    @property
    def pattern(self) -> Any:
        """What it was compiled from."""
        ...

    def search(self, text: Any, /) -> Any:
        """A match somewhere in the text, or None."""
        ...


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


def until_tools_in_order(*names: str) -> StopCondition:
    """Enough when the model has called these tools one after the other; others may come between.

    The calls of one answer count in the order in which the model wrote them.

    Raises:
        ValueError: At once, if there is no name, or an empty one.

    Example:
        >>> from gai_rx import Step, ToolCall
        >>> made = [ToolCall(id="1", name="find"), ToolCall(id="2", name="book")]
        >>> run = RunState(steps=(Step(tool_calls=tuple(made)),))
        >>> until_tools_in_order("find", "book")(run), until_tools_in_order("book", "find")(run)
        (True, False)
    """
    if not names or not all(names):
        raise ValueError(f"until_tools_in_order() needs the names of tools, got {names!r}")

    def test(run: RunState) -> bool:
        called = (call.name for step in run.steps for call in step.tool_calls)
        return all(name in called for name in names)  # each `in` goes on where the last one stood

    return StopCondition(f"until_tools_in_order({', '.join(map(repr, names))})", test)


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
        >>> from gai_rx import Step
        >>> until_text(r"\bDONE\b")(RunState(steps=(Step(text="It is DONE."),)))
        True
    """
    search, source = _search("until_text", pattern)

    def test(run: RunState) -> bool:
        return bool(run.steps) and bool(search(run.steps[-1].text))

    return StopCondition(f"until_text({source!r})", test)


def _search(condition: str, pattern: Any) -> tuple[Callable[[str], Any], Any]:
    """What looks for a pattern, and how the pattern is written."""
    search = getattr(re.compile(pattern) if isinstance(pattern, str) else pattern, "search", None)
    if search is None:
        raise TypeError(f"{condition}() needs a pattern, got {type(pattern).__name__}")
    return search, pattern if isinstance(pattern, str) else getattr(pattern, "pattern", pattern)


def until_result(
    is_enough: str | Searches | Callable[[Any], bool], *, tool: str | None = None
) -> StopCondition:
    r"""Enough when a tool has come to a result like this; errors are no results.

    Args:
        is_enough: A regular expression, searched for in a result that is text, and in the JSON of
            any other; or a function of the result. What `until_text` says of patterns holds here.
        tool: Of which tool; None for any.

    Raises:
        re.error: At once, if the source is no pattern.
        TypeError: At once, if it is no pattern and no function.
        ValueError: At once, if the tool's name is empty.

    Example:
        >>> from gai_rx import Step, ToolResult
        >>> paid = RunState(steps=(Step(tool_results=(ToolResult(id="1", result={"paid": 9}),)),))
        >>> until_result(r'"paid":\s*\d')(paid), until_result(lambda r: r["paid"] > 10)(paid)
        (True, False)
    """
    if tool == "":
        raise ValueError("until_result() needs the tool's name, or None for any")
    fits, shown = _fits(is_enough)
    name = f"until_result({shown}{'' if tool is None else f', tool={tool!r}'})"

    def test(run: RunState) -> bool:
        results = (r for step in run.steps for r in step.tool_results if r.error is None)
        return any(
            answered(fits(r.result), f"the function of {name}")
            for r in results
            if tool is None or r.name == tool
        )

    return StopCondition(name, test)


def _fits(is_enough: Any) -> tuple[Callable[[Any], Any], str]:
    """A test of a result, and how it is shown."""
    if not isinstance(is_enough, str) and not hasattr(is_enough, "search") and callable(is_enough):
        return is_enough, getattr(is_enough, "__name__", type(is_enough).__name__)
    search, source = _search("until_result", is_enough)
    return lambda result: search(_as_text(result)), repr(source)


def _as_text(result: Any) -> str:
    if isinstance(result, str):
        return result
    return json.dumps(result, ensure_ascii=False, default=str)


def until_error_rate(rate: float, *, last: int = 10) -> StopCondition:
    """Enough when so many of the last results of tools are errors.

    Args:
        rate: Their share, above 0 and at most 1.
        last: How many results it is the share of. Before there are so many it is never enough.

    Raises:
        ValueError: At once, for a share that is none, or `last` below 1.
    """
    if not 0 < rate <= 1:
        raise ValueError(f"until_error_rate() is a share above 0 and at most 1, got {rate}")
    if last < 1:
        raise ValueError(f"until_error_rate() looks at the last results, at least 1, got {last}")

    def test(run: RunState) -> bool:
        results = [result for step in run.steps for result in step.tool_results][-last:]
        failed = sum(result.error is not None for result in results)
        return len(results) == last and failed / last >= rate

    return StopCondition(f"until_error_rate({rate:g}, last={last})", test)


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


def until_cost(
    amount: float,
    price: Callable[[Usage], float] | None = None,
    *,
    input: float | None = None,
    output: float | None = None,
) -> StopCondition:
    """Enough when all steps together have cost so much; a step that runs is not cut off.

    Steps whose usage the provider does not tell cost nothing.

    Args:
        amount: The limit, in the currency of the prices.
        price: What one step costs, from its usage: for what two prices can not say, such as tokens
            from a cache, which some providers count among those read and some do not.
        input: Instead of `price`: the price of a million tokens read.
        output: And of a million tokens written.

    Raises:
        ValueError: At once, if the amount is not above 0, a price is below 0, or not exactly one of
            `price` and the pair of `input` and `output` is given.

    Example:
        >>> from gai_rx import Step
        >>> run = RunState(steps=(Step(usage=Usage(input_tokens=200_000, output_tokens=20_000)),))
        >>> until_cost(0.9, input=3.0, output=15.0)(run)
        True
        >>> until_cost(0.9, lambda used: 1e-6 * (used.output_tokens or 0))(run)
        False
    """
    if not 0 < amount < math.inf:
        raise ValueError(f"until_cost() is an amount above 0, got {amount}")
    if price is not None and (input, output) == (None, None):
        cost, shown = price, getattr(price, "__name__", type(price).__name__)
    elif price is None and input is not None and output is not None:
        cost, shown = _priced(input, output), f"input={input:g}, output={output:g}"
    else:
        raise ValueError("until_cost() needs the prices: input=… and output=…, or a function")
    name = f"until_cost({amount:g}, {shown})"

    def test(run: RunState) -> bool:
        used = (step.usage for step in run.steps)
        costs = (answered(cost(u), f"the price of {name}") for u in used if u is not None)
        return math.fsum(costs) >= amount

    return StopCondition(name, test)


def _priced(read: float, written: float) -> Callable[[Usage], float]:
    """What usage costs at the prices of a million tokens."""
    if not (0 <= read < math.inf and 0 <= written < math.inf):
        raise ValueError(f"until_cost() takes prices from 0, got {read} and {written}")
    return lambda used: (
        ((used.input_tokens or 0) * read + (used.output_tokens or 0) * written) / 1_000_000
    )


def tokens_of(usage: Usage | None) -> int:
    """The tokens of one answer: the total where it is told, else those read and written."""
    if usage is None:
        return 0
    if usage.total_tokens is not None:
        return usage.total_tokens
    return (usage.input_tokens or 0) + (usage.output_tokens or 0)
