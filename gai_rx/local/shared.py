"""The servers of this process: one for each model, started on first use, shared by all who ask."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gai_rx.local import weights
from gai_rx.local.server import Endpoint, LocalServer, require_engine
from gai_rx.local.shown import pull_shown

__all__ = ["close_all", "serve", "serve_model"]

_DEFAULT_MODEL = "smollm2"
_EXIT_PATIENCE = 2.0  # seconds that interpreter exit waits for a start to be given up


async def serve_model(model: str) -> Endpoint:
    """Serve a model by its name, as the part after `local:` says it.

    Args:
        model: `smollm2`, the default model, or the path of a GGUF file.

    Raises:
        GaiError: As for `serve`.
    """
    return await serve(None if model in ("", _DEFAULT_MODEL) else Path(model))


async def serve(model_path: Path | None = None) -> Endpoint:
    """Start the model's server, unless this process has one, and say where it is.

    The first use of the default model downloads its weights (93 MB) and tells so on standard error.
    When all who wait are cancelled the start is given up. A server that has died is started anew.

    Args:
        model_path: A GGUF file; the default model when None.

    Raises:
        GaiError: As `LocalServer.start` and `pull` do.
    """
    wanted, prepare = _wanted(model_path)
    start = _join(wanted, prepare)
    try:
        return (await asyncio.wrap_future(start.server)).endpoint
    finally:
        _leave(wanted, start)


def _wanted(model_path: Path | None) -> tuple[Path, Callable[[Path, threading.Event], None]]:
    if model_path is None:
        return weights.default_model_path().absolute(), _ensure_weights
    return model_path.expanduser().absolute(), lambda path, stop: None


def _ensure_weights(path: Path, stop: threading.Event) -> None:
    require_engine()  # before a download that would be in vain
    if not weights.is_whole(path):
        pull_shown(path, stop)


@dataclass(eq=False)
class _Start:
    """One start of a server, which several may wait for."""

    server: concurrent.futures.Future[LocalServer] = field(
        default_factory=concurrent.futures.Future
    )
    stop: threading.Event = field(default_factory=threading.Event)
    waiting: int = 0
    thread: threading.Thread | None = None

    def run(self, path: Path, prepare: Callable[[Path, threading.Event], None]) -> None:
        try:
            prepare(path, self.stop)
            self.server.set_result(LocalServer.start(path, stop=self.stop))
        except BaseException as error:  # handed to those who wait
            self.server.set_exception(error)

    @property
    def of_use(self) -> bool:
        """Whether it is under way, or its server runs."""
        if not self.server.done():
            return True
        return self.server.exception() is None and self.server.result().alive


_lock = threading.Lock()
_starts: dict[Path, _Start] = {}
_inherited: list[_Start] = []  # of the process that this one was forked from


def _join(path: Path, prepare: Callable[[Path, threading.Event], None]) -> _Start:
    with _lock:
        start = _starts.get(path)
        if start is None or not start.of_use:
            start = _starts[path] = _Start()
            # So that one who is cancelled does not cancel what others wait for.
            start.server.set_running_or_notify_cancel()
            start.thread = threading.Thread(
                target=start.run, args=(path, prepare), name="gai_rx-local-start", daemon=True
            )
            start.thread.start()
        start.waiting += 1
        return start


def _leave(path: Path, start: _Start) -> None:
    with _lock:
        start.waiting -= 1
        if start.waiting == 0 and not start.server.done():
            start.stop.set()
            if _starts.get(path) is start:
                del _starts[path]


def close_all() -> None:
    """End every shared server, and every start that is under way; it blocks.

    It runs at interpreter exit too. The next `serve` starts anew.
    """
    with _lock:
        starts = list(_starts.values())
        _starts.clear()
    for start in starts:
        start.stop.set()
    for start in starts:
        if start.thread is not None:
            start.thread.join(_EXIT_PATIENCE)
        if start.server.done() and start.server.exception() is None:
            start.server.result().close()


def _forget_after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    _inherited.extend(_starts.values())  # kept, so that no finalizer runs here
    _starts.clear()


atexit.register(close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
