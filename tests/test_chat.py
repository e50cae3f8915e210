"""Conversations: what stays in the history, what does not, and what the model reads of it again."""

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
import reactivex as rx
from pydantic import ValidationError
from reactivex import operators as ops
from reactivex.disposable import SerialDisposable

from gai_rx import (
    Event,
    Finish,
    ImagePart,
    Message,
    RateLimitError,
    ReasoningDelta,
    ReasoningPart,
    RefusalDelta,
    Request,
    Start,
    StepFinish,
    Stream,
    StreamEvent,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallPart,
    ToolResult,
    ToolResultPart,
    TruncatedError,
    Usage,
    assistant,
    connect,
    rate_limit,
    system,
    tool,
    tool_result,
    user,
)
from gai_rx.chat import Chat, Turn
from gai_rx.events import FinishReason
from gai_rx.flow import produce
from gai_rx.operators import collect, retry_on, text_only
from gai_rx.simulator import Answer, Asked, Simulator
from tests.operators.sources import settle

CUT = TruncatedError("cut")


def answer(*said: str | StreamEvent, reason: FinishReason = "stop", tokens: int = 1) -> list[Any]:
    """The events of an answer: texts and events, between `Start` and `Finish`."""
    events = [TextDelta(text=one) if isinstance(one, str) else one for one in said]
    return [Start(provider="p"), *events, Finish(reason=reason, usage=Usage(total_tokens=tokens))]


class Model:
    """Answers in turn, the last one ever again; an exception in an answer is raised there.

    Attributes:
        asked: The messages of each request.
        settings: The settings of each request.
        closed: How many answers have ended, however.
    """

    def __init__(self, *answers: Sequence[Any], name: str = "host") -> None:
        self.name, self.model = name, "m"
        self.asked: list[tuple[Message, ...]] = []
        self.settings: list[dict[str, Any]] = []
        self.closed = 0
        self._answers = list(answers)

    def stream_text(self, request: Any, **settings: Any) -> Stream[Event]:
        messages = Request.of(request, **settings).messages

        async def make() -> AsyncGenerator[Sequence[Any], None]:
            self.asked.append(messages)
            self.settings.append(settings)
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            try:
                for item in answer:
                    if isinstance(item, Exception):
                        raise item
                    if isinstance(item, asyncio.Event):
                        await item.wait()
                    else:
                        yield [item]
            finally:
                self.closed += 1

        return Stream(produce(make, "model"), stages=("model",), of_events=True)


def call(id: str, name: str = "f") -> ToolCall:
    return ToolCall(id=id, name=name)


def roles(messages: Sequence[Message]) -> list[str]:
    return [message.role for message in messages]


def texts(messages: Sequence[Message]) -> list[str]:
    return [message.text for message in messages]


# A turn that goes well


async def test_what_is_said_and_answered_is_asked_with_the_next_time() -> None:
    model = Model(answer("Hel", "lo"), answer("Well."))
    chat = Chat(model, system="Be brief.")
    await chat.send("Hi")
    await chat.send("How?")
    assert texts(model.asked[0]) == ["Be brief.", "Hi"]
    assert texts(model.asked[1]) == ["Be brief.", "Hi", "Hello", "How?"]
    assert chat.messages == (*model.asked[1], assistant("Well."))
    assert [turn.result.text for turn in chat.turns] == ["Hello", "Well."]
    assert [turn.model for turn in chat.turns] == ["host:m", "host:m"]
    assert chat.history == chat.turns
    assert chat.usage == Usage(total_tokens=2)
    assert (chat.interrupted, chat.running) == (False, False)


async def test_the_events_of_the_answer_go_on_unchanged() -> None:
    said = answer("Hel", ReasoningDelta(text="hm"), "lo")
    stream = Chat(Model(said)).send("Hi")
    assert await stream.to_list() == said
    assert stream.of_events
    assert repr(stream) == "Stream(model | chat)"


async def test_nothing_is_asked_or_kept_before_the_subscription() -> None:
    model = Model(answer("a"), answer("b"))
    chat = Chat(model)
    first, second = chat.send("1"), chat.send("2")
    await settle()
    assert (model.asked, chat.turns, chat.running) == ([], (), False)
    await second
    await first
    assert texts(chat.messages) == ["2", "a", "1", "b"]


async def test_each_subscription_is_a_turn() -> None:
    model = Model(answer("a"))
    chat = Chat(model)
    stream = chat.send("again")
    await stream
    await stream
    assert texts(chat.messages) == ["again", "a", "again", "a"]
    assert texts(model.asked[1]) == ["again", "a", "again"]


async def test_who_hears_of_the_end_sees_the_history() -> None:
    chat = Chat(Model(answer("Hello")))
    seen: list[int] = []

    def look(event: Any) -> None:
        seen.append(len(chat.messages))

    await chat.send("Hi").pipe(ops.do_action(look))
    assert seen == [0, 0, 2]


async def test_from_the_end_of_one_turn_the_next_may_begin() -> None:
    model = Model(answer("a"), answer("b"))
    chat = Chat(model)
    said: Stream[Any] = Stream.of(rx.of("1", "2", "3"))
    got = await said.pipe(
        ops.map(chat.send), ops.merge(max_concurrent=1), text_only(), ops.to_list()
    )
    assert got == ["a", "b", "b"]
    assert texts(chat.messages) == ["1", "a", "2", "b", "3", "b"]


async def test_parts_and_messages_can_be_said() -> None:
    model = Model(answer("A cat."))
    chat = Chat(model)
    image = ImagePart(url="https://example.org/cat.png")
    await chat.send("What is this?", image)
    await chat.send([TextPart(text="And "), "this?"])
    await chat.send(user("Sure?", image))
    assert [message.parts for message in chat.messages[::2]] == [
        (TextPart(text="What is this?"), image),
        (TextPart(text="And "), TextPart(text="this?")),
        (TextPart(text="Sure?"), image),
    ]


async def test_settings_of_a_turn_are_beside_those_of_the_chat() -> None:
    model = Model(answer("a"))
    chat = Chat(model, max_tokens=500, temperature=0.1)
    await chat.send("1", temperature=0.9)
    await chat.send("2", model="other")
    assert model.settings == [
        {"max_tokens": 500, "temperature": 0.9},
        {"max_tokens": 500, "temperature": 0.1, "model": "other"},
    ]
    assert [turn.model for turn in chat.turns] == ["host:m", "host:other"]


@pytest.mark.parametrize(
    ("said", "kind", "told"),
    [
        ((), ValueError, "at least one word"),
        (("",), ValueError, "at least one word"),
        ((" \n",), ValueError, "at least one word"),
        ((system("Be."),), ValueError, "'system'"),
        ((assistant("I said."),), ValueError, "'assistant'"),
        ((7,), TypeError, "int"),
        ((None,), TypeError, "NoneType"),
    ],
)
def test_what_can_not_be_said_is_refused_at_once(said: Any, kind: Any, told: str) -> None:
    with pytest.raises(kind, match=told):
        Chat(Model(answer("a"))).send(*said)


def test_settings_that_can_not_be_are_refused_at_once() -> None:
    model = connect("simulator:echo")
    wrongs: list[dict[str, Any]] = [{"max_token": 1}, {"max_tokens": "many"}]
    for wrong in wrongs:
        with pytest.raises(ValidationError):
            Chat(model, **wrong)
        with pytest.raises(ValidationError):
            Chat(model).send("Hi", **wrong)
    for name in ("messages", "resume"):
        own: dict[str, Any] = {name: ()}
        with pytest.raises(ValueError, match=f"{name}=… can not be set in a chat"):
            Chat(model, **own)
        with pytest.raises(ValueError, match=f"{name}=… can not be set in a chat"):
            Chat(model).send("Hi", **own)
    with pytest.raises(ValueError, match="'user'"):
        Chat(model, system=user("Hi"))


# A turn that does not


@pytest.mark.parametrize("place", [0, 1, 2, 3])
async def test_a_turn_that_fails_leaves_the_history_as_it_was(place: int) -> None:
    events = answer("Hel", "lo")
    events[place:] = [CUT]
    model = Model(answer("a"), events, answer("b"))
    chat = Chat(model, system="s")
    await chat.send("1")
    before = chat.messages, chat.turns
    with pytest.raises(TruncatedError) as caught:
        await chat.send("2")
    assert caught.value is CUT
    assert (chat.messages, chat.turns) == before
    assert (chat.running, chat.interrupted) == (False, False)
    await chat.send("3")
    assert texts(model.asked[2]) == ["s", "1", "a", "3"]


async def test_a_subscriber_that_raises_makes_the_turn_fail() -> None:
    chat, seen = Chat(Model(answer("a", "b"))), list[Any]()

    def trip(event: Any) -> None:
        if isinstance(event, TextDelta):
            raise ZeroDivisionError

    chat.send("1").subscribe(trip, seen.append)
    await settle()
    assert [type(error) for error in seen] == [ZeroDivisionError]
    assert (chat.turns, chat.running) == ((), False)


async def test_a_failed_turn_can_be_asked_again_by_retry_on() -> None:
    broken = [Start(), TextDelta(text="Hel"), RateLimitError("slow")]
    model = Model(broken, answer("Hello"))
    chat = Chat(model)
    again = retry_on(rate_limit, after_output="restart", jitter=lambda _: 0.0)
    result = await chat.send("Hi").pipe(again, collect())
    assert result.text == "Hello"
    assert texts(model.asked[1]) == ["Hi"]
    assert texts(chat.messages) == ["Hi", "Hello"]


async def test_a_stream_that_ends_without_a_finish_leaves_no_turn() -> None:
    chat = Chat(Model(answer("a")[:-1]))
    await chat.send("1")
    assert (chat.turns, chat.running) == ((), False)


@pytest.mark.parametrize("said", [[], [" \n"], [ReasoningDelta(text="hm")]])
async def test_an_answer_with_nothing_in_it_leaves_no_turn(said: list[Any]) -> None:
    chat = Chat(Model(answer(*said, reason="content_filter"), answer("b")))
    await chat.send("1")
    await chat.send("2")
    assert texts(chat.messages) == ["2", "b"]


async def test_a_refusal_stays_in_the_history() -> None:
    chat = Chat(Model(answer(RefusalDelta(text="No."), reason="refusal")))
    await chat.send("1")
    assert roles(chat.messages) == ["user", "assistant"]


async def test_a_second_turn_at_the_same_time_is_refused() -> None:
    hold = asyncio.Event()
    chat = Chat(Model([Start(), TextDelta(text="a"), hold, *answer("b")[1:]]))
    told: list[Any] = []
    chat.send("1").subscribe(told.append)
    await settle()
    assert chat.running
    with pytest.raises(RuntimeError, match="a turn of this chat is under way"):
        await chat.send("2")
    for change in (chat.undo, chat.clear):
        with pytest.raises(RuntimeError, match="under way"):
            change()
    hold.set()
    await settle()
    assert told[-1].type == "finish"
    assert texts(chat.messages) == ["1", "ab"]


async def test_what_the_model_can_not_be_asked_with_fails_the_turn_alone() -> None:
    model = Model(answer("a"))
    chat = Chat(model)
    stream = chat.send("1")
    chat.settings["max_tokens"] = "many"
    with pytest.raises(ValidationError):
        await stream
    del chat.settings["max_tokens"]
    await stream
    assert texts(chat.messages) == ["1", "a"]


# A turn that is interrupted


async def interrupted(*events: Any, **settings: Any) -> tuple[Chat, Model]:
    """A chat whose only turn was disposed of after these events."""
    model = Model([Start(), *events, asyncio.Event()], answer("Next."))
    chat = Chat(model, **settings)
    subscription = chat.send("1").subscribe()
    await settle()
    subscription.dispose()
    await settle()
    assert model.closed == 1
    assert not chat.running
    return chat, model


async def test_what_had_come_of_an_interrupted_answer_stays() -> None:
    chat, model = await interrupted(TextDelta(text="Once "), TextDelta(text="upon"))
    assert chat.interrupted
    (turn,) = chat.turns
    assert (turn.interrupted, turn.result.text, turn.result.complete) == (True, "Once upon", False)
    await chat.send("Go on")
    assert texts(model.asked[1]) == ["1", "Once upon", "Go on"]
    assert not chat.interrupted


async def test_leaving_the_loop_interrupts_the_turn() -> None:
    chat = Chat(Model([*answer("a", "b")[:-1], asyncio.Event()]))
    async for event in chat.send("1"):
        if isinstance(event, TextDelta) and event.text == "b":
            break
    assert chat.interrupted, "at once: one may send the next message in the next line"
    assert texts(chat.messages) == ["1", "ab"]


async def test_disposing_within_on_next_keeps_that_item() -> None:
    chat = Chat(Model(answer("a", "b", "c")))
    await chat.send("1").pipe(ops.take(3))
    assert chat.interrupted
    assert texts(chat.messages) == ["1", "ab"]


async def test_after_the_finish_nothing_can_be_interrupted() -> None:
    chat = Chat(Model(answer("a")))
    subscription = SerialDisposable()

    def on_next(event: Any) -> None:
        if isinstance(event, Finish):
            subscription.dispose()

    subscription.disposable = chat.send("1").subscribe(on_next)
    await settle()
    assert not chat.interrupted
    assert texts(chat.messages) == ["1", "a"]


@pytest.mark.parametrize("events", [(), (ReasoningDelta(text="hm"),), (call("1"),)])
async def test_an_answer_interrupted_before_it_said_anything_leaves_no_turn(events: Any) -> None:
    chat, _ = await interrupted(*events)
    assert (chat.turns, chat.interrupted) == ((), False)


async def test_calls_without_a_result_do_not_go_to_the_model_again() -> None:
    said = TextDelta(text="Let me see."), ReasoningDelta(text="hm", signature="s")
    chat, model = await interrupted(*said, call("1"))
    await chat.send("2")
    assert model.asked[1] == (user("1"), assistant("Let me see."), user("2"))
    assert [c.id for c in chat.turns[0].result.tool_calls] == ["1"]


async def test_calls_with_a_result_go_to_the_model_again() -> None:
    events = (
        ReasoningDelta(text="hm", signature="s"),
        call("1"),
        ToolResult(id="1", name="f", result=1),
        StepFinish(number=0, reason="tool_calls"),
        TextDelta(text="Then", step=1),
        call("2").model_copy(update={"step": 1}),
        call("3").model_copy(update={"step": 1}),
        ToolResult(id="3", name="f", result=3, step=1),
    )
    chat, model = await interrupted(*events)
    await chat.send("2")
    kept = model.asked[1]
    assert roles(kept) == ["user", "assistant", "tool", "assistant", "tool", "user"]
    thinking = ReasoningPart(text="hm", signature="s")
    assert kept[1].parts == (thinking, ToolCallPart(id="1", name="f"))
    assert kept[3].parts == (TextPart(text="Then"), ToolCallPart(id="3", name="f"))
    assert kept[4].parts == (ToolResultPart(id="3", name="f", result=3),)


async def test_steps_before_an_interruption_stay_even_if_the_last_one_said_nothing() -> None:
    events = (call("1"), ToolResult(id="1", name="f"), StepFinish(number=0, reason="tool_calls"))
    chat, _ = await interrupted(*events)
    assert roles(chat.messages) == ["user", "assistant", "tool"]
    assert chat.interrupted


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_calls_that_were_cut_off_do_not_go_to_the_model_again(reason: FinishReason) -> None:
    model = Model(answer("Let me see.", call("1"), reason=reason), answer("b"))
    chat = Chat(model)
    await chat.send("1")
    await chat.send("2")
    assert model.asked[1] == (user("1"), assistant("Let me see."), user("2"))
    assert not chat.interrupted


def test_a_turn_whose_loop_was_closed_is_an_interrupted_one() -> None:
    chat = Chat(Model([Start(), TextDelta(text="a"), asyncio.Event()], answer("b")))

    async def leave() -> None:
        chat.send("1").subscribe()
        await settle()
        assert chat.running

    asyncio.run(leave())
    assert not chat.running
    assert chat.interrupted
    assert texts(chat.messages) == ["1", "a"]

    async def go_on() -> None:
        await chat.send("2")

    asyncio.run(go_on())
    assert texts(chat.messages) == ["1", "a", "2", "b"]
    assert [turn.interrupted for turn in chat.turns] == [True, False]


# Tools


@tool
async def look(city: str) -> str:
    """Look at the weather."""
    return f"sun in {city}"


DIALECTS = {
    "openai_chat": "/v1",
    "openai_responses": "/v1",
    "anthropic_messages": "",
    "gemini": "/v1beta",
    "ollama": "",
    "cohere": "/v2",
}


def weather(asked: Asked) -> Answer:
    if asked.prompt.startswith("Weather") and not asked.tool_results:
        return Answer("Let me see.", tool_calls=[ToolCall(id="", name="look", arguments=CITY)])
    return Answer(f"Told {len(asked.tool_results)}.")


CITY = {"city": "Oslo"}


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_all_steps_of_a_turn_with_tools_stay_in_the_history(dialect: str) -> None:
    async with Simulator(weather) as simulator:
        model = connect(f"{dialect}:m", base_url=simulator.url + DIALECTS[dialect], api_key="k")
        chat = Chat(model, system="Be brief.", tools=[look])
        await chat.send("Weather?")
        assert roles(chat.messages) == ["system", "user", "assistant", "tool", "assistant"]
        await chat.send("Thanks")
        assert simulator.requests[-1].asked.text.count("sun in Oslo") == 1
    assert chat.turns[0].result.tool_results[0].result == "sun in Oslo"
    assert len(chat.turns[0].result.steps) == 2
    assert chat.turns[1].result.text == "Told 0."


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_after_an_interrupted_tool_the_conversation_goes_on(dialect: str) -> None:
    hold = asyncio.Event()

    @tool(name="look")
    async def hangs(city: str) -> str:
        "Look at the weather."
        await hold.wait()
        return "never"

    async with Simulator(weather) as simulator:
        model = connect(f"{dialect}:m", base_url=simulator.url + DIALECTS[dialect], api_key="k")
        chat = Chat(model, tools=[hangs])
        async for event in chat.send("Weather?"):
            if event.type == "tool_progress":
                break
        await settle()
        assert chat.interrupted
        await chat.send("Never mind")
        body = json.dumps(simulator.requests[-1].body)
    assert "Let me see." in body
    assert "Oslo" not in body
    assert roles(chat.messages) == ["user", "assistant", "user", "assistant"]


async def test_calls_that_nobody_ran_are_told_as_not_run() -> None:
    model = Model(answer("Sure?", call("1"), call("2"), reason="tool_calls"), answer("b"))
    chat = Chat(model)
    await chat.send("1")
    assert roles(chat.messages) == ["user", "assistant"]
    await chat.send("2")
    assert roles(model.asked[1]) == ["user", "assistant", "tool", "user"]
    told = ToolResultPart(id="1", name="f", error="the call was not run")
    assert model.asked[1][2].parts == (told, told.model_copy(update={"id": "2"}))
    assert chat.messages[:4] == model.asked[1]
    chat.undo()
    assert roles(chat.messages) == ["user", "assistant"]


async def test_the_caller_may_bring_the_results() -> None:
    model = Model(answer(call("1"), call("2"), reason="tool_calls"), answer("b"))
    chat = Chat(model)
    await chat.send("1")
    await chat.send(tool_result("1", 7, name="f"), tool_result("2", 8, name="f"))
    assert roles(model.asked[1]) == ["user", "assistant", "tool", "tool"]
    await chat.send("3")
    assert roles(model.asked[2])[-2:] == ["assistant", "user"]


# History


async def test_the_last_turn_can_be_taken_back() -> None:
    chat = Chat(Model(answer("a"), answer("b")), system="s")
    await chat.send("1")
    await chat.send("2")
    undone = chat.undo()
    assert undone is not None
    assert undone.result.text == "b"
    assert texts(chat.messages) == ["s", "1", "a"]
    chat.undo()
    assert chat.undo() is None
    assert texts(chat.messages) == ["s"]


async def test_all_turns_can_be_forgotten() -> None:
    chat = Chat(Model(answer("a")), system="s")
    await chat.send("1")
    chat.clear()
    assert (chat.turns, texts(chat.messages), chat.usage) == ((), ["s"], None)


async def test_the_system_message_can_be_changed_between_turns() -> None:
    model = Model(answer("a"))
    chat = Chat(model)
    assert chat.system is None
    chat.system = "Be brief."
    await chat.send("1")
    chat.system = None
    await chat.send("2")
    assert roles(model.asked[0]) == ["system", "user"]
    assert roles(model.asked[1]) == ["user", "assistant", "user"]


async def test_another_host_does_not_get_what_only_the_first_can_read() -> None:
    signed = [
        ReasoningDelta(text="hm", signature="s"),
        TextDelta(text="a", signature="t"),
        ToolCall(id="1", name="f", signature="u"),
        ToolResult(id="1", name="f"),
    ]
    chat = Chat(Model(answer(*signed)))
    await chat.send("1")
    own = chat.messages
    assert [type(part) for part in own[1].parts] == [ReasoningPart, TextPart, ToolCallPart]
    other = Model(answer("b"), name="other")
    chat.provider = other
    await chat.send("2")
    assert other.asked[0][1] == assistant("a", ToolCallPart(id="1", name="f"))
    chat.provider = Model(answer("c"))
    assert chat.messages[: len(own)] == own


async def test_a_conversation_survives_json() -> None:
    signed = ReasoningDelta(text="hm", signature="s")
    tooled = call("1"), ToolResult(id="1", name="f", result={"a": [1, None]})
    chat = Chat(Model(answer(signed, "a", *tooled), answer("b")), system="s")
    image = ImagePart(data=b"\x89PNG\xff\x00", mime="image/png")
    await chat.send("Look", image)
    await chat.send("2").pipe(ops.take(2))
    saved = chat.to_json(indent=1)
    model = Model(answer("c"))
    again = Chat.from_json(saved, model, max_tokens=5)
    assert (again.messages, again.turns) == (chat.messages, chat.turns)
    assert again.interrupted
    assert again.to_json() == chat.to_json()
    await again.send("3")
    assert model.asked[0][: len(chat.messages)] == chat.messages
    assert model.settings[0] == {"max_tokens": 5}
    empty = Chat.from_json(Chat(Model(answer("a"))).to_json(), model)
    assert (empty.turns, empty.system) == ((), None)


async def test_no_key_is_in_the_json_or_the_repr() -> None:
    key = "sk-CANARY-7f3a9b2e41d84c56"
    async with Simulator(Answer("Hello")) as simulator:
        model = connect("openai_chat:m", base_url=f"{simulator.url}/v1", api_key=key)
        chat = Chat(model, system="s", provider_options={"user": key})
        await chat.send("Hi")
    assert "CANARY" not in chat.to_json() + repr(chat) + repr(chat.turns) + repr(chat.send("x"))
    assert repr(chat) == "Chat('openai_chat:m', 1 turn)"


@pytest.mark.parametrize("text", ["", "{}", '{"version": 2, "model": "a:b", "turns": []}', "[]"])
def test_what_is_no_conversation_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        Chat.from_json(text, Model(answer("a")))


# Threads and loops


def test_a_script_without_a_loop_can_chat() -> None:
    chat = Chat("simulator:echo")
    assert chat.send("one").run().type == "finish"
    for event in chat.send("two"):
        if event.type == "text_delta":
            break
    assert [turn.interrupted for turn in chat.turns] == [False, True]
    asyncio.run(_say(chat, "three"))
    assert roles(chat.messages) == ["user", "assistant"] * 3
    assert "three" in chat.messages[-1].text


async def _say(chat: Chat, text: str) -> None:
    await chat.send(text)


def test_of_many_threads_that_begin_at_once_one_has_the_turn() -> None:
    chat, outcomes = Chat(Model(answer("a"))), list[str]()
    ready = threading.Barrier(4)

    def say() -> None:
        ready.wait()
        try:
            chat.send("1").run()
            outcomes.append("said")
        except RuntimeError:
            outcomes.append("refused")

    threads = [threading.Thread(target=say) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 4
    assert len(chat.turns) == outcomes.count("said") >= 1
    assert texts(chat.messages) == ["1", "a"] * len(chat.turns)


def test_a_turn_knows_its_usage() -> None:
    finished = Finish(reason="stop", usage=Usage(total_tokens=7))
    chat = Chat(Model([TextDelta(text="a"), finished]))
    chat.send("1").run()
    (turn,) = chat.turns
    assert isinstance(turn, Turn)
    assert turn.usage == Usage(total_tokens=7)


def test_a_turn_can_not_be_changed() -> None:
    chat = Chat(Model(answer("a")))
    chat.send("1").run()
    with pytest.raises(ValidationError):
        setattr(chat.turns[0], "interrupted", True)  # noqa: B010 - type checkers know it too
