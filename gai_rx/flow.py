"""Flow control: how a slow consumer slows its producer down, through stock RxPY operators.

RxPY pushes: `on_next` is a chain of plain calls from the producer to the last subscriber. So:

1. Every producer is one asyncio task, with a `Pressure` of its own in a context variable.
2. A bounded `Buffer` somewhere below is filled inside the producer's call of `on_next`; when it is
   full it closes its `Gate` and hangs it on the pressure that it finds.
3. The producer waits for the gates that hang on its pressure before it reads on. A producer that
   reads from a socket stops reading, and the provider's write blocks.

A gate depends on what lies below it only. Where what lies below is fed back to what lies above,
nobody is made to wait for a gate that waits for himself: waiting can not go round in a circle.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from threading import get_ident
from typing import Any, Generic, TypeVar

from reactivex import abc
from reactivex.disposable import Disposable

from gai_rx.errors import BackpressureError

__all__ = [
    "Buffer",
    "Gate",
    "Pressure",
    "TimerPressure",
    "check_loop",
    "current",
    "dispose_task",
    "goes_up",
    "produce",
    "start_task",
    "to_be_ended",
]

T = TypeVar("T")


class Gate:
    """Open or closed; who emitted into a full buffer waits for it to open.

    Attributes:
        reader: The pressure of who will open it; None if that is nobody who can be held.
    """

    __slots__ = ("_waiters", "closed", "name", "reader")

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.closed = False
        self.reader: Pressure | None = None
        self._waiters: list[Callable[[], object]] = []  # a deque takes 700 bytes more

    def close(self) -> None:
        """Hold whoever comes."""
        self.closed = True

    def open(self) -> None:
        """Let everybody through."""
        self.closed = False
        waiters, self._waiters = self._waiters, []
        for go_on in waiters:
            go_on()

    def waits_for(self, producer: Pressure) -> bool:
        """Whether it opens only when this producer goes on, directly or by way of other gates."""
        seen = set[Pressure]()
        readers = [self.reader]
        while readers:
            reader = readers.pop()
            if reader is producer:
                return True
            if reader is not None and reader not in seen:
                seen.add(reader)
                readers += [gate.reader for gate in reader.gates if gate.closed]
        return False

    def when_open(self, go_on: Callable[[], object]) -> None:
        """Call `go_on` once, when the gate opens; for who can not wait."""
        self._waiters.append(go_on)

    async def wait(self) -> None:
        """Return once the gate is open."""
        while self.closed:
            opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

            def go_on(opened: asyncio.Future[None] = opened) -> None:
                if not opened.done():
                    opened.set_result(None)

            self._waiters.append(go_on)
            await opened


class Stopped(Exception):
    """The producer's subscription was disposed while it was emitting."""


class Pressure:
    """The gates that hold one producer; the producer relieves it before it emits or reads on."""

    __slots__ = ("gates", "stopped")

    def __init__(self) -> None:
        self.gates: list[Gate] = []
        self.stopped = False

    def hold(self, gate: Gate) -> bool:
        """Make the producer wait for this gate, unless the gate waits for the producer.

        Returns:
            Whether it did not wait for it before, and does now.
        """
        if gate in self.gates or gate.waits_for(self):
            return False
        self.gates.append(gate)
        return True

    def stop(self) -> None:
        """Make the producer end at its next step: an ever-open gate leads it into `relieve`."""
        self.stopped = True
        self.gates.append(Gate())

    async def relieve(self) -> None:
        """Wait until every gate is open.

        Raises:
            Stopped: If the subscription was disposed in the meantime.
        """
        while self.gates:
            if self.stopped:
                raise Stopped
            gate = self.gates[0]
            await gate.wait()
            self.gates.remove(gate)  # not the last: a timer below may have hung one meanwhile


class TimerPressure(Pressure):
    """The pressure of an operator's own timer, which is no task and can not wait.

    The gates that its emissions meet are kept, for the next producer that comes by (`hand_over`) or
    until they open (`then`).
    """

    __slots__ = ()

    def emit(self, go: Callable[[], None]) -> None:
        """Run what emits, with this as the current pressure."""
        token = current.set(self)
        try:
            go()
        finally:
            current.reset(token)

    def hand_over(self) -> None:
        """Let the producer that is emitting right now wait for the gates that the timer met."""
        pressure = current.get()
        if pressure is not None and self.gates:
            for gate in self.gates:
                pressure.hold(gate)
            self.gates.clear()

    def then(self, go_on: Callable[[], None]) -> None:
        """Call `go_on` as soon as no gate holds the timer: now, or when the last one opens."""
        while self.gates:
            gate = self.gates[0]
            if gate.closed and not self.stopped:
                gate.when_open(lambda: self.then(go_on))
                return
            self.gates.remove(gate)
        if not self.stopped:
            go_on()


current: contextvars.ContextVar[Pressure | None] = contextvars.ContextVar(
    "gai_rx_pressure", default=None
)
"""The pressure of the producer that is emitting right now."""


class Buffer(Generic[T]):
    """A bounded queue between a producer and a consumer of another pace.

    Args:
        size: Items that may wait before the producer is held.
        name: What it belongs to, for messages.

    A producer that has no pressure (a Subject, another library's timer) can not be held, nor can
    the task that empties the buffer itself, when it is fed back what it emits. They get the room of
    `4 * size + 64` items, then `BackpressureError`: memory is bounded, and loudly so. Of producers
    that can be held each has at most one item above the size, however many they are.
    """

    __slots__ = ("_limit", "_low", "_thread", "gate", "items", "size")

    def __init__(self, size: int, name: str) -> None:
        if size < 1:
            raise ValueError(f"{name}: a buffer holds at least one item, got {size}")
        self.size = size
        self.items: deque[T] = deque()
        self.gate = Gate(name)
        self._low = size // 2
        self._limit = 4 * size + 64
        self._thread = get_ident()

    @property
    def reader(self) -> Pressure | None:
        """The pressure of the task that empties it."""
        return self.gate.reader

    @reader.setter
    def reader(self, pressure: Pressure | None) -> None:
        self.gate.reader = pressure

    def push(self, item: T) -> None:
        """Add an item; when that fills the buffer the producer is held.

        Raises:
            BackpressureError: If a producer that can not be held overruns the buffer.
            RuntimeError: If the item comes from another thread.
        """
        self.check_thread()
        items = self.items
        items.append(item)
        if len(items) >= self.size:
            is_last = self.hold_producer()  # of this producer: thousands may have one each
            if len(items) > self._limit and not is_last:
                waiting = len(items)
                items.clear()
                raise BackpressureError(
                    f"{self.gate.name}: {waiting} items wait where {self.size} may; the "
                    "producer above can not be slowed down: drop, batch or sample before this place"
                )

    def hold_producer(self) -> bool:
        """Close the gate, and let whoever emits right now wait for it; whether it begins to."""
        self.gate.close()
        pressure = current.get()
        return pressure is not None and pressure.hold(self.gate)

    def check_thread(self) -> None:
        """Refuse another thread than the one that subscribed.

        Raises:
            RuntimeError: If it is another.
        """
        if get_ident() != self._thread:
            raise RuntimeError(
                f"{self.gate.name}: an item came from another thread than the one that subscribed; "
                "hand it over with loop.call_soon_threadsafe"
            )

    def pop(self) -> T:
        """Take the oldest item out; the producer goes on when half of the room is free."""
        item = self.items.popleft()
        if len(self.items) <= self._low and self.gate.closed:
            self.gate.open()
        return item

    def release(self) -> None:
        """Forget what waits and let the producer go on for good."""
        self.items.clear()
        self.gate.open()


_tasks: set[asyncio.Task[Any]] = set()


def start_task(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """Run a producer; an error that no subscriber takes is reported at once, not at collection."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(work, name=name)
    _tasks.add(task)  # the loop itself keeps weak references only

    def reap(task: asyncio.Task[None]) -> None:
        _tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, KeyboardInterrupt | SystemExit):
            # Those two the loop itself raises.
            loop.call_exception_handler(
                {"message": f"unhandled error in {name}", "exception": error, "task": task}
            )

    task.add_done_callback(reap)
    return task


def to_be_ended() -> bool:
    """Whether this task was cancelled; if not, a `CancelledError` in it is a user function's."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no loop runs
        return False
    return task is not None and task.cancelling() > 0


def goes_up(error: BaseException) -> bool:
    """Whether an exception is none of the stream's: it ends the program, or this very task.

    Every other, whatever its class, belongs into `on_error`: who reads would wait for ever.
    """
    if isinstance(error, asyncio.CancelledError):
        return to_be_ended()
    return isinstance(error, KeyboardInterrupt | SystemExit)


def dispose_task(task: asyncio.Task[None], pressure: Pressure) -> None:
    """End a producer at once, from its own `on_next`, from its loop, or from another thread."""
    loop = task.get_loop()
    try:
        here = asyncio.get_running_loop() is loop
    except RuntimeError:
        here = False
    pressure.stop()
    if not here:
        if not loop.is_closed():
            loop.call_soon_threadsafe(task.cancel)
    elif task is not asyncio.current_task():
        task.cancel()


def produce(
    make: Callable[[], AsyncGenerator[Sequence[T], None]], name: str
) -> Callable[[abc.ObserverBase[T], abc.SchedulerBase | None], abc.DisposableBase]:
    """The subscribe function of a cold source: each subscription runs `make()` in its own task.

    `make()` yields batches, so that what one read of a socket held goes down without a task switch
    in between. Its exception goes to `on_error` after all items before it.
    """

    def subscribe(
        observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        check_loop(name)
        pressure = Pressure()
        task = start_task(_pump(make, observer, pressure), name)
        return Disposable(lambda: dispose_task(task, pressure))

    return subscribe


def check_loop(name: str) -> None:
    """Refuse to begin where no loop runs.

    Raises:
        RuntimeError: If none does.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            f"{name} needs a running event loop, and a scheduler was given where none runs: "
            "subscribe in a coroutine, or leave out scheduler= and let the portal's loop run it"
        ) from None


async def _pump(
    make: Callable[[], AsyncGenerator[Sequence[T], None]],
    observer: abc.ObserverBase[T],
    pressure: Pressure,
) -> None:
    current.set(pressure)
    gates, on_next = pressure.gates, observer.on_next
    try:
        async with aclosing(make()) as batches:
            async for batch in batches:
                if gates:  # a timer below may have hung one since
                    await pressure.relieve()
                for item in batch:
                    on_next(item)
                    if gates:
                        await pressure.relieve()
                del batch  # the next one may be long in coming
    except Stopped:
        return
    except BaseException as error:
        if goes_up(error):
            raise
        observer.on_error(error)  # type: ignore[arg-type]  # of whatever class
    else:
        observer.on_completed()
