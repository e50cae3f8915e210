"""Flowing: where a stream changes pace, and who waits for whom."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, Generic, TypeVar, overload

from reactivex import Observable, abc

from gai_rx.boundary import Boundary, Inbox, Overflow, Straight, Work, check_policy
from gai_rx.flow import Buffer, Pressure, current, start_task, to_be_ended
from gai_rx.stream import Operator, Stream, lift

__all__ = ["Overflow", "map_async", "relay", "stage"]

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")

_QUEUE = 16


def relay(
    size: int = 64,
    *,
    overflow: Overflow = "block",
    on_drop: Callable[[Any], object] | None = None,
) -> Callable[[Observable[T]], Stream[T]]:
    """Let what is below run at its own pace, behind a bounded buffer.

        source              -a-b-c-d-e-|
        relay(1)            -a----b----c----d----e|      a slow subscriber holds the source
        ... "drop_newest"   -a----b----d|                or loses items, by name
        ... "conflate"      -a----bc---de|               or gets fewer, longer pieces

    When no room is left, `overflow` says what happens to the item that comes:

    - `block`: it still goes in, and its producer is held until half of the room is free.
    - `drop_newest`: it is dropped. `drop_oldest`: the one that has waited longest is.
    - `latest`: of all that may be dropped only the newest waits, at any time.
    - `conflate`: neighbouring pieces that wait become one: strings, and deltas of one kind, stream,
      step, attempt, choice and block, with the same metadata and without a signature. Text stays
      whole and in order. Pieces that can not be joined hold the producer, as 32 MiB of text do.
    - `error`: the stream ends with `BackpressureError`, and what waits is lost.
    - `caller_runs`: the oldest items go on in the producer's own turn until there is room, in
      order; what is full further below then holds the producer itself.

    Of events, policies that drop lose deltas without a signature, `ToolProgress` and `Raw`; another
    event takes the place of one of these, and if none waits it holds the producer.

    Args:
        size: Items that may wait.
        overflow: What happens when no room is left.
        on_drop: Called with every item that is dropped; its exception ends the stream with it.

    Raises:
        ValueError: At once, if `size` is below 1 or the policy is unknown.
        BackpressureError: Through on_error, by `error`, or if a source that can not be held
            overruns the buffer.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream
        >>> Stream.of(rx.of(1, 2, 3)).pipe(relay(2)).to_list().run()
        [1, 2, 3]
        >>> Stream.of(rx.of("a", "b", "c")).pipe(relay(1, overflow="conflate")).to_list().run()
        ['abc']
    """
    check_policy(overflow)
    Buffer[Any](size, "relay")  # a bad size fails here, not at the first subscription

    def subscribe(
        source: Observable[T],
        observer: abc.ObserverBase[T],
        scheduler: abc.SchedulerBase | None,
    ) -> abc.DisposableBase:
        inbox: Inbox[T] = Inbox(size, f"relay({size})", overflow, on_drop)
        return Boundary(inbox, observer, Straight(inbox, observer)).subscribe(source, scheduler)

    stage = f"relay({size})" if overflow == "block" else f"relay({size}, overflow={overflow!r})"
    return lift(stage, subscribe, keeps_events=True)


def map_async(
    function: Callable[[A], Awaitable[B]], concurrency: int = 1, *, queue: int | None = None
) -> Operator[A, B]:
    """Replace each item by what an async function makes of it, in the items' order.

        source            -a-b-c-|
        map_async(f)      --A-B-C|

    A slow function holds the source, down to the provider's socket.

    Args:
        function: An async function; its exception ends the stream with it.
        concurrency: Most calls at once; results keep the items' order.
        queue: Items that may wait for a free call; 16, or `concurrency` if that is more, when None.
            With a queue of one a quick function costs a task switch for each item.

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
    room = max(_QUEUE, concurrency) if queue is None else queue
    return _calling(f"map_async({_name(function)})", function, concurrency, room)


@overload
def stage(
    function: Callable[[A], Awaitable[B]], queue: int = 50, workers: int = 1
) -> Operator[A, B]: ...
@overload
def stage(function: Callable[[A], B], queue: int = 50, workers: int = 1) -> Operator[A, B]: ...
def stage(function: Callable[[A], Any], queue: int = 50, workers: int = 1) -> Operator[A, Any]:
    """One stage of a pipeline: a queue of its own, and workers that turn each item into another.

        source       -a-b-c-|
        stage(f)     --A-B-C|

    Stages run beside each other, each at its own pace; a full queue holds the stage above it, up to
    the provider's socket. Results keep the items' order. At the end of the source every stage
    empties its queue before it completes, and dispose ends all of them.

    Args:
        function: Makes one item of each, plain or async; its exception ends the stream with it. A
            plain one runs in the event loop, so one that blocks goes into `asyncio.to_thread`.
        queue: Items that may wait for a worker.
        workers: Most calls at once; more than one help async functions only.

    Raises:
        ValueError: At once, if `queue` or `workers` is below 1.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream
        >>> words = Stream.of(rx.of("a", "b", "c"))
        >>> words.pipe(stage(str.upper, queue=20), stage(ord, queue=10)).to_list().run()
        [65, 66, 67]
    """
    if workers < 1:
        raise ValueError(f"stage(workers=…) is at least 1, got {workers}")

    async def call(item: A) -> Any:
        made = function(item)
        return await made if isawaitable(made) else made

    return _calling(f"stage({_name(function)}, queue={queue})", call, workers, queue)


def _name(function: Any) -> str:
    return getattr(function, "__name__", type(function).__name__)


def _calling(
    shown: str, function: Callable[[A], Awaitable[B]], concurrency: int, room: int
) -> Operator[A, B]:
    """The operator that calls an async function for each item, behind an inbox of `room` items."""
    Buffer[A](room, shown)  # a bad size fails here, not at the first subscription

    def subscribe(
        source: Observable[A], observer: abc.ObserverBase[B], scheduler: abc.SchedulerBase | None
    ) -> abc.DisposableBase:
        inbox: Inbox[A] = Inbox(room, shown, "block")
        work: Work = (
            _OneByOne(inbox, observer, function)
            if concurrency == 1
            else _Workers(inbox, observer, function, concurrency)
        )
        return Boundary(inbox, observer, work).subscribe(source, scheduler)

    return lift(shown, subscribe)


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
