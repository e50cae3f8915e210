"""One answer of a run: what the loop hears in it, and which of its calls are to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from gai_rx.errors import TruncatedError
from gai_rx.events import (
    Error,
    Finish,
    Start,
    StepFinish,
    StreamEvent,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    Usage,
)
from gai_rx.steps.jobs import Place
from gai_rx.steps.tool_runs import ToolRuns
from gai_rx.tools import Tool
from gai_rx.unvalidated import trusted

__all__ = ["HeardAnswer"]

_MOST_CALLS = 1000  # of one answer; more are a fault or an attack
_LONGEST_EARLY = 64 * 1024  # characters of arguments that may start a tool early
_EARLY_TRIES = 16  # how often they are parsed while they grow


class HeardAnswer:
    """What a run keeps of the answer of one step.

    Args:
        number: The step's.
        tools: The tools that were offered, by name.
        runs: Where eager tools are started.
        first: Whether its `Start` is the run's.
    """

    def __init__(
        self, number: int, tools: Mapping[str, Tool], runs: ToolRuns, *, first: bool
    ) -> None:
        self.number = number
        self.tools = tools
        self.finish: Finish | None = None
        self._runs = runs
        self._first = first
        self._begin(1)

    def _begin(self, attempt: int) -> None:
        self._attempt = attempt
        self._usage: Usage | None = None
        self._calls: list[ToolCall] = []
        self._run_elsewhere: set[str] = set()  # ids of calls whose results the provider told
        self._growing: dict[str, _Growing] = {}

    @property
    def place(self) -> Place:
        """Where its calls stand."""
        return Place(self.number, self._attempt)

    def hear(self, batch: Sequence[StreamEvent]) -> list[StreamEvent]:
        """The events as the run tells them: without `Finish`, and `Start` only where it counts."""
        told: list[StreamEvent] = []
        number, rules = self.number, self._rules
        for event in batch:
            if number:
                event = _at_step(event, number)
            take = rules.get(event.__class__)
            if take is None or take(self, event):
                told.append(event)
        return told

    def _on_start(self, event: Start) -> bool:
        passes = self._first or event.attempt > 1
        self._first = False
        if event.attempt > 1:
            self._runs.discard()
            self._begin(event.attempt)
        return passes

    def _on_finish(self, event: Finish) -> bool:
        self.finish = event
        self._usage = event.usage or self._usage
        return False

    def _on_usage(self, event: Usage) -> bool:
        self._usage = event
        return True

    def _on_call(self, event: ToolCall) -> bool:
        self._calls.append(event)
        return True

    def _on_result(self, event: ToolResult) -> bool:
        self._run_elsewhere.add(event.id)
        return True

    def _on_call_delta(self, event: ToolCallDelta) -> bool:
        """Start an eager tool when its arguments are whole."""
        growing = self._growing.get(event.id) or self._grow(event)
        arguments = growing.add(event.arguments) if growing else None
        if growing is not None and arguments is not None:
            call = ToolCall(id=event.id, name=growing.tool.name, arguments=arguments)
            self._runs.start_early(call, growing.tool, self.place)
        return True

    def _grow(self, event: ToolCallDelta) -> _Growing | None:
        tool = self.tools.get(event.name)
        if tool is None or not tool.eager or tool.function is None:
            return None
        if self._runs.approvals.needed(tool) or len(self._growing) >= _MOST_CALLS:
            return None
        growing = self._growing[event.id] = _Growing(tool)
        return growing

    _rules: dict[type[StreamEvent], Any] = {  # noqa: RUF012 - filled once, read only
        Start: _on_start,
        Finish: _on_finish,
        Usage: _on_usage,
        ToolCall: _on_call,
        ToolResult: _on_result,
        ToolCallDelta: _on_call_delta,
    }

    def calls(self) -> tuple[tuple[ToolCall, ...], list[StreamEvent]]:
        """The calls to run, and an event for each that is one too many.

        Raises:
            TruncatedError: If nobody said that the answer is complete.
        """
        if self.finish is None:
            raise TruncatedError("the answer ended without a Finish; no tool ran", phase="stream")
        if self.finish.reason not in ("stop", "tool_calls"):  # calls may be cut off
            self._runs.discard()
            return (), []
        calls: dict[str, ToolCall] = {}
        faults: list[StreamEvent] = []
        for call in self._calls:
            if call.provider_executed or call.id in self._run_elsewhere:
                continue
            if call.id in calls:
                faults.append(self._fault(call, "another call has its id; it did not run"))
            elif len(calls) >= _MOST_CALLS:
                faults.append(self._fault(call, f"more than {_MOST_CALLS} calls; it did not run"))
            else:
                calls[call.id] = call
        return tuple(calls.values()), faults

    def _fault(self, call: ToolCall, message: str) -> Error:
        place = self.place
        details = {"id": call.id, "name": call.name}
        return Error(
            kind="tool", message=message, details=details, step=place.step, attempt=place.attempt
        )

    def step_finish(self) -> StepFinish:
        """The event that ends the step."""
        assert self.finish is not None  # calls() has looked
        return StepFinish(
            number=self.number,
            reason=self.finish.reason,
            usage=self._usage,
            step=self.number,
            attempt=self._attempt,
        )


class _Growing:
    """The arguments of an eager tool's call, until they are whole."""

    def __init__(self, tool: Tool) -> None:
        self.tool = tool
        self._pieces: list[str] = []
        self._length = 0
        self._tries = _EARLY_TRIES

    def add(self, fragment: str) -> dict[str, Any] | None:
        """The arguments, as soon as they are whole; a few tries, or it would cost too much."""
        self._pieces.append(fragment)
        self._length += len(fragment)
        if not self._tries or self._length > _LONGEST_EARLY or not fragment.rstrip().endswith("}"):
            return None
        self._tries -= 1
        try:
            value = from_json("".join(self._pieces))
        except ValueError:
            return None
        self._tries = 0
        return value if isinstance(value, dict) else None


def _at_step(event: StreamEvent, number: int) -> StreamEvent:
    """The event, told of a step; a copy at a fifth of what pydantic's own costs."""
    fields = event.__pydantic_fields_set__ | {"step"}
    return trusted(type(event), {**event.__dict__, "step": number}, fields)
