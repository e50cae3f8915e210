"""Approvals: who decides whether a call may run, and how the decision is heard."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TypeAlias

from gai_rx.approving import Approval, Approve, digest_of
from gai_rx.events import ToolCall
from gai_rx.steps.threads import in_thread
from gai_rx.tools import Tool

__all__ = ["Approvals"]

_MOST_KEPT = 10_000  # decisions that came before their question

_Key: TypeAlias = tuple[str, str, str]


class Approvals:
    """The decisions about the calls of one run; each call is asked about once.

    Args:
        approve: Who decides where a tool does not name somebody.
        fail: Called with what a decider raised.
    """

    def __init__(self, approve: Approve | None, fail: Callable[[Exception], None]) -> None:
        self._approve = approve
        self._fail = fail
        self._turn = asyncio.Lock()
        self._heard: dict[int, _Heard] = {}

    def listen(self, tools: Iterable[Tool]) -> None:
        """Begin to hear all Observables: a decision may come before the answer has ended."""
        for approver in (self._approve, *(tool.approve for tool in tools)):
            if hasattr(approver, "subscribe"):
                self._hear(approver)

    def close(self) -> None:
        """Hear no more."""
        for heard in self._heard.values():
            heard.subscription.dispose()

    def needed(self, tool: Tool) -> bool:
        """Whether a call of the tool must wait for a decision."""
        return tool.approve is not False and bool(
            tool.approve is not None or self._approve is not None
        )

    async def decide(self, call: ToolCall, tool: Tool) -> Approval | None:
        """The decision about a call; None when nobody decides for now.

        Raises:
            Exception: What the decider raised.
            TypeError: If it said something else than yes, no or nothing.
        """
        own = tool.approve
        approver = self._approve if own is None or isinstance(own, bool) else own
        if approver is None:
            return None
        if hasattr(approver, "subscribe"):
            heard = self._hear(approver)
            return await heard.decision(call)
        async with self._turn:  # one question at a time: a person may be asked
            return _decision(await _answer(approver, call), call)

    def _hear(self, source: Any) -> _Heard:
        if id(source) not in self._heard:
            self._heard[id(source)] = _Heard(source, self._fail)
        return self._heard[id(source)]


async def _answer(approve: Any, call: ToolCall) -> Any:
    if inspect.iscoroutinefunction(approve):
        return await approve(call)
    answer = await in_thread(lambda: approve(call), "gai_rx approval")
    return await answer if inspect.isawaitable(answer) else answer


def _decision(answer: Any, call: ToolCall) -> Approval | None:
    if isinstance(answer, bool):
        return Approval.of(call, answer)
    if isinstance(answer, Approval):
        return answer
    if answer is None:
        return None
    raise TypeError(f"approve answers True, False, None or an Approval, got {answer!r}")


class _Heard:
    """The decisions of one Observable, which may come before or after their question."""

    def __init__(self, source: Any, fail: Callable[[Exception], None]) -> None:
        self._fail = fail
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._kept: dict[_Key, Approval] = {}
        self._asked: dict[_Key, asyncio.Future[Approval | None]] = {}
        self._ended = False
        self._source = source  # so that no other object gets its id
        self.subscription = source.subscribe(
            lambda decision: self._here(self._take, decision),
            lambda error: self._here(self._fail, error),
            lambda: self._here(self._end),
        )

    async def decision(self, call: ToolCall) -> Approval | None:
        """The decision about a call, waited for until the Observable completes."""
        key = (call.id, call.name, digest_of(call.arguments))
        decided: Approval | None = self._kept.pop(key, None)
        if decided is not None or self._ended:
            return decided
        asked: asyncio.Future[Approval | None] = self._loop.create_future()
        self._asked[key] = asked
        try:
            return await asked
        finally:
            del self._asked[key]

    def _here(self, function: Callable[..., None], *args: Any) -> None:
        """Call in the loop's thread: decisions come from windows and web servers too."""
        if threading.get_ident() == self._thread:
            function(*args)
            return
        with suppress(RuntimeError):  # the loop has been closed, and the run with it
            self._loop.call_soon_threadsafe(function, *args)

    def _take(self, decision: Any) -> None:
        if not isinstance(decision, Approval):
            self._fail(TypeError(f"expected an Approval from approve, got {decision!r}"))
            return
        key = (decision.call_id, decision.name, decision.digest)
        asked = self._asked.get(key)
        if asked is None:
            self._kept[key] = decision
            if len(self._kept) > _MOST_KEPT:
                del self._kept[next(iter(self._kept))]
        elif not asked.done():
            asked.set_result(decision)

    def _end(self) -> None:
        self._ended = True
        for asked in self._asked.values():
            if not asked.done():
                asked.set_result(None)
