"""The value of a JSON document that is still being written, and who watches which part of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from gai_rx.wire.json_path import JsonPath, Place, Watch

__all__ = ["Found", "GrowingValue"]


class Found(NamedTuple):
    """A value at a place that is watched."""

    watch: JsonPath
    """The path that means it."""
    place: Place
    """Where it stands: keys and indices from the root."""
    value: Any
    """The value; while it is open, what there is of it, in containers that go on growing."""
    closed: bool = True
    """Whether it is complete."""


class GrowingValue:
    """A tree of dicts and lists that grows at one place, its innermost open container.

    Whatever reads the text calls these methods, in the order of the text; nothing is checked here.

    Args:
        watch: The places to report.
        watch_open: Report them also while they are open.
        keep: Keep what is closed; else it is let go of when it has been reported.
        end: What the reader expects after the document; handed back, as is what it gives for each
            container, when a value has closed.
    """

    __slots__ = (
        "_after", "_at", "_changed", "_found", "_keep", "_key", "_let_go", "_node", "_opened",
        "_root", "_scalar", "_stack", "_watch_open",
    )  # fmt: skip

    def __init__(
        self, watch: Sequence[JsonPath], *, watch_open: bool, keep: bool, end: Any
    ) -> None:
        self._watch_open = watch_open
        self._keep = keep
        self._let_go = False  # whether a value has been closed and is not kept
        self._found: list[Found] = []
        self._begin(Watch(watch).held(), end)

    def _begin(self, holder: Watch, end: Any) -> None:
        # The document is the only element of a list, so that it needs no rules of its own.
        self._root: list[Any] = []
        self._at: Any = self._root  # the innermost container that is open
        self._key: Any = 0  # where in it the present value stands
        self._node = self._heeded(holder)  # what is watched in it; None for nothing
        self._after = end  # what may follow a value in it
        self._stack: list[tuple[Any, Any, Watch | None, Any]] = []  # the same of those around it
        self._opened: list[Found] = []  # the watched containers that are open, outermost first
        # The paths that mean the open scalar, and its place; None if that is yet to be found out.
        self._scalar: tuple[tuple[JsonPath, ...], Place] | None = None
        self._changed = False  # whether something has changed since the last report

    def _put(self, value: Any) -> None:
        """Take a value that is closed."""
        at = self._at
        if type(at) is dict:
            at[self._key] = value
        else:
            at.append(value)
        if self._node is not None:
            self._heed(self._node, value)

    def _enter(self, made: Any, after: Any) -> None:
        """Take a container that has just been opened."""
        at, node = self._at, self._node
        if type(at) is dict:
            at[self._key] = made
        else:
            at.append(made)
        self._stack.append((at, self._key, node, self._after))
        if node is not None:
            self._changed = True
            child = node.child(self._key)
            if self._watch_open and child.ends:
                place = self._around()
                self._opened += [Found(path, place, made, False) for path in child.ends]
            self._node = self._heeded(child)
        self._at, self._after, self._key = made, after, 0

    def _leave(self) -> None:
        """Close the innermost container."""
        made = self._at
        self._at, self._key, self._node, self._after = self._stack.pop()
        if self._node is not None:
            while self._opened and self._opened[-1].value is made:
                self._opened.pop()
            self._heed(self._node, made)

    def _begin_growing(self) -> None:
        """Take a string of which only the quote has come."""
        if type(self._at) is dict:
            self._at[self._key] = ""
        else:
            self._at.append("")
        self._changed = True

    def _grow(self, piece: str) -> None:
        """Add to the open string; in place, as long as only its container holds it."""
        at = self._at
        slot = self._key if type(at) is dict else -1
        text = at[slot]
        if text:
            at[slot] = None  # CPython grows a string in place if this is the only reference
            text += piece
        else:
            text = piece
        at[slot] = text
        self._changed = True

    def _end_growing(self) -> None:
        """Close the open string."""
        if self._node is not None:
            self._heed(self._node, self._at[self._slot()])

    def _heeded(self, node: Watch) -> Watch | None:
        """The node, if anything is to be done about the values in its container."""
        needed = node.live or not self._keep or (self._watch_open and node.within)
        return node if needed else None

    def _heed(self, node: Watch, value: Any) -> None:
        """Report a value that has closed, if it is watched; let go of it, if nobody keeps it."""
        self._changed = True
        self._scalar = None
        ends = node.child(self._key).ends
        if ends:
            place = self._here()
            self._found += [Found(path, place, value) for path in ends]
        if not (self._keep or node.within):
            self._let_go = True
            del self._at[self._slot()]

    def _slot(self) -> Any:
        """Where the last value of the innermost container stands in it."""
        return self._key if type(self._at) is dict else -1

    def _here(self) -> Place:
        """The place of the present value."""
        return (*self._around(), self._key) if self._stack else ()

    def _around(self) -> Place:
        """The place of the innermost container."""
        return tuple([frame[1] for frame in self._stack[1:]])

    def _report(self, *, scalar: bool) -> Sequence[Found]:
        """What has closed, then what is open, with the open scalar if there is one that shows."""
        found, self._found = self._found, []
        if self._watch_open and self._changed:
            found += self._opened
            if scalar and self._node is not None:
                if self._scalar is None:
                    self._scalar = self._node.child(self._key).ends, self._here()
                ends, place = self._scalar
                if ends:
                    value = self._at[self._slot()]
                    found += [Found(path, place, value, False) for path in ends]
        self._changed = False
        return found
