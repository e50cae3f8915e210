"""The connections: one session for each event loop, closed with it.

aiohttp's defaults are traps for streams, so each is set here: no total timeout, no limit of 100
connections, no cookies, no proxies from the environment. An async generator keeps the session, so
that `asyncio.run` closes it at its end.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator

import aiohttp

__all__ = ["close_session", "running_session"]

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


async def running_session() -> aiohttp.ClientSession:
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
