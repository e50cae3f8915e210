"""`gai-rx chat`: a conversation, line by line."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import difflib
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from gai_rx.chat import Chat
from gai_rx.cli.asking import chosen_model, connected, show
from gai_rx.cli.sample_tools import SAMPLE_TOOLS
from gai_rx.cli.showing import Tally, output_for
from gai_rx.cli.telling import UsageError, failed, plainly, tell
from gai_rx.cli.tool_view import ToolView
from gai_rx.events import StreamEvent, ToolCall
from gai_rx.terminal import TerminalFilter

__all__ = ["chat"]

_PROMPT: Final = "> "
_GOES_ON: Final = "… "
_LEAVE: Final = ("exit", "quit", "bye")
_COMMANDS: Final = (
    ("/help", "list the commands"),
    ("/model [HOST:NAME]", "tell who answers, or let another model answer from now on"),
    ("/system [TEXT]", "tell the instructions for the model, or change them; - removes them"),
    ("/tools", "tell which tools the model may call"),
    ("/undo", "take the last turn back"),
    ("/clear", "forget the conversation; the instructions stay"),
    ("/save FILE", "save the conversation as JSON, without keys"),
    ("/load FILE", "go on from a saved conversation"),
    ("/usage", "tell the tokens of the conversation"),
    ("/quit", "leave; so do exit and Ctrl-D"),
)
_HINTS: Final = """\
A line that begins with // is sent with one / less. A line that ends in \\ goes on in the next.
Ctrl-C stops an answer; what had come of it stays in the conversation.
"""


def chat(args: argparse.Namespace) -> int:
    """Talk until there is nothing more to read.

    Args:
        args: As the parser of the command makes them.

    Returns:
        The exit code: that of the last failure where the lines come from a file or a pipe.

    Raises:
        UsageError: If it can not be talked like this.
        GaiError: If there is no key.
    """
    with asyncio.Runner() as runner:
        return _Session(args, runner).run()


class _Figures(Tally):
    """What arrived; calls are shown where they run."""

    def add(self, event: StreamEvent) -> None:
        """Count one event."""
        if not isinstance(event, ToolCall):
            super().add(event)


class _Session:
    """The conversation and what the person at the keyboard does with it."""

    def __init__(self, args: argparse.Namespace, runner: asyncio.Runner) -> None:
        self._args = args
        self._runner = runner  # one loop for all turns: connections stay open between them
        self._settings = _settings(args)
        self._provider = connected(chosen_model(args.model), args.base_url, args.timeout)
        try:
            self._chat = Chat(self._provider, system=args.system, **self._settings)
        except ValidationError as error:
            raise UsageError(plainly(error)) from error
        self._interactive = sys.stdin.isatty()
        self._read = _typed if self._interactive else _piped
        self._pressed = False  # Ctrl-C, and nothing was entered since
        self._code = 0
        self._saved: set[Path] = set()

    def run(self) -> int:
        """Read and answer until the end."""
        if self._interactive:
            _note(f"{self._name} answers: /help lists the commands, /quit leaves")
        goes_on = True
        while goes_on:
            try:
                line = self._read().strip()
                self._pressed = False
                goes_on = line not in _LEAVE and (not line or self._take(line))
            except EOFError:
                goes_on = False
                if self._interactive:
                    _note("")  # what comes next begins its own line
            except KeyboardInterrupt:
                if not self._interactive:
                    raise
                goes_on = not self._pressed
                self._pressed = True
                _note("\nCtrl-C once more leaves; so does /quit" if goes_on else "")
        return 0 if self._interactive else self._code

    @property
    def _name(self) -> str:
        return f"{self._provider.name}:{self._provider.model}"

    def _take(self, line: str) -> bool:
        """Carry out a line; whether the conversation goes on."""
        if line.startswith("/") and not line.startswith("//"):
            name, _, rest = line.partition(" ")
            return self._command(name, rest.strip())
        self._say(line.removeprefix("/") if line.startswith("//") else line)
        return True

    def _say(self, text: str) -> None:
        tally = _Figures(self._name)
        output = ToolView(lambda: output_for(as_json=False, reasoning=self._args.reasoning))
        try:
            self._runner.run(show(self._chat.send(text), output, tally))
        except BrokenPipeError:
            raise  # nobody reads on: quietly
        except KeyboardInterrupt:
            self._stopped()
        except Exception as error:
            self._failed(error)
        usage = self._args.show_usage
        tally.report(show_usage=usage, show_figures=usage)

    def _stopped(self) -> None:
        if not self._interactive:
            raise KeyboardInterrupt
        self._pressed = True
        if self._chat.interrupted:
            tell("stopped; what had come stays in the conversation, /undo takes it back")
        else:
            tell("stopped before anything had come; the question is not in the conversation")

    def _failed(self, error: Exception) -> None:
        self._code = failed(error, debug=getattr(self._args, "debug", False))

    # Commands.

    def _command(self, name: str, rest: str) -> bool:
        """Carry out a command; whether the conversation goes on."""
        if name in ("/quit", "/exit"):
            return False
        try:
            command = getattr(self, f"_on_{name[1:]}", None) if name in _NAMES else None
            if command is None:
                near = difflib.get_close_matches(name, _NAMES, 1, 0.5)
                guess = f"did you mean {near[0]}? " if near else ""
                raise UsageError(f"there is no command {name[:40]}; {guess}/help lists them")
            command(rest)
        except Exception as error:
            self._failed(error)
        return True

    def _on_help(self, _: str) -> None:
        width = max(len(shown) for shown, _ in _COMMANDS)
        for shown, meaning in _COMMANDS:
            _note(f"{shown.ljust(width)}  {meaning}")
        for line in _HINTS.splitlines():
            _note(line)

    def _on_model(self, rest: str) -> None:
        if rest:
            self._provider = connected(rest, None, self._args.timeout)
            self._chat.provider = self._provider
        _note(f"{self._name} answers")

    def _on_system(self, rest: str) -> None:
        if rest:
            self._chat.system = None if rest == "-" else rest
        told = self._chat.system
        _note("there are no instructions" if told is None else f"instructions: {told.text}")

    def _on_tools(self, _: str) -> None:
        tools = self._settings.get("tools", ())
        for tool in tools:
            _note(f"{tool.name}: {tool.description}")
        if not tools:
            _note("there are none; gai-rx chat --tools offers a few to try")

    def _on_undo(self, _: str) -> None:
        undone = self._chat.undo()
        if undone is None:
            raise UsageError("there is no turn to take back")
        _note(f"taken back: {' '.join(m.text for m in undone.sent)[:60]}")

    def _on_clear(self, _: str) -> None:
        self._chat.clear()
        _note("the conversation is forgotten")

    def _on_usage(self, _: str) -> None:
        tally, usage = Tally(""), self._chat.usage
        if usage is not None:
            tally.add(usage)
        _note(f"{self._turns()}, {tally.usage()}")

    def _on_save(self, rest: str) -> None:
        path = _path("/save", rest)
        if path.exists() and path not in self._saved:
            raise UsageError(f"{path} is there already; choose another name")
        try:
            _write(path, self._chat.to_json(indent=1))
        except OSError as error:
            raise UsageError(f"{path} can not be written: {error.strerror}") from error
        self._saved.add(path)
        _note(f"{self._turns()} saved in {path}")

    def _on_load(self, rest: str) -> None:
        path = _path("/load", rest)
        try:
            saved = path.read_bytes()
        except OSError as error:
            raise UsageError(f"{path} can not be read: {error.strerror}") from error
        try:
            self._chat = Chat.from_json(saved, self._provider, **self._settings)
        except ValidationError as error:
            raise UsageError(f"{path} is no saved conversation") from error
        self._saved.add(path)
        _note(f"{self._turns()} loaded from {path}")

    def _turns(self) -> str:
        count = len(self._chat.turns)
        return f"{count} turn{'s' if count != 1 else ''}"


_NAMES: Final = tuple(shown.partition(" ")[0] for shown, _ in _COMMANDS)


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    given = {
        name: value
        for name in ("max_tokens", "temperature")
        if (value := getattr(args, name)) is not None
    }
    return {**given, "tools": SAMPLE_TOOLS} if args.tools else given


def _typed() -> str:
    """What a person enters; with the line editing of the terminal, where there is one.

    Raises:
        EOFError: At the end of the input.
    """
    lines = [_typed_line(_PROMPT)]
    while lines[-1].endswith("\\"):
        lines[-1] = lines[-1][:-1]
        lines.append(_typed_line(_GOES_ON))
    return "\n".join(lines)


def _typed_line(prompt: str) -> str:
    try:
        if sys.stdout.isatty():
            with contextlib.suppress(ImportError):
                import readline  # noqa: F401 - input() edits lines with it, and remembers them
            line = input(prompt)
        else:  # the answers go elsewhere, and the prompt must not go with them
            sys.stderr.write(prompt)
            sys.stderr.flush()
            line = sys.stdin.readline()
            if not line:
                raise EOFError
    except UnicodeDecodeError:
        tell("that line is not in the encoding of this terminal")
        return ""
    return line.encode("utf-8", "replace").decode()  # halves of characters can not be sent


def _piped() -> str:
    """The next line of a file or a pipe.

    Raises:
        EOFError: At its end.
    """
    line = sys.stdin.buffer.readline()
    if not line:
        raise EOFError
    return line.decode("utf-8", "replace")


def _path(command: str, given: str) -> Path:
    if not given:
        raise UsageError(f"{command} needs the name of a file")
    return Path(given).expanduser().absolute()


def _write(path: Path, text: str) -> None:
    """Write a file that only its owner reads, whole or not at all."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:40]}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _note(text: str) -> None:
    """Say something on standard error."""
    cleaner = TerminalFilter()
    line = cleaner.clean(text) + cleaner.close()
    with contextlib.suppress(OSError, ValueError):  # nobody is left who could be told
        sys.stdout.flush()
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
