"""Every operator, ready to be applied: what the contract's tests go through.

An operator that is public and not here fails `test_registry.py`. An entry may be exempt from a
rule, with a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
import reactivex as rx
from reactivex import Observable, abc

from gai_rx import Finish, Raw, Start, Stream, TextDelta, ToolCall, ToolResult, rate_limit
from gai_rx.calls import RunningTool
from gai_rx.health import StreamMonitor
from gai_rx.operators import (
    Tagged,
    WorkflowProgress,
    accumulate_text,
    batch,
    batch_text,
    branch,
    choice,
    collect,
    deadline,
    elements,
    errors_as_events,
    fallback_to,
    fan_out,
    flat_map,
    health,
    limit_rate,
    lines,
    log_health,
    map_async,
    merge_fields,
    meter,
    monitor,
    multiplex,
    objects,
    on,
    on_field,
    only,
    progress,
    race,
    reasoning_only,
    recover,
    relay,
    retry_on,
    sentences,
    smooth,
    snapshots,
    stage,
    text_only,
    timeouts,
    tool_order,
    tools_running,
    where,
    without,
    words,
    workflow_progress,
)
from gai_rx.operators import field as json_field
from gai_rx.stream import lift
from tests.contract.probe import EVENTS, Feed

__all__ = ["REGISTRY", "SOURCES", "Entry", "Hook", "over"]

Apply = Callable[[Observable[Any]], Stream[Any]]
Hook = Callable[[], None]
"""What a user function calls first: it may count, raise, or look at the context."""

SOURCES = {"multiplex", "race"}
"""Functions of `gai_rx` that make one stream of several, and are no operators."""


@dataclass(frozen=True)
class Entry:
    """An operator with valid arguments, and what can be said of it in general.

    Attributes:
        name: How the tests call it.
        operator: Its public name.
        apply: Makes a fresh operator, and applies it.
        identity: It passes every item on: all, in order, once.
        boundary: What is below it runs in a task of the operator's own.
        timed: Applies it with a clock of the caller's.
        calling: Applies it with a user function that calls a hook.
        calls: When it calls that function: for each item, or for the source's error.
        requests: Subscriptions of the source in each subscription.
        room: Items of the source that it may hold itself.
        overtakes: By its documentation an error of the source ends what is still being made of the
            items before it.
        of_source: What its items say of those of the source, and of nothing else.
        delays: It may keep an item for a while, by a timer.
        exempt: Rules that it need not keep, with the reason.
    """

    name: str
    operator: str
    apply: Apply
    identity: bool = False
    boundary: bool = False
    timed: Callable[[abc.SchedulerBase | None], Apply] | None = None
    calling: Callable[[Hook], Apply] | None = None
    calls: Literal["items", "error"] = "items"
    requests: int = 1
    room: int = 0
    overtakes: bool = False
    of_source: Callable[[list[Any]], list[Any]] = list
    delays: bool = False
    exempt: Mapping[str, str] = field(default_factory=dict)


def over(rule: str, *, having: Callable[[Entry], object] = lambda _: True) -> pytest.MarkDecorator:
    """Run a test for each entry that is not exempt from the rule."""
    entries = [e for e in REGISTRY if rule not in e.exempt and having(e)]
    return pytest.mark.parametrize("entry", entries, ids=lambda e: e.name)


def other() -> Stream[Any]:
    """A second stream, for what takes several; it has no text."""
    return Feed((Start(provider="q"), Finish(reason="stop"))).stream


async def _same(item: Any) -> Any:
    return item


def _called(hook: Hook, result: Any = True) -> Callable[..., Any]:
    def function(*_: Any) -> Any:
        hook()
        return result

    return function


def _async_called(hook: Hook) -> Callable[[Any], Any]:
    async def function(item: Any) -> Any:
        hook()
        return item

    return function


def _inner(hook: Hook = lambda: None) -> Callable[[Any], Stream[Any]]:
    def function(item: Any) -> Stream[Any]:
        hook()
        return Feed((item,)).stream

    return function


def _two(on_error: Any, **options: Any) -> Apply:
    return lambda s: multiplex({"a": s, "b": other()}, on_error=on_error, **options)


def _of_a(items: list[Any]) -> list[Any]:
    return [item for item in items if item.stream_id == "a"]


def _of_x(items: list[Any]) -> list[Any]:
    return [item.value for item in items if isinstance(item, Tagged) and item.branch == "x"]


def _racing(source: Observable[Any]) -> Stream[Any]:
    return race(source, source)


_AT_THE_END = {
    "R7": "its only item comes after the end of the source: nothing is left to be stopped then",
    "R19": "it emits nothing before the end, so nobody can hold it; what it keeps is the answer",
}
_DRAINS = "by its documentation what waits goes on before an error, each item in its own time"

_UNHELD = {
    "R19": "by this policy the source is not held; that the queue stays at its bound is checked in "
    "test_flow_control by itself",
    "R7": "a source that emits all in one turn of the loop is over before the boundary's own task "
    "runs, and by this policy an overflow does not end it",
}

_JOINS = {
    **_UNHELD,
    "R19": "deltas that wait are joined, so that only what can not be joined holds the source; the "
    "tests of the policy check its bound of 32 MiB",
}
_BY_THE_CLOCK = {
    "R7": "its items come by the clock: a source that emits all in one turn of the loop is over "
    "before the first",
    "R19": "it keeps counts and no items, and makes no snapshot while the subscriber is busy: "
    "there is nothing for which the source would have to be held",
}

_FILTERING = [
    Entry("text_only", "text_only", lambda s: s.pipe(text_only())),
    Entry("reasoning_only", "reasoning_only", lambda s: s.pipe(reasoning_only()), room=15),
    Entry("choice", "choice", lambda s: s.pipe(choice(0)), identity=True),
    Entry("only", "only", lambda s: s.pipe(only(TextDelta, ToolCall))),
    Entry("without", "without", lambda s: s.pipe(without(Raw)), identity=True),
    Entry(
        "where",
        "where",
        lambda s: s.pipe(where(lambda _: True)),
        identity=True,
        calling=lambda hook: lambda s: s.pipe(where(_called(hook))),
    ),
    Entry(
        "where two",
        "where",
        lambda s: s.pipe(where(lambda _: True, lambda _: True)),
        identity=True,
        calling=lambda hook: lambda s: s.pipe(where(lambda _: True, _called(hook))),
    ),
]
_ASSEMBLING = [
    Entry("accumulate_text", "accumulate_text", lambda s: s.pipe(accumulate_text())),
    Entry("collect", "collect", lambda s: s.pipe(collect()), exempt=_AT_THE_END),
    Entry(
        "snapshots",
        "snapshots",
        lambda s: s.pipe(snapshots()),
        identity=True,
        of_source=lambda items: [item.event for item in items],
    ),
    Entry("words", "words", lambda s: s.pipe(words()), room=4),
    Entry("sentences", "sentences", lambda s: s.pipe(sentences()), room=10),
    Entry("lines", "lines", lambda s: s.pipe(lines()), room=10),
    Entry(
        "smooth",
        "smooth",
        lambda s: s.pipe(smooth(delay=0.02)),
        identity=True,
        timed=lambda clock: lambda s: s.pipe(smooth("character", delay=0.02, scheduler=clock)),
        room=65,
        delays=True,
        exempt={"R11": _DRAINS},
    ),
    Entry(
        "smooth by line",
        "smooth",
        lambda s: s.pipe(smooth("line", delay=0.02)),
        room=75,
        delays=True,
        exempt={"R11": _DRAINS},
    ),
]
_BATCHING = [
    Entry("batch", "batch", lambda s: s.pipe(batch(2)), room=2),
    Entry(
        "batch by time",
        "batch",
        lambda s: s.pipe(batch(3, seconds=1.0)),
        timed=lambda clock: lambda s: s.pipe(batch(3, seconds=1.0, scheduler=clock)),
        room=6,
    ),
    Entry("batch by weight", "batch", lambda s: s.pipe(batch(chars=8, size_bytes=9)), room=12),
    Entry(
        "batch_text",
        "batch_text",
        lambda s: s.pipe(batch_text(8, seconds=1.0)),
        timed=lambda clock: lambda s: s.pipe(batch_text(8, seconds=1.0, scheduler=clock)),
        room=12,
    ),
]


def _relaying(policy: Any) -> Entry:
    """A `relay` of this policy."""
    drops = policy in ("drop_newest", "drop_oldest", "latest", "error")
    return Entry(
        f"relay {policy}",
        "relay",
        lambda s: s.pipe(relay(4, overflow=policy)),
        identity=not drops,
        boundary=True,
        room=4,
        exempt=_UNHELD if drops else _JOINS if policy == "conflate" else {},
    )


def _fanning(policy: Any) -> Entry:
    """A `fan_out` to two branches of this policy."""
    drops = policy in ("drop_newest", "drop_oldest", "latest", "error")
    return Entry(
        f"fan_out {policy}",
        "fan_out",
        lambda s: s.pipe(fan_out(x=(), y=branch(queue=2), queue=4, overflow=policy)),
        identity=not drops,
        boundary=True,
        calling=lambda hook: lambda s: s.pipe(fan_out(x=where(_called(hook)), overflow=policy)),
        of_source=_of_x,
        room=6,
        exempt=_UNHELD if drops else _JOINS if policy == "conflate" else {},
    )


_POLICIES = (
    "block",
    "drop_newest",
    "drop_oldest",
    "latest",
    "conflate",
    "error",
    "caller_runs",
)
_FLOWING = [
    *map(_relaying, _POLICIES),
    *map(_fanning, _POLICIES),
    Entry(
        "map_async",
        "map_async",
        lambda s: s.pipe(map_async(_same, queue=1)),
        identity=True,
        boundary=True,
        calling=lambda hook: lambda s: s.pipe(map_async(_async_called(hook), queue=1)),
        room=2,
    ),
    Entry(
        "map_async of 3",
        "map_async",
        lambda s: s.pipe(map_async(_same, 3, queue=3)),
        identity=True,
        boundary=True,
        calling=lambda hook: lambda s: s.pipe(map_async(_async_called(hook), 3, queue=3)),
        room=7,
    ),
    Entry(
        "stage",
        "stage",
        lambda s: s.pipe(stage(lambda item: item, queue=5)),
        identity=True,
        boundary=True,
        calling=lambda hook: lambda s: s.pipe(stage(_called(hook), queue=5)),
        room=6,
    ),
    Entry(
        "flat_map",
        "flat_map",
        lambda s: s.pipe(flat_map(_inner(), concurrency=1)),
        identity=True,
        boundary=True,
        calling=lambda hook: lambda s: s.pipe(flat_map(_inner(hook), concurrency=1)),
        room=3,
        overtakes=True,
    ),
    Entry(
        "flat_map of 3",
        "flat_map",
        lambda s: s.pipe(flat_map(_inner(), concurrency=3)),
        boundary=True,
        calling=lambda hook: lambda s: s.pipe(flat_map(_inner(hook), concurrency=3)),
        room=7,
        overtakes=True,
    ),
    Entry(
        "limit_rate",
        "limit_rate",
        lambda s: s.pipe(limit_rate(2, queue=4)),
        identity=True,
        timed=lambda clock: lambda s: s.pipe(limit_rate(2, queue=4, scheduler=clock)),
        room=5,
        delays=True,
        exempt={"R11": _DRAINS},
    ),
    Entry(
        "on",
        "on",
        lambda s: s.pipe(on(text=lambda _: None)),
        identity=True,
        calling=lambda hook: lambda s: s.pipe(on(text=_called(hook))),
    ),
]
_SEVERAL = [
    Entry(
        "multiplex",
        "multiplex",
        _two("isolate"),
        identity=True,
        room=32,
        of_source=_of_a,
        exempt={
            "R11": "with 'isolate' a failure becomes an event; test_errors checks that by itself"
        },
    ),
    Entry(
        "multiplex fail_fast",
        "multiplex",
        _two("fail_fast"),
        identity=True,
        room=32,
        of_source=_of_a,
    ),
    Entry(
        "multiplex block_for",
        "multiplex",
        _two("fail_fast", block_for=5.0),
        identity=True,
        timed=lambda clock: (
            lambda s: multiplex(
                {"a": s, "b": rx.empty()}, on_error="fail_fast", block_for=5.0, scheduler=clock
            )
        ),
        room=32,
        of_source=_of_a,
        exempt={"R19": "with block_for a held source goes on, and loses deltas, by name"},
    ),
    Entry("race", "race", _racing, identity=True, requests=2),
]
_FAILING = [
    Entry(
        "retry_on",
        "retry_on",
        lambda s: s.pipe(retry_on(rate_limit)),
        identity=True,
        timed=lambda clock: lambda s: s.pipe(retry_on(rate_limit, scheduler=clock)),
        calling=lambda hook: lambda s: s.pipe(retry_on(_called(hook))),
        calls="error",
    ),
    Entry(
        "retry_on restart",
        "retry_on",
        lambda s: s.pipe(retry_on(rate_limit, after_output="restart")),
        identity=True,
        calling=lambda hook: (
            lambda s: s.pipe(retry_on(Exception, after_output="restart", on_retry=_called(hook)))
        ),
        calls="error",
    ),
    Entry(
        "fallback_to",
        "fallback_to",
        lambda s: s.pipe(fallback_to(Feed(EVENTS).stream)),
        identity=True,
        calling=lambda hook: (
            lambda s: s.pipe(fallback_to(other(), on=_called(hook), after_output="restart"))
        ),
        calls="error",
    ),
    Entry(
        "recover",
        "recover",
        lambda s: s.pipe(recover(rate_limit, with_=[Finish(reason="other")])),
        identity=True,
        calling=lambda hook: lambda s: s.pipe(recover(Exception, with_=_called(hook, []))),
        calls="error",
    ),
    Entry(
        "errors_as_events",
        "errors_as_events",
        lambda s: s.pipe(errors_as_events(rate_limit)),
        identity=True,
        calling=lambda hook: lambda s: s.pipe(errors_as_events(_called(hook))),
        calls="error",
    ),
]

_TIMING = [
    Entry(
        "timeouts",
        "timeouts",
        lambda s: s.pipe(timeouts(first=90.0, idle=70.0, total=500.0)),
        identity=True,
        timed=lambda clock: lambda s: s.pipe(timeouts(first=5.0, idle=5.0, scheduler=clock)),
    ),
    Entry(
        "deadline",
        "deadline",
        lambda s: s.pipe(deadline(500.0)),
        identity=True,
        timed=lambda clock: lambda s: s.pipe(deadline(7.0, scheduler=clock)),
    ),
]
_MONITORING = [
    Entry(
        "monitor",
        "monitor",
        lambda s: s.pipe(monitor(StreamMonitor(), "here")),
        identity=True,
        timed=lambda clock: lambda s: s.pipe(monitor(StreamMonitor(), scheduler=clock)),
    ),
    Entry(
        "health",
        "health",
        lambda s: s.pipe(health(every=1.0)),
        timed=lambda clock: lambda s: s.pipe(health(every=1.0, scheduler=clock)),
        of_source=lambda items: [(h.events, h.stalled, h.done, round(h.elapsed, 3)) for h in items],
        exempt=_BY_THE_CLOCK,
    ),
    Entry(
        "log_health",
        "log_health",
        lambda s: s.pipe(log_health(every=1.0)),
        identity=True,
        timed=lambda clock: lambda s: s.pipe(log_health(every=1.0, scheduler=clock)),
    ),
    Entry(
        "progress",
        "progress",
        lambda s: s.pipe(progress(every=1.0)),
        timed=lambda clock: lambda s: s.pipe(progress(every=1.0, scheduler=clock)),
        of_source=lambda items: [(p.words, p.done, round(p.elapsed, 3)) for p in items],
        exempt=_BY_THE_CLOCK,
    ),
    Entry(
        "meter",
        "meter",
        lambda s: s.pipe(meter(where(lambda _: True), without(Raw))),
        identity=True,
        calling=lambda hook: lambda s: s.pipe(meter(where(_called(hook)), without(Raw))),
    ),
]


class _Piece(str):
    """A piece of JSON, and the item that it stands for; the one that closes stands for none."""

    item: Any = None


def _turned(
    name: str,
    make: Callable[[int, Any], Any],
    closing: Callable[[int], list[Any]] = lambda _: [],
) -> Callable[[Observable[Any]], Stream[Any]]:
    """Turn each item into another, by its number; at the end comes what closes so many."""

    def subscribe(
        source: Observable[Any], observer: abc.ObserverBase[Any], given: abc.SchedulerBase | None
    ) -> abc.DisposableBase:
        count = 0

        def on_next(item: Any) -> None:
            nonlocal count
            count += 1
            observer.on_next(make(count - 1, item))

        def on_completed() -> None:
            try:
                for item in closing(count):
                    observer.on_next(item)
            except Exception as error:  # the subscriber's
                observer.on_error(error)
            else:
                observer.on_completed()

        return source.subscribe(on_next, observer.on_error, on_completed, scheduler=given)

    return lift(name, subscribe)


def _of_json(
    operator: Callable[[], Callable[[Observable[Any]], Stream[Any]]],
    of: type[list[Any]] | type[dict[str, Any]] = list,
) -> Apply:
    """The operator, behind a source whose items become the texts "0 ", "1 " … of one document."""
    begin, end = ("[", "]") if of is list else ("{", "}")

    def piece(number: int, item: Any) -> _Piece:
        key = "" if of is list else f'"k{number}": '
        made = _Piece(f'{", " if number else begin}{key}"{number} "')
        made.item = item
        return made

    def closing(count: int) -> list[Any]:
        return [_Piece(end if count else begin + end)]

    return lambda s: s.pipe(_turned("as_json", piece, closing), operator())


def _items(pieces: list[Any]) -> list[Any]:
    return [piece.item for piece in pieces if piece.item is not None]


def _last_of(partials: list[Any]) -> list[Any]:
    return [True if partial.done else partial.value[-1] for partial in partials]


_OBJECTS = [
    Entry("objects", "objects", _of_json(lambda: objects(list[str])), of_source=_last_of),
    Entry("elements", "elements", _of_json(lambda: elements("$[*]", str))),
    Entry("field", "field", _of_json(lambda: json_field("$[*]"))),
    Entry(
        "merge_fields",
        "merge_fields",
        _of_json(merge_fields, dict),
        of_source=lambda items: [list(fields.values())[-1] for fields in items],
    ),
    Entry(
        "on_field",
        "on_field",
        _of_json(lambda: on_field({"$[*]": lambda _: None})),
        identity=True,
        calling=lambda hook: _of_json(lambda: on_field({"$[*]": _called(hook)})),
        of_source=_items,
    ),
]


def _of_calls(operator: Callable[[], Callable[[Observable[Any]], Stream[Any]]]) -> Apply:
    """The operator, behind a source whose items become calls of a tool, each with its result."""

    def event(number: int, _: Any) -> Any:
        if number % 2:
            return ToolResult(id=f"{number - 1} ", name="f")
        return ToolCall(id=f"{number} ", name="f")

    return lambda s: s.pipe(_turned("as_calls", event), operator())


def _running(tools: Iterable[RunningTool]) -> list[Any]:
    return [told for tool in tools for told in (tool.id, round(tool.since, 3))]


def _workflow(now: WorkflowProgress) -> list[Any]:
    counts = now.step, now.steps, now.calls, len(now.completed)
    return [*_running(now.running), counts, (now.done, now.finish_reason, round(now.elapsed, 3))]


_TOOLING = [
    Entry(
        "tools_running",
        "tools_running",
        _of_calls(tools_running),
        timed=lambda clock: lambda s: s.pipe(tools_running(scheduler=clock)),
        of_source=lambda items: [_running(tools) for tools in items],
    ),
    Entry(
        "tool_order",
        "tool_order",
        _of_calls(tool_order),
        of_source=lambda items: [called[-1].id for called in items if called],
    ),
    Entry(
        "workflow_progress",
        "workflow_progress",
        _of_calls(workflow_progress),
        timed=lambda clock: lambda s: s.pipe(workflow_progress(scheduler=clock)),
        of_source=lambda items: [_workflow(now) for now in items],
    ),
]

REGISTRY: list[Entry] = [
    *_FILTERING,
    *_ASSEMBLING,
    *_BATCHING,
    *_FLOWING,
    *_SEVERAL,
    *_FAILING,
    *_TIMING,
    *_MONITORING,
    *_OBJECTS,
    *_TOOLING,
]
