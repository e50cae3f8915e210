"""`connect`: from a host's name to a provider that streams."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from gai_rx.dialects import DIALECTS, Call, Decoder, Dialect, ObjectMode
from gai_rx.errors import (
    AuthenticationError,
    BadRequestError,
    ConnectionFailedError,
    GaiError,
    ProtocolError,
    TimedOutError,
    TruncatedError,
)
from gai_rx.events import Event, Start, StreamEvent, ToolCall
from gai_rx.flow import produce
from gai_rx.hosts import HOSTS, Endpoint, Host
from gai_rx.http import Body, Timeouts, get, post
from gai_rx.objects import object_events, plan_object
from gai_rx.refusals import hidden, refusal
from gai_rx.request import Prompt, Request
from gai_rx.result import Result, ResultBuilder
from gai_rx.schemas import Target
from gai_rx.steps import PrepareStep, Resumed, Retry, RunSettings, retrying, run_steps
from gai_rx.stopping import Stop
from gai_rx.stream import Stream
from gai_rx.tools import Approve

__all__ = ["Provider", "connect"]

VERSION = "0.1.0"

_PIECE = 16 * 1024
"""Bytes decoded at a time. A read holds up to 256 KiB, a thousand events; decoded at once they
would leave the processor's cache before they are emitted, which costs a third more time."""


def connect(
    model: str,
    *,
    api_key: str | SecretStr | None = None,
    base_url: str | None = None,
    headers: Mapping[str, str] | None = None,
    timeouts: Timeouts | None = None,
    lenient: bool | None = None,
    proxy: str | None = None,
    **options: Any,
) -> Provider:
    """Choose who answers; nothing is sent before a stream is subscribed to.

    Args:
        model: `"host:model"`, split at the first colon; the host alone takes its default model.
        api_key: Instead of the host's environment variable.
        base_url: Instead of the host's; it ends where the provider's own SDKs' base URL ends.
        headers: Sent with every request.
        timeouts: Limits in seconds; `Timeouts()` when None.
        lenient: Take an answer that ends properly but names no finish reason as complete; the
            host's habit when None.
        proxy: URL of an HTTP proxy; those of the environment are not used.
        options: Settings for every request, as `Request` has them: `temperature=0.2`.

    Raises:
        AuthenticationError: If the host needs a key and there is none; names the variable.
        BadRequestError: If the host is unknown, or the base URL is not https (loopback excepted).

    Example:
        >>> connect("anthropic:claude-sonnet-4-5", api_key="sk-...")
        Provider('anthropic:claude-sonnet-4-5', base_url='https://api.anthropic.com')
    """
    if isinstance(api_key, str):
        api_key = SecretStr(api_key)  # from here on no local holds the key itself
    name, _, wanted = model.partition(":")
    host = HOSTS.get(name)
    if host is None:
        known = ", ".join(HOSTS)
        raise BadRequestError(
            f"no host is called {name!r}; known are {known}. Any OpenAI-compatible server is "
            "'compat:model' with base_url=…"
        )
    chosen = wanted or host.default_model
    if chosen is None:
        raise BadRequestError(f"{name!r} has no default model; write '{name}:model'")
    return Provider(
        name,
        host,
        chosen,
        key=_key(name, host, api_key),
        base_url=_base_url(name, host, base_url),
        headers=headers or {},
        timeouts=timeouts or Timeouts(),
        lenient=lenient,
        proxy=proxy,
        settings=options,
    )


def _key(name: str, host: Host, given: SecretStr | None) -> SecretStr | None:
    key = given
    if key is None and host.key_variable is not None:
        key = SecretStr(os.environ.get(host.key_variable, ""))
    if key:
        if not _may_be_a_key(key):
            raise AuthenticationError(
                f"the key for {name!r} has spaces, line ends or other characters that no key has; "
                "was it copied whole?",
                provider=name,
            )
        return key
    if host.key_variable is None or host.key_optional:
        return None
    raise AuthenticationError(
        f"{name!r} needs a key: set the environment variable {host.key_variable} or pass api_key=…",
        provider=name,
    )


def _may_be_a_key(key: SecretStr) -> bool:
    return key.get_secret_value().isascii() and not any(
        c.isspace() or not c.isprintable() for c in key.get_secret_value()
    )


def _base_url(name: str, host: Host, given: str | None) -> str | None:
    url = (
        given or (os.environ.get(host.url_variable) if host.url_variable else None) or host.base_url
    )
    if url is None:
        if host.start is not None:
            return None
        hint = f", or set {host.url_variable}" if host.url_variable else ""
        raise BadRequestError(f"{name!r} needs base_url=…{hint}")
    parts = urlsplit(url)
    loopback = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadRequestError(
            f"base_url must be like 'https://host/v1', got scheme {parts.scheme!r}"
        )
    if parts.username is not None or parts.password is not None:
        raise BadRequestError("base_url must not hold a user or password; use api_key or headers")
    if parts.scheme == "http" and not loopback:
        raise BadRequestError(
            f"base_url must be https, got http to {parts.hostname!r}: the key would travel in the "
            "clear; plain http is for this machine only"
        )
    return url.rstrip("/")


class Provider:
    """A model at a host; made by `connect`."""

    def __init__(
        self,
        name: str,
        host: Host,
        model: str,
        *,
        key: SecretStr | None,
        base_url: str | None,
        headers: Mapping[str, str],
        timeouts: Timeouts,
        lenient: bool | None,
        proxy: str | None,
        settings: Mapping[str, Any],
    ) -> None:
        self.name = name
        self.model = model
        self.timeouts = timeouts
        self._host = host
        self._dialect: Dialect = DIALECTS[host.dialect]
        finish_optional = host.quirks.finish_optional if lenient is None else lenient
        self._quirks = replace(host.quirks, provider=name, finish_optional=finish_optional)
        self._key = key
        self._base_url = base_url
        self._headers = {k.lower(): v for k, v in headers.items()}
        self._proxy = proxy
        self._settings = dict(settings)
        if settings:  # a misspelt one fails here, not at the first request
            Request.of("check", **settings)

    def __repr__(self) -> str:
        where = f", base_url={self._base_url!r}" if self._base_url else ""
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
                stop_when,
                max_parallel,
                prepare_step,
                retry,
                approve,
                resume,
                on_tool_error,
                (self._key,) if self._key else (),
            )
            begins = Start(provider=self.name, model=asked.model or self.model)
            return run_steps(
                lambda step: self._answer(step, raw), asked, how, name=name, begins=begins
            )
        if resume is not None:
            raise ValueError("resume goes on with a run: give the tools that it ran with")
        subscribe = produce(lambda: self._answer(asked, raw), name)
        stream: Stream[Any] = Stream(subscribe, stages=(name,), of_events=True)
        return stream if retry is None else stream.pipe(retrying(retry))

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
        retry: Retry | None = None,
        **settings: Any,
    ) -> Stream[Event]:
        """An answer that is an object: its JSON arrives as `ObjectDelta`s, the last one validated.

        Args:
            request: A `Request`, a list of messages, or plain text.
            type_: What the object shall be: a pydantic model, a dataclass, a TypedDict, `dict`,
                `list[Item]` or any type that pydantic validates; or a JSON schema as a mapping.
            mode: How it is asked for: `"native"`, with its schema; `"tool"`, as the arguments of a
                call that the model is made to make; `"json"`, as JSON, with the schema in words.
                None takes the first of these that the host, the model and the schema allow.
            repair: How often to ask again, with what is wrong, when the answer does not fit. A
                `Retry` event and `Start(attempt=n)` tell of it; the usage of `Finish` is the sum.
            raw: Emit every record of the provider as a `Raw` event too.
            retry: Which failed requests are made again, as `retry_on` takes them.
            settings: Fields of `Request`, for this request: `max_tokens=100`.

        Raises:
            TypeError: If pydantic has no schema for the type.
            ValueError: If a setting is none, or the request has tools.
            ObjectInvalidError: Through on_error, with the `text`: the answer does not fit, was cut
                off at its length, filtered or refused.
        """
        asked = Request.of(request, **{**self._settings, **settings})
        model = asked.model or self.model
        target = Target(type_)
        plan = plan_object(
            asked, target, self._dialect, self._quirks, model, mode=mode, repair=repair
        )
        asking = copy(self)
        asking._quirks = replace(self._quirks, json_schema=plan.mode == "native")
        name = f"{self.name}:{model}"
        subscribe = produce(
            lambda: object_events(lambda step: asking._answer(step, raw), plan), name
        )
        stages = (name, f"object({target.name})")
        stream: Stream[Any] = Stream(subscribe, stages=stages, of_events=True)
        return stream if retry is None else stream.pipe(retrying(retry))

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

    async def _answer(
        self, request: Request, raw: bool, taken: _Taken | None = None
    ) -> AsyncGenerator[Sequence[StreamEvent], None]:
        taken = taken or _Taken()
        received, kept = ResultBuilder(), bytearray()
        model = request.model or self.model
        decoder = self._dialect.decoder(self._quirks, raw=raw, call_prefix=taken.call_prefix)
        try:
            received.extend(taken.replay(decoder))
            call = self._dialect.encode(request, model, self._quirks)
            endpoint = await self._endpoint(model)
            rest = decoder.rest_path() if taken.bodies else None
            async with self._open(request, call, endpoint, rest) as body:
                if call.resumable:
                    kept = body.keep()
                del call  # the prompt once more: of no use while an answer is written
                async for events in _decoded(body, decoder):
                    received.extend(events)
                    yield events
                    del events  # what comes next may be long in coming
        except GaiError as error:
            so_far = taken.and_then(bytes(kept))
            if so_far.bodies and decoder.rest_path() is not None and _cut_off(error):
                error.resume = self._resumption(request, raw, so_far)
            error.provider, error.model = self.name, model
            if self._key:
                error.args = (hidden(error.message, (self._key,)), *error.args[1:])
            error.partial = received.result()
            _forget_frames(error)
            raise

    def _open(
        self, request: Request, call: Call, endpoint: Endpoint, rest: str | None
    ) -> AbstractAsyncContextManager[Body]:
        """Ask for an answer, or for the rest of one."""
        send = partial(post, body=call.body) if rest is None else get
        return send(
            _join(endpoint.base_url, rest or call.path, self._host.query),
            headers=self._all_headers(request, call),
            key=self._key_header(endpoint),
            timeouts=self.timeouts,
            proxy=self._proxy,
        )

    def _resumption(
        self, request: Request, raw: bool, taken: _Taken
    ) -> Callable[[], Stream[StreamEvent]]:
        """Makes a stream that goes on where an answer broke off."""
        name = f"{self.name}:{request.model or self.model}, resumed"
        subscribe = produce(lambda: self._answer(request, raw, taken), name)
        return lambda: Stream(subscribe, stages=(name,), of_events=True)

    async def _endpoint(self, model: str) -> Endpoint:
        if self._base_url is not None:
            return Endpoint(self._base_url)
        assert self._host.start is not None  # connect() asked for a base URL otherwise
        return await self._host.start(model)

    def _key_header(self, endpoint: Endpoint) -> tuple[str, SecretStr] | None:
        key = self._key or endpoint.key
        header = self._host.key_header or self._dialect.key_header
        return (header, key) if key is not None else None

    def _all_headers(self, request: Request, call: Call) -> dict[str, str]:
        accept = (
            "application/x-ndjson"
            if self._dialect.decoder.framing == "ndjson"
            else "text/event-stream"
        )
        made = {"accept": accept, "user-agent": f"gai_rx/{VERSION}"}
        made.update(self._dialect.headers)
        made.update(call.headers)
        if request.request_id:
            made["x-request-id"] = request.request_id
        if request.idempotency_key:
            made["idempotency-key"] = request.idempotency_key
        made.update(self._headers)
        return made


@dataclass(frozen=True, slots=True)
class _Taken:
    """What has come of an answer, body by body.

    To go on behind it, a fresh decoder takes it all again: no state is shared by two subscriptions.
    """

    call_prefix: str = field(default_factory=lambda: f"{secrets.token_hex(4)}_")
    bodies: tuple[bytes, ...] = ()

    def and_then(self, body: bytes) -> _Taken:
        return replace(self, bodies=(*self.bodies, body)) if body else self

    def replay(self, decoder: Decoder) -> list[StreamEvent]:
        events: list[StreamEvent] = []
        for body in self.bodies:
            events += decoder.feed(body)
            events += decoder.close()
            decoder.go_on()
        return events


def _cut_off(error: GaiError) -> bool:
    """Whether an answer was cut off on the way here, rather than ended by who gives it."""
    on_the_way = isinstance(error, ConnectionFailedError | TimedOutError | TruncatedError)
    return on_the_way or (error.phase == "headers" and error.retryable)


def _forget_frames(error: GaiError) -> None:
    """Forget the frames that saw the bytes: what shows locals must not show keys or prompts."""
    if error.__cause__ is not None:
        error.__cause__ = error.__cause__.with_traceback(None)
    error.__traceback__ = None


def _join(base_url: str, path: str, query: str) -> str:
    if not query:
        return base_url + path
    return f"{base_url}{path}{'&' if '?' in path else '?'}{query}"


async def _decoded(body: Body, decoder: Decoder) -> AsyncGenerator[list[StreamEvent], None]:
    """The events of a body, one list a read.

    Raises:
        GaiError: What ended the answer, after all events before it.
    """
    broken: GaiError | None = None
    whole = body.content_type == "application/json" and decoder.framing == "sse"
    if whole and (await body.peek()).lstrip()[:1] in (b"{", b"["):
        yield await _unstreamed(body, decoder)
    else:
        try:
            while not decoder.done and decoder.fault is None and (chunk := await body.read()):
                for start in range(0, len(chunk), _PIECE):
                    events = decoder.feed(chunk[start : start + _PIECE])
                    if events:
                        body.progressed()
                        yield events
                    del events
                    if decoder.done or decoder.fault is not None:
                        break
        except GaiError as error:
            broken = error
    if not decoder.done and decoder.fault is None:
        yield decoder.close(broken)
    if decoder.fault is not None:
        raise decoder.fault


async def _unstreamed(body: Body, decoder: Decoder) -> list[StreamEvent]:
    """A server that ignored `stream`: one JSON body, an answer or an error."""
    data = bytearray()
    while chunk := await body.read():
        data += chunk
        if len(data) > 32 * 1024 * 1024:
            raise ProtocolError("expected a stream, got one JSON body of over 32 MiB")
    try:
        told = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise TruncatedError("expected a stream, got a JSON body that is cut off") from error
    records = told if isinstance(told, list) else [told]
    if len(records) == 1 and isinstance(records[0], dict) and records[0].get("error"):
        raise refusal(200, body.headers, records[0])
    framed = b"".join(b"data: %s\n\n" % json.dumps(r).encode() for r in records)
    return decoder.feed(framed)
