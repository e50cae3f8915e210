"""What was asked, said without any provider's language, and what became of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, NamedTuple

__all__ = ["Asked", "Conversation", "OfferedTool", "Said", "SeenRequest", "texts"]


class Said(NamedTuple):
    """One message of a conversation: who, the text, and the tool results in it."""

    role: str
    text: str
    results: tuple[str, ...] = ()


class Conversation(NamedTuple):
    """What `Asked` tells of the messages."""

    prompt: str
    text: str
    tool_results: tuple[str, ...]

    @classmethod
    def of(cls, messages: Iterable[Said]) -> Conversation:
        """The conversation; a message that only brings results is none of the user's."""
        prompt, everything, results = "", list[str](), list[str]()
        for said in messages:
            everything += [said.text, *said.results]
            if said.role == "user" and (said.text or not said.results):
                prompt, results = said.text, []
            results += said.results
        return cls(prompt, "\n".join(everything), tuple(results))


def texts(content: Any) -> str:
    """The text of a message, given as a string, a part, or a list of parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        return str(content.get("text") or "")
    if isinstance(content, Iterable):
        return "".join(texts(part) for part in content)
    return ""


@dataclass(frozen=True)
class OfferedTool:
    """A tool that the client offered."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Asked:
    """A request as a script reads it, the same for every dialect.

    Attributes:
        dialect: The wire dialect it came in.
        model: The model it names.
        prompt: The text of the last message of the user.
        text: All the text of the conversation, for counting tokens.
        stream: Whether a streamed answer is wanted.
        tools: The tools that are offered.
        tool_results: Results that came after the last message of the user, as texts.
        schema: JSON schema the answer has to fit; an empty one for any JSON, None for text.
        with_usage: Whether the client wants usage in the stream, where that is to be asked for.
        body: The request's own JSON.
    """

    dialect: str
    model: str = ""
    prompt: str = ""
    text: str = ""
    stream: bool = True
    tools: tuple[OfferedTool, ...] = ()
    tool_results: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None
    with_usage: bool = True
    body: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)


@dataclass
class SeenRequest:
    """A request that the simulator saw, and how its answer went.

    Attributes:
        number: Its place in the order of arrival, from 1.
        dialect: The wire dialect it came in.
        path: Path of the URL, decoded, without the query.
        headers: Names in lower case.
        body: The request's JSON; of a GET, what its query says.
        asked: What it asks for, read.
        bytes_sent: Bytes of the body that were written so far.
        finished: The answer was written to its end, faults included.
        closed_early: The client went away before that.
        closed_at: When the answer ended, on the clock of `time.monotonic`.
    """

    number: int
    dialect: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: Mapping[str, Any]
    asked: Asked = field(repr=False)
    bytes_sent: int = 0
    finished: bool = False
    closed_early: bool = False
    closed_at: float | None = None
    _end: Future[None] = field(default_factory=Future[None], repr=False)

    async def ended(self, within: float = 5.0) -> None:
        """Wait until the answer is over, one way or the other.

        Args:
            within: Longest wait, in seconds.

        Raises:
            TimeoutError: If it is not over by then.
        """
        waiting = asyncio.shield(asyncio.wrap_future(self._end))
        async with asyncio.timeout(within):
            await waiting

    def end(self, *, finished: bool = False, closed_early: bool = False) -> None:
        """Note that the answer is over; the first word counts. The server's part."""
        if not self._end.done():
            self.closed_early, self.finished = closed_early, finished
            self.closed_at = time.monotonic()
            self._end.set_result(None)
