"""Tooling: which tools run, in which order they were called, and how far a workflow has come."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from reactivex import Observable, abc

from gai_rx.calls import CalledTool, Calls, RunningTool
from gai_rx.events import (
    Error,
    Finish,
    FinishReason,
    Raw,
    Retry,
    Start,
    StreamEvent,
    ToolProgress,
)
from gai_rx.operators._attempts import Below
from gai_rx.operators._outlet import finish
from gai_rx.stream import Operator, clock, lift, seconds

__all__ = [
    "CalledTool",
    "RunningTool",
    "WorkflowProgress",
    "tool_order",
    "tools_running",
    "workflow_progress",
]


def tools_running(
    *, progress: bool = False, scheduler: abc.SchedulerBase | None = None
) -> Operator[object, tuple[RunningTool, ...]]:
    """Emit the tools that run, each time that one is called or ends.

        source           -C-D-c-d-F|
        tools_running()  -x-y-z-e--|      x = (C,), y = (C, D), z = (D,), e = ()

    A tool counts from its call on, until its result comes. Two calls of one tool are two, told
    apart by the call's id. A call that nobody runs counts until its step ends. When a stream begins
    anew, the calls of what is void count no more. Before an error nothing is emitted: the last
    tuple has those that ran then.

    Args:
        progress: Emit as well when a tool begins to run, and when it tells how far it has come;
            else that is seen at the next change.
        scheduler: The clock that `since` is told by; the subscriber's when None.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream, ToolCall, ToolResult
        >>> events = rx.of(
        ...     ToolCall(id="1", name="search"),
        ...     ToolCall(id="2", name="search"),
        ...     ToolResult(id="1", name="search", result="found"),
        ... )
        >>> for running in Stream.of(events).pipe(tools_running()):
        ...     print([f"{tool} {tool.id}" for tool in running])
        ['search 1']
        ['search 1', 'search 2']
        ['search 2']
        []
    """

    def subscribe(
        source: Observable[Any],
        observer: abc.ObserverBase[tuple[RunningTool, ...]],
        given: abc.SchedulerBase | None,
    ) -> abc.DisposableBase:
        calls = Calls(partial(seconds, clock(scheduler, given)))
        told: list[str] = []

        def on_next(event: Any) -> None:
            if not calls.take(event):
                return
            running = calls.running
            ids = [f"{one.stream_id}/{one.id}" for one in running]
            if ids != told or (progress and isinstance(event, ToolProgress)):
                told[:] = ids
                observer.on_next(running)

        def on_completed() -> None:
            finish(observer, [()] if calls.close() else [])

        return source.subscribe(on_next, observer.on_error, on_completed, scheduler=given)

    return lift(f"tools_running({'progress=True' if progress else ''})", subscribe)


def tool_order() -> Operator[object, tuple[CalledTool, ...]]:
    """Emit the names of the tools in the order in which they were called, longer with each call.

        source        -C-D-c-d-F|
        tool_order()  -x-y------|      x = ("C",), y = ("C", "D")

    The last tuple is the whole order; where no tool was called it is `()`, at the end. Each name
    knows the `id` of its call. When a stream begins anew, the calls of what is void leave it.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream, ToolCall
        >>> calls = rx.of(ToolCall(id="1", name="search"), ToolCall(id="2", name="report"))
        >>> Stream.of(calls).pipe(tool_order()).run()
        ('search', 'report')
    """

    def subscribe(
        source: Observable[Any],
        observer: abc.ObserverBase[tuple[CalledTool, ...]],
        given: abc.SchedulerBase | None,
    ) -> abc.DisposableBase:
        calls = Calls(lambda: 0.0)
        told: tuple[CalledTool, ...] = ()

        def on_next(event: Any) -> None:
            nonlocal told
            if calls.take(event) and calls.count != len(told):
                told = calls.called
                observer.on_next(told)

        def on_completed() -> None:
            finish(observer, [] if told else [()])

        return source.subscribe(on_next, observer.on_error, on_completed, scheduler=given)

    return lift("tool_order()", subscribe)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowProgress:
    """How far a run of several steps has come.

    Attributes:
        step: The step that it is at, from 0.
        steps: Steps that have begun.
        calls: Tools that were called so far; a tool that was called twice counts twice.
        completed: Names of the tools that have ended, in the order in which they ended.
        failed: Those of them that ended with an error.
        running: Those that run.
        fraction: How much of what was called has ended, from 0 to 1. It sinks when a tool is
            called: nobody knows how many more will be. Where none was called it is 1 at the end.
        elapsed: Seconds since the subscription.
        done: Whether the stream has ended.
        finish_reason: Why the run ended; None before, and if it failed.
    """

    step: int = 0
    steps: int = 0
    calls: int = 0
    completed: tuple[CalledTool, ...] = ()
    failed: tuple[CalledTool, ...] = ()
    running: tuple[RunningTool, ...] = ()
    fraction: float = 0.0
    elapsed: float = 0.0
    done: bool = False
    finish_reason: FinishReason | None = None

    @property
    def tools_used(self) -> tuple[str, ...]:
        """The tools that have ended at least once, each named once."""
        return tuple(dict.fromkeys(map(str, self.completed)))

    def __str__(self) -> str:
        """One line for people."""
        tools = f"{len(self.completed)} of {self.calls} tools ({self.fraction:.0%})"
        if self.done:
            used = ", ".join(self.tools_used) or "none"
            end = "" if self.finish_reason else "not finished, "
            return f"{end}{self.elapsed:.1f} s, {self.steps} steps, {tools}, tools used: {used}"
        names = ", ".join(map(str, self.running))
        running = f", running: {names}" if names else ""
        return f"step {self.step + 1}, {tools}{running}, {self.elapsed:.1f} s"


def workflow_progress(
    *, scheduler: abc.SchedulerBase | None = None
) -> Operator[object, WorkflowProgress]:
    """Emit how far a run of several steps has come, whenever it comes further.

        source               -S-C-c-a-F|
        workflow_progress()  -s-x-y----(z|)      x: 0 of 1 tools, y: 1 of 1, z: done

    It comes further when a step begins, a tool is called, begins to run or ends. The last one, with
    `done`, comes at the end, and before an error too: it has the whole time, the steps, and the
    tools used. When a stream begins anew, what is void counts no more.

    Args:
        scheduler: The clock; the subscriber's when None.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Finish, Start, Stream, ToolCall, ToolResult
        >>> call, result = ToolCall(id="1", name="search"), ToolResult(id="1", name="search")
        >>> run = Stream.of(rx.of(Start(), call, result, Finish(reason="stop")))
        >>> for told in run.pipe(workflow_progress()):
        ...     print(told.step, told.calls, told.completed, f"{told.fraction:.0%}", told.done)
        0 0 () 0% False
        0 1 () 0% False
        0 1 ('search',) 100% False
        0 1 ('search',) 100% True
    """

    def subscribe(
        source: Observable[Any],
        observer: abc.ObserverBase[WorkflowProgress],
        given: abc.SchedulerBase | None,
    ) -> abc.DisposableBase:
        workflow = _Workflow(Calls(partial(seconds, clock(scheduler, given))))
        below = Below(observer)

        def on_next(event: Any) -> None:
            if workflow.take(event):
                below.on_next(workflow.progress())

        def on_error(error: Exception) -> None:
            if below.has_raised(error):  # nobody is left who would take an item
                observer.on_error(error)
                return
            workflow.end(failed=True)
            finish(observer, [workflow.progress()], error)

        def on_completed() -> None:
            workflow.end()
            finish(observer, [workflow.progress()])

        return source.subscribe(on_next, on_error, on_completed, scheduler=given)

    return lift("workflow_progress()", subscribe)


class _Workflow:
    """The steps of one subscription, and the calls in them."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._steps: set[tuple[str, int]] = set()
        self._step = 0
        self._finishes: dict[str, Finish] = {}
        self._done = self._failed = False

    def take(self, event: Any) -> bool:
        """Take in an event; whether the run has come further by it."""
        if not isinstance(event, StreamEvent):
            return False
        changed = self._calls.take(event)
        if isinstance(event, Start):
            self._rewind(event)
            changed = True
        elif isinstance(event, Finish):
            self._finishes[event.stream_id] = event
            changed = False  # the end is told when it comes
        return self._begins(event) or changed

    def _begins(self, event: StreamEvent) -> bool:
        """Whether the event is the first of its step."""
        place = event.stream_id, event.step
        if place in self._steps or isinstance(event, _BETWEEN):
            return False
        self._steps.add(place)
        self._step = event.step
        return True

    def _rewind(self, start: Start) -> None:
        if start.attempt > 1:
            self._steps = {p for p in self._steps if p[0] != start.stream_id or p[1] < start.step}
            self._finishes.pop(start.stream_id, None)

    def end(self, *, failed: bool = False) -> None:
        """The stream has ended."""
        self._calls.close()
        self._done, self._failed = True, failed

    def progress(self) -> WorkflowProgress:
        """How far it has come."""
        calls, completed = self._calls.count, self._calls.ended
        finishes = () if self._failed else tuple(self._finishes.values())
        reason = finishes[-1].reason if self._done and finishes else None
        return WorkflowProgress(
            step=self._step,
            steps=len(self._steps),
            calls=calls,
            completed=completed,
            failed=self._calls.failed,
            running=self._calls.running,
            fraction=len(completed) / calls if calls else float(reason is not None),
            elapsed=self._calls.elapsed,
            done=self._done,
            finish_reason=reason,
        )


_BETWEEN = (Retry, Error, Raw)
"""Kinds of events that may come between two answers, and are of no step."""
