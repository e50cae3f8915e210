"""The shape of a type, field by field: what each is called in JSON, and what it has to be."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import (
    Annotated,
    Any,
    Generic,
    NotRequired,
    Required,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic.fields import FieldInfo

from gai_rx.schemas import Target

__all__ = ["Key", "Shape"]

T = TypeVar("T")
Key = str | int


class Shape(Generic[T]):
    """A type that an object shall have, to check field by field.

    A field that a validator of the type's own looks at can be valid as a part of the whole only:
    alone it stays as it is.

    Args:
        type_: As `Target` takes it.

    Attributes:
        target: The whole.
        names: What fields are called in Python, where JSON has another name.

    Raises:
        TypeError: If pydantic has no schema for it.
    """

    def __init__(self, type_: Any) -> None:
        self.target: Target[T] = Target(type_)
        self.names: dict[Key, Key] = {}
        self._types: dict[Key, Any] = {}
        self._every: Any = None
        self._targets: dict[Key | None, Target[Any] | None] = {}
        for key, name, wanted in _fields(type_):
            self._types[key] = wanted
            self.names[key] = name
        arguments = get_args(type_)
        if self.target.root is list and len(arguments) == 1:
            self._every = arguments[0]
        elif self.target.root is dict and get_origin(type_) is dict:
            self._every = arguments[1]

    def fit(self, key: Key, value: Any) -> Any:
        """The value of a field as its type.

        Raises:
            ObjectInvalidError: If it does not fit.
        """
        place = key if key in self._types else None
        if place not in self._targets:
            self._targets[place] = _target(self._types.get(key, self._every))
        target = self._targets[place]
        return value if target is None else target.fit(value)


def _target(type_: Any) -> Target[Any] | None:
    """What checks a field; None for a field that can only be checked with the whole."""
    if type_ is None:
        return None
    try:
        return Target(type_)
    except TypeError:
        return None


def _fields(type_: Any) -> Iterator[tuple[str, str, Any]]:
    """The fields of a class: the key in JSON, the name, and the type."""
    known: Mapping[str, Any] | None = getattr(
        type_, "model_fields", getattr(type_, "__pydantic_fields__", None)
    )
    if isinstance(known, Mapping):
        checked = _checked_by_own_functions(type_)
        for name, field in known.items():
            if isinstance(field, FieldInfo):
                key = field.validation_alias or field.alias or name
                free = name in checked or "*" in checked
                yield (key if isinstance(key, str) else name), name, None if free else _of(field)
    elif dataclasses.is_dataclass(type_) or hasattr(type_, "__required_keys__"):  # a TypedDict
        for name, wanted in _hints(type_).items():
            yield name, name, wanted


def _of(field: FieldInfo) -> Any:
    """The type of a field, with its constraints."""
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


def _checked_by_own_functions(type_: Any) -> set[str]:
    """The fields that validators of the class look at; `*` for all of them."""
    decorators = getattr(type_, "__pydantic_decorators__", None)
    if decorators is None:
        return set()
    of_fields = (*decorators.field_validators.values(), *decorators.validators.values())
    found = {name for each in of_fields for name in each.info.fields}
    of_model = decorators.model_validators.values()
    if decorators.root_validators or any(each.info.mode != "after" for each in of_model):
        found.add("*")
    return found


def _hints(type_: Any) -> dict[str, Any]:
    try:
        hints = get_type_hints(type_, include_extras=True)
    except Exception:  # a name that can not be resolved from here
        return {}
    return {name: _bare(hint) for name, hint in hints.items()}


def _bare(hint: Any) -> Any:
    while get_origin(hint) in (Required, NotRequired):
        hint = get_args(hint)[0]
    return hint
