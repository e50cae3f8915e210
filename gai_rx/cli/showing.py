"""Events on the screen, in a pipe or as JSON, and the figures at the end."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Final, Self, TextIO

from gai_rx.cli.telling import tell
from gai_rx.events import (
    Citations,
    Error,
    Finish,
    ReasoningDelta,
    RefusalDelta,
    Retry,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from gai_rx.terminal import MarkdownDisplay, TerminalFilter

__all__ = ["JsonOutput", "MarkdownOutput", "Output", "PlainOutput", "Tally", "output_for"]

_SHORTEST: Final = 0.01  # seconds; a rate over less says nothing
# JSON has these in its texts only, where an escape means the same and can not drive a terminal.
_ESCAPES: Final = {
    code: f"\\u{code:04x}"
    for codes in (
        range(0x7F, 0xA0),
        (0x061C, 0x200E, 0x200F),
        range(0x2028, 0x202F),
        range(0x2066, 0x206A),
    )
    for code in codes
}


class Output:
    """Where events go; entered before the first, left after the last."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def add(self, event: StreamEvent) -> None:
        """Take in one event."""
        raise NotImplementedError

    def tick(self) -> None:
        """Time has passed: show what waits to be shown."""


class JsonOutput(Output):
    """Every event on a line of its own."""

    def add(self, event: StreamEvent) -> None:
        """Write the event."""
        sys.stdout.write(event.model_dump_json().translate(_ESCAPES) + "\n")
        sys.stdout.flush()


class PlainOutput(Output):
    """The answer's text and nothing else; thinking, if wanted, goes to standard error."""

    def __init__(self, *, reasoning: bool = False) -> None:
        self._reasoning = reasoning
        self._answer = _Text(sys.stdout)
        self._thought = _Text(sys.stderr)

    def add(self, event: StreamEvent) -> None:
        """Write the event's text, if it has one."""
        text, thinking = _text_of(event)
        if text and not thinking:
            self._thought.end_line()
            self._answer.write(text)
        elif text and self._reasoning:
            self._thought.write(text)

    def __exit__(self, *_: object) -> None:
        self._thought.end_line()
        self._answer.end_line()


class _Text:
    """Text on its way to a file, ended with a newline."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._filter = TerminalFilter()
        self._last = "\n"

    def write(self, delta: str) -> None:
        self._put(self._filter.clean(delta))

    def end_line(self) -> None:
        self._put(self._filter.close())
        if self._last != "\n":
            self._put("\n")

    def _put(self, text: str) -> None:
        if text:
            self._last = text[-1]
            self._file.write(text)
            self._file.flush()


class MarkdownOutput(Output):
    """The answer as Markdown in a terminal, drawn as it arrives."""

    def __init__(self, *, reasoning: bool = False) -> None:
        from rich.console import Console

        self._reasoning = reasoning
        self._display = MarkdownDisplay(Console(file=sys.stdout))

    def add(self, event: StreamEvent) -> None:
        """Take in the event's text; `tick` shows it."""
        text, thinking = _text_of(event)
        if text and (self._reasoning or not thinking):
            self._display.add(text, thinking=thinking)

    def tick(self) -> None:
        """Draw what is new."""
        self._display.tick()

    def __exit__(self, *_: object) -> None:
        self._display.close()


def output_for(*, as_json: bool, reasoning: bool) -> Output:
    """The output that fits where standard output goes."""
    if as_json:
        return JsonOutput()
    draws = sys.stdout.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
    if draws and find_spec("rich") is not None:
        return MarkdownOutput(reasoning=reasoning)
    return PlainOutput(reasoning=reasoning)


def _text_of(event: StreamEvent) -> tuple[str, bool]:
    """The event's text, and whether it is thinking."""
    if isinstance(event, TextDelta):
        return ("" if event.choice else event.text), False
    if isinstance(event, ReasoningDelta):
        return ("" if event.choice else event.text), True
    return (event.text if isinstance(event, RefusalDelta) else ""), False


class Tally:
    """What arrived and when.

    Args:
        name: Who was asked.
        now: The clock, in seconds.
    """

    def __init__(self, name: str, *, now: Callable[[], float] = time.monotonic) -> None:
        self.characters = 0
        self._name = name
        self._now = now
        self._began = now()
        self._first: float | None = None
        self._last = self._began
        self._deltas = 0
        self._thought = False
        self._usage: Usage | None = None
        self._finish: Finish | None = None
        self._notes: list[str] = []

    def add(self, event: StreamEvent) -> None:
        """Count one event."""
        if isinstance(event, TextDelta | ReasoningDelta | RefusalDelta | ToolCallDelta):
            self._last = self._now()
            if self._first is None:
                self._first = self._last
            self._deltas += 1
            text, thinking = _text_of(event)
            self._thought |= thinking
            self.characters += 0 if thinking else len(text)
        elif isinstance(event, Usage):
            self._usage = event
        elif isinstance(event, Finish):
            self._finish = event
            self._usage = event.usage or self._usage
        else:
            self._note(event)

    def _note(self, event: StreamEvent) -> None:
        if isinstance(event, ToolCall) and not event.provider_executed:
            self._notes.append(f"the model asked for the tool {event.name}; no tool was offered")
        elif isinstance(event, Citations):
            found = (f"source: {c.title} {c.uri}".strip() for c in event.items if c.uri)
            self._notes += [line for line in found if line not in self._notes]
        elif isinstance(event, Error):
            self._notes.append(f"the provider reported {event.kind}: {event.message}")
        elif isinstance(event, Retry):
            self._notes.append(f"asked again after {event.kind}: {event.error}")

    def figures(self) -> str:
        """One line: who, how long to the first token, how fast, how long in all, how it ended.

        A rate that begins with `~` counts deltas, where the provider told no tokens.
        """
        parts = [self._name]
        if self._first is not None:
            parts.append(f"first token {self._first - self._began:.2f} s")
            parts += self._rate(self._last - self._first)
        parts.append(f"{self._now() - self._began:.1f} s in all")
        if self._finish is not None and self._finish.reason != "stop":
            parts.append(f"ended with {self._finish.reason}")
        return ", ".join(parts)

    def _rate(self, seconds: float) -> list[str]:
        if seconds < _SHORTEST:
            return []
        tokens = self._usage.output_tokens if self._usage is not None else None
        if tokens is None:
            return [f"~{self._deltas / seconds:.0f} deltas/s"]
        if not self._thought and self._usage is not None:
            # Thinking that was not sent was over before the first token came.
            tokens = max(tokens - (self._usage.reasoning_tokens or 0), 0)
        return [f"{tokens / seconds:.0f} tokens/s"]

    def usage(self) -> str:
        """The tokens, as the provider counts them."""
        told = [
            f"{name.removesuffix('_tokens').replace('_', ' ')} {count}"
            for name in Usage.model_fields
            if name.endswith("_tokens") and (count := getattr(self._usage, name, None)) is not None
        ]
        return f"tokens: {', '.join(told)}" if told else "the provider told no usage"

    def report(self, *, show_usage: bool, show_figures: bool = True) -> None:
        """Say on standard error what is about the answer."""
        for note in self._notes:
            tell(note)
        if show_figures and (self._first is not None or self._finish is not None):
            tell(self.figures())
        if show_usage:
            tell(self.usage())
