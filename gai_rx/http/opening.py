"""From a request to the open body of its answer.

No redirects are followed, and no compression is asked for. Keys, and the headers that a caller
gives, are unwrapped where they are handed to aiohttp and nowhere else: a traceback may show locals.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import SecretStr

from gai_rx.errors import BadRequestError, GaiError, ProtocolError
from gai_rx.hiding import one_line
from gai_rx.http.body import Body
from gai_rx.http.failures import before_an_answer
from gai_rx.http.proxies import Proxy
from gai_rx.http.session import running_session
from gai_rx.http.timeouts import Timeouts, Watchdog
from gai_rx.refusals import refusal

__all__ = ["get", "post"]

_REFUSAL_LIMIT = 64 * 1024  # bytes of an error body that are read
_RETRY_LIMIT = 86_400.0  # seconds; a provider that asks for more than a day is not believed


def post(
    url: str,
    *,
    body: Mapping[str, Any],
    headers: Mapping[str, str | SecretStr],
    key: tuple[str, SecretStr] | None = None,
    timeouts: Timeouts,
    proxy: Proxy | None = None,
    secrets: tuple[SecretStr, ...] = (),
) -> contextlib.AbstractAsyncContextManager[Body]:
    """Send a request and open the answer's body; leaving the block lets go of the connection.

    Args:
        url: Where to.
        body: Sent as JSON.
        headers: All headers but the key's.
        key: Header name and key; `authorization` gets it as a bearer token.
        timeouts: Limits in seconds.
        proxy: The way there; the environment's proxies are not used.
        secrets: What no error may show, beside the key; the proxy's are among them.

    Raises:
        GaiError: Of the kind that fits, for every failure up to the first byte.
    """
    told = {"content-type": "application/json", **headers}
    return _Opening(_Asked("POST", url, _encoded(body), told, key, timeouts, proxy, secrets))


def get(
    url: str,
    *,
    headers: Mapping[str, str | SecretStr],
    key: tuple[str, SecretStr] | None = None,
    timeouts: Timeouts,
    proxy: Proxy | None = None,
    secrets: tuple[SecretStr, ...] = (),
) -> contextlib.AbstractAsyncContextManager[Body]:
    """Ask for what is there already; everything is as with `post`, but nothing is sent.

    Raises:
        GaiError: Of the kind that fits, for every failure up to the first byte.
    """
    return _Opening(_Asked("GET", url, None, headers, key, timeouts, proxy, secrets))


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request."""

    method: str
    url: str
    data: bytes | None
    given: Mapping[str, str | SecretStr]
    key: tuple[str, SecretStr] | None
    timeouts: Timeouts
    proxy: Proxy | None
    told: tuple[SecretStr, ...]

    @property
    def way(self) -> Proxy | None:
        """The proxy, if the request goes that way."""
        return self.proxy if self.proxy is not None and self.proxy.serves(self.url) else None

    @property
    def secrets(self) -> tuple[SecretStr, ...]:
        """What no error may show."""
        return (*self.told, self.key[1]) if self.key else self.told

    @property
    def headers(self) -> dict[str, str | SecretStr]:
        """All that are sent with it."""
        made: dict[str, str | SecretStr] = {"accept-encoding": "identity", **self.given}
        if self.way is not None and self.way.reads(self.url):
            made.update(self.way.headers)
        if self.key is not None:
            name, key = self.key
            made[name] = _bearer(key) if name == "authorization" else key
        return made


class _Opening(contextlib.AbstractAsyncContextManager["Body"]):
    """A body within a block. Of the request nothing is kept: prompts are long, and answers slow."""

    __slots__ = ("_asked", "_body")

    def __init__(self, asked: _Asked) -> None:
        self._asked: _Asked | None = asked
        self._body: Body | None = None

    async def __aenter__(self) -> Body:
        assert self._asked is not None
        opening, self._asked = _open(self._asked), None
        self._body = await opening
        return self._body

    async def __aexit__(self, *_: object) -> None:
        if self._body is not None:
            self._body.close()


async def _open(asked: _Asked) -> Body:
    watchdog = Watchdog(asked.timeouts)
    response: aiohttp.ClientResponse | Exception
    try:
        async with asyncio.timeout(watchdog.first()):
            response = await _sent(asked)
    except Exception as error:
        response = before_an_answer(error, asked.url, asked.timeouts, asked.way, asked.secrets)
    if isinstance(response, Exception):  # not from the handler: aiohttp's errors hold all headers
        raise response
    body = Body(response, watchdog)
    try:
        if response.status != 200:
            raise await _refused(response, asked.secrets, asked.timeouts)
        if (page := _web_page(response, await body.peek(), asked.secrets)) is not None:
            raise page
    except BaseException:
        body.close()
        raise
    return body


async def _sent(asked: _Asked) -> aiohttp.ClientResponse:
    session, way = await running_session(), asked.way
    return await session.request(
        asked.method,
        asked.url,
        data=asked.data,
        headers=_unwrapped(asked.headers),
        allow_redirects=False,
        proxy=way.url if way else None,
        proxy_headers=_unwrapped(way.headers) if way else None,
        timeout=aiohttp.ClientTimeout(total=None, connect=asked.timeouts.connect),
    )


def _bearer(key: SecretStr) -> SecretStr:
    return SecretStr(f"Bearer {key.get_secret_value()}")


def _unwrapped(headers: Mapping[str, str | SecretStr]) -> dict[str, str]:
    return {k: v if isinstance(v, str) else v.get_secret_value() for k, v in headers.items()}


def _encoded(body: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:  # UnicodeEncodeError is a ValueError
        raise BadRequestError(
            f"the request can not be written as JSON: {error}; look at its texts, tool schemas and "
            "provider_options"
        ) from error


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
