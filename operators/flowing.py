"""Flowing: where a stream changes pace, and who waits for whom."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from reactivex import Observable, abc

from gai_rx.boundary import Boundary, Inbox, Overflow, Work, check_policy
from gai_rx.flow import Buffer, Pressure, current, start_task, to_be_ended
from gai_rx.stream import Operator, Stream, lift

__all__ = ["Overflow", "map_async", "relay"]

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")


def relay(size: int = 64, *, overflow: Overflow = "block") -> Callable[[Observable[T]], Stream[T]]:
    """Let what is below run at its own pace, behind a bounded buffer.

        source              -a-b-c-d-|
        relay(2)            -a---b---c---d|      a slow subscriber holds the source
        ... "drop_newest"   -a---b---|           or loses items, by name

    Args:
        size: Items that may wait.
        overflow: When no room is left: `block` holds the producer; `drop_newest` drops the item
            that comes, `drop_oldest` the one that has waited longest; `latest` keeps one item;
            `error` fails with `BackpressureError`. Text deltas do not bear dropping.

    Raises:
        ValueError: At once, if `size` is below 1 or the policy is unknown.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream
        >>> Stream.of(rx.of(1, 2, 3)).pipe(relay(2)).to_list().run()
        [1, 2, 3]
    """
    check_policy(overflow)
    room = 1 if overflow == "latest" else size
    Buffer[Any](room, "relay")  # a bad size fails here, not at the first subscription

    def subscribe(
        source: Observable[T],
        observer: abc.ObserverBase[T],
        scheduler: abc.SchedulerBase | None,
    ) -> abc.DisposableBase:
        inbox: Inbox[T] = Inbox(room, f"relay({size})", overflow)
        return Boundary(inbox, observer, _Straight(inbox, observer)).subscribe(source, scheduler)

    stage = f"relay({size})" if overflow == "block" else f"relay({size}, overflow={overflow!r})"
    return lift(stage, subscribe, keeps_events=True)


def map_async(
    function: Callable[[A], Awaitable[B]], concurrency: int = 1, *, queue: int | None = None
) -> Operator[A, B]:
    """Replace each item by what an async function makes of it, in the items' order.

        source            -a-b-c-|
        map_async(f)      --A--B--C|

    A slow function holds the source, down to the provider's socket.

    Args:
        function: An async function; its exception ends the stream with it.
        concurrency: Most calls at once; results keep the items' order.
        queue: Items that may wait for a free call; `concurrency` when None.

    Raises:
        ValueError: At once, if `concurrency` or `queue` is below 1.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream
        >>> async def double(n: int) -> int:
        ...     return 2 * n
        >>> Stream.of(rx.of(1, 2, 3)).pipe(map_async(double)).to_list().run()
        [2, 4, 6]
    """
    if concurrency < 1:
        raise ValueError(f"map_async(concurrency=…) is at least 1, got {concurrency}")
    room = concurrency if queue is None else queue
    name = getattr(function, "__name__", type(function).__name__)
    Buffer[A](room, "map_async")  # a bad size fails here, not at the first subscription

    def subscribe(
        source: Observable[A],
        observer: abc.ObserverBase[B],
        scheduler: abc.SchedulerBase | None,
    ) -> abc.DisposableBase:
        inbox: Inbox[A] = Inbox(room, f"map_async({name})", "block")
        work: Work = (
            _OneByOne(inbox, observer, function)
            if concurrency == 1
            else _Workers(inbox, observer, function, concurrency)
        )
        return Boundary(inbox, observer, work).subscribe(source, scheduler)

    return lift(f"map_async({name})", subscribe)


class _Straight(Work, Generic[T]):
    """Hand each item on."""

    def __init__(self, inbox: Inbox[T], observer: abc.ObserverBase[T]) -> None:
        self._inbox = inbox
        self._observer = observer

    async def run(self, pressure: Pressure) -> None:
        inbox, on_next = self._inbox, self._observer.on_next
        while await inbox.wait():
            on_next(inbox.buffer.pop())
            if pressure.gates:
                await pressure.relieve()


class _OneByOne(Work, Generic[A, B]):
    """Call the function for each item, in this task: no task switch per item."""

    def __init__(
        self,
        inbox: Inbox[A],
        observer: abc.ObserverBase[B],
        function: Callable[[A], Awaitable[B]],
    ) -> None:
        self._inbox = inbox
        self._observer = observer
        self._function = function

    async def run(self, pressure: Pressure) -> None:
        inbox, on_next, function = self._inbox, self._observer.on_next, self._function
        while await inbox.wait():
            on_next(await function(inbox.buffer.pop()))
            if pressure.gates:
                await pressure.relieve()


class _Slot(Generic[B]):
    """The place of one result in the order of the items."""

    __slots__ = ("done", "error", "value")

    def __init__(self) -> None:
        self.done = False
        self.value: B | None = None
        self.error: BaseException | None = None


class _Workers(Work, Generic[A, B]):
    """Long-lived workers call the function; this task emits their results in order."""

    def __init__(
        self,
        inbox: Inbox[A],
        observer: abc.ObserverBase[B],
        function: Callable[[A], Awaitable[B]],
        concurrency: int,
    ) -> None:
        self._inbox = inbox
        self._observer = observer
        self._function = function
        self._concurrency = concurrency
        self._slots: deque[_Slot[B]] = deque()
        self._room = asyncio.Semaphore(concurrency)
        self._turn = asyncio.Lock()
        self._moved = asyncio.Event()
        self._busy = concurrency
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self, pressure: Pressure) -> None:
        name = f"{self._inbox.buffer.gate.name} worker"
        self._tasks = [start_task(self._work(), name) for _ in range(self._concurrency)]
        while True:
            while self._slots and self._slots[0].done:
                await self._emit(self._slots.popleft(), pressure)
            if not self._busy and not self._slots:
                return
            self._moved.clear()
            if not (self._slots and self._slots[0].done):
                await self._moved.wait()

    async def _emit(self, slot: _Slot[B], pressure: Pressure) -> None:
        if slot.error is not None:
            raise slot.error
        self._observer.on_next(slot.value)  # type: ignore[arg-type]  # done without an error
        self._room.release()
        if pressure.gates:
            await pressure.relieve()

    async def _work(self) -> None:
        current.set(None)
        try:
            while True:
                await self._room.acquire()
                async with self._turn:
                    if not await self._inbox.wait():
                        return
                    item = self._inbox.buffer.pop()
                    slot: _Slot[B] = _Slot()
                    self._slots.append(slot)
                try:
                    slot.value = await self._function(item)
                except asyncio.CancelledError as cancelled:
                    if to_be_ended():
                        raise
                    slot.error = cancelled
                except Exception as error:
                    slot.error = error
                slot.done = True
                self._moved.set()
        finally:
            self._busy -= 1
            self._room.release()
            self._moved.set()

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
