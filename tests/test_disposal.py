"""Streams that are let go of at any moment leave nothing behind, and the server sees it.

`python -X dev -W error -m tests.test_disposal` runs the scenario by itself, and must be silent.
"""

import asyncio
import contextlib
import gc
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from reactivex.abc import DisposableBase
from reactivex.disposable import SerialDisposable

from gai_rx import Event, Stream, connection, http, rate_limit
from gai_rx.operators import batch, map_async, relay, retry_on, text_only
from tests.wire_server import WireServer, answer, chat, endless, refuse, text_record

ROOT = Path(__file__).parents[1]
AT_ONCE = 40
"""Streams that run at the same time."""

Way = Callable[[Stream[Event], random.Random], Coroutine[Any, Any, None]]


def piped(stream: Stream[Event], dice: random.Random) -> Stream[Any]:
    """The stream, often behind operators that have tasks and timers of their own."""

    async def same(item: Any) -> Any:
        await asyncio.sleep(0)
        return item

    pipes: list[tuple[Any, ...]] = [
        (),
        (text_only(), batch(3, seconds=0.005)),
        (relay(4),),
        (map_async(same, 3),),
        (retry_on(rate_limit | connection, after_output="restart", jitter=lambda _: 0.002),),
    ]
    return stream.pipe(*dice.choice(pipes))  # type: ignore[no-any-return]


def subscribed(stream: Stream[Any], on_next: Callable[[Any], Any] = id) -> DisposableBase:
    return stream.subscribe(on_next, lambda _: None)


async def at_once(stream: Stream[Event], dice: random.Random) -> None:
    subscribed(piped(stream, dice)).dispose()


async def after_some_turns(stream: Stream[Event], dice: random.Random) -> None:
    subscription = subscribed(piped(stream, dice))
    for _ in range(dice.randrange(60)):
        await asyncio.sleep(0)
    subscription.dispose()


async def after_a_while(stream: Stream[Event], dice: random.Random) -> None:
    subscription = subscribed(piped(stream, dice))
    await asyncio.sleep(dice.uniform(0, 0.03))
    subscription.dispose()


async def inside_on_next(stream: Stream[Event], dice: random.Random) -> None:
    subscription, left = SerialDisposable(), [dice.randrange(1, 12)]

    def on_next(_: Any) -> None:
        left[0] -= 1
        if not left[0]:
            subscription.dispose()

    subscription.disposable = subscribed(piped(stream, dice), on_next)
    await asyncio.sleep(0.03)
    subscription.dispose()


async def by_raising(stream: Stream[Event], dice: random.Random) -> None:
    left = [dice.randrange(1, 12)]

    def on_next(_: Any) -> None:
        left[0] -= 1
        if not left[0]:
            raise ZeroDivisionError

    subscription = subscribed(piped(stream, dice), on_next)
    await asyncio.sleep(0.03)
    subscription.dispose()


async def by_break(stream: Stream[Event], dice: random.Random) -> None:
    left = dice.randrange(1, 12)
    with contextlib.suppress(Exception):
        async with asyncio.timeout(0.03):
            async for _ in piped(stream, dice):
                left -= 1
                if not left:
                    break


async def by_cancelling(stream: Stream[Event], dice: random.Random) -> None:
    async def read() -> None:
        await piped(stream, dice)

    task = asyncio.create_task(read())
    await asyncio.sleep(dice.uniform(0, 0.02))
    task.cancel()
    await asyncio.wait((task,))
    if not task.cancelled():
        task.exception()


async def from_a_thread(stream: Stream[Event], dice: random.Random) -> None:
    subscription = subscribed(piped(stream, dice))
    await asyncio.sleep(dice.uniform(0, 0.01))
    await asyncio.to_thread(subscription.dispose)


WAYS: list[Way] = [
    at_once,
    after_some_turns,
    after_a_while,
    inside_on_next,
    by_raising,
    by_break,
    by_cancelling,
    from_a_thread,
]


class Left:
    """What the process has that a stream could leave behind."""

    def __init__(self) -> None:
        gc.collect()
        self.tasks = len(asyncio.all_tasks())
        self.threads = {thread for thread in threading.enumerate() if not _pooled(thread)}
        self.sockets = sum(_is_socket(fd) for fd in os.listdir("/proc/self/fd"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Left) and vars(self) == vars(other)

    def __repr__(self) -> str:
        return str(vars(self))


def _pooled(thread: threading.Thread) -> bool:
    return thread.name.startswith("asyncio_")  # the loop's own, of to_thread


def _is_socket(fd: str) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{fd}").startswith("socket:")
    except OSError:
        return False


def servers(dice: random.Random) -> list[WireServer]:
    """One that answers slowly, one that does not end, one that is too fast, one that fails."""
    words = chat(*(f"word{n} " for n in range(8)))
    return [
        WireServer(answer(*words, pause=0.002)),
        WireServer(answer(*words[:4], then="stall")),
        WireServer(endless()),
        WireServer(refuse(429, retry_after="0.005")),
        WireServer(answer(text_record("a") * 3, then="reset", pause=0.002)),
    ]


async def scenario(streams: int, seed: int) -> None:
    """Let go of `streams` at random moments; raises if something stays."""
    dice = random.Random(seed)
    reports: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: reports.append(context))
    loop.slow_callback_duration = 60  # in debug mode a busy machine is no warning
    before = Left()
    async with contextlib.AsyncExitStack() as stack:
        places = [await stack.enter_async_context(server) for server in servers(dice)]
        providers = [place.provider for place in places]
        at_work = asyncio.Semaphore(AT_ONCE)

        async def one(way: Way, place: int, seed: int) -> None:
            async with at_work:
                await way(providers[place].stream_text("Hi"), random.Random(seed))

        await asyncio.gather(
            *(
                one(dice.choice(WAYS), dice.randrange(len(places)), dice.getrandbits(32))
                for _ in range(streams)
            )
        )
        exchanges = [exchange for place in places for exchange in place.exchanges]
        assert len(exchanges) > streams / 3
        async with asyncio.timeout(3):  # the server sees each close
            for exchange in exchanges:
                await exchange.closed.wait()
                await exchange.finished.wait()
    await http.close_session()
    for _ in range(100):
        await asyncio.sleep(0)
    after = Left()
    assert after == before, (before, after)
    assert not reports, reports[:3]


async def test_streams_let_go_at_random_moments_leave_nothing_behind() -> None:
    await scenario(1000, seed=20)


def test_an_interpreter_in_which_every_warning_is_an_error_stays_silent() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-m", "tests.test_disposal"],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


if __name__ == "__main__":
    asyncio.run(scenario(150, seed=7))
