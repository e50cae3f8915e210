"""How the events of a stream add up to its `Result`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from io import StringIO
from typing import Any, ClassVar, TypeAlias

from gai_rx.events import (
    Citation,
    Citations,
    Error,
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
    ProviderPart,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from gai_rx.result import Result, Step

__all__ = ["ResultBuilder"]

_Open: TypeAlias = tuple[type[StreamEvent] | None, str, int, int]
"""The block that the last delta was of: its kind, stream, step and number."""
_NONE_OPEN: _Open = (None, "", 0, 0)


def _to_no_block(text: str) -> None:
    raise AssertionError("no block is open")


class _Block:
    """Adjacent deltas of one kind and block, as text: the events would take ten times the room."""

    __slots__ = ("encrypted", "id", "kind", "signature", "text", "told", "write")

    def __init__(self, kind: type[StreamEvent], told: ToolCall | ToolResult | None = None) -> None:
        self.kind = kind
        self.told = told
        self.text = StringIO()
        self.write = self.text.write
        self.signature: str | None = None
        self.encrypted: str | None = None
        self.id: str | None = None

    def part(self, answered: Mapping[str, int]) -> Part | None:
        """The block as a part of the history; a call that can not run only with its error."""
        text, call = self.text.getvalue(), self.told
        if call is not None and call.provider_executed:
            return _provider_part(call)
        if isinstance(call, ToolCall):
            if call.invalid is not None and call.id not in answered:
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


def _provider_part(told: ToolCall | ToolResult) -> ProviderPart | None:
    """What the provider wants back of a call that it ran; the decoder has kept what no field has.

    The block's largest member is the event's own value, and not kept twice.
    """
    kept = told.metadata.get("provider_block")
    if kept is None:
        return None
    value = told.arguments if isinstance(told, ToolCall) else told.result
    holds = kept["holds"]
    block = {**kept["block"], holds: value} if holds else kept["block"]
    return ProviderPart(dialect=kept["dialect"], id=told.id, block=block)


class _Step:
    """The events of one step, added up."""

    __slots__ = ("blocks", "calls", "citations", "number", "reason", "results", "usage")

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
        results = [r for r in self.results if not r.provider_executed]
        answered = {r.id: 0 for r in results}
        blocks = _once(self.blocks)
        parts = [part for block in blocks if (part := block.part(answered)) is not None]
        if parts:
            yield Message(role="assistant", parts=tuple(parts))
        # In the calls' order: a provider without ids goes by it.
        answered.update({c.id: place for place, c in enumerate(self.calls) if c.id in answered})
        answers = tuple(
            ToolResultPart(id=r.id, name=r.name, result=r.result, error=r.error)
            for r in sorted(results, key=lambda r: answered[r.id])
        )
        if answers:
            yield Message(role="tool", parts=answers)


def _once(blocks: Iterable[_Block]) -> Iterator[_Block]:
    """The blocks, of several calls with one id the first: no provider takes two of them back."""
    seen: set[str] = set()
    for block in blocks:
        call = block.told if isinstance(block.told, ToolCall) else None
        if call is None or call.id not in seen:
            yield block
        if call is not None:
            seen.add(call.id)


class _Answer:
    """The events of one stream, added up."""

    __slots__ = ("finish", "object", "open", "partial", "steps", "write")

    def __init__(self) -> None:
        self.steps: list[_Step] = []
        self.object: Any = None
        self.partial: ObjectDelta | None = None
        self.finish: Finish | None = None
        self.open = _NONE_OPEN
        self.write: Callable[[str], Any] = _to_no_block

    def go_on(self, event: Any, key: _Open) -> None:
        """Go on with the block that a delta belongs to; open it if it is another one."""
        if key != self.open:
            block = _Block(type(event))
            self._step(event).blocks.append(block)
            self.open, self.write = key, block.write

    def mark(self, event: Any) -> None:
        """Keep what a delta has besides its text."""
        block = self.steps[-1].blocks[-1]
        block.signature = event.signature or block.signature
        if block.kind is ReasoningDelta:
            block.encrypted = event.encrypted or block.encrypted
            block.id = event.id or block.id

    def usage(self) -> Usage | None:
        """The whole stream's, or what its last step has told."""
        if self.finish is not None and self.finish.usage is not None:
            return self.finish.usage
        return self.steps[-1].usage if self.steps else None

    def so_far(self) -> Any:
        """The object; a copy of what there is of it, while it is not complete."""
        return self.object if self.partial is None else self.partial.snapshot()

    def _step(self, event: StreamEvent) -> _Step:
        steps = self.steps
        if not steps or steps[-1].number != event.step:
            steps.append(_Step(event.step))
        return steps[-1]

    def _start(self, event: Start) -> None:
        if event.attempt > 1:
            self.steps = [s for s in self.steps if s.number < event.step]
            self.object = self.partial = self.finish = None
            self.open = _NONE_OPEN

    def _refusal(self, event: RefusalDelta) -> None:
        self.go_on(event, (RefusalDelta, event.stream_id, event.step, 0))
        self.write(event.text)

    def _call(self, event: ToolCall) -> None:
        step = self._step(event)
        step.calls.append(event)
        step.blocks.append(_Block(ToolCall, event))
        self.open = _NONE_OPEN

    def _tool_result(self, event: ToolResult) -> None:
        step = self._step(event)
        step.results.append(event)
        if event.provider_executed:  # it stands where it came, unlike the caller's own results
            step.blocks.append(_Block(ToolResult, event))
            self.open = _NONE_OPEN

    def _cite(self, event: Citations) -> None:
        self._step(event).citations.extend(event.items)

    def _objects(self, event: ObjectDelta) -> None:
        if event.text:
            self.go_on(event, (ObjectDelta, event.stream_id, event.step, 0))
            self.write(event.text)
        if "object" in event.model_fields_set:
            self.object, self.partial = event.object, None
        else:
            self.partial = event

    def _usage(self, event: Usage) -> None:
        self._step(event).usage = event

    def _step_finish(self, event: StepFinish) -> None:
        step = self._step(event)
        step.reason = event.reason
        step.usage = event.usage or step.usage

    def _finished(self, event: Finish) -> None:
        step = self._step(event)
        if step.reason is None:  # else it was a run of steps, whose usage is that of all of them
            step.reason, step.usage = event.reason, step.usage or event.usage
        self.finish = event

    def _failed(self, event: Error) -> None:
        """Nothing is kept of it, but that there is such a stream, which has not finished."""

    rules: ClassVar[dict[type[StreamEvent], Any]] = {
        Start: _start,
        RefusalDelta: _refusal,
        ToolCall: _call,
        ToolResult: _tool_result,
        Citations: _cite,
        ObjectDelta: _objects,
        Usage: _usage,
        StepFinish: _step_finish,
        Finish: _finished,
        Error: _failed,
    }


class ResultBuilder:
    """Adds events up to a `Result`; each event costs its own length.

    A `Start` with `attempt > 1` begins its stream anew, from its step on.

    Streams that were joined (`multiplex`) are kept apart by their `stream_id`. The result has their
    texts, steps and messages one after the other, in the order in which the streams began; usage
    is added up; object and finish reason are those of the last stream that has one; and it is
    complete when each stream has finished.

    Example:
        >>> builder = ResultBuilder()
        >>> builder.add(TextDelta(text="Hel"))
        >>> builder.add(TextDelta(text="lo"))
        >>> builder.result().text
        'Hello'
    """

    __slots__ = ("_answers", "_open", "_write")

    def __init__(self) -> None:
        self._answers: dict[str, _Answer] = {}
        # The block that the last delta was of, and what takes its text.
        self._open = _NONE_OPEN
        self._write: Callable[[str], Any] = _to_no_block

    def add(self, event: StreamEvent) -> None:
        """Take in one event; kinds that a result does not show are passed over.

        Raises:
            TypeError: If it is no event.
        """
        kind = type(event)
        if kind is TextDelta or kind is ReasoningDelta:
            values = event.__dict__
            if values["choice"]:
                return
            key: _Open = (kind, values["stream_id"], values["step"], values["block"])
            if key != self._open:
                answer = self._answer(event)
                answer.go_on(event, key)
                self._open, self._write = key, answer.write
            self._write(values["text"])
            if values["signature"] is not None or kind is ReasoningDelta:
                self._answers[event.stream_id].mark(event)
        elif (take := _Answer.rules.get(kind)) is not None:
            answer = self._answer(event)
            take(answer, event)
            self._open, self._write = answer.open, answer.write
        elif not isinstance(event, StreamEvent):
            raise TypeError(
                f"a result is added up from events, and this is of type {kind.__name__}: put "
                "text_only() and the like below collect(), or join its text yourself"
            )

    def extend(self, events: Iterable[StreamEvent]) -> None:
        """Take in several events; text that goes on in its block takes the short way."""
        kind, stream_id, step, block = self._open
        write = self._write
        for event in events:
            # Text, and of the block that is open: `kind` is the class that the block is of. `is`
            # is quicker than `==`; where it misses, `add` looks closer.
            if type(event) is kind is TextDelta:
                values = event.__dict__
                if (
                    values["block"] is block
                    and values["step"] is step
                    and values["stream_id"] is stream_id
                    and not values["choice"]
                    and values["signature"] is None
                ):
                    write(values["text"])
                    continue
            self.add(event)
            kind, stream_id, step, block = self._open
            write = self._write

    def _answer(self, event: StreamEvent) -> _Answer:
        answer = self._answers.get(event.stream_id)
        if answer is None:
            answer = self._answers[event.stream_id] = _Answer()
        return answer

    def result(self) -> Result:
        """The result so far; building goes on undisturbed."""
        answers = self._answers.values()
        steps = [s for a in answers for s in a.steps]
        finishes = [a.finish for a in answers if a.finish is not None]
        finish = finishes[-1] if finishes else None
        return Result(
            text="".join(s.joined(TextDelta) for s in steps),
            reasoning="".join(s.joined(ReasoningDelta) for s in steps),
            refusal="".join(s.joined(RefusalDelta) for s in steps),
            object=next((o for a in reversed(answers) if (o := a.so_far()) is not None), None),
            tool_calls=tuple(c for s in steps for c in s.calls),
            tool_results=tuple(r for s in steps for r in s.results),
            citations=tuple(c for s in steps for c in s.citations),
            steps=tuple(s.step() for s in steps),
            usage=Usage.added_up(a.usage() for a in answers),
            finish_reason=finish.reason if finish else None,
            raw_reason=finish.raw_reason if finish else None,
            messages=tuple(m for s in steps for m in s.messages()),
            complete=finish is not None and len(finishes) == len(answers),
        )
