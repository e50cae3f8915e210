"""Health: what can be said of running streams at any moment, and who keeps count of it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from gai_rx.measures import Histogram
from gai_rx.watches import Named, Watch

__all__ = ["StreamHealth", "StreamMonitor"]

_TOLD = 20
"""How many names are listed to somebody who asks for another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamHealth:
    """How a stream does at one moment; times are in seconds.

    Counts and rates are those of all its streams together, and waits are those of the stream that
    is worst off.

    Attributes:
        events: Items that came, of whatever kind.
        content_events: Those that are content: all but `Start`, `Usage`, `Raw` and `Retry`.
        errors: `Error` events, and failures that ended a stream.
        retries: `Retry` events.
        drops: Items that were counted as lost.
        queue_depth: Items that wait in the queues that are watched.
        bytes: Content in bytes: text as UTF-8, tool arguments, sound.
        characters: Content in Unicode code points.
        events_per_second: Over the last seconds (the monitor's window).
        bytes_per_second: The same of bytes.
        characters_per_second: The same of characters.
        average_events_per_second: Since the first subscription.
        average_bytes_per_second: The same of bytes.
        average_characters_per_second: The same of characters.
        error_rate: Errors among events and failures, from 0 to 1; 0 of nothing.
        elapsed: Since the first subscription, up to the end.
        since_last_event: Since the last item; before the first, since the subscription.
        since_last_content: The same of content.
        stalled: Whether a stream that runs has had no content for too long.
        held_by: What is full and holds the source, by name: nothing comes while there is any.
        time_to_first_event: From the subscription to the first item; None until then.
        time_to_first_token: The same to the first piece of text, thinking or arguments.
        time_per_output_token: Mean time between two such pieces within one answer; providers
            mostly send one token in a piece, some send several.
        time_per_output_token_p50: The median of these times, at most 3.2 % off.
        time_per_output_token_p99: What 99 % of them do not exceed, at most 3.2 % off.
        active: Streams that run.
        done: Whether all have ended that were watched.
    """

    events: int = 0
    content_events: int = 0
    errors: int = 0
    retries: int = 0
    drops: int = 0
    queue_depth: int = 0
    bytes: int = 0
    characters: int = 0
    events_per_second: float = 0.0
    bytes_per_second: float = 0.0
    characters_per_second: float = 0.0
    average_events_per_second: float = 0.0
    average_bytes_per_second: float = 0.0
    average_characters_per_second: float = 0.0
    error_rate: float = 0.0
    elapsed: float = 0.0
    since_last_event: float = 0.0
    since_last_content: float = 0.0
    stalled: bool = False
    held_by: tuple[str, ...] = ()
    time_to_first_event: float | None = None
    time_to_first_token: float | None = None
    time_per_output_token: float | None = None
    time_per_output_token_p50: float | None = None
    time_per_output_token_p99: float | None = None
    active: int = 0
    done: bool = False

    def __str__(self) -> str:
        """One line for people."""
        so_far = f"{self.events:,} event{'' if self.events == 1 else 's'} in {self.elapsed:.1f} s"
        if self.stalled:
            silence = f"stalled: no content for {self.since_last_content:.1f} s"
            return f"{silence}, {so_far}{self._held()}"
        events, size = self.events_per_second, self.bytes_per_second
        if self.done:
            events, size = self.average_events_per_second, self.average_bytes_per_second
        return (
            f"{'done: ' if self.done else ''}{events:.1f} events/s, {size / 1024:.1f} KiB/s, "
            f"{self.error_rate:.1%} errors, {so_far}{self._held()}"
        )

    def _held(self) -> str:
        return f", held by {', '.join(self.held_by)}" if self.held_by else ""


class StreamMonitor:
    """Keeps count of streams, by name, in constant memory for each name; `monitor` feeds it.

    A name is kept while a stream of it runs; of the others the `keep` that ended last are kept.
    What is forgotten still counts in `health()` of all, but for its waits, and begins anew if its
    name comes again.

    Streams of one name belong to one event loop, which counts without a lock. `health`, `dropped`
    and `watch_queue` may be called from any thread; a snapshot from another thread may have an
    event that is just being counted in one figure and not yet in the next.

    Args:
        window: Seconds over which rates are taken.
        stall_after: Seconds without content after which a stream counts as stalled.
        keep: How many names to keep of which no stream runs any more.

    Raises:
        ValueError: If one of them is not above 0.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream, TextDelta
        >>> from gai_rx.operators.monitoring import monitor
        >>> watched = StreamMonitor()
        >>> answer = Stream.of(rx.of(TextDelta(text="Grüße")))
        >>> _ = answer.pipe(monitor(watched, "greeting")).run()
        >>> health = watched.health("greeting")
        >>> health.events, health.characters, health.bytes, health.error_rate, health.done
        (1, 5, 7, 0.0, True)
    """

    def __init__(
        self, *, window: float = 10.0, stall_after: float = 30.0, keep: int = 1000
    ) -> None:
        for name, given in (("window", window), ("stall_after", stall_after)):
            if not given > 0:
                raise ValueError(
                    f"StreamMonitor({name}=…) is in seconds and above 0, got {given!r}"
                )
        if not keep >= 1:
            raise ValueError(f"StreamMonitor(keep=…) is a number of names from 1 on, got {keep!r}")
        self.window = window
        self.stall_after = stall_after
        self.keep = keep
        # Reentrant: a stream may end because what held it is collected, at any point.
        self._lock = threading.RLock()
        self._named: dict[str, Named] = {}
        self._idle: OrderedDict[str, None] = OrderedDict()
        self._forgotten: Named | None = None
        self._span: _Span | None = None
        self._drops = 0
        self._queues: list[Callable[[], int]] = []

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the streams that are kept, in the order in which they began."""
        return tuple(self._named.copy())

    def health(self, name: str | None = None) -> StreamHealth:
        """A snapshot of the streams of a name, or of all.

        Drops and the depth of queues are the monitor's: they are the same for every name.

        Raises:
            KeyError: If no stream of that name has been subscribed to, or it is forgotten. Of all
                there is a report at any time, with zeros where nothing has begun.
        """
        with self._lock:
            drops, queues = self._drops, tuple(self._queues)
        depth = sum(queue() for queue in queues)
        with self._lock:  # nothing is forgotten meanwhile: it would count twice, or not at all
            named, elapsed = self._asked(name)
            return _snapshot(named, self.stall_after, elapsed, drops=drops, queue_depth=depth)

    def dropped(self, item: object = None) -> None:
        """Count a lost item; to be given to whoever drops: `relay(…, on_drop=watched.dropped)`."""
        self.lost(1)

    def lost(self, count: int) -> None:
        """Count several lost items."""
        with self._lock:
            self._drops += count

    def watch_queue(self, depth: Callable[[], int]) -> None:
        """Have a queue's length in each snapshot: `watched.watch_queue(queue.qsize)`.

        Args:
            depth: Says how many items wait; called in whichever thread asks for a snapshot.
        """
        with self._lock:
            self._queues.append(depth)

    def watch(self, name: str = "", now: Callable[[], float] = time.monotonic) -> Watch:
        """Begin to watch a stream, whose clock starts now.

        Args:
            name: The stream's name; streams of one name are counted together.
            now: The time, in seconds from any zero.
        """
        with self._lock:
            if self._span is None:
                self._span = _Span(now)
            named = self._named.get(name)
            if named is None:
                named = Named(now, self.window, partial(self._on_idle, name))
                self._named[name] = named
            self._idle.pop(name, None)
            self._span.end = None
            return Watch(named, now)

    def _on_idle(self, name: str) -> None:
        """No stream of that name runs any more: it is kept until so many others have ended."""
        with self._lock:
            named = self._named.get(name)
            if named is None or named.active:
                return  # another thread was faster, and has begun one, or more
            self._idle[name] = None
            if len(self._idle) > self.keep:
                self._forget(self._idle.popitem(last=False)[0])
            if self._span is not None and len(self._idle) == len(self._named):
                self._span.end = self._span.now()

    def _forget(self, name: str) -> None:
        named = self._named.pop(name)
        if self._forgotten is None:
            self._forgotten = Named(named.now, self.window)
        self._forgotten.absorb(named)

    def _asked(self, name: str | None) -> tuple[list[Named], float]:
        """What a snapshot is taken of, and how long it has been going on."""
        if name is None:
            named = list(self._named.values())
            if self._forgotten is not None:
                named.append(self._forgotten)
            return named, max([*map(_elapsed, named), self._span.seconds() if self._span else 0.0])
        if name not in self._named:
            raise KeyError(f"no stream {name!r} {self._unknown()}")
        return [self._named[name]], _elapsed(self._named[name])

    def _unknown(self) -> str:
        if self._span is None:
            return (
                "is watched yet: a name is known once a stream with monitor(…, name) has been "
                "subscribed to; health() of all may be asked before"
            )
        known = self.names
        told = ", ".join(map(repr, known[-_TOLD:])) or "none"
        more = f", and {len(known) - _TOLD} more" if len(known) > _TOLD else ""
        if self._forgotten is not None:
            return f"is kept: it was not watched, or is forgotten; there is: {told}{more}"
        return f"was watched; there is: {told}{more}"


class _Span:
    """How long a monitor has watched, by the clock of the first stream."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.start = now()
        self.end: float | None = None

    def seconds(self) -> float:
        """From the first subscription on, up to the end if none runs."""
        return (self.now() if self.end is None else self.end) - self.start


def _snapshot(
    named: list[Named], stall_after: float, elapsed: float, *, drops: int, queue_depth: int
) -> StreamHealth:
    if not named:
        return StreamHealth(drops=drops, queue_depth=queue_depth)
    watches = [watch for n in named for watch in n.shown()]
    active = [watch for watch in watches if watch.end is None]
    silent = max(w.since(w.last_content) for w in watches)
    counts = [sum(column) for column in zip(*(n.counts() for n in named), strict=True)]
    rates = _rates(named)
    average = [count / elapsed if elapsed > 0 else 0.0 for count in counts]
    errors, failures = sum(n.errors for n in named), sum(n.failures for n in named)
    gaps = Histogram()
    for n in named:
        gaps.merge(n.gaps)
    return StreamHealth(
        events=counts[0],
        content_events=sum(n.content_events for n in named),
        errors=errors,
        retries=sum(n.retries for n in named),
        drops=drops,
        queue_depth=queue_depth,
        bytes=counts[1],
        characters=counts[2],
        events_per_second=rates[0],
        bytes_per_second=rates[1],
        characters_per_second=rates[2],
        average_events_per_second=average[0],
        average_bytes_per_second=average[1],
        average_characters_per_second=average[2],
        error_rate=errors / (counts[0] + failures) if counts[0] + failures else 0.0,
        elapsed=elapsed,
        since_last_event=max(w.since(w.last_event) for w in watches),
        since_last_content=silent,
        stalled=any(w.since(w.last_content) > stall_after for w in active),
        held_by=tuple(dict.fromkeys(name for w in active for name in w.held_by())),
        time_to_first_event=_longest((w.first_event, w.start) for w in watches),
        time_to_first_token=_longest((w.first_piece, w.start) for w in watches),
        time_per_output_token=gaps.mean(),
        time_per_output_token_p50=gaps.quantile(0.5),
        time_per_output_token_p99=gaps.quantile(0.99),
        active=len(active),
        done=not active,
    )


def _elapsed(named: Named) -> float:
    return max((w.since(named.start) for w in named.shown()), default=0.0)


def _rates(named: list[Named]) -> list[float]:
    covered, growths = zip(*(n.growth() for n in named), strict=True)
    seconds = max(covered)  # that of who has been there longest; the others had nothing before
    return [sum(growth) / seconds if seconds > 0 else 0.0 for growth in zip(*growths, strict=True)]


def _longest(waits: Iterable[tuple[float | None, float]]) -> float | None:
    return max((end - start for end, start in waits if end is not None), default=None)
