"""Overflow: what happens to an item for which a full buffer has no room.

Every policy is bounded. Where one can not do what its name says (nothing that waits may be dropped
or joined) it does what `block` does: it holds the producer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Generic, Literal, TypeVar, get_args

from gai_rx.conflation import PENDING, Joined, join, size_of
from gai_rx.errors import BackpressureError
from gai_rx.events import (
    AudioDelta,
    ObjectDelta,
    Raw,
    ReasoningDelta,
    RefusalDelta,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    ToolProgress,
)
from gai_rx.flow import Buffer

__all__ = ["Overflow", "Policy", "check_policy", "make_policy", "may_drop"]

T = TypeVar("T")

Overflow = Literal[
    "block", "drop_newest", "drop_oldest", "latest", "conflate", "error", "caller_runs"
]
"""What happens to an item for which a full buffer has no room."""

_MAY_DROP = frozenset(
    [
        TextDelta,
        ReasoningDelta,
        RefusalDelta,
        AudioDelta,
        ObjectDelta,
        ToolCallDelta,
        ToolProgress,
        Raw,
    ]
)


def check_policy(overflow: str) -> None:
    """Refuse a policy that does not exist.

    Raises:
        ValueError: If it does not.
    """
    known = get_args(Overflow)
    if overflow not in known:
        raise ValueError(f"overflow is one of {', '.join(known)}; got {overflow!r}")


def may_drop(item: object) -> bool:
    """Whether a policy that drops may drop this item.

    Of events it is the pieces that do, `ToolProgress` and `Raw`: never what the grammar of an
    answer rests on, and never opaque data that must go back with the next turn.
    """
    if item.__class__ in _MAY_DROP:
        values = item.__dict__  # pydantic is slow to say that it has no such field
        return not (values.get("signature") or values.get("encrypted"))
    return not isinstance(item, StreamEvent)


class Policy(Generic[T]):
    """`block`, and what the others have in common: the buffer, and the count of what was dropped.

    Args:
        buffer: Where items wait.
        on_drop: Called with every item that is dropped.
    """

    def __init__(self, buffer: Buffer[T], on_drop: Callable[[T], object] | None = None) -> None:
        self.buffer = buffer
        self.dropped = 0
        self._on_drop = on_drop

    def put(self, item: T) -> None:
        """Add an item.

        Raises:
            BackpressureError: If it has no room, and no producer can be held.
            RuntimeError: If the item comes from another thread.
        """
        self.buffer.push(item)

    def take(self) -> T:
        """Take the oldest item out."""
        return self.buffer.pop()

    def deliver_to(self, on_next: Callable[[T], None]) -> Callable[[T], None]:
        """What to call with each item that was taken, in place of `on_next`."""
        return on_next

    def drop(self, item: T) -> None:
        """Count an item that gets lost."""
        self.dropped += 1
        if self._on_drop is not None:
            self._on_drop(item)


class _Dropping(Policy[T]):
    """Room is made by losing an item."""

    def put(self, item: T) -> None:
        buffer = self.buffer
        buffer.check_thread()
        if len(buffer.items) < buffer.size or self._made_room(item):
            buffer.items.append(item)
        elif may_drop(item):
            self.drop(item)
        else:
            buffer.push(item)

    def _made_room(self, item: T) -> bool:
        raise NotImplementedError

    def _drop_first(self, places: Iterable[int]) -> bool:
        """Drop the first item at these places that may be; whether there was one."""
        items = self.buffer.items
        for place in places:
            if may_drop(items[place]):
                lost = items[place]
                del items[place]
                self.drop(lost)
                return True
        return False

    def _oldest_first(self) -> Iterable[int]:
        return range(len(self.buffer.items))

    def _newest_first(self) -> Iterable[int]:
        return range(len(self.buffer.items) - 1, -1, -1)


class _DropNewest(_Dropping[T]):
    """The item that comes is lost; for one that may not be, the last that came before it."""

    def _made_room(self, item: T) -> bool:
        return not may_drop(item) and self._drop_first(self._newest_first())


class _DropOldest(_Dropping[T]):
    """The item that has waited longest is lost."""

    def _made_room(self, item: T) -> bool:
        return self._drop_first(self._oldest_first())


class _Latest(_DropOldest[T]):
    """Of the items that may be dropped only the newest waits."""

    def put(self, item: T) -> None:
        buffer = self.buffer
        buffer.check_thread()
        if may_drop(item) or len(buffer.items) >= buffer.size:
            self._drop_first(self._newest_first())
        if len(buffer.items) < buffer.size:
            buffer.items.append(item)
        else:
            buffer.push(item)


class _Error(Policy[T]):
    """An item without room ends the stream."""

    def put(self, item: T) -> None:
        buffer = self.buffer
        buffer.check_thread()
        if len(buffer.items) >= buffer.size:
            raise BackpressureError(
                f"{buffer.gate.name}: no room, {buffer.size} items wait (overflow='error')"
            )
        buffer.items.append(item)


class _CallerRuns(Policy[T]):
    """Who brings an item without room delivers the oldest one himself, in his own turn."""

    _on_next: Callable[[T], None] | None = None
    _delivering = False

    def deliver_to(self, on_next: Callable[[T], None]) -> Callable[[T], None]:
        self._on_next = on_next
        return self._deliver

    def put(self, item: T) -> None:
        buffer = self.buffer
        buffer.check_thread()
        if len(buffer.items) < buffer.size:
            buffer.items.append(item)
        elif self._delivering or self._on_next is None:
            buffer.push(item)  # what a delivery brings about comes after it, not within
        else:
            buffer.items.append(item)
            while len(buffer.items) > buffer.size:
                self._deliver(buffer.pop())

    def _deliver(self, item: T) -> None:
        assert self._on_next is not None
        self._delivering = True
        try:
            self._on_next(item)
        finally:
            self._delivering = False


class _Conflate(Policy[T]):
    """Neighbours become one item, so that nothing is lost and the queue does not grow."""

    def __init__(self, buffer: Buffer[T], on_drop: Callable[[T], object] | None = None) -> None:
        super().__init__(buffer, on_drop)
        self._items: deque[Any] = buffer.items  # of T and of what was joined of them
        self._pending = 0
        self._loose = 0

    def put(self, item: T) -> None:
        buffer, items = self.buffer, self._items
        buffer.check_thread()
        self._check_pending()
        self._pending += size_of(item)
        if len(items) < buffer.size:
            self._append(item)
        elif not join(items, item):
            self._squeeze()
            if len(items) < buffer.size:
                self._append(item)
            else:
                self._loose += 1
                buffer.push(item)
        if self._pending >= PENDING:
            buffer.hold_producer()

    def take(self) -> T:
        buffer = self.buffer
        taken = self._items.popleft()
        item: T = taken.result() if isinstance(taken, Joined) else taken
        # A buffer that was emptied from outside (disposed, overrun) holds no text either.
        self._pending = self._pending - size_of(item) if self._items else 0
        if (
            buffer.gate.closed
            and len(self._items) <= buffer.size // 2
            and self._pending <= PENDING // 2
        ):
            buffer.gate.open()
        return item

    def _append(self, item: T) -> None:
        self._loose += 1
        self._items.append(item)

    def _squeeze(self) -> None:
        """Join what waits; each item is looked at once, for what was squeezed stays so."""
        items = self._items
        loose = [items.pop() for _ in range(min(self._loose, len(items)))]
        for item in reversed(loose):
            if not join(items, item):
                items.append(item)
        self._loose = 0

    def _check_pending(self) -> None:
        if self._pending > 2 * PENDING:
            self.buffer.items.clear()
            raise BackpressureError(
                f"{self.buffer.gate.name}: {self._pending >> 20} MiB of text wait where "
                f"{PENDING >> 20} may; the producer above can not be slowed down"
            )


_POLICIES: dict[Overflow, type[Policy[Any]]] = {
    "block": Policy,
    "drop_newest": _DropNewest,
    "drop_oldest": _DropOldest,
    "latest": _Latest,
    "conflate": _Conflate,
    "error": _Error,
    "caller_runs": _CallerRuns,
}


def make_policy(
    overflow: Overflow, buffer: Buffer[T], on_drop: Callable[[T], object] | None = None
) -> Policy[T]:
    """The policy of that name, for one buffer."""
    return _POLICIES[overflow](buffer, on_drop)
