"""A slow consumer stops a fast server: its writes block, and memory here stays flat.

A consumer takes 10 ms an item of a server that writes as fast as its socket lets it, through every
kind of pipe, over real sockets; all of them at once in the same seconds, under one limit.
"""

import asyncio
import contextlib
import functools
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import aiohttp
import pytest
import reactivex as rx
from reactivex import operators as ops

from gai_rx import Stream, TextDelta, rate_limit
from gai_rx.operators import batch, map_async, retry_on, text_only, where
from gai_rx.portal import Portal
from tests.wire_server import Exchange, WireServer, endless, refuse, text_record

ITEM = 0.01
"""Seconds the consumer takes for one item."""
WARM_UP, WINDOW = 1.0, 5.0
MEMORY = 5 * 1024 * 1024
"""Bytes by which this process may grow in the window, server and all pipes together."""
IN_FLIGHT = 2 * 1024 * 1024
"""Bytes of one connection on their way: in kernel buffers, aiohttp's, and our one read."""
BLOCKED = 0.2
"""Seconds after which a write counts as blocked: a fast consumer's server never waits as long."""
RECORD = len(text_record("word "))


class Consumer:
    """Takes 10 ms an item; counts."""

    def __init__(self) -> None:
        self.taken = 0
        self.stopped = False

    async def __call__(self, item: Any) -> Any:
        await asyncio.sleep(ITEM)
        self.taken += len(item) if isinstance(item, list) else 1
        return item

    async def through(self, stream: rx.Observable[Any]) -> None:
        """Subscribe below a boundary, until stopped."""
        subscription = Stream.of(stream).pipe(map_async(self)).subscribe()
        while not self.stopped:
            await asyncio.sleep(ITEM)
        subscription.dispose()

    async def async_for(self, stream: Stream[Any]) -> None:
        async with contextlib.aclosing(aiter(stream)) as items:
            async for item in items:
                await self(item)
                if self.stopped:
                    break

    async def for_in_thread(self, stream: Stream[Any]) -> None:
        def read() -> None:
            for _ in stream:
                time.sleep(ITEM)
                self.taken += 1
                if self.stopped:
                    break

        await asyncio.to_thread(read)


@pytest.fixture
def small_kernel_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Receive into 64 KiB: the kernel would take megabytes in, whether anybody reads or not."""

    def make(address: tuple[Any, ...]) -> socket.socket:
        made = socket.socket(*address[:3])
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        return made

    connector = functools.partial(aiohttp.TCPConnector, socket_factory=make)
    monkeypatch.setattr("aiohttp.TCPConnector", connector)
    Portal.get().close()  # its session may be older


Reader = Callable[[Consumer, Stream[Any]], Coroutine[Any, Any, None]]


async def shared(consumer: Consumer, stream: Stream[Any]) -> None:
    both = stream.pipe(ops.share())
    quick = both.subscribe()
    await consumer.through(both)
    quick.dispose()


PIPES: dict[str, Reader] = {
    "map": lambda c, s: c.through(s.pipe(ops.map(repr))),
    "filter": lambda c, s: c.through(s.pipe(where(lambda e: isinstance(e, TextDelta)))),
    "share": shared,
    "merge": lambda c, s: c.through(rx.merge(s, s)),
    "retry_on": lambda c, s: c.through(s.pipe(retry_on(rate_limit))),
    "batch": lambda c, s: c.through(s.pipe(text_only(), batch(10))),
    "batch by time": lambda c, s: c.through(s.pipe(text_only(), batch(10, seconds=0.02))),
    "async for": lambda c, s: c.async_for(s),
    "for": lambda c, s: c.for_in_thread(s),
}


class Pipe:
    """One pipe at work, and what its server sees."""

    def __init__(self, name: str, server: WireServer) -> None:
        self.name = name
        self.consumer = Consumer()
        self.server = server
        self.task = asyncio.create_task(
            PIPES[name](self.consumer, server.provider.stream_text("Go on for ever"))
        )
        self.samples: list[bool] = []

    @property
    def exchanges(self) -> list[Exchange]:
        """The connections that stream."""
        return [e for e in self.server.exchanges if e.written > 1000]

    @property
    def written(self) -> int:
        return sum(e.written for e in self.exchanges)

    def sample(self) -> None:
        self.samples.append(all(e.blocked_for > BLOCKED for e in self.exchanges))

    def check(self) -> None:
        assert len(self.exchanges) == (2 if self.name == "merge" else 1), self.name
        # It works, at the consumer's pace ...
        assert self.consumer.taken > 0.2 * WINDOW / ITEM, self.name
        # ... the server wrote no more than what was taken and what is on its way, ...
        on_its_way = self.written - self.consumer.taken * RECORD
        assert on_its_way <= IN_FLIGHT * len(self.exchanges), (self.name, on_its_way)
        # ... because it was blocked in a write, nearly all the time.
        assert sum(self.samples) > 0.7 * len(self.samples), (self.name, self.samples)

    async def stop(self) -> None:
        self.consumer.stopped = True
        await self.task
        async with asyncio.timeout(2):
            for exchange in self.server.exchanges:
                await exchange.closed.wait()


def resident() -> int:
    """Bytes of memory that this process has."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")


@contextlib.asynccontextmanager
async def pipes() -> AsyncIterator[list[Pipe]]:
    async with contextlib.AsyncExitStack() as servers:
        running = []
        for name in PIPES:
            scripts = [endless()] if name != "retry_on" else [refuse(429, retry_after="0")]
            server = await servers.enter_async_context(WireServer(*scripts, endless()))
            running.append(Pipe(name, server))
        try:
            yield running
        finally:
            await asyncio.gather(*(pipe.stop() for pipe in running))


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads /proc")
@pytest.mark.usefixtures("collected", "small_kernel_buffers")
async def test_a_slow_consumer_blocks_the_server_and_memory_stays_flat() -> None:
    async with pipes() as running:
        await asyncio.sleep(WARM_UP)
        before, most = resident(), 0
        end = asyncio.get_running_loop().time() + WINDOW
        while asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.05)
            most = max(most, resident())
            for pipe in running:
                pipe.sample()
        for pipe in running:
            pipe.check()
        assert most - before <= MEMORY


@pytest.mark.usefixtures("small_kernel_buffers")
async def test_a_consumer_that_never_takes_an_item_leaves_the_server_blocked() -> None:
    never = asyncio.Event()

    async def wait(_: Any) -> None:
        await never.wait()

    async with WireServer(endless()) as server:
        stream = server.provider.stream_text("Go on for ever")
        subscription = stream.pipe(map_async(wait)).subscribe()
        await asyncio.sleep(0.2)
        (exchange,) = server.exchanges
        written = exchange.written
        await asyncio.sleep(0.3)
        assert exchange.written == written <= IN_FLIGHT
        assert exchange.blocked_for > 0.3
        subscription.dispose()
        async with asyncio.timeout(1):
            await exchange.closed.wait()
