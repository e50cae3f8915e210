"""Parts of messages in the forms that several dialects share."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any

from gai_rx.errors import BadRequestError
from gai_rx.request import Message, Part, ProviderPart, ToolResultPart

__all__ = ["data_url", "provider_block", "readable_by", "told_result", "unsupported"]


def provider_block(
    dialect: str, block: Mapping[str, Any], holds: str | None = None
) -> dict[str, Any]:
    """Metadata for a call that the provider ran, or its result: what makes a `ProviderPart` of it.

    Args:
        dialect: Whose block it is.
        block: As it goes back to the provider.
        holds: The member that the event has already, as its arguments or its result.
    """
    kept = {name: value for name, value in block.items() if name != holds}
    return {"provider_block": {"dialect": dialect, "block": kept, "holds": holds}}


def readable_by(dialect: str, messages: Iterable[Message]) -> Iterable[Message]:
    """The messages without the blocks of other providers, and without turns of nothing else."""
    for message in messages:
        parts = tuple(
            p for p in message.parts if not isinstance(p, ProviderPart) or p.dialect == dialect
        )
        if len(parts) == len(message.parts):
            yield message
        elif parts:
            yield message.model_copy(update={"parts": parts})


def told_result(part: ToolResultPart) -> str:
    """A tool's result as the text that the model reads."""
    if part.error is not None:
        return json.dumps({"error": part.error}, ensure_ascii=False)
    if isinstance(part.result, str):
        return part.result
    return json.dumps(part.result, ensure_ascii=False, default=str)


def data_url(data: bytes, mime: str) -> str:
    """Bytes as a `data:` URL."""
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def unsupported(part: Part, api: str) -> BadRequestError:
    """The error for a part that a dialect can not carry."""
    source = next((n for n in ("url", "data", "file_id") if getattr(part, n, None)), None)
    form = f"{part.type} by {source}" if source else part.type
    return BadRequestError(
        f"{api} can not carry {form} in this place; see the provider's documents"
    )
