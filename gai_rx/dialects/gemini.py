"""Google's Gemini: `streamGenerateContent` of the Gemini API and of Vertex AI.

Source: https://ai.google.dev/api/generate-content and the types of the official SDK. The API has no
closing record: an answer is complete when it has named a finish reason and its body has ended.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias
from urllib.parse import quote

from gai_rx.dialects.contract import Call, Decoder, Dialect, Quirks, cut_reason, merge, whole
from gai_rx.dialects.parts import unsupported
from gai_rx.dialects.surrogates import whole_text
from gai_rx.dialects.tool_calls import OpenCall
from gai_rx.errors import BadRequestError, GaiError, ProtocolError
from gai_rx.events import (
    AudioDelta,
    Citation,
    Citations,
    File,
    FinishReason,
    Raw,
    Safety,
    StreamEvent,
    ToolCall,
    ToolResult,
    Usage,
    reasoning_delta,
    text_delta,
)
from gai_rx.request import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    Request,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    VideoPart,
)
from gai_rx.wire.sse import SSEDecoder, SSERecord

__all__ = ["GEMINI", "GeminiDecoder", "encode"]

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
_FIELD_LINE = re.compile(rb"(?:data|event|id|retry)?(?::|\Z)|\Z")


class _Framer(SSEDecoder):
    """Server-sent events, and JSON that stands between or instead of them.

    Google reports some errors as bare JSON in the middle of a stream, and without `alt=sse` (which
    proxies lose) the body is one JSON array; by the standard both are fields without a meaning.
    """

    def _event(self, block: bytes) -> SSERecord | None:
        record = super()._event(block)
        lines = [line for line in block.split(b"\n") if not _FIELD_LINE.match(line)]
        bare = b"\n".join(lines).strip()
        if not bare.startswith((b"{", b"[")):
            return record
        texts = [record.data] if record is not None else []
        texts += re.split(rb"\n(?=\{)", bare) if bare.startswith(b"{") else [bare]
        data = texts[0] if len(texts) == 1 else b"[" + b",".join(texts) + b"]"
        return SSERecord("message", data)


class GeminiDecoder(Decoder):
    """The state of one answer of `streamGenerateContent`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sse = _Framer()
        self._framer = self._sse.feed_pairs
        self._broken = False
        self._reason: str | None = None
        self._reason_text = ""
        self._told: dict[str, Any] = {}  # usage so far: it comes with every record, read at the end
        self._block = 0
        self._calls: list[OpenCall] = []
        self._open: _StreamedArguments | None = None
        self._runs = 0  # how many tools Google has run itself
        self._sources: list[Citation] = []
        self._cited: set[Citation] = set()
        self._blocked: set[str] = set()

    def on_record(self, record: dict[str, Any], name: bytes) -> None:
        """Take one record; the first branch is the hot path, a piece of text."""
        if not self._begun:
            self._on_first(record)
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
            # On Vertex AI most records tell the kind of traffic only.
            self._told = usage if "promptTokenCount" in usage else {**self._told, **usage}
        if not candidates or not _PLAIN_RECORD.issuperset(record):
            self._on_extras(record, name)

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
            self.out.append(Raw(record=self._whole(record)))

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
            self.out.append(Raw(record=self._whole(part)))
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
            streamed = self._open = _StreamedArguments(self.open_call(len(self._calls), id, name))
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
        self._on_run(told.get("id"), "code_execution", arguments, part)

    def _on_code_result(self, told: dict[str, Any], part: dict[str, Any]) -> None:
        outcome = told.get("outcome") or "OUTCOME_OK"
        error = None if outcome == "OUTCOME_OK" else told.get("output") or outcome
        self._on_run_result(told.get("id"), "code_execution", told, error)

    def _on_tool(self, told: dict[str, Any], part: dict[str, Any]) -> None:
        self._on_run(told.get("id"), told.get("toolType"), told.get("args") or {}, part)

    def _on_tool_result(self, told: dict[str, Any], part: dict[str, Any]) -> None:
        self._on_run_result(told.get("id"), told.get("toolType"), told.get("response"), None)

    def _on_run(self, id: Any, name: Any, arguments: dict[str, Any], part: dict[str, Any]) -> None:
        """Google runs a tool itself."""
        self._runs += 1
        self.out.append(
            ToolCall(
                id=id or self._run_id(),
                name=name or "",
                arguments=arguments,
                arguments_text=_json(arguments),
                provider_executed=True,
                signature=_signature(part),
            )
        )

    def _on_run_result(self, id: Any, name: Any, result: Any, error: str | None) -> None:
        self.out.append(
            ToolResult(
                id=id or self._run_id(),
                name=name or "",
                result=result,
                error=error,
                provider_executed=True,
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
        whole_told: dict[str, Any] = json.loads(whole_text(_json(told)))
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
            self.out.append(Raw(record={"groundingMetadata": told}))

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
        self._read_usage()
        super()._fail(error)

    def _read_usage(self) -> None:
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


# Arguments that are streamed.

_STEP = re.compile(
    r"\.(?P<name>[^.\[\]]+)|\[(?P<index>[0-9]{1,9})\]"
    r"""|\[(?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\]"""
)
_DEEPEST = 64  # steps of a path; more than any schema has
_Path: TypeAlias = tuple[str | int, ...]


class _StreamedArguments:
    """Arguments that come as values at paths, written as the JSON text that they amount to.

    The model writes the text in order, so each value extends it; should values come in another
    order, the text is made from all of them at the end.
    """

    def __init__(self, call: OpenCall) -> None:
        self.call = call
        self._path: _Path = ()  # of the last value
        self._in_string = False
        self._in_order = True
        self._members: set[_Path] = set()
        self._values: dict[_Path, list[Any]] = {}  # pieces by path

    def take(self, arguments: Any) -> Any:
        """Take the arguments at once; returns what is new of them."""
        if self._path and arguments:
            self.call.replace(_json(arguments))
            self._path = ()
        elif not self._path:
            return arguments
        return None

    def add(self, piece: dict[str, Any]) -> str:
        """Take a value, or the next piece of a string; returns the new characters."""
        path = _steps(piece["jsonPath"])
        kind = next((k for k in _VALUES if piece.get(k) is not None), None)
        if kind is None and "nullValue" not in piece:
            if _PLACE.issuperset(piece):
                return ""
            raise ProtocolError(f"no value for an argument: {sorted(piece)}", phase="decode")
        value = piece[kind] if kind else None
        goes_on = self._in_string and path == self._path
        written = "" if goes_on else self._go_to(path)
        if goes_on:
            self._values[path].append(value)
        else:
            self._values[path] = [value]
        self._path = path
        self._in_string = isinstance(value, str) and bool(piece.get("willContinue"))
        told = _json(value)[goes_on:]
        return written + (told[:-1] if self._in_string else told) if self._in_order else ""

    def end(self) -> str:
        """All values are there; returns what closes the text. A string cut short stays open."""
        path, self._path = self._path, ()
        if not path:
            return ""
        if self._in_order:
            return "" if self._in_string else _closing(path)
        arguments = None if self._in_string else _nested(self._values)
        # What can not be put together must not look like a call without arguments.
        self.call.replace("{" if arguments is None else _json(arguments))
        return ""

    def _go_to(self, path: _Path) -> str:
        """What leads from the last value to the next: closed containers, opened ones, its key."""
        old, same = self._path, 0
        while same < min(len(old), len(path)) and old[same] == path[same]:
            same += 1
        if (old and same in (len(old), len(path))) or path[: same + 1] in self._members:
            self._in_order = False
            return ""
        written = '"' if self._in_string else ""
        written += _closing(old[same + 1 :]) + "," if old else "{"
        before = old[same] if old else None
        for depth, step in enumerate(path[same:], same + 1):
            self._in_order = self._in_order and _is_next(step, before)
            self._members.add(path[:depth])
            written += f"{_json(step)}:" if isinstance(step, str) else ""
            if depth < len(path):
                written += "{" if isinstance(path[depth], str) else "["
            before = None
        return written


_VALUES = ("stringValue", "numberValue", "boolValue")
_PLACE = frozenset({"jsonPath", "willContinue"})


def _steps(path: str) -> _Path:
    """The steps of a JSONPath that names one value, such as `$.items[0].name`."""
    steps: list[str | int] = []
    at = 1
    while len(steps) < _DEEPEST and (found := _STEP.match(path, at)):
        at = found.end()
        if found["index"] is not None:
            steps.append(int(found["index"]))
        elif found["name"] is not None:
            steps.append(found["name"])
        else:
            steps.append(re.sub(r"\\(.)", r"\1", found["quoted"][1:-1]))
    if at < len(path) or not path.startswith("$") or not steps or isinstance(steps[0], int):
        raise ProtocolError(f"no path to an argument: {path[:200]!r}", phase="decode")
    return tuple(steps)


def _is_next(step: str | int, before: str | int | None) -> bool:
    """Whether a member or element may follow `before` in its container, or begin a new one."""
    if before is None:
        return isinstance(step, str) or step == 0
    if isinstance(step, int) and isinstance(before, int):
        return step == before + 1
    return isinstance(step, str) and isinstance(before, str)


def _closing(path: _Path) -> str:
    return "".join("}" if isinstance(step, str) else "]" for step in reversed(path))


def _nested(values: dict[_Path, list[Any]]) -> Any:
    """The object that has these values at these paths; None where they contradict each other."""
    root: dict[str | int, Any] = {}
    for path, pieces in values.items():
        inner = root
        for step in path[:-1]:
            inner = inner.setdefault(step, {})
            if not isinstance(inner, dict):
                return None
        if path[-1] in inner:
            return None
        inner[path[-1]] = pieces[0] if len(pieces) == 1 else "".join(map(str, pieces))
    return _with_lists(root)


def _with_lists(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if all(isinstance(key, int) for key in node):
        return [_with_lists(node[index]) for index in sorted(node)]
    return {key: _with_lists(value) for key, value in node.items()}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


# Request → HTTP parts.

_OWN_PATHS = ("models/", "tunedModels/", "publishers/", "projects/", "endpoints/")
_FILES = "https://generativelanguage.googleapis.com/v1beta/"
_CATEGORIES = {
    "harassment": "HARM_CATEGORY_HARASSMENT",
    "hate": "HARM_CATEGORY_HATE_SPEECH",
    "sexual": "HARM_CATEGORY_SEXUALLY_EXPLICIT",
    "dangerous": "HARM_CATEGORY_DANGEROUS_CONTENT",
}
_THRESHOLDS = {
    "none": "BLOCK_NONE",
    "few": "BLOCK_ONLY_HIGH",
    "some": "BLOCK_MEDIUM_AND_ABOVE",
    "most": "BLOCK_LOW_AND_ABOVE",
    "off": "OFF",
}
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
# What Google's own OpenAI-compatible endpoint makes of an effort.
_BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "max": 24576}
_LEAST_BUDGET_OF_PRO = 128  # it can not be kept from thinking


def encode(request: Request, model: str, quirks: Quirks) -> Call:
    """The request in Gemini's form.

    Raises:
        BadRequestError: If a part can not be carried, a tool result names neither its tool nor
            a call of the history, or the model's name is no path.
    """
    names = {
        part.id: part.name
        for message in request.messages
        for part in message.parts
        if isinstance(part, ToolCallPart)
    }
    body: dict[str, Any] = {"contents": _contents(request.messages, names)}
    instruction = [
        _part(part, "system", names)
        for message in request.messages
        if message.role == "system"
        for part in message.parts
    ]
    if instruction:
        body["systemInstruction"] = {"parts": instruction}
    config = _generation_config(request, model, quirks)
    if config:
        body["generationConfig"] = config
    _offer_tools(body, request)
    if request.safety:
        body["safetySettings"] = [
            {
                "category": _CATEGORIES.get(s.category, s.category),
                "threshold": _THRESHOLDS.get(s.threshold, s.threshold),
            }
            for s in request.safety
        ]
    path = f"/{_model_path(model)}:streamGenerateContent?alt=sse"
    return Call(path, merge(body, request.provider_options))


def _model_path(model: str) -> str:
    if not model.startswith(_OWN_PATHS):
        return f"models/{quote(model, safe='')}"
    if any(step in ("", ".", "..") for step in model.split("/")):
        raise BadRequestError(f"the model {model!r} is no path to a model")
    return quote(model)


def _generation_config(request: Request, model: str, quirks: Quirks) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "temperature": request.temperature,
        "maxOutputTokens": request.max_tokens,
        "topP": request.top_p,
        "topK": request.top_k,
        "stopSequences": list(request.stop) or None,
        "seed": request.seed,
        "thinkingConfig": _thinking(request.reasoning_effort, model),
    }
    config = {name: value for name, value in settings.items() if value is not None}
    if request.response_schema is not None:
        config["responseMimeType"] = "application/json"
        if quirks.json_schema:
            config["responseJsonSchema"] = dict(request.response_schema)
    return config


def _thinking(effort: str | None, model: str) -> dict[str, Any] | None:
    """Gemini 3 takes a level, Gemini 2.5 and models of unknown age a budget, older ones neither."""
    if effort is None:
        return None
    found = re.search(r"gemini-(\d{1,3})(?:\.(\d))?", model)
    version = float(f"{found[1]}.{found[2] or 0}") if found else 2.5
    if version < 2.5:
        return None
    thinking: dict[str, Any] = {"includeThoughts": effort != "none"}
    is_pro = "pro" in re.split(r"[-/]", model)
    if version >= 3:
        least = "low" if is_pro else "minimal"
        levels = {"none": least, "minimal": least, "max": "high"}
        return {**thinking, "thinkingLevel": levels.get(effort, effort)}
    least_budget = _LEAST_BUDGET_OF_PRO if is_pro else 0
    return {**thinking, "thinkingBudget": max(_BUDGETS[effort], least_budget)}


def _offer_tools(body: dict[str, Any], request: Request) -> None:
    if request.tools:
        declarations = [
            {
                "name": t.name,
                "description": t.description,
                "parametersJsonSchema": t.parameters,
            }
            for t in request.tools
        ]
        body["tools"] = [{"functionDeclarations": declarations}]
    choice = request.tool_choice
    if choice is not None:
        calling: dict[str, Any] = {"mode": _MODES.get(choice, "ANY")}
        if choice not in _MODES:
            calling["allowedFunctionNames"] = [choice]
        body["toolConfig"] = {"functionCallingConfig": calling}


def _contents(messages: Iterable[Message], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """The turns but the system's; the results of one turn's calls must come in one turn."""
    contents: list[dict[str, Any]] = []
    before = ""
    for message in messages:
        if message.role == "system":
            continue
        sent = [p for p in message.parts if _goes_back(p)]
        parts = [_part(p, message.role, names) for p in sent]
        if message.role == before == "tool":
            contents[-1]["parts"] += parts
        elif parts:
            role = "model" if message.role == "assistant" else "user"
            contents.append({"role": role, "parts": parts})
            before = message.role
    return contents


def _goes_back(part: Part) -> bool:
    """Thinking that is empty, or encrypted by another provider, means nothing to Gemini."""
    if isinstance(part, ReasoningPart):
        return part.encrypted is None and bool(part.text or part.signature)
    return True


def _part(part: Part, role: str, names: Mapping[str, str]) -> dict[str, Any]:
    """One part; those of the model keep their signatures."""
    if isinstance(part, ToolResultPart) != (role == "tool"):
        raise BadRequestError(f"a {role} message can not hold a {part.type} part for Gemini")
    if isinstance(part, ToolResultPart):
        return {"functionResponse": _response(part, names)}
    if isinstance(part, TextPart):
        return _signed({"text": part.text}, part.signature)
    if role == "assistant":
        if isinstance(part, RefusalPart):
            return {"text": part.text}
        if isinstance(part, ReasoningPart):
            thought = {"text": part.text, "thought": True} if part.text else {"text": ""}
            return _signed(thought, part.signature)
        if isinstance(part, ToolCallPart):
            call = {"id": part.id, "name": part.name, "args": dict(part.arguments)}
            return _signed({"functionCall": call}, part.signature)
    if isinstance(part, ImagePart | AudioPart | VideoPart | FilePart) and role != "system":
        return _media(part)
    raise unsupported(part, "Gemini")


def _signed(part: dict[str, Any], signature: str | None) -> dict[str, Any]:
    return part if signature is None else {**part, "thoughtSignature": signature}


def _response(part: ToolResultPart, names: Mapping[str, str]) -> dict[str, Any]:
    name = part.name or names.get(part.id)
    if not name:
        raise BadRequestError(
            f"the result of call {part.id!r} needs the tool's name, or the call in the history"
        )
    result = {"error": part.error} if part.error is not None else part.result
    plain = json.loads(json.dumps(result, default=str))
    return {
        "id": part.id,
        "name": name,
        "response": plain if isinstance(plain, dict) else {"result": plain},
    }


def _media(part: ImagePart | AudioPart | VideoPart | FilePart) -> dict[str, Any]:
    mime = {"mimeType": part.mime} if part.mime else {}
    if part.data is not None:
        return {"inlineData": {**mime, "data": base64.b64encode(part.data).decode()}}
    uri = part.url or part.file_id or ""
    if part.file_id is not None and ":" not in uri:  # the API wants the address, not the name
        uri = _FILES + (uri if uri.startswith("files/") else f"files/{uri}")
    return {"fileData": {**mime, "fileUri": uri}}


GEMINI = Dialect("gemini", encode, GeminiDecoder, key_header="x-goog-api-key")
