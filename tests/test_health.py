import gc
import random
import sys
import threading
import weakref
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest

from gai_rx import (
    AudioDelta,
    Error,
    Finish,
    Raw,
    ReasoningDelta,
    Retry,
    Start,
    StepFinish,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from gai_rx.health import StreamHealth, StreamMonitor
from gai_rx.measures import Histogram, RateWindow
from gai_rx.progress import ProgressCounter
from gai_rx.watches import Watch


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def begin(monitor: StreamMonitor, name: str = "") -> tuple[Watch, Clock]:
    clock = Clock()
    return monitor.watch(name, clock), clock


def fed(*steps: Any, **options: Any) -> StreamHealth:
    """The health after these items, a number being seconds that pass."""
    monitor = StreamMonitor(**options)
    watch, clock = begin(monitor)
    for step in steps:
        if isinstance(step, int | float):
            clock.time += step
        else:
            watch.record(step)
    return monitor.health()


A = TextDelta(text="a")


def test_nothing_that_was_watched_is_neither_stalled_nor_in_error() -> None:
    assert StreamMonitor().health() == StreamHealth()
    assert StreamHealth().error_rate == 0.0
    assert not StreamHealth().done


def test_a_stream_without_events_is_measured_from_its_subscription() -> None:
    health = fed(12.0)
    assert (health.elapsed, health.since_last_event, health.since_last_content) == (12, 12, 12)
    assert (health.error_rate, health.events_per_second, health.stalled) == (0.0, 0.0, False)
    assert (health.time_to_first_event, health.time_to_first_token) == (None, None)
    assert health.time_per_output_token_p99 is None
    assert fed(30.5).stalled


def test_events_bytes_and_characters_are_counted_apart() -> None:
    pieces = (
        TextDelta(text="Grüße"),
        ReasoningDelta(text="🤔"),
        ToolCallDelta(id="1", arguments="{}"),
        AudioDelta(data=b"1234"),
    )
    health = fed(Start(), *pieces, Usage(), Raw(), Finish(reason="stop"), "é", 7)
    assert (health.events, health.content_events) == (9, 6)
    assert (health.characters, health.bytes) == (5 + 1 + 2 + 1, 7 + 4 + 2 + 4 + 2)


def test_half_a_surrogate_pair_is_counted_too() -> None:
    assert fed("\ud83e").bytes == 3


def test_errors_and_retries_are_counted() -> None:
    health = fed(A, Error(kind="x", message="m"), Retry(delay=1), A)
    assert (health.errors, health.error_rate, health.retries) == (1, 0.25, 1)


def test_a_failure_that_ends_the_stream_is_an_error() -> None:
    monitor = StreamMonitor()
    watch, _ = begin(monitor)
    watch.failed()
    watch.failed()
    assert (monitor.health().errors, monitor.health().error_rate) == (1, 1.0)
    watch, _ = begin(monitor)
    watch.record(A)
    watch.ended()
    watch.failed()
    assert (monitor.health().errors, monitor.health().error_rate) == (1, 0.5)


def test_what_is_no_content_does_not_hide_that_a_stream_is_stalled() -> None:
    health = fed(A, 20, Start(), Raw(), Usage(), Retry(delay=1), 11)
    assert (health.since_last_event, health.since_last_content) == (11, 31)
    assert health.stalled
    assert not fed(A, 20, A, 11).stalled
    assert not fed(A, 30).stalled
    assert fed(A, 3, stall_after=2).stalled


def test_times_to_the_first_event_and_token_are_told_apart() -> None:
    health = fed(0.5, Start(), 1.0, Usage(), 1.0, ReasoningDelta(text="hm"), 1.0, A)
    assert (health.time_to_first_event, health.time_to_first_token) == (0.5, 2.5)
    assert fed(2, "a").time_to_first_token == 2


def test_the_time_per_token_is_that_between_two_pieces_of_one_answer() -> None:
    pieces = [x for _ in range(99) for x in (0.02, A)]
    health = fed(A, *pieces, 0.5, A)
    assert health.time_per_output_token == pytest.approx((99 * 0.02 + 0.5) / 100)
    assert health.time_per_output_token_p50 == pytest.approx(0.02, rel=0.032)
    assert health.time_per_output_token_p99 == pytest.approx(0.02, rel=0.032)
    assert fed(A, *pieces, 0.5, A, 0.5, A).time_per_output_token_p99 == pytest.approx(0.5, rel=0.04)
    steps = fed(A, 0.02, A, StepFinish(number=0), 50, A, 0.02, A, Start(attempt=2), 50, A)
    assert steps.time_per_output_token == pytest.approx(0.02)
    assert steps.time_to_first_token == 0


def test_rates_are_of_the_last_seconds_and_averages_of_all() -> None:
    second = [x for _ in range(20) for x in (0.05, A)]
    health = fed(*second * 30)
    assert health.events_per_second == pytest.approx(20, rel=0.01)
    assert health.characters_per_second == pytest.approx(20, rel=0.01)
    assert health.bytes_per_second == pytest.approx(20, rel=0.01)
    later = fed(*second * 30, 30)
    assert later.events_per_second == 0.0
    assert later.average_events_per_second == pytest.approx(10, rel=0.01)
    assert later.average_bytes_per_second == pytest.approx(10, rel=0.01)
    assert later.average_characters_per_second == pytest.approx(10, rel=0.01)


def test_the_end_stops_the_clock() -> None:
    monitor = StreamMonitor()
    watch, clock = begin(monitor)
    watch.record(A)
    clock.time += 2
    watch.ended()
    clock.time += 100
    health = monitor.health()
    assert (health.done, health.active, health.stalled) == (True, 0, False)
    assert (health.elapsed, health.since_last_content) == (2, 2)


def test_streams_of_several_names_are_added_up_and_waits_are_the_worst() -> None:
    monitor = StreamMonitor()
    (one, clock_one), (two, clock_two) = begin(monitor, "one"), begin(monitor, "two")
    for watch, clock, wait in ((one, clock_one, 1), (two, clock_two, 3)):
        clock.time += wait
        watch.record(Start())
        clock.time += wait
        watch.record(A)
        clock.time += 20 * wait
    health = monitor.health()
    assert monitor.names == ("one", "two")
    assert (health.events, health.active, health.stalled) == (4, 2, True)
    assert (health.since_last_content, health.time_to_first_token, health.elapsed) == (60, 6, 66)
    assert not monitor.health("one").stalled
    assert monitor.health("one").since_last_content == 20
    two.ended()
    assert (monitor.health().stalled, monitor.health("two").done) == (False, True)
    assert not monitor.health().done


def test_streams_of_one_name_are_counted_together() -> None:
    monitor = StreamMonitor()
    for _ in range(3):
        watch, _ = begin(monitor, "chat")
        watch.record(A)
        watch.ended()
    assert (monitor.names, monitor.health("chat").events) == (("chat",), 3)
    (one, _), (two, _) = begin(monitor, "chat"), begin(monitor, "chat")
    assert monitor.health().active == 2
    one.ended()
    assert (monitor.health().active, monitor.health().done) == (1, False)
    two.ended()
    assert monitor.health().done


def test_nothing_of_a_source_is_kept_after_its_end() -> None:
    watch, _ = begin(StreamMonitor())
    watch.held_by = lambda: ("the source's own",)
    watch.ended()
    assert not watch.held_by()


def together(keep: int, seed: int) -> tuple[StreamHealth, StreamMonitor]:
    """The health after streams of many names, some of which run at once and some still run."""
    chance, clock, monitor = random.Random(seed), Clock(), StreamMonitor(keep=keep)
    running: list[Watch] = []
    for number in range(chance.randrange(5, 60)):
        running.append(monitor.watch(f"name {number}", clock))
        for _ in range(chance.randrange(6)):
            clock.time += chance.choice([0.01, 0.3, 2.0]) * chance.random()
            item = chance.choice([A, A, "é", Start(), Error(kind="x", message="m"), Retry(delay=1)])
            chance.choice(running).record(item)
        if chance.random() < 0.9:
            watch = running.pop(chance.randrange(len(running)))
            watch.failed() if chance.random() < 0.2 else watch.ended()
    clock.time += chance.random() * 3
    return monitor.health(), monitor


@pytest.mark.parametrize("seed", range(12))
def test_what_is_forgotten_still_counts(seed: int) -> None:
    (wanted, everything), (health, monitor) = together(1000, seed), together(2, seed)
    ended = len(everything.names) - wanted.active
    assert len(monitor.names) == wanted.active + min(2, ended)
    waits = "since_last_event", "since_last_content", "time_to_first_event", "time_to_first_token"
    for field in fields(StreamHealth):
        if field.name not in (*waits, "stalled"):
            one, other = getattr(health, field.name), getattr(wanted, field.name)
            assert one == (pytest.approx(other) if isinstance(other, float) else other), field.name


def test_a_name_is_kept_while_a_stream_of_it_runs_and_begins_anew_when_it_is_forgotten() -> None:
    monitor = StreamMonitor(keep=1)
    runs, _ = begin(monitor, "runs")
    for name in ("one", "two", "three", "two", "four"):
        watch, _ = begin(monitor, name)
        watch.record(A)
        watch.ended()
    assert monitor.names == ("runs", "four")
    with pytest.raises(KeyError, match="'two' is kept: it was not watched, or is forgotten; there"):
        monitor.health("two")
    begin(monitor, "two")
    assert (monitor.health("two").events, monitor.health().events) == (0, 5)
    runs.ended()
    assert monitor.names == ("runs", "two")


def test_a_name_that_is_watched_again_is_among_the_last_to_be_forgotten() -> None:
    monitor = StreamMonitor(keep=2)
    for name in ("one", "two", "one", "three"):
        begin(monitor, name)[0].ended()
    assert monitor.names == ("one", "three")


def test_nothing_of_a_stream_that_is_forgotten_is_held() -> None:
    def run(number: int) -> weakref.ref[Clock]:
        watch, clock = begin(monitor, str(number))
        watch.ended()
        return weakref.ref(clock)

    monitor = StreamMonitor(keep=2)
    clocks = [run(number) for number in range(8)]
    gc.collect()
    # The first keeps the monitor's time, the sixth is the last that was forgotten.
    assert [n for n, clock in enumerate(clocks) if clock() is not None] == [0, 5, 6, 7]


def test_streams_one_after_another_are_measured_over_all_their_time() -> None:
    monitor, clock = StreamMonitor(), Clock()
    for number in range(10):
        watch = monitor.watch(str(number), clock)
        clock.time += 1
        watch.record(A)
        watch.ended()
        clock.time += 9
    health = monitor.health()
    assert (health.elapsed, health.done) == (91, True)
    assert health.average_events_per_second == pytest.approx(10 / 91)
    assert health.events_per_second == pytest.approx(0.1)
    assert monitor.health("3").elapsed == 1
    monitor.watch("again", clock)
    assert monitor.health().elapsed == 100


def test_the_rate_of_several_names_is_over_the_time_of_all_of_them() -> None:
    monitor, clock = StreamMonitor(), Clock()
    for name, wait in (("one", 6), ("two", 2)):
        watch = monitor.watch(name, clock)
        for _ in range(20):
            watch.record(A)
        clock.time += wait
    assert monitor.health("two").events_per_second == 10.0
    assert monitor.health().events_per_second == 5.0


def test_nothing_is_forgotten_while_a_snapshot_is_taken() -> None:
    class Forgetting(Clock):
        """Another stream ends in another thread while the time is asked."""

        then: threading.Thread | None = None

        def __call__(self) -> float:
            if self.then is not None:
                thread, self.then = self.then, None
                thread.start()
                thread.join(0.1)
            return super().__call__()

    monitor, clock = StreamMonitor(keep=1), Forgetting()
    for name in ("one", "two", "three"):
        watch = monitor.watch(name, clock)
        watch.record(A)
        if name != "three":
            watch.ended()
    clock.then = thread = threading.Thread(target=watch.ended)
    assert monitor.health().events == 3
    thread.join()
    assert (monitor.health().events, monitor.names) == (3, ("three",))


def test_a_thread_that_tells_late_of_an_end_changes_nothing() -> None:
    monitor = StreamMonitor(keep=1)
    for name in ("runs again", "is forgotten"):
        (watch, _), tell = begin(monitor, name), monitor._named[name].on_idle
        watch.ended()
        begin(monitor, "runs again")
        assert tell is not None
        begin(monitor, "another")[0].ended()
        tell()
        begin(monitor, "one more")[0].ended()
        assert list(monitor.names) == ["runs again", "one more"]


def test_many_names_from_many_threads_are_all_counted() -> None:
    monitor, failures, stop = StreamMonitor(keep=3), list[Exception](), threading.Event()

    def work(thread: int) -> None:
        for number in range(300):
            watch, _ = begin(monitor, f"{thread}/{number}")
            watch.record(A)
            watch.ended()

    def ask() -> None:
        seen = 0
        while not stop.is_set():
            try:
                now = monitor.health().events
                assert now >= seen
                seen = now
            except Exception as error:
                failures.append(error)

    asking = threading.Thread(target=ask)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in (asking, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    asking.join()
    assert not failures
    assert (monitor.health().events, monitor.health().active) == (1200, 0)
    assert len(monitor.names) == 3


def calls(work: Callable[[], object]) -> int:
    """How many calls are made, and how often a generator goes on."""
    seen = 0

    def count(*_: object) -> None:
        nonlocal seen
        seen += 1

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return seen


@pytest.mark.parametrize("name", ["all of one name {0:.0}", "each of its own {0}"])
def test_a_stream_costs_the_same_however_many_there_are(name: str) -> None:
    def run(count: int, monitor: StreamMonitor) -> None:
        clock = Clock()
        watches = [monitor.watch(name.format(str(number)), clock) for number in range(count)]
        for watch in watches:
            watch.record(A)
        for watch in watches:
            watch.ended()

    few = calls(lambda: run(100, StreamMonitor(keep=10)))
    many = calls(lambda: run(1000, StreamMonitor(keep=10)))
    assert many < 11 * few


def test_streams_that_run_are_kept_where_adding_and_removing_one_copies_none() -> None:
    monitor = StreamMonitor()
    watches = [begin(monitor)[0] for _ in range(3)]
    active = watches[0]._named.active
    watches.pop(1).ended()
    assert active is watches[0]._named.active
    assert list(active) == watches


def test_before_any_subscription_a_name_is_told_to_be_early_and_all_together_are_empty() -> None:
    monitor = StreamMonitor()
    with pytest.raises(
        KeyError, match=r"'one' is watched yet: .* subscribed to; health\(\) of all"
    ):
        monitor.health("one")
    assert monitor.health() == StreamHealth()


def test_a_name_that_was_never_watched_is_told() -> None:
    monitor = StreamMonitor()
    begin(monitor, "one")
    with pytest.raises(KeyError, match="'two' was watched; there is: 'one'\""):
        monitor.health("two")
    for number in range(30):
        begin(monitor, f"no. {number}")
    with pytest.raises(KeyError, match=r"there is: 'no. 10', .*, 'no. 29', and 11 more\""):
        monitor.health("two")


def test_drops_and_queues_are_the_users_to_tell() -> None:
    monitor, queue = StreamMonitor(), [1, 2, 3]
    monitor.dropped("lost")
    monitor.lost(4)
    monitor.watch_queue(queue.__len__)
    assert (monitor.health().drops, monitor.health().queue_depth) == (5, 3)
    begin(monitor)
    queue.pop()
    assert (monitor.health().drops, monitor.health().queue_depth) == (5, 2)


def test_drops_from_many_threads_are_all_counted() -> None:
    monitor = StreamMonitor()

    def drop() -> None:
        for _ in range(2000):
            monitor.dropped()

    threads = [threading.Thread(target=drop) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert monitor.health().drops == 8000


def test_a_snapshot_may_be_taken_from_another_thread_meanwhile() -> None:
    monitor, failures, stop = StreamMonitor(), list[Exception](), threading.Event()
    watch, clock = begin(monitor)
    random_gaps = random.Random(1)

    def ask() -> None:
        while not stop.is_set():
            try:
                monitor.health()
            except Exception as error:
                failures.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    for _ in range(5000):
        clock.time += 10 ** random_gaps.uniform(-6, 3)
        watch.record(A)
    stop.set()
    thread.join()
    assert not failures
    assert monitor.health().events == 5000


def test_a_line_says_how_it_does() -> None:
    assert str(fed(A, 1, A, 1)) == "1.0 events/s, 0.0 KiB/s, 0.0% errors, 2 events in 2.0 s"
    assert str(fed(A, 31.2)) == "stalled: no content for 31.2 s, 1 event in 31.2 s"


@pytest.mark.parametrize("given", [0, -1, float("nan")])
def test_no_time_at_all_is_refused_at_once(given: float) -> None:
    with pytest.raises(ValueError, match="window"):
        StreamMonitor(window=given)
    with pytest.raises(ValueError, match="stall_after"):
        StreamMonitor(stall_after=given)


@pytest.mark.parametrize("given", [0, -1, float("nan")])
def test_to_keep_nothing_at_all_is_refused_at_once(given: int) -> None:
    with pytest.raises(ValueError, match=r"StreamMonitor\(keep=…\) is a number of names from 1 on"):
        StreamMonitor(keep=given)


def test_a_window_is_exact_for_the_time_that_it_covers() -> None:
    chance = random.Random(7)
    for _ in range(30):
        window, now, times = RateWindow(0.0, 10.0, counts=1), 0.0, list[float]()
        for _ in range(chance.randrange(200)):
            now += chance.choice([0.01, 0.3, 1.0, 7.0, 25.0]) * chance.random()
            if now >= window.ends:
                window.roll(now, (len(times),))
            times.append(now)
        now += chance.random() * 30
        begin_of_part = max(0.0, (now - 10) // 1.0)
        wanted = sum(time >= begin_of_part for time in times) / (now - begin_of_part)
        (rate,) = window.rates(now, (len(times),))
        assert rate == pytest.approx(wanted)


def test_a_window_keeps_no_more_than_its_parts() -> None:
    window = RateWindow(0.0, 10.0, counts=1)
    for second in range(1, 1000):
        window.roll(float(second), (second,))
    assert len(window._state[2]) <= 12
    assert window.rates(1000.0, (1000,)) == (1.0,)


@pytest.mark.parametrize("seconds", [0.1, 3.0, 7.0, 10 / 3])
def test_a_window_always_goes_on_however_times_are_rounded(seconds: float) -> None:
    window = RateWindow(12345.6, seconds, counts=1)
    for count in range(1, 1000):
        now = window.ends
        window.roll(now, (count,))
        assert window.ends > now
    assert window.rates(window.ends, (1000,))[0] == pytest.approx(10 / seconds)


def test_windows_are_added_up_as_if_they_had_been_one() -> None:
    chance = random.Random(11)
    for _ in range(30):
        begun = 50 * chance.random()
        whole, added = RateWindow(begun, 10.0, counts=1), RateWindow(begun + 9, 10.0, counts=1)
        parts = [RateWindow(begun, 10.0, counts=1) for _ in range(3)]
        counts, now = [0, 0, 0], begun
        for _ in range(chance.randrange(200)):
            now += chance.choice([0.01, 0.3, 1.0, 7.0]) * chance.random()
            which = chance.randrange(3)
            for window, count in ((whole, sum(counts)), (parts[which], counts[which])):
                if now >= window.ends:
                    window.roll(now, (count,))
            counts[which] += 1
        for part, count in zip(parts, counts, strict=True):
            added.absorb(part, (count,))
        now += chance.random() * 15
        total = (sum(counts),)
        assert added.rates(now, total) == pytest.approx(whole.rates(now, total))
        assert len(added._state[2]) <= 12


def test_quantiles_are_as_near_as_promised() -> None:
    chance = random.Random(3)
    durations = [10 ** chance.uniform(-5.5, 3) for _ in range(5000)]
    histogram = Histogram()
    for duration in durations:
        histogram.add(duration)
    durations.sort()
    for share in (0.01, 0.5, 0.9, 0.99, 1.0):
        wanted = durations[max(0, round(share * len(durations)) - 1)]
        assert histogram.quantile(share) == pytest.approx(wanted, rel=0.032)
    assert histogram.mean() == pytest.approx(sum(durations) / len(durations))
    assert len(histogram._counts) <= 650


def test_durations_beyond_all_measure_are_kept_in_the_last_bucket() -> None:
    histogram = Histogram()
    for duration in (0.0, -1.0, 1e-12, 1e300):
        histogram.add(duration)
    assert histogram.quantile(0.5) == pytest.approx(1e-6, rel=0.032)
    assert histogram.quantile(1.0) == pytest.approx(1e6, rel=0.032)
    assert Histogram().quantile(0.5) is None
    assert Histogram().mean() is None


def test_histograms_are_added_up() -> None:
    one, two = Histogram(), Histogram()
    one.add(1.0)
    two.add(3.0)
    one.merge(two)
    assert (one.count, one.mean()) == (2, 2.0)
    assert one.quantile(1.0) == pytest.approx(3.0, rel=0.032)


TEXT = "Zwei Wörter\nund  noch\tdrei, ja? 日本 🤔 x "


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_words_are_the_same_however_the_text_is_cut(size: int) -> None:
    counter = ProgressCounter(start=0.0)
    for start in range(0, len(TEXT), size):
        counter.add(TextDelta(text=TEXT[start : start + size]), now=1.0)
    progress = counter.progress(now=2.0)
    assert progress.words == len(TEXT.split())
    assert (progress.characters, progress.bytes) == (len(TEXT), len(TEXT.encode()))


def test_texts_of_several_streams_and_choices_do_not_run_into_each_other() -> None:
    counter = ProgressCounter(start=0.0)
    for stream_id, choice in (("x", 0), ("y", 0), ("x", 1), ("x", 0)):
        counter.add(TextDelta(text="ab", stream_id=stream_id, choice=choice), now=0.0)
    assert counter.progress(now=1.0).words == 3


def test_only_what_answers_the_user_is_counted() -> None:
    counter = ProgressCounter(start=0.0)
    silent = (ReasoningDelta(text="hm"), ToolCallDelta(id="1", arguments="{}"), Start(), Raw(), 7)
    for item in silent:
        counter.add(item, now=0.0)
    counter.add("", now=0.0)
    assert counter.progress(now=1.0).characters == 0


def test_the_rate_is_of_the_last_seconds_and_the_average_of_all() -> None:
    counter = ProgressCounter(start=100.0, window=5.0)
    for tenth in range(1, 101):
        counter.add("ab", now=100 + tenth / 10)
    progress = counter.progress(now=110.0)
    assert progress.rate == pytest.approx(20, rel=0.05)
    assert progress.average_rate == 20
    progress = counter.progress(now=140.0)
    assert (progress.rate, progress.average_rate, progress.elapsed) == (0.0, 5.0, 40.0)
    assert ProgressCounter(start=1.0).progress(now=1.0).average_rate == 0.0


def test_a_step_that_is_asked_again_is_counted_anew() -> None:
    counter = ProgressCounter(start=0.0)
    events = (
        TextDelta(text="one tw"),
        Usage(output_tokens=5),
        TextDelta(text="o three ", step=1),
        TextDelta(text="void", step=1, stream_id="other"),
        Usage(output_tokens=50, step=1),
        Start(attempt=2, step=1),
        TextDelta(text="o four five", step=1, attempt=2),
        Usage(output_tokens=3, step=1, attempt=2),
    )
    for event in events:
        counter.add(event, now=0.0)
    progress = counter.progress(now=1.0)
    assert progress.words == len(["one", "two", "four", "five", "void"])
    assert progress.characters == len("one two four fivevoid")
    assert progress.usage == Usage(output_tokens=8)
    counter.add(Start(attempt=3), now=0.0)
    assert counter.progress(now=1.0).words == 1
    assert counter.progress(now=1.0).usage is None


def test_usage_is_the_last_that_was_told_of_each_step_and_stream() -> None:
    counter = ProgressCounter(start=0.0)

    def told(*events: Any) -> Usage | None:
        for event in events:
            counter.add(event, now=0.0)
        return counter.progress(now=1.0).usage

    assert told(A) is None
    assert told(Usage(input_tokens=4), Usage(input_tokens=4, output_tokens=2)) == Usage(
        input_tokens=4, output_tokens=2
    )
    assert told(StepFinish(number=0, usage=Usage(output_tokens=7))) == Usage(output_tokens=7)
    assert told(Usage(output_tokens=1, step=1)) == Usage(output_tokens=8)
    assert told(Finish(reason="stop", usage=Usage(output_tokens=9))) == Usage(output_tokens=9)
    assert told(Usage(output_tokens=1, stream_id="b")) == Usage(output_tokens=10)
    assert told(Start(attempt=2)) == Usage(output_tokens=1, stream_id="b")


def test_progress_is_a_line_for_people() -> None:
    counter = ProgressCounter(start=0.0)
    counter.add("some words", now=1.0)
    assert str(counter.progress(2.0)) == "10 characters, 2 words, 5.0 characters/s, 2.0 s"
    assert str(counter.progress(2.0, done=True)).endswith("5.0 characters/s, 2.0 s, done")
