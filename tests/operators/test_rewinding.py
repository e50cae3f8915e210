"""The rewind law: after the last `Start(attempt > 1)` an operator's output is an unbroken run's.

Every public operator has a row in `LAWS`, or one in `NOT_SUBJECT` that says why the law can not
apply. A new operator without a row fails here.
"""

import asyncio
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import pytest
import reactivex as rx
from pydantic import BaseModel
from reactivex import Observable, abc
from reactivex.testing import ReactiveTest, TestScheduler

import gai_rx.operators
from gai_rx import (
    Citation,
    Citations,
    Finish,
    ReasoningDelta,
    Start,
    StepFinish,
    Stream,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    TruncatedError,
    Usage,
    truncated,
)
from gai_rx.health import StreamMonitor
from gai_rx.operators import (
    accumulate_text,
    batch,
    collect,
    map_async,
    only,
    relay,
    retry_on,
    text_only,
    where,
    without,
)
from gai_rx.operators.assembling import snapshots
from gai_rx.operators.batching import batch_text
from gai_rx.operators.falling_back import fallback_to
from gai_rx.operators.fan_out import fan_out
from gai_rx.operators.filtering import choice, reasoning_only
from gai_rx.operators.flattening import flat_map
from gai_rx.operators.flowing import stage
from gai_rx.operators.handling import on
from gai_rx.operators.metering import meter
from gai_rx.operators.monitoring import log_health, monitor, progress
from gai_rx.operators.pacing import limit_rate
from gai_rx.operators.recovering import errors_as_events, recover
from gai_rx.operators.segmenting import lines, sentences, words
from gai_rx.operators.smoothing import smooth
from gai_rx.operators.timing import deadline, timeouts
from gai_rx.operators.tooling import tool_order, tools_running, workflow_progress
from tests.operators.sources import in_turn

CUT = TruncatedError("cut")


async def _same_later(item: Any) -> Any:
    await asyncio.sleep(0)
    return item


def _is_event(item: Any) -> bool:
    return isinstance(item, StreamEvent)


@dataclass(frozen=True)
class Law:
    """How the law is tried on one operator.

    Args:
        make: Makes the operator.
        flushes: It emits what is left of the void answer when the `Start` comes: that is not of the
            new one.
        on_loop: It has tasks of its own, so virtual time does not move it.
        joins: It cuts text where its sense does, not where a step ends: the end of one step may
            have gone out with the next one, and then it is not told again.
        see: What of its items must be alike, where they hold times too.
        late: It emits later than it takes in; the labels of its output tell what is new.
    """

    make: Callable[[], Callable[[Observable[Any]], Observable[Any]]]
    flushes: bool = False
    on_loop: bool = False
    joins: bool = False
    see: Callable[[Any], Any] = lambda item: item
    late: bool = False


LAWS: dict[str, Law] = {
    "accumulate_text": Law(accumulate_text),
    "batch": Law(lambda: batch(3), flushes=True),
    "batch, by time": Law(lambda: batch(seconds=2.5), flushes=True),
    "batch, by text": Law(lambda: batch(chars=9), flushes=True),
    "batch_text": Law(lambda: batch_text(9), joins=True),
    "batch_text, by time": Law(lambda: batch_text(seconds=2.5), joins=True),
    "choice": Law(lambda: choice(1)),
    "collect": Law(collect),
    "deadline": Law(lambda: deadline(1000)),
    "errors_as_events": Law(errors_as_events),
    "fallback_to": Law(lambda: fallback_to(rx.empty())),
    "fan_out": Law(lambda: fan_out(all=[]), on_loop=True),
    "flat_map": Law(lambda: flat_map(rx.of), on_loop=True),
    "log_health": Law(lambda: log_health(every=1000)),
    "lines": Law(lines, joins=True),
    "limit_rate": Law(lambda: limit_rate(1, per=1.5), late=True),
    "map_async": Law(lambda: map_async(_same_later), on_loop=True),
    "map_async, several": Law(lambda: map_async(_same_later, 3), on_loop=True),
    "meter": Law(lambda: meter(accumulate_text())),
    "monitor": Law(lambda: monitor(StreamMonitor())),
    "on": Law(lambda: on(text=lambda _: None)),
    "only": Law(lambda: only(StreamEvent)),
    "progress": Law(
        lambda: progress(1000), see=lambda told: (told.words, told.characters, told.usage)
    ),
    "reasoning_only": Law(reasoning_only),
    "recover": Law(lambda: recover(OSError, with_=["c"])),
    "relay": Law(lambda: relay(2), on_loop=True),
    "retry_on": Law(lambda: retry_on(OSError)),
    "sentences": Law(sentences, joins=True),
    "smooth": Law(lambda: smooth(delay=1.5), late=True),
    "smooth, by character": Law(lambda: smooth("character", delay=0.4), late=True),
    "snapshots": Law(snapshots, see=lambda made: (made.event, made.result)),
    "stage": Law(lambda: stage(_same_later), on_loop=True),
    "text_only": Law(text_only),
    "tool_order": Law(tool_order, flushes=True),
    "tools_running": Law(
        tools_running, flushes=True, see=lambda told: [(one.id, one.step) for one in told]
    ),
    "timeouts": Law(lambda: timeouts(first=100, idle=100, total=1000)),
    "where": Law(lambda: where(_is_event)),
    "without": Law(lambda: without(Usage)),
    "without, the start": Law(lambda: without(Start)),
    "words": Law(words, joins=True),
    "workflow_progress": Law(
        workflow_progress, see=lambda told: replace(told, elapsed=0.0, running=len(told.running))
    ),
}
"""Every operator; behind a comma, another form of it."""

NOT_SUBJECT: dict[str, str] = {
    "health": "tells how the stream does, and that it was asked again belongs to that",
    "branch": "is a part of fan_out",
    "multiplex": "makes a stream of several and takes none in",
    "race": "makes a stream of several and takes none in",
    **dict.fromkeys(
        ("elements", "field", "merge_fields", "objects", "on_field"),
        "reads JSON, which this answer is not; test_objects checks it with one that is",
    ),
}
"""Why the law does not apply to an operator."""


def text(said: str, **more: Any) -> TextDelta:
    return TextDelta(text=said, **more)


ANSWER: tuple[StreamEvent, ...] = (
    Start(provider="p", model="m"),
    ReasoningDelta(text="hm"),
    text("One two. "),
    text("Un deux. ", choice=1),
    text("Thr", block=1),
    text("ee!\n", block=1),
    ToolCallDelta(id="1", name="f", arguments="{}"),
    ToolCall(id="1", name="f", arguments_text="{}"),
    Usage(input_tokens=1),
    StepFinish(number=0, reason="tool_calls"),
    text("Fo", step=1),
    text("ur.", step=1),
    text("Quatre.", choice=1, step=1),
    Citations(items=(Citation(uri="https://example.com/"),), step=1),
    Usage(input_tokens=2, step=1),
    StepFinish(number=1, step=1),
    Finish(reason="stop", step=1),
)
"""Two steps, two choices, a call; nothing has run the tool, or nobody might ask again."""

STEP = 10  # where the second step begins


class Tap:
    """Sits above the operator under test: notes where its output is, when a `Start` comes anew."""

    def __init__(self, seen: list[Any]) -> None:
        self.before = self.behind = 0
        self._seen = seen

    def __call__(self, source: Observable[Any]) -> Stream[Any]:
        def subscribe(
            observer: abc.ObserverBase[Any], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            def on_next(item: Any) -> None:
                anew = _is_mark(item)
                if anew:
                    self.before = len(self._seen)
                observer.on_next(item)
                if anew:
                    self.behind = len(self._seen)

            return source.subscribe(
                on_next, observer.on_error, observer.on_completed, scheduler=scheduler
            )

        return Stream(subscribe, of_events=True)


Broken = Callable[[Callable[..., Observable[Any]]], Observable[Any]]
"""Builds the source from a function that makes a cold stream of events and their end."""


def run(law: Law, source: Broken) -> list[Any]:
    """What comes out of the operator after the last `Start` with `attempt > 1`, or all of it."""
    seen: list[Any] = []
    tap = Tap(seen)
    if law.on_loop:
        asyncio.run(_run_on_loop(source(_on_loop), tap, law, seen))
    else:
        scheduler = TestScheduler()

        def cold(*events: StreamEvent, error: Exception | None = None) -> Observable[Any]:
            told: list[Any] = [ReactiveTest.on_next(n + 1, e) for n, e in enumerate(events)]
            end = len(events) + 1
            last = ReactiveTest.on_error(end, error) if error else ReactiveTest.on_completed(end)
            return scheduler.create_cold_observable([*told, last])

        failed: list[Exception] = []
        source(cold).pipe(tap, law.make()).subscribe(
            seen.append, failed.append, scheduler=scheduler
        )
        scheduler.start()
        assert not failed
    return _after(law, tap, [plain(law.see(item)) for item in seen])


def _after(law: Law, tap: Tap, seen: list[Any]) -> list[Any]:
    """What belongs to the last answer."""
    if law.on_loop or law.late:
        begins = [n for n, item in enumerate(seen) if _begins_anew(item)]
        return seen[begins[-1] :] if begins else seen
    return seen[tap.behind if law.flushes else tap.before :]


async def _run_on_loop(stream: Observable[Any], tap: Tap, law: Law, seen: list[Any]) -> None:
    lasting: Any = stream.pipe(tap, law.make())
    async for item in Stream.of(lasting):
        seen.append(item)


def _on_loop(*events: StreamEvent, error: Exception | None = None) -> Observable[Any]:
    end: Observable[Any] = rx.throw(error) if error else rx.empty()
    return rx.concat(rx.from_iterable(events), end)


def plain(item: Any) -> Any:
    """An item without its attempts, and where something begins anew labelled so."""
    if isinstance(item, BaseModel):
        kept = {name: plain(value) for name, value in item if name != "attempt"}
        anew = _is_mark(item)
        return (type(item).__name__, kept, "anew") if anew else (type(item).__name__, kept)
    if isinstance(item, list | tuple):
        return tuple(plain(part) for part in item)
    if is_dataclass(item):
        return tuple(plain(getattr(item, field.name)) for field in fields(item))
    return item


def _is_mark(item: Any) -> bool:
    """Whether something begins anew, or, in an unbroken run, would."""
    return isinstance(item, Start) and (item.attempt > 1 or item.step > 0)


def _begins_anew(item: Any) -> bool:
    """Whether an item is, or holds, a mark."""
    return isinstance(item, tuple) and ("anew" in item or any(map(_begins_anew, item)))


def without_label(item: Any) -> Any:
    if isinstance(item, tuple):
        return tuple(without_label(part) for part in item if part != "anew")
    return item


def told_alike(after: Sequence[Any], unbroken: Sequence[Any]) -> None:
    got, wanted = list(map(without_label, after)), list(map(without_label, unbroken))
    same = got == wanted  # so that pytest does not compare long lists word by word
    assert same, f"\ngot    {got!r}\nwanted {wanted!r}"


def of_attempt(events: Sequence[StreamEvent], attempt: int) -> list[StreamEvent]:
    return [event.model_copy(update={"attempt": attempt}) for event in events]


@pytest.mark.parametrize("how", ["retry_on", "fallback_to"])
@pytest.mark.parametrize("name", LAWS)
def test_an_answer_that_was_broken_once_comes_out_as_an_unbroken_one(name: str, how: str) -> None:
    law = LAWS[name]
    unbroken = run(law, lambda cold: Stream.of(cold(*ANSWER), of_events=True))
    for position in range(len(ANSWER) + 1):

        def broken(cold: Callable[..., Observable[Any]], position: int = position) -> Any:
            first, second = cold(*ANSWER[:position], error=CUT), cold(*ANSWER)
            if how == "retry_on":
                again = retry_on(truncated, after_output="restart", jitter=lambda _: 0.0)
                return in_turn(first, second).pipe(again)
            other = Stream.of(second, of_events=True)
            return in_turn(first).pipe(fallback_to(other, after_output="restart"))

        told_alike(run(law, broken), unbroken)


@pytest.mark.parametrize("name", LAWS)
def test_a_step_that_was_broken_once_comes_out_as_an_unbroken_one(name: str) -> None:
    """The loop over steps repeats one model call: the steps before it, and their tools, stay."""
    law = LAWS[name]
    ran = (*ANSWER[:STEP], ToolResult(id="1", name="f", result=2), *ANSWER[STEP:])
    head, tail = ran[: STEP + 1], ran[STEP + 1 :]
    anew = Start(step=1, attempt=2)
    # The same place in the unbroken run; where a `Start` ends a group it is one that voids nothing.
    mark = anew if law.flushes else Start(step=1)
    unbroken = run(law, lambda cold: Stream.of(cold(*head, mark, *tail), of_events=True))
    for position in range(len(tail)):
        events = (*head, *tail[:position], anew, *of_attempt(tail, 2))
        after = run(law, lambda cold, e=events: Stream.of(cold(*e), of_events=True))  # type: ignore[misc]
        if law.joins:
            assert "".join(after) in ("".join(unbroken), "Four.")
        else:
            told_alike(after, unbroken)


def test_one_of_several_streams_begins_anew_alone() -> None:
    def of(stream_id: str, *said: str) -> list[StreamEvent]:
        return [text(word, stream_id=stream_id) for word in said]

    anew = Start(stream_id="x", attempt=2)
    events = [*of("x", "a", "b"), *of("y", "c"), anew, *of("y", "d"), *of("x", "a", "b")]
    stream = Stream.of(rx.from_iterable(events), of_events=True)
    assert stream.pipe(accumulate_text()).to_list().run() == ["a", "ab", "c", "cd", "a", "ab"]


def test_every_operator_has_a_row() -> None:
    known = {name.partition(",")[0] for name in (*LAWS, *NOT_SUBJECT)}
    missing = sorted(public_operators() - known)
    assert not missing, f"add {missing} to LAWS, or to NOT_SUBJECT with a reason"


def public_operators() -> set[str]:
    found = set(gai_rx.operators.__all__)
    for info in pkgutil.iter_modules(gai_rx.operators.__path__):
        if not info.name.startswith("_"):
            module = importlib.import_module(f"gai_rx.operators.{info.name}")
            found |= set(module.__all__)
    names = {n for n in found if n.islower() and n not in ("as_event",)}
    return {n for n in names if not inspect.isclass(getattr(gai_rx.operators, n, None))}
