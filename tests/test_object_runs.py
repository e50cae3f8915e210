"""Objects of a model that may call tools before it answers."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from pydantic import BaseModel

from gai_rx import (
    Error,
    Event,
    Finish,
    ObjectDelta,
    ObjectInvalidError,
    Provider,
    Request,
    Retry,
    Start,
    StepFinish,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    Usage,
    connect,
    max_steps,
    rate_limit,
    tool,
)
from gai_rx.dialects import DIALECTS, ObjectMode, Quirks
from gai_rx.objects import object_events, plan_object
from gai_rx.operators.assembling import collect
from gai_rx.operators.objects import objects
from gai_rx.schemas import Target
from gai_rx.simulator import Answer, Asked, Simulator

MakeSimulator = Callable[..., Simulator]
BASES = {
    "openai_chat": "/v1",
    "openai_responses": "/v1",
    "anthropic_messages": "",
    "gemini": "/v1beta",
    "ollama": "",
    "cohere": "/v2",
}


class Trip(BaseModel):
    city: str
    days: list[str]


VALUE: dict[str, Any] = {"city": "Oslo", "days": ["sun", "rain"]}
TRIP = Trip(**VALUE)
RAN: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    RAN.clear()


@tool
async def weather(city: str) -> str:
    """The weather of a city."""
    RAN.append(city)
    return f"sun in {city}"


def model(simulator: Simulator, dialect: str = "openai_chat") -> Provider:
    url = simulator.url + BASES[dialect]
    return connect(f"{dialect}:any", base_url=url, api_key="sk-test")


def giving(mode: ObjectMode, value: Any = VALUE) -> Answer:
    """The answer that is the object."""
    return Answer.calling("Trip", **value) if mode == "tool" else Answer(object=value)


def looking(*cities: str, text: str = "", **more: Any) -> Answer:
    """An answer that asks for the weather."""
    calls = tuple(ToolCall(id="", name="weather", arguments={"city": city}) for city in cities)
    return Answer(text, tool_calls=calls, **more)


def of(kind: type[Any], events: list[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


# Every dialect.


@pytest.mark.parametrize("mode", ["native", "tool", "json"])
@pytest.mark.parametrize("dialect", BASES)
async def test_tools_run_and_the_last_answer_is_the_object(
    gai_simulator: MakeSimulator, dialect: str, mode: ObjectMode
) -> None:
    simulator = gai_simulator([looking("Oslo", "Rome", text="Let me look."), giving(mode)])
    stream = model(simulator, dialect).stream_object("Go", Trip, mode=mode, tools=[weather])
    events = await stream.to_list()
    assert sorted(RAN) == ["Oslo", "Rome"]
    assert [(e.name, e.error, e.step) for e in of(ToolResult, events)] == [("weather", None, 0)] * 2
    assert [e.name for e in of(ToolCall, events)] == ["weather", "weather"]
    assert "".join(e.text for e in of(TextDelta, events)) == "Let me look."
    pieces = of(ObjectDelta, events)
    assert json.loads("".join(p.text for p in pieces)) == VALUE
    assert pieces[-1].object == TRIP
    assert {p.step for p in pieces} == {1}
    steps = [(e.number, e.reason) for e in of(StepFinish, events)]
    assert steps == [(0, "tool_calls"), (1, "stop")]
    assert (len(of(Start, events)), len(of(Finish, events))) == (1, 1)
    assert (events[-1].type, of(Finish, events)[0].reason) == ("finish", "stop")


@pytest.mark.parametrize("mode", ["native", "tool", "json"])
@pytest.mark.parametrize("dialect", BASES)
async def test_the_results_go_back_and_the_object_is_asked_for_at_each_step(
    gai_simulator: MakeSimulator, dialect: str, mode: ObjectMode
) -> None:
    simulator = gai_simulator([looking("Oslo"), giving(mode)])
    result = await model(simulator, dialect).object("Go", Trip, mode=mode, tools=[weather])
    assert (result.object, result.finish_reason, result.complete) == (TRIP, "stop", True)
    assert json.loads(result.messages[-1].text) == VALUE
    assert [message.role for message in result.messages] == ["assistant", "tool", "assistant"]
    first, second = (seen.asked for seen in simulator.requests)
    assert first.tool_results == ()
    assert ["sun in Oslo" in told for told in second.tool_results] == [True]
    for asked in (first, second):
        offered = [offered.name for offered in asked.tools]
        assert offered == (["weather", "Trip"] if mode == "tool" else ["weather"])
        assert bool(asked.schema) == (mode == "native")
        assert ('"days"' in asked.text) == (mode == "json")


@pytest.mark.parametrize(
    ("dialect", "key", "forced"),
    [
        ("openai_chat", "tool_choice", "required"),
        ("openai_responses", "tool_choice", "required"),
        ("anthropic_messages", "tool_choice", {"type": "any"}),
        ("gemini", "toolConfig", {"functionCallingConfig": {"mode": "ANY"}}),
        ("cohere", "tool_choice", "REQUIRED"),
        ("ollama", "tool_choice", None),
    ],
)
async def test_the_model_is_made_to_call_a_tool_or_to_give_the_object(
    gai_simulator: MakeSimulator, dialect: str, key: str, forced: Any
) -> None:
    simulator = gai_simulator([looking("Oslo"), giving("tool")])
    await model(simulator, dialect).object("Go", Trip, tools=[weather])
    assert [seen.body.get(key) for seen in simulator.requests] == [forced, forced]
    told = ["as long as you need them" in seen.asked.text for seen in simulator.requests]
    assert told == [forced is None] * 2


async def test_a_choice_of_the_callers_holds_for_the_first_step(
    gai_simulator: MakeSimulator,
) -> None:
    simulator = gai_simulator([looking("Oslo"), giving("tool")])
    await model(simulator).object("Go", Trip, tools=[weather], tool_choice="weather")
    first, second = (seen.body["tool_choice"] for seen in simulator.requests)
    assert first["function"]["name"] == "weather"
    assert second == "required"
    simulator.script(giving("tool"))
    for choice in ("none", "auto"):
        await model(simulator).object("Go", Trip, tools=[weather], tool_choice=choice)
    assert simulator.requests[2].body["tool_choice"]["function"]["name"] == "Trip"
    assert simulator.requests[3].body["tool_choice"] == "required"


async def test_a_model_that_thinks_is_told_and_not_made(gai_simulator: MakeSimulator) -> None:
    simulator = gai_simulator([looking("Oslo"), giving("tool")])
    thinking = model(simulator, "anthropic_messages")
    result = await thinking.object("Go", Trip, tools=[weather], reasoning_effort="low")
    assert result.object == TRIP
    assert ["tool_choice" in seen.body for seen in simulator.requests] == [False, False]


async def test_an_object_without_a_call_is_one_step(gai_simulator: MakeSimulator) -> None:
    simulator = gai_simulator(giving("tool"))
    result = await model(simulator).object("Go", Trip, tools=[weather])
    assert (result.object, RAN, len(result.steps)) == (TRIP, [], 1)


# What the run promises.


async def test_an_object_beside_calls_is_the_answer_and_the_calls_do_not_run(
    gai_simulator: MakeSimulator,
) -> None:
    both = Answer(tool_calls=(*looking("Oslo").tool_calls, *giving("tool").tool_calls))
    events = await model(gai_simulator(both)).stream_object("Go", Trip, tools=[weather]).to_list()
    assert RAN == []
    assert of(ObjectDelta, events)[-1].object == TRIP
    assert (of(ToolCall, events), of(ToolResult, events)) == ([], [])
    assert [(e.kind, e.details["name"]) for e in of(Error, events)] == [("tool", "weather")]


async def test_an_object_that_is_given_twice_counts_once(gai_simulator: MakeSimulator) -> None:
    twice = Answer(tool_calls=(*giving("tool").tool_calls, *giving("tool").tool_calls))
    events = await model(gai_simulator(twice)).stream_object("Go", Trip, tools=[weather]).to_list()
    assert json.loads("".join(e.text for e in of(ObjectDelta, events))) == VALUE
    assert of(Error, events) == []


@pytest.mark.parametrize("mode", ["native", "tool"])
@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_no_tool_runs_of_an_answer_that_is_cut(
    gai_simulator: MakeSimulator, mode: ObjectMode, reason: Any
) -> None:
    simulator = gai_simulator(looking("Oslo", finish_reason=reason))
    with pytest.raises(ObjectInvalidError, match=r"cut off|content filter"):
        await model(simulator).object("Go", Trip, mode=mode, tools=[weather], repair=1)
    assert (RAN, len(simulator.requests)) == ([], 1)


async def test_an_object_that_does_not_fit_is_asked_for_again_in_its_step(
    gai_simulator: MakeSimulator,
) -> None:
    wrong = giving("tool", {"city": "Oslo"})
    simulator = gai_simulator([looking("Oslo"), wrong, giving("tool")])
    stream = model(simulator).stream_object("Go", Trip, tools=[weather], repair=1)
    events = await stream.to_list()
    assert RAN == ["Oslo"]
    assert [(e.step, e.attempt) for e in of(Start, events)] == [(0, 1), (1, 2)]
    assert [(e.step, e.kind) for e in of(Retry, events)] == [(1, "object_invalid")]
    assert of(ObjectDelta, events)[-1].object == TRIP
    assert [e.number for e in of(StepFinish, events)] == [0, 1]
    told = simulator.requests[2].asked
    assert "days: Field required" in told.text
    assert "sun in Oslo" in told.text
    result = await _again(stream, simulator, [looking("Oslo"), wrong, giving("tool")])
    assert (result.object, len(result.tool_results), len(result.steps)) == (TRIP, 1, 2)


async def _again(stream: Any, simulator: Simulator, script: list[Answer]) -> Any:
    simulator.script(script)
    return await stream.pipe(collect())


async def test_what_does_not_fit_in_the_end_tells_of_the_whole_run(
    gai_simulator: MakeSimulator,
) -> None:
    simulator = gai_simulator([looking("Oslo"), giving("tool", {"city": "Oslo"})])
    with pytest.raises(ObjectInvalidError, match="days: Field required") as raised:
        await model(simulator).object("Go", Trip, tools=[weather])
    partial = raised.value.partial
    assert partial is not None
    assert [told.result for told in partial.tool_results] == ["sun in Oslo"]
    assert partial.object == {"city": "Oslo"}


async def test_an_answer_without_call_and_object_is_none(gai_simulator: MakeSimulator) -> None:
    simulator = gai_simulator(Answer("I do not know."))
    with pytest.raises(ObjectInvalidError, match="did not call the tool 'Trip'"):
        await model(simulator).object("Go", Trip, tools=[weather])


async def test_usage_is_that_of_all_steps(gai_simulator: MakeSimulator) -> None:
    simulator = gai_simulator([looking("Oslo"), giving("tool")])
    result = await model(simulator).object("Go", Trip, tools=[weather])
    steps = [step.usage.total_tokens for step in result.steps if step.usage is not None]
    assert len(steps) == 2
    assert result.usage is not None
    assert result.usage.total_tokens == sum(steps, start=0)  # type: ignore[arg-type]  # both are told


async def test_a_run_that_is_stopped_has_no_object(gai_simulator: MakeSimulator) -> None:
    simulator = gai_simulator(looking("Oslo"))
    stream = model(simulator).stream_object("Go", Trip, tools=[weather], stop_when=max_steps(2))
    result = await stream.pipe(collect())
    assert (result.object, result.complete, result.finish_reason) == (None, True, "tool_calls")
    assert len(simulator.requests) == 2
    assert repr(stream) == "Stream(openai_chat:any | object(Trip) | steps(max_steps(2)))"


async def test_a_run_that_waits_for_approval_goes_on_to_its_object(
    gai_simulator: MakeSimulator,
) -> None:
    simulator = gai_simulator([looking("Oslo"), giving("tool")])
    provider = model(simulator)
    waiting = await provider.object("Go", Trip, tools=[weather], approve=lambda _: None)
    assert (waiting.object, RAN) == (None, [])
    result = await provider.object(
        "Go", Trip, tools=[weather], approve=lambda _: True, resume=waiting
    )
    assert (result.object, RAN) == (TRIP, ["Oslo"])


async def test_a_request_that_fails_is_made_again_and_no_tool_runs_twice(
    gai_simulator: MakeSimulator,
) -> None:
    busy = giving("tool").with_fault("rate_limit:retry_after=0")
    simulator = gai_simulator([looking("Oslo"), busy, giving("tool")])
    result = await model(simulator).object("Go", Trip, tools=[weather], retry=rate_limit)
    assert (result.object, RAN) == (TRIP, ["Oslo"])
    assert len(simulator.requests) == 3


async def test_an_eager_tool_runs_while_the_answer_goes_on(gai_simulator: MakeSimulator) -> None:
    ran = asyncio.Event()

    async def look(city: str) -> str:
        ran.set()
        return f"sun in {city}"

    def script(asked: Asked) -> Answer:
        return giving("tool") if asked.tool_results else looking("Oslo", "Rome")

    made = Tool.of(look, name="weather", eager=True)
    result = await model(gai_simulator(script)).object("Go", Trip, tools=[made])
    assert (result.object, len(result.tool_results)) == (TRIP, 2)
    assert ran.is_set()


async def test_partial_objects_are_those_of_the_last_answer(gai_simulator: MakeSimulator) -> None:
    simulator = gai_simulator([looking("Oslo", text="Let me look."), giving("tool")])
    stream = model(simulator).stream_object("Go", Trip, tools=[weather])
    seen = await stream.pipe(objects(Trip)).to_list()
    assert seen[-1].value == VALUE


# One answer, as it may come.


def called(name: str, id: str, **arguments: Any) -> ToolCall:
    return ToolCall(id=id, name=name, arguments=arguments, arguments_text=json.dumps(arguments))


async def told(
    *answers: list[Any], mode: ObjectMode = "tool", tools: tuple[Tool, ...] = (weather,)
) -> list[Any]:
    """The events of an object, of a model that answers with these events."""
    left = list(answers)

    async def ask(_: Request) -> AsyncGenerator[list[Any], None]:
        yield [Start(), *left.pop(0)]

    request = Request.of("Go", tools=tools)
    dialect, repair = DIALECTS["openai_chat"], len(answers) - 1
    plan = plan_object(request, Target(Trip), dialect, Quirks(), "m", mode=mode, repair=repair)
    return [event async for batch in object_events(ask, plan) for event in batch]


ENDED = Finish(reason="tool_calls", usage=Usage(total_tokens=3))


async def test_fragments_that_do_not_repeat_the_name_stay_with_their_call() -> None:
    pieces = [
        ToolCallDelta(id="a", name="weather", arguments='{"city": '),
        ToolCallDelta(id="a", arguments='"Oslo"}'),
    ]
    events = await told([*pieces, called("weather", "a", city="Oslo"), ENDED])
    assert of(ToolCallDelta, events) == pieces
    assert [e.id for e in of(ToolCall, events)] == ["a"]
    assert of(ObjectDelta, events) == []


async def test_a_nameless_fragment_is_the_objects_where_nothing_else_can_be_called() -> None:
    text = json.dumps(VALUE)
    pieces = [ToolCallDelta(id="a", arguments=part) for part in (text[:14], text[14:])]
    events = await told([*pieces, called("Trip", "a", **VALUE), ENDED], tools=())
    assert [e.text for e in of(ObjectDelta, events)] == [text[:14], text[14:], ""]


async def test_a_call_that_nobody_offered_is_not_told() -> None:
    events = await told([called("odd", "b"), called("Trip", "a", **VALUE), ENDED], tools=())
    assert of(ToolCall, events) + of(Error, events) == []
    assert of(ObjectDelta, events)[-1].object == TRIP


async def test_what_begins_as_the_object_and_ends_in_calls_is_no_answer() -> None:
    spoken = [TextDelta(text='{"city": "Os'), called("weather", "a", city="Oslo")]
    events = await told([*spoken, Usage(total_tokens=3), ENDED], mode="native")
    kinds = [event.type for event in events]
    assert kinds == ["start", "object_delta", "tool_call", "usage", "finish"]
    assert events[1].object is None


async def test_calls_of_an_answer_with_an_unknown_end_are_not_told() -> None:
    with pytest.raises(ObjectInvalidError, match="did not call the tool 'Trip'"):
        await told([called("weather", "a", city="Oslo"), Finish(reason="other")])


async def test_the_usage_of_a_step_is_that_of_all_its_answers() -> None:
    prose = [TextDelta(text="Hm."), Finish(reason="stop", usage=Usage(total_tokens=2))]
    events = await told(prose, [called("weather", "a", city="Oslo"), ENDED])
    assert events[-1].usage.total_tokens == 5
    assert events[-1].reason == "tool_calls"


async def test_a_call_that_the_provider_runs_is_told_and_not_run() -> None:
    theirs = called("search", "s").model_copy(update={"provider_executed": True})
    events = await told([theirs, called("Trip", "a", **VALUE), ENDED])
    assert of(ToolCall, events) == [theirs]
    assert of(Error, events) == []
    assert of(ObjectDelta, events)[-1].object == TRIP


async def test_another_choice_is_told_as_text() -> None:
    other = TextDelta(text="{", choice=1)
    events = await told([other, called("Trip", "a", **VALUE), ENDED])
    assert of(TextDelta, events) == [other]
