"""What a model reads of its calls: results as JSON, errors that tell nothing of this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any

from pydantic import SecretStr
from pydantic_core import from_json, to_json

from gai_rx.approving import digest_of
from gai_rx.errors import ToolError
from gai_rx.events import ToolCall
from gai_rx.refusals import one_line
from gai_rx.tools import Tool

__all__ = ["fault_of", "harmless", "plain", "said"]

_MOST_ARGUMENTS = 1_000_000  # characters of one call's arguments
_LONGEST_ERROR = 1000  # characters of an error that the model reads
_READ_ERROR = 20_000  # characters of it that are looked at
_UNTOLD = (
    (re.compile(r"""(['"])(?:~|[A-Za-z]:)?[/\\][^'"]*\1"""), r"\1[path]\1"),
    (
        re.compile(r"""(?<![\w/\\.])(?!(?<=:)//)(?:~|[A-Za-z]:|file:/)?[/\\][^\s'"<>|*,;()]+"""),
        "[path]",
    ),
    (re.compile(r"(?<=//)[^/\s@]{1,200}@"), "[user]@"),
    (re.compile(r"""\?[\w.\-]+=[^\s'"<>]+"""), "?[query]"),
)
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL|AUTH", re.IGNORECASE)
_LEAST_SECRET = 4  # characters of a variable that is named like a secret
_LEAST_VARIABLE = 10  # of any other; shorter ones are everyday words


def fault_of(call: ToolCall, tool: Tool | None) -> tuple[str | None, str]:
    """What is wrong with a call, if anything, and the digest of its arguments."""
    if call.invalid is not None:
        return call.invalid, ""
    if tool is None:
        return f"there is no tool called {call.name[:100]!r}", ""
    if len(call.arguments_text) > _MOST_ARGUMENTS:
        size = len(call.arguments_text)
        return f"the arguments have {size:,} characters, the limit is {_MOST_ARGUMENTS:,}", ""
    try:
        return None, digest_of(call.arguments)
    except (ValueError, RecursionError):
        return "the arguments are nested too deeply", ""


def harmless(text: str, secrets: tuple[SecretStr, ...]) -> str:
    """An error without paths, values of the environment, and keys."""
    text = text[:_READ_ERROR]
    for value in sorted(_environment(), key=len, reverse=True):
        text = text.replace(value, "***")
    for pattern, instead in _UNTOLD:
        text = pattern.sub(instead, text)
    return one_line(text, secrets)[:_LONGEST_ERROR]


def _environment() -> Iterable[str]:
    """Values of environment variables that must not be told."""
    for name, value in os.environ.items():
        if len(value) >= (_LEAST_SECRET if _SECRET_NAME.search(name) else _LEAST_VARIABLE):
            yield value


def said(error: BaseException) -> str:
    """What an exception says, with its name where it was not written for the model."""
    try:
        text = str(error)
    except Exception:
        text = ""
    if isinstance(error, ToolError):
        return text  # written for the model
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def plain(value: Any, tool: Tool) -> Any:
    """A result as JSON can carry it.

    Raises:
        ToolError: If it can not, or the result is too long.
    """
    try:
        told = to_json(value, inf_nan_mode="null", bytes_mode="base64")
    except (ValueError, RecursionError) as error:
        raise ToolError(
            f"the result of {tool.name!r}, of type {type(value).__name__}, can not be told as JSON"
        ) from error
    if len(told) > tool.max_result:
        raise ToolError(
            f"the result of {tool.name!r} has {len(told):,} bytes, "
            f"the limit is {tool.max_result:,}; ask for less"
        )
    return from_json(told)
