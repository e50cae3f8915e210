"""Tools that Anthropic runs itself: which of their blocks a history may hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gai_rx.errors import ProtocolError
from gai_rx.request import Message, ProviderPart, ToolCallPart, ToolResultPart
from gai_rx.wire.json_text import decode_json

__all__ = ["HostedRuns", "call_notes"]


class HostedRuns:
    """The runs of a history that may go back.

    The API refuses a result without its call, and a call without its result, unless the run is
    still open: it goes on when this request has been read.
    """

    def __init__(self, messages: Sequence[Message]) -> None:
        called: set[str] = set()
        self._ids: set[str] = set()
        for part in _own(messages):
            (self._ids if part.id in called else called).add(part.id)
        self._ids |= {p.id for p in _own(_open_turn(messages)) if "id" in p.block}

    def kept(self, blocks: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
        """The blocks of a message, without those of other runs and without mention of these."""
        for block in blocks:
            caller = (block.get("caller") or {}).get("tool_id")
            if caller is not None and caller not in self._ids:
                block = {name: value for name, value in block.items() if name != "caller"}
            run = _run_of(block)
            if run is None or run in self._ids:
                yield block


def _run_of(block: Mapping[str, Any]) -> str | None:
    """The id of the run that a block is of; None for blocks of all other kinds."""
    kind: str = block["type"]
    if kind in ("tool_use", "tool_result"):
        return None
    id: str | None = block.get("id", block.get("tool_use_id"))
    return id


def _own(messages: Iterable[Message]) -> Iterable[ProviderPart]:
    return (p for m in messages for p in m.parts if isinstance(p, ProviderPart))


def _open_turn(messages: Sequence[Message]) -> Iterable[Message]:
    """The last answers, after which nothing was said to the model but results of its calls."""
    for message in reversed(messages):
        if message.role == "assistant":
            yield message
        elif not all(isinstance(p, ToolResultPart) for p in message.parts):
            return


def call_notes(part: ToolCallPart) -> Mapping[str, Any]:
    """What the decoder has kept of a call beside its name and input."""
    if part.signature is None or not part.signature.startswith('{"tool_use"'):
        return {}  # none, or another provider's
    try:
        value, _ = decode_json(part.signature.encode())
    except ProtocolError:
        return {}
    notes = value["tool_use"]
    return notes if isinstance(notes, dict) else {}
