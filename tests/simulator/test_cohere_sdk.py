"""Cohere's own client reads the simulator."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gai_rx.events import Citation, ToolCall, Usage
from gai_rx.simulator import Answer, Simulator

cohere = pytest.importorskip("cohere")

FULL = Answer(
    "It is cold in Oslo, 4 °C.",
    reasoning="Let me think about it.",
    tool_calls=(ToolCall(id="c1", name="weather", arguments={"city": "Oslo"}),),
    citations=(
        Citation(uri="https://example.com/", title="Example", text="cold", start=6, end=10),
    ),
    usage=Usage(input_tokens=11, output_tokens=22),
)
MESSAGES = [{"role": "user", "content": "How is Oslo?"}]


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(FULL) as running:
        yield running


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[Any]:
    made = cohere.AsyncClientV2(api_key="k", base_url=simulator.url)
    async with made as running:
        yield running


async def test_a_chat_is_read_whole(client: Any) -> None:
    events = [event async for event in client.chat_stream(model="m", messages=MESSAGES)]
    assert [e.type for e in events][:: len(events) - 1] == ["message-start", "message-end"]
    content = [e.delta.message.content for e in events if e.type == "content-delta"]
    assert "".join(c.text or "" for c in content) == FULL.text
    assert "".join(c.thinking or "" for c in content) == FULL.reasoning
    starts = [e.delta.message.tool_calls for e in events if e.type == "tool-call-start"]
    assert [(c.id, c.function.name) for c in starts] == [("c1", "weather")]
    deltas = [e.delta.message.tool_calls for e in events if e.type == "tool-call-delta"]
    assert "".join(c.function.arguments for c in deltas) == '{"city": "Oslo"}'
    [cited] = [e.delta.message.citations for e in events if e.type == "citation-start"]
    assert (cited.start, cited.end, cited.text) == (6, 10, "cold")
    end = events[-1].delta
    assert end.finish_reason == "TOOL_CALL"
    assert (end.usage.tokens.input_tokens, end.usage.tokens.output_tokens) == (11, 22)


async def test_a_chat_comes_in_one_piece_where_no_stream_is_asked_for(client: Any) -> None:
    answer = await client.chat(model="m", messages=MESSAGES)
    assert answer.message.content[1].text == FULL.text
    assert answer.message.tool_calls[0].function.arguments == '{"city": "Oslo"}'


async def test_a_refusal_is_its_own_exception(simulator: Simulator, client: Any) -> None:
    simulator.script(Answer(fault="refused:status=401"))
    with pytest.raises(cohere.UnauthorizedError):
        [event async for event in client.chat_stream(model="m", messages=MESSAGES)]
