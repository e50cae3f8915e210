"""Memory of an open stream, beside aiohttp reading the same: `python -m tests.benchmarks.many`.

1,000 and 5,000 streams, all open at once and each waiting for its next delta; every client in a
process of its own. The figure is the growth of its resident memory for each stream: once where they
were opened a thousand a second, which is what open streams take, and once where all were asked for
in one moment, which is what so many requests take on their way.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

from tests.many_server import raise_file_limit

_ROOT = Path(__file__).parents[2]


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def _aiohttp(url: str, streams: int, pace: float) -> float:
    import aiohttp

    body = json.dumps({"model": "m", "stream": True, "messages": [{"content": "a b"}]}).encode()
    opened = 0
    peak = 0

    async def read(session: aiohttp.ClientSession, wait: float) -> None:
        nonlocal opened, peak
        await asyncio.sleep(wait)
        async with session.post(f"{url}/v1/chat/completions", data=body) as response:
            await response.content.readany()
            opened += 1
            if opened == streams:
                peak = _resident()
            async for _ in response.content.iter_any():
                pass

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        gc.collect()
        before = _resident()
        await asyncio.gather(*(read(session, n * pace) for n in range(streams)))
    return (peak - before) / streams


async def _gai_rx(url: str, streams: int, pace: float) -> float:
    from gai_rx import ConnectionFailedError, Stream, TextDelta, connect
    from gai_rx.operators import flat_map

    with contextlib.suppress(ConnectionFailedError):  # a first request imports what requests need
        await connect("openai_chat:m", base_url="http://127.0.0.1:9", api_key="x").text("a b")
    stream = connect("openai_chat:m", base_url=f"{url}/v1", api_key="x").stream_text("a b")

    async def one_by_one() -> AsyncGenerator[int, None]:
        for n in range(streams):
            yield n
            await asyncio.sleep(pace)

    gc.collect()
    before, begun, peak = _resident(), 0, 0
    asked = Stream.from_iterable(one_by_one())
    async for event in asked.pipe(flat_map(lambda _: stream, concurrency=streams)):
        if begun < streams and isinstance(event, TextDelta):
            begun += 1
            if begun == streams:
                peak = _resident()
    return (peak - before) / streams


def _measure(client: str, streams: int, pace: float) -> float:
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.many_server", str(streams)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=_ROOT,
    )
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        command = [sys.executable, "-m", "tests.benchmarks.many", client, url]
        command += [str(streams), str(pace)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=_ROOT)
        return float(done.stdout)
    finally:
        server.kill()
        server.wait()


def main() -> None:
    """Print the table, or, as a client, one figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("client", nargs="*", help=argparse.SUPPRESS)
    given = parser.parse_args().client
    if given:
        raise_file_limit()
        client, url, streams, pace = given
        run = {"aiohttp": _aiohttp, "gai_rx": _gai_rx}[client]
        print(asyncio.run(run(url, int(streams), float(pace))))
        return
    print("KiB for each open stream          aiohttp     gai_rx, in flat_map")
    for streams in (1_000, 5_000):
        for pace, opened in ((0.001, "one by one"), (0.0, "at once")):
            floor, ours = (_measure(c, streams, pace) / 1024 for c in ("aiohttp", "gai_rx"))
            print(f"{streams:,} streams, {opened:<11}{floor:12.1f}{ours:11.1f}")


if __name__ == "__main__":
    main()
