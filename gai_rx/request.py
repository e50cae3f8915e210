"""What we ask: a request, its messages, and the parts they are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    InstanceOf,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from gai_rx.tools import Tool

__all__ = [
    "AudioPart",
    "FilePart",
    "ImagePart",
    "Message",
    "Part",
    "Prompt",
    "ProviderPart",
    "ReasoningPart",
    "RefusalPart",
    "Request",
    "Role",
    "SafetySetting",
    "TextPart",
    "ToolCallPart",
    "ToolResultPart",
    "VideoPart",
    "assistant",
    "system",
    "tool_result",
    "user",
]

Role = Literal["system", "user", "assistant", "tool"]


class _Frozen(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        ser_json_bytes="base64",
        val_json_bytes="base64",
        defer_build=True,
    )


class TextPart(_Frozen):
    """Text."""

    type: Literal["text"] = "text"
    text: str
    signature: str | None = Field(
        default=None, description="Opaque, as it came; Gemini wants it back."
    )


class _Blob(_Frozen):
    url: str | None = Field(default=None, description="Where the provider fetches it.")
    data: bytes | None = Field(default=None, description="The bytes themselves.")
    file_id: str | None = Field(
        default=None, description="Name of a file the provider already has."
    )
    mime: str = Field(default="", description="MIME type; needed with `data`.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [n for n in ("url", "data", "file_id") if getattr(self, n) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ValueError(f"give exactly one of url, data, file_id; found {found}")
        if self.data is not None and not self.mime:
            raise ValueError("data needs its mime type, for instance 'image/png'")
        return self


class ImagePart(_Blob):
    """An image, by URL, bytes or provider file id."""

    type: Literal["image"] = "image"
    detail: Literal["auto", "low", "high"] | None = None


class AudioPart(_Blob):
    """Sound, by URL, bytes or provider file id."""

    type: Literal["audio"] = "audio"


class VideoPart(_Blob):
    """A film, by URL, bytes or provider file id."""

    type: Literal["video"] = "video"


class FilePart(_Blob):
    """A document, by URL, bytes or provider file id."""

    type: Literal["file"] = "file"
    name: str | None = None


class ReasoningPart(_Frozen):
    """Thinking of an earlier answer, kept because the provider wants it back as it was."""

    type: Literal["reasoning"] = "reasoning"
    text: str = ""
    signature: str | None = None
    encrypted: str | None = None
    id: str | None = None


class RefusalPart(_Frozen):
    """The text in which an earlier answer declined."""

    type: Literal["refusal"] = "refusal"
    text: str


class ToolCallPart(_Frozen):
    """A call that an earlier answer asked for."""

    type: Literal["tool_call"] = "tool_call"
    id: str
    name: str
    arguments: Mapping[str, Any] = {}
    signature: str | None = None


class ToolResultPart(_Frozen):
    """What a call came to, for the model to read."""

    type: Literal["tool_result"] = "tool_result"
    id: str = Field(description="The id of the call.")
    name: str = ""
    result: Any = None
    error: str | None = None


class ProviderPart(_Frozen):
    """A call that the provider ran itself, or what came of it, in the provider's own words.

    It goes back as it came to whoever speaks the same dialect; others are not shown it.
    """

    type: Literal["provider"] = "provider"
    dialect: str = Field(description="Whose words these are, for instance 'anthropic_messages'.")
    id: str = Field(default="", description="The id of the call; its result has the same.")
    block: Mapping[str, Any] = Field(description="The block, item or part, as it came.")


Part = Annotated[
    TextPart
    | ImagePart
    | AudioPart
    | VideoPart
    | FilePart
    | ReasoningPart
    | RefusalPart
    | ToolCallPart
    | ToolResultPart
    | ProviderPart,
    Field(discriminator="type"),
]


class Message(_Frozen):
    """One turn of a conversation. `Message(role="user", parts="Hi")` takes plain text too."""

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _text_as_part(cls, data: Any) -> Any:
        if isinstance(data, dict) and "parts" in data:
            parts = data["parts"]
            listed = [parts] if isinstance(parts, str | BaseModel) else parts
            as_parts = [TextPart(text=p) if isinstance(p, str) else p for p in listed]
            return {**data, "parts": as_parts}
        return data

    @property
    def text(self) -> str:
        """Its text parts, joined."""
        return "".join(p.text for p in self.parts if isinstance(p, TextPart))


_Given: TypeAlias = "str | Part"


def system(*parts: _Given) -> Message:
    """What the model shall be and do."""
    return Message(role="system", parts=parts)  # type: ignore[arg-type]  # strings become parts


def user(*parts: _Given) -> Message:
    """What the person says.

    Example:
        >>> user("What is this?", ImagePart(url="https://example.org/cat.png")).text
        'What is this?'
    """
    return Message(role="user", parts=parts)  # type: ignore[arg-type]  # strings become parts


def assistant(*parts: _Given) -> Message:
    """What the model said before."""
    return Message(role="assistant", parts=parts)  # type: ignore[arg-type]  # strings become parts


def tool_result(id: str, result: Any, *, name: str = "", error: str | None = None) -> Message:
    """What the call `id` came to."""
    return Message(
        role="tool", parts=(ToolResultPart(id=id, name=name, result=result, error=error),)
    )


_AnyTool = Annotated[
    InstanceOf[Tool],
    PlainSerializer(Tool.declaration, return_type=dict),
    WithJsonSchema({"type": "object"}),
]


class SafetySetting(_Frozen):
    """How much of one category of harm to let pass; providers without such settings ignore it."""

    category: str = Field(
        description="As the provider names it, or: harassment, hate, sexual, dangerous."
    )
    threshold: str = Field(description="As the provider names it, or: none, few, some, most, off.")


class Request(_Frozen):
    """One question to a model. What is None is left to the provider.

    Example:
        >>> Request.of("Hi", temperature=0.2).messages[0].text
        'Hi'
    """

    messages: tuple[Message, ...]
    model: str | None = Field(default=None, description="Instead of the provider's model.")
    temperature: float | None = None
    max_tokens: int | None = Field(default=None, description="Most tokens of the answer.")
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = Field(default=(), description="Texts that end the answer.")
    seed: int | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "max"] | None = None
    tools: tuple[_AnyTool, ...] = ()
    tool_choice: str | None = Field(
        default=None, description="auto, none, required, or a tool's name."
    )
    response_schema: Mapping[str, Any] | None = Field(
        default=None, description="JSON schema that the answer must fit."
    )
    response_name: str = Field(
        default="answer", description="Name of the schema, for the provider."
    )
    safety: tuple[SafetySetting, ...] = ()
    request_id: str | None = Field(
        default=None, description="Our name for it; sent as X-Request-ID."
    )
    idempotency_key: str | None = Field(default=None, description="The same for every retry.")
    provider_options: Mapping[str, Any] = Field(
        default={}, description="Merged into the provider's request body as they are."
    )
    metadata: Mapping[str, Any] = Field(default={}, description="Yours; it is not sent.")

    @model_validator(mode="after")
    def _has_messages(self) -> Self:
        if not self.messages:
            raise ValueError("a request needs at least one message")
        return self

    @classmethod
    def of(cls, prompt: Prompt, **settings: Any) -> Request:
        """A request from a `Request`, messages, or a plain string; `settings` win."""
        if isinstance(prompt, Request):
            if not settings:
                return prompt
            given = {name: getattr(prompt, name) for name in prompt.model_fields_set}
            return cls.model_validate({**given, **settings})
        messages = (user(prompt),) if isinstance(prompt, str) else tuple(prompt)
        return cls.model_validate({"messages": messages, **settings})


Prompt: TypeAlias = str | Sequence[Message] | Request
