"""Arguments that are streamed, as values with their JSON paths (`partialArgs`, on Vertex)."""

from __future__ import annotations

import json
import re
from typing import Any, TypeAlias

from gai_rx.dialects.tool_calls import OpenCall
from gai_rx.errors import ProtocolError

__all__ = ["StreamedArguments", "as_json"]

_STEP = re.compile(
    r"\.(?P<name>[^.\[\]]+)|\[(?P<index>[0-9]{1,9})\]"
    r"""|\[(?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\]"""
)
_DEEPEST = 64  # steps of a path; more than any schema has
_Path: TypeAlias = tuple[str | int, ...]


class StreamedArguments:
    """Arguments that come as values at paths, written as the JSON text that they amount to.

    The model writes the text in order, so each value extends it; should values come in another
    order, the text is made from all of them at the end.
    """

    def __init__(self, call: OpenCall) -> None:
        self.call = call
        self._path: _Path = ()  # of the last value
        self._in_string = False
        self._in_order = True
        self._members: set[_Path] = set()
        self._values: dict[_Path, list[Any]] = {}  # pieces by path

    def take(self, arguments: Any) -> Any:
        """Take the arguments at once; returns what is new of them."""
        if self._path and arguments:
            self.call.replace(as_json(arguments))
            self._path = ()
        elif not self._path:
            return arguments
        return None

    def add(self, piece: dict[str, Any]) -> str:
        """Take a value, or the next piece of a string; returns the new characters."""
        path = _steps(piece["jsonPath"])
        kind = next((k for k in _VALUES if piece.get(k) is not None), None)
        if kind is None and "nullValue" not in piece:
            if _PLACE.issuperset(piece):
                return ""
            raise ProtocolError(f"no value for an argument: {sorted(piece)}", phase="decode")
        value = piece[kind] if kind else None
        goes_on = self._in_string and path == self._path
        written = "" if goes_on else self._go_to(path)
        if goes_on:
            self._values[path].append(value)
        else:
            self._values[path] = [value]
        self._path = path
        self._in_string = isinstance(value, str) and bool(piece.get("willContinue"))
        told = as_json(value)[goes_on:]
        return written + (told[:-1] if self._in_string else told) if self._in_order else ""

    def end(self) -> str:
        """All values are there; returns what closes the text. A string cut short stays open."""
        path, self._path = self._path, ()
        if not path:
            return ""
        if self._in_order:
            return "" if self._in_string else _closing(path)
        arguments = None if self._in_string else _nested(self._values)
        # What can not be put together must not look like a call without arguments.
        self.call.replace("{" if arguments is None else as_json(arguments))
        return ""

    def _go_to(self, path: _Path) -> str:
        """What leads from the last value to the next: closed containers, opened ones, its key."""
        old, same = self._path, 0
        while same < min(len(old), len(path)) and old[same] == path[same]:
            same += 1
        if (old and same in (len(old), len(path))) or path[: same + 1] in self._members:
            self._in_order = False
            return ""
        written = '"' if self._in_string else ""
        written += _closing(old[same + 1 :]) + "," if old else "{"
        before = old[same] if old else None
        for depth, step in enumerate(path[same:], same + 1):
            self._in_order = self._in_order and _is_next(step, before)
            self._members.add(path[:depth])
            written += f"{as_json(step)}:" if isinstance(step, str) else ""
            if depth < len(path):
                written += "{" if isinstance(path[depth], str) else "["
            before = None
        return written


_VALUES = ("stringValue", "numberValue", "boolValue")
_PLACE = frozenset({"jsonPath", "willContinue"})


def _steps(path: str) -> _Path:
    """The steps of a JSONPath that names one value, such as `$.items[0].name`."""
    steps: list[str | int] = []
    at = 1
    while len(steps) < _DEEPEST and (found := _STEP.match(path, at)):
        at = found.end()
        if found["index"] is not None:
            steps.append(int(found["index"]))
        elif found["name"] is not None:
            steps.append(found["name"])
        else:
            steps.append(re.sub(r"\\(.)", r"\1", found["quoted"][1:-1]))
    if at < len(path) or not path.startswith("$") or not steps or isinstance(steps[0], int):
        raise ProtocolError(f"no path to an argument: {path[:200]!r}", phase="decode")
    return tuple(steps)


def _is_next(step: str | int, before: str | int | None) -> bool:
    """Whether a member or element may follow `before` in its container, or begin a new one."""
    if before is None:
        return isinstance(step, str) or step == 0
    if isinstance(step, int) and isinstance(before, int):
        return step == before + 1
    return isinstance(step, str) and isinstance(before, str)


def _closing(path: _Path) -> str:
    return "".join("}" if isinstance(step, str) else "]" for step in reversed(path))


def _nested(values: dict[_Path, list[Any]]) -> Any:
    """The object that has these values at these paths; None where they contradict each other."""
    root: dict[str | int, Any] = {}
    for path, pieces in values.items():
        inner = root
        for step in path[:-1]:
            inner = inner.setdefault(step, {})
            if not isinstance(inner, dict):
                return None
        if path[-1] in inner:
            return None
        inner[path[-1]] = pieces[0] if len(pieces) == 1 else "".join(map(str, pieces))
    return _with_lists(root)


def _with_lists(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if all(isinstance(key, int) for key in node):
        return [_with_lists(node[index]) for index in sorted(node)]
    return {key: _with_lists(value) for key, value in node.items()}


def as_json(value: Any) -> str:
    """A value as the text of arguments."""
    return json.dumps(value, ensure_ascii=False)
