"""What the simulator answers when nobody wrote a script: the model's name chooses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from gai_rx.events import ToolCall
from gai_rx.simulator.asking import Asked
from gai_rx.simulator.faults import FAULTS, Fault
from gai_rx.simulator.samples import sample
from gai_rx.simulator.script import Answer

__all__ = ["MODELS", "behave"]

_PACE: Final = 0.02  # seconds a word, about what a quick model takes
_STORY: Final = (
    "This is the simulator of gai_rx, so no model wrote this story. Once a small stream set out "
    "for the sea. Every stone it met asked it to wait, and it learned to wait without losing a "
    "drop. When the valley was dry it came back, and it never told the same word twice. In the "
    "end it met the sea, said so, and stopped.\n"
)


def _echo(asked: Asked) -> Answer:
    heard = asked.prompt.strip() or "nothing"
    return Answer(f"This is the simulator of gai_rx, no model. You said: {heard}", delay=_PACE)


def _story(asked: Asked) -> Answer:
    return Answer(_STORY, delay=_PACE)


def _reasoning(asked: Asked) -> Answer:
    thought = "I am a simulator. I can not think, but I can show what thinking looks like."
    return Answer(f"You said: {asked.prompt.strip()}", reasoning=thought, delay=_PACE)


def _tools(asked: Asked) -> Answer:
    if asked.tool_results:
        told = "; ".join(asked.tool_results)
        return Answer(f"This is the simulator of gai_rx. The tool said: {told}", delay=_PACE)
    if not asked.tools:
        return Answer("This is the simulator of gai_rx. No tool was offered.", delay=_PACE)
    tool = asked.tools[0]
    value = sample(tool.parameters or {"type": "object"})
    arguments = value if isinstance(value, dict) else {}
    call = ToolCall(id="", name=tool.name, arguments=arguments)
    return Answer(tool_calls=(call,), delay=_PACE)


def _object(asked: Asked) -> Answer:
    if asked.schema is None and asked.tools:
        return _tools(asked)  # an object may be asked for as the arguments of a call
    schema = asked.schema or {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "simulated": {"type": "boolean"},
            "items": {"type": "array", "items": {"type": "integer"}},
        },
    }
    return Answer(object=sample(schema), delay=_PACE)


MODELS: Final[Mapping[str, Callable[[Asked], Answer]]] = {
    "echo": _echo,
    "story": _story,
    "reasoning": _reasoning,
    "tools": _tools,
    "object": _object,
}
"""The models that the simulator plays; every other name is an echo."""


def _fault(name: str) -> Fault:
    try:
        return Fault.parse(name)
    except ValueError as error:  # misspelt: the client is told how
        return Fault("refused", status=400, message=str(error))


def behave(asked: Asked) -> Answer:
    """The answer that the model's name asks for: one of `MODELS`, or a story with a fault.

    A request that offers tools or a schema is met where the name says nothing else. A fault is
    named as `cut:at=120`, or `error:cut:at=120`.
    """
    name = asked.model.removeprefix("models/").removeprefix("error:")
    if name.partition(":")[0] in FAULTS:
        return _story(asked).with_fault(_fault(name))
    made = MODELS.get(name)
    if made is not None:
        return made(asked)
    return _object(asked) if asked.schema is not None else _echo(asked)
