r"""The JSON of a record: decoded once, by a C decoder, by Python's own where that one refuses.

Python's decoder takes lone surrogates (`"\ud83d"` alone in one delta, its other half in the next),
which no UTF-8 text can hold. Where text may be continued in a following record the half is kept at
the edge of the string, for `gai_rx.dialects.surrogates` to join; anywhere else it becomes U+FFFD.
"""

import json
import re
from typing import Any

from pydantic_core import from_json

from gai_rx.errors import ProtocolError

__all__ = ["decode_json"]

_LONE = re.compile("[\ud800-\udfff]")
_CONTINUED = frozenset(
    (
        "text",
        "content",
        "response",
        "thinking",
        "delta",
        "reasoning",
        "reasoning_content",
        "refusal",
        "arguments",
        "partial_json",
    )
)


def decode_json(data: bytes) -> tuple[Any, bool]:
    """Decode one JSON text.

    Returns:
        The value, and whether some string in it begins or ends with half a surrogate pair.

    Raises:
        ProtocolError: If it is no JSON, or is nested or has numbers beyond all reason.
    """
    try:
        return from_json(data), False
    except ValueError as error:
        return _decode_slowly(data, error)


def _decode_slowly(data: bytes, first: ValueError) -> tuple[Any, bool]:
    edges: list[bool] = []
    try:
        value = _mended(json.loads(data.decode("utf-8", "replace")), "", edges)
    except (ValueError, RecursionError) as error:
        shown = data[:120].decode("utf-8", "replace")
        raise ProtocolError(
            f"expected a JSON record, got {len(data):,} bytes that are none: {shown!r}",
            phase="decode",
        ) from (first if isinstance(error, RecursionError) else error)
    return value, bool(edges)


def _mended(value: Any, key: str, edges: list[bool]) -> Any:
    if isinstance(value, str):
        return _mended_text(value, key, edges) if _LONE.search(value) else value
    if isinstance(value, list):
        return [_mended(item, key, edges) for item in value]
    if isinstance(value, dict):
        return {_mended(k, "", edges): _mended(v, k, edges) for k, v in value.items()}
    return value


def _mended_text(text: str, key: str, edges: list[bool]) -> str:
    if key not in _CONTINUED:
        return _LONE.sub("\ufffd", text)
    low_first = "\udc00" <= text[0] <= "\udfff"
    high_last = "\ud800" <= text[-1] <= "\udbff"
    if low_first or high_last:
        edges.append(True)
    inner = _LONE.sub("\ufffd", text[low_first : len(text) - high_last])
    return (text[0] if low_first else "") + inner + (text[-1] if high_last else "")
