"""What the objects of a response say, read without any state."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any

from gai_rx.dialects.contract import whole
from gai_rx.dialects.parts import provider_block
from gai_rx.dialects.surrogates import whole_text
from gai_rx.errors import ProtocolError
from gai_rx.events import (
    Citation,
    Citations,
    File,
    Safety,
    StreamEvent,
    ToolCall,
    ToolResult,
    Usage,
)
from gai_rx.wire.json_text import decode_json

__all__ = [
    "HOSTED",
    "cite",
    "decoded",
    "error_of",
    "picture",
    "returned",
    "run_by_provider",
    "unsaid",
    "usage",
    "verdicts",
]

HOSTED: Mapping[str, str | None] = {
    "web_search_call": None,
    "file_search_call": "results",
    "code_interpreter_call": "outputs",
    "image_generation_call": None,
    "mcp_call": "output",
    "tool_search_call": None,
    "program": None,
}
"""Items of tools that the provider runs itself, and where they keep what came of it."""

_ANSWERED_APART = frozenset({"tool_search_call", "program", "shell_call", "custom_tool_call"})
_RETURNED = frozenset({"tool_search_call", "program", "shell_call"})
"""Later calls depend on these; what came of the others is in the text of the answer."""
_INPUTS = (
    "code",
    "container_id",
    "queries",
    "prompt",
    "revised_prompt",
    "size",
    "quality",
    "background",
    "output_format",
)


def usage(told: Any) -> Usage | None:
    """The tokens of a response."""
    if not isinstance(told, dict):
        return None
    read = told.get("input_tokens_details") or {}
    written = told.get("output_tokens_details") or {}
    return Usage(
        input_tokens=whole(told.get("input_tokens")),
        output_tokens=whole(told.get("output_tokens")),
        total_tokens=whole(told.get("total_tokens")),
        cached_input_tokens=whole(read.get("cached_tokens")),
        cache_write_tokens=whole(read.get("cache_write_tokens")),
        reasoning_tokens=whole(written.get("reasoning_tokens")),
    )


def cite(annotations: list[dict[str, Any]]) -> Citations:
    """Sources of the text; ids of files and containers are kept in `metadata`."""
    items = [
        Citation(
            uri=told.get("url") or told.get("file_id") or "",
            title=told.get("title") or told.get("filename") or "",
            start=whole(told.get("start_index", told.get("index"))),
            end=whole(told.get("end_index")),
        )
        for told in ({**a, **(a.get("url_citation") or {})} for a in annotations)
    ]
    return Citations(items=tuple(items), metadata={"annotations": annotations})


def verdicts(response: Mapping[str, Any]) -> Iterable[Safety]:
    """What OpenAI's moderation and Azure's filters found; what they passed is not told."""
    for where, result in (response.get("moderation") or {}).items():
        scores = result.get("category_scores") or {}
        for category, found in (result.get("categories") or {}).items():
            if found:
                score = scores.get(category)
                yield Safety(category=category, action="detected", score=score, note=where)
    for check in response.get("content_filters") or ():
        for category, verdict in (check.get("content_filter_results") or {}).items():
            if verdict.get("filtered") or verdict.get("detected"):
                action = "blocked" if verdict.get("filtered") else "detected"
                note = str(check.get("source_type") or "")
                yield Safety(category=category, action=action, note=note)


def error_of(record: Mapping[str, Any]) -> Any:
    """The error of an `error` event or a failed response, with the word for its kind."""
    told = record.get("error")
    if not isinstance(told, dict):
        flat = {k: v for k, v in record.items() if k not in ("type", "sequence_number")}
        return flat if told else _with_kind(flat)
    return _with_kind(told)


def _with_kind(error: dict[str, Any]) -> dict[str, Any]:
    """OpenAI tells failed responses by code only, and has codes of its own for them."""
    code = error.get("code")
    if not isinstance(code, str):
        return error
    if code.endswith(("_policy", "_policy_violation")):
        return {**error, "type": "content_filter"}
    if code == "vector_store_timeout":
        return {**error, "type": "timeout"}
    if code.startswith(("invalid_", "data_residency")) or "image" in code:
        return {**error, "type": error.get("type") or "invalid_request_error"}
    return error


def unsaid(said: str, told: str) -> str:
    """What of a whole text the deltas have not said; nothing, where they differ in space only.

    Raises:
        ProtocolError: If the deltas said something else: some were lost, or came twice.
    """
    said, told = whole_text(said), whole_text(told)
    if told.startswith(said):
        return told[len(said) :]
    if told and told.split() != said.split():
        raise ProtocolError(
            f"deltas were lost or repeated: they hold {len(said):,} characters, which are not the "
            f"{len(told):,} of the whole text that came after them",
            phase="decode",
        )
    return ""


def run_by_provider(item: dict[str, Any], id: str) -> Iterable[StreamEvent]:
    """The call of a tool that the provider ran, what it made, and what came of it."""
    kind: str = item["type"]
    name = item.get("name") or kind.removesuffix("_call")
    arguments, text = _input(item)
    yield ToolCall(
        id=id,
        name=name,
        arguments=arguments,
        arguments_text=text,
        provider_executed=True,
        metadata=returned(item) if kind in _RETURNED else {},
    )
    result = item.get(HOSTED.get(kind) or "")
    if kind == "image_generation_call" and item.get("result"):
        yield picture(item["result"], item.get("output_format"))
    if kind == "code_interpreter_call":
        yield from (picture(o["url"]) for o in result or () if o.get("type") == "image")
    if kind not in _ANSWERED_APART:
        error = _failure(item)
        yield ToolResult(id=id, name=name, result=result, error=error, provider_executed=True)


def returned(item: Mapping[str, Any], holds: str | None = None) -> dict[str, Any]:
    """Metadata for an item that goes back: without its id, by which it is looked for in a store.

    A program's item must keep its id, and has all that is needed to replay it.
    """
    dropped = {"created_by"} if item["type"].startswith("program") else {"created_by", "id"}
    kept = {name: v for name, v in item.items() if name not in dropped and v is not None}
    return provider_block("openai_responses", kept, holds)


def _input(item: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    given = item.get("arguments") or item.get("input") or item.get("action")
    if isinstance(given, str):
        try:
            value, _ = decode_json(given.encode())
        except ProtocolError:
            value = None
        return (value if isinstance(value, dict) else {}), given
    if not isinstance(given, dict):
        given = {name: item[name] for name in _INPUTS if item.get(name)}
    return given, item.get("code") or json.dumps(given, ensure_ascii=False)


def _failure(item: Mapping[str, Any]) -> str | None:
    error = item.get("error")
    if error:
        told = error.get("message") if isinstance(error, dict) else error
        return told if isinstance(told, str) else json.dumps(error, ensure_ascii=False)
    return "failed" if item.get("status") == "failed" else None


def picture(told: str, form: Any = None) -> File:
    """An image, by its bytes in base64 or by its address."""
    head, comma, data = told.partition(",")
    if comma and head.startswith("data:") and head.endswith(";base64"):
        return File(data=decoded(data), mime=head[5:-7])
    if told.startswith(("http://", "https://")):
        return File(url=told)
    return File(data=decoded(told), mime=f"image/{form or 'png'}")


def decoded(data: str) -> bytes:
    """Bytes from base64.

    Raises:
        ProtocolError: If the text is none.
    """
    try:
        return base64.b64decode(data)
    except ValueError as error:
        raise ProtocolError(f"expected base64, got {data[:40]!r}", phase="decode") from error
