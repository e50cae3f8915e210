"""R26 and R27: each subscription keeps its own context, and nothing of it once it is over."""

import asyncio
import contextvars
import gc
import weakref
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from gai_rx import Stream, TextDelta
from gai_rx.flow import produce
from gai_rx.operators import flat_map
from tests.contract.probe import EVENTS, Feed, Probe, numbered
from tests.contract.registry import Entry, over
from tests.contract.virtual_loop import run, settle, virtual_loop

canary: contextvars.ContextVar[str] = contextvars.ContextVar("canary", default="nobody")
ERROR = ZeroDivisionError("of the source")


@over("R26")
def test_r26_a_subscriber_is_called_in_its_own_context(entry: Entry) -> None:
    async def subscriber(name: str, stream: Stream[Any], pause: float) -> set[str]:
        canary.set(name)
        await asyncio.sleep(pause)
        seen: set[str] = set()
        probe = Probe(stream, lambda _: seen.add(canary.get()), lambda: seen.add(canary.get()))
        canary.set("set later, by who subscribed")
        await probe.end()
        return seen

    async def main() -> None:
        for pause in (0, 0.3):
            stream = entry.apply(Feed(EVENTS, pause=pause).stream)
            names = [f"subscriber {n}" for n in range(3)]
            found = await asyncio.gather(
                *(
                    asyncio.create_task(subscriber(name, stream, 0.2 * n))
                    for n, name in enumerate(names)
                )
            )
            assert found == [{name} for name in names]
            assert canary.get() == "nobody"

    run(main)


@over("R26", having=lambda e: e.calling)
def test_r26_a_user_function_is_called_in_the_context_of_its_subscriber(entry: Entry) -> None:
    async def subscriber(name: str, stream: Stream[Any], seen: list[str]) -> None:
        canary.set(name)
        await Probe(stream).end()
        assert canary.get() == name

    async def main() -> None:
        assert entry.calling is not None
        seen: list[str] = []
        error = ERROR if entry.calls == "error" else None
        for pause in (0, 0.3):
            feed = Feed(EVENTS, error=error, pause=pause)
            stream = entry.calling(lambda: seen.append(canary.get()))(feed.stream)
            await asyncio.gather(
                *(asyncio.create_task(subscriber(name, stream, seen)) for name in ("one", "two"))
            )
            assert set(seen) == {"one", "two"}
            assert seen.count("one") == seen.count("two")

    run(main)


def test_r26_one_inner_stream_does_not_leak_its_context_into_the_next() -> None:
    begun: list[str] = []

    def inner(item: Any) -> Stream[Any]:
        async def make() -> AsyncGenerator[Sequence[Any], None]:
            begun.append(canary.get())
            canary.set(f"of the inner stream {item.text}")
            await asyncio.sleep(0)
            yield (item,)

        begun.append(canary.get())
        return Stream(produce(make, "inner"))

    async def main() -> None:
        for concurrency in (1, 2):
            canary.set("of the subscriber")
            feed = Feed(tuple(numbered(6)))
            await Probe(feed.stream.pipe(flat_map(inner, concurrency=concurrency))).end()
        assert begun == ["of the subscriber"] * 24

    run(main)


class Request:
    """What a request is made of; it must not outlive its answer."""


class Observer:
    """A subscriber that can be watched as it is forgotten."""

    def __init__(self) -> None:
        self.count = 0

    def on_next(self, _: Any) -> None:
        self.count += 1

    def on_error(self, _: Exception) -> None:
        """Take it."""

    def on_completed(self) -> None:
        """Take it."""


def watched(
    requests: list[weakref.ref[Any]], references: list[weakref.ref[Any]], ending: str
) -> Stream[Any]:
    """A stream of items, made from a request, all of them watched."""
    request = Request()
    requests.append(weakref.ref(request))

    async def make() -> AsyncGenerator[Sequence[Any], None]:
        assert request is not None
        for number in range(12):
            item = TextDelta(text=f"{number} ")
            references.append(weakref.ref(item))
            yield (item,)
            del item
            await asyncio.sleep(0)
        if ending == "dispose":
            await asyncio.get_running_loop().create_future()
        if ending == "error":
            raise ZeroDivisionError

    return Stream(produce(make, "watched"), of_events=True)


@over("R27")
def test_r27_nothing_of_a_subscription_is_kept_when_it_is_over(entry: Entry) -> None:
    async def main() -> None:
        for ending in ("dispose", "error", "completion"):
            request: list[weakref.ref[Any]] = []
            references: list[weakref.ref[Any]] = []
            stream = entry.apply(watched(request, references, ending))
            await subscribed(stream, references, ending)
            gc.collect()
            left = [r() for r in references if r() is not None]
            assert not left, f"after {ending} the stream holds {left[:3]}"
            del stream
            gc.collect()
            assert request[0]() is None, f"after {ending} the request is held"
            assert not virtual_loop().left()

    gc.collect()
    gc.freeze()  # what is there already need not be looked at each time
    try:
        run(main)
    finally:
        gc.unfreeze()


async def subscribed(stream: Stream[Any], references: list[weakref.ref[Any]], ending: str) -> None:
    """Subscribe, and let go of the observer and of the subscription."""
    observer = Observer()
    references.append(weakref.ref(observer))
    subscription = stream.subscribe(observer.on_next, observer.on_error, observer.on_completed)
    references.append(weakref.ref(subscription))
    await settle(60)
    if ending == "dispose":
        subscription.dispose()
    else:
        await asyncio.sleep(30)
    del observer, subscription
    await settle()
