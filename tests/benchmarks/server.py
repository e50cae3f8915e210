"""A lean loopback server in its own process; `python -m tests.benchmarks.server` prints its port.

POST /<dialect>/… answers with that dialect's body, as fast as the client reads.
"""

import asyncio
import re

from tests.benchmarks import payloads

_PIECE = 256 * 1024


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = re.search(r"content-length:\s*(\d+)", head, re.IGNORECASE)
            await reader.readexactly(int(length[1]) if length else 0)
            dialect = head.split(" ")[1].split("/")[1]
            kind = "application/x-ndjson" if dialect == "ollama" else "text/event-stream"
            writer.write(
                f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n"
                "transfer-encoding: chunked\r\n\r\n".encode()
            )
            body = memoryview(payloads.body(dialect))
            for start in range(0, len(body), _PIECE):
                writer.write(body[start : start + _PIECE])
                await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    """Serve until the process is ended."""
    for dialect in payloads.DIALECTS:
        payloads.body(dialect)
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
