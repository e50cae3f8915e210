"""Boundaries: where two producers meet, one above that fills a bounded inbox, one below it.

What lies below a boundary runs at its own pace; what lies above feels the inbox's policy.
"""

from __future__ import annotations

import asyncio
from typing import Any, Generic, Literal, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import Disposable

from gai_rx.errors import BackpressureError
from gai_rx.flow import Buffer, Pressure, Stopped, current, dispose_task, start_task, to_be_ended

__all__ = ["Boundary", "Inbox", "Overflow", "Work", "check_policy"]

T = TypeVar("T")

Overflow = Literal["block", "drop_newest", "drop_oldest", "latest", "error"]
"""What happens to an item for which a full buffer has no room."""


def check_policy(overflow: str) -> None:
    """Refuse a policy that does not exist.

    Raises:
        ValueError: If it does not.
    """
    known = ("block", "drop_newest", "drop_oldest", "latest", "error")
    if overflow not in known:
        raise ValueError(f"overflow is one of {', '.join(known)}; got {overflow!r}")


class Inbox(Generic[T]):
    """A bounded buffer with its policy, and how the upstream ended."""

    def __init__(self, size: int, name: str, overflow: Overflow) -> None:
        self.buffer: Buffer[T] = Buffer(size, name)
        self.changed = asyncio.Event()
        self.ended = False
        self.error: Exception | None = None
        self._overflow = overflow

    def put(self, item: T) -> None:
        """Add an item by the policy.

        Raises:
            BackpressureError: If there is no room and the policy says so.
            RuntimeError: If the item comes from another thread.
        """
        buffer = self.buffer
        if self._overflow == "block":
            buffer.push(item)
            self.changed.set()
            return
        buffer.check_thread()
        if len(buffer.items) >= buffer.size:
            if self._overflow == "drop_newest":
                return
            if self._overflow == "error":
                raise BackpressureError(
                    f"{buffer.gate.name}: no room, {buffer.size} items wait (overflow='error')"
                )
            buffer.items.popleft()
        buffer.items.append(item)
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

    async def run(self, pressure: Pressure) -> None:
        """Empty the inbox until it has ended."""
        raise NotImplementedError

    def stop(self) -> None:
        """Let go of helpers, when the task ends for whatever reason."""


class Boundary(Generic[T]):
    """Two producers meet: the one above fills the inbox, a task of our own empties it."""

    def __init__(self, inbox: Inbox[T], observer: abc.ObserverBase[Any], work: Work) -> None:
        self._inbox = inbox
        self._observer = observer
        self._work = work
        self._pressure = Pressure()
        self._upstream: abc.DisposableBase = Disposable()

    def subscribe(
        self, source: Observable[T], scheduler: abc.SchedulerBase | None
    ) -> abc.DisposableBase:
        """Start the task and subscribe above."""
        task = start_task(self._deliver(), f"gai_rx {self._inbox.buffer.gate.name}")
        self._upstream = source.subscribe(
            self._take, self._inbox.end, self._inbox.end, scheduler=scheduler
        )

        def dispose() -> None:
            self._inbox.buffer.release()
            self._upstream.dispose()
            dispose_task(task, self._pressure)

        return Disposable(dispose)

    def _take(self, item: T) -> None:
        if self._inbox.ended:
            return
        try:
            self._inbox.put(item)
        except BackpressureError as error:
            self._inbox.buffer.items.clear()
            self._inbox.end(error)
            self._upstream.dispose()

    async def _deliver(self) -> None:
        current.set(self._pressure)
        try:
            await self._work.run(self._pressure)
        except Stopped:
            return
        except asyncio.CancelledError as cancelled:
            if to_be_ended():
                raise
            self._fail(cancelled)
        except Exception as error:
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
        self._upstream.dispose()
        self._observer.on_error(error)  # type: ignore[arg-type]  # CancelledError: not silence
