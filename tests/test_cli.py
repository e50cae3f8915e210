"""The command: what goes where, how it ends, and that no key is in what it says."""

import asyncio
import fcntl
import io
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web

from gai_rx import Finish, TextDelta, Usage, parse_event
from gai_rx.cli import main
from gai_rx.cli.showing import Tally
from gai_rx.errors import GaiError
from gai_rx.events import ReasoningDelta
from gai_rx.simulator import Answer, Simulator

KEY = "sk-CANARY-7f3a9b2e41d84c56"
ODD_KEY = "CANARY0123456789abcdef"  # like no provider's: nothing would know it for a key

Make = Callable[..., Simulator]
CHAT_BODY = (
    b'data: {"choices":[{"delta":{"content":"Hi \\u001b[2Jthere"}}]}\n\n'
    b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
    b"data: [DONE]\n\n"
)


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GAI_RX_MODEL", "OPENAI_API_KEY", "MISTRAL_API_KEY", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def ask(gai_simulator: Make) -> Callable[..., int]:
    """Ask a simulator with this script."""

    def run(script: Answer, *arguments: str) -> int:
        url = gai_simulator(script).url
        model = ("--model", "openai_chat:m", "--base-url", f"{url}/v1")
        return main(["ask", "Hello?", *model, *arguments])

    return run


def command(*arguments: str) -> list[str]:
    program = "import sys; from gai_rx.cli import main; sys.exit(main())"
    return [sys.executable, "-c", program, *arguments]


# ask


def test_the_answer_alone_is_on_standard_output(
    ask: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(Answer("One two.", reasoning="Hm.")) == 0
    out, err = capsys.readouterr()
    assert out == "One two.\n"
    assert "first token" in err
    assert "Hm." not in err


def test_thinking_goes_to_standard_error_when_asked_for(
    ask: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(Answer("One.", reasoning="Let me see."), "--reasoning") == 0
    out, err = capsys.readouterr()
    assert out == "One.\n"
    assert err.startswith("Let me see.\n")


def test_a_refusal_is_the_answer(
    ask: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(Answer(refusal="I will not.")) == 0
    assert capsys.readouterr().out == "I will not.\n"


def test_json_is_one_event_a_line_as_it_came(
    ask: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = "a\x1b]0;x\x07\x9b2J\u202e\u2028\nb"
    assert ask(Answer(deltas=[hostile]), "--json") == 0
    out = capsys.readouterr().out
    assert not set("\x1b\x07\x9b\u202e\u2028") & set(out)
    events = [parse_event(line) for line in out.splitlines()]
    assert (events[0].type, events[-1].type) == ("start", "finish")
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == hostile


def test_a_piped_answer_can_not_drive_the_terminal_behind_the_pipe(
    ask: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(Answer(deltas=["a\x1b", "]52;c;AAAA", "\x07b\rc"])) == 0
    assert capsys.readouterr().out == "ab\nc\n"


def test_the_request_says_what_the_options_say(
    gai_simulator: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    simulator = gai_simulator(Answer("ok"))
    base = ("--model", "openai_chat:my:model", "--base-url", f"{simulator.url}/v1")
    options = ("--system", "Be brief.", "--max-tokens", "7", "--temperature", "0.5")
    assert main(["ask", "Why?", *base, *options, "--timeout", "30"]) == 0
    body = simulator.requests[0].body
    assert body["model"] == "my:model"
    assert (body["max_tokens"], body["temperature"]) == (7, 0.5)
    assert [m["role"] for m in body["messages"]] == ["system", "user"]
    assert simulator.requests[0].asked.prompt == "Why?"


@pytest.mark.parametrize("arguments", [["-"], []])
def test_the_question_comes_from_standard_input(
    arguments: list[str],
    gai_simulator: Make,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    simulator = gai_simulator(Answer("ok"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("Was ist \u00fc?".encode())))
    model = ("--model", "openai_chat:m", "--base-url", f"{simulator.url}/v1")
    assert main(["ask", *arguments, *model]) == 0
    assert simulator.requests[0].asked.prompt == "Was ist \u00fc?"


def test_usage_is_told_when_asked_for(
    ask: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    usage = Usage(input_tokens=11, output_tokens=22, total_tokens=33)
    assert ask(Answer("One.", usage=usage), "--show-usage") == 0
    assert "tokens: input 11, output 22, total 33" in capsys.readouterr().err
    assert ask(Answer("One.", usage=usage)) == 0
    assert "input 11" not in capsys.readouterr().err


def test_the_model_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GAI_RX_MODEL", "simulator:echo")
    assert main(["ask", "marmalade"]) == 0
    out, err = capsys.readouterr()
    assert "marmalade" in out
    assert "no model was named" not in err


def test_without_a_model_the_simulator_answers_and_says_what_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gai_rx.cli.asking.find_spec", lambda name: None)
    assert main(["ask", "Hello?"]) == 0
    assert "the simulator answers: it is no model" in capsys.readouterr().err


def test_without_a_model_the_local_one_answers_where_its_extra_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def connect(model: str, **_: object) -> None:
        asked.append(model)
        raise GaiError("far enough")

    monkeypatch.setattr("gai_rx.cli.asking.find_spec", lambda name: name == "xllamacpp")
    monkeypatch.setattr("gai_rx.cli.asking.connect", connect)
    assert main(["ask", "Hello?"]) == 1
    assert asked == ["local"]


# How it fails


def test_an_answer_that_is_cut_off_is_shown_and_is_a_failure(
    ask: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(Answer("One two three four.", fault="cut:at=800")) == 1
    out, err = capsys.readouterr()
    assert "One two three four.".startswith(out.strip())
    assert out.endswith("\n")
    assert "gai-rx: truncated: openai_chat: " in err
    assert "ask again" in err
    assert "error.partial" not in err
    assert "Traceback" not in err


def test_a_rate_limit_says_how_long_to_wait(
    ask: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(Answer("x", fault="rate_limit:retry_after=7")) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "gai-rx: rate_limit: " in err
    assert "HTTP 429, request req_000001" in err
    assert "wait 7 s" in err


def test_a_limit_of_time_is_named_as_the_option(
    ask: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(Answer("x", first_delay=30.0), "--timeout", "0.05") == 1
    assert "(--timeout)" in capsys.readouterr().err


def test_what_a_server_says_of_an_error_can_not_drive_the_terminal(
    ask: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    fault = "error_in_stream:at=0:message=bad\x1b]52;c;AAAA\x07\nnews"
    assert ask(Answer("One two.", fault=fault)) == 1
    err = capsys.readouterr().err
    assert "news" in err
    assert not {c for c in err if ord(c) < 32} - {"\n"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["ask", "x", "--model", "nobody:m"], "no host is called 'nobody'"),
        (["ask", "x", "--model", "compat:m"], "needs --base-url"),
        (["ask", "x", "--model", "compat:m", "--base-url", "http://host.example"], "must be https"),
        (["ask", "x", "--model", "simulator", "--timeout", "0"], "--timeout: "),
        (["ask", " ", "--model", "simulator"], "the question is empty"),
        (["ask", "x", "--temperature", "warm"], "invalid float value"),
        (["replay", "nowhere.sse", "--dialect", "openai_chat"], "nowhere.sse can not be read"),
        (["replay", __file__, "--dialect", "latin"], "no dialect is called 'latin'"),
        (["simulate", "--port", "65536"], "--port is from 0 to 65535"),
        (["simulate", "--script", "nowhere.json"], "nowhere.json can not be read"),
        (["local", "dance"], "invalid choice"),
        (["dance"], "invalid choice"),
        ([], "required"),
    ],
)
def test_what_can_not_be_carried_out_is_wrong_usage(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert told in err
    assert "Traceback" not in err
    assert out == ""


def test_a_missing_key_is_told_by_its_variable(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "x", "--model", "openai"]) == 1
    err = capsys.readouterr().err
    assert "OPENAI_API_KEY" in err
    assert "api_key=" not in err


def test_a_traceback_is_shown_for_debugging_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("odd\x1b[2J")

    monkeypatch.setattr("gai_rx.cli.asking.connect", broken)
    assert main(["ask", "x", "--model", "simulator"]) == 1
    err = capsys.readouterr().err
    assert err == "gai-rx: unexpected RuntimeError: odd; --debug shows where\n"
    assert main(["ask", "x", "--model", "simulator", "--debug"]) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "\x1b" not in err
    assert main(["--debug", "ask", "x", "--model", "simulator"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_who_has_gone_ends_it_quietly(gai_simulator: Make) -> None:
    simulator = gai_simulator(Answer("on and on ", endless=True, delay=0.001))
    model = ("--model", "openai_chat:m", "--base-url", f"{simulator.url}/v1")
    process = subprocess.Popen(
        command("ask", "x", *model),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": ""},  # what is left would be written at exit
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(20)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(20) == 0
    process.stderr.close()


def test_ctrl_c_ends_the_request_and_says_what_had_arrived(gai_simulator: Make) -> None:
    simulator = gai_simulator(Answer("on and on ", endless=True, delay=0.01))
    model = ("--model", "openai_chat:m", "--base-url", f"{simulator.url}/v1")
    process = subprocess.Popen(
        command("ask", "x", *model), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    first = process.stdout.read(10)
    process.send_signal(signal.SIGINT)
    rest, err = process.communicate(timeout=20)
    assert process.returncode == 130
    told = re.search(r"the request is ended; (\d+) characters had arrived", err.decode())
    assert told is not None
    assert int(told[1]) == len((first + rest).decode().removesuffix("\n"))
    assert "Traceback" not in err.decode()
    assert simulator.requests[0].closed_early


# Keys


@pytest.fixture
def echoing() -> Iterator[tuple[str, dict[str, object]]]:
    """A server that puts the key that it was sent into all that it says."""
    how: dict[str, object] = {"status": 401, "body": '{"error": {"message": "wrong key: {key}"}}'}

    async def answer(request: web.Request) -> web.StreamResponse:
        key = request.headers["authorization"].removeprefix("Bearer ")
        body = str(how["body"]).replace("{key}", key)
        kind = "text/event-stream" if how["status"] == 200 else "application/json"
        return web.Response(status=int(str(how["status"])), text=body, content_type=kind)

    loop = asyncio.new_event_loop()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)

    async def start() -> str:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}/v1"

    url = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield url, how
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.mark.parametrize("key", [KEY, ODD_KEY])
@pytest.mark.parametrize("extra", [[], ["--debug"], ["--json", "--show-usage"]])
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, '{"error": {"message": "wrong key: {key}"}}'),
        (500, "{key}"),
        (200, 'data: {"error": {"message": "wrong key: {key}", "code": "invalid_api_key"}}\n\n'),
        (200, "data: {key}\n\n"),
    ],
)
def test_a_key_that_the_server_echoes_is_not_shown(
    key: str,
    extra: list[str],
    status: int,
    body: str,
    echoing: tuple[str, dict[str, object]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url, how = echoing
    how.update(status=status, body=body)
    monkeypatch.setenv("MISTRAL_API_KEY", key)
    assert main(["ask", "x", "--model", "mistral:m", "--base-url", url, *extra]) == 1
    out, err = capsys.readouterr()
    assert "CANARY" not in out + err
    assert "gai-rx: " in err


def test_hosts_tells_whether_a_key_is_set_and_never_which(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MISTRAL_API_KEY", KEY)
    assert main(["hosts"]) == 0
    out = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines()}
    assert rows["mistral"] == ["openai_chat", "MISTRAL_API_KEY", "set", "mistral-small-latest"]
    assert rows["openai"][:3] == ["openai_responses", "OPENAI_API_KEY", "missing"]
    assert "CANARY" not in out


# The terminal


class Terminal:
    """A terminal that a process runs in, and what it was sent."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        settings = {**os.environ, "TERM": "xterm-256color", **environment}
        self.process = subprocess.Popen(
            command(*arguments),
            stdin=theirs,
            stdout=theirs,
            stderr=subprocess.PIPE,
            env=settings,
            start_new_session=True,
        )
        os.close(theirs)
        self.sent = b""

    def read_until(self, what: bytes) -> None:
        while what not in self.sent:
            self.sent += os.read(self._ours, 65536)

    def end(self) -> tuple[int, str, str]:
        """Wait for the end: exit code, what the terminal was sent, standard error."""
        try:
            while piece := os.read(self._ours, 65536):
                self.sent += piece
        except OSError:  # Linux: nobody has the other side open
            pass
        err = self.process.communicate(timeout=20)[1].decode()
        os.close(self._ours)
        return self.process.returncode, self.sent.decode(), err


def on_screen(sent: str) -> str:
    """What stays on the screen of a terminal that was sent this."""
    lines, row, column = [""], 0, 0
    for piece in re.findall(r"\x1b\[[0-?]*[@-~]|[^\x1b]", sent):
        if piece == "\r":
            column = 0
        elif piece == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif piece.endswith("A") and len(piece) > 1:
            row = max(row - int(piece[2:-1]), 0)
        elif piece == "\x1b[2K":
            lines[row] = ""
        elif len(piece) == 1:
            lines[row] = lines[row][:column].ljust(column) + piece + lines[row][column + 1 :]
            column += 1
    return "\n".join(lines)


def test_in_a_terminal_the_answer_is_drawn_as_markdown(gai_simulator: Make) -> None:
    url = gai_simulator(Answer("# Title\n\nSome **bold** text.", delay=0.02)).url
    terminal = Terminal("ask", "x", "--model", "openai_chat:m", "--base-url", f"{url}/v1")
    code, sent, err = terminal.end()
    assert code == 0
    assert [line.strip() for line in on_screen(sent).split("\n") if line] == [
        "Title",
        "Some bold text.",
    ]
    assert "\x1b[1mbold" in sent
    assert "first token" in err
    assert sent.rindex("\x1b[?25h") > sent.rindex("\x1b[?25l"), "the cursor is hidden"


def test_in_a_terminal_the_model_can_not_send_sequences_of_its_own(gai_simulator: Make) -> None:
    deltas = ["a\x1b]52;c;", "AAAA\x07b\x9b", "5;5Hc \x1b", "c\x1b]8;;https://evil.example\x1b\\d"]
    url = gai_simulator(Answer(deltas=deltas, delay=0.12)).url
    terminal = Terminal("ask", "x", "--model", "openai_chat:m", "--base-url", f"{url}/v1")
    code, sent, _ = terminal.end()
    assert code == 0
    assert "abc d" in sent
    assert not re.search("\x1b[\\]PX^_c]|[\x80-\x9f\x07]|5;5H", sent)


def test_ctrl_c_in_a_terminal_gives_the_cursor_back_and_keeps_the_text(gai_simulator: Make) -> None:
    url = gai_simulator(Answer("on and ", endless=True, delay=0.01)).url
    terminal = Terminal("ask", "x", "--model", "openai_chat:m", "--base-url", f"{url}/v1")
    terminal.read_until(b"on and on")
    terminal.process.send_signal(signal.SIGINT)
    code, sent, err = terminal.end()
    assert code == 130
    assert "characters had arrived" in err
    assert "Traceback" not in err
    assert sent.rindex("\x1b[?25h") > sent.rindex("\x1b[?25l")
    assert re.fullmatch(r"(on and )+(on )?", " ".join(on_screen(sent).split()) + " ")


def test_a_terminal_that_can_not_draw_gets_plain_text(gai_simulator: Make) -> None:
    url = gai_simulator(Answer("Some **bold** text.")).url
    model = ("--model", "openai_chat:m", "--base-url", f"{url}/v1")
    code, sent, _ = Terminal("ask", "x", *model, TERM="dumb").end()
    assert (code, sent) == (0, "Some **bold** text.\r\n")


def test_without_a_question_in_a_terminal_it_does_not_wait_for_one() -> None:
    code, _, err = Terminal("ask", "--model", "simulator").end()
    assert code == 2
    assert "there is no question" in err


def test_without_rich_the_terminal_gets_plain_text(
    ask: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gai_rx.cli.showing.find_spec", lambda name: None)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert ask(Answer("Some **bold** text.")) == 0
    assert capsys.readouterr().out == "Some **bold** text.\n"


# The figures


class Clock:
    time = 0.0

    def __call__(self) -> float:
        return self.time


def tallied(*events: object, seconds: float = 0.5) -> str:
    clock = Clock()
    tally = Tally("host:m", now=clock)
    for event in events:
        clock.time += seconds
        tally.add(event)  # type: ignore[arg-type]
    return tally.figures()


def test_the_rate_counts_tokens_where_the_provider_tells_them() -> None:
    delta, usage = TextDelta(text="x"), Usage(output_tokens=30)
    figures = tallied(delta, delta, delta, usage, Finish(reason="stop"))
    assert figures == "host:m, first token 0.50 s, 30 tokens/s, 2.5 s in all"


def test_the_rate_is_marked_where_it_counts_deltas() -> None:
    delta = TextDelta(text="x")
    assert "~3 deltas/s" in tallied(delta, delta, delta, Finish(reason="stop"))


def test_thinking_that_was_not_sent_does_not_make_the_rate_better() -> None:
    delta, usage = TextDelta(text="x"), Usage(output_tokens=1030, reasoning_tokens=1000)
    assert ", 30 tokens/s" in tallied(delta, delta, delta, usage)
    assert "687 tokens/s" in tallied(ReasoningDelta(text="x"), delta, delta, delta, usage)


def test_an_answer_that_came_at_once_has_no_rate() -> None:
    assert "/s" not in tallied(TextDelta(text="x"), Usage(output_tokens=30))


def test_the_figures_tell_an_unusual_end() -> None:
    assert tallied(TextDelta(text="x"), Finish(reason="length")).endswith("ended with length")


# replay


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "body.sse"
    path.write_bytes(CHAT_BODY)
    return path


def test_a_recording_is_decoded_to_its_text(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(recording), "--dialect", "openai_chat"]) == 0
    assert capsys.readouterr() == ("Hi there\n", "")


def test_a_recording_is_decoded_to_events_and_records(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(recording), "--dialect", "openai_chat", "--json"]) == 0
    kinds = [json.loads(line)["type"] for line in capsys.readouterr().out.splitlines()]
    assert kinds == ["start", "text_delta", "finish"]
    assert main(["replay", str(recording), "--dialect", "openai_chat", "--raw"]) == 0
    kinds = [json.loads(line)["type"] for line in capsys.readouterr().out.splitlines()]
    assert kinds.count("raw") == 2


def test_a_recording_that_is_cut_off_shows_what_it_has_and_fails(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording.write_bytes(CHAT_BODY[: CHAT_BODY.index(b"\n\n") + 12])
    assert main(["replay", str(recording), "--dialect", "openai_chat"]) == 1
    out, err = capsys.readouterr()
    assert out == "Hi there\n"
    assert err.startswith("gai-rx: truncated: ")


def test_a_recording_is_read_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(CHAT_BODY)))
    assert main(["replay", "-", "--dialect", "openai_chat"]) == 0
    assert capsys.readouterr().out == "Hi there\n"


# simulate


@pytest.fixture
def simulating() -> Iterator[Callable[..., tuple[subprocess.Popen[str], str]]]:
    """Run `gai-rx simulate` and wait until it listens; its process and its address."""
    processes: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            command("simulate", *arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert found is not None
        return process, found[0]

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def test_simulate_serves_its_script_until_ctrl_c(
    simulating: Callable[..., tuple[subprocess.Popen[str], str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    script = tmp_path / "script.json"
    call = {"name": "weather", "arguments": {"city": "Oslo"}}
    script.write_text(json.dumps([{"text": "First."}, {"text": "Second.", "tool_calls": [call]}]))
    process, url = simulating("--script", str(script))
    model = ("--model", "anthropic_messages:m", "--base-url", url)
    assert main(["ask", "x", *model]) == 0
    assert capsys.readouterr().out == "First.\n"
    assert main(["ask", "x", *model]) == 0
    out, err = capsys.readouterr()
    assert out == "Second.\n"
    assert "the model asked for the tool weather" in err
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    assert process.stderr is not None
    assert f"OPENAI_BASE_URL={url}/v1" in process.stdout.read()
    assert process.stderr.read() == ""
    assert process.wait(20) == 0


BASES = {
    "openai_chat": "/v1",
    "openai_responses": "/v1",
    "anthropic_messages": "",
    "gemini": "/v1beta",
    "ollama": "",
    "cohere": "/v2",
}


def test_simulate_tells_a_base_url_for_every_dialect_and_each_answers(
    simulating: Callable[..., tuple[subprocess.Popen[str], str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for host in ("GEMINI", "COHERE"):
        monkeypatch.setenv(f"{host}_API_KEY", "any")
    process, _ = simulating()
    assert process.stdout is not None
    told: dict[str, str] = {}
    while len(told) < len(BASES):
        words = process.stdout.readline().split()
        if len(words) == 2 and words[0] in BASES:
            told[words[0]] = words[1]
    for dialect, base in told.items():
        assert main(["ask", "marmalade", "--model", f"{dialect}:echo", "--base-url", base]) == 0
        assert "marmalade" in capsys.readouterr().out


def test_a_port_that_is_taken_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["simulate", "--port", str(taken.getsockname()[1])]) == 1
    err = capsys.readouterr().err
    assert "address already in use" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("{", "Expecting property name"),
        ("[]", "has no answer"),
        ("[1]", "an answer is a JSON object"),
        ('{"txt": "x"}', "an answer has no txt; it has citations, "),
        ('{"text": 1}', "0.text: Input should be a valid string"),
        ('{"text": "x", "fault": "dance"}', "dance"),
    ],
)
def test_a_script_that_is_none_is_wrong_usage(
    script: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "script.json"
    path.write_text(script)
    assert main(["simulate", "--script", str(path)]) == 2
    assert told in capsys.readouterr().err


# local, and about the command itself


def test_local_tells_where_the_weights_would_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GAI_RX_CACHE", str(tmp_path))
    assert main(["local", "path"]) == 0
    out, err = capsys.readouterr()
    assert Path(out.strip()).parent == tmp_path
    assert "not there yet" in err


def test_local_pull_fetches_the_weights_and_tells_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GAI_RX_CACHE", str(tmp_path))
    fetched: list[Path] = []

    def pull_shown(path: Path, stop: threading.Event) -> Path:
        fetched.append(path)
        return path

    monkeypatch.setattr("gai_rx.local.shown.pull_shown", pull_shown)
    assert main(["local", "pull"]) == 0
    assert capsys.readouterr().out == f"{fetched[0]}\n"
    assert fetched[0].parent == tmp_path


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"gai-rx \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_the_help_tells_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for code in ("0 ", "1 ", "2 ", "130 "):
        assert f"\n  {code}" in out
