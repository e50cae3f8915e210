"""The calls of one response: those the caller is to run, and those the provider runs itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gai_rx.dialects.openai_responses.items import HOSTED, returned, run_by_provider
from gai_rx.dialects.tool_calls import OpenCall
from gai_rx.errors import ProtocolError
from gai_rx.events import StreamEvent, ToolResult

__all__ = ["ASKED", "Calls"]

ASKED = {"function_call": "arguments", "custom_tool_call": "input"}
"""Items that may ask the caller to run a tool, and where they keep its input."""


class Calls:
    """What has been called so far; a call is found by its place, or by its id.

    Gateways change the ids of items between events, or give every item the same place; the
    `call_id` is what the answer to a call goes by, so it stays.
    """

    def __init__(self, open_call: Callable[[int, Any, Any], OpenCall]) -> None:
        self._new = open_call
        self._count = 0
        self._asked: list[OpenCall] = []
        self._pending: list[OpenCall] = []
        self._at: dict[Any, OpenCall] = {}
        self._first: dict[OpenCall, Any] = {}  # arguments told as a call began
        self._ended: set[tuple[Any, Any]] = set()
        self._cut: list[OpenCall] = []
        self._own_tools: frozenset[str] | None = None
        self._searched = ""

    def __bool__(self) -> bool:
        """Whether the caller is asked to run any."""
        return bool(self._asked)

    def offer(self, tools: Any) -> None:
        """Take the answer's list of the tools that it was offered."""
        listed = [t for t in tools if isinstance(t, dict)] if isinstance(tools, list) else []
        if listed and not any(t.get("type") in ("namespace", "tool_search") for t in listed):
            names = (str(t.get("name")) for t in listed if t.get("type") == "custom")
            self._own_tools = frozenset(names)

    def is_call(self, item: Mapping[str, Any]) -> bool:
        """Whether the item is a call of either kind."""
        return item.get("type") in ASKED or self._is_hosted(item)

    def _is_hosted(self, item: Mapping[str, Any]) -> bool:
        kind = item.get("type")
        if kind == "custom_tool_call":  # xAI calls its own search so, which no one offered
            return self._own_tools is not None and item.get("name") not in self._own_tools
        if kind == "tool_search_call":
            return item.get("execution") == "server"
        if kind == "shell_call":
            return (item.get("environment") or {}).get("type") == "container_reference"
        return kind in HOSTED

    def begin(self, item: Mapping[str, Any], index: Any) -> OpenCall:
        """A call begins, at a place of the output."""
        kind: str = item["type"]
        name = item.get("name") or kind.removesuffix("_call")
        call = self._new(self._count, _id(item), name)
        call.free_text = kind == "custom_tool_call"
        self._count += 1
        self._first[call] = item.get(ASKED.get(kind) or "")
        self._at[index] = call
        self._pending.append(call)
        if not self._is_hosted(item):
            self._asked.append(call)
        return call

    def add(self, index: Any, fragment: str) -> Iterable[StreamEvent]:
        """Take a fragment of the arguments.

        Raises:
            ProtocolError: If no call is open there.
        """
        call = self._at.get(index)
        if call is None:
            raise ProtocolError(
                f"arguments came for item {index!r}; open are {list(self._at)}", phase="decode"
            )
        return _told(call, fragment)

    def settle(self, index: Any, arguments: Any) -> Iterable[StreamEvent]:
        """Take the whole arguments, as they are repeated at the end."""
        call = self._at.get(index)
        return () if call is None else _settled(call, arguments)

    def end(self, item: dict[str, Any], index: Any) -> Iterable[StreamEvent]:
        """A call's item is complete; told twice, it counts once."""
        key = (index, _id(item))
        if key in self._ended:
            return ()
        self._ended.add(key)
        call = self._take(index, _id(item))
        if call is None:
            call = self.begin(item, index)
            self._take(index, call.told_id)
        call.identify(_id(item), item.get("name"))
        if call not in self._asked:
            self._searched = call.ensure_id()
            return run_by_provider(item, call.ensure_id())
        if item.get("status") == "incomplete":
            self._cut.append(call)
        call.signature = _signature(item)
        return _settled(call, item.get(ASKED[item["type"]]))

    def _take(self, index: Any, id: str) -> OpenCall | None:
        here = self._at.get(index)
        call = here
        if here is None or here.told_id not in ("", id):
            call = next((c for c in self._pending if c.told_id == id), here)
        if call is not None:
            self._pending.remove(call)
            if call is here:
                del self._at[index]
        return call

    def result(self, item: Mapping[str, Any]) -> ToolResult:
        """What came of a call that the provider ran, as an item of its own."""
        holds = next((name for name in ("tools", "result", "output") if item.get(name)), None)
        return ToolResult(
            id=item.get("call_id") or self._searched,
            name=item["type"].removesuffix("_output").removesuffix("_call"),
            result=item[holds] if holds else None,
            provider_executed=True,
            metadata=returned(item, holds),
        )

    def fill(self, item: dict[str, Any], number: int) -> Iterable[StreamEvent]:
        """Take a call of the whole response, whose own events did not come or not to the end."""
        id = _id(item)
        if any(c.told_id == id for c in self._asked) and not any(
            c.told_id == id for c in self._pending
        ):
            return ()
        return self.end(item, ~number)

    def close(self, cut: str | None) -> Iterable[StreamEvent]:
        """The calls that the caller is to run; `cut` says why none of them may, if so."""
        for call in self._asked:
            if not call.text:
                yield from _told(call, self._first[call])
            alone = "the provider says that this call is incomplete" if call in self._cut else None
            yield call.close(cut or alone)


def _id(item: Mapping[str, Any]) -> str:
    return item.get("call_id") or item.get("id") or ""


def _told(call: OpenCall, fragment: Any) -> Iterable[StreamEvent]:
    delta = call.add(fragment)
    return () if delta is None else (delta,)


def _settled(call: OpenCall, arguments: Any) -> Iterable[StreamEvent]:
    """Told now if no delta has; where the deltas differ, the whole is right."""
    if arguments and not call.text:
        return _told(call, arguments)
    if arguments and isinstance(arguments, str):
        call.replace(arguments)
    return ()


def _signature(item: Mapping[str, Any]) -> str | None:
    """What a call's item has beyond a plain function call; it goes back with the history."""
    kept = {name: item[name] for name in ("namespace", "caller") if item.get(name)}
    if item["type"] == "custom_tool_call":
        kept |= {"type": "custom_tool_call", "input": item.get("input") or ""}
    return json.dumps(kept, ensure_ascii=False) if kept else None
