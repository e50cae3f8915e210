"""Faults by name: how an answer goes wrong.

Each is deterministic: the same fault, with the same seed, breaks an answer at the same place.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, fields, replace
from typing import Any, Final

__all__ = ["FAULTS", "Failure", "Fault"]

FAULTS: Final[dict[str, str]] = {
    "rate_limit": "HTTP 429 with Retry-After",
    "overloaded": "HTTP 503, or 529 where the provider says so",
    "server_error": "HTTP 500",
    "refused": "HTTP with the status of your choice: refused:status=401",
    "error_in_stream": "an error inside a 200, after `at` deltas; `kind` names it",
    "cut": "the body ends at byte `at`, cleanly",
    "hang_up": "the connection closes at byte `at`, the body unfinished",
    "reset": "the connection is reset at byte `at`",
    "stall": "silence after `at` deltas, for `seconds` or for ever",
    "slow_drip": "`size` bytes a write, `seconds` apart",
    "split": "every byte its own write",
    "malformed": "a record that is no JSON, after `at` deltas",
    "keepalives": "`size` comments before every delta",
    "empty": "HTTP 200 without a body",
}
"""Every fault, and what it does."""

_KIND: Final = {
    "rate_limit": "rate_limit",
    "overloaded": "overloaded",
    "server_error": "server",
    "refused": None,  # by its status
}
_BY_STATUS: Final = {
    401: "authentication",
    402: "quota",
    403: "permission",
    404: "not_found",
    429: "rate_limit",
    503: "overloaded",
    529: "overloaded",
}
_MESSAGES: Final = {
    "rate_limit": "Rate limit reached. Please try again later.",
    "overloaded": "Overloaded. Please try again later.",
    "server": "The server had an error while processing your request.",
    "authentication": "Incorrect API key provided.",
    "permission": "You do not have access to this model.",
    "not_found": "The model does not exist.",
    "quota": "You exceeded your current quota.",
    "context_length": "The prompt is too long: it exceeds the maximum context length.",
    "content_filter": "The prompt was blocked by the content filter.",
}
_AFTER_DELTAS: Final = 3  # where a fault strikes that is not told where
_SEEDED_BYTES: Final = 2000  # a seed draws a byte below this, most of a short answer
_SEEDED_DELTAS: Final = 12


@dataclass(frozen=True)
class Failure:
    """A failure that a dialect puts into its own words.

    Args:
        kind: As `gai_rx.errors` names it.
        message: For people.
        status: HTTP status; None for the dialect's own.
        retry_after: Seconds to ask for, None for none.
    """

    kind: str
    message: str
    status: int | None = None
    retry_after: float | None = None

    @classmethod
    def of(cls, kind: str, message: str | None, status: int | None = None) -> Failure:
        """A failure with the usual words for its kind, if it has none of its own."""
        usual = _MESSAGES.get(kind, "The request is not valid.")
        return cls(kind, message or f"{usual} (simulated)", status)


@dataclass(frozen=True)
class Fault:
    """One way for an answer to go wrong; `FAULTS` names them all.

    Args:
        name: Which.
        at: Where it strikes: a byte for cut, hang_up and reset, a number of deltas for stall,
            error_in_stream and malformed. When None, drawn from the seed; without a seed, in
            the middle of the fourth delta.
        seed: Draws `at`.
        retry_after: Seconds in the Retry-After header of a refusal.
        status: HTTP status of a refusal.
        message: What a refusal or an error in the stream says, instead of the usual words.
        kind: What error_in_stream says, as `gai_rx.errors` names kinds.
        seconds: Length of a stall (for ever when None); pause between drips.
        size: Bytes a drip; keep-alive comments before each delta.
        times: Strike this many requests, let the next one through, and so on; always when None.

    Raises:
        ValueError: If there is no such fault, or a number makes no sense.

    Example:
        >>> Fault.parse("cut:at=120")
        Fault('cut:at=120')
    """

    name: str
    at: int | None = None
    seed: int | None = None
    retry_after: float | None = None
    status: int | None = None
    kind: str | None = None
    message: str | None = None
    seconds: float | None = None
    size: int = 0
    times: int | None = None

    def __post_init__(self) -> None:
        if self.name not in FAULTS:
            raise ValueError(f"no fault is called {self.name!r}; known are {', '.join(FAULTS)}")
        for name in ("at", "retry_after", "seconds", "size", "times"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ValueError(f"{name} must be 0 or more, got {value}")
        if self.status is not None and not 300 <= self.status <= 599:
            raise ValueError(f"the status of a refusal is 300 to 599, got {self.status}")

    def __repr__(self) -> str:
        return f"Fault({str(self)!r})"

    def __str__(self) -> str:
        told = [
            f"{f.name}={getattr(self, f.name)}"
            for f in fields(self)[1:]
            if getattr(self, f.name) != f.default
        ]
        return ":".join([self.name, *([",".join(told)] if told else [])])

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read a fault from its text, `name` or `name:setting=value,setting=value`.

        Raises:
            ValueError: If the text is no fault; says what was found.
        """
        name, _, rest = text.partition(":")
        settings: dict[str, Any] = {}
        for pair in filter(None, rest.replace(":", ",").split(",")):
            key, equals, value = pair.partition("=")
            reader = _READERS.get(key.strip())
            if not equals or reader is None:
                known = ", ".join(_READERS)
                raise ValueError(f"expected setting=value with one of {known}; got {pair!r}")
            settings[key.strip()] = reader(value.strip())
        return cls(name.strip(), **settings)

    @property
    def refusal(self) -> Failure | None:
        """The failure that it answers with instead of a stream, if it does."""
        if self.name not in _KIND:
            return None
        kind = _KIND[self.name] or _kind_of(self.status or 400)
        failure = Failure.of(kind, self.message, self.status)
        wait = 1.0 if self.name == "rate_limit" and self.retry_after is None else self.retry_after
        return replace(failure, retry_after=wait)

    @property
    def error_inside(self) -> Failure:
        """The failure that error_in_stream tells."""
        return Failure.of(self.kind or "overloaded", self.message)

    @property
    def byte(self) -> int | None:
        """The byte where it strikes; None for the middle of the fourth delta."""
        if self.at is None and self.seed is not None:
            return random.Random(self.seed).randrange(1, _SEEDED_BYTES)
        return self.at

    @property
    def delta(self) -> int:
        """How many deltas come before it strikes."""
        if self.at is not None:
            return self.at
        if self.seed is not None:
            return random.Random(self.seed).randrange(_SEEDED_DELTAS)
        return _AFTER_DELTAS

    def strikes(self, request: int) -> bool:
        """Whether it strikes the request of this number, from 0."""
        return self.times is None or request % (self.times + 1) < self.times


def _kind_of(status: int) -> str:
    return _BY_STATUS.get(status) or ("server" if status >= 500 else "bad_request")


_READERS: Final = {
    "at": int,
    "seed": int,
    "retry_after": float,
    "status": int,
    "kind": str,
    "message": str,
    "seconds": float,
    "size": int,
    "times": int,
}
