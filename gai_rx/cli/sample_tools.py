"""Tools to try `gai-rx chat --tools` with; they change nothing."""

from __future__ import annotations

import ast
import asyncio
import math
import operator
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from pydantic import Field

from gai_rx.errors import ToolError
from gai_rx.tools import Tool, ToolContext, tool

__all__ = ["SAMPLE_TOOLS", "calculate", "clock", "wait"]

_LONGEST: Final = 200  # characters of an expression
_LARGEST: Final = 4096  # bits of a whole number
_PLACES: Final = 300
_PART: Final = 0.25  # seconds between two words of progress


@tool(timeout=60.0)
async def wait(  # noqa: D417 - the model does not see the context
    context: ToolContext, seconds: Annotated[float, Field(ge=0, le=30)] = 3.0
) -> str:
    """Wait, and say when the time is up.

    Args:
        seconds: How long, 30 at most.
    """
    waited = 0.0
    while waited < seconds:
        part = min(_PART, seconds - waited)
        await asyncio.sleep(part)
        waited += part
        context.progress(f"{waited / seconds:.0%}")
    return f"{seconds:g} seconds are over"


@tool
async def clock(zone: str = "UTC") -> str:
    """The date and the time of day, now.

    Args:
        zone: A time zone by its IANA name, such as Europe/Paris.
    """
    try:
        there = UTC if zone == "UTC" else ZoneInfo(zone)
    except (LookupError, ValueError, OSError) as error:
        raise ToolError(f"no time zone is called {zone[:100]!r}; try Europe/Paris") from error
    return datetime.now(there).strftime("%A, %d %B %Y, %H:%M:%S %Z")


@tool
async def calculate(expression: str) -> float | int:
    """Work out an arithmetic expression.

    Args:
        expression: Numbers, + - * / // % **, brackets, pi, e, and sqrt, log, exp, sin, cos, tan,
            abs, round, min, max of them; such as "2 * sqrt(9) + 1".
    """
    if len(expression) > _LONGEST:
        raise ToolError(f"the expression is longer than {_LONGEST} characters")
    try:
        with warnings.catch_warnings():  # of odd spellings; nobody reads them
            warnings.simplefilter("ignore")
            parsed = ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ToolError("that is no arithmetic expression") from error
    try:
        return _value(parsed)
    except (ArithmeticError, ValueError, TypeError) as error:
        raise ToolError(f"it has no value: {error}") from error


SAMPLE_TOOLS: Final[tuple[Tool, ...]] = (wait, clock, calculate)
"""The first one takes its time: the simulator calls it, and one sees it run."""


def _power(base: float, exponent: float) -> Any:
    whole = isinstance(base, int) and isinstance(exponent, int)
    if whole and int(base).bit_length() * abs(exponent) > _LARGEST and abs(base) > 1:
        raise OverflowError("the number is too large")
    return base**exponent


def _round(number: float, places: int = 0) -> float:
    if abs(places) > _PLACES:  # of a whole number it would make one of so many digits
        raise OverflowError(f"more than {_PLACES} places")
    return round(number, places) if places else round(number)


_OPERATORS: Final[dict[type[ast.AST], Callable[..., Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
_NAMES: Final[dict[str, float]] = {"pi": math.pi, "e": math.e}
_FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "sqrt": math.sqrt,
    "log": math.log,
    "exp": math.exp,
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "abs": abs,
    "round": _round,
    "min": min,
    "max": max,
}


def _value(node: ast.expr) -> float | int:
    """The value of a part of the expression; only what is listed above has one."""
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return value
        case ast.Name(id=name) if name in _NAMES:
            return _NAMES[name]
        case ast.UnaryOp(op=op, operand=inner) if type(op) in _OPERATORS:
            return _number(_OPERATORS[type(op)](_value(inner)))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _number(_OPERATORS[type(op)](_value(left), _value(right)))
        case ast.Call(func=ast.Name(id=name), args=given, keywords=[]) if name in _FUNCTIONS:
            return _number(_FUNCTIONS[name](*map(_value, given)))
    raise ValueError(f"{ast.unparse(node)[:40]!r} is no arithmetic")


def _number(value: Any) -> float | int:
    if isinstance(value, int) and value.bit_length() <= _LARGEST:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise OverflowError("the number is too large, or none")
