"""Results, printed for people."""

from io import StringIO
from typing import Any

import pytest
from pydantic import BaseModel

from gai_rx import Citation, Result, Step, ToolCall, ToolResult, Usage


def printed(**fields: Any) -> str:
    file = StringIO()
    Result(**fields).pprint(file)
    return file.getvalue()


class Place(BaseModel):
    city: str
    rating: float


def test_text_comes_first_and_how_it_ended_last() -> None:
    usage = Usage(input_tokens=1200, output_tokens=0)
    shown = printed(text="Hello\nyou", finish_reason="stop", complete=True, usage=usage)
    assert shown == "Hello\nyou\nstop, 1,200 tokens read, 0 tokens written\n"


def test_an_object_is_shown_as_json_and_not_its_text_too() -> None:
    place = Place(city="Tromsø", rating=0.5)
    shown = printed(text="beside", object=place, finish_reason="stop", complete=True)
    assert shown == '{\n  "city": "Tromsø",\n  "rating": 0.5\n}\nstop\n'
    assert printed(object={"x": {1j}}).startswith('{\n  "x": [\n    "1j"')


def test_calls_are_shown_with_what_they_came_to() -> None:
    calls = (
        ToolCall(id="a", name="look", arguments={"city": "Oslo", "n": 2}),
        ToolCall(id="b", name="fail"),
        ToolCall(id="c", name="wait"),
        ToolCall(id="d", name="odd", arguments_text='{"x": ', invalid="cut off"),
    )
    results = (
        ToolResult(id="b", name="fail", error="no such\ncity"),
        ToolResult(id="a", name="look", result={"sky": "x" * 200}),
        ToolResult(id="z", name="old", result="late"),
    )
    steps = (Step(tool_calls=calls, tool_results=results), Step(number=1))
    assert printed(steps=steps, complete=True).splitlines() == [
        'tool: look(city="Oslo", n=2): {"sky": "' + "x" * 90 + "…",
        "tool: fail(): failed: no such city",
        "tool: wait(): no result",
        'tool: odd({"x":): no result',
        "tool: old: late",
        "finished, 2 steps",
    ]


def test_refusals_sources_and_a_missing_end_are_told() -> None:
    cited = (Citation(title="Sea", uri="https://sea"), Citation(text="a passage"))
    assert printed(refusal="No.", citations=cited).splitlines() == [
        "refused: No.",
        "source: Sea https://sea",
        "source: a passage",
        "not complete",
    ]


def test_nothing_that_a_model_says_drives_the_terminal() -> None:
    evil = "\x1b]0;mine\x07\x1b[2Jred\x9b31m"
    call = ToolCall(id="a", name=evil, arguments={evil: evil})
    told = ToolResult(id="a", name=evil, result=evil)
    shown = printed(
        object={evil: evil},
        refusal=evil,
        citations=(Citation(title=evil),),
        steps=(Step(tool_calls=(call,), tool_results=(told,)),),
    )
    assert not {"\x1b", "\x07", "\x9b"} & set(shown)
    assert shown.count("red") >= 6


def test_it_goes_to_standard_output_unless_told_otherwise(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Result(text="Hello", complete=True).pprint()
    assert capsys.readouterr().out == "Hello\nfinished\n"
