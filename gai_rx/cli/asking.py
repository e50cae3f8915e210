"""`gai-rx ask`: one question, and the answer as it arrives."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
from importlib.util import find_spec
from typing import Any, Final

from pydantic import ValidationError

from gai_rx.cli.showing import Output, Tally, output_for
from gai_rx.cli.telling import UsageError, plainly, tell
from gai_rx.errors import BadRequestError
from gai_rx.events import Event
from gai_rx.http import Timeouts
from gai_rx.providers import Provider, connect
from gai_rx.request import system, user
from gai_rx.stream import Stream

__all__ = ["ask", "chosen_model", "connected", "show"]

_TICK: Final = 0.05  # seconds; the display draws less often, when it is time to


def ask(args: argparse.Namespace) -> int:
    """Ask, show and report.

    Args:
        args: As the parser of the command makes them.

    Returns:
        The exit code.

    Raises:
        GaiError: If the answer did not arrive whole.
        UsageError: If it can not be asked like this.
    """
    question = _question(args.question)
    messages = [*([system(args.system)] if args.system else []), user(question)]
    settings = {
        name: value
        for name in ("max_tokens", "temperature")
        if (value := getattr(args, name)) is not None
    }
    model = connected(chosen_model(args.model), args.base_url, args.timeout)
    try:
        answer = model.stream_text(messages, **settings)
    except ValidationError as error:
        raise UsageError(plainly(error)) from error
    output = output_for(as_json=args.json, reasoning=args.reasoning)
    tally = Tally(f"{model.name}:{model.model}")
    try:
        asyncio.run(show(answer, output, tally))
    except BrokenPipeError:
        raise  # nobody reads on: quietly
    except KeyboardInterrupt:
        tell(f"interrupted, the request is ended; {tally.characters} characters had arrived")
        return 130
    except Exception:
        tally.report(show_usage=args.show_usage)
        raise
    tally.report(show_usage=args.show_usage)
    return 0


def connected(model: str, base_url: str | None, timeout: float | None) -> Provider:
    """Whoever the options name.

    Raises:
        UsageError: If there is no such host, or it can not be reached like this.
    """
    try:
        limits = Timeouts() if timeout is None else Timeouts(total=timeout)
        return connect(model, base_url=base_url, timeouts=limits)
    except (BadRequestError, ValidationError) as error:
        raise UsageError(plainly(error)) from error


def _question(given: str | None) -> str:
    if given is None and sys.stdin.isatty():
        raise UsageError('there is no question: write gai-rx ask "…", or pipe one in')
    piped = given is None or given == "-"
    question = sys.stdin.buffer.read().decode("utf-8", "replace") if piped else str(given)
    if not question.strip():
        raise UsageError("the question is empty")
    return question


def chosen_model(named: str | None) -> str:
    """The model that was named, or else the best there is without a name."""
    chosen = named or os.environ.get("GAI_RX_MODEL")
    if chosen:
        return chosen
    if find_spec("xllamacpp") is not None:
        return "local"
    tell(
        "no model was named, so the simulator answers: it is no model and knows nothing. Name one "
        "with --model or GAI_RX_MODEL; `gai-rx hosts` lists the hosts"
    )
    return "simulator"


async def show(answer: Stream[Event], output: Output, tally: Tally) -> None:
    """Show an answer while it arrives, and count it.

    Raises:
        GaiError: If it did not arrive whole; what came is shown.
    """
    ticking = asyncio.create_task(_tick(output))
    try:
        with output:
            async with contextlib.aclosing(aiter(answer)) as events:
                async for event in events:
                    tally.add(event)
                    output.add(event)
    finally:
        ticking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ticking


async def _tick(output: Output) -> Any:
    while True:
        await asyncio.sleep(_TICK)
        output.tick()
