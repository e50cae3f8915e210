"""A tool call from its first fragment to the one event that closes it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gai_rx.dialects.tool_calls import OpenCall
from gai_rx.events import ToolCall, parse_event


def call_with(*fragments: Any, name: str = "f") -> ToolCall:
    call = OpenCall(0, "id", name)
    for fragment in fragments:
        call.add(fragment)
    return call.close()


def test_fragments_are_told_as_they_come_and_parsed_once_at_the_end() -> None:
    call = OpenCall(1, "id", "f")
    deltas = [call.add(f) for f in ('{"a"', ": [1", ", 2]}")]
    assert [(d.id, d.name, d.index, d.arguments) for d in deltas if d] == [
        ("id", "f", 1, '{"a"'),
        ("id", "f", 1, ": [1"),
        ("id", "f", 1, ", 2]}"),
    ]
    assert call.text == '{"a": [1, 2]}'
    assert call.close() == ToolCall(
        id="id", name="f", arguments={"a": [1, 2]}, arguments_text='{"a": [1, 2]}'
    )


@pytest.mark.parametrize("fragment", ["", None])
def test_an_empty_fragment_is_not_told(fragment: Any) -> None:
    assert OpenCall(0, "id", "f").add(fragment) is None


@pytest.mark.parametrize("fragment", [[], ["a"], 0, 5, False])
def test_arguments_that_are_another_value_make_the_call_invalid(fragment: Any) -> None:
    closed = call_with(fragment)
    assert closed.invalid is not None
    assert "no JSON object" in closed.invalid
    assert closed.arguments == {}


@pytest.mark.parametrize("text", ["", " ", "null", " null ", "{}"])
def test_a_call_without_arguments_is_a_call_with_none(text: str) -> None:
    closed = call_with(text)
    assert closed.arguments == {}
    assert closed.invalid is None


def test_a_whole_object_is_taken_as_it_is() -> None:
    closed = call_with({"city": "Zürich", "days": 2})
    assert closed.arguments == {"city": "Zürich", "days": 2}
    assert closed.arguments_text == '{"city": "Zürich", "days": 2}'


def test_an_object_after_text_counts_as_text() -> None:
    assert call_with(" ", {"a": 1}).arguments == {"a": 1}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a": ', "no JSON"),
        ('{"a": 1}{"a": 1}', "sent twice"),
        ('{"a": 1}{"a": 2}', "no JSON"),
        ('{"a": 1}x', "no JSON"),
        ("[1]", "no JSON object but list"),
        ('"text"', "no JSON object but str"),
        ("[" * 99_999, "no JSON"),
    ],
)
def test_arguments_that_can_not_be_used_make_an_invalid_call_not_an_exception(
    text: str, why: str
) -> None:
    closed = call_with(text)
    assert closed.invalid is not None
    assert why in closed.invalid
    assert closed.arguments == {}
    assert closed.arguments_text == text


def test_the_first_id_and_name_stay() -> None:
    call = OpenCall(0)
    call.identify(None, None)
    call.identify(7, ["f"])
    call.identify("a", "f")
    call.identify("b", "g")
    assert (call.id, call.name) == ("a", "f")


def test_an_empty_id_or_name_is_none() -> None:
    call = OpenCall(0, "", "")
    call.identify("a", "f")
    assert (call.id, call.name) == ("a", "f")


def test_a_call_that_the_provider_does_not_name_gets_a_spare_id_that_stays() -> None:
    call = OpenCall(2, None, "f", "run7_call_2")
    delta = call.add("{}")
    assert delta is not None
    assert delta.id == "run7_call_2"
    call.identify("too late")
    assert call.close().id == "run7_call_2"
    assert OpenCall(3).ensure_id() == "call_3"


def test_a_call_without_a_name_is_invalid() -> None:
    assert call_with("{}", name="").invalid == "the call names no tool"


def test_a_cut_call_is_invalid_even_if_its_arguments_parse() -> None:
    call = OpenCall(0, "id", "f")
    call.add('{"a": 1}')
    closed = call.close("the answer was cut")
    assert closed.invalid == "the answer was cut"
    assert closed.arguments == {}
    assert closed.arguments_text == '{"a": 1}'


def test_the_whole_arguments_at_the_end_replace_the_fragments() -> None:
    call = OpenCall(0, "id", "f")
    call.add({"a": 1})
    call.replace('{"a": 2}')
    assert call.close().arguments == {"a": 2}


def test_signature_and_who_runs_it_go_along() -> None:
    call = OpenCall(0, "id", "f")
    call.signature, call.provider_executed = "s", True
    closed = call.close()
    assert (closed.signature, closed.provider_executed) == ("s", True)


def test_a_character_that_was_cut_in_two_is_whole_in_the_arguments() -> None:
    closed = call_with('{"a": "\ud83d', '\ude00"}')
    assert closed.arguments == {"a": "\U0001f600"}
    assert closed.arguments_text == '{"a": "\U0001f600"}'


def test_half_a_character_in_an_object_is_replaced() -> None:
    assert call_with({"text": "a\ud83d"}).arguments == {"text": "a\ufffd"}


_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.lists(st.text(st.characters(codec=None)) | st.dictionaries(st.text(), _JSON), max_size=3))
def test_whatever_comes_the_call_can_be_closed_and_survives_json(fragments: list[Any]) -> None:
    closed = call_with(*fragments)
    assert parse_event(closed.model_dump_json()) == closed
