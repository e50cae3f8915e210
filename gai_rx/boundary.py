"""Boundaries: where two producers meet, one above that fills a bounded inbox, one below it.

What lies below a boundary runs at its own pace; what lies above feels the inbox's policy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import Disposable

from gai_rx.errors import StalledError
from gai_rx.flow import (
    Buffer,
    Pressure,
    Stopped,
    check_loop,
    current,
    dispose_task,
    goes_up,
    start_task,
)
from gai_rx.overflow import Overflow, check_policy, make_policy
from gai_rx.threads import handed_over

__all__ = ["Boundary", "Inbox", "Overflow", "Straight", "Work", "check_policy"]

T = TypeVar("T")


class Inbox(Generic[T]):
    """A bounded buffer with its policy, and how the upstream ended.

    Args:
        size: Items that may wait.
        name: What it belongs to, for messages.
        overflow: What happens when more come.
        on_drop: Called with every item that the policy drops.
    """

    def __init__(
        self,
        size: int,
        name: str,
        overflow: Overflow,
        on_drop: Callable[[T], object] | None = None,
    ) -> None:
        self.buffer: Buffer[T] = Buffer(size, name)
        self.changed = asyncio.Event()
        self.ended = False
        self.error: Exception | None = None
        self.policy = make_policy(overflow, self.buffer, on_drop)

    def put(self, item: T) -> None:
        """Add an item by the policy.

        Raises:
            BackpressureError: If there is no room and the policy says so.
            RuntimeError: If the item comes from another thread.
        """
        self.policy.put(item)
        self.changed.set()

    def end(self, error: Exception | None = None) -> None:
        """The upstream has ended; what waits is still delivered."""
        self.ended, self.error = True, error
        self.changed.set()

    async def wait(self) -> bool:
        """Wait for items; False when none will come any more."""
        while not self.buffer.items:
            if self.ended:
                return False
            self.changed.clear()
            await self.changed.wait()
        return True


class Work:
    """What a boundary's own task does with its inbox; a `Pressure` of its own holds it."""

    def start(self) -> None:
        """The task is about to begin, and items may come from now on."""

    async def run(self, pressure: Pressure) -> None:
        """Empty the inbox until it has ended."""
        raise NotImplementedError

    def stop(self) -> None:
        """Let go of helpers, when the task ends for whatever reason."""


class Straight(Work, Generic[T]):
    """Hand each item on; the only work that goes with every policy."""

    def __init__(self, inbox: Inbox[T], observer: abc.ObserverBase[T]) -> None:
        self._inbox = inbox
        self._on_next: Callable[[T], None] = observer.on_next

    def start(self) -> None:
        """From now on the policy may deliver as well."""
        self._on_next = self._inbox.policy.deliver_to(self._on_next)

    async def run(self, pressure: Pressure) -> None:
        """One turn of the loop for all that wait, unless something below holds the task."""
        inbox, take, on_next = self._inbox, self._inbox.policy.take, self._on_next
        items, gates = inbox.buffer.items, pressure.gates
        while await inbox.wait():
            while items:
                on_next(take())
                if gates:
                    await pressure.relieve()


class Boundary(Generic[T]):
    """Two producers meet: the one above fills the inbox, a task of our own empties it."""

    def __init__(self, inbox: Inbox[T], observer: abc.ObserverBase[Any], work: Work) -> None:
        self._inbox = inbox
        self._observer = observer
        self._work = work
        self._pressure = Pressure()
        inbox.buffer.reader = self._pressure
        self._upstream: abc.DisposableBase = Disposable()
        self._task: asyncio.Task[None] | None = None

    def subscribe(
        self, source: Observable[T], scheduler: abc.SchedulerBase | None
    ) -> abc.DisposableBase:
        """Start the task and subscribe above."""
        self.start(Disposable())
        end = handed_over(self.end)
        self._upstream = source.subscribe(self.take, end, end, scheduler=scheduler)
        return Disposable(self.dispose)

    def start(self, upstream: abc.DisposableBase) -> None:
        """Start the task; who calls this feeds the boundary, by `take` and `end`.

        Raises:
            RuntimeError: If no loop runs that could run it.
        """
        check_loop(self._inbox.buffer.gate.name)
        self._upstream = upstream
        self._work.start()
        self._task = start_task(self._deliver(), f"gai_rx {self._inbox.buffer.gate.name}")

    def take(self, item: T) -> None:
        """Take an item from above; its own failure ends this boundary, not the producer."""
        inbox = self._inbox
        if inbox.ended:
            return
        try:
            inbox.put(item)
        except Exception as error:
            inbox.buffer.check_thread()  # another thread's fault is told there, and changes nothing
            if inbox.ended:  # disposed while the item was being delivered
                raise
            inbox.buffer.items.clear()
            inbox.end(error)
            self._upstream.dispose()

    def end(self, error: Exception | None = None) -> None:
        """The upstream has ended."""
        if self._inbox.ended:
            return
        if isinstance(error, StalledError) and self._inbox.buffer.gate.closed:
            self._overtake(error)
        else:
            self._inbox.end(error)

    def _overtake(self, error: Exception) -> None:
        """Fail at once: behind what waits here nobody would ever hear that it is what holds all."""
        self._inbox.ended = True
        self._inbox.buffer.release()
        if self._task is not None:
            dispose_task(self._task, self._pressure)
        self._observer.on_error(error)

    def dispose(self) -> None:
        """End the task and the upstream, and let whoever waits above go on."""
        self._inbox.ended = True
        self._inbox.buffer.release()
        self._upstream.dispose()
        if self._task is not None:
            dispose_task(self._task, self._pressure)

    async def _deliver(self) -> None:
        current.set(self._pressure)
        try:
            await self._work.run(self._pressure)
        except Stopped:
            return
        except BaseException as error:
            if goes_up(error):
                raise
            self._fail(error)
        else:
            if self._inbox.error is not None:
                self._observer.on_error(self._inbox.error)
            else:
                self._observer.on_completed()
        finally:
            self._work.stop()
            self._inbox.buffer.release()

    def _fail(self, error: BaseException) -> None:
        self._inbox.ended = True
        self._upstream.dispose()
        self._observer.on_error(error)  # type: ignore[arg-type]  # of whatever class
