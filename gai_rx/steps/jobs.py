"""Jobs: one call of a tool each, and how its function is called."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reactivex import abc

from gai_rx.events import ToolCall
from gai_rx.steps.threads import in_thread
from gai_rx.tools import Tool, ToolContext

__all__ = ["Job", "Place", "called"]


@dataclass(frozen=True)
class Place:
    """Where in a run a call stands."""

    step: int = 0
    attempt: int = 1


class Job:
    """One call from its beginning to its result.

    Attributes:
        call: What the model asked for.
        tool: What runs.
        place: Where in the run the call stands.
        digest: Of the arguments as they were checked.
        context: What the tool may know of the call.
        began: When it was started, on the run's clock.
        done: Nothing more comes of it.
        dropped: Nobody wants what comes of it.
        latest: What it told last of how far it has come, if nobody has taken it yet.
        task: Runs it.
        timer: Ends it when it takes too long.
    """

    __slots__ = (
        "began",
        "call",
        "context",
        "digest",
        "done",
        "dropped",
        "latest",
        "place",
        "task",
        "timer",
        "tool",
    )

    def __init__(
        self, call: ToolCall, tool: Tool, place: Place, digest: str, context: ToolContext
    ) -> None:
        self.call = call
        self.tool = tool
        self.place = place
        self.digest = digest
        self.context = context
        self.began = 0.0
        self.done = False
        self.dropped = False
        self.latest: list[Any] = []
        self.task: asyncio.Task[None] | None = None
        self.timer: abc.DisposableBase | None = None


async def called(tool: Tool, arguments: Mapping[str, Any]) -> Any:
    """What the function of a tool returns; one that is not async runs in a thread of its own."""
    function = tool.function
    assert function is not None
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - of an object that has one
    ):
        return await function(**arguments)
    result = await in_thread(lambda: function(**arguments), f"gai_rx tool {tool.name}")
    return await result if inspect.isawaitable(result) else result
