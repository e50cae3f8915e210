"""R15, R16, R18, R21 and R22: each subscription is a run of its own, and one request."""

import asyncio
from itertools import permutations
from typing import Any

from reactivex import operators as ops

from tests.contract.probe import EVENTS, Feed, Probe
from tests.contract.registry import Entry, over
from tests.contract.virtual_loop import run, settle, virtual_loop

ERROR = ZeroDivisionError("of the source")


def outcome(entry: Entry, probe: Probe) -> tuple[list[Any], str]:
    """Equal for equal runs."""
    return entry.of_source(probe.items), repr(probe.error)


@over("R15")
def test_r15_every_subscription_gets_an_equal_sequence(entry: Entry) -> None:
    async def main() -> None:
        for error in (None, ERROR):
            for pause in (0, 0.3):
                stream = entry.apply(Feed(EVENTS, error=error, pause=pause).stream)
                first = outcome(entry, await Probe(stream).end())
                again = outcome(entry, await Probe(stream).end())
                assert first == again
                await asyncio.sleep(30)
                both = Probe(stream), Probe(stream)
                for probe in both:
                    assert outcome(entry, await probe.end()) == first

    run(main)


@over("R16")
def test_r16_nothing_is_asked_before_and_once_in_each_subscription(entry: Entry) -> None:
    async def main() -> None:
        feed = Feed()
        stream = entry.apply(feed.stream)
        await settle()
        await asyncio.sleep(60)
        assert feed.asked == 0
        for subscriptions in range(1, 6):
            await Probe(stream).end()
            assert feed.asked == feed.closed == subscriptions * entry.requests

    run(main)


@over("R18")
def test_r18_subscribe_returns_before_anything_comes(entry: Entry) -> None:
    async def main() -> None:
        feed, loop = Feed(pause=None), virtual_loop()
        before = loop.turns
        probe = Probe(entry.apply(feed.stream))
        assert (probe.raw, feed.pulled, loop.turns) == ("", 0, before)
        await probe.end()

    run(main)


@over("R21")
def test_r21_a_late_subscriber_gets_everything_from_the_beginning(entry: Entry) -> None:
    async def one(turns: int) -> bool:
        feed = Feed(EVENTS, pause=0.3)
        stream, loop, late = entry.apply(feed.stream), virtual_loop(), list[Probe]()
        begun, subscribed = loop.turns, asyncio.Event()
        first = Probe(stream, on_end=subscribed.set)

        def begin() -> None:
            late.append(Probe(stream))
            subscribed.set()

        def subscribe(now: int) -> None:
            if now - begun > turns:
                loop.before_turn = None
                loop.call_soon(begin)

        loop.before_turn = subscribe
        await subscribed.wait()
        loop.before_turn = None
        in_time = not first.ended
        await first.end()
        await settle()
        for probe in late:
            same = outcome(entry, await probe.end()) == outcome(entry, first)
            assert same, f"after {turns} turns"
        return in_time

    async def main() -> None:
        turns = 0
        while await one(turns):
            turns += 1
        assert turns > 3

    run(main)


ORDERS = sorted({tuple(order) for order in permutations("aabbcc")})
"""All orders in which three subscribers come (the first of their letter) and go (the second)."""


@over("R22")
def test_r22_a_shared_request_is_open_while_anybody_is_subscribed(entry: Entry) -> None:
    async def one(order: tuple[str, ...]) -> None:
        feed = Feed(EVENTS, endless=True)
        shared = entry.apply(feed.stream).pipe(ops.share())
        subscribed: dict[str, Any] = {}
        requests = 0
        for letter in order:
            if letter in subscribed:
                subscribed.pop(letter).dispose()
            else:
                requests += not subscribed
                subscribed[letter] = shared.subscribe()
            await settle(5)
            assert feed.asked == requests * entry.requests, (order, letter)
            assert (feed.open > 0) is bool(subscribed), (order, letter)
        assert not subscribed

    async def main() -> None:
        assert len(ORDERS) == 90
        for order in ORDERS:
            await one(order)

    run(main)
