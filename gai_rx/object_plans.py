"""Plans: how a model is asked for an object, with the tools that it may call before it answers."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from gai_rx.dialects import Dialect, ObjectMode, Quirks
from gai_rx.request import Request, system
from gai_rx.schemas import Target
from gai_rx.tools import Tool

__all__ = ["ObjectPlan", "plan_object"]

_MODES = ("native", "tool", "json")
_AS_JSON = (
    "Answer with one JSON object and nothing else: no explanation, no code fence. It must fit this "
    "JSON schema:\n{schema}"
)
_BY_CALLING = "Answer by calling the tool `{name}` once, and with nothing else."
_IN_THE_END = (
    "Call the other tools as long as you need them. When you know enough, answer by calling the "
    "tool `{name}` once, and with nothing else."
)


@dataclass(frozen=True)
class ObjectPlan:
    """How an object is asked for.

    Attributes:
        target: What it shall be.
        mode: With its schema, as a call of a tool, or as any JSON.
        request: The request, as it is sent; its tools are those offered, the object's own among
            them.
        repair: How often it is asked for again when it does not fit.
        host: Who is asked, for errors.
        model: Which model, for errors.
        dialect: The language in which it is asked.
        tools: Names of the tools that the model may call before it answers.
    """

    target: Target[Any]
    mode: ObjectMode
    request: Request
    dialect: Dialect
    repair: int = 0
    host: str = ""
    model: str = ""
    tools: frozenset[str] = frozenset()

    def asking(self, request: Request) -> ObjectPlan:
        """The plan with another request: that of a later step, for instance.

        Raises:
            ValueError: If one of its tools is called as the object's own.
        """
        asked, target, dialect = request, self.target, self.dialect
        names = frozenset(tool.name for tool in request.tools)
        if self.mode == "tool":
            if target.name in names:
                raise ValueError(
                    f"a tool is called {target.name!r}, and so is the object; give one of them "
                    "another name"
                )
            asked = _by_tool(request, target, dialect)
        else:
            schema, name = target.schema, target.name
            asked = Request.of(request, response_schema=schema, response_name=name)
        if self.mode == "json":
            told = json.dumps(target.schema, ensure_ascii=False, default=str)
            asked = _instructed(asked, _AS_JSON.format(schema=told))
        return replace(self, request=asked, tools=names)


def plan_object(
    request: Request,
    target: Target[Any],
    dialect: Dialect,
    quirks: Quirks,
    model: str,
    *,
    mode: ObjectMode | None = None,
    repair: int = 0,
) -> ObjectPlan:
    """Decide how to ask.

    With tools it is `"tool"` unless told otherwise: not every host takes a schema beside tools, and
    what the model says before it calls them is not mistaken for the object.

    Raises:
        ValueError: If the mode or `repair` is none, or a tool is called as the object's own.
    """
    if mode is not None and mode not in _MODES:
        raise ValueError(f"mode is 'native', 'tool', 'json' or None, got {mode!r}")
    if isinstance(repair, bool) or not isinstance(repair, int) or repair < 0:
        raise ValueError(f"repair is how often to ask again, from 0, got {repair!r}")
    of_host = "tool" if request.tools else dialect.object_mode(target.schema, model, quirks)
    plan = ObjectPlan(target, mode or of_host, request, dialect, repair, quirks.provider, model)
    return plan.asking(request)


def _by_tool(request: Request, target: Target[Any], dialect: Dialect) -> Request:
    """Offer the object as a tool, and see that the model calls it, or another one before it."""
    tool = Tool(target.name, "Give the answer.", target.schema)
    settings: dict[str, Any] = {"tools": (*request.tools, tool), "response_schema": None}
    wanted = request.tool_choice if request.tools else None
    if dialect.forces_tools(request):
        if wanted in (None, "auto", "none"):
            wanted = "required" if request.tools and wanted != "none" else target.name
        return Request.of(request, **settings, tool_choice=wanted)
    words = _IN_THE_END if request.tools else _BY_CALLING
    instructed = _instructed(request, words.format(name=target.name))
    return Request.of(instructed, **settings, tool_choice=wanted)


def _instructed(request: Request, instruction: str) -> Request:
    """The request with one more thing that the system says, behind what it says first."""
    messages = request.messages
    place = next((i for i, m in enumerate(messages) if m.role != "system"), len(messages))
    told = (*messages[:place], system(instruction), *messages[place:])
    return Request.of(request, messages=told)
