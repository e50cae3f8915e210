"""No tool runs on an answer that did not end well: over a real socket, for every wire case.

The cases that end well with calls are served once more with other endings: cut off, stopped at the
length, filtered, failed, reset, silent.
"""

import asyncio
import base64
import json
import re
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from gai_rx import Event, Finish, GaiError, Timeouts, Tool, ToolCall, ToolResult, connect
from gai_rx.events import ToolProgress
from gai_rx.stopping import max_steps
from tests.test_wire_cases import CASES, DIALECT, HOSTS, CaseServer

WELL = {"stop", "tool_calls", "function_call", "stop_sequence"}
NAMES = ("get_weather", "now", "rm")
MARKS = {  # what tells in each language that an answer has ended with calls
    "openai.chat": re.compile(rb'"finish_reason":"(tool_calls|stop|function_call)"'),
    "openai.responses": re.compile(rb'"type":"response.completed"'),
    "anthropic.messages": re.compile(rb'"stop_reason":"tool_use"'),
    "gemini.generateContent": re.compile(rb',"finishReason":"STOP"'),
}

Case = dict[str, Any]
Called = list[tuple[str, dict[str, Any]]]


def body_of(case: Case) -> bytes:
    return b"".join(base64.b64decode(piece) for piece in case["body_chunks_base64"])


def ends_well(case: Case) -> bool:
    """Whether nothing but a proper end is right for the case."""
    expect = case["expect"]
    told = expect.get("finish")
    reasons = told if isinstance(told, list) else [told]
    return (
        expect.get("error_class") is None
        and expect.get("auto_execute", True)
        and bool(WELL & set(reasons))
    )


def calls_of(case: Case) -> Called:
    return [(call["name"], call["arguments"]) for call in case["expect"]["tool_calls"]]


BAD = [case for case in CASES if not ends_well(case)]
WITH_CALLS = [case for case in CASES if ends_well(case) and calls_of(case)]
QUIET = [case for case in CASES if ends_well(case) and not calls_of(case)]

# The same answers with other endings.


def doctored(case: Case, body: bytes, then: str = "eof") -> Case:
    other = deepcopy(case)
    other["body_chunks_base64"] = [base64.b64encode(body).decode()]
    other["then"] = then
    other["client"] = {"idle_timeout_s": 0.2} if then == "stall" else {}
    return other


def before_the_end(case: Case) -> bytes:
    """The records with the calls, whole, and not the one that tells of the end."""
    body, mark = body_of(case), MARKS[case["api"]]
    if case["api"] == "gemini.generateContent":  # there they are one record
        return mark.sub(b"", body)
    found = mark.search(body)
    assert found is not None
    return body[: [end for end in ends_of_records(body) if end <= found.start()][-1]]


def ends_of_records(body: bytes) -> list[int]:
    return [found.end() for found in re.finditer(rb"\r?\n\r?\n", body)]


def cut_off(case: Case) -> list[Case]:
    """Cut in every record, and behind every record, up to the last one before the end."""
    body = before_the_end(case)
    ends = ends_of_records(body)
    middles = [(a + b) // 2 for a, b in zip([0, *ends], ends, strict=False)]
    return [doctored(case, body[:at]) for at in sorted({*ends, *middles})]


def reset(case: Case) -> list[Case]:
    return [doctored(case, before_the_end(case), "reset")]


def silent(case: Case) -> list[Case]:
    return [doctored(case, before_the_end(case), "stall")]


def stopped_at_the_length(case: Case) -> list[Case]:
    return [ended(case, "length", "max_output_tokens", "max_tokens", "MAX_TOKENS")]


def filtered(case: Case) -> list[Case]:
    return [ended(case, "content_filter", "content_filter", "refusal", "SAFETY")]


def of_an_unknown_end(case: Case) -> list[Case]:
    return [ended(case, "out_of_ideas", "out_of_ideas", "out_of_ideas", "OUT_OF_IDEAS")]


def ended(case: Case, chat: str, responses: str, anthropic: str, gemini: str) -> Case:
    """The case with another reason, as each language spells it."""
    body, mark = body_of(case), MARKS[case["api"]]
    if case["api"] == "openai.responses":
        body = body.replace(b"response.completed", b"response.incomplete")
        body = body.replace(b'"status":"completed","error"', b'"status":"incomplete","error"')
        told = b'"incomplete_details":{"reason":"%b"}' % responses.encode()
        head, _, last = body.rpartition(b'"incomplete_details":null')
        return doctored(case, head + told + last)
    instead = {
        "openai.chat": f'"finish_reason":"{chat}"',
        "anthropic.messages": f'"stop_reason":"{anthropic}"',
        "gemini.generateContent": f',"finishReason":"{gemini}"',
    }[case["api"]]
    return doctored(case, mark.sub(instead.encode(), body))


def failed(case: Case) -> list[Case]:
    records: dict[str, Any] = {
        "openai.chat": {"error": {"message": "lost", "type": "server_error", "code": 500}},
        "openai.responses": {
            "type": "response.failed",
            "response": {"status": "failed", "error": {"code": "server_error", "message": "x"}},
        },
        "anthropic.messages": {"type": "error", "error": {"type": "api_error", "message": "x"}},
        "gemini.generateContent": {"error": {"code": 500, "message": "x", "status": "INTERNAL"}},
    }
    record = records[case["api"]]
    named = f"event: {record['type']}\n" if "type" in record else ""
    told = f"{named}data: {json.dumps(record)}\n\n".encode()
    return [doctored(case, before_the_end(case) + told)]


ENDINGS = [cut_off, reset, silent, stopped_at_the_length, filtered, of_an_unknown_end, failed]


# One run.


class Run:
    """What a run told, and which functions it called."""

    def __init__(self) -> None:
        self.called: Called = []
        self.events: list[Event] = []
        self.error: GaiError | None = None

    def tool(self, name: str, *, eager: bool) -> Tool:
        async def function(**arguments: Any) -> str:
            self.called.append((name, arguments))
            return f"{name} ran"

        return Tool(name, "", {"type": "object"}, function, eager=eager)

    @property
    def results(self) -> list[ToolResult]:
        return [e for e in self.events if isinstance(e, ToolResult) and not e.provider_executed]

    @property
    def told_of_tools(self) -> list[Event]:
        return [e for e in self.events if isinstance(e, ToolResult | ToolProgress)]

    @property
    def ended_well(self) -> bool:
        last = self.events[-1] if self.events else None
        return isinstance(last, Finish) and last.reason in ("stop", "tool_calls")


async def run_of(case: Case, *, eager: bool = False) -> Run:
    dialect, base = DIALECT[case["api"]]
    host = case["provider"] if case["provider"] in HOSTS else dialect
    idle = (case.get("client") or {}).get("idle_timeout_s") or 10
    run = Run()
    tools = [run.tool(name, eager=eager) for name in NAMES]
    async with CaseServer(case) as url:
        timeouts = Timeouts(first=idle, idle=idle)
        model = connect(f"{host}:m", base_url=url + base, api_key="key", timeouts=timeouts)
        try:
            async with asyncio.timeout(20):
                async for event in model.stream_text("Hi", tools=tools, stop_when=max_steps(1)):
                    run.events.append(event)
        except GaiError as error:
            run.error = error
    await asyncio.sleep(0)
    return run


def named(case: Case) -> str:
    return str(case["id"])


both = pytest.mark.parametrize("eager", [False, True], ids=["normal", "eager"])


def test_the_cases_are_enough_to_tell() -> None:
    assert {name for case in CASES for name, _ in calls_of(case)} <= set(NAMES)
    assert len(BAD) >= 40
    assert len(WITH_CALLS) >= 14
    assert {case["api"] for case in WITH_CALLS} == set(MARKS)
    with_calls = [other for case in WITH_CALLS for end in ENDINGS for other in end(case)]
    assert len(with_calls) >= 150
    assert len(BAD) + len(WITH_CALLS) + len(QUIET) == len(CASES)


@both
@pytest.mark.parametrize("case", BAD, ids=named)
async def test_no_tool_runs_where_a_case_does_not_end_well(case: Case, eager: bool) -> None:
    run = await run_of(case, eager=eager)
    assert run.called == []
    assert run.told_of_tools == []


@both
@pytest.mark.parametrize("case", QUIET, ids=named)
async def test_no_tool_runs_where_a_case_calls_none(case: Case, eager: bool) -> None:
    run = await run_of(case, eager=eager)
    assert run.called == []
    assert run.results == []


@both
@pytest.mark.parametrize("case", WITH_CALLS, ids=named)
async def test_where_a_case_ends_well_each_call_runs_once(case: Case, eager: bool) -> None:
    run = await run_of(case, eager=eager)
    assert run.ended_well
    assert sorted(run.called, key=str) == sorted(calls_of(case), key=str)
    assert sorted((r.name, r.error) for r in run.results) == sorted(
        (name, None) for name, _ in calls_of(case)
    )


@pytest.mark.parametrize("end", ENDINGS)
@pytest.mark.parametrize("case", WITH_CALLS, ids=named)
async def test_no_tool_runs_where_calls_are_whole_and_their_answer_is_not(
    case: Case, end: Callable[[Case], list[Case]]
) -> None:
    told = 0
    for other in end(case):
        run = await run_of(other)
        assert not run.ended_well
        assert run.called == []
        assert run.told_of_tools == []
        told += any(isinstance(e, ToolCall) for e in run.events)
    assert told or end in (cut_off, reset, silent, failed)  # a call may be held to the end


@pytest.mark.parametrize("end", ENDINGS)
@pytest.mark.parametrize("case", WITH_CALLS, ids=named)
async def test_an_eager_tool_sees_whole_arguments_only_and_tells_nothing_of_a_bad_answer(
    case: Case, end: Callable[[Case], list[Case]]
) -> None:
    for other in end(case):
        run = await run_of(other, eager=True)
        assert not run.ended_well
        assert run.told_of_tools == []
        expected = calls_of(case)
        assert all(called in expected for called in run.called)
        assert len(run.called) <= len(expected)


async def test_an_eager_tool_does_run_before_the_end_where_its_call_is_whole() -> None:
    fragments = next(case for case in CASES if case["id"] == "tool-basic-fragments")
    run = await run_of(silent(fragments)[0], eager=True)
    assert run.called == [("get_weather", {"city": "Paris"})]
    assert run.told_of_tools == []
