"""Memory of an open stream, beside aiohttp reading the same: `python -m tests.benchmarks.many`.

1,000 and 5,000 streams, all open at once and each waiting for its next delta; every client in a
process of its own. The figure is the growth of its resident memory for each stream.
"""

import argparse
import asyncio
import gc
import json
import subprocess
import sys
from pathlib import Path

from tests.many_server import raise_file_limit

_ROOT = Path(__file__).parents[2]


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def _aiohttp(url: str, streams: int) -> float:
    import aiohttp

    body = json.dumps({"model": "m", "stream": True, "messages": [{"content": "a b"}]}).encode()
    opened = 0
    peak = 0

    async def read(session: aiohttp.ClientSession) -> None:
        nonlocal opened, peak
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
        await asyncio.gather(*(read(session) for _ in range(streams)))
    return (peak - before) / streams


async def _gai_rx(url: str, streams: int) -> float:
    from gai_rx import TextDelta, connect, multiplex

    model = connect("openai_chat:m", base_url=f"{url}/v1", api_key="x")
    stream = model.stream_text("a b")
    gc.collect()
    before, begun, peak = _resident(), 0, 0
    async for event in multiplex(*[stream] * streams):
        if begun < streams and isinstance(event, TextDelta):
            begun += 1
            if begun == streams:
                peak = _resident()
    return (peak - before) / streams


def _measure(client: str, streams: int) -> float:
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.many_server", str(streams)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=_ROOT,
    )
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        command = [sys.executable, "-m", "tests.benchmarks.many", client, url, str(streams)]
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
        client, url, streams = given
        run = {"aiohttp": _aiohttp, "gai_rx": _gai_rx}[client]
        print(asyncio.run(run(url, int(streams))))
        return
    print("KiB for each open stream      aiohttp    gai_rx, multiplexed")
    for streams in (1_000, 5_000):
        floor, ours = (_measure(client, streams) / 1024 for client in ("aiohttp", "gai_rx"))
        print(f"{streams:,} streams{floor:24.1f}{ours:11.1f}")


if __name__ == "__main__":
    main()
