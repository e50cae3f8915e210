"""Partial JSON: what a document says at every cut, in linear time, within limits."""

import copy
import json
import re
import time
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import jiter
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gai_rx.errors import ObjectInvalidError
from gai_rx.wire.partial_json import Found, PartialJson, parse_path

DOCUMENTS = [
    '{"name": "Ada", "age": 36, "tags": ["a", "b"], "score": 0.5, "ok": true, "none": null}',
    '[1, -2.5e3, "x", [], {}, [[["deep"]]], {"a": {"b": {"c": [false]}}}]',
    '{"s": "line\\nquote\\"back\\\\slash\\/\\b\\f\\r\\t\\u00e9\\uD83D\\uDE00 end", "t": "ïv 🦆"}',
    ' \n\t{ "a" : [ 1 , 2 ] ,\r\n  "b" : { } , "" : "" } \n ',
    '"a string alone"',
    "-12.5E+2",
    "  true ",
    "null",
    "0",
    "[]",
    "{}",
    "[123456789012345678901234567890, 1e999, -0, -0.0, 0.1, 1E-2, 12345.678e+05]",
    '{"long": "' + "lorem ipsum " * 20 + '", "list": [' + "1, " * 20 + "1]}",
    '["", "a", "\\"", "\\\\", "\\u0000", "\u2028\x7f"]',
]


def pieces_of(text: str, *cuts: int) -> list[str]:
    edges = [0, *sorted(cuts), len(text)]
    return [text[a:b] for a, b in pairwise(edges)]


def read(pieces: list[str], **options: Any) -> tuple[Any, list[Found]]:
    parser = PartialJson(**options)
    found = [each for piece in pieces for each in parser.feed(piece)]
    found += parser.close()
    assert parser.complete
    return parser.value, found


def feed_all(parser: PartialJson, pieces: list[str], found: list[Found]) -> None:
    for piece in pieces:
        found += parser.feed(piece)
    found += parser.close()


def refusal(pieces: list[str], **options: Any) -> tuple[str, list[Found]]:
    """The message with which the text is refused, and what was found before."""
    parser = PartialJson(**options)
    found: list[Found] = []
    with pytest.raises(ObjectInvalidError) as caught:
        feed_all(parser, pieces, found)
    with pytest.raises(ObjectInvalidError) as again:
        parser.feed("1")
    assert again.value is caught.value
    return str(caught.value), found


def after_each(text: str, **options: Any) -> list[Any]:
    """A copy of the value after each character."""
    parser = PartialJson(**options)
    values = []
    for char in text:
        parser.feed(char)
        values.append(copy.deepcopy(parser.value))
    parser.close()
    return [*values, parser.value]


def extends(before: Any, after: Any) -> bool:
    """Whether `after` only adds to `before`; the last of a container may itself have grown."""
    if isinstance(before, str):
        return isinstance(after, str) and after.startswith(before)
    if isinstance(before, list):
        if not isinstance(after, list) or len(after) < len(before):
            return False
        last = len(before) - 1
        return all(
            extends(a, b) if n == last else a == b
            for n, (a, b) in enumerate(zip(before, after, strict=False))
        )
    if isinstance(before, dict):
        keys = list(before)
        return (
            isinstance(after, dict)
            and list(after)[: len(keys)] == keys
            and all(before[k] == after[k] for k in keys[:-1])
            and all(extends(before[k], after[k]) for k in keys[-1:])
        )
    return before is None or (type(before) is type(after) and before == after)


# What the document says


@pytest.mark.parametrize("text", DOCUMENTS)
@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 1000])
def test_the_complete_value_is_that_of_json_loads(text: str, size: int) -> None:
    value, _ = read([text[at : at + size] for at in range(0, len(text), size)])
    assert repr(value) == repr(json.loads(text))


@pytest.mark.parametrize("text", DOCUMENTS)
def test_every_single_cut_gives_the_same_value_and_the_same_findings(text: str) -> None:
    value, found = read([text], watch=["$..*", "$"])
    expected = repr(value), [(str(f.watch), f.place, repr(f.value)) for f in found]
    for cut in range(len(text) + 1):
        value, found = read(pieces_of(text, cut), watch=["$..*", "$"])
        assert (repr(value), [(str(f.watch), f.place, repr(f.value)) for f in found]) == expected


@pytest.mark.parametrize("text", DOCUMENTS)
def test_each_prefix_is_only_extended_by_the_next(text: str) -> None:
    for before, after in pairwise(after_each(text)):
        assert extends(before, after), (before, after)


def test_a_string_shows_from_its_quote_and_the_rest_when_it_is_closed() -> None:
    seen = map(repr, after_each('{"a":"xy","b":12,"c":true}'))
    assert list(dict.fromkeys(seen)) == [
        "{}",
        "{'a': ''}",
        "{'a': 'x'}",
        "{'a': 'xy'}",
        "{'a': 'xy', 'b': 12}",
        "{'a': 'xy', 'b': 12, 'c': True}",
    ]


def test_open_numbers_and_literals_show_when_asked_for() -> None:
    parser = PartialJson(open_scalars=True)
    seen = []
    for char in '[-12.5e1, {"a": true, "b": nul':
        parser.feed(char)
        seen.append(repr(parser.value))
    assert list(dict.fromkeys(seen)) == [
        "[]",
        "[-1]",
        "[-12]",
        "[-12.5]",
        "[-125.0]",
        "[-125.0, {}]",
        "[-125.0, {'a': True}]",
        "[-125.0, {'a': True, 'b': None}]",
    ]


@pytest.mark.parametrize("text", DOCUMENTS)
def test_showing_open_scalars_changes_nothing_in_the_end(text: str) -> None:
    seen = after_each(text, open_scalars=True)
    assert repr(seen[-1]) == repr(json.loads(text))


def test_containers_stay_the_same_objects_while_they_grow() -> None:
    parser = PartialJson()
    parser.feed('{"a": [{"b": "x')
    root, inner = parser.value, parser.value["a"]
    parser.feed('y"}, 2')
    assert parser.value is root
    parser.feed("]}")
    assert parser.value is root
    assert root["a"] is inner
    assert root == {"a": [{"b": "xy"}, 2]}


def test_a_string_that_was_handed_out_does_not_change() -> None:
    parser = PartialJson()
    parser.feed('["ab')
    held = parser.value[0]
    parser.feed("cd")
    assert (held, parser.value) == ("ab", ["abcd"])


def test_the_last_of_equal_keys_wins() -> None:
    text = '{"a": [1], "b": 2, "a": "x"}'
    assert list(after_each(text)[-1].items()) == list(json.loads(text).items())


def test_nothing_has_been_said_yet() -> None:
    parser = PartialJson()
    assert (parser.value, parser.complete, parser.place) == (None, False, ())
    parser.feed(" ")
    assert (parser.value, parser.complete) == (None, False)


def test_the_place_is_that_of_the_innermost_open_value() -> None:
    parser = PartialJson()
    seen = []
    for piece in ('{"a', '": [', "1, ", '{"k":', ' "x', "y", '"', "}", "]", ', "b": 1', "}"):
        parser.feed(piece)
        seen.append(parser.place)
    inner = ("a", 1, "k")
    assert seen == [
        (), ("a",), ("a",), ("a", 1), inner, inner, ("a", 1), ("a",), (), ("b",), (),
    ]  # fmt: skip


def test_a_number_at_the_root_is_complete_when_the_text_ends() -> None:
    parser = PartialJson(watch=["$"])
    assert list(parser.feed("12")) == []
    assert not parser.complete
    assert list(parser.close()) == [Found(parse_path("$"), (), 12)]
    assert parser.complete
    assert parser.value == 12


# Halves of surrogate pairs


def whole(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [whole(each) for each in value]
    return {whole(k): whole(v) for k, v in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize(
    "text",
    [
        '["\\ud83d\\ude00"]',
        '["\\ud83d"]',
        '["\\ude00"]',
        '["\\ude00\\ud83d"]',
        '["\\ud83d\\ud83d\\ude00x"]',
        '["\\ud83dx\\ude00"]',
        '["\\ud83d\\n"]',
        '{"\\ud83d\\ude00": 1, "\\ud83d": 2}',
        '["\ud83d\ude00"]',
        '["\ud83d\\ude00", "\\ud83d\ude00", "\ud83d", "a"]',
    ],
)
def test_halves_are_joined_at_every_cut_and_lone_ones_replaced(text: str) -> None:
    expected = whole(json.loads(text))
    assert read(list(text))[0] == expected
    for cut in range(len(text)):
        assert read(pieces_of(text, cut))[0] == expected
    for before, after in pairwise(after_each(text)):
        assert extends(before, after)
        json.dumps(after, ensure_ascii=False).encode()


# Against a decoder that reads each prefix anew

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.sampled_from(['"', "\\", "\n", "🦆é", "\\u", "a" * 40])
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=16,
)
_STYLES = st.sampled_from(
    [
        {},
        {"indent": 2},
        {"separators": (",", ":")},
        {"ensure_ascii": False},
        {"indent": 1, "ensure_ascii": False},
    ]
)
_OPEN_STRING = re.compile(r'(?:[^"\\]|"(?:[^"\\]|\\.)*"|\\)*"(?:[^"\\]|\\.)*\\?', re.DOTALL)
_OPEN_SCALAR = re.compile(r"[-+.0-9a-zE]+\Z")


def without_open_scalar(prefix: str) -> str:
    """The prefix without a number or literal at its end that the next character may go on."""
    if _OPEN_STRING.fullmatch(prefix):
        return prefix
    last = _OPEN_SCALAR.search(prefix)
    if last is None or last[0] in ("true", "false", "null"):
        return prefix
    return prefix[: last.start()]


@given(_VALUES, _STYLES, st.data())
def test_any_prefix_says_what_a_decoder_says_that_reads_it_anew(
    document: Any, style: dict[str, Any], data: st.DataObject
) -> None:
    text = json.dumps(document, **style)
    parser = PartialJson()
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=12))
    fed = ""
    for piece in pieces_of(text, *cuts):
        parser.feed(piece)
        fed += piece
        anew = without_open_scalar(fed)
        if anew.strip(" \n"):
            expected = jiter.from_json(anew.encode(), partial_mode="trailing-strings")
            assert parser.value == expected, fed
    parser.close()
    assert parser.value == document == json.loads(text)


@given(st.text(st.sampled_from('{}[]",:\\u0e1-. \ntrfalsn\x00é🦆'), max_size=30), st.data())
def test_a_text_is_refused_exactly_when_json_loads_refuses_it(text: str, data: Any) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=6))
    try:
        expected = whole(json.loads(text, parse_constant=int))
    except ValueError:
        message, _ = refusal([text])
        assert refusal(pieces_of(text, *cuts))[0] == message
    else:
        assert repr(read(pieces_of(text, *cuts))[0]) == repr(expected)


# What is refused

REFUSED = [
    ('{"a": nope}', "expected the rest of null at offset 7 of the JSON, in $.a, got 'o'"),
    ('{"a" 1}', "expected ':' at offset 5 of the JSON, in $, got '1'"),
    ("{a: 1}", "expected a key in double quotes or '}' at offset 1 of the JSON, in $, got 'a'"),
    ('{"a": 1,}', "expected a key in double quotes at offset 8 of the JSON, in $, got '}'"),
    ("[1,]", "expected a value at offset 3 of the JSON, in $, got ']'"),
    ("[1 2]", "expected ',' or ']' at offset 3 of the JSON, in $, got '2'"),
    ("[1}", "expected ',' or ']' at offset 2 of the JSON, in $, got '}'"),
    ("[,", "expected a value or ']' at offset 1 of the JSON, in $, got ','"),
    ('{"a": {"b": 1 ]', "expected ',' or '}' at offset 14 of the JSON, in $.a, got ']'"),
    ("[01]", "expected ',' or ']' at offset 2 of the JSON, in $[0], got '1'"),
    ("[0, -]", "expected a digit at offset 5 of the JSON, in $[1], got ']'"),
    ("[1.]", "expected a digit at offset 3 of the JSON, in $[0], got ']'"),
    ("[1.e5]", "expected a digit at offset 3 of the JSON, in $[0], got 'e'"),
    ("[1.5.2]", "expected ',' or ']' at offset 4 of the JSON, in $[0], got '.'"),
    ("[1e+]", "expected a digit at offset 4 of the JSON, in $[0], got ']'"),
    ("[+1]", "expected a value or ']' at offset 1 of the JSON, in $, got '+'"),
    ("[.5]", "expected a value or ']' at offset 1 of the JSON, in $, got '.'"),
    ("[NaN]", "expected a value or ']' at offset 1 of the JSON, in $, got 'N'"),
    ("[-Infinity]", "expected a digit at offset 2 of the JSON, in $[0], got 'I'"),
    ("Infinity", "expected a value at offset 0 of the JSON, in $, got 'I'"),
    ("['a']", 'expected a value or \']\' at offset 1 of the JSON, in $, got "\'"'),
    ('["\\x"]', "expected an escape such as \\n or \\u00e9 at offset 3 of the JSON, in $[0], got"),
    ('["\\u12G4"]', "such as \\n or \\u00e9 at offset 6 of the JSON, in $[0], got 'G'"),
    ('["\\u+123"]', "such as \\n or \\u00e9 at offset 4 of the JSON, in $[0], got '+'"),
    ('["\\u1_23"]', "such as \\n or \\u00e9 at offset 5 of the JSON, in $[0], got '_'"),
    ('["a\nb"]', "expected an escape in place of a control character at offset 3 of the JSON"),
    ('["a\x00"]', "control character at offset 3 of the JSON, in $[0], got '\\x00'"),
    ('{"a\tb": 1}', "control character at offset 3 of the JSON, in $, got '\\t'"),
    ("{} x", "expected nothing more at offset 3 of the JSON, in $, got 'x'"),
    ("1 2", "expected nothing more at offset 2 of the JSON, in $, got '2'"),
    ("[\u00a01]", "expected a value or ']' at offset 1 of the JSON, in $, got '\\xa0'"),
    ("[\u0661]", "expected a value or ']' at offset 1 of the JSON, in $, got '\u0661'"),
    ("\ufeff{}", "expected a value at offset 0 of the JSON, in $, got '\\ufeff'"),
    ("", "expected a value at offset 0 of the JSON, in $, got its end"),
    ('{"a": "x', "expected the rest of a string at offset 8 of the JSON, in $.a, got its end"),
    ('{"a', "expected the rest of a key at offset 3 of the JSON, in $, got its end"),
    ('{"a": tr', "expected the rest of true at offset 8 of the JSON, in $.a, got its end"),
    ("[12", "expected the rest of a number at offset 3 of the JSON, in $[0], got its end"),
    ("-", "expected a digit at offset 1 of the JSON, in $, got its end"),
    ('["\\u00', "expected the rest of a string at offset 6 of the JSON, in $[0], got its end"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_a_refusal_says_where_what_was_expected_and_what_came(text: str, message: str) -> None:
    whole_text, _ = refusal([text])
    assert message in whole_text
    assert refusal(list(text))[0] == whole_text
    for cut in range(len(text)):
        assert refusal(pieces_of(text, cut))[0] == whole_text


def test_what_was_said_before_a_refusal_stays() -> None:
    parser = PartialJson()
    with pytest.raises(ObjectInvalidError) as caught:
        parser.feed('{"a": 1, "b": [2, x')
    assert parser.value == {"a": 1, "b": [2]}
    assert not parser.complete
    assert (caught.value.phase, caught.value.retryable) == ("decode", False)
    with pytest.raises(ObjectInvalidError):
        parser.close()


def test_what_closed_before_a_refusal_is_found_at_every_cut() -> None:
    text = '[{"n": 1}, {"n": 2}, {n: 3}]'
    message, expected = refusal(list(text), watch=["$[*]"])
    assert [each.value for each in expected] == [{"n": 1}, {"n": 2}]
    for cut in range(len(text)):
        assert refusal(pieces_of(text, cut), watch=["$[*]"]) == (message, expected)


def test_a_long_place_is_cut_in_a_refusal() -> None:
    message, _ = refusal(['{"' + "k" * 10_000 + '": {"' + "l" * 10_000 + '": [x'])
    assert len(message) < 300
    assert "in $.kkk" in message
    assert "lll, got 'x'" in message


# Limits


def test_containers_are_open_inside_one_another_only_to_the_depth() -> None:
    assert read(["[" * 128 + "]" * 128])[0]
    message, _ = refusal(["[" * 129])
    assert "at most 128 containers in one another at offset 128" in message
    assert "at most 2 containers" in refusal(['{"a":[{'], depth=2)[0]


@pytest.mark.parametrize("text", ["[" * 10_000_000, '{"a":' * 2_000_000])
def test_a_bomb_of_brackets_is_refused_at_once(text: str) -> None:
    begin = time.process_time()
    refusal([text])
    assert time.process_time() - begin < 1


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_text_may_not_be_longer_than_its_limit(size: int) -> None:
    text = "[" + "1," * 50
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    message, found = refusal(pieces, limit=20, watch=["$[*]"])
    assert "at most 20 characters in all at offset 20" in message
    assert len(found) == 9
    assert read(["[1, 2]", " " * 14], limit=20)[0] == [1, 2]


@pytest.mark.parametrize("filler", ["ab", "é", "\\\\n", "\\ud83e\\udd86"])
def test_a_string_of_very_many_pieces_is_whole(filler: str) -> None:
    pieces = ['["', *[filler] * 10_000, '"]']
    assert read(pieces)[0] == json.loads("".join(pieces))


def test_a_fault_before_the_limit_is_the_one_that_is_told() -> None:
    message, found = refusal(["[1, x" + "1" * 50], limit=20, watch=["$[*]"])
    assert "at offset 4" in message
    assert [each.value for each in found] == [1]


@pytest.mark.parametrize("size", [1, 100, 100_000])
def test_a_number_may_not_be_longer_than_python_reads(size: int) -> None:
    assert read(["[" + "9" * 4300 + "]"])[0] == [int("9" * 4300)]
    text = "[" + "9" * 10_000 + "]"
    message, _ = refusal([text[at : at + size] for at in range(0, len(text), size)])
    assert "a number of at most 4,300 characters at offset 4,301 of the JSON, in $[0]" in message


@pytest.mark.parametrize("size", [1, 7, 5000])
def test_a_number_without_end_is_refused_while_it_is_open(size: int) -> None:
    parser = PartialJson(open_scalars=True)
    parser.feed("[-1")
    for _ in range(4298 // size):
        parser.feed("2" * size)
        assert parser.value[0] < 0
    with pytest.raises(ObjectInvalidError, match=r"at most 4,300 characters at offset 4,301 "):
        parser.feed("2" * size)


@pytest.mark.parametrize("made", [{"depth": 0}, {"limit": -1}, {"depth": "9"}, {"root": str}])
def test_bad_arguments_are_refused(made: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        PartialJson(**made)


def test_one_path_is_no_list_of_paths() -> None:
    with pytest.raises(TypeError, match="in a list"):
        PartialJson(watch="$.a")
    with pytest.raises(ValueError, match="expected a key"):
        PartialJson(watch=["$.a."])


def test_a_piece_is_text() -> None:
    with pytest.raises(TypeError, match="expected a piece of text as a str, got bytes"):
        PartialJson().feed(b"{}")  # type: ignore[arg-type]


# Linear time


def growth(pieces: Callable[[int], list[str]], n: int, *, look: bool) -> float:
    """How often as long four times as many pieces take: 4 where each costs its own length."""

    def spent(n: int) -> float:
        given = pieces(n)
        begin = time.process_time()
        parser = PartialJson()
        for piece in given:
            parser.feed(piece)
            if look:
                _ = parser.value
        parser.close()
        return time.process_time() - begin

    return min(spent(4 * n) for _ in range(3)) / min(spent(n) for _ in range(3))


@pytest.mark.untraced
@pytest.mark.parametrize("look", [False, True])
@pytest.mark.parametrize("filler", ["abcd", "a\\\\b", "é🦆ab"])
def test_a_long_string_costs_its_length_also_when_each_state_is_looked_at(
    filler: str, look: bool
) -> None:
    assert growth(lambda n: ['["', *[filler] * n, '"]'], 20_000, look=look) < 8


@pytest.mark.untraced
@pytest.mark.parametrize(
    ("pieces", "n"),
    [
        (lambda n: ["[", *[" "] * n, "]"], 20_000),
        (lambda n: ['{"', *["k"] * n, '":1}'], 20_000),
        (lambda n: [" " * n, "1"], 500_000),
        (lambda n: ['["' + "\\n" * n + '"]'], 50_000),
    ],
)
def test_blanks_keys_and_escapes_cost_their_length(
    pieces: Callable[[int], list[str]], n: int
) -> None:
    assert growth(pieces, n, look=True) < 8


@pytest.mark.untraced
def test_a_string_in_small_pieces_takes_little_more_memory_than_its_characters() -> None:
    tracemalloc.start()
    try:
        parser = PartialJson()
        parser.feed('["')
        for n in range(100_000):
            parser.feed(f"{n:05}")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1_500_000


# Places that are watched


def test_watched_values_are_found_when_their_bracket_closes() -> None:
    parser = PartialJson(watch=["$.items[*]"])
    items = parse_path("$.items[*]")
    assert list(parser.feed('{"n": 1, "items": [{"a": 1}')) == [
        Found(items, ("items", 0), {"a": 1})
    ]
    assert list(parser.feed(", 7")) == []
    assert list(parser.feed(', "x", ["y"')) == [
        Found(items, ("items", 1), 7),
        Found(items, ("items", 2), "x"),
    ]
    assert list(parser.feed("]], ")) == [Found(items, ("items", 3), ["y"])]
    assert list(parser.feed('"more": [1]}')) == []
    assert list(parser.close()) == []


def test_several_paths_are_told_apart_also_where_they_meet() -> None:
    text = '{"a": {"b": 1, "c": [2, 3]}, "d": 4}'
    _, found = read([text], watch=["$.a", "a.b", "$.a.*", "$..c[1]", "$.nothing"])
    assert [(str(each.watch), each.place, each.value) for each in found] == [
        ("$.a.b", ("a", "b"), 1),
        ("$.a[*]", ("a", "b"), 1),
        ("$..c[1]", ("a", "c", 1), 3),
        ("$.a[*]", ("a", "c"), [2, 3]),
        ("$.a", ("a",), {"b": 1, "c": [2, 3]}),
    ]


def test_open_values_are_told_after_each_piece_that_changed_them() -> None:
    parser = PartialJson(watch=["a", "a.b", "c"], watch_open=True)
    seen = []
    pieces = ['{"a"', ': {"', 'b":', ' "x', "y", " ", '"', ' , "n": 1', "2", "}", ', "c": 3', "}"]
    for piece in pieces:
        told = [(str(f.watch), copy.deepcopy(f.value), f.closed) for f in parser.feed(piece)]
        seen.append((piece, told))
    a, b = "$.a", "$.a.b"
    assert seen == [
        ('{"a"', []),
        (': {"', [(a, {}, False)]),
        ('b":', []),
        (' "x', [(a, {"b": "x"}, False), (b, "x", False)]),
        ("y", [(a, {"b": "xy"}, False), (b, "xy", False)]),
        (" ", [(a, {"b": "xy "}, False), (b, "xy ", False)]),
        ('"', [(b, "xy ", True), (a, {"b": "xy "}, False)]),
        (' , "n": 1', []),
        ("2", []),
        ("}", [(a, {"b": "xy ", "n": 12}, True)]),
        (', "c": 3', []),
        ("}", [("$.c", 3, True)]),
    ]


def test_a_change_deep_inside_an_open_value_is_told() -> None:
    parser = PartialJson(watch=["$.a"], watch_open=True)
    seen = []
    for piece in ('{"a": {"b": [[', "1", ", 2", ', "x', "y", '"', "]", "]}", "}"):
        seen.append([(copy.deepcopy(each.value), each.closed) for each in parser.feed(piece)])
    assert seen == [
        [({"b": [[]]}, False)],
        [],
        [({"b": [[1]]}, False)],
        [({"b": [[1, 2, "x"]]}, False)],
        [({"b": [[1, 2, "xy"]]}, False)],
        [({"b": [[1, 2, "xy"]]}, False)],
        [({"b": [[1, 2, "xy"]]}, False)],
        [({"b": [[1, 2, "xy"]]}, True)],
        [],
    ]


def test_an_open_number_is_told_only_if_open_scalars_show() -> None:
    parser = PartialJson(watch=["$.n"], watch_open=True, open_scalars=True)
    seen = [
        [(each.value, each.closed) for each in parser.feed(piece)]
        for piece in ('{"n": 1', "2", ".", "5", ', "m": 1', "2", "}")
    ]
    assert seen == [[(1, False)], [(12, False)], [], [(12.5, False)], [(12.5, True)], [], []]


def test_nothing_closed_is_kept_when_nobody_keeps_it() -> None:
    items = ", ".join(f'{{"id": {n}, "tags": ["a", "b"]}}' for n in range(3000))
    text = f'{{"title": "T", "items": [{items}], "tail": {{"x": 1}}}}'
    parser = PartialJson(watch=["$.items[*]"], keep=False)
    ids = []
    for at in range(0, len(text), 11):
        ids += [each.value["id"] for each in parser.feed(text[at : at + 11])]
        value = parser.value
        assert value is None or len(value) <= 1
        assert value is None or len(value.get("items", ())) <= 1
    parser.close()
    assert ids == list(range(3000))
    assert parser.value is None


def test_what_is_found_is_whole_when_nothing_else_is_kept() -> None:
    text = '{"skip": [1, {"deep": [2]}], "items": [{"a": {"b": ["c"]}}, "s", 5]}'
    for pieces in ([text], list(text)):
        _, found = read(pieces, watch=["$.items[*]"], keep=False)
        assert [each.value for each in found] == [{"a": {"b": ["c"]}}, "s", 5]
        assert [each.place[-1] for each in found] == [0, 1, 2]


@pytest.mark.untraced
def test_a_hundred_thousand_elements_pass_in_constant_memory() -> None:
    parser = PartialJson(watch=["$[*]"], keep=False)
    piece = '{"id": 123456, "tags": ["a"]},' * 100
    count = 0
    tracemalloc.start()
    try:
        parser.feed("[")
        for _ in range(1000):
            count += len(parser.feed(piece))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 100_000
    assert peak < 500_000


# Prose and fences

TOLERATED = [
    '```json\n{"a": [1]}\n```',
    'Here is the JSON:\n\n```json\n{"a": [1]}\n```\n\nI hope it {helps}: "x" [1',
    '{"a": [1]} and nothing more',
    'Sure [note the brackets] and {name}: {"a": [1]}',
    'Of [1.2.3], [-], [truth], [nothing], [ nor ]: {"a": [1]}',
    '\ufeff{"a": [1]}',
]


@pytest.mark.parametrize("text", TOLERATED)
@pytest.mark.parametrize("options", [{}, {"open_scalars": True, "watch_open": True}])
def test_prose_and_fences_around_the_document_are_passed_over(
    text: str, options: dict[str, Any]
) -> None:
    for cut in range(len(text) + 1):
        value, found = read(pieces_of(text, cut), tolerant=True, watch=["$.a[0]"], **options)
        assert value == {"a": [1]}
        assert [each.value for each in found if each.closed] == [1]
    assert read(list(text), tolerant=True)[0] == {"a": [1]}


def test_what_the_root_must_be_tells_a_document_from_brackets_in_prose() -> None:
    text = 'As in [1] and [2]: {"a": 1}'
    assert read([text], tolerant=True)[0] == [1]
    assert read([text], tolerant=True, root=dict)[0] == {"a": 1}
    assert read(['{"x": 1}: [2]'], tolerant=True, root=list)[0] == [2]
    assert "expected an object at offset 0" in refusal(["[1]"], root=dict)[0]
    assert "expected a list at offset 1" in refusal([' {"a": 1}'], root=list)[0]


def test_what_proved_to_be_prose_is_told_no_more() -> None:
    options: dict[str, Any] = {"watch_open": True, "open_scalars": True, "tolerant": True}
    parser = PartialJson(watch=["$", "$[*]", "$.a"], **options)
    seen = []
    for piece in ("see [", "n", "ote]: ", '{"a": "x', "y"):
        seen.append([(each.place, copy.deepcopy(each.value)) for each in parser.feed(piece)])
    assert seen == [
        [((), [])],
        [((), [None]), ((0,), None)],
        [],
        [((), {"a": "x"}), (("a",), "x"), (("a",), "x")],
        [((), {"a": "xy"}), (("a",), "xy"), (("a",), "xy")],
    ]


def test_a_document_that_has_begun_is_not_taken_for_prose() -> None:
    assert "expected ',' or '}'" in refusal(['{"a": 1 oops {"a": 2}'], tolerant=True)[0]


def test_prose_alone_is_no_document() -> None:
    message, _ = refusal(["I can not do that."], tolerant=True, root=dict)
    assert "expected an object at offset 18 of the JSON, in $, got its end" in message


def test_a_tolerant_reader_reads_plain_json_as_any_other() -> None:
    for text in DOCUMENTS:
        if text.lstrip()[0] in "{[":
            assert repr(read(list(text), tolerant=True)[0]) == repr(json.loads(text))


@pytest.mark.parametrize("keep", [True, False])
def test_a_document_that_goes_wrong_is_no_prose_once_it_has_said_something(keep: bool) -> None:
    parser = PartialJson(watch=["$.items[*]"], keep=keep, tolerant=True)
    with pytest.raises(ObjectInvalidError):
        parser.feed('{"a": 1, oops {"items": [7]}')


@pytest.mark.parametrize("keep", [True, False])
def test_a_bracket_in_prose_is_passed_over(keep: bool) -> None:
    parser = PartialJson(watch=["$.items[*]"], keep=keep, tolerant=True)
    found = parser.feed('so {see} below: {"items": [7]}')
    assert [one.value for one in found] == [7]
