"""Measures of constant size: rates over the last seconds, and the spread of durations."""

from __future__ import annotations

from collections import deque
from math import frexp, ldexp

__all__ = ["Histogram", "RateWindow"]

_SLOTS = 10
"""Parts of a window; it moves on by whole parts."""

_PARTS = 16
"""Buckets between a duration and its double."""

_HALVES = 2 * _PARTS

_SHORTEST, _LONGEST = 1e-6, 1e6


class RateWindow:
    """How fast counts have grown over the last seconds.

    It reaches back to the beginning of a tenth of the window, so it covers up to a tenth more than
    `seconds`; what it says of the time that it covers is exact. Before that much time has passed it
    covers all of it.

    Args:
        start: The time at which counting begins, in seconds.
        seconds: How far to look back.
        counts: How many counts there are; all begin at 0.

    Attributes:
        ends: From this time on, `roll` must be called before counting on.

    Example:
        >>> window = RateWindow(0.0, 10.0, counts=1)
        >>> window.rates(2.0, (40,))
        (20.0,)
        >>> window.roll(60.0, (40,))
        >>> window.rates(60.0, (40,))
        (0.0,)
    """

    __slots__ = ("_past", "_seconds", "_slot", "_start", "_width", "ends")

    def __init__(self, start: float, seconds: float, counts: int) -> None:
        self._start = start
        self._seconds = seconds
        self._width = seconds / _SLOTS
        self._slot = 0
        # The number of a slot, and the counts at its beginning; a slot without growth has no entry.
        self._past: deque[tuple[int, tuple[int, ...]]] = deque(maxlen=_SLOTS + 2)
        self._past.append((0, (0,) * counts))
        self.ends = start + self._width

    def roll(self, now: float, counts: tuple[int, ...]) -> None:
        """Go on to the slot of `now`; `counts` are those from before it."""
        self._past.append((self._slot + 1, counts))
        self._slot = max(self._slot + 1, self._number(now))
        self.ends = self._start + (self._slot + 1) * self._width

    def rates(self, now: float, counts: tuple[int, ...]) -> tuple[float, ...]:
        """Each count's growth in a second."""
        first = max(0, self._number(now - self._seconds))
        covered = now - (self._start + first * self._width)
        if covered <= 0.0:
            return (0.0,) * len(counts)
        past = self._past.copy()  # in one step: it may be asked from another thread
        before = next((c for n, c in reversed(past) if n <= first), past[0][1])
        if first > self._slot:
            before = counts
        return tuple((n - b) / covered for n, b in zip(counts, before, strict=True))

    def _number(self, now: float) -> int:
        return int((now - self._start) // self._width)


class Histogram:
    """Durations by size, from 1 µs to 1,000,000 s, in at most 650 buckets.

    A quantile is at most 3.2 % off, the mean is exact.

    Example:
        >>> durations = Histogram()
        >>> for _ in range(99):
        ...     durations.add(0.02)
        >>> durations.add(1.5)
        >>> round(durations.quantile(0.5), 2), round(durations.quantile(1.0), 1)
        (0.02, 1.5)
    """

    __slots__ = ("_counts", "total")

    def __init__(self) -> None:
        self.total = 0.0
        self._counts: dict[int, int] = {}

    @property
    def count(self) -> int:
        """How many durations there are."""
        return sum(self._counts.copy().values())

    def add(self, seconds: float) -> None:
        """Take in a duration."""
        self.total += seconds
        if seconds < _SHORTEST:
            seconds = _SHORTEST
        elif seconds > _LONGEST:
            seconds = _LONGEST
        # No division and no logarithm: a float is a mantissa from a half to one, and a power of 2.
        mantissa, power = frexp(seconds)
        key = power * _PARTS + int(mantissa * _HALVES)
        counts = self._counts
        counts[key] = counts.get(key, 0) + 1

    def merge(self, other: Histogram) -> None:
        """Take in all durations of another."""
        self.total += other.total
        for key, count in other._counts.copy().items():
            self._counts[key] = self._counts.get(key, 0) + count

    def mean(self) -> float | None:
        """The mean in seconds; None of nothing."""
        count = self.count
        return self.total / count if count else None

    def quantile(self, share: float) -> float | None:
        """The duration that this share of all does not exceed, in seconds; None of nothing."""
        counts = self._counts.copy()
        left = share * sum(counts.values())
        for key in sorted(counts):
            left -= counts[key]
            if left <= 0:
                power, part = divmod(key - _PARTS, _PARTS)
                return ldexp((_PARTS + part + 0.5) / _HALVES, power)
        return None
