"""Google's own client reads the simulator."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gai_rx.events import Citation, ToolCall, Usage
from gai_rx.simulator import Answer, Simulator

genai = pytest.importorskip("google.genai")
# Its own way to use aiohttp, which is deprecated there.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Inheritance class AiohttpClientSession:DeprecationWarning"
)

FULL = Answer(
    "It is cold in Oslo, 4 °C.",
    reasoning="Let me think about it.",
    tool_calls=(ToolCall(id="", name="weather", arguments={"city": "Oslo"}),),
    citations=(Citation(uri="https://example.com/", title="Example", start=0, end=5),),
    usage=Usage(
        input_tokens=11,
        output_tokens=22,
        total_tokens=38,
        reasoning_tokens=5,
        cached_input_tokens=3,
    ),
)


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(FULL) as running:
        yield running


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[Any]:
    made = genai.Client(api_key="k", http_options={"base_url": simulator.url})
    async with made.aio as running:
        yield running
    made.close()


async def stream(client: Any, model: str = "m") -> list[Any]:
    chunks = await client.models.generate_content_stream(model=model, contents="How is Oslo?")
    return [chunk async for chunk in chunks]


async def test_an_answer_is_read_whole(client: Any) -> None:
    chunks = await stream(client)
    parts = [part for c in chunks for part in c.candidates[0].content.parts]
    assert "".join(p.text or "" for p in parts if not p.thought) == FULL.text
    assert "".join(p.text for p in parts if p.thought) == FULL.reasoning
    [call] = [p.function_call for p in parts if p.function_call]
    assert (call.name, call.args) == ("weather", {"city": "Oslo"})
    last = chunks[-1]
    assert last.candidates[0].finish_reason == genai.types.FinishReason.STOP
    assert all(c.candidates[0].finish_reason is None for c in chunks[:-1])
    assert last.candidates[0].grounding_metadata.grounding_chunks[0].web.title == "Example"
    usage = last.usage_metadata
    assert (usage.prompt_token_count, usage.candidates_token_count) == (11, 22)
    assert (usage.thoughts_token_count, usage.cached_content_token_count) == (5, 3)
    assert usage.total_token_count == 38
    assert last.model_version == "m"


@pytest.mark.parametrize(
    ("reason", "word"), [("length", "MAX_TOKENS"), ("content_filter", "SAFETY"), ("stop", "STOP")]
)
async def test_an_answer_says_why_it_ends(
    simulator: Simulator, client: Any, reason: Any, word: str
) -> None:
    simulator.script(Answer("Well", finish_reason=reason))
    assert (await stream(client))[-1].candidates[0].finish_reason.name == word


async def test_an_answer_comes_in_one_piece_where_no_stream_is_asked_for(client: Any) -> None:
    answer = await client.models.generate_content(model="m", contents="How is Oslo?")
    assert answer.text == FULL.text
    assert answer.function_calls[0].args == {"city": "Oslo"}


async def test_the_model_in_the_path_chooses_the_fault(simulator: Simulator, client: Any) -> None:
    simulator.script(None)
    with pytest.raises(genai.errors.APIError) as limited:
        await stream(client, "rate_limit:retry_after=34")
    assert limited.value.code == 429
    assert limited.value.status == "RESOURCE_EXHAUSTED"
    assert "34s" in str(limited.value.details)


async def test_an_error_inside_the_stream_is_its_own_exception(
    simulator: Simulator, client: Any
) -> None:
    simulator.script(Answer("one two three", fault="error_in_stream:at=2"))
    chunks = await client.models.generate_content_stream(model="m", contents="Hi")
    said = [(await anext(chunks)).text for _ in range(2)]
    with pytest.raises(genai.errors.APIError):
        await anext(chunks)
    assert said == ["one", " two"]
