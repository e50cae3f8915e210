"""Retrying: ask again, and never repeat a word."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal, TypeAlias, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import SerialDisposable, SingleAssignmentDisposable

from gai_rx.errors import BackpressureError, GaiError, Matcher
from gai_rx.events import Raw, Retry, Start, StreamEvent, ToolResult, Usage
from gai_rx.stream import Operator, Stream, clock, lift

__all__ = ["retry_on"]

T = TypeVar("T")
When: TypeAlias = Matcher | type[Exception] | Callable[[Exception], bool]
AfterOutput = Literal["fail", "restart", "resume"]


def retry_on(
    *when: When,
    attempts: int = 3,
    after_output: AfterOutput = "fail",
    max_delay: float = 120.0,
    jitter: Callable[[float], float] | None = None,
    on_retry: Callable[[int, Exception, float], None] | None = None,
    scheduler: abc.SchedulerBase | None = None,
) -> Callable[[Observable[T]], Stream[T]]:
    """Ask again when the stream fails with a matching error.

        source           -S-#   -S-a-b-F|
        retry_on(...)    -S-R----S-a-b-F|

    Before any output a failure is retried without a trace but a `Retry` event and a
    `Start(attempt=n)`. Output is every item except `Start`, `Usage`, `Raw` and `Retry`. After
    output a second request would repeat words, so `after_output` decides:

    - `"fail"`: the error goes on; what had arrived is in `error.partial`.
    - `"restart"`: ask again; `Start(attempt=n)` tells every operator below to begin anew. Only on a
      stream of events, and not once a tool has run: elsewhere it behaves as `"fail"`.
    - `"resume"`: go on where the answer stopped, if the provider can (`error.resume`); else fail.

    Errors of your own functions below, cancellation and `BackpressureError` are never retried.

    Args:
        when: Matchers like `rate_limit | timeout`, exception classes, or predicates.
        attempts: Most requests in all.
        after_output: What to do once something was passed on.
        max_delay: Longest wait in seconds; a provider that asks for more fails at once.
        jitter: Changes each computed delay, given in seconds; a provider's own is kept.
        on_retry: Called with the number of the next attempt, the error and the delay.
        scheduler: The clock of the delays; the subscriber's when None.

    Raises:
        TypeError: At once, if nothing is given to match, or something that can not match.
        ValueError: At once, if `attempts` is below 1.

    Example:
        >>> from gai_rx import connect, rate_limit, timeout
        >>> model = connect("anthropic", api_key="sk-...")
        >>> model.stream_text("Hi").pipe(retry_on(rate_limit | timeout, attempts=5))
        Stream(anthropic:claude-sonnet-4-5 | retry_on(rate_limit | timeout))
    """
    _check(when, attempts, after_output)
    names = ", ".join(getattr(w, "__name__", repr(w)) for w in when)
    policy = _Policy(when, attempts, after_output, max_delay, jitter, on_retry)

    def subscribe(
        source: Observable[T], observer: abc.ObserverBase[T], given: abc.SchedulerBase | None
    ) -> abc.DisposableBase:
        return _Retrying(source, observer, policy, scheduler, given).start()

    lifted: Operator[Any, Any] = lift(f"retry_on({names})", subscribe, keeps_events=True)

    def operator(source: Observable[T]) -> Stream[T]:
        if after_output == "restart" and not _of_events(source):
            warnings.warn(
                "retry_on(after_output='restart') needs a stream of events to announce that it "
                "begins anew; place it before text_only() and batch(). Here it behaves as 'fail'.",
                stacklevel=3,
            )
        return lifted(source)

    operator.__qualname__ = "retry_on"
    return operator


def _check(when: tuple[Any, ...], attempts: int, after_output: str) -> None:
    if not when:
        raise TypeError("retry_on() needs a matcher, an exception class or a predicate")
    for w in when:
        if not callable(w) or (isinstance(w, type) and not issubclass(w, Exception)):
            raise TypeError(f"retry_on() can not match with {w!r}")
    if attempts < 1:
        raise ValueError(f"retry_on(attempts=…) counts requests and is at least 1, got {attempts}")
    if after_output not in ("fail", "restart", "resume"):
        raise ValueError(f"after_output is 'fail', 'restart' or 'resume', got {after_output!r}")


def _of_events(source: object) -> bool:
    return isinstance(source, Stream) and source.of_events


class _Policy:
    """Which errors, how often, how long."""

    def __init__(
        self,
        when: tuple[When, ...],
        attempts: int,
        after_output: AfterOutput,
        max_delay: float,
        jitter: Callable[[float], float] | None,
        on_retry: Callable[[int, Exception, float], None] | None,
    ) -> None:
        self.when = when
        self.attempts = attempts
        self.after_output = after_output
        self.max_delay = max_delay
        self.jitter = jitter
        self.on_retry = on_retry

    def delay(self, error: Exception, n: int) -> float | None:
        """Seconds before retry `n`; None when `error` is not to be retried."""
        if isinstance(error, BackpressureError) or not isinstance(error, Exception):
            return None  # a full buffer, or a cancellation
        for w in self.when:
            if not (isinstance(error, w) if isinstance(w, type) else w(error)):
                continue
            told = error.retry_after if isinstance(error, GaiError) else None
            if told is not None:
                return told if told <= self.max_delay else None
            wait = (
                w.delay(error, n) if isinstance(w, Matcher) and isinstance(error, GaiError) else n
            )
            wait = min(wait, self.max_delay)
            return self.jitter(wait) if self.jitter else wait
        return None


class _Retrying:
    """One subscription: its attempts, one after the other."""

    def __init__(
        self,
        source: Observable[Any],
        observer: abc.ObserverBase[Any],
        policy: _Policy,
        own: abc.SchedulerBase | None,
        given: abc.SchedulerBase | None,
    ) -> None:
        self._source = source
        self._observer = observer
        self._policy = policy
        self._own, self._given = own, given
        self._events = _of_events(source)
        self._attempt = 1
        self._output = False
        self._tool_ran = False
        self._thrown_below: Exception | None = None
        self._earlier: list[Exception] = []
        self._current = SerialDisposable()

    def start(self) -> abc.DisposableBase:
        self._ask(self._source, resumed=False)
        return self._current

    def _ask(self, source: Observable[Any], *, resumed: bool) -> None:
        attempt, emit = self._attempt, self._observer.on_next

        def on_next(item: Any) -> None:
            if isinstance(item, StreamEvent):
                if resumed and isinstance(item, Start):
                    return  # the same answer goes on
                if attempt > 1 and not resumed:
                    item = item.model_copy(update={"attempt": attempt})
                if isinstance(item, ToolResult):
                    self._tool_ran = True
            if not self._output and not isinstance(item, Start | Usage | Raw | Retry):
                self._output = True
            try:
                emit(item)
            except Exception as error:
                self._thrown_below = error  # the subscriber's bug, never the provider's
                raise

        inner = SingleAssignmentDisposable()
        self._current.disposable = inner
        inner.disposable = source.subscribe(
            on_next, self._failed, self._observer.on_completed, scheduler=self._given
        )

    def _failed(self, error: Exception) -> None:
        try:
            again, delay = self._plan(error)
            if again is not None:
                self._announce(error, delay)
        except Exception as raised:  # of the user's predicate, jitter, hook or subscriber
            self._observer.on_error(raised)
            return
        if again is None:
            self._give_up(error)
            return
        resumed = again is not self._source
        if not resumed:
            self._output = False

        def go(*_: Any) -> None:
            self._ask(again, resumed=resumed)

        timer = clock(self._own, self._given)
        self._current.disposable = timer.schedule_relative(delay, go)

    def _announce(self, error: Exception, delay: float) -> None:
        """Tell the hook, and the subscribers of a stream of events, what happens next."""
        self._earlier.append(error)
        self._attempt += 1
        if self._policy.on_retry:
            self._policy.on_retry(self._attempt, error, delay)
        if self._events:
            kind = error.kind if isinstance(error, GaiError) else type(error).__name__
            self._observer.on_next(
                Retry(attempt=self._attempt, delay=delay, error=str(error), kind=kind)
            )

    def _plan(self, error: Exception) -> tuple[Observable[Any] | None, float]:
        """What to subscribe to next, and after how many seconds; None: nothing."""
        if error is self._thrown_below or self._attempt >= self._policy.attempts:
            return None, 0.0
        delay = self._policy.delay(error, self._attempt)
        if delay is None:
            return None, 0.0
        if not self._output:
            return self._source, delay
        if self._policy.after_output == "restart" and self._events and not self._tool_ran:
            return self._source, delay
        resume = getattr(error, "resume", None)
        if self._policy.after_output == "resume" and resume is not None:
            return resume(), delay
        return None, 0.0

    def _give_up(self, error: Exception) -> None:
        if self._earlier:
            if isinstance(error, GaiError):
                error.attempts = tuple(self._earlier)
            error.add_note(f"gai_rx asked {self._attempt} times; earlier: {self._earlier[-1]}")
        self._observer.on_error(error)
