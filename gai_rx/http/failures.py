"""What an exception of the network means, as one of our errors.

Its text is repeated in one short line, without secrets; the exception itself is not kept as a
cause, because aiohttp's hold all headers and the URL of a proxy.
"""

from __future__ import annotations

import math
import ssl
from http import HTTPStatus
from urllib.parse import urlsplit

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import SecretStr

from gai_rx.errors import (
    AuthenticationError,
    BadRequestError,
    ConnectionFailedError,
    GaiError,
    ProtocolError,
    TimedOutError,
)
from gai_rx.hiding import hidden, one_line
from gai_rx.http.proxies import Proxy
from gai_rx.http.timeouts import Timeouts, timed_out

__all__ = ["before_an_answer", "while_reading"]


def before_an_answer(
    error: Exception,
    url: str,
    timeouts: Timeouts,
    proxy: Proxy | None = None,
    secrets: tuple[SecretStr, ...] = (),
) -> Exception:
    """What an exception before the headers means; itself, if it is no failure of the network."""
    host = urlsplit(url).netloc.rpartition("@")[2]
    if isinstance(error, TimeoutError):
        return _out_of_time(error, timeouts)
    if isinstance(error, aiohttp.ClientHttpProxyError | aiohttp.ClientProxyConnectionError):
        return _of_the_proxy(error, host, proxy.url if proxy else "", secrets)
    if isinstance(
        error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError | ssl.SSLError
    ):
        return ConnectionFailedError(
            f"{host} has no certificate that this machine trusts: {_told(error, secrets)}",
            phase="connect",
            retryable=False,
        )
    if isinstance(error, aiohttp.InvalidURL):
        return BadRequestError(
            f"base_url makes no valid URL: {hidden(url, secrets)!r}", phase="connect"
        )
    if isinstance(error, aiohttp.ClientConnectorError):
        return ConnectionFailedError(
            f"no connection to {host}: {_told(error, secrets)}", phase="connect"
        )
    if isinstance(error, HttpProcessingError | aiohttp.ClientResponseError):
        return ProtocolError(
            f"{host} does not answer in HTTP: {_short(error, secrets)}", phase="headers"
        )
    if isinstance(error, aiohttp.ClientError | OSError):
        return ConnectionFailedError(
            f"{host} closed the connection before it answered: {_short(error, secrets)}",
            phase="headers",
        )
    return error


def _out_of_time(error: TimeoutError, timeouts: Timeouts) -> TimedOutError:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return timed_out("connect", timeouts.connect or 0.0, "connect")
    first, total = timeouts.first or math.inf, timeouts.total or math.inf
    name = "total" if total < first else "first"
    return timed_out(name, min(first, total), "headers")


def _of_the_proxy(
    error: aiohttp.ClientHttpProxyError | aiohttp.ClientProxyConnectionError,
    host: str,
    proxy: str,
    secrets: tuple[SecretStr, ...],
) -> GaiError:
    """A proxy that is not there, wants other credentials, or does not go to the host."""
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        said = error.strerror or type(error.os_error).__name__
        return ConnectionFailedError(
            f"no connection to the proxy {proxy}: {one_line(said, secrets)}", phase="connect"
        )
    status, said = error.status, one_line(error.message[:200], secrets)
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return AuthenticationError(
            f"the proxy {proxy} asks for another user or password: HTTP {status} {said}; they are "
            "part of its URL, percent-encoded",
            status=status,
            phase="connect",
        )
    return ConnectionFailedError(
        f"the proxy {proxy} opens no way to {host}: HTTP {status} {said}",
        status=status,
        phase="connect",
        retryable=status >= 500 or status == HTTPStatus.TOO_MANY_REQUESTS,
    )


def while_reading(error: Exception) -> Exception:
    """What an exception in the middle of the body means; itself, if it is none of the network."""
    if isinstance(error, HttpProcessingError):
        return ProtocolError(f"the body is no valid HTTP: {_short(error)}", phase="stream")
    if isinstance(error, aiohttp.ClientError | OSError | EOFError):
        cause = error.__cause__
        if isinstance(cause, HttpProcessingError) and "chunk" in str(cause).lower():
            return ProtocolError(f"the body is no valid HTTP: {_short(cause)}", phase="stream")
        return ConnectionFailedError(
            f"the connection broke in the middle of the answer: {_short(error)}", phase="stream"
        )
    return error


def _short(error: BaseException, secrets: tuple[SecretStr, ...] = ()) -> str:
    return f"{type(error).__name__}: {_told(error, secrets)[:200]}"


def _told(error: BaseException, secrets: tuple[SecretStr, ...]) -> str:
    return one_line(str(error), secrets)
