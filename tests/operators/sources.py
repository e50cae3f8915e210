"""A cold source that counts: for what virtual time can not check."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import reactivex as rx
from reactivex import Observable, abc
from reactivex.disposable import SingleAssignmentDisposable
from reactivex.testing import TestScheduler

from gai_rx import Stream
from gai_rx.flow import produce

__all__ = ["Source", "Timers", "fails", "in_turn", "settle"]


class Source:
    """Emits `items`, then fails with `error` or completes; can be held, as a socket can.

    Attributes:
        asked: Subscriptions that began to produce.
        pulled: Items that were handed out, over all subscriptions.
        closed: Subscriptions whose generator has ended, however.
    """

    def __init__(
        self,
        items: Sequence[Any] = (),
        *,
        error: Exception | None = None,
        of_events: bool = False,
        endless: bool = False,
    ) -> None:
        self.asked = self.pulled = self.closed = 0
        self._items, self._error, self._endless = items, error, endless
        self.stream: Stream[Any] = Stream(
            produce(self._make, "source"), stages=("source",), of_events=of_events
        )

    async def _make(self) -> AsyncGenerator[Sequence[Any], None]:
        self.asked += 1
        try:
            for item in self._items:
                self.pulled += 1
                yield [item]
            while self._endless:
                self.pulled += 1
                yield [self.pulled]
                await asyncio.sleep(0)
            if self._error is not None:
                raise self._error
        finally:
            self.closed += 1


def in_turn(*sources: Observable[Any], of_events: bool = True) -> Stream[Any]:
    """A cold stream whose n-th subscription is to the n-th source; the last serves all later."""
    left = list(sources)

    def subscribe(
        observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        source = left.pop(0) if len(left) > 1 else left[0]
        return source.subscribe(observer, scheduler=scheduler)

    return Stream(subscribe, of_events=of_events)


def fails(error: Exception, *items: Any) -> Observable[Any]:
    """Items at once, then the error; without a loop too."""
    return rx.concat(rx.from_iterable(items), rx.throw(error))


class Timers(TestScheduler):
    """A virtual clock that counts the timers that are set."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[SingleAssignmentDisposable] = []

    def schedule_relative(self, *arguments: Any, **options: Any) -> abc.DisposableBase:
        timer = SingleAssignmentDisposable()
        timer.disposable = super().schedule_relative(*arguments, **options)
        self.made.append(timer)
        return timer

    @property
    def pending(self) -> int:
        """Timers that were not disposed."""
        return sum(not timer.is_disposed for timer in self.made)


async def settle(turns: int = 20) -> None:
    """Let the loop do what is due."""
    for _ in range(turns):
        await asyncio.sleep(0)
