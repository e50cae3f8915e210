"""Clocks: which scheduler an operator keeps time by, and what time it is there."""

from __future__ import annotations

import asyncio
import weakref

from reactivex import abc
from reactivex.scheduler.eventloop import AsyncIOScheduler

__all__ = ["clock", "loop_scheduler", "seconds"]

_schedulers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncIOScheduler] = (
    weakref.WeakKeyDictionary()
)


def loop_scheduler() -> AsyncIOScheduler:
    """The scheduler of the running loop."""
    loop = asyncio.get_running_loop()
    found = _schedulers.get(loop)
    if found is None:
        found = _schedulers[loop] = AsyncIOScheduler(loop)
    return found


def clock(own: abc.SchedulerBase | None, given: abc.SchedulerBase | None) -> abc.SchedulerBase:
    """The clock of a timed operator: explicit, else the subscriber's, else the loop's."""
    return own or given or loop_scheduler()


def seconds(scheduler: abc.SchedulerBase) -> float:
    """The time by a clock, in seconds from an arbitrary zero; a loop's never jumps."""
    if isinstance(scheduler, AsyncIOScheduler):
        return scheduler._loop.time()
    return scheduler.to_seconds(scheduler.now)
