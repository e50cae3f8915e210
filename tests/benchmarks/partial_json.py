"""CPU time per delta of partial JSON, and how it grows with the document.

    python -m tests.benchmarks.partial_json          the table, three rounds
    python -m tests.benchmarks.partial_json -r 7     more rounds

Documents of 50 KB, 500 KB and 5 MB come in deltas of four characters. `feed` reads; `+ value` looks
at the value after each delta, too, as a live view does; `elements` watches `$.items[*]` and keeps
nothing; `field` watches one field, also while it is open. The last table reads one document as is
usual elsewhere: after each delta all of it, with pydantic_core. The figure is the process's CPU
time, the median of the rounds; compare figures of one run only.
"""

import argparse
import json
import os
import random
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from pydantic_core import from_json

from gai_rx.wire.partial_json import PartialJson

DELTA = 4  # characters
SIZES = [50_000, 500_000, 5_000_000]
REPARSED = 200_000
GOAL = 1.0  # microseconds a delta
GOAL_GROWTH = 11.0  # times the time, for ten times the document
GOAL_REPARSED = 50.0  # times faster than reading all of it each time
WORDS = [
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "lazy",
    "dogs",
    "and",
    "says",
    '"hello"\n',
    "to",
    "naïve",
    "ducks",
]
Pieces = list[str]


def records(size: int) -> str:
    """A list of small objects, as extraction gives."""
    rng = random.Random(1)
    items: list[dict[str, Any]] = []
    length = 0
    while length < size:
        items.append(
            {
                "id": len(items),
                "name": " ".join(rng.choices(WORDS, k=3)),
                "price": round(rng.random() * 100, 2),
                "tags": rng.sample(WORDS, 3),
                "in_stock": rng.random() < 0.5,
                "note": " ".join(rng.choices(WORDS, k=12)),
            }
        )
        length += len(json.dumps(items[-1], ensure_ascii=False)) + 2
    return json.dumps({"title": "a list", "items": items}, ensure_ascii=False)


def report(size: int) -> str:
    """One long text with line ends, as a generated page or program."""
    rng = random.Random(1)
    text = " ".join(rng.choices(WORDS, k=size // 5))
    return json.dumps({"title": "a text", "text": text[:size]}, ensure_ascii=False)


def indented(size: int) -> str:
    """The records, over many lines."""
    return json.dumps(json.loads(records(size * 3 // 4)), indent=2, ensure_ascii=False)


def feed(pieces: Pieces) -> Any:
    parser = PartialJson()
    for piece in pieces:
        parser.feed(piece)
    parser.close()
    return parser.value


def feed_and_look(pieces: Pieces) -> Any:
    parser = PartialJson()
    value = None
    for piece in pieces:
        parser.feed(piece)
        value = parser.value
    parser.close()
    return value


def elements(pieces: Pieces) -> int:
    parser = PartialJson(watch=["$.items[*]"], keep=False)
    count = 0
    for piece in pieces:
        count += len(parser.feed(piece))
    parser.close()
    return count


def field(pieces: Pieces) -> int:
    parser = PartialJson(watch=["$.text", "$.items[*].note"], watch_open=True)
    count = 0
    for piece in pieces:
        count += len(parser.feed(piece))
    parser.close()
    return count


READERS: dict[str, Callable[[Pieces], Any]] = {
    "feed": feed,
    "feed + value": feed_and_look,
    "elements": elements,
    "field": field,
}
DOCUMENTS: dict[str, Callable[[int], str]] = {
    "records": records,
    "long text": report,
    "indented": indented,
}


def cut(text: str) -> Pieces:
    return [text[at : at + DELTA] for at in range(0, len(text), DELTA)]


def spent(read: Callable[[Pieces], Any], pieces: Pieces) -> float:
    """Seconds of CPU for the whole document; the mean of ten where it is short."""
    times = 10 if len(pieces) * DELTA < 200_000 else 1
    begin = time.process_time()
    for _ in range(times):
        read(pieces)
    return (time.process_time() - begin) / times


def grown(rounds: int) -> None:
    print(f"µs per delta of {DELTA} characters; load average {os.getloadavg()[0]:.1f}")
    header = "".join(f"{f'{size // 1000:,} KB':>12}" for size in SIZES)
    print(f"{'':<27}{header}   time for 10x the document (goal <= {GOAL_GROWTH:.0f}x)")
    for document, make in DOCUMENTS.items():
        pieces = [cut(make(size)) for size in SIZES]
        for reader, read in READERS.items():
            # Rounds go through the sizes in turn, so that a drift of the machine falls on all.
            taken = [[spent(read, p) for p in pieces] for _ in range(rounds)]
            times = [statistics.median(column) for column in zip(*taken, strict=True)]
            each = [t / len(p) * 1e6 for t, p in zip(times, pieces, strict=True)]
            growth = [10 * after / before for before, after in pairwise(each)]
            figures = "".join(f"{figure:>12.2f}" for figure in each)
            print(
                f"{document:<12}{reader:<15}{figures}   " + "  ".join(f"{g:.1f}x" for g in growth)
            )
    print(f"goal: <= {GOAL} µs")


def compared(rounds: int) -> None:
    text = records(REPARSED)
    pieces = cut(text)
    if feed_and_look(pieces) != json.loads(text):
        raise AssertionError("the document was read as another one")
    ours = statistics.median(spent(feed_and_look, pieces) for _ in range(rounds))
    # All of it takes a minute; a tenth of the states, evenly spread, costs a tenth.
    step = 10
    begin = time.process_time()
    for count in range(step, len(pieces), step):
        from_json(text[: count * DELTA], allow_partial="trailing-strings")
    theirs = (time.process_time() - begin) * step
    print(
        f"\n{len(text) // 1000} KB, the value after each delta: {ours:.3f} s; "
        f"read anew each time by pydantic_core: {theirs:.1f} s "
        f"(every {step}th state, times {step}), {theirs / ours:.0f}x (goal >= {GOAL_REPARSED:.0f}x)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("-r", "--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    compared(rounds)
    grown(rounds)


if __name__ == "__main__":
    main()
