"""Tools on the screen: what was called, what runs, what came of it."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from typing import Any, Final, Self

from gai_rx.calls import Calls, RunningTool
from gai_rx.cli.showing import Output
from gai_rx.events import (
    ReasoningDelta,
    RefusalDelta,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolResult,
)
from gai_rx.terminal import TerminalFilter

__all__ = ["ToolView"]

_LONGEST: Final = 100  # characters shown of arguments, and of a result
_SHORT: Final = 20  # characters shown of a tool's progress
_INTERVAL: Final = 0.1  # seconds between two drawings of the line of running tools
_ERASE: Final = "\r\x1b[2K"


class ToolView(Output):
    """An answer, and the tools that run for it.

    Calls and results are lines on standard error. Where that is a terminal, a last line tells what
    runs and for how long, until nothing does.

    Args:
        make: Makes the output of the text between the tools.
        now: The clock, in seconds.
    """

    def __init__(
        self, make: Callable[[], Output], *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._make = make
        self._now = now
        self._calls = Calls(now)
        self._text: Output | None = None
        self._draws = sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
        self._drawn = False
        self._due = now()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._erase()
        self._close_text()

    def add(self, event: StreamEvent) -> None:
        """Take in one event."""
        changed = self._calls.take(event)
        if isinstance(event, TextDelta | ReasoningDelta | RefusalDelta):
            self._erase()
            if self._text is None:
                self._text = self._make().__enter__()
            self._text.add(event)
        elif changed and isinstance(event, ToolCall):
            self._write(f"tool: {_called(event)}")
        elif isinstance(event, ToolResult):
            self._write(f"tool: {_came(event)}{self._still()}")

    def tick(self) -> None:
        """Draw the line of running tools, or the text that waits."""
        if self._calls.running and self._draws:
            if self._now() >= self._due:
                self._close_text()
                self._draw()
        elif self._text is not None:
            self._text.tick()

    def _still(self) -> str:
        """Who runs on; a terminal is shown it all the time."""
        running = self._calls.running
        if self._draws or not running:
            return ""
        return f"; still running: {', '.join(_shown(one.name) for one in running)}"

    def _write(self, line: str) -> None:
        self._erase()
        self._close_text()
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    def _draw(self) -> None:
        told = [_running(one, self._calls.elapsed) for one in self._calls.running]
        line = f"running: {', '.join(told)}".encode("ascii", "replace").decode()
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write(f"{_ERASE}{line[:width]}")
        sys.stderr.flush()
        self._drawn = True
        self._due = self._now() + _INTERVAL

    def _erase(self) -> None:
        if self._drawn:
            self._drawn = False
            sys.stderr.write(_ERASE)
            sys.stderr.flush()

    def _close_text(self) -> None:
        if self._text is not None:
            text, self._text = self._text, None
            text.__exit__()


def _called(call: ToolCall) -> str:
    if call.invalid is not None:
        return f"{_shown(call.name)} with arguments that are none: {_shown(call.arguments_text)}"
    given = ", ".join(f"{name}={_json(value)}" for name, value in call.arguments.items())
    return f"{_shown(call.name)}({_shown(given)})"


def _came(result: ToolResult) -> str:
    took = "" if result.duration is None else f", {result.duration:.1f} s"
    if result.error is not None:
        return f"{_shown(result.name)} failed: {_shown(result.error)}{took}"
    return f"{_shown(result.name)} told {_shown(_json(result.result))}{took}"


def _running(one: RunningTool, elapsed: float) -> str:
    progress = "" if one.progress is None else f" {_shown(_json(one.progress), _SHORT)}"
    state = f"{elapsed - one.since:.1f} s{progress}" if one.begun else "waits"
    return f"{_shown(one.name)} ({state})"


def _json(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _shown(text: str, longest: int = _LONGEST) -> str:
    """A text on one line, cut, and without what drives a terminal."""
    cut = text if len(text) <= longest else f"{text[: longest - 1]}…"
    cleaner = TerminalFilter()
    return " ".join((cleaner.clean(cut) + cleaner.close()).split())
