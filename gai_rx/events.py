"""What a stream says: one frozen class per kind of event, told apart by `type`.

The grammar of one answer is `Start, (delta | ToolCall | ...)*, Usage*, Finish`, then completion.
Every event survives JSON: `parse_event(event.model_dump_json()) == event`.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cache, reduce
from json import dumps
from operator import add
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

__all__ = [
    "AudioDelta",
    "Citation",
    "Citations",
    "Error",
    "Event",
    "EventType",
    "File",
    "Finish",
    "FinishReason",
    "ObjectDelta",
    "Raw",
    "ReasoningDelta",
    "RefusalDelta",
    "Retry",
    "Safety",
    "Start",
    "StepFinish",
    "StreamEvent",
    "TextDelta",
    "ToolCall",
    "ToolCallDelta",
    "ToolProgress",
    "ToolResult",
    "Usage",
    "parse_event",
]

FinishReason = Literal[
    "stop", "length", "tool_calls", "content_filter", "refusal", "error", "other"
]


class EventType(StrEnum):
    """The names that `Event.type` takes."""

    START = "start"
    TEXT_DELTA = "text_delta"
    REASONING_DELTA = "reasoning_delta"
    REFUSAL_DELTA = "refusal_delta"
    AUDIO_DELTA = "audio_delta"
    FILE = "file"
    OBJECT_DELTA = "object_delta"
    TOOL_CALL_DELTA = "tool_call_delta"
    TOOL_CALL = "tool_call"
    TOOL_PROGRESS = "tool_progress"
    TOOL_RESULT = "tool_result"
    CITATIONS = "citations"
    SAFETY = "safety"
    USAGE = "usage"
    STEP_FINISH = "step_finish"
    RETRY = "retry"
    ERROR = "error"
    FINISH = "finish"
    RAW = "raw"


class StreamEvent(BaseModel):
    """What every event carries, whatever its kind."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        ser_json_bytes="base64",
        val_json_bytes="base64",
        defer_build=True,  # importing costs half; the first event of a kind builds its validator
    )

    stream_id: str = Field(
        default="", description="Which of several multiplexed streams it came from."
    )
    step: int = Field(default=0, description="Step of a multi-step run, from 0.")
    attempt: int = Field(
        default=1, description="Which request of a retried stream it came from, from 1."
    )
    metadata: Mapping[str, Any] = Field(
        default={},
        description="The provider's own data; operators merge into it, never replace it.",
    )


class Start(StreamEvent):
    """An answer begins; with `attempt > 1` it begins anew, and what came before is void."""

    type: Literal["start"] = "start"
    provider: str = Field(default="", description="The host that answers.")
    model: str = Field(default="", description="The model as the host names it in its answer.")
    response_id: str = Field(default="", description="The host's name for this answer.")


class TextDelta(StreamEvent):
    """A piece of the answer's text, never empty."""

    type: Literal["text_delta"] = "text_delta"
    text: str
    choice: int = Field(default=0, description="Which of several parallel answers (n > 1).")
    block: int = Field(default=0, description="Which content block of the answer.")
    signature: str | None = Field(default=None, description="Opaque; goes back with the next turn.")


class ReasoningDelta(StreamEvent):
    """A piece of the model's thinking, or of the opaque data that proves it."""

    type: Literal["reasoning_delta"] = "reasoning_delta"
    text: str = ""
    signature: str | None = Field(default=None, description="Opaque; goes back with the next turn.")
    encrypted: str | None = Field(
        default=None, description="Thinking one can not read; goes back too."
    )
    choice: int = 0
    block: int = 0
    id: str | None = Field(
        default=None, description="The provider's name for this block of thinking."
    )


class RefusalDelta(StreamEvent):
    """A piece of the text in which the model declines."""

    type: Literal["refusal_delta"] = "refusal_delta"
    text: str


class AudioDelta(StreamEvent):
    """A piece of spoken answer."""

    type: Literal["audio_delta"] = "audio_delta"
    data: bytes = Field(description="Encoded sound, as `mime` says; base64 in JSON.")
    mime: str = ""


class File(StreamEvent):
    """A file that the model made, an image for instance: its bytes or where it lies."""

    type: Literal["file"] = "file"
    data: bytes | None = None
    url: str | None = None
    mime: str = ""


class ObjectDelta(StreamEvent):
    """A piece of the structured answer. The last one has no text: it brings the validated object.

    The texts, put together, are the JSON of the object.
    """

    type: Literal["object_delta"] = "object_delta"
    value: Any = Field(
        default=None,
        exclude=True,
        description="The object so far: a live view, to be read only; `text` rebuilds it.",
    )
    text: str = Field(default="", description="The characters that are new.")
    object: Any = Field(
        default=None,
        exclude=True,
        description="The whole object, as the type that was asked for; in the last delta only.",
    )

    def snapshot(self) -> Any:
        """A copy of the object so far, which does not grow on."""
        copied = getattr(self.value, "snapshot", None)
        return self.value if copied is None else copied()


class ToolCallDelta(StreamEvent):
    """A fragment of the arguments of a call that is being written."""

    type: Literal["tool_call_delta"] = "tool_call_delta"
    id: str
    name: str = ""
    arguments: str = Field(default="", description="The new characters of the JSON arguments.")
    index: int = Field(default=0, description="Position of the call in the answer, from 0.")


class ToolCall(StreamEvent):
    """A call that the model asks for, complete; exactly one per call."""

    type: Literal["tool_call"] = "tool_call"
    id: str
    name: str
    arguments: dict[str, Any] = Field(
        default={}, description="Parsed arguments; empty when invalid."
    )
    arguments_text: str = Field(default="", description="The arguments as they were sent.")
    invalid: str | None = Field(
        default=None, description="Why the arguments can not be used, if so."
    )
    provider_executed: bool = Field(
        default=False, description="True when the provider runs it itself."
    )
    signature: str | None = Field(default=None, description="Opaque; goes back with the next turn.")


class ToolProgress(StreamEvent):
    """A tool of ours has begun to run (`value` is None), or tells how far it has come."""

    type: Literal["tool_progress"] = "tool_progress"
    id: str
    name: str = ""
    value: Any = Field(default=None, description="What the tool told; JSON can carry it.")


class ToolResult(StreamEvent):
    """What a call came to."""

    type: Literal["tool_result"] = "tool_result"
    id: str
    name: str = ""
    result: Any = None
    error: str | None = None
    duration: float | None = Field(default=None, description="Seconds the tool took.")
    provider_executed: bool = False

    def preview(self, longest: int = 100) -> str:
        r"""The result, or else the error, on one line, to be shown while the run goes on.

        Text as it is, anything else as JSON. Line ends, and characters that could drive a terminal,
        become spaces.

        Args:
            longest: Most characters of it; what is cut ends in an ellipsis.

        Raises:
            ValueError: If `longest` is below 1.

        Example:
            >>> ToolResult(id="1", result={"city": "Oslo"}).preview()
            '{"city": "Oslo"}'
            >>> ToolResult(id="1", result="sun\nin Oslo, and warm").preview(12)
            'sun in Oslo…'
        """
        if longest < 1:
            raise ValueError(f"preview() has at least 1 character, got {longest}")
        told = self.result if self.error is None else self.error
        text = told if isinstance(told, str) else dumps(told, ensure_ascii=False, default=str)
        words = "".join(c if c.isprintable() else " " for c in text).split()
        line = " ".join(words)
        return line if len(line) <= longest else f"{line[: longest - 1].rstrip()}…"


class Citation(BaseModel):
    """One source that the answer names."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    uri: str = ""
    title: str = ""
    text: str = Field(default="", description="The passage quoted from the source.")
    start: int | None = Field(
        default=None, description="Where the cited part of the answer begins."
    )
    end: int | None = Field(default=None, description="Where it ends; units are the provider's.")


class Citations(StreamEvent):
    """Sources for what was just said."""

    type: Literal["citations"] = "citations"
    items: tuple[Citation, ...]


class Safety(StreamEvent):
    """A verdict of the provider's content filter that did not end the answer by itself."""

    type: Literal["safety"] = "safety"
    category: str
    action: str = ""
    score: float | None = None
    note: str = ""


class Usage(StreamEvent):
    """Tokens so far, as the provider counts them; None = not told. A later one replaces it."""

    type: Literal["usage"] = "usage"
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None

    def __add__(self, other: "Usage") -> "Usage":
        """What two answers used; a count that neither tells stays untold."""
        if not isinstance(other, Usage):
            return NotImplemented
        counts: dict[str, int] = {}
        for name in _COUNTS:
            one, two = getattr(self, name), getattr(other, name)
            if one is not None or two is not None:
                counts[name] = (one or 0) + (two or 0)
        return Usage.model_validate(counts)

    @staticmethod
    def added_up(usages: "Iterable[Usage | None]") -> "Usage | None":
        """What several answers used; None if none of them tells, and of one its own.

        Example:
            >>> told = Usage.added_up([Usage(input_tokens=2), None, Usage(input_tokens=3)])
            >>> told.input_tokens
            5
        """
        told = [usage for usage in usages if usage is not None]
        return reduce(add, told) if told else None


_COUNTS = tuple(name for name in Usage.model_fields if name.endswith("_tokens"))


class StepFinish(StreamEvent):
    """One model call of a multi-step run is over."""

    type: Literal["step_finish"] = "step_finish"
    number: int
    reason: FinishReason = "stop"
    usage: Usage | None = None


class Retry(StreamEvent):
    """A request failed and is about to be asked again."""

    type: Literal["retry"] = "retry"
    delay: float = Field(description="Seconds until the next attempt.")
    error: str = Field(default="", description="What failed.")
    kind: str = Field(default="", description="The failed request's error kind.")


class Error(StreamEvent):
    """An error that did not end the stream."""

    type: Literal["error"] = "error"
    kind: str
    message: str
    details: dict[str, Any] = {}


class Finish(StreamEvent):
    """The provider said that the answer is complete; nothing but completion follows."""

    type: Literal["finish"] = "finish"
    reason: FinishReason
    raw_reason: str | None = Field(
        default=None, description="The reason as the provider spells it."
    )
    usage: Usage | None = None


class Raw(StreamEvent):
    """A record that no rule knows, kept whole; with `raw=True`, every record."""

    type: Literal["raw"] = "raw"
    record: Any = None


Event = Annotated[
    Start
    | TextDelta
    | ReasoningDelta
    | RefusalDelta
    | AudioDelta
    | File
    | ObjectDelta
    | ToolCallDelta
    | ToolCall
    | ToolProgress
    | ToolResult
    | Citations
    | Safety
    | Usage
    | StepFinish
    | Retry
    | Error
    | Finish
    | Raw,
    Field(discriminator="type"),
]


@cache
def _adapter() -> TypeAdapter[Event]:
    return TypeAdapter(Event)


def parse_event(data: str | bytes | Mapping[str, Any]) -> Event:
    """Read one event back from its JSON text, or from its dumped dictionary.

    Raises:
        pydantic.ValidationError: If `data` is no event.

    Example:
        >>> parse_event('{"type": "text_delta", "text": "Hi"}').text
        'Hi'
    """
    if isinstance(data, str | bytes):
        return _adapter().validate_json(data)
    return _adapter().validate_python(data)
