"""One request, and its answer as batches of events."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import cached_property, partial
from traceback import format_tb

from pydantic import SecretStr

from gai_rx.dialects import DIALECTS, Call, Dialect, Quirks
from gai_rx.errors import ConnectionFailedError, GaiError, TimedOutError, TruncatedError
from gai_rx.events import StreamEvent
from gai_rx.flow import produce
from gai_rx.hiding import bare, secret_values
from gai_rx.hosts import Endpoint, Host
from gai_rx.http import Body, Proxy, Timeouts, get, post
from gai_rx.providers.decoding import Taken, decoded
from gai_rx.request import Request
from gai_rx.result_builder import ResultBuilder
from gai_rx.stream import Stream

__all__ = ["Asker"]

VERSION = "0.1.0"


@dataclass(frozen=True, kw_only=True)
class Asker:
    """Whom to ask, and how; secrets are in `SecretStr`s, so that what shows it shows none.

    Attributes:
        name: What the host is called.
        host: Its row of data.
        model: Asked where the request names no other.
        quirks: How the host differs, with what the caller says of it.
        key: None where none is needed.
        base_url: None where the host is started on first use.
        headers: Those that the caller gives; names in lower case.
        timeouts: Limits in seconds.
        proxy: The way there.
    """

    name: str
    host: Host
    model: str
    quirks: Quirks
    key: SecretStr | None
    base_url: str | None
    headers: Mapping[str, SecretStr]
    timeouts: Timeouts
    proxy: Proxy | None

    @property
    def dialect(self) -> Dialect:
        """The language that the host speaks."""
        return DIALECTS[self.host.dialect]

    @cached_property
    def secrets(self) -> tuple[SecretStr, ...]:
        """What must never be shown, nor told to a model."""
        key = (self.key,) if self.key else ()
        return (*key, *secret_values(self.headers), *(self.proxy.secrets if self.proxy else ()))

    async def answer(
        self, request: Request, raw: bool = False, taken: Taken | None = None
    ) -> AsyncGenerator[Sequence[StreamEvent], None]:
        """Ask, and give the events as they come, those of one read together.

        Args:
            request: What is asked.
            raw: Give each record as a `Raw` event too.
            taken: What has come of the answer already; it is asked for the rest.

        Raises:
            GaiError: With the `partial` result, after all events before it.
        """
        taken = taken or Taken()
        received, kept = ResultBuilder(), bytearray()
        model, secrets = request.model or self.model, self.secrets
        decoder = self.dialect.decoder(self.quirks, raw=raw, call_prefix=taken.call_prefix)
        try:
            received.extend(taken.replay(decoder))
            call = self.dialect.encode(request, model, self.quirks)
            endpoint = await self._endpoint(model)
            secrets += (endpoint.key,) if endpoint.key else ()
            rest = decoder.rest_path() if taken.bodies else None
            async with self._open(request, call, endpoint, rest) as body:
                if call.resumable:
                    kept = body.keep()
                del call  # the prompt once more: of no use while an answer is written
                async for events in decoded(body, decoder):
                    received.extend(events)
                    yield events
                    del events  # what comes next may be long in coming
        except GaiError as error:
            so_far = taken.and_then(bytes(kept))
            if so_far.bodies and decoder.rest_path() is not None and _cut_off(error):
                error.resume = self._resumption(request, raw, so_far)
            bare(error, secrets)
            error.provider, error.model = self.name, model
            error.partial = received.result()
            raise
        except Exception as error:  # nobody foresaw it: its frames are told without their locals
            error.add_note("".join(format_tb(error.__traceback__)))
            bare(error, secrets)
            raise

    def _open(
        self, request: Request, call: Call, endpoint: Endpoint, rest: str | None
    ) -> AbstractAsyncContextManager[Body]:
        """Ask for an answer, or for the rest of one."""
        send = partial(post, body=call.body) if rest is None else get
        return send(
            _join(endpoint.base_url, rest or call.path, self.host.query),
            headers=self._all_headers(request, call),
            key=self._key_header(endpoint),
            timeouts=self.timeouts,
            proxy=self.proxy,
            secrets=self.secrets,
        )

    def _resumption(
        self, request: Request, raw: bool, taken: Taken
    ) -> Callable[[], Stream[StreamEvent]]:
        """Makes a stream that goes on where an answer broke off."""
        name = f"{self.name}:{request.model or self.model}, resumed"
        subscribe = produce(lambda: self.answer(request, raw, taken), name)
        return lambda: Stream(subscribe, stages=(name,), of_events=True)

    async def _endpoint(self, model: str) -> Endpoint:
        if self.base_url is not None:
            return Endpoint(self.base_url)
        assert self.host.start is not None  # connect() asked for a base URL otherwise
        return await self.host.start(model)

    def _key_header(self, endpoint: Endpoint) -> tuple[str, SecretStr] | None:
        key = self.key or endpoint.key
        header = self.host.key_header or self.dialect.key_header
        return (header, key) if key is not None else None

    def _all_headers(self, request: Request, call: Call) -> dict[str, str | SecretStr]:
        accept = (
            "application/x-ndjson"
            if self.dialect.decoder.framing == "ndjson"
            else "text/event-stream"
        )
        made: dict[str, str | SecretStr] = {"accept": accept, "user-agent": f"gai_rx/{VERSION}"}
        made.update(self.dialect.headers)
        made.update(call.headers)
        if request.request_id:
            made["x-request-id"] = request.request_id
        if request.idempotency_key:
            made["idempotency-key"] = request.idempotency_key
        made.update(self.headers)
        return made


def _cut_off(error: GaiError) -> bool:
    """Whether an answer was cut off on the way here, rather than ended by who gives it."""
    on_the_way = isinstance(error, ConnectionFailedError | TimedOutError | TruncatedError)
    return on_the_way or (error.phase == "headers" and error.retryable)


def _join(base_url: str, path: str, query: str) -> str:
    if not query:
        return base_url + path
    return f"{base_url}{path}{'&' if '?' in path else '?'}{query}"
