"""Records that are cut out instead of decoded: never another text than decoding gives."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gai_rx.dialects.likeness import Likeness
from gai_rx.dialects.openai_chat import ChatDecoder
from gai_rx.events import Start, StreamEvent, TextDelta


def record(text: str, *, ascii_only: bool = False, **rest: object) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return json.dumps({"id": "c1", "choices": [choice], **rest}, ensure_ascii=ascii_only).encode()


def learnt(text: str = "word") -> Likeness:
    likeness = Likeness()
    likeness.learn(record(text), [TextDelta(text=text)])
    return likeness


@pytest.mark.parametrize("text", ["other", " and", "é", "你好", "🦆", "1", "a b", "{}", ",", ":"])
def test_a_record_like_the_last_is_cut(text: str) -> None:
    assert learnt().text(record(text)) == text


@pytest.mark.parametrize("text", ["", '"', "\\", "\n", "\u2028", '","x":"', "a\x7f"])
def test_a_text_that_may_not_be_what_it_seems_is_decoded(text: str) -> None:
    assert learnt().text(record(text)) is None


def test_bytes_that_are_no_text_are_decoded() -> None:
    assert learnt().text(record("x").replace(b'"x"', b'"\xff"')) is None


@pytest.mark.parametrize("other", [record("x", usage=1), record("x")[:-1], b"{}", b""])
def test_another_record_is_decoded(other: bytes) -> None:
    assert learnt().text(other) is None


def test_nothing_is_cut_before_something_is_learnt() -> None:
    assert Likeness().text(record("x")) is None


@pytest.mark.parametrize(
    "text",
    [" ", ",", "c1", "index", '"'],
)
def test_a_text_that_could_stand_elsewhere_teaches_nothing(text: str) -> None:
    assert learnt(text).text(record("x")) is None


def test_an_escape_anywhere_teaches_nothing() -> None:
    likeness = Likeness()
    likeness.learn(record("word", note="\n"), [TextDelta(text="word")])
    assert likeness.text(record("x", note="\n")) is None


@pytest.mark.parametrize(
    "events",
    [
        [],
        [Start()],
        [TextDelta(text="a"), TextDelta(text="b")],
        [TextDelta(text="word", signature="s")],
        [TextDelta(text="\n", block=1)],
    ],
)
def test_any_other_record_ends_the_likeness(events: list[StreamEvent]) -> None:
    likeness = learnt()
    likeness.learn(b"{}", events)
    assert likeness.text(record("x")) is None


def test_a_text_that_had_to_be_decoded_does_not() -> None:
    likeness = learnt()
    likeness.learn(record("\n"), [TextDelta(text="\n")])
    assert likeness.text(record("x")) == "x"


def test_an_answer_that_never_repeats_itself_is_given_up() -> None:
    likeness = Likeness()
    for number in range(20):
        likeness.learn(record("word", n=number), [TextDelta(text="word")])
    assert likeness.text(record("x", n=19)) is None


def test_choices_are_not_confused() -> None:
    likeness = learnt()
    likeness.learn(record("word", choice=1), [TextDelta(text="word", choice=1)])
    assert likeness.text(record("x")) is None
    assert (likeness.text(record("x", choice=1)), likeness.choice) == ("x", 1)


def counted(text: str, tokens: object, **rest: object) -> bytes:
    return json.dumps({"text": text, "of": 1, "usage": {"n": tokens}, **rest}).encode()


def learnt_with_counts() -> Likeness:
    likeness = Likeness(b'"usage"')
    likeness.learn(counted("word", 12), [TextDelta(text="word")])
    return likeness


@pytest.mark.parametrize("tokens", [12, 13, 99, 10])
def test_records_may_differ_in_their_counts(tokens: int) -> None:
    assert learnt_with_counts().text(counted("x", tokens)) == "x"


@pytest.mark.parametrize(
    "other",
    [
        counted("x", 123),
        counted("x", None),
        counted("x", 12, more=1),
        counted("x", 12).replace(b'"of": 1', b'"of": 2'),
        counted("x", 12).replace(b'"of": 1', b'"of": 11'),
    ],
)
def test_records_that_differ_in_more_are_decoded(other: bytes) -> None:
    assert learnt_with_counts().text(other) is None


def test_the_counts_of_the_last_record_are_kept_to_be_read() -> None:
    likeness = learnt_with_counts()
    likeness.text(counted("x", 34))
    assert likeness.last == counted("x", 34)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), max_size=8))
def test_the_answer_is_the_same_with_and_without(texts: list[str]) -> None:
    body = b"".join(b"data: " + record(t) + b"\n\n" for t in ["one", *texts])

    class Plain(ChatDecoder):
        text_changes_nothing = False

    assert ChatDecoder().feed(body) == Plain().feed(body)
