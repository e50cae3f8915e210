"""Runs of several steps: ask, run tools, tell the results, ask again."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import pytest
from pydantic_core import from_json
from reactivex import Observable, Subject, empty, just, never, throw
from reactivex.testing import TestScheduler

from gai_rx import (
    Error,
    Event,
    Finish,
    RateLimitError,
    ReasoningDelta,
    Request,
    Result,
    ResultBuilder,
    Retry,
    Start,
    StepFinish,
    Stream,
    StreamEvent,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    TruncatedError,
    Usage,
    connect,
    rate_limit,
    system,
    tool,
    tool_result,
    user,
)
from gai_rx.dialects import DIALECTS, Quirks
from gai_rx.errors import BudgetExceededError, ServerError
from gai_rx.events import FinishReason, ToolProgress
from gai_rx.operators.flowing import map_async, relay
from gai_rx.operators.retrying import retry_on
from gai_rx.simulator import Answer, Asked, Simulator
from gai_rx.steps import RunSettings, answers, pending_calls, run_steps
from gai_rx.stopping import (
    RunState,
    StopCondition,
    max_steps,
    until_cost,
    until_error_rate,
    until_result,
    until_tool_seen,
    until_tools_in_order,
)
from gai_rx.tools import Approval, ToolContext
from tests.operators.sources import settle

BASES = {
    "openai_chat": "/v1",
    "openai_responses": "/v1",
    "anthropic_messages": "",
    "gemini": "/v1beta",
    "ollama": "",
    "cohere": "/v2",
}

# A model that answers from a script, without a connection.


def call(name: str, id: str = "1", **arguments: Any) -> ToolCall:
    return ToolCall(id=id, name=name, arguments=arguments, arguments_text=json.dumps(arguments))


def answer(
    *said: str | StreamEvent, reason: FinishReason | None = None, tokens: int | None = None
) -> list[Any]:
    """The events of an answer: texts and events, between `Start` and `Finish`."""
    events: list[Any] = [TextDelta(text=s) if isinstance(s, str) else s for s in said]
    if reason is None:
        reason = "tool_calls" if any(isinstance(e, ToolCall) for e in events) else "stop"
    usage = None if tokens is None else Usage(total_tokens=tokens)
    return [Start(provider="p"), *events, Finish(reason=reason, usage=usage)]


PAUSE = object()
"""In an answer: let the loop do what is due."""


class Model:
    """Answers in turn, the last one ever again; an exception in an answer is raised there.

    Attributes:
        asked: The requests it got.
        closed: How many answers have ended, however.
    """

    def __init__(self, *answers: Sequence[Any]) -> None:
        self.asked: list[Request] = []
        self.closed = 0
        self._answers = list(answers)

    async def ask(self, request: Request) -> AsyncGenerator[Sequence[StreamEvent], None]:
        self.asked.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        try:
            for item in answer:
                if isinstance(item, Exception):
                    raise item
                if item is PAUSE:
                    await settle()
                elif isinstance(item, asyncio.Event):
                    await item.wait()
                else:
                    yield [item]
        finally:
            self.closed += 1

    def stream(self, *tools: Tool, prompt: Any = "Hi", **settings: Any) -> Stream[Event]:
        request = Request.of(prompt, tools=tools, **settings.pop("request", {}))
        return run_steps(self.ask, request, RunSettings(**settings), name="model")

    async def run(self, *tools: Tool, **settings: Any) -> list[Any]:
        return await self.stream(*tools, **settings).to_list()


def result_of(events: Sequence[StreamEvent]) -> Result:
    builder = ResultBuilder()
    builder.extend(events)
    return builder.result()


def of(kind: type[Any], events: Sequence[StreamEvent]) -> list[Any]:
    return [e for e in events if isinstance(e, kind)]


RAN: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def _nothing_ran() -> None:
    RAN.clear()


@tool
async def look(city: str = "Oslo") -> str:
    """The weather of a city."""
    RAN[f"look {city}"] += 1
    return f"sun in {city}"


@tool
async def fails() -> str:
    """Fail."""
    RAN["fails"] += 1
    raise ValueError("no such city")


# The form of a run.


async def test_a_run_has_one_start_one_finish_and_numbered_steps() -> None:
    model = Model(answer("Let me see.", call("look")), answer("It is sunny."))
    events = await model.run(look)
    assert [(e.type, e.step) for e in events] == [
        ("start", 0),
        ("text_delta", 0),
        ("tool_call", 0),
        ("tool_progress", 0),
        ("tool_result", 0),
        ("step_finish", 0),
        ("text_delta", 1),
        ("step_finish", 1),
        ("finish", 1),
    ]
    assert of(StepFinish, events)[0].reason == "tool_calls"
    assert events[-1].reason == "stop"
    result = result_of(events)
    assert (result.complete, [s.number for s in result.steps]) == (True, [0, 1])
    assert result.tool_results[0].result == "sun in Oslo"


async def test_events_of_later_steps_survive_json_with_their_step() -> None:
    events = await Model(answer(call("look")), answer("a")).run(look)
    late = of(TextDelta, events)[0]
    assert late == TextDelta(text="a", step=1)
    assert json.loads(late.model_dump_json(exclude_unset=True))["step"] == 1


async def test_the_history_goes_back_with_calls_and_results_by_their_ids() -> None:
    thought = ReasoningDelta(text="Hm", signature="s", encrypted="e")
    calls = (call("look", "a", city="Oslo"), call("look", "b", city="Rome"))
    model = Model(answer(thought, "Wait.", *calls), answer("Done."))
    events = await model.run(look, prompt=[system("Be brief."), user("Hi")])
    assert [m.role for m in model.asked[1].messages] == ["system", "user", "assistant", "tool"]
    assert model.asked[1].messages[2:] == result_of(events).messages[:2]
    said, told = model.asked[1].messages[2:]
    assert [p.type for p in said.parts] == ["reasoning", "text", "tool_call", "tool_call"]
    assert (said.parts[0].signature, said.parts[0].encrypted) == ("s", "e")  # type: ignore[union-attr]  # reasoning
    assert [(p.id, p.result) for p in told.parts] == [  # type: ignore[union-attr]  # results
        ("a", "sun in Oslo"),
        ("b", "sun in Rome"),
    ]


async def test_usage_is_that_of_all_steps() -> None:
    model = Model(
        answer(call("look"), Usage(input_tokens=5), tokens=7), answer("a", tokens=4), answer("b")
    )
    events = await model.run(look)
    assert [e.usage.total_tokens for e in of(StepFinish, events)] == [7, 4]
    assert events[-1].usage == Usage(total_tokens=11)
    result = result_of(events)
    assert result.usage == events[-1].usage
    assert [s.usage and s.usage.total_tokens for s in result.steps] == [7, 4]


async def test_a_last_step_without_usage_is_not_given_that_of_the_run() -> None:
    events = await Model(answer(call("look"), tokens=7), answer("a")).run(look)
    result = result_of(events)
    assert result.usage is not None
    assert result.usage.total_tokens == 7
    assert result.steps[1].usage is None


async def test_a_run_is_cold_and_each_subscription_is_one_of_its_own() -> None:
    model = Model(answer(call("look")), answer("a"), answer(call("look")), answer("a"))
    stream = model.stream(look)
    assert model.asked == []
    assert repr(stream) == "Stream(model | steps(no_more_tools()))"
    first, second = await stream.to_list(), await stream.to_list()
    assert [e.type for e in first] == [e.type for e in second]
    assert RAN == {"look Oslo": 2}


# Tools side by side.


async def test_two_tools_of_one_step_overlap_and_the_fast_ones_result_comes_first() -> None:
    ticks = TestScheduler()
    began: list[str] = []

    @tool
    async def wait(seconds: float) -> float:
        began.append(f"{seconds}")
        over = asyncio.Event()
        ticks.schedule_relative(seconds, lambda *_: over.set())
        await over.wait()
        return seconds

    model = Model(
        answer(call("wait", "slow", seconds=5.0), call("wait", "fast", seconds=3.0)), answer("a")
    )
    events: list[Any] = []
    model.stream(wait).subscribe(events.append, scheduler=ticks)
    await settle()
    assert began == ["5.0", "3.0"]
    ticks.advance_to(3.0)
    await settle()
    assert [e.id for e in of(ToolResult, events)] == ["fast"]
    ticks.advance_to(5.0)
    await settle()
    assert [(e.id, e.duration) for e in of(ToolResult, events)] == [("fast", 3.0), ("slow", 5.0)]
    told = model.asked[1].messages[-1]
    assert [p.id for p in told.parts] == ["slow", "fast"]  # type: ignore[union-attr]  # in the calls' order


async def test_a_workflow_of_fifteen_steps_with_parallel_tools() -> None:
    together: list[int] = []
    now = 0

    @tool
    async def research(topic: str, turns: int) -> str:
        nonlocal now
        now += 1
        together.append(now)
        await settle(turns)
        now -= 1
        return topic

    @tool
    async def send_email(to: str) -> str:
        return f"sent to {to}"

    def script(asked: Asked) -> Answer:
        step = sum(m.get("role") == "assistant" for m in asked.body["messages"])
        if step == 14:
            return Answer.calling("send_email", to="me")
        slow = Answer.calling("research", topic=f"slow {step}", turns=40).tool_calls
        fast = Answer.calling("research", topic=f"fast {step}", turns=5).tool_calls
        return Answer(f"Step {step}.", tool_calls=(*slow, *fast))

    async with Simulator(script) as simulator:
        model = connect("openai_chat:m", base_url=f"{simulator.url}/v1", api_key="k")
        stream = model.stream_text(
            "Work.",
            tools=[research, send_email],
            stop_when=max_steps(15) | until_tool_seen("send_email"),
        )
        events: list[Any] = await stream.to_list()
    assert repr(stream).endswith("steps(max_steps(15) | until_tool_seen('send_email')))")
    assert [e.number for e in of(StepFinish, events)] == list(range(15))
    assert together == [1, 2] * 14
    results = [e.result for e in of(ToolResult, events)]
    assert results[-1] == "sent to me"
    assert results[:-1] == [f"{pace} {n}" for n in range(14) for pace in ("fast", "slow")]
    assert len(simulator.requests) == 15
    assert events[-1].reason == "tool_calls"


@pytest.mark.parametrize("dialect", list(BASES))
async def test_every_dialect_takes_the_history_back(dialect: str) -> None:
    def script(asked: Asked) -> Answer:
        if asked.tool_results:
            return Answer("Told: " + "; ".join(asked.tool_results))
        calls = Answer.calling("look", city="Oslo").tool_calls
        return Answer(
            "Wait.",
            reasoning="Hm.",
            tool_calls=(*calls, *Answer.calling("fails").tool_calls),
        )

    async with Simulator(script) as simulator:
        base = simulator.url + BASES[dialect]
        model = connect(f"{dialect}:m", base_url=base, api_key="k")
        result = await model.text("How is Oslo?", tools=[look, fails])
        first, second = simulator.requests
    assert first.asked.tool_results == ()
    told, error = second.asked.tool_results
    assert "sun in Oslo" in told
    assert "ValueError: no such city" in error
    assert result.text.startswith("Wait.Told: ")
    assert [s.finish_reason for s in result.steps] == ["tool_calls", "stop"]
    sent = json.dumps(second.body)
    for one in result.tool_calls:
        assert sent.count(json.dumps(one.id)) == 2, "the call and its result name one id"
    if dialect == "anthropic_messages":  # it refuses a tool turn without its signed thinking
        [block] = [b for b in second.body["messages"][1]["content"] if b["type"] == "thinking"]
        assert block["signature"]


async def test_encrypted_thinking_goes_back_to_the_responses_api() -> None:
    thought = ReasoningDelta(text="Hm", encrypted="opaque", id="rs_1")
    model = Model(answer(thought, call("look", "a")), answer("Done."))
    await model.run(look)
    body = DIALECTS["openai_responses"].encode(model.asked[1], "m", Quirks()).body
    assert [i.get("type") for i in body["input"]] == [
        None,
        "reasoning",
        "function_call",
        "function_call_output",
    ]
    assert body["input"][1]["encrypted_content"] == "opaque"


# When no tool may run.


@pytest.mark.parametrize("reason", ["length", "content_filter", "refusal", "error", "other"])
async def test_no_tool_runs_from_an_answer_that_did_not_end_well(reason: FinishReason) -> None:
    model = Model(answer(call("look"), reason=reason), answer("never asked"))
    events = await model.run(look)
    assert [e.type for e in events] == ["start", "tool_call", "step_finish", "finish"]
    assert (events[-1].reason, len(model.asked), RAN) == (reason, 1, Counter())


async def test_no_tool_runs_from_an_answer_that_breaks_off() -> None:
    model = Model([Start(), call("look"), TruncatedError("cut")])
    with pytest.raises(TruncatedError) as caught:
        await model.run(look)
    assert caught.value.partial is not None
    assert caught.value.partial.tool_calls == (call("look"),)
    with pytest.raises(TruncatedError, match="without a Finish"):
        await Model([Start(), call("look")]).run(look)
    assert Counter() == RAN


@pytest.mark.parametrize("dialect", list(BASES))
async def test_in_no_dialect_a_tool_runs_from_a_length_stopped_answer(dialect: str) -> None:
    script = Answer(tool_calls=Answer.calling("look").tool_calls, finish_reason="length")
    async with Simulator(script) as simulator:
        model = connect(f"{dialect}:m", base_url=simulator.url + BASES[dialect], api_key="k")
        result = await model.text("Hi", tools=[look])
    assert (result.finish_reason, result.tool_results) == ("length", ())
    assert len(simulator.requests) == 1
    assert Counter() == RAN


@pytest.mark.parametrize("dialect", list(BASES))
async def test_in_no_dialect_a_tool_runs_from_an_answer_that_is_cut_off(dialect: str) -> None:
    whole = Answer("Wait.", tool_calls=Answer.calling("look", city="Oslo").tool_calls)
    async with Simulator(whole) as simulator:
        model = connect(f"{dialect}:m", base_url=simulator.url + BASES[dialect], api_key="k")
        await model.text("Hi", tools=[look], run_tools=False)
        length = simulator.requests[0].bytes_sent
        cut = 0
        for at in range(1, length, max(1, length // 40)):
            simulator.script(whole.with_fault(f"cut:at={at}"))
            RAN.clear()
            try:
                await model.text("Hi", tools=[look], stop_when=max_steps(1))
            except TruncatedError:
                cut += 1
                assert Counter() == RAN
    assert cut > 20


async def test_a_call_that_the_provider_runs_itself_is_never_run_by_us() -> None:
    theirs = call("look", "srvtoolu_1").model_copy(update={"provider_executed": True})
    told = ToolResult(id="srvtoolu_1", name="look", result="x", provider_executed=True)
    events = await Model(answer(theirs, told, "Done.", reason="stop")).run(look)
    assert len(of(ToolResult, events)) == 1
    assert Counter() == RAN


async def test_a_call_whose_result_the_provider_told_is_not_run_again() -> None:
    told = ToolResult(id="srvtoolu_1", name="look", result="x", provider_executed=True)
    await Model(answer(call("look", "srvtoolu_1"), told, "Done.")).run(look)
    assert Counter() == RAN


async def test_with_run_tools_off_calls_are_only_delivered() -> None:
    script = Answer(tool_calls=Answer.calling("look", city="Oslo").tool_calls)
    async with Simulator(script) as simulator:
        model = connect("openai_chat:m", base_url=f"{simulator.url}/v1", api_key="k")
        quiet = await model.text("Hi", tools=[look], run_tools=False)
        bare = await model.text("Hi", tools=[Tool("look")])
    assert [r.tool_calls[0].name for r in (quiet, bare)] == ["look", "look"]
    assert (quiet.tool_results, bare.tool_results, Counter()) == ((), (), RAN)
    assert len(simulator.requests) == 2


async def test_a_tool_without_a_function_leaves_its_call_to_the_caller() -> None:
    model = Model(answer(call("look", "a"), call("ask_user", "b")), answer("Done."))
    events = await model.run(look, Tool("ask_user"))
    assert [e.id for e in of(ToolResult, events)] == ["a"]
    assert events[-1].metadata == {"pending_calls": ["b"]}
    result = result_of(events)
    assert [c.id for c in pending_calls(result)] == ["b"]
    went_on = await model.run(
        look, prompt=[user("Hi"), *result.messages, tool_result("b", "yes", name="ask_user")]
    )
    assert went_on[-1].reason == "stop"


# What goes wrong is told to the model.


async def test_unknown_tools_and_broken_arguments_are_told_and_the_run_goes_on() -> None:
    broken = ToolCall(id="b", name="look", arguments_text="{", invalid="no JSON")
    nameless = ToolCall(id="c", name="", invalid="the call names no tool")
    model = Model(answer(call("functions.rm -rf", "a"), broken, nameless), answer("Sorry."))
    events = await model.run(look)
    assert [(e.id, e.error) for e in of(ToolResult, events)] == [
        ("a", "there is no tool called 'functions.rm -rf'"),
        ("b", "no JSON"),
        ("c", "the call names no tool"),
    ]
    said, told = model.asked[1].messages[1:]
    names = ["functions_rm_-rf", "look", "unknown"]
    assert [p.name for p in said.parts] == names  # type: ignore[union-attr]  # calls
    assert [p.name for p in told.parts] == names  # type: ignore[union-attr]  # results
    assert result_of(events).text == "Sorry."


async def test_of_two_calls_with_one_id_the_first_runs() -> None:
    model = Model(
        answer(call("look", "a", city="Oslo"), call("look", "a", city="Rome")), answer("Done.")
    )
    events = await model.run(look)
    assert RAN == {"look Oslo": 1}
    [fault] = of(Error, events)
    assert (fault.kind, fault.details) == ("tool", {"id": "a", "name": "look"})
    said, told = model.asked[1].messages[1:]
    assert (len(said.parts), len(told.parts)) == (1, 1)


async def test_a_thousand_calls_run_side_by_side_within_bounds_and_no_more() -> None:
    now = most = 0

    @tool
    async def work(n: int) -> int:
        nonlocal now, most
        now, most = now + 1, max(most, now + 1)
        await asyncio.sleep(0)
        now -= 1
        return n

    calls = [call("work", str(n), n=n) for n in range(1003)]
    events = await Model(answer(*calls), answer("Done.")).run(work, max_parallel=4)
    assert len(of(ToolResult, events)) == 1000
    assert [e.details["id"] for e in of(Error, events)] == ["1000", "1001", "1002"]
    assert most == 4


# Eager tools.


def eager(*, calls: list[str]) -> Tool:
    @tool(eager=True)
    async def search(query: str) -> str:
        calls.append(query)
        return f"found {query}"

    return search


def spoken(one: ToolCall) -> list[StreamEvent]:
    return [
        ToolCallDelta(id=one.id, name=one.name, arguments=piece)
        for piece in (one.arguments_text[:5], one.arguments_text[5:])
    ]


async def test_an_eager_tool_starts_when_its_call_closes_and_tells_when_the_answer_is_safe() -> (
    None
):
    calls: list[str] = []
    one, go_on = call("search", query="x"), asyncio.Event()
    model = Model([Start(), *spoken(one), go_on, one, Finish(reason="tool_calls")], answer("Done."))
    events: list[Any] = []
    model.stream(eager(calls=calls)).subscribe(events.append)
    await settle()
    assert calls == ["x"]
    assert of(ToolResult, events) == []
    go_on.set()
    await settle()
    assert [e.result for e in of(ToolResult, events)] == ["found x"]
    assert calls == ["x"]
    assert events[-1].type == "finish"


async def test_an_eager_tools_result_is_discarded_when_the_answer_fails() -> None:
    calls: list[str] = []
    one = call("search", query="x")
    cut = Model([Start(), *spoken(one), PAUSE, one, Finish(reason="length")])
    assert of(ToolResult, await cut.run(eager(calls=calls))) == []
    assert calls == ["x"]


async def restarted(model: Model, *tools: Tool) -> list[Any]:
    """The events of a run whose first answer fails and is asked for anew."""
    ticks = TestScheduler()
    events: list[Any] = []
    again = retry_on(ServerError, after_output="restart")
    model.stream(*tools, retry=again).subscribe(events.append, scheduler=ticks)
    await settle(100)
    ticks.advance_to(100.0)
    await settle(200)
    return events


async def test_an_eager_tool_of_a_failed_answer_is_run_anew_for_the_next() -> None:
    calls: list[str] = []
    one = call("search", query="x")
    failed = [Start(), *spoken(one), PAUSE, ServerError("lost")]
    model = Model(failed, answer(*spoken(one), one), answer("Done."))
    events = await restarted(model, eager(calls=calls))
    assert calls == ["x", "x"]
    assert [(e.attempt, e.result) for e in of(ToolResult, events)] == [(2, "found x")]


async def test_of_a_failed_answer_no_call_is_run() -> None:
    failed = [Start(), call("look", "a"), ServerError("lost")]
    model = Model(failed, answer(call("look", "b", city="Rome")), answer("Done."))
    events = await restarted(model, look)
    assert RAN == {"look Rome": 1}
    assert result_of(events).complete


async def test_a_tool_that_is_not_eager_waits_for_the_end() -> None:
    one = call("look")
    model = Model([Start(), *spoken(one), asyncio.Event()])
    subscription = model.stream(look).subscribe()
    await settle()
    assert Counter() == RAN
    subscription.dispose()


async def test_an_eager_tool_runs_anew_when_the_arguments_end_up_different() -> None:
    calls: list[str] = []
    early, late = call("search", query="x"), call("search", query="z")
    model = Model(
        [Start(), *spoken(early), PAUSE, late, Finish(reason="tool_calls")], answer("Done.")
    )
    events = await model.run(eager(calls=calls))
    assert calls == ["x", "z"]
    assert [e.result for e in of(ToolResult, events)] == ["found z"]


async def test_an_eager_tool_that_turns_out_to_be_the_providers_is_forgotten() -> None:
    calls: list[str] = []
    one = call("search", query="x")
    theirs = one.model_copy(update={"provider_executed": True})
    events = await Model(answer(*spoken(one), theirs, "Done.")).run(eager(calls=calls))
    assert of(ToolResult, events) == []


async def test_an_eager_tool_that_needs_approval_waits_for_the_end() -> None:
    calls: list[str] = []
    one, go_on = call("search", query="x"), asyncio.Event()
    model = Model([Start(), *spoken(one), go_on, one, Finish(reason="tool_calls")], answer("Done."))
    model.stream(eager(calls=calls), approve=lambda _: True).subscribe()
    await settle()
    assert calls == []


async def test_hostile_fragments_cost_little(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[int] = []

    def parse(text: str) -> Any:
        parsed.append(len(text))
        return from_json(text)

    monkeypatch.setattr(answers, "from_json", parse)
    calls: list[str] = []
    pieces = [ToolCallDelta(id="1", name="search", arguments=p) for p in ('{"a": "', *"}" * 9000)]
    await Model(answer(*pieces)).run(eager(calls=calls))
    assert len(parsed) == 16
    assert calls == []


# Retrying.


async def test_a_retry_repeats_one_model_call_and_no_tool() -> None:
    ticks = TestScheduler()
    model = Model(
        answer("Wait.", call("look")),
        [Start(), RateLimitError("slow down", retry_after=5.0)],
        answer("Done."),
    )
    events: list[Any] = []
    model.stream(look, retry=rate_limit).subscribe(events.append, scheduler=ticks)
    await settle(40)
    assert of(Retry, events) == [
        Retry(attempt=2, delay=5.0, error="slow down", kind="rate_limit", step=1)
    ]
    ticks.advance_to(5.0)
    await settle(40)
    assert RAN == {"look Oslo": 1}
    assert model.asked[1] == model.asked[2]
    assert [(e.attempt, e.step) for e in of(Start, events)] == [(1, 0), (2, 1)]
    result = result_of(events)
    assert (result.text, len(result.tool_results), result.complete) == ("Wait.Done.", 1, True)


async def test_an_error_tells_what_the_whole_run_has_come_to() -> None:
    lost = ServerError("lost", resume=lambda: None)
    model = Model(answer("Wait.", call("look")), [Start(), TextDelta(text="Hal"), lost])
    with pytest.raises(ServerError) as caught:
        await model.run(look, retry=(rate_limit, KeyError))
    partial = caught.value.partial
    assert partial is not None
    assert (partial.text, len(partial.tool_results), partial.complete) == ("Wait.Hal", 1, False)
    assert caught.value.resume is None


async def test_an_outer_restart_never_runs_a_tool_twice() -> None:
    model = Model(answer(call("look")), [Start(), TextDelta(text="a"), ServerError("lost")])
    again = retry_on(ServerError, after_output="restart")
    with pytest.raises(ServerError):
        await model.stream(look).pipe(again).to_list()
    assert RAN == {"look Oslo": 1}


async def test_without_tools_a_retry_is_laid_over_the_one_request() -> None:
    async with Simulator(Answer("Hi", fault="rate_limit:retry_after=0,times=1")) as simulator:
        model = connect("openai_chat:m", base_url=f"{simulator.url}/v1", api_key="k")
        result = await model.text("Hi", retry=rate_limit)
    assert (result.text, len(simulator.requests)) == ("Hi", 2)


# Settings of each step.


async def test_each_step_can_have_settings_of_its_own() -> None:
    model = Model(answer(call("look"), tokens=3), answer(call("look")), answer("Done."))
    seen: list[tuple[int, int, int]] = []

    async def prepare(run: RunState) -> dict[str, Any] | None:
        seen.append((run.next_number, len(run.steps), len(run.messages)))
        return {"temperature": 0.5, "tool_choice": "none"} if run.next_number == 2 else None

    await model.run(look, prepare_step=prepare)
    assert seen == [(0, 0, 1), (1, 1, 3), (2, 2, 5)]
    assert [r.temperature for r in model.asked] == [None, None, 0.5]
    assert model.asked[2].tool_choice == "none"


async def test_the_tools_of_a_step_are_those_that_run_in_it() -> None:
    model = Model(answer(call("look")), answer(call("look")), answer("Done."))
    events = await model.run(
        look, prepare_step=lambda run: {"tools": ()} if run.next_number == 1 else None
    )
    assert [e.error for e in of(ToolResult, events)] == [None, "there is no tool called 'look'"]


async def test_a_forced_choice_and_a_requests_own_names_hold_for_the_first_step() -> None:
    model = Model(answer(call("look")), answer("Done."))
    given = {"tool_choice": "required", "idempotency_key": "k", "request_id": "r"}
    await model.run(look, request=given)
    told = [(r.tool_choice, r.idempotency_key, r.request_id) for r in model.asked]
    assert told == [("required", "k", "r"), (None, "k-1", "r-1")]


async def test_what_prepare_step_or_a_condition_raises_arrives_as_it_is() -> None:
    error = KeyError("mine")

    def breaks(run: RunState) -> Any:
        raise error

    for settings in ({"prepare_step": breaks}, {"stop_when": breaks}):
        with pytest.raises(KeyError) as caught:
            await Model(answer(call("look"))).run(look, **settings)
        assert caught.value is error


# Ending.


async def test_a_run_stops_where_its_condition_says_so() -> None:
    model = Model(answer(call("look")))
    events = await model.run(look, stop_when=max_steps(3))
    assert (len(model.asked), events[-1].reason, events[-1].step) == (3, "tool_calls", 2)
    assert RAN == {"look Oslo": 3}


@pytest.mark.parametrize(
    ("stop", "steps"),
    [
        (until_result("sun", tool="look"), 1),
        (until_cost(1.5, lambda used: 0.5 * (used.total_tokens or 0)), 3),
        (until_error_rate(0.5, last=4), 2),
        (until_tools_in_order("look", "fails", "look") & ~until_tools_in_order("odd"), 2),
    ],
    ids=repr,
)
async def test_a_run_stops_by_what_its_tools_and_tokens_came_to(
    stop: StopCondition, steps: int
) -> None:
    model = Model(answer(call("look", "a"), call("fails", "b"), tokens=1))
    events = await model.run(look, fails, stop_when=stop)
    assert len(model.asked) == steps
    assert events[-1].reason == "tool_calls"


async def test_a_run_measures_its_time_by_the_subscribers_clock() -> None:
    ticks = TestScheduler()
    elapsed: list[float] = []

    @tool
    async def work() -> None:
        ticks.advance_by(2.0)

    def enough(run: RunState) -> bool:
        elapsed.append(run.elapsed)
        return run.elapsed > 5.0

    done: list[Any] = []
    model = Model(answer(call("work")))
    model.stream(work, stop_when=enough).subscribe(
        on_completed=lambda: done.append(1), scheduler=ticks
    )
    await settle(200)
    assert (elapsed, done) == ([2.0, 4.0, 6.0], [1])


async def test_a_run_ends_where_no_tool_is_asked_for_whatever_the_condition() -> None:
    model = Model(answer("Hi"))
    await model.run(look, stop_when=lambda run: False)
    assert len(model.asked) == 1


async def test_a_run_that_never_ends_is_stopped_after_a_hundred_steps() -> None:
    model = Model(answer(call("look")))
    with pytest.raises(BudgetExceededError, match="100 steps") as caught:
        await model.run(look, stop_when=lambda run: False)
    assert len(model.asked) == 100
    assert caught.value.partial is not None
    assert len(caught.value.partial.steps) == 100


@pytest.mark.parametrize("where", ["model", "tools"])
async def test_dispose_ends_the_model_and_all_tools_at_once(where: str) -> None:
    contexts: list[ToolContext] = []
    ended: list[str] = []

    @tool
    async def forever(context: ToolContext) -> None:
        contexts.append(context)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(context.call_id)

    asking = answer(call("forever", "a"), call("forever", "b"))
    model = Model([Start(), asyncio.Event()] if where == "model" else asking)
    events: list[Any] = []
    subscription = model.stream(forever).subscribe(events.append)
    await settle()
    assert len(contexts) == (0 if where == "model" else 2)
    before = len(events)
    subscription.dispose()
    await settle(5)
    assert model.closed == 1
    assert ended == [c.call_id for c in contexts]
    assert all(c.cancelled for c in contexts)
    assert len(events) == before
    assert not [t for t in asyncio.all_tasks() if "gai_rx tool" in t.get_name()]


async def test_leaving_the_loop_in_the_middle_of_a_step_ends_it_all() -> None:
    model = Model(answer("a", "b", call("look")))
    async for event in model.stream(look):
        if isinstance(event, ToolProgress):
            break
    await settle()
    assert model.closed == len(model.asked)


async def test_a_subscriber_that_raises_ends_the_tools() -> None:
    ended: list[bool] = []

    @tool
    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    error = RuntimeError("mine")
    errors: list[Exception] = []

    def breaks(event: Event) -> None:
        if isinstance(event, ToolResult):
            raise error

    model = Model(answer(call("forever", "a"), call("look", "b")))
    model.stream(forever, look).subscribe(breaks, errors.append)
    await settle()
    assert errors == [error]
    assert ended == [True]


async def test_what_a_tool_emits_elsewhere_does_not_hold_the_run() -> None:
    elsewhere: Subject[int] = Subject()
    stuck = Stream.of(elsewhere).pipe(relay(1), map_async(lambda _: asyncio.Event().wait()))
    subscription = stuck.subscribe()

    @tool
    async def emit() -> None:
        for n in range(5):
            elsewhere.on_next(n)

    events = await asyncio.wait_for(Model(answer(call("emit")), answer("a")).run(emit), 5)
    assert events[-1].type == "finish"
    subscription.dispose()


async def test_a_slow_subscriber_holds_the_tools_and_the_model() -> None:
    calls = [call("look", str(n), city=str(n)) for n in range(200)]
    model = Model(answer(*calls), answer("Done."))
    events = model.stream(look, max_parallel=2).__aiter__()
    async for event in events:
        if isinstance(event, ToolResult):
            break
    await settle(200)
    held = sum(RAN.values())
    assert held < 100  # what `async for` takes in ahead, and no more
    left = [event async for event in events]
    assert len(of(ToolResult, left)) == 199
    assert left[-1].type == "finish"


# Approval.


def approving(asked: list[str], prefix: str = "") -> Callable[[ToolCall], bool]:
    """Approves of everything, and notes what it was asked about."""

    def decide(one: ToolCall) -> bool:
        asked.append(prefix + one.id)
        return True

    return decide


@pytest.mark.parametrize("kind", ["sync", "async", "decision", "observable", "subject"])
async def test_an_approved_call_runs_and_is_asked_about_once(kind: str) -> None:
    asked: list[str] = []

    def decide(one: ToolCall) -> bool:
        asked.append(one.id)
        return True

    async def decide_later(one: ToolCall) -> bool:
        return decide(one)

    subject: Subject[Approval] = Subject()
    approve: Any = {
        "sync": decide,
        "async": decide_later,
        "decision": lambda one: Approval.of(one, decide(one)),
        "observable": just(Approval.of(call("look", "a"))),
        "subject": subject,
    }[kind]
    model = Model(answer(call("look", "a")), answer("Done."))
    events: list[Any] = []
    done = asyncio.Event()
    model.stream(look, approve=approve).subscribe(events.append, on_completed=done.set)
    if kind == "subject":
        await settle()
        assert Counter() == RAN
        subject.on_next(Approval.of(call("look", "other")))
        subject.on_next(Approval.of(call("look", "a")))
    await asyncio.wait_for(done.wait(), 5)
    assert RAN == {"look Oslo": 1}
    assert asked in (["a"], []) if "j" in kind or "v" in kind else asked == ["a"]
    assert not subject.observers


async def test_a_decision_may_come_from_the_subscriber_of_the_call_itself() -> None:
    decisions: Subject[Approval] = Subject()
    model = Model(answer(call("look")), answer("Done."))
    done = asyncio.Event()

    def on_next(event: Event) -> None:
        if isinstance(event, ToolCall):
            decisions.on_next(Approval.of(event))

    model.stream(look, approve=decisions).subscribe(on_next, on_completed=done.set)
    await asyncio.wait_for(done.wait(), 5)
    assert RAN == {"look Oslo": 1}


async def test_a_decision_may_come_from_another_thread() -> None:
    decisions: Subject[Approval] = Subject()
    model = Model(answer(call("look")), answer("Done."))
    done = asyncio.Event()
    model.stream(look, approve=decisions).subscribe(on_completed=done.set)
    await settle()
    asyncio.get_running_loop().set_debug(True)  # it refuses other threads' hands on the loop
    await asyncio.to_thread(decisions.on_next, Approval.of(call("look")))
    await asyncio.wait_for(done.wait(), 5)
    assert RAN == {"look Oslo": 1}


async def test_one_question_is_asked_at_a_time() -> None:
    now = most = 0

    async def decide(one: ToolCall) -> bool:
        nonlocal now, most
        now, most = now + 1, max(most, now + 1)
        await settle()
        now -= 1
        return True

    calls = [call("look", str(n)) for n in range(5)]
    await Model(answer(*calls), answer("a")).run(look, approve=decide)
    assert (most, RAN) == (1, {"look Oslo": 5})


async def test_who_decides_may_leave_without_a_decision() -> None:
    early, late = empty(), Subject[Any]()
    for approve in (early, late):
        model = Model(answer(call("look", "a")))
        events: list[Any] = []
        model.stream(look, approve=approve).subscribe(events.append)
        await settle()
        late.on_completed()
        await settle()
        assert events[-1].metadata == {"pending_calls": ["a"]}
    assert Counter() == RAN


async def test_a_denied_call_is_told_with_the_reason() -> None:
    model = Model(answer(call("look", "a"), call("look", "b", city="Rome")), answer("Sorry."))

    def decide(one: ToolCall) -> bool | Approval:
        return Approval.of(one, False, "too far") if one.id == "b" else False

    events = await model.run(look, approve=decide)
    assert [e.error for e in of(ToolResult, events)] == [
        "the call was not approved",
        "the call was not approved: too far",
    ]
    assert Counter() == RAN


async def test_arguments_that_change_after_the_approval_do_not_run() -> None:
    one = call("look", city="Oslo")

    def decide(asked: ToolCall) -> bool:
        one.arguments["city"] = "Rome"
        return True

    events = await Model(answer(one), answer("Sorry.")).run(look, approve=decide)
    [told] = of(ToolResult, events)
    assert told.error == "the arguments were changed after they had been checked"
    assert Counter() == RAN


async def test_an_approval_of_another_call_is_none() -> None:
    other = Approval.of(call("look", city="Rome"))
    events = await Model(answer(call("look")), answer("a")).run(look, approve=lambda _: other)
    [told] = of(ToolResult, events)
    assert told.error == "another call was approved, not this one"
    assert Counter() == RAN


async def test_a_tool_says_whose_approval_it_needs() -> None:
    asked: list[str] = []

    def note(name: str) -> Callable[[ToolCall], bool]:
        return approving(asked, f"{name} ")

    def named(name: str, approve: Any) -> Tool:
        return Tool(name, function=lambda: name, approve=approve)

    tools = [
        named("free", False),
        named("any", None),
        named("must", True),
        named("own", note("own")),
    ]
    calls = [call(t.name, t.name) for t in tools]
    await Model(answer(*calls), answer("a")).run(*tools, approve=note("run"))
    assert asked == ["run any", "run must", "own own"]
    asked.clear()
    events = await Model(answer(*calls), answer("a")).run(*tools)
    assert asked == ["own own"]
    assert events[-1].metadata["pending_calls"] == ["must"]


@pytest.mark.parametrize("kind", ["raises", "observable", "odd answer", "odd decision"])
async def test_what_an_approver_raises_ends_the_run(kind: str) -> None:
    error = KeyError("mine")

    def breaks(one: ToolCall) -> bool:
        raise error

    approve: Any = {
        "raises": breaks,
        "observable": throw(error),
        "odd answer": lambda one: "yes",
        "odd decision": just("yes"),
    }[kind]
    with pytest.raises((KeyError, TypeError)) as caught:
        await Model(answer(call("look"))).run(look, approve=approve)
    assert (caught.value is error) == (kind in ("raises", "observable"))
    assert Counter() == RAN


async def test_waiting_for_a_decision_holds_no_other_tool() -> None:
    slow: Observable[Any] = never()
    asking = Tool("ask", function=lambda: 1, approve=slow)
    calls = [call("ask", f"q{n}") for n in range(5)]
    model = Model(answer(*calls, call("look", "free")))
    events: list[Any] = []
    subscription = model.stream(asking, look, max_parallel=1).subscribe(events.append)
    await settle()
    assert [e.id for e in of(ToolResult, events)] == ["free"]
    subscription.dispose()
    await settle()
    assert not [t for t in asyncio.all_tasks() if "approval" in t.get_name()]


# Resuming.


async def stopped(model: Model, *tools: Tool, **settings: Any) -> Result:
    return result_of(await model.run(*tools, **settings))


async def test_a_run_that_waits_for_approval_goes_on_from_its_result() -> None:
    pay = Tool("pay", function=lambda: RAN.update(["pay"]) or "paid", approve=True)
    model = Model(
        answer("Wait.", call("look", "a"), call("pay", "b"), tokens=5), answer("Done.", tokens=2)
    )
    first = await stopped(model, look, pay)
    assert (first.complete, first.finish_reason) == (True, "tool_calls")
    assert [c.id for c in pending_calls(first)] == ["b"]
    assert RAN == {"look Oslo": 1}
    kept = Result.model_validate_json(first.model_dump_json())

    asked: list[str] = []
    events = await model.run(look, pay, resume=kept, approve=approving(asked))
    assert RAN == {"look Oslo": 1, "pay": 1}
    assert asked == ["b"]
    assert [(e.type, e.step) for e in events] == [
        ("start", 0),
        ("tool_progress", 0),
        ("tool_result", 0),
        ("text_delta", 1),
        ("step_finish", 1),
        ("finish", 1),
    ]
    roles = [m.role for m in model.asked[1].messages]
    assert roles == ["user", "assistant", "tool", "tool"]
    second = result_of(events)
    assert second.usage is not None
    assert second.usage.total_tokens == 2
    assert [m.role for m in (*first.messages, *second.messages)] == [
        "assistant",
        "tool",
        "tool",
        "assistant",
    ]


async def test_a_run_can_stop_and_be_resumed_again_and_again() -> None:
    def pay(name: str) -> Tool:
        return Tool(name, function=lambda: RAN.update([name]), approve=True)

    tools = [pay("one"), pay("two")]
    model = Model(answer(call("one", "1"), call("two", "2")), answer("Done."))
    first = await stopped(model, *tools)

    def only(name: str) -> Callable[[ToolCall], bool | None]:
        return lambda one: True if one.name == name else None

    second = await stopped(model, *tools, resume=first, approve=only("one"))
    assert [c.id for c in pending_calls([first, second])] == ["2"]
    third = await stopped(model, *tools, resume=[first, second], approve=only("two"))
    assert (third.text, RAN) == ("Done.", {"one": 1, "two": 1})


async def test_a_resumed_run_has_no_new_budget() -> None:
    pay = Tool("pay", function=lambda: "paid", approve=True)
    model = Model(answer(call("pay")))
    first = await stopped(model, pay)
    second = await stopped(model, pay, resume=first, approve=lambda _: True, stop_when=max_steps(1))
    assert len(model.asked) == 1
    assert second.tool_results[0].result == "paid"
    assert second.complete


async def test_a_run_that_its_condition_stopped_can_be_gone_on_with() -> None:
    model = Model(answer(call("look")), answer(call("look", city="Rome")), answer("Done."))
    first = await stopped(model, look, stop_when=max_steps(1))
    second = await stopped(model, look, resume=first)
    assert (second.text, RAN) == ("Done.", {"look Oslo": 1, "look Rome": 1})
    assert [s.number for s in second.steps] == [0, 1, 2][-len(second.steps) :]


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (Result(), "of one that stopped"),
        (result_of([Start(), call("look")]), "of one that stopped"),
        (result_of(answer(call("look"), reason="length")), "ended with 'length'"),
        (result_of(answer("Hi")), "nothing to resume"),
        ([], "got none"),
    ],
)
def test_what_can_not_be_resumed_is_refused_at_once(result: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Model(answer("a")).stream(look, resume=result)


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"max_parallel": 0}, ValueError, "at least 1, got 0"),
        ({"stop_when": 3}, TypeError, "a function of a RunState, got 3"),
        ({"approve": 3}, TypeError, "got int"),
        ({"retry": 3}, TypeError, "3"),
    ],
)
def test_settings_that_can_not_be_are_refused_at_once(
    settings: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        Model(answer("a")).stream(look, **settings)


def test_two_tools_of_one_name_and_a_resume_without_tools_are_refused() -> None:
    with pytest.raises(ValueError, match="two tools are called 'look'"):
        Model(answer("a")).stream(look, look)
    model = connect("openai_chat:m", base_url="http://127.0.0.1:1", api_key="k")
    with pytest.raises(ValueError, match="give the tools"):
        model.stream_text("Hi", resume=Result())
