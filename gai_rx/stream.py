"""`Stream`: an RxPY Observable that also iterates, awaits and runs, and shows its pipe."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import weakref
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, overload

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable, SerialDisposable
from reactivex.scheduler import NewThreadScheduler
from reactivex.scheduler.eventloop import AsyncIOScheduler

from gai_rx.errors import BackpressureError
from gai_rx.flow import Buffer, current, produce
from gai_rx.portal import Portal, refuse_blocking, running_loop

__all__ = ["Operator", "Stream", "clock", "lift", "loop_scheduler", "seconds"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")
G = TypeVar("G")
H = TypeVar("H")
J = TypeVar("J")
K = TypeVar("K")
L = TypeVar("L")
M = TypeVar("M")

_ITERATE_AHEAD = 64
"""Items `for` and `async for` take in before they hold the producer: one loop turn for many."""

_LET_OTHERS = 256
"""Items of an iterable that are emitted before the loop has its turn."""

# Stock operators after which a stream of events is still one.
_KEEP_EVENTS = frozenset(
    [
        "distinct",
        "distinct_until_changed",
        "do_action",
        "filter",
        "skip",
        "skip_while",
        "start_with",
        "take",
        "take_last",
        "take_until",
        "take_while",
        "finally_action",
        "share",
    ]
)

Subscribe = Callable[[abc.ObserverBase[T], abc.SchedulerBase | None], abc.DisposableBase]
Operator = Callable[[Observable[A]], "Stream[B]"]

_schedulers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncIOScheduler] = (
    weakref.WeakKeyDictionary()
)


def loop_scheduler() -> AsyncIOScheduler:
    """The scheduler of the running loop."""
    loop = asyncio.get_running_loop()
    found = _schedulers.get(loop)
    if found is None:
        found = _schedulers[loop] = AsyncIOScheduler(loop)
    return found


def clock(own: abc.SchedulerBase | None, given: abc.SchedulerBase | None) -> abc.SchedulerBase:
    """The clock of a timed operator: explicit, else the subscriber's, else the loop's."""
    return own or given or loop_scheduler()


def seconds(scheduler: abc.SchedulerBase) -> float:
    """The time by a clock, in seconds from an arbitrary zero; a loop's never jumps."""
    if isinstance(scheduler, AsyncIOScheduler):
        return scheduler._loop.time()
    return scheduler.to_seconds(scheduler.now)


class Stream(Observable[T_co]):
    """An `Observable` with the running loop as its default clock, and three more ways to read it.

    Args:
        subscribe: As RxPY's `Observable` takes it.
        stages: What the stream is made of, source first, for `repr`.
        of_events: Whether its items are `gai_rx` events.

    Example:
        >>> import reactivex as rx
        >>> Stream.of(rx.of(1, 2, 3)).run()
        3
    """

    def __init__(
        self,
        subscribe: Subscribe[T_co] | None = None,
        *,
        stages: tuple[str, ...] = ("stream",),
        of_events: bool = False,
    ) -> None:
        super().__init__(subscribe)
        self.stages = stages
        self.of_events = of_events

    @classmethod
    def of(cls, source: Observable[T], *, of_events: bool = False) -> Stream[T]:
        """Any Observable as a `Stream`."""
        if isinstance(source, Stream):
            return source

        def subscribe(
            observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            return source.subscribe(observer, scheduler=scheduler)

        return Stream(subscribe, stages=(type(source).__name__,), of_events=of_events)

    @classmethod
    def from_iterable(cls, items: Iterable[T] | AsyncIterable[T]) -> Stream[T]:
        """Emit items as fast as they are taken: a slow subscriber holds the iteration.

            from_iterable([a, b, c])    a-b-c-|

        RxPY's own `from_iterable` can not be held: behind it a bounded buffer overruns.

        Args:
            items: Iterated anew for each subscription; asynchronous ones too. Of a one-time
                iterator the second subscription gets what the first has left.

        Example:
            >>> Stream.from_iterable(["Hi", "there"]).to_list().run()
            ['Hi', 'there']
        """
        make = _async_items if isinstance(items, AsyncIterable) else _items
        return Stream(
            produce(partial(make, items), "from_iterable"),  # type: ignore[arg-type]
            stages=("from_iterable",),
        )

    def subscribe(
        self,
        on_next: abc.ObserverBase[T_co] | abc.OnNext[T_co] | None = None,
        on_error: abc.OnError | None = None,
        on_completed: abc.OnCompleted | None = None,
        *,
        scheduler: abc.SchedulerBase | None = None,
    ) -> abc.DisposableBase:
        """Begin to receive; in a thread without a loop the portal's thread calls back.

        Args:
            on_next: An observer, or what to do with each item.
            on_error: What to do with the error that ends the stream.
            on_completed: What to do at its regular end.
            scheduler: The clock of every operator above; the running loop's when None.
        """
        subscribe = super().subscribe
        # NewThreadScheduler: RxPY's own run() is about to block this thread until the end.
        blocks = isinstance(scheduler, NewThreadScheduler)
        if scheduler is not None and not blocks:
            return subscribe(on_next, on_error, on_completed, scheduler=scheduler)
        if running_loop() is not None and not blocks:
            inner = subscribe(on_next, on_error, on_completed, scheduler=loop_scheduler())
            return _disposed_in(asyncio.get_running_loop(), inner)
        portal = Portal.get()
        inner = portal.call(
            lambda: subscribe(on_next, on_error, on_completed, scheduler=loop_scheduler())
        )
        return Disposable(lambda: portal.dispose(inner))

    def run(self, scheduler: abc.SchedulerBase | None = None) -> T_co:
        """Wait for the end in a plain script or notebook cell; the last item.

        Raises:
            LookupError: If the stream has no item.
            RuntimeError: In a running event loop, which this would block.
        """
        refuse_blocking("run()")
        portal = Portal.get()
        outcome: concurrent.futures.Future[T_co] = concurrent.futures.Future()
        last: list[T_co] = []

        def keep(item: Any) -> None:
            last[:] = (item,)

        def completed() -> None:
            if last:
                outcome.set_result(last[0])
            else:
                outcome.set_exception(LookupError("the stream ended without an item"))

        subscription = SerialDisposable()

        def subscribe() -> None:
            subscription.disposable = self.subscribe(
                keep, outcome.set_exception, completed, scheduler=scheduler
            )

        with portal.waiting(outcome.set_exception):
            try:
                portal.call(subscribe)
                return outcome.result()
            except BaseException:  # Ctrl-C too ends the request
                portal.dispose(subscription)
                raise

    def __iter__(self) -> Iterator[T_co]:
        """Iterate in a plain script or notebook cell; leaving the loop ends the stream."""
        refuse_blocking("for ... in stream")
        return _iterate(self)

    def __aiter__(self) -> AsyncGenerator[T_co, None]:
        """Iterate in a coroutine; leaving the loop ends the stream."""
        return _iterate_async(self)

    def __repr__(self) -> str:
        return f"Stream({' | '.join(self.stages)})"

    if TYPE_CHECKING:

        def to_list(self) -> Stream[list[T_co]]:
            """One list of all items, at the end."""
            raise NotImplementedError

        def __await__(self) -> Generator[Any, None, T_co]:
            """Wait for the end in a coroutine; the last item."""
            raise NotImplementedError

        @overload
        def pipe(self, a: Callable[[Observable[T_co]], A], /) -> A: ...
        @overload
        def pipe(self, a: Callable[[Observable[T_co]], A], b: Callable[[A], B], /) -> B: ...
        @overload
        def pipe(
            self,
            a: Callable[[Observable[T_co]], A],
            b: Callable[[A], B],
            c: Callable[[B], C],
            /,
        ) -> C: ...
        @overload
        def pipe(
            self,
            a: Callable[[Observable[T_co]], A],
            b: Callable[[A], B],
            c: Callable[[B], C],
            d: Callable[[C], D],
            /,
        ) -> D: ...
        @overload
        def pipe(
            self,
            a: Callable[[Observable[T_co]], A],
            b: Callable[[A], B],
            c: Callable[[B], C],
            d: Callable[[C], D],
            e: Callable[[D], E],
            /,
        ) -> E: ...
        @overload
        def pipe(
            self,
            a: Callable[[Observable[T_co]], A],
            b: Callable[[A], B],
            c: Callable[[B], C],
            d: Callable[[C], D],
            e: Callable[[D], E],
            f: Callable[[E], F],
            /,
        ) -> F: ...
        @overload
        def pipe(
            self,
            a: Callable[[Observable[T_co]], A],
            b: Callable[[A], B],
            c: Callable[[B], C],
            d: Callable[[C], D],
            e: Callable[[D], E],
            f: Callable[[E], F],
            g: Callable[[F], G],
            /,
        ) -> G: ...
        @overload
        def pipe(
            self,
            a: Callable[[Observable[T_co]], A],
            b: Callable[[A], B],
            c: Callable[[B], C],
            d: Callable[[C], D],
            e: Callable[[D], E],
            f: Callable[[E], F],
            g: Callable[[F], G],
            h: Callable[[G], H],
            /,
        ) -> H: ...
        @overload
        def pipe(
            self,
            a: Callable[[Observable[T_co]], A],
            b: Callable[[A], B],
            c: Callable[[B], C],
            d: Callable[[C], D],
            e: Callable[[D], E],
            f: Callable[[E], F],
            g: Callable[[F], G],
            h: Callable[[G], H],
            j: Callable[[H], J],
            /,
        ) -> J: ...
        @overload
        def pipe(
            self,
            a: Callable[[Observable[T_co]], A],
            b: Callable[[A], B],
            c: Callable[[B], C],
            d: Callable[[C], D],
            e: Callable[[D], E],
            f: Callable[[E], F],
            g: Callable[[F], G],
            h: Callable[[G], H],
            j: Callable[[H], J],
            k: Callable[[J], K],
            /,
        ) -> K: ...
        @overload
        def pipe(
            self,
            a: Callable[[Observable[T_co]], A],
            b: Callable[[A], B],
            c: Callable[[B], C],
            d: Callable[[C], D],
            e: Callable[[D], E],
            f: Callable[[E], F],
            g: Callable[[F], G],
            h: Callable[[G], H],
            j: Callable[[H], J],
            k: Callable[[J], K],
            l_: Callable[[K], L],
            /,
        ) -> L: ...
        @overload
        def pipe(
            self,
            a: Callable[[Observable[T_co]], A],
            b: Callable[[A], B],
            c: Callable[[B], C],
            d: Callable[[C], D],
            e: Callable[[D], E],
            f: Callable[[E], F],
            g: Callable[[F], G],
            h: Callable[[G], H],
            j: Callable[[H], J],
            k: Callable[[J], K],
            l_: Callable[[K], L],
            m: Callable[[L], M],
            /,
        ) -> M: ...
        @overload
        def pipe(self, *operators: Callable[[Any], Any]) -> Any: ...
        def pipe(self, *operators: Callable[[Any], Any]) -> Any:
            """Apply operators, ours and RxPY's, one after the other."""
    else:

        def pipe(self, *operators):
            """Apply operators, ours and RxPY's, one after the other."""
            result = self
            for operator in operators:
                made = operator(result)
                stock = _stock_name(operator)
                # RxPY composes some of its operators by `pipe`, so that it is a Stream already.
                if type(made) is Observable or (stock and type(made) is Stream):
                    made = _wrapped(made, result, stock or _own_name(operator))
                result = made
            return result


async def _items(items: Iterable[T]) -> AsyncGenerator[Sequence[T], None]:
    for number, item in enumerate(items):
        yield (item,)
        if number % _LET_OTHERS == _LET_OTHERS - 1:
            await asyncio.sleep(0)


async def _async_items(items: AsyncIterable[T]) -> AsyncGenerator[Sequence[T], None]:
    iterator = aiter(items)
    try:
        async for item in iterator:
            yield (item,)
    finally:
        close = getattr(iterator, "aclose", None)
        if close is not None:
            await close()


def _wrapped(made: Observable[T], source: object, stage: str) -> Stream[T]:
    """What a stock operator made, as a `Stream` at no cost per item."""
    stages = source.stages if isinstance(source, Stream) else ()
    keeps = isinstance(source, Stream) and source.of_events and stage in _KEEP_EVENTS
    return Stream(made._subscribe, stages=(*stages, stage), of_events=keeps)


def _stock_name(operator: Callable[[Any], Any]) -> str | None:
    """A stock operator's name; None for everybody else's operators."""
    module = getattr(operator, "__module__", None) or ""
    if module == "reactivex.internal.curry":  # the operator is in the closure
        for cell in operator.__closure__ or ():
            name = getattr(cell.cell_contents, "__name__", None)
            if name is not None:
                return str(name).rstrip("_")
    if module.startswith("reactivex.operators."):
        return operator.__qualname__.partition(".<locals>")[0].rstrip("_")
    return None


def _own_name(operator: Callable[[Any], Any]) -> str:
    name = str(getattr(operator, "__qualname__", type(operator).__name__))
    return name.partition(".<locals>")[0]


def lift(
    stage: str,
    subscribe: Callable[
        [Observable[A], abc.ObserverBase[B], abc.SchedulerBase | None], abc.DisposableBase
    ],
    *,
    keeps_events: bool = False,
) -> Operator[A, B]:
    """Make an operator from what it does on subscription.

    Args:
        stage: How the operator shows in `repr`, with its arguments.
        subscribe: Called with source, observer and scheduler; returns what disposes.
        keeps_events: Whether a stream of events stays one.
    """

    def operator(source: Observable[A]) -> Stream[B]:
        stages = source.stages if isinstance(source, Stream) else (type(source).__name__,)
        events = keeps_events and isinstance(source, Stream) and source.of_events

        def on_subscribe(
            observer: abc.ObserverBase[B], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            return subscribe(source, observer, scheduler)

        return Stream(on_subscribe, stages=(*stages, stage), of_events=events)

    operator.__qualname__ = stage.partition("(")[0]
    return operator


def _disposed_in(
    loop: asyncio.AbstractEventLoop, subscription: abc.DisposableBase
) -> abc.DisposableBase:
    """The subscription, to be disposed from any thread."""

    def dispose() -> None:
        if running_loop() is loop or not loop.is_running():
            subscription.dispose()
        else:
            with suppress(RuntimeError):  # the loop has just been closed, and all in it
                loop.call_soon_threadsafe(subscription.dispose)

    return Disposable(dispose)


async def _iterate_async(source: Stream[T]) -> AsyncGenerator[T, None]:
    buffer: Buffer[T] = Buffer(_ITERATE_AHEAD, "async for")
    wake = asyncio.Event()
    end: list[Exception | None] = []

    def on_next(item: T) -> None:
        if end:
            return
        try:
            buffer.push(item)
        except BackpressureError as error:
            end.append(error)
        wake.set()

    def ended(error: Exception | None = None) -> None:
        end.append(error)
        wake.set()

    subscription = source.subscribe(on_next, ended, ended)
    try:
        while True:
            while buffer.items:
                yield buffer.pop()
            if end:
                if end[0] is not None:
                    raise end[0]
                return
            wake.clear()
            await wake.wait()
    finally:
        buffer.release()
        subscription.dispose()


class _ThreadBuffer:
    """The buffer between the portal's thread and a `for` loop in another."""

    def __init__(self, portal: Portal) -> None:
        self._loop = portal.loop
        self._items: deque[tuple[str, Any]] = deque()
        self._changed = threading.Condition()
        self._buffer: Buffer[None] = Buffer(_ITERATE_AHEAD, "for")
        self.gate = self._buffer.gate
        self._ended = False

    def put(self, kind: str, item: Any = None) -> None:
        """On the portal's thread: add an item, and hold the producer when there are many."""
        with self._changed:
            if self._ended:
                return
            self._items.append((kind, item))
            self._ended = kind != "next"
            waiting = len(self._items)
            self._changed.notify()
        if kind == "next" and waiting >= _ITERATE_AHEAD:
            self.gate.close()
            pressure = current.get()
            if pressure is not None:
                pressure.hold(self.gate)
            if waiting > 4 * _ITERATE_AHEAD + 64:
                overrun = BackpressureError(
                    f"for: {waiting} items wait where {_ITERATE_AHEAD} may; "
                    "the producer above can not be slowed down"
                )
                self.put("error", overrun)

    def get(self) -> tuple[str, Any]:
        """In the loop's thread: the next item; waits for it."""
        with self._changed:
            while not self._items:
                self._changed.wait()
            taken = self._items.popleft()
            low = len(self._items) == _ITERATE_AHEAD // 2
        if low:
            self._loop.call_soon_threadsafe(self.gate.open)
        return taken


def _iterate(source: Stream[T]) -> Iterator[T]:
    portal = Portal.get()
    buffer = _ThreadBuffer(portal)

    def failed(error: BaseException) -> None:
        buffer.put("error", error)

    subscription = SerialDisposable()

    def subscribe() -> None:
        subscription.disposable = source.subscribe(
            lambda item: buffer.put("next", item), failed, lambda: buffer.put("completed")
        )

    with portal.waiting(failed):
        try:
            portal.call(subscribe)
            while True:
                kind, item = buffer.get()
                if kind == "completed":
                    return
                if kind == "error":
                    raise item
                yield item
        finally:
            portal.dispose(CompositeDisposable(Disposable(buffer.gate.open), subscription))
