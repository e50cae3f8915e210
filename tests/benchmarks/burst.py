"""CPU per delta of one fast stream, beside aiohttp reading the same bytes and the provider's SDK.

    python -m tests.benchmarks.burst                 the table, five interleaved rounds
    python -m tests.benchmarks.burst -r 9 -d ollama  more rounds, one dialect

Every client runs in its own process, against a server in another, and collects the whole text,
which is checked. The figure is user + system CPU time of the client per delta. Rounds alternate in
order, so that a drift of the machine's speed falls on all; compare figures of one run only.
"""

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.benchmarks import payloads

BASE = {
    "openai_chat": "/v1",
    "openai_responses": "/v1",
    "anthropic_messages": "",
    "gemini": "/v1beta",
    "ollama": "",
}
PATH = {
    "openai_chat": "/v1/chat/completions",
    "openai_responses": "/v1/responses",
    "anthropic_messages": "/v1/messages",
    "gemini": "/v1beta/models/m:streamGenerateContent?alt=sse",
    "ollama": "/api/chat",
}
GOAL_FLOOR = 4.0  # times aiohttp reading the same bytes
GOAL_SDK = {"openai_chat": 20, "openai_responses": 20, "anthropic_messages": 8, "ollama": 5}
Run = Callable[[], Any]


@asynccontextmanager
async def bytes_only(url: str, dialect: str) -> AsyncIterator[Run]:
    """aiohttp, which reads and forgets: the floor."""
    import aiohttp

    async with aiohttp.ClientSession() as session:

        async def run() -> None:
            async with session.post(url + PATH[dialect], data=b"{}") as response:
                async for _ in response.content.iter_any():
                    pass

        yield run


@asynccontextmanager
async def gai_rx(url: str, dialect: str) -> AsyncIterator[Run]:
    """Bytes to typed events, through three operators, to a subscriber."""
    from reactivex import operators as ops

    from gai_rx import connect
    from gai_rx.operators import text_only

    model = connect(f"{dialect}:m", base_url=url + BASE[dialect], api_key="x")

    async def run() -> str:
        parts: list[str] = []
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        stream: Any = model.stream_text("hi").pipe(
            text_only(), ops.map(lambda text: text), ops.filter(bool)
        )
        stream.subscribe(parts.append, done.set_exception, lambda: done.set_result(None))
        await done
        return "".join(parts)

    yield run


@asynccontextmanager
async def sdk(url: str, dialect: str) -> AsyncIterator[Run]:
    """The provider's own Python client."""
    messages: Any = [{"role": "user", "content": "hi"}]
    if dialect.startswith("openai"):
        from openai import AsyncOpenAI

        async with AsyncOpenAI(api_key="x", base_url=url + BASE[dialect]) as openai:
            yield _openai_chat(openai) if dialect == "openai_chat" else _openai_responses(openai)
    elif dialect == "anthropic_messages":
        from anthropic import AsyncAnthropic

        async with AsyncAnthropic(api_key="x", base_url=url) as anthropic:

            async def run() -> str:
                parts = []
                # The form that its documents show first; like ours it adds up the answer so far.
                asked = anthropic.messages.stream(model="m", max_tokens=9, messages=messages)
                async with asked as stream:
                    async for text in stream.text_stream:
                        parts.append(text)
                return "".join(parts)

            yield run
    elif dialect == "gemini":
        yield _gemini(url)
    else:
        from ollama import AsyncClient

        client = AsyncClient(host=url)

        async def read() -> str:
            stream = await client.chat("m", messages, stream=True)
            return "".join([part.message.content or "" async for part in stream])

        yield read


def _openai_chat(client: Any) -> Run:
    async def run() -> str:
        stream = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        return "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])

    return run


def _openai_responses(client: Any) -> Run:
    async def run() -> str:
        stream = await client.responses.create(model="m", input="hi", stream=True)
        return "".join([e.delta async for e in stream if e.type == "response.output_text.delta"])

    return run


def _gemini(url: str) -> Run:
    from google import genai

    client = genai.Client(api_key="x", http_options=genai.types.HttpOptions(base_url=url))

    async def run() -> str:
        stream = await client.aio.models.generate_content_stream(model="m", contents="hi")
        return "".join([chunk.text or "" async for chunk in stream])

    return run


CLIENTS = {"aiohttp, bytes only": bytes_only, "gai_rx, 3 operators": gai_rx, "official SDK": sdk}


async def _measure(client: str, dialect: str, port: int) -> float:
    """Microseconds of CPU per delta, after a warm-up; the better of two where it is quick."""

    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    async with CLIENTS[client](f"http://127.0.0.1:{port}/{dialect}", dialect) as run:
        text = await run()
        if client != "aiohttp, bytes only" and text != "".join(payloads.deltas()):
            raise AssertionError(f"{client} read another text of {dialect}")
        repeat = 1 if client == "official SDK" else 4
        begin = spent()
        for _ in range(repeat):
            await run()
        return (spent() - begin) / repeat / payloads.COUNT * 1e6


def _rounds(dialects: list[str], rounds: int) -> dict[tuple[str, str], list[float]]:
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.server"], stdout=subprocess.PIPE, text=True
    )
    figures: dict[tuple[str, str], list[float]] = {}
    try:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        for number in range(rounds):
            pairs = [(d, c) for d in dialects for c in CLIENTS]
            for dialect, client in pairs if number % 2 == 0 else pairs[::-1]:
                command = ["-W", "ignore", "-m", "tests.benchmarks.burst", "--one", client, dialect]
                done = subprocess.run(
                    [sys.executable, *command, port], capture_output=True, text=True, timeout=120
                )
                if done.returncode:
                    print(f"{client}, {dialect}: {done.stderr[-300:]}", file=sys.stderr)
                    continue
                figures.setdefault((dialect, client), []).append(json.loads(done.stdout))
            print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    finally:
        server.terminate()
    return figures


def _table(figures: dict[tuple[str, str], list[float]], dialects: list[str]) -> None:
    print(f"CPU µs per delta, median (lowest-highest); load average {os.getloadavg()[0]:.1f}")
    for dialect in dialects:
        own = {c: figures[dialect, c] for c in CLIENTS if (dialect, c) in figures}
        median = {client: statistics.median(values) for client, values in own.items()}
        print(f"\n{dialect}")
        for client, values in own.items():
            spread = f"({min(values):.1f}-{max(values):.1f})"
            times = median[client] / median["aiohttp, bytes only"]
            print(f"  {client:22}{median[client]:9.2f} {spread:16}{times:7.1f} x floor")
        if "official SDK" in median:
            less = median["official SDK"] / median["gai_rx, 3 operators"]
            goal = f", to reach {GOAL_SDK[dialect]}" if dialect in GOAL_SDK else ""
            print(
                f"  {less:.0f} times less than the official SDK{goal}; floor: at most {GOAL_FLOOR}"
            )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("-r", "--rounds", type=int, default=5)
    parser.add_argument("-d", "--dialect", action="append", choices=list(payloads.DIALECTS))
    parser.add_argument(
        "--one", nargs=3, metavar=("CLIENT", "DIALECT", "PORT"), help=argparse.SUPPRESS
    )
    given = parser.parse_args()
    if given.one:
        client, dialect, port = given.one
        print(json.dumps(asyncio.run(_measure(client, dialect, int(port)))))
        return
    dialects = given.dialect or list(payloads.DIALECTS)
    _table(_rounds(dialects, given.rounds), dialects)


if __name__ == "__main__":
    main()
