import asyncio
from typing import Any

import pytest
import reactivex as rx
from reactivex import Observable, abc
from reactivex import operators as ops
from reactivex.subject import Subject
from reactivex.testing import TestScheduler

from gai_rx import ServerError, Stream, TextDelta, server
from gai_rx.operators import _probes, batch, map_async, metering, relay, retry_on, text_only, where
from gai_rx.operators.metering import Meter, StageReport, meter
from tests.operators.marbles import EVENTS, check, diagram
from tests.operators.sources import Source, Timers, fails, in_turn, settle

ERROR = ZeroDivisionError("mine")


class Watch:
    """The machine's time, set by hand: functions of the test say how long they take."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def takes(self, seconds: float) -> Any:
        """A function that takes so long and returns what it gets."""

        def function(item: Any) -> Any:
            self.now += seconds
            return item

        return function


def doubled(source: Observable[Any]) -> Observable[Any]:
    def double(n: int) -> int:
        return 2 * n

    def is_large(n: int) -> bool:
        return n > 2

    return source.pipe(ops.map(double), ops.filter(is_large))


def plain(source: Observable[Any]) -> Observable[Any]:
    def subscribe(
        observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        return source.subscribe(observer, scheduler=scheduler)

    return Observable(subscribe)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    made = Watch()
    for module in (metering, _probes):
        monkeypatch.setattr(module, "perf_counter", made)
    return made


def counts(metered: Meter[Any, Any]) -> list[tuple[int, int]]:
    return [(stage.items_in, stage.items_out) for stage in metered.stages]


def test_items_go_through_the_operators_unchanged() -> None:
    values = {letter: letter for letter in "abcd"}
    check(meter(ops.skip(1)), *diagram(meter), values=values)
    check(meter(ops.skip(1), batch(2)), "-a-b-#", "-----(x#)", into={"x": ["b"]}, error=ERROR)


def test_each_operator_is_counted_by_its_name() -> None:
    metered: Meter[Any, Any] = meter(text_only(), ops.filter(lambda text: text != "b"), batch(2))
    Stream.of(rx.of(*(TextDelta(text=c) for c in "abcde"))).pipe(metered).run()
    assert [stage.name for stage in metered.stages] == ["text_only()", "filter", "batch(2)"]
    assert counts(metered) == [(5, 5), (5, 4), (4, 2)]
    assert repr(metered) == "meter(text_only(), filter, batch(2))"


def test_the_time_of_an_operator_is_without_that_of_those_below(watch: Watch) -> None:
    metered: Meter[Any, Any] = meter(
        ops.map(watch.takes(0.1)), ops.map(watch.takes(2.0)), ops.map(watch.takes(30))
    )
    Stream.of(rx.of(1, 2)).pipe(metered).subscribe(watch.takes(1000), scheduler=TestScheduler())
    scheduler = TestScheduler()
    Stream.of(rx.of(1, 2)).pipe(metered).subscribe(watch.takes(1000), scheduler=scheduler)
    scheduler.start()
    busy = [stage.busy for stage in metered.stages]
    assert busy == [pytest.approx(0.2), pytest.approx(4.0), pytest.approx(60.0)]
    assert [stage.busy_per_item for stage in metered.stages] == pytest.approx([0.1, 2.0, 30.0])
    assert [stage.latency for stage in metered.stages] == pytest.approx([0.1, 2.0, 30.0])


def test_what_an_operator_gives_at_once_and_at_the_end_is_not_its_own_time(watch: Watch) -> None:
    def thrice(source: Observable[Any]) -> Observable[Any]:
        def subscribe(
            observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            def on_next(item: Any) -> None:
                observer.on_next(watch.takes(1)(item))
                observer.on_next(watch.takes(2)(item))

            def on_completed() -> None:
                observer.on_next(watch.takes(4)(0))
                observer.on_completed()

            return source.subscribe(on_next, observer.on_error, on_completed)

        return Observable(subscribe)

    subject: Subject[int] = Subject()
    metered: Meter[Any, Any] = meter(thrice, ops.map(watch.takes(10)))
    Stream.of(subject).pipe(metered).subscribe(scheduler=TestScheduler())
    subject.on_next(1)
    assert [stage.busy for stage in metered.stages] == pytest.approx([3.0, 20.0])
    subject.on_completed()
    assert [stage.busy for stage in metered.stages] == pytest.approx([7.0, 30.0])


def test_the_subscriber_is_nobodys_cost(watch: Watch) -> None:
    subject: Subject[int] = Subject()
    metered: Meter[Any, Any] = meter(where(lambda _: True))
    Stream.of(subject).pipe(metered).subscribe(watch.takes(9), scheduler=TestScheduler())
    subject.on_next(1)
    assert metered.stages[0].busy == 0.0


async def test_the_latency_of_a_queue_is_the_time_that_items_wait(watch: Watch) -> None:
    turns = asyncio.Queue[None]()

    async def slow(item: int) -> int:
        await turns.get()
        return item

    metered: Meter[Any, Any] = meter(relay(8), map_async(slow, queue=1))
    done = asyncio.ensure_future(Source([1, 2, 3]).stream.pipe(metered).to_list())
    await settle()
    for _ in range(3):
        watch.now += 10
        turns.put_nowait(None)
        await settle()
    assert await done == [1, 2, 3]
    calls = metered.stages[1]
    assert (calls.items_in, calls.items_out, calls.waiting, calls.busy) == (3, 3, 0, 0.0)
    assert calls.latency is not None
    total = sum(stage.latency or 0 for stage in metered.stages)
    assert total == pytest.approx((10 + 20 + 30) / 3)


async def test_what_waits_in_a_queue_is_told_while_it_runs(watch: Watch) -> None:
    async def never(_: int) -> None:
        await asyncio.Event().wait()

    metered: Meter[Any, Any] = meter(where(lambda _: True), map_async(never, queue=4))
    subscription = Source([1, 2, 3]).stream.pipe(metered).subscribe()
    await settle()
    watch.now += 7
    passing, queue = metered.stages
    assert (passing.waiting, passing.latency) == (None, 0.0)
    assert queue.waiting == 3
    assert queue.latency == pytest.approx(7.0)
    subscription.dispose()


def test_an_operator_that_gives_other_numbers_has_no_latency() -> None:
    metered: Meter[Any, Any] = meter(batch(2), relay(4, overflow="drop_oldest"))
    assert [stage.latency for stage in metered.stages] == [None, None]
    Stream.of(rx.of(1, 2, 3)).pipe(metered).run()
    assert metered.stages[0].latency is None
    assert [stage.waiting for stage in metered.stages] == [None, None]


def test_a_failure_is_counted_where_it_begins() -> None:
    def fail(_: int) -> int:
        raise ERROR

    metered: Meter[Any, Any] = meter(where(lambda _: True), ops.map(fail), batch(2))
    with pytest.raises(ZeroDivisionError):
        Stream.of(rx.of(1)).pipe(metered).run()
    assert [stage.errors for stage in metered.stages] == [0, 1, 0]
    assert [stage.handled for stage in metered.stages] == [0, 0, 0]


def test_a_failure_of_the_source_is_nobodys() -> None:
    metered: Meter[Any, Any] = meter(where(lambda _: True), batch(2))
    with pytest.raises(ZeroDivisionError):
        Stream.of(fails(ERROR, 1)).pipe(metered).run()
    assert [(stage.errors, stage.handled) for stage in metered.stages] == [(0, 0), (0, 0)]


async def test_a_failure_that_is_retried_is_handled() -> None:
    source = in_turn(fails(ServerError("busy")), rx.of("a"), of_events=False)
    metered: Meter[Any, Any] = meter(retry_on(server, scheduler=Timers()), relay(2))
    subscription = source.pipe(metered).subscribe()
    await settle()
    assert (metered.stages[0].errors, metered.stages[0].handled) == (0, 1)
    subscription.dispose()


def test_a_failure_that_is_replaced_is_handled() -> None:
    handled: Meter[Any, Any] = meter(ops.catch(lambda _, __: rx.of("b")))
    assert Stream.of(fails(ERROR, "a")).pipe(handled).to_list().run() == ["a", "b"]
    assert (handled.stages[0].errors, handled.stages[0].handled) == (0, 1)


def test_a_failure_that_is_given_up_passes() -> None:
    metered: Meter[Any, Any] = meter(retry_on(server))
    with pytest.raises(ZeroDivisionError):
        Stream.of(fails(ERROR)).pipe(metered).run()
    assert (metered.stages[0].errors, metered.stages[0].handled) == (0, 0)


def test_a_subscriber_that_raises_is_timed_and_raises_through() -> None:
    subject: Subject[int] = Subject()

    def raises(_: int) -> None:
        raise ERROR

    metered: Meter[Any, Any] = meter(where(lambda _: True))
    Stream.of(subject).pipe(metered).subscribe(raises, scheduler=TestScheduler())
    with pytest.raises(ZeroDivisionError):
        subject.on_next(1)
    assert counts(metered) == [(1, 1)]


def test_all_subscriptions_are_counted_together_until_reset() -> None:
    metered: Meter[Any, Any] = meter(where(lambda _: True))
    stream = Stream.of(rx.of(1, 2)).pipe(metered)
    stream.run()
    stream.run()
    assert counts(metered) == [(4, 4)]
    metered.reset()
    assert counts(metered) == [(0, 0)]
    assert metered.stages[0].busy == 0.0


async def test_a_source_is_held_through_it() -> None:
    async def never(_: Any) -> None:
        await asyncio.Event().wait()

    source = Source(endless=True)
    stream = source.stream.pipe(meter(where(lambda _: True), relay(4), map_async(never, queue=1)))
    subscription = stream.subscribe()
    await settle(100)
    assert source.pulled < 12
    subscription.dispose()
    await settle()
    assert source.closed == 1


def test_an_operator_of_the_users_and_a_composed_one_are_metered_too() -> None:
    metered: Meter[Any, Any] = meter(doubled, plain)
    assert Stream.of(rx.of(1, 2)).pipe(metered).to_list().run() == [4]
    assert [stage.name for stage in metered.stages] == ["map | filter", "plain"]
    assert counts(metered) == [(2, 1), (1, 1)]


def test_the_stream_shows_and_keeps_what_it_would_without() -> None:
    source = Source([EVENTS["a"]], of_events=True).stream
    stream: Stream[Any] = source.pipe(meter(where(lambda _: True), relay(2)))
    assert stream.of_events
    assert stream.stages == source.pipe(where(lambda _: True), relay(2)).stages
    assert not source.pipe(meter(text_only())).of_events


def test_printed_it_is_a_table(watch: Watch) -> None:
    metered: Meter[Any, Any] = meter(ops.map(watch.takes(0.0015)), batch(2))
    Stream.of(rx.from_iterable(range(2000))).pipe(metered).run()
    head, first, second = str(metered).splitlines()
    assert head.split() == ["in", "out", "errors", "busy", "per", "item", "latency", "waiting"]
    assert first.split() == [
        "map",
        "2,000",
        "2,000",
        "0",
        "3.00",
        "s",
        "1.5",
        "ms",
        "1.5",
        "ms",
        "-",
    ]
    assert second.split()[:4] == ["batch(2)", "2,000", "1,000", "0"]
    assert first.index("2,000") + len("2,000") == head.index("in") + len("in")


def test_a_report_is_plain_data() -> None:
    report = meter(text_only()).stages[0]
    assert report == StageReport(
        name="text_only",
        items_in=0,
        items_out=0,
        errors=0,
        handled=0,
        busy=0.0,
        latency=None,
        waiting=None,
    )
    assert report.busy_per_item == 0.0


def test_nothing_to_meter_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="at least one operator"):
        meter()
    with pytest.raises(TypeError, match="takes operators, got 'batch'"):
        meter("batch")  # type: ignore[call-overload]
