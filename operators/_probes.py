"""Probes: what is counted and timed at the borders between the operators of a metered pipe."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

from reactivex import abc

__all__ = ["Nested", "Probe", "Stage"]


class Nested:
    """The time of the probes' calls within the call that is on its way."""

    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds = 0.0


class Stage:
    """What one operator has done; the probes above and below it write here."""

    __slots__ = (
        "busy",
        "errors_in",
        "errors_out",
        "errors_passed",
        "items_in",
        "items_out",
        "last_error",
        "name",
        "times_in",
        "times_out",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.last_error = 0  # its identity: the error itself would hold what it came from
        self.reset()

    def reset(self) -> None:
        """Forget what was counted."""
        self.items_in = self.items_out = 0
        self.errors_in = self.errors_out = self.errors_passed = 0
        self.busy = 0.0
        self.times_in = self.times_out = 0.0  # sums of the moments at which items came and went

    def takes_error(self, error: Exception) -> None:
        """An error comes in from above."""
        self.errors_in += 1
        self.last_error = id(error)

    def gives_error(self, error: Exception) -> None:
        """An error goes out: its own, or the one that came in."""
        self.errors_out += 1
        if id(error) == self.last_error:
            self.errors_passed += 1
        self.last_error = 0


class Probe:
    """At the border between two operators, for one subscription."""

    __slots__ = ("_above", "_below", "_emit", "_nested", "_observer")

    def __init__(
        self,
        observer: abc.ObserverBase[Any],
        nested: Nested,
        above: Stage | None,
        below: Stage | None,
    ) -> None:
        self._observer = observer
        self._emit = observer.on_next
        self._nested = nested
        self._above = above
        self._below = below

    def on_next(self, item: Any) -> None:
        """Count an item, and time what lies below."""
        nested, above, below = self._nested, self._above, self._below
        before, nested.seconds = nested.seconds, 0.0
        begun = perf_counter()
        if above is not None:
            above.items_out += 1
            above.times_out += begun
        if below is not None:
            below.items_in += 1
            below.times_in += begun
        try:
            self._emit(item)
        finally:
            taken = perf_counter() - begun
            if below is not None:
                below.busy += taken - nested.seconds
            nested.seconds = before + taken

    def on_error(self, error: Exception) -> None:
        """Count an error at whom it comes from and whom it goes to."""
        if self._above is not None:
            self._above.gives_error(error)
        if self._below is not None:
            self._below.takes_error(error)
        self._timed(lambda: self._observer.on_error(error))

    def on_completed(self) -> None:
        """Time what the end brings about."""
        self._timed(self._observer.on_completed)

    def _timed(self, go: Callable[[], None]) -> None:
        nested, below = self._nested, self._below
        before, nested.seconds = nested.seconds, 0.0
        begun = perf_counter()
        try:
            go()
        finally:
            taken = perf_counter() - begun
            if below is not None:
                below.busy += taken - nested.seconds
            nested.seconds = before + taken
