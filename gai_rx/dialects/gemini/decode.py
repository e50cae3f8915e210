"""Chunks of generated content → events."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

from gai_rx.dialects.contract import Decoder, cut_reason, whole
from gai_rx.dialects.gemini.arguments import StreamedArguments, as_json
from gai_rx.dialects.gemini.framing import GeminiFramer
from gai_rx.dialects.parts import provider_block
from gai_rx.dialects.surrogates import whole_text
from gai_rx.dialects.tool_calls import OpenCall
from gai_rx.errors import GaiError, ProtocolError
from gai_rx.events import (
    AudioDelta,
    Citation,
    Citations,
    File,
    FinishReason,
    Safety,
    StreamEvent,
    ToolCall,
    ToolResult,
    Usage,
)
from gai_rx.unvalidated import reasoning_delta, text_delta
from gai_rx.wire.json_text import decode_json

__all__ = ["GeminiDecoder"]

_DIALECT = "gemini"
_REASONS: dict[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "ESCALATION": "content_filter",
    "PUP_LIMITED_DISABLED": "content_filter",
    "LANGUAGE": "error",
    "MALFORMED_FUNCTION_CALL": "error",
    "MALFORMED_RESPONSE": "error",
    "MISSING_THOUGHT_SIGNATURE": "error",
    "NO_IMAGE": "error",
    "TOO_MANY_TOOL_CALLS": "error",
    "UNEXPECTED_TOOL_CALL": "error",
    "FUNCTION_CALL": "tool_calls",
}
# Protobuf's words for "not set", which some servers write out.
_UNSET = {"FINISH_REASON_UNSPECIFIED", "BLOCKED_REASON_UNSPECIFIED", "BLOCK_REASON_UNSPECIFIED"}
# What nearly every record and candidate has, and nothing else: the quick way past the rest.
_PLAIN_RECORD = frozenset(
    ["candidates", "usageMetadata", "modelVersion", "responseId", "createTime", "modelStatus"]
)
_KNOWN_RECORD = _PLAIN_RECORD | {"error", "promptFeedback"}
_PLAIN_CANDIDATE = frozenset({"content", "index"})
_NOTHING: dict[str, Any] = {}


class GeminiDecoder(Decoder):
    """The state of one answer of `streamGenerateContent`."""

    text_changes_nothing = True
    counts_key = b'"usageMetadata"'

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sse = GeminiFramer()
        self._framer = self._sse.feed_pairs
        self._broken = False
        self._reason: str | None = None
        self._reason_text = ""
        self._told: dict[str, Any] = {}  # usage so far: it comes with every record, read at the end
        self._block = 0
        self._calls: list[OpenCall] = []
        self._open: StreamedArguments | None = None
        self._runs = 0  # how many tools Google has run itself
        self._sources: list[Citation] = []
        self._cited: set[Citation] = set()
        self._blocked: set[str] = set()

    def on_record(self, record: dict[str, Any], name: bytes) -> None:  # noqa: C901 - hot, so whole
        """Take one record; the first branch is the hot path, a piece of text."""
        if not self._begun:
            self._on_first(record)
        if self._likeness is not None and self._likeness.last is not None:
            self._count_up()
        candidates = record.get("candidates")
        for candidate in candidates or ():
            content = candidate.get("content")
            if content:
                choice = _number(index) if (index := candidate.get("index")) else 0
                for part in content.get("parts") or ():
                    if len(part) == 1 and (text := part.get("text")).__class__ is str:
                        if text:
                            self.out.append(text_delta(text, choice, self._block))
                    else:
                        self._on_part(part, choice)
            if not _PLAIN_CANDIDATE.issuperset(candidate):
                self._on_candidate(candidate)
        usage = record.get("usageMetadata")
        if usage:
            self._take_counts(usage)
        if not candidates or not _PLAIN_RECORD.issuperset(record):
            self._on_extras(record, name)

    def _take_counts(self, usage: dict[str, Any]) -> None:
        # On Vertex AI most records tell the kind of traffic only.
        self._told = usage if "promptTokenCount" in usage else {**self._told, **usage}

    def _count_up(self) -> None:
        """Read the counts of the last record whose text was cut out.

        Raises:
            ProtocolError: If it was like JSON, but none.
        """
        likeness = self._likeness
        if likeness is not None and likeness.last is not None:
            data, likeness.last = likeness.last, None
            record, _ = decode_json(data)
            if record.get("usageMetadata"):
                self._take_counts(record["usageMetadata"])

    def _on_first(self, record: dict[str, Any]) -> None:
        if record.get("error"):
            self.raise_error(record)
        self.begin(record.get("modelVersion"), record.get("responseId"))

    def _on_extras(self, record: dict[str, Any], name: bytes) -> None:
        """What few records have, and records without candidates."""
        if record.get("error") or name == b"error":
            self.raise_error(record)
        feedback = record.get("promptFeedback")
        if feedback:
            self._on_feedback(feedback)
        elif not record.get("candidates") and not _KNOWN_RECORD.issuperset(record):
            self.unknown(self._whole(record))

    def _on_feedback(self, feedback: dict[str, Any]) -> None:
        """The verdict on the prompt; a blocked one has no candidates."""
        reason = feedback.get("blockReason")
        if not reason or reason in _UNSET:
            return
        said = [f"the prompt was blocked: {reason}", feedback.get("blockReasonMessage")]
        for rating in feedback.get("safetyRatings") or ():
            if rating.get("blocked") or rating.get("probability") in ("MEDIUM", "HIGH"):
                said.append(f"{rating.get('category')} {rating.get('probability') or ''}".strip())
        message = "; ".join(s for s in said if s)
        self.raise_error({"error": {"code": "content_filter", "message": message}})

    # The parts of a candidate.

    def _on_part(self, part: dict[str, Any], choice: int) -> None:
        """Any part but a plain text; of further candidates only the text is told."""
        for kind, take in _PARTS.items():
            told = part.get(kind)
            if told is not None:
                if choice == 0:
                    take(self, self._whole(told), part)
                return
        self._on_text(part, choice)

    def _on_text(self, part: dict[str, Any], choice: int) -> None:
        """Thinking, or text with a signature: signed parts must go back alone, even empty ones."""
        text, signature = part.get("text") or "", _signature(part)
        if not isinstance(text, str):
            raise TypeError(f"expected text, got {type(text).__name__}")
        if signature is not None:
            self._block += 1
        if text and not part.get("thought"):
            self.out.append(text_delta(text, choice, self._block, signature))
        elif text or signature is not None:
            self.out.append(reasoning_delta(text, choice, self._block, signature))
        elif part.keys() - {"text", "thought", "thoughtSignature"} and "text" not in part:
            self.unknown(self._whole(part))
        if signature is not None:
            self._block += 1

    def _on_call(self, told: dict[str, Any], part: dict[str, Any]) -> None:
        """A call, whole as a rule; Vertex AI can stream it in parts, the first of them named."""
        id, name = told.get("id") or None, told.get("name") or None
        streamed = self._open
        if streamed is None or (name is not None and (id is None or id != streamed.call.id)):
            if not told:
                return  # the end of a call that is closed already
            self._end_call()
            streamed = self._open = StreamedArguments(self.open_call(len(self._calls), id, name))
            self._calls.append(streamed.call)
        call = streamed.call
        call.identify(id, name)
        call.signature = _signature(part) or call.signature
        self._add(call, streamed.take(told.get("args")))
        for piece in told.get("partialArgs") or ():
            self._add(call, streamed.add(piece))
        if not told.get("willContinue"):
            self._end_call()

    def _add(self, call: OpenCall, fragment: Any) -> None:
        delta = call.add(fragment)
        if delta is not None:
            self.out.append(delta)

    def _end_call(self) -> None:
        if self._open is not None:
            self._add(self._open.call, self._open.end())
            self._open = None

    def _on_code(self, told: dict[str, Any], part: dict[str, Any]) -> None:
        arguments = {key: value for key, value in told.items() if key != "id"}
        kept = {**part, "executableCode": told}
        self._on_run(told.get("id"), "code_execution", arguments, kept)

    def _on_code_result(self, told: dict[str, Any], part: dict[str, Any]) -> None:
        outcome = told.get("outcome") or "OUTCOME_OK"
        error = None if outcome == "OUTCOME_OK" else told.get("output") or outcome
        kept = provider_block(_DIALECT, part, "codeExecutionResult")
        self._on_run_result(told.get("id"), "code_execution", told, error, kept)

    def _on_tool(self, told: dict[str, Any], part: dict[str, Any]) -> None:
        arguments, kept = told.get("args") or {}, {**part, "toolCall": told}
        self._on_run(told.get("id"), told.get("toolType"), arguments, kept)

    def _on_tool_result(self, told: dict[str, Any], part: dict[str, Any]) -> None:
        kept = provider_block(_DIALECT, {**part, "toolResponse": told})
        self._on_run_result(told.get("id"), told.get("toolType"), told.get("response"), None, kept)

    def _on_run(self, id: Any, name: Any, arguments: dict[str, Any], part: dict[str, Any]) -> None:
        """Google runs a tool itself."""
        self._runs += 1
        self.out.append(
            ToolCall(
                id=id or self._run_id(),
                name=name or "",
                arguments=arguments,
                arguments_text=as_json(arguments),
                provider_executed=True,
                signature=_signature(part),
                metadata=provider_block(_DIALECT, part),
            )
        )

    def _on_run_result(
        self, id: Any, name: Any, result: Any, error: str | None, kept: dict[str, Any]
    ) -> None:
        self.out.append(
            ToolResult(
                id=id or self._run_id(),
                name=name or "",
                result=result,
                error=error,
                provider_executed=True,
                metadata=kept,
            )
        )

    def _run_id(self) -> str:
        return f"{self._call_prefix}run_{max(self._runs - 1, 0)}"

    def _on_data(self, told: dict[str, Any], part: dict[str, Any]) -> None:
        data, mime = _decoded(told.get("data") or ""), told.get("mimeType") or ""
        if mime.startswith("audio/"):
            self.out.append(AudioDelta(data=data, mime=mime, metadata=_marks(part)))
        else:
            self.out.append(File(data=data, mime=mime, metadata=_marks(part)))

    def _on_file(self, told: dict[str, Any], part: dict[str, Any]) -> None:
        mime = told.get("mimeType") or ""
        self.out.append(File(url=told["fileUri"], mime=mime, metadata=_marks(part)))

    def _whole(self, told: dict[str, Any]) -> dict[str, Any]:
        """What no later delta goes on with, free of half characters."""
        if self._mender is None:
            return told
        whole_told: dict[str, Any] = json.loads(whole_text(as_json(told)))
        return whole_told

    # What stands beside the parts.

    def _on_candidate(self, candidate: dict[str, Any]) -> None:
        if candidate.get("index"):
            return  # how a further candidate ended does not end the answer
        candidate = self._whole(candidate)
        reason = candidate.get("finishReason")
        if reason and reason not in _UNSET:
            self._reason = str(reason)
        self._reason_text = candidate.get("finishMessage") or self._reason_text
        for rating in candidate.get("safetyRatings") or ():
            if rating.get("blocked"):
                self._on_blocked(rating)
        cited = candidate.get("citationMetadata")
        if cited:
            sources = cited.get("citations") or cited.get("citationSources") or ()
            self._cite([_citation(source, source) for source in sources])
        if candidate.get("groundingMetadata"):
            self._on_grounding(candidate["groundingMetadata"])
        fetched = (candidate.get("urlContextMetadata") or _NOTHING).get("urlMetadata")
        self._cite(
            [
                Citation(uri=url.get("retrievedUrl") or "")
                for url in fetched or ()
                if str(url.get("urlRetrievalStatus")).endswith("_SUCCESS")
            ]
        )

    def _on_blocked(self, rating: dict[str, Any]) -> None:
        category = str(rating.get("category") or "")
        if category not in self._blocked:
            self._blocked.add(category)
            note, score = rating.get("probability") or "", rating.get("probabilityScore")
            self.out.append(Safety(category=category, action="blocked", score=score, note=note))

    def _on_grounding(self, told: dict[str, Any]) -> None:
        """Sources of a search; `supports` say which passage of the answer rests on which."""
        chunks = told.get("groundingChunks") or ()
        if chunks:
            self._sources = [_source(chunk) for chunk in chunks]
        supported: set[int] = set()
        items = []
        for support in told.get("groundingSupports") or ():
            for number in support.get("groundingChunkIndices") or ():
                if 0 <= number < len(self._sources):
                    supported.add(number)
                    source = self._sources[number].model_dump()
                    items.append(_citation(source, support.get("segment") or _NOTHING))
        unused = [self._sources[n] for n in range(len(chunks)) if n not in supported]
        if unused or items:
            self._cite(unused + items, {"groundingMetadata": told})
        else:
            self.unknown({"groundingMetadata": told})

    def _cite(self, items: Iterable[Citation], metadata: dict[str, Any] | None = None) -> None:
        """Tell each source once: the API repeats them as the answer goes on."""
        new = tuple(item for item in dict.fromkeys(items) if item not in self._cited)
        if new:
            self._cited.update(new)
            self.out.append(Citations(items=new, metadata=metadata or {}))

    # The end.

    def unwrap(self, record: Any) -> dict[str, Any]:
        """A list of records: an error that Google wraps so, or the body without `alt=sse`."""
        records = list(_flat(record))
        if not records:
            return super().unwrap(record)
        for one in records[:-1]:
            self.on_record(one, b"")
        return records[-1]

    def close(self, broken: GaiError | None = None) -> list[StreamEvent]:
        """The body has ended: only now is the answer known to be complete.

        Args:
            broken: Why it ended, unless it ended properly.
        """
        self._broken = broken is not None
        return super().close(broken)

    def on_sentinel(self) -> None:
        """`[DONE]`, which some gateways add."""
        self.on_end()

    def on_end(self) -> None:
        """A finish reason proves that the answer is complete."""
        optional = self.quirks.finish_optional and self._begun and not self._broken
        if self._reason is not None or optional:
            self._complete()

    def _complete(self) -> None:
        self._end_call()
        self._read_usage()
        reason = _REASONS.get((self._reason or "").upper(), "other")
        if self.close_calls(self._calls, cut_reason(reason)) and reason == "stop":
            reason = "tool_calls"
        self.finish(reason, self._reason)
        if self._reason_text:
            told = {"metadata": {"finishMessage": self._reason_text}}
            self.out[-1] = self.out[-1].model_copy(update=told)

    def _fail(self, error: GaiError) -> None:
        with suppress(ProtocolError):  # the error that is told already
            self._read_usage()
        super()._fail(error)

    def _read_usage(self) -> None:
        self._count_up()
        told = self._told
        if any(key.endswith("TokenCount") for key in told):
            used = whole(told.get("toolUsePromptTokenCount"))
            self.usage = Usage(
                input_tokens=whole(told.get("promptTokenCount")),
                output_tokens=whole(told.get("candidatesTokenCount")),
                total_tokens=whole(told.get("totalTokenCount")),
                cached_input_tokens=whole(told.get("cachedContentTokenCount")),
                reasoning_tokens=whole(told.get("thoughtsTokenCount")),
                metadata={"toolUsePromptTokenCount": used} if used else {},
            )


_PARTS: dict[str, Callable[[GeminiDecoder, dict[str, Any], dict[str, Any]], None]] = {
    "functionCall": GeminiDecoder._on_call,
    "executableCode": GeminiDecoder._on_code,
    "codeExecutionResult": GeminiDecoder._on_code_result,
    "toolCall": GeminiDecoder._on_tool,
    "toolResponse": GeminiDecoder._on_tool_result,
    "inlineData": GeminiDecoder._on_data,
    "fileData": GeminiDecoder._on_file,
}


def _flat(record: Any) -> Iterator[dict[str, Any]]:
    if isinstance(record, dict):
        yield record
    for one in record if isinstance(record, list) else ():
        yield from _flat(one)


def _number(index: Any) -> int:
    if isinstance(index, int):
        return index
    raise TypeError(f"expected the number of a candidate, got {type(index).__name__}")


def _signature(part: dict[str, Any]) -> str | None:
    told = part.get("thoughtSignature")
    return told if isinstance(told, str) and told else None


def _marks(part: dict[str, Any]) -> dict[str, Any]:
    """What a part without text says of its place in the model's thinking."""
    return {key: part[key] for key in ("thought", "thoughtSignature") if part.get(key)}


def _decoded(data: str) -> bytes:
    try:
        return base64.b64decode(data.replace("-", "+").replace("_", "/") + "=" * (-len(data) % 4))
    except ValueError as error:
        raise ProtocolError(f"data of a part is no base64: {error}", phase="decode") from error


def _source(chunk: dict[str, Any]) -> Citation:
    told: dict[str, Any] = next((v for v in chunk.values() if isinstance(v, dict)), _NOTHING)
    places = ("uri", "sourceUri", "imageUri", "documentName", "fileSearchStore")
    return Citation(
        uri=next((told[place] for place in places if told.get(place)), ""),
        title=told.get("title") or told.get("domain") or "",
        text=told.get("text") or "",
    )


def _citation(source: dict[str, Any], place: dict[str, Any]) -> Citation:
    """A source and the passage that rests on it, in bytes; protobuf leaves out a start of 0."""
    end = whole(place.get("endIndex"))
    start = whole(place.get("startIndex"))
    return Citation(
        uri=source.get("uri") or "",
        title=source.get("title") or "",
        text=place.get("text") or source.get("text") or "",
        start=0 if start is None and end is not None else start,
        end=end,
    )
