"""Model text in a terminal: it is shown, and can not drive it.

A terminal obeys control sequences inside the text that it is sent: they move the cursor over what
was said before, set the clipboard, hide where a link goes. What a model says is written by whoever
wrote what the model read, so none of them may get through, and none may be put together from parts
that arrive one after the other.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.live import Live
    from rich.segment import Segment

__all__ = ["MarkdownDisplay", "TerminalFilter", "visible"]

MARK: Final = "\u241b"
"""`␛`: stands where a sequence that never ended was left out."""

_LONGEST: Final = 4096
"""Characters that a sequence may hide; what goes on for longer is shown as text."""

_BIDI: Final = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_SYMBOLS: Final[dict[int, str]] = {
    **{code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n"},
    0x7F: "\u2421",
    **{code: f"<U+{code:04X}>" for code in (*range(0x80, 0xA0), *_BIDI)},
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),  # half characters: they can not be written
}

# Single classes of characters: each search is linear, and none is over the same text twice.
_SPECIAL = re.compile("[\r\x1b\x90\x98\x9b\x9d-\x9f]")
_STRING_END = re.compile("[\x07\n\r\x18\x1a\x1b\x9c]")
_PARAMETERS = re.compile("[\x20-\x3f]*")
_INTERMEDIATES = re.compile("[\x20-\x2f]*")
_CANCEL: Final = "\x18\x1a"


def visible(text: str) -> str:
    r"""Every control character but newline and tab as a symbol, and the bidi controls by name.

    Example:
        >>> visible("a\x07b\u202e")
        'a␇b<U+202E>'
    """
    return text.translate(_SYMBOLS)


class TerminalFilter:
    r"""Takes what drives a terminal out of a text that arrives in pieces.

    Whole sequences (CSI, OSC, DCS, APC, PM, SOS and the short ones, with 7-bit and 8-bit
    introducers) are left out; of one that does not end where it must, `␛` is left, and the text
    goes on. A carriage return is a new line. All other control characters and the bidi controls
    are made visible. However a text is cut into pieces, what comes out is the same.

    Example:
        >>> shown = TerminalFilter()
        >>> shown.clean("never \x1b[3"), shown.clean("1mred\r\n")
        ('never ', 'red\n')
    """

    def __init__(self) -> None:
        self._out: list[str] = []
        self._take: Callable[[str, int], int] = self._text
        self._hidden = 0
        self._after_return = False

    def clean(self, delta: str) -> str:
        """The next piece of the text without what drives a terminal."""
        at = 0
        while at < len(delta):
            at = self._take(delta, at)
        cleaned = "".join(self._out)
        self._out.clear()
        return cleaned

    def close(self) -> str:
        """The text is over: what is left of a sequence that it ends in; a new text may begin."""
        left = "" if self._take == self._text else MARK
        self._take = self._text
        self._after_return = False
        return left

    # Each takes the characters of its state from `at` on, and returns where the next state begins.

    def _text(self, delta: str, at: int) -> int:
        if self._after_return:
            self._after_return = False
            if delta[at] == "\n":
                return at + 1
        found = _SPECIAL.search(delta, at)
        if found is None:
            self._out.append(visible(delta[at:]))
            return len(delta)
        self._out.append(visible(delta[at : found.start()]))
        self._hidden = 0
        self._begin(found.group())
        return found.end()

    def _begin(self, special: str) -> None:
        if special == "\r":
            self._out.append("\n")
            self._after_return = True
        elif special == "\x1b":
            self._take = self._escape
        elif special == "\x9b":
            self._take = self._csi
        else:
            self._take = self._string

    def _escape(self, delta: str, at: int) -> int:
        c = delta[at]
        if c == "[":
            self._take = self._csi
        elif c in "]PX^_":
            self._take = self._string
        elif "\x20" <= c <= "\x2f":
            self._take = self._short
        elif "\x30" <= c <= "\x7e":
            self._take = self._text
        elif c != "\x1b":
            return self._abandon(at)
        return at + 1

    def _short(self, delta: str, at: int) -> int:
        return self._until_final(delta, at, _INTERMEDIATES, "\x30")

    def _csi(self, delta: str, at: int) -> int:
        return self._until_final(delta, at, _PARAMETERS, "\x40")

    def _until_final(self, delta: str, at: int, body: re.Pattern[str], first: str) -> int:
        """The rest of a sequence that ends with a character from `first` to `~`."""
        found = body.match(delta, at)
        end = found.end() if found is not None else at
        if (limit := self._limit(at, end)) is not None:
            return self._abandon(limit)
        if end == len(delta):
            return end
        c = delta[end]
        if c == "\x1b":
            self._take = self._escape
        elif first <= c <= "\x7e" or c in _CANCEL:
            self._take = self._text
        else:
            return self._abandon(end)
        return end + 1

    def _string(self, delta: str, at: int) -> int:
        found = _STRING_END.search(delta, at)
        end = len(delta) if found is None else found.start()
        if (limit := self._limit(at, end)) is not None:
            return self._abandon(limit)
        if found is None:
            return end
        if found.group() in "\r\n":  # a terminal would go on hiding what follows, for ever
            return self._abandon(end)
        self._take = self._string_escape if found.group() == "\x1b" else self._text
        return end + 1

    def _string_escape(self, delta: str, at: int) -> int:
        """Behind the ESC of ESC backslash, which ends a string; any other begins a sequence."""
        if delta[at] == "\\":
            self._take = self._text
            return at + 1
        return self._escape(delta, at)

    def _limit(self, at: int, end: int) -> int | None:
        """Where the sequence has hidden too much, if it does before `end`."""
        room = _LONGEST - self._hidden
        self._hidden += end - at
        return at + room if self._hidden > _LONGEST else None

    def _abandon(self, at: int) -> int:
        self._out.append(MARK)
        self._take = self._text
        return at


class _Shown:
    """What is inside, its control characters visible: Markdown can spell them as `&#13;`."""

    def __init__(self, inside: RenderableType, *, most_lines: int | None = None) -> None:
        self._inside = inside
        self._most_lines = most_lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.segment import Segment

        lines = console.render_lines(self._inside, options.update(height=None), pad=False)
        if self._most_lines is not None:
            lines = lines[-self._most_lines :]
        for line in lines:
            while line and line[-1].text.isspace() and not _painted(line[-1]):
                line.pop()  # filled up to the width; whoever copies it would get that too
            for segment in line:
                yield Segment(visible(segment.text), segment.style)
            yield Segment.line()


def _painted(segment: Segment) -> bool:
    return segment.style is not None and segment.style.bgcolor is not None


class MarkdownDisplay:
    """Markdown in a terminal while it is being written; needs `rich`.

    Blocks that are complete are printed once, for good. Only the last one is drawn again, when
    `tick` finds new text: at most once an `interval`, and so rarely that drawing takes a tenth of
    the time. Links show where they go.

    Args:
        console: Where to.
        interval: Shortest time between two drawings, in seconds.
        now: The clock, in seconds.
    """

    def __init__(
        self,
        console: Console,
        *,
        interval: float = 0.1,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.drawings = 0
        """How often the open block was drawn."""
        self._console = console
        self._interval = interval
        self._now = now
        self._filter = TerminalFilter()
        self._open: list[str] = []
        self._fresh = False
        self._due = now()
        self._thinking = False
        self._first = True
        self._live: Live | None = None

    def close(self) -> None:
        """Print the rest, and leave the terminal as it was."""
        rest = "".join([*self._open, self._filter.close()])
        self._open = []
        try:
            self._complete(rest)
        finally:
            if self._live is not None:
                self._live.stop()

    def add(self, delta: str, *, thinking: bool = False) -> None:
        """Take in the next piece; it is shown by a later `tick`."""
        if thinking != self._thinking:
            self._complete("".join([*self._open, self._filter.close()]))
            self._open = []
            self._thinking = thinking
        self._open.append(self._filter.clean(delta))
        self._fresh = True

    def tick(self) -> None:
        """Show what is new, if it is time to."""
        began = self._now()
        if not self._fresh or began < self._due:
            return
        self._fresh = False
        text = "".join(self._open)
        end = _complete_blocks(text)
        self._open = [text[end:]]
        self._complete(text[:end])
        self._draw(text[end:])
        ended = self._now()
        self._due = ended + max(self._interval, 9 * (ended - began))

    def _complete(self, text: str) -> None:
        """Print blocks that stay as they are."""
        if not text.strip():
            return
        if self._live is not None:
            self._draw("")
        self._console.print(self._rendered(text), end="")
        self._first = False

    def _draw(self, text: str) -> None:
        from rich.live import Live

        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()
        lines = max(1, self._console.size.height - 2)
        self._live.update(self._rendered(text, lines), refresh=True)
        self.drawings += bool(text)

    def _rendered(self, text: str, most_lines: int | None = None) -> RenderableType:
        from rich.console import Group
        from rich.markdown import Markdown
        from rich.text import Text

        if not text.strip():
            return Text("", end="")
        block: RenderableType = Markdown(text, hyperlinks=False)
        if self._thinking:
            block = Text(text.strip("\n"), style="dim italic")
        space = () if self._first else (Text(""),)
        return _Shown(Group(*space, block), most_lines=most_lines)


def _complete_blocks(text: str) -> int:
    """Where the last block of Markdown that may still change begins."""
    end = at = 0
    fence = ""
    blank = False
    for line in text.splitlines(keepends=True):
        bare = line.strip()
        if blank and not fence and bare and not line[0].isspace():
            end = at
        blank = not bare
        if fence:
            if bare.startswith(fence) and not bare.strip(fence[0]):
                fence = ""
        elif bare.startswith(("```", "~~~")):
            fence = bare[: len(bare) - len(bare.lstrip(bare[0]))]
        at += len(line)
    return end
