"""Parts of messages in the forms that several dialects share."""

from __future__ import annotations

import base64
import json

from gai_rx.errors import BadRequestError
from gai_rx.request import Part, ToolResultPart

__all__ = ["data_url", "told_result", "unsupported"]


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
