"""Retrying: ask again, and never repeat a word."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

from reactivex import Observable, abc

from gai_rx.errors import BackpressureError, GaiError, Matcher
from gai_rx.operators._attempts import (
    Attempts,
    Next,
    When,
    check_when,
    of_events,
    shown,
    wants,
)
from gai_rx.stream import Operator, Stream, lift

__all__ = ["retry_on"]

T = TypeVar("T")
AfterOutput = Literal["fail", "restart", "resume"]
Jitter: TypeAlias = float | Callable[[float], float]


def retry_on(
    *when: When,
    attempts: int = 3,
    after_output: AfterOutput = "fail",
    max_delay: float = 120.0,
    jitter: Jitter | None = None,
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
    - `"resume"`: go on where the answer stopped, if the provider can (`error.resume`); else fail,
      and a note of the error says why. Of the providers, OpenAI's Responses API can, for answers
      asked for with `provider_options={"background": True, "store": True}`. An answer that has
      begun is gone on with before its first output too: it is not asked, and paid, for twice.

    Each matcher has its own back-off before the n-th retry: rate_limit, overloaded and server 2^n
    seconds, timeout and truncated half a second, connection and everything else n seconds. What
    the provider asks for in `Retry-After` wins. Where it says that asking again does not help, a
    matcher does not match.

    Errors of your own functions below, cancellation and `BackpressureError` are never retried.
    When the attempts are used up the last error itself arrives, with the earlier ones in
    `error.attempts`.

    Args:
        when: Matchers like `rate_limit | timeout`, exception classes, or predicates.
        attempts: Most requests in all, of each subscription.
        after_output: What to do once something was passed on.
        max_delay: Longest wait in seconds; a provider that asks for more fails at once.
        jitter: Changes each computed delay; a provider's own is kept. A share from 0 to 1 takes up
            to that much of it away at random, a function makes another of it, in seconds.
        on_retry: Called with the number of the next attempt, the error and the delay in seconds.
        scheduler: The clock of the delays; the subscriber's when None.

    Raises:
        TypeError: At once, if nothing is given to match, or something that can not match.
        ValueError: At once, if `attempts` is below 1, or another number makes no sense.

    Example:
        >>> from gai_rx import connect, rate_limit, timeout
        >>> model = connect("anthropic", api_key="sk-...")
        >>> model.stream_text("Hi").pipe(retry_on(rate_limit | timeout, attempts=5))
        Stream(anthropic:claude-sonnet-4-5 | retry_on(rate_limit | timeout))
    """
    check_when("retry_on", when)
    policy = _Policy(when, attempts, after_output, max_delay, jitter)

    def subscribe(
        source: Observable[T], observer: abc.ObserverBase[T], given: abc.SchedulerBase | None
    ) -> abc.DisposableBase:
        events = of_events(source)

        def plan(error: Exception, so_far: Attempts) -> Next | None:
            return policy.plan(error, so_far, source, restarts=events)

        return Attempts(
            observer, plan, events=events, own=scheduler, given=given, tell=on_retry
        ).start(source)

    lifted: Operator[Any, Any] = lift(f"retry_on({shown(when)})", subscribe, keeps_events=True)

    def operator(source: Observable[T]) -> Stream[T]:
        if after_output == "restart" and not of_events(source):
            warnings.warn(
                "retry_on(after_output='restart') needs a stream of events to announce that it "
                "begins anew; place it before text_only() and batch(). Here it behaves as 'fail'.",
                stacklevel=3,
            )
        return lifted(source)

    operator.__qualname__ = "retry_on"
    return operator


@dataclass(frozen=True)
class _Policy:
    """Which errors, how often, how long."""

    when: tuple[When, ...]
    attempts: int
    after_output: AfterOutput
    max_delay: float
    jitter: Jitter | None

    def __post_init__(self) -> None:
        if not isinstance(self.attempts, int) or self.attempts < 1:
            raise ValueError(
                f"retry_on(attempts=…) counts requests and is at least 1, got {self.attempts!r}"
            )
        if self.after_output not in ("fail", "restart", "resume"):
            raise ValueError(
                f"after_output is 'fail', 'restart' or 'resume', got {self.after_output!r}"
            )
        if not self.max_delay >= 0:
            raise ValueError(f"max_delay is in seconds and at least 0, got {self.max_delay!r}")
        if not (self.jitter is None or callable(self.jitter) or 0 <= self.jitter <= 1):
            raise ValueError(f"jitter is a share from 0 to 1 or a function, got {self.jitter!r}")

    def plan(
        self, error: Exception, so_far: Attempts, source: Observable[Any], *, restarts: bool
    ) -> Next | None:
        """What to subscribe to after this error; None: nothing."""
        if so_far.asked >= self.attempts:
            return None
        delay = self._delay(error, so_far.asked)
        if delay is None:
            return None
        if self.after_output == "resume":
            resume = getattr(error, "resume", None)
            if resume is not None:
                return Next(resume(), delay, resumes=True)
        if not so_far.output:
            return Next(source, delay)
        if self.after_output == "restart" and restarts and not so_far.tool_ran:
            return Next(source, delay)
        if self.after_output == "resume":
            error.add_note(_can_not_resume(error))
        return None

    def _delay(self, error: Exception, n: int) -> float | None:
        """Seconds before retry `n`; None when `error` is not to be retried."""
        if isinstance(error, BackpressureError):
            return None  # the provider can not help it
        meant = next((w for w in self.when if wants(w, error) and not _useless(w, error)), None)
        if meant is None:
            return None
        if not isinstance(error, GaiError):
            return self._varied(n)
        if error.retry_after is not None:
            return error.retry_after if error.retry_after <= self.max_delay else None
        return self._varied(meant.delay(error, n) if isinstance(meant, Matcher) else n)

    def _varied(self, delay: float) -> float:
        delay = min(delay, self.max_delay)
        if callable(self.jitter):
            return max(0.0, min(self.jitter(delay), self.max_delay))
        return delay * (1 - random.uniform(0, self.jitter)) if self.jitter else delay


def _useless(when: When, error: Exception) -> bool:
    """Whether an error whose kind is worth a retry says of itself that it is not."""
    if not isinstance(when, Matcher) or not isinstance(error, GaiError):
        return False  # classes and predicates are the caller's own word
    return error.retries and not error.retryable


def _can_not_resume(error: Exception) -> str:
    provider = getattr(error, "provider", None) or "the source"
    return (
        f"retry_on(after_output='resume') could not go on: {provider} does not continue this "
        "answer where it stopped; after_output='restart' asks for another one"
    )
