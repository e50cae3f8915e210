"""Structured answers: ask for an object, show it as it comes, and ask again if it does not fit.

    answer                    Start  text  text  text  Usage  Finish
    `object_events`           Start    O     O     O   V Usage  Finish

The text of the answer, or of the arguments where the model is made to call a tool, becomes
`ObjectDelta`s (O); the last one (V) has no text and brings the validated object, once the provider
has said that the answer is complete.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeAlias

from gai_rx.dialects import Dialect, ObjectMode, Quirks
from gai_rx.errors import GaiError, ObjectInvalidError
from gai_rx.events import (
    Finish,
    ObjectDelta,
    RefusalDelta,
    Retry,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
    trusted,
)
from gai_rx.object_reader import ObjectReader
from gai_rx.request import Message, Request, assistant, system, user
from gai_rx.result import ResultBuilder
from gai_rx.schemas import Target
from gai_rx.steps.loop import added_up
from gai_rx.tools import Tool

__all__ = ["Ask", "ObjectPlan", "object_events", "plan_object"]

Ask: TypeAlias = Callable[[Request], AsyncGenerator[Sequence[StreamEvent], None]]
"""Makes one model call: the batches of its events, ending with `Finish`, or its error."""

_MODES = ("native", "tool", "json")
_AS_JSON = (
    "Answer with one JSON object and nothing else: no explanation, no code fence. It must fit this "
    "JSON schema:\n{schema}"
)
_BY_CALLING = "Answer by calling the tool `{name}` once, and with nothing else."
_AGAIN = (
    "That answer can not be used: {error}\n"
    "Answer again: the whole object, corrected, in the same form and nothing else."
)
_CUT = {
    "length": "was cut off at the most tokens that it may have: raise max_tokens",
    "content_filter": "was stopped by the provider's content filter",
    "error": "ended with an error of the provider",
}


@dataclass(frozen=True)
class ObjectPlan:
    """How an object is asked for.

    Attributes:
        target: What it shall be.
        mode: With its schema, as a call of a tool, or as any JSON.
        request: The request.
        repair: How often it is asked for again when it does not fit.
        host: Who is asked, for errors.
        model: Which model, for errors.
    """

    target: Target[Any]
    mode: ObjectMode
    request: Request
    repair: int = 0
    host: str = ""
    model: str = ""


def plan_object(
    request: Request,
    target: Target[Any],
    dialect: Dialect,
    quirks: Quirks,
    model: str,
    *,
    mode: ObjectMode | None = None,
    repair: int = 0,
) -> ObjectPlan:
    """Decide how to ask.

    Raises:
        ValueError: If the request has tools, or the mode or `repair` is none.
    """
    if mode is not None and mode not in _MODES:
        raise ValueError(f"mode is 'native', 'tool', 'json' or None, got {mode!r}")
    if isinstance(repair, bool) or not isinstance(repair, int) or repair < 0:
        raise ValueError(f"repair is how often to ask again, from 0, got {repair!r}")
    if request.tools:
        raise ValueError(
            "a request for an object offers no tools: run them with stream_text first, and ask "
            "for the object with the messages of its result"
        )
    chosen = mode or dialect.object_mode(target.schema, model, quirks)
    asked = _by_tool(request, target, dialect) if chosen == "tool" else _as_text(request, target)
    if chosen == "json":
        schema = json.dumps(target.schema, ensure_ascii=False, default=str)
        asked = _instructed(asked, _AS_JSON.format(schema=schema))
    return ObjectPlan(target, chosen, asked, repair, quirks.provider, model)


def _as_text(request: Request, target: Target[Any]) -> Request:
    return Request.of(request, response_schema=target.schema, response_name=target.name)


def _by_tool(request: Request, target: Target[Any], dialect: Dialect) -> Request:
    tool = Tool(target.name, "Give the answer.", target.schema)
    settings: dict[str, Any] = {"tools": (tool,), "response_schema": None}
    if dialect.forces_tools(request):
        return Request.of(request, **settings, tool_choice=target.name)
    instructed = _instructed(request, _BY_CALLING.format(name=target.name))
    return Request.of(instructed, **settings, tool_choice=None)


def _instructed(request: Request, instruction: str) -> Request:
    """The request with one more thing that the system says, behind what it says first."""
    messages = request.messages
    place = next((i for i, m in enumerate(messages) if m.role != "system"), len(messages))
    told = (*messages[:place], system(instruction), *messages[place:])
    return Request.of(request, messages=told)


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
        self._reader = ObjectReader(plan.target)
        self._attempt = attempt
        self._earlier = earlier
        self._call: str | None = None  # the id of the call that is the answer
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
        elif self._by_tool and kind in (ToolCallDelta, ToolCall):
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
        """Take the first call of the tool for the answer; what else is called, nobody offered."""
        if self._call is None and event.name in ("", self._name):
            self._call = event.id
        if event.id != self._call:
            if isinstance(event, ToolCall) and event.provider_executed:
                out.append(event)
        elif isinstance(event, ToolCallDelta):
            self._read(event.arguments, event, out)
        elif not self._reader.text:  # not every provider sends it in pieces
            arguments = json.dumps(event.arguments, ensure_ascii=False)
            self._read(event.arguments_text or arguments, event, out)

    def _read(self, text: str, event: StreamEvent, out: list[StreamEvent]) -> None:
        piece = self._reader.feed(text)
        if piece:
            out.append(_delta(event, self._reader.value, piece))

    def _finish(self, event: Finish, out: list[StreamEvent]) -> None:
        self.usage = event.usage or self.usage
        self._check_end(event)
        made = self._reader.finish()
        last = ObjectDelta(value=self._reader.value, object=made)
        place = {name: getattr(event, name) for name in ("stream_id", "step", "attempt")}
        out += (_copied(last, **place), *self._waiting)
        used = added_up([*self._earlier, self.usage])
        reason = "stop" if event.reason == "tool_calls" else event.reason
        out.append(_copied(event, usage=used, reason=reason))

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
        if self._by_tool and self._call is None:
            raise _fault(f"the model did not call the tool {self._name!r} to answer")

    def _said(self) -> str:
        return self._reader.text or "".join(self._text)


def _fault(message: str, text: str = "") -> ObjectInvalidError:
    fault = ObjectInvalidError(message)
    fault.text = text
    return fault


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
