"""Places in a JSON document: paths such as `$.items[*].name`, and whether a place is meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

__all__ = ["JsonPath", "Watch", "Wild", "parse_path", "shown_path"]


class Wild(Enum):
    """A step that does not name its key."""

    ANY = "*"
    """Any key of an object, any index of a list."""
    DEEP = ".."
    """Any number of steps, none too; another step follows."""


Step = str | int | Wild
Place = tuple[str | int, ...]
"""Keys and indices that lead from the root to a value; empty for the root."""

_PLAIN = re.compile(r"[^\W\d][\w-]*")
_NAME = re.compile(r"[^\s.\[\]'\"*$?@(),:][^\s.\[\]'\"*]*")
_INDEX = re.compile(r"[0-9]+")
_QUOTED = re.compile(r"'((?:[^'\\]|\\['\\])*)'|\"((?:[^\"\\]|\\[\"\\])*)\"")
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class JsonPath:
    """Which places of a document are meant; `parse_path` makes one.

    Attributes:
        steps: From the root: a key, an index, or a `Wild` one.
    """

    steps: tuple[Step, ...] = ()

    def matches(self, place: Sequence[str | int]) -> bool:
        """Whether the value at `place` is meant.

        Example:
            >>> path = parse_path("$.items[*].name")
            >>> path.matches(("items", 3, "name")), path.matches(("items", 3))
            (True, False)
        """
        watch = Watch([self])
        for key in place:
            watch = watch.child(key)
        return bool(watch.ends)

    def __str__(self) -> str:
        return shown_path(self.steps)


def parse_path(text: str) -> JsonPath:
    """Read a path: the part of JSONPath (RFC 9535) that a document being written can answer.

    `$` is the root and may be left out. `.key` and `['key']` step to a key, `[0]` to an index, `.*`
    and `[*]` to all there are, `..key` and `..*` to any depth.

    Raises:
        ValueError: If it is none; the message says where.

    Example:
        >>> parse_path("items[*].name") == parse_path("$['items'][*]['name']")
        True
        >>> str(parse_path("a.b")), parse_path("$.a[0]").steps
        ('$.a.b', ('a', 0))
        >>> parse_path("$.items[-1]")
        Traceback (most recent call last):
        ...
        ValueError: path '$.items[-1]': expected *, an index or a quoted key at offset 8, got '-'
    """
    if not isinstance(text, str):
        raise TypeError(f"expected a path as a str, got {type(text).__name__}")
    if not text:
        raise ValueError("expected a path such as '$.items[*].name', got an empty one")
    steps: list[Step] = []
    at = 1 if text.startswith("$") else 0
    if at == 0 and text[0] not in ".[":
        at = _read_name(text, at, steps)
    while at < len(text):
        at = _read_segment(text, at, steps)
    return JsonPath(tuple(steps))


def _read_segment(text: str, at: int, steps: list[Step]) -> int:
    if text.startswith("..", at):
        steps.append(Wild.DEEP)
        at += 2
        read = _read_bracket if text.startswith("[", at) else _read_name
        return read(text, at, steps)
    if text[at] == ".":
        return _read_name(text, at + 1, steps)
    if text[at] == "[":
        return _read_bracket(text, at, steps)
    raise _wrong(text, at, "'.' or '['")


def _read_name(text: str, at: int, steps: list[Step]) -> int:
    if text.startswith("*", at):
        steps.append(Wild.ANY)
        return at + 1
    name = _NAME.match(text, at)
    if name is None:
        raise _wrong(text, at, "a key or *")
    if name[0].isdecimal():
        raise _wrong(text, at, f"[{name[0]}] for an index or ['{name[0]}'] for a key")
    steps.append(name[0])
    return name.end()


def _read_bracket(text: str, at: int, steps: list[Step]) -> int:
    at += 1
    if text.startswith("*", at):
        steps.append(Wild.ANY)
        at += 1
    elif (index := _INDEX.match(text, at)) is not None:
        steps.append(int(index[0]))
        at = index.end()
    elif (quoted := _QUOTED.match(text, at)) is not None:
        inner = quoted[1] if quoted[1] is not None else quoted[2]
        steps.append(_ESCAPED.sub(r"\1", inner))
        at = quoted.end()
    else:
        raise _wrong(text, at, "*, an index or a quoted key")
    if not text.startswith("]", at):
        raise _wrong(text, at, "']'")
    return at + 1


def _wrong(text: str, at: int, expected: str) -> ValueError:
    came = repr(text[at]) if at < len(text) else "its end"
    return ValueError(f"path {text!r}: expected {expected} at offset {at}, got {came}")


def shown_path(steps: Iterable[Step]) -> str:
    """A path as text, which `parse_path` reads back.

    Example:
        >>> shown_path(("items", 0, "first name"))
        "$.items[0]['first name']"
    """
    shown, deep = "$", False
    for step in steps:
        if step is Wild.DEEP:
            shown += ".."
        elif step is Wild.ANY:
            shown += "*" if deep else "[*]"
        elif isinstance(step, str):
            shown += _shown_key(step, deep)
        else:
            shown += f"[{step}]"
        deep = step is Wild.DEEP
    return shown


def _shown_key(key: str, deep: bool) -> str:
    if _PLAIN.fullmatch(key):
        return key if deep else f".{key}"
    escaped = key.replace("\\", "\\\\").replace("'", "\\'")
    return f"['{escaped}']"


_State = frozenset[tuple[JsonPath, int]]
"""For each path that can still match below: how many of its steps are done."""


class Watch:
    """What is looked for at one place of a document, and below it.

    Stepping down costs the same however many paths there are; a document of any size makes no
    more of these than the paths have states.

    Args:
        paths: What to look for, from the root.

    Attributes:
        ends: The paths that mean this very place.
        within: Whether this place, or one above it, is meant.
        live: Whether a path can still match below.

    Example:
        >>> watch = Watch([parse_path("$.items[*]")])
        >>> [str(path) for path in watch.child("items").child(7).ends]
        ['$.items[*]']
        >>> watch.child("other").live
        False
    """

    __slots__ = ("_children", "_known", "_other", "_state", "ends", "live", "within")

    def __init__(self, paths: Iterable[JsonPath] = ()) -> None:
        self._known: dict[tuple[_State, bool], Watch] = {}
        self._become(frozenset((path, 0) for path in paths), above=False)

    def _become(self, state: _State, *, above: bool) -> None:
        self._state = state
        ended = [path for path, done in state if done == len(path.steps)]
        self.ends = tuple(sorted(ended, key=str))
        self.live = any(done < len(path.steps) for path, done in state)
        self.within = above or bool(ended)
        self._children: dict[str | int, Watch | None] = dict.fromkeys(_named(state))
        self._other: Watch | None = None

    def child(self, key: str | int) -> Watch:
        """What is looked for one step further down."""
        if key in self._children:
            child = self._children[key]
            if child is None:
                child = self._children[key] = self._made(key)
        elif (child := self._other) is None:
            child = self._other = self._made(key)
        return child

    def held(self) -> Watch:
        """What is looked for one step above: whatever the step is, this."""
        holder = Watch()
        holder._other = self
        holder.live = self.live or bool(self.ends)
        return holder

    def _made(self, key: str | int) -> Watch:
        state = frozenset(after for place in self._state for after in _stepped(*place, key))
        known = self._known.get((state, self.within))
        if known is None:
            known = self._known[state, self.within] = Watch.__new__(Watch)
            known._known = self._known
            known._become(state, above=self.within)
        return known


def _next_steps(path: JsonPath, done: int) -> tuple[Step, int]:
    """The step that comes next, past a `..`, and how many are done after it."""
    skip = path.steps[done] is Wild.DEEP
    return path.steps[done + skip], done + skip + 1


def _named(state: _State) -> set[str | int]:
    """The keys and indices that some path names as its next step."""
    steps = (_next_steps(p, done)[0] for p, done in state if done < len(p.steps))
    return {step for step in steps if not isinstance(step, Wild)}


def _stepped(path: JsonPath, done: int, key: str | int) -> Iterable[tuple[JsonPath, int]]:
    if done == len(path.steps):
        return
    if path.steps[done] is Wild.DEEP:
        yield path, done
    step, after = _next_steps(path, done)
    if step is Wild.ANY or step == key:
        yield path, after
