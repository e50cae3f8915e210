import functools
from typing import Any, assert_type

import pytest

from gai_rx import (
    Finish,
    ReasoningDelta,
    Start,
    Stream,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from gai_rx.operators import collect, only, text_only, where, without
from gai_rx.operators.filtering import choice, reasoning_only
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


def test_reasoning_only_passes_the_text_of_the_first_choices_reasoning() -> None:
    check(reasoning_only(), *diagram(reasoning_only), values=EVENTS, into={"r": "r"})
    given = {
        "q": ReasoningDelta(text="q"),
        "x": ReasoningDelta(text="x", choice=1),
        "e": ReasoningDelta(encrypted="opaque"),
    }
    check(reasoning_only(), "-q-x-e-q-|", "-q-----q-|", values=given, into={"q": "q"})


def test_choice_passes_one_of_several_answers_and_what_belongs_to_none() -> None:
    given = {**EVENTS, "x": TextDelta(text="x", choice=1), "y": ReasoningDelta(text="y", choice=1)}
    check(choice(0), *diagram(choice), values=given)
    first = {**given, "x": TextDelta(text="x"), "y": ReasoningDelta(text="y")}
    check(choice(1), "-S-a-x-y-C-F-|", "-S---x-y-C-F-|", values=given, into=first)
    check(choice(2), "-S-a-x-y-C-F-|", "-S-------C-F-|", values=given)


async def test_a_choice_is_all_there_is_to_what_is_below() -> None:
    first = TextDelta(text="a", block=2, signature="s", stream_id="i", metadata={"k": 1})
    second = first.model_copy(update={"text": "b", "choice": 1})
    source = Source([first, second, Finish(reason="stop")], of_events=True).stream
    assert await source.pipe(choice(1), text_only()).to_list() == ["b"]
    assert (await source.pipe(choice(1), collect())).text == "b"
    passed, _ = await source.pipe(choice(1)).to_list()
    assert passed == first.model_copy(update={"text": "b"})
    assert passed.model_fields_set == second.model_fields_set
    assert second.choice == 1


async def test_choice_zero_passes_the_events_themselves() -> None:
    delta = TextDelta(text="a")
    assert await Source([delta]).stream.pipe(choice(0)) is delta


@pytest.mark.parametrize("wrong", [-1, 1.0, "1", None, True])
def test_a_choice_that_is_no_number_from_zero_on_is_refused_at_once(wrong: Any) -> None:
    with pytest.raises(ValueError, match="counts from 0"):
        choice(wrong)


def test_classes_are_matched_as_isinstance_does() -> None:
    class Own(TextDelta):
        pass

    given = {"a": TextDelta(text="a"), "o": Own(text="o"), "C": EVENTS["C"], "n": 5}
    check(only(TextDelta), "-a-o-C-n-a-|", "-a-o-----a-|", values=given)
    check(without(TextDelta), "-a-o-C-n-a-|", "-----C-n---|", values=given)
    check(only(StreamEvent), "-a-o-C-n-|", "-a-o-C---|", values=given)
    check(only(ToolCall, ToolCallDelta), "-a-o-C-n-|", "-----C---|", values=given)


def test_filters_of_events_leave_a_stream_of_events() -> None:
    source = Source(of_events=True).stream
    for operator in (only(TextDelta), without(Start), where(odd), choice(1)):
        assert source.pipe(operator).of_events
    for texts in (text_only(), reasoning_only()):
        assert not source.pipe(texts).of_events


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
    "operator",
    [
        text_only(),
        reasoning_only(),
        choice(1),
        only(TextDelta),
        without(Start),
        where(lambda _: True),
    ],
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
    with pytest.raises(TypeError, match="got 5"):
        where(odd, 5)  # type: ignore[arg-type]  # that is the point


def test_filters_show_what_they_let_pass() -> None:
    stream = Source().stream.pipe(
        only(TextDelta, Usage), without(Start), where(odd, functools.partial(odd)), text_only()
    )
    assert repr(stream) == (
        "Stream(source | only(TextDelta, Usage) | without(Start) | where(odd, partial) "
        "| text_only())"
    )
    assert repr(Source().stream.pipe(choice(2))) == "Stream(source | choice(2))"
    assert repr(Source().stream.pipe(reasoning_only())) == "Stream(source | reasoning_only())"


async def test_a_lambda_needs_no_types_to_keep_the_streams() -> None:
    kept = Source([EVENTS["a"], EVENTS["F"]]).stream.pipe(
        only(TextDelta), where(lambda delta: len(delta.text) == 1)
    )
    assert_type(kept, Stream[TextDelta])
    assert await kept.to_list() == [EVENTS["a"]]
