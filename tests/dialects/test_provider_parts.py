"""What a provider ran itself goes back to it as it came, and to no other provider."""

import json
from typing import Any

import pytest

from gai_rx.dialects import DIALECTS, Quirks
from gai_rx.dialects.parts import provider_block
from gai_rx.events import Start, StreamEvent, TextDelta, ToolCall, ToolResult
from gai_rx.request import (
    Message,
    Part,
    ProviderPart,
    ReasoningPart,
    Request,
    TextPart,
    ToolCallPart,
    assistant,
    tool_result,
    user,
)
from gai_rx.result_builder import ResultBuilder
from gai_rx.turns import readable

SEARCH = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "q"}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": [{"url": "u"}]}
CALLER = {"type": "code_execution_20250825", "tool_id": "s1"}


def own(block: dict[str, Any], id: str = "s1", dialect: str = "anthropic_messages") -> ProviderPart:
    return ProviderPart(dialect=dialect, id=id, block=block)


def sent(dialect: str, *messages: Message) -> Any:
    """The turns of a request as the dialect sends them."""
    body = DIALECTS[dialect].encode(Request(messages=messages), "m", Quirks()).body
    return body.get("messages") or body.get("contents") or body.get("input")


def asked(*parts: Part | str, after: tuple[Message, ...] = (user("Go on."),)) -> Any:
    """The blocks of Anthropic's turns: those of an answer, and those of what follows it."""
    turns = sent("anthropic_messages", user("Hi"), assistant(*parts), *after)
    return [turn["content"] for turn in turns[1:]]


def parts_of(*events: StreamEvent) -> list[Part]:
    builder = ResultBuilder()
    builder.extend(events)
    return [part for message in builder.result().messages for part in message.parts]


def run(id: str = "s1", step: int = 0) -> ToolCall:
    return ToolCall(
        id=id,
        name="web_search",
        arguments={"query": "q"},
        provider_executed=True,
        step=step,
        metadata=provider_block("anthropic_messages", {**SEARCH, "input": {}}, "input"),
    )


def found(id: str = "s1", step: int = 0) -> ToolResult:
    return ToolResult(
        id=id,
        result=[{"url": "u"}],
        provider_executed=True,
        step=step,
        metadata=provider_block("anthropic_messages", FOUND, "content"),
    )


# In a result.


def test_runs_stand_in_the_history_where_they_came() -> None:
    say = TextDelta(text="a"), run(), found(), TextDelta(text="b")
    assert parts_of(*say) == [TextPart(text="a"), own(SEARCH), own(FOUND), TextPart(text="b")]


def test_the_bulk_of_a_block_is_not_kept_twice() -> None:
    assert found().metadata["provider_block"]["block"] == {
        "type": "web_search_tool_result",
        "tool_use_id": "s1",
    }


def test_runs_survive_json() -> None:
    message = assistant(own(SEARCH), own(FOUND))
    assert Message.model_validate_json(message.model_dump_json()) == message


def test_a_run_that_no_one_wants_back_is_left_out() -> None:
    bare = ToolCall(id="w", name="web_search", provider_executed=True)
    assert parts_of(bare, ToolResult(id="w", provider_executed=True), TextDelta(text="a")) == [
        TextPart(text="a")
    ]


def test_an_answer_that_begins_anew_forgets_its_runs() -> None:
    first, again = (run(), found()), (run("s2", 1), found("s2", 1))
    made = parts_of(*first, *again, Start(attempt=2, step=1), TextDelta(text="a", step=1))
    assert made == [own(SEARCH), own(FOUND), TextPart(text="a")]


# To whom it goes.


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
def test_blocks_of_other_providers_are_not_sent(dialect: str) -> None:
    foreign = own({"type": "x", "text": "secret"}, dialect="other")
    turns = sent(dialect, user("Hi"), assistant("a", foreign), assistant(foreign), user("b"))
    assert turns == sent(dialect, user("Hi"), assistant("a"), user("b"))


@pytest.mark.parametrize("dialect", ["openai_responses", "gemini"])
def test_blocks_of_its_own_go_back_as_they_are(dialect: str) -> None:
    block = {"type": "program", "executableCode": {"code": "1"}}
    turns = sent(dialect, user("Hi"), assistant("a", own(block, dialect=dialect), "b"), user("b"))
    said = turns[1]["parts"] if dialect == "gemini" else turns[1:-1]
    assert len(said) == 3
    assert said[1] == block


def test_a_conversation_that_changes_its_host_leaves_the_blocks_behind() -> None:
    message = assistant(ReasoningPart(text="Hm"), own(SEARCH), "a")
    assert [m.parts for m in readable([message], same_host=False)] == [(TextPart(text="a"),)]
    assert list(readable([message], same_host=True)) == [message]


@pytest.mark.parametrize("dialect", ["openai_chat", "cohere"])
def test_an_answer_without_words_or_calls_is_not_sent(dialect: str) -> None:
    silent = assistant() if dialect == "cohere" else assistant(ReasoningPart(text="Hm"))
    assert len(sent(dialect, user("Hi"), silent, user("b"))) == 2


# Anthropic's rules.


def test_a_run_and_its_result_go_back_in_place() -> None:
    said, _ = asked("a", own(SEARCH), own(FOUND), "b")
    text = {"type": "text", "text": "a"}
    assert said == [text, SEARCH, FOUND, {"type": "text", "text": "b"}]


def test_a_result_may_come_in_a_later_answer() -> None:
    call = ToolCallPart(id="t1", name="f")
    after = (tool_result("t1", 1), assistant(own(FOUND), "b"), user("Go on."))
    said, _, later, _ = asked(own(SEARCH), call, after=after)
    assert [said[0], later[0]] == [SEARCH, FOUND]


@pytest.mark.parametrize("part", [own(SEARCH), own(FOUND)])
def test_half_a_run_is_left_out(part: ProviderPart) -> None:
    said, _ = asked("a", part)
    assert said == [{"type": "text", "text": "a"}]


def test_a_turn_that_was_paused_goes_on_from_its_open_run() -> None:
    assert asked("a", own(SEARCH), after=()) == [[{"type": "text", "text": "a"}, SEARCH]]
    assert asked("a", own(FOUND), after=()) == [[{"type": "text", "text": "a"}]]
    assert sent("anthropic_messages", assistant(own(SEARCH)))[0]["content"] == [SEARCH]


@pytest.mark.parametrize("whole", [True, False])
def test_a_call_by_a_program_names_it_only_where_it_goes_back(whole: bool) -> None:
    call = ToolCallPart(id="t1", name="f", signature=json.dumps({"tool_use": {"caller": CALLER}}))
    result = tool_result("t1", 1)
    plain = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
    if whole:  # nothing but results since: the program waits for them
        said, _ = asked(own(SEARCH), call, after=(result,))
        assert said == [SEARCH, {**plain, "caller": CALLER}]
        again = asked(own(SEARCH), call, after=(result, assistant(call), result))
        assert again[0] == said
    else:
        said, _ = asked(own(SEARCH), call, after=(result, user("Stop it.")))
        assert said == [plain]


@pytest.mark.parametrize(
    "signature", ["CkYB", '{"caller": {}}', '{"tool_use": {', '{"tool_use": 1}', None]
)
def test_notes_of_other_providers_are_left_out(signature: str | None) -> None:
    call = ToolCallPart(id="t1", name="f", signature=signature)
    said, _ = asked(call, after=(tool_result("t1", 1),))
    assert said == [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}]


def test_text_without_a_word_is_left_out() -> None:
    said, _ = asked("\n\n", "a")
    assert said == [{"type": "text", "text": "a"}]


# What OpenAI runs.


def records(*items: dict[str, Any]) -> bytes:
    told = [{"type": "response.output_item.done", "output_index": n, "item": i}
            for n, i in enumerate(items)]  # fmt: skip
    end = {"type": "response.completed", "response": {"status": "completed"}}
    return b"".join(f"data: {json.dumps(record)}\n\n".encode() for record in (*told, end))


def returned(*items: dict[str, Any]) -> list[Any]:
    decoder = DIALECTS["openai_responses"].decoder()
    events = decoder.feed(records(*items)) + decoder.close()
    assert decoder.fault is None
    return [part.block for part in parts_of(*events) if isinstance(part, ProviderPart)]


def test_programs_go_back_whole_and_what_was_searched_without_its_id() -> None:
    program = {
        "type": "program",
        "id": "cm_1",
        "call_id": "p1",
        "code": "1",
        "fingerprint": "f",
    }
    done = {"type": "program_output", "id": "co_1", "call_id": "p1", "result": "1"}
    search = {"type": "tool_search_call", "execution": "server", "arguments": {"q": 1}}
    listed = {"type": "tool_search_output", "execution": "server", "tools": [{"name": "f"}]}
    made = returned(program, done, {**search, "id": "ts", "call_id": None}, {**listed, "id": "to"})
    assert made == [program, done, search, listed]


def test_a_result_of_nothing_goes_back_too() -> None:
    search = {"type": "tool_search_call", "execution": "server", "arguments": {}}
    listed = {"type": "tool_search_output", "execution": "server", "tools": []}
    assert returned(search, listed) == [search, listed]


def test_what_the_answer_tells_in_words_does_not_go_back() -> None:
    searched = {"type": "web_search_call", "id": "ws", "action": {"type": "search", "query": "q"}}
    assert returned(searched) == []
