"""Several things at once, in every order: nothing is lost, doubled, mixed up or left open."""

import asyncio
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import pytest
import reactivex as rx
from reactivex import abc
from reactivex.disposable import CompositeDisposable

from gai_rx import Error, StalledError, Start, Stream, TextDelta
from gai_rx.operators import (
    batch,
    fallback_to,
    fan_out,
    flat_map,
    limit_rate,
    map_async,
    multiplex,
    race,
    relay,
    retry_on,
    timeouts,
    where,
)
from tests.contract.interleaving import Case, Manual, Run, explore, labels

Sources = Mapping[str, Manual]


def everything(one: Run) -> None:
    """All that was sent is seen, and it completes."""
    if not one.disposed:
        assert one.probe.completed
        assert sorted(one.seen) == sorted(one.sent)


def isolated(one: Run) -> None:
    everything(one)
    if not one.disposed:
        told = [item.stream_id for item in one.probe.items if isinstance(item, Error)]
        assert told == ["b"]


def fails_fast(one: Run) -> None:
    if not one.disposed:
        assert one.probe.error is one.sources["b"].error
        assert sorted(one.seen) == sorted(one.sent)


def one_wins(one: Run) -> None:
    first = next((move for move, signal, _ in one.steps if signal.isdigit()), "")
    winner = one.sources[first].sent if first else []
    if not one.disposed:
        assert one.probe.completed
        assert one.seen == winner
    assert {label[0] for label in one.seen} <= {first}


def falls_back(one: Run) -> None:
    if not one.disposed:
        assert one.probe.completed
        assert one.seen == ["b1", "b2"]
        assert [item.attempt for item in one.probe.items if isinstance(item, TextDelta)] == [2, 2]


def restarts(one: Run) -> None:
    if one.disposed:
        return
    assert one.probe.completed
    starts = [n for n, item in enumerate(one.probe.items) if isinstance(item, Start)]
    assert labels(one.probe.items[starts[-1] :]) == ["a2", "a3"]
    assert one.sources["a"].asked == 2


def in_time_or_stalled(one: Run) -> None:
    """Of two the first to stall ends the whole; one alone stalls exactly when it must."""
    if one.disposed:
        return
    assert one.probe.completed or isinstance(one.probe.error, StalledError)
    assert sorted(one.seen) == sorted(one.sent)
    if len(one.sources) == 1:
        silences = [b - a for a, b in pairwise([one.begun, *one.probe.times])]
        assert all(silence < 1.0 + 1e-6 for silence in silences), silences
        if not one.probe.completed:
            assert silences[-1] == pytest.approx(1.0)


def to_every_branch(one: Run) -> None:
    if not one.disposed:
        assert one.probe.completed
        for branch in ("x", "y"):
            assert labels(one.probe.items, branch) == one.sources["a"].sent


def to_the_good_branch(one: Run) -> None:
    if not one.disposed:
        assert one.probe.completed
        assert labels(one.probe.items, "y") == one.sources["a"].sent
        assert labels(one.probe.items, "x") == ["a1"]


def slowly(*seconds: float) -> Callable[[Any], Any]:
    """An async function whose n-th call takes so many seconds."""
    left = list(seconds)

    async def same(item: Any) -> Any:
        await asyncio.sleep(left.pop(0) if left else 0.0)
        return item

    return same


def _fails_at_two(item: Any) -> bool:
    if item.text == "a2":
        raise ZeroDivisionError
    return True


def _inner_of(sources: Sources) -> Callable[[Any], Stream[Any]]:
    """The inner stream of `a1` is `x`, that of `a2` is `y`, that of `a3` is `z`."""
    return lambda item: sources["xyz"[int(item.text[1]) - 1]].stream


def _multiplexed(**options: Any) -> Callable[[Sources], Stream[Any]]:
    return lambda s: multiplex({name: source.stream for name, source in s.items()}, **options)


CASES = [
    Case(
        "multiplex",
        _multiplexed(),
        {"a": ("12|",), "b": ("1#",), "c": ("1|",)},
        isolated,
    ),
    Case("multiplex, disposed", _multiplexed(), {"a": ("12|",), "b": ("1#",)}, isolated, also="D"),
    Case(
        "multiplex above a slow subscriber",
        lambda s: _multiplexed(queue=3)(s).pipe(map_async(slowly(1, 1, 1, 1), queue=1)),
        {"a": ("1234|",), "b": ("123#",)},
        isolated,
        also="TT",
    ),
    Case(
        "multiplex, fails fast",
        _multiplexed(on_error="fail_fast"),
        {"a": ("12|",), "b": ("1#",), "c": ("1|",)},
        fails_fast,
    ),
    Case(
        "multiplex, fails fast above a slow subscriber",
        lambda s: _multiplexed(on_error="fail_fast", queue=1)(s).pipe(
            map_async(slowly(1, 1, 1), queue=1)
        ),
        {"a": ("12|",), "b": ("1#",)},
        fails_fast,
        also="TTD",
    ),
    Case(
        "race",
        lambda s: race(*(source.stream for source in s.values())),
        {"a": ("S12|",), "b": ("S1|",), "c": ("#",)},
        one_wins,
    ),
    Case(
        "race, disposed",
        lambda s: race(*(source.stream for source in s.values())),
        {"a": ("S1|",), "b": ("12|",)},
        one_wins,
        also="D",
    ),
    Case(
        "flat_map",
        lambda s: s["a"].stream.pipe(flat_map(_inner_of(s), concurrency=2)),
        {"a": ("123|",), "x": ("12|",), "y": ("1|",), "z": ("1|",)},
        lambda one: (
            None
            if one.disposed
            else _assert(sorted(one.seen) == ["x1", "x2", "y1", "z1"] and one.probe.completed)
        ),
    ),
    Case(
        "flat_map, disposed",
        lambda s: s["a"].stream.pipe(flat_map(_inner_of(s), concurrency=1, queue=1)),
        {"a": ("12|",), "x": ("12|",), "y": ("1#",)},
        lambda one: _assert(one.disposed or one.probe.error is one.sources["y"].error),
        also="D",
    ),
    Case(
        "fallback_to",
        lambda s: s["a"].stream.pipe(fallback_to(s["b"].stream, on=Exception)),
        {"a": ("S#",), "b": ("S12|",)},
        falls_back,
        also="D",
    ),
    Case(
        "retry_on, restarts",
        lambda s: s["a"].stream.pipe(retry_on(Exception, after_output="restart")),
        {"a": ("S1#", "S23|")},
        restarts,
        also="TTD",
    ),
    Case(
        "timeouts",
        lambda s: s["a"].stream.pipe(timeouts(idle=1.0)),
        {"a": ("123|",)},
        in_time_or_stalled,
        also="tttTD",
    ),
    Case(
        "timeouts of two, merged by RxPY",
        lambda s: rx.merge(
            s["a"].stream.pipe(timeouts(idle=1.0)), s["b"].stream.pipe(timeouts(idle=1.0))
        ),
        {"a": ("12|",), "b": ("12|",)},
        in_time_or_stalled,
        also="TT",
    ),
    Case(
        "fan_out",
        lambda s: s["a"].stream.pipe(fan_out(x=map_async(slowly(1, 0, 1), queue=1), y=(), queue=2)),
        {"a": ("123|",)},
        to_every_branch,
        also="TTTD",
    ),
    Case(
        "fan_out with a branch that fails",
        lambda s: s["a"].stream.pipe(fan_out(x=where(_fails_at_two), y=relay(1), queue=1)),
        {"a": ("123|",)},
        to_the_good_branch,
        also="TD",
    ),
    Case(
        "merged by RxPY, with ours above and below",
        lambda s: rx.merge(
            s["a"].stream.pipe(relay(1)), s["b"].stream.pipe(map_async(slowly(1, 0, 2), 2))
        ).pipe(relay(1)),
        {"a": ("12|",), "b": ("123|",)},
        everything,
        also="TD",
    ),
    Case(
        "batch by time, of two merged by RxPY",
        lambda s: rx.merge(s["a"].stream, s["b"].stream).pipe(batch(2, seconds=1.0)),
        {"a": ("12|",), "b": ("12|",)},
        everything,
        also="TT",
    ),
    Case(
        "batch by time, disposed",
        lambda s: s["a"].stream.pipe(batch(2, seconds=1.0), relay(1)),
        {"a": ("1234|",)},
        everything,
        also="TTD",
    ),
    Case(
        "limit_rate",
        lambda s: s["a"].stream.pipe(limit_rate(1, queue=2)),
        {"a": ("1234|",)},
        everything,
        also="TTTD",
    ),
    Case(
        "map_async of 3, whose calls end in another order",
        lambda s: s["a"].stream.pipe(map_async(slowly(3, 2, 1, 4), 3)),
        {"a": ("1234|",)},
        everything,
        also="TTD",
    ),
]


def _assert(holds: bool) -> None:
    assert holds


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_in_every_order_nothing_is_lost_doubled_mixed_up_or_left_open(case: Case) -> None:
    assert explore(case) > 20


def test_an_order_that_breaks_a_law_is_printed_as_marbles() -> None:
    def forgetful(sources: Sources) -> Stream[Any]:
        """Loses an item of `b` that comes right after one of `a`."""

        def subscribe(
            observer: abc.ObserverBase[Any], _: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            last, ends = [""], [0]

            def on_next(item: Any) -> None:
                before, last[0] = last[0], item.text[0]
                if (before, last[0]) != ("a", "b"):
                    observer.on_next(item)

            def on_completed() -> None:
                ends[0] += 1
                if ends[0] == 2:
                    observer.on_completed()

            return CompositeDisposable(
                *(s.stream.subscribe(on_next, None, on_completed) for s in sources.values())
            )

        return Stream(subscribe)

    scripts = {"a": ("1|",), "b": ("1|",)}
    with pytest.raises(AssertionError) as told:
        explore(Case("forgetful", forgetful, scripts, everything))
    lines = str(told.value).splitlines()
    assert lines[0].startswith("forgetful: ")
    rows = {words[0]: words[1] for words in map(str.split, lines) if len(words) == 2}
    assert rows["order"] == "aabb"
    assert rows["a"].replace("-", "") == rows["b"].replace("-", "") == "1|"
    assert rows["a"].index("|") < rows["b"].index("1")
    assert rows["seen"].replace("-", "") == "(a1)"
    assert len({len(rows[name]) for name in ("a", "b", "time", "seen")}) == 1
