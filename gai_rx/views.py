"""Views: an object that is still being written, to look at and not to touch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, SupportsIndex, overload

__all__ = ["Growing", "ListView", "ObjectView", "plain", "view"]


class Growing(Protocol):
    """What reads a document that is being written."""

    @property
    def value(self) -> Any:
        """What the document says so far; to ask for it brings every part of it up to date."""


class ObjectView(Mapping[str, Any]):
    """An object of the document: the keys that have come, each with what has come of its value.

    It is live: it shows what is there when one looks. It equals the dictionary of the same content.
    """

    __slots__ = ("_document", "_inside")

    def __init__(self, document: Growing, inside: dict[str, Any]) -> None:
        self._document = document
        self._inside = inside

    def __getitem__(self, key: str) -> Any:
        document = self._document
        _ = document.value  # an open string waits in pieces until somebody asks
        return view(document, self._inside[key])

    def __contains__(self, key: object) -> bool:
        return key in self._inside

    def __iter__(self) -> Iterator[str]:
        return iter(self._inside)

    def __len__(self) -> int:
        return len(self._inside)

    def __eq__(self, other: object) -> bool:
        _ = self._document.value
        if isinstance(other, ObjectView):
            _ = other._document.value
            return self._inside == other._inside
        return self._inside == other

    __hash__ = None  # type: ignore[assignment]  # it grows

    def __repr__(self) -> str:
        _ = self._document.value
        return repr(self._inside)

    def snapshot(self) -> dict[str, Any]:
        """What there is of it now, as dictionaries and lists of your own."""
        _ = self._document.value
        copied: dict[str, Any] = plain(self._inside)
        return copied


class ListView(Sequence[Any]):
    """A list of the document: the elements that have come, the last perhaps in part.

    It is live: it shows what is there when one looks. It equals the list of the same content.
    """

    __slots__ = ("_document", "_inside")

    def __init__(self, document: Growing, inside: list[Any]) -> None:
        self._document = document
        self._inside = inside

    @overload
    def __getitem__(self, index: SupportsIndex) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: Any) -> Any:
        document = self._document
        _ = document.value
        found = self._inside[index]
        if isinstance(index, slice):
            return [view(document, value) for value in found]
        return view(document, found)

    def __len__(self) -> int:
        return len(self._inside)

    def __eq__(self, other: object) -> bool:
        _ = self._document.value
        if isinstance(other, ListView):
            _ = other._document.value
            return self._inside == other._inside
        return self._inside == other

    __hash__ = None  # type: ignore[assignment]  # it grows

    def __repr__(self) -> str:
        _ = self._document.value
        return repr(self._inside)

    def snapshot(self) -> list[Any]:
        """What there is of it now, as dictionaries and lists of your own."""
        _ = self._document.value
        copied: list[Any] = plain(self._inside)
        return copied


def view(document: Growing, value: Any) -> Any:
    """A value of the document, so that it can be looked at only.

    Example:
        >>> class Written:
        ...     value = {"items": [1, 2]}
        >>> shown = view(Written(), Written.value)
        >>> shown["items"][-1], shown == {"items": [1, 2]}
        (2, True)
        >>> shown["items"] = []
        Traceback (most recent call last):
        ...
        TypeError: 'ObjectView' object does not support item assignment
    """
    if isinstance(value, dict):
        return ObjectView(document, value)
    if isinstance(value, list):
        return ListView(document, value)
    return value


def plain(value: Any) -> Any:
    """A copy of a value that JSON has."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value
