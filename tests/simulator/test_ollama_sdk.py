"""Ollama's own client reads the simulator."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gai_rx.events import ToolCall, Usage
from gai_rx.simulator import Answer, Simulator

ollama = pytest.importorskip("ollama")

FULL = Answer(
    "It is cold in Oslo, 4 °C.",
    reasoning="Let me think about it.",
    tool_calls=(ToolCall(id="", name="weather", arguments={"city": "Oslo"}),),
    usage=Usage(input_tokens=11, output_tokens=22),
)
MESSAGES = [{"role": "user", "content": "How is Oslo?"}]


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(FULL) as running:
        yield running


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[Any]:
    made = ollama.AsyncClient(host=simulator.url)
    yield made
    await made._client.aclose()


async def chat(client: Any) -> list[Any]:
    return [c async for c in await client.chat(model="m", messages=MESSAGES, stream=True)]


async def test_a_chat_is_read_whole(client: Any) -> None:
    chunks = await chat(client)
    assert "".join(c.message.content or "" for c in chunks) == FULL.text
    assert "".join(c.message.thinking or "" for c in chunks) == FULL.reasoning
    [call] = [call for c in chunks for call in c.message.tool_calls or ()]
    assert (call.function.name, call.function.arguments) == ("weather", {"city": "Oslo"})
    last = chunks[-1]
    assert [c.done for c in chunks] == [False] * (len(chunks) - 1) + [True]
    assert (last.done_reason, last.prompt_eval_count, last.eval_count) == ("stop", 11, 22)


async def test_generated_text_is_read_whole(client: Any) -> None:
    stream = await client.generate(model="m", prompt="How is Oslo?", stream=True)
    chunks = [c async for c in stream]
    assert "".join(c.response for c in chunks) == FULL.text
    assert "".join(c.thinking or "" for c in chunks) == FULL.reasoning
    assert (chunks[-1].done, chunks[-1].eval_count) == (True, 22)


async def test_an_answer_comes_in_one_piece_where_no_stream_is_asked_for(client: Any) -> None:
    answer = await client.chat(model="m", messages=MESSAGES)
    assert answer.message.content == FULL.text
    assert answer.done_reason == "stop"


async def test_the_length_is_a_reason_to_end(simulator: Simulator, client: Any) -> None:
    simulator.script(Answer("Cut", finish_reason="length"))
    assert (await chat(client))[-1].done_reason == "length"


async def test_failures_are_its_own_exceptions(simulator: Simulator, client: Any) -> None:
    faults = ["overloaded", "error_in_stream:at=2"]
    simulator.script([Answer("one two three", fault=fault) for fault in faults])
    with pytest.raises(ollama.ResponseError) as refused:
        await chat(client)
    assert refused.value.status_code == 503
    chunks = await client.chat(model="m", messages=MESSAGES, stream=True)
    said = [(await anext(chunks)).message.content for _ in range(2)]
    with pytest.raises(ollama.ResponseError, match="Overloaded"):
        await anext(chunks)
    assert said == ["one", " two"]


async def test_objects_fit_the_schema_that_is_asked_for(simulator: Simulator, client: Any) -> None:
    simulator.script(None)
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    answer = await client.chat(model="any", messages=MESSAGES, format=schema)
    assert answer.message.content == '{"city": "Paris"}'
