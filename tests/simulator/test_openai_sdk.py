"""OpenAI's own client reads the simulator."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gai_rx.events import Citation, ToolCall, Usage
from gai_rx.simulator import Answer, Simulator

openai = pytest.importorskip("openai")

FULL = Answer(
    "It is cold in Oslo, 4 °C.",
    reasoning="Let me think about it.",
    tool_calls=(
        ToolCall(id="call_1", name="weather", arguments={"city": "Oslo"}),
        ToolCall(id="call_2", name="time", arguments={}),
    ),
    usage=Usage(input_tokens=11, output_tokens=22, cached_input_tokens=3, reasoning_tokens=5),
)
TOOL = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(FULL) as running:
        yield running


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[Any]:
    made = openai.AsyncOpenAI(api_key="k", base_url=simulator.url + "/v1", max_retries=0)
    async with made as running:
        yield running


def chat(client: Any, **more: Any) -> Any:
    messages = [{"role": "user", "content": "How is Oslo?"}]
    return client.chat.completions.stream(model="m", messages=messages, **more)


def ask(client: Any) -> Any:
    return client.chat.completions.create(model="m", messages=[], stream=True)


async def test_chat_is_read_whole(client: Any) -> None:
    texts, thoughts = [], []
    async with chat(client, stream_options={"include_usage": True}) as stream:
        async for event in stream:
            if event.type == "content.delta":
                texts.append(event.delta)
            elif event.type == "chunk" and event.chunk.choices:
                delta = event.chunk.choices[0].delta.model_extra or {}
                thoughts.append(delta.get("reasoning_content") or "")
        answer = await stream.get_final_completion()
    assert "".join(texts) == FULL.text
    assert len(texts) == 8  # the first one is empty, as from OpenAI
    assert "".join(thoughts) == FULL.reasoning
    [choice] = answer.choices
    assert choice.finish_reason == "tool_calls"
    assert [(c.id, c.function.name, c.function.arguments) for c in choice.message.tool_calls] == [
        ("call_1", "weather", '{"city": "Oslo"}'),
        ("call_2", "time", "{}"),
    ]
    assert answer.usage.model_dump(exclude_none=True) == {
        "prompt_tokens": 11,
        "completion_tokens": 22,
        "total_tokens": 33,
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }


async def test_chat_sends_no_usage_unless_asked(client: Any) -> None:
    async with chat(client) as stream:
        answer = await stream.get_final_completion()
    assert answer.usage is None


async def test_chat_refuses_and_stops_early(simulator: Simulator, client: Any) -> None:
    simulator.script([Answer(refusal="I can not do that."), Answer("Cut", finish_reason="length")])
    async with chat(client) as stream:
        refused = await stream.get_final_completion()
    assert refused.choices[0].message.refusal == "I can not do that."
    assert refused.choices[0].message.content is None
    pieces = [
        c async for c in await client.chat.completions.create(model="m", messages=[], stream=True)
    ]
    assert pieces[-1].choices[0].finish_reason == "length"


async def test_chat_comes_in_one_piece_where_no_stream_is_asked_for(client: Any) -> None:
    answer = await client.chat.completions.create(model="m", messages=[])
    [choice] = answer.choices
    assert choice.message.content == FULL.text
    assert choice.message.tool_calls[0].function.arguments == '{"city": "Oslo"}'
    assert answer.usage.total_tokens == 33


async def test_chat_failures_are_its_own_exceptions(simulator: Simulator, client: Any) -> None:
    simulator.script(
        [
            Answer(fault="rate_limit:retry_after=7"),
            Answer(fault="refused:status=401"),
            Answer(fault="server_error"),
            Answer("one two three four five", fault="error_in_stream:at=2,kind=server"),
        ]
    )
    with pytest.raises(openai.RateLimitError) as limited:
        await ask(client)
    assert limited.value.response.headers["retry-after"] == "7"
    assert limited.value.request_id == "req_000001"
    with pytest.raises(openai.AuthenticationError):
        await ask(client)
    with pytest.raises(openai.InternalServerError):
        await ask(client)
    chunks = await ask(client)
    said = [(await anext(chunks)).choices[0].delta.content for _ in range(3)]
    with pytest.raises(openai.APIError, match="had an error"):
        await anext(chunks)
    assert said == ["", "one", " two"]


async def test_responses_are_read_whole(simulator: Simulator, client: Any) -> None:
    cited = Citation(uri="https://example.com/", title="Example", start=0, end=2)
    simulator.script(
        Answer(
            FULL.text,
            reasoning=FULL.reasoning,
            tool_calls=FULL.tool_calls,
            usage=FULL.usage,
            citations=(cited,),
        )
    )
    texts, thoughts, kinds = [], [], []
    tools = [{"type": "function", "name": "weather", "parameters": TOOL, "strict": False}]
    async with client.responses.stream(model="m", input="How is Oslo?", tools=tools) as stream:
        async for event in stream:
            kinds.append(event.type)
            if event.type == "response.output_text.delta":
                texts.append(event.delta)
            elif event.type == "response.reasoning_summary_text.delta":
                thoughts.append(event.delta)
        answer = await stream.get_final_response()
    assert "".join(texts) == FULL.text == answer.output_text
    assert "".join(thoughts) == FULL.reasoning == answer.output[0].summary[0].text
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert answer.status == "completed"
    calls = [item for item in answer.output if item.type == "function_call"]
    assert [(c.call_id, c.name, c.arguments) for c in calls] == [
        ("call_1", "weather", '{"city": "Oslo"}'),
        ("call_2", "time", "{}"),
    ]
    assert answer.output[1].content[0].annotations[0].url == "https://example.com/"
    usage = answer.usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (11, 22, 33)
    assert usage.input_tokens_details.cached_tokens == 3
    assert usage.output_tokens_details.reasoning_tokens == 5


async def test_responses_number_their_events_without_a_gap(client: Any) -> None:
    stream = await client.responses.create(model="m", input="Hi", stream=True)
    numbers = [event.sequence_number async for event in stream]
    assert numbers == list(range(len(numbers)))


@pytest.mark.parametrize(
    ("answer", "status", "why"),
    [
        (Answer("Cut", finish_reason="length"), "incomplete", "max_output_tokens"),
        (Answer("Cut", finish_reason="content_filter"), "incomplete", "content_filter"),
        (Answer("Cut", finish_reason="error"), "failed", None),
        (Answer(refusal="No."), "completed", None),
    ],
)
async def test_responses_say_why_they_end(
    simulator: Simulator, client: Any, answer: Answer, status: str, why: str | None
) -> None:
    simulator.script(answer)
    stream = await client.responses.create(model="m", input="Hi", stream=True)
    events = [event async for event in stream]
    assert events[-1].type == f"response.{status}"
    assert events[-1].response.status == status
    details = events[-1].response.incomplete_details
    assert (details and details.reason) == why
    [part] = events[-1].response.output[0].content
    assert part.type == ("refusal" if answer.refusal else "output_text")


async def test_responses_fail_inside_the_stream(simulator: Simulator, client: Any) -> None:
    simulator.script(Answer("one two three", fault="error_in_stream:at=1"))
    events = await client.responses.create(model="m", input="Hi", stream=True)
    said = [(await anext(events)).type for _ in range(5)]
    with pytest.raises(openai.APIError, match="Overloaded"):
        await anext(events)
    assert said[-1] == "response.output_text.delta"


async def test_responses_come_in_one_piece_where_no_stream_is_asked_for(client: Any) -> None:
    answer = await client.responses.create(model="m", input="Hi")
    assert answer.output_text == FULL.text
    assert answer.usage.total_tokens == 33


async def test_objects_fit_the_schema_that_is_asked_for(simulator: Simulator, client: Any) -> None:
    from pydantic import BaseModel

    class Person(BaseModel):
        name: str
        age: int
        friends: list["Person"] = []

    simulator.script(None)
    messages = [{"role": "user", "content": "Who?"}]
    parsed = await client.chat.completions.parse(
        model="object", messages=messages, response_format=Person
    )
    assert isinstance(parsed.choices[0].message.parsed, Person)
    response = await client.responses.parse(model="object", input="Who?", text_format=Person)
    assert isinstance(response.output_parsed, Person)
