import time
from typing import Any

import pytest
from reactivex.subject import Subject

from gai_rx import (
    Citation,
    Citations,
    Finish,
    ReasoningDelta,
    RefusalDelta,
    Result,
    ResultBuilder,
    Start,
    StepFinish,
    StreamEvent,
    TextDelta,
    ToolCall,
    Usage,
)
from gai_rx.operators import accumulate_text, collect
from gai_rx.operators.assembling import Snapshot, snapshots
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


async def test_collect_keeps_streams_that_were_joined_apart() -> None:
    items = [
        said("a", stream_id="one"),
        said("x", stream_id="two"),
        said("b", stream_id="one"),
        Finish(reason="stop", stream_id="one"),
    ]
    made = await Source(items).stream.pipe(collect())
    assert (made.text, made.complete) == ("abx", False)


# Snapshots.


def moments(*events: StreamEvent) -> list[Snapshot]:
    return Source(events).stream.pipe(snapshots()).to_list().run()


def test_snapshots_come_with_their_events() -> None:
    names = ("S", "a", "b", "F")
    events = [EVENTS[name] for name in names]
    made = moments(*events)
    assert [moment.event for moment in made] == events
    assert [moment.result.text for moment in made] == ["", "a", "ab", "ab"]
    assert [moment.result.complete for moment in made] == [False, False, False, True]
    given, then = diagram(snapshots)
    assert then == given.replace("a", "A").replace("b", "B")


MIXED: list[StreamEvent] = [
    Start(),
    ReasoningDelta(text="H"),
    ReasoningDelta(text="m", id="i"),
    ReasoningDelta(encrypted="e", id="i"),
    said("a"),
    said("b"),
    said("x", choice=1),
    said("c", signature="s"),
    said("d"),
    said("e", block=1),
    RefusalDelta(text="no"),
    Citations(items=(Citation(uri="u"),)),
    said("y", stream_id="two"),
    said("f", block=1),
    said("z", stream_id="two"),
    Usage(total_tokens=1),
    ToolCall(id="1", name="f"),
    StepFinish(number=0),
    said("void", step=1),
    Start(attempt=2, step=1),
    said("g", step=1),
    said("h", step=1),
    Finish(reason="stop", step=1),
]


@pytest.mark.parametrize("order", [1, -1], ids=["forwards", "backwards"])
def test_a_snapshot_is_the_result_of_what_had_come_with_it(order: int) -> None:
    made = moments(*MIXED)
    for place in range(len(MIXED))[::order]:
        builder = ResultBuilder()
        builder.extend(MIXED[: place + 1])
        assert made[place].result == builder.result(), place


def test_a_snapshot_stays_what_it_was_while_the_answer_goes_on() -> None:
    seen: list[Snapshot] = []
    subject = Subject[StreamEvent]()
    subject.pipe(snapshots()).subscribe(seen.append)
    subject.on_next(said("a"))
    assert seen[0].result.text == "a"
    subject.on_next(said("b"))
    subject.on_next(said("c"))
    assert [moment.result.text for moment in seen] == ["a", "ab", "abc"]
    assert seen[0].result is seen[0].result


def test_a_snapshot_that_nobody_looks_at_costs_its_event_alone() -> None:
    def cost(count: int) -> float:
        events = [said("x" * 50)] * count
        subject = Subject[StreamEvent]()
        subject.pipe(snapshots()).subscribe(lambda _: None)
        begun = time.process_time()
        for event in events:
            subject.on_next(event)
        return time.process_time() - begun

    least = [min(cost(count) for _ in range(3)) for count in (2_000, 20_000)]
    assert least[1] < 40 * least[0] + 0.05  # 100 times, if each event cost the text so far


def test_a_snapshot_can_not_be_changed_and_takes_itself_apart() -> None:
    moment = moments(said("a"))[0]
    for name in ("event", "result"):
        with pytest.raises(AttributeError):
            setattr(moment, name, None)
    match moment:
        case Snapshot(TextDelta(text=text), Result(text=whole)):
            assert text == whole == "a"
    assert repr(moment).startswith("Snapshot(event=TextDelta(stream_id='', ")


def test_snapshots_are_no_events() -> None:
    stream = Source(of_events=True).stream.pipe(snapshots())
    assert not stream.of_events
    assert repr(stream) == "Stream(source | snapshots())"


async def test_two_subscriptions_share_no_snapshot() -> None:
    stream = Source([said("a")]).stream.pipe(snapshots())
    assert (await stream).result.text == (await stream).result.text == "a"


@pytest.mark.parametrize("operator", [accumulate_text(), collect(), snapshots()])
def test_an_error_passes_unchanged(operator: Any) -> None:
    check(operator, "---#", "---#", values=EVENTS, error=ERROR)


@pytest.mark.parametrize("operator", [collect(), snapshots()])
async def test_what_is_no_event_is_refused_rather_than_left_out(operator: Any) -> None:
    stream = Source([EVENTS["a"], "b", EVENTS["F"]]).stream
    with pytest.raises(TypeError, match="of type str"):
        await stream.pipe(operator).to_list()
