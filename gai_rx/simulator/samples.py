"""Plausible values for a JSON schema: what a simulated model puts into arguments and objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["sample"]

_DEEPEST = 8  # a schema that refers to itself has to end somewhere
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
                return self.value(_likeliest(schema[choices]), hint, depth + 1)
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
        wanted = schema.get("required", list(fields)) if depth > 1 else list(fields)
        return {
            name: self.value(told, name, depth + 1)
            for name, told in fields.items()
            if name in wanted
        }

    def _array(self, schema: Mapping[str, Any], hint: str, depth: int) -> list[Any]:
        if depth >= _DEEPEST - 1 and not schema.get("minItems"):
            return []
        if schema.get("prefixItems"):
            return [self.value(told, hint, depth + 1) for told in schema["prefixItems"]]
        count = min(max(2, schema.get("minItems", 0)), schema.get("maxItems", 1000))
        items = schema.get("items") or {}
        return [self.value(items, hint, depth + 1) for _ in range(count)]


def _likeliest(choices: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The first choice that is not null: an optional field is filled."""
    return next((c for c in choices if c.get("type") != "null"), choices[0])


def _number(schema: Mapping[str, Any], kind: str) -> int | float:
    value = schema.get("minimum")
    if value is None and "exclusiveMinimum" in schema:
        value = schema["exclusiveMinimum"] + 1
    if value is None:
        value = min(1, schema.get("maximum", schema.get("exclusiveMaximum", 2) - 1))
    step = schema.get("multipleOf")
    if step:
        value = -(-value // step) * step
    return int(value) if kind == "integer" else float(value)


def _text(schema: Mapping[str, Any], hint: str) -> str:
    text = _FORMATS.get(schema.get("format", "")) or _NAMES.get(hint.lower())
    text = text or (f"simulated {hint}" if hint else "simulated")
    return text.ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength", None)]
