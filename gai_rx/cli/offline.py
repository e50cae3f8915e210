"""`gai-rx hosts`, `replay` and `local`: what asks no provider."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Final

from gai_rx.cli.showing import JsonOutput, PlainOutput
from gai_rx.cli.telling import UsageError, tell

__all__ = ["hosts", "local_path", "local_pull", "replay"]

_PIECE: Final = 64 * 1024  # bytes decoded at a time


def hosts() -> int:
    """List who can be asked; of a key only whether it is set."""
    from gai_rx.hosts import HOSTS

    rows = [("HOST", "DIALECT", "KEY VARIABLE", "KEY", "DEFAULT MODEL")]
    for name, host in HOSTS.items():
        variable = host.key_variable
        state = "not needed"
        if variable is not None:
            missing = "optional" if host.key_optional else "missing"
            state = "set" if os.environ.get(variable) else missing
        rows.append((name, host.dialect, variable or "-", state, host.default_model or "-"))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write("  ".join(cells).rstrip() + "\n")
    return 0


def replay(file: str, dialect: str, *, as_json: bool, raw: bool) -> int:
    """Decode a recorded body, and show its text or its events.

    Args:
        file: Path of the body; `-` is standard input.
        dialect: What it is written in.
        as_json: Show the events.
        raw: Records too, as `Raw` events.

    Raises:
        GaiError: What ended the answer early, after all that came before.
        UsageError: If there is no such dialect, or the file can not be read.
    """
    from gai_rx.dialects import DIALECTS

    if dialect not in DIALECTS:
        raise UsageError(f"no dialect is called {dialect!r}; known are {', '.join(DIALECTS)}")
    body = _body(file)
    decoder = DIALECTS[dialect].decoder(raw=raw)
    with JsonOutput() if as_json else PlainOutput() as output:
        for start in range(0, len(body), _PIECE):
            for event in decoder.feed(body[start : start + _PIECE]):
                output.add(event)
            if decoder.done or decoder.fault is not None:
                break
        for event in decoder.close():
            output.add(event)
    if decoder.fault is not None:
        raise decoder.fault
    return 0


def _body(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise UsageError(f"{file} can not be read: {error.strerror}") from error


def local_pull() -> int:
    """Fetch the weights of the model on this machine, unless they are there; tell where.

    Raises:
        GaiError: If they could not be fetched.
    """
    from gai_rx.local import default_model_path
    from gai_rx.local.shown import pull_shown

    path = pull_shown(default_model_path(), threading.Event())
    sys.stdout.write(f"{path}\n")
    return 0


def local_path() -> int:
    """Tell where the weights of the model on this machine are, or would be."""
    from gai_rx.local import default_model_path

    path = default_model_path()
    sys.stdout.write(f"{path}\n")
    if not path.is_file():
        tell("they are not there yet; `gai-rx local pull` fetches them")
    return 0
