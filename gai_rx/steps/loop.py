"""Steps: ask, run the tools that the answer asks for, tell the results, ask again.

A run is one stream: one `Start`, the events of every step with the step's number (from 0), a
`StepFinish` a step, one `Finish`. Tools run once an answer has ended safely; a request that fails
is made again, a tool that ran is not.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic import SecretStr
from reactivex import abc

from gai_rx.approving import Approve, check_approve
from gai_rx.errors import BudgetExceededError, GaiError, Matcher
from gai_rx.events import Event, Finish, Start, StreamEvent, ToolCall, Usage
from gai_rx.flow import produce
from gai_rx.operators.retrying import retry_on
from gai_rx.request import Message, Request, ToolCallPart, ToolResultPart
from gai_rx.result_builder import ResultBuilder
from gai_rx.steps.answers import HeardAnswer
from gai_rx.steps.resuming import Resumed, check_resumable, joined, merged, pending_calls
from gai_rx.steps.tool_runs import ToolRuns
from gai_rx.stopping import RunState, Stop, as_condition, no_more_tools
from gai_rx.stream import Stream, clock, seconds
from gai_rx.tools import Tool

__all__ = ["Ask", "PrepareStep", "Retry", "RunSettings", "retrying", "run_steps"]

MOST_STEPS = 100
"""A run that has not ended by then is stopped with `BudgetExceededError`."""

_BAD_NAME = re.compile(r"[^A-Za-z0-9_-]")

Ask: TypeAlias = Callable[[Request], AsyncGenerator[Sequence[StreamEvent], None]]
"""Makes one model call: the batches of its events, ending with `Finish`, or its error."""

PrepareStep: TypeAlias = Callable[
    [RunState], "Mapping[str, Any] | Awaitable[Mapping[str, Any] | None] | None"
]
"""Settings for one step, as `Request` has them; asked before each step."""

When: TypeAlias = Matcher | type[Exception] | Callable[[Exception], bool]
Retry: TypeAlias = When | Sequence[When]


@dataclass(frozen=True)
class RunSettings:
    """How a run goes on from step to step.

    Attributes:
        stop_when: When it has done enough.
        max_parallel: Most tools that run at once.
        prepare_step: Settings for each step; None for those of the request.
        retry: Which failed model calls are made again: what `retry_on` takes, or a `retry_on(...)`
            with settings of its own.
        approve: Who decides about calls.
        resume: The result of a run that stopped, to go on from.
        on_tool_error: Called with each call whose tool raised, and the exception.
        secrets: Keys that must never reach the model.
    """

    stop_when: Stop | None = None
    max_parallel: int = 10
    prepare_step: PrepareStep | None = None
    retry: Retry | None = None
    approve: Approve | None = None
    resume: Resumed | None = None
    on_tool_error: Callable[[ToolCall, BaseException], None] | None = None
    secrets: tuple[SecretStr, ...] = ()


def run_steps(
    ask: Ask, request: Request, settings: RunSettings, *, name: str, begins: Start | None = None
) -> Stream[Event]:
    """A run as a cold stream: each subscription is one run.

    Args:
        ask: Makes one model call.
        request: The first one's request; its tools are those that run.
        settings: How the run goes on.
        name: What the stream is called in `repr`.
        begins: The `Start` of a resumed run, which has no answer to take it from.

    Raises:
        ValueError: At once, for a limit that is none, two tools of one name, or a result that can
            not be resumed.
        TypeError: At once, for what can not decide or prepare.
    """
    stop = as_condition(no_more_tools() if settings.stop_when is None else settings.stop_when)
    if settings.max_parallel < 1:
        raise ValueError(f"max_parallel is at least 1, got {settings.max_parallel}")
    if settings.approve is not None:
        check_approve(settings.approve, "stream_text")
    if settings.resume is not None:
        check_resumable(settings.resume)
    tools_by_name(request.tools)
    retry = None if settings.retry is None else retrying(settings.retry)

    def subscribe(
        observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        def make() -> AsyncGenerator[Sequence[StreamEvent], None]:
            time = clock(None, scheduler)
            asking = ask if retry is None else _retried(ask, retry, time)
            return _Run(asking, request, settings, stop, time, begins or Start()).events()

        return produce(make, name)(observer, scheduler)

    return Stream(subscribe, stages=(name, f"steps({stop!r})"), of_events=True)


def retrying(retry: Retry) -> Callable[[Any], Stream[Any]]:
    """The operator that makes failed requests again.

    Raises:
        TypeError: If something can not be matched with.
    """
    if getattr(retry, "__qualname__", "") == "retry_on":
        made: Any = retry
        return made  # type: ignore[no-any-return]  # an operator, with settings of its own
    return retry_on(*(retry if isinstance(retry, Sequence) else (retry,)))


def _retried(ask: Ask, operator: Callable[[Any], Stream[Any]], time: abc.SchedulerBase) -> Ask:
    """Model calls that are made again when they fail."""

    async def answer(request: Request) -> AsyncGenerator[Sequence[StreamEvent], None]:
        source: Stream[StreamEvent] = Stream(
            produce(lambda: ask(request), "answer"), of_events=True
        )
        asked = operator(source)
        timed: Stream[StreamEvent] = Stream(
            lambda observer, _: asked.subscribe(observer, scheduler=time)
        )
        async with aclosing(timed.__aiter__()) as events:
            async for event in events:
                yield (event,)

    return answer


def tools_by_name(tools: Iterable[Tool]) -> dict[str, Tool]:
    """The tools by what the model calls them.

    Raises:
        ValueError: If two have one name.
    """
    named: dict[str, Tool] = {}
    for tool in tools:
        if tool.name in named:
            raise ValueError(f"two tools are called {tool.name!r}; give one of them another name")
        named[tool.name] = tool
    return named


class _Run:
    """One subscription: its steps, one after the other."""

    def __init__(
        self,
        ask: Ask,
        request: Request,
        settings: RunSettings,
        stop: Callable[[RunState], bool],
        time: abc.SchedulerBase,
        begins: Start,
    ) -> None:
        self._ask = ask
        self._request = request
        self._prepare = settings.prepare_step
        self._stop = stop
        self._time = time
        self._begins = begins
        self._began = seconds(time)
        self._kept = ResultBuilder()
        self._tools = tools_by_name(request.tools)
        self._earlier = joined(settings.resume)
        self._base = (*request.messages, *map(self._sendable, self._earlier.messages))
        self._runs = ToolRuns(
            max_parallel=settings.max_parallel,
            approve=settings.approve,
            clock=time,
            key=request.idempotency_key or "",
            secrets=settings.secrets,
            on_tool_error=settings.on_tool_error,
        )

    async def events(self) -> AsyncGenerator[Sequence[StreamEvent], None]:
        """The batches of the run."""
        try:
            self._runs.approvals.listen(self._request.tools)
            async with aclosing(self._steps()) as batches:
                async for batch in batches:
                    self._kept.extend(batch)
                    yield batch
        except GaiError as error:
            error.partial = self._kept.result()
            error.resume = None  # it would go on with one answer, and without the run
            raise
        finally:
            self._runs.close()

    async def _steps(self) -> AsyncGenerator[Sequence[StreamEvent], None]:
        resumed = bool(self._earlier.steps)
        calls = pending_calls(self._earlier)
        heard = self._heard(self._earlier.steps[-1].number if resumed else 0)
        if resumed:
            heard.finish = Finish(reason="tool_calls")
            yield (self._begins.model_copy(update={"step": heard.number}),)
            async with aclosing(self._runs.results(calls, heard.tools, heard.place)) as results:
                async for batch in results:
                    yield batch
        state = self._state()
        over = bool(calls) and self._over(calls, state)
        while not over:
            request = await self._next(state)
            heard = self._heard(state.next_number, request, first=not state.steps)
            async with aclosing(self._ask(request)) as answer:
                async for batch in answer:
                    yield heard.hear(batch)
            calls, faults = heard.calls()
            yield faults
            async with aclosing(self._runs.results(calls, heard.tools, heard.place)) as results:
                async for batch in results:
                    yield batch
            yield (heard.step_finish(),)
            state = self._state()
            over = self._over(calls, state)
        yield (self._finish(heard),)

    def _heard(
        self, number: int, request: Request | None = None, *, first: bool = False
    ) -> HeardAnswer:
        tools = self._tools if request is None else tools_by_name(request.tools)
        return HeardAnswer(number, tools, self._runs, first=first)

    def _over(self, calls: Sequence[ToolCall], state: RunState) -> bool:
        """Whether the run ends here: nothing to tell the model, or enough done."""
        return not calls or bool(self._runs.undecided) or self._stop(state)

    async def _next(self, state: RunState) -> Request:
        """The request of the next step.

        Raises:
            BudgetExceededError: If there were too many.
        """
        number = state.next_number
        if number >= MOST_STEPS:
            raise BudgetExceededError(
                f"the run has taken {MOST_STEPS} steps and has not ended; give it a stop condition"
            )
        settings: dict[str, Any] = {"messages": state.messages}
        if number:
            settings.update(_later(self._request, number))
        if self._prepare is not None:
            told = self._prepare(state)
            told = await told if inspect.isawaitable(told) else told
            settings.update(told or {})
        request = Request.of(self._request, **settings)
        self._runs.approvals.listen(request.tools)
        return request

    def _state(self) -> RunState:
        kept = self._kept.result()
        steps = merged((*self._earlier.steps, *kept.steps))
        return RunState(
            steps=steps,
            elapsed=seconds(self._time) - self._began,
            usage=Usage.added_up(step.usage for step in steps),
            messages=(*self._base, *map(self._sendable, kept.messages)),
        )

    def _sendable(self, message: Message) -> Message:
        """A message with names that providers take back, where the model made a name up."""
        parts = tuple(
            part.model_copy(update={"name": _BAD_NAME.sub("_", part.name)[:64] or "unknown"})
            if isinstance(part, ToolCallPart | ToolResultPart) and part.name not in self._tools
            else part
            for part in message.parts
        )
        return message.model_copy(update={"parts": parts})

    def _finish(self, heard: HeardAnswer) -> Finish:
        """The end of the run: the last answer's, with the tokens of all of them."""
        assert heard.finish is not None
        metadata = dict(heard.finish.metadata)
        if self._runs.undecided:
            metadata["pending_calls"] = [call.id for call in self._runs.undecided]
        usage = Usage.added_up(step.usage for step in self._kept.result().steps)
        return heard.finish.model_copy(
            update={"usage": usage, "metadata": metadata, "step": heard.number}
        )


def _later(request: Request, number: int) -> dict[str, Any]:
    """What differs in later requests: their names, and that no call is forced any more."""
    changed: dict[str, Any] = {}
    if request.tool_choice not in (None, "auto", "none"):
        changed["tool_choice"] = None
    if request.idempotency_key:
        changed["idempotency_key"] = f"{request.idempotency_key}-{number}"
    if request.request_id:
        changed["request_id"] = f"{request.request_id}-{number}"
    return changed
