"""llama.cpp's HTTP server in a child process, which ends with this one.

A child, because the engine holds the interpreter's lock while it loads and may hang as it ends; a
child can be killed. It listens on a loopback port and answers only who has a random key.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import importlib.util
import json
import os
import secrets
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from pydantic import SecretStr

from gai_rx.errors import BadRequestError, GaiError, NotFoundError, ServerError, TimedOutError
from gai_rx.local import child

__all__ = ["Endpoint", "LocalServer", "require_engine"]

CONTEXT = 4096  # tokens, prompt and answer together
PARALLEL = 2  # answers at a time; further requests wait
PATIENCE = 120.0  # seconds for a large model to load

_LOOK = 0.1  # seconds between two looks at whether to give up
_HEALTH = 5.0  # seconds for one answer about the server's health
_LOG_LINES = 20


@dataclass(frozen=True)
class Endpoint:
    """Where a local server is.

    It speaks `/v1/chat/completions`, `/v1/responses` and `/v1/messages`.
    """

    base_url: str
    """Scheme, host and port, without a path."""
    key: SecretStr


class LocalServer:
    """A running llama.cpp server; it is killed by `close`, with the object, and with the process.

    Attributes:
        endpoint: Where it is, and the key that it wants.
        pid: Its process.
    """

    def __init__(self, process: subprocess.Popen[str], endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.pid = process.pid
        self._process = process
        self._end = weakref.finalize(self, _end, process, os.getpid())

    @classmethod
    def start(
        cls,
        model_path: Path,
        *,
        patience: float = PATIENCE,
        stop: threading.Event | None = None,
    ) -> LocalServer:
        """Start a server of one's own and wait until it answers; it blocks.

        Args:
            model_path: A GGUF file.
            patience: Seconds until it must answer.
            stop: Set it, from another thread, to give up.

        Raises:
            NotFoundError: There is no such file.
            BadRequestError: The file is not GGUF.
            ServerError: The server ended; the message has its last lines.
            TimedOutError: It does not answer in time.
            GaiError: The extra `local` is not installed.
        """
        require_engine()
        _require_gguf(model_path)
        deadline = _Deadline(time.monotonic() + patience, patience, stop or threading.Event())
        key = SecretStr(secrets.token_urlsafe(32))
        launch = _Launch(_spawn(), key, deadline)
        try:
            launch.instruct(model_path)
            endpoint = Endpoint(launch.address(), key)
            _await_health(endpoint, deadline, launch)
        except BaseException:
            _end(launch.process, os.getpid())
            raise
        return cls(launch.process, endpoint)

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._process.poll() is None

    def close(self) -> None:
        """Kill it and wait for its end; again does nothing."""
        self._end()


def _end(process: subprocess.Popen[str], owner: int) -> None:
    if os.getpid() != owner:
        return  # a forked process inherits the object, not the right to kill
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def require_engine() -> None:
    """Raise a `GaiError` that says what to install, where the engine is missing."""
    if importlib.util.find_spec("xllamacpp") is None:
        raise GaiError(
            'A local model needs llama.cpp, which is not installed: `pip install "gai-rx[local]"`.'
        )


def _require_gguf(path: Path) -> None:
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise NotFoundError(
            f"There is no model at {path} ({error.strerror}). Name a GGUF file, or none for the "
            "default model."
        ) from error
    if magic != b"GGUF":
        raise BadRequestError(
            f"{path} is not a GGUF file: it starts with {magic!r}. llama.cpp reads weights in "
            "GGUF only."
        )


@dataclass(frozen=True)
class _Deadline:
    at: float
    patience: float
    stop: threading.Event

    def check(self, launch: _Launch) -> None:
        """Raise when it is time to give up."""
        if self.stop.is_set():
            raise GaiError("The start of the local server was given up.")
        if time.monotonic() > self.at:
            raise TimedOutError(
                f"The local server did not answer within {self.patience:g} s{launch.last_lines()}",
                phase="connect",
            )


def _spawn() -> subprocess.Popen[str]:
    return subprocess.Popen(
        # -P: beside the program are files that would hide modules of the standard library.
        [sys.executable, "-P", child.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )


class _Launch:
    """A child process on its way up: what it is told and what it says."""

    def __init__(self, process: subprocess.Popen[str], key: SecretStr, deadline: _Deadline) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self.key = key
        self.deadline = deadline
        self.log: deque[str] = deque(maxlen=_LOG_LINES)
        self._told: concurrent.futures.Future[str | None] = concurrent.futures.Future()
        self._stdin = process.stdin
        # It reads as long as the child lives: a full pipe would stop the child.
        threading.Thread(
            target=_listen,
            args=(process.stdout, self.log, self._told),
            name="gai_rx-local-log",
            daemon=True,
        ).start()

    def instruct(self, model_path: Path) -> None:
        with contextlib.suppress(OSError):  # it has ended; its last lines say why
            json.dump(
                {
                    "model": str(model_path),
                    "name": model_path.stem,
                    "key": self.key.get_secret_value(),
                    "context": CONTEXT,
                    "parallel": PARALLEL,
                },
                self._stdin,
            )
            self._stdin.write("\n")
            self._stdin.flush()

    def address(self) -> str:
        while True:
            self.deadline.check(self)
            with contextlib.suppress(TimeoutError):
                address = self._told.result(_LOOK)
                break
        if address is None:
            code = self.process.wait()
            raise ServerError(
                f"The local server ended with code {code} as it started{self.last_lines()}",
                retryable=False,
            )
        return address

    def last_lines(self) -> str:
        """The child's last lines, to end a message with."""
        lines = "\n".join(list(self.log)).replace(self.key.get_secret_value(), "***")
        return f"; its last lines:\n{lines}" if lines else " and said nothing."


def _listen(pipe: IO[str], log: deque[str], told: concurrent.futures.Future[str | None]) -> None:
    with contextlib.suppress(OSError, ValueError):  # closed as the child is ended
        for line in pipe:
            text = line.strip()
            if text.startswith(child.LISTENING) and not told.done():
                told.set_result(text.removeprefix(child.LISTENING))
            elif text:
                log.append(text)
    if not told.done():
        told.set_result(None)


def _await_health(endpoint: Endpoint, deadline: _Deadline, launch: _Launch) -> None:
    while not _is_healthy(endpoint):
        if launch.process.poll() is not None:
            raise ServerError(
                f"The local server ended as it started{launch.last_lines()}", retryable=False
            )
        deadline.check(launch)
        deadline.stop.wait(_LOOK)


def _is_healthy(endpoint: Endpoint) -> bool:
    """Whether the server answers, knows the key, and has loaded its model."""
    connection = http.client.HTTPConnection(urlsplit(endpoint.base_url).netloc, timeout=_HEALTH)
    try:
        connection.request(
            "GET",
            "/v1/models",
            headers={"Authorization": f"Bearer {endpoint.key.get_secret_value()}"},
        )
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
