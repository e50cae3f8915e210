"""Requests that are refused: status and headers, on aiohttp mocked by aioresponses.

What streams, stalls or breaks is tested on real sockets, in the other files.
"""

import asyncio
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import aiohttp
import aioresponses.core
import pytest
from aioresponses import aioresponses as mock_http
from pydantic import SecretStr, ValidationError

from gai_rx import TimedOutError, connect
from gai_rx.errors import GaiError
from gai_rx.http import Timeouts, post
from tests.wire_server import Exchange, WireServer, text_record

URL = "https://api.example/v1/chat/completions"


class _Response(aiohttp.ClientResponse):
    """aioresponses 0.7.9 does not know an argument that aiohttp 3.14 requires."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", Mock(output_size=0))
        super().__init__(*args, **kwargs)


@pytest.fixture
def mocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[mock_http]:
    monkeypatch.setattr(aioresponses.core, "ClientResponse", _Response)
    with mock_http() as mock:
        yield mock


async def read(**options: Any) -> bytes:
    options.setdefault("timeouts", Timeouts())
    data = b""
    async with post(URL, body={"model": "m"}, headers={}, **options) as body:
        while chunk := await body.read():
            data += chunk
    return data


async def refused(**options: Any) -> GaiError:
    with pytest.raises(GaiError) as caught:
        await read(**options)
    return caught.value


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, "protocol"),
        (307, "protocol"),
        (400, "bad_request"),
        (401, "authentication"),
        (403, "permission"),
        (404, "not_found"),
        (408, "timeout"),
        (429, "rate_limit"),
        (500, "server"),
        (503, "overloaded"),
        (529, "overloaded"),
    ],
)
async def test_a_status_becomes_its_error(mocked: mock_http, status: int, kind: str) -> None:
    mocked.post(URL, status=status, payload={"error": {"message": "told"}})
    error = await refused()
    assert (error.kind, error.status, error.phase) == (kind, status, "headers")
    if status >= 400:
        assert "told" in str(error)


async def test_headers_of_a_refusal_are_read(mocked: mock_http) -> None:
    mocked.post(URL, status=429, headers={"Retry-After": "3", "X-Request-Id": "req_9"})
    error = await refused()
    assert (error.retry_after, error.request_id) == (3.0, "req_9")


async def test_a_web_page_with_status_200_is_no_answer(mocked: mock_http) -> None:
    mocked.post(URL, status=200, body="<html>Log in</html>", content_type="text/html")
    error = await refused()
    assert error.kind == "protocol"
    assert "Log in" in str(error)


async def test_the_html_of_an_error_page_is_not_repeated(mocked: mock_http) -> None:
    mocked.post(URL, status=502, body="<html>Bad gateway</html>", content_type="text/html")
    assert "<html>" not in str(await refused())


async def test_a_key_goes_out_in_its_header_and_nowhere_else(mocked: mock_http) -> None:
    mocked.post(URL, status=401, payload={"error": {"message": "wrong key: abc-CANARY"}})
    error = await refused(key=("authorization", SecretStr("abc-CANARY")))
    sent = next(iter(mocked.requests.values()))[0].kwargs["headers"]
    assert sent["authorization"] == "Bearer abc-CANARY"
    assert sent["accept-encoding"] == "identity"
    assert "CANARY" not in str(error)


@pytest.mark.parametrize(
    ("raised", "kind", "phase"),
    [
        (aiohttp.ServerDisconnectedError(), "connection", "headers"),
        (aiohttp.ClientOSError(104, "reset"), "connection", "headers"),
        (OSError(24, "too many open files"), "connection", "headers"),
        (aiohttp.ClientConnectorCertificateError(Mock(), OSError()), "connection", "connect"),
        (aiohttp.ConnectionTimeoutError(), "timeout", "connect"),
        (TimeoutError(), "timeout", "headers"),
        (aiohttp.ClientResponseError(Mock(), ()), "protocol", "headers"),
        (aiohttp.InvalidURL("x"), "bad_request", "connect"),
    ],
)
async def test_a_failure_before_the_answer_becomes_its_error(
    mocked: mock_http, raised: Exception, kind: str, phase: str
) -> None:
    mocked.post(URL, exception=raised)
    error = await refused()
    assert (error.kind, error.phase) == (kind, phase)


@pytest.mark.parametrize(
    ("timeouts", "named"),
    [
        (Timeouts(first=5), "Timeouts.first"),
        (Timeouts(first=5, total=9), "Timeouts.first"),
        (Timeouts(first=9, total=5), "Timeouts.total"),
        (Timeouts(first=None, total=5), "Timeouts.total"),
    ],
)
async def test_the_limit_that_ran_out_is_named(
    mocked: mock_http, timeouts: Timeouts, named: str
) -> None:
    mocked.post(URL, exception=TimeoutError())
    error = await refused(timeouts=timeouts)
    assert named in str(error)
    assert "5 s" in str(error)


async def test_what_is_no_failure_of_the_network_passes(mocked: mock_http) -> None:
    mocked.post(URL, exception=ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await read()


async def test_a_body_that_is_no_json_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(GaiError, match="can not be written as JSON") as caught:
        async with post(URL, body={"x": float("nan")}, headers={}, timeouts=Timeouts()):
            pass
    assert caught.value.kind == "bad_request"


def test_a_limit_that_is_no_time_is_refused_at_once() -> None:
    with pytest.raises(ValidationError):
        Timeouts(idle=0)


async def test_nobody_there_is_a_connection_error() -> None:
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    with pytest.raises(GaiError) as caught:
        async with post(f"http://127.0.0.1:{port}/", body={}, headers={}, timeouts=Timeouts()):
            pass
    assert (caught.value.kind, caught.value.phase) == ("connection", "connect")
    assert caught.value.retryable


async def test_the_idle_limit_counts_from_the_first_byte_whatever_the_first_limit_is() -> None:
    async def stall(exchange: Exchange) -> None:
        await exchange.begin()
        await exchange.piece(text_record("a"))
        await asyncio.sleep(20)

    async with WireServer(stall) as server:
        limits = Timeouts(first=15, idle=0.2, progress=None)
        model = connect("openai_chat:m", base_url=server.base_url, timeouts=limits)
        async with asyncio.timeout(5):
            with pytest.raises(TimedOutError, match="idle"):
                await model.stream_text("Hi")
