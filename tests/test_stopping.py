"""When a run of several steps has done enough."""

import re
from typing import Any

import pytest

from gai_rx import ToolCall, Usage
from gai_rx.result import Step
from gai_rx.stopping import (
    RunState,
    Stop,
    StopCondition,
    all_of,
    any_of,
    max_steps,
    no_more_tools,
    until_elapsed,
    until_text,
    until_tokens,
    until_tool_seen,
)


def after(*steps: Step, elapsed: float = 0.0) -> RunState:
    numbered = tuple(s.model_copy(update={"number": n}) for n, s in enumerate(steps))
    return RunState(steps=numbered, elapsed=elapsed)


def called(*names: str, by_provider: bool = False) -> Step:
    calls = (ToolCall(id=n, name=n, provider_executed=by_provider) for n in names)
    return Step(tool_calls=tuple(calls))


def used(**counts: int) -> Step:
    return Step(usage=Usage(**counts))  # type: ignore[arg-type]  # counts only


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


def test_the_next_step_is_counted_from_the_last() -> None:
    assert after().next_number == 0
    assert after().last is None
    assert RunState(steps=(Step(number=7),)).next_number == 8
    assert max_steps(8)(RunState(steps=(Step(number=7),)))
