"""Summaries: a result as text for people, that no model can drive a terminal with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from gai_rx.events import ToolCall, ToolResult, Usage
from gai_rx.terminal import TerminalFilter

if TYPE_CHECKING:
    from gai_rx.result import Result, Step

__all__ = ["summary"]

_LONGEST = 100  # characters of arguments, and of a tool's result


def summary(result: Result) -> str:
    """A result, for people: the object or the text, what tools did, sources, tokens, the end."""
    cleaner = TerminalFilter()
    told = "\n".join(_lines(result))
    return cleaner.clean(told) + cleaner.close() + "\n"


def _lines(result: Result) -> Iterator[str]:
    if result.object is not None:
        yield to_json(result.object, indent=2, fallback=str).decode()
    elif result.text:
        yield result.text
    if result.refusal:
        yield f"refused: {result.refusal}"
    for step in result.steps:
        yield from _tools(step)
    for cited in result.citations:
        yield f"source: {' '.join(filter(None, (cited.title, cited.uri))) or cited.text}"
    yield ", ".join(_figures(result))


def _tools(step: Step) -> Iterator[str]:
    """A line for each call, with what it came to; results of an earlier run's calls come last."""
    results = {told.id: told for told in step.tool_results}
    for call in step.tool_calls:
        told = results.pop(call.id, None)
        came = "no result" if told is None else _came(told)
        yield f"tool: {call.name}({_arguments(call)}): {came}"
    for told in results.values():
        yield f"tool: {told.name}: {_came(told)}"


def _came(told: ToolResult) -> str:
    failed = "" if told.error is None else "failed: "
    return failed + told.preview(_LONGEST)


def _arguments(call: ToolCall) -> str:
    given = call.arguments_text if call.invalid is not None else _named(call.arguments.items())
    return ToolResult(id="", result=given).preview(_LONGEST) if given else ""


def _named(arguments: Iterable[tuple[str, Any]]) -> str:
    return ", ".join(f"{name}={to_json(value, fallback=str).decode()}" for name, value in arguments)


def _figures(result: Result) -> Iterator[str]:
    """How it ended, its steps, and its tokens as far as they were told."""
    yield (result.finish_reason or "finished") if result.complete else "not complete"
    if len(result.steps) > 1:
        yield f"{len(result.steps)} steps"
    used = result.usage or Usage()
    for count, what in ((used.input_tokens, "read"), (used.output_tokens, "written")):
        if count is not None:
            yield f"{count:,} tokens {what}"
