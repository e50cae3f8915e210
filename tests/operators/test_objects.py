"""Objects while they are written: whole, by field, by element."""

import gc
import json
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any, Literal, NotRequired

import pytest
import reactivex as rx
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, field_validator, model_validator
from reactivex import Observable, Subject
from reactivex import operators as ops
from typing_extensions import TypedDict

from gai_rx import (
    Event,
    Finish,
    ObjectDelta,
    ObjectInvalidError,
    ReasoningDelta,
    Start,
    Stream,
    TextDelta,
)
from gai_rx.operators.objects import (
    Partial,
    elements,
    field,
    merge_fields,
    objects,
    on_field,
)
from tests.operators.marbles import check, diagram
from tests.operators.sources import Source, settle


class Report(BaseModel):
    summary: str
    key_points: list[str]
    confidence: float
    metadata: dict[str, str] = {}


VALUE: dict[str, Any] = {
    "summary": 'Good, "é" and 😀',
    "key_points": ["one", "two"],
    "confidence": 0.75,
    "metadata": {"by": "me"},
}
TEXT = json.dumps(VALUE)


def cut(text: str, size: int) -> list[str]:
    return [text[i : i + size] for i in range(0, len(text), size)]


def told(items: Sequence[Any], operator: Callable[[Observable[object]], Stream[Any]]) -> list[Any]:
    emitted: list[Any] = Stream.of(rx.from_iterable(items)).pipe(operator).to_list().run()
    return emitted


def failing(
    items: Sequence[Any], operator: Callable[[Observable[object]], Stream[Any]]
) -> tuple[list[Any], ObjectInvalidError]:
    """What comes before the error, and the error."""
    seen: list[Any] = []
    stream = Stream.of(rx.from_iterable(items)).pipe(operator, ops.do_action(seen.append))
    with pytest.raises(ObjectInvalidError) as raised:
        stream.run()
    return seen, raised.value


# The diagrams.


def test_objects_emits_the_object_so_far_with_each_piece() -> None:
    class Two(BaseModel):
        a: int
        b: str

    pieces = {"a": '{"a":', "b": ' 1, "b"', "c": ': "x"}'}
    given_, then = diagram(objects)
    seen: list[Partial[Two]] = []
    source: Subject[object] = Subject()
    source.pipe(objects(Two)).subscribe(seen.append)
    for letter in "abc":
        source.on_next(pieces[letter])
    assert [p.value for p in seen] == [{}, {"a": 1}, {"a": 1, "b": "x"}]
    assert [p.done for p in seen] == [False, False, True]
    assert [p.object for p in seen] == [None, None, Two(a=1, b="x")]
    assert (given_, then) == ("-a-b-c-|", "-A-B-C-|")


def test_field_emits_as_drawn() -> None:
    given_, then = diagram(field)
    pieces = {"a": '{"name": "A', "b": 'da", "a', "c": 'ge": 1}'}
    check(field("name"), given_, then, values=pieces, into={"x": "A", "y": "Ada"})


def test_elements_emits_as_drawn() -> None:
    given_, then = diagram(elements)
    check(
        elements("$[*]", int),
        given_,
        then,
        values={"a": "[", "b": "1, ", "c": "2]"},
        into={"x": 1, "y": 2},
    )


def test_merge_fields_emits_as_drawn() -> None:
    given_, then = diagram(merge_fields)
    pieces = {"a": '{"a": ', "b": '1, "b"', "c": ": 2}"}
    check(merge_fields(), given_, then, values=pieces, into={"x": {"a": 1}, "y": {"a": 1, "b": 2}})


def test_on_field_passes_on_as_drawn() -> None:
    heard: list[Any] = []
    given_, then = diagram(on_field)
    pieces = {"a": '{"x"', "b": ": 1", "c": "}"}
    check(on_field({"x": heard.append}), given_, then, values=pieces)
    assert heard == [1]


# What the original does.


def test_live_confidence() -> None:
    stream = Stream.of(rx.from_iterable(ObjectDelta(text=t) for t in cut(TEXT, 4)))
    partials = stream.pipe(objects(Report)).to_list().run()
    shown = [f"{partial.get('confidence', 0.0):.1%}" for partial in partials]
    assert (shown[0], shown[-1]) == ("0.0%", "75.0%")
    assert partials[-1].object == Report(**VALUE)


def test_incremental_records() -> None:
    record = {"records_processed": 10, "errors_found": 0, "completion_percentage": 12.5}
    lines: list[str] = []
    shown = {
        "records_processed": lambda n: lines.append(f"Records processed: {n}"),
        "completion_percentage": lambda share: lines.append(f"Progress: {share:.1f}%"),
    }
    processed = told(cut(json.dumps(record), 5), merge_fields())[-1]
    told(cut(json.dumps(record), 5), on_field(shown))
    assert lines == ["Records processed: 10", "Progress: 12.5%"]
    assert processed == record


# objects.


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_closed_fields_are_valid_and_the_open_one_is_as_it_is(size: int) -> None:
    seen = told(cut(TEXT, size), objects(Report))
    for partial in seen:
        for name in partial.complete:
            assert partial.get(name) == VALUE[name]
        assert list(partial.value)[: len(partial.complete)] == list(partial.complete)
        assert VALUE["summary"].startswith(partial.get("summary", ""))
    assert seen[-1].value == VALUE
    assert seen[-1].complete == tuple(VALUE)
    assert [p.done for p in seen].index(True) == len(seen) - 1


def test_a_partial_shows_its_own_moment_however_late_one_looks() -> None:
    seen = told(cut(TEXT, 1), objects(dict))
    for at, partial in enumerate(seen, 1):
        begun = TEXT[:at]
        assert partial.value == seen[at - 1].value
        assert partial.value == _so_far(begun)


def _so_far(text: str) -> Any:
    """What the beginning of `TEXT` says: complete numbers, and strings as far as they go."""
    from pydantic_core import from_json

    made = from_json(_whole_escapes(text), allow_partial="trailing-strings")
    if "confidence" in made and '0.75, "' not in text and "0.75," not in text:
        del made["confidence"]
    return made


def _whole_escapes(text: str) -> str:
    """Without an escape, or half of a surrogate pair, that is cut."""
    begun = text.rfind("\\")
    if begun < 0:
        return text
    tail = text[begun:]
    if tail == "\\" or (tail.startswith("\\u") and len(tail) < 6):
        text = text[:begun]
        if text.endswith("\\ud83d"):
            text = text[:-6]
    elif tail == "\\ud83d":
        text = text[:begun]
    return text


def test_fields_are_attributes_and_a_partial_can_not_be_changed() -> None:
    first, *_, last = told([TEXT[:20], TEXT[20:]], objects(Report))
    assert (first.summary, first.done, first.object) == ("Good, ", False, None)
    assert (last.confidence, last.key_points) == (0.75, ["one", "two"])
    with pytest.raises(AttributeError, match=r"'confidence' has not come; complete so far: \[\]"):
        _ = first.confidence
    with pytest.raises(AttributeError, match="can not be changed"):
        last.confidence = 1.0
    with pytest.raises(AttributeError, match="can not be changed"):
        del last.confidence
    assert repr(first) == "Partial({'summary': 'Good, '}, complete=[], done=False)"


class Named(BaseModel):
    when: date = Field(alias="on")
    count: int = Field(default=1, ge=0)


@dataclass
class Point:
    x: float
    y: float


class Row(TypedDict):
    key: date
    more: NotRequired[int]


@pytest.mark.parametrize(
    ("type_", "text", "first", "whole"),
    [
        (Named, '{"on": "2026-01-02", "count": 3}', ("when", date(2026, 1, 2)), None),
        (Point, '{"x": 1, "y": 2}', ("x", 1.0), Point(1.0, 2.0)),
        (Row, '{"key": "2026-01-02", "more": 1}', ("key", date(2026, 1, 2)), None),
        (dict[str, date], '{"a": "2026-01-02", "b": "2026-01-03"}', ("a", date(2026, 1, 2)), None),
        (dict, '{"a": "2026-01-02", "b": 1}', ("a", "2026-01-02"), None),
        (list[date], '["2026-01-02", "2026-01-03"]', (0, date(2026, 1, 2)), None),
        ({"type": "object"}, '{"a": 1, "b": 2}', ("a", 1), {"a": 1, "b": 2}),
        ({"type": "array"}, "[1, 2]", (0, 1), [1, 2]),
    ],
)
def test_each_kind_of_type(type_: Any, text: str, first: tuple[Any, Any], whole: Any) -> None:
    seen = told(cut(text, 1), objects(type_))
    closed = next(p for p in seen if p.complete)
    assert (closed.complete, closed.get(first[0])) == ((first[0],), first[1])
    assert type(closed.get(first[0])) is type(first[1])
    assert seen[-1].done
    assert whole is None or seen[-1].object == whole


@pytest.mark.parametrize(
    ("type_", "text", "whole"),
    [(str, '"Hello"', "Hello"), (int, "42", 42), (Literal["yes", "no"], '"no"', "no")],
)
def test_a_type_that_is_no_container_is_read_as_well(type_: Any, text: str, whole: Any) -> None:
    last = told(cut(text, 1), objects(type_))[-1]
    assert (last.done, last.object, last.value, last.complete) == (True, whole, whole, ())


def test_a_field_that_does_not_fit_fails_when_it_closes() -> None:
    pieces = ['{"summary": "x", ', '"confidence": "high", ', '"key_points": []}']
    seen, error = failing(pieces, objects(Report))
    assert [p.value for p in seen] == [{"summary": "x"}]
    assert "$.confidence" in error.message
    assert (error.text, error.kind) == ("".join(pieces[:2]), "object_invalid")


def test_what_only_the_whole_can_tell_fails_at_its_end() -> None:
    seen, error = failing(['{"summary": "x"', "}"], objects(Report))
    assert len(seen) == 1
    assert "confidence: Field required" in error.message
    assert error.text == '{"summary": "x"}'


def test_fields_that_the_types_own_validators_change_are_checked_with_the_whole() -> None:
    class Own(BaseModel):
        when: date
        size: int

        @field_validator("when", mode="before")
        @classmethod
        def _swap(cls, value: str) -> str:
            return "-".join(reversed(value.split(".")))

    class Whole(BaseModel):
        size: int

        @model_validator(mode="before")
        @classmethod
        def _rename(cls, data: dict[str, Any]) -> dict[str, Any]:
            return {"size": data["size"].removesuffix(" cm")}

    seen = told(['{"when": "02.01.2026",', ' "size": "7"}'], objects(Own))
    assert (seen[0].when, seen[1].size) == ("02.01.2026", 7)
    assert (seen[1].object.when, seen[1].object.size) == (date(2026, 1, 2), 7)
    assert told(['{"size": "7 cm"}'], objects(Whole))[-1].object.size == 7


def test_an_exception_of_a_validator_arrives_as_it_is() -> None:
    bug = ZeroDivisionError("mine")

    class Faulty(BaseModel):
        a: int

        @field_validator("a")
        @classmethod
        def _fail(cls, _: int) -> int:
            raise bug

    with pytest.raises(ZeroDivisionError) as raised:
        told(['{"a": 1}'], objects(Faulty))
    assert raised.value is bug


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"summary": "x", "confidence": nope}', "at offset 32 of the JSON, in $.confidence"),
        ('{"summary": "x"', "got its end"),
        ("I would rather not.", "got its end"),
    ],
)
def test_what_is_no_json_is_an_error_that_says_where(text: str, said: str) -> None:
    _, error = failing(cut(text, 3), objects(Report))
    assert said in error.message
    assert text.startswith(error.text)
    assert error.text


def test_no_text_at_all_is_no_document() -> None:
    assert told([Start(), ReasoningDelta(text="hm"), Finish(reason="stop")], objects(dict)) == []


def test_code_fences_and_prose_are_passed_over() -> None:
    text = f"Here you are:\n```json\n{TEXT}\n```\nWell?"
    assert told(cut(text, 5), objects(Report))[-1].object.confidence == 0.75


def test_a_type_without_a_schema_is_refused_at_once() -> None:
    class Nothing:
        pass

    with pytest.raises(TypeError, match="Nothing"):
        objects(Nothing)


# field.


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("confidence", [0.75]),
        ("key_points", [["one", "two"]]),
        ("key_points[1]", ["t", "two"]),
        ("metadata.by", ["m", "me"]),
        ("$..by", ["m", "me"]),
        ("nothing", []),
    ],
)
def test_a_place_by_its_path(path: str, values: list[Any]) -> None:
    ends = [TEXT.index('"two') + 2, TEXT.index('"me"') + 2]
    pieces = [TEXT[a:b] for a, b in zip([0, *ends], [*ends, None], strict=True)]
    assert told(pieces, field(path)) == values


def test_a_growing_text_is_emitted_each_time_it_has_changed() -> None:
    pieces = ['{"a": "', "x", "", "y", '", "b"', ': ""}']
    assert told(pieces, field("a")) == ["x", "xy"]
    assert told(pieces, field("b")) == [""]


def test_with_a_type_only_complete_values_come_and_they_are_valid() -> None:
    assert told(cut('{"d": "2026-01-02"}', 1), field("d", date)) == [date(2026, 1, 2)]
    seen, error = failing(['{"d": ["2026-01-02", ', '"soon"]}'], field("d[*]", date))
    assert seen == [date(2026, 1, 2)]
    assert error.message.startswith("$.d[1] does not fit ")
    assert error.text == '"soon"'


@pytest.mark.parametrize("operator", [field, elements])
def test_a_path_that_is_none_is_refused_at_once(operator: Any) -> None:
    with pytest.raises(ValueError, match="offset 8"):
        operator("$.items[-1]")
    with pytest.raises(TypeError, match="str"):
        operator(1)


# elements.


class Item(BaseModel):
    n: int
    name: str = ""


def test_each_element_comes_valid_before_the_document_ends() -> None:
    source: Subject[object] = Subject()
    seen: list[Item] = []
    source.pipe(elements("$.items[*]", Item)).subscribe(seen.append)
    source.on_next('{"items": [{"n": 1}, {"n": ')
    assert seen == [Item(n=1)]
    source.on_next("2}")
    assert seen == [Item(n=1), Item(n=2)]


def test_without_a_type_they_are_plain_data() -> None:
    assert told(["[1, [2], ", '{"a": 3}]'], elements()) == [1, [2], {"a": 3}]


def test_an_element_that_does_not_fit_ends_the_stream_behind_those_before_it() -> None:
    seen, error = failing(['[{"n": 1}, {"n": "x"}, {"n": 3}]'], elements("$[*]", Item))
    assert seen == [Item(n=1)]
    assert error.message.startswith("$[1] does not fit ")
    assert error.text == '{"n": "x"}'


@pytest.mark.untraced
def test_a_hundred_thousand_elements_are_read_in_constant_memory() -> None:
    def pieces(count: int) -> Iterator[str]:
        yield '{"items": ['
        for n in range(count):
            yield f'{{"n": {n}, "name": "item number {n}"}}{", " if n < count - 1 else "]}"}'

    def peak(count: int) -> int:
        seen = 0
        source: Subject[object] = Subject()

        def take(item: Item) -> None:
            nonlocal seen
            seen += 1

        source.pipe(elements("$.items[*]", Item)).subscribe(take)
        gc.collect()
        tracemalloc.start()
        for piece in pieces(count):
            source.on_next(piece)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert seen == count
        return most

    assert peak(100_000) < peak(1_000) + 50_000


# merge_fields and on_field.


def test_fields_that_were_emitted_do_not_change() -> None:
    seen = told(cut('{"a": 1, "b": [2], "c": "d"}', 1), merge_fields())
    assert seen == [{"a": 1}, {"a": 1, "b": [2]}, {"a": 1, "b": [2], "c": "d"}]
    assert dict(seen[0]) == {"a": 1}
    assert (len(seen[1]), list(seen[1]), "c" in seen[1]) == (2, ["a", "b"], False)
    assert repr(seen[1]) == "{'a': 1, 'b': [2]}"


def test_merge_fields_takes_objects_only() -> None:
    _, error = failing(["[1]"], merge_fields())
    assert "an object" in error.message


def test_functions_are_called_before_the_item_that_closes_the_value_goes_on() -> None:
    order: list[Any] = []
    pieces = ['{"a": 1, "b": [', "2, 3]}"]
    handlers = {"a": lambda v: order.append(("a", v)), "b[*]": lambda v: order.append(("b", v))}
    source: Subject[object] = Subject()
    source.pipe(on_field(handlers)).subscribe(order.append)
    for text in pieces:
        source.on_next(text)
    assert order == [("a", 1), pieces[0], ("b", 2), ("b", 3), pieces[1]]


def test_a_stream_of_events_stays_one_behind_on_field() -> None:
    events = Stream.of(rx.empty(), of_events=True)
    stream = Stream(events._subscribe, of_events=True).pipe(on_field({"a": print}))
    assert stream.of_events


def test_what_a_function_raises_ends_the_stream_as_it_is() -> None:
    bug = ValueError("mine")

    def fail(_: Any) -> None:
        raise bug

    source: Subject[object] = Subject()
    errors: list[Exception] = []
    passed: list[object] = []
    source.pipe(on_field({"a": fail})).subscribe(passed.append, errors.append)
    source.on_next('{"a": 1}')
    assert errors == [bug]
    assert passed == []
    assert not source.observers


def test_functions_are_checked_at_once() -> None:
    async def later(_: Any) -> None: ...

    with pytest.raises(TypeError, match="at least one"):
        on_field({})
    with pytest.raises(TypeError, match="async"):
        on_field({"a": later})
    with pytest.raises(TypeError, match="takes a function"):
        on_field({"a": 1})  # type: ignore[dict-item]  # what is tested
    with pytest.raises(TypeError, match="async"):
        told(['{"a": 1}'], on_field({"a": lambda v: later(v)}))


# Which text is whose.


def piece(text: str, **place: Any) -> Event:
    return TextDelta(text=text, **place)


def test_streams_and_choices_are_kept_apart() -> None:
    pieces = [
        piece('{"n": ', stream_id="x"),
        piece('{"n": 2', stream_id="y"),
        piece('{"n": ', stream_id="x", choice=1),
        piece("1}", stream_id="x"),
        piece("3}", stream_id="x", choice=1),
        piece("}", stream_id="y"),
    ]
    assert told(pieces, field("n")) == [1, 3, 2]


def test_each_answer_has_an_object_of_its_own() -> None:
    answer = [Start(), piece('{"n": 1}'), Finish(reason="stop")]
    assert told(answer * 2, field("n")) == [1, 1]


def test_an_answer_that_ends_too_early_fails_with_its_finish() -> None:
    answer = [Start(), piece('{"n": 1'), Finish(reason="stop"), Start(), piece('{"n": 2}')]
    seen, error = failing(answer, field("n"))
    assert seen == []
    assert "got its end" in error.message


def test_in_a_run_of_steps_the_last_step_has_the_object() -> None:
    run = [piece("Let me {look}"), piece('{"n": ', step=1), piece("1}", step=1)]
    assert told([*run, Finish(reason="stop", step=1)], field("n")) == [1]
    after = [piece('{"n": 1}'), piece("Done.", step=1), Finish(reason="stop", step=1)]
    assert told(after, field("n")) == [1]


def test_text_beside_an_object_is_none_of_its() -> None:
    mixed = [
        piece("{Look}: "),
        ObjectDelta(text='{"n": '),
        piece("[really]"),
        ObjectDelta(text="1}"),
        ObjectDelta(object=1),
    ]
    assert told(mixed, field("n")) == [1]


@pytest.mark.parametrize(
    ("operator", "whole"),
    [
        (objects(dict), {"a": [1, 2]}),
        (field("a"), [1, 2]),
        (elements("a[*]"), 2),
        (merge_fields(), {"a": [1, 2]}),
    ],
    ids=["objects", "field", "elements", "merge_fields"],
)
def test_an_answer_that_is_begun_anew_is_read_anew(operator: Any, whole: Any) -> None:
    unbroken = [Start(attempt=2), piece('{"a": [1,', attempt=2), piece(" 2]}", attempt=2)]
    broken = [Start(), piece('{"a": [0, {"b'), *unbroken]
    other = piece('{"a": [', stream_id="o"), piece("1, 2]}", stream_id="o")
    expected = told(unbroken, operator)
    got = told(broken, operator)[-len(expected) :]
    last = getattr(got[-1], "value", got[-1])
    assert last == whole
    assert [getattr(g, "value", g) for g in got] == [getattr(e, "value", e) for e in expected]
    between = told([other[0], *broken, other[1]], operator)
    assert getattr(between[-1], "value", between[-1]) == whole


def test_functions_hear_the_values_of_the_answer_that_is_begun_anew() -> None:
    heard: list[Any] = []
    again = Start(attempt=2)
    events = [piece('{"a": [0, '), again, piece('{"a": [1, ', attempt=2), piece("2]}", attempt=2)]
    passed = told(events, on_field({"a[*]": heard.append}))
    assert heard == [0, 1, 2]
    assert passed == events  # the Start too


def test_steps_before_the_one_that_is_begun_anew_stay() -> None:
    run = [
        piece('{"n": '),
        Start(attempt=2, step=1),
        piece("1}"),
        Finish(reason="stop", step=1),
    ]
    assert told(run, field("n")) == [1]


# The contract.


@pytest.mark.parametrize(
    "operator",
    [objects(list), field("$[*]"), elements(), on_field({"$[*]": lambda _: None})],
    ids=["objects", "field", "elements", "on_field"],
)
def test_an_error_of_the_source_goes_on_and_two_subscriptions_share_nothing(operator: Any) -> None:
    error = OSError("gone")
    source: Subject[object] = Subject()
    stream = source.pipe(operator)
    one: list[Any] = []
    two: list[Any] = []
    errors: list[Exception] = []
    stream.subscribe(one.append, errors.append)
    source.on_next("[1, ")
    stream.subscribe(two.append, errors.append)
    with_two = len(one)
    source.on_next("[2]]")
    assert len(one) > with_two
    assert two
    source.on_error(error)
    assert errors == [error, error]


def test_nothing_is_made_after_dispose_though_a_piece_had_more() -> None:
    made: list[int] = []

    class Counted(BaseModel):
        n: int

        @field_validator("n")
        @classmethod
        def _count(cls, n: int) -> int:
            made.append(n)
            return n

    source: Subject[object] = Subject()
    text = json.dumps([{"n": n} for n in range(100)])
    subscription = source.pipe(elements("$[*]", Counted)).subscribe(
        lambda item: subscription.dispose() if item.n == 2 else None
    )
    source.on_next(text)
    assert made == [0, 1, 2]


def test_what_the_subscriber_raises_goes_to_the_producer() -> None:
    source: Subject[object] = Subject()

    def fail(_: Any) -> None:
        raise ZeroDivisionError

    source.pipe(elements()).subscribe(fail)
    with pytest.raises(ZeroDivisionError):
        source.on_next("[1]")


async def test_a_subscriber_that_raises_at_the_last_object_gets_its_own_error() -> None:
    error = ZeroDivisionError("of the subscriber")
    told: list[Any] = []

    def fail(_: Any) -> None:
        raise error

    numbers = Source(["1", "2"]).stream.pipe(objects(int))
    numbers.subscribe(fail, told.append, lambda: told.append("completed"))
    await settle()
    assert told == [error]


def test_operators_show_in_the_pipe() -> None:
    stream = Stream.of(rx.empty()).pipe(
        on_field({"a": print}), elements("$.items[*]", Item), objects(Report)
    )
    assert repr(stream).endswith("| on_field(a) | elements('$.items[*]', Item) | objects(Report))")
    assert repr(Stream.of(rx.empty()).pipe(field("a", float))).endswith("| field('a', float))")


# Any document, however it is cut.

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(max_size=4), JSON, max_size=5), st.integers(1, 9), st.booleans())
def test_any_object_however_it_is_cut(value: dict[str, Any], size: int, ascii_only: bool) -> None:
    pieces = cut(json.dumps(value, ensure_ascii=ascii_only), size)
    seen = told(pieces, objects(dict))
    assert seen[-1].object == seen[-1].value == value
    for before, after in pairwise(seen):
        assert all(after.get(name) == before.get(name) for name in before.complete)
    assert ([{}, *told(pieces, merge_fields())])[-1] == value
    assert told(pieces, elements("$.*")) == list(value.values())


class Bounded(BaseModel):
    share: float = Field(le=1)


def test_the_fault_of_a_field_names_its_place_and_its_type_as_it_is_written() -> None:
    with pytest.raises(ObjectInvalidError, match=r"^\$\.share does not fit float: Input should be"):
        Stream.of(rx.of('{"share": 87}')).pipe(objects(Bounded)).run()
