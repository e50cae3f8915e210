"""Monitoring: how streams do while they run, on the clock and at any moment."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from reactivex import Observable, abc

from gai_rx.health import StreamHealth, StreamMonitor
from gai_rx.operators._accounts import Counted, Passing, Ticking, Watched
from gai_rx.progress import Progress
from gai_rx.stream import Operator, Stream, clock, lift

__all__ = ["health", "log_health", "monitor", "progress"]

T = TypeVar("T")


def monitor(
    monitor: StreamMonitor, name: str = "", *, scheduler: abc.SchedulerBase | None = None
) -> Callable[[Observable[T]], Stream[T]]:
    """Let a monitor watch a stream, whose items go on unchanged.

        source        -S-a-b-F|
        monitor(m)    -S-a-b-F|      m.health() says at any moment how it does

    One monitor may watch many streams. Those of one name are counted together; the clock of each
    starts at its subscription. `Dropped` items of `fan_out` are counted as drops.

    Args:
        monitor: Keeps count, and makes the snapshots.
        name: What the stream is called in the monitor.
        scheduler: The clock; the subscriber's when None.

    Raises:
        TypeError: At once, if it is no `StreamMonitor`.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream, TextDelta
        >>> watched = StreamMonitor()
        >>> answer = Stream.of(rx.of(TextDelta(text="Hel"), TextDelta(text="lo")))
        >>> _ = answer.pipe(monitor(watched)).run()
        >>> watched.health().characters
        5
    """
    if not isinstance(monitor, StreamMonitor):
        raise TypeError(f"monitor() takes a StreamMonitor, got {monitor!r}")

    def subscribe(
        source: Observable[T], observer: abc.ObserverBase[T], given: abc.SchedulerBase | None
    ) -> abc.DisposableBase:
        watched = Watched(monitor, name, clock(scheduler, given))
        return Passing(observer, watched).start(source, given)

    return lift(f"monitor({name!r})" if name else "monitor()", subscribe, keeps_events=True)


def health(
    every: float = 5.0,
    stall_after: float = 30.0,
    *,
    scheduler: abc.SchedulerBase | None = None,
) -> Operator[object, StreamHealth]:
    """Emit how the stream does, on the clock, whether anything comes or not.

        source            -a-b-------c-|
        health(every=3)   ---h--h--h--h(h|)

    The last one, with `done`, comes at the end, and before an error too. Each is a snapshot: while
    the subscriber is busy none is made, and then the newest. To have the stream itself beside it,
    take `fan_out`, `monitor` or `log_health`.

    Args:
        every: Seconds between two.
        stall_after: Seconds without content after which the stream counts as stalled.
        scheduler: The clock; the subscriber's when None.

    Raises:
        ValueError: At once, if one of them is not above 0.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream, TextDelta
        >>> answer = Stream.of(rx.of(TextDelta(text="Hel"), TextDelta(text="lo")))
        >>> last = answer.pipe(health()).run()
        >>> last.events, last.errors, last.done
        (2, 0, True)
    """
    _check_seconds("health", every=every, stall_after=stall_after)

    def subscribe(
        source: Observable[object],
        observer: abc.ObserverBase[StreamHealth],
        given: abc.SchedulerBase | None,
    ) -> abc.DisposableBase:
        timekeeper = clock(scheduler, given)
        counts = StreamMonitor(stall_after=stall_after)
        watched = Watched(counts, "", timekeeper)

        def emit() -> None:
            observer.on_next(counts.health())

        return Ticking(observer, watched, emit, every, timekeeper).start(source, given)

    return lift(f"health(every={every:g})", subscribe)


def log_health(
    logger: logging.Logger | None = None,
    every: float = 5.0,
    stall_after: float = 30.0,
    *,
    scheduler: abc.SchedulerBase | None = None,
) -> Callable[[Observable[T]], Stream[T]]:
    """Log how the stream does, one line on each tick of the clock; its items go on unchanged.

        source          -S-a-b-F|
        log_health()    -S-a-b-F|      health: 0.8 events/s, 0.0 KiB/s, 0.0% errors, …

    A stream that is stalled or fails is a warning, all else is information. The line has no text of
    the model, and control characters in names are escaped.

    Args:
        logger: Where to; `gai_rx.health` when None.
        every: Seconds between two lines; the last one comes at the end.
        stall_after: Seconds without content after which the stream counts as stalled.
        scheduler: The clock; the subscriber's when None.

    Raises:
        ValueError: At once, if `every` or `stall_after` is not above 0.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream, TextDelta
        >>> answer = Stream.of(rx.of(TextDelta(text="Hello")))
        >>> answer.pipe(log_health(every=10)).run().text
        'Hello'
    """
    _check_seconds("log_health", every=every, stall_after=stall_after)
    log = logger or logging.getLogger("gai_rx.health")

    def subscribe(
        source: Observable[T], observer: abc.ObserverBase[T], given: abc.SchedulerBase | None
    ) -> abc.DisposableBase:
        timekeeper = clock(scheduler, given)
        counts = StreamMonitor(stall_after=stall_after)
        watched = Watched(counts, "", timekeeper)

        def tell() -> None:
            state = counts.health()
            level = logging.WARNING if state.stalled or watched.failed else logging.INFO
            log.log(level, "health: %s", _one_line(f"{watched.failed}{state}"))

        return Ticking(observer, watched, tell, every, timekeeper, emit=observer.on_next).start(
            source, given
        )

    return lift(f"log_health(every={every:g})", subscribe, keeps_events=True)


def progress(
    every: float = 1.0, *, scheduler: abc.SchedulerBase | None = None
) -> Operator[object, Progress]:
    """Emit how much has been said, how fast it comes, and what it took, on the clock.

        source              -a-b-----c-|
        progress(every=3)   ---p--p--p-(p|)

    Takes events or strings; of events it counts what answers the user, not thinking or arguments of
    tools. Words are counted as one reads them, however the text was cut into pieces.

    The last one, with `done`, comes at the end, and before an error too. Each is a snapshot: while
    the subscriber is busy none is made, and then the newest. A retried stream that begins anew is
    counted anew, from the step that was asked again on.

    Args:
        every: Seconds between two.
        scheduler: The clock; the subscriber's when None.

    Raises:
        ValueError: At once, if `every` is not above 0.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream, TextDelta
        >>> answer = Stream.of(rx.of(TextDelta(text="Hello wor"), TextDelta(text="ld")))
        >>> last = answer.pipe(progress()).run()
        >>> last.characters, last.words, last.done
        (11, 2, True)
    """
    _check_seconds("progress", every=every)

    def subscribe(
        source: Observable[object],
        observer: abc.ObserverBase[Progress],
        given: abc.SchedulerBase | None,
    ) -> abc.DisposableBase:
        timekeeper = clock(scheduler, given)
        counted = Counted(timekeeper)

        def emit() -> None:
            observer.on_next(counted.progress())

        return Ticking(observer, counted, emit, every, timekeeper).start(source, given)

    return lift(f"progress(every={every:g})", subscribe)


def _check_seconds(operator: str, **given: float) -> None:
    for name, value in given.items():
        if not 0 < value < float("inf"):
            raise ValueError(f"{operator}({name}=…) is in seconds and above 0, got {value!r}")


def _one_line(text: str) -> str:
    """Without what would begin a new line or drive a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
