"""Objects: structured answers while they are written, whole or field by field."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

from reactivex import Observable

from gai_rx.operators._documents import reading
from gai_rx.operators._partials import Partial
from gai_rx.operators._readers import (
    ASYNC,
    Elements,
    Field,
    Fields,
    Handled,
    Objects,
    parse_path,
)
from gai_rx.operators._shapes import Shape
from gai_rx.schemas import Target
from gai_rx.stream import Stream

__all__ = ["Partial", "elements", "field", "merge_fields", "objects", "on_field"]

T = TypeVar("T")


@overload
def objects(type_: type[T]) -> Callable[[Observable[object]], Stream[Partial[T]]]: ...
@overload
def objects(
    type_: Mapping[str, Any],
) -> Callable[[Observable[object]], Stream[Partial[Any]]]: ...
def objects(type_: Any) -> Callable[[Observable[object]], Stream[Partial[Any]]]:
    """Emit the object so far with each piece of it: complete fields validated, the open one raw.

        source        -a-b-c-|
        objects(T)    -A-B-C-|      C.done, and C.object is a T

    Takes the events of `stream_object`, events whose text is JSON (prose and code fences around it
    are passed over), or strings. A field is validated once, when it closes, the whole at its end:
    each piece costs its own length. Streams that were joined, and choices, have an object each; one
    that begins anew begins anew here. What does not fit ends the stream at once, but of
    `stream_object`, which may ask again (`repair=`), only once its answer has ended.

    Args:
        type_: What the object shall be, as `stream_object` takes it.

    Raises:
        TypeError: At once, if pydantic has no schema for the type.
        ObjectInvalidError: Through on_error, if the text is no JSON, or does not fit, or ends too
            early; its `text` is what came.

    Example:
        >>> import reactivex as rx
        >>> from pydantic import BaseModel
        >>> from gai_rx import Stream
        >>> class Report(BaseModel):
        ...     title: str
        ...     confidence: float
        >>> pieces = Stream.of(rx.of('{"title": "Cl', 'ouds", "con', 'fidence": 1}'))
        >>> for partial in pieces.pipe(objects(Report)):
        ...     print(partial.value, partial.complete)
        {'title': 'Cl'} ()
        {'title': 'Clouds'} ('title',)
        {'title': 'Clouds', 'confidence': 1.0} ('title', 'confidence')
        >>> partial.object
        Report(title='Clouds', confidence=1.0)
    """
    shape: Shape[Any] = Shape(type_)
    return reading(f"objects({shape.target.name})", lambda: Objects(shape))


@overload
def field(path: str) -> Callable[[Observable[object]], Stream[Any]]: ...
@overload
def field(path: str, type_: type[T]) -> Callable[[Observable[object]], Stream[T]]: ...
def field(path: str, type_: Any = None) -> Callable[[Observable[object]], Stream[Any]]:
    """Emit each value of one place of the object.

        source           -a-b-c-|
        field("name")    -x-y---|      x = "A", y = "Ada"

    Without a type a text is emitted as it grows, each time the text so far, and every other value
    when it is complete. With one, only complete values are, validated. Takes what `objects` takes.

    Args:
        path: The place: `confidence`, `a.b[0]`, `items[*].name`, `$..url`.
        type_: What a value shall be.

    Raises:
        ValueError: At once, if the path is none; the message says where.
        TypeError: At once, if pydantic has no schema for the type.
        ObjectInvalidError: Through on_error, if the text is no JSON, or a value does not fit.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream
        >>> pieces = Stream.of(rx.of('{"name": "A', 'da", "age', '": 36}'))
        >>> pieces.pipe(field("name")).to_list().run()
        ['A', 'Ada']
        >>> pieces.pipe(field("age", float)).to_list().run()
        [36.0]
    """
    place = parse_path(path)
    if type_ is None:
        return reading(f"field({path!r})", lambda: Field(place))
    target: Target[Any] = Target(type_)
    return reading(f"field({path!r}, {target.name})", lambda: Elements(place, target))


@overload
def elements(path: str = ...) -> Callable[[Observable[object]], Stream[Any]]: ...
@overload
def elements(path: str, type_: type[T]) -> Callable[[Observable[object]], Stream[T]]: ...
def elements(path: str = "$[*]", type_: Any = None) -> Callable[[Observable[object]], Stream[Any]]:
    """Emit each element of a list the moment it is complete, validated.

        source              -a-b-c-|
        elements("$[*]")    ---x-y-|

    What was emitted is not kept: a list of any length is read in constant memory. Takes what
    `objects` takes.

    Args:
        path: The elements: `$.items[*]`; the default is those of an answer that is a list.
        type_: What an element shall be; None for plain data.

    Raises:
        ValueError: At once, if the path is none; the message says where.
        TypeError: At once, if pydantic has no schema for the type.
        ObjectInvalidError: Through on_error, if the text is no JSON, or an element does not fit.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream
        >>> pieces = Stream.of(rx.of('{"items": [{"n": 1}, {"n"', ': 2}, ', '{"n": 3}]}'))
        >>> pieces.pipe(elements("$.items[*]", dict)).to_list().run()
        [{'n': 1}, {'n': 2}, {'n': 3}]
    """
    place = parse_path(path)
    target: Target[Any] | None = None if type_ is None else Target(type_)
    shown = "" if target is None else f", {target.name}"
    return reading(f"elements({path!r}{shown})", lambda: Elements(place, target))


def merge_fields() -> Callable[[Observable[object]], Stream[Mapping[str, Any]]]:
    """Emit the complete fields of the object so far, each time there is one more.

        source            -a-b-c-|
        merge_fields()    ---x-y-|      x = {"a": 1}, y = {"a": 1, "b": 2}

    What is emitted does not change: `dict(fields)` makes a dictionary of your own. Takes what
    `objects` takes.

    Raises:
        ObjectInvalidError: Through on_error, if the text is no JSON object.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream
        >>> pieces = Stream.of(rx.of('{"records": 10, "err', 'ors": 0}'))
        >>> pieces.pipe(merge_fields()).to_list().run()
        [{'records': 10}, {'records': 10, 'errors': 0}]
    """
    return reading("merge_fields()", Fields)


def on_field(
    handlers: Mapping[str, Callable[[Any], Any]],
) -> Callable[[Observable[T]], Stream[T]]:
    """Call a function for each value of a place when it is complete; the items go on unchanged.

        source                -a-b-c-|
        on_field({"x": f})    -a-b-c-|      f(1)

    Takes what `objects` takes. What a function returns is ignored, and what it raises ends the
    stream.

    Args:
        handlers: Functions, by the path of the values that they take: `confidence`, `items[*]`.

    Raises:
        ValueError: At once, if a path is none; the message says where.
        TypeError: At once, without a function, and for an async one, which `map_async` takes.
        ObjectInvalidError: Through on_error, if the text is no JSON.

    Example:
        >>> import reactivex as rx
        >>> from gai_rx import Stream
        >>> pieces = Stream.of(rx.of('{"done": 0.5, "err', 'ors": 0}'))
        >>> shown = pieces.pipe(on_field({"done": lambda share: print(f"{share:.0%}")}))
        >>> _ = shown.run()
        50%
    """
    if not handlers:
        raise TypeError("on_field() needs at least one function: on_field({'confidence': print})")
    by_path = {parse_path(path): _checked(path, function) for path, function in handlers.items()}
    stage = f"on_field({', '.join(handlers)})"
    operator: Any = reading(stage, lambda: Handled(by_path), passes=True)
    return operator  # type: ignore[no-any-return]  # what comes in goes out


def _checked(path: str, function: Any) -> Callable[[Any], Any]:
    if not callable(function):
        raise TypeError(f"on_field() takes a function for {path!r}, got {function!r}")
    called = function if inspect.isroutine(function) else type(function).__call__
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called):
        raise TypeError(ASYNC.format(name=path))
    return function  # type: ignore[no-any-return]  # checked by hand
