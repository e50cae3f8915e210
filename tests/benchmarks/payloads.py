"""The same text deltas in five wire dialects, in the form the providers send them."""

import functools
import json
import random
from collections.abc import Iterator
from typing import Any

COUNT = 20_000
_TEXT = (
    "the of and to in is that it for as with on be at by this have from or one had not but what"
    " all were when we there can an your which their said if do will each about how up"
)
_WORDS = _TEXT.split()
_ODD = ["\n", "\n\n", ' "', '",', " é", " →", "你", "好", " 🚀", "\t", "\\", ".", ",", ":", " {"]


def deltas(count: int = COUNT) -> list[str]:
    """Words, with a share of what needs escaping or more than one byte."""
    rng = random.Random(7)
    return [
        rng.choice(_ODD) if rng.random() < 0.12 else " " + rng.choice(_WORDS) for _ in range(count)
    ]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _chat(texts: list[str]) -> Iterator[str]:
    base = {
        "id": "chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG",
        "object": "chat.completion.chunk",
        "created": 1741569952,
        "model": "gpt-4o-mini-2024-07-18",
        "service_tier": "default",
        "system_fingerprint": "fp_44709d6fcb",
    }

    def record(delta: dict[str, Any], reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return f"data: {_json({**base, 'choices': [choice], 'usage': None})}\n\n"

    yield record({"role": "assistant", "content": "", "refusal": None})
    for text in texts:
        yield record({"content": text})
    yield record({}, "stop")
    usage = {"prompt_tokens": 19, "completion_tokens": len(texts), "total_tokens": len(texts) + 19}
    yield f"data: {_json({**base, 'choices': [], 'usage': usage})}\n\n"
    yield "data: [DONE]\n\n"


def _responses(texts: list[str]) -> Iterator[str]:
    number = iter(range(10**9))

    def record(kind: str, **rest: Any) -> str:
        body = {"type": kind, "sequence_number": next(number), **rest}
        return f"event: {kind}\ndata: {_json(body)}\n\n"

    item = {"id": "msg_67c9fdcf37fc8190ba82116e33fb28c5", "type": "message", "role": "assistant"}
    place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    response = {"id": "resp_67c9fdcecf488190bdd9a0409de3a1ec", "model": "gpt-4.1-2025-04-14"}
    text = "".join(texts)
    part = {"type": "output_text", "text": "", "annotations": []}
    yield record("response.created", response={**response, "status": "in_progress", "output": []})
    yield record("response.output_item.added", output_index=0, item={**item, "content": []})
    yield record("response.content_part.added", **place, part=part)
    for delta in texts:
        yield record("response.output_text.delta", **place, delta=delta, logprobs=[])
    done = {**part, "text": text}
    whole: dict[str, Any] = {**item, "status": "completed", "content": [done]}
    yield record("response.output_text.done", **place, text=text, logprobs=[])
    yield record("response.content_part.done", **place, part=done)
    yield record("response.output_item.done", output_index=0, item=whole)
    usage = {"input_tokens": 37, "output_tokens": len(texts), "total_tokens": len(texts) + 37}
    end: dict[str, Any] = {**response, "status": "completed", "output": [whole], "usage": usage}
    end |= {"object": "response", "created_at": 1, "parallel_tool_calls": True, "tools": []}
    yield record("response.completed", response={**end, "tool_choice": "auto"})


def _anthropic(texts: list[str]) -> Iterator[str]:
    def record(kind: str, **rest: Any) -> str:
        return f"event: {kind}\ndata: {_json({'type': kind, **rest})}\n\n"

    message: dict[str, Any] = {
        "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 25, "output_tokens": 1},
    }
    yield record("message_start", message=message)
    yield record("content_block_start", index=0, content_block={"type": "text", "text": ""})
    yield record("ping")
    for text in texts:
        yield record("content_block_delta", index=0, delta={"type": "text_delta", "text": text})
    yield record("content_block_stop", index=0)
    delta = {"stop_reason": "end_turn", "stop_sequence": None}
    yield record("message_delta", delta=delta, usage={"output_tokens": len(texts)})
    yield record("message_stop")


def _gemini(texts: list[str]) -> Iterator[str]:
    for i, text in enumerate(texts):
        candidate: dict[str, Any] = {"content": {"parts": [{"text": text}], "role": "model"}}
        candidate["index"] = 0
        if i == len(texts) - 1:
            candidate["finishReason"] = "STOP"
        usage: dict[str, Any] = {
            "promptTokenCount": 4,
            "candidatesTokenCount": i + 1,
            "totalTokenCount": i + 5,
        }
        body: dict[str, Any] = {"candidates": [candidate], "usageMetadata": usage}
        body |= {"modelVersion": "gemini-2.5-flash", "responseId": "mAitaLmkHPPlz7IPvtfUqQ4"}
        yield f"data: {_json(body)}\r\n\r\n"


def _ollama(texts: list[str]) -> Iterator[str]:
    base = {"model": "llama3.2", "created_at": "2025-08-04T08:52:19.385406455Z"}

    def record(text: str, **rest: Any) -> str:
        return _json({**base, "message": {"role": "assistant", "content": text}, **rest}) + "\n"

    for text in texts:
        yield record(text, done=False)
    counts = {"prompt_eval_count": 26, "eval_count": len(texts)}
    yield record("", done=True, done_reason="stop", **counts)


DIALECTS = {
    "openai_chat": _chat,
    "openai_responses": _responses,
    "anthropic_messages": _anthropic,
    "gemini": _gemini,
    "ollama": _ollama,
}


@functools.cache
def body(dialect: str, count: int = COUNT) -> bytes:
    """A whole answer in chunked encoding, one HTTP chunk a record, as providers send them."""
    records = (record.encode() for record in DIALECTS[dialect](deltas(count)))
    return b"".join(b"%x\r\n%b\r\n" % (len(r), r) for r in records) + b"0\r\n\r\n"
