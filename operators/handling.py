"""Handling: a function for each kind of event, beside the stream."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypedDict, TypeVar, Unpack

from reactivex import Observable, abc

from gai_rx.events import (
    AudioDelta,
    Citations,
    Error,
    EventType,
    File,
    Finish,
    ObjectDelta,
    Raw,
    ReasoningDelta,
    RefusalDelta,
    Retry,
    Safety,
    Start,
    StepFinish,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolProgress,
    ToolResult,
    Usage,
)
from gai_rx.stream import Stream, lift

__all__ = ["Handlers", "on"]

T = TypeVar("T")


class Handlers(TypedDict, total=False):
    """What `on` takes: a function for each kind of event, by its `type` or by a short name."""

    start: Callable[[Start], Any]
    text: Callable[[TextDelta], Any]
    text_delta: Callable[[TextDelta], Any]
    reasoning: Callable[[ReasoningDelta], Any]
    reasoning_delta: Callable[[ReasoningDelta], Any]
    refusal: Callable[[RefusalDelta], Any]
    refusal_delta: Callable[[RefusalDelta], Any]
    audio: Callable[[AudioDelta], Any]
    audio_delta: Callable[[AudioDelta], Any]
    file: Callable[[File], Any]
    object: Callable[[ObjectDelta], Any]
    object_delta: Callable[[ObjectDelta], Any]
    tool_call: Callable[[ToolCall], Any]
    tool_call_delta: Callable[[ToolCallDelta], Any]
    tool_progress: Callable[[ToolProgress], Any]
    tool_result: Callable[[ToolResult], Any]
    citations: Callable[[Citations], Any]
    safety: Callable[[Safety], Any]
    usage: Callable[[Usage], Any]
    step_finish: Callable[[StepFinish], Any]
    retry: Callable[[Retry], Any]
    error: Callable[[Error], Any]
    finish: Callable[[Finish], Any]
    raw: Callable[[Raw], Any]


_SHORT = {
    "text": EventType.TEXT_DELTA,
    "reasoning": EventType.REASONING_DELTA,
    "refusal": EventType.REFUSAL_DELTA,
    "audio": EventType.AUDIO_DELTA,
    "object": EventType.OBJECT_DELTA,
}


def on(**handlers: Unpack[Handlers]) -> Callable[[Observable[T]], Stream[T]]:
    """Call a function for each event of a kind, before the event goes on unchanged.

        source                 -S-a-C-b-F|
        on(text=f, finish=g)   -S-a-C-b-F|      f(a), f(b), g(F)

    The names are those of `EventType`, and `text`, `reasoning`, `refusal`, `audio` and `object` for
    their deltas. Each function gets the event; what it returns is ignored, and what it raises ends
    the stream. Nothing is called for kinds without a function, nor for items that are no events.

    Args:
        handlers: Functions, by the names of the events they are for.

    Raises:
        TypeError: At once, without a function, for a name that no event has, for two names of the
            same event, and for an async function, which `map_async` takes.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Finish, Stream, TextDelta
        >>> answer = Stream.of(rx.of(TextDelta(text="Hi"), Finish(reason="stop")))
        >>> stream = answer.pipe(on(text=lambda e: print(e.text), finish=lambda e: print(e.reason)))
        >>> _ = stream.run()
        Hi
        stop
    """
    by_type = _by_type(dict(handlers))

    def subscribe(
        source: Observable[Any],
        observer: abc.ObserverBase[Any],
        scheduler: abc.SchedulerBase | None,
    ) -> abc.DisposableBase:
        emit, handler_of = observer.on_next, by_type.get

        def on_next(item: Any) -> None:
            kind = getattr(item, "type", None) if isinstance(item, StreamEvent) else None
            handler = handler_of(kind)
            if handler is not None:
                try:
                    _call(handler, item)
                except Exception as error:
                    observer.on_error(error)
                    return
            emit(item)

        return source.subscribe(
            on_next, observer.on_error, observer.on_completed, scheduler=scheduler
        )

    return lift(f"on({', '.join(handlers)})", subscribe, keeps_events=True)


def _by_type(handlers: dict[str, Any]) -> dict[str | None, Callable[[Any], Any]]:
    if not handlers:
        raise TypeError("on() needs at least one function, for instance on(text=print)")
    by_type: dict[str | None, Callable[[Any], Any]] = {}
    for name, handler in handlers.items():
        kind = _SHORT.get(name, name)
        if kind not in Handlers.__annotations__:
            known = ", ".join(sorted(Handlers.__annotations__))
            raise TypeError(f"on({name}=…): no event has that name; the names are {known}")
        if kind in by_type:
            raise TypeError(f"on(): {name!r} and {str(kind)!r} are the same events; give one")
        _check_handler(name, handler)
        by_type[kind] = handler
    return by_type


def _check_handler(name: str, handler: Any) -> None:
    if not callable(handler):
        raise TypeError(f"on({name}=…) takes a function, got {handler!r}")
    called = handler if inspect.isroutine(handler) else type(handler).__call__
    if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(called):
        raise TypeError(_ASYNC.format(name=f"on({name}=…)"))


def _call(handler: Callable[[Any], Any], event: StreamEvent) -> None:
    returned = handler(event)
    if returned is not None and inspect.iscoroutine(returned):  # of a lambda around an async call
        returned.close()
        raise TypeError(_ASYNC.format(name="on()"))


_ASYNC = "{name} calls plain functions only, and this one is async: put it in map_async()"
