"""The `gai-rx` command.

Answers go to standard output; what is about them goes to standard error. What is heavy to import is
imported by the command that needs it.

    asking.py        ask
    chatting.py      chat
    offline.py       hosts, replay, local
    sample_tools.py  tools to try chat with
    serving.py       simulate
    showing.py       events on the screen, in a pipe, as JSON; the figures at the end
    telling.py       messages, advice and exit codes
    tool_view.py     tools on the screen, while they run
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Final, NoReturn

__all__ = ["main"]

_EPILOG: Final = """\
exit codes:
  0    done; also when the reader of a pipe has gone, and when Ctrl-C ends `simulate`
       or leaves `chat`
  1    the provider or the stream failed; the message says how, and what to do
  2    the command line can not be carried out as it is
  130  interrupted by Ctrl-C

Keys are read from the environment, see `gai-rx hosts`; none is ever shown.
"""
_ASK_EPILOG: Final = """\
Without --model: $GAI_RX_MODEL, else the model on this machine where the extra `local` is
installed, else the simulator. A question of - or none at all reads standard input. The text is
stripped of what drives a terminal; --json has it as it came.
"""
_CHAT_EPILOG: Final = """\
Commands begin with /, and /help lists them. Ctrl-C stops an answer, and at the prompt, twice, the
program. Lines from a file or a pipe are turns too. The model is chosen as `ask` does it.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: Its arguments; those of the process when None.

    Returns:
        The exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted.

    Example:
        >>> main(["local"])
        2
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a narrow encoding must not end an answer
            stream.reconfigure(errors="replace")
    try:
        args = _parser().parse_args(argv)
    except SystemExit as end:  # of argparse, which has told why
        return end.code if isinstance(end.code, int) else 2
    try:
        code: int = args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        _leave_pipe()
        return 0
    except KeyboardInterrupt:
        sys.stderr.write("gai-rx: interrupted\n")
        return 130
    except Exception as error:
        from gai_rx.cli.telling import failed

        return failed(error, debug=getattr(args, "debug", False))
    return code


def _leave_pipe() -> None:
    """The interpreter flushes standard output as it ends, which would fail again."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):  # standard output is no file
        pass


# Each loads its command's module.


def _ask(args: argparse.Namespace) -> int:
    from gai_rx.cli.asking import ask

    return ask(args)


def _chat(args: argparse.Namespace) -> int:
    from gai_rx.cli.chatting import chat

    return chat(args)


def _hosts(args: argparse.Namespace) -> int:
    from gai_rx.cli.offline import hosts

    return hosts()


def _simulate(args: argparse.Namespace) -> int:
    from gai_rx.cli.serving import simulate

    return simulate(args.port, args.script)


def _replay(args: argparse.Namespace) -> int:
    from gai_rx.cli.offline import replay

    return replay(args.file, args.dialect, as_json=args.json or args.raw, raw=args.raw)


def _local(args: argparse.Namespace) -> int:
    from gai_rx.cli.offline import local_path, local_pull

    return local_pull() if args.what == "pull" else local_path()


def _parser() -> argparse.ArgumentParser:
    debug = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    debug.add_argument("--debug", action="store_true", help="show tracebacks")
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="gai-rx",
        description="Ask language models, and watch their answers stream.",
        epilog=_EPILOG,
        formatter_class=raw,
        parents=[debug],
    )
    parser.add_argument("--version", action=_Version, help="show the version")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(
        name: str, run: Callable[[argparse.Namespace], int], text: str, epilog: str = ""
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name, help=text, description=text, epilog=epilog, parents=[debug], formatter_class=raw
        )
        added.set_defaults(run=run)
        return added

    _add_ask_arguments(command("ask", _ask, "ask a model one question", _ASK_EPILOG))
    _add_chat_arguments(command("chat", _chat, "talk to a model", _CHAT_EPILOG))
    command("hosts", _hosts, "list the hosts, and whether their keys are set")
    _add_simulate_arguments(command("simulate", _simulate, "run a server that plays the providers"))
    _add_replay_arguments(command("replay", _replay, "decode a recorded body, offline"))
    local = command("local", _local, "the small model on this machine")
    local.add_argument("what", choices=("pull", "path"), help="fetch its weights, or say where")
    return parser


def _add_ask_arguments(ask: argparse.ArgumentParser) -> None:
    ask.add_argument("question", nargs="?", help="what to ask")
    _add_model_arguments(ask)
    ask.add_argument("--json", action="store_true", help="one event a line")


def _add_chat_arguments(chat: argparse.ArgumentParser) -> None:
    _add_model_arguments(chat)
    chat.add_argument(
        "--tools", action="store_true", help="let the model call a few tools, to see them run"
    )


def _add_model_arguments(asks: argparse.ArgumentParser) -> None:
    asks.add_argument("--model", metavar="HOST:NAME", help="who answers")
    asks.add_argument("--system", metavar="TEXT", help="instructions for the model")
    asks.add_argument("--max-tokens", type=int, metavar="N", help="most tokens of the answer")
    asks.add_argument("--temperature", type=float, metavar="X", help="how random the answer is")
    asks.add_argument("--show-usage", action="store_true", help="tell the tokens used")
    asks.add_argument("--reasoning", action="store_true", help="show the model's thinking too")
    asks.add_argument("--base-url", metavar="URL", help="where the host is")
    asks.add_argument("--timeout", type=float, metavar="S", help="most seconds for the answer")


def _add_simulate_arguments(simulate: argparse.ArgumentParser) -> None:
    simulate.add_argument("--port", type=int, default=0, help="where to listen (any free port)")
    simulate.add_argument(
        "--script",
        type=Path,
        metavar="FILE",
        help='JSON of an answer, or a list of them: {"text": "Hi.", "delay": 0.1, "fault": "cut"}',
    )


def _add_replay_arguments(replay: argparse.ArgumentParser) -> None:
    replay.add_argument("file", help="the recorded bytes; - reads standard input")
    replay.add_argument("--dialect", required=True, metavar="NAME", help="what they are written in")
    replay.add_argument("--json", action="store_true", help="one event a line")
    replay.add_argument("--raw", action="store_true", help="records too, as events; means --json")


class _Version(argparse.Action):
    """Tells the version; reading it costs time that other commands need not spend."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(nargs=0, **settings)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        from importlib.metadata import version

        sys.stdout.write(f"gai-rx {version('gai-rx')}\n")
        parser.exit()
