"""Approving: who decides whether a call may run, and what exactly was decided about."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from gai_rx.events import ToolCall

__all__ = ["Approval", "Approve", "Decisions", "check_approve", "digest_of"]


@dataclass(frozen=True, slots=True)
class Approval:
    """A decision about one call; it holds for this id, this tool and these very arguments.

    Example:
        >>> call = ToolCall(id="1", name="delete", arguments={"path": "a"})
        >>> Approval.of(call).fits(call)
        True
        >>> Approval.of(call).fits(call.model_copy(update={"arguments": {"path": "b"}}))
        False
    """

    call_id: str
    name: str
    digest: str
    """Of the arguments; see `digest_of`."""
    granted: bool = True
    reason: str = ""
    """Why not; the model reads it."""

    @classmethod
    def of(cls, call: ToolCall, granted: bool = True, reason: str = "") -> Approval:
        """The decision about a call."""
        return cls(call.id, call.name, digest_of(call.arguments), granted, reason)

    def fits(self, call: ToolCall) -> bool:
        """Whether it was this call that was decided about, argument by argument."""
        return (self.call_id, self.name, self.digest) == (
            call.id,
            call.name,
            digest_of(call.arguments),
        )


def digest_of(arguments: Mapping[str, Any]) -> str:
    """A hash of the arguments, whatever the order of their keys."""
    canonical = json.dumps(arguments, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


class Decisions(Protocol):
    """An Observable of `Approval`s, as RxPY has them."""

    def subscribe(self, on_next: Any = None, on_error: Any = None, on_completed: Any = None) -> Any:
        """Begin to hear decisions."""
        ...


Approve: TypeAlias = (
    Callable[[ToolCall], "bool | Approval | Awaitable[bool | Approval | None] | None"] | Decisions
)
"""Who decides about calls: a function, sync or async, or an Observable of `Approval`s.

A function says yes, no, or None for "not now": then the run stops, and its `Result` can be resumed.
"""


def check_approve(approve: Any, where: str) -> None:
    """Refuse what can not decide about calls.

    Raises:
        TypeError: If it is neither a function nor an Observable.
    """
    if not (callable(approve) or hasattr(approve, "subscribe")):
        raise TypeError(
            f"{where}: approve is a function of a ToolCall or an Observable of Approval, "
            f"got {type(approve).__name__}"
        )
