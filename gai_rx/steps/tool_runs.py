"""Running the calls of an answer: approved, side by side, each within its time.

A model's arguments are a stranger's input. They are checked before a tool sees them, and whatever
goes wrong becomes a `ToolResult` with an `error` that the model can read and that tells it nothing
of this machine.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from pydantic import SecretStr
from pydantic_core import from_json, to_json
from reactivex import abc

from gai_rx.approving import Approve, digest_of
from gai_rx.errors import ToolError
from gai_rx.events import StreamEvent, ToolCall, ToolProgress, ToolResult
from gai_rx.flow import current, start_task, to_be_ended
from gai_rx.steps.approvals import Approvals
from gai_rx.steps.jobs import Job, Place, called
from gai_rx.steps.tool_words import fault_of, harmless, plain, said
from gai_rx.stream import seconds
from gai_rx.tools import Tool, ToolContext

__all__ = ["ToolRuns"]

_LONGEST_PROGRESS = 100_000  # bytes of JSON of one value


class ToolRuns:
    """The tools of one run; what they tell is taken out by `results`.

    Args:
        max_parallel: Most tools that run at once, or whose result nobody has taken yet.
        approve: Who decides about calls.
        clock: Measures timeouts and durations.
        key: Makes idempotency keys differ from those of other runs.
        secrets: Never told to the model.
        on_tool_error: Called with each call whose tool raised, and the exception.
    """

    def __init__(
        self,
        *,
        max_parallel: int,
        approve: Approve | None,
        clock: abc.SchedulerBase,
        key: str = "",
        secrets: tuple[SecretStr, ...] = (),
        on_tool_error: Callable[[ToolCall, BaseException], None] | None = None,
    ) -> None:
        self.approvals = Approvals(approve, self._fail)
        self.undecided: list[ToolCall] = []
        """Calls of the step at hand that wait for a decision, or for somebody else to run them."""
        self._max_parallel = max_parallel
        self._clock = clock
        self._key = key
        self._secrets = secrets
        self._on_tool_error = on_tool_error
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._out: deque[tuple[Job | None, StreamEvent]] = deque()
        self._waiting: deque[Job] = deque()
        self._jobs: dict[Job, None] = {}
        """Those that run, and those whose result nobody has taken."""
        self._early: dict[str, Job] = {}
        self._deciding: set[asyncio.Task[None]] = set()
        self._failed: Exception | None = None

    def start_early(self, call: ToolCall, tool: Tool, place: Place) -> None:
        """Run an eager tool while its answer goes on; what it tells is kept until it is safe."""
        if len(self._jobs) >= self._max_parallel or call.id in self._early:
            return
        wrong, digest = fault_of(call, tool)
        if wrong is None:
            job = self._early[call.id] = self._job(call, tool, place, digest)
            self._start(job)

    def discard(self) -> None:
        """The answer failed: forget the tools that were started early."""
        for job in self._early.values():
            self._drop(job)
        self._early.clear()

    async def results(
        self, calls: Iterable[ToolCall], tools: Mapping[str, Tool], place: Place
    ) -> AsyncGenerator[Sequence[StreamEvent], None]:
        """Run the calls of an answer that has ended safely; each result comes when its tool ends.

        Raises:
            Exception: What the one who approves raised.
        """
        self.undecided = []
        early, self._early = self._early, {}
        for call in calls:
            self._admit(call, tools, place, early.pop(call.id, None))
        for job in early.values():
            self._drop(job)  # its provider ran it in the end
        while True:
            while self._waiting and len(self._jobs) < self._max_parallel:
                self._start(self._waiting.popleft())
            told = self._taken()
            if told:
                yield told
                continue
            if self._failed is not None:
                raise self._failed
            if not (self._jobs or self._waiting or self._deciding):
                return
            self._changed.clear()
            await self._changed.wait()

    def close(self) -> None:
        """End everything at once; nobody waits any more."""
        for task in tuple(self._deciding):
            task.cancel()
        self.approvals.close()
        for job in (*self._jobs, *self._waiting):
            self._end(job)

    def _taken(self) -> list[StreamEvent]:
        """What there is to tell; each result that is taken makes room for another tool."""
        told = [event for job, event in self._out if job is None or not job.dropped]
        self._out.clear()
        for job in tuple(self._jobs):
            if job.done:
                self._jobs.pop(job, None)
            else:
                told += self._latest(job)
        return told

    def _latest(self, job: Job) -> list[StreamEvent]:
        return [self._progress(job, job.latest.pop())] if job.latest else []

    def _drop(self, job: Job) -> None:
        job.dropped = True
        self._end(job)
        self._jobs.pop(job, None)

    # From a call to a job.

    def _admit(
        self, call: ToolCall, tools: Mapping[str, Tool], place: Place, early: Job | None
    ) -> None:
        if early is not None:
            if (early.call.name, early.call.arguments) == (call.name, call.arguments):
                return
            self._drop(early)  # the provider told other arguments in the end
        tool = tools.get(call.name)
        if tool is not None and tool.function is None and call.invalid is None:
            self.undecided.append(call)
            return
        wrong, digest = fault_of(call, tool)
        if wrong is not None or tool is None:
            self._tell(None, call, place, error=self._cleaned(wrong or ""))
            return
        job = self._job(call, tool, place, digest)
        if self.approvals.needed(tool):
            task = start_task(self._decide(job), f"gai_rx approval of {job.tool.name}")
            self._deciding.add(task)
            task.add_done_callback(self._decided)
        else:
            self._waiting.append(job)

    def _job(self, call: ToolCall, tool: Tool, place: Place, digest: str) -> Job:
        identity = repr((self._key, place.step, call.id, call.name, digest))
        context = ToolContext(
            call.id,
            call.name,
            step=place.step,
            attempt=place.attempt,
            idempotency_key=hashlib.sha256(identity.encode()).hexdigest()[:32],
            report=lambda value: self._report(job, value),
        )
        job = Job(call, tool, place, digest, context)
        return job

    async def _decide(self, job: Job) -> None:
        current.set(None)
        try:
            decision = await self.approvals.decide(job.call, job.tool)
        except Exception as error:
            self._fail(error)
            return
        if decision is None:
            self.undecided.append(job.call)
        elif not decision.fits(job.call):
            self._tell(None, job.call, job.place, error="another call was approved, not this one")
        elif decision.granted:
            self._waiting.append(job)
        else:
            why = f": {self._cleaned(decision.reason)}" if decision.reason else ""
            self._tell(None, job.call, job.place, error=f"the call was not approved{why}")

    def _decided(self, task: asyncio.Task[None]) -> None:
        self._deciding.discard(task)
        self._changed.set()

    def _fail(self, error: Exception) -> None:
        self._failed = self._failed or error
        self._changed.set()

    # Running.

    def _start(self, job: Job) -> None:
        self._jobs[job] = None
        self._out.append((job, self._progress(job, None)))
        job.began = seconds(self._clock)
        job.task = start_task(self._work(job), f"gai_rx tool {job.tool.name}")
        if job.tool.timeout is not None:
            job.timer = self._clock.schedule_relative(job.tool.timeout, lambda *_: self._late(job))

    async def _work(self, job: Job) -> None:
        current.set(None)  # what a tool subscribes to must not hold this run
        try:
            if digest_of(job.call.arguments) != job.digest:
                raise ToolError("the arguments were changed after they had been checked")
            arguments = job.tool.validate(job.call.arguments)
            arguments.update((name, job.context) for name in job.tool.contexts)
            result = plain(await called(job.tool, arguments), job.tool)
        except asyncio.CancelledError:
            if to_be_ended():
                raise
            self._finish(job, error="the tool was cancelled")
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # a panic of a compiled library is no Exception
            self._raised(job, error)
        else:
            self._finish(job, result)

    def _raised(self, job: Job, error: BaseException) -> None:
        if job.done:
            return
        if self._on_tool_error is not None:
            try:
                self._on_tool_error(job.call, error)
            except Exception as raised:
                self._fail(raised)
        self._finish(job, error=self._cleaned(said(error)))

    def _late(self, job: Job) -> None:
        limit = job.tool.timeout
        self._finish(job, error=f"the tool did not end within {limit:g} s")
        self._end(job)

    def _finish(self, job: Job, result: Any = None, *, error: str | None = None) -> None:
        if job.done:
            return
        job.done = True
        if job.timer is not None:
            job.timer.dispose()
        took = max(0.0, seconds(self._clock) - job.began)
        self._out += [(job, event) for event in self._latest(job)]
        self._tell(job, job.call, job.place, result, error, took)

    def _end(self, job: Job) -> None:
        job.done = True
        job.context.cancel()
        if job.timer is not None:
            job.timer.dispose()
        if job.task is not None:
            job.task.cancel()

    # Telling.

    def _tell(
        self,
        job: Job | None,
        call: ToolCall,
        place: Place,
        result: Any = None,
        error: str | None = None,
        duration: float | None = None,
    ) -> None:
        told = ToolResult(
            id=call.id,
            name=call.name,
            result=result,
            error=error,
            duration=duration,
            step=place.step,
            attempt=place.attempt,
        )
        self._out.append((job, told))
        self._changed.set()

    def _progress(self, job: Job, value: Any) -> ToolProgress:
        call, place = job.call, job.place
        return ToolProgress(
            id=call.id, name=call.name, value=value, step=place.step, attempt=place.attempt
        )

    def _report(self, job: Job, value: Any) -> None:
        """Take a tool's word from whatever thread; the latest one replaces what nobody took."""
        told = to_json(value, inf_nan_mode="null", bytes_mode="base64")
        if len(told) > _LONGEST_PROGRESS:
            raise ValueError(
                f"progress of {len(told):,} bytes of JSON; the limit is {_LONGEST_PROGRESS:,}"
            )
        job.latest[:] = [from_json(told)]
        with suppress(RuntimeError):  # the loop has been closed, and all in it
            self._loop.call_soon_threadsafe(self._changed.set)

    def _cleaned(self, text: str) -> str:
        return harmless(text, self._secrets)
