"""The JSON of a record: what the fast decoder takes, what the slow one saves, what neither does."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gai_rx.errors import ProtocolError
from gai_rx.wire.json_text import decode_json

HIGH, LOW = "\ud83d", "\ude00"


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a": [1, 2.5, null, true]}', {"a": [1, 2.5, None, True]}),
        (b' "\\u00e9\\ud83d\\ude00" ', "\u00e9\U0001f600"),
        (b'{"a": 1, "a": 2}', {"a": 2}),
    ],
)
def test_proper_json_is_decoded_with_whole_characters(data: bytes, value: Any) -> None:
    assert decode_json(data) == (value, False)


def test_a_number_that_is_none_is_passed_on() -> None:
    value, _ = decode_json(b"[NaN, -Infinity]")
    assert value[0] != value[0]
    assert value[1] == float("-inf")


@pytest.mark.parametrize(
    "key",
    [
        "text",
        "content",
        "response",
        "thinking",
        "delta",
        "reasoning",
        "reasoning_content",
        "refusal",
        "arguments",
        "partial_json",
    ],
)
def test_half_a_character_is_kept_at_the_edge_of_text_that_goes_on(key: str) -> None:
    data = json.dumps({key: f"a{HIGH}"}).encode()
    assert decode_json(data) == ({key: f"a{HIGH}"}, True)
    data = json.dumps([{key: f"{LOW}b"}]).encode()
    assert decode_json(data) == ([{key: f"{LOW}b"}], True)


@pytest.mark.parametrize(
    ("value", "mended"),
    [
        ({"name": HIGH}, {"name": "\ufffd"}),
        ({HIGH: 1}, {"\ufffd": 1}),
        ([HIGH, 1], ["\ufffd", 1]),
        ({"text": f"a{HIGH}b"}, {"text": "a\ufffdb"}),
        ({"text": f"a{LOW}"}, {"text": "a\ufffd"}),
        ({"text": f"{HIGH}a"}, {"text": "\ufffda"}),
    ],
)
def test_half_a_character_anywhere_else_is_replaced(value: Any, mended: Any) -> None:
    assert decode_json(json.dumps(value).encode()) == (mended, False)


def test_both_edges_may_hold_halves() -> None:
    text = f"{LOW}a{LOW}b{HIGH}"
    value, split = decode_json(json.dumps({"text": text}).encode())
    assert value == {"text": f"{LOW}a\ufffdb{HIGH}"}
    assert split


def test_text_that_is_one_half_only_is_kept() -> None:
    assert decode_json(json.dumps({"text": HIGH}).encode()) == ({"text": HIGH}, True)
    assert decode_json(json.dumps({"text": LOW}).encode()) == ({"text": LOW}, True)


def test_bytes_that_are_no_utf_8_become_replacement_characters() -> None:
    assert decode_json(b'{"text": "a\xffb"}') == ({"text": "a\ufffdb"}, False)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"<html>",
        b'{"a": 1} x',
        b"\xff\xfe",
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
    ],
    ids=["nothing", "cut", "html", "junk", "bytes", "open bomb", "bomb"],
)
def test_what_is_no_json_is_a_protocol_error_that_shows_its_beginning(data: bytes) -> None:
    with pytest.raises(ProtocolError) as raised:
        decode_json(data)
    assert f"{len(data):,} bytes" in raised.value.message
    assert len(raised.value.message) < 400
    assert raised.value.phase == "decode"
    assert raised.value.__cause__ is not None


@pytest.mark.parametrize("depth", [150, 250, 400, 600, 900, 990, 2000])
def test_nesting_is_decoded_or_refused_but_never_overflows(depth: int) -> None:
    try:
        value, _ = decode_json(b"[" * depth + b"]" * depth)
    except ProtocolError:
        assert depth > 200
    else:
        assert isinstance(value, list)


_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(_JSON)
def test_all_json_is_decoded_and_only_edges_hold_halves(value: Any) -> None:
    decoded, split = decode_json(json.dumps(value).encode())
    if not split:
        json.dumps(decoded, ensure_ascii=False).encode()
