from typing import Any

import pytest

from gai_rx import Finish, Result, Start, TextDelta, ToolCall
from gai_rx.operators import accumulate_text, collect
from tests.operators.marbles import EVENTS, check, diagram
from tests.operators.sources import Source

ERROR = ZeroDivisionError("mine")
AGAIN = Start(attempt=2)


def said(text: str, **fields: Any) -> TextDelta:
    return TextDelta(text=text, **fields)


async def texts(*items: Any) -> list[str]:
    return await Source(items).stream.pipe(accumulate_text()).to_list()


def test_accumulate_text_emits_the_text_so_far() -> None:
    check(
        accumulate_text(),
        *diagram(accumulate_text),
        values=EVENTS,
        into={"A": "a", "B": "ab", "C": "abc"},
    )


async def test_accumulate_text_takes_plain_strings() -> None:
    assert await texts("Hel", "lo") == ["Hel", "Hello"]


async def test_accumulate_text_passes_over_what_is_no_text() -> None:
    assert await texts(Start(), said("a"), EVENTS["r"], EVENTS["U"], said("b")) == ["a", "ab"]


async def test_texts_are_kept_apart_by_stream_and_choice() -> None:
    items = [
        said("a", stream_id="one"),
        said("x", stream_id="two"),
        said("b", stream_id="one"),
        said("k", stream_id="one", choice=1),
        said("y", stream_id="two"),
    ]
    assert await texts(*items) == ["a", "x", "ab", "k", "xy"]


async def test_a_stream_that_begins_anew_begins_anew_in_its_text() -> None:
    assert await texts(Start(), said("a"), said("b"), AGAIN, said("c")) == ["a", "ab", "c"]


async def test_only_the_stream_that_begins_anew_is_forgotten() -> None:
    items = [
        said("a", stream_id="one"),
        said("x", stream_id="two"),
        Start(stream_id="one", attempt=2),
        said("b", stream_id="one"),
        said("y", stream_id="two"),
    ]
    assert await texts(*items) == ["a", "x", "b", "xy"]


async def test_a_first_start_forgets_nothing() -> None:
    assert await texts(said("a"), Start(), said("b")) == ["a", "ab"]


async def test_a_step_that_is_asked_again_keeps_the_text_of_the_steps_before_it() -> None:
    items = [
        said("a"),
        said("b", step=1),
        said("c", step=1),
        Start(attempt=2, step=1),
        said("d", step=1),
        said("e", step=2),
        Start(attempt=2, step=2),
        said("f", step=2),
    ]
    assert await texts(*items) == ["a", "ab", "abc", "ad", "ade", "adf"]


async def test_a_step_asked_again_before_its_first_word_loses_nothing() -> None:
    assert await texts(said("a"), Start(attempt=2, step=1), said("b", step=1)) == ["a", "ab"]


def test_collect_emits_one_result_at_the_end() -> None:
    whole = Result(
        text="ab",
        steps=result("ab").steps,
        messages=result("ab").messages,
        finish_reason="stop",
        complete=True,
    )
    check(collect(), *diagram(collect), values=EVENTS, into={"R": whole})


def result(text: str) -> Result:
    return Source([said(text), Finish(reason="stop")]).stream.pipe(collect()).run()


async def test_what_has_no_finish_is_not_complete() -> None:
    made = await Source([said("a")]).stream.pipe(collect())
    assert (made.text, made.complete) == ("a", False)


async def test_collect_after_a_retry_equals_an_unbroken_run() -> None:
    rest = [said("c"), ToolCall(id="2", name="f"), Finish(reason="tool_calls")]
    broken = [Start(), said("a"), ToolCall(id="1", name="f"), AGAIN, *rest]
    assert await Source(broken).stream.pipe(collect()) == await Source(rest).stream.pipe(collect())


async def test_two_subscriptions_share_no_text() -> None:
    stream = Source([said("a"), said("b")]).stream.pipe(accumulate_text())
    assert await stream.to_list() == await stream.to_list() == ["a", "ab"]
    collected = Source([said("a")]).stream.pipe(collect())
    assert (await collected).text == (await collected).text == "a"


@pytest.mark.parametrize("operator", [accumulate_text(), collect()])
def test_an_error_passes_unchanged(operator: Any) -> None:
    check(operator, "-S-#", "---#", values=EVENTS, error=ERROR)
