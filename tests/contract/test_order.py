"""R24 and R25: what passes everything on passes all of it on, in order, and once."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from gai_rx import Start, Stream
from gai_rx.flow import produce
from gai_rx.operators.flowing import map_async, relay
from tests.contract.probe import Probe, differ, numbered, numbers
from tests.contract.registry import REGISTRY, Entry, over
from tests.contract.virtual_loop import run

COUNT, SMALLER = 20_000, 2_500
"""Items through the first entry of an operator that keeps any; through all else."""
AT_ONCE = 50
"""Items that come in one read of the source."""


DELTAS = [Start(), *numbered(COUNT)]


def many(count: int) -> Stream[Any]:
    """A source of numbered deltas, as one socket read after the other would bring them."""
    deltas = DELTAS[: count + 1]

    async def make() -> AsyncGenerator[Sequence[Any], None]:
        for begin in range(0, len(deltas), AT_ONCE):
            await asyncio.sleep(0)
            yield deltas[begin : begin + AT_ONCE]

    return Stream(produce(make, "many"), of_events=True)


@over("R24", having=lambda e: e.identity)
def test_r24_r25_everything_arrives_in_order_and_once(entry: Entry) -> None:
    first = next(e for e in REGISTRY if e.operator == entry.operator and e.identity)
    count = COUNT if entry is first and entry.room else SMALLER

    async def main() -> None:
        probe = await Probe(entry.apply(many(count))).end()
        assert probe.completed
        assert not differ(numbers(entry.of_source(probe.items)), range(count))

    run(main)


@over("R24", having=lambda e: e.identity)
def test_r24_r25_everything_arrives_at_a_slow_subscriber_too(entry: Entry) -> None:
    async def slow(item: Any) -> Any:
        if getattr(item, "text", "").endswith("7 "):
            await asyncio.sleep(0.01)
        return item

    async def main() -> None:
        probe = await Probe(
            entry.apply(many(SMALLER)).pipe(relay(3), map_async(slow, queue=1))
        ).end()
        assert probe.completed
        assert not differ(numbers(entry.of_source(probe.items)), range(SMALLER))

    run(main)
