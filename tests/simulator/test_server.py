"""The server: what it notes, what it leaves behind, and how it is started."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gai_rx import Provider, connect
from gai_rx.dialects import DIALECTS
from gai_rx.errors import (
    AuthenticationError,
    ConnectionFailedError,
    OverloadedError,
    ProtocolError,
    RateLimitError,
    ServerError,
    TruncatedError,
)
from gai_rx.events import Citation, TextDelta
from gai_rx.simulator import Answer, Asked, Simulator, shared
from gai_rx.simulator.pytest_plugin import gai_simulator

__all__ = ["gai_simulator"]  # here too where the package is not installed

CHAT = "/v1/chat/completions"
BASES = {
    "openai_chat": "/v1",
    "openai_responses": "/v1",
    "anthropic_messages": "",
    "gemini": "/v1beta",
    "ollama": "",
    "cohere": "/v2",
}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def asked(prompt: str = "Hi", **more: Any) -> dict[str, Any]:
    return {"model": "m", "stream": True, "messages": [{"role": "user", "content": prompt}], **more}


@pytest.mark.parametrize("dialect", [name for name in BASES if name in DIALECTS])
async def test_our_own_decoders_read_every_dialect(dialect: str) -> None:
    answer = Answer(
        "It is cold.",
        reasoning="Let me think.",
        tool_calls=Answer.calling("weather", city="Oslo").tool_calls,
        citations=() if dialect == "ollama" else (Citation(uri="https://example.com/"),),
    )
    async with Simulator(answer) as simulator:
        base = simulator.url + BASES[dialect]
        model = connect(f"{dialect}:m", base_url=base, api_key="k")
        result = await model.text("How is Oslo?")
        [seen] = simulator.requests
    assert (result.text, result.reasoning) == ("It is cold.", "Let me think.")
    [call] = result.tool_calls
    assert (call.name, call.arguments, call.invalid) == ("weather", {"city": "Oslo"}, None)
    assert result.finish_reason == "tool_calls"
    assert result.usage is not None
    assert result.usage.input_tokens == 3
    assert [c.uri for c in result.citations] == [c.uri for c in answer.citations]
    assert (seen.dialect, seen.asked.model, seen.asked.prompt) == (dialect, "m", "How is Oslo?")


@pytest.mark.parametrize("dialect", [name for name in BASES if name in DIALECTS])
@pytest.mark.parametrize(
    ("fault", "error", "inside"),
    [
        ("rate_limit:retry_after=2", RateLimitError, False),
        ("overloaded", OverloadedError, False),
        ("server_error", ServerError, False),
        ("refused:status=401", AuthenticationError, False),
        ("empty", TruncatedError, False),
        ("cut", TruncatedError, True),
        ("hang_up", ConnectionFailedError, True),
        ("reset", ConnectionFailedError, True),
        ("malformed", ProtocolError, True),
        ("error_in_stream", (OverloadedError, ServerError), True),
    ],
)
async def test_our_own_decoders_know_every_fault(
    dialect: str, fault: str, error: Any, inside: bool
) -> None:
    text = "one two three four five"
    async with Simulator(Answer(text, fault=fault)) as simulator:
        model = connect(f"{dialect}:m", base_url=simulator.url + BASES[dialect], api_key="k")
        with pytest.raises(error) as failed:
            await model.text("Hi")
    assert failed.value.retry_after == (2 if fault.startswith("rate") else None)
    assert failed.value.partial.text == ("one two three" if inside else "")


@pytest.mark.parametrize("dialect", [name for name in BASES if name in DIALECTS])
@pytest.mark.parametrize("fault", ["keepalives", "split", "slow_drip:seconds=0"])
async def test_our_own_decoders_read_through_what_is_no_failure(dialect: str, fault: str) -> None:
    async with Simulator(Answer("one two three", fault=fault)) as simulator:
        model = connect(f"{dialect}:m", base_url=simulator.url + BASES[dialect], api_key="k")
        assert (await model.text("Hi")).text == "one two three"


async def test_gemini_streams_events_only(http: aiohttp.ClientSession) -> None:
    async with Simulator(Answer("Hi")) as simulator:
        path = "/v1beta/models/m:streamGenerateContent"
        async with http.post(simulator.url + path, json={"contents": []}) as got:
            assert got.status == 400
            assert "alt=sse" in (await got.json())["error"]["message"]


async def test_it_notes_what_it_was_asked(http: aiohttp.ClientSession) -> None:
    async with Simulator(Answer("Hi")) as simulator:
        for prompt in ("one", "two"):
            headers = {"X-Mine": prompt}
            async with http.post(simulator.url + CHAT, json=asked(prompt), headers=headers) as got:
                body = await got.read()
        first, second = simulator.requests
    assert (first.number, second.number) == (1, 2)
    assert (first.path, first.headers["x-mine"], first.asked.prompt) == (CHAT, "one", "one")
    assert second.body == asked("two")
    assert second.finished
    assert not second.closed_early
    assert second.closed_at is not None
    assert second.bytes_sent == len(body)


@pytest.mark.parametrize(
    ("path", "kind"),
    [(CHAT, "text/event-stream; charset=utf-8"), ("/api/chat", "application/x-ndjson")],
)
async def test_answers_have_the_providers_headers(
    http: aiohttp.ClientSession, path: str, kind: str
) -> None:
    async with (
        Simulator(Answer("Hi")) as simulator,
        http.post(simulator.url + path, json=asked()) as got,
    ):
        assert got.headers["content-type"] == kind
        assert got.headers["x-request-id"] == "req_000001"
        await got.read()


async def test_a_client_that_goes_away_is_noted(http: aiohttp.ClientSession) -> None:
    async with Simulator(Answer("on ", endless=True)) as simulator:
        async with http.post(simulator.url + CHAT, json=asked()) as got:
            await got.content.readany()
            got.close()
        [seen] = simulator.requests
        await seen.ended()
    assert seen.closed_early
    assert not seen.finished


async def test_writing_stops_while_the_client_does_not_read() -> None:
    async with Simulator(Answer("x" * 10_000, endless=True)) as simulator:
        host, port = simulator.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        body = b'{"model": "m", "stream": true, "messages": []}'
        head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await reader.readline()
        [seen] = simulator.requests
        before = -1
        while before != seen.bytes_sent:  # until the buffers on the way are full
            before = seen.bytes_sent
            await asyncio.sleep(0.05)
        assert 0 < before < 16_000_000
        await reader.read(8_000_000)
        writer.close()
        await seen.ended()
    assert seen.closed_early


async def test_closing_breaks_off_open_answers_and_leaves_nothing(
    http: aiohttp.ClientSession,
) -> None:
    before = asyncio.all_tasks()
    simulator = await Simulator(Answer("one two", fault="stall:at=1")).start()
    url = simulator.url
    got = await http.post(url + CHAT, json=asked())
    await got.content.readany()
    await asyncio.wait_for(simulator.aclose(), 2)
    await simulator.aclose()  # once more does nothing
    got.close()
    [seen] = simulator.requests
    assert not seen.finished
    assert not seen.closed_early
    assert asyncio.all_tasks() <= before
    with pytest.raises(aiohttp.ClientConnectorError):
        await http.get(url)
    with pytest.raises(RuntimeError, match="does not run"):
        _ = simulator.url


async def test_it_listens_on_loopback_only_and_where_it_is_told() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with Simulator(port=port) as simulator:
        assert simulator.url == f"http://127.0.0.1:{port}"
        with pytest.raises(OSError, match="address already in use"):
            await Simulator(port=port).start()


async def test_a_list_is_answered_in_order_and_its_end_repeats(
    http: aiohttp.ClientSession,
) -> None:
    said = []
    async with Simulator([Answer("one"), Answer("two")]) as simulator:
        for _ in range(3):
            body = asked(stream=False)
            async with http.post(simulator.url + CHAT, json=body) as got:
                said.append((await got.json())["choices"][0]["message"]["content"])
    assert said == ["one", "two", "two"]
    with pytest.raises(ValueError, match="at least one answer"):
        Simulator([])


async def test_a_function_answers_what_it_was_asked(http: aiohttp.ClientSession) -> None:
    def script(request: Asked) -> Answer:
        return Answer(request.prompt.upper())

    async with Simulator(script) as simulator:
        model = connect("openai_chat:m", base_url=simulator.url + "/v1")
        assert (await model.text("loud")).text == "LOUD"


async def test_the_same_seed_gives_the_same_bytes(http: aiohttp.ClientSession) -> None:
    async def body(seed: int) -> bytes:
        async with (
            Simulator(Answer.calling("f"), seed=seed) as simulator,
            http.post(simulator.url + CHAT, json=asked()) as got,
        ):
            return await got.read()

    assert await body(1) == await body(1) != await body(2)


async def test_a_recorded_body_is_sent_as_it_is(
    http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    path = tmp_path / "recorded.ndjson"
    path.write_bytes(b'{"a": 1}\r\n\xff' * 500)
    async with Simulator(Answer.replay(path, piece=7)) as simulator:
        async with http.post(simulator.url + CHAT, json=asked()) as got:
            assert await got.read() == path.read_bytes()
            assert got.content_type == "application/x-ndjson"
        simulator.script(Answer.replay(b"data: 1\n\n", fault="cut:at=4"))
        async with http.post(simulator.url + CHAT, json=asked()) as got:
            assert await got.read() == b"data"
            assert got.content_type == "text/event-stream"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"messages": 3}', b"[" * 100_000])
async def test_what_is_no_request_is_refused(http: aiohttp.ClientSession, body: bytes) -> None:
    async with Simulator() as simulator:
        async with http.post(simulator.url + CHAT, data=body) as got:
            assert got.status == 400
            assert "expected the JSON of openai_chat" in (await got.json())["error"]["message"]
        assert simulator.requests == []


async def test_first_delay_comes_before_the_headers_and_delay_before_each_delta(
    http: aiohttp.ClientSession,
) -> None:
    loop = asyncio.get_running_loop()
    async with Simulator(Answer("one two three", first_delay=0.1, delay=0.05)) as simulator:
        began = loop.time()
        async with http.post(simulator.url + CHAT, json=asked()) as got:
            assert loop.time() - began >= 0.1
            await got.read()
    assert loop.time() - began >= 0.1 + 3 * 0.05


def test_without_a_loop_it_runs_in_a_thread() -> None:
    threads = threading.active_count()
    with Simulator(Answer("Hi")) as simulator:
        model = connect("openai_chat:m", base_url=simulator.url + "/v1")
        assert asyncio.run(_text(model)) == "Hi"
    assert threading.active_count() == threads
    assert simulator.requests[0].finished


async def _text(model: Provider) -> str:
    return (await model.text("Hello")).text


async def test_the_shared_one_is_one_for_every_loop() -> None:
    url = (await shared()).url
    assert await asyncio.to_thread(lambda: asyncio.run(shared()).url) == url
    seen = [
        event
        async for event in connect("simulator:echo").stream_text("Hello there.")
        if isinstance(event, TextDelta)
    ]
    assert "".join(event.text for event in seen).endswith("You said: Hello there.")
    assert len(seen) > 5


def test_the_fixture_makes_running_simulators(gai_simulator: Callable[..., Simulator]) -> None:
    one, two = gai_simulator(Answer("one")), gai_simulator(Answer("two"))
    for simulator, said in ((one, "one"), (two, "two")):
        model = connect("openai_chat:m", base_url=simulator.url + "/v1")
        assert asyncio.run(_text(model)) == said
