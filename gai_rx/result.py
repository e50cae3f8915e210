"""What a finished stream amounts to: a `Result`."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from pydantic import BaseModel, ConfigDict, Field

from gai_rx.events import (
    Citation,
    FinishReason,
    ToolCall,
    ToolResult,
    Usage,
)
from gai_rx.request import (
    Message,
)

__all__ = ["Result", "Step"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Step(_Frozen):
    """One model call of a run and the tools it asked for."""

    number: int = 0
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_results: tuple[ToolResult, ...] = ()
    usage: Usage | None = None
    finish_reason: FinishReason | None = None


class Result(_Frozen):
    """A whole answer, or, with `complete=False`, what there is of it."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    object: Any = Field(
        default=None,
        description="The structured answer as its type; if not complete, plain data so far. Its "
        "JSON is in `messages`.",
    )
    tool_calls: tuple[ToolCall, ...] = ()
    tool_results: tuple[ToolResult, ...] = ()
    citations: tuple[Citation, ...] = ()
    steps: tuple[Step, ...] = ()
    usage: Usage | None = None
    finish_reason: FinishReason | None = None
    raw_reason: str | None = None
    messages: tuple[Message, ...] = Field(
        default=(), description="The turns to append to the history to go on from here."
    )
    complete: bool = False

    def pprint(self, file: TextIO | None = None) -> None:
        """Print it for people: the object or the text, what tools did, sources, tokens, the end.

        What could drive a terminal is taken out.

        Args:
            file: Where to; standard output when None.

        Example:
            >>> Result(text="Hello", finish_reason="stop", complete=True).pprint()
            Hello
            stop
        """
        from gai_rx.summaries import summary  # few programs print results

        (sys.stdout if file is None else file).write(summary(self))
