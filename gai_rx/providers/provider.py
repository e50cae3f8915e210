"""A provider: what a caller asks for text, objects and runs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from gai_rx.dialects import ObjectMode
from gai_rx.events import Event, Start, StreamEvent, ToolCall
from gai_rx.flow import produce
from gai_rx.objects import object_events, object_steps, plan_object
from gai_rx.providers.answering import Asker
from gai_rx.request import Prompt, Request
from gai_rx.result import Result
from gai_rx.result_builder import ResultBuilder
from gai_rx.schemas import Target
from gai_rx.steps import Ask, PrepareStep, Resumed, Retry, RunSettings, retrying, run_steps
from gai_rx.stopping import Stop
from gai_rx.stream import Stream
from gai_rx.tools import Approve

__all__ = ["Provider"]

Batches: TypeAlias = AsyncGenerator[Sequence[StreamEvent], None]


class Provider:
    """A model at a host; made by `connect`."""

    def __init__(self, asker: Asker, settings: Mapping[str, Any]) -> None:
        self.name = asker.name
        self.model = asker.model
        self.timeouts = asker.timeouts
        self._asker = asker
        self._settings = dict(settings)
        if settings:  # a misspelt one fails here, not at the first request
            Request.of("check", **settings)

    def __repr__(self) -> str:
        base_url = self._asker.base_url
        where = f", base_url={base_url!r}" if base_url else ""
        return f"Provider('{self.name}:{self.model}'{where})"

    def stream_text(
        self,
        request: Prompt,
        *,
        raw: bool = False,
        run_tools: bool = True,
        stop_when: Stop | None = None,
        max_parallel: int = 10,
        prepare_step: PrepareStep | None = None,
        retry: Retry | None = None,
        approve: Approve | None = None,
        resume: Resumed | None = None,
        on_tool_error: Callable[[ToolCall, BaseException], None] | None = None,
        **settings: Any,
    ) -> Stream[Event]:
        """The answer as a cold stream of events: each subscription is one request.

        With tools that have a function it is a run of several steps: the tools that an answer asks
        for are run, their results told to the model, and it is asked again; see `gai_rx.steps`.

        Args:
            request: A `Request`, a list of messages, or plain text.
            raw: Emit every record of the provider as a `Raw` event too.
            run_tools: Whether tools are run; False only delivers the calls.
            stop_when: When a run has done enough; `no_more_tools()` when None.
            max_parallel: Most tools of one step that run at once.
            prepare_step: Settings of `Request` for each step, from the `RunState` before it.
            retry: Which failed requests are made again, as `retry_on` takes them; in a run, one
                model call is repeated and no tool.
            approve: Who decides about calls; see `gai_rx.tools.Approve`.
            resume: The result of a run that stopped, for an approval for instance, to go on from;
                several if it has stopped again since. `request` is the one that it began with.
            on_tool_error: Called with each call whose tool raised, and the exception: the model is
                told less.
            settings: Fields of `Request`, for this request: `max_tokens=100`.

        Raises:
            pydantic.ValidationError: If the request is not one.
            ValueError: If a setting of the run is none, or `resume` has nothing to resume.
        """
        asked = Request.of(request, **{**self._settings, **settings})
        name = f"{self.name}:{asked.model or self.model}"
        if run_tools and any(tool.function is not None for tool in asked.tools):
            how = RunSettings(
                stop_when, max_parallel, prepare_step, retry, approve, resume, on_tool_error
            )
            return self._run(lambda step: self._asker.answer(step, raw), asked, how, name)
        return self._once(lambda: self._asker.answer(asked, raw), (name,), retry, resume)

    async def text(self, request: Prompt, **settings: Any) -> Result:
        """The whole answer.

        Raises:
            GaiError: If it did not arrive whole; `error.partial` is what did.
        """
        builder = ResultBuilder()
        async for event in self.stream_text(request, **settings):
            builder.add(event)
        return builder.result()

    def stream_object(
        self,
        request: Prompt,
        type_: Any,
        *,
        mode: ObjectMode | None = None,
        repair: int = 0,
        raw: bool = False,
        stop_when: Stop | None = None,
        max_parallel: int = 10,
        prepare_step: PrepareStep | None = None,
        retry: Retry | None = None,
        approve: Approve | None = None,
        resume: Resumed | None = None,
        on_tool_error: Callable[[ToolCall, BaseException], None] | None = None,
        **settings: Any,
    ) -> Stream[Event]:
        """An answer that is an object: its JSON arrives as `ObjectDelta`s, the last one validated.

        With tools it is a run of several steps, as `stream_text` makes it: the model may call them
        before it gives the object, and the answer that calls none is the object. A run that is
        stopped before has none.

        Args:
            request: A `Request`, a list of messages, or plain text.
            type_: What the object shall be: a pydantic model, a dataclass, a TypedDict, `dict`,
                `list[Item]` or any type that pydantic validates; or a JSON schema as a mapping.
            mode: How it is asked for: `"native"`, with its schema; `"tool"`, as the arguments of a
                call that the model is made to make; `"json"`, as JSON, with the schema in words.
                None takes the first of these that the host, the model and the schema allow, and
                `"tool"` where there are tools.
            repair: How often to ask again, with what is wrong, when the answer does not fit. A
                `Retry` event and `Start(attempt=n)` tell of it; the usage of `Finish` is the sum.
            raw: Emit every record of the provider as a `Raw` event too.
            stop_when: When a run has done enough; see `stream_text`, here and below.
            max_parallel: Most tools of one step that run at once.
            prepare_step: Settings of `Request` for each step.
            retry: Which failed requests are made again, as `retry_on` takes them.
            approve: Who decides about calls.
            resume: The result of a run that stopped, to go on from.
            on_tool_error: Called with each call whose tool raised, and the exception.
            settings: Fields of `Request`, for this request: `max_tokens=100`.

        Raises:
            TypeError: If pydantic has no schema for the type.
            ValueError: If a setting is none, or a tool is called as the object is.
            ObjectInvalidError: Through on_error, with the `text`: the answer does not fit, was cut
                off at its length, filtered or refused.
        """
        asked = Request.of(request, **{**self._settings, **settings})
        model = asked.model or self.model
        target = Target(type_)
        plan = plan_object(
            asked, target, self._asker.dialect, self._asker.quirks, model, mode=mode, repair=repair
        )
        quirks = replace(self._asker.quirks, json_schema=plan.mode == "native")
        asker = replace(self._asker, quirks=quirks)
        name = f"{self.name}:{model}"

        def ask(step: Request) -> Batches:
            return asker.answer(step, raw)

        stages = (name, f"object({target.name})")
        if asked.tools:
            how = RunSettings(
                stop_when, max_parallel, prepare_step, retry, approve, resume, on_tool_error
            )
            return self._run(object_steps(ask, plan), asked, how, *stages)
        return self._once(lambda: object_events(ask, plan), stages, retry, resume)

    async def object(self, request: Prompt, type_: Any, **settings: Any) -> Result:
        """The whole object, in `Result.object`; the arguments are those of `stream_object`.

        Raises:
            ObjectInvalidError: If it does not fit; `error.text` is what came.
            GaiError: If it did not arrive whole; `error.partial` is what did.
        """
        builder = ResultBuilder()
        async for event in self.stream_object(request, type_, **settings):
            builder.add(event)
        return builder.result()

    def _run(self, ask: Ask, asked: Request, how: RunSettings, *stages: str) -> Stream[Event]:
        """A run of several steps."""
        begins = Start(provider=self.name, model=asked.model or self.model)
        told = replace(how, secrets=self._asker.secrets)
        return run_steps(ask, asked, told, name=" | ".join(stages), begins=begins)

    def _once(
        self,
        answer: Callable[[], Batches],
        stages: tuple[str, ...],
        retry: Retry | None,
        resume: Resumed | None,
    ) -> Stream[Event]:
        """One answer.

        Raises:
            ValueError: If it shall go on with a run.
        """
        if resume is not None:
            raise ValueError("resume goes on with a run: give the tools that it ran with")
        stream: Stream[Any] = Stream(produce(answer, stages[0]), stages=stages, of_events=True)
        return stream if retry is None else stream.pipe(retrying(retry))
