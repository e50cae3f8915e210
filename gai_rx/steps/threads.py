"""Threads: a user's blocking function, called without stopping the loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

__all__ = ["in_thread"]


async def in_thread(function: Callable[[], Any], name: str) -> Any:
    """Call a function in a thread of its own, with this task's context.

    Not in a pool: a function that never returns would hold a place there for good, and the end of
    the process until it does.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
    context = contextvars.copy_context()

    def settle(value: Any, error: BaseException | None) -> None:
        if not ended.done():
            ended.set_result((value, error))

    def work() -> None:
        value, raised = None, None
        try:
            value = context.run(function)
        except BaseException as error:  # raised again where it is awaited
            raised = error
        with suppress(RuntimeError):  # the loop has been closed, and nobody waits
            loop.call_soon_threadsafe(settle, value, raised)

    threading.Thread(target=work, name=name, daemon=True).start()
    value, raised = await ended
    if raised is not None:
        raise raised
    return value
