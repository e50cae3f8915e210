"""Structured answers: ask for an object, show it as it comes, and ask again if it does not fit.

    answer                    Start  text  text  text  Usage  Finish
    `object_events`           Start    O     O     O   V Usage  Finish

The text of the answer, or of the arguments where the model is made to call a tool, becomes
`ObjectDelta`s (O); the last one (V) has no text and brings the validated object, once the provider
has said that the answer is complete.

With tools it is a run of several steps, whose last answer is the object. Each answer is either: one
that calls tools, which `gai_rx.steps` runs, or the object.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from gai_rx.errors import GaiError, ObjectInvalidError
from gai_rx.events import (
    Error,
    Finish,
    ObjectDelta,
    RefusalDelta,
    Retry,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from gai_rx.object_plans import ObjectPlan, plan_object
from gai_rx.object_reader import ObjectReader
from gai_rx.request import Message, Request, assistant, user
from gai_rx.result_builder import ResultBuilder
from gai_rx.steps import Ask
from gai_rx.unvalidated import trusted

__all__ = ["ObjectPlan", "object_events", "object_steps", "plan_object"]

_AGAIN = (
    "That answer can not be used: {error}\n"
    "Answer again: the whole object, corrected, in the same form and nothing else."
)
_CUT = {
    "length": "was cut off at the most tokens that it may have: raise max_tokens",
    "content_filter": "was stopped by the provider's content filter",
    "error": "ended with an error of the provider",
}


def object_steps(ask: Ask, plan: ObjectPlan) -> Ask:
    """The model calls of a run whose last answer is the object."""
    return lambda request: object_events(ask, plan.asking(request))


async def object_events(ask: Ask, plan: ObjectPlan) -> AsyncGenerator[Sequence[StreamEvent], None]:
    """The events of the answer, and of those that are asked for when it does not fit.

    Each answer counts as an attempt: a `Retry` event, with the error, comes before the next, whose
    events have the next `attempt`. `Usage` is that of its own attempt, the usage of `Finish` the
    sum of all.

    Raises:
        ObjectInvalidError: If the last answer does not fit either; of the earlier ones tells
            `attempts`.
    """
    kept = ResultBuilder()
    usages: list[Usage | None] = []
    earlier: list[Exception] = []
    request = plan.request
    while True:
        heard = _Heard(plan, len(earlier) + 1, usages)
        try:
            async with aclosing(ask(request)) as answer:
                async for batch in answer:
                    events = heard.hear(batch)
                    kept.extend(events)
                    yield events
                    if heard.fault is not None:
                        break
        except GaiError as error:
            error.resume = None  # it would go on with the text, of which half is read
            _tell(error, kept, earlier)
            raise
        fault = heard.fault
        if fault is None:
            return
        fault.provider, fault.model, fault.phase = plan.host, plan.model, "decode"
        if not heard.is_worth_repair or len(earlier) >= plan.repair:
            _tell(fault, kept, earlier)
            raise fault
        usages.append(heard.usage)
        earlier.append(fault)
        attempt = len(earlier) + 1
        yield (Retry(attempt=attempt, delay=0.0, error=str(fault), kind=fault.kind),)
        request = _repairing(plan.request, fault, attempt)


def _tell(error: GaiError, kept: ResultBuilder, earlier: Sequence[Exception]) -> None:
    """Give an error what had come, and the errors before it."""
    error.partial = kept.result()
    if earlier:
        error.attempts = (*earlier, *error.attempts)
        error.add_note(f"gai_rx asked {len(earlier) + 1} times; earlier: {earlier[-1]}")


def _repairing(request: Request, fault: ObjectInvalidError, attempt: int) -> Request:
    """The request with the answer that does not fit, and what is wrong with it."""
    said: tuple[Message, ...] = (assistant(fault.text),) if fault.text.strip() else ()
    settings: dict[str, Any] = {
        "messages": (*request.messages, *said, user(_AGAIN.format(error=fault)))
    }
    for name in ("idempotency_key", "request_id"):
        if (given := getattr(request, name)) is not None:
            settings[name] = f"{given}-{attempt}"
    return Request.of(request, **settings)


class _Heard:
    """One answer.

    Attributes:
        fault: What is wrong with it.
        is_worth_repair: Whether another answer may be better.
        usage: What it has used, as far as was told.
    """

    def __init__(self, plan: ObjectPlan, attempt: int, earlier: Sequence[Usage | None]) -> None:
        self.fault: ObjectInvalidError | None = None
        self.is_worth_repair = True
        self.usage: Usage | None = None
        self._by_tool = plan.mode == "tool"
        self._name = plan.target.name
        self._tools = plan.tools
        self._reader = ObjectReader(plan.target)
        self._attempt = attempt
        self._earlier = earlier
        self._call: str | None = None  # the id of the call that is the answer
        self._calls: list[ToolCall] = []  # of the tools that may be called before it
        self._waiting: list[StreamEvent] = []  # usage, which stands behind the object
        self._refusal: list[str] = []
        self._text: list[str] = []  # what was said beside the call

    def hear(self, batch: Sequence[StreamEvent]) -> list[StreamEvent]:
        """The events of the object, of a batch of the answer's; up to a fault, if there is one."""
        out: list[StreamEvent] = []
        for event in batch:
            if self._attempt > 1:
                event = _copied(event, attempt=self._attempt)
            try:
                self._take(event, out)
            except ObjectInvalidError as fault:
                fault.text = fault.text or self._said()
                self.fault = fault
                return [*out, *self._waiting]
        return out

    def _take(self, event: StreamEvent, out: list[StreamEvent]) -> None:
        kind = event.__class__
        if kind is TextDelta:
            self._take_text(event, out)
        elif kind is ToolCallDelta or kind is ToolCall:
            self._take_call(event, out)
        elif isinstance(event, Finish):
            self._finish(event, out)
        elif isinstance(event, Usage):
            self.usage = event
            self._waiting.append(event)
        else:
            if isinstance(event, RefusalDelta):
                self._refusal.append(event.text)
            out.append(event)

    def _take_text(self, event: Any, out: list[StreamEvent]) -> None:
        if not self._by_tool and not event.choice:
            self._read(event.text, event, out)
            return
        if not event.choice:
            self._text.append(event.text)
        out.append(event)

    def _take_call(self, event: Any, out: list[StreamEvent]) -> None:
        """Take the first call of the object's tool for the answer."""
        if self._by_tool and self._call is None and self._is_answer(event):
            self._call = event.id
        if event.id != self._call:
            self._take_other(event, out)
        elif isinstance(event, ToolCallDelta):
            self._read(event.arguments, event, out)
        elif not self._reader.text:  # not every provider sends it in pieces
            arguments = json.dumps(event.arguments, ensure_ascii=False)
            self._read(event.arguments_text or arguments, event, out)

    def _is_answer(self, event: Any) -> bool:
        return event.name == self._name or not (event.name or self._tools)

    def _take_other(self, event: Any, out: list[StreamEvent]) -> None:
        """Keep a call until it is clear what the answer is; where none is offered, it is idle."""
        if isinstance(event, ToolCall) and event.provider_executed:
            out.append(event)
        elif self._by_tool and (event.name == self._name or not self._tools):
            return
        elif isinstance(event, ToolCall) and self._tools:
            self._calls.append(event)
        else:
            out.append(event)

    def _read(self, text: str, event: StreamEvent, out: list[StreamEvent]) -> None:
        piece = self._reader.feed(text)
        if piece:
            out.append(_delta(event, self._reader.value, piece))

    def _finish(self, event: Finish, out: list[StreamEvent]) -> None:
        self.usage = event.usage or self.usage
        self._check_end(event)
        used = Usage.added_up([*self._earlier, self.usage])
        if self._calls and self._call is None and event.reason in ("stop", "tool_calls"):
            out += (*self._aside(event), *self._calls, *self._waiting)
            out.append(_copied(event, usage=used, reason="tool_calls"))
            return
        if self._by_tool and self._call is None:
            raise _fault(f"the model did not call the tool {self._name!r} to answer")
        made = self._reader.finish()
        last = ObjectDelta(value=self._reader.value, object=made)
        out += (_copied(last, **_place(event)), *map(_not_run, self._calls), *self._waiting)
        reason = "stop" if event.reason == "tool_calls" else event.reason
        out.append(_copied(event, usage=used, reason=reason))

    def _aside(self, event: Finish) -> list[StreamEvent]:
        """What was said before calls, and was read as if it could be the object."""
        said = self._reader.text
        if not said.strip() or self._reader.value is not None:
            return []
        return [TextDelta(text=said, **_place(event))]

    def _check_end(self, event: Finish) -> None:
        """Refuse an answer that is not complete, or no answer.

        Raises:
            ObjectInvalidError: If it is one.
        """
        refused = "".join(self._refusal)
        if refused or event.reason == "refusal":
            self.is_worth_repair = False
            raise _fault(f"the model refuses: {(refused or self._said())[:200]!r}", refused)
        if event.reason in _CUT:
            self.is_worth_repair = False
            raise _fault(f"the answer {_CUT[event.reason]}")

    def _said(self) -> str:
        return self._reader.text or "".join(self._text)


def _fault(message: str, text: str = "") -> ObjectInvalidError:
    fault = ObjectInvalidError(message)
    fault.text = text
    return fault


def _place(event: StreamEvent) -> dict[str, Any]:
    return {name: getattr(event, name) for name in ("stream_id", "step", "attempt")}


def _not_run(call: ToolCall) -> Error:
    message = "the model called a tool and gave its answer at once; the tool did not run"
    details = {"id": call.id, "name": call.name}
    return Error(kind="tool", message=message, details=details, **_place(call))


def _copied(event: StreamEvent, **changed: Any) -> StreamEvent:
    values = {**event.__dict__, **changed}
    return trusted(event.__class__, values, event.__pydantic_fields_set__ | changed.keys())


_FIELDS = {"value", "text"}


def _delta(event: StreamEvent, value: Any, text: str) -> ObjectDelta:
    """`ObjectDelta(...)`, in the place of another event: not validated."""
    values: Mapping[str, Any] = event.__dict__
    return trusted(
        ObjectDelta,
        {
            "stream_id": values["stream_id"],
            "step": values["step"],
            "attempt": values["attempt"],
            "metadata": values["metadata"],
            "type": "object_delta",
            "value": value,
            "text": text,
            "object": None,
        },
        _FIELDS,
    )
