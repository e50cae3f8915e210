"""Recovering: what a subscriber gets instead of an error."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import SerialDisposable, SingleAssignmentDisposable

from gai_rx.errors import GaiError
from gai_rx.events import Error
from gai_rx.flow import goes_up
from gai_rx.operators._attempts import Below, When, check_when, kind_of, shown, wants
from gai_rx.operators._outlet import Outlet
from gai_rx.stream import Operator, Stream, lift

__all__ = ["as_event", "errors_as_events", "recover"]

T = TypeVar("T")
Instead: TypeAlias = (
    Observable[T] | Sequence[T] | Callable[[Exception], Observable[T] | Iterable[T]]
)


def recover(*when: When, with_: Instead[T]) -> Callable[[Observable[T]], Stream[T]]:
    """Go on with something else when the stream fails with a matching error.

        source                  -a-b-#
        recover(..., with_=…)   -a-b-(c|)

    What has been passed on stays; what comes instead follows it, unlabelled, and ends the stream.
    To replace the answer rather than to append to it, use `fallback_to`. An error of what comes
    instead passes, and so do errors of your own functions below.

    Args:
        when: Matchers like `rate_limit | timeout`, exception classes, or predicates.
        with_: A stream, a list of items, or a function that makes either from the error.

    Raises:
        TypeError: At once, if nothing is given to match, or something that can not match, or
            `with_` is neither of its forms. A text is none: it would come letter by letter.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import OverloadedError, Stream, overloaded
        >>> busy = Stream.of(rx.throw(OverloadedError("busy")))
        >>> busy.pipe(recover(overloaded, with_=["Please come back later."])).run()
        'Please come back later.'
    """
    check_when("recover", when)
    if not callable(with_):
        _checked(with_)  # a wrong one fails here, not at the first failure
    if isinstance(with_, Iterator):
        raise TypeError("with_ takes a list, not an iterator, which would serve one stream only")

    def instead(error: Exception) -> Observable[T] | Sequence[T] | None:
        if not any(wants(w, error) for w in when):
            return None
        return _checked(with_(error) if callable(with_) else with_)

    operator: Operator[Any, Any] = _replacing(f"recover({shown(when)})", instead)
    return operator


def errors_as_events(*when: When) -> Callable[[Observable[T]], Stream[T | Error]]:
    """Turn the error that ends the stream into an `Error` event and a regular end.

        source               -S-a-#
        errors_as_events()   -S-a-(E|)

    The stream then ends without a `Finish`: who has seen none has no complete answer, and tools
    must not run from it. Without arguments every `GaiError` is turned; errors of your own
    functions are no provider's and pass, unless they are named.

    Args:
        when: Which errors, as matchers, exception classes or predicates; every `GaiError` if none.

    Raises:
        TypeError: At once, if something is given that can not match.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import OverloadedError, Stream
        >>> busy = Stream.of(rx.throw(OverloadedError("busy", status=529)))
        >>> error = busy.pipe(errors_as_events()).run()
        >>> error.kind, error.message, error.details
        ('overloaded', 'busy', {'status': 529, 'retryable': True})
    """
    matchers = when or (GaiError,)
    check_when("errors_as_events", matchers)

    def instead(error: Exception) -> Sequence[Any] | None:
        return [as_event(error)] if any(wants(w, error) for w in matchers) else None

    operator: Operator[Any, Any] = _replacing(f"errors_as_events({shown(when)})", instead)
    return operator


def as_event(error: Exception, *, stream_id: str = "") -> Error:
    """An error as the event that tells of it.

    `details` has what a `GaiError` knows of itself, as JSON can carry it; no key is among it.

    Example:
        >>> as_event(ZeroDivisionError("by zero")).kind
        'ZeroDivisionError'
    """
    details: dict[str, Any] = {}
    if isinstance(error, GaiError):
        details = {name: getattr(error, name) for name in _TOLD}
        details["attempts"] = [f"{kind_of(e)}: {e}" for e in error.attempts]
        details = {name: told for name, told in details.items() if told not in (None, [])}
    return Error(stream_id=stream_id, kind=kind_of(error), message=str(error), details=details)


_TOLD = ("provider", "model", "status", "request_id", "retry_after", "retryable", "phase")


_AT_ONCE = 64
"""Items that are emitted without a task of their own."""


def _checked(given: Any) -> Observable[Any] | Sequence[Any]:
    """What shall come instead.

    Raises:
        TypeError: If it is neither a stream nor items.
    """
    if isinstance(given, Observable):
        return given
    if isinstance(given, str | bytes):
        raise TypeError(f"with_ takes items, not one text; write with_=[{given[:20]!r}]")
    if not isinstance(given, Iterable) or hasattr(given, "model_fields_set"):
        raise TypeError(f"with_ is a stream, a list of items or a function, got {given!r}")
    if isinstance(given, Sequence) and len(given) <= _AT_ONCE:
        return given
    return Stream.from_iterable(given)  # which lets the loop's other tasks have their turn


def _replacing(
    stage: str, instead: Callable[[Exception], Observable[Any] | Sequence[Any] | None]
) -> Operator[Any, Any]:
    """Another stream in the place of an error, where there is one for it."""

    def subscribe(
        source: Observable[Any], observer: abc.ObserverBase[Any], given: abc.SchedulerBase | None
    ) -> abc.DisposableBase:
        below, current = Below(observer), SerialDisposable()

        def on_error(error: Exception) -> None:
            following = None
            if isinstance(error, Exception) and not below.has_raised(error):
                try:
                    following = instead(error)
                except BaseException as raised:  # of the user's function
                    if goes_up(raised):
                        raise
                    observer.on_error(raised)  # type: ignore[arg-type]  # of whatever class
                    return
            if following is None:
                observer.on_error(error)
                return
            if not isinstance(following, Observable):
                outlet: Outlet[Any] = Outlet(observer, stage)
                current.disposable = outlet
                outlet.end(following)
                return
            inner = SingleAssignmentDisposable()
            current.disposable = inner
            inner.disposable = following.subscribe(
                observer.on_next, observer.on_error, observer.on_completed, scheduler=given
            )

        first = SingleAssignmentDisposable()
        current.disposable = first
        first.disposable = source.subscribe(
            below.on_next, on_error, observer.on_completed, scheduler=given
        )
        return current

    return lift(stage, subscribe, keeps_events=True)
