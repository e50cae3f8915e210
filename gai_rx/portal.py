"""The portal: one background event loop for callers that have none.

Scripts, notebooks' `for` loops and plain threads enter here; one daemon thread with one loop,
started on first use, new in a forked child, closed at interpreter exit.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import ClassVar, TypeVar

from reactivex import abc

__all__ = ["Portal", "PortalClosedError", "refuse_blocking", "running_loop"]

T = TypeVar("T")

_EXIT_PATIENCE = 2.0  # seconds that interpreter exit waits for live streams to let go


class PortalClosedError(RuntimeError):
    """The portal ended, or a user's function ended it, while somebody waited for it."""


class Portal:
    """One daemon thread with one event loop.

    Attributes:
        inherited: Whether this is a forked child, in which the thread of its parent does not run.
    """

    _one: ClassVar[Portal | None] = None
    _lock: ClassVar[threading.Lock] = threading.Lock()

    @classmethod
    def get(cls) -> Portal:
        """The process's portal, started if it does not run."""
        with cls._lock:
            one = cls._one
            if one is None or not one.alive:
                one = cls._one = cls()
            return one

    @classmethod
    def leave_behind(cls) -> None:
        """In a forked child: nobody is left who could open the lock, or end what waits."""
        cls._lock = threading.Lock()
        if cls._one is not None:
            cls._one.inherited = True
            atexit.unregister(cls._one.close)

    def __init__(self) -> None:
        self._stop: asyncio.Event
        self._waiting: list[Callable[[BaseException], object]] = []
        self.inherited = False
        ready: concurrent.futures.Future[asyncio.AbstractEventLoop] = concurrent.futures.Future()

        async def main() -> None:
            self._stop = asyncio.Event()
            ready.set_result(asyncio.get_running_loop())
            await self._stop.wait()

        def live() -> None:
            ended: BaseException = PortalClosedError("the portal was closed")
            try:
                # It cancels what is left and closes async generators, so the HTTP sessions too.
                asyncio.run(main())
            except (KeyboardInterrupt, SystemExit) as stop:  # raised by a user's function
                ended = stop
            for tell in tuple(self._waiting):
                with suppress(concurrent.futures.InvalidStateError):  # its answer came before
                    tell(ended)

        self.thread = threading.Thread(target=live, name="gai_rx-portal", daemon=True)
        self.thread.start()
        self.loop = ready.result()
        atexit.register(self.close)

    @property
    def alive(self) -> bool:
        """Whether its loop takes calls."""
        return not self.inherited and self.thread.is_alive() and not self.loop.is_closed()

    def check_fork(self) -> None:
        """Refuse what would wait for ever.

        Raises:
            PortalClosedError: If this is a forked child.
        """
        if self.inherited:
            raise PortalClosedError(
                "the process was forked while a stream was read: its parent reads on, and this "
                "child begins streams of its own"
            )

    @contextmanager
    def waiting(self, tell: Callable[[BaseException], object]) -> Iterator[None]:
        """Call `tell` with the reason if the portal ends inside the block; who waits must wake."""
        self._waiting.append(tell)
        try:
            yield
        finally:
            self._waiting.remove(tell)

    def call(self, function: Callable[[], T]) -> T:
        """Run a function that does not block on the portal's thread, and wait for its result.

        Raises:
            PortalClosedError: If the portal has ended, or is that of this process's parent.
        """
        self.check_fork()
        if threading.current_thread() is self.thread:
            return function()
        outcome: concurrent.futures.Future[T] = concurrent.futures.Future()

        def go() -> None:
            try:
                outcome.set_result(function())
            except BaseException as error:  # handed to the caller, who re-raises it
                outcome.set_exception(error)

        with self.waiting(outcome.set_exception):
            try:
                self.loop.call_soon_threadsafe(go)
            except RuntimeError:
                raise PortalClosedError("the portal was closed") from None
            return outcome.result()

    def dispose(self, subscription: abc.DisposableBase) -> None:
        """Dispose on the portal's thread; nothing is left to dispose when it has ended."""
        if self.alive:
            with suppress(PortalClosedError):
                self.call(subscription.dispose)

    def close(self) -> None:
        """End the loop and what runs in it; a later `get` starts a new one."""
        atexit.unregister(self.close)
        if self.alive:
            self.loop.call_soon_threadsafe(self._stop.set)
            if threading.current_thread() is not self.thread:
                self.thread.join(_EXIT_PATIENCE)


if hasattr(os, "register_at_fork"):  # where processes do fork
    os.register_at_fork(after_in_child=Portal.leave_behind)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs in this thread, if one does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


def refuse_blocking(what: str) -> None:
    """Raise where blocking would stop a running loop; in a notebook the user can do nothing else.

    Raises:
        RuntimeError: If a loop runs in this thread, which is no notebook's.
    """
    if running_loop() is not None and not _in_notebook():
        raise RuntimeError(
            f"{what} would block the running event loop; use 'await stream' or 'async for' instead"
        )
