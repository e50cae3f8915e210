"""`gai-rx chat`: lines in, answers out, and who stays in the conversation."""

import asyncio
import codecs
import io
import json
import os
import pty
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gai_rx import ToolCall, ToolError
from gai_rx.cli import main
from gai_rx.cli.sample_tools import SAMPLE_TOOLS, calculate, clock, wait
from gai_rx.cli.showing import PlainOutput
from gai_rx.cli.tool_view import ToolView
from gai_rx.events import TextDelta, ToolProgress, ToolResult
from gai_rx.simulator import Answer, Asked, Simulator
from gai_rx.tools import ToolContext
from tests.test_cli import Clock, command, on_screen

Make = Callable[..., Simulator]
Talk = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GAI_RX_MODEL", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def talk(
    gai_simulator: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Talk:
    """Pipe lines into a chat with a simulator: the exit code, standard output and error."""

    def run(script: Any, lines: str | bytes, *arguments: str) -> tuple[int, str, str]:
        piped = lines if isinstance(lines, bytes) else lines.encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(piped)))
        simulator = gai_simulator(script)
        run.simulator = simulator  # type: ignore[attr-defined]
        model = ("--model", "openai_chat:m", "--base-url", f"{simulator.url}/v1")
        code = main(["chat", *model, *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def heard(talk: Talk) -> list[list[str]]:
    """The texts of the messages of each request."""
    simulator: Simulator = talk.simulator  # type: ignore[attr-defined]
    return [[str(m["content"]) for m in seen.body["messages"]] for seen in simulator.requests]


# Lines from a pipe


def test_each_line_is_a_turn_and_the_answers_alone_are_on_standard_output(talk: Talk) -> None:
    code, out, err = talk([Answer("One."), Answer("Two.")], "Hi\n\n  Why?  \n")
    assert (code, out, err) == (0, "One.\nTwo.\n", "")
    assert heard(talk) == [["Hi"], ["Hi", "One.", "Why?"]]


def test_the_request_says_what_the_options_say(talk: Talk) -> None:
    options = ("--system", "Be brief.", "--max-tokens", "500", "--temperature", "0.5")
    talk(Answer("One."), "Hi\n", *options)
    assert heard(talk) == [["Be brief.", "Hi"]]
    body = talk.simulator.requests[0].body  # type: ignore[attr-defined]
    assert (body["max_tokens"], body["temperature"]) == (500, 0.5)
    assert "tools" not in body


@pytest.mark.parametrize("leave", ["exit", "quit", "/quit", "/exit"])
def test_a_word_leaves(talk: Talk, leave: str) -> None:
    code, out, _ = talk(Answer("One."), f"Hi\n{leave}\nMore\n")
    assert (code, out) == (0, "One.\n")


def test_a_turn_that_fails_is_told_and_the_conversation_goes_on(talk: Talk) -> None:
    script = [Answer("One."), Answer("x", fault="rate_limit:retry_after=7"), Answer("Three.")]
    code, out, err = talk(script, "1\n2\n3\n")
    assert (code, out) == (1, "One.\nThree.\n")
    assert "gai-rx: rate_limit: " in err
    assert "Traceback" not in err
    assert heard(talk)[2] == ["1", "One.", "3"]


def test_usage_is_told_when_asked_for(talk: Talk) -> None:
    _, _, err = talk(Answer("One."), "Hi\n", "--show-usage")
    assert "first token" in err
    assert re.search(r"tokens: input \d+, output \d+", err)


def test_model_text_can_not_drive_the_terminal_behind_the_pipe(talk: Talk) -> None:
    _, out, _ = talk(Answer(deltas=["a\x1b", "]52;c;AAAA", "\x07b\rc"]), "Hi\n")
    assert out == "ab\nc\n"


def test_bytes_that_are_no_text_are_sent_as_far_as_they_are(talk: Talk) -> None:
    code, _, _ = talk(Answer("One."), b"a\xffb\n")
    assert (code, heard(talk)) == (0, [["a\ufffdb"]])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--model", "nobody:m"], "no host is called 'nobody'"),
        (["--model", "simulator", "--timeout", "0"], "--timeout: "),
        (["--temperature", "warm"], "invalid float value"),
        (["--json"], "unrecognized arguments"),
    ],
)
def test_what_can_not_be_carried_out_is_wrong_usage(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["chat", *arguments]) == 2
    out, err = capsys.readouterr()
    assert told in err
    assert out == ""


# Commands


def test_help_lists_every_command(talk: Talk) -> None:
    code, out, err = talk(Answer("One."), "/help\n")
    assert (code, out) == (0, "")
    for name in ("help", "model", "system", "tools", "undo", "clear", "save", "load", "usage"):
        assert f"/{name}" in err


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("/hlep", "there is no command /hlep; did you mean /help? /help lists them"),
        ("/zzzzz", "there is no command /zzzzz; /help lists them"),
        ("/__init__", "there is no command /__init__; "),
        ("/\x1b[2Jx", "there is no command /x; "),
        ("/save", "/save needs the name of a file"),
        ("/undo", "there is no turn to take back"),
        ("/model nobody:m", "no host is called 'nobody'"),
        ("/load nowhere.json", "nowhere.json can not be read"),
    ],
)
def test_a_command_that_can_not_be_carried_out_says_why(talk: Talk, line: str, told: str) -> None:
    code, out, err = talk(Answer("One."), f"{line}\nHi\n")
    assert (code, out) == (2, "One.\n")
    assert told in err
    assert "\x1b" not in err


def test_a_line_may_begin_with_a_slash(talk: Talk) -> None:
    talk(Answer("One."), "//etc is what?\n")
    assert heard(talk) == [["/etc is what?"]]


def test_turns_can_be_taken_back_and_forgotten(talk: Talk) -> None:
    _, _, err = talk(Answer("One."), "1\n2\n/undo\n3\n/clear\n4\n", "--system", "s")
    assert heard(talk)[2:] == [["s", "1", "One.", "3"], ["s", "4"]]
    assert "taken back: 2\n" in err


def test_the_instructions_can_be_changed(talk: Talk) -> None:
    lines = "/system\n/system Be kind.\n1\n/system -\n2\n"
    _, _, err = talk(Answer("One."), lines)
    assert heard(talk) == [["Be kind.", "1"], ["1", "One.", "2"]]
    assert "there are no instructions\ninstructions: Be kind.\nthere are no instructions\n" in err


def test_another_model_can_go_on(talk: Talk) -> None:
    _, out, err = talk(Answer("One."), "Hi\n/model simulator:echo\nmarmalade\n/model\n")
    assert out.startswith("One.\n")
    assert "You said: marmalade" in out
    assert err.count("simulator:echo answers") == 2


def test_usage_of_the_conversation_is_told(talk: Talk) -> None:
    _, _, err = talk(Answer("One."), "/usage\n1\n/usage\n")
    assert "0 turns, the provider told no usage" in err
    assert re.search(r"1 turn, tokens: input \d+", err)


def test_a_conversation_is_saved_for_its_owner_and_goes_on(talk: Talk, tmp_path: Path) -> None:
    path = tmp_path / "talk.json"
    code, _, err = talk(Answer("One."), f"1\n/save {path}\n2\n/save {path}\n", "--system", "s")
    assert code == 0
    assert "2 turns saved" in err
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(json.loads(path.read_text())["turns"]) == 2
    assert os.listdir(tmp_path) == ["talk.json"]
    code, _, err = talk(Answer("Three."), f"/load {path}\n3\n/save {path}\n")
    assert (code, heard(talk)) == (0, [["s", "1", "One.", "2", "One.", "3"]])
    assert "2 turns loaded" in err


def test_no_other_file_is_overwritten(talk: Talk, tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("mine")
    code, _, err = talk(Answer("One."), f"1\n/save {path}\n/load {path}\n/save {tmp_path}/no/x\n")
    assert code == 2
    assert "is there already" in err
    assert "is no saved conversation" in err
    assert "can not be written" in err
    assert path.read_text() == "mine"


# Tools


def asks_to_wait(asked: Asked) -> Answer:
    if asked.tool_results:
        return Answer("Done.")
    made = [ToolCall(id="", name="wait", arguments={"seconds": s}) for s in (0.01, 0.3)]
    return Answer("Let me see.", tool_calls=made)


def test_calls_and_results_are_lines_on_standard_error(talk: Talk) -> None:
    code, out, err = talk(asks_to_wait, "Hi\n/tools\n", "--tools")
    assert (code, out) == (0, "Let me see.\nDone.\n")
    told = re.sub(r", \d\.\d s\b", ", N s", err).splitlines()
    assert told[:4] == [
        "tool: wait(seconds=0.01)",
        "tool: wait(seconds=0.3)",
        "tool: wait told 0.01 seconds are over, N s; still running: wait",
        "tool: wait told 0.3 seconds are over, N s",
    ]
    assert "calculate: Work out an arithmetic expression." in told
    assert "no tool was offered" not in err


def test_without_the_option_no_tool_is_offered(talk: Talk) -> None:
    _, _, err = talk(Answer("One."), "/tools\nHi\n")
    assert "there are none" in err
    assert "tools" not in talk.simulator.requests[0].body  # type: ignore[attr-defined]


def test_the_simulator_calls_a_tool_that_takes_its_time() -> None:
    assert SAMPLE_TOOLS[0] is wait
    assert wait.validate({}) == {"seconds": 3.0}


def shown(capsys: pytest.CaptureFixture[str], *events: Any) -> str:
    with ToolView(PlainOutput) as view:
        for event in events:
            view.add(event)
    return capsys.readouterr().err


def test_what_tools_are_called_and_tell_can_not_drive_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    evil = "a\x1b]52;c;AAAA\x07b\r\nc\x9b2J\u202e"
    err = shown(
        capsys,
        ToolCall(id="1", name=evil, arguments={evil: evil}),
        ToolResult(id="1", name=evil, error=evil),
        ToolResult(id="2", name=evil, result={"x": evil}),
        ToolCall(id="3", name=evil, arguments_text=evil, invalid="no"),
    )
    assert not {c for c in err if (ord(c) < 32 and c != "\n") or 0x7F <= ord(c) < 0xA0}
    assert "\u202e" not in err
    assert len(err.splitlines()) == 4


def test_long_arguments_and_results_are_cut(capsys: pytest.CaptureFixture[str]) -> None:
    call = ToolCall(id="1", name="f", arguments={"x": "y" * 1000})
    for line in shown(capsys, call, ToolResult(id="1", name="f", result="z" * 1000)).splitlines():
        assert "…" in line
        assert len(line) < 130


def test_in_a_terminal_a_line_tells_what_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    now = Clock()
    with ToolView(PlainOutput, now=now) as view:
        view.add(ToolCall(id="1", name="look"))
        view.add(ToolCall(id="2", name="look\u4e2d"))
        now.time = 1.5
        view.tick()
        assert capsys.readouterr().err.endswith("\r\x1b[2Krunning: look (waits), look? (waits)")
        view.add(ToolProgress(id="1", name="look"))
        view.add(ToolProgress(id="1", name="look", value={"a": 1}))
        view.tick()
        assert capsys.readouterr().err == "", "it was drawn just now"
        now.time = 2.0
        view.tick()
        line = capsys.readouterr().err
        assert line == '\r\x1b[2Krunning: look (2.0 s {"a": 1}), look? (waits)'
        for n in range(3, 20):
            view.add(ToolCall(id=f"{n}", name="f"))
        now.time = 3.0
        view.tick()
        assert len(capsys.readouterr().err.rpartition("\x1b[2K")[2]) == 59
        view.add(ToolResult(id="1", name="look", result=1, duration=3.0))
        assert capsys.readouterr().err == "\r\x1b[2Ktool: look told 1, 3.0 s\n"
        now.time = 4.0
        view.tick()
        view.add(TextDelta(text="On."))
        assert capsys.readouterr().err.endswith("\r\x1b[2K")
    assert capsys.readouterr().out == "\n"


# The sample tools


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3 // 2 % 3", 1),
        ("-2 ** 2", -4),
        ("2 ** 100", 2**100),
        ("sqrt(9) + max(1, 2) - abs(-1)", 4.0),
        ("round(pi, 2)", 3.14),
        ("round(2.5)", 2),
        ("10 / 4", 2.5),
    ],
)
async def test_expressions_have_their_value(expression: str, value: float) -> None:
    assert await calculate(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('true')",
        "().__class__",
        "[1 for x in (1,)]",
        "'a' * 9",
        "True",
        "1 if 1 else 2",
        "lambda: 1",
        "x := 1",
        "print(1)",
        "max(1, key=abs)",
        "9 ** 9 ** 9",
        "2 ** -100000",
        "(2 ** 4000) * (2 ** 4000)",
        "round(1, -1000000000)",
        "1e308 * 10",
        "(-8) ** 0.5",
        "1 / 0",
        "sqrt(-1)",
        "max()",
        "'\\d'",
        "1 +",
        "",
        "(" * 150,
        "-" * 190 + "x",
        "1" * 201,
    ],
)
async def test_nothing_but_arithmetic_is_worked_out(expression: str) -> None:
    with pytest.raises(ToolError):
        await calculate(expression)


async def test_the_clock_knows_zones() -> None:
    assert (await clock()).endswith(" UTC")
    for name in ("Nowhere/City", "../../etc/passwd", "Europe", ""):
        with pytest.raises(ToolError, match="no time zone"):
            await clock(name)


async def test_waiting_tells_how_far_it_is() -> None:
    told: list[Any] = []
    context = ToolContext("1", "wait", report=told.append)
    assert await wait(context, 0.3) == "0.3 seconds are over"
    assert told == ["83%", "100%"]
    assert await wait(context, 0) == "0 seconds are over"
    for seconds in (-1, 31):
        with pytest.raises(ToolError):
            wait.validate({"seconds": seconds})


# At the keyboard


class Keyboard:
    """A person at a terminal, which the program has for all it reads and writes."""

    def __init__(self, url: str, *arguments: str, **settings: Any) -> None:
        self._ours, theirs = pty.openpty()
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self.sent = ""
        model = ("--model", "openai_chat:m", "--base-url", f"{url}/v1")
        streams: dict[str, Any] = {"stdin": theirs, "stdout": theirs, "stderr": theirs, **settings}
        self.process = subprocess.Popen(
            command("chat", *model, *arguments),
            env={**os.environ, "TERM": "xterm-256color"},
            start_new_session=True,
            **streams,
        )
        os.close(theirs)

    def read_until(self, what: str) -> str:
        """What is sent until this; whatever comes later is looked at later."""
        while what not in self.sent:
            self.sent += self._decoder.decode(os.read(self._ours, 65536))
        before, self.sent = self.sent.split(what, 1)
        return before

    def enter(self, line: str) -> None:
        os.write(self._ours, line.encode() + b"\n")

    def press_ctrl_c(self) -> None:
        # No person is as quick: between writing a prompt and reading, Python hears no signal.
        time.sleep(0.3)
        self.process.send_signal(signal.SIGINT)

    def press_ctrl_d(self) -> None:
        os.write(self._ours, b"\x04")

    def end(self) -> tuple[int, str]:
        """Wait for the end: the exit code, and what was sent until then."""
        try:
            while piece := os.read(self._ours, 65536):
                self.sent += self._decoder.decode(piece)
        except OSError:  # Linux: nobody has the other side open
            pass
        return self.process.wait(20), self.sent

    def close(self) -> None:
        """Leave nothing behind, also where a test fails."""
        self.process.kill()
        self.process.wait(20)
        os.close(self._ours)


@pytest.fixture
def at_keyboard() -> Iterator[Callable[..., Keyboard]]:
    people: list[Keyboard] = []

    def sit_down(url: str, *arguments: str, **settings: Any) -> Keyboard:
        people.append(Keyboard(url, *arguments, **settings))
        people[-1].read_until("> ")
        return people[-1]

    yield sit_down
    for person in people:
        person.close()


def test_at_the_keyboard_one_asks_and_reads_until_ctrl_d(
    gai_simulator: Make, at_keyboard: Callable[..., Keyboard]
) -> None:
    simulator = gai_simulator([Answer("Some **bold** text."), Answer("Two.")])
    person = at_keyboard(simulator.url)
    person.enter("Hi \\")
    person.read_until("… ")
    person.enter("there")
    person.read_until("bold")
    person.read_until("> ")
    person.enter("2")
    person.read_until("Two.")
    person.read_until("> ")
    person.press_ctrl_d()
    code, sent = person.end()
    assert code == 0
    assert "Traceback" not in sent
    assert [m["content"] for m in simulator.requests[1].body["messages"]] == [
        "Hi \nthere",
        "Some **bold** text.",
        "2",
    ]


def test_ctrl_c_stops_the_answer_and_not_the_program(
    gai_simulator: Make, at_keyboard: Callable[..., Keyboard]
) -> None:
    simulator = gai_simulator([Answer("on and ", endless=True, delay=0.01), Answer("Two.")])
    person = at_keyboard(simulator.url)
    person.enter("Hi")
    person.read_until("on and on")
    person.press_ctrl_c()
    person.read_until("stopped; what had come stays in the conversation")
    person.read_until("> ")
    person.enter("Go on")
    person.read_until("Two.")
    person.read_until("> ")
    person.enter("exit")
    code, sent = person.end()
    assert code == 0
    assert "Traceback" not in sent
    assert simulator.requests[0].closed_early
    contents = [str(m["content"]) for m in simulator.requests[1].body["messages"]]
    assert contents[0::2] == ["Hi", "Go on"]
    assert contents[1].startswith("on and on")


def test_ctrl_c_twice_at_the_prompt_leaves(
    gai_simulator: Make, at_keyboard: Callable[..., Keyboard]
) -> None:
    person = at_keyboard(gai_simulator(Answer("One.")).url)
    person.press_ctrl_c()
    person.read_until("Ctrl-C once more leaves")
    person.read_until("> ")
    person.enter("Hi")
    person.read_until("One.")
    person.read_until("> ")
    person.press_ctrl_c()
    person.read_until("Ctrl-C once more leaves")
    person.read_until("> ")
    person.press_ctrl_c()
    code, sent = person.end()
    assert code == 0
    assert "Traceback" not in sent


def test_ctrl_c_in_the_answer_and_again_at_the_prompt_leaves(
    gai_simulator: Make, at_keyboard: Callable[..., Keyboard]
) -> None:
    simulator = gai_simulator(Answer("x", first_delay=30.0))
    person = at_keyboard(simulator.url)
    person.enter("Hi")
    while not simulator.requests:
        time.sleep(0.01)
    person.press_ctrl_c()
    person.read_until("stopped before anything had come")
    person.read_until("> ")
    person.press_ctrl_c()
    assert person.end()[0] == 0


def test_at_the_keyboard_one_sees_the_tools_run(
    gai_simulator: Make, at_keyboard: Callable[..., Keyboard]
) -> None:
    person = at_keyboard(gai_simulator(asks_to_wait).url, "--tools")
    person.enter("Hi")
    person.read_until("tool: wait(seconds=0.3)")
    person.read_until("running: wait (")
    person.read_until("tool: wait told 0.3 seconds are over")
    answer = person.read_until("> ")
    assert "Done." in on_screen(answer)
    person.enter("/quit")
    assert person.end()[0] == 0


def test_the_prompt_does_not_go_where_the_answers_go(
    gai_simulator: Make, at_keyboard: Callable[..., Keyboard], tmp_path: Path
) -> None:
    path = tmp_path / "answers.txt"
    with path.open("wb") as file:
        person = at_keyboard(gai_simulator(Answer("One.")).url, stdout=file)
        person.enter("Hi")
        person.read_until("> ")
        person.enter("exit")
        assert person.end()[0] == 0
    assert path.read_text() == "One.\n"


def test_ctrl_c_ends_a_conversation_from_a_pipe(gai_simulator: Make) -> None:
    simulator = gai_simulator(Answer("on and ", endless=True, delay=0.01))
    model = ("--model", "openai_chat:m", "--base-url", f"{simulator.url}/v1")
    process = subprocess.Popen(
        command("chat", *model),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"Hi\nMore\n")
    process.stdin.flush()
    process.stdout.read(10)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"interrupted" in err
    assert b"Traceback" not in err
    asyncio.run(simulator.requests[0].ended())
    assert len(simulator.requests) == 1
