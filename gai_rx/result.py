"""What a finished stream amounts to: a `Result`, and how events add up to one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from io import StringIO
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
    object: Any = None
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


class _Block:
    """Adjacent deltas of one kind and block, as text: the events would take ten times the room."""

    __slots__ = ("call", "encrypted", "id", "kind", "signature", "text", "write")

    def __init__(self, kind: type[StreamEvent], call: ToolCall | None = None) -> None:
        self.kind = kind
        self.call = call
        self.text = StringIO()
        self.write = self.text.write
        self.signature: str | None = None
        self.encrypted: str | None = None
        self.id: str | None = None

    def part(self) -> Part | None:
        """The block as a part of the history."""
        text = self.text.getvalue()
        if self.call is not None:
            call = self.call
            if call.provider_executed or call.invalid is not None:
                return None
            return ToolCallPart(
                id=call.id, name=call.name, arguments=call.arguments, signature=call.signature
            )
        if self.kind is ReasoningDelta:
            return ReasoningPart(
                text=text, signature=self.signature, encrypted=self.encrypted, id=self.id
            )
        if self.kind is RefusalDelta:
            return RefusalPart(text=text)
        return TextPart(text=text, signature=self.signature)


class _Step:
    """The events of one step, added up."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.blocks: list[_Block] = []
        self.calls: list[ToolCall] = []
        self.results: list[ToolResult] = []
        self.citations: list[Citation] = []
        self.usage: Usage | None = None
        self.reason: FinishReason | None = None

    def joined(self, kind: type[StreamEvent]) -> str:
        return "".join(b.text.getvalue() for b in self.blocks if b.kind is kind)

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
        parts = [part for block in self.blocks if (part := block.part()) is not None]
        if parts:
            yield Message(role="assistant", parts=tuple(parts))
        answers = tuple(
            ToolResultPart(id=r.id, name=r.name, result=r.result, error=r.error)
            for r in self.results
            if not r.provider_executed
        )
        if answers:
            yield Message(role="tool", parts=answers)


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
        self._object: Any = None
        self._finish: Finish | None = None
        self._open: tuple[Any, ...] = ()  # kind, step and block that the last delta was of
        self._write: Callable[[str], Any] = StringIO().write

    def add(self, event: StreamEvent) -> None:
        """Take in one event; kinds that a result does not show are passed over."""
        kind = event.__class__
        if kind is TextDelta or kind is ReasoningDelta:
            if event.choice:  # type: ignore[attr-defined]  # both kinds have what is read here
                return
            key = (kind, event.step, event.block)  # type: ignore[attr-defined]
            if key != self._open:
                self._open_block(event, key)
            self._write(event.text)  # type: ignore[attr-defined]
            if event.signature is not None or kind is ReasoningDelta:  # type: ignore[attr-defined]
                self._mark(event)
        elif (take := self._rules.get(kind)) is not None:
            take(self, event)

    def extend(self, events: Iterable[StreamEvent]) -> None:
        """Take in several events; text that goes on in its block takes the short way."""
        kind, step, block = self._open if len(self._open) == 3 else (None, 0, 0)
        write = self._write
        for event in events:
            if event.__class__ is TextDelta and kind is TextDelta:
                values = event.__dict__
                if (
                    values["block"] == block
                    and values["step"] == step
                    and not values["choice"]
                    and values["signature"] is None
                ):
                    write(values["text"])
                    continue
            self.add(event)
            kind, step, block = self._open if len(self._open) == 3 else (None, 0, 0)
            write = self._write

    def _open_block(self, event: StreamEvent, key: tuple[Any, ...]) -> None:
        block = _Block(type(event))
        self._step(event).blocks.append(block)
        self._open, self._write = key, block.write

    def _mark(self, event: Any) -> None:
        block = self._steps[-1].blocks[-1]
        block.signature = event.signature or block.signature
        if block.kind is ReasoningDelta:
            block.encrypted = event.encrypted or block.encrypted
            block.id = event.id or block.id

    def _step(self, event: StreamEvent) -> _Step:
        steps = self._steps
        if not steps or steps[-1].number != event.step:
            steps.append(_Step(event.step))
        return steps[-1]

    def _start(self, event: Start) -> None:
        if event.attempt > 1:
            self._steps = [s for s in self._steps if s.number < event.step]
            self._object = self._finish = None
            self._open = ()

    def _refusal(self, event: RefusalDelta) -> None:
        key = (RefusalDelta, event.step)
        if key != self._open:
            self._open_block(event, key)
        self._write(event.text)

    def _call(self, event: ToolCall) -> None:
        step = self._step(event)
        step.calls.append(event)
        step.blocks.append(_Block(ToolCall, event))
        self._open = ()

    def _tool_result(self, event: ToolResult) -> None:
        self._step(event).results.append(event)

    def _cite(self, event: Citations) -> None:
        self._step(event).citations.extend(event.items)

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
            citations=tuple(c for s in steps for c in s.citations),
            steps=tuple(s.step() for s in steps),
            usage=(finish and finish.usage) or (steps[-1].usage if steps else None),
            finish_reason=finish.reason if finish else None,
            raw_reason=finish.raw_reason if finish else None,
            messages=tuple(m for s in steps for m in s.messages()),
            complete=finish is not None,
        )
