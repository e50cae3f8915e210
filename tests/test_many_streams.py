"""Thousands of streams open at once in one process, multiplexed into one: none is lost."""

import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from reactivex import operators as ops

from gai_rx import Finish, TextDelta, Timeouts, connect, multiplex
from tests.many_server import raise_file_limit

STREAMS = 5_000
A_SECOND = 2_000


@pytest.fixture
def url() -> Iterator[str]:
    if raise_file_limit() < STREAMS + 200:
        pytest.skip(f"{STREAMS:,} sockets are more than this machine lets a process open")
    with subprocess.Popen(
        [sys.executable, "-m", "tests.many_server", str(STREAMS)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    ) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.kill()


async def test_5_000_streams_at_once_are_all_whole_and_none_is_mixed_up(url: str) -> None:
    model = connect("openai_chat:m", base_url=f"{url}/v1", timeouts=Timeouts(connect=100))
    # Not all in one instant: a kernel keeps a few thousand connections for a server to accept.
    streams = {
        f"s{n}": model.stream_text(f"number {n}").pipe(ops.delay_subscription(n / A_SECOND))
        for n in range(STREAMS)
    }
    texts: dict[str, str] = defaultdict(str)
    unfinished = set(streams)
    most_open = 0
    async for event in multiplex(streams):
        if isinstance(event, TextDelta):
            texts[event.stream_id] += event.text
            most_open = max(most_open, len(texts)) if len(unfinished) == STREAMS else most_open
        elif isinstance(event, Finish):
            unfinished.remove(event.stream_id)
    assert not unfinished
    assert most_open == STREAMS  # all of them had begun before the first one ended
    wrong = [name for name in streams if texts[name] != f"You said: number {name[1:]}"]
    assert not wrong
