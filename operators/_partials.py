"""`Partial`: what an object says at one moment; and the shape of its type, field by field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import (
    Any,
    Generic,
    TypeVar,
)

from gai_rx.views import plain

__all__ = ["Moment", "Partial", "Running"]

T = TypeVar("T")
Key = str | int


class Running(Mapping[Key, Any]):
    """The fields that were complete at one moment; later ones do not show.

    All moments of a document share one dictionary, to which is only added.
    """

    __slots__ = ("_count", "_fields")

    def __init__(self, fields: dict[Key, tuple[int, Any]], count: int) -> None:
        self._fields = fields
        self._count = count

    def __getitem__(self, key: Key) -> Any:
        place, value = self._fields[key]
        if place >= self._count:
            raise KeyError(key)
        return value

    def __iter__(self) -> Iterator[Key]:
        return islice(iter(self._fields), self._count)

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        return repr(dict(self))


class Moment:
    """How far an unfinished value had come: the lengths along what was open in it.

    To note it costs the depth of the document; to look at it, its size.
    """

    __slots__ = ("_lengths", "_root")

    def __init__(self, root: Any, place: Sequence[Key]) -> None:
        self._root = root
        self._lengths: list[int] = []
        inside: Any = root
        try:
            for key in place:
                self._lengths.append(len(inside))
                inside = inside[key]
        except (KeyError, IndexError):
            return  # the key is there, its value does not show yet
        if isinstance(inside, dict | list | str):
            self._lengths.append(len(inside))

    @property
    def kind(self) -> type:
        """What the value is: `dict`, `list`, or anything else."""
        return type(self._root)

    def value(self) -> Any:
        """What there was."""
        return _until(self._root, self._lengths, 0)

    def field(self) -> tuple[Key, Any] | None:
        """The field that was open, and what there was of it."""
        if len(self._lengths) < 2:
            return None
        key, value = _last(self._root, self._lengths[0])
        return key, _until(value, self._lengths, 1)


def _until(value: Any, lengths: Sequence[int], depth: int) -> Any:
    """The value as it was when it, and the last of what is in it, had these lengths."""
    if depth == len(lengths):
        return plain(value)
    length = lengths[depth]
    if isinstance(value, str):
        return value[:length]
    if not length or depth + 1 == len(lengths):
        kept = islice(value.items(), length) if isinstance(value, dict) else value[:length]
        return plain(type(value)(kept))
    key, last = _last(value, length)
    inner = _until(last, lengths, depth + 1)
    if isinstance(value, dict):
        return {k: plain(v) for k, v in islice(value.items(), length - 1)} | {key: inner}
    return [plain(v) for v in islice(value, length - 1)] + [inner]


def _last(value: Any, length: int) -> tuple[Key, Any]:
    """The last entry of what had this length."""
    if isinstance(value, list):
        return length - 1, value[length - 1]
    found: tuple[Key, Any] = next(islice(value.items(), length - 1, None))
    return found


class Partial(Generic[T]):
    """What a `T` that is being written says at one moment.

    Its fields are attributes: those that are complete as the types that `T` gives them, the one
    that is open as it is. One that has not come is none: `partial.get(name)` gives None instead.
    It does not change when the document goes on; to look at the open field costs its length.
    """

    __slots__ = ("_fields", "_made", "_moment", "_names")
    _fields: Running
    _moment: Moment
    _names: Mapping[Key, Key]
    _made: tuple[T] | None

    def __init__(
        self,
        fields: Running,
        moment: Moment,
        names: Mapping[Key, Key],
        made: tuple[T] | None = None,
    ) -> None:
        put = object.__setattr__
        put(self, "_fields", fields)
        put(self, "_moment", moment)
        put(self, "_names", names)
        put(self, "_made", made)

    @property
    def value(self) -> Any:
        """All there is of it: a dictionary of the fields, or a list of the elements."""
        kind = self._moment.kind
        if kind is dict:
            return {**self._fields, **dict(self._open_fields())}
        if kind is list:
            return [*self._fields.values(), *(value for _, value in self._open_fields())]
        return self._moment.value()

    @property
    def complete(self) -> tuple[Key, ...]:
        """The names of the fields, or the indices of the elements, that are complete."""
        return tuple(self._fields)

    @property
    def done(self) -> bool:
        """Whether the whole is complete and valid."""
        return self._made is not None

    @property
    def object(self) -> T | None:
        """The whole, as its type; None until it is complete."""
        return None if self._made is None else self._made[0]

    def get(self, name: Key, default: Any = None) -> Any:
        """A field, or an element by its index, as far as it has come."""
        if name in self._fields:
            return self._fields[name]
        return next((value for key, value in self._open_fields() if key == name), default)

    def _open_fields(self) -> Iterator[tuple[Any, Any]]:
        """The field that is open, if one is."""
        found = self._moment.field()
        if found is not None:
            yield self._names.get(found[0], found[0]), found[1]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or (found := self.get(name, _MISSING)) is _MISSING:
            raise AttributeError(f"{name!r} has not come; complete so far: {list(self.complete)}")
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a Partial can not be changed: {name!r} stays as it is")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a Partial can not be changed: {name!r} stays")

    def __repr__(self) -> str:
        return f"Partial({self.value!r}, complete={list(self.complete)}, done={self.done})"


_MISSING: Any = object()
