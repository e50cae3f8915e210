import functools
from typing import Any

import pytest

from gai_rx import ReasoningDelta, Start, TextDelta, ToolCall, Usage
from gai_rx.operators import only, text_only, where, without
from tests.operators.marbles import EVENTS, check, diagram
from tests.operators.sources import Source

ERROR = ZeroDivisionError("mine")


def odd(n: int) -> bool:
    return n % 2 == 1


def below(limit: int) -> Any:
    return lambda n: n < limit


def test_text_only_passes_the_text_of_text_deltas() -> None:
    check(text_only(), *diagram(text_only), values=EVENTS, into={"a": "a", "b": "b"})


def test_text_only_passes_the_first_choice_alone() -> None:
    two = {"a": TextDelta(text="a"), "b": TextDelta(text="b", choice=1)}
    check(text_only(), "-a-b-a-|", "-a---a-|", values=two, into={"a": "a"})


def test_only_passes_the_kinds_that_were_named() -> None:
    check(only(ToolCall), *diagram(only), values=EVENTS)
    check(only(TextDelta, Usage), "-S-a-r-U-F|", "---a---U--|", values=EVENTS)


def test_without_passes_everything_else() -> None:
    check(without(Start), *diagram(without), values=EVENTS)
    check(without(Start, ReasoningDelta), "-S-a-r-b-F|", "---a---b-F|", values=EVENTS)


def test_where_passes_items_for_which_all_predicates_hold() -> None:
    check(where(odd, below(3)), *diagram(where))
    check(where(odd), "-1-2-3-4-|", "-1---3---|")


def test_where_tries_no_predicate_after_one_that_fails() -> None:
    tried: list[int] = []

    def seen(n: int) -> bool:
        tried.append(n)
        return True

    check(where(odd, seen), "-1-2-3-|", "-1---3-|")
    assert tried == [1, 3]


@pytest.mark.parametrize("before", [(), (bool,)], ids=["alone", "second"])
def test_a_predicate_that_raises_ends_the_stream_with_its_error(before: tuple[Any, ...]) -> None:
    def holds(n: int) -> bool:
        if n == 2:
            raise ERROR
        return True

    check(where(*before, holds), "-1-2-3-|", "-1-#", error=ERROR)


async def test_a_predicate_that_raises_closes_the_source() -> None:
    def holds(_: int) -> bool:
        raise ERROR

    source = Source(endless=True)
    with pytest.raises(ZeroDivisionError):
        await source.stream.pipe(where(holds)).to_list()
    assert source.closed == 1


@pytest.mark.parametrize(
    "operator", [text_only(), only(TextDelta), without(Start), where(lambda _: True)]
)
def test_an_error_passes_unchanged(operator: Any) -> None:
    check(operator, "---#", "---#", error=ERROR)


@pytest.mark.parametrize("operator", [only, without])
@pytest.mark.parametrize("wrong", [(), ("text_delta",), (int,), (TextDelta(text="a"),)])
def test_what_is_no_event_class_is_refused_at_once(operator: Any, wrong: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match="event class"):
        operator(*wrong)


def test_where_without_a_predicate_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="at least one"):
        where()


def test_filters_show_what_they_let_pass() -> None:
    stream = Source().stream.pipe(
        only(TextDelta, Usage), without(Start), where(odd, functools.partial(odd)), text_only()
    )
    assert repr(stream) == (
        "Stream(source | only(TextDelta, Usage) | without(Start) | where(odd, partial) "
        "| text_only())"
    )
