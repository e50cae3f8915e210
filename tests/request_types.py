"""Whether JSON is of a type that an SDK declares for its requests: no more keys, and no fewer."""

import types
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from typing_extensions import ReadOnly, is_typeddict

__all__ = ["mismatches"]

_WRAPPERS = (Annotated, Required, NotRequired, ReadOnly)
_LISTS = (list, tuple, Iterable, Sequence)
_MAPPINGS = (dict, Mapping)
_PLAIN: dict[Any, tuple[type, ...]] = {
    str: (str,),
    bool: (bool,),
    int: (int,),
    float: (int, float),
    None: (type(None),),
    type(None): (type(None),),
}


def mismatches(value: Any, declared: Any, path: str = "$") -> list[str]:
    """What is wrong with a JSON value, by its place; nothing, where it is of the type."""
    origin = get_origin(declared)
    if declared in (Any, object):
        return []
    if origin in _WRAPPERS:
        return mismatches(value, get_args(declared)[0], path)
    if origin in (Union, types.UnionType):
        return _of_any(value, get_args(declared), path)
    if origin is Literal:
        allowed = get_args(declared)
        return [] if value in allowed else [f"{path}: {value!r} is none of {allowed}"]
    if is_typeddict(declared):
        return _of_keys(value, declared, path)
    if origin in _LISTS or getattr(origin, "__name__", "") == "SequenceNotStr":
        return _of_list(value, get_args(declared)[0], path)
    if origin in _MAPPINGS:
        return _of_mapping(value, get_args(declared)[1], path)
    expected = _PLAIN.get(declared, ())
    is_one = isinstance(value, expected) and isinstance(value, bool) == (declared is bool)
    return [] if is_one else [f"{path}: {_short(value)} is no {declared}"]


def _of_any(value: Any, variants: Sequence[Any], path: str) -> list[str]:
    """Nothing if one of the variants fits; else what is wrong with the nearest one."""
    found = [mismatches(value, variant, path) for variant in variants]
    of_kind = [wrong for wrong in found if not _is_of_other_kind(wrong, path)]
    return min(of_kind or found, key=len)


def _is_of_other_kind(wrong: Iterable[str], path: str) -> bool:
    """Whether a variant is not the one that was meant, so that what it misses tells nothing."""
    tags, here = (f"{path}.type:", f"{path}.role:"), f"{path}: "
    return any(w.startswith(tags) or (w.startswith(here) and " is no " in w) for w in wrong)


def _of_keys(value: Any, declared: Any, path: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path}: {_short(value)} is no {declared.__name__}"]
    fields = _fields(declared)
    wrong = [f"{path}: {declared.__name__} has no {key!r}" for key in value if key not in fields]
    for key, (kind, required) in fields.items():
        if key in value:
            wrong += mismatches(value[key], kind, f"{path}.{key}")
        elif required:
            wrong.append(f"{path}: {declared.__name__} needs {key!r}")
    return wrong


@cache
def _fields(declared: Any) -> dict[str, tuple[Any, bool]]:
    """The keys as they are on the wire, with their types and whether they must be there."""
    fields = {}
    for name, kind in get_type_hints(declared, include_extras=True).items():
        required = get_origin(kind) is Required
        inner = get_args(kind)[0] if get_origin(kind) in (Required, NotRequired) else kind
        notes = get_args(inner)[1:] if get_origin(inner) is Annotated else ()
        alias = next((a for n in notes if (a := getattr(n, "alias", None))), None)
        fields[alias or name] = (inner, required)
    return fields


def _of_list(value: Any, declared: Any, path: str) -> list[str]:
    if not isinstance(value, list):
        return [f"{path}: {_short(value)} is no list"]
    return [w for n, item in enumerate(value) for w in mismatches(item, declared, f"{path}[{n}]")]


def _of_mapping(value: Any, declared: Any, path: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path}: {_short(value)} is no mapping"]
    return [w for key in value for w in mismatches(value[key], declared, f"{path}.{key}")]


def _short(value: Any) -> str:
    return repr(value)[:60]
