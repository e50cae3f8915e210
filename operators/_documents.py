"""The JSON documents in a stream: which item belongs to which, and when one is to be begun anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, Protocol

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable

from gai_rx.errors import ObjectInvalidError
from gai_rx.events import Finish, ObjectDelta, Start, TextDelta
from gai_rx.operators._outlet import Outlet
from gai_rx.stream import Operator, lift

__all__ = ["Documents", "Reader", "reading"]


class Reader(Protocol):
    """Reads one document; what it gives is for the operator to emit, or to call."""

    def feed(self, text: str) -> Iterable[Any]:
        """Read on.

        Raises:
            ObjectInvalidError: If it is no JSON, or does not fit.
        """
        ...

    def close(self) -> Iterable[Any]:
        """The document has ended.

        Raises:
            ObjectInvalidError: If it is not complete.
        """
        ...

    @property
    def complete(self) -> bool:
        """Whether the document is closed."""
        ...


class _Document:
    """A document and where it stands: the step, and whether it is an object's own text.

    What `stream_object` brings it may yet ask for again, with `repair`: there a fault waits for the
    end of the answer, and is forgotten when another one begins.
    """

    __slots__ = ("fault", "is_object", "reader", "step")

    def __init__(self, reader: Reader, step: int, is_object: bool) -> None:
        self.fault: ObjectInvalidError | None = None
        self.reader = reader
        self.step = step
        self.is_object = is_object

    def feed(self, text: str) -> Iterable[Any]:
        return self._feed_object(text) if self.is_object else self.reader.feed(text)

    def _feed_object(self, text: str) -> Iterator[Any]:
        if self.fault is not None:
            return
        try:
            yield from self.reader.feed(text)
        except ObjectInvalidError as fault:
            self.fault = fault

    def close(self) -> Iterable[Any]:
        if self.fault is not None:
            raise self.fault
        return self.reader.close()


class Documents:
    """The documents of one subscription: of each stream and choice one at a time.

    An answer ends with `Finish`, and its document with it; what comes then begins another. In a run
    of several steps each step has its own: only the last must be complete. Where there are
    `ObjectDelta`s, text beside them is none of the document's.
    """

    def __init__(self, make: Callable[[], Reader]) -> None:
        self._make = make
        self._open: dict[tuple[str, int], _Document] = {}
        self._read: set[tuple[str, int]] = set()  # those of which an earlier step was complete

    def take(self, item: object) -> Iterable[Any]:
        """What an item brings; it is made while one iterates.

        Raises:
            ObjectInvalidError: While one iterates, if a document is wrong.
        """
        kind = item.__class__
        if kind is ObjectDelta or kind is TextDelta:
            return self._take_delta(item)
        if isinstance(item, str):
            return self._document(("", 0), 0, is_object=False).feed(item) if item else ()
        if isinstance(item, Finish):
            return self._end([key for key in self._open if key[0] == item.stream_id])
        if isinstance(item, Start) and item.attempt > 1:
            for key, document in list(self._open.items()):
                if key[0] == item.stream_id and document.step >= item.step:
                    del self._open[key]
        return ()

    def end(self) -> Iterable[Any]:
        """The stream has completed, and every document in it.

        Raises:
            ObjectInvalidError: While one iterates, if a document is not complete.
        """
        return self._end(list(self._open))

    def _take_delta(self, delta: Any) -> Iterable[Any]:
        is_object = isinstance(delta, ObjectDelta)
        key = (delta.stream_id, 0 if is_object else delta.choice)
        found = self._open.get(key)
        if not delta.text or (found is not None and found.is_object and not is_object):
            return ()
        return self._document(key, delta.step, is_object).feed(delta.text)

    def _document(self, key: tuple[str, int], step: int, is_object: bool) -> _Document:
        found = self._open.get(key)
        if found is not None and found.step == step and found.is_object == is_object:
            return found
        if found is not None and found.reader.complete:
            self._read.add(key)
        made = self._open[key] = _Document(self._make(), step, is_object)
        return made

    def _end(self, keys: Iterable[tuple[str, int]]) -> Iterator[Any]:
        for key in keys:
            document = self._open.pop(key)
            if key not in self._read:
                yield from document.close()
            self._read.discard(key)


def reading(
    stage: str, make: Callable[[], Reader], *, passes: bool = False
) -> Operator[object, Any]:
    """Make an operator that reads the documents of a stream, and emits what the readers give.

    Args:
        stage: How it shows in `repr`.
        make: Makes a reader, for each document.
        passes: Pass the items themselves on, behind what is emitted for them.
    """

    def subscribe(
        source: Observable[Any],
        observer: abc.ObserverBase[Any],
        scheduler: abc.SchedulerBase | None,
    ) -> abc.DisposableBase:
        reading = _Reading(Documents(make), Outlet(observer, stage), passes)
        return reading.subscribe(source, scheduler)

    return lift(stage, subscribe, keeps_events=passes)


class _Reading:
    """One subscription."""

    def __init__(self, documents: Documents, outlet: Outlet[Any], passes: bool) -> None:
        self._documents = documents
        self._outlet = outlet
        self._passes = passes

    def subscribe(
        self, source: Observable[Any], scheduler: abc.SchedulerBase | None
    ) -> abc.DisposableBase:
        upstream = source.subscribe(self._on_next, self._end, self._end, scheduler=scheduler)
        return CompositeDisposable(self._outlet, upstream)

    def _on_next(self, item: Any) -> None:
        outlet = self._outlet
        if outlet.busy:
            outlet.send(self._made(item))
        elif made := self._documents.take(item):
            outlet.send(chain(made, (item,)) if self._passes else made)
        elif self._passes:
            outlet.send_one(item)

    def _made(self, item: Any) -> Iterator[Any]:
        """What an item brings, when it is its turn: until then the document is not read on."""
        yield from self._documents.take(item)
        if self._passes:
            yield item

    def _end(self, error: Exception | None = None) -> None:
        self._outlet.end(() if error else self._last(), error)

    def _last(self) -> Iterator[Any]:
        """What the end brings, once all that waits has been read."""
        yield from self._documents.end()
