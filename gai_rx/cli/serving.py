"""`gai-rx simulate`: the simulator in the foreground."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from gai_rx.cli.telling import UsageError, plainly
from gai_rx.simulator import FAULTS, MODELS, Answer, Simulator

__all__ = ["simulate"]

_BASES: Final = {
    "openai_chat": "/v1",
    "openai_responses": "/v1",
    "anthropic_messages": "",
    "gemini": "/v1beta",
    "ollama": "",
    "cohere": "/v2",
}
"""What each dialect's base URL has behind the address, as the providers' own clients want it."""


def simulate(port: int, script: Path | None) -> int:
    """Serve until Ctrl-C.

    Args:
        port: Where to listen on loopback; 0 for any free port.
        script: A file with the answers as JSON; the models by name when None.

    Raises:
        OSError: If the port is taken.
        UsageError: If the script is none.
    """
    if not 0 <= port <= 65535:
        raise UsageError(f"--port is from 0 to 65535, got {port}")
    answers = None if script is None else _answers(script)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(Simulator(answers, port=port)))
    return 0


async def _serve(simulator: Simulator) -> None:
    async with simulator:
        sys.stdout.write(_instructions(simulator.url))
        sys.stdout.flush()
        await asyncio.Event().wait()


def _instructions(url: str) -> str:
    bases = "\n".join(f"  {dialect:<20}{url}{base}" for dialect, base in _BASES.items())
    return f"""\
The simulator of gai_rx listens on {url}; it is no model. Ctrl-C ends it.
It wants no key; where a client insists on one, any will do.

Base URLs, by dialect:
{bases}

To point clients at it:
  gai-rx ask "Hi" --model openai_chat:echo --base-url {url}/v1
  export OPENAI_BASE_URL={url}/v1 OPENAI_API_KEY=none
  export ANTHROPIC_BASE_URL={url} ANTHROPIC_API_KEY=none
  export OLLAMA_HOST={url}

Without --script the model's name chooses the answer: {", ".join(MODELS)};
or a fault, like cut:at=120: {", ".join(FAULTS)}.
"""


def _answers(path: Path) -> list[Answer]:
    try:
        told = json.loads(path.read_text("utf-8"))
        given = told if isinstance(told, list) else [told]
        made = TypeAdapter(list[Answer]).validate_python([_named(one) for one in given])
    except OSError as error:
        raise UsageError(f"{path} can not be read: {error.strerror}") from error
    except ValidationError as error:
        raise UsageError(f"{path}: {plainly(error)}") from error
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, no such field
        raise UsageError(f"{path}: {error}") from error
    if not made:
        raise UsageError(f"{path} has no answer")
    return made


def _named(told: Any) -> dict[str, Any]:
    """One answer of a script, its fields checked and the ids that calls lack filled in."""
    if not isinstance(told, dict):
        raise ValueError("an answer is a JSON object")
    answer: dict[str, Any] = told
    known = {field.name for field in dataclasses.fields(Answer)} - {"body", "content_type"}
    if unknown := sorted(answer.keys() - known):
        fields = ", ".join(sorted(known))
        raise ValueError(f"an answer has no {', '.join(unknown)}; it has {fields}")
    calls = answer.get("tool_calls")
    if isinstance(calls, list):
        calls = [{"id": "", **call} if isinstance(call, dict) else call for call in calls]
        answer = {**answer, "tool_calls": calls}
    return answer
