"""Health: what can be said of running streams at any moment, and who keeps count of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gai_rx.measures import Histogram
from gai_rx.watches import Named, Watch

__all__ = ["StreamHealth", "StreamMonitor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamHealth:
    """How a stream does at one moment; times are in seconds.

    Of several streams counts and rates are added up, and waits are those of the stream that is
    worst off.

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

    Streams of one name belong to one event loop, which counts without a lock. `health`, `dropped`
    and `watch_queue` may be called from any thread; a snapshot from another thread may have an
    event that is just being counted in one figure and not yet in the next.

    Args:
        window: Seconds over which rates are taken.
        stall_after: Seconds without content after which a stream counts as stalled.

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

    def __init__(self, *, window: float = 10.0, stall_after: float = 30.0) -> None:
        for name, given in (("window", window), ("stall_after", stall_after)):
            if not given > 0:
                raise ValueError(
                    f"StreamMonitor({name}=…) is in seconds and above 0, got {given!r}"
                )
        self.window = window
        self.stall_after = stall_after
        self._lock = threading.Lock()
        self._named: dict[str, Named] = {}
        self._drops = 0
        self._queues: list[Callable[[], int]] = []

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the streams that were watched, in the order in which they began."""
        return tuple(self._named.copy())

    def health(self, name: str | None = None) -> StreamHealth:
        """A snapshot of the streams of a name, or of all.

        Drops and the depth of queues are the monitor's: they are the same for every name.

        Raises:
            KeyError: If no stream of that name was watched.
        """
        if name is None:
            named = list(self._named.copy().values())
        elif name in self._named:
            named = [self._named[name]]
        else:
            known = ", ".join(map(repr, self.names)) or "none"
            raise KeyError(f"no stream {name!r} was watched; there is: {known}")
        with self._lock:
            drops, queues = self._drops, tuple(self._queues)
        depth = sum(queue() for queue in queues)
        return _snapshot(named, self.stall_after, drops=drops, queue_depth=depth)

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
            named = self._named.get(name)
            if named is None:
                named = self._named[name] = Named(now, self.window)
        return Watch(named, now)


def _snapshot(
    named: list[Named], stall_after: float, *, drops: int, queue_depth: int
) -> StreamHealth:
    if not named:
        return StreamHealth(drops=drops, queue_depth=queue_depth)
    watches = [watch for n in named for watch in n.shown()]
    active = [watch for watch in watches if watch.end is None]
    silent = max(w.since(w.last_content) for w in watches)
    elapsed = max(_elapsed(n) for n in named)
    counts = [sum(column) for column in zip(*(n.counts() for n in named), strict=True)]
    rates = [sum(column) for column in zip(*map(_rates, named), strict=True)]
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


def _rates(named: Named) -> tuple[float, ...]:
    return named.window.rates(named.now(), named.counts())


def _longest(waits: Iterable[tuple[float | None, float]]) -> float | None:
    return max((end - start for end, start in waits if end is not None), default=None)
