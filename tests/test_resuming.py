"""Answers in the background are gone on with where they broke off, and no word comes twice."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from gai_rx import (
    AuthenticationError,
    Citation,
    ConnectionFailedError,
    GaiError,
    Provider,
    Result,
    ResultBuilder,
    Retry,
    Start,
    StreamEvent,
    TextDelta,
    ToolCall,
    TruncatedError,
    connect,
    transient,
)
from gai_rx.dialects import DIALECTS
from gai_rx.dialects.openai_responses import ResponsesDecoder
from gai_rx.operators.retrying import retry_on
from gai_rx.simulator import Answer, Asked, Simulator
from gai_rx.simulator.language import Turn
from gai_rx.simulator.openai_responses import records
from tests.wire_server import WireServer, answer, refuse

BACKGROUND = {"background": True, "store": True}
ANSWER = Answer(
    "Nå er det kaldt.",
    reasoning="Let me think.",
    citations=(Citation(uri="https://example.com/", title="t"),),
    tool_calls=(
        ToolCall(id="call_1", name="weather", arguments={"city": "Oslo"}),
        ToolCall(id="call_2", name="time"),
    ),
)
ASKED = Asked("openai_responses", "m", body=BACKGROUND)
RECORDS = [record.data for record in records(Turn(ASKED, ANSWER))]
BODY = b"".join(RECORDS)
RESUME = retry_on(transient, after_output="resume", attempts=100, jitter=lambda _: 0.0)


def model_at(url: str) -> Provider:
    return connect("openai_responses:m", base_url=url, api_key="k", provider_options=BACKGROUND)


def amount(events: Sequence[StreamEvent]) -> Result:
    """What the events add up to."""
    builder = ResultBuilder()
    builder.extend(events)
    return builder.result()


def last_answer(events: Sequence[StreamEvent]) -> list[StreamEvent]:
    """The events from the last `Start` on, without what tells of the retries."""
    begin = max(n for n, event in enumerate(events) if isinstance(event, Start))
    return [e for e in events[begin:] if not isinstance(e, Retry)]


def decoded(*bodies: bytes) -> list[StreamEvent]:
    decoder, events = ResponsesDecoder(), list[StreamEvent]()
    for body in bodies:
        decoder.go_on()
        events += decoder.feed(body)
        events += decoder.close()
    assert decoder.done
    return events


def position(path: str | None) -> int:
    assert path is not None
    head, number = path.split("?stream=true&starting_after=")
    assert head.startswith("/responses/resp_")
    return int(number)


def test_a_decoder_goes_on_at_every_cut() -> None:
    whole = decoded(BODY)
    begun = len(RECORDS[0]) + len(RECORDS[1])  # what it takes to know where to go on
    for cut in range(begun, len(BODY) - len(RECORDS[-1])):
        decoder = ResponsesDecoder()
        decoder.feed(BODY[:cut])
        decoder.close(ConnectionFailedError("cut"))
        after = position(decoder.rest_path())
        rest = b"".join(RECORDS[after + 1 :])
        assert decoded(BODY[:cut], rest) == whole, cut


@pytest.mark.parametrize(
    "told",
    [
        {"background": False},
        {"id": "../../v1/files"},
        {"id": ".."},
        {"id": None},
    ],
)
def test_a_decoder_names_no_place_that_the_provider_does_not_keep(told: dict[str, Any]) -> None:
    decoder = ResponsesDecoder()
    for record in RECORDS[:6]:
        name, _, data = record.decode().partition("\ndata: ")
        event = json.loads(data)
        if "response" in event:
            event["response"] |= told
        decoder.feed(f"{name}\ndata: {json.dumps(event)}\n\n".encode())
    assert decoder.rest_path() is None


def test_a_decoder_names_no_place_with_a_server_that_does_not_count() -> None:
    decoder = ResponsesDecoder()
    decoder.feed(b"".join(r.replace(b'"sequence_number":1,', b"") for r in RECORDS[:2]))
    assert decoder.rest_path() is None
    zeros = ResponsesDecoder()
    zeros.feed(RECORDS[0] + RECORDS[0])
    assert zeros.rest_path() is None


def cuts() -> list[int]:
    """Between any two records, in the middle of each, and a byte before its end."""
    ends = [sum(map(len, RECORDS[: n + 1])) for n in range(len(RECORDS))]
    middles = [end - len(r) // 2 for r, end in zip(RECORDS, ends, strict=True)]
    return sorted({*ends[:-1], *middles, *(end - 1 for end in ends[:-1])})


@pytest.mark.parametrize("fault", ["cut", "hang_up"])
async def test_an_answer_is_whole_wherever_it_was_cut(fault: str) -> None:
    whole = [type(e) for e in decoded(BODY)]
    async with Simulator() as simulator:
        model = model_at(simulator.url + "/v1")
        for cut in cuts():
            simulator.script(ANSWER.with_fault(f"{fault}:at={cut},times=1"))
            events = await model.stream_text("Hi").pipe(RESUME).to_list()
            said = [type(e) for e in events]
            assert said.count(Retry) == 1
            assert said.count(Start) == 1 or cut < len(RECORDS[0] + RECORDS[1])
            told = last_answer(events)
            assert [type(e) for e in told] == whole
            result = amount(told)
            assert (result.text, result.reasoning) == (ANSWER.text, ANSWER.reasoning)
            assert [c.arguments for c in result.tool_calls] == [{"city": "Oslo"}, {}]


async def test_an_answer_may_be_cut_again_and_again() -> None:
    async with Simulator(ANSWER.with_fault("cut:at=2500")) as simulator:
        events = await model_at(simulator.url + "/v1").stream_text("Hi").pipe(RESUME).to_list()
        asked = [(seen.path, dict(seen.body)) for seen in simulator.requests]
    assert amount(events).text == ANSWER.text
    assert [c.arguments for c in amount(events).tool_calls] == [{"city": "Oslo"}, {}]
    assert {e.attempt for e in events if not isinstance(e, Retry)} == {1}
    assert len(asked) > 3
    assert asked[0][0] == "/v1/responses"
    assert {path.rpartition("/")[0] for path, _ in asked[1:]} == {"/v1/responses"}
    numbers = [int(told["starting_after"]) for _, told in asked[1:]]
    assert numbers == sorted(set(numbers))


async def test_the_rest_is_asked_for_with_the_same_key_and_no_body() -> None:
    cut = answer(*RECORDS[:12])
    async with WireServer(cut, refuse(503, retry_after="0"), answer(*RECORDS[12:])) as wire:
        events = await model_at(wire.base_url).stream_text("Hi").pipe(RESUME).to_list()
    assert amount(events).text == ANSWER.text
    name = json.loads(RECORDS[0].partition(b"data: ")[2])["response"]["id"]
    for exchange in wire.exchanges[1:]:
        line, *headers = exchange.head.lower().split("\r\n")
        assert line.startswith(f"get /v1/responses/{name}?stream=true&starting_after=11 ")
        assert "authorization: bearer k" in headers
        assert not any(h.startswith("content-type") for h in headers)
        assert exchange.body == b""


async def test_what_had_come_is_in_the_error_of_every_part() -> None:
    half = RECORDS[:14]
    async with WireServer(answer(*half), answer(RECORDS[14]), refuse(401)) as wire:
        with pytest.raises(AuthenticationError) as failed:
            await model_at(wire.base_url).stream_text("Hi").pipe(RESUME)
    assert failed.value.resume is None  # who may not ask need not ask again
    kept = [e.partial.text for e in failed.value.attempts if isinstance(e, GaiError) and e.partial]
    said = [amount(ResponsesDecoder().feed(b"".join(RECORDS[:n]))).text for n in (14, 15)]
    assert kept == said
    assert failed.value.partial is not None
    assert failed.value.partial.text == said[1]


async def test_the_rest_may_be_subscribed_to_more_than_once() -> None:
    async with Simulator(ANSWER.with_fault("cut:at=6000,times=1")) as simulator:
        with pytest.raises(TruncatedError) as failed:
            await model_at(simulator.url + "/v1").stream_text("Hi")
        assert failed.value.resume is not None
        rest = failed.value.resume()
        first, second = await rest.to_list(), await rest.to_list()
    assert repr(rest) == "Stream(openai_responses:m, resumed)"
    assert first == second
    assert failed.value.partial is not None
    texts = "".join(e.text for e in first if isinstance(e, TextDelta))
    assert failed.value.partial.text + texts == ANSWER.text


@pytest.mark.parametrize("options", [{}, {"background": True, "store": False}])
async def test_an_answer_in_the_foreground_can_not_be_gone_on_with(options: Any) -> None:
    async with Simulator(ANSWER.with_fault("cut:at=6000")) as simulator:
        model = connect("openai_responses:m", base_url=simulator.url + "/v1", api_key="k")
        with pytest.raises(TruncatedError) as failed:
            await model.stream_text("Hi", provider_options=options).pipe(RESUME)
    assert failed.value.resume is None
    assert "openai_responses does not continue this answer" in failed.value.__notes__[0]


async def test_an_answer_that_the_provider_has_ended_is_not_gone_on_with() -> None:
    async with Simulator(ANSWER.with_fault("error_in_stream:kind=server")) as simulator:
        with pytest.raises(GaiError) as failed:
            await model_at(simulator.url + "/v1").stream_text("Hi").pipe(RESUME)
    assert failed.value.resume is None


async def test_openais_own_client_goes_on_with_an_answer() -> None:
    openai = pytest.importorskip("openai")
    async with Simulator(ANSWER) as simulator:
        url = simulator.url + "/v1"
        async with openai.AsyncOpenAI(api_key="k", base_url=url, max_retries=0) as client:
            texts, first, name = [], [], ""
            stream = await client.responses.create(
                model="m", input="Hi", stream=True, background=True
            )
            async for event in stream:
                first.append(event.sequence_number)
                name = event.response.id if event.type == "response.created" else name
                if event.type == "response.output_text.delta":
                    texts.append(event.delta)
                if len(texts) == 2:
                    break
            await stream.close()
            rest = await client.responses.retrieve(name, stream=True, starting_after=first[-1])
            async for event in rest:
                first.append(event.sequence_number)
                if event.type == "response.output_text.delta":
                    texts.append(event.delta)
            whole = await client.responses.retrieve(name)
            with pytest.raises(openai.NotFoundError):
                await client.responses.retrieve("resp_unknown")
            with pytest.raises(openai.BadRequestError):
                await client.responses.retrieve(name, extra_query={"starting_after": "x"})
    assert first == list(range(len(RECORDS)))
    assert "".join(texts) == ANSWER.text
    assert whole.output_text == ANSWER.text


@pytest.mark.parametrize("name", [name for name in DIALECTS if name != "openai_responses"])
def test_no_other_dialect_knows_where_the_rest_of_an_answer_is(name: str) -> None:
    assert DIALECTS[name].decoder().rest_path() is None
