"""Fan-out at work: the branches of one subscription, and the one observer they emit to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import Disposable, SingleAssignmentDisposable

from gai_rx.boundary import Boundary, Inbox, Overflow, Straight
from gai_rx.flow import check_loop
from gai_rx.stream import Stream
from gai_rx.threads import handed_over

__all__ = ["AnyOperator", "BranchFailed", "Dropped", "Fan", "Plan", "Tagged"]

T_co = TypeVar("T_co", covariant=True)

AnyOperator = Callable[[Observable[Any]], Observable[Any]]


@dataclass(frozen=True, slots=True)
class Tagged(Generic[T_co]):
    """An item, and the branch that made it."""

    branch: str
    value: T_co


@dataclass(frozen=True, slots=True)
class BranchFailed:
    """A branch has ended with an error; the others go on."""

    branch: str
    error: Exception


@dataclass(frozen=True, slots=True)
class Dropped:
    """A full branch has lost items, by its policy, in front of what follows of it.

    Attributes:
        branch: The branch that lost them; the others got them.
        count: How many since the last such report.
        total: How many since the beginning.
    """

    branch: str
    count: int
    total: int


@dataclass(frozen=True)
class Plan:
    """A branch with every option settled."""

    operators: tuple[AnyOperator, ...]
    queue: int
    overflow: Overflow


class Fan(abc.DisposableBase):
    """One subscription: its branches, and the one observer that all of them emit to."""

    def __init__(
        self, observer: abc.ObserverBase[Any], plans: dict[str, Plan], reports: bool
    ) -> None:
        self._observer = observer
        self._upstream = SingleAssignmentDisposable()
        self._branches = [BranchRun(self, name, plan, reports) for name, plan in plans.items()]
        self._takers = tuple(branch.boundary.take for branch in self._branches)
        self._left = len(self._branches)
        self._completed = 0
        self._failure: Exception | None = None  # the last branch's
        self.error: Exception | None = None  # the source's
        self._over = self._emitting = False
        self._later: deque[Any] = deque()

    def start(
        self, source: Observable[object], scheduler: abc.SchedulerBase | None
    ) -> abc.DisposableBase:
        check_loop("fan_out")
        keeps = isinstance(source, Stream) and source.of_events
        stages = source.stages if isinstance(source, Stream) else (type(source).__name__,)
        for one in self._branches:
            if not self._over:  # the subscriber may have had enough of an earlier branch
                one.start(stages, keeps, scheduler)
        if self._takers:  # all branches may have ended by themselves
            end = handed_over(self._end)
            self._upstream.disposable = source.subscribe(
                self._on_next, end, end, scheduler=scheduler
            )
        return self

    def dispose(self) -> None:
        self._over = True
        self._upstream.dispose()
        self._later.clear()
        for one in self._branches:
            one.dispose()

    def _on_next(self, item: object) -> None:
        for take in self._takers:
            take(item)

    def _end(self, error: Exception | None = None) -> None:
        self.error = error
        for one in self._branches:
            one.boundary.end(error)

    def detach(self, boundary: Boundary[Any]) -> None:
        """Give a branch no more items."""
        self._takers = tuple(take for take in self._takers if take != boundary.take)
        if not self._takers:
            self._upstream.dispose()

    def ended(self, name: str, error: Exception | None) -> None:
        """A branch has ended, by itself or with the source."""
        if error is None:
            self._completed += 1
        elif error is not self.error:
            self._failure = error
            self.emit(BranchFailed(name, error))
        self._left -= 1
        if not self._left:
            self._finish()

    def emit(self, item: Any) -> None:
        """Emit for a branch; what the subscriber brings about meanwhile comes after it."""
        if self._emitting:
            self._later.append(item)
            return
        self._emitting = True
        try:
            while not self._over:
                self._observer.on_next(item)
                if not self._later:
                    break
                item = self._later.popleft()
        except Exception as error:  # the subscriber's own: no branch and no producer has failed
            self.dispose()
            self._observer.on_error(error)
        finally:
            self._emitting = False
        if not self._left:
            self._finish()

    def _finish(self) -> None:
        if self._over or self._emitting:
            return
        error = self.error
        if error is None and not self._completed:
            error = self._failure
        self.dispose()
        if error is not None:
            self._observer.on_error(error)
        else:
            self._observer.on_completed()


class BranchRun(abc.ObserverBase[Any]):
    """One branch: the observer at its boundary, the stream its operators see, and their end."""

    def __init__(self, fan: Fan, name: str, plan: Plan, reports: bool) -> None:
        self._fan = fan
        self._name = name
        self._operators = plan.operators
        self._inbox: Inbox[Any] = Inbox(
            plan.queue, f"fan_out branch {name!r} (queue {plan.queue})", plan.overflow
        )
        self.boundary: Boundary[Any] = Boundary(self._inbox, self, Straight(self._inbox, self))
        self._subscription = SingleAssignmentDisposable()
        self._observers: tuple[abc.ObserverBase[Any], ...] = ()
        self._reports = reports
        self._reported = 0
        self._runs = self._begun = self._over = False

    def start(
        self, stages: tuple[str, ...], of_events: bool, scheduler: abc.SchedulerBase | None
    ) -> None:
        """Subscribe to what the operators make of the branch's items."""
        stages = (*stages, f"fan_out branch {self._name!r}")
        head: Stream[Any] = Stream(self._subscribe, stages=stages, of_events=of_events)
        try:
            tail = head.pipe(*self._operators) if self._operators else head
            self._subscription.disposable = tail.subscribe(
                self._emit, self._end, self._end, scheduler=scheduler
            )
        except Exception as error:
            self._end(error)

    def dispose(self) -> None:
        """End the branch; nothing is told of it."""
        self._over = True
        self._detach()
        self._subscription.dispose()

    def _detach(self) -> None:
        self._begun = True
        self._fan.detach(self.boundary)
        self.boundary.dispose()

    # Above the operators: what comes out of the boundary.

    def on_next(self, value: Any) -> None:
        """An item's turn."""
        self._begun = True
        if self._reports:
            self._report()
        for observer in self._observers:
            observer.on_next(value)

    def on_error(self, error: Exception) -> None:
        """The source, or the boundary, has failed."""
        self._begun = True
        try:
            for observer in self._observers:
                observer.on_error(error)
        except Exception as raised:
            self._end(raised)

    def on_completed(self) -> None:
        """The source has ended, and the queue is empty."""
        self._begun = True
        try:
            for observer in self._observers:
                observer.on_completed()
        except Exception as raised:
            self._end(raised)

    def _subscribe(
        self, observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        if self._begun:
            observer.on_error(self._fan.error or RuntimeError(self._refusal))
            return Disposable()
        self._observers = (*self._observers, observer)
        if not self._runs:
            self._runs = True
            self.boundary.start(Disposable(lambda: self._fan.detach(self.boundary)))
        return Disposable(lambda: self._leave(observer))

    @property
    def _refusal(self) -> str:
        return (
            f"fan_out branch {self._name!r} was subscribed to after its first item, or again after "
            "its end; that would miss items and is refused: retry above fan_out"
        )

    def _leave(self, observer: abc.ObserverBase[Any]) -> None:
        self._observers = tuple(other for other in self._observers if other is not observer)
        if not self._observers:  # nobody reads on: it must not hold the source
            self._detach()

    # Below the operators: what they made.

    def _emit(self, value: Any) -> None:
        if not self._over:
            self._fan.emit(Tagged(self._name, value))

    def _end(self, error: Exception | None = None) -> None:
        if self._over:
            return
        if self._reports:
            self._report()
        self.dispose()
        self._fan.ended(self._name, error)

    def _report(self) -> None:
        total = self._inbox.policy.dropped
        if total > self._reported:
            count, self._reported = total - self._reported, total
            self._fan.emit(Dropped(self._name, count, total))
