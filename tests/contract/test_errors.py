"""R11 to R13: an error arrives as the object it is, at once, and hits only whom it concerns."""

import asyncio
from typing import Any

import pytest

from gai_rx import Error, Stream
from gai_rx.operators import BranchFailed, fan_out, multiplex, where
from tests.contract.probe import EVENTS, Feed, Probe, text
from tests.contract.registry import REGISTRY, Entry, over
from tests.contract.virtual_loop import run, settle, virtual_loop

ERROR = ZeroDivisionError("of the source")


@over("R11")
def test_r11_an_error_of_the_source_arrives_at_once_after_what_came_before_it(entry: Entry) -> None:
    async def main() -> None:
        for place in range(len(EVENTS) + 1):
            whole = await Probe(entry.apply(Feed(EVENTS[:place]).stream)).end()
            feed = Feed(EVENTS[:place], error=ERROR)
            before = asyncio.get_running_loop().time()
            failed = await Probe(entry.apply(feed.stream)).end()
            assert failed.error is ERROR
            assert asyncio.get_running_loop().time() == before, "it waited for something"
            assert feed.open == 0
            assert not virtual_loop().left()
            if entry.operator == "collect":
                assert not failed.items  # an answer that failed is no result
            elif entry.overtakes:
                assert text(entry.of_source(whole.items)).startswith(
                    text(entry.of_source(failed.items))
                )
            else:
                assert text(entry.of_source(failed.items)) == text(entry.of_source(whole.items))

    run(main)


@over("R11")
def test_r11_no_time_passes_between_an_error_and_its_arrival(entry: Entry) -> None:
    async def main() -> None:
        for pause in (0.4, 3.0):
            feed = Feed(EVENTS[:4], error=ERROR, pause=pause)
            begun = asyncio.get_running_loop().time()
            probe = await Probe(entry.apply(feed.stream)).end()
            assert probe.error is ERROR
            assert probe.times[-1] == pytest.approx(begun + 4 * pause)

    run(main)


def test_r11_isolated_the_failure_of_one_stream_becomes_an_event() -> None:
    async def main() -> None:
        for place in range(len(EVENTS) + 1):
            failing = Feed(EVENTS[:place], error=ERROR)
            both = multiplex({"a": failing.stream, "b": Feed().stream})
            probe = await Probe(both).end()
            assert probe.completed
            told = [item for item in probe.items if isinstance(item, Error)]
            assert [(e.stream_id, e.kind) for e in told] == [("a", "ZeroDivisionError")]
            assert sum(item.stream_id == "b" for item in probe.items) == len(EVENTS)

    run(main)


def test_r11_what_is_paced_is_delivered_before_the_error() -> None:
    async def main() -> None:
        (entry,) = (e for e in REGISTRY if e.name == "limit_rate")
        probe = await Probe(entry.apply(Feed(EVENTS, error=ERROR).stream)).end()
        assert probe.items == list(EVENTS)
        assert probe.error is ERROR

    run(main)


class Trip:
    """A hook that raises in one of its calls."""

    def __init__(self, call: int, error: BaseException) -> None:
        self.calls = 0
        self._call, self._error = call, error

    def __call__(self) -> None:
        self.calls += 1
        if self.calls == self._call:
            raise self._error


def tripping(entry: Entry, trip: Trip, feed: Feed) -> Stream[Any]:
    assert entry.calling is not None
    return entry.calling(trip)(feed.stream)


def feed_for(entry: Entry) -> Feed:
    """A source during which the entry's user function is called."""
    return Feed(EVENTS, error=ERROR if entry.calls == "error" else None)


@over("R12", having=lambda e: e.calling)
def test_r12_an_exception_of_a_user_function_arrives_and_the_source_is_closed(entry: Entry) -> None:
    async def main() -> None:
        never = Trip(0, ERROR)
        await Probe(tripping(entry, never, feed_for(entry))).end()
        assert never.calls
        for call in range(1, never.calls + 1):
            error, feed = ArithmeticError("of the function"), feed_for(entry)
            trip = Trip(call, error)
            probe = await Probe(tripping(entry, trip, feed)).end()
            await settle()
            assert probe.error is error
            assert feed.open == 0
            assert not virtual_loop().left()
            if entry.calls == "items" and entry.requests == 1:
                assert trip.calls <= call + 3  # at most what ran beside it

    run(main)


@over("R12", having=lambda e: e.calling)
def test_r12_a_keyboard_interrupt_in_a_user_function_passes(entry: Entry) -> None:
    feed, interrupt = feed_for(entry), KeyboardInterrupt()
    probes: list[Probe] = []

    async def main() -> None:
        probes.append(await Probe(tripping(entry, Trip(1, interrupt), feed)).end())

    with pytest.raises(KeyboardInterrupt) as raised:
        run(main)
    assert raised.value is interrupt
    assert not probes, "it was taken for an error"
    assert feed.open == 0


@over("R12", having=lambda e: e.calling and e.calls == "items")
def test_r12_a_cancellation_in_a_user_function_ends_the_stream_with_it(entry: Entry) -> None:
    async def main() -> None:
        cancelled, feed = asyncio.CancelledError(), feed_for(entry)
        probe = await Probe(tripping(entry, Trip(1, cancelled), feed)).end()
        await settle()
        assert isinstance(probe.error, asyncio.CancelledError)
        assert feed.open == 0

    run(main)


@over("R13")
def test_r13_a_subscriber_that_raises_gets_its_error_and_the_others_everything(
    entry: Entry,
) -> None:
    async def one(place: int, count: int) -> None:
        feed, error = Feed(), ArithmeticError("of the subscriber")
        stream, seen = entry.apply(feed.stream), list[Any]()

        def on_next(item: Any) -> None:
            seen.append(item)
            if len(seen) == place:
                raise error

        bad, good = Probe(stream, on_next), Probe(stream)
        await good.end()
        await asyncio.sleep(100)
        told = [context.get("exception") for context in virtual_loop().reports]
        virtual_loop().reports.clear()
        # An item that comes with the end of the source finds no producer that could hand it back.
        assert bad.error is error or (told == [error] and place == count)
        assert len(seen) == place
        assert len(good.items) == count
        assert feed.open == 0
        assert not virtual_loop().left()

    async def main() -> None:
        count = len((await Probe(entry.apply(Feed().stream)).end()).items)
        for place in range(1, count + 1):
            await one(place, count)

    run(main)


@pytest.mark.parametrize("policy", ["block", "conflate", "caller_runs"])
def test_r13_a_branch_that_fails_ends_alone_and_the_producer_hears_nothing(policy: Any) -> None:
    async def one(place: int) -> None:
        feed, trip = Feed(), Trip(place, ERROR)

        def fail(_: Any) -> bool:
            trip()
            return True

        both = feed.stream.pipe(fan_out(bad=where(fail), good=(), queue=2, overflow=policy))
        probe = await Probe(both).end()
        assert probe.completed
        good = [item.value for item in probe.items if item.branch == "good"]
        bad = [item for item in probe.items if item.branch == "bad"]
        assert text(good) == text(EVENTS)
        assert isinstance(bad[-1], BranchFailed)
        assert bad[-1].error is ERROR
        assert feed.pulled == len(EVENTS)
        assert feed.open == 0

    async def main() -> None:
        for place in range(1, 6):
            await one(place)

    run(main)
