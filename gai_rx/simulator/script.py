"""Scripts: what the simulator answers, said without any provider's language."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from gai_rx.events import Citation, FinishReason, ToolCall, Usage
from gai_rx.simulator.asking import Asked
from gai_rx.simulator.faults import Fault

__all__ = ["Answer", "Script", "cut_up"]

_WORDS = re.compile(r"\s*\S+(?:\s+$)?|\s+$")
_FRAGMENT = 8  # characters of JSON a delta; real providers send about two tokens
_CONTENT_TYPES = {
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".ndjson": "application/x-ndjson",
}


@dataclass(frozen=True)
class Answer:
    """One answer of the simulator, in whatever dialect it is asked for.

    Args:
        text: What it says, sent word by word.
        reasoning: What it thinks first, sent word by word.
        tool_calls: Calls it asks for after the text; `arguments_text`, where it is set, is sent
            as it is, so that broken arguments can be scripted too.
        object: A value whose JSON is sent as the text, in fragments.
        citations: Sources for the text.
        refusal: Sent instead of the text, in the dialect's form of a refusal.
        usage: Tokens to report; counted from the words when None.
        finish_reason: Why it ends; when None: tool_calls, refusal or stop, as fits.
        raw_reason: The provider's spelling of the reason, where the usual one will not do.
        delay: Seconds before each delta.
        first_delay: Seconds before the first byte, the headers included.
        deltas: The pieces of the text, instead of words.
        endless: Never end: the text is repeated until the client goes away.
        fault: What goes wrong, as a `Fault` or its text (`"cut:at=120"`).
        body: A recorded body that is sent as it is; see `replay`.
        content_type: Of the recorded body.
        piece: Bytes of the recorded body a write.

    Example:
        >>> Answer("Hi there.").pieces()
        ['Hi', ' there.']
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: Sequence[ToolCall] = ()
    object: Any = None
    citations: Sequence[Citation] = ()
    refusal: str = ""
    usage: Usage | None = None
    finish_reason: FinishReason | None = None
    raw_reason: str | None = None
    delay: float = 0.0
    first_delay: float = 0.0
    deltas: Sequence[str] | None = None
    endless: bool = False
    fault: Fault | str | None = None
    body: bytes | None = None
    content_type: str = "text/event-stream; charset=utf-8"
    piece: int = 1024

    def __post_init__(self) -> None:
        if isinstance(self.fault, str):
            object.__setattr__(self, "fault", Fault.parse(self.fault))
        if self.piece < 1:
            raise ValueError(f"piece must be at least 1 byte, got {self.piece}")
        if self.delay < 0 or self.first_delay < 0:
            raise ValueError("delays are seconds from 0 up")

    @classmethod
    def calling(cls, name: str, /, **arguments: Any) -> Answer:
        """An answer that calls one tool.

        Example:
            >>> Answer.calling("weather", city="Oslo").tool_calls[0].arguments
            {'city': 'Oslo'}
        """
        return cls(tool_calls=(ToolCall(id="", name=name, arguments=arguments),))

    @classmethod
    def replay(
        cls,
        source: str | Path | bytes,
        content_type: str | None = None,
        *,
        piece: int = 1024,
        delay: float = 0.0,
        fault: Fault | str | None = None,
    ) -> Answer:
        """An answer that sends a recorded body, byte for byte.

        Args:
            source: The body, or the path of a file that holds it.
            content_type: When None, by the file's suffix; event stream if that says nothing.
            piece: Bytes a write.
            delay: Seconds before each write.
            fault: What goes wrong with it.

        Raises:
            OSError: If the file can not be read.
        """
        path = None if isinstance(source, bytes) else Path(source)
        body = source if isinstance(source, bytes) else Path(source).read_bytes()
        guess = _CONTENT_TYPES.get(path.suffix.lower()) if path else None
        kind = content_type or guess or "text/event-stream; charset=utf-8"
        return cls(body=body, content_type=kind, piece=piece, delay=delay, fault=fault)

    def with_fault(self, fault: Fault | str | None) -> Answer:
        """The same answer, with something going wrong."""
        return replace(self, fault=fault)

    @property
    def broken_by(self) -> Fault | None:
        """The fault, parsed."""
        return self.fault if isinstance(self.fault, Fault) else None

    @property
    def reason(self) -> FinishReason:
        """Why it ends, the default worked out."""
        if self.finish_reason is not None:
            return self.finish_reason
        if self.tool_calls:
            return "tool_calls"
        return "refusal" if self.refusal else "stop"

    @property
    def said(self) -> str:
        """The whole text: that of the object where there is one."""
        if self.deltas is not None:
            return "".join(self.deltas)
        return self.text if self.object is None else _json(self.object)

    def pieces(self) -> list[str]:
        """The text, cut into its deltas."""
        if self.deltas is not None:
            return [d for d in self.deltas if d]
        if self.object is not None:
            return fragments(_json(self.object))
        return cut_up(self.text)

    def text_deltas(self) -> Iterator[str]:
        """The deltas of the text, without end where the answer has none."""
        pieces = self.pieces()
        return itertools.cycle(pieces or ["on and "]) if self.endless else iter(pieces)


Script: TypeAlias = Answer | Sequence[Answer] | Callable[[Asked], Answer]
"""An answer for every request, answers in order (the last one repeats), or a function."""


def cut_up(text: str) -> list[str]:
    r"""A text as words, each with the space before it; no character is lost.

    Example:
        >>> cut_up("one  two\\n")
        ['one', '  two\\n']
    """
    return _WORDS.findall(text)


def fragments(text: str, size: int = _FRAGMENT) -> list[str]:
    """A text in pieces of equal size, as tool arguments arrive."""
    return [text[i : i + size] for i in range(0, len(text), size)]


def arguments_of(call: ToolCall) -> str:
    """The arguments of a call as the text that is sent."""
    return call.arguments_text or _json(call.arguments)


def _json(value: Any) -> str:
    plain = dict(value) if isinstance(value, Mapping) else value
    return json.dumps(plain, ensure_ascii=False)
