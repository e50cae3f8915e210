"""Characters that a provider cut in two: they leave whole, or as U+FFFD, never as halves."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gai_rx.dialects.surrogates import Mender, whole_text
from gai_rx.events import Finish, Raw, ReasoningDelta, RefusalDelta, StreamEvent, Usage
from gai_rx.unvalidated import reasoning_delta, text_delta, tool_call_delta, trusted

HIGH, LOW, WHOLE, LOST = "\ud83d", "\ude00", "\U0001f600", "\ufffd"


def mend(events: Sequence[StreamEvent], *, last: bool = True) -> list[StreamEvent]:
    return Mender().mend(events, last=last)


def texts(events: Sequence[StreamEvent]) -> list[Any]:
    return [getattr(e, "text", getattr(e, "arguments", type(e).__name__)) for e in events]


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("", ""),
        ("plain \U0001f600", "plain \U0001f600"),
        (HIGH + LOW, WHOLE),
        ("a" + HIGH + LOW + "b" + HIGH, "a" + WHOLE + "b" + LOST),
        (LOW + "b", LOST + "b"),
        (HIGH + "b", LOST + "b"),
        (LOW + HIGH, LOST + LOST),
        (HIGH + HIGH + LOW, LOST + WHOLE),
        ("\ufeff" + HIGH, "\ufeff" + LOST),
    ],
)
def test_halves_are_joined_or_replaced(text: str, whole: str) -> None:
    assert whole_text(text) == whole


@pytest.mark.parametrize(
    ("pieces", "mended"),
    [
        (["a" + HIGH, LOW + "b"], ["a", WHOLE + "b"]),
        ([HIGH, LOW], [WHOLE]),
        (["a" + HIGH, LOW + "b" + HIGH, LOW], ["a", WHOLE + "b", WHOLE]),
        (["a" + HIGH, "b"], ["a", LOST + "b"]),
        (["a", LOW + "b"], ["a", LOST + "b"]),
        (["a" + HIGH, HIGH + "b"], ["a", LOST + LOST + "b"]),
        (["a" + HIGH], ["a", LOST]),
        ([HIGH, HIGH, LOW], [LOST, WHOLE]),
        (["plain"], ["plain"]),
    ],
)
def test_a_delta_that_ends_in_half_a_character_gives_it_to_the_next(
    pieces: list[str], mended: list[str]
) -> None:
    events = [text_delta(p) for p in pieces]
    assert texts(mend(events)) == mended
    mender = Mender()
    one_by_one = [m for e in events for m in mender.mend([e], last=False)]
    assert texts([*one_by_one, *mender.mend([], last=True)]) == mended


def test_a_delta_without_halves_is_passed_on_as_it_is() -> None:
    event = text_delta("plain")
    assert mend([event])[0] is event


def test_each_kind_of_delta_is_mended() -> None:
    kinds: list[tuple[StreamEvent, StreamEvent]] = [
        (text_delta(HIGH), text_delta(LOW)),
        (reasoning_delta(HIGH), reasoning_delta(LOW)),
        (_refusal(HIGH), _refusal(LOW)),
        (tool_call_delta("id", "f", HIGH, 0), tool_call_delta("id", "f", LOW, 0)),
    ]
    for pair in kinds:
        mended = mend(pair)
        assert texts(mended) == [WHOLE]
        assert type(mended[0]) is type(pair[0])


def _refusal(text: str) -> RefusalDelta:
    values = RefusalDelta(text="").model_dump()
    return trusted(RefusalDelta, {**values, "text": text}, {"text"})


def test_blocks_choices_calls_and_kinds_keep_their_halves_apart() -> None:
    apart = [
        text_delta(HIGH),
        text_delta(HIGH, 1),
        text_delta(HIGH, 0, 1),
        reasoning_delta(HIGH),
        tool_call_delta("a", "f", HIGH, 0),
        tool_call_delta("b", "f", HIGH, 1),
    ]
    other_halves = [
        text_delta(LOW),
        text_delta(LOW, 1),
        text_delta(LOW, 0, 1),
        reasoning_delta(LOW),
        tool_call_delta("a", "f", LOW, 0),
        tool_call_delta("b", "f", LOW, 1),
    ]
    assert texts(mend([*apart, *other_halves])) == [WHOLE] * 6


def test_another_event_ends_the_wait_for_the_other_half() -> None:
    usage = Usage(input_tokens=1)
    mended = mend([text_delta("a" + HIGH), usage, text_delta(LOW + "b")])
    assert texts(mended) == ["a", LOST, "Usage", LOST + "b"]


def test_the_raw_record_of_the_next_delta_does_not_end_the_wait() -> None:
    mended = mend([text_delta("a" + HIGH), Raw(record=1), text_delta(LOW)])
    assert texts(mended) == ["a", "Raw", WHOLE]


def test_a_half_is_lost_before_the_finish_not_after_it() -> None:
    assert texts(mend([text_delta("a" + HIGH), Finish(reason="stop")])) == ["a", LOST, "Finish"]
    mender = Mender()
    assert texts(mender.mend([text_delta(HIGH)], last=False)) == []
    assert texts(mender.mend([Finish(reason="stop")], last=True)) == [LOST, "Finish"]
    assert mender.mend([], last=True) == []


def test_a_half_that_waits_comes_out_when_the_stream_ends_early() -> None:
    mender = Mender()
    assert mender.mend([text_delta(HIGH)], last=False) == []
    assert texts(mender.mend([], last=True)) == [LOST]


def test_a_signature_is_not_lost_with_the_text_beside_it() -> None:
    first, second = mend([reasoning_delta(HIGH, signature="s"), reasoning_delta(LOW)])
    assert isinstance(first, ReasoningDelta)
    assert (first.text, first.signature) == ("", "s")
    assert texts([second]) == [WHOLE]
    (sealed, _) = mend([reasoning_delta(HIGH, encrypted="e")])
    assert isinstance(sealed, ReasoningDelta)
    assert sealed.encrypted == "e"


@given(st.lists(st.text(st.sampled_from(["a", HIGH, LOW, WHOLE]), min_size=1), max_size=8))
def test_whatever_the_pieces_all_text_comes_out_whole(pieces: list[str]) -> None:
    mended = mend([text_delta(p) for p in pieces])
    assert "".join(texts(mended)) == whole_text("".join(pieces))
    assert all(texts(mended))


def test_a_raw_record_has_whole_characters_too() -> None:
    lone = {"text": ["\ud83d", {"delta": "a\udc00"}, 7]}
    [event] = Mender().mend([Raw(record=lone)], last=False)
    assert event == Raw(record={"text": ["\ufffd", {"delta": "a\ufffd"}, 7]})
    event.model_dump_json().encode()
