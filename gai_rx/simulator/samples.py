"""Plausible values for a JSON schema: what a simulated model puts into arguments and objects."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["sample"]

_DEEP = 3  # from here on only what has to be: a schema may contain itself
_DEEPEST = 16
_FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T12:00:00Z",
    "time": "12:00:00Z",
    "email": "ada@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_NAMES = {
    "city": "Paris",
    "location": "Paris",
    "country": "France",
    "name": "Ada",
    "title": "A simulated title",
    "unit": "celsius",
    "units": "celsius",
    "email": "ada@example.com",
    "url": "https://example.com/",
    "date": "2026-01-01",
    "query": "simulators",
    "language": "en",
}


def sample(schema: Mapping[str, Any], hint: str = "") -> Any:
    """A value that fits a JSON schema, always the same one.

    Args:
        schema: The schema; one that says nothing gives a text.
        hint: Name of the field, which makes the value plausible.

    Example:
        >>> sample({"type": "object", "properties": {"city": {"type": "string"}}})
        {'city': 'Paris'}
    """
    return _Sampler(schema).value(schema, hint, 0)


class _Sampler:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root

    def value(self, schema: Mapping[str, Any], hint: str, depth: int) -> Any:
        schema = self._resolved(schema)
        if depth > _DEEPEST:
            return None
        for given in ("const", "default"):
            if given in schema:
                return schema[given]
        for listed in ("enum", "examples"):
            if schema.get(listed):
                return schema[listed][0]
        for choices in ("anyOf", "oneOf"):
            if schema.get(choices):
                return self.value(_choice(schema[choices], depth), hint, depth)
        return self._of_type(schema, hint, depth)

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        for _ in range(_DEEPEST):
            path = schema.get("$ref")
            if not isinstance(path, str) or not path.startswith("#/"):
                break
            found: Any = self._root
            for name in path[2:].split("/"):
                found = found.get(name, {}) if isinstance(found, Mapping) else {}
            schema = found
        for part in schema.get("allOf") or ():
            schema = {**schema, **self._resolved(part)}
        return schema

    def _of_type(self, schema: Mapping[str, Any], hint: str, depth: int) -> Any:
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((k for k in kind if k != "null"), "null")
        kind = str(kind).lower() if kind else ("object" if "properties" in schema else "string")
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, hint, depth)
        if kind in ("integer", "number"):
            return _number(schema, kind)
        if kind in ("boolean", "null"):
            return True if kind == "boolean" else None
        return _text(schema, hint)

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        fields: Mapping[str, Any] = schema.get("properties") or {}
        wanted = schema.get("required") or () if depth >= _DEEP else fields
        return {
            name: self.value(told, name, depth + 1)
            for name, told in fields.items()
            if name in wanted
        }

    def _array(self, schema: Mapping[str, Any], hint: str, depth: int) -> list[Any]:
        if schema.get("prefixItems"):
            return [self.value(told, hint, depth + 1) for told in schema["prefixItems"]]
        usual = 0 if depth >= _DEEP else 2
        count = min(max(usual, schema.get("minItems", 0)), schema.get("maxItems", 1000))
        items = schema.get("items") or {}
        return [self.value(items, hint, depth + 1) for _ in range(count)]


def _choice(choices: list[Mapping[str, Any]], depth: int) -> Mapping[str, Any]:
    """An optional field is filled, except deep down: a schema may contain itself."""
    null = depth >= _DEEP
    return next((c for c in choices if (c.get("type") == "null") == null), choices[0])


def _number(schema: Mapping[str, Any], kind: str) -> int | float:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is not None and high is not None:
        value = low + (high - low) / 2
    elif low is not None:
        value = low if "minimum" in schema else low + 1
    else:
        value = 1 if high is None else min(1, high - 1)
    step = schema.get("multipleOf") or (1 if kind == "integer" else 0)
    if step:
        value = math.ceil(value / step) * step
    return int(value) if kind == "integer" else float(value)


def _text(schema: Mapping[str, Any], hint: str) -> str:
    text = _FORMATS.get(schema.get("format", "")) or _NAMES.get(hint.lower())
    text = text or (f"simulated {hint}" if hint else "simulated")
    return text.ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength", None)]
