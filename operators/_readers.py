"""Readers of one document that is being written: what to emit, or to call, for what has come."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

from gai_rx.errors import ObjectInvalidError
from gai_rx.operators._partials import Moment, Partial, Running
from gai_rx.operators._shapes import Key, Shape
from gai_rx.schemas import Target
from gai_rx.wire.partial_json import Found, JsonPath, PartialJson, parse_path

__all__ = ["ASYNC", "Elements", "Field", "Fields", "Handled", "Objects", "parse_path"]

T = TypeVar("T")

ASYNC = "on_field() calls plain functions only, and {name!r} has an async one: use map_async()"
_EACH = parse_path("$.*")
# Most characters of a document, of which everything is kept, or nothing.
_LONGEST_KEPT = 32 * 1024**2
_LONGEST = 1024**3


def _root_of(paths: Iterable[JsonPath]) -> type[dict[Any, Any]] | type[list[Any]] | None:
    """What the document must be for these paths; None if it may be either."""
    first = {type(path.steps[0]) if path.steps else None for path in paths}
    return dict if first == {str} else list if first == {int} else None


class _Reader:
    """One document."""

    def __init__(
        self,
        watch: Iterable[JsonPath],
        root: type[dict[Any, Any]] | type[list[Any]] | None,
        *,
        keep: bool = False,
        watch_open: bool = False,
        tolerant: bool = True,
    ) -> None:
        self._json = PartialJson(
            watch=watch,
            root=root,
            keep=keep,
            watch_open=watch_open,
            tolerant=tolerant,
            limit=_LONGEST_KEPT if keep else _LONGEST,
        )

    @property
    def complete(self) -> bool:
        return self._json.complete

    def feed(self, text: str) -> Iterator[Any]:
        yield from self._take(self._json.feed(text))

    def close(self) -> Iterator[Any]:
        yield from self._take(self._json.close())

    def _take(self, found: Iterable[Found]) -> Iterator[Any]:
        """What to emit for what has come."""
        raise NotImplementedError


class Elements(_Reader):
    """Emits what is at a place when it closes, and forgets it."""

    def __init__(self, path: JsonPath, target: Target[Any] | None) -> None:
        super().__init__([path], _root_of([path]))
        self._target = target

    def _take(self, found: Iterable[Found]) -> Iterator[Any]:
        target = self._target
        for each in found:
            yield each.value if target is None else _fitted(target.fit, each)


class Field(_Reader):
    """Emits what is at a place when it closes; a text also while it grows."""

    def __init__(self, path: JsonPath) -> None:
        super().__init__([path], _root_of([path]), watch_open=True)
        self._emitted: tuple[tuple[Key, ...], int] = ((), 0)  # the open text, and how long it was

    def _take(self, found: Iterable[Found]) -> Iterator[Any]:
        for each in found:
            value = each.value
            if isinstance(value, str):
                seen, self._emitted = self._emitted, (each.place, len(value))
                if seen == self._emitted or not (value or each.closed):
                    continue
            elif not each.closed:
                continue
            yield value


class Fields(_Reader):
    """Emits the closed fields, one more each time."""

    def __init__(self) -> None:
        super().__init__([_EACH], dict)
        self._fields: dict[Key, tuple[int, Any]] = {}

    def _take(self, found: Iterable[Found]) -> Iterator[Any]:
        fields = self._fields
        for each in found:
            key = each.place[0]
            place = fields[key][0] if key in fields else len(fields)
            fields[key] = place, each.value
            yield Running(fields, len(fields))


class Handled(_Reader):
    """Calls functions, and emits nothing."""

    def __init__(self, by_path: Mapping[JsonPath, Callable[[Any], Any]]) -> None:
        super().__init__(by_path, _root_of(by_path))
        self._by_path = by_path

    def _take(self, found: Iterable[Found]) -> Iterator[Any]:
        for each in found:
            returned = self._by_path[each.watch](each.value)
            if inspect.iscoroutine(returned):  # of a lambda around an async call
                returned.close()
                raise TypeError(ASYNC.format(name=str(each.watch)))
        return iter(())


class Objects(_Reader):
    """Emits the object so far with each piece of it."""

    def __init__(self, shape: Shape[Any]) -> None:
        root = shape.target.root
        super().__init__([_EACH] if root else [], root, keep=True, tolerant=root is not None)
        self._shape = shape
        self._said: list[str] = []
        self._fields: dict[Key, tuple[int, Any]] = {}
        self._done = False

    def feed(self, text: str) -> Iterator[Any]:
        if not self._done:
            self._said.append(text)
            yield from self._with_text(self._json.feed, text)

    def close(self) -> Iterator[Any]:
        if not self._done:
            yield from self._with_text(self._json.close)

    def _with_text(self, step: Callable[..., Iterable[Found]], *arguments: str) -> Iterator[Any]:
        try:
            made = self._made(step(*arguments))
        except ObjectInvalidError as error:
            error.text = "".join(self._said)
            raise
        if made is not None:
            yield made

    def _made(self, found: Iterable[Found]) -> Partial[Any] | None:
        shape, fields, parser = self._shape, self._fields, self._json
        for each in found:
            key = each.place[0]
            name = shape.names.get(key, key)
            place = fields[name][0] if name in fields else len(fields)
            fields[name] = place, _fitted(partial(shape.fit, key), each)
        root = parser.value
        if root is None and not parser.complete:
            return None
        made = None
        if parser.complete:
            self._done = True
            made = (shape.target.fit(root),)
        moment = Moment(root, parser.place)
        return Partial(Running(fields, len(fields)), moment, shape.names, made)


def _fitted(fit: Callable[[Any], T], found: Found) -> T:
    """What was found, as its type; an error says where it stands, and what it was."""
    try:
        return fit(found.value)
    except ObjectInvalidError as error:
        where, told = JsonPath(found.place), error.message
        fits_not = told.removeprefix("the object")  # the one that stands there
        told = f"in {where}: {told}" if fits_not == told else f"{where}{fits_not}"
        placed = ObjectInvalidError(told, phase="decode")
        placed.text = json.dumps(found.value, ensure_ascii=False)
        raise placed from error.__cause__
