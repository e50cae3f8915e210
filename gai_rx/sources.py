"""Sources: what a program has in hand as a stream that can be held."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Sequence
from functools import partial
from typing import TypeVar

from gai_rx.flow import produce
from gai_rx.piping import Subscribe

__all__ = ["each_of"]

T = TypeVar("T")

_LET_OTHERS = 256
"""Items of an iterable that are emitted before the loop has its turn."""


def each_of(items: Iterable[T] | AsyncIterable[T], name: str) -> Subscribe[T]:
    """The subscribe function of a stream that iterates anew for each subscription."""
    if isinstance(items, AsyncIterable):
        return produce(partial(_async_items, items), name)
    return produce(partial(_items, items), name)


async def _items(items: Iterable[T]) -> AsyncGenerator[Sequence[T], None]:
    for number, item in enumerate(items):
        yield (item,)
        if number % _LET_OTHERS == _LET_OTHERS - 1:
            await asyncio.sleep(0)


async def _async_items(items: AsyncIterable[T]) -> AsyncGenerator[Sequence[T], None]:
    iterator = aiter(items)
    try:
        async for item in iterator:
            yield (item,)
    finally:
        close = getattr(iterator, "aclose", None)
        if close is not None:
            await close()
