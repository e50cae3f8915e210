"""From what a provider says of a failure to the one error that fits it.

Used for HTTP refusals (status, headers, body) and for errors that arrive inside an answer with
status 200. Codes and types that the providers document win over the status.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from pydantic import SecretStr

from gai_rx.errors import (
    AuthenticationError,
    BadRequestError,
    ContentFilterError,
    ContextLengthError,
    GaiError,
    NotFoundError,
    OverloadedError,
    PermissionDeniedError,
    ProtocolError,
    QuotaError,
    RateLimitError,
    ServerError,
    TimedOutError,
)
from gai_rx.hiding import hidden, one_line

__all__ = ["hidden", "one_line", "refusal", "retry_after", "stream_error"]

_READ_LIMIT: Final = 16 * 1024
"""Most characters of a provider's own message that are looked at."""

_BY_STATUS: Final[Mapping[int, type[GaiError]]] = {
    400: BadRequestError,
    401: AuthenticationError,
    402: QuotaError,
    403: PermissionDeniedError,
    404: NotFoundError,
    407: AuthenticationError,
    408: TimedOutError,
    409: BadRequestError,
    413: BadRequestError,
    422: BadRequestError,
    425: ServerError,
    429: RateLimitError,
    498: AuthenticationError,
    499: ServerError,
    502: ServerError,
    503: OverloadedError,
    504: ServerError,
    529: OverloadedError,
}

# The words in `code`, `type` or `status` of an error body, as the providers document them.
_BY_CODE: Final[Mapping[str, type[GaiError]]] = {
    "context_length_exceeded": ContextLengthError,
    "string_above_max_length": ContextLengthError,
    "request_too_large": BadRequestError,
    "insufficient_quota": QuotaError,
    "billing_hard_limit_reached": QuotaError,
    "billing_error": QuotaError,
    "enforced_spend_limit_reached": QuotaError,
    "insufficient_balance": QuotaError,
    "content_filter": ContentFilterError,
    "content_policy_violation": ContentFilterError,
    "responsibleaipolicyviolation": ContentFilterError,
    "invalid_api_key": AuthenticationError,
    "authentication_error": AuthenticationError,
    "unauthenticated": AuthenticationError,
    "api_key_invalid": AuthenticationError,
    "permission_error": PermissionDeniedError,
    "permission_denied": PermissionDeniedError,
    "model_not_found": NotFoundError,
    "not_found_error": NotFoundError,
    "not_found": NotFoundError,
    "rate_limit_exceeded": RateLimitError,
    "rate_limit_error": RateLimitError,
    "too_many_requests": RateLimitError,
    "resource_exhausted": RateLimitError,
    "overloaded_error": OverloadedError,
    "overloaded": OverloadedError,
    "unavailable": OverloadedError,
    "service_unavailable": OverloadedError,
    "server_error": ServerError,
    "internal_server_error": ServerError,
    "internal_error": ServerError,
    "internal": ServerError,
    "api_error": ServerError,
    "unknown": ServerError,
    "timeout_error": TimedOutError,
    "timeout": TimedOutError,
    "deadline_exceeded": TimedOutError,
    "invalid_request_error": BadRequestError,
    "invalid_argument": BadRequestError,
    "failed_precondition": BadRequestError,
    "badrequesterror": BadRequestError,
}

_TOO_LONG = re.compile(
    r"maximum context length|context length exceeded|context window|prompt is too long"
    r"|input token count .{0,40}exceeds|too many tokens",
    re.IGNORECASE,
)


def refusal(
    status: int,
    headers: Mapping[str, str],
    body: Any,
    *,
    secrets: tuple[SecretStr, ...] = (),
    retry_limit: float = math.inf,
) -> GaiError:
    """The error for an HTTP answer that is no stream.

    Args:
        status: HTTP status.
        headers: Answer headers; looked up in lower case.
        body: The parsed JSON body, or its text where it is no JSON.
        secrets: What must not appear in the message.
        retry_limit: Longest `retry_after`, in seconds, that is passed on.
    """
    if 300 <= status < 400:
        where = headers.get("location", "elsewhere")
        return ProtocolError(
            f"HTTP {status}: the server redirects to {one_line(where, secrets)!r}; redirects are "
            "never followed, because they would hand the key and the prompt to another address; "
            "set base_url to the final address",
            status=status,
            phase="headers",
        )
    facts = _facts(body)
    kind = _kind(status, facts)
    error = kind(_say(f"HTTP {status}", facts, secrets), status=status, phase="headers")
    error.request_id = hidden(_request_id(headers) or "", secrets) or None
    error.retry_after = retry_after(headers, body, limit=retry_limit)
    hint = headers.get("x-should-retry")
    if status == 409 or (error.kind == "bad_request" and hint == "true"):
        error.retryable = hint != "false"
    elif hint == "false":
        error.retryable = False
    return error


def stream_error(body: Any, *, secrets: tuple[SecretStr, ...] = ()) -> GaiError:
    """The error for an error record inside an answer that began with status 200.

    Args:
        body: The record, or the part of it that tells the error: an object or a text.
        secrets: What must not appear in the message.
    """
    facts = _facts(body)
    status = _status(facts)
    kind = _kind(status or 500, facts)
    return kind(_say("the stream broke off", facts, secrets), status=status, phase="stream")


def retry_after(
    headers: Mapping[str, str], body: Any = None, *, limit: float = math.inf
) -> float | None:
    """Seconds the provider asks to wait; None when it says nothing usable.

    `retry-after-ms` wins over `retry-after` (seconds or an HTTP date), that over Gemini's
    `retryDelay` in the body.

    Example:
        >>> retry_after({"retry-after": "7"}), retry_after({"retry-after": "nan"})
        (7.0, None)
    """
    seconds = _number(headers.get("retry-after-ms"))
    if seconds is not None:
        seconds /= 1000
    else:
        told = headers.get("retry-after")
        seconds = _number(told)
        if seconds is None and told:
            seconds = _until(told)
    if seconds is None:
        seconds = _retry_delay(body)
    if seconds is None or seconds < 0:
        return None
    return min(seconds, limit)


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else None
    except ValueError:
        return None
    return value if value is not None and math.isfinite(value) else None


def _until(date: str) -> float | None:
    try:
        then = parsedate_to_datetime(date)
    except ValueError:
        return None
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return max(0.0, (then - datetime.now(UTC)).total_seconds())


def _retry_delay(body: Any) -> float | None:
    """Google's `google.rpc.RetryInfo`: `"retryDelay": "34.4s"`."""
    error = _error_object(body)
    details = error.get("details") if isinstance(error, dict) else None
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str) and delay.endswith("s"):
            return _number(delay[:-1])
    return None


def _error_object(body: Any) -> Any:
    if isinstance(body, list) and body:  # Google wraps its error in an array at times
        body = body[0]
    if isinstance(body, dict):
        for key in ("error", "detail", "message"):
            if body.get(key) is not None:
                return body if isinstance(body[key], str) else body[key]
    return body


def _facts(body: Any) -> dict[str, Any]:
    """The error's own object; anything else becomes its message."""
    error = _error_object(body)
    if isinstance(error, dict):
        return error
    if isinstance(error, list):  # FastAPI: [{"loc": [...], "msg": "..."}]
        said = [str(e.get("msg", e)) if isinstance(e, dict) else str(e) for e in error]
        return {"message": "; ".join(said)}
    return {"message": str(error)} if error else {}


def _codes(facts: Mapping[str, Any]) -> list[str]:
    inner = facts.get("innererror")
    found = [facts.get("code"), facts.get("type"), facts.get("status")]
    found.append(inner.get("code") if isinstance(inner, dict) else None)
    found += [d.get("reason") for d in facts.get("details") or () if isinstance(d, dict)]
    metadata = facts.get("metadata")
    found.append(metadata.get("error_type") if isinstance(metadata, dict) else None)
    return [c.lower() for c in found if isinstance(c, str)]


def _status(facts: Mapping[str, Any]) -> int | None:
    for key in ("code", "status", "status_code", "http_code"):
        value = facts.get(key)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
            value = int(value)
        if isinstance(value, int) and 100 <= value < 600:
            return value
    return None


def _kind(status: int, facts: Mapping[str, Any]) -> type[GaiError]:
    told = [_BY_CODE[code] for code in _codes(facts) if code in _BY_CODE]
    for kind in told:
        if kind is not BadRequestError:  # which says no more than a status of 400 does
            return kind
    if status in (400, 413, 422, 500) and _TOO_LONG.search(_message(facts)):
        return ContextLengthError
    if told and status >= 500:
        return BadRequestError
    return _BY_STATUS.get(status, ServerError if status >= 500 else BadRequestError)


def _message(facts: Mapping[str, Any]) -> str:
    for key in ("message", "error", "detail", "error_message"):
        value = facts.get(key)
        if isinstance(value, str) and value:
            return value[:_READ_LIMIT]
    return ""


def _say(what: str, facts: Mapping[str, Any], secrets: tuple[SecretStr, ...]) -> str:
    said = one_line(_message(facts), secrets)
    codes = ", ".join(dict.fromkeys(_codes(facts)))
    code = f" ({one_line(codes, secrets)})" if codes else ""
    return f"{what}{code}: {said}" if said else f"{what}{code}, without a message"


def _request_id(headers: Mapping[str, str]) -> str | None:
    for name in ("x-request-id", "request-id", "x-goog-request-id", "apim-request-id", "cf-ray"):
        if headers.get(name):
            return headers[name][:200]
    return None
