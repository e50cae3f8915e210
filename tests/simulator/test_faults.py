"""Faults, as a bare HTTP client sees them; and their names."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from gai_rx.simulator import FAULTS, Answer, Fault, Simulator

TEXT = "one two three four five six"
PATHS = {
    "openai_chat": "/v1/chat/completions",
    "openai_responses": "/v1/responses",
    "anthropic_messages": "/v1/messages",
    "gemini": "/v1beta/models/m:streamGenerateContent?alt=sse",
    "ollama": "/api/chat",
    "cohere": "/v2/chat",
}
ASKED = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def ask(http: aiohttp.ClientSession, simulator: Simulator, path: str = PATHS["openai_chat"]) -> Any:
    return http.post(simulator.url + path, json=ASKED)


async def body_of(http: aiohttp.ClientSession, fault: str | None) -> bytes:
    async with Simulator(Answer(TEXT, fault=fault)) as simulator, ask(http, simulator) as answer:
        assert answer.status == 200
        body: bytes = await answer.read()
        return body


async def broken_body_of(http: aiohttp.ClientSession, fault: str) -> tuple[bytes, Exception]:
    got = b""
    async with Simulator(Answer(TEXT, fault=fault)) as simulator, ask(http, simulator) as answer:
        try:
            while True:
                piece = await answer.content.readany()
                assert piece, "the body ended as if it were whole"
                got += piece
        except aiohttp.ClientError as error:
            return got, error


async def test_cut_ends_the_body_cleanly_at_that_byte(http: aiohttp.ClientSession) -> None:
    whole = await body_of(http, None)
    assert await body_of(http, "cut:at=500") == whole[:500]
    assert await body_of(http, "cut:at=0") == b""


async def test_cut_strikes_the_fourth_delta_unless_told_where(http: aiohttp.ClientSession) -> None:
    body = await body_of(http, "cut")
    assert b" three" in body
    assert not body.endswith(b"\n")
    assert b" five" not in body


async def test_a_seed_always_strikes_the_same_place(http: aiohttp.ClientSession) -> None:
    first, again = await body_of(http, "cut:seed=7"), await body_of(http, "cut:seed=7")
    assert first == again
    places = {Fault("cut", seed=seed).byte for seed in range(20)}
    assert len(places) > 10


@pytest.mark.parametrize(("fault", "word"), [("hang_up", "not completed"), ("reset", "reset")])
async def test_a_broken_connection_is_one(
    http: aiohttp.ClientSession, fault: str, word: str
) -> None:
    whole = await body_of(http, None)
    got, error = await broken_body_of(http, f"{fault}:at=500")
    assert got == whole[:500]
    assert word in str(error)


async def test_malformed_is_one_record_that_is_no_json(http: aiohttp.ClientSession) -> None:
    body, whole = await body_of(http, "malformed:at=2"), await body_of(http, None)
    assert body.replace(b'data: {"broken": \n\n', b"", 1) == whole
    assert body.index(b" two") < body.index(b"broken") < body.index(b" three")


async def test_keepalives_are_comments_before_each_delta(http: aiohttp.ClientSession) -> None:
    body, whole = await body_of(http, "keepalives:size=2"), await body_of(http, None)
    assert body.count(b": keep-alive\n\n") == 2 * 6
    assert body.replace(b": keep-alive\n\n", b"") == whole


async def test_empty_has_no_body(http: aiohttp.ClientSession) -> None:
    assert await body_of(http, "empty") == b""


async def test_an_error_in_the_stream_ends_it(http: aiohttp.ClientSession) -> None:
    body = await body_of(http, "error_in_stream:at=1,kind=rate_limit")
    assert b'"one"' in body
    assert b" two" not in body
    assert b"rate_limit_exceeded" in body.splitlines()[-2]


@pytest.mark.parametrize("fault", ["split", "slow_drip:size=7,seconds=0"])
async def test_small_writes_change_nothing(http: aiohttp.ClientSession, fault: str) -> None:
    whole = await body_of(http, None)
    async with Simulator(Answer(TEXT, fault=fault)) as simulator, ask(http, simulator) as answer:
        pieces = [piece async for piece in answer.content.iter_any()]
    assert b"".join(pieces) == whole
    assert len(pieces) > 20


async def test_a_stall_is_silence_until_the_client_goes(http: aiohttp.ClientSession) -> None:
    async with Simulator(Answer(TEXT, fault="stall:at=2")) as simulator:
        async with ask(http, simulator) as answer:
            got = b""
            while b" two" not in got:
                got += await answer.content.readany()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(answer.content.readany(), 0.1)
            answer.close()
        [seen] = simulator.requests
        await seen.ended()
    assert seen.closed_early
    assert not seen.finished


async def test_a_stall_can_end(http: aiohttp.ClientSession) -> None:
    assert await body_of(http, "stall:seconds=0.01") == await body_of(http, None)


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
@pytest.mark.parametrize(
    ("fault", "statuses"),
    [
        ("rate_limit:retry_after=2.5", {429}),
        ("overloaded", {503, 529}),
        ("server_error", {500}),
        ("refused:status=401", {401}),
        ("refused:status=413,message=Too big.", {413}),
    ],
)
async def test_a_refusal_is_http_in_every_dialect(
    http: aiohttp.ClientSession, path: str, fault: str, statuses: set[int]
) -> None:
    async with (
        Simulator(Answer(TEXT, fault=fault)) as simulator,
        ask(http, simulator, path) as answer,
    ):
        told = await answer.json()
    assert answer.status in statuses
    assert answer.headers["x-request-id"] == "req_000001"
    assert ("Too big." in str(told)) == ("Too big." in fault)
    if answer.status == 429:
        assert (answer.headers["retry-after"], answer.headers["retry-after-ms"]) == ("3", "2500")
    else:
        assert "retry-after" not in answer.headers


async def test_a_fault_can_strike_some_requests_only(http: aiohttp.ClientSession) -> None:
    statuses = []
    async with Simulator(Answer(TEXT, fault="server_error:times=2")) as simulator:
        for _ in range(6):
            async with ask(http, simulator) as answer:
                statuses.append(answer.status)
    assert statuses == [500, 500, 200, 500, 500, 200]


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_read_back_from_its_text(name: str) -> None:
    fault = Fault(name, at=120, seed=3, retry_after=2.5, status=503, seconds=0.5, size=9, times=1)
    assert Fault.parse(str(fault)) == fault
    assert Fault.parse(name) == Fault(name)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("cutt", "no fault is called 'cutt'"),
        ("cut:at", "expected setting=value"),
        ("cut:where=3", "got 'where=3'"),
        ("cut:at=-1", "at must be 0 or more"),
        ("rate_limit:retry_after=nan", "retry_after must be 0 or more"),
        ("refused:status=200", "300 to 599"),
    ],
)
def test_what_is_no_fault_is_refused_with_a_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Fault.parse(text)
