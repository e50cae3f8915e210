"""What a model says can not drive the terminal that shows it."""

import io
import time
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from gai_rx.terminal import MARK, MarkdownDisplay, TerminalFilter, visible

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"

# What is sent, and what is left of it.
PAYLOADS = {
    "colour": ("a\x1b[31mred\x1b[0mb", "aredb"),
    "clear the screen": ("a\x1b[2J\x1b[Hb", "ab"),
    "cursor up and erase": ("a\x1b[1A\x1b[2Kb", "ab"),
    "alternate screen": ("a\x1b[?1049hb", "ab"),
    "ask for the position": ("a\x1b[6nb", "ab"),
    "cursor style, with an intermediate": ("a\x1b[2 qb", "ab"),
    "8-bit CSI": ("a\x9b2Jb", "ab"),
    "title": ("a\x1b]0;owned\x07b", "ab"),
    "clipboard, OSC 52": ("a\x1b]52;c;cm0gLXJmIH4=\x07b", "ab"),
    "clipboard, ended by ST": ("a\x1b]52;c;cm0gLXJmIH4=\x1b\\b", "ab"),
    "hyperlink, OSC 8": ("\x1b]8;;https://evil.example\x1b\\bank\x1b]8;;\x1b\\!", "bank!"),
    "8-bit OSC and ST": ("a\x9d0;owned\x9cb", "ab"),
    "DCS": ('a\x1bP$q"p\x1b\\b', "ab"),
    "8-bit DCS": ("a\x90q#0\x9cb", "ab"),
    "APC": ("a\x1b_Gf=24;AAAA\x1b\\b", "ab"),
    "8-bit APC": ("a\x9fGf=24\x9cb", "ab"),
    "PM": ("a\x1b^hush\x1b\\b", "ab"),
    "8-bit PM": ("a\x9ehush\x9cb", "ab"),
    "SOS": ("a\x1bXhush\x1b\\b", "ab"),
    "8-bit SOS": ("a\x98hush\x9cb", "ab"),
    "full reset": ("a\x1bcb", "ab"),
    "character set": ("a\x1b(0b", "ab"),
    "double height": ("a\x1b#3b", "ab"),
    "ESC ESC": ("a\x1b\x1b[31mb", "ab"),
    "a sequence inside a sequence": ("a\x1b[3\x1b[31mb", "ab"),
    "a sequence inside a string": ("a\x1b]0;x\x1b[31mb", "ab"),
    "cancelled string": ("a\x1b]0;x\x18b", "ab"),
    "cancelled CSI": ("a\x1b[3\x1ab", "ab"),
    "CSI broken by a letter of another script": ("a\x1b[3\u00e9b", f"a{MARK}\u00e9b"),
    "CSI broken by a newline": ("a\x1b[3\nb", f"a{MARK}\nb"),
    "ESC before a newline": ("a\x1b\nb", f"a{MARK}\nb"),
    "string that does not end in its line": ("a\x1b]0;x\nb", f"a{MARK}\nb"),
    "carriage return over the line": ("safe\revil", "safe\nevil"),
    "Windows lines": ("a\r\nb\r\n", "a\nb\n"),
    "return, return, newline": ("a\r\r\nb", "a\n\nb"),
    "backspace": ("ab\x08\x08", "ab\u2408\u2408"),
    "bell, NUL, vertical tab, form feed": ("\x07\x00\x0b\x0c", "\u2407\u2400\u240b\u240c"),
    "shift out and in": ("\x0e\x0f", "\u240e\u240f"),
    "DEL": ("\x7f", "\u2421"),
    "NEL and a stray ST": ("\x85\x9c", "<U+0085><U+009C>"),
    "bidi override": ("a\u202eb", "a<U+202E>b"),
    "bidi isolate": ("\u2066a\u2069", "<U+2066>a<U+2069>"),
    "half a character": ("a\ud83d", "a\ufffd"),
    "what is left alone": ("\tna\u00efve \U0001f600 \u05e9\u05dc\u05d5\u05dd\n", None),
}


def assert_harmless(shown: str) -> None:
    for c in shown:
        code = ord(c)
        assert c in "\t\n" or not (code < 0x20 or 0x7F <= code < 0xA0), f"{c!r} in {shown!r}"
        assert c not in BIDI, f"{c!r} in {shown!r}"
    shown.encode()


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_sequence_is_taken_out_and_the_text_around_it_stays(name: str) -> None:
    sent, left = PAYLOADS[name]
    shown = TerminalFilter().clean(sent)
    assert shown == (sent if left is None else left)
    assert_harmless(shown)


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_payload_is_cleaned_the_same_wherever_it_is_cut(name: str) -> None:
    sent, left = PAYLOADS[name]
    for cut in range(len(sent) + 1):
        by_two = TerminalFilter()
        assert by_two.clean(sent[:cut]) + by_two.clean(sent[cut:]) == (left or sent)
    one_by_one = TerminalFilter()
    assert "".join(one_by_one.clean(c) for c in sent) == (left or sent)


DRIVING = "\x1b\x9b\x9d\x90\x98\x9c\x9e\x9f[]PX^_\\;0m?\x07\x18\r\n\t c\u202e\u00e9"


@given(st.lists(st.text(st.one_of(st.sampled_from(DRIVING), st.characters()), max_size=12)))
def test_any_text_comes_out_harmless_and_the_same_however_it_is_cut(deltas: list[str]) -> None:
    cut, whole = TerminalFilter(), TerminalFilter()
    shown = "".join(cut.clean(delta) for delta in deltas)
    assert shown == whole.clean("".join(deltas))
    assert_harmless(shown + cut.close())


@pytest.mark.parametrize("opening", ["\x1b]0;", "\x1bP", "\x9f", "\x1b[", "\x1b("])
def test_a_sequence_without_an_end_hides_no_more_than_it_may(opening: str) -> None:
    filler = "0" if opening != "\x1b(" else " "
    sent = opening + filler * 5000 + " the answer\n"
    shown = TerminalFilter().clean(sent)
    assert shown.startswith(MARK)
    assert shown.endswith(" the answer\n")
    one_by_one = TerminalFilter()
    assert "".join(one_by_one.clean(c) for c in sent) == shown


def test_a_text_that_ends_inside_a_sequence_says_so_and_the_next_begins_clean() -> None:
    shown = TerminalFilter()
    assert shown.clean("a\x1b]0;x") == "a"
    assert shown.close() == MARK
    assert shown.clean("b\r") == "b\n"
    assert shown.close() == ""
    assert shown.clean("\nc") == "\nc"


@pytest.mark.parametrize(
    "unit", ["\x1b", "\x1b[", "\x1b]", "\r", "\x9b1;", "\x1b]x\x1b", "\x07", "a", "\x1b[31m"]
)
def test_hostile_text_costs_its_length(unit: str) -> None:
    def cost(size: int) -> float:
        text = unit * (size // len(unit))
        best = 9.0
        for _ in range(3):
            began = time.process_time()
            TerminalFilter().clean(text)
            best = min(best, time.process_time() - began)
        return best

    assert cost(80_000) < 40 * cost(10_000) + 0.02  # 64 would be quadratic


def test_visible_leaves_newline_and_tab() -> None:
    assert visible("a\tb\n\x1b") == "a\tb\n\u241b"


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


def console(height: int = 24) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, force_terminal=True, width=60, height=height, color_system=None), file


def printed(file: io.StringIO) -> str:
    """What stays when the live part is over: the control sequences left out."""
    return TerminalFilter().clean(file.getvalue())


def test_the_display_draws_at_its_interval_and_not_for_every_delta() -> None:
    clock = Clock()
    terminal, _ = console()
    display = MarkdownDisplay(terminal, interval=0.1, now=clock)
    for _ in range(1000):
        clock.time += 0.001
        display.add("word ")
        display.tick()
    assert 9 <= display.drawings <= 11
    display.close()


def test_the_display_draws_nothing_where_nothing_is_new() -> None:
    clock = Clock()
    terminal, file = console()
    display = MarkdownDisplay(terminal, now=clock)
    display.tick()
    assert file.getvalue() == ""
    display.add("word")
    for _ in range(10):
        clock.time += 1
        display.tick()
    assert display.drawings == 1
    display.close()


def test_a_block_that_is_complete_is_printed_once_for_good() -> None:
    clock = Clock()
    terminal, file = console()
    display = MarkdownDisplay(terminal, now=clock)
    for delta in ("# Title\n\nfirst", " block\n\nsecond", " block", "\n\nthird"):
        display.add(delta)
        clock.time += 1
        display.tick()
    before = len(file.getvalue())
    display.add(" and more")
    clock.time += 1
    display.tick()
    redrawn = file.getvalue()[before:]
    display.close()
    assert "third and more" in redrawn
    assert "first" not in redrawn
    assert "second" not in redrawn


@pytest.mark.parametrize(
    "text",
    [
        "one\n\ntwo\n\nthree",
        "1. a\n\n2. b\n\n   more of b\n\n3. c",
        "```python\nx = 1\n\n\ny = 2\n```\n\nafter",
        "~~~~\n~~~\n\nstill code\n~~~~\n\nafter",
        "> quote\n\n| a | b |\n|---|---|\n| 1 | 2 |",
    ],
)
def test_markdown_looks_the_same_however_it_arrives(text: str) -> None:
    def stays(deltas: Iterable[str]) -> list[str]:
        clock = Clock()
        terminal, _ = console()
        display = Recording(terminal, now=clock)
        for delta in deltas:
            display.add(delta)
            clock.time += 1
            display.tick()
        display.close()
        return display.lines

    assert stays(text) == stays([text]) != []


class Recording(MarkdownDisplay):
    """Keeps the lines that are printed for good, the empty ones between blocks left out."""

    def __init__(self, terminal: Console, *, now: Clock) -> None:
        super().__init__(terminal, now=now)
        self.lines: list[str] = []

    def _complete(self, text: str) -> None:
        apart, file = console()
        apart.print(self._rendered(text), end="")
        self.lines += [line.rstrip() for line in printed(file).splitlines() if line.strip()]
        super()._complete(text)


def test_a_block_longer_than_the_screen_shows_its_end() -> None:
    clock = Clock()
    terminal, file = console(height=10)
    display = MarkdownDisplay(terminal, now=clock)
    display.add("```\n" + "".join(f"line {n}\n" for n in range(100)))
    display.tick()
    drawn = printed(file)
    assert "line 99" in drawn
    assert "line 5\n" not in drawn
    display.close()
    assert "line 5 " in printed(file)


def test_thinking_is_kept_apart_from_the_answer() -> None:
    terminal, file = console()
    display = MarkdownDisplay(terminal, now=Clock())
    display.add("**hm**", thinking=True)
    display.add("**yes**")
    display.close()
    assert printed(file).split() == ["**hm**", "yes"]


def test_markdown_can_not_spell_what_drives_a_terminal() -> None:
    terminal, file = console()
    display = MarkdownDisplay(terminal, now=Clock())
    display.add("&#13;x&#x1b;[2J &#x9b;2J &#x202E;y\x1b]52;c;AAAA\x07 [bank](https://evil.example)")
    display.close()
    raw = file.getvalue()
    assert "\x1b]" not in raw
    assert "\x1b[2J" not in raw
    assert not set("\r\x9b\u202e") & set(raw)
    assert "https://evil.example" in raw
