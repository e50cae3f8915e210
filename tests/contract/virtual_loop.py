"""An event loop whose clock jumps to the next timer: hours pass at once, and a hang is found.

`run` is the one runner of the contract's tests. It fails when the loop has nothing to do and
somebody still waits, when a task or a timer is left behind, and when the loop was told of an error
that nobody took.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["Hang", "VirtualLoop", "run", "settle", "virtual_loop"]

T = TypeVar("T")

_MOST_TURNS = 1_000_000
"""Turns of the loop without a second passing after which a run goes round in a circle."""


class Hang(AssertionError):
    """Somebody waits, and nothing is scheduled that could wake them."""


class _Selector(selectors.SelectSelector):
    """Asks for events without waiting; where the loop would wait, the clock goes on instead."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.loop.begin_turn()
        ready = super().select(0)
        if not ready and timeout != 0 and not self.loop.is_busy():
            self.loop.pass_time(timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop in virtual time, which begins at 0.

    Attributes:
        turns: Turns so far.
        before_turn: Called before each turn, outside of every task, with its number.
        reports: What the exception handler was called with.
    """

    def __init__(self) -> None:
        selector = _Selector()
        selector.loop = self
        self._virtual_now = 0.0
        self.turns = self._turns_now = 0
        self.before_turn: Callable[[int], None] | None = None
        self.reports: list[dict[str, Any]] = []
        super().__init__(selector)
        self.set_exception_handler(lambda _, context: self.reports.append(context))

    def time(self) -> float:
        return self._virtual_now

    def begin_turn(self) -> None:
        self.turns += 1
        self._turns_now += 1
        if self._turns_now > _MOST_TURNS:
            self._turns_now = 0
            raise Hang(f"{_MOST_TURNS} turns of the loop at {self._virtual_now} s, and no end")
        if self.before_turn is not None:
            self.before_turn(self.turns)

    def is_busy(self) -> bool:
        """Whether something is to be done before any time passes."""
        return bool(getattr(self, "_ready", ()))

    def pass_time(self, timeout: float | None) -> None:
        """Jump to the next timer.

        Raises:
            Hang: If there is none.
        """
        if timeout is None:
            waiting = sorted(task.get_name() for task in asyncio.all_tasks(self))
            raise Hang(f"at {self._virtual_now} s nothing is scheduled, and these wait: {waiting}")
        self._virtual_now += timeout
        self._turns_now = 0

    def timers(self) -> list[asyncio.TimerHandle]:
        """Timers that are set."""
        scheduled: list[asyncio.TimerHandle] = getattr(self, "_scheduled", [])
        return [timer for timer in scheduled if not timer.cancelled()]

    def left(self) -> list[str]:
        """The tasks and timers that are there, the running task apart."""
        tasks = asyncio.all_tasks(self) - {asyncio.current_task(self)}
        return [f"task {t.get_name()}" for t in tasks] + [f"timer {t!r}" for t in self.timers()]


def virtual_loop() -> VirtualLoop:
    """The running loop, which `run` made."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop


async def settle(turns: int = 40) -> None:
    """Let the loop do what is due now, for so many turns at most; no time passes."""
    loop = virtual_loop()
    for _ in range(turns):
        await asyncio.sleep(0)
        if not loop.is_busy():
            return


def run(
    main: Callable[[], Coroutine[Any, Any, T]],
    *,
    debug: bool = False,
    reports: list[Any] | None = None,
) -> T:
    """Run to the end in virtual time.

    Args:
        main: Makes the coroutine.
        debug: Whether asyncio checks what it can.
        reports: Gets what the loop was told of; None when nothing may be.

    Raises:
        Hang: If it would wait for ever.
        AssertionError: If something is left, or was reported.
    """

    async def checked(loop: VirtualLoop) -> T:
        result = await main()
        await settle()
        left = loop.left()
        assert not left, f"left behind: {left}"
        return result

    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop, debug=debug) as runner:
        result = runner.run(checked(loop))
    told = [context.get("exception", context["message"]) for context in loop.reports]
    if reports is not None:
        reports += told
    else:
        assert not told, f"the loop was told: {told!r}"
    return result
