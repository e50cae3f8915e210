"""Attempts: one stream made of several requests, asked one after the other and labelled as such."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeAlias

from reactivex import Observable, abc
from reactivex.disposable import SerialDisposable, SingleAssignmentDisposable

from gai_rx.errors import GaiError, Matcher
from gai_rx.events import Raw, Retry, Start, StreamEvent, TextDelta, Usage
from gai_rx.flow import goes_up
from gai_rx.stream import Stream, clock
from gai_rx.unvalidated import trusted
from gai_rx.watches import NO_CONTENT

__all__ = [
    "Attempts",
    "Below",
    "Next",
    "When",
    "check_when",
    "kind_of",
    "of_events",
    "shown",
    "wants",
]

When: TypeAlias = Matcher | type[Exception] | Callable[[Exception], bool]
"""What says which errors are meant."""

_OF_A_RUN = ("tool_progress", "tool_result")
"""Events of a tool that has begun to run: another answer would call it again."""


def check_when(operator: str, when: Iterable[object]) -> None:
    """Refuse what can not match.

    Raises:
        TypeError: If nothing is given, or something that can not match.
    """
    given = tuple(when)
    if not given:
        raise TypeError(f"{operator}() needs a matcher, an exception class or a predicate")
    for w in given:
        if not callable(w) or (isinstance(w, type) and not issubclass(w, Exception)):
            raise TypeError(f"{operator}() can not match with {w!r}")


def wants(when: When, error: Exception) -> bool:
    """Whether `error` is meant."""
    return isinstance(error, when) if isinstance(when, type) else bool(when(error))


def shown(when: Iterable[When]) -> str:
    """Matchers as they show in `repr`."""
    return ", ".join(getattr(w, "__name__", repr(w)) for w in when)


def of_events(source: object) -> bool:
    """Whether a stream's items are known to be events."""
    return isinstance(source, Stream) and source.of_events


def kind_of(error: Exception) -> str:
    """The kind of a `GaiError`, the class of every other."""
    return error.kind if isinstance(error, GaiError) else type(error).__name__


class Below:
    """Hands items down and knows what came back: a subscriber's own error is no provider's."""

    def __init__(self, observer: abc.ObserverBase[Any]) -> None:
        self._emit = observer.on_next
        self.raised: Exception | None = None

    def on_next(self, item: Any) -> None:
        """Hand an item down.

        Raises:
            Exception: What the subscriber raised.
        """
        try:
            self._emit(item)
        except Exception as error:
            self.raised = error
            raise

    def has_raised(self, error: object) -> bool:
        """Whether this very error came from below."""
        return error is self.raised


class Next(NamedTuple):
    """What to subscribe to after a failure."""

    source: Observable[Any]
    delay: float | None = None
    """Seconds to wait; None for none."""
    resumes: bool = False
    """Whether the same answer goes on, rather than another one beginning."""


class Attempts:
    """One subscription: its requests, the labels of their events, and the errors between them.

    Attributes:
        asked: Requests so far.
        number: The highest `attempt` of an event so far; requests of operators above count too.
        tool_ran: A tool has run, or begun to: its call must not be asked for again.
    """

    def __init__(
        self,
        observer: abc.ObserverBase[Any],
        plan: Callable[[Exception, Attempts], Next | None],
        *,
        events: bool,
        own: abc.SchedulerBase | None = None,
        given: abc.SchedulerBase | None = None,
        tell: Callable[[int, Exception, float], None] | None = None,
    ) -> None:
        """Prepare a subscription.

        Args:
            observer: Who receives.
            plan: Says what to do after an error; None passes the error on.
            events: Whether the items are events, among which a `Retry` may be sent.
            own: The operator's clock.
            given: The subscriber's clock.
            tell: Called with the number of the next attempt, the error and the delay.
        """
        self.asked = self.number = 1
        self.tool_ran = False
        self._observer, self._plan, self._tell = observer, plan, tell
        self._events, self._own, self._given = events, own, given
        self._emit, self._below = observer.on_next, Below(observer)
        self._current = SerialDisposable()
        self._earlier: list[Exception] = []
        self._answer = 1  # `attempt` of the answer that is coming
        self._before = 0  # what is added to the `attempt` of the request's own events
        self._resumed = False
        self._output: set[str] = set()  # ids of the streams that have shown something
        self._void: set[str] = set()  # ... something that a new answer replaces, unsaid so far

    @property
    def output(self) -> bool:
        """Whether something was passed on that another answer would repeat."""
        return bool(self._output)

    def start(self, source: Observable[Any]) -> abc.DisposableBase:
        """Ask for the first time."""
        self._ask(source)
        return self._current

    def _ask(self, source: Observable[Any]) -> None:
        first = not self._before and not self._resumed
        inner = SingleAssignmentDisposable()
        self._current.disposable = inner
        inner.disposable = source.subscribe(
            self._take if first else self._take_labelled,
            self._failed,
            self._completed,
            scheduler=self._given,
        )

    def _take(self, item: Any) -> None:
        """An item of the first request: the hot path, in which text that goes on is no news."""
        if (
            item.__class__ is not TextDelta
            or item.stream_id not in self._output
            or item.attempt != self._answer
        ):
            if isinstance(item, StreamEvent):
                self._note(item)
            else:
                self._output.add("")
        try:
            self._emit(item)
        except Exception as error:
            self._below.raised = error
            raise

    def _take_labelled(self, item: Any) -> None:
        """An item of a later request; its attempts count on from those before it."""
        if not isinstance(item, StreamEvent):
            self._output.add("")
        else:
            if self._resumed and isinstance(item, Start) and item.attempt == 1:
                return  # the same answer goes on
            item = _labelled(item, self._before + item.attempt)
            if item.stream_id in self._void and item.__class__ not in (Usage, Raw, Retry):
                self._void.discard(item.stream_id)
                if not isinstance(item, Start):  # something above has filtered it out
                    self._begin_anew(item.stream_id, item.attempt)
            self._note(item)
        self._below.on_next(item)

    def _note(self, event: StreamEvent) -> None:
        kind, attempt = event.__class__, event.attempt
        if attempt > self.number:
            self.number = attempt
        if kind not in NO_CONTENT:
            self._answer = attempt
            self._output.add(event.stream_id)
            if getattr(event, "type", "") in _OF_A_RUN:
                self.tool_ran = True
        elif kind is Start:
            self._answer = attempt
            if attempt > 1 and not event.step:
                self._output.discard(event.stream_id)

    def _begin_anew(self, stream_id: str, attempt: int) -> None:
        self._below.on_next(Start(stream_id=stream_id, attempt=attempt))

    def _completed(self) -> None:
        try:
            for stream_id in sorted(self._void):  # the new answer has nothing of these
                self._begin_anew(stream_id, self._before + 1)
        except Exception as raised:  # the subscriber's
            self._observer.on_error(raised)
            return
        self._observer.on_completed()

    def _failed(self, error: Exception) -> None:
        if self._below.has_raised(error):
            self._observer.on_error(error)
            return
        try:
            following = self._plan(error, self) if isinstance(error, Exception) else None
            if following is not None:
                self._go_over(error, following)
        except BaseException as raised:  # of the user's predicate, jitter, hook or subscriber
            if goes_up(raised):
                raise
            self._observer.on_error(raised)  # type: ignore[arg-type]  # of whatever class
            return
        if following is None:
            self._give_up(error)
        elif following.delay is None:
            self._ask(following.source)
        else:
            timer = SingleAssignmentDisposable()
            self._current.disposable = timer  # first: a clock may call back at once
            timer.disposable = clock(self._own, self._given).schedule_relative(
                following.delay, lambda *_: self._ask(following.source)
            )

    def _go_over(self, error: Exception, following: Next) -> None:
        """Count, and tell the hook and the subscribers of a stream of events what comes."""
        self._resumed = following.resumes
        if following.resumes:
            self._before = self._answer - 1
        else:
            self._before = self.number
            self._void |= self._output
            self._output.clear()
        self.asked += 1
        self.number += 1
        self._earlier += [*getattr(error, "attempts", ()), error]
        delay = following.delay or 0.0
        if self._tell is not None:
            self._tell(self.number, error, delay)
        if self._events:
            told = Retry(attempt=self.number, delay=delay, error=str(error), kind=kind_of(error))
            self._below.on_next(told)

    def _give_up(self, error: Exception) -> None:
        if self._earlier:
            if isinstance(error, GaiError):
                error.attempts = _once_each((*self._earlier, *error.attempts), but=error)
            error.add_note(f"gai_rx asked {self.asked} times; earlier: {self._earlier[-1]}")
        self._observer.on_error(error)


def _labelled(event: StreamEvent, attempt: int) -> StreamEvent:
    """The event as one of this attempt; not validated, for every later event passes here."""
    if event.attempt == attempt:
        return event
    values = {**event.__dict__, "attempt": attempt}
    return trusted(event.__class__, values, event.__pydantic_fields_set__ | {"attempt"})


def _once_each(errors: Iterable[Exception], but: Exception) -> tuple[Exception, ...]:
    """Every error object once, in order: one that is raised again must not hold itself."""
    found = {id(error): error for error in errors if error is not but}
    return tuple(found.values())
