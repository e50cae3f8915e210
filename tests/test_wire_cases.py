"""Crafted irregularities of real servers over a real socket; `wire_cases.json` says why."""

import asyncio
import base64
import json
import math
import socket
import struct
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from gai_rx import GaiError, StreamEvent, Timeouts, connect

CASES = json.loads((Path(__file__).parent / "wire_cases.json").read_text())["cases"]
DIALECT = {
    "openai.chat": ("openai_chat", "/v1"),
    "openai.responses": ("openai_responses", "/v1"),
    "anthropic.messages": ("anthropic_messages", ""),
    "gemini.generateContent": ("gemini", "/v1beta"),
    "ollama.chat": ("ollama", ""),
}
HOSTS = {"openrouter", "azure", "deepseek", "mistral", "groq", "vllm"}
OPTIONAL = {"gemini-json-array-mode"}  # a mode that is never asked for


class CaseServer:
    """Sends one case, byte for byte, with the case's read boundaries and its kind of end."""

    def __init__(self, case: dict[str, Any]) -> None:
        self._case = case
        self._pieces = [base64.b64decode(piece) for piece in case["body_chunks_base64"]]

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        await reader.readexactly(int(head.partition("content-length:")[2].split()[0]))
        writer.write(self._head())
        framing = self._case["framing"]
        for piece in self._pieces:
            chunked = framing.startswith("chunked") and piece
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            await writer.drain()
            await asyncio.sleep(0.005 if len(self._pieces) < 100 else 0)
        await self._end(reader, writer)

    def _head(self) -> bytes:
        case, framing = self._case, self._case["framing"]
        framed = ("content-length", "transfer-encoding", "connection")
        headers = {k: v for k, v in case["headers"].items() if k.lower() not in framed}
        if framing.startswith("chunked"):
            headers["transfer-encoding"] = "chunked"
        elif framing.startswith("content-length"):
            told = framing.partition(":")[2]
            headers["content-length"] = told or str(sum(map(len, self._pieces)))
        headers["connection"] = "close"
        lines = [f"HTTP/1.1 {case['http_status']} X", *(f"{k}: {v}" for k, v in headers.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    async def _end(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._case["then"] == "stall":
            await reader.read()  # silent until the client goes away
        elif self._case["then"] == "reset":
            await asyncio.sleep(0.05)
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        elif self._case["framing"] == "chunked":
            writer.write(b"0\r\n\r\n")
        elif self._case["framing"] == "chunked-bad-second-size":
            writer.write(b"zz\r\n")


def any_of(want: Any) -> list[Any]:
    return want if isinstance(want, list) else [want]


class Seen:
    """What arrived, by the names that the cases use."""

    def __init__(self, events: list[StreamEvent], error: GaiError | None) -> None:
        of: dict[str, list[Any]] = defaultdict(list)
        for event in events:
            of[event.type].append(event)  # type: ignore[attr-defined]  # every kind has one
        finish = of["finish"][-1] if of["finish"] else None
        self.events, self.error, self.finish = events, error, finish
        self.text = "".join(e.text for e in of["text_delta"] if e.choice == 0)
        self.choices: dict[int, str] = defaultdict(str)
        for delta in of["text_delta"]:
            self.choices[delta.choice] += delta.text
        self.reasoning = "".join(e.text for e in of["reasoning_delta"])
        self.refusal = "".join(e.text for e in of["refusal_delta"])
        self.calls = [c for c in of["tool_call"] if not c.provider_executed and c.invalid is None]
        self.usage = of["usage"][-1] if of["usage"] else None
        self.citations = sum(len(e.items) for e in of["citations"])
        self.opaque = of["reasoning_delta"]

    def last(self, name: str) -> str | None:
        return next((v for e in reversed(self.opaque) if (v := getattr(e, name))), None)


async def stream(case: dict[str, Any]) -> Seen:
    dialect, base = DIALECT[case["api"]]
    host = case["provider"] if case["provider"] in HOSTS else dialect
    idle = (case.get("client") or {}).get("idle_timeout_s")
    timeouts = Timeouts(first=idle, idle=idle) if idle else Timeouts(first=15, idle=15)
    events: list[StreamEvent] = []
    error = None
    async with CaseServer(case) as url:
        model = connect(f"{host}:m", base_url=url + base, api_key="key", timeouts=timeouts)
        try:
            async with asyncio.timeout(20):
                async for event in model.stream_text("hello"):
                    events.append(event)
        except GaiError as raised:
            error = raised
    return Seen(events, error)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
async def test_case(case: dict[str, Any]) -> None:
    if case["id"] in OPTIONAL:
        pytest.skip("a mode of the provider that is never asked for")
    seen = await stream(case)
    check_grammar(seen)
    check_content(case["expect"], seen)
    check_end(case["expect"], seen)


def check_grammar(seen: Seen) -> None:
    kinds = [e.type for e in seen.events]  # type: ignore[attr-defined]
    assert kinds.count("start") == (1 if kinds else 0)
    assert kinds[:1] in ([], ["start"])
    assert kinds.count("finish") == (0 if seen.error else 1)
    if seen.error is None:
        assert kinds[-1] == "finish"
    for event in seen.events:
        event.model_dump_json().encode()  # no half characters


def check_content(expect: dict[str, Any], seen: Seen) -> None:
    if "text" in expect:
        assert seen.text in any_of(expect["text"])
    for name in ("reasoning", "refusal"):
        if name in expect:
            assert (getattr(seen, name) or None) in [v or None for v in any_of(expect[name])]
    check_calls(expect, seen)
    if "reasoning_signature" in expect:
        assert seen.last("signature") == expect["reasoning_signature"]
    if "reasoning_encrypted" in expect:
        assert seen.last("encrypted") == expect["reasoning_encrypted"]
    if "citations_count" in expect:
        assert seen.citations == expect["citations_count"]
    for choice, want in (expect.get("choices") or {}).items():
        assert seen.choices[int(choice)] == want["text"]


def check_calls(expect: dict[str, Any], seen: Seen) -> None:
    if "tool_calls" in expect:
        wanted = [(c["name"], c["arguments"]) for c in expect["tool_calls"]]
        assert [(c.name, c.arguments) for c in seen.calls] == wanted
        for call, want in zip(seen.calls, expect["tool_calls"], strict=True):
            assert call.id == want["id"] or (want["id"] == "*" and call.id)
    if expect.get("tool_ids_distinct"):
        assert len({c.id for c in seen.calls}) == len(seen.calls)


def check_end(expect: dict[str, Any], seen: Seen) -> None:
    kind = seen.error.kind if seen.error else None
    reason = seen.finish.reason if seen.finish else None
    if "error_class" in expect:
        assert kind in any_of(expect["error_class"]), seen.error
    if "finish" in expect:
        assert reason in any_of(expect["finish"]) or kind in any_of(expect["finish"])
    if "finish_not" in expect:
        assert reason not in any_of(expect["finish_not"])
    if seen.error is not None:
        assert seen.error.partial is not None
        assert seen.error.partial.text == seen.text
        if "retryable" in expect:
            assert seen.error.retryable == expect["retryable"]
        if "retry_after_s" in expect:
            waits = any_of(expect["retry_after_s"])
            told = seen.error.retry_after
            assert told in waits or any(told and w and math.isclose(told, w) for w in waits)
    names = {"input": "input_tokens", "output": "output_tokens"}
    names |= {"cached": "cached_input_tokens", "reasoning": "reasoning_tokens"}
    for key, want in (expect.get("usage") or {}).items():
        assert getattr(seen.usage, names[key], None) == want
