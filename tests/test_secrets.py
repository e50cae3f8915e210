"""A secret appears nowhere: not in what is shown, raised, logged, dumped or sent elsewhere."""

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
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from pydantic import SecretStr

from gai_rx import GaiError, Provider, Request, Timeouts, connect
from gai_rx.errors import transient
from gai_rx.operators import batch, retry_on, text_only

KEY = "sk-CANARY-7f3a9b2e41d84c56"
PASSWORD = "p/w@CANARY:9%"
PROXY_USER = "someone"
BASIC = base64.b64encode(f"{PROXY_USER}:{PASSWORD}".encode()).decode()
GIVEN = {
    "X-Gateway": "gw-CANARY-51d0",
    "X-Auth-Token": "quo\"ted\\CANARY's",
    "Cookie": "lang=en; session=s%3ACANARY-8a2e",
    "X-Upstream-Authorization": f"Basic {BASIC}",
}
FORMS = (
    KEY,
    base64.b64encode(KEY.encode()).decode().rstrip("="),
    urllib.parse.quote(KEY),
    "CANARY",
    BASIC,
)
HOSTS = ("openai", "openai-chat", "anthropic", "gemini", "mistral", "cohere", "groq", "azure")


def assert_clean(*sinks: object) -> None:
    for sink in sinks:
        text = sink if isinstance(sink, str) else repr(sink)
        for form in FORMS:
            assert form not in text, f"the key is in {text[:200]!r}"


@asynccontextmanager
async def answering(status: int, body: str, **headers: str) -> AsyncIterator[str]:
    """A server that gives every request this answer, and repeats what it got for `{sent}`."""

    async def answer(request: web.Request) -> web.StreamResponse:
        sent = request.headers.get("authorization") or request.headers.get("x-api-key") or ""
        sent = " ".join(
            [
                sent.removeprefix("Bearer "),
                *(request.headers.get(name, "") for name in GIVEN),
                PASSWORD,
            ]
        )
        told = body.replace("{sent}", json.dumps(sent)[1:-1])
        return web.Response(status=status, text=told, headers={**headers, "X-Request-Id": sent})

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
    whence = error.__cause__ or error.__context__
    told = f"{shown} {error!r} {error} {error.args} {vars(error)} {notes}"
    return told + everything(whence) if whence is not None else told


@pytest.mark.parametrize("host", HOSTS)
def test_a_provider_and_its_stream_do_not_show_what_is_secret(host: str) -> None:
    model = connect(
        f"{host}:m",
        api_key=KEY,
        base_url="https://host.example/v1",
        headers=GIVEN,
        proxy=f"http://{PROXY_USER}:{urllib.parse.quote(PASSWORD, safe='')}@proxy.example:3128",
    )
    stream = model.stream_text("hi").pipe(text_only(), batch(2))
    assert_clean(repr(model), str(model), vars(model), repr(stream), vars(stream))
    assert_clean(vars(copy.copy(model)), vars(model.stream_text("hi")))
    assert_clean(*(vars(v) for v in vars(model).values() if hasattr(v, "__dict__")))


def test_a_request_holds_no_key() -> None:
    request = Request.of("hi", metadata={"user": "me"})
    assert_clean(request.model_dump_json(), json.dumps(Request.model_json_schema(), default=str))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, '{"error": {"message": "Incorrect API key provided: {sent}."}}'),
        (400, "your key {sent} is odd"),
        (429, '{"error": {"message": "{sent} is over its limit"}}'),
        (500, ""),
        (302, ""),
        (200, "<html>{sent}</html>"),
        (200, 'data: {"error": {"message": "odd key {sent}"}}\n\n'),
        (200, "data: odd {sent}\n\n"),
        *((200, 'data: "' + "." * n + '{sent}"\n\n') for n in range(80, 120, 3)),
        *((500, "." * n + "{sent}") for n in range(2000, 2100, 7)),
    ],
)
async def test_an_error_does_not_show_the_key_nor_given_headers(
    status: int, body: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    content = "text/html" if "<html>" in body else "application/json"
    content = "text/event-stream" if body.startswith("data:") else content
    async with answering(status, body, **{"Content-Type": content}) as url:
        model = connect("openai-chat:m", api_key=KEY, base_url=url, headers=GIVEN)
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
        "https://host.example:0/v1",
        "https://host.example:pw/v1",
        "https://[pw/v1",
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


@asynccontextmanager
async def proxying(answer: str) -> AsyncIterator[tuple[str, list[str]]]:
    """A proxy that gives every request this answer; its URL with a password, and what it got."""
    got: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(answer.encode())
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        quoted = urllib.parse.quote(PASSWORD, safe="")
        yield f"http://{PROXY_USER}:{quoted}@127.0.0.1:{port}", got
    finally:
        server.close()
        await server.wait_closed()


async def failed(model: Provider) -> GaiError:
    """The error of a request, without the frames of tests, whose locals hold secrets."""
    with pytest.raises(GaiError) as caught:
        await model.text("hi")
    caught.value.__traceback__ = _below_the_test(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [(407, "authentication", False), (403, "connection", False), (502, "connection", True)],
)
async def test_a_proxy_that_refuses_is_named_without_its_password(
    status: int, kind: str, retryable: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told = f"HTTP/1.1 {status} {PASSWORD} {BASIC}\r\ncontent-length: 0\r\n\r\n"
    async with proxying(told) as (proxy, got):
        model = connect(
            "openai:m", api_key=KEY, base_url="https://api.example/v1", headers=GIVEN, proxy=proxy
        )
        error = await failed(model)
    assert (error.kind, error.status, error.phase) == (kind, status, "connect")
    assert error.retryable is retryable
    assert f"proxy {proxy.split(':')[0]}://{proxy.rpartition('@')[2]} " in str(error)
    assert_clean(everything(error), caplog.text)
    (head,) = got
    assert head.startswith("CONNECT api.example:443 ")
    assert f"\r\nProxy-Authorization: Basic {BASIC}\r\n".lower() in head.lower()
    assert KEY not in head
    assert GIVEN["X-Gateway"] not in head


async def test_a_proxy_on_this_machine_is_told_its_password_and_does_not_show_it() -> None:
    told = f"HTTP/1.1 407 No\r\nconnection: close\r\n\r\n{{PASSWORD}} {PASSWORD} {BASIC}"
    async with proxying(told) as (proxy, got):
        error = await failed(connect("compat:m", base_url="http://localhost:9/v1", proxy=proxy))
    assert (error.kind, error.status) == ("authentication", 407)
    assert_clean(everything(error))
    assert got[0].startswith("POST http://localhost:9/v1/")
    assert f"\r\nProxy-Authorization: Basic {BASIC}\r\n".lower() in got[0].lower()


async def test_a_request_in_the_clear_goes_to_no_proxy_elsewhere() -> None:
    async with answering(400, "it came directly") as url:
        model = connect("compat:m", api_key=KEY, base_url=url, proxy="http://192.0.2.1:3128")
        assert "it came directly" in str(await failed(model))


async def test_a_proxy_that_is_not_there_is_named_without_its_password() -> None:
    async with proxying("") as (proxy, _):
        pass
    error = await failed(connect("openai:m", api_key=KEY, proxy=proxy))
    assert (error.kind, error.phase, error.retryable) == ("connection", "connect", True)
    assert f"http://{proxy.rpartition('@')[2]}" in str(error)
    assert_clean(everything(error))


@pytest.mark.parametrize(
    "url",
    [
        "http://user:CANARY@",
        "http://user:CANARY@host:port",
        "http://user:CANARY@host:99999999",
        "http://user:CANARY@host:0",
        "http://user:CAN/ARY@host:3128",
        "http://user:CANARY@[host",
        "user:CANARY@host:3128",
        "CANARY:pw@host:3128",
        "socks5://user:CANARY@host:3128",
    ],
)
def test_a_proxy_that_is_none_is_refused_at_once_without_its_password(url: str) -> None:
    with pytest.raises(GaiError, match="proxy must be like") as caught:
        connect("openai:m", api_key=KEY, proxy=url)
    caught.value.__traceback__ = _below_the_test(caught.value)
    assert_clean(everything(caught.value).replace("canary", "CANARY"))


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"X-Token": "CANARY\r\nX-Evil: 1"}},
        {"headers": {"X-Token": "CANARY\0"}},
        {"headers": {"X Token": "CANARY"}},
        {"headers": {"X-Token": ["CANARY"]}},
        {"headers": GIVEN, "no_such_setting": 1},
        {"base_url": "https://user:CANARY@host.example/v1"},
        {"base_url": "https://host.example:CANARY/v1"},
    ],
)
def test_what_connect_refuses_it_does_not_show(options: dict[str, Any]) -> None:
    with pytest.raises((GaiError, TypeError, ValueError)) as caught:
        connect("openai:m", api_key=KEY, proxy=f"http://u:{KEY}@host:1", **options)
    caught.value.__traceback__ = _below_the_test(caught.value)
    assert_clean(everything(caught.value))


@pytest.mark.parametrize("place", ["ClientRequest.send", "StreamReader.readany"])
async def test_an_exception_that_nobody_foresaw_shows_no_header(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise LookupError("unforeseen")

    owner, name = place.split(".")
    monkeypatch.setattr(getattr(aiohttp, owner), name, fail)
    async with answering(200, "data: {}\n\n", **{"Content-Type": "text/event-stream"}) as url:
        model = connect("openai-chat:m", api_key=KEY, base_url=url, headers=GIVEN)
        with pytest.raises(LookupError, match="unforeseen") as caught:
            await model.text("hi")
    caught.value.__traceback__ = _below_the_test(caught.value)
    assert_clean(everything(caught.value))
    assert "test_secrets.py" in "".join(caught.value.__notes__)


async def test_a_header_that_holds_no_secret_stays_readable_in_an_error() -> None:
    harmless = {"anthropic-beta": "fine-grained-2025-05-14", "X-Team": "search"}
    told = "unknown fine-grained-2025-05-14 of search"
    async with answering(400, told) as url:
        model = connect("anthropic:m", api_key=KEY, base_url=url, headers=harmless)
        assert told in str(await failed(model))


async def test_headers_reach_the_server_as_they_were_given() -> None:
    seen: list[str | None] = []

    async def note(request: web.Request) -> web.Response:
        seen.extend(request.headers.get(name) for name in GIVEN)
        return web.Response(status=400)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", note)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    given: dict[str, str | SecretStr] = {**GIVEN, "X-Gateway": SecretStr(GIVEN["X-Gateway"])}
    await failed(connect("compat:m", base_url=url, headers=given))
    await runner.cleanup()
    assert seen == list(GIVEN.values())
