"""Anthropic's own client reads the simulator."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gai_rx.events import Citation, ToolCall, Usage
from gai_rx.simulator import Answer, Simulator

anthropic = pytest.importorskip("anthropic")

FULL = Answer(
    "It is cold in Oslo, 4 °C.",
    reasoning="Let me think about it.",
    tool_calls=(
        ToolCall(id="toolu_1", name="weather", arguments={"city": "Oslo"}),
        ToolCall(id="", name="time", arguments={}),
    ),
    citations=(Citation(uri="https://example.com/", title="Example", text="cold"),),
    usage=Usage(input_tokens=11, output_tokens=22, cached_input_tokens=3, cache_write_tokens=4),
)
ASKED: dict[str, Any] = {
    "model": "m",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "How is Oslo?"}],
}


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(FULL) as running:
        yield running


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[Any]:
    made = anthropic.AsyncAnthropic(api_key="k", base_url=simulator.url, max_retries=0)
    async with made as running:
        yield running


async def test_a_message_is_read_whole(client: Any) -> None:
    async with client.messages.stream(**ASKED) as stream:
        texts = [text async for text in stream.text_stream]
        message = await stream.get_final_message()
        assert stream.request_id == "req_000001"
    assert "".join(texts) == FULL.text
    assert len(texts) == 7
    thinking, text, weather, clock = message.content
    assert thinking.thinking == FULL.reasoning
    assert thinking.signature
    assert text.citations[0].url == "https://example.com/"
    assert (weather.id, weather.name, weather.input) == ("toolu_1", "weather", {"city": "Oslo"})
    assert (clock.name, clock.input) == ("time", {})
    assert clock.id.startswith("toolu_")
    assert message.stop_reason == "tool_use"
    usage = message.usage
    assert (usage.input_tokens, usage.output_tokens) == (11, 22)
    assert (usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (3, 4)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer("Done."), "end_turn"),
        (Answer("Cut", finish_reason="length"), "max_tokens"),
        (Answer(refusal="No."), "refusal"),
        (Answer("Wait", raw_reason="pause_turn"), "pause_turn"),
    ],
)
async def test_a_message_says_why_it_ends(
    simulator: Simulator, client: Any, answer: Answer, reason: str
) -> None:
    simulator.script(answer)
    async with client.messages.stream(**ASKED) as stream:
        message = await stream.get_final_message()
    assert message.stop_reason == reason
    assert message.content[0].text == answer.text or answer.refusal


async def test_a_message_comes_in_one_piece_where_no_stream_is_asked_for(client: Any) -> None:
    message = await client.messages.create(**ASKED)
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert message.usage.output_tokens == 22


async def test_keepalives_are_pings_and_change_nothing(simulator: Simulator, client: Any) -> None:
    simulator.script(FULL.with_fault("keepalives:size=3"))
    async with client.messages.stream(**ASKED) as stream:
        assert (await stream.get_final_text()) == FULL.text


async def test_failures_are_its_own_exceptions(simulator: Simulator, client: Any) -> None:
    faults = ["rate_limit", "overloaded", "refused:status=403", "error_in_stream:at=2"]
    simulator.script([Answer("one two three four", fault=fault) for fault in faults])
    with pytest.raises(anthropic.RateLimitError):
        await client.messages.create(**ASKED, stream=True)
    with pytest.raises(anthropic.APIStatusError) as overloaded:
        await client.messages.create(**ASKED, stream=True)
    assert overloaded.value.status_code == 529
    with pytest.raises(anthropic.PermissionDeniedError):
        await client.messages.create(**ASKED, stream=True)
    events = await client.messages.create(**ASKED, stream=True)
    said = [(await anext(events)).type for _ in range(4)]
    with pytest.raises(anthropic.APIStatusError, match="overloaded_error"):
        await anext(events)
    assert said[-3:] == ["content_block_start", "content_block_delta", "content_block_delta"]
