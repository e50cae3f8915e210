"""Turns: what one says and is answered, and what of it the model reads again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict

from gai_rx.events import Usage
from gai_rx.request import (
    Message,
    Part,
    ProviderPart,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    user,
)
from gai_rx.result import Result

__all__ = ["Said", "Turn", "as_messages", "not_run", "readable"]

Said: TypeAlias = "str | Part | Message"
"""What one says: text and parts, which make one message of the user, or whole messages."""

_NOT_RUN = "the call was not run"


class Turn(BaseModel):
    """What was said, and what was answered.

    Attributes:
        sent: What the turn began with.
        result: The answer: its text, tool calls and results, steps and usage.
        interrupted: Whether the answer was disposed of before its end; it is what had come.
        model: Who answered, as `"host:model"`.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        ser_json_bytes="base64",
        val_json_bytes="base64",
        defer_build=True,
    )

    sent: tuple[Message, ...]
    result: Result
    interrupted: bool = False
    model: str = ""

    @cached_property
    def messages(self) -> tuple[Message, ...]:
        """What goes to the model again: what was sent, and as much of the answer as may."""
        return (*self.sent, *_answered(self))

    @property
    def said_something(self) -> bool:
        """Whether there is an answer to keep."""
        return len(self.messages) > len(self.sent)

    @property
    def usage(self) -> Usage | None:
        """The tokens of the turn."""
        return self.result.usage


def _answered(turn: Turn) -> tuple[Message, ...]:
    """The answer's messages that may go to the model again."""
    messages, reason = turn.result.messages, turn.result.finish_reason
    place = max((n for n, m in enumerate(messages) if m.role == "assistant"), default=None)
    if place is None:
        return ()
    last = messages[place]
    if reason not in ("stop", "tool_calls"):  # None where it was interrupted
        last = _cut(last, _results(messages[place + 1 :]), thinking=not turn.interrupted)
    kept = (*messages[:place], *((last,) if _has_content(last) else ()), *messages[place + 1 :])
    return kept if any(_has_content(m) for m in kept if m.role == "assistant") else ()


def _cut(message: Message, answered: set[str], *, thinking: bool) -> Message:
    """An answer that was cut off, without calls that never ran and thinking that is not whole."""
    parts = [p for p in message.parts if not isinstance(p, ToolCallPart) or p.id in answered]
    if not thinking and not any(isinstance(p, ToolCallPart) for p in parts):
        parts = [p for p in parts if not isinstance(p, ReasoningPart)]
    return message.model_copy(update={"parts": tuple(parts)})


def _has_content(message: Message) -> bool:
    """Whether something is said or called: providers refuse empty answers."""
    return any(
        isinstance(p, ToolCallPart | RefusalPart) or (isinstance(p, TextPart) and p.text.strip())
        for p in message.parts
    )


def _results(messages: Iterable[Message]) -> set[str]:
    """The ids of the calls that these messages answer."""
    return {p.id for m in messages for p in m.parts if isinstance(p, ToolResultPart)}


def not_run(history: Sequence[Message], sent: Sequence[Message]) -> tuple[Message, ...]:
    """An answer to the calls that wait for one: without it no provider takes the history."""
    place = max((n for n, m in enumerate(history) if m.role == "assistant"), default=0)
    answered = _results((*history[place:], *sent))
    waiting = tuple(
        ToolResultPart(id=part.id, name=part.name, error=_NOT_RUN)
        for message in history[place : place + 1]
        for part in message.parts
        if isinstance(part, ToolCallPart) and part.id not in answered
    )
    return (Message(role="tool", parts=waiting),) if waiting else ()


def readable(messages: Iterable[Message], same_host: bool) -> Iterable[Message]:
    """The messages, for another host than their own without what it can not read."""
    for message in messages:
        if not same_host and message.role == "assistant":
            parts = [p for p in message.parts if not isinstance(p, ReasoningPart | ProviderPart)]
            unsigned = tuple(
                p.model_copy(update={"signature": None})
                if isinstance(p, TextPart | ToolCallPart)
                else p
                for p in parts
            )
            message = message.model_copy(update={"parts": unsigned})
        yield message


def as_messages(said: Sequence[Any]) -> tuple[Message, ...]:
    """Texts and parts as one message of the user; messages as they are.

    Raises:
        ValueError: If nothing is said, or for the model or the system.
        TypeError: If something can not be said.
    """
    given = [one for each in said for one in (each if isinstance(each, list | tuple) else (each,))]
    messages: list[Message] = []
    parts: list[Any] = []
    for one in given:
        if isinstance(one, Message):
            if one.role not in ("user", "tool"):
                raise ValueError(f"send() takes messages of user and tool, got {one.role!r}")
            messages.append(one)
        elif isinstance(one, str | BaseModel):
            parts.append(one)
        else:
            raise TypeError(f"send() takes text, parts and messages, got {type(one).__name__}")
    if parts:
        messages.append(user(*parts))
    if not any(_is_said(part) for message in messages for part in message.parts):
        raise ValueError("there is nothing to send: say at least one word")
    return tuple(messages)


def _is_said(part: Part) -> bool:
    return not isinstance(part, TextPart) or bool(part.text.strip())
