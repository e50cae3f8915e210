"""When a run of several steps has done enough."""

import re
from typing import Any

import pytest

from gai_rx import ToolCall, ToolResult, Usage
from gai_rx.result import Step
from gai_rx.stopping import (
    RunState,
    Stop,
    StopCondition,
    all_of,
    any_of,
    max_steps,
    no_more_tools,
    until_cost,
    until_elapsed,
    until_error_rate,
    until_result,
    until_text,
    until_tokens,
    until_tool_seen,
    until_tools_in_order,
)


def after(*steps: Step, elapsed: float = 0.0) -> RunState:
    numbered = tuple(s.model_copy(update={"number": n}) for n, s in enumerate(steps))
    return RunState(steps=numbered, elapsed=elapsed)


def called(*names: str, by_provider: bool = False) -> Step:
    calls = (ToolCall(id=n, name=n, provider_executed=by_provider) for n in names)
    return Step(tool_calls=tuple(calls))


def used(**counts: int) -> Step:
    return Step(usage=Usage(**counts))  # type: ignore[arg-type]  # counts only


def came_to(*results: Any, name: str = "f") -> Step:
    """A step with these results; an exception is an error."""
    made = (
        ToolResult(id=str(n), name=name, error=str(r))
        if isinstance(r, Exception)
        else ToolResult(id=str(n), name=name, result=r)
        for n, r in enumerate(results)
    )
    return Step(tool_results=tuple(made))


def price(used: Usage) -> float:
    return 2.0 * (used.cached_input_tokens or 0)


BAD = ValueError("no such city")


@pytest.mark.parametrize(
    ("stop", "enough", "not_yet"),
    [
        (max_steps(2), after(Step(), Step()), after(Step())),
        (until_tool_seen("f"), after(called("g", "f"), Step()), after(called("g"))),
        (no_more_tools(), after(called("f"), Step()), after(called("f"))),
        (no_more_tools(), after(called("f", by_provider=True)), after()),
        (until_text(r"\bDONE\b"), after(Step(text="All DONE.")), after(Step(text="DONEness"))),
        (until_text(re.compile("a.c")), after(Step(text="abc")), after(Step(text="ab"))),
        (until_text("yes"), after(Step(), Step(text="yes")), after(Step(text="yes"), Step())),
        (until_elapsed(2.0), after(elapsed=2.0), after(elapsed=1.9)),
        (until_tokens(10), after(used(total_tokens=6), used(total_tokens=4)), after(Step())),
        (
            until_tokens(5),
            after(used(input_tokens=2, output_tokens=3)),
            after(used(input_tokens=4)),
        ),
        (
            until_cost(1.0, input=2.0, output=10.0),
            after(used(input_tokens=250_000), Step(), used(output_tokens=50_000)),
            after(used(input_tokens=250_000, output_tokens=49_999)),
        ),
        (
            until_cost(4, price),
            after(used(cached_input_tokens=1), used(cached_input_tokens=1)),
            after(used(cached_input_tokens=1, input_tokens=9_999_999)),
        ),
        (
            until_tools_in_order("f", "g"),
            after(called("f", "x"), called("y"), called("g")),
            after(called("g"), called("f")),
        ),
        (until_tools_in_order("f", "f"), after(called("f", "f")), after(called("f", "g"))),
        (until_result("paid"), after(came_to(3, "It is paid."), Step()), after(came_to("unpai"))),
        (until_result(r'"n": 3\b'), after(came_to({"n": 3})), after(came_to({"n": 33}))),
        (until_result(re.compile("é")), after(came_to(["é"])), after(came_to(None, "e"))),
        (until_result("no such"), after(came_to("no such")), after(came_to(BAD))),
        (
            until_result(lambda found: found > 2, tool="count"),
            after(came_to("x"), came_to(1, 3, name="count")),
            after(came_to("x"), came_to(1, BAD, name="count")),
        ),
        (
            until_error_rate(0.5, last=4),
            after(came_to(1, 2, 3), came_to(BAD), came_to(4, BAD)),
            after(came_to(BAD, BAD, 1), came_to(2, 3, BAD)),
        ),
        (until_error_rate(0.5, last=4), after(came_to(1, 1, BAD, BAD)), after(came_to(BAD, BAD))),
        (until_error_rate(1.0, last=2), after(came_to(1, BAD, BAD)), after(came_to(BAD))),
        (until_error_rate(0.07, last=100), after(came_to(*[1] * 93, *[BAD] * 7)), after()),
    ],
)
def test_each_condition_knows_when_it_is_enough(
    stop: StopCondition, enough: RunState, not_yet: RunState
) -> None:
    assert stop(enough) is True
    assert stop(not_yet) is False


def yes(run: RunState) -> bool:
    return True


def no(run: RunState) -> bool:
    return False


@pytest.mark.parametrize(
    ("stop", "met"),
    [
        (any_of(no, yes), True),
        (any_of(no, no), False),
        (all_of(yes, no), False),
        (all_of(yes, yes), True),
        (max_steps(9) | yes, True),
        (no | ~max_steps(9), True),
        (yes & until_elapsed(1.0), False),
        (until_elapsed(1.0) & yes, False),
        (~(max_steps(9) | no), True),
    ],
)
def test_conditions_and_plain_functions_combine(stop: StopCondition, met: bool) -> None:
    assert stop(after(Step())) is met


def test_a_combination_shows_what_it_is_made_of() -> None:
    either = max_steps(15) | until_tool_seen("send_email")
    assert repr(either) == "max_steps(15) | until_tool_seen('send_email')"
    assert repr(~either & no) == "~(max_steps(15) | until_tool_seen('send_email')) & no"
    assert repr(all_of(either, until_tokens(5))) == (
        "(max_steps(15) | until_tool_seen('send_email')) & until_tokens(5)"
    )
    assert repr(~no_more_tools() & no & yes | no) == "~no_more_tools() & no & yes | no"
    assert repr(until_text("a+")) == "until_text('a+')"
    assert repr(until_cost(0.5, input=3, output=15)) == "until_cost(0.5, input=3, output=15)"
    assert repr(until_cost(2, price)) == "until_cost(2, price)"
    assert repr(until_tools_in_order("f", "g")) == "until_tools_in_order('f', 'g')"
    assert repr(until_result("a+", tool="f")) == "until_result('a+', tool='f')"
    assert repr(until_result(bool)) == "until_result(bool)"
    assert repr(until_error_rate(0.5)) == "until_error_rate(0.5, last=10)"
    assert repr(no_more_tools() | until_elapsed(1.5)) == "no_more_tools() | until_elapsed(1.5)"


def test_later_conditions_are_not_asked_once_it_is_decided() -> None:
    asked: list[str] = []

    def noted(run: RunState) -> bool:
        asked.append("asked")
        return True

    assert any_of(yes, noted)(after())
    assert not all_of(no, noted)(after())
    assert asked == []


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: max_steps(0), ValueError, "at least 1, got 0"),
        (lambda: until_tokens(0), ValueError, "at least 1, got 0"),
        (lambda: until_elapsed(0.0), ValueError, "above 0, got 0.0"),
        (lambda: until_elapsed(float("nan")), ValueError, "above 0, got nan"),
        (lambda: until_tool_seen(""), ValueError, "needs the tool's name"),
        (lambda: until_text("("), re.error, "unterminated subpattern"),
        (lambda: until_text(None), TypeError, "needs a pattern, got NoneType"),  # type: ignore[arg-type]
        (lambda: until_result("("), re.error, "unterminated subpattern"),
        (lambda: until_result(3), TypeError, r"until_result\(\) needs a pattern, got int"),  # type: ignore[arg-type]
        (lambda: until_result("x", tool=""), ValueError, "needs the tool's name"),
        (lambda: until_tools_in_order(), ValueError, r"the names of tools, got \(\)"),
        (lambda: until_tools_in_order("f", ""), ValueError, "got \\('f', ''\\)"),
        (lambda: until_error_rate(0), ValueError, "at most 1, got 0"),
        (lambda: until_error_rate(1.1), ValueError, "at most 1, got 1.1"),
        (lambda: until_error_rate(0.5, last=0), ValueError, "at least 1, got 0"),
        (lambda: until_cost(0, price), ValueError, "above 0, got 0"),
        (lambda: until_cost(float("nan"), price), ValueError, "above 0, got nan"),
        (lambda: until_cost(1), ValueError, "needs the prices"),
        (lambda: until_cost(1, input=1), ValueError, "needs the prices"),
        (lambda: until_cost(1, price, input=1, output=1), ValueError, "needs the prices"),
        (lambda: until_cost(1, input=-1, output=1), ValueError, "prices from 0, got -1 and 1"),
        (lambda: any_of(), TypeError, "needs a condition"),
        (lambda: all_of(), TypeError, "needs a condition"),
        (lambda: any_of(3), TypeError, "a function of a RunState, got 3"),  # type: ignore[arg-type]
        (lambda: max_steps(1) | 3, TypeError, "a function of a RunState, got 3"),  # type: ignore[operator]
    ],
)
def test_what_is_no_condition_is_refused_at_once(
    make: Any, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        make()


def test_an_async_condition_is_refused_when_it_is_asked() -> None:
    async def later(run: RunState) -> bool:
        return True

    stop: Stop = later  # type: ignore[assignment]  # what a user may try
    with pytest.raises(TypeError, match="later is async"):
        any_of(stop)(after())


def test_an_async_test_of_a_result_is_refused_when_it_is_asked() -> None:
    async def later(result: Any) -> bool:
        return False

    with pytest.raises(TypeError, match=r"the function of until_result\(later\) is async"):
        until_result(later)(after(came_to(1)))  # type: ignore[arg-type]  # what a user may try
    with pytest.raises(TypeError, match=r"the price of until_cost\(1, later\) is async"):
        until_cost(1, later)(after(used(input_tokens=1)))  # type: ignore[arg-type]


def test_the_next_step_is_counted_from_the_last() -> None:
    assert after().next_number == 0
    assert after().last is None
    assert RunState(steps=(Step(number=7),)).next_number == 8
    assert max_steps(8)(RunState(steps=(Step(number=7),)))


def test_usage_adds_up_and_what_nobody_tells_stays_untold() -> None:
    one = Usage(input_tokens=1, total_tokens=3, metadata={"tier": "x"})
    two = Usage(input_tokens=2, output_tokens=0)
    assert one + two == Usage(input_tokens=3, output_tokens=0, total_tokens=3)
    assert Usage.added_up([None, one, None]) is one
    assert Usage.added_up([one, two, two]) == one + two + two
    assert Usage.added_up([None]) is None
    with pytest.raises(TypeError):
        one + 3  # type: ignore[operator]  # what a user may try
