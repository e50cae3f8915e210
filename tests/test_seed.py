"""Every pattern of the original Go system as one short pipe that shows the same behaviour.

The sections and their order are those of its streaming guide; each test is the counterpart of one
of its code blocks, against the simulator, without a key.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import reactivex as rx
from pydantic import BaseModel
from reactivex import operators as ops

from gai_rx import (
    Chat,
    ConnectionFailedError,
    Error,
    Event,
    EventType,
    Finish,
    GaiError,
    Provider,
    RateLimitError,
    Request,
    Start,
    Stream,
    StreamHealth,
    StreamMonitor,
    TextDelta,
    TimedOutError,
    Tool,
    ToolCall,
    ToolResult,
    Usage,
    connect,
    connection,
    max_steps,
    multiplex,
    rate_limit,
    system,
    timeout,
    tool,
    transient,
    until_tool_seen,
    user,
)
from gai_rx.operators import (
    Dropped,
    Tagged,
    accumulate_text,
    batch,
    batch_text,
    branch,
    collect,
    errors_as_events,
    fan_out,
    field,
    health,
    limit_rate,
    log_health,
    map_async,
    merge_fields,
    monitor,
    objects,
    on,
    on_field,
    progress,
    recover,
    relay,
    retry_on,
    stage,
    text_only,
    timeouts,
    tool_order,
    tools_running,
    where,
    without,
    workflow_progress,
)
from gai_rx.simulator import Answer, Simulator

STORY = "Clouds are other people's computers. They fail, and one asks again. "
MakeSimulator = Callable[..., Simulator]


def model(simulator: Simulator) -> Provider:
    return connect("openai_chat:any", base_url=simulator.url + "/v1")


@pytest.fixture
def storyteller(gai_simulator: MakeSimulator) -> Provider:
    return model(gai_simulator(Answer(STORY)))


# Overview: one answer whole, and as it comes.


async def test_a_whole_answer_and_the_same_as_it_comes(storyteller: Provider) -> None:
    whole = await storyteller.text("Tell me of clouds.")
    pieces = [
        text async for text in storyteller.stream_text("Tell me of clouds.").pipe(text_only())
    ]
    assert len(pieces) > 1
    assert "".join(pieces) == whole.text == STORY


async def test_a_failure_to_start_is_told_apart_from_one_in_the_stream(
    gai_simulator: MakeSimulator,
) -> None:
    for fault, phase in (("rate_limit", "headers"), ("cut:at=400", "stream")):
        with pytest.raises(GaiError) as raised:
            await model(gai_simulator(Answer(STORY, fault=fault))).text("Hi")
        assert raised.value.phase == phase


# Event system: the kinds, and the switch over them.


def test_every_kind_of_event_of_the_original_is_here() -> None:
    original = (
        "start text_delta object_delta tool_call tool_result citations safety usage error finish"
    )
    assert set(original.split()) <= {kind.value for kind in EventType}


async def test_one_handler_for_each_kind(gai_simulator: MakeSimulator) -> None:
    said: dict[str, list[Any]] = defaultdict(list)
    answer = Answer("Let me look.", tool_calls=(ToolCall(id="1", name="look"),))
    await (
        model(gai_simulator(answer))
        .stream_text("Hi")
        .pipe(
            on(
                start=lambda e: said["start"].append(e.model),
                text=lambda e: said["text"].append(e.text),
                tool_call=lambda e: said["call"].append(e.name),
                usage=lambda e: said["usage"].append(e.total_tokens),
                finish=lambda e: said["finish"].append(e.reason),
            )
        )
    )
    assert "".join(said["text"]) == "Let me look."
    assert said["call"] == ["look"]
    assert said["finish"] == ["tool_calls"]
    assert len(said["start"]) == 1
    assert said["usage"]


# Text streaming.


async def test_basic_streaming_prints_adds_up_and_counts(
    gai_simulator: MakeSimulator, capsys: pytest.CaptureFixture[str]
) -> None:
    simulator = gai_simulator(Answer(STORY))
    request = Request(messages=(user("Clouds?"),), max_tokens=1000, temperature=0.7)
    text = (
        await model(simulator)
        .stream_text(request)
        .pipe(
            text_only(),
            ops.do_action(lambda piece: print(piece, end="", flush=True)),  # noqa: T201
            accumulate_text(),
        )
    )
    assert capsys.readouterr().out == text == STORY
    sent = simulator.requests[0].body
    assert (sent["max_tokens"], sent["temperature"]) == (1000, 0.7)


async def test_progress_once_a_second_with_words_and_characters(
    gai_simulator: MakeSimulator,
) -> None:
    words = "one two three four five six seven eight nine ten "
    ticks = await (
        model(gai_simulator(Answer(words * 2, delay=0.02)))
        .stream_text("Count")
        .pipe(progress(every=0.1), ops.to_list())
    )
    assert len(ticks) >= 3
    last = ticks[-1]
    assert last.done
    assert (last.characters, last.words) == (2 * len(words), 20)
    assert last.average_rate == pytest.approx(last.characters / last.elapsed, rel=0.2)
    assert last.usage is not None
    assert [t.characters for t in ticks] == sorted(t.characters for t in ticks)


async def test_an_interactive_chat_keeps_what_was_answered_and_forgets_what_failed(
    gai_simulator: MakeSimulator,
) -> None:
    simulator = gai_simulator(
        [Answer("Hello, Ada."), Answer(fault="overloaded"), Answer("You are Ada.")]
    )
    chat = Chat(model(simulator), system="Be brief.", max_tokens=500)
    said = [text async for text in chat.send("I am Ada.").pipe(text_only())]
    assert "".join(said) == "Hello, Ada."
    with pytest.raises(GaiError):  # it is told, and the chat goes on
        await chat.send("Who am I?")
    await chat.send("Who am I?")
    asked = simulator.requests[-1].body
    roles = [message["role"] for message in asked["messages"]]
    assert roles == ["system", "user", "assistant", "user"]
    assert asked["max_tokens"] == 500
    assert chat.messages[-1].text == "You are Ada."


# Structured output.


class Analysis(BaseModel):
    summary: str
    key_points: list[str]
    confidence: float
    metadata: dict[str, str]


ANALYSIS = Analysis(
    summary="It grows.", key_points=["more", "faster"], confidence=0.87, metadata={"by": "sim"}
)


async def test_an_object_is_seen_while_it_is_written(gai_simulator: MakeSimulator) -> None:
    answer = Answer(object=ANALYSIS.model_dump())
    stream = model(gai_simulator(answer)).stream_object("Analyse this.", Analysis)
    shown = [f"{c:.0%}" async for c in stream.pipe(field("confidence", float))]
    assert shown == ["87%"]
    partial = await stream.pipe(objects(Analysis), ops.to_list())
    assert partial[0].done is False
    assert partial[-1].done
    result = await stream.pipe(collect())
    assert result.object == ANALYSIS
    whole = await model(gai_simulator(answer)).object("Analyse this.", Analysis)
    assert whole.object == ANALYSIS


async def test_records_are_handled_field_by_field_as_they_come(
    gai_simulator: MakeSimulator,
) -> None:
    told = {"records_processed": 120, "errors_found": 3, "completion_percentage": 62.5}
    lines: list[str] = []
    stream = model(gai_simulator(Answer(object=told))).stream_object("Process.", dict)
    merged = await stream.pipe(
        on_field(
            {
                "records_processed": lambda n: lines.append(f"Records processed: {n}"),
                "errors_found": lambda n: lines.append(f"Errors found: {n}"),
                "completion_percentage": lambda share: lines.append(f"Progress: {share:.1f}%"),
            }
        ),
        merge_fields(),
    )
    assert lines == ["Records processed: 120", "Errors found: 3", "Progress: 62.5%"]
    assert merged == told


# Tools and workflows.


@tool
async def weather(city: str) -> str:
    "The weather of a city."
    await asyncio.sleep(0.05)
    return f"sun in {city}"


@tool
async def growth(of: str) -> list[int]:
    "How something has grown."
    await asyncio.sleep(0.01)
    return [1, 2, 4]


async def test_tools_run_while_one_watches(gai_simulator: MakeSimulator) -> None:
    calls = (
        ToolCall(id="1", name="weather", arguments={"city": "NYC"}),
        ToolCall(id="2", name="growth", arguments={"of": "users"}),
    )
    simulator = gai_simulator([Answer("On it.", tool_calls=calls), Answer("Sunny, and growing.")])
    events = await (
        model(simulator)
        .stream_text("Weather, growth, trends?", tools=[weather, growth], tool_choice="auto")
        .pipe(ops.to_list())
    )
    results = [e for e in events if isinstance(e, ToolResult)]
    assert [(r.name, r.result) for r in results] == [
        ("growth", [1, 2, 4]),  # the quick one's result does not wait for the other's
        ("weather", "sun in NYC"),
    ]
    running = await Stream.from_iterable(events).pipe(tools_running(), ops.to_list())
    assert [[one.name for one in now] for now in running] == [
        ["weather"],
        ["weather", "growth"],
        ["weather"],
        [],
    ]
    order = await Stream.from_iterable(events).pipe(tool_order())
    assert order == ("weather", "growth")
    assert "".join(e.text for e in events if isinstance(e, TextDelta)).endswith("growing.")


async def test_a_workflow_of_many_steps_ends_when_the_email_is_sent(
    gai_simulator: MakeSimulator,
) -> None:
    def step(n: int, name: str) -> Answer:
        return Answer(f"Step {n}. ", tool_calls=(ToolCall(id=f"c{n}", name=name, arguments={}),))

    def named(name: str) -> Tool:
        return Tool(name, "Does its part.", function=lambda: f"{name} done")

    names = ["web_search"] * 5 + ["data_analysis"] * 5 + ["report"] * 4 + ["send_email"]
    simulator = gai_simulator([step(n, name) for n, name in enumerate(names)])
    told = await (
        model(simulator)
        .stream_text(
            [system("You are a research assistant."), user("Research, report, email.")],
            tools=[named(name) for name in dict.fromkeys(names)],
            stop_when=max_steps(15) | until_tool_seen("send_email"),
        )
        .pipe(workflow_progress(), ops.to_list())
    )
    last = told[-1]
    assert last.done
    assert (last.steps, last.calls, len(last.completed)) == (15, 15, 15)
    assert last.fraction == 1.0
    assert last.elapsed > 0
    assert len(simulator.requests) == 15


# Error handling.


@pytest.mark.parametrize("fault", ["rate_limit:retry_after=0", "reset:at=1", "overloaded"])
async def test_three_attempts(gai_simulator: MakeSimulator, fault: str) -> None:
    simulator = gai_simulator([Answer(STORY, fault=fault)] * 2 + [Answer(STORY)])
    told: list[tuple[int, str]] = []
    result = await (
        model(simulator)
        .stream_text("Report")
        .pipe(
            retry_on(
                transient,
                attempts=3,
                jitter=lambda seconds: 0.0,
                on_retry=lambda attempt, error, delay: told.append((attempt, str(error))),
            ),
            collect(),
        )
    )
    assert result.text == STORY
    assert [attempt for attempt, _ in told] == [2, 3]
    assert len(simulator.requests) == 3


async def test_when_all_attempts_are_used_up_the_last_error_itself_arrives(
    gai_simulator: MakeSimulator,
) -> None:
    simulator = gai_simulator(Answer(fault="rate_limit:retry_after=0"))
    with pytest.raises(RateLimitError) as raised:
        await model(simulator).stream_text("Hi").pipe(retry_on(rate_limit, attempts=3))
    assert len(simulator.requests) == 3
    assert len(raised.value.attempts) == 2


async def test_a_subscriber_that_fails_is_no_success_and_lets_go_of_the_stream(
    gai_simulator: MakeSimulator,
) -> None:
    simulator = gai_simulator(Answer(STORY, endless=True))

    def fail(text: str) -> None:
        raise ZeroDivisionError(text)

    stream = model(simulator).stream_text("Hi").pipe(retry_on(Exception), text_only())
    with pytest.raises(ZeroDivisionError):
        await stream.pipe(ops.do_action(fail))
    assert len(simulator.requests) == 1


async def test_five_minutes_for_the_whole_stream(gai_simulator: MakeSimulator) -> None:
    endless = model(gai_simulator(Answer("tick ", endless=True, delay=0.02)))
    with pytest.raises(TimedOutError):
        await endless.stream_text("Hi").pipe(timeouts(total=0.2))  # 300, in the original


async def test_a_recoverable_error_is_told_and_the_program_goes_on(
    gai_simulator: MakeSimulator,
) -> None:
    broken = model(gai_simulator(Answer(STORY, fault="cut:at=600")))
    *_, last = [e async for e in broken.stream_text("Hi").pipe(errors_as_events())]
    assert isinstance(last, Error)
    assert last.kind in ("truncated", "connection")
    instead = broken.stream_text("Hi").pipe(
        text_only(), recover(transient, with_=rx.of(" (broken off)")), ops.to_list()
    )
    assert (await instead)[-1] == " (broken off)"


def test_classes_of_errors_have_their_own_delays() -> None:
    limited, slow, lost = RateLimitError("x"), TimedOutError("x"), ConnectionFailedError("x")
    assert [rate_limit.delay(limited, n) for n in (1, 2, 3)] == [2, 4, 8]
    assert [timeout.delay(slow, n) for n in (1, 2)] == [0.5, 0.5]
    assert [connection.delay(lost, n) for n in (1, 2, 3)] == [1, 2, 3]
    assert not transient(ValueError("try again"))


# Performance.


async def test_batches_of_ten_events_and_of_a_kilobyte(gai_simulator: MakeSimulator) -> None:
    long = STORY * 40
    stream = model(gai_simulator(Answer(long))).stream_text("Write")
    batches = await stream.pipe(batch(10), ops.to_list())
    assert {len(b) for b in batches[:-1]} == {10}
    assert isinstance(batches[-1][-1], Finish)  # the rest is not kept back
    texts = await stream.pipe(text_only(), batch(size_bytes=1024), ops.to_list())
    sizes = [sum(len(piece.encode()) for piece in b) for b in texts]
    assert all(1024 <= size < 1100 for size in sizes[:-1])
    joined = await stream.pipe(batch_text(chars=1000), ops.to_list())
    assert "".join(joined) == long


async def test_a_full_queue_is_worked_off_by_the_producer(gai_simulator: MakeSimulator) -> None:
    stream = model(gai_simulator(Answer(STORY))).stream_text("Write")
    pieces = await stream.pipe(text_only(), relay(2, overflow="caller_runs"), ops.to_list())
    assert "".join(pieces) == STORY


# Patterns.


async def test_a_pipeline_with_queues_of_50_20_and_10_drains_before_it_ends(
    storyteller: Provider,
) -> None:
    def count(text: str) -> tuple[str, int]:
        return text, len(text)

    async def analyse(counted: tuple[str, int]) -> str:
        await asyncio.sleep(0.001)
        return f"{counted[0]}:{counted[1]}"

    shown: list[str] = []
    await storyteller.stream_text("Markets").pipe(
        text_only(),
        stage(count, queue=50),
        stage(analyse, queue=20),
        stage(shown.append, queue=10),
    )
    assert "".join(line.rpartition(":")[0] for line in shown) == STORY


async def test_one_stream_for_four_processors_with_a_queue_of_20_each(
    gai_simulator: MakeSimulator,
) -> None:
    simulator = gai_simulator(Answer(STORY))

    def processor(seconds: float) -> Callable[[str], Awaitable[str]]:
        async def process(text: str) -> str:
            await asyncio.sleep(seconds)
            return text

        return process

    heard: dict[str, list[str]] = defaultdict(list)
    stream = (
        model(simulator)
        .stream_text("Report")
        .pipe(
            text_only(),
            fan_out(
                sentiment=map_async(processor(0.002)),
                keywords=map_async(processor(0.0)),
                language=map_async(processor(0.001)),
                summary=accumulate_text(),
                queue=20,
            ),
        )
    )
    async for item in stream:
        assert isinstance(item, Tagged)
        heard[item.branch].append(item.value)
    for name in ("sentiment", "keywords", "language"):
        assert "".join(heard[name]) == STORY
    assert heard["summary"][-1] == STORY
    assert len(simulator.requests) == 1


async def test_a_processor_that_is_behind_is_skipped_where_it_is_told_to_be_and_it_is_counted(
    gai_simulator: MakeSimulator,
) -> None:
    async def slowly(text: str) -> str:
        await asyncio.sleep(0.02)
        return text

    stream = (
        model(gai_simulator(Answer(STORY * 5)))
        .stream_text("Report")
        .pipe(
            text_only(),
            fan_out(
                fast=accumulate_text(),
                slow=branch(map_async(slowly), overflow="drop_newest", queue=2),
                report_drops=True,
            ),
            ops.to_list(),
        )
    )
    items = await stream
    fast = [i.value for i in items if isinstance(i, Tagged) and i.branch == "fast"]
    slow = [i.value for i in items if isinstance(i, Tagged) and i.branch == "slow"]
    dropped = [i for i in items if isinstance(i, Dropped)]
    assert fast[-1] == STORY * 5
    assert slow
    assert {d.branch for d in dropped} == {"slow"}
    assert dropped[-1].total + len(slow) == len(fast)


# Best practices.


async def test_leaving_a_stream_closes_it(gai_simulator: MakeSimulator) -> None:
    simulator = gai_simulator(Answer("tick ", endless=True, delay=0.001))
    async for event in model(simulator).stream_text("Hi"):
        if isinstance(event, TextDelta):
            break
    async with asyncio.timeout(5):
        while not simulator.requests[0].closed_early:
            await asyncio.sleep(0.01)


async def test_a_deadline_of_the_caller_ends_the_stream(gai_simulator: MakeSimulator) -> None:
    endless = model(gai_simulator(Answer("tick ", endless=True, delay=0.01)))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await endless.stream_text("Hi")


async def test_ten_events_a_second_behind_a_queue_of_ten(gai_simulator: MakeSimulator) -> None:
    stream = model(gai_simulator(Answer("one two three four five six"))).stream_text("Hi")
    begun = time.monotonic()
    pieces = await stream.pipe(text_only(), relay(10), limit_rate(10, per=0.2), ops.to_list())
    assert "".join(pieces) == "one two three four five six"
    assert time.monotonic() - begun >= 0.02 * (len(pieces) - 1) * 0.9  # ten in 0.2 s


async def test_a_stream_that_is_watched(
    gai_simulator: MakeSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    watched = StreamMonitor()
    stream = model(gai_simulator(Answer(STORY, delay=0.02))).stream_text("Hi")
    with caplog.at_level(logging.INFO):
        events: list[Event] = await stream.pipe(
            monitor(watched), log_health(every=0.1), ops.to_list()
        )
    told = watched.health()
    assert told.events == len(events)
    assert told.events_per_second > 0
    assert told.error_rate == 0
    assert not told.stalled
    assert caplog.records


async def test_a_stream_that_stalls_is_told(gai_simulator: MakeSimulator) -> None:
    def is_stalled(told: StreamHealth) -> bool:
        return told.stalled

    stalled = model(gai_simulator(Answer(STORY, fault="stall:at=3"))).stream_text("Hi")
    told = await stalled.pipe(
        health(every=0.05, stall_after=0.1), where(is_stalled), ops.take(1), ops.to_list()
    )
    assert told[0].since_last_event > 0.1


# Advanced features.


async def test_filters_that_must_all_hold(gai_simulator: MakeSimulator) -> None:
    answer = Answer(STORY, reasoning="Hm.")

    def text_or_finish(event: Event) -> bool:
        return isinstance(event, TextDelta | Finish)

    def no_error(event: Event) -> bool:
        return not isinstance(event, Error)

    events = (
        await model(gai_simulator(answer))
        .stream_text("Hi")
        .pipe(where(text_or_finish, no_error), without(Usage, Start), ops.to_list())
    )
    assert {type(e) for e in events} == {TextDelta, Finish}


async def test_many_streams_in_one_each_with_its_name(gai_simulator: MakeSimulator) -> None:
    providers = {
        n: model(gai_simulator(Answer(f"I am {n}.", delay=0.002))) for n in ("a", "b", "c")
    }
    streams = {n: p.stream_text([system("Be brief."), user("Who?")]) for n, p in providers.items()}
    texts: dict[str, str] = defaultdict(str)
    finished: list[str] = []
    async for event in multiplex(streams):
        if isinstance(event, TextDelta):
            texts[event.stream_id] += event.text
        elif isinstance(event, Finish):
            finished.append(event.stream_id)
    assert texts == {"a": "I am a.", "b": "I am b.", "c": "I am c."}
    assert sorted(finished) == ["a", "b", "c"]
