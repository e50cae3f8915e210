"""What `meter` costs a pipe: `python -m tests.benchmarks.meter`.

The same pipe with and without it, in interleaved rounds. Paced at 1,000 events a second, as a wall
clock sees it: the time of the whole run, and how late events arrive. In a burst, as CPU time for
each event, from which the share of a core at 1,000 events a second follows.
"""

import argparse
import asyncio
import gc
import statistics
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from gai_rx import Stream, TextDelta
from gai_rx.flow import produce
from gai_rx.operators import batch, relay, text_only, where
from gai_rx.operators.metering import meter

RATE = 1_000
SECONDS = 2
BURST = 20_000
EVENTS = [TextDelta(text=f"word {n} ") for n in range(200)]
OPERATORS = (where(lambda event: True), text_only(), relay(64), batch(10))


async def _paced() -> AsyncGenerator[Sequence[Any], None]:
    begin = time.perf_counter()
    for n in range(RATE * SECONDS):
        wait = begin + n / RATE - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        yield (EVENTS[n % 200],)


async def _in_a_burst() -> AsyncGenerator[Sequence[Any], None]:
    for _ in range(BURST // 200):
        yield EVENTS


async def _run(source: Any, metered: bool) -> tuple[float, float]:
    """Seconds that passed, and seconds of CPU."""
    pipe = (meter(*OPERATORS),) if metered else OPERATORS
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    await Stream(produce(source, "source"), of_events=True).pipe(*pipe)
    return time.perf_counter() - wall, time.process_time() - cpu


async def main(rounds: int) -> None:
    """Print both tables."""
    figures: dict[tuple[str, bool], list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for name, source in (("paced", _paced), ("burst", _in_a_burst)):
            for metered in (False, True):
                figures.setdefault((name, metered), []).append(await _run(source, metered))

    def middle(name: str, metered: bool, which: int) -> float:
        return statistics.median(figure[which] for figure in figures[name, metered])

    without, with_it = middle("paced", False, 0), middle("paced", True, 0)
    print(f"{len(OPERATORS)} operators, median of {rounds} rounds, without and with the meter")
    print(f"{RATE:,} events/s for {SECONDS} s, passed   {without:.3f} s, {with_it:.3f} s", end="")
    print(f"   ({with_it / without - 1:+.2%})")
    without, with_it = middle("paced", False, 1), middle("paced", True, 1)
    print(f"{RATE:,} events/s for {SECONDS} s, CPU      {without:.3f} s, {with_it:.3f} s")
    without, with_it = (middle("burst", metered, 1) / BURST * 1e6 for metered in (False, True))
    print(f"a burst, CPU an event           {without:.2f} µs, {with_it:.2f} µs", end="")
    print(f"   ({(with_it - without) * RATE / 1e6:.2%} of a core at {RATE:,} events/s)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What meter costs a pipe.")
    parser.add_argument("-r", "--rounds", type=int, default=5)
    asyncio.run(main(parser.parse_args().rounds))
