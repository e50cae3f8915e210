"""A key appears nowhere: not in what is shown, raised, logged, dumped or sent elsewhere."""

import asyncio
import base64
import copy
import json
import logging
import traceback
import urllib.parse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType

import pytest
from aiohttp import web

from gai_rx import GaiError, Request, Timeouts, connect
from gai_rx.errors import transient
from gai_rx.operators import batch, retry_on, text_only

KEY = "sk-CANARY-7f3a9b2e41d84c56"
FORMS = (
    KEY,
    base64.b64encode(KEY.encode()).decode().rstrip("="),
    urllib.parse.quote(KEY),
    "CANARY",
)
HOSTS = ("openai", "openai-chat", "anthropic", "gemini", "mistral", "cohere", "groq", "azure")


def assert_clean(*sinks: object) -> None:
    for sink in sinks:
        text = sink if isinstance(sink, str) else repr(sink)
        for form in FORMS:
            assert form not in text, f"the key is in {text[:200]!r}"


@asynccontextmanager
async def answering(status: int, body: str, **headers: str) -> AsyncIterator[str]:
    """A server that gives every request this answer, and echoes the key if `{key}` is in it."""

    async def answer(request: web.Request) -> web.StreamResponse:
        sent = request.headers.get("authorization") or request.headers.get("x-api-key") or ""
        told = body.replace("{key}", sent.removeprefix("Bearer "))
        return web.Response(status=status, text=told, headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


def everything(error: BaseException) -> str:
    """What a debugger, a crash reporter or a rich traceback would show of an error."""
    shown = "".join(
        traceback.TracebackException.from_exception(error, capture_locals=True).format()
    )
    notes = getattr(error, "__notes__", [])
    return f"{shown} {error!r} {error} {error.args} {vars(error)} {notes}"


@pytest.mark.parametrize("host", HOSTS)
def test_a_provider_and_its_stream_do_not_show_the_key(host: str) -> None:
    model = connect(f"{host}:m", api_key=KEY, base_url="https://host.example/v1")
    stream = model.stream_text("hi").pipe(text_only(), batch(2))
    assert_clean(repr(model), str(model), vars(model), repr(stream), vars(stream))
    assert_clean(vars(copy.copy(model)), vars(model.stream_text("hi")))


def test_a_request_holds_no_key() -> None:
    request = Request.of("hi", metadata={"user": "me"})
    assert_clean(request.model_dump_json(), json.dumps(Request.model_json_schema(), default=str))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, '{"error": {"message": "Incorrect API key provided: {key}."}}'),
        (400, "your key {key} is odd"),
        (429, '{"error": {"message": "{key} is over its limit"}}'),
        (500, ""),
        (302, ""),
        (200, "<html>{key}</html>"),
        (200, 'data: {"error": {"message": "odd key {key}"}}\n\n'),
        (200, "data: odd {key}\n\n"),
    ],
)
async def test_an_error_does_not_show_the_key(
    status: int, body: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    content = "text/html" if "<html>" in body else "application/json"
    content = "text/event-stream" if body.startswith("data:") else content
    async with answering(status, body, **{"Content-Type": content}) as url:
        model = connect("openai-chat:m", api_key=KEY, base_url=url)
        with pytest.raises(GaiError) as caught:
            await model.stream_text("hi").pipe(
                retry_on(transient, attempts=2, jitter=lambda _: 0.0)
            )
    own = caught.value
    own.__traceback__ = _below_the_test(own)
    assert_clean(everything(own), caplog.text)


def _below_the_test(error: BaseException) -> TracebackType | None:
    """The traceback without this test's own frames, whose locals hold the key."""
    tb = error.__traceback__
    while tb is not None and tb.tb_frame.f_code.co_filename == __file__:
        tb = tb.tb_next
    return tb


async def test_a_failed_connection_does_not_show_the_key() -> None:
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    model = connect("anthropic:m", api_key=KEY, base_url=f"http://127.0.0.1:{port}")
    with pytest.raises(GaiError) as caught:
        await model.text("hi")
    caught.value.__traceback__ = _below_the_test(caught.value)
    assert_clean(everything(caught.value))


async def test_a_redirect_carries_nothing_elsewhere() -> None:
    reached: list[str] = []

    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append((await reader.read(4096)).decode())
        writer.close()

    server = await asyncio.start_server(elsewhere, "127.0.0.1", 0)
    target = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    for status in (301, 302, 303, 307, 308):
        async with answering(status, "", Location=target) as url:
            for host in ("openai-chat", "anthropic", "gemini", "azure"):
                with pytest.raises(GaiError) as caught:
                    await connect(f"{host}:m", api_key=KEY, base_url=url).text("a prompt")
                assert caught.value.kind == "protocol"
    server.close()
    await server.wait_closed()
    assert reached == []


@pytest.mark.parametrize(
    "url",
    [
        "http://host.example/v1",
        "http://10.0.0.1/v1",
        "http://2130706433/v1",
        "http://169.254.169.254/latest",
        "ftp://host.example",
        "file:///etc/passwd",
        "https://user:pw@host.example/v1",
        "https://",
        "host.example/v1",
    ],
)
def test_a_base_url_that_would_leak_is_refused_at_once(url: str) -> None:
    with pytest.raises(GaiError) as caught:
        connect("openai-chat:m", api_key=KEY, base_url=url)
    assert caught.value.kind == "bad_request"
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    "key", ["sk-abc\n", " sk-abc", "sk\x00abc", "schlüssel", "sk abc\r\nX-Evil: 1"]
)
def test_a_key_that_can_not_be_one_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(GaiError) as caught:
        connect("openai:m", api_key=key)
    assert caught.value.kind == "authentication"
    assert key not in str(caught.value)


def test_a_missing_key_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MISTRAL_API_KEY", raising=False)
    with pytest.raises(GaiError, match="MISTRAL_API_KEY") as caught:
        connect("mistral")
    assert caught.value.kind == "authentication"


def test_a_key_comes_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MISTRAL_API_KEY", KEY)
    assert_clean(repr(connect("mistral")), vars(connect("mistral")))


async def test_geminis_key_is_in_no_url() -> None:
    seen: list[str] = []

    async def note(request: web.Request) -> web.Response:
        seen.append(str(request.url))
        assert request.headers["x-goog-api-key"] == KEY
        return web.Response(status=400, text="no")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", note)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1beta"
    with pytest.raises(GaiError):
        await connect("gemini:m", api_key=KEY, base_url=url, timeouts=Timeouts(first=5)).text("hi")
    await runner.cleanup()
    assert seen
    assert_clean(*seen)
