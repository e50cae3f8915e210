"""Threads: what comes from another thread than the loop's is handed over to the loop.

A loop that sleeps is not woken by what another thread sets in it, so a stream that stock timers or
schedulers end on a thread of their own would never end for who reads it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from threading import get_ident
from typing import Protocol

from reactivex import abc
from reactivex.disposable import Disposable

from gai_rx.portal import running_loop

__all__ = ["End", "disposed_in", "handed_over"]


class End(Protocol):
    """What to do at the end of a stream."""

    def __call__(self, error: Exception | None = None, /) -> None:
        """Called without an error at the regular end."""


def handed_over(end: End) -> End:
    """What to do at the end of a stream, to be called from any thread.

    It is done in the loop that runs now: at once if the call comes from its thread, and else in a
    later turn, after all items that came before. Without a loop it is done where it is called.
    """
    loop, home = running_loop(), get_ident()
    if loop is None:
        return end

    def end_at_home(error: Exception | None = None, /) -> None:
        if get_ident() == home:
            end(error)
        else:
            with suppress(RuntimeError):  # the loop has been closed, and all in it
                loop.call_soon_threadsafe(end, error)

    return end_at_home


def disposed_in(
    loop: asyncio.AbstractEventLoop, subscription: abc.DisposableBase
) -> abc.DisposableBase:
    """The subscription, to be disposed from any thread."""

    def dispose() -> None:
        if running_loop() is loop or not loop.is_running():
            subscription.dispose()
        else:
            with suppress(RuntimeError):  # the loop has just been closed, and all in it
                loop.call_soon_threadsafe(subscription.dispose)

    return Disposable(dispose)
