"""Tools: their schema, what they refuse, and how the calls of an answer are run."""

import asyncio
import contextvars
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, SecretStr
from reactivex.testing import TestScheduler

from gai_rx import StreamEvent, Tool, ToolCall, ToolError, ToolResult, tool
from gai_rx.events import ToolProgress
from gai_rx.signatures import read_docstring
from gai_rx.steps.jobs import Place
from gai_rx.steps.tool_runs import ToolRuns
from gai_rx.stream import loop_scheduler
from gai_rx.tools import Approval, ToolContext
from tests.operators.sources import settle

# From a function to a tool.


class City(BaseModel):
    name: str
    country: str = "NO"


def test_the_schema_comes_from_the_signature_and_the_words_from_the_docstring() -> None:
    @tool
    def forecast(
        city: City,
        days: Annotated[int, Field(ge=1, le=7, description="How many.")] = 1,
        unit: Literal["C", "F"] = "C",
    ) -> str:
        """The forecast of a city.

        Not for the past.

        Args:
            city: Where,
                in English.
            days: It is told in the annotation too.
            unit (str): Celsius or Fahrenheit.

        Returns:
            One line a day.

        Raises:
            ValueError: Never.
        """
        return ""

    told = forecast.declaration()
    assert told["description"] == (
        "The forecast of a city.\n\nNot for the past.\n\nReturns:\n    One line a day."
    )
    properties = told["parameters"]["properties"]
    assert list(properties) == ["city", "days", "unit"]
    assert properties["city"]["description"] == "Where, in English."
    assert properties["days"]["description"] == "How many."
    assert properties["days"]["maximum"] == 7
    assert properties["unit"]["enum"] == ["C", "F"]
    assert properties["unit"]["description"] == "Celsius or Fahrenheit."
    assert told["parameters"]["required"] == ["city"]
    assert told["parameters"]["additionalProperties"] is False
    assert json.dumps(told)
    given = forecast.validate({"city": {"name": "Oslo"}, "days": "2"})
    assert given == {"city": City(name="Oslo"), "days": 2, "unit": "C"}


@pytest.mark.parametrize("name", ["schema", "model_config", "_hidden", "copy", "self", "json"])
def test_an_argument_may_have_any_name(name: str) -> None:
    names: dict[str, Any] = {}
    exec(f"def f({name}: int = 1) -> int: return {name}", names)
    made = tool(names["f"])
    assert list(made.parameters["properties"]) == [name]
    assert made.validate({name: 3}) == {name: 3}
    with pytest.raises(ToolError, match="argument_0: Extra inputs"):
        made.validate({"argument_0": 3})


def test_the_context_is_none_of_the_models_business() -> None:
    @tool
    def f(a: int, context: ToolContext, other: ToolContext | None = None) -> int:
        return a

    assert list(f.parameters["properties"]) == ["a"]
    assert f.contexts == ("context", "other")
    with pytest.raises(ToolError, match="context: Extra inputs"):
        f.validate({"a": 1, "context": {}})
    assert f(2, ToolContext()) == 2
    ToolContext().progress("nobody listens")


def test_docstrings_of_all_kinds_are_read() -> None:
    assert read_docstring("") == ("", {})
    assert read_docstring("One.\n\nArgs:\n") == ("One.", {})
    assert read_docstring("One.\n\nArgs:\n    a: x: y\n    *b: z\n\nMore.") == (
        "One.\n\nMore.",
        {"a": "x: y", "b": "z"},
    )
    assert read_docstring("One.\n\nExample:\n    f(1)\n") == ("One.", {})


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: Tool("f", timeout=0), ValueError, "above 0, got 0"),
        (lambda: Tool("f", max_result=0), ValueError, "at least 1 byte, got 0"),
        (lambda: Tool("f", approve="yes"), TypeError, "got str"),  # type: ignore[arg-type]
        (lambda: Tool("f")(), ToolError, "has no function"),
    ],
)
def test_a_tool_that_can_not_be_is_refused_at_once(
    make: Callable[[], object], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        make()


def test_a_function_that_can_not_be_called_by_name_is_refused() -> None:
    def positional(a: int, /) -> int:
        return a

    async def generator(a: int) -> AsyncIterator[int]:
        yield a

    with pytest.raises(TypeError, match="'a' can not be given by name"):
        tool(positional)
    with pytest.raises(TypeError, match="is a generator"):
        tool(generator)


def test_a_tool_with_a_schema_of_its_own_checks_the_names() -> None:
    schema = {"type": "object", "properties": {"a": {}}, "required": ["a"]}
    made = Tool("f", "", {**schema, "additionalProperties": False}, lambda a: a)
    assert made.validate({"a": 1}) == {"a": 1}
    with pytest.raises(ToolError, match="a: Field required; b: Extra inputs"):
        made.validate({"b": 1})


def test_faults_are_told_within_bounds() -> None:
    @tool
    def f(a: int) -> int:
        return a

    with pytest.raises(ToolError) as caught:
        f.validate({"x" * 10_000_000: 1, **{f"b{n}": n for n in range(1000)}})
    assert len(caught.value.message) < 2200
    assert "and 992 more" in caught.value.message


def test_a_decision_holds_for_one_call_with_its_very_arguments() -> None:
    call = ToolCall(id="1", name="f", arguments={"a": 1, "b": [2]})
    yes = Approval.of(call)
    assert yes.fits(call.model_copy(update={"arguments": {"b": [2], "a": 1}}))
    for change in ({"id": "2"}, {"name": "g"}, {"arguments": {"a": 1, "b": [3]}}):
        assert not yes.fits(call.model_copy(update=change))


# Running the calls of an answer.


def runs(**settings: Any) -> ToolRuns:
    given = {"max_parallel": 10, "approve": None, "clock": loop_scheduler(), **settings}
    return ToolRuns(**given)


def call(name: str, id: str = "1", **arguments: Any) -> ToolCall:
    return ToolCall(id=id, name=name, arguments=arguments, arguments_text=json.dumps(arguments))


async def told(calls: list[ToolCall], *tools: Tool, **settings: Any) -> list[StreamEvent]:
    made = runs(**settings)
    events: list[StreamEvent] = []
    async for batch in made.results(calls, {t.name: t for t in tools}, Place()):
        events += batch
    made.close()
    return events


async def results(calls: list[ToolCall], *tools: Tool, **settings: Any) -> list[ToolResult]:
    events = await told(calls, *tools, **settings)
    return [e for e in events if isinstance(e, ToolResult)]


async def outcome(one: ToolCall, *tools: Tool, **settings: Any) -> ToolResult:
    [result] = await results([one], *tools, **settings)
    return result


@tool
def double(n: int) -> int:
    """Twice a number."""
    return 2 * n


async def test_sync_and_async_functions_run_and_are_timed() -> None:
    @tool
    async def slow(n: int) -> int:
        await asyncio.sleep(0.01)
        return n

    done = await results([call("slow", "a", n=1), call("double", "b", n=2)], slow, double)
    assert {(r.id, r.name, r.result, r.error) for r in done} == {
        ("a", "slow", 1, None),
        ("b", "double", 4, None),
    }
    assert all(r.duration is not None and 0 <= r.duration < 5 for r in done)
    assert next(r for r in done if r.id == "a").duration >= 0.009  # type: ignore[operator]


async def test_a_sync_function_runs_in_a_thread_with_the_callers_context() -> None:
    name: contextvars.ContextVar[str] = contextvars.ContextVar("name")
    name.set("kept")

    @tool
    def f() -> list[Any]:
        thread = threading.current_thread()
        return [name.get(), thread is threading.main_thread(), thread.daemon]

    assert (await outcome(call("f"), f)).result == ["kept", False, True]


async def test_the_fast_one_comes_first_and_they_overlap() -> None:
    ticks = TestScheduler()
    running: list[str] = []
    gates = {"slow": asyncio.Event(), "fast": asyncio.Event()}

    @tool
    async def work(kind: str) -> str:
        running.append(kind)
        await gates[kind].wait()
        return kind

    async def collect() -> list[ToolResult]:
        calls = [call("work", "1", kind="slow"), call("work", "2", kind="fast")]
        return await results(calls, work, clock=ticks)

    task = asyncio.create_task(collect())
    await settle()
    assert running == ["slow", "fast"]
    ticks.advance_to(3.0)
    gates["fast"].set()
    await settle()
    ticks.advance_to(5.0)
    gates["slow"].set()
    assert [(r.result, r.duration) for r in await task] == [("fast", 3.0), ("slow", 5.0)]


async def test_no_more_than_max_parallel_run_at_once() -> None:
    now, most = 0, 0

    @tool
    async def work(n: int) -> int:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1
        return n

    calls = [call("work", str(n), n=n) for n in range(1000)]
    done = await results(calls, work, max_parallel=7)
    assert sorted(r.result for r in done) == list(range(1000))
    assert most == 7


async def test_tools_wait_while_nobody_takes_their_results() -> None:
    began: list[int] = []

    @tool
    async def work(n: int) -> int:
        began.append(n)
        return n

    made = runs(max_parallel=3)
    batches = made.results([call("work", str(n), n=n) for n in range(50)], {"work": work}, Place())
    await anext(batches)
    await settle()
    assert len(began) == 3
    await batches.aclose()
    made.close()


async def test_a_tool_that_never_returns_is_given_up_under_the_clock_of_the_run() -> None:
    ticks = TestScheduler()
    contexts: list[ToolContext] = []

    @tool(timeout=7.0)
    async def never(context: ToolContext) -> None:
        contexts.append(context)
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                if len(contexts) > 1:  # the test's own end
                    raise
                contexts.append(context)

    task = asyncio.create_task(results([call("never")], never, clock=ticks))
    await settle()
    ticks.advance_to(6.9)
    await settle()
    assert not task.done()
    ticks.advance_to(7.0)
    [result] = await task
    assert (result.error, result.duration) == ("the tool did not end within 7 s", 7.0)
    assert contexts[0].cancelled


async def test_a_sync_tool_that_never_returns_holds_nobody() -> None:
    release, seen = threading.Event(), threading.Event()

    @tool(timeout=0.02)
    def never(context: ToolContext) -> None:
        release.wait(30)
        if context.cancelled:
            seen.set()

    began = time.monotonic()
    done = await results([call("never", str(n)) for n in range(20)], never, max_parallel=20)
    assert time.monotonic() - began < 5
    assert {r.error for r in done} == {"the tool did not end within 0.02 s"}
    release.set()
    assert await asyncio.to_thread(seen.wait, 5)


class Panic(BaseException):
    """As compiled libraries raise."""


@pytest.mark.parametrize(
    ("raised", "says"),
    [
        (ValueError("no such city"), "ValueError: no such city"),
        (ToolError("ask for a city of Norway"), "ask for a city of Norway"),
        (KeyError(), "KeyError"),
        (StopIteration(), "RuntimeError: coroutine raised StopIteration"),
        (Panic("index out of range"), "Panic: index out of range"),
        (GeneratorExit(), "GeneratorExit"),
        (asyncio.CancelledError(), "the tool was cancelled"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("sync", [True, False])
async def test_whatever_a_tool_raises_the_model_is_told(
    raised: BaseException, says: str, sync: bool
) -> None:
    def fails() -> None:
        raise raised

    async def fails_later() -> None:
        raise raised

    made = Tool.of(fails if sync else fails_later, name="f")
    assert (await outcome(call("f"), made)).error == says


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_the_end_of_the_process_passes(kind: type[BaseException]) -> None:
    @tool
    async def f() -> None:
        raise kind

    with pytest.raises(kind):
        asyncio.run(results([call("f")], f))


async def test_the_developer_is_told_more_than_the_model() -> None:
    heard: list[tuple[str, BaseException]] = []
    error = ValueError("at /home/me/private.db")

    @tool
    def f() -> None:
        raise error

    def note(one: ToolCall, raised: BaseException) -> None:
        heard.append((one.name, raised))

    assert (await outcome(call("f"), f, on_tool_error=note)).error == "ValueError: at [path]"
    assert heard == [("f", error)]

    def breaks(one: ToolCall, raised: BaseException) -> None:
        raise RuntimeError("hook")

    with pytest.raises(RuntimeError, match="hook"):
        await outcome(call("f"), f, on_tool_error=breaks)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[Errno 2] No such file: '/home/me/my notes.txt'", "[Errno 2] No such file: '[path]'"),
        (r"open C:\Users\me\x.db failed", "open [path] failed"),
        ("~/x and /etc/passwd:12", "[path] and [path]"),
        ("error:/etc/passwd", "error:[path]"),
        ("file:///etc/passwd", "[path]"),
        ("1/2 and/or a.b/c", "1/2 and/or a.b/c"),
        ("https://me:pw@host/v1?key=abc&b=1 gone", "https://[user]@host/v1?[query] gone"),
        ("token sk-abcdefgh12345 refused", "token *** refused"),
        ("Authorization: Bearer abc.def", "Authorization: ***"),
        ("the pass is hunter2!", "the pass is ***"),
        ("the value is plain-value-of-env", "the value is ***"),
        ("our key is provider-key", "our key is ***"),
        ("two\nlines \x1b[2J", "two lines  [2J"),
        ("x" * 50_000, "x" * (1000 - len("ValueError: "))),
    ],
)
async def test_errors_tell_the_model_nothing_of_this_machine(
    text: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_PASSWORD", "hunter2!")
    monkeypatch.setenv("SOME_VARIABLE", "plain-value-of-env")

    @tool
    def f() -> None:
        raise ValueError(text)

    result = await outcome(call("f"), f, secrets=(SecretStr("provider-key"),))
    assert result.error == f"ValueError: {told}"


class Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


async def test_an_error_that_can_not_be_read_is_told_by_its_name() -> None:
    @tool
    def f() -> None:
        raise Unreadable

    assert (await outcome(call("f"), f)).error == "Unreadable"


# Results.


class Weather(BaseModel):
    degrees: float


@pytest.mark.parametrize(
    ("value", "carried"),
    [
        (Weather(degrees=1.5), {"degrees": 1.5}),
        ((1, 2), [1, 2]),
        ({1: float("nan")}, {"1": None}),
        (b"\xff", "_w=="),
        (None, None),
    ],
)
async def test_a_result_is_told_as_json_carries_it(value: object, carried: object) -> None:
    result = await outcome(call("f"), Tool("f", function=lambda: value))
    assert (result.result, result.error) == (carried, None)
    assert ToolResult.model_validate_json(result.model_dump_json()) == result


async def test_a_result_that_can_not_be_told_is_an_error() -> None:
    circle: list[Any] = []
    circle.append(circle)
    for value in (object(), circle):
        result = await outcome(call("f"), Tool("f", function=lambda value=value: value))
        assert result.error is not None
        assert "can not be told as JSON" in result.error
        assert "0x" not in result.error


async def test_a_result_that_is_too_long_is_an_error() -> None:
    made = Tool("f", function=lambda n: "x" * n, max_result=100)
    assert (await outcome(call("f", n=98), made)).result == "x" * 98
    assert (await outcome(call("f", n=99), made)).error == (
        "the result of 'f' has 101 bytes, the limit is 100; ask for less"
    )


# What a hostile model may try.


async def test_an_unknown_tool_is_an_error_that_the_model_can_read() -> None:
    result = await outcome(call("rm_" + "x" * 10_000), double)
    assert result.error == f"there is no tool called {'rm_' + 'x' * 97!r}"


@pytest.mark.parametrize(
    "arguments",
    [
        {"n": 1, "extra": 2},
        {"n": 1, "__class__": "os"},
        {"__class__": {"__init__": {"__globals__": 1}}},
        {"n": "x" * 100_000},
        {"n": {"$ref": "#"}},
        {},
    ],
)
async def test_arguments_that_do_not_fit_never_reach_the_tool(arguments: dict[str, Any]) -> None:
    ran: list[Any] = []

    @tool
    def f(n: int) -> None:
        ran.append(n)

    result = await outcome(call("f", **arguments), f)
    assert result.error is not None
    assert "do not fit" in result.error
    assert len(result.error) <= 1000
    assert not ran


async def test_an_argument_of_ten_megabytes_is_refused() -> None:
    ran: list[str] = []

    @tool
    def f(text: str) -> None:
        ran.append(text)

    result = await outcome(call("f", text="x" * 10_000_000), f)
    assert result.error == ("the arguments have 10,000,012 characters, the limit is 1,000,000")
    assert not ran


async def test_a_nested_bomb_is_refused() -> None:
    bomb: dict[str, Any] = {}
    for _ in range(100_000):
        bomb = {"a": bomb}

    @tool
    def f(a: dict[str, Any]) -> None:
        raise AssertionError("it ran")

    made = ToolCall.model_construct(
        id="1", name="f", arguments=bomb, arguments_text="", invalid=None
    )
    assert (await outcome(made, f)).error == "the arguments are nested too deeply"
    while bomb:  # unpacked by hand: freeing it at once would overrun the stack
        bomb = bomb["a"]


async def test_arguments_that_are_no_json_are_told_as_an_error() -> None:
    broken = ToolCall(id="1", name="double", invalid="the arguments are no JSON: x")
    assert (await outcome(broken, double)).error == "the arguments are no JSON: x"


# What a tool knows, and tells on the way.


async def test_a_tool_knows_its_call() -> None:
    seen: list[ToolContext] = []

    @tool
    def f(n: int, context: ToolContext) -> None:
        seen.append(context)

    async def once(one: ToolCall, place: Place, key: str) -> ToolContext:
        made = runs(key=key)
        async for _ in made.results([one], {"f": f}, place):
            pass
        return seen[-1]

    first = await once(call("f", n=1), Place(2, 3), "k")
    assert (first.call_id, first.name, first.step, first.attempt) == ("1", "f", 2, 3)
    assert not first.cancelled
    same = await once(call("f", n=1), Place(2, 1), "k")
    assert first.idempotency_key == same.idempotency_key
    others = [
        await once(call("f", n=2), Place(2), "k"),
        await once(call("f", "2", n=1), Place(2), "k"),
        await once(call("f", n=1), Place(3), "k"),
        await once(call("f", n=1), Place(2), "other"),
    ]
    assert len({first.idempotency_key, *(o.idempotency_key for o in others)}) == 5


async def test_progress_comes_from_tasks_and_threads_before_the_result() -> None:
    @tool
    async def steady(context: ToolContext) -> str:
        for share in (0.25, 0.75):
            context.progress({"share": share})
            await settle()
        return "done"

    @tool
    def hasty(context: ToolContext) -> str:
        context.progress("half")
        return "done"

    events = await told([call("steady", "a"), call("hasty", "b")], steady, hasty)

    def of(id: str) -> list[Any]:
        return [
            e.value if isinstance(e, ToolProgress) else e.result
            for e in events
            if isinstance(e, ToolProgress | ToolResult) and e.id == id
        ]

    assert of("a") == [None, {"share": 0.25}, {"share": 0.75}, "done"]
    assert of("b") == [None, "half", "done"]


async def test_of_a_flood_of_progress_the_latest_is_kept() -> None:
    @tool
    async def flood(context: ToolContext) -> None:
        for n in range(10_000):
            context.progress(n)

    events = await told([call("flood")], flood)
    assert [e.value for e in events if isinstance(e, ToolProgress)] == [None, 9999]


@pytest.mark.parametrize("value", [object(), "x" * 200_000])
async def test_progress_that_can_not_be_told_is_the_tools_fault(value: object) -> None:
    @tool
    async def f(context: ToolContext) -> None:
        context.progress(value)

    result = await outcome(call("f"), f)
    assert result.error is not None


# A result on one line.


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ({"result": "sun in Oslo"}, "sun in Oslo"),
        ({"result": {"city": "Tromsø", "n": [1, None]}}, '{"city": "Tromsø", "n": [1, null]}'),
        ({"result": "a\r\n\tb  c\u2028d"}, "a b c d"),
        ({"result": "\x1b]0;mine\x07red\x1b[2J\x9b31m\u202eevil"}, "]0;mine red [2J 31m evil"),
        ({"result": "half \ud83d"}, "half"),
        ({"result": None}, "null"),
        ({"result": 5, "error": "no such city"}, "no such city"),
        ({"result": "x" * 100}, "x" * 100),
        ({"result": "x" * 101}, "x" * 99 + "…"),
    ],
)
def test_a_result_is_shown_on_one_line_that_can_not_drive_a_terminal(
    told: dict[str, Any], shown: str
) -> None:
    assert ToolResult(id="1", **told).preview() == shown


def test_a_line_is_cut_where_it_is_told() -> None:
    told = ToolResult(id="1", result="sun in Oslo and Rome")
    assert [told.preview(n) for n in (1, 8, 20)] == ["…", "sun in…", "sun in Oslo and Rome"]
    with pytest.raises(ValueError, match="at least 1 character, got 0"):
        told.preview(0)
