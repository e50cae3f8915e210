"""R17, R19 and R20: who is slow holds who is fast, and nothing piles up in between."""

import asyncio
from typing import Any

import pytest
from reactivex.subject import Subject

from gai_rx import BackpressureError, Stream, TextDelta
from gai_rx.operators.flowing import map_async, relay
from tests.contract.probe import EVENTS, Feed, Probe, numbered, numbers
from tests.contract.registry import REGISTRY, Entry, over
from tests.contract.virtual_loop import run, settle, virtual_loop
from tests.wire_server import WireServer, endless

DEEP, NOT_SO_DEEP = 100_000, 10_000
"""Rounds of a feedback loop, for the first entry of an operator and for its variants."""
BELOW = 2 + 2
"""Items that wait in the `relay(2)` or the `map_async` below, and the one that is at work."""


@over("R17", having=lambda e: e.boundary and e.identity)
def test_r17_a_feedback_loop_through_a_boundary_keeps_its_order_and_no_stack(entry: Entry) -> None:
    first = next(e for e in REGISTRY if e.operator == entry.operator and e.identity)
    deep = DEEP if entry is first else NOT_SO_DEEP

    async def main() -> None:
        subject, last, ended = Subject[Any](), 0, asyncio.Event()

        def on_next(item: Any) -> None:
            nonlocal last
            for number in entry.of_source([item]):
                assert number == last + 1
                last = number
                if number < deep:
                    subject.on_next(number + 1)
                else:
                    subject.on_completed()

        entry.apply(Stream.of(subject)).subscribe(on_next, None, ended.set)  # no probe: many items
        subject.on_next(1)
        await ended.wait()
        assert last == deep

    run(main)


@over("R17", having=lambda e: e.boundary and e.identity)
def test_r17_what_is_fed_back_at_once_may_be_more_than_waits(entry: Entry) -> None:
    async def main() -> None:
        subject, seen, count = Subject[Any](), list[int](), 12

        def on_next(item: Any) -> None:
            for event in entry.of_source([item]):
                seen.extend(numbers([event]))
                if seen == [1]:
                    for number in range(2, count + 1):
                        subject.on_next(TextDelta(text=f"{number} "))
                if seen[-1] == count:
                    subject.on_completed()

        probe = Probe(entry.apply(Stream.of(subject)), on_next)
        subject.on_next(TextDelta(text="1 "))
        await probe.end()
        assert probe.completed
        assert seen == list(range(1, count + 1))

    run(main)


@over("R17", having=lambda e: e.identity)
def test_r17_a_feedback_loop_through_the_loop_keeps_its_order(entry: Entry) -> None:
    # A Subject that emits within its own on_next nests in RxPY itself; a turn in between helps.
    count = 500

    async def main() -> None:
        subject, loop, seen = Subject[Any](), asyncio.get_running_loop(), list[int]()

        def on_next(item: Any) -> None:
            for event in entry.of_source([item]):
                if isinstance(event, TextDelta):
                    seen.append(int(event.text))
                    if seen[-1] == count:
                        loop.call_soon(subject.on_completed)
                    else:
                        loop.call_soon(subject.on_next, TextDelta(text=str(seen[-1] + 1)))

        probe = Probe(entry.apply(Stream.of(subject, of_events=True)), on_next)
        subject.on_next(TextDelta(text="1"))
        await probe.end()
        assert seen == list(range(1, count + 1))

    run(main)


@over("R19")
def test_r19_a_subscriber_that_takes_nothing_holds_the_source(entry: Entry) -> None:
    async def never(_: Any) -> None:
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        for pause in (0, 0.3):
            feed = Feed(EVENTS[1:6], endless=True, pause=pause)
            probe = Probe(entry.apply(feed.stream).pipe(map_async(never, queue=1)))
            await asyncio.sleep(1000) if pause else await settle(3000)
            pulled = feed.pulled
            # Text comes with most of the items, so that whatever filters passes many of them on.
            assert pulled <= (3 * (entry.room + BELOW) + 3) * entry.requests
            await asyncio.sleep(1000) if pause else await settle(3000)
            assert feed.pulled == pulled, "it went on"
            probe.dispose()
            await settle()
            assert feed.open == 0
            assert not virtual_loop().left()

    run(main)


@over("R19")
def test_r19_the_source_stays_close_to_a_slow_subscriber_who_gets_everything(entry: Entry) -> None:
    count, lead = 300, [0]

    async def main() -> None:
        feed = Feed([*numbered(count)], pause=0)

        async def slow(item: Any) -> Any:
            await asyncio.sleep(0.01)
            seen = numbers(item if isinstance(item, list) else entry.of_source([item]))
            if seen:
                lead[0] = max(lead[0], feed.pulled - seen[-1])
            return item

        probe = await Probe(entry.apply(feed.stream).pipe(relay(2), map_async(slow, queue=1))).end()
        assert probe.completed
        assert lead[0] <= (3 * (entry.room + BELOW) + 3) * entry.requests
        if entry.identity:
            assert numbers(entry.of_source(probe.items)) == list(range(count))

    run(main)


@over("R19", having=lambda e: e.boundary)
def test_r19_a_source_that_can_not_be_held_overruns_loudly_or_loses_by_name(entry: Entry) -> None:
    async def main() -> None:
        subject = Subject[Any]()
        probe = Probe(entry.apply(Stream.of(subject, of_events=True)))
        for event in numbered(5000):
            subject.on_next(event)
        subject.on_completed()
        await settle(300)
        if entry.name.endswith("caller_runs"):
            assert numbers(entry.of_source(probe.items)) == list(range(5000))  # the caller ran
        elif entry.name.endswith("conflate"):
            assert numbers(entry.of_source(probe.items)) == list(range(5000))  # in few items
            assert len(entry.of_source(probe.items)) <= 5
        elif "R19" in entry.exempt and not entry.name.endswith("error"):
            assert len(entry.of_source(probe.items)) <= 4
        else:
            assert isinstance(probe.error, BackpressureError)
            assert not subject.observers

    run(main)


@pytest.mark.parametrize("policy", ["drop_newest", "drop_oldest", "latest", "error"])
def test_r19_a_queue_that_drops_stays_at_its_bound(policy: Any) -> None:
    async def never(_: Any) -> None:
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        feed = Feed([*numbered(2000)], pause=0)
        probe = Probe(feed.stream.pipe(relay(4, overflow=policy), map_async(never, queue=1)))
        await settle(5000)
        if policy == "error":
            assert feed.pulled <= 4 + BELOW + 2
        else:
            assert feed.pulled == 2000
        probe.dispose()

    run(main)


QUEUEING = [
    e
    for e in REGISTRY
    if "R19" not in e.exempt
    and (e.boundary or e.operator in ("limit_rate", "smooth", "multiplex", "race", "batch"))
    and e.name != "smooth by line"  # the server's endless text has none
]


async def test_r20_who_takes_nothing_leaves_the_server_blocked_in_its_write() -> None:
    """Over a real socket, through each operator that queues; all of them at once."""

    async def never(_: Any) -> None:
        await asyncio.get_running_loop().create_future()

    async def one(entry: Entry) -> str:
        async with WireServer(endless()) as server:
            stream = server.provider.stream_text("Go on for ever")
            subscription = entry.apply(stream).pipe(map_async(never, queue=1)).subscribe()
            await asyncio.sleep(1.0)
            written = [e.written for e in server.exchanges]
            await asyncio.sleep(0.5)
            grown = [e.written for e in server.exchanges] != written
            running = [e for e in server.exchanges if not e.closed.is_set()]  # a race has losers
            waits = running and all(e.blocked_for > 0.5 for e in running)
            subscription.dispose()
            async with asyncio.timeout(2):
                for exchange in server.exchanges:
                    await exchange.closed.wait()
            if grown or not waits or not written:
                return f"{entry.name}: {written}, blocked: {bool(waits)}, grew: {grown}"
            return ""

    problems = await asyncio.gather(*(one(entry) for entry in QUEUEING))
    assert not any(problems), [problem for problem in problems if problem]
