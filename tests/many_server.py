"""A server of many slow answers, in its own process; `python -m tests.many_server` prints its URL.

Each answer says back its prompt, word by word, and holds itself open until all streams have begun:
so that all of them are open at once, however slow the machine.
"""

import asyncio
import json
import re
import resource
import sys

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def raise_file_limit() -> int:
    """As many open files as the machine allows; how many these are."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def _record(delta: dict[str, str], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    data = f"data: {json.dumps({'id': 'c', 'model': 'm', 'choices': [choice]})}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


class ManyServer:
    """Answers `streams` requests at a time; the n-th of them lets all go on."""

    def __init__(self, streams: int) -> None:
        self._streams = streams
        self._open = 0
        self._all_open = asyncio.Event()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, request after request."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                length = re.search(r"content-length:\s*(\d+)", head, re.IGNORECASE)
                asked = json.loads(await reader.readexactly(int(length[1]) if length else 0))
                await self._stream(asked["messages"][-1]["content"], writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _stream(self, prompt: str, writer: asyncio.StreamWriter) -> None:
        writer.write(_HEAD + _record({"role": "assistant", "content": "You said:"}))
        self._open += 1
        if self._open == self._streams:
            self._all_open.set()
        await self._all_open.wait()
        for word in prompt.split():
            await asyncio.sleep(1)  # time enough to measure in
            writer.write(_record({"content": f" {word}"}))
        writer.write(_record({}, "stop") + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
        await writer.drain()
        self._open -= 1
        if not self._open:
            self._all_open.clear()


async def main(streams: int) -> None:
    """Serve until the process is ended."""
    raise_file_limit()
    server = await asyncio.start_server(ManyServer(streams).answer, "127.0.0.1", 0, backlog=streams)
    port = server.sockets[0].getsockname()[1]
    sys.stdout.write(f"http://127.0.0.1:{port}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
