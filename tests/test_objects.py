"""Structured answers: every dialect, every mode, what can go wrong, and asking again."""

import json
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from gai_rx import (
    BadRequestError,
    Event,
    Finish,
    ObjectDelta,
    ObjectInvalidError,
    Provider,
    Raw,
    ReasoningDelta,
    RefusalDelta,
    Request,
    Result,
    Retry,
    Start,
    StreamEvent,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallDelta,
    TruncatedError,
    Usage,
    connect,
    parse_event,
    rate_limit,
    system,
    user,
)
from gai_rx.conflation import join
from gai_rx.dialects import DIALECTS, ObjectMode, Quirks
from gai_rx.hosts import HOSTS
from gai_rx.object_reader import ObjectReader
from gai_rx.objects import ObjectPlan, object_events, plan_object
from gai_rx.operators.assembling import collect
from gai_rx.operators.objects import elements, field, merge_fields, objects
from gai_rx.result_builder import ResultBuilder
from gai_rx.schemas import Target
from gai_rx.simulator import Answer, Asked, Simulator
from gai_rx.views import ListView, ObjectView

MakeSimulator = Callable[..., Simulator]
BASES = {
    "openai_chat": "/v1",
    "openai_responses": "/v1",
    "anthropic_messages": "",
    "gemini": "/v1beta",
    "ollama": "",
    "cohere": "/v2",
}
MODES: tuple[ObjectMode, ...] = ("native", "tool", "json")


class Report(BaseModel):
    summary: str
    key_points: list[str]
    confidence: float


VALUE: dict[str, Any] = {"summary": 'A "é" 😀', "key_points": ["one", "two"], "confidence": 0.75}
REPORT = Report(**VALUE)


def model(simulator: Simulator, dialect: str = "openai_chat", name: str = "any") -> Provider:
    url = simulator.url + BASES[dialect]
    return connect(f"{dialect}:{name}", base_url=url, api_key="sk-test")


def saying(value: Any) -> Callable[[Asked], Answer]:
    """Answers with an object, or the arguments of a call where a tool is offered."""

    def script(asked: Asked) -> Answer:
        if asked.tools:
            return Answer.calling(asked.tools[0].name, **value)
        return Answer(object=value)

    return script


def deltas(events: Sequence[Event]) -> list[ObjectDelta]:
    return [event for event in events if isinstance(event, ObjectDelta)]


# Every dialect in every mode.


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dialect", BASES)
async def test_an_object_in_every_dialect_and_mode(
    gai_simulator: MakeSimulator, dialect: str, mode: ObjectMode
) -> None:
    provider = model(gai_simulator(saying(VALUE)), dialect)
    values: list[Any] = []
    events: list[Event] = []
    async for event in provider.stream_object("Go", Report, mode=mode):
        events.append(event)
        if isinstance(event, ObjectDelta):
            values.append(event.snapshot())
    pieces = deltas(events)
    assert json.loads("".join(piece.text for piece in pieces)) == VALUE
    assert values[-1] == pieces[-1].value == VALUE
    assert (pieces[-1].object, pieces[-1].text) == (REPORT, "")
    assert [piece.object for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
    kinds = [event.type for event in events]
    assert (kinds[0], kinds[-1]) == ("start", "finish")
    assert kinds.count("finish") == 1
    assert not {"text_delta", "tool_call", "tool_call_delta"} & set(kinds)
    assert kinds.index("usage") > max(i for i, k in enumerate(kinds) if k == "object_delta")
    assert isinstance(events[-1], Finish)
    assert events[-1].reason == "stop"
    assert events[-1].usage is not None


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dialect", BASES)
async def test_a_list_is_wrapped_on_the_wire_and_nowhere_else(
    gai_simulator: MakeSimulator, dialect: str, mode: ObjectMode
) -> None:
    provider = model(gai_simulator(saying({"value": [1, 2, 3]})), dialect)
    events = await provider.stream_object("Go", list[int], mode=mode).to_list()
    pieces = deltas(events)
    assert "".join(piece.text for piece in pieces) == "[1, 2, 3]"
    assert pieces[-1].value == pieces[-1].object == [1, 2, 3]
    live = provider.stream_object("Go", list[int], mode=mode).pipe(elements("$[*]", int))
    assert await live.to_list() == [1, 2, 3]


@pytest.mark.parametrize("dialect", BASES)
async def test_the_schema_is_asked_for_in_the_dialects_way(
    gai_simulator: MakeSimulator, dialect: str
) -> None:
    simulator = gai_simulator(saying(VALUE))
    provider = model(simulator, dialect)
    for mode in MODES:
        await provider.object([system("Be brief."), user("Go")], Report, mode=mode)
    native, by_tool, as_json = (seen.asked for seen in simulator.requests)
    assert native.schema is not None
    assert set(native.schema["properties"]) == set(VALUE)
    assert (native.tools, as_json.tools, by_tool.schema) == ((), (), None)
    assert [offered.name for offered in by_tool.tools] == ["Report"]
    assert set(by_tool.tools[0].parameters["properties"]) == set(VALUE)
    assert not as_json.schema  # any JSON, or nothing where there is no such mode
    assert '"key_points"' in as_json.text
    assert '"key_points"' not in native.text


async def test_a_model_that_can_not_be_forced_is_told_to_call_the_tool(
    gai_simulator: MakeSimulator,
) -> None:
    simulator = gai_simulator(saying(VALUE))
    await model(simulator, "ollama").object("Go", Report, mode="tool")
    thinking = model(simulator, "anthropic_messages")
    await thinking.object("Go", Report, mode="tool", reasoning_effort="low")
    await thinking.object("Go", Report, mode="tool")
    told = ["calling the tool `Report`" in seen.asked.text for seen in simulator.requests]
    assert told == [True, True, False]
    assert "tool_choice" not in simulator.requests[1].body
    assert simulator.requests[2].body["tool_choice"] == {"type": "tool", "name": "Report"}


@dataclass
class Point:
    x: int
    y: int


class Row(TypedDict):
    key: str


@pytest.mark.parametrize(
    ("type_", "value", "made"),
    [
        (Point, {"x": 1, "y": 2}, Point(1, 2)),
        (Row, {"key": "k"}, {"key": "k"}),
        (dict, {"any": [1, {"a": None}]}, {"any": [1, {"a": None}]}),
        (dict[str, int], {"a": 1}, {"a": 1}),
        (Literal["yes", "no"], {"value": "no"}, "no"),
        (str, {"value": 'so "said" }]'}, 'so "said" }]'),
        (float, {"value": -12.5}, -12.5),
        (bool, {"value": True}, True),
        (Report | None, {"value": None}, None),
        (Report | Point, {"value": {"x": 1, "y": 2}}, Point(1, 2)),
        (list[Point], {"value": [{"x": 1, "y": 2}]}, [Point(1, 2)]),
        ({"type": "object", "title": "T"}, {"a": 1}, {"a": 1}),
        ({"type": "array", "items": {}}, {"value": [1]}, [1]),
        ({"type": ["object", "null"]}, {"value": {"a": 1}}, {"a": 1}),
    ],
)
@pytest.mark.parametrize("dialect", ["openai_responses", "anthropic_messages"])
async def test_every_kind_of_type(
    gai_simulator: MakeSimulator, dialect: str, type_: Any, value: Any, made: Any
) -> None:
    provider = model(gai_simulator(saying(value)), dialect)
    events = await provider.stream_object("Go", type_).to_list()
    assert deltas(events)[-1].object == made
    inner = value["value"] if Target(type_).wrapped else value
    assert json.loads("".join(d.text for d in deltas(events))) == inner
    assert (await provider.object("Go", type_)).object == made


# Which mode.


class Tree(BaseModel):
    name: str
    children: "list[Tree]" = []


class Tagged(BaseModel):
    tags: dict[str, str]


@pytest.mark.parametrize(
    ("host", "type_", "mode"),
    [
        ("openai", Report, "native"),
        ("openai", Tagged, "native"),
        ("gemini", Report, "native"),
        ("ollama", Report, "native"),
        ("cohere", Report, "native"),
        ("mistral", Report, "native"),
        ("deepseek", Report, "json"),
        ("moonshot", Report, "json"),
        ("groq", Report, "tool"),
        ("anthropic", Report, "native"),
        ("anthropic:claude-opus-4-1", Report, "native"),
        ("anthropic:claude-sonnet-4-20250514", Report, "tool"),
        ("anthropic:claude-3-5-haiku-latest", Report, "tool"),
        ("anthropic", Tagged, "tool"),
        ("anthropic", dict, "tool"),
        ("anthropic", Tree, "tool"),
        ("anthropic", list[Report], "native"),
    ],
)
def test_the_host_the_model_and_the_schema_choose_the_mode(
    host: str, type_: Any, mode: str
) -> None:
    name, _, wanted = host.partition(":")
    row = HOSTS[name]
    plan = plan_object(
        Request.of("Go"),
        Target(type_),
        DIALECTS[row.dialect],
        row.quirks,
        wanted or row.default_model or "",
    )
    assert plan.mode == mode


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"mode": "xml"}, "'native', 'tool', 'json' or None, got 'xml'"),
        ({"repair": -1}, "from 0, got -1"),
        ({"repair": True}, "from 0, got True"),
        ({"tools": (Tool("Report"),)}, "a tool is called 'Report', and so is the object"),
        ({"resume": Result()}, "resume goes on with a run"),
    ],
)
def test_settings_that_are_none_are_refused_at_once(settings: dict[str, Any], said: str) -> None:
    provider = connect("openai", api_key="sk-test")
    with pytest.raises(ValueError, match=said):
        provider.stream_object("Go", Report, **settings)
    with pytest.raises(TypeError, match=r"no JSON schema|can not validate"):
        provider.stream_object("Go", object())


def test_nothing_is_asked_before_one_subscribes_and_the_pipe_says_what_is() -> None:
    stream = connect("openai", api_key="sk-test").stream_object("Go", Report)
    assert repr(stream) == "Stream(openai:gpt-5-mini | object(Report))"
    assert stream.of_events


# The view.


async def test_the_value_is_a_live_view_that_nobody_can_change(
    gai_simulator: MakeSimulator,
) -> None:
    nested = {"rows": [{"n": 1}, {"n": 2}], "text": "a long one " * 5}
    events = await model(gai_simulator(saying(nested))).stream_object("Go", dict).to_list()
    shown = deltas(events)[0].value
    assert isinstance(shown, ObjectView)
    assert isinstance(shown["rows"], ListView)
    assert shown is deltas(events)[-1].value
    assert shown == nested
    assert nested == shown
    assert shown["rows"] == nested["rows"]
    assert shown["rows"][0:1] == [{"n": 1}]
    assert (list(shown), len(shown), len(shown["rows"])) == (["rows", "text"], 2, 2)
    assert ("rows" in shown, "x" in shown) == (True, False)
    assert repr(shown) == repr(nested)
    assert repr(shown["rows"]) == repr(nested["rows"])
    assert shown["rows"].snapshot() == nested["rows"]
    changeable: Any = shown
    for change in (
        lambda: changeable.update({"x": 1}),
        lambda: changeable["rows"].append(3),
        lambda: hash(changeable),
    ):
        with pytest.raises((AttributeError, TypeError)):
            change()
    copied = deltas(events)[-1].snapshot()
    copied["rows"].clear()
    assert shown == nested


async def test_a_view_shows_an_open_text_as_far_as_it_goes() -> None:
    events = Model(answer('{"rows": [{"a": "He', "ll", 'o"}]}')).events(dict)
    seen = []
    async for event in events:
        if isinstance(event, ObjectDelta):
            row = event.value["rows"][0]
            seen += [row["a"], event.value["rows"][-1].snapshot(), repr(row)]
    assert seen[:6] == ["He", {"a": "He"}, "{'a': 'He'}", "Hell", {"a": "Hell"}, "{'a': 'Hell'}"]


def test_pieces_that_are_joined_in_a_queue_keep_the_object() -> None:
    pending: deque[Any] = deque([ObjectDelta(text="{", value={})])
    assert join(pending, ObjectDelta(text="}", value={}))
    assert join(pending, ObjectDelta(value={}, object=REPORT))
    joined = pending[0].result()
    assert (joined.text, joined.object) == ("{}", REPORT)
    assert "object" in joined.model_fields_set


async def test_events_go_through_json_and_rebuild_the_object(gai_simulator: MakeSimulator) -> None:
    events = await model(gai_simulator(saying(VALUE))).stream_object("Go", Report).to_list()
    again = [parse_event(event.model_dump_json()) for event in events]
    text = "".join(event.text for event in again if isinstance(event, ObjectDelta))
    assert json.loads(text) == VALUE
    assert "object" not in again[-2].model_dump()
    assert deltas(again)[-1].snapshot() is None


async def test_a_result_has_the_object_and_the_turn_to_go_on_from(
    gai_simulator: MakeSimulator,
) -> None:
    provider = model(gai_simulator(saying(VALUE)), "anthropic_messages")
    result = await provider.object("Go", Report, mode="tool")
    assert (result.object, result.complete, result.finish_reason) == (REPORT, True, "stop")
    assert json.loads(result.messages[0].text) == VALUE
    assert (result.tool_calls, result.text) == ((), "")
    collected = await provider.stream_object("Go", Report).pipe(collect())
    assert collected.object == REPORT


# A model that answers from a script, without a connection.


class Model:
    """Answers in turn; an exception in an answer is raised there."""

    def __init__(self, *answers: Sequence[Any]) -> None:
        self.asked: list[Request] = []
        self.closed = 0
        self._answers = list(answers)

    async def ask(self, request: Request) -> AsyncGenerator[Sequence[StreamEvent], None]:
        self.asked.append(request)
        try:
            for item in self._answers.pop(0):
                if isinstance(item, Exception):
                    raise item
                yield item if isinstance(item, list) else [item]
        finally:
            self.closed += 1

    async def events(
        self, type_: Any = Report, mode: ObjectMode = "native", **settings: Any
    ) -> AsyncGenerator[StreamEvent, None]:
        request = Request.of("Go", **settings.pop("request", {}))
        plan = plan_object(
            request, Target(type_), DIALECTS["openai_chat"], Quirks(), "m", mode=mode, **settings
        )
        async for batch in object_events(self.ask, plan):
            for event in batch:
                yield event

    async def run(self, *args: Any, **settings: Any) -> list[Any]:
        return [event async for event in self.events(*args, **settings)]

    async def fail(self, *args: Any, **settings: Any) -> tuple[list[Any], ObjectInvalidError]:
        seen: list[Any] = []
        with pytest.raises(ObjectInvalidError) as raised:  # noqa: PT012 - what came before counts
            async for event in self.events(*args, **settings):
                seen.append(event)
        return seen, raised.value


TEXT = json.dumps(VALUE)


def answer(*said: Any, reason: Any = "stop", tokens: int = 1) -> list[Any]:
    """The events of an answer."""
    usage = Usage(total_tokens=tokens)
    events = [TextDelta(text=s) if isinstance(s, str) else s for s in said]
    return [Start(provider="p"), *events, [usage, Finish(reason=reason, usage=usage)]]


async def test_what_is_around_the_object_is_passed_over() -> None:
    fenced = f"Sure {{really}}: {{}}x\n```json\n{TEXT}\n```\nAnything else? {{}}"
    fenced = fenced.replace("{}x", "")
    for size in (1, 3, 1000):
        pieces = [fenced[i : i + size] for i in range(0, len(fenced), size)]
        events = await Model(answer(*pieces)).run(mode="json")
        assert "".join(d.text for d in deltas(events)) == TEXT
        assert deltas(events)[-1].object == REPORT


async def test_other_events_keep_their_places() -> None:
    thought, raw = ReasoningDelta(text="hm"), Raw(record=1)
    early = Usage(input_tokens=1)
    events = await Model(answer(thought, early, TEXT[:20], raw, TEXT[20:])).run()
    assert [e.type for e in events] == [
        "start", "reasoning_delta", "object_delta", "raw", "object_delta", "object_delta", "usage",
        "usage", "finish",
    ]  # fmt: skip
    assert all(d.step == 0 and d.attempt == 1 for d in deltas(events))


async def test_a_call_comes_in_pieces_or_whole_and_only_the_first_counts() -> None:
    in_pieces = [
        ToolCallDelta(id="1", name="Report", arguments=TEXT[:9]),
        ToolCallDelta(id="2", name="Report", arguments="{}", index=1),
        ToolCallDelta(id="1", arguments=TEXT[9:]),
        ToolCall(id="1", name="Report", arguments=VALUE, arguments_text=TEXT),
        ToolCall(id="2", name="Report"),
    ]
    whole = [ToolCall(id="1", name="Report", arguments=VALUE)]
    for calls in (in_pieces, whole):
        events = await Model(answer("Let me see.", *calls, reason="tool_calls")).run(mode="tool")
        assert json.loads("".join(d.text for d in deltas(events))) == VALUE
        assert [e.type for e in events if e.type.startswith("t")] == ["text_delta"]
        assert events[-1].reason == "stop"


# What can go wrong.


@pytest.mark.parametrize(
    ("said", "reason", "message", "text"),
    [
        ([TEXT[:30]], "length", "raise max_tokens", TEXT[:30]),
        ([TEXT], "length", "raise max_tokens", TEXT),
        ([TEXT[:30]], "content_filter", "content filter", TEXT[:30]),
        ([TEXT[:30]], "error", "error of the provider", TEXT[:30]),
        ([RefusalDelta(text="I will not.")], "refusal", "refuses: 'I will not.'", "I will not."),
        ([RefusalDelta(text="I will not.")], "stop", "refuses: 'I will not.'", "I will not."),
        (["I will not."], "refusal", "refuses: 'I will not.'", "I will not."),
    ],
)
async def test_an_answer_that_was_not_finished_is_an_error_and_not_asked_for_again(
    said: list[Any], reason: Any, message: str, text: str
) -> None:
    asking = Model(answer(*said, reason=reason))
    seen, error = await asking.fail(repair=3)
    assert message in error.message
    assert (error.text, error.kind, error.retryable) == (text, "object_invalid", False)
    assert not [e for e in seen if isinstance(e, Finish)]
    assert isinstance(seen[-1], Usage)
    assert error.partial is not None
    assert not error.partial.complete
    assert len(asking.asked) == asking.closed == 1


@pytest.mark.parametrize(
    ("said", "mode", "message"),
    [
        (['{"summary": 1', ', "key_points": []}'], "native", "summary: Input should be"),
        (['{"summary": "x", nope}'], "native", "at offset 17"),
        (['{"summary": "x"'], "native", "got its end"),
        (["None today."], "json", "expected an object"),
        (["No call."], "tool", "did not call the tool 'Report'"),
        ([ToolCallDelta(id="1", name="Report", arguments='{"summary"')], "tool", "got its end"),
    ],
)
async def test_an_answer_that_does_not_fit_is_an_error_with_its_text(
    said: list[Any], mode: ObjectMode, message: str
) -> None:
    asking = Model(answer(*said))
    seen, error = await asking.fail(mode=mode)
    assert message in error.message
    expected = "".join(s if isinstance(s, str) else s.arguments for s in said)
    assert error.text == expected
    assert (error.model, error.phase) == ("m", "decode")
    assert not [e for e in seen if isinstance(e, Finish | Retry)]


async def test_bad_json_ends_the_request_at_once() -> None:
    asking = Model(answer('{"summary": "x", nope', "and", "on"))
    seen, error = await asking.fail()
    assert [e.type for e in seen] == ["start"]
    assert (error.text, asking.closed) == ('{"summary": "x", nope', 1)


async def test_what_had_come_is_in_the_error() -> None:
    _, error = await Model(answer(TEXT[:30], '"nope')).fail()
    assert error.partial is not None
    assert error.partial.object == {"summary": 'A "\u00e9" '}
    assert json.loads(error.partial.model_dump_json())["object"] == error.partial.object


async def test_an_error_of_the_provider_goes_on_with_the_object_so_far() -> None:
    error = TruncatedError("gone")
    error.resume = lambda: None  # it would give the text
    with pytest.raises(TruncatedError) as raised:
        await Model([Start(), TextDelta(text='{"summary": "A'), error]).run()
    assert raised.value is error
    assert error.resume is None
    assert error.partial is not None
    assert error.partial.object == {"summary": "A"}


async def test_a_bug_in_a_validator_arrives_as_it_is() -> None:
    class Faulty(BaseModel):
        a: int

        def model_post_init(self, _: Any) -> None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Model(answer('{"a": 1}')).run(Faulty, repair=1)


# Asking again.


async def test_with_repair_the_model_is_told_what_is_wrong_and_asked_again() -> None:
    wrong = '{"summary": 1}'
    asking = Model(answer(wrong, tokens=3), answer(TEXT, tokens=4))
    settings = {"idempotency_key": "k", "request_id": "r", "temperature": 0.5}
    events = await asking.run(repair=2, request=settings)
    assert [e.type for e in events] == [
        "start", "object_delta", "usage", "retry", "start", "object_delta", "object_delta",
        "usage", "finish",
    ]  # fmt: skip
    assert [e.attempt for e in events] == [1, 1, 1, 2, 2, 2, 2, 2, 2]
    retry = events[3]
    assert (retry.kind, retry.delay) == ("object_invalid", 0.0)
    assert "summary: Input should be a valid string" in retry.error
    assert [e.total_tokens for e in events if isinstance(e, Usage)] == [3, 4]
    assert events[-1].usage.total_tokens == 7
    first, second = asking.asked
    assert [m.role for m in second.messages] == ["user", "assistant", "user"]
    assert second.messages[1].text == wrong
    assert "summary: Input should be a valid string" in second.messages[2].text
    assert (second.temperature, second.response_schema) == (0.5, first.response_schema)
    assert (second.idempotency_key, second.request_id) == ("k-2", "r-2")
    builder = ResultBuilder()
    builder.extend(events)
    result: Result = builder.result()
    assert result.object == REPORT
    assert json.loads(result.messages[0].text) == VALUE
    assert result.usage is not None
    assert result.usage.total_tokens == 7


async def test_the_last_error_tells_of_the_earlier_ones() -> None:
    asking = Model(answer("1"), answer('{"summary": 2}'), answer('{"summary": "x", nope'))
    seen, error = await asking.fail(repair=2)
    assert "offset 17" in error.message
    assert [type(e) for e in error.attempts] == [ObjectInvalidError] * 2
    assert [getattr(e, "text", "") for e in error.attempts] == ["1", '{"summary": 2}']
    assert [e.attempt for e in seen if isinstance(e, Retry)] == [2, 3]
    assert len(asking.asked) == asking.closed == 3
    assert [m.text for m in asking.asked[2].messages][1:2] == ['{"summary": 2}']


async def test_an_answer_of_nothing_is_not_sent_back() -> None:
    asking = Model(answer(), answer(TEXT))
    await asking.run(repair=1)
    assert [m.role for m in asking.asked[1].messages] == ["user", "user"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dialect", BASES)
async def test_repair_in_every_dialect_and_mode(
    gai_simulator: MakeSimulator, dialect: str, mode: ObjectMode
) -> None:
    def script(asked: Asked) -> Answer:
        repaired = "can not be used" in asked.prompt
        return saying(VALUE if repaired else {"summary": 1})(asked)

    simulator = gai_simulator(script)
    provider = model(simulator, dialect)
    stream = provider.stream_object("Go", Report, mode=mode, repair=1)
    partials = await stream.pipe(objects(Report)).to_list()
    assert partials[-1].object == REPORT
    assert len(simulator.requests) == 2


@pytest.mark.parametrize(
    ("operator", "then"),
    [
        (elements("$.key_points[*]", str), ["one", "two"]),
        (field("confidence", float), [0.75]),
        (merge_fields(), [VALUE]),
    ],
)
async def test_what_does_not_fit_waits_for_the_repair(
    gai_simulator: MakeSimulator, operator: Any, then: list[Any]
) -> None:
    wrong = {"summary": 1, "key_points": [["nested"]], "confidence": "very"}
    simulator = gai_simulator([Answer(object=wrong), Answer(object=VALUE)])
    stream = model(simulator).stream_object("Go", Report, repair=1)
    seen = await stream.pipe(operator).to_list()
    assert seen[-len(then) :] == then
    assert len(simulator.requests) == 2


async def test_what_is_not_repaired_is_the_error_of_the_answer(
    gai_simulator: MakeSimulator,
) -> None:
    simulator = gai_simulator([Answer(object={"summary": 1}), Answer(object={"summary": 2})])
    stream = model(simulator).stream_object("Go", Report, repair=1).pipe(objects(Report))
    with pytest.raises(ObjectInvalidError) as caught:
        await stream
    assert json.loads(caught.value.text) == {"summary": 2}
    (earlier,) = caught.value.attempts
    assert isinstance(earlier, ObjectInvalidError)
    assert json.loads(earlier.text) == {"summary": 1}


async def test_an_object_of_another_type_than_was_asked_for_is_an_error_at_its_end(
    gai_simulator: MakeSimulator,
) -> None:
    stream = model(gai_simulator(saying(VALUE))).stream_object("Go", Report)
    with pytest.raises(ObjectInvalidError, match=r"^\$\.confidence does not fit int: .*integer"):
        await stream.pipe(field("confidence", int))


async def test_two_subscriptions_are_two_requests_that_share_nothing(
    gai_simulator: MakeSimulator,
) -> None:
    simulator = gai_simulator(saying(VALUE))
    stream = model(simulator).stream_object("Go", Report)
    first, second = await stream.to_list(), await stream.to_list()
    assert deltas(first)[-1].value is not deltas(second)[-1].value
    assert len(simulator.requests) == 2


async def test_a_failed_request_is_made_again(gai_simulator: MakeSimulator) -> None:
    limited = Answer(fault="rate_limit:retry_after=0")
    simulator = gai_simulator([limited, Answer(object=VALUE)])
    events = await model(simulator).stream_object("Go", Report, retry=rate_limit).to_list()
    assert deltas(events)[-1].object == REPORT
    assert deltas(events)[-1].attempt == 2


async def test_the_simulator_makes_an_object_of_any_type(gai_simulator: MakeSimulator) -> None:
    for mode in ("native", "tool"):
        made = await model(gai_simulator(), name="object").object("Go", Report, mode=mode)
        assert isinstance(made.object, Report)


# What the original does, in five lines each.


async def test_live_confidence(gai_simulator: MakeSimulator) -> None:
    provider = model(gai_simulator(saying(VALUE)))
    shown: list[str] = []
    stream = provider.stream_object("Analyze this market data", Report)
    async for so_far in stream.pipe(objects(Report)):
        shown.append(f"\rBuilding analysis... Confidence: {so_far.get('confidence', 0):.1%}")
    assert shown[0].endswith("0.0%")
    assert shown[-1].endswith("75.0%")
    assert (await stream.pipe(objects(Report))).object == REPORT
    assert await stream.pipe(field("confidence")).to_list() == [0.75]


# The reader.


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize(
    ("type_", "text", "inner"),
    [
        (dict, '{"a": {"b": "}{"}}', '{"a": {"b": "}{"}}'),
        (dict, "{}", "{}"),
        (dict, "{ }", "{ }"),
        (dict, '{x} {"a": 1}', '{"a": 1}'),
        (dict, '{{"a": 1}', '{"a": 1}'),
        (list[Any], '{"value": [[1], "]"]}', '[[1], "]"]'),
        (list[Any], '{"why": {"value": 1}, "value" : [ ] , "more": 2} {"value": [9]}', "[ ]"),
        (str, '{"value": "a\\"}\\\\"}', '"a\\"}\\\\"'),
        (int, '{"value": -12}', "-12"),
        (float, '{"value":1.5e3\n}', "1.5e3"),
        (bool, '{"value": true, "more": 2}', "true"),
        (Report | Point, '{"value": {"x": 1, "y": 2}}', '{"x": 1, "y": 2}'),
    ],
)
def test_the_reader_hands_out_the_characters_of_the_value_and_those_alone(
    type_: Any, text: str, inner: str, size: int
) -> None:
    reader = ObjectReader(Target(type_))
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    assert "".join(reader.feed(piece) for piece in pieces) == inner
    shown = reader.value
    assert getattr(shown, "snapshot", lambda: shown)() == json.loads(inner)
    reader.finish()
    assert reader.text == text


def test_a_plan_is_plain_data() -> None:
    plan = plan_object(Request.of("Go"), Target(Report), DIALECTS["ollama"], Quirks(), "m")
    assert isinstance(plan, ObjectPlan)
    assert (plan.mode, plan.repair, plan.request.response_name) == ("native", 0, "Report")
    with pytest.raises(BadRequestError):  # as before: nothing but ours asks Ollama for a call
        DIALECTS["ollama"].encode(Request.of("Go", tool_choice="required"), "m", Quirks())
