"""Targets of structured output: what type is asked for, as a JSON schema, and back to the type."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Generic, TypeVar, cast, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from gai_rx.errors import ObjectInvalidError

__all__ = ["Target", "closed", "faults", "names_all_keys"]

T = TypeVar("T")

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_WRAPPER = "value"
# What OpenAI's strict mode takes: https://platform.openai.com/docs/guides/structured-outputs
_CLOSED_KEYWORDS = frozenset(
    [
        "$defs", "$ref", "additionalProperties", "anyOf", "const", "description", "enum",
        "exclusiveMaximum", "exclusiveMinimum", "format", "items", "maxItems", "maximum",
        "minItems", "minimum", "multipleOf", "pattern", "properties", "required", "type",
    ]
)  # fmt: skip
_CLOSED_FORMATS = frozenset(
    ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"]
)
_TOLD_IN_VAIN = frozenset(
    ["$comment", "$id", "$schema", "default", "deprecated", "discriminator", "examples", "title"]
)
"""Keywords that constrain nothing; some of them strict modes refuse."""


class Target(Generic[T]):
    """A type that an answer shall have.

    Args:
        type_: A pydantic model, a dataclass, a TypedDict, any type that pydantic validates (also
            `list[Item]`, `dict`), or a JSON schema as a mapping.

    Attributes:
        name: What the schema is called.
        schema: The JSON schema to ask for; always of an object, since providers take no other.
        wrapped: Whether the value asked for stands in that object under the key `value`.
        root: What the JSON of the value is: `dict`, `list`, or None for anything.

    A JSON schema given as such is the provider's to keep: here it is only checked that the answer
    is JSON, and an object or a list where the schema says so.

    Raises:
        TypeError: If pydantic can not make a schema of the type.

    Example:
        >>> target = Target(list[int])
        >>> target.schema["properties"]["value"]["type"], target.wrapped
        ('array', True)
        >>> target.validate({"value": [1, 2]})
        [1, 2]
    """

    def __init__(self, type_: type[T] | Mapping[str, Any]) -> None:
        self._adapter: TypeAdapter[Any] | None = None
        if isinstance(type_, Mapping):
            schema, name = dict(type_), str(type_.get("title") or "answer")
        else:
            self._adapter = _adapter(type_)
            try:
                schema = self._adapter.json_schema()
            except Exception as error:
                raise TypeError(f"{type_!r} has no JSON schema: {error}") from error
            bare = get_args(type_)[0] if get_origin(type_) is Annotated else type_
            name = getattr(bare, "__name__", "answer")
        self.name = _NOT_IN_A_NAME.sub("_", name).strip("_")[:64] or "answer"
        schema = _inlined(schema)
        kind = schema.get("type")
        self.root: type[dict[Any, Any]] | type[list[Any]] | None = None
        if kind in ("object", "array"):
            self.root = dict if kind == "object" else list
        self.wrapped = self.root is not dict
        self.schema: dict[str, Any] = _wrap(schema) if self.wrapped else schema
        self._plain = schema

    def unwrap(self, value: Any) -> Any:
        """The value asked for, of the object that came; None while it has not begun."""
        if not self.wrapped:
            return value
        return value.get(_WRAPPER) if isinstance(value, Mapping) else None

    def validate(self, value: Any, text: str = "") -> T:
        """The object that came, as the type.

        Args:
            value: What its JSON says.
            text: The JSON itself, which an error carries.

        Raises:
            ObjectInvalidError: If it does not fit; the message says where.
        """
        if self.wrapped and not (isinstance(value, Mapping) and _WRAPPER in value):
            raise _invalid(f"expected an object with the key {_WRAPPER!r}", text)
        return self.fit(self.unwrap(value), text)

    def fit(self, value: Any, text: str = "") -> T:
        """A value that nothing is wrapped around, as the type.

        Raises:
            ObjectInvalidError: If it does not fit; the message says where.
        """
        if self._adapter is None:
            return cast(T, _checked_roughly(value, self._plain, text))
        try:
            return cast(T, _validated(self._adapter, value))
        except ValidationError as error:
            raise _invalid(f"the object does not fit {self.name}: {faults(error)}", text) from error

    def __repr__(self) -> str:
        return f"Target({self.name})"


@cache
def _cached_adapter(type_: Any) -> TypeAdapter[Any]:
    return TypeAdapter(type_)


def _adapter(type_: Any) -> TypeAdapter[Any]:
    try:
        return _cached_adapter(type_)
    except TypeError:  # unhashable, as Annotated[int, [...]] is
        return TypeAdapter(type_)
    except Exception as error:
        raise TypeError(f"pydantic can not validate {type_!r}: {error}") from error


def _validated(adapter: TypeAdapter[Any], value: Any) -> Any:
    """The value as the type; what only JSON may say so, as a date where types are strict, too.

    Raises:
        ValidationError: If it does not fit.
    """
    try:
        return adapter.validate_python(value)
    except ValidationError:
        return adapter.validate_json(json.dumps(value))


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """A root that is a reference, as of a model that holds itself, as what it refers to."""
    reference, named = schema.get("$ref"), schema.get("$defs", {})
    found = named.get(reference.rpartition("/")[2]) if isinstance(reference, str) else None
    return {**found, "$defs": named} if found else schema


def _wrap(schema: Mapping[str, Any]) -> dict[str, Any]:
    inner = {key: value for key, value in schema.items() if key != "$defs"}
    made: dict[str, Any] = {
        "type": "object",
        "properties": {_WRAPPER: inner},
        "required": [_WRAPPER],
        "additionalProperties": False,
    }
    if "$defs" in schema:
        made["$defs"] = schema["$defs"]
    return made


def _checked_roughly(value: Any, schema: Mapping[str, Any], text: str) -> Any:
    wanted: dict[str, type] = {"object": dict, "array": list, "string": str}
    kind = wanted.get(str(schema.get("type")))
    if kind is not None and not isinstance(value, kind):
        raise _invalid(f"expected {schema['type']}, got {type(value).__name__}", text)
    return value


def _invalid(message: str, text: str) -> ObjectInvalidError:
    error = ObjectInvalidError(message)
    error.text = text
    return error


def faults(error: ValidationError) -> str:
    """What is wrong, place by place, without what came: it may be anything, and long."""
    told = error.errors(include_url=False, include_input=False, include_context=False)
    places = [": ".join(filter(None, (".".join(map(str, e["loc"])), e["msg"]))) for e in told[:8]]
    if len(told) > 8:
        places.append(f"and {len(told) - 8} more")
    return "; ".join(places)


def closed(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """The schema as strict modes want it; None where it says more than they take.

    Every object names all its properties as required and takes no others. A property that may be
    left out has a default, which the model then writes out.

    Example:
        >>> from pydantic import BaseModel
        >>> class Point(BaseModel):
        ...     x: int
        ...     y: int = 0
        >>> closed(Point.model_json_schema())["required"]
        ['x', 'y']
        >>> closed({"type": "object", "additionalProperties": {"type": "integer"}}) is None
        True
    """
    if schema.get("type") != "object":
        return None  # strict modes take nothing else at the root
    try:
        return _closed(schema)
    except _NotStrict:
        return None


class _NotStrict(Exception):
    """A schema that strict modes refuse."""


def _closed(schema: Any) -> dict[str, Any]:
    if not isinstance(schema, Mapping):
        raise _NotStrict
    made = {key: value for key, value in schema.items() if key not in _TOLD_IN_VAIN}
    if "oneOf" in made and "anyOf" not in made:
        made["anyOf"] = made.pop("oneOf")  # what fits one of them fits any of them
    if not _CLOSED_KEYWORDS.issuperset(made) or made.get("format", "date") not in _CLOSED_FORMATS:
        raise _NotStrict
    if "$ref" in made:
        return {"$ref": made["$ref"]}
    if _may_be_object(made):
        _close(made)
    elif not ({"type", "anyOf", "enum", "const"} & made.keys()):
        raise _NotStrict  # anything at all
    for key in {"properties", "$defs"} & made.keys():
        made[key] = {name: _closed(inner) for name, inner in made[key].items()}
    if "items" in made:
        made["items"] = _closed(made["items"])
    if "anyOf" in made:
        made["anyOf"] = [_closed(inner) for inner in made["anyOf"]]
    return made


def _close(made: dict[str, Any]) -> None:
    if made.get("additionalProperties") or "properties" not in made:
        raise _NotStrict  # free keys
    made["required"] = list(made["properties"])
    made["additionalProperties"] = False


def _may_be_object(schema: Mapping[str, Any]) -> bool:
    kind = schema.get("type")
    return kind == "object" or (isinstance(kind, list) and "object" in kind)


def names_all_keys(schema: Mapping[str, Any]) -> bool:
    """Whether every object of the schema names its keys, and none can hold itself.

    Example:
        >>> from pydantic import TypeAdapter
        >>> names_all_keys(TypeAdapter(dict[str, int]).json_schema())
        False
    """
    return _is_finite(schema, schema, ())


def _is_finite(schema: Any, root: Mapping[str, Any], above: tuple[str, ...]) -> bool:
    if not isinstance(schema, Mapping):
        return not schema  # `true` is anything at all
    reference = schema.get("$ref")
    if isinstance(reference, str):
        named = root.get("$defs", {}).get(reference.rpartition("/")[2])
        if named is None or reference in above:
            return False
        return _is_finite(named, root, (*above, reference))
    if _may_be_object(schema):
        free = schema.get("additionalProperties", False)
        if free or not schema.get("properties"):
            return False
    elif not {"type", "enum", "const", "anyOf", "oneOf", "allOf"} & schema.keys():
        return False
    return all(_is_finite(inner, root, above) for inner in _inner_schemas(schema))


def _inner_schemas(schema: Mapping[str, Any]) -> Iterator[Any]:
    yield from schema.get("properties", {}).values()
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        yield from schema.get(key, ())
    if "items" in schema:
        yield schema["items"]
