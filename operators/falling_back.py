"""Falling back: another model answers when the first one fails."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from reactivex import Observable, abc

from gai_rx.errors import BackpressureError, transient
from gai_rx.operators._attempts import (
    Attempts,
    Next,
    When,
    check_when,
    of_events,
    wants,
)
from gai_rx.stream import Operator, Stream, lift

__all__ = ["fallback_to"]

T = TypeVar("T")


def fallback_to(
    stream: Observable[T],
    *,
    on: When | tuple[When, ...] = transient,
    after_output: Literal["fail", "restart"] = "fail",
) -> Callable[[Observable[T]], Stream[T]]:
    """Ask another stream when the first one fails with a matching error.

        source             -S-#
        fallback_to(...)   -S-R-S-a-F|

    Before any output the other stream takes over; a `Retry` event tells, and the other's events
    carry the next `attempt`. After output `after_output` decides, as with `retry_on`:

    - `"fail"`: the error goes on; what had arrived is in `error.partial`.
    - `"restart"`: the other answers from the beginning; `Start(attempt=n)` tells every operator
      below to begin anew. Only between streams of events, and not once a tool has run: elsewhere
      it behaves as `"fail"`.

    Apply it several times for several fallbacks: attempts count on. Errors of your own functions
    below, cancellation and `BackpressureError` are never answered with another request.

    Args:
        stream: Whom to ask instead; nothing is sent to it before.
        on: Which errors, as a matcher, an exception class, a predicate, or a tuple of them. An
            error that says of itself that asking again does not help matches too: this one asks
            somebody else.
        after_output: What to do once something was passed on.

    Raises:
        TypeError: At once, if `stream` is no stream, or something is given that can not match.
        ValueError: At once, if `after_output` is neither.

    Example:
        >>> from gai_rx import connect, quota, transient
        >>> first = connect("anthropic", api_key="sk-...").stream_text("Hi")
        >>> second = connect("openai", api_key="sk-...").stream_text("Hi")
        >>> first.pipe(fallback_to(second, on=transient | quota))
        Stream(anthropic:claude-sonnet-4-5 | fallback_to(openai:gpt-5-mini))
    """
    when = on if isinstance(on, tuple) else (on,)
    check_when("fallback_to", when)
    if not isinstance(stream, Observable):
        raise TypeError(f"fallback_to() takes a stream, got {stream!r}")
    if after_output not in ("fail", "restart"):
        raise ValueError(f"after_output is 'fail' or 'restart', got {after_output!r}")

    def subscribe(
        source: Observable[T], observer: abc.ObserverBase[T], given: abc.SchedulerBase | None
    ) -> abc.DisposableBase:
        def plan(error: Exception, so_far: Attempts) -> Next | None:
            if so_far.asked > 1 or isinstance(error, BackpressureError):
                return None
            if so_far.output and (not restarts(source) or so_far.tool_ran):
                return None
            return Next(stream) if any(wants(w, error) for w in when) else None

        return Attempts(observer, plan, events=of_events(source), given=given).start(source)

    def restarts(source: Observable[T]) -> bool:
        return after_output == "restart" and of_events(source) and of_events(stream)

    lifted: Operator[Any, Any] = lift(_stage(stream), subscribe, keeps_events=True)

    def operator(source: Observable[T]) -> Stream[T]:
        if after_output == "restart" and not restarts(source):
            warnings.warn(
                "fallback_to(after_output='restart') needs two streams of events, to announce that "
                "the second begins anew; place it before text_only() and batch(). Here it behaves "
                "as 'fail'.",
                stacklevel=3,
            )
        return lifted(source)

    operator.__qualname__ = "fallback_to"
    return operator


def _stage(stream: Observable[Any]) -> str:
    stages = stream.stages if isinstance(stream, Stream) else (type(stream).__name__,)
    return f"fallback_to({' | '.join(stages)})"
