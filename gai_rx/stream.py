"""`Stream`: an RxPY Observable that also iterates, awaits and runs, and shows its pipe."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import Disposable
from reactivex.scheduler import NewThreadScheduler

from gai_rx import awaiting
from gai_rx.clocks import clock, loop_scheduler, seconds
from gai_rx.iterating import iterate, iterate_async
from gai_rx.piping import Piped, Subscribe
from gai_rx.portal import Portal, refuse_blocking, running_loop
from gai_rx.sources import each_of
from gai_rx.threads import disposed_in

__all__ = ["Operator", "Stream", "clock", "lift", "loop_scheduler", "seconds"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
A = TypeVar("A")
B = TypeVar("B")

Operator = Callable[[Observable[A]], "Stream[B]"]


class Stream(Piped[T_co]):
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
        return Stream(each_of(items, "from_iterable"), stages=("from_iterable",))

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
            return disposed_in(asyncio.get_running_loop(), inner)
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
        return awaiting.run(self, scheduler)

    def __await__(self) -> Generator[Any, None, T_co]:
        """Wait for the end in a coroutine; the last item.

        Raises:
            SequenceContainsNoElementsError: If the stream has no item.
        """
        return awaiting.wait(self)

    def __iter__(self) -> Iterator[T_co]:
        """Iterate in a plain script or notebook cell; leaving the loop ends the stream."""
        refuse_blocking("for ... in stream")
        return iterate(self)

    def __aiter__(self) -> AsyncGenerator[T_co, None]:
        """Iterate in a coroutine; leaving the loop ends the stream."""
        return iterate_async(self)

    def __repr__(self) -> str:
        return f"Stream({' | '.join(self.stages)})"

    def _like_this(
        self, subscribe: Subscribe[Any] | None, stages: tuple[str, ...], of_events: bool
    ) -> Stream[Any]:
        return Stream(subscribe, stages=stages, of_events=of_events)

    if TYPE_CHECKING:

        def to_list(self) -> Stream[list[T_co]]:
            """One list of all items, at the end."""
            raise NotImplementedError


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
