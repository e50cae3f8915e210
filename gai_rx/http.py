"""The only module that opens a connection to a provider.

aiohttp's defaults are traps for streams, so each is set here: no total timeout, no limit of 100
connections, no redirects, no proxies from the environment, no compression asked for. One session
serves one event loop; an async generator keeps it, so that `asyncio.run` closes it at its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import ssl
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from gai_rx.errors import (
    BadRequestError,
    ConnectionFailedError,
    GaiError,
    Phase,
    ProtocolError,
    TimedOutError,
)
from gai_rx.refusals import one_line, refusal

__all__ = ["Body", "Timeouts", "get", "post"]

_REFUSAL_LIMIT = 64 * 1024  # bytes of an error body that are read
_RETRY_LIMIT = 86_400.0  # seconds; a provider that asks for more than a day is not believed


class Timeouts(BaseModel):
    """How long to wait, in seconds; None waits for ever.

    `idle` is between two reads of any bytes, so that comments and keep-alives count; `progress` is
    between two records, so that they do not. Time in which the consumer holds the stream counts for
    neither.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    connect: float | None = Field(default=10.0, gt=0, description="To the connection.")
    first: float | None = Field(
        default=600.0, gt=0, description="From the request to the first byte."
    )
    idle: float | None = Field(default=120.0, gt=0, description="Between two reads.")
    progress: float | None = Field(default=600.0, gt=0, description="Between two records.")
    total: float | None = Field(default=None, gt=0, description="In all.")


_sessions: weakref.WeakKeyDictionary[
    asyncio.AbstractEventLoop,
    tuple[AsyncGenerator[aiohttp.ClientSession, None], aiohttp.ClientSession],
] = weakref.WeakKeyDictionary()


async def _keep_session() -> AsyncGenerator[aiohttp.ClientSession, None]:
    # limit=0: how many streams run at once is the caller's to bound (flat_map); a silent queue here
    # would let their timeouts run while they wait.
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    ) as session:
        yield session


async def _session() -> aiohttp.ClientSession:
    """The running loop's session; `shutdown_asyncgens` closes it with the loop."""
    loop = asyncio.get_running_loop()
    found = _sessions.get(loop)
    if found is None or found[1].closed:
        keeper = _keep_session()
        found = _sessions[loop] = (keeper, await anext(keeper))
    return found[1]


async def close_session() -> None:
    """Close the running loop's connections now, rather than with the loop."""
    found = _sessions.pop(asyncio.get_running_loop(), None)
    if found is not None:
        await found[0].aclose()


def post(
    url: str,
    *,
    body: Mapping[str, Any],
    headers: Mapping[str, str],
    key: tuple[str, SecretStr] | None = None,
    timeouts: Timeouts,
    proxy: str | None = None,
) -> contextlib.AbstractAsyncContextManager[Body]:
    """Send a request and open the answer's body; leaving the block lets go of the connection.

    Args:
        url: Where to.
        body: Sent as JSON.
        headers: All headers but the key's.
        key: Header name and key; `authorization` gets it as a bearer token.
        timeouts: Limits in seconds.
        proxy: URL of a proxy; the environment's are not used.

    Raises:
        GaiError: Of the kind that fits, for every failure up to the first byte.
    """
    told = {"content-type": "application/json", **headers}
    return _Opening(partial(_open, "POST", url, _encoded(body), told, key, timeouts, proxy))


def get(
    url: str,
    *,
    headers: Mapping[str, str],
    key: tuple[str, SecretStr] | None = None,
    timeouts: Timeouts,
    proxy: str | None = None,
) -> contextlib.AbstractAsyncContextManager[Body]:
    """Ask for what is there already; everything is as with `post`, but nothing is sent.

    Raises:
        GaiError: Of the kind that fits, for every failure up to the first byte.
    """
    return _Opening(partial(_open, "GET", url, None, headers, key, timeouts, proxy))


class _Opening(contextlib.AbstractAsyncContextManager["Body"]):
    """A body within a block. Of the request nothing is kept: prompts are long, and answers slow."""

    __slots__ = ("_body", "_open")

    def __init__(self, open_: Callable[[], Awaitable[Body]]) -> None:
        self._open: Callable[[], Awaitable[Body]] | None = open_
        self._body: Body | None = None

    async def __aenter__(self) -> Body:
        assert self._open is not None
        open_, self._open = self._open, None
        self._body = await open_()
        return self._body

    async def __aexit__(self, *_: object) -> None:
        if self._body is not None:
            self._body.close()


async def _open(
    method: str,
    url: str,
    data: bytes | None,
    headers: Mapping[str, str],
    key: tuple[str, SecretStr] | None,
    timeouts: Timeouts,
    proxy: str | None,
) -> Body:
    secrets = (key[1],) if key else ()
    watchdog = Watchdog(timeouts)
    response: aiohttp.ClientResponse | GaiError
    try:
        async with asyncio.timeout(watchdog.first()):
            response = await (await _session()).request(
                method,
                url,
                data=data,
                headers=_with_key(headers, key),
                allow_redirects=False,
                proxy=proxy,
                timeout=aiohttp.ClientTimeout(total=None, connect=timeouts.connect),
            )
    except Exception as error:
        response = _failure(error, url, timeouts)
    if isinstance(response, GaiError):  # not from the handler: aiohttp's errors hold all headers
        raise response
    body = Body(response, watchdog)
    try:
        if response.status != 200:
            raise await _refused(response, secrets, timeouts)
        if (page := _web_page(response, await body.peek(), secrets)) is not None:
            raise page
    except BaseException:
        body.close()
        raise
    return body


def _with_key(headers: Mapping[str, str], key: tuple[str, SecretStr] | None) -> dict[str, str]:
    made = {"accept-encoding": "identity", **headers}
    if key is not None:
        name, secret = key
        prefix = "Bearer " if name == "authorization" else ""
        made[name] = prefix + secret.get_secret_value()
    return made


def _encoded(body: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:  # UnicodeEncodeError is a ValueError
        raise BadRequestError(
            f"the request can not be written as JSON: {error}; look at its texts, tool schemas and "
            "provider_options"
        ) from error


class Watchdog:
    """All limits of one answer in one timer that re-arms itself: nothing is scheduled per read."""

    __slots__ = (
        "_first", "_held_since", "_loop", "_progress", "_response", "_start", "_timeouts", "_timer",
        "_waiting_since", "expired",
    )  # fmt: skip

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self._waiting_since: float | None = None
        self._held_since = self._start
        self._progress = self._start
        self._first = True
        self._timer: asyncio.TimerHandle | None = None
        self._response: aiohttp.ClientResponse | None = None
        self.expired: TimedOutError | None = None

    def first(self) -> float | None:
        """Seconds until the first byte must be there."""
        limits = [t for t in (self._timeouts.first, self._timeouts.total) if t is not None]
        return min(limits, default=None)

    def start(self, response: aiohttp.ClientResponse) -> None:
        """Watch a response: when a limit runs out it is closed, which wakes its reader."""
        self._response = response
        self._tick()

    def stop(self) -> None:
        """The answer is over."""
        if self._timer is not None:
            self._timer.cancel()
        self._response = None

    def waits(self) -> None:
        """The reader begins to wait for bytes; the time before was the consumer's."""
        now = self._loop.time()
        self._progress += now - self._held_since
        self._waiting_since = now

    def reads(self) -> None:
        """Bytes came; with the first of them other limits begin to count."""
        self._waiting_since = None
        self._held_since = self._loop.time()
        if self._first:
            self._first = False
            if self._timer is not None:
                self._timer.cancel()
            self._tick()

    def progressed(self) -> None:
        """A record came."""
        self._progress = self._held_since

    def _deadlines(self, now: float) -> list[tuple[float, str, float]]:
        limits = self._timeouts
        found: list[tuple[float, str, float]] = []
        if limits.total is not None:
            found.append((self._start + limits.total, "total", limits.total))
        since = self._waiting_since
        if self._first and limits.first is not None:
            found.append((self._start + limits.first, "first", limits.first))
        if limits.idle is not None and not self._first:
            found.append(((now if since is None else since) + limits.idle, "idle", limits.idle))
        if limits.progress is not None:
            base = now if since is None else self._progress
            found.append((base + limits.progress, "progress", limits.progress))
        return found

    def _tick(self) -> None:
        now = self._loop.time()
        self._timer = None
        deadlines = self._deadlines(now)
        if not deadlines:
            return
        due, name, limit = min(deadlines)
        if due <= now and self._response is not None:
            self.expired = timed_out(name, limit, "headers" if self._first else "stream")
            self._response.close()
            return
        # `idle` starts anew with each read: looking again after at most that long is soon enough.
        self._timer = self._loop.call_at(due, self._tick)


_LIMITS = {
    "connect": "no connection within {0:g} s (Timeouts.connect)",
    "first": "no byte of an answer within {0:g} s (Timeouts.first)",
    "idle": "no bytes for {0:g} s in the middle of the answer (Timeouts.idle)",
    "progress": "keep-alives but no record for {0:g} s (Timeouts.progress)",
    "total": "the answer took longer than {0:g} s in all (Timeouts.total)",
}


def timed_out(name: str, limit: float, phase: Phase) -> TimedOutError:
    """The error for a limit of `Timeouts` that ran out."""
    return TimedOutError(_LIMITS[name].format(limit), phase=phase)


class Body:
    """The bytes of an answer as they arrive, under all time limits."""

    __slots__ = ("_kept", "_peeked", "_response", "_watchdog", "progressed")

    def __init__(self, response: aiohttp.ClientResponse, watchdog: Watchdog) -> None:
        self._response = response
        self._watchdog = watchdog
        self._peeked: bytes | None = None
        self._kept: bytearray | None = None
        self.progressed = watchdog.progressed
        """To be called when a read completed a record, for `Timeouts.progress`."""
        watchdog.start(response)

    @property
    def headers(self) -> Mapping[str, str]:
        """The answer's headers, their names in lower case."""
        return {name.lower(): value for name, value in self._response.headers.items()}

    @property
    def content_type(self) -> str:
        """What the server says that this is."""
        return self._response.content_type

    def close(self) -> None:
        """Let go of the connection; one that has been read to its end can be used again."""
        self._watchdog.stop()
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()

    async def peek(self) -> bytes:
        """The first bytes, which the next `read` will give again."""
        self._peeked = await self.read()
        return self._peeked

    def keep(self) -> bytearray:
        """All bytes of the body, as they come, what was peeked at included."""
        self._kept = bytearray(self._peeked or b"")
        return self._kept

    async def read(self) -> bytes:
        """The bytes that came since the last read, at least one; empty at the end.

        Raises:
            GaiError: connection, protocol or timeout.
        """
        if self._peeked is not None:
            data, self._peeked = self._peeked, None
            return data
        watchdog = self._watchdog
        watchdog.waits()
        read: bytes | GaiError
        try:
            read = await self._response.content.readany()
        except Exception as error:
            read = watchdog.expired or _broken(error)
        if isinstance(read, GaiError):  # not from the handler: aiohttp's errors hold all headers
            raise read
        watchdog.reads()
        if self._kept is not None:
            self._kept += read
        return read


def _failure(error: Exception, url: str, timeouts: Timeouts) -> GaiError:
    """What an exception before the headers means."""
    host = url.split("/")[2].rpartition("@")[2]
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return timed_out("connect", timeouts.connect or 0.0, "connect")
    if isinstance(error, TimeoutError):
        first, total = timeouts.first or math.inf, timeouts.total or math.inf
        name = "total" if total < first else "first"
        return timed_out(name, min(first, total), "headers")
    if isinstance(
        error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError | ssl.SSLError
    ):
        return ConnectionFailedError(
            f"{host} has no certificate that this machine trusts: {error}",
            phase="connect",
            retryable=False,
        )
    if isinstance(error, aiohttp.InvalidURL):
        return BadRequestError(f"base_url makes no valid URL: {url!r}", phase="connect")
    if isinstance(error, aiohttp.ClientConnectorError):
        return ConnectionFailedError(f"no connection to {host}: {error}", phase="connect")
    if isinstance(error, HttpProcessingError | aiohttp.ClientResponseError):
        return ProtocolError(f"{host} does not answer in HTTP: {_short(error)}", phase="headers")
    if isinstance(error, aiohttp.ClientError | OSError):
        return ConnectionFailedError(
            f"{host} closed the connection before it answered: {_short(error)}", phase="headers"
        )
    raise error


def _broken(error: Exception) -> GaiError:
    """What an exception in the middle of the body means."""
    if isinstance(error, HttpProcessingError):
        return ProtocolError(f"the body is no valid HTTP: {_short(error)}", phase="stream")
    if isinstance(error, aiohttp.ClientError | OSError | EOFError):
        cause = error.__cause__
        if isinstance(cause, HttpProcessingError) and "chunk" in str(cause).lower():
            return ProtocolError(f"the body is no valid HTTP: {_short(cause)}", phase="stream")
        return ConnectionFailedError(
            f"the connection broke in the middle of the answer: {_short(error)}", phase="stream"
        )
    raise error


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"


async def _refused(
    response: aiohttp.ClientResponse, secrets: tuple[SecretStr, ...], timeouts: Timeouts
) -> GaiError:
    """The error for a status other than 200; its body must not be able to do harm either."""
    body = bytearray()
    with contextlib.suppress(aiohttp.ClientError, HttpProcessingError, OSError, TimeoutError):
        async with asyncio.timeout(min(timeouts.idle or 10.0, 10.0)):
            while len(body) < _REFUSAL_LIMIT and (chunk := await response.content.readany()):
                body += chunk
    text = bytes(body[:_REFUSAL_LIMIT]).decode("utf-8", "replace")
    try:
        told: Any = json.loads(text)
    except (ValueError, RecursionError):
        told = text if "html" not in response.content_type else ""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return refusal(response.status, headers, told, secrets=secrets, retry_limit=_RETRY_LIMIT)


def _web_page(
    response: aiohttp.ClientResponse, head: bytes, secrets: tuple[SecretStr, ...]
) -> ProtocolError | None:
    """The error for a web page instead of an answer: a login, a firewall, a wrong address."""
    if response.content_type not in ("text/html", "application/xhtml+xml"):
        return None
    shown = one_line(head[:200].decode("utf-8", "replace"), secrets)
    return ProtocolError(
        f"expected a stream, got a web page ({response.content_type}, status {response.status}): "
        f"{shown!r}; is base_url right, and is a login or firewall in between?",
        status=response.status,
        phase="headers",
    )
