"""Awaiting: `await` in a coroutine and `run()` without one wait for the end; the last item."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Generator
from typing import Any, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import SerialDisposable
from reactivex.internal import SequenceContainsNoElementsError

from gai_rx.portal import Portal
from gai_rx.threads import handed_over

__all__ = ["run", "wait"]

T = TypeVar("T")

_NONE: Any = object()


def wait(source: Observable[T]) -> Generator[Any, None, T]:
    """Wait in a coroutine, which goes on with the last item; to leave it ends the stream.

    Raises:
        SequenceContainsNoElementsError: If the stream has no item.
    """
    outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    last: Any = _NONE

    def keep(item: T) -> None:
        nonlocal last
        last = item

    def ended(error: Exception | None = None, /) -> None:
        if outcome.done():
            return
        if isinstance(error, StopIteration):  # which no coroutine can be told of
            wrapped = RuntimeError("the stream has raised StopIteration")
            wrapped.__cause__ = error
            outcome.set_exception(wrapped)
        elif error is not None:
            outcome.set_exception(error)
        elif last is not _NONE:
            outcome.set_result(last)
        else:
            outcome.set_exception(SequenceContainsNoElementsError())

    end = handed_over(ended)
    subscription = source.subscribe(keep, end, end)
    try:
        return (yield from outcome)
    finally:
        subscription.dispose()


def run(source: Observable[T], scheduler: abc.SchedulerBase | None) -> T:
    """Wait in a plain thread, while the portal's runs the stream; the last item.

    Raises:
        LookupError: If the stream has no item.
    """
    portal = Portal.get()
    outcome: concurrent.futures.Future[T] = concurrent.futures.Future()
    last: Any = _NONE

    def keep(item: T) -> None:
        nonlocal last
        last = item

    def completed() -> None:
        if last is not _NONE:
            outcome.set_result(last)
        else:
            outcome.set_exception(LookupError("the stream ended without an item"))

    subscription = SerialDisposable()

    def subscribe() -> None:
        subscription.disposable = source.subscribe(
            keep, outcome.set_exception, completed, scheduler=scheduler
        )

    with portal.waiting(outcome.set_exception):
        try:
            portal.call(subscribe)
            return outcome.result()
        except BaseException:  # Ctrl-C too ends the request
            portal.dispose(subscription)
            raise
