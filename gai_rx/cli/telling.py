"""What the command says about itself, on standard error: notes, errors with advice, exit codes."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from typing import TYPE_CHECKING, Final

from gai_rx.errors import GaiError
from gai_rx.terminal import TerminalFilter

if TYPE_CHECKING:
    from pydantic import ValidationError

__all__ = ["UsageError", "failed", "plainly", "tell"]

_SHORTEST_KEY: Final = 6  # characters; what is shorter is a placeholder, and would hide plain words
_ADVICE: Final = {
    "rate_limit": "wait a little and ask again, or ask another --model",
    "overloaded": "ask again in a moment, or ask another --model",
    "server": "ask again in a moment",
    "connection": "check the network and --base-url, then ask again",
    "timeout": "ask again, or allow more time with --timeout",
    "truncated": "what arrived is not the whole answer; ask again",
    "authentication": "check the key; `gai-rx hosts` names the variable of each host",
    "permission": "this key may not do that; ask another --model, or use another key",
    "not_found": "check the spelling of --model, and --base-url",
    "context_length": "ask something shorter, or a --model that reads more",
    "content_filter": "ask differently",
    "quota": "top up the account, or ask another host",
}
# Terms of the library, and what they are here.
_FIELDS: Final = {
    "total": "--timeout",
    "max_tokens": "--max-tokens",
    "temperature": "--temperature",
}
_TERMS: Final = {
    "base_url": "--base-url",
    "(Timeouts.total)": "(--timeout)",
    " or pass api_key=…": "",
    "; what came so far is in error.partial": "",
}


class UsageError(Exception):
    """What was asked for can not be done; the message says why."""


def tell(text: str) -> None:
    """Say one thing on standard error, without what drives a terminal."""
    line = " ".join(TerminalFilter().clean(text).split("\n"))
    _write(f"gai-rx: {line}\n")


def failed(error: Exception, *, debug: bool = False) -> int:
    """Say what went wrong and what to do about it.

    Args:
        error: What ended the command.
        debug: Show the traceback too.

    Returns:
        The exit code.
    """
    if debug:
        trace = "".join(traceback.format_exception(error))
        _write(_without_keys(TerminalFilter().clean(trace)))
    if isinstance(error, UsageError):
        tell(_without_keys(f"{error}"))
        return 2
    if isinstance(error, GaiError):
        tell(_without_keys(_described(error)))
        if advice := _advice(error):
            tell(advice)
    elif isinstance(error, OSError):
        tell(_without_keys(f"{error}"))
    else:
        hint = "" if debug else "; --debug shows where"
        tell(_without_keys(f"unexpected {type(error).__name__}: {error}{hint}"))
    return 1


def plainly(error: GaiError | ValidationError) -> str:
    """What is wrong with an argument, without the terms of the library."""
    if isinstance(error, GaiError):
        return _in_options(error.message)
    found = error.errors(include_url=False, include_input=False)
    return "; ".join(
        f"{_FIELDS.get(place := '.'.join(map(str, one['loc'])), place)}: {one['msg']}"
        for one in found
    )


def _in_options(message: str) -> str:
    for term, option in _TERMS.items():
        message = message.replace(term, option)
    return message


def _described(error: GaiError) -> str:
    facts = [f"HTTP {error.status}"] if error.status is not None else []
    if error.request_id:
        facts.append(f"request {error.request_id}")
    who = f"{error.provider}: " if error.provider and error.model else ""
    behind = f" [{', '.join(facts)}]" if facts else ""
    return f"{error.kind}: {who}{_in_options(error.message)}{behind}"


def _advice(error: GaiError) -> str | None:
    if error.retry_after is not None:
        return f"the provider asks to wait {error.retry_after:g} s before asking again"
    return _ADVICE.get(error.kind)


def _without_keys(text: str) -> str:
    """Errors are made without keys; this is for those that a server puts into its words."""
    from gai_rx.hosts import HOSTS

    for variable in {host.key_variable for host in HOSTS.values() if host.key_variable}:
        if len(os.environ.get(variable, "")) >= _SHORTEST_KEY:
            text = text.replace(os.environ[variable], "***")
    return text


def _write(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # nobody is left who could be told
        sys.stdout.flush()
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()
