"""How soon a provider sees that a stream was disposed: `python -m tests.benchmarks.dispose`.

A loopback server sends without end; after some deltas each of many streams is disposed, and the
time until the server reads the end of the connection is taken.
"""

import asyncio
import contextlib
import statistics
import time

from gai_rx import connect
from tests.benchmarks import payloads

STREAMS = 500
AFTER = 40  # deltas

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


async def _one(port: int, closed: "asyncio.Queue[float]") -> float:
    seen = 0
    disposed = asyncio.get_running_loop().create_future()

    def on_next(_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == AFTER:
            disposed.set_result(None)

    model = connect("openai_chat:m", base_url=f"http://127.0.0.1:{port}/v1", api_key="x")
    subscription = model.stream_text("hi").subscribe(on_next)
    await disposed
    begin = time.perf_counter()
    subscription.dispose()
    return await closed.get() - begin


async def main() -> None:
    """Print the latencies."""
    closed: asyncio.Queue[float] = asyncio.Queue()
    body = payloads.body("openai_chat", 2_000)[:-5]  # without its end

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await reader.readexactly(int(head.partition("content-length:")[2].split()[0]))
        writer.write(_HEAD + body)
        with contextlib.suppress(ConnectionError):  # a reset is an end too
            await reader.read()
        closed.put_nowait(time.perf_counter())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    took = sorted([1000 * await _one(port, closed) for _ in range(STREAMS)])
    server.close()
    p99 = took[int(len(took) * 0.99)]
    print(f"{STREAMS} streams disposed after {AFTER} deltas; ms until the server saw it:")
    print(f"p50 {statistics.median(took):.2f}, p99 {p99:.2f}, most {took[-1]:.2f}")


if __name__ == "__main__":
    asyncio.run(main())
