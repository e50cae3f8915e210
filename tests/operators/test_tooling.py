import pickle
from collections.abc import Callable
from typing import Any

import pytest
import reactivex as rx
from reactivex import Observable
from reactivex import operators as ops
from reactivex.subject import Subject
from reactivex.testing import TestScheduler

from gai_rx import (
    Error,
    Finish,
    Retry,
    Start,
    StepFinish,
    Stream,
    TextDelta,
    ToolCall,
    ToolProgress,
    ToolResult,
    connect,
    tool,
)
from gai_rx.operators.tooling import (
    CalledTool,
    WorkflowProgress,
    tool_order,
    tools_running,
    workflow_progress,
)
from gai_rx.simulator import Answer, Asked, Simulator
from tests.operators.marbles import EVENTS, check, diagram
from tests.operators.sources import Source, settle

ERROR = ZeroDivisionError("mine")
VALUES: dict[str, Any] = {
    **EVENTS,
    "C": ToolCall(id="1", name="C"),
    "D": ToolCall(id="2", name="D"),
    "c": ToolResult(id="1", name="C"),
    "d": ToolResult(id="2", name="D"),
}

Apply = Callable[[Observable[Any]], Observable[Any]]


def seen(operator: Apply, see: Callable[[Any], Any]) -> Apply:
    """The operator with what shall be compared of its items."""
    return lambda source: source.pipe(operator, ops.map(see))


def ids(running: Any) -> list[str]:
    return [one.id for one in running]


def told(operator: Apply, *events: Any) -> list[Any]:
    return Stream.of(rx.from_iterable(events)).pipe(operator, ops.to_list()).run()


def call(id: str = "1", name: str = "f", **more: Any) -> ToolCall:
    return ToolCall(id=id, name=name, **more)


def result(id: str = "1", name: str = "f", **more: Any) -> ToolResult:
    return ToolResult(id=id, name=name, **more)


# tools_running


def test_the_running_tools_are_told_at_each_change() -> None:
    into: dict[str, Any] = {"x": ["1"], "y": ["1", "2"], "z": ["2"], "e": []}
    check(seen(tools_running(), ids), *diagram(tools_running), values=VALUES, into=into)


def test_two_calls_of_one_tool_are_two() -> None:
    events = [call("1"), call("2"), result("2"), result("1")]
    assert [ids(now) for now in told(tools_running(), *events)] == [["1"], ["1", "2"], ["1"], []]


def test_a_running_tool_knows_its_call_and_when_it_came() -> None:
    scheduler, subject = TestScheduler(), Subject[Any]()
    items: list[Any] = []
    Stream.of(subject).pipe(tools_running()).subscribe(items.append, scheduler=scheduler)
    scheduler.advance_by(2.5)
    subject.on_next(call(arguments={"city": "Oslo"}, step=3, stream_id="s"))
    (one,) = items[0]
    assert (one.id, one.name, one.arguments) == ("1", "f", {"city": "Oslo"})
    assert (one.step, one.since, one.stream_id, one.begun) == (3, 2.5, "s", False)
    assert str(one) == "f"
    assert hash(one) == hash(one)


def test_the_clock_given_to_the_operator_wins() -> None:
    own, given, subject = TestScheduler(), TestScheduler(), Subject[Any]()
    items: list[Any] = []
    Stream.of(subject).pipe(tools_running(scheduler=own)).subscribe(items.append, scheduler=given)
    own.advance_by(1)
    given.advance_by(7)
    subject.on_next(call())
    assert items[0][0].since == 1.0


def test_a_call_that_nobody_answers_runs_until_its_step_ends() -> None:
    after = [
        ids(now) for now in told(tools_running(), call(), StepFinish(number=0), TextDelta(text="a"))
    ]
    assert after == [["1"], []]
    assert [ids(now) for now in told(tools_running(), call(), Finish(reason="tool_calls"))] == [
        ["1"],
        [],
    ]
    assert [ids(now) for now in told(tools_running(), call())] == [["1"], []]


def test_the_end_of_one_of_several_streams_is_not_the_end_of_the_others() -> None:
    events = [call(stream_id="a"), call(stream_id="b"), Finish(reason="stop", stream_id="a")]
    after = told(tools_running(), *events)
    assert [[one.stream_id for one in now] for now in after] == [["a"], ["a", "b"], ["b"], []]
    events[2:] = [result(stream_id="b")]
    after = told(tools_running(), *events)
    assert [[one.stream_id for one in now] for now in after][2] == ["a"]


def test_before_an_error_the_last_that_is_told_are_those_that_ran() -> None:
    check(
        seen(tools_running(), ids),
        "-C-D-#",
        "-x-y-#",
        values=VALUES,
        error=ERROR,
        into={"x": ["1"], "y": ["1", "2"]},
    )


def test_how_far_a_tool_has_come_is_told_when_asked_for() -> None:
    events = [
        call("1"),
        ToolProgress(id="1", name="f"),
        ToolProgress(id="1", name="f", value=0.5),
        ToolProgress(id="1", name="f"),
        call("2"),
        result("1"),
    ]
    after = told(tools_running(progress=True), *events)
    assert [[(one.begun, one.progress) for one in now] for now in after] == [
        [(False, None)],
        [(True, None)],
        [(True, 0.5)],
        [(True, 0.5)],
        [(True, 0.5), (False, None)],
        [(False, None)],
        [],
    ]
    quiet = told(tools_running(), *events)
    assert [ids(now) for now in quiet] == [["1"], ["1", "2"], ["2"], []]
    assert quiet[1][0].progress == 0.5


def test_a_resumed_run_has_tools_that_an_earlier_one_called() -> None:
    events = [
        ToolProgress(id="1", name="pay", step=2),
        result("1", "pay", step=2),
        result("9", "x"),
    ]
    assert [ids(now) for now in told(tools_running(), *events)] == [["1"], []]
    assert told(tool_order(), *events) == [("pay",), ("pay", "x")]


def test_a_second_call_with_the_same_id_does_not_run() -> None:
    events = [call("1", "f"), call("1", "g"), result("1", "f")]
    assert [ids(now) for now in told(tools_running(), *events)] == [["1"], []]
    assert told(tool_order(), *events) == [("f",)]


def test_an_id_may_come_again_in_a_later_step() -> None:
    events = [call(), result(), call(step=1), result(step=1)]
    assert [ids(now) for now in told(tools_running(), *events)] == [["1"], [], ["1"], []]
    assert told(tool_order(), *events)[-1] == ("f", "f")


def test_an_answer_that_begins_anew_has_no_running_tools() -> None:
    events = [call("1"), call("2", stream_id="x"), Start(attempt=2), call("3")]
    after = [ids(now) for now in told(tools_running(), *events)]
    assert after == [["1"], ["1", "2"], ["2"], ["2", "3"], []]


def test_a_step_that_begins_anew_keeps_the_steps_before_it() -> None:
    events = [
        call("1"),
        result("1"),
        call("2", step=1),
        Start(attempt=2, step=1),
        call("3", step=1),
    ]
    assert [ids(now) for now in told(tools_running(), *events)] == [["1"], [], ["2"], [], ["3"], []]
    assert told(tool_order(), *events)[-1] == ("f", "f")
    assert [c.id for c in told(tool_order(), *events)[-1]] == ["1", "3"]


# tool_order


def test_the_order_grows_with_each_call() -> None:
    into = {"x": ("C",), "y": ("C", "D")}
    check(tool_order(), *diagram(tool_order), values=VALUES, into=into)


def test_without_tools_the_order_is_empty_at_the_end() -> None:
    check(tool_order(), "-S-a-F|", "------(x|)", values=VALUES, into={"x": ()})
    check(tool_order(), "-S-a-#", "-----#", values=VALUES, error=ERROR)


def test_without_tools_in_the_new_answer_its_order_is_empty_too() -> None:
    assert told(tool_order(), call(), Start(attempt=2)) == [("f",), (), ()]


def test_names_of_the_order_know_their_calls() -> None:
    (named,) = told(tool_order(), call("7", step=1, stream_id="s"))[-1]
    assert (named, named.id, named.step, named.stream_id) == ("f", "7", 1, "s")
    copied = pickle.loads(pickle.dumps(named))
    assert isinstance(copied, CalledTool)
    assert (copied, copied.id, copied.step, copied.stream_id) == ("f", "7", 1, "s")


# workflow_progress


def test_the_workflow_is_told_whenever_it_comes_further() -> None:
    def see(now: WorkflowProgress) -> Any:
        return now.calls, now.completed, now.done

    into = {
        "s": (0, (), False),
        "x": (1, (), False),
        "y": (1, ("C",), False),
        "z": (1, ("C",), True),
    }
    given, then = diagram(workflow_progress)
    check(seen(workflow_progress(), see), given, then, values=VALUES, into=into)


RUN = [
    Start(),
    TextDelta(text="a"),
    call("1", "search"),
    call("2", "search"),
    result("2", "search", error="no"),
    result("1", "search"),
    StepFinish(number=0, reason="tool_calls"),
    TextDelta(text="b", step=1),
    call("3", "report", step=1),
    result("3", "report", step=1),
    StepFinish(number=1, step=1),
    Finish(reason="stop", step=1),
]


def test_steps_and_tools_are_counted_apart() -> None:
    after = told(workflow_progress(), *RUN)
    assert [(now.step, now.steps, now.calls, now.fraction) for now in after] == [
        (0, 1, 0, 0.0),
        (0, 1, 1, 0.0),
        (0, 1, 2, 0.0),
        (0, 1, 2, 0.5),
        (0, 1, 2, 1.0),
        (1, 2, 2, 1.0),
        (1, 2, 3, 2 / 3),
        (1, 2, 3, 1.0),
        (1, 2, 3, 1.0),
    ]
    assert [ids(now.running) for now in after[1:5]] == [["1"], ["1", "2"], ["1"], []]
    last = after[-1]
    assert (last.done, last.finish_reason) == (True, "stop")
    assert [c.id for c in last.completed] == ["2", "1", "3"]
    assert [c.id for c in last.failed] == ["2"]
    assert last.tools_used == ("search", "report")
    assert not any(now.done or now.finish_reason for now in after[:-1])


def test_the_workflow_is_timed_from_the_subscription() -> None:
    scheduler, subject = TestScheduler(), Subject[Any]()
    items: list[WorkflowProgress] = []
    Stream.of(subject).pipe(workflow_progress()).subscribe(items.append, scheduler=scheduler)
    for event in RUN:
        scheduler.advance_by(0.5)
        subject.on_next(event)
    scheduler.advance_by(1)
    subject.on_completed()
    assert [now.elapsed for now in items] == [0.5, 1.5, 2.0, 2.5, 3.0, 4.0, 4.5, 5.0, 7.0]
    assert items[2].running[1].since == 2.0


def test_the_workflow_shows_in_one_line() -> None:
    after = told(workflow_progress(scheduler=TestScheduler()), *RUN)
    assert str(after[2]) == "step 1, 0 of 2 tools (0%), running: search, search, 0.0 s"
    assert str(after[6]) == "step 2, 2 of 3 tools (67%), running: report, 0.0 s"
    assert str(after[-1]) == "0.0 s, 2 steps, 3 of 3 tools (100%), tools used: search, report"
    assert str(told(workflow_progress(scheduler=TestScheduler()))[-1]).startswith("not finished")


def test_a_workflow_that_fails_is_told_once_more_before_the_error() -> None:
    def see(now: WorkflowProgress) -> Any:
        return len(now.running), now.calls, now.done, now.finish_reason

    into = {"x": (1, 1, False, None), "y": (0, 1, True, None)}
    check(seen(workflow_progress(), see), "-C-#", "-x-(y#)", values=VALUES, into=into, error=ERROR)


async def test_a_subscriber_that_raised_is_told_nothing_more_but_its_error() -> None:
    seen: list[Any] = []

    def trip(item: Any) -> None:
        seen.append(item)
        raise ERROR

    Stream.from_iterable(RUN).pipe(workflow_progress()).subscribe(trip, seen.append)
    await settle()
    assert [type(item) for item in seen] == [WorkflowProgress, ZeroDivisionError]


@pytest.mark.parametrize(
    ("operator", "event", "place", "error"),
    [
        (tools_running(), call(), 2, None),
        (tool_order(), TextDelta(text="a"), 1, None),
        (workflow_progress(), call(), 2, None),
        (workflow_progress(), call(), 2, OSError("gone")),
    ],
)
async def test_a_subscriber_that_raises_at_the_last_item_gets_its_own_error(
    operator: Apply, event: Any, place: int, error: Exception | None
) -> None:
    seen: list[Any] = []
    ends: list[Any] = []

    def trip(item: Any) -> None:
        seen.append(item)
        if len(seen) == place:
            raise ERROR

    source = Source([event], error=error)
    source.stream.pipe(operator).subscribe(trip, ends.append, lambda: ends.append("completed"))
    await settle()
    assert (len(seen), ends, source.closed) == (place, [ERROR], 1)


def test_a_workflow_without_tools_is_whole_at_its_end() -> None:
    after = told(workflow_progress(), Start(), TextDelta(text="a"), Finish(reason="stop"))
    assert [(now.fraction, now.done) for now in after] == [(0.0, False), (1.0, True)]
    assert told(workflow_progress(), Start())[-1].fraction == 0.0


def test_a_workflow_that_begins_anew_counts_anew() -> None:
    again = [Retry(delay=0.0), Start(attempt=2), call("4", "search")]
    after = told(workflow_progress(), *RUN[:-1], *again)
    begins = after[-3]
    assert (begins.step, begins.steps, begins.calls, begins.completed) == (0, 1, 0, ())
    assert begins.failed == ()
    assert (after[-2].calls, after[-2].fraction) == (1, 0.0)
    step = told(workflow_progress(), *RUN[:9], Start(attempt=2, step=1))
    assert (step[-2].step, step[-2].steps, step[-2].calls) == (1, 2, 2)


def test_what_comes_between_answers_is_of_no_step() -> None:
    after = told(workflow_progress(), *RUN[:8], Retry(delay=0.0), Error(kind="x", message="m"))
    assert (after[-1].step, after[-1].steps) == (1, 2)
    assert told(workflow_progress(), "text", Retry(delay=1.0))[:-1] == []


def test_each_subscription_counts_for_itself() -> None:
    for operator, count in ((tools_running(), 6), (tool_order(), 3), (workflow_progress(), 9)):
        stream: Stream[Any] = Stream.of(rx.from_iterable(RUN)).pipe(operator)
        assert len(stream.to_list().run()) == len(stream.to_list().run()) == count


async def test_a_real_run_is_seen_by_all_three() -> None:
    @tool
    async def look(city: str) -> str:
        "Look."
        return f"sun in {city}"

    def script(asked: Asked) -> Answer:
        if asked.tool_results:
            return Answer("Done.")
        made = [call("", "look", arguments={"city": c}) for c in ("Oslo", "Rome")]
        return Answer("Let me see.", tool_calls=made)

    async with Simulator(script) as simulator:
        model = connect("anthropic_messages:m", base_url=simulator.url)
        run = model.stream_text("Weather?", tools=[look])
        running = await run.pipe(tools_running()).to_list()
        assert await run.pipe(tool_order()) == ("look", "look")
        last = await run.pipe(workflow_progress())
    assert len(running) == 4
    assert sorted(one.arguments["city"] for one in running[1]) == ["Oslo", "Rome"]
    assert running[-1] == ()
    assert (last.steps, last.calls, last.tools_used, last.finish_reason) == (
        2,
        2,
        ("look",),
        "stop",
    )
