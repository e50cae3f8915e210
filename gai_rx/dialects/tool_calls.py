"""A tool call while its arguments arrive."""

from __future__ import annotations

import json
from typing import Any

from gai_rx.dialects.surrogates import whole_text
from gai_rx.errors import ProtocolError
from gai_rx.events import ToolCall, ToolCallDelta
from gai_rx.unvalidated import tool_call_delta
from gai_rx.wire.json_text import decode_json

__all__ = ["OpenCall"]


class OpenCall:
    """One call of an answer, from its first fragment to the `ToolCall` that closes it.

    Args:
        index: Position of the call in the answer, from 0.
        id: The provider's id; one is made where it sends none (several dialects, some hosts).
        name: The tool's name, which may come late.
        spare_id: The id to use where the provider sends none.
    """

    def __init__(self, index: int, id: Any = None, name: Any = None, spare_id: str = "") -> None:
        self.index = index
        self.id = ""
        self.told_id = ""
        self.name = ""
        self._spare_id = spare_id or f"call_{index}"
        self.identify(id, name)
        self.signature: str | None = None
        self.provider_executed = False
        self.free_text = False
        """The tool takes text instead of JSON: `arguments_text` is all there is."""
        self._fragments: list[str] = []
        self._value: dict[str, Any] | None = None

    def identify(self, id: Any = None, name: Any = None) -> None:
        """Take id and name where they are told; the first of each stays."""
        if not self.told_id and isinstance(id, str):
            self.told_id = id
            self.id = self.id or id  # once a delta bore the spare id, it stays
        if not self.name and isinstance(name, str):
            self.name = name

    def add(self, fragment: Any) -> ToolCallDelta | None:
        """Take a fragment of the arguments: text, or a whole object as some servers send."""
        if isinstance(fragment, dict):
            self._value = fragment
        if fragment is not None and not isinstance(fragment, str):
            fragment = json.dumps(fragment, ensure_ascii=False)
        if not fragment:
            return None
        self._fragments.append(fragment)
        return tool_call_delta(self.ensure_id(), self.name, fragment, self.index)

    def replace(self, arguments: str) -> None:
        """Take the whole arguments, where the provider repeats them at the end."""
        self._fragments = [arguments]
        self._value = None

    def ensure_id(self) -> str:
        """The call's id; from now on the spare one, if the provider has sent none yet."""
        self.id = self.id or self._spare_id
        return self.id

    @property
    def text(self) -> str:
        """The arguments so far."""
        return whole_text("".join(self._fragments))

    def close(self, cut: str | None = None) -> ToolCall:
        """The complete call; `cut` says why it must not run, where the answer ended badly."""
        text = self.text
        arguments, invalid = self._parsed(text)
        if not self.name:
            invalid = "the call names no tool"
        return ToolCall(
            id=self.ensure_id(),
            name=self.name,
            arguments=arguments if cut is None else {},
            arguments_text=text,
            invalid=cut or invalid,
            provider_executed=self.provider_executed,
            signature=self.signature,
        )

    def _parsed(self, text: str) -> tuple[dict[str, Any], str | None]:
        if self.free_text:
            return {}, None
        if self._value is not None and self._fragments == [text]:
            return self._value, None
        if not text.strip() or text.strip() == "null":
            return {}, None  # a tool without parameters
        try:
            value, _ = decode_json(text.encode())
        except ProtocolError as error:
            half = len(text) // 2
            if len(text) % 2 == 0 and text[:half] == text[half:]:
                return {}, "the arguments were sent twice"
            return {}, f"the arguments are no JSON: {error.message}"
        if not isinstance(value, dict):
            return {}, f"the arguments are no JSON object but {type(value).__name__}"
        return value, None
