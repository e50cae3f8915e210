"""Resuming: what a run that stopped has come to, and which of its calls wait for a decision."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from gai_rx.events import ToolCall
from gai_rx.result import Result, Step

__all__ = ["Resumed", "check_resumable", "joined", "merged", "pending_calls"]

Resumed: TypeAlias = Result | Sequence[Result]
"""The result of a run that stopped; several where it was resumed and has stopped again."""


def pending_calls(results: Resumed) -> tuple[ToolCall, ...]:
    """The calls of a run's last step that nobody has answered: those that wait for approval.

    Args:
        results: A run's result, or several if it was resumed.

    Example:
        >>> call = ToolCall(id="1", name="pay")
        >>> waiting = Result(steps=(Step(tool_calls=(call,)),), complete=True)
        >>> [call.name for call in pending_calls(waiting)]
        ['pay']
    """
    steps = joined(results).steps
    last = steps[-1] if steps else Step()
    answered = {told.id for told in last.tool_results}
    return tuple(
        {
            call.id: call
            for call in reversed(last.tool_calls)
            if not call.provider_executed and call.id not in answered and call.invalid is None
        }.values()
    )[::-1]


def check_resumable(results: Resumed) -> None:
    """Refuse what is not to be gone on with.

    Raises:
        ValueError: If the run failed, ended by itself, or its calls may be cut off.
    """
    result = joined(results)
    last = result.steps[-1] if result.steps else None
    if not result.complete or last is None:
        raise ValueError(
            "a run is resumed from the Result of one that stopped; one that failed may have run "
            "tools whose results it does not tell"
        )
    if last.finish_reason not in ("stop", "tool_calls"):
        raise ValueError(
            f"the run ended with {last.finish_reason!r}: its calls may be cut off and must not run"
        )
    if all(call.provider_executed for call in last.tool_calls):
        raise ValueError(
            "the run ended by itself and there is nothing to resume; ask anew with its messages"
        )


def joined(results: Resumed | None) -> Result:
    """Several results of one run, that was resumed again and again, as one."""
    if results is None:
        return Result()
    parts = (results,) if isinstance(results, Result) else tuple(results)
    if not parts:
        raise ValueError("resume is a Result, or several in the order of their runs; got none")
    return parts[-1].model_copy(
        update={
            "steps": merged(step for part in parts for step in part.steps),
            "messages": tuple(message for part in parts for message in part.messages),
        }
    )


def merged(steps: Iterable[Step]) -> tuple[Step, ...]:
    """The steps; one whose calls were answered by two runs is one step."""
    merged: dict[int, Step] = {}
    for step in steps:
        before = merged.get(step.number)
        if before is not None:
            results = before.tool_results + step.tool_results
            step = before.model_copy(update={"tool_results": results})
        merged[step.number] = step
    return tuple(merged.values())
