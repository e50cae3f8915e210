"""A simulator beside the program: on a loop in a thread of its own."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from gai_rx.simulator.server import Simulator

__all__ = ["LoopThread", "shared"]

_T = TypeVar("_T")
_lock = threading.Lock()
_shared: Simulator | None = None


class LoopThread:
    """One event loop in one daemon thread, from `LoopThread()` to `stop()`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="gai_rx-simulator", daemon=True
        )
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine there and wait for what it returns."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def stop(self) -> None:
        """End the thread and close the loop."""
        self.run(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def shared() -> Simulator:
    """The simulator of this process, which plays the models by name; started on first use.

    It has a thread of its own, so that it answers every loop of the process, and ends with it.
    """
    global _shared
    with _lock:  # the start takes some milliseconds, once
        if _shared is None:
            from gai_rx.simulator.server import Simulator

            _shared = Simulator().__enter__()
            atexit.register(_close)
        return _shared


def _close() -> None:
    global _shared
    running, _shared = _shared, None
    if running is not None:
        running.__exit__()


def _forget() -> None:
    """A forked child has the object, but not the thread behind it."""
    global _shared, _lock
    _shared, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
