"""CPU time per item of each operator, beside RxPY's nearest operator and aiostream's.

    python -m tests.benchmarks.operators             the table, seven interleaved rounds
    python -m tests.benchmarks.operators -r 15 map   more rounds, names that contain "map"

One process, one loop: a source emits text deltas in bursts of 200, as one read of a socket gives
them, to a subscriber that counts. What the bare source costs is subtracted. aiostream's operators
are pulled from an async generator, whose own cost is subtracted too. Compare figures of one run.
"""

import argparse
import asyncio
import gc
import statistics
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from importlib import import_module
from typing import Any

import reactivex as rx
from reactivex import Observable
from reactivex import operators as ops

from gai_rx import Stream, TextDelta, multiplex
from gai_rx import operators as ours
from gai_rx.flow import produce

COUNT = 20_000
BURST = 200
Operator = Callable[[Observable[Any]], Observable[Any]]
Pulled = Callable[[Any], Any]

EVENTS: list[TextDelta] = [
    TextDelta(text=(" word", " an", ".", " other", "\n")[n % 5]) for n in range(COUNT)
]


async def _same(item: Any) -> Any:
    return item


def _aiostream() -> dict[str, Pulled]:
    try:
        aiostream: Any = import_module("aiostream")
    except ImportError:
        return {}
    pipe, stream = aiostream.pipe, aiostream.stream
    iterate = stream.iterate
    return {
        "map": lambda items: iterate(items) | pipe.map(lambda e: e),
        "filter": lambda items: iterate(items) | pipe.filter(lambda e: True),
        "accumulate": lambda items: iterate(items) | pipe.accumulate(lambda a, e: e),
        "chunks": lambda items: iterate(items) | pipe.chunks(10),
        "amap": lambda items: iterate(items) | pipe.amap(_same, task_limit=1),
        "flatmap": lambda items: (
            iterate(items) | pipe.flatmap(lambda e: stream.just(e), task_limit=8)
        ),
        "merge": lambda items: stream.merge(items),
    }


def _one(item: Any) -> Observable[Any]:
    return rx.of(item)


def _multiplexed(source: Observable[Any]) -> Stream[Any]:
    return multiplex(source)


# name: ours, RxPY's nearest, aiostream's nearest
CASES: dict[str, tuple[Operator, Operator | None, str | None]] = {
    "text_only": (ours.text_only(), ops.map(lambda e: e), "map"),
    "reasoning_only": (ours.reasoning_only(), ops.map(lambda e: e), "map"),
    "only": (ours.only(TextDelta), ops.filter(lambda e: True), "filter"),
    "without": (ours.without(TextDelta), ops.filter(lambda e: True), "filter"),
    "where": (ours.where(lambda e: True), ops.filter(lambda e: True), "filter"),
    "choice": (ours.choice(0), ops.filter(lambda e: True), "filter"),
    "on": (ours.on(text=lambda e: None), ops.do_action(lambda e: None), None),
    "accumulate_text": (ours.accumulate_text(), ops.scan(lambda a, e: e, None), "accumulate"),
    "snapshots": (ours.snapshots(), ops.scan(lambda a, e: e, None), "accumulate"),
    "collect": (ours.collect(), ops.to_list(), None),
    "words": (ours.words(), None, None),
    "sentences": (ours.sentences(), None, None),
    "lines": (ours.lines(), None, None),
    "batch": (ours.batch(10), ops.buffer_with_count(10), "chunks"),
    "batch_text": (ours.batch_text(chars=40), ops.buffer_with_count(10), "chunks"),
    "relay": (ours.relay(64), ops.map(lambda e: e), None),
    "map_async": (ours.map_async(_same), ops.map(lambda e: e), "amap"),
    "stage": (ours.stage(_same, queue=50), ops.map(lambda e: e), "amap"),
    "flat_map": (
        ours.flat_map(_one),
        ops.flat_map(lambda e: rx.of(e)),
        "flatmap",
    ),
    "fan_out (2 branches)": (
        ours.fan_out(a=ours.text_only(), b=ours.text_only()),
        ops.publish(lambda shared: rx.merge(shared, shared)),
        None,
    ),
    "multiplex": (_multiplexed, rx.merge, "merge"),
    "retry_on": (ours.retry_on(Exception), ops.retry(3), None),
    "recover": (
        ours.recover(Exception, with_=rx.empty()),
        ops.catch(lambda e, s: rx.empty()),
        None,
    ),
    "timeouts": (ours.timeouts(idle=60.0), ops.timeout(60.0), None),
    "deadline": (ours.deadline(600.0), ops.take_until_with_time(600.0), None),
    "progress": (ours.progress(), None, None),
    "health": (ours.health(), None, None),
}


def _source() -> Stream[TextDelta]:
    async def bursts() -> AsyncGenerator[Sequence[TextDelta], None]:
        for start in range(0, COUNT, BURST):
            yield EVENTS[start : start + BURST]

    return Stream(produce(bursts, "source"), stages=("source",), of_events=True)


async def _pushed(operator: Operator | None) -> None:
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    count = 0

    def on_next(item: Any) -> None:
        nonlocal count
        count += 1

    source = _source()
    result: Any = source if operator is None else source.pipe(operator)
    result.subscribe(on_next, done.set_exception, lambda: done.set_result(None))
    await done


async def _pulled(operator: Pulled | None) -> None:
    async def items() -> AsyncGenerator[TextDelta, None]:
        for event in EVENTS:
            yield event

    count = 0
    if operator is None:
        async for _ in items():
            count += 1
        return
    async with operator(items()).stream() as streamer:
        async for _ in streamer:
            count += 1


def _cpu(run: Awaitable[None]) -> float:
    """CPU µs per item of one run."""

    async def main() -> None:
        await run

    gc.collect()
    start = time.process_time()
    asyncio.run(main())
    return (time.process_time() - start) / COUNT * 1e6


def measure(names: list[str], rounds: int) -> None:
    """Print the table."""
    pulled = _aiostream()
    figures: dict[tuple[str, str], list[float]] = {}

    def take(name: str, who: str, run: Awaitable[None]) -> None:
        figures.setdefault((name, who), []).append(_cpu(run))

    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", end="\r", flush=True)
        take("", "pushed", _pushed(None))
        take("", "pulled", _pulled(None))
        take("", "map", _pushed(ops.map(lambda e: e)))
        for name in names:
            mine, nearest, theirs = CASES[name]
            take(name, "ours", _pushed(mine))
            if nearest is not None:
                take(name, "stock", _pushed(nearest))
            if theirs is not None and theirs in pulled:
                take(name, "aiostream", _pulled(pulled[theirs]))
    middle = {key: statistics.median(values) for key, values in figures.items()}
    push, pull = middle["", "pushed"], middle["", "pulled"]
    one_map = middle["", "map"] - push
    print(f"CPU µs per item, median of {rounds} rounds; a stock map costs {one_map:.2f}")
    print(f"{'':22}{'gai_rx':>8}{'x map':>8}{'RxPY':>9}{'aiostream':>11}")
    for name in names:
        cost = middle[name, "ours"] - push
        others = [(name, "stock", push), (name, "aiostream", pull)]
        shown = [
            f"{middle[n, who] - base:.2f}" if (n, who) in middle else "-" for n, who, base in others
        ]
        print(f"{name:22}{cost:8.2f}{cost / one_map:8.1f}{shown[0]:>9}{shown[1]:>11}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("-r", "--rounds", type=int, default=7)
    parser.add_argument("names", nargs="*", help="only names that contain one of these")
    given = parser.parse_args()
    chosen = [n for n in CASES if not given.names or any(part in n for part in given.names)]
    measure(chosen, given.rounds)
