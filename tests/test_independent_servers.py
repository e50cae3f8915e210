"""Servers that nobody here wrote, read through the public names.

`aimock` (npm) is skipped where it is not installed: `npm install --prefix .ci-node
@copilotkit/aimock`, or set AIMOCK to its program. The local model's server is llama.cpp's own.
"""

import asyncio
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from gai_rx import Finish, Provider, RateLimitError, Start, TextDelta, connect, tool
from gai_rx.local import Endpoint, default_model_path, serve
from gai_rx.operators import collect

ROOT = Path(__file__).parents[1]
AIMOCK = os.environ.get("AIMOCK") or str(ROOT / ".ci-node/node_modules/.bin/llmock")
DIALECTS = {
    "openai_chat": "/v1",
    "openai_responses": "/v1",
    "anthropic_messages": "",
    "gemini": "/v1beta",
    "ollama": "",
    "cohere": "/v2",
}
SAID = "Hello, Gänse 🦆 and friends."
FIXTURES = {
    "fixtures": [
        {
            "match": {"userMessage": "weather"},
            "response": {"toolCalls": [{"name": "weather", "arguments": '{"city": "Paris"}'}]},
        },
        {"match": {"userMessage": "hello"}, "response": {"content": SAID}},
        {
            "match": {"userMessage": "busy"},
            "response": {
                "error": {"message": "slow down", "type": "rate_limit_error"},
                "status": 429,
            },
        },
    ]
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def aimock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if shutil.which("node") is None or not Path(AIMOCK).exists():
        pytest.skip("aimock is not installed")
    fixtures = tmp_path_factory.mktemp("aimock") / "fixtures.json"
    fixtures.write_text(json.dumps(FIXTURES))
    port = free_port()
    process = subprocess.Popen(
        [AIMOCK, "-p", str(port), "-f", str(fixtures)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if "listening" in line:
                break
        else:
            pytest.fail("aimock did not start")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


@pytest.fixture
async def local_model() -> Endpoint:
    if find_spec("xllamacpp") is None:
        pytest.skip("the extra 'local' is not installed")
    if not default_model_path().is_file():
        pytest.skip("the weights are not here: gai-rx local pull")
    return await serve()


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"sun in {city}"


def at(url: str, dialect: str) -> Provider:
    return connect(f"{dialect}:m", base_url=url + DIALECTS[dialect], api_key="key")


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_aimocks_text_is_read(aimock: str, dialect: str) -> None:
    events = await at(aimock, dialect).stream_text("hello").to_list()
    assert isinstance(events[0], Start)
    assert isinstance(events[-1], Finish)
    assert events[-1].reason == "stop"
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == SAID


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_aimocks_tool_call_is_read(aimock: str, dialect: str) -> None:
    asked = at(aimock, dialect).stream_text("weather", tools=(weather,), run_tools=False)
    result = await asked.pipe(collect())
    [call] = result.tool_calls
    assert (call.name, dict(call.arguments), call.invalid) == ("weather", {"city": "Paris"}, None)
    assert result.finish_reason in ("tool_calls", "stop")


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_aimocks_refusal_is_classified(aimock: str, dialect: str) -> None:
    with pytest.raises(RateLimitError, match="slow down"):
        await at(aimock, dialect).text("busy")


@pytest.mark.local_model
@pytest.mark.parametrize("dialect", ["openai_chat", "openai_responses", "anthropic_messages"])
async def test_the_local_model_answers_in_three_dialects(
    dialect: str, local_model: Endpoint
) -> None:
    base = local_model.base_url.removesuffix("/v1") + DIALECTS[dialect]
    model = connect(
        f"{dialect}:m", base_url=base, api_key=local_model.key, max_tokens=24, temperature=0.0
    )
    async with asyncio.timeout(60):
        result = await model.text("Say hello.")
    assert result.complete
    assert result.text.strip()
    assert result.finish_reason in ("stop", "length")
    assert result.usage is not None
    assert result.usage.output_tokens


@pytest.mark.local_model
async def test_the_local_model_is_a_host_like_any_other(local_model: Endpoint) -> None:
    async with asyncio.timeout(60):
        events = await connect("local", max_tokens=8, seed=1).stream_text("Say hello.").to_list()
    assert [type(events[0]), type(events[-1])] == [Start, Finish]
