"""The server: one port on loopback that speaks every dialect."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, Self

from aiohttp import web

from gai_rx.simulator.anthropic_messages import ANTHROPIC_MESSAGES
from gai_rx.simulator.asking import Asked, SeenRequest
from gai_rx.simulator.background import LoopThread
from gai_rx.simulator.behaviours import MODELS, behave
from gai_rx.simulator.cohere import COHERE
from gai_rx.simulator.delivery import Delivery
from gai_rx.simulator.faults import Failure, Fault
from gai_rx.simulator.gemini import GEMINI
from gai_rx.simulator.language import CREATED, Language, Record, Turn
from gai_rx.simulator.ollama import OLLAMA
from gai_rx.simulator.openai_chat import OPENAI_CHAT
from gai_rx.simulator.openai_responses import OPENAI_RESPONSES, is_kept, name_of
from gai_rx.simulator.script import Answer, Script

__all__ = ["Simulator"]

_HOST: Final = "127.0.0.1"
_REMEMBERED: Final = 10_000
_KEPT: Final = 1_000
_LARGEST_REQUEST: Final = 64 * 1024 * 1024
_ROUTES: Final[Mapping[str, Language]] = {
    "/v1/chat/completions": OPENAI_CHAT,
    "/v1/responses": OPENAI_RESPONSES,
    "/v1/messages": ANTHROPIC_MESSAGES,
    "/{version:v1|v1beta|v1alpha}/models/{model:.+}:{method:(stream)?[gG]enerateContent}": GEMINI,
    "/api/chat": OLLAMA,
    "/api/generate": OLLAMA,
    "/v2/chat": COHERE,
}


class Simulator:
    """A server on this machine's loopback that answers as the providers do.

    It runs on the loop that starts it. `with Simulator(...)`, without `async`, runs it in a
    thread of its own.

    Args:
        script: What to answer; by the model's name when None, see `behaviours.MODELS`.
        port: Where to listen; 0 for any free port.
        seed: Makes other ids; the same seed makes the same bytes.

    Raises:
        OSError: When it starts, if the port is taken.

    Example:
        >>> async def ask():
        ...     async with Simulator(Answer("Hi there.")) as simulator:
        ...         return simulator.url
        >>> asyncio.run(ask()).startswith("http://127.0.0.1:")
        True
    """

    def __init__(self, script: Script | None = None, *, port: int = 0, seed: int = 0) -> None:
        self.requests: list[SeenRequest] = []
        """The requests, oldest first; of very many, the latest 10,000."""
        self.seed = seed
        self._next = _reader(script)
        self._port = port
        self._count = 0
        self._struck: Counter[str] = Counter()
        self._kept: dict[str, Turn] = {}  # responses in the background, by their id
        self._runner: web.AppRunner | None = None
        self._thread: LoopThread | None = None
        self._answering: set[asyncio.Task[Any]] = set()

    @property
    def url(self) -> str:
        """Where it listens, `http://127.0.0.1:port`, without a path.

        Raises:
            RuntimeError: If it does not run.
        """
        if self._runner is None or not self._runner.addresses:
            raise RuntimeError("the simulator does not run; start it, or use `async with`")
        return f"http://{_HOST}:{self._runner.addresses[0][1]}"

    def script(self, script: Script | None) -> None:
        """Answer from another script from now on."""
        self._next = _reader(script)

    async def start(self) -> Self:
        """Begin to listen; does nothing if it does already."""
        if self._runner is not None:
            return self
        app = web.Application(client_max_size=_LARGEST_REQUEST)
        for path, language in _ROUTES.items():
            app.router.add_post(path, self._handler(language, self._handle))
        handler = self._handler(OPENAI_RESPONSES, self._resume)
        app.router.add_get("/v1/responses/{id}", handler, allow_head=False)
        app.router.add_get("/v1/models", _models)
        runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.5
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, _HOST, self._port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        return self

    async def aclose(self) -> None:
        """Stop: open answers are broken off, and nothing is left behind."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        for task in tuple(self._answering):
            task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)
        await runner.cleanup()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        thread = LoopThread()
        try:
            thread.run(self.start())
        except BaseException:
            thread.stop()
            raise
        self._thread = thread
        return self

    def __exit__(self, *_: object) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.run(self.aclose())
            thread.stop()

    def _handler(
        self,
        language: Language,
        answer: Callable[[web.Request, Language], Awaitable[web.StreamResponse]],
    ) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            task = asyncio.current_task()
            assert task is not None
            self._answering.add(task)
            try:
                return await answer(request, language)
            finally:
                self._answering.discard(task)

        return handle

    async def _handle(self, request: web.Request, language: Language) -> web.StreamResponse:
        try:
            body = json.loads(await request.read())
            asked = language.read(body, {**request.query, **request.match_info})
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            told = f"expected the JSON of {language.name}: {error}"
            return _refuse(0, language, Failure("bad_request", told))
        seen = self._note(request, language, body, asked)
        return await self._noting(seen, self._answer(request, language, seen))

    async def _resume(self, request: web.Request, language: Language) -> web.StreamResponse:
        """The rest of a response in the background, from the event after `starting_after` on."""
        told = dict(request.query)
        turn = self._kept.get(request.match_info["id"])
        after = told.get("starting_after")
        if turn is None:
            return _refuse(0, language, Failure("not_found", "no such response is kept"))
        if after is not None and not after.isdecimal():
            return _refuse(0, language, Failure("bad_request", "starting_after is a number"))
        seen = self._note(request, language, told, turn.asked)
        streams, first = told.get("stream") == "true", int(after or -1) + 1
        rest = self._give(request, language, seen, turn, streams=streams, first=first)
        return await self._noting(seen, rest)

    def _note(
        self, request: web.Request, language: Language, body: Mapping[str, Any], asked: Asked
    ) -> SeenRequest:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self._count += 1
        seen = SeenRequest(self._count, language.name, request.path, headers, body, asked)
        self.requests.append(seen)
        del self.requests[:-_REMEMBERED]
        return seen

    async def _noting(
        self, seen: SeenRequest, answer: Awaitable[web.StreamResponse]
    ) -> web.StreamResponse:
        """Give the answer, and note how it went."""
        try:
            response = await answer
            seen.end(finished=True)
        except ConnectionError:
            seen.end(closed_early=True)
            response = web.Response()  # nobody reads it
        except asyncio.CancelledError:
            seen.end(closed_early=self._runner is not None)
            raise
        finally:
            seen.end()  # a script that raises: the answer is HTTP 500
        return response

    async def _answer(
        self, request: web.Request, language: Language, seen: SeenRequest
    ) -> web.StreamResponse:
        answer = self._next(seen.asked)
        turn = Turn(seen.asked, answer, seen.number, self.seed)
        if language is OPENAI_RESPONSES and is_kept(turn):
            self._kept[name_of(turn)] = turn
            if len(self._kept) > _KEPT:
                del self._kept[next(iter(self._kept))]
        return await self._give(request, language, seen, turn, streams=seen.asked.stream)

    async def _give(
        self,
        request: web.Request,
        language: Language,
        seen: SeenRequest,
        turn: Turn,
        *,
        streams: bool,
        first: int = 0,
    ) -> web.StreamResponse:
        """The answer, whole or streamed from its record `first` on."""
        answer = turn.answer
        fault = self._fault(answer)
        await asyncio.sleep(answer.first_delay)
        if fault is not None and (failure := fault.refusal):
            return _refuse(seen.number, language, failure)
        headers = _names(language, seen.number)
        if not streams and answer.body is None:
            if answer.endless:
                told = "an endless answer can only be streamed"
                return _refuse(seen.number, language, Failure("bad_request", told))
            return web.json_response(language.whole(turn), headers=headers)
        replayed = answer.body is not None
        headers["content-type"] = answer.content_type if replayed else language.content_type
        headers["cache-control"] = "no-cache"
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        if fault is None or fault.name != "empty":
            records = _replayed(answer) if replayed else language.records(turn)
            delivery = Delivery(request, response, seen, fault, language)
            await delivery.send(islice(records, first, None), answer.delay, first)
        if not seen.finished:
            await response.write_eof()
        return response

    def _fault(self, answer: Answer) -> Fault | None:
        """The answer's fault, if it strikes this time."""
        fault = answer.broken_by
        if fault is None:
            return None
        count = self._struck[str(fault)]
        self._struck[str(fault)] += 1
        return fault if fault.strikes(count) else None


def _reader(script: Script | None) -> Callable[[Asked], Answer]:
    """A script of any form as a function."""
    if script is None:
        return behave
    if isinstance(script, Answer):
        return lambda _: script
    if callable(script):
        return script
    if not script:
        raise ValueError("a script needs at least one answer")
    answers = _in_order(tuple(script))
    return lambda _: next(answers)


def _in_order(answers: Sequence[Answer]) -> Iterator[Answer]:
    yield from answers
    while True:
        yield answers[-1]


def _replayed(answer: Answer) -> Iterator[Record]:
    body = answer.body or b""
    for start in range(0, len(body), answer.piece):
        yield Record(body[start : start + answer.piece], delta=True)


async def _models(_: web.Request) -> web.Response:
    data = [
        {"id": name, "object": "model", "created": CREATED, "owned_by": "gai_rx"} for name in MODELS
    ]
    return web.json_response({"object": "list", "data": data})


def _refuse(number: int, language: Language, failure: Failure) -> web.Response:
    status, body = language.refusal(failure)
    headers = _names(language, number)
    if failure.retry_after is not None:
        headers["retry-after"] = str(math.ceil(failure.retry_after))
        headers["retry-after-ms"] = str(round(failure.retry_after * 1000))
    return web.json_response(body, status=status, headers=headers)


def _names(language: Language, number: int) -> dict[str, str]:
    """The headers that name the request, in the dialect's way and in the common one."""
    name = f"req_{number:06d}"
    return {"x-request-id": name, language.request_id_header: name}
