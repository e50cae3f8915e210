"""Measures of constant size: rates over the last seconds, and the spread of durations."""

from __future__ import annotations

from math import frexp, ldexp
from operator import add, sub
from typing import TypeAlias

__all__ = ["Histogram", "RateWindow"]

_SLOTS = 10
"""Parts of a window; it moves on by whole parts."""

_PARTS = 16
"""Buckets between a duration and its double."""

_HALVES = 2 * _PARTS

_SHORTEST, _LONGEST = 1e-6, 1e6


_Counts: TypeAlias = tuple[int, ...]

_State: TypeAlias = tuple[int, _Counts, tuple[tuple[int, _Counts], ...]]


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

    __slots__ = ("_seconds", "_start", "_state", "_width", "ends")

    def __init__(self, start: float, seconds: float, counts: int) -> None:
        self._start = start
        self._seconds = seconds
        self._width = seconds / _SLOTS
        # The slot that is counted in, the counts at its beginning, and what they have grown by in
        # slots before it; replaced as one, for it may be asked from another thread.
        self._state: _State = (self._number(start), (0,) * counts, ())
        self._set_end()

    def roll(self, now: float, counts: tuple[int, ...]) -> None:
        """Go on to the slot of `now`; `counts` are those from before it."""
        slot, before, past = self._state
        past = (*past[-_SLOTS:], (slot, _less(counts, before)))
        self._state = (max(slot + 1, self._number(now)), counts, past)
        self._set_end()

    def absorb(self, other: RateWindow, counts: tuple[int, ...]) -> None:
        """Add another of the same length and clock to this one, which counts nothing of its own.

        `counts` are the other's, and come to those of this one.
        """
        (slot, before, past), (last, others, grown) = self._state, other._state
        growths = dict(past)
        for number, growth in (*grown, (last, _less(counts, others))):
            growths[number] = _plus(growths[number], growth) if number in growths else growth
        newest = sorted(growths.items())[-_SLOTS - 1 :]
        self._state = (max(slot, last), _plus(before, counts), tuple(newest))
        self._start = min(self._start, other._start)
        self._set_end()

    def growth(self, now: float, counts: tuple[int, ...]) -> tuple[float, tuple[int, ...]]:
        """The seconds that are covered, and by how much each count has grown in them."""
        slot, before, past = self._state
        first = self._number(now - self._seconds)
        covered = now - max(self._start, first * self._width)
        grown = _less(counts, before) if slot >= first else (0,) * len(counts)
        for number, growth in past:
            if number >= first:
                grown = _plus(grown, growth)
        return covered, grown

    def rates(self, now: float, counts: tuple[int, ...]) -> tuple[float, ...]:
        """Each count's growth in a second."""
        covered, grown = self.growth(now, counts)
        return tuple(growth / covered if covered > 0.0 else 0.0 for growth in grown)

    def _number(self, now: float) -> int:
        return int(now // self._width)

    def _set_end(self) -> None:
        self.ends = (self._state[0] + 1) * self._width


def _plus(one: _Counts, other: _Counts) -> _Counts:
    return tuple(map(add, one, other))


def _less(one: _Counts, other: _Counts) -> _Counts:
    return tuple(map(sub, one, other))


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
