"""What can go wrong: one tree of errors, and the matchers that `retry_on` takes.

    GaiError
    ├── RateLimitError *          rate_limit       too many requests; wait `retry_after`
    ├── OverloadedError *         overloaded       the provider has no room right now
    ├── ServerError *             server           the provider failed
    ├── ConnectionFailedError *   connection       no connection, or it broke
    ├── TimedOutError *           timeout          a limit of `Timeouts` ran out
    │   └── StalledError *                         ... between two pieces of content
    ├── TruncatedError *          truncated        the answer ended before its terminal marker
    ├── ProtocolError             protocol         what came is not what the provider documents
    ├── AuthenticationError       authentication   no key, or a wrong one
    ├── PermissionDeniedError     permission       the key may not do this
    ├── NotFoundError             not_found        no such model or address
    ├── BadRequestError           bad_request      the provider refuses the request as it is
    │   └── ContextLengthError    context_length   ... because it is too long
    ├── ContentFilterError        content_filter   the prompt was blocked
    ├── QuotaError                quota            the account's money or allowance is used up
    ├── BackpressureError         backpressure     a bounded buffer overran
    ├── ObjectInvalidError        object_invalid   structured output does not fit its type
    ├── ToolError                 tool             a tool could not be run
    └── BudgetExceededError       budget           a budget of the caller ran out

`*` marks what may work when asked again (`error.retryable`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from gai_rx.result import Result

__all__ = [
    "AuthenticationError",
    "BackpressureError",
    "BadRequestError",
    "BudgetExceededError",
    "ConnectionFailedError",
    "ContentFilterError",
    "ContextLengthError",
    "GaiError",
    "Matcher",
    "NotFoundError",
    "ObjectInvalidError",
    "OverloadedError",
    "PermissionDeniedError",
    "Phase",
    "ProtocolError",
    "QuotaError",
    "RateLimitError",
    "ServerError",
    "StalledError",
    "TimedOutError",
    "ToolError",
    "TruncatedError",
    "connection",
    "overloaded",
    "quota",
    "rate_limit",
    "server",
    "timeout",
    "transient",
    "truncated",
]

Phase = Literal["connect", "headers", "stream", "decode"]


class GaiError(Exception):
    """The root of every error of gai_rx.

    Attributes:
        kind: Name of the class of failure, as a matcher names it.
        provider: The host that was asked.
        model: The model that was asked for.
        status: HTTP status, where one came.
        request_id: The provider's name for the request, for its support.
        retry_after: Seconds the provider asks to wait.
        retryable: Whether asking again may help.
        phase: How far the request had come: connect, headers, stream or decode.
        partial: What had arrived before the failure, as a `Result`.
        resume: Makes a stream that continues the answer, where the provider can do that.
        attempts: The errors of earlier attempts, oldest first.
    """

    kind: ClassVar[str] = "error"
    retries: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        provider: str | None = None,
        model: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        retryable: bool | None = None,
        phase: Phase | None = None,
        partial: Result | None = None,
        resume: Callable[[], Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.provider = provider
        self.model = model
        self.status = status
        self.request_id = request_id
        self.retry_after = retry_after
        self.retryable = self.retries if retryable is None else retryable
        self.phase = phase
        self.partial = partial
        self.resume = resume
        self.attempts: tuple[Exception, ...] = ()

    @property
    def message(self) -> str:
        """What was expected, what came, and what to do."""
        return str(self.args[0])


class RateLimitError(GaiError):
    """Too many requests, or too many tokens a minute."""

    kind = "rate_limit"
    retries = True


class OverloadedError(GaiError):
    """The provider has no room for the request right now."""

    kind = "overloaded"
    retries = True


class ServerError(GaiError):
    """The provider failed."""

    kind = "server"
    retries = True


class ConnectionFailedError(GaiError):
    """No connection to the provider, or it broke."""

    kind = "connection"
    retries = True


class TimedOutError(GaiError):
    """A limit ran out; the message names which."""

    kind = "timeout"
    retries = True


class StalledError(TimedOutError):
    """No content for longer than allowed, though the connection may live."""


class TruncatedError(GaiError):
    """The answer ended before the provider said that it was complete."""

    kind = "truncated"
    retries = True


class ProtocolError(GaiError):
    """What came is not what the provider documents."""

    kind = "protocol"


class AuthenticationError(GaiError):
    """No key, or one that the provider does not know."""

    kind = "authentication"


class PermissionDeniedError(GaiError):
    """The key is known but may not do this."""

    kind = "permission"


class NotFoundError(GaiError):
    """No such model, or no such address."""

    kind = "not_found"


class BadRequestError(GaiError):
    """The provider refuses the request as it is."""

    kind = "bad_request"


class ContextLengthError(BadRequestError):
    """The request is longer than the model can read."""

    kind = "context_length"


class ContentFilterError(GaiError):
    """The provider's filter blocked the prompt."""

    kind = "content_filter"


class QuotaError(GaiError):
    """The account's money or allowance is used up; waiting does not help."""

    kind = "quota"


class BackpressureError(GaiError):
    """A producer that can not be slowed down overran a bounded buffer."""

    kind = "backpressure"


class ObjectInvalidError(GaiError):
    """The structured answer does not fit the type that was asked for; `text` is what came."""

    kind = "object_invalid"
    text: str = ""


class ToolError(GaiError):
    """A tool could not be run."""

    kind = "tool"


class BudgetExceededError(GaiError):
    """A budget that the caller set ran out."""

    kind = "budget"


def _exponential(n: int) -> float:
    return 2.0 ** min(n, 60)  # beyond that it is longer than anybody waits, and overflows


def _linear(n: int) -> float:
    return float(n)


def _half_second(n: int) -> float:
    return 0.5


class Matcher:
    """Says which errors to retry, and how long to wait before the n-th retry.

    Matchers combine with `|`; each keeps its own back-off.

    Example:
        >>> either = rate_limit | timeout
        >>> either(TimedOutError("slow")), either.delay(TimedOutError("slow"), 1)
        (True, 0.5)
        >>> either(QuotaError("no money"))
        False
    """

    __slots__ = ("_backoffs",)

    def __init__(self, backoffs: dict[str, Callable[[int], float]]) -> None:
        """Match the kinds that are the keys; each value maps a retry's number to seconds."""
        self._backoffs = backoffs

    @property
    def kinds(self) -> tuple[str, ...]:
        """The error kinds that match."""
        return tuple(self._backoffs)

    def __call__(self, error: BaseException) -> bool:
        """Whether `error` is of one of the kinds."""
        return isinstance(error, GaiError) and error.kind in self._backoffs

    def delay(self, error: GaiError, n: int) -> float:
        """Seconds to wait before retry number `n` (from 1) after `error`."""
        return self._backoffs[error.kind](n)

    def __or__(self, other: Matcher) -> Matcher:
        return Matcher({**self._backoffs, **other._backoffs})

    def __repr__(self) -> str:
        return " | ".join(self._backoffs)


rate_limit = Matcher({"rate_limit": _exponential})
overloaded = Matcher({"overloaded": _exponential})
server = Matcher({"server": _exponential})
timeout = Matcher({"timeout": _half_second})
connection = Matcher({"connection": _linear})
truncated = Matcher({"truncated": _half_second})
quota = Matcher({"quota": _exponential})
transient = rate_limit | overloaded | server | timeout | connection | truncated
