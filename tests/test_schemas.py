"""Targets of structured output: schemas that providers take, and the way back to the type."""

from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from gai_rx.errors import ObjectInvalidError
from gai_rx.schemas import Target, closed, names_all_keys


class Item(BaseModel):
    name: str
    price: float = 0.0
    parts: "list[Item]" = []


@dataclass
class Point:
    x: int
    y: int


class Row(TypedDict):
    key: str


@pytest.mark.parametrize(
    ("type_", "value", "made"),
    [
        (Item, {"name": "a", "price": 1}, Item(name="a", price=1)),
        (Point, {"x": 1, "y": 2}, Point(1, 2)),
        (Row, {"key": "k"}, {"key": "k"}),
        (dict, {"any": [1]}, {"any": [1]}),
        (dict[str, int], {"a": 1}, {"a": 1}),
        (list[Item], {"value": [{"name": "a"}]}, [Item(name="a")]),
        (Literal["yes", "no"], {"value": "yes"}, "yes"),
        ({"type": "object", "title": "T"}, {"a": 1}, {"a": 1}),
        ({"type": "array", "items": {}}, {"value": [1]}, [1]),
    ],
)
def test_a_value_comes_back_as_the_type(type_: Any, value: Any, made: Any) -> None:
    target = Target(type_)
    assert target.schema["type"] == "object"
    assert target.validate(value) == made


@pytest.mark.parametrize(
    ("type_", "value", "said"),
    [
        (Item, {"price": 1}, "name: Field required"),
        (Item, {"name": "a", "parts": [{"name": 3}]}, "parts.0.name"),
        (list[int], {"values": [1]}, "the key 'value'"),
        (list[int], [1], "the key 'value'"),
        ({"type": "object"}, [1], "expected object, got list"),
    ],
)
def test_a_value_that_does_not_fit_is_an_error_that_says_where_and_carries_the_text(
    type_: Any, value: Any, said: str
) -> None:
    with pytest.raises(ObjectInvalidError, match=said) as raised:
        Target(type_).validate(value, "the text")
    assert raised.value.text == "the text"


def test_an_error_names_a_few_places_and_never_what_came() -> None:
    with pytest.raises(ObjectInvalidError) as raised:
        Target(list[int]).validate({"value": ["secret"] * 1000})
    assert "secret" not in str(raised.value)
    assert "and 992 more" in str(raised.value)


def test_what_has_no_schema_is_refused_at_once() -> None:
    class Nothing:
        pass

    with pytest.raises(TypeError, match="Nothing"):
        Target(Nothing)


@pytest.mark.parametrize(
    ("type_", "name"),
    [(Item, "Item"), (dict[str, int], "dict"), ({"title": "my schema!"}, "my_schema")],
)
def test_a_schema_has_a_name_that_providers_take(type_: Any, name: str) -> None:
    assert Target(type_).name == name


def test_a_closed_schema_names_every_property_at_every_depth() -> None:
    class Bag(BaseModel):
        items: list[Item]
        best: Item | None = None
        kind: Literal["a", "b"] = Field(default="a", description="Which.")

    made = closed(Bag.model_json_schema())
    assert made is not None
    assert made["required"] == ["items", "best", "kind"]
    assert made["properties"]["kind"] == {
        "enum": ["a", "b"],
        "type": "string",
        "description": "Which.",
    }
    item = made["$defs"]["Item"]
    assert (item["additionalProperties"], item["required"]) == (False, ["name", "price", "parts"])


def test_a_type_that_is_strict_takes_what_only_json_can_say_so() -> None:
    class Strict(BaseModel):
        model_config = ConfigDict(strict=True)
        day: date
        sizes: tuple[int, ...]

    made = Target(Strict).validate({"day": "2026-01-02", "sizes": [1, 2]})
    assert (made.day, made.sizes) == (date(2026, 1, 2), (1, 2))
    with pytest.raises(ObjectInvalidError, match=r"sizes\.0"):
        Target(Strict).validate({"day": "2026-01-02", "sizes": ["1"]})


def test_a_schema_may_name_several_types() -> None:
    target: Target[Any] = Target({"type": ["object", "null"]})
    assert (target.wrapped, target.root) == (True, None)
    assert target.validate({"value": None}) is None


def test_a_closed_schema_says_the_same_in_what_strict_modes_take() -> None:
    class Cat(BaseModel):
        kind: Literal["cat"]

    class Dog(BaseModel):
        kind: Literal["dog"]

    class Home(BaseModel):
        pet: Annotated[Cat | Dog, Field(discriminator="kind")]

    made = closed({"$schema": "https://json-schema.org/", **Home.model_json_schema()})
    assert made is not None
    assert made["properties"]["pet"] == {
        "anyOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}]
    }
    maybe = {"type": ["object", "null"], "properties": {"a": {"type": "string"}}}
    made = closed({"type": "object", "properties": {"maybe": maybe}})
    assert made is not None
    assert made["properties"]["maybe"]["required"] == ["a"]


@pytest.mark.parametrize(
    ("type_", "all_named"),
    [
        (Point, True),
        (list[Point], True),
        (Literal["a", "b"], True),
        (Point | None, True),
        (tuple[int, Point], True),
        (Item, False),  # it holds itself
        (dict, False),
        (dict[str, int], False),
        (list[dict[str, int]], False),
        (list[Any], False),
        (Point | dict[str, int], False),
    ],
)
def test_whether_a_schema_names_all_keys(type_: Any, all_named: bool) -> None:
    assert names_all_keys(Target(type_).schema) is all_named


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"$ref": "#/$defs/A", "$defs": {"A": {"type": "object", "properties": {}}}},
        {"type": "object", "properties": {}, "additionalProperties": True},
        {"type": "object", "properties": {"a": {}}},
        {"type": "object", "properties": {"a": {"type": "string", "format": "uri"}}},
        {"oneOf": [{"type": "string"}]},
        {"type": "object", "properties": {"a": True}},
    ],
)
def test_a_schema_that_strict_modes_refuse_is_told_apart(schema: dict[str, Any]) -> None:
    assert closed(schema) is None
