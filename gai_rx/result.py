"""What a finished stream amounts to: a `Result`, and how events add up to one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from gai_rx.events import (
    Citation,
    Citations,
    Finish,
    FinishReason,
    ObjectDelta,
    ReasoningDelta,
    RefusalDelta,
    Start,
    StepFinish,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolResult,
    Usage,
)
from gai_rx.request import (
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)

__all__ = ["Result", "ResultBuilder", "Step"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


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
    object: Any = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_results: tuple[ToolResult, ...] = ()
    citations: tuple[Citation, ...] = ()
    steps: tuple[Step, ...] = ()
    usage: Usage | None = None
    finish_reason: FinishReason | None = None
    raw_reason: str | None = None
    messages: tuple[Message, ...] = Field(
        (), description="The turns to append to the history to go on from here."
    )
    complete: bool = False


class _Step:
    """The events of one step, added up."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.blocks: list[tuple[Any, list[StreamEvent]]] = []
        self.calls: list[ToolCall] = []
        self.results: list[ToolResult] = []
        self.usage: Usage | None = None
        self.reason: FinishReason | None = None

    def add_to_block(self, key: Any, event: StreamEvent) -> None:
        if self.blocks and self.blocks[-1][0] == key:
            self.blocks[-1][1].append(event)
        else:
            self.blocks.append((key, [event]))

    def joined(self, kind: type[StreamEvent]) -> str:
        return "".join(e.text for _, block in self.blocks for e in block if isinstance(e, kind))  # type: ignore[attr-defined]  # every kind asked for has a text

    def step(self) -> Step:
        return Step(
            number=self.number,
            text=self.joined(TextDelta),
            tool_calls=tuple(self.calls),
            tool_results=tuple(self.results),
            usage=self.usage,
            finish_reason=self.reason,
        )

    def messages(self) -> Iterable[Message]:
        parts = [part for _, block in self.blocks if (part := _part(block)) is not None]
        if parts:
            yield Message(role="assistant", parts=tuple(parts))
        answers = tuple(
            ToolResultPart(id=r.id, name=r.name, result=r.result, error=r.error)
            for r in self.results
            if not r.provider_executed
        )
        if answers:
            yield Message(role="tool", parts=answers)


def _last(block: list[StreamEvent], name: str) -> Any:
    return next((v for e in reversed(block) if (v := getattr(e, name)) is not None), None)


def _part(block: list[StreamEvent]) -> Part | None:
    """One part of the history from the deltas of one block."""
    first = block[0]
    if isinstance(first, ToolCall):
        if first.provider_executed or first.invalid is not None:
            return None
        return ToolCallPart(
            id=first.id, name=first.name, arguments=first.arguments, signature=first.signature
        )
    text = "".join(e.text for e in block)  # type: ignore[attr-defined]  # delta kinds have a text
    if isinstance(first, ReasoningDelta):
        return ReasoningPart(
            text=text,
            signature=_last(block, "signature"),
            encrypted=_last(block, "encrypted"),
            id=_last(block, "id"),
        )
    if isinstance(first, RefusalDelta):
        return RefusalPart(text=text)
    return TextPart(text=text, signature=_last(block, "signature"))


class ResultBuilder:
    """Adds events up to a `Result`; each event costs its own length.

    A `Start` with `attempt > 1` begins anew from its step on.

    Example:
        >>> builder = ResultBuilder()
        >>> builder.add(TextDelta(text="Hel"))
        >>> builder.add(TextDelta(text="lo"))
        >>> builder.result().text
        'Hello'
    """

    def __init__(self) -> None:
        self._steps: list[_Step] = []
        self._citations: list[Citation] = []
        self._object: Any = None
        self._finish: Finish | None = None

    def add(self, event: StreamEvent) -> None:
        """Take in one event; kinds that a result does not show are passed over."""
        kind = type(event)
        if kind is TextDelta or kind is ReasoningDelta:
            if event.choice == 0:  # type: ignore[attr-defined]  # both kinds have a choice
                self._step(event).add_to_block((kind, event.block), event)  # type: ignore[attr-defined]
        elif (take := self._rules.get(kind)) is not None:
            take(self, event)

    def _step(self, event: StreamEvent) -> _Step:
        steps = self._steps
        if not steps or steps[-1].number != event.step:
            steps.append(_Step(event.step))
        return steps[-1]

    def _start(self, event: Start) -> None:
        if event.attempt > 1:
            self._steps = [s for s in self._steps if s.number < event.step]
            self._citations.clear()
            self._object = self._finish = None

    def _refusal(self, event: RefusalDelta) -> None:
        self._step(event).add_to_block(RefusalDelta, event)

    def _call(self, event: ToolCall) -> None:
        step = self._step(event)
        step.calls.append(event)
        step.add_to_block(("call", event.id), event)

    def _tool_result(self, event: ToolResult) -> None:
        self._step(event).results.append(event)

    def _cite(self, event: Citations) -> None:
        self._citations.extend(event.items)

    def _objects(self, event: ObjectDelta) -> None:
        self._object = event.value

    def _usage(self, event: Usage) -> None:
        self._step(event).usage = event

    def _step_finish(self, event: StepFinish) -> None:
        step = self._step(event)
        step.reason = event.reason
        step.usage = event.usage or step.usage

    def _finished(self, event: Finish) -> None:
        step = self._step(event)
        step.reason = step.reason or event.reason
        step.usage = step.usage or event.usage
        self._finish = event

    _rules: dict[type[StreamEvent], Any] = {  # noqa: RUF012 - filled once, read only
        Start: _start,
        RefusalDelta: _refusal,
        ToolCall: _call,
        ToolResult: _tool_result,
        Citations: _cite,
        ObjectDelta: _objects,
        Usage: _usage,
        StepFinish: _step_finish,
        Finish: _finished,
    }

    def result(self) -> Result:
        """The result so far; building goes on undisturbed."""
        steps, finish = self._steps, self._finish
        return Result(
            text="".join(s.joined(TextDelta) for s in steps),
            reasoning="".join(s.joined(ReasoningDelta) for s in steps),
            refusal="".join(s.joined(RefusalDelta) for s in steps),
            object=self._object,
            tool_calls=tuple(c for s in steps for c in s.calls),
            tool_results=tuple(r for s in steps for r in s.results),
            citations=tuple(self._citations),
            steps=tuple(s.step() for s in steps),
            usage=(finish and finish.usage) or (steps[-1].usage if steps else None),
            finish_reason=finish.reason if finish else None,
            raw_reason=finish.raw_reason if finish else None,
            messages=tuple(m for s in steps for m in s.messages()),
            complete=finish is not None,
        )
