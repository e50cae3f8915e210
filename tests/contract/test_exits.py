"""R28: however a stream is left, in whichever turn, its request is released once, in silence."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from gai_rx import Stream
from tests.contract.probe import EVENTS, Feed, Probe
from tests.contract.registry import Entry, over
from tests.contract.virtual_loop import VirtualLoop, run, settle, virtual_loop

Exit = Callable[[Stream[Any], int], Coroutine[Any, Any, None]]
TURNS = 14
"""Turns of the loop, or items, after which each way out is taken."""


async def by_task_cancel(stream: Stream[Any], turns: int) -> None:
    async def wait() -> None:
        await stream

    task = asyncio.create_task(wait())
    await settle(turns)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def by_cancelled_iteration(stream: Stream[Any], turns: int) -> None:
    async def read() -> None:
        async for _ in stream:
            await asyncio.sleep(0)

    task = asyncio.create_task(read())
    await settle(turns)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def by_dispose(stream: Stream[Any], turns: int) -> None:
    subscription = stream.subscribe()
    await settle(turns)
    subscription.dispose()


async def by_aclose(stream: Stream[Any], turns: int) -> None:
    async with contextlib.aclosing(aiter(stream)) as items:
        for _ in range(turns):
            if await anext(items, None) is None:
                break


async def by_break(stream: Stream[Any], turns: int) -> None:
    async for _ in stream:
        turns -= 1
        if turns <= 0:
            break


async def by_collection(stream: Stream[Any], turns: int) -> None:
    items: AsyncGenerator[Any, None] | None = aiter(stream)
    for _ in range(turns):
        assert items is not None
        if await anext(items, None) is None:
            break
    items = None
    gc.collect(0)


async def by_timeout(stream: Stream[Any], turns: int) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(turns * 0.5):
            await stream


WAYS: list[Exit] = [
    by_task_cancel,
    by_cancelled_iteration,
    by_dispose,
    by_aclose,
    by_break,
    by_collection,
    by_timeout,
]


@over("R28")
def test_r28_every_way_out_releases_once_and_warns_of_nothing(entry: Entry) -> None:
    async def main() -> None:
        for leave in WAYS:
            for turns in range(TURNS):
                feed = Feed(EVENTS, endless=turns % 2 == 1, pause=0.3 if turns % 2 else 0)
                if "R19" in entry.exempt or entry.operator == "collect":
                    feed = Feed(EVENTS, pause=0)
                await leave(entry.apply(feed.stream), turns)
                await settle()
                where = f"{leave.__name__} after {turns}"
                assert feed.asked == feed.closed <= entry.requests, where
                assert not virtual_loop().left(), where
                assert not virtual_loop().reports, where

    run(main)


@over("R28")
def test_r28_the_end_of_the_loop_releases_too(entry: Entry) -> None:
    for turns in range(0, TURNS, 3):
        feed, loop = Feed(EVENTS, endless=True, pause=0 if turns % 2 else 0.3), VirtualLoop()
        if "R19" in entry.exempt or entry.operator == "collect":
            feed = Feed(EVENTS, pause=0.3)
        kept: list[Any] = []

        async def main(feed: Feed = feed, turns: int = turns, kept: list[Any] = kept) -> None:
            kept.append(Probe(entry.apply(feed.stream)))
            kept.append(entry.apply(feed.stream).subscribe())
            kept.append(aiter(entry.apply(feed.stream)))
            await anext(kept[-1])
            await settle(turns)

        with asyncio.Runner(loop_factory=lambda loop=loop: loop, debug=True) as runner:  # type: ignore[misc]
            runner.run(main())
        assert feed.asked == feed.closed, f"after {turns} turns"
        assert not loop.reports, loop.reports
        for subscription in kept[:2]:  # too late, and harmless
            subscription.dispose()
