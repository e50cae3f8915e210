"""Calls: which tools of a stream run, and in which order they were called and ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from gai_rx.events import (
    Finish,
    Start,
    StepFinish,
    StreamEvent,
    ToolCall,
    ToolProgress,
    ToolResult,
)

__all__ = ["CalledTool", "Calls", "RunningTool"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningTool:
    """A call that has not come to its result.

    Attributes:
        id: The call's; two calls of one tool differ by it.
        name: The tool's.
        arguments: What it was called with.
        step: Which step of the run called it, from 0.
        since: When it was called, in seconds after the subscription.
        begun: Whether it has been told that the tool runs. Until then the call may wait: for its
            answer's end, for an approval, or for room among those that run at once.
        progress: What the tool told last of how far it has come.
        stream_id: Which of several joined streams it is of.
    """

    id: str
    name: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any], hash=False)
    step: int = 0
    since: float = 0.0
    begun: bool = False
    progress: Any = field(default=None, hash=False)
    stream_id: str = ""

    def __str__(self) -> str:
        return self.name


class CalledTool(str):
    """The name of a tool that was called, and which call it was; it equals the name.

    Attributes:
        id: The call's.
        step: Which step of the run called it, from 0.
        stream_id: Which of several joined streams it is of.

    Example:
        >>> called = CalledTool("search", "call_1")
        >>> called, called.id
        ('search', 'call_1')
    """

    __slots__ = ("id", "step", "stream_id")

    id: str
    step: int
    stream_id: str

    def __new__(cls, name: str, id: str, step: int = 0, stream_id: str = "") -> Self:
        """A name that knows its call."""
        called = super().__new__(cls, name)
        called.id, called.step, called.stream_id = id, step, stream_id
        return called

    def __getnewargs__(self) -> tuple[str, str, int, str]:  # type: ignore[override]
        return str(self), self.id, self.step, self.stream_id


class Calls:
    """The calls of one stream, or of several that were joined.

    A call is open from its `ToolCall` to its `ToolResult`. One that nobody answers is closed where
    its step ends. A result or a tool's progress without a call is of one that an earlier run told.

    Args:
        now: The time, in seconds from an arbitrary zero.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._began = now()
        self._open: dict[tuple[str, str], RunningTool] = {}
        self._called: list[CalledTool] = []
        self._ended: list[CalledTool] = []
        self._failed: list[CalledTool] = []

    def take(self, event: object) -> bool:
        """Take in an event; whether it changed anything."""
        rule = self._rules.get(event.__class__)
        return rule is not None and rule(self, event)

    @property
    def elapsed(self) -> float:
        """Seconds since the subscription."""
        return self._now() - self._began

    @property
    def running(self) -> tuple[RunningTool, ...]:
        """The open calls, in the order in which they came."""
        return tuple(self._open.values())

    @property
    def called(self) -> tuple[CalledTool, ...]:
        """All calls, in the order in which they came."""
        return tuple(self._called)

    @property
    def count(self) -> int:
        """How many calls there were."""
        return len(self._called)

    @property
    def ended(self) -> tuple[CalledTool, ...]:
        """The calls that came to a result, in the order of the results."""
        return tuple(self._ended)

    @property
    def failed(self) -> tuple[CalledTool, ...]:
        """Those of them whose result is an error."""
        return tuple(self._failed)

    def close(self, stream_id: str | None = None) -> bool:
        """Nothing more comes, of this stream or of any: its calls are open no more."""
        return self._keep_open(lambda one: stream_id not in (None, one.stream_id))

    def _keep_open(self, keep: Callable[[RunningTool], bool]) -> bool:
        before = len(self._open)
        self._open = {key: one for key, one in self._open.items() if keep(one)}
        return len(self._open) != before

    def _call(self, event: ToolCall | ToolProgress) -> bool:
        key = event.stream_id, event.id
        if key in self._open:
            return False  # another call has its id, and does not run
        self._open[key] = RunningTool(
            id=event.id,
            name=event.name,
            arguments=event.arguments if isinstance(event, ToolCall) else {},
            step=event.step,
            since=self.elapsed,
            stream_id=event.stream_id,
        )
        self._called.append(_named(event))
        return True

    def _progress(self, event: ToolProgress) -> bool:
        self._call(event)
        key = event.stream_id, event.id
        before = self._open[key]
        told = before.progress if event.value is None else event.value
        self._open[key] = replace(before, begun=True, progress=told)
        return True

    def _result(self, event: ToolResult) -> bool:
        before = self._open.pop((event.stream_id, event.id), None)
        named = _named(event if before is None else before)
        if before is None:
            self._called.append(named)
        self._ended.append(named)
        if event.error is not None:
            self._failed.append(named)
        return True

    def _start(self, event: Start) -> bool:
        """An answer that begins anew: what it and those after it called is void."""
        if event.attempt < 2:
            return False
        before = len(self._called)
        for told in self._called, self._ended, self._failed:
            told[:] = [c for c in told if c.stream_id != event.stream_id or c.step < event.step]
        self._keep_open(lambda one: one.stream_id != event.stream_id or one.step < event.step)
        return len(self._called) != before

    def _finish(self, event: StepFinish | Finish) -> bool:
        return self.close(event.stream_id)

    _rules: ClassVar[dict[type[Any], Callable[[Any, Any], bool]]] = {
        ToolCall: _call,
        ToolProgress: _progress,
        ToolResult: _result,
        Start: _start,
        StepFinish: _finish,
        Finish: _finish,
    }


def _named(call: StreamEvent | RunningTool) -> CalledTool:
    name, id = getattr(call, "name", ""), getattr(call, "id", "")
    return CalledTool(name, id, call.step, call.stream_id)
